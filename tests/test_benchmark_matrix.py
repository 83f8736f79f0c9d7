"""The matrix: done cells stay, failed ones say why, and the leaderboard is what its cells are."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from ntviz import benchmark, embeddings, models, probing, statistics
from ntviz.benchmark import Settings, cells, matrix, methods

QUICK = Settings(permutations=4, draws=3, n_folds=3, bootstrap=100)
LACKS = "permuted labels, control task, learning curve"


def examples(n, tag, *, seed, groups=10, site="TATAAAAGGC"):
    """Random sequences; half bear a site in the middle."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    texts = ["".join(rng.choice(list("ACGT"), 90)) for _ in range(n)]
    texts = [text[:40] + site + text[50:] if y else text for text, y in zip(texts, labels, strict=True)]
    groups = [f"{tag}{i * groups // n}" for i in range(n)]
    return benchmark.Examples([f"{tag}{i}" for i in range(n)], texts, labels, groups)


def binary(name, train, test, **more):
    return benchmark.Task(name, "binary", ("no", "yes"), train, test, **more)


def task(name="planted", *, seed=0, category="promoters", test=True):
    held = examples(80, "b", seed=seed + 100) if test else None
    return binary(name, examples(160, "a", seed=seed), held, category=category)


def run(out, *, tasks=None, methods=("gc",), settings=QUICK, **more):
    return benchmark.run(out, tasks=tasks or [task()], methods=methods, settings=settings, **more)


@pytest.fixture(scope="module")
def ran(tmp_path_factory, mini):
    out = tmp_path_factory.mktemp("matrix")
    tasks = [task(), task("other", seed=1, category="splicing"), task("folded", seed=2, test=False)]
    names = ("logistic", "kmer3", "gc", "local31", "majority")
    store = embeddings.Store(out / "store")
    told: list[str] = []
    table = run(out, tasks=tasks, models=[mini], methods=names, store=store, say=told.append)
    return out, tasks, names, store, table, told


def test_every_cell_is_a_row_with_its_controls(ran):
    _, _, names, _, table, told = ran
    assert len(table) == len(told) == 3 * (len(names) - 1) + 3 * 2 and set(table["status"]) == {"ok"}
    assert list(table.columns) == list(matrix.COLUMNS)
    assert table.set_index(["task", "method", "model"]).index.is_unique
    majority = table[table["method"] == "majority"]
    assert (table.loc[table["method"] == "local31", "value"] > 0.9).all() and majority["value"].isna().all()
    assert set(majority["note"]) == {"mcc is not defined: every guess is class no"}
    pd.testing.assert_series_equal(table["value"], table["mcc"], check_names=False)
    mine = table[table["model"] == "ntviz-mini"]
    twins = table[table["twin_of"] == "ntviz-mini"].set_index("task")["value"]
    assert mine.set_index("task")["twin"].to_dict() == twins.to_dict()
    for column in ("low", "high", "permuted", "p", "control", "selectivity", "shot_1", "shot_10"):
        assert mine[column].notna().all(), column
    assert (mine["missing_controls"] == "").all()
    np.testing.assert_allclose(mine["p"], [1 / 5] * 3)
    assert set(table.loc[table["twin_of"] != "", "missing_controls"]) == {LACKS}


