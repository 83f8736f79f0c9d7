"""What a wheel brings beside the package: the notebooks, the bundle's checksums, and the commit it was built from."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMMIT = "ntviz/_commit.txt"


class Hook(BuildHookInterface):
    """Adds files to wheels and source distributions; an editable installation finds all in the clone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name what is to be included, and where."""
        if version == "editable":
            return
        root = Path(self.root)
        included = build_data["force_include"]
        if self.target_name == "wheel":
            included |= {str(path): f"ntviz/notebooks/{path.name}" for path in (root / "notebooks").glob("*.ipynb")}
            included[str(root / "data" / "checksums.sha256")] = "ntviz/data/checksums.sha256"
        if commit := _commit(root):
            self._folder = tempfile.TemporaryDirectory()
            made = Path(self._folder.name, "_commit.txt")
            made.write_text(commit + "\n", encoding="utf-8")
            included[str(made)] = COMMIT


def _commit(root: Path) -> str:
    """The commit of the clone, and whether tracked files differ from it; empty where `root` is no clone, as in an sdist."""

    def git(*words: str) -> str:
        command = ["git", "-c", "safe.directory=*", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return ""
        return git("rev-parse", "HEAD") + (" modified" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""
