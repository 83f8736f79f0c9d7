"""Letters along the genome: the sequence itself, logos of base probabilities, contributions of bases.

All copies of a letter are one trace of filled outlines, since a trace a base would take a browser minutes. They are drawn in
`View.part` only, and a line everywhere: below about four pixels a base letters are a haze. Their stacks are those of logomaker
(Tareen A, Kinney JB (2020) Bioinformatics 36:2272).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ntviz.genome import Interval
from ntviz.plot.theme import BASES, LETTERS, colours
from ntviz.plot.tracks import Panel, Track, View, checked, line_track, span_of
from ntviz.plot.words import plain


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
    """[position, letter] lower edge of each signed height in its stack: negative ones hang from zero, positive ones stand on it."""
    order = np.argsort(heights, axis=1, kind="stable")
    sizes = np.abs(np.take_along_axis(heights, order, axis=1))
    floors = np.empty_like(heights)
    np.put_along_axis(floors, order, np.cumsum(sizes, axis=1) - sizes, axis=1)
    return floors + np.minimum(heights, 0.0).sum(axis=1, keepdims=True)


def letter_traces(heights: np.ndarray, positions: np.ndarray, *, mirrored: bool = False, letters: str = BASES) -> list[go.Scatter]:  # fmt: skip
    """A filled trace for each letter, empty ones too: stacks of `heights` [position, letter]; `mirrored` for an axis from right to left."""
    heights = np.nan_to_num(heights)
    floors = stacked(heights)
    # Letters thinner than a part of a pixel would be drawn and not seen.
    least = np.abs(heights).sum(axis=1).max(initial=0.0) * 0.01
    traces = []
    for column, letter in enumerate(letters):
        tall = np.flatnonzero(np.abs(heights[:, column]) > least)
        u, v = outline(letter)
        size = heights[tall, column, None]
        x = positions[tall, None] + (0.5 - u if mirrored else u - 0.5) * 0.94
        # A negative height turns the letter upside down, hanging from its upper edge.
        y, colour = floors[tall, column, None] - np.minimum(size, 0.0) + v * size, colours().bases[letter]
        traces.append(go.Scatter(x=x.ravel(), y=y.ravel().astype(np.float32), mode="lines", fill="toself", fillcolor=colour,
                                 line={"width": 0, "color": colour}, hoverinfo="skip", meta="letters"))  # fmt: skip
    return traces


def folded(traces: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Traces of a figure as dicts, those of letters as the boxes of one outline: `letter`, x, y, width and height [copy].

    A page that has the outlines (of `outline`, by letter) makes x of `x + width * u` and y of `y + height * v`, NaN between parts:
    a tenth of the size.
    """
    rows, made = Counter[str](), []
    for trace in traces:
        if trace.get("meta") == "letters":
            letter, row = LETTERS[rows[trace["yaxis"]]], trace["yaxis"]
            rows[row] += 1
            corners = {}
            for name, size, unit in zip("xy", ("width", "height"), outline(letter), strict=True):
                points = np.reshape(np.asarray(trace[name], float), (-1, len(unit)))
                corners[name] = points[:, np.nanargmin(unit)]
                corners[size] = points[:, np.nanargmax(unit)] - corners[name]
            trace = {**trace, "letter": letter, **corners}
        made.append(trace)
    return made


def _in_part(view: View, heights: np.ndarray) -> list[go.Scatter]:
    at, letters = view.in_part, LETTERS[: heights.shape[1]]
    return letter_traces(heights[at], view.positions[at], mirrored=view.reverse, letters=letters)


def _codes(sequence: str, what: str) -> np.ndarray:
    """[base] numbers in `LETTERS`; a ValueError names what the sequence is for."""
    codes = np.array([LETTERS.find(base) for base in sequence], dtype=float)
    if len(wrong := np.flatnonzero(codes < 0)):
        raise ValueError(f"{what} must hold A, C, G, T and N only; received {sequence[wrong[0]]!r} at base {wrong[0] + 1:,}. "
                         "Pass it through sequence.clean first.")  # fmt: skip
    return codes


