"""One line of a track along an edge of a map: a gene with its transcripts merged, drawn over columns or turned along rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.path import Path

from ntviz.plot import palette
from ntviz.plot.signals import halo
from ntviz.plot.view import View
from ntviz.plot.words import text_width

NAME = 8.5
"""Type size of a gene's name, in points."""

ARROW = 0.17
"""Length of the arrow at a transcription start, in inches."""


@dataclass(frozen=True, slots=True)
class Line:
    """A gene with all its transcripts merged, or another feature; positions are 0-based half-open."""

    name: str
    strand: str
    start: int
    end: int
    exons: tuple[tuple[int, int], ...]
    coding: tuple[tuple[int, int], ...]
    starts: tuple[int, ...]
    gene: bool = True


def between(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The gaps of a gene's exons: its introns."""
    return [(a[1], b[0]) for a, b in pairwise(spans)]


def direction(view: View, strand: str) -> int:
    """+1 when transcription runs with the reading direction of the picture, -1 against it, 0 without a strand."""
    return 0 if strand not in ("+", "-") else (1 if (strand == "-") == view.reverse else -1)


def _start_in(line: Line, view: View) -> int | None:
    """0-based edge of the outermost transcription start in view."""
    inside = [tss for tss in line.starts if view.interval.contains(tss)]
    if not inside or not line.gene:
        return None
    return max(inside) + 1 if line.strand == "-" else min(inside)


def name_extent(line: Line, view: View) -> tuple[float, float]:
    """Where the name stands, in inches from the first base of the picture: beyond the arrow of its start, else at its left end."""
    wide = text_width(line.name, NAME, slant="italic" if line.gene else "normal")
    edge = _start_in(line, view)
    if edge is None:
        first, _ = view.stops(*view.clip(line.start, line.end))
        left = min(view.inches(first), max(0.0, view.width - wide))
        return left, left + wide
    # The edge between two bases as inches from the left of the picture.
    at = view.inches(view.interval.end - edge if view.reverse else edge - view.interval.start)
    way = direction(view, line.strand)
    left = at + ARROW + 0.07 if way > 0 else at - ARROW - 0.07 - wide
    if left < 0 or left + wide > view.width:
        left = at - 0.07 - wide if way > 0 else at + 0.07
    return left, left + wide


@dataclass(frozen=True, slots=True)
class Edge:
    """Axes along one edge: `along` in genome coordinates, `out` in inches away from the map."""

    ax: Axes
    view: View
    upright: bool

    def limits(self, depth: float) -> None:
        first, last = self.view.limits
        if self.upright:
            self.ax.set_ylim(last, first)
            self.ax.set_xlim(depth, 0)
        else:
            self.ax.set_xlim(first, last)
            self.ax.set_ylim(0, depth)
        self.ax.set_axis_off()

    def box(self, start: float, end: float, low: float, high: float, colour: str, gid: str) -> None:
        corner = (low, start) if self.upright else (start, low)
        size = (high - low, end - start) if self.upright else (end - start, high - low)
        self.ax.add_patch(
            Rectangle(corner, *size, facecolor=colour, edgecolor=colour, linewidth=0.3, gid=gid)
        )

    def line(
        self,
        along: Sequence[float],
        out: Sequence[float],
        gid: str,
        *,
        colour: str = palette.GENE,
        thick: float = 1.0,
        **options: Any,
    ) -> None:
        xs, ys = (out, along) if self.upright else (along, out)
        self.ax.add_line(Line2D(xs, ys, gid=gid, color=colour, linewidth=thick, **options))

    def text(
        self,
        along: float,
        out: float,
        text: str,
        *,
        size: float,
        gid: str,
        colour: str = palette.INK,
        turned: bool = True,
        **options: Any,
    ) -> None:
        xy = (out, along) if self.upright else (along, out)
        written = self.ax.text(
            *xy,
            text,
            ha="center",
            va="center",
            fontsize=size,
            color=colour,
            gid=gid,
            rotation=90 if self.upright and turned else 0,
            **options,
        )
        if self.upright and turned:
            # Hairlines lead from the labels of positions through upright tracks.
            halo(written)

    def at(self, inches: float) -> float:
        """Genome coordinate of a place given in inches from the first base of the picture."""
        first, last = self.view.limits
        return first + (last - first) * inches / self.view.width


def draw_line(edge: Edge, line: Line, out: float) -> None:
    """Draw a gene or a region whose middle is `out` inches away from the map, with its name beyond it."""
    view = edge.view
    start, end = view.clip(line.start, line.end)
    way = direction(view, line.strand)
    if not line.gene:
        edge.box(start, end, out - 0.05, out + 0.05, palette.GENE, "region")
    else:
        edge.line([start, end], [out, out], "gene line", solid_capstyle="butt", zorder=1)
        _chevrons(edge, line, out, way)
        for spans, half, colour, gid in (
            (line.exons, 0.035, palette.GENE_PALE, "exon"),
            (line.coding, 0.06, palette.GENE, "CDS"),
        ):
            for a, b in spans:
                a, b = view.clip(a, b)
                if a < b:
                    edge.box(a, b, out - half, out + half, colour, gid)
    name_out = out + 0.155
    tss = _start_in(line, view)
    if tss is not None:
        tip = edge.at((view.interval.end - tss if view.reverse else tss - view.interval.start) * view.width
                      / len(view.interval) + way * ARROW)  # fmt: skip
        edge.line([tss, tss, tip], [out, name_out, name_out], "TSS", colour=palette.INK, thick=0.9)
        turn = 90 if edge.upright else 0
        # Down the page is along the reading direction of an upright edge.
        side = {(0, 1): ">", (0, -1): "<", (90, 1): "v", (90, -1): "^"}[turn, way]
        edge.line([tip], [name_out], "TSS tip", colour=palette.INK, marker=side, markersize=4)
    left, right = name_extent(line, view)
    edge.text(
        edge.at((left + right) / 2),
        name_out,
        line.name,
        size=NAME,
        gid="gene",
        fontstyle="italic" if line.gene else "normal",
    )


def _chevrons(edge: Edge, line: Line, out: float, way: int) -> None:
    if not way:
        return
    view = edge.view
    places: list[float] = []
    for a, b in between(line.exons):
        a, b = view.clip(a, b)
        count = int(view.inches(b - a) / 0.28) if a < b else 0
        places += np.linspace(a, b, count + 2)[1:-1].tolist()
    tip = np.array([[-0.5, -1.0], [0.5, 0.0], [-0.5, 1.0]]) * [way, 1.0]
    if edge.upright:
        tip = tip[:, ::-1] * [1.0, -1.0]
    edge.line(
        places,
        [out] * len(places),
        "chevrons",
        linestyle="none",
        marker=Path(tip, [1, 2, 2]),
        markersize=5.0,
        markerfacecolor="none",
        markeredgecolor=palette.GENE,
        markeredgewidth=0.8,
        zorder=1,
    )
