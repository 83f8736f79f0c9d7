"""`windows`: stretches of the genome that lie in one genomic element each, sampled at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.genome import Interval, canonical_contig
from ntviz.projection import places
from ntviz.sequence import gc

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.annotation import Annotation
    from ntviz.reference import Reference

ELEMENTS = ("intergenic", "intron", "CDS", "five_prime_utr", "three_prime_utr")
BLOCK = 250_000
"""bp within which windows count as neighbours in the genome; see `Windows.groups`."""
COLUMNS = ("chrom", "start", "end", "strand", "element", "gene", "gc")


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of a genome, each in one element.

    Attributes
    ----------
    table
        One row a window, by element and place: chrom, start, end (0-based half-open), strand, element, gene, gc (share
        of G and C).
    sequences
        Bases of each, on its strand.
    asked
        Windows asked for, of each element; after matching, how many are left of each.
    settings
        What they were drawn with; plain data.
    """

    table: pd.DataFrame
    sequences: tuple[str, ...]
    asked: int
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = [column for column in COLUMNS if column not in self.table.columns]
        if missing or len(self.table) != len(self.sequences) or not len(self.table):
            raise ValueError(
                f"Windows must have the columns {', '.join(COLUMNS)} and a sequence for each of one row or more; received "
                f"{len(self.table):,} rows with {', '.join(map(str, self.table.columns))}, and {len(self.sequences):,} "
                "sequences. Make them with projection.windows."
            )

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.table)

    def __repr__(self) -> str:
        return f"Windows({len(self):,} of {self.length:,} bp: {_told(self.counts, 'found', ',d')})"

    @property
    def length(self) -> int:
        """Length of the longest window, bp."""
        return max(map(len, self.sequences))

    @property
    def labels(self) -> np.ndarray:
        """[window] element."""
        return self.table["element"].to_numpy(str)

    @property
    def groups(self) -> np.ndarray:
        """[window] stretch of 250 kb in which it begins: neighbours in the genome are no independent witnesses."""
        blocks = self.table["start"].to_numpy(np.int64) // BLOCK
        return np.array(
            [f"{chrom}:{block}" for chrom, block in zip(self.table["chrom"], blocks, strict=True)]
        )

    @property
    def counts(self) -> pd.DataFrame:
        """One row an element: element, asked, found, gc (mean share of G and C), gc_sd; elements without a window too."""
        import pandas as pd

        names = self.settings.get("elements") or list(dict.fromkeys(self.table["element"]))
        rows = []
        for name in names:
            part = self.table.loc[self.table["element"] == name, "gc"].to_numpy(float)
            mean = float(part.mean()) if len(part) else np.nan
            spread = float(part.std(ddof=1)) if len(part) > 1 else np.nan
            rows.append((name, self.asked, len(part), mean, spread))
        return pd.DataFrame(rows, columns=["element", "asked", "found", "gc", "gc_sd"])

    @property
    def note(self) -> str:
        """What could not be found, and the base composition that tells elements apart by itself, in words."""
        counts = self.counts
        short = counts[counts["found"] < counts["asked"]]
        said = [str(text) for text in self.settings.get("notes", ())]
        if len(short):
            said.append(
                f"Fewer windows than the {self.asked:,} asked for of an element: {_told(short, 'found', ',d')}."
            )
        return " ".join([*said, f"Share of G and C: {_told(counts[counts['found'] > 0], 'gc', '.2f')}."])

    def gc_matched(self, *, width: float = 0.05, seed: int = 0) -> Windows:
        """As many windows of each element in each bin of G and C: what then separates is not this share.

        Parameters
        ----------
        width
            Of a bin, as a share of bases.
        seed
            Of the choice within a bin.

        Raises
        ------
        ValueError
            The width is not within 0 and 1, or no bin holds every element.
        """
        if not 0 < width <= 1:
            raise ValueError(f"The width of a bin must be above 0 and at most 1; received {width}. Try 0.05.")
        rng = np.random.default_rng(seed)
        labels, bins = self.labels, np.floor(self.table["gc"].to_numpy(float) / width + 1e-9)
        names = np.unique(labels)
        kept: list[int] = []
        for one in np.unique(bins):
            there = [np.flatnonzero((bins == one) & (labels == name)) for name in names]
            for rows in there:
                kept += rng.choice(rows, min(map(len, there)), replace=False).tolist()
        if not kept:
            raise ValueError(
                f"Some bin of G and C must hold every element; with a width of {width} none does (means: {_told(self.counts, 'gc', '.2f')}). Draw "
                "more windows, or widen the bins."
            )
        kept.sort()
        each = len(kept) // len(names)
        notes = [
            *self.settings.get("notes", ()),
            f"Matched by G and C in bins of {width:g}: {each:,} of each.",
        ]
        told = {**self.settings, "notes": notes, "gc_matched": {"width": width, "seed": seed}}
        return Windows(
            self.table.iloc[kept].reset_index(drop=True),
            tuple(self.sequences[row] for row in kept),
            each,
            told,
        )


