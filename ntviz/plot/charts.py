"""Charts of tables: lines, also while a training run goes on; bars with intervals; leaderboards; embeddings as points; tokens of a sequence.

All refuse, with a ValueError that says what came, a table that lacks rows, a column or numbers, and rows that contradict each other.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ntviz.genome import browser_contig
from ntviz.plot import show
from ntviz.plot.theme import DASHES, MARKERS, WIDTH, colours, framed
from ntviz.plot.words import element_name, escaped, listing, number, plain, sentence, span
from ntviz.tokens import Tokens

LEGEND = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 1, "xanchor": "right"}
LONGEST = 240  # bp of a token strip
METHODS = {"tsne": "t-SNE", "umap": "UMAP", "pca": "principal components"}


def check(table: pd.DataFrame, *, keys: Sequence[str] = (), columns: Sequence[str] = (), numeric: Sequence[str] = ()) -> None:  # fmt: skip
    """Raise a ValueError for a table without rows, a column, or a number in a numeric one, or with two rows of the same keys."""
    needed = [*keys, *columns, *numeric]
    missing = ", ".join(column for column in needed if column not in table)
    if missing or table.empty:
        raise ValueError(f"The table must have rows and the columns {', '.join(needed)}; received {len(table):,} rows, it lacks "
                         f"{missing or 'none'}, and has {', '.join(map(str, table.columns[:12]))}. Choose among its columns.")  # fmt: skip
    for column in numeric:
        if not pd.api.types.is_numeric_dtype(table[column]) or not np.isfinite(table[column].to_numpy(float)).any():
            raise ValueError(f"The column {column!r} must have numbers; received none that is finite.")
    twice = table[table.duplicated(keys)] if keys else table[:0]
    refuse(twice, keys, "Each row must be the only one of its kind; received {} again. Choose one.")


def refuse(rows: pd.DataFrame, columns: Sequence[str], rule: str) -> None:
    """Raise a ValueError if any row breaks a rule, with what the first such row has in some columns."""
    for first in rows.head(1).to_dict("records"):
        raise ValueError(rule.format(", ".join(f"{column} {plain(first[column])}" for column in columns)))


def valued(value: float, low: float, high: float, form: str = " ({})") -> str:
    """A value, and its interval if it has one, in words."""
    return number(value) + form.format(f"{number(low)} to {number(high)}") * bool(np.isfinite([low, high]).all())


def _count(n: float) -> str:
    return f"<br><span style='font-size:10px;color:{colours().muted}'>n = {n:,.0f}</span>"


def _said(rows: pd.DataFrame) -> list[str]:
    return [valued(*numbers) for numbers in rows[["value", "low", "high"]].to_numpy(float)]


def _marks(add: Any, rows: pd.DataFrame, name: Any, marker: dict[str, Any], colour: str, **options: Any) -> None:
    """Add rows of tick, value, low and high by a figure's `add_bar` or `add_scatter`."""
    ticks, more, less = rows["tick"].map(escaped), rows["high"] - rows["value"], rows["value"] - rows["low"]
    add(x=rows["value"], y=ticks, orientation="h", name=escaped(name), marker=marker,
        customdata=ticks + ": " + _said(rows) + rows.get("count", ""), hovertemplate="%{customdata}<extra>%{fullData.name}</extra>",
        error_x={"array": more, "arrayminus": less, "color": colour, "thickness": 1.3, "width": 3}, **options)  # fmt: skip


def _baselines(add: Any, values: Mapping[str, float] | None, apart: int = 0, **options: Any) -> list[str]:
    """Add named lines by a figure's `add_hline` or `add_vline`, names `apart` so many pixels; names and values in words."""
    c, words = colours(), []
    for name, value in (values or {}).items():
        words.append(f"{plain(name)} {number(value)}")
        note = {"text": escaped(words[-1]), "font": {"size": 11, "color": c.muted}, "yshift": apart * (len(words) - 1)}
        add(value, line={"color": c.control, "dash": "dot", "width": 1.5}, annotation=note, **options)
    return words


