"""Files of an entry: brought by huggingface_hub or pooch, checked, recorded, and put in place whole."""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
import shutil
import tempfile
import time
import zlib
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from ntviz import environment, storage
from ntviz.data.catalogue import External, File

_CHUNK = 1 << 20
_HEADERS = {"User-Agent": "ntviz", "Accept-Encoding": "identity"}
_PASSING = {408, 416, 425, 429, 500, 502, 503, 504}
_GONE = "The publisher moved or removed it: see data/README.md for where it comes from."
_ADVICE = {
    404: _GONE,
    410: _GONE,
    401: "It needs a login; fetch it by hand.",
    403: "The server or a proxy refuses it; fetch it by hand, or ask your network's operator.",
}


class FetchError(OSError):
    """Data that could not be fetched, or are not what their publisher states."""


class _PassingError(Exception):
    """A fault that another attempt may not meet."""


@dataclass(frozen=True, slots=True)
class How:
    """How to fetch; times in seconds."""

    progress: bool
    force: bool
    timeout: float
    attempts: int
    wait: float


def home(entry: External, folder: Path) -> Path:
    """Folder of an entry's files below the data or cache folder."""
    return folder / "external" / entry.name / entry.version


def complete(entry: External, folder: Path) -> bool:
    """Whether all files are there, in the size that was recorded; the content is checked by `fetch_entry`."""
    for target in (folder / file.path for file in entry.files):
        record = _read_record(target)
        if not target.is_file() or (record is not None and record["bytes"] != target.stat().st_size):
            return False
    return True


def fetch_entry(entry: External, folder: Path, how: How) -> None:
    """Fetch the files of an entry that are not in the folder, and check those that are."""
    if how.attempts < 1:
        raise ValueError(f"attempts must be at least 1; received {how.attempts}. Leave it out for the default.")
    for file in entry.files:
        if urlsplit(file.url).scheme not in ("http", "https"):
            raise ValueError(
                f"An address must begin with http:// or https://; received {file.url!r}. Correct the entry."
            )
    several = how.progress and len(entry.files) > 1
    with _bar(len(entry.files), entry.name, "files") if several else nullcontext() as bar:
        for file in entry.files:
            _fetch_file(entry, file, folder / file.path, how, shown=how.progress and not several)
            if bar is not None:
                bar.update(note=file.path)


def _bar(total: int | None, name: str, unit: str) -> environment.Progress:
    return environment.progress(total=total, what=f"fetching {name}", unit=unit)


def _fetch_file(entry: External, file: File, target: Path, how: How, *, shown: bool) -> None:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    with storage.writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with _alone(part):
        record = None if how.force else _read_record(target)
        if target.is_file() and not how.force:
            _check_present(file, target, record)
            return
        md5, source = _stated_md5(file, how)
        stated = file.sha256 or (record and record["sha256"])
        known = f"sha256:{stated}" if stated else f"md5:{md5}" if md5 else None

        def bring(url: str, output: str, _: object) -> None:
            # Only a checksum tells whether the rest belongs to what came before.
            kept = part if md5 or file.sha256 else Path(output)
            if entry.repository:
                _from_hub(entry, file, Path(output))
            else:
                _from_server(file, kept, how, shown=shown)
                os.replace(kept, output)
            if fault := _wrong_kind(file, Path(output), stated=bool(md5 or file.sha256)):
                raise ValueError(fault)

        last, wrong = "", 0
        for attempt in range(how.attempts):
            if attempt:
                time.sleep(how.wait * 2 ** (attempt - 1))
            try:
                with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
                    made = Path(pooch.retrieve(file.url, known, target.name, folder, downloader=cast(Any, bring)))
                    # The record goes first: a file without one could not be told from one that somebody put there.
                    if not file.sha256:
                        _write_record(file, target, made, source)
                    os.replace(made, target)
                return
            except _PassingError as fault:
                last = str(fault)
            except ValueError as fault:  # not what it should be; the second time it is given up
                last, wrong = str(fault), wrong + 1
                if wrong == 2:
                    first = "the SHA-256 of its first fetch; use --force for a new version"
                    raise FetchError(
                        f"{file.url} must be what was published, but: {fault} Checked against "
                        f"{first if record else source or ('the SHA-256 of the bundle' if stated else 'its kind')}. It was changed at its source or damaged on the way; "
                        f"nothing was kept. Try again, or see data/README.md."
                    ) from fault
            except OSError as error:
                if storage.full_disk(error, target):
                    part.unlink(missing_ok=True)
                with storage.writing(target):
                    raise
    kept = f" {part.stat().st_size:,} bytes are kept for the next fetch." if part.exists() else ""
    raise FetchError(
        f"{file.url} must come within {how.attempts} attempts, but each failed; the last: {last}.{kept} Try again "
        f"later, or look at the address in a browser."
    )


