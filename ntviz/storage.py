"""Files that appear whole or not at all, finished pieces that are found by their content, and the shards that make them."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import lzma
import os
import re
import secrets
import shutil
import sys
import time
import zipfile
import zlib
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ntviz.environment.files import opened
from ntviz.environment.paths import cache_dir, unwritable

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_ZSTD = (import_module("compression.zstd").ZstdError,) if sys.version_info >= (3, 14) else ()
DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, KeyError, RuntimeError, TypeError, ValueError, *_ZSTD,
)  # fmt: skip
"""What reading a damaged .npz ends with; zipfile says RuntimeError of flags that make no sense to it."""

AnyPath = str | os.PathLike[str]
TABLES = (".parquet", ".tsv", ".csv")
CARD = "pieces.json"
LARGE = 2**20  # bytes; the SHA-256 of a file as large as this is kept
SETTLED = 2.0  # s; a file that was changed less long ago might change again within one tick of the disk's clock


# Whole or not at all --------------------------------------------------------------------------------------------------


@contextmanager
def beside(path: AnyPath, suffix: str = "") -> Generator[Path]:
    """A name in the folder of `path` that no other process uses; what lies there at the end of the block vanishes.

    Who has written it renames it. Of a full disk the error says that nothing is left.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part{suffix}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
        # Makes the rename itself survive a power cut. Windows and some network file systems refuse; the file is whole there too.
        with suppress(OSError):
            descriptor = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def writing(path: AnyPath) -> Generator[None]:
    """Of a full disk, or of a folder that must not be written to, the error of the block says what to do."""
    try:
        yield
    except OSError as error:
        known = (
            None
            if isinstance(error.__cause__, OSError)
            else unwritable(error, Path(path)) or full_disk(error, Path(path))
        )
        if known:
            raise known from error
        raise


def full_disk(error: OSError, path: Path) -> OSError | None:
    """What to raise where writing ended because the disk is full; None for another error."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return None
    return OSError(
        error.errno,
        f"{path.name} must fit on the disk, but writing it ended with '{os.strerror(error.errno)}'. "
        "Nothing half-written is left. Free some space, or write elsewhere",
        str(path),
    )


@contextmanager
def atomic_write(path: AnyPath, mode: str = "wb") -> Generator[IO]:
    """File handle whose content appears at `path` when the block ends well, and not at all otherwise.

    The bytes go to a temporary file in the same folder (made if missing), which is synced and then renamed. `mode` is ``"wb"`` for
    bytes, ``"w"`` for text (UTF-8, lines ending in LF).

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_write(folder / "answer.txt", "w") as handle:
    ...     _ = handle.write("42")
    >>> [file.name for file in folder.iterdir()], (folder / "answer.txt").read_text()
    (['answer.txt'], '42')
    """
    if mode not in ("w", "wb"):
        raise ValueError(f"mode must be 'w' or 'wb', but {mode!r} came. Read and append with open()")
    encoding, newline = ("utf-8", "\n") if mode == "w" else (None, None)
    with beside(path) as part:
        with open(part, mode.replace("w", "x"), encoding=encoding, newline=newline) as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(part, path)


@contextmanager
def atomic_directory(path: AnyPath) -> Generator[Path]:
    """Empty folder to fill, which becomes `path` when the block ends well and vanishes otherwise.

    A folder that stands there already is replaced as a whole, and only at the end.
    """
    with beside(path) as replaced, beside(path) as part:
        part.mkdir()
        yield part
        for file in part.rglob("*"):
            if file.is_file():
                with open(file, "rb+") as handle:
                    os.fsync(handle.fileno())
        if Path(path).exists():
            # A folder cannot be renamed over a filled one: the old one steps aside for a moment.
            os.replace(path, replaced)
        try:
            os.replace(part, path)
        except BaseException:
            if replaced.exists():
                os.replace(replaced, path)
            raise


def append_line(path: AnyPath, text: str) -> None:
    """Adds `text` and a line end to a file, wholly or not at all, making the file if missing."""
    rest = memoryview((text + "\n").encode())
    with open(path, "ab", buffering=0) as handle:
        end = handle.seek(0, os.SEEK_END)
        try:
            while rest:
                rest = rest[handle.write(rest) :]
        except OSError as error:
            # Half a line, as a full disk leaves it, would swallow the next one.
            os.ftruncate(handle.fileno(), end)
            if full := full_disk(error, Path(path)):
                raise full from error
            raise


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Path of a table written by the ending of its name, one of `TABLES`."""
    with atomic_write(path) as handle:
        if path.suffix == ".parquet":
            table.to_parquet(handle, index=False)
        else:
            handle.write(table.to_csv(index=False, sep="\t" if path.suffix == ".tsv" else ",").encode())
    return path


