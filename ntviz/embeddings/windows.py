"""`windows`: parts of the genome that lie in one genomic element each, drawn at random, with their sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ntviz.annotation import Annotation
from ntviz.annotation.windows import inside
from ntviz.genome import Interval
from ntviz.genome.sequence import gc
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
        One row a window, by element and place: chrom, start, end (0-based half-open), strand, element, gene, gc (share of
        G and C).
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
                "sequences. Make them with embeddings.windows."
            )

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        longest = max(map(len, self.sequences))
        return f"Windows({len(self):,} of {longest:,} bp: {_listed(self.counts, 'found', ',d')})"

    @property
    def labels(self) -> np.ndarray:
        """[window] element."""
        return self.table["element"].to_numpy(str)

    @property
    def groups(self) -> np.ndarray:
        """[window] block of 250 kb in which it begins: neighbours in the genome are no independent draws."""
        blocks = self.table["start"].to_numpy(np.int64) // BLOCK
        return np.array([f"{name}:{block}" for name, block in zip(self.table["chrom"], blocks, strict=True)])

    @property
    def counts(self) -> pd.DataFrame:
        """One row an element: element, asked, found, gc (mean share of G and C), gc_sd; elements without a window too."""
        names = self.settings.get("elements") or list(dict.fromkeys(self.table["element"]))
        counts = self.table.groupby("element")["gc"].agg(found="size", gc="mean", gc_sd="std").reindex(names)
        counts.insert(0, "asked", self.asked)
        return counts.fillna({"found": 0}).astype({"found": int}).rename_axis("element").reset_index()

    @property
    def note(self) -> str:
        """What could not be found, and the base composition that tells elements apart by itself, in words."""
        counts, notes = self.counts, list(map(str, self.settings.get("notes", ())))
        short = counts[counts["found"] < counts["asked"]]
        if len(short):
            notes.append(f"Fewer windows than the {self.asked:,} asked for of an element: {_listed(short, 'found', ',d')}.")  # fmt: skip
        return " ".join([*notes, f"Share of G and C: {_listed(counts[counts['found'] > 0], 'gc', '.2f')}."])

    def gc_matched(self, *, width: float = 0.05, seed: int = 0) -> Windows:
        """As many windows of each element in each bin of G and C, `width` wide: what then separates is not this share."""
        if not 0 < width <= 1:
            raise ValueError(f"The width of a bin must be above 0 and at most 1; received {width}. Try 0.05.")
        rng = np.random.default_rng(seed)
        labels, bins = self.labels, np.floor(self.table["gc"].to_numpy(float) / width + 1e-9)
        names, kept = np.unique(labels), list[int]()
        for number in np.unique(bins):
            by_element = [np.flatnonzero((bins == number) & (labels == name)) for name in names]
            fewest = min(map(len, by_element))
            for rows in by_element:
                kept += rng.choice(rows, fewest, replace=False).tolist()
        if not kept:
            raise ValueError(
                f"Some bin of G and C must hold every element; with a width of {width} none does (means: "
                f"{_listed(self.counts, 'gc', '.2f')}). Draw more windows, or widen the bins."
            )
        kept.sort()
        each = len(kept) // len(names)
        note = f"Matched by G and C in bins of {width:g}: {each:,} of each."
        matched = {"notes": [*self.settings.get("notes", ()), note], "gc_matched": {"width": width, "seed": seed}}
        sequences = tuple(self.sequences[row] for row in kept)
        return Windows(self.table.iloc[kept].reset_index(drop=True), sequences, each, {**self.settings, **matched})


def _listed(counts: pd.DataFrame, column: str, how: str) -> str:
    """A number of each element, in words."""
    return ", ".join(f"{name} {value:{how}}" for name, value in counts[["element", column]].itertuples(False))


def windows(
    annotation: Annotation, reference: Reference, *, elements: Sequence[str] = ELEMENTS, length: int = 600,
    per_element: int = 150, share: float = 1.0, region: Interval | str | None = None, seed: int = 0,
) -> Windows:  # fmt: skip
    """Windows drawn at random, each in one element, without N and without overlap.

    A base counts for an element when it is in no other of those asked for; in an intron, when it is in no exon of any
    transcript either. Each place to begin is as likely as another, so long introns give more windows than short ones.
    Scarce elements are drawn first. A window is read on the strand of its gene; where there is none, or genes of both
    strands, on either with equal chance. 600 bp wholly in the coding part are those of a long exon: a shorter length or
    a smaller share reaches more of them.

    Parameters
    ----------
    elements
        Which to draw; one or more.
    length
        bp of each window.
    per_element
        Windows wanted of each; there may be fewer, which `Windows.note` and `Windows.counts` say.
    share
        Of a window's bases at least so many count for its element: above one half, 1 is wholly inside.
    region
        Where to look: an Interval, text such as `chr20:1,000-2,000` (1-based closed), or every contig that is annotated.
    seed
        The same seed draws the same windows.

    References
    ----------
    Dalla-Torre et al., Nature Methods 2025, who show embeddings of sequences by the element that they hold. Ours lie in
    one element each.
    """
    names = [elements] if isinstance(elements, str) else list(elements)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"elements must name one or more, each once; received {names}. Pass for instance {list(ELEMENTS)}.")  # fmt: skip
    if length < 1 or per_element < 1 or not 0.5 < share <= 1:
        raise ValueError(
            "length and per_element must be at least 1, and share above 0.5 and at most 1, so that a window has one element; "
            f"received length={length}, per_element={per_element}, share={share}."
        )
    table, regions, note = inside(
        annotation, reference, names, length=length, n=per_element, share=share, region=region, seed=seed
    )
    settings = {
        **{"elements": names, "length": length, "per_element": per_element, "share": float(share)},
        **{"regions": list(map(str, regions)), "seed": seed, "annotation": annotation.source},
        **{"reference": reference.path.name, "notes": [note] if note else []},
    }
    places = table[list(COLUMNS[:4])].itertuples(index=False)
    sequences = tuple(reference.fetch(Interval(*place)).sequence for place in places)
    return Windows(table.assign(gc=list(map(gc, sequences))), sequences, per_element, settings)
