"""Variants whose effect is known: verdicts of ClinVar, and effects that were measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ntviz.variants.vcf import VcfFile

if TYPE_CHECKING:
    import pandas as pd


def read_clinvar(path: str | Path) -> pd.DataFrame:
    """Variants of a ClinVar VCF with a clear verdict: chrom, pos (1-based), id, ref, alt, gene, significance, pathogenic.

    `pathogenic` is 1 for pathogenic or likely pathogenic and 0 for benign or likely benign. Conflicting, uncertain and
    other records are left out, and `attrs["counts"]` says how many of each. Reads NCBI's own files (CLNSIG, GENEINFO)
    and older ones with PATHOGENIC, CONFLICTED and GENE.

    Raises
    ------
    vcf.VcfError
        It is no VCF.
    ValueError
        It has no CLNSIG.
    """
    import pandas as pd

    rows, counts = [], Counter()
    with VcfFile(path) as file:
        for record in file:
            if record.problem:
                counts["malformed"] += 1
                continue
            info = dict(part.partition("=")[::2] for part in record.raw.split("\t", 8)[7].split(";"))
            verdict = _verdict(info)
            counts[verdict] += 1
            if verdict not in ("pathogenic", "benign"):
                continue
            gene = info.get("GENE") or info.get("GENEINFO", "").partition(":")[0]
            for alt in record.alts:
                place = (record.chrom, record.pos, record.id, record.ref, alt)
                rows.append((*place, gene, info["CLNSIG"], int(verdict == "pathogenic")))
    if not counts["pathogenic"] + counts["benign"] and counts["no CLNSIG"]:
        raise ValueError(
            f"A ClinVar VCF must have CLNSIG in its INFO; {path} has not. Fetch one with `ntviz data fetch clinvar-grch37`."
        )
    names = ["chrom", "pos", "id", "ref", "alt", "gene", "significance", "pathogenic"]
    table = pd.DataFrame(rows, columns=names)
    table.attrs["counts"] = dict(counts.most_common())
    return table


def _verdict(info: Mapping[str, str]) -> str:
    if "CLNSIG" not in info:
        return "no CLNSIG"
    terms = {term.strip().lower() for term in info["CLNSIG"].replace("|", ",").replace("/", ",").split(",")}
    if info.get("CONFLICTED") == "1" or any(term.startswith("conflicting") for term in terms):
        return "conflicting"
    bad = terms & {"pathogenic", "likely_pathogenic"}
    good = terms & {"benign", "likely_benign"}
    if bad and good:
        return "conflicting"
    return "pathogenic" if bad else "benign" if good else "uncertain or other"


def read_mpra(path: str | Path) -> pd.DataFrame:
    """Measured effects of a saturation mutagenesis: chrom, pos (1-based), ref, alt, effect (log2), p_value, barcodes.

    The table is that of Kircher et al. 2019 (Chrom, Pos, Ref, Alt, Barcodes, DNA, RNA, Coefficient, pValue), tab-separated.
    Deletions, written with "-", are left out, and `attrs["counts"]` says how many.

    Raises
    ------
    ValueError
        A column is missing.
    """
    import pandas as pd

    given = pd.read_csv(path, sep="\t", dtype={"Chrom": str}, keep_default_na=False)
    names = {"Chrom": "chrom", "Pos": "pos", "Ref": "ref", "Alt": "alt", "Coefficient": "effect", "pValue": "p_value", "Barcodes": "barcodes"}  # fmt: skip
    lacking = [name for name in names if name not in given]
    if lacking:
        raise ValueError(
            f"A table of measured effects must have the columns {', '.join(names)}; {path} lacks {', '.join(lacking)}. "
            "Rename its columns."
        )
    table = given[list(names)].rename(columns=names)
    bases = table["ref"].isin(list("ACGT")) & table["alt"].isin(list("ACGT"))
    result = table[bases].reset_index(drop=True)
    result.attrs["counts"] = {"substitutions": int(bases.sum()), "left out": int((~bases).sum())}
    return result
