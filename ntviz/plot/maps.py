"""`embedding_map`: windows of the genome as points, by layer, with how well elements keep together and by chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ntviz.genome import Interval, browser_contig
from ntviz.plot.theme import MARKERS, WIDTH, colours, framed
from ntviz.plot.words import element_name, escaped, listing, number, plain, sentence, span

METHODS = {"tsne": "t-SNE", "umap": "UMAP", "pca": "principal components"}

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


def embedding_map(maps: Mapped, panels: Sequence[str] | None = None, *, title: str = "", columns: int = 3) -> go.Figure:
    """A figure of windows as points, coloured and shaped by element, a panel a layer or baseline; the legend hides elements in all.

    Numbers over a panel say how well elements keep together in the vectors, which is what counts, with what 95 % of random
    labels reach at most, and in the map, which is what is seen. The hover tells place, element, gene and share of G and C of a window.

    Parameters
    ----------
    maps
        Of `projection.by_layer`.
    panels
        Names of maps, in order. Default: the first, the middle and the last layer of the model, the last of its randomly
        initialised model, and all k-mer baselines.
    title
        Says what the figure shows.
    columns
        Panels side by side.

    Raises
    ------
    ValueError
        A panel is unknown, none is asked for, or coordinates are not finite.
    """
    rows = _chosen(maps.panels, panels)
    places = np.asarray(maps.coordinates, dtype=float)[rows]
    names = maps.panels["panel"].astype(str).iloc[rows].tolist()
    for place, name in zip(places, names, strict=True):
        odd = int((~np.isfinite(place)).any(axis=1).sum())
        if odd:
            raise ValueError(f"Coordinates must be finite; {odd:,} of {len(place):,} windows of {plain(name)!r} have others. Make the map again.")
    if columns < 1:
        raise ValueError(f"columns must be at least 1; received {columns}. The default is 3.")
    c, labels = colours(), maps.windows["element"].astype(str).to_numpy()
    elements = list(dict.fromkeys(labels))
    across, down = min(columns, len(rows)), -(-len(rows) // columns)
    side, gap = round(WIDTH / across * 0.92), 76
    total = down * side + (down - 1) * gap
    small = f"<br><span style='font-size:10px;color:{c.muted}'>"
    heads = ["Control: " * (maps.panels["source"].iloc[row] != "model") + name for row, name in zip(rows, names, strict=True)]
    heads = [f"<b>{escaped(head[:1].upper() + head[1:], most=40)}</b>{small}{_measured(maps.separation, name, 'purity')}</span>{small}{_measured(maps.separation, name, 'silhouette')}</span>"
             for head, name in zip(heads, names, strict=True)]  # fmt: skip
    fig = make_subplots(down, across, subplot_titles=heads, vertical_spacing=gap / total if down > 1 else 0, horizontal_spacing=0.025)
    fig.update_annotations(font={"size": 12})
    hover = np.array([_place(row) for row in maps.windows.to_dict("records")], dtype=object)
    for i, place in enumerate(places):
        for index, element in enumerate(elements):
            here = labels == element
            count = f"{element_name(element)}: {int(here.sum()):,}, GC {100 * maps.windows['gc'][here].mean():.0f} %"
            fig.add_scatter(
                x=place[here, 0], y=place[here, 1], mode="markers", name=escaped(count), legendgroup=escaped(element), showlegend=i == 0, opacity=0.85,
                marker={"color": c.lines[index % 6], "symbol": MARKERS[(index + index // 6) % 6], "size": 6}, text=hover[here], hovertemplate="%{text}<extra></extra>",
                row=i // across + 1, col=i % across + 1,
            )  # fmt: skip
        # One unit is as long across as up.
        fig.update_yaxes(scaleanchor=f"x{i + 1}" if i else "x", row=i // across + 1, col=i % across + 1)
    fig.update_xaxes(showticklabels=False, ticks="", mirror=True, linecolor=c.faint, constrain="range")
    fig.update_yaxes(showticklabels=False, ticks="", mirror=True, linecolor=c.faint, constrain="range")
    title = plain(title or f"Where does {plain(maps.model)} put genomic elements?", most=200)
    lengths = (maps.windows["end"] - maps.windows["start"]).unique()
    long = f"{int(lengths[0]):,} bp" if len(lengths) == 1 else f"{int(lengths.min()):,} to {int(lengths.max()):,} bp"
    counted = [f"{element_name(name)} {int((labels == name).sum()):,}" for name in elements]
    alt = (
        f"{sentence(title)} {len(labels):,} windows ({listing(counted, most=6)}) in {len(rows)} map{'s' * (len(rows) != 1)}. "
        f"Purity of neighbours in the vectors: {'; '.join(_purity(maps.separation, name) for name in names)}."
    )
    method = METHODS.get(str(maps.settings.get("method")), "map")
    return framed(
        fig, title=title, alt=alt, height=total, above=50, below=60,
        subtitle=f"{len(labels):,} windows of {long} · {method} · purity: share of the nearest windows of the same element",
        legend={"orientation": "h", "y": -10 / total, "yanchor": "top", "x": 0, "itemsizing": "constant"},
    )  # fmt: skip


def _chosen(table: pd.DataFrame, panels: Sequence[str] | None) -> list[int]:
    """Rows of the maps to draw."""
    names = table["panel"].astype(str).tolist()
    if panels is not None:
        unknown = [name for name in panels if name not in names]
        if unknown or not len(panels):
            raise ValueError(
                f"Panels must be names of maps, one or more of {', '.join(names)}; received {', '.join(map(repr, unknown)) or 'none'}. Choose of these."
            )
        return [names.index(name) for name in panels]
    own, twins, counts = (np.flatnonzero(table["source"] == source).tolist() for source in ("model", "twin", "counts"))
    kept = sorted({own[0], own[len(own) // 2], own[-1]}) if own else []
    return [*kept, *twins[-1:], *counts]


def _value(rows: pd.DataFrame, panel: str, space: str, measure: str) -> pd.Series | None:
    chosen = rows[(rows["panel"] == panel) & (rows["space"] == space) & (rows["measure"] == measure) & (rows["element"] == "all")]
    return None if chosen.empty else chosen.iloc[0]


def _measured(rows: pd.DataFrame, panel: str, measure: str) -> str:
    """A measure in the vectors, with what random labels reach, and in the map."""
    vectors, drawn = (_value(rows, panel, space, measure) for space in ("vectors", "map"))
    if vectors is None or not np.isfinite(vectors["value"]):
        return f"{measure}: no value"
    there = "" if drawn is None or not np.isfinite(drawn["value"]) else f", in the map {drawn['value']:z.2f}"
    return f"{measure} {vectors['value']:z.2f} (random labels {vectors['null_high']:z.2f}){there}".replace("-", "−")


def _purity(rows: pd.DataFrame, panel: str) -> str:
    vectors, drawn = (_value(rows, panel, space, "purity") for space in ("vectors", "map"))
    if vectors is None or drawn is None or not np.isfinite(vectors["value"]):
        return f"{plain(panel)} no value"
    reach = "" if vectors["value"] > vectors["null_high"] else ", as with random labels"
    return f"{plain(panel)} {number(round(vectors['value'], 2))} ({number(round(drawn['value'], 2))} in the map{reach})"


def _place(row: dict[Any, Any]) -> str:
    place = Interval(browser_contig(str(row["chrom"])), row["start"], row["end"], row["strand"])
    strand = {"+": " (+)", "-": " (−)"}.get(place.strand, "")
    parts = [f"{place.chrom}:{span(place.start, place.end)}{strand}", element_name(row["element"]), f"gene: {row['gene']}" if row["gene"] else "", f"GC {100 * row['gc']:.0f} %"]
    return "<br>".join(escaped(part) for part in parts if part)
