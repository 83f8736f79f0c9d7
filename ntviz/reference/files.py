"""Files behind a Reference: what they are, their index, and making bgzip of gzip."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ntviz import environment

_GZIP_MAGIC = b"\x1f\x8b"
_BGZF_BLOCK = b"\x1f\x8b\x08\x04"
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_BOM = b"\xef\xbb\xbf"  # of UTF-8, which Windows' editors put first
_CHUNK = 1 << 20


def build_index(path: str | Path) -> Path:
    """Make the index of a FASTA file anew, and return the path of its `.fai`.

    It is written beside the file, or to the cache folder where the file or its folder is read-only.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file cannot be indexed; the message names the line.
    """
    path = Path(path)
    compressed = check_fasta(path)
    if not _read_only(path):
        with suppress(OSError):
            return write_index(path, _fai_of(path), compressed)
    return write_index(path, cached_fai(path), compressed)


def recompress(path: str | Path, to: str | Path | None = None) -> Path:
    """Copy of a FASTA file, plain or gzip, compressed with bgzip and indexed; its path comes back.

    Genomes are published with plain gzip, which has to be read from its beginning; bgzip is the same format in
    blocks, which can be read from everywhere. Takes about a minute for a human genome.

    Parameters
    ----------
    path
        The file as it was published.
    to
        The file to write; beside `path`, with `.bgzip` in its name, when not given.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, corrupt or not FASTA.
    """
    import pysam

    path = Path(path)
    check_exists(path)
    plain = Path(path.name.removesuffix(".gz"))
    target = path.with_name(f"{plain.stem}.bgzip{plain.suffix or '.fa'}.gz") if to is None else Path(to)
    with open(path, "rb") as handle:
        zipped = handle.read(2) == _GZIP_MAGIC
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        temporary = Path(folder) / target.name
        try:
            with (
                gzip.open(path, "rb") if zipped else open(path, "rb") as source,
                pysam.BGZFile(str(temporary), "wb", index=None) as sink,
            ):
                sink.write(source.read(_CHUNK).removeprefix(_BOM))
                while chunk := source.read(_CHUNK):
                    sink.write(chunk)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(
                f"{path.name} must be a whole gzip file, but reading it ended with '{error}'. It is truncated or corrupt: "
                f"fetch it again."
            ) from error
        check_fasta(temporary)
        fai = write_index(temporary, temporary.with_name(target.name + ".fai"), compressed=True)
        # The index goes first, so that nobody finds the file without it, and is then made to look newer.
        for made in (fai.with_suffix(".gzi"), fai, temporary):
            os.replace(made, target.with_name(made.name))
    for suffix in (".gzi", ".fai"):
        os.utime(target.with_name(target.name + suffix))
    return target


def check_exists(path: Path) -> None:
    """Refuse what is no file."""
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no such file"
        raise FileNotFoundError(
            f"A FASTA file must exist; received {path}, which is {kind}. Check the path, or see `ntviz data` for what is here."
        )


def check_fasta(path: Path) -> bool:
    """Whether the file is bgzip; anything that is neither that nor plain FASTA is refused."""
    check_exists(path)
    with open(path, "rb") as handle:
        head = handle.read(_CHUNK)
        handle.seek(max(path.stat().st_size - len(_BGZF_END), 0))
        tail = handle.read()
    if head.startswith(_GZIP_MAGIC):
        if not (head.startswith(_BGZF_BLOCK) and head[12:14] == b"BC"):
            raise ValueError(
                f"A compressed FASTA must be bgzip, which allows random access; {path.name} is plain gzip. "
                f"Run ntviz.reference.recompress({str(path)!r}) and use the file it makes, or `gunzip -k {path}`."
            )
        if tail != _BGZF_END:
            raise ValueError(
                f"A bgzip file must end with its end marker; {path.name} ({path.stat().st_size:,} bytes) does not, so it is "
                f"truncated. Fetch or copy it again."
            )
        return True
    if not head.removeprefix(_BOM).lstrip().startswith(b">"):
        kind = "is empty" if not head.strip() else f"begins with {head[:20]!r}"
        kind = "is UTF-16, no plain text" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else kind
        raise ValueError(
            f"A FASTA file must begin with '>'; {path.name} {kind}. Pass a FASTA file, plain or bgzip."
        )
    return False


def read_fai(fai: Path) -> list[tuple[str, int, int, int, int]]:
    """Name, length, offset, bases a line and bytes a line of each contig."""
    rows = []
    for number, line in enumerate(fai.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split("\t")
        try:
            rows.append((fields[0], int(fields[1]), int(fields[2]), int(fields[3]), int(fields[4])))
        except (IndexError, ValueError):
            raise ValueError(
                f"A .fai line must hold a name and four numbers; line {number} of {fai.name} is {line[:60]!r}. "
                f"Delete {fai}, and it is made anew."
            ) from None
    if not rows:
        raise ValueError(
            f"A .fai must list at least one contig; {fai} is empty. Delete it, and it is made anew."
        )
    return rows


def check_extent(path: Path, fai: Path, gzi: Path | None) -> None:
    """Refuse an index that points beyond the file, which a truncated or exchanged file shows at once."""
    size = path.stat().st_size
    if gzi is None:
        _, length, offset, bases, width = max(read_fai(fai), key=lambda row: row[2])
        # The last base, and not the end of its line, which a file need not have.
        needed = offset + ((length - 1) // bases * width + (length - 1) % bases + 1 if length else 0)
        fits = needed <= size
    else:
        content = gzi.read_bytes()
        needed = struct.unpack("<Q", content[-16:-8])[0] if len(content) > 8 else 0
        with open(path, "rb") as handle:
            handle.seek(needed)
            fits = handle.read(4) == _BGZF_BLOCK
    if not fits:
        raise ValueError(
            f"An index must describe its file; {fai.name} needs data at byte {needed:,}, and {path.name} ({size:,} bytes) "
            f"does not have it. If the file is truncated fetch it again; else run "
            f"ntviz.reference.build_index({str(path)!r})."
        )


def corrupt(path: Path, name: str, start: int, end: int) -> ValueError:
    """The error of a region that should be readable and is not."""
    return ValueError(
        f"Every base that the index lists must be readable; {name}:{start + 1:,}-{end:,} of {path.name} is not. The file is "
        f"corrupt, or was changed after it was indexed: fetch it again, or run "
        f"ntviz.reference.build_index({str(path)!r})."
    )


@contextmanager
def quiet_htslib() -> Generator[None]:
    """Keep htslib from printing to stderr; what it says is in our errors."""
    import pysam

    before = pysam.set_verbosity(0)
    try:
        yield
    finally:
        pysam.set_verbosity(before)


def _fai_of(path: Path) -> Path:
    return path.with_name(path.name + ".fai")


def _gzi_of(fai: Path) -> Path:
    return fai.with_suffix(".gzi")


def _read_only(path: Path) -> bool:
    """Whether no index is to be written beside a file; the modes count, because all is allowed to root."""
    return any(not (os.access(at, os.W_OK) and at.stat().st_mode & 0o222) for at in (path, path.parent))


def cached_fai(path: Path) -> Path:
    """Where the index of a file in this size and of this time is kept in the cache folder."""
    stat = path.stat()
    key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    folder = hashlib.sha256(key.encode("utf-8")).hexdigest()[:16]
    return environment.cache_dir() / "indexes" / folder / f"{path.name}.fai"


def find_index(path: Path, index: str | Path | None, compressed: bool) -> tuple[Path, Path | None]:
    """The `.fai` and, for bgzip, `.gzi` that describe a file; made when there are none."""

    def pair(fai: Path) -> tuple[Path, Path | None]:
        return fai, _gzi_of(fai) if compressed else None

    def complete(fai: Path) -> bool:
        return fai.is_file() and (not compressed or _gzi_of(fai).is_file())

    beside = _fai_of(path) if index is None else Path(index)
    if index is not None and not complete(beside):
        raise FileNotFoundError(
            f"The index must exist{' with its .gzi' if compressed else ''}; received {beside}. Check the path, or leave the "
            f"index out and it is made."
        )
    cached = cached_fai(path)
    if not complete(beside):
        return pair(cached) if complete(cached) else pair(build_index(path))
    changed = path.stat().st_mtime_ns
    if all(part.stat().st_mtime_ns >= changed for part in pair(beside) if part is not None):
        return pair(beside)
    # A clone or a copy may leave the times in any order, so content decides, against a fresh index that is kept.
    with tempfile.TemporaryDirectory() as folder:
        if complete(cached):
            fresh = cached
        else:
            try:
                fresh = write_index(path, cached, compressed)
            except OSError:
                # Without a place to keep it, it is made each time.
                fresh = write_index(path, Path(folder) / beside.name, compressed)
        if all(
            old.read_bytes() == new.read_bytes()
            for old, new in zip(pair(beside), pair(fresh), strict=True)
            if old is not None and new is not None
        ):
            return pair(beside)
    if index is None and _read_only(path) and complete(cached):
        # Nobody here can mend the index; but one that points beyond the file tells of a file that was cut off.
        check_extent(path, *pair(beside))
        return pair(cached)
    raise ValueError(
        f"An index must describe its file; {beside.name} is older than {path.name} and differs from a fresh one. "
        f"Run ntviz.reference.build_index({str(path)!r}), or `samtools faidx {path}`."
    )


def write_index(path: Path, fai: Path, compressed: bool) -> Path:
    """Make the index of a file at `fai`, whole or not at all."""
    import pysam

    fai.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=fai.parent, prefix=f".{fai.name}."))
    try:
        made, source = folder / fai.name, path
        with open(path, "rb") as handle:
            marked = handle.read(len(_BOM)) == _BOM
            if marked:
                # samtools indexes no byte order mark; the rest is as it was, that many bytes further on.
                source = folder / path.name
                with open(source, "wb") as rest:
                    shutil.copyfileobj(handle, rest)
        with quiet_htslib():
            try:
                pysam.faidx("--fai-idx", str(made), "--gzi-idx", str(_gzi_of(made)), str(source))
            except pysam.SamtoolsError as error:
                raise ValueError(_why_not_indexed(path, compressed)) from error
        rows = read_fai(made)
        if "" in (names := [row[0] for row in rows]) or _headers(path, compressed) != len(names):
            # samtools indexes them with a warning only, or leaves them out.
            raise ValueError(_why_not_indexed(path, compressed))
        if marked:
            shifted = ([name, length, at + len(_BOM), *rest] for name, length, at, *rest in rows)
            made.write_text("".join("\t".join(map(str, row)) + "\n" for row in shifted), encoding="utf-8")
        for part in (_gzi_of(made), made):
            if part.exists():
                os.replace(part, fai.with_name(part.name))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return fai


def _open_lines(path: Path, compressed: bool) -> Any:
    return gzip.open(path, "rb") if compressed else open(path, "rb")


def _headers(path: Path, compressed: bool) -> int:
    """How many lines begin with '>'."""
    headers, last = 0, b"\n"
    with _open_lines(path, compressed) as handle:
        while chunk := handle.read(_CHUNK):
            chunk = chunk.removeprefix(_BOM) if last == b"\n" else chunk
            headers += (last + chunk).count(b"\n>")
            last = chunk[-1:]
    return headers


def _why_not_indexed(path: Path, compressed: bool) -> str:
    """Why samtools refused the file, or a contig of it; it says so on stderr only, so the lines are looked through again."""
    advice = "Correct the file, for example with `seqkit seq -w 60`, or fetch it again."
    width, ended, begun, name = 0, False, 0, ""
    names: dict[str, int] = {}
    try:
        with _open_lines(path, compressed) as handle:
            # A damaged block shows in its checksum, after lines that look wrong for another reason.
            while compressed and handle.read(_CHUNK):
                pass
            handle.seek(0)
            for number, line in enumerate(handle, start=1):
                if line.startswith(_BOM) and compressed:
                    return (
                        f"A FASTA file must begin with '>'; {path.name} begins with a byte order mark. Run "
                        f"ntviz.reference.recompress({str(path)!r}) and use the file it makes."
                    )
                line = line.removeprefix(_BOM)
                if b"\r" in line.rstrip(b"\r\n"):
                    return (
                        f"The lines of a FASTA must end in LF or CR LF; line {number} of {path.name} holds CR alone. Convert "
                        f"it: tr '\\r' '\\n' < {path} > NEW.fa."
                    )
                if line.startswith(b">"):
                    if begun and not width:
                        break
                    width, ended, begun = 0, False, number
                    name = "".join(line[1:].decode("utf-8", "replace").split(maxsplit=1)[:1])
                    if not name or name in names:
                        what = f"repeats {name!r} of line {names[name]:,}" if name else "has none"
                        return (
                            f"Every contig must have a name of its own; line {number:,} of {path.name} {what}. Rename or remove "
                            f"it."
                        )
                    names[name] = number
                    continue
                found = len(line.rstrip(b"\r\n"))
                if ended and found:
                    return (
                        f"All lines of a contig but the last must have one length; line {number} of {path.name}, in {name!r}, "
                        f"follows a line of another length. {advice}"
                    )
                width = width or found
                ended = found != width
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        return f"A FASTA file must be readable to its end; {path.name} is not: {error}. It is corrupt: fetch it again."
    if begun and not width:
        return (
            f"Every contig must have bases; {name!r}, line {begun:,} of {path.name}, has none. Remove it, or fetch the file "
            f"again if it was cut off."
        )
    return f"A FASTA file must be one that samtools can index; {path.name} is not. {advice}"
