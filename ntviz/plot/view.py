"""`View`: the part of the genome that a row of a locus figure shows, and how wide a base is there.

Arrays come and stay in the reading direction of the interval: element 0 is the leftmost base of the picture. On the
- strand the coordinates fall from left to right, so that a sequence reads 5′ to 3′ as the model read it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from ntviz.genome import Interval, canonical_contig
from ntviz.plot import palette
from ntviz.plot.readout import Lane


@dataclass(frozen=True, slots=True)
class View:
    """What one block of rows shows.

    Parameters
    ----------
    interval
        The bases drawn.
    whole
        The interval of the figure, which arrays without an interval of their own cover.
    width
        Width of the axes in inches.
    zoomed
        Whether this is the enlarged part below an overview.
    bases
        [base] letters of the interval as read from left to right, when the caller gave them.
    """

    interval: Interval
    whole: Interval
    width: float
    zoomed: bool = False
    bases: str | None = None

    @property
    def reverse(self) -> bool:
        """Whether coordinates fall from left to right."""
        return self.interval.strand == "-"

    @property
    def base_width(self) -> float:
        """Width of one base, in CSS pixels."""
        return self.width * 96 / len(self.interval)

    @property
    def limits(self) -> tuple[float, float]:
        """Data limits of the axes, left and right: base p covers p to p + 1."""
        start, end = self.interval.start, self.interval.end
        return (end, start) if self.reverse else (start, end)

    def inches(self, bp: float) -> float:
        """Width of `bp` bases, in inches."""
        return bp * self.width / len(self.interval)

    def clip(self, start: int, end: int) -> tuple[int, int]:
        """A 0-based span cut to the view; start >= end when nothing of it is inside."""
        return max(start, self.interval.start), min(end, self.interval.end)

    def stops(self, start: int, end: int) -> tuple[int, int]:
        """A span inside the view as element numbers of its arrays."""
        if self.reverse:
            return self.interval.end - end, self.interval.end - start
        return start - self.interval.start, end - self.interval.start

    def crop(self, values: np.ndarray, over: Interval | None, what: str) -> np.ndarray:
        """The part of an array [base, ...] that this view shows, in its reading direction; NaN where it does not reach.

        Parameters
        ----------
        values
            [base, ...] in the reading direction of `over`.
        over
            Interval that the array covers; that of the figure when None.
        what
            Name of the track, for the message.

        Raises
        ------
        ValueError
            If the array is not one element a base, or lies on another contig or strand.
        """
        over = self.whole if over is None else over
        if len(values) != len(over):
            raise ValueError(
                f"{what!r} must have one value for each of the {len(over):,} bases of {over.label()}; received "
                f"{len(values):,}. Pass the interval that the values cover as over=."
            )
        same_contig = canonical_contig(over.chrom) == canonical_contig(self.interval.chrom)
        if not same_contig or (over.strand == "-") != self.reverse:
            raise ValueError(
                f"{what!r} must lie on the contig and strand of the figure, {self.interval.label()}; received values "
                f"over {over.label()}. Draw them in a figure of their own, or reverse them first."
            )
        shape = (len(self.interval), *np.shape(values)[1:])
        cut = np.full(shape, np.nan)
        start, end = self.clip(over.start, over.end)
        if start < end:
            first, last = self.stops(start, end)
            shift = over.end - end if self.reverse else start - over.start
            cut[first:last] = values[shift : shift + end - start]
        return cut

    def edges(self, n: int | None = None) -> np.ndarray:
        """Data coordinates of the edges of `n` equal bins (bases by default), from left to right of the picture."""
        left, right = self.limits
        return np.linspace(left, right, (len(self.interval) if n is None else n) + 1)


@dataclass(frozen=True, slots=True)
class Row:
    """One axes of a locus figure.

    Parameters
    ----------
    name
        Identifies the row: the track's label, with ": control" for a control.
    label, note
        Written above the axes, bold and plain.
    height
        Of the axes, in inches.
    draw
        Draws onto axes whose horizontal limits are set.
    control
        Whether this is a control: on grey paper, directly beneath what it controls.
    """

    name: str
    label: str
    note: str
    height: float
    draw: Callable[[Axes], None]
    control: bool = False


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a track gives for one view: its rows, the lanes of the cursor, and its sentence of the alt text."""

    rows: tuple[Row, ...] = ()
    lanes: tuple[Lane, ...] = ()
    sentence: str = ""


def without_scale(ax: Axes) -> None:
    """Take the vertical scale and the ground line off axes whose heights mean nothing."""
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.spines["bottom"].set_visible(False)


def nothing_here(ax: Axes) -> None:
    """Write in a row that its track has nothing in the view, which an empty row would leave to guess."""
    ax.text(
        0.0, 0.5, "none here", transform=ax.transAxes, va="center", color=palette.MUTED, fontsize=8.5
    )  # fmt: skip
