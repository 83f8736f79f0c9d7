"""`embedding_map`: windows of the genome as points, a panel a layer, beside what a layer must be held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from ntviz.genome import Interval
from ntviz.genome.contigs import browser_contig
from ntviz.plot import palette, words
from ntviz.plot.figure import Figure
from ntviz.plot.indexed import IndexedFigure
from ntviz.plot.map_axes import EDGE, heading
from ntviz.plot.margins import element_name
from ntviz.plot.points import Points
from ntviz.plot.words import listing, number, plain, sentence, text_width, wrapped

AXES = {"pca": "principal component", "tsne": "t-SNE", "umap": "UMAP"}
CAPTION = 0.64
"""Room for the name and the numbers of a panel, in inches."""
GAP = 0.16
TURNS = 8
"""Elements are drawn by turns, so that none lies on top of all others."""
WITHIN = "°"
"""After a number that one in twenty random labels reaches."""


class Mapped(Protocol):
    """What the figure needs of `projection.Maps`, which says what each is."""

    @property
    def windows(self) -> pd.DataFrame: ...
    @property
    def panels(self) -> pd.DataFrame: ...
    @property
    def coordinates(self) -> np.ndarray: ...
    @property
    def separation(self) -> pd.DataFrame: ...
    @property
    def model(self) -> str: ...
    @property
    def settings(self) -> dict[str, Any]: ...


def embedding_map(
    maps: Mapped,
    panels: Sequence[str] | None = None,
    *,
    title: str = "",
    link: str = "",
    columns: int = 3,
    caption: str = "",
    width: float = 10.0,
) -> Figure:
    """A figure of windows as points, coloured and shaped by element, a panel a layer or baseline on one page.

    The cursor reads the place, the gene and the share of G and C of a window, and rings it in every panel; a click (or
    Enter) keeps it, with its region to copy. Numbers over a panel say how well elements keep together in the vectors,
    which is what counts, and in the map, which is what is seen.

    Parameters
    ----------
    maps
        Of `projection.by_layer`.
    panels
        Names of maps, in order. Default: the first, the middle and the last layer of the model, the last of its random
        twin, and all counts.
    title
        Says what the figure shows.
    link
        Address of a genome browser for the window that is kept, with `{region}` (such as chr20:1001-1600, 1-based closed)
        where it belongs: `https://genome.ucsc.edu/cgi-bin/hgTracks?db=hg19&position={region}`. It is followed only when
        a reader clicks it; the figure itself needs no network. None when empty.
    columns
        Panels side by side.
    caption
        Text under the figure, after how to read it.
    width
        In inches of 96 CSS pixels.

    Raises
    ------
    ValueError
        A panel is unknown, none is asked for, coordinates are not finite, or the link is no web address with `{region}`.
    """
    rows = _chosen(maps.panels, panels)
    places = np.asarray(maps.coordinates, dtype=float)[rows]
    _check(places, maps.panels["panel"].iloc[rows], link, columns)
    elements = list(dict.fromkeys(maps.windows["element"].astype(str)))
    title = plain(title or f"Where does {plain(maps.model)} put genomic elements?", most=200)
    lines = wrapped(title, width - 2 * EDGE, 13.0, weight="bold")
    keys = _keys(maps.windows, elements)
    per_row = _keys_a_row([key.get_label() for key in keys], width - 2 * EDGE)
    key_rows = -(-len(keys) // per_row)
    across = min(columns, len(rows))
    down = -(-len(rows) // across)
    wide = (width - 2 * EDGE - (across - 1) * GAP) / across
    deep = min(wide * 0.86, 4.2)
    top = 0.14 + 0.24 * len(lines) + 0.32 + 0.22 * key_rows + 0.12
    height = top + down * (CAPTION + deep + GAP) + 0.08
    with palette.style():
        drawing = Drawing(figsize=(width, height))
        heading(drawing, lines, _shown(maps, rows))
        drawing.legend(
            handles=keys,
            loc="upper left",
            bbox_to_anchor=(EDGE / width, 1 - (top - 0.22 * key_rows - 0.12) / height),
            ncols=per_row,
            borderaxespad=0,
            borderpad=0,
            frameon=False,
            fontsize=8.5,
            handletextpad=0.1,
            columnspacing=1.2,
        )
        points = []
        for index, row in enumerate(rows):
            left = EDGE + index % across * (wide + GAP)
            under = top + index // across * (CAPTION + deep + GAP) + CAPTION
            box = (left / width, 1 - (under + deep) / height, wide / width, deep / height)
            panel = maps.panels.iloc[row]
            ax = drawing.add_axes(box, label=plain(panel["panel"]))
            _draw(ax, places[index], maps.windows["element"].astype(str).to_numpy(), elements)
            _finish(ax, str(panel["source"]), str(maps.settings.get("method", "")))
            _numbers(drawing, maps.separation, str(panel["panel"]), left, under, wide)
            points.append(_fractions(drawing, ax, places[index]))
    return IndexedFigure(
        drawing,
        title=title,
        alt=_said(title, maps, rows, elements),
        caption=" ".join([_how(maps), caption]).strip(),
        readout=_readout(maps.windows, np.array(points), link),
        keep=np.zeros((0, 3), dtype=np.uint8),
    )


def _chosen(table: pd.DataFrame, panels: Sequence[str] | None) -> list[int]:
    """Rows of the maps to draw."""
    names = table["panel"].astype(str).tolist()
    if panels is not None:
        unknown = [name for name in panels if name not in names]
        if unknown or not len(panels):
            raise ValueError(
                f"Panels must be names of maps, one or more of {', '.join(names)}; received "
                f"{', '.join(map(repr, unknown)) or 'none'}. Choose of these."
            )
        return [names.index(name) for name in panels]
    own = np.flatnonzero(table["source"] == "model").tolist()
    twins = np.flatnonzero(table["source"] == "twin").tolist()
    counts = np.flatnonzero(table["source"] == "counts").tolist()
    kept = sorted({own[0], own[len(own) // 2], own[-1]}) if own else []
    return [*kept, *twins[-1:], *counts]


def _check(places: np.ndarray, names: pd.Series, link: str, columns: int) -> None:
    for place, name in zip(places, names, strict=True):
        odd = int((~np.isfinite(place)).any(axis=1).sum())
        if odd:
            raise ValueError(
                f"Coordinates must be finite; {odd:,} of {len(place):,} windows of {plain(name)!r} have others. Make the map "
                "again."
            )
    if link and (not link.startswith(("https://", "http://")) or "{region}" not in link):
        raise ValueError(
            f"link must be a web address with {{region}} where the region belongs; received {link!r}. Write for instance "
            "https://genome.ucsc.edu/cgi-bin/hgTracks?db=hg19&position={region}."
        )
    if columns < 1:
        raise ValueError(f"columns must be at least 1; received {columns}. The default is 3.")


def look(index: int) -> tuple[str, str]:
    """Colour and marker of an element by its number: no pair comes twice among the first 36.

    Examples
    --------
    >>> look(0), len({look(index) for index in range(36)})
    (('#0072B2', 'o'), 36)
    """
    n = len(palette.LINES)
    return palette.LINES[index % n], palette.MARKERS[(index + index // n) % n]


def _keys(windows: pd.DataFrame, elements: Sequence[str]) -> list[Line2D]:
    keys = []
    for index, name in enumerate(elements):
        part = windows[windows["element"].astype(str) == name]
        colour, marker = look(index)
        text = f"{element_name(name)}: {len(part):,}, GC {100 * part['gc'].mean():.0f} %"
        keys.append(
            Line2D(
                [],
                [],
                linestyle="none",
                color=colour,
                marker=marker,
                markersize=6,
                markeredgewidth=0,
                label=text,
            )
        )
    return keys


def _keys_a_row(texts: Sequence[object], room: float) -> int:
    """How many keys stand side by side; each is as wide as the widest, with its marker and the space after it."""
    widest = max(text_width(str(text), 8.5) for text in texts) + 0.24 + 1.2 * 8.5 / 72
    return max(1, min(len(texts), int(room / widest)))


def _draw(ax: Axes, place: np.ndarray, labels: np.ndarray, elements: Sequence[str]) -> None:
    turn = np.random.default_rng(0).permutation(len(place)) % TURNS
    for now in range(TURNS):
        for index, name in enumerate(elements):
            rows = np.flatnonzero((turn == now) & (labels == name))
            colour, marker = look(index)
            ax.scatter(
                place[rows, 0],
                place[rows, 1],
                s=17,
                c=colour,
                marker=marker,
                alpha=0.85,
                linewidths=0.35,
                edgecolors=palette.PAPER,
                gid=f"points {plain(name)}",
            )


def _finish(ax: Axes, source: str, method: str) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_color(palette.FAINT)
    if source != "model":
        ax.set_facecolor(palette.CONTROL_PAPER)
    ax.margins(0.06)
    ax.set_aspect("equal", adjustable="datalim")
    ax.apply_aspect()
    name = AXES.get(method, plain(method, most=20))
    for x, y, text, turned in ((0.985, 0.012, f"{name} 1 →", 0), (0.012, 0.985, f"{name} 2 →", 90)):
        ax.text(
            x,
            y,
            text,
            transform=ax.transAxes,
            fontsize=7,
            color=palette.MUTED,
            rotation=turned,
            ha="right" if not turned else "left",
            va="bottom" if not turned else "top",
            gid="axis name",
        )


def _value(rows: pd.DataFrame, panel: str, space: str, measure: str) -> pd.Series | None:
    chosen = rows[
        (rows["panel"] == panel)
        & (rows["space"] == space)
        & (rows["measure"] == measure)
        & (rows["element"] == "all")
    ]
    return None if chosen.empty else chosen.iloc[0]


def _figures(rows: pd.DataFrame, panel: str, space: str) -> str:
    """Both measures of a map in words, with a mark where random labels reach them."""
    said = []
    for measure in ("purity", "silhouette"):
        row = _value(rows, panel, space, measure)
        if row is None or not np.isfinite(row["value"]):
            said.append(f"{measure}: no value")
            continue
        mark = WITHIN if row["value"] <= row["null_high"] else ""
        said.append(f"{measure} {round(row['value'], 2) + 0.0:.2f}{mark}".replace("-", "−"))
    return ", ".join(said)


def _numbers(
    drawing: Drawing, rows: pd.DataFrame, panel: str, left: float, under: float, wide: float
) -> None:
    """Name and numbers of a panel, above it."""
    width, height = drawing.get_size_inches()
    name = plain(panel, most=40)
    name = name[:1].upper() + name[1:]
    texts = [f"vectors: {_figures(rows, panel, 'vectors')}", f"map: {_figures(rows, panel, 'map')}"]
    size = 8.5 if max(text_width(text, 8.5) for text in texts) <= wide else 7.0
    drawing.text(
        left / width,
        1 - (under - 0.42) / height,
        name,
        fontsize=10,
        fontweight="bold",
        va="baseline",
        gid="panel",
    )
    for index, text in enumerate(texts):
        y = 1 - (under - 0.25 + 0.16 * index) / height
        drawing.text(
            left / width,
            y,
            text,
            fontsize=size,
            color=palette.INK if not index else palette.MUTED,
            gid="numbers",
        )


def _fractions(drawing: Drawing, ax: Axes, place: np.ndarray) -> np.ndarray:
    """Points [window, 2] as fractions of the image from its top left corner."""
    there = drawing.transFigure.inverted().transform(ax.transData.transform(place))
    return np.column_stack([there[:, 0], 1 - there[:, 1]])


def _shown(maps: Mapped, rows: Sequence[int]) -> str:
    spans = (maps.windows["end"] - maps.windows["start"]).unique()
    long = f"{int(spans[0]):,} bp" if len(spans) == 1 else f"{int(spans.min()):,} to {int(spans.max()):,} bp"
    method = {"tsne": "t-SNE", "umap": "UMAP", "pca": "principal components"}.get(
        str(maps.settings.get("method")), "map"
    )
    first = str(maps.panels["panel"].iloc[rows[0]])
    row = _value(maps.separation, first, "vectors", "purity")
    chance = "" if row is None else f" · purity by chance {row['chance']:.2f}"
    return f"{len(maps.windows):,} windows of {long} · {method}{chance} · {WITHIN} no better than random labels (95 %)"


def _how(maps: Mapped) -> str:
    k = maps.settings.get("neighbours")
    near = f"{k} nearest" if k else "nearest"
    return (
        f"Purity: share of the {near} windows of other stretches of the genome that are of the same element, each element "
        "counting the same. Silhouette: from −1 to 1, above 0 where windows lie nearer to their own element than to any "
        "other. Distances between groups and sizes of groups in a map mean little. Grey: what a layer must be held against."
    )


def _said(title: str, maps: Mapped, rows: Sequence[int], elements: Sequence[str]) -> str:
    counted = [
        f"{element_name(name)} {int((maps.windows['element'].astype(str) == name).sum()):,}"
        for name in elements
    ]
    each = []
    for row in rows:
        panel = str(maps.panels["panel"].iloc[row])
        told = _value(maps.separation, panel, "vectors", "purity")
        drawn = _value(maps.separation, panel, "map", "purity")
        if told is None or drawn is None or not np.isfinite(told["value"]):
            each.append(f"{plain(panel)} no value")
            continue
        reach = "" if told["value"] > told["null_high"] else ", as with random labels"
        each.append(
            f"{plain(panel)} {number(round(told['value'], 2))} ({number(round(drawn['value'], 2))} in the map{reach})"
        )
    return (
        f"{sentence(title)} {len(maps.windows):,} windows ({listing(counted, most=6)}) in {len(rows)} "
        f"{'map' if len(rows) == 1 else 'maps'}. Purity of neighbours in the vectors: {'; '.join(each)}."
    )


def _readout(windows: pd.DataFrame, points: np.ndarray, link: str) -> Points:
    texts, regions = [], []
    for row in windows.to_dict("records"):
        place = Interval(browser_contig(str(row["chrom"])), row["start"], row["end"], row["strand"])
        region = f"{plain(place.chrom)}:{words.span(place.start, place.end)}"
        strand = {"+": " (+)", "-": " (−)"}.get(place.strand, "")
        gene = f"gene: {plain(row['gene'])}" if row["gene"] else ""
        told = [f"{region}{strand}", element_name(row["element"]), gene, f"GC {100 * row['gc']:.0f} %"]
        texts.append("  ·  ".join(part for part in told if part))
        regions.append(f"{plain(place.chrom)}:{place.start + 1}-{place.end}")
    return Points(points, texts, regions, link)
