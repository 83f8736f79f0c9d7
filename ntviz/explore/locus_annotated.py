"""Components of a locus that no model has to compute: genes, elements, bases, the user's files, and matches of motifs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ntviz import motifs, plot
from ntviz import sequence as dna
from ntviz.annotation import Annotation, Beds, Signal, named, read_signal
from ntviz.explore.locus_component import Component, base_table, overlapping, per_base, tiles
from ntviz.genome import Interval, canonical_contig
from ntviz.plot.tracks import Track
from ntviz.plot.words import number, plain
from ntviz.reference import Reference

if TYPE_CHECKING:
    import pandas as pd

Signals = str | Path | Iterable[str | Path] | Mapping[str, Signal | str | Path]
DRAWN_AS_GENES = {"gene", "transcript", "exon", "CDS", "intron", "UTR", "five_prime_utr", "three_prime_utr", "intergenic"}  # fmt: skip
"""Elements that the track of genes shows already."""


class Quick:
    """What takes no time is computed over the view itself, and drawn before anything else."""

    quick = True

    def pieces(self, view: Interval) -> list[Interval]:
        return [view]


class Genes(Quick):
    """Transcripts of an annotation."""

    def __init__(self, annotation: Annotation, name: str = "genes", longest: int = 2_000_000) -> None:
        self.annotation, self.name, self.longest = annotation, name, longest

    def compute(self, piece: Interval) -> pd.DataFrame:
        return self.annotation.within(piece).table

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        # Exons are numbered from the first one, which may lie outside of the view.
        return [plot.genes_track(self.annotation, label=self.name.capitalize())]


class Regions(Quick):
    """Stretches of a file of the user's, such as peaks; transcripts of BED with 12 columns are drawn as such."""

    def __init__(self, annotation: Annotation, name: str, longest: int = 2_000_000) -> None:
        self.annotation, self.name, self.longest = annotation, name, longest

    def compute(self, piece: Interval) -> pd.DataFrame:
        table = self.annotation.within(piece).table
        named = table["name"].where(table["name"] != "", table["gene"])
        # "region" is what a line of BED without a name is; its box needs no name.
        kind = table["element"].where(table["element"] != "region", "")
        return table.assign(name=named.where(named != "", kind))

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        if (table["transcript"] != "").any():
            return [plot.genes_track(self.annotation, label=self.name)]
        return [plot.regions_track(table, label=self.name)]


class Elements(Quick):
    """Stretches of the elements that the track of genes does not show: promoters, splice sites, codons, what regulates."""

    name = "elements"

    def __init__(self, annotation: Annotation, longest: int = 200_000) -> None:
        self.annotation, self.longest = annotation, longest

    @cached_property
    def _all(self) -> pd.DataFrame:
        kinds = [kind for kind in self.annotation.kinds if kind not in DRAWN_AS_GENES]
        if not kinds:
            raise ValueError("The annotation has no elements beside its genes.")
        table = self.annotation.elements(kinds)
        contigs = {chrom: canonical_contig(chrom) for chrom in table["chrom"].unique()}
        return table.assign(contig=table["chrom"].map(contigs))

    def compute(self, piece: Interval) -> pd.DataFrame:
        table = self._all[self._all["contig"] == canonical_contig(piece.chrom)]
        table = overlapping(table, piece).drop(columns="contig")
        return table.assign(strand=".", name=table["element"].str.replace("_", " "))

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        return [plot.regions_track(table, label="Elements")]


class Bases(Quick):
    """The letters of the reference."""

    name = "bases"

    def __init__(self, reference: Reference, longest: int = 5_000) -> None:
        self.reference, self.longest = reference, longest

    def compute(self, piece: Interval) -> pd.DataFrame:
        forward = Interval(piece.chrom, piece.start, piece.end)
        return base_table(piece, {"base": list(self.reference.fetch(forward).sequence)})

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        text = "".join(table["base"])
        return [plot.sequence_track(dna.reverse_complement(text) if view.strand == "-" else text, over=view)]


