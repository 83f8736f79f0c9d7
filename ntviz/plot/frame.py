"""The frame of a locus figure: where rows stand, their labels, the genome axis, the header, marks and the zoom's link.

Lengths are inches from the top left corner of the figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from matplotlib.ticker import NullLocator

from ntviz.genome import Interval
from ntviz.plot import palette
from ntviz.plot.ticks import tick_positions
from ntviz.plot.view import Row, View
from ntviz.plot.words import fitted, length, plain, text_width, wrapped

LEFT, RIGHT = 0.84, 0.22
LABEL, GAP, AXIS, LINK = 0.235, 0.13, 0.44, 0.34


@dataclass(slots=True)
class Block:
    """Rows that share one genome axis, and where they stand, in inches from the top of the figure."""

    view: View
    rows: list[Row]
    tops: list[float] = field(default_factory=list)
    bottom: float = 0.0
    axes: list[Axes] = field(default_factory=list)
    background: Axes | None = None

    def stack(self, top: float) -> float:
        """Place the rows below `top`; returns where the block with its axis ends."""
        for row in self.rows:
            top += LABEL if row.label else 0.03
            self.tops.append(top)
            top += row.height + GAP
        self.bottom = top - GAP
        return self.bottom + AXIS


def plain_label(interval: Interval) -> str:
    """The region without its strand."""
    return Interval(interval.chrom, interval.start, interval.end).label()


def region_text(interval: Interval, assembly: str | None) -> str:
    """The region, its length, the assembly and the strand, on one line."""
    parts = [plain(plain_label(interval)), f"{len(interval):,} bp"]
    if assembly:
        parts.append(plain(assembly))
    if interval.strand != ".":
        parts.append("− strand, 5′ to 3′ from left to right" if interval.strand == "-" else "+ strand")
    return " · ".join(parts)


def draw_block(
    drawing: Drawing, block: Block, *, assembly: str | None, marks: Mapping[str, Interval]
) -> None:
    """Make the axes of a block, draw its rows, and label its genome axis."""
    if not block.rows:
        return
    width, height = drawing.get_size_inches()
    view = block.view
    _background(drawing, block, marks)
    for row, top in zip(block.rows, block.tops, strict=True):
        box = (LEFT / width, 1 - (top + row.height) / height, view.width / width, row.height / height)
        ax = drawing.add_axes(box, label=f"zoom: {row.name}" if view.zoomed else row.name)
        ax.set_xlim(*view.limits)
        ax.patch.set_visible(False)
        row.draw(ax)
        # Drawing must not move the limits: a gene that runs on would stretch them.
        ax.set_xlim(*view.limits)
        ax.xaxis.set_major_locator(NullLocator())
        unit = wrapped(ax.get_ylabel(), row.height, 9.0)
        ax.set_ylabel("\n".join(unit), linespacing=1.05)
        ax.yaxis.set_label_coords((-0.60 if len(unit) == 1 else -0.50) / view.width, 0.5)
        ax.set_axisbelow(True)
        _row_label(drawing, row, top)
        block.axes.append(ax)
    _genome_axis(block, assembly)


def _background(drawing: Drawing, block: Block, marks: Mapping[str, Interval]) -> None:
    """Grey paper behind controls, and marks that run through all rows without a break."""
    width, height = drawing.get_size_inches()
    view, top, bottom = block.view, block.tops[0], block.bottom
    ax = drawing.add_axes(
        (LEFT / width, 1 - bottom / height, view.width / width, (bottom - top) / height),
        label="background",
        zorder=-1,
    )
    ax.set_axis_off()
    ax.set_xlim(*view.limits)
    ax.set_ylim(bottom, top)
    for row, row_top in zip(block.rows, block.tops, strict=True):
        if row.control:
            ax.axhspan(
                row_top, row_top + row.height, color=palette.CONTROL_PAPER, linewidth=0, gid="control paper"
            )
    for at in marks.values():
        start, end = view.clip(at.start, at.end)
        if start < end:
            ax.axvspan(start, end, color=palette.MARK, alpha=0.4, linewidth=0, gid="mark")
    block.background = ax


def _row_label(drawing: Drawing, row: Row, top: float) -> None:
    if not row.label:
        return
    width, height = drawing.get_size_inches()
    y = 1 - (top - 0.06) / height
    colour = palette.MUTED if row.control else palette.INK
    drawing.text(LEFT / width, y, row.label, fontsize=9.5, fontweight="bold", color=colour, gid="track label")
    if row.note:
        x = LEFT + text_width(row.label, 9.5, weight="bold") + 0.09
        note = fitted(row.note, width - RIGHT - x, 8.5)
        drawing.text(x / width, y, note, fontsize=8.5, color=palette.MUTED, gid="track note")


def _genome_axis(block: Block, assembly: str | None) -> None:
    view, ax = block.view, block.axes[-1]
    positions = tick_positions(view.interval, view.width)
    # The label of a base stands under its middle.
    ax.set_xticks([position - 0.5 for position in positions], [f"{position:,}" for position in positions])
    for label in ax.get_xticklabels():
        # What would run over the figure's right edge ends at its tick instead.
        left, right = ax.get_xlim()
        room = (right - label.get_position()[0]) / (right - left) * view.width + RIGHT
        if text_width(label.get_text(), 9.0) / 2 > room - 0.02:
            label.set_horizontalalignment("right")
    ax.spines["bottom"].set_visible(True)
    chrom = plain(view.interval.chrom)
    # A bare 20 would read as a number.
    chrom = f"chromosome {chrom}" if chrom.isdigit() or chrom in ("X", "Y") else chrom
    name = f"Position on {chrom}, bp" + (f" ({plain(assembly)})" if assembly else "")
    ax.set_xlabel(name + (", falling to the right" if view.reverse else ""), fontsize=9, labelpad=2.5)


def header(drawing: Drawing, lines: list[str], view: View, *, assembly: str | None) -> None:
    """Write the title and the region, and draw the scale bar."""
    width, height = drawing.get_size_inches()
    for index, line in enumerate(lines):
        y = 1 - (0.14 + 0.24 * index + 0.17) / height
        drawing.text(0.14 / width, y, line, fontsize=13, fontweight="bold", gid="title")
    y = 1 - (0.14 + 0.24 * len(lines) + 0.17) / height
    drawing.text(
        0.14 / width, y, region_text(view.interval, assembly), fontsize=9.5, color=palette.MUTED, gid="region"
    )
    # A bar of a round length, between an eighth and a quarter of the axis.
    bp = 1
    while True:
        sizes = [size for size in (bp, 2 * bp, 5 * bp) if view.inches(size) >= view.width / 9]
        if sizes:
            bp = sizes[0]
            break
        bp *= 10
    if bp > len(view.interval):
        return
    right, wide = width - RIGHT, view.inches(bp)
    middle = y + 0.05 / height
    tall = 0.035 / height
    xs = [(right - wide) / width, right / width]
    pieces = [([xs[0], xs[1]], [middle, middle])] + [([x, x], [middle - tall, middle + tall]) for x in xs]
    for across, up in pieces:
        drawing.add_artist(Line2D(across, up, color=palette.INK, linewidth=1.1, gid="scale bar"))
    drawing.text(
        (right - wide - 0.07) / width,
        middle,
        length(bp),
        ha="right",
        va="center",
        fontsize=8.5,
        gid="scale bar length",
    )


def mark_names(block: Block, marks: Mapping[str, Interval]) -> None:
    """Write the names of marks above the first row, leaving out those that would touch their neighbours."""
    if not block.axes:
        return
    # Names stand above the label of the first track.
    taken = -1.0
    view, ax = block.view, block.axes[0]
    placed = []
    for name, at in marks.items():
        start, end = view.clip(at.start, at.end)
        first, last = view.stops(start, end)
        placed.append((view.inches((first + last) / 2), (start + end) / 2, plain(name, most=32)))
    above = LABEL if block.rows[0].label else 0.03
    for inches, middle, name in sorted(placed):
        wide = text_width(name, 8.0)
        left = min(max(inches - wide / 2, 0.0), view.width - wide)
        if left <= taken:
            # Names of neighbours would touch: the readout and the alt sentence have them all.
            continue
        taken = left + wide + 0.08
        ax.annotate(
            name,
            (middle, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=((left + wide / 2 - inches) * 72, (above + 0.01) * 72),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
            color=palette.INK,
            gid="mark name",
            annotation_clip=False,
        )


def link(drawing: Drawing, overview: Block, near: Block) -> None:
    """Shade the enlarged part in the overview, and lead from its axis to the block that enlarges it."""
    width, height = drawing.get_size_inches()
    view = overview.view
    first, last = view.stops(near.view.interval.start, near.view.interval.end)
    if overview.background is not None:
        start, end = near.view.interval.start, near.view.interval.end
        overview.background.axvspan(start, end, color=palette.INK, alpha=0.07, linewidth=0, gid="zoomed part")
    upper, lower = overview.bottom, near.tops[0] - LABEL - 0.02
    left, right = LEFT + view.inches(first), LEFT + view.inches(last)
    corners = [(left, upper), (right, upper), (LEFT + view.width, lower), (LEFT, lower)]
    shape = [(x / width, 1 - y / height) for x, y in corners]
    drawing.add_artist(
        Polygon(
            shape, closed=True, facecolor=palette.INK, alpha=0.05, linewidth=0, zorder=-2, gid="zoom link"
        )
    )
