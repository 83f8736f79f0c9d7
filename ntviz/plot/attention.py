"""Attention over the genome: what one query looks at, as a track of a locus; one head's weights, as a map; all heads at once.

`enrichment` says which heads look at which elements more than chance, beside what the nulls and the controls say.
Layers and heads count from 0. A click at (x, y) is head `floor(x)` of layer `floor(y)` among thumbnails, head `x` of layer `y` in an atlas.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from PIL import Image
from plotly.subplots import make_subplots

from ntviz.annotation import Annotation
from ntviz.genome import Interval
from ntviz.plot.charts import LEGEND, check, refuse, valued
from ntviz.plot.theme import WIDTH, colours, framed
from ntviz.plot.tracks import Panel, Track, boxes, checked, collect, literal
from ntviz.plot.words import element_name, escaped, listing, number, plain, sentence, span

ARCS, EXACT, MOST_TOKENS = 12, 512, 4_096  # arcs from a query; tokens with a cell each, and at most
SHADES = 64  # colours of an image
FLAT = {"ticks": "", "showline": False}
# The weight at a step of colour, both as a share of the largest.
SCALES: dict[str, Callable[[Any], Any]] = {
    "linear": np.asarray, "sqrt": np.square, "log": lambda step: np.where(step > 0, 10 ** (3 * step - 3), 0)}  # fmt: skip
# Of `enrichment`.
KEYS, NEEDED = ["layer", "head", "element"], ["ratio", "ratio_low", "ratio_high", "significant_published"]
OPTIONAL = ["status", "background", "shift_mean", "q_shift", "significant", "n_above"]
CONTROLS = {"shuffle": "shuffled sequence", "twin": "randomly initialised model"}
PASSED, PUBLISHED, NEITHER = "passes the shift null", "passes the published test only", "passes neither test"
FEW = "no test, or under 5 pairs by chance"  # where chance puts fewer pairs, a ratio is mostly noise: it has no colour


def pooled(values: np.ndarray, step: int) -> np.ndarray:
    """Largest values of blocks of `step` elements along each axis: attention is sparse, and its peaks stay."""
    for axis, size in enumerate(values.shape):
        values = np.fmax.reduceat(values, np.arange(0, size, step), axis=axis)
    return values


def _picture(codes: np.ndarray, down: np.ndarray, across: np.ndarray, *, small: str = "image-rendering:auto") -> str:
    """An SVG, as browsers blur other images, of uint8 cells [row, column] between rising edges, 0 the ground; `small`: style if narrow."""
    ground, *shades = (list(bytes.fromhex(colour[1:])) for colour in (colours().paper, *colours().magnitudes))
    steps = np.linspace(0, len(shades) - 1, SHADES)
    table = np.stack([np.interp(steps, range(len(shades)), channel) for channel in np.transpose(shades)], axis=1)
    palette = bytes(ground) + table.round().astype(np.uint8).tobytes()
    runs = [pairwise([0, *(np.flatnonzero(np.diff(edges, 2)) + 1), len(edges) - 1]) for edges in (down, across)]
    tiles = ""
    for (a, b), (c, d) in product(*runs):
        image = Image.fromarray(np.ascontiguousarray(codes[a:b, c:d]))
        image.putpalette(palette)
        x, y, w, h = across[c] - across[0], down[a] - down[0], across[d] - across[c], down[b] - down[a]
        tiles += (f"<image x='{x:.0f}' y='{y:.0f}' width='{w:.0f}' height='{h:.0f}' preserveAspectRatio='none' "
                  f"href='{go.layout.Image(source=image).source}'/>")  # fmt: skip
    text = (f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {across[-1] - across[0]:.0f} {down[-1] - down[0]:.0f}' "
            f"preserveAspectRatio='none'><style>svg{{image-rendering:pixelated;background:{colours().magnitudes[0]}}}"
            f"@media (max-width:{codes.shape[1] - 1}px){{svg{{{small}}}}}</style>{tiles}</svg>")  # fmt: skip
    return "data:image/svg+xml," + text.replace("<", "%3C").replace(">", "%3E").replace("#", "%23")


def _spans(spans: Any, label: str) -> np.ndarray:
    places = np.asarray(spans)
    right = places.ndim == 2 and places.shape[1] == 2 and places.dtype.kind in "iu"
    if not right or (places[:, 0] > places[:, 1]).any():
        raise ValueError(f"The spans of {plain(label)!r} must be integers of the shape [token, 2], start <= end also on the - strand; "
                         f"received {places.dtype} {list(places.shape)}. Pass tokens.on(interval).")  # fmt: skip
    return places.astype(np.int64)


def _inside(spans: np.ndarray, at: Interval) -> np.ndarray:
    """Numbers of the tokens in a window, from low to high positions."""
    inside = np.flatnonzero((spans[:, 1] > spans[:, 0]) & (spans[:, 0] < at.end) & (spans[:, 1] > at.start))
    return inside[np.argsort(spans[inside, 0], kind="stable")]


def attention_track(
    values: np.ndarray, spans: np.ndarray, *, label: str, unit: str = "share of attention",
    query_span: tuple[int, int] | Interval | None = None, control: np.ndarray | None = None,
    control_label: str = "shuffled sequence", height: int = 110,
) -> Track:  # fmt: skip
    """A track of what one query token attends to: a bar for each token, arcs to the strongest, and a control below in grey.

    A dotted line is even attention. Where there are more tokens than two a pixel, a bar is the largest weight of several.

    Parameters
    ----------
    values, control
        [token] weights, at least 0; those of a control with tokens at the same places.
    spans
        [token, 2] on the genome, 0-based half-open; empty for special tokens, whose weight is told in the alt sentence.
    label, unit, control_label, height, query_span
        Name of the track; unit on its axis; what the control is; pixels; where the query lies, 0-based half-open, for the arcs.
    """
    places = _spans(spans, label)
    given = checked(values, label, places.shape[:1], control, scores=False)
    query = (query_span.start, query_span.end) if isinstance(query_span, Interval) else query_span
    if query is not None and query[1] <= query[0]:
        raise ValueError(f"The query of {label!r} must cover a base; received the span {tuple(query)}. Leave it out.")
    placed = places[:, 1] > places[:, 0]

    def strongest(weights: np.ndarray) -> str:
        if not placed.any():
            return "no token lies on the genome"
        best, special = int(np.where(placed, weights, -1.0).argmax()), float(weights[~placed].sum())
        aside = f", {special:.1%} on special tokens" if special > 0 else ""
        return f"strongest on {span(*places[best].tolist())} ({number(float(weights[best]))} {unit}){aside}"

    def draw(panel: Panel) -> str:
        c, at = colours(), panel.view.interval
        inside = _inside(places, at)
        step = max(1, -(-len(inside) // (2 * WIDTH)))
        bars = np.stack([places[inside[::step], 0], pooled(places[inside, 1], step)], axis=1)
        texts = [span(*bar) + f", largest of {step} tokens" * (step > 1) for bar in bars.tolist()]
        top = max(float(weights[placed].max(initial=0.0)) for weights in given.values()) or 1.0
        for below, (name, weights) in enumerate(given.items()):
            large = pooled(weights[inside], step)
            panel.add(go.Bar(
                x=bars.mean(axis=1) + 0.5, width=bars[:, 1] - bars[:, 0], y=-large if below else large, text=texts, textposition="none",
                name=escaped(f"{name} ({control_label})" if below else name, most=110), marker_color=c.control if below else c.accent,
                customdata=large, hovertemplate="token %{text}: %{customdata:.3g}<extra>%{fullData.name}</extra>"))  # fmt: skip
        panel.add(go.Scatter(x=[at.start + 0.5, at.end + 0.5], y=[1 / max(len(places), 1)] * 2, mode="lines", hoverinfo="skip",
                             line={"color": c.control, "width": 1, "dash": "dot"}))  # fmt: skip
        ticks = [-top, 0.0, top][control is None :]
        panel.yaxis(range=[-1.08 * top * (control is not None), (1.7 if query else 1.08) * top], zeroline=True,
                    tickvals=ticks, ticktext=[number(abs(tick)) for tick in ticks])  # fmt: skip
        if query is not None and query[0] < at.end and query[1] > at.start:
            # Arcs from the query to the strongest tokens, the weakest first, and the query's mark.
            near, weights, origin = places[inside], given[label][inside], sum(query) / 2 + 0.5
            keys = np.flatnonzero(((near[:, 0] >= query[1]) | (near[:, 1] <= query[0])) & (weights > 0))
            keys = keys[np.argsort(-weights[keys], kind="stable")][:ARCS][::-1]
            reaches, turn = near[keys].mean(axis=1) + 0.5 - origin, np.linspace(0, np.pi, 33)
            heights = top * (0.3 + 1.3 * np.abs(reaches) / np.abs(reaches).max(initial=1.0)) / 1.05
            for share, reach, high in zip(weights[keys] / top, reaches, heights, strict=True):
                panel.add(go.Scatter(x=origin + reach * (1 - np.cos(turn)) / 2, y=high * np.sin(turn), mode="lines", hoverinfo="skip",
                                     opacity=0.4 + 0.6 * share, line={"color": c.positive, "width": 0.8 + 2.2 * share}))  # fmt: skip
            panel.add(go.Scatter(x=[origin], y=[0], mode="markers", marker={"symbol": "triangle-up", "size": 11, "color": c.ink},
                                 cliponaxis=False, text=[f"query {span(*query)}"], hovertemplate="%{text}<extra></extra>"))  # fmt: skip
        asked = "" if query is None else f"from {span(*query)}, "
        return asked + f"; in the control ({plain(control_label)}) ".join(map(strongest, given.values()))

    grey = [f"grey, below zero: {plain(control_label)}"] * (control is not None)
    notes = [f"arcs: the {ARCS} strongest"] * (query is not None) + grey + ["dotted: even attention"]
    return Track(plain(label, most=90), height, draw, plain(unit), note="; ".join(notes))


def attention_map(
    weights: np.ndarray, spans: np.ndarray, interval: Interval, *, title: str, label: str = "Attention",
    unit: str = "share of attention", genes: Annotation | None = None, elements: Sequence[str] = (),
    assembly: str | None = None, sequence: str | None = None, scale: str = "sqrt", control: np.ndarray | None = None,
    control_label: str = "shuffled sequence",
) -> go.Figure:  # fmt: skip
    """A figure of one head's weights: a row for each token that looks (query), a column for each looked at (key).

    Rows run down and columns right along the interval's strand; a cell has the extent of its two tokens on the genome. Of more
    than 512 tokens the largest weights of blocks are seen first, and one pixel a cell where one zooms in.

    Parameters
    ----------
    weights, control
        [query, key] of at least 0, and those of a control with tokens at the same places, drawn beside on the same scale.
    spans
        [token, 2] on the genome, 0-based half-open, as of `tokens.on(interval)`; empty for special tokens, whose share is told.
    interval, assembly, sequence
        Window of the map; its genome assembly; its bases in reading direction, for the hover.
    genes, elements, scale
        Annotation whose genes stand along the top; names of its elements that do; "linear", "sqrt" or "log" (three powers of ten).
    """
    places, where = _spans(spans, label), plain(interval.label())
    inside, apart = _inside(places, interval), places[:, 1] <= places[:, 0]
    if not 0 < len(inside) <= MOST_TOKENS:
        raise ValueError(f"From 1 to {MOST_TOKENS:,} tokens must lie in {where}; received {len(inside):,} of {len(places):,} spans. "
                         "Pass spans on the genome, tokens.on(interval), or a part of the window.")  # fmt: skip
    if scale not in SCALES:
        raise ValueError(f"The scale must be one of {', '.join(SCALES)}; received {scale!r}. Choose one of them.")
    if sequence is not None and len(sequence) != len(interval):
        raise ValueError(f"The sequence must be the {len(interval):,} bases of {where}; received {len(sequence):,}. Pass those.")  # fmt: skip
    given = list(checked(weights, label, (len(places),) * 2, control, scores=False).values())
    maps = [values[np.ix_(inside, inside)] for values in given]
    c, fig, n, reverse = colours(), go.Figure(layout={"showlegend": False}), len(given), interval.strand == "-"
    top, unit, curve = float(np.max(maps)) or 1.0, plain(unit), SCALES[scale]
    tokens, step = places[inside], 1 if len(inside) <= EXACT else -(-len(inside) * n // EXACT)
    blocks = np.stack([tokens[::step, 0], pooled(tokens[:, 1], step)], axis=1)
    (edges, block), (fine, token) = _cells(blocks), _cells(tokens)
    image = step > 1 and int(np.count_nonzero(np.diff(fine, 2))) < 8
    lanes, size = _lanes(genes, elements, interval), 560 if n == 1 else 370
    tall = size + (20 * len(lanes) + 8) * bool(lanes)
    ends, middles = edges[[-1, 0] if reverse else [0, -1]], (edges[1:] + edges[:-1]) / 2
    on = f"1-based on {escaped(interval.chrom)}{f' ({escaped(assembly)})' if assembly else ''}"
    on += {"-": ", − strand", "+": ", + strand"}.get(interval.strand, "")
    largest = f", largest of {step} by {step} tokens" * (step > 1)
    scaled = list(zip(curve(np.linspace(0, 1, len(c.magnitudes))).tolist(), c.magnitudes, strict=True))
    begin = interval.end - blocks[:, 1] if reverse else blocks[:, 0] - interval.start
    said = [sentence(plain(title, most=200)), f"{plain(label)} over {where}, {len(tokens):,} queries by as many keys."]
    for i, values in enumerate(maps):
        k, low, high = i + 1, 0.52 * i, 0.84 if n == 1 else 0.48 + 0.52 * i
        name = escaped(f"Control: {control_label}" if i else label)
        # A control has other bases at the same places.
        bases, starts = sequence if sequence and step == 1 and i == 0 else "", np.maximum(begin, 0)
        texts = [f"{span(a, b)} {escaped(bases[s : s + b - a])}".strip() for a, b, s in np.c_[blocks, starts].tolist()]
        across = "x", "y", ends, [low, high], f"key, {on}"
        down = "y", "x", ends[::-1], [0, size / tall], "" if i else f"query, {on}"
        for x, y, along, domain, words in (across, down):
            axis = {"domain": domain, "range": along, "minallowed": edges[0], "maxallowed": edges[-1], "tickformat": ",d"}  # fmt: skip
            shown = {"title": {"text": words}, "showticklabels": bool(words), "nticks": 6, "matches": x if i else None}
            fig.layout[f"{x}axis{k}"] = axis | shown | {"anchor": f"{y}{k}"}
            # The cells lie on axes of their own, not seen, whose ticks name the tokens: hover texts read them from there.
            names = {"matches": x, "overlaying": f"{x}{k}", "tickvals": middles, "ticktext": [[*texts, ""][j] for j in block]}  # fmt: skip
            fig.layout[f"{x}axis{k + 2}"] = axis | FLAT | names | {"showticklabels": False} | {"anchor": f"{y}{k + 2}"}
        # Even steps of colour are uneven steps of weight: the bar is that of a point that is not seen.
        fig.add_scatter(x=[None], y=[None], xaxis=f"x{k}", yaxis=f"y{k}", marker={"color": [0], "coloraxis": "coloraxis"})  # fmt: skip
        cells = np.pad(pooled(values, step), (0, 1), constant_values=np.nan)[np.ix_(block, block)].astype(np.float32)
        fig.add_heatmap(z=cells, x=edges, y=edges, xaxis=f"x{k + 2}", yaxis=f"y{k + 2}", zmin=0, zmax=top, colorscale=scaled, name=name,
                        showscale=False, hoverongaps=False,
                        hovertemplate=f"query %{{y}}<br>key %{{x}}<br>%{{z:.3g}} {literal(unit)}{largest}<extra></extra>")  # fmt: skip
        if image:
            codes = 1 + np.interp(values / top, curve(np.linspace(0, 1, SHADES)), np.arange(SHADES)).round().astype(np.uint8)  # fmt: skip
            codes, rising = np.pad(codes, (0, 1))[np.ix_(token, token)], -fine[::-1] if reverse else fine
            drawn = _picture(codes[::-1, ::-1] if reverse else codes, rising, rising, small="display:none")
            fig.add_layout_image(source=drawn, xref=f"x{k}", yref=f"y{k}", x=ends[0], y=ends[0], sizex=np.ptp(fine), sizey=np.ptp(fine),
                                 sizing="stretch", layer="above")  # fmt: skip
        to_special = given[i][np.ix_(inside, apart)].sum(axis=1).mean()
        aside = f", {to_special:.1%} on special tokens" if apart.any() else ""
        fig.add_annotation(text=f"<b>{name}</b>{aside}", x=low, xanchor="left", y=1, yanchor="bottom", yshift=3,
                           xref="paper", yref="paper", showarrow=False, font={"size": 12, "color": c.muted if i else c.ink})  # fmt: skip
        row, column = (span(*tokens[j].tolist()) for j in np.unravel_index(values.argmax(), values.shape))
        said.append(f"{f'In the control ({plain(control_label)})' if i else 'Strongest'}: query {row} on key {column}, "
                    f"{number(float(values.max()))} {unit}{aside.replace(',', '; on average', 1)}.")  # fmt: skip
    for lane, (name, bodies, parts) in enumerate(lanes):
        for stretches, half in ((bodies, 0.05), (parts, 0.3)):
            fig.add_trace(boxes(stretches, [f"{name}, {span(*pair)}" for pair in stretches], middle=lane, half=half, colour=c.gene,
                                name=escaped(name)).update(yaxis="y9"))  # fmt: skip
    if lanes:
        along = [f"{name} {listing([span(*pair) for pair in parts], most=3)}" for name, _, parts in lanes]
        said.append(f"Along the top: {'; '.join(along)}.")
        fig.layout.yaxis9 = FLAT | {
            "domain": [(size + 8) / tall, 1], "range": [len(lanes) - 0.5, -0.5], "anchor": "free", "position": 0, "fixedrange": True,
            "ticklabelstandoff": 5, "tickvals": list(range(len(lanes))), "ticktext": [escaped(lane[0], most=16) for lane in lanes],
        }  # fmt: skip
    if step > 1:
        said.append(f"A cell shows the largest of {step} by {step} tokens{', and where you zoom in one of each' * image}.")  # fmt: skip
    words, ticks = f"{escaped(unit)}, {scale.replace('sqrt', 'square-root')} scale", np.linspace(0, 1, 5)
    bar = {"title": {"text": words, "side": "right", "font": {"size": 12}}, "len": size / tall, "y": 0, "yanchor": "bottom",
           "tickvals": ticks, "ticktext": list(map(number, (top * curve(ticks)).tolist())), "x": 0.852 if n == 1 else 1.012}  # fmt: skip
    return framed(fig, title=plain(title, most=200), alt=" ".join(said), height=tall, above=16, below=56,
                  name=str(interval), coloraxis={"colorscale": c.magnitudes, "cmin": 0, "cmax": 1, "colorbar": bar})  # fmt: skip


def _cells(spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges of cells on the axis, and the number of the span in each; -1 between those that do not touch."""
    starts, ends = spans.T
    edges = np.unique(np.append(starts, np.minimum(ends, np.append(starts[1:], ends[-1]))))
    block = np.searchsorted(starts, edges[:-1], side="right") - 1
    return edges + 0.5, np.where(edges[:-1] < ends[block], block, -1)


