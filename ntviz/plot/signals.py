"""The signal track: one number a base, as a filled line from zero, binned where bases are thinner than pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from ntviz.genome import Interval
from ntviz.plot import palette
from ntviz.plot.readout import Lane
from ntviz.plot.ticks import numbers
from ntviz.plot.view import Drawn, Row, View
from ntviz.plot.words import number, plain


@dataclass(frozen=True, slots=True, eq=False)
class SignalTrack:
    """One number a base, as `signal_track` makes it."""

    values: np.ndarray
    label: str
    unit: str
    control: np.ndarray | None
    control_label: str
    diverging: bool
    over: Interval | None
    note: str
    height: float
    zoomable: bool = False

    def drawn(self, view: View) -> Drawn:
        """The rows, lanes and sentence of this track over a view."""
        values = view.crop(self.values, self.over, self.label)
        control = (
            None if self.control is None else view.crop(self.control, self.over, f"{self.label}: control")
        )
        both = [self.values] if self.control is None else [self.values, self.control]
        limits = signal_limits(np.concatenate(both), diverging=self.diverging)
        note = "; ".join(part for part in (self.note, binning_note(view)) if part)

        def draw(ax: Axes, shown: np.ndarray, colour: str) -> None:
            draw_signal(ax, view, shown, colour=colour, diverging=self.diverging)
            ax.set_ylim(*limits)
            ax.set_ylabel(self.unit)

        rows = [Row(self.label, self.label, note, self.height, lambda ax: draw(ax, values, palette.ACCENT))]
        lanes = [Lane(self.label, self.unit, values)]
        words = f"{self.label}: {peak(values, view, self.unit)}"
        if control is not None:
            name = f"{self.label}: control"
            rows.append(
                Row(
                    name,
                    "Control",
                    self.control_label,
                    self.height,
                    lambda ax: draw(ax, control, palette.CONTROL),
                    control=True,
                )
            )
            lanes.append(Lane(f"control ({self.control_label})", self.unit, control))
            words += f"; in the control ({self.control_label}) {peak(control, view, self.unit)}"
        return Drawn(tuple(rows), tuple(lanes), words)


def signal_track(
    values: np.ndarray,
    *,
    label: str,
    unit: str,
    control: np.ndarray | None = None,
    control_label: str = "shuffled sequence",
    diverging: bool = False,
    over: Interval | None = None,
    note: str = "",
    height: float = 0.75,
) -> SignalTrack:
    """A track of one number a base, drawn as a filled line from zero.

    Parameters
    ----------
    values
        [base] in the reading direction of the interval; NaN where there is none. In a window with more bases than
        pixels the line is the mean of each bin between its smallest and largest value, and the label says so.
    label, unit
        Name of the track, and the unit on its axis.
    control
        [base] the same number for a control, drawn directly beneath on the same scale.
    control_label
        What the control is.
    diverging
        Whether the sign carries meaning: the axis is then centred on zero, and the two signs have two colours.
    over
        Interval that the values cover, when it is not the figure's.
    note
        Plain text after the label.
    height
        Of the axes, in inches.

    Raises
    ------
    ValueError
        If the values are not one-dimensional, or are infinite.

    Examples
    --------
    >>> signal_track(np.zeros(3), label="log probability", unit="nats").label
    'log probability'
    """
    return SignalTrack(
        vector(values, label),
        plain(label, most=90),
        plain(unit),
        None if control is None else vector(control, f"{label}: control"),
        plain(control_label),
        diverging,
        over,
        plain(note, most=120),
        height,
    )


def vector(values: np.ndarray, label: str) -> np.ndarray:
    """Values as floats [base], or a ValueError that names the track."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 1:
        raise ValueError(
            f"{label!r} must be one number a base; received an array of shape {list(array.shape)}. "
            f"Reduce it to [base] first."
        )
    if np.isinf(array).any():
        raise ValueError(
            f"{label!r} must be finite, with NaN where there is no value; received {int(np.isinf(array).sum()):,} "
            f"infinite ones, the first at base {int(np.flatnonzero(np.isinf(array))[0])}. Clip them first."
        )
    return array


