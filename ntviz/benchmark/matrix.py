"""The matrix of tasks by models by methods: done cells are never redone, a failed cell is a row that says why."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import embeddings, environment
from ntviz.benchmark import cells
from ntviz.benchmark.finding import find_task, several
from ntviz.benchmark.methods import METHODS, Method
from ntviz.benchmark.methods import method as named
from ntviz.benchmark.settings import Settings
from ntviz.benchmark.task import Task

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.embeddings import Store
    from ntviz.models.protocol import Embedder

RESULTS = "results.parquet"
COLUMNS = (
    *("task", "category", "kind", "model", "twin_of", "method", "label", "family", "seed", "status", "error"),
    *("metric", "value", "low", "high", "groups", "twin", "mcc", "accuracy", "f1", "auroc", "auprc"),
    *("top_k", "pearson", "spearman", "mse", "permuted", "permuted_high", "p", "control", "selectivity"),
    *(
        "shot_1",
        "shot_10",
        "missing_controls",
        "layer",
        "chosen",
        "trainable",
        "n_train",
        "n_test",
    ),
    *("note", "cell"),
)
"""Of the table of results; what a row does not have is missing."""
_NUMBERS = (
    "value",
    "low",
    "high",
    "twin",
    *COLUMNS[COLUMNS.index("mcc") : COLUMNS.index("missing_controls")],
)
_TEXTS = (
    *("task", "category", "kind", "model", "twin_of", "method", "label", "family", "status", "error"),
    *("metric", "missing_controls", "chosen", "note", "cell"),
)


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
    mine = environment.share(len(planned), shard)
    folder = Path(out)
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    store = store or embeddings.Store()
    found_tasks = _Lazy(dict(zip(names, tasks, strict=True)), lambda given: _task(given, say))
    rows: list[dict[str, Any]] = [_row(entry, "pending", "") for entry in planned]
    found_models = _Lazy(
        dict(zip(model_names, models, strict=True)), lambda given: _model(given, device, dtype), keep=1
    )
    place = folder / (RESULTS if shard[1] == 1 else f"results-{shard[0]}-of-{shard[1]}.parquet")
    try:
        for done, index in enumerate(mine):
            entry = planned[index]
            rows[index] = _one(entry, found_tasks, found_models, settings, folder, store)
            _write(place, rows)
            if say is not None:
                say(f"{done + 1} of {len(mine)}: {_told(rows[index])}")
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
    return cells.load(Path(out) / "cells" / str(row["cell"]))


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
    """Things by name, made when first asked for; what could not be made raises the same error each time."""

    def __init__(self, given: dict[str, Any], make: Callable[[Any], Any], *, keep: int | None = None) -> None:
        self._given, self._make, self._keep = given, make, keep
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            if self._keep is not None:
                while len(self._made) >= self._keep:
                    del self._made[next(iter(self._made))]
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
        self._twins: dict[int, _Loaded] = {}

    def twin(self, seed: int) -> _Loaded:
        if seed not in self._twins:
            self._twins[seed] = _Loaded(self.model.random_twin(seed))
        return self._twins[seed]


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
        weights = loaded.weights if loaded is not None else None
        controlled = not entry.twin
        key = cells.key(task, entry.method, weights, settings, entry.seed, controlled=controlled)
        place = folder / "cells" / key
        if place.is_dir():
            cell = cells.load(place)
        else:
            cell = cells.compute(
                task,
                entry.method,
                loaded.model if loaded is not None else None,
                settings,
                seed=entry.seed,
                controlled=controlled,
                store=store,
                weights=weights,
            )
            cells.save(cell, place)
    except Exception as error:  # noqa: BLE001  whatever it was, the other cells go on, and the row says it
        return _row(entry, "failed", f"{type(error).__name__}: {error}")
    about = {"category": task.category, "kind": task.kind, "cell": key}
    return {**_row(entry, "ok", ""), **about, **cell.row, "task": entry.task}


def _row(entry: _Planned, status: str, error: str) -> dict[str, Any]:
    model = f"random twin of {entry.model}" if entry.twin else entry.model or ""
    return {
        "task": entry.task,
        "model": model,
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
    for column in _NUMBERS:
        table[column] = pd.to_numeric(table[column])
    for column in ("n_train", "n_test", "groups", "trainable", "layer"):
        table[column] = table[column].astype("Int64")
    for column in _TEXTS:
        table[column] = table[column].astype(object).where(table[column].notna(), "").astype(str)
    table = _with_twins(table)
    with environment.atomic_write(path) as handle:
        table.to_parquet(handle, index=False)
    return table


def _with_twins(table: pd.DataFrame) -> pd.DataFrame:
    """The value of its twin beside each model's, and "random twin" among what a model's row lacks."""
    twins = table[(table["twin_of"] != "") & (table["status"] == "ok")]
    value = {
        (row.task, row.twin_of, row.method, row.seed): row.value for row in twins.itertuples(index=False)
    }
    mine = [
        value.get(key, np.nan)
        for key in zip(table["task"], table["model"], table["method"], table["seed"], strict=True)
    ]
    table = table.assign(twin=mine)
    asks = {name for name, method in METHODS.items() if method.needs_model}
    lacks = (
        (table["status"] == "ok")
        & (table["twin_of"] == "")
        & table["method"].isin(asks)
        & table["twin"].isna()
    )
    said = ["random twin" + (f", {text}" if text else "") for text in table.loc[lacks, "missing_controls"]]
    table.loc[lacks, "missing_controls"] = said
    return table


def _told(row: dict[str, Any]) -> str:
    who = f"{row['model']}, {row['label']}" if row["model"] else row["label"]
    if row["status"] != "ok":
        return (
            f"{row['task']}, {who}: {row['status']}: {row['error'].splitlines()[0] if row['error'] else ''}"
        )
    if row["value"] != row["value"]:
        return f"{row['task']}, {who}: {row['note']}"
    return f"{row['task']}, {who}: {row['metric']} {row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
