"""Files and folders that appear whole or not at all, the checksum that names their content, and lines of people's text."""

from __future__ import annotations

import csv
import errno
import gzip
import hashlib
import io
import os
import secrets
import shutil
import zipfile
import zlib
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError, TypeError, ValueError)
"""What reading an npz that is damaged, or none, ends with; zipfile says RuntimeError of flags that make no sense to it."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")


def _explained(error: OSError, path: Path) -> OSError:
    if error.errno not in _NO_ROOM:
        return error
    return OSError(
        error.errno,
        f"{path.name} must fit on the disk, but writing it ended with '{os.strerror(error.errno)}'. "
        f"Nothing half-written is left. Free some space, or write elsewhere",
        str(path),
    )


def _sync_folder(folder: Path) -> None:
    # Makes the rename itself survive a power cut; folders cannot be opened on Windows, and some network file
    # systems refuse to sync them, neither of which takes anything from the atomicity.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def atomic_write(
    path: str | os.PathLike[str], mode: str = "wb", *, encoding: str | None = None
) -> Generator[IO]:
    """File handle whose content appears at `path` all at once when the block ends well, and not at all otherwise.

    The bytes go to a temporary file in the same folder (made if missing), which is synced and then renamed. On
    any exception, Ctrl-C and a full disk included, the temporary file is removed and what was at `path` stays.

    Parameters
    ----------
    path
        The file to make or replace.
    mode
        ``"wb"`` for bytes, ``"w"`` for text (UTF-8 unless `encoding` says otherwise, lines ending in LF).

    Raises
    ------
    ValueError
        If `mode` is another one.
    OSError
        If the file cannot be written; the message of a full disk says that nothing is left.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_write(folder / "answer.txt", "w") as handle:
    ...     _ = handle.write("42")
    >>> [file.name for file in folder.iterdir()], (folder / "answer.txt").read_text()
    (['answer.txt'], '42')
    """
    if mode not in ("w", "wb"):
        raise ValueError(f"mode must be 'w' or 'wb', but {mode!r} came. Read and append with open()")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    text = mode == "w"
    try:
        with open(
            temporary,
            mode.replace("w", "x"),
            encoding=(encoding or "utf-8") if text else None,
            newline="\n" if text else None,
        ) as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        explained = _explained(error, path)
        if explained is error:
            raise
        raise explained from error
    finally:
        # After a good end the name is gone already.
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


@contextmanager
def atomic_directory(path: str | os.PathLike[str], *, replace: bool = True) -> Generator[Path]:
    """Empty folder to fill, which becomes `path` when the block ends well and vanishes otherwise.

    Parameters
    ----------
    path
        A folder that stands there already is replaced as a whole, and only at the end.
    replace
        False: a filled folder that stands there at the end stays, and the new one vanishes. For what several processes may
        make alike at once: who reads it never finds it gone.

    Raises
    ------
    OSError
        If the folder cannot be written; the message of a full disk says that nothing is left.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "checkpoint"
    >>> with atomic_directory(target) as folder:
    ...     _ = (folder / "step.txt").write_text("100")
    >>> (target / "step.txt").read_text()
    '100'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    replaced = _temporary(path)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with open(file, "rb+") as handle:
                    os.fsync(handle.fileno())
        if not replace:
            try:
                os.rename(temporary, path)
            except OSError:
                if not path.is_dir():
                    raise
        elif path.exists():
            # A folder cannot be renamed over a filled one: the old one steps aside for a moment.
            os.replace(path, replaced)
            try:
                os.replace(temporary, path)
            except BaseException:
                os.replace(replaced, path)
                raise
        else:
            os.replace(temporary, path)
    except OSError as error:
        explained = _explained(error, path)
        if explained is error:
            raise
        raise explained from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)
    _sync_folder(path.parent)


