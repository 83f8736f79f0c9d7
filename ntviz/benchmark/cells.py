"""One cell of the matrix: a task, a method, and a model where the method needs one; predictions and controls come back."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import embeddings, probing, statistics, storage
from ntviz.benchmark import methods
from ntviz.benchmark.methods import TRAINED, Method, Settings
from ntviz.benchmark.task import Examples, Task
from ntviz.probing.labels import BY_CLASS
from ntviz.probing.metrics import undefined

if TYPE_CHECKING:
    from ntviz.embeddings import Store
    from ntviz.models.protocol import Embedder
    from ntviz.probing import Probed

FORMAT = 3
"""Of cells; raised when what a number means changes, so that older cells are done again."""
_ARRAYS = ("predicted", "ids", "groups", "labels", "draws")
_CONTROLS = {"interval": "low", "permuted labels": "p", "control task": "control", "learning curve": "shot_1"}
"""Controls of a result, and the column that says whether it has one."""
_Split = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class How:
    """How a task is solved; `controlled`: with permuted labels, the control task and the learning curve of a probe."""

    method: Method
    settings: Settings
    seed: int = 0
    controlled: bool = True


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
    inner: list[dict[str, Any]] = field(default_factory=list)  # settings compared inside the training part
    seconds: float = float("nan")  # not in the row, which is the same whenever it is computed


def key(task: Task, how: How, weights: str | None) -> str:
    """Name of a cell by what it depends on: examples, method, weights, settings, recipe and seed; 24 hexadecimal digits."""
    trained = how.method.family in TRAINED
    about = {
        "format": FORMAT, "task": task.checksum, "method": how.method.name, "weights": weights,
        "settings": how.settings.relevant(how.method), "seed": how.seed, "controlled": how.controlled,
        "recipe": asdict(methods.recipe(how.method, how.settings)) if trained else None,
    }  # fmt: skip
    return storage.digest(about)[:24]


def compute(
    task: Task, how: How, model: Embedder | None = None, weights: str | None = None, store: Store | None = None
) -> Cell:
    """The cell, computed; `weights` is the fingerprint of the model, `store` keeps its vectors."""
    method, settings = how.method, how.settings
    if task.kind not in method.kinds:
        raise ValueError(
            f"{method.label} does {', '.join(method.kinds)} tasks; {task.name} is {task.kind}."
            + (" Use head, ia3 or full." if task.kind == "per_base" else "")
        )
    started = time.monotonic()
    pooled, train = _arranged(task, how)
    inner: list[dict[str, Any]] = []
    if method.family == "probe":
        features = _features(how, model, pooled.sequences.tolist(), weights, store)
        probed = probing.probe(
            features, pooled.labels, pooled.groups, kind=task.kind, classes=len(task.classes),
            method=method.name if method.needs_model else "logistic", train=train, n_folds=settings.n_folds, seed=how.seed,
        )  # fmt: skip
        row = _probed(task, how, pooled, features, probed)
        judged, predicted = probed.judged, probed.predicted
        inner = probed.inner.assign(features=probed.inner["features"].astype(str)).to_dict("records")
    else:
        splits = probing.splits(
            task.kind, pooled.labels, pooled.groups, train=train, n_folds=settings.n_folds, seed=how.seed
        )
        chance = method.family == "chance"
        parts = [
            (_chance(task, pooled, split), {}) if chance else _trained(task, how, model, pooled, split)
            for split in splits
        ]
        predicted = np.concatenate([part for part, _ in parts])
        judged = np.concatenate([held for _, held in splits])
        row = parts[0][1] if len(parts) == 1 else {"trainable": parts[0][1].get("trainable")}
    predicted = np.asarray(predicted, dtype=np.float32)
    cell = Cell(row, predicted, pooled.ids[judged], pooled.groups[judged], pooled.labels[judged], inner=inner)
    row, draws = _scored(task, how, cell)
    return replace(cell, row=row, draws=draws, seconds=round(time.monotonic() - started, 2))


def _arranged(task: Task, how: How) -> tuple[Examples, np.ndarray | None]:
    """All examples in one, and which are learned from: None where folds are to be made."""
    train, test, cap = task.train, task.test, how.settings.train_cap
    if cap is not None and len(train) > cap:
        train = train.take(_evenly(train.labels, task.kind, cap, how.seed))
    if test is None:
        return train, None
    pooled = Examples(
        [*(f"train/{name}" for name in train.ids), *(f"test/{name}" for name in test.ids)],
        np.concatenate([train.sequences, test.sequences]),
        np.concatenate([train.labels, test.labels]),
        np.concatenate([train.groups.astype(str), test.groups.astype(str)]),
    )
    return pooled, None if how.settings.refold else np.arange(len(pooled)) < len(train)


def _evenly(labels: np.ndarray, kind: str, n: int, seed: int) -> np.ndarray:
    """Indices of n examples, as many of each class as there can be; at random where labels are no classes."""
    order = np.random.default_rng(seed).permutation(len(labels))
    if kind in BY_CLASS:
        # The first of each class, then the second of each, and so on.
        place = np.empty(len(labels), dtype=np.int64)
        for c in np.unique(labels):
            rows = order[labels[order] == c]
            place[rows] = np.arange(len(rows))
        order = order[np.argsort(place[order], kind="stable")]
    return np.sort(order[:n])


def _features(
    how: How, model: Embedder | None, sequences: list[str], weights: str | None, store: Store | None
) -> Mapping[Hashable, np.ndarray]:
    """Sets of vectors by name."""
    name, settings = how.method.name, how.settings
    if how.method.needs_model:
        assert model is not None
        vectors = embeddings.embed(
            model, sequences, layers=settings.layers, pooling=settings.pooling, both_strands=settings.both_strands, store=store,
            weights=weights,
        )  # fmt: skip
        return {layer: vectors.layer(layer) for layer in vectors.layers}
    if name == "gc":
        return {"composition": methods.composition(sequences)}
    if name == "local31":
        return {"31 bp": methods.local_bases(sequences)}
    ks = methods.KS if name == "kmer" else (int(name.removeprefix("kmer")),)
    return {f"k = {k}": embeddings.kmer_frequencies(sequences, k) for k in ks}


def _probed(
    task: Task, how: How, pooled: Examples, features: Mapping[Hashable, np.ndarray], probed: Probed
) -> dict[str, Any]:
    """What was chosen, and controls on the first split, with the setting chosen there."""
    settings, n_classes = how.settings, len(task.classes)
    row: dict[str, Any] = {"chosen": "; ".join(dict.fromkeys(map(str, probed.chosen)))}
    if "loss" in probed.chosen_by:
        row["chosen"] += f" (by {probed.chosen_by}: {task.metric} is not defined inside)"
    if how.method.needs_model:
        row["layer"] = probed.chosen[0].features if len(probed.chosen) == 1 else None
    if not how.controlled or not (settings.permutations or settings.draws):
        return row
    first = probed.fold == probed.fold.min()
    held = probed.judged[first]
    learned = np.setdiff1d(np.arange(len(pooled)), held)
    score = probing.scores(task.kind, pooled.labels[held], probed.predicted[first])[task.metric]
    meaningless = None
    if task.kind in BY_CLASS:
        shares = np.bincount(pooled.labels[learned], minlength=n_classes)
        texts = pooled.sequences.tolist()
        meaningless = probing.control_labels(texts, n_classes, shares=shares, seed=how.seed)
    controls = probing.controls(
        features, pooled.labels, probed.chosen[0], kind=task.kind, classes=n_classes, learned=learned, held=held, score=score,
        meaningless=meaningless, permutations=settings.permutations, draws=settings.draws, seed=how.seed,
    )  # fmt: skip
    row |= {"control": controls.control, "selectivity": controls.selectivity(score), "p": controls.p}
    defined = controls.permuted[np.isfinite(controls.permuted)]
    if len(defined):
        row |= {"permuted": float(defined.mean()), "permuted_high": float(np.quantile(defined, 0.975))}
    if controls.curve is not None:
        few = controls.curve[:-1]
        row |= {f"shot_{shots}": score for shots, score in zip(few["shots"], few["score"], strict=True)}
    return row


def _chance(task: Task, pooled: Examples, split: _Split) -> np.ndarray:
    """Shares of the classes in the training part, for every example alike."""
    labels, n_classes = pooled.labels[split[0]], len(task.classes)
    if task.kind in ("multilabel", "regression"):
        share = labels.mean(axis=0, dtype=np.float64)
    else:
        known = labels[labels >= 0]
        share = np.bincount(known, minlength=n_classes) / max(1, len(known))
    bases = pooled.labels.shape[1:] if task.kind == "per_base" else ()
    return np.broadcast_to(share, (len(split[1]), *bases, n_classes))


def _trained(task: Task, how: How, model: Any, pooled: Examples, split: _Split) -> tuple[np.ndarray, dict[str, Any]]:
    """Predictions of a fine-tuned model or a network for the examples held out, and cells of the row.

    A tenth of the groups of what is learned from is set aside to choose the best state.
    """
    from ntviz import finetuning

    learned, held = split
    part = pooled.take(learned)
    given = part.sequences.tolist(), part.labels
    about: dict[str, Any] = {"kind": task.kind, "outputs": len(task.classes), "groups": part.groups, "seed": how.seed}
    about["recipe"] = methods.recipe(how.method, how.settings)
    if how.method.family == "tuned":
        tuned = finetuning.tune(model, *given, method=how.method.name, **about)
    else:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(how.seed)
            made = finetuning.network(how.method.name, outputs=len(task.classes), per_base=task.kind == "per_base")
        tuned = finetuning.train_network(made, *given, **about)
    steps = f"step {tuned.best_step:,} of {tuned.recipe.steps:,}"
    row = {"trainable": tuned.trainable, "chosen": f"{steps} by {tuned.chosen_by}, ended by {tuned.stopped}"}
    return tuned.predict(pooled.sequences[held].tolist()), row


def _scored(task: Task, how: How, cell: Cell) -> tuple[dict[str, Any], np.ndarray]:
    """The row with metrics, the interval of the first one and sizes; and the draws that the interval is of."""
    settings = how.settings
    values = probing.scores(task.kind, cell.labels, cell.predicted)
    n = settings.bootstrap if task.kind != "per_base" else min(100, settings.bootstrap)
    draws = probing.redrawn(task.kind, cell.labels, cell.predicted, cell.groups, draws=n, seed=how.seed)
    low, high = statistics.middle(draws)
    note, lost = "", int((~np.isfinite(draws)).sum())
    if why := undefined(task.kind, cell.labels, cell.predicted, task.classes):
        note = f"{task.metric} is not defined: {why}"
    elif lost:
        note = f"{task.metric} is not defined in {lost:,} of {len(draws):,} draws, which the interval leaves out"
    sizes = {
        "groups": len(np.unique(cell.groups)),
        "n_train": min(len(task.train), settings.train_cap or len(task.train)),
        "n_test": len(cell.ids),
    }
    first = {"metric": task.metric, "value": values[task.metric], "low": low, "high": high, "note": note}
    row = cell.row | first | values | sizes
    # The randomly initialised model is known to the matrix alone.
    wanted = {} if how.method.family == "chance" else _CONTROLS
    lacks = [name for name, column in wanted.items() if not np.isfinite(row.get(column, np.nan))]
    return row | {"missing_controls": ", ".join(lacks)}, draws.astype(np.float32)


def save(cell: Cell, path: Path) -> None:
    """Keeps a cell as an .npz with its rows as JSON; one that is there already stays."""
    if path.exists():
        return
    arrays = {name: getattr(cell, name) for name in _ARRAYS}
    arrays |= {name: arrays[name].astype(str) for name in ("ids", "groups")}
    row, *inner = map(_plain, (cell.row, *cell.inner))
    storage.save(path, {"format": FORMAT, "row": row, "inner": inner, "seconds": cell.seconds}, arrays)


def load(path: Path) -> Cell:
    """A kept cell; a ValueError says of a damaged file what to do."""
    about, arrays = storage.load(path, _ARRAYS, version=FORMAT)
    rows = about["row"], *about["inner"]
    row, *inner = ({name: np.nan if value is None else value for name, value in one.items()} for one in rows)
    return Cell(row, **arrays, inner=inner, seconds=about["seconds"])


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row for JSON, which has no nan: what is not defined is null."""
    values = {name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()}
    return {name: None if value != value else value for name, value in values.items()}
