"""What a score is worth: rank statistics with intervals over genes, a null, and a baseline beside each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

HARM = {
    **dict.fromkeys(("llr", "base_llr", "wt_llr", "entropy", "cosine", "dot", "markov_llr"), -1),
    **dict.fromkeys(("l1", "l2", "alt_loss", "loss_diff", "jsd", "severity", "gc"), 1),
    **dict.fromkeys(("transition", "cpg_transition"), -1),
}
"""What a higher value of a score or baseline is held to mean: 1 graver, -1 less grave. Decided before looking."""
_EVALUATED = (
    *("stratum", "score", "statistic", "value", "low", "high", "null_low", "null_high"),
    *("difference", "difference_low", "difference_high", "n", "positives", "groups", "missing", "note"),
)
_BY_CLASS = (
    *(
        "score",
        "consequence",
        "n",
        "case_q1",
        "case_median",
        "case_q3",
        "control_q1",
        "control_median",
        "control_q3",
    ),
    *(
        "difference",
        "low",
        "high",
        "auroc",
        "raw",
        "raw_low",
        "raw_high",
        "matched",
        "matched_low",
        "matched_high",
    ),
    "note",
)
SMALLEST = 30
"""Variants of a stratum; smaller ones are not shown."""
FEWEST = 10
"""Variants of the rarer label of a stratum; fewer are not shown."""


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Chance that a positive scores higher than a negative, ties counted half; nan without both.

    Raises
    ------
    ValueError
        Labels that are not 0 and 1 or booleans, scores that are missing, or another number of them.

    Examples
    --------
    >>> auroc(np.array([1, 1, 0, 0]), np.array([3, 1, 1, 0]))
    0.875
    """
    labels, scores = _pairs(labels, scores)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = _ranks(scores)
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def auprc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision: the mean over positives of the precision where they are found; nan without any.

    Equal scores are found together. By guessing it is the share of positives.

    Raises
    ------
    ValueError
        As `auroc`.

    Examples
    --------
    >>> round(auprc(np.array([1, 0, 1]), np.array([3, 2, 1])), 3)
    0.833
    """
    labels, scores = _pairs(labels, scores)
    if not labels.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(labels[order])
    last = np.append(np.diff(scores[order]) != 0, True)
    hits, taken = found[last], np.flatnonzero(last) + 1
    return float((np.diff(hits, prepend=0) * hits / taken).sum() / labels.sum())


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Rank correlation, ties at their mean rank; nan where one of them does not vary.

    Raises
    ------
    ValueError
        Values that are missing or no numbers, or another number of them.

    Examples
    --------
    >>> spearman(np.array([1, 2, 3]), np.array([10, 30, 20]))
    0.5
    """
    a, b = (_ranks(values) for values in _numbers(first, second))
    a, b = a - a.mean(), b - b.mean()
    length = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / length) if length else float("nan")


