"""Letters along the genome: the sequence itself, logos of base probabilities, contributions of bases.

A letter is the outline of its glyph, filled; all copies of a letter are one trace, since a trace a base would take a browser
minutes. Letters are drawn in `View.part` only, and a line everywhere: below about four pixels a base letters are a haze.

References
----------
Tareen A, Kinney JB (2020) Bioinformatics 36:2272 (logomaker), whose order of stacks this is: the largest on top, the
most negative at the bottom, and what is below zero upside down.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from ntviz.genome import Interval
from ntviz.plot.theme import BASES, colours
from ntviz.plot.tracks import Panel, Track, View, draw_line, peak, span_of, vector
from ntviz.plot.words import number, plain

LETTERS = "ACGTN"


@cache
def outline(letter: str) -> tuple[np.ndarray, np.ndarray]:
    """The x and y of a letter's outline in the unit square, NaN after each of its polygons."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    path = TextPath((0, 0), letter, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    rings = [ring for ring in path.to_polygons(closed_only=True) if len(ring) > 2]
    points = np.concatenate([np.vstack([ring, [[np.nan, np.nan]]]) for ring in rings])
    low, high = np.nanmin(points, 0), np.nanmax(points, 0)
    x, y = ((points - low) / (high - low)).T
    return x, y


def stacked(heights: np.ndarray) -> np.ndarray:
    """The lower edge of each letter in its stack: negative ones hang from zero, positive ones stand on it.

    Parameters
    ----------
    heights
        [position, letter] signed and finite. The largest is on top; the most negative is at the bottom.

    Examples
    --------
    >>> stacked(np.array([[1.0, -2.0, 3.0, -0.5]])).tolist()
    [[0.0, -2.5, 1.0, -0.5]]
    """
    order = np.argsort(heights, axis=1, kind="stable")
    sizes = np.abs(np.take_along_axis(heights, order, axis=1))
    floors = np.empty_like(heights)
    np.put_along_axis(floors, order, np.cumsum(sizes, axis=1) - sizes, axis=1)
    return floors + np.minimum(heights, 0.0).sum(axis=1, keepdims=True)


def letter_traces(heights: np.ndarray, positions: np.ndarray, *, mirrored: bool = False, letters: str = BASES) -> list[go.Scatter]:
    """A filled trace for each letter, empty ones too; together they are the stacks at all positions.

    Parameters
    ----------
    heights
        [position, letter] signed, in the unit of the vertical axis; NaN draws nothing.
    positions
        [position] middle of each stack on the horizontal axis, where a base is 1 wide.
    mirrored
        For an axis that runs from right to left, on which letters must still read.
    letters
        What the columns of `heights` are.
    """
    heights = np.where(np.isfinite(heights), heights, 0.0)
    floors = stacked(heights)
    # Letters thinner than a part of a pixel would be drawn and not seen.
    least = np.abs(heights).sum(axis=1).max(initial=0.0) * 0.01
    made = []
    for column, letter in enumerate(letters):
        tall = np.flatnonzero(np.abs(heights[:, column]) > least)
        u, v = outline(letter)
        size = heights[tall, column]
        x = positions[tall, None] + (0.5 - u if mirrored else u - 0.5) * 0.94
        # A negative height turns the letter upside down, hanging from its upper edge.
        y = floors[tall, column][:, None] - np.minimum(size, 0.0)[:, None] + v * size[:, None]
        colour = colours().bases[letter]
        made.append(go.Scatter(x=x.ravel(), y=y.ravel().astype(np.float32), mode="lines", fill="toself", fillcolor=colour,
                               line={"width": 0, "color": colour}, hoverinfo="skip", meta="letters"))  # fmt: skip
    return made


def check_bases(sequence: str, what: str) -> str:
    """The sequence, if it holds nothing but A, C, G, T and N; else a ValueError that names `what` it is for."""
    wrong = sorted(set(sequence) - set(LETTERS))
    if wrong:
        at = min(sequence.index(letter) for letter in wrong)
        raise ValueError(
            f"{what} must hold A, C, G, T and N only; received {sequence[at]!r} at base {at + 1:,}. "
            f"Pass it through sequence.clean first."
        )
    return sequence


