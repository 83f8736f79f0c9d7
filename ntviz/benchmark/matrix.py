"""The matrix of tasks by models by methods: done cells are never redone, a failed cell is a row that says why."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import embeddings, storage
from ntviz.benchmark import cells
from ntviz.benchmark.methods import METHODS, Method, Settings
from ntviz.benchmark.methods import method as named
from ntviz.benchmark.reading import find_task, several
from ntviz.benchmark.task import Task

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.embeddings import Store
    from ntviz.models.protocol import Embedder

RESULTS = "results.parquet"
_TEXTS = (
    "task", "category", "kind", "model", "twin_of", "method", "label", "family", "status", "error", "metric", "missing_controls",
    "chosen", "note", "cell",
)  # fmt: skip
_COUNTS = ("groups", "layer", "trainable", "n_train", "n_test")
COLUMNS = (
    "task", "category", "kind", "model", "twin_of", "method", "label", "family", "seed", "status", "error", "metric", "value", "low",
    "high", "groups", "twin", "mcc", "accuracy", "f1", "auroc", "auprc", "top_k", "pearson", "spearman", "mse", "permuted",
    "permuted_high", "p", "control", "selectivity", "shot_1", "shot_10", "missing_controls", "layer", "chosen", "trainable", "n_train",
    "n_test", "note", "cell",
)  # fmt: skip
"""Of the table of results; what a row does not have is missing."""


@dataclass(frozen=True, eq=False)
class _Planned:
    """One cell that is to be there."""

    task: str
    model: str | None
    twin: bool
    method: Method
    seed: int


def run(
    out: str | os.PathLike[str],
    *,
    tasks: Sequence[str | Task],
    models: Sequence[str | Embedder] = (),
    methods: Sequence[str] = ("logistic", "kmer", "gc", "majority"),
    settings: Settings | None = None,
    seeds: Sequence[int] = (0,),
    twins: bool = True,
    shard: tuple[int, int] = (1, 1),
    store: Store | None = None,
    device: str = "auto",
    dtype: str = "float32",
    say: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """The table of results, one row a cell; the same call again does only what is not done.

    Parameters
    ----------
    out
        Folder of the matrix: cells/ and results.parquet.
    tasks
        Tasks, or what names them: see `benchmark.find_task`.
    models
        Models, or names that `models.load` takes. Methods without a model are done once a task.
    methods
        Names; see `benchmark.METHODS`.
    settings
        What is equal for all cells.
    seeds
        Each cell is done once a seed.
    twins
        Whether probes are done for a random twin of each model too: the control that says what is owed to the
        architecture alone.
    shard
        (i, n): only every n-th cell, the i-th of n, counted from 1. Shards share the folder and write tables of their own;
        a call without shard then finds all cells done and writes results.parquet.
    store
        Of vectors; default: the one in ntviz's cache.
    device, dtype
        For models given by name.
    say
        Called with a line after each cell, and with the notes of each task.

    Raises
    ------
    ValueError
        Names that are unknown, twice the same task or model, or nothing to do. What goes wrong later is in `error`.

    Notes
    -----
    A cell is found by what it depends on (examples, weights, method, settings, seed), not by names. Interrupted at any
    moment, finished cells stay.
    """
    settings = settings or Settings()
    tasks, models, methods = several(tasks), several(models), several(methods)
    chosen = [named(name) for name in dict.fromkeys(methods)]
    names = [entry if isinstance(entry, str) else entry.name for entry in tasks]
    model_names = [entry if isinstance(entry, str) else entry.name for entry in models]
    for what, given in (("task", names), ("model", model_names)):
        repeated = sorted({name for name in given if given.count(name) > 1})
        if repeated:
            raise ValueError(f"Each {what} must be given once; received {repeated[0]!r} twice.")
    asking = [method for method in chosen if method.needs_model]
    if asking and not models:
        raise ValueError(f"{asking[0].name} needs a model; received none. Name one, such as ntviz-mini.")
    planned = list(_plan(names, model_names, chosen, seeds, twins))
    if not planned:
        raise ValueError("There must be a task and a method; received none. Name some.")
    mine = storage.share(len(planned), shard)
    folder = Path(out)
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    store = store or embeddings.Store()
    found_tasks = _Lazy(names, tasks, lambda given: _task(given, say))
    found_models = _Lazy(model_names, models, lambda given: _model(given, device, dtype), keep=1)
    rows = [_row(entry, "pending") for entry in planned]
    place = folder / (RESULTS if shard[1] == 1 else f"results-{shard[0]}-of-{shard[1]}.parquet")
    try:
        for done, index in enumerate(mine):
            rows[index] = _one(planned[index], found_tasks, found_models, settings, folder, store)
            _write(place, rows)
            if say is not None:
                say(f"{done + 1} of {len(mine)}: {_sentence(rows[index])}")
    finally:
        table = _write(place, rows)
    return table


def results(out: str | os.PathLike[str]) -> pd.DataFrame:
    """The table of results of a matrix, as `run` returned it last.

    Raises
    ------
    FileNotFoundError
        No matrix was run there.
    """
    import pandas as pd

    path = Path(out) / RESULTS
    if not path.is_file():
        raise FileNotFoundError(
            f"A matrix must hold {RESULTS}; {out} does not. Run `ntviz benchmark run --out {out}` first."
        )
    table = pd.read_parquet(path)
    # Folders of older versions have no notes.
    return table if "note" in table else table.assign(note="")


def predictions(out: str | os.PathLike[str], row: Any) -> cells.Cell:
    """The cell of a row of results, with its predictions."""
    return cells.load(Path(out) / "cells" / f"{row['cell']}.npz")


# Planning -----------------------------------------------------------------------------------------------------------


def _plan(
    tasks: list[str], models: list[str], chosen: list[Method], seeds: Sequence[int], twins: bool
) -> Iterator[_Planned]:
    """Cells without a model first, then model by model, its twin with it: one is in memory at a time."""
    for task in tasks:
        for method in chosen:
            if not method.needs_model:
                yield from (_Planned(task, None, False, method, seed) for seed in seeds)
    for model in models:
        for task in tasks:
            for method in chosen:
                if method.needs_model:
                    for seed in seeds:
                        yield _Planned(task, model, False, method, seed)
                        if twins and method.family == "probe":
                            yield _Planned(task, model, True, method, seed)


class _Lazy:
    """Things by name, made when first asked for, `keep` of them kept; what could not be made raises the same error each time."""

    def __init__(
        self, names: list[str], given: list[Any], make: Callable[[Any], Any], *, keep: int | None = None
    ) -> None:
        self._given, self._make, self._keep = dict(zip(names, given, strict=True)), make, keep
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            if len(self._made) == self._keep:
                self._made.clear()
            try:
                self._made[name] = self._make(self._given[name])
            except Exception as error:  # noqa: BLE001  one task or model that cannot be had leaves the others to be done
                self._made[name] = error
        if isinstance(self._made[name], Exception):
            raise self._made[name]
        return self._made[name]


def _task(given: str | Task, say: Callable[[str], None] | None) -> Task:
    found = find_task(given) if isinstance(given, str) else given
    if say is not None:
        for note in found.notes:
            say(f"{found.name}: {note}")
    return found


class _Loaded:
    """A model with its fingerprint and its twins, each made once."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.weights = embeddings.fingerprint(model)
        self.twin = lru_cache(lambda seed: _Loaded(model.random_twin(seed)))


