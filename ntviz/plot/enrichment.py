"""`enrichment`: whether heads look at genomic elements more than chance, with every null and control beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ntviz.plot.theme import colours, framed
from ntviz.plot.words import element_name, escaped, listing, number, plain, sentence

NEEDED = ("layer", "head", "element", "ratio", "ratio_low", "ratio_high", "significant_published")
CONTROLS = {"shuffle": "shuffled sequence", "twin": "randomly initialised model"}
"""Column prefixes of the controls, and what each is."""

FEWEST = 5
"""Pairs that chance must put on an element for a ratio to be worth a colour."""

PASSED, PUBLISHED = "passes the shift null", "passes the published test only"
"""What marks stand for."""


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """One element: a value for each head, in the order of layer and head.

    Parameters
    ----------
    name
        As in the table.
    layers, heads
        [row] numbers, from 0.
    ratio, low, high
        [row] share of attention over share of positions, and the ends of its interval; NaN where there is none.
    expected
        [row] ratio that shifted elements have on average; NaN without that null.
    controls
        [row] ratio in each control, by prefix; only those in the table.
    passed, published
        [row] whether the shift null, and the published test, call it significant.
    q
        [row] false discovery rate under the shift null; NaN without.
    n_above
        [row] pairs above the threshold; -1 when the table does not say.
    few
        [row] whether chance puts fewer than `FEWEST` of them on the element, so that the ratio is mostly noise; never
        where a test stands.
    few_controls
        [row] the same of each control, by prefix.
    status
        [row] why there is no test, "ok" where there is one.
    """

    name: str
    layers: np.ndarray
    heads: np.ndarray
    ratio: np.ndarray
    low: np.ndarray
    high: np.ndarray
    expected: np.ndarray
    controls: dict[str, np.ndarray]
    passed: np.ndarray
    published: np.ndarray
    q: np.ndarray
    n_above: np.ndarray
    few: np.ndarray
    few_controls: dict[str, np.ndarray]
    status: np.ndarray

    def coloured(self, control: str | None = None) -> np.ndarray:
        """[row] ratios, of the model or of a control, that are worth a colour; NaN elsewhere."""
        ratio, few = (
            (self.ratio, self.few)
            if control is None
            else (self.controls[control], self.few_controls[control])
        )
        return np.where(few, np.nan, ratio)

    @property
    def published_only(self) -> np.ndarray:
        """[row] whether the published test alone calls it significant."""
        return self.published & ~self.passed

    def grid(self, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """[layer, head] of values [row]; NaN, or False, where the table has no row."""
        grid = np.full(shape, False if values.dtype == bool else np.nan)
        grid[self.layers, self.heads] = values
        return grid


def read_elements(table: pd.DataFrame, names: Sequence[str] | None) -> list[Element]:
    """The elements of a table that are asked for; all of them, in its order, when None.

    Raises
    ------
    ValueError
        If a column or an element is missing, a head comes twice, or a ratio is negative.
    """
    missing = [column for column in NEEDED if column not in table.columns]
    if missing:
        raise ValueError(
            f"The table of an enrichment must have the columns {', '.join(NEEDED)}; it lacks {', '.join(missing)}. "
            f"Pass the table of attention.enrichment."
        )
    known = list(dict.fromkeys(table["element"].astype(str)))
    wanted = known if names is None else [str(name) for name in names]
    for name in wanted:
        if name not in known:
            listed = ", ".join(plain(each, most=30) for each in known[:12])
            raise ValueError(
                f"An element must be one of those in the table: {listed}; received {plain(name)!r}. Choose one of them."
            )
    if not wanted:
        raise ValueError("The table must have at least one element; received none. Check what made it.")
    return [_element(table[table["element"].astype(str) == name], name) for name in wanted]


def _element(rows: pd.DataFrame, name: str) -> Element:
    twice = rows.duplicated(["layer", "head"])
    if twice.any():
        row = rows[twice].iloc[0]
        raise ValueError(
            f"Each head must have one row an element; received layer {row['layer']} head {row['head']} more than once for "
            f"{plain(name)!r}. Pass the table of one analysis."
        )
    rows = rows.sort_values(["layer", "head"])
    n = len(rows)

    def numbers(column: str) -> np.ndarray:
        return rows[column].to_numpy(float) if column in rows else np.full(n, np.nan)

    def flags(column: str) -> np.ndarray:
        return rows[column].fillna(False).to_numpy(bool) if column in rows else np.zeros(n, dtype=bool)

    ratio = numbers("ratio")
    if (ratio < 0).any() or np.isinf(ratio).any():
        row = int(np.flatnonzero((ratio < 0) | np.isinf(ratio))[0])
        raise ValueError(
            f"A ratio must be finite and at least 0, or NaN where there is none; received {ratio[row]} for {plain(name)!r}. "
            f"Pass ratios, not their logarithms."
        )
    background = numbers("background")
    expected = np.divide(
        numbers("shift_mean"), background, out=np.full(n, np.nan), where=np.nan_to_num(background) > 0
    )
    passed = (
        flags("significant") if "significant" in rows else np.nan_to_num(numbers("q_shift"), nan=1.0) <= 0.05
    )

    def too_few(column: str) -> np.ndarray:
        expected_pairs = numbers(column) * background
        return np.isfinite(expected_pairs) & (expected_pairs < FEWEST)

    controls = {key: numbers(f"{key}_ratio") for key in CONTROLS if f"{key}_ratio" in rows}
    return Element(
        name,
        rows["layer"].to_numpy(np.int64),
        rows["head"].to_numpy(np.int64),
        ratio,
        numbers("ratio_low"),
        numbers("ratio_high"),
        expected,
        controls,
        passed,
        flags("significant_published"),
        numbers("q_shift"),
        np.nan_to_num(numbers("n_above"), nan=-1).astype(np.int64),
        too_few("n_above") & ~passed,
        {key: too_few(f"{key}_n_above") for key in controls},
        rows["status"].astype(str).to_numpy() if "status" in rows else np.full(n, "ok", dtype=object),
    )


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

    With `element`, one row a head, the largest ratio first: the ratio with its interval, and in grey the ratios of shifted
    elements, of shuffled sequence and of a randomly initialised model. Else all elements by all heads as colours, a control
    below. A filled mark passes the shift null; a hollow one passes the published z-test only, which calls nearly everything
    significant.

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
        Of the heat map: "shuffle" or "twin"; "auto": the first of them in the table; None: none.
    most
        Heads drawn for one element, those with the largest ratios; the rest is counted.

    Raises
    ------
    ValueError
        If a column, an element or a control is missing, a head comes twice, or both `element` and `elements` are
        given.

    Examples
    --------
    >>> row = {"layer": 0, "head": 0, "element": "exon", "significant_published": True, "significant": False}
    >>> table = pd.DataFrame([row | {"ratio": 2.0, "ratio_low": 0.9, "ratio_high": 3.0}])
    >>> enrichment(table, title="One head", element="exon").layout.meta["alt"]
    'One head. Attention on exon over its share of positions, 1 head as layer.head. 0 pass the shift null; 1 passes the published test only. Largest: 0.0, 2 times (95% interval 0.9 to 3).'
    """
    if element is not None and elements is not None:
        raise ValueError("One element is shown head by head, several as colours; received element= and elements=. Pass one of the two.")
    if element is not None:
        return _forest(table, read_elements(table, [element])[0], null, plain(title, most=200), most)
    return _colours(table, read_elements(table, elements), control, plain(title, most=200))


