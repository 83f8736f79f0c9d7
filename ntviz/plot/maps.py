"""`embedding_map`: windows of the genome as points, by layer, with how well elements keep together and by chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ntviz.genome import browser_contig
from ntviz.plot.theme import MARKERS, WIDTH, colours, framed
from ntviz.plot.words import element_name, escaped, listing, number, plain, sentence, span

METHODS = {"tsne": "t-SNE", "umap": "UMAP", "pca": "principal components"}


def embedding_map(maps: Any, panels: Sequence[str] | None = None, *, title: str = "") -> go.Figure:
    """A figure of windows as points, coloured and shaped by element, a panel a layer or baseline; the legend hides elements in all.

    Numbers over a panel say how well elements keep together in the vectors, which is what counts, with what 95 % of random
    labels reach at most, and in the map, which is what is seen.

    Parameters
    ----------
    maps, panels, title
        Of `projection.by_layer`; names of some, the first, middle and last layer and the controls when None; of the figure.
    """
    names = maps.panels["panel"].astype(str).tolist()
    if panels is None:
        source = maps.panels["source"]
        own, twins, counts = (np.flatnonzero(source == of).tolist() for of in ("model", "twin", "counts"))
        rows = [*sorted({own[i] for i in (0, len(own) // 2, -1) if own}), *twins[-1:], *counts]
    elif len(panels) and set(panels) <= set(names):
        rows = [names.index(name) for name in panels]
    else:
        raise ValueError(f"Panels must be names of maps, one or more of {', '.join(names)}; received {list(panels)}.")  # fmt: skip
    places = np.asarray(maps.coordinates, dtype=float)[rows]
    c, windows, labels = colours(), maps.windows, maps.windows["element"].astype(str).to_numpy()
    elements, heads, purities = list(dict.fromkeys(labels)), [], []
    for row, place in zip(rows, places, strict=True):
        name, odd = names[row], int((~np.isfinite(place)).any(axis=1).sum())
        if odd:
            raise ValueError(f"Coordinates must be finite; {odd:,} of {len(place):,} windows of {plain(name)!r} have others.")  # fmt: skip
        heading = "Control: " * (maps.panels["source"].iloc[row] != "model") + name
        (purity, spoken), (silhouette, _) = (_measured(maps.separation, name, measure) for measure in ("purity", "silhouette"))  # fmt: skip
        small = f"<span style='font-size:10px;color:{c.muted}'>{purity}<br>{silhouette}</span>"
        heads.append(f"<b>{escaped(heading[:1].upper() + heading[1:], most=40)}</b><br>{small}")
        purities.append(f"{plain(name)} {spoken}")
    across, down, gap = min(3, len(rows)), -(-len(rows) // 3), 76
    total = down * round(WIDTH / across * 0.92) + (down - 1) * gap
    fig = make_subplots(down, across, subplot_titles=heads, vertical_spacing=gap / total * (down > 1), horizontal_spacing=0.03)  # fmt: skip
    hover = np.array([_place(row) for row in windows.to_dict("records")], dtype=object)
    for i, place in enumerate(places):
        at = {"row": i // across + 1, "col": i % across + 1}
        for index, element in enumerate(elements):
            here = labels == element
            name = f"{element_name(element)}: {int(here.sum()):,}, GC {100 * windows['gc'][here].mean():.0f} %"  # fmt: skip
            marker = {"color": c.lines[index % 6], "symbol": MARKERS[(index + index // 6) % 6], "size": 6, "opacity": 0.85}  # fmt: skip
            fig.add_scatter(x=place[here, 0], y=place[here, 1], mode="markers", name=escaped(name), marker=marker, text=hover[here],
                            legendgroup=escaped(element), showlegend=i == 0, hovertemplate="%{text}<extra></extra>", **at)  # fmt: skip
        # One unit is as long across as up.
        fig.update_yaxes(scaleanchor=f"x{i + 1}" if i else "x", **at)
    look = {"showticklabels": False, "ticks": "", "mirror": True, "linecolor": c.faint, "constrain": "range"}
    fig.update_xaxes(look).update_yaxes(look).update_annotations(font_size=12)
    title = plain(title or f"Where does {plain(maps.model)} put genomic elements?", most=200)
    long = " to ".join(f"{n:,}" for n in sorted({*(windows["end"] - windows["start"]).agg(["min", "max"])}))
    counted = listing([f"{element_name(name)} {int((labels == name).sum()):,}" for name in elements], most=6)
    alt = (f"{sentence(title)} {len(labels):,} windows ({counted}) in {len(rows)} map{'s' * (len(rows) != 1)}. "
           f"Purity of neighbours in the vectors: {'; '.join(purities)}.")  # fmt: skip
    return framed(fig, title=title, alt=alt, height=total, above=50, below=60,
                  subtitle=f"{len(labels):,} windows of {long} bp · {METHODS.get(maps.settings.get('method'), 'map')} · "
                           "purity: share of the nearest windows of the same element",
                  legend={"orientation": "h", "y": -10 / total, "yanchor": "top", "x": 0, "itemsizing": "constant"})  # fmt: skip


def _measured(rows: pd.DataFrame, panel: str, measure: str) -> tuple[str, str]:
    """A measure in the vectors, with what random labels reach, and in the map: over the panel, and in the alt sentence."""
    rows = rows[(rows["panel"] == panel) & (rows["measure"] == measure) & (rows["element"] == "all")].set_index("space")  # fmt: skip
    value, high = (rows[column].get("vectors", np.nan) for column in ("value", "null_high"))
    if not np.isfinite(value):
        return f"{measure}: no value", "no value"
    chance, drawn = "" if value > high else ", as with random labels", rows["value"].get("map", np.nan)
    text = f"{measure} {value:z.2f} (random labels {high:z.2f}), in the map {drawn:z.2f}".replace("nan", "no value")  # fmt: skip
    return text.replace("-", "−"), f"{number(round(value, 2))} ({number(round(drawn, 2))} in the map{chance})"


def _place(row: dict[Any, Any]) -> str:
    strand = {"+": " (+)", "-": " (−)"}.get(row["strand"], "")
    parts = [f"{browser_contig(str(row['chrom']))}:{span(row['start'], row['end'])}{strand}", element_name(row["element"]),
             f"gene: {row['gene']}" * bool(row["gene"]), f"GC {100 * row['gc']:.0f} %"]  # fmt: skip
    return "<br>".join(escaped(part) for part in parts if part)
