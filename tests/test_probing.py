"""Probes: nothing of what is judged is seen before; metrics, intervals and tests against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as judged_by

from ntviz import probing
from ntviz.probing import metrics as own
from ntviz.probing.estimators import Fitted, Setting

TWO = {"kind": "binary", "classes": 2}
TRAIN = np.arange(900) < 600


def planted(n=900, groups=18, classes=2, strength=0.8, seed=0):
    """Vectors of three layers, of which the second alone knows the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    layers = {layer: rng.normal(size=(n, 12)).astype(np.float32) for layer in (0, 1, 2)}
    layers[1][np.arange(n), labels] += strength * 2
    return layers, labels, np.array([f"g{i:02}" for i in np.arange(n) * groups // n])


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("ties", [False, True])
def test_metrics_of_classes_are_those_of_scikit_learn(classes, ties):
    rng = np.random.default_rng(ties)
    labels = rng.integers(0, classes, 80)
    predicted = rng.dirichlet(np.ones(classes), 80)
    if ties:
        predicted = np.round(predicted, 1)
        predicted[:, 0] += 1e-9
    found = probing.scores("binary" if classes == 2 else "multiclass", labels, predicted)
    guessed = predicted.argmax(axis=1)
    assert found["mcc"] == pytest.approx(judged_by.matthews_corrcoef(labels, guessed))
    assert found["accuracy"] == pytest.approx(judged_by.accuracy_score(labels, guessed))
    assert found["f1"] == pytest.approx(judged_by.f1_score(labels, guessed, average="macro"))
    against = [1] if classes == 2 else range(classes)
    for name, measure in (("auroc", judged_by.roc_auc_score), ("auprc", judged_by.average_precision_score)):
        each = [measure(labels == c, predicted[:, c]) for c in against]
        assert found[name] == pytest.approx(np.mean(each))


# Scores of 0 / 0: each truth and guess, and why it is not defined.
UNDEFINED = [
    ("binary", [1] * 8, np.eye(2)[[1] * 8], "all 8 judged examples are of class yes"),
    ("binary", [1] * 4, np.eye(2)[[0, 1, 0, 1]], "all 4 judged examples are of class yes"),
    ("binary", [0, 1, 1], np.eye(2)[[0, 0, 0]], "every guess is class no"),
    ("multiclass", [0, 1, 2], np.eye(3)[[2, 2, 2]], "every guess is class 2"),
    ("multilabel", np.ones((3, 2)), np.eye(3)[:, :2], "no track has examples of both kinds"),
    ("regression", np.full(9, 0.1), np.arange(9.0), "the targets do not vary"),
    ("regression", np.arange(9.0), np.full(9, 0.1), "predictions do not vary"),
    ("per_base", [[0, 0, -1]], np.full((1, 3, 3), 1 / 3), "no base bears a site"),
]


@pytest.mark.parametrize(("kind", "labels", "predicted", "reason"), UNDEFINED)
def test_what_is_not_defined_is_no_number_and_says_why(kind, labels, predicted, reason):
    names = ("no", "yes") if kind == "binary" else ()
    assert np.isnan(probing.scores(kind, labels, predicted)[probing.metric_names(kind)[0]])
    assert own.undefined(kind, labels, predicted, names) == reason
    assert own.undefined("binary", [0, 1, 1], np.eye(2)[[0, 1, 0]]) == ""
    with np.errstate(invalid="ignore"):
        if kind in ("binary", "multiclass"):
            # By the definition: the covariance of truth and guess over their spreads.
            truth, guess = np.eye(predicted.shape[1])[labels], np.asarray(predicted)
            spread = truth.var(0).sum() * guess.var(0).sum()
            assert np.isnan(np.divide(0.0, spread))
    groups = np.arange(len(labels))
    found = probing.bootstrap(kind, labels, predicted, groups, draws=20)
    assert all(np.isnan(found[:3]))
    compared = probing.compare(kind, labels, predicted, predicted[::-1], groups, draws=20)
    assert np.isnan([compared.difference, compared.low, compared.high, compared.p]).all()


def test_a_setting_that_is_not_defined_is_chosen_by_the_loss_alone_and_said():
    """One positive of 20 and noise: every probe guesses the other class, and the loss must decide."""
    rng = np.random.default_rng(0)
    labels = (np.arange(200) % 20 == 0).astype(int)
    layers = {layer: 0.01 * rng.normal(size=(200, 3)) for layer in range(3)}
    layers[2][:, 0] += 0.02 * labels
    found = probing.probe(layers, labels, np.arange(200), **TWO, train=np.arange(160))
    inner = found.inner
    if inner["score"].isna().all():
        assert inner.loc[inner["chosen"], "loss"].item() == inner["loss"].min()
    assert found.chosen_by == ("the loss" if inner.loc[inner["chosen"], "score"].isna().all() else "mcc")
    losses = inner.set_index(["features", "strength"])["loss"]
    # The same loss by scikit-learn, of the setting that was chosen, over the same inner folds.
    setting = found.chosen[0]
    of_fold = probing.folds("binary", labels[:160], np.arange(160), 3, seed=0)
    expected = []
    for fold in range(3):
        inside, outside = np.flatnonzero(of_fold != fold), np.flatnonzero(of_fold == fold)
        fitted = probing.fit(layers, labels, inside, setting, **TWO, seed=0)
        predicted = fitted.predict(layers[setting.features][outside])
        expected.append(judged_by.log_loss(labels[outside], predicted / predicted.sum(1, keepdims=True)))
    assert losses[setting.features, setting.strength] == pytest.approx(np.mean(expected), rel=1e-5)


def test_metrics_of_tracks_targets_and_bases_and_without_a_class():
    rng = np.random.default_rng(0)
    labels = rng.random((60, 4)) < 0.3
    labels[:, 3] = False  # without a positive: no part in the mean
    predicted = rng.random((60, 4))
    found = probing.scores("multilabel", labels, predicted)
    aucs = [judged_by.roc_auc_score(labels[:, t], predicted[:, t]) for t in range(3)]
    assert found["auroc"] == pytest.approx(np.mean(aucs))
    targets, values = rng.normal(size=(50, 2)), rng.normal(size=(50, 2))
    found = probing.scores("regression", targets, values)
    for name, measure in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        assert found[name] == pytest.approx(np.mean([measure(targets[:, t], values[:, t])[0] for t in (0, 1)]))
    assert found["mse"] == pytest.approx(np.mean((targets - values) ** 2))
    assert np.isnan(own.pearson(np.ones(5), np.arange(5)))
    rng = np.random.default_rng(1)
    labels = rng.choice([-1, 0, 1, 2], size=(20, 50), p=[0.1, 0.8, 0.05, 0.05])
    predicted = rng.random((20, 50, 3))
    found = probing.scores("per_base", labels, predicted)
    expected = []
    for c in (1, 2):
        places = [place for place in itertools.product(range(20), range(50)) if labels[place] >= 0]
        best = sorted(places, key=lambda place: -predicted[*place, c])
        k = sum(labels[place] == c for place in places)
        expected.append(sum(labels[place] == c for place in best[:k]) / k)
    assert found["top_k"] == pytest.approx(np.mean(expected))
    assert own.top_k(np.array([1, 0, 0, 0]), np.zeros(4)) == 0.25
    assert np.isnan(own.top_k(np.zeros(3), np.arange(3)))
    with pytest.raises(ValueError, match="must be one of binary, .*; received 'ranking'"):
        probing.scores("ranking", np.zeros(2), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="received 3 for 2"):
        probing.scores("binary", np.zeros(2, int), np.zeros((3, 2)))
    found = probing.scores("binary", np.zeros(5, int), np.full((5, 2), 0.5))
    assert found["accuracy"] == 1 and all(np.isnan(found[name]) for name in ("mcc", "auroc", "auprc"))
    assert np.isnan(probing.scores("binary", np.ones(5, int), np.full((5, 2), 0.5))["auprc"])
    targets = np.random.default_rng(0).normal(size=(20, 2))
    guessed = targets.copy()
    guessed[:, 1] = 0.1
    assert np.isnan(probing.scores("regression", targets, guessed)["pearson"])
    targets[:, 1] = 3  # nobody could be judged by it
    assert probing.scores("regression", targets, guessed)["pearson"] == pytest.approx(1)


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_folds_keep_groups_whole_and_judge_everything_once(kind):
    _, labels, groups = planted()
    found = probing.folds(kind, labels, groups, 6, seed=0)
    assert sorted(set(found)) == list(range(6))
    for group in np.unique(groups):
        assert len(set(found[groups == group])) == 1
    np.testing.assert_array_equal(found, probing.folds(kind, labels, groups, 6, seed=0))


def test_folds_that_cannot_be_are_refused():
    labels, groups = np.array([0, 1] * 10), np.array(["a"] * 10 + ["b"] * 10)
    with pytest.raises(ValueError, match=r"received 3 folds and 2 groups \(a, b\)"):
        probing.folds("binary", labels, groups, 3, seed=0)
    with pytest.raises(ValueError, match="Each of 2 folds must hold every class; .* of class 0: 19, 1: 1"):
        probing.folds("binary", np.array([1] + [0] * 19), groups, 2, seed=0)
    one_sided = np.array([0] * 10 + [1] * 10)
    with pytest.raises(ValueError, match="no example of class . to learn from: it lies in too few groups"):
        probing.folds("binary", one_sided, groups, 2, seed=0)


@pytest.mark.parametrize("method", ["logistic", "mlp"])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_layer_that_knows_is_chosen_and_solves_it(method, classes):
    layers, labels, groups = planted(classes=classes)
    given = {"kind": "binary" if classes == 2 else "multiclass", "classes": classes, "method": method}
    found = probing.probe(layers, labels, groups, train=TRAIN, **given)
    assert found.chosen[0].features == 1 and found.scores(labels)["mcc"] > 0.5
    np.testing.assert_array_equal(found.judged, np.arange(600, 900))
    np.testing.assert_allclose(found.predicted.sum(axis=1), 1, atol=1e-6)
    assert found.inner["chosen"].sum() == 1
    again = probing.probe(layers, labels, groups, train=TRAIN, **given)
    np.testing.assert_array_equal(again.predicted, found.predicted)


def test_folds_judge_every_example_once_and_what_is_judged_is_never_seen():
    layers, labels, groups = planted(n=450)
    found = probing.probe(layers, labels, groups, **TWO, n_folds=3)
    np.testing.assert_array_equal(found.judged, np.arange(450))
    assert len(found.chosen) == 3
    for group in np.unique(groups):
        assert len(set(found.fold[groups == group])) == 1
    assert found.scores(labels)["mcc"] > 0.5
    # Whatever the held-out vectors, labels or scale are, what was fitted and chosen is the same.
    layers, labels, groups = planted()
    first = probing.probe(layers, labels, groups, **TWO, train=TRAIN)
    changed = {layer: vectors.copy() for layer, vectors in layers.items()}
    for vectors in changed.values():
        vectors[610:] *= 1_000
    other = labels.copy()
    other[600:] = 1 - other[600:]
    second = probing.probe(changed, other, groups, **TWO, train=TRAIN)
    np.testing.assert_array_equal(first.predicted[:10], second.predicted[:10])
    assert first.chosen == second.chosen
    np.testing.assert_array_equal(first.inner["score"], second.inner["score"])


def test_noise_stays_noise_however_many_layers_are_tried():
    rng = np.random.default_rng(5)
    layers = {layer: rng.normal(size=(600, 30)).astype(np.float32) for layer in range(12)}
    labels, groups = rng.integers(0, 2, 600), np.repeat(np.arange(20), 30)
    found = probing.probe(layers, labels, groups, **TWO, n_folds=4)
    assert abs(found.scores(labels)["mcc"]) < 0.15
    # The winner inside looks better than it is: that is why it is judged outside.
    assert found.inner.groupby("fold")["score"].max().mean() > found.scores(labels)["mcc"]


@pytest.mark.parametrize("method", ["logistic", "mlp"])
def test_tracks_and_targets_are_probed(method):
    rng = np.random.default_rng(2)
    vectors = {0: rng.normal(size=(700, 10)).astype(np.float32)}
    groups = np.repeat(np.arange(14), 50)
    given = {"method": method, "train": np.arange(700) < 500}
    labels = vectors[0][:, :3] + 0.5 * rng.normal(size=(700, 3)) > 0
    labels = np.hstack([labels, np.zeros((700, 1), bool), np.ones((700, 1), bool)])
    found = probing.probe(vectors, labels, groups, kind="multilabel", classes=5, **given)
    assert found.scores(labels)["auroc"] > 0.85
    np.testing.assert_array_equal(found.predicted[:, 3], 0)
    np.testing.assert_array_equal(found.predicted[:, 4], 1)
    targets = (vectors[0][:, :2] * [3, 100] + [5, -400]).astype(np.float32)
    found = probing.probe(vectors, targets, groups, kind="regression", classes=2, **given)
    assert found.scores(targets)["pearson"] > 0.9
    one = probing.probe(vectors, labels[:, :1], groups, kind="multilabel", classes=1, **given)
    assert one.predicted.shape == (200, 1) and one.scores(labels[:, :1])["auroc"] > 0.85


def test_a_feature_that_does_not_vary_and_a_class_that_training_lacks_get_nothing():
    layers, labels, groups = planted(classes=3)
    flat = np.hstack([layers[1], np.full((900, 2), 7, np.float32)])
    fitted = (Fitted("multiclass", 3, Setting("logistic", 1), 0).fit(x, labels).predict(x) for x in (layers[1], flat))
    np.testing.assert_allclose(*fitted, atol=1e-4)
    labels[TRAIN & (labels == 2)] = 0
    found = probing.probe(layers, labels, groups, kind="multiclass", classes=3, train=TRAIN)
    np.testing.assert_array_equal(found.predicted[:, 2], 0)


@pytest.mark.parametrize(("change", "message"), [
    ({"kind": "per_base"}, "a per-base task has one a base. Fine-tune with method='head'"),
    ({"method": "forest"}, "must be one of logistic, mlp; received 'forest'"),
    ({"features": {}}, "at least one set of vectors"),
    ({"features": {0: np.zeros((5, 2))}}, r"900 rows; 0 is \[5, 2\]"),
    ({"features": {0: np.full((900, 2), np.inf)}}, "finite; those of 900 of 900 examples are not, the first at index 0"),
    ({"labels": np.zeros(900, int)}, "all 600 training examples are of class 0"),
    ({"train": np.ones(900, bool)}, "examples to learn from and to judge by; received 900 and 0"),
    ({"groups": np.zeros(3)}, r"for each of 900 examples; received float64 of shape \[3\]"),
])  # fmt: skip
def test_a_probe_of_the_impossible_is_refused(change, message):
    layers, labels, groups = planted()
    given = {"features": layers, "labels": labels, "groups": groups, **TWO, "train": TRAIN, **change}
    with pytest.raises(ValueError, match=message):
        probing.probe(**given)


def test_controls_tell_knowledge_from_chance():
    layers, labels, groups = planted()
    learned, held = np.arange(600), np.arange(600, 900)
    found = probing.probe(layers, labels, groups, **TWO, train=TRAIN)
    score = found.scores(labels)["mcc"]
    meaningless = np.random.default_rng(8).integers(0, 2, 900)
    given = {**TWO, "learned": learned, "held": held, "meaningless": meaningless}
    real = probing.controls(layers, labels, found.chosen[0], score=score, permutations=19, draws=6, **given)
    assert real.p == pytest.approx(1 / 20) and abs(real.permuted.mean()) < 0.1 and real.selectivity(score) > 0.5
    assert real.curve["shots"].tolist()[:2] == [1, 10] and real.curve["score"].is_monotonic_increasing
    noise = np.random.default_rng(9).integers(0, 2, 900)
    chance = probing.controls(layers, noise, found.chosen[0], score=0.0, permutations=19, draws=0, **given)
    assert chance.p > 0.1 and chance.curve is None


def test_permuted_labels_are_chance_even_for_one_strong_feature():
    """Were the held-out labels kept, half of the permutations would guess right by a rule of the right sign."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 400)
    one = {0: (labels + 0.2 * rng.normal(size=400)).astype(np.float32)[:, None]}
    given = {**TWO, "learned": np.arange(250), "held": np.arange(250, 400), "score": 0.95}
    found = probing.controls(one, labels, Setting("logistic", 0), permutations=30, draws=0, **given)
    # Some guess one class for all: that is no number, and counts as chance.
    assert np.nanmax(np.abs(found.permuted)) < 0.35 and found.p == pytest.approx(1 / 31)


def test_control_labels_depend_on_the_first_bases_alone():
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGT"), 20)) for _ in range(4_000)]
    shares = np.array([0.5, 0.3, 0.2])
    found = probing.control_labels(texts, 3, shares=shares)
    by_word = {}
    for text, label in zip(texts, found, strict=True):
        assert by_word.setdefault(text[:4], label) == label
    np.testing.assert_allclose(np.bincount(found) / 4_000, shares, atol=0.09)
    assert (found != probing.control_labels(texts, 3, shares=shares, seed=1)).mean() > 0.3


def test_the_bootstrap_draws_groups_whole():
    _, labels, groups = planted()
    predicted = np.random.default_rng(0).dirichlet([1, 1], 900)
    draws = probing.redrawn("binary", labels, predicted, groups, draws=40, seed=3)
    rng = np.random.default_rng(3)
    names = np.unique(groups)
    for value, picked in zip(draws, rng.integers(0, len(names), size=(40, len(names))), strict=True):
        rows = np.concatenate([np.flatnonzero(groups == names[g]) for g in picked])
        guessed = predicted[rows].argmax(axis=1)
        assert value == pytest.approx(judged_by.matthews_corrcoef(labels[rows], guessed))
    interval = probing.bootstrap("binary", labels, predicted, groups, draws=40, seed=3)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])))
    few = probing.bootstrap("binary", [0, 1] * 4, np.eye(2)[[0, 1] * 4], np.repeat(list("abcd"), 2))
    assert (few.value, few.groups) == (1, 4) and np.isnan([few.low, few.high]).all()


def test_a_comparison_throws_every_coin_when_groups_are_few():
    rng = np.random.default_rng(4)
    labels, groups = rng.integers(0, 2, 60), np.repeat(np.arange(6), 10)
    first, second = (rng.dirichlet([1, 1], 60) for _ in range(2))
    first[np.arange(45), labels[:45]] = 2
    found = probing.compare("binary", labels, first, second, groups)

    def mcc(predicted):
        return judged_by.matthews_corrcoef(labels, predicted.argmax(axis=1))

    observed = mcc(first) - mcc(second)
    null = []
    for coins in itertools.product([False, True], repeat=6):
        turned = np.array(coins)[groups][:, None]
        null.append(mcc(np.where(turned, second, first)) - mcc(np.where(turned, first, second)))
    assert found.difference == pytest.approx(observed)
    assert found.p == pytest.approx(np.mean(np.abs(null) >= abs(observed) - 1e-12))
    other = probing.compare("binary", labels, second, first, groups)
    assert (other.difference, other.p) == (pytest.approx(-observed), found.p)


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_equal_models_do_not_differ_and_a_better_one_does(kind):
    rng = np.random.default_rng(4)
    labels, groups = rng.integers(0, 2, 400), np.repeat(np.arange(40), 10)
    good, bad = (np.eye(2)[np.where(rng.random(400) < wrong, 1 - labels, labels)] for wrong in (0.1, 0.4))
    if kind == "regression":
        good, bad, labels = good[:, 1:], bad[:, 1:], labels[:, None].astype(float)
    same = probing.compare(kind, labels, good, good, groups, draws=200)
    assert (same.difference, same.p) == (0, 1)
    better = probing.compare(kind, labels, good, bad, groups, draws=200)
    assert better.p < 0.02 and 0 < better.low < better.difference < better.high


def test_the_test_of_equals_is_fair():
    """Two models that are equally bad are told apart at 5 % about one time in twenty; and other examples are refused."""
    rng = np.random.default_rng(11)
    labels, groups = rng.integers(0, 2, 200), np.repeat(np.arange(20), 10)
    p = []
    for _ in range(200):
        first, second = (np.eye(2)[np.where(rng.random(200) < 0.3, 1 - labels, labels)] for _ in range(2))
        p.append(probing.compare("binary", labels, first, second, groups, draws=200).p)
    assert np.mean(np.array(p) <= 0.05) < 0.1
    with pytest.raises(ValueError, match=r"received shapes \[3, 2\] and \[4, 2\]"):
        probing.compare("binary", np.zeros(3, int), np.zeros((3, 2)), np.zeros((4, 2)), np.arange(3))
