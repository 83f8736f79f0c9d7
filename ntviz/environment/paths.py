"""The folders ntviz reads and writes: the project, its data, its cache and its runs."""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from importlib.resources import files
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


def notebooks_dir() -> Path:
    """Folder of ntviz's own notebooks: the clone's, else those that the wheel brings."""
    return (project_dir() or Path(__file__).resolve().parents[1]) / "notebooks"


def data_dir() -> Path:
    """Folder of the bundle: ``NTVIZ_DATA``, else the clone's data/, the distribution ``ntviz-data``, the user's data folder."""
    import platformdirs

    if (named := _named("NTVIZ_DATA")) is not None:
        return named
    if project := project_dir():
        return project / "data"
    with suppress(ModuleNotFoundError):
        # A folder of the user's that is called so has no such file.
        if (sums := Path(str(files("ntviz_data").joinpath("checksums.sha256")))).is_file():
            return sums.parent
    return platformdirs.user_data_path("ntviz", appauthor=False)


def cache_dir() -> Path:
    """Folder for what can be made again, such as FASTA indexes: ``NTVIZ_CACHE``, else the user's cache folder."""
    import platformdirs

    return _named("NTVIZ_CACHE") or platformdirs.user_cache_path("ntviz", appauthor=False, opinion=False)


def runs_dir() -> Path:
    """Folder of all runs, by notebook: ``NTVIZ_RUNS``, else runs/ of the clone or of the working directory."""
    return _named("NTVIZ_RUNS") or (project_dir() or Path.cwd()) / "runs"


def unwritable(error: OSError, path: Path) -> OSError | None:
    """What to raise where `path` must not be written: it names the variable to set; None for another error."""
    at = Path(str(error.filename))
    # Not a file that was read meanwhile.
    ours = at in (path, *path.parents) or at.name.lstrip(".").startswith(path.name)
    if not ours or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return None
    folders = {"NTVIZ_CACHE": cache_dir(), "NTVIZ_RUNS": runs_dir(), "NTVIZ_DATA": data_dir()}
    variable = next((name for name, folder in folders.items() if path.absolute().is_relative_to(folder.absolute())), "")
    folder, kind = folders.get(variable, path.parent), variable.removeprefix("NTVIZ_").lower()
    what = f"the {kind} folder {folder}" if variable else f"the folder {folder}"
    fix = (
        f"Set {variable} to a folder of yours: export {variable}=/path/to/{kind}" if variable else "Choose another one"
    )
    return OSError(
        error.errno, f"{what} must be writable, and it is not ({os.strerror(error.errno)}). {fix}", str(path)
    )
