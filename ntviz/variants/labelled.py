"""Labelled variants: files of the usual layouts, negatives by stated rules, and regions that share no gene and no base read."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.environment import encoding_of, lines_of
from ntviz.genome import Interval, canonical_contig
from ntviz.genome.sequence import reverse_complement
from ntviz.reference import Reference
from ntviz.storage import TABLES
from ntviz.variants.consequences import consequence
from ntviz.variants.evaluation import clinvar_verdict
from ntviz.variants.options import check
from ntviz.variants.survey import Table
from ntviz.variants.vcf import VcfFile

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.annotation import Annotation

UNLABELLED = {
    "no_label": "the label is missing, or says neither yes nor no",
    "no_alleles": "the file names no two alleles, one of which the reference has there",
    "above_p": "the p-value is not below the limit, or of another category",
    "no_match": "no free negative within reach, by the rules asked for",
    "conflicting": "the same allele stands in the file with another label",
}
"""Why a labelled variant is not learned from, beside the statuses of `variants.alleles.STATUSES`."""
_GRASP = {"chr(hg19)": "chrom", "pos(hg19)": "pos", "SNPid(dbSNP134)": "id", "Pvalue": "p_value", "PaperPhenotypeCategories": "category", "dbSNPalleles/het/se": "alleles", "InGene": "gene"}  # fmt: skip
_COLUMNS = ("chrom", "pos", "id", "ref", "alt", "gene", "label", "status", "note")


def read_labelled(
    path: str | Path, label: str | None = None, *, scores: Sequence[str] = (), reference: Reference | None = None,
    below: float = 1e-12, category: str = "",
) -> pd.DataFrame:  # fmt: skip
    """Labelled variants of a file, one row an allele in its order; a line that gives none keeps its row, with a status that says why.

    Columns [chrom, pos (1-based), id, ref, alt, gene, label, status, note] and `scores`; `attrs["counts"]` has the statuses.
    `variants.learn` takes the rows whose status is "ok". Layouts:

    - ClinVar's VCFs, by CLNSIG: 1 and 0 as in `read_clinvar`; what has no clear verdict is "no_label".
    - VCFs as HGMD's, by CLASS: 1 for DM (disease-causing); DM?, DP, FP, DFP and R are "no_label". MUT=REF, where the reference
      itself carries the mutation, is "no_label" too.
    - GRASP 2's table (tab-separated, hg19): 1 where Pvalue is `below` and PaperPhenotypeCategories holds `category` (any case;
      such as "Gene expression" or "Methylation"); it has no reference allele, so `reference` says which of the two alleles it is.
      A SNP of several lines is one row, its smallest p.
    - any other VCF or table: `label` names its INFO key or column, of numbers.

    Negatives of HGMD's and GRASP's come from `variants.negatives`.

    Parameters
    ----------
    scores
        INFO keys or columns of other scores, such as CADD or phyloP, kept as numbers, NaN where there is none.

    References
    ----------
    Leslie et al. (2014) Bioinformatics 30:i185, for GRASP; Stenson et al. (2020) Human Genetics 139:1197, for HGMD.
    """
    import pandas as pd

    path = Path(path)
    check((path.is_file(), "A file of labelled variants must exist", str(path), "Check the path."))
    first = next((text for _, text in lines_of(path)), "") if path.suffix != ".parquet" else ""
    if {"chr(hg19)", "pos(hg19)"} <= set(first.rstrip("\n").split("\t")):
        rows: Any = _of_grasp(path, reference, below, category)
    elif path.suffix in TABLES:
        rows = _of_table(path, label or "label", scores)
    else:
        with VcfFile(path) as file:
            known = {key for line in file.header.lines for key in re.findall(r"##INFO=<ID=([^,>]+)", line)}
        if label is None and not known & {"CLASS", "CLNSIG"}:
            raise ValueError(
                f"A labelled VCF must say which INFO key is the label; {path.name} has {', '.join(sorted(known)[:12]) or 'none in its header'}. "
                "Pass label='KEY', or a file with CLNSIG (ClinVar) or CLASS (HGMD)."
            )
        rows = _of_vcf(path, label or ("CLNSIG" if "CLNSIG" in known else "CLASS"), scores)
    result = pd.DataFrame(list(rows), columns=[*_COLUMNS, *scores]).astype({"pos": "int64", "label": float})
    result.attrs["counts"] = dict(Counter(result["status"]).most_common())
    if not (result["status"] == "ok").any():
        held = ", ".join(f"{n:,} {name}" for name, n in result.attrs["counts"].items()) or "nothing"
        raise ValueError(
            f"A file of labelled variants must have one with a label; {path.name} holds {held}. Check label= and limits."
        )
    return result


def _of_vcf(path: Path, label: str, scores: Sequence[str]) -> Iterator[tuple]:
    with VcfFile(path) as file:
        for record in file:
            info = record.info
            gene = info.get("GENE") or info.get("GENEINFO", "").partition(":")[0]
            for number, alt in enumerate(record.alts or ("",)):
                text = _at(info.get(label, ""), number)
                value = _number(text)
                if label == "CLNSIG":
                    text = clinvar_verdict(info, number + 1)
                    value = {"pathogenic": 1.0, "benign": 0.0}.get(text, math.nan)
                elif label == "CLASS":
                    value = 1.0 if text == "DM" and info.get("MUT", "ALT") == "ALT" else math.nan
                status = (
                    "malformed" if record.problem else "missing" if not alt else "ok" if value == value else "no_label"
                )
                note = record.problem or ("" if status == "ok" else text)
                others = [_number(_at(info.get(name, ""), number)) for name in scores]
                yield (record.chrom, record.pos, record.id, record.ref, alt, gene, value if status == "ok" else math.nan, status, note, *others)  # fmt: skip


def _at(text: str, number: int) -> str:
    """The value of an alternative, from 0: its own of several, or the one that all share."""
    parts = text.split(",")
    return parts[number] if number < len(parts) else parts[0] if len(parts) == 1 else ""


def _number(text: Any) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan


def _of_table(path: Path, label: str, scores: Sequence[str]) -> Iterator[tuple]:
    table = Table.read(path)
    lacking = [name for name in (label, *scores) if name not in table.given]
    check((not lacking, "The label and scores must be columns of the table", "".join(lacking[:1]),
           f"Name some of {', '.join(map(str, table.given.columns))}."))  # fmt: skip
    columns = [table.given[name].tolist() for name in (label, *scores)]
    genes = table.given["gene"].astype(str).tolist() if "gene" in table.given else [""] * table.records
    for record, gene, text, *others in zip(table, genes, *columns, strict=True):
        value = _number(text)
        status = "malformed" if record.problem else "ok" if value == value else "no_label"
        note = record.problem or ("" if status == "ok" else str(text))
        yield (record.chrom, record.pos, record.id, record.ref, "".join(record.alts), gene, value, status, note, *map(_number, others))  # fmt: skip


def _of_grasp(path: Path, reference: Reference | None, below: float, category: str) -> Iterator[tuple]:
    import pandas as pd

    if reference is None:
        raise ValueError("GRASP's table has no reference allele: a reference must say it; received none. Pass reference=, of hg19.")  # fmt: skip
    given = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, encoding=encoding_of(path), quoting=3)
    lacking = [name for name in _GRASP if name not in given and name != "InGene"]
    check((not lacking, f"A table as GRASP's must have the columns {', '.join(_GRASP)}", lacking, "Take GRASP2fullDataset."))  # fmt: skip
    table = given.reindex(columns=list(_GRASP), fill_value="").set_axis(list(_GRASP.values()), axis=1)
    table["p_value"] = pd.to_numeric(table["p_value"], errors="coerce")
    # The smallest p of each SNP stands for it; a line without a place is by itself.
    wanted = table["category"].str.contains(category, case=False, regex=False) & (table["p_value"] < below)
    table = table.assign(wanted=wanted).sort_values(["wanted", "p_value"], ascending=[False, True], kind="stable")
    whole = table["pos"].str.fullmatch("[0-9]{1,10}")
    table = pd.concat([table[whole].drop_duplicates(["chrom", "pos"]), table[~whole]]).sort_index(kind="stable")
    for row in table.itertuples(index=False):
        place, letters = (row.chrom, int(row.pos) if row.pos.isdigit() else 0), row.alleles.partition(";")[0].split("/")
        name = f"rs{row.id}" if row.id.isdigit() else row.id or "."
        ref = _base(reference, *place)
        if ref not in letters:  # dbSNP's alleles may be of the other strand
            letters = [reverse_complement(one) if one and set(one) <= set("ACGT") else one for one in letters]
        two = len(set(letters)) == len(letters) == 2 and ref in letters and set("".join(letters)) <= set("ACGT")
        alt = next((one for one in letters if one != ref), "") if two else ""
        status = (
            "malformed" if not row.pos.isdigit() else "above_p" if not row.wanted else "ok" if two else "no_alleles"
        )
        notes = {"ok": "", "above_p": f"p {row.p_value:g}, {row.category}"}
        note = notes.get(status, f"{row.pos} {row.alleles}")
        yield (*place, name, ref, alt, row.gene, 1.0 if status == "ok" else math.nan, status, note)


def _base(reference: Reference, chrom: str, pos: int) -> str:
    """The base of a 1-based position; empty where the reference has none."""
    try:
        return reference.fetch(Interval(chrom, pos - 1, pos)).sequence
    except (ValueError, TypeError):
        return ""


def negatives(
    positives: pd.DataFrame, candidates: pd.DataFrame | str | Path, *, within: int = 100_000, frequency: str = "AF",
    above: float = 0.05, same: Sequence[str] = (), annotation: Annotation | None = None,
    reference: Reference | None = None, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Positives with label 1, each with a common variant near by with label 0, which is used once; then the positives without one.

    A negative lies on the same chromosome, at most `within` bp away, and its minor allele, the rarer of the two, has a frequency above
    `above`. As many positives as can be get one (a maximum matching); which of several they get, the seed decides.

    Columns as in the positives, and label, status, pair and apart (bp, negative minus positive). A positive without a match has the
    status "no_match", and `variants.learn` leaves it out; `attrs["counts"]` says how many of each.

    Parameters
    ----------
    positives, candidates
        Tables with chrom, pos (1-based), ref and alt; candidates with the column `frequency`, or a VCF with this INFO key (AF or MAF).
        A candidate that is a positive too is no negative. Positives with a `status` other than "ok" are left out.
    same
        "consequence" (needs annotation and reference), "substitution" (the change, strands folded; of insertions and deletions
        how many bp): what a negative must share with its positive.

    References
    ----------
    Dalla-Torre et al. (2025): variants of the 1000 Genomes project with a frequency above 5 %, within 100 kb.
    """
    import pandas as pd
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    unknown = sorted({*same} - {"consequence", "substitution"})
    check(
        (not unknown, "same must be among consequence and substitution", unknown, "Leave it out, or name these."),
        ("consequence" not in same or None not in (annotation, reference),
         "The same consequence must be told by annotation= and reference=", same, "Pass both."),
        (0 <= above < 0.5, "The frequency of the minor allele must be above a number from 0 to 0.5", above, "The paper has 0.05."),
    )  # fmt: skip
    if not isinstance(candidates, pd.DataFrame):
        candidates = read_labelled(candidates, frequency, scores=(frequency,))
    check((frequency in candidates, "Candidates must have a column of frequencies", frequency,
           f"Name one of {', '.join(map(str, candidates))}."))  # fmt: skip
    share = pd.to_numeric(candidates[frequency], errors="coerce")
    common = candidates[np.minimum(share, 1 - share) > above].reset_index(drop=True)
    chosen = positives[positives["status"] == "ok"] if "status" in positives else positives
    chosen = chosen.drop_duplicates(["chrom", "pos", "ref", "alt"]).reset_index(drop=True)
    taken = set(_keys(chosen))
    common = common[[key not in taken for key in _keys(common)]].drop_duplicates(["chrom", "pos", "ref", "alt"])
    common = common.sort_values("pos", kind="stable").reset_index(drop=True)
    strata = [_strata(table, same, annotation, reference) for table in (chosen, common)]
    places = common["pos"].to_numpy(np.int64)
    by_stratum = pd.Series(np.arange(len(common))).groupby(strata[1]).indices if len(common) else {}
    # Columns in a drawn order: the matching takes the first that is free.
    turned = np.random.default_rng(seed).permutation(len(common))
    ends, columns = [0], [np.zeros(0, np.int64)]
    for stratum, pos in zip(strata[0], chosen["pos"].to_numpy(np.int64), strict=True):
        rows = by_stratum.get(stratum, columns[0])
        low, high = np.searchsorted(places[rows], (pos - within, pos + within + 1))
        columns.append(turned[rows[low:high]])
        ends.append(ends[-1] + high - low)
    flat = np.concatenate(columns)
    graph = csr_matrix((np.ones(len(flat), np.int8), flat, ends), shape=(len(chosen), len(common)))
    graph.sort_indices()
    match = maximum_bipartite_matching(graph, perm_type="column") if len(common) else np.full(len(chosen), -1)
    got = np.flatnonzero(match >= 0)
    found = common.iloc[np.argsort(turned)[match[got]]]
    apart = found["pos"].to_numpy(np.int64) - chosen["pos"].to_numpy(np.int64)[got]
    pair = pd.Series(pd.NA, chosen.index, "Int64")
    pair[got] = np.arange(len(got))
    status = np.where(match >= 0, "ok", "no_match")
    result = pd.concat(
        [chosen.assign(label=1.0, status=status, pair=pair),
         found.assign(label=0.0, status="ok", pair=np.arange(len(got)), apart=apart)],
        ignore_index=True,
    )  # fmt: skip
    result.attrs["counts"] = {"matched": len(got), "no_match": len(chosen) - len(got), "candidates": len(common)}
    return result


