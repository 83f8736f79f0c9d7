"""Tasks by what a person types: an offline task, a group of them, or a file or folder of examples."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from ntviz.benchmark.task import Task

GROUP = "chr20"
"""Stands for all tasks that come with ntviz, but for the one by base, which probes cannot do."""


def find_task(name: str) -> Task:
    """The task of that name: one that comes with ntviz, or a path to examples, with the task after a # if there are several.

    Raises
    ------
    ValueError
        There is neither such a task nor such a file; the nearest names are given.
    """
    from ntviz.benchmark import chr20

    if name in chr20.NAMES:
        return chr20.build(name)
    path, _, task = name.partition("#")
    if Path(path).exists():
        from ntviz.benchmark import reading

        return reading.read(path, task=task or None)
    near = difflib.get_close_matches(name, chr20.NAMES, n=3, cutoff=0.4)
    raise ValueError(
        f"A task must be one of {', '.join(chr20.NAMES)}, or a file or folder of examples; received {name!r}."
        + (f" Did you mean {' or '.join(near)}?" if near else " `ntviz benchmark tasks` lists what there is.")
    )


def expand(names: Sequence[str]) -> list[str]:
    """The names with "chr20" replaced by all tasks of chromosome 20 that have one label a sequence, each once."""
    from ntviz.benchmark import chr20

    all_of_them = [name for name in chr20.NAMES if "per_base" not in name]
    found: list[str] = []
    for name in names:
        found += all_of_them if name == GROUP else [name]
    return list(dict.fromkeys(found))
