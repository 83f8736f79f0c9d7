"""Two models on the same examples: which is better, by how much, and could it be chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ntviz.probing import labels as door
from ntviz.probing import metrics
from ntviz.probing.intervals import FEWEST, group_tables, middle


@dataclass(frozen=True)
class Comparison:
    """The difference of two models' first metric on the same examples.

    Attributes
    ----------
    difference
        First less second; nan where the metric is not defined for one of them, and so are the interval and p.
    low, high
        Its 95 % interval over groups drawn again; nan below `FEWEST` groups.
    p
        Two-sided: how often the difference is at least as large when, group by group, a coin says whose predictions
        are whose. All 2^groups coins are thrown where that is fewer than `draws`.
    groups
        Number of groups: with g of them p cannot be below 2 / 2^g.
    """

    difference: float
    low: float
    high: float
    p: float
    groups: int


def compare(
    kind: str,
    labels: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    groups: np.ndarray,
    *,
    draws: int = 2_000,
    seed: int = 0,
) -> Comparison:
    """First less second in the first metric of the task, paired by group.

    Parameters
    ----------
    kind, labels
        See `probing.scores`.
    first, second
        Predictions of the two for the same examples, in the same order.
    groups
        [example]; examples of a group are swapped and drawn together.

    Raises
    ------
    ValueError
        Predictions of different shapes, or labels and predictions that do not fit, see `probing.scores`.
    """
    shapes = np.shape(first), np.shape(second)
    if shapes[0] != shapes[1] or shapes[0][:1] != (len(labels),):
        raise ValueError(
            f"Both models must have predicted the same {len(labels):,} examples; received shapes {list(shapes[0])} and "
            f"{list(shapes[1])}. Join them by example first."
        )
    metric = metrics.metric_names(kind)[0]
    labels, first = metrics.paired(kind, labels, first)
    _, second = metrics.paired(kind, labels, second)
    names, which = np.unique(door.grouped(groups, len(labels)), return_inverse=True)
    n = len(names)
    rng = np.random.default_rng(seed)
    if n < 32 and 2**n <= draws:
        # Every way to swap, but for swapping all, which only turns the sign.
        swapped = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)
        exact = True
    else:
        swapped, exact = rng.random((draws, n)) < 0.5, False
    drawn = rng.integers(0, n, size=(draws, n))
    if kind in ("binary", "multiclass"):
        one, two = group_tables(labels, first, which), group_tables(labels, second, which)

        def of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return metrics.mcc(a) - metrics.mcc(b)

        observed = float(of(one.sum(0)[None], two.sum(0)[None])[0])
        s = swapped.astype(np.float64)
        a = np.einsum("dg,gtp->dtp", 1 - s, one) + np.einsum("dg,gtp->dtp", s, two)
        null = of(a, (one + two).sum(0)[None] - a)
        weights = np.stack([np.bincount(row, minlength=n) for row in drawn]).astype(np.float64)
        resampled = of(np.einsum("dg,gtp->dtp", weights, one), np.einsum("dg,gtp->dtp", weights, two))
    else:

        def score(truth: np.ndarray, predicted: np.ndarray) -> float:
            return metrics.measured(kind, truth, predicted)[metric]

        observed = score(labels, first) - score(labels, second)
        null = np.empty(len(swapped))
        for draw, coin in enumerate(swapped):
            shape = (-1, *(1,) * (first.ndim - 1))
            turned = coin[which].reshape(shape)
            null[draw] = score(labels, np.where(turned, second, first)) - score(
                labels, np.where(turned, first, second)
            )
        resampled = np.empty(len(drawn))
        members = [np.flatnonzero(which == group) for group in range(n)]
        for draw, row in enumerate(drawn):
            taken = np.concatenate([members[group] for group in row])
            resampled[draw] = score(labels[taken], first[taken]) - score(labels[taken], second[taken])
    if not np.isfinite(observed):
        return Comparison(float("nan"), float("nan"), float("nan"), float("nan"), n)
    # Sums in another order differ in the last digit; a draw that repeats what was seen must count. A swap that leaves the metric
    # undefined makes no difference.
    as_large = int((np.abs(np.nan_to_num(null)) >= abs(observed) - 1e-12).sum())
    p = as_large / len(null) if exact else (1 + as_large) / (1 + len(null))
    low, high = middle(resampled) if n >= FEWEST else (float("nan"), float("nan"))
    return Comparison(observed, low, high, float(p), n)


def false_discovery(p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg's adjusted p-values of one family of tests; nan stays nan and does not count.

    Examples
    --------
    >>> false_discovery(np.array([0.01, 0.04, 0.03, np.nan])).round(3).tolist()
    [0.03, 0.04, 0.04, nan]
    """
    from scipy.stats import false_discovery_control

    p = np.asarray(p, dtype=np.float64)
    result = np.full(p.shape, np.nan)
    known = np.isfinite(p)
    if known.any():
        result[known] = false_discovery_control(p[known])
    return result
