"""The jobs of a submitted folder: what they are, what marks one as done, and how each stands."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntviz.storage import atomic_write

CONFIG = "config.yaml"
SCHEMA = "ntviz-submit/2"
BAD = ("failed", "interrupted")
"""States of jobs that did not end as they should."""
_ENDED = re.compile(r"ended with code (\d+)")


@dataclass(frozen=True)
class Job:
    """One job of a sample: ``merge``, ``notebook`` or ``shard i of n``; `inputs` include the marks of the jobs before it."""

    folder: Path
    sample: str
    name: str
    words: tuple[str, ...]
    inputs: tuple[str, ...]

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
        """Output of its last start, and the code with which it ended if that was not 0."""
        return self.folder / self.sample / "logs" / f"{self.stem}.log"

    @property
    def benchmark(self) -> Path:
        """Snakemake's table of its time and memory."""
        return self.folder / self.sample / "benchmarks" / f"{self.stem}.tsv"

    @property
    def finished(self) -> bool:
        """Whether it ended well with the command that it has now."""
        try:
            return json.loads(self.mark.read_text(encoding="utf-8"))["digest"] == digest(self.words)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    @property
    def state(self) -> str:
        """``done``, ``running``, ``failed``, ``interrupted`` (with the submission that ran it) or ``to do``."""
        if self.finished or not self.log.is_file():
            return "done" if self.finished else "to do"
        # Snakemake notes what it starts, and removes the note when it knows how that ended.
        key = base64.urlsafe_b64encode(str(self.mark.relative_to(self.folder)).encode()).decode()
        if (self.folder / ".snakemake" / "incomplete" / key).is_file():
            return "running" if locked(self.folder) else "interrupted"
        # Snakemake writes a benchmark when a job has ended well: such a one has lost its mark since.
        well = self.benchmark.is_file() and self.benchmark.stat().st_mtime >= self.log.stat().st_mtime
        return "to do" if well else "failed"

    def failure(self) -> str:
        """Why it failed: the last thing that its log says; empty if it did not fail."""
        state = self.state
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.is_file() else ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if state not in BAD:
            return ""
        ended = _ENDED.fullmatch(lines[-1]) if lines else None
        if ended is None:
            silent = "it ended without a word: killed, cancelled, out of memory, or out of time"
            return "the submission that ran it has ended" if state == "interrupted" else silent
        # Our own commands end with one sentence, also after Ctrl-C (130); a signal leaves no last words.
        spoke = len(lines) > 1 and (int(ended[1]) < 128 or int(ended[1]) == 130)
        return lines[-2].removeprefix("ntviz: ") if spoke else f"it {lines[-1]}"


def digest(words: tuple[str, ...]) -> str:
    """What tells one command line from another, in 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(list(words)).encode()).hexdigest()[:16]


def mark(path: Path, words: tuple[str, ...]) -> None:
    """Mark a job as done: the only place where that is said. The file is there whole or not at all."""
    with atomic_write(path, "w") as handle:
        json.dump({"digest": digest(words), "command": words}, handle, indent=1)


def locked(folder: str | Path) -> bool:
    """Whether Snakemake works in a folder, or was killed there: its lock looks the same then."""
    return any((Path(folder) / ".snakemake" / "locks").glob("*.lock"))


def of(folder: str | Path, config: Mapping[str, Any]) -> Iterator[Job]:
    """All jobs, sample after sample; shards come before what merges them."""
    folder = Path(folder)
    for name, sample in config["samples"].items():
        count, words, inputs = sample["shards"], tuple(sample["words"]), tuple(sample["inputs"])
        shards = [
            Job(folder, name, f"shard {i} of {count}", (*words, "--shard", f"{i}/{count}"), inputs)
            for i in (range(1, count + 1) if count > 1 else ())
        ]
        yield from shards
        # A lost shard is asked for by itself, and what was merged from it is merged again.
        inputs += tuple(str(shard.mark) for shard in shards)
        yield Job(folder, name, "notebook" if sample["notebook"] else "merge", words, inputs)


def sweep(folder: str | Path, config: Mapping[str, Any]) -> list[Job]:
    """Jobs whose mark was taken away, since it is of another command, or what it vouches for is not there any more."""
    swept = []
    for job in of(folder, config):
        sample = config["samples"][job.sample]
        result = "" if job.name.startswith("shard") else sample["result"] or sample["report"]
        if job.mark.is_file() and not (job.finished and (job.folder / job.sample / result).exists()):
            job.mark.unlink()
            swept.append(job)
    return swept


if __name__ == "__main__":
    mark(Path(sys.argv[1]), tuple(sys.argv[2:]))
