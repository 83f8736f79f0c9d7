"""Letters along the genome: the sequence itself, logos of base probabilities, contributions of bases.

A letter is the outline of its glyph, filled; all copies of a letter are one trace, since a trace a base would take a browser
minutes. Letters are drawn in `View.part` only, and a line everywhere: below about four pixels a base letters are a haze.

References
----------
Tareen A, Kinney JB (2020) Bioinformatics 36:2272 (logomaker), whose order of stacks this is: the largest on top, the
most negative at the bottom, and what is below zero upside down.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from ntviz.genome import Interval
from ntviz.plot.theme import BASES, colours
from ntviz.plot.tracks import Panel, Track, View, draw_line, noted, peak, span_of, vector
from ntviz.plot.words import plain

LETTERS = "ACGTN"


@cache
def outline(letter: str) -> tuple[np.ndarray, np.ndarray]:
    """The x and y of a letter's outline in the unit square, NaN after each of its polygons."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    path = TextPath((0, 0), letter, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    rings = [ring for ring in map(np.asarray, path.to_polygons(closed_only=True)) if len(ring) > 2]
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
    """A filled trace for each letter, empty ones too: stacks of `heights` [position, letter] around `positions`; NaN draws nothing.

    `mirrored` is for an axis that runs from right to left, on which letters must still read.
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
    at = next((i for i, base in enumerate(sequence) if base not in LETTERS), None)
    if at is not None:
        raise ValueError(
            f"{what} must hold A, C, G, T and N only; received {sequence[at]!r} at base {at + 1:,}. Pass it through sequence.clean first."
        )
    return sequence


def _cropped(sequence: str, view: View, over: Interval | None, what: str) -> np.ndarray:
    """[base] numbers in `LETTERS` of the part of a sequence that a view shows."""
    codes = np.array([LETTERS.index(base) for base in sequence], dtype=float)
    return np.nan_to_num(view.crop(codes, over, what), nan=4.0).astype(np.int8)


def _lettered(panel: Panel, heights: np.ndarray, letters: str) -> None:
    shown = panel.view.in_part
    panel.add(*letter_traces(heights[shown], panel.view.positions[shown], mirrored=panel.view.reverse, letters=letters))


def sequence_track(sequence: str, *, label: str = "Sequence", over: Interval | None = None, height: int = 20) -> Track:
    """A track of the bases themselves: coloured cells, with their letters where there is room.

    Parameters
    ----------
    sequence
        One letter a base, in the reading direction of the interval.
    label, height
        Name of the track; pixels.
    over
        Interval that the sequence covers, when it is not the figure's.

    Raises
    ------
    ValueError
        If there is a letter other than A, C, G, T and N.
    """
    check_bases(sequence, "A sequence track")

    def draw(panel: Panel) -> str:
        view, c = panel.view, colours()
        codes = _cropped(sequence, view, over, label)
        # A heat map runs along the axis, whichever way that is drawn; one beyond its row answers the pointer in any row.
        along = codes[::-1] if view.reverse else codes
        steps = [(edge, c.bases[base]) for i, base in enumerate(LETTERS) for edge in (i / 5, (i + 1) / 5)]
        panel.add(go.Heatmap(z=along[None], x0=view.interval.start + 1, dx=1, y0=0.5, dy=1_000, zmin=-0.5, zmax=4.5, colorscale=steps,
                             showscale=False, hovertext=[[LETTERS[code] for code in along]], hovertemplate="%{hovertext}<extra></extra>"))  # fmt: skip
        _lettered(panel, 0.64 * np.eye(5)[codes], LETTERS)
        for trace in panel.figure.data[-len(LETTERS) :]:
            trace.update(y=trace.y + np.float32(0.18), fillcolor=c.paper, line_color=c.paper)
        panel.yaxis(visible=False, range=[0, 1])
        known = codes[codes < 4]
        bases = f"{len(known):,} base{'s' if len(known) > 1 else ''}"
        return f"{bases}, {np.isin(known, (1, 2)).mean():.0%} G or C" if len(known) else "no known base"

    return Track(plain(label, most=90), height, draw, letters=True)


def information(probabilities: np.ndarray, background: np.ndarray | float = 0.25) -> np.ndarray:
    """Information of each base's distribution [base, 4] in bits over a background: 0 where it is the background's; NaN for NaN.

    The background is positive, [4] or [base, 4]; four alike by default, so that one certain base has 2 bits.

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


