"""Attention as figures: from one query along the genome, one head as a map, all heads as thumbnails and as an atlas."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ntviz.genome import Interval, canonical_contig
from ntviz.plot.theme import colours, framed
from ntviz.plot.tracks import Panel, Track, View
from ntviz.plot.transcripts import Annotated, collect
from ntviz.plot.words import escaped, listing, number, plain, sentence, span

ARCS = 12
"""Arcs drawn from a query, the strongest first."""
EXACT = 512
"""Cells a side that are drawn as a heat map; of a larger map an image is, with one pixel a cell."""
MOST_TOKENS = 4_096
SCALES = {"linear": 1.0, "sqrt": 0.5, "log": 0.0}
_STEPS = 255


def pooled(values: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """Largest values of square blocks of an array [query, key], at most `most` a side, and the side of a block.

    Attention is sparse: largest values keep its peaks.

    Examples
    --------
    >>> pooled(np.array([[1, 2, 0], [3, 0, 0], [0, 0, 5]]), 2)[0].tolist()
    [[3, 0], [0, 5]]
    """
    step = max(1, -(-max(values.shape) // most))
    padded = np.pad(values, [(0, -size % step) for size in values.shape], constant_values=0)
    n, m = (size // step for size in padded.shape)
    return padded.reshape(n, step, m, step).max((1, 3)), step


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
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"Weights of {plain(label)!r} must be finite and at least 0; received {values[first]} at {list(first)} "
            f"({int(wrong.sum()):,} such). Pass probabilities, not scores or differences."
        )
    return values


def _spans(spans: Any, label: str) -> np.ndarray:
    places = np.asarray(spans)
    if places.ndim != 2 or places.shape[1:] != (2,):
        raise ValueError(
            f"The spans of {plain(label)!r} must have the shape [token, 2]; received {list(places.shape)}. Pass tokens.on(interval)."
        )
    return places.astype(np.int64)


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
    if isinstance(query_span, Interval):
        query_span = (query_span.start, query_span.end)
    if query_span is not None and query_span[1] <= query_span[0]:
        raise ValueError(
            f"The query of {label!r} must cover at least one base; received the span {tuple(query_span)}. "
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
        c, view = colours(), panel.view
        inside = placed & (places[:, 0] < view.interval.end) & (places[:, 1] > view.interval.start)
        at, wide = places[inside].mean(axis=1) + 0.5, places[inside, 1] - places[inside, 0]
        texts = [span(*place) for place in places[inside].tolist()]
        top = max((float(weights[placed].max(initial=0.0)) for weights in given.values()), default=0.0) or 1.0
        words = []
        for which, weights in given.items():
            name = f"{label}: control ({control_label})" if which else label
            panel.add(go.Bar(
                x=at, width=wide, y=(-1 if which else 1) * weights[inside], name=escaped(name, most=110), text=texts, textposition="none",
                customdata=weights[inside], hovertemplate="token %{text}: %{customdata:.3g}<extra>%{fullData.name}</extra>",
                marker={"color": c.control if which else c.accent, "line": {"width": 0}},
            ))  # fmt: skip
            words.append(f"in the control ({plain(control_label)}) " * bool(which) + strongest(weights))
        panel.figure.update_layout(barmode="overlay")
        panel.yaxis(range=[-1.08 * top if control is not None else 0, (1.7 if query_span else 1.08) * top], nticks=4, zeroline=True,
                    tickformat=".2~g")  # fmt: skip
        if query_span is not None:
            words[0] = f"from {span(*query_span)}, {words[0]}"
            _arcs(panel, places, given[""], inside, query_span, top)
        return "; ".join(words)

    note = [f"arcs: the {ARCS} strongest"] if query_span is not None else []
    note += [f"grey, below zero: {plain(control_label)}"] if control is not None else []
    return Track(plain(label, most=90), height, draw, plain(unit), note="; ".join(note))


def _arcs(panel: Panel, places: np.ndarray, weights: np.ndarray, inside: np.ndarray, query: tuple[int, int], top: float) -> None:
    """Arcs from the query to the strongest tokens, above the bars; and the query's mark."""
    c = colours()
    origin = sum(query) / 2 + 0.5
    apart = (places[:, 0] >= query[1]) | (places[:, 1] <= query[0])
    keys = np.flatnonzero(inside & apart & (weights > 0))
    keys = keys[np.argsort(-weights[keys], kind="stable")][:ARCS]
    centres = places[keys].mean(axis=1) + 0.5
    far, turn = np.abs(centres - origin).max(initial=1.0), np.linspace(0, np.pi, 33)
    for key, centre in zip(keys[::-1], centres[::-1], strict=True):
        share = float(weights[key]) / top
        panel.add(go.Scatter(
            x=(origin + centre) / 2 + (origin - centre) / 2 * np.cos(turn), y=top * (0.3 + 1.3 * abs(centre - origin) / far) * np.sin(turn) / 1.05,
            mode="lines", hoverinfo="skip", opacity=0.25 + 0.75 * share, line={"color": c.positive, "width": 0.8 + 2.2 * share},
        ))  # fmt: skip
    panel.add(go.Scatter(x=[origin], y=[0], mode="markers", marker={"symbol": "triangle-up", "size": 11, "color": c.ink}, cliponaxis=False,
                         hovertemplate=f"query {span(*query)}<extra></extra>"))  # fmt: skip


