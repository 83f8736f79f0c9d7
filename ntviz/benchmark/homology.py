"""Sequences that share stretches with others, by the 21-mers of both strands: what must not stand on both sides of a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ntviz.genome.sequence import codes, listed
from ntviz.probing.labels import grouped

K = 21
SHARE = 0.3
"""Share of the 21-mers of the sequence that has fewer, from which two sequences count as homologous."""


def canonical_kmers(sequence: str, k: int = K) -> np.ndarray:
    """Distinct k-mers of a sequence, the lesser of each and its reverse complement, as numbers in base 4; uint64, sorted.

    k-mers with an N are left out. k is 31 at most: a k-mer must fit into 64 bits.

    Examples
    --------
    >>> canonical_kmers("ACGTT", 4).tolist() == canonical_kmers("AACGT", 4).tolist()
    True
    """
    if not 1 <= k <= 31:
        raise ValueError(f"k must be from 1 to 31; received {k}.")
    bases = codes(sequence)
    if len(bases) < k:
        return np.zeros(0, dtype=np.uint64)
    kmers = np.lib.stride_tricks.sliding_window_view(bases.astype(np.uint64), k)
    kmers = kmers[(kmers < 4).all(axis=1)]
    powers = np.uint64(4) ** np.arange(k, dtype=np.uint64)
    return np.unique(np.minimum(kmers @ powers[::-1], (np.uint64(3) - kmers) @ powers))


def shared(first: Sequence[str], second: Sequence[str], k: int = K) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of sequences that share k-mers: index in `first`, index in `second`, and the share, three arrays [pair].

    The share is that of the sequence with fewer distinct k-mers, so that a piece of a longer one counts in full. Pairs
    that share nothing are left out.
    """
    from scipy.sparse import csr_array

    sides = [[canonical_kmers(text, k) for text in listed(part)] for part in (first, second)]
    known, column = np.unique(np.concatenate([np.zeros(0, np.uint64), *sides[0], *sides[1]]), return_inverse=True)
    ends = np.cumsum([0, *(len(kmers) for side in sides for kmers in side)])
    # 32 bits, since two sequences share more than 255 k-mers.
    held = csr_array((np.ones(len(column), np.int32), column, ends), shape=(len(ends) - 1, len(known)))
    counts = (held[: len(sides[0])] @ held[len(sides[0]) :].T).tocoo()
    sizes = np.diff(ends)
    least = np.minimum(sizes[counts.row], sizes[counts.col + len(sides[0])])
    return counts.row.astype(np.int64), counts.col.astype(np.int64), counts.data / least


def apart(train: Sequence[str], test: Sequence[str], *, share: float = SHARE, k: int = K) -> np.ndarray:
    """Which training sequences are homologous to no test sequence, bool [train]; see `shared`."""
    train = listed(train)
    rows, _, shares = shared(train, test, k)
    return ~np.isin(np.arange(len(train)), rows[shares >= share])


def apart_by_group(sequences: Sequence[str], groups: Any, *, share: float = SHARE, k: int = K) -> np.ndarray:
    """Which sequences to keep so that no two of different groups are homologous, bool [sequence].

    Of a pair the later one goes, unless its partner went before.
    """
    sequences = listed(sequences)
    groups = grouped(groups, len(sequences))
    first, second, shares = shared(sequences, sequences, k)
    near = (shares >= share) & (first < second) & (groups[first] != groups[second])
    keep = np.ones(len(sequences), dtype=bool)
    for one, other in sorted(zip(first[near].tolist(), second[near].tolist(), strict=True)):
        keep[other] &= not keep[one]
    return keep
