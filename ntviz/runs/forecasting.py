"""What jobs will take: commands say it of themselves with ``--plan``, notebooks by how their like went before."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ntviz.runs import collect, parameters
from ntviz.runs.commands import COMMANDS

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.runs.sheet import Sample


@dataclass(frozen=True)
class Forecast:
    """What one sample will take.

    Attributes
    ----------
    seconds
        Of all its jobs together on a machine like this one; None if nothing is known.
    memory_bytes
        Of one job; None if nothing is known.
    basis
        What it follows from, or why there is none.
    """

    seconds: float | None
    memory_bytes: int | None
    basis: str


def of(samples: Sequence[Sample], out: Path, base: Path, folders: Sequence[Path]) -> dict[str, Forecast]:
    """The forecast of each sample, by name; the same work is asked about once.

    Parameters
    ----------
    samples
        From `sheet.read`.
    out
        Folder of the submission; nothing is written there.
    base
        Where relative paths start.
    folders
        Where earlier runs of notebooks are looked for; those that are not there are left out.
    """
    known: dict[tuple[str, ...], Forecast] = {}
    here = [folder for folder in folders if folder.is_dir()]
    earlier = collect.runs(*here) if here and any(sample.notebook for sample in samples) else None
    found = {}
    for sample in samples:
        if sample.words not in known:
            known[sample.words] = (
                _of_notebook(sample, earlier)
                if sample.notebook
                else _of_command(sample, out / sample.name / sample.result, base)
            )
        found[sample.name] = known[sample.words]
    return found


def _of_command(sample: Sample, out: Path, base: Path) -> Forecast:
    """What a command says of itself, with ``--plan``, without computing."""
    from ntviz import cli

    if "plan" not in COMMANDS[sample.run].all_options():
        return Forecast(None, None, f"{sample.run} says none")
    said, noted = io.StringIO(), io.StringIO()
    code: object = 0
    words = [*sample.words, "--out", str(out), "--plan"]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(noted), contextlib.chdir(base):
        try:
            code = cli.app(words, standalone_mode=False)
        except SystemExit as end:
            code = end.code
    try:
        plan = json.loads(said.getvalue())
        return Forecast(float(plan["seconds"]), int(plan["memory_bytes"]), "its own plan, for this machine")
    except (ValueError, KeyError, TypeError):
        last = (noted.getvalue().strip().splitlines() or [f"code {code}"])[-1]
        return Forecast(None, None, last.removeprefix("ntviz: "))


def _of_notebook(sample: Sample, earlier: pd.DataFrame | None) -> Forecast:
    """The median time of earlier runs of the notebook at the same profile that ended well, and their largest memory."""
    from ntviz.runs import execute

    path, content = execute.load(sample.words[1])
    declared = parameters.read(content)
    default = declared["profile"].default if "profile" in declared else "workshop"
    profile = sample.given.get("profile", default)
    if earlier is None or earlier.empty:
        return Forecast(None, None, "no earlier run")
    like = earlier[
        (earlier["status"] == "ok") & (earlier["notebook"] == path.stem) & (earlier["profile"] == profile)
    ]
    if like.empty:
        return Forecast(None, None, f"no earlier run at profile {profile}")
    memory = like["peak_memory_mb"].dropna()
    return Forecast(
        float(like["seconds"].median()),
        int(memory.max() * 1e6) if len(memory) else None,
        f"median of {len(like)} earlier run{'s' * (len(like) > 1)}",
    )
