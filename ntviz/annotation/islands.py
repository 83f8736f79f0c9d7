"""CpG islands, found in the bases themselves."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from ntviz.annotation.elements import Annotation
from ntviz.annotation.from_bases import letters_of, placed
from ntviz.annotation.stretches import merge
from ntviz.genome import Interval

_PIECE = 1 << 20  # windows at a time: the arrays of a piece stay in the cache of a processor


def cpg_islands(
    sequence: str, interval: Interval, *, length: int = 200, gc: float = 0.5, ratio: float = 0.6
) -> Annotation:
    """CpG islands of a sequence, as the element ``cpg_island``.

    An island is a union of windows of `length` bp that overlap or touch. Each of these windows, taken at every base,
    holds no N, at least the share `gc` of G and C, and at least `ratio` times as many CpG as its C and G would make by
    chance: CpG x length / (C x G).

    Parameters
    ----------
    sequence
        Bases of the interval, upper-case A, C, G, T, N, in its own direction.
    interval
        Where they are from.
    length
        bp of a window, and so of the shortest island.
    gc
        Least share of G and C, 0 to 1.
    ratio
        Least ratio of observed to expected CpG.

    Raises
    ------
    ValueError
        If the sequence is not as long as the interval or holds other letters, or a limit makes no sense.

    References
    ----------
    The limits are those of Gardiner-Garden & Frommer, J Mol Biol 1987 (200 bp, 0.5, 0.6), who look at windows of 100
    bp; ``length=500, gc=0.55, ratio=0.65`` are those of Takai & Jones, PNAS 2002, who also join islands less than 100
    bp apart. Here every window of the whole length has to pass, so that no base depends on where a search begins.

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
    starts = _passing(letters_of(sequence, interval), length, gc, ratio)
    return placed(*merge(starts, starts + length), interval, "cpg_island", "CpG islands")


def _passing(letters: np.ndarray, length: int, gc: float, ratio: float) -> np.ndarray:
    """Starts of the windows that pass, sorted."""
    # Whole numbers are compared, so that a window that is just good enough passes whatever its limit is as a float.
    limit = _exact(ratio)
    least = math.ceil(_exact(gc) * length)
    found = []
    for first in range(0, max(len(letters) - length + 1, 0), _PIECE):
        piece = letters[first : first + _PIECE + length - 1]
        is_c, is_g = piece == ord("C"), piece == ord("G")
        c, g = _in_windows(is_c, length), _in_windows(is_g, length)
        # A CpG belongs to the windows that hold both of its bases.
        cpg = _in_windows(is_c[:-1] & is_g[1:], length - 1)
        passing = c + g >= least
        if (is_n := piece == ord("N")).any():
            passing &= _in_windows(is_n, length) == 0
        c, g, cpg = (counts[passing].astype(np.int64) for counts in (c, g, cpg))
        expected = c * g
        dense = (cpg * (length * limit.denominator) >= expected * limit.numerator) & (expected > 0)
        found.append(np.flatnonzero(passing)[dense] + first)
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _in_windows(is_there: np.ndarray, length: int) -> np.ndarray:
    """How many are there in each window of `length`."""
    upto = np.zeros(len(is_there) + 1, dtype=np.int32)
    np.cumsum(is_there, dtype=np.int32, out=upto[1:])
    return upto[length:] - upto[:-length]


def _exact(share: float) -> Fraction:
    return Fraction(repr(float(share))).limit_denominator(10**6)
