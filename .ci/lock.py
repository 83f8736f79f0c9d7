"""Writes requirements.lock: one pinned version for every package that ntviz and its extras need.

    python .ci/lock.py            keeps the versions that still fit, adds what is new
    python .ci/lock.py --upgrade  takes the newest versions that pyproject.toml allows

pip resolves, nothing is installed. Run it with the oldest Python that is supported, on Linux: packages that only
other systems need stay unpinned there.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
LOCK = TOP / "requirements.lock"
TORCH = "torch==2.13.0"  # the version everything is tested with; the build (CPU, CUDA) is the index's choice
EXTRAS = ("lab", "pretraining", "attribution", "motifs", "maps", "hpc", "benchmark", "test")
HEADER = """\
# All versions of ntviz's core and extras ({extras}), made by `python .ci/lock.py`
# (Python 3.11, Linux) from pyproject.toml. Install with: pip install -r requirements.lock
# torch is pinned without its build: on Linux the index decides whether `{torch}` is a CPU or a CUDA build, and
# what belongs to a CUDA build is left to torch itself.
"""


def resolve(upgrade: bool) -> dict[str, str]:
    """Name and version of each package that pip would install into an empty environment."""
    declared = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    wanted = [TORCH, *declared["dependencies"]]
    for extra in EXTRAS:
        wanted += declared["optional-dependencies"][extra]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text(LOCK.read_text() if LOCK.exists() and not upgrade else "")
        subprocess.run([*command, "--report", str(report), "-c", str(constraints), *wanted], check=True)
        found = json.loads(report.read_text())["install"]
    return {
        re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(): item["metadata"]["version"].partition("+")[
            0
        ]
        for item in found
    }


def main() -> None:
    """Resolve and write."""
    pins = resolve(upgrade="--upgrade" in sys.argv[1:])
    lines = "".join(
        f"{name}=={version}\n" for name, version in sorted(pins.items()) if not name.startswith("nvidia-")
    )
    LOCK.write_text(HEADER.format(extras=", ".join(EXTRAS), torch=TORCH) + lines)


if __name__ == "__main__":
    main()
