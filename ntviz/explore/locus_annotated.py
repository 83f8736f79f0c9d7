"""Components of a locus that no model has to compute: genes, elements, bases, the user's files, and matches of motifs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ntviz import motifs, plot
from ntviz.annotation import Annotation, Beds, Signal, from_table, named, read_signal
from ntviz.explore.locus_component import Component, base_table, per_base, text_of, tiles
from ntviz.genome import Interval
from ntviz.genome import sequence as dna
from ntviz.plot.tracks import Track
from ntviz.plot.words import number, plain
from ntviz.reference import Reference

Signals = str | Path | Iterable[str | Path] | Mapping[str, Signal | str | Path]
DRAWN_AS_GENES = {
    "gene", "transcript", "exon", "CDS", "intron", "UTR", "five_prime_utr", "three_prime_utr", "intergenic",
}  # fmt: skip


class Quick:
    """What takes no time is computed over the view itself, from one source, and drawn before anything else."""

    quick = True
    longest = 2_000_000

    def __init__(self, name: str, source: Any, label: str = "") -> None:
        self.name, self.source, self.label = name, source, label or name

    def pieces(self, view: Interval) -> list[Interval]:
        return [Interval(view.chrom, view.start, view.end)]


class Features(Quick):
    """Transcripts of an Annotation; its stretches, such as peaks, where it has none."""

    def compute(self, piece: Interval) -> pd.DataFrame:
        table = self.source.within(piece).table
        # "region" is what a line of BED without a name is; its box needs no name.
        kind = table["element"].where(table["element"] != "region", "")
        gene = table["gene"].where(table["gene"] != "", kind)
        return table.assign(name=table["name"].where(table["name"] != "", gene))

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        if (self.source.table["transcript"] != "").any():
            # Exons are numbered from the first one, which may lie outside of the view.
            return [plot.genes_track(self.source, label=self.label)]
        return [plot.regions_track(table, label=self.label)]


class Elements(Quick):
    """Elements of an Annotation that the track of genes does not show: promoters, splice sites, codons, what regulates."""

    longest = 200_000

    @cached_property
    def _all(self) -> Annotation:
        kinds = [kind for kind in self.source.kinds if kind not in DRAWN_AS_GENES]
        if not kinds:
            raise ValueError("The annotation has no elements beside its genes.")
        return from_table(self.source.elements(kinds))

    def compute(self, piece: Interval) -> pd.DataFrame:
        table = self._all.within(piece).table[["chrom", "start", "end", "element"]]
        return table.assign(name=table["element"].str.replace("_", " "))

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        return [plot.regions_track(table, label="Elements")]


class Bases(Quick):
    """The letters of a Reference."""

    longest = 5_000

    def compute(self, piece: Interval) -> pd.DataFrame:
        return base_table(piece, {"base": list(self.source.fetch(piece).sequence)})

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        return [plot.sequence_track(text_of(table, "base", view))]


class Numbers(Quick):
    """One number a base from a user's Signal."""

    def compute(self, piece: Interval) -> pd.DataFrame:
        values = self.source.values(piece)
        return base_table(piece, {"value": values})[np.isfinite(values)]

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        values, below = per_base(table, "value", view), bool((table["value"] < 0).any())
        return [plot.signal_track(values, label=self.label, unit="", diverging=below, height=56)]


class Matches:
    """Matches of motifs on both strands, above those in the same bases in an order with the same dinucleotides.

    `p` is the largest p-value of a match: of n motifs in L bp, on both strands, 2 n p L are expected by chance, as the figure
    says. `piece` is how many bp are searched, and shuffled, at a time.
    """

    name, longest = "motifs", 5_000

    def __init__(self, reference: Reference, chosen: Iterable[motifs.Motif], p: float = 1e-5, piece: int = 2_000) -> None:  # fmt: skip
        self.reference, self.chosen, self.p, self.piece = reference, list(chosen), p, piece
        self._reach = max(map(len, self.chosen), default=1) - 1

    def pieces(self, view: Interval) -> list[Interval]:
        # A match belongs to the piece where it begins.
        return tiles(Interval(view.chrom, max(view.start - self._reach, 0), view.end), self.piece)

    def compute(self, piece: Interval) -> pd.DataFrame:
        end = min(piece.end + self._reach, self.reference.whole(piece.chrom).end)
        bases = self.reference.fetch(Interval(piece.chrom, piece.start, end)).sequence
        texts = {"reference": bases, "shuffled": dna.shuffle(bases, k=2, seed=piece.start)}
        found = {read: motifs.scan(text, self.chosen, p=self.p) for read, text in texts.items()}
        table = pd.concat([one.assign(sequence=read) for read, one in found.items()], ignore_index=True)
        table[["start", "end"]] += piece.start
        table.insert(0, "chrom", piece.chrom)
        return table[table["start"] < piece.end]

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        chance = number(2 * len(self.chosen) * self.p * len(view))
        notes = {
            "reference": f"with p ≤ {self.p:g}, {chance} expected by chance",
            "shuffled": "in the same bases shuffled, dinucleotides kept",
        }
        made = []
        for (read, note), label in zip(notes.items(), ("Motifs", "Motifs: control"), strict=True):
            rows = table[table["sequence"] == read]
            track = plot.regions_track(rows, label=label, score_label="bits")
            made.append(replace(track, note="; ".join(filter(None, (f"{len(rows):,} {note}", track.note)))))
        return made


def file_components(beds: Beds, bedgraphs: Signals, taken: Collection[str]) -> tuple[list[Component], list[Component]]:  # fmt: skip
    """Components of a user's elements, and of numbers a base; in a mapping they have the names given, else those of the files."""
    regions = {plain(name): one for name, one in named(beds, taken=taken).items()}
    numbers = dict(bedgraphs) if isinstance(bedgraphs, Mapping) else {}
    if not isinstance(bedgraphs, Mapping):
        for path in [bedgraphs] if isinstance(bedgraphs, str | Path) else bedgraphs:
            stem = plain(Path(path).name.removesuffix(".gz").rsplit(".", 1)[0])
            names = (stem if n == 1 else f"{stem} ({n})" for n in count(1))
            numbers[next(name for name in names if name not in {*taken, *regions, *numbers})] = path
    signals = [one if isinstance(one, Signal) else read_signal(one) for one in numbers.values()]
    return [Features(*one) for one in regions.items()], list(map(Numbers, map(plain, numbers), signals))