def halo(text: Text) -> None:
    """Put paper behind the strokes of a text, so that it reads on top of data."""
    text.set_path_effects([withStroke(linewidth=2.2, foreground=palette.PAPER)])


def signal_limits(values: np.ndarray, *, diverging: bool) -> tuple[float, float]:
    """Axis limits that hold the values and zero; symmetric about zero when the sign carries meaning."""
    finite = values[np.isfinite(values)]
    low, high = (min(0.0, float(finite.min())), max(0.0, float(finite.max()))) if finite.size else (0.0, 1.0)
    if diverging:
        low, high = -max(-low, high), max(-low, high)
    if low == high:
        high = low + 1.0
    room = 0.06 * (high - low)
    return (low - room if low < 0 else low), (high + room if high > 0 else high)


def pixel_bins(view: View) -> int | None:
    """Number of bins for a window with more than two bases a CSS pixel; None when each base is drawn."""
    return None if view.base_width >= 0.5 else int(view.width * 96)


def binning_note(view: View) -> str:
    """What the line of a binned window is, for its label."""
    bins = pixel_bins(view)
    return "" if bins is None else f"mean of {len(view.interval) / bins:.0f} bp, band: smallest to largest"


def draw_signal(ax: Axes, view: View, values: np.ndarray, *, colour: str, diverging: bool = False) -> None:
    """Draw [base] values from zero as a filled step line, binned when there are more bases than pixels."""
    bins = pixel_bins(view)
    if bins is not None:
        lowest, values, highest = binned(values, bins)
        centres = (view.edges(bins)[1:] + view.edges(bins)[:-1]) / 2
        ax.fill_between(centres, lowest, highest, color=colour, alpha=0.28, linewidth=0, gid="band")
        ax.plot(centres, values, color=colour, linewidth=1.0, gid="signal")
    else:
        edges = view.edges()
        if diverging:
            parts = [(palette.POSITIVE, values > 0, 0.8), (palette.NEGATIVE, values < 0, 0.8)]
        else:
            # Filling says "how much"; of a log probability, all below zero, it would fill what is missing.
            parts = [(colour, values > 0, 0.30)]
        for tone, part, alpha in parts:
            shown = np.where(part, values, np.where(np.isnan(values), np.nan, 0.0))
            if part.any():
                ax.stairs(
                    shown, edges, baseline=0.0, fill=True, color=tone, alpha=alpha, linewidth=0, gid="fill"
                )
        if not diverging:
            ax.stairs(values, edges, baseline=None, color=colour, linewidth=0.9, gid="signal")
    if diverging or np.nanmin(values, initial=0.0) < 0:
        ax.axhline(0.0, color=palette.INK, linewidth=0.6)
    numbers(ax.yaxis, most=4)


def binned(values: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smallest, mean and largest finite value of each of `bins` equal parts of an array; NaN for a part without one."""
    edges = np.linspace(0, len(values), bins + 1).round().astype(int)
    finite = np.isfinite(values)
    starts = edges[:-1]
    counts = np.add.reduceat(finite.astype(float), starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.add.reduceat(np.where(finite, values, 0.0), starts) / counts
    low = np.minimum.reduceat(np.where(finite, values, np.inf), starts)
    high = np.maximum.reduceat(np.where(finite, values, -np.inf), starts)
    empty = counts == 0
    return np.where(empty, np.nan, low), np.where(empty, np.nan, mean), np.where(empty, np.nan, high)


def peak(values: np.ndarray, view: View, unit: str, *, letters: str = "") -> str:
    """The value farthest from zero, where it is and of which letter, and the mean: words for the alt sentence."""
    finite = np.isfinite(values)
    if not finite.any():
        return "no values here"
    best = int(np.where(finite, np.abs(values), -1.0).argmax())
    position = view.interval.end - best if view.reverse else view.interval.start + best + 1
    word = "largest" if values[finite].min() >= 0 else "farthest from zero"
    place = f"({letters[best]} at {position:,})" if letters else f"at {position:,}"
    value = f"{number(float(values[best]))} {unit}".rstrip()
    return f"{word} {value} {place}, mean {number(float(values[finite].mean()))}"
