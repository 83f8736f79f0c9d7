"""Tiles of a sequence longer than a model reads: they overlap, and what their seams cost is measured, and decides by how much."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from ntviz.genome import Interval
from ntviz.genome.sequence import clean

SAMPLE, LIMIT = 16, 0.1
"""Places at which seams are measured; and the largest difference allowed, as a share of the spread of the values."""
SHARES = (0, 1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8)
"""Overlaps that are tried, of a tile."""


def bases_of(what: Interval | str, reference: Any, flank: int = 0) -> tuple[Interval | None, str, int]:
    """Interval, bases with `flank` more on each side, and how many of these come first; of bases that are given there are none."""
    if isinstance(what, str) and ":" in what:
        what = Interval.from_str(what)
    if not isinstance(what, Interval):
        return None, clean(what, typed=True).sequence, 0
    if reference is None:
        raise ValueError("An interval needs a reference to be read from: pass reference=Reference(...).")
    return what, reference.fetch(what.expand(flank)).sequence, flank


def on_contig(reference: Any, interval: Interval) -> int:
    """The length of the contig; refuses an interval that is not on it."""
    length = reference.whole(interval.chrom).end
    if interval.start < 0 or interval.end > length:
        raise ValueError(
            f"An interval must lie on its contig; received {interval.label()}, and {interval.chrom} has {length:,} bp. Narrow it."
        )
    return length


class Stretch(NamedTuple):
    """Consecutive bases, 0-based half-open."""

    start: int
    end: int


class Tile(NamedTuple):
    """A window [start, end) that a model reads, and the part [first, last) of it that it answers for; 0-based half-open."""

    start: int
    end: int
    first: int
    last: int


def runs(sequence: str, start: int = 0) -> list[Stretch]:
    """The stretches without N of a sequence whose first base is at `start`."""
    return [Stretch(start + run.start(), start + run.end()) for run in re.finditer("[^N]+", sequence)]


def whole_tokens(run: Stretch, k: int, frame: int) -> Stretch:
    """The part of a run that whole tokens cover, those that begin at `frame` modulo k; it may be empty.

    >>> tuple(whole_tokens(Stretch(4, 20), 6, 1))
    (7, 19)
    """
    start = run.start + (frame - run.start) % k
    return Stretch(start, max(start, run.end - (run.end - frame) % k))


def tiles(run: Stretch, size: int, overlap: int, step: int = 1) -> list[Tile]:
    """Tiles of at most `size` bp that begin whole steps behind the start of a run, and share at least `overlap` bp.

    The middle of what neighbours share is where one gives way to the next, so a base lies half the overlap from each
    edge of its tile that is no end of the run. `size` is a multiple of `step`, and `overlap` of two of them.

    >>> [tuple(tile) for tile in tiles(Stretch(0, 40), 18, 12, 6)]
    [(0, 18, 0, 12), (6, 24, 12, 18), (12, 30, 18, 24), (18, 36, 24, 30), (24, 40, 30, 40)]
    """
    length, stride = run.end - run.start, size - overlap
    count = 1 + max(0, ceil((length - size) / stride))
    ends = np.linspace(0, max(0, length - size), count)
    starts = [run.start + ceil(round(at, 6) / step) * step for at in ends]
    turns = [(start + before + size) // 2 for before, start in pairwise(starts)]
    turns = [run.start, *(run.start + (turn - run.start) // step * step for turn in turns), run.end]
    return [Tile(at, min(at + size, run.end), *turns[i : i + 2]) for i, at in enumerate(starts)]


def window_at(start: int, size: int, run: Stretch, step: int) -> Stretch:
    """The window of `size` bp that begins at `start`, moved by whole steps into a run that it would leave."""
    last = run.start + max(0, ceil((run.end - size - run.start) / step) * step)
    start = max(run.start, min(start, last))
    return Stretch(start, min(start + size, run.end))


def centred(place: int, size: int, run: Stretch, step: int) -> Stretch:
    """The window with the step of bases at `place` in its middle, as near as a run allows."""
    return window_at(place - size // step // 2 * step, size, run, step)


@dataclass(frozen=True)
class Seams:
    """How tiles overlap, and what that costs against a window of `context` bp centred on each base.

    Differences are absolute, in `unit`, at `sample` random places (`seed`), each as if a seam lay beside it, on either
    side; `spread` is the standard deviation of the values over these places. Whatever fits into one tile has no seam:
    overlap and error are 0, and nothing is sampled.
    """

    tile: int  # bp
    overlap: int  # bp that neighbours share; each gives half
    maximum: float = 0.0
    mean: float = 0.0
    spread: float = float("nan")
    unit: str = ""
    context: int = 0  # bp
    sample: int = 0
    seed: int = 0
    limit: float = LIMIT  # of maximum / spread
    tried: tuple[tuple[int, float, float], ...] = ()  # overlap, maximum, mean; smallest overlap first

    @property
    def error(self) -> float:
        """The largest difference as a share of the spread."""
        return self.maximum / self.spread if self.maximum else 0.0

    @property
    def within(self) -> bool:
        """Whether the error is at most the limit."""
        return self.error <= self.limit

    @property
    def note(self) -> str:
        """The measurement in a sentence."""
        if not self.sample:
            return f"No run without N is longer than a tile of {self.tile:,} bp: no seam was measured."
        verdict = "within" if self.within else "and no overlap that was tried keeps it within"
        return (
            f"Tiles of {self.tile:,} bp share {self.overlap:,} bp: against a window of {self.context:,} bp centred on the "
            f"place, {self.unit} differs by up to {self.maximum:.3g} ({self.mean:.2g} in the mean; spread {self.spread:.3g}) "
            f"at {self.sample} places (seed {self.seed}), {self.error:.1%} of the spread, {verdict} the limit of {self.limit:.1%}."
        )


def context_of(model: Any, size: int | None, step: int) -> tuple[int, int]:
    """Length of a tile in bp, `size` or all that the model reads, in whole steps, and of the longest window that it reads."""
    longest = getattr(model, "max_bp", None) or size
    if longest is None:
        raise ValueError(
            f"A model must say how many bp it reads at most (max_bp); {getattr(model, 'name', model)} does not. Pass tile=."
        )
    tile = longest if size is None else size
    if not 2 * step <= tile <= longest:
        raise ValueError(f"A tile must have {2 * step} to {longest:,} bp; received {tile:,}. Leave it out for all of them.")  # fmt: skip
    return tile // step * step, longest // step * step


def overlaps(tile: int, step: int, asked: int | Sequence[int] | None = None) -> list[int]:
    """Overlaps to try, smallest first: those asked for, or `SHARES` of the tile; rounded up to two whole steps."""
    given = [asked] if isinstance(asked, int) else [int(tile * share) for share in SHARES] if asked is None else asked
    found = sorted({ceil(overlap / (2 * step)) * 2 * step for overlap in given})
    if asked is None:
        found = [overlap for overlap in found if overlap < tile]
    if not found or found[0] < 0 or found[-1] >= tile:
        raise ValueError(
            f"An overlap must be 0 or more, and less than the tile of {tile:,} bp by a step of {step} bp; received {asked}."
        )
    return found


def choose(
    read: Callable[[list[tuple[int, Stretch]]], np.ndarray], parts: Sequence[Stretch], *, tile: int, context: int,
    step: int, tried: Sequence[int], limit: float = LIMIT, sample: int = SAMPLE, seed: int = 0, unit: str = "",
) -> Seams:  # fmt: skip
    """The smallest overlap tried whose error at seams is within the limit, else the largest; measured on a sample.

    `read` gives the values [place, value] of the step of bases at each place as read in a window that begins whole steps
    behind the start of its run. `parts` are the runs; those that fit into a tile have no seam.
    """
    if limit <= 0:
        raise ValueError(f"limit must be above 0, a share of the spread of the values; received {limit:g}. Try {LIMIT}.")  # fmt: skip
    long = [run for run in parts if run.end - run.start > tile]
    if not long:
        return Seams(tile, 0, limit=limit, seed=seed, unit=unit)
    counts = [(run.end - run.start) // step for run in long]
    if not 2 <= sample <= sum(counts):
        raise ValueError(f"sample must be 2 to {sum(counts):,}, the places of {step} bp of the interval; received {sample}.")  # fmt: skip
    drawn = np.random.default_rng(seed).choice(sum(counts), sample, replace=False)
    owners = np.searchsorted(np.cumsum(counts), drawn, side="right")
    firsts = np.cumsum([0, *counts])
    places = [(long[i].start + int(at - firsts[i]) * step, long[i]) for at, i in zip(drawn, owners, strict=True)]
    middle = np.asarray(read([(at, centred(at, context, run, step)) for at, run in places]), np.float64)
    spread = float(np.sqrt(middle.var(axis=0).mean()))
    measured: list[tuple[int, float, float]] = []
    for overlap in tried:
        half = overlap // 2
        # The first step behind a seam, and the last before one.
        sides = [(at, window_at(at - half, tile, run, step)) for at, run in places]
        sides += [(at, window_at(at + step + half - tile, tile, run, step)) for at, run in places]
        apart = np.abs(np.asarray(read(sides), np.float64) - np.concatenate([middle, middle]))
        measured.append((overlap, float(apart.max()), float(apart.mean())))
        if measured[-1][1] <= limit * spread:
            break
    return Seams(tile, *measured[-1], spread, unit, context, sample, seed, limit, tuple(measured))
