"""One cell of the matrix: a task, a method, and a model where the method needs one; predictions and controls come back."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import embeddings, probing, statistics, storage
from ntviz.benchmark import methods
from ntviz.benchmark.methods import Method, Settings
from ntviz.benchmark.task import Examples, Task
from ntviz.probing.metrics import undefined

if TYPE_CHECKING:
    from ntviz.embeddings import Store
    from ntviz.models.protocol import Embedder
    from ntviz.probing import Probed

FORMAT = 3
"""Of cells; raised when what a number means changes, so that older cells are done again."""
_ARRAYS = ("predicted", "ids", "groups", "labels", "draws")


@dataclass(frozen=True, eq=False)
class Cell:
    """What came of one cell; ids, groups and labels are those of the judged examples, in the order of `predicted`."""

    row: dict[str, Any]  # of the table of results: metrics, interval, controls, sizes, what was chosen
    predicted: np.ndarray  # float32 [judged, …]; see `probing.scores`
    ids: np.ndarray
    groups: np.ndarray
    labels: np.ndarray
    # The first metric when groups are drawn again, float32 [draw]; empty where there are too few groups.
    draws: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    inner: list[dict[str, Any]] = field(
        default_factory=list
    )  # settings that were compared inside the training part
    seconds: float = float("nan")  # not in the row, which is the same whenever it is computed


def key(
    task: Task, method: Method, weights: str | None, settings: Settings, seed: int, *, controlled: bool
) -> str:
    """Name of a cell by what it depends on: examples, method, weights, settings, recipe and seed; 24 hexadecimal digits."""
    recipe = methods.recipe(method, settings) if method.family in ("tuned", "network") else None
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
    return storage.digest(about)[:24]


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
    """The cell, computed; `controlled`: with permuted labels, the control task and the learning curve of a probe."""
    if task.kind not in method.kinds:
        raise ValueError(
            f"{method.label} does {', '.join(method.kinds)} tasks; {task.name} is {task.kind}."
            + (" Use head, ia3 or full." if task.kind == "per_base" else "")
        )
    started = time.monotonic()
    pooled, train = _arranged(task, settings, seed)
    if method.family == "probe":
        cell = _probe(task, method, model, settings, pooled, train, seed, controlled, store, weights)
    else:
        splits = probing.splits(
            task.kind, pooled.labels, pooled.groups, train=train, n_folds=settings.n_folds, seed=seed
        )
        if method.family == "chance":
            cell = _chance(task, pooled, splits)
        else:
            cell = _trained(task, method, model, settings, pooled, splits, seed)
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
        return {"composition": methods.composition(sequences)}
    if method.name == "local31":
        return {"31 bp": methods.local_bases(sequences)}
    ks = methods.KS if method.name == "kmer" else (int(method.name.removeprefix("kmer")),)
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


def _chance(task: Task, pooled: Examples, splits: Iterable[tuple[np.ndarray, np.ndarray]]) -> Cell:
    """Shares of the classes in the training part, for every example alike."""
    judged, predicted = [], []
    for learned, held in splits:
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
    splits: Iterable[tuple[np.ndarray, np.ndarray]],
    seed: int,
) -> Cell:
    """Fine-tuned models, and networks from nothing."""
    judged, predicted, told = [], [], []
    for learned, held in splits:
        found, row = methods.train(task, method, model, settings, pooled, learned, held, seed)
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
    low, high = statistics.middle(draws)
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
    return ", ".join(name for name, column in wanted.items() if not np.isfinite(row.get(column, np.nan)))


# On disk ------------------------------------------------------------------------------------------------------------


def save(cell: Cell, path: Path) -> None:
    """Keeps a cell as an .npz with its rows as JSON; one that is there already stays."""
    if path.exists():
        return
    rows = {"row": _plain(cell.row), "inner": [_plain(row) for row in cell.inner]}
    arrays = {name: getattr(cell, name) for name in _ARRAYS}
    arrays |= {name: arrays[name].astype(str) for name in ("ids", "groups")}
    storage.save(path, {"format": FORMAT, **rows, "seconds": cell.seconds}, arrays)


def load(path: Path) -> Cell:
    """A kept cell; a ValueError says of a damaged file what to do."""
    about, arrays = storage.load(path, _ARRAYS, version=FORMAT)
    row, *inner = (
        {name: np.nan if value is None else value for name, value in one.items()}
        for one in (about["row"], *about["inner"])
    )
    return Cell(row, **arrays, inner=inner, seconds=about["seconds"])


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row for JSON, which has no nan: what is not defined is null."""
    values = {name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()}
    return {name: None if value != value else value for name, value in values.items()}