def _told(counts: pd.DataFrame, column: str, how: str) -> str:
    """A number of each element, in words."""
    return ", ".join(
        f"{name} {value:{how}}" for name, value in zip(counts["element"], counts[column], strict=True)
    )


def windows(
    annotation: Annotation,
    reference: Reference,
    *,
    elements: Sequence[str] = ELEMENTS,
    length: int = 600,
    per_element: int = 150,
    share: float = 1.0,
    region: Interval | str | None = None,
    seed: int = 0,
) -> Windows:
    """Windows drawn at random, each in one element, without N and without overlap.

    A base counts for an element when it is in no other of those asked for; in an intron, when it is in no exon of any
    transcript either. Within what there is, each place to begin is as likely as another, so long introns give more
    windows than short ones. Scarce elements are drawn first. A window is read on the strand of its gene; where there is
    none, or genes of both strands, on either with equal chance.

    A window wholly inside an exon is one of a long exon: 600 bp in the coding part say little of an exon of 120 bp. A
    shorter length or a smaller share reaches more of them.

    Parameters
    ----------
    annotation
        Where elements are; see `Annotation.kinds`.
    reference
        The bases.
    elements
        Which to draw; one or more.
    length
        bp of each window.
    per_element
        Windows wanted of each; there may be fewer, which `Windows.note` and `Windows.counts` say.
    share
        Of a window's bases at least so many count for its element: 1 is wholly inside. Above one half, so that a window
        has one element only.
    region
        Where to look: an Interval, text such as `chr20:1,000-2,000` (1-based closed), or every contig that is annotated.
    seed
        The same seed draws the same windows.

    Raises
    ------
    ValueError
        A number is out of range, an element is unknown, or there is no window at all.

    References
    ----------
    Dalla-Torre et al., Nature Methods 2025, who show embeddings of sequences by the element that they hold. Ours lie in
    one element each, and bases of several elements count for none.
    """
    names = [elements] if isinstance(elements, str) else list(elements)
    _check(names, length, per_element, share)
    every, notes = _regions(annotation, reference, region)
    regions = [part for part in every if len(part) >= length]
    found = [
        places.starts_by_element(annotation, reference, part, names, length=length, share=share)
        for part in regions
    ]
    amounts = {
        name: sum(int((each[name][:, 1] - each[name][:, 0]).sum()) for each in found) for name in names
    }
    if not any(amounts.values()):
        raise ValueError(
            f"There must be room for a window of {length:,} bp in one of {', '.join(names)}; there is none in "
            f"{', '.join(part.label() for part in regions[:3]) or 'so short a region'} with share={share:g}. Ask for shorter "
            "windows, a smaller share, or a larger region."
        )
    taken: list[list[int]] = [[] for _ in regions]
    rows = []
    for number, name in enumerate(sorted(names, key=lambda each: (amounts[each], names.index(each)))):
        rng = np.random.default_rng((seed, number))
        for contig, start in places.drawn([each[name] for each in found], per_element, length, taken, rng):
            rows.append(_row(annotation, name, Interval(regions[contig].chrom, start, start + length), rng))
    rows.sort(key=lambda row: (names.index(row[4]), row[0], row[1]))
    settings = {
        "elements": names,
        "length": length,
        "per_element": per_element,
        "share": float(share),
        "regions": [str(part) for part in regions],
        "seed": seed,
        "annotation": annotation.source,
        "reference": reference.path.name,
        "notes": notes,
    }
    return _windows(reference, rows, per_element, settings)


