"""Lines and rows of people's text files."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar

AnyPath = TypeVar("AnyPath", bound=str | os.PathLike[str])

openings: list[Callable[[Path], None]] = []
"""Who is told of each file and model folder that is opened: the run of a notebook, for its manifest."""


def opened(path: AnyPath) -> AnyPath:
    """`path`, of which all `openings` are told; called where a file that people may give is about to be read."""
    for hear in openings:
        hear(Path(path))
    return path


_MISSING = frozenset(
    ("", "na", "n/a", "n.a.", "#n/a", "#na", "<na>", "nan", "-nan", "null", "nat", "?", ".", "#value!", "#ref!", "#div/0!", "#num!",
     "#name?", "#null!")
)  # fmt: skip


def is_missing(text: str) -> bool:
    """Whether a cell is empty or marks a missing value, as R, pandas, Weka and spreadsheets write it; "none" is a class."""
    text = text.strip()
    return text == "None" or text.lower() in _MISSING


def whole_number(text: str) -> int | None:
    """The integer in a cell, also with commas or as R and pandas write it; None where it is none.

    Examples
    --------
    >>> [whole_number(text) for text in ("1000", "1,000", "1e+03", "20.0", "12.5", "x")]
    [1000, 1000, 1000, 20, None, None]
    """
    try:
        return int(text)
    except ValueError:
        pass
    if re.fullmatch(r"\d{1,3}(,\d{3})+", text):
        return int(text.replace(",", ""))
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _opener(path: str | os.PathLike[str]) -> Any:
    """`gzip.open` or `open`, by how the file begins."""
    with open(path, "rb") as handle:
        return gzip.open if handle.read(2) == b"\x1f\x8b" else open


def encoding_of(path: str | os.PathLike[str]) -> str:
    """Encoding of a text file by its byte order mark: UTF-16, else UTF-8."""
    with _opener(opened(path))(path, "rb") as handle:
        return "utf-16" if handle.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def lines_of(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    r"""Number, from 1, and text of each line of a file, plain or gzip, without byte order mark and line ends (LF, CR LF, CR).

    Bytes that are no text become the replacement character; a gzip file that is cut off or damaged is a ValueError.

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
            f"{path.name} must be a whole gzip file, but reading it ended after line {number:,} with '{error}'. "
            "It is truncated or corrupt: fetch it again."
        ) from error


def rows_of(path: str | os.PathLike[str], required: Collection[str] = ()) -> list[tuple[int, list[str]]]:
    """Line, from 1, and cells of each row of a sheet with tabs, the header first; all rows are as long as the header.

    Left out are empty rows, rows that begin with #, and columns without name and cells, as spreadsheets save them. A
    header may begin with # if it has the columns that are required. No text, a lone quote, or a cell in a column
    without name is a ValueError.
    """
    try:
        text = Path(path).read_bytes().decode(encoding_of(path))
    except UnicodeDecodeError as error:
        hint = "Save it as tab-separated text"
        raise ValueError(f"it must be text in UTF-8, but byte {error.start + 1} is not. {hint}") from error
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
        raise ValueError(f"row {line}: its cells must be readable, but {error}. Look for a lone quote") from error
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
