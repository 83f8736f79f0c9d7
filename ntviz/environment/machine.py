"""What runs here: device, versions, and where the output of this process is seen."""

from __future__ import annotations

import html
import os
import platform
import re
import subprocess
import sys
import textwrap
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

_REPORTED = (
    "ntviz", "torch", "transformers", "safetensors", "numpy", "pandas", "pyarrow", "pysam", "pyfaidx", "biopython", "pooch",
    "scikit-learn", "captum", "plotly", "matplotlib", "logomaker", "ipywidgets", "anywidget", "papermill", "nbconvert",
    "jinja2", "ipykernel", "typer", "pydantic",
)  # fmt: skip


class Versions(dict[str, str]):
    """Name of each component and its version; prints and displays as one paragraph."""

    def __str__(self) -> str:
        return textwrap.fill(", ".join(f"{name} {version}" for name, version in self.items()), width=100)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        parts = (f"{html.escape(name)}&nbsp;<b>{html.escape(version)}</b>" for name, version in self.items())
        return f"<p style='font-size: .85em'>{' &middot; '.join(parts)}</p>"


def versions() -> Versions:
    """Versions of Python, the system, ntviz and its core dependencies; ``"missing"`` for what is not installed."""
    found = Versions(python=platform.python_version(), system=f"{platform.system()} {platform.machine()}")
    for name in _REPORTED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def in_jupyterlab() -> bool:
    """True in a kernel that a Jupyter server started for a person, false under papermill, in scripts and tests."""
    return "JPY_SESSION_NAME" in os.environ


def device(choice: str = "auto") -> str:
    """Name of the torch device to use: ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``; ValueError if it cannot be used here.

    ``"auto"`` takes ``NTVIZ_DEVICE`` if that is set, else the best that works here: CUDA, then MPS, then the CPU.
    """
    if choice == "auto":
        choice = os.environ.get("NTVIZ_DEVICE") or "auto"
    if choice == "cpu":
        return choice
    kind, _, index = choice.partition(":")
    if kind not in ("auto", "cuda", "mps") or (index and not (kind == "cuda" and index.isdigit())):
        raise ValueError(
            f"device must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps', but {choice!r} came. Choose one of these"
        )
    import torch

    if kind == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device 'mps' needs a Mac with Apple silicon, which is not here. Use 'auto' or 'cpu'")
    if kind == "cuda" and not torch.cuda.is_available():
        built = "torch finds no working GPU and driver" if torch.version.cuda else "this torch is a CPU build"
        raise ValueError(
            f"device {choice!r} needs a CUDA build of torch and a GPU, but {built} (torch {torch.__version__}). "
            f"Use 'auto' or 'cpu', or ask `ntviz doctor` what to install"
        )
    if index and int(index) >= (count := torch.cuda.device_count()):
        raise ValueError(f"device {choice!r} must be one of the {count} GPUs here. Use cuda:0 to cuda:{count - 1}")
    return choice


def gpus() -> list[dict[str, str]]:
    """Name, memory and driver of each NVIDIA GPU as the driver's own tool reports them; empty without one."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[field.strip() for field in line.split(",")] for line in answer.stdout.splitlines()]
    return [dict(zip(("name", "memory", "driver"), row, strict=True)) for row in rows if len(row) == 3]


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""  # Only Linux has this file; the platform's own word is used elsewhere.
    model = re.search(r"^(?:model name|Model)\s*:\s*(\S.*?)\s*$", text, re.MULTILINE)
    return model[1] if model else platform.processor() or platform.machine()


def machine() -> dict:
    """Host, processor, usable cores, memory in bytes and GPUs of this machine."""
    import psutil

    return {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": gpus(),
        "python": sys.executable,
    }


def free_memory() -> int:
    """Bytes of memory that a process could still take: what is available, or the rest of this container's limit."""
    import psutil

    available = psutil.virtual_memory().available
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):  # no container, or "max": no limit
            available = min(available, max(int(Path(limit).read_text()) - int(Path(used).read_text()), 0))
    return available