def _verdicts(element: Element) -> list[str]:
    pairs = zip(element.passed, element.published_only, element.status, strict=True)
    return [PASSED if passed else PUBLISHED if only else "neither test" if status == "ok" else plain(status) for passed, only, status in pairs]


def _forest(table: pd.DataFrame, element: Element, null: np.ndarray | None, title: str, most: int) -> go.Figure:
    c, fig, name = colours(), go.Figure(), element_name(element.name)
    order = np.argsort(-np.nan_to_num(element.ratio, nan=-1.0), kind="stable")[:most]
    low, high = element.expected.copy(), element.expected.copy()
    if null is not None:
        rows = table[table["element"].astype(str) == element.name].sort_values(["layer", "head"])
        background = rows["background"].to_numpy(float) if "background" in rows else np.ones(len(rows))
        shifted = np.asarray(null, dtype=float)
        if shifted.ndim != 3 or shifted.shape[1] <= element.layers.max() or shifted.shape[2] <= element.heads.max():
            raise ValueError(f"The null must have the shape [shift, layer, head] of the table; received {list(shifted.shape)}. Pass Enrichment.null(element).")
        ratios = shifted[:, element.layers, element.heads] / background
        low, high = np.quantile(ratios, [0.025, 0.975], axis=0)
    names = [f"{element.layers[row]}.{element.heads[row]}" for row in order]
    y = np.arange(len(order))
    bars = np.ravel([[low[row], high[row], np.nan] for row in order])
    fig.add_scatter(x=bars, y=np.repeat(y, 3).astype(float), mode="lines", line={"color": c.faint, "width": 12}, hoverinfo="skip",
                    name="shifted elements" + ("" if null is None else ", middle 95 %"))  # fmt: skip
    for key, symbol in zip(element.controls, ("x-thin-open", "diamond-open"), strict=False):
        fig.add_scatter(x=element.controls[key][order], y=y, mode="markers", marker={"symbol": symbol, "color": c.control, "size": 9, "line": {"width": 1.5}},
                        name=CONTROLS[key], hovertemplate="%{x:.3g} times<extra>%{fullData.name}</extra>")  # fmt: skip
    verdicts, ends = _verdicts(element), {"array": (element.high - element.ratio)[order], "arrayminus": (element.ratio - element.low)[order]}
    symbols = ["circle" if element.passed[row] else "circle-open" if element.published[row] else "line-ns-open" for row in order]
    fig.add_scatter(
        x=element.ratio[order], y=y, mode="markers", name=f"{escaped(name)}: ratio and 95 % interval", marker={"symbol": symbols, "color": c.accent, "size": 10, "line": {"width": 2}},
        error_x={"type": "data", "symmetric": False, "color": c.accent, "thickness": 1.3, "width": 3, **ends},
        customdata=[f"head {names[i]}: {number(float(element.ratio[row]))} times ({number(float(element.low[row]))} to {number(float(element.high[row]))}), {verdicts[row]}"
                    + (f", q = {number(float(element.q[row]))}" if np.isfinite(element.q[row]) else "") for i, row in enumerate(order)],
        hovertemplate="%{customdata}<extra></extra>",
    )  # fmt: skip
    fig.add_vline(x=1, line={"color": c.muted, "width": 1})
    fig.update_yaxes(tickvals=y, ticktext=names, range=[len(order) - 0.4, -0.6], title_text="head, as layer.head", ticks="")
    fig.update_xaxes(title_text=f"attention on {escaped(name)} over its share of positions, times", rangemode="tozero")
    n, passed, only = len(element.ratio), int(element.passed.sum()), int(element.published_only.sum())
    said = [
        f"{sentence(title)} Attention on {name} over its share of positions, {n:,} head{'s' if n != 1 else ''} as layer.head. "
        f"{passed:,} pass{'es' if passed == 1 else ''} the shift null; {only:,} pass{'es' if only == 1 else ''} the published test only."
    ]
    best = []
    for row in order[:3].tolist():
        parts = [f"95% interval {_range(element.low[row], element.high[row])}"] if np.isfinite([element.low[row], element.high[row]]).all() else []
        parts += [f"shifted {_range(low[row], high[row])}"] if np.isfinite(low[row]) else []
        parts += [f"{CONTROLS[key]} {number(float(values[row]))}" for key, values in element.controls.items() if np.isfinite(values[row])]
        best.append(f"{element.layers[row]}.{element.heads[row]}, {number(float(element.ratio[row]))} times" + (f" ({', '.join(parts)})" if parts else ""))
    said.append(f"Largest: {'; '.join(best)}.")
    if n > len(order):
        said.append(f"{n - len(order):,} heads with smaller ratios are not drawn.")
    return framed(fig, title=title, alt=" ".join(said), height=max(120, 22 * len(order)) + 20, above=20, showlegend=True, subtitle=f"filled: {PASSED}; hollow: {PUBLISHED}",
                  legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 1, "xanchor": "right"})  # fmt: skip


