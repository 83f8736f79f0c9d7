"""The door: labels, groups, splits and sequences in every dress are taken as what they are, or refused in our words."""

from __future__ import annotations

import inspect
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ntviz import attention, attribution, benchmark, embeddings, finetuning, models, motifs, probing
from ntviz.benchmark import homology
from ntviz.benchmark import methods as plain
from ntviz.finetuning import Recipe
from ntviz.probing import labels as door
from ntviz.probing.estimators import Setting

FIXTURES = Path(__file__).parent / "fixtures"
N = 24
Y = np.array([0, 1, 1, 0] * 6)
RNG = np.random.default_rng(0)
X = {"x": RNG.normal(size=(N, 3)) + 3 * Y[:, None]}
P = np.stack([1 - Y * 0.8 - 0.1, Y * 0.8 + 0.1], axis=1)
P[::5] = P[::5, ::-1]
TEXTS = ["".join(RNG.choice(list("ACGT"), 30)) for _ in range(N)]
GROUPS = np.arange(N) // 2
QUICK = Recipe(steps=2, evaluate_every=1)


TINY = cache(lambda: models.load(FIXTURES / "nt_v2_tiny", device="cpu"))
TUNE = {"kind": "binary", "outputs": 2, "recipe": QUICK}


@pytest.fixture(scope="module")
def tiny():
    return TINY()


def tuned(labels, groups=None, **more):
    how = {**TUNE, "method": "head", "groups": groups, **more}
    return finetuning.tune(TINY(), TEXTS, labels, **how).predict(TEXTS)


def network(labels, groups=None):
    torch.manual_seed(0)
    made = finetuning.network("cnn", outputs=2)
    return finetuning.train_network(made, TEXTS, labels, groups=groups, **TUNE).predict(TEXTS)


def task(labels, groups=GROUPS):
    ids = [f"e{i}" for i in range(N)]
    made = benchmark.Task("t", "binary", ("no", "yes"), benchmark.Examples(ids, TEXTS, labels, groups), None)
    return made.train.labels, made.checksum


CLASSES = {
    "scores": lambda y, g: list(probing.scores("binary", y, P).values()),
    "bootstrap": lambda y, g: probing.bootstrap("binary", y, P, g, draws=20),
    "redrawn": lambda y, g: probing.redrawn("binary", y, P, g, draws=20),
    "compare": lambda y, g: list(vars(probing.compare("binary", y, P, P[::-1], g, draws=20)).values()),
    "folds": lambda y, g: probing.folds("binary", y, g, 3, seed=0),
    "splits": lambda y, g: np.concatenate(probing.splits("binary", y, g, train=None, n_folds=2, seed=0)[0]),
    "probe": lambda y, g: probing.probe(X, y, g, kind="binary", classes=2, n_folds=3).predicted,
    "Probed.scores": lambda y, g: probing.probe(X, Y, GROUPS, kind="binary", classes=2, n_folds=3).scores(y)["mcc"],
    "fit": lambda y, g: probing.fit(X, y, np.arange(16), Setting("logistic", "x"), kind="binary", classes=2, seed=0).predict(X["x"]),
    "controls": lambda y, g: probing.controls(
        X, y, Setting("logistic", "x"), kind="binary", classes=2, learned=np.arange(16), held=np.arange(16, N), score=0.5, permutations=4, draws=0,
    ).permuted,
    "tune": tuned,
    "train_network": network,
    "Task": lambda y, g: task(y, g)[0],
    "checksum": lambda y, g: [int(task(y, g)[1][:12], 16)],
}  # fmt: skip
KINDS = ("bool", "int8", "uint8", "uint64", "float16", "float64", "object")
DRESSES = {
    "list": list, "tuple": tuple, "tensor": torch.from_numpy,
    **{kind: lambda y, kind=kind: y.astype(kind) for kind in KINDS},
    "Series with another index": lambda y: pd.Series(y, index=np.arange(len(y))[::-1] + 7),
    "nullable Series": lambda y: pd.Series(y, dtype="Int64"),
    "nullable bool": lambda y: pd.Series(y.astype(bool), dtype="boolean"),
    "codes of categories": lambda y: pd.Categorical(np.array(["a", "b"])[y]).codes,
    "column": lambda y: y[:, None],
    "frame": lambda y: pd.DataFrame({"label": y}, index=[f"r{i}" for i in range(len(y))]),
}  # fmt: skip
BAD = {
    "text": (lambda y: np.array(["no", "yes"])[y], r"received text such as 'no', 'yes'\. Number them from 0"),
    "numbers as text": (lambda y: y.astype(str), "received text such as '0', '1'"),
    "from 1": (lambda y: y + 1, r"from 0 to 1; received 2\. Pass labels - 1"),
    "-1 and 1": (lambda y: 2 * y - 1, "from 0 to 1; received -1"),
    "halves": (lambda y: y / 2, "from 0 to 1; received 0.5"),
    "nan": (lambda y: np.where(np.arange(N) == 5, np.nan, y), "1 of 24 examples are missing .* the first at index 5"),
    "None": (lambda y: [None if i in (5, 7) else v for i, v in enumerate(y)], "2 of 24 are missing, the first at index 5"),
    "pd.NA": (lambda y: pd.Series(y, dtype="Int64").mask(np.arange(N) == 5), "1 of 24 .*missing.*, the first at index 5"),
    "masked": (lambda y: np.ma.array(y, mask=np.arange(N) == 5), "1 of 24 are missing, the first at index 5"),
    "one-hot": (lambda y: np.eye(2)[y], r"must be \[example\]; received shape \[24, 2\]"),
    "ragged": (lambda y: [[0], [1, 1]] * 12, "a list of one shape; received list"),
    "a text": (lambda y: "01" * 12, "an array or a list .*; received str"),
}  # fmt: skip
FREE = ("folds", "splits", "Probed.scores")  # folds balance any names of classes


