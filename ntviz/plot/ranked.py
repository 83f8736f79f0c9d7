"""`leaderboard`: who does how well at what, a panel a task, with intervals and what chance and a random twin reach."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from ntviz.plot import palette
from ntviz.plot.figure import Figure
from ntviz.plot.words import plain, sentence, text_width, wrapped

ROW, GAP, HEAD, FOOT = 0.235, 0.22, 0.42, 0.36
"""Height of a row, gaps between panels, and room above and below each panel, in inches."""
OVERALL = "all tasks"
_NEEDED = ("task", "entry", "value", "low", "high")


def leaderboard(
    tasks: pd.DataFrame,
    overall: pd.DataFrame | None = None,
    *,
    title: str,
    label: str = "Matthews' correlation (MCC)",
    focus: str = "",
    columns: int = 3,
    caption: str = "",
    width: float = 10.0,
) -> Figure:
    """A figure of panels, one a task and one for all of them, each with a point and its interval an entry.

    Parameters
    ----------
    tasks
        One row a task and entry: columns task, entry, value, low, high; and, where there are, category, metric, n_test,
        `twin` (what the entry's random twin reached, a hollow diamond) and `permuted_high` (what it reached with
        permuted labels at most, a tick).
    overall
        Columns entry, value, low, high: the panel of all tasks, and the order of entries in every panel. Default: the
        order of their means, and no such panel.
    title
        Says what the figure shows.
    label
        Of the horizontal axes, where the tasks have one metric.
    focus
        Entries whose name begins with this are drawn in the accent colour.
    columns
        Panels beside each other.
    caption
        Text under the figure; by default what the marks mean.
    width
        In inches of 96 CSS pixels.

    Raises
    ------
    ValueError
        A column is missing, there is no row, or an entry stands twice in a task.
    """
    _check(tasks)
    if overall is not None and len(overall):
        entries = overall["entry"].astype(str).tolist()
    else:
        entries = (
            tasks.groupby("entry")["value"].mean().sort_values(ascending=False).index.astype(str).tolist()
        )
    entries += [name for name in dict.fromkeys(tasks["entry"].astype(str)) if name not in entries]
    panels: list[tuple[str, str, pd.DataFrame]] = []
    if overall is not None and len(overall):
        panels.append((OVERALL, "mean over tasks", overall))
    for task, part in tasks.groupby("task", sort=False):
        told = [str(part[c].iloc[0]) for c in ("category",) if c in part and str(part[c].iloc[0])]
        if "n_test" in part and pd.notna(part["n_test"].iloc[0]):
            told.append(f"{int(part['n_test'].iloc[0]):,} held out")
        panels.append((str(task), ", ".join(told), part))
    names = [plain(name, most=40) for name in entries]
    left = 0.24 + max(text_width(name, 8.5) for name in names)
    columns = max(1, min(columns, len(panels)))
    rows = -(-len(panels) // columns)
    lines = wrapped(plain(title, most=200), width - 0.3, 13.0, weight="bold")
    top = 0.14 + 0.24 * len(lines) + 0.14
    deep = ROW * len(entries)
    pitch = HEAD + deep + FOOT
    height = top + rows * pitch + 0.06
    span = (width - left - 0.2 - GAP * (columns - 1)) / columns
    marks = [
        tasks["value"],
        tasks["low"],
        tasks["high"],
        *(tasks[c] for c in ("twin", "permuted_high") if c in tasks),
    ]
    known = np.concatenate([pd.to_numeric(column).to_numpy(float) for column in marks])
    known = known[np.isfinite(known)]
    least, most = min(0.0, float(known.min())), max(1.0 if known.max() <= 1 else 0.0, float(known.max()))
    limits = least - 0.05 * (most - least), most + 0.05 * (most - least)
    with palette.style():
        drawing = Drawing(figsize=(width, height))
        for index, line in enumerate(lines):
            y = 1 - (0.14 + 0.24 * index + 0.17) / height
            drawing.text(0.14 / width, y, line, fontsize=13, fontweight="bold", gid="title")
        for index, (name, told, part) in enumerate(panels):
            row, column = divmod(index, columns)
            bottom = height - top - row * pitch - HEAD - deep
            x = left + column * (span + GAP)
            ax = drawing.add_axes(
                (x / width, bottom / height, span / width, deep / height), label=plain(name)
            )
            _panel(ax, part, entries, names if column == 0 else [], limits, focus, name, told)
            if row == rows - 1 or index + columns >= len(panels):
                ax.set_xlabel(plain(label), fontsize=8, labelpad=2)
    return Figure(
        drawing,
        title=plain(title, most=200),
        alt=_said(title, panels, label),
        caption=caption
        or "Points: held-out examples, with 95 % intervals over regions drawn again. Hollow diamonds: the same probe on the "
        "same model with random weights. Grey ticks: the most that permuted labels reached (97.5 %). A dotted line marks zero.",
    )


def _check(tasks: pd.DataFrame) -> None:
    missing = [column for column in _NEEDED if column not in tasks]
    if missing:
        raise ValueError(
            f"A leaderboard must have the columns {', '.join(_NEEDED)}; received a table without {', '.join(missing)}. "
            "Pass the tables of benchmark.leaderboard."
        )
    if tasks.empty:
        raise ValueError("A leaderboard must have at least one row; received none. Was any cell finished?")
    twice = tasks.duplicated(["task", "entry"])
    if twice.any():
        row = tasks[twice].iloc[0]
        raise ValueError(
            f"Each entry must stand once in a task; received {row['entry']!r} twice in {row['task']!r}."
        )


def _panel(
    ax: Axes,
    part: pd.DataFrame,
    entries: list[str],
    names: list[str],
    limits: tuple[float, float],
    focus: str,
    title: str,
    told: str,
) -> None:
    whole = title == OVERALL
    ax.set_facecolor(palette.CONTROL_PAPER if whole else palette.PAPER)
    ax.set_xlim(*limits)
    ax.set_ylim(len(entries) - 0.5, -0.5)
    ax.set_yticks(range(len(entries)), names or [""] * len(entries), fontsize=8.5)
    ax.tick_params(axis="y", length=0, pad=4)
    ax.tick_params(axis="x", labelsize=8, length=2)
    ax.grid(axis="x", color=palette.FAINT, linewidth=0.5)
    ax.set_axisbelow(True)
    ax.axvline(0, color=palette.MUTED, linewidth=0.9, linestyle=(0, (1.2, 1.6)))
    ax.annotate(
        plain(title, most=36), (0, 1), xycoords="axes fraction", xytext=(0, 14), textcoords="offset points",
        fontsize=9.5, fontweight="bold", va="bottom", gid="panel",
    )  # fmt: skip
    ax.annotate(
        plain(told, most=48), (0, 1), xycoords="axes fraction", xytext=(0, 3), textcoords="offset points",
        fontsize=7.5, color=palette.MUTED, va="bottom",
    )  # fmt: skip
    for _, row in part.iterrows():
        y = entries.index(str(row["entry"]))
        value, low, high = (float(row[column]) for column in ("value", "low", "high"))
        mine = bool(focus) and str(row["entry"]).startswith(focus)
        colour = palette.POSITIVE if mine else palette.ACCENT
        if not np.isfinite(value):
            ax.text(0, y, " not on every task", fontsize=7, color=palette.MUTED, va="center")
            continue
        if np.isfinite([low, high]).all():
            ax.plot(
                [low, high],
                [y, y],
                color=colour,
                linewidth=1.4,
                solid_capstyle="butt",
                zorder=3,
                gid="interval",
            )
        ax.plot(
            [value],
            [y],
            marker="s" if mine else "o",
            markersize=5.5,
            color=colour,
            linestyle="none",
            zorder=4,
            gid="value",
        )
        twin = float(row.get("twin", np.nan))
        if np.isfinite(twin):
            ax.plot([twin], [y], marker="D", markersize=4.5, markerfacecolor=palette.PAPER, markeredgecolor=palette.INK,
                    linestyle="none", zorder=5, gid="twin")  # fmt: skip
        chance = float(row.get("permuted_high", np.nan))
        if np.isfinite(chance):
            ax.plot(
                [chance, chance],
                [y - 0.32, y + 0.32],
                color=palette.CONTROL,
                linewidth=1.3,
                zorder=2,
                gid="permuted",
            )


def _said(title: str, panels: list[tuple[str, str, pd.DataFrame]], label: str) -> str:
    said = [plain(title, most=200).rstrip(".")]
    for name, _, part in panels:
        known = part[pd.to_numeric(part["value"]).notna()].sort_values("value", ascending=False)
        best = [
            f"{plain(row.entry, most=40)} {row.value:.2f}" for row in known.head(3).itertuples(index=False)
        ]
        said.append(f"{plain(name)}: best {', '.join(best)}" if best else f"{plain(name)}: nobody")
    return " ".join(map(sentence, [*said, f"Values are {plain(label)}"]))
