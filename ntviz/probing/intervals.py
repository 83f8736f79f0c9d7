"""Intervals by drawing whole groups again: neighbours in the genome are no independent witnesses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ntviz.probing import labels as door
from ntviz.probing import metrics

FEWEST = 5
"""Groups below which no interval is given: it would say nothing."""


class Interval95(NamedTuple):
    """A value with the middle 95 % of what it is when groups are drawn again.

    Both ends are nan where there are fewer than `FEWEST` groups.
    """

    value: float
    low: float
    high: float
    groups: int


def bootstrap(
    kind: str,
    labels: np.ndarray,
    predicted: np.ndarray,
    groups: np.ndarray,
    *,
    draws: int = 1_000,
    seed: int = 0,
) -> Interval95:
    """The first metric of a kind of task with its interval over groups.

    As many groups as there are get drawn with replacement, whole; see `scores` for labels and predictions.
    """
    value = metrics.scores(kind, labels, predicted)[metrics.metric_names(kind)[0]]
    values = redrawn(kind, labels, predicted, groups, draws=draws, seed=seed)
    return Interval95(value, *middle(values), len(np.unique(groups)))


def middle(values: np.ndarray) -> tuple[float, float]:
    """Ends of the middle 95 % of draws, those that are nan left out; nan where there are none.

    Examples
    --------
    >>> [round(end, 3) for end in middle(np.arange(41))]
    [1.0, 39.0]
    """
    if not np.isfinite(values).any():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def redrawn(
    kind: str,
    labels: np.ndarray,
    predicted: np.ndarray,
    groups: np.ndarray,
    *,
    draws: int = 1_000,
    seed: int = 0,
) -> np.ndarray:
    """The first metric of a kind of task when groups are drawn again, float64 [draw]; empty below `FEWEST` groups.

    A draw in which the metric is not defined, such as one without a class, is nan.
    """
    labels, predicted = metrics.paired(kind, labels, predicted)
    names, which = np.unique(door.grouped(groups, len(labels)), return_inverse=True)
    if len(names) < FEWEST:
        return np.zeros(0)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(names), size=(draws, len(names)))
    weights = np.stack([np.bincount(row, minlength=len(names)) for row in drawn])
    return np.array(list(_weighted(kind, labels, predicted, which, weights)))


def group_tables(labels: np.ndarray, predicted: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Confusion table of each group, float64 [group, truth, guess]."""
    classes = predicted.shape[1]
    tables = np.zeros((which.max() + 1, classes, classes))
    np.add.at(tables, (which, labels, predicted.argmax(axis=1)), 1)
    return tables


def _weighted(
    kind: str, labels: np.ndarray, predicted: np.ndarray, which: np.ndarray, weights: np.ndarray
) -> Iterator[float]:
    """The metric for each row of weights [draw, group], how often each group counts."""
    if kind in ("binary", "multiclass"):
        tables = group_tables(labels, predicted, which)
        yield from metrics.mcc(np.einsum("dg,gtp->dtp", weights.astype(np.float64), tables))
        return
    metric = metrics.metric_names(kind)[0]
    for row in weights:
        taken = np.repeat(np.arange(len(which)), row[which])
        yield metrics.measured(kind, labels[taken], predicted[taken])[metric]
