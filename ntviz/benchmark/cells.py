"""One cell of the matrix: a task, a method, and a model where the method needs one; predictions and controls come back."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import embeddings, environment, probing
from ntviz.benchmark import plain_features
from ntviz.benchmark.methods import Method
from ntviz.benchmark.settings import Settings
from ntviz.benchmark.task import Examples, Task
from ntviz.probing.metrics import undefined

if TYPE_CHECKING:
    from ntviz.embeddings import Store
    from ntviz.models.protocol import Embedder
    from ntviz.probing import Probed

FORMAT = 2
"""Of cells; raised when what a number means changes, so that older cells are done again."""


@dataclass(frozen=True, eq=False)
class Cell:
    """What came of one cell.

    Attributes
    ----------
    row
        Plain data for the table of results: metrics, interval, controls, sizes, what was chosen.
    predicted
        float32 [judged, …]; see `probing.scores`.
    ids, groups, labels
        Of the judged examples, in the same order.
    draws
        The first metric when groups are drawn again, float32 [draw]; empty where there are too few groups.
    inner
        Rows of settings that were compared inside the training part; see `Probed.inner`.
    seconds
        That it took; kept with the cell and not in its row, which is the same whenever it is computed.
    """

    row: dict[str, Any]
    predicted: np.ndarray
    ids: np.ndarray
    groups: np.ndarray
    labels: np.ndarray
    draws: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    inner: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = float("nan")


def key(
    task: Task, method: Method, weights: str | None, settings: Settings, seed: int, *, controlled: bool
) -> str:
    """Name of a cell by what it depends on: examples, method, weights, settings, recipe and seed; 24 hexadecimal digits."""
    from ntviz.benchmark import training

    recipe = training.recipe(method, settings) if method.family in ("tuned", "network") else None
    about = {
        "format": FORMAT,
        "task": task.checksum,
        "method": method.name,
        "weights": weights,
        "settings": settings.relevant(method),
        "recipe": None if recipe is None else asdict(recipe),
        "seed": seed,
        "controlled": controlled,
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:24]


def compute(
    task: Task,
    method: Method,
    model: Embedder | None,
    settings: Settings,
    *,
    seed: int,
    controlled: bool,
    store: Store | None,
    weights: str | None = None,
) -> Cell:
    """The cell, computed.

    Parameters
    ----------
    controlled
        Whether permuted labels, the control task and the learning curve are computed for a probe.
    store
        Of vectors.
    weights
        The model's `embeddings.fingerprint`, where it is known already.

    Raises
    ------
    ValueError
        The method cannot do this kind of task, or the task cannot be split as asked.
    """
    if task.kind not in method.kinds:
        raise ValueError(
            f"{method.label} does {', '.join(method.kinds)} tasks; {task.name} is {task.kind}."
            + (" Use head, ia3 or full." if task.kind == "per_base" else "")
        )
    started = time.monotonic()
    pooled, train = _arranged(task, settings, seed)
    if method.family == "probe":
        cell = _probe(task, method, model, settings, pooled, train, seed, controlled, store, weights)
    elif method.family == "chance":
        cell = _chance(task, pooled, train, settings, seed)
    else:
        cell = _trained(task, method, model, settings, pooled, train, seed)
    row, draws = _scored(task, cell, settings, seed)
    row = {**cell.row, **row}
    row["missing_controls"] = _missing(method, row)
    return replace(cell, row=row, draws=draws, seconds=round(time.monotonic() - started, 2))


def _arranged(task: Task, settings: Settings, seed: int) -> tuple[Examples, np.ndarray | None]:
    """All examples in one, and which are learned from: None where folds are to be made."""
    train, test = task.train, task.test
    if settings.train_cap is not None and len(train) > settings.train_cap:
        train = train.take(_evenly(train.labels, task.kind, settings.train_cap, seed))
    if test is None:
        return train, None
    pooled = Examples(
        np.concatenate(
            [np.char.add("train/", train.ids.astype(str)), np.char.add("test/", test.ids.astype(str))]
        ),
        np.concatenate([train.sequences, test.sequences]),
        np.concatenate([train.labels, test.labels]),
        np.concatenate([train.groups.astype(str), test.groups.astype(str)]),
    )
    given = np.arange(len(pooled)) < len(train)
    return pooled, None if settings.refold else given


def _evenly(labels: np.ndarray, kind: str, n: int, seed: int) -> np.ndarray:
    """Indices of n examples, as many of each class as there can be; at random where labels are no classes."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    if kind not in ("binary", "multiclass"):
        return np.sort(order[:n])
    # The first of each class, then the second of each, and so on.
    place = np.empty(len(labels), dtype=np.int64)
    for c in np.unique(labels):
        rows = order[labels[order] == c]
        place[rows] = np.arange(len(rows))
    return np.sort(order[np.argsort(place[order], kind="stable")[:n]])


