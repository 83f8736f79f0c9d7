"""Intervals by drawing whole groups again: neighbours in the genome are no independent witnesses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ntviz.probing import labels as door
from ntviz.probing import metrics
from ntviz.statistics import FEWEST, draw_groups, mcc, middle, rows_of, weights_of


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
    drawn = draw_groups(len(names), draws, np.random.default_rng(seed))
    return resampled(kind, labels, predicted, which, drawn)


def resampled(
    kind: str, labels: np.ndarray, predicted: np.ndarray, which: np.ndarray, drawn: np.ndarray
) -> np.ndarray:
    """The first metric for each row of group numbers [draw, group], float64 [draw]."""
    if kind in ("binary", "multiclass"):
        tables = group_tables(labels, predicted, which)
        return mcc(np.einsum("dg,gtp->dtp", weights_of(drawn), tables))
    metric = metrics.metric_names(kind)[0]
    taken = rows_of(which, drawn)
    return np.array([metrics.measured(kind, labels[rows], predicted[rows])[metric] for rows in taken])


def group_tables(labels: np.ndarray, predicted: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Confusion table of each group, float64 [group, truth, guess]."""
    classes = predicted.shape[1]
    tables = np.zeros((which.max() + 1, classes, classes))
    np.add.at(tables, (which, labels, predicted.argmax(axis=1)), 1)
    return tables
