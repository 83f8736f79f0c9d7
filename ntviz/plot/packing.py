"""Packing of things with a width into as few lines as they need."""

from __future__ import annotations

import numpy as np


def packed(left: np.ndarray, right: np.ndarray, *, gap: float) -> np.ndarray:
    """Line [item] of each item, the first that is free from the left, so that none come closer than `gap`.

    Parameters
    ----------
    left, right
        [item] extents, in any unit.
    gap
        Room between two items of a line at least, in the same unit.

    Examples
    --------
    >>> packed(np.array([0, 1, 3]), np.array([2, 4, 5]), gap=0.5).tolist()
    [0, 1, 0]
    """
    lines, ends = np.zeros(len(left), dtype=int), list[float]()
    for index in np.lexsort((right, left)):
        free = next((line for line, end in enumerate(ends) if end + gap <= left[index]), len(ends))
        if free == len(ends):
            ends.append(0.0)
        ends[free] = float(right[index])
        lines[index] = free
    return lines


def lines_needed(left: np.ndarray, right: np.ndarray, *, gap: float) -> int:
    """Number of lines that `packed` fills: the most items that lie over one place. It costs one sort.

    Examples
    --------
    >>> lines_needed(np.array([0, 1, 3]), np.array([2, 4, 5]), gap=0.5)
    2
    """
    starts = np.sort(left)
    over = np.searchsorted(np.sort(right + gap), starts, side="right")
    return int((np.arange(1, len(starts) + 1) - over).max(initial=0))
