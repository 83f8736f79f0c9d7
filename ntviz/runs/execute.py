"""Executing a notebook as a job: parameters in, manifest, executed notebook and report out."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import math
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz.environment import Progress, build, git_state, invocation, loaded, notebooks_dir
from ntviz.runs import loci, manifest, parameters, report
from ntviz.runs.handle import DIR_VARIABLE, PROFILE_VARIABLE, check_profile
from ntviz.runs.manifest import Manifest
from ntviz.storage import atomic_write, writing

if TYPE_CHECKING:
    from filelock import FileLock
    from nbformat import NotebookNode

EXECUTED = "executed.ipynb"
INJECTED = "injected-parameters"
STOPS = ("SIGTERM", "SIGHUP", "SIGUSR1")
"""Signals by which batch systems end a job, or warn it, and by which a terminal that is closed ends what it started."""


class Stopped(KeyboardInterrupt):
    """The job was asked to end by the signal that is the message."""


@dataclass(frozen=True)
class Job:
    """A notebook with everything settled that can be settled before it runs; made by `prepare`."""

    path: Path
    notebook: NotebookNode
    values: dict[str, Any]
    given: dict[str, Any]
    profile: str
    kernel: str
    folder: Path
    lock: FileLock | None = field(default=None, compare=False, repr=False)
    directory: str = "."  # where the kernel starts

    @property
    def name(self) -> str:
        """Name of the notebook file without its ending."""
        return self.path.stem


def load(path: str | Path) -> tuple[Path, NotebookNode]:
    """Path and content of a notebook, given as a path or as the name of one of ntviz's own."""
    import nbformat

    path, ours = Path(path), notebooks_dir()
    if path.parent == Path() and not path.exists():
        own = ours / f"{path.name.removesuffix('.ipynb')}.ipynb"
        path = own if own.exists() else path
    if not path.is_file():
        places = [folder for folder in (path.parent, ours) if folder.is_dir()]
        known = {file.stem: file for folder in places for file in folder.glob("*.ipynb")}
        near = difflib.get_close_matches(path.name.removesuffix(".ipynb"), known, n=3, cutoff=0.5)
        hint = f"Did you mean {', '.join(str(known[name]) for name in near)}?" if near else "Check the path"
        raise FileNotFoundError(f"a notebook must be a file, but {path} is not there. {hint}")
    try:
        notebook = nbformat.read(path, as_version=4)
        notebook = nbformat.v4.upgrade(notebook) or notebook
        nbformat.validate(notebook)
    except (ValueError, AttributeError, KeyError, TypeError, nbformat.ValidationError) as error:
        # nbformat has no common error: broken JSON, JSON that is no notebook, and unknown versions all differ.
        why = f"it cannot be read as one ({type(error).__name__}). Open it in JupyterLab and save it again"
        raise ValueError(f"{path} must be a Jupyter notebook, but {why}") from error
    return path, notebook


def prepare(
    path: str | Path, *, given: Mapping[str, Any] | None = None, profile: str | None = None, kernel: str | None = None,
    out: str | Path | None = None, overwrite: bool = False,
) -> Job:  # fmt: skip
    """The job that would run a notebook, with its folder made; everything that can be wrong before it runs is found.

    Parameters
    ----------
    given
        Parameters by name; text is coerced to the notebook's annotations.
    profile
        ``ci``, ``workshop`` or ``full``; default: the notebook's `profile` parameter, or ``workshop``.
    kernel
        Name of a registered kernel; default: the interpreter that runs this.
    out
        The run's folder; default: a new one in ``runs/NAME/``. A folder of a run that did not end well is used
        again with what is in it, so that a notebook can go on from its own checkpoints.
    overwrite
        Run again into `out` although the run there ended well. Where another run works there, FileExistsError comes in any case.
    """
    from ntviz.runs import kernel as kernels

    path, notebook = load(path)
    declared = parameters.read(notebook)
    values = parameters.assign(declared, given or {})
    if "profile" in declared:
        if profile and values.setdefault("profile", check_profile(profile)) != profile:
            both = f"--profile {profile} and profile={values['profile']}"
            raise ValueError(f"the profile must be given once, but {both} came. Leave one of them out")
        profile = values.get("profile", declared["profile"].default)
    profile = check_profile(profile or "workshop")
    defaults = {name: entry.default for name, entry in declared.items()}
    loci.check(defaults | values)
    # In a kernel that has run a notebook before, nothing is asked of its Python again.
    started = bool(kernel) and "ntviz.runs.engine" in sys.modules and sys.modules["ntviz.runs.engine"].started(kernel)
    kernel = (kernel if started else kernels.ready(kernel)) if kernel else kernels.HERE
    folder = manifest.new_folder(path.stem) if out is None else Path(out)
    with writing(folder / manifest.FILE):
        folder.mkdir(parents=True, exist_ok=True)
    lock = _locked(folder)
    # A manifest that cannot be read, or none, belongs to no run that ended well.
    with contextlib.suppress(ValueError, FileNotFoundError):
        if manifest.read(folder).status == "ok" and not overwrite:
            _unlock(lock)
            hint = "Choose another --out, or add --overwrite"
            raise FileExistsError(f"the folder of a new run must not hold one that ended well, but {out} does. {hint}")
    return Job(path, notebook, defaults | values, values, profile, kernel, folder, lock)


