"""Transcripts and other regions of an annotation, gathered for drawing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import pandas as pd

from ntviz.genome import Interval
from ntviz.plot.words import listing, plain


class Annotated(Protocol):
    """What the gene track needs of an annotation: its table, and the part of it over an interval."""

    @property
    def table(self) -> pd.DataFrame:
        """One row a feature: chrom, start, end (0-based half-open), strand, element, gene, transcript, name."""
        ...

    def within(self, interval: Interval) -> Annotated:
        """The features that overlap an interval."""
        ...


@dataclass(frozen=True, slots=True)
class Transcript:
    """One transcript as the track draws it; positions are 0-based half-open, exons in genome order."""

    gene: str
    transcript: str
    strand: str
    start: int
    end: int
    exons: tuple[tuple[int, int, int], ...]
    coding: tuple[tuple[int, int], ...]

    @property
    def tss(self) -> int:
        """0-based position of the first transcribed base."""
        return self.end - 1 if self.strand == "-" else self.start


@dataclass(frozen=True, slots=True)
class Region:
    """A feature without a transcript, such as a line of a BED file."""

    name: str
    strand: str
    start: int
    end: int


def collect(annotation: Annotated, interval: Interval) -> tuple[list[Transcript], list[Region], str]:
    """Transcripts and other regions that overlap an interval, whole, and a note on where the coding parts come from."""
    near = annotation.within(interval).table
    if near.empty:
        return [], [], ""
    has_transcript = near["transcript"].notna() & (near["transcript"] != "")
    wanted = near.loc[has_transcript, "transcript"].unique()
    # Numbers of exons count from the first one, which may lie outside: take the transcripts whole.
    table = annotation.table
    table = table[table["transcript"].isin(wanted) & table["chrom"].isin(near["chrom"].unique())]
    transcripts = [
        _transcript(str(name), group)
        for name, group in table.groupby("transcript", sort=False, observed=True)
    ]
    transcripts.sort(key=lambda t: (t.start, t.end, t.transcript))
    # A gene is drawn by its transcripts where the file has them.
    drawn = (near["element"] == "gene") & near["gene"].isin(near.loc[has_transcript, "gene"])
    lone = near[~has_transcript & ~drawn]
    regions = [
        Region(
            plain(_first(row.name, row.gene, row.element), most=28),
            str(row.strand),
            int(row.start),
            int(row.end),
        )
        for row in lone.drop_duplicates(["start", "end", "element", "name"]).itertuples(index=False)
    ]
    note = ""
    if "origin" in near:
        origins = [
            text
            for text in near.loc[near["element"] == "CDS", "origin"].dropna().astype(str).unique()
            if text
        ]
        note = f"coding parts: {plain(listing(origins))}" if origins else ""
    return transcripts, regions, note


def _first(*candidates: object) -> str:
    return next((str(text) for text in candidates if isinstance(text, str) and text), "region")


def _transcript(name: str, rows: pd.DataFrame) -> Transcript:
    strand = str(rows["strand"].iloc[0])
    parts = {str(element): group for element, group in rows.groupby("element", sort=False, observed=True)}
    exons = _spans(parts.get("exon"))
    coding = _spans(parts.get("CDS"))
    if not exons:
        pieces = [parts[key] for key in ("CDS", "five_prime_utr", "three_prime_utr") if key in parts]
        exons = _merged([piece for part in pieces for piece in _spans(part)])
    numbers: Iterable[int] = range(1, len(exons) + 1) if strand != "-" else range(len(exons), 0, -1)
    start, end = int(rows["start"].min()), int(rows["end"].max())
    gene = _first(*rows["gene"].tolist()[:1], name)
    numbered = tuple((a, b, number) for (a, b), number in zip(exons, numbers, strict=True))
    return Transcript(plain(gene, most=28), plain(name, most=28), strand, start, end, numbered, tuple(coding))


def _spans(rows: pd.DataFrame | None) -> list[tuple[int, int]]:
    if rows is None:
        return []
    return sorted({(int(start), int(end)) for start, end in zip(rows["start"], rows["end"], strict=True)})


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def introns(item: Transcript, start: int, end: int) -> list[tuple[int, int]]:
    """Introns of a transcript inside a span."""
    edges = [(a[1], b[0]) for a, b in pairwise(item.exons)]
    return [(max(a, start), min(b, end)) for a, b in edges if max(a, start) < min(b, end)]
