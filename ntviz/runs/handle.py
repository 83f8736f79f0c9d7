"""What a notebook holds of its own run: where to write, how much to compute, what to record."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ntviz.environment import data_dir, listeners, versions
from ntviz.runs import manifest
from ntviz.storage import append_line, atomic_write, sha256

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
        raise ValueError(
            f"profile must be one of {', '.join(PROFILES)}, but {profile!r} came. Choose one of these"
        )
    return profile


class Run:
    """The run that this kernel belongs to; made by `current`.

    Attributes
    ----------
    profile
        ``ci``, ``workshop`` or ``full``.
    job
        True under ``ntviz run``, False where a person runs the cells.
    """

    def __init__(self, profile: str, folder: Path | None = None, name: str = "live") -> None:
        self.profile = check_profile(profile)
        self.job = folder is not None
        self._name = name
        self._folder = folder
        self._live: manifest.Manifest | None = None

    def __repr__(self) -> str:
        return f"Run(profile={self.profile!r}, {'job' if self.job else 'live'}, dir={str(self._folder or 'none yet')!r})"

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

        Parameters
        ----------
        text
            A sentence or two. The last answer of a run counts.
        chips
            The few numbers that matter, by name in words: each text with its unit and control. What `record` keeps is
            then folded.
        """
        if not text.strip():
            raise ValueError(
                "an answer must be a sentence, but no text came. Say what was found, or that nothing was"
            )
        self._record("answer", manifest.plain({"text": text, "chips": chips or {}}))
        return text

    def record_model(self, model: Any) -> None:
        """Put a model's `info` (name, revision, weight hash and what else it says) into the manifest."""
        info = getattr(model, "info", None)
        if not isinstance(info, dict):
            raise TypeError(
                f"a model must have an `info` dict to be recorded, but {type(model).__name__} has {info!r}. "
                "Load it with models.load, or record its facts with run.record(...)"
            )
        self._record("models", manifest.plain(info))

    def record_data(self, path: str | Path) -> None:
        """Put a file's name, size in bytes and SHA-256 into the manifest."""
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"a file must exist to be recorded, but {path} does not. Check the path; record a folder's files one by one"
            )
        shown = path.resolve()
        with contextlib.suppress(ValueError):
            shown = Path("data") / shown.relative_to(data_dir().resolve())
        self._record("data", {"path": shown.as_posix(), "bytes": path.stat().st_size, "sha256": sha256(path)})

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
        """Path of `figure` as ``figures/NAME.html`` (opens offline, zooms), or ``.png`` for one of matplotlib.

        A plotly figure is also written as ``.json``, and as ``.svg`` where kaleido and a Chromium are there; a figure or axes
        of matplotlib, such as `plot.logo` gives, also as ``.svg``; the labels of its axes are the description in both files.
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
            described = {
                "Description": " ".join(filter(None, (str(axes.get_label()) for axes in drawing.axes)))
            }
            for kind in ("png", "svg"):
                with atomic_write(path.with_suffix(f".{kind}")) as handle:
                    drawing.savefig(handle, format=kind, dpi=150, bbox_inches="tight", metadata=described)
        else:
            raise TypeError(
                f"a figure must come from ntviz.plot, plotly or matplotlib, but {type(figure).__name__} came. "
                "Write other files into run.dir yourself"
            )
        self._record("figures", f"figures/{path.name}")
        return path

    def _path(self, kind: str, name: str, ending: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"a name must consist of letters, digits, '.', '_' and '-', but {name!r} came. "
                f"Leave out folders, spaces and the ending; the file goes to {kind}/"
            )
        return self.dir / kind / f"{name}{ending}"

    def _record(self, kind: str, value: Any) -> None:
        folder = self.dir
        line = json.dumps({"kind": kind, "value": value}, ensure_ascii=False, allow_nan=False)
        append_line(folder / manifest.RECORDS, line)
        if self.job:
            return  # The runner reads the records when the kernel is done, or dead.
        if self._live is None:
            self._live = manifest.Manifest(
                "live", self._name, profile=self.profile, started=manifest.now(), versions=versions()
            )
        self._live.merge([{"kind": kind, "value": value}])
        self._live.write(folder)


class _MemoryWatch:
    """After each cell of a job: which device torch used so far, and the most memory it held there."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._last: dict[str, Any] | None = None

    def __call__(self, *_: object) -> None:
        torch, device, peak = sys.modules.get("torch"), "cpu", None
        if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
            device = f"cuda ({torch.cuda.get_device_name()})"
            peak = sum(map(torch.cuda.max_memory_allocated, range(torch.cuda.device_count())))
        elif torch is not None and torch.backends.mps.is_available() and torch.mps.current_allocated_memory():
            device, peak = "mps", torch.mps.driver_allocated_memory()
        if (seen := {"device": device, "gpu_peak_bytes": peak}) != self._last:
            self._last = seen
            self._run._record("memory", seen)


def _hear(text: str) -> None:
    """Shows what is told of an input in the cell that is running, and records it."""
    sys.stdout.write(f"{text}\n")
    if _current is not None:
        _current._record("notes", text)


def current(*, profile: str | None = None) -> Run:
    """The run that this kernel belongs to: the job of ``ntviz run``, or a live one with a folder made when needed.

    Parameters
    ----------
    profile
        The notebook's own `profile` parameter. Under ``ntviz run`` and without the parameter it is
        ``NTVIZ_PROFILE``, else ``workshop``.

    Examples
    --------
    >>> current(profile="ci").profile
    'ci'
    """
    global _current
    profile = check_profile(profile or os.environ.get(PROFILE_VARIABLE) or "workshop")
    named = os.environ.get(DIR_VARIABLE)
    folder = Path(named) if named else None
    if _current and _current.profile == profile and (folder is None or _current._folder == folder):
        return _current
    # JupyterLab gives the path of the notebook that a kernel was started for.
    stem = Path(os.environ.get("JPY_SESSION_NAME", "")).name.removesuffix(".ipynb")
    _current = Run(profile, folder, stem if _NAME.fullmatch(stem) else "live")
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and _hear not in listeners:
        listeners.append(_hear)
    if _current.job and shell is not None:
        shell.events.register("post_run_cell", _MemoryWatch(_current))
    return _current
