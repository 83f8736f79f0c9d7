"""Genes of a table of features: found by name, and listed transcript by transcript for drawing."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

import numpy as np

from ntviz.genome import Interval

if TYPE_CHECKING:
    import pandas as pd


_ENSEMBL = re.compile(r"(ENS[A-Z]*G\d{11})\.\d+", re.IGNORECASE)


def gene_rows(
    table: pd.DataFrame,
    name: str,
    names: dict[str, np.ndarray],
    identifiers: dict[str, np.ndarray],
    source: str,
) -> pd.DataFrame:
    """The rows of a gene, given the rows of the table by gene name and by identifier."""
    return table.iloc[_rows(name, names, identifiers, source)]


def place_of(found: pd.DataFrame, name: str) -> Interval:
    """The one place that rows of a gene cover, on their strand."""
    places = found.groupby(["chrom", "gene_id"], sort=False).agg(start=("start", "min"), end=("end", "max"))
    intervals = [
        Interval(str(chrom), int(start), int(end))
        for (chrom, _), (start, end) in zip(places.index, places.to_numpy(), strict=True)
    ]
    if len(intervals) > 1:
        listed = ", ".join(
            f"{identifier} at {place.label()}"
            for (_, identifier), place in zip(places.index, intervals, strict=True)
        )
        raise ValueError(
            f"A gene must be one place; {name!r} is {len(intervals)}: {listed}. Use an identifier that is one."
        )
    strands = set(found["strand"])
    strand = strands.pop() if len(strands) == 1 else "."
    return Interval(intervals[0].chrom, intervals[0].start, intervals[0].end, strand)


def _rows(
    name: str, names: dict[str, np.ndarray], identifiers: dict[str, np.ndarray], source: str
) -> np.ndarray:
    for groups in (names, identifiers):
        if name and name in groups:
            return groups[name]
    # Ensembl's identifier is that of the gene in each of its versions.
    versioned = _ENSEMBL.fullmatch(name)
    lower = (versioned[1] if versioned else name).lower()
    for groups, key in (
        (identifiers, lambda text: text.partition(".")[0].lower()),
        (names, str.lower),
    ):
        found = [rows for text, rows in groups.items() if text and key(text) == lower]
        if found:
            return np.concatenate(found)
    known = [text for text in names if text]
    # Upper case, because nearest means fewest wrong letters, not fewest wrong cases.
    upper = {text.upper(): text for text in known}
    nearest = [upper[text] for text in difflib.get_close_matches(name.upper(), upper, n=3, cutoff=0.6)]
    hint = f"Nearest: {', '.join(nearest)}. " if nearest else ""
    raise ValueError(
        f"A gene must be one of the {len(known):,} of {source}; received {name!r}. {hint}"
        f"Use another name of it, or an annotation that holds it."
    )


def drawn_transcripts(local: pd.DataFrame) -> pd.DataFrame:
    """One row a transcript of a table of features; a gene without one there has a row with its own ends."""
    import pandas as pd

    rows = []
    keys = ["chrom", "gene_id", "transcript"]
    for (chrom, gene_id, transcript), part in local[local["gene"] != ""].groupby(keys, sort=False):
        parts = {kind: part[part["element"] == kind] for kind in ("transcript", "exon", "CDS")}
        if not transcript and (local[local["gene_id"] == gene_id]["transcript"] != "").any():
            continue
        whole = parts["transcript"] if len(parts["transcript"]) else part
        pieces = [
            tuple(sorted(zip(parts[kind]["start"].tolist(), parts[kind]["end"].tolist(), strict=True)))
            for kind in ("exon", "CDS")
        ]
        rows.append(
            (part["gene"].iloc[0], gene_id, transcript, chrom, int(whole["start"].min()), int(whole["end"].max()),
             part["strand"].iloc[0], *pieces)
        )  # fmt: skip
    columns = ["gene", "gene_id", "transcript", "chrom", "start", "end", "strand", "exons", "cds"]
    return pd.DataFrame(rows, columns=columns).sort_values(["start", "end"], ignore_index=True)
