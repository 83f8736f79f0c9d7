"""Stretches of numbers with the largest sums, many rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_AT_A_TIME = 1 << 20  # numbers of padded rows
_ROUNDING = 1e-9  # of the largest number: sums below it are no sums


@dataclass(frozen=True, eq=False)
class Stretches:
    """Stretches of rows, by row and start: start and end are 0-based half-open, score is the sum of the numbers."""

    row: np.ndarray
    start: np.ndarray
    end: np.ndarray
    score: np.ndarray

    def __len__(self) -> int:
        """Number of stretches."""
        return len(self.row)

    def chosen(self, which: np.ndarray) -> Stretches:
        """Those of a mask or of numbers."""
        return Stretches(self.row[which], self.start[which], self.end[which], self.score[which])


def maximal(rows: Sequence[np.ndarray], *, shortest: int = 1, longest: int | None = None) -> Stretches:
    """Of each row the stretch of the largest sum, then the largest on either side of it, and so on while sums are positive.

    Parameters
    ----------
    rows
        Float [base] each, of any lengths. No stretch reaches over -inf.
    shortest
        What has fewer numbers is left out.
    longest
        What has more is parted: its own mean is taken off it, and it is searched again. Without a limit when not
        given.

    Notes
    -----
    The sum up to each place is followed from its smallest value so far. Where it comes to a new smallest, no stretch
    of the largest sum goes on, so the peaks in between are all found in one pass; the next pass looks at what is
    behind the peaks.

    Examples
    --------
    >>> found = maximal([np.array([2.0, -1, 2, -9, 1, -1, 3])])
    >>> found.start.tolist(), found.end.tolist(), found.score.tolist()
    ([0, 4, 6], [3, 5, 7], [3.0, 1.0, 3.0])
    """
    lengths = np.array([len(each) for each in rows], dtype=np.int64)
    order = np.argsort(lengths, kind="stable")
    parts: list[Stretches] = []
    first = 0
    while first < len(order):
        # Rows of like length go together, so that padding stays small.
        last = first + 1
        while last < len(order) and (last + 1 - first) * (lengths[order[last]] + 1) <= _AT_A_TIME:
            last += 1
        chosen = order[first:last]
        table = np.full((len(chosen), int(lengths[chosen].max(initial=0))), -np.inf)
        for place, row in enumerate(chosen):
            table[place, : lengths[row]] = rows[row]
        found = _parted(table, longest)
        found = found.chosen(found.end - found.start >= shortest)
        parts.append(Stretches(chosen[found.row], found.start, found.end, found.score))
        first = last
    if not parts:
        nothing = np.zeros(0, dtype=np.int64)
        return Stretches(nothing, nothing, nothing, np.zeros(0))
    row = np.concatenate([part.row for part in parts])
    start = np.concatenate([part.start for part in parts])
    sorted_ = np.lexsort((start, row))
    end = np.concatenate([part.end for part in parts])
    score = np.concatenate([part.score for part in parts])
    return Stretches(row[sorted_], start[sorted_], end[sorted_], score[sorted_])


def _parted(table: np.ndarray, longest: int | None) -> Stretches:
    """Stretches of the rows of a table [row, base], none longer than the limit; scores are sums in the table."""
    upto = _upto(np.where(np.isfinite(table), table, 0))
    finite = np.abs(table[np.isfinite(table)])
    least = _ROUNDING * float(finite.max()) if finite.size else 0.0
    row, start, end = _peaks(table, least)
    if longest is not None:
        done: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        while len(row):
            wide = end - start > longest
            done.append((row[~wide], start[~wide], end[~wide]))
            row, start, end = row[wide], start[wide], end[wide]
            if not len(row):
                break
            inside = np.full((len(row), int((end - start).max())), -np.inf)
            for place in range(len(row)):
                values = table[row[place], start[place] : end[place]]
                inside[place, : len(values)] = values - values.mean()
            within, begin, stop = _peaks(inside, least)
            row, end, start = row[within], start[within] + stop, start[within] + begin
        row, start, end = (np.concatenate([part[i] for part in done]) if done else row for i in range(3))
    return Stretches(row, start, end, upto[row, end] - upto[row, start])


def _upto(table: np.ndarray) -> np.ndarray:
    """Sum [row, base + 1] of what is before each place."""
    sums = np.zeros((len(table), table.shape[1] + 1))
    np.cumsum(table, axis=1, out=sums[:, 1:])
    return sums


def _peaks(table: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, start and end of all maximal stretches whose sum is more than `least`; -inf is a wall."""
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    numbers = np.arange(len(table))
    walls = ~np.isfinite(table)
    while len(numbers) and table.shape[1]:
        # A wall as high as the highest rise: behind it, each sum is a new smallest.
        rise = np.where(walls, 0, np.maximum(table, 0)).sum(1, keepdims=True) + 1
        sums = _upto(np.where(walls, -rise, table))
        height = sums - np.minimum.accumulate(sums, axis=1)
        width = height.shape[1]
        height = height.ravel()
        fresh = height <= 0
        begins = np.flatnonzero(fresh)
        peak = np.maximum.reduceat(height, begins)
        kept = peak > least
        if not kept.any():
            break
        excursion = np.cumsum(fresh) - 1
        top = np.flatnonzero((height == peak[excursion]) & kept[excursion])
        _, first = np.unique(excursion[top], return_index=True)
        top = top[first]
        begin = begins[excursion[top]]
        row = begin // width
        start, end = begin % width, top % width
        found.append((numbers[row], start, end))
        edges = np.zeros((len(table), width), dtype=np.int8)
        edges[row, start] += 1
        edges[row, end] -= 1
        walls = walls | (np.cumsum(edges, axis=1, dtype=np.int8)[:, :-1] > 0)
        active = np.unique(row)
        table, walls, numbers = table[active], walls[active], numbers[active]
    if not found:
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, nothing
    row, start, end = (np.concatenate([part[i] for part in found]) for i in range(3))
    return row, start, end
