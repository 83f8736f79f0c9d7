"""Tracks along an edge of a map: letters, elements and genes over its columns, or turned along its rows.

They are drawn small, since a map has them twice: all transcripts of a gene are merged into one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes

from ntviz.genome import Interval
from ntviz.plot import palette
from ntviz.plot.edges import Edge, Line, between, draw_line, name_extent
from ntviz.plot.transcripts import Annotated, collect
from ntviz.plot.view import View
from ntviz.plot.words import listing, plain

LETTERS, ELEMENT, GENE, GAP = 0.14, 0.13, 0.36, 0.05
"""Depth of one line of letters, of an element and of a gene, and the gap to the map, in inches."""

MOST_GENES = 3
"""Lines of genes at most; how many genes are left out is said."""

_LETTER_WIDTH = 6.0
"""CSS pixels that a base needs for its letter."""


class Elements(Protocol):
    """What named elements are looked up in: `Annotation` fits."""

    def indicator(self, interval: Interval, element: str) -> np.ndarray:
        """Which bases of an interval are in an element; bool, in its reading direction."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Margin:
    """The tracks along one edge.

    Parameters
    ----------
    view
        The window along the edge.
    lines, lanes
        Genes, and the line on which each is drawn, 0 nearest to the map.
    elements
        [stretch, 2] 0-based half-open of each element, nearest to the map first.
    """

    view: View
    lines: Sequence[Line]
    lanes: Sequence[int]
    elements: Mapping[str, np.ndarray]

    @property
    def lettered(self) -> bool:
        """Whether bases are wide enough for their letters."""
        return self.view.bases is not None and self.view.base_width >= _LETTER_WIDTH

    @property
    def hidden(self) -> int:
        """Number of genes not drawn."""
        return sum(lane >= MOST_GENES for lane in self.lanes)

    @property
    def depth(self) -> float:
        """Of all tracks together, in inches; 0 without any."""
        lanes = min(max(self.lanes, default=-1) + 1, MOST_GENES)
        deep = LETTERS * self.lettered + ELEMENT * len(self.elements) + GENE * lanes
        return deep + GAP if deep else 0.0

    def places(self) -> dict[str, float]:
        """Middle of each element's line, in inches from the map."""
        first = GAP + LETTERS * self.lettered
        return {name: first + (index + 0.5) * ELEMENT for index, name in enumerate(self.elements)}

    def draw(self, ax: Axes, *, upright: bool) -> None:
        """Draw onto axes of this depth: above the map, or, upright, at its left."""
        edge = Edge(ax, self.view, upright)
        edge.limits(self.depth)
        if self.lettered:
            self._letters(edge)
        for name, middle in self.places().items():
            edge.line(
                self.view.limits,
                [middle, middle],
                "element line",
                colour=palette.FAINT,
                thick=0.7,
                zorder=0,
            )
            for start, end in self.elements[name]:
                start, end = self.view.clip(int(start), int(end))
                if start < end:
                    edge.box(start, end, middle - 0.045, middle + 0.045, palette.GENE, f"element {name}")
        floor = GAP + LETTERS * self.lettered + ELEMENT * len(self.elements)
        for line, lane in zip(self.lines, self.lanes, strict=True):
            if lane < MOST_GENES:
                draw_line(edge, line, floor + lane * GENE + 0.09)

    def _letters(self, edge: Edge) -> None:
        bases = self.view.bases or ""
        first, last = self.view.limits
        step = 1 if last > first else -1
        for index, base in enumerate(bases):
            edge.text(
                first + step * (index + 0.5),
                GAP + LETTERS / 2 - 0.01,
                base,
                size=min(8.5, self.view.base_width * 0.95),
                colour=palette.BASE_COLOURS.get(base, palette.MUTED),
                weight="bold",
                gid="base",
                turned=False,
            )

    def runs(self, spans: np.ndarray) -> list[tuple[int, int, str]]:
        """(first token, token after the last, text) of what lies under tokens, whose spans [token, 2] are in picture order."""
        runs: list[tuple[int, int, str]] = []

        def add(start: int, end: int, text: str) -> None:
            hit = np.flatnonzero((spans[:, 0] < end) & (spans[:, 1] > start))
            if hit.size:
                runs.append((int(hit[0]), int(hit[-1]) + 1, text))

        for line in self.lines:
            if not line.gene:
                add(line.start, line.end, line.name)
                continue
            for tss in line.starts:
                add(tss, tss + 1, f"{line.name} transcription start")
            for a, b in line.exons:
                add(a, b, f"{line.name} exon")
            for a, b in between(line.exons):
                add(a, b, f"{line.name} intron")
        for name, stretches in self.elements.items():
            for a, b in stretches:
                add(int(a), int(b), plain(name))
        return runs

    def said(self) -> list[str]:
        """Sentences for the alt text: which genes, and how much of the window each element covers."""
        parts = []
        if self.lines:
            names = []
            for line in self.lines:
                strand = {"+": " (+ strand)", "-": " (− strand)"}.get(line.strand, "")
                inside = [tss for tss in line.starts if self.view.interval.contains(tss)]
                start = f", transcription start at {inside[0] + 1:,}" if inside else ""
                names.append(f"{line.name}{strand}{start}")
            parts.append(f"Genes: {listing(names)}.")
        for name, stretches in self.elements.items():
            covered = sum(max(0, b - a) for a, b in (self.view.clip(int(a), int(b)) for a, b in stretches))
            parts.append(f"{plain(name)} covers {covered / len(self.view.interval):.0%} of the window.")
        return parts


