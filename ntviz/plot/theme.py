"""Colours, type and frame of every figure: one place, so that a reader learns them once.

Bases take the hues that genome browsers use (A green, C blue, G orange, T red) in the colour-blind safe shades of
Okabe and Ito, and always come with their letter. Magnitudes use one sequential scale whose pale end is nothing; signed
values use one diverging scale whose middle is zero. Each colour exists twice, for light and for dark pages.

References
----------
Okabe M, Ito K (2008) Color Universal Design. Nuñez JR, Anderton CR, Renslow RS (2018) PLOS ONE 13(7): e0199239
(cividis).
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import chain

import plotly.graph_objects as go

from ntviz.plot.words import escaped, sentence

BASES = "ACGT"
FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
WIDTH = 860
"""Pixels of a page that figures are laid out for: text is wrapped and names are packed for this width."""


@dataclass(frozen=True, slots=True)
class Colours:
    """The colours of one theme; `lines` in order of use, each with a dash of `DASHES` and a marker of `MARKERS`."""

    ink: str
    muted: str
    faint: str
    paper: str
    control: str
    gene: str
    gene_pale: str
    accent: str
    accent_pale: str
    positive: str
    negative: str
    mark: str
    bases: Mapping[str, str]
    lines: tuple[str, ...]
    magnitudes: tuple[str, ...]
    signs: tuple[str, ...]

    def sequential(self) -> list[tuple[float, str]]:
        """Plotly's colour scale for magnitudes: the ground's colour for nothing, the strongest contrast for the most."""
        return [(i / (len(self.magnitudes) - 1), colour) for i, colour in enumerate(self.magnitudes)]

    def diverging(self) -> list[tuple[float, str]]:
        """Plotly's colour scale for signed values: blue below zero, the ground's colour at zero, orange above."""
        return [(i / (len(self.signs) - 1), colour) for i, colour in enumerate(self.signs)]


LIGHT = Colours(
    ink="#1f2328", muted="#59636e", faint="#d1d9e0", paper="#ffffff", control="#7b858f",
    gene="#243b6b", gene_pale="#8393b8", accent="#0072b2", accent_pale="#b3d4e8",
    positive="#b34a00", negative="#0060a0", mark="#f0e442",
    bases={"A": "#009e73", "C": "#0072b3", "G": "#e69f00", "T": "#d55e00", "N": "#8c959f"},
    lines=("#0072b1", "#d55e01", "#009e74", "#a04d7f", "#1f2329", "#b37a00"),
    # cividis turned round, without its palest fifth.
    magnitudes=("#f7f5ee", "#d9cf8b", "#b5a96c", "#8f8b74", "#717276", "#565c6c", "#39486b", "#12376e", "#00224e"),
    signs=("#0060a1", "#8fbbd9", "#fffffe", "#f0b183", "#b34a01"),
)  # fmt: skip

DARK = Colours(
    ink="#e6edf3", muted="#a5b0bb", faint="#3d444d", paper="#111418", control="#97a1ac",
    gene="#9db4ea", gene_pale="#536a9f", accent="#58b1e8", accent_pale="#1f4f6e",
    positive="#ff9a57", negative="#6fb8f0", mark="#6b6415",
    bases={"A": "#2bc49a", "C": "#58b1e9", "G": "#f0b840", "T": "#ff8b4d", "N": "#8c95a0"},
    lines=("#58b1e7", "#ff8b4e", "#2bc49b", "#d68bb8", "#e6edf4", "#dca23a"),
    magnitudes=("#171b21", "#12376f", "#39486c", "#565c6d", "#717277", "#8f8b75", "#b5a96d", "#d9cf8c", "#fee838"),
    signs=("#6fb8f1", "#2a5f88", "#111419", "#8a5026", "#ff9a58"),
)  # fmt: skip

_current = LIGHT


def theme(name: str) -> None:
    """Draw the figures made from now on for pages with light or dark ground.

    Figures and explorers of a live JupyterLab follow its theme by themselves; this is for those who work in the dark
    and for pages that they write.

    Parameters
    ----------
    name
        "light" or "dark".

    Raises
    ------
    ValueError
        If the name is neither.
    """
    global _current
    if name not in ("light", "dark"):
        raise ValueError(f"A theme must be 'light' or 'dark'; received {name!r}. Choose one of the two.")
    _current = LIGHT if name == "light" else DARK


def colours() -> Colours:
    """The colours of the theme that figures are drawn in now; asked for whenever a figure is made."""
    return _current


def darkened() -> dict[str, str]:
    """The dark colour of each light one, for a page that replaces them; no light colour stands for two."""

    def listed(one: Colours) -> list[str]:
        values = (getattr(one, field.name) for field in fields(one))
        return list(
            chain.from_iterable(
                value.values() if isinstance(value, Mapping) else [value] if isinstance(value, str) else value
                for value in values
            )
        )

    return dict(zip(listed(LIGHT), listed(DARK), strict=True))


def template() -> go.layout.Template:
    """Plotly's template of the present theme."""
    c = _current
    axis = {
        "gridcolor": c.faint, "linecolor": c.muted, "zerolinecolor": c.muted, "tickcolor": c.muted, "ticks": "outside",
        "ticklen": 4, "showline": True, "showgrid": False, "zeroline": False, "automargin": True,
        "exponentformat": "e",
        "title": {"font": {"size": 12}, "standoff": 8}, "tickfont": {"size": 11},
    }  # fmt: skip
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 12, "color": c.ink},
            "title": {"x": 0.01, "xanchor": "left", "font": {"size": 16}, "subtitle": {"font": {"size": 12, "color": c.muted}}},
            "paper_bgcolor": c.paper, "plot_bgcolor": c.paper, "colorway": list(c.lines),
            "xaxis": axis, "yaxis": axis, "hovermode": "closest", "dragmode": "zoom",
            "hoverlabel": {"bgcolor": c.paper, "bordercolor": c.muted, "font": {"color": c.ink, "size": 12}},
            "coloraxis": {"colorbar": {"outlinewidth": 0, "thickness": 12}},
            "modebar": {"bgcolor": c.paper, "color": c.control, "activecolor": c.ink},
            "legend": {"bgcolor": c.paper},
        },
        data={"heatmap": [{"colorscale": c.sequential(), "colorbar": {"outlinewidth": 0, "thickness": 12}}]},
    )  # fmt: skip


