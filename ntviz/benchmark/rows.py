"""Labelled rows as they stand in files: FASTA, tables and BED, alone or in the folders of published tasks."""

from __future__ import annotations

import difflib
import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ntviz.environment import encoding_of
from ntviz.genome import Interval

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.reference import Reference

FASTA = (".fna", ".fa", ".fasta")
TABLES = (".parquet", ".csv", ".tsv")
BED = (".bed",)
PARTS = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "valid", "val", "dev", "development"),
    "test": ("test", "testing", "tst", "holdout", "held_out"),
}
"""Parts of a task with the words for them, upper or lower case; `_SAY_NOTHING` may stand beside them: train_set, test_ood, test-1."""
_SAY_NOTHING = ("set", "split", "part", "data", "ood", "id", "iid", "of")
_ALL_PARTS = "; ".join(f"{part}: {', '.join(words)}" for part, words in PARTS.items())
SPLITS = ("split", "partition", "part", "subset", "set", "fold", "dataset", "phase", "usage")
"""Columns that may say the part of a row: the first always, another one if one of its words is a part's."""
_MISSING = frozenset(
    ("", "na", "n/a", "n.a.", "#n/a", "#na", "<na>", "nan", "-nan", "null", "nat", "?", ".", "#value!", "#ref!", "#div/0!", "#num!",
     "#name?", "#null!")
)  # fmt: skip
"""What R, pandas, Weka and spreadsheets write where nothing is, in any case; beside them Python's None, but "none" is a class."""


@dataclass
class Row:
    """A row as it stood in a file."""

    identity: str
    sequence: str
    label: str
    group: str
    where: str
    part: str = ""


def is_missing(text: str) -> bool:
    """Whether a cell says that nothing is there.

    Examples
    --------
    >>> [is_missing(text) for text in (" NaN", "na", "None", "none", "-")]
    [True, True, True, False, False]
    """
    text = text.strip()
    return text == "None" or text.lower() in _MISSING


def part_of(name: str, *, alone: bool) -> str:
    """The part of a task that a name speaks of, one of `PARTS`; empty if none, or several.

    `alone`: no other words may stand in it, but those that say nothing.

    Examples
    --------
    >>> part_of("Train_Set-00001-of-00002", alone=True), part_of("promoters_heldOut", alone=False), part_of("extra", alone=True)
    ('train', 'test', '')
    """
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    text = re.sub(r"(held|hold)[\W_]*out", " holdout ", text)
    words = [re.sub(r"(?<=.)(set|split|part|data)$", "", word) for word in re.findall(r"[^\W\d_]+", text)]
    found = {word: part for part, known in PARTS.items() for word in known}
    parts = {found[word] for word in words if word in found}
    others = [word for word in words if word not in found and word not in _SAY_NOTHING]
    return parts.pop() if len(parts) == 1 and not (alone and others) else ""


def _suffix(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def files_of(path: Path, task: str | None) -> tuple[list[tuple[str, Path]], list[str]]:
    """Pairs of a part of `PARTS`, or empty where rows say it, and a file; and the names of tables and FASTA beside them.

    Raises
    ------
    FileNotFoundError
        There is no layout in the folder.
    ValueError
        Another kind of file, files of which no part is told, no training part, or a folder of tasks of which none was named.
    """
    if path.is_file():
        if _suffix(path) not in (*FASTA, *TABLES, *BED):
            raise ValueError(
                f"Examples must be in {', '.join((*FASTA, *TABLES, *BED))}, or compressed as .gz; received {path.name}."
            )
        return [("", path)], []
    found = _parts_in(path)
    named = [(part, file) for part, file in found if part]
    if any(part == "train" for part, _ in named):
        return named, [file.name for part, file in found if not part]
    if named:
        raise ValueError(
            f"A task folder must have a file of the part train; {path} holds {', '.join(file.name for _, file in found)}. Name the "
            f"files by their parts ({_ALL_PARTS})."
        )
    folders = sorted(
        child.name
        for child in path.iterdir()
        if child.is_dir() and any(part == "train" for part, _ in _parts_in(child))
    )
    if task is not None and task in folders:
        return files_of(path / task, None)
    if folders:
        near = difflib.get_close_matches(task or "", folders, n=3, cutoff=0.4)
        raise ValueError(
            f"{path} holds {len(folders)} tasks; say which: {', '.join(folders)}. Received "
            + (f"{task!r}." if task else "none.")
            + (f" Did you mean {' or '.join(near)}?" if near else "")
        )
    tables = [file for _, file in found if _suffix(file) in TABLES]
    if tables:
        silent = [file.name for file in tables if _split_of(_frame(file)) is None]
        if silent and len(tables) > 1:
            raise ValueError(
                f"Files of a task folder must be named by their parts ({_ALL_PARTS}), or have a column {SPLITS[0]}; {path} holds "
                f"{', '.join(silent)}. Rename them."
            )
        return [("", file) for file in tables], [file.name for _, file in found if file not in tables]
    held = ", ".join(sorted(child.name for child in path.iterdir())[:6]) or "nothing"
    raise FileNotFoundError(f"A task folder must hold train.fna (or a table); {path} holds {held}.")


def _parts_in(folder: Path) -> list[tuple[str, Path]]:
    """The tables and FASTA of a folder, each with the part that its name speaks of."""
    return [
        (part_of(file.name.removesuffix(".gz").rpartition(".")[0], alone=False), file)
        for file in sorted(folder.iterdir())
        if file.is_file() and _suffix(file) in (*FASTA, *TABLES)
    ]


def _split_of(table: pd.DataFrame) -> str | None:
    """The column that says the part of each row, if there is one."""
    for name in SPLITS:
        if name in table.columns:
            values = table[name].astype(str).unique()
            if name == SPLITS[0] or any(part_of(value, alone=True) for value in values):
                return name
    return None


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
            encoding = encoding_of(file)
            with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding=encoding) as lines:
                header = next(iter(lines), "")
            # Spreadsheets of many countries write semicolons, and some programs tabs, into a .csv.
            separator = max("\t,;" if _suffix(file) == ".tsv" else ",\t;", key=header.count)
            table = pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False, encoding=encoding)
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
    split = _split_of(table)

    def column(which: str | None) -> list[str]:
        if which is None or which not in table.columns:
            return [""] * len(table)
        values = table[which]
        return values.astype(object).where(values.notna(), "").astype(str).tolist()

    columns = zip(
        column(names),
        column("sequence"),
        column("label"),
        column("group"),
        column(split),
        table.index,
        strict=True,
    )
    for identity, sequence, label, group, part, index in columns:
        where = f"{file.name}, row {int(index) + 1}"
        stated = part_of(part, alone=True)
        if split is not None and not stated:
            raise ValueError(
                f"The column {split} must hold parts of the task ({_ALL_PARTS}); {where} has {part!r}. Correct it, or leave out the "
                "row or the column."
            )
        yield Row(identity, sequence, label, "" if is_missing(group) else group, where, stated)


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
        # A dot stands for nothing in a BED.
        yield Row(identity, sequence, fields[3] if len(fields) > 3 and fields[3] != "." else "", "", where)
