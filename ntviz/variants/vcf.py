"""VCF as text, in and out: every record comes back as it was, with keys added to its INFO and nothing else touched."""

from __future__ import annotations

import errno
import gzip
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ntviz import storage
from ntviz.environment import opened
from ntviz.genome import Interval, canonical_contig

PREFIX = "NTV_"
COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_CONTIG = re.compile(r"##contig=<(?:.*[,<])?ID=([^,>]+)")
_OURS = re.compile(rf"##(INFO=<ID={PREFIX}|ntviz_)")
_INDEX = (".tbi", ".csi")  # the second where positions are beyond 2 ** 29
_POSITION = re.compile(r"[0-9]{1,18}\Z")
_FIRST = (
    (r"BCF\x02", "A VCF must be text, and this is BCF", "Convert it: bcftools view IN.bcf -Oz -o OUT.vcf.gz."),
    (r".*\x00", "A VCF must be UTF-8 text", "It is UTF-16: iconv -f UTF-16 -t UTF-8 IN.vcf > OUT.vcf."),
    (r".*\r", "The lines of a VCF must end in LF or CR LF", "They end in CR alone: tr '\\r' '\\n' < IN.vcf > OUT.vcf."),
    (r"(?!##fileformat=VCF)", "A VCF must begin with ##fileformat=VCFv4.x",
     "It begins with {line!r}. Is it another kind of file? Tables go in as .tsv or .csv."),
)  # fmt: skip
"""Begin of a first line that is no VCF's, what must hold, and what to do."""


class VcfError(ValueError):
    """A file cannot be read as VCF at all."""


def info_line(key: str, kind: str, description: str, *, number: str = "A") -> str:
    """An `##INFO` line."""
    escaped = description.replace("\\", "\\\\").replace('"', '\\"')
    return f'##INFO=<ID={key},Number={number},Type={kind},Description="{escaped}">'


@dataclass(frozen=True)
class Header:
    """The `##` lines before the records, and the names of the columns."""

    lines: tuple[str, ...]
    columns: tuple[str, ...]

    def with_info(
        self, info: Sequence[str], meta: Sequence[str] = (), contigs: Mapping[str, int | None] | None = None
    ) -> Header:
        """The header with `info` and `meta` lines in place of those of an earlier scoring, and contigs that it lacks (bp, if known)."""
        kept = [line for line in self.lines if not _OURS.match(line)]
        known = {match[1] for match in map(_CONTIG.match, kept) if match}
        added = [
            f"##contig=<ID={name}>" if length is None else f"##contig=<ID={name},length={length}>"
            for name, length in (contigs or {}).items()
            if name not in known
        ]
        return Header((*kept, *added, *info, *meta), self.columns)

    @property
    def text(self) -> str:
        """The header as it is written."""
        return "\n".join([*self.lines, "\t".join(self.columns)]) + "\n"


@dataclass(slots=True)
class Record:
    """One line of a file, `raw` without its end; `problem` says why it cannot be read as a record, and is empty if it can."""

    line: int  # from 1
    raw: str
    problem: str = ""
    chrom: str = ""
    pos: int = 0  # from 1
    id: str = "."
    ref: str = ""
    alts: tuple[str, ...] = ()  # none where ALT is "."

    @property
    def info(self) -> dict[str, str]:
        """Values of INFO by key, as they are written; a flag has the empty text, a malformed line nothing."""
        return {} if self.problem else dict(part.partition("=")[::2] for part in self.raw.split("\t", 8)[7].split(";"))

    def touches(self, place: Interval) -> bool:
        """Whether REF has a base of an interval, under any alias of its contig."""
        same = canonical_contig(self.chrom) == canonical_contig(place.chrom)
        return same and self.pos - 1 < place.end and self.pos - 1 + len(self.ref) > place.start

    def annotated(self, info: Mapping[str, str]) -> str:
        """The line with these keys in its INFO; those of an earlier scoring go. A malformed line stays as it is."""
        if self.problem:
            return self.raw
        fields = self.raw.split("\t", 8)
        kept = [part for part in fields[7].split(";") if part not in ("", ".") and not part.startswith(PREFIX)]
        fields[7] = ";".join([*kept, *(f"{key}={value}" for key, value in info.items())]) or "."
        return "\t".join(fields)


