"""`enrichment`: which heads look at which elements more than chance, beside what the nulls and the controls say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ntviz.plot.theme import colours, framed
from ntviz.plot.words import element_name, escaped, listing, number, plain, sentence

NEEDED = ("layer", "head", "element", "ratio", "ratio_low", "ratio_high", "significant_published")
CONTROLS = {"shuffle": "shuffled sequence", "twin": "randomly initialised model"}
"""Column prefixes of the controls, and what each is."""
PASSED, PUBLISHED = "passes the shift null", "passes the published test only"
FEWEST = 5
"""Pairs that chance must put on an element for a ratio to be worth a colour."""
FOLD = 3.0
"""log2 of the ratio at which colours end at the latest: 8 times more or less."""
FURTHEST = 64.0
"""Ratios beyond this, or below its inverse, stand at the edge with an arrow."""


def enrichment(
    table: pd.DataFrame,
    *,
    title: str,
    element: str | None = None,
    elements: Sequence[str] | None = None,
    null: np.ndarray | None = None,
    control: str | None = "auto",
    most: int = 30,
) -> go.Figure:
    """A figure of ratios: the share of a head's attention on an element over the element's share of positions.

    With `element`, one row a head: the ratio with its interval, the ratios of shifted elements, of shuffled sequence
    and of a randomly initialised model beneath it. Else all elements by all heads, as log2 of the ratio, the elements with the
    most heads that pass first. A filled mark passes the shift null; a hollow one passes the published z-test only, which
    calls nearly everything significant.

    Parameters
    ----------
    table
        Of `attention.enrichment`: a row for each layer, head and element.
    title
        Says what the figure shows.
    element
        The one element to show head by head.
    elements
        Those of the heat map, in order; all of the table when None.
    null
        [shift, layer, head] share of attention on the shifted `element`, as `Enrichment.null(element)` gives it: drawn
        as the middle 95 % of shifts. Without it their mean is drawn.
    control
        Of the heat map: "shuffle" or "twin", drawn in low rows below on the same scale; "auto": the first of them in the
        table; None: none.
    most
        Heads drawn for one element, those with the largest ratios; the rest is counted.

    Raises
    ------
    ValueError
        If a column, an element or a control is missing, a head comes twice, a ratio is negative, or both `element` and
        `elements` are given.

    Examples
    --------
    >>> row = {"layer": 0, "head": 0, "element": "exon", "significant_published": True, "significant": False}
    >>> table = pd.DataFrame([row | {"ratio": 2.0, "ratio_low": 0.9, "ratio_high": 3.0}])
    >>> enrichment(table, title="One head", element="exon").layout.meta["alt"]
    'One head. Attention on exon over its share of positions, 1 head as layer.head: 0 pass the shift null, 1 more the published test only. Largest: 0.0, 2 times (95 % interval 0.9 to 3).'
    """
    if element is not None and elements is not None:
        raise ValueError(f"Either one element or several must be shown; received element={element!r} and elements={list(elements)!r}. Leave one of the two out.")
    if element is not None:
        return _forest(_read(table, [element]), null, title, most)
    if null is not None:
        raise ValueError("A null must belong to one element; received null= with no element=. Pass element= as well, or leave it out.")
    rows = _read(table, elements)
    known = [key for key in CONTROLS if f"{key}_ratio" in rows]
    if control not in (None, "auto", *known):
        raise ValueError(
            f"The control must be one that the table has ({', '.join(known) or 'none'}); received {control!r}. Ask attention.enrichment for that null, or pass control=None."
        )
    return _heat(rows, next(iter(known), None) if control == "auto" else control, title, ordered=elements is None)


def _read(table: pd.DataFrame, names: Sequence[str] | None) -> pd.DataFrame:
    """The rows of the elements asked for, with what each head passed and what is said of it.

    Added columns: at ("layer.head"), passed, published (that test alone), expected (ratio of shifted elements), few (chance puts
    fewer than `FEWEST` pairs there, so that the ratio is mostly noise; never where a test stands), KEY_few, verdict, said.
    """
    missing = [column for column in NEEDED if column not in table.columns]
    if missing:
        raise ValueError(f"The table of an enrichment must have the columns {', '.join(NEEDED)}; it lacks {', '.join(missing)}. Pass the table of attention.enrichment.")
    known = list(dict.fromkeys(table["element"].astype(str)))
    wanted = known if names is None else [str(name) for name in names]
    for name in wanted:
        if name not in known:
            listed = ", ".join(plain(each, most=30) for each in known[:12])
            raise ValueError(f"An element must be one of those in the table: {listed}; received {plain(name)!r}. Choose one of them.")
    if not wanted:
        raise ValueError("The table must have at least one element; received none. Check what made it.")
    rows = table[table["element"].astype(str).isin(wanted)]
    rows = rows.assign(element=pd.Categorical(rows["element"].astype(str), wanted)).sort_values(["element", "layer", "head"], ignore_index=True)
    if (twice := rows.duplicated(["element", "layer", "head"])).any():
        row = rows[twice].iloc[0]
        raise ValueError(f"Each head must have one row an element; received layer {row['layer']} head {row['head']} more than once for {plain(row['element'])!r}. Pass the table of one analysis.")
    if (wrong := (rows["ratio"] < 0) | np.isinf(rows["ratio"])).any():
        row = rows[wrong].iloc[0]
        raise ValueError(f"A ratio must be finite and at least 0, or NaN where there is none; received {row['ratio']} for {plain(row['element'])!r}. Pass ratios, not their logarithms.")
    empty = pd.Series(np.nan, rows.index)
    background = rows.get("background", empty)
    rows["at"] = rows["layer"].astype(int).astype(str) + "." + rows["head"].astype(int).astype(str)
    rows["passed"] = rows["significant"].fillna(False).astype(bool) if "significant" in rows else rows.get("q_shift", empty) <= 0.05
    rows["published"] = rows["significant_published"].fillna(False).astype(bool) & ~rows["passed"]
    rows["expected"] = rows.get("shift_mean", empty) / background.where(background > 0)
    rows["few"] = (rows.get("n_above", empty) * background < FEWEST) & ~rows["passed"]
    for key in CONTROLS:
        rows[f"{key}_few"] = rows.get(f"{key}_n_above", empty) * background < FEWEST
    rows["verdict"] = np.select([rows["passed"], rows["published"]], [PASSED, PUBLISHED], "passes neither test")
    rows["said"] = [_told(row, f"<b>layer {row['layer']}, head {row['head']} on {escaped(element_name(row['element']))}</b>") for row in rows.to_dict("records")]
    return rows


def _told(row: dict, head: str) -> str:
    """What is known of one head and element, for the hover."""
    words = [head, f"ratio {number(row['ratio'])}{_ends(row, ' (95 % interval {})')}"]
    words += [f"shifted elements {number(row['expected'])}"] if np.isfinite(row["expected"]) else []
    words += [f"{what} {number(row[f'{key}_ratio'])}" for key, what in CONTROLS.items() if np.isfinite(row.get(f"{key}_ratio", np.nan))]
    words += [f"false discovery rate {number(row['q_shift'])}"] if np.isfinite(row.get("q_shift", np.nan)) else []
    words += [f"{int(row['n_above']):,} pairs above the threshold"] if np.isfinite(row.get("n_above", np.nan)) else []
    words += ["few pairs: chance puts fewer than 5 on the element"] if row["few"] else []
    status = str(row.get("status", "ok"))
    return "<br>".join([*words, row["verdict"] if status == "ok" else escaped(status)])


def _ends(row: dict, form: str) -> str:
    ends = (row["ratio_low"], row["ratio_high"])
    return form.format(f"{number(ends[0])} to {number(ends[1])}") if np.isfinite(ends).all() else ""


def _passing(rows: pd.DataFrame) -> str:
    return f"{int(rows['passed'].sum()):,} pass the shift null, {int(rows['published'].sum()):,} more the published test only"


def _heat(rows: pd.DataFrame, control: str | None, title: str, *, ordered: bool) -> go.Figure:
    """Elements by heads, and the control in low rows below."""
    c, said = colours(), []
    rows["shown"] = np.where(rows["few"], np.nan, rows["ratio"])
    if control:
        rows["control"] = np.where(rows[f"{control}_few"], np.nan, rows[f"{control}_ratio"])
    best = rows.groupby("element", observed=True).agg(passed=("passed", "sum"), top=("shown", "max"))
    names = list(best.sort_values(["passed", "top"], ascending=False, kind="stable").index) if ordered else list(best.index)
    heads = rows.sort_values(["layer", "head"])["at"].unique()
    parts = {"shown": "Model", **({"control": f"Control: {CONTROLS[control]}"} if control else {})}
    with np.errstate(divide="ignore"):
        grids = {part: np.maximum(np.log2(rows.pivot(index="element", columns="at", values=part).loc[names, heads].to_numpy(float)), -99) for part in parts}
    size = max(float(np.nanmax(np.abs(grid), initial=0.0)) for grid in grids.values())
    limit = min(FOLD, max(0.5, np.ceil(size * 2) / 2))
    beyond = sum(int((np.abs(grid) > limit).sum()) for grid in grids.values())
    cells = [26 * len(names), 14 * len(names)][: len(parts)]
    total = sum(cells) + 62 * (len(parts) - 1)
    fig = make_subplots(len(parts), 1, row_heights=cells, vertical_spacing=62 / total if control else 0, subplot_titles=[f"<b>{text}</b>" for text in parts.values()])
    fig.update_annotations(x=0, xanchor="left", font={"size": 12})
    # Where there are many, the first head of each layer has a tick.
    ticks = {"tickvals": heads, "ticks": ""} if len(heads) <= 64 else {"tickvals": list(rows.sort_values(["layer", "head"]).drop_duplicates("layer")["at"])}
    labels = [escaped(element_name(name)) for name in names]
    told = rows.pivot(index="element", columns="at", values="said").reindex(index=names, columns=heads).to_numpy()
    for row, (part, what) in enumerate(parts.items(), 1):
        fig.add_heatmap(
            z=grids[part], x=heads, y=labels, zmin=-limit, zmax=limit, colorscale=c.diverging(), name=f"{what}: log2 of the ratio", customdata=told, showscale=row == 1,
            xgap=int(len(heads) <= 64), ygap=1, hovertemplate="%{customdata}<extra></extra>", row=row, col=1,
            colorbar={"title": {"text": "ratio", "side": "top"}, "tickvals": (folds := np.arange(-np.floor(limit), limit + 0.1)), "ticktext": [f"{2.0**k:g}×" for k in folds],
                      "lenmode": "pixels", "len": max(130, cells[0]), "y": 1, "yanchor": "top"},
        )  # fmt: skip
        fig.update_xaxes(type="category", categoryarray=heads, range=[-0.5, len(heads) - 0.5], showline=False, row=row, col=1, tickfont={"size": 9}, **ticks)
        fig.update_yaxes(type="category", range=[len(names) - 0.5, -0.5], showline=False, ticks="", tickfont={"size": 11 if row == 1 else 9}, row=row, col=1)
    size = float(np.clip(560 / len(heads), 3, 7))
    for name, chosen, symbol, colour in ((PASSED, rows["passed"], "circle", c.ink), (PUBLISHED, rows["published"] & rows["shown"].notna(), "circle-open", c.ink),
                                         (f"no test, or under {FEWEST} pairs by chance", rows["shown"].isna(), "x-thin-open", c.faint)):  # fmt: skip
        at = rows[chosen]
        if len(at):
            fig.add_scatter(x=at["at"], y=[escaped(element_name(one)) for one in at["element"]], mode="markers", name=name, hoverinfo="skip", row=1, col=1,
                            marker={"symbol": symbol, "size": size, "color": colour, "line": {"color": colour, "width": 1.2}})  # fmt: skip
    fig.update_xaxes(title_text="head, as layer.head, both from 0", row=len(parts), col=1)
    for name in names[:4]:
        part = rows[rows["element"] == name]
        top = f"; largest ratio {number(part['shown'].max())} at {part.loc[part['shown'].idxmax(), 'at']}" if part["shown"].notna().any() else ""
        aside = f", of the control {number(part['control'].max())}" if control and part["control"].notna().any() else ""
        said.append(f"{element_name(name)}: {_passing(part)}{top}{aside}.")
    if names[4:]:
        said.append(f"{listing([element_name(name) for name in names[4:]], most=8)}: {_passing(rows[rows['element'].isin(names[4:])])}.")
    notes = [f"Attention on {len(names):,} elements over their share of positions, {len(heads):,} head{'s' * (len(heads) > 1)} as layer.head{f'; control: {CONTROLS[control]}' if control else ''}.", *said]
    notes += [] if rows["passed"].any() or rows.get("q_shift", pd.Series([np.nan])).notna().any() else ["The table has no shift null, so nothing can be marked as passing it."]
    notes += [f"{beyond:,} ratios lie beyond the ends of the colours."] if beyond else []
    return framed(
        fig, title=plain(title, most=200), alt=" ".join([sentence(plain(title, most=200)), *notes]), height=total, above=26,
        subtitle="share of attention above the threshold on the element, over its share of positions; orange: more, blue: less",
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "yref": "paper", "x": 1, "xanchor": "right"},
    )  # fmt: skip


def _forest(rows: pd.DataFrame, null: np.ndarray | None, title: str, most: int) -> go.Figure:
    """One element, head by head: the ratio with its interval, above the nulls and controls that it must differ from."""
    if most < 1:
        raise ValueError(f"At least one head must be drawn; received most={most}. Pass 1 or more.")
    rows["low"], rows["high"] = _null_ends(rows, null)
    name = element_name(rows["element"].iloc[0])
    known = rows[rows["ratio"].notna()].sort_values("ratio", ascending=False, kind="stable")
    if known.empty:
        reasons = ", ".join(dict.fromkeys(rows.get("status", pd.Series(["no status"])).astype(str)))
        raise ValueError(f"At least one head must have a ratio for {plain(name)!r}; received none ({plain(reasons)}). Choose another element, or a lower threshold.")
    shown, rest = known[:most].reset_index(drop=True), known[most:]
    c, fig = colours(), go.Figure()
    spread = shown[["ratio", "ratio_low", "ratio_high", "low", "high", *(f"{key}_ratio" for key in CONTROLS if f"{key}_ratio" in shown)]].to_numpy(float)
    spread = spread[np.isfinite(spread) & (spread > 0)].clip(1 / FURTHEST, FURTHEST)
    room = (max(1.25, spread.max(initial=1)) / min(0.8, spread.min(initial=1))) ** 0.04
    edges = min(0.8, spread.min(initial=1)) / room, max(1.25, spread.max(initial=1)) * room

    def points(at: pd.DataFrame, values: pd.Series, down: float, ends: tuple[pd.Series, pd.Series] | None, what: str, symbol: str, colour: str, wide: float) -> None:
        x = values.clip(*edges)
        error = {} if ends is None else {"error_x": {"array": ends[1].clip(*edges) - x, "arrayminus": x - ends[0].clip(*edges), "symmetric": False, "thickness": wide, "width": 0, "color": colour}}
        symbols = np.select([values < edges[0], values > edges[1]], ["triangle-left", "triangle-right"], symbol)
        fig.add_scatter(x=x, y=at.index + down, text=at["at"], customdata=at["said"], mode="markers", name=what, marker={"symbol": symbols, "color": colour, "size": 9, "line": {"color": colour, "width": 1.6}},
                        hovertemplate="%{customdata}<extra>%{fullData.name}</extra>", **error)  # fmt: skip

    if shown["low"].notna().any():
        at = shown[shown["low"].notna()]
        middle = np.sqrt(at["low"].clip(lower=1 / FURTHEST) * at["high"].clip(lower=1 / FURTHEST))
        points(at, middle, 0.24, (at["low"], at["high"]), f"shifted elements, {'mean' if null is None else 'middle 95 %'}", *(("line-ns-open", c.control) if null is None else ("square", c.faint)), 9)
    for (key, what), symbol in zip(CONTROLS.items(), ("diamond-open", "triangle-up-open"), strict=True):
        if f"{key}_ratio" in shown and shown[f"{key}_ratio"].notna().any():
            points(at := shown[shown[f"{key}_ratio"].notna()], at[f"{key}_ratio"], 0.24, None, what, symbol, c.control, 0)
    spans = ~((shown["ratio_low"] > 1) | (shown["ratio_high"] < 1))
    for verdict, symbol in ((PASSED, "circle"), (PUBLISHED, "circle-open"), ("passes neither test", "line-ns-open")):
        for across, aside, colour in ((False, "", c.accent), (True, "; its interval holds 1", c.control)):
            at = shown[(shown["verdict"] == verdict) & (spans == across)]
            if len(at):
                points(at, at["ratio"], -0.16, (at["ratio_low"].fillna(at["ratio"]), at["ratio_high"].fillna(at["ratio"])), verdict + aside, symbol, colour, 1.6)
    fig.add_vline(x=1, line={"color": c.ink, "width": 1})
    columns = [f"{'<b>' * row['passed']}{number(row['ratio'])}{'</b>' * row['passed']}{_ends(row, ' ({})')}" + (f" · {int(row['n_above']):,} pairs" if np.isfinite(row.get("n_above", np.nan)) else "")
               for row in shown.to_dict("records")]  # fmt: skip
    for y, text in enumerate(columns):
        fig.add_annotation(x=1, xref="paper", xanchor="left", xshift=8, y=y, text=text, showarrow=False, align="left", font={"size": 11})
    ticks = [tick for tick in np.outer(10.0 ** np.arange(-3, 4), [1, 2, 5]).ravel() if edges[0] <= tick <= edges[1]]
    ticks = ticks if len(ticks) >= 4 else [tick for tick in (0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.4, 1.6, 2, 2.5, 3, 4) if edges[0] <= tick <= edges[1]]
    fig.update_xaxes(type="log", range=np.log10(edges).tolist(), tickvals=ticks, ticktext=[f"{tick:g}×" for tick in ticks], title_text="ratio to the share of positions, logarithmic", showgrid=True)
    fig.update_yaxes(range=[len(shown) - 0.4, -0.6], tickvals=list(range(len(shown))), ticktext=shown["at"], ticks="", title_text="head, as layer.head, from 0")
    left_out = [f"{len(rest):,} more head{'s' * (len(rest) > 1)}, with ratios from {number(rest['ratio'].min())} to {number(rest['ratio'].max())}"
                + (f", {int(rest['passed'].sum()):,} of which pass the shift null" if rest["passed"].any() else "")] if len(rest) else []  # fmt: skip
    left_out += [f"{len(rows) - len(known):,} without a ratio"] if len(rows) > len(known) else []
    largest = [_largest(row) for row in known[:3].to_dict("records")]
    said = [sentence(plain(title, most=200)), f"Attention on {name} over its share of positions, {len(rows):,} head{'s' * (len(rows) > 1)} as layer.head: {_passing(rows)}.",
            f"Largest: {'; '.join(largest)}.", *([f"Not drawn: {'; '.join(left_out)}."] if left_out else [])]  # fmt: skip
    return framed(
        fig, title=plain(title, most=200), alt=" ".join(said), height=max(120, 30 * len(shown)), above=52,
        subtitle=f"{name}: share of attention above the threshold, over its share of positions; 1: even attention; intervals by resampling windows",
        margin_r=30 + int(6.2 * max(len(text) for text in columns)), legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
    )  # fmt: skip


def _largest(row: dict) -> str:
    parts = [_ends(row, "95 % interval {}")] if _ends(row, "{}") else []
    parts += [f"shifted {number(row['low'])}" + (f" to {number(row['high'])}" if row["high"] > row["low"] else "")] if np.isfinite(row["low"]) else []
    parts += [f"{what} {number(row[f'{key}_ratio'])}" for key, what in CONTROLS.items() if np.isfinite(row.get(f"{key}_ratio", np.nan))]
    return f"{row['at']}, {number(row['ratio'])} times" + (f" ({', '.join(parts)})" if parts else "")


def _null_ends(rows: pd.DataFrame, null: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """[row] ends of the middle 95 % of ratios under shifts; their mean twice without the shifts themselves."""
    if null is None:
        return rows["expected"].to_numpy(), rows["expected"].to_numpy()
    null = np.asarray(null, dtype=float)
    shape = int(rows["layer"].max()) + 1, int(rows["head"].max()) + 1
    if null.ndim != 3 or null.shape[1] < shape[0] or null.shape[2] < shape[1] or "background" not in rows:
        raise ValueError(
            f"The null must be [shift, layer, head] for at least {shape[0]} layers by {shape[1]} heads, with the column 'background' in the table; "
            f"received {list(null.shape)}. Pass Enrichment.null(element)."
        )
    shares = null[:, rows["layer"], rows["head"]]
    background, ends = rows["background"].to_numpy(float), np.full((2, len(rows)), np.nan)
    known = np.isfinite(shares).all(axis=0) & (np.nan_to_num(background) > 0)
    ends[:, known] = np.quantile(shares[:, known], [0.025, 0.975], axis=0) / background[known]
    return ends[0], ends[1]
