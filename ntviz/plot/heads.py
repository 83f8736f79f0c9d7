"""All heads of a model in one figure: their maps as thumbnails, or one number each as an atlas.

Both have the head on the horizontal axis and the layer, downward, on the vertical one, zero-based: a click at (x, y) is head
`floor(x)` of layer `floor(y)` among thumbnails, and head `x` of layer `y` in an atlas.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ntviz.genome import Interval
from ntviz.plot.attention import checked, picture, png, pooled
from ntviz.plot.theme import WIDTH, colours, framed
from ntviz.plot.tracks import literal
from ntviz.plot.words import escaped, listing, number, plain, sentence

MOST = 300_000
"""Cells of all thumbnails that are drawn in 64 shades; of more, 15 shades are."""
SHAPES = ("star", "diamond", "circle", "square")
DARK_FROM = 0.45
"""Share of a scale from which on text on its colour is pale on a light page."""


def thumbnails(
    maps: np.ndarray,
    *,
    title: str,
    unit: str = "share of attention",
    scaling: str = "head",
    scale: str = "sqrt",
    scores: Mapping[str, np.ndarray] | None = None,
    chosen: tuple[int, int] | None = None,
    interval: Interval | None = None,
) -> go.Figure:
    """A figure of small maps of all heads: layers from top to bottom, heads from left to right, both numbered from 0.

    In each map rows are queries from top to bottom and columns keys from left to right.

    Parameters
    ----------
    maps
        [layer, head, query bin, key bin] largest weight of each bin, at least 0, as `attention.Thumbnails` gives them.
    title
        Says what the figure shows.
    unit
        Of the weights.
    scaling
        "head": the strongest colour is the largest weight of each head; "model": that of all heads, so that maps compare.
    scale
        From weight to colour, "sqrt" or "linear".
    scores
        [layer, head] numbers by name and unit, such as {"entropy, nats": ...}, for the hover.
    chosen
        (layer, head) drawn with a frame.
    interval
        Window of the tokens, for the subtitle.

    Raises
    ------
    ValueError
        If the shape is not [layer, head, bin, bin], or a weight is negative or not finite.

    Examples
    --------
    >>> maps = np.zeros((1, 2, 4, 4))
    >>> maps[0, 1] = np.eye(4) * 0.8
    >>> thumbnails(maps, title="Two heads").layout.meta["alt"]
    'Two heads. Attention maps of 1 layer by 2 heads, numbered from 0, each 4 by 4 bins of queries and keys. Largest weight: layer 0 head 1 (0.8) and layer 0 head 0 (0). 1 of 2 heads never exceeds 0.1 share of attention.'
    """
    maps = np.asarray(maps, dtype=np.float32)
    if maps.ndim != 4 or maps.shape[2] != maps.shape[3] or 0 in maps.shape:
        raise ValueError(
            f"Thumbnails must have the shape [layer, head, bin, bin]; received {list(maps.shape)}. Pass the maps of attention.Thumbnails."
        )
    checked(maps, maps.shape, "thumbnails")
    for what, value, known in (("scaling", scaling, ("head", "model")), ("scale", scale, ("sqrt", "linear"))):
        if value not in known:
            raise ValueError(f"The {what} must be one of {', '.join(known)}; received {value!r}. Choose one of them.")
    n_layers, n_heads, size, _ = maps.shape
    _heads([chosen] if chosen else [], (n_layers, n_heads), "The chosen head")
    tops = maps.max(axis=(2, 3))
    reach = tops[:, :, None, None] if scaling == "head" else tops.max()
    levels = 64 if maps.size <= MOST else 15
    codes = np.round((maps / np.where(reach > 0, reach, 1)) ** (0.5 if scale == "sqrt" else 1) * (levels - 1)).astype(np.uint8)
    c, fig, sheets = colours(), go.Figure(), {}
    for step in (1, 2, 4):
        # The gap between maps is an eighth of one.
        small = np.stack([pooled(one, step=step)[0] for one in codes.reshape(-1, size, size)])
        gap = max(1, -(-size // 8) // step)
        small = np.pad(small, [(0, 0), (0, gap), (0, gap)], constant_values=levels).reshape(n_layers, n_heads, *(small.shape[1] + gap,) * 2)
        sheet = small.transpose(0, 2, 1, 3).reshape(n_layers * small.shape[2], -1)
        sheets[sheet.shape[1]] = [(0, 0, n_heads, n_layers, png(sheet, c.magnitudes, levels, c.paper))]
    fig.add_layout_image(source=picture(sheets, n_heads, n_layers), xref="x", yref="y", x=0, y=0, sizex=n_heads, sizey=n_layers, sizing="stretch", layer="below")
    numbers = {f"largest weight, {unit}": tops} | {name: _grid(values, name, (n_layers, n_heads)) for name, values in (scores or {}).items()}
    told = [[f"<b>layer {layer}, head {head}</b><br>" + "<br>".join(f"{escaped(name)}: {number(float(values[layer, head]))}" for name, values in numbers.items())
             for head in range(n_heads)] for layer in range(n_layers)]  # fmt: skip
    fig.add_heatmap(z=tops, x0=0.5, dx=1, y0=0.5, dy=1, opacity=0, showscale=False, name=escaped(f"largest weight, {unit}"), text=told, hovertemplate="%{text}<extra></extra>")
    wide = size / (size + max(1, -(-size // 8)))
    side = min(WIDTH / n_heads, 190)
    for axis, n, name in (("x", n_heads, "head"), ("y", n_layers, "layer")):
        fig.layout[f"{axis}axis"] = {"range": [0, n] if axis == "x" else [n, 0], "tickvals": np.arange(n) + wide / 2, "ticktext": [str(k) for k in range(n)],
                                     "title": {"text": name}, "ticks": "", "showline": False, "side": "top" if axis == "x" else "left"}  # fmt: skip
    fig.update_xaxes(domain=[0, min(1.0, side * n_heads / WIDTH)])
    if chosen is not None:
        fig.add_shape(**_frame(chosen[1], chosen[0], wide))
    order = np.argsort(-tops, axis=None, kind="stable")
    best = [f"{_at(int(i), n_heads)} ({number(float(tops.flat[i]))})" for i in order[:3]]
    quiet = int((tops <= 0.1).sum())
    said = [
        sentence(plain(title, most=200)),
        f"Attention maps of {n_layers:,} layer{'s' * (n_layers > 1)} by {n_heads:,} heads, numbered from 0, each {size} by {size} bins of queries and keys.",
        f"Largest weight: {listing(best)}. {quiet:,} of {tops.size:,} heads never exceed{'s' * (quiet == 1)} 0.1 {plain(unit)}.",
    ]
    where = "" if interval is None else f"{plain(Interval(interval.chrom, interval.start, interval.end).label())}. "
    strongest = "of each head" if scaling == "head" else "of all heads"
    return framed(fig, title=plain(title, most=200), alt=" ".join(said), height=round(side * n_layers), below=16, above=40,
                  subtitle=f"{where}Queries run downward, keys to the right; the strongest colour is the largest weight {strongest}.")  # fmt: skip


def head_atlas(
    grid: np.ndarray,
    *,
    label: str,
    unit: str,
    title: str,
    labels: Sequence[Sequence[str]] | np.ndarray | None = None,
    diverging: bool = False,
    limits: tuple[float, float] | None = None,
    marks: Mapping[str, np.ndarray | Sequence[tuple[int, int]]] | None = None,
    chosen: tuple[int, int] | None = None,
    control: np.ndarray | None = None,
    control_label: str = "randomly initialised model",
) -> go.Figure:
    """A figure of one number for each head: a grid of layers (rows) by heads (columns), both numbered from 0.

    Parameters
    ----------
    grid
        [layer, head] score; NaN where there is none, which is left empty.
    label, unit
        What the score is, and its unit.
    title
        Says what the figure shows.
    labels
        [layer, head] text for each cell instead of the number, such as what the head looks at most.
    diverging
        Whether the sign carries meaning: the scale is then centred on zero, with two hues.
    limits
        Scores of the two ends of the colours; those of the data, and zero, when None.
    marks
        Up to four kinds of marked heads, by name: (layer, head) pairs or bool [layer, head]. Each has a shape of its own.
    chosen
        (layer, head) drawn with a frame.
    control
        [layer, head] the same score for a control, drawn beside on the same scale.
    control_label
        What the control is.

    Raises
    ------
    ValueError
        If shapes disagree, a score is infinite, a marked head does not exist, or limits are no interval.

    Examples
    --------
    >>> head_atlas(np.array([[0.1, 0.5], [0.2, 0.0]]), label="entropy", unit="nats", title="Two layers").layout.meta["alt"]
    'Two layers. entropy, nats, of 2 layers by 2 heads, numbered from 0. Largest: layer 0 head 1 (0.5), layer 1 head 0 (0.2) and layer 0 head 0 (0.1); median 0.15, smallest 0 at layer 1 head 1.'
    """
    grids = [_grid(grid, label)]
    shape = grids[0].shape
    if control is not None:
        grids.append(_grid(control, f"{label}: control", shape))
    if labels is not None and (len(labels) != shape[0] or any(len(row) != shape[1] for row in labels)):
        raise ValueError(f"Labels must be one text for each of {shape[0]} layers by {shape[1]} heads; received {len(labels)} rows. Use empty text where there is none.")
    _heads([chosen] if chosen else [], shape, "The chosen head")
    if len(marks or {}) > len(SHAPES):
        raise ValueError(f"At most {len(SHAPES)} kinds of marks can be told apart; received {len(marks or {})}. Draw two figures.")
    marked = {plain(name, most=48): _heads(where, shape, f"A head marked {plain(name)!r}") for name, where in (marks or {}).items()}
    finite = np.concatenate([part[np.isfinite(part)] for part in grids])
    edge = float(np.abs(finite).max(initial=0.0)) or 1.0
    if limits is None:
        limits = (-edge, edge) if diverging else (min(0.0, float(finite.min(initial=0.0))), max(0.0, float(finite.max(initial=0.0))) or 1.0)
    if not limits[0] < limits[1]:
        raise ValueError(f"The limits of the colours must be an interval; received {limits}. Pass (lowest, highest).")
    digits = 2 - int(np.floor(np.log10(edge)))
    c, fig, n = colours(), go.Figure(), len(grids)
    names = [f"{label}, {unit}", f"Control: {control_label}"]
    # A long text breaks at its spaces; what does not fit is in the hover.
    room = max(3, int(WIDTH / n / shape[1] / 7))
    lines = 1
    for i, values in enumerate(grids):
        k = i + 1
        relative = (values - limits[0]) / (limits[1] - limits[0])
        strong = np.abs(relative - 0.5) > 0.39 if diverging else relative > DARK_FROM
        texts = [[number(round(float(value), digits)) if np.isfinite(value) else "–" for value in row] for row in values]
        texts = texts if labels is None or i else [[plain(text, most=40) for text in row] for row in labels]
        fig.add_heatmap(
            z=values, zmin=limits[0], zmax=limits[1], colorscale=c.diverging() if diverging else c.sequential(), showscale=i == 0, xgap=2, ygap=2,
            colorbar={"title": {"text": escaped(names[0]), "side": "right", "font": {"size": 12}}}, xaxis=f"x{k}", yaxis=f"y{k}", name=escaped(names[i]),
            customdata=[[escaped(text) for text in row] for row in texts], hoverongaps=False,
            hovertemplate=f"layer %{{y}}, head %{{x}}: %{{z:.3g}} {literal(unit)}<br>%{{customdata}}<extra></extra>",
        )  # fmt: skip
        for pale in (False, True):
            spots = [(row, column) for row, column in np.argwhere(strong == pale).tolist()]
            shown = [_fitted(texts[row][column], room) for row, column in spots]
            lines = max([lines, *(text.count("<br>") + 1 for text in shown)])
            fig.add_scatter(x=[column for _, column in spots], y=[row for row, _ in spots], text=shown, mode="text", hoverinfo="skip", xaxis=f"x{k}", yaxis=f"y{k}",
                            showlegend=False, textfont={"size": 10, "color": c.paper if pale else c.ink})  # fmt: skip
        low, high = i / n + 0.04 * i, (i + 1) / n
        axis = {"dtick": max(1, shape[1] * n // 40), "showline": False, "ticks": ""}
        fig.layout[f"xaxis{k}"] = axis | {"domain": [low, high], "anchor": f"y{k}", "title": {"text": "head"}, "range": [-0.5, shape[1] - 0.5]}
        fig.layout[f"yaxis{k}"] = axis | {"dtick": 1, "anchor": f"x{k}", "title": {"text": "" if i else "layer"}, "range": [shape[0] - 0.5, -0.5]}
        fig.add_annotation(x=low, xref="paper", xanchor="left", y=1, yref="paper", yanchor="bottom", showarrow=False, text=f"<b>{escaped(names[i])}</b>",
                           font={"color": c.muted if i else c.ink})  # fmt: skip
    for symbol, (name, where) in zip(SHAPES, marked.items(), strict=False):
        at = np.argwhere(where)
        fig.add_scatter(x=at[:, 1] + 0.36, y=at[:, 0] - 0.3, mode="markers", name=escaped(name), hoverinfo="skip", showlegend=True,
                        marker={"symbol": symbol, "size": 9, "color": c.mark, "line": {"width": 1, "color": c.ink}})  # fmt: skip
    if chosen is not None:
        fig.add_shape(**_frame(chosen[1] - 0.5, chosen[0] - 0.5, 1.0))
    height = round(max(30, 16 + 13 * lines, min(56, 0.6 * WIDTH / n / shape[1])) * shape[0])
    return framed(
        fig, title=plain(title, most=200), alt=_said(title, label, unit, grids, control_label, marked, labels, chosen), height=height, above=28 * bool(marked),
        legend={"orientation": "h", "y": 1 + 24 / height, "yanchor": "bottom", "x": 0} if marked else None,
    )  # fmt: skip


def _frame(x: float, y: float, side: float) -> dict[str, object]:
    return {"type": "rect", "x0": x, "x1": x + side, "y0": y, "y1": y + side, "line": {"color": colours().positive, "width": 3}}


def _fitted(text: str, room: int) -> str:
    lines = textwrap.wrap(text, room + 2, max_lines=3, placeholder="…", break_long_words=False)
    return "<br>".join(escaped(line if len(line) <= room + 2 else line[: room + 1] + "…") for line in lines)


def _grid(values: np.ndarray, label: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    grid = np.asarray(values, dtype=float)
    if grid.ndim != 2 or 0 in grid.shape or (shape is not None and grid.shape != shape):
        raise ValueError(
            f"{plain(label)!r} must have the shape {'[layer, head]' if shape is None else list(shape)}; received {list(grid.shape)}. "
            "Pass one number for each head of the same model."
        )
    if np.isinf(grid).any():
        layer, head = np.argwhere(np.isinf(grid))[0].tolist()
        raise ValueError(
            f"{plain(label)!r} must be finite, with NaN where there is no value; received {grid[layer, head]} at layer {layer} head {head}. Clip it, and say so."
        )
    return grid


def _heads(pairs: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Bool [layer, head] of (layer, head) pairs, or of what is that already."""
    grid = np.asarray(pairs)
    if grid.dtype == bool and grid.shape == shape:
        return grid
    at = np.asarray(list(pairs), dtype=np.int64).reshape(-1, 2)
    outside = at[((at < 0) | (at >= shape)).any(axis=1)]
    if len(outside):
        raise ValueError(
            f"{what} must be one of {shape[0]} layers by {shape[1]} heads, numbered from 0; received layer {outside[0, 0]} head "
            f"{outside[0, 1]}. Pass (layer, head)."
        )
    grid = np.zeros(shape, dtype=bool)
    grid[tuple(at.T)] = True
    return grid


