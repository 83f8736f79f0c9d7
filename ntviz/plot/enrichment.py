"""`enrichment`: which heads look at which elements more than chance, beside what the nulls and the controls say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ntviz.plot.charts import LEGEND, check, refuse, valued
from ntviz.plot.theme import colours, framed
from ntviz.plot.words import element_name, escaped, listing, number, plain, sentence

KEYS, NEEDED = ["layer", "head", "element"], ["ratio", "ratio_low", "ratio_high", "significant_published"]
OPTIONAL = ["status", "background", "shift_mean", "q_shift", "significant", "n_above"]
CONTROLS = {"shuffle": "shuffled sequence", "twin": "randomly initialised model"}
PASSED, PUBLISHED, NEITHER = "passes the shift null", "passes the published test only", "passes neither test"
FEW = "no test, or under 5 pairs by chance"  # where chance puts fewer pairs, a ratio is mostly noise: it has no colour


def enrichment(table: pd.DataFrame, *, title: str, control: str | None = "auto") -> go.Figure:
    """A figure of ratios: the share of a head's attention on an element over the element's share of positions.

    Elements by heads, as log2 of the ratio, those with the most heads that pass first; a control in low rows below. A filled
    mark passes the shift null; a hollow one the published z-test only, which calls nearly everything significant.

    Parameters
    ----------
    table, title
        Of `attention.enrichment`, a row for each layer, head and element; what is shown.
    control
        On the same colours: "shuffle", "twin", "auto" for the first in the table, or None.
    """
    known = [key for key in CONTROLS if f"{key}_ratio" in table]
    if control not in (None, "auto", *known):
        raise ValueError(f"The control must be of those in the table ({', '.join(known)}); received {control!r}.")  # fmt: skip
    control = next(iter(known), None) if control == "auto" else control
    rows, c, title, parts = _read(table), colours(), plain(title, most=200), {"shown": "Model"}
    if control:
        few = rows[f"{control}_n_above"] * rows["background"] < 5
        rows["control"], parts["control"] = rows[f"{control}_ratio"].where(~few), f"Control: {CONTROLS[control]}"  # fmt: skip
    best = rows.groupby("element").agg({"passed": "sum", "shown": "max"})
    names = list(best.sort_values(["passed", "shown"], ascending=False, kind="stable").index)
    heads, cells = rows["at"].unique(), [26 * len(names), 14 * len(names)][: len(parts)]
    wide = rows.pivot(index="element", columns="at").loc[names]
    with np.errstate(divide="ignore"):
        grids = [np.maximum(np.log2(wide[part][heads].to_numpy(float)), -99) for part in parts]
    # Colours end at 8 times more or less at the latest.
    limit = float(np.clip(np.ceil(2 * np.nanmax(np.abs(grids), initial=0)) / 2, 0.5, 3))
    total, folds = sum(cells) + 62 * (len(parts) - 1), np.arange(-np.floor(limit), limit + 0.1)
    fig = make_subplots(len(parts), 1, row_heights=cells, vertical_spacing=62 / total * (len(parts) - 1),
                        subplot_titles=[f"<b>{what}</b>" for what in parts.values()])  # fmt: skip
    bar = {"title": {"text": "ratio", "side": "top"}, "tickvals": folds, "ticktext": [f"{2.0**fold:g}×" for fold in folds],
           "lenmode": "pixels", "len": max(130, cells[0]), "y": 1, "yanchor": "top"}  # fmt: skip
    for row, (what, grid) in enumerate(zip(parts.values(), grids, strict=True), 1):
        fig.add_heatmap(
            z=grid, x=heads, y=[escaped(element_name(name)) for name in names], zmin=-limit, zmax=limit, colorscale=c.signs,
            xgap=int(len(heads) <= 64), ygap=1, name=f"{what}: log2 of the ratio", customdata=wide["hover"][heads], colorbar=bar,
            hovertemplate="%{customdata}<extra></extra>", showscale=row == 1, row=row, col=1,
        )  # fmt: skip
    size = float(np.clip(560 / len(heads), 3, 7))
    for verdict, symbol in ((PASSED, "circle"), (PUBLISHED, "circle-open"), (FEW, "x-thin-open")):
        part, colour = rows[rows["verdict"] == verdict], c.faint if verdict == FEW else c.ink
        if len(part):
            fig.add_scatter(x=part["at"], y=part["label"].map(escaped), mode="markers", name=verdict, hoverinfo="skip", row=1, col=1,
                            marker={"symbol": symbol, "size": size, "color": colour})  # fmt: skip
    # Where there are many, the first head of each layer has a tick.
    ticks = heads if len(heads) <= 64 else rows.drop_duplicates("layer")["at"]
    fig.update_xaxes(type="category", range=[-0.5, len(heads) - 0.5], showline=False, tickfont={"size": 9}, tickvals=ticks)  # fmt: skip
    fig.update_xaxes(title_text="head, as layer.head, both from 0", row=len(parts))
    fig.update_yaxes(type="category", range=[len(names) - 0.5, -0.5], showline=False, ticks="")
    fig.update_annotations(x=0, xanchor="left", font={"size": 12})
    counted = f"{len(names):,} elements over their share of positions, {len(heads):,} heads as layer.head"
    said = [f"{sentence(title)} Attention on {counted}."]
    for name in names[:4]:
        part = rows[rows["element"] == name].sort_values("shown", ascending=False)
        largest = f"largest ratio {number(part['shown'].iloc[0])} at {part['at'].iloc[0]}"
        beside = f", of the control {number(part['control'].max())}" if control else ""
        said.append(f"{element_name(name)}: {_passing(part)}; {largest}{beside}.")
    if rest := names[4:]:
        said.append(f"{listing(list(map(element_name, rest)), most=8)}: {_passing(rows[rows['element'].isin(rest)])}.")  # fmt: skip
    if rows[["significant", "q_shift"]].isna().all(axis=None):
        said.append("The table has no shift null, so nothing can be marked as passing it.")
    if beyond := int((np.abs(grids) > limit).sum()):
        said.append(f"{beyond:,} ratios lie beyond the ends of the colours.")
    small = "share of attention above the threshold on the element, over its share of positions; orange: more, blue: less"
    return framed(fig, title=title, alt=" ".join(said), height=total, above=26, subtitle=small, legend=LEGEND)


def _passing(rows: pd.DataFrame) -> str:
    passed, published = ((rows["verdict"] == verdict).sum() for verdict in (PASSED, PUBLISHED))
    return f"{passed:,} pass the shift null, {published:,} more the published test only"


def _read(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by head, with at ("layer.head"), label, verdict, whether it passed, the ratio shown and hover."""
    check(table, keys=KEYS, columns=NEEDED)
    optional = [*OPTIONAL, *(f"{key}_{what}" for key in CONTROLS for what in ("ratio", "n_above"))]
    rows = table.reindex(columns=[*KEYS, *NEEDED, *optional]).assign(element=table["element"].astype(str))
    wrong = rows[(rows["ratio"] < 0) | np.isinf(rows["ratio"])]
    refuse(wrong, ["ratio", "element"], "A ratio must be finite and at least 0, or NaN; received {}. Take no logarithm.")  # fmt: skip
    rows = rows.sort_values(["layer", "head", "element"], ignore_index=True)
    rows["at"] = rows["layer"].astype(int).astype(str) + "." + rows["head"].astype(int).astype(str)
    rows["label"] = rows["element"].map(element_name)
    rows["expected"] = rows["shift_mean"] / rows["background"].where(rows["background"] > 0)
    passed = rows["significant"].eq(True) | (rows["significant"].isna() & (rows["q_shift"] <= 0.05))
    few = rows["ratio"].isna() | (rows["n_above"] * rows["background"] < 5)
    rows["verdict"] = np.select([passed, few, rows["significant_published"].eq(True)], [PASSED, FEW, PUBLISHED], NEITHER)  # fmt: skip
    rows["passed"], rows["shown"] = passed, rows["ratio"].where(rows["verdict"] != FEW)
    status = rows["status"].fillna("ok").astype(str)
    rows["end"] = rows["verdict"].where(status == "ok", status.map(escaped))
    facts = {"expected": "shifted elements", **{f"{key}_ratio": what for key, what in CONTROLS.items()}}
    facts |= {"q_shift": "false discovery rate", "n_above": "pairs above the threshold"}

    def hover(row: pd.Series) -> str:
        ratio = valued(row["ratio"], row["ratio_low"], row["ratio_high"], " (95 % interval {})")
        lines = [f"{what} {number(row[column])}" for column, what in facts.items() if np.isfinite(row[column])]  # fmt: skip
        head = f"<b>layer {row['layer']}, head {row['head']} on {escaped(row['label'])}</b>"
        return "<br>".join([head, f"ratio {ratio}", *lines, row["end"]])

    return rows.assign(hover=rows.apply(hover, axis=1))
