"""Variants whose effect is known: verdicts of ClinVar, and effects that were measured."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ntviz.environment import encoding_of
from ntviz.variants.vcf import VcfFile

if TYPE_CHECKING:
    import pandas as pd


_CODES = {
    "0": "uncertain_significance",
    "2": "benign",
    "3": "likely_benign",
    "4": "likely_pathogenic",
    "5": "pathogenic",
}
"""Verdicts of ClinVar's VCFs before October 2017."""


def read_clinvar(path: str | Path) -> pd.DataFrame:
    """Variants of a ClinVar VCF with a clear verdict: chrom, pos (1-based), id, ref, alt, gene, significance, pathogenic.

    `pathogenic` is 1 for pathogenic or likely pathogenic and 0 for benign or likely benign. Conflicting, uncertain and
    others are left out, and `attrs["counts"]` says how many of each. Reads NCBI's own files (CLNSIG, GENEINFO), those from
    before October 2017, whose CLNSIG is numbers of the alleles in CLNALLE, and others with PATHOGENIC, CONFLICTED and GENE.

    Raises
    ------
    vcf.VcfError
        It is no VCF.
    ValueError
        No CLNSIG in it is a clear verdict.
    """
    import pandas as pd

    rows, counts, unclear = [], Counter(), ""
    with VcfFile(path) as file:
        for record in file:
            if record.problem:
                counts["malformed"] += 1
                continue
            info = dict(part.partition("=")[::2] for part in record.raw.split("\t", 8)[7].split(";"))
            gene = info.get("GENE") or info.get("GENEINFO", "").partition(":")[0]
            for number, alt in enumerate(record.alts, start=1):
                significance = _significance(info, number)
                verdict = _verdict(significance, conflicted=info.get("CONFLICTED") == "1")
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
    names = ["chrom", "pos", "id", "ref", "alt", "gene", "significance", "pathogenic"]
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


def _verdict(significance: str, *, conflicted: bool) -> str:
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

    Raises
    ------
    ValueError
        A column is missing.
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
