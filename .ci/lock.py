"""Writes requirements.lock: one pinned version for every package that ntviz and its extras need.

    python .ci/lock.py            keeps the versions that still fit, adds what is new
    python .ci/lock.py --upgrade  takes the newest versions that pyproject.toml allows

pip resolves, nothing is installed. Run it with Python 3.11 on Linux: packages that only other systems need stay unpinned
there. Every pin can be installed by the oldest Python that pyproject.toml promises, also where the one that runs this is newer.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

TOP = Path(__file__).resolve().parents[1]
LOCK = TOP / "requirements.lock"
TORCH = "torch==2.13.0"  # the version everything is tested with; the build (CPU, CUDA) is the index's choice
HEADER = """\
# All versions of ntviz's core and extras ({extras}), made by `python .ci/lock.py`
# (Python 3.11, Linux) from pyproject.toml; each can be installed by Python {oldest}. Install with: pip install -r requirements.lock
# torch is pinned without its build: on Linux the index decides whether `{torch}` is a CPU or a CUDA build, and
# what belongs to a CUDA build is left to torch itself.
"""


def oldest_python(promised: str) -> str:
    """The oldest Python of a `requires-python` of the form `>=3.11`, with its patch release: `3.11.0`."""
    (specifier,) = SpecifierSet(promised)
    if specifier.operator != ">=":
        raise ValueError(f"requires-python must be one lower bound such as '>=3.11'; got {promised!r}.")
    major, minor, patch = (*Version(specifier.version).release, 0, 0)[:3]
    return f"{major}.{minor}.{patch}"


def refuses(needed: str | None, python: str) -> bool:
    """Whether a package's Requires-Python leaves out a Python; a package without one takes every Python.

    `>=3.11.5` refuses 3.11.0, as pip does.
    """
    return not SpecifierSet(needed or "").contains(python, prereleases=True)


def resolve(wanted: list[str], constraints: list[str]) -> dict[str, dict[str, Any]]:
    """Metadata by name of each package that pip would install into an empty environment."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        held = Path(folder) / "constraints.txt"
        held.write_text("\n".join(constraints))
        subprocess.run([*command, "--report", str(report), "-c", str(held), *wanted], check=True)
        found = json.loads(report.read_text())["install"]
    metadata = [item["metadata"] for item in found]
    return {re.sub(r"[-_.]+", "-", one["name"]).lower(): one for one in metadata}


def pin(
    wanted: list[str],
    kept: list[str],
    python: str,
    resolve: Callable[..., dict[str, dict[str, Any]]] = resolve,
) -> dict[str, str]:
    """Name and version of each package, stepped down until none refuses the oldest Python.

    Parameters
    ----------
    wanted
        Requirements, as pip takes them.
    kept
        Pins to stay with where they fit, `name==version`.
    python
        The oldest Python that must be able to install all.
    resolve
        What answers requirements and constraints with metadata by name.
    """
    below: list[str] = []
    while True:
        packages = resolve(wanted, [*kept, *below])
        refusing = {
            name: metadata["version"]
            for name, metadata in packages.items()
            if refuses(metadata.get("requires_python"), python)
        }
        if not refusing:
            return {name: metadata["version"].partition("+")[0] for name, metadata in packages.items()}
        below += [f"{name}<{version}" for name, version in refusing.items()]
        kept = [line for line in kept if line.partition("==")[0] not in refusing]


def main() -> None:
    """Resolve and write."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [TORCH, *project["dependencies"], *(line for extra in extras.values() for line in extra)]
    keeping = LOCK.exists() and "--upgrade" not in sys.argv[1:]
    kept = (
        [line.partition(";")[0] for line in LOCK.read_text().splitlines() if "==" in line and line[0] != "#"]
        if keeping
        else []
    )
    oldest = oldest_python(project["requires-python"])
    pins = pin(wanted, kept, oldest)
    markers = {asked.name: f"; {asked.marker}" for asked in map(Requirement, wanted) if asked.marker}
    lines = "".join(
        f"{name}=={version}{markers.get(name, '')}\n"
        for name, version in sorted(pins.items())
        if not name.startswith("nvidia-")
    )
    LOCK.write_text(HEADER.format(extras=", ".join(extras), oldest=oldest, torch=TORCH) + lines)


if __name__ == "__main__":
    main()
