"""`Variant`: a replacement of reference bases, its dialects and its kind."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ntviz.genome.contigs import ACCESSION, check_contig_name
from ntviz.genome.interval import NUMBER, Interval, as_position

_ALLELE = r"[^\s:_>/-]*|-|<\S+>"
_VARIANT_FORMS = (
    # chr20:1024:A>C, chr20:1024A>C, chr20:g.1024A>C, 20:1024_A/C
    re.compile(rf"(?P<chrom>\S+):(?:g\.)?(?P<pos>{NUMBER})[:_ ]?(?P<ref>{_ALLELE})[>/](?P<alt>{_ALLELE})"),
    # 20:1024:A:C, 20-1024-A-C, 20_1024_A_C and GTEx's chr20_1024_A_C_b38
    re.compile(
        rf"(?P<chrom>\S+)(?P<sep>[:_-])(?P<pos>{NUMBER})(?P=sep)"
        rf"(?P<ref>{_ALLELE})(?P=sep)(?P<alt>{_ALLELE})(?:_b3[78])?"
    ),
)
_VARIANT_ADVICE = (
    "Write a variant as chr20:1024:A>C, 20-1024-A-C or as the VCF columns CHROM POS ID REF ALT (1-based)."
)
_ANCHOR_ADVICE = (
    "Write insertions and deletions as VCF does, with the base before them in both alleles: "
    "chr20:1023:GA>G deletes the A at 1024, chr20:1023:G>GT inserts a T after 1023."
)


@dataclass(frozen=True, slots=True)
class Variant:
    """A replacement of reference bases by others, on the forward strand, as one biallelic line of a VCF.

    Parameters
    ----------
    chrom
        Contig name, without whitespace.
    pos
        **1-based** position of the first base of `ref`, as in VCF. `start` and `end` are 0-based half-open.
    ref, alt
        Bases of the reference and of the alternative, from A, C, G, T, N; lower case is upper-cased. Neither
        is empty: insertions and deletions carry the anchor base of VCF.

    Raises
    ------
    ValueError
        If an allele is empty, equal to the other or holds other letters, or the position is below 1.
    TypeError
        If the position is not an integer or an allele is not text.

    Examples
    --------
    >>> variant = Variant.from_str("20-1024-A-C")
    >>> str(variant), variant.start, variant.kind
    ('20:1024:A>C', 1023, 'SNV')
    """

    chrom: str
    pos: int
    ref: str
    alt: str

    def __post_init__(self) -> None:
        check_contig_name(self.chrom)
        object.__setattr__(self, "pos", as_position(self.pos, "pos"))
        if self.pos < 1:
            raise ValueError(
                f"A variant's position is 1-based and must be at least 1; received {self.pos}. "
                f"Add 1 to a 0-based (BED) position."
            )
        object.__setattr__(self, "ref", _check_allele(self.ref, "REF"))
        object.__setattr__(self, "alt", _check_allele(self.alt, "ALT"))
        if self.ref == self.alt:
            raise ValueError(
                f"The two alleles of a variant must differ; received {self.ref} for both at "
                f"{self.chrom}:{self.pos}. Drop the record, or correct its ALT."
            )

    @classmethod
    def from_str(cls, text: str) -> Variant:
        """The variant written in one of the common dialects; the position is 1-based in all of them.

        Parameters
        ----------
        text
            `chr20:1024:A>C`, `chr20:1024A>C`, `20:1024:A:C`, `20-1024-A-C`, `20_1024_A_C` (a suffix `_b37` or
            `_b38` is dropped), or columns separated by tabs or spaces: `CHROM POS REF ALT`, or the first
            five or more of a VCF line, `CHROM POS ID REF ALT …`.

        Raises
        ------
        ValueError
            If the text is in no dialect (an rsID needs a database), an allele is not made of bases, there is
            more than one alternative (`A,C`), or the position may count from 0 (SPDI).
        TypeError
            If it is not text.

        Examples
        --------
        >>> Variant.from_str("chr20 1024 rs1 GA G").kind
        'deletion'
        """
        if not isinstance(text, str):
            raise TypeError(
                f"A variant must be text; received {type(text).__name__} {text!r}. {_VARIANT_ADVICE}"
            )
        stripped = text.strip()
        fields = stripped.split()
        if len(fields) >= 4 and re.fullmatch(NUMBER, fields[1]):
            chrom, pos, (ref, alt) = fields[0], fields[1], fields[2:4] if len(fields) == 4 else fields[3:5]
        else:
            for form in _VARIANT_FORMS:
                match = form.fullmatch(stripped)
                if match is not None:
                    break
            else:
                hint = ""
                if re.fullmatch(r"rs\d+", stripped, re.IGNORECASE):
                    hint = "An rsID needs a database to find its position. "
                raise ValueError(
                    f"A variant must name contig, position, REF and ALT; received {text!r}. "
                    f"{hint}{_VARIANT_ADVICE}"
                )
            chrom, pos, ref, alt = match["chrom"], match["pos"], match["ref"], match["alt"]
            if match.groupdict().get("sep") == ":" and ACCESSION.fullmatch(chrom):
                raise ValueError(
                    f"A position must count from 1; received {text!r}, which is SPDI and counts from 0. "
                    "Write it with '>' and the 1-based position: "
                    f"{chrom}:{int(pos.replace(',', '')) + 1}:{ref}>{alt}."
                )
        return cls(chrom, int(pos.replace(",", "")), ref, alt)

    def __str__(self) -> str:
        """The variant as `chr20:1024:A>C`, 1-based."""
        return f"{self.chrom}:{self.pos}:{self.ref}>{self.alt}"

    @property
    def start(self) -> int:
        """0-based position of the first reference base."""
        return self.pos - 1

    @property
    def end(self) -> int:
        """0-based position after the last reference base."""
        return self.pos - 1 + len(self.ref)

    @property
    def interval(self) -> Interval:
        """The reference bases that are replaced, 0-based half-open, without strand."""
        return Interval(self.chrom, self.start, self.end)

    @property
    def is_snv(self) -> bool:
        """Whether one base replaces one base."""
        return len(self.ref) == len(self.alt) == 1

    @property
    def is_indel(self) -> bool:
        """Whether the sequence changes its length."""
        return len(self.ref) != len(self.alt)

    @property
    def kind(self) -> str:
        """One of `SNV`, `MNV`, `insertion`, `deletion`, `delins`.

        An MNV keeps the length; a delins replaces bases and changes it.
        """
        if self.is_snv:
            return "SNV"
        if not self.is_indel:
            return "MNV"
        short, long = sorted((self.ref, self.alt), key=len)
        # VCF puts the anchor before the change, and after it at the first base of a contig.
        if not (long.startswith(short) or long.endswith(short)):
            return "delins"
        return "insertion" if len(self.alt) > len(self.ref) else "deletion"


def _check_allele(allele: str, what: str) -> str:
    if not isinstance(allele, str):
        raise TypeError(
            f"{what} must be text; received {type(allele).__name__} {allele!r}. Write the bases in quotes."
        )
    if allele in ("", "-", "."):
        raise ValueError(f"{what} must hold at least one base; received {allele!r}. {_ANCHOR_ADVICE}")
    upper = allele.upper()
    for position, letter in enumerate(upper, start=1):
        if letter in "ACGTN":
            continue
        advice = "Symbolic alleles, * and IUPAC letters have no sequence to score."
        if letter == ",":
            advice = "Split records with several alternatives first, one ALT each (bcftools norm -m -any)."
        raise ValueError(
            f"{what} must be made of A, C, G, T, N; received {allele!r} with {letter!r} at letter "
            f"{position}. {advice}"
        )
    return upper
