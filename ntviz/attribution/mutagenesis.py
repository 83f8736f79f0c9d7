"""What happens to a target when bases are changed or hidden: no gradient, and the yardstick of those that use one.

References
----------
Zhou & Troyanskaya (2015) Nature Methods 12:931, in-silico mutagenesis. Zeiler & Fergus (2014) ECCV, occlusion.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ntviz.attribution.reader import reader
from ntviz.attribution.target import Target
from ntviz.genome.sequence import BASES


def ask(model: Any, sequences: Sequence[str], target: Target) -> np.ndarray:
    """The target of each sequence, float64 [sequence], in its unit: what attributions take apart, by itself.

    It is what `motifs.insertion` asks: `insertion(lambda texts: ask(model, texts, target), motif, backgrounds)`.

    Raises
    ------
    ValueError
        A target that is not there, or no sequence.
    """
    if isinstance(sequences, str) or not len(sequences):
        raise ValueError(
            f"There must be a list with at least one sequence; received {'one text' if isinstance(sequences, str) else 'none'}."
        )
    return reader(model).values(list(sequences), target)


def mutagenesis(
    model: Any, sequence: str, target: Target, *, region: tuple[int, int] | None = None
) -> np.ndarray:
    """The target with each base in place of another less the target as it is, float64 [base, 4] in order ACGT.

    0 at the base that stands there, and within what the target masks; nan at N. Models as in `integrated_gradients`.

    Parameters
    ----------
    region
        Positions to change, 0-based half-open within the sequence; default: all, three passes a base.

    Raises
    ------
    ValueError
        A region outside the sequence, or a target that is not there.
    """
    of = reader(model)
    start, end = _region(sequence, region)
    changed, places = [sequence], []
    for position in range(start, end):
        for code, base in enumerate(BASES):
            if sequence[position] not in ("N", base):
                changed.append(sequence[:position] + base + sequence[position + 1 :])
                places.append((position - start, code))
    found = np.zeros((end - start, 4))
    found[[i for i in range(end - start) if sequence[start + i] == "N"]] = np.nan
    asked = of.values(changed, target)
    for (row, code), value in zip(places, asked[1:], strict=True):
        found[row, code] = value - asked[0]
    return found


def occlusion(
    model: Any, sequence: str, target: Target, *, width: int = 6, region: tuple[int, int] | None = None
) -> np.ndarray:
    """The target less the target with a window of N around each base, float64 [base]: what hiding it takes away.

    A base gets the mean of the windows of `width` bp that cover it. N of a 6-mer model are tokens of their own and shift
    the frame of what follows, which is part of what is measured. Windows that hide the target's own base are left out; a
    base that only such windows cover is nan.

    Raises
    ------
    ValueError
        A width or region that does not fit, or a target that is not there.
    """
    of = reader(model)
    start, end = _region(sequence, region)
    if not 1 <= width <= end - start:
        raise ValueError(
            f"width must be 1 to {end - start:,} bp, the length of the region; received {width:,}."
        )
    hidden, lefts = [sequence], []
    for left in range(start, end - width + 1):
        text = sequence[:left] + "N" * width + sequence[left + width :]
        with suppress(ValueError):  # a base that is hidden cannot be expected
            of.masked_ids(of.tokenize(text), target)
            hidden.append(text)
            lefts.append(left - start)
    asked = of.values(hidden, target)
    total, count = np.zeros(end - start), np.zeros(end - start)
    for left, value in zip(lefts, asked[0] - asked[1:], strict=True):
        total[left : left + width] += value
        count[left : left + width] += 1
    return np.divide(total, count, out=np.full(end - start, np.nan), where=count > 0)


def _region(sequence: str, region: tuple[int, int] | None) -> tuple[int, int]:
    start, end = region if region is not None else (0, len(sequence))
    if not 0 <= start < end <= len(sequence):
        raise ValueError(
            f"The region must lie in the sequence, 0 to {len(sequence):,}, 0-based half-open; received {start:,} to {end:,}."
        )
    return start, end