# Probes -------------------------------------------------------------------------------------------------------------


def _features(
    method: Method,
    model: Embedder | None,
    settings: Settings,
    sequences: list[str],
    store: Store | None,
    weights: str | None,
) -> Mapping[Hashable, np.ndarray]:
    """Sets of vectors by name."""
    if method.needs_model:
        assert model is not None
        vectors = embeddings.embed(
            model,
            sequences,
            layers=settings.layers,
            pooling=settings.pooling,
            both_strands=settings.both_strands,
            store=store,
            weights=weights,
        )
        return {layer: vectors.layer(layer) for layer in vectors.layers}
    if method.name == "gc":
        return {"composition": plain_features.composition(sequences)}
    if method.name == "local31":
        return {"31 bp": plain_features.local_bases(sequences)}
    ks = plain_features.KS if method.name == "kmer" else (int(method.name.removeprefix("kmer")),)
    return {f"k = {k}": embeddings.kmer_frequencies(sequences, k) for k in ks}


def _probe(
    task: Task,
    method: Method,
    model: Embedder | None,
    settings: Settings,
    pooled: Examples,
    train: np.ndarray | None,
    seed: int,
    controlled: bool,
    store: Store | None,
    weights: str | None,
) -> Cell:
    features = _features(method, model, settings, pooled.sequences.tolist(), store, weights)
    how = method.name if method.needs_model else "logistic"
    probed = probing.probe(
        features,
        pooled.labels,
        pooled.groups,
        kind=task.kind,
        classes=len(task.classes),
        method=how,
        train=train,
        n_folds=settings.n_folds,
        seed=seed,
    )
    row: dict[str, Any] = {"chosen": "; ".join(dict.fromkeys(map(str, probed.chosen)))}
    if "loss" in probed.chosen_by:
        row["chosen"] += f" (by {probed.chosen_by}: {task.metric} is not defined inside)"
    if method.needs_model:
        row["layer"] = probed.chosen[0].features if len(probed.chosen) == 1 else None
    if controlled and (settings.permutations or settings.draws):
        row |= _controls(task, settings, pooled, features, probed, seed)
    inner = probed.inner.assign(features=probed.inner["features"].astype(str)).to_dict("records")
    return _cell(row, pooled, probed.judged, probed.predicted, inner)


def _controls(
    task: Task,
    settings: Settings,
    pooled: Examples,
    features: Mapping[Hashable, np.ndarray],
    probed: Probed,
    seed: int,
) -> dict[str, Any]:
    """Controls on the first split, with the setting chosen there."""
    first = probed.fold == probed.fold.min()
    held = probed.judged[first]
    learned = np.setdiff1d(np.arange(len(pooled)), held)
    score = probing.scores(task.kind, pooled.labels[held], probed.predicted[first])[task.metric]
    meaningless = None
    if task.kind in ("binary", "multiclass"):
        shares = np.bincount(pooled.labels[learned], minlength=len(task.classes))
        meaningless = probing.control_labels(
            pooled.sequences.tolist(), len(task.classes), shares=shares, seed=seed
        )
    found = probing.controls(
        features,
        pooled.labels,
        probed.chosen[0],
        kind=task.kind,
        classes=len(task.classes),
        learned=learned,
        held=held,
        score=score,
        meaningless=meaningless,
        permutations=settings.permutations,
        draws=settings.draws,
        seed=seed,
    )
    row: dict[str, Any] = {"control": found.control, "selectivity": found.selectivity(score), "p": found.p}
    defined = found.permuted[np.isfinite(found.permuted)]
    if len(defined):
        row |= {"permuted": float(defined.mean()), "permuted_high": float(np.quantile(defined, 0.975))}
    if found.curve is not None:
        for shots, value in zip(found.curve["shots"][:-1], found.curve["score"][:-1], strict=True):
            row[f"shot_{int(shots)}"] = float(value)
    return row


# Others -------------------------------------------------------------------------------------------------------------


def _chance(task: Task, pooled: Examples, train: np.ndarray | None, settings: Settings, seed: int) -> Cell:
    """Shares of the classes in the training part, for every example alike."""
    judged, predicted = [], []
    for learned, held in probing.splits(
        task.kind, pooled.labels, pooled.groups, train=train, n_folds=settings.n_folds, seed=seed
    ):
        labels = pooled.labels[learned]
        if task.kind in ("multilabel", "regression"):
            one = labels.mean(axis=0, dtype=np.float64)
        else:
            known = labels[labels >= 0]
            one = np.bincount(known, minlength=len(task.classes)) / max(1, len(known))
        shape = (len(held), *(pooled.labels.shape[1:] if task.kind == "per_base" else ()), len(task.classes))
        judged.append(held)
        predicted.append(np.broadcast_to(one, shape))
    return _cell({}, pooled, np.concatenate(judged), np.concatenate(predicted), [])


