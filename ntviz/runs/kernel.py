"""Kernels: the one that this interpreter offers, the registered ones, and registering ours."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

HERE = "python3"
"""The kernel of committed notebooks; under `ntviz run` it is always the interpreter that runs `ntviz`."""

NAMES = {"ntviz": ("CPU", "cpu"), "ntviz-gpu": ("GPU", "cuda")}
_PASSED_ON = ("HF_HOME", "HF_HUB_OFFLINE", "HF_ENDPOINT", "NTVIZ_DATA", "NTVIZ_CACHE", "NTVIZ_RUNS")


def command() -> list[str]:
    """Command line of a kernel of this interpreter, by its absolute path."""
    # Jupyter replaces a bare "python" by the server's interpreter, whichever environment that belongs to.
    return [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]


class Specs(KernelSpecManager):
    """The registered kernels, with `HERE` meaning this interpreter whatever is registered under that name."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The spec called `kernel_name`."""
        if kernel_name == HERE:
            return KernelSpec(argv=command(), display_name="Python 3", language="python")
        return super().get_kernel_spec(kernel_name)


def check(name: str) -> str:
    """`name`, if such a kernel is registered; ValueError, which lists those that are, if not."""
    try:
        Specs().get_kernel_spec(name)
    except NoSuchKernel as error:
        known = ", ".join(sorted({HERE, *Specs().find_kernel_specs()}))
        hint = f"Choose one of {known}, or register ours with `ntviz kernel install`"
        raise ValueError(f"a kernel must be registered to be used, but {name!r} is not. {hint}") from error
    return name


def spec(name: str) -> dict[str, Any]:
    """The content of kernel.json for our kernel called `name`, bound to this interpreter and environment."""
    label, device = NAMES[name]
    environment = {name: os.environ[name] for name in _PASSED_ON if os.environ.get(name)}
    return {
        "argv": command(),
        "display_name": f"ntviz (Python {sys.version_info.major}.{sys.version_info.minor}, {label})",
        "language": "python",
        "env": {"NTVIZ_DEVICE": device, **environment},
        "metadata": {"debugger": True},
    }


def install(*, user: bool = False, prefix: str | Path | None = None) -> list[Path]:
    """Folders of our two kernels, registered for this interpreter: for this user, under `prefix`, or in this environment."""
    place = str(prefix) if prefix is not None else None if user else sys.prefix
    found = []
    for name in NAMES:
        with tempfile.TemporaryDirectory() as source:
            Path(source, "kernel.json").write_text(json.dumps(spec(name), indent=1) + "\n", encoding="utf-8")
            try:
                target = KernelSpecManager().install_kernel_spec(source, name, user=user, prefix=place)
            except PermissionError as error:
                hint = "Use --user, or --prefix with a folder of your own"
                place = error.filename
                raise PermissionError(f"the kernels' folder must be writable, but {place} is not. {hint}") from error
        found.append(Path(target))
    return found