@dataclass(frozen=True, slots=True)
class Panel:
    """One vertical axis of `curves`: columns to draw with their names, its label with unit, values of horizontal lines by name."""

    lines: Mapping[str, str]
    label: str
    baselines: Mapping[str, float] | None = None


def curves(
    table: pd.DataFrame, *, x: str, y: Mapping[str, str] | Sequence[str] | Sequence[Panel], title: str, x_label: str = "", y_label: str = ""
) -> go.Figure:  # fmt: skip
    """A figure of lines over one column, each with a dash and a marker of its own, with named horizontal baselines in grey.

    Parameters
    ----------
    table, x, y
        One row a point, NaN where not measured; column of the horizontal axis; columns to draw, perhaps with names, or `Panel`s, stacked.
    """
    names = y if isinstance(y, Mapping) else {name: name for name in y if isinstance(name, str)}
    panels = [Panel(names, y_label or next(iter(names.values())))] if names else list(y)
    if not panels or not all(panel.lines for panel in panels):
        raise ValueError("Each panel must have at least one column to draw; received none. Pass y={column: name}.")
    check(table, numeric=[x, *(column for panel in panels for column in panel.lines)])
    c, fig, title, total = colours(), go.Figure(), plain(title, most=200), 280 * len(panels) - 30
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines.values()))
    said = [f"{sentence(title)} By {plain(x)}:"]
    for i, panel in enumerate(panels):
        words, axis, top, unit = [], f"y{i + 1}", 1 - 280 * i / total, escaped(panel.label)
        for column, name in panel.lines.items():
            part, look, label = table[table[column].notna()], names.index(name) % 6, escaped(name)
            fig.add_scatter(
                x=part[x], y=part[column], mode="lines+markers" if len(part) <= 60 else "lines", yaxis=axis, hovertemplate="%{y:.4g}",
                line={"color": c.lines[look], "dash": DASHES[look]}, marker={"symbol": MARKERS[look], "size": 7}, name=label,
                legendgroup=label, showlegend=label not in [trace.name for trace in fig.data])  # fmt: skip
            ends = (part.iloc[at] for at in (part[column].argmin(), part[column].argmax()))
            low, high = (f"{number(row[column])} at {number(row[x])}" for row in ends)
            words.append(f"{plain(name)} lowest {low}, highest {high}")
        words += _baselines(fig.add_hline, panel.baselines, yref=axis, annotation_position="top right")
        said.append(f"{plain(panel.label)}: {'; '.join(words)}.")
        fig.layout[f"yaxis{i + 1}"] = {"domain": [max(0, top - 250 / total), top], "showgrid": True, "title_text": unit}
    each = pd.api.types.is_integer_dtype(table[x]) and np.ptp(table[x]) <= 14  # there is no layer 0.5
    fig.update_xaxes(anchor=axis, title_text=escaped(x_label or x), exponentformat="SI", dtick=1 if each else None)
    return framed(fig, title=title, alt=" ".join(said), height=total, above=10 * (len(names) > 1), hovermode="x unified",
                  hoversubplots="axis", showlegend=len(names) > 1, legend=LEGEND)  # fmt: skip


