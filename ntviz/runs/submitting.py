"""A sheet of samples becomes jobs of Snakemake, on this machine or on a cluster."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntviz.environment import atomic_write, runs_dir
from ntviz.runs import forecasting, heads, jobs, kernel, sheet
from ntviz.runs.commands import COMMANDS

SNAKEFILE = "Snakefile"
_DEFAULTS = "job.yaml"
# A forecast is no promise: what a job may use lies this far above it.
_ROOM = 1.5
_START_MINUTES = 10


class EngineError(RuntimeError):
    """What runs the jobs is not there, or cannot do what was asked."""


@dataclass(frozen=True)
class Submission:
    """Everything settled that can be settled before a job starts; made by `prepare`.

    Attributes
    ----------
    folder
        Where all of it goes.
    config
        What config.yaml will hold.
    profile
        Folder of the Snakemake profile.
    at_once
        Jobs at once.
    forecasts
        By sample.
    """

    folder: Path
    config: dict[str, Any]
    profile: Path
    at_once: int
    forecasts: Mapping[str, forecasting.Forecast]

    @property
    def every_job(self) -> list[jobs.Job]:
        """All jobs, sample after sample."""
        return list(jobs.of(self.folder, self.config))

    def forecast_of(self, job: jobs.Job) -> tuple[float | None, int | None]:
        """Seconds and bytes that one job will take: shards share the work, and what merges them only reads."""
        whole = self.forecasts[job.sample]
        count = self.config["samples"][job.sample]["shards"]
        if whole.seconds is None or count == 1:
            return whole.seconds, whole.memory_bytes
        return (whole.seconds / count if job.name.startswith("shard") else 0.0), whole.memory_bytes


@dataclass(frozen=True)
class Outcome:
    """How a submission ended.

    Attributes
    ----------
    code
        0 if all is done, 130 if it was interrupted, else 1.
    failed
        Jobs that did not end well.
    engine_log
        What Snakemake itself said.
    """

    code: int
    failed: list[jobs.Job]
    engine_log: Path | None


def workflow_dir() -> Path:
    """Folder of the Snakefile and its profiles: in the package of a wheel, else beside the package in a clone.

    Raises
    ------
    FileNotFoundError
        If it is in neither.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "workflow", package.parent / "workflow"):
        if (folder / SNAKEFILE).is_file():
            return folder
    raise FileNotFoundError(
        f"the workflow must lie in the package or beside it, but {package.parent / 'workflow'} has no {SNAKEFILE}. "
        "Install ntviz again"
    )


def prepare(
    path: str | Path,
    out: str | Path,
    *,
    profile: str = "local",
    at_once: int | None = None,
    given: Mapping[str, Any] | None = None,
) -> Submission:
    """A sheet as jobs, with everything checked that can be known before they start; nothing is written.

    Parameters
    ----------
    path
        The sheet; see `sheet.read`.
    out
        Folder of the submission.
    profile
        ``local``, ``slurm``, or a folder with config.yaml of Snakemake and, if wanted, job.yaml.
    at_once
        Jobs at once; None: as the profile says.
    given
        What each job asks for, over the profile's job.yaml: `cores`, `gpus`, `partition`, `account`, `memory_mb`,
        `minutes`, `kernel`; None stands for what the profile says. Jobs use as many threads as cores, and another
        number of threads may change the last digit of a score.

    Raises
    ------
    FileNotFoundError
        If there is no such sheet or profile.
    SheetError
        If a sample cannot be run.
    ValueError
        If a number, the kernel or the partition is not right.
    EngineError
        If Snakemake, or the cluster that the profile wants, is not there.
    """
    folder = _profile(profile)
    settings = _settings(folder, given or {}, at_once)
    executor = _yaml(folder / "config.yaml").get("executor", "local")
    _check_engine(executor)
    samples = sheet.read(path)
    base = Path(path).resolve().parent
    out = Path(out).resolve()
    at_once = settings.pop("jobs")
    if any(sample.notebook for sample in samples) and settings["kernel"]:
        kernel.check(settings["kernel"])
    if executor == "slurm":
        _check_partition(settings["partition"])
    forecasts = forecasting.of(samples, out, base, [out, runs_dir()])
    config = {
        "schema": jobs.SCHEMA,
        "sheet": str(Path(path).resolve()),
        "base": str(base),
        # Not resolved: the interpreter of an environment is a link, and the link is the environment.
        "python": os.path.abspath(sys.executable),
        "profile": profile,
        "job": settings,
        "samples": {
            sample.name: _sample(sample, out, settings, forecasts[sample.name]) for sample in samples
        },
    }
    _validate(config)
    return Submission(out, config, folder, at_once, forecasts)