def _percent(share: float) -> str:
    return "under 1%" if 0 < share < 0.005 else f"{share:.0%}"


# One head -------------------------------------------------------------------------------------------------------------


def attention_map(
    weights: np.ndarray,
    spans: np.ndarray,
    interval: Interval,
    *,
    title: str,
    label: str,
    unit: str = "share of attention",
    query_spans: np.ndarray | None = None,
    query_interval: Interval | None = None,
    to_special: np.ndarray | None = None,
    special: str = "<cls>",
    genes: Annotated | None = None,
    elements: Sequence[str] | Mapping[str, np.ndarray] = (),
    assembly: str | None = None,
    sequence: str | None = None,
    scale: str = "sqrt",
    top: float | None = None,
    control: np.ndarray | None = None,
    control_to_special: np.ndarray | None = None,
    control_label: str = "shuffled sequence",
    zoom: Interval | None = None,
) -> go.Figure:
    """A figure of one head's weights: a row for each token that looks (query), a column for each looked at (key).

    Rows run from top to bottom and columns from left to right along the reading direction of the interval's strand; each cell
    has the exact extent of its two tokens on the genome. Up to 512 tokens a side are a heat map; a larger map is an image with
    one pixel a cell, and its hover tells the largest weight of a block of cells.

    Parameters
    ----------
    weights
        [query, key] of at least 0. Rows and columns of tokens without a place on the genome (special tokens) are not
        part of the map: how much goes to them is in the hover of each row and in the alt sentence.
    spans
        [key, 2] on the genome, 0-based half-open, as `tokens.on(interval)` gives them; empty for special tokens.
    interval
        Window of the columns, and of the rows unless `query_interval` is given.
    title, label
        Says what the figure shows; names the head, above its map.
    unit
        Of the weights.
    query_spans, query_interval
        [query, 2] of the rows and their window, when they are not those of the columns.
    to_special, control_to_special
        [query] share on special tokens, where `weights` has no columns for them.
    special
        Name of the special tokens that are looked at.
    genes
        Annotation whose exons are drawn along the top.
    elements
        Names of elements to look up in `genes`, or [stretch, 2] 0-based half-open on the genome by name; drawn along the top.
    assembly
        Name of the genome assembly, written on the axes.
    sequence
        Bases of `interval` in its reading direction: the hover then names those of each token.
    scale
        From weight to colour: "linear", "sqrt" or "log" (three powers of ten).
    top
        Weight of the strongest colour; the largest in the maps when None.
    control
        [query, key] weights of a control with tokens at the same places, beside on the same scale; the two zoom together.
    control_label
        What the control is.
    zoom
        Part of the window that is shown first; a double click shows the whole.

    Raises
    ------
    ValueError
        If shapes disagree, a weight is negative or not finite, no token lies in the window, the two windows lie on
        different contigs or strands, the zoom lies outside, or the scale is unknown.

    Examples
    --------
    >>> spans = np.array([[0, 0], [100, 106], [106, 112]])
    >>> weights = np.array([[0.2, 0.4, 0.4], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])
    >>> attention_map(weights, spans, Interval("chr20", 100, 112), title="A toy", label="head 0").layout.meta["alt"]
    'A toy. head 0 over chr20:101-112, 2 queries by 2 keys. Strongest: query 101–106 on key 107–112, 0.7 share of attention. On average 20% on <cls>.'
    """
    keys = _Side(_spans(spans, label), interval)
    queries = keys if query_spans is None else _Side(_spans(query_spans, label), query_interval or interval)
    _check_map(keys, queries, scale, zoom, sequence)
    shape = (len(queries.all), len(keys.all))
    if max(shape) > MOST_TOKENS:
        raise ValueError(
            f"A map must have at most {MOST_TOKENS:,} queries and keys; received {shape[0]:,} by {shape[1]:,}. Draw a window of it, or thumbnails."
        )
    maps = []
    for given, to, name in ((weights, to_special, label), (control, control_to_special, f"{label}: control")):
        if given is not None:
            values = checked(given, shape, name)
            share = values[queries.rows][:, keys.special].sum(1) if len(keys.special) else None
            if to is not None:
                share = checked(to, shape[:1], f"{name}, to special tokens")[queries.rows]
            maps.append((values[np.ix_(queries.rows, keys.rows)], share))
    highest = top if top is not None else max(float(values.max(initial=0.0)) for values, _ in maps) or 1.0
    if not (np.isfinite(highest) and highest > 0):
        raise ValueError(f"The weight of the strongest colour must be above 0; received top={top}. Leave it out for the largest.")

    c, fig, n = colours(), go.Figure(), len(maps)
    names = [label, f"Control: {control_label}"]
    letters = _bases(keys, sequence) if sequence is not None else None
    for i, (values, share) in enumerate(maps):
        ax = "" if i == 0 else "2"
        low, high = i * (1 / n) + 0.03 * (i > 0), (i + 1) / n - 0.03 * (n > 1 and i == 0)
        fig.layout[f"xaxis{ax}"] = keys.axis(f"key, {_place(keys.interval, assembly)}", zoom) | {"domain": [low, high], "anchor": f"y{ax}", "side": "bottom"} | ({"matches": "x"} if i else {})  # fmt: skip
        fig.layout[f"yaxis{ax}"] = queries.axis("" if i else f"query, {_place(queries.interval, assembly)}", zoom, down=True) | {"domain": [0, 1], "anchor": f"x{ax}"} | ({"matches": "y", "showticklabels": False} if i else {})  # fmt: skip
        for trace in _map_traces(fig, values, share, keys, queries, letters, scale, highest, escaped(unit), escaped(special), i):
            trace.update(xaxis=f"x{ax}", yaxis=f"y{ax}", name=escaped(names[i], most=110))
            fig.add_trace(trace)
        fig.add_annotation(x=low, xref="paper", xanchor="left", y=1, yref="paper", yanchor="bottom", showarrow=False, font={"size": 12},
                           yshift=4, text=f"<b>{escaped(names[i])}</b>")  # fmt: skip
    lanes, places = _along_top(genes, elements, keys.interval)
    for i, (name, spans_of) in enumerate(lanes):
        y = 1.0 + 0.045 + 0.035 * (len(lanes) - i)
        for ax in ("x", "x2")[:n]:
            for a, b in spans_of:
                fig.add_shape(type="rect", xref=ax, yref="paper", x0=a + 0.5, x1=b + 0.5, y0=y - 0.011, y1=y + 0.011, fillcolor=c.gene, line={"width": 0})
        fig.add_annotation(x=0, xref="paper", xanchor="right", y=y, yref="paper", yanchor="middle", xshift=-4, text=escaped(name, most=16), showarrow=False,
                           font={"size": 10, "color": c.muted})  # fmt: skip
    where = [label, f"over {_plus(keys.interval)}{'' if queries.interval == keys.interval else f' (keys) and {_plus(queries.interval)} (queries)'},", f"{len(queries.rows):,} queries by {len(keys.rows):,} keys."]  # fmt: skip
    said = [sentence(plain(title, most=200)), " ".join(where), f"Strongest: {_strongest(maps[0][0], queries, keys, unit)}."]
    if maps[0][1] is not None:
        said.append(f"On average {_percent(float(maps[0][1].mean()))} on {special}.")
    if n > 1:
        tail = "" if maps[1][1] is None else f"; {_percent(float(maps[1][1].mean()))} on {special}"
        said.append(f"Control ({control_label}): strongest {_strongest(maps[1][0], queries, keys, unit)}{tail}.")
    said += [f"{name}: {listing([span(*pair) for pair in pairs], most=3)}." for name, pairs in places]
    side = 430 if n > 1 else 620
    return framed(
        fig, title=plain(title, most=200), alt=" ".join(said), height=side, name=_plus(keys.interval).replace(",", ""),
        above=20 + round(0.035 * side) * len(lanes), below=60,
    )  # fmt: skip