def _cropped(sequence: str, view: View, over: Interval | None, what: str) -> str:
    codes = view.crop(np.frombuffer(sequence.encode(), dtype=np.uint8).astype(float), over, what)
    return "".join("N" if np.isnan(code) else chr(int(code)) for code in codes)


def _lettered(panel: Panel, heights: np.ndarray, letters: str) -> None:
    there = panel.view.in_part
    panel.add(*letter_traces(heights[there], panel.view.positions[there], mirrored=panel.view.reverse, letters=letters))


def sequence_track(sequence: str, *, label: str = "Sequence", over: Interval | None = None, height: int = 20) -> Track:
    """A track of the bases themselves: coloured cells, with their letters where there is room.

    Parameters
    ----------
    sequence
        One letter a base, in the reading direction of the interval.
    label
        Name of the track.
    over
        Interval that the sequence covers, when it is not the figure's.
    height
        Pixels.

    Raises
    ------
    ValueError
        If there is a letter other than A, C, G, T and N.
    """
    check_bases(sequence, "A sequence track")

    def draw(panel: Panel) -> str:
        view, c = panel.view, colours()
        shown = _cropped(sequence, view, over, label)
        # A heat map runs along the axis, whichever way that is drawn.
        along = shown[::-1] if view.reverse else shown
        codes = np.array([LETTERS.index(base) for base in along], dtype=np.int8)
        steps = [(edge, c.bases[base]) for i, base in enumerate(LETTERS) for edge in (i / 5, (i + 1) / 5)]
        panel.add(go.Heatmap(z=codes[None], x0=view.interval.start + 1, dx=1, y0=0.5, dy=1, zmin=-0.5, zmax=4.5, colorscale=steps,
                             showscale=False, hovertext=[list(along)], hovertemplate="%{hovertext}<extra></extra>"))  # fmt: skip
        _lettered(panel, 0.64 * (np.array(list(shown))[:, None] == np.array(list(LETTERS))), LETTERS)
        for trace in panel.figure.data[-len(LETTERS) :]:
            trace.update(y=trace.y + np.float32(0.18), fillcolor=c.paper, line_color=c.paper)
        panel.yaxis(visible=False, range=[0, 1])
        known = len(shown) - shown.count("N")
        return f"{known:,} bases, {(shown.count('G') + shown.count('C')) / known:.0%} G or C" if known else "no known base"

    return Track(plain(label, most=90), height, draw, letters=True)


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