def start(submission: Submission) -> Outcome:
    """How the jobs of a submission ended, after running those that are not done.

    Snakemake says on standard error how it goes. Whatever ends this process, what is finished stays, and the same
    submission goes on from there.

    Raises
    ------
    HeldError
        If another head works in the folder; the message says who.
    OSError
        If the folder cannot be written.
    """
    from ntviz.runs import collect

    folder = submission.folder
    with heads.hold(folder) as hold:
        import yaml

        with atomic_write(folder / jobs.CONFIG, "w") as handle:
            yaml.safe_dump(submission.config, handle, sort_keys=False, allow_unicode=True)
        jobs.sweep(folder, submission.config)
        command = [
            *(sys.executable, "-m", "snakemake"),
            *("--snakefile", str(workflow_dir() / SNAKEFILE), "--directory", str(folder)),
            *("--profile", str(submission.profile), "--workflow-profile", "none"),
        ]
        if _locked(folder):
            # We hold the folder, so whoever left Snakemake's own lock is dead.
            subprocess.run([*command, "--cores", "1", "--unlock", "--quiet", "all"], check=True)
        executor = _yaml(submission.profile / "config.yaml").get("executor", "local")
        if executor == "local":
            # Snakemake counts cores here, and each job takes its own number of them.
            command += ["--cores", str(submission.at_once * submission.config["job"]["cores"])]
        else:
            command += ["--jobs", str(submission.at_once)]
        code = _run(command, hold)
        failed = [job for job in submission.every_job if job.state in jobs.BAD]
        if code:
            # Snakemake collects only when all is done; what failed is to be seen, too.
            table = collect.runs(folder)
            collect.save(table, folder / "table.parquet")
            collect.save_index(table, folder / "index.html", title=folder.name)
    logs = sorted((folder / ".snakemake" / "log").glob("*.log"))
    return Outcome(code, failed, logs[-1] if logs else None)


def _run(command: Sequence[str], hold: heads.Hold) -> int:
    """0, 130 where a signal ended it, else 1."""
    # What it says is no result: it goes to standard error whole.
    process = subprocess.Popen(command, stdout=2, start_new_session=True, preexec_fn=_die_with_parent)
    hold.engine(process.pid)
    with _passing_on(process) as signals:
        code = process.wait()
    return 130 if signals else min(1, abs(code))


def _die_with_parent() -> None:
    # An engine without its head would go on unseen; its jobs do, and are taken over by the next head.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


@contextlib.contextmanager
def _passing_on(process: subprocess.Popen[bytes]) -> Generator[list[int]]:
    """Ctrl-C and SIGTERM go to the engine and what it started here, which end in order; the list says which came."""
    came: list[int] = []

    def pass_on(number: int, _: object) -> None:
        came.append(number)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _locked(folder: Path) -> bool:
    return any((folder / ".snakemake" / "locks").glob("*"))


def _profile(name: str) -> Path:
    own = workflow_dir() / "profiles" / name
    folder = own if Path(name).name == name and own.is_dir() else Path(name)
    if not (folder / "config.yaml").is_file():
        known = ", ".join(sorted(path.name for path in (workflow_dir() / "profiles").iterdir()))
        raise FileNotFoundError(
            f"a profile must be one of {known}, or a folder with config.yaml, but {name!r} came. Choose one"
        )
    return folder.resolve()


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path} must be YAML, but it cannot be read. Mend it") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold names and values, but it holds {type(content).__name__}. Mend it")
    return content


