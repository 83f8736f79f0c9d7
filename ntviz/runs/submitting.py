"""A sheet of samples becomes jobs of Snakemake, on this machine or on a cluster."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ntviz.runs import collect, jobs, kernel, manifest, sheet
from ntviz.runs.commands import COMMANDS
from ntviz.storage import atomic_write

SNAKEFILE = "Snakefile"
_DEFAULTS = "job.yaml"


class EngineError(RuntimeError):
    """What runs the jobs is not there, or cannot do what was asked."""


@dataclass(frozen=True)
class Submission:
    """Everything settled that can be settled before a job starts: the folder, its config.yaml, the Snakemake profile."""

    folder: Path
    config: dict[str, Any]
    profile: Path

    @property
    def every_job(self) -> list[jobs.Job]:
        """All jobs, sample after sample."""
        return list(jobs.of(self.folder, self.config))


def workflow_dir() -> Path:
    """Folder of the Snakefile and its profiles: in the package of a wheel, else beside the package in a clone."""
    inside, beside = (folder / "workflow" for folder in Path(__file__).resolve().parents[1:3])
    for folder in (inside, beside):
        if (folder / SNAKEFILE).is_file():
            return folder
    where = "in the package or beside it"
    raise FileNotFoundError(f"the workflow must lie {where}, but {beside} has no {SNAKEFILE}. Install ntviz again")


def prepare(
    path: str | Path, out: str | Path, *, profile: str = "local", given: Mapping[str, Any] | None = None
) -> Submission:
    """A sheet as jobs, with everything checked that can be known before they start; nothing is written.

    Parameters
    ----------
    profile
        ``local``, ``slurm``, or a folder with config.yaml of Snakemake and, if wanted, job.yaml.
    given
        What each job asks for, over the profile's job.yaml; None stands for what the profile has. Jobs use as many
        threads as cores, and another number of threads may change the last digit of a score.

    Raises
    ------
    SheetError, ValueError
        If a sample cannot be run; if a number, the kernel or the partition is not right.
    EngineError
        If Snakemake, or the cluster that the profile wants, is not there.
    """
    folder = _profile(profile)
    settings = _settings(folder, given or {})
    executor = _executor(folder)
    for module in ["snakemake"] + [f"snakemake_executor_plugin_{executor}"] * (executor != "local"):
        if importlib.util.find_spec(module.replace("-", "_")) is None:
            name = module.replace("_", "-")
            raise EngineError(f"jobs are run by {name}, but it is not installed. Type: pip install 'ntviz[hpc]'")
    samples = sheet.read(path)
    path, out = Path(path).resolve(), Path(out).resolve()
    if any(sample.notebook for sample in samples) and settings["kernel"]:
        kernel.check(settings["kernel"])
    if executor == "slurm":
        _check_partition(settings["partition"])
    made = {sample.name: _sample(sample, out, settings) for sample in samples}
    config = {
        "schema": jobs.SCHEMA,
        "sheet": str(path),
        "base": str(path.parent),
        "job": settings,
        "samples": made,
    }
    return Submission(out, config, folder)


def start(submission: Submission, *, unlock: bool = False) -> int:
    """Run the jobs of a submission that are not done: 0 if all are done then, 130 after Ctrl-C, else 1.

    Whatever ends this process, what is finished stays, and the same submission goes on from there. Ctrl-C ends the
    jobs, SIGTERM waits for those that run. `unlock` takes away the lock of a submission that was killed, and ends the
    jobs that it left in Slurm. EngineError if the lock is there, or a notebook of a killed submission still runs.
    """
    import yaml

    folder, asked = submission.folder, submission.config["job"]
    executor = _executor(submission.profile)
    command = ["--snakefile", str(workflow_dir() / SNAKEFILE), "--directory", str(folder)]
    # A mark is there whole or not at all, whatever became of the head that asked for it.
    command += ["--profile", str(submission.profile), "--workflow-profile", "none", "--ignore-incomplete"]
    if jobs.locked(folder):
        if not unlock:
            why = "locked by Snakemake: another one works there, or was killed"
            hint = "Wait for it or, if it is gone, add --unlock"
            raise EngineError(f"a folder must have one submission at a time, but {folder} is {why}. {hint}")
        _unlock(folder, command, executor)
    with atomic_write(folder / jobs.CONFIG, "w") as handle:
        yaml.safe_dump(submission.config, handle, sort_keys=False, allow_unicode=True)
    jobs.sweep(folder, submission.config)
    # Snakemake counts cores of this machine, of which each job takes its own number, but jobs of a cluster.
    local = executor == "local"
    command += ["--cores", str(asked["jobs"] * asked["cores"])] if local else ["--jobs", str(asked["jobs"])]
    code = _snakemake(command)
    # What failed is to be seen, too.
    table = collect.runs(folder)
    collect.save(table, folder / "table.parquet")
    collect.save_index(table, folder / "index.html", title=folder.name)
    return code


def _snakemake(arguments: Sequence[str]) -> int:
    """0, 130 after Ctrl-C, else 1. In this process, so that Snakemake has the signals and ends with it."""
    from snakemake.cli import main

    interrupted = []

    def stop(*_: object) -> None:
        interrupted.append(True)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, stop)
    code: object = 1
    try:
        with contextlib.suppress(KeyboardInterrupt):
            main(list(arguments))
    except SystemExit as end:
        code = end.code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 130 if interrupted else int(bool(code))


def _unlock(folder: Path, command: Sequence[str], executor: str) -> None:
    """Snakemake's own --unlock, once nothing runs any more that would write into one folder with its successor."""
    if executor == "slurm":
        logs = (folder / ".snakemake" / "log").glob("*.log")
        ours = {number for log in logs for number in re.findall(r"SLURM jobid (\d+)", log.read_text())}
        queue = ["squeue", "--noheader", "--format=%A", f"--user={os.getuid()}"]
        while left := ours & set(subprocess.check_output(queue, text=True).split()):
            subprocess.run(["scancel", *left], check=True)
            time.sleep(1)
    for file in folder.glob(f"*/{manifest.FILE}"):
        with contextlib.suppress(ValueError):
            facts = manifest.read(file.parent)
            if facts.status == "running" and facts.alive:
                still = f"{file.parent.name} still runs in process {facts.pid}"
                raise EngineError(f"a notebook must run once at a time, but {still}. Wait for it, or stop it")
    subprocess.run([sys.executable, "-m", "snakemake", *command, "--unlock", "--quiet", "all"], check=True)