def _at(index: int, n_heads: int) -> str:
    return f"layer {index // n_heads} head {index % n_heads}"


def _said(
    title: str, label: str, unit: str, grids: Sequence[np.ndarray], control_label: str, marked: Mapping[str, np.ndarray], labels: Any, chosen: tuple[int, int] | None
) -> str:  # fmt: skip
    n_layers, n_heads = grids[0].shape
    flat = grids[0].ravel()
    known = np.flatnonzero(np.isfinite(flat))
    said = [sentence(plain(title, most=200)), f"{plain(label)}, {plain(unit)}, of {n_layers} layers by {n_heads} heads, numbered from 0."]
    if known.size:
        order = known[np.argsort(-flat[known], kind="stable")]
        top = [f"{_at(int(i), n_heads)} ({number(float(flat[i]))})" for i in order[:3]]
        last = int(order[-1])
        said.append(f"Largest: {listing(top)}; median {number(float(np.median(flat[known])))}, smallest {number(float(flat[last]))} at {_at(last, n_heads)}.")
    if known.size < flat.size:
        missing = flat.size - known.size
        said.append(f"{missing:,} head{' has' if missing == 1 else 's have'} no value.")
    if len(grids) > 1 and np.isfinite(grids[1]).any():
        best = int(np.nanargmax(grids[1]))
        said.append(f"Control ({plain(control_label)}): largest {number(float(grids[1].flat[best]))} at {_at(best, n_heads)}, median {number(float(np.nanmedian(grids[1])))}.")
    if labels is not None:
        counts = Counter(plain(text, most=40) for row in labels for text in row if text)
        said.append(f"Heads by label: {listing([f'{text} {count:,}' for text, count in counts.most_common()], most=6)}.")
    said += [f"Marked, {name}: {listing([f'{layer}.{head}' for layer, head in np.argwhere(where).tolist()], most=8)} (layer.head)." for name, where in marked.items()]
    return " ".join([*said, *([f"Framed: {_at(chosen[0] * n_heads + chosen[1], n_heads)}."] if chosen else [])])
