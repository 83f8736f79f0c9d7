"""Ticks: round genome positions, and numbers that all have as many decimals as their step needs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axis import Axis
from matplotlib.ticker import Formatter, MaxNLocator

from ntviz.genome import Interval
from ntviz.plot.words import number, text_width


class StepFormatter(Formatter):
    """Tick labels with the decimals of the axis's step, thousands separators and a real minus sign.

    Parameters
    ----------
    short
        Whether to write millions as M and thousands from 10,000 on as k.
    """

    def __init__(self, *, short: bool = False) -> None:
        self.short = short

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The label of one tick that stands alone."""
        return self.format_ticks([x])[0]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """The labels of all ticks of an axis."""
        places = sorted(float(value) for value in values)
        top = max((abs(place) for place in places), default=0.0)
        size, letter = 1.0, ""
        if self.short and top >= 1e4:
            size, letter = next((s, n) for s, n in ((1e9, " G"), (1e6, " M"), (1e3, " k")) if top >= s)
        gaps = [b - a for a, b in pairwise(places) if b > a]
        step = min(gaps, default=top) / size
        if step < 1e-4:
            return [number(value) for value in values]
        decimals = next((d for d in range(6) if abs(step * 10**d - round(step * 10**d)) < 1e-6 * 10**d), 6)
        labels = [f"{value / size:,.{decimals}f}{letter}".replace("-", "−") for value in values]
        return ["0" if value == 0 else label for value, label in zip(values, labels, strict=True)]


def numbers(axis: Axis, *, most: int, short: bool = False, whole: bool = False) -> None:
    """Give an axis at most `most` ticks at steps of 1, 2 or 5, labelled by `StepFormatter`; whole numbers only if so said."""
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10], integer=whole))
    axis.set_major_formatter(StepFormatter(short=short))


def tick_positions(interval: Interval, width: float) -> list[int]:
    """Round 1-based positions of an interval, as many as fit an axis `width` inches wide without touching labels.

    Examples
    --------
    >>> tick_positions(Interval("chr20", 999, 2000), 9.0)
    [1000, 1200, 1400, 1600, 1800, 2000]
    """
    room = max(2, int(width / (text_width(f"{interval.end:,}", 8.5) + 0.55)))
    scale = 1
    while True:
        for step in (scale, 2 * scale, 5 * scale):
            if len(interval) / step <= room:
                first = -(-(interval.start + 1) // step) * step
                return list(range(first, interval.end + 1, step)) or [interval.midpoint + 1]
        scale *= 10
