"""Checks of data sets: each fault is found, and a clean set passes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from ntviz import benchmark
from ntviz.benchmark import checking, chr20, shortcuts
from ntviz.sequence import reverse_complement


def examples(texts, labels, tag, groups=None):
    names = np.array([f"{tag}{i}" for i in range(len(texts))])
    return benchmark.Examples(
        names,
        np.array(texts, dtype=object),
        np.asarray(labels),
        names if groups is None else np.array(groups),
    )


def random_texts(n, bp=80, seed=0):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), bp)) for _ in range(n)]


def task(train=None, test=None, *, facts=None, kind="binary", classes=("no", "yes")):
    train = train or examples(random_texts(300), np.arange(300) % 2, "a")
    test = test or examples(random_texts(100, seed=1), np.arange(100) % 2, "b")
    return benchmark.Task("t", kind, classes, train, test, facts=facts or {})


def found(checks, name, part=None):
    table = checks.table[checks.table["check"].str.contains(name, regex=False)]
    if part is not None:
        table = table[table["part"] == part]
    return table.iloc[0]


def test_a_clean_set_passes():
    checks = checking.check(task())
    assert checks.status == "pass", checks.table[checks.table["status"] != "pass"]
    assert repr(checks).startswith("Checks(t: ")


def test_repeats_are_counted_by_strand_and_label():
    texts = random_texts(300)
    texts[1], texts[4], texts[7] = texts[0], texts[2], reverse_complement(texts[2])
    checks = checking.check(task(examples(texts, np.arange(300) % 2, "a")))
    assert found(checks, "equal sequences", "train")["value"] == 2
    assert found(checks, "equal but for the strand", "train")["value"] == 1
    assert found(checks, "other labels", "train")["value"] == 2
    assert found(checks, "equal sequences", "train")["status"] == "warning"
    assert found(checks, "equal sequences", "test")["status"] == "pass"


@pytest.mark.parametrize("turned", [False, True])
def test_a_test_sequence_in_training_fails(turned):
    train, test = random_texts(300), random_texts(100, seed=1)
    test[3] = reverse_complement(train[5]) if turned else train[5]
    checks = checking.check(
        task(examples(train, np.arange(300) % 2, "a"), examples(test, np.arange(100) % 2, "b"))
    )
    assert found(checks, "in training too")["value"] == 1
    assert checks.status == "fail"
    assert found(checks, "share 90%")["value"] == 1


def test_shifted_copies_are_near():
    train, test = random_texts(300), random_texts(100, seed=1)
    test[3] = train[5][30:] + test[3][:30]
    one, other = examples(train, np.arange(300) % 2, "a"), examples(test, np.arange(100) % 2, "b")
    best = checking.nearest(one, other)
    assert best[3] == pytest.approx(30 / 60)
    assert (np.delete(best, 3) == 0).all()
    checks = checking.check(task(one, other))
    assert found(checks, "share 30%")["status"] == "warning"
    assert found(checks, "share 90%")["status"] == "pass"


def test_sequences_too_short_to_compare_are_unknown():
    short = examples(["ACGT", "ACGG"] * 2, [0, 1, 0, 1], "a")
    checks = checking.check(task(short, examples(["TTTT", "ACCC"], [0, 1], "b")))
    assert found(checks, "share 30%")["status"] == "unknown"
    assert found(checks, "one number")["status"] == "unknown"


def test_groups_on_both_sides_fail():
    train = examples(random_texts(300), np.arange(300) % 2, "a", ["chr1"] * 150 + ["chr2"] * 150)
    test = examples(random_texts(100, seed=1), np.arange(100) % 2, "b", ["chr2"] * 100)
    row = found(checking.check(task(train, test)), "groups on both sides")
    assert (row["status"], row["note"]) == ("fail", "chr2")


def test_balance_counts_and_n():
    train = examples([*random_texts(299), "ACGTN" * 16], [1] * 20 + [0] * 280, "a")
    checks = checking.check(task(train, facts={"expected": {"train": 301, "test": 100}}))
    assert found(checks, "rarest class", "train")["status"] == "warning"
    assert found(checks, "rarest class", "train")["note"] == "no 280, yes 20"
    assert found(checks, "examples", "train")["status"] == "warning"
    assert found(checks, "examples", "test")["status"] == "pass"
    assert found(checks, "with N", "train")["value"] == 1
    empty = checking.check(task(test=examples(random_texts(50, seed=3), [0] * 50, "b")))
    assert found(empty, "rarest class", "test")["status"] == "fail"


def test_composition_that_tells_the_label_fails():
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 2
    texts = [
        "".join(rng.choice(list("ACGT"), 80, p=[0.2, 0.3, 0.3, 0.2] if y else [0.25] * 4)) for y in labels
    ]
    checks = checking.check(task(examples(texts, labels, "a")))
    row = found(checks, "one number")
    assert row["status"] == "fail"
    assert row["note"] == "GC"


def test_lengths_that_tell_the_label_fail():
    labels = np.arange(300) % 2
    texts = [text[: 80 - 3 * y] for text, y in zip(random_texts(300), labels, strict=True)]
    other = examples(
        [t[: 80 - 3 * (i % 2)] for i, t in enumerate(random_texts(100, seed=1))], np.arange(100) % 2, "b"
    )
    checks = checking.check(task(examples(texts, labels, "a"), other))
    assert found(checks, "one number")["note"] == "length, bp"
    assert found(checks, "lengths")["status"] == "warning"


def test_separation_is_that_of_scikit_learn_and_scipy():
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(size=200), 1)
    labels = rng.integers(0, 3, 200)
    aucs = [roc_auc_score(labels == c, values) for c in range(3)]
    assert shortcuts.separation("multiclass", labels, values) == pytest.approx(
        max(max(a, 1 - a) for a in aucs)
    )
    tracks = rng.random((200, 4)) < 0.4
    aucs = [roc_auc_score(tracks[:, t], values) for t in range(4)]
    assert shortcuts.separation("multilabel", tracks, values) == pytest.approx(
        max(max(a, 1 - a) for a in aucs)
    )
    targets = rng.normal(size=(200, 2))
    rho = max(abs(stats.spearmanr(values, targets[:, t])[0]) for t in range(2))
    assert shortcuts.separation("regression", targets, values) == pytest.approx((1 + rho) / 2)
    assert shortcuts.separation("regression", targets, np.ones(200)) == 0.5


def test_single_features_by_hand():
    features = shortcuts.single_features(["ACGCGN", "TTTT"])
    assert features["share of N"].tolist() == [pytest.approx(1 / 6), 0]
    assert features["GC"].tolist() == [pytest.approx(0.8), 0]
    assert features["CpG ratio"].tolist() == [pytest.approx((2 / 4) / (0.4 * 0.4)), 0]
    assert features["share of TT"].tolist() == [0, 1]
    assert len(features) == 4 + 4 + 16


def test_tasks_by_base_and_without_a_test_part():
    text = random_texts(6, bp=10)
    train = examples(text, np.ones((6, 10), np.int8), "a")
    checks = checking.check(benchmark.Task("b", "per_base", ("none", "site"), train, None))
    assert found(checks, "one number")["status"] == "unknown"
    assert "in training too" not in " ".join(checks.table["check"])


def test_the_tasks_of_chromosome_20_have_no_copies_across():
    checks = checking.check(chr20.build("chr20_coding"))
    for name in ("in training too", "groups on both sides", "share 30%", "share 90%"):
        assert found(checks, name)["status"] == "pass"
    # Coding sequence is rich in G and C: a shortcut, and it is told.
    assert found(checks, "one number")["status"] in ("warning", "fail")
