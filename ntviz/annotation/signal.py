"""Numbers along a genome, such as conservation or coverage, from bedGraph or bigWig: `read_signal` makes a `Signal`."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ntviz.annotation.formats import LineError, half_open, says_nothing
from ntviz.environment import lines_of, need, opened
from ntviz.genome import Interval, canonical_contig

_BINARY = {b"\x26\xfc\x8f\x88": "bigWig", b"\xeb\xf2\x89\x87": "bigBed"}
_BINARY |= {magic[::-1]: kind for magic, kind in _BINARY.items()}


_Stretches = tuple[np.ndarray, np.ndarray, np.ndarray]  # starts, ends and values


@dataclass(frozen=True, eq=False)
class Signal:
    """One number a base over stretches of a genome; made by `read_signal`.

    `stretches` are by contig under its bare name (`canonical_contig`): starts and ends [stretch], 0-based half-open, sorted and without
    overlap, and the value [stretch] of all bases in each.
    """

    stretches: dict[str, _Stretches]
    source: str = "the table"

    def __len__(self) -> int:
        """Number of stretches."""
        return sum(len(starts) for starts, _, _ in self.stretches.values())

    def __repr__(self) -> str:
        bp = sum(int((ends - starts).sum()) for starts, ends, _ in self.stretches.values())
        return f"Signal({self.source}: {len(self):,} stretches, {bp:,} bp; {', '.join(self.stretches)})"

    def values(self, interval: Interval) -> np.ndarray:
        """The number of each base of an interval, float64 [base], in its direction; NaN where there is none.

        >>> one = np.array([2]), np.array([4]), np.array([0.5])
        >>> Signal({"20": one}).values(Interval("chr20", 1, 5)).tolist()
        [nan, 0.5, 0.5, nan]
        """
        found = np.full(len(interval), np.nan)
        starts, ends, values = self._around(interval)
        low = np.searchsorted(ends, interval.start, side="right")
        high = np.searchsorted(starts, interval.end, side="left")
        if low < high:
            first = np.maximum(starts[low:high], interval.start) - interval.start
            sizes = np.minimum(ends[low:high], interval.end) - interval.start - first
            # Positions of all covered bases at once: where each stretch begins, and the steps within it.
            within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            found[np.repeat(first, sizes) + within] = np.repeat(values[low:high], sizes)
        return found[::-1] if interval.strand == "-" else found

    def _around(self, interval: Interval) -> _Stretches:
        """Starts, ends and values of stretches of its contig, at least of all that overlap the interval."""
        none = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        return self.stretches.get(canonical_contig(interval.chrom), none)


@dataclass(frozen=True, eq=False)
class _BigWig(Signal):
    """A bigWig, of which stretches are read where values are asked for; those of a genome may not fit the memory."""

    path: Path = Path()

    def __len__(self) -> int:
        return sum(1 for _ in binary_records(self.path))

    def __repr__(self) -> str:
        with _opened(self.path) as file:
            return f"Signal({self.source}: bigWig; {', '.join(map(canonical_contig, file.chroms()))})"

    def _around(self, interval: Interval) -> _Stretches:
        rows = np.array([row[1:] for row in binary_records(self.path, interval)], np.float64).reshape(-1, 3)
        return rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64), rows[:, 2]


def read_signal(path: str | Path, *, within: Interval | None = None) -> Signal:
    r"""The numbers of a bedGraph file, plain or gzip, or of a bigWig.

    A number that is wrong or missing looks like a finding, so a broken line, or two values of one base, stop the reading.

    Parameters
    ----------
    path
        Lines of contig, start, end (0-based half-open) and value, in any order; "nan" and "NA" are none. A bigWig, which is told by its
        content, holds float32; it needs ``pip install 'ntviz[bigwig]'`` and must stay where it is: it is read where it is asked for.
    within
        Keep the stretches that overlap this interval only, which saves memory with a bedGraph of a whole genome.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "toy.bedgraph"
    >>> _ = file.write_text("track type=bedGraph\nchr20\t10\t12\t0.5\nchr20\t12\t13\t2\n")
    >>> read_signal(file).values(Interval("20", 9, 14)).tolist()
    [nan, 0.5, 0.5, 2.0, nan]
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"A signal must be a file; received {path}, and there is none. Check the path.")
    if (kind := binary_kind(path)) == "bigBed":
        raise ValueError(
            f"A signal must be bedGraph or bigWig, which hold numbers; {path.name} is bigBed, which holds regions. Give it as "
            f"beds=, or read it with annotation.read."
        )
    if kind:
        with _opened(path) as file:
            lines = len(file.chroms())
        if lines:
            return _BigWig({}, path.name, path.resolve())
    rows: dict[str, list[tuple[int, int, float, int]]] = {}
    names: dict[str, str] = {}
    for number, line in () if kind else lines_of(path):
        if says_nothing(line):
            continue
        try:
            chrom, start, end, value = _stretch(line.split())
        except LineError as fault:
            raise ValueError(
                f"Line {number:,} of {path.name} must be contig, start, end and value, but {fault}: {line[:80]!r}. "
                "Correct the line, or take it out."
            ) from None
        if chrom not in names:
            names[chrom] = canonical_contig(chrom)
        here = within is None or names[chrom] == canonical_contig(within.chrom)
        if here and not math.isnan(value) and (within is None or (start < within.end and end > within.start)):
            rows.setdefault(names[chrom], []).append((start, end, value, number))
    if not names:
        raise ValueError(
            f"{path.name} must hold at least one stretch with a value; it holds none. Check that it is the right file."
        )
    return Signal({contig: _sorted(path, contig, part) for contig, part in rows.items()}, path.name)


