"""What several test files share: notebooks made on the spot, the command `ntviz`, and a real browser without network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest

TOP = Path(__file__).resolve().parents[1]


@pytest.fixture
def make_notebook(tmp_path: Path) -> Callable[..., Path]:
    """Write a notebook: `parameters` is the source of its tagged cell, cells that begin with '#' or '>' are Markdown."""

    def make(*cells: str, parameters: str | None = None, name: str = "toy") -> Path:
        made = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})] if parameters is not None else []
        for source in cells:
            text = source.startswith(("# ", "## ", ">"))
            made.append((nbformat.v4.new_markdown_cell if text else nbformat.v4.new_code_cell)(source))
        path = tmp_path / f"{name}.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=made), path)
        return path

    return make


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start `ntviz ARGUMENTS` as a user would, with runs going to a folder of the test."""

    def begin(*arguments: object, variables: dict[str, str] | None = None, **options) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if name not in ("NTVIZ_PROFILE", "NTVIZ_RUN_DIR")}
        # PYTHONPATH lets the kernel find the package under test from every working directory.
        ours = {"NTVIZ_RUNS": str(tmp_path / "runs"), "PYTHONPATH": str(TOP), "HF_HUB_OFFLINE": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "ntviz", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**kept, **ours, **(variables or {})},
            **options,
        )

    return begin


@pytest.fixture
def command(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `ntviz ARGUMENTS` to its end."""

    def run(*arguments: object, timeout: float = 120, **options) -> subprocess.CompletedProcess[str]:
        with start(*arguments, **options) as process:
            output, errors = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    return run


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    """A headless Chromium, driven by playwright."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "the browser tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
