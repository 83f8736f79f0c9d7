"""Annotation: a table of features, the genes in it by name, and the elements over an interval that come of it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.annotation.transcripts import PROMOTER, derivable, derived, merge, merge_groups
from ntviz.genome import Interval, canonical_contig

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("chrom", "start", "end", "strand", "element", "gene", "gene_id", "transcript", "name", "origin")
_ENSEMBL = re.compile(r"(ENS[A-Z]*[GT]\d{11})\.\d+", re.IGNORECASE)


class Annotation:
    """Features of a genome, 0-based half-open; `read`, `from_table` and `combine` make one.

    Attributes
    ----------
    table
        One row a feature, [chrom, start, end, strand, element, gene, gene_id, transcript, name, origin, phase, incomplete], empty
        text where nothing is known. `gene` is its name, or its identifier where it has none; `name` that of a BED or GFF3 line;
        `origin` where a feature comes from; `phase` the number of bases of a CDS before its first codon, -1 where it is not known;
        `incomplete` the ends, 5 and 3, that it lacks. The last two may be left out.
    features
        The table and, after it, what was `inferred`: transcripts and genes that the file has no lines of.
    kinds
        Elements that can be asked for: those in the table, those given, and those that follow from them and are in neither.
        Of exons: intron, the gaps within a transcript; splice_donor and splice_acceptor, the first and the last two bases of
        each intron of 4 bp and more, on its strand (mostly GT and AG). Of exons and CDS: five_prime_utr and three_prime_utr,
        exon outside of CDS and stop codon; start_codon and stop_codon, where the CDS is whole codons; they may lie on two
        exons. Of genes or transcripts: promoter and intergenic. Nothing follows where `derive` is False.
    broken
        Lines [line, reason, text] of the file that could not be read; `lines` is the number of all that should be features.
    stop_in_cds
        Whether CDS ends with the stop codon, as in GFF3, or before it, as in GTF; stop codons and UTRs are derived so.
    parts
        Annotations that the table is made of, each of which derives its own elements; see `combine`.
    aliases
        Identifiers (gene_id) of the genes that have further names, such as a locus tag, by these names.
    """

    def __init__(
        self, table: pd.DataFrame, *, broken: pd.DataFrame | None = None, source: str = "the table",
        lines: int | None = None, kinds: Sequence[str] = (), stop_in_cds: bool = False, derive: bool = True,
        notes: Sequence[str] = (), parts: Sequence[Annotation] = (), aliases: Mapping[str, Sequence[str]] | None = None,
        inferred: pd.DataFrame | None = None,
    ) -> None:  # fmt: skip
        import pandas as pd

        missing = [column for column in COLUMNS if column not in table.columns]
        if missing:
            raise ValueError(f"An annotation must have the columns {', '.join(COLUMNS)}; the table lacks {', '.join(missing)}.")  # fmt: skip
        unknown = {name: value for name, value in (("phase", -1), ("incomplete", "")) if name not in table}
        self.broken = pd.DataFrame({"line": [], "reason": [], "text": []}) if broken is None else broken
        self.source = source
        self.lines = len(table) + len(self.broken) if lines is None else lines
        self.stop_in_cds, self.notes, self.parts = stop_in_cds, tuple(notes), tuple(parts)
        self._hold(table.assign(**unknown), inferred)
        self._stated = tuple(dict.fromkeys([*kinds, *self.features["element"].unique()]))
        follow = derivable(self._stated) if derive and not parts else []
        theirs = [kind for part in parts for kind in part.kinds]
        self.kinds: tuple[str, ...] = tuple(dict.fromkeys([*self._stated, *follow, *theirs]))
        self.aliases = dict(aliases or {})
        for part in parts:
            for name, genes in part.aliases.items():
                self.aliases[name] = (*self.aliases.get(name, ()), *genes)

    def _hold(self, table: pd.DataFrame, inferred: pd.DataFrame | None) -> None:
        import pandas as pd

        self.table = table.reset_index(drop=True)
        more = [] if inferred is None or inferred.empty else [inferred]
        self.features = pd.concat([self.table, *more], ignore_index=True) if more else self.table
        self._index: dict[str, tuple[np.ndarray, ...]] | None = None
        self._merged: dict[Any, dict[str, tuple[str, np.ndarray, np.ndarray]]] = {}
        self._groups: dict[str, dict[str, np.ndarray]] = {}

    def __len__(self) -> int:
        """Number of features."""
        return len(self.table)

    def __repr__(self) -> str:
        return f"Annotation({self.source}: {len(self):,} features; {', '.join(self.kinds)})"

    @property
    def note(self) -> str:
        """What could not be read and what else there is to say, in words; empty when there is nothing."""
        notes = [part.note for part in self.parts if part.note]
        if len(self.broken) and not self.parts:
            first, lines = self.broken.iloc[0], self.broken["line"].astype(str)
            more = f" and {len(lines) - 10:,} more" if len(lines) > 10 else ""
            which = f" (lines {', '.join(lines[:10])}{more})" if len(lines) > 1 else ""
            notes.append(
                f"{len(lines):,} of {self.lines:,} lines of {self.source} could not be read{which}; the first, line "
                f"{first['line']}: {first['reason']}."
            )
        return " ".join([*notes, *self.notes])

    @property
    def inferred(self) -> pd.DataFrame:
        """Transcripts and genes that the file has no lines of."""
        return self.features.iloc[len(self.table) :]

    # Features ---------------------------------------------------------------------------------------------------------

    def within(self, interval: Interval) -> Annotation:
        """The features that overlap an interval, whole; contig aliases match, strands are ignored.

        The kinds of elements stay those of the whole, so that asking for one that is not here is no error. What is derived, such as an
        intron, is derived from what overlaps; ask the whole for such elements.
        """
        near = copy(self)
        near.parts = tuple(part.within(interval) for part in self.parts)
        inferred = self.inferred[overlapping(self.inferred, interval)]
        near._hold(self.table.iloc[self._overlapping(interval)], inferred)
        return near

    def _overlapping(self, interval: Interval) -> np.ndarray:
        """Rows that overlap, in the order of the table."""
        if self._index is None:
            starts, ends = (self.table[column].to_numpy(np.int64) for column in ("start", "end"))
            self._index = {}
            for contig, rows in self.table.groupby(_contigs(self.table)).indices.items():
                rows = rows[np.argsort(starts[rows], kind="stable")]
                # With the largest end so far, rows that end too early are found by bisection although ends are unsorted.
                self._index[str(contig)] = (rows, starts[rows], ends[rows], np.maximum.accumulate(ends[rows]))
        if canonical_contig(interval.chrom) not in self._index:
            return np.zeros(0, dtype=np.int64)
        rows, starts, ends, reached = self._index[canonical_contig(interval.chrom)]
        low = np.searchsorted(reached, interval.start, side="right")
        high = np.searchsorted(starts, interval.end, side="left")
        return np.sort(rows[low:high][ends[low:high] > interval.start])

    def gene(self, name: str) -> Interval:
        """The gene of that name or identifier, from its first to its last base over all isoforms, on its strand.

        It may reach further than its transcripts do; see `tss`. A ValueError names the nearest, or says that there are several.

        `name` is a gene name, in any case, or the identifier of a gene, with or without version (of Ensembl's, any version is the gene),
        or of a transcript, which is then the whole place; or another name that a GTF or GFF3 gives the gene.
        """
        return _place(self._gene_rows(name), name)

    def _gene_rows(self, name: str) -> pd.DataFrame:
        """The rows of a gene or transcript."""
        for column in ("gene", "gene_id", "transcript"):
            if column not in self._groups:
                groups = self.table.groupby(column, sort=False).indices
                self._groups[column] = {str(key): rows for key, rows in groups.items() if key}
        names, identifiers, transcripts = self._groups.values()
        for groups in self._groups.values():
            if name in groups:
                return self.table.iloc[groups[name]]
        rows = [identifiers[gene] for gene in self.aliases.get(name, ()) if gene in identifiers]
        # Ensembl's identifier is that of the gene, or transcript, in each of its versions.
        versioned = _ENSEMBL.fullmatch(name)
        lower = (versioned[1] if versioned else name).lower()
        for groups, whole in ((identifiers, False), (names, True), (transcripts, False)):
            rows = rows or [
                found for text, found in groups.items() if (text if whole else text.partition(".")[0]).lower() == lower
            ]
        if rows:
            return self.table.iloc[np.concatenate(rows)]
        # Upper case, because nearest means fewest wrong letters, not fewest wrong cases.
        upper = {text.upper(): text for text in names}
        nearest = [upper[text] for text in difflib.get_close_matches(name.upper(), upper, n=3, cutoff=0.6)]
        hint = f"Nearest: {', '.join(nearest)}. " if nearest else ""
        raise ValueError(
            f"A gene must be one of the {len(names):,} of {self.source}; received {name!r}. {hint}"
            f"Use another name of it, or an annotation that holds it."
        )

    def tss(self, gene: str) -> tuple[str, int, str]:
        """Contig, 0-based position and strand of the first base of a gene's transcripts, or of the gene where it has none here.

        A ValueError says that there is no such gene, or that it has no strand.
        """
        rows = self._gene_rows(gene)
        place = _place(rows, gene)
        transcribed = rows[(rows["transcript"] != "") & (rows["element"] != "gene")]
        if place.strand == ".":
            raise ValueError(
                f"A gene must have one strand for a start; {gene} of {self.source} has none. Take an end of gene({gene!r}) yourself."
            )
        rows = transcribed if len(transcribed) else rows
        start = rows["start"].min() if place.strand == "+" else rows["end"].max() - 1
        return place.chrom, int(start), place.strand

    def transcripts(self, gene: str) -> pd.DataFrame:
        """One row a transcript of a gene, found as by `gene`, with the columns of `genes` and all its exons."""
        return _drawn(self._gene_rows(gene))

    def genes(self, interval: Interval) -> pd.DataFrame:
        """One row a transcript that overlaps an interval, for drawing; a gene without one there has a row with its own ends.

        Columns [gene, gene_id, transcript, chrom, start, end, strand, exons, cds]; `start` and `end` are those of the whole transcript,
        `exons` and `cds` tuples of (start, end), sorted, of those that overlap the interval.
        """
        return _drawn(self.table.iloc[self._overlapping(interval)])

    # Elements ---------------------------------------------------------------------------------------------------------

    def elements(self, kinds: str | Sequence[str] | None = None, *, promoter: tuple[int, int] = PROMOTER) -> pd.DataFrame:  # fmt: skip
        """Stretches [chrom, start, end, element] that are of each kind of element, both strands and all transcripts merged.

        `kinds` are of this annotation; all but intergenic, which has no ends, when not given. An intron is a gap between exons of one
        transcript, and may hold an exon of another. A promoter is so many bp before and after the first base of each transcript.
        """
        import pandas as pd

        endless = {"intergenic"} - {*self._stated}
        chosen = [kind for kind in self.kinds if kind not in endless] if kinds is None else self._chosen(kinds)
        if endless & {*chosen}:
            raise ValueError(
                "elements() lists kinds that have ends; intergenic has none without the length of the contig. Use indicator()."
            )
        stretches = [
            pd.DataFrame({"chrom": chrom, "start": starts, "end": ends, "element": kind})
            for kind in chosen
            for chrom, starts, ends in self._stretches(kind, promoter).values()
        ]
        table = pd.concat(stretches or [pd.DataFrame({"chrom": [], "start": [], "end": [], "element": []})])
        return table.sort_values(["chrom", "start", "end", "element"], ignore_index=True)

    def indicator(
        self, interval: Interval, element: str | Sequence[str], *, spans: np.ndarray | None = None,
        promoter: tuple[int, int] = PROMOTER,
    ) -> np.ndarray:  # fmt: skip
        """Which bases [base] or tokens [token] of an interval are in an element; bool.

        Parameters
        ----------
        interval
            On the strand "-" the first value is that of its last base in the genome, as in the sequence of a Reference.
        element
            One of `kinds`, or several, whose union counts. Intergenic is what is in no gene.
        spans
            [token, 2] in bp within the sequence, as in `Tokens.spans`. A token is in the element if any of its bases is.
        promoter
            As in `elements`.

        References
        ----------
        The indicator f(i) of the attention analysis in Dalla-Torre et al., Nature Methods 2025.

        Examples
        --------
        >>> import pandas as pd
        >>> row = ("chr1", 12, 14, "+", "exon", "A", "A", "A.1", "", "")
        >>> toy = Annotation(pd.DataFrame([row], columns=list(COLUMNS)))
        >>> toy.indicator(Interval("1", 10, 16), "exon").astype(int).tolist()
        [0, 0, 1, 1, 0, 0]
        >>> toy.indicator(Interval("1", 10, 16), "exon", spans=np.array([[0, 0], [0, 3], [3, 6]])).tolist()
        [False, True, True]
        """
        inside = np.zeros(len(interval), dtype=bool)
        for kind in self._chosen(element):
            if kind == "intergenic" and kind not in self._stated:
                genes = [kind for kind in ("gene", "transcript") if kind in self.kinds]
                inside |= ~np.any([self._forward(interval, gene, promoter) for gene in genes], axis=0)
            else:
                inside |= self._forward(interval, kind, promoter)
        if interval.strand == "-":
            inside = inside[::-1]
        return inside if spans is None else _any_in_span(inside, spans)

    def _forward(self, interval: Interval, kind: str, promoter: tuple[int, int]) -> np.ndarray:
        inside = np.zeros(len(interval), dtype=bool)
        nothing = ("", np.zeros(0, np.int64), np.zeros(0, np.int64))
        _, starts, ends = self._stretches(kind, promoter).get(canonical_contig(interval.chrom), nothing)
        low = np.searchsorted(ends, interval.start, side="right")
        high = np.searchsorted(starts, interval.end, side="left")
        for start, end in zip(starts[low:high], ends[low:high], strict=True):
            inside[max(start - interval.start, 0) : end - interval.start] = True
        return inside

    def _chosen(self, kinds: str | Sequence[str]) -> list[str]:
        chosen = [kinds] if isinstance(kinds, str) else list(kinds)
        for kind in chosen:
            if kind not in self.kinds:
                nearest = difflib.get_close_matches(kind, self.kinds, n=1, cutoff=0.5)
                hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
                raise ValueError(
                    f"An element must be one of those in {self.source}: {', '.join(self.kinds)}; received {kind!r}. {hint}"
                    f"Read an annotation that has it."
                )
        return chosen

    def _stretches(self, kind: str, promoter: tuple[int, int]) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
        """Contig as it is written, starts and ends, by canonical contig; merged once and kept."""
        key = (kind, promoter if kind == "promoter" else None)
        if key not in self._merged:
            raw = self._raw(kind, promoter)
            self._merged[key] = {
                str(contig): (str(own["chrom"].iloc[0]), *merge(*(own[edge].to_numpy(np.int64) for edge in ("start", "end"))))
                for contig, own in raw.groupby(_contigs(raw), sort=False)
            }  # fmt: skip
        return self._merged[key]

    def _raw(self, kind: str, promoter: tuple[int, int]) -> pd.DataFrame:
        import pandas as pd

        if self.parts:
            return pd.concat([part._raw(kind, promoter) for part in self.parts if kind in part.kinds])
        if kind in self._stated:
            return self.features.loc[self.features["element"] == kind, ["chrom", "start", "end"]]
        starting = "transcript" if "transcript" in self._stated else "gene"
        return derived(kind, self.features, starting=starting, promoter=promoter, stop_in_cds=self.stop_in_cds)


def _contigs(table: pd.DataFrame) -> pd.Series:
    """Canonical contig of each row."""
    return table["chrom"].map({name: canonical_contig(str(name)) for name in table["chrom"].unique()})


def overlapping(table: pd.DataFrame, interval: Interval) -> pd.Series:
    """Which rows overlap an interval, under any alias of its contig."""
    here = _contigs(table) == canonical_contig(interval.chrom)
    return here & (table["start"] < interval.end) & (table["end"] > interval.start)


def _place(rows: pd.DataFrame, name: str) -> Interval:
    """The one place that rows of a gene cover, on their strand."""
    # A gene is where its lines and its transcripts overlap; where they do not, as of copies of one identifier, it is several.
    rows = rows.assign(row=np.where(rows["element"] == "gene", np.arange(len(rows)), -1))
    wholes = rows.groupby(["chrom", "gene_id", "strand", "transcript", "row"], sort=False)
    hulls = wholes.agg(start=("start", "min"), end=("end", "max")).reset_index()
    stretches = merge_groups(hulls, ["chrom", "gene_id"])[["gene_id", "chrom", "start", "end"]].to_numpy()
    places = [(gene_id, Interval(str(chrom), *ends)) for gene_id, chrom, *ends in stretches]
    if len(places) > 1:
        listed = ", ".join(f"{identifier} at {place.label()}" for identifier, place in places)
        raise ValueError(
            f"A gene must be one place; {name!r} is {len(places)}: {listed}. Use an identifier that is one, or the place."
        )
    strands = rows["strand"].unique()
    return replace(places[0][1], strand=strands[0] if len(strands) == 1 else ".")


def _drawn(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a transcript of a table of features; a gene without one there has a row with its own ends."""
    import pandas as pd

    drawn = []
    transcribed = set(rows["gene_id"][rows["transcript"] != ""])
    genes = rows[rows["gene"] != ""].groupby(["chrom", "gene_id", "transcript"], sort=False)
    for (chrom, gene_id, transcript), own in genes:
        if not transcript and gene_id in transcribed:
            continue
        whole = own[own["element"] == "transcript"] if (own["element"] == "transcript").any() else own
        exons, cds = (
            tuple(sorted(own[own["element"] == kind][["start", "end"]].itertuples(index=False, name=None)))
            for kind in ("exon", "CDS")
        )
        ends = int(whole["start"].min()), int(whole["end"].max())
        drawn.append((own["gene"].iloc[0], gene_id, transcript, chrom, *ends, own["strand"].iloc[0], exons, cds))
    columns = ["gene", "gene_id", "transcript", "chrom", "start", "end", "strand", "exons", "cds"]
    return pd.DataFrame(drawn, columns=columns).sort_values(["start", "end"], ignore_index=True)


def _any_in_span(inside: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Which spans [token, 2] hold a base that is inside [base]."""
    spans = np.asarray(spans)
    if spans.ndim != 2 or spans.shape[1] != 2 or not np.issubdtype(spans.dtype, np.integer):
        raise ValueError(f"spans must be integers [token, 2]; received {spans.dtype} {list(spans.shape)}. Pass Tokens.spans.")  # fmt: skip
    if len(spans) and (spans.min() < 0 or spans.max() > len(inside) or (spans[:, 1] < spans[:, 0]).any()):
        raise ValueError(
            f"spans must lie within the interval's {len(inside):,} bp, start before end; received {spans.min():,} to "
            f"{spans.max():,}. Pass bp within the sequence, not genome coordinates."
        )
    count = np.concatenate([[0], np.cumsum(inside)])
    return count[spans[:, 1]] > count[spans[:, 0]]