def _stretch(fields: list[str]) -> tuple[str, int, int, float]:
    if len(fields) != 4:
        raise LineError(f"it has {len(fields)} columns")
    start, end = half_open(*fields[1:3])
    try:
        value = math.nan if fields[3].upper() == "NA" else float(fields[3])
    except ValueError:
        raise LineError(f"the value must be a number and is {fields[3][:20]!r}") from None
    if math.isinf(value):
        raise LineError(f"the value must be finite and is {fields[3]!r}")
    return fields[0], start, end, value


def _sorted(path: Path, contig: str, rows: list[tuple[int, int, float, int]]) -> _Stretches:
    starts, ends, values, lines = (np.array(column) for column in zip(*sorted(rows), strict=True))
    overlapping = np.flatnonzero(starts[1:] < ends[:-1])
    if len(overlapping):
        at = int(overlapping[0])
        first, second = sorted(lines[at : at + 2])
        raise ValueError(
            f"A base must have one value; lines {first:,} and {second:,} of {path.name} both hold {contig}:"
            f"{starts[at + 1] + 1:,}. Keep one of them."
        )
    return starts, ends, values


def binary_kind(path: Path) -> str:
    """``"bigWig"`` or ``"bigBed"`` by the first bytes of a file, whatever its name; empty for any other file."""
    with open(path, "rb") as handle:
        return _BINARY.get(handle.read(4), "")


def binary_records(path: Path, within: Interval | None = None) -> Iterator[tuple[Any, ...]]:
    """Contig, start, end and the other fields of each record, all or those that overlap; those of a bigWig are cut to it."""
    with _opened(path) as file:
        for name, length in file.chroms().items():
            if within is not None and canonical_contig(name) != canonical_contig(within.chrom):
                continue
            start, end = (max(within.start, 0), min(within.end, length)) if within else (0, length)
            if start < end:
                for record in file.records(name, start, end):
                    yield (name, *record)


@contextmanager
def _opened(path: Path) -> Generator[Any]:
    pybigtools = need("pybigtools", "bigwig")
    try:
        # By its path it would be refused under a name without .bw, .bigWig, .bb or .bigBed.
        with open(opened(path), "rb") as handle, pybigtools.open(handle) as file:
            yield file
    except BaseException as error:
        if type(error).__name__ not in ("BBIReadError", "PanicException"):
            raise
        raise ValueError(
            f"{path.name} must be a whole {binary_kind(path)} file, but reading it ended with '{error}'. It is truncated or "
            f"corrupt: fetch it again."
        ) from error
