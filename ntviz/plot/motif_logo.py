"""Logos of motifs: one by logomaker (Tareen and Kinney 2020) on matplotlib axes, many as plotly with known motifs beneath."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ntviz.plot.charts import LEGEND
from ntviz.plot.letters import information, letter_traces
from ntviz.plot.theme import BASES, WIDTH, colours, framed
from ntviz.plot.tracks import checked, literal, span_of
from ntviz.plot.words import escaped, number, plain, sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = {"bits": "in bits", "probability": "as probabilities", "weights": "as weights"}
_ACROSS, _ROW, _GAP, _WIDEST, _DESCRIBED = 3, 86, 54, 34, 6


def logo(motif: Any, *, kind: str = "", unit: str = "", title: str = "", ax: Axes | None = None, **options: Any) -> Axes:  # fmt: skip
    """The matplotlib axes with one motif drawn by logomaker in our base colours; at the end of a cell they show themselves.

    Parameters
    ----------
    motif, kind
        [position, 4] in the order A, C, G, T, a DataFrame with these columns, or an object with `probabilities`; drawn as "bits"
        (objects by default), "probability" or "weights" (arrays by default, as they are).
    unit, title, ax, options
        Of weights; above the logo; where to draw, new axes when None; more of `logomaker.Logo`.
    """
    import logomaker
    from matplotlib.figure import Figure

    c, kind = colours(), kind or ("bits" if hasattr(motif, "probabilities") else "weights")
    heights, _, words = _read(Beside(motif, name=title), kind)
    if ax is None:
        # Not pyplot's, which would keep each figure, and show each that is made in a cell.
        size = max(2.0, 0.34 * len(heights) + 0.9), 1.9
        ax = Figure(figsize=size, layout="constrained", facecolor=c.paper).add_subplot(facecolor=c.paper)
        ax._repr_mimebundle_ = lambda **_: _shown(ax)
    options = {"color_scheme": {base: c.bases[base] for base in BASES}, "font_name": "DejaVu Sans", **options}
    table = pd.DataFrame(heights, columns=list(BASES), index=np.arange(len(heights)) + 1)
    drawn = logomaker.Logo(table, ax=ax, show_spines=False, **options)
    drawn.style_spines(spines=("left", "bottom"), visible=True, color=c.muted)
    drawn.style_xticks(spacing=1 if len(heights) <= 16 else 5)
    ax.tick_params(colors=c.ink)
    ax.set_xlabel("position", color=c.ink)
    ax.set_ylabel(plain(unit) if kind == "weights" else kind, color=c.ink, parse_math=False)
    ax.set_title(plain(title, most=120), loc="left", color=c.ink, parse_math=False)
    ax.set_label(words)
    return ax


def _shown(ax: Axes) -> tuple[dict[str, str], dict[str, Any]]:
    """What a notebook shows at the end of a cell, with what it shows in words."""
    png, words, figure = BytesIO(), str(ax.get_label()), ax.get_figure()
    figure.savefig(png, format="png", dpi=192)
    data = {"image/png": base64.b64encode(png.getvalue()).decode(), "text/plain": words}
    return data, {"image/png": {"alt": words, "width": round(96 * figure.get_figwidth())}}


def splice_logo(matrix: np.ndarray, kind: str, *, title: str = "", unit: str = "log-odds (nats)", ax: Axes | None = None) -> Axes:  # fmt: skip
    """The matplotlib axes of a logo in splice coordinates: numbers count from the junction, which is named, and there is no 0.

    The matrix has [position, 4] heights of A, C, G, T, such as mean contributions over many sites: of a "donor" from -3 to +6 (3 bases
    of the exon, 6 of the intron), of an "acceptor" from -20 to +3 (20 of the intron, 3 of the exon).
    """
    if kind not in ("acceptor", "donor"):
        raise ValueError(f"A splice site must be an acceptor or a donor; received {kind!r}. Choose one of the two.")
    before, after, sides = (3, 6, "exon | intron") if kind == "donor" else (20, 3, "intron | exon")
    if np.shape(matrix) != (before + after, 4):
        raise ValueError(f"A {kind} must have {before + after} positions, -{before} to +{after}, by 4 bases; received the shape "
                         f"{list(np.shape(matrix))}. Cut the contributions around the junction.")  # fmt: skip
    axes, numbers = logo(matrix, ax=ax, unit=unit, title=title), [*range(-before, 0), *range(1, after + 1)]
    shown = [i for i, at in enumerate(numbers) if kind == "donor" or at in (-3, -1) or at > 0 or at % 5 == 0]
    axes.set_xticks([i + 1 for i in shown], [f"{numbers[i]:+d}".replace("-", "−") for i in shown])
    axes.axvline(before + 0.5, color=colours().muted, linewidth=1, linestyle=":")
    axes.set_xlabel(f"{sides}, bases from the junction")
    base = np.abs(matrix).argmax(axis=1)
    values = np.asarray(matrix)[np.arange(len(base)), base]
    two = [f"{BASES[base[i]]} at {numbers[i]:+d} ({number(values[i])})" for i in sorted(np.abs(values).argsort()[-2:])]
    reach = f"positions {numbers[0]} to +{numbers[-1]}"
    axes.set_label(f"{plain(title) or kind}, {reach}: largest {' and '.join(two)}, in {plain(unit)}.")
    return axes


@dataclass(frozen=True, slots=True)
class Beside:
    """A known motif to draw beneath another: its column `offset`, from 0, under the first one; `strand` - turns it before."""

    motif: Any
    offset: int = 0
    strand: str = "+"
    name: str = ""
    note: str = ""


def motif_logos(
    motifs: Iterable[Any], *, title: str, kind: str = "bits", names: Sequence[str] | None = None, notes: Sequence[str] | None = None,
    beside: Sequence[Beside | None] | None = None, unit: str = "",
) -> go.Figure:  # fmt: skip
    """A figure of motifs as logos in a grid, all on one scale: up to hundreds, which logomaker would take minutes for.

    Parameters
    ----------
    motifs, kind, unit
        As `logo` takes them: for contributions, pass probabilities times contributions with kind="weights".
    title, names, notes
        What the figure shows; written above each motif, by default its name; written after each name.
    beside
        For each motif the one to draw beneath it, in bits; None draws "no match".
    """
    motifs, title = list(motifs), plain(title, most=200)
    if not motifs:
        raise ValueError("There must be a motif to draw; received none. Say in words that nothing was found.")
    for what, given in {"names": names, "notes": notes, "beside": beside}.items():
        if given is not None and len(given) != len(motifs):
            raise ValueError(f"{what} must have one entry for each of the {len(motifs):,} motifs; received {len(given):,}.")  # fmt: skip
    # Of each motif the heights, the shift in columns and the label; then the same of what is beneath.
    stacks, words = [], []
    columns = [[None] * len(motifs) if given is None else given for given in (names, notes, beside)]
    for i, (motif, name, note, pair) in enumerate(zip(motifs, *columns, strict=True), 1):
        heights, label, text = _read(Beside(motif, name=name or "", note=note or ""), kind, f"motif {i}")
        stacks.append([(heights, 0, label)])
        if beside is not None:
            heights, label, _ = _read(pair, "bits") if pair else (np.zeros((0, 4)), "no match", "")
            stacks[-1].append((heights, -int(pair.offset) if pair else 0, label))
            text = f"{text[:-1]}; {'beneath it ' if pair else ''}{label}."
        words.append(text)

    c, across, floors = colours(), min(_ACROSS, len(motifs)), len(stacks[0])
    rows = -(-len(motifs) // across) * floors
    total = rows * (_ROW + _GAP) - _GAP
    cells = [[{} if row // floors * across + i < len(motifs) else None for i in range(across)] for row in range(rows)]
    fig = make_subplots(rows, across, specs=cells, vertical_spacing=_GAP / total, horizontal_spacing=0.045)
    sums = [part.sum(axis=1) for (high, *_), *_ in stacks for part in (high.clip(0), high.clip(None, 0))]
    limits = {"bits": [0.0, 2.0], "probability": [0.0, 1.0]}.get(kind) or span_of(np.concatenate(sums))
    ends = [(shift, shift + len(high)) for stack in stacks for high, shift, _ in stack]
    # One width of a position for all motifs, and no letter much wider than high.
    first, longest = np.min(ends), max(WIDTH / across / _WIDEST, np.ptp(ends))
    step = 1 if longest <= 16 else 5 * -(-int(longest) // 100)
    for i, floor in np.ndindex(len(motifs), floors):
        heights, shift, label = stacks[i][floor]
        cell = {"row": i // across * floors + floor + 1, "col": i % across + 1}
        at, name = np.arange(len(heights)) + 1, escaped(label, most=int(WIDTH / across / 6.4))
        what = "bits" if floor else plain(unit) if kind == "weights" else kind
        _letters(fig, heights, at + shift, at, label=label, unit=what, **cell)
        axes = fig.get_subplot(**cell)
        axes.xaxis.tickvals = [] if floor else at[::step]
        axes.yaxis.update(range=[0, 2] if floor else limits, title_text="" if i % across else escaped(what))
        fig.add_annotation(x=0, y=1, xref="x domain", yref="y domain", xanchor="left", yanchor="bottom", yshift=2, showarrow=False, **cell,
                           text=name if floor else f"<b>{name}</b>", font={"size": 11, "color": c.muted if floor else c.ink})  # fmt: skip
    fig.update_xaxes(range=[first + 0.4, first + longest + 0.6], matches="x", ticks="", tickfont_size=9)
    fig.update_yaxes(nticks=5 if kind == "weights" else 3, zeroline=kind == "weights", fixedrange=True)
    fig.update_yaxes(tickfont_size=9, title_font_size=11)
    more = [f"And {len(words) - _DESCRIBED:,} more."] if len(words) > _DESCRIBED else []
    count = f"{len(motifs):,} motif{'s' * (len(motifs) > 1)}, {KINDS[kind]}."
    alt = " ".join([sentence(title), count, *words[:_DESCRIBED], *more])
    return framed(fig, title=title, alt=alt, height=total, above=16, below=34, hovermode="x", showlegend=False)


def _letters(fig: Any, heights: np.ndarray, x: np.ndarray, at: np.ndarray, *, label: str, unit: str, **cell: int) -> None:  # fmt: skip
    """Letters, and over them what the pointer reads, with positions `at`."""
    fig.add_traces(letter_traces(heights, x.astype(float)), rows=cell.get("row"), cols=cell.get("col"))
    fig.add_scatter(x=x, y=heights.clip(0).sum(axis=1), mode="markers", marker={"opacity": 0, "size": 14}, name=escaped(label),
                    text=[BASES[best] for best in heights.argmax(axis=1)], customdata=at, **cell,
                    hovertemplate=f"position %{{customdata}}: %{{text}}, %{{y:.3g}} {literal(unit)}")  # fmt: skip


def _read(part: Beside, kind: str, otherwise: str = "motif") -> tuple[np.ndarray, str, str]:
    """Heights [position, base], label, and the motif in words: lower case below half a bit, n below a tenth."""
    if kind not in KINDS:
        raise ValueError(f"The kind of a logo must be one of {', '.join(KINDS)}; received {kind!r}.")
    if part.strand not in ("+", "-"):
        raise ValueError(f"The strand of a motif beside another must be + or -; received {part.strand!r}.")
    motif, turn = part.motif, part.strand == "-"
    own = [text for key in ("name", "id") if isinstance(text := getattr(motif, key, None), str)]
    name = (plain(part.name) or plain(" ".join(dict.fromkeys(own))) or otherwise) + " (−)" * turn
    label = ", ".join(filter(None, [name, plain(part.note)]))
    motif = getattr(motif, "probabilities", motif)
    array = np.asarray(motif.reindex(columns=list(BASES)) if hasattr(motif, "reindex") else motif, dtype=float)
    if wrong := int(np.isnan(checked(array, label, ["position", 4])[label]).sum()):
        raise ValueError(f"{label!r} must be finite; received {wrong:,} values that are not. Cut these positions.")
    odd = np.flatnonzero((array < -1e-6).any(axis=1) | (np.abs(array.sum(axis=1) - 1) > 0.02))
    if kind != "weights" and odd.size:
        got = f"received {array[odd[0]].round(4)} at position {odd[0] + 1}. Divide counts by their sum, or pass kind='weights'"
        raise ValueError(f"Each position of {label!r} must hold probabilities (at least 0, sum 1); {got}.")
    array = array[::-1, ::-1] if turn else array
    bits = np.full(len(array), 2.0) if kind == "weights" else information(array)
    letters = np.array(list("ACGTacgtn"))[np.where(bits < 0.1, 8, array.argmax(axis=1) + 4 * (bits < 0.5))]
    words = f"{label}: {plain(''.join(letters), most=40)}, {len(array):,} position{'s' * (len(array) > 1)}"
    if kind == "bits":
        return array * bits[:, None], label, f"{words}, {number(bits.sum())} bits."
    return array, label, f"{words}."


def aligned_logo(
    shares: np.ndarray, background: np.ndarray, *, chance: np.ndarray, token: tuple[int, int], sites: int, title: str,
    control: np.ndarray | None = None,
) -> go.Figure:  # fmt: skip
    """A figure of aligned sites as a logo: how far each position differs from random sites, in bits.

    Parameters
    ----------
    shares, background, control
        [position, 4] of the sites, of random sites, and of one random set of as many, which is a grey line.
    chance, token, sites, title
        [position] bits that random sites reach in 95 % of draws; positions of the attended token, half-open; number of sites.
    """
    checked(shares, "shares", ["position", 4], control, scores=False)
    checked(background, "background", shares.shape, scores=False)
    checked(chance, "chance", shares.shape[:1], scores=False)
    c, fig, title, inside = colours(), go.Figure(), plain(title, most=200), slice(*token)
    bits, at = information(shares, background), np.arange(len(shares)) - token[0]
    _letters(fig, shares * bits[:, None], at, at, label="attended sites", unit="bits")
    fig.update_traces(showlegend=False)
    lines = {"random sites, 95 % of draws": (chance, c.ink, "dot")}
    if control is not None:
        lines["control: one random set of as many sites"] = information(control, background), c.control, "solid"
    for name, (y, colour, dash) in lines.items():
        fig.add_scatter(x=at, y=y, name=name, mode="lines", line={"color": colour, "dash": dash, "shape": "hvh", "width": 1.2},
                        hovertemplate="%{y:.3g} bits")  # fmt: skip
    fig.add_vrect(-0.5, token[1] - token[0] - 0.5, fillcolor=c.faint, opacity=0.4, line_width=0, layer="below")
    fig.update_xaxes(title_text="position within the site, bp from the start of the attended token",
                     dtick=1 if len(at) <= 24 else 3, range=[at[0] - 0.6, at[-1] + 0.6])  # fmt: skip
    fig.update_yaxes(title_text="bits over random sites", rangemode="tozero")
    best = "".join(BASES[base] for base in shares[inside].argmax(axis=1))
    alt = (f"{sentence(title)} {sites:,} sites, {len(at)} positions. Most likely bases of the attended token: {best}; "
           f"{number(bits[inside].sum())} bits over it, of which random sites reach {number(chance[inside].sum())}. "
           f"{(bits > chance).sum()} of {len(at)} positions exceed chance.")  # fmt: skip
    return framed(fig, title=title, alt=alt, height=220, above=20, hovermode="x unified", subtitle="shaded: the attended token",
                  legend=LEGEND)  # fmt: skip
