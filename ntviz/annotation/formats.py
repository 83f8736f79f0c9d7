"""One line of GTF, GFF3 or BED to features, and what is wrong with it when it is none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from ntviz.environment import whole_number

PARTS = {"exon", "CDS", "UTR", "five_prime_utr", "three_prime_utr", "start_codon", "stop_codon"}
"""Elements that a transcript is made of."""
_PRODUCTS = {"protein", "polypeptide"}  # below no gene and no transcripts, though CDS may name them as parents
# 5UTR, 5'UTR, five_prime_UTR, 5-prime-UTR, five_prime_untranslated_region, UTR5, utr_5prime, ...
_UTR = re.compile(r"(5|five|3|three)(?:prime)?(?:utr|untranslatedregion)|utr(5|five|3|three)(?:prime)?")
# A value in quotes is one thing, whatever words and semicolons it holds.
_GTF_ATTRIBUTE = re.compile(
    r"""([\w.:-]+)\s+(?:(?:"([^"]*)"|'([^']*)')(?=\s*(?:;|$)|\s+\w+\s+["'])|([^;]*?)\s*(?:;|$))"""
)
# Keys that name a gene: the first that is there is its name; the others find it too.
_NAMES = ("gene_name", "gene", "Name", "symbol", "gene_symbol", "ref_gene_name", "locus_tag")
_GTF_KEYS = {"gene_id", "transcript_id", "origin", *_NAMES}
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
    phase: int = -1
    incomplete: str = ""


class LineError(Exception):
    """What is wrong with a line."""


def says_nothing(line: str) -> bool:
    """Whether a line is empty, a comment, or for a browser."""
    return not line.strip() or line.startswith(("#", "track", "browser"))


def integer(text: str, what: str) -> int:
    """A whole number of a line, called `what` in the message; also as R writes it, such as 1e+05."""
    number = whole_number(text)
    if number is None:
        raise LineError(f"the {what} must be an integer and is {text[:20]!r}")
    return number


def half_open(first: str, second: str) -> tuple[int, int]:
    """Start and end as BED and bedGraph have them."""
    start, end = integer(first, "start"), integer(second, "end")
    if not 0 <= start < end:
        raise LineError(f"the start must be at least 0 and before the end, and they are {start} and {end}")
    return start, end


def _strand(text: str, allowed: str) -> str:
    if len(text) != 1 or text not in allowed:
        raise LineError(f"the strand must be +, - or . and is {text[:20]!r}")
    return text.replace("?", ".")


def _columns(line: str) -> tuple[Row, str]:
    """Contig, start and end (0-based half-open), strand, element and phase of a line of GTF or GFF3, and its attributes."""
    fields = line.split("\t")
    if len(fields) != 9:
        raise LineError(f"it must have 9 columns separated by tabs and has {len(fields)}")
    start, end = integer(fields[3], "start"), integer(fields[4], "end")
    if not 1 <= start <= end:
        raise LineError(f"the start must be at least 1 and not after the end, and they are {start} and {end}")
    strand, element = _strand(fields[6], "+-.?"), element_of(fields[2])
    if not fields[0]:
        raise LineError("the contig must have a name and has none")
    phase = int(fields[7]) if fields[7] in ("0", "1", "2") and element == "CDS" else -1
    incomplete = _incomplete(fields[8], strand) if element in ("transcript", "CDS") else ""
    return Row(fields[0], start - 1, end, strand, element, phase=phase, incomplete=incomplete), fields[8]


def _incomplete(attributes: str, strand: str) -> str:
    """Ends, 5 or 3, that GENCODE's and Ensembl's tags, NCBI's ranges or Prodigal's digits say the CDS lacks."""
    if not any(word in attributes for word in ("partial=", "_range=", "_NF")):
        return ""
    prodigal = re.search(r"\bpartial=([01])([01])", attributes)
    left = "start_range=." in attributes or (prodigal is not None and prodigal[1] == "1")
    right = re.search(r"\bend_range=[^;]*,\.", attributes) or (prodigal is not None and prodigal[2] == "1")
    first, last = (right, left) if strand == "-" else (left, right)
    return "5" * bool(first or "cds_start_NF" in attributes) + "3" * bool(last or "cds_end_NF" in attributes)


@cache
def _ontology() -> dict[str, str]:
    """Element of each name that the Sequence Ontology has for a gene, transcript, exon or CDS."""
    text = Path(__file__).with_name("sequence_ontology.tsv").read_text(encoding="utf-8")
    lines = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return {name.lower(): element for element, names in lines for name in names.split()}


