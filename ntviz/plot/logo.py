"""Tracks of letters: `logo_track` (what a model expects at each base) and `sequence_track` (what is there).

References
----------
Schneider TD, Stephens RM (1990) Nucleic Acids Res 18:6097 (sequence logos). Information comes without small-sample
correction: the probabilities are a model's, not counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ntviz.genome import Interval
from ntviz.plot import palette
from ntviz.plot.letters import LETTER_PIXELS, add_path, check_bases, draw_letters, letter_path
from ntviz.plot.readout import Lane
from ntviz.plot.signals import binning_note, draw_signal
from ntviz.plot.view import Drawn, Row, View
from ntviz.plot.words import number, plain

BLOCK_PIXELS = 1.5
"""CSS pixels a base needs for a coloured block in the sequence track."""


def information(probabilities: np.ndarray, background: np.ndarray | float = 0.25) -> np.ndarray:
    """Information of each base's distribution, in bits over a background: 0 where it is the background's.

    Parameters
    ----------
    probabilities
        [base, 4]; a row of NaN gives NaN.
    background
        Probabilities without information, [4] or [base, 4] and positive; four alike by default, so that one certain
        base has 2 bits.

    Examples
    --------
    >>> information(np.array([[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0]])).tolist()
    [2.0, 0.0, 1.0]
    >>> information(np.array([[1.0, 0, 0, 0]]), np.array([0.5, 0.125, 0.125, 0.25])).tolist()
    [1.0]
    """
    p = np.asarray(probabilities, dtype=float)
    ratio = np.where(p > 0, p, 1.0) / background
    return np.where(np.isnan(p), np.nan, np.where(p > 0, p * np.log2(ratio), 0.0)).sum(axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class LogoTrack:
    """Base probabilities, as `logo_track` makes it."""

    probabilities: np.ndarray
    kind: Literal["bits", "probability"]
    label: str
    control: np.ndarray | None
    control_label: str
    over: Interval | None
    height: float
    zoomable: bool = True

    def drawn(self, view: View) -> Drawn:
        """The rows, lanes and sentence of this track over a view."""
        letters = view.base_width >= LETTER_PIXELS
        top = self._top()
        shown = view.crop(self.probabilities, self.over, self.label)
        rows = [self._row(view, shown, self.label, "", top=top, letters=letters, control=False)]
        lanes = self._lanes(shown, self.label, view)
        words = f"{self.label}: {self._said(shown, view)}"
        if self.control is not None:
            control = view.crop(self.control, self.over, f"{self.label}: control")
            rows.append(
                self._row(
                    view, control, "Control", self.control_label, top=top, letters=letters, control=True
                )
            )
            lanes += self._lanes(control, f"control ({self.control_label})", None)
            words += f"; in the control ({self.control_label}) {self._said(control, view)}"
        return Drawn(tuple(rows), tuple(lanes), words)

    @property
    def unit(self) -> str:
        """Unit of the vertical axis."""
        return "bits" if self.kind == "bits" else "probability"

    def _top(self) -> float:
        if self.kind == "probability":
            return 1.0
        both = [self.probabilities] if self.control is None else [self.probabilities, self.control]
        peak = float(np.nanmax(information(np.concatenate(both)), initial=0.0))
        return next((step for step in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5) if peak <= step), 2.0)

    def _strength(self, probabilities: np.ndarray) -> np.ndarray:
        return information(probabilities) if self.kind == "bits" else probabilities.max(axis=1)

    def _row(
        self,
        view: View,
        shown: np.ndarray,
        label: str,
        note: str,
        *,
        top: float,
        letters: bool,
        control: bool,
    ) -> Row:
        if control:
            aside = note
        elif letters:
            aside = "letter height: information" if self.kind == "bits" else "letter height: probability"
            if top < 1:
                aside += f"; the axis ends at {top:g} of at most 2 bits"
        else:
            what = (
                "information of the base distribution"
                if self.kind == "bits"
                else "probability of the likeliest base"
            )
            aside = f"{what}, as a line: {len(view.interval):,} bp is too long for letters"
            aside = "; ".join(part for part in (aside, binning_note(view)) if part)

        def draw(ax: Axes) -> None:
            if letters:
                draw_logo(ax, view, shown, kind=self.kind)
            else:
                colour = palette.CONTROL if control else palette.ACCENT
                draw_signal(ax, view, self._strength(shown), colour=colour)
            ax.set_ylim(0, top)
            ax.set_yticks([0, top / 2, top])
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
            ax.set_ylabel(self.unit)

        name = f"{self.label}: control" if control else self.label
        return Row(name, label, aside, self.height, draw, control)

    def _lanes(self, shown: np.ndarray, label: str, view: View | None) -> list[Lane]:
        known = np.isfinite(shown).all(axis=1)
        likeliest = np.nan_to_num(shown).argmax(axis=1)
        best = np.where(known, likeliest, 4)
        letters = "".join("ACGTN"[index] for index in best)
        lanes = [Lane(label, self.unit, self._strength(shown), letters=letters)]
        if view is not None and view.bases is not None:
            index = np.array([palette.BASES.find(base) for base in view.bases])
            there = np.where(index >= 0, shown[np.arange(len(shown)), index], np.nan)
            lanes.append(Lane("probability of the base there", "", there))
        return lanes

    def _said(self, shown: np.ndarray, view: View) -> str:
        strength = self._strength(shown)
        finite = np.isfinite(strength)
        if not finite.any():
            return "no values here"
        best = int(np.where(finite, strength, -1.0).argmax())
        position = view.interval.end - best if view.reverse else view.interval.start + best + 1
        letter = palette.BASES[int(shown[best].argmax())]
        said = f"largest {number(float(strength[best]))} {self.unit} ({letter} at {position:,})"
        said += f", mean {number(float(strength[finite].mean()))}"
        if self.kind == "bits":
            said += " of at most 2 bits"
        return said


def logo_track(
    probabilities: np.ndarray,
    *,
    kind: Literal["bits", "probability"] = "bits",
    label: str = "Bases the model expects",
    control: np.ndarray | None = None,
    control_label: str = "shuffled sequence",
    over: Interval | None = None,
    height: float = 0.85,
) -> LogoTrack:
    """A track of base probabilities as a sequence logo, or as a line where letters would be too narrow.

    Parameters
    ----------
    probabilities
        [base, 4] in the order A, C, G, T, in the reading direction of the interval. Each row sums to 1, or is NaN
        where the model gives none (N).
    kind
        `bits`: a column is as high as its information, at most 2 bits. `probability`: each column is 1 high.
    label
        Name of the track.
    control
        [base, 4] the same for a control, drawn directly beneath on the same scale.
    control_label
        What the control is.
    over
        Interval that the probabilities cover, when it is not the figure's.
    height
        Of the axes, in inches.

    Raises
    ------
    ValueError
        If the kind is unknown, the shape is not [base, 4], or a row is no probability distribution.

    Examples
    --------
    >>> logo_track(np.full((3, 4), 0.25)).unit
    'bits'
    """
    if kind not in ("bits", "probability"):
        raise ValueError(
            f"The kind of a logo must be 'bits' or 'probability'; received {kind!r}. "
            f"Use 'bits' to see where the model is sure, 'probability' to compare bases at every position."
        )
    return LogoTrack(
        _distributions(probabilities, label),
        kind,
        plain(label, most=90),
        None if control is None else _distributions(control, f"{label}: control"),
        plain(control_label),
        over,
        height,
    )


def _distributions(probabilities: np.ndarray, label: str) -> np.ndarray:
    p = np.asarray(probabilities, dtype=float)
    if p.ndim != 2 or p.shape[1:] != (4,):
        raise ValueError(
            f"{label!r} must have the shape [base, 4] in the order A, C, G, T; received {list(p.shape)}. "
            f"Sum token probabilities over the base's place first (tokens.base_log_probs)."
        )
    empty = np.isnan(p).all(axis=1)
    with np.errstate(invalid="ignore"):
        wrong = ~empty & ~((p >= -1e-6).all(axis=1) & (np.abs(p.sum(axis=1) - 1) < 1e-3))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"Each row of {label!r} must be a probability distribution (at least 0, sum 1) or all NaN; received "
            f"{np.array2string(p[first], precision=4)} at base {first} ({int(wrong.sum()):,} such rows). "
            f"Take np.exp of log probabilities."
        )
    return np.clip(p, 0.0, 1.0)


def draw_logo(ax: Axes, view: View, probabilities: np.ndarray, *, kind: str) -> None:
    """Draw a logo of [base, 4] probabilities, the likeliest base on top; one patch for each of the four letters."""
    heights = probabilities * information(probabilities)[:, None] if kind == "bits" else probabilities
    draw_letters(ax, heights, view.edges()[:-1], width=-1.0 if view.reverse else 1.0)
    ax.yaxis.set_major_locator(MaxNLocator(3))


@dataclass(frozen=True, slots=True, eq=False)
class SequenceTrack:
    """The bases themselves, as `sequence_track` makes it."""

    sequence: str
    label: str
    over: Interval | None
    zoomable: bool = True

    def drawn(self, view: View) -> Drawn:
        """A row of letters or blocks where a base is wide enough for one; nothing in a longer window."""
        codes = np.array([ord(base) for base in self.sequence], dtype=float)
        shown = view.crop(codes, self.over, self.label)
        if view.base_width < BLOCK_PIXELS:
            return Drawn()
        bases = np.array(["N" if np.isnan(code) else chr(int(code)) for code in shown])
        height = 0.17

        def draw(ax: Axes) -> None:
            edges = view.edges()
            step = -1.0 if view.reverse else 1.0
            letters = view.base_width >= LETTER_PIXELS + 1
            # As wide as a letter of this height should be, or as the base allows.
            wide = min(0.86, 0.8 * height * 96 / view.base_width) if letters else 1.0
            for letter in sorted(set(bases.tolist())):
                at = np.flatnonzero(bases == letter)
                colour = palette.BASE_COLOURS.get(letter, palette.MUTED)
                left = edges[at] + step * (1 - wide) / 2
                width, full = np.full(at.size, step * wide), np.ones(at.size)
                if letters:
                    path = letter_path(letter, left, full * 0.0, width, full)
                else:
                    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], dtype=float)
                    corner = np.stack([left, full * 0], axis=1)[:, None]
                    size = np.stack([width, full], axis=1)[:, None]
                    path = Path(
                        (square[None] * size + corner).reshape(-1, 2), np.tile([1, 2, 2, 2, 79], at.size)
                    )
                add_path(ax, path, colour, f"base {letter}")
            ax.set_ylim(0, 1)
            ax.set_yticks([])
            ax.spines["left"].set_visible(False)

        strand = "− strand, 5′ to 3′ from left to right" if view.reverse else ""
        return Drawn((Row(self.label, self.label, strand, height, draw),))


def sequence_track(
    sequence: str, *, label: str = "Bases there", over: Interval | None = None
) -> SequenceTrack:
    """A track of the bases themselves: coloured letters, blocks where letters are too narrow, nothing beyond that.

    Parameters
    ----------
    sequence
        One letter a base, in the reading direction of the interval.
    label
        Name of the track.
    over
        Interval that the sequence covers, when it is not the figure's.

    Raises
    ------
    ValueError
        If there is a letter other than A, C, G, T and N.
    """
    return SequenceTrack(check_bases(sequence, "A sequence track"), plain(label, most=90), over)