def append_line(path: str | os.PathLike[str], text: str) -> None:
    r"""Add `text` and a line end to a file, wholly or not at all, making the file if missing.

    Half a line, as a full disk leaves it, would swallow the next one: it is cut off again.

    Raises
    ------
    OSError
        If the line cannot be written; the file is then as it was.

    Examples
    --------
    >>> import tempfile
    >>> log = Path(tempfile.mkdtemp()) / "log.jsonl"
    >>> append_line(log, "1")
    >>> append_line(log, "2")
    >>> log.read_text()
    '1\n2\n'
    """
    rest = memoryview((text + "\n").encode())
    with open(path, "ab", buffering=0) as handle:
        end = handle.seek(0, os.SEEK_END)
        try:
            while rest:
                rest = rest[handle.write(rest) :]
        except OSError as error:
            os.ftruncate(handle.fileno(), end)
            explained = _explained(error, Path(path))
            if explained is error:
                raise
            raise explained from error


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises
    ------
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "empty"
    >>> file.touch()
    >>> sha256(file)[:16]
    'e3b0c44298fc1c14'
    """
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _opener(path: str | os.PathLike[str]) -> Any:
    """`gzip.open` or `open`, by how the file begins."""
    with open(path, "rb") as handle:
        return gzip.open if handle.read(2) == b"\x1f\x8b" else open


def encoding_of(path: str | os.PathLike[str]) -> str:
    """Encoding of a text file by its byte order mark, which Windows' editors and spreadsheets write: UTF-16, else UTF-8."""
    with _opener(path)(path, "rb") as handle:
        return "utf-16" if handle.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def lines_of(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    r"""Number, from 1, and text of each line of a file, plain or gzip, without byte order mark and line ends (LF, CR LF, CR).

    Bytes that are no text become the replacement character.

    Raises
    ------
    ValueError
        The gzip file is cut off or damaged.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "excel.tsv"
    >>> _ = file.write_bytes(b"\xef\xbb\xbfchr20\t5\r\nchr20\t9")
    >>> list(lines_of(file))
    [(1, 'chr20\t5'), (2, 'chr20\t9')]
    """
    path, number = Path(path), 0
    try:
        with _opener(path)(path, "rt", encoding=encoding_of(path), errors="replace") as handle:
            for number, line in enumerate(handle, start=1):
                yield number, line.rstrip("\n")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path.name} must be a whole gzip file, but reading it ended after line {number:,} with '{error}'. It is "
            f"truncated or corrupt: fetch it again."
        ) from error


def rows_of(path: str | os.PathLike[str], required: Collection[str] = ()) -> list[tuple[int, list[str]]]:
    r"""Line, from 1, and cells of each row of a sheet with tabs, the header first; all rows are as long as the header.

    Nothing is said by empty rows, by rows that begin with #, and by columns without name and cells, as spreadsheets save them.
    A header may begin with # if it has the columns that are required.

    Raises
    ------
    ValueError
        The file is no text, has a lone quote, or has a cell in a column without name.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "excel.tsv"
    >>> _ = file.write_text("# mine\t\t\nsample\trun\t\n\na\tscore\t\n")
    >>> rows_of(file)
    [(2, ['sample', 'run']), (4, ['a', 'score'])]
    """
    try:
        text = Path(path).read_bytes().decode(encoding_of(path))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"it must be text in UTF-8, but byte {error.start + 1} is not. Save it as tab-separated text"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True)
    rows: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for texts in reader:
            cells = [text.strip() for text in texts]
            if any(cells) and cells[0].startswith("#") and not rows:
                bare = [cells[0].lstrip("# "), *cells[1:]]
                cells = bare if required and set(required) <= set(bare) else cells
            if any(cells) and not cells[0].startswith("#"):
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"row {line}: its cells must be readable, but {error}. Look for a lone quote"
        ) from error
    wide = max((len(cells) for _, cells in rows), default=0)
    whole = [(row, cells + [""] * (wide - len(cells))) for row, cells in rows]
    kept = [column for column in range(wide) if any(cells[column] for _, cells in whole)]
    for row, cells in whole:
        for column in kept:
            if cells[column] and not whole[0][1][column]:
                raise ValueError(
                    f"row {row}: the cell {cells[column]!r} must stand in a column with a name, but column {column + 1} has none "
                    f"in the header, row {whole[0][0]}. Name it, or take a tab out"
                )
    return [(row, [cells[column] for column in kept]) for row, cells in whole]