def write_card(path: Path, notes: Sequence[str], **about: Any) -> Path:
    """Path of the JSON beside a result, `x.json` of `x.tsv` and of `x.vcf.gz`: what it follows from, and `notes` on inputs."""
    card = path.with_name(path.name.removesuffix(".gz")).with_suffix(".json")
    with atomic_write(card, "w") as handle:
        json.dump({**about, "notes": list(notes)}, handle, indent=1)
        handle.write("\n")
    return card


def save(path: AnyPath, about: Any, arrays: Mapping[str, np.ndarray], *, compress: bool = True) -> Path:
    """Path of an .npz with arrays, and plain data as JSON in it under the name `about`."""
    import numpy as np

    with atomic_write(path) as handle:
        write = np.savez_compressed if compress else np.savez
        write(handle, allow_pickle=False, about=np.array(json.dumps(about)), **arrays)
    return Path(path)


def load(path: AnyPath, names: Collection[str] = (), *, version: Any = None) -> tuple[Any, dict[str, np.ndarray]]:
    """Plain data and arrays as `save` wrote them; each is held to its checksum (CRC-32 of the archive).

    `names` are arrays that must be there, `version` what `about["format"]` must be, unless None. A ValueError says that the file is
    damaged, of another version, or something else.
    """
    return _load(opened(path), names, version)


def _load(path: AnyPath, names: Collection[str], version: Any = None) -> tuple[Any, dict[str, np.ndarray]]:
    import numpy as np

    content = Path(path).read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            arrays = {
                # Read to its end, where its checksum is.
                name.removesuffix(".npy"): np.lib.format.read_array(io.BytesIO(archive.read(name)))
                for name in archive.namelist()
            }
        about = json.loads(str(arrays.pop("about")))
        if version is not None and about["format"] != version:
            raise ValueError(f"it has format {about['format']!r}, not {version!r}")
        if missing := [name for name in names if name not in arrays]:
            raise ValueError(f"it has no {', '.join(missing)}")
    except DAMAGED as error:
        raise ValueError(
            f"{path} must be whole and as this version of ntviz writes it; it is not ({error}). Delete it and make it again."
        ) from error
    return about, arrays


# By content -----------------------------------------------------------------------------------------------------------


def sha256(path: AnyPath) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def content(path: AnyPath) -> dict[str, Any]:
    """Absolute `path`, `bytes` and `sha256` of a file; of a folder also `files`, the SHA-256 of each, hidden ones left out.

    A large file is read once: its sum is kept in the cache folder by path, size, inode, and times that no edit leaves as they are.
    """
    path = Path(path).absolute()
    if not path.is_dir():
        return {"path": str(path), "bytes": path.stat().st_size, "sha256": _kept_sha256(path)}
    held = files_in(path)
    files = {file.relative_to(path).as_posix(): _kept_sha256(file) for file in held}
    total = sum(file.stat().st_size for file in held)
    return {"path": str(path), "bytes": total, "sha256": digest(files), "files": files}


def files_in(folder: Path) -> list[Path]:
    """The files of a folder and of those in it, sorted; hidden ones, which are a system's own, are left out."""
    found = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return [file for file in found if not any(part.startswith(".") for part in file.relative_to(folder).parts)]