@pytest.mark.parametrize("dress", DRESSES)
def test_the_door_takes_labels_in_every_dress(dress):
    labels = door.checked("binary", DRESSES[dress](Y), 2)
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, Y)


@pytest.mark.parametrize("bad", BAD)
def test_the_door_refuses_what_is_no_label(bad):
    dress, message = BAD[bad]
    with pytest.raises(ValueError, match=message):
        door.checked("binary", dress(Y), 2)


@pytest.mark.parametrize("name", CLASSES)
def test_every_entry_asks_at_the_door(name):
    ask, groups = CLASSES[name], pd.Series([f"g{i:02}" for i in GROUPS], index=np.arange(N)[::-1])
    right = ask(Y, groups.to_numpy(str))
    # Folds know no number of classes, so no columns.
    for dress in ("nullable Series", "object" if name in ("folds", "splits") else "column"):
        np.testing.assert_array_equal(ask(DRESSES[dress](Y), groups), right)
    for bad in ("None",) if name in FREE else ("text", "from 1", "None"):
        dress, message = BAD[bad]
        with pytest.raises(ValueError, match=message):
            ask(dress(Y), GROUPS)


@pytest.mark.parametrize("name", [
    "bootstrap", "redrawn", "compare", "folds", "splits", "probe", "tune", "train_network", "Task",
])  # fmt: skip
def test_groups_that_are_none_are_refused_everywhere(name):
    for groups, message in (
        (GROUPS[:-1], "for each of 24|one id, sequence, label and group each"),
        ([None, *GROUPS[1:]], "Groups must be there for every example; 1 of 24 are missing, the first at index 0"),
        (np.where(GROUPS == 3, np.nan, GROUPS), "Groups must be there for every example; 2 of 24 are missing, the first at index 6"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            CLASSES[name](Y, groups)


@pytest.mark.parametrize("take", [
    tuned, lambda y, **more: probing.probe(X, y, GROUPS, classes=1, n_folds=3, **more).predicted,
])  # fmt: skip
def test_one_target_may_be_one_dimensional_and_a_missing_one_is_named(take):
    more = {"kind": "regression"} | ({"outputs": 1} if take is tuned else {})
    values = X["x"][:, 0]
    for dress in (values.astype(np.float32), pd.Series(values, index=np.arange(N)[::-1])):
        np.testing.assert_allclose(take(dress, **more), take(values[:, None], **more), atol=1e-5)
    with pytest.raises(ValueError, match="1 of 24 examples are missing .nan. or infinite, the first at index 3"):
        take(np.where(np.arange(N) == 3, np.nan, values), **more)
    with pytest.raises(ValueError, match="must be numbers; received text"):
        take(values.astype(str), **more)


def test_scores_of_targets_tracks_and_bases_are_checked():
    line = np.arange(5.0)
    assert probing.scores("regression", line, line + 1)["pearson"] == pytest.approx(1)
    tracks = np.array([[0, 1.0], [1, 0], [1, 1]])
    assert probing.scores("multilabel", tracks, tracks) == probing.scores("multilabel", tracks == 1, tracks)
    by_base = np.zeros((2, 5), int), np.full((2, 4, 3), 1 / 3)
    for kind, labels, predicted, message in (
        ("multilabel", tracks + 1, tracks, "from 0 to 1; received 2"),
        ("regression", line, np.where(line == 2, np.nan, line), "Predictions must be finite; those of 1 of 5 .* index 2"),
        ("binary", Y, P[:, 1], r"numbers \[example, class\]; received float64 of shape \[24\]"),
        ("per_base", *by_base, r"one prediction an example; .* \[2, 4, 3\] and \[2, 5\]"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            probing.scores(kind, labels, predicted)


def test_vectors_and_splits_in_every_dress_are_read_alike_or_refused():
    half, ask = X["x"].astype(np.float16), {"kind": "binary", "classes": 2, "train": np.arange(16)}
    right = probing.probe({"x": half.astype(np.float64)}, Y, GROUPS, **ask)
    for dress in (half.astype(object), pd.DataFrame(half), torch.tensor(half), half.tolist()):
        found = probing.probe({"x": dress}, Y, GROUPS, **ask)
        np.testing.assert_allclose(found.predicted, right.predicted, atol=1e-3)
    for dress, message in (
        (half.astype(str), "Vectors must be numbers; x holds <U"),
        (torch.tensor(half).bfloat16(), "Vectors of x must be an array"),
        (np.where(np.arange(N)[:, None] == 3, None, half), "Vectors of x must be there .* the first at index 3"),
    ):
        with pytest.raises(ValueError, match=message):
            probing.probe({"x": dress}, Y, GROUPS, **ask)
    found = probing.probe(X, Y, GROUPS, kind="binary", classes=2, train=list(range(16)))
    np.testing.assert_array_equal(found.judged, np.arange(16, N))
    mask = np.arange(N) < 16
    series = pd.Series(mask, index=np.arange(N)[::-1]), pd.Series(mask).astype("boolean")
    for train in (np.arange(16)[::-1], mask, *series):
        np.testing.assert_array_equal(door.learned(train, N), mask)
    for train, message in (
        (mask.astype(int), r"each once; received int64 of shape \[24\]: 1, 1, 1, 1"),
        (np.arange(20, 30), "from 0 to 23, each once"),
        ([-1, 0], "from 0 to 23"),
        (mask[1:], r"a mask of 24 booleans.*; received bool of shape \[23\]"),
        (np.where(mask, "train", "test"), "received text .* pass a comparison, such as split == 'train'"),
        (np.linspace(0, 1, N), "received float64"),
    ):
        with pytest.raises(ValueError, match=message):
            door.learned(train, N)


def test_bases_that_are_not_asked_are_not_learned_from(tiny):
    """Twenty sequences without a label change nothing: the same steps as on the four that have one."""
    bases = np.where(np.arange(N)[:, None] < 4, RNG.integers(0, 2, (N, 30)), -1)
    given = {"kind": "per_base", "outputs": 2, "method": "head"}
    given["recipe"] = Recipe(steps=6, batch_size=2, evaluate_every=3)
    held = (TEXTS[:2], bases[:2])
    few = finetuning.tune(tiny, TEXTS[:4], bases[:4], validation=held, **given)
    many = finetuning.tune(tiny, TEXTS, bases, validation=held, **given)
    np.testing.assert_array_equal(few.predict(TEXTS), many.predict(TEXTS))
    with pytest.raises(ValueError, match="The validation part must have a base with a label; all are -1"):
        finetuning.tune(tiny, TEXTS, bases, validation=(TEXTS[4:6], bases[4:6]), **given)
    with pytest.raises(ValueError, match="must be one a base; sequence 0 has 30 bp and 10 labels"):
        finetuning.tune(tiny, TEXTS, bases[:, :10], **given)
    # Squares of 1e25 are none in float32: nothing could be chosen by them.
    with pytest.raises(FloatingPointError, match="at step 1 that of the validation part is inf"):
        tuned(X["x"][:, 0], kind="regression", outputs=1, validation=(TEXTS[:3], [1e25] * 3))


def per_token(method, model, sequences, **how):
    found = method(model, sequences, attribution.BaseProbability(3, "A"), **how)
    return np.atleast_2d(np.squeeze([one.per_token for one in np.ravel([found])]))


SEQUENCES = {
    "attention.ablate": lambda s, m: attention.ablate(m, s, [(0, 0)], control=None, random=0).effects,
    "attention.detect": lambda s, m: attention.detect(m, s).table["score"].to_numpy(),
    "attribution.ask": lambda s, m: attribution.ask(m, s, attribution.BaseProbability(3, "A")),
    "attribution.gradient_times_input": lambda s, m: per_token(attribution.gradient_times_input, m, s),
    "attribution.integrated_gradients": lambda s, m: per_token(attribution.integrated_gradients, m, s, steps=2),
    "embeddings.embed": lambda s, m: embeddings.embed(m, s).values,
    "embeddings.kmer_frequencies": lambda s, m: embeddings.kmer_frequencies(s, 2),
    "finetuning.Tuned.predict": lambda s, m: finetuning.tune(m, TEXTS, Y, kind="binary", outputs=2, method="head", recipe=QUICK).predict(s),
    "finetuning.tune": lambda s, m: finetuning.tune(m, s, Y[:1], kind="binary", outputs=2, recipe=QUICK),
    "finetuning.train_network": lambda s, m: finetuning.train_network(finetuning.network("cnn", outputs=2), s, Y[:1], kind="binary", outputs=2),
    "motifs.seqlets": lambda s, m: motifs.seqlets(s, [np.zeros(60)]),
    "motifs.discover": lambda s, m: motifs.discover(s, [np.zeros(60)]),
    "motifs.scan_many": lambda s, m: motifs.scan_many(s, motifs.Motif.from_sites("toy", ["GATTACA"])),
    "probing.control_labels": lambda s, m: probing.control_labels(s, 2, shares=np.array([0.5, 0.5])),
    "benchmark.homology.apart": lambda s, m: homology.apart(s, s),
    "benchmark.methods.composition": lambda s, m: plain.composition(s),
    "benchmark.methods.local_bases": lambda s, m: plain.local_bases(s),
    "benchmark.Examples": lambda s, m: benchmark.Examples(["a"], s, [0], ["a"]).sequences == ["ACGT"],
}  # fmt: skip
TOGETHER = {"tokens.Tokenizer.batch", "genome.sequence.listed"}  # of tokens; the door itself


def test_every_public_function_of_sequences_is_asked():
    packages = ("attention", "attribution", "benchmark", "embeddings", "finetuning", "landscape", "motifs", "probing", "genome.sequence", "tokens", "variants")  # fmt: skip
    public = set()
    for package in packages:
        module = import_module(f"ntviz.{package}")
        for name in getattr(module, "__all__", None) or [name for name in vars(module) if name[0] != "_"]:
            held = getattr(module, name)
            functions = {name: held} if inspect.isfunction(held) else {}
            if inspect.isclass(held):
                functions = {f"{name}.{key}": value for key, value in vars(held).items() if inspect.isfunction(value) and key[0] != "_"}  # fmt: skip
            public |= {
                f"{package}.{key}"
                for key, value in functions.items()
                if "sequences" in inspect.signature(value).parameters and value.__module__.startswith("ntviz")
            }
    assert public - TOGETHER <= set(SEQUENCES), "show here what a text by itself does there"


def outcome(ask, sequences, model):
    """What came of it: an array, or the first half of the message by which it was refused."""
    try:
        return np.asarray(ask(sequences, model))
    except (TypeError, ValueError) as error:
        return str(error).partition(";")[0]


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_text_where_a_list_is_expected_is_one_sequence_or_refused(name, tiny):
    text = TEXTS[0] * 2
    found = outcome(SEQUENCES[name], text, tiny)
    if isinstance(found, str):
        assert "must" in found
    else:
        np.testing.assert_array_equal(found, outcome(SEQUENCES[name], [text], tiny))


@pytest.mark.parametrize("dress", [tuple, np.array, lambda s: np.array(s, dtype=object), lambda s: pd.Series(s, index=np.arange(N)[::-1]), iter])  # fmt: skip
def test_sequences_in_every_dress_are_read_alike(tiny, dress):
    given = {"kind": "binary", "outputs": 2, "method": "head", "recipe": QUICK}
    for ask in (
        lambda s: embeddings.embed(tiny, s).values,
        lambda s: finetuning.tune(tiny, s, Y, **given).predict(TEXTS),
    ):
        np.testing.assert_array_equal(ask(dress(TEXTS)), ask(TEXTS))


def test_what_is_no_text_is_named(tiny):
    for ask in (lambda s: embeddings.embed(tiny, s), lambda s: embeddings.kmer_frequencies(s, 2), lambda s: finetuning.tune(tiny, s, Y, kind="binary", outputs=2)):  # fmt: skip
        with pytest.raises(ValueError, match=r"Sequences must be texts; received nan \(float\) at index 2"):
            ask([*TEXTS[:2], float("nan"), *TEXTS[3:]])


def test_one_task_model_or_method_is_one_and_a_digest_tells_columns_apart(tmp_path):
    made = benchmark.Task("t", "binary", ("no", "yes"), benchmark.Examples(range(N), TEXTS, Y, GROUPS), None)
    settings = benchmark.Settings(n_folds=2, permutations=0, draws=0, bootstrap=5)
    table = benchmark.run(tmp_path, tasks=made, methods="gc", settings=settings)
    assert table[["task", "method", "status"]].values.tolist() == [["t", "gc", "ok"]]
    assert benchmark.expand("chr20") == benchmark.expand(["chr20"])
    assert door.digest(["ab", "c"]) != door.digest(["a", "bc"])
    assert door.digest(["a"], ["b"]) != door.digest(["a", "b"])
    assert door.digest(np.array([1, 0])) != door.digest(np.array([1.0, 0]))
    assert door.digest(pd.Series(["a", "b"], index=[3, 1])) == door.digest(("a", "b"))