class VcfFile:
    """The records of a VCF, one after the other; plain text, gzip or bgzip, whatever its name.

    Has its `header`, and so far `records`, `blank_lines` and whether a line ended in CR LF (`crlf`). A `VcfError` says that it
    is no VCF, or that it is cut off or damaged, which may show only while it is read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.records = self.blank_lines = 0
        self.crlf = False
        self._number = 0
        self._handle = self._opened()
        try:
            self.header = self._header()
        except BaseException:
            self._handle.close()
            raise

    def __enter__(self) -> VcfFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self._handle.close()

    def _error(self, what: str, advice: str, line: int | None = None) -> VcfError:
        where = f"{self.path}" if line is None else f"{self.path}, line {line:,}"
        return VcfError(f"{what}; received {where}. {advice}")

    def _opened(self) -> BinaryIO | gzip.GzipFile:
        if not self.path.exists():
            raise FileNotFoundError(f"A VCF must exist; there is no file {str(self.path)!r}. Check the path.")
        if self.path.is_dir():
            raise self._error("A VCF must be a file, not a folder", "Name the file in it.")
        with open(opened(self.path), "rb") as handle:
            magic = handle.read(18)
            if magic[:2] != b"\x1f\x8b":
                return open(self.path, "rb")
            if magic[12:14] == b"BC" and self.path.stat().st_size >= len(_EOF):
                handle.seek(-len(_EOF), os.SEEK_END)
                if handle.read() != _EOF:
                    raise self._cut()
        return gzip.open(self.path, "rb")

    def _cut(self) -> VcfError:
        advice = "It is cut off or damaged: copy or download it again; `bgzip --test` checks a file."
        return self._error("A compressed VCF must be whole", advice)

    def _lines(self) -> Iterator[str]:
        """Lines that are not blank; any byte comes back as it was, but for line ends and a byte order mark."""
        try:
            for raw in self._handle:
                self._number += 1
                line = raw.rstrip(b"\n")
                if line.endswith(b"\r"):
                    self.crlf = True
                    line = line.rstrip(b"\r")
                text = line.decode("utf-8", "surrogateescape")
                text = text.removeprefix("\ufeff") if self._number == 1 else text
                if text.strip():
                    yield text
                else:
                    self.blank_lines += 1
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise self._cut() from error

    def _header(self) -> Header:
        lines: list[str] = []
        for line in self._lines():
            for begin, what, advice in () if lines else _FIRST:
                if re.match(begin, line):
                    raise self._error(what, advice.format(line=line[:40]))
            if line.startswith("##"):
                lines.append(line)
                continue
            if not line.startswith("#"):
                break
            columns = tuple(line.split("\t"))
            if columns[:8] != COLUMNS:
                must = f"The column line of a VCF must begin with {' '.join(COLUMNS)}, separated by tabs"
                raise self._error(must, f"It is {line[:80]!r}. Mend that line.", self._number)
            if twice := [name for name, count in Counter(columns[9:]).items() if count > 1]:
                advice = f"{twice[0]!r} is there twice. Rename one (bcftools reheader -s)."
                raise self._error("Each sample must be there once", advice, self._number)
            return Header(tuple(lines), columns)
        must = "The header of a VCF must end with the line of column names, #CHROM POS ID REF ALT ..."
        raise self._error(must, "Put it before the records.", self._number)

    def __iter__(self) -> Iterator[Record]:
        for line in self._lines():
            self.records += 1
            yield self._record(line)

    def within(self, place: Interval) -> Iterator[Record]:
        """Records that touch an interval, by the index beside the file where there is one; malformed lines come too where not."""
        import pysam

        named = canonical_contig(place.chrom)
        if any(Path(f"{self.path}{suffix}").is_file() for suffix in _INDEX):
            with pysam.TabixFile(str(self.path)) as index:
                for name in index.contigs:
                    if canonical_contig(name) == named:
                        yield from map(self._record, index.fetch(name, place.start, place.end))
            return
        yield from (record for record in self if record.problem or record.touches(place))

    def _record(self, line: str) -> Record:
        fields = line.split("\t", 8)
        columns, width = 1 + line.count("\t"), len(self.header.columns)
        problem = ""
        if columns < 8:
            problem = f"{columns} columns separated by tabs, at least 8 needed"
        elif columns != width:
            problem = f"{columns} columns, the header has {width}"
        elif not _POSITION.match(fields[1]):
            problem = f"POS is {fields[1][:20]!r}, not a whole number"
        elif not fields[0] or " " in fields[0]:
            problem = "CHROM is empty or has a space"
        elif not fields[3].isalpha():
            problem = f"REF is {fields[3][:20]!r}, not bases"
        elif "\x00" in line:
            problem = "it holds a NUL byte"
        if problem:
            return Record(self._number, line, problem)
        chrom, pos, name, ref, alt = fields[:5]
        alts = () if alt in (".", "") else tuple(alt.split(","))
        return Record(self._number, line, "", chrom, int(pos), name, ref, alts)


def write(path: str | Path, header: Header, lines: Iterable[str]) -> Path | None:
    """Writes a VCF whole or not at all: bgzip, or plain text where the name does not end in .gz; `lines` have no ends.

    Path of its index; None of plain text and where htslib can make none: records that are not sorted, lines that are no
    records, positions beyond what an index reaches.
    """
    path = Path(path)

    def texts() -> Iterator[bytes]:
        yield header.text.encode("utf-8", "surrogateescape")
        for line in lines:
            yield (line + "\n").encode("utf-8", "surrogateescape")

    if path.suffix != ".gz":
        with storage.atomic_write(path) as handle:
            handle.writelines(texts())
        return None
    with ExitStack() as stack:
        # htslib knows compressed files by the end of their names.
        part = stack.enter_context(storage.beside(path, ".gz"))
        for suffix in _INDEX:
            stack.callback(Path(f"{part}{suffix}").unlink, missing_ok=True)
        _compress(part, texts())
        index = _index(part)
        for suffix in _INDEX:
            # An index of what stood here before would point at the wrong bytes.
            if suffix != index:
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        if index:
            os.replace(f"{part}{index}", f"{path}{index}")
        os.replace(part, path)
    return Path(f"{path}{index}") if index else None


def _compress(path: Path, texts: Iterator[bytes]) -> None:
    import pysam

    with pysam.BGZFile(str(path), "wb", None) as handle:
        for text in texts:
            handle.write(text)
    with open(path, "rb+") as handle:
        os.fsync(handle.fileno())
        handle.seek(-len(_EOF), os.SEEK_END)
        if handle.read() != _EOF:
            full = "A compressed VCF must fit on the disk, but its end is missing. Free some space"
            raise OSError(errno.ENOSPC, full, str(path))


def _index(path: Path) -> str:
    """Ending of the index beside a compressed file; empty where htslib can make none, which costs no score."""
    import pysam

    before = pysam.set_verbosity(0)
    try:
        for suffix in _INDEX:
            with suppress(OSError):
                pysam.tabix_index(str(path), preset="vcf", force=True, keep_original=True, csi=suffix == ".csi")
                return suffix
    finally:
        pysam.set_verbosity(before)
    return ""
