"""Tasks by name, and the matrix of tasks by models by methods: done cells are never redone, a failed cell is a row that says why."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import embeddings, storage
from ntviz.benchmark import cells, chr20, reading, registry, tracks
from ntviz.benchmark.methods import METHODS, Method, Settings, suggestion
from ntviz.benchmark.methods import method as named
from ntviz.benchmark.task import Task

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.embeddings import Store
    from ntviz.models.protocol import Embedder

RESULTS = "results.parquet"
GROUP = "chr20"
"""Stands for all tasks that come with ntviz, but for the one by base, which probes cannot do."""
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


# Tasks by name --------------------------------------------------------------------------------------------------------


def find_task(name: str) -> Task:
    """The task of that name: one that comes with ntviz, or a path to examples; ValueError with the nearest names where there is none.

    `name`: one of `chr20.NAMES`, or a path to what `reading.read` takes, with the task behind a # if there are several, and with @revised
    or @original where it is a published one: then it is held to the classes, length and counts that were published
    ("downloads/promoter_tata@revised", "all.parquet#H3K9ac@original"). DeepSTARR's and DeepSEA's folders are known by their files.
    """
    if name in chr20.NAMES:
        return chr20.build(name)
    published = name.endswith(("@revised", "@original"))
    given, _, generation = name.rpartition("@") if published else (name, "", "")
    path, task = Path(given.partition("#")[0]), given.partition("#")[2]
    if not path.exists():
        raise ValueError(
            f"A task must be one of {', '.join(chr20.NAMES)}, or a file or folder of examples; received {name!r}."
            + (suggestion(name, chr20.NAMES) or " `ntviz benchmark tasks` lists what there is.")
        )
    if (path / "Sequences_Train.fa").is_file():
        return tracks.read_deepstarr(path)
    if (path / "test.mat").is_file():
        return tracks.read_deepsea(path)
    spec = registry.find(task or path.name.partition(".")[0], generation) if generation else None
    return reading.read(path, task=task or None, spec=spec)


def expand(names: Sequence[str] | str) -> list[str]:
    """The names with "chr20" replaced by all tasks of chromosome 20 that have one label a sequence, each once."""
    usual = [name for name in chr20.NAMES if "per_base" not in name]
    return list(dict.fromkeys(each for name in _several(names) for each in (usual if name == GROUP else [name])))


def _several(given: Any) -> list[Any]:
    """Tasks, models or methods as a list; one by itself is one."""
    return [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)


# The matrix -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Planned:
    """One cell that is to be there."""

    task: str
    model: str | None
    twin: bool
    method: Method
    seed: int

    def row(self, status: str, error: str = "") -> dict[str, Any]:
        """Of the table of results, without what is known when it is done."""
        method = self.method
        return {
            "task": self.task, "model": f"random twin of {self.model}" if self.twin else self.model or "",
            "twin_of": self.model if self.twin else "", "method": method.name, "label": method.label,
            "family": method.family, "seed": self.seed, "status": status, "error": error,
        }  # fmt: skip


def run(
    out: str | os.PathLike[str], *, tasks: Sequence[str | Task] | str | Task,
    models: Sequence[str | Embedder] | str | Embedder = (),
    methods: Sequence[str] | str = ("logistic", "kmer", "gc", "majority"), settings: Settings | None = None,
    seeds: Sequence[int] = (0,), twins: bool = True, shard: tuple[int, int] = (1, 1), store: Store | None = None,
    device: str = "auto", dtype: str = "float32", say: Callable[[str], None] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """The table of results, one row a cell; the same call again does only what is not done.

    A cell is found by what it depends on (examples, weights, method, settings, seed), not by names. Interrupted at any moment,
    finished cells stay.

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
    settings, seeds
        What is equal for all cells; each cell is done once a seed.
    twins
        Whether probes are done for each model randomly initialised too: what is owed to the architecture alone.
    shard
        (i, n): only every n-th cell, the i-th of n, counted from 1. Shards share the folder and write tables of their own;
        a call without shard then finds all cells done and writes results.parquet.
    store
        Of vectors; default: the one in ntviz's cache.
    say
        Called with a line after each cell, and with the notes of each task.

    Raises
    ------
    ValueError
        Names that are unknown, twice the same task or model, or nothing to do. What goes wrong later is in `error`.
    """
    chosen = [named(name) for name in dict.fromkeys(_several(methods))]
    given: dict[str, dict[str, Any]] = {}
    for what, entries in (("task", _several(tasks)), ("model", _several(models))):
        given[what] = {}
        for entry in entries:
            name = entry if isinstance(entry, str) else entry.name
            if name in given[what]:
                raise ValueError(f"Each {what} must be given once; received {name!r} twice.")
            given[what][name] = entry
    asking = [method for method in chosen if method.needs_model]
    if asking and not given["model"]:
        raise ValueError(f"{asking[0].name} needs a model; received none. Name one, such as ntviz-mini.")
    planned = list(_plan(list(given["task"]), list(given["model"]), chosen, seeds, twins))
    if not planned:
        raise ValueError("There must be a task and a method; received none. Name some.")
    mine = storage.share(len(planned), shard)
    folder = Path(out)
    with storage.writing(folder / "cells"):
        (folder / "cells").mkdir(parents=True, exist_ok=True)

    def task_of(name: str) -> Task:
        entry = given["task"][name]
        task = find_task(entry) if isinstance(entry, str) else entry
        if say is not None:
            for note in task.notes:
                say(f"{task.name}: {note}")
        return task

    def model_of(name: str) -> _Loaded:
        from ntviz import models

        entry = given["model"][name]
        return _Loaded(models.load(entry, device=device, dtype=dtype) if isinstance(entry, str) else entry)

    had = _once(task_of), _once(model_of, keep=1)
    settings, store = settings or Settings(), store or embeddings.Store()
    rows = [entry.row("pending") for entry in planned]
    place = folder / (RESULTS if shard[1] == 1 else f"results-{shard[0]}-of-{shard[1]}.parquet")
    try:
        for done, index in enumerate(mine):
            rows[index] = _done(planned[index], *had, settings, folder, store)
            _write(place, rows)
            if say is not None:
                say(f"{done + 1} of {len(mine)}: {_sentence(rows[index])}")
    finally:
        table = _write(place, rows)
    return table


def results(out: str | os.PathLike[str]) -> pd.DataFrame:
    """The table of results of a matrix, as `run` returned it last; FileNotFoundError where no matrix was run."""
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


def _plan(
    tasks: list[str], models: list[str], chosen: list[Method], seeds: Sequence[int], twins: bool
) -> Iterator[_Planned]:
    """Cells without a model first, then model by model, its twin with it: one is in memory at a time."""
    for model, task, method, seed in itertools.product([None, *models], tasks, chosen, seeds):
        if method.needs_model == (model is not None):
            yield _Planned(task, model, False, method, seed)
            if twins and model is not None and method.family == "probe":
                yield _Planned(task, model, True, method, seed)


def _once(make: Callable[[str], Any], keep: int | None = None) -> Callable[[str], Any]:
    """What is made of a name, made when first asked for, `keep` of them kept; what could not be made raises the same error each time."""
    had: dict[str, Any] = {}

    def ask(name: str) -> Any:
        if name not in had:
            if len(had) == keep:
                had.clear()
            try:
                had[name] = make(name)
            except Exception as error:  # noqa: BLE001  one task or model that cannot be had leaves the others to be done
                had[name] = error
        if isinstance(had[name], Exception):
            raise had[name]
        return had[name]

    return ask


class _Loaded:
    """A model with its fingerprint and its twins, each made once."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.weights = embeddings.fingerprint(model)
        self.twin = lru_cache(lambda seed: _Loaded(model.random_twin(seed)))