def _executor(profile: Path) -> str:
    return _yaml(profile / "config.yaml").get("executor", "local")


def _profile(name: str) -> Path:
    own = workflow_dir() / "profiles" / name
    folder = own if Path(name).name == name and own.is_dir() else Path(name)
    if not (folder / "config.yaml").is_file():
        known = ", ".join(sorted(path.name for path in (workflow_dir() / "profiles").iterdir()))
        raise FileNotFoundError(f"a profile must be one of {known}, or a folder with config.yaml, but {name!r} came")
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


def _settings(profile: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Names and values of job.yaml, those of `given` before the profile's before those of our local one."""
    import jsonschema

    settings = _yaml(workflow_dir() / "profiles" / "local" / _DEFAULTS)
    if (profile / _DEFAULTS).is_file():
        settings |= _yaml(profile / _DEFAULTS)
    settings |= {name: value for name, value in given.items() if value is not None}
    schema = _yaml(workflow_dir() / "config.schema.yaml")["properties"]["job"]
    fault = next(iter(jsonschema.Draft202012Validator(schema).iter_errors(settings)), None)
    if fault is not None:
        place = ".".join(map(str, fault.absolute_path)) or _DEFAULTS
        hint = "Change it in the profile or the call"
        raise ValueError(f"{place} must fit config.schema.yaml, but {fault.message}. {hint}")
    settings["cores"] = settings["cores"] or max(1, (os.cpu_count() or 1) // settings["jobs"])
    return settings


def _sample(sample: sheet.Sample, out: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
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
    asked = {name: getattr(sample, name) or settings[name] for name in ("memory_mb", "minutes")}
    return asdict(replace(sample, words=tuple(words), **asked))


def _check_partition(name: str) -> None:
    """Refuses a partition that the cluster does not have, and none where it has no default."""
    if shutil.which("sinfo") is None:
        hint = "Submit from a login node, or with --profile local"
        raise EngineError(f"the profile 'slurm' needs Slurm's commands, but sinfo is not on the PATH. {hint}")
    words = ["sinfo", "--noheader", "--format=%P"]
    answer = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    if answer.returncode:
        hint = "Ask whoever runs the cluster"
        raise EngineError(f"Slurm must answer, but sinfo said {answer.stderr.strip()!r}. {hint}")
    known = list(dict.fromkeys(answer.stdout.replace("*", "").split()))
    names = ", ".join(known)
    for asked in filter(None, name.split(",")):
        if asked not in known:
            where = f"It has {names}: choose with --partition"
            raise ValueError(f"the partition must be one of this cluster, but {asked!r} is not. {where}")
    # The default has a star behind its name.
    if not name and "*" not in answer.stdout:
        hint = f"Choose of {names} with --partition"
        raise ValueError(f"this cluster has no default partition, but none was named. {hint}")
