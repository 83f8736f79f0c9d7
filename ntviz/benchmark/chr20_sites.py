"""Positions of chromosome 20 that tasks ask for, and decoys that look like them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from ntviz.annotation.transcripts import SHORTEST_INTRON
from ntviz.benchmark.chr20_windows import BLOCK, Window, around, bases, distinct, genes, marked, usable

NEAR = 20
"""bp around a decoy that hold no annotated site."""


@lru_cache(maxsize=1)
def exons() -> list[tuple[str, list[tuple[int, int]]]]:
    """Strand and exons, 0-based half-open and sorted, of each transcript with a strand."""
    table = genes().table
    table = table[(table["element"] == "exon") & table["strand"].isin(["+", "-"])]
    return [
        (str(part["strand"].iloc[0]), sorted(zip(part["start"].tolist(), part["end"].tolist(), strict=True)))
        for _, part in table.groupby("transcript", sort=False)
    ]


@lru_cache(maxsize=1)
def splice_sites() -> list[tuple[int, str, str]]:
    """Position, strand and kind of every site of an intron of 4 bp and more, along the strand of its gene.

    A donor's position is the first base of the intron, an acceptor's the first base of the exon after it: base 300, counted
    from 0, of their windows of 600.
    """
    found = []
    for strand, parts in exons():
        for (_, left), (right, _) in itertools.pairwise(parts):
            if right - left < SHORTEST_INTRON:
                continue
            if strand == "+":
                found += [(left, "+", "donor"), (right, "+", "acceptor")]
            else:
                found += [(right - 1, "-", "donor"), (left - 1, "-", "acceptor")]
    return sorted(set(found))


def starts() -> list[tuple[int, str]]:
    """Position and strand of the first base of each transcript."""
    return sorted({(parts[0][0] if strand == "+" else parts[-1][1] - 1, strand) for strand, parts in exons()})


def decoys(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions in genes that read GT (or follow AG) on the strand of the gene and are no site; and their strands.

    Returns
    -------
    int64 [decoy], sorted, and bool [decoy], true on the strand +.
    """
    raw = np.frombuffer(bases().encode("ascii"), dtype=np.uint8)
    found = []
    for strand in "+-":
        # On the strand - the word is read from its reverse complement: AC for GT, CT for AG.
        word = {"donor": ("GT", "AC"), "acceptor": ("AG", "CT")}[kind][strand == "-"].encode()
        hits = np.flatnonzero((raw[:-1] == word[0]) & (raw[1:] == word[1]))
        if strand == "+":
            places = hits if kind == "donor" else hits + 2
        else:
            places = hits + 1 if kind == "donor" else hits - 1
        places = places[(places >= 0) & (places < len(raw))]
        found.append((places[_quiet(strand)[places]], strand))
    return _joined(found)


def gene_positions() -> tuple[np.ndarray, np.ndarray]:
    """Every position of a gene that is not near a site; and whether it is read on the strand +."""
    return _joined([(np.flatnonzero(_quiet(strand)), strand) for strand in "+-"])


def _joined(found: list[tuple[np.ndarray, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Positions of both strands in one, sorted, and which of them are on the strand +."""
    places = np.concatenate([part for part, _ in found])
    plus = np.concatenate([np.full(len(part), strand == "+") for part, strand in found])
    order = np.argsort(places, kind="stable")
    return places[order], plus[order]


@lru_cache(maxsize=2)
def _quiet(strand: str) -> np.ndarray:
    """Bases in a gene of a strand with no annotated site of that strand within `NEAR` bp, bool [base]."""
    ends = [(parts[0][0], parts[-1][1]) for one, parts in exons() if one == strand]
    near = np.array([position for position, one, _ in splice_sites() if one == strand])
    return marked(*np.array(ends).T) & ~marked(near - NEAR, near + NEAR + 1)


def drawn(
    places: np.ndarray,
    plus: np.ndarray | None,
    wanted: dict[int, int],
    make: Callable[[int, str], Window],
    rng: np.random.Generator,
    *,
    fits: Callable[[Window], bool] = usable,
    taken: Sequence[Window] = (),
) -> list[Window]:
    """Windows at random places, as many in each block as are wanted, as far as the block has them.

    Parameters
    ----------
    places
        Sorted positions to draw from.
    plus
        Whether each is read on the strand +; None: a coin.
    wanted
        Number of windows by block.
    make
        The window of a position and a strand.
    fits
        What a window must be; whether it lies in its block is asked besides.
    taken
        Windows that must not be drawn again.
    """
    known = {(window.start, window.strand) for window in taken}
    result: list[Window] = []
    for block, number in sorted(wanted.items()):
        low, high = np.searchsorted(places, [block * BLOCK, (block + 1) * BLOCK])
        got = 0
        for index in low + rng.permutation(high - low)[: 60 * number]:
            if got == number:
                break
            forward = bool(plus[index]) if plus is not None else rng.random() < 0.5
            window = make(int(places[index]), "+" if forward else "-")
            key = (window.start, window.strand)
            if window.block == block and key not in known and usable(window) and fits(window):
                known.add(key)
                result.append(window)
                got += 1
    return result


def by_block(windows: Sequence[Window]) -> dict[int, int]:
    """Number of windows in each block."""
    return dict(Counter(window.block for window in windows))


def site_windows(kind: str, length: int, label: int) -> list[Window]:
    """Windows around the sites of a kind, the site at base length / 2."""
    return distinct(
        around(position, strand, length, length // 2, label)
        for position, strand, one in splice_sites()
        if one == kind
    )


def halves(wanted: dict[int, int]) -> Iterator[dict[int, int]]:
    """The numbers of each block split in two, the larger half first."""
    yield {block: number - number // 2 for block, number in wanted.items()}
    yield {block: number // 2 for block, number in wanted.items() if number // 2}
