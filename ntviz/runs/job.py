"""One job of a workflow: `python -m ntviz.runs.job` runs a command, logs how it went, and marks it when it ended well.

The same job may be started twice, when a head died and another began while jobs of the first still run: the second
waits for the first, and takes over its mark.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO, Any

from ntviz.environment import atomic_write

EVENT = "ntviz-job "
"""What a log's lines begin with that tell of the job itself; the rest is JSON."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def digest(words: Sequence[str]) -> str:
    """What tells one command line from another, in 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(list(words)).encode()).hexdigest()[:16]


def mark(done: Path) -> dict[str, Any] | None:
    """What the mark of a finished job says; None if there is none that can be read."""
    try:
        content = json.loads(done.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and "digest" in content else None


def events(log: Path) -> list[dict[str, Any]]:
    """The starts and ends that a log tells of, in order; empty without a log."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        if line.startswith(EVENT):
            with contextlib.suppress(ValueError):
                found.append(json.loads(line[len(EVENT) :]))
    return found


def running(log: Path) -> bool:
    """Whether a process holds the job of this log; false where the file system knows no locks."""
    if not log.is_file():
        return False
    with open(log, "ab") as handle:
        return not _locked(handle, wait=False)


def run(words: Sequence[str], *, log: Path, done: Path, cwd: Path, threads: int = 1) -> int:
    """The exit code of a command, after running it with its output at the end of `log`.

    Parameters
    ----------
    words
        After ``python -m ntviz``.
    log, done
        The log, and the mark that is written by rename when the code is 0.
    cwd
        Where it runs.
    threads
        How many it may use.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab", buffering=0) as handle:
        _locked(handle, wait=True)
        before = mark(done)
        if before is not None and before["digest"] == digest(words):
            # Another head's job ended while we waited; a job that is to be redone has no mark by now.
            _tell(handle, "taken over", host=platform.node(), pid=os.getpid())
            return 0
        began = time.monotonic()
        started = _tell(
            handle,
            "start",
            host=platform.node(),
            pid=os.getpid(),
            slurm=os.environ.get("SLURM_JOB_ID", ""),
            command=list(words),
        )
        code = _call(words, handle, cwd, threads)
        measured = {
            "seconds": round(time.monotonic() - began, 2),
            # Linux counts kilobytes, macOS bytes.
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
            * (1 if sys.platform == "darwin" else 1024),
        }
        _tell(handle, "end", code=code, **measured)
        if code == 0:
            content = {"digest": digest(words), "command": list(words), "host": platform.node()}
            with atomic_write(done, "w") as marker:
                json.dump(content | {"started": started} | measured, marker, indent=1)
        return code


def _call(words: Sequence[str], log: IO[bytes], cwd: Path, threads: int) -> int:
    """Exit code as a shell gives it; signals that ask to end are passed on."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    with _passing_on() as child:
        process = subprocess.Popen(
            [sys.executable, "-m", "ntviz", *words],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        child.append(process)
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _passing_on() -> Generator[list[subprocess.Popen[bytes]]]:
    """Signals of this process go to the one in the list; they must not end us before it has ended."""
    child: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _: object) -> None:
        if not child:
            raise SystemExit(128 + number)
        child[0].send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in _SIGNALS}
    try:
        yield child
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(handle: IO[bytes], event: str, **facts: Any) -> str:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    handle.write(f"{EVENT}{json.dumps({'event': event, 'time': now} | facts)}\n".encode())
    return now


def _locked(handle: IO[bytes], *, wait: bool) -> bool:
    """Whether we hold the lock of the open file now; also where there are no locks, as nothing can be said there."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job that the arguments name, and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m ntviz.runs.job", description=main.__doc__)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--done", type=Path, required=True)
    parser.add_argument("--cwd", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("words", nargs="+")
    given = parser.parse_args(arguments)
    return run(
        given.words,
        log=given.log.absolute(),
        done=given.done.absolute(),
        cwd=given.cwd,
        threads=given.threads,
    )


if __name__ == "__main__":
    sys.exit(main())