def sequence_track(sequence: str, *, label: str = "Sequence", over: Interval | None = None, texts: Sequence[str] = ()) -> Track:  # fmt: skip
    """A track of the bases themselves (A, C, G, T, N, in reading direction): coloured cells, with their letters where there is room.

    `over` is their interval, when not the figure's, and `texts` what the hover says of each.
    """
    given, texts = np.append(_codes(sequence, "A sequence track"), 4).astype(np.int8), [*(texts or sequence), "N"]

    def draw(panel: Panel) -> str:
        view, c = panel.view, colours()
        # Beyond the sequence stands the last, an N.
        at = np.nan_to_num(view.crop(np.arange(len(sequence)), over, label), nan=-1).astype(int)
        # A heat map runs along the axis, whichever way that is drawn; one beyond its row answers the pointer in any row.
        codes, along = given[at], at[::-1] if view.reverse else at
        steps = [(edge, c.bases[base]) for i, base in enumerate(LETTERS) for edge in (i / 5, (i + 1) / 5)]
        panel.add(go.Heatmap(z=given[along][None], x0=view.interval.start + 1, dx=1, y0=0.5, dy=1_000, zmin=-0.5, zmax=4.5, colorscale=steps,
                             showscale=False, hovertext=[[texts[base] for base in along]],
                             hovertemplate="%{hovertext}<extra></extra>"))  # fmt: skip
        for trace in _in_part(view, 0.64 * np.eye(5)[codes]):
            panel.add(trace.update(y=trace.y + np.float32(0.18), fillcolor=c.paper, line_color=c.paper))
        panel.yaxis(visible=False, range=[0, 1])
        known = codes[codes < 4]
        share = f", {np.isin(known, (1, 2)).mean():.0%} G or C" if len(known) else ""
        return f"{len(known):,} known base{'s' * (len(known) != 1)}{share}"

    return Track(plain(label, most=90), 20, draw, letters=True)


def information(probabilities: np.ndarray, background: np.ndarray | float = 0.25) -> np.ndarray:
    """[base] bits of each distribution [base, 4] over a positive background, [4] or [base, 4]; NaN for NaN."""
    p = np.asarray(probabilities, dtype=float)
    return (p * np.log2(np.where(p > 0, p, 1.0) / background)).sum(axis=1)


def logo_track(
    probabilities: np.ndarray, *, label: str = "Bases the model expects", control: np.ndarray | None = None,
    control_label: str = "shuffled sequence", over: Interval | None = None,
) -> Track:  # fmt: skip
    """A track of base probabilities as a sequence logo in bits, at most 2, and as a line where letters would be too narrow.

    Parameters
    ----------
    probabilities, over
        [base, 4] in the order A, C, G, T, in reading direction, each row a distribution, or NaN where the model gives none;
        the interval that they cover, when it is not the figure's.
    label, control, control_label
        Name of the track; [base, 4] the same for a control, a grey line of its information; what the control is.
    """
    given = checked(probabilities, label, ("base", 4), control)
    for name, p in given.items():
        wrong = np.flatnonzero(~np.isnan(p).all(axis=1) & ~((p >= -1e-6).all(axis=1) & (np.abs(p.sum(axis=1) - 1) < 1e-3)))  # fmt: skip
        if len(wrong):
            raise ValueError(f"Each row of {name!r} must be a probability distribution or all NaN; received {p[wrong[0]].round(4)} at base "
                             f"{wrong[0]} ({len(wrong):,} such rows). Take np.exp of log probabilities.")  # fmt: skip
        given[name] = p * information(p)[:, None]
    top = max(float(np.fmax.reduce(heights.sum(axis=1))) for heights in given.values())
    limit = next((step for step in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5) if top <= step), 2.0)
    return line_track(given, label=label, unit="bits", control_label=control_label, over=over, height=84, letters=_in_part,
                      reach=[0, limit])  # fmt: skip


def contribution_track(
    values: np.ndarray, sequence: str, *, label: str, unit: str, control: np.ndarray | None = None, control_sequence: str = "",
    control_label: str = "shuffled sequence", over: Interval | None = None, note: str = "", height: int = 96,
) -> Track:  # fmt: skip
    """A track of the letters of a sequence, each as high as its contribution; a line where letters would be too narrow.

    Parameters
    ----------
    values, sequence, over
        [base] in reading direction, finite or NaN, and a letter each, A, C, G, T or N; the interval of both, when not the figure's.
    control, control_sequence, control_label
        [base] the same for a control, a grey line; its bases, which the hover names; what the control is.
    """
    given = checked(values, label, ["base"], control)
    reach = span_of(np.concatenate(list(given.values())))
    for (name, array), text in zip(given.items(), (sequence, control_sequence), strict=False):
        codes = _codes(text, f"The sequence of {name!r}")
        if len(codes) != len(array):
            raise ValueError(f"{name!r} must have one value for each of the {len(codes):,} letters of its sequence; received "
                             f"{len(array):,}. Pass both of the same bases.")  # fmt: skip
        given[name] = np.where(np.arange(5) == codes[:, None], array[:, None], np.nan)
    return line_track(given, label=label, unit=unit, control_label=control_label, over=over, height=height, letters=_in_part, reach=reach,
                      note=note)  # fmt: skip
