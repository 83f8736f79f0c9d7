"""`thumbnails`: the attention maps of all heads, small, in one picture whose colours are the data."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.colors import ListedColormap, NoNorm
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle

from ntviz.genome import Interval
from ntviz.plot import palette
from ntviz.plot.cells import CellLane, CellPane, Cells, Places
from ntviz.plot.figure import Figure
from ntviz.plot.indexed import IndexedFigure, filtered, palette_of
from ntviz.plot.map_axes import heading
from ntviz.plot.mapping import weight_colours
from ntviz.plot.palette import CSS_DPI
from ntviz.plot.words import listing, number, plain, sentence, text_width, wrapped

LEVELS = (96, 64, 48, 32, 24, 16, 12)
"""Steps of the colours to choose from: as many as the file has room for."""

BYTES, EACH = 1_930_000, 900
"""Characters of HTML at most, and what the label and the place of each map take of them."""

WIDEST = 1_240
"""CSS pixels of all heads of a layer at most; larger maps are pooled further."""

SMALLEST = 64
"""CSS pixels of a map at least, where its cells are magnified by a whole number."""

GAP, LABEL, RIM = 6, 13, 14
"""CSS pixels between maps, above a map for its label, and around all."""

POWERS = {"linear": 1.0, "sqrt": 2.0}
SCALINGS = ("head", "model")


def thumbnails(
    maps: np.ndarray,
    *,
    title: str,
    unit: str = "share of attention",
    scaling: str = "head",
    scale: str = "sqrt",
    edges: np.ndarray | None = None,
    spans: np.ndarray | None = None,
    interval: Interval | None = None,
    caption: str = "",
) -> Figure:
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
        "head": the darkest colour is the largest weight of each head, which is written above its map; "model": it is
        the largest of all heads, so that maps compare.
    scale
        From weight to colour, "sqrt" or "linear".
    edges
        [bin + 1] numbers of base tokens at which bins begin and end. The cursor then names the tokens of a bin.
    spans
        [token, 2] on the genome, 0-based half-open, special tokens with an empty span, of the tokens that `edges`
        count. The cursor then names the positions of a bin.
    interval
        Window of the tokens, for its contig and strand; needed with `spans`.
    caption
        Text before the sentences that say how to read the figure.

    Returns
    -------
    Figure
        Of at most 2 MB as HTML for 24 by 16 heads of 64 bins: the picture holds as many levels as fit, which the
        caption names, and the cursor reads the weight from the picture itself.

    Raises
    ------
    ValueError
        If the shape is not [layer, head, bin, bin], a weight is negative or not finite, or edges or spans do not fit.

    Examples
    --------
    >>> maps = np.zeros((1, 2, 4, 4))
    >>> maps[0, 1] = np.eye(4) * 0.8
    >>> print(thumbnails(maps, title="Two heads"))
    Two heads. Attention maps of 1 layer by 2 heads, numbered from 0, each 4 by 4 bins of queries and keys. Largest weight: layer 0 head 1 (0.8) and layer 0 head 0 (0). 1 of 2 heads never exceeds 0.1 share of attention.
    """
    maps = _checked(maps)
    for name, value, known in (("scaling", scaling, SCALINGS), ("scale", scale, tuple(POWERS))):
        if value not in known:
            raise ValueError(
                f"The {name} must be one of {', '.join(known)}; received {value!r}. Choose one of them."
            )
    n_layers, n_heads, given, _ = maps.shape
    places = _bins(given, edges, spans, interval)
    most = max(4, (WIDEST - 2 * RIM) // n_heads - GAP)
    pooled = given > most
    if pooled:
        maps, places = _pooled(maps, most), _merged(places, most)
    size = maps.shape[2]
    zoom = max(1, min(SMALLEST, most) // size)
    tops = maps.max(axis=(2, 3))
    if scaling == "model":
        tops = np.full_like(tops, tops.max())
    power = POWERS[scale]
    relative = (maps / np.where(tops > 0, tops, 1.0)[:, :, None, None]) ** (1 / power)
    numbers, levels = _levels(relative, zoom)

    title, unit = plain(title, most=200), plain(unit)
    side = size * zoom
    wide = max(2 * RIM + n_heads * (side + GAP) - GAP, 560)
    lines = wrapped(title, (wide - 2 * RIM) / CSS_DPI, 13.0, weight="bold")
    top = 14 + 23 * len(lines) + 48
    tall = top + n_layers * (LABEL + side + GAP) + RIM - GAP
    corners = [
        [(RIM + head * (side + GAP), top + layer * (LABEL + side + GAP) + LABEL) for head in range(n_heads)]
        for layer in range(n_layers)
    ]
    colours = weight_colours(levels)
    drawing = _drawn(numbers, corners, side, (wide, tall), colours)
    with palette.style():
        region = f"{n_layers} layers by {n_heads} heads · each map: queries downwards, keys to the right"
        heading(drawing, lines, region)
        _bar(drawing, (wide, tall), top, colours, scaling, float(tops.max()), unit, scale)
        _labels(drawing, corners, side, (wide, tall), maps.max(axis=(2, 3)), scaling)
    panes = [
        CellPane(x / wide, (x + side) / wide, y / tall, (y + side) / tall, (0, size), (0, size), sheet=i)
        for i, (x, y) in enumerate(corner for row in corners for corner in row)
    ]
    # Positions are cut by bins here: the cursor counts bins, and each bin says where it lies.
    lane = CellLane(
        "largest weight", unit, of="image", tops=tops.ravel().tolist(), power=power, levels=levels - 1
    )
    best = np.unravel_index(int(maps.argmax()), maps.shape)
    return IndexedFigure(
        drawing,
        title=title,
        alt=_said(title, maps, unit),
        caption=" ".join(
            [
                *([sentence(plain(caption, most=600))] if caption else []),
                *_notes(scaling, scale, levels, given, size, pooled, places, unit),
            ]
        ),
        readout=Cells(
            Places("queries", places),
            Places("keys", places),
            [lane],
            panes,
            sheets=[f"layer {layer} head {head}" for layer in range(n_layers) for head in range(n_heads)],
            start=(int(best[0]) * n_heads + int(best[1]), int(best[2]), int(best[3])),
        ),
        keep=palette_of(colours),
    )


def _checked(maps: np.ndarray) -> np.ndarray:
    maps = np.asarray(maps, dtype=np.float32)
    if maps.ndim != 4 or maps.shape[2] != maps.shape[3] or 0 in maps.shape:
        raise ValueError(
            f"Thumbnails must have the shape [layer, head, bin, bin]; received {list(maps.shape)}. "
            f"Pass the maps of attention.Thumbnails."
        )
    wrong = ~np.isfinite(maps) | (maps < 0)
    if wrong.any():
        layer, head, row, column = np.argwhere(wrong)[0].tolist()
        raise ValueError(
            f"Weights of thumbnails must be finite and at least 0; received {maps[layer, head, row, column]} at layer "
            f"{layer} head {head} ({int(wrong.sum()):,} such). Pass probabilities."
        )
    return maps


def _bins(n: int, edges: np.ndarray | None, spans: np.ndarray | None, interval: Interval | None) -> list[str]:
    """What each bin is, in words."""
    if edges is None:
        if spans is not None:
            raise ValueError(
                "Spans must come with the edges of the bins; received spans alone. Pass edges= of the thumbnails as well."
            )
        return [f"bin {i}" for i in range(n)]
    edges = np.asarray(edges)
    if edges.shape != (n + 1,) or (np.diff(edges) < 1).any() or edges[0] < 0:
        raise ValueError(
            f"Edges must be {n + 1} rising numbers of base tokens for {n} bins; received {edges.shape} from "
            f"{edges[:1].tolist()} to {edges[-1:].tolist()}. Pass the edges of the same thumbnails."
        )
    pairs = list(zip(edges[:-1].astype(int).tolist(), edges[1:].astype(int).tolist(), strict=True))
    if spans is None:
        return [f"token {a}" if b - a == 1 else f"tokens {a}–{b - 1}" for a, b in pairs]
    spans = np.asarray(spans)
    placed = spans[spans[:, 1] > spans[:, 0]] if spans.ndim == 2 and spans.shape[1:] == (2,) else spans[:0]
    if interval is None or len(placed) < edges[-1]:
        raise ValueError(
            f"Spans must be [token, 2] of at least {int(edges[-1])} base tokens, with interval=; received "
            f"{list(spans.shape)}, {len(placed)} of them with bases, and interval={interval}. Pass tokens.on(interval)."
        )
    chrom = plain(interval.chrom)
    texts = []
    for a, b in pairs:
        low, high = int(placed[a:b, 0].min()), int(placed[a:b, 1].max())
        texts.append(f"{chrom}:{low + 1:,}–{high:,}")
    return texts


def _cuts(n: int, most: int) -> np.ndarray:
    return np.linspace(0, n, most + 1).round().astype(int)


def _pooled(maps: np.ndarray, most: int) -> np.ndarray:
    """Largest weight of coarser bins."""
    starts = _cuts(maps.shape[2], most)[:-1]
    return np.maximum.reduceat(np.maximum.reduceat(maps, starts, axis=2), starts, axis=3)


def _merged(places: Sequence[str], most: int) -> list[str]:
    cuts = _cuts(len(places), most)
    return [
        places[a] if b - a == 1 else f"{places[a]} to {places[b - 1].rpartition(':')[2]}"
        for a, b in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)
    ]


def _levels(relative: np.ndarray, zoom: int) -> tuple[np.ndarray, int]:
    """[layer, head, bin, bin] level of each cell, and how many levels there are: as many as the file has room for."""
    n = LEVELS[-1]
    numbers = np.zeros(relative.shape, dtype=np.uint8)
    for n in LEVELS:
        numbers = np.rint(relative * (n - 1)).astype(np.uint8)
        # As the picture will hold them: rows of maps side by side, each cell as often as it has pixels.
        rows = numbers.transpose(0, 2, 1, 3).reshape(relative.shape[0] * relative.shape[2], -1)
        pixels = rows.repeat(2 * zoom, axis=0).repeat(2 * zoom, axis=1)
        if (
            len(zlib.compress(filtered(pixels), 9)) * 4 / 3
            <= BYTES - EACH * relative.shape[0] * relative.shape[1]
        ):
            break
    return numbers, n


def _drawn(
    numbers: np.ndarray,
    corners: Sequence[Sequence[tuple[int, int]]],
    side: int,
    size: tuple[int, int],
    colours: ListedColormap,
) -> Drawing:
    """The maps as one image that covers the figure, a whole number of its pixels for each cell."""
    wide, tall = size
    zoom = side // numbers.shape[2]
    sheet = np.ma.masked_all((tall, wide), dtype=np.int64)
    for row, layer in zip(corners, numbers, strict=True):
        for (x, y), cells in zip(row, layer, strict=True):
            sheet[y : y + side, x : x + side] = cells.repeat(zoom, axis=0).repeat(zoom, axis=1)
    with palette.style():
        # The smallest excess, lest a rounded size lose a row of pixels.
        drawing = Drawing(figsize=((wide + 1e-6) / CSS_DPI, (tall + 1e-6) / CSS_DPI))
        ax = drawing.add_axes((0, 0, 1, 1), label="thumbnails")
        ax.set_axis_off()
        frames = [Rectangle((x - 1, y - 1), side + 2, side + 2) for row in corners for x, y in row]
        ax.add_collection(
            PatchCollection(
                frames, facecolor=palette.FAINT, edgecolor="none", linewidth=0, gid="frames", zorder=0
            )
        )
        ax.imshow(
            sheet,
            extent=(0, wide, tall, 0),
            interpolation="nearest",
            cmap=colours,
            norm=NoNorm(),
            aspect="auto",
            gid="maps",
        )
        ax.set_xlim(0, wide)
        ax.set_ylim(tall, 0)
    return drawing


def _bar(
    drawing: Drawing,
    size: tuple[int, int],
    top: int,
    colours: ListedColormap,
    scaling: str,
    largest: float,
    unit: str,
    scale: str,
) -> None:
    """A colour bar that lies under the header."""
    wide, tall = size
    ax = drawing.add_axes(
        ((RIM + 12) / wide, 1 - (top - 10) / tall, 120 / wide, 9 / tall), label="colour bar"
    )
    ax.set_axis_off()
    ax.imshow(
        np.arange(colours.N)[None, :], cmap=colours, norm=NoNorm(), aspect="auto", interpolation="nearest"
    )
    y = 1 - (top - 14.5) / tall
    words = "square root" if scale == "sqrt" else "linear"
    high = "the largest of the head, written above its map" if scaling == "head" else number(largest)
    drawing.text(RIM / wide, y, "0", va="center", fontsize=8, gid="bar text")
    text = f"{high} ({unit}, {words})"
    drawing.text((RIM + 138) / wide, y, text, va="center", fontsize=8, gid="bar text")


def _labels(
    drawing: Drawing,
    corners: Sequence[Sequence[tuple[int, int]]],
    side: int,
    size: tuple[int, int],
    tops: np.ndarray,
    scaling: str,
) -> None:
    wide, tall = size
    for layer, row in enumerate(corners):
        for head, (x, y) in enumerate(row):
            name, height = f"{layer}.{head}", 1 - (y - 3.5) / tall
            drawing.text(x / wide, height, name, fontsize=7.5, fontweight="bold", gid="head")
            largest = float(tops[layer, head])
            room = side / CSS_DPI - text_width(name, 7.5, weight="bold") - 0.05
            texts = [f"{largest:.2g}", f"{largest:.1g}", "<0.01" if largest < 0.01 else f"{largest:.2f}"]
            value = next((text for text in texts if text_width(text, 7.0) <= room), "")
            if scaling == "head":
                drawing.text(
                    (x + side) / wide,
                    height,
                    value,
                    ha="right",
                    fontsize=7,
                    color=palette.MUTED,
                    gid="largest",
                )


def _notes(
    scaling: str,
    scale: str,
    levels: int,
    given: int,
    size: int,
    pooled: bool,
    places: Sequence[str],
    unit: str,
) -> list[str]:
    root = "the square root of the weight" if scale == "sqrt" else "the weight"
    whose = "each head's largest, written above its map" if scaling == "head" else "the largest of all heads"
    said = [
        "Each map has queries from top to bottom and keys from left to right; its label is layer.head, numbered from 0.",
        f"Colour: {root} ({unit}) in {levels} steps up to {whose}.",
        "Each cell is the largest weight of its bin.",
    ]
    if pooled:
        said.append(f"{given} bins were pooled to {size}, lest the picture be wider than a page.")
    return said


def _said(title: str, maps: np.ndarray, unit: str) -> str:
    n_layers, n_heads, size, _ = maps.shape
    tops = maps.max(axis=(2, 3)).ravel()
    order = np.argsort(-tops, kind="stable")[:3]
    best = [f"layer {i // n_heads} head {i % n_heads} ({number(float(tops[i]))})" for i in order.tolist()]
    faint = int((tops <= 0.1).sum())
    layers = f"{n_layers} layer{'s' if n_layers != 1 else ''}"
    return (
        f"{sentence(title)} Attention maps of {layers} by {n_heads} heads, numbered from 0, each {size} by {size} bins of "
        f"queries and keys. Largest weight: {listing(best)}. {faint:,} of {tops.size:,} heads never "
        f"exceed{'s' if faint == 1 else ''} 0.1 {unit}."
    )
