"""Tasks from the published layouts, and from people's own FASTA, tables and BED.

Layouts: a folder with train.fna and test.fna, or with train and test tables, named by the words of `PARTS`; a folder of such
folders; one table with a column `task`; a FASTA whose headers end in |label; a table with sequences and labels; a BED with labels, read from a
reference. Files may be compressed by gzip. What is changed or left out is counted in the notes of the task.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import storage
from ntviz.benchmark.methods import suggestion
from ntviz.benchmark.task import Examples, Task
from ntviz.environment import encoding_of, is_missing, lines_of, opened
from ntviz.genome import Interval
from ntviz.genome.sequence import clean

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.benchmark.registry import TaskSpec
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
_TRUTH = {
    **dict.fromkeys(("true", "t", "yes", "y", "positive", "pos"), "1"),
    **dict.fromkeys(("false", "f", "no", "n", "negative", "neg"), "0"),
}
_PLACE = re.compile(r"(chr)?([0-9]{1,2}[LR]?|[XYM]|MT)[:_]([0-9,]+)[-_]([0-9,]+)", re.IGNORECASE)


@dataclass
class Row:
    """A row as it stood in a file."""

    identity: str
    sequence: str
    label: str
    group: str
    where: str
    part: str = ""


_Changes = list[tuple[str, str]]  # what was changed or left out, and where


def read(
    path: str | os.PathLike[str], *, task: str | None = None, spec: TaskSpec | None = None,
    reference: Reference | None = None,
) -> Task:  # fmt: skip
    """The task in a file or folder.

    Parameters
    ----------
    path, task
        See this module for the layouts; which task, of a folder of tasks or a table with a column `task`.
    spec
        A published task, see `registry.find`: its classes decide which labels are right, and lengths and counts that differ are
        noted. Without it classes are the labels found, sorted.
    reference
        For a BED: where bases come from. Intervals are read along their strand.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file or layout, column or task; labels or parts are none, there is one class only, or no usable row.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"The examples must be in a file or folder; there is none at {path}. Check the path.")
    files, notes = _files_of(path, task)
    rows: dict[str, list[Row]] = {part: [] for part in PARTS}
    for part, file in files:
        for row in _rows_of(file, task, reference):
            if part and row.part and part != row.part:
                raise ValueError(
                    f"A file must hold the part of its name; {row.where} is of the part {row.part}. Correct the column, or the name."
                )
            rows[row.part or part or "train"].append(row)
    known = spec.classes if spec is not None else ()
    changes: _Changes = []
    rows = {part: [row for row in many if _usable(row, part, known, changes)] for part, many in rows.items()}
    # Published validation parts are for choosing: they are learned from here, where choosing is done inside.
    if choosing := rows.pop("validation"):
        notes.append(f"{len(choosing):,} examples of the part validation are learned from: choosing is done inside.")
        rows["train"] += choosing
    if not rows["train"]:
        counted = " ".join(notes + _counted(changes))
        raise ValueError(f"{path} must hold examples to learn from; no row of it could be used. {counted}")
    every = [row for part in rows.values() for row in part]
    kind, classes = _classes(Counter(row.label for row in every), spec, path)
    parts = {part: _examples(many, classes, changes) for part, many in rows.items() if many}
    notes += _counted(changes)
    if "test" not in parts:
        notes.append("There is no test part: folds by group are used.")
    lengths = {len(row.sequence) for row in every}
    if len(lengths) > 1:
        notes.append(f"Lengths differ: {min(lengths):,} to {max(lengths):,} bp.")
    for alike in _alike(classes):
        notes.append(f"{' and '.join(map(repr, alike))} are probably one class: correct the labels if so.")
    counts = np.bincount(parts["train"].labels, minlength=len(classes))
    if counts.min() < 2:
        notes.append(f"Class {classes[int(counts.argmin())]} has {int(counts.min())} examples to learn from.")
    facts: dict[str, Any] = {"files": {file.name: storage.sha256(file) for _, file in files}}
    facts["left_out"] = dict(Counter(what for what, _ in changes))
    about = {"source": str(path), "split": "as given" if "test" in parts else "none given"}
    if spec is not None:
        about = {"source": spec.source, "split": spec.split, "category": spec.category}
        facts["expected"] = {"train": spec.train, "test": spec.test, "length": spec.length}
        for part in ("train", "test"):
            expected, received = facts["expected"][part], len(rows[part])
            if expected not in (None, received):
                notes.append(f"{part} has {received:,} examples; {expected:,} were expected ({spec.grade}).")
        odd = sum(len(row.sequence) != spec.length for row in every)
        if odd:
            notes.append(f"{odd:,} sequences are not {spec.length:,} bp long, as {spec.name} should be.")
    name = spec.name if spec is not None else task or path.name.partition(".")[0]
    return Task(name, kind, classes, parts["train"], parts.get("test"), notes=tuple(notes), facts=facts, **about)