def test_a_cell_and_its_layers_are_what_their_parts_give(ran, mini):
    out, tasks, _, _, table, _ = ran
    row = table[(table["task"] == "planted") & (table["model"] == "ntviz-mini")].iloc[0]
    kept = benchmark.predictions(out, row)
    one = tasks[0]
    vectors = embeddings.embed(mini, [*one.train.sequences, *one.test.sequences])
    layers = {layer: vectors.layer(layer) for layer in vectors.layers}
    labels, groups = (
        np.concatenate([getattr(part, name) for part in one.parts.values()]) for name in ("labels", "groups")
    )
    found = probing.probe(layers, labels, groups, kind="binary", classes=2, train=np.arange(160))
    np.testing.assert_allclose(kept.predicted, found.predicted, atol=1e-3)
    assert row["layer"] == found.chosen[0].features
    assert kept.ids.tolist() == [f"test/{name}" for name in one.test.ids]
    np.testing.assert_array_equal(kept.labels, one.test.labels)
    assert row["value"] == pytest.approx(probing.scores("binary", kept.labels, kept.predicted)["mcc"])
    found = benchmark.layer_scores(ran[0])
    assert list(found.columns) == ["task", "model", "twin", "layer", "score"]
    assert set(found["model"]) == {"ntviz-mini"}
    table = ran[4].query("method == 'logistic'")
    assert len(found.groupby(["task", "twin"])) == len(table) == 6
    for (name, twin), part in found.groupby(["task", "twin"]):
        row = table[(table["task"] == name) & ((table["twin_of"] != "") == twin)].iloc[0]
        inner = pd.DataFrame(benchmark.predictions(ran[0], row).inner)
        assert part["layer"].tolist() == sorted(set(inner["features"].astype(int)))
        for layer, score in zip(part["layer"], part["score"], strict=True):
            seen = inner[inner["features"].astype(int) == layer]["score"]
            assert seen.min() - 1e-12 <= score <= seen.max() + 1e-12


def test_done_cells_are_never_redone(ran, mini, monkeypatch):
    out, tasks, names, store, table, _ = ran

    def refuse(*_args, **_more):
        raise AssertionError("computed again")

    monkeypatch.setattr(cells, "compute", refuse)
    given = {"tasks": tasks, "models": [mini], "methods": names, "store": store}
    pd.testing.assert_frame_equal(run(out, **given), table)
    pd.testing.assert_frame_equal(benchmark.results(out), table)
    # The examples decide, not the name: one base more, and the cell is another.
    other = task()
    other.train.sequences[0] += "A"
    assert run(out, tasks=[other])["error"].tolist() == ["AssertionError: computed again"]
    run(out, **given)


def test_failures_are_rows_and_the_rest_goes_on(tmp_path, mini):
    one_class = examples(40, "c", seed=0)
    one_class.labels[:] = 1
    tasks = [binary("one_class", one_class, examples(20, "d", seed=1)), task()]
    table = run(tmp_path, tasks=tasks, models=["no-such-model"], methods=["kmer3", "logistic"])
    by = table.set_index(["task", "method", "model"])
    assert by.loc[("planted", "kmer3", ""), "status"] == "ok"
    assert "all 40 training examples are of class 1" in by.loc[("one_class", "kmer3", ""), "error"]
    assert "A model is a checkpoint" in by.loc[("planted", "logistic", "no-such-model"), "error"]
    assert (table["status"] == "failed").sum() == len(benchmark.leaderboard(tmp_path).failed) == 5


def test_an_interrupted_matrix_goes_on(tmp_path, monkeypatch):
    done, real = [], cells.compute

    def stopping(*args, **more):
        done.append(args)
        if len(done) == 3:
            raise KeyboardInterrupt
        return real(*args, **more)

    monkeypatch.setattr(cells, "compute", stopping)
    names = ["gc", "kmer3", "majority", "local31"]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, methods=names)
    assert benchmark.results(tmp_path)["status"].tolist() == ["ok", "ok", "pending", "pending"]
    assert len(list((tmp_path / "cells").iterdir())) == 2
    assert set(run(tmp_path, methods=names)["status"]) == {"ok"} and len(done) == 5


def test_shards_make_the_same_matrix(tmp_path):
    given = {"tasks": [task(), task("two", seed=4)], "methods": ["gc", "kmer3"]}
    whole = run(tmp_path / "whole", **given)
    for first in (1, 2, 3):
        part = run(tmp_path / "parts", shard=(first, 3), **given)
        assert (part["status"] == "pending").any()
    pd.testing.assert_frame_equal(run(tmp_path / "parts", **given), whole)
    one, other = (tmp_path / name / "results.parquet" for name in ("whole", "parts"))
    assert one.read_bytes() == other.read_bytes()