def logo_track(
    probabilities: np.ndarray,
    *,
    kind: Literal["bits", "probability"] = "bits",
    label: str = "Bases the model expects",
    control: np.ndarray | None = None,
    control_label: str = "shuffled sequence",
    over: Interval | None = None,
    height: int = 84,
) -> Track:
    """A track of base probabilities as a sequence logo, and as a line where letters would be too narrow.

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
        [base, 4] the same for a control: a grey line of its height on the same axis.
    control_label
        What the control is.
    over
        Interval that the probabilities cover, when it is not the figure's.
    height
        Pixels.

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
    given = {"": distributions(probabilities, label)}
    if control is not None:
        given["control"] = distributions(control, f"{label}: control")
    strength = {"bits": information, "probability": lambda p: p.max(axis=1)}[kind]

    def said(shown: np.ndarray, values: np.ndarray, view: View) -> str:
        finite = np.isfinite(values)
        if not finite.any():
            return "no values here"
        best = int(np.where(finite, values, -1.0).argmax())
        place = f"({BASES[int(shown[best].argmax())]} at {int(view.positions[best]):,})"
        of = " of at most 2 bits" if kind == "bits" else ""
        return f"largest {number(float(values[best]))} {kind} {place}, mean {number(float(values[finite].mean()))}{of}"

    def draw(panel: Panel) -> str:
        words = []
        for which, all_of_it in given.items():
            shown = panel.view.crop(all_of_it, over, f"{label}: {which}" if which else label)
            values = strength(shown)
            words.append(f"in the control ({plain(control_label)}) " * bool(which) + said(shown, values, panel.view))
            if not which:
                _lettered(panel, shown * information(shown)[:, None] if kind == "bits" else shown, BASES)
            known = np.isfinite(values)
            likeliest = np.where(known, np.nan_to_num(shown).argmax(axis=1), 4)
            name = f"{label}: control ({control_label})" if which else label
            _beneath(panel, values, name, kind, [LETTERS[i] for i in likeliest], grey=bool(which))
        top = max(float(np.nanmax(strength(p), initial=0.0)) for p in given.values())
        limit = next((step for step in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5) if top <= step), 2.0)
        panel.yaxis(range=[0, 1.0 if kind == "probability" else limit], nticks=4)
        return "; ".join(words)

    grey = f"grey: {plain(control_label)}" if control is not None else ""
    return Track(plain(label, most=90), height, draw, kind, letters=True, note=grey)


def _beneath(panel: Panel, values: np.ndarray, name: str, unit: str, letters: Sequence[str], *, grey: bool) -> None:
    """The line of a track of letters; where all of the view has letters it is there for the hover alone."""
    c = colours()
    draw_line(panel, values, name=name, unit=unit, colour=c.control if grey else c.accent, letters=letters)
    if not grey and bool(panel.view.in_part.all()):
        panel.figure.data[-1].line.width = 0


def distributions(probabilities: np.ndarray, label: str) -> np.ndarray:
    """[base, 4] as floats, if each row is a probability distribution or NaN; else a ValueError that names the track."""
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
    height: int = 96,
) -> Track:
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
        [base] or [base, 4] the same for a control: a grey line on the same axis, of four values the one farthest from zero.
    control_sequence
        The bases of the control, which the hover then names.
    control_label
        What the control is.
    over
        Interval that the values cover, when it is not the figure's.
    note
        Plain text after the label.
    height
        Pixels.

    Raises
    ------
    ValueError
        If the values are neither [base] nor [base, 4], are infinite, or are not as many as the letters; or a letter is
        none of A, C, G, T and N, or there are none for one value a base.
    """
    given = {"": _contributions(values, check_bases(sequence, f"The sequence of {label!r}"), label)}
    if given[""].ndim == 1 and not sequence:
        raise ValueError(
            f"{label!r} of one value a base must come with its sequence; received ''. Pass one letter a base, or draw "
            f"the values with signal_track."
        )
    if control is not None:
        bases = check_bases(control_sequence, f"The sequence of {label + ': control'!r}")
        given["control"] = _contributions(control, bases, f"{label}: control")
        if len(given["control"]) != len(given[""]):
            raise ValueError(
                f"{label + ': control'!r} must have as many bases as what it controls, {len(given['']):,}; received "
                f"{len(given['control']):,}. Compute it over a sequence of the same length."
            )

    def draw(panel: Panel) -> str:
        words, ends = [], []
        for which, all_of_it in given.items():
            what = f"{label}: {which}" if which else label
            shown = panel.view.crop(all_of_it, over, what)
            text = control_sequence if which else sequence
            letters = _cropped(text, panel.view, over, what) if text else ""
            strongest = shown
            if shown.ndim == 2:
                sizes = np.where(np.isnan(shown), -1.0, np.abs(shown))
                best = sizes.argmax(axis=1)
                letters = "".join(BASES[i] if size >= 0 else "N" for i, size in zip(best, sizes.max(axis=1), strict=True))
                strongest = shown[np.arange(len(shown)), best]
            if not which:
                heights = shown if shown.ndim == 2 else shown[:, None] * (np.array(list(letters))[:, None] == np.array(list(LETTERS)))
                _lettered(panel, heights, BASES if shown.ndim == 2 else LETTERS)
            stack = all_of_it[:, None] if all_of_it.ndim == 1 else all_of_it
            ends += [np.nansum(np.fmax(stack, 0), axis=1), np.nansum(np.fmin(stack, 0), axis=1)]
            words.append(f"in the control ({plain(control_label)}) " * bool(which) + peak(strongest, panel.view, unit, letters=letters))
            name = f"{label}: control ({control_label})" if which else label
            _beneath(panel, strongest, name, unit, list(letters or " " * len(shown)), grey=bool(which))
        panel.yaxis(range=span_of(np.concatenate(ends)), zeroline=True, nticks=4)
        return "; ".join(words)

    grey = f"grey: {plain(control_label)}" if control is not None else ""
    return Track(plain(label, most=90), height, draw, plain(unit), letters=True,
                 note="; ".join(part for part in (plain(note, most=120), grey) if part))  # fmt: skip


def _contributions(values: np.ndarray, sequence: str, label: str) -> np.ndarray:
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
    return array
