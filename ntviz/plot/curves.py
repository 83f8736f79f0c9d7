"""`curves`: lines over training or over any other axis, with what they must beat drawn across."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ntviz.plot import palette
from ntviz.plot.figure import Figure
from ntviz.plot.readout import Lane, Readout
from ntviz.plot.signals import halo
from ntviz.plot.ticks import numbers
from ntviz.plot.words import number, plain, sentence, text_width, wrapped

MOST_STOPS = 2_000
"""Rows that the cursor stops at; of a longer table it takes evenly spaced ones."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One vertical axis of `curves`.

    Parameters
    ----------
    lines
        Columns of the table to draw, and the name of each on the figure.
    label
        Of the vertical axis, with its unit.
    baselines
        Names and values of horizontal lines: what a simple method reaches.
    """

    lines: Mapping[str, str]
    label: str
    baselines: Mapping[str, float] | None = None


def curves(
    table: pd.DataFrame,
    *,
    x: str,
    y: Mapping[str, str] | Sequence[str] | Sequence[Panel],
    title: str,
    x_label: str = "",
    y_label: str = "",
    baselines: Mapping[str, float] | None = None,
    x_log: bool = False,
    caption: str = "",
    width: float = 8.0,
    panel_height: float = 2.6,
) -> Figure:
    """A figure of lines over one column, each named at its end, with labelled horizontal baselines.

    Parameters
    ----------
    table
        One row a point. A NaN is a point that was not measured: the line joins its neighbours.
    x
        Column of the horizontal axis.
    y
        Columns to draw: their names, a mapping from column to the name on the figure, or a list of `Panel`s, which
        are stacked over one horizontal axis.
    title
        Says what the figure shows.
    x_label, y_label
        Of the axes, with units; the column's name when empty. `y_label` is for a single panel.
    baselines
        Names and values of horizontal lines, for a single panel.
    x_log
        Whether the horizontal axis is logarithmic; rows with x <= 0 are then left out.
    caption
        Text under the figure; the title when empty.
    width, panel_height
        In inches of 96 CSS pixels.

    Raises
    ------
    ValueError
        If a column is missing, not numeric, or empty of finite values.

    Examples
    --------
    >>> table = pd.DataFrame({"step": [1, 2, 3], "loss": [8.0, 7.6, 7.5]})
    >>> print(curves(table, x="step", y=["loss"], y_label="loss, nats", title="Training"))
    Training. loss from 8 to 7.5 (lowest 7.5 at step 3).
    """
    panels = _panels(y, y_label, baselines)
    _check(table, x, panels)
    table = table[np.isfinite(table[x].to_numpy(float))].sort_values(x, kind="stable")
    if x_log:
        table = table[table[x] > 0]
    if table.empty:
        raise ValueError(
            f"The column {x!r} must have at least one usable value; received none"
            f"{' above 0, which a logarithmic axis needs' if x_log else ''}. Check the table."
        )
    title = plain(title, most=200)
    names = [
        plain(name, most=28) for panel in panels for name in (*panel.lines.values(), *(panel.baselines or {}))
    ]
    right = max((text_width(name, 8.5) for name in names), default=0.0) + 0.32
    left, gap, foot = 0.85, 0.22, 0.62
    lines = wrapped(title, width - 0.3, 13.0, weight="bold")
    head = 0.14 + 0.24 * len(lines) + 0.22
    height = head + len(panels) * panel_height + (len(panels) - 1) * gap + foot
    with palette.style():
        drawing = Drawing(figsize=(width, height))
        for index, line in enumerate(lines):
            y_title = 1 - (0.14 + 0.24 * index + 0.17) / height
            drawing.text(0.14 / width, y_title, line, fontsize=13, fontweight="bold", gid="title")
        axes = []
        for index, panel in enumerate(panels):
            bottom = height - head - (index + 1) * panel_height - index * gap
            box = (left / width, bottom / height, (width - left - right) / width, panel_height / height)
            ax = drawing.add_axes(box, label=plain(panel.label))
            _draw(ax, table, x, panel, x_log=x_log, height=panel_height)
            if index < len(panels) - 1:
                ax.tick_params(labelbottom=False)
            axes.append(ax)
        axes[-1].set_xlabel(plain(x_label or x), labelpad=4)
        # Lines run to the right edge, where their names stand.
        first, last = float(table[x].min()), float(table[x].max())
        room = 0.02 * (last - first) if last > first else 0.5
        limits = (first / 1.05, last * 1.0001) if x_log else (first - room, last + room / 10)
        for ax in axes:
            ax.set_xlim(*limits)
    spoken = " ".join([sentence(title), *(_said(table, x, panel, x_label or x) for panel in panels)])
    readout = _readout(table, x, panels, axes, x_label or x, (head / height, 1 - foot / height))
    return Figure(drawing, title=title, alt=spoken, caption=caption, readout=readout)


def _panels(
    y: Mapping[str, str] | Sequence[str] | Sequence[Panel],
    y_label: str,
    baselines: Mapping[str, float] | None,
) -> list[Panel]:
    if isinstance(y, str):
        raise TypeError(f"y must be a list of columns; received the text {y!r}. Pass y=[{y!r}].")
    if isinstance(y, Mapping):
        return [Panel(dict(y), y_label or " and ".join(y.values()), baselines)]
    panels = [entry for entry in y if isinstance(entry, Panel)]
    if panels:
        if len(panels) != len(y) or baselines or y_label:
            raise ValueError(
                "Panels must carry their own columns, labels and baselines; received them mixed with columns, or with "
                "y_label= or baselines= beside them. Put these into each Panel."
            )
        return panels
    columns = [str(column) for column in y]
    return [Panel({column: column for column in columns}, y_label or " and ".join(columns), baselines)]


def _check(table: pd.DataFrame, x: str, panels: Sequence[Panel]) -> None:
    if not panels or not any(panel.lines for panel in panels):
        raise ValueError("Curves must have at least one column to draw; received none. Pass y=['loss'].")
    for column in (x, *(column for panel in panels for column in panel.lines)):
        if column not in table.columns:
            known = ", ".join(map(repr, list(table.columns)[:10]))
            raise ValueError(
                f"The table must have the column {column!r}; received the columns {known}. Name one of them."
            )
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise ValueError(
                f"The column {column!r} must hold numbers; received {table[column].dtype}. Convert it with pd.to_numeric."
            )
        if not np.isfinite(table[column].to_numpy(float)).any():
            raise ValueError(
                f"The column {column!r} must have at least one finite value; received {len(table):,} rows without one. "
                f"Leave the column out, or check what wrote it."
            )


def _points(table: pd.DataFrame, x: str, column: str) -> tuple[np.ndarray, np.ndarray]:
    values = table[column].to_numpy(float)
    finite = np.isfinite(values)
    return table[x].to_numpy(float)[finite], values[finite]


def _draw(ax: Axes, table: pd.DataFrame, x: str, panel: Panel, *, x_log: bool, height: float) -> None:
    if x_log:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(numticks=8))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _compact(value)))
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        numbers(ax.xaxis, most=7, short=True, whole=pd.api.types.is_integer_dtype(table[x]))
    numbers(ax.yaxis, most=6)
    ax.grid(axis="y", color=palette.FAINT, linewidth=0.5)
    ax.set_axisbelow(True)
    ax.set_ylabel(plain(panel.label))
    ax.yaxis.set_label_coords(-0.62 / _inches(ax), 0.5)
    ends: list[tuple[float, str, str]] = []
    for name, value in (panel.baselines or {}).items():
        ax.axhline(
            value,
            color=palette.CONTROL,
            linewidth=1.0,
            linestyle=(0, (1.2, 1.6)),
            gid=f"baseline {plain(name)}",
        )
        ends.append((value, plain(name, most=28), palette.MUTED))
    for index, (column, name) in enumerate(panel.lines.items()):
        xs, ys = _points(table, x, column)
        colour = palette.LINES[index % len(palette.LINES)]
        few = len(xs) <= 40
        ax.plot(
            xs,
            ys,
            color=colour,
            linewidth=1.7,
            linestyle=palette.DASHES[index % len(palette.DASHES)],
            marker=palette.MARKERS[index % len(palette.MARKERS)] if few else None,
            markersize=4.5,
            markeredgecolor=palette.PAPER,
            markeredgewidth=0.6,
            label=plain(name),
            clip_on=False,
            zorder=3,
        )
        ends.append((float(ys[-1]), plain(name, most=28), colour))
    low, high = ax.get_ylim()
    if low < 0 and all(np.nanmin(table[column]) >= 0 for column in panel.lines):
        # A loss or a share does not go below zero, and neither should its axis.
        low = 0.0
        ax.set_ylim(low, high)
    if any(value < low or value > high for value, _, _ in ends):
        low, high = min(low, *(value for value, _, _ in ends)), max(high, *(value for value, _, _ in ends))
        ax.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    _end_labels(ax, ends, height)


def _end_labels(ax: Axes, ends: list[tuple[float, str, str]], height: float) -> None:
    """Name each line beside the right edge, moved apart where lines end close together, with a leader then."""
    low, high = ax.get_ylim()
    apart = 0.155 / height
    wanted = sorted(((value - low) / (high - low), name, colour) for value, name, colour in ends)
    places = [place for place, _, _ in wanted]
    # Push up in one sweep, then the top ones down again so that none leaves the axes.
    for index in range(1, len(places)):
        places[index] = max(places[index], places[index - 1] + apart)
    ceiling = 1.02
    for index in range(len(places) - 1, -1, -1):
        places[index] = min(places[index], ceiling)
        ceiling = places[index] - apart
    for place, (true, name, colour) in zip(places, wanted, strict=True):
        text = ax.annotate(
            name,
            (1.0, true),
            xycoords="axes fraction",
            xytext=(1.0, place),
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            color=colour,
            gid="line name",
            annotation_clip=False,
        )
        text.set_position((1.0 + 0.17 / _inches(ax), place))
        leader = [1.0 + 0.02 / _inches(ax), 1.0 + 0.14 / _inches(ax)]
        ax.plot(
            leader,
            [true, place],
            transform=ax.transAxes,
            color=colour,
            linewidth=0.8,
            clip_on=False,
            gid="leader",
        )
        halo(text)


def _inches(ax: Axes) -> float:
    figure = ax.get_figure(root=True)
    assert figure is not None  # for the type checker: the axes was made by a figure
    return float(ax.get_position().width * figure.get_size_inches()[0])


def _compact(value: float) -> str:
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size * (10 if size == 1e3 else 1):
            return f"{value / size:g}{letter}".replace("-", "−")
    return number(value)


def _said(table: pd.DataFrame, x: str, panel: Panel, x_label: str) -> str:
    said = []
    for column, name in panel.lines.items():
        xs, ys = _points(table, x, column)
        best = int(ys.argmin()) if ys[-1] < ys[0] else int(ys.argmax())
        word = "lowest" if ys[-1] < ys[0] else "highest"
        said.append(
            f"{plain(name)} from {number(ys[0])} to {number(ys[-1])} ({word} {number(ys[best])} at "
            f"{plain(x_label)} {number(xs[best])})"
        )
    levels = "; ".join(f"{plain(name)} {number(value)}" for name, value in (panel.baselines or {}).items())
    axis = plain(panel.label)
    lead = (
        ""
        if axis in said[0] or (len(panel.lines) == 1 and axis.startswith(next(iter(panel.lines.values()))))
        else f"{axis}: "
    )
    return f"{lead}{'; '.join(said)}{f'. Baselines: {levels}' if levels else ''}."


def _readout(
    table: pd.DataFrame,
    x: str,
    panels: Sequence[Panel],
    axes: Sequence[Axes],
    x_label: str,
    rows: tuple[float, float],
) -> Readout:
    n = len(table)
    keep = np.unique(np.linspace(0, n - 1, min(n, MOST_STOPS)).round().astype(int))
    xs = table[x].to_numpy(float)[keep]
    ax = axes[0]
    figure = ax.get_figure(root=True)
    assert figure is not None  # for the type checker: the axes was made by a figure
    across = figure.transFigure.inverted().transform(
        ax.transData.transform(np.column_stack([xs, np.ones_like(xs)]))
    )[:, 0]
    boxes = [(float(place) - 0.0008, rows[0], float(place) + 0.0008, rows[1]) for place in across]
    lanes = []
    for panel in panels:
        for column, name in panel.lines.items():
            label = plain(name) if len(panels) == 1 else f"{plain(panel.label)}, {plain(name)}"
            lanes.append(Lane(label, values=table[column].to_numpy(float)[keep]))
    heads = [f"{plain(x_label)} {number(value)}" for value in xs]
    return Readout(len(xs), lanes, heads=heads, boxes=boxes, start=len(xs) - 1)
