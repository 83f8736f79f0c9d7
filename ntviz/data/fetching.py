"""Files of an entry: fetched, checked, recorded, and put in place whole."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import os
import re
import urllib.error
import urllib.request
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ntviz import environment
from ntviz.data.catalogue import External, File
from ntviz.data.transfer import HEADERS, FetchError, How, alone, download, forget, meta_path

_CHUNK = 1 << 20
_LONGEST_LIST = 4 << 20  # bytes of a publisher's list of checksums


def home(entry: External, folder: Path) -> Path:
    """Folder of an entry's files below the data or cache folder."""
    return folder / "external" / entry.name / entry.version


def complete(entry: External, folder: Path) -> bool:
    """Whether all files are there, in the size that was recorded; the content is checked by `fetch_entry`."""
    for file in entry.files:
        target = folder / file.path
        record = _read_record(target)
        if not target.is_file() or (record is not None and record["bytes"] != target.stat().st_size):
            return False
    return True


def fetch_entry(
    entry: External, folder: Path, *, progress: bool, force: bool, timeout: float, attempts: int, wait: float
) -> None:
    """Fetch the files of an entry that are not in the folder, and check those that are."""
    if attempts < 1:
        raise ValueError(f"attempts must be at least 1; received {attempts}. Leave it out for the default.")
    for file in entry.files:
        if urlsplit(file.url).scheme not in ("http", "https"):
            raise ValueError(
                f"An address must begin with http:// or https://; received {file.url!r}. Correct the entry."
            )
    how = How(timeout, attempts, wait)
    several = len(entry.files) > 1
    bar = (
        environment.progress(total=len(entry.files), what=f"fetching {entry.name}", unit="files")
        if several
        else None
    )
    if bar is None or not progress:
        for file in entry.files:
            _fetch_file(file, folder / file.path, how, force=force, progress=progress and not several)
        return
    with bar:
        for file in entry.files:
            _fetch_file(file, folder / file.path, how, force=force, progress=False)
            bar.update(note=file.path)


