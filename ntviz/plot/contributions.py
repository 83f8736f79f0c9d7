"""`contribution_track`: the letters of a sequence, as high as what each contributes, and below zero where it takes away.

For attributions, in-silico mutagenesis, weights of a matrix, and attention received. Letters below zero are upside
down, as everywhere in the field: the place and the shape both tell the sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from ntviz.genome import Interval
from ntviz.plot import palette
from ntviz.plot.letters import LETTER_PIXELS, check_bases, draw_letters
from ntviz.plot.readout import Lane
from ntviz.plot.signals import binning_note, draw_signal, peak, signal_limits, vector
from ntviz.plot.ticks import numbers
from ntviz.plot.view import Drawn, Row, View
from ntviz.plot.words import plain

_LETTERS = "ACGTN"


@dataclass(frozen=True, slots=True, eq=False)
class Contributions:
    """Values [base] or [base, 4], and the sequence that they are of; "" where it is not known."""

    values: np.ndarray
    sequence: str

    @property
    def of_four(self) -> bool:
        """Whether each of the four bases has a value at each position."""
        return self.values.ndim == 2

    @property
    def lettered(self) -> bool:
        """Whether there are letters to draw."""
        return self.of_four or bool(self.sequence)

    def cropped(self, view: View, over: Interval | None, what: str) -> Contributions:
        """The part that a view shows; N, without a value, where there is none."""
        if not self.sequence:
            return Contributions(view.crop(self.values, over, what), "")
        codes = view.crop(np.array([ord(base) for base in self.sequence], dtype=float), over, what)
        letters = "".join("N" if np.isnan(code) else chr(int(code)) for code in codes)
        return Contributions(view.crop(self.values, over, what), letters)

    def heights(self) -> np.ndarray:
        """Height [base, letter] of each letter of ACGTN."""
        heights = np.zeros((len(self.values), len(_LETTERS)))
        if self.of_four:
            heights[:, :4] = self.values
        else:
            column = np.array([_LETTERS.index(base) for base in self.sequence], dtype=int)
            heights[np.arange(len(self.values)), column] = self.values
        return heights

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """How far [base] the stack of letters reaches up and down from zero; NaN without a value."""
        if not self.of_four:
            return np.maximum(self.values, 0.0), np.minimum(self.values, 0.0)
        empty = np.isnan(self.values).all(axis=1)
        parts = (np.nansum(part, axis=1) for part in (np.maximum(self.values, 0), np.minimum(self.values, 0)))
        up, down = (np.where(empty, np.nan, part) for part in parts)
        return up, down

    def strongest(self) -> tuple[np.ndarray, str]:
        """The value [base] farthest from zero at each base, and its letter; letters are "" where they are not known."""
        if not self.of_four:
            return self.values, self.sequence
        sizes = np.where(np.isnan(self.values), -1.0, np.abs(self.values))
        best = sizes.argmax(axis=1)
        known = sizes.max(axis=1, initial=-1.0) >= 0
        letters = "".join(palette.BASES[i] if there else "N" for i, there in zip(best, known, strict=True))
        return self.values[np.arange(len(best)), best], letters

    def there(self) -> np.ndarray | None:
        """The value [base] of the base of the sequence, where others have values too."""
        if not self.of_four or not self.sequence:
            return None
        column = np.array([palette.BASES.find(base) for base in self.sequence], dtype=int)
        return np.where(column >= 0, self.values[np.arange(len(column)), column], np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class ContributionTrack:
    """Contributions of bases, as `contribution_track` makes it."""

    contributions: Contributions
    label: str
    unit: str
    control: Contributions | None
    control_label: str
    over: Interval | None
    note: str
    height: float
    zoomable: bool = True

    def drawn(self, view: View) -> Drawn:
        """The rows, lanes and sentence of this track over a view."""
        both = [self.contributions] if self.control is None else [self.contributions, self.control]
        limits = signal_limits(np.concatenate([end for part in both for end in part.ends()]), diverging=False)
        shown = self.contributions.cropped(view, self.over, self.label)
        rows = [self._row(view, shown, limits, control=False)]
        lanes = self._lanes(shown, self.label)
        words = f"{self.label}: {self._said(shown, view)}"
        if self.control is not None:
            control = self.control.cropped(view, self.over, f"{self.label}: control")
            rows.append(self._row(view, control, limits, control=True))
            lanes += self._lanes(control, f"control ({self.control_label})")
            words += f"; in the control ({self.control_label}) {self._said(control, view)}"
        return Drawn(tuple(rows), tuple(lanes), words)

    def _row(self, view: View, shown: Contributions, limits: tuple[float, float], *, control: bool) -> Row:
        wide = view.base_width >= LETTER_PIXELS
        letters = shown.lettered and wide
        signed = limits[0] < 0
        parts = [self.control_label] if control else [self.note]
        if control:
            parts.append("as a line: its bases are not given" if wide and not letters else "")
        elif letters:
            parts.append("letter height: contribution" + (", upside down below zero" if signed else ""))
        else:
            what = "sums of the letters above and below zero, " if shown.of_four else ""
            parts += [
                f"{what}as a line: {len(view.interval):,} bp is too long for letters",
                binning_note(view),
            ]

        def draw(ax: Axes) -> None:
            if letters:
                width = -1.0 if view.reverse else 1.0
                draw_letters(ax, shown.heights(), view.edges()[:-1], width=width, letters=_LETTERS)
                ax.axhline(0.0, color=palette.INK, linewidth=0.6)
                numbers(ax.yaxis, most=4)
            elif shown.of_four:
                for end, colour in zip(shown.ends(), (palette.POSITIVE, palette.NEGATIVE), strict=True):
                    draw_signal(ax, view, end, colour=colour, diverging=True)
            else:
                colour = palette.CONTROL if control else palette.ACCENT
                draw_signal(ax, view, shown.values, colour=colour, diverging=signed)
            ax.set_ylim(*limits)
            ax.set_ylabel(self.unit)

        name = f"{self.label}: control" if control else self.label
        label = "Control" if control else self.label
        return Row(name, label, "; ".join(part for part in parts if part), self.height, draw, control)

    def _lanes(self, shown: Contributions, label: str) -> list[Lane]:
        values, letters = shown.strongest()
        lanes = [Lane(label, self.unit, values, letters=letters or None)]
        there = shown.there()
        if there is not None:
            lanes.append(Lane(f"{label}: the base there", self.unit, there))
        return lanes

    def _said(self, shown: Contributions, view: View) -> str:
        values, letters = shown.strongest()
        return peak(values, view, self.unit, letters=letters)


def contribution_track(
    values: np.ndarray,
    sequence: str,
    *,
    label: str,
    unit: str,
    control: np.ndarray | None = None,
    control_sequence: str = "",
    control_label: str = "shuffled sequence",
    over: Interval | None = None,
    note: str = "",
    height: float = 0.85,
) -> ContributionTrack:
    """A track of the letters of a sequence, each as high as its contribution; a line where letters would be too narrow.

    Parameters
    ----------
    values
        [base] what each base of the sequence contributes, or [base, 4] a value for each of A, C, G and T (effects of
        mutagenesis, weights, log-odds), whose letters are stacked: positive ones on zero, negative ones below. In the
        reading direction of the interval; NaN where there is none.
    sequence
        One letter a base, A, C, G, T or N; "" where four values a base need none.
    label, unit
        Name of the track, and the unit on its axis.
    control
        [base] or [base, 4] the same for a control, drawn directly beneath on the same scale.
    control_sequence
        The bases of the control: those of the shuffled sequence, or `sequence` again where only the model is another.
        Without them a control of one value a base is drawn as a line, for its letters are not known.
    control_label
        What the control is.
    over
        Interval that the values cover, when it is not the figure's.
    note
        Plain text after the label.
    height
        Of the axes, in inches.

    Raises
    ------
    ValueError
        If the values are neither [base] nor [base, 4], are infinite, or are not as many as the letters; or a letter is
        none of A, C, G, T and N, or there are none for one value a base.

    Examples
    --------
    >>> track = contribution_track(np.array([0.5, -1.0]), "GA", label="attribution", unit="nats")
    >>> track.contributions.heights().tolist()
    [[0.0, 0.0, 0.5, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0, 0.0]]
    """
    shown = _contributions(values, check_bases(sequence, f"The sequence of {label!r}"), label)
    if not shown.lettered:
        raise ValueError(
            f"{label!r} of one value a base must come with its sequence; received ''. Pass one letter a base, or draw "
            f"the values with signal_track."
        )
    return ContributionTrack(
        shown,
        plain(label, most=90),
        plain(unit),
        None
        if control is None
        else _control(control, control_sequence, len(shown.values), f"{label}: control"),
        plain(control_label),
        over,
        plain(note, most=120),
        height,
    )


def _control(values: np.ndarray, sequence: str, n: int, label: str) -> Contributions:
    bases = check_bases(sequence, f"The sequence of {label!r}")
    control = _contributions(values, bases, label)
    if len(control.values) != n:
        raise ValueError(
            f"{label!r} must have as many bases as what it controls, {n:,}; received {len(control.values):,}. "
            f"Compute it over a sequence of the same length."
        )
    return control


def _contributions(values: np.ndarray, sequence: str, label: str) -> Contributions:
    array = np.asarray(values, dtype=float)
    if array.ndim == 2 and array.shape[1] == 4:
        vector(np.fmax.reduce(np.abs(array), axis=1), label)
    elif array.ndim != 1:
        raise ValueError(
            f"{label!r} must be [base], or [base, 4] in the order A, C, G, T; received the shape {list(array.shape)}. "
            f"Sum or choose along the other axes first."
        )
    else:
        vector(array, label)
    if sequence and len(sequence) != len(array):
        raise ValueError(
            f"{label!r} must have one value for each of the {len(sequence):,} letters of its sequence; received "
            f"{len(array):,}. Pass the sequence that the values are of."
        )
    return Contributions(array, sequence)
