"""Vectors without a model: composition, and the bases around the middle. What a model must beat, as k-mers are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ntviz.sequence import codes, listed

KS = (3, 4, 5, 6)
"""Lengths of k-mers that the k-mer baseline chooses from."""
LOCAL = 31
"""bp around the middle that the local baseline sees: a splice site's consensus and no more."""


def composition(sequences: Sequence[str]) -> np.ndarray:
    """GC share of known bases, share of N and log10 length, float32 [sequence, 3].

    Examples
    --------
    >>> composition(["GCANNNNNNN"]).astype(float).round(2).tolist()
    [[0.67, 0.7, 1.0]]
    """
    rows = []
    for text in listed(sequences):
        known = len(text) - text.count("N")
        rows.append(
            (
                (text.count("G") + text.count("C")) / known if known else 0.5,
                1 - known / len(text) if text else 0.0,
                np.log10(max(1, len(text))),
            )
        )
    return np.array(rows, dtype=np.float32).reshape(-1, 3)


def local_bases(sequences: Sequence[str], width: int = LOCAL) -> np.ndarray:
    """One-hot bases around the middle, float32 [sequence, width * 4] in order ACGT; zeros at N and beyond the ends.

    The middle of an even length is its right half's first base: base 300 of 600, counted from 0.

    Examples
    --------
    >>> local_bases(["AACAA"], width=1).tolist()
    [[0.0, 1.0, 0.0, 0.0]]
    """
    texts = listed(sequences)
    result = np.zeros((len(texts), width, 5), dtype=np.float32)
    for row, text in enumerate(texts):
        numbers = codes(text)
        start = len(numbers) // 2 - width // 2
        left, right = max(0, start), min(len(numbers), start + width)
        result[row, np.arange(left - start, right - start), numbers[left:right]] = 1
    return result[:, :, :4].reshape(len(texts), -1)