def _done(
    entry: _Planned, task_of: Callable[[str], Task], model_of: Callable[[str], _Loaded], settings: Settings,
    folder: Path, store: Store,
) -> dict[str, Any]:  # fmt: skip
    """The row of a cell: from disk, computed, or failed."""
    try:
        task, model, weights = task_of(entry.task), None, None
        if entry.model is not None:
            loaded = model_of(entry.model)
            loaded = loaded.twin(entry.seed) if entry.twin else loaded
            model, weights = loaded.model, loaded.weights
        how = cells.How(entry.method, settings, entry.seed, controlled=not entry.twin)
        key = cells.key(task, how, weights)
        place = folder / "cells" / f"{key}.npz"
        if place.exists():
            cell = cells.load(place)
        else:
            cell = cells.compute(task, how, model, weights, store)
            cells.save(cell, place)
    except Exception as error:  # noqa: BLE001  whatever it was, the other cells go on, and the row says it
        return entry.row("failed", f"{type(error).__name__}: {error}")
    about = {"category": task.category, "kind": task.kind, "cell": key}
    return {**entry.row("ok"), **about, **cell.row, "task": entry.task}


def _write(path: Path, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The table with the value of its twin beside each model's, and "random twin" among what a model's row lacks."""
    import pandas as pd

    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    for column in COLUMNS:
        if column in _TEXTS:
            table[column] = table[column].astype(object).where(table[column].notna(), "").astype(str)
        elif column in _COUNTS:
            table[column] = table[column].astype("Int64")
        elif column != "seed":
            table[column] = pd.to_numeric(table[column])
    by = ["task", "model", "method", "seed"]
    twins = table[(table["status"] == "ok") & (table["twin_of"] != "")]
    values = twins.set_index(["task", "twin_of", "method", "seed"])["value"].to_dict()
    table["twin"] = [values.get(key, np.nan) for key in table[by].itertuples(index=False, name=None)]
    asks = [name for name, method in METHODS.items() if method.needs_model]
    lacks = (table["status"] == "ok") & (table["twin_of"] == "") & table["method"].isin(asks) & table["twin"].isna()
    others = table.loc[lacks, "missing_controls"]
    table.loc[lacks, "missing_controls"] = ("random twin, " + others).str.removesuffix(", ")
    with storage.atomic_write(path) as handle:
        table.to_parquet(handle, index=False)
    return table


def _sentence(row: dict[str, Any]) -> str:
    who = ", ".join(filter(None, (row["task"], row["model"], row["label"])))
    if row["status"] != "ok":
        return f"{who}: {row['status']}: {row['error'].partition(chr(10))[0]}"
    if row["value"] != row["value"]:
        return f"{who}: {row['note']}"
    return f"{who}: {row['metric']} {row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
