"""The bases of an Interval from an indexed FASTA: contig aliases, padding beyond the ends, and which assembly it is."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import struct
import tempfile
import warnings
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntviz import environment, storage
from ntviz.genome import Interval, accession_assembly, canonical_contig, resolve_contig
from ntviz.genome.sequence import clean, reverse_complement

__all__ = ["Reference", "ReferenceSequence", "build_index", "recompress"]

# Lengths in bp of the human chromosomes 1 to 22, X, Y; they name the assembly.
_NAMES = (*map(str, range(1, 23)), "X", "Y")
_LENGTHS = {
    "GRCh37": (
        249250621, 243199373, 198022430, 191154276, 180915260, 171115067, 159138663, 146364022, 141213431, 135534747,
        135006516, 133851895, 115169878, 107349540, 102531392, 90354753, 81195210, 78077248, 59128983, 63025520,
        48129895, 51304566, 155270560, 59373566,
    ),
    "GRCh38": (
        248956422, 242193529, 198295559, 190214555, 181538259, 170805979, 159345973, 145138636, 138394717, 133797422,
        135086622, 133275309, 114364328, 107043718, 101991189, 90338345, 83257441, 80373285, 58617616, 64444167,
        46709983, 50818468, 156040895, 57227415,
    ),
}  # fmt: skip
_ASSEMBLY = {contig: name for name, sizes in _LENGTHS.items() for contig in zip(_NAMES, sizes, strict=True)}
_PIECE = 1_000_000  # bases read at once: pyfaidx's time for bgzip grows with the square of a piece
_CHUNK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_BGZF_BLOCK = b"\x1f\x8b\x08\x04"
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_BOM = b"\xef\xbb\xbf"  # of UTF-8, which Windows' editors put first
# What pyfaidx, Biopython and zlib raise on a damaged file.
_DAMAGE = (ValueError, OSError, RuntimeError, LookupError, EOFError, zlib.error, struct.error)


@dataclass(frozen=True, slots=True)
class ReferenceSequence:
    """Bases of one interval, and what had to be done to them.

    Attributes
    ----------
    interval
        The region that was asked for, 0-based half-open, with its strand.
    sequence
        Upper-case A, C, G, T, N, as long as the interval; the reverse complement when the strand is "-".
    padded
        Number of N added before the contig's start and after its end, in genome orientation.
    soft_masked
        Number of lower-case letters that were upper-cased.
    ambiguous
        Number of IUPAC letters (R, Y, M, ...) and gaps (-, *, X) that became N.
    """

    interval: Interval
    sequence: str
    padded: tuple[int, int]
    soft_masked: int
    ambiguous: int

    def __len__(self) -> int:
        return len(self.sequence)

    @property
    def note(self) -> str:
        """What was done to the bases, in words; empty when nothing was."""
        left, right = self.padded
        parts = (
            f"The region goes beyond the contig: {left:,} N added before its start and {right:,} after its end.",
            f"{self.soft_masked:,} soft-masked (lower-case) letters were upper-cased.",
            f"{self.ambiguous:,} IUPAC letters or gaps became N.",
        )
        counts = (left or right, self.soft_masked, self.ambiguous)
        return " ".join(part for part, count in zip(parts, counts, strict=True) if count)


class Reference:
    r"""Random access to a FASTA file, plain or compressed with bgzip.

    The index (`.fai`, and `.gzi` for bgzip) is looked for beside the file, or at `index` and beside that. When there is none it is
    made, beside the file or, in a folder that cannot be written to, in the cache folder. Copies in other processes, forked or
    pickled, open the file again.

    Raises
    ------
    FileNotFoundError
        The file, or the index that was named, does not exist.
    ValueError
        The file is not FASTA, truncated, plain gzip (see `recompress`) or cannot be indexed; or the index is of another.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "toy.fa"
    >>> _ = file.write_text(">chr1\nACGTacgtRN\n")
    >>> found = Reference(file).fetch("chr1:7-12")
    >>> found.sequence, found.padded, found.soft_masked, found.ambiguous
    ('GTNNNN', (0, 2), 2, 1)
    """

    def __init__(self, path: str | Path, *, index: str | Path | None = None) -> None:
        self.path = environment.opened(Path(path))
        compressed = _check_fasta(self.path)
        self._fai = _find_index(self.path, index, compressed)
        self.contigs: dict[str, int] = {name: length for name, length, *_ in _read_fai(self._fai)}
        _check_extent(self.path, self._fai, compressed)
        self._resolved: dict[str, str] = {}
        self._faidx: Any = None
        self._pid = os.getpid()

    def __repr__(self) -> str:
        total = sum(self.contigs.values())
        return f"Reference({self.path.name}: {len(self.contigs)} contigs, {total:,} bp, {self.assembly or 'unknown assembly'})"

    def __enter__(self) -> Reference:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_faidx": None}

    def close(self) -> None:
        """Close the file; the next fetch opens it again."""
        faidx, self._faidx = self._faidx, None
        if faidx is not None:
            faidx.close()

    @property
    def assembly(self) -> str | None:
        """`GRCh37` or `GRCh38` when the lengths of the human chromosomes present say so, else None."""
        bare = {canonical_contig(name): length for name, length in self.contigs.items()}
        votes = {_ASSEMBLY.get(contig) for contig in bare.items() if contig[0] in _NAMES}
        return votes.pop() if len(votes) == 1 else None

    def whole(self, chrom: str) -> Interval:
        """The whole contig, under whatever alias, as an interval without strand."""
        return Interval(chrom, 0, self.contigs[self._name(chrom)])

    def fetch(self, interval: Interval | str) -> ReferenceSequence:
        """Bases of a region, as long as the region: N beyond the contig's ends.

        `interval` is an Interval (0-based half-open; its start may be negative) or text such as `chr20:1,000-2,000` (1-based
        closed). On the strand "-" the reverse complement comes back. A ValueError says that the contig is unknown or of another
        assembly, that the region has no base on it, or that the file is corrupt.
        """
        if isinstance(interval, str):
            interval = Interval.from_str(interval)
        name = self._name(interval.chrom)
        length = self.contigs[name]
        start, end = max(interval.start, 0), min(interval.end, length)
        if start >= end:
            raise ValueError(
                f"A region must have at least one base on its contig; received {interval.label()}, and {name} has {length:,} bp. "
                f"Check the coordinates, and whether they are of this assembly ({self.assembly or 'unknown'})."
            )
        cleaned = clean(self._read(name, start, end), typed=False)
        padded = (start - interval.start, interval.end - end)
        bases = "N" * padded[0] + cleaned.sequence + "N" * padded[1]
        if interval.strand == "-":
            bases = reverse_complement(bases)
        return ReferenceSequence(interval, bases, padded, cleaned.lowered, cleaned.ambiguous)

    def _name(self, chrom: str) -> str:
        if chrom not in self._resolved:
            asked = accession_assembly(chrom)
            if asked is not None and self.assembly not in (None, asked):
                raise ValueError(
                    f"A contig must be of the reference's assembly; received {chrom}, which is of {asked}, and "
                    f"{self.path.name} is {self.assembly}. Use a FASTA of {asked}, or coordinates of {self.assembly}."
                )
            self._resolved[chrom] = resolve_contig(chrom, self.contigs)
        return self._resolved[chrom]

    def _read(self, name: str, start: int, end: int) -> str:
        pieces = ((at, min(at + _PIECE, end)) for at in range(start, end, _PIECE))
        letters, cause = "", None
        try:
            faidx = self._opened()  # which has a lock of its own for threads
            letters = "".join(faidx.fetch(name, first + 1, last) for first, last in pieces)
        except _DAMAGE as error:
            cause = error
        if len(letters) != end - start:
            raise ValueError(
                f"Every base that the index lists must be readable; {name}:{start + 1:,}-{end:,} of {self.path.name} is "
                f"not. The file is corrupt, or was changed after it was indexed: fetch it again, or run "
                f"ntviz.reference.build_index({str(self.path)!r})."
            ) from cause
        return letters

    def _opened(self) -> Any:
        # A forked process shares the parent's file position, so it needs a file of its own.
        if self._faidx is None or self._pid != os.getpid():
            from pyfaidx import Faidx

            with warnings.catch_warnings():
                # The index was compared with the file where it looks older.
                warnings.filterwarnings("ignore", "(?s).*is older than FASTA", RuntimeWarning)
                self._faidx = Faidx(
                    str(self.path), indexname=str(self._fai), gzi_indexname=str(_gzi_of(self._fai)), as_raw=True,
                    rebuild=False, build_index=False,
                )  # fmt: skip
            self._pid = os.getpid()
        return self._faidx


def build_index(path: str | Path) -> Path:
    """The path of the `.fai` of a FASTA file, made anew: beside it, or in the cache folder where the file or its folder is read-only.

    A ValueError says why a file cannot be indexed.
    """
    path = Path(path)
    compressed = _check_fasta(path)
    if not _read_only(path):
        with suppress(OSError):
            return _write_index(path, _fai_of(path), compressed)
    return _write_index(path, _cached_fai(path), compressed)


def recompress(path: str | Path, to: str | Path | None = None) -> Path:
    """Path of a copy of a FASTA file, plain or gzip, compressed with bgzip and indexed.

    Genomes are published with plain gzip, which has to be read from its beginning; bgzip is the same format in blocks, which can be
    read from everywhere. `to` is named `*.gz`; when not given, the copy is beside the file, with `.bgzip` in its name. A ValueError
    says that the file is truncated, corrupt or not FASTA.
    """
    import pysam

    path = environment.opened(Path(path))
    _check_exists(path)
    plain = Path(path.name.removesuffix(".gz"))
    target = path.with_name(f"{plain.stem}.bgzip{plain.suffix or '.fa'}.gz") if to is None else Path(to)
    with open(path, "rb") as handle:
        zipped = handle.read(2) == _GZIP_MAGIC
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        temporary = Path(folder) / target.name
        try:
            with _lines(path, zipped) as source, pysam.BGZFile(str(temporary), "wb", index=None) as sink:
                sink.write(source.read(_CHUNK).removeprefix(_BOM))
                while chunk := source.read(_CHUNK):
                    sink.write(chunk)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(
                f"{path.name} must be a whole gzip file, but reading it ended with '{error}'. It is truncated or corrupt: "
                f"fetch it again."
            ) from error
        fai = _write_index(temporary, _fai_of(temporary), _check_fasta(temporary))
        # The index goes first, so that nobody finds the file without it, and is then made to look newer.
        for made in (_gzi_of(fai), fai, temporary):
            os.replace(made, target.with_name(made.name))
    for index in (_gzi_of(_fai_of(target)), _fai_of(target)):
        os.utime(index)
    return target


def _lines(path: Path, compressed: bool) -> Any:
    return gzip.open(path, "rb") if compressed else open(path, "rb")


def _check_exists(path: Path) -> None:
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no such file"
        raise FileNotFoundError(f"A FASTA file must exist; received {path}, which is {kind}. Check the path.")


def _check_fasta(path: Path) -> bool:
    """Whether the file is bgzip; anything that is neither that nor plain FASTA is refused."""
    _check_exists(path)
    with open(path, "rb") as handle:
        head = handle.read(_CHUNK)
        handle.seek(max(path.stat().st_size - len(_BGZF_END), 0))
        tail = handle.read()
    compressed = head.startswith(_GZIP_MAGIC)
    if compressed and not (head.startswith(_BGZF_BLOCK) and head[12:14] == b"BC"):
        raise ValueError(
            f"A compressed FASTA must be bgzip, which allows random access; {path.name} is plain gzip. "
            f"Run ntviz.reference.recompress({str(path)!r}) and use the file it makes, or `gunzip -k {path}`."
        )
    if compressed and tail != _BGZF_END:
        raise ValueError(
            f"A bgzip file must end with its end marker; {path.name} ({path.stat().st_size:,} bytes) does not, so it is "
            f"truncated. Fetch or copy it again."
        )
    if not compressed and not head.removeprefix(_BOM).lstrip().startswith(b">"):
        kind = f"begins with {head[:20]!r}" if head.strip() else "is empty"
        kind = "is UTF-16, no plain text" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else kind
        raise ValueError(f"A FASTA file must begin with '>'; {path.name} {kind}. Pass a FASTA, plain or bgzip.")
    if compressed != path.name.lower().endswith((".gz", ".bgz")):
        raise ValueError(
            f"A FASTA's name must end in .gz when it is bgzip, and only then; received {path.name}, which is "
            f"{'bgzip' if compressed else 'plain text'}. Rename it."
        )
    return compressed


def _fai_of(path: Path) -> Path:
    return path.with_name(path.name + ".fai")


def _gzi_of(fai: Path) -> Path:
    return fai.with_suffix(".gzi")


def _read_only(path: Path) -> bool:
    """Whether no index is to be written beside a file; the modes count, because all is allowed to root."""
    return any(not (os.access(at, os.W_OK) and at.stat().st_mode & 0o222) for at in (path, path.parent))


def _cached_fai(path: Path) -> Path:
    """Where the index of a file in this size and of this time is kept in the cache folder."""
    stat = path.stat()
    key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    folder = hashlib.sha256(key.encode("utf-8")).hexdigest()[:16]
    return environment.cache_dir() / "indexes" / folder / f"{path.name}.fai"


def _read_fai(fai: Path) -> list[tuple[str, int, int, int, int]]:
    """Name, length, offset, bases a line and bytes a line of each contig."""
    rows = []
    for number, line in enumerate(fai.read_text(encoding="utf-8").splitlines(), start=1):
        name, *fields = line.split("\t")
        try:
            length, offset, bases, width = map(int, fields)
        except ValueError:
            raise ValueError(
                f"A .fai line must hold a name and four numbers; line {number} of {fai.name} is {line[:60]!r}. "
                f"Delete {fai}, and it is made anew."
            ) from None
        rows.append((name, length, offset, bases, width))
    if not rows:
        raise ValueError(f"A .fai must list at least one contig; {fai} is empty. Delete it, and it is made anew.")
    return rows


def _check_extent(path: Path, fai: Path, compressed: bool) -> None:
    """Refuse an index that points beyond the file, which a truncated or exchanged file shows at once."""
    size = path.stat().st_size
    if compressed:
        content = _gzi_of(fai).read_bytes()
        needed = struct.unpack("<Q", content[-16:-8])[0] if len(content) > 8 else 0
        with open(path, "rb") as handle:
            handle.seek(needed)
            fits = handle.read(4) == _BGZF_BLOCK
    else:
        _, length, offset, bases, width = max(_read_fai(fai), key=lambda row: row[2])
        # The last base, and not the end of its line, which a file need not have.
        needed = offset + ((length - 1) // bases * width + (length - 1) % bases + 1 if length else 0)
        fits = needed <= size
    if not fits:
        raise ValueError(
            f"An index must describe its file; {fai.name} needs data at byte {needed:,}, and {path.name} ({size:,} bytes) "
            f"does not have it. If the file is truncated fetch it again; else run "
            f"ntviz.reference.build_index({str(path)!r})."
        )


def _find_index(path: Path, index: str | Path | None, compressed: bool) -> Path:
    """The `.fai` that describes a file, for bgzip with its `.gzi` beside; made when there is none."""

    def parts(fai: Path) -> list[Path]:
        return [fai, _gzi_of(fai)] if compressed else [fai]

    def complete(fai: Path) -> bool:
        return all(part.is_file() for part in parts(fai))

    beside, cached = _fai_of(path) if index is None else Path(index), _cached_fai(path)
    if not complete(beside):
        if index is None:
            return cached if complete(cached) else build_index(path)
        raise FileNotFoundError(
            f"The index must exist{' with its .gzi' if compressed else ''}; received {beside}. Check the path, or leave the "
            f"index out and it is made."
        )
    if all(part.stat().st_mtime_ns >= path.stat().st_mtime_ns for part in parts(beside)):
        return beside
    # A clone or a copy may leave the times in any order, so content decides, against a fresh index that is kept.
    with tempfile.TemporaryDirectory() as folder:
        try:
            fresh = cached if complete(cached) else _write_index(path, cached, compressed)
        except OSError:  # without a place to keep it, it is made each time
            fresh = _write_index(path, Path(folder) / beside.name, compressed)
        if [part.read_bytes() for part in parts(beside)] == [part.read_bytes() for part in parts(fresh)]:
            return beside
    if index is None and _read_only(path) and complete(cached):
        # Nobody here can mend the index; but one that points beyond the file tells of a file that was cut off.
        _check_extent(path, beside, compressed)
        return cached
    raise ValueError(
        f"An index must describe its file; {beside.name} is older than {path.name} and differs from a fresh one. "
        f"Run ntviz.reference.build_index({str(path)!r}), or `samtools faidx {path}`."
    )


def _write_index(path: Path, fai: Path, compressed: bool) -> Path:
    """Make the index of a file at `fai`, whole or not at all; by samtools, which is 20 times as fast as pyfaidx."""
    import pysam

    with storage.writing(fai):
        fai.parent.mkdir(parents=True, exist_ok=True)
        workplace = tempfile.TemporaryDirectory(dir=fai.parent, prefix=f".{fai.name}.")
    with workplace as folder:
        made, source = Path(folder, fai.name), path
        with open(path, "rb") as handle:
            mark = len(_BOM) if handle.read(len(_BOM)) == _BOM else 0
            if mark:
                # samtools indexes no byte order mark; the rest is as it was, that many bytes further on.
                source = Path(folder, path.name)
                with open(source, "wb") as rest:
                    shutil.copyfileobj(handle, rest)
        verbosity = pysam.set_verbosity(0)
        try:
            pysam.faidx("--fai-idx", str(made), "--gzi-idx", str(_gzi_of(made)), str(source))
            rows = _read_fai(made)
        except pysam.SamtoolsError:
            rows = []
        finally:
            pysam.set_verbosity(verbosity)
        # samtools leaves contigs out, without a word, when they are empty or repeat a name.
        if not rows or not all(row[0] for row in rows) or _headers(source, compressed) != len(rows):
            raise ValueError(_fault(path, compressed))
        if mark:
            shifted = ([name, length, at + mark, *rest] for name, length, at, *rest in rows)
            made.write_text("".join("\t".join(map(str, row)) + "\n" for row in shifted), encoding="utf-8")
        for part in (_gzi_of(made), made) if compressed else (made,):
            os.replace(part, fai.with_name(part.name))
    return fai


def _headers(path: Path, compressed: bool) -> int:
    """How many lines begin with '>'."""
    headers, last = 0, b"\n"
    with _lines(path, compressed) as handle:
        while chunk := handle.read(_CHUNK):
            headers += (last + chunk).count(b"\n>")
            last = chunk[-1:]
    return headers


def _fault(path: Path, compressed: bool) -> str:
    """Why samtools leaves out a contig, or all: it does not say where, so the lines are looked through again."""
    advice = "Correct the file, for example with `seqkit seq -w 60`, or fetch it again."
    begun, width, ended, name, names = 0, 0, False, "", dict[str, int]()
    try:
        with _lines(path, compressed) as handle:
            # A damaged block shows in its checksum, after lines that look wrong for another reason.
            while compressed and handle.read(_CHUNK):
                pass
            handle.seek(0)
            for number, line in enumerate(handle, start=1):
                at = f"line {number:,} of {path.name}"
                if line.startswith(_BOM) and compressed:
                    return (
                        f"A FASTA file must begin with '>'; {path.name} begins with a byte order mark. Run "
                        f"ntviz.reference.recompress({str(path)!r}) and use the file it makes."
                    )
                bases = line.removeprefix(_BOM).rstrip(b"\r\n")
                if b"\r" in bases:
                    return (
                        f"The lines of a FASTA must end in LF or CR LF; {at} holds CR alone. Convert it: tr '\\r' '\\n' < {path} "
                        f"> NEW.fa."
                    )
                if not bases.startswith(b">"):
                    if ended and bases:
                        return (
                            f"All lines of a contig but the last must have one length; {at}, in {name!r}, follows a line of another "
                            f"length. {advice}"
                        )
                    width = width or len(bases)
                    ended = len(bases) != width
                    continue
                if begun and not width:
                    break
                begun, width, ended = number, 0, False
                name = "".join(bases[1:].decode("utf-8", "replace").split(maxsplit=1)[:1])
                if not name or name in names:
                    what = f"repeats {name!r} of line {names[name]:,}" if name else "has none"
                    return f"Every contig must have a name of its own; {at} {what}. Rename or remove it."
                names[name] = number
    except _DAMAGE as error:
        return f"A FASTA file must be readable to its end; {path.name} is not: {error}. It is corrupt: fetch it again."
    if begun and not width:
        return (
            f"Every contig must have bases; {name!r}, line {begun:,} of {path.name}, has none. Remove it, or fetch the file "
            f"again if it was cut off."
        )
    return f"A FASTA file must be one that samtools can index; {path.name} is not. {advice}"
