"""Tracks of a locus figure: what a track is, and those of genes, signals and regions.

Positions inside are 0-based half-open. On the axis a base stands around its 1-based number: base p, counted from 0, is drawn
from p + 0.5 to p + 1.5, so that ticks and hover texts are 1-based without more. Arrays come and stay in the reading direction
of their interval: on the - strand coordinates fall from left to right and the sequence reads 5′ to 3′ as the model read it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ntviz.genome import Interval, canonical_contig
from ntviz.plot.theme import WIDTH


@dataclass(frozen=True, slots=True)
class View:
    """The part of the genome that a row of a locus figure shows.

    Parameters
    ----------
    interval
        The bases drawn; its strand gives the reading direction.
    whole
        The interval of the figure, which arrays without an interval of their own cover.
    part
        Where letters are drawn, 0-based half-open; start = end for nowhere.
    bases
        [base] letters of `interval` as read from left to right, when the caller gave them.
    """

    interval: Interval
    whole: Interval
    part: tuple[int, int]
    bases: str | None = None

    @property
    def reverse(self) -> bool:
        """Whether coordinates fall from left to right."""
        return self.interval.strand == "-"

    @property
    def positions(self) -> np.ndarray:
        """[base] 1-based positions as drawn, in reading direction; float64, which is exact for every genome."""
        up = np.arange(self.interval.start + 1, self.interval.end + 1, dtype=np.float64)
        return up[::-1] if self.reverse else up

    @property
    def in_part(self) -> np.ndarray:
        """[base] whether letters are drawn there, in reading direction."""
        return (self.positions > self.part[0]) & (self.positions <= self.part[1])

    @property
    def base_width(self) -> float:
        """Pixels of one base on a page of the usual width, before any zoom."""
        return WIDTH / len(self.interval)

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
        cut = np.full((len(self.interval), *np.shape(values)[1:]), np.nan)
        start, end = self.clip(over.start, over.end)
        if start < end:
            first, last = self.stops(start, end)
            shift = over.end - end if self.reverse else start - over.start
            cut[first:last] = values[shift : shift + end - start]
        return cut


@dataclass(frozen=True, slots=True)
class Panel:
    """One row of a locus figure while it is drawn: what a track's `draw` gets."""

    figure: go.Figure
    row: int
    view: View

    def add(self, *traces: Any) -> None:
        """Add traces to the row. A trace without a name is no data: `plot.table` leaves it out.

        A trace whose `meta` is "letters" depends on `view.part`; the same draw gives the same traces in the same order for
        each part, empty ones too, so that letters can follow a zoom.
        """
        for trace in traces:
            trace.showlegend = False
            self.figure.add_trace(trace, row=self.row, col=1)

    def yaxis(self, **options: Any) -> None:
        """Set options of the row's vertical axis."""
        self.figure.update_yaxes(**options, row=self.row, col=1)


@dataclass(frozen=True, slots=True)
class Track:
    """A row of a locus figure.

    Parameters
    ----------
    label
        Name of the track, plain text: above the row, and in the alt sentence.
    height
        Pixels of the row.
    draw
        Adds traces to a `Panel`, and returns the track's part of the alt sentence, without its label and full stop.
    unit
        Title of the vertical axis; "" where heights mean nothing, and the axis is then hidden.
    letters
        Whether the track has letters, and stands in the enlarged part too.
    note
        Small text beside the label, plain.
    """

    label: str
    height: int
    draw: Callable[[Panel], str]
    unit: str = ""
    letters: bool = False
    note: str = ""
