"""What elements that are found in the bases of an interval share: the letters checked, and stretches put on the genome."""

from __future__ import annotations

import numpy as np

from ntviz.annotation.combining import from_table
from ntviz.annotation.elements import Annotation
from ntviz.genome import Interval


def letters_of(sequence: str, interval: Interval) -> np.ndarray:
    """ASCII codes [base] of a clean sequence of the interval, in its own direction.

    Raises
    ------
    ValueError
        If the sequence is not as long as the interval or holds letters other than A, C, G, T and N.
    """
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


def placed(low: np.ndarray, high: np.ndarray, interval: Interval, element: str, what: str) -> Annotation:
    """Stretches low to high of the sequence, half-open and sorted, as an element of the genome."""
    import pandas as pd

    if interval.strand == "-":
        low, high = len(interval) - high[::-1], len(interval) - low[::-1]
    table = pd.DataFrame(
        {"chrom": interval.chrom, "start": low + interval.start, "end": high + interval.start}
    )
    return from_table(table, element=element, source=f"{what} of {interval.label()}")