# Files and their parts ------------------------------------------------------------------------------------------------


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
    part_by_word = {word: part for part, known in PARTS.items() for word in known}
    parts = {part_by_word[word] for word in words if word in part_by_word}
    others = [word for word in words if word not in part_by_word and word not in _SAY_NOTHING]
    return parts.pop() if len(parts) == 1 and not (alone and others) else ""


def _suffix(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def _files_of(path: Path, task: str | None) -> tuple[list[tuple[str, Path]], list[str]]:
    """Pairs of a part of `PARTS`, or empty where rows say it, and a file; and notes on files put together or not read."""
    if path.is_file():
        if _suffix(path) not in (*FASTA, *TABLES, *BED):
            raise ValueError(
                f"Examples must be in {', '.join((*FASTA, *TABLES, *BED))}, or compressed as .gz; received {path.name}."
            )
        return [("", path)], []
    by_part = _parts_in(path)
    files = [(part, file) for part, file in by_part if part]
    parts = [part for part, _ in files]
    if files and "train" not in parts:
        raise ValueError(
            f"A task folder must have a file of the part train; {path} holds {', '.join(file.name for _, file in by_part)}. Name the "
            f"files by their parts ({_ALL_PARTS})."
        )
    if not files:
        children = sorted(path.iterdir())
        folders = [
            child.name for child in children if child.is_dir() and any(part == "train" for part, _ in _parts_in(child))
        ]
        if task is not None and task in folders:
            return _files_of(path / task, None)
        if folders:
            raise ValueError(_which(str(path), folders, task))
        files = [("", file) for _, file in by_part if _suffix(file) in TABLES]
        if not files:
            held = ", ".join(child.name for child in children[:6]) or "nothing"
            raise FileNotFoundError(f"A task folder must hold train.fna (or a table); {path} holds {held}.")
        silent = [file.name for _, file in files if _split_of(_frame(file)) is None]
        if silent and len(files) > 1:
            raise ValueError(
                f"Files of a task folder must be named by their parts ({_ALL_PARTS}), or have a column {SPLITS[0]}; {path} holds "
                f"{', '.join(silent)}. Rename them."
            )
    read = {file for _, file in files}
    notes = [f"{file.name} was not read: its name is none of a part." for _, file in by_part if file not in read]
    for part in PARTS:
        if parts.count(part) > 1:
            together = " and ".join(file.name for other, file in files if other == part)
            notes.append(f"The part {part} is {together} together.")
    return files, notes


def _which(where: str, tasks: list[str], task: str | None) -> str:
    received = f"{task!r}." if task else "none."
    return f"{where} holds {len(tasks)} tasks; say which: {', '.join(tasks[:20])}. Received {received}{suggestion(task or '', tasks)}"


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


# Rows as they stand in files ------------------------------------------------------------------------------------------


def _rows_of(file: Path, task: str | None, reference: Reference | None) -> Iterator[Row]:
    if _suffix(file) in FASTA:
        return fasta_rows(file)
    return _bed(file, reference) if _suffix(file) in BED else _table(file, task)


def fasta_rows(file: Path) -> Iterator[Row]:
    """Records of a FASTA; what stands behind the last | of a header is the label."""
    row = None
    for number, line in lines_of(file):
        if line.startswith(">"):
            if row is not None:
                yield row
            header = line[1:].strip()
            identity, _, label = header.rpartition("|")
            row = Row(identity or header, "", label.strip() if identity else "", "", f"{file.name}, line {number}")
        elif row is not None:
            row.sequence += line.strip()
    if row is None:
        raise ValueError(f"{file} must be a FASTA with headers such as >name|label; it has no line that begins with >.")
    yield row


def _frame(file: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        if _suffix(file) == ".parquet":
            table = pd.read_parquet(opened(file))
        else:
            header = next((line for _, line in lines_of(file)), "")
            # Spreadsheets of many countries write semicolons, and some programs tabs, into a .csv.
            separator = max("\t,;" if _suffix(file) == ".tsv" else ",\t;", key=header.count)
            table = pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False, encoding=encoding_of(file))
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"{file} must be a table; reading it failed: {str(error).splitlines()[0]}.") from error
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
        of_row = table["task"].astype(str)
        tasks = sorted(of_row.unique())
        if (task is None and len(tasks) > 1) or (task is not None and task not in tasks):
            raise ValueError(_which(file.name, tasks, task))
        table = table if task is None else table[of_row == task]
    identity = next((column for column in ("id", "name") if column in table.columns), None)
    split = _split_of(table)
    cells = table.reindex(columns=[identity, "sequence", "label", "group", split]).astype(object)
    texts = cells.where(cells.notna(), "").astype(str).values.tolist()
    for index, (name, sequence, label, group, part) in zip(table.index, texts, strict=True):
        where, stated = f"{file.name}, row {int(index) + 1}", part_of(part, alone=True)
        if split is not None and not stated:
            raise ValueError(
                f"The column {split} must hold parts of the task ({_ALL_PARTS}); {where} has {part!r}. Correct it, or leave out the "
                "row or the column."
            )
        yield Row(name, sequence, label, "" if is_missing(group) else group, where, stated)


