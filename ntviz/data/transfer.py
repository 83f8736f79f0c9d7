"""One file over HTTP, in as many attempts as it takes."""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ntviz import environment
from ntviz.data.catalogue import File

HEADERS = {"User-Agent": "ntviz", "Accept-Encoding": "identity"}
_CHUNK = 1 << 20
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class FetchError(OSError):
    """Data that could not be fetched, or are not what their publisher states."""


class _PassingError(Exception):
    """A fault that another attempt may not meet."""


@dataclass(frozen=True, slots=True)
class How:
    """How long to wait for what, in seconds."""

    timeout: float
    attempts: int
    wait: float


def meta_path(part: Path) -> Path:
    """What is known of a partial file: its address and what tells whether the file changed there."""
    return part.with_name(f"{part.name}.json")


def forget(part: Path) -> None:
    """Empty the partial file, which stays in place because its lock is on it."""
    os.truncate(part, 0)
    meta_path(part).unlink(missing_ok=True)


@contextmanager
def alone(part: Path) -> Generator[None]:
    """Hold the partial file, so that two processes do not write into one; it goes when it is empty at the end."""
    try:
        import fcntl
    except (
        ImportError
    ):  # Windows has no flock; two fetches of one file at a time are then the user's to avoid
        fcntl = None  # type: ignore[assignment]
    with open(part, "ab") as handle:
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FetchError(
                    f"One process at a time may fetch a file; {part.name} is held by another. "
                    f"Wait for it, or fetch once before starting many jobs."
                ) from None
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL):
                    raise
                # Some network file systems have no locks.
        try:
            yield
        finally:
            if part.exists() and part.stat().st_size == 0:
                part.unlink()
                meta_path(part).unlink(missing_ok=True)


def download(file: File, part: Path, how: How, *, trusted: bool, progress: bool) -> None:
    """Bring the whole file to `part`, in as many attempts as it takes and is allowed."""
    faults: list[str] = []
    for attempt in range(how.attempts):
        if attempt:
            time.sleep(how.wait * 2 ** (attempt - 1))
        try:
            _attempt(file, part, how, trusted=trusted, progress=progress)
            return
        except _PassingError as fault:
            faults.append(str(fault))
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            forget(part)
            raise OSError(
                error.errno,
                f"{file.path} must fit on the disk, but writing it ended with '{os.strerror(error.errno)}'. "
                f"Nothing half-written is left. Free some space, or fetch to another folder",
                str(part.parent),
            ) from error
    size = part.stat().st_size
    kept = f" The {size:,} bytes that came are kept, and the next fetch goes on from there." if size else ""
    raise FetchError(
        f"{file.url} must come within {how.attempts} attempts, but each failed; the last: {faults[-1]}.{kept} "
        f"Try again later, or look at the address in a browser."
    )


def _attempt(file: File, part: Path, how: How, *, trusted: bool, progress: bool) -> None:
    have = part.stat().st_size
    headers = dict(HEADERS)
    validator = _validator(file, part)
    if have and (validator or trusted):
        headers["Range"] = f"bytes={have}-"
        if validator:
            headers["If-Range"] = validator
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(file.url, headers=headers), timeout=how.timeout
        )
    except urllib.error.HTTPError as error:
        with error:
            _refused(file, part, error)
    except urllib.error.URLError as error:
        _unreachable(file, error.reason)
    except (http.client.HTTPException, OSError) as error:
        raise _PassingError(f"the server broke off ({error or type(error).__name__})") from error
    with response:
        have, total = _begin(part, response, have)
        tag = response.headers.get("ETag") or ""
        # A weak tag ("W/...") does not promise the same bytes.
        tag = tag if tag.startswith('"') else response.headers.get("Last-Modified") or ""
        meta_path(part).write_text(json.dumps({"url": file.url, "validator": tag}), encoding="utf-8")
        if total is not None and shutil.disk_usage(part.parent).free < total - have:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        size = _copy(response, part, have, total, file.path if progress else "")
    if total is not None and size < total:
        raise _PassingError(f"the transfer was cut off at {size:,} of {total:,} bytes")
    if total is not None and size > total:
        forget(part)
        raise _PassingError(f"{size:,} bytes came instead of {total:,}")


def _begin(part: Path, response: Any, have: int) -> tuple[int, int | None]:
    """Bytes to keep of the partial file, and bytes of the whole file if the server says."""
    if response.status == 206:
        sent = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if sent is None or int(sent[1]) != have:
            forget(part)
            raise _PassingError(f"the server sent another range than bytes {have}-")
        return have, int(sent[2])
    os.truncate(part, 0)
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _copy(response: Any, part: Path, have: int, total: int | None, name: str) -> int:
    bar = environment.progress(total=total, what=f"fetching {name}", unit="bytes") if name else None
    size = have
    with open(part, "ab") as handle, bar or nullcontext():
        if bar is not None:
            bar.update(have)
        while chunk := _next(response, size):
            handle.write(chunk)
            size += len(chunk)
            if bar is not None:
                bar.update(len(chunk))
    return size


def _next(response: Any, size: int) -> bytes:
    try:
        return response.read(_CHUNK)
    except TimeoutError as error:
        raise _PassingError(f"no data came for a while, at {size:,} bytes") from error
    except (http.client.HTTPException, OSError) as error:
        raise _PassingError(
            f"the connection broke at {size:,} bytes ({error or type(error).__name__})"
        ) from error


def _validator(file: File, part: Path) -> str:
    try:
        meta = json.loads(meta_path(part).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return ""
    return str(meta["validator"]) if isinstance(meta, dict) and meta.get("url") == file.url else ""


def _refused(file: File, part: Path, error: urllib.error.HTTPError) -> None:
    if error.code == 416:
        forget(part)
        raise _PassingError("the server does not have the range that was left") from error
    if error.code in _PASSING:
        raise _PassingError(f"the server answered {error.code} {error.reason}") from error
    advice = {
        404: "The publisher moved or removed it: see data/README.md for where it comes from.",
        410: "The publisher removed it: see data/README.md for where it comes from.",
        401: "It needs a login; fetch it by hand.",
        403: "The server or a proxy refuses it; fetch it by hand, or ask your network's operator.",
    }.get(error.code, "Look at the address in a browser.")
    raise FetchError(
        f"{file.url} must be there to fetch, but the server answered {error.code} {error.reason}. {advice}"
    ) from error


def _unreachable(file: File, reason: object) -> None:
    if isinstance(reason, socket.gaierror):
        raise FetchError(
            f"{urlsplit(file.url).hostname} must be reachable, but its name is not found. Are you offline? Fetch {file.path} on "
            f"a machine with network and copy it here, or set https_proxy."
        )
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise FetchError(
            f"{urlsplit(file.url).hostname} must show a certificate that can be trusted, but: {reason.verify_message}. Check the "
            f"clock of this machine, or set SSL_CERT_FILE to your network's certificates."
        )
    if isinstance(reason, TimeoutError):
        raise _PassingError("the server did not answer in time")
    raise _PassingError(f"the server could not be reached ({reason})")
