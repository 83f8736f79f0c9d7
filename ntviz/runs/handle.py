"""What a notebook holds of its own run: where to write, how much to compute, what to record."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ntviz import environment
from ntviz.runs import manifest
from ntviz.storage import append_line, atomic_write, content

if TYPE_CHECKING:
    import pandas as pd

Value = TypeVar("Value")

PROFILES = ("ci", "workshop", "full")
DIR_VARIABLE = "NTVIZ_RUN_DIR"
PROFILE_VARIABLE = "NTVIZ_PROFILE"
_CSV_ROWS = 100_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

_current: Run | None = None


def check_profile(profile: str) -> str:
    """`profile`, if it is one; ValueError if not."""
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, but {profile!r} came. Choose one")
    return profile


class Run:
    """The run that this kernel belongs to, made by `current`; `job` is True under ``ntviz run``."""

    def __init__(self, profile: str, folder: Path | None = None, name: str = "live") -> None:
        self.profile = check_profile(profile)
        self.job = folder is not None
        self._name, self._folder = name, folder
        self._live: manifest.Manifest | None = None
        self._begun, self._memory = time.time(), dict[str, Any]()
        self._modules: set[str] = set()
        self._homes: Mapping[str, Sequence[str]] = {}
        self._versions: dict[str, str] = {}
        self._states: dict[Path, tuple[int, ...]] = {}

    def __repr__(self) -> str:
        kind, folder = "job" if self.job else "live", str(self._folder or "none yet")
        return f"Run(profile={self.profile!r}, {kind}, dir={folder!r})"

    @property
    def dir(self) -> Path:
        """The run's folder; for a live notebook it is made at the first use."""
        if self._folder is None:
            self._folder = manifest.new_folder(self._name, "live-")
        return self._folder

    def sized(self, *, ci: Value, workshop: Value, full: Value) -> Value:
        """The value for this run's profile; profiles change sizes, never the code path.

        Examples
        --------
        >>> Run("ci").sized(ci=64, workshop=1_000, full=12_000)
        64
        """
        return {"ci": ci, "workshop": workshop, "full": full}[self.profile]

    def record(self, **metrics: Any) -> None:
        """Put metrics into the manifest: numbers, texts, lists or dicts by name; TypeError for anything else."""
        self._record("metrics", manifest.plain(metrics))

    def answer(self, text: str, chips: Mapping[str, str] | None = None) -> str:
        """`text`, which becomes the first line of the report: the notebook's answer, with number, control and unit.

        `chips` are the few numbers that matter, by name: each text with its unit and control. The last answer counts.
        """
        if not text.strip():
            raise ValueError("an answer must be a sentence, but no text came. Write the result, or that there is none")
        self._record("facts", manifest.plain({"answer": text, "chips": chips or {}}))
        return text

    def record_model(self, model: Any) -> None:
        """Put a model's `info` (name, revision, weight hash and what else it says) into the manifest."""
        info = getattr(model, "info", None)
        if not isinstance(info, dict):
            hint = "Load it with models.load, or record its facts with run.record(...)"
            has = f"{type(model).__name__} has {info!r}"
            raise TypeError(f"a model must have an `info` dict to be recorded, but {has}. {hint}")
        self._record("models", manifest.plain(info))

    def record_data(self, path: str | Path) -> None:
        """Put path, size in bytes and SHA-256 of a file or folder into the manifest; what ntviz opens is there by itself."""
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"a file must exist to be recorded, but {path} does not. Check the path")
        about = content(path)
        with contextlib.suppress(ValueError):
            bundled = path.resolve().relative_to(environment.data_dir().resolve())
            about["path"] = (Path("data") / bundled).as_posix()
        self._record("data", about)

    def _opened(self, path: Path) -> None:
        """A file that is about to be read: recorded once for each of its states, unless this run wrote it."""
        path = path.absolute()
        try:
            found = path.stat()
        except OSError:
            return  # Who reads it says what is wrong with it.
        state = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        before, self._states[path] = self._states.get(path), state
        # A live notebook may have no folder yet, and none is made for this.
        if before == state or (not self.job and self._live is None):
            return
        within = self._folder is not None and path.resolve().is_relative_to(self._folder.resolve())
        if within and found.st_mtime >= self._begun:
            return
        if not stat.S_ISREG(found.st_mode):
            self._record("data", {"path": str(path), "bytes": None, "sha256": None})  # a pipe can be read once
        elif os.access(path, os.R_OK):
            self.record_data(path)

    def save_table(self, table: pd.DataFrame, name: str) -> Path:
        """Path of `table` as ``tables/NAME.parquet``; up to 100,000 rows it is written as CSV beside it, too."""
        path = self._path("tables", name, ".parquet")
        index = table.index.name is not None or table.index.nlevels > 1
        with atomic_write(path) as handle:
            table.to_parquet(handle, index=index)
        if len(table) <= _CSV_ROWS:
            with atomic_write(path.with_suffix(".csv"), "w") as handle:
                table.to_csv(handle, index=index)
        self._record("tables", f"tables/{path.name}")
        return path

    def save_figure(self, figure: Any, name: str) -> Path:
        """Path of `figure` as ``figures/NAME.html``, or ``.png`` for a figure or axes of matplotlib.

        A plotly figure is also written as ``.json``, and as ``.svg`` where kaleido and a Chromium are there; one of
        matplotlib also as ``.svg``, and the labels of its axes are the description in both files.
        """
        if hasattr(figure, "to_plotly_json"):
            from ntviz import plot

            path = self._path("figures", name, ".html")
            for ending in (".html", ".json"):
                plot.save(figure, path.with_suffix(ending))
            # Nodes of a cluster rarely have a browser; the page holds all that the picture would.
            with contextlib.suppress(plot.NoPicture):
                plot.save(figure, path.with_suffix(".svg"))
        elif hasattr(drawing := getattr(figure, "figure", figure), "savefig"):
            path = self._path("figures", name, ".png")
            words = " ".join(filter(None, (str(axes.get_label()) for axes in drawing.axes)))
            options = {"dpi": 150, "bbox_inches": "tight", "metadata": {"Description": words}}
            for kind in ("png", "svg"):
                with atomic_write(path.with_suffix(f".{kind}")) as handle:
                    drawing.savefig(handle, format=kind, **options)
        else:
            came = f"{type(figure).__name__} came. Write other files into run.dir yourself"
            raise TypeError(f"a figure must come from ntviz.plot, plotly or matplotlib, but {came}")
        self._record("figures", f"figures/{path.name}")
        return path

    def _path(self, kind: str, name: str, ending: str) -> Path:
        if not _NAME.fullmatch(name):
            hint = f"Leave out folders, spaces and the ending; the file goes to {kind}/"
            raise ValueError(f"a name must consist of letters, digits, '.', '_' and '-', but {name!r} came. {hint}")
        return self.dir / kind / f"{name}{ending}"

    def _record(self, kind: str, value: Any) -> None:
        folder = self.dir
        line = json.dumps({"kind": kind, "value": value}, ensure_ascii=False, allow_nan=False)
        append_line(folder / manifest.RECORDS, line)
        if self.job:
            return  # The runner reads the records when the kernel is done, or dead.
        if self._live is None:
            self._live = manifest.Manifest(
                "live", self._name, profile=self.profile, started=manifest.now(), **environment.invocation()
            )
            self._begin()
            files, self._states = list(self._states), {}
            for path in files:
                self._opened(path)
        self._live.merge([{"kind": kind, "value": value}])
        self._live.write(folder)

    def _begin(self) -> None:
        """Where this kernel runs, and with what."""
        about = {"machine": environment.machine(), "ntviz": environment.build(), "environment": environment.variables()}
        self._record("facts", manifest.plain(about))
        self._after_cell()

    def _after_cell(self) -> None:
        """After each cell: the packages that it brought, the device that torch used so far, and the most memory it held there."""
        modules = {name.partition(".")[0] for name in list(sys.modules) if name[0] != "_"} - sys.stdlib_module_names
        if new := modules - self._modules:
            self._modules = modules
            if not new <= self._homes.keys():
                self._homes = metadata.packages_distributions()
            if (found := environment.loaded(self._homes)) != self._versions:
                self._versions = found
                self._record("facts", {"versions": found})
        self._record_memory()

    def _record_memory(self) -> None:
        torch, device, peak = sys.modules.get("torch"), "cpu", None
        if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
            device = f"cuda ({torch.cuda.get_device_name()})"
            peak = sum(map(torch.cuda.max_memory_allocated, range(torch.cuda.device_count())))
        elif torch is not None and torch.backends.mps.is_available() and torch.mps.current_allocated_memory():
            device, peak = "mps", torch.mps.driver_allocated_memory()
        threads = torch.get_num_threads() if torch is not None else None
        if (memory := {"device": device, "gpu_peak_memory_bytes": peak, "threads": threads}) != self._memory:
            self._memory = memory
            self._record("facts", memory)