def _locked(folder: Path) -> FileLock | None:
    """A lock on a run's folder, which the system frees when this process ends in whatever way; None where a disk has no locks."""
    from filelock import FileLock, Timeout

    try:
        (lock := FileLock(folder.absolute() / ".lock", thread_local=False)).acquire(timeout=0)
    except Timeout:
        who = "another run"
        with contextlib.suppress(ValueError, FileNotFoundError):
            if (running := manifest.read(folder)).status == "running":
                who = f"another run, process {running.pid} on {running.host},"
        hint = "Wait for its end, or choose another --out"
        raise FileExistsError(f"the folder of a run must be its own, but {who} works here: {folder}. {hint}") from None
    except (OSError, NotImplementedError):
        return None
    return lock


def _unlock(lock: FileLock | None) -> None:
    if lock is not None:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def notebook(job: Job, *, log: Callable[[str], None] | None = None) -> Manifest:
    """The manifest of `job`, after running it; the folder then holds manifest, executed notebook and report.

    A failing cell, a dead kernel, Ctrl-C and the signals `STOPS` end the run, not this function: they are the manifest's
    `status` and `error`. A folder that cannot be written raises OSError; the manifest records it where it can. A report that cannot
    be written is the manifest's `report_error`. `log` takes each line of progress that the notebook shows while it runs.
    """
    try:
        with contextlib.chdir(job.directory):
            return _notebook(job, log)
    finally:
        _unlock(job.lock)


def _notebook(job: Job, log: Callable[[str], None] | None) -> Manifest:
    # As they are typed: JSON has no infinity.
    odd = {name: str(value) for name, value in job.values.items() if value in (math.inf, -math.inf) or value != value}
    facts = Manifest(
        "running", job.name, str(job.path.absolute()), hashlib.sha256(job.path.read_bytes()).hexdigest(),
        title=report.title_of(job.notebook) or job.name, profile=job.profile, kernel=job.kernel,
        parameters=manifest.plain(job.values | odd), given=sorted(job.given), started=manifest.now(),
        launcher={"python": sys.executable, "ntviz": build()}, git=git_state(job.path.resolve().parent), **invocation(),
    )  # fmt: skip
    for stale in (manifest.RECORDS, EXECUTED, report.FILE):
        (job.folder / stale).unlink(missing_ok=True)
    facts.write(job.folder)
    started = time.monotonic()
    finished = _parameterized(job)
    try:
        with _on_signals(_stop):
            _run(job, finished, facts, log)
    finally:
        with _on_signals(signal.SIG_IGN):
            facts.seconds = round(time.monotonic() - started, 2)
            facts.ended = manifest.now()
            facts.merge(manifest.records(job.folder))
            if facts.status == "running":
                # Something outside of the notebook's cells ended it, such as a full disk: said before it is raised.
                _fail(facts, sys.exc_info()[1])
            facts.launcher["versions"] = loaded(metadata.packages_distributions())
            facts.notes += _other_ntviz(facts)
            _write(job, facts, finished)
    return facts


def _other_ntviz(facts: Manifest) -> list[str]:
    """What is to be said where the kernel's ntviz is not the one of the command."""
    ran, here = facts.ntviz, facts.launcher["ntviz"]
    same = all(ran.get(part) == here[part] for part in ("version", "commit", "modified"))
    if same or (not ran and facts.status != "ok"):
        return []
    other, own = (f"{about.get('version') or 'older than this'} (commit {about.get('commit') or 'not known'}"
                  f"{', changed' * bool(about.get('modified'))})" for about in (ran, here))  # fmt: skip
    ran_with = f"The notebook ran with ntviz {other} of its kernel"
    return [f"{ran_with}; this command is of ntviz {own}. Install one of them anew"]


def _write(job: Job, facts: Manifest, finished: NotebookNode) -> None:
    def settle() -> None:
        facts.write(job.folder)
        (job.folder / manifest.RECORDS).unlink(missing_ok=True)

    try:
        _save(finished, job.folder)
    except OSError as error:
        _fail(facts, error)
        # On a full disk there may be no room for this either; then the manifest still has "running" and
        # the process, which `ntviz collect` finds gone.
        with contextlib.suppress(OSError):
            settle()
        raise
    settle()
    try:
        with atomic_write(job.folder / report.FILE, "w") as handle:
            handle.write(report.render(finished, facts))
    except Exception as error:  # noqa: BLE001 - whatever nbconvert chokes on, what the notebook found is there all the same
        facts.report_error = f"{type(error).__name__}: {error}"
        with contextlib.suppress(OSError):
            facts.write(job.folder)


