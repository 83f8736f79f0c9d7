"""The folders ntviz reads and writes: the project, its data, its cache and its runs."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

_NAME_LINE = re.compile(r"""^name\s*=\s*["']ntviz["']\s*$""", re.MULTILINE)


def _is_project(folder: Path) -> bool:
    declaration = folder / "pyproject.toml"
    try:
        return bool(_NAME_LINE.search(declaration.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        return False


def _user_dir(linux_variable: str, linux_default: str, mac: str, windows_variable: str) -> Path:
    home = Path.home()
    if sys.platform == "darwin":
        return home / mac / "ntviz"
    if sys.platform == "win32":
        return Path(os.environ.get(windows_variable) or home) / "ntviz"
    return Path(os.environ.get(linux_variable) or home / linux_default) / "ntviz"


def project_dir() -> Path | None:
    """The clone of ntviz that this code or the working directory belongs to; None outside of any clone.

    The folder that holds the package is tried first, so that an editable install finds its own clone from
    everywhere; then the working directory and its parents, so that a wheel finds the clone it is used in.
    """
    beside_package = Path(__file__).resolve().parents[2]
    here = Path.cwd()
    for folder in (beside_package, here, *here.parents):
        if _is_project(folder):
            return folder
    return None


def data_dir() -> Path:
    """Folder of the data bundle and of fetched data.

    ``NTVIZ_DATA`` if it is set, else ``data/`` of the clone (see `project_dir`), else the user's data folder
    (``~/.local/share/ntviz`` on Linux). The folder need not exist yet.
    """
    named = os.environ.get("NTVIZ_DATA")
    if named:
        return Path(named).expanduser()
    project = project_dir()
    if project is not None:
        return project / "data"
    return _user_dir("XDG_DATA_HOME", ".local/share", "Library/Application Support", "LOCALAPPDATA")


def cache_dir() -> Path:
    """Folder for things that can be made again, such as FASTA indexes of read-only folders.

    ``NTVIZ_CACHE`` if it is set, else the user's cache folder (``~/.cache/ntviz`` on Linux). The folder need
    not exist yet.
    """
    named = os.environ.get("NTVIZ_CACHE")
    if named:
        return Path(named).expanduser()
    return _user_dir("XDG_CACHE_HOME", ".cache", "Library/Caches", "LOCALAPPDATA")


def runs_dir() -> Path:
    """Folder that holds one folder a notebook, and in it one folder a run.

    ``NTVIZ_RUNS`` if it is set, else ``runs/`` of the clone, else ``runs/`` of the working directory.
    """
    named = os.environ.get("NTVIZ_RUNS")
    if named:
        return Path(named).expanduser()
    return (project_dir() or Path.cwd()) / "runs"
