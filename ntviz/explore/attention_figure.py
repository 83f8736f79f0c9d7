"""The figure of `explore.attention`: genes, elements and one head's map on one axis, and all heads beside it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ntviz.explore.session import CONTRAST, SHUFFLES
from ntviz.genome import Interval, browser_contig
from ntviz.plot.theme import WIDTH, colours, framed
from ntviz.plot.tracks import Panel, View, boxes, genes_track
from ntviz.plot.words import escaped, number, plain

MAP, LANE, GAP = 460, 17, 12
"""Pixels: of a side of the map, of an element, and between rows."""
ELEMENTS = 10
"""Elements drawn at most, those of a person's own files first."""
LEFT, RIGHT = (0.0, 0.6), (0.73, 1.0)
"""Of the figure's width: the map with its tracks, and the heads."""
LETTERS = 64
"""Tokens along each side whose letters are told in the hover at most."""
TOLD = {"linear": "linear scale", "sqrt": "square-root scale", "log": "logarithmic scale, three powers of ten"}


@dataclass(frozen=True, slots=True)
class _Narrow(View):
    """A view whose row is as wide as the map."""

    @property
    def base_width(self) -> float:
        return WIDTH * (LEFT[1] - LEFT[0]) * 0.9 / len(self.interval)


def draw(explorer: Any, home: tuple[tuple[int, int], tuple[int, int]]) -> go.Figure:
    """The view of an explorer, its axes over `home`, the ranges of tokens along queries and keys."""
    look, c = explorer.look, colours()
    view = _Narrow(look.interval, look.interval, (look.interval.start,) * 2)
    genes = genes_track(explorer.sources.annotation, most_lanes=3)
    names = [*explorer.sources.beds, *(name for name in look.elements if name not in explorer.sources.beds)][:ELEMENTS]
    heights = [genes.height if isinstance(genes.height, int) else genes.height(view), LANE * max(len(names), 1), MAP]
    total = sum(heights) + 2 * GAP
    ends = np.cumsum([0, *(height + GAP for height in heights)]) / total
    rows = [{"domain": [max(0.0, 1 - low + GAP / total), 1 - high], "anchor": "x", "fixedrange": True, "ticks": "", "showline": False}
            for high, low in pairwise(ends)]  # fmt: skip
    fig = go.Figure(layout={"yaxis": {**rows[0], "showticklabels": False}, "yaxis2": rows[1], "yaxis3": rows[2]})
    genes.draw(Panel(fig, 1, view))
    for lane, name in enumerate(names):
        spans = [tuple(span) for span in look.stretches(name).tolist()]
        texts = [f"{name} {a + 1:,}–{b:,}" for a, b in spans]
        Panel(fig, 2, view).add(boxes(spans, texts, middle=lane, half=0.3, colour=c.accent, name=escaped(name)))
    Panel(fig, 3, view).add(_map(explorer, 1 - float(ends[2])))
    down, across = (_range(look, part)[:: -1 if view.reverse else 1] for part in home)
    label = f"{explorer.sources.reference.assembly or ''} {browser_contig(look.interval.chrom)}".strip()
    ticks = {"tickformat": ",d", "nticks": 6, "ticks": "outside", "showline": True}
    fig.update_layout(
        xaxis={**ticks, "domain": LEFT, "range": across, "anchor": "y3", "title": f"key: position on {escaped(label)} (bp)"},
        yaxis2={"range": [max(len(names), 1) - 0.5, -0.5], "tickvals": list(range(len(names))),
                "ticktext": [escaped(name.replace("_", " "), most=22) for name in names]},
        yaxis3={**ticks, "range": down[::-1], "fixedrange": False, "title": "query: position (bp)"},
    )  # fmt: skip
    if look.place.variant is not None:
        fig.add_vline(look.place.focus.start + 1, line={"color": c.positive, "width": 1, "dash": "dot"})
    _heads(fig, explorer, total)
    pool = explorer.cells.pool
    how = "" if pool == (1, 1) else f"; a cell is the largest of {pool[0]} × {pool[1]} tokens"
    return framed(
        fig, title=explorer._title, alt=_alt(explorer), height=total, bargap=0, name=f"{look.place.name}_layer{explorer.layer}_head{explorer.head}",
        subtitle=f"Rows look (query), columns are looked at (key). Colour: share of attention, {TOLD[explorer.scale]}{how}.",
    )  # fmt: skip


