"""What stands around a map: the heading, positions on its axes, the strip of special tokens, the colour bar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from ntviz.genome import Interval
from ntviz.plot import palette
from ntviz.plot.mapping import Cut, pooled, spaced
from ntviz.plot.view import View
from ntviz.plot.words import plain, text_width, wrapped

EDGE = 0.14
"""Rim of a figure, in inches."""

TICK = 0.78
"""Width of the labels of the rows' positions, in inches."""


def heading(drawing: Drawing, lines: Sequence[str], region: str) -> None:
    """Write the lines of a title and, beneath them, what is shown."""
    width, height = drawing.get_size_inches()
    for index, line in enumerate(lines):
        y = 1 - (0.14 + 0.24 * index + 0.17) / height
        drawing.text(EDGE / width, y, line, fontsize=13, fontweight="bold", gid="title")
    y = 1 - (0.14 + 0.24 * len(lines) + 0.17) / height
    drawing.text(EDGE / width, y, region, fontsize=9.5, color=palette.MUTED, gid="region")


def control_paper(drawing: Drawing, left: float, top: float, wide: float, deep: float) -> None:
    """Lay grey paper behind a control; inches from the top left corner of the figure."""
    width, height = drawing.get_size_inches()
    corner = (left / width, 1 - (top + deep) / height)
    drawing.add_artist(
        Rectangle(
            corner,
            wide / width,
            deep / height,
            facecolor=palette.CONTROL_PAPER,
            linewidth=0,
            zorder=-2,
            gid="control paper",
        )
    )


def _fitting(texts: Sequence[str], room: float) -> str:
    """The first text that fits; the last when none does."""
    return next((text for text in texts if text_width(text, 9.0) <= room), texts[-1])


def position_axes(ax: Axes, columns: View, rows: View, *, deep: float | None, assembly: str | None) -> None:
    """Label the positions of a map: keys below, queries at the left beyond tracks `deep` inches; None leaves these out."""
    chrom = plain(columns.interval.chrom)
    # A bare 20 would read as a number.
    chrom = f"chromosome {chrom}" if chrom.isdigit() or chrom in ("X", "Y") else chrom
    build = f" ({plain(assembly)})" if assembly else ""
    room = text_width(f"{columns.interval.end:,}", 8.5) + 0.14
    positions = spaced(columns.interval, columns.width, room)
    ax.xaxis.set_major_locator(FixedLocator([position - 0.5 for position in positions]))
    ax.xaxis.set_major_formatter(FixedFormatter(_kept(positions, columns)))
    for label, position in zip(ax.get_xticklabels(), positions, strict=True):
        if _overhang(position, columns) > 0.05:
            label.set_horizontalalignment("right")
    place = f"position on {chrom}, bp"
    texts = [f"Key, looked at: {place}{build}", f"Key, looked at: {place}", f"Key: {place}", "Key, bp"]
    ax.set_xlabel(_fitting(texts, columns.width), labelpad=3)
    if deep is None:
        ax.yaxis.set_major_locator(NullLocator())
        return
    square = rows.interval == columns.interval and len(positions) > 2
    positions = positions if square else spaced(rows.interval, rows.width, 0.42)
    ax.yaxis.set_major_locator(FixedLocator([position - 0.5 for position in positions]))
    ax.yaxis.set_major_formatter(FixedFormatter([f"{position:,}" for position in positions]))
    if deep:
        # The label stands beyond the tracks, and a hairline leads through them to the map.
        ax.tick_params(axis="y", length=72 * deep, width=0.5, color=palette.FAINT, pad=2)
    texts = [f"Query, looking: {place}{build}", f"Query, looking: {place}", "Query: position, bp", "Query"]
    ax.set_ylabel(_fitting(texts, rows.width))
    ax.yaxis.set_label_coords(-(deep + TICK + 0.1) / columns.width, 0.5)


def _overhang(position: int, view: View) -> float:
    """How far the label of a position reaches beyond the right edge, in inches."""
    left, right = view.limits
    from_right = (right - position + 0.5) / (right - left) * view.width
    return text_width(f"{position:,}", 8.5) / 2 - from_right


def _kept(positions: Sequence[int], view: View) -> list[str]:
    """Labels of positions; one that must end at its tick stays only where it leaves its neighbour room."""
    texts = [f"{position:,}" for position in positions]
    for index, position in enumerate(positions):
        if _overhang(position, view) > 0.05 and len(positions) > 1:
            step = view.inches(abs(positions[1] - positions[0]))
            if step < 1.5 * text_width(texts[index], 8.5) + 0.12:
                texts[index] = ""
    return texts


def special_strip(
    ax: Axes, shares: np.ndarray, cells: Cut, rows: View, *, limit: float, name: str, control: bool
) -> None:
    """Draw the share of attention on special tokens [query], a bar for each row of the map."""
    one = Cut(np.arange(2), np.zeros(1, dtype=int), np.ones(1, dtype=int), False)
    values = pooled(shares[:, None], cells, one)[:, 0]
    ax.stairs(
        np.nan_to_num(values),
        cells.edges,
        orientation="horizontal",
        fill=True,
        color=palette.CONTROL if control else palette.ACCENT,
        linewidth=0,
        gid="special",
    )
    ax.set_ylim(*rows.limits[::-1])
    ax.set_xlim(0, limit)
    ax.yaxis.set_major_locator(NullLocator())
    ax.xaxis.set_major_locator(FixedLocator([0.0, limit]))
    ax.xaxis.set_major_formatter(FixedFormatter(["0", f"{limit:.0%}"]))
    ax.tick_params(axis="x", labelsize=7.5)
    first, last = ax.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    ax.set_xlabel(f"on {name}", fontsize=8, labelpad=5)


def outline(ax: Axes, rows: Interval, columns: Interval) -> None:
    """Outline the part of a map that is enlarged elsewhere in the figure."""
    for colour, thick in ((palette.PAPER, 2.6), (palette.INK, 1.1)):
        ax.add_patch(
            Rectangle(
                (columns.start, rows.start),
                len(columns),
                len(rows),
                facecolor="none",
                edgecolor=colour,
                linewidth=thick,
                gid="zoomed part",
            )
        )


def colour_bar(
    ax: Axes,
    colours: ListedColormap,
    norm: Normalize,
    *,
    ticks: Sequence[float],
    texts: Sequence[str],
    label: str,
    length: float,
) -> None:
    """Draw an upright colour bar, `length` inches long, with its label at the right."""
    n = colours.N
    ax.pcolormesh(
        [0, 1],
        np.linspace(0, 1, n + 1),
        (np.arange(n)[:, None] + 0.5) / n,
        norm=Normalize(0, 1),
        cmap=colours,
        antialiased=False,
        linewidth=0,
        rasterized=True,
    )
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_linewidth(0.6)
    ax.xaxis.set_major_locator(NullLocator())
    ax.yaxis.tick_right()
    ax.yaxis.set_major_locator(FixedLocator([float(norm(value)) for value in ticks]))
    ax.yaxis.set_major_formatter(FixedFormatter(list(texts)))
    ax.tick_params(axis="y", labelsize=8)
    ax.set_ylabel("\n".join(wrapped(label, length, 8.5)), fontsize=8.5, linespacing=1.1)
    ax.yaxis.set_label_position("right")
