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
    """The clone of ntviz that holds this package or, for a wheel, the working directory; None outside of any clone."""
    here = Path.cwd()
    candidates = (Path(__file__).resolve().parents[2], here, *here.parents)
    return next((folder for folder in candidates if _is_project(folder)), None)


def data_dir() -> Path:
    """Folder of the data bundle and of fetched data: ``NTVIZ_DATA``, else the clone's data/, else the user's data folder."""
    import platformdirs

    if (named := _named("NTVIZ_DATA")) is not None:
        return named
    project = project_dir()
    return project / "data" if project else platformdirs.user_data_path("ntviz", appauthor=False)


def cache_dir() -> Path:
    """Folder for what can be made again, such as FASTA indexes: ``NTVIZ_CACHE``, else the user's cache folder."""
    import platformdirs

    return _named("NTVIZ_CACHE") or platformdirs.user_cache_path("ntviz", appauthor=False, opinion=False)


def runs_dir() -> Path:
    """Folder of all runs, by notebook: ``NTVIZ_RUNS``, else runs/ of the clone or of the working directory."""
    return _named("NTVIZ_RUNS") or (project_dir() or Path.cwd()) / "runs"
