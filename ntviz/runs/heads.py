"""The one process that submits into a folder: held by a file that says who and since when."""

from __future__ import annotations

import contextlib
import datetime
import getpass
import json
import os
import platform
import secrets
from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ntviz.environment import atomic_write

FILE = "head.json"


class HeldError(RuntimeError):
    """Another head works in the folder."""


@dataclass(frozen=True)
class Head:
    """Who holds a folder.

    Attributes
    ----------
    host, user, since
        Of the process; since is UTC in ISO 8601.
    pid, born
        The process, and when it began in the kernel's own count, since numbers of processes are used again; 0 if unknown.
    child, child_born
        The same of the engine that it started; 0 without one.
    """

    host: str
    user: str
    since: str
    pid: int
    born: int
    child: int = 0
    child_born: int = 0

    @property
    def alive(self) -> bool | None:
        """Whether it, or its engine, still runs; None on another machine, of which nothing is known."""
        if self.host != platform.node():
            return None
        return _runs(self.pid, self.born) or _runs(self.child, self.child_born)

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host} since {self.since}"


@dataclass(frozen=True)
class Hold:
    """The hold of this process on a folder.

    Attributes
    ----------
    file
        Where it is written.
    head
        This process.
    after
        The dead head whose place was taken; None if there was none.
    """

    file: Path
    head: Head
    after: Head | None

    def engine(self, pid: int) -> None:
        """Write down the engine that was started, which also holds the folder."""
        _write(self.file, replace(self.head, child=pid, child_born=_born(pid)))


@contextlib.contextmanager
def hold(folder: str | Path) -> Generator[Hold]:
    """Be the only head in `folder` until the block ends.

    The place of a head that died on this machine is taken. One on another machine is believed to live, as it cannot be
    asked.

    Raises
    ------
    HeldError
        If another head holds it; the message says who and since when.
    """
    file = Path(folder) / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    head = Head(platform.node(), _user(), since, os.getpid(), _born(os.getpid()))
    after = _take(file, head)
    try:
        yield Hold(file, head, after)
    finally:
        with contextlib.suppress(OSError, ValueError, TypeError):
            if _read(file).pid == head.pid:
                file.unlink()


def _take(file: Path, head: Head) -> Head | None:
    """The dead head whose place was taken, or None."""
    after = None
    for _ in range(100):
        # A file of our own is linked to the name: that fails where the name is there, and never shows half a file.
        own = file.with_name(f".{FILE}.{head.pid}-{secrets.token_hex(4)}.part")
        _write(own, head)
        try:
            os.link(own, file)
        except FileExistsError:
            after = _dead(file) or after
        else:
            return after
        finally:
            own.unlink(missing_ok=True)
    raise HeldError(f"a folder must have one head, but many want {file.parent} at once. Try again")


def _dead(file: Path) -> Head | None:
    """Takes away the file of a dead head; None if it was gone by then."""
    try:
        found = _read(file)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise HeldError(
            f"{file} must say who works there, but it cannot be read. If nobody does, remove it and try again"
        ) from error
    if found.alive is not False:
        where = (
            "Wait for it, or stop it" if found.alive else f"If it is gone from {found.host}, remove {file}"
        )
        raise HeldError(f"a folder must have one head, but {file.parent} is held by {found}. {where}")
    aside = file.with_name(f".{FILE}.{os.getpid()}-{secrets.token_hex(4)}.gone")
    try:
        os.rename(file, aside)
    except FileNotFoundError:
        return None
    try:
        if _read(aside) != found:
            # Another head took the place between our look and our hand: it gets its file back.
            with contextlib.suppress(FileExistsError):
                os.link(aside, file)
            return None
    finally:
        aside.unlink(missing_ok=True)
    return found


def _write(file: Path, head: Head) -> None:
    with atomic_write(file, "w") as handle:
        json.dump(asdict(head), handle, indent=1)


def _read(file: Path) -> Head:
    return Head(**json.loads(file.read_text(encoding="utf-8")))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run under a number without a name
        return str(os.getuid())


def _born(pid: int) -> int:
    try:
        # The 22nd field, counted after the name, which may hold spaces and brackets.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def _runs(pid: int, born: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    if born and _born(pid) not in (born, 0):
        return False
    return not _zombie(pid)


def _zombie(pid: int) -> bool:
    """Whether it has ended and nobody has asked how, as happens below a first process that does not reap."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False
