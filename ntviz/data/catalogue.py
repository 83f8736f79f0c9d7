"""What data ntviz knows, as catalogue.toml lists it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Local:
    """Something of the bundle, or built on this machine; `command` is what to type when it is missing."""

    path: str
    what: str
    licence: str
    command: str = "python data/build.py"


@dataclass(frozen=True, slots=True)
class File:
    """One file at one address.

    `path` is below the entry's folder; `url` is http or https. `md5` and `size` (bytes) are there where the publisher's are known;
    `checksum_url`, a list of files or a single checksum, is read at the first fetch. Of a file of the bundle `sha256` is known.
    """

    path: str
    url: str
    md5: str | None = None
    size: int | None = None
    checksum_url: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class External:
    """Data to fetch: one version of one thing, in one or more files.

    Name and version are also the folder. `repository` and `revision` are the data set of the Hugging Face Hub and its commit, where
    the files come from there.
    """

    name: str
    version: str
    what: str
    licence: str
    files: tuple[File, ...]
    repository: str = ""
    revision: str = ""

    def part(self, prefix: str) -> External:
        """The entry with those of its files alone that are in the folder `prefix`."""
        return replace(self, files=tuple(file for file in self.files if file.path.startswith(f"{prefix}/")))

    @property
    def parts(self) -> list[str]:
        """Folders in the entry, such as the tasks of a benchmark."""
        return sorted({file.path.partition("/")[0] for file in self.files if "/" in file.path})


def _external(name: str, entry: dict[str, Any]) -> External:
    what, licence = entry["what"], entry["licence"]
    if repository := entry.get("repository"):
        revision = entry["revision"]
        folder = f"https://huggingface.co/datasets/{repository}/resolve/{revision}"
        paths = [f"{task}/{split}.{entry['suffix']}" for task in entry["tasks"] for split in ("train", "test")]
        files = tuple(File(path, f"{folder}/{path}") for path in paths)
        return External(name, revision[:12], what, licence, files, repository, revision)
    files = []
    for row in entry["files"]:
        listed = f"{entry['folder']}/{row.pop('checksums')}" if "checksums" in row else None
        files.append(File(**row, url=f"{entry['folder']}/{row['path']}", checksum_url=listed))
    return External(name, entry["version"], what, licence, tuple(files))


_LISTED = tomllib.loads(Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8"))
BUNDLE = {name: Local(**entry) for name, entry in _LISTED["bundle"].items()}
RELEASE: str = _LISTED["release"]["url"]
BUILT = {name: Local(**entry) for name, entry in _LISTED["built"].items()}
CATALOGUE = {name: _external(name, entry) for name, entry in _LISTED["external"].items()}
