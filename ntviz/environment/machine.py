"""What runs here: device, versions, and where the output of this process is seen."""

from __future__ import annotations

import getpass
import html
import os
import platform
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

_REPORTED = (
    "ntviz", "torch", "transformers", "safetensors", "numpy", "pandas", "pyarrow", "pysam", "pyfaidx", "biopython", "pooch",
    "scikit-learn", "captum", "plotly", "matplotlib", "logomaker", "ipywidgets", "anywidget", "papermill", "nbconvert",
    "jinja2", "ipykernel", "typer", "pydantic",
)  # fmt: skip

_JOB = (
    *(f"SLURM_{name}" for name in ("JOB_ID", "ARRAY_JOB_ID", "ARRAY_TASK_ID", "JOB_NAME", "JOB_PARTITION", "CLUSTER_NAME")),
    *("SLURM_RESTART_COUNT", "SLURMD_NODENAME", "PBS_JOBID", "LSB_JOBID", "JOB_ID", "SGE_TASK_ID"),
)  # fmt: skip
"""What batch systems call a job and its node: Slurm, PBS, LSF, Grid Engine."""


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


def loaded(homes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Version of each distribution of which a module is loaded; `homes` is `importlib.metadata.packages_distributions()`."""
    modules = {name.partition(".")[0] for name in list(sys.modules)}
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    # An editable ntviz has no home there.
    for name in sorted({"ntviz", *(home for module in modules for home in homes.get(module, ()))}, key=str.lower):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def git_state(folder: str | Path, *files: str) -> dict[str, Any] | None:
    """Commit of the repository that holds `folder`, and whether tracked files differ from it; None without one.

    Of a repository that does not track the `files` in the folder nothing is said either.
    """

    def git(*arguments: str) -> str:
        # A clone of somebody else's is read, too, and one on a read-only disk.
        words = ["git", "--no-optional-locks", "-c", "safe.directory=*", "-C", str(folder), *arguments]
        return subprocess.run(words, capture_output=True, text=True, timeout=20, check=True).stdout.strip()

    try:
        if files:
            git("ls-files", "--error-unmatch", "--", *files)
        changes = git("status", "--porcelain", "--untracked-files=no")
        return {"commit": git("rev-parse", "HEAD"), "modified": bool(changes)}
    except (OSError, subprocess.SubprocessError):
        return None


def build() -> dict[str, Any]:
    """This ntviz: version, folder, and commit with whether files differ from it, of the clone or of what the wheel was built from."""
    folder = Path(__file__).resolve().parents[1]
    state = git_state(folder, "__init__.py") or {"commit": None, "modified": None}
    if state["commit"] is None and (built := folder / "_commit.txt").is_file():
        commit, _, more = built.read_text(encoding="utf-8").strip().partition(" ")
        state = {"commit": commit or None, "modified": bool(more)}
    return {"version": versions()["ntviz"], "folder": str(folder), **state}


def invocation() -> dict[str, Any]:
    """How this process was started: command line, working directory, user, and what the batch system says of its job."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container in which the number of the user has no name
        user = str(os.getuid())
    job = {name: os.environ[name] for name in _JOB if os.environ.get(name)}
    return {"command": list(sys.orig_argv), "directory": str(Path.cwd()), "user": user, "job": job}


def variables() -> dict[str, str]:
    """NTVIZ_*, HF_* and what chooses GPUs and threads, as they are set here; of tokens and passwords only that they are set."""
    names = (
        name for name in sorted(os.environ) if re.match("(NTVIZ|HF)_|CUDA_VISIBLE_DEVICES$|OMP_NUM_THREADS$", name)
    )
    found = {name: re.sub(r"(?<=//)[^/@\s]*@", "", os.environ[name]) for name in names}
    return {name: "(set)" if re.search("TOKEN|SECRET|PASSW|KEY", name) else value for name, value in found.items()}


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
