"""Where the data are: the bundle, what is built, and what is fetched once, checked, and then used offline."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ntviz import environment, storage
from ntviz.data.catalogue import BUILT, BUNDLE, CATALOGUE, RELEASE, External, File, Local
from ntviz.data.downloads import FetchError, How, complete, fetch_entry, home

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CATALOGUE", "External", "FetchError", "File", "bundle", "fetch", "known", "local", "look_at_bundle"]

_NEEDED = {"chr20", "genes", "ntviz-mini"}
_HOW = "`pip install ntviz-data` or `ntviz data fetch bundle`"


def bundle(name: str) -> Path:
    """Path of a part of the bundle: `chr20`, `genes`, `motifs`, `motif-families`, `ntviz-mini` or `backgrounds`.

    >>> bundle("genes").name
    'chr20.GRCh37.gtf.gz'
    """
    if name not in BUNDLE:
        raise _unknown(name, BUNDLE, "A part of the bundle")
    return _present(name, BUNDLE[name], environment.data_dir())


def local(name: str) -> Path:
    """Path of data that are on this machine, without network: of the bundle, built, or fetched before.

    `name` is one from `known`; `tasks-revised/H3K4me3` is one folder of an entry that has several. A FileNotFoundError says what to
    type where the data are not here.
    """
    if name in BUNDLE:
        return bundle(name)
    if name in BUILT:
        return _present(name, BUILT[name], environment.cache_dir())
    entry = _entry(name)
    for folder in _homes(entry):
        if complete(entry, folder):
            return _result(name, entry, folder)
    raise FileNotFoundError(
        f"{name} must be on this machine, and it is not in {' or '.join(map(str, _homes(entry)))}. "
        f"With network, run `ntviz data fetch {name}`; without, copy its files there from another machine."
    )


def fetch(
    name: str | External,
    dest: str | Path | None = None,
    *,
    progress: bool = True,
    force: bool = False,
    timeout: float = 60.0,
    attempts: int = 5,
    wait: float = 2.0,
) -> Path:
    """Path of fetched data; what is here already and whole is not fetched again.

    A file appears under its name only when it is whole and checked: against the publisher's checksum where there is
    one, else for being a whole file of its kind. Its SHA-256 is written to `<file>.source.json` and checked at each
    later fetch. Of a file with a checksum, what came before a transfer broke off is kept, also for a later call.

    Parameters
    ----------
    name
        A name from `known`, one folder of it (`tasks-revised/H3K4me3`), ``"bundle"`` for all of the bundle, or an entry of your own.
    dest
        Folder for the files; `external/<name>/<version>` of the cache folder when not given, of the bundle the data folder.
    force
        Whether to fetch again what is here.
    timeout
        Seconds without any data after which an attempt is given up.
    attempts
        Attempts a file; the wait between them starts at `wait` seconds and doubles.

    Raises
    ------
    FetchError
        The data cannot be fetched, differ from their checksum, or are being fetched by another process.
    OSError
        They cannot be written; of a full disk nothing half-written is left.
    """
    how = How(progress, force, timeout, attempts, wait)
    if name == "bundle":
        return _fetch_bundle(environment.data_dir() if dest is None else Path(dest), how)
    if isinstance(name, External):
        name, entry = name.name, name
    elif name in BUNDLE or name in BUILT:
        return local(name)
    else:
        entry = _entry(name)
    provided, cached = _homes(entry)
    if dest is None and not force and complete(entry, provided):
        return _result(name, entry, provided)
    folder = cached if dest is None else Path(dest)
    fetch_entry(entry, folder, how)
    return _result(name, entry, folder)


def look_at_bundle() -> environment.Finding:
    """The finding of `ntviz doctor` on the bundle: an error where what every default stands on is not here."""
    folder = environment.data_dir()
    missing = [name for name, item in BUNDLE.items() if not (folder / item.path).exists()]
    if not missing:
        return environment.Finding("ok", f"bundle in {folder}")
    level, what = "warn", f"the bundle in {folder} lacks {', '.join(missing)}"
    if not _NEEDED.isdisjoint(missing):
        level, what = "error", f"no default command can work: {what}"
    return environment.Finding(level, what, BUNDLE[missing[0]].command if environment.project_dir() else _HOW)


def _fetch_bundle(folder: Path, how: How) -> Path:
    """`folder`, with all files of the bundle in it, each with the checksum that this ntviz knows."""
    ours = Path(__file__).with_name("checksums.sha256")
    listed = ours if ours.is_file() else (environment.project_dir() or Path()) / "data" / ours.name
    lines = listed.read_text(encoding="utf-8").splitlines()
    sums = {path: value for value, path in (line.split("  ", 1) for line in lines)}
    here = {path for path in sums if (folder / path).is_file()}
    damaged = [path for path in sorted(here) if storage.sha256(folder / path) != sums[path]]
    if damaged and not how.force:
        raise FetchError(
            f"the bundle in {folder} must have its published checksums, but {', '.join(damaged)} differ. "
            f"They were changed or damaged: fetch them again with --force, or name another folder with --dest."
        )
    wanted = sorted(sums.keys() - here | set(damaged))
    address = os.environ.get("NTVIZ_BUNDLE") or RELEASE
    if wanted and not address:
        raise FetchError(
            f"the bundle must come from somewhere, and {folder} lacks {len(wanted)} of its {len(sums)} files. Run "
            f"`pip install ntviz-data`, or set NTVIZ_BUNDLE to the address of a folder that holds what data/ of a clone holds."
        )
    files = tuple(File(path, f"{address.rstrip('/')}/{quote(path)}", sha256=sums[path]) for path in wanted)
    fetch_entry(External("bundle", "", "the bundle", "see data/README.md", files), folder, how)
    return folder


def known() -> pd.DataFrame:
    """Table [name, kind, here, version, files, licence, what, path] of all data that ntviz knows, and where they are, or will be."""
    import pandas as pd

    rows: list[tuple] = []
    local_folders = (("bundle", BUNDLE, environment.data_dir()), ("built", BUILT, environment.cache_dir()))
    for kind, items, folder in local_folders:
        for name, item in items.items():
            path = folder / item.path
            rows.append((name, kind, path.exists(), "", 1, item.licence, item.what, str(path)))
    for name, entry in CATALOGUE.items():
        here = [folder for folder in _homes(entry) if complete(entry, folder)]
        path, about = str((here or _homes(entry)[1:])[0]), (entry.licence, entry.what)
        rows.append((name, "external", bool(here), entry.version, len(entry.files), *about, path))
    return pd.DataFrame(rows, columns=["name", "kind", "here", "version", "files", "licence", "what", "path"])


def _homes(entry: External) -> tuple[Path, Path]:
    # The data folder first: what an operator put there for everyone wins over a user's cache.
    return home(entry, environment.data_dir()), home(entry, environment.cache_dir())


def _entry(name: str) -> External:
    first, _, part = name.partition("/")
    if first not in CATALOGUE:
        raise _unknown(name, [*BUNDLE, *BUILT, *CATALOGUE], "A name of data")
    entry = CATALOGUE[first]
    if part and part not in entry.parts:
        raise _unknown(part, entry.parts, f"A part of {first}")
    return entry.part(part) if part else entry


def _result(name: str, entry: External, folder: Path) -> Path:
    if part := name.partition("/")[2]:
        return folder / part
    return folder / entry.files[0].path if len(entry.files) == 1 else folder


def _present(name: str, item: Local, folder: Path) -> Path:
    path, variable = folder / item.path, "NTVIZ_DATA" if name in BUNDLE else "NTVIZ_CACHE"
    if not path.exists():
        clone = environment.project_dir() or name not in BUNDLE
        how = f"`{item.command}` in a clone of ntviz" if clone else _HOW
        raise FileNotFoundError(
            f"{name} must be at {path}, and it is not. Run {how}, or set {variable} to the folder that holds {item.path}."
        )
    return path


def _unknown(name: str, choices: Iterable[str], what: str) -> ValueError:
    choices = list(choices)
    nearest = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
    return ValueError(
        f"{what} must be one of {', '.join(choices) or 'none'}; received {name!r}. {hint}See `ntviz data`."
    )
