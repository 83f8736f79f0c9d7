"""`Task`: labelled sequences, split, and what must stay together; `Examples`: one part of it."""

from __future__ import annotations

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
    """Labelled sequences; ValueError where the four do not have one length, an id stands twice, or a label or group is missing.

    Labels by kind of task: class, int64 [example] (binary, multiclass); bool [example, track] (multilabel); float32 [example, target]
    (regression); class of each base, int8 [example, base], -1 where none is asked (per_base; sequences then have one length).
    """

    ids: Any  # name of each, str [example], no two the same
    sequences: Any  # str [example], object array, upper-case A, C, G, T, N
    labels: Any  # a task makes them so: see `probing.labels.checked`
    # What must stay on one side of any split, and is drawn as a whole by the bootstrap, str [example]: a region such as "chr20:41" (the
    # 41st million bases), a chromosome, or the id where nothing is known.
    groups: Any

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
    """A question about sequences with its training and test examples; ValueError for an unknown kind, or labels that do not fit it."""

    name: str  # such as "promoter_all"
    kind: str  # binary, multiclass, multilabel, regression or per_base
    classes: tuple[str, ...]  # names of the classes, tracks or targets, in the order of the labels
    train: Examples
    test: Examples | None  # None where no split is given: then folds by group are used
    category: str = "other"  # for averages: "splicing", "promoters", "enhancers", "chromatin", "coding", "other"
    source: str = "not stated"  # where the examples come from, with the licence where one is known
    split: str = "not stated"  # how train and test were separated
    notes: tuple[str, ...] = ()  # what was changed or left out while reading, in words
    facts: Mapping[str, Any] = field(default_factory=dict)  # numbers about it, plain data

    def __post_init__(self) -> None:
        for part, examples in self.parts.items():
            what = f"Labels of {self.name}, {part},"
            labels = door.checked(self.kind, examples.labels, len(self.classes), what=what)
            object.__setattr__(self, part, replace(examples, labels=labels))
            for name, text in zip(examples.ids, examples.sequences, strict=True):
                if self.kind == "per_base" and len(text) != labels.shape[1]:
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
        columns: list[Any] = [[self.kind, *self.classes], list(self.parts)]
        for part in self.parts.values():
            columns += [part.ids.astype(str), part.sequences, part.groups.astype(str), part.labels]
        return door.digest(*columns)