def _check_present(file: File, target: Path, record: dict[str, Any] | None) -> None:
    import pooch

    sha256 = record and record["sha256"]
    for alg, stated, where in (
        ("sha256", sha256, "recorded when it was fetched"),
        ("md5", file.md5, "that its publisher states"),
    ):
        if stated and (found := pooch.file_hash(str(target), alg)) != stated:
            raise FetchError(
                f"{target} must have the {alg.upper()} {where}, {stated}, but it has {found}. It was changed or damaged: "
                f"fetch it again with --force."
            )
    if record is None:
        _write_record(file, target, target, "MD5 in the catalogue" if file.md5 else None, fetched=False)


@contextmanager
def _alone(part: Path) -> Generator[None]:
    """Hold the partial file, so that two processes do not write into one."""
    from filelock import FileLock, Timeout

    lock = FileLock(f"{part}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FetchError(
            f"One process at a time may fetch a file; {part.name} is held by another. Wait for it, or fetch once before "
            f"starting many jobs."
        ) from None
    except OSError:
        pass  # Some network file systems have no locks.
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


# Ways to get a file --------------------------------------------------------------------------------------------------


def _from_server(file: File, part: Path, how: How, *, shown: bool) -> None:
    """Bring a file to `part`; what is there already is the beginning of it."""
    import requests

    have = part.stat().st_size if part.exists() else 0
    headers = {**_HEADERS, **({"Range": f"bytes={have}-"} if have else {})}
    try:
        with requests.get(file.url, headers=headers, stream=True, timeout=how.timeout) as response:
            if response.status_code == 416:
                part.unlink()
            if not response.ok:
                _refused(file, response.status_code, response.reason)
            have = have if response.status_code == 206 else 0
            left = int(response.headers.get("Content-Length") or 0)
            if shutil.disk_usage(part.parent).free < left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            bar = _bar(have + left or None, file.path, "bytes") if shown else nullcontext()
            with bar as counted, open(part, "ab" if have else "wb") as handle:
                for chunk in response.iter_content(1 << 16):
                    handle.write(chunk)
                    if counted is not None:
                        counted.update(len(chunk))
    except requests.exceptions.SSLError as error:
        raise FetchError(
            f"{urlsplit(file.url).hostname} must show a certificate that can be trusted, but: {error}. Check the clock of "
            f"this machine, or set REQUESTS_CA_BUNDLE to your network's certificates."
        ) from error
    except requests.RequestException as error:
        if "NameResolutionError" in repr(error):
            what = f"{urlsplit(file.url).hostname} must be reachable, but its name is not found"
            raise _offline(file, what) from error
        raise _PassingError(f"the connection failed or broke ({error})") from error


def _from_hub(entry: External, file: File, output: Path) -> None:
    """Bring a file of a data set of the Hugging Face Hub."""
    import httpx
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
    from huggingface_hub.utils import tqdm

    class Silent(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})

    try:
        with tempfile.TemporaryDirectory(dir=output.parent) as folder:
            made = hf_hub_download(
                entry.repository, file.path, repo_type="dataset", revision=entry.revision, local_dir=folder,
                tqdm_class=Silent,
            )  # fmt: skip
            os.replace(made, output)
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, httpx.HTTPError) as error:
        cause = error.__cause__ or error  # The hub's client has tried several times by itself.
        response = getattr(error, "response", None) or getattr(cause, "response", None)
        if response is not None:
            _refused(file, response.status_code, response.reason_phrase, error)
        offline = isinstance(cause, OfflineModeIsEnabled)
        what = "HF_HUB_OFFLINE must not be set" if offline else "huggingface.co must be reachable, and it is not"
        raise _offline(file, f"{what} ({cause})") from error


