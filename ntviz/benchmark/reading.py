"""Tasks from files: the published layouts, and people's own FASTA, tables and BED.

Layouts: a folder with train.fna and test.fna, or with train and test tables, named by the words of `rows.PARTS`; a folder of such
folders; one table with a column `task`; a FASTA whose headers end in |label; a table with sequences and labels; a BED with labels, read from a
reference. Files may be compressed by gzip. What is changed or left out is counted in the notes of the task.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import environment
from ntviz.benchmark.rows import PARTS, Row, files_of, is_missing, rows_of
from ntviz.benchmark.task import Examples, Task
from ntviz.sequence import clean

if TYPE_CHECKING:
    from ntviz.benchmark.registry import TaskSpec
    from ntviz.reference import Reference

_PLACE = re.compile(r"(chr)?([0-9]{1,2}[LR]?|[XYM]|MT)[:_]([0-9,]+)[-_]([0-9,]+)", re.IGNORECASE)
_MILLION = 1_000_000
_TRUTH = {
    **dict.fromkeys(("true", "t", "yes", "y", "positive", "pos"), "1"),
    **dict.fromkeys(("false", "f", "no", "n", "negative", "neg"), "0"),
}


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
        A table without the columns, a task that is not there, labels or parts that are none, one class only, or no usable row.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"The examples must be in a file or folder; there is none at {path}. Check the path."
        )
    files, beside = files_of(path, task)
    parts: dict[str, list[Row]] = {part: [] for part in PARTS}
    tally = _Tally([f"{file} was not read: its name is none of a part." for file in beside])
    for part in PARTS:
        together = [file.name for other, file in files if other == part]
        if len(together) > 1:
            tally.said.append(f"The part {part} is {' and '.join(together)} together.")
    for part, file in files:
        for row in rows_of(file, task, reference):
            if part and row.part and part != row.part:
                raise ValueError(
                    f"A file must hold the part of its name; {row.where} is of the part {row.part}. Correct the column, or the name."
                )
            parts[row.part or part or "train"].append(row)
    known = spec.classes if spec is not None else ()
    rows = {part: list(_cleaned(found, part, tally, known)) for part, found in parts.items()}
    # Published validation parts are for choosing: they are learned from here, where choosing is done inside.
    if choosing := rows.pop("validation"):
        tally.said.append(
            f"{len(choosing):,} examples of the part validation are learned from: choosing is done inside."
        )
        rows["train"] += choosing
    name = name or (spec.name if spec is not None else task or path.name.partition(".")[0])
    return _assembled(
        name, rows, spec, tally, {file.name: environment.sha256(file) for _, file in files}, path
    )


@dataclass
class _Tally:
    """What was changed or left out, and what else is to be said."""

    said: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, where: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        self.first.setdefault(what, where)

    def notes(self) -> list[str]:
        return self.said + [
            f"{n:,} {what}, the first at {self.first[what]}." for what, n in self.counts.items()
        ]


# Putting together ---------------------------------------------------------------------------------------------------


def _cleaned(rows: list[Row], part: str, tally: _Tally, known: Sequence[str]) -> Iterator[Row]:
    for row in rows:
        label = row.label.strip()
        if is_missing(label) and label not in known:
            what = f"rows whose label is missing ({label})" if label else "rows without a label"
            tally.add(f"{what} were left out", row.where)
            continue
        try:
            if is_missing(row.sequence):
                raise ValueError("there is no sequence")
            found = clean(row.sequence, typed=False)
        except ValueError:
            tally.add("rows whose sequence is empty or no bases were left out", row.where)
            continue
        if found.lowered:
            tally.add("sequences with lower-case letters were upper-cased", row.where)
        if found.ambiguous:
            tally.add("sequences had IUPAC letters or gaps, which became N", row.where)
        if found.n:
            tally.add("sequences hold N", row.where)
        row.sequence = found.sequence
        row.identity = row.identity or f"{part}{row.where.rpartition(' ')[2]}"
        yield row


def _assembled(
    name: str,
    rows: Mapping[str, list[Row]],
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
    notes += [
        f"{' and '.join(map(repr, alike))} are probably one class: correct the labels if so."
        for alike in _alike(classes)
    ]
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


def _classes(
    every: list[Row], spec: TaskSpec | None, path: Path
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


def _examples(rows: list[Row], code: Mapping[str, int], tally: _Tally) -> Examples:
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
