"""Genes of a table of features: found by name, and listed transcript by transcript for drawing."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ntviz.annotation.stretches import merge
from ntviz.genome import Interval

if TYPE_CHECKING:
    import pandas as pd


_ENSEMBL = re.compile(r"(ENS[A-Z]*[GT]\d{11})\.\d+", re.IGNORECASE)


def gene_rows(
    table: pd.DataFrame,
    name: str,
    names: dict[str, np.ndarray],
    identifiers: dict[str, np.ndarray],
    transcripts: dict[str, np.ndarray],
    aliases: Mapping[str, Sequence[str]],
    source: str,
) -> pd.DataFrame:
    """The rows of a gene or transcript, given those of the table by gene name, gene and transcript identifier."""
    known = (name in group for group in (names, identifiers, transcripts))
    genes = [identifiers[gene] for gene in aliases.get(name, ()) if gene in identifiers]
    if genes and not any(known):
        return table.iloc[np.concatenate(genes)]
    return table.iloc[_rows(name, names, identifiers, transcripts, source)]


def place_of(found: pd.DataFrame, name: str) -> Interval:
    """The one place that rows of a gene cover, on their strand."""
    # A gene is where its lines and its transcripts overlap; where they do not, as of copies of one identifier, it is several.
    rows = found.assign(row=np.where(found["element"] == "gene", np.arange(len(found)), -1))
    wholes = rows.groupby(["chrom", "gene_id", "strand", "transcript", "row"], sort=False)
    hulls = wholes.agg(start=("start", "min"), end=("end", "max")).reset_index()
    places = [
        (f"{part['gene_id'].iloc[0]} at ", Interval(str(part["chrom"].iloc[0]), int(start), int(end)))
        for _, part in hulls.groupby(["chrom", "gene_id"], sort=False)
        for start, end in zip(
            *merge(*(part[side].to_numpy(np.int64) for side in ("start", "end"))), strict=True
        )
    ]
    if len(places) > 1:
        listed = ", ".join(identifier + place.label() for identifier, place in places)
        raise ValueError(
            f"A gene must be one place; {name!r} is {len(places)}: {listed}. Use an identifier that is one, or the place."
        )
    strands = set(found["strand"])
    strand = strands.pop() if len(strands) == 1 else "."
    return dataclasses.replace(places[0][1], strand=strand)


def _rows(
    name: str,
    names: dict[str, np.ndarray],
    identifiers: dict[str, np.ndarray],
    transcripts: dict[str, np.ndarray],
    source: str,
) -> np.ndarray:
    for groups in (names, identifiers, transcripts):
        if name and name in groups:
            return groups[name]
    # Ensembl's identifier is that of the gene, or transcript, in each of its versions.
    versioned = _ENSEMBL.fullmatch(name)
    lower = (versioned[1] if versioned else name).lower()
    for groups, key in (
        (identifiers, lambda text: text.partition(".")[0].lower()),
        (names, str.lower),
        (transcripts, lambda text: text.partition(".")[0].lower()),
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
