"""Colours, type and frame of every figure: one place, so that a reader learns them once.

Bases take the hues of genome browsers in the colour-blind safe shades of Okabe and Ito (2008, Color Universal Design), and
always come with their letter. Magnitudes use cividis (Nuñez et al. 2018, PLOS ONE 13:e0199239) turned round, without its palest
fifth; signed values a diverging scale around zero. Each colour is there for light and for dark pages.
"""

from __future__ import annotations

import re
import textwrap
from types import SimpleNamespace
from typing import Any

import plotly.graph_objects as go

from ntviz.plot.words import escaped, sentence

BASES, LETTERS = "ACGT", "ACGTN"
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
WIDTH = 860  # pixels of a page that figures are laid out for: text is wrapped and names are packed for it


# Of light and of dark pages. Each of `lines` goes with one of DASHES and MARKERS; `signs` run from negative over the paper's to positive.
_PAIRS: dict[str, tuple[Any, Any]] = {
    "ink": ("#1f2328", "#e6edf3"), "muted": ("#59636e", "#a5b0bb"), "faint": ("#d1d9e0", "#3d444d"), "paper": ("#ffffff", "#111418"),
    "control": ("#7b858f", "#97a1ac"), "gene": ("#243b6b", "#9db4ea"), "gene_pale": ("#8393b8", "#536a9f"),
    "accent": ("#0072b2", "#58b1e8"), "accent_pale": ("#b3d4e8", "#1f4f6e"), "mark": ("#f0e442", "#6b6415"),
    "positive": ("#b34a00", "#ff9a57"), "negative": ("#0060a0", "#6fb8f0"),
    "bases": ({"A": "#009e73", "C": "#0072b3", "G": "#e69f00", "T": "#d55e00", "N": "#8c959f"},
              {"A": "#2bc49a", "C": "#58b1e9", "G": "#f0b840", "T": "#ff8b4d", "N": "#8c95a0"}),
    "lines": (("#0072b1", "#d55e01", "#009e74", "#a04d7f", "#1f2329", "#b37a00"),
              ("#58b1e7", "#ff8b4e", "#2bc49b", "#d68bb8", "#e6edf4", "#dca23a")),
    "magnitudes": (("#f7f5ee", "#d9cf8b", "#b5a96c", "#8f8b74", "#717276", "#565c6c", "#39486b", "#12376e", "#00224e"),
                   ("#171b21", "#12376f", "#39486c", "#565c6d", "#717277", "#8f8b75", "#b5a96d", "#d9cf8c", "#fee838")),
    "signs": (("#0060a1", "#8fbbd9", "#fffffe", "#f0b183", "#b34a01"), ("#6fb8f1", "#2a5f88", "#111419", "#8a5026", "#ff9a58")),
}  # fmt: skip
LIGHT, DARK = (SimpleNamespace(**{name: pair[page] for name, pair in _PAIRS.items()}) for page in (0, 1))
_current = LIGHT


def theme(name: str) -> None:
    """Draw the figures made from now on for "light" or "dark" pages; a live JupyterLab's follow its theme by themselves."""
    global _current
    if name not in ("light", "dark"):
        raise ValueError(f"A theme must be 'light' or 'dark'; received {name!r}. Choose one of the two.")
    _current = LIGHT if name == "light" else DARK


def colours() -> SimpleNamespace:
    """The colours of the theme that figures are drawn in now; asked for whenever a figure is made."""
    return _current


def darkened() -> dict[str, str]:
    """The dark colour of each light one, for a page that replaces them; no light colour stands for two."""
    light, dark = (re.findall("#[0-9a-f]{6}", repr(colours)) for colours in (LIGHT, DARK))
    return dict(zip(light, dark, strict=True))


def _template() -> go.layout.Template:
    c, bar = _current, {"outlinewidth": 0, "thickness": 12}
    axis = {
        "linecolor": c.muted, "zerolinecolor": c.muted, "tickcolor": c.muted, "gridcolor": c.faint, "ticks": "outside", "ticklen": 4,
        "showline": True, "showgrid": False, "zeroline": False, "automargin": True, "exponentformat": "e",
        "title": {"font": {"size": 12}, "standoff": 8}, "tickfont": {"size": 11}}  # fmt: skip
    layout = {
        "font": {"family": "Helvetica, Arial, 'Liberation Sans', sans-serif", "size": 12, "color": c.ink}, "xaxis": axis, "yaxis": axis,
        "title": {"x": 0.01, "xanchor": "left", "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 14}, "font": {"size": 16},
                  "subtitle": {"font": {"size": 12, "color": c.muted}}},
        "paper_bgcolor": c.paper, "plot_bgcolor": c.paper, "colorway": list(c.lines), "hovermode": "closest", "dragmode": "zoom", "barmode": "overlay",
        "hoverlabel": {"bgcolor": c.paper, "bordercolor": c.muted, "font": {"color": c.ink, "size": 12}}, "coloraxis": {"colorbar": bar},
        "modebar": {"bgcolor": c.paper, "color": c.control, "activecolor": c.ink}, "legend": {"bgcolor": c.paper}}  # fmt: skip
    return go.layout.Template(layout=layout, data={"heatmap": [{"colorscale": c.magnitudes, "colorbar": bar}]})


def framed(
    fig: go.Figure, *, title: str, alt: str, height: int, subtitle: str = "", name: str = "", above: int = 0, below: int = 50,
    **layout: object,
) -> go.Figure:  # fmt: skip
    """The figure with title, subtitle and template, and its alt sentence under it and in `layout.meta["alt"]`.

    Text is plain, escaped here. `height` is of the plots and all between them in pixels, `above` for names of columns, `below`
    for ticks and the title of the axis; `name` of the file that the camera saves, the title when empty.
    """
    caption = alt.removeprefix(sentence(title)).strip().removeprefix(sentence(subtitle)).strip()
    lines = [textwrap.wrap(text, width) for text, width in ((title, 92), (subtitle, 130), (caption, 138))]
    heading, small, under = ("<br>".join(map(escaped, part)) for part in lines)
    top = 44 + 20 * max(1, len(lines[0])) + 16 * len(lines[1]) + above
    bottom = below + 16 * len(lines[2]) + 8 * bool(under)
    fig.update_layout(
        template=_template(), title={"text": heading, "subtitle": {"text": small}}, height=height + top + bottom,
        margin={"l": 70, "r": 24, "t": top, "b": bottom}, meta={"alt": alt, "name": name or title})  # fmt: skip
    if under:
        fig.add_annotation(text=under, x=0, xref="paper", xanchor="left", y=0, yref="paper", yanchor="top", yshift=-below, align="left",
                           showarrow=False, font={"size": 11.5, "color": _current.muted}, name="caption")  # fmt: skip
    return fig.update_layout(layout)
