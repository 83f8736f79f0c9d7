"""The figure of `explore.attention`: genes, elements and one head's map on one axis, and all heads beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

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
    fig = make_subplots(3, 1, shared_xaxes="all", row_heights=heights, vertical_spacing=GAP / total)
    genes.draw(Panel(fig, 1, view))
    for lane, name in enumerate(names):
        spans = [tuple(span) for span in look.stretches(name).tolist()]
        texts = [f"{name} {a + 1:,}–{b:,}" for a, b in spans]
        fig.add_trace(boxes(spans, texts, middle=lane, half=0.3, colour=c.accent, name=escaped(name)), row=2, col=1)
    fig.update_traces(showlegend=False)
    fig.add_trace(_map(explorer, 1 - (heights[0] + heights[1] + 2 * GAP) / total), row=3, col=1)
    reading = -1 if view.reverse else 1
    down, across = (_range(look, part)[::reading] for part in home)
    label = f"{explorer.sources.reference.assembly or ''} {browser_contig(look.interval.chrom)}".strip()
    fig.update_xaxes(domain=LEFT, range=across, showticklabels=False, ticks="")
    fig.update_xaxes(showticklabels=True, ticks="outside", tickformat=",d", nticks=6, row=3, title=f"key: position on {escaped(label)} (bp)")
    fig.update_yaxes(range=down[::-1], tickformat=",d", title="query: position (bp)", row=3)
    fig.update_yaxes(range=[max(len(names), 1) - 0.5, -0.5], tickvals=list(range(len(names))), ticks="", showline=False, row=2,
                     ticktext=[escaped(name.replace("_", " "), most=22) for name in names], fixedrange=True)  # fmt: skip
    fig.update_yaxes(fixedrange=True, showticklabels=False, ticks="", showline=False, row=1)
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
        z=z.astype(np.float32), x=x, y=y, name="weight", zmin=-high if signed else 0, zmax=high, hoverongaps=False,
        colorscale=_stops(c.signs if signed else c.magnitudes, explorer.scale, signed), **letters,
        hovertemplate="query around %{y:,.0f}<br>key around %{x:,.0f}<br>weight %{z:.3g}" + ("<br>%{text}" if letters else "") + "<extra></extra>",
        colorbar={"x": LEFT[1] + 0.008, "y": 0, "yanchor": "bottom", "len": top, "thickness": 10, "outlinewidth": 0, "nticks": 6,
                  "title": {"text": "difference" if signed else "share", "font": {"size": 11}}, "tickfont": {"size": 10}},
    )  # fmt: skip


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
    tiles = np.full((layers, heads, size + 1, size + 1), np.nan, dtype=np.float32)
    tiles[:, :, :-1, :-1] = np.sqrt(look.small / np.where(tops > 0, tops, 1))
    side = (size + 1) ** -1
    score, unit = look.scores[explorer.score]
    told = [[f"layer {i}, head {j}<br>{number(float(score[i, j]))} {escaped(unit)}" for j in range(heads)] for i in range(layers)]
    middle = {"x": np.arange(heads) + 0.5, "y": np.arange(layers) + 0.5}
    hover: dict[str, Any] = {"hovertemplate": "%{text}<extra></extra>", "hoverinfo": "text", "showscale": False, "text": told}
    written = [[f"{value:.{2 if abs(value) < 10 else 0}f}".replace("-", "−") for value in row] for row in score] if heads <= 8 else None
    fig.add_traces([
        go.Heatmap(z=tiles.transpose(0, 2, 1, 3).reshape(layers * (size + 1), -1), x0=side / 2, dx=side, y0=side / 2, dy=side, zmin=0, zmax=1,
                   colorscale=colours().sequential(), showscale=False, hoverinfo="skip", xaxis="x4", yaxis="y4"),
        go.Heatmap(z=score, **middle, **hover, opacity=0, xaxis="x4", yaxis="y4"),
        go.Heatmap(z=score, **middle, **hover, xaxis="x5", yaxis="y5", name=escaped(explorer.score), colorscale=c.sequential(),
                   xgap=1, ygap=1, zmin=min(0.0, float(np.nanmin(score))) if explorer.score != CONTRAST else 0),
    ])  # fmt: skip
    if written:
        # Text of the cells cannot be set apart from that of the hover.
        fig.data[-1].update(text=written, texttemplate="%{text}", textfont={"size": 9}, customdata=np.asarray(told, dtype=object)[..., None].tolist(),
                            hovertemplate="%{customdata[0]}<extra></extra>")  # fmt: skip
    tall = min(layers * (RIGHT[1] - RIGHT[0]) * WIDTH * 0.9 / heads, (total - 110) / 2) / total
    for number_, high, title in ((4, 1 - 18 / total, "Maps of all heads"), (5, 1 - tall - 78 / total, explorer.score)):
        axis = {"fixedrange": True, "nticks": 9, "ticks": "", "showline": False, "tickformat": "d", "tickfont": {"size": 10}}
        ticks = [{"tickvals": np.arange(n)[:: -(-n // 8)] + 0.5, "ticktext": list(map(str, range(n)))[:: -(-n // 8)]} for n in (heads, layers)]
        fig.update_layout({
            f"xaxis{number_}": {**axis, **ticks[0], "domain": RIGHT, "anchor": f"y{number_}", "range": [0, heads], "title": {"text": "head", "standoff": 2}},
            f"yaxis{number_}": {**axis, **ticks[1], "domain": [high - tall, high], "anchor": f"x{number_}", "range": [layers, 0], "title": {"text": "layer", "standoff": 2}},
        })  # fmt: skip
        fig.add_shape(type="rect", x0=explorer.head, x1=explorer.head + 1, y0=explorer.layer, y1=explorer.layer + 1, xref=f"x{number_}",
                      yref=f"y{number_}", line={"color": c.positive, "width": 2.5})  # fmt: skip
        text = escaped(title[:1].upper() + title[1:], most=44)
        fig.add_annotation(text=text, x=RIGHT[0], y=high, xref="paper", yref="paper", xanchor="left", yanchor="bottom", showarrow=False,
                           font={"size": 12, "color": c.ink})  # fmt: skip


def _alt(explorer: Any) -> str:
    look, cells = explorer.look, explorer.cells
    at = (explorer.layer, explorer.head)
    spots = [Interval(look.interval.chrom, int(low - 0.5), int(high - 0.5), look.interval.strand).label()
             for low, high in (_range(look, part) for part in (explorer.query, explorer.key))]  # fmt: skip
    where = spots[0] if spots[0] == spots[1] else f"queries of {spots[0]}, keys of {spots[1]}"
    row, column = np.unravel_index(int(np.nanargmax(np.abs(cells.values))), cells.values.shape)
    strongest = explorer._pair(*cells.pair(row, column), float(cells.values[row, column]))
    here, apart = (float(part[at]) for part in look.contrast)
    first = f", the most beyond that of {look.small.shape[0] * look.small.shape[1]} heads" if at == look.telling else ""
    size = f"{cells.query[1] - cells.query[0]:,} queries by {cells.key[1] - cells.key[0]:,} keys"
    return (
        f"{explorer._title}. {plain(where, most=120)}, {size}. Strongest: {strongest}; {look.scores['attention to special tokens'][0][at]:.0%} "
        f"goes to special tokens. Entropies of its queries are {number(here)} (Kolmogorov–Smirnov distance) from those in {SHUFFLES} "
        f"dinucleotide-shuffled sequences{first}; the shuffled ones are {number(apart)} from each other. {look.note}"
    )
