"""Labelled rows as they stand in files: FASTA, tables and BED, alone or in the folders of published tasks."""

from __future__ import annotations

import difflib
import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ntviz.genome import Interval

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.reference import Reference

FASTA = (".fna", ".fa", ".fasta")
TABLES = (".parquet", ".csv", ".tsv")
BED = (".bed",)


@dataclass
class Row:
    """A row as it stood in a file."""

    identity: str
    sequence: str
    label: str
    group: str
    where: str
    part: str = ""


def _suffix(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def files_of(path: Path, task: str | None) -> list[tuple[str, Path]]:
    """Pairs of a part's name ("train", "test" or empty) and a file.

    Raises
    ------
    FileNotFoundError
        There is no layout in the folder.
    ValueError
        Another kind of file, or a folder of tasks of which none was named.
    """
    if path.is_file():
        if _suffix(path) not in (*FASTA, *TABLES, *BED):
            raise ValueError(
                f"Examples must be in {', '.join((*FASTA, *TABLES, *BED))}, or compressed as .gz; received {path.name}."
            )
        return [("", path)]
    found = [
        (match.group(1).lower().replace("validation", "valid"), file)
        for file in sorted(path.iterdir())
        if _suffix(file) in (*FASTA, *TABLES)
        and (match := re.match(r"(train|test|validation|valid|dev)\b", file.name, re.IGNORECASE))
    ]
    if any(part == "train" for part, _ in found):
        return [("train" if part in ("valid", "dev") else part, file) for part, file in found]
    folders = sorted(child.name for child in path.iterdir() if child.is_dir() and any(child.glob("train*")))
    if task is not None and task in folders:
        return files_of(path / task, None)
    if folders:
        near = difflib.get_close_matches(task or "", folders, n=3, cutoff=0.4)
        raise ValueError(
            f"{path} holds {len(folders)} tasks; say which: {', '.join(folders)}. Received "
            + (f"{task!r}." if task else "none.")
            + (f" Did you mean {' or '.join(near)}?" if near else "")
        )
    tables = [file for file in sorted(path.iterdir()) if _suffix(file) in TABLES]
    if tables:
        return [("", file) for file in tables]
    held = ", ".join(sorted(child.name for child in path.iterdir())[:6]) or "nothing"
    raise FileNotFoundError(f"A task folder must hold train.fna (or a table); {path} holds {held}.")


def rows_of(file: Path, task: str | None, reference: Reference | None) -> Iterator[Row]:
    """The rows of a file; see `reading.read` for what each kind must hold."""
    suffix = _suffix(file)
    if suffix in FASTA:
        return fasta_rows(file)
    if suffix in BED:
        return _bed(file, reference)
    return _table(file, task)


def _text(file: Path) -> str:
    raw = file.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError) as error:
            raise ValueError(
                f"{file} must be whole gzip; reading it failed: {error}. Get it again."
            ) from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} must be text in UTF-8; {error}.") from error


def fasta_rows(file: Path) -> Iterator[Row]:
    """Records of a FASTA; what stands behind the last | of a header is the label."""
    lines = _text(file).splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith(">")]
    if not starts:
        raise ValueError(
            f"{file} must be a FASTA with headers such as >name|label; it has no line that begins with >."
        )
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        identity, _, label = lines[start][1:].strip().rpartition("|")
        sequence = "".join(line.strip() for line in lines[start + 1 : end])
        yield Row(
            identity or lines[start][1:].strip(),
            sequence,
            label.strip() if identity else "",
            "",
            f"{file.name}, line {start + 1}",
        )


def _frame(file: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        if _suffix(file) == ".parquet":
            table = pd.read_parquet(file)
        else:
            separator = "\t" if _suffix(file) == ".tsv" else ","
            table = pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False, compression="infer")
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        raise ValueError(
            f"{file} must be a table; reading it failed: {str(error).splitlines()[0]}."
        ) from error
    table.columns = [str(column).strip().lower() for column in table.columns]
    return table


def _table(file: Path, task: str | None) -> Iterator[Row]:
    table = _frame(file)
    missing = [column for column in ("sequence", "label") if column not in table.columns]
    if missing:
        raise ValueError(
            f"{file.name} must have the columns sequence and label; it lacks {' and '.join(missing)} and has "
            f"{', '.join(table.columns[:8])}. Rename them."
        )
    if "task" in table.columns:
        tasks = sorted(table["task"].astype(str).unique())
        if (task is None and len(tasks) > 1) or (task is not None and task not in tasks):
            near = difflib.get_close_matches(task or "", tasks, n=3, cutoff=0.4)
            raise ValueError(
                f"{file.name} holds {len(tasks)} tasks; say which: {', '.join(tasks[:20])}. Received "
                + (f"{task!r}." if task else "none.")
                + (f" Did you mean {' or '.join(near)}?" if near else "")
            )
        if task is not None:
            table = table[table["task"].astype(str) == task]
    names = next((column for column in ("id", "name") if column in table.columns), None)

    def column(which: str | None) -> list[str]:
        if which is None or which not in table.columns:
            return [""] * len(table)
        return ["" if value is None or value != value else str(value) for value in table[which].tolist()]

    columns = zip(
        column(names),
        column("sequence"),
        column("label"),
        column("group"),
        column("split"),
        table.index,
        strict=True,
    )
    for identity, sequence, label, group, part, index in columns:
        where = f"{file.name}, row {int(index) + 1}"
        yield Row(identity, sequence, label, group, where, part.strip().lower())


def _bed(file: Path, reference: Reference | None) -> Iterator[Row]:
    if reference is None:
        raise ValueError(
            f"{file.name} gives places; their bases need a reference. Pass reference=Reference(fasta)."
        )
    for number, line in enumerate(_text(file).splitlines(), 1):
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        fields = line.split("\t") if "\t" in line else line.split()
        where = f"{file.name}, line {number}"
        try:
            strand = fields[5] if len(fields) > 5 and fields[5] in "+-." else "."
            place = Interval(fields[0], int(fields[1]), int(fields[2]), strand)
            sequence = reference.fetch(place).sequence
        except (ValueError, IndexError) as error:
            yield Row(line[:40], "", "", "", f"{where} ({error})")
            continue
        # 0-based half-open in the name, as in the file.
        identity = f"{fields[0]}:{fields[1]}-{fields[2]}:{strand}"
        yield Row(identity, sequence, fields[3] if len(fields) > 3 else "", "", where)
