"""`Allele`: one alternative as a file has it, what becomes of it, and its shortest, leftmost form."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ntviz.genome import Variant

STATUSES = {
    "ok": "scored",
    "swapped": "scored: the reference has the alternative base; alleles swapped, signs turned back",
    "duplicate": "scored, and the same as an allele before it in the file",
    "ref_mismatch": "REF is not what the reference has there",
    "contig_missing": "the reference has no such contig",
    "out_of_bounds": "the position, or what has to be read around it, lies beyond the contig's end",
    "n_in_window": "no window of full length without N holds it",
    "ambiguous_base": "REF or ALT has N or another IUPAC letter",
    "symbolic": "ALT has no sequence: <DEL>, *, a breakend",
    "missing": "there is no ALT",
    "same_as_ref": "ALT is REF",
    "too_long": "the alleles are longer than half a window, or than the distance of a splice network",
    "no_gene": "no gene of the annotation holds the position; splice networks are asked gene by gene",
    "malformed": "the line cannot be read as a record, or REF is no bases",
}
"""What became of an allele, and its meaning."""

SCORED = ("ok", "swapped", "duplicate")
"""Statuses whose alleles have scores; `ref_mismatch` has them too where mismatches are only flagged."""

_BASES = frozenset("ACGT")
_LETTERS = frozenset("ACGTNRYSWKMBDHVU")


class Allele(NamedTuple):
    """One alternative of a record, as the file has it: any text, nothing checked.

    `pos` counts from 1, as in VCF. ALT "-" is a deletion of all of REF, as tables of Kircher, VEP and MAF write it.
    """

    chrom: str
    pos: int
    ref: str
    alt: str

    @property
    def bases(self) -> tuple[str, str]:
        """Upper-case bases of `ref` and `alt`; none for "-"."""
        return self.ref.upper(), "" if self.alt == "-" else self.alt.upper()

    @classmethod
    def of(cls, variant: Variant | str) -> Allele:
        """The allele of a variant, or of text in a dialect that `Variant.from_str` knows."""
        if isinstance(variant, str):
            variant = Variant.from_str(variant)
        return cls(variant.chrom, variant.pos, variant.ref, variant.alt)


class Change(NamedTuple):
    """The change itself: bases [start, end) of the contig, 0-based half-open, are replaced by `alt`; either may be empty."""

    start: int
    end: int
    ref: str
    alt: str

    @property
    def kind(self) -> str:
        """SNV, MNV, insertion, deletion or delins; the last replaces bases and changes the length."""
        if len(self.ref) == len(self.alt):
            return "SNV" if len(self.ref) == 1 else "MNV"
        if not self.ref:
            return "insertion"
        return "delins" if self.alt else "deletion"

    @property
    def length(self) -> int:
        """Length of the longer allele, in bp."""
        return max(len(self.ref), len(self.alt))


def letters_status(ref: str, alt: str) -> str:
    """The status that the letters alone decide, for upper-case alleles; empty when both are bases and differ.

    Examples
    --------
    >>> [letters_status(*alleles) for alleles in (("A", "<DEL>"), ("A", "R"), ("AC", "-"), ("-", "A"))]
    ['symbolic', 'ambiguous_base', '', 'malformed']
    """
    if alt in ("", "."):
        return "missing"
    alt = "" if alt == "-" else alt
    if not _LETTERS.issuperset(alt):
        return "symbolic"
    if not _BASES.issuperset(alt) or not _BASES.issuperset(ref):
        return "malformed" if not ref or not _LETTERS.issuperset(ref) else "ambiguous_base"
    if not ref:
        return "malformed"
    return "same_as_ref" if ref == alt else ""


def smallest(start: int, ref: str, alt: str, *, left_first: bool = False) -> Change:
    """The change without the bases that both alleles share at their ends, the right end first, or the left.

    Examples
    --------
    >>> smallest(100, "CTT", "CT")
    Change(start=101, end=102, ref='T', alt='')
    """
    if left_first:
        lead = _shared(ref, alt)
        start, ref, alt = start + lead, ref[lead:], alt[lead:]
    shared = _shared(ref[::-1], alt[::-1])
    ref, alt = ref[: len(ref) - shared], alt[: len(alt) - shared]
    lead = _shared(ref, alt)
    return Change(start + lead, start + len(ref), ref[lead:], alt[lead:])


def _shared(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def left_aligned(change: Change, before: Callable[[int], str]) -> Change:
    """The same insertion or deletion as far left as it goes (Tan et al. 2015); other changes come back as they are.

    `before` gives the base at a 0-based position of the contig, and empty text before its start.

    Examples
    --------
    >>> genome = "GCACACAT"
    >>> left_aligned(Change(5, 7, "CA", ""), lambda at: genome[at : at + 1] if at >= 0 else "")
    Change(start=1, end=3, ref='CA', alt='')
    """
    if bool(change.ref) == bool(change.alt):
        return change
    moving, start = change.ref or change.alt, change.start
    while (base := before(start - 1)) and base == moving[-1]:
        moving = base + moving[:-1]
        start -= 1
    end = start + len(change.ref)
    return Change(start, end, moving, "") if change.ref else Change(start, end, "", moving)
