"""A sheet of samples becomes jobs of Snakemake, on this machine or on a cluster."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ntviz.environment import cache_dir
from ntviz.runs import collect, jobs, kernel, manifest, sheet
from ntviz.runs.commands import COMMANDS
from ntviz.storage import atomic_write

SNAKEFILE = "Snakefile"
TABLE, INDEX = "table.parquet", "index.html"
_DEFAULTS = "job.yaml"
_LOOK_EVERY = 10.0  # s between two looks at what has ended, for the page
_OURS = "--cores, --gpus, --memory, --minutes, --partition, --account, or the columns of the sheet"


class EngineError(RuntimeError):
    """What runs the jobs is not there, or cannot do what was asked."""


@dataclass(frozen=True)
class Submission:
    """Everything settled that can be settled before a job starts: the folder, its config.yaml, the Snakemake profile."""

    folder: Path
    config: dict[str, Any]
    profile: Path

    @property
    def unmeasured(self) -> bool:
        """Whether the pilot row has to run before it is known what the others ask for."""
        return bool(self.config["pilot"]) and "minutes" not in self.config["pilot"]

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
    path: str | Path, out: str | Path, *, profile: str = "local", given: Mapping[str, Any] | None = None,
    keep: bool = False, pack: int = 1, pilot: str = "",
) -> Submission:  # fmt: skip
    """A sheet as jobs, with everything checked that can be known before they start; nothing is written.

    Parameters
    ----------
    profile
        ``local``, ``slurm``, or a folder with config.yaml of Snakemake and, if wanted, job.yaml.
    given
        What each job asks for, over the profile's job.yaml; None stands for what the profile has. Jobs use as many
        threads as cores, and another number of threads may change the last digit of a score.
    keep
        Leave results as they are whose inputs, weights, command or version of ntviz have changed.
    pack
        So many rows of one notebook are run by one job, one after the other in one kernel.
    pilot
        Name of a row that runs first: twice its time and 1.5 times its memory are what the other rows of the same run
        ask for, where they name none themselves.

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
    elif settings["slurm"]:
        hint = "Leave it out, or add --profile slurm"
        raise ValueError(f"--slurm is for jobs of Slurm, but this profile has none. {hint}")
    made = {sample.name: _sample(sample, out, settings) for sample in samples}
    config = {
        "schema": jobs.SCHEMA, "sheet": str(path), "base": str(path.parent), "job": settings, "keep": keep,
        "site": _site(settings["slurm"]), "pilot": _pilot(pilot, samples, made), "packs": {}, "samples": made,
    }  # fmt: skip
    config["packs"] = _packs(config, pack)
    return Submission(out, _sized(config, out), folder)


def _site(options: str) -> dict[str, str]:
    """Options of sbatch as resources of Snakemake's plugin, which has names of its own for two of them."""
    if not options:
        return {}
    from snakemake_executor_plugin_slurm.validation import get_forbidden_slurm_options

    found, rest = {}, []
    # -C x, --constraint x and --constraint=x are one.
    words = iter(re.sub("^-C", "--constraint=", re.sub("^-q", "--qos=", word)) for word in shlex.split(options))
    for word in words:
        name, _, value = word.partition("=")
        if name in ("--qos", "--constraint"):
            found[name[2:]] = value or next(words, "")
        else:
            rest.append(word)
    text = shlex.join(rest)
    ours = [what for pattern, what in get_forbidden_slurm_options().items() if re.search(pattern, f"{text} ")]
    if ours or "" in found.values() or (rest and not rest[0].startswith("-")):
        why = f"the {ours[0]} is set by ntviz: see {_OURS}" if ours else f"{options!r} came"
        raise ValueError(f"--slurm must be options as in `sbatch --qos=short --constraint=a100`, but {why}")
    return found | ({"slurm_extra": text} if rest else {})


