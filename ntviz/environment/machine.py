"""What runs here: device, seeds, versions, and where the output of this process is seen."""

from __future__ import annotations

import html
import os
import platform
import random
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_REPORTED = (
    "ntviz",
    "torch",
    "transformers",
    "safetensors",
    "numpy",
    "pandas",
    "pyarrow",
    "pysam",
    "scikit-learn",
    "captum",
    "plotly",
    "matplotlib",
    "logomaker",
    "ipywidgets",
    "anywidget",
    "papermill",
    "nbconvert",
    "ipykernel",
    "jinja2",
    "typer",
)


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
    """Versions of Python, the system, ntviz and its core dependencies; ``"missing"`` for what is not installed.

    Nothing is imported: the numbers come from the packages' metadata.
    """
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


def seed_everything(seed: int, *, deterministic: bool = False) -> np.random.Generator:
    """A numpy generator made from `seed`, after seeding Python, numpy's legacy state and torch (all devices).

    Parameters
    ----------
    seed
        0 to 2**32 - 1.
    deterministic
        Also ask torch for algorithms that give the same bits each time; operations without one warn.

    Raises
    ------
    ValueError
        If `seed` is out of range.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(
            f"seed must be from 0 to {2**32 - 1}, but {seed!r} came. Take a smaller whole number"
        )
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    try:
        import torch
    except ModuleNotFoundError:
        return np.random.default_rng(seed)
    torch.manual_seed(seed)
    if deterministic:
        # cuBLAS reads this when it makes its first handle, which is why it comes before any work on the device.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    return np.random.default_rng(seed)


def device(choice: str = "auto") -> str:
    """Name of the torch device to use: ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.

    Parameters
    ----------
    choice
        ``"auto"`` takes ``NTVIZ_DEVICE`` if that is set, else the best that works here: CUDA, then Apple's
        MPS, then the CPU. Another name is returned if it can be used.

    Raises
    ------
    ValueError
        If the name is unknown, or the device is not usable here; the message says why.

    Examples
    --------
    >>> device("cpu")
    'cpu'
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
    if kind == "mps":
        if not torch.backends.mps.is_available():
            raise ValueError(
                "device 'mps' needs a Mac with Apple silicon, which is not here. Use 'auto' or 'cpu'"
            )
        return choice
    if not torch.cuda.is_available():
        why = (
            "this torch is a CPU build"
            if torch.version.cuda is None
            else "torch finds no working GPU and driver"
        )
        raise ValueError(
            f"device {choice!r} needs a CUDA build of torch and a GPU, but {why} (torch {torch.__version__}). "
            f"Use 'auto' or 'cpu', or ask `ntviz doctor` what to install"
        )
    count = torch.cuda.device_count()
    if index and int(index) >= count:
        raise ValueError(
            f"device {choice!r} must be one of the {count} GPUs here. Use cuda:0 to cuda:{count - 1}"
        )
    return choice


def gpus() -> list[dict[str, str]]:
    """Name, memory and driver of each NVIDIA GPU as the driver's own tool reports them; empty without one."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [
        [field.strip() for field in line.split(",")] for line in answer.stdout.splitlines() if line.strip()
    ]
    return [{"name": row[0], "memory": row[1], "driver": row[2]} for row in rows if len(row) == 3]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                key, _, value = line.partition(":")
                if key.strip() in ("model name", "Model") and value.strip():
                    return value.strip()
    except OSError:
        pass  # Only Linux has this file; the platform's own word is used elsewhere.
    return platform.processor() or platform.machine()


def machine() -> dict:
    """Host, processor, usable cores, memory in bytes (None if unknown) and GPUs of this machine."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": cores,
        "memory_bytes": memory,
        "gpus": gpus(),
        "python": sys.executable,
    }


def free_memory() -> int:
    """Bytes of memory that a process could still take: what is available, or the rest of this container's limit.

    Where the system does not say what is available (macOS), half of what is installed.
    """
    available = None
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) * 1024
    except OSError:
        available = None
    if available is None:
        available = (machine()["memory_bytes"] or 8 << 30) // 2
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            most, now = Path(limit).read_text().strip(), Path(used).read_text().strip()
        except OSError:
            continue
        if most.isdigit() and now.isdigit():
            available = min(available, max(int(most) - int(now), 0))
    return available
