"""Bases as numbers, in memory or read through a FASTA's index when sliced: a corpus treats both alike."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from ntviz.genome import Interval
from ntviz.reference import Reference
from ntviz.sequence import codes as base_codes

_LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)
N = 4
"""Code of an unknown base; A, C, G, T are 0 to 3."""
_PIECE = 1 << 24


class Codes(Protocol):
    """Base codes [base] of a contig: an array, or what reads one when sliced."""

    def __len__(self) -> int:
        """Bases of the contig."""
        ...

    def __getitem__(self, part: slice, /) -> np.ndarray:
        """Codes of a part, uint8 [base]; A C G T N are 0 to 4."""
        ...


def encode(text: str) -> np.ndarray:
    """Codes [base] of an upper-case sequence: A C G T are 0 to 3, everything else is N, 4.

    >>> encode("ACGTN").tolist()
    [0, 1, 2, 3, 4]
    """
    return base_codes(text)


def decode(codes: np.ndarray) -> str:
    """The upper-case sequence of base codes [base].

    >>> decode(encode("GATTACA"))
    'GATTACA'
    """
    return _LETTERS[codes].tobytes().decode("ascii")


def reverse(codes: np.ndarray) -> np.ndarray:
    """Codes [base] of the other strand.

    >>> reverse(encode("AACN")).tolist()
    [4, 2, 3, 3]
    """
    return np.where(codes < N, 3 - codes, N).astype(np.uint8)[::-1]


@lru_cache(maxsize=64)
def _opened(path: Path) -> Reference:
    # Hundreds of genomes must not hold hundreds of files open.
    return Reference(path)


class Indexed:
    """Base codes of a contig that stay in the FASTA until they are sliced.

    Parameters
    ----------
    path
        The FASTA file.
    chrom
        A contig, as the file names it.
    length
        Its bases.
    """

    def __init__(self, path: Path, chrom: str, length: int) -> None:
        self.path, self.chrom, self._length = path, chrom, length

    def __len__(self) -> int:
        """Bases of the contig."""
        return self._length

    def __getitem__(self, part: slice, /) -> np.ndarray:
        """Codes of a part without step, uint8 [base]."""
        start, end, step = part.indices(self._length)
        if step != 1:
            raise ValueError(
                f"Bases of a FASTA are read in steps of 1; got {step}. Slice the array that comes back."
            )
        if end <= start:
            return np.zeros(0, np.uint8)
        return encode(_opened(self.path).fetch(Interval(self.chrom, start, end)).sequence)


def fingerprint(content: bytes) -> str:
    """The first 16 hexadecimal digits of the SHA-256.

    >>> fingerprint(b"")
    'e3b0c44298fc1c14'
    """
    return hashlib.sha256(content).hexdigest()[:16]


def unknown_runs(codes: Codes) -> tuple[np.ndarray, str]:
    """Stretches of N of a contig, int64 [run, (start, end)], 0-based half-open, and its fingerprint; read piece by piece."""
    edges, digest = [], hashlib.sha256()
    before = False
    for start in range(0, len(codes), _PIECE):
        piece = codes[start : start + _PIECE]
        digest.update(piece.tobytes())
        unknown = piece == N
        changes = np.flatnonzero(np.diff(unknown, prepend=before))
        edges.append(changes + start)
        before = bool(unknown[-1])
    found = np.concatenate(edges) if edges else np.zeros(0, np.int64)
    if before:
        found = np.append(found, len(codes))
    return found.reshape(-1, 2).astype(np.int64), digest.hexdigest()[:16]


def unknown_before(runs: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """How many N lie before each position, from the runs that `unknown_runs` gives.

    >>> unknown_before(np.array([[2, 4], [6, 7]]), np.array([0, 3, 5, 9])).tolist()
    [0, 1, 2, 3]
    """
    if not len(runs):
        return np.zeros(len(positions), np.int64)
    total = np.concatenate([[0], np.cumsum(runs[:, 1] - runs[:, 0])])
    run = np.searchsorted(runs[:, 0], positions, side="right")
    last = np.maximum(run - 1, 0)
    beyond = np.where(run > 0, np.maximum(runs[last, 1] - positions, 0), 0)
    return total[run] - beyond
