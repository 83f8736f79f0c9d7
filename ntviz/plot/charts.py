"""Charts: lines over a column, also while a training run goes on; bars with intervals; leaderboards; tokens of a short sequence."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ntviz.genome import Interval
from ntviz.plot.theme import DASHES, MARKERS, colours, framed
from ntviz.plot.words import escaped, listing, number, plain, sentence, span
from ntviz.tokens import Tokens

_LEGEND = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 1, "xanchor": "right"}


def _check(table: pd.DataFrame, numeric: Sequence[str], others: Sequence[str] = ()) -> None:
    """Raise a ValueError for columns that are not there, or that are not numeric or without a finite value."""
    missing = [column for column in (*numeric, *others) if column not in table.columns]
    if missing:
        raise ValueError(
            f"The table must have the columns {', '.join([*numeric, *others])}; it lacks {', '.join(missing)}, and has "
            f"{', '.join(map(str, table.columns[:12]))}. Choose among its columns."
        )
    for column in numeric:
        if not pd.api.types.is_numeric_dtype(table[column]) or not np.isfinite(table[column].to_numpy(float)).any():
            raise ValueError(f"The column {column!r} must have numbers; received none that is finite. Convert it, or leave it out.")


@dataclass(frozen=True, slots=True)
class Panel:
    """One vertical axis of `curves`.

    Parameters
    ----------
    lines
        Columns of the table to draw, and the name of each on the figure.
    label
        Of the vertical axis, with its unit.
    baselines
        Names and values of horizontal lines: what a simple method reaches.
    """

    lines: Mapping[str, str]
    label: str
    baselines: Mapping[str, float] | None = None


def curves(
    table: pd.DataFrame,
    *,
    x: str,
    y: Mapping[str, str] | Sequence[str] | Sequence[Panel],
    title: str,
    x_label: str = "",
    y_label: str = "",
    baselines: Mapping[str, float] | None = None,
    x_log: bool = False,
    panel_height: int = 250,
) -> go.Figure:
    """A figure of lines over one column, each with a dash and a marker of its own, with named horizontal baselines in grey.

    Parameters
    ----------
    table
        One row a point. A NaN is a point that was not measured: the line joins its neighbours.
    x
        Column of the horizontal axis.
    y
        Columns to draw: their names, a mapping from column to the name on the figure, or a list of `Panel`s, which
        are stacked over one horizontal axis.
    title
        Says what the figure shows.
    x_label, y_label
        Of the axes, with units; the column's name when empty. `y_label` is for a single panel.
    baselines
        Names and values of horizontal lines, for a single panel.
    x_log
        Whether the horizontal axis is logarithmic; rows with x <= 0 are then left out.
    panel_height
        Pixels.

    Raises
    ------
    ValueError
        If a column is missing, not numeric, or empty of finite values.

    Examples
    --------
    >>> table = pd.DataFrame({"step": [1, 2, 3], "loss": [8.0, 7.6, 7.5]})
    >>> curves(table, x="step", y=["loss"], y_label="loss, nats", title="Training").layout.meta["alt"]
    'Training. loss from 8 to 7.5 (lowest 7.5 at step 3).'
    """
    y = [y] if isinstance(y, str) else y
    panels = [panel for panel in y if isinstance(panel, Panel)]
    if panels and (len(panels) < len(y) or baselines):
        raise ValueError("Panels must carry their own columns and baselines; received some beside them. Put all into Panel(lines, label, baselines).")
    if not panels:
        lines = {str(column): str(name) for column, name in (y.items() if isinstance(y, Mapping) else zip(y, y, strict=True))}
        panels = [Panel(lines, y_label or next(iter(lines.values()), ""), baselines)]
    if not all(panel.lines for panel in panels):
        raise ValueError("Each panel must have at least one column to draw; received none. Pass y=[...].")
    _check(table, [x, *(column for panel in panels for column in panel.lines)])
    table = table[table[x] > 0] if x_log else table
    c, n, fig, said = colours(), len(panels), go.Figure(), []
    total = n * panel_height + 30 * (n - 1)
    looks = {name: i % 6 for i, name in enumerate(dict.fromkeys(name for panel in panels for name in panel.lines.values()))}
    for i, panel in enumerate(panels):
        words, axis, top = [], str(i + 1) if i else "", 1 - i * (panel_height + 30) / total
        for column, name in panel.lines.items():
            part, look = table[table[column].notna()], looks[name]
            fig.add_scatter(
                x=part[x], y=part[column], name=escaped(name), mode="lines+markers" if len(part) <= 60 else "lines", yaxis=f"y{axis}", hovertemplate="%{y:.4g}",
                line={"color": c.lines[look], "dash": DASHES[look], "width": 2}, marker={"symbol": MARKERS[look], "size": 7},
                legendgroup=escaped(name), showlegend=escaped(name) not in [trace.name for trace in fig.data],
            )  # fmt: skip
            words.append(_trend(part[x].to_numpy(float), part[column].to_numpy(float), name, x))
        for name, value in (panel.baselines or {}).items():
            fig.add_shape(type="line", xref="paper", x0=0, x1=1, yref=f"y{axis}", y0=value, y1=value, line={"color": c.control, "dash": "dot", "width": 1.5})
            fig.add_annotation(xref="paper", x=1, xanchor="right", yref=f"y{axis}", y=value, yanchor="bottom", text=f"{escaped(name)} {number(value)}", showarrow=False, font={"size": 11, "color": c.muted})
            # The axis must hold what lines are compared with.
            fig.add_scatter(x=table[x].iloc[:1], y=[value], mode="markers", marker={"opacity": 0}, hoverinfo="skip", showlegend=False, yaxis=f"y{axis}")
            words.append(f"{plain(name)} {number(value)}")
        said.append((f"{plain(panel.label)}: " if n > 1 or len(panel.lines) > 1 else "") + "; ".join(words) + ".")
        fig.layout[f"yaxis{axis}"] = {"domain": [max(0.0, top - panel_height / total), top], "title": {"text": escaped(panel.label)}, "showgrid": True}
    large = float(table[x].max()) >= 1e5 and not x_log
    fig.update_xaxes(anchor=f"y{n if n > 1 else ''}", title_text=escaped(x_label or x), type="log" if x_log else "linear", tickformat="~s" if large else "", hoverformat="," if large else "",
                     dtick=1 if pd.api.types.is_integer_dtype(table[x]) and np.ptp(table[x]) <= 14 and not x_log else None)  # fmt: skip
    return framed(fig, title=plain(title, most=200), alt=" ".join([sentence(plain(title, most=200)), *said]), height=total, above=10 * (len(looks) > 1),
                  hovermode="x unified", hoversubplots="axis", showlegend=len(looks) > 1, legend=_LEGEND)  # fmt: skip


def _trend(x: np.ndarray, y: np.ndarray, name: str, axis: str) -> str:
    if not len(y):
        return f"{plain(name)} without values"
    best, word = (int(y.argmin()), "lowest") if y[-1] <= y[0] else (int(y.argmax()), "highest")
    return f"{plain(name)} from {number(float(y[0]))} to {number(float(y[-1]))} ({word} {number(float(y[best]))} at {plain(axis)} {number(float(x[best]))})"


class LiveCurves:
    """Curves that take a row at a time: redrawn in place in a live JupyterLab, shown once at the end elsewhere.

    Parameters
    ----------
    x, y, title, x_label
        As in `curves`.
    smooth
        Columns shown as the mean over the last fiftieth of the rows: single steps are noisy.
    every
        Seconds between two drawings.

    Examples
    --------
    >>> live = LiveCurves(x="step", y=[Panel({"loss": "training"}, "loss, nats")], title="A run")
    >>> live.add({"step": 1, "loss": 8.0})
    >>> live.add({"step": 2, "loss": 7.0})
    >>> live.figure.layout.meta["alt"]
    'A run. training from 8 to 7 (lowest 7 at step 2).'
    """

    def __init__(self, *, x: str, y: Sequence[Panel], title: str, x_label: str = "", smooth: Sequence[str] = (), every: float = 5.0) -> None:
        self._x, self._y, self._title, self._x_label = x, list(y), title, x_label
        self._smooth, self._every = tuple(smooth), every
        self._rows: list[Mapping[str, Any]] = []
        self._live: Any = None
        self._place: Any = None
        self._drawn_at = float("-inf")

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one row, and redraw when somebody watches and the last drawing is old enough."""
        from ntviz.plot.live import Live, attended

        self._rows.append(dict(row))
        if not attended() or time.monotonic() - self._drawn_at < self._every:
            return
        if self._live is None:
            from IPython.display import display

            self._live = Live(self.figure)
            view = {"model_id": self._live.model_id, "version_major": 2, "version_minor": 0}
            self._place = display({"application/vnd.jupyter.widget-view+json": view, "text/plain": ""}, raw=True, display_id=True)
        else:
            self._live.show(self.figure, whole=True)
        self._drawn_at = time.monotonic()

    def draw(self) -> None:
        """Show the last state as a figure that stays in the notebook; call it after the last row."""
        from IPython.core.getipython import get_ipython

        if self._live is not None:
            self._place.update({"text/plain": ""}, raw=True)
            self._live.close()
            self._live = None
        if self._rows and get_ipython() is not None:
            self.figure.show()

    @property
    def figure(self) -> go.Figure:
        """The curves so far; panels of which no value came yet are left out.

        Raises
        ------
        ValueError
            If no row came yet.
        """
        table = pd.DataFrame(self._rows)
        if table.empty:
            raise ValueError("Live curves must have at least one row to be drawn; received none. Call add(row) first.")
        for column in self._smooth:
            table[column] = table[column].rolling(max(1, len(table) // 50), min_periods=1).mean()
        known = [{c: name for c, name in panel.lines.items() if c in table and table[c].notna().any()} for panel in self._y]
        panels = [Panel(lines, panel.label, panel.baselines) for lines, panel in zip(known, self._y, strict=True) if lines]
        return curves(table, x=self._x, y=panels, title=self._title, x_label=self._x_label)


# Bars and leaderboards ------------------------------------------------------------------------------------------------


def bars(
    table: pd.DataFrame,
    *,
    category: str,
    value: str,
    title: str,
    label: str = "",
    low: str | None = None,
    high: str | None = None,
    n: str | None = None,
    series: str | None = None,
    baselines: Mapping[str, float] | None = None,
    error_label: str = "",
    zero: bool = True,
) -> go.Figure:
    """A figure of horizontal bars, one a category in the order of the table, with intervals and the value as text.

    Parameters
    ----------
    table
        One row a bar.
    category, value
        Columns of the name and of the length of each bar.
    title
        Says what the figure shows.
    label
        Of the horizontal axis, with its unit; the column's name when empty.
    low, high
        Columns of the two ends of each interval, on the scale of the value; NaN for a bar without one. Give both
        or neither.
    n
        Column of the number of observations, written beside the category.
    series
        Column that splits each category into several bars, such as a model and its control.
    baselines
        Names and values of vertical lines.
    error_label
        What the intervals are, such as "95 % interval by bootstrap"; written under the title.
    zero
        Whether the axis starts at zero, as bars must. False draws points on an axis that shows the differences.

    Raises
    ------
    ValueError
        If a column is missing, a value is not finite, an interval does not hold its value, or a category comes twice
        within a series.

    Examples
    --------
    >>> table = pd.DataFrame({"element": ["exon", "intron"], "loss": [7.5, 7.2]})
    >>> bars(table, category="element", value="loss", label="loss, nats", title="Loss by element").layout.meta["alt"]
    'Loss by element. loss, nats: exon 7.5; intron 7.2.'
    """
    if (low is None) != (high is None):
        raise ValueError("Intervals must have two ends; received one of low= and high=. Pass both.")
    columns = [name for name in (category, series) if name is not None]
    _check(table, [value, *(name for name in (low, high, n) if name is not None)], columns)
    if not np.isfinite(table[value]).all():
        row = table[~np.isfinite(table[value])].iloc[0]
        raise ValueError(f"Each bar must have a finite value; received {row[value]} for {plain(row[category])!r}. Leave the row out, and say so.")
    if table.duplicated(columns).any():
        row = table[table.duplicated(columns)].iloc[0]
        raise ValueError(f"A category must come once within a series; received {plain(row[category])!r} again. Pass series=, or aggregate first.")
    if low is not None and ((table[low] > table[value] + 1e-9) | (table[high] < table[value] - 1e-9)).any():
        row = table[(table[low] > table[value]) | (table[high] < table[value])].iloc[0]
        raise ValueError(f"An interval must hold its value; received {row[value]} outside {row[low]} to {row[high]} for {plain(row[category])!r}. Check the columns.")
    c, fig = colours(), go.Figure()
    names = [escaped(name) for name in dict.fromkeys(table[category].astype(str))]
    parts = [("", table)] if series is None else [(str(name), part) for name, part in table.groupby(series, sort=False, observed=True)]
    words: dict[str, list[str]] = {}
    for i, (name, part) in enumerate(parts):
        ticks = part[category].astype(str)
        texts = [number(float(one)) for one in part[value]]
        counted = ticks if n is None else [f"{tick}, n = {int(count):,}" for tick, count in zip(ticks, part[n], strict=True)]
        error = {} if low is None else {"error_x": {"type": "data", "symmetric": False, "array": part[high] - part[value], "arrayminus": part[value] - part[low],
                                                    "color": c.ink if zero else c.lines[i % 6], "thickness": 1.4, "width": 4}}  # fmt: skip
        ends = [""] * len(part) if low is None else [f" ({number(float(a))} to {number(float(b))})" if a == a and b == b else "" for a, b in zip(part[low], part[high], strict=True)]
        hover = {"customdata": [f"{escaped(tick)}: {text}{end}" for tick, text, end in zip(counted, texts, ends, strict=True)],
                 "hovertemplate": "%{customdata}<extra>%{fullData.name}</extra>", "name": escaped(name or value)}  # fmt: skip
        if zero:
            fig.add_bar(y=ticks.map(escaped), x=part[value], orientation="h", marker={"color": c.lines[i % 6], "pattern": {"shape": ("", "/", ".", "x")[i % 4], "fillmode": "overlay", "fgcolor": c.paper, "fgopacity": 0.4, "size": 6}}, text=texts,
                        textposition="inside" if low is not None else "outside", insidetextanchor="middle", **error, **hover)  # fmt: skip
        else:
            rows = np.array([names.index(escaped(tick)) for tick in ticks]) + (i - (len(parts) - 1) / 2) * 0.22
            fig.add_scatter(y=rows, x=part[value], mode="markers", marker={"color": c.lines[i % 6], "symbol": MARKERS[i % 6], "size": 9}, **error, **hover)
        for tick, text, end in zip(ticks, texts, ends, strict=True):
            words.setdefault(plain(tick), []).append((f"{plain(name)} " if name else "") + text + end * (len(table) <= 12))
    height = max(90, len(names) * (16 + 18 * len(parts))) + 20
    for name, at in (baselines or {}).items():
        fig.add_vline(x=at, line={"color": c.control, "dash": "dot", "width": 1.5}, annotation={"text": f"{escaped(name)} {number(at)}", "font": {"size": 11, "color": c.muted}, "yanchor": "bottom"}, annotation_position="top")  # fmt: skip
        fig.add_scatter(x=[at], y=[names[0] if zero else 0], mode="markers", marker={"opacity": 0}, hoverinfo="skip", showlegend=False)
    counts = table.groupby(category, sort=False)[n].max() if n is not None else None
    ticks = [name if counts is None else f"{name}<br><span style='font-size:10px;color:{c.muted}'>n = {int(counts.iloc[i]):,}</span>" for i, name in enumerate(names)]
    fig.update_yaxes(tickvals=names if zero else list(range(len(names))), ticktext=ticks, autorange="reversed", ticks="", type="category" if zero else "linear")
    fig.update_xaxes(title_text=escaped(label or value), showgrid=True, rangemode="tozero" if zero else "normal")
    said = "; ".join(f"{name} {', '.join(texts)}" for name, texts in words.items())
    base = f" {listing([f'{plain(name)} {number(at)}' for name, at in baselines.items()], most=6)}." if baselines else ""
    return framed(
        fig, title=plain(title, most=200), subtitle=error_label, alt=f"{sentence(plain(title, most=200))} {plain(label or value)}: {said}.{base}",
        height=height, above=16 * bool(baselines) + 16 * (series is not None), showlegend=series is not None, bargap=0.25,
        legend={**_LEGEND, "y": 1 + 18 / height if baselines else 1},
    )  # fmt: skip


def leaderboard(
    tasks: pd.DataFrame,
    overall: pd.DataFrame | None = None,
    *,
    title: str,
    label: str = "Matthews' correlation (MCC)",
    focus: str = "",
    columns: int = 3,
) -> go.Figure:
    """A figure of panels, one for all tasks and one a task, each with a point and its interval an entry, best first.

    Parameters
    ----------
    tasks
        One row a task and entry: columns task, entry, value, low, high; and, where there are, category, metric, n_test,
        `twin` (what the entry's randomly initialised model reached, a hollow diamond) and `permuted_high` (what it reached
        with permuted labels at most, a tick).
    overall
        Columns entry, value, low, high: the panel of all tasks, and the order of entries in every panel. Default: the
        order of their means, and no such panel.
    title
        Says what the figure shows.
    label
        Of the horizontal axes, where the tasks have one metric.
    focus
        Entries whose name begins with this are drawn in the accent colour.
    columns
        Panels beside each other.

    Raises
    ------
    ValueError
        A column is missing, there is no row, or an entry stands twice in a task.
    """
    needed = ("task", "entry", "value", "low", "high")
    missing = [name for name in needed if name not in tasks]
    if missing or tasks.empty:
        raise ValueError(f"Tasks must have rows with {', '.join(needed)}; received {len(tasks)} rows without {', '.join(missing) or 'any of them'}. Pass benchmark.leaderboard(...).tasks.")
    if tasks.duplicated(["task", "entry"]).any():
        row = tasks[tasks.duplicated(["task", "entry"])].iloc[0]
        raise ValueError(f"An entry must stand once in a task; received {plain(row['entry'])!r} again in {plain(row['task'])!r}. Choose one of them.")
    means = tasks.groupby("entry", sort=False)["value"].mean() if overall is None else overall.set_index("entry")["value"]
    entries = [str(name) for name in means.sort_values(ascending=False, kind="stable").index]
    panels = [] if overall is None else [("All tasks, mean", overall)]
    panels += [(str(name), part) for name, part in tasks.groupby("task", sort=False)]
    c = colours()
    across, down = min(columns, len(panels)), -(-len(panels) // columns)
    deep, gap = 22 * len(entries) + 10, 70
    total = down * deep + (down - 1) * gap
    fig = make_subplots(down, across, shared_yaxes=True, subplot_titles=[escaped(name.replace("_", " ")) for name, _ in panels],
                        vertical_spacing=gap / total if down > 1 else 0, horizontal_spacing=0.03)  # fmt: skip
    kinds = [("twin", "randomly initialised model", {"symbol": "diamond-open", "color": c.control, "size": 9}),
             ("permuted_high", "permuted labels, at most", {"symbol": "line-ns-open", "color": c.control, "size": 10})]  # fmt: skip
    shown = set()
    for i, (name, part) in enumerate(panels):
        at = {"row": i // across + 1, "col": i % across + 1}
        for column, what, marker in kinds:
            if column in part and part[column].notna().any():
                fig.add_scatter(x=part[column], y=part["entry"].map(escaped), mode="markers", marker=marker, name=what, legendgroup=column, showlegend=column not in shown,
                                hovertemplate="%{y}: %{x:.3f}<extra>%{fullData.name}</extra>", **at)  # fmt: skip
                shown.add(column)
        mine = part["entry"].astype(str).str.startswith(focus) & bool(focus)
        ends = [f"{value:.3f}" + (f" ({low:.3f} to {high:.3f})" if low == low else "") for value, low, high in part[["value", "low", "high"]].to_numpy(float)]
        fig.add_scatter(
            x=part["value"], y=part["entry"].map(escaped), mode="markers", name=escaped(name), showlegend=False, customdata=ends,
            marker={"color": np.where(mine, c.accent, c.ink), "symbol": np.where(mine, "square", "circle"), "size": 8}, hovertemplate="%{y}: %{customdata}<extra>%{fullData.name}</extra>",
            error_x={"type": "data", "symmetric": False, "array": part["high"] - part["value"], "arrayminus": part["value"] - part["low"], "color": c.muted, "thickness": 1.2, "width": 3}, **at,
        )  # fmt: skip
        if "n_test" in part:
            fig.layout.annotations[i].text += f"<br><span style='font-size:10px;color:{c.muted}'>n = {int(part['n_test'].iloc[0]):,}</span>"
    fig.update_yaxes(type="category", categoryorder="array", categoryarray=[escaped(entry) for entry in reversed(entries)], ticks="", showgrid=True)
    fig.update_xaxes(zeroline=True, showgrid=True, matches="x", rangemode="tozero")
    for column in range(1, across + 1):
        fig.update_xaxes(title_text=escaped(label), row=down, col=column)
    fig.update_annotations(font={"size": 12})
    best = [f"{plain(entry)} {number(float(means[entry])) if np.isfinite(means[entry]) else 'not on every task'}" for entry in entries]
    wins = []
    for name, part in panels[overall is not None :]:
        if part["value"].notna().any():
            top = part.loc[part["value"].idxmax()]
            beside = [f"{what} {number(float(top[column]))}" for column, what, _ in kinds if column in part and pd.notna(top[column])]
            wins.append(f"{plain(name)}: {plain(top['entry'])} {number(float(top['value']))}" + (f" ({', '.join(beside)})" if beside else ""))
    return framed(
        fig, title=plain(title, most=200), alt=f"{sentence(plain(title, most=200))} {plain(label)}, mean over tasks: {listing(best, most=6)}. Best in each task: {'; '.join(wins)}.",
        height=total, above=36, showlegend=bool(shown), legend={**_LEGEND, "yref": "container", "yanchor": "top"},
    )  # fmt: skip


# Tokens ---------------------------------------------------------------------------------------------------------------

LONGEST = 240
"""bp of a token strip at most."""


def token_strip(tokens: Tokens | Mapping[str, Tokens], *, title: str, interval: Interval | None = None) -> go.Figure:
    """A figure of a short sequence above its tokens, each with its text and id where there is room, and in the hover.

    Parameters
    ----------
    tokens
        A tokenized sequence of at most 240 bp; or several tokenizations of the same sequence, by name, drawn beneath
        each other (other vocabularies, or the same one in another phase).
    title
        Says what the figure shows.
    interval
        Where the sequence lies on the genome; bases are then numbered by their 1-based position, else from 1.

    Raises
    ------
    ValueError
        If the sequence is too long, the tokenizations are not of one sequence, or the interval has another length.

    Examples
    --------
    >>> from ntviz.tokens import Tokenizer
    >>> token_strip(Tokenizer("nt-v1")("ATTCCGNA"), title="A toy sequence").layout.meta["alt"]
    'A toy sequence. 8 bases. nt-v1: 4 tokens, <cls> first, of 6 and 2 × 1 bp; 1 N.'
    """
    rows = dict(tokens) if isinstance(tokens, Mapping) else {tokens.vocabulary.name: tokens}
    sequences = {one.sequence for one in rows.values()}
    if len(sequences) != 1:
        raise ValueError(f"Tokenizations must be of one sequence; received {len(sequences)}. Tokenize the same text in each way.")
    bases = sequences.pop()
    if not 0 < len(bases) <= LONGEST:
        raise ValueError(f"A token strip must have 1 to {LONGEST} bases; received {len(bases):,}. Cut the sequence.")
    if interval is not None and len(interval) != len(bases):
        raise ValueError(f"The interval must have the {len(bases):,} bases of the sequence; received {interval.label()}, {len(interval):,} bp. Pass its interval.")
    c, fig = colours(), go.Figure()
    first = 1 if interval is None else interval.start + 1
    reverse = interval is not None and interval.strand == "-"
    at = np.arange(len(bases)) + first
    at = at[::-1] if reverse else at
    letters = {"textposition": "inside", "insidetextanchor": "middle", "textangle": 0, "textfont": {"color": c.ink, "size": 12}}
    fig.add_bar(x=at, y=[0.8] * len(bases), base=-0.4, width=0.94, marker={"color": [c.bases.get(base, c.muted) for base in bases]}, text=list(bases), name="sequence",
                hovertemplate="%{text} at %{x:,}<extra></extra>", **{**letters, "textposition": "none" if len(bases) <= 80 else "inside", "textfont": {"color": c.paper, "size": 12}})  # fmt: skip
    if len(bases) <= 80:  # beside bars, whose texts are all as small as the smallest
        fig.add_scatter(x=at, y=[0] * len(bases), text=list(bases), mode="text", textfont={"color": c.paper, "size": 13}, hoverinfo="skip")
    said, wide_special = [], max(1.5, len(bases) / 18)
    unknown = f"; {bases.count('N'):,} N" if "N" in bases else ""
    for row, (name, one) in enumerate(rows.items(), 1):
        inside = ~one.is_special
        spans, ids = one.spans[inside], one.ids[inside].tolist()
        texts = [bases[a:b] for a, b in spans.tolist()]
        wide = spans[:, 1] - spans[:, 0]
        left = first + len(bases) - spans[:, 1] if reverse else first + spans[:, 0]
        fig.add_bar(
            x=left + (wide - 1) / 2, y=[0.8] * len(texts), base=row - 0.4, width=wide - 0.12, name=escaped(name), text=[f"{text}<br>{token}" for text, token in zip(texts, ids, strict=True)],
            marker={"color": [(c.accent_pale, c.faint)[i % 2] for i in range(len(texts))], "line": {"color": c.muted, "width": 0.8}}, **letters,
            hovertext=[f"{text}, id {token}, {span(a - 1, a - 1 + w)}" for text, token, a, w in zip(texts, ids, left.tolist(), wide.tolist(), strict=True)],
            hovertemplate="%{hovertext}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
        if one.is_special.any():
            # Special tokens have no bases: they stand before the first.
            special = [f"{escaped(text)}<br>{token}" for text, token in zip(np.array(one.strings)[one.is_special], one.ids[one.is_special].tolist(), strict=True)]
            start = first + len(bases) - 0.5 if reverse else first - 0.5
            fig.add_bar(x=[start + (1 if reverse else -1) * wide_special * (i + 0.5) for i in range(len(special))], y=[0.8] * len(special), base=row - 0.4, width=wide_special * 0.9, text=special,
                        marker={"color": c.paper, "line": {"color": c.muted, "width": 0.8}, "pattern": {"shape": "/", "fgcolor": c.faint, "fillmode": "replace", "size": 5}},
                        hovertemplate="special token %{text}<extra></extra>", **letters)  # fmt: skip
        sizes, counts = np.unique(wide, return_counts=True)
        kinds = [f"{count} × {size}" if count > 1 else str(size) for size, count in sorted(zip(sizes.tolist(), counts.tolist(), strict=True), reverse=True)]
        before = f", {one.strings[0]} first" if one.is_special[0] else ""
        said.append(f"{plain(name)}: {len(one):,} tokens{before}, of {listing(kinds, most=8)} bp{unknown}.")
    fig.update_yaxes(tickvals=list(range(len(rows) + 1)), ticktext=["sequence", *map(escaped, rows)], range=[len(rows) + 0.55, -0.55], ticks="", showline=False, fixedrange=True)
    where = "position, 1-based" if interval is None else f"position, 1-based on {escaped(interval.chrom)}"
    room = wide_special * max(int(one.is_special.sum()) for one in rows.values())
    ends = [first + len(bases) - 0.5 + room, first - 0.5] if reverse else [first - 0.5 - room, first + len(bases) - 0.5]
    step = next(size for size in (1, 2, 5, 10, 20, 50) if len(bases) <= (12 if first == 1 else 7) * size or size == 50)
    ticks = list(range(first + -first % step, first + len(bases), step))
    fig.update_xaxes(range=ends, title_text=where, tickvals=ticks, ticktext=[f"{tick:,}" for tick in ticks], tickangle=0, showline=False)
    alt = " ".join([sentence(plain(title, most=200)), f"{len(bases):,} bases.", *said])
    return framed(fig, title=plain(title, most=200), alt=alt, height=52 * (len(rows) + 1), showlegend=False, barmode="overlay", bargap=0, dragmode="pan",
                  uniformtext={"minsize": 8, "mode": "hide"})  # fmt: skip
