"""Windows over a contig: which bases each answers for, and which stretches of it a model can read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple


class Stretch(NamedTuple):
    """Consecutive bases on the forward strand of a contig, 0-based half-open."""

    start: int
    end: int


@dataclass(frozen=True)
class Tiling:
    """Windows that overlap, anchored at the start of the contig, so that no base depends on where an interval begins.

    Parameters
    ----------
    window
        bp that the model reads at a time.
    flank
        bp at either end of a window that are read and not answered for. The rest, the core, is; cores touch.
    length
        bp of the contig.

    Examples
    --------
    >>> tiling = Tiling(window=12, flank=3, length=20)
    >>> [tuple(core) for core in tiling.cores(5, 13)], tuple(tiling.window_of(Stretch(0, 6)))
    ([(0, 6), (6, 12), (12, 18)], (0, 9))
    """

    window: int
    flank: int
    length: int

    @property
    def core(self) -> int:
        """Length in bp that each window answers for."""
        return self.window - 2 * self.flank

    def cores(self, start: int, end: int) -> Iterator[Stretch]:
        """The cores that hold a base of start to end."""
        for at in range(start // self.core * self.core, end, self.core):
            yield Stretch(at, at + self.core)

    def window_of(self, core: Stretch) -> Stretch:
        """What is read for a core: it and its flanks, as far as the contig goes."""
        return Stretch(max(0, core.start - self.flank), min(self.length, core.end + self.flank))

    def pieces(self, start: int, end: int, size: int) -> list[Stretch]:
        """Start to end, cut at every multiple of whole cores of some `size` bp."""
        step = max(1, size // self.core) * self.core
        cuts = [start, *range((start // step + 1) * step, end, step), end]
        return [Stretch(one, other) for one, other in pairwise(cuts)]


def runs(sequence: str, start: int) -> list[Stretch]:
    """The stretches without N of a sequence whose first base is at `start`.

    Examples
    --------
    >>> [tuple(run) for run in runs("NACGNNT", 100)]
    [(101, 104), (106, 107)]
    """
    return [Stretch(start + found.start(), start + found.end()) for found in re.finditer("[^N]+", sequence)]


def whole_tokens(run: Stretch, k: int, frame: int) -> Stretch:
    """The part of a run that whole tokens cover, those that begin at `frame` modulo k; it may be empty.

    Examples
    --------
    >>> tuple(whole_tokens(Stretch(4, 20), 6, 0)), tuple(whole_tokens(Stretch(4, 20), 6, 1))
    ((6, 18), (7, 19))
    """
    start = run.start + (frame - run.start) % k
    return Stretch(start, max(start, run.end - (run.end - frame) % k))
