"""Statistics against the plain definitions, scipy and scikit-learn, and against nulls with known answers."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics

from ntviz import statistics


@pytest.mark.parametrize("seed", range(5))
def test_measures_equal_their_definitions_scipy_and_sklearn(seed):
    rng = np.random.default_rng(seed)
    labels, values = rng.random(60) < 0.4, rng.integers(0, 12, 60).astype(float)
    pairs = [(a > b) + 0.5 * (a == b) for a in values[labels] for b in values[~labels]]
    assert statistics.auroc(labels, values) == pytest.approx(np.mean(pairs))
    assert statistics.auroc(labels, values) == pytest.approx(metrics.roc_auc_score(labels, values))
    precision = [labels[values >= value].mean() for value in values[labels]]
    assert statistics.auprc(labels, values) == pytest.approx(np.mean(precision))
    assert statistics.auprc(labels, values) == pytest.approx(metrics.average_precision_score(labels, values))
    other = values + rng.normal(size=60) * 3
    assert statistics.pearson(values, other) == pytest.approx(stats.pearsonr(values, other)[0])
    assert statistics.spearman(values, other) == pytest.approx(stats.spearmanr(values, other)[0])
    ranks = [pd.Series(one).rank() for one in (values, other)]
    assert statistics.spearman(values, other) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    truth, guess = rng.integers(0, 4, (2, 60))
    tables = np.array([metrics.confusion_matrix(truth, guess), np.eye(4) * 3])
    assert statistics.mcc(tables) == pytest.approx([metrics.matthews_corrcoef(truth, guess), 1])


def test_measures_of_nothing_are_nan():
    one, rising, odd = np.ones(3), np.arange(3), np.full(3, 0.1)
    assert np.isnan([statistics.auroc(one, rising), statistics.auroc(one == 0, rising)]).all()
    assert np.isnan(statistics.auprc(one == 0, rising))
    for measure in (statistics.pearson, statistics.spearman):
        # The mean of three times 0.1 is not 0.1.
        assert np.isnan([measure(one, rising), measure(rising, odd), measure(rising[:1], rising[:1])]).all()
        assert measure(rising, -rising) == pytest.approx(-1) and abs(measure(rising, rising)) <= 1
    assert np.isnan(statistics.mcc(np.array([[[2, 0], [3, 0]], [[0, 0], [0, 0]]]))).all()


def test_false_discovery_and_the_middle_of_draws():
    rng = np.random.default_rng(0)
    p = rng.random((4, 5)) ** 2
    p[1, 2] = np.nan
    known = p[np.isfinite(p)]
    order = np.sort(known)
    # At each threshold: tests expected beyond it by chance, of those that are.
    rates = [min(order[n:] * len(order) / np.arange(n + 1, len(order) + 1)) for n in range(len(order))]
    found = statistics.false_discovery(p)
    np.testing.assert_allclose(np.sort(found[np.isfinite(p)]), rates)
    assert np.isnan(found[1, 2]) and found.shape == p.shape
    assert np.isnan(statistics.false_discovery(np.array([np.nan]))).all()
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(50, 4))
    draws[:7, 1], draws[3, 1], draws[:, 2] = np.nan, np.inf, np.nan
    found = statistics.middles(draws)
    for column in range(4):
        kept = draws[np.isfinite(draws[:, column]), column]
        expected = np.percentile(kept, [2.5, 97.5]) if len(kept) else [np.nan, np.nan]
        np.testing.assert_allclose(found[:, column], expected)
        np.testing.assert_array_equal(statistics.middle(draws[:, column]), found[:, column])
    assert np.isnan(statistics.middle(np.zeros(0))).all()


def test_whole_groups_are_drawn_and_seeds_follow_from_text():
    group = np.array([2, 0, 1, 0, 2, 2])
    drawn = statistics.draw_groups(3, 200, np.random.default_rng(0))
    weights = statistics.weights_of(drawn)
    assert drawn.shape == weights.shape == (200, 3) and (weights.sum(axis=1) == 3).all()
    values = np.arange(6.0)
    sums = np.bincount(group, values)
    for row, weight, rows in zip(drawn, weights, statistics.rows_of(group, drawn), strict=True):
        brute = [at for number in row for at in np.flatnonzero(group == number)]
        assert rows.tolist() == brute and weight @ sums == pytest.approx(values[rows].sum())
    heavy = statistics.draw_weights(3, 4_000, np.random.default_rng(0))
    assert (heavy.sum(axis=1) == 3).all() and heavy.mean(axis=0) == pytest.approx([1, 1, 1], abs=0.05)
    assert statistics.draw_weights(0, 5, np.random.default_rng(0)).shape == (5, 0)
    digest = hashlib.sha256(b"shift\n7\n20:1-600").digest()[:8]
    assert statistics.seed_of("shift", 7, "20:1-600") == int.from_bytes(digest, "little")


def test_the_bootstrap_covers_the_truth_when_rows_of_a_group_are_alike():
    """Intervals over groups hold the true mean about as often as they say; over rows they do not."""
    rng = np.random.default_rng(0)
    held = np.zeros(2)
    for _ in range(200):
        which = np.repeat(np.arange(20), 10)
        values = np.repeat(rng.normal(size=20), 10)
        for place, group in enumerate((which, np.arange(200))):
            drawn = statistics.draw_groups(int(group.max()) + 1, 200, rng)
            means = statistics.weights_of(drawn) @ np.bincount(group, values) / len(values)
            low, high = statistics.middle(means)
            held[place] += low <= 0 <= high
    assert held[0] / 200 > 0.87 and held[1] / 200 < 0.6


def test_joint_equals_brute_force_and_two_proportions_the_formula_by_hand():
    rng = np.random.default_rng(3)
    copies = rng.integers(0, 9, (30, 6)).astype(float)
    copies[0, 2], copies[:, 5] = 40, 1
    found = statistics.joint(copies)
    away = np.abs((copies[:, :5] - copies[:, :5].mean(0)) / copies[:, :5].std(0)).round(9)
    rates = []
    for row in away:
        rate = {limit: (away >= limit).sum() / 30 / (row >= limit).sum() for limit in row}
        rates.append([min(rate[limit] for limit in row if limit <= value) for value in row])
    smallest = np.min(rates, axis=1)
    floor = np.mean(smallest <= smallest[0] * (1 + 1e-12))
    np.testing.assert_allclose(found.q[:5], np.clip(np.maximum(rates[0], floor), 0, 1))
    np.testing.assert_allclose(found.p[:5], [(away[:, test] >= away[0, test]).mean() for test in range(5)])
    assert np.isnan(found.z[5]) and (found.p[5], found.q[5]) == (1, 1)
    assert statistics.joint(np.ones((5, 2))).q.tolist() == [1, 1]
    on, above, element, positions = (np.array(n, float) for n in (60, 100, 50, 100))
    pooled = 110 / 200
    z, p = statistics.two_proportion_z(on, above, element, positions)
    assert z == pytest.approx(0.1 / np.sqrt(pooled * (1 - pooled) * 2 / 100))
    assert p == pytest.approx(2 * stats.norm.sf(z))
    for nothing in ((0, 100, 0, 100), (100, 100, 100, 100), (0, 0, 5, 10)):
        assert np.isnan(statistics.two_proportion_z(*map(np.array, nothing))).all()