def _range(look: Any, part: tuple[int, int]) -> list[float]:
    """Axis range that holds tokens, rising."""
    places = look.tokens.on(look.interval)[slice(*part)]
    return [float(places[:, 0].min()) + 0.5, float(places[:, 1].max()) + 0.5]


def _map(explorer: Any, top: float) -> go.Heatmap:
    look, cells, c = explorer.look, explorer.cells, colours()
    at = look.tokens.on(look.interval)
    reverse = look.interval.strand == "-"
    first, last = (1, 0) if reverse else (0, 1)
    edges = [
        np.append(at[part[0] : part[1] : pool, first], at[part[1] - 1, last]) + 0.5
        for part, pool in zip((cells.query, cells.key), cells.pool, strict=True)
    ]
    turn = slice(None, None, -1 if reverse else 1)
    z, (y, x) = cells.values[turn, turn], (edge[turn] for edge in edges)
    signed = explorer.allele == "difference"
    high = float(np.nanmax(np.abs(z), initial=1e-9))
    letters: dict[str, Any] = {}
    if cells.pool == (1, 1) and max(z.shape) <= LETTERS:
        bases = look.bases(explorer.allele)
        query, key = ([bases[a:b] for a, b in look.tokens.spans[slice(*part)]][turn] for part in (cells.query, cells.key))
        letters["text"] = [[f"{q} on {k}" for k in key] for q in query]
    return go.Heatmap(
        z=_short(z), x=x, y=y, name="weight", zmin=-high if signed else 0, zmax=high, hoverongaps=False,
        colorscale=_stops(c.signs if signed else c.magnitudes, explorer.scale, signed), **letters,
        hovertemplate="query around %{y:,.0f}<br>key around %{x:,.0f}<br>weight %{z:.3g}" + ("<br>%{text}" if letters else "") + "<extra></extra>",
        colorbar={"x": LEFT[1] + 0.008, "y": 0, "yanchor": "bottom", "len": top, "thickness": 10, "outlinewidth": 0, "nticks": 6,
                  "title": {"text": "difference" if signed else "share", "font": {"size": 11}}, "tickfont": {"size": 10}},
    )  # fmt: skip


def _short(values: np.ndarray) -> np.ndarray:
    """Float32 to 11 bits, more than the hover tells: half the bytes of a page, where it is zipped."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x1000) & 0xFFFFE000).astype(np.uint32).view(np.float32)


def _stops(shades: tuple[str, ...], scale: str, signed: bool) -> list[tuple[float, str]]:
    """Plotly's colour scale in which even steps of colour are even steps of the scaled weight."""

    def unscaled(step: float) -> float:
        return step if scale == "linear" else step * step if scale == "sqrt" else 10 ** (3 * (step - 1)) if step else 0.0

    steps = [i / (len(shades) - 1) for i in range(len(shades))]
    if signed:
        steps = [0.5 + 0.5 * float(np.sign(2 * s - 1)) * unscaled(abs(2 * s - 1)) for s in steps]
    else:
        steps = [unscaled(s) for s in steps]
    return list(zip(steps, shades, strict=True))


