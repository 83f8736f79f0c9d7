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
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ntviz import storage

PREFIX = "NTV_"
COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_LONGEST_TBI = 2**29 - 1  # bp that a .tbi index can address
_CONTIG = re.compile(r"##contig=<(?:.*[,<])?ID=([^,>]+)(?:.*?,length=(\d+))?")
_OURS = re.compile(rf"##(INFO=<ID={PREFIX}|ntviz_)")
_NO_INDEX = "htslib cannot index it: a POS or END is beyond what an index reaches"
_POSITION = re.compile(r"[0-9]{1,18}\Z")


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

    @property
    def samples(self) -> tuple[str, ...]:
        """Names of the samples."""
        return self.columns[9:]

    @property
    def contigs(self) -> dict[str, int | None]:
        """Contigs of the header and their lengths in bp, None where it does not say."""
        found = (_CONTIG.match(line) for line in self.lines)
        return {match[1]: int(match[2]) if match[2] else None for match in found if match}

    def with_info(
        self, info: Sequence[str], meta: Sequence[str] = (), contigs: Mapping[str, int | None] | None = None
    ) -> Header:
        """The header with `info` and `meta` lines in place of those of an earlier scoring, and contigs that it lacks (bp, if known)."""
        kept, known = [line for line in self.lines if not _OURS.match(line)], self.contigs
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

    def annotated(self, info: Mapping[str, str]) -> str:
        """The line with these keys in its INFO; those of an earlier scoring go. A malformed line stays as it is."""
        if self.problem:
            return self.raw
        *first, old = self.raw.split("\t", 8)[:8]
        before = "\t".join(first)
        rest = self.raw[len(before) + 1 + len(old) :]
        kept = [part for part in old.split(";") if part not in ("", ".") and not part.startswith(PREFIX)]
        kept += [f"{key}={value}" for key, value in info.items()]
        return f"{before}\t{';'.join(kept) or '.'}{rest}"


