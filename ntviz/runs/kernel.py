"""Kernels: the one that this interpreter offers, the registered ones, and registering ours."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from string import Template

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

HERE = "python3"
"""The kernel of committed notebooks; under `ntviz run` it is always the interpreter that runs `ntviz`."""

_DEVICES = {"": ("CPU", "cpu"), "-gpu": ("GPU", "cuda")}
_OURS = "NTVIZ_DEVICE"
_FOLDERS = ("HF_HOME", "NTVIZ_DATA", "NTVIZ_CACHE", "NTVIZ_RUNS")
_PASSED_ON = (*_FOLDERS, "HF_HUB_OFFLINE", "HF_ENDPOINT")

_QUESTION = """
import importlib.util, os, sys
if importlib.util.find_spec("ntviz") is None:
    sys.exit(4)
if os.environ.get("NTVIZ_DEVICE") == "cuda":
    import torch
    sys.exit(0 if torch.cuda.is_available() else 5)
"""


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


def ready(name: str) -> str:
    """`name`, if that kernel can run a notebook here: it has ntviz and, if it is for GPUs, one that torch sees; else ValueError."""
    spec = Specs().get_kernel_spec(check(name))
    python = spec.argv[0].format(resource_dir=spec.resource_dir)
    python = sys.executable if re.fullmatch(r"python[\d.]*", python) else python  # as Jupyter has it
    is_python = re.match("python", Path(python).name)
    if spec.language.lower() == "python" and not is_python:
        return name  # a wrapper, such as `conda run`: what it starts is not known before
    fault = f"be of a Python that is there, but {python} is none. Register ours with `ntviz kernel install`"
    if is_python and shutil.which(python):
        variables = {name: Template(text).safe_substitute(os.environ) for name, text in spec.env.items()}
        words, environment = [python, "-c", _QUESTION], {**os.environ, **variables}
        asked = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
        fault = {
            0: "",
            4: f"have ntviz, but {python} has none. Run `{python} -m pip install ntviz`",
            5: "find a GPU, but torch sees none here. Start it on a node with one",
        }.get(asked.returncode, f"start, but {python} ended with {asked.stderr.strip().splitlines()[-1:]}. Mend it")
    if fault:
        raise ValueError(f"the kernel {name!r} must {fault}, or choose another kernel, such as ntviz")
    return name


def frozen() -> dict[str, str]:
    """Variables of this environment that `install` writes into kernels; relative folders of them as absolute ones."""
    found = {name: os.environ[name] for name in _PASSED_ON if os.environ.get(name)}
    folders = {name: os.path.abspath(os.path.expanduser(text)) for name, text in found.items() if name in _FOLDERS}
    return found | folders


def install(*, name: str = "ntviz", user: bool = False, prefix: str | Path | None = None) -> list[Path]:
    """Folders of the kernels `name` and `name`-gpu, registered for this interpreter: for this user, under `prefix`, or in this environment."""
    place = str(prefix) if prefix is not None else None if user else sys.prefix
    manager, made = KernelSpecManager(), []
    if name == HERE or _registered(manager, name) != _registered(manager, name, ours=True):
        raise ValueError(f"a kernel of another program must keep its name, but {name!r} came. Choose another --name")
    for suffix, (kind, device) in _DEVICES.items():
        label = f"{name} (Python {sys.version_info.major}.{sys.version_info.minor}, {kind})"
        spec = {"argv": command(), "display_name": label, "language": "python", "env": {_OURS: device, **frozen()}}
        spec["metadata"] = {"debugger": True}
        with tempfile.TemporaryDirectory() as source:
            os.chmod(source, 0o755)  # the folder is copied with its mode, and others may share the environment
            Path(source, "kernel.json").write_text(json.dumps(spec, indent=1) + "\n", encoding="utf-8")
            try:
                made.append(Path(manager.install_kernel_spec(source, name + suffix, user=user, prefix=place)))
            except OSError as error:
                raise _kept(error, "Use --user, --prefix with a folder of your own, or set JUPYTER_DATA_DIR") from error
    return made


def remove(name: str = "ntviz") -> list[Path]:
    """Folders of the kernels `name` and `name`-gpu, wherever Jupyter found them, which are gone now; ValueError where none is ours."""
    manager = KernelSpecManager()
    gone = [folder for suffix in _DEVICES for folder in _registered(manager, name + suffix, ours=True)]
    if not gone:
        listed = ", ".join(sorted({folder.name for folder in _registered(manager, ours=True)})) or "there is none"
        raise ValueError(f"a kernel must be one that ntviz registered, but {name!r} is not. Choose of these: {listed}")
    for folder in gone:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise _kept(error, "Ask whoever made the environment") from error
    return gone


def _registered(manager: KernelSpecManager, name: str = "", *, ours: bool = False) -> list[Path]:
    """Folders of the kernels of this name, or all, in each place where Jupyter looks; those that ntviz made, if so asked."""
    found = [path for place in manager.kernel_dirs for path in Path(place).glob("*/kernel.json")]
    named = [path for path in found if path.parent.name.lower() == (name or path.parent.name).lower()]
    return [path.parent for path in named if not ours or f'"{_OURS}"' in path.read_text(encoding="utf-8")]


def _kept(error: OSError, hint: str) -> OSError:
    what = f"the kernels' folder must be writable, but {error.filename} is not ({error.strerror}). {hint}"
    return type(error)(error.errno, what)
