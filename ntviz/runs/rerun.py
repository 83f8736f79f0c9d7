"""A run again, as its manifest says, and what differs from then."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ntviz.environment import data_dir
from ntviz.runs import execute, kernel, manifest
from ntviz.runs.manifest import Manifest
from ntviz.storage import content


def prepare(path: str | Path, *, out: str | Path | None = None) -> tuple[Manifest, execute.Job]:
    """A run's manifest, given by its file or folder, and the job that does the same again, from the same working directory."""
    before = manifest.read(path)
    if not before.notebook_path:
        hint = f"Run {before.notebook} with `ntviz run` and the parameters that the manifest names"
        raise ValueError(f"what is run again must come from `ntviz run` of this version, but {path} does not. {hint}")
    notebook = before.notebook_path if Path(before.notebook_path).is_file() else before.notebook
    given = {name: before.parameters[name] for name in before.given}
    profile = None if "profile" in given else before.profile
    own = None if before.kernel == kernel.HERE else before.kernel
    # Parameters may hold relative paths.
    directory, out = before.directory if Path(before.directory).is_dir() else ".", out and Path(out).absolute()
    with contextlib.chdir(directory):
        job = execute.prepare(notebook, given=given, profile=profile, kernel=own, out=out)
        return before, replace(job, folder=job.folder.absolute(), directory=directory)


def differences(before: Manifest, after: Manifest) -> list[str]:
    """A line for each difference between two runs of a notebook: what went in, what it ran with, and what came out."""
    return [
        *_changes("notebook sha256", before.notebook_sha256, after.notebook_sha256),
        *_changes("parameter", *({n: v for n, v in facts.parameters.items() if n not in before.given} for facts in (before, after))),
        *_inputs(before, after),
        *_changes("model", *({model.get("name", "?"): model for model in facts.models} for facts in (before, after))),
        *_changes("version of", before.versions, after.versions),
        *_changes("ntviz", *({**facts.ntviz, "folder": ""} for facts in (before, after))),
        *(line for name in ("device", "threads", "status") for line in _changes(name, getattr(before, name), getattr(after, name))),
        *_changes("metric", before.metrics, after.metrics),
        *_changes("answer", before.answer, after.answer),
        *_changes("chip", before.chips, after.chips),
    ]  # fmt: skip


def _changes(what: str, before: Any, after: Any) -> Iterator[str]:
    old, new = dict(_leaves(before)), dict(_leaves(after))
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new or old[name] != new[name]:
            was, now = (repr(values[name]) if name in values else "none" for values in (old, new))
            yield f"{f'{what} {name}'.strip()}: {was}, now {now}"


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if parts is None:
        yield name, value
    for key, part in parts or ():
        yield from _leaves(part, f"{name}.{key}".lstrip("."))


def _inputs(before: Manifest, after: Manifest) -> Iterator[str]:
    old, new = ({file["path"]: file["sha256"] for file in facts.data} for facts in (before, after))
    for path in sorted(old.keys() | new.keys()):
        # Those of the bundle are named without the folder that it is in.
        file = Path(path) if Path(path).is_absolute() else data_dir() / Path(path).relative_to("data")
        if path not in old:
            yield f"input {path}: not read then, read now"
        elif old[path] is None:
            yield f"input {path}: a pipe, whose content then is not known"
        elif path not in new and not file.is_file():
            yield f"input {path}: missing now"
        elif old[path] != (now := new.get(path) or content(file)["sha256"]):
            yield f"input {path}: other content, sha256 {old[path][:16]}, now {now[:16]}"
        elif path not in new:
            yield f"input {path}: read then, not read now"
