"""A real Chromium for the tests of what people see: pages opened offline, and JupyterLab."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Opened:
    """A page opened without a network, with what it asked for and complained about."""

    page: Page
    refused: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def clean(self) -> None:
        """Fail if the page asked the network for anything, or wrote an error to the console."""
        assert self.refused == [] and self.failed == [] and self.errors == []


@pytest.fixture
def open_offline(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """Open a file with the network off; every request that is not for a file or inline data is refused and counted."""
    contexts = []

    def open_(path: Path, **options: object) -> Opened:
        settings = {"viewport": {"width": 1200, "height": 900}, "offline": True} | options
        context = browser.new_context(**settings)
        contexts.append(context)
        opened = Opened(context.new_page())

        def route(asked: Route) -> None:
            if asked.request.url.startswith(("file:", "data:", "blob:")):
                asked.continue_()
            else:
                opened.refused.append(asked.request.url)
                asked.abort()

        def console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                opened.errors.append(message.text)

        context.route("**/*", route)
        opened.page.on("console", console)
        opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
        opened.page.on("requestfailed", lambda request: opened.failed.append(request.url[:200]))
        opened.page.goto(path.resolve().as_uri(), wait_until="load")
        return opened

    yield open_
    for context in contexts:
        context.close()


@dataclass
class Lab:
    url: str
    folder: Path


# The server of a hub or a cluster lives in an environment of its own: here ntviz cannot be imported.
SERVER = """
import sys
sys.modules["ntviz"] = None
from jupyterlab.labapp import main
sys.argv[0] = "jupyter-lab"
sys.exit(main())
"""


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab without ntviz in its process, with a kernel `elsewhere` whose interpreter has another prefix."""
    with _started(tmp_path_factory.mktemp("lab")) as started:
        yield started


@contextmanager
def _started(home: Path) -> Iterator[Lab]:
    folder = home / "notebooks"
    folder.mkdir()
    _kernel_elsewhere(home / "share" / "kernels" / "elsewhere", home / "environment")
    quiet = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
    _write_json(home / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings", quiet)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "JPY_", "NTVIZ"))}
    environment |= {
        "HOME": str(home), "IPYTHONDIR": str(home / "ipython"), "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"), "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_PATH": str(home / "share"), "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"), "PYTHONPATH": str(ROOT),
        "MPLCONFIGDIR": str(home / "matplotlib"),
    }  # fmt: skip
    options = [
        "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}", "--IdentityProvider.token=",
        "--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly",
    ]  # fmt: skip
    log = home / "server.log"
    with log.open("w") as sink:
        server = subprocess.Popen([sys.executable, "-c", SERVER, *options], env=environment, cwd=folder, stdout=sink, stderr=sink)  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/api/status", server, log)
        yield Lab(url, folder)
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _kernel_elsewhere(spec: Path, prefix: Path) -> None:
    """A kernelspec whose interpreter lives in another prefix, which alone knows where the packages are."""
    venv.create(prefix, with_pip=False, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(prefix), "platbase": str(prefix)}))
    packages.mkdir(parents=True, exist_ok=True)
    (packages / "elsewhere.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    command = [str(prefix / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": command, "display_name": "Elsewhere", "language": "python", "env": {"PYTHONPATH": ""}}
    _write_json(spec / "kernel.json", kernel)


def _write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")