def _pairs(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Labels bool and scores float64, one for each other."""
    labels, scores = _numbers(labels, scores)
    others = labels[(labels != 0) & (labels != 1)]
    if len(others):
        raise ValueError(f"Labels must be 0 and 1 or booleans; received {others[0]:g}. Pass a comparison.")
    return labels == 1, scores


def _numbers(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both float64 of one length, without missing values. Text is none, not even "0", as bool("0") is True."""
    arrays = np.asarray(first), np.asarray(second)
    try:
        if any(
            values.dtype.kind in "US" or isinstance(values.flat[0], str) for values in arrays if values.size
        ):
            raise ValueError("text")
        one, other = (values.astype(float) for values in arrays)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Labels and scores must be numbers or booleans, none missing; received {error}. Convert them, such as by label == 'pathogenic'."
        ) from error
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(
            f"There must be one label for each score; received shapes {list(one.shape)} and {list(other.shape)}."
        )
    missing = np.flatnonzero(np.isnan(one) | np.isnan(other))
    if len(missing):
        raise ValueError(
            f"Labels and scores must be there for every variant; {len(missing):,} of {len(one):,} are missing, the first at index "
            f"{missing[0]}. Leave these out."
        )
    return one, other


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties at their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def evaluate(
    table: pd.DataFrame,
    label: str,
    scores: Mapping[str, int],
    *,
    groups: str = "gene",
    strata: str | None = None,
    baseline: str | None = None,
    bootstrap: int = 1_000,
    permutations: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """How well scores order a label, one row a stratum, score and statistic.

    All scores of a stratum are compared on the same variants: those that have every one of them. Intervals are of a
    bootstrap over groups, because variants of one gene are no independent draws, with the same draws for all scores.

    Columns [stratum, score, statistic, value, low, high, null_low, null_high, difference, difference_low,
    difference_high, n, positives, groups, missing, note]. `null_low` and `null_high` hold 95 % of what shuffled labels
    give. `difference` is to the baseline. A stratum of fewer than 30 variants, or fewer than 10 of a label, is a row
    with the note "not shown".

    Parameters
    ----------
    table
        One row a variant.
    label
        Column: 0 and 1 for AUROC and AUPRC; other numbers, such as a measured effect, for a rank correlation. Rows
        without are left out.
    scores
        Columns, and their direction, 1 or -1: what higher values are held to mean, decided before looking.
    groups
        Column of what is resampled; each row by itself where it is empty or missing.
    strata
        Column whose values are looked at one by one, beside all rows together.
    baseline
        One of the scores.
    bootstrap, permutations
        Draws.

    Raises
    ------
    ValueError
        A column is missing, labels are text or infinite, a direction is not 1 or -1, or the baseline is not among the scores.
    """
    import pandas as pd

    wanted = [label, *scores, *([groups] if groups in table else []), *([strata] if strata else [])]
    missing = [name for name in wanted if name not in table]
    if missing or (baseline is not None and baseline not in scores):
        raise ValueError(
            f"Label, scores, strata and baseline must be columns of the table, the baseline one of the scores; received "
            f"{(missing or [baseline])[0]!r} among {', '.join(map(str, table.columns))}. Name one of these."
        )
    if any(direction not in (1, -1) for direction in scores.values()):
        raise ValueError(
            f"A direction must be 1 or -1; received {dict(scores)}. Decide it before looking at labels."
        )
    labelled = table[table[label].notna()]
    try:
        known = np.isfinite(labelled[label].to_numpy(float))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Labels must be numbers, 0 and 1 or a measured effect; column {label!r} holds text ({error}). Convert it, such as by == 'pathogenic'."
        ) from error
    if not known.all():
        raise ValueError(
            f"Labels must be finite; {int((~known).sum()):,} of column {label!r} are infinite. Leave these rows out."
        )
    parts = {"all": labelled}
    if strata:
        parts |= {str(name): part for name, part in labelled.groupby(strata, sort=True)}
    rows = []
    for name, part in parts.items():
        rows += _stratum(name, part, label, scores, groups, baseline, bootstrap, permutations, seed)
    return pd.DataFrame(rows, columns=list(_EVALUATED))


def brief(evaluated: pd.DataFrame) -> pd.DataFrame:
    """AUROC or rank correlation of `evaluate` to read: a row a score, a column a stratum, "value (low to high)".

    `attrs["not_shown"]` says which strata are too small.
    """
    import pandas as pd

    columns: dict[str, dict[str, str]] = {}
    for row in evaluated[evaluated["note"].eq("") & evaluated["statistic"].ne("AUPRC")].to_dict("records"):
        known = row["value"] == row["value"]
        said = f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})" if known else "does not vary"
        columns.setdefault(f"{row['stratum']} ({row['n']:,})", {})[row["score"]] = said
    table = pd.DataFrame(columns)
    small = evaluated[evaluated["note"].ne("")]
    table.attrs["not_shown"] = [
        f"{row.stratum} {row.note.removeprefix('not shown: ')}" for row in small.itertuples()
    ]
    return table


def _stratum(
    name: str,
    part: pd.DataFrame,
    label: str,
    scores: Mapping[str, int],
    groups: str,
    baseline: str | None,
    bootstrap: int,
    permutations: int,
    seed: int,
) -> list[dict[str, object]]:
    values = np.stack([part[score].to_numpy(float) * direction for score, direction in scores.items()])
    given = np.asarray(np.isfinite(values).all(axis=0))
    labels = part[label].to_numpy(float)[given]
    values = values[:, given]
    binary = set(np.unique(part[label].to_numpy(float))) <= {0.0, 1.0}
    statistics = {"AUROC": auroc, "AUPRC": auprc} if binary else {"Spearman": spearman}
    counts = {
        "n": len(labels),
        "positives": int(labels.sum()) if binary else 0,
        "missing": len(part) - len(labels),
    }
    rarer = min(counts["positives"], len(labels) - counts["positives"]) if binary else len(labels)
    if len(labels) < SMALLEST or rarer < FEWEST:
        note = f"not shown: {len(labels)} variants" + (f", {rarer} of the rarer label" if binary else "")
        return [{"stratum": name, "score": "", "statistic": "", **counts, "note": note}]
    members = _members(part, groups, given)
    rng = np.random.default_rng(seed)
    draws = [
        np.concatenate([members[at] for at in rng.integers(len(members), size=len(members))])
        for _ in range(bootstrap)
    ]
    shuffles = [rng.permutation(len(labels)) for _ in range(permutations)]
    rows = []
    for statistic, measure in statistics.items():
        again = np.array([[measure(labels[draw], one[draw]) for draw in draws] for one in values])
        own = [measure(labels, one) for one in values]
        against = list(scores).index(baseline) if baseline is not None else None
        for place, score in enumerate(scores):
            null = [measure(labels[shuffle], values[place]) for shuffle in shuffles]
            row: dict[str, object] = {
                "stratum": name,
                "score": score,
                "statistic": statistic,
                "value": own[place],
            }
            row |= dict(zip(("low", "high"), _interval(again[place]), strict=True))
            row |= dict(zip(("null_low", "null_high"), _interval(np.array(null)), strict=True))
            if against is not None and place != against:
                row["difference"] = own[place] - own[against]
                ends = _interval(again[place] - again[against])
                row |= dict(zip(("difference_low", "difference_high"), ends, strict=True))
            rows.append(row | counts | {"groups": len(members), "note": ""})
    return rows