def _windows(
    reference: Reference, rows: list[tuple[Any, ...]], asked: int, settings: dict[str, Any]
) -> Windows:
    import pandas as pd

    table = pd.DataFrame(rows, columns=list(COLUMNS[:-1]))
    sequences = tuple(
        reference.fetch(Interval(chrom, start, end, strand)).sequence
        for chrom, start, end, strand, *_ in rows
    )
    table["gc"] = [gc(text) for text in sequences]
    return Windows(table, sequences, asked, settings)


def _check(elements: list[str], length: int, per_element: int, share: float) -> None:
    if not elements or len(set(elements)) < len(elements):
        raise ValueError(
            f"elements must name one or more, each once; received {elements}. Pass for instance {list(ELEMENTS)}."
        )
    if length < 1 or per_element < 1:
        raise ValueError(
            f"length and per_element must be at least 1; received length={length} and per_element={per_element}. "
            "Defaults are 600 bp and 150 windows."
        )
    if not 0.5 < share <= 1:
        raise ValueError(
            f"share must be above 0.5 and at most 1, so that a window has one element; received {share}. Use 1 for wholly "
            "inside."
        )


def _regions(
    annotation: Annotation, reference: Reference, region: Interval | str | None
) -> tuple[list[Interval], list[str]]:
    """Where to look, and what is to be said of it."""
    if region is not None:
        asked = Interval.from_str(region) if isinstance(region, str) else region
        there = asked.intersect(reference.whole(asked.chrom))
        if there is None:
            raise ValueError(
                f"The region must have a base on its contig; received {asked.label()}, and the contig ends at "
                f"{len(reference.whole(asked.chrom)):,} bp. Check the coordinates."
            )
        return [Interval(there.chrom, there.start, there.end)], []
    known = {canonical_contig(name): name for name in reference.contigs}
    annotated = {canonical_contig(str(name)): str(name) for name in dict.fromkeys(annotation.table["chrom"])}
    missing = [name for key, name in annotated.items() if key not in known]
    found = [reference.whole(name) for key, name in annotated.items() if key in known]
    if not found:
        raise ValueError(
            f"A contig must be in the annotation and in the reference; {annotation.source} has "
            f"{', '.join(list(annotated.values())[:5]) or 'none'}, {reference.path.name} has "
            f"{', '.join(list(reference.contigs)[:5])}. Read files of one assembly."
        )
    shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
    return found, [f"Contigs without bases in {reference.path.name}: {shown}."] if missing else []


def _row(annotation: Annotation, element: str, place: Interval, rng: np.random.Generator) -> tuple[Any, ...]:
    """A row of the table: the window on the strand of the genes that it is of."""
    near = annotation.within(place).table
    own = near[near["element"] == element]
    if own.empty:
        # What is derived has no feature of its own: its transcripts, or genes, tell.
        own = near[near["element"].isin(["gene", "transcript"])]
    strands = sorted(set(own["strand"]) & {"+", "-"})
    strand = strands[0] if len(strands) == 1 else "+-"[int(rng.integers(2))]
    gene = ", ".join(dict.fromkeys(str(name) for name in own["gene"] if name))
    return place.chrom, place.start, place.end, strand, element, gene
