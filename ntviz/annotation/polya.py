"""Polyadenylation signals: the hexamers at the ends of transcripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntviz.annotation.combining import from_table
from ntviz.annotation.elements import Annotation
from ntviz.genome import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDS = ("AATAAA", "ATTAAA")


def polya_signals(
    genes: Annotation,
    reference: Any,
    *,
    within: Interval | None = None,
    reach: int = 50,
    words: Sequence[str] = WORDS,
) -> Annotation:
    """The hexamer at the end of each transcript that has one, as the element ``polya_signal``.

    Looked for in the last `reach` bp of each transcript, on its strand: the first of `words` that is there, and of several
    of one word the one nearest to the end. Transcripts that end at the same base have one, searched for in the longest of
    them. `Annotation.note` says how many have one.

    Parameters
    ----------
    genes
        With transcripts, or genes where there are none.
    reference
        A `Reference`, or whatever fetches the bases of an Interval.
    within
        Only transcripts that end in it.
    reach
        bp before the end that are searched.
    words
        In order of preference.

    Raises
    ------
    ValueError
        There is no transcript and no gene, or a word is no A, C, G, T or longer than `reach`.

    References
    ----------
    AATAAA and ATTAAA are the signals of 58 % and 15 % of human 3' ends, mostly 10 to 30 nt before the cleavage site:
    Beaudoing et al., Genome Research 2000. Annotated ends are less exact than theirs, hence 50 bp.
    """
    import pandas as pd

    wrong = [word for word in words if not word or set(word) - set("ACGT") or len(word) > reach]
    if wrong or not words:
        raise ValueError(
            f"Signals must be words of A, C, G and T of at most {reach} bp, the reach; received {list(wrong) or 'none'}. The "
            f"default are {' and '.join(WORDS)}."
        )
    table = genes.features
    kind = next((kind for kind in ("transcript", "gene") if (table["element"] == kind).any()), None)
    if kind is None:
        raise ValueError(
            f"Signals are looked for at the ends of transcripts; {genes!r} has neither transcripts nor genes. Read a GTF."
        )
    tails: dict[tuple[str, int, str], tuple[Interval, str]] = {}
    for row in table[table["element"] == kind].itertuples():
        chrom, strand, first, end = str(row.chrom), str(row.strand), int(row.start), int(row.end)
        last = first if strand == "-" else end - 1
        if strand not in "+-" or (
            within is not None and not within.overlaps(Interval(chrom, last, last + 1))
        ):
            continue
        size = min(reach, end - first)
        tail = Interval(chrom, *((first, first + size) if strand == "-" else (end - size, end)), strand)
        held = tails.get((chrom, last, strand))
        if held is None or len(held[0]) < size:
            tails[chrom, last, strand] = tail, str(row.gene)
    rows = []
    for tail, gene in tails.values():
        chrom, strand, bases = tail.chrom, tail.strand, reference.fetch(tail).sequence
        for word in words:
            place = bases.rfind(word)
            if place >= 0:
                left = tail.end - place - len(word) if strand == "-" else tail.start + place
                rows.append((chrom, left, left + len(word), strand, gene))
                break
    found = pd.DataFrame(rows, columns=["chrom", "start", "end", "strand", "gene"])
    return from_table(
        found,
        element="polya_signal",
        kinds=["polya_signal"],
        source="ends of transcripts",
        note=f"{len(rows):,} of {len(tails):,} ends of a {kind} have {' or '.join(words)} in their last {reach} bp",
    )
