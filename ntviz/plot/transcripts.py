"""Transcripts and other regions of an annotation, gathered for drawing."""

from __future__ import annotations

from collections.abc import Iterator
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
    transcripts = [_transcript(str(name), group) for name, group in table.groupby("transcript", sort=False, observed=True)]
    transcripts.sort(key=lambda item: (item.start, item.end, item.transcript))
    # A gene is drawn by its transcripts where the file has them.
    drawn = (near["element"] == "gene") & near["gene"].isin(near.loc[has_transcript, "gene"])
    lone = near[~has_transcript & ~drawn]
    regions = [
        Region(plain(_first(row.name, row.gene, row.element), most=28), str(row.strand), int(row.start), int(row.end))
        for row in lone.drop_duplicates(["start", "end", "element", "name"]).itertuples(index=False)
    ]
    origins = near.loc[near["element"] == "CDS", "origin"].dropna().astype(str).unique() if "origin" in near else []
    note = f"coding parts: {plain(listing(list(filter(None, origins))))}" if any(origins) else ""
    return transcripts, regions, note


def _first(*candidates: object) -> str:
    return next((str(text) for text in candidates if isinstance(text, str) and text), "region")


def _transcript(name: str, rows: pd.DataFrame) -> Transcript:
    strand = str(rows["strand"].iloc[0])
    parts = {str(element): group for element, group in rows.groupby("element", sort=False, observed=True)}
    coding = _spans(parts.get("CDS"))
    exons = _spans(parts.get("exon"))
    if not exons:
        exons = _merged([piece for key in ("CDS", "five_prime_utr", "three_prime_utr") for piece in _spans(parts.get(key))])
    numbers = range(1, len(exons) + 1) if strand != "-" else range(len(exons), 0, -1)
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


def parts_of(item: Transcript) -> Iterator[tuple[int, int, str, str]]:
    """Introns, untranslated and coding parts of a transcript: start, end, which of these it is, and what to say of it."""
    for (_, start, _), (end, _, _) in pairwise(item.exons):
        if start < end:
            yield start, end, "intron", "intron"
    for start, end, exon in item.exons:
        inside = [(max(start, a), min(end, b)) for a, b in item.coding if max(start, a) < min(end, b)]
        edges = [start, *(edge for part in inside for edge in part), end]
        for a, b in zip(edges[::2], edges[1::2], strict=True):
            yield a, b, "untranslated", f"exon {exon}" + (", untranslated" if item.coding else "")
        for a, b in inside:
            yield a, b, "coding", f"exon {exon}, coding"
