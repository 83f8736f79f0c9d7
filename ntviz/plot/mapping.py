"""Weights of queries on keys as cells of an image: token edges placed exactly, and the strongest of what is too thin.

Inside, a map is kept in the order of the picture: rows from top to bottom and columns from left to right, along the
reading direction of the window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, LogNorm, Normalize, PowerNorm

from ntviz.genome import Interval
from ntviz.plot import palette
from ntviz.plot.indexed import stepped
from ntviz.plot.view import View
from ntviz.plot.words import number

SCALES = ("linear", "sqrt", "log")
COLOURS = 128
"""Steps of the colour map: more than the eye tells apart, and a palette has room for them."""

DECADES = 3
"""Powers of ten below the largest weight that the logarithmic scale shows."""


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """The tokens along one side of a map, in the order of the picture.

    Parameters
    ----------
    spans
        [token, 2] on the genome, 0-based half-open, none empty.
    tokens
        [token] index of each in the caller's array.
    special
        Indices in the caller's array of tokens without a place on the genome.
    """

    spans: np.ndarray
    tokens: np.ndarray
    special: np.ndarray


def side(spans: np.ndarray, view: View, what: str) -> Side:
    """Tokens that lie in a window, in the order of its picture, and those without a place.

    Raises
    ------
    ValueError
        If the spans are no [token, 2], run backwards, or none lies in the window.
    """
    spans = np.asarray(spans)
    if spans.ndim != 2 or spans.shape[1:] != (2,) or not np.issubdtype(spans.dtype, np.integer):
        raise ValueError(
            f"The {what} must be integers of the shape [token, 2]; received {spans.dtype} {list(spans.shape)}. "
            f"Pass tokens.on(interval)."
        )
    backwards = np.flatnonzero(spans[:, 1] < spans[:, 0])
    if backwards.size:
        token = int(backwards[0])
        raise ValueError(
            f"The {what} must have start <= end, also on the - strand; received {spans[token].tolist()} at token {token}. "
            f"Pass tokens.on(interval)."
        )
    placed = spans[:, 1] > spans[:, 0]
    inside = placed & (spans[:, 1] > view.interval.start) & (spans[:, 0] < view.interval.end)
    if not inside.any():
        raise ValueError(
            f"At least one token of the {what} must lie in {view.interval.label()}; received {len(spans):,} spans, none "
            f"of them there. Pass spans on the genome, as tokens.on(interval) gives them, not within the sequence."
        )
    tokens = np.flatnonzero(inside)
    order = np.lexsort((spans[tokens, 1], spans[tokens, 0]))
    tokens = tokens[order[::-1] if view.reverse else order]
    return Side(spans[tokens].astype(np.int64), tokens, np.flatnonzero(~placed))


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """How one side of a map is cut into cells.

    Parameters
    ----------
    edges
        [cell + 1] on the genome, in the order of the picture.
    first, last
        [cell] tokens shown: from `first` to before `last`, more than one where tokens are thinner than a pixel, none
        in a gap.
    pooled
        Whether cells are pixels rather than tokens.
    """

    edges: np.ndarray
    first: np.ndarray
    last: np.ndarray
    pooled: bool


def cut(spans: np.ndarray, view: View) -> Cut:
    """Cells of one side: tokens at their own edges, or CSS pixels when tokens are thinner than these or overlap.

    Examples
    --------
    >>> from ntviz.genome import Interval
    >>> view = View(Interval("chr1", 0, 13), Interval("chr1", 0, 13), 2.0)
    >>> cells = cut(np.array([[0, 6], [7, 13]]), view)
    >>> cells.edges.tolist(), cells.first.tolist(), cells.last.tolist()
    ([0, 6, 7, 13], [0, 1, 1], [1, 1, 2])
    """
    forward = spans[::-1] if view.reverse else spans
    n, window = len(forward), view.interval
    # The last token may be a single base, whatever the others are: what counts is the usual one.
    thin = float(np.median(forward[:, 1] - forward[:, 0])) * view.base_width < 1
    if thin or (forward[1:, 0] < forward[:-1, 1]).any():
        bins = min(int(view.width * 96), len(window))
        edges = np.linspace(window.start, window.end, bins + 1)
        first = np.searchsorted(np.maximum.accumulate(forward[:, 1]), edges[:-1], side="right")
        last = np.searchsorted(forward[:, 0], edges[1:], side="left")
        last = np.maximum(first, last)
    else:
        starts = np.maximum(forward[:, 0], window.start)
        ends = np.minimum(forward[:, 1], window.end)
        edges = np.unique(np.concatenate([[window.start, window.end], starts, ends]))
        first = np.searchsorted(starts, edges[:-1], side="right") - 1
        covered = (first >= 0) & (ends[np.maximum(first, 0)] > edges[:-1])
        first = np.where(covered, first, first + 1)
        last = first + covered
    if view.reverse:
        edges, first, last = edges[::-1], n - last[::-1], n - first[::-1]
    return Cut(edges, first, last, bool(thin))


def pooled(weights: np.ndarray, rows: Cut, columns: Cut) -> np.ndarray:
    """Largest weight of each cell [row cell, column cell]; NaN where no token lies."""
    return _largest(_largest(weights, rows).T, columns).T


def _largest(weights: np.ndarray, cells: Cut) -> np.ndarray:
    """Largest of each cell along the first axis."""
    sizes = cells.last - cells.first
    result = np.full((len(sizes), weights.shape[1]), np.nan)
    for step in range(int(sizes.max(initial=0))):
        here = np.flatnonzero(sizes > step)
        result[here] = np.fmax(result[here], weights[cells.first[here] + step])
    return result


def weight_norm(scale: str, top: float, smallest: float) -> Normalize:
    """From weight to colour: linear and square root from 0, logarithm over at most three powers of ten."""
    if scale == "linear":
        return Normalize(0.0, top, clip=True)
    if scale == "sqrt":
        return PowerNorm(0.5, 0.0, top, clip=True)
    floor = max(smallest, top / 10**DECADES)
    return LogNorm(floor if floor < top else top / 10, top, clip=True)


def weight_colours(n: int = COLOURS) -> ListedColormap:
    """The map for magnitudes, led on to paper at its pale end: most of a map is nothing, and nothing is no colour.

    Lightness falls evenly from paper to the dark end.
    """
    strong = palette.sequential()(np.linspace(0, 1, 64))
    places = np.concatenate([[0.0], np.linspace(0.27, 1.0, 64)])
    colours = [
        (float(at), tuple(colour))
        for at, colour in zip(places, [(0.996, 0.992, 0.969, 1.0), *strong], strict=True)
    ]
    return stepped(LinearSegmentedColormap.from_list("ntviz_weights", colours, N=1024), n)


def nice_ticks(norm: Normalize, *, apart: float) -> list[float]:
    """The top, 0, and round numbers (1, 2, 5 times a power of ten), at least `apart` of the scale from each other.

    Examples
    --------
    >>> nice_ticks(Normalize(0, 0.7), apart=0.15)
    [0.7, 0.5, 0.2, 0.0]
    """
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 1.0)
    power = int(np.floor(np.log10(high)))
    tens = [factor * 10.0**exponent for exponent in range(power, power - 6, -1) for factor in (5, 2, 1)]
    candidates = [float(f"{value:.1e}") for value in tens if low <= value <= high * (1 + 1e-9)]
    ends = [0.0] if low == 0 else []
    kept = [high]
    for value in candidates:
        place = float(norm(value))
        fits = all(abs(float(norm(other)) - place) >= apart for other in [*kept, *ends])
        if fits:
            kept.append(value)
    return kept + ends


def spaced(interval: Interval, width: float, room: float) -> list[int]:
    """Round 1-based positions of an interval that stand at least `room` inches apart on an axis `width` inches long.

    Examples
    --------
    >>> spaced(Interval("chr20", 999, 2000), 3.0, 0.9)
    [1000, 1500, 2000]
    """
    scale = 1
    while True:
        for step in (scale, 2 * scale, 5 * scale):
            if step * width / len(interval) >= room or step > len(interval):
                first = -(-(interval.start + 1) // step) * step
                return list(range(first, interval.end + 1, step)) or [interval.midpoint + 1]
        scale *= 10


def tick_text(value: float) -> str:
    """A tick of the colour bar."""
    return "0" if value == 0 else f"{value:.2g}" if value >= 1e-4 else number(value)
