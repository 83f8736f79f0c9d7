"""Positions of chromosome 20 that tasks ask for, and decoys that look like them."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ntviz.benchmark.chr20_windows import BLOCK, Window, around, bases, distinct, genes, usable

NEAR = 20
"""bp around a decoy that hold no annotated site."""


def exons() -> list[tuple[str, list[tuple[int, int]]]]:
    """Strand and exons, 0-based half-open and sorted, of each transcript with a strand."""
    table = genes().table
    table = table[(table["element"] == "exon") & table["strand"].isin(["+", "-"])]
    return [
        (str(part["strand"].iloc[0]), sorted(zip(part["start"].tolist(), part["end"].tolist(), strict=True)))
        for _, part in table.groupby("transcript", sort=False)
    ]


def splice_sites() -> list[tuple[int, str, str]]:
    """Position, strand and kind of every site of an intron of 4 bp and more, along the strand of its gene.

    A donor's position is the first base of the intron, an acceptor's the first base of the exon after it: base 300, counted
    from 0, of their windows of 600.
    """
    found = []
    for strand, parts in exons():
        for (_, left), (right, _) in itertools.pairwise(parts):
            if right - left < 4:
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
        inside = np.zeros(len(raw), dtype=bool)
        for one, parts in exons():
            if one == strand:
                inside[parts[0][0] : parts[-1][1]] = True
        # On the strand - the word is read from its reverse complement: AC for GT, CT for AG.
        word = {"donor": ("GT", "AC"), "acceptor": ("AG", "CT")}[kind][strand == "-"].encode()
        hits = np.flatnonzero((raw[:-1] == word[0]) & (raw[1:] == word[1]))
        if strand == "+":
            places = hits if kind == "donor" else hits + 2
        else:
            places = hits + 1 if kind == "donor" else hits - 1
        places = places[(places >= 0) & (places < len(raw))]
        places = places[inside[places] & ~_near(strand)[places]]
        found.append((places, np.full(len(places), strand == "+")))
    places, plus = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(places, kind="stable")
    return places[order], plus[order]


def gene_positions() -> tuple[np.ndarray, np.ndarray]:
    """Every position of a gene that is not near a site; and whether it is read on the strand +."""
    found = []
    for strand in "+-":
        inside = np.zeros(len(bases()), dtype=bool)
        for one, parts in exons():
            if one == strand:
                inside[parts[0][0] : parts[-1][1]] = True
        places = np.flatnonzero(inside & ~_near(strand))
        found.append((places, np.full(len(places), strand == "+")))
    places, plus = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(places, kind="stable")
    return places[order], plus[order]


def _near(strand: str) -> np.ndarray:
    """Positions with an annotated site of a strand within `NEAR` bp, bool [base]."""
    near = np.zeros(len(bases()), dtype=bool)
    for position, one, _ in splice_sites():
        if one == strand:
            near[max(0, position - NEAR) : position + NEAR + 1] = True
    return near


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
    counts: dict[int, int] = defaultdict(int)
    for window in windows:
        counts[window.block] += 1
    return dict(counts)


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