def _trained(
    task: Task,
    method: Method,
    model: Embedder | None,
    settings: Settings,
    pooled: Examples,
    train: np.ndarray | None,
    seed: int,
) -> Cell:
    """Fine-tuned models, and networks from nothing."""
    from ntviz.benchmark import training

    judged, predicted, told = [], [], []
    for learned, held in probing.splits(
        task.kind, pooled.labels, pooled.groups, train=train, n_folds=settings.n_folds, seed=seed
    ):
        found, row = training.train(task, method, model, settings, pooled, learned, held, seed)
        judged.append(held)
        predicted.append(found)
        told.append(row)
    row = dict(told[0]) if len(told) == 1 else {"trainable": told[0].get("trainable")}
    return _cell(row, pooled, np.concatenate(judged), np.concatenate(predicted), [])


def _cell(row: dict, pooled: Examples, judged: np.ndarray, predicted: np.ndarray, inner: list[dict]) -> Cell:
    return Cell(
        row,
        np.asarray(predicted, dtype=np.float32),
        pooled.ids[judged],
        pooled.groups[judged],
        pooled.labels[judged],
        inner=inner,
    )


def _scored(task: Task, cell: Cell, settings: Settings, seed: int) -> tuple[dict[str, Any], np.ndarray]:
    """Metrics and the interval of the first one, with the sizes; and the draws that the interval is of."""
    found = probing.scores(task.kind, cell.labels, cell.predicted)
    n = settings.bootstrap if task.kind != "per_base" else min(100, settings.bootstrap)
    draws = probing.redrawn(task.kind, cell.labels, cell.predicted, cell.groups, draws=n, seed=seed)
    low, high = probing.middle(draws)
    why = undefined(task.kind, cell.labels, cell.predicted, task.classes)
    lost = int((~np.isfinite(draws)).sum())
    note = f"{task.metric} is not defined: {why}" if why else ""
    if lost and not why:
        note = (
            f"{task.metric} is not defined in {lost:,} of {len(draws):,} draws, which the interval leaves out"
        )
    return {
        "metric": task.metric,
        "value": found[task.metric],
        "low": low,
        "high": high,
        "note": note,
        "groups": len(np.unique(cell.groups)),
        **found,
        "n_train": len(task.train)
        if settings.train_cap is None
        else min(len(task.train), settings.train_cap),
        "n_test": len(cell.ids),
    }, draws.astype(np.float32)


def _missing(method: Method, row: dict[str, Any]) -> str:
    """Which controls a result lacks, in words; empty if it has them all. The twin is known to the matrix alone."""
    if method.family == "chance":
        return ""
    wanted = {
        "interval": "low",
        "permuted labels": "p",
        "control task": "control",
        "learning curve": "shot_1",
    }
    return ", ".join(
        name for name, column in wanted.items() if not np.isfinite(row.get(column, float("nan")))
    )


# On disk ------------------------------------------------------------------------------------------------------------


def save(cell: Cell, folder: Path) -> None:
    """Keeps a cell in a folder of its own, which appears when all of it is there; one that is there already stays."""
    with environment.atomic_directory(folder, replace=False) as made:
        np.savez_compressed(
            made / "predictions.npz",
            predicted=cell.predicted,
            ids=cell.ids.astype(str),
            groups=cell.groups.astype(str),
            labels=cell.labels,
            draws=cell.draws,
        )
        told = {
            "row": _plain(cell.row),
            "inner": [_plain(row) for row in cell.inner],
            "seconds": cell.seconds,
        }
        (made / "cell.json").write_text(json.dumps(told, indent=1, allow_nan=False), encoding="utf-8")


def load(folder: Path) -> Cell:
    """A kept cell.

    Raises
    ------
    ValueError
        The folder is damaged.
    """
    try:
        kept = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
        with open(folder / "predictions.npz", "rb") as handle, np.load(handle, allow_pickle=False) as arrays:
            got = {name: arrays[name] for name in ("predicted", "ids", "groups", "labels", "draws")}
        row, *inner = (
            {name: np.nan if value is None else value for name, value in one.items()}
            for one in (kept["row"], *kept["inner"])
        )
        return Cell(row, inner=inner, seconds=kept.get("seconds", float("nan")), **got)
    except (OSError, *environment.DAMAGED) as error:
        raise ValueError(
            f"A finished cell must hold cell.json and predictions.npz, whole; {folder}: {error}. Delete the folder: the "
            "cell is then computed again."
        ) from error


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row for JSON, which has no nan: what is not defined is null."""
    values = {name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()}
    return {name: None if value != value else value for name, value in values.items()}
