"""`Task`: labelled sequences, split, and what must stay together; `Examples`: one part of it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ntviz import probing
from ntviz.genome.sequence import listed
from ntviz.probing import labels as door


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
        (per_base; sequences then have one length). A task makes them so: see `probing.labels.checked`.
    groups
        What must stay on one side of any split, and is drawn as a whole by the bootstrap, str [example]: a region such as
        "chr20:41" (the 41st million bases), a chromosome, or the id where nothing is known.

    Raises
    ------
    ValueError
        The four do not have one length, an id stands twice, or a label or group is missing.
    """

    ids: np.ndarray
    sequences: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def __post_init__(self) -> None:
        texts = self.sequences
        columns = {
            "ids": np.asarray(self.ids),
            "sequences": texts if isinstance(texts, np.ndarray) else np.array(listed(texts), dtype=object),
            "labels": door.array(self.labels, "Labels"),
            "groups": door.array(self.groups, "Groups"),
        }
        for name, values in columns.items():
            object.__setattr__(self, name, values)
        if len({len(values) for values in columns.values()}) > 1:
            counts = ", ".join(f"{len(values):,} {name}" for name, values in columns.items())
            raise ValueError(f"Examples must have one id, sequence, label and group each; received {counts}.")
        door.grouped(self.groups, len(self))
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
    name, kind
        Such as "promoter_all"; binary, multiclass, multilabel, regression or per_base.
    classes
        Names of the classes, tracks or targets, in the order of the labels.
    train, test
        `test` is None where no split is given: then folds by group are used.
    category
        What it is about, for averages: "splicing", "promoters", "enhancers", "chromatin", "coding", "other".
    source, split
        Where the examples come from, with the licence where one is known; how train and test were separated; in words.
    notes, facts
        What was changed or left out while reading, in words; numbers about it, plain data.

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
        for part, examples in self.parts.items():
            what = f"Labels of {self.name}, {part},"
            labels = door.checked(self.kind, examples.labels, len(self.classes), what=what)
            object.__setattr__(self, part, replace(examples, labels=labels))
            if self.kind == "per_base":
                for name, text in zip(examples.ids, examples.sequences, strict=True):
                    if len(text) != labels.shape[1]:
                        raise ValueError(
                            f"Sequences of a per-base task must be as long as their labels; {self.name}, {part}, has {len(text):,} bp "
                            f"for {labels.shape[1]:,} labels at {name!s}."
                        )

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
        return probing.metric_names(self.kind)[0]

    @cached_property
    def lengths(self) -> tuple[int, int]:
        """Shortest and longest sequence, bp."""
        sizes = [len(sequence) for examples in self.parts.values() for sequence in examples.sequences]
        return (min(sizes), max(sizes)) if sizes else (0, 0)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over kind, classes, parts, ids, sequences, labels and groups, in order: what tells two tasks apart."""
        columns = [
            (one.ids.astype(str), one.sequences, one.groups.astype(str), one.labels)
            for one in self.parts.values()
        ]
        return door.digest([self.kind, *self.classes], list(self.parts), *itertools.chain(*columns))