def _heads(fig: go.Figure, explorer: Any, total: int) -> None:
    """All heads, small, and below them the score that is chosen; layer = floor(y), head = floor(x) in both."""
    look, c = explorer.look, colours()
    layers, heads, size, _ = look.small.shape
    tops = look.small.max((2, 3), keepdims=True)
    tiles = np.zeros((layers, heads, size + 1, size + 1), dtype=np.uint8)
    tiles[:, :, :-1, :-1] = np.round(255 * np.sqrt(look.small / np.where(tops > 0, tops, 1)))
    side = (size + 1) ** -1
    score, unit = look.scores[explorer.score]
    told = [[f"layer {i}, head {j}<br>{number(float(score[i, j]))} {escaped(unit)}" for j in range(heads)] for i in range(layers)]
    middle = {"x": np.arange(heads) + 0.5, "y": np.arange(layers) + 0.5}
    hover: dict[str, Any] = {"hovertemplate": "%{text}<extra></extra>", "hoverinfo": "text", "showscale": False, "text": told}
    written = [[f"{value:.{2 if abs(value) < 10 else 0}f}".replace("-0.00", "0.00").replace("-", "−") for value in row] for row in score] if heads <= 8 else None
    fig.add_traces([
        go.Heatmap(z=tiles.transpose(0, 2, 1, 3).reshape(layers * (size + 1), -1), x0=side / 2, dx=side, y0=side / 2, dy=side, zmin=0, zmax=255,
                   colorscale=colours().sequential(), showscale=False, hoverinfo="skip", xaxis="x2", yaxis="y4"),
        go.Heatmap(z=score, **middle, **hover, opacity=0, xaxis="x2", yaxis="y4"),
        go.Heatmap(z=score, **middle, **hover, xaxis="x3", yaxis="y5", name=escaped(explorer.score), colorscale=c.sequential(),
                   xgap=1, ygap=1, zmin=min(0.0, float(np.nanmin(score))) if explorer.score != CONTRAST else 0),
    ])  # fmt: skip
    if written:
        # Text of the cells cannot be set apart from that of the hover.
        fig.data[-1].update(text=written, texttemplate="%{text}", textfont={"size": 9}, customdata=np.asarray(told, dtype=object)[..., None].tolist(),
                            hovertemplate="%{customdata[0]}<extra></extra>")  # fmt: skip
    tall = min(layers * (RIGHT[1] - RIGHT[0]) * WIDTH * 0.9 / heads, (total - 110) / 2) / total
    for x, y, high, title in ((2, 4, 1 - 18 / total, "Maps of all heads"), (3, 5, 1 - tall - 78 / total, f"{explorer.score} ({unit})" if len(unit) < 12 else explorer.score)):
        axis = {"fixedrange": True, "nticks": 9, "ticks": "", "showline": False, "tickformat": "d", "tickfont": {"size": 10}}
        ticks = [{"tickvals": np.arange(n)[:: -(-n // 8)] + 0.5, "ticktext": list(map(str, range(n)))[:: -(-n // 8)]} for n in (heads, layers)]
        fig.update_layout({
            f"xaxis{x}": {**axis, **ticks[0], "domain": RIGHT, "anchor": f"y{y}", "range": [0, heads], "title": {"text": "head", "standoff": 2}},
            f"yaxis{y}": {**axis, **ticks[1], "domain": [high - tall, high], "anchor": f"x{x}", "range": [layers, 0], "title": {"text": "layer", "standoff": 2}},
        })  # fmt: skip
        fig.add_shape(type="rect", x0=explorer.head, x1=explorer.head + 1, y0=explorer.layer, y1=explorer.layer + 1, xref=f"x{x}",
                      yref=f"y{y}", line={"color": c.positive, "width": 2.5})  # fmt: skip
        text = escaped(title[:1].upper() + title[1:], most=40)
        fig.add_annotation(text=text, x=RIGHT[0], y=high, xref="paper", yref="paper", xanchor="left", yanchor="bottom", showarrow=False,
                           font={"size": 12, "color": c.ink})  # fmt: skip


def _alt(explorer: Any) -> str:
    look, cells = explorer.look, explorer.cells
    at = (explorer.layer, explorer.head)
    spots = [Interval(look.interval.chrom, int(low - 0.5), int(high - 0.5), look.interval.strand).label()
             for low, high in (_range(look, part) for part in (explorer.query, explorer.key))]  # fmt: skip
    where = spots[0] if spots[0] == spots[1] else f"Queries of {spots[0]}, keys of {spots[1]}"
    row, column = np.unravel_index(int(np.nanargmax(np.abs(cells.values))), cells.values.shape)
    strongest = explorer._pair(*cells.pair(row, column), float(cells.values[row, column]))
    here, apart = (float(part[at]) for part in look.contrast)
    most = f" Of {look.small.shape[0] * look.small.shape[1]} heads this one stands out most from its control." if at == look.telling else ""
    size = f"{cells.query[1] - cells.query[0]:,} queries by {cells.key[1] - cells.key[0]:,} keys"
    special = float(look.scores["attention to special tokens"][0][at])
    return (
        f"{explorer._title}. {plain(where, most=120)}, {size}. Strongest: {strongest}; {'under 1%' if special < 0.01 else f'{special:.0%}'} "
        f"of all goes to special tokens. The entropies of its queries differ from those in {SHUFFLES} dinucleotide-shuffled sequences by "
        f"{number(here)} (Kolmogorov–Smirnov distance, 0 to 1), and shuffled sequences from each other by {number(apart)}.{most} {look.note}"
    )
