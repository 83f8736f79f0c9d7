"""What the cursor of a map reads: values in cells of rows and columns, and where the cells lie in the image.

The data become one JSON object inside the figure's HTML; the script beside it (`cells.js`) shows them. A small table
travels as 32-bit floats. The weights of an attention map travel as levels whose steps grow with the weight, deflated:
16 bits each where that stays small, else as many levels as fit, and the readout then says fewer digits.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ntviz.plot.readout import packed_floats, script_json

POWER = 4
"""Level q of L stands for top · (q / L)⁴: steps near zero are fine, and zero is zero."""

LEVELS = (65_534, 254, 180, 126, 90, 62, 44, 30, 20)
"""Levels to choose from, finest first."""

DIGITS = {65_534: 3}
"""Digits worth showing with so many levels; two, or one near zero, with fewer."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """The rows or the columns of a map.

    Parameters
    ----------
    name
        What one of them is: query, key, layer, head.
    names
        [place] text of each; or None when `spans` say where they lie.
    spans
        [place, 2] on the genome, 0-based half-open, in the order of the picture.
    chrom
        Contig name, shown before positions.
    start, bases
        0-based position of the leftmost base on the genome, and all bases from there in the reading direction of the
        picture; `reverse` when that is the - strand. Empty bases: the readout has no letters.
    runs
        (first place, place after the last, text) of what is there, such as an exon.
    """

    name: str
    names: Sequence[str] | None = None
    spans: np.ndarray | None = None
    chrom: str = ""
    start: int = 0
    bases: str = ""
    reverse: bool = False
    runs: Sequence[tuple[int, int, str]] = ()

    def __len__(self) -> int:
        return len(self.names) if self.names is not None else 0 if self.spans is None else len(self.spans)

    def packed(self) -> dict[str, Any]:
        """The places as JSON-ready plain values; positions as steps, which are short."""
        data: dict[str, Any] = {"name": self.name, "n": len(self)}
        if self.names is not None:
            data["names"] = list(self.names)
        elif self.spans is not None:
            spans = np.asarray(self.spans, dtype=np.int64)
            data["chrom"] = self.chrom
            data["steps"] = np.diff(spans[:, 0], prepend=0).tolist()
            data["sizes"] = (spans[:, 1] - spans[:, 0]).tolist()
            if self.bases:
                data |= {"bases": self.bases, "start": self.start, "reverse": self.reverse}
        if self.runs:
            data["runs"] = [list(run) for run in self.runs]
        return data


@dataclass(frozen=True, slots=True, eq=False)
class CellLane:
    """One value of the readout.

    Parameters
    ----------
    label, unit
        Shown before and after the value.
    values
        Numbers [row, column], or [sheet, row, column] in a map of several sheets; NaN where there is none. With `of`
        the rows: [row].
    of
        "cell", "row", or "image": then the level of a cell is read from the image's own palette.
    quantised
        Whether to send levels instead of floats. Values must then be at least 0.
    texts
        Instead of numbers, [row · columns + column] text; empty where there is nothing to say.
    tops, power, levels
        Of a lane read from the image: [sheet] value of the last of `levels` levels, and the power of the scale.
    """

    label: str
    unit: str = ""
    values: np.ndarray | None = None
    of: str = "cell"
    quantised: bool = False
    texts: Sequence[str] | None = None
    tops: Sequence[float] = ()
    power: float = 1.0
    levels: int = 0

    def packed(self, most: int) -> dict[str, Any]:
        """The lane as JSON-ready plain values; levels take at most `most` characters where the fewest can."""
        data: dict[str, Any] = {"label": self.label}
        if self.unit:
            data["unit"] = self.unit
        if self.of != "cell":
            data["of"] = self.of
        if self.of == "image":
            data |= {"tops": [float(f"{top:.6g}") for top in self.tops], "power": self.power}
            return data | {"levels": self.levels, "digits": 2}
        if self.texts is not None:
            return data | {"texts": list(self.texts)}
        if self.values is None:
            return data
        if self.quantised:
            return data | packed_levels(self.values, most=most)
        return data | {"values": packed_floats(np.asarray(self.values).ravel())}


def packed_levels(values: np.ndarray, *, most: int) -> dict[str, Any]:
    """Values of at least 0 as deflated levels, as many as fit into `most` characters; NaN is the level after the last.

    Examples
    --------
    >>> packed = packed_levels(np.array([[0.0, 0.5]]), most=1000)
    >>> packed["levels"], packed["top"], packed["digits"]
    (65534, 0.5, 3)
    """
    values = np.asarray(values, dtype=float)
    missing = np.isnan(values)
    top = float(np.max(values, initial=0.0, where=~missing)) or 1.0
    # JSON carries the top exactly, so both sides compute with the same number.
    roots = np.where(missing, 0.0, values / top) ** (1 / POWER)
    for n in LEVELS:
        levels = np.where(missing, n + 1, np.rint(roots * n)).ravel()
        if n != LEVELS[-1] and _least(levels) > most:
            continue
        if n > 255:
            # High bytes first, then low ones: each half packs better by itself.
            raw = levels.astype("<u2").view(np.uint8).reshape(-1, 2).T.tobytes()
        else:
            raw = levels.astype(np.uint8).tobytes()
        text = base64.b64encode(zlib.compress(raw, 6)).decode("ascii")
        if len(text) <= most or n == LEVELS[-1]:
            break
    return {"deflated": text, "levels": n, "top": top, "power": POWER, "digits": DIGITS.get(n, 2)}


def _least(levels: np.ndarray) -> float:
    """Characters that levels take at least if neighbours say nothing of each other, less an eighth because they may."""
    _, counts = np.unique(levels.astype(np.int32), return_counts=True)
    bits = -float((counts * np.log2(counts / levels.size)).sum())
    return bits / 8 * 4 / 3 * 0.875


@dataclass(frozen=True, slots=True)
class CellPane:
    """A rectangle of the image that shows rows and columns; fractions of the image from its top left corner.

    Parameters
    ----------
    x0, x1, y0, y1
        Of the cells.
    columns, rows
        What the left and right edges, and the top and bottom ones, stand for: positions on the genome, or numbers of
        columns and rows.
    reach
        (x0, x1, y0, y1) of the cells with the tracks around them, through which the cursor's lines run; the cells
        alone when None.
    sheet
        Number of the sheet that the rectangle shows.
    """

    x0: float
    x1: float
    y0: float
    y1: float
    columns: tuple[float, float]
    rows: tuple[float, float]
    reach: tuple[float, float, float, float] | None = None
    sheet: int = 0

    def packed(self) -> dict[str, Any]:
        """The pane as JSON-ready plain values."""
        box = [round(value, 5) for value in (self.x0, self.x1, self.y0, self.y1)]
        data: dict[str, Any] = {"box": box, "c": list(self.columns), "r": list(self.rows)}
        if self.reach is not None:
            data["reach"] = [round(value, 5) for value in self.reach]
        if self.sheet:
            data["s"] = self.sheet
        return data


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Everything the cursor of a map can say.

    Parameters
    ----------
    rows, columns
        Of the map.
    lanes
        Lines of the readout; the first is the one that the M key climbs.
    panes
        Parts of the image that show cells.
    sheets
        Names of maps with the same rows and columns, such as one for each head; empty for a single map.
    start
        Sheet, row and column at which the keyboard cursor begins.
    most
        Characters that all quantised lanes may take together.
    """

    script: ClassVar[str] = "cells.js"
    kind: ClassVar[str] = "application/vnd.ntviz.cells+json"

    rows: Places
    columns: Places
    lanes: Sequence[CellLane]
    panes: Sequence[CellPane]
    sheets: Sequence[str] = ()
    start: tuple[int, int, int] = (0, 0, 0)
    most: int = 1_150_000

    def packed(self, title: str) -> dict[str, Any]:
        """The readout as JSON-ready plain values."""
        share = self.most // max(1, sum(lane.quantised for lane in self.lanes))
        data: dict[str, Any] = {
            "title": title,
            "rows": self.rows.packed(),
            "columns": self.columns.packed(),
            "lanes": [lane.packed(share) for lane in self.lanes],
            "panes": [pane.packed() for pane in self.panes],
            "start": list(self.start),
        }
        if self.sheets:
            data["sheets"] = list(self.sheets)
        return data

    def json(self, title: str) -> str:
        """The readout as JSON that may stand inside an HTML script element, whatever the names in it are."""
        return script_json(self.packed(title))
