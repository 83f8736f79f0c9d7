"""The records of a VCF or a table, read in one way; and a first look at all: how many, in what order, which are there twice."""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntviz import environment
from ntviz.environment import encoding_of, is_missing, lines_of, whole_number
from ntviz.genome import Variant, accession_assembly, canonical_contig
from ntviz.storage import TABLES
from ntviz.variants.alleles import Allele
from ntviz.variants.vcf import Record, VcfError, VcfFile

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 5
"""Malformed lines that are named."""
_NAMES = {
    "chrom": ("chrom", "#chrom", "chr", "chromosome", "contig", "seqname"),
    "pos": ("pos", "position", "start_1based"),
    "id": ("id", "rsid", "name", "variant_id"),
    "ref": ("ref", "reference", "reference_allele", "ref_allele"),
    "alt": ("alt", "alternative", "alternate", "alt_allele", "alternate_allele"),
}
_INSERTED = "REF is '-': VEP puts the bases before POS and MAF after it; write the base before them in both alleles"
_SAYS = re.compile(r"(?:^|[_:.|-])(?:b|hg|GRCh)(37|19|38)(?:$|[_:.|-])", re.IGNORECASE)
_MEANT = {"37": "GRCh37", "19": "GRCh37", "38": "GRCh38"}


class Table:
    """The rows of a table, read as `vcf.VcfFile` reads a VCF.

    `given` has columns chrom, pos (1-based), ref, alt and perhaps id, under these or other usual names, and any others; `line` is
    that of the file that holds the first row. ALT "-" is a deletion of all of REF. Numbers may be floats (20.0), as pandas has
    them beside a gap.
    """

    blank_lines, crlf = 0, False

    def __init__(self, given: pd.DataFrame, line: int = 1) -> None:
        by_name = {str(name).strip().lower(): name for name in given.columns}
        self.given, self._line, self.records = given, line, len(given)
        names = {
            wanted: next((by_name[one] for one in usual if one in by_name), None) for wanted, usual in _NAMES.items()
        }
        if lacking := [wanted for wanted, name in names.items() if name is None and wanted != "id"]:
            columns, advice = ", ".join(map(str, given.columns)), "Rename the column"
            if len(by_name) < 2:
                advice = "Put tabs between columns in .tsv, commas in .csv"
            raise VcfError(
                f"A table of variants must have the columns chrom, pos, ref, alt (id if there is one); it lacks {lacking[0]} "
                f"among {columns}. {advice}; positions count from 1, as in VCF."
            )
        self._taken = [name for name in names.values() if name is not None]
        self.texts = {
            wanted: [""] * len(given) if name is None else [_text(value) for value in given[name]]
            for wanted, name in names.items()
        }
        self.texts["id"] = [name or "." for name in self.texts["id"]]

    @classmethod
    def of(cls, what: Any) -> Table:
        """The table of a DataFrame, of the path of one, or of variants as text or `Variant`."""
        import pandas as pd

        if isinstance(what, pd.DataFrame):
            return cls(what)
        if isinstance(what, Path) or (isinstance(what, str) and Path(what).suffix in TABLES):
            return cls.read(Path(what))
        variants: Iterable[Any] = [what] if isinstance(what, str | Variant) else what
        try:
            rows = [(*Allele.of(one), one if isinstance(one, str) else "") for one in variants]
        except AttributeError as error:
            raise TypeError(
                f"Variants must be text, Variant, a DataFrame or a path; received {type(what).__name__}. Pass one of these."
            ) from error
        return cls(pd.DataFrame(rows, columns=["chrom", "pos", "ref", "alt", "id"]))

    @classmethod
    def read(cls, path: Path) -> Table:
        """The table of a .parquet, .tsv or .csv."""
        import pandas as pd

        must = "A table of variants must"
        if path.suffix not in TABLES:
            ends = ", ".join(TABLES)
            raise ValueError(f"{must} end in {ends}; received {path.name}. Use variants.score_file for VCF.")
        if not path.is_file():
            raise FileNotFoundError(f"{must} exist; there is no file {str(path)!r}. Check the path.")
        try:
            if path.suffix == ".parquet":
                given, line = pd.read_parquet(environment.opened(path)), 1
            else:
                # Comments come first in MAF and in a VCF that is called .tsv; #CHROM and #chr are names of a column.
                line = 1 + next((n for n, text in lines_of(path) if not re.match("##|#version", text)), 1)
                # Contigs such as 01 are text, whatever they look like.
                given = pd.read_csv(
                    path, sep="\t" if path.suffix == ".tsv" else ",", dtype=str, keep_default_na=False,
                    encoding=encoding_of(path), encoding_errors="replace", skiprows=line - 2,
                )  # fmt: skip
        except (ValueError, OSError) as error:
            raise VcfError(
                f"{must} be {path.suffix[1:]} that can be read, with names of columns first; {path.name} is "
                f"not: {str(error).splitlines()[0][:120]}. Write it again, or correct that line."
            ) from error
        return cls(given, line)

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def __iter__(self) -> Iterator[Record]:
        for line, (chrom, pos, name, ref, alt) in enumerate(
            zip(*map(self.texts.__getitem__, _NAMES), strict=True), start=self._line
        ):
            if (position := _position(pos)) < 0:
                yield Record(line, "", f"POS is {pos[:20]!r}, not a whole number")
            elif not ref.isalpha():
                yield Record(line, "", _INSERTED if ref == "-" else f"REF is {ref[:20]!r}, not bases")
            else:
                yield Record(line, "", "", chrom, position, name, ref, (alt,))

    def scored(self, words: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
        """The columns of a variant, these words, whatever else was given, and scores; all row by row as they came."""
        import pandas as pd

        pos = np.array([_position(text) for text in self.texts["pos"]], np.int64)
        place = pd.DataFrame(self.texts | {"pos": pos})
        result = pd.concat([place, words], axis=1).set_axis(self.given.index)
        taken = {*self._taken, *result, *scores}
        others = self.given.loc[:, [name not in taken for name in self.given]]
        return pd.concat([result, others, scores.set_axis(self.given.index)], axis=1)


def _text(value: Any) -> str:
    """A cell as text: empty where there is nothing, and whole numbers without the .0 of pandas.

    >>> [_text(value) for value in (20.0, float("nan"), None, "20.0", "NA", "chrX")]
    ['20', '', '', '20', '', 'chrX']
    """
    text = str(value).strip()
    return "" if is_missing(text) else re.sub(r"^(\d+)\.0+$", r"\1", text)


def _position(text: str) -> int:
    """The position that a text says; -1 where it says none, or none that a VCF can hold."""
    number = whole_number(text)
    return number if number is not None and 0 <= number < 10**18 else -1


@dataclass
class Survey:
    """What a VCF or a table holds."""

    records: int = 0
    contigs: list[str] = field(default_factory=list)  # in the order of their first record
    is_sorted: bool = True  # contigs stand side by side and positions rise
    # (record, alternative) from 0 of each allele that stands earlier in the file as well.
    duplicates: set[tuple[int, int]] = field(default_factory=set)
    malformed: list[tuple[int, str]] = field(default_factory=list)  # line and reason of the first
    malformed_lines: int = 0
    blank_lines: int = 0
    crlf: bool = False
    # Records that say by ID or contig which human assembly they are of, and the first of each.
    assemblies: dict[str, tuple[int, str]] = field(default_factory=dict)


def opened(what: str | Path | Table) -> VcfFile | Table:
    """The records of a file, by its name: tables end in .tsv, .csv or .parquet, everything else is a VCF."""
    if isinstance(what, Table):
        return what
    return Table.read(Path(what)) if Path(what).suffix in TABLES else VcfFile(what)


def survey(path: str | Path | Table) -> Survey:
    """Reads a VCF or table through once, twice if it is not sorted; memory does not grow with a VCF, but for duplicates.

    A `VcfError` says that it cannot be read, or that none of its lines can.
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
            # The assembly that an ID (chr20_1024_A_C_b38) or a contig (NC_000020.11) is of.
            by_id = _SAYS.search(record.id) if len(record.id) > 3 else None
            if assembly := _MEANT[by_id[1]] if by_id else accession_assembly(record.chrom):
                count, first = found.assemblies.get(assembly, (0, record.id if record.id != "." else record.chrom))
                found.assemblies[assembly] = count + 1, first
            if record.chrom != place[0]:
                found.is_sorted &= record.chrom not in contigs
                contigs[record.chrom] = None
            elif record.pos < place[1]:
                found.is_sorted = False
            if (record.chrom, record.pos) != place:
                place = (record.chrom, record.pos)
                here.clear()
            for alternative, key in enumerate(_keys(record)):
                if key in here:
                    found.duplicates.add((number, alternative))
                here.add(key)
        found.records, found.blank_lines, found.crlf = file.records, file.blank_lines, file.crlf
    if found.records and found.malformed_lines == found.records:
        line, why = found.malformed[0]
        raise VcfError(
            f"Variants must hold a line that can be read; received {'a table' if isinstance(path, Table) else path}, line "
            f"{line:,}. Of {found.records:,} lines none can; this one: {why}. Mend them."
        )
    found.contigs = list(contigs)
    # One contig under two names is not seen by the rule above.
    if not found.is_sorted or len({canonical_contig(name) for name in contigs}) < len(contigs):
        found.duplicates = _far_duplicates(path)
    return found


def _keys(record: Record) -> list[tuple[str, str]]:
    return [(record.ref.upper(), alt.upper()) for alt in record.alts]


def _far_duplicates(path: str | Path | Table) -> set[tuple[int, int]]:
    """Duplicates wherever they stand, by a table on disk."""
    found: set[tuple[int, int]] = set()
    with tempfile.TemporaryDirectory() as folder, opened(path) as file:
        table = sqlite3.connect(Path(folder) / "alleles.sqlite")
        table.executescript("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF")
        table.execute("CREATE TABLE seen (allele TEXT PRIMARY KEY) WITHOUT ROWID")
        for number, record in enumerate(file):
            for alternative, alleles in enumerate(_keys(record)):
                key = ":".join((canonical_contig(record.chrom), str(record.pos), *alleles))
                key = key.encode("utf-8", "surrogateescape")
                if not table.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,)).rowcount:
                    found.add((number, alternative))
        table.close()
    return found


class Piece(NamedTuple):
    """Consecutive records of a file, and the alternatives of those that can be read, in order."""

    number: int  # of the piece, from 0
    first: int  # number of its first record
    records: list[Record]

    @property
    def alleles(self) -> list[Allele]:
        """Each alternative of each record."""
        return [Allele(one.chrom, one.pos, one.ref, alt) for one in self.records for alt in one.alts]

    @property
    def places(self) -> list[tuple[int, int]]:
        """(record of the file, alternative of the record) of each allele, from 0."""
        rows = enumerate(self.records, self.first)
        return [(row, alternative) for row, record in rows for alternative in range(len(record.alts))]


def pieces(file: VcfFile | Table, size: int) -> Iterator[Piece]:
    """The records of a file, `size` at a time."""
    records, number = iter(file), 0
    while part := list(islice(records, size)):
        yield Piece(number, number * size, part)
        number += 1
