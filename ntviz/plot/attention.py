"""Attention over the genome: what one query looks at, as a track of a locus; one head's weights, as a map."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ntviz.genome import Interval, canonical_contig
from ntviz.plot.theme import WIDTH, colours, framed
from ntviz.plot.tracks import Panel, Track, View, boxes, literal
from ntviz.plot.transcripts import Annotated, collect
from ntviz.plot.words import element_name, escaped, listing, number, plain, sentence, span

ARCS = 12
"""Arcs drawn from a query, the strongest first."""
EXACT, PIXELS, MOST_TOKENS = 512, 2_048, 4_096
"""Cells a side of a heat map at most, of an image of one pixel a cell, and of any map."""
SCALES = {"linear": "linear scale", "sqrt": "square-root scale", "log": "logarithmic scale"}


def pooled(values: np.ndarray, most: int = 0, *, step: int = 0) -> tuple[np.ndarray, int]:
    """Largest values of square blocks of an array [query, key] of at least 0, at most `most` or `step` a side, and the side of a block.

    Attention is sparse: largest values keep its peaks.

    Examples
    --------
    >>> pooled(np.array([[1, 2, 0], [3, 0, 0], [0, 0, 5]]), 2)[0].tolist()
    [[3, 0], [0, 5]]
    """
    step = step or max(1, -(-max(values.shape) // most))
    padded = np.pad(values, [(0, -size % step) for size in values.shape])
    n, m = (size // step for size in padded.shape)
    return padded.reshape(n, step, m, step).max((1, 3)), step


def stops(scale: str, n: int = 9) -> np.ndarray:
    """Weights, as a share of the largest, at which `n` colours in even steps stand: plotly's colour scale of a scaled weight.

    Examples
    --------
    >>> stops("sqrt", 3).tolist(), stops("log", 4).round(3).tolist()
    ([0.0, 0.25, 1.0], [0.0, 0.01, 0.1, 1.0])
    """
    steps = np.linspace(0, 1, n)
    return steps if scale == "linear" else steps**2 if scale == "sqrt" else np.where(steps > 0, 10 ** (3 * (steps - 1)), 0)


def short(values: np.ndarray) -> np.ndarray:
    """Float32 to 11 binary digits, more than a hover tells: half the bytes of a page, where it is zipped."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x1000) & 0xFFFFE000).astype(np.uint32).view(np.float32)