def _pilot(name: str, samples: Sequence[sheet.Sample], made: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The pilot row, and what other rows of its notebook leave to it."""
    if not name:
        return {}
    if name not in (books := [sample.name for sample in samples if sample.notebook]):
        hint = f"It has {', '.join(books[:10]) or 'none'}"
        raise ValueError(f"--pilot must be a sample of the sheet that runs a notebook, but {name!r} is not. {hint}")
    same = [sample for sample in samples if made[sample.name]["words"][1] == made[name]["words"][1]]
    left = {sample.name: [key for key in ("memory_mb", "minutes") if getattr(sample, key) is None] for sample in same}
    del left[name]
    return {"sample": name, "left": left}


def _sized(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The configuration, in which rows ask for what the pilot measured, if it has run."""
    if not config["pilot"]:
        return config
    measured = collect.measured(folder / config["pilot"]["sample"])
    left = config["pilot"]["left"]
    samples = {
        name: sample | {key: measured[key] for key in left.get(name, ()) if key in measured}
        for name, sample in config["samples"].items()
    }
    return config | {"pilot": config["pilot"] | measured, "samples": samples}


def _packs(config: Mapping[str, Any], size: int) -> dict[str, list[str]]:
    """Rows of one notebook, `size` by `size` in the order of the sheet; a pilot runs by itself."""
    if size < 1:
        raise ValueError(f"--pack must be at least 1 row a job, but {size} came")
    rows: dict[tuple[str, str | None], list[str]] = {}
    for name, sample in config["samples"].items():
        if size > 1 and sample["notebook"] and name != config["pilot"].get("sample"):
            rows.setdefault((sample["words"][1], sample["gpu_model"]), []).append(name)
    packs = [names[at : at + size] for names in rows.values() for at in range(0, len(names), size)]
    return {f"pack {number} of {len(packs)}": names for number, names in enumerate(packs, start=1)}


def start(submission: Submission, *, unlock: bool = False) -> int:
    """Run the jobs of a submission that are not done: 0 if all are done then, 130 after Ctrl-C, else 1.

    Whatever ends this process, what is finished stays, and the same submission goes on from there. Ctrl-C ends the
    jobs, SIGTERM waits for those that run. `unlock` takes away the lock of a submission that was killed, and ends the
    jobs that it left in Slurm. EngineError if the lock is there, or a notebook of a killed submission still runs.
    """
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
    # Snakemake runs what has no mark, and knows of no other reason: `jobs.Job.why` decides.
    command += ["--rerun-triggers", "input"]
    # Snakemake counts cores of this machine, of which each job takes its own number, but jobs of a cluster.
    local = executor == "local"
    command += ["--cores", str(asked["jobs"] * asked["cores"])] if local else ["--jobs", str(asked["jobs"])]
    code, config = 0, submission.config
    with _indexed(folder):
        if submission.unmeasured:
            [pilot] = [job for job in submission.every_job if job.sample == config["pilot"]["sample"]]
            _write(folder, config)
            code = _snakemake([str(pilot.mark.relative_to(folder)), *command], folder)
            config = _sized(config, folder)
        if not code:
            _write(folder, config)
            code = _snakemake(command, folder)
    # What failed is to be seen, too.
    index(folder, accounting=True)
    return code


def _write(folder: Path, config: Mapping[str, Any]) -> None:
    """config.yaml for Snakemake, and no mark of what has to be done again."""
    import yaml

    with atomic_write(folder / jobs.CONFIG, "w") as handle:
        yaml.safe_dump(config, handle, sort_keys=False, allow_unicode=True)
    jobs.sweep(folder, config)


def index(folder: Path, *, accounting: bool) -> None:
    """Write the table and the page over all rows as they stand."""
    table = collect.runs(folder, accounting=accounting)
    collect.save(table, folder / TABLE)
    collect.save_index(table, folder / INDEX, title=folder.name)


@contextlib.contextmanager
def _indexed(folder: Path) -> Generator[None]:
    """Meanwhile a thread rewrites the page whenever a job has begun or ended."""
    ended = threading.Event()

    def look() -> None:
        seen, pause = None, _LOOK_EVERY
        while not ended.wait(pause):
            files = [*folder.glob("*/marks/*.json"), *folder.glob("*/logs/*")]
            # What Snakemake is writing just now is read at the next look.
            with contextlib.suppress(OSError, ValueError, LookupError):
                state = sorted((str(file), file.stat().st_mtime_ns) for file in files)
                if state != seen:
                    began = time.monotonic()
                    index(folder, accounting=False)
                    seen, pause = state, max(_LOOK_EVERY, 10 * (time.monotonic() - began))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _snakemake(arguments: Sequence[str], folder: Path) -> int:
    """0, 130 after Ctrl-C, else 1. In this process, so that Snakemake has the signals and ends with it.

    Its cache of sources lies in the folder, for it as for its processes on nodes: a home need not be writable there.
    """
    from snakemake.cli import main

    interrupted: list[bool] = []
    own = dict(os.environ)
    os.environ |= {jobs.OWN_CACHE: own.get("XDG_CACHE_HOME", ""), "NTVIZ_CACHE": str(cache_dir())}
    os.environ["XDG_CACHE_HOME"] = str(folder / ".snakemake" / "cache")

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
        for name in (jobs.OWN_CACHE, "NTVIZ_CACHE", "XDG_CACHE_HOME"):
            os.environ.pop(name)
        os.environ |= own
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
        why = f"{fault.message}. Change it in the profile or the call"
        raise ValueError(f"{place} must fit config.schema.yaml, but {why}")
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
    asked = {name: getattr(sample, name) or settings[name] for name in ("memory_mb", "minutes", "gpu_model")}
    return asdict(replace(sample, words=tuple(words), **asked))


def _check_partition(name: str) -> None:
    """Refuses a partition that the cluster does not have, and none where it has no default."""
    if shutil.which("sinfo") is None:
        hint = "Submit from a login node, or with --profile local"
        raise EngineError(f"the profile 'slurm' needs Slurm's commands, but sinfo is not on the PATH. {hint}")
    asked = ["sinfo", "--noheader", "--format=%P"]
    answer = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    if answer.returncode:
        raise EngineError(f"Slurm must answer, but sinfo said {answer.stderr.strip()!r}. Ask whoever runs the cluster")
    known = list(dict.fromkeys(answer.stdout.replace("*", "").split()))
    names = ", ".join(known)
    if strange := [asked for asked in name.split(",") if asked and asked not in known]:
        where = f"It has {names}: choose with --partition"
        raise ValueError(f"the partition must be one of this cluster, but {strange[0]!r} is not. {where}")
    # The default has a star behind its name.
    if not name and "*" not in answer.stdout:
        hint = f"Choose of {names} with --partition"
        raise ValueError(f"this cluster has no default partition, but none was named. {hint}")
