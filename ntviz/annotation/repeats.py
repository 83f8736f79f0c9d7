"""Tandem repeats, found in the bases themselves."""

from __future__ import annotations

import numpy as np

from ntviz.annotation.elements import Annotation
from ntviz.annotation.from_bases import letters_of, placed
from ntviz.annotation.stretches import merge
from ntviz.genome import Interval


def tandem_repeats(
    sequence: str, interval: Interval, *, longest_unit: int = 6, length: int = 12, copies: float = 3
) -> Annotation:
    """Perfect tandem repeats of short units (microsatellites and runs of one base), as the element ``tandem_repeat``.

    A repeat of a unit of u bp is a stretch in which every base equals the one u bp before it; it is kept from `length`
    bp and `copies` units on, whichever is longer. Stretches that overlap or touch are one. Dispersed repeats such as Alu
    and L1 are not found: they need a library; read RepeatMasker's intervals as BED for them.

    Parameters
    ----------
    sequence
        Bases of the interval, upper-case A, C, G, T, N, in its own direction.
    interval
        Where they are from.
    longest_unit
        bp of a unit at most.
    length
        bp of a repeat at least.
    copies
        Units of a repeat at least; they need not be whole.

    Raises
    ------
    ValueError
        If the sequence is not as long as the interval or holds other letters, or a limit makes no sense.

    Examples
    --------
    >>> found = tandem_repeats("GT" + "CAG" * 5 + "TACG", Interval("chr20", 100, 121))
    >>> found.table[["start", "end", "element"]].values.tolist()
    [[102, 117, 'tandem_repeat']]
    """
    if longest_unit < 1 or length < 2 or copies < 2:
        raise ValueError(
            f"A tandem repeat must have a unit of 1 bp or more, 2 bp and 2 copies at least; received longest_unit={longest_unit}, "
            f"length={length}, copies={copies}. The defaults are 6, 12 and 3."
        )
    letters = letters_of(sequence, interval)
    starts, ends = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for unit in range(1, min(longest_unit, len(letters) - 1) + 1):
        same = (letters[unit:] == letters[:-unit]) & (letters[unit:] != ord("N"))
        edges = np.flatnonzero(np.diff(same, prepend=False, append=False))
        first, last = edges[::2], edges[1::2] + unit
        kept = last - first >= max(length, copies * unit)
        starts.append(first[kept])
        ends.append(last[kept])
    low, high = merge(np.concatenate(starts), np.concatenate(ends))
    return placed(low, high, interval, "tandem_repeat", "tandem repeats")
