"""The attention track: what one query token attends to, as bars over the genome and arcs to the strongest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from ntviz.genome import Interval
from ntviz.plot import palette
from ntviz.plot.readout import Lane
from ntviz.plot.signals import binned, pixel_bins
from ntviz.plot.ticks import numbers
from ntviz.plot.view import Drawn, Row, View
from ntviz.plot.words import number, plain, span

ARCS = 12
"""Arcs drawn from a query, the strongest first."""


@dataclass(frozen=True, slots=True, eq=False)
class AttentionTrack:
    """What one query attends to, as `attention_track` makes it."""

    values: np.ndarray
    spans: np.ndarray
    label: str
    unit: str
    query_span: tuple[int, int] | None
    control: np.ndarray | None
    control_label: str
    height: float
    zoomable: bool = False

    def drawn(self, view: View) -> Drawn:
        """The rows, lanes and sentence of this track over a view."""
        placed = self.spans[:, 1] > self.spans[:, 0]
        both = [self.values] if self.control is None else [self.values, self.control]
        top = max(float(np.max(part[placed], initial=0.0)) for part in both) or 1.0
        total = float(self.values.sum())
        shares = abs(total - 1) < 0.02

        def bars(ax: Axes, values: np.ndarray, *, control: bool) -> None:
            self._bars(ax, view, values, top=top, shares=shares, control=control)

        note = self._aside(self.values, shares)
        rows = []
        if self._query_in(view):
            arcs = f"{note}; arcs: the {ARCS} strongest".lstrip("; ")
            rows.append(
                Row(f"{self.label}: arcs", self.label, arcs, 0.5, lambda ax: self._arcs(ax, view, top))
            )
        rows.append(
            Row(
                self.label,
                "" if rows else self.label,
                "" if rows else note,
                self.height,
                lambda ax: bars(ax, self.values, control=False),
            )
        )
        lanes = [Lane(self.label, self.unit, self._by_base(self.values, view))]
        words = f"{self.label}: {self._strongest(self.values, shares)}"
        control = self.control
        if control is not None:
            aside = "; ".join(part for part in (self.control_label, self._aside(control, shares)) if part)
            rows.append(
                Row(
                    f"{self.label}: control",
                    "Control",
                    aside,
                    self.height,
                    lambda ax: bars(ax, control, control=True),
                    control=True,
                )
            )
            lanes.append(Lane(f"control ({self.control_label})", self.unit, self._by_base(control, view)))
            words += f"; in the control ({self.control_label}) {self._strongest(control, shares)}"
        return Drawn(tuple(rows), tuple(lanes), words)

    def _query_in(self, view: View) -> bool:
        if self.query_span is None:
            return False
        start, end = view.clip(*self.query_span)
        return start < end

    def _aside(self, values: np.ndarray, shares: bool) -> str:
        special = float(values[self.spans[:, 1] <= self.spans[:, 0]].sum())
        share = f"{special:.0%}" if special >= 0.005 else "under 1%"
        return f"{share} on special tokens" if shares and special > 0 else ""

    def _strongest(self, values: np.ndarray, shares: bool) -> str:
        placed = np.flatnonzero(self.spans[:, 1] > self.spans[:, 0])
        if not placed.size:
            return "no token lies on the genome"
        best = placed[int(values[placed].argmax())]
        start, end = (int(edge) for edge in self.spans[best])
        origin = "" if self.query_span is None else f"from {span(*self.query_span)}, "
        aside = self._aside(values, shares)
        return f"{origin}strongest on {span(start, end)} ({number(float(values[best]))} {self.unit})" + (
            f", {aside}" if aside else ""
        )

    def _by_base(self, values: np.ndarray, view: View) -> np.ndarray:
        by_base = np.full(len(view.interval), np.nan)
        starts = np.clip(self.spans[:, 0], view.interval.start, view.interval.end) - view.interval.start
        ends = np.clip(self.spans[:, 1], view.interval.start, view.interval.end) - view.interval.start
        sizes = np.maximum(ends - starts, 0)
        offsets = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        by_base[np.repeat(starts, sizes) + offsets] = np.repeat(values, sizes)
        return by_base[::-1] if view.reverse else by_base

    def _columns(self, view: View, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Start, end and height of each bar: tokens, or the strongest token of each pixel when they are thinner."""
        placed = (self.spans[:, 1] > self.spans[:, 0]) & (self.spans[:, 0] < view.interval.end)
        placed &= self.spans[:, 1] > view.interval.start
        if placed.sum() <= view.width * 96:
            return self.spans[placed, 0], self.spans[placed, 1], values[placed]
        bins = pixel_bins(view) or len(view.interval)
        _, _, highest = binned(self._by_base(values, view), bins)
        edges = view.edges(bins)
        return edges[:-1], edges[1:], np.nan_to_num(highest)

    def _bars(
        self, ax: Axes, view: View, values: np.ndarray, *, top: float, shares: bool, control: bool
    ) -> None:
        colours = palette.sequential()
        starts, ends, heights = self._columns(view, values)
        boxes = [Rectangle((a, 0.0), b - a, h) for a, b, h in zip(starts, ends, heights, strict=True)]
        faces = palette.CONTROL if control else colours(0.18 + 0.82 * heights / top)
        # A line of paper between neighbours where it does not eat the bar.
        edge = 0.5 if boxes and view.base_width * float(np.median(ends - starts)) > 4 else 0.0
        bars = PatchCollection(boxes, facecolor=faces, edgecolor=palette.PAPER, linewidth=edge, gid="bars")
        ax.add_collection(bars)
        if shares:
            uniform = 1 / len(values)
            ax.axhline(uniform, color=palette.MUTED, linewidth=0.8, linestyle=(0, (1.5, 1.5)), gid="uniform")
            right = view.limits[1]
            ax.annotate(
                f"uniform 1/{len(values):,}",
                (right, uniform),
                xytext=(-2, 2),
                textcoords="offset points",
                ha="right",
                va="bottom",
                fontsize=7.5,
                color=palette.MUTED,
                bbox={
                    "boxstyle": "square,pad=0.1",
                    "facecolor": palette.PAPER,
                    "edgecolor": "none",
                    "alpha": 0.85,
                },
            )
        ax.set_ylim(0, top * 1.08)
        numbers(ax.yaxis, most=4)
        ax.set_ylabel(self.unit)
        if self._query_in(view) and self.query_span is not None:
            ax.axvspan(*self.query_span, color=palette.INK, alpha=0.10, linewidth=0)

    def _arcs(self, ax: Axes, view: View, top: float) -> None:
        assert (
            self.query_span is not None
        )  # for the type checker: rows ask for arcs only with a query in view
        query = sum(self.query_span) / 2
        centres = self.spans.mean(axis=1)
        inside = (self.spans[:, 1] > self.spans[:, 0]) & (self.spans[:, 0] < view.interval.end)
        inside &= (self.spans[:, 1] > view.interval.start) & ~(
            (self.spans[:, 0] < self.query_span[1]) & (self.spans[:, 1] > self.query_span[0])
        )
        keys = np.flatnonzero(inside)
        keys = keys[np.argsort(-self.values[keys], kind="stable")][:ARCS]
        keys = keys[self.values[keys] > 0]
        far = float(np.max(np.abs(centres[keys] - query), initial=1.0))
        colours = palette.sequential()
        for key in keys[::-1]:
            centre, weight = float(centres[key]), float(self.values[key]) / top
            # A cubic whose handles stand above both feet peaks at three quarters of their height.
            height = 1.25 * (0.25 + 0.75 * abs(centre - query) / far)
            curve = Path([(query, 0), (query, height), (centre, height), (centre, 0)], [1, 4, 4, 4])
            colour = colours(0.18 + 0.82 * weight)
            arc = PathPatch(
                curve, facecolor="none", edgecolor=colour, linewidth=0.6 + 2.4 * weight, gid="arc"
            )
            arc.set_capstyle("round")
            ax.add_patch(arc)
        ax.plot(
            [query], [0.0], marker="v", markersize=7, color=palette.INK, clip_on=False, gid="query", zorder=5
        )
        ax.set_ylim(0, 1.02)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)