def _settings(profile: Path, given: Mapping[str, Any], at_once: int | None) -> dict[str, Any]:
    """Names and values of job.yaml, those of `given` before the profile's before those of our local one."""
    settings = _yaml(workflow_dir() / "profiles" / "local" / _DEFAULTS)
    own = _yaml(profile / _DEFAULTS) if (profile / _DEFAULTS).is_file() else {}
    asked = {name: value for name, value in given.items() if value is not None}
    unknown = sorted({*own, *asked} - set(settings))
    if unknown:
        raise ValueError(
            f"{profile / _DEFAULTS} may set {', '.join(settings)}, but {', '.join(unknown)} came. Take it out"
        )
    settings |= own | asked | ({"jobs": at_once} if at_once is not None else {})
    for name, least in (("cores", 0), ("gpus", 0), ("memory_mb", 100), ("minutes", 1), ("jobs", 1)):
        value = settings[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(
                f"{name} must be a whole number of at least {least}, but {value!r} came. Change it"
            )
    for name in ("partition", "account", "kernel"):
        if not isinstance(settings[name], str):
            raise ValueError(f"{name} must be text, but {settings[name]!r} came. Put it into quotes")
    settings["cores"] = settings["cores"] or max(1, (os.cpu_count() or 1) // settings["jobs"])
    return settings


def _sample(
    sample: sheet.Sample, out: Path, settings: Mapping[str, Any], forecast: forecasting.Forecast
) -> dict[str, Any]:
    words = list(sample.words)
    if sample.notebook:
        # Run again only when something changed, or its mark was lost: what is in the folder is to be replaced.
        words += ["--out", str(out / sample.name), "--overwrite"]
        words += ["--kernel", settings["kernel"]] if settings["kernel"] else []
    else:
        words += ["--out", str(out / sample.name / sample.result)]
        takes = COMMANDS[sample.run].all_options()
        # Pieces are kept after the merge, so that a lost one is redone alone.
        words += ["--cache", str(out / sample.name / "pieces")] if "cache" in takes else []
        words += ["--overwrite"] if "overwrite" in takes else []
    memory = math.ceil((forecast.memory_bytes or 0) * _ROOM / 1e6)
    minutes = math.ceil((forecast.seconds or 0) * _ROOM / sample.shards / 60) + _START_MINUTES
    return {
        "run": sample.run,
        "notebook": sample.notebook,
        "row": sample.row,
        "shards": sample.shards,
        "command": words,
        "inputs": list(sample.inputs),
        "given": dict(sample.given),
        "result": sample.result,
        "report": sample.report,
        "memory_mb": max(settings["memory_mb"], memory),
        "minutes": max(settings["minutes"], minutes),
    }


def _validate(config: dict[str, Any]) -> None:
    import jsonschema

    schema = _yaml(workflow_dir() / "config.schema.yaml")
    fault = next(iter(jsonschema.Draft202012Validator(schema).iter_errors(config)), None)
    if fault is not None:
        place = ".".join(map(str, fault.absolute_path)) or "the config"
        raise ValueError(
            f"{place} must fit config.schema.yaml, but {fault.message}. Change it in the profile or the call"
        )


def _check_engine(executor: str) -> None:
    needed = ["snakemake"] + [f"snakemake_executor_plugin_{executor}"] * (executor != "local")
    for module in needed:
        if importlib.util.find_spec(module.replace("-", "_")) is None:
            raise EngineError(
                f"jobs are run by {module.replace('_', '-')}, but it is not installed. Type: pip install 'ntviz[hpc]'"
            )


def _check_partition(name: str) -> None:
    """Refuses a partition that the cluster does not have, and none where it has no default."""
    if shutil.which("sinfo") is None:
        raise EngineError(
            "the profile 'slurm' needs Slurm's commands, but sinfo is not on the PATH. Submit from a login node, or "
            "with --profile local"
        )
    answer = subprocess.run(
        ["sinfo", "--noheader", "--format=%P"], capture_output=True, text=True, timeout=60, check=False
    )
    if answer.returncode:
        raise EngineError(
            f"Slurm must answer, but sinfo said {answer.stderr.strip()!r}. Ask whoever runs the cluster"
        )
    # The default has a star behind its name.
    shown = list(dict.fromkeys(answer.stdout.split()))
    names = [entry.rstrip("*") for entry in shown]
    for asked in filter(None, name.split(",")):
        if asked not in names:
            raise ValueError(
                f"the partition must be one of this cluster, but {asked!r} is not. It has {', '.join(names)}: "
                "choose with --partition"
            )
    if not name and not any(entry.endswith("*") for entry in shown):
        raise ValueError(
            f"this cluster has no default partition, but none was named. Choose of {', '.join(names)} with --partition"
        )
