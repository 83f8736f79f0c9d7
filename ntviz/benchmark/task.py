"""`Task`: labelled sequences, split, and what must stay together; `Examples`: one part of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

KINDS = ("binary", "multiclass", "multilabel", "regression", "per_base")
METRICS = {
    "binary": "mcc",
    "multiclass": "mcc",
    "multilabel": "auroc",
    "regression": "pearson",
    "per_base": "top_k",
}
"""The first metric of each kind of task."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled sequences.

    Attributes
    ----------
    ids
        Name of each, str [example], no two the same.
    sequences
        str [example], object array, upper-case A, C, G, T, N.
    labels
        By kind of task: class, int64 [example] (binary, multiclass); bool [example, track] (multilabel); float32
        [example, target] (regression); class of each base, int8 [example, base], -1 where none is asked
        (per_base; sequences then have one length).
    groups
        What must stay on one side of any split, and is drawn as a whole by the bootstrap, str [example]: a region such as
        "chr20:41" (the 41st million bases), a chromosome, or the id where nothing is known.

    Raises
    ------
    ValueError
        The four do not have one length, or an id stands twice.
    """

    ids: np.ndarray
    sequences: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in ("ids", "sequences", "labels", "groups")}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{n:,} {name}" for name, n in lengths.items())
            raise ValueError(f"Examples must have one id, sequence, label and group each; received {told}.")
        names, counts = np.unique(self.ids, return_counts=True)
        if (counts > 1).any():
            raise ValueError(
                f"Ids must be unique; received {str(names[counts > 1][0])!r} {int(counts.max())} times "
                f"({int((counts > 1).sum()):,} ids repeat). Number them."
            )

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.ids)

    def take(self, where: np.ndarray) -> Examples:
        """The examples at these indices, or where a mask is true."""
        return Examples(self.ids[where], self.sequences[where], self.labels[where], self.groups[where])


@dataclass(frozen=True, eq=False)
class Task:
    """A question about sequences with its training and test examples.

    Attributes
    ----------
    name
        Such as "promoter_all" or "chr20_promoter_all".
    kind
        One of `KINDS`.
    classes
        Names of the classes, tracks or targets, in the order of the labels.
    train, test
        `test` is None where no split is given: then folds by group are used.
    category
        What it is about, for averages: "splicing", "promoters", "enhancers", "chromatin", "coding", "other".
    source
        Where the examples come from, in words, with the licence where one is known.
    split
        How train and test were separated, in words.
    notes
        What was changed or left out while reading, in words.
    facts
        More numbers about it, plain data.

    Raises
    ------
    ValueError
        An unknown kind, or labels that do not fit it.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    train: Examples
    test: Examples | None
    category: str = "other"
    source: str = "not stated"
    split: str = "not stated"
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"The kind of a task must be one of {', '.join(KINDS)}; received {self.kind!r}.")
        for part, examples in self.parts.items():
            _check_labels(self, part, examples)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(examples):,} {part}" for part, examples in self.parts.items())
        low, high = self.lengths
        bp = f"{low:,} bp" if low == high else f"{low:,} to {high:,} bp"
        return f"Task({self.name}: {self.kind}, {len(self.classes)} classes, {sizes}, {bp})"

    @property
    def parts(self) -> dict[str, Examples]:
        """The examples by name of their part: "train", and "test" where there is one."""
        return {"train": self.train} | ({} if self.test is None else {"test": self.test})

    @property
    def metric(self) -> str:
        """The metric that comes first for this kind."""
        return METRICS[self.kind]

    @cached_property
    def lengths(self) -> tuple[int, int]:
        """Shortest and longest sequence, bp."""
        sizes = [len(sequence) for examples in self.parts.values() for sequence in examples.sequences]
        return (min(sizes), max(sizes)) if sizes else (0, 0)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over kind, classes, parts, ids, sequences, labels and groups, in order: what tells two tasks apart."""
        digest = hashlib.sha256("\0".join((self.kind, *self.classes)).encode())
        for part, examples in self.parts.items():
            digest.update(f"\0{part}\0{examples.labels.dtype.str}\0{examples.labels.shape}".encode())
            for column in (examples.ids, examples.sequences, examples.groups):
                digest.update("\n".join(map(str, column)).encode())
            digest.update(np.ascontiguousarray(examples.labels).tobytes())
        return digest.hexdigest()


def _check_labels(task: Task, part: str, examples: Examples) -> None:
    """Raises where labels are not what the kind of task has."""
    labels, n = examples.labels, len(task.classes)
    where = f"{task.name}, {part}"
    dimensions = 1 if task.kind in ("binary", "multiclass") else 2
    kinds = {"multilabel": "b", "regression": "f"}.get(task.kind, "iu")
    if labels.ndim != dimensions or labels.dtype.kind not in kinds:
        raise ValueError(
            f"Labels of a {task.kind} task must be {dimensions}-dimensional "
            f"{ {'b': 'booleans', 'f': 'floats', 'iu': 'integers'}[kinds] }; {where} has {labels.dtype} of shape {labels.shape}."
        )
    if task.kind == "binary" and n != 2:
        raise ValueError(f"A binary task must have two classes; {where} has {n}.")
    if task.kind in ("multilabel", "regression"):
        if labels.shape[1] != n:
            raise ValueError(
                f"{where} must have a column for each of {n} classes; received {labels.shape[1]}."
            )
        if task.kind == "regression" and not np.isfinite(labels).all():
            raise ValueError(
                f"Targets must be finite; {where} has {int((~np.isfinite(labels)).sum())} that are not."
            )
        return
    low = -1 if task.kind == "per_base" else 0
    if labels.size and not low <= labels.min() <= labels.max() < n:
        raise ValueError(
            f"Classes must be numbered {low} to {n - 1} in {where}; received {labels.min()} to {labels.max()}."
        )
    if task.kind == "per_base":
        odd = [i for i, sequence in enumerate(examples.sequences) if len(sequence) != labels.shape[1]]
        if odd:
            raise ValueError(
                f"Sequences of a per-base task must be as long as their labels; {where} has "
                f"{len(examples.sequences[odd[0]]):,} bp for {labels.shape[1]:,} labels at {examples.ids[odd[0]]!s}."
            )
