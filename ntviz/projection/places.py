"""Where a window may begin, as runs of positions, and places drawn from them without overlap."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ntviz.genome import Interval
from ntviz.sequence import codes

if TYPE_CHECKING:
    from ntviz.annotation import Annotation
    from ntviz.reference import Reference

CHUNK = 8_000_000
"""bp looked at together: memory stays that of so many bases, however long the contig."""


def starts_by_element(
    annotation: Annotation,
    reference: Reference,
    region: Interval,
    elements: Sequence[str],
    *,
    length: int,
    share: float,
) -> dict[str, np.ndarray]:
    """Runs of positions where a window of an element may begin, int64 [run, 2], 0-based half-open, by element.

    A base counts for an element when it is in none of the others; in an intron, when it is in no exon either. A window
    may begin where at least `share` of its bases count and none is N.
    """
    found: dict[str, list[np.ndarray]] = {element: [] for element in elements}
    for first in range(region.start, region.end - length + 1, CHUNK):
        part = Interval(region.chrom, first, min(first + CHUNK + length - 1, region.end))
        known = codes(reference.fetch(part).sequence) < 4
        inside = {element: annotation.indicator(part, element) for element in elements}
        exon = (
            annotation.indicator(part, "exon") if "intron" in inside and "exon" in annotation.kinds else None
        )
        clean = _sums(known, length) == length
        times = np.sum(list(inside.values()), axis=0, dtype=np.uint8)
        for element, where in inside.items():
            alone = where & (times == 1)
            if element == "intron" and exon is not None:
                alone &= ~exon
            # Of 7 of 10 bases, 7 / 10 may come out a little above the share that was asked for.
            enough = _sums(alone, length) >= share * length - 1e-9
            found[element].append(_runs(clean & enough) + first)
    return {element: np.concatenate(parts) for element, parts in found.items()}


def _sums(inside: np.ndarray, length: int) -> np.ndarray:
    """Number of true values in each window, int32 [window]."""
    count = np.zeros(len(inside) + 1, dtype=np.int32)
    np.cumsum(inside, out=count[1:])
    return count[length:] - count[:-length]


def _runs(inside: np.ndarray) -> np.ndarray:
    """Starts and ends of runs of true values, int64 [run, 2]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    return edges.reshape(-1, 2).astype(np.int64)


def drawn(
    runs: Sequence[np.ndarray],
    number: int,
    length: int,
    taken: Sequence[list[int]],
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """Contig (its number) and start of windows drawn at random, each start as likely as another, until none is left.

    Parameters
    ----------
    runs
        By contig: [run, 2] positions to draw from.
    number
        Windows wanted.
    taken
        By contig: sorted starts of windows of the same length that are there already; those drawn are added.
    """
    left = [
        np.array(list(_cut(part, held, length)), np.int64).reshape(-1, 2)
        for part, held in zip(runs, taken, strict=True)
    ]
    found: list[tuple[int, int]] = []
    while len(found) < number:
        contig = np.repeat(np.arange(len(left)), [len(part) for part in left])
        every = np.concatenate(left)
        ends = np.cumsum(every[:, 1] - every[:, 0])
        if not len(ends):
            break
        for rank in rng.integers(0, ends[-1], 2 * (number - len(found)) + 8):
            run = int(np.searchsorted(ends, rank, side="right"))
            start = int(every[run, 1] - (ends[run] - rank))
            held = taken[contig[run]]
            place = bisect_left(held, start - length + 1)
            if place < len(held) and held[place] < start + length:
                continue
            insort(held, start)
            found.append((int(contig[run]), start))
            if len(found) == number:
                break
        left = [
            np.array(list(_cut(part, held, length)), np.int64).reshape(-1, 2)
            for part, held in zip(left, taken, strict=True)
        ]
    return found


def _cut(runs: np.ndarray, held: Sequence[int], length: int) -> Iterator[tuple[int, int]]:
    """Runs of starts without those whose window would overlap one that is held."""
    for first, stop in runs.tolist():
        at = bisect_left(held, first - length + 1)
        while at < len(held) and held[at] - length + 1 < stop:
            if first < held[at] - length + 1:
                yield first, held[at] - length + 1
            first = max(first, held[at] + length)
            at += 1
        if first < stop:
            yield first, stop
