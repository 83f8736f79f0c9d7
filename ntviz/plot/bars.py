"""`bars`: one value a category, with its uncertainty, against what a simple method reaches."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from ntviz.plot import palette
from ntviz.plot.figure import Figure
from ntviz.plot.readout import Lane, Readout
from ntviz.plot.signals import halo
from ntviz.plot.ticks import numbers
from ntviz.plot.words import number, plain, sentence, text_width, wrapped

HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++")
"""Of the series, in order: no series is told from another by colour alone."""


def bars(
    table: pd.DataFrame,
    *,
    category: str,
    value: str,
    title: str,
    label: str = "",
    low: str | None = None,
    high: str | None = None,
    n: str | None = None,
    series: str | None = None,
    baselines: Mapping[str, float] | None = None,
    error_label: str = "",
    zero: bool = True,
    caption: str = "",
    width: float = 8.0,
) -> Figure:
    """A figure of horizontal bars, one a category in the order of the table, with error bars and the value as text.

    Parameters
    ----------
    table
        One row a bar.
    category, value
        Columns of the name and of the length of each bar.
    title
        Says what the figure shows.
    label
        Of the horizontal axis, with its unit; the column's name when empty.
    low, high
        Columns of the two ends of each error bar, on the scale of the value; NaN for a bar without one. Give both
        or neither.
    n
        Column of the number of observations, written beside the category.
    series
        Column that splits each category into several bars, such as a model and its control.
    baselines
        Names and values of vertical lines.
    error_label
        What the error bars are, such as "95 % interval by bootstrap"; written under the axis.
    zero
        Whether the axis starts at zero, as bars must. False draws points on an axis that shows the differences.
    caption
        Text under the figure; the title when empty.
    width
        In inches of 96 CSS pixels.

    Raises
    ------
    ValueError
        If a column is missing, a value is not finite, an error bar does not hold its value, or a category comes twice
        within a series.

    Examples
    --------
    >>> table = pd.DataFrame({"element": ["exon", "intron"], "loss": [7.5, 7.2]})
    >>> print(bars(table, category="element", value="loss", label="loss, nats", title="Loss by element"))
    Loss by element. loss, nats: exon 7.5; intron 7.2.
    """
    _check(table, category, value, low, high, n, series)
    title = plain(title, most=200)
    categories = list(dict.fromkeys(table[category].astype(str)))
    groups = list(dict.fromkeys(table[series].astype(str))) if series else [""]
    thick = 0.26 if len(groups) == 1 else 0.2
    pitch = thick * len(groups) + 0.16
    counts = _counts(table, category, n)
    names = [plain(name, most=36) for name in categories]
    left = 0.3 + max(
        max(text_width(name, 9.5), text_width(counts.get(raw, ""), 7.5))
        for name, raw in zip(names, categories, strict=True)
    )
    lines = wrapped(title, width - 0.3, 13.0, weight="bold")
    head = 0.14 + 0.24 * len(lines) + (0.22 + 0.26 * bool(series) + 0.2 * bool(baselines))
    foot = 0.62 + (0.18 if error_label and low else 0.0)
    tall = pitch * len(categories)
    height = head + tall + foot
    span = width - left - 0.45
    with palette.style():
        drawing = Drawing(figsize=(width, height))
        for index, line in enumerate(lines):
            y_title = 1 - (0.14 + 0.24 * index + 0.17) / height
            drawing.text(0.14 / width, y_title, line, fontsize=13, fontweight="bold", gid="title")
        ax = drawing.add_axes(
            (left / width, foot / height, span / width, tall / height), label=plain(label or value)
        )
        boxes = _draw(ax, table, categories, groups, category, value, low, high, series, thick / pitch, zero)
        _finish(
            ax,
            names,
            [counts.get(raw, "") for raw in categories],
            plain(label or value),
            baselines or {},
            zero,
        )
        if series:
            _key(drawing, groups, left, height - head + (0.28 if baselines else 0.16), zero)
        if error_label and low:
            drawing.text(
                left / width,
                0.07 / height,
                f"Error bars: {plain(error_label)}",
                fontsize=8,
                color=palette.MUTED,
            )
        readout = _readout(ax, boxes, plain(label or value))
    return Figure(
        drawing,
        title=title,
        alt=_said(table, title, category, value, low, high, series, plain(label or value), baselines or {}),
        caption=caption,
        readout=readout,
    )


def _check(
    table: pd.DataFrame,
    category: str,
    value: str,
    low: str | None,
    high: str | None,
    n: str | None,
    series: str | None,
) -> None:
    if (low is None) != (high is None):
        raise ValueError(
            f"Error bars must have two ends; received low={low!r} and high={high!r}. Name both columns."
        )
    for column in (category, value, low, high, n, series):
        if column is not None and column not in table.columns:
            known = ", ".join(map(repr, list(table.columns)[:10]))
            raise ValueError(
                f"The table must have the column {column!r}; received the columns {known}. Name one of them."
            )
    if table.empty:
        raise ValueError("Bars must have at least one row; received an empty table. Check what made it.")
    values = table[value].to_numpy(float)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(
            f"The column {value!r} must be finite; received {values[row]} for {table[category].iloc[row]!r}. "
            f"Drop the row, and say so."
        )
    keys = [category, *([series] if series else [])]
    twice = table.duplicated(keys)
    if twice.any():
        raise ValueError(
            f"Each bar must have one row; received {table.loc[twice, category].iloc[0]!r} more than once. "
            f"Name the column that tells the rows apart as series=."
        )
    if low is not None and high is not None:
        ends = table[[low, high]].to_numpy(float)
        outside = (ends[:, 0] > values + 1e-12) | (ends[:, 1] < values - 1e-12)
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise ValueError(
                f"An error bar must hold its value; received {values[row]:g} with ends {ends[row, 0]:g} and "
                f"{ends[row, 1]:g} for {table[category].iloc[row]!r}. Give the ends on the scale of the value."
            )


def _counts(table: pd.DataFrame, category: str, n: str | None) -> dict[str, str]:
    if n is None:
        return {}
    first = table.drop_duplicates(category)
    return {str(name): f"n = {int(count):,}" for name, count in zip(first[category], first[n], strict=True)}


def _draw(
    ax: Axes,
    table: pd.DataFrame,
    categories: list[str],
    groups: list[str],
    category: str,
    value: str,
    low: str | None,
    high: str | None,
    series: str | None,
    thick: float,
    zero: bool,
) -> list[tuple[str, float, float, float]]:
    """Draw the bars; returns name, value, and the vertical edges of each in data coordinates."""
    boxes = []
    shown = [f"{abs(float(size)):.3g}" for size in table[value]]
    decimals = max(len(text.partition(".")[2]) for text in shown)
    # Very small values take powers of ten, each for itself; others share their decimals.
    written = [number(float(v)) for v in table[value]]
    if not any("e" in text for text in shown):
        written = [f"{float(v):,.{decimals}f}".replace("-", "−") for v in table[value]]
    for row in range(len(table)):
        name = str(table[category].iloc[row])
        group = str(table[series].iloc[row]) if series else ""
        place = groups.index(group)
        middle = categories.index(name) + (place - (len(groups) - 1) / 2) * thick
        size = float(table[value].iloc[row])
        colour = palette.LINES[place % len(palette.LINES)]
        hatch = HATCHES[place % len(HATCHES)]
        if zero:
            ax.barh(
                middle,
                size,
                height=thick * 0.92,
                facecolor=colour if not hatch else palette.PAPER,
                edgecolor=colour,
                hatch=hatch,
                linewidth=0.9,
                zorder=2,
                label=group,
            )
        else:
            marker = palette.MARKERS[place % len(palette.MARKERS)]
            ax.plot(
                [size],
                [middle],
                marker=marker,
                markersize=7,
                color=colour,
                linestyle="none",
                zorder=5,
                label=group,
            )
        # Beyond a point, half its marker is in the way.
        tip, gap = size, 4 if zero else 8
        if low is not None and high is not None:
            ends = float(table[low].iloc[row]), float(table[high].iloc[row])
        else:
            ends = (np.nan, np.nan)
        if np.isfinite(ends).all():
            ax.errorbar(
                size,
                middle,
                xerr=[[size - ends[0]], [ends[1] - size]],
                color=palette.INK if zero else colour,
                linewidth=1.1,
                capsize=2.5,
                capthick=1.1,
                zorder=4,
            )
            tip = ends[1] if size >= 0 else ends[0]
        text = ax.annotate(
            written[row],
            (tip, middle),
            xytext=(gap if size >= 0 else -gap, 0),
            textcoords="offset points",
            va="center",
            ha="left" if size >= 0 else "right",
            fontsize=8.5,
            color=palette.INK,
            gid="value",
            zorder=5,
        )
        halo(text)
        boxes.append(
            (
                f"{plain(name)}{f', {plain(group)}' if group else ''}",
                size,
                middle - thick / 2,
                middle + thick / 2,
            )
        )
    return boxes


def _finish(
    ax: Axes, names: list[str], counts: list[str], label: str, baselines: Mapping[str, float], zero: bool
) -> None:
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_yticks(range(len(names)), names, fontsize=9.5)
    ax.tick_params(axis="y", length=0, pad=5)
    for index, count in enumerate(counts):
        if count:
            ax.get_yticklabels()[index].set_verticalalignment("bottom")
            ax.annotate(
                count,
                (0, index),
                xycoords=("axes fraction", "data"),
                xytext=(-5, -1.5),
                textcoords="offset points",
                ha="right",
                va="top",
                fontsize=7.5,
                color=palette.MUTED,
                gid="n",
                annotation_clip=False,
            )
    numbers(ax.xaxis, most=7)
    ax.grid(axis="x", color=palette.FAINT, linewidth=0.5)
    ax.set_axisbelow(True)
    ax.set_xlabel(label, labelpad=4)
    if zero:
        ax.axvline(0.0, color=palette.INK, linewidth=0.7)
    low, high = ax.get_xlim()
    every = [*baselines.values(), low, high]
    low, high = min(every), max(every)
    # Room for the value written after the longest bar.
    ax.set_xlim(
        low - (0.1 * (high - low) if low < 0 else 0 if zero else 0.03 * (high - low)),
        high + 0.08 * (high - low),
    )
    for name, value in baselines.items():
        ax.axvline(
            value,
            color=palette.MUTED,
            linewidth=1.1,
            linestyle=(0, (1.2, 1.6)),
            zorder=3,
            gid=f"baseline {plain(name)}",
        )
        ax.annotate(
            f"{plain(name, most=32)} {number(value)}",
            (value, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
            color=palette.MUTED,
            gid="baseline name",
        )


def _key(drawing: Drawing, groups: list[str], left: float, y: float, zero: bool) -> None:
    width, height = drawing.get_size_inches()
    x = left
    for index, group in enumerate(groups):
        colour, hatch = palette.LINES[index % len(palette.LINES)], HATCHES[index % len(HATCHES)]
        patch = Rectangle(
            (x / width, y / height),
            0.2 / width,
            0.11 / height,
            facecolor=palette.PAPER if hatch else colour,
            edgecolor=colour,
            hatch=hatch,
            linewidth=0.9,
            transform=drawing.transFigure,
        )
        if zero:
            drawing.add_artist(patch)
        else:
            marker = palette.MARKERS[index % len(palette.MARKERS)]
            place = [(x + 0.13) / width], [(y + 0.055) / height]
            drawing.add_artist(Line2D(*place, marker=marker, markersize=7, color=colour, linestyle="none"))
        name = plain(group, most=36)
        drawing.text((x + 0.26) / width, (y + 0.055) / height, name, va="center", fontsize=8.5, gid="key")
        x += 0.26 + text_width(name, 8.5) + 0.25


def _said(
    table: pd.DataFrame,
    title: str,
    category: str,
    value: str,
    low: str | None,
    high: str | None,
    series: str | None,
    label: str,
    baselines: Mapping[str, float],
) -> str:
    said = []
    for row in range(len(table)):
        name = plain(table[category].iloc[row])
        if series:
            name += f", {plain(table[series].iloc[row])}"
        text = f"{name} {number(float(table[value].iloc[row]))}"
        ends = (
            [] if low is None or high is None else [float(table[column].iloc[row]) for column in (low, high)]
        )
        if ends and np.isfinite(ends).all():
            text += f" ({number(ends[0])} to {number(ends[1])})"
        said.append(text)
    left_out = len(said) - 24
    if left_out > 0:
        said = [*said[:24], f"and {left_out} more"]
    levels = "; ".join(f"{plain(name)} {number(level)}" for name, level in baselines.items())
    return f"{sentence(title)} {label}: {'; '.join(said)}.{f' Baselines: {levels}.' if levels else ''}"


def _readout(ax: Axes, boxes: list[tuple[str, float, float, float]], label: str) -> Readout:
    figure = ax.get_figure(root=True)
    assert figure is not None  # for the type checker: the axes was made by a figure
    left, right = ax.get_xlim()
    places = []
    for _, _, top, bottom in boxes:
        corners = ax.transData.transform([(left, top), (right, bottom)])
        (x0, y0), (x1, y1) = figure.transFigure.inverted().transform(corners)
        places.append((float(x0), float(1 - y0), float(x1), float(1 - y1)))
    order = sorted(range(len(boxes)), key=lambda index: places[index][1])
    values = np.array([boxes[index][1] for index in order])
    return Readout(
        len(boxes),
        [Lane(label, values=values)],
        heads=[boxes[index][0] for index in order],
        boxes=[places[index] for index in order],
        start=0,
    )
