"""manifest.json of a run: what ran, on what, how it ended, and what it measured."""

from __future__ import annotations

import datetime
import json
import math
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ntviz.environment import atomic_write

SCHEMA = "ntviz-run/1"
FILE = "manifest.json"
RECORDS = "records.jsonl"
STATUSES = ("running", "ok", "failed", "interrupted", "live")


@dataclass
class Manifest:
    """Everything that is known of one run.

    Attributes
    ----------
    status
        ``running``, ``ok``, ``failed``, ``interrupted`` or, for a notebook that a person runs, ``live``.
    notebook, notebook_sha256, title
        Name of the notebook file without its ending, checksum of its bytes, and its first heading.
    parameters, given
        All parameters with the values used, and the names of those that were set for this run.
    started, ended, seconds
        UTC times in ISO 8601, and the seconds between them.
    peak_memory_bytes, gpu_peak_memory_bytes
        Largest resident memory of the kernel, and largest memory that torch held on the GPU; None if unknown.
    answer, chips, models, data, metrics, tables, figures
        What the notebook recorded through its `runs.Run`.
    notes
        What is to be known of the inputs, such as lines of a file that could not be read: a sentence each.
    error
        None, or `cell` (counted from 1), `cell_id`, `name`, `message` and the failing `line`.
    """

    status: str
    notebook: str
    notebook_sha256: str = ""
    title: str = ""
    profile: str = ""
    kernel: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    given: list[str] = field(default_factory=list)
    started: str = ""
    ended: str | None = None
    seconds: float | None = None
    peak_memory_bytes: int | None = None
    gpu_peak_memory_bytes: int | None = None
    device: str | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    git: dict[str, Any] | None = None
    answer: str = ""
    chips: dict[str, str] = field(default_factory=dict)
    models: list[dict[str, Any]] = field(default_factory=list)
    data: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=platform.node)
    schema: str = SCHEMA

    def merge(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take over what a notebook recorded; of several values for one thing the last counts."""
        for record in records:
            kind, value = record["kind"], record["value"]
            if kind == "metrics":
                self.metrics.update(value)
            elif kind == "answer":
                self.answer, self.chips = value["text"], value["chips"]
            elif kind in ("models", "data"):
                key = "name" if kind == "models" else "path"
                kept = [entry for entry in getattr(self, kind) if entry.get(key) != value.get(key)]
                setattr(self, kind, [*kept, value])
            elif kind in ("tables", "figures", "notes"):
                names = getattr(self, kind)
                names += [value] if value not in names else []
            elif kind == "memory":
                self.device = value["device"]
                self.gpu_peak_memory_bytes = value["gpu_peak_bytes"]

    def write(self, folder: str | Path) -> Path:
        """Write ``manifest.json`` into `folder`, whole or not at all, and return its path."""
        path = Path(folder) / FILE
        text = json.dumps(plain(asdict(self)), indent=1, ensure_ascii=False, allow_nan=False)
        with atomic_write(path, "w") as handle:
            handle.write(text + "\n")
        return path


def read(folder: str | Path) -> Manifest:
    """The manifest of the run in `folder`.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is not one: not JSON, of another schema, or without a field that must be there.
    """
    path = Path(folder) / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} must be JSON, but reading it gave '{error}'. It was not written by `ntviz run`, or was "
            "damaged later: run the notebook again"
        ) from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise ValueError(
            f"{path} must have schema {SCHEMA!r}, but it has {schema!r}. Read it with the version of ntviz that wrote it"
        )
    known = {entry.name for entry in fields(Manifest)}
    missing = {"status", "notebook"} - set(content)
    if missing or content["status"] not in STATUSES:
        wrong = (
            f"has no {' and no '.join(sorted(missing))}" if missing else f"has status {content['status']!r}"
        )
        raise ValueError(
            f"{path} must name its notebook and one of the statuses {', '.join(STATUSES)}, but it {wrong}. "
            "Run the notebook again"
        )
    return Manifest(**{name: value for name, value in content.items() if name in known})


def records(folder: str | Path) -> list[dict[str, Any]]:
    """What the notebook has recorded into `folder` so far, in order; a last line that was cut off is left out."""
    path = Path(folder) / RECORDS
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break  # Only a kernel that was killed while writing leaves such a line, and only as the last one.
    return found


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: numpy scalars and arrays, paths and tuples converted, numbers that are none as None.

    Raises
    ------
    TypeError
        If it holds something else.

    Examples
    --------
    >>> import numpy as np
    >>> plain({"loss": np.float32(0.5), "gap": float("nan"), "shape": (2, 3)})
    {'loss': 0.5, 'gap': None, 'shape': [2, 3]}
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    # numpy, pandas and torch, without importing any of them.
    for method in ("tolist", "item"):
        if hasattr(value, method):
            return plain(getattr(value, method)())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    raise TypeError(
        f"a recorded value must be a number, text, list or dict, but {type(value).__name__} came. "
        "Record its numbers, and save tables and figures with save_table and save_figure"
    )


def git_state(folder: str | Path) -> dict[str, Any] | None:
    """Commit of the repository that holds `folder`, and whether tracked files differ from it; None without one."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20, check=True
        ).stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "modified": bool(git("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def now() -> str:
    """UTC of this moment, ISO 8601 to the second."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat()
