"""Two models on the same examples: which is better, by how much, and could it be chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ntviz.probing import labels as door
from ntviz.probing import metrics
from ntviz.probing.intervals import group_tables, resampled
from ntviz.statistics import FEWEST, draw_groups, mcc, middle


@dataclass(frozen=True)
class Comparison:
    """The difference of two models' first metric on the same examples, first less second; nan where it is not defined.

    Attributes
    ----------
    low, high
        Its 95 % interval over groups drawn again; nan below 5 groups.
    p
        Two-sided: how often the difference is at least as large when, group by group, a coin says whose predictions are
        whose. All 2^groups coins are thrown where that is fewer than `draws`; p cannot be below 2 / 2^groups.
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
    kind, labels, first, second
        See `probing.scores`; predictions of the two for the same examples, in the same order.
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
    drawn = draw_groups(n, draws, rng)
    if kind in ("binary", "multiclass"):
        one, two = group_tables(labels, first, which), group_tables(labels, second, which)
        both, s = (one + two).sum(0)[None], swapped.astype(np.float64)
        a = np.einsum("dg,gtp->dtp", 1 - s, one) + np.einsum("dg,gtp->dtp", s, two)
        observed = float((mcc(one.sum(0)[None]) - mcc(two.sum(0)[None]))[0])
        null = mcc(a) - mcc(both - a)
    else:

        def difference(first: np.ndarray, second: np.ndarray) -> float:
            a, b = (metrics.measured(kind, labels, predicted)[metric] for predicted in (first, second))
            return a - b

        observed = difference(first, second)
        shape = (-1, *(1,) * (first.ndim - 1))
        coins = (coin[which].reshape(shape) for coin in swapped)
        null = np.array([difference(np.where(c, second, first), np.where(c, first, second)) for c in coins])
    resamples = [resampled(kind, labels, predicted, which, drawn) for predicted in (first, second)]
    if not np.isfinite(observed):
        return Comparison(*[float("nan")] * 4, n)
    # Sums in another order differ in the last digit; a draw that repeats what was seen must count. A swap that leaves the metric
    # undefined makes no difference.
    as_large = int((np.abs(np.nan_to_num(null)) >= abs(observed) - 1e-12).sum())
    p = as_large / len(null) if exact else (1 + as_large) / (1 + len(null))
    low, high = middle(resamples[0] - resamples[1]) if n >= FEWEST else (float("nan"), float("nan"))
    return Comparison(observed, low, high, float(p), n)
