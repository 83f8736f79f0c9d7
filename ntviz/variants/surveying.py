"""A first look at a whole VCF or table: how much there is, in what order, and which alleles are there twice."""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ntviz.genome import accession_assembly, canonical_contig
from ntviz.variants.alleles import Allele
from ntviz.variants.rows import TABLES, Table
from ntviz.variants.vcf import Record, VcfError, VcfFile


@dataclass
class Survey:
    """What a VCF or a table holds.

    Attributes
    ----------
    records, alleles
        Lines, and alternatives on them.
    contigs
        Names in the order of their first record.
    is_sorted
        Whether contigs stand side by side and positions rise.
    duplicates
        (record, alternative) from 0 of each allele that stands earlier in the file as well.
    malformed
        Line number and reason of the first lines that cannot be read, and how many there are.
    blank_lines, crlf
        As in `vcf.VcfFile`.
    assemblies
        Records whose ID (chr20_1024_A_C_b38) or contig (NC_000020.11) says which human assembly they are of, and the first of each.
    """

    records: int = 0
    alleles: int = 0
    contigs: list[str] = field(default_factory=list)
    is_sorted: bool = True
    duplicates: set[tuple[int, int]] = field(default_factory=set)
    malformed: list[tuple[int, str]] = field(default_factory=list)
    malformed_lines: int = 0
    blank_lines: int = 0
    crlf: bool = False
    assemblies: dict[str, tuple[int, str]] = field(default_factory=dict)


SHOWN = 5
"""Malformed lines that are named."""
_SAYS = re.compile(r"(?:^|[_:.|-])(?:b|hg|GRCh)(37|19|38)(?:$|[_:.|-])", re.IGNORECASE)
_MEANT = {"37": "GRCh37", "19": "GRCh37", "38": "GRCh38"}


def opened(what: str | Path | Table) -> VcfFile | Table:
    """The records of a file, told by its name: tables end in .tsv, .csv or .parquet, everything else is a VCF."""
    if isinstance(what, Table):
        return what
    return Table.of(Path(what)) if Path(what).suffix in TABLES else VcfFile(what)


def survey(path: str | Path | Table) -> Survey:
    """Reads a VCF or table through once, twice if it is not sorted; memory does not grow with a VCF, but for duplicates.

    Raises
    ------
    vcf.VcfError
        The file cannot be read, or none of its lines can.
    """
    found = Survey()
    contigs: dict[str, None] = {}
    here: set[tuple[str, str]] = set()
    place = ("", 0)
    with opened(path) as file:
        for number, record in enumerate(file):
            if record.problem:
                found.malformed_lines += 1
                if len(found.malformed) < SHOWN:
                    found.malformed.append((record.line, record.problem))
                continue
            if assembly := _said(record):
                first = found.assemblies.get(assembly, (0, record.id if record.id != "." else record.chrom))
                found.assemblies[assembly] = (first[0] + 1, first[1])
            if record.chrom != place[0]:
                found.is_sorted &= record.chrom not in contigs
                contigs[record.chrom] = None
            elif record.pos < place[1]:
                found.is_sorted = False
            if (record.chrom, record.pos) != place:
                place = (record.chrom, record.pos)
                here.clear()
            for alternative, key in enumerate(_keys(record)):
                found.alleles += 1
                if key in here:
                    found.duplicates.add((number, alternative))
                here.add(key)
        found.records, found.blank_lines, found.crlf = file.records, file.blank_lines, file.crlf
    if found.records and found.malformed_lines == found.records:
        line, why = found.malformed[0]
        raise VcfError(
            f"Variants must hold a line that can be read; received {'a table' if isinstance(path, Table) else path}, line {line:,}. Of {found.records:,} lines none can; this "
            f"one: {why}. Mend them."
        )
    found.contigs = list(contigs)
    # One contig under two names is not seen by the rule above.
    if not found.is_sorted or len({canonical_contig(name) for name in contigs}) < len(contigs):
        found.duplicates = _far_duplicates(path)
    return found


def _keys(record: Record) -> list[tuple[str, str]]:
    return [(record.ref.upper(), alt.upper()) for alt in record.alts]


def _said(record: Record) -> str | None:
    """The human assembly that a record says it is of."""
    by_id = _SAYS.search(record.id) if len(record.id) > 3 else None
    return _MEANT[by_id[1]] if by_id else accession_assembly(record.chrom)


def _far_duplicates(path: str | Path | Table) -> set[tuple[int, int]]:
    """Duplicates wherever they stand, by a table on disk."""
    found: set[tuple[int, int]] = set()
    names: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, opened(path) as file:
        table = sqlite3.connect(Path(folder) / "alleles.sqlite")
        table.execute("PRAGMA synchronous = OFF")
        table.execute("PRAGMA journal_mode = OFF")
        table.execute("CREATE TABLE seen (allele TEXT PRIMARY KEY) WITHOUT ROWID")
        for number, record in enumerate(file):
            if record.problem:
                continue
            chrom = names.setdefault(record.chrom, canonical_contig(record.chrom))
            for alternative, (ref, alt) in enumerate(_keys(record)):
                key = f"{chrom}:{record.pos}:{ref}:{alt}".encode("utf-8", "surrogateescape")
                if not table.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,)).rowcount:
                    found.add((number, alternative))
        table.close()
    return found


@dataclass(frozen=True)
class Piece:
    """Consecutive records of a file, and their alternatives.

    Attributes
    ----------
    number
        Of the piece, from 0.
    first
        Number of its first record, from 0.
    records
        Its records.
    alleles
        The alternatives of those that can be read, in order.
    """

    number: int
    first: int
    records: list[Record]
    alleles: list[Allele]


def pieces(file: VcfFile | Table, size: int) -> Iterator[Piece]:
    """The records of a file, `size` at a time."""
    records, number = iter(file), 0
    while part := list(islice(records, size)):
        alleles = [
            Allele(record.chrom, record.pos, record.ref, alt) for record in part for alt in record.alts
        ]
        yield Piece(number, number * size, part, alleles)
        number += 1
