"""Windows of chromosome 20 around positions, on a strand, and the blocks that they lie in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ntviz import annotation, data
from ntviz.genome import Interval
from ntviz.reference import Reference
from ntviz.sequence import reverse_complement

CHROM = "chr20"
BLOCK = 250_000
"""bp of a block: windows of a block stay on one side of any split, and are drawn together by the bootstrap."""
HELD_OUT = (40_000_000, 48_000_000)
"""0-based half-open; the part that the default model's pretraining left out, too."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of chromosome 20, 0-based half-open, on a strand, with the class that it stands for."""

    start: int
    end: int
    strand: str
    label: int

    @property
    def block(self) -> int:
        """Number of the block in which it begins."""
        return self.start // BLOCK

    @property
    def group(self) -> str:
        """Name of the block, such as "chr20:40.25Mb"."""
        return f"{CHROM}:{self.block * BLOCK / 1e6:.2f}Mb"

    @property
    def name(self) -> str:
        """Place and strand, such as "chr20:1000-1300:+"; 0-based half-open."""
        return f"{CHROM}:{self.start}-{self.end}:{self.strand}"

    @property
    def held_out(self) -> bool:
        """Whether it lies in the held-out part."""
        return HELD_OUT[0] <= self.start and self.end <= HELD_OUT[1]


def around(position: int, strand: str, length: int, index: int, label: int) -> Window:
    """The window whose base `index`, counted along the strand, is `position`, 0-based.

    Examples
    --------
    >>> around(100, "+", 10, 3, 0).start, around(100, "-", 10, 3, 0).end
    (97, 104)
    """
    start = position - index if strand == "+" else position + index + 1 - length
    return Window(start, start + length, strand, label)


@lru_cache(maxsize=1)
def bases() -> str:
    """Chromosome 20 of GRCh37, upper-case, from the bundle."""
    with Reference(data.bundle("chr20")) as reference:
        return reference.fetch(reference.whole(CHROM)).sequence


@lru_cache(maxsize=1)
def genes() -> annotation.Annotation:
    """The genes of the bundle: one transcript each."""
    return annotation.read(data.bundle("genes"))


@lru_cache(maxsize=1)
def islands() -> annotation.Annotation:
    """CpG islands by the limits of Takai and Jones (2002), found in the bases."""
    return annotation.cpg_islands(bases(), Interval(CHROM, 0, len(bases())), length=500, gc=0.55, ratio=0.65)


def usable(window: Window) -> bool:
    """Whether it lies on the chromosome and within one block, and holds no N."""
    return (
        window.start >= 0
        and window.end <= len(bases())
        and window.block == (window.end - 1) // BLOCK
        and "N" not in bases()[window.start : window.end]
    )


def read(window: Window) -> str:
    """Its bases along its strand."""
    text = bases()[window.start : window.end]
    return reverse_complement(text) if window.strand == "-" else text


def distinct(windows: Iterable[Window]) -> list[Window]:
    """Windows that can be used, each place and strand once, by place."""
    found: dict[tuple[int, int, str], Window] = {}
    for window in windows:
        if usable(window):
            found.setdefault((window.start, window.end, window.strand), window)
    return sorted(found.values(), key=lambda window: (window.start, window.strand, window.label))


def marked(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Bases of the chromosome in any of the stretches, bool [base]."""
    edges = np.zeros(len(bases()) + 1, dtype=np.int32)
    np.add.at(edges, np.clip(starts, 0, len(bases())), 1)
    np.add.at(edges, np.clip(ends, 0, len(bases())), -1)
    return np.cumsum(edges[:-1]) > 0
