"""The leaderboard: entries by task, by category and overall, with intervals; and which differences could be chance."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import probing
from ntviz.benchmark import matrix
from ntviz.statistics import false_discovery, middle

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """Entries, a model with a method or a method alone, on the tasks of a matrix.

    Attributes
    ----------
    tasks
        Columns [task, category, metric, entry, model, method, value, low, high, twin, p, selectivity, n_test, seeds,
        missing_controls, note]: one row a task and entry, means over seeds. `low` and `high` are a 95 % interval over groups. `value`
        is nan where the metric is not defined, for a test part of one class or a constant guess: `note` says why.
    categories
        Columns [category, entry, value, low, high, tasks]: means over the tasks of a category.
    overall
        Columns [entry, value, low, high, rank, tasks, of, note]: mean over all tasks and mean rank, best first; only over
        entries with every task have they one meaning, so value and rank are nan where a task is missing or not defined. A task that
        is not defined for any entry has no part in them: `of` counts the others.
    failed
        Rows of the results that are not ok.
    """

    tasks: pd.DataFrame
    categories: pd.DataFrame
    overall: pd.DataFrame
    failed: pd.DataFrame

    def __repr__(self) -> str:
        best = self.overall["entry"].iloc[0] if len(self.overall) else "nobody"
        return (
            f"Leaderboard({len(self.overall)} entries on {self.tasks['task'].nunique()} tasks, best overall: {best}; "
            f"{len(self.failed)} cells failed or not done)"
        )


def entry(model: str, label: str) -> str:
    """How an entry is called: "ntviz-mini, logistic probe", or "k-mers (3 to 6)"."""
    return f"{model}, {label}" if model else label


def leaderboard(out: str | os.PathLike[str]) -> Leaderboard:
    """The leaderboard of a matrix that was run into a folder; random twins are columns, not entries.

    Raises
    ------
    FileNotFoundError
        No matrix was run there.
    ValueError
        No cell is done.
    """
    import pandas as pd

    results = matrix.results(out)
    done = _done(results)
    failed = results[results["status"] != "ok"].reset_index(drop=True)
    if done.empty:
        why = failed["error"].iloc[0] if len(failed) else "no rows"
        raise ValueError(f"A leaderboard needs a finished cell; {out} has none: {why}")
    rows, draws = [], {}
    for (task, model, method), part in done.groupby(["task", "model", "method"], sort=False):
        first = part.iloc[0]
        name = entry(model, first["label"])
        known = [each for _, row in part.iterrows() if len(each := matrix.predictions(out, row).draws)]
        draws[task, name] = np.mean(known, axis=0) if known else np.zeros(0)
        low, high = middle(draws[task, name])
        row = {column: first[column] for column in ("task", "category", "metric")}
        row |= {"entry": name, "model": model, "method": method, "value": part["value"].mean(skipna=False)}
        row |= {"low": low, "high": high} | {name: part[name].mean() for name in ("twin", "p", "selectivity")}
        row |= {"n_test": int(first["n_test"]), "seeds": len(part)}
        row |= {"missing_controls": first["missing_controls"]}
        rows.append(row | {"note": "; ".join(dict.fromkeys(filter(None, part["note"])))})
    tasks = pd.DataFrame(rows)
    categories = _means(tasks, draws, ["category"])
    return Leaderboard(tasks, categories, _overall(tasks, draws), failed)


def comparisons(
    out: str | os.PathLike[str], *, against: str | None = None, draws: int = 2_000
) -> pd.DataFrame:
    """Paired tests between entries on each task, with Benjamini and Hochberg's correction over all of them.

    Columns [task, first, second, difference, low, high, p, q, groups]; difference is first less second in the task's
    first metric.

    Parameters
    ----------
    out
        Folder of a matrix.
    against
        One entry that all others are compared with; default: every pair.
    draws
        Of swaps and of groups; see `probing.compare`.

    Raises
    ------
    ValueError
        There is no such entry.
    """
    import pandas as pd

    done = _done(matrix.results(out))
    done = done[done["seed"] == done["seed"].min()] if len(done) else done
    names = [entry(row.model, row.label) for row in done.itertuples(index=False)]
    done = done.assign(entry=names)
    if against is not None and against not in names:
        raise ValueError(
            f"`against` must be an entry: {', '.join(dict.fromkeys(names))}; received {against!r}."
        )
    rows: list[dict[str, Any]] = []
    for task, part in done.groupby("task", sort=False):
        found = {row["entry"]: matrix.predictions(out, row) for _, row in part.iterrows()}
        for a, b in combinations(found, 2):
            if against in (None, a, b):
                a, b = (b, a) if a == against else (a, b)
                rows.append(
                    {"task": task, "first": a, "second": b} | _compared(found[a], found[b], part, draws)
                )
    table = pd.DataFrame(
        rows, columns=["task", "first", "second", "difference", "low", "high", "p", "groups", "note"]
    )
    return table.assign(q=false_discovery(table["p"].to_numpy(float)))


def layer_scores(out: str | os.PathLike[str]) -> pd.DataFrame:
    """What logistic probes saw of each layer inside their training parts: the score on inner folds, which chose the layer.

    Columns [task, model, twin, layer, score]; `twin` is True for the random twin of `model`. Layer 0 is the embedding. All at
    one strength of the penalty, that at which layers were compared. Never the score on held-out examples.

    Parameters
    ----------
    out
        Folder of a matrix; without a logistic probe of a model the table is empty.
    """
    import pandas as pd

    results = matrix.results(out)
    asked = results[(results["status"] == "ok") & (results["method"] == "logistic")]
    parts = []
    for _, row in asked.iterrows():
        inner = pd.DataFrame(matrix.predictions(out, row).inner)
        widest = inner.groupby("strength")["features"].nunique().idxmax()
        score = inner[inner["strength"] == widest].groupby("features")["score"].mean()
        parts.append(
            score.rename_axis("layer")
            .reset_index(name="score")
            .astype({"layer": int})
            .assign(task=row["task"], model=row["twin_of"] or row["model"], twin=bool(row["twin_of"]))
        )
    columns = ["task", "model", "twin", "layer", "score"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _done(results: pd.DataFrame) -> Any:
    """Finished cells, but for those of random twins."""
    return results[(results["status"] == "ok") & (results["twin_of"] == "")]


def _compared(first: Any, second: Any, part: pd.DataFrame, draws: int) -> dict[str, Any]:
    place = {name: index for index, name in enumerate(second.ids.tolist())}
    if set(place) != set(first.ids.tolist()):
        return {"groups": 0, "note": "judged on other examples"}
    order = np.array([place[name] for name in first.ids.tolist()])
    kind = part["kind"].iloc[0]
    found = probing.compare(
        kind,
        first.labels,
        first.predicted,
        second.predicted[order],
        first.groups,
        draws=draws if kind in ("binary", "multiclass") else min(draws, 200),
    )
    known = np.isfinite(found.difference)
    return {**asdict(found), "note": "" if known else "the metric is not defined for one of them"}


def _mean_draws(parts: list[np.ndarray]) -> np.ndarray:
    """Draws of the mean over tasks; empty where a task has none."""
    n = min(map(len, parts))
    return np.mean([part[:n] for part in parts], axis=0) if n else np.zeros(0)


def _means(tasks: pd.DataFrame, draws: dict, by: list[str]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for together, whole in tasks.groupby([*by, "entry"], sort=False):
        *keys, name = together if isinstance(together, tuple) else (together,)
        part = whole[whole["task"].isin(_defined(tasks))]
        value = part["value"].mean(skipna=False)
        low, high = np.nan, np.nan
        if np.isfinite(value):
            low, high = middle(_mean_draws([draws[task, name] for task in part["task"]]))
        row = {**dict(zip(by, keys, strict=True)), "entry": name, "value": value, "low": low, "high": high}
        rows.append(row | {"tasks": int(part["value"].notna().sum())})
    return pd.DataFrame(rows)


def _defined(tasks: pd.DataFrame) -> list[str]:
    """Tasks on which an entry at least has a value."""
    return tasks.loc[tasks["value"].notna(), "task"].unique().tolist()


def _overall(tasks: pd.DataFrame, draws: dict) -> pd.DataFrame:
    of = len(_defined(tasks))
    table = _means(tasks, draws, [])
    whole = table.loc[table["tasks"] == of, "entry"]
    among = tasks[tasks["entry"].isin(whole) & tasks["value"].notna()]
    unknown = tasks[tasks["value"].isna()]
    notes = (unknown["task"] + ": " + unknown["note"]).groupby(unknown["entry"]).agg("; ".join)
    rank = (
        among.assign(rank=among.groupby("task")["value"].rank(ascending=False))
        .groupby("entry")["rank"]
        .mean()
    )
    table = table.assign(
        rank=table["entry"].map(rank), of=of, note=[notes.get(name, "") for name in table["entry"]]
    )
    table.loc[table["tasks"] < of, ["value", "low", "high"]] = np.nan
    order = ["entry", "value", "low", "high", "rank", "tasks", "of", "note"]
    return table[order].sort_values("value", ascending=False, na_position="last", ignore_index=True)
