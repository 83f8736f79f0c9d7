"""What is wrong with this environment, and what to type."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from ntviz.environment.machine import gpus
from ntviz.environment.paths import cache_dir, runs_dir

_ENOUGH_DISK = 2 * 1024**3  # bytes; a run's figures and a checkpoint of the default model fit easily
_LOCKED = "pip install -r requirements.lock"
_INSTALL = "ntviz kernel install --sys-prefix"
_ASK_TORCH = (
    "import torch; print(torch.__version__, torch.version.cuda or 'none', torch.cuda.is_available(),"
    " torch.cuda.device_count())"
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `fix` says what to type."""

    level: Literal["ok", "note", "warn", "error"]
    what: str
    fix: str = ""


def doctor() -> list[Finding]:
    """Findings on Python, packages, GPU, kernels, network, folders and disk, in that order; takes a few seconds."""
    version = ".".join(map(str, sys.version_info[:3]))
    python = Finding("ok", f"Python {version} at {sys.executable}")
    return [python, *_packages(), _gpu(), *_kernels(), *_server(), _network(), *_folders()]


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    try:
        distribution = metadata.distribution("ntviz")
    except metadata.PackageNotFoundError:
        yield Finding("error", "ntviz is imported from a folder, but is not installed here", "pip install -e .")
        return
    yield Finding("ok", f"ntviz {distribution.version}")
    # Core, which has no extra, goes first.
    extras = ("", *(distribution.metadata.get_all("Provides-Extra") or []))
    problems: dict[str, list[str]] = {name: [] for name in extras}
    for requirement in map(Requirement, distribution.requires or []):
        marker = requirement.marker
        needing = [extra for extra in problems if marker is None or marker.evaluate({"extra": extra})]
        if problem := _unmet(requirement):
            for extra in [""] if "" in needing else needing:
                problems[extra].append(problem)
    if core := problems.pop(""):
        yield Finding("error", f"core packages are not as needed: {'; '.join(core)}", _LOCKED)
    else:
        yield Finding("ok", "all core packages are here")
    for extra, unmet in problems.items():
        if unmet:
            what = f"optional extra '{extra}' is not complete: {'; '.join(unmet)}"
            yield Finding("note", what, f"pip install 'ntviz[{extra}]'")


def _unmet(requirement: Any) -> str:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    fits = requirement.specifier.contains(version, prereleases=True)
    return "" if fits else f"{requirement.name} is {version}, needed {requirement.specifier}"


def _gpu() -> Finding:
    asked = [sys.executable, "-c", _ASK_TORCH]  # a process of its own: nothing of torch is left in this one
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("error", f"torch could not be asked about the GPU: {error}", "python -c 'import torch'")
    if answer.returncode:
        reason = (answer.stderr.strip().splitlines() or ["no message"])[-1]
        return Finding("error", f"torch cannot be imported: {reason}", _LOCKED)
    return judge_gpu(answer.stdout.split()[-4:], gpus())


def judge_gpu(from_torch: list[str], from_driver: list[dict[str, str]]) -> Finding:
    """The finding for torch's version, CUDA version or ``none``, availability and count, and the driver's GPUs."""
    version, cuda, available, count = from_torch
    if not from_driver:
        if available == "True":
            return Finding("ok", f"GPU: torch {version} sees {count}; nvidia-smi is not on the path")
        build = f"is a CUDA {cuda} build and will use the CPU"
        cpu = "uses the CPU, which is enough for the default model"
        return Finding("note", f"no GPU found; torch {version} {cpu if cuda == 'none' else build}")
    first = from_driver[0]
    seen = f"GPU: {len(from_driver)} x {first['name']} ({first['memory']}, driver {first['driver']})"
    if available == "True":
        return Finding("ok", f"{seen}; torch {version} uses {count} of them, with CUDA {cuda}")
    if cuda == "none":
        fix = f"Install the CUDA build of torch {version.split('+')[0]}, as pytorch.org's 'Get started' says"
        return Finding("warn", f"{seen}, but torch {version} is a CPU build", fix)
    fix = "Compare the driver with CUDA's minimum in `nvidia-smi`; update the driver or take an older CUDA build"
    return Finding("error", f"{seen}, but torch {version} (CUDA {cuda}) cannot use it", fix)