def png(codes: np.ndarray, shades: Sequence[str], levels: int, ground: str = "") -> str:
    """Codes [row, column] below `levels` as an image in even steps of the shades; the code `levels` is the ground."""
    from PIL import Image

    known = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in shades], dtype=float)
    at = np.linspace(0, len(shades) - 1, levels)
    table = np.stack([np.interp(at, np.arange(len(shades)), channel) for channel in known.T], axis=1).round().astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(codes, np.uint8)).convert("P")
    image.putpalette(table.tobytes() + (bytes.fromhex(ground[1:]) if ground else b""))
    buffer = io.BytesIO()
    image.save(buffer, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def picture(sheets: Mapping[int, Sequence[tuple[float, ...]]], wide: float, tall: float, *, turned: tuple[bool, bool] = (False, False)) -> str:
    """An image of the sheet that has as many pixels as there is room for, `turned` along x and y, sharp at every zoom.

    `sheets` have tiles (x, y, width, height, address of a `png`) by their pixels across. Browsers blur an image that is enlarged, and
    drop pixels of one that is made smaller; inside an SVG they can be told not to, and choose by the width on the screen.
    """
    pixels = sorted(sheets)
    rules, groups = "", ""
    for i, size in enumerate(pixels):
        least = f"(min-width:{size}px)" if i else "(min-width:0px)"
        rules += f".s{size}{{display:none}}@media {least}{f' and (max-width:{pixels[i + 1] - 0.01}px)' if i + 1 < len(pixels) else ''}{{.s{size}{{display:inline}}}}"
        tiles = "".join(f"<image x='{x:g}' y='{y:g}' width='{w:g}' height='{h:g}' preserveAspectRatio='none' href='{address}'/>" for x, y, w, h, address in sheets[size])
        groups += f"<g class='s{size}'>{tiles}</g>"
    (a, b), (x, y) = (-1 if turn else 1 for turn in turned), (size if turn else 0 for turn, size in zip(turned, (wide, tall), strict=True))
    text = (f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {wide:g} {tall:g}' preserveAspectRatio='none'><style>image{{image-rendering:pixelated}}"
            f"{rules}</style><g transform='translate({x:g} {y:g}) scale({a} {b})'>{groups}</g></svg>")  # fmt: skip
    return "data:image/svg+xml," + text.replace("<", "%3C").replace(">", "%3E")


def checked(weights: Any, shape: tuple[int, ...], label: str) -> np.ndarray:
    """Weights as floats of a shape, at least 0 and finite, or a ValueError that names them."""
    values = np.asarray(weights, dtype=float)
    if values.shape != shape:
        raise ValueError(
            f"{plain(label)!r} must have the shape of its spans, {list(shape)}; received {list(values.shape)}. "
            "Pass the weights of the same tokens."
        )
    wrong = ~np.isfinite(values) | (values < 0)
    if wrong.any():
        first = np.argwhere(wrong)[0].tolist()
        raise ValueError(
            f"Weights of {plain(label)!r} must be finite and at least 0; received {values[tuple(first)]} at {first} "
            f"({int(wrong.sum()):,} such). Pass probabilities, not scores or differences."
        )
    return values


def _spans(spans: Any, label: str) -> np.ndarray:
    places = np.asarray(spans)
    if places.ndim != 2 or places.shape[1:] != (2,) or places.dtype.kind not in "iu" or (places[:, 0] > places[:, 1]).any():
        raise ValueError(
            f"The spans of {plain(label)!r} must be integers of the shape [token, 2], start <= end also on the - strand; received "
            f"{places.dtype} {list(places.shape)}. Pass tokens.on(interval)."
        )
    return places.astype(np.int64)


def _percent(share: float) -> str:
    return "under 1%" if 0 < share < 0.005 else f"{share:.0%}"


# One query ------------------------------------------------------------------------------------------------------------


def attention_track(
    values: np.ndarray,
    spans: np.ndarray,
    *,
    label: str,
    unit: str = "share of attention",
    query_span: tuple[int, int] | Interval | None = None,
    control: np.ndarray | None = None,
    control_label: str = "shuffled sequence",
    height: int = 110,
) -> Track:
    """A track of what one query token attends to: a bar for each token, and arcs to the strongest; the control hangs below in grey.

    A dotted line shows what each token would get from a query that attends evenly. Where there are more tokens than two a
    pixel, a bar is the largest weight of several.

    Parameters
    ----------
    values
        [token] weights, at least 0.
    spans
        [token, 2] in genome coordinates, 0-based half-open. A token with an empty span (a special token) has no
        place on the genome: its weight is told in the alt sentence.
    label, unit
        Name of the track, and the unit on its axis.
    query_span
        Where the query lies, 0-based half-open. Arcs start there.
    control
        [token] weights of a control with the same tokens' places, on the same scale, below zero.
    control_label
        What the control is.
    height
        Pixels.

    Raises
    ------
    ValueError
        If the shapes disagree, or a weight is negative or not finite.
    """
    places = _spans(spans, label)
    given = {"": checked(values, places.shape[:1], label)}
    if control is not None:
        given["control"] = checked(control, places.shape[:1], f"{label}: control")
    query = (query_span.start, query_span.end) if isinstance(query_span, Interval) else query_span
    if query is not None and query[1] <= query[0]:
        raise ValueError(
            f"The query of {label!r} must cover at least one base; received the span {tuple(query)}. "
            f"A special token has no place on the genome: leave query_span out for it."
        )
    placed = places[:, 1] > places[:, 0]

    def strongest(weights: np.ndarray) -> str:
        if not placed.any():
            return "no token lies on the genome"
        best = int(np.where(placed, weights, -1.0).argmax())
        special = float(weights[~placed].sum())
        aside = f", {_percent(special)} on special tokens" if special > 0 else ""
        return f"strongest on {span(*places[best].tolist())} ({number(float(weights[best]))} {unit}){aside}"

    def draw(panel: Panel) -> str:
        c, at = colours(), panel.view.interval
        inside = np.flatnonzero(placed & (places[:, 0] < at.end) & (places[:, 1] > at.start))
        inside = inside[np.argsort(places[inside, 0], kind="stable")]
        step = max(1, -(-len(inside) // (2 * WIDTH)))
        first = np.arange(0, len(inside), step)
        bars = np.stack([places[inside[first], 0], places[inside[np.minimum(first + step, len(inside)) - 1], 1]], axis=1)
        texts = [span(*bar) + f", largest of {step} tokens" * (step > 1) for bar in bars.tolist()]
        top = max(float(weights[placed].max(initial=0.0)) for weights in given.values()) or 1.0
        words = [strongest(weights) for weights in given.values()]
        for which, weights in given.items():
            large = np.maximum.reduceat(weights[inside], first) if len(first) else np.zeros(0)
            name = f"{label}: control ({control_label})" if which else label
            panel.add(go.Bar(
                x=bars.mean(axis=1) + 0.5, width=bars[:, 1] - bars[:, 0], y=-large if which else large, name=escaped(name, most=110), text=texts,
                textposition="none", customdata=large, hovertemplate="token %{text}: %{customdata:.3g}<extra>%{fullData.name}</extra>",
                marker={"color": c.control if which else c.accent, "line": {"width": 0}},
            ))  # fmt: skip
        panel.add(go.Scatter(x=[at.start + 0.5, at.end + 0.5], y=[1 / max(len(places), 1)] * 2, mode="lines", hoverinfo="skip",
                             line={"color": c.control, "width": 1, "dash": "dot"}))  # fmt: skip
        panel.figure.update_layout(barmode="overlay")
        ticks = [-top, 0.0, top] if control is not None else [0.0, top]
        panel.yaxis(range=[-1.08 * top if control is not None else 0, (1.7 if query else 1.08) * top], zeroline=True,
                    tickvals=ticks, ticktext=[number(abs(tick)) for tick in ticks])  # fmt: skip
        if query is not None:
            words[0] = f"from {span(*query)}, {words[0]}"
            if query[0] < at.end and query[1] > at.start:
                _arcs(panel, places, given[""], inside, query, top)
        if control is not None:
            words[1] = f"in the control ({plain(control_label)}) {words[1]}"
        return "; ".join(words)

    note = [f"arcs: the {ARCS} strongest"] if query is not None else []
    note += [f"grey, below zero: {plain(control_label)}"] if control is not None else []
    return Track(plain(label, most=90), height, draw, plain(unit), note="; ".join([*note, "dotted: even attention"]))


def _arcs(panel: Panel, places: np.ndarray, weights: np.ndarray, inside: np.ndarray, query: tuple[int, int], top: float) -> None:
    """Arcs from the query to the strongest tokens, above the bars, read at their targets; and the query's mark."""
    c, origin = colours(), sum(query) / 2 + 0.5
    keys = inside[((places[inside, 0] >= query[1]) | (places[inside, 1] <= query[0])) & (weights[inside] > 0)]
    keys = keys[np.argsort(-weights[keys], kind="stable")][:ARCS]
    centres = places[keys].mean(axis=1) + 0.5
    far, turn = np.abs(centres - origin).max(initial=1.0), np.linspace(0, np.pi, 33)
    for key, centre in zip(keys[::-1], centres[::-1], strict=True):
        share = float(weights[key]) / top
        panel.add(go.Scatter(
            x=(origin + centre) / 2 + (origin - centre) / 2 * np.cos(turn), y=top * (0.3 + 1.3 * abs(centre - origin) / far) * np.sin(turn) / 1.05,
            mode="lines", hoverinfo="skip", opacity=0.4 + 0.6 * share, line={"color": c.positive, "width": 0.8 + 2.2 * share},
        ))  # fmt: skip
    read = {"mode": "markers", "hovertemplate": "%{text}<extra></extra>"}
    texts = [f"from {span(*query)} to {span(*places[key].tolist())}: {number(float(weights[key]))}" for key in keys]
    panel.add(
        go.Scatter(x=centres, y=weights[keys], text=texts, opacity=0, marker={"size": 12, "color": c.positive}, **read),
        go.Scatter(x=[origin], y=[0], text=[f"query {span(*query)}"], marker={"symbol": "triangle-up", "size": 11, "color": c.ink}, cliponaxis=False, **read),
    )


# One head -------------------------------------------------------------------------------------------------------------


def attention_map(
    weights: np.ndarray,
    spans: np.ndarray,
    interval: Interval,
    *,
    title: str,
    label: str = "Attention",
    unit: str = "share of attention",
    query_spans: np.ndarray | None = None,
    query_interval: Interval | None = None,
    to_special: np.ndarray | None = None,
    special: str = "<cls>",
    genes: Annotated | None = None,
    elements: Sequence[str] | Mapping[str, np.ndarray] = (),
    assembly: str | None = None,
    sequence: str | None = None,
    query_sequence: str | None = None,
    scale: str = "sqrt",
    top: float | None = None,
    control: np.ndarray | None = None,
    control_to_special: np.ndarray | None = None,
    control_label: str = "shuffled sequence",
    zoom: Interval | tuple[Interval, Interval] | None = None,
) -> go.Figure:
    """A figure of one head's weights: a row for each token that looks (query), a column for each looked at (key).

    Rows run from top to bottom and columns from left to right along the reading direction of the interval's strand; each cell
    has the exact extent of its two tokens on the genome. Up to 512 tokens a side are a heat map. Up to 2,048 are an image of
    one pixel a cell, whose hover tells the largest weight of a block of cells. Of more, or where the tokens' widths change all
    the time, the blocks are drawn, and the alt sentence says so.

    Parameters
    ----------
    weights
        [query, key] of at least 0. Rows and columns of tokens without a place on the genome (special tokens) are not
        part of the map: their columns become the strip at its right.
    spans
        [key, 2] on the genome, 0-based half-open, as `tokens.on(interval)` gives them; empty for special tokens.
    interval
        Window of the columns, and of the rows unless those of `query_spans` are others.
    title, label
        Says what the figure shows; names the head, above its map.
    unit
        Of the weights.
    query_spans, query_interval
        [query, 2] of the rows and their window, when they are not those of the columns; the smallest that holds the rows
        when only spans are given.
    to_special, control_to_special
        [query] share on special tokens, where `weights` has no columns for them.
    special
        Name of the special tokens that are looked at.
    genes
        Annotation whose genes are drawn along the top, exons thick, transcripts merged.
    elements
        Names of elements to look up in `genes`, or [stretch, 2] 0-based half-open on the genome by name; drawn along the top.
    assembly
        Name of the genome assembly, written on the axes.
    sequence, query_sequence
        Bases of `interval` and of `query_interval` in their reading direction: the hover then names those of each token.
    scale
        From weight to colour: "linear", "sqrt" or "log" (three powers of ten).
    top
        Weight of the strongest colour; the largest in the maps when None. Larger ones are drawn like it, and counted.
    control
        [query, key] weights of a control with tokens at the same places, beside on the same scale; the two zoom together.
    control_label
        What the control is.
    zoom
        Part of the window that is shown first, for both sides or (query, key); a double click shows the whole.

    Raises
    ------
    ValueError
        If shapes disagree, a weight is negative or not finite, no token lies in a window, the two windows lie on
        different contigs or strands, a zoom lies outside, an element is unknown, or the scale is.

    Examples
    --------
    >>> spans = np.array([[0, 0], [100, 106], [106, 112]])
    >>> weights = np.array([[0.2, 0.4, 0.4], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])
    >>> attention_map(weights, spans, Interval("chr20", 100, 112), title="A toy", label="head 0").layout.meta["alt"]
    'A toy. head 0 over chr20:101-112, 2 queries by 2 keys. Strongest: query 101–106 on key 107–112, 0.7 share of attention. On average 20% on <cls>.'
    """
    places = _spans(spans, label)
    rows = places if query_spans is None else _spans(query_spans, f"{label}: queries")
    placed = rows[rows[:, 1] > rows[:, 0]]
    if query_interval is None and query_spans is not None and len(placed):
        query_interval = Interval(interval.chrom, int(placed[:, 0].min()), int(placed[:, 1].max()), interval.strand)
    keys, queries = _side(places, interval), _side(rows, query_interval or interval)
    zooms = zoom if isinstance(zoom, tuple) else (zoom, zoom)
    _check_map(keys.interval, queries.interval, scale, zooms, (sequence, query_sequence))
    shape = (len(rows), len(places))
    if max(shape) > MOST_TOKENS:
        raise ValueError(
            f"A map must have at most {MOST_TOKENS:,} queries and keys; received {shape[0]:,} by {shape[1]:,}. Draw a window of it, or thumbnails."
        )
    maps: list[tuple[np.ndarray, np.ndarray | None]] = []
    for given, to, name in ((weights, to_special, label), (control, control_to_special, f"{label}: control")):
        if given is not None:
            values = checked(given, shape, name)
            share = values[:, keys.special].sum(axis=1) if len(keys.special) else None
            share = share if to is None else checked(to, shape[:1], f"{name}, to_special")
            maps.append((values[np.ix_(queries.tokens, keys.tokens)], None if share is None else share[queries.tokens]))
    highest = max(float(values.max()) for values, _ in maps) or 1.0
    top = highest if top is None else top
    if not (np.isfinite(top) and top > 0):
        raise ValueError(f"The weight of the strongest colour must be above 0; received top={top}. Leave it out for the largest.")

    c, fig, n = colours(), go.Figure(), len(maps)
    names = [label, f"Control: {control_label}"]
    unit, special = plain(unit), plain(special, most=24)
    letters = _letters(queries, query_sequence, queries.interval) if query_sequence else _letters(queries, sequence, interval), _letters(keys, sequence, interval)
    lanes = _lanes(genes, elements, interval)
    side = 560 if n == 1 else 370
    tall = side + (20 * len(lanes) + 8) * bool(lanes)
    level, edge = side / tall, 0.05 * any(share is not None for _, share in maps)
    exact = max(maps[0][0].shape) <= EXACT
    image = not exact and max(maps[0][0].shape) <= PIXELS and len(queries.runs()) * len(keys.runs()) <= 64
    step = 1
    for i, (values, share) in enumerate(maps):
        k = i + 1
        low, high = [(0.0, 0.84), (0.0, 0.48), (0.52, 1.0)][i + (n > 1)]
        shown, step = (values, 1) if exact else pooled(values, EXACT // 2 if image else EXACT)
        # A control may have other bases at the same places.
        (ye, yt, yn), (xe, xt, xn) = (side.cells(step, bases if i == 0 else ()) for side, bases in zip((queries, keys), letters, strict=True))
        shown = np.pad(short(shown), (0, 1), constant_values=np.nan)[np.ix_(yt, xt)]
        across = keys.axis(zooms[1], xe) | {"domain": [low, high - edge]}
        down = queries.axis(zooms[0], ye, down=True) | {"domain": [0, level]}
        # The cells lie on axes of their own, not seen, whose ticks name the tokens: hover texts read them from there.
        fig.update_layout({
            f"xaxis{k}": across | {"anchor": f"y{k}", "title": {"text": f"key, {_place(interval, assembly)}"}, "nticks": 8 // n} | _matching("x", i),
            f"yaxis{k}": down | {"anchor": f"x{k}", "title": {"text": "" if i else f"query, {_place(queries.interval, assembly)}"}, "showticklabels": not i} | _matching("y", i),
            f"xaxis{k + 2}": across | _HIDDEN | {"anchor": f"y{k + 2}", "overlaying": f"x{k}", "matches": "x", "tickvals": (xe[1:] + xe[:-1]) / 2, "ticktext": xn},
            f"yaxis{k + 2}": down | _HIDDEN | {"anchor": f"x{k + 2}", "overlaying": f"y{k}", "matches": "y", "tickvals": (ye[1:] + ye[:-1]) / 2, "ticktext": yn},
        })  # fmt: skip
        fig.add_scatter(x=[None], y=[None], xaxis=f"x{k}", yaxis=f"y{k}", marker={"color": [0], "coloraxis": "coloraxis"}, showlegend=False)
        if image:
            fig.add_layout_image(**_image(values, queries, keys, scale, top), xref=f"x{k}", yref=f"y{k}")
        fig.add_heatmap(
            z=shown, x=xe, y=ye, xaxis=f"x{k + 2}", yaxis=f"y{k + 2}", zmin=0, zmax=top, colorscale=list(zip(stops(scale, len(c.magnitudes)), c.magnitudes, strict=True)),
            opacity=0 if image else 1, showscale=False, name=escaped(names[i], most=110), hoverongaps=False, hovertemplate="query %{y}<br>key %{x}<br>%{z:.3g} "
            + literal(unit) + ("" if step == 1 else f", largest of {step} by {step} tokens") + "<extra></extra>",
        )  # fmt: skip
        fig.add_annotation(x=low, xanchor="left", text=f"<b>{escaped(names[i])}</b>", font={"size": 12, "color": c.muted if i else c.ink}, **_ABOVE)
        if share is not None:
            part = np.append(np.maximum.reduceat(share, np.arange(0, len(share), step)), np.nan)[yt]
            fig.add_bar(x=part, y=(ye[1:] + ye[:-1]) / 2, width=np.diff(ye), orientation="h", xaxis=f"x{k + 4}", yaxis=f"y{k + 2}", showlegend=False,
                        marker={"color": c.control if i else c.accent, "line": {"width": 0}}, name=escaped(f"{names[i]}: on {special}", most=110),
                        hovertemplate=f"query %{{y}}<br>%{{x:.1%}} on {literal(special)}<extra></extra>")  # fmt: skip
            most = max(float(other.max()) for _, other in maps if other is not None) or 1.0
            fig.layout[f"xaxis{k + 4}"] = _HIDDEN | {"domain": [high - 0.8 * edge, high], "range": [0, most], "anchor": f"y{k + 2}", "fixedrange": True}
            fig.add_annotation(x=high, xanchor="right", text=f"{_percent(float(share.mean()))} on {escaped(special)}", font={"size": 11, "color": c.muted}, **_ABOVE)
    for lane, (name, bodies, parts) in enumerate(lanes):
        for spans_of, half in ((bodies, 0.05), (parts, 0.3)):
            texts = [f"{name}, {span(*pair)}" for pair in spans_of]
            fig.add_trace(boxes(spans_of, texts, middle=lane, half=half, colour=c.gene, name=escaped(name)).update(yaxis="y9", showlegend=False))
    fig.layout.yaxis9 = {"domain": [(side + 8) / tall, 1], "range": [len(lanes) - 0.5, -0.5], "anchor": "free", "position": 0, "tickvals": list(range(len(lanes))),
                         "ticktext": [escaped(name, most=16) for name, *_ in lanes], "fixedrange": True, "showline": False, "ticks": "", "ticklabelstandoff": 5} if lanes else None  # fmt: skip
    ticks = np.linspace(0, 1, 5)
    bar = {"title": {"text": f"{escaped(unit)}, {SCALES[scale]}", "side": "right", "font": {"size": 12}}, "tickvals": ticks, "ticktext": [number(float(at) * top) for at in stops(scale, 5)],
           "len": level, "y": 0, "yanchor": "bottom", "x": (0.84 if n == 1 else 1) + 0.012, "xanchor": "left"}  # fmt: skip
    said = _map_said(title, names, maps, queries, keys, unit, special, lanes)
    if highest > top:
        said += f" {sum(int((values > top).sum()) for values, _ in maps):,} weights above {number(top)} are drawn like it."
    if not exact and not image:
        said += f" Each cell shows the largest of {step} by {step} tokens."
    return framed(
        fig, title=plain(title, most=200), alt=said, height=tall, above=16, below=56, barmode="overlay", bargap=0,
        name=_plus(interval).replace(",", ""), coloraxis={"colorscale": c.sequential(), "cmin": 0, "cmax": 1, "colorbar": bar},
    )  # fmt: skip


_HIDDEN: dict[str, Any] = {"showticklabels": False, "ticks": "", "showline": False, "title": None}
_ABOVE: dict[str, Any] = {"xref": "paper", "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": 3, "showarrow": False}


def _matching(axis: str, i: int) -> dict[str, str]:
    return {"matches": axis} if i else {}


@dataclass(frozen=True, slots=True)
class _Side:
    """Tokens along one axis from low to high positions; the axis turns the picture round for a - strand.

    `tokens` and `special` are numbers of the tokens that lie in the interval and of those without a place.
    """

    interval: Interval
    tokens: np.ndarray
    spans: np.ndarray
    special: np.ndarray

    @property
    def reverse(self) -> bool:
        """Whether coordinates fall in reading direction."""
        return self.interval.strand == "-"

    def cells(self, step: int, letters: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Edges of cells of `step` tokens on the axis, the block of each cell, and its name; -1 and none between tokens that do not touch."""
        starts, ends = self.spans[::step, 0], self.spans[np.minimum(np.arange(step - 1, len(self.spans) + step - 1, step), len(self.spans) - 1), 1]
        edges = np.unique(np.append(starts, np.minimum(ends, np.append(starts[1:], ends[-1]))))
        block = np.searchsorted(starts, edges[:-1], side="right") - 1
        names = [f"{span(int(a), int(b))} {letters[i] if letters and step == 1 else ''}".strip() for i, (a, b) in enumerate(zip(starts, ends, strict=True))]
        block = np.where(edges[:-1] < ends[block], block, -1)
        return edges + 0.5, block, [names[i] if i >= 0 else "" for i in block]

    def runs(self) -> list[tuple[int, int]]:
        """Stretches of tokens of one width that touch each other."""
        changes = (np.diff(np.diff(self.spans)[:, 0]) != 0) | (self.spans[1:, 0] != self.spans[:-1, 1])
        return list(pairwise([0, *(np.flatnonzero(changes) + 1).tolist(), len(self.spans)]))

    def axis(self, zoom: Interval | None, edges: np.ndarray, *, down: bool = False) -> dict[str, Any]:
        """Options of the axis: queries run downward, and a - strand from high to low."""
        ends = [float(edges[0]), float(edges[-1])]
        at = ends if zoom is None else [zoom.start + 0.5, zoom.end + 0.5]
        return {"range": at[::-1] if self.reverse != down else at, "tickformat": ",d", "minallowed": ends[0], "maxallowed": ends[1]}


def _side(spans: np.ndarray, interval: Interval) -> _Side:
    inside = np.flatnonzero((spans[:, 1] > spans[:, 0]) & (spans[:, 0] < interval.end) & (spans[:, 1] > interval.start))
    if not len(inside):
        raise ValueError(
            f"A token must lie in {interval.label()}; received {len(spans):,} spans and none of them there. Pass spans on the genome, tokens.on(interval)."
        )
    tokens = inside[np.argsort(spans[inside, 0], kind="stable")]
    return _Side(interval, tokens, spans[tokens], np.flatnonzero(spans[:, 1] <= spans[:, 0]))


def _letters(side: _Side, sequence: str | None, over: Interval) -> list[str]:
    """Bases of each token as they are read, where a sequence has them."""
    view = View(over, over, (0, 0))
    return [escaped(sequence[slice(*view.stops(a, b))], most=24) if sequence and over.start <= a and b <= over.end else "" for a, b in side.spans.tolist()]


def _image(values: np.ndarray, queries: _Side, keys: _Side, scale: str, top: float) -> dict[str, Any]:
    """One pixel a cell as an image of plotly: a tile for each stretch of tokens of one width."""
    shades, levels = colours().magnitudes, 128
    at = np.interp(values / top, stops(scale, len(shades)), np.linspace(0, levels - 1, len(shades)))
    codes = np.round(at).astype(np.uint8)
    (x0, x1), (y0, y1) = ((int(side.spans[0, 0]), int(side.spans[-1, 1])) for side in (keys, queries))
    sheets: dict[int, list[Any]] = {}
    for step in (1, 2, 4, 8):
        tiles = sheets[-(-codes.shape[1] // step)] = []
        for (a, b), (c, d) in product(queries.runs(), keys.runs()):
            part, (left, upper) = pooled(codes[a:b, c:d], step=step)[0], (keys.spans[c, 0] - x0, queries.spans[a, 0] - y0)
            w, h = (step * size * (side.spans[i, 1] - side.spans[i, 0]) for size, side, i in ((part.shape[1], keys, c), (part.shape[0], queries, a)))
            tiles.append((left, upper, w, h, png(part, shades, levels)))
    return {"source": picture(sheets, x1 - x0, y1 - y0, turned=(keys.reverse, queries.reverse)), "x": (x1 if keys.reverse else x0) + 0.5,
            "y": (y1 if queries.reverse else y0) + 0.5, "sizex": x1 - x0, "sizey": y1 - y0, "xanchor": "left", "yanchor": "top", "sizing": "stretch", "layer": "below"}  # fmt: skip


def _place(interval: Interval, assembly: str | None) -> str:
    strand = {"-": ", − strand", "+": ", + strand"}.get(interval.strand, "")
    return f"1-based on {escaped(interval.chrom)}{f' ({escaped(assembly)})' if assembly else ''}{strand}"


def _plus(interval: Interval) -> str:
    return plain(Interval(interval.chrom, interval.start, interval.end).label())


def _map_said(
    title: str, names: Sequence[str], maps: Sequence[tuple[np.ndarray, np.ndarray | None]], queries: _Side, keys: _Side, unit: str, special: str, lanes: Sequence[Any]
) -> str:  # fmt: skip
    where = _plus(keys.interval) if queries.interval == keys.interval else f"{_plus(keys.interval)} (keys) and {_plus(queries.interval)} (queries)"
    said = [sentence(plain(title, most=200)), f"{plain(names[0])} over {where}, {len(queries.spans):,} queries by {len(keys.spans):,} keys."]
    for name, (values, share) in zip(names, maps, strict=False):
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        best = f"query {span(*queries.spans[row].tolist())} on key {span(*keys.spans[column].tolist())}, {number(float(values[row, column]))} {unit}"
        beside = "" if share is None else f"{_percent(float(share.mean()))} on {special}"
        if name == names[0]:
            said += [f"Strongest: {best}.", *([f"On average {beside}."] if beside else [])]
        else:
            said.append(f"{plain(name).replace(': ', ' (', 1)}): strongest {best}{f'; {beside}' if beside else ''}.")
    along = [f"{name} {listing([span(*pair) for pair in parts or bodies], most=3)}" for name, bodies, parts in lanes]
    return " ".join(said + [f"Along the top: {'; '.join(along)}."] * bool(along))


def _lanes(genes: Any, elements: Sequence[str] | Mapping[str, np.ndarray], at: Interval) -> list[tuple[str, list[tuple[int, int]], list[tuple[int, int]]]]:
    """Up to three genes (bodies, exons) and all elements (none, stretches) over a window, by name, clipped to it."""
    lanes: dict[str, tuple[list, list]] = {}
    transcripts = collect(genes, at)[0] if genes is not None else []
    for gene in list(dict.fromkeys(item.gene for item in transcripts))[:3]:
        same = [item for item in transcripts if item.gene == gene]
        lanes[gene] = [(item.start, item.end) for item in same], [(a, b) for item in same for a, b, _ in item.exons]
    for name in elements:
        if isinstance(elements, Mapping):
            stretches = np.asarray(elements[name], dtype=np.int64).reshape(-1, 2)
        elif not hasattr(genes, "indicator"):
            raise ValueError(
                f"Elements by name must have an annotation to look them up in; received {plain(name)!r} and genes={genes!r:.60}. "
                f"Pass the annotation as genes=, or stretches as elements={{name: [[start, end]]}}."
            )
        else:
            inside = np.asarray(genes.indicator(Interval(at.chrom, at.start, at.end), name), dtype=np.int8)
            stretches = np.flatnonzero(np.diff(inside, prepend=0, append=0)).reshape(-1, 2) + at.start
        lanes[element_name(name)] = [], stretches.tolist()

    def clipped(spans: Sequence[Any]) -> list[tuple[int, int]]:
        return sorted({(max(a, at.start), min(b, at.end)) for a, b in spans if a < at.end and b > at.start})

    return [(plain(name, most=28), clipped(bodies), clipped(parts)) for name, (bodies, parts) in lanes.items() if clipped(bodies) or clipped(parts)]


def _check_map(columns: Interval, rows: Interval, scale: str, zooms: Sequence[Interval | None], sequences: Sequence[str | None]) -> None:
    if canonical_contig(columns.chrom) != canonical_contig(rows.chrom) or (columns.strand == "-") != (rows.strand == "-"):
        raise ValueError(
            f"Queries and keys must lie on one contig and strand; received keys over {columns.label()} and queries over "
            f"{rows.label()}. Pass both windows of the same sequence."
        )
    if scale not in SCALES:
        raise ValueError(f"The scale must be one of {', '.join(SCALES)}; received {scale!r}. Choose one of them.")
    for bases, at, name in zip(sequences, (columns, rows), ("sequence", "query_sequence"), strict=True):
        if bases is not None and len(bases) != len(at):
            raise ValueError(
                f"The {name} must have one letter for each of the {len(at):,} bases of {at.label()}; received {len(bases):,}. "
                "Pass the sequence of the same interval."
            )
    for part, at in zip(zooms, (rows, columns), strict=True):
        if part is not None and not at.contains(part):
            raise ValueError(f"A zoom must lie in {at.label()}; received {part.label()}. Choose a part of the window.")
