"""What the cursor of a figure reads: positions, values, and where they lie in the image.

A readout is data, not code: it becomes one compact JSON object inside the figure's HTML, and the script beside it
(`readout.js`) shows it. Values travel as 32-bit floats: a window of 10,000 bases costs 53 kB a track.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

MOST_STOPS = 20_000
"""Cursor positions at most; a longer window is binned, and the readout then names the bases of a bin."""


class Cursor(Protocol):
    """What a figure needs of a readout: its data, and the script that shows them."""

    @property
    def script(self) -> str:
        """File name of the script, beside this module."""
        ...

    @property
    def kind(self) -> str:
        """Type of the script element that holds the data: each script leaves the data of others alone."""
        ...

    def json(self, title: str) -> str:
        """The data as JSON that may stand inside an HTML script element."""
        ...


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of the readout.

    Parameters
    ----------
    label, unit
        Shown before and after the value.
    values
        [stop] numbers, NaN where there is none; or None when `texts` or `runs` say it.
    letters
        [stop] one letter shown before each value, such as the base that a model expects.
    texts
        [stop] text instead of a number.
    runs
        (first stop, stop after the last, text), for what is the same over many stops; they may overlap.
    """

    label: str
    unit: str = ""
    values: np.ndarray | None = None
    letters: str | None = None
    texts: Sequence[str] | None = None
    runs: Sequence[tuple[int, int, str]] = ()

    def binned(self, width: int) -> Lane:
        """The lane with `width` stops taken together: the value farthest from zero, and its letter."""
        if width == 1:
            return self
        values, letters = self.values, self.letters
        if values is not None:
            padding = -len(values) % width
            table = np.append(np.asarray(values, dtype=float), np.full(padding, np.nan)).reshape(-1, width)
            strength = np.where(np.isnan(table), -1.0, np.abs(table))
            pick = strength.argmax(axis=1)
            rows = np.arange(len(table))
            values = table[rows, pick]
            if letters is not None:
                padded = letters + "N" * padding
                letters = "".join(
                    padded[row * width + column] for row, column in zip(rows, pick, strict=True)
                )
        texts = None if self.texts is None else list(self.texts)[::width]
        runs = [(start // width, -(-end // width), text) for start, end, text in self.runs]
        return Lane(self.label, self.unit, values, letters, texts, runs)

    def packed(self) -> dict[str, Any]:
        """The lane as JSON-ready plain values."""
        data: dict[str, Any] = {"label": self.label}
        if self.unit:
            data["unit"] = self.unit
        if self.values is not None:
            data["values"] = packed_floats(self.values)
            if self.letters is not None:
                data["letters"] = self.letters
        elif self.texts is not None:
            data["texts"] = list(self.texts)
        else:
            data["runs"] = [list(run) for run in self.runs]
        return data


def packed_floats(values: np.ndarray) -> str:
    """Numbers as base64 of little-endian 32-bit floats; what is missing is NaN.

    Examples
    --------
    >>> packed_floats(np.array([1.0, np.nan]))
    'AACAPwAAwH8='
    """
    floats = np.asarray(values, dtype=float)
    return base64.b64encode(np.where(np.isfinite(floats), floats, np.nan).astype("<f4").tobytes()).decode(
        "ascii"
    )


@dataclass(frozen=True, slots=True)
class Pane:
    """A rectangle of the image whose width is a range of stops; fractions of the image from its top left corner."""

    x0: float
    x1: float
    y0: float
    y1: float
    first: float
    last: float

    def packed(self) -> dict[str, float]:
        """The pane as JSON-ready plain values."""
        names = ("x0", "x1", "y0", "y1")
        return {name: round(getattr(self, name), 5) for name in names} | {"a": self.first, "b": self.last}


@dataclass(frozen=True, slots=True)
class GenomeStops:
    """Stops that are bases (or bins of them) of one contig, from left to right in the picture.

    Parameters
    ----------
    chrom
        Contig name, shown before the position.
    first, last
        1-based position of the leftmost and of the rightmost base; `first` is the larger one on the - strand.
    bases
        [base] letters as read from left to right, or None when the caller did not give the sequence.
    """

    chrom: str
    first: int
    last: int
    bases: str | None = None


@dataclass(frozen=True, slots=True)
class Readout:
    """Everything the cursor of one figure can say.

    Parameters
    ----------
    n
        Number of stops, before binning.
    lanes
        Lines of the readout.
    genome, panes
        For a figure over the genome: its stops, and the parts of the image that show them.
    heads, boxes
        For any other figure: [stop] text, and [stop] rectangle (x0, y0, x1, y1) as fractions of the image.
    start
        Stop at which the keyboard cursor begins; the middle by default.
    """

    script: ClassVar[str] = "readout.js"
    kind: ClassVar[str] = "application/json"

    n: int
    lanes: Sequence[Lane]
    genome: GenomeStops | None = None
    panes: Sequence[Pane] = ()
    heads: Sequence[str] = ()
    boxes: Sequence[tuple[float, float, float, float]] = field(default=())
    start: int | None = None

    def packed(self, title: str) -> dict[str, Any]:
        """The readout as JSON-ready plain values, binned when it has more than `MOST_STOPS` stops."""
        if self.genome is None:
            data: dict[str, Any] = {
                "title": title,
                "n": self.n,
                "lanes": [lane.packed() for lane in self.lanes],
                "heads": list(self.heads),
                "boxes": [[round(value, 5) for value in box] for box in self.boxes],
            }
        else:
            width = -(-self.n // MOST_STOPS)
            genome = self.genome
            place: dict[str, Any] = {
                "chrom": genome.chrom,
                "first": genome.first,
                "last": genome.last,
                "step": 1 if genome.last >= genome.first else -1,
                "bin": width,
            }
            if genome.bases is not None and width == 1:
                place["bases"] = genome.bases
            panes = [pane.packed() for pane in self.panes]
            for pane in panes:
                pane["a"], pane["b"] = pane["a"] / width, pane["b"] / width
            data = {
                "title": title,
                "n": -(-self.n // width),
                "genome": place,
                "panes": panes,
                "lanes": [lane.binned(width).packed() for lane in self.lanes],
            }
            if self.start is not None:
                data["start"] = self.start // width
        if self.genome is None and self.start is not None:
            data["start"] = self.start
        return data

    def json(self, title: str) -> str:
        """The readout as JSON that may stand inside an HTML script element, whatever the names in it are."""
        return script_json(self.packed(title))


def script_json(data: dict[str, Any]) -> str:
    r"""JSON that may stand inside an HTML script element, whatever the text in it is.

    Examples
    --------
    >>> script_json({"name": "</script>"})
    '{"name":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