class _Side:
    """The tokens along one axis, in the order of the picture; `edges` are positions on the axis."""

    def __init__(self, spans: np.ndarray, interval: Interval) -> None:
        self.all, self.interval, self.reverse = spans, interval, interval.strand == "-"
        inside = (spans[:, 1] > spans[:, 0]) & (spans[:, 0] < interval.end) & (spans[:, 1] > interval.start)
        self.special = np.flatnonzero(spans[:, 1] <= spans[:, 0])
        rows = np.flatnonzero(inside)
        # From low to high positions: the axis turns the picture round.
        self.rows = rows[np.argsort(spans[rows, 0], kind="stable")]
        self.spans = spans[self.rows]
        if not len(self.rows):
            raise ValueError(
                f"A token must lie in {interval.label()}; received spans without one. Pass tokens.on(interval) of the same interval."
            )

    def edges(self, step: int = 1) -> np.ndarray:
        """Edges of cells of `step` tokens."""
        return np.append(self.spans[::step, 0], self.spans[-1, 1]) + 0.5

    def names(self, step: int = 1) -> list[str]:
        """Positions of cells of `step` tokens, 1-based."""
        last = np.minimum(np.arange(0, len(self.spans), step) + step, len(self.spans)) - 1
        return [span(int(a), int(b)) for a, b in zip(self.spans[::step, 0], self.spans[last, 1], strict=True)]

    def axis(self, title: str, zoom: Interval | None, *, down: bool = False) -> dict[str, Any]:
        """Options of the axis: queries run downward, and a - strand from high to low."""
        ends = [float(self.edges()[0]), float(self.edges()[-1])]
        at = ends if zoom is None else [zoom.start + 0.5, zoom.end + 0.5]
        turned = self.reverse != down
        return {"title": {"text": escaped(title)}, "range": at[::-1] if turned else at, "tickformat": ",d", "nticks": 6, "minallowed": ends[0],
                "maxallowed": ends[1], "showline": True}  # fmt: skip


