"""What a score is worth: rank statistics with intervals over genes, a null, and a baseline beside each; and known effects."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import statistics
from ntviz.environment import encoding_of
from ntviz.variants.options import check
from ntviz.variants.vcf import VcfFile

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

HARM = {
    **dict.fromkeys(("llr", "base_llr", "llr_calibrated", "base_llr_calibrated", "wt_llr"), -1),
    **dict.fromkeys(("entropy", "cosine", "dot", "markov_llr"), -1),
    **dict.fromkeys(("l1", "l2", "alt_loss", "loss_diff", "jsd", "severity", "gc"), 1),
    **dict.fromkeys(("transition", "cpg_transition"), -1),
}
"""What a higher value of a score or baseline is held to mean: 1 graver, -1 less grave. Decided before looking."""
_EVALUATED = "stratum score statistic value low high null_low null_high difference difference_low difference_high n positives groups missing note"
_BY_CLASS = (
    "score consequence n case_q1 case_median case_q3 control_q1 control_median control_q3 difference low high auroc raw raw_low "
    "raw_high matched matched_low matched_high note"
)
SMALLEST, FEWEST = 30, 10
"""Variants of a stratum, and of the rarer label in it; smaller ones are not shown."""


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Chance that a positive scores higher than a negative, ties counted half; nan without both."""
    return statistics.auroc(*_pairs(labels, scores))


def auprc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision, equal scores found together; by guessing the share of positives; nan without any."""
    return statistics.auprc(*_pairs(labels, scores))


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Rank correlation, ties at their mean rank; nan where one of them does not vary."""
    return statistics.spearman(*_numbers(first, second))


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
        if any(part.dtype.kind in "US" or isinstance(part.flat[0], str) for part in arrays if part.size):
            raise ValueError("text")
        one, other = (part.astype(float) for part in arrays)
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


def evaluate(
    table: pd.DataFrame, label: str, scores: Mapping[str, int], *, groups: str = "gene", strata: str | None = None,
    baseline: str | None = None, bootstrap: int = 1_000, permutations: int = 200, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """How well scores order a label, one row a stratum, score and statistic.

    All scores of a stratum are compared on the same variants: those that have every one of them. Intervals are of a
    bootstrap over groups, because variants of one gene are no independent draws, with the same draws for all scores.

    Columns [stratum, score, statistic, value, low, high, null_low, null_high, difference, difference_low,
    difference_high, n, positives, groups, missing, note]. `null_low` and `null_high` hold 95 % of what shuffled labels
    give. `difference` is to the baseline. A stratum of fewer than 30 variants, or fewer than 10 of a label, is a row
    with the note "not shown".

    Parameters
    ----------
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
    """
    import pandas as pd

    wanted = [label, *scores, *([groups] if groups in table else []), *([strata] if strata else [])]
    missing = [name for name in wanted if name not in table] or [baseline] * (baseline not in (None, *scores))
    columns = ", ".join(map(str, table.columns))
    check(
        (not missing, "Label, scores, strata and baseline must be columns of the table, the baseline one of the scores", (missing or [""])[0],
         f"Name one of {columns}."),
        (set(scores.values()) <= {1, -1}, "A direction must be 1 or -1", dict(scores), "Decide it before looking at labels."),
    )  # fmt: skip
    labelled = table[table[label].notna()]
    try:
        infinite = ~np.isfinite(labelled[label].to_numpy(float))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Labels must be numbers, 0 and 1 or a measured effect; column {label!r} holds text ({error}). Convert it, such as by == 'pathogenic'."
        ) from error
    if infinite.any():
        raise ValueError(
            f"Labels must be finite; {int(infinite.sum()):,} of column {label!r} are infinite. Leave these rows out."
        )
    parts = {"all": labelled}
    if strata:
        parts |= {str(name): part for name, part in labelled.groupby(strata, sort=True)}

    def stratum(name: str, part: pd.DataFrame) -> Iterator[dict[str, Any]]:
        values = np.stack([part[score].to_numpy(float) * direction for score, direction in scores.items()])
        given = np.asarray(np.isfinite(values).all(axis=0))
        labels, values = part[label].to_numpy(float)[given], values[:, given]
        binary = set(np.unique(part[label].to_numpy(float))) <= {0.0, 1.0}
        positives = int(labels.sum()) if binary else 0
        counts = {"n": len(labels), "positives": positives, "missing": len(part) - len(labels)}
        rarer = min(positives, len(labels) - positives) if binary else len(labels)
        if len(labels) < SMALLEST or rarer < FEWEST:
            note = f"not shown: {len(labels)} variants" + (f", {rarer} of the rarer label" if binary else "")
            yield {"stratum": name, "score": "", "statistic": "", **counts, "note": note}
            return
        measures = (
            {"AUROC": statistics.auroc, "AUPRC": statistics.auprc} if binary else {"Spearman": statistics.spearman}
        )
        rng = np.random.default_rng(seed)
        named = part[groups].fillna("").to_numpy()[given] if groups in part else [""] * len(labels)
        draws, known = _draws(named, bootstrap, rng)
        shuffles = [rng.permutation(len(labels)) for _ in range(permutations)]
        against = None if baseline is None else list(scores).index(baseline)
        for statistic, measure in measures.items():
            value = [measure(labels, one) for one in values]
            again = np.array([[measure(labels[draw], one[draw]) for draw in draws] for one in values])
            for place, score in enumerate(scores):
                null = [measure(labels[shuffle], values[place]) for shuffle in shuffles]
                row = {"stratum": name, "score": score, "statistic": statistic, "value": value[place]}
                row |= _ends("", again[place]) | _ends("null_", null)
                if against is not None and place != against:
                    row["difference"] = value[place] - value[against]
                    row |= _ends("difference_", again[place] - again[against])
                yield row | counts | {"groups": known, "note": ""}

    rows = [row for one in parts.items() for row in stratum(*one)]
    return pd.DataFrame(rows, columns=_EVALUATED.split())


