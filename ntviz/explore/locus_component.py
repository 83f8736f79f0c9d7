"""What a locus figure is made of: components, each of which computes a table over pieces of the genome and draws it.

Those that no model has to compute are here: genes, elements, bases, the user's files, and matches of motifs.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ntviz import motifs, plot
from ntviz.annotation import Annotation, Beds, Signal, from_table, named, read_signal
from ntviz.genome import Interval
from ntviz.genome import sequence as dna
from ntviz.plot.theme import colours
from ntviz.plot.tracks import Panel, Track
from ntviz.plot.words import escaped, number, plain
from ntviz.reference import Reference

Signals = str | Path | Iterable[str | Path] | Mapping[str, Signal | str | Path]
DRAWN_AS_GENES = {"gene", "transcript", "exon", "CDS", "intron", "UTR", "five_prime_utr", "three_prime_utr", "intergenic"}  # fmt: skip


@runtime_checkable
class Component(Protocol):
    """One thing that `explore.locus` shows, of its own or of yours; figure, files and `LocusExplorer.tables` come from its table.

    Attributes
    ----------
    name
        Beside its checkbox, and of its table; no two components have the same.
    longest
        bp of a view at most. In a longer one nothing is computed, and the figure says from where on there is something.

    Examples
    --------
    >>> from ntviz import plot
    >>> class Every10:
    ...     name, longest = "every tenth base", 1_000
    ...     def pieces(self, view):
    ...         return tiles(view, 100)
    ...     def compute(self, piece):
    ...         return base_table(piece, {"tenth": np.arange(piece.start, piece.end) % 10 == 0})
    ...     def tracks(self, table, view):
    ...         return [plot.signal_track(per_base(table, "tenth", view), label=self.name, unit="0 or 1")]
    >>> per_base(Every10().compute(Interval("chr20", 100, 200)), "tenth", Interval("chr20", 198, 201)).tolist()
    [0.0, 0.0, nan]
    """

    @property
    def name(self) -> str: ...
    @property
    def longest(self) -> int: ...

    def pieces(self, view: Interval) -> Sequence[Interval]:
        """What is computed for a view: each piece once, and kept. `tiles` gives some that do not depend on the view."""
        ...

    def compute(self, piece: Interval) -> pd.DataFrame:
        """A table of [chrom, start, end, ...], 0-based half-open. ValueError says why there is none."""
        ...

    def tracks(self, table: pd.DataFrame, view: Interval) -> Sequence[Track]:
        """Tracks for `plot.locus` of the rows that overlap a view, whose arrays cover it; labels must be the component's alone."""
        ...


def tiles(view: Interval, size: int, end: int | None = None) -> list[Interval]:
    """Pieces of `size` bp that cover a view, cut at multiples of it, whichever the view, and at `end`; ValueError below 1 bp."""
    if size < 1:
        raise ValueError(f"A piece must have at least 1 bp; received {size}. Use some hundred.")
    starts = range(max(view.start, 0) // size * size, view.end, size)
    return [Interval(view.chrom, start, min(start + size, end or start + size)) for start in starts]


def base_table(piece: Interval, columns: Mapping[str, Any]) -> pd.DataFrame:
    """A table with one row a base: chrom, start, end and the columns given, [base] on the forward strand."""
    start = np.arange(piece.start, piece.end)
    return pd.DataFrame({"chrom": piece.chrom, "start": start, "end": start + 1, **columns})


def per_base(table: pd.DataFrame, columns: str | Sequence[str], view: Interval) -> np.ndarray:
    """Numbers of a table, whose rows hold for all their bases, by base of a view: float64 [base] or [base, column], NaN for none.

    They are in the reading direction: on the strand "-" the first base is the view's last in the genome.
    """
    names = [columns] if isinstance(columns, str) else list(columns)
    starts, ends = np.clip(table[["start", "end"]].to_numpy(np.int64).T - view.start, 0, len(view))
    widths = ends - starts
    at = np.arange(widths.sum()) + np.repeat(starts - np.cumsum(widths) + widths, widths)
    found = np.full((len(view), len(names)), np.nan)
    found[at] = np.repeat(table[names].to_numpy(np.float64), widths, axis=0)
    turned = found[::-1] if view.strand == "-" else found
    return turned[:, 0] if isinstance(columns, str) else turned


def text_of(table: pd.DataFrame, column: str, view: Interval) -> str:
    """Letters of a table by base of a view, in its reading direction; N where the table has none."""
    codes = per_base(table.assign(code=table[column].map("ACGTN".index)), "code", view)
    letters = "TGCAN" if view.strand == "-" else "ACGTN"
    return "".join(letters[int(code)] for code in np.nan_to_num(codes, nan=4))


def named_one(name: str, components: Mapping[str, Component]) -> Component:
    """The component of that name; a ValueError that says which there are."""
    if name not in components:
        need = "Attribution needs target=, motifs need motifs=, and all that is the model's needs a model."
        raise ValueError(f"A component must be one of {', '.join(components)}; received {name!r}. {need}")
    return components[name]


def words_track(label: str, text: str) -> Track:
    """Words in place of a track: what is being computed, how far to zoom in, or why there is nothing."""
    label, text = plain(label), plain(text, most=400)
    lines = textwrap.wrap(text, 128)

    def draw(panel: Panel) -> str:
        panel.add(go.Scatter(x=[panel.view.positions[0]] * len(lines), y=[-i for i in range(len(lines))], mode="text",
                             text=list(map(escaped, lines)), textposition="middle right", hoverinfo="skip", cliponaxis=False,
                             textfont={"size": 12, "color": colours().muted}))  # fmt: skip
        panel.yaxis(range=[0.5 - len(lines), 0.5], visible=False)
        return text

    return Track(label[:1].upper() + label[1:], 18 * len(lines), draw)


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

    Their p-values are at most `p`: of n motifs in L bp 2 n p L are expected by chance. `piece` bp are searched, and shuffled, at a time.
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


def file_components(beds: Beds, bedgraphs: Signals, taken: Collection[str]) -> tuple[list[Component], list[Component]]:
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