def _hear(text: str) -> None:
    """Shows a note on an input in the cell that is running, and records it."""
    sys.stdout.write(f"{text}\n")
    if _current is not None:
        _current._record("notes", text)


def _read(path: Path) -> None:
    if _current is not None:
        _current._opened(path)


def _cell_ended(*_: object) -> None:
    if _current is not None and (_current.job or _current._live is not None):
        _current._after_cell()


def current(*, profile: str | None = None) -> Run:
    """The run that this kernel belongs to: the job of ``ntviz run``, or a live one with a folder made when needed.

    `profile` is the notebook's own parameter; without it ``NTVIZ_PROFILE`` is taken, else ``workshop``.
    """
    global _current
    profile = check_profile(profile or os.environ.get(PROFILE_VARIABLE) or "workshop")
    folder = Path(named) if (named := os.environ.get(DIR_VARIABLE)) else None
    if _current and _current.profile == profile and (folder is None or _current._folder == folder):
        return _current
    # JupyterLab gives the path of the notebook that a kernel was started for.
    stem = Path(os.environ.get("JPY_SESSION_NAME", "")).name.removesuffix(".ipynb")
    _current = Run(profile, folder, stem if _NAME.fullmatch(stem) else "live")
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if _read not in environment.openings:
        environment.openings.append(_read)
    if shell is not None and _hear not in environment.listeners:
        environment.listeners.append(_hear)
        shell.events.register("post_run_cell", _cell_ended)
    if _current.job and shell is not None:
        _current._begin()
    return _current