def _kernels() -> Iterator[Finding]:
    from jupyter_client.kernelspec import KernelSpecManager

    specs = KernelSpecManager().get_all_specs()
    commands = {
        name: [word.replace("{resource_dir}", entry["resource_dir"]) for word in entry["spec"].get("argv", [])]
        for name, entry in specs.items()
    }
    yield from judge_kernels(commands)


def judge_kernels(commands: dict[str, list[str]]) -> Iterator[Finding]:
    """Findings for the registered kernels, given as name and command line."""
    if "ntviz" not in commands:
        yield Finding("warn", "the Jupyter kernel 'ntviz' is not registered", _INSTALL)
    for name in sorted(commands.keys() & {"ntviz", "ntviz-gpu"}):
        interpreter = commands[name][0] if commands[name] else ""
        starts = f"kernel '{name}' starts {interpreter}"
        if not os.path.isabs(interpreter):
            # The trap: Jupyter replaces "python" by the interpreter of the *server*, whichever environment that is.
            what = f"kernel '{name}' starts '{interpreter}', which a Jupyter server of another environment takes for its own"
            yield Finding("warn", what, _INSTALL)
        elif not os.path.exists(interpreter):
            yield Finding("error", f"{starts}, which does not exist any more", _INSTALL)
        elif not _same_environment(interpreter):
            yield Finding("warn", f"{starts}, not this {sys.executable}", _INSTALL)
        else:
            yield Finding("ok", f"kernel '{name}' starts this Python")


def _same_environment(interpreter: str) -> bool:
    # A virtual environment is named by the folder of its python, which itself links to a shared one.
    return Path(interpreter).parent.resolve() == Path(sys.executable).parent.resolve()


def _server() -> Iterator[Finding]:
    if "JPY_SESSION_NAME" not in os.environ:
        return
    try:
        command = Path(f"/proc/{int(os.environ.get('JPY_PARENT_PID', ''))}/cmdline").read_bytes()
    except (OSError, ValueError):
        return  # Only Linux lets us look at the parent's command line.
    server = command.split(b"\0")[0].decode(errors="replace")
    if os.path.isabs(server) and _same_environment(server):
        yield Finding("ok", "this kernel and its Jupyter server share one environment")
    elif os.path.isabs(server):
        what = f"this kernel runs {sys.executable}, its Jupyter server {server}: figures of ntviz work all the same, "
        more = "widgets of other packages need their JupyterLab extension in the server's environment"
        yield Finding("note", what + more)


def _network() -> Finding:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        what = "HF_HUB_OFFLINE is set: models come from folders and the cache only"
        return Finding("note", what, "unset HF_HUB_OFFLINE")
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    host, port = endpoint.hostname or "", endpoint.port or (80 if endpoint.scheme == "http" else 443)
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError as error:
        what = f"offline: {host} does not answer ({error}). The bundled data and model work without it"
        return Finding("note", what, "export HF_HUB_OFFLINE=1  (saves waiting for answers)")
    return Finding("ok", f"{host} answers: models can be downloaded")


def _folders() -> Iterator[Finding]:
    models = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    for what, folder, variable in (
        ("cache", cache_dir(), "NTVIZ_CACHE"), ("runs", runs_dir(), "NTVIZ_RUNS"), ("Hugging Face", models, "HF_HOME")
    ):  # fmt: skip
        # The nearest folder that exists decides whether the rest can be made.
        existing = next(candidate for candidate in (folder, *folder.absolute().parents) if candidate.exists())
        free = shutil.disk_usage(existing).free
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            level = "warn" if variable == "HF_HOME" else "error"
            yield Finding(level, f"the {what} folder {folder} cannot be written", f"export {variable}=/elsewhere")
        elif free < _ENOUGH_DISK:
            left = f"the {what} folder {folder} has {free / 1024**3:.1f} GiB left"
            yield Finding("warn", left, "Free some disk space")
        else:
            yield Finding("ok", f"{what} folder {folder}, {free / 1024**3:.0f} GiB free")