def _lanes(genes: Any, elements: Sequence[str], at: Interval) -> list[tuple[str, list[Any], list[Any]]]:
    """Name, bodies and thick parts over a window of up to three genes and of all elements."""
    if elements and genes is None:
        raise ValueError(f"Elements must have an annotation to look them up in; received {elements!r:.60}. Pass it as genes=.")  # fmt: skip
    items = [] if genes is None else [item for item in collect(genes, at)[0] if item.transcript]
    lanes: list[tuple[str, Any, Any]] = []
    for gene in list(dict.fromkeys(item.gene for item in items))[:3]:
        same = [item for item in items if item.gene == gene]
        exons = [part[:2] for item in same for part in item.parts if part[2] == "exon"]
        lanes.append((gene, [(item.start, item.end) for item in same], exons))
    for name in elements:
        inside = np.asarray(genes.indicator(Interval(at.chrom, at.start, at.end), name), np.int8)
        lanes.append((element_name(name), [], np.flatnonzero(np.diff(inside, prepend=0, append=0)) + at.start))

    def clipped(spans: Any) -> list[Any]:
        cut = np.clip(np.reshape(spans, (-1, 2)), at.start, at.end).astype(int)
        return np.unique(cut[cut[:, 0] < cut[:, 1]], axis=0).tolist()

    return [(plain(name, most=28), clipped(bodies), clipped(parts)) for name, bodies, parts in lanes]


