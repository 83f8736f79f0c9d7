"""`Variant`: a replacement of reference bases, its dialects and its kind."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ntviz.genome.contigs import ACCESSION, check_contig_name
from ntviz.genome.interval import NUMBER, Interval, as_position

_ALLELE = r"[^\s:_>/-]*|-|<\S+>"
_VARIANT_FORMS = (
    # chr20:1024:A>C, chr20:1024A>C, chr20:1024-A>C, 20:1024_A/C, and HGVS: chr20:g.1024A>C, chrM:m.1024A>C
    re.compile(rf"(?P<chrom>\S+):(?:[gm]\.)?(?P<pos>{NUMBER})[:_ -]?(?P<ref>{_ALLELE})[>/](?P<alt>{_ALLELE})"),
    # 20:1024:A:C, 20-1024-A-C, chr20:1024-A-C, 20_1024_A_C and GTEx's chr20_1024_A_C_b38
    re.compile(
        rf"(?P<chrom>\S+)[:_-](?P<pos>{NUMBER})(?P<sep>[:_-])"
        rf"(?P<ref>{_ALLELE})(?P=sep)(?P<alt>{_ALLELE})(?:_b3[78])?"
    ),
    # VEP's own lines: 20 1024 1024 A/C +
    re.compile(
        rf"(?P<chrom>\S+)\s+(?P<pos>{NUMBER})\s+(?P<end>{NUMBER})\s+(?P<ref>[^\s/]+)/(?P<alt>\S+)"
        r"(?:\s+(?P<strand>[+-]1?|1)(?:\s.*)?)?"
    ),
)
_ADVICE = "Write a variant as chr20:1024:A>C, 20-1024-A-C or as the VCF columns CHROM POS ID REF ALT (1-based)."
_FOREIGN = (
    (r"(?:rs|ss)\d+", "An rsID needs a database to find its position."),
    (r"(?:VCV|RCV|SCV|COS[MV]|CA)\d+(?:\.\d+)?", "An accession of a variant needs its database to find its position."),
    (
        r".*(?:^|:)[cnrp]\..+",
        "It is HGVS along a transcript or protein (c., n., r., p.), whose place needs that transcript: convert it to g., "
        "for example with VEP or VariantValidator.",
    ),
    (
        r".*(?:^|:)[gmo]\..+",
        "It is HGVS, of which substitutions with a contig are understood (chr20:g.1024A>C; m.1024A>C of the mitochondrion); "
        "deletions, duplications, insertions and the like do not hold the bases that VCF needs.",
    ),
)
_COMPLEMENT = str.maketrans("ACGTacgt", "TGCAtgca")
_ANCHOR_ADVICE = (
    "Write insertions and deletions as VCF does, with the base before them in both alleles: "
    "chr20:1023:GA>G deletes the A at 1024, chr20:1023:G>GT inserts a T after 1023."
)


@dataclass(frozen=True, slots=True)
class Variant:
    """A replacement of reference bases by others, on the forward strand, as one biallelic line of a VCF.

    `pos` is the **1-based** position of the first base of `ref`, as in VCF; `start` and `end` are 0-based half-open. Alleles are of
    A, C, G, T, N (lower case is upper-cased) and not empty: insertions and deletions carry the anchor base of VCF.

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
                f"A variant's position is 1-based and must be at least 1; received {self.pos}. Add 1 to a 0-based position."
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

        `chr20:1024:A>C`, `chr20:1024A>C`, `20:1024:A:C`, `20-1024-A-C`, `chr20:1024-A-C`, `20_1024_A_C` (a suffix `_b37` or
        `_b38` is dropped), substitutions of HGVS (`chr20:g.1024A>C`, `chrM:m.1024A>C`, `m.1024A>C`), or columns separated by
        tabs or spaces: `CHROM POS REF ALT`, the first five or more of a VCF line, or VEP's `CHROM START END REF/ALT STRAND`,
        where strand - means that the alleles are of the reverse strand. A ValueError says that the text is in no dialect (an
        rsID needs a database, HGVS's c. and p. a transcript), or in SPDI.

        >>> Variant.from_str("chr20 1024 rs1 GA G").kind
        'deletion'
        >>> str(Variant.from_str("20 1024 1024 A/C -"))
        '20:1024:T>G'
        """
        if not isinstance(text, str):
            raise TypeError(f"A variant must be text; received {type(text).__name__} {text!r}. {_ADVICE}")
        stripped = re.sub(r"^m\.(?=\d)", "MT:m.", text.strip())
        fields = stripped.split()
        form = next((found for form in _VARIANT_FORMS if (found := form.fullmatch(stripped))), None)
        if form is not None:
            parts = form.groupdict()
        elif len(fields) >= 4 and re.fullmatch(NUMBER, fields[1]):
            ref, alt = fields[2:4] if len(fields) == 4 else fields[3:5]
            parts = {"chrom": fields[0], "pos": fields[1], "ref": ref, "alt": alt}
        else:
            reasons = (f"{why} " for form, why in _FOREIGN if re.fullmatch(form, stripped, re.IGNORECASE))
            raise ValueError(f"A variant must name contig, position, REF and ALT; received {text!r}. {next(reasons, '')}{_ADVICE}")  # fmt: skip
        chrom, pos, ref, alt = parts["chrom"], _number(parts["pos"]), parts["ref"], parts["alt"]
        if parts.get("sep") == ":" and ACCESSION.fullmatch(chrom):
            raise ValueError(
                f"A position must count from 1; received {text!r}, which is SPDI and counts from 0. Write it with '>' and the "
                f"1-based position: {chrom}:{pos + 1}:{ref}>{alt}."
            )
        if parts.get("end") and "-" not in (ref, alt) and _number(parts["end"]) != pos + len(ref) - 1:
            raise ValueError(
                f"START and END of VEP's form must be the first and last base of REF; received {text!r}, whose REF has "
                f"{len(ref)} bp. Correct END, or write CHROM POS REF ALT."
            )
        if (parts.get("strand") or "").startswith("-"):
            ref, alt = (allele[::-1].translate(_COMPLEMENT) for allele in (ref, alt))
        return cls(chrom, pos, ref, alt)

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
    def kind(self) -> str:
        """One of `SNV`, `MNV` (keeps the length), `insertion`, `deletion`, `delins` (replaces bases, changes the length)."""
        if len(self.ref) == len(self.alt):
            return "SNV" if self.is_snv else "MNV"
        short, long = sorted((self.ref, self.alt), key=len)
        # VCF puts the anchor before the change, and after it at the first base of a contig.
        if not (long.startswith(short) or long.endswith(short)):
            return "delins"
        return "insertion" if len(self.alt) > len(self.ref) else "deletion"


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _check_allele(allele: str, what: str) -> str:
    if not isinstance(allele, str):
        raise TypeError(f"{what} must be text; received {type(allele).__name__} {allele!r}. Write it in quotes.")
    if allele in ("", "-", "."):
        raise ValueError(f"{what} must hold at least one base; received {allele!r}. {_ANCHOR_ADVICE}")
    upper = allele.upper()
    if wrong := re.search("[^ACGTN]", upper):
        advice = "Symbolic alleles, * and IUPAC letters have no sequence to score."
        if wrong[0] in ",/":
            advice = "Split records with several alternatives first, one ALT each (bcftools norm -m -any)."
        raise ValueError(
            f"{what} must be made of A, C, G, T, N; received {allele!r} with {wrong[0]!r} at letter {wrong.end()}. {advice}"
        )
    return upper