def test_a_damaged_cell_is_a_row_and_a_task_is_folded_when_asked(tmp_path):
    table = run(tmp_path)
    (tmp_path / "cells" / f"{table['cell'].iloc[0]}.npz").write_bytes(b"PK\x03\x04 broken")
    assert "Delete it and make it again" in run(tmp_path)["error"].iloc[0]
    folded = Settings(permutations=0, draws=0, n_folds=4, refold=True, bootstrap=50)
    table = run(tmp_path, methods=["kmer3", "majority"], settings=folded)
    assert table["n_test"].tolist() == [240, 240] and table["missing_controls"].tolist() == [LACKS, ""]


def test_a_cap_draws_evenly_and_local_bases_stand_around_the_middle():
    labels = np.array([0] * 90 + [1] * 10)
    taken = cells._evenly(labels, "binary", 30, seed=0)
    assert np.bincount(labels[taken]).tolist() == [20, 10] and len(set(taken)) == 30
    text = "A" * 300 + "GT" + "C" * 298
    found = methods.local_bases([text, "ACG", "N" * 40]).reshape(3, 31, 4)
    assert ["ACGT"[i] for i in found[0].argmax(axis=1)] == list("A" * 15 + "GT" + "C" * 14)
    assert found[1].sum() == 3 and found[1, 14:17].argmax(axis=1).tolist() == [0, 1, 2] and found[2].sum() == 0


def test_a_matrix_or_leaderboard_of_the_impossible_is_refused(tmp_path):
    for given, message in (
        ({"tasks": ["a", "a"]}, "Each task must be given once; received 'a' twice"),
        ({"methods": ["kmers"]}, "received 'kmers'. Did you mean kmer"),
        ({"methods": ["logistic"]}, "logistic needs a model; received none"),
        ({"tasks": []}, "There must be a task and a method"),
        ({"shard": (3, 2)}, r"i from 1 to n; received \(3, 2\)"),
    ):
        with pytest.raises(ValueError, match=message):
            benchmark.run(tmp_path / "out", **{"tasks": ["a"], "methods": ["gc"], **given})
    with pytest.raises(FileNotFoundError, match="must hold results.parquet"):
        benchmark.leaderboard(tmp_path)
    run(tmp_path, tasks=["nowhere"])
    with pytest.raises(ValueError, match="needs a finished cell; .* has none: "):
        benchmark.leaderboard(tmp_path)


def test_the_leaderboard_is_means_of_its_cells(ran):
    out, _, _, _, table, _ = ran
    board = benchmark.leaderboard(out)
    done = table[table["twin_of"] == ""]
    assert len(board.tasks) == len(done) == 15
    ranked = board.overall.dropna(subset="value")
    assert ranked["value"].is_monotonic_decreasing and ranked["rank"].notna().all()
    (left,) = board.overall[board.overall["value"].isna()].itertuples()
    assert (left.entry, left.tasks, left.of) == ("majority class", 0, 3)
    assert np.isnan([left.rank, left.low, left.high]).all()
    assert left.note.count("mcc is not defined: every guess is class no") == 3
    for row in ranked.itertuples():
        mine = board.tasks[board.tasks["entry"] == row.entry]
        assert row.value == pytest.approx(mine["value"].mean())
        draws = [
            benchmark.predictions(out, one).draws
            for _, one in done.iterrows()
            if ", ".join(filter(None, (one["model"], one["label"]))) == row.entry
        ]
        low, high = np.percentile(np.mean(draws, axis=0), [2.5, 97.5])
        assert (row.low, row.high) == (pytest.approx(low), pytest.approx(high))
    assert board.categories.groupby("category")["entry"].count().to_dict() == {"promoters": 5, "splicing": 5}
    promoters = board.categories[board.categories["category"] == "promoters"]
    assert promoters.set_index("entry")["tasks"].to_dict() == {
        name: 0 if name == "majority class" else 2 for name in promoters["entry"]
    }