def _keys(table: pd.DataFrame) -> list[tuple]:
    return [
        (canonical_contig(str(chrom)), int(pos), ref, alt)
        for chrom, pos, ref, alt in zip(*(table[name] for name in ("chrom", "pos", "ref", "alt")), strict=True)
    ]


def _strata(table: pd.DataFrame, same: Sequence[str], annotation: Any, reference: Any) -> list[str]:
    """What a negative must share with its positive, as one text."""
    parts = [[chrom for chrom, *_ in _keys(table)]]
    if "consequence" in same:
        parts.append(consequence(table, annotation, reference)["consequence"].tolist() if len(table) else [])
    if "substitution" in same:
        parts.append([substitution(ref, alt) for ref, alt in zip(table["ref"], table["alt"], strict=True)])
    return [" ".join(row) for row in zip(*parts, strict=True)]


def substitution(ref: str, alt: str) -> str:
    """The change with both strands as one, as of A or C; of another length the bp gained.

    >>> substitution("G", "A"), substitution("C", "T"), substitution("AT", "A")
    ('C>T', 'C>T', '-1')
    """
    if len(ref) != len(alt):
        return f"{len(alt) - len(ref):+d}"
    return min(f"{ref}>{alt}", f"{reverse_complement(ref)}>{reverse_complement(alt)}")