def _range(low: float, high: float) -> str:
    return number(float(low)) if low == high else f"{number(float(low))} to {number(float(high))}"


def _colours(table: pd.DataFrame, found: Sequence[Element], control: str | None, title: str) -> go.Figure:
    shared = [key for key in CONTROLS if all(key in each.controls for each in found)]
    if control == "auto":
        control = shared[0] if shared else None
    elif control is not None and control not in shared:
        raise ValueError(f"The control must be one of those in the table, {', '.join(shared) or 'of which there is none'}; received {control!r}. Pass None for no control.")
    c, fig = colours(), go.Figure()
    heads = sorted({(int(a), int(b)) for each in found for a, b in zip(each.layers, each.heads, strict=True)})
    at = {head: i for i, head in enumerate(heads)}
    names = [element_name(each.name) for each in found]

    def sheet(pick: str, key: str = "") -> np.ndarray:
        made = np.full((len(found), len(heads)), np.nan)
        for row, each in enumerate(found):
            values = each.coloured(key or None) if pick == "coloured" else getattr(each, pick)
            made[row, [at[head] for head in zip(each.layers.tolist(), each.heads.tolist(), strict=True)]] = values
        return made

    panels = [("", "Model"), *([(control, f"Control: {CONTROLS[control]}")] if control else [])]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = [np.log2(np.maximum(sheet("coloured", key), 2.0**-4)) for key, _ in panels]
    edge = min(4.0, max(1.0, float(np.nanmax(np.abs(np.concatenate(logs)), initial=1.0))))
    # The answer stands on top: elements that heads pass the null for, then the largest ratios.
    rank = sorted(range(len(found)), key=lambda row: (-int(found[row].passed.sum()), -np.nan_to_num(np.nanmax(logs[0][row], initial=-9.0), nan=-9.0)))
    deep, gap = 20 * len(found), 52
    total = deep * len(panels) + gap * (len(panels) - 1)
    ratio, low, high, passed, only = (sheet(pick) for pick in ("ratio", "low", "high", "passed", "published_only"))
    for i, ((key, words), z) in enumerate(zip(panels, logs, strict=True)):
        ax = "" if i == 0 else "2"
        top = 1 - i * (deep + gap) / total
        shown = sheet("coloured", key)
        told = [[_told(heads[j], names[row], shown[row, j] if key else ratio[row, j], (low[row, j], high[row, j]) if not key else None,
                       "" if key else PASSED if passed[row, j] == 1 else PUBLISHED if only[row, j] == 1 else "") for j in range(len(heads))] for row in rank]  # fmt: skip
        fig.add_heatmap(z=z[rank], x=list(range(len(heads))), y=list(range(len(found))), zmin=-edge, zmax=edge, colorscale=c.diverging(), xgap=1, ygap=1, showscale=i == 0, name=words,
                        customdata=told, hovertemplate="%{customdata}<extra></extra>", xaxis=f"x{ax}", yaxis=f"y{ax}",
                        colorbar={"title": {"text": "log2 of the ratio", "side": "right"}})  # fmt: skip
        fig.layout[f"yaxis{ax}"] = {"domain": [max(0.0, top - deep / total), top], "anchor": f"x{ax}", "tickvals": list(range(len(found))), "ticktext": [escaped(names[row]) for row in rank],
                                    "range": [len(found) - 0.5, -0.5], "ticks": "", "showline": False}  # fmt: skip
        ticks = [j for j in range(len(heads)) if heads[j][1] == heads[0][1]] if len(heads) > 40 else list(range(len(heads)))
        fig.layout[f"xaxis{ax}"] = {"anchor": f"y{ax}", "tickvals": ticks, "ticktext": ["{}.{}".format(*heads[j]) for j in ticks], "ticks": "", "showline": False,
                                    "title": {"text": "head, as layer.head" if i == len(panels) - 1 else ""}, **({"matches": "x"} if i else {})}  # fmt: skip
        fig.add_annotation(x=0, xref="paper", xanchor="left", y=top, yref="paper", yanchor="bottom", yshift=3, text=f"<b>{escaped(words)}</b>", showarrow=False)
    for flags, symbol, what in ((passed, "circle", PASSED), (only, "circle-open", PUBLISHED)):
        spots = [(j, place) for place, row in enumerate(rank) for j in range(len(heads)) if flags[row, j] == 1]
        fig.add_scatter(x=[j for j, _ in spots] or [None], y=[i for _, i in spots] or [None], mode="markers", marker={"symbol": symbol, "color": c.ink, "size": 6}, name=what, hoverinfo="skip")
    plural = "s" if len(heads) != 1 else ""
    said = [f"{sentence(title)} Attention on {len(found)} elements over their share of positions, {len(heads):,} head{plural} as layer.head."]
    for row in rank[:4]:
        each, worth = found[row], np.nan_to_num(found[row].coloured(), nan=-1.0)
        best = int(worth.argmax())
        text = f"{names[row]}: {int(each.passed.sum()):,} pass the shift null, {int(each.published_only.sum()):,} more the published test only"
        said.append(text + (f"; largest ratio {number(float(worth[best]))} at {each.layers[best]}.{each.heads[best]}." if worth[best] >= 0 else "."))
    if len(rank) > 4:
        rest = [found[row] for row in rank[4:]]
        said.append(f"{listing([names[row] for row in rank[4:]], most=5)}: {sum(int(each.passed.sum()) for each in rest):,} pass the shift null.")
    return framed(fig, title=title, alt=" ".join(said), height=total, above=26, showlegend=True, subtitle="more (orange) or less (blue) attention than the element's share of positions; empty: too few pairs",
                  legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 1, "xanchor": "right"})  # fmt: skip


def _told(head: tuple[int, int], name: str, ratio: float, ends: tuple[float, float] | None, verdict: str) -> str:
    words = f"layer {head[0]}, head {head[1]} on {escaped(name)}: "
    words += f"{number(float(ratio))} times" if np.isfinite(ratio) else "too few pairs"
    if ends is not None and np.isfinite(ends).all():
        words += f" ({_range(*ends)})"
    return words + (f"<br>{verdict}" if verdict else "")
