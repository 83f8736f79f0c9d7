"""One line of GTF, GFF3 or BED to features, and what is wrong with it when it is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote

_TRANSCRIPTS = {
    "transcript",
    "mrna",
    "primary_transcript",
    "pseudogenic_transcript",
    "v_gene_segment",
    "c_gene_segment",
}
_ELEMENTS = {
    "gene": "gene",
    "pseudogene": "gene",
    "ncrna_gene": "gene",
    "exon": "exon",
    "pseudogenic_exon": "exon",
    "cds": "CDS",
    "utr": "UTR",
    "untranslated_region": "UTR",
    "start_codon": "start_codon",
    "stop_codon": "stop_codon",
}
_FIVE_PRIME, _THREE_PRIME = (
    # 5UTR, 5'UTR, five_prime_UTR, 5-prime-UTR, five_prime_untranslated_region, UTR5, utr_5prime, ...
    re.compile(rf"{end}(utr|untranslatedregion)|utr{end}")
    for end in ("(5|five)(prime)?", "(3|three)(prime)?")
)
_GTF_ATTRIBUTE = re.compile(r'\b(gene_id|gene_name|transcript_id|origin)\s+(?:"([^"]*)"|([^";\s]+))')
_CCRE_ACCESSION = re.compile(r"E[HM]\d\dE\d{7}")


class Row(NamedTuple):
    """One feature, 0-based half-open; the fields are the columns of `Annotation.table`."""

    chrom: str
    start: int
    end: int
    strand: str
    element: str
    gene: str = ""
    gene_id: str = ""
    transcript: str = ""
    name: str = ""
    origin: str = ""


class LineError(Exception):
    """What is wrong with a line."""


def integer(text: str, what: str) -> int:
    """A whole number of a line, called `what` in the message."""
    try:
        return int(text)
    except ValueError:
        raise LineError(f"the {what} must be an integer and is {text[:20]!r}") from None


def _columns(line: str) -> tuple[str, str, int, int, str, str]:
    """Contig, feature, start and end (0-based half-open), strand and attributes of a line of GTF or GFF3."""
    fields = line.split("\t")
    if len(fields) != 9:
        raise LineError(f"it must have 9 columns separated by tabs and has {len(fields)}")
    start, end = integer(fields[3], "start"), integer(fields[4], "end")
    if not 1 <= start <= end:
        raise LineError(f"the start must be at least 1 and not after the end, and they are {start} and {end}")
    strand = fields[6]
    if strand not in ("+", "-", ".", "?"):
        raise LineError(f"the strand must be +, - or . and is {strand[:20]!r}")
    if not fields[0]:
        raise LineError("the contig must have a name and has none")
    return fields[0], fields[2], start - 1, end, strand.replace("?", "."), fields[8]


def _element(feature: str) -> str:
    lower = feature.lower()
    if lower in _TRANSCRIPTS or lower.endswith("rna"):
        return "transcript"
    if lower in _ELEMENTS or ("utr" not in lower and "untranslated" not in lower):
        return _ELEMENTS.get(lower, feature)
    letters = re.sub(r"[^a-z0-9]", "", lower)
    if _FIVE_PRIME.fullmatch(letters):
        return "five_prime_utr"
    return "three_prime_utr" if _THREE_PRIME.fullmatch(letters) else feature


def gtf(line: str) -> tuple[Row]:
    """The feature of a line of GTF."""
    chrom, feature, start, end, strand, attributes = _columns(line)
    found = {key: quoted or bare for key, quoted, bare in _GTF_ATTRIBUTE.findall(attributes)}
    if "gene_id" not in found:
        raise LineError("the attributes must name a gene_id and do not")
    gene_id = found["gene_id"]
    return (
        Row(
            chrom,
            start,
            end,
            strand,
            _element(feature),
            found.get("gene_name") or gene_id,
            gene_id,
            found.get("transcript_id", ""),
            origin=found.get("origin", ""),
        ),
    )


class Gff3:
    """Lines of GFF3, whose genes and transcripts are found by following Parent when all lines are read."""

    def __init__(self) -> None:
        # Identifier to parent, element and names of the feature.
        self._known: dict[str, tuple[str, str, dict[str, str]]] = {}

    def __call__(self, line: str) -> list[Row]:
        chrom, feature, start, end, strand, text = _columns(line)
        attributes = {}
        for pair in text.strip().strip(";").split(";"):
            key, equals, value = pair.partition("=")
            if not equals and pair.strip() not in ("", "."):
                raise LineError(f"the attributes must be key=value and hold {pair[:20]!r}")
            attributes[key.strip()] = value.strip()
        element = _element(feature)
        identifier, parents = attributes.get("ID", ""), attributes.get("Parent", "")
        if identifier:
            self._known[identifier] = (parents.split(",")[0], element, attributes)
        # The identifiers are kept in the columns that `resolved` fills.
        origin = unquote(attributes.get("origin", ""))
        name = unquote(attributes.get("Name", ""))
        return [
            Row(chrom, start, end, strand, element, "", identifier, parent, name, origin)
            for parent in parents.split(",")
        ]

    def resolved(self, rows: list[Row]) -> Iterator[Row]:
        for row in rows:
            transcript = gene = ""
            current = row.gene_id if row.element in ("gene", "transcript") else row.transcript
            seen = set()
            while current in self._known and current not in seen:
                seen.add(current)
                parent, element, _ = self._known[current]
                if element == "gene":
                    gene = current
                elif element == "transcript" and not transcript:
                    transcript = current
                current = parent
            own = self._known[gene][2] if gene else {}
            below = self._known[transcript][2] if transcript else {}
            yield row._replace(
                gene=unquote(own.get("gene_name") or own.get("Name") or own.get("gene") or gene),
                gene_id=unquote(own.get("gene_id") or gene),
                transcript=unquote(below.get("transcript_id") or transcript),
            )


def bed(line: str, element: str | None) -> list[Row]:
    """The features of a line of BED: one, or the parts of a transcript where it has twelve columns."""
    fields = line.split("\t") if "\t" in line else line.split()
    if len(fields) < 3:
        raise LineError(f"it must have at least 3 columns and has {len(fields)}")
    chrom = fields[0]
    start, end = integer(fields[1], "start"), integer(fields[2], "end")
    if not 0 <= start < end:
        raise LineError(f"the start must be at least 0 and before the end, and they are {start} and {end}")
    name = fields[3] if len(fields) > 3 else ""
    if len(fields) >= 6 and _CCRE_ACCESSION.fullmatch(fields[4]):
        # ENCODE's registry: contig, start, end, accession of the DHS, accession of the cCRE, class.
        return [Row(chrom, start, end, ".", element or fields[5].split(",")[0], name=fields[4])]
    if len(fields) >= 10 and _CCRE_ACCESSION.fullmatch(name):
        # The same from ENCODE's portal and from UCSC: nine columns of BED, named by the cCRE, then its class.
        return [Row(chrom, start, end, ".", element or fields[9].split(",")[0], name=name)]
    strand = fields[5] if len(fields) > 5 else "."
    if strand not in ("+", "-", "."):
        raise LineError(f"the strand must be +, - or . and is {strand[:20]!r}")
    if len(fields) < 12:
        return [Row(chrom, start, end, strand, element or "region", name=name)]
    return _bed_transcript(fields, start, end, strand, name)


def _bed_transcript(fields: list[str], start: int, end: int, strand: str, name: str) -> list[Row]:
    def row(left: int, right: int, element: str) -> Row:
        return Row(fields[0], left, right, strand, element, name, name, name, name)

    sizes, starts = (
        [integer(number, "block") for number in fields[column].strip(",").split(",")] for column in (10, 11)
    )
    if not len(sizes) == len(starts) == integer(fields[9], "number of blocks"):
        raise LineError(
            f"it must have {fields[9]} block sizes and starts and has {len(sizes)} and {len(starts)}"
        )
    exons = [(start + offset, start + offset + size) for size, offset in zip(sizes, starts, strict=True)]
    if exons[0][0] != start or exons[-1][1] != end or min(sizes) < 1:
        raise LineError(
            f"its blocks must begin at {start} and end at {end}, and they go from {exons[0][0]} to {exons[-1][1]}"
        )
    first, last = integer(fields[6], "start of the thick part"), integer(fields[7], "end of the thick part")
    rows = [row(start, end, "transcript"), *(row(left, right, "exon") for left, right in exons)]
    if first >= last:
        return rows
    before, after = (
        ("three_prime_utr", "five_prime_utr") if strand == "-" else ("five_prime_utr", "three_prime_utr")
    )
    for left, right in exons:
        for low, high, element in (
            (left, min(right, first), before),
            (max(left, first), min(right, last), "CDS"),
            (max(left, last), right, after),
        ):
            if low < high:
                rows.append(row(low, high, element))
    return rows


def sided(rows: list[Row]) -> list[Row]:
    """Rows in which each UTR is that of an end; one without CDS in its transcript stays UTR."""
    if not any(row.element == "UTR" for row in rows):
        return rows
    coding: dict[tuple[str, str], int] = {}
    for row in rows:
        if row.element == "CDS":
            key = (row.chrom, row.transcript)
            coding[key] = min(row.start, coding.get(key, row.start))
    sided = []
    for row in rows:
        if row.element == "UTR" and (row.chrom, row.transcript) in coding and row.strand != ".":
            left = row.start < coding[row.chrom, row.transcript]
            row = row._replace(element="five_prime_utr" if left == (row.strand == "+") else "three_prime_utr")
        sided.append(row)
    return sided
