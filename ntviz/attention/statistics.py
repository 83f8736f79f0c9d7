"""Tests and intervals from counts: the published z-test, intervals by resampling, and one test of many jointly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


def two_proportion_z(
    on: np.ndarray, above: np.ndarray, element: np.ndarray, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The published test, z and two-sided p: a share of attention, on / above, against one of positions.

    Positions are element / positions; arrays are broadcast. Where both shares are 0 or both are 1 there is no test: NaN.

    References
    ----------
    The test of Dalla-Torre et al., Nature Methods 2025. It takes pairs above the threshold for independent draws,
    which those of one sequence are not: see `joint` for a test that does not.

    Examples
    --------
    >>> z, p = two_proportion_z(np.array(60), np.array(100), np.array(50), np.array(100))
    >>> round(float(z), 3), round(float(p), 3)
    (1.421, 0.155)
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = (on + element) / (above + positions)
        z = (on / above - element / positions) / np.sqrt(pooled * (1 - pooled) * (1 / above + 1 / positions))
    z = np.where((pooled > 0) & (pooled < 1) & (above > 0), z, np.nan)
    return z, _erfc(np.abs(z) / math.sqrt(2))


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """The smallest false discovery rate at which each p [test] is a discovery; NaN stays out and stays NaN.

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.01, np.nan, 0.02, 0.9])).round(3).tolist()
    [0.03, nan, 0.03, 0.9]
    """
    q = np.full(p.shape, np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    raised = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1)
    return q


def resamples(groups: int, times: int, seed: int) -> np.ndarray:
    """How often each group is drawn in each resample with replacement, float64 [resample, group] of whole numbers."""
    share = np.full(groups, 1 / groups)
    return np.random.default_rng(seed).multinomial(groups, share, size=times).astype(np.float64)


def middle(values: np.ndarray, share: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the middle share of resampled values [resample, test]; resamples with NaN say nothing and are left out."""
    ends = ((1 - share) / 2, (1 + share) / 2)
    low, high = np.quantile(values, ends, axis=0)
    for test in np.flatnonzero(np.isnan(low)):
        told = values[~np.isnan(values[:, test]), test]
        if len(told):
            low[test], high[test] = np.quantile(told, ends)
    return low, high


@dataclass(frozen=True)
class Joint:
    """Two-sided answers of `joint`, one a test.

    Attributes
    ----------
    z
        Distance of the observation from the mean of all copies, in their standard deviations; NaN where they are
        all the same and nothing can be tested.
    p
        Share of copies at least as far from the mean, the observation among them; 1 where nothing can be tested.
    q
        False discovery rate at which the test is a discovery, over all tests that can be tested; 1 for the others.
    """

    z: np.ndarray
    p: np.ndarray
    q: np.ndarray


def joint(copies: np.ndarray) -> Joint:
    """Tests an observation against its copies under a null, many tests at once.

    Parameters
    ----------
    copies
        [copy, test]: the observation first, then what the null made of it. One copy is made of all tests together, so
        that what ties tests to each other (heads that look at the same thing, elements that overlap) ties them in each.

    Notes
    -----
    All copies of a test are brought to mean 0 and standard deviation 1, the observation like the others. At a limit t
    the number of null tests beyond it is estimated by its mean over copies, so q is the smallest ratio of that to
    what the observation has beyond t: Benjamini and Hochberg's rule with the p of a test taken from the copies of all
    tests together. That needs no normal tail and no more copies than a hundred or two, where counting in one test's
    own copies (`p`) ends at 1 / copies. q is also at least the share of copies whose own smallest ratio is as small:
    where no test has an effect, the chance of any discovery is then at most the level, whatever ties the tests.

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
    n = len(far)
    smallest = np.empty(n)
    for copy, row in enumerate(far):
        order = np.argsort(-row, kind="stable")
        beyond = (pooled.size - np.searchsorted(pooled, row[order], side="left")) / n
        ratio = np.minimum.accumulate((beyond / _up_to(row[order]))[::-1])[::-1]
        smallest[copy] = ratio[0]
        if copy == 0:
            q[tested[order]] = ratio
    any_at_all = (smallest <= smallest[0] * (1 + 1e-12)).mean()
    q[tested] = np.minimum(np.maximum(q[tested], any_at_all), 1)
    return Joint(z, p, q)


def _up_to(falling: np.ndarray) -> np.ndarray:
    """How many values are at least as large as each, in a falling row."""
    return len(falling) - np.searchsorted(falling[::-1], falling, side="left")


def _erfc(values: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erfc, otypes=[float])(values)