def _map_traces(
    fig: go.Figure, values: np.ndarray, share: np.ndarray | None, keys: _Side, queries: _Side, letters: list[str] | None,
    scale: str, top: float, unit: str, special: str, which: int,
) -> list[go.Heatmap]:  # fmt: skip
    """A heat map of scaled weights whose hover tells the weights; of a large map, an image below it that is exact."""
    c = colours()
    small = max(values.shape) <= EXACT
    cells, step = (values, 1) if small else pooled(values, EXACT)
    if not small:
        codes = np.round(_scaled(values, scale, top) * _STEPS).astype(np.uint8)
        ends = [(side.edges()[0], side.edges()[-1]) for side in (keys, queries)]
        # An image has its first row on top and its first column at the left, as the axes run.
        picture = codes[:: -1 if queries.reverse else 1, :: -1 if keys.reverse else 1]
        (x0, x1), (y0, y1) = ends
        ax = "" if which == 0 else "2"
        fig.add_layout_image(
            source=_png(picture, c.magnitudes), xref=f"x{ax}", yref=f"y{ax}", x=x1 if keys.reverse else x0, y=y1 if queries.reverse else y0,
            sizex=x1 - x0, sizey=y1 - y0, xanchor="left", yanchor="top", sizing="stretch", layer="below",
        )  # fmt: skip
    hover = {"customdata": cells.astype(np.float32)}
    columns = [f"{name} {bases}" for name, bases in zip(keys.names(step), letters, strict=True)] if letters and step == 1 else keys.names(step)
    rows = queries.names(step)
    if share is not None and step == 1:
        rows = [f"{name}, {_percent(float(part))} on {special}" for name, part in zip(rows, share, strict=True)]
    # Text for each cell would weigh more than the map: the hover reads names by position instead, from the axis.
    few = cells.size <= 64 * 64
    text = {"text": [[f"query {row}<br>key {column}" for column in columns] for row in rows]} if few else {}
    place = "%{text}" if few else "query %{y:,.0f}<br>key %{x:,.0f}"
    ticks = [0, 0.25, 0.5, 0.75, 1]
    return [go.Heatmap(
        z=np.round(_scaled(cells, scale, top) * _STEPS).astype(np.uint8), x=keys.edges(step), y=queries.edges(step), zmin=0, zmax=_STEPS,
        colorscale=c.sequential(), opacity=1 if small else 0, showscale=which == 0 and small, **hover, **text,
        hovertemplate=f"{place}<br>%{{customdata:.3g}} {unit}{'' if step == 1 else f', largest of {step} by {step} tokens'}<extra></extra>",
        colorbar={"thickness": 12, "outlinewidth": 0, "title": {"text": f"{unit} ({scale})", "side": "right"}, "len": 0.9,
                  "tickvals": [tick * _STEPS for tick in ticks], "ticktext": [number(_unscaled(tick, scale, top)) for tick in ticks]},
    )]  # fmt: skip