def test_an_entry_without_every_task_has_no_overall_value(tmp_path):
    results = run(tmp_path, tasks=[task(), task("two", seed=3)])
    extra = run(tmp_path / "more", methods=["local31"])
    pd.concat([results, extra], ignore_index=True).to_parquet(tmp_path / matrix.RESULTS)
    cell = f"cells/{extra['cell'].iloc[0]}.npz"
    (tmp_path / "more" / cell).rename(tmp_path / cell)
    overall = benchmark.leaderboard(tmp_path).overall.set_index("entry")
    local = overall.loc["31 bp around the middle"]
    assert np.isnan(local["value"]) and local["tasks"] == 1 and overall.index[0] == "GC and length"


def test_comparisons_are_paired_and_corrected(ran):
    out = ran[0]
    table = benchmark.comparisons(out)
    assert len(table) == 3 * 10
    np.testing.assert_allclose(table["q"], statistics.false_discovery(table["p"].to_numpy()))
    one = benchmark.comparisons(out, against="31 bp around the middle")
    assert len(one) == 3 * 4 and (one["second"] == "31 bp around the middle").all()
    undefined = one["first"] == "majority class"
    assert (one.loc[~undefined, "difference"] < 0).all()
    assert one.loc[undefined, ["difference", "p", "q"]].isna().all(axis=None)
    assert set(one.loc[undefined, "note"]) == {"the metric is not defined for one of them"}
    with pytest.raises(ValueError, match="must be an entry: 3-mers, .*received 'nobody'"):
        benchmark.comparisons(out, against="nobody")


