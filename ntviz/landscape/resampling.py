"""Means over stretches of a landscape: by block, and with the stretches shifted around its known bases."""

from __future__ import annotations

import numpy as np

from ntviz.landscape.result import FLOOR, Landscape


def measures_of(landscape: Landscape) -> list[str]:
    """Names of what is reported."""
    controls = [name for control in landscape.controls for name in (control, f"over_{control}")]
    return ["probability", "accuracy", "entropy", "perplexity", *controls]


def values_of(landscape: Landscape, measure: str) -> np.ndarray:
    """Values of each base [base] whose mean is reported; for the perplexity the loss in nats."""
    own = landscape.probability
    if measure == "perplexity":
        return -np.log(np.maximum(own, np.float32(FLOOR)))
    if measure.startswith("over_"):
        return own - landscape.controls[measure.removeprefix("over_")]
    plain = {"probability": own, "accuracy": landscape.correct, "entropy": landscape.entropy}
    return {**plain, **landscape.controls}[measure]


class Circle:
    """The known bases of a landscape, joined at their ends; stretches on it are [start, end) in known bases.

    Parameters
    ----------
    landscape
        Whose bases with a probability are known.
    block
        bp of a block of the contig, from its start.
    """

    def __init__(self, landscape: Landscape, block: int) -> None:
        self.known = np.isfinite(landscape.probability)
        for values in landscape.controls.values():
            # A base is counted in all measures or in none.
            self.known &= np.isfinite(values)
        self.before = np.zeros(len(self.known) + 1, np.int64)
        np.cumsum(self.known, out=self.before[1:])
        self.n = int(self.before[-1])
        start, end = landscape.interval.start, landscape.interval.end
        cuts = np.array([start, *range((start // block + 1) * block, end, block), end]) - start
        # Blocks without a known base say nothing.
        self.edges = np.unique(self.before[cuts])

    def stretches(self, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Starts and ends of the stretches of a bool [base], without those of unknown bases only.

        Examples
        --------
        >>> from ntviz.genome import Interval
        >>> values = np.array([0.5, np.nan, 0.5, 0.5], np.float32)
        >>> toy = Circle(Landscape(Interval("1", 0, 4), values, values, values, "toy", 4), 2)
        >>> [ends.tolist() for ends in toy.stretches(np.array([True, True, False, True]))]
        [[0, 2], [1, 3]]
        """
        change = np.diff(np.concatenate([[0], np.asarray(inside, np.int8), [0]]))
        starts, ends = self.before[np.flatnonzero(change == 1)], self.before[np.flatnonzero(change == -1)]
        kept = ends > starts
        return starts[kept], ends[kept]

    def summed(self, values: np.ndarray) -> np.ndarray:
        """Sums [known + 1] of values [base] before each known base."""
        sums = np.zeros(self.n + 1)
        np.cumsum(values[self.known], dtype=np.float64, out=sums[1:])
        return sums

    def by_block(self, sums: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Sums over the stretches, cut at the edges of the blocks, [block]."""
        if not len(starts):
            return np.zeros(max(0, len(self.edges) - 1))
        whole = np.concatenate([[0.0], np.cumsum(sums[ends] - sums[starts])])
        count = np.searchsorted(ends, self.edges, side="right")
        last = np.minimum(count, len(starts) - 1)
        begun = (count < len(starts)) & (starts[last] < self.edges)
        partial = np.where(begun, sums[self.edges] - sums[starts[last]], 0.0)
        return np.diff(whole[count] + partial)

    def shifted(
        self, sums: np.ndarray, starts: np.ndarray, ends: np.ndarray, turns: np.ndarray
    ) -> np.ndarray:
        """Sums over the stretches after each shift, [shift]; turns are shares of the circle."""
        if not len(starts):
            return np.zeros(len(turns))
        moves = np.floor(turns * self.n).astype(np.int64)
        return np.array(
            [(self._around(sums, ends + move) - self._around(sums, starts + move)).sum() for move in moves]
        )

    def _around(self, sums: np.ndarray, places: np.ndarray) -> np.ndarray:
        beyond = places > self.n
        return sums[np.where(beyond, places - self.n, places)] + np.where(beyond, sums[-1], 0.0)


def interval_of(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of draws [draw]; those that are NaN are left out, and NaN comes back where all are."""
    kept = values[np.isfinite(values)]
    if not len(kept):
        return np.nan, np.nan
    low, high = np.quantile(kept, [0.025, 0.975])
    return float(low), float(high)


def ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums by counts; NaN where nothing was counted."""
    counts = np.asarray(counts, np.float64)
    return np.divide(sums, counts, out=np.full(np.shape(sums), np.nan), where=counts > 0)
