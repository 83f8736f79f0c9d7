"""Tasks from files: the published layouts, and people's own FASTA, tables and BED.

Layouts: a folder with train.fna and test.fna, or with train and test tables; a folder of such folders; one table with a
column `task`; a FASTA whose headers end in |label; a table with sequences and labels; a BED with labels, read from a
reference. Files may be compressed by gzip. What is changed or left out is counted in the notes of the task.
"""

from __future__ import annotations

import difflib
import gzip
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import environment
from ntviz.benchmark.task import Examples, Task
from ntviz.genome import Interval
from ntviz.sequence import clean

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.benchmark.registry import TaskSpec
    from ntviz.reference import Reference

FASTA = (".fna", ".fa", ".fasta")
TABLES = (".parquet", ".csv", ".tsv")
BED = (".bed",)
_PLACE = re.compile(r"(chr)?([0-9]{1,2}[LR]?|[XYM]|MT)[:_]([0-9,]+)[-_]([0-9,]+)", re.IGNORECASE)
_MILLION = 1_000_000


def read(
    path: str | os.PathLike[str],
    *,
    task: str | None = None,
    spec: TaskSpec | None = None,
    name: str | None = None,
    reference: Reference | None = None,
) -> Task:
    """The task in a file or folder.

    Parameters
    ----------
    path
        See this module for the layouts.
    task
        Which, of a folder of tasks or a table with a column `task`.
    spec
        A published task, see `registry.find`: its classes decide which labels are right, and lengths and counts that differ are
        noted. Without it classes are the labels found, sorted.
    name
        Of the task; default: that of the spec, the given task, or the file.
    reference
        For a BED: where bases come from. Intervals are read along their strand.

    Raises
    ------
    FileNotFoundError
        There is no such file, or no layout in the folder.
    ValueError
        A table without the columns, a task that is not there, labels that are none, one class only, or no usable row.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"The examples must be in a file or folder; there is none at {path}. Check the path."
        )
    files = _files(path, task)
    parts: dict[str, list[_Row]] = {"train": [], "test": []}
    tally = _Tally()
    for part, file in files:
        for row in _rows(file, part, task, reference):
            place = row.part if row.part in parts else part if part in parts else "train"
            # Published validation parts are for choosing: they are learned from here, where choosing is done inside.
            parts[place].append(row)
    rows = {part: list(_cleaned(found, part, tally)) for part, found in parts.items()}
    name = name or (spec.name if spec is not None else task or path.name.partition(".")[0])
    return _assembled(
        name, rows, spec, tally, {file.name: environment.sha256(file) for _, file in files}, path
    )


@dataclass
class _Row:
    """A row as it stood in a file."""

    identity: str
    sequence: str
    label: str
    group: str
    where: str
    part: str = ""


@dataclass
class _Tally:
    """What was changed or left out."""

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    missing: int = 0

    def add(self, what: str, where: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        self.first.setdefault(what, where)

    def notes(self) -> list[str]:
        return [f"{n:,} {what}, the first at {self.first[what]}." for what, n in self.counts.items()]


# Files --------------------------------------------------------------------------------------------------------------


def _suffix(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def _files(path: Path, task: str | None) -> list[tuple[str, Path]]:
    """Pairs of a part's name and a file."""
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
        return _files(path / task, None)
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


def _rows(file: Path, part: str, task: str | None, reference: Reference | None) -> Iterator[_Row]:
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