class Numbers(Quick):
    """One number a base from a file of the user's."""

    def __init__(self, signal: Signal, name: str, unit: str = "", longest: int = 2_000_000) -> None:
        self.signal, self.name, self.unit, self.longest = signal, name, unit, longest

    def compute(self, piece: Interval) -> pd.DataFrame:
        values = self.signal.values(Interval(piece.chrom, piece.start, piece.end))
        table = base_table(piece, {"value": values})
        return table[np.isfinite(values)].reset_index(drop=True)

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        values = per_base(table, "value", view)
        below = bool((table["value"] < 0).any())
        return [plot.signal_track(values, label=self.name, unit=self.unit, diverging=below, over=view, height=56)]


class Matches:
    """Matches of motifs on both strands, above those in the same bases in an order with the same dinucleotides.

    Parameters
    ----------
    reference
        Bases.
    chosen
        Motifs to look for.
    p
        Largest p-value of a match. Of n motifs in a view of L bp, on both strands, 2 n p L matches are expected by chance,
        which the figure says.
    piece
        bp that are searched, and shuffled, at a time.
    """

    name = "motifs"

    def __init__(
        self, reference: Reference, chosen: Iterable[motifs.Motif], *, p: float = 1e-5, piece: int = 2_000, longest: int = 5_000
    ) -> None:
        self.reference, self.chosen, self.p = reference, list(chosen), p
        self.piece, self.longest = piece, longest
        self._reach = max((len(motif) for motif in self.chosen), default=1) - 1

    def pieces(self, view: Interval) -> list[Interval]:
        # A match belongs to the piece where it begins.
        return tiles(Interval(view.chrom, max(view.start - self._reach, 0), view.end), self.piece)

    def compute(self, piece: Interval) -> pd.DataFrame:
        import pandas as pd

        end = min(piece.end + self._reach, self.reference.whole(piece.chrom).end)
        bases = self.reference.fetch(Interval(piece.chrom, piece.start, end)).sequence
        parts = []
        for text, read in ((bases, "reference"), (dna.shuffle(bases, k=2, seed=piece.start), "shuffled")):
            found = motifs.scan(text, self.chosen, p=self.p).assign(sequence=read)
            found[["start", "end"]] += piece.start
            parts.append(found[found["start"] < piece.end])
        table = pd.concat(parts, ignore_index=True)
        table.insert(0, "chrom", piece.chrom)
        return table

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        chance = number(2 * len(self.chosen) * self.p * len(view))
        made = []
        for read, label, said in (
            ("reference", "Motifs", f"with p ≤ {self.p:g}, {chance} expected by chance"),
            ("shuffled", "Motifs: control", "in the same bases shuffled, dinucleotides kept"),
        ):
            rows = table[table["sequence"] == read]
            track = plot.regions_track(rows, label=label, score_label="bits")
            made.append(replace(track, note="; ".join(part for part in (f"{len(rows):,} {said}", track.note) if part)))
        return made


def file_components(beds: Beds, bedgraphs: Signals, *, taken: Collection[str]) -> tuple[list[Component], list[Component]]:
    """Components of a user's elements, and of numbers a base; in a mapping they have the names given, else those of the files."""
    regions = {plain(name): one for name, one in named(beds, taken=taken).items()}
    numbers: dict[str, Signal | str | Path] = {}
    if isinstance(bedgraphs, Mapping):
        numbers = {plain(name): one for name, one in bedgraphs.items()}
    else:
        for path in [bedgraphs] if isinstance(bedgraphs, str | Path) else bedgraphs:
            stem = plain(Path(path).name.removesuffix(".gz").rsplit(".", 1)[0])
            names = (stem if n == 1 else f"{stem} ({n})" for n in count(1))
            numbers[next(name for name in names if name not in {*taken, *regions, *numbers})] = path
    signals = {name: one if isinstance(one, Signal) else read_signal(one) for name, one in numbers.items()}
    return [Regions(one, name) for name, one in regions.items()], [Numbers(one, name) for name, one in signals.items()]