class LiveCurves:
    """Curves that take a row at a time: redrawn in place while somebody watches in JupyterLab, shown once at the end elsewhere.

    Parameters
    ----------
    y, **options
        `Panel`s, and x, title and x_label, as in `curves`.
    smooth, every
        Columns shown as the mean over the last fiftieth of the rows, as single steps are noisy; seconds between two drawings.
    """

    def __init__(self, *, y: Sequence[Panel], smooth: Sequence[str] = (), every: float = 5.0, **options: str) -> None:
        self._panels, self._smooth, self._every, self._options = y, list(smooth), every, options
        self._rows, self._place, self._drawn_at = list[Mapping[str, Any]](), None, float("-inf")

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one row, and redraw when somebody watches and the last drawing is old enough."""
        from ntviz.plot.live import attended

        self._rows.append(dict(row))
        if attended() and time.monotonic() - self._drawn_at >= self._every:
            self.draw()
            self._drawn_at = time.monotonic()

    def draw(self) -> None:
        """Show the present state in a kernel, always in the same place; call it after the last row."""
        from IPython.core.getipython import get_ipython
        from IPython.display import display

        if self._place is not None:
            self._place.update(show.bundle(self.figure), raw=True)
        elif self._rows and get_ipython() is not None:
            if show.Renderer.first():
                # An output of its own: the figure comes again, and would bring 2 MB each time.
                display({"text/html": show.carrier(), "text/plain": ""}, raw=True)
            self._place = display(show.bundle(self.figure), raw=True, display_id=True)

    @property
    def figure(self) -> go.Figure:
        """The curves so far; panels of which no value came yet are left out."""
        if not self._rows:
            raise ValueError("Live curves must have at least one row; received none. Call add(row) first.")
        table = pd.DataFrame(self._rows)
        table[self._smooth] = table[self._smooth].rolling(max(1, len(table) // 50), min_periods=1).mean()
        known = table.columns[table.notna().any()]
        drawn = [(panel, {column: name for column, name in panel.lines.items() if column in known}) for panel in self._panels]  # fmt: skip
        return curves(table, y=[replace(panel, lines=lines) for panel, lines in drawn if lines], **self._options)


def bars(
    table: pd.DataFrame, *, category: str, value: str, title: str, label: str = "", low: str | None = None, high: str | None = None,
    n: str | None = None, series: str | None = None, baselines: Mapping[str, float] | None = None, error_label: str = "", zero: bool = True,
) -> go.Figure:  # fmt: skip
    """A figure of horizontal bars, one a category in the order of the table, with intervals and the value as text.

    Parameters
    ----------
    table, category, value, low, high, n, series
        One row a bar; columns of its name, of its length, of the ends of its interval (NaN: none), of the number of observations,
        and of what splits each category, such as a model and its control.
    title, label, error_label, baselines, zero
        What is shown; of the axis, with its unit; what the intervals are; values of vertical lines by name; whether the axis starts
        at zero, as bars must: False draws points on an axis that shows the differences.

    >>> table = pd.DataFrame({"element": ["exon", "intron"], "loss": [7.5, 7.2]})
    >>> bars(table, category="element", value="loss", label="loss, nats", title="Loss by element").layout.meta["alt"]
    'Loss by element. loss, nats: exon 7.5; intron 7.2.'
    """
    keys, ends = [category, *filter(None, [series])], [*filter(None, [low, high])]
    if len(ends) == 1:
        raise ValueError("Intervals must have two ends; received one of low= and high=. Pass both.")
    check(table, keys=keys, numeric=[value, *ends, *filter(None, [n])])
    rows = pd.DataFrame({
        "tick": table[category].astype(str), "series": table[series].astype(str) if series else "", "value": table[value],
        "low": table[low] if low else np.nan, "high": table[high] if high else np.nan,
        "count": table[n].map(", n = {:,.0f}".format) if n else "", "label": table[n].map(_count) if n else ""})  # fmt: skip
    outside = (rows["low"] > rows["value"] + 1e-9) | (rows["high"] < rows["value"] - 1e-9)
    refuse(table[~np.isfinite(rows["value"])], [value, category], "Each bar must have a finite value; received {}. Drop it.")  # fmt: skip
    refuse(table[outside], [value, *ends, category], "An interval must hold its value; received {}. Check it.")
    c, fig, title, label = colours(), go.Figure(), plain(title, most=200), plain(label or value)
    for i, (name, part) in enumerate(rows.groupby("series", sort=False)):
        colour, name = c.lines[i % 6], name or value
        if zero:
            pattern = {"shape": ["", "/", ".", "x"][i % 4], "fillmode": "overlay", "fgopacity": 0.4}
            _marks(fig.add_bar, part, name, {"color": colour, "pattern": pattern}, c.ink, text=part["value"].map(number),
                   textposition="inside" if low else "outside", insidetextanchor="middle", insidetextfont={"color": c.paper})  # fmt: skip
        else:
            marker = {"color": colour, "symbol": MARKERS[i % 6], "size": 9}
            _marks(fig.add_scatter, part, name, marker, colour, mode="markers")
    lines, first = _baselines(fig.add_vline, baselines, 14, annotation_position="top"), rows.drop_duplicates("tick")
    height, ticks = max(90, len(first) * (16 + 18 * len(fig.data))) + 20, first["tick"].map(escaped)
    fig.update_yaxes(type="category", tickvals=ticks, ticktext=ticks + first["label"], autorange="reversed", ticks="")
    reach = np.nanquantile([*np.ravel(rows[["value", "low", "high"]]), *(baselines or {}).values()], [0, 1])
    reach = None if zero else reach + np.array([-0.06, 0.06]) * (np.ptp(reach) or 1)
    fig.update_xaxes(title_text=escaped(label), showgrid=True, rangemode="tozero", range=reach)
    words = rows["series"].map(plain) + " " + (_said(rows) if len(rows) <= 12 else rows["value"].map(number))
    parts = words.str.strip().groupby(rows["tick"], sort=False)
    said = "; ".join(f"{plain(tick)} {', '.join(part)}" for tick, part in parts)
    return framed(
        fig, title=title, subtitle=error_label, alt=f"{sentence(title)} {label}: {said}." + f" {listing(lines, most=6)}." * bool(lines),
        height=height, barmode="group", bargap=0.25, above=16 * len(lines) + 16 * bool(series), scattermode="group", scattergap=0.4,
        showlegend=bool(series), legend={**LEGEND, "y": 1 + (4 * bool(lines) + 14 * len(lines)) / height})  # fmt: skip


def leaderboard(
    tasks: pd.DataFrame, overall: pd.DataFrame, *, title: str, label: str = "Matthews' correlation (MCC)", focus: str = ""
) -> go.Figure:  # fmt: skip
    """A figure of panels, one for all tasks and one a task, each with a point and its interval an entry, best first.

    Parameters
    ----------
    tasks, overall
        One row a task and entry: task, entry, value, low, high, and where known n_test, `twin` (what the entry's randomly initialised
        model reached, a hollow diamond) and `permuted_high` (what it reached at most with permuted labels, a tick); entry, value, low
        and high of the first panel, which orders the entries.
    title, label, focus
        What is shown; of the horizontal axes; entries whose name begins with this are drawn in the accent colour.
    """
    check(tasks, keys=["entry", "task"], columns=["value", "low", "high"])
    means = overall.set_index("entry")["value"].sort_values(ascending=False, kind="stable")
    panels = [("All tasks, mean", overall), *tasks.groupby("task", sort=False)]
    counts = ["", *(_count(part["n_test"].iloc[0]) if "n_test" in part else "" for _, part in panels[1:])]
    heads = [escaped(str(name).replace("_", " ")) + count for (name, _), count in zip(panels, counts, strict=True)]
    c, title, down = colours(), plain(title, most=200), -(-len(panels) // 3)
    total = down * (22 * len(means) + 80) - 70
    fig = make_subplots(down, min(3, len(panels)), shared_yaxes=True, vertical_spacing=70 / total * (down > 1),
                        horizontal_spacing=0.03, subplot_titles=heads)  # fmt: skip
    controls = {"twin": "randomly initialised model", "permuted_high": "permuted labels, at most"}
    for i, (name, part) in enumerate(panels):
        place, rows = {"mode": "markers", "row": i // 3 + 1, "col": i % 3 + 1}, part.rename(columns={"entry": "tick"})
        for key, what in controls.items():
            if key in rows and rows[key].notna().any():
                values = rows.assign(value=rows[key], low=np.nan, high=np.nan)
                marker = {"symbol": "diamond-open" if key == "twin" else "line-ns-open", "color": c.control, "size": 9}
                _marks(fig.add_scatter, values, what, marker, c.control, legendgroup=what,
                       showlegend=what not in [trace.name for trace in fig.data], **place)  # fmt: skip
        mine = rows["tick"].astype(str).str.startswith(focus) & bool(focus)
        marker = {"color": np.where(mine, c.accent, c.ink), "symbol": np.where(mine, "square", "circle"), "size": 8}
        _marks(fig.add_scatter, rows, name, marker, c.muted, showlegend=False, **place)
    fig.update_yaxes(type="category", categoryarray=list(map(escaped, means.index[::-1])), ticks="", showgrid=True)
    fig.update_xaxes(zeroline=True, showgrid=True, matches="x", rangemode="tozero")
    fig.update_xaxes(title_text=escaped(label), row=down).update_annotations(font={"size": 12})
    said = [f"{plain(entry)} {number(mean)}" for entry, mean in means.items()]
    best = tasks.sort_values("value", ascending=False).dropna(subset="value").drop_duplicates("task").sort_index()
    wins = [f"{plain(row.task)}: {plain(row.entry)} {number(row.value)}" for row in best.itertuples()]
    alt = f"{sentence(title)} {plain(label)}, mean over tasks: {listing(said, most=6)}. Best in each task: {'; '.join(wins)}."
    return framed(fig, title=title, alt=alt, height=total, above=36, legend={**LEGEND, "yref": "container", "yanchor": "top"})  # fmt: skip


def token_strip(tokens: Tokens | Mapping[str, Tokens], *, title: str) -> go.Figure:
    """A figure of a sequence of at most 240 bp above its tokens, with text and id, or above several tokenizations of it by name."""
    rows = dict(tokens) if isinstance(tokens, Mapping) else {tokens.vocabulary.name: tokens}
    sequences = list({made.sequence for made in rows.values()})
    n = max(map(len, sequences), default=0)
    if len(sequences) != 1 or not 0 < n <= LONGEST:
        raise ValueError(f"Tokens must be of one sequence of 1 to {LONGEST} bases; received {len(sequences)} of up to {n:,}.")  # fmt: skip
    c, fig, title, room = colours(), go.Figure(), plain(title, most=200), max(1.5, n / 18)
    said, bases = [f"{sentence(title)} {n:,} bases."], list(sequences[0])
    lanes = [("sequence", bases, np.arange(n), np.arange(1, n + 1), [c.bases[base] for base in bases], c.paper)]
    for name, made in rows.items():
        # Special tokens have no bases: they stand before the first.
        special, (start, end) = made.is_special, made.spans.T
        left = np.where(special, -room * np.cumsum(special), start)
        texts = [f"{escaped(text)}<br>{token}" for text, token in zip(made.strings, made.ids, strict=True)]
        fill = np.where(special, c.paper, np.where(np.arange(len(made)) % 2, c.accent_pale, c.faint))
        lanes.append((name, texts, left, np.where(special, left + room, end), fill, c.ink))
        sizes = zip(*np.unique((end - start)[~special], return_counts=True), strict=True)
        tiles, before = [f"{count} × {size}" for size, count in sizes], f", {made.strings[0]} first" * bool(special[0])
        said.append(f"{plain(name)}: {len(made):,} tokens{before}, of {listing(tiles[::-1])} bp.")
    for row, (name, texts, left, right, fill, ink) in enumerate(lanes):
        places = [span(int(a), int(b)) if a >= 0 else "special token" for a, b in zip(left, right, strict=True)]
        fig.add_bar(
            x=(left + right + 1) / 2, y=[0.8] * len(texts), base=row - 0.4, width=right - left - 0.1, name=escaped(name), text=texts,
            textposition="inside", insidetextanchor="middle", textangle=0, textfont={"color": ink, "size": 12, "family": "monospace"},
            hovertext=[f"{text.replace('<br>', ', id ')}, {place}" for text, place in zip(texts, places, strict=True)],
            hovertemplate="%{hovertext}<extra>%{fullData.name}</extra>", marker={"color": fill, "line": {"color": c.muted, "width": 0.8}},
        )  # fmt: skip
    first, step, names = min(lane[2].min() for lane in lanes), 5 * -(-n // 60), [escaped(lane[0]) for lane in lanes]
    fig.update_xaxes(range=[first + 0.5, n + 0.5], tickvals=np.arange(n + 1)[step::step], title_text="position, 1-based")  # fmt: skip
    fig.update_yaxes(range=[row + 0.55, -0.55], ticktext=names, tickvals=np.arange(len(lanes)), ticks="", showline=False)  # fmt: skip
    return framed(fig, title=title, alt=" ".join(said), height=52 * len(lanes), showlegend=False, bargap=0,
                  dragmode="pan", uniformtext={"minsize": 8, "mode": "hide"})  # fmt: skip


def embedding_map(maps: Any, panels: Sequence[str] | None = None, *, title: str = "") -> go.Figure:
    """A figure of windows as points, coloured and shaped by element, a panel a layer or baseline; the legend hides elements in all.

    Numbers over a panel say how well elements keep together in the vectors, which is what counts, with what 95 % of random
    labels reach at most, and in the map, which is what is seen. `maps` are of `embeddings.by_layer`, `panels` names of some: the
    first, middle and last layer and the controls when None.
    """
    names = maps.panels["panel"].astype(str).tolist()
    if panels is None:
        source = maps.panels["source"]
        own, twins, counts = (np.flatnonzero(source == of).tolist() for of in ("model", "twin", "counts"))
        rows = [*sorted({own[i] for i in (0, len(own) // 2, -1) if own}), *twins[-1:], *counts]
    elif len(panels) and set(panels) <= set(names):
        rows = [names.index(name) for name in panels]
    else:
        raise ValueError(f"Panels must be names of maps, one or more of {', '.join(names)}; received {list(panels)}.")
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
    hover = np.array([_window(row) for row in windows.to_dict("records")], dtype=object)
    for i, place in enumerate(places):
        at = {"row": i // across + 1, "col": i % across + 1}
        for index, element in enumerate(elements):
            here = labels == element
            name = f"{element_name(element)}: {int(here.sum()):,}, GC {100 * windows['gc'][here].mean():.0f} %"
            marker = {"color": c.lines[index % 6], "symbol": MARKERS[(index + index // 6) % 6], "size": 6, "opacity": 0.85}  # fmt: skip
            fig.add_scatter(x=place[here, 0], y=place[here, 1], mode="markers", name=escaped(name), marker=marker, text=hover[here],
                            legendgroup=escaped(element), showlegend=i == 0, hovertemplate="%{text}<extra></extra>", **at)  # fmt: skip
        # One unit is as long across as up.
        fig.update_yaxes(scaleanchor=f"x{i + 1}" if i else "x", **at)
    look = {"showticklabels": False, "ticks": "", "mirror": True, "linecolor": c.faint, "constrain": "range"}
    fig.update_xaxes(look).update_yaxes(look).update_annotations(font_size=12, yshift=4)
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
    rows = rows[(rows["panel"] == panel) & (rows["measure"] == measure) & (rows["element"] == "all")].set_index("space")
    value, high = (rows[column].get("vectors", np.nan) for column in ("value", "null_high"))
    if not np.isfinite(value):
        return f"{measure}: no value", "no value"
    chance, drawn = "" if value > high else ", as with random labels", rows["value"].get("map", np.nan)
    text = f"{measure} {value:z.2f} (random labels {high:z.2f}), in the map {drawn:z.2f}".replace("nan", "no value")
    return text.replace("-", "−"), f"{number(round(value, 2))} ({number(round(drawn, 2))} in the map{chance})"


def _window(row: dict[Any, Any]) -> str:
    strand = {"+": " (+)", "-": " (−)"}.get(row["strand"], "")
    parts = [f"{browser_contig(str(row['chrom']))}:{span(row['start'], row['end'])}{strand}", element_name(row["element"]),
             f"gene: {row['gene']}" * bool(row["gene"]), f"GC {100 * row['gc']:.0f} %"]  # fmt: skip
    return "<br>".join(escaped(part) for part in parts if part)