def margin(
    view: View,
    genes: Annotated | None,
    elements: Sequence[str] | Mapping[str, np.ndarray],
    source: Any = None,
) -> Margin:
    """The tracks along a window.

    Parameters
    ----------
    view
        The window, with its bases when it may show them.
    genes
        Annotation whose genes are drawn; None for none.
    elements
        Names to look up in `source`, or [stretch, 2] 0-based half-open on the genome by name.
    source
        Has `indicator(interval, element)`.

    Raises
    ------
    ValueError
        If elements are named and there is nothing to look them up in, or stretches have another shape.
    """
    lines: list[Line] = [] if genes is None else merged(genes, view.interval)
    lines.sort(key=lambda line: (line.start, line.end, line.name))
    return Margin(view, lines, _packed(lines, view), _stretches(view, elements, source))


def merged(annotation: Annotated, interval: Interval) -> list[Line]:
    """Genes over an interval with their transcripts merged, and other features."""
    transcripts, regions, _ = collect(annotation, interval)
    lines = []
    for key in dict.fromkeys((t.gene, t.strand) for t in transcripts):
        own = [t for t in transcripts if (t.gene, t.strand) == key]
        # A name that occurs in two places is two lines.
        for group in _apart(own):
            lines.append(
                Line(
                    *key,
                    min(t.start for t in group),
                    max(t.end for t in group),
                    _union((a, b) for t in group for a, b, _ in t.exons),
                    _union(span for t in group for span in t.coding),
                    tuple(sorted({t.tss for t in group})) if key[1] in ("+", "-") else (),
                )
            )
    lines += [
        Line(region.name, region.strand, region.start, region.end, (), (), (), gene=False)
        for region in regions
    ]
    return lines


def _apart(own: list[Any]) -> list[list[Any]]:
    groups: list[list[Any]] = []
    end = -1
    for transcript in sorted(own, key=lambda t: t.start):
        if not groups or transcript.start > end:
            groups.append([])
        groups[-1].append(transcript)
        end = max(end, transcript.end)
    return groups


def _union(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    union: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(end, union[-1][1]))
        else:
            union.append((start, end))
    return tuple(union)


def _stretches(
    view: View, elements: Sequence[str] | Mapping[str, np.ndarray], source: Any
) -> dict[str, np.ndarray]:
    found = {}
    forward = Interval(view.interval.chrom, view.interval.start, view.interval.end)
    for name in elements:
        if isinstance(elements, Mapping):
            stretches = (
                np.asarray(elements[name], dtype=np.int64).reshape(-1, 2) if len(elements[name]) else None
            )
            if stretches is None:
                stretches = np.zeros((0, 2), dtype=np.int64)
        else:
            if not hasattr(source, "indicator"):
                raise ValueError(
                    f"Elements by name must have an annotation to look them up in; received {plain(name)!r} and "
                    f"genes={source!r:.60}. Pass the annotation as genes=, or stretches as elements={{name: [[start, end]]}}."
                )
            inside = np.asarray(source.indicator(forward, name), dtype=bool)
            edges = np.flatnonzero(np.diff(inside.astype(np.int8), prepend=0, append=0)) + forward.start
            stretches = edges.reshape(-1, 2)
        found[element_name(name)] = stretches
    return found


SPOKEN = {"five_prime_utr": "5′ UTR", "three_prime_utr": "3′ UTR", "cpg_island": "CpG island", "tss": "TSS"}


def element_name(name: object) -> str:
    """The name of an element as people read it.

    Examples
    --------
    >>> element_name("five_prime_utr"), element_name("splice_donor"), element_name("CTCF")
    ('5′ UTR', 'splice donor', 'CTCF')
    """
    text = plain(name, most=28)
    return SPOKEN.get(text.lower(), text.replace("_", " "))


def _packed(lines: Sequence[Line], view: View) -> list[int]:
    """Line of each gene, so that neither bodies nor names overlap."""
    lanes, ends = [0] * len(lines), list[float]()
    extents = []
    for line in lines:
        first, last = view.stops(*view.clip(line.start, line.end))
        left, right = name_extent(line, view)
        extents.append((min(view.inches(first), left), max(view.inches(last), right)))
    for index in sorted(range(len(lines)), key=lambda i: extents[i]):
        left, right = extents[index]
        free = next((lane for lane, end in enumerate(ends) if end + 0.1 <= left), len(ends))
        if free == len(ends):
            ends.append(right)
        ends[free] = right
        lanes[index] = free
    return lanes