def _bed(file: Path, reference: Reference | None) -> Iterator[Row]:
    if reference is None:
        raise ValueError(f"{file.name} gives places; their bases need a reference. Pass reference=Reference(fasta).")
    for number, line in lines_of(file):
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
        # 0-based half-open in the name, as in the file; a dot stands for nothing in a BED.
        label = fields[3] if len(fields) > 3 and fields[3] != "." else ""
        yield Row(f"{fields[0]}:{fields[1]}-{fields[2]}:{strand}", sequence, label, "", where)


# Putting together ---------------------------------------------------------------------------------------------------


def _counted(changes: _Changes) -> list[str]:
    first = dict(reversed(changes))
    return [f"{n:,} {what}, the first at {first[what]}." for what, n in Counter(what for what, _ in changes).items()]


def _usable(row: Row, part: str, known: Sequence[str], changes: _Changes) -> bool:
    """Whether a row has a label and bases; it is cleaned in place."""
    label = row.label.strip()
    if is_missing(label) and label not in known:
        what = f"rows whose label is missing ({label})" if label else "rows without a label"
        changes.append((f"{what} were left out", row.where))
        return False
    try:
        found = clean("" if is_missing(row.sequence) else row.sequence, typed=False)
    except ValueError:
        changes.append(("rows whose sequence is empty or no bases were left out", row.where))
        return False
    for what, count in (
        ("sequences with lower-case letters were upper-cased", found.lowered),
        ("sequences had IUPAC letters or gaps, which became N", found.ambiguous),
        ("sequences hold N", found.n),
    ):
        if count:
            changes.append((what, row.where))
    row.sequence = found.sequence
    # 1.0 of a table with gaps is 1.
    row.label = label[:-2] if re.fullmatch(r"-?[0-9]+\.0", label) else label
    row.identity = row.identity or f"{part}{row.where.rpartition(' ')[2]}"
    return True


def _alike(classes: Sequence[str]) -> list[list[str]]:
    """Names of classes that are one but for case, separators, or how numbers and truth are written."""
    together: dict[str, list[str]] = {}
    for name in classes:
        text = re.sub(r"(?<=\w)[\s_.-]+(?=[^\W\d])", " ", name.casefold())
        text = _TRUTH.get(text, text)
        with contextlib.suppress(ValueError):
            text = str(float(text))
        together.setdefault(text, []).append(name)
    return [names for names in together.values() if len(names) > 1]


def _classes(labels: Counter[str], spec: TaskSpec | None, path: Path) -> tuple[str, tuple[str, ...]]:
    """Kind and names of the classes, in the order of their numbers."""
    if spec is not None:
        odd = [f"{label!r} ({n:,})" for label, n in labels.items() if label not in spec.classes]
        if odd:
            raise ValueError(
                f"Labels of {spec.name} must be {', '.join(spec.classes)}; {path} has {', '.join(odd[:5])}. Correct them, or read it "
                "without spec."
            )
        return spec.kind, spec.classes
    numbers = all(re.fullmatch(r"-?[0-9]+", label) for label in labels)
    names = tuple(sorted(labels, key=int if numbers else None))
    if len(names) < 2:
        raise ValueError(
            f"There must be two classes; all {labels.total():,} examples of {path} are of class {names[0]!r}."
        )
    if len(names) > 50:
        raise ValueError(
            f"Labels must be classes; {path} has {len(names):,} different ones, such as {', '.join(names[:3])}. "
            "Are they measurements? Those need a regression task: see tracks.read_deepstarr."
        )
    return "binary" if len(names) == 2 else "multiclass", names


def _examples(rows: list[Row], classes: Sequence[str], changes: _Changes) -> Examples:
    seen: Counter[str] = Counter()
    names = []
    for row in rows:
        seen[row.identity] += 1
        again = seen[row.identity] > 1
        names.append(f"{row.identity}#{seen[row.identity]}" if again else row.identity)
        if again:
            changes.append(("names stood before and got a number", row.where))
    labels = np.array([classes.index(row.label) for row in rows], dtype=np.int64)
    groups = [row.group or group_of(row.identity) for row in rows]
    return Examples(np.array(names), [row.sequence for row in rows], labels, groups)


def group_of(identity: str) -> str:
    """The million of bases that a name with a place in it lies in, or the name itself.

    Examples
    --------
    >>> group_of("chr20:41,000,123-41,000,722"), group_of("peak_17")
    ('chr20:41Mb', 'peak_17')
    """
    match = _PLACE.search(identity)
    if match is None:
        return identity
    return f"chr{match.group(2).upper()}:{int(match.group(3).replace(',', '')) // 1_000_000}Mb"
