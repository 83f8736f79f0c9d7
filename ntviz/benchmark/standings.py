"""The leaderboard: entries by task, by category and overall, with intervals; and which differences could be chance."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import probing
from ntviz.benchmark import matrix
from ntviz.probing.labels import BY_CLASS
from ntviz.statistics import false_discovery, middle

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.benchmark.cells import Cell


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """Entries, a model with a method or a method alone, on the tasks of a matrix.

    `tasks` has one row a task and entry, means over seeds, with a 95 % interval over groups; `value` is nan where the metric is not
    defined, for a test part of one class or a constant guess: `note` says why. `overall` is best first, by the mean over all tasks;
    only over entries with every task has it one meaning, so value and rank are nan where a task is missing or not defined. A task that
    is not defined for any entry has no part in it: `of` counts the others.
    """

    # [task, category, metric, entry, model, method, value, low, high, twin, p, selectivity, n_test, seeds, missing_controls, note]
    tasks: pd.DataFrame
    categories: pd.DataFrame  # [category, entry, value, low, high, tasks]: means over the tasks of a category
    overall: pd.DataFrame  # [entry, value, low, high, rank, tasks, of, note]
    failed: pd.DataFrame  # rows of the results that are not ok

    def __repr__(self) -> str:
        best = self.overall["entry"].iloc[0] if len(self.overall) else "nobody"
        return (
            f"Leaderboard({len(self.overall)} entries on {self.tasks['task'].nunique()} tasks, best overall: {best}; "
            f"{len(self.failed)} cells failed or not done)"
        )


def _finished(results: pd.DataFrame) -> pd.DataFrame:
    """Finished cells, but for those of random twins, with what an entry is called: "ntviz-mini, logistic probe"."""
    done = results[(results["status"] == "ok") & (results["twin_of"] == "")]
    return done.assign(entry=(done["model"] + ", " + done["label"]).str.removeprefix(", "))


def leaderboard(out: str | os.PathLike[str]) -> Leaderboard:
    """The leaderboard of a matrix; random twins are columns, not entries. FileNotFoundError or ValueError where no cell is done."""
    import pandas as pd

    results = matrix.results(out)
    done = _finished(results)
    failed = results[results["status"] != "ok"].reset_index(drop=True)
    if done.empty:
        why = failed["error"].iloc[0] if len(failed) else "no rows"
        raise ValueError(f"A leaderboard needs a finished cell; {out} has none: {why}")
    rows, draws = [], {}
    for _, part in done.groupby(["task", "entry"], sort=False):
        first, means = part.iloc[0], part[["twin", "p", "selectivity"]].mean()
        place = first["task"], first["entry"]
        known = [each for _, row in part.iterrows() if len(each := matrix.predictions(out, row).draws)]
        draws[place] = np.mean(known, axis=0) if known else np.zeros(0)
        low, high = middle(draws[place])
        row = {column: first[column] for column in ("task", "category", "metric", "entry", "model", "method")}
        row |= {"value": part["value"].mean(skipna=False), "low": low, "high": high} | means.to_dict()
        row |= {"n_test": int(first["n_test"]), "seeds": len(part), "missing_controls": first["missing_controls"]}
        rows.append(row | {"note": "; ".join(dict.fromkeys(filter(None, part["note"])))})
    tasks = pd.DataFrame(rows)
    return Leaderboard(tasks, _means(tasks, draws, ["category"]), _overall(tasks, draws), failed)


def comparisons(out: str | os.PathLike[str], *, against: str | None = None, draws: int = 2_000) -> pd.DataFrame:
    """Paired tests between entries on each task, with Benjamini and Hochberg's correction over all of them.

    Columns [task, first, second, difference, low, high, p, groups, note, q]; difference is first less second in the task's first
    metric. `against`: one entry that all others are compared with, ValueError where there is none; default: every pair.
    `draws` of swaps and of groups: see `probing.compare`.
    """
    import pandas as pd

    done = _finished(matrix.results(out))
    done = done[done["seed"] == done["seed"].min()]
    names = done["entry"].unique()
    if against is not None and against not in names:
        raise ValueError(f"`against` must be an entry: {', '.join(names)}; received {against!r}.")
    rows: list[dict[str, Any]] = []
    for task, part in done.groupby("task", sort=False):
        held = {row["entry"]: matrix.predictions(out, row) for _, row in part.iterrows()}
        for a, b in combinations(held, 2):
            if against in (None, a, b):
                a, b = (b, a) if a == against else (a, b)
                compared = _compared(held[a], held[b], part["kind"].iloc[0], draws)
                rows.append({"task": task, "first": a, "second": b} | compared)
    columns = ["task", "first", "second", "difference", "low", "high", "p", "groups", "note"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(q=false_discovery(table["p"].to_numpy(float)))


def _compared(first: Cell, second: Cell, kind: str, draws: int) -> dict[str, Any]:
    place = {name: index for index, name in enumerate(second.ids.tolist())}
    if set(place) != set(first.ids.tolist()):
        return {"groups": 0, "note": "judged on other examples"}
    other = second.predicted[[place[name] for name in first.ids.tolist()]]
    draws = draws if kind in BY_CLASS else min(draws, 200)
    compared = probing.compare(kind, first.labels, first.predicted, other, first.groups, draws=draws)
    known = np.isfinite(compared.difference)
    return asdict(compared) | {"note": "" if known else "the metric is not defined for one of them"}


def layer_scores(out: str | os.PathLike[str]) -> pd.DataFrame:
    """What logistic probes saw of each layer inside their training parts: the score on inner folds, which chose the layer.

    Columns [task, model, twin, layer, score]; `twin` is True for `model` randomly initialised. Layer 0 is the embedding. All at
    one strength of the penalty, that at which layers were compared. Never the score on held-out examples. The table is empty
    without a logistic probe of a model.
    """
    import pandas as pd

    results = matrix.results(out)
    columns = ["task", "model", "twin", "layer", "score"]
    parts = []
    for _, row in results[(results["status"] == "ok") & (results["method"] == "logistic")].iterrows():
        inner = pd.DataFrame(matrix.predictions(out, row).inner).astype({"features": int})
        widest = inner.groupby("strength")["features"].nunique().idxmax()
        score = inner[inner["strength"] == widest].groupby("features")["score"].mean()
        about = {"task": row["task"], "model": row["twin_of"] or row["model"], "twin": bool(row["twin_of"])}
        parts.append(score.rename_axis("layer").reset_index().assign(**about)[columns])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _means(tasks: pd.DataFrame, draws: dict, by: list[str]) -> pd.DataFrame:
    """Means over the tasks of each group and entry, of those on which an entry at least has a value."""
    import pandas as pd

    defined = _defined(tasks)
    rows = []
    for _, whole in tasks.groupby([*by, "entry"], sort=False):
        keys = whole[[*by, "entry"]].iloc[0].tolist()
        part = whole[whole["task"].isin(defined)]
        value, low, high = part["value"].mean(skipna=False), np.nan, np.nan
        if np.isfinite(value):
            each = [draws[task, keys[-1]] for task in part["task"]]
            # Empty where a task has too few groups for draws.
            low, high = middle(np.mean([some[: min(map(len, each))] for some in each], axis=0))
        rows.append((*keys, value, low, high, int(part["value"].notna().sum())))
    return pd.DataFrame(rows, columns=[*by, "entry", "value", "low", "high", "tasks"])


def _defined(tasks: pd.DataFrame) -> list[str]:
    """Tasks on which an entry at least has a value."""
    return tasks.loc[tasks["value"].notna(), "task"].unique().tolist()


def _overall(tasks: pd.DataFrame, draws: dict) -> pd.DataFrame:
    table, of = _means(tasks, draws, []), len(_defined(tasks))
    whole = table.loc[table["tasks"] == of, "entry"]
    among = tasks[tasks["entry"].isin(whole) & tasks["value"].notna()]
    rank = among.groupby("task")["value"].rank(ascending=False).groupby(among["entry"]).mean()
    unknown = tasks[tasks["value"].isna()]
    notes = (unknown["task"] + ": " + unknown["note"]).groupby(unknown["entry"]).agg("; ".join)
    table = table.assign(rank=table["entry"].map(rank), of=of, note=[notes.get(name, "") for name in table["entry"]])
    table.loc[table["tasks"] < of, ["value", "low", "high"]] = np.nan
    order = ["entry", "value", "low", "high", "rank", "tasks", "of", "note"]
    return table[order].sort_values("value", ascending=False, na_position="last", ignore_index=True)
