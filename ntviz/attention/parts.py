"""How the windows of an analysis are divided, and the folder that keeps each finished part until all are there."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import environment
from ntviz.genome import Interval, canonical_contig

if TYPE_CHECKING:
    from ntviz.attention.counting import Part, Window

_BLOCK_LENGTH = 8  # windows
_MOST_GROUPS = 500
_PARTS = 64
_LARGEST_PART = 128  # windows


@dataclass(frozen=True)
class Layout:
    """Windows in the order of the genome, nested: window, block, group, chunk. It follows from the windows alone.

    Attributes
    ----------
    windows
        In the order of the genome. Those that overlap share a block, up to 8 window lengths: elements are shifted
        together there. Blocks side by side make up to 500 groups: what is resampled.
    chunk
        [window] number of its chunk: what is counted and written at once. A group is never divided.
    """

    windows: tuple[Window, ...]
    chunk: np.ndarray

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return int(self.chunk.max()) + 1

    @property
    def groups(self) -> int:
        """Number of groups."""
        return max(window.group for window in self.windows) + 1

    def of(self, chunk: int) -> list[Window]:
        """The windows of a chunk."""
        return [self.windows[at] for at in np.flatnonzero(self.chunk == chunk)]


def layout(intervals: Sequence[Interval]) -> Layout:
    """Divides windows; the order they are given in makes no difference."""
    from ntviz.attention.counting import Window

    def place(index: int) -> tuple[Any, ...]:
        one = intervals[index]
        return canonical_contig(one.chrom), one.start, one.end, one.strand

    order = sorted(range(len(intervals)), key=place)
    block = np.zeros(len(order), dtype=np.int64)
    names: list[str] = []
    contig, first, reached = "", 0, 0
    for at, index in enumerate(order):
        one = intervals[index]
        own = canonical_contig(one.chrom)
        if (
            own != contig
            or one.start >= reached
            or one.start - first >= _BLOCK_LENGTH * len(one)
            or not names
        ):
            contig, first, reached = own, one.start, one.end
            names.append(f"{own}:{one.start}-{one.end}")
        reached = max(reached, one.end)
        block[at] = len(names) - 1
    total = len(order)
    group = _runs(block, max(total / _MOST_GROUPS, 1))
    chunk = _runs(group, min(max(-(-total // _PARTS), 1), _LARGEST_PART))
    windows = (
        Window(index, intervals[index], names[block[at]], int(group[at])) for at, index in enumerate(order)
    )
    return Layout(tuple(windows), chunk)


def _runs(inner: np.ndarray, size: float) -> np.ndarray:
    """Joins neighbours of about `size` windows, [window] number; inner runs, which are sorted, stay whole."""
    starts = np.flatnonzero(np.diff(inner, prepend=-1))
    wanted = np.floor(starts / size)
    return np.cumsum(np.diff(wanted, prepend=-1) > 0)[inner] - 1


def digest(*things: object) -> str:
    """SHA-256 of things that have a text, in hexadecimal."""
    return hashlib.sha256("\n".join(map(str, things)).encode()).hexdigest()


class Folder:
    """Finished parts of one analysis, each written whole or not at all.

    Parameters
    ----------
    path
        The folder; made if missing.
    about
        What makes this analysis what it is, as plain data. A folder of another one is refused.

    Raises
    ------
    ValueError
        The folder holds another analysis; the message says in what they differ.
    """

    def __init__(self, path: str | Path, about: dict[str, Any]) -> None:
        self.path = Path(path)
        self.about = json.loads(json.dumps(about))
        card = self.path / "analysis.json"
        if card.exists():
            there = json.loads(card.read_text(encoding="utf-8"))
            differ = [
                f"{key} is {there.get(key)!r} there and {self.about.get(key)!r} here"
                for key in sorted({*there, *self.about})
                if there.get(key) != self.about.get(key)
            ]
            if differ:
                raise ValueError(
                    f"The folder of an analysis must hold this analysis or nothing; {self.path} holds another: "
                    f"{'; '.join(differ)}. Use another folder."
                )
        else:
            with environment.atomic_write(card, "w") as handle:
                json.dump(self.about, handle, indent=1)

    @classmethod
    def found(cls, path: str | Path) -> Folder:
        """The folder of an analysis that was begun.

        Raises
        ------
        FileNotFoundError
            There is none.
        """
        card = Path(path) / "analysis.json"
        if not card.exists():
            raise FileNotFoundError(
                f"A folder of parts must hold analysis.json; {path} does not. Pass the folder that "
                "attention.enrichment was given as out=."
            )
        return cls(path, json.loads(card.read_text(encoding="utf-8")))

    def file(self, chunk: int) -> Path:
        """Where a part is kept."""
        return self.path / f"part-{chunk:05d}.npz"

    def missing(self) -> list[int]:
        """Numbers of the parts that are not there yet."""
        return [chunk for chunk in range(self.about["parts"]) if not self.file(chunk).exists()]

    def whole(self, chunk: int) -> bool:
        """Whether a part is there, and can be read."""
        try:
            self.read(chunk)
        except (FileNotFoundError, ValueError):
            return False
        return True

    def write(self, chunk: int, part: Part) -> None:
        """Keeps a part."""
        arrays = {name: _narrow(values) for name, values in part.sums.items()}
        arrays |= {"groups": part.groups, "rows": np.array(json.dumps(part.rows))}
        with environment.atomic_write(self.file(chunk)) as handle:
            np.savez_compressed(handle, allow_pickle=False, **arrays)

    def read(self, chunk: int) -> Part:
        """A part as it was written.

        Raises
        ------
        ValueError
            The file is damaged.
        """
        from ntviz.attention.counting import Part

        content = self.file(chunk).read_bytes()
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                sums = {name: arrays[name] for name in arrays.files}
        except environment.DAMAGED as error:
            raise ValueError(
                f"A part must be as it was written; {self.file(chunk)} is damaged ({error}). Delete it and run the "
                "analysis again: only this part is counted anew."
            ) from error
        groups, rows = sums.pop("groups"), json.loads(str(sums.pop("rows")))
        return Part(groups, {name: values.astype(np.int64) for name, values in sums.items()}, rows)


def _narrow(values: np.ndarray) -> np.ndarray:
    """The same whole numbers in as few bytes as hold them."""
    largest = int(np.abs(values).max(initial=0))
    for kind in (np.int8, np.int16, np.int32):
        if largest <= np.iinfo(kind).max:
            return values.astype(kind)
    return values