def _offline(file: File, what: str) -> FetchError:
    return FetchError(
        f"{what}. Are you offline? Fetch {file.path} on a machine with network and copy it here, or set https_proxy."
    )


def _refused(file: File, status: int, reason: str, cause: BaseException | None = None) -> None:
    if status in _PASSING:
        raise _PassingError(f"the server answered {status} {reason}") from cause
    raise FetchError(
        f"{file.url} must be there to fetch, but the server answered {status} {reason}. "
        f"{_ADVICE.get(status, 'Look at the address in a browser.')}"
    ) from cause


# Checks and records --------------------------------------------------------------------------------------------------


def _wrong_kind(file: File, path: Path, *, stated: bool) -> str | None:
    """What the file should be and is not; its content is looked at where no checksum is stated."""
    size = path.stat().st_size
    if file.size not in (None, size):
        return f"it must have {file.size:,} bytes, and {size:,} came."
    if stated:
        return None
    with open(path, "rb") as handle:
        head = handle.read(64)
        handle.seek(max(size - 4, 0))
        tail = handle.read()
    if not head:
        return "it must be a file with content, and it is empty."
    if file.path.endswith((".gz", ".tbi")):
        try:
            with gzip.open(path, "rb") as handle:
                while handle.read(_CHUNK):
                    pass
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            return f"it must be a whole gzip file, and reading it ended with '{error}'; it begins {head[:20]!r}."
    elif file.path.endswith(".parquet"):
        if head[:4] != b"PAR1" or tail != b"PAR1":
            return f"it must be a whole parquet file, and it begins {head[:4]!r} and ends {tail!r}."
    elif head.lstrip()[:1] == b"<":
        return f"it must be data, and it is a web page: it begins {head[:30]!r}."
    return None


def _stated_md5(file: File, how: How) -> tuple[str | None, str | None]:
    """The publisher's MD5 and where it is stated; None and None when it is not, or not to be had now."""
    if file.md5 is not None:
        return file.md5, "MD5 in the catalogue"
    if file.checksum_url is None:
        return None, None
    import requests

    try:
        response = requests.get(file.checksum_url, headers=_HEADERS, timeout=how.timeout)
    except requests.RequestException:
        # The file itself may still come; its record then says that it was checked against nothing.
        return None, None
    found = parse_checksums(response.text, file.path.rpartition("/")[2]) if response.ok else None
    return (found, f"MD5 at {file.checksum_url}") if found else (None, None)


def parse_checksums(text: str, name: str) -> str | None:
    """MD5 of a file in a list of checksums, as md5sum or BSD's md5 write it, or in a file with nothing else.

    >>> listed = "0cc175b9c0f1b6a831c399e269772661  ./a.gz"
    >>> parse_checksums(listed, "a.gz"), parse_checksums(listed, "b.gz")
    ('0cc175b9c0f1b6a831c399e269772661', None)
    """
    md5 = r"(?P<md5>[0-9a-fA-F]{32})"
    path = rf"(?:\S.*/)?{re.escape(name)}"
    for form in (rf"^\s*{md5}\s+\*?{path}\s*$", rf"^\s*MD5 ?\({path}\) ?= ?{md5}\s*$", rf"\A\s*{md5}\s*\Z"):
        if found := re.search(form, text, re.MULTILINE):
            return found["md5"].lower()
    return None


def _record_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.source.json")


def _read_record(target: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(_record_path(target).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return record if isinstance(record, dict) and {"bytes", "sha256"} <= record.keys() else None


def _write_record(file: File, target: Path, made: Path, source: str | None, *, fetched: bool = True) -> None:
    record = {
        "url": file.url,
        "bytes": made.stat().st_size,
        "sha256": storage.sha256(made),
        "checked_against": source or "nothing stated by the publisher; recorded at the first fetch",
        "fetched" if fetched else "found": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with storage.atomic_write(_record_path(target), "w") as handle:
        handle.write(json.dumps(record, indent=2) + "\n")
