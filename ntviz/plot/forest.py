"""One element, head by head: the ratio with its interval, above the nulls and controls that it must differ from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from ntviz.plot import palette
from ntviz.plot.enriched import CONTROLS, PASSED, PUBLISHED, Element
from ntviz.plot.figure import Figure
from ntviz.plot.indexed import IndexedFigure
from ntviz.plot.map_axes import EDGE, heading
from ntviz.plot.margins import element_name
from ntviz.plot.readout import Lane, Readout
from ntviz.plot.words import number, plain, sentence, text_width, wrapped

LEFT, ROW = 0.66, 0.27
RIGHT = 2.15
"""Room for the columns of numbers at the right, in inches."""

SHAPES = {"shuffle": "D", "twin": "^"}
UP, DOWN = -0.16, 0.2
"""Where in its row the result stands, and the nulls and controls."""

FURTHEST = 64.0
"""Ratios beyond this, or below its inverse, stand at the edge with an arrow."""


def forest(
    element: Element,
    *,
    null: np.ndarray | None,
    background: np.ndarray | None,
    title: str,
    most: int,
    caption: str,
    width: float,
) -> Figure:
    """The figure of one element; see `enrichment`."""
    if most < 1:
        raise ValueError(f"At least one head must be drawn; received most={most}. Pass 1 or more.")
    low, high = _null_range(element, null, background)
    known = np.isfinite(element.ratio)
    order = np.flatnonzero(known)[np.argsort(-element.ratio[known], kind="stable")]
    shown, rest = order[:most], order[most:]
    if not len(shown):
        reasons = ", ".join(dict.fromkeys(element.status.tolist()))
        raise ValueError(
            f"At least one head must have a ratio for {plain(element.name)!r}; received none ({plain(reasons)}). "
            f"Choose another element, or a lower threshold."
        )
    name = element_name(element.name)
    lines = wrapped(title, width - 2 * EDGE, 13.0, weight="bold")
    keys = _keys(element, shown, low, high)
    rows_of_keys = _wrapped_keys(keys, width - 2 * EDGE)
    top = 0.14 + 0.24 * len(lines) + 0.3 + 0.22 * len(rows_of_keys) + 0.3
    deep = ROW * len(shown)
    left_out = _left_out(element, rest, int((~known).sum()))
    foot = 0.52 + (0.2 if left_out else 0.0)
    height = top + deep + foot
    with palette.style():
        drawing = Drawing(figsize=(width, height))
        heading(
            drawing, lines, f"{name} · share of attention above the threshold, over its share of positions"
        )
        _draw_keys(drawing, rows_of_keys, 0.14 + 0.24 * len(lines) + 0.3 + 0.13)
        span = width - LEFT - RIGHT
        ax = drawing.add_axes((LEFT / width, foot / height, span / width, deep / height), label=plain(name))
        limits = _limits(element, shown, low, high)
        ax.set_xscale("log")
        ax.set_xlim(*limits)
        ax.set_ylim(len(shown) - 0.5, -0.5)
        for place, row in enumerate(shown.tolist()):
            _draw_row(ax, element, row, place, limits, float(low[row]), float(high[row]))
        _finish(ax, element, shown, limits, span)
        if left_out:
            drawing.text(LEFT / width, 0.1 / height, left_out, fontsize=8.5, color=palette.MUTED, gid="rest")
    return IndexedFigure(
        drawing,
        title=title,
        alt=_said(title, name, element, order, low, high, left_out),
        caption=" ".join(_notes(caption, null)),
        readout=_readout(ax, element, shown, low, high, width, height, top),
        keep=np.zeros((0, 3), dtype=np.uint8),
    )


def _null_range(
    element: Element, null: np.ndarray | None, background: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """[row] ends of the middle 95 % of ratios under shifts; their mean twice without the shifts themselves."""
    if null is None:
        return element.expected, element.expected
    null = np.asarray(null, dtype=float)
    shape = (int(element.layers.max()) + 1, int(element.heads.max()) + 1)
    if null.ndim != 3 or null.shape[1] < shape[0] or null.shape[2] < shape[1] or background is None:
        raise ValueError(
            f"The null must be [shift, layer, head] for at least {shape[0]} layers by {shape[1]} heads, with the column "
            f"'background' in the table; received {list(null.shape)}. Pass Enrichment.null(element)."
        )
    shares = null[:, element.layers, element.heads]
    ends = np.full((2, len(element.layers)), np.nan)
    told = np.isfinite(shares).all(axis=0) & (np.nan_to_num(background) > 0)
    ends[:, told] = np.quantile(shares[:, told], [0.025, 0.975], axis=0) / background[told]
    return ends[0], ends[1]


def _limits(element: Element, shown: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    """Ends of the axis: hold what is drawn and 1, with a little room."""
    parts = [element.ratio, element.low, element.high, low, high, *element.controls.values()]
    values = np.concatenate([part[shown] for part in parts])
    values = values[np.isfinite(values) & (values > 0)]
    values = np.clip(values, 1 / FURTHEST, FURTHEST)
    first, last = min(0.8, float(values.min(initial=1.0))), max(1.25, float(values.max(initial=1.0)))
    room = (last / first) ** 0.04
    return first / room, last * room


def _draw_row(
    ax: Axes,
    element: Element,
    row: int,
    place: int,
    limits: tuple[float, float],
    low: float,
    high: float,
) -> None:
    if place % 2:
        ax.axhspan(place - 0.5, place + 0.5, color=palette.CONTROL_PAPER, linewidth=0, zorder=0)
    if np.isfinite(low):
        if high > low:
            ends = np.clip([low, high], *limits)
            ax.add_patch(
                Rectangle(
                    (ends[0], place + DOWN - 0.16),
                    ends[1] - ends[0],
                    0.32,
                    facecolor=palette.FAINT,
                    edgecolor=palette.CONTROL,
                    linewidth=0.5,
                    gid="null",
                    zorder=1,
                )
            )
        else:
            _point(ax, low, place + DOWN, limits, "|", palette.CONTROL, hollow=False, gid="null", size=8)
    for key, values in element.controls.items():
        _point(
            ax, values[row], place + DOWN, limits, SHAPES[key], palette.MUTED, hollow=True, gid=key, size=4.5
        )
    ends = (element.low[row], element.high[row])
    spans = not np.isfinite(ends).all() or ends[0] <= 1 <= ends[1]
    colour = palette.CONTROL if spans else palette.ACCENT
    if np.isfinite(ends).all():
        inside = np.clip(ends, *limits)
        ax.plot(
            inside,
            [place + UP] * 2,
            color=colour,
            linewidth=1.6,
            linestyle=(0, (2.2, 1.4)) if spans else "-",
            gid="interval spans 1" if spans else "interval",
            zorder=3,
        )
        for end, edge, marker in ((ends[0], limits[0], "<"), (ends[1], limits[1], ">")):
            if (end < edge) if marker == "<" else (end > edge):
                ax.plot(
                    [edge], [place + UP], marker=marker, markersize=4, color=colour, clip_on=False, zorder=3
                )
    if element.passed[row]:
        _point(ax, element.ratio[row], place + UP, limits, "o", colour, hollow=False, gid="passed", size=7)
    elif element.published[row]:
        _point(
            ax, element.ratio[row], place + UP, limits, "o", colour, hollow=True, gid="published", size=6.5
        )
    else:
        _point(ax, element.ratio[row], place + UP, limits, "|", colour, hollow=False, gid="neither", size=9)


def _point(
    ax: Axes,
    value: float,
    y: float,
    limits: tuple[float, float],
    marker: str,
    colour: str,
    *,
    hollow: bool,
    gid: str,
    size: float,
) -> None:
    """A point; at the edge with an arrow where the axis does not reach."""
    if not np.isfinite(value):
        return
    if not limits[0] <= value <= limits[1]:
        marker = "<" if value < limits[0] else ">"
    ax.plot(
        [float(np.clip(value, *limits))],
        [y],
        linestyle="none",
        marker=marker,
        markersize=size,
        markerfacecolor=palette.PAPER if hollow else colour,
        markeredgecolor=colour,
        markeredgewidth=1.2 if marker != "|" else 1.6,
        clip_on=False,
        gid=gid,
        zorder=4,
    )


def _finish(ax: Axes, element: Element, shown: np.ndarray, limits: tuple[float, float], span: float) -> None:
    ax.axvline(1.0, color=palette.INK, linewidth=0.8, zorder=1, gid="one")
    ax.set_yticks(
        range(len(shown)), [f"{element.layers[row]}.{element.heads[row]}" for row in shown], fontsize=8.5
    )
    ax.tick_params(axis="y", length=0, pad=6)
    ax.set_ylabel("head, as layer.head, from 0", labelpad=4) if len(shown) > 5 else ax.set_ylabel(
        "head", labelpad=4
    )
    tens = [factor * 10.0**power for power in range(-3, 4) for factor in (1, 2, 5)]
    fine = [factor * 10.0**power for power in range(-3, 4) for factor in (1, 1.2, 1.5, 2, 3, 5, 7)]
    inside = [value for value in tens if limits[0] <= value <= limits[1]]
    if len(inside) < 5:
        inside = [float(f"{value:.3g}") for value in fine if limits[0] <= value <= limits[1]]
    kept: list[float] = []
    scale = span / np.log(limits[1] / limits[0])
    # 1 is always labelled; others where they leave it, and each other, room.
    for value in sorted(inside, key=lambda v: abs(np.log(v))):
        if all(abs(np.log(value / other)) * scale > 0.42 for other in kept):
            kept.append(value)
    ax.xaxis.set_major_locator(FixedLocator(sorted(kept)))
    ax.xaxis.set_major_formatter(FixedFormatter([f"{value:g}×" for value in sorted(kept)]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(axis="x", color=palette.FAINT, linewidth=0.5)
    ax.set_axisbelow(True)
    ax.set_xlabel("ratio to the share of positions (logarithmic)", labelpad=3)
    for x, text in ((0.12, "ratio (95% interval)"), (1.45, "pairs")):
        _beside(ax, x, -0.5, text, va="bottom", gid="column", color=palette.MUTED)
    for place, row in enumerate(shown.tolist()):
        ends = (element.low[row], element.high[row])
        text = number(float(element.ratio[row]))
        text += f" ({number(ends[0])}–{number(ends[1])})" if np.isfinite(ends).all() else ""
        weight = "bold" if element.passed[row] else "normal"
        _beside(ax, 0.12, place, text, va="center", gid="value", color=palette.INK, weight=weight)
        if element.n_above[row] >= 0:
            _beside(
                ax, 1.45, place, f"{element.n_above[row]:,}", va="center", gid="pairs", color=palette.MUTED
            )


def _beside(
    ax: Axes, inches: float, y: float, text: str, *, va: str, gid: str, color: str, weight: str = "normal"
) -> None:
    ax.annotate(
        text,
        (1.0, y),
        xycoords=("axes fraction", "data"),
        xytext=(inches * 72, 3 if va == "bottom" else 0),
        textcoords="offset points",
        va=va,
        fontsize=8,
        fontweight=weight,
        color=color,
        gid=gid,
        annotation_clip=False,
    )


# Words and keys -------------------------------------------------------------------------------------------------------


def _keys(element: Element, shown: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[tuple[str, dict]]:
    """Names and styles of what is drawn."""
    ink = {"color": palette.ACCENT, "linestyle": "none", "markersize": 6.5}
    dashes = {"color": palette.CONTROL, "linestyle": (0, (2.2, 1.4)), "linewidth": 1.6}
    keys = [
        (PASSED, {**ink, "marker": "o"}),
        (PUBLISHED, {**ink, "marker": "o", "markerfacecolor": palette.PAPER}),
        ("neither", {**ink, "marker": "|", "markersize": 9, "markeredgewidth": 1.6}),
        ("dashed grey: the interval spans 1", dashes),
    ]
    if (high[shown] > low[shown]).any():
        keys.append(("shifted elements, middle 95%", {"color": palette.FAINT, "linewidth": 6}))
    elif np.isfinite(low[shown]).any():
        tick = {"color": palette.CONTROL, "marker": "|", "markersize": 8, "markeredgewidth": 1.6}
        keys.append(("shifted elements, mean", {**tick, "linestyle": "none"}))
    for key, values in element.controls.items():
        style = {"color": palette.MUTED, "marker": SHAPES[key], "markersize": 5, "linestyle": "none"}
        if np.isfinite(values[shown]).any():
            keys.append((CONTROLS[key], {**style, "markerfacecolor": palette.PAPER}))
    return keys


def _wrapped_keys(keys: Sequence[tuple[str, dict]], room: float) -> list[list[tuple[float, str, dict]]]:
    """Keys on as many lines as they need, each with its place in inches."""
    rows: list[list[tuple[float, str, dict]]] = [[]]
    x = 0.0
    for name, style in keys:
        wide = 0.3 + text_width(name, 8.5) + 0.22
        if rows[-1] and x + wide > room:
            rows.append([])
            x = 0.0
        rows[-1].append((x, name, style))
        x += wide
    return rows


def _draw_keys(drawing: Drawing, rows: Sequence[Sequence[tuple[float, str, dict]]], y: float) -> None:
    width, height = drawing.get_size_inches()
    for index, row in enumerate(rows):
        for x, name, style in row:
            up = 1 - (y + 0.22 * index) / height
            ends = [(EDGE + x) / width, (EDGE + x + 0.22) / width]
            xs = ends if "marker" not in style else [(ends[0] + ends[1]) / 2]
            drawing.add_artist(Line2D(xs, [up] * len(xs), gid="key shape", **style))
            drawing.text((EDGE + x + 0.3) / width, up, name, va="center", fontsize=8.5, gid="key")


def _left_out(element: Element, rest: np.ndarray, untested: int) -> str:
    parts = []
    if len(rest):
        ratios = element.ratio[rest]
        passed = int(element.passed[rest].sum())
        tail = f", {passed:,} of which pass the shift null" if passed else ""
        plural = "s" if len(rest) != 1 else ""
        parts.append(
            f"{len(rest):,} more head{plural}, with ratios from {number(float(ratios.min()))} to {number(float(ratios.max()))}{tail}"
        )
    if untested:
        parts.append(f"{untested:,} without a ratio")
    return f"Not drawn: {'; '.join(parts)}." if parts else ""


def _notes(caption: str, null: np.ndarray | None) -> list[str]:
    said = [sentence(plain(caption, most=600))] if caption else []
    shifts = "shifted elements are their mean" if null is None else "the bar holds the middle 95% of shifts"
    said.append("1 is what even attention would give.")
    return [*said, f"Intervals come from resampling windows; {shifts}."]


def _range(low: float, high: float) -> str:
    return "" if not np.isfinite(low) else number(low) if high <= low else f"{number(low)} to {number(high)}"


def _said(
    title: str,
    name: str,
    element: Element,
    order: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    left_out: str,
) -> str:
    n, passed, only = len(element.ratio), int(element.passed.sum()), int(element.published_only.sum())
    said = [
        f"{sentence(title)} Attention on {name} over its share of positions, {n:,} head{'s' if n != 1 else ''} as "
        f"layer.head. {passed:,} pass{'es' if passed == 1 else ''} the shift null; {only:,} "
        f"pass{'es' if only == 1 else ''} the published test only."
    ]
    best = []
    for row in order[:3].tolist():
        ends = (float(element.low[row]), float(element.high[row]))
        parts = [f"95% interval {_range(*ends)}"] if np.isfinite(ends).all() else []
        shifted = _range(float(low[row]), float(high[row]))
        parts += [f"shifted {shifted}"] if shifted else []
        parts += [
            f"{CONTROLS[key]} {number(float(values[row]))}"
            for key, values in element.controls.items()
            if np.isfinite(values[row])
        ]
        aside = f" ({', '.join(parts)})" if parts else ""
        best.append(
            f"{element.layers[row]}.{element.heads[row]}, {number(float(element.ratio[row]))} times{aside}"
        )
    said.append(f"Largest: {'; '.join(best)}.")
    return " ".join([*said, *([left_out] if left_out else [])])


def _readout(
    ax: Axes,
    element: Element,
    shown: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    width: float,
    height: float,
    top: float,
) -> Readout:
    verdicts = [
        PASSED if element.passed[row] else PUBLISHED if element.published[row] else "neither test"
        for row in shown
    ]
    lanes = [
        Lane("ratio", values=element.ratio[shown]),
        Lane("95% interval", texts=[_range(float(element.low[r]), float(element.high[r])) for r in shown]),
    ]
    if np.isfinite(low).any():
        lanes.append(Lane("shifted elements", texts=[_range(float(low[r]), float(high[r])) for r in shown]))
    lanes += [Lane(CONTROLS[key], values=values[shown]) for key, values in element.controls.items()]
    if np.isfinite(element.q).any():
        lanes.append(Lane("false discovery rate", values=element.q[shown]))
    lanes.append(Lane("", texts=verdicts))
    boxes = [
        (EDGE / width, (top + ROW * i) / height, 1 - EDGE / width, (top + ROW * (i + 1)) / height)
        for i in range(len(shown))
    ]
    heads = [f"layer {element.layers[row]} head {element.heads[row]}" for row in shown]
    return Readout(len(shown), lanes, heads=heads, boxes=boxes, start=0)