def regions(table: pd.DataFrame, *, annotation: Annotation | None = None, window: int = 0) -> np.ndarray:
    """The region of each variant, text [variant]: no two regions share a gene, or a base of a window of `window` bp around a variant.

    A region is a union of genes and windows that overlap. Genes are those of the annotation, and those of the column `gene`, from their
    first variant to their last.
    """
    from ntviz.annotation.transcripts import merge

    chroms = np.array([chrom for chrom, *_ in _keys(table)], dtype=object)
    starts = table["pos"].to_numpy(np.int64) - 1
    ends = starts + table["ref"].str.len().to_numpy(np.int64)
    half = window // 2
    spans = {one: [(starts[chroms == one] - half, ends[chroms == one] + half)] for one in set(chroms)}
    if annotation is not None:
        genes = annotation.table[annotation.table["gene"].ne("") | annotation.table["gene_id"].ne("")]
        by_gene = genes.groupby(["chrom", "gene_id", "gene"], observed=True).agg(start=("start", "min"), end=("end", "max")).reset_index()  # fmt: skip
        for chrom, part in by_gene.groupby("chrom", observed=True):
            if (name := canonical_contig(str(chrom))) in spans:
                spans[name].append((part["start"].to_numpy(np.int64), part["end"].to_numpy(np.int64)))
    if "gene" in table:
        has = table["gene"].notna() & table["gene"].astype(str).str.contains("[A-Za-z]")
        named = table.assign(_chrom=chroms, _start=starts, _end=ends)[has]
        for (chrom, _), part in named.groupby(["_chrom", "gene"]):
            spans[chrom].append((np.array([part["_start"].min()]), np.array([part["_end"].max()])))
    found = np.empty(len(table), dtype=object)
    for chrom, parts in spans.items():
        first, last = merge(*(np.concatenate(side) for side in zip(*parts, strict=True)))
        mine = np.flatnonzero(chroms == chrom)
        which = np.searchsorted(first, starts[mine], side="right") - 1
        found[mine] = [f"{chrom}:{max(first[one], 0) + 1}-{last[one]}" for one in which]
    return found.astype(str)
