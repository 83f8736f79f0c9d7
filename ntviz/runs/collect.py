"""One table over many runs, broken ones included."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz.environment import atomic_write
from ntviz.runs import manifest

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


def runs(*folders: str | Path) -> pd.DataFrame:
    """Table of all runs below `folders`, one row a run, oldest first.

    Columns: status, notebook, run (name of its folder), profile, started (UTC), seconds, device, peak_memory_mb, model
    (names), error, path, then ``param.NAME`` and ``metric.NAME``. Besides the statuses of a manifest there are
    ``broken``, whose manifest cannot be read, and ``lost``, which says "running" while its process is gone.

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
        for path in sorted(folder.rglob(manifest.FILE)):
            rows.setdefault(path.resolve(), _row(path))
    table = pd.DataFrame(list(rows.values()))
    extra = sorted(column for column in table.columns if column.startswith(("param.", "metric.")))
    table = table.reindex(columns=[*_FIRST, "path", *extra])
    return table.sort_values(["started", "run"], kind="stable", na_position="first", ignore_index=True)


def _row(path: Path) -> dict[str, Any]:
    folder = path.parent
    row: dict[str, Any] = {"run": folder.name, "notebook": folder.parent.name, "path": str(folder)}
    try:
        facts = manifest.read(folder)
    except (ValueError, TypeError, OSError) as error:
        return row | {"status": "broken", "error": str(error)}
    if facts.status in ("running", "live"):
        facts.merge(manifest.records(folder))
    row |= {
        "status": "lost" if facts.status == "running" and _gone(facts) else facts.status,
        "notebook": facts.notebook,
        "profile": facts.profile,
        "started": facts.started,
        "seconds": facts.seconds,
        "device": facts.device,
        "peak_memory_mb": facts.peak_memory_bytes / 1e6 if facts.peak_memory_bytes else None,
        "model": ", ".join(str(model.get("name", "?")) for model in facts.models),
        "error": _error(facts.error) if facts.error else None,
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
