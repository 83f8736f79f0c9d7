"""Tasks with several numbers a sequence, from their published files.

References
----------
de Almeida et al. (2022) Nature Genetics 54:613, for DeepSTARR: 249 bp, activities with a developmental and a housekeeping
promoter, log2; training, validation and test files.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ntviz import environment
from ntviz.benchmark import reading, registry
from ntviz.benchmark import rows as read_rows
from ntviz.benchmark.task import Examples, Task
from ntviz.sequence import clean

ACTIVITIES = ("Dev_log2_enrichment", "Hk_log2_enrichment")
_PARTS = {"train": ("Train", "Val"), "test": ("Test",)}


def read_deepstarr(folder: str | os.PathLike[str]) -> Task:
    """The two activities of DeepSTARR, from a folder with Sequences_Train.fa, Sequences_activity_Train.txt and so on.

    The validation files are learned from here, where choosing is done inside. Row i of a table belongs to sequence i of its
    FASTA, as published.

    Raises
    ------
    FileNotFoundError
        A file is not there.
    ValueError
        A FASTA and its table differ in length, or the table lacks the activities or holds text in them.
    """
    import pandas as pd

    folder = Path(folder)
    spec = registry.find("deepstarr", "other")
    parts: dict[str, Examples] = {}
    files: dict[str, str] = {}
    notes: list[str] = []
    for part, names in _PARTS.items():
        identities: list[str] = []
        sequences: list[str] = []
        values: list[np.ndarray] = []
        for name in names:
            fasta, table = folder / f"Sequences_{name}.fa", folder / f"Sequences_activity_{name}.txt"
            for file in (fasta, table):
                if not file.is_file():
                    raise FileNotFoundError(
                        f"DeepSTARR must have {file.name}; there is none in {folder}. Get all six files."
                    )
                files[file.name] = environment.sha256(file)
            rows = list(read_rows.fasta_rows(fasta))
            activity = pd.read_csv(table, sep="\t")
            missing = [column for column in ACTIVITIES if column not in activity.columns]
            if missing:
                raise ValueError(
                    f"{table.name} must have the columns {', '.join(ACTIVITIES)}; it lacks {', '.join(missing)} and has "
                    f"{', '.join(map(str, activity.columns[:6]))}."
                )
            if len(rows) != len(activity):
                raise ValueError(
                    f"{fasta.name} and {table.name} must have a row each; received {len(rows):,} and {len(activity):,}."
                )
            numbers = activity[list(ACTIVITIES)].apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)
            good = np.isfinite(numbers).all(axis=1)
            if not good.all():
                first = int(np.flatnonzero(~good)[0]) + 2
                notes.append(
                    f"{int((~good).sum()):,} rows of {table.name} without numbers were left out, the first in line {first}."
                )
            for row, keep in zip(rows, good, strict=True):
                if keep:
                    identities.append(row.identity)
                    sequences.append(clean(row.sequence, typed=False).sequence)
            values.append(numbers[good])
        # Both strands of a fragment share its name: they are kept apart by a number, and together by their place.
        unique = [f"{name}#{index}" for index, name in enumerate(identities)]
        parts[part] = Examples(
            np.array(unique),
            np.array(sequences, dtype=object),
            np.concatenate(values),
            np.array([reading.group_of(name) for name in identities]),
        )
    return Task(
        "deepstarr", spec.kind, spec.classes, parts["train"], parts["test"], category=spec.category, source=spec.source,
        split=spec.split, notes=tuple(notes), facts={"files": files},
    )  # fmt: skip
