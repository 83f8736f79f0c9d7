"""Tasks by what a person types: an offline task, a group of them, or a file or folder of examples."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ntviz.benchmark.task import Task

GROUP = "chr20"
"""Stands for all tasks that come with ntviz, but for the one by base, which probes cannot do."""


_GENERATIONS = ("@revised", "@original")


def several(given: Any) -> list[Any]:
    """Tasks, models or methods as a list; one by itself is one."""
    return [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)


def find_task(name: str) -> Task:
    """The task of that name: one that comes with ntviz, or a path to examples.

    Parameters
    ----------
    name
        One of `chr20.NAMES`, or a path to what `reading.read` takes, with the task behind a # if there are several, and with @revised
        or @original where it is a published one: then it is held to the classes, length and counts that were published
        ("downloads/promoter_tata@revised", "all.parquet#H3K9ac@original"). A folder with DeepSTARR's or DeepSEA's files is
        known by them.

    Raises
    ------
    ValueError
        There is neither such a task nor such a file; the nearest names are given.
    """
    from ntviz.benchmark import chr20

    if name in chr20.NAMES:
        return chr20.build(name)
    given, _, generation = name.rpartition("@") if name.endswith(_GENERATIONS) else (name, "", "")
    path, _, task = given.partition("#")
    if Path(path).exists():
        return _read(Path(path), task, generation)
    near = difflib.get_close_matches(name, chr20.NAMES, n=3, cutoff=0.4)
    raise ValueError(
        f"A task must be one of {', '.join(chr20.NAMES)}, or a file or folder of examples; received {name!r}."
        + (f" Did you mean {' or '.join(near)}?" if near else " `ntviz benchmark tasks` lists what there is.")
    )


def _read(path: Path, task: str, generation: str) -> Task:
    from ntviz.benchmark import deepsea, reading, registry, tracks

    if (path / "Sequences_Train.fa").is_file():
        return tracks.read_deepstarr(path)
    if (path / "test.mat").is_file():
        return deepsea.read_deepsea(path)
    spec = registry.find(task or path.name.partition(".")[0], generation) if generation else None
    return reading.read(path, task=task or None, spec=spec)


def expand(names: Sequence[str]) -> list[str]:
    """The names with "chr20" replaced by all tasks of chromosome 20 that have one label a sequence, each once."""
    from ntviz.benchmark import chr20

    all_of_them = [name for name in chr20.NAMES if "per_base" not in name]
    found: list[str] = []
    for name in several(names):
        found += all_of_them if name == GROUP else [name]
    return list(dict.fromkeys(found))