def test_a_test_part_of_one_class_takes_no_part_in_ranks(tmp_path):
    held = examples(40, "h", seed=7)
    one_class = binary("one class", examples(160, "a", seed=3), held.take(held.labels == 1))
    said: list[str] = []
    quick = Settings(permutations=3, draws=2, bootstrap=20)
    given = {"tasks": [task(), one_class], "methods": ["local31", "gc"], "settings": quick}
    table = run(tmp_path, **given, say=said.append)
    reason = "mcc is not defined: all 20 judged examples are of class yes"
    none = table[table["task"] == "one class"]
    assert none[["value", "low", "high", "mcc", "auroc", "p", "selectivity"]].isna().all(axis=None)
    assert none["accuracy"].notna().all() and set(none["note"]) == {reason}
    assert sum(text.endswith(reason) for text in said) == 2
    board = benchmark.leaderboard(tmp_path)
    benchmark.run(tmp_path / "alone", **given | {"tasks": [task()]})
    alone = benchmark.leaderboard(tmp_path / "alone")
    columns = ["entry", "value", "low", "high", "rank", "tasks", "of"]
    pd.testing.assert_frame_equal(board.overall[columns], alone.overall[columns])
    assert (board.overall["note"] == f"one class: {reason}").all()
    # What is on disk is JSON, and comes back as it was.
    pd.testing.assert_frame_equal(benchmark.run(tmp_path, **given), table)
    for file in tmp_path.glob("cells/*.npz"):
        with np.load(file) as arrays:
            json.loads(str(arrays["about"]), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_one_seed_that_is_not_defined_leaves_no_mean_and_older_folders_are_shown(tmp_path):
    table = run(tmp_path, methods=["local31"], seeds=(0, 1))
    table.drop(columns="note").to_parquet(tmp_path / matrix.RESULTS)
    assert benchmark.leaderboard(tmp_path).overall["note"].tolist() == [""]
    table.loc[0, "value"], table.loc[0, "note"] = np.nan, "mcc is not defined: every guess is class no"
    table.to_parquet(tmp_path / matrix.RESULTS)
    board = benchmark.leaderboard(tmp_path)
    assert np.isnan(board.tasks["value"]).all()
    assert board.tasks["note"].tolist() == ["mcc is not defined: every guess is class no"]


def changed(**fields):
    """The task with one thing of its first part changed."""
    one = task()
    for name, value in fields.items():
        values = getattr(one.train, name).copy()
        values[0] = value
        one = dataclasses.replace(one, train=dataclasses.replace(one.train, **{name: values}))
    return one


DECIDING = [
    {"task": changed(sequences="A" * 90)}, {"task": changed(labels=1)}, {"task": changed(groups="a9")}, {"task": changed(ids="zz")},
    {"task": dataclasses.replace(task(), classes=("no", "maybe"))}, {"task": task(test=False)},
    {"method": "mlp"}, {"weights": "other"}, {"seed": 1}, {"controlled": False},
    *({"settings": dataclasses.replace(QUICK, **{name: value})} for name, value in {
        "layers": (1,), "pooling": "max", "both_strands": True, "n_folds": 4, "refold": True, "permutations": 5, "draws": 4,
        "bootstrap": 50, "train_cap": 100,
    }.items()),
]  # fmt: skip


def name_of(weights="w", method="logistic", settings=QUICK, **more):
    how = {name: more.pop(name) for name in ("seed", "controlled") if name in more}
    return cells.key(more.get("task", task()), cells.How(methods.method(method), settings, **how), weights)


def test_each_deciding_input_makes_another_cell_and_idle_settings_none(monkeypatch):
    names = [name_of(), *(name_of(**what) for what in DECIDING)]
    assert len(set(names)) == len(names) and name_of() == names[0]
    from ntviz import finetuning

    for method in ("ia3", "lora", "full", "head", "cnn"):
        before = name_of(method=method)
        assert name_of(method=method, settings=dataclasses.replace(QUICK, steps=7)) != before
        assert name_of(method=method, settings=dataclasses.replace(QUICK, pooling="max")) == before
        family = method if method in finetuning.RECIPES else "network"
        other = dataclasses.replace(finetuning.RECIPES[family], learning_rate=1e-6)
        monkeypatch.setitem(finetuning.RECIPES, family, other)
        assert name_of(method=method) != before
    idle = dataclasses.replace(QUICK, pooling="max", steps=3)
    assert name_of(method="kmer", settings=idle) == name_of(method="kmer")


def test_weights_tokens_and_dtype_make_another_model(mini):
    words, trained = mini.tokenizer.vocabulary.tokens, models.load()
    swapped = SimpleNamespace(vocabulary=SimpleNamespace(tokens=(*words[:-2], words[-1], words[-2])))
    other = SimpleNamespace(name=mini.name, info=mini.info, module=mini.module, tokenizer=swapped)
    with torch.no_grad():
        next(trained.module.parameters())[0, 0] += 1
    assert len(set(map(embeddings.fingerprint, (mini, models.load(dtype="bfloat16"), other, trained)))) == 4
    assert embeddings.fingerprint(mini) == embeddings.fingerprint(models.load())


def test_a_task_is_known_by_its_examples_which_must_fit():
    one = task()
    assert one.checksum == task("another name").checksum and one.checksum != task(seed=1).checksum
    assert repr(one) == "Task(planted: binary, 2 classes, 160 train, 80 test, 90 bp)"
    with pytest.raises(ValueError, match="received 2 ids, 1 sequences, 2 labels, 2 groups"):
        benchmark.Examples(["a", "b"], ["A"], np.zeros(2), ["a", "b"])
    with pytest.raises(ValueError, match=r"received 'a' 2 times \(1 ids repeat\)"):
        benchmark.Examples(["a", "a"], ["A", "C"], np.zeros(2), ["a", "b"])


@pytest.mark.parametrize(("kind", "labels", "classes", "message"), [
    ("ranking", [0, 1], 2, "must be one of binary, .*; received 'ranking'"),
    ("binary", [0, 1], 3, "must have two classes; received 3"),
    ("binary", [0, 2], 2, "Labels of t, train, of a binary task must be numbers from 0 to 1; received 2"),
    ("multilabel", [[True], [False]], 2, r"with 2 of the last; received shape \[2, 1\]"),
    ("regression", [[1.0], [np.nan]], 1, "Labels of t, train, must be finite; those of 1 of 2"),
    ("per_base", np.zeros((2, 4), np.int8), 3, "4 bp|8 bp for 4 labels at a"),
])  # fmt: skip
def test_labels_that_do_not_fit_are_refused(kind, labels, classes, message):
    two = benchmark.Examples(["a", "b"], ["ACGTACGT"] * 2, labels, ["a", "b"])
    with pytest.raises(ValueError, match=message):
        benchmark.Task("t", kind, tuple(map(str, range(classes))), two, None)
