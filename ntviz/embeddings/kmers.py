"""Vectors that need no model: how often each k-mer comes. What vectors of a model must beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ntviz.sequence import codes, listed


def kmer_frequencies(sequences: Sequence[str], k: int) -> np.ndarray:
    """Share of each k-mer among those of a sequence, float32 [sequence, 4 ** k], in the order AA, AC, AG, ….

    k-mers with an N count nowhere; a sequence without any k-mer gets zeros. Strands are kept apart, since most tasks are
    stranded.

    Raises
    ------
    ValueError
        If k is not 1 to 8.

    Examples
    --------
    >>> kmer_frequencies(["ACAC"], 2)[0].nonzero()[0].tolist(), kmer_frequencies(["ACAC"], 2)[0].max().round(2)
    ([1, 4], np.float32(0.67))
    """
    if not 1 <= k <= 8:
        raise ValueError(f"k must be from 1 to 8; received {k}: 4 ** k numbers are kept for each sequence.")
    texts = listed(sequences)
    result = np.zeros((len(texts), 4**k), dtype=np.float32)
    for row, text in enumerate(texts):
        numbers = codes(text)
        n = len(numbers) - k + 1
        if n < 1:
            continue
        words = np.zeros(n, dtype=np.int64)
        clean = np.ones(n, dtype=bool)
        for offset in range(k):
            part = numbers[offset : offset + n]
            words = words * 4 + part
            clean &= part < 4
        if clean.any():
            result[row] = np.bincount(words[clean], minlength=4**k) / clean.sum()
    return result