def thumbnails(
    maps: np.ndarray, *, title: str, unit: str = "share of attention", scores: Mapping[str, np.ndarray] | None = None,
    interval: Interval | None = None,
) -> go.Figure:  # fmt: skip
    """A figure of small maps of all heads: layers downward, heads to the right, in each queries downward, keys to the right.

    Parameters
    ----------
    maps
        [layer, head, query bin, key bin] largest weights, of `attention.Thumbnails`; shades are even steps of their square root.
    scores
        [layer, head] numbers by name and unit, such as {"entropy, nats": ...}, for the hover.
    """
    maps = checked(maps, "maps", ("layer", "head", "bin", "bin"), scores=False)["maps"]
    n_layers, n_heads, *size = maps.shape
    tops, strongest = maps.max(axis=(2, 3)), f"largest weight, {unit}"
    told = {strongest: tops} | {name: checked(score, name, tops.shape)[name] for name, score in (scores or {}).items()}
    codes = 1 + np.round(np.sqrt(maps / np.where(tops > 0, tops, 1)[..., None, None]) * (SHADES - 1)).astype(np.uint8)
    # The gap between maps is an eighth of one.
    side = -(-9 * max(size) // 8)
    tiles = np.pad(codes, [(0, 0), (0, 0), *((0, side - part) for part in size)])
    sheet = tiles.transpose(0, 2, 1, 3).reshape(n_layers * side, n_heads * side)
    drawn = _picture(sheet, *(np.arange(size + 1) for size in sheet.shape))
    fig, pixels, middle = go.Figure(), min(WIDTH / n_heads, 190), max(size) / side / 2
    fig.add_layout_image(source=drawn, xref="x", yref="y", x=0, y=0, sizex=n_heads, sizey=n_layers, sizing="stretch", layer="below")  # fmt: skip
    texts = [[f"<b>layer {i}, head {j}</b>" for j in range(n_heads)] for i in range(n_layers)]
    for (i, j), name in product(np.ndindex(tops.shape), told):
        texts[i][j] += f"<br>{escaped(name)}: {number(float(told[name][i, j]))}"
    fig.add_heatmap(z=tops, x0=0.5, dx=1, y0=0.5, dy=1, opacity=0, showscale=False, name=escaped(strongest), text=texts,
                    hovertemplate="%{text}<extra></extra>")  # fmt: skip
    for axis, n, name in (("xaxis", n_heads, "head"), ("yaxis", n_layers, "layer")):
        ticks = {"tickvals": np.arange(n) + middle, "ticktext": list(map(str, range(n)))}
        fig.layout[axis] = FLAT | ticks | {"range": [0, n], "title_text": name}
    fig.update_xaxes(domain=[0, min(1.0, pixels * n_heads / WIDTH)], side="top").update_yaxes(range=[n_layers, 0])
    said = (f"{sentence(plain(title, most=200))} Attention maps of {n_layers:,} layer{'s' * (n_layers > 1)} by {n_heads:,} heads, "
            f"numbered from 0. Largest weight: {listing(_largest(tops)[:3])}.")  # fmt: skip
    how = "Queries run downward, keys to the right; the strongest colour is the largest weight of each head."
    return framed(fig, title=plain(title, most=200), alt=said, height=round(pixels * n_layers), below=16, above=40,
                  subtitle=how if interval is None else f"{plain(interval.label())}. {how}")  # fmt: skip


def head_atlas(
    grid: np.ndarray, *, label: str, unit: str, title: str, labels: Sequence[Sequence[str]] | np.ndarray | None = None,
    diverging: bool = False, limits: tuple[float, float] | None = None, chosen: tuple[int, int] | None = None,
    control: np.ndarray | None = None, control_label: str = "randomly initialised model",
) -> go.Figure:  # fmt: skip
    """A figure of one number for each head: a grid of layers (rows) by heads (columns), both numbered from 0.

    Parameters
    ----------
    grid, control
        [layer, head] score, NaN where there is none; the same of a control, drawn beside on the same scale.
    labels, diverging
        [layer, head] text instead of the number, such as what the head looks at; whether the sign matters: two hues around zero.
    limits, chosen
        Scores of the two ends of the colours, those of the data and zero when None; (layer, head) drawn with a frame.
    """
    given = list(checked(grid, label, ("layer", "head"), control).values())
    rows, columns = given[0].shape
    if labels is not None and [len(row) for row in labels] != [columns] * rows:
        raise ValueError(f"Labels must be one text for each of {rows} layers by {columns} heads; received {len(labels)} rows.")  # fmt: skip
    edge = float(np.abs(scores := np.nan_to_num(given)).max()) or 1.0
    ends = (-edge, edge) if diverging else (float(scores.min(initial=0.0)), float(scores.max(initial=0.0)) or 1.0)
    low, high = limits or ends
    if not low < high:
        raise ValueError(f"The limits of the colours must be an interval; received {limits}. Pass (lowest, highest).")
    digits, title = 2 - int(np.floor(np.log10(edge))), plain(title, most=200)
    c, fig, n, lines = colours(), go.Figure(), len(given), 1
    said = [f"{sentence(title)} {plain(label)}, {plain(unit)}, of {rows} layers by {columns} heads, numbered from 0."]
    for i, values in enumerate(given):
        k, left, name = i + 1, i / n + 0.04 * i, f"Control: {control_label}" if i else f"{label}, {unit}"
        texts = [[number(round(float(value), digits)) if np.isfinite(value) else "–" for value in row] for row in values]  # fmt: skip
        texts = texts if labels is None or i else [[plain(text, most=40) for text in row] for row in labels]
        # A long text breaks at its spaces; what does not fit is in the hover.
        room = max(5, int(WIDTH / n / columns / 7) + 2)
        shown = [textwrap.wrap(text, room, max_lines=3, placeholder="…") for row in texts for text in row]
        lines = max(lines, *map(len, shown))
        fig.add_heatmap(
            z=values, zmin=low, zmax=high, colorscale=c.signs if diverging else c.magnitudes, showscale=i == 0, xgap=2, ygap=2,
            xaxis=f"x{k}", yaxis=f"y{k}", name=escaped(name), hoverongaps=False,
            colorbar={"title": {"text": escaped(name), "side": "right", "font": {"size": 12}}},
            customdata=[list(map(escaped, row)) for row in texts],
            hovertemplate=f"layer %{{y}}, head %{{x}}: %{{z:.3g}} {literal(unit)}<br>%{{customdata}}<extra></extra>")  # fmt: skip
        # Text that plotly colours by itself is hard to read on the shades in the middle.
        share, (y, x) = (values.ravel() - low) / (high - low), np.indices(values.shape).reshape(2, -1)
        pale = np.abs(share - 0.5) > 0.39 if diverging else share > 0.45
        fig.add_scatter(x=x, y=y, text=["<br>".join(map(escaped, part)) for part in shown], mode="text", hoverinfo="skip", showlegend=False,
                        xaxis=f"x{k}", yaxis=f"y{k}", textfont={"size": 10, "color": np.where(pale, c.paper, c.ink).tolist()})  # fmt: skip
        fig.layout[f"xaxis{k}"] = FLAT | {"domain": [left, (i + 1) / n], "anchor": f"y{k}", "range": [-0.5, columns - 0.5],
                                          "title_text": "head", "dtick": max(1, columns * n // 40)}  # fmt: skip
        fig.layout[f"yaxis{k}"] = FLAT | {"anchor": f"x{k}", "range": [rows - 0.5, -0.5], "dtick": 1,
                                          "title_text": "" if i else "layer"}  # fmt: skip
        fig.add_annotation(x=left, xref="paper", xanchor="left", y=1, yref="paper", yanchor="bottom", showarrow=False,
                           text=f"<b>{escaped(name)}</b>", font={"color": c.muted if i else c.ink})  # fmt: skip
        order = _largest(values)
        if order:
            which, middle = f"{plain(name)}: largest" if i else "Largest", number(float(np.nanmedian(values)))
            missing = f"; {values.size - len(order):,} without a value" * (len(order) < values.size)
            said.append(f"{which} {listing(order[:3])}; median {middle}, smallest {order[-1]}{missing}.")
        else:
            said.append(f"No head has a value in {plain(name)}.")
    if labels is not None:
        counts = Counter(plain(text, most=40) for row in labels for text in row if text)
        said.append(f"Heads by label: {listing([f'{text} {count:,}' for text, count in counts.most_common()], most=6)}.")  # fmt: skip
    if chosen is not None:
        layer, head = chosen
        if not (0 <= layer < rows and 0 <= head < columns):
            raise ValueError(f"The chosen head must be one of {rows} layers by {columns} heads, numbered from 0; received layer {layer} "
                             f"head {head}. Pass (layer, head).")  # fmt: skip
        said.append(f"Framed: layer {layer} head {head}.")
        fig.add_shape(type="rect", x0=head - 0.5, x1=head + 0.5, y0=layer - 0.5, y1=layer + 0.5,
                      line={"color": c.positive, "width": 3})  # fmt: skip
    height = round(max(30, 16 + 13 * lines, min(56, 0.6 * WIDTH / n / columns)) * rows)
    return framed(fig, title=title, alt=" ".join(said), height=height)


def _largest(grid: np.ndarray) -> list[str]:
    """All heads that have a number, the largest first."""
    order = np.argsort(-grid, axis=None, kind="stable")[: int(np.isfinite(grid).sum())].tolist()
    return [f"layer {i // grid.shape[1]} head {i % grid.shape[1]} ({number(float(grid.flat[i]))})" for i in order]


def enrichment(table: pd.DataFrame, *, title: str, control: str | None = "auto") -> go.Figure:
    """A figure of ratios: the share of a head's attention on an element over the element's share of positions.

    Elements by heads, as log2 of the ratio, those with the most heads that pass first; a control in low rows below. A filled
    mark passes the shift null; a hollow one the published z-test only, which calls nearly everything significant. The table is of
    `attention.enrichment`, and the control "shuffle", "twin", "auto" for the first in it, or None.
    """
    known = [key for key in CONTROLS if f"{key}_ratio" in table]
    if control not in (None, "auto", *known):
        raise ValueError(f"The control must be of those in the table ({', '.join(known)}); received {control!r}.")
    control = next(iter(known), None) if control == "auto" else control
    rows, c, title, parts = _ratios(table), colours(), plain(title, most=200), {"shown": "Model"}
    if control:
        few = rows[f"{control}_n_above"] * rows["background"] < 5
        rows["control"], parts["control"] = rows[f"{control}_ratio"].where(~few), f"Control: {CONTROLS[control]}"
    best = rows.groupby("element").agg({"passed": "sum", "shown": "max"})
    names = list(best.sort_values(["passed", "shown"], ascending=False, kind="stable").index)
    heads, cells = rows["at"].unique(), [26 * len(names), 14 * len(names)][: len(parts)]
    wide = rows.pivot(index="element", columns="at").loc[names]
    with np.errstate(divide="ignore"):
        grids = [np.maximum(np.log2(wide[part][heads].to_numpy(float)), -99) for part in parts]
    # Colours end at 8 times more or less at the latest.
    limit = float(np.clip(np.ceil(2 * np.nanmax(np.abs(grids), initial=0)) / 2, 0.5, 3))
    total, folds = sum(cells) + 62 * (len(parts) - 1), np.arange(-np.floor(limit), limit + 0.1)
    fig = make_subplots(len(parts), 1, row_heights=cells, vertical_spacing=62 / total * (len(parts) - 1),
                        subplot_titles=[f"<b>{what}</b>" for what in parts.values()])  # fmt: skip
    bar = {"title": {"text": "ratio", "side": "top"}, "tickvals": folds, "ticktext": [f"{2.0**fold:g}×" for fold in folds],
           "lenmode": "pixels", "len": max(150, cells[0]), "y": 1, "yanchor": "top"}  # fmt: skip
    for row, (what, grid) in enumerate(zip(parts.values(), grids, strict=True), 1):
        fig.add_heatmap(
            z=grid, x=heads, y=[escaped(element_name(name)) for name in names], zmin=-limit, zmax=limit, colorscale=c.signs,
            xgap=int(len(heads) <= 64), ygap=1, name=f"{what}: log2 of the ratio", customdata=wide["hover"][heads], colorbar=bar,
            hovertemplate="%{customdata}<extra></extra>", showscale=row == 1, row=row, col=1)  # fmt: skip
    size = float(np.clip(560 / len(heads), 3, 7))
    for verdict, symbol in ((PASSED, "circle"), (PUBLISHED, "circle-open"), (FEW, "x-thin-open")):
        part, colour = rows[rows["verdict"] == verdict], c.faint if verdict == FEW else c.ink
        if len(part):
            fig.add_scatter(x=part["at"], y=part["label"].map(escaped), mode="markers", name=verdict, hoverinfo="skip", row=1, col=1,
                            marker={"symbol": symbol, "size": size, "color": colour})  # fmt: skip
    # Where there are many, the first head of each layer has a tick.
    ticks = heads if len(heads) <= 64 else rows.drop_duplicates("layer")["at"]
    fig.update_xaxes(type="category", range=[-0.5, len(heads) - 0.5], showline=False, tickfont={"size": 9}, tickvals=ticks)  # fmt: skip
    fig.update_xaxes(title_text="head, as layer.head, both from 0", row=len(parts))
    fig.update_yaxes(type="category", range=[len(names) - 0.5, -0.5], showline=False, ticks="")
    fig.update_annotations(x=0, xanchor="left", font={"size": 12})
    counted = f"{len(names):,} elements over their share of positions, {len(heads):,} heads as layer.head"
    said = [f"{sentence(title)} Attention on {counted}."]
    for name in names[:4]:
        part = rows[rows["element"] == name].sort_values("shown", ascending=False)
        largest = f"largest ratio {number(part['shown'].iloc[0])} at {part['at'].iloc[0]}"
        beside = f", of the control {number(part['control'].max())}" if control else ""
        said.append(f"{element_name(name)}: {_passing(part)}; {largest}{beside}.")
    if rest := names[4:]:
        said.append(f"{listing(list(map(element_name, rest)), most=8)}: {_passing(rows[rows['element'].isin(rest)])}.")
    if rows[["significant", "q_shift"]].isna().all(axis=None):
        said.append("The table has no shift null, so nothing can be marked as passing it.")
    if beyond := int((np.abs(grids) > limit).sum()):
        said.append(f"{beyond:,} ratios lie beyond the ends of the colours.")
    small = (
        "share of attention above the threshold on the element, over its share of positions; orange: more, blue: less"
    )
    return framed(fig, title=title, alt=" ".join(said), height=total, above=26, subtitle=small, legend=LEGEND)


def _passing(rows: pd.DataFrame) -> str:
    passed, published = ((rows["verdict"] == verdict).sum() for verdict in (PASSED, PUBLISHED))
    return f"{passed:,} pass the shift null, {published:,} more the published test only"


def _ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by head, with at ("layer.head"), label, verdict, whether it passed, the ratio shown and hover."""
    check(table, keys=KEYS, columns=NEEDED)
    optional = [*OPTIONAL, *(f"{key}_{what}" for key in CONTROLS for what in ("ratio", "n_above"))]
    rows = table.reindex(columns=[*KEYS, *NEEDED, *optional]).assign(element=table["element"].astype(str))
    wrong = rows[(rows["ratio"] < 0) | np.isinf(rows["ratio"])]
    refuse(wrong, ["ratio", "element"], "A ratio must be finite and at least 0, or NaN; received {}. Take no logarithm.")  # fmt: skip
    rows = rows.sort_values(["layer", "head", "element"], ignore_index=True)
    rows["at"] = rows["layer"].astype(int).astype(str) + "." + rows["head"].astype(int).astype(str)
    rows["label"] = rows["element"].map(element_name)
    rows["expected"] = rows["shift_mean"] / rows["background"].where(rows["background"] > 0)
    passed = rows["significant"].eq(True) | (rows["significant"].isna() & (rows["q_shift"] <= 0.05))
    few = rows["ratio"].isna() | (rows["n_above"] * rows["background"] < 5)
    rows["verdict"] = np.select([passed, few, rows["significant_published"].eq(True)], [PASSED, FEW, PUBLISHED], NEITHER)  # fmt: skip
    rows["passed"], rows["shown"] = passed, rows["ratio"].where(rows["verdict"] != FEW)
    rows["end"] = rows["verdict"].where(rows["status"].fillna("ok") == "ok", rows["status"].map(escaped))
    facts = {"expected": "shifted elements", **{f"{key}_ratio": what for key, what in CONTROLS.items()}}
    facts |= {"q_shift": "false discovery rate", "n_above": "pairs above the threshold"}

    def hover(row: pd.Series) -> str:
        ratio = valued(row["ratio"], row["ratio_low"], row["ratio_high"], " (95 % interval {})")
        lines = [f"{what} {number(row[column])}" for column, what in facts.items() if np.isfinite(row[column])]
        head = f"<b>layer {row['layer']}, head {row['head']} on {escaped(row['label'])}</b>"
        return "<br>".join([head, f"ratio {ratio}", *lines, row["end"]])

    return rows.assign(hover=rows.apply(hover, axis=1))