def attention_track(
    values: np.ndarray,
    spans: np.ndarray,
    *,
    label: str,
    unit: str = "share of attention",
    query_span: tuple[int, int] | Interval | None = None,
    control: np.ndarray | None = None,
    control_label: str = "shuffled sequence",
    height: float = 0.75,
) -> AttentionTrack:
    """A track of what one query token attends to: a bar for each token, and arcs to the strongest.

    Parameters
    ----------
    values
        [token] weights, at least 0. When they sum to 1, a dotted line shows the weight of uniform attention.
    spans
        [token, 2] in genome coordinates, 0-based half-open. A token with an empty span (a special token) has no
        place on the genome: its weight is told in the label and the alt sentence.
    label, unit
        Name of the track, and the unit on its axis.
    query_span
        Where the query lies, 0-based half-open. Arcs start there.
    control
        [token] weights of a control with the same tokens' places, drawn beneath on the same scale.
    control_label
        What the control is.
    height
        Of the axes, in inches.

    Raises
    ------
    ValueError
        If the shapes disagree, or a weight is negative or not finite.

    Examples
    --------
    >>> track = attention_track(np.array([0.25, 0.75]), np.array([[0, 6], [6, 12]]), label="head 3")
    >>> track.spans.tolist()
    [[0, 6], [6, 12]]
    """
    places = np.asarray(spans)
    if places.ndim != 2 or places.shape[1:] != (2,):
        raise ValueError(
            f"The spans of {label!r} must have the shape [token, 2]; received {list(places.shape)}. "
            f"Pass tokens.on(interval)."
        )
    checked = [_weights(values, len(places), label)]
    if control is not None:
        checked.append(_weights(control, len(places), f"{label}: control"))
    if isinstance(query_span, Interval):
        query_span = (query_span.start, query_span.end)
    query = None if query_span is None else (int(query_span[0]), int(query_span[1]))
    if query is not None and query[1] <= query[0]:
        raise ValueError(
            f"The query of {label!r} must cover at least one base; received the span {query}. "
            f"A special token has no place on the genome: leave query_span out for it."
        )
    return AttentionTrack(
        checked[0],
        places.astype(np.int64),
        plain(label, most=90),
        plain(unit),
        query,
        checked[1] if control is not None else None,
        plain(control_label),
        height,
    )


def _weights(values: np.ndarray, n: int, label: str) -> np.ndarray:
    weights = np.asarray(values, dtype=float)
    if weights.shape != (n,):
        raise ValueError(
            f"{label!r} must have one weight for each of its {n:,} spans; received the shape {list(weights.shape)}. "
            f"Pass one row of an attention map, and the spans of the same tokens."
        )
    wrong = ~np.isfinite(weights) | (weights < 0)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"Attention weights of {label!r} must be finite and at least 0; received {weights[first]} at token "
            f"{first} ({int(wrong.sum()):,} such). Draw signed values with signal_track(diverging=True)."
        )
    return weights
