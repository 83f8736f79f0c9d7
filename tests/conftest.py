"""What several test files share: notebooks made on the spot, the command `ntviz`, and a real browser without network."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TOP = Path(__file__).resolve().parents[1]

# Public data that are no part of the repository. Continuous integration must have them: there the file is collected,
# and fails without them. Elsewhere, without them, it is not collected, since nobody can run it.
SHARED = TOP.parent / "shared" / "data"
collect_ignore = (
    []
    if SHARED.is_dir() or os.environ.get("CI", "").lower() in ("1", "true")
    else ["test_shared_cases.py", "test_shared_data.py", "test_shared_splicing.py"]
)
if sys.platform != "linux":
    collect_ignore.append("test_triton.py")  # Triton exists for Linux only; there the file fails without it


SLOW = (
    "peers_spliceai",
    "shared_splicing",
    "submit",
    "pretraining_processes",
    "shared_cases",
    "golden",
    "runs_execute",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of long tests first, those of pages last and the notebooks before them: two processes then end together."""

    def place(item: pytest.Item) -> int:
        name = item.path.stem.removeprefix("test_")
        return -(name in SLOW) or (name == "notebooks") + 2 * (item.path.parent.name == "browser")

    items.sort(key=place)


@pytest.fixture
def make_notebook(tmp_path: Path) -> Callable[..., Path]:
    """Write a notebook: `parameters` is the source of its tagged cell, cells that begin with '#' or '>' are Markdown."""

    def make(*cells: str, parameters: str | None = None, name: str = "toy") -> Path:
        made = (
            [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})] if parameters is not None else []
        )
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


@pytest.fixture(scope="session")
def tomtom(tmp_path_factory: pytest.TempPathFactory) -> None:
    """memelite compiled, a minute of work, by one of the processes that test side by side; the others read its cache."""
    import fcntl

    import numpy as np

    from ntviz.motifs import Motif
    from ntviz.motifs.names import compare

    targets = [Motif(f"M{seed}", np.random.default_rng(seed).dirichlet([0.3] * 4, size=8)) for seed in range(25)]
    with (tmp_path_factory.getbasetemp().parent / "tomtom.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        compare([targets[0].probabilities], targets)


@pytest.fixture(scope="session")
def mini():
    """The default model, loaded once."""
    from ntviz import models

    return models.load("ntviz-mini", device="cpu")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium of this machine; without one the tests fail, as a page nobody saw has not been tested."""
    executable = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if executable is None:
        pytest.fail(
            f"The browser tests need one of {', '.join(CHROMIUM)} on the PATH, and found none. "
            f"On Debian and Ubuntu: apt-get install chromium"
        )
    # One driver a session: playwright refuses a second one in the same thread.
    with sync_playwright() as driver:
        # Chromium's own sandbox does not start as root, which is who CI is in a container.
        started = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def without_event_loop():
    """What a plain kernel cell of a script sees: the browser of other tests leaves its event loop running in this thread."""
    running = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(running)