def _kept_sha256(path: Path) -> str:
    def state() -> list[int]:
        found = path.stat()
        return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]

    before = state()
    if before[0] < LARGE:
        return sha256(path)
    kept = cache_dir() / "sha256" / digest([str(path.resolve()), *before])
    with suppress(OSError, ValueError):
        if re.fullmatch("[0-9a-f]{64}", known := kept.read_text(encoding="ascii")):
            return known
    made = sha256(path)
    if state() == before and time.time() - before[2] / 1e9 > SETTLED:
        # Without a cache that can be written it is only slower.
        with suppress(OSError), atomic_write(kept, "w") as handle:
            handle.write(made)
    return made


def digest(about: Any) -> str:
    """SHA-256 of plain data, in hexadecimal; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


class Pieces:
    """Finished pieces in a folder, each an .npz that is there whole or not at all. Several processes may share it.

    `about`, plain data kept in pieces.json, is what all pieces follow from; None where the name of a piece says it all. A folder of
    other pieces, or of something else, is refused. `damaged` lists [file, why] of pieces that have to be made again.
    """

    def __init__(self, folder: AnyPath, about: Mapping[str, Any] | None = None) -> None:
        self.folder, self.damaged = Path(folder), list[tuple[str, str]]()
        self.about = json.loads(json.dumps(about))
        if about is None:
            return
        # Hidden files are being written. What else is there is looked at first: another shard may add the card just now.
        other = self.folder.exists() and (not self.folder.is_dir() or any(self.folder.glob("[!.]*")))
        known = self._card()
        if known is None and other:
            raise ValueError(
                f"A folder of pieces must be new, empty, or hold {CARD}; {self.folder} holds something else. Name another folder."
            )
        if known is None:
            with atomic_write(self.folder / CARD, "w") as handle:
                json.dump(self.about, handle, indent=1, sort_keys=True)
        elif known != self.about:
            differ = [
                f"{key} = {known.get(key)!r}, and {self.about.get(key)!r} came"
                for key in sorted(known.keys() | self.about.keys())
                if known.get(key) != self.about.get(key)
            ]
            raise ValueError(
                f"A folder must hold pieces of the same settings; {self.folder} was made with {'; '.join(differ)}. "
                "Name another folder, or the same settings."
            )

    def _card(self) -> dict[str, Any] | None:
        """What the pieces of the folder follow from; None where nothing says it."""
        try:
            return json.loads((self.folder / CARD).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            raise ValueError(
                f"{CARD} must be JSON that ntviz wrote; {self.folder / CARD} is not ({error}). Name another folder, or remove "
                "this one."
            ) from error

    @classmethod
    def keyed(cls, folder: AnyPath, about: Mapping[str, Any]) -> Pieces:
        """Those of one content, in a folder of folders that are named by content."""
        return cls(Path(folder) / digest(about)[:16], about)

    @classmethod
    def begun(cls, folder: AnyPath) -> Pieces:
        """Those of a folder that was begun."""
        pieces = cls(folder)
        pieces.about = pieces._card()
        if pieces.about is None:
            raise FileNotFoundError(
                f"A folder of pieces must hold {CARD}; {folder} does not. Pass the folder that was given as out=."
            )
        return pieces

    def file(self, name: str) -> Path:
        """Where a piece is kept."""
        return self.folder / f"{name}.npz"

    def files(self) -> list[Path]:
        """All pieces that are there."""
        return sorted(self.folder.glob("[!.]*.npz"))

    def missing(self, names: Sequence[str]) -> tuple[int, ...]:
        """Places in the list of the pieces that are not there yet."""
        return tuple(number for number, name in enumerate(names) if not self.file(name).exists())

    def write(self, name: str, about: Any, arrays: Mapping[str, np.ndarray], *, compress: bool = True) -> None:
        """Keeps a piece; it is on disk, whole, when this returns."""
        save(self.file(name), about, arrays, compress=compress)

    def read(self, name: str, arrays: Collection[str] = ()) -> tuple[Any, dict[str, np.ndarray]] | None:
        """Plain data and arrays of a piece; None where it is missing or damaged, and has to be made again."""
        try:
            return _load(self.file(name), arrays)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self.damaged.append((str(self.file(name)), str(error)))
            return None

    def each(self, names: Sequence[str], arrays: Collection[str] = ()) -> Iterator[tuple[Any, dict[str, np.ndarray]]]:
        """All pieces, in order; a ValueError names those that are missing or damaged."""
        for name in names:
            if (piece := self.read(name, arrays)) is None:
                left = [name for name in names if self.read(name, arrays) is None]
                more = f" and {len(left) - 20} more" if len(left) > 20 else ""
                raise ValueError(
                    f"All {len(names):,} pieces must be in {self.folder}, whole; {len(left):,} are missing or damaged: "
                    f"{', '.join(left[:20])}{more}. Run it again with the same folder: only these are made."
                )
            yield piece

    def unfinished(self, names: Sequence[str]) -> Unfinished:
        """What a shard returns."""
        left = self.missing(names)
        return Unfinished(self.folder, len(names) - len(left), len(names), left)


# Shards ---------------------------------------------------------------------------------------------------------------


def share(total: int, shard: tuple[int, int]) -> range:
    """Numbers, from 0, of the pieces of shard (i, n), i from 1: every n-th, so that long stretches of easy ones are shared too.

    >>> [list(share(7, (i, 3))) for i in (1, 2, 3)]
    [[0, 3, 6], [1, 4], [2, 5]]
    """
    if len(shard) != 2 or not 1 <= shard[0] <= shard[1]:
        raise ValueError(
            f"shard must be (i, n) with i from 1 to n; received {tuple(shard)}. The first of four is (1, 4)."
        )
    return range(shard[0] - 1, total, shard[1])


@dataclass(frozen=True)
class Unfinished:
    """What a shard returns: its own pieces are there, those of other shards may still be missing."""

    path: Path  # folder of the pieces
    done: int
    total: int
    missing: tuple[int, ...]  # numbers of pieces, from 0

    def __repr__(self) -> str:
        when = "When the other shards are through, the" if self.missing else "The"
        return (
            f"{self.done:,} of {self.total:,} pieces are in {self.path}. {when} same without a shard puts all together."
        )


@dataclass(frozen=True)
class Finished:
    """What the run without a shard returns."""

    written: tuple[Path, ...]  # the one asked for first
    text: str  # what was found

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Output:
    """A file that is made of pieces, by one run or many, killed or not.

    As long as a run has not ended there is a folder beside the file, which holds the pieces unless they are kept
    elsewhere: a file beside which there is one may be written again.
    """

    path: Path
    cache: Path | None = None  # folder of pieces, kept; None for the one beside the file, removed in the end

    @classmethod
    def of(cls, path: AnyPath, cache: AnyPath | None, endings: Collection[str], what: str) -> Output:
        """The output of these, by an ending that is known."""
        path = Path(path)
        if path.suffix not in endings:
            raise ValueError(f"{what} must go to {', '.join(endings)}; received {path.name}. Rename it.")
        return cls(path, None if cache is None else Path(cache))

    @property
    def work(self) -> Path:
        """The folder beside the file."""
        return self.path.with_name(f"{self.path.name}.parts")

    def pieces(self, about: Mapping[str, Any] | None = None) -> Pieces:
        """The pieces of one content."""
        folder = self.cache or self.work
        return Pieces(folder) if about is None else Pieces.keyed(folder, about)

    def check(self, *, overwrite: bool = False) -> None:
        """Refuses a file that is there from a run that ended."""
        if self.path.exists() and not overwrite and not self.work.exists():
            raise FileExistsError(
                f"The output must not be there yet; {self.path} is. Choose another name, or overwrite it (--overwrite, "
                "overwrite=True)."
            )

    def begin(self, *, overwrite: bool = False) -> None:
        """Makes the folder beside the file, after `check`."""
        self.check(overwrite=overwrite)
        with writing(self.work):
            self.work.mkdir(parents=True, exist_ok=True)

    def end(self) -> None:
        """Removes the folder beside the file, and what killed processes of this host left: all is written."""
        shutil.rmtree(self.work, ignore_errors=True)
        stem = re.escape(Path(self.path.name.removesuffix(".gz")).stem)
        left = re.compile(rf"\.{stem}(?:\.[a-z]+)*\.(\d+)-[0-9a-f]+\.part")
        for path in self.path.parent.glob(".*.part*"):
            if (of := left.match(path.name)) and not _alive(int(of[1])):
                path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