def _scaled(values: np.ndarray, scale: str, top: float) -> np.ndarray:
    """Weights as 0 to 1 of the colours."""
    share = np.clip(values / top, 0, 1)
    if scale == "log":
        return np.clip(1 + np.log10(np.maximum(share, 1e-3)) / 3, 0, 1)
    return share ** SCALES[scale]


def _unscaled(share: float, scale: str, top: float) -> float:
    return top * (10 ** (3 * (share - 1)) if scale == "log" else share ** (1 / SCALES[scale]))


def _png(codes: np.ndarray, steps: Sequence[str], first: str = "") -> str:
    """An image of one byte a pixel with a palette of the colours between `steps`, as a data address; `first` is that of code 0."""
    from PIL import Image

    table = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in [*steps, first or steps[0]]], dtype=float)
    at = np.linspace(0, len(steps) - 1, _STEPS + 1)
    at[0] = len(steps) if first else 0
    shades = np.stack([np.interp(at, np.arange(len(steps) + 1), table[:, i]) for i in range(3)], axis=1).round().astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(codes))
    image.putpalette(shades.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _bases(keys: _Side, sequence: str) -> list[str]:
    """Letters of each token, as they are read."""
    view = View(keys.interval, keys.interval, (0, 0))
    return [sequence[slice(*view.stops(*view.clip(a, b)))] for a, b in keys.spans.tolist()]


def _place(interval: Interval, assembly: str | None) -> str:
    strand = {"-": ", − strand", "+": ", + strand"}.get(interval.strand, "")
    return f"1-based on {plain(interval.chrom)}{f' ({plain(assembly)})' if assembly else ''}{strand}"


def _plus(interval: Interval) -> str:
    return plain(Interval(interval.chrom, interval.start, interval.end).label())


def _strongest(values: np.ndarray, queries: _Side, keys: _Side, unit: str) -> str:
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    pair = f"query {span(*queries.spans[row].tolist())} on key {span(*keys.spans[column].tolist())}"
    return f"{pair}, {number(float(values[row, column]))} {plain(unit)}"


def _along_top(genes: Annotated | None, elements: Any, interval: Interval) -> tuple[list[tuple[str, list]], list[tuple[str, list]]]:
    """Lanes of boxes over a window, by name, clipped to it; and the same for the alt sentence."""
    lanes: list[tuple[str, list[tuple[int, int]]]] = []
    if genes is not None:
        by_gene: dict[str, list[tuple[int, int]]] = {}
        for transcript in collect(genes, interval)[0]:
            by_gene.setdefault(transcript.gene, []).extend((a, b) for a, b, _ in transcript.exons)
        lanes += [(name, sorted(set(spans))) for name, spans in by_gene.items()][:3]
    if isinstance(elements, Mapping):
        lanes += [(str(name).replace("_", " "), [(int(a), int(b)) for a, b in spans]) for name, spans in elements.items()]
    elif elements and genes is not None:
        near = genes.within(interval).table
        for name in elements:
            rows = near[near["element"] == name]
            lanes.append((name.replace("_", " "), list(zip(rows["start"].tolist(), rows["end"].tolist(), strict=True))))
    clipped = [(name, [(max(a, interval.start), min(b, interval.end)) for a, b in spans if a < interval.end and b > interval.start]) for name, spans in lanes]
    filled = [(plain(name, most=28), spans) for name, spans in clipped if spans]
    return filled, filled


def _check_map(keys: _Side, queries: _Side, scale: str, zoom: Interval | None, sequence: str | None) -> None:
    columns, rows = keys.interval, queries.interval
    if canonical_contig(columns.chrom) != canonical_contig(rows.chrom) or keys.reverse != queries.reverse:
        raise ValueError(
            f"Queries and keys must lie on one contig and strand; received keys over {columns.label()} and queries over "
            f"{rows.label()}. Pass both windows of the same sequence."
        )
    if scale not in SCALES:
        raise ValueError(f"The scale must be one of {', '.join(SCALES)}; received {scale!r}. Choose one of them.")
    if sequence is not None and len(sequence) != len(columns):
        raise ValueError(
            f"The sequence must have one letter for each of the {len(columns):,} bases of {columns.label()}; received "
            f"{len(sequence):,}. Pass the sequence of the same interval."
        )
    if zoom is not None and not columns.contains(zoom):
        raise ValueError(f"A zoom must lie in {columns.label()}; received {zoom.label()}. Choose a part of the window.")
