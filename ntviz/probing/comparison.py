"""Intervals and differences by drawing whole groups again: neighbours in the genome are no independent witnesses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ntviz.probing import labels as door
from ntviz.probing import metrics
from ntviz.statistics import FEWEST, draw_groups, mcc, middle, rows_of, weights_of


class Interval95(NamedTuple):
    """A value with the middle 95 % of what it is when groups are drawn again; both ends nan below `FEWEST` groups."""

    value: float
    low: float
    high: float
    groups: int


def bootstrap(kind: str, labels: Any, predicted: Any, groups: Any, *, draws: int = 1_000, seed: int = 0) -> Interval95:
    """The first metric of a kind of task with its interval over groups; see `scores` and `redrawn`."""
    value = metrics.scores(kind, labels, predicted)[metrics.metric_names(kind)[0]]
    values = redrawn(kind, labels, predicted, groups, draws=draws, seed=seed)
    return Interval95(value, *middle(values), len(np.unique(groups)))


def redrawn(kind: str, labels: Any, predicted: Any, groups: Any, *, draws: int = 1_000, seed: int = 0) -> np.ndarray:
    """The first metric when as many groups as there are get drawn with replacement, float64 [draw]; empty below `FEWEST` groups.

    A draw in which the metric is not defined, such as one without a class, is nan.
    """
    labels, predicted = metrics.paired(kind, labels, predicted)
    n, which = _numbered(groups, len(labels))
    if n < FEWEST:
        return np.zeros(0)
    return _resampled(kind, labels, predicted, which, draw_groups(n, draws, np.random.default_rng(seed)))


def _numbered(groups: Any, n: int) -> tuple[int, np.ndarray]:
    """How many groups there are, and the number of each example's."""
    names, which = np.unique(door.grouped(groups, n), return_inverse=True)
    return len(names), which


def _resampled(
    kind: str, labels: np.ndarray, predicted: np.ndarray, which: np.ndarray, drawn: np.ndarray
) -> np.ndarray:
    """The first metric for each row of group numbers [draw, group], float64 [draw]."""
    if kind in door.BY_CLASS:
        by_group = metrics.tables(labels, predicted, which, drawn.shape[1])
        return mcc(np.einsum("dg,gtp->dtp", weights_of(drawn), by_group))
    return np.array([metrics.first(kind, labels[rows], predicted[rows]) for rows in rows_of(which, drawn)])


@dataclass(frozen=True)
class Comparison:
    """The difference of two models' first metric on the same examples, first less second; nan where it is not defined."""

    difference: float
    low: float  # 95 % interval over groups drawn again; nan below 5 groups
    high: float
    # Two-sided: how often the difference is at least as large when, group by group, a coin says whose predictions are whose. All
    # 2^groups coins are thrown where that is fewer than `draws`; p cannot be below 2 / 2^groups.
    p: float
    groups: int


def compare(
    kind: str, labels: Any, first: Any, second: Any, groups: Any, *, draws: int = 2_000, seed: int = 0
) -> Comparison:
    """First less second in the first metric of the task; examples of a group are swapped and drawn together.

    `first`, `second`: predictions for the same examples in the same order, see `probing.scores`; ValueError where shapes differ.
    """
    shapes = np.shape(first), np.shape(second)
    if shapes[0] != shapes[1] or shapes[0][:1] != (len(labels),):
        raise ValueError(
            f"Both models must have predicted the same {len(labels):,} examples; received shapes {list(shapes[0])} and "
            f"{list(shapes[1])}. Join them by example first."
        )
    labels, first = metrics.paired(kind, labels, first)
    _, second = metrics.paired(kind, labels, second)
    n, which = _numbered(groups, len(labels))
    rng = np.random.default_rng(seed)
    exact = n < 32 and 2**n <= draws
    # Every way to swap, but for swapping all, which only turns the sign.
    swapped = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool) if exact else rng.random((draws, n)) < 0.5
    drawn = draw_groups(n, draws, rng)
    if kind in door.BY_CLASS:
        one, two = (metrics.tables(labels, predicted, which, n) for predicted in (first, second))
        both, s = (one + two).sum(0)[None], swapped.astype(np.float64)
        a = np.einsum("dg,gtp->dtp", 1 - s, one) + np.einsum("dg,gtp->dtp", s, two)
        observed = float((mcc(one.sum(0)[None]) - mcc(two.sum(0)[None]))[0])
        null = mcc(a) - mcc(both - a)
    else:

        def difference(first: np.ndarray, second: np.ndarray) -> float:
            return metrics.first(kind, labels, first) - metrics.first(kind, labels, second)

        observed = difference(first, second)
        coins = (coin[which].reshape(-1, *(1,) * (first.ndim - 1)) for coin in swapped)
        null = np.array([difference(np.where(c, second, first), np.where(c, first, second)) for c in coins])
    if not np.isfinite(observed):
        return Comparison(*[float("nan")] * 4, n)
    # Sums in another order differ in the last digit; a draw that repeats what was seen must count. A swap that leaves the metric
    # undefined makes no difference.
    as_large = int((np.abs(np.nan_to_num(null)) >= abs(observed) - 1e-12).sum())
    p = as_large / len(null) if exact else (1 + as_large) / (1 + len(null))
    low = high = float("nan")
    if n >= FEWEST:
        low, high = middle(
            np.subtract(*(_resampled(kind, labels, predicted, which, drawn) for predicted in (first, second)))
        )
    return Comparison(observed, low, high, float(p), n)