def _fetch_file(file: File, target: Path, how: How, *, force: bool, progress: bool) -> None:
    if not force and target.is_file():
        _check_present(file, target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with alone(part):
        if not force and target.is_file():
            # Another process finished it between the two looks.
            _check_present(file, target)
            part.unlink(missing_ok=True)
            return
        stated, source = _stated_md5(file, how)
        record = None if force else _read_record(target)
        for again in (True, False):
            download(file, part, how, trusted=stated is not None, progress=progress)
            found = _digests(part)
            fault = _fault(file, part, found, stated, source, record)
            if fault is None:
                break
            forget(part)
            if not again:
                raise FetchError(fault)
        # The record goes first: a file without a record could not be told from one that somebody put there.
        _write_record(file, target, found, source)
        os.replace(part, target)
        meta_path(part).unlink(missing_ok=True)


def _check_present(file: File, target: Path) -> None:
    record = _read_record(target)
    found = _digests(target)
    if record is not None and found["sha256"] != record["sha256"]:
        raise FetchError(
            f"{target} must have the SHA-256 recorded when it was fetched, {record['sha256']}, but it has {found['sha256']}. "
            f"It was changed or damaged: fetch it again with --force."
        )
    if file.md5 is not None and found["md5"] != file.md5:
        raise FetchError(
            f"{target} must have the MD5 that its publisher states, {file.md5}, but it has {found['md5']}. "
            f"Fetch it again with --force."
        )
    if record is None:
        _write_record(file, target, found, "MD5 in the catalogue" if file.md5 else None, fetched=False)


# Checks --------------------------------------------------------------------------------------------------------------


def _digests(path: Path) -> dict[str, Any]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as handle:
        while chunk := handle.read(_CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
    return {"bytes": path.stat().st_size, "sha256": sha256.hexdigest(), "md5": md5.hexdigest()}


def _fault(
    file: File,
    part: Path,
    found: dict[str, Any],
    stated: str | None,
    source: str | None,
    record: dict[str, Any] | None,
) -> str | None:
    """Why what came is not the file, or None."""
    advice = "It was changed at its source or damaged on the way. Nothing was kept; try again, or see data/README.md."
    if file.size is not None and found["bytes"] != file.size:
        return f"{file.url} must have {file.size:,} bytes, but {found['bytes']:,} came. {advice}"
    if stated is not None and found["md5"] != stated:
        return f"{file.url} must have the MD5 {stated} ({source}), but what came has {found['md5']}. {advice}"
    if record is not None and found["sha256"] != record["sha256"]:
        return (
            f"{file.url} must have the SHA-256 of its first fetch, {record['sha256']}, but what came has {found['sha256']}. "
            f"{advice} If the new version is meant, fetch it with --force."
        )
    if stated is None and (kind := _wrong_kind(file.path, part)):
        return f"{file.url} must be {kind}. {advice}"
    return None


def _wrong_kind(name: str, path: Path) -> str | None:
    """What the file should be and is not, told by its content; the check where no checksum is stated."""
    with open(path, "rb") as handle:
        head = handle.read(64)
        handle.seek(max(path.stat().st_size - 4, 0))
        tail = handle.read()
    if not head:
        return "a file with content, but it is empty"
    if name.endswith((".gz", ".tbi")):
        try:
            with gzip.open(path, "rb") as handle:
                while handle.read(_CHUNK):
                    pass
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            return f"a whole gzip file, but reading it ended with '{error}'; it begins {head[:20]!r}"
    elif name.endswith(".parquet"):
        if head[:4] != b"PAR1" or tail != b"PAR1":
            return f"a whole parquet file, but it begins {head[:4]!r} and ends {tail!r}"
    elif head.lstrip()[:1] == b"<":
        return f"data, but it is a web page: it begins {head[:30]!r}"
    return None


def _stated_md5(file: File, how: How) -> tuple[str | None, str | None]:
    """The publisher's MD5 and where it is stated; None and None when it is not, or not to be had now."""
    if file.md5 is not None:
        return file.md5, "MD5 in the catalogue"
    if file.checksum_url is None:
        return None, None
    try:
        request = urllib.request.Request(file.checksum_url, headers=HEADERS)
        with urllib.request.urlopen(request, timeout=how.timeout) as response:
            text = response.read(_LONGEST_LIST).decode("utf-8", "replace")
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        # The file itself may still come; its record then says that it was checked against nothing.
        return None, None
    found = parse_checksums(text, file.path.rpartition("/")[2])
    return (found, f"MD5 at {file.checksum_url}") if found else (None, None)


def parse_checksums(text: str, name: str) -> str | None:
    """MD5 of a file in a list of checksums, as md5sum or BSD's md5 write it, or in a file with nothing else.

    Examples
    --------
    >>> listed = "0cc175b9c0f1b6a831c399e269772661  ./a.gz"
    >>> parse_checksums(listed, "a.gz"), parse_checksums(listed, "b.gz")
    ('0cc175b9c0f1b6a831c399e269772661', None)
    """
    for line in text.splitlines():
        listed = re.fullmatch(r"\s*([0-9a-fA-F]{32})\s+\*?(\S.*?)\s*", line)
        digest, path = listed.groups() if listed else (None, None)
        if not listed and (bsd := re.fullmatch(r"\s*MD5 ?\((.+)\) ?= ?([0-9a-fA-F]{32})\s*", line)):
            path, digest = bsd.groups()
        if digest is not None and path is not None and path.rpartition("/")[2] == name:
            return digest.lower()
    alone = re.fullmatch(r"\s*([0-9a-fA-F]{32})\s*", text)
    return alone[1].lower() if alone else None


# Records -------------------------------------------------------------------------------------------------------------


def _record_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.source.json")


def _read_record(target: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(_record_path(target).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) and {"bytes", "sha256"} <= record.keys() else None


def _write_record(
    file: File, target: Path, found: dict[str, Any], source: str | None, *, fetched: bool = True
) -> None:
    record = {
        "url": file.url,
        **found,
        "checked_against": source or "nothing stated by the publisher; recorded at the first fetch",
        "fetched" if fetched else "found": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with environment.atomic_write(_record_path(target), "w") as handle:
        handle.write(json.dumps(record, indent=2) + "\n")