def _model(given: str | Embedder, device: str, dtype: str) -> _Loaded:
    from ntviz import models

    return _Loaded(models.load(given, device=device, dtype=dtype) if isinstance(given, str) else given)


# Computing ----------------------------------------------------------------------------------------------------------


def _one(
    entry: _Planned, tasks: _Lazy, models: _Lazy, settings: Settings, folder: Path, store: Store
) -> dict[str, Any]:
    """The row of a cell: from disk, computed, or failed."""
    try:
        task = tasks[entry.task]
        loaded = models[entry.model] if entry.model is not None else None
        if loaded is not None and entry.twin:
            loaded = loaded.twin(entry.seed)
        model, weights = (loaded.model, loaded.weights) if loaded is not None else (None, None)
        about = {"seed": entry.seed, "controlled": not entry.twin}
        key = cells.key(task, entry.method, weights, settings, **about)
        place = folder / "cells" / f"{key}.npz"
        if place.exists():
            cell = cells.load(place)
        else:
            cell = cells.compute(task, entry.method, model, settings, **about, store=store, weights=weights)
            cells.save(cell, place)
    except Exception as error:  # noqa: BLE001  whatever it was, the other cells go on, and the row says it
        return _row(entry, "failed", f"{type(error).__name__}: {error}")
    done = {"category": task.category, "kind": task.kind, "cell": key}
    return {**_row(entry, "ok"), **done, **cell.row, "task": entry.task}


def _row(entry: _Planned, status: str, error: str = "") -> dict[str, Any]:
    return {
        "task": entry.task,
        "model": f"random twin of {entry.model}" if entry.twin else entry.model or "",
        "twin_of": entry.model if entry.twin else "",
        "method": entry.method.name,
        "label": entry.method.label,
        "family": entry.method.family,
        "seed": entry.seed,
        "status": status,
        "error": error,
    }


def _write(path: Path, rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    for column in COLUMNS:
        if column in _TEXTS:
            table[column] = table[column].astype(object).where(table[column].notna(), "").astype(str)
        elif column in _COUNTS:
            table[column] = table[column].astype("Int64")
        elif column != "seed":
            table[column] = pd.to_numeric(table[column])
    table = _with_twins(table)
    with storage.atomic_write(path) as handle:
        table.to_parquet(handle, index=False)
    return table


def _with_twins(table: pd.DataFrame) -> pd.DataFrame:
    """The value of its twin beside each model's, and "random twin" among what a model's row lacks."""
    by = ["task", "model", "method", "seed"]
    twins = table[(table["twin_of"] != "") & (table["status"] == "ok")]
    value = twins.set_index(["task", "twin_of", "method", "seed"])["value"].to_dict()
    table = table.assign(
        twin=[value.get(key, np.nan) for key in table[by].itertuples(index=False, name=None)]
    )
    asks = [name for name, method in METHODS.items() if method.needs_model]
    mine = (table["status"] == "ok") & (table["twin_of"] == "") & table["method"].isin(asks)
    lacks = mine & table["twin"].isna()
    said = ["random twin" + (f", {text}" if text else "") for text in table.loc[lacks, "missing_controls"]]
    table.loc[lacks, "missing_controls"] = said
    return table


def _sentence(row: dict[str, Any]) -> str:
    who = (
        f"{row['task']}, {row['model']}, {row['label']}" if row["model"] else f"{row['task']}, {row['label']}"
    )
    if row["status"] != "ok":
        return f"{who}: {row['status']}: {row['error'].partition(chr(10))[0]}"
    if row["value"] != row["value"]:
        return f"{who}: {row['note']}"
    return f"{who}: {row['metric']} {row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
