"""Numbers that no change of the code may move: enrichment, landscape, scores, probes, maps, attributions, motifs.

The tables in tests/golden were written by `python tests/test_golden.py`; write them again only when a number is meant to
change, and say so in the CHANGELOG.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).parent / "golden"
AT = "20:62,046,000-62,049,000"  # KCNQ2


@functools.cache
def _bundle():
    from ntviz import annotation, data, models
    from ntviz.reference import Reference

    return models.load("ntviz-mini"), Reference(data.bundle("chr20")), annotation.read(data.bundle("genes"))


def enrichment() -> pd.DataFrame:
    from ntviz import attention

    model, reference, genes = _bundle()
    windows = [f"20:{start:,}-{start + 1_199:,}" for start in range(62_044_801, 62_058_000, 1_200)]
    options = {"threshold": 0.1, "shifts": 50, "bootstrap": 100}
    kinds = ["exon", "intron", "splice_donor", "repeats"]
    kinds = [kind for kind in kinds if kind in genes.kinds]
    return attention.enrichment(model, windows, reference, genes, kinds=kinds, **options).table


def landscape() -> pd.DataFrame:
    from ntviz import landscape

    model, reference, _ = _bundle()
    found = landscape.reconstruct(model, reference, "20:62,046,001-62,046,240", frames=2, both_strands=True, what=None)
    return pd.DataFrame({name: getattr(found, name) for name in ("probability", "correct", "entropy", "perplexity")})


def landscape_by_element() -> pd.DataFrame:
    from ntviz import landscape

    model, reference, genes = _bundle()
    found = landscape.reconstruct(model, reference, "20:62,040,001-62,070,000", window=1_200, what=None)
    return landscape.by_element(found, genes, block=3_000, draws=100, shifts=50)


def scores() -> pd.DataFrame:
    from ntviz import variants

    model, reference, genes = _bundle()
    changes = variants.simulate(genes, reference, per_class=2, seed=3).iloc[[0, 1, 4]]
    found = variants.score(model, reference, changes, scores=tuple(variants.SCORES), frames=6, progress=None)
    without = variants.baselines(changes, reference, genes)
    return found.join(without[[name for name in without if name not in found]])


def splice_scores() -> pd.DataFrame:
    from ntviz import models, variants

    _, reference, genes = _bundle()
    changes = variants.simulate(genes, reference, per_class=1, seed=4).iloc[:3]
    return variants.score(models.load("ci-spliceai"), reference, changes, annotation=genes, progress=None)


def evaluation() -> pd.DataFrame:
    from ntviz import variants

    rng = np.random.default_rng(1)
    table = pd.DataFrame({"y": rng.integers(0, 2, 120), "gene": rng.integers(0, 20, 120).astype(str)})
    table["a"], table["b"] = table["y"] + rng.normal(size=120), rng.integers(0, 9, 120)
    table["x"] = rng.normal(size=120) + table["a"]
    scores, options = {"a": 1, "b": -1}, {"bootstrap": 100, "permutations": 50}
    return pd.concat([variants.evaluate(table, label, scores, baseline="b", **options) for label in ("y", "x")])


def probes() -> pd.DataFrame:
    from ntviz import probing

    rows = []
    rng = np.random.default_rng(2)
    n = 90
    groups = np.arange(n) // 3
    for kind, classes in (("binary", 2), ("multiclass", 3), ("regression", 1)):
        clean = rng.normal(size=(n, 6))
        labels = clean[:, 0] if kind == "regression" else rng.integers(0, classes, n)
        labels = labels[:, None] if kind == "regression" else labels
        vectors = {0: rng.normal(size=(n, 6)), 1: clean + np.reshape(labels, (n, 1)) / 2}
        for method in ("logistic", "mlp")[: 1 + (kind != "multiclass")]:
            found = probing.probe(vectors, labels, groups, kind=kind, classes=classes, method=method, n_folds=4)
            rows += [(kind, method, name, value) for name, value in found.scores(labels).items()]
    return pd.DataFrame(rows, columns=["kind", "method", "metric", "value"])


def separation() -> pd.DataFrame:
    from ntviz import embeddings

    rng = np.random.default_rng(5)
    labels = np.repeat(["a", "b", "c"], 20)
    points = rng.normal(size=(60, 4)) + (labels == "a")[:, None]
    return embeddings.separation(points, labels, np.arange(60) // 2, permutations=50, draws=100)


def attributions() -> pd.DataFrame:
    from ntviz import attribution

    model, reference, _ = _bundle()
    text = reference.fetch("20:62,046,001-62,046,120").sequence
    target = attribution.BaseProbability(60, text[60])
    gradients = attribution.integrated_gradients(model, text, target, baseline=("mask", "shuffle"), both_strands=True)
    effects = attribution.mutagenesis(model, text, target)
    return pd.DataFrame({"gradients": np.ravel(gradients.per_base()), "effect": effects.sum(axis=-1)})


TABLES = (
    *(enrichment, landscape, landscape_by_element, scores, splice_scores, evaluation, probes, separation),
    attributions,
)


def _text(table: pd.DataFrame) -> pd.DataFrame:
    """What stands in a file: booleans and texts as texts."""
    plain = table.reset_index(drop=True)
    return plain.apply(lambda column: column if pd.api.types.is_float_dtype(column) else column.astype(str))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_numbers_are_those_of_before(table):
    now, before = (_text(table()), pd.read_csv(FOLDER / f"{table.__name__}.tsv", sep="\t", dtype=str, na_filter=False))
    assert list(now) == list(before)
    for name in now:
        if pd.api.types.is_float_dtype(now[name]):
            known = before[name].replace("", "nan").astype(float)
            np.testing.assert_allclose(now[name], known, rtol=1e-4, atol=1e-5, err_msg=name)
        else:
            assert now[name].tolist() == before[name].tolist(), name


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for table in TABLES:
        if sys.argv[1:] in ([], [table.__name__]):
            _text(table()).to_csv(FOLDER / f"{table.__name__}.tsv", sep="\t", index=False, float_format="%.9g")
