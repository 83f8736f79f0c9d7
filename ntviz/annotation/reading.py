"""GTF, GFF3 and BED, plain or gzip, line by line: what can be read, and what cannot with its line number."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from ntviz.annotation.elements import COLUMNS, Annotation
from ntviz.genome import Interval, canonical_contig

_SUFFIXES = {".gtf": "gtf", ".gff": "gff3", ".gff3": "gff3", ".bed": "bed"}
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
    "five_prime_utr": "five_prime_utr",
    "5utr": "five_prime_utr",
    "5'utr": "five_prime_utr",
    "three_prime_utr": "three_prime_utr",
    "3utr": "three_prime_utr",
    "3'utr": "three_prime_utr",
    "utr": "UTR",
    "start_codon": "start_codon",
    "stop_codon": "stop_codon",
}
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


class Broken(NamedTuple):
    """One line that is not a feature."""

    line: int
    reason: str
    text: str


class _LineError(Exception):
    """What is wrong with a line."""


def read(
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002
    on_error: str = "collect",
    within: Interval | None = None,
    element: str | None = None,
) -> Annotation:
    r"""Features of a file, with the lines that could not be read beside them.

    Parameters
    ----------
    path
        GTF, GFF3 or BED with 3 to 12 columns; plain or gzip.
    format
        ``"gtf"``, ``"gff3"`` or ``"bed"`` when the name of the file does not say.
    on_error
        ``"collect"`` puts broken lines into `Annotation.broken`; ``"raise"`` stops at the first.
    within
        Keep the features that overlap this interval only, which saves memory with a file of a whole genome.
    element
        Element of the features of a BED file with fewer than 12 columns; ``"region"`` when not given. The classes of
        ENCODE's cCREs are recognised. Twelve columns are transcripts: exons, CDS and UTRs come of them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the format is not known, the file is truncated, has no feature or none that can be read; with
        ``on_error="raise"`` at the first broken line, whose number the message gives.

    References
    ----------
    GTF 2.2 (Brent lab), GFF3 (Sequence Ontology), BED (UCSC). UTR of GENCODE's GTF, which does not say of which end,
    becomes five_prime_utr or three_prime_utr by its side of the CDS of the same transcript.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "peaks.bed"
    >>> _ = file.write_text("chr20\t99\t200\tpeak1\nchr20\tten\t20\n")
    >>> peaks = read(file, element="open chromatin")
    >>> peaks.table[["chrom", "start", "end", "element", "name"]].values.tolist()
    [['chr20', 99, 200, 'open chromatin', 'peak1']]
    >>> peaks.note
    "1 of 2 lines of peaks.bed could not be read; the first, line 2: the start must be an integer and is 'ten'."
    """
    import pandas as pd

    path = Path(path)
    if on_error not in ("collect", "raise"):
        raise ValueError(
            f"on_error must be 'collect' or 'raise'; received {on_error!r}. Leave it out to collect."
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"An annotation file must exist; received {path}, and there is none. Check the path."
        )
    parse = _parser(path, format, element)
    rows: list[Row] = []
    broken: list[Broken] = []
    features = 0
    kinds: dict[str, None] = {}
    wanted = _Wanted(within)
    for number, line in _lines(path):
        if line.startswith("##FASTA"):
            break
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        features += 1
        try:
            for row in parse(line):
                # Elements elsewhere in the file are known here too: that there are none of them is an answer.
                kinds[row.element] = None
                if wanted(row):
                    rows.append(row)
        except _LineError as fault:
            if on_error == "raise":
                raise ValueError(
                    f"Line {number} of {path.name} must be a feature, but {fault}: {line[:80]!r}. "
                    f"Correct the line, or read with on_error='collect' to go on without it."
                ) from None
            broken.append(Broken(number, str(fault), line[:200]))
    if not features:
        raise ValueError(
            f"{path.name} must hold at least one feature; it holds none. Check that it is the right file."
        )
    if len(broken) == features:
        raise ValueError(
            f"{path.name} must hold lines in the format that its name says, but none of {features:,} can be read; line "
            f"{broken[0].line}: {broken[0].reason}. Check the format, and pass format= when the name says another."
        )
    if isinstance(parse, _Gff3):
        rows = list(parse.resolved(rows))
    return Annotation(
        pd.DataFrame(_sided(rows), columns=list(COLUMNS)),
        broken=pd.DataFrame(broken, columns=["line", "reason", "text"]),
        source=path.name,
        lines=features,
        kinds=[
            side
            for kind in kinds
            for side in (("five_prime_utr", "three_prime_utr") if kind == "UTR" else (kind,))
        ],
    )


def _parser(path: Path, format: str | None, element: str | None) -> Callable[[str], Iterable[Row]]:  # noqa: A002
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".bgz")]
    known = format or _SUFFIXES.get(suffixes[-1] if suffixes else "")
    if known not in ("gtf", "gff3", "bed"):
        raise ValueError(
            f"An annotation must be GTF, GFF3 or BED; the name {path.name} says neither"
            f"{'' if format is None else f', and format={format!r} is none of them'}. Pass format='gtf', 'gff3' or 'bed'."
        )
    if known == "bed":
        return lambda line: _bed(line, element)
    if element is not None:
        raise ValueError(
            f"element is for BED files; {path.name} is {known.upper()}, whose lines say what they are. Leave it out."
        )
    return _gtf if known == "gtf" else _Gff3()


class _Wanted:
    """Whether a row overlaps an interval."""

    def __init__(self, within: Interval | None) -> None:
        self._within = within
        self._contig = canonical_contig(within.chrom) if within is not None else ""
        self._same: dict[str, bool] = {}

    def __call__(self, row: Row) -> bool:
        if self._within is None:
            return True
        if row.chrom not in self._same:
            self._same[row.chrom] = canonical_contig(row.chrom) == self._contig
        return self._same[row.chrom] and row.start < self._within.end and row.end > self._within.start


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with open(path, "rb") as handle:
        zipped = handle.read(2) == b"\x1f\x8b"
    number = 0
    try:
        with gzip.open(path, "rb") if zipped else open(path, "rb") as handle:
            for number, line in enumerate(handle, start=1):
                yield number, line.decode("utf-8", "replace").rstrip("\r\n")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path.name} must be a whole gzip file, but reading it ended after line {number:,} with '{error}'. It is "
            f"truncated or corrupt: fetch it again."
        ) from error


def _integer(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _LineError(f"the {what} must be an integer and is {text[:20]!r}") from None


def _columns(line: str) -> tuple[str, str, int, int, str, str]:
    """Contig, feature, start and end (0-based half-open), strand and attributes of a line of GTF or GFF3."""
    fields = line.split("\t")
    if len(fields) != 9:
        raise _LineError(f"it must have 9 columns separated by tabs and has {len(fields)}")
    start, end = _integer(fields[3], "start"), _integer(fields[4], "end")
    if not 1 <= start <= end:
        raise _LineError(
            f"the start must be at least 1 and not after the end, and they are {start} and {end}"
        )
    strand = fields[6]
    if strand not in ("+", "-", ".", "?"):
        raise _LineError(f"the strand must be +, - or . and is {strand[:20]!r}")
    if not fields[0]:
        raise _LineError("the contig must have a name and has none")
    return fields[0], fields[2], start - 1, end, strand.replace("?", "."), fields[8]


def _element(feature: str) -> str:
    lower = feature.lower()
    if lower in _TRANSCRIPTS or lower.endswith("rna"):
        return "transcript"
    return _ELEMENTS.get(lower, feature)


def _gtf(line: str) -> tuple[Row]:
    chrom, feature, start, end, strand, attributes = _columns(line)
    found = {key: quoted or bare for key, quoted, bare in _GTF_ATTRIBUTE.findall(attributes)}
    if "gene_id" not in found:
        raise _LineError("the attributes must name a gene_id and do not")
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


class _Gff3:
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
                raise _LineError(f"the attributes must be key=value and hold {pair[:20]!r}")
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


def _bed(line: str, element: str | None) -> list[Row]:
    fields = line.split("\t") if "\t" in line else line.split()
    if len(fields) < 3:
        raise _LineError(f"it must have at least 3 columns and has {len(fields)}")
    chrom = fields[0]
    start, end = _integer(fields[1], "start"), _integer(fields[2], "end")
    if not 0 <= start < end:
        raise _LineError(f"the start must be at least 0 and before the end, and they are {start} and {end}")
    name = fields[3] if len(fields) > 3 else ""
    if len(fields) >= 6 and _CCRE_ACCESSION.fullmatch(fields[4]):
        # ENCODE's registry: contig, start, end, accession of the DHS, accession of the cCRE, class.
        return [Row(chrom, start, end, ".", element or fields[5].split(",")[0], name=fields[4])]
    strand = fields[5] if len(fields) > 5 else "."
    if strand not in ("+", "-", "."):
        raise _LineError(f"the strand must be +, - or . and is {strand[:20]!r}")
    if len(fields) < 12:
        return [Row(chrom, start, end, strand, element or "region", name=name)]
    return _bed_transcript(fields, start, end, strand, name)


def _bed_transcript(fields: list[str], start: int, end: int, strand: str, name: str) -> list[Row]:
    def row(left: int, right: int, element: str) -> Row:
        return Row(fields[0], left, right, strand, element, name, name, name, name)

    sizes, starts = (
        [_integer(number, "block") for number in fields[column].strip(",").split(",")] for column in (10, 11)
    )
    if not len(sizes) == len(starts) == _integer(fields[9], "number of blocks"):
        raise _LineError(
            f"it must have {fields[9]} block sizes and starts and has {len(sizes)} and {len(starts)}"
        )
    exons = [(start + offset, start + offset + size) for size, offset in zip(sizes, starts, strict=True)]
    if exons[0][0] != start or exons[-1][1] != end or min(sizes) < 1:
        raise _LineError(
            f"its blocks must begin at {start} and end at {end}, and they go from {exons[0][0]} to {exons[-1][1]}"
        )
    first, last = _integer(fields[6], "start of the thick part"), _integer(fields[7], "end of the thick part")
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


def _sided(rows: list[Row]) -> list[Row]:
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
