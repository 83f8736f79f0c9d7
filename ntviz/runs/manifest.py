"""manifest.json of a run: what ran, on what, how it ended, and what it measured."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ntviz.environment import runs_dir
from ntviz.storage import atomic_write, writing

SCHEMA = "ntviz-run/1"
FILE = "manifest.json"
RECORDS = "records.jsonl"
STATUSES = ("running", "ok", "failed", "interrupted", "live")


@dataclass
class Manifest:
    """Everything that is known of one run; status ``live`` is a notebook that a person runs.

    `given` names the parameters that were set for this run. Times are UTC in ISO 8601. `notes` are on the inputs, such as
    lines of a file that could not be read. `error` has `cell` (from 1), `cell_id`, `name`, `message`, `line`, `source`.

    `machine`, `versions` (of all that was loaded), `ntviz`, `environment`, `device`, `threads` and `data` (each file that was opened)
    are of the kernel; the process that started it is in `launcher`, and how that was started in `command` to `job`. `git` is the
    repository of the notebook.
    """

    status: str
    notebook: str
    notebook_path: str = ""
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
    threads: int | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    ntviz: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
    directory: str = ""
    user: str = ""
    job: dict[str, str] = field(default_factory=dict)
    launcher: dict[str, Any] = field(default_factory=dict)
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
    report_error: str | None = None
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=platform.node)
    schema: str = SCHEMA

    @property
    def alive(self) -> bool | None:
        """Whether the run's process is there; None for one of another machine, of which nothing is known."""
        import psutil

        return psutil.pid_exists(self.pid) if self.host == platform.node() else None

    def merge(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take over what a notebook recorded; of several values for one thing the last counts; `facts` are fields by name."""
        for record in records:
            kind, value = record["kind"], record["value"]
            if kind == "facts":
                vars(self).update(value)
            elif kind == "metrics":
                self.metrics.update(value)
            elif kind in ("models", "data"):
                key = "name" if kind == "models" else "path"
                kept = [entry for entry in getattr(self, kind) if entry.get(key) != value.get(key)]
                setattr(self, kind, [*kept, value])
            elif kind in ("tables", "figures", "notes"):
                names = getattr(self, kind)
                names += [value] if value not in names else []

    def write(self, folder: str | Path) -> Path:
        """Write ``manifest.json`` into `folder`, whole or not at all, and return its path."""
        path = Path(folder) / FILE
        text = json.dumps(plain(asdict(self)), indent=1, ensure_ascii=False, allow_nan=False)
        with atomic_write(path, "w") as handle:
            handle.write(text + "\n")
        return path


def read(folder: str | Path) -> Manifest:
    """The manifest of the run in `folder`, or the file itself; ValueError where it is none of this schema."""
    path = Path(folder) if Path(folder).is_file() else Path(folder) / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if (schema := content.get("schema") if isinstance(content, dict) else None) != SCHEMA:
            raise ValueError(f"its schema is {schema!r}")
        if missing := {"status", "notebook"} - content.keys():
            raise ValueError(f"it has no {' and no '.join(sorted(missing))}")
        if content["status"] not in STATUSES:
            raise ValueError(f"its status is {content['status']!r}")
    except ValueError as error:
        hint = "Run the notebook again, or read it with the version of ntviz that wrote it"
        raise ValueError(f"{path} must be JSON of schema {SCHEMA!r}, but {error}. {hint}") from error
    known = {entry.name for entry in fields(Manifest)}
    return Manifest(**{name: value for name, value in content.items() if name in known})


def records(folder: str | Path) -> list[dict[str, Any]]:
    """What the notebook has recorded into `folder` so far, in order; a last line that was cut off is left out."""
    found = []
    # Only a kernel that was killed while writing leaves half a line, and only as the last one.
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
        for line in (Path(folder) / RECORDS).read_text(encoding="utf-8").splitlines():
            found.append(json.loads(line))
    return found


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: arrays and tensors as lists, paths and dates as text, NaN and infinity as None."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, inf_nan_mode="null", fallback=_listed)


def _listed(value: Any) -> Any:
    """Values of numpy, pandas and torch, without importing any of them."""
    for method in ("tolist", "item"):
        if hasattr(value, method):
            return getattr(value, method)()
    hint = "Record its numbers, and save tables and figures with save_table and save_figure"
    raise TypeError(f"a recorded value must be a number, text, list or dict, but {type(value).__name__} came. {hint}")


def now() -> str:
    """UTC of this moment, ISO 8601 to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def new_folder(name: str, start: str = "") -> Path:
    """A new folder for a run of the notebook called `name`; its own name is a time in UTC with `start` before it."""
    folder = runs_dir() / name / f"{start}{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    with writing(folder):
        folder.mkdir(parents=True)
    return folder
