"""The gene track: transcripts over an interval, drawn as genome browsers draw them.

Coding exons are thick, untranslated ones thin, introns a line whose chevrons point along transcription. A bent arrow
marks a transcription start that lies in view; exons carry their number, counted along transcription.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.path import Path

from ntviz.plot import palette
from ntviz.plot.packing import packed
from ntviz.plot.readout import Lane
from ntviz.plot.transcripts import Annotated, Region, Transcript, collect, introns
from ntviz.plot.view import Drawn, Row, View, nothing_here, without_scale
from ntviz.plot.words import listing, plain, text_width

LANE = 0.54
"""Height of one line of transcripts, in inches."""

THICK, THIN = 0.17, 0.085
"""Half heights of coding and of untranslated exons, where a line of transcripts is 1 high."""

_CHEVRON = Path([(-0.5, -1.0), (0.5, 0.0), (-0.5, 1.0)], [1, 2, 2])
_NAME, _SMALL = 9.0, 7.0


@dataclass(frozen=True, slots=True)
class GenesTrack:
    """Genes over an interval, as `genes_track` makes it."""

    annotation: Annotated
    label: str
    most_lanes: int
    zoomable: bool = False

    def drawn(self, view: View) -> Drawn:
        """The row, lane and sentence of this track over a view."""
        transcripts, regions, note = collect(self.annotation, view.interval)
        shared = {gene for gene, count in Counter(t.gene for t in transcripts).items() if count > 1}
        names = [f"{t.gene} {t.transcript}" if t.gene in shared else t.gene for t in transcripts]
        items: list[Transcript | Region] = [*transcripts, *regions]
        names += [region.name for region in regions]
        lanes = self._packed(items, names, view)
        shown = [item for item, lane in zip(items, lanes, strict=True) if lane < self.most_lanes]
        hidden = len(items) - len(shown)
        if hidden:
            note = "; ".join(
                part for part in (note, f"{hidden:,} more not drawn: zoom in to see them") if part
            )
        n = max((lane for lane in lanes if lane < self.most_lanes), default=0) + 1

        def draw(ax: Axes) -> None:
            ax.set_ylim(-(n - 1) - 0.5, 0.5)
            without_scale(ax)
            for item, name, lane in zip(items, names, lanes, strict=True):
                if lane < self.most_lanes:
                    _draw(ax, view, item, name, -lane)
            if not items:
                nothing_here(ax)

        row = Row(self.label, self.label, note, LANE * n if items else 0.2, draw)
        return Drawn(
            (row,),
            (_lane(self.label, transcripts, regions, view),),
            _said(self.label, transcripts, regions, view),
        )

    @staticmethod
    def _packed(items: Sequence[Transcript | Region], names: Sequence[str], view: View) -> list[int]:
        """Line of each item, so that neither bodies nor names overlap."""
        extents = []
        for item, name in zip(items, names, strict=True):
            first, last = view.stops(*view.clip(item.start, item.end))
            place = _name_place(view, item, name)
            extents.append((min(view.inches(first), place.left), max(view.inches(last), place.right)))
        left, right = np.array(extents, dtype=float).reshape(-1, 2).T
        return packed(left, right, gap=0.12).tolist()


def genes_track(annotation: Annotated, *, label: str = "Genes", most_lanes: int = 6) -> GenesTrack:
    """A track of the genes of an annotation.

    Parameters
    ----------
    annotation
        What `annotation.read` returns. Features without a transcript (BED) are drawn as boxes with their name.
    label
        Name of the track.
    most_lanes
        Lines of transcripts at most; how many are left out is written beside the label.

    Raises
    ------
    ValueError
        If `most_lanes` is below 1.
    """
    if most_lanes < 1:
        raise ValueError(
            f"A gene track must have at least one line; received most_lanes={most_lanes}. Pass 1 or more."
        )
    return GenesTrack(annotation, plain(label, most=90), most_lanes)


def _draw(ax: Axes, view: View, item: Transcript | Region, name: str, y: float) -> None:
    start, end = view.clip(item.start, item.end)
    along = _along(view, item.strand)
    if isinstance(item, Region):
        ax.add_patch(_box(start, end, y, THICK, palette.GENE, "region"))
    else:
        ax.plot([start, end], [y, y], color=palette.GENE, linewidth=1.0, solid_capstyle="butt", zorder=1)
        _chevrons(ax, view, introns(item, start, end), y, along)
        for a, b, number in item.exons:
            a, b = view.clip(a, b)
            if a < b:
                ax.add_patch(_box(a, b, y, THIN, palette.GENE_PALE, "exon"))
                _exon_number(ax, view, a, b, number, y)
        for a, b in item.coding:
            a, b = view.clip(a, b)
            if a < b:
                ax.add_patch(_box(a, b, y, THICK, palette.GENE, "CDS"))
        if along and view.interval.contains(item.tss):
            _start_arrow(ax, item, y, along)
    place = _name_place(view, item, name)
    ax.annotate(
        name,
        (place.anchor, y + 0.36),
        xytext=(place.offset, 0),
        textcoords="offset points",
        va="center",
        ha=place.align,
        fontsize=_NAME,
        fontstyle="italic" if isinstance(item, Transcript) else "normal",
        color=palette.INK,
        gid="gene",
        annotation_clip=False,
    )


def _box(start: int, end: int, y: float, half: float, colour: str, gid: str) -> Rectangle:
    return Rectangle(
        (start, y - half), end - start, 2 * half, facecolor=colour, edgecolor=colour, linewidth=0.4, gid=gid
    )


def _chevrons(ax: Axes, view: View, gaps: list[tuple[int, int]], y: float, along: int) -> None:
    if not along:
        return
    places: list[float] = []
    for a, b in gaps:
        count = int(view.inches(b - a) / 0.28)
        places += np.linspace(a, b, count + 2)[1:-1].tolist()
    vertices = np.asarray(_CHEVRON.vertices) * [along, 1.0]
    marker = Path(vertices, _CHEVRON.codes)
    ax.plot(
        places,
        [y] * len(places),
        linestyle="none",
        marker=marker,
        markersize=6.0,
        markerfacecolor="none",
        markeredgecolor=palette.GENE,
        markeredgewidth=0.9,
        gid="chevrons",
        zorder=1,
    )


def _exon_number(ax: Axes, view: View, start: int, end: int, number: int, y: float) -> None:
    room = view.inches(end - start)
    for text in (f"exon {number}", str(number)):
        if text_width(text, _SMALL) + 0.04 <= room or (text == str(number) and room > 0.05):
            ax.annotate(
                text,
                ((start + end) / 2, y - THICK),
                xytext=(0, -1.5),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=_SMALL,
                color=palette.MUTED,
                gid="exon number",
            )
            return


def _start_arrow(ax: Axes, item: Transcript, y: float, along: int) -> None:
    # The outer edge of the first transcribed base.
    edge = item.tss + 1 if item.strand == "-" else item.tss
    ax.annotate(
        "",
        (edge, y + 0.36),
        xytext=(along * 20, 0),
        textcoords="offset points",
        arrowprops={
            "arrowstyle": "<|-",
            "color": palette.INK,
            "linewidth": 1.1,
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 8,
        },
        gid="TSS",
    )
    ax.plot(
        [edge, edge],
        [y, y + 0.36],
        color=palette.INK,
        linewidth=1.1,
        solid_capstyle="projecting",
        gid="TSS stem",
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a name stands: beside `anchor` (0-based edge), `offset` points away, covering `left` to `right` inches."""

    anchor: int
    offset: int
    align: Literal["left", "right"]
    left: float
    right: float


