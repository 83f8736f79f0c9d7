"""The jobs of a submitted folder: what they are, what marks one as done, how each stands, and the process that runs one."""

from __future__ import annotations

import base64
import contextlib
import functools
import importlib.metadata
import json
import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ntviz import storage
from ntviz.runs import manifest

CONFIG = "config.yaml"
SCHEMA = "ntviz-submit/3"
BAD = ("failed", "interrupted")
"""States of jobs that did not end as they should."""
PACKS = ".packs"
"""Folder of the jobs that run several rows, beside the folders of the rows."""
STARTS = "starts.jsonl"
"""Beside the logs of a sample: when, where and in which Slurm job each of its jobs was started."""
OWN_CACHE = "XDG_CACHE_HOME_OF_JOBS"
"""What XDG_CACHE_HOME is for jobs, while Snakemake itself has a cache in the submitted folder."""
USAGE, INTERRUPTED = 2, 130
_ENDED = re.compile(r"ended with code (\d+)")
_OF_MODEL = (".json", ".txt", ".safetensors", ".bin", ".h5")
_WEIGHTS = "weights of "


@dataclass(frozen=True)
class Job:
    """One job of a sample: ``merge``, ``notebook`` or ``shard i of n``; or a ``pack`` of notebooks, its `members`.

    `before` are the shards that it merges, `result` is what it leaves in the sample's folder. `contents` gives the
    digest of each input file and model now, read once. With `keep`, what is done stays done, whatever has changed.
    """

    folder: Path
    sample: str
    name: str
    words: tuple[str, ...]
    contents: Callable[[], dict[str, str]] = field(compare=False)
    before: tuple[Job, ...] = ()
    members: tuple[Job, ...] = ()
    result: str = ""
    keep: bool = False
    pack: Path | None = None

    @property
    def stem(self) -> str:
        """Its name as files have it."""
        return self.name.replace(" ", "-")

    @property
    def mark(self) -> Path:
        """Written by `mark` when the job has ended well."""
        return self.folder / self.sample / "marks" / f"{self.stem}.json"

    @property
    def log(self) -> Path:
        """Output of its last start, and the code with which it ended."""
        return self.folder / self.sample / "logs" / f"{self.stem}.log"

    @property
    def benchmark(self) -> Path:
        """Snakemake's table of its time and memory."""
        return self.folder / self.sample / "benchmarks" / f"{self.stem}.tsv"

    def parts(self) -> dict[str, str]:
        """What its result follows from, by name: command, version of ntviz, and content of inputs and weights."""
        command = storage.digest(list(self.words))
        return {"command": command, "ntviz": importlib.metadata.version("ntviz"), **self.contents()}

    @property
    def changes(self) -> list[str]:
        """What has changed since it was done, in words."""
        try:
            before = json.loads(self.mark.read_text(encoding="utf-8"))["parts"]
        except (OSError, ValueError, KeyError, TypeError):
            return ["its mark cannot be read"]
        return changed(before, self.parts())

    @property
    def why(self) -> str:
        """Why it has to be done; empty for what is done. The dry run and the run ask this alone."""
        if self.members:
            return next((f"{job.sample}: {job.why}" for job in self.members if job.why), "")
        if not self.mark.is_file():
            return "not done yet"
        if not (self.folder / self.sample / self.result).exists():
            return f"{self.result} is gone"
        if waiting := next((job.name for job in self.before if job.why), ""):
            return f"{waiting} is to do"
        return "" if self.keep else "; ".join(self.changes)

    @property
    def state(self) -> str:
        """``done``, ``running``, ``failed``, ``interrupted`` (with the submission that ran it) or ``to do``."""
        if not self.why:
            return "done"
        if not self.log.is_file():
            return "to do"
        if (code := self.code) is not None:
            return "interrupted" if code == INTERRUPTED else "failed" if code else "to do"
        # Snakemake notes what it starts, and removes the note when it knows how that ended.
        key = base64.urlsafe_b64encode(str((self.pack or self.mark).relative_to(self.folder)).encode()).decode()
        if (self.folder / ".snakemake" / "incomplete" / key).is_file():
            return "running" if locked(self.folder) else "interrupted"
        return "failed"

    @property
    def code(self) -> int | None:
        """The code with which its last start ended, by the last line of its log; None if it says nothing."""
        ended = _ENDED.fullmatch(self._last_words()[-1])
        return int(ended[1]) if ended else None

    def _last_words(self) -> list[str]:
        lines = [""]
        with contextlib.suppress(OSError), self.log.open("rb") as handle:
            handle.seek(max(0, self.log.stat().st_size - 2**16))
            lines += [line.strip() for line in handle.read().decode(errors="replace").splitlines() if line.strip()]
        return lines

    def failure(self) -> str:
        """Why it failed: the last thing that its log says; empty if it did not fail."""
        if (state := self.state) not in BAD:
            return ""
        if (code := self.code) is None and state == "interrupted":
            return "the submission that ran it has ended"
        if code is None:
            return "it ended without a word: killed, cancelled, out of memory, or out of time"
        # Our own commands end with one sentence, also after Ctrl-C; a signal leaves no last words.
        words = self._last_words()[-2] if code < 128 or code == INTERRUPTED else ""
        return words.removeprefix("ntviz: ") or f"it ended with code {code}"


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between the parts of two runs of a job, in words."""
    found = []
    for name in {**before, **now}:
        old, new = before.get(name, ""), now.get(name, "")
        # Where a model is not here, nothing is known of its weights; a job may fetch them.
        if old == new or (name.startswith(_WEIGHTS) and not (old and new)):
            continue
        how = "changed" if old and new else "is gone" if old else "is new"
        what = name if " " in name else Path(name).name
        found.append(f"ntviz {old} -> {new}" if name == "ntviz" else f"{what} {how}")
    return found


def mark(path: Path, words: tuple[str, ...], parts: Mapping[str, str]) -> None:
    """Mark a job as done: the only place where that is said. The file is there whole or not at all."""
    with storage.atomic_write(path, "w") as handle:
        json.dump({"command": words, "parts": parts}, handle, indent=1)


def locked(folder: str | Path) -> bool:
    """Whether Snakemake works in a folder, or was killed there: its lock looks the same then."""
    return any((Path(folder) / ".snakemake" / "locks").glob("*.lock"))


def _contents(base: Path, sample: Mapping[str, Any]) -> dict[str, str]:
    """The digest of each input file and model of a sample; empty for what is not here. Loads no torch, fetches nothing."""
    from ntviz.models import checkpoints

    found = dict.fromkeys([*(f"{_WEIGHTS}{name}" for name in sample["models"]), *sample["inputs"]], "")
    for name in sample["models"]:
        with contextlib.suppress(OSError, ValueError):
            place = checkpoints.locate(base / name if (base / name).is_dir() else name, fetch=False).directory
            files = sorted(file for file in place.iterdir() if file.suffix in _OF_MODEL)
            found[_WEIGHTS + name] = storage.digest([(file.name, storage.content(file)["sha256"]) for file in files])
    for path in sample["inputs"]:
        with contextlib.suppress(OSError):
            found[path] = storage.content(path)["sha256"]
    return found


def of(folder: str | Path, config: Mapping[str, Any]) -> Iterator[Job]:
    """All jobs of samples, sample after sample; shards come before what merges them."""
    folder, base, keep = Path(folder), Path(config["base"]), config["keep"]
    packs = {row: name for name, rows in config["packs"].items() for row in rows}
    for name, sample in config["samples"].items():
        count, words = sample["shards"], tuple(sample["words"])
        contents = functools.cache(functools.partial(_contents, base, sample))
        shards = tuple(
            Job(folder, name, f"shard {i} of {count}", (*words, "--shard", f"{i}/{count}"), contents, keep=keep)
            for i in (range(1, count + 1) if count > 1 else ())
        )
        yield from shards
        # What merges finds all pieces made, and puts them together without a GPU.
        yield Job(
            folder, name, "notebook" if sample["notebook"] else "merge", (*words, "--device", "cpu") if shards else words,
            contents, shards, result=sample["result"] or sample["report"], keep=keep,
            pack=folder / PACKS / "marks" / f"{packs[name]}.json" if name in packs else None,
        )  # fmt: skip


def scheduled(folder: str | Path, config: Mapping[str, Any]) -> list[Job]:
    """The jobs that Snakemake starts: those of samples, and packs in the place of the rows that they run."""
    jobs = list(of(folder, config))
    packs = [
        Job(Path(folder), PACKS, name, (), dict, members=tuple(job for job in jobs if job.sample in rows))
        for name, rows in config["packs"].items()
    ]
    return [job for job in jobs if job.pack is None] + packs


def asked(job: Job, config: Mapping[str, Any], attempt: int = 1) -> dict[str, Any]:
    """What a job asks for: with each try more memory and time; a merge no GPU, nor what ended with an error of the user."""
    rows = [config["samples"][member.sample] for member in job.members or (job,)]
    hopeless = attempt > 1 and all(row.code == USAGE for row in job.members or (job,) if row.why)
    gpus = 0 if job.before or hopeless else config["job"]["gpus"]
    return {
        "mem_mb": 500 if hopeless else max(row["memory_mb"] for row in rows) * attempt,
        "runtime": 5 if hopeless else sum(row["minutes"] for row in rows) * attempt,
        "gpu": gpus,
        "gpu_model": rows[0]["gpu_model"] if gpus else "",
        "attempt": attempt,
    }


def sweep(folder: str | Path, config: Mapping[str, Any]) -> list[Job]:
    """Jobs that have to be done again: their marks are taken away. A pack has its mark when all its rows have theirs."""
    swept = [job for job in of(folder, config) if job.mark.is_file() and job.why]
    for job in swept:
        job.mark.unlink()
    for pack in scheduled(folder, config):
        if pack.members and pack.why:
            pack.mark.unlink(missing_ok=True)
        elif pack.members:
            mark(pack.mark, (), {})
    return swept


# In the job ------------------------------------------------------------------------------------------------------------


def main(sample: str, stem: str, attempt: str) -> int:
    """The exit code of a job, run here; Snakemake's working directory is the submitted folder."""
    import yaml

    config = yaml.load(Path(CONFIG).read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    [job] = [job for job in scheduled(Path.cwd(), config) if (job.sample, job.stem) == (sample, stem)]
    # These come to the command as well, which ends in order and says so.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)
    if job.members:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if (own := os.environ.pop(OWN_CACHE, None)) is not None:
        os.environ.pop("XDG_CACHE_HOME", None)
        os.environ |= {"XDG_CACHE_HOME": own} if own else {}
    os.chdir(config["base"])
    return _pack(job, int(attempt)) if job.members else _run(job, int(attempt), _process)


def _pack(pack: Job, attempt: int) -> int:
    """The worst code of the rows of a pack that have to be done: one after the other, in this process and one kernel."""
    from ntviz.runs import engine

    worst = 0
    with engine.shared():
        for job in pack.members:
            code = _run(job, attempt, _in_process) if job.why else 0
            worst = max(worst, code)
            if code == INTERRUPTED:
                break
    if not worst:
        mark(pack.mark, (), {})
    return worst


def _process(words: tuple[str, ...], log: IO[str]) -> int:
    command = [sys.executable, "-u", "-m", "ntviz", *words]
    code = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT).wait()
    return code if code >= 0 else 128 - code


def _in_process(words: tuple[str, ...], log: IO[str]) -> int:
    from ntviz import cli

    with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        try:
            cli.app(list(words), prog_name="ntviz")
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _run(job: Job, attempt: int, call: Callable[[tuple[str, ...], IO[str]], int]) -> int:
    """The exit code of a command, with its output and the code in the job's log; marks the job if it ended well."""
    if attempt > 1 and job.code == USAGE:
        return USAGE  # what the user got wrong stays wrong
    before = job.parts()
    job.log.parent.mkdir(parents=True, exist_ok=True)
    where = {"host": platform.node(), "slurm": os.environ.get("SLURM_JOB_ID", "")}
    started = {"job": job.name, "started": manifest.now(), **where}
    storage.append_line(job.log.parent / STARTS, json.dumps(started))
    with job.log.open("w", encoding="utf-8") as log:
        code = call(job.words, log)
        getattr(job.contents, "cache_clear", bool)()
        if not code and (late := changed(before, job.parts())):
            log.write(f"\nntviz: {'; '.join(late)} while it ran. Submit it again")
            code = 1
        if not code:
            mark(job.mark, job.words, job.parts())
        log.write(f"\nended with code {code}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