_Read = Callable[[Panel, str, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def _letters_track(given: dict[str, np.ndarray], read: _Read, axis: dict[str, Any], *, label: str, unit: str, control_label: str,
                   over: Interval | None, height: int, note: str = "", most: str = "") -> Track:  # fmt: skip
    """A track of letters; `read(panel, which, values)` gives [base] values and letters of their line, and heights [base, letter]."""

    def draw(panel: Panel) -> str:
        words, c = [], colours()
        for which, values in given.items():
            what = f"{label}: {which}" if which else label
            line, codes, heights = read(panel, which, panel.view.crop(values, over, what))
            letters = [LETTERS[code] if code >= 0 else " " for code in codes]
            words.append((f"in the control ({plain(control_label)}) " if which else "") + peak(line, panel.view, unit, letters=letters) + most)
            draw_line(panel, line, name=f"{what} ({control_label})" if which else label, unit=unit,
                      colour=c.control if which else c.accent, letters=letters)  # fmt: skip
            if not which:
                if panel.view.in_part.all():
                    # The letters show it; the line is there for the hover alone.
                    panel.figure.data[-1].update(line_width=0, error_x=None)
                _lettered(panel, heights, LETTERS[: heights.shape[1]])
        panel.yaxis(nticks=4, **axis)
        return "; ".join(words)

    return Track(plain(label, most=90), height, draw, plain(unit), letters=True, note=noted(note, given.get("control"), control_label))


def logo_track(
    probabilities: np.ndarray, *, kind: Literal["bits", "probability"] = "bits", label: str = "Bases the model expects",
    control: np.ndarray | None = None, control_label: str = "shuffled sequence", over: Interval | None = None, height: int =
    84,
) -> Track:  # fmt: skip
    """A track of base probabilities as a sequence logo, and as a line where letters would be too narrow.

    Parameters
    ----------
    probabilities
        [base, 4] in the order A, C, G, T, in the reading direction of the interval. Each row sums to 1, or is NaN
        where the model gives none (N).
    kind
        `bits`: a column is as high as its information, at most 2 bits. `probability`: each column is 1 high.
    label, height
        Name of the track; pixels.
    control, control_label
        [base, 4] the same for a control, a grey line of its height on the same axis; what the control is.
    over
        Interval that the probabilities cover, when it is not the figure's.

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
    bits = kind == "bits"

    def read(_: Panel, __: str, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        known = ~np.isnan(p).any(axis=1)
        strength = information(p) if bits else np.where(known, p.max(axis=1), np.nan)
        return strength, np.where(known, np.nan_to_num(p).argmax(axis=1), 4), p * strength[:, None] if bits else p

    top = max(float(np.nanmax(information(p), initial=0.0)) for p in given.values())
    limit = next((step for step in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5) if top <= step), 2.0)
    return _letters_track(given, read, {"range": [0, limit if bits else 1.0]}, label=label, unit=kind, control_label=control_label,
                          over=over, height=height, most=" of at most 2 bits" if bits else "")  # fmt: skip


def distributions(probabilities: np.ndarray, label: str) -> np.ndarray:
    """[base, 4] as floats, if each row is a probability distribution or NaN; else a ValueError that names the track."""
    p = np.asarray(probabilities, dtype=float)
    if p.ndim != 2 or p.shape[1:] != (4,):
        raise ValueError(
            f"{label!r} must have the shape [base, 4] in the order A, C, G, T; received {list(p.shape)}. "
            f"Sum token probabilities over the base's place first (tokens.base_log_probs)."
        )
    wrong = ~np.isnan(p).all(axis=1) & ~((p >= -1e-6).all(axis=1) & (np.abs(p.sum(axis=1) - 1) < 1e-3))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"Each row of {label!r} must be a probability distribution (at least 0, sum 1) or all NaN; received "
            f"{np.array2string(p[first], precision=4)} at base {first} ({int(wrong.sum()):,} such rows). Take np.exp of log probabilities."
        )
    return np.clip(p, 0.0, 1.0)


def contribution_track(
    values: np.ndarray, sequence: str, *, label: str, unit: str, control: np.ndarray | None = None, control_sequence: str =
    "", control_label: str = "shuffled sequence", over: Interval | None = None, note: str = "", height: int = 96,
) -> Track:  # fmt: skip
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
    control, control_sequence, control_label
        The same for a control, a grey line on the same axis, of four values the one farthest from zero; its bases, which the
        hover then names; what it is.
    over
        Interval that the values cover, when it is not the figure's.
    note, height
        Plain text after the label; pixels.

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
        what = f"{label}: control"
        given["control"] = _contributions(control, check_bases(control_sequence, f"The sequence of {what!r}"), what)
        if len(given["control"]) != len(given[""]):
            raise ValueError(
                f"{what!r} must have as many bases as what it controls, {len(given['']):,}; received "
                f"{len(given['control']):,}. Compute it over a sequence of the same length."
            )

    def read(panel: Panel, which: str, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if shown.ndim == 2:
            sizes = np.nan_to_num(np.abs(shown), nan=-1.0)
            best = sizes.argmax(axis=1)
            return np.take_along_axis(shown, best[:, None], 1)[:, 0], np.where(sizes.max(axis=1) < 0, 4, best), shown
        text = control_sequence if which else sequence
        codes = _cropped(text, panel.view, over, label) if text else np.full(len(shown), -1)
        return shown, codes, shown[:, None] * np.where(np.arange(5) == codes[:, None], 1.0, 0.0)

    stacks = [np.nan_to_num(array.reshape(len(array), -1)) for array in given.values()]
    ends = np.concatenate([part.sum(axis=1) for stack in stacks for part in (np.fmax(stack, 0), np.fmin(stack, 0))])
    return _letters_track(given, read, {"range": span_of(ends), "zeroline": True}, label=label, unit=unit, note=note,
                          control_label=control_label, over=over, height=height)  # fmt: skip


def _contributions(values: np.ndarray, sequence: str, label: str) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 and (array.ndim != 2 or array.shape[1] != 4):
        raise ValueError(
            f"{label!r} must be [base], or [base, 4] in the order A, C, G, T; received the shape {list(array.shape)}. "
            f"Sum or choose along the other axes first."
        )
    vector(array if array.ndim == 1 else np.fmax.reduce(np.abs(array), axis=1), label)
    if sequence and len(sequence) != len(array):
        raise ValueError(
            f"{label!r} must have one value for each of the {len(sequence):,} letters of its sequence; received "
            f"{len(array):,}. Pass the sequence that the values are of."
        )
    return array
