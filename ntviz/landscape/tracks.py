"""Rows of a track from values of bases."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

_CHUNK = 1 << 20


def track_rows(values: np.ndarray, start: int, size: int = 1) -> Iterator[tuple[int, int, float]]:
    """Rows (start, end, value), 0-based half-open, sorted; equal neighbours are one row and NaN have none.

    Parameters
    ----------
    values
        [base].
    start
        Position of the first base.
    size
        bp of a bin, cut at multiples of it; its value is the mean of the bases that are known. It reaches over all
        bases of the bin that are in the interval, unless all are NaN.

    Examples
    --------
    >>> list(track_rows(np.array([0.5, 0.5, np.nan, 1.0, 0.0]), 9))
    [(9, 11, 0.5), (12, 13, 1.0), (13, 14, 0.0)]
    >>> list(track_rows(np.array([0.5, 0.5, np.nan, 1.0, 0.5]), 9, 2))
    [(9, 12, 0.5), (12, 14, 0.75)]
    """
    end = start + len(values)
    held: tuple[int, int, float] | None = None
    step = max(1, _CHUNK // size) * size
    cuts = [start, *range((start // step + 1) * step, end, step), end]
    for low, high in pairwise(cuts):
        for row in _rows(np.asarray(values[low - start : high - start]), low, size):
            if held is not None and held[1] == row[0] and held[2] == row[2]:
                held = (held[0], row[1], held[2])
            else:
                if held is not None:
                    yield held
                held = row
    if held is not None:
        yield held


def _rows(values: np.ndarray, start: int, size: int) -> Iterator[tuple[int, int, float]]:
    """Rows of one chunk."""
    if not len(values):
        return
    numbers = (start + np.arange(len(values))) // size
    firsts = np.flatnonzero(np.r_[True, np.diff(numbers) > 0])
    known = np.isfinite(values)
    counts = np.add.reduceat(known.astype(np.int64), firsts)
    sums = np.add.reduceat(np.where(known, values, 0).astype(np.float64), firsts)
    means = (sums / np.maximum(counts, 1)).round(9)
    edges = np.r_[firsts, len(values)]
    new = np.r_[True, (means[1:] != means[:-1]) | ((counts[1:] > 0) != (counts[:-1] > 0))]
    heads = np.flatnonzero(new)
    tails = np.r_[heads[1:], len(firsts)]
    for head, tail in zip(heads.tolist(), tails.tolist(), strict=True):
        if counts[head]:
            yield start + int(edges[head]), start + int(edges[tail]), float(means[head])