def _name_place(view: View, item: Transcript | Region, name: str) -> _Place:
    """Beyond the tip of the start's arrow; before its stem where there is no room; else at the left end of the body."""
    start, end = view.clip(item.start, item.end)
    wide = text_width(name, _NAME, slant="italic" if isinstance(item, Transcript) else "normal")
    along = _along(view, item.strand)

    def at(anchor: int, offset: int, align: Literal["left", "right"]) -> _Place:
        edge = view.inches(view.interval.end - anchor if view.reverse else anchor - view.interval.start)
        near = edge + offset / 72
        left = near if align == "left" else near - wide
        arrow = (
            (min(edge, edge + along * 20 / 72), max(edge, edge + along * 20 / 72)) if tss else (near, near)
        )
        return _Place(anchor, offset, align, min(left, arrow[0]), max(left + wide, arrow[1]))

    tss = isinstance(item, Transcript) and along != 0 and view.interval.contains(item.tss)
    if tss and isinstance(item, Transcript):
        anchor = item.tss + 1 if item.strand == "-" else item.tss
        place = at(anchor, along * 25, "left" if along > 0 else "right")
        if place.left >= 0 and place.right <= view.width:
            return place
        return at(anchor, -along * 5, "right" if along > 0 else "left")
    place = at(end if view.reverse else start, 0, "left")
    return place if place.right <= view.width else at(start if view.reverse else end, 0, "right")


def _along(view: View, strand: str) -> int:
    """+1 when transcription runs to the right of the picture, -1 to the left, 0 without a strand."""
    return 0 if strand not in ("+", "-") else (1 if (strand == "-") == view.reverse else -1)


def _lane(label: str, transcripts: list[Transcript], regions: list[Region], view: View) -> Lane:
    runs: list[tuple[int, int, str]] = []

    def add(start: int, end: int, text: str) -> None:
        start, end = view.clip(start, end)
        if start < end:
            first, last = view.stops(start, end)
            runs.append((first, last, text))

    for t in transcripts:
        add(t.tss, t.tss + 1, f"{t.gene} transcription start")
        for a, b, number in t.exons:
            inside = [(max(a, c), min(b, d)) for c, d in t.coding if max(a, c) < min(b, d)]
            edge = a
            for c, d in inside:
                add(edge, c, f"{t.gene} exon {number}, untranslated")
                add(c, d, f"{t.gene} exon {number}, coding")
                edge = d
            add(edge, b, f"{t.gene} exon {number}{', untranslated' if t.coding else ''}")
        for a, b in introns(t, t.start, t.end):
            add(a, b, f"{t.gene} intron")
    for region in regions:
        add(region.start, region.end, region.name)
    return Lane(label, runs=runs)


def _said(label: str, transcripts: list[Transcript], regions: list[Region], view: View) -> str:
    said = []
    for gene in dict.fromkeys(t.gene for t in transcripts):
        first = next(t for t in transcripts if t.gene == gene)
        starts = sorted({t.tss for t in transcripts if t.gene == gene and view.interval.contains(t.tss)})
        strand = {"+": "+ strand", "-": "− strand"}.get(first.strand, "no strand")
        places = f", transcription start at {listing([f'{tss + 1:,}' for tss in starts])}" if starts else ""
        said.append(f"{gene} ({strand}{places})")
    said += [region.name for region in regions]
    return f"{label}: {listing(said)}" if said else f"{label}: none here"