@cache
def element_of(feature: str) -> str:
    """The name that an element has here, of what a file calls it."""
    lower = feature.lower()
    if lower in _ontology():
        return _ontology()[lower]
    if utr := _UTR.fullmatch(re.sub(r"[^a-z0-9]", "", lower)):
        return "five_prime_utr" if {"5", "five"} & {*utr.groups()} else "three_prime_utr"
    if lower.endswith(("_gene", "pseudogene")):
        return "gene"
    return "transcript" if lower.endswith(("rna", "_transcript")) else feature


class Lines:
    """Lines of one format: called with each line, and `resolved` when all are read."""

    def __init__(self) -> None:
        self.kinds: dict[str, None] = {}
        self.aliases: dict[str, dict[str, None]] = {}
        self.odd = 0  # lines kept although their attributes are not in order

    def __call__(self, line: str) -> list[Row]:
        raise NotImplementedError

    def resolved(self, rows: Iterable[Row]) -> Iterable[Row]:
        return rows


class Gtf(Lines):
    """GTF: identifiers that stand on other lines of a gene are filled in when all are read; lines of no gene need none."""

    def __init__(self) -> None:
        super().__init__()
        self.writers: set[str] = set()
        self._gene_of: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def __call__(self, line: str) -> list[Row]:
        row, text = _columns(line)
        values: dict[str, str] = {}
        for key, double, single, bare in _GTF_ATTRIBUTE.findall(text):
            # Of a key that is given twice the first counts.
            if key in _GTF_KEYS and key not in values:
                values[key] = unquote(double or single or bare.strip("\"' "))
        gene, transcript = values.get("gene_id", ""), values.get("transcript_id", "")
        if not gene and not transcript and re.fullmatch(r"[^\s=.][^\s=]*", text.strip("; ")):
            # AUGUSTUS and BRAKER write the identifier alone.
            gene, transcript = (text.strip("; ") * (row.element == kind) for kind in ("gene", "transcript"))
        if not gene and not transcript and (row.element in PARTS or row.element in ("gene", "transcript")):
            raise LineError("the attributes must name a gene_id or transcript_id and do not")
        if gene and transcript:
            self._gene_of.setdefault(transcript, gene)
        names = [values[key] for key in _NAMES if values.get(key)]
        if gene and names:
            self._names.setdefault(gene, names[0])
            for name in names:
                self.aliases.setdefault(name, {})[gene] = None
        self.kinds[row.element] = None
        self.writers.add(line.split("\t", 2)[1])
        name, origin = names[0] if names else "", values.get("origin", "")
        return [row._replace(gene=name, gene_id=gene, transcript=transcript, origin=origin)]

    def resolved(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            if (row.gene_id or row.transcript) and not (row.gene_id and row.gene):
                gene = row.gene_id or self._gene_of.get(row.transcript) or re.sub(r"\.t\d+$", "", row.transcript)
                row = row._replace(gene_id=gene, gene=row.gene or self._names.get(gene, gene))
            yield row


class _Feature(NamedTuple):
    """A feature of GFF3 with an identifier: its first parent, its element and its attributes."""

    parent: str = ""
    kind: str = ""
    attributes: dict[str, str] = {}


class Gff3(Lines):
    """GFF3, whose genes and transcripts are found by following Parent when all lines are read.

    A transcript is what the Sequence Ontology calls so, and what has exons or CDS and lies in a gene or in nothing. Exons and CDS
    of a gene itself are those of a transcript of its name; several CDS of it, of one each.
    """

    def __init__(self) -> None:
        super().__init__()
        self._nameless: set[str] = set()
        self._known: dict[str, _Feature] = {}
        # Identifiers of the CDS below each parent of parts of a transcript; None says that it has exons.
        self._parts: dict[str, dict[str | None, None]] = {}

    def __call__(self, line: str) -> list[Row]:
        row, text = _columns(line)
        attributes: dict[str, str] = {}
        key, odd = "", False
        for pair in text.strip().strip(";").split(";"):
            name, equals, value = pair.partition("=")
            if equals:
                key = name.strip()
                attributes.setdefault(key, value.strip())
            elif key:
                # A semicolon that nobody escaped belongs to the value before it.
                attributes[key] += ";" + pair.rstrip()
                odd |= bool(pair.strip())
            elif pair.strip() not in ("", "."):
                raise LineError(f"the attributes must be key=value and hold {pair[:20]!r}")
        self.odd += odd
        identifier, parents = attributes.get("ID", ""), attributes.get("Parent", "")
        if not parents and not identifier and row.element == "CDS":
            keys = (*reversed(_NAMES), "protein_id")
            identifier = next((attributes[key] for key in keys if key in attributes), "")
        if not parents and row.element in PARTS:
            parents = attributes.get("transcript_id", "")
        self.kinds[row.element] = None
        if identifier:
            self._known[identifier] = _Feature(parents.split(",")[0], row.element, attributes)
        else:
            self._nameless.add(row.element)
        for parent in parents.split(",") if row.element in PARTS else ():
            below = self._parts.setdefault(parent, {})
            if row.element in ("exon", "CDS"):
                below[identifier if row.element == "CDS" else None] = None
        # A contig is called as in the FASTA, which has no name with whitespace.
        chrom = row.chrom if re.search(r"\s", unquote(row.chrom)) else unquote(row.chrom)
        origin, name = (unquote(attributes.get(key, "")) for key in ("origin", "Name"))
        # The identifiers are kept in the columns that `resolved` fills.
        row = row._replace(chrom=chrom, gene_id=identifier, name=name, origin=origin)
        return [row._replace(transcript=parent) for parent in parents.split(",")]

    def _get(self, identifier: str) -> _Feature:
        return self._known.get(identifier, _Feature())

    def _above(self, identifier: str, element: str) -> str:
        """The nearest feature of an element that holds a feature, itself first; empty text if there is none."""
        seen: set[str] = set()
        while identifier in self._known and identifier not in seen:
            seen.add(identifier)
            if self._known[identifier].kind == element:
                return identifier
            identifier = self._known[identifier].parent
        return ""

    def _settle(self) -> None:
        """What the structure says: transcripts by their parts and genes by their transcripts, whatever they are called."""
        for identifier in [name for name, feature in self._known.items() if feature.kind == "gene"]:
            feature = self._known[identifier]
            if self._above(feature.parent, "gene") and identifier in self._parts:
                self._known[identifier] = feature._replace(kind="transcript")
        for identifier in self._parts:
            feature = self._get(identifier)
            if feature.kind and feature.kind not in {*_PRODUCTS, *PARTS, "gene", "transcript"}:
                self._known[identifier] = feature._replace(kind="transcript")
        for feature in list(self._known.values()):
            above = self._get(feature.parent)
            named = above.kind in {"", "gene", "transcript", *PARTS}
            if feature.kind == "transcript" and not named and not self._above(feature.parent, "gene"):
                self._known[feature.parent] = above._replace(kind="gene")

    def resolved(self, rows: Iterable[Row]) -> Iterator[Row]:
        self._settle()
        settled = dict.fromkeys([feature.kind for feature in self._known.values()] + sorted(self._nameless))
        self.kinds = {kind: None for kind in (*self.kinds, *settled) if kind in settled}
        for identifier, (parent, kind, attributes) in self._known.items():
            if kind == "gene" or (kind in ("transcript", "CDS") and parent not in self._known):
                gene = self._names(identifier if kind == "gene" else "", identifier)[1]
                for key in (*_NAMES, "ID"):
                    if key in attributes:
                        self.aliases.setdefault(unquote(attributes[key]), {})[gene] = None
        for row in rows:
            identifier, parent = row.gene_id, row.transcript
            if row.element in PARTS and self._get(parent).kind in _PRODUCTS:
                # CDS of TAIR has the protein beside the transcript as a parent.
                parent = self._known[parent].attributes.get("Derives_from", "")
                if any(below is not None for below in self._parts.get(parent, ())):
                    continue
            element = self._get(identifier).kind or row.element
            start = identifier if element in ("gene", "transcript") else parent
            gene, transcript = self._above(start, "gene"), self._above(start, "transcript")
            if not transcript and element in PARTS:
                several = len(below := self._parts.get(parent, {})) > 1 and None not in below
                if gene and element == "CDS" and several:
                    transcript = identifier
                elif parent or element == "CDS":
                    transcript = gene or parent or identifier
            name, gene_id = self._names(gene, transcript)
            own = "" if transcript == gene else self._get(transcript).attributes.get("transcript_id")
            transcript = unquote(own or transcript)
            yield row._replace(element=element, gene=name, gene_id=gene_id, transcript=transcript)

    def _names(self, gene: str, transcript: str) -> tuple[str, str]:
        """Name and identifier of a gene; of a transcript without one, those that it gives its own."""
        attributes = self._get(gene or transcript).attributes
        keys = ("gene_id",) if gene else ("gene_id", "geneID", "locus_tag", "gene")
        identifier = next((attributes[key] for key in keys if attributes.get(key)), gene or transcript)
        name = next((attributes[key] for key in _NAMES if attributes.get(key)), identifier)
        return unquote(name), unquote(identifier)


class Bed(Lines):
    """BED: a line is one feature, or the parts of a transcript where the first twelve columns are BED12 on a strand."""

    def __init__(self, element: str | None, *, peaks: bool) -> None:
        super().__init__()
        self._element, self._peaks = element, peaks
        self._copies: Counter[tuple[str, str, str]] = Counter()

    def __call__(self, line: str) -> list[Row]:
        rows = self._rows(line)
        self.kinds |= dict.fromkeys(row.element for row in rows)
        return rows

    def _rows(self, line: str) -> list[Row]:
        line = line.replace('"', "")  # as R puts it around text
        fields = line.split("\t") if "\t" in line else line.split()
        if len(fields) < 3:
            raise LineError(f"it must have at least 3 columns and has {len(fields)}")
        place = fields[0], *half_open(*fields[1:3])
        name = fields[3] if len(fields) > 3 else ""
        # ENCODE's registry: contig, start, end, accession of the DHS, accession of the cCRE, class. The same from ENCODE's portal
        # and from UCSC: nine columns of BED, named by the cCRE, then its class.
        for accession, kind in ((4, 5), (3, 9)):
            if len(fields) > kind and _CCRE_ACCESSION.fullmatch(fields[accession]):
                return [Row(*place, ".", self._element or fields[kind].split(",")[0], name=fields[accession])]
        strand = fields[5] if len(fields) > 5 else "."
        if strand == fields[0] or re.fullmatch(r"-?[\d.]+", strand):
            strand = "."  # a file of pairs of intervals, as of bedtools -wo: the column is one of the second
        strand = _strand(strand, "+-.")
        if len(fields) >= 12 and strand != "." and not self._peaks:
            try:
                return self._transcript(fields, *place, strand, name)
            except LineError:
                # Twelve columns are BED12 if the thick part and the number of blocks are numbers; more may be anything.
                if len(fields) == 12 and all(re.fullmatch(r"\d+", fields[at]) for at in (6, 7, 9)):
                    raise
        return [Row(*place, strand, self._element or "region", name=name)]

    def _transcript(self, fields: list[str], chrom: str, start: int, end: int, strand: str, name: str) -> list[Row]:
        """The parts of a transcript; each line is one of its own, the second of a name with _dup1 as UCSC writes it."""
        sizes, starts = ([integer(number, "block") for number in fields[column].strip(",").split(",")] for column in (10, 11))  # fmt: skip
        if not len(sizes) == len(starts) == integer(fields[9], "number of blocks"):
            raise LineError(f"it must have {fields[9]} block sizes and starts and has {len(sizes)} and {len(starts)}")
        exons = [(start + offset, start + offset + size) for size, offset in zip(sizes, starts, strict=True)]
        if exons[0][0] != start or exons[-1][1] != end or min(sizes) < 1:
            raise LineError(f"its blocks must begin at {start} and end at {end}, and they go from {exons[0][0]} to {exons[-1][1]}")  # fmt: skip
        first, last = (integer(fields[at], f"{edge} of the thick part") for at, edge in ((6, "start"), (7, "end")))
        parts = [(start, end, "transcript"), *((*exon, "exon") for exon in exons)]
        before, after = ("five_prime_utr", "three_prime_utr")[:: -1 if strand == "-" else 1]
        for left, right in exons if first < last else ():
            parts += [
                (left, min(right, first), before),
                (max(left, first), min(right, last), "CDS"),
                (max(left, last), right, after),
            ]
        name = name if name not in ("", ".") else f"{chrom}:{start + 1}-{end}"
        copies = self._copies[chrom, strand, name]
        self._copies[chrom, strand, name] += 1
        transcript = f"{name}_dup{copies}" if copies else name
        return [
            Row(chrom, left, right, strand, element, name, name, transcript, name)
            for left, right, element in parts
            if left < right
        ]