def framed(
    fig: go.Figure,
    *,
    title: str,
    alt: str,
    height: int,
    subtitle: str = "",
    name: str = "",
    above: int = 0,
    below: int = 50,
    **layout: object,
) -> go.Figure:
    """The figure with title, subtitle and template, and its alt sentence under it and in `layout.meta["alt"]`.

    Parameters
    ----------
    fig
        Traces and axes are there already.
    title, subtitle
        Plain text; escaped here.
    alt
        What the figure shows, with numbers from the data. The lines under the figure leave out the title and the subtitle
        that it begins with.
    height
        Pixels of everything between title and caption: of the plots themselves with what lies between them.
    name
        Of the file that the camera saves, such as the locus; made from the title when empty.
    above
        Pixels over the plots for what stands there, such as names of columns.
    below
        Pixels between the lowest plot and the caption, for ticks and the title of the axis.
    **layout
        More of `go.Layout`.
    """
    heading = textwrap.wrap(title, 92) or [""]
    small = textwrap.wrap(subtitle, 130)
    caption = textwrap.wrap(alt.removeprefix(sentence(title)).strip().removeprefix(sentence(subtitle)).strip(), 138)
    top = 24 + 20 * len(heading) + 16 * len(small) + 20 + above
    bottom = below + 16 * len(caption) + (8 if caption else 0)
    head = {"text": "<br>".join(map(escaped, heading)), "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 14}}
    if small:
        head["subtitle"] = {"text": "<br>".join(map(escaped, small))}
    fig.update_layout(
        template=template(),
        title=head,
        height=height + top + bottom,
        margin={"l": 70, "r": 24, "t": top, "b": bottom},
        meta={"alt": alt, "name": name or title},
    )
    if caption:
        fig.add_annotation(
            text="<br>".join(map(escaped, caption)), x=0, xref="paper", xanchor="left", y=0, yref="paper", yanchor="top",
            yshift=-below, align="left", showarrow=False, font={"size": 11.5, "color": _current.muted}, name="caption",
        )  # fmt: skip
    fig.update_layout(layout)
    return fig
