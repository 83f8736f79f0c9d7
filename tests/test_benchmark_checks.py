"""Checks of data sets: each fault is found, and a clean set passes; and the published tasks and numbers."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from ntviz import benchmark
from ntviz.benchmark import chr20, registry
from ntviz.benchmark.check import separation
from ntviz.genome.sequence import reverse_complement

ODD = np.arange(300) % 2


def examples(texts, labels, tag, groups=None):
    names = [f"{tag}{i}" for i in range(len(texts))]
    return benchmark.Examples(names, texts, labels, names if groups is None else groups)


def random_texts(n, bp=80, seed=0):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), bp)) for _ in range(n)]


def check(train=None, test=None, *, facts=None, kind="binary", classes=("no", "yes")):
    """The checks of a task; texts alone have labels 0 and 1 in turn."""
    parts = []
    for given, n, tag in ((train, 300, "a"), (test, 100, "b")):
        given = random_texts(n, seed=n) if given is None else given
        parts.append(examples(given, ODD[: len(given)], tag) if isinstance(given, list) else given)
    return benchmark.check(benchmark.Task("t", kind, classes, *parts, facts=facts or {}))


def found(checks, name, part=None):
    table = checks.table[checks.table["check"].str.contains(name, regex=False)]
    return (table if part is None else table[table["part"] == part]).iloc[0]


def test_a_clean_set_passes_and_few_and_short_sequences_are_unknown():
    checks = check()
    assert checks.status == "pass", checks.table[checks.table["status"] != "pass"]
    assert repr(checks).startswith("Checks(t: ")
    checks = check(["ACGT", "ACGG"] * 2, ["TTTT", "ACCC"])
    assert found(checks, "Length shortcut")["status"] == "unknown"
    assert "not assessable" in found(checks, "Near-duplicates")["note"]


def test_repeats_and_shifted_copies_are_counted():
    texts = random_texts(300)
    texts[1], texts[4], texts[7] = texts[0], texts[2], reverse_complement(texts[2])
    checks = check(texts)
    assert found(checks, "equal sequences", "train")["value"] == 2
    assert found(checks, "equal but for the strand", "train")["value"] == 1
    assert found(checks, "other labels", "train")["value"] == 2
    assert found(checks, "equal sequences", "train")["status"] == "warning"
    assert found(checks, "equal sequences", "test")["status"] == "pass"
    train, test = random_texts(300), random_texts(100, seed=1)
    # 30 of its 60 21-mers.
    test[3] = train[5][30:] + test[3][:30]
    checks = check(train, test)
    assert found(checks, "Near-duplicates")[["value", "status"]].tolist() == [0.01, "warning"]
    assert found(checks, "Share 90%")["status"] == "pass"


@pytest.mark.parametrize("turned", [False, True])
def test_a_test_sequence_in_training_fails(turned):
    train, test = random_texts(300), random_texts(100, seed=1)
    test[3] = reverse_complement(train[5]) if turned else train[5]
    checks = check(train, test)
    assert found(checks, "duplicates across splits")[["value", "status"]].tolist() == [0.01, "fail"]
    assert found(checks, "Share 90%")[["value", "status"]].tolist() == [1, "fail"]


def test_groups_balance_counts_and_n():
    train = examples(random_texts(300), ODD, "a", ["chr1"] * 150 + ["chr2"] * 150)
    test = examples(random_texts(100, seed=1), ODD[:100], "b", ["chr2"] * 100)
    row = found(check(train, test), "groups on both sides")
    assert (row["status"], row["note"]) == ("fail", "chr2")
    train = examples([*random_texts(299), "ACGTN" * 16], [1] * 20 + [0] * 280, "a")
    checks = check(train, facts={"expected": {"train": 301, "test": 100}})
    assert found(checks, "rarest class", "train")["status"] == "warning"
    assert found(checks, "rarest class", "train")["note"] == "no 280, yes 20"
    assert found(checks, "examples", "train")["status"] == "warning"
    assert found(checks, "examples", "test")["status"] == "pass"
    assert found(checks, "with N", "train")["value"] == 1
    empty = check(test=examples(random_texts(50, seed=3), [0] * 50, "b"))
    assert found(empty, "rarest class", "test")["status"] == "fail"


def rich(n, seed):
    rng = np.random.default_rng(seed)
    shares = [0.25] * 4, [0.2, 0.3, 0.3, 0.2]
    return ["".join(rng.choice(list("ACGT"), 80, p=shares[y])) for y in ODD[:n]]


def test_composition_and_lengths_that_tell_the_label_fail():
    row = found(check(rich(300, 0), rich(100, 1)), "composition rule")
    assert row["status"] == "fail" and "rule on gc" in row["note"]

    def cut(n, seed):
        return [text[: 80 - 3 * y] for text, y in zip(random_texts(n, seed=seed), ODD, strict=False)]

    checks = check(cut(300, 0), cut(100, 1))
    assert found(checks, "Length shortcut")["status"] == "fail"
    assert found(checks, "lengths")["status"] == "warning"


def test_a_site_in_one_class_alone_and_shuffled_negatives_are_found():
    rng = np.random.default_rng(5)

    def sites(n, seed):
        texts = random_texts(n, seed=seed)
        return [text[:40] + "GTAAGT" + text[46:] if y else text for text, y in zip(texts, ODD, strict=False)]

    checks = check(sites(300, 0), sites(100, 1))
    assert found(checks, "Fixed-position motif")["status"] == "fail"
    assert found(checks, "lack the site")["status"] == "fail"

    def shuffled(n, seed):
        """Each second is the first in an order that keeps the counts of pairs: turned loops between two As."""
        made = []
        for text in random_texts(n // 2, bp=40, seed=seed):
            parts = ["A" + part for part in text.split("A")]
            made += ["".join(parts) + "A", parts[0] + "".join(rng.permutation(parts[1:])) + "A"]
        return made

    train, test = shuffled(300, 0), shuffled(100, 1)
    # A pair across the split.
    train[:100:2], test[1::2] = test[::2], test[1::2]
    checks = check(train, test)
    assert found(checks, "Constructed negatives")["status"] != "pass"


def test_separation_is_that_of_scikit_learn_and_scipy():
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(size=200), 1)
    tracks = rng.random((200, 4)) < 0.4
    aucs = [roc_auc_score(tracks[:, t], values) for t in range(4)]
    assert separation("multilabel", tracks, values) == pytest.approx(max(max(a, 1 - a) for a in aucs))
    targets = rng.normal(size=(200, 2))
    rho = max(abs(stats.spearmanr(values, targets[:, t])[0]) for t in range(2))
    assert separation("regression", targets, values) == pytest.approx((1 + rho) / 2)
    assert separation("regression", targets, np.ones(200)) == 0.5


@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_tracks_and_targets_that_one_number_tells_fail(kind):
    labels = np.stack([ODD, 1 - ODD], axis=1).astype(float)
    train, test = random_texts(300), rich(100, 1)
    test[7] = train[4]
    checks = check(examples(rich(300, 0)[:299] + train[4:5], labels, "a"), examples(test, labels[:100], "b"), kind=kind)
    assert found(checks, "one number")[["status", "note"]].tolist() == ["fail", "gc"]
    assert found(checks, "duplicates across splits")["status"] == "fail"


def test_tasks_by_base_without_a_test_part_and_without_the_linter(monkeypatch):
    train = examples(random_texts(6, bp=10), np.ones((6, 10), np.int8), "a")
    checks = benchmark.check(benchmark.Task("b", "per_base", ("none", "site"), train, None))
    assert found(checks, "one number")["status"] == "unknown"
    assert "across splits" not in " ".join(checks.table["check"])
    folded = benchmark.check(benchmark.Task("f", "binary", ("no", "yes"), examples(rich(300, 0), ODD, "a"), None))
    assert found(folded, "composition rule", "all")["status"] == "fail"
    monkeypatch.setitem(sys.modules, "seqleak.audit", None)
    with pytest.raises(ImportError, match=r"pip install 'ntviz\[benchmark\]'"):
        check()


def test_a_task_of_chromosome_20_has_no_copies_across():
    task = chr20.build("chr20_coding")
    train, test = (part.take(np.arange(0, len(part), 4)) for part in task.parts.values())
    checks = benchmark.check(replace(task, train=train, test=test))
    names = "duplicates across splits", "groups on both sides", "Near-duplicates", "Share 90%", "Overlapping"
    for name in names:
        assert found(checks, name)["status"] == "pass"
    # Coding sequence is rich in G and C: a shortcut, and it is told.
    assert found(checks, "composition rule")["status"] in ("warning", "fail")


def test_published_tasks_and_numbers_are_as_their_sources_say():
    by = [generation for generation, _ in registry.SPECS]
    assert (by.count("revised"), by.count("original"), by.count("other")) == (18, 18, 3)
    lengths = {"promoter": 300, "enhancers": 400, "splice": 600, "H": 1_000}
    for spec in registry.SPECS.values():
        assert spec.grade in registry.GRADES and spec.source and spec.outputs == (len(spec.classes) or 919)
        if spec.generation == "revised":
            assert spec.length == next(bp for name, bp in lengths.items() if spec.name.startswith(name))
    original = [spec for spec in registry.SPECS.values() if spec.generation == "original"]
    assert sum(spec.train + spec.test for spec in original) == 510_647
    assert registry.find("H3K4ME3").train is None and registry.find("H3", "original").test == 1_497
    with pytest.raises(ValueError, match="received 'promotor_all'. Did you mean promoter_all"):
        registry.find("promotor_all")
    with pytest.raises(ValueError, match="must be one of none: that generation is unknown"):
        registry.find("H3", "newest")
    table = benchmark.published()
    assert len(table) == 18 * 9 + 11 + 18 + 12 + 8
    assert (table[["model", "source", "grade", "metric"]] != "").all().all()
    original = table[(table["generation"] == "original") & (table["model"] == "NT multispecies 2.5B")]
    assert original["value"].mean() == pytest.approx(0.689, abs=5e-4) and table["value"].isna().sum() == 3
    known = {(spec.generation, spec.name) for spec in registry.SPECS.values()} | {("revised", "mean")}
    for row in table[table["generation"].isin(["original", "revised"])].itertuples():
        assert (row.generation, row.task) in known
    means = table[table["task"] == "mean"].set_index(["generation", "model"])["value"]
    assert means["revised", "NT v2 250M"] == 0.769
