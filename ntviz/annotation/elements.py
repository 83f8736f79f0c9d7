"""Annotation: a table of features, and the elements over an interval that come of it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.annotation.stretches import PROMOTER, any_in_span, introns, merge, promoters
from ntviz.genome import Interval, canonical_contig

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("chrom", "start", "end", "strand", "element", "gene", "gene_id", "transcript", "name", "origin")
_DERIVED = ("intron", "promoter", "intergenic")


class Annotation:
    """Features of a genome, 0-based half-open.

    Parameters
    ----------
    table
        One row a feature, with the columns of the attribute of the same name.
    broken
        Lines [line, reason, text] of the file that could not be read.
    source
        Name of the file, for messages.
    lines
        Number of lines of the file that should be features, broken ones included.
    kinds
        Elements to know beside those in the table, such as the ones elsewhere in the genome.

    Attributes
    ----------
    kinds
        Elements that can be asked for: those in the table, those given, and intron, promoter and intergenic where
        they can be derived.
    table
        Columns [chrom, start, end, strand, element, gene, gene_id, transcript, name, origin]: `gene` is its name, or
        its identifier where it has no name; `name` is that of a BED or GFF3 line; `origin` says where a feature comes
        from where the file does, such as ``longest ATG ORF``. What is not known is empty text.

    Raises
    ------
    ValueError
        If the table lacks columns.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        *,
        broken: pd.DataFrame | None = None,
        source: str = "the table",
        lines: int | None = None,
        kinds: Sequence[str] = (),
    ) -> None:
        import pandas as pd

        missing = [column for column in COLUMNS if column not in table.columns]
        if missing:
            raise ValueError(
                f"An annotation must have the columns {', '.join(COLUMNS)}; the table lacks {', '.join(missing)}. "
                f"Add them, with empty text where nothing is known."
            )
        self.table = table.reset_index(drop=True)
        self.broken = pd.DataFrame({"line": [], "reason": [], "text": []}) if broken is None else broken
        self.source = source
        self.lines = len(table) + len(self.broken) if lines is None else lines
        present = dict.fromkeys([*self.table["element"], *(kind for kind in kinds if kind not in _DERIVED)])
        derived = []
        if "exon" in present and "intron" not in present:
            derived.append("intron")
        if present.keys() & {"gene", "transcript"}:
            derived += ["promoter", "intergenic"]
        self.kinds: tuple[str, ...] = (*present, *(kind for kind in derived if kind not in present))
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
        """What could not be read, in words; empty when everything was."""
        if not len(self.broken):
            return ""
        first = self.broken.iloc[0]
        return (
            f"{len(self.broken):,} of {self.lines:,} lines of {self.source} could not be read; the first, line "
            f"{first['line']}: {first['reason']}."
        )

    # Features ---------------------------------------------------------------------------------------------------------

    def within(self, interval: Interval) -> Annotation:
        """The features that overlap an interval, whole; contig aliases match, strands are ignored.

        The kinds of elements stay those of the whole, so that asking for one that is not here is no error.
        """
        return Annotation(
            self.table.iloc[self._overlapping(interval)],
            broken=self.broken,
            source=self.source,
            lines=self.lines,
            kinds=self.kinds,
        )

    def _overlapping(self, interval: Interval) -> np.ndarray:
        """Rows that overlap, in the order of the table."""
        if self._index is None:
            self._index = {}
            starts, ends = (self.table[column].to_numpy(np.int64) for column in ("start", "end"))
            for chrom, rows in self._rows_of("chrom").items():
                key = canonical_contig(chrom)
                rows = np.concatenate([self._index[key][0], rows]) if key in self._index else rows
                rows = rows[np.argsort(starts[rows], kind="stable")]
                # With the largest end so far, rows that end too early are found by bisection although ends are unsorted.
                self._index[key] = (rows, starts[rows], ends[rows], np.maximum.accumulate(ends[rows]))
        if canonical_contig(interval.chrom) not in self._index:
            return np.zeros(0, dtype=np.int64)
        rows, starts, ends, reached = self._index[canonical_contig(interval.chrom)]
        low = np.searchsorted(reached, interval.start, side="right")
        high = np.searchsorted(starts, interval.end, side="left")
        return np.sort(rows[low:high][ends[low:high] > interval.start])

    def _rows_of(self, column: str) -> dict[str, np.ndarray]:
        if column not in self._groups:
            groups = self.table.groupby(column, sort=False).indices
            self._groups[column] = {str(key): rows for key, rows in groups.items()}
        return self._groups[column]

    def gene(self, name: str) -> Interval:
        """The gene of that name or identifier, from its first to its last base, on its strand.

        Parameters
        ----------
        name
            Gene name, in any case, or gene identifier, with or without version.

        Raises
        ------
        ValueError
            If there is no such gene (the message names the nearest), or there are several of that name.
        """
        rows = self._find_gene(name)
        found = self.table.iloc[rows]
        places = found.groupby(["chrom", "gene_id"], sort=False).agg(
            start=("start", "min"), end=("end", "max")
        )
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

    def _find_gene(self, name: str) -> np.ndarray:
        names, identifiers = self._rows_of("gene"), self._rows_of("gene_id")
        for groups in (names, identifiers):
            if name and name in groups:
                return groups[name]
        lower = name.lower()
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
            f"A gene must be one of the {len(known):,} of {self.source}; received {name!r}. {hint}"
            f"Use another name of it, or an annotation that holds it."
        )

    def tss(self, gene: str) -> tuple[str, int, str]:
        """Contig, 0-based position and strand of the first base of a gene.

        Raises
        ------
        ValueError
            If there is no such gene, or it has no strand.
        """
        place = self.gene(gene)
        if place.strand == ".":
            raise ValueError(
                f"A gene must have one strand for a start; {gene} of {self.source} has none. Take an end of gene({gene!r}) yourself."
            )
        return place.chrom, place.start if place.strand == "+" else place.end - 1, place.strand

    def genes(self, interval: Interval) -> pd.DataFrame:
        """One row a transcript that overlaps an interval, for drawing.

        Columns [gene, gene_id, transcript, chrom, start, end, strand, exons, cds]; `start` and `end` are those of the
        whole transcript; `exons` and `cds` are tuples of (start, end), sorted, of those that overlap the interval. A gene
        without transcripts has one row with its own ends.
        """
        import pandas as pd

        local = self.table.iloc[self._overlapping(interval)]
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

    # Elements ---------------------------------------------------------------------------------------------------------

    def elements(
        self, kinds: str | Sequence[str] | None = None, *, promoter: tuple[int, int] = PROMOTER
    ) -> pd.DataFrame:
        """Stretches [chrom, start, end, element] that are of each kind of element, both strands and all transcripts merged.

        Parameters
        ----------
        kinds
            One or more of `kinds` of this annotation; all but intergenic, which has no ends, when not given. An intron
            is a gap between exons of one transcript, and may hold an exon of another.
        promoter
            bp before and after the first base of each transcript, on its strand, that are its promoter.

        Raises
        ------
        ValueError
            If there is no such kind.
        """
        import pandas as pd

        chosen = (
            [kind for kind in self.kinds if kind != "intergenic"] if kinds is None else self._chosen(kinds)
        )
        parts = []
        for kind in chosen:
            if kind == "intergenic":
                raise ValueError(
                    "elements() lists kinds that have ends; intergenic has none without the length of the contig. "
                    "Use indicator() for it."
                )
            for chrom, starts, ends in self._stretches(kind, promoter).values():
                parts.append(pd.DataFrame({"chrom": chrom, "start": starts, "end": ends, "element": kind}))
        if not parts:
            return pd.DataFrame({"chrom": [], "start": [], "end": [], "element": []})
        return pd.concat(parts, ignore_index=True).sort_values(
            ["chrom", "start", "end", "element"], ignore_index=True
        )

    def indicator(
        self,
        interval: Interval,
        element: str | Sequence[str],
        *,
        spans: np.ndarray | None = None,
        promoter: tuple[int, int] = PROMOTER,
    ) -> np.ndarray:
        """Which bases [base] or tokens [token] of an interval are in an element; bool.

        Parameters
        ----------
        interval
            The interval of the sequence. On the strand "-" the first value is that of its last base in the genome, as
            in the sequence that a Reference returns.
        element
            One of `kinds`, or several, whose union counts. Intergenic is what is in no gene.
        spans
            [token, 2] in bp within the sequence, 0-based half-open, as in `Tokens.spans`. A token is in the element if
            any of its bases is; a token without bases never is.
        promoter
            As in `elements`.

        Raises
        ------
        ValueError
            If there is no such kind, or the spans do not fit the interval.

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
            if kind == "intergenic":
                genes = [kind for kind in ("gene", "transcript") if kind in self.kinds]
                inside |= ~self._forward(interval, genes, promoter)
            else:
                inside |= self._forward(interval, [kind], promoter)
        if interval.strand == "-":
            inside = inside[::-1]
        return inside if spans is None else any_in_span(inside, spans)

    def _forward(self, interval: Interval, kinds: Sequence[str], promoter: tuple[int, int]) -> np.ndarray:
        inside = np.zeros(len(interval), dtype=bool)
        for kind in kinds:
            found = self._stretches(kind, promoter).get(canonical_contig(interval.chrom))
            if found is None:
                continue
            _, starts, ends = found
            low, high = (
                np.searchsorted(ends, interval.start, side="right"),
                np.searchsorted(starts, interval.end, side="left"),
            )
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

    def _stretches(
        self, kind: str, promoter: tuple[int, int]
    ) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
        """Contig as it is written, starts and ends, by canonical contig; merged once and kept."""
        key = (kind, promoter if kind == "promoter" else None)
        if key not in self._merged:
            chroms, starts, ends = self._raw(kind, promoter)
            self._merged[key] = {}
            for chrom in dict.fromkeys(map(str, chroms)):
                rows = np.flatnonzero(chroms == chrom)
                canonical = canonical_contig(chrom)
                spelled, *before = self._merged[key].get(
                    canonical, (chrom, np.zeros(0, np.int64), np.zeros(0, np.int64))
                )
                merged = merge(
                    np.concatenate([before[0], starts[rows]]), np.concatenate([before[1], ends[rows]])
                )
                self._merged[key][canonical] = (spelled, *merged)
        return self._merged[key]

    def _raw(self, kind: str, promoter: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        present = self.table["element"] == kind
        if kind == "intron" and not present.any():
            return introns(self.table[self.table["element"] == "exon"])
        if kind == "promoter" and not present.any():
            starting = "transcript" if (self.table["element"] == "transcript").any() else "gene"
            return promoters(self.table[self.table["element"] == starting], *promoter)
        part = self.table[present]
        return (
            part["chrom"].to_numpy(object),
            part["start"].to_numpy(np.int64),
            part["end"].to_numpy(np.int64),
        )
