"""Elements found in the bases: CpG islands, tandem repeats, and polyadenylation signals at the ends of transcripts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ntviz.annotation.combine import from_table
from ntviz.annotation.elements import Annotation
from ntviz.annotation.transcripts import merge
from ntviz.genome import Interval

_PIECE = 1 << 20  # windows at a time: the arrays of a piece stay in the cache of a processor
SIGNALS = ("AATAAA", "ATTAAA")


def cpg_islands(sequence: str, interval: Interval, *, length: int = 200, gc: float = 0.5, ratio: float = 0.6) -> Annotation:  # fmt: skip
    """CpG islands of a sequence, as the element ``cpg_island``.

    An island is a union of windows of `length` bp that overlap or touch. Each of them, taken at every base, holds no N, at
    least the share `gc` of G and C, and at least `ratio` times as many CpG as chance would make: CpG x length / (C x G).

    Parameters
    ----------
    sequence
        Upper-case A, C, G, T, N, in the direction of the interval.
    length
        bp of a window, and so of the shortest island.
    gc
        Least share of G and C, 0 to 1.
    ratio
        Least ratio of observed to expected CpG.

    References
    ----------
    The limits are those of Gardiner-Garden & Frommer, J Mol Biol 1987 (200 bp, 0.5, 0.6), who look at windows of 100 bp;
    ``length=500, gc=0.55, ratio=0.65`` are those of Takai & Jones, PNAS 2002, who also join islands less than 100 bp apart.
    Here every window of the whole length has to pass, so that no base depends on where a search begins.

    Examples
    --------
    >>> found = cpg_islands("ATAT" + "CG" * 4 + "ATAT", Interval("chr20", 100, 116), length=8, gc=0.75)
    >>> found.table[["chrom", "start", "end", "element"]].values.tolist()
    [['chr20', 102, 114, 'cpg_island']]
    """
    if length < 2 or not 0 <= gc <= 1 or ratio < 0:
        raise ValueError(
            f"A CpG island must have a length of at least 2 bp, a share of G and C between 0 and 1 and a ratio of 0 or "
            f"more; received length={length}, gc={gc}, ratio={ratio}. The defaults are 200, 0.5 and 0.6."
        )
    letters = _letters(sequence, interval)
    # Whole numbers are compared, so that a window that is just good enough passes whatever its limit is as a float.
    share, limit = (Fraction(repr(float(part))).limit_denominator(10**6) for part in (gc, ratio))
    starts = [np.zeros(0, dtype=np.int64)]
    for first in range(0, max(len(letters) - length + 1, 0), _PIECE):
        piece = letters[first : first + _PIECE + length - 1]
        is_c, is_g = piece == ord("C"), piece == ord("G")
        c, g = in_windows(is_c, length), in_windows(is_g, length)
        # A CpG belongs to the windows that hold both of its bases.
        cpg = in_windows(is_c[:-1] & is_g[1:], length - 1)
        passing = c + g >= math.ceil(share * length)
        if (is_n := piece == ord("N")).any():
            passing &= in_windows(is_n, length) == 0
        c, g, cpg = (counts[passing].astype(np.int64) for counts in (c, g, cpg))
        dense = (cpg * (length * limit.denominator) >= c * g * limit.numerator) & (c * g > 0)
        starts.append(np.flatnonzero(passing)[dense] + first)
    low = np.concatenate(starts)
    return _placed(*merge(low, low + length), interval, "cpg_island", "CpG islands")


def in_windows(marked: np.ndarray, length: int) -> np.ndarray:
    """How many bases are marked in each window of `length`."""
    upto = np.zeros(len(marked) + 1, dtype=np.int32)
    np.cumsum(marked, dtype=np.int32, out=upto[1:])
    return upto[length:] - upto[:-length]


def tandem_repeats(
    sequence: str, interval: Interval, *, longest_unit: int = 6, length: int = 12, copies: float = 3
) -> Annotation:
    """Perfect tandem repeats of short units (microsatellites and runs of one base), as the element ``tandem_repeat``.

    A repeat of a unit of u bp is a stretch in which every base equals the one u bp before it. Stretches that overlap or touch
    are one. Dispersed repeats such as Alu and L1 need a library: read RepeatMasker's intervals as BED for them.

    `sequence` is upper-case A, C, G, T, N, in the direction of the interval; `longest_unit` is in bp; a repeat has at least `length` bp
    and `copies` units, which need not be whole.

    >>> found = tandem_repeats("GT" + "CAG" * 5 + "TACG", Interval("chr20", 100, 121))
    >>> found.table[["start", "end", "element"]].values.tolist()
    [[102, 117, 'tandem_repeat']]
    """
    if longest_unit < 1 or length < 2 or copies < 2:
        raise ValueError(
            f"A tandem repeat must have a unit of 1 bp or more, 2 bp and 2 copies at least; received longest_unit={longest_unit}, "
            f"length={length}, copies={copies}. The defaults are 6, 12 and 3."
        )
    letters = _letters(sequence, interval)
    starts, ends = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for unit in range(1, min(longest_unit, len(letters) - 1) + 1):
        same = (letters[unit:] == letters[:-unit]) & (letters[unit:] != ord("N"))
        edges = np.flatnonzero(np.diff(same, prepend=False, append=False))
        first, last = edges[::2], edges[1::2] + unit
        kept = last - first >= max(length, copies * unit)
        starts.append(first[kept])
        ends.append(last[kept])
    low, high = merge(np.concatenate(starts), np.concatenate(ends))
    return _placed(low, high, interval, "tandem_repeat", "tandem repeats")


def _letters(sequence: str, interval: Interval) -> np.ndarray:
    """ASCII codes [base] of a clean sequence of the interval, in its own direction."""
    if len(sequence) != len(interval):
        raise ValueError(
            f"The sequence must be as long as its interval; received {len(sequence):,} bases for {interval.label()}, which "
            f"has {len(interval):,}. Fetch the sequence of this interval."
        )
    letters = sequence.encode("ascii", "replace")
    if letters.translate(None, b"ACGTN"):
        raise ValueError(
            f"A sequence must be upper-case A, C, G, T, N; received {sorted(set(sequence) - set('ACGTN'))[:5]} too. Pass "
            f"the text through sequence.clean first."
        )
    return np.frombuffer(letters, dtype=np.uint8)


def _placed(low: np.ndarray, high: np.ndarray, interval: Interval, element: str, what: str) -> Annotation:
    """Stretches low to high of the sequence, half-open and sorted, as an element of the genome."""
    import pandas as pd

    if interval.strand == "-":
        low, high = len(interval) - high[::-1], len(interval) - low[::-1]
    table = pd.DataFrame({"chrom": interval.chrom, "start": low + interval.start, "end": high + interval.start})
    return from_table(table, element=element, source=f"{what} of {interval.label()}")


def polya_signals(
    genes: Annotation, reference: Any, *, within: Interval | None = None, reach: int = 50,
    words: Sequence[str] = SIGNALS,
) -> Annotation:  # fmt: skip
    """The hexamer at the end of each transcript that has one, as the element ``polya_signal``.

    Of each transcript it is the first of `words` that is there, and of several of one word the one nearest to the end.
    Transcripts that end at the same base have one, searched for in the longest. `Annotation.note` counts them.

    `genes` have transcripts, or genes where there are none; `reference` is a `Reference`, or whatever fetches the bases of an Interval;
    only ends in `within` count, and `reach` bp before each are searched.

    References
    ----------
    AATAAA and ATTAAA are the signals of 58 % and 15 % of human 3' ends, mostly 10 to 30 nt before the cleavage site:
    Beaudoing et al., Genome Research 2000. Annotated ends are less exact than theirs, hence 50 bp.
    """
    import pandas as pd

    wrong = [word for word in words if not word or set(word) - set("ACGT") or len(word) > reach]
    if wrong or not words:
        raise ValueError(
            f"Signals must be words of A, C, G and T of at most {reach} bp, the reach; received {list(wrong) or 'none'}. The "
            f"default are {' and '.join(SIGNALS)}."
        )
    table = genes.features
    kind = next((kind for kind in ("transcript", "gene") if (table["element"] == kind).any()), None)
    if kind is None:
        raise ValueError(
            f"Signals are looked for at the ends of transcripts; {genes!r} has neither transcripts nor genes. Read a GTF."
        )
    tails: dict[tuple[str, int, str], tuple[Interval, str]] = {}
    chosen = table[(table["element"] == kind) & (table["strand"] != ".")]
    for chrom, first, end, strand, gene in chosen[["chrom", "start", "end", "strand", "gene"]].to_numpy():
        last, size = first if strand == "-" else end - 1, min(reach, end - first)
        if within is not None and not within.overlaps(Interval(chrom, last, last + 1)):
            continue
        tail = Interval(chrom, first if strand == "-" else end - size, first + size if strand == "-" else end, strand)
        held = tails.get((chrom, last, strand))
        if held is None or len(held[0]) < size:
            tails[chrom, last, strand] = tail, gene
    rows = []
    for tail, gene in tails.values():
        bases = reference.fetch(tail).sequence
        place, size = next(((bases.rfind(word), len(word)) for word in words if word in bases), (-1, 0))
        if size:
            left = tail.end - place - size if tail.strand == "-" else tail.start + place
            rows.append((tail.chrom, left, left + size, tail.strand, gene))
    return from_table(
        pd.DataFrame(rows, columns=["chrom", "start", "end", "strand", "gene"]),
        element="polya_signal",
        source="ends of transcripts",
        note=f"{len(rows):,} of {len(tails):,} ends of a {kind} have {' or '.join(words)} in their last {reach} bp",
    )
