"""bigWig and bigBed files: what they are, and their records of a region, read by pybigtools."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ntviz.genome import Interval, canonical_contig

_KINDS = {b"\x26\xfc\x8f\x88": "bigWig", b"\xeb\xf2\x89\x87": "bigBed"}
_KINDS |= {magic[::-1]: kind for magic, kind in _KINDS.items()}


def kind_of(path: Path) -> str:
    """``"bigWig"`` or ``"bigBed"`` by the first bytes of a file, whatever its name; empty for any other file."""
    with open(path, "rb") as handle:
        return _KINDS.get(handle.read(4), "")


def contigs(path: Path) -> list[str]:
    """Names of the contigs that a file has records of."""
    with _opened(path) as file:
        return list(file.chroms())


def records(path: Path, within: Interval | None = None) -> Iterator[tuple[Any, ...]]:
    """Contig, start and end (0-based half-open) and the other fields of each record, in the order of the file.

    Parameters
    ----------
    within
        Only the records that overlap this interval, under any alias of its contig; those of a bigWig are cut to it.

    Raises
    ------
    ImportError
        If pybigtools is not installed; it comes with ``ntviz[bigwig]``.
    ValueError
        If the file is cut off or damaged.
    """
    with _opened(path) as file:
        for name, length in file.chroms().items():
            if within is None:
                start, end = 0, length
            elif canonical_contig(name) == canonical_contig(within.chrom):
                start, end = max(within.start, 0), min(within.end, length)
            else:
                continue
            if start < end:
                for record in file.records(name, start, end):
                    yield (name, *record)


@contextmanager
def _opened(path: Path) -> Generator[Any]:
    try:
        import pybigtools
    except ImportError as error:
        raise ImportError(
            f"Reading {path.name}, a {kind_of(path)} file, needs the package pybigtools, which is not installed. Run "
            f"`pip install 'ntviz[bigwig]'`."
        ) from error
    try:
        # By its path it would be refused under a name without .bw, .bigWig, .bb or .bigBed.
        with open(path, "rb") as handle, pybigtools.open(handle) as file:
            yield file
    except BaseException as error:
        if type(error).__name__ not in ("BBIReadError", "PanicException"):
            raise
        raise ValueError(
            f"{path.name} must be a whole {kind_of(path)} file, but reading it ended with '{error}'. It is truncated or "
            f"corrupt: fetch it again."
        ) from error
