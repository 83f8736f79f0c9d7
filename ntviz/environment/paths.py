"""The folders ntviz reads and writes: the project, its data, its cache and its runs."""

from __future__ import annotations

import os
import re
from pathlib import Path

_NAME_LINE = re.compile(r"""^name\s*=\s*["']ntviz["']\s*$""", re.MULTILINE)


def _is_project(folder: Path) -> bool:
    try:
        return bool(_NAME_LINE.search((folder / "pyproject.toml").read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        return False


def _named(variable: str) -> Path | None:
    named = os.environ.get(variable)
    return Path(named).expanduser() if named else None


def project_dir() -> Path | None:
    """The clone of ntviz that this code or the working directory belongs to; None outside of any clone.

    The folder that holds the package is tried first, so that an editable install finds its own clone from
    everywhere; then the working directory and its parents, so that a wheel finds the clone it is used in.
    """
    here = Path.cwd()
    candidates = (Path(__file__).resolve().parents[2], here, *here.parents)
    return next((folder for folder in candidates if _is_project(folder)), None)


def data_dir() -> Path:
    """Folder of the data bundle and of fetched data; it need not exist yet.

    ``NTVIZ_DATA`` if it is set, else ``data/`` of the clone (see `project_dir`), else the user's data folder
    (``~/.local/share/ntviz`` on Linux).
    """
    import platformdirs

    if (named := _named("NTVIZ_DATA")) is not None:
        return named
    project = project_dir()
    return project / "data" if project else platformdirs.user_data_path("ntviz", appauthor=False)


def cache_dir() -> Path:
    """Folder for things that can be made again, such as FASTA indexes of read-only folders; it need not exist yet.

    ``NTVIZ_CACHE`` if it is set, else the user's cache folder (``~/.cache/ntviz`` on Linux).
    """
    import platformdirs

    return _named("NTVIZ_CACHE") or platformdirs.user_cache_path("ntviz", appauthor=False, opinion=False)


def runs_dir() -> Path:
    """Folder that holds one folder a notebook, and in it one folder a run.

    ``NTVIZ_RUNS`` if it is set, else ``runs/`` of the clone, else ``runs/`` of the working directory.
    """
    return _named("NTVIZ_RUNS") or (project_dir() or Path.cwd()) / "runs"