def _save(finished: NotebookNode, folder: Path) -> None:
    import nbformat

    with atomic_write(folder / EXECUTED, "w") as handle:
        handle.write(nbformat.writes(finished))


def _parameterized(job: Job) -> NotebookNode:
    """A copy of the notebook with our values in a cell after the parameters cell, and no trace of earlier runs."""
    import nbformat

    copy = deepcopy(job.notebook)
    copy.cells = [cell for cell in copy.cells if not _injected(cell)]
    copy.metadata.pop("widgets", None)
    copy.metadata["kernelspec"] = {"name": job.kernel, "display_name": job.kernel, "language": "python"}
    copy.metadata["papermill"] = {"parameters": manifest.plain(job.values)}
    if job.given:
        # papermill's own way writes tuples as text.
        cell = nbformat.v4.new_code_cell(parameters.source_of(job.given), metadata={"tags": [INJECTED]})
        copy.cells.insert(copy.cells.index(parameters.cell_of(copy)) + 1, cell)
    for cell in copy.cells:
        cell.metadata.setdefault("tags", [])
    return copy


def _injected(cell: NotebookNode) -> bool:
    return INJECTED in cell.metadata.get("tags", [])


@contextlib.contextmanager
def _on_signals(act: Any) -> Generator[None]:
    """`act` on the signals of `STOPS`, but those that are ignored, as after nohup; only in the main thread can they be had."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = (getattr(signal, name, None) for name in STOPS)
        before = {number: signal.getsignal(number) for number in numbers if number}
        before = {number: old for number, old in before.items() if old != signal.SIG_IGN}
    for number in before:
        signal.signal(number, act)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _stop(number: int, _: object) -> None:
    # A second one must not disturb how the kernel is ended.
    signal.signal(number, signal.SIG_IGN)
    raise Stopped(signal.Signals(number).name)


def _run(job: Job, finished: NotebookNode, facts: Manifest, log: Callable[[str], None] | None) -> None:
    """Execute `finished` in place; status, error and peak memory go into `facts`."""
    environment = {**os.environ, DIR_VARIABLE: str(job.folder.resolve()), PROFILE_VARIABLE: job.profile}
    # A notebook that is started from within a notebook is a job all the same.
    environment.pop("JPY_SESSION_NAME", None)
    watch = None
    try:
        # Takes a second or more, in which Ctrl-C may come as well.
        from nbconvert.filters import strip_ansi

        from ntviz.runs import engine

        # A log has the notebook's own loops; of the cells one line at the end is enough.
        with Progress(total=len(finished.cells), what=job.name, unit="cells", batch_share=1.0) as bar:
            watch = engine.Watch(lambda: _save(finished, job.folder), bar.update, log, environment)
            engine.execute(finished, job.kernel, watch)
        facts.status = "ok"
    except KeyboardInterrupt as stop:
        _fail(facts, stop)
    except engine.CellError as failure:
        facts.status = "ok"
        if failure.name != "SystemExit" or failure.message not in ("", "0", "None", "False"):
            facts.status = "failed"
            facts.error = {"cell": None, "name": failure.name, "message": strip_ansi(failure.message)}
    except engine.KernelError as death:
        _fail(facts, death)
    if watch is not None:
        facts.peak_memory_bytes = watch.peak_memory or None
        if facts.error is not None:
            facts.error |= _place(finished, watch.cell)


def _fail(facts: Manifest, failure: BaseException | None) -> None:
    """Put `failure` into `facts`; one that is there already stays."""
    facts.status, message = "failed", str(failure)
    if isinstance(failure, KeyboardInterrupt):
        facts.status, message = "interrupted", f"stopped by {failure if isinstance(failure, Stopped) else 'Ctrl-C'}"
    facts.error = facts.error or {"cell": None, "name": type(failure).__name__, "message": message}


def _place(finished: NotebookNode, index: int) -> dict[str, Any]:
    """Where the manifest's error is; cells are counted from 1, as in a person's own copy of the notebook."""
    from nbconvert.filters import strip_ansi

    cell = finished.cells[index]
    errors = [output for output in cell.get("outputs", []) if output.output_type == "error"]
    traceback = strip_ansi("\n".join(line for output in errors for line in output.traceback))
    line = re.search(r"^Cell In\[.*?^-+> ?\d+ ([^\n]*)", traceback, re.MULTILINE | re.DOTALL)
    return {
        "cell": sum(not _injected(other) for other in finished.cells[:index]) + 1,
        "cell_id": cell.get("id", ""),
        "line": line[1].strip() if line else "",
        "source": cell.source,
    }
