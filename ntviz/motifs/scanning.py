"""Where motifs match a sequence, with exact p-values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ntviz.genome import Interval
from ntviz.motifs.matrix import PSEUDOCOUNT, Motif
from ntviz.motifs.searching import Search
from ntviz.motifs.words import Words
from ntviz.sequence import require

if TYPE_CHECKING:
    import pandas as pd

_PIECE = 1 << 21  # bases of a genome at a time


class _Bases(Protocol):
    @property
    def sequence(self) -> str: ...


class Genome(Protocol):
    """What `hits` asks of a genome; a `Reference` is one."""

    def fetch(self, interval: Interval, /) -> _Bases: ...


def composition(sequence: str) -> tuple[float, float, float, float]:
    """Base probabilities ACGT of both strands of a sequence, N left out: a background of its own GC content.

    Raises
    ------
    ValueError
        If the sequence is not clean, or lacks A and T or C and G.

    Examples
    --------
    >>> composition("AACGN")
    (0.25, 0.25, 0.25, 0.25)
    """
    count = {base: require(sequence).count(base) for base in "ACGT"}
    weak, strong = count["A"] + count["T"], count["C"] + count["G"]
    if not weak or not strong:
        raise ValueError(
            f"A background must hold A or T, and C or G; received a sequence with {weak:,} and {strong:,} of them. Take a "
            f"longer sequence, or 0.25 each."
        )
    at, cg = weak / (weak + strong) / 2, strong / (weak + strong) / 2
    return at, cg, cg, at


def scan(
    sequence: str,
    motifs: Motif | Iterable[Motif],
    *,
    p: float = 1e-4,
    background: Sequence[float] | None = None,
    both_strands: bool = True,
    pseudocount: float = PSEUDOCOUNT,
) -> pd.DataFrame:
    """Matches of one or more motifs in a sequence, with exact p-values.

    Parameters
    ----------
    sequence
        Upper-case A, C, G, T, N. A stretch with N never matches.
    motifs
        A motif, or several.
    p
        Largest p-value of a match: the probability that a random site of the background scores as much or more. It is
        that of one place on one strand; of a sequence of L bp, scanned on both, expect 2 p L matches by chance.
    background
        Base probabilities ACGT; 0.25 each when not given, so that matches in a part of a sequence are those in the
        whole. `composition` gives a sequence's own. For both strands it is averaged with its complement.
    both_strands
        Whether to look on the strand "-" too. A palindrome matches on both.
    pseudocount
        Sites to add to each motif, with the bases of the background.

    Returns
    -------
    One row a match, sorted by place: start and end (0-based half-open, in the sequence), strand, score (log odds in
    bits, each base's rounded to 0.01), p, motif (its identifier) and name. `attrs["too_short"]` names the motifs of
    several whose best match is more probable than `p`.

    Raises
    ------
    ValueError
        If `p` is not between 0 and 1, the sequence or the background cannot be used, there is no motif, or no motif can
        have a match that is so improbable.

    References
    ----------
    FIMO (Grant, Bailey & Noble, Bioinformatics 2011), whose p-values are computed in the same way: by dynamic
    programming over log odds rounded to whole steps. So they are exact for the rounded scores, which differ from the
    unrounded by at most 0.005 bits a position.

    Examples
    --------
    >>> found = scan("TTGATTACANN", Motif.from_sites("toy", ["GATTACA"]), p=0.001)
    >>> found[["start", "end", "strand"]].values.tolist(), float(found["p"].iloc[0] * 4**7)
    ([[2, 9, '+']], 1.0)
    """
    search = Search.of(motifs, p, background, both_strands, pseudocount)
    found = search.matches(Words(require(sequence)))
    table = search.table(found[np.lexsort((found["strand"], found["motif"], found["end"], found["start"]))])
    table.attrs["too_short"] = search.too_short
    return table


def hits(
    reference: Genome,
    interval: Interval | str,
    motifs: Motif | Iterable[Motif],
    *,
    p: float = 1e-4,
    background: Sequence[float] | None = None,
    pseudocount: float = PSEUDOCOUNT,
) -> pd.DataFrame:
    """Matches of motifs on both strands of a region of a genome, as a table of elements.

    Parameters
    ----------
    reference
        A `Reference`, or whatever fetches the bases of an Interval.
    interval
        An Interval, or text such as `chr20:1,000-2,000` (1-based closed). Its strand says nothing here.
    motifs, p, background, pseudocount
        As in `scan`.

    Returns
    -------
    Columns [chrom, start, end, strand, element, name, score, p, motif], in genome coordinates, 0-based half-open. The
    element of the motif CTCF is ``CTCF motif``. `annotation.from_table` takes the table as it is.

    Raises
    ------
    ValueError
        As in `scan`, and where the reference has no such region.
    """
    import pandas as pd

    if isinstance(interval, str):
        interval = Interval.from_str(interval)
    chosen = [motifs] if isinstance(motifs, Motif) else list(motifs)
    overlap = max((len(motif) for motif in chosen), default=1) - 1
    found = []
    for start in range(interval.start, interval.end, _PIECE):
        end = min(start + _PIECE + overlap, interval.end)
        piece = scan(
            reference.fetch(Interval(interval.chrom, start, end)).sequence,
            chosen,
            p=p,
            background=background,
            pseudocount=pseudocount,
        )
        piece[["start", "end"]] += start
        # What begins in the overlap belongs to the next piece.
        found.append(piece[piece["start"] < start + _PIECE])
    table = pd.concat(found, ignore_index=True)
    table.insert(0, "chrom", interval.chrom)
    table.insert(4, "element", table["name"] + " motif")
    table.attrs["too_short"] = found[0].attrs["too_short"]
    return table[["chrom", "start", "end", "strand", "element", "name", "score", "p", "motif"]]
