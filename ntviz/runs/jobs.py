"""The jobs of a submitted folder: what they are, where they leave their marks and logs, and how each stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntviz.runs import job as one_job

CONFIG = "config.yaml"
SCHEMA = "ntviz-submit/1"
BAD = ("failed", "interrupted", "lost")
"""States of jobs that did not end as they should."""
# Ctrl-C and SIGTERM, as a shell gives them.
_ASKED = (130, 143)
_NO_END = "it ended without a word: killed, out of memory, or out of time"


@dataclass(frozen=True)
class Job:
    """One job of a sample.

    Attributes
    ----------
    sample, name
        Whose it is, and ``merge``, ``notebook`` or ``shard i of n``.
    words
        After ``ntviz``.
    done, log
        Its mark and its log.
    """

    sample: str
    name: str
    words: tuple[str, ...]
    done: Path
    log: Path

    @property
    def finished(self) -> bool:
        """Whether it ended well with the command that it has now."""
        mark = one_job.mark(self.done)
        return mark is not None and mark["digest"] == one_job.digest(self.words)

    @property
    def state(self) -> str:
        """``done``, ``running``, ``failed``, ``interrupted``, ``lost`` (killed before it could say so) or ``to do``."""
        if self.finished:
            return "done"
        if one_job.running(self.log):
            return "running"
        last = next(reversed(one_job.events(self.log)), None)
        if last is None:
            return "to do"
        if last["event"] == "end":
            # Where the code is 0 its mark was taken away since, and it is to be done again.
            return "interrupted" if last["code"] in _ASKED else "failed" if last["code"] else "to do"
        return "lost" if last["event"] == "start" else "to do"

    def failure(self) -> str:
        """Why it failed: the last thing that its log says; empty if it did not fail."""
        state = self.state
        if state not in BAD:
            return ""
        last = one_job.events(self.log)[-1]
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith(one_job.EVENT)]
        begun = [number for number in starts if '"event": "start"' in lines[number]]
        said = [
            line.strip()
            for line in lines[begun[-1] + 1 if begun else 0 :]
            if line.strip() and not line.startswith(one_job.EVENT)
        ]
        if state == "lost":
            return _NO_END
        # Our own commands end with one sentence, also when they were asked to end (130), what broke unforeseen with the
        # name of an error; what any other signal ended has no last words.
        spoke = said and (last["code"] < 128 or last["code"] == _ASKED[0])
        return said[-1].removeprefix("ntviz: ") if spoke else f"it ended with code {last['code']}"


def read(folder: str | Path) -> dict[str, Any]:
    """The config of a submitted folder.

    Raises
    ------
    FileNotFoundError
        If nothing was submitted there.
    ValueError
        If it is none of ours.
    """
    import yaml

    path = Path(folder) / CONFIG
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} must be YAML, but it cannot be read. Submit the sheet again") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise ValueError(
            f"{path} must have schema {SCHEMA!r}, but it has {schema!r}. Give a folder of `ntviz submit`"
        )
    return content


def of(folder: str | Path, config: Mapping[str, Any]) -> Iterator[Job]:
    """All jobs, sample after sample; shards come before what merges them."""
    folder = Path(folder)
    for name, sample in config["samples"].items():
        place, count = folder / name, sample["shards"]
        words = tuple(sample["command"])
        for number in range(1, count + 1) if count > 1 else ():
            yield Job(
                name,
                f"shard {number} of {count}",
                (*words, "--shard", f"{number}/{count}"),
                place / "shards" / f"{number}-of-{count}.done",
                place / "logs" / f"shard-{number}-of-{count}.log",
            )
        last = "notebook" if sample["notebook"] else "merge"
        yield Job(name, last, words, place / f"{last}.done", place / "logs" / f"{last}.log")


def sweep(folder: str | Path, config: Mapping[str, Any]) -> list[Job]:
    """Jobs whose mark was taken away, since it is of another command, or what it vouches for is not there any more."""
    swept = []
    for job in of(folder, config):
        if not job.done.is_file():
            continue
        sample = config["samples"][job.sample]
        wanted = "" if job.name.startswith("shard") else sample["result"] or sample["report"]
        if not job.finished or not (Path(folder) / job.sample / wanted).exists():
            job.done.unlink()
            swept.append(job)
    return swept