class VcfFile:
    """The records of a VCF, one after the other; plain text, gzip or bgzip, told by its first bytes.

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
        with open(self.path, "rb") as handle:
            magic = handle.read(18)
            if magic[:2] != b"\x1f\x8b":
                return open(self.path, "rb")
            if magic[12:14] == b"BC" and self.path.stat().st_size >= len(_EOF):
                handle.seek(-len(_EOF), os.SEEK_END)
                if handle.read() != _EOF:
                    raise self._cut()
        return gzip.open(self.path, "rb")

    def _cut(self) -> VcfError:
        return self._error(
            "A compressed VCF must be whole",
            "It is cut off or damaged: copy or download it again; `bgzip --test` checks a file.",
        )

    def _lines(self) -> Iterator[str]:
        try:
            for raw in self._handle:
                self._number += 1
                line = raw.rstrip(b"\n")
                if line.endswith(b"\r"):
                    self.crlf = True
                    line = line.rstrip(b"\r")
                # Any byte comes back as it was, but a byte order mark, which no program expects in a VCF.
                text = line.decode("utf-8", "surrogateescape")
                yield text.removeprefix("\ufeff") if self._number == 1 else text
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise self._cut() from error

    def _header(self) -> Header:
        lines: list[str] = []
        for line in self._lines():
            if not line.strip():
                self.blank_lines += 1
                continue
            if not lines:
                self._check_first(line)
            if line.startswith("##"):
                lines.append(line)
                continue
            if not line.startswith("#"):
                break
            columns = tuple(line.split("\t"))
            if columns[:8] != COLUMNS:
                raise self._error(
                    f"The column line of a VCF must begin with {' '.join(COLUMNS)}, separated by tabs",
                    f"It is {line[:80]!r}. Mend that line.",
                    self._number,
                )
            if twice := [name for name, count in Counter(columns[9:]).items() if count > 1]:
                raise self._error(
                    "Each sample must be there once",
                    f"{twice[0]!r} is there twice. Rename one (bcftools reheader -s).",
                    self._number,
                )
            return Header(tuple(lines), columns)
        raise self._error(
            "The header of a VCF must end with the line of column names, #CHROM POS ID REF ALT ...",
            "Put it before the records.",
            self._number,
        )

    def _check_first(self, line: str) -> None:
        """Refuses what is another kind of file, by its first line."""
        must, advice = "", ""
        if line.startswith("BCF\x02"):
            must = "A VCF must be text, and this is BCF"
            advice = "Convert it: bcftools view IN.bcf -Oz -o OUT.vcf.gz."
        elif "\x00" in line:
            must = "A VCF must be UTF-8 text"
            advice = "It is UTF-16: iconv -f UTF-16 -t UTF-8 IN.vcf > OUT.vcf."
        elif "\r" in line:
            must = "The lines of a VCF must end in LF or CR LF"
            advice = "They end in CR alone: tr '\\r' '\\n' < IN.vcf > OUT.vcf."
        elif not line.startswith("##fileformat=VCF"):
            must = "A VCF must begin with ##fileformat=VCFv4.x"
            advice = (
                f"It begins with {line[:40]!r}. Is it another kind of file? Tables go in as .tsv or .csv."
            )
        if must:
            raise self._error(must, advice)

    def __iter__(self) -> Iterator[Record]:
        for line in self._lines():
            if not line.strip():
                self.blank_lines += 1
                continue
            self.records += 1
            yield self._record(line)

    def _record(self, line: str) -> Record:
        found = line.split("\t", 8)
        columns, width = 1 + line.count("\t"), len(self.header.columns)
        problem = ""
        if columns < 8:
            problem = f"{columns} columns separated by tabs, at least 8 needed"
        elif columns != width:
            problem = f"{columns} columns, the header has {width}"
        elif not _POSITION.match(found[1]):
            problem = f"POS is {found[1][:20]!r}, not a whole number"
        elif not found[0] or " " in found[0]:
            problem = "CHROM is empty or has a space"
        elif not found[3].isalpha():
            problem = f"REF is {found[3][:20]!r}, not bases"
        elif "\x00" in line:
            problem = "it holds a NUL byte"
        if problem:
            return Record(self._number, line, problem)
        alts = () if found[4] in (".", "") else tuple(found[4].split(","))
        return Record(self._number, line, "", found[0], int(found[1]), found[2], found[3], alts)


class Written(NamedTuple):
    """What was written: the file, its index, and why there is none."""

    path: Path
    index: Path | None
    reason: str = ""


@dataclass
class _Order:
    """Whether records come contig by contig, in the order of their positions."""

    done: set[str] = field(default_factory=set)
    chrom: str = ""
    pos: int = 0
    furthest: int = 0
    reason: str = ""

    def see(self, line: str) -> None:
        if self.reason:
            return
        chrom, pos, *_ = *line.split("\t", 2), ""
        if not _POSITION.match(pos):
            self.reason = "a line has no position"
            return
        number = int(pos)
        if chrom != self.chrom:
            if chrom in self.done:
                self.reason = "the records of a contig are not side by side"
            self.done.add(self.chrom)
            self.chrom = chrom
        elif number < self.pos:
            self.reason = "the records are not sorted by position"
        self.pos = number
        self.furthest = max(self.furthest, number)


def write(path: str | Path, header: Header, lines: Iterable[str]) -> Written:
    """Writes a VCF whole or not at all: bgzip with an index, or plain text where the name does not end in .gz.

    `lines` are records without line ends. Without an index where they are not sorted, and `Written.reason` says so.
    """
    path = Path(path)
    order = _Order()
    if path.suffix != ".gz":
        with storage.atomic_write(path) as handle:
            for text in _texts(header, lines, order):
                handle.write(text)
        return Written(path, None, "plain text has no index")
    # htslib tells compressed files by the end of their names.
    with ExitStack() as stack:
        part = stack.enter_context(storage.beside(path, ".gz"))
        for suffix in (".tbi", ".csi"):
            stack.callback(Path(f"{part}{suffix}").unlink, missing_ok=True)
        _compress(part, _texts(header, lines, order))
        index = None if order.reason else _index(part, csi=order.furthest > _LONGEST_TBI)
        for suffix in (".tbi", ".csi"):
            # An index of what stood here before would point at the wrong bytes.
            if index is None or index.suffix != suffix:
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        target = None
        if index is not None:
            target = Path(f"{path}{index.suffix}")
            os.replace(index, target)
        os.replace(part, path)
    return Written(path, target, order.reason or ("" if index else _NO_INDEX))


def _texts(header: Header, lines: Iterable[str], order: _Order) -> Iterator[bytes]:
    yield header.text.encode("utf-8", "surrogateescape")
    for line in lines:
        order.see(line)
        yield (line + "\n").encode("utf-8", "surrogateescape")


def _compress(path: Path, texts: Iterable[bytes]) -> None:
    import pysam

    held: list[bytes] = []
    size = 0
    with pysam.BGZFile(str(path), "wb", None) as handle:
        for text in texts:
            held.append(text)
            size += len(text)
            if size > 1 << 16:
                handle.write(b"".join(held))
                held, size = [], 0
        handle.write(b"".join(held))
    with open(path, "rb+") as handle:
        os.fsync(handle.fileno())
        handle.seek(-len(_EOF), os.SEEK_END)
        if handle.read() != _EOF:
            raise OSError(
                errno.ENOSPC,
                "A compressed VCF must fit on the disk, but its end is missing. Free some space",
                str(path),
            )


def _index(path: Path, *, csi: bool) -> Path | None:
    """The index beside a compressed file; None where it cannot be made, which costs no score."""
    import pysam

    # A record may reach further than its position: END counts, and only htslib knows how.
    before = pysam.set_verbosity(0)
    try:
        for far in (True,) if csi else (False, True):
            with suppress(OSError):
                pysam.tabix_index(str(path), preset="vcf", force=True, keep_original=True, csi=far)
                return path.with_name(path.name + (".csi" if far else ".tbi"))
    finally:
        pysam.set_verbosity(before)
    return None
