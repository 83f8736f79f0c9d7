"""One table over many runs, broken ones included."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz.environment import atomic_write
from ntviz.runs import job as one_job
from ntviz.runs import jobs, manifest

if TYPE_CHECKING:
    import pandas as pd

_FIRST = [
    "status",
    "notebook",
    "run",
    "profile",
    "started",
    "seconds",
    "device",
    "peak_memory_mb",
    "model",
    "error",
]
REPORT = "report.html"
_WORST = (*jobs.BAD, "running", "to do")


def runs(*folders: str | Path) -> pd.DataFrame:
    """Table of all runs below `folders`, one row a run, oldest first.

    Columns: status, notebook, run (name of its folder), profile, started (UTC), seconds, device, peak_memory_mb, model
    (names), error, answer (the report's first line), path, report (its page, if there is one), then ``param.NAME`` and ``metric.NAME``. Besides the statuses of a manifest there are
    ``broken``, whose manifest cannot be read, and ``lost``, which says "running" while its process is gone.

    A folder of `ntviz submit` has one row a sample of its sheet, whether that is a notebook or another command: `notebook` is what was run, `run` the sample, and ``param.NAME`` its filled cells. Of a sample that
    is not done, the status is ``failed``, ``interrupted``, ``lost``, ``running`` or ``to do``.

    Raises
    ------
    FileNotFoundError
        If one of the folders does not exist.
    """
    import pandas as pd

    rows: dict[Path, dict[str, Any]] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise FileNotFoundError(
                f"runs are collected from folders, but {folder} is not one. Give a folder such as runs/"
            )
        submissions = _submissions(folder)
        for place, config in submissions.items():
            for name in config["samples"]:
                rows.setdefault((place / name / manifest.FILE).resolve(), _sample_row(place, name, config))
        for path in sorted(folder.rglob(manifest.FILE)):
            if not submissions.keys() & set(path.parents):
                rows.setdefault(path.resolve(), _row(path))
    table = pd.DataFrame(list(rows.values()))
    extra = sorted(column for column in table.columns if column.startswith(("param.", "metric.")))
    table = table.reindex(columns=[*_FIRST, "path", "report", *extra])
    return table.sort_values(["started", "run"], kind="stable", na_position="first", ignore_index=True)


def _submissions(folder: Path) -> dict[Path, dict[str, Any]]:
    """Configs of the submissions in a folder and below it, by their folder."""
    found = {}
    for path in sorted(folder.rglob(jobs.CONFIG)):
        # Others name their files so, too; theirs have another schema.
        with contextlib.suppress(ValueError):
            found[path.parent] = jobs.read(path.parent)
    return found


def _sample_row(folder: Path, name: str, config: dict[str, Any]) -> dict[str, Any]:
    """One sample of a submission: what its jobs say and, of a notebook, its manifest."""
    sample, place = config["samples"][name], folder / name
    mine = [job for job in jobs.of(folder, config) if job.sample == name]
    states = {job.state for job in mine}
    row: dict[str, Any] = {}
    if sample["notebook"] and (place / manifest.FILE).is_file():
        row = _row(place / manifest.FILE)
    marks = [mark for job in mine if (mark := one_job.mark(job.done)) is not None]
    if marks and not sample["notebook"]:
        row["started"] = min(mark["started"] for mark in marks)
        row["seconds"] = round(sum(mark["seconds"] for mark in marks), 2)
        row["peak_memory_mb"] = max(mark["peak_memory_bytes"] for mark in marks) / 1e6
    row["status"] = next((state for state in _WORST if state in states), "ok")
    # What the manifest says is of an earlier try where no job failed.
    known, lines = row.get("error") or "", []
    for job in mine:
        if text := job.failure():
            lines.append(f"log: {job.log}" if text in known else f"{job.name}: {text} (log: {job.log})")
    row["error"] = "\n".join([known, *lines]).strip() if lines else None
    row |= {f"param.{column}": text for column, text in sample["given"].items()}
    shown = [place / file for file in (sample["report"], sample["result"]) if file]
    return row | {
        "run": name,
        "notebook": Path(sample["command"][1]).stem if sample["notebook"] else sample["run"],
        "path": str(place),
        "report": next((str(file) for file in shown if file.exists()), None),
    }


def _row(path: Path) -> dict[str, Any]:
    folder = path.parent
    row: dict[str, Any] = {"run": folder.name, "notebook": folder.parent.name, "path": str(folder)}
    try:
        facts = manifest.read(folder)
    except (ValueError, TypeError, OSError) as error:
        return row | {"status": "broken", "error": str(error)}
    if facts.status in ("running", "live"):
        facts.merge(manifest.records(folder))
    page = folder / REPORT
    row |= {
        "report": str(page) if page.is_file() else None,
        "status": "lost" if facts.status == "running" and _gone(facts) else facts.status,
        "notebook": facts.notebook,
        "profile": facts.profile,
        "started": facts.started,
        "seconds": facts.seconds,
        "device": facts.device,
        "peak_memory_mb": facts.peak_memory_bytes / 1e6 if facts.peak_memory_bytes else None,
        "model": ", ".join(str(model.get("name", "?")) for model in facts.models),
        "error": _error(facts.error) if facts.error else None,
        "answer": facts.answer or None,
    }
    row |= {f"param.{name}": _flat(value) for name, value in facts.parameters.items()}
    row |= {f"metric.{name}": _flat(value) for name, value in facts.metrics.items()}
    return row


def _error(error: dict[str, Any]) -> str:
    place = f"cell {error['cell']}: " if error.get("cell") else ""
    return f"{place}{error['name']}: {error['message']}"


def _flat(value: Any) -> Any:
    return str(value) if isinstance(value, list | dict) else value


def _gone(facts: manifest.Manifest) -> bool:
    """Whether the run's process has ended; unknown, and so false, for a run of another machine."""
    if facts.host != platform.node() or os.name != "posix":
        return False
    try:
        os.kill(facts.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def brief(table: pd.DataFrame) -> pd.DataFrame:
    """What tells runs apart, as text for a terminal: metrics, errors, and the parameters that differ."""
    import pandas as pd

    shown = ["status", "notebook", "run", "seconds"]
    for column in table.columns:
        values = table[column].dropna().astype(str)
        if column.startswith("metric.") or column == "error":
            shown += [column] if len(values) else []
        elif column.startswith("param.") or column in ("profile", "model"):
            shown += [column] if values.nunique() > 1 else []
    text = table[shown].map(_text)
    if "error" in text:
        text["error"] = text["error"].str.split("\n").str[0].str.slice(0, 100)
        text = text[[*(column for column in text.columns if column != "error"), "error"]]
    return pd.DataFrame(text)


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def save(table: pd.DataFrame, path: str | Path) -> Path:
    """Path of the table as CSV or parquet, by the ending; columns of mixed types become text in parquet.

    Raises
    ------
    ValueError
        If the ending is another one.
    """
    path = Path(path)
    if path.suffix == ".csv":
        with atomic_write(path, "w") as handle:
            table.to_csv(handle, index=False)
    elif path.suffix == ".parquet":
        mixed = {
            column: table[column].map(lambda value: None if value is None or value != value else str(value))
            for column in table.columns
            if table[column].dropna().map(type).nunique() > 1
        }
        with atomic_write(path) as handle:
            table.assign(**mixed).to_parquet(handle, index=False)
    else:
        raise ValueError(
            f"a table of runs is saved as .csv or .parquet, but {path.name!r} came. Change the ending"
        )
    return path


def save_index(table: pd.DataFrame, path: str | Path, *, title: str) -> Path:
    """Path of a page with a row for each run of the table and links to their reports; see `index.page`."""
    from ntviz.runs import index

    path = Path(path)
    with atomic_write(path, "w") as handle:
        handle.write(index.page(table, path.parent, title=title))
    return path
