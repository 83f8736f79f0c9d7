"""Statistics that several analyses share: resampling by group, false discovery, rank measures, tests against copies.

Neighbours in the genome are no independent draws, so intervals come from drawing whole groups again. The rank measures
agree with scikit-learn's and scipy's (a test holds it) and take a tenth of their time, which a bootstrap needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

FEWEST = 5
"""Groups below which no interval is given: it would say nothing."""


def seed_of(*parts: object) -> int:
    """A seed from anything that has a text, the same on every machine."""
    return int.from_bytes(hashlib.sha256("\n".join(map(str, parts)).encode()).digest()[:8], "little")


def ratio(over: Any, under: Any) -> np.ndarray:
    """Quotient, float64; NaN where nothing stands below the line."""
    over, under = np.broadcast_arrays(np.asarray(over, dtype=float), np.asarray(under, dtype=float))
    return np.divide(over, under, out=np.full(over.shape, np.nan), where=under > 0)


def draw_groups(groups: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of groups drawn with replacement, as many as there are, int64 [draw, group]."""
    return rng.integers(0, groups, size=(draws, groups))


def draw_weights(groups: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often each group is drawn with replacement, float64 [draw, group]: for sums over groups, in one product."""
    if not groups:
        return np.zeros((draws, 0))
    return rng.multinomial(groups, np.full(groups, 1 / groups), size=draws).astype(np.float64)


def weights_of(drawn: np.ndarray) -> np.ndarray:
    """How often each group stands in each row of `draw_groups`, float64 [draw, group]."""
    return np.stack([np.bincount(row, minlength=drawn.shape[1]) for row in drawn]).astype(np.float64)


def rows_of(group: np.ndarray, drawn: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of the table in each draw, whole groups one after another.

    >>> [rows.tolist() for rows in rows_of(np.array([0, 1, 0]), np.array([[1, 0], [1, 1]]))]
    [[1, 0, 2], [1, 1]]
    """
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    return (np.concatenate([members[number] for number in row]) for row in drawn)


def middles(draws: np.ndarray) -> np.ndarray:
    """Ends of the middle 95 % of each column of draws [draw, column], float64 [2, column]; see `middle`."""
    draws = np.asarray(draws, dtype=np.float64)
    known = np.isfinite(draws)
    whole = known.all(axis=0) & (len(draws) > 0)
    ends = np.full((2, draws.shape[1]), np.nan)
    if whole.any():
        ends[:, whole] = np.quantile(draws[:, whole], (0.025, 0.975), axis=0)
    for column in np.flatnonzero(known.any(axis=0) & ~whole):
        ends[:, column] = np.quantile(draws[known[:, column], column], (0.025, 0.975))
    return ends


def middle(draws: np.ndarray) -> tuple[float, float]:
    """Ends of the middle 95 % of draws; those that are not finite are left out, and NaN comes back where all are.

    >>> [round(end, 3) for end in middle(np.append(np.arange(41), np.nan))]
    [1.0, 39.0]
    """
    low, high = middles(np.asarray(draws)[:, None])[:, 0].tolist()
    return low, high


def false_discovery(p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg's adjusted p of one family of tests of any shape; NaN stays NaN and does not count.

    >>> false_discovery(np.array([0.01, 0.04, 0.03, np.nan])).round(3).tolist()
    [0.03, 0.04, 0.04, nan]
    """
    from scipy.stats import false_discovery_control

    p = np.asarray(p, dtype=np.float64)
    q = np.full(p.shape, np.nan)
    tested = np.isfinite(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return q


def two_proportion_z(
    on: np.ndarray, above: np.ndarray, element: np.ndarray, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The test of Dalla-Torre et al. (2025), z and two-sided p: the share on / above against element / positions.

    It takes pairs above the threshold for independent draws; see `joint` for a test that does not. NaN where both shares are 0 or
    both are 1.

    >>> z, p = two_proportion_z(np.array(60), np.array(100), np.array(50), np.array(100))
    >>> round(float(z), 3), round(float(p), 3)
    (1.421, 0.155)
    """
    from scipy.special import erfc

    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = (on + element) / (above + positions)
        z = (on / above - element / positions) / np.sqrt(pooled * (1 - pooled) * (1 / above + 1 / positions))
    z = np.where((pooled > 0) & (pooled < 1) & (above > 0), z, np.nan)
    return z, erfc(np.abs(z) / np.sqrt(2))


class Joint(NamedTuple):
    """Two-sided answers of `joint`, [test].

    z: distance from the mean of all copies in their standard deviations; NaN where all copies are the same. p: share of copies at
    least as far from the mean, the observation among them. q: false discovery rate at which the test is a discovery. p and q are 1
    where nothing can be tested.
    """

    z: np.ndarray
    p: np.ndarray
    q: np.ndarray


def joint(copies: np.ndarray) -> Joint:
    """Tests an observation against its copies under a null, many tests at once.

    `copies` [copy, test] are the observation first, then what the null made of it. One copy is made of all tests together, so that
    what ties tests to each other (heads that look at the same thing, elements that overlap) ties them in each.

    Notes
    -----
    All copies of a test are brought to mean 0 and standard deviation 1, the observation like the others. At a limit t the number of
    null tests beyond it is estimated by its mean over copies, so q is the smallest ratio of that to what the observation has beyond
    t: Benjamini and Hochberg's rule with the p of a test taken from the copies of all tests together. q is also at least the share
    of copies whose own smallest ratio is as small: where no test has an effect, the chance of any discovery is then at most the
    level, whatever ties the tests.

    References
    ----------
    Benjamini & Hochberg 1995; Tusher, Tibshirani & Chu 2001 for null distributions pooled over tests.

    Examples
    --------
    >>> copies = np.random.default_rng(0).normal(size=(100, 3))
    >>> copies[0] = 0, 9, 0
    >>> (joint(copies).q < 0.05).tolist()
    [False, True, False]
    """
    mean, deviation = copies.mean(axis=0), copies.std(axis=0)
    tested = np.flatnonzero(deviation > 1e-9 * np.maximum(np.abs(copies).max(axis=0), 1e-300))
    z, p, q = np.full(len(mean), np.nan), np.ones(len(mean)), np.ones(len(mean))
    if not len(tested):
        return Joint(z, p, q)
    away = (copies[:, tested] - mean[tested]) / deviation[tested]
    z[tested] = away[0]
    # Ties that arithmetic broke are ties again.
    far = np.round(np.abs(away), 9)
    p[tested] = (far >= far[0]).mean(axis=0)
    pooled = np.sort(far, axis=None)
    smallest = np.empty(len(far))
    for copy, row in enumerate(far):
        order = np.argsort(-row, kind="stable")
        falling = row[order]
        by_null = (pooled.size - np.searchsorted(pooled, falling)) / len(far)
        here = len(row) - np.searchsorted(falling[::-1], falling)
        rate = np.minimum.accumulate((by_null / here)[::-1])[::-1]
        smallest[copy] = rate[0]
        if copy == 0:
            q[tested[order]] = rate
    any_at_all = (smallest <= smallest[0] * (1 + 1e-12)).mean()
    q[tested] = np.minimum(np.maximum(q[tested], any_at_all), 1)
    return Joint(z, p, q)


def pearson(first: np.ndarray, second: np.ndarray) -> float:
    """Linear correlation; NaN where one of them does not vary."""
    parts = []
    for values in (np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)):
        if len(values) < 2:
            return float("nan")
        centred = values - values.mean()
        length = np.sqrt((centred**2).sum())
        # The mean of equal numbers may differ from them in the last digit.
        if length <= 1e-13 * np.sqrt(len(values)) * abs(values.mean()):
            return float("nan")
        parts.append(centred / length)
    return float(np.clip(parts[0] @ parts[1], -1, 1))


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Rank correlation, ties at their mean rank; NaN where one of them does not vary.

    >>> round(spearman(np.array([1, 2, 3]), np.array([10, 30, 20])), 12)
    0.5
    """
    from scipy.stats import rankdata

    return pearson(rankdata(first), rankdata(second))


def auroc(positive: np.ndarray, values: np.ndarray) -> float:
    """Chance that a positive has a higher value than a negative, ties counted half; NaN without both.

    >>> auroc(np.array([1, 1, 0, 0]), np.array([3, 1, 1, 0]))
    0.875
    """
    from scipy.stats import rankdata

    positive = np.asarray(positive, dtype=bool)
    n, rest = int(positive.sum()), int((~positive).sum())
    if not n or not rest:
        return float("nan")
    return float((rankdata(values)[positive].sum() - n * (n + 1) / 2) / (n * rest))


def auprc(positive: np.ndarray, values: np.ndarray) -> float:
    """Average precision, equal values found together; by guessing the share of positives; NaN without any.

    >>> round(auprc(np.array([1, 0, 1]), np.array([3, 2, 1])), 3)
    0.833
    """
    positive, values = np.asarray(positive, dtype=bool), np.asarray(values)
    if not positive.any():
        return float("nan")
    order = np.argsort(-values, kind="stable")
    last = np.append(np.diff(values[order]) != 0, True)
    hits, taken = np.cumsum(positive[order])[last], np.flatnonzero(last) + 1
    return float((np.diff(hits, prepend=0) * hits / taken).sum() / positive.sum())


def mcc(tables: np.ndarray) -> np.ndarray:
    """Matthews' correlation of confusion tables [table, truth, guess], float64 [table]; NaN where one side is constant.

    >>> mcc(np.array([[[2, 0], [0, 2]], [[1, 1], [1, 1]], [[0, 2], [2, 0]], [[0, 0], [0, 8]]])).tolist()
    [1.0, 0.0, -1.0, nan]
    """
    tables = np.asarray(tables, dtype=np.float64)
    n, hits = tables.sum(axis=(1, 2)), np.trace(tables, axis1=1, axis2=2)
    truths, guesses = tables.sum(axis=2), tables.sum(axis=1)
    above = hits * n - (truths * guesses).sum(axis=1)
    return ratio(above, np.sqrt((n**2 - (guesses**2).sum(axis=1)) * (n**2 - (truths**2).sum(axis=1))))