def brief(evaluated: pd.DataFrame) -> pd.DataFrame:
    """AUROC or rank correlation of `evaluate` to read: a row a score, a column a stratum, "value (low to high)".

    `attrs["not_shown"]` says which strata are too small.
    """
    import pandas as pd

    columns: dict[str, dict[str, str]] = {}
    for row in evaluated[evaluated["note"].eq("") & evaluated["statistic"].ne("AUPRC")].to_dict("records"):
        interval = f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
        text = interval if row["value"] == row["value"] else "does not vary"
        columns.setdefault(f"{row['stratum']} ({row['n']:,})", {})[row["score"]] = text
    table = pd.DataFrame(columns)
    small = evaluated[evaluated["note"].ne("")]
    table.attrs["not_shown"] = [f"{row.stratum} {row.note.removeprefix('not shown: ')}" for row in small.itertuples()]
    return table


def _draws(groups: Iterable[object], draws: int, rng: np.random.Generator) -> tuple[list[np.ndarray], int]:
    """Rows of each draw of whole groups, and how many groups there are; a row without a group is one by itself."""
    import pandas as pd

    which, names = pd.factorize(np.array([str(name) or f"\0{row}" for row, name in enumerate(groups)]))
    return list(statistics.rows_of(which, statistics.draw_groups(len(names), draws, rng))), len(names)


def _ends(name: str, draws: Any) -> dict[str, Any]:
    return dict(zip((f"{name}low", f"{name}high"), statistics.middle(draws), strict=True))


def severity(table: pd.DataFrame, scores: Mapping[str, int], *, bootstrap: int = 1_000, seed: int = 0) -> pd.DataFrame:
    """Scores of simulated substitutions by consequence, each against controls of the same three bases.

    One row a score and consequence: median and quartiles of cases and of controls, the median of `case - control` with
    its interval over genes, and `auroc` of cases against controls in the score's direction. The row "rank correlation"
    of each score holds Spearman's correlation with severity over the cases, `raw`, and of `case - control`, `matched`.

    `table` is as from `variants.simulate`, with the scores added; `scores` are columns, and their direction: 1 if higher
    is held to be graver.
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
    genes = cases["gene"].to_numpy()
    consequences = cases.groupby("consequence")["rank"].first().sort_values(kind="stable").index
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for score, direction in scores.items():
        case, control = cases[score].to_numpy(float), controls[score].to_numpy(float)
        given = np.isfinite(case) & np.isfinite(control)
        gap = case - control
        for name in consequences:
            mine = given & (cases["consequence"] == name).to_numpy()
            row: dict[str, Any] = {"score": score, "consequence": name, "n": int(mine.sum())}
            if mine.sum() < SMALLEST:
                rows.append(row | {"note": f"not shown: {int(mine.sum())} pairs"})
                continue
            medians = [np.median(gap[mine][draw]) for draw in _draws(genes[mine], bootstrap, rng)[0]]
            for role, values in (("case", case[mine]), ("control", control[mine])):
                ends = np.percentile(values, [25, 50, 75])
                row |= dict(zip((f"{role}_q1", f"{role}_median", f"{role}_q3"), ends, strict=True))
            row |= {"difference": np.median(gap[mine])} | _ends("", medians)
            both = direction * np.concatenate([case[mine], control[mine]])
            row["auroc"] = statistics.auroc(np.repeat([1, 0], int(mine.sum())), both)
            rows.append(row | {"note": ""})
        rank = -cases["rank"].to_numpy(float)[given]
        row = {"score": score, "consequence": "rank correlation", "n": int(given.sum()), "note": ""}
        draws, _ = _draws(genes[given], bootstrap, rng)
        for name, values in (("raw", direction * case[given]), ("matched", direction * gap[given])):
            row[name] = statistics.spearman(values, rank)
            row |= _ends(f"{name}_", [statistics.spearman(values[draw], rank[draw]) for draw in draws])
        rows.append(row)
    return pd.DataFrame(rows, columns=_BY_CLASS.split())


_CODES = dict(zip("02345", ("uncertain_significance", "benign", "likely_benign", "likely_pathogenic", "pathogenic"), strict=True))  # fmt: skip
"""Verdicts of ClinVar's VCFs before October 2017."""