def _members(part: pd.DataFrame, groups: str, given: np.ndarray) -> list[np.ndarray]:
    """Rows of each group; a row without a group is one by itself."""
    if groups not in part:
        return [np.array([row]) for row in range(int(given.sum()))]
    found: dict[str, list[int]] = {}
    for row, name in enumerate(part[groups].fillna("").astype(str).to_numpy()[given]):
        found.setdefault(name or f"\0{row}", []).append(row)
    return [np.array(rows) for rows in found.values()]


def _interval(values: np.ndarray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def severity(
    table: pd.DataFrame, scores: Mapping[str, int], *, bootstrap: int = 1_000, seed: int = 0
) -> pd.DataFrame:
    """Scores of simulated substitutions by consequence, each against controls of the same three bases.

    One row a score and consequence: median and quartiles of cases and of controls, the median of `case - control` with
    its interval over genes, and `auroc` of cases against controls in the score's direction. The row "rank correlation"
    of each score holds Spearman's correlation with severity over the cases, `raw`, and of `case - control`, `matched`.

    Parameters
    ----------
    table
        As from `variants.simulate`, with the scores added.
    scores
        Columns, and their direction: 1 if higher is held to be graver.
    bootstrap
        Draws of genes.

    Raises
    ------
    ValueError
        The table is not of pairs.
    """
    import pandas as pd

    lacking = [name for name in ("pair", "role", "consequence", "rank", *scores) if name not in table]
    if lacking:
        raise ValueError(
            f"Severity is asked of pairs, as variants.simulate makes them; received a table without {', '.join(lacking)}. "
            "Score such a table, and pass it whole."
        )
    cases, controls = (table[table["role"] == role].set_index("pair") for role in ("case", "control"))
    controls = controls.reindex(cases.index)
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for score, direction in scores.items():
        case, control = cases[score].to_numpy(float), controls[score].to_numpy(float)
        given = np.isfinite(case) & np.isfinite(control)
        gap = case - control
        for name in sorted(
            set(cases["consequence"]), key=lambda name: cases["rank"][cases["consequence"] == name].iloc[0]
        ):
            mine = given & (cases["consequence"] == name).to_numpy()
            row: dict[str, object] = {"score": score, "consequence": name, "n": int(mine.sum())}
            if mine.sum() < SMALLEST:
                rows.append(row | {"note": f"not shown: {int(mine.sum())} pairs"})
                continue
            medians = [
                np.median(gap[mine][draw])
                for draw in _gene_draws(cases["gene"].to_numpy()[mine], bootstrap, rng)
            ]
            for role, values in (("case", case[mine]), ("control", control[mine])):
                ends = np.percentile(values, [25, 50, 75])
                row |= dict(zip((f"{role}_q1", f"{role}_median", f"{role}_q3"), ends, strict=True))
            low, high = _interval(np.array(medians))
            labels = np.repeat([1, 0], int(mine.sum()))
            both = direction * np.concatenate([case[mine], control[mine]])
            row |= {
                "difference": np.median(gap[mine]),
                "low": low,
                "high": high,
                "auroc": auroc(labels, both),
            }
            rows.append(row | {"note": ""})
        rank = -cases["rank"].to_numpy(float)[given]
        draws = list(_gene_draws(cases["gene"].to_numpy()[given], bootstrap, rng))
        row = {"score": score, "consequence": "rank correlation", "n": int(given.sum()), "note": ""}
        for name, values in (("raw", direction * case[given]), ("matched", direction * gap[given])):
            low, high = _interval(np.array([spearman(values[draw], rank[draw]) for draw in draws]))
            row |= {name: spearman(values, rank), f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows, columns=list(_BY_CLASS))


def _gene_draws(
    genes: Sequence[str] | np.ndarray, count: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    found: dict[str, list[int]] = {}
    for row, name in enumerate(genes):
        found.setdefault(str(name) or f"\0{row}", []).append(row)
    members = [np.array(rows) for rows in found.values()]
    for _ in range(count):
        yield np.concatenate([members[at] for at in rng.integers(len(members), size=len(members))])