def fasta_rows(file: Path) -> Iterator[_Row]:
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
        yield _Row(
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


def _table(file: Path, task: str | None) -> Iterator[_Row]:
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
        yield _Row(identity, sequence, label, group, where, part.strip().lower())


def _bed(file: Path, reference: Reference | None) -> Iterator[_Row]:
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
            yield _Row(line[:40], "", "", "", f"{where} ({error})")
            continue
        # 0-based half-open in the name, as in the file.
        identity = f"{fields[0]}:{fields[1]}-{fields[2]}:{strand}"
        yield _Row(identity, sequence, fields[3] if len(fields) > 3 else "", "", where)


# Putting together ---------------------------------------------------------------------------------------------------


def _cleaned(rows: list[_Row], part: str, tally: _Tally) -> Iterator[_Row]:
    for row in rows:
        if not row.label:
            tally.add("rows without a label were left out", row.where)
            continue
        try:
            found = clean(row.sequence, typed=False)
        except ValueError:
            tally.add("rows whose sequence is empty or no bases were left out", row.where)
            continue
        if found.lowered:
            tally.add("sequences with lower-case letters were upper-cased", row.where)
        if found.ambiguous:
            tally.add("sequences had IUPAC letters, which became N", row.where)
        if found.n:
            tally.add("sequences hold N", row.where)
        row.sequence = found.sequence
        row.identity = row.identity or f"{part}{row.where.rpartition(' ')[2]}"
        yield row


def _assembled(
    name: str,
    rows: Mapping[str, list[_Row]],
    spec: TaskSpec | None,
    tally: _Tally,
    files: dict[str, str],
    path: Path,
) -> Task:
    if not rows["train"]:
        raise ValueError(
            f"{path} must hold examples to learn from; no row of it could be used. {' '.join(tally.notes())}"
        )
    every = [row for part in rows.values() for row in part]
    kind, classes, code = _classes(every, spec, path)
    parts = {part: _examples(found, code, tally) for part, found in rows.items() if found}
    notes = tally.notes()
    if "test" not in parts:
        notes.append("There is no test part: folds by group are used.")
    lengths = {len(row.sequence) for row in every}
    if len(lengths) > 1:
        notes.append(f"Lengths differ: {min(lengths):,} to {max(lengths):,} bp.")
    counts = np.bincount([code[_plain(row.label)] for row in rows["train"]], minlength=len(classes))
    if counts.min() < 2:
        notes.append(f"Class {classes[int(counts.argmin())]} has {int(counts.min())} examples to learn from.")
    facts: dict[str, Any] = {"files": files, "left_out": dict(tally.counts)}
    if spec is not None:
        facts["expected"] = {"train": spec.train, "test": spec.test, "length": spec.length}
        for part, expected in (("train", spec.train), ("test", spec.test)):
            got = len(parts[part]) if part in parts else 0
            if expected is not None and got != expected:
                notes.append(f"{part} has {got:,} examples; {expected:,} were expected ({spec.grade}).")
        odd = sum(len(row.sequence) != spec.length for row in every)
        if odd:
            notes.append(f"{odd:,} sequences are not {spec.length:,} bp long, as {spec.name} should be.")
    return Task(
        name, kind, classes, parts["train"], parts.get("test"),
        category=spec.category if spec is not None else "other",
        source=spec.source if spec is not None else str(path),
        split=spec.split if spec is not None else ("as given" if "test" in parts else "none given"),
        notes=tuple(notes), facts=facts,
    )  # fmt: skip


def _plain(label: str) -> str:
    """A label as text: 1.0 of a table with gaps is 1."""
    label = label.strip()
    return label[:-2] if re.fullmatch(r"-?[0-9]+\.0", label) else label


def _classes(
    every: list[_Row], spec: TaskSpec | None, path: Path
) -> tuple[str, tuple[str, ...], dict[str, int]]:
    """Kind, names of the classes, and the number of each label."""
    labels: dict[str, int] = {}
    for row in every:
        labels[_plain(row.label)] = labels.get(_plain(row.label), 0) + 1
    if spec is not None:
        odd = {label: n for label, n in labels.items() if label not in spec.classes}
        if odd:
            told = ", ".join(f"{label!r} ({n:,})" for label, n in list(odd.items())[:5])
            raise ValueError(
                f"Labels of {spec.name} must be {', '.join(spec.classes)}; {path} has {told}. Correct them, or read it without spec."
            )
        return spec.kind, spec.classes, {label: index for index, label in enumerate(spec.classes)}
    numbers = all(re.fullmatch(r"-?[0-9]+", label) for label in labels)
    names = tuple(sorted(labels, key=int) if numbers else sorted(labels))
    if len(names) < 2:
        raise ValueError(
            f"There must be two classes; all {len(every):,} examples of {path} are of class {names[0]!r}."
        )
    if len(names) > 50:
        raise ValueError(
            f"Labels must be classes; {path} has {len(names):,} different ones, such as {', '.join(names[:3])}. "
            "Are they measurements? Those need a regression task: see tracks.read_deepstarr."
        )
    return (
        "binary" if len(names) == 2 else "multiclass",
        names,
        {label: index for index, label in enumerate(names)},
    )


def _examples(rows: list[_Row], code: Mapping[str, int], tally: _Tally) -> Examples:
    seen: dict[str, int] = {}
    names = []
    for row in rows:
        seen[row.identity] = seen.get(row.identity, 0) + 1
        if seen[row.identity] > 1:
            tally.add("names stood before and got a number", row.where)
        names.append(row.identity if seen[row.identity] == 1 else f"{row.identity}#{seen[row.identity]}")
    return Examples(
        np.array(names),
        np.array([row.sequence for row in rows], dtype=object),
        np.array([code[_plain(row.label)] for row in rows], dtype=np.int64),
        np.array([row.group or group_of(row.identity) for row in rows]),
    )


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
    return f"chr{match.group(2).upper()}:{int(match.group(3).replace(',', '')) // _MILLION}Mb"
