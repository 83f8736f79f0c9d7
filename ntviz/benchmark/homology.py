"""Sequences that share stretches with others, by the 21-mers of both strands: what must not stand on both sides of a split."""

from __future__ import annotations

from collections.abc import Sequence

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
    numbers = codes(sequence)
    n = len(numbers) - k + 1
    if n < 1:
        return np.zeros(0, dtype=np.uint64)
    forward, backward = np.zeros(n, dtype=np.uint64), np.zeros(n, dtype=np.uint64)
    clean = np.ones(n, dtype=bool)
    for offset in range(k):
        part = numbers[offset : offset + n]
        clean &= part < 4
        letter = part.astype(np.uint64) & np.uint64(3)
        forward = (forward << np.uint64(2)) | letter
        backward |= (np.uint64(3) - letter) << np.uint64(2 * offset)
    return np.unique(np.minimum(forward, backward)[clean])


def shared(
    first: Sequence[str], second: Sequence[str], k: int = K
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of sequences that share k-mers: index in `first`, index in `second`, and the share, three arrays [pair].

    The share is that of the sequence with fewer distinct k-mers, so that a piece of a longer one counts in full. Pairs
    that share nothing are left out.
    """
    from scipy.sparse import csr_matrix

    one, two = ([canonical_kmers(text, k) for text in part] for part in (listed(first), listed(second)))
    known, index = np.unique(np.concatenate([*one, *two, np.zeros(0, np.uint64)]), return_inverse=True)
    sizes = [np.array([len(kmers) for kmers in part], dtype=np.int64) for part in (one, two)]
    # 32 bits, since two sequences share more than 255 k-mers.
    rows, columns = (
        csr_matrix(
            (np.ones(len(part), np.int32), part, np.concatenate([[0], np.cumsum(lengths)])),
            shape=(len(lengths), len(known)),
        )
        for part, lengths in zip(np.split(index, [sizes[0].sum()]), sizes, strict=True)
    )
    counts = (rows @ columns.T).tocoo()
    least = np.minimum(sizes[0][counts.row], sizes[1][counts.col])
    return counts.row.astype(np.int64), counts.col.astype(np.int64), counts.data / least


def apart(train: Sequence[str], test: Sequence[str], *, share: float = SHARE, k: int = K) -> np.ndarray:
    """Which training sequences are homologous to no test sequence, bool [train]; see `shared`."""
    train = listed(train)
    rows, _, shares = shared(train, test, k)
    keep = np.ones(len(train), dtype=bool)
    keep[rows[shares >= share]] = False
    return keep


def apart_by_group(
    sequences: Sequence[str], groups: np.ndarray, *, share: float = SHARE, k: int = K
) -> np.ndarray:
    """Which sequences to keep so that no two of different groups are homologous, bool [sequence].

    Of a pair the later one goes, unless its partner went before.
    """
    sequences = listed(sequences)
    groups = grouped(groups, len(sequences))
    first, second, shares = shared(sequences, sequences, k)
    near = (shares >= share) & (first < second) & (groups[first] != groups[second])
    keep = np.ones(len(sequences), dtype=bool)
    for one, other in sorted(zip(first[near].tolist(), second[near].tolist(), strict=True)):
        if keep[one] and keep[other]:
            keep[other] = False
    return keep
