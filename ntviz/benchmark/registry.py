"""The published tasks and what others reported on them: tasks.tsv and published.tsv, each row with its source and how well it is known.

References
----------
Dalla-Torre et al. (2025) Nature Methods 22:287-297: 18 revised tasks, judged on chromosomes 20 and 21, and the 18 original
ones that they replace. DeepSEA: Zhou & Troyanskaya (2015) Nature Methods 12:931. SpliceAI: Jaganathan et al. (2019) Cell
176:535. DeepSTARR: de Almeida et al. (2022) Nature Genetics 54:613.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz.benchmark.methods import suggestion

if TYPE_CHECKING:
    import pandas as pd

_HERE = Path(__file__).parent
GRADES = {
    "read": "read in a public configuration, card or copy",
    "size": "follows from the published size of the file",
    "recalled": "recalled from the paper; check before quoting",
    "unknown": "not known",
}
"""How well the counts of a published task are known."""


@dataclass(frozen=True)
class TaskSpec:
    """A published task."""

    name: str  # as in its configuration
    generation: str  # "revised", "original" or "other"
    kind: str  # see `benchmark.Task`
    classes: tuple[str, ...]  # empty where they are many
    outputs: int  # classes, tracks or targets
    length: int  # bp
    train: int | None  # examples; None where not known
    test: int | None
    grade: str  # how well these counts are known, see `GRADES`
    metric: str  # the first one
    split: str  # how train and test were separated
    category: str
    source: str  # of the labels
    note: str = ""


def _specs() -> list[TaskSpec]:
    with (_HERE / "tasks.tsv").open(encoding="utf-8", newline="") as lines:
        rows: list[dict[str, Any]] = [*csv.DictReader(lines, delimiter="\t")]
    for row in rows:
        for name in ("outputs", "length", "train", "test"):
            row[name] = int(row[name]) if row[name] else None
        row["classes"] = tuple(filter(None, row["classes"].split(",")))
    return [TaskSpec(**row) for row in rows]


SPECS = {(spec.generation, spec.name): spec for spec in _specs()}
"""Every published task by generation and name."""


def find(name: str, generation: str = "revised") -> TaskSpec:
    """The spec of a published task, upper or lower case; ValueError with the nearest names where there is none.

    Examples
    --------
    >>> find("promoter_tata").length, find("h3k9me3").test
    (300, 850)
    """
    names = {known.lower(): known for kind, known in SPECS if kind == generation}
    if name.lower() not in names:
        raise ValueError(
            f"A {generation} task must be one of {', '.join(names.values()) or 'none: that generation is unknown'}; received "
            f"{name!r}.{suggestion(name, names.values())}"
        )
    return SPECS[generation, names[name.lower()]]


def published() -> pd.DataFrame:
    """What others reported, columns [generation, task, model, metric, value, method, source, grade]; nan where it cannot be read.

    `grade` says how well a number is known: "read" off a figure or page, "secondary" from notes on the paper, "third party", or
    "recalled". `task` "mean" is the mean over the tasks of its generation. Protocols differ: original tasks in ten folds, revised
    ones by chromosome, third parties with other recipes. Numbers of different rows of `source` must not be subtracted from each
    other, nor from ours on tasks of chromosome 20.
    """
    import pandas as pd

    return pd.read_csv(_HERE / "published.tsv", sep="\t")