def read_clinvar(path: str | Path) -> pd.DataFrame:
    """Variants of a ClinVar VCF with a clear verdict: chrom, pos (1-based), id, ref, alt, gene, significance, pathogenic.

    `pathogenic` is 1 for pathogenic or likely pathogenic and 0 for benign or likely benign. Conflicting, uncertain and
    others are left out, and `attrs["counts"]` says how many of each. Reads NCBI's own files (CLNSIG, GENEINFO), those from
    before October 2017, whose CLNSIG is numbers of the alleles in CLNALLE, and others with PATHOGENIC, CONFLICTED and GENE.
    """
    import pandas as pd

    names = ["chrom", "pos", "id", "ref", "alt", "gene", "significance", "pathogenic"]
    rows, counts, unclear = [], Counter(), ""
    with VcfFile(path) as file:
        for record in file:
            if record.problem:
                counts["malformed"] += 1
                continue
            info = record.info
            gene = info.get("GENE") or info.get("GENEINFO", "").partition(":")[0]
            for number, alt in enumerate(record.alts, start=1):
                significance, verdict = _significance(info, number), clinvar_verdict(info, number)
                counts[verdict] += 1
                if verdict in ("pathogenic", "benign"):
                    place = (record.chrom, record.pos, record.id, record.ref, alt)
                    rows.append((*place, gene, significance, int(verdict == "pathogenic")))
                else:
                    unclear = unclear or significance
    if not rows:
        held = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.most_common()) or "no variant"
        raise ValueError(
            f"A ClinVar VCF must have CLNSIG in its INFO that says pathogenic or benign; {path} holds {held}"
            f"{f', the first {unclear[:40]!r}' if unclear else ''}. Fetch one with `ntviz data fetch clinvar-grch37`."
        )
    table = pd.DataFrame(rows, columns=names)
    table.attrs["counts"] = dict(counts.most_common())
    return table


def _significance(info: Mapping[str, str], number: int) -> str:
    """CLNSIG of an alternative, from 1; empty where it has none."""
    text = info.get("CLNSIG", "")
    if "CLNALLE" not in info:
        return text
    alleles = zip(text.split(","), info["CLNALLE"].split(","), strict=False)
    return ",".join(verdict for verdict, allele in alleles if allele == str(number))


def clinvar_verdict(info: Mapping[str, str], number: int) -> str:
    """What ClinVar's INFO says of an alternative, from 1: pathogenic, benign, conflicting, and so on."""
    significance, conflicted = _significance(info, number), info.get("CONFLICTED") == "1"
    if not significance:
        return "no CLNSIG"
    terms = {_CODES.get(term.strip(), term.strip().lower()) for term in re.split("[|/,]", significance)}
    bad, good = terms & {"pathogenic", "likely_pathogenic"}, terms & {"benign", "likely_benign"}
    if conflicted or (bad and good) or any(term.startswith("conflicting") for term in terms):
        return "conflicting"
    return "pathogenic" if bad else "benign" if good else "uncertain or other"


def read_mpra(path: str | Path) -> pd.DataFrame:
    """Measured effects of a saturation mutagenesis: chrom, pos (1-based), ref, alt, effect (log2), p_value, barcodes.

    The table is that of Kircher et al. 2019 (Chrom, Pos, Ref, Alt, Barcodes, DNA, RNA, Coefficient, pValue), tab-separated.
    Deletions, written with "-", and rows without a position are left out, and `attrs["counts"]` says how many.
    """
    import pandas as pd

    given = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, encoding=encoding_of(path))
    names = {"Chrom": "chrom", "Pos": "pos", "Ref": "ref", "Alt": "alt", "Coefficient": "effect", "pValue": "p_value", "Barcodes": "barcodes"}  # fmt: skip
    lacking = [name for name in names if name not in given]
    if lacking:
        raise ValueError(
            f"A table of measured effects must have the columns {', '.join(names)}; {path} lacks {', '.join(lacking)}. "
            "Rename its columns."
        )
    table = given[list(names)].rename(columns=names)
    for name in ("pos", "effect", "p_value", "barcodes"):
        table[name] = pd.to_numeric(table[name], errors="coerce")  # R writes 1e+05 and NA
    bases = table["ref"].isin(list("ACGT")) & table["alt"].isin(list("ACGT")) & (table["pos"] % 1 == 0)
    result = table[bases].astype({"pos": "int64"}).reset_index(drop=True)
    result.attrs["counts"] = {"substitutions": int(bases.sum()), "left out": int((~bases).sum())}
    return result
