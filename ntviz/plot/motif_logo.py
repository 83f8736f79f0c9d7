"""Logos of motifs: one by logomaker on matplotlib axes, many in a plotly figure with known motifs beside.

References
----------
Schneider TD, Stephens RM (1990) Nucleic Acids Res 18:6097 (sequence logos). Tareen A, Kinney JB (2020) Bioinformatics 36:2272
(logomaker). Gupta S et al. (2007) Genome Biol 8:R24 (TOMTOM, whose pictures set a motif above its match).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from ntviz.plot.letters import information, letter_traces
from ntviz.plot.theme import BASES, WIDTH, colours, framed
from ntviz.plot.tracks import literal, span_of
from ntviz.plot.words import escaped, number, plain, sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = {"bits": "in bits", "probability": "as probabilities", "weights": "as weights"}
EVEN = (0.25, 0.25, 0.25, 0.25)
TURNED = " (−)"
"""Behind the name of a motif that is drawn as its reverse complement."""
MOST_TOLD = 6
"""Motifs that the alt sentence describes one by one."""
_ROW, _GAP, _WIDEST = 86, 54, 34


def logo(
    motif: Any,
    *,
    kind: str | None = None,
    background: Sequence[float] | np.ndarray = EVEN,
    unit: str = "",
    title: str = "",
    ax: Axes | None = None,
    **options: Any,
) -> Axes:
    """The matplotlib axes with one motif drawn by logomaker, in the base colours of all figures, for a page or a paper.

    New axes show themselves at the end of a cell. `ax.get_label()` says in words what is drawn, and
    `ax.figure.savefig("motif.pdf")` writes it.

    Parameters
    ----------
    motif
        [position, 4] in the order A, C, G, T, a DataFrame with these columns, as logomaker takes it, or an object that has
        one of them as `probabilities`, such as those of `motifs.read`.
    kind
        `bits`: a column is as high as its information over the background. `probability`: each column is 1 high.
        `weights`: the values themselves, such as counts, log-odds or mean contributions; below zero upside down. When None,
        arrays and DataFrames are drawn as they are, as logomaker draws them, and objects with `probabilities` in bits.
    background
        Probabilities of A, C, G and T that have no information.
    unit
        Of weights.
    title
        Above the logo.
    ax
        Where to draw; new axes when None.
    **options
        More of `logomaker.Logo`.

    Raises
    ------
    ValueError
        As `motif_logos`.

    Examples
    --------
    >>> logo(np.eye(4), kind="bits").get_label()
    'motif: ACGT, 4 positions, 8 bits.'
    """
    import logomaker
    import pandas as pd

    kind = kind or ("bits" if hasattr(motif, "probabilities") else "weights")
    if kind not in KINDS:
        raise _unknown(kind)
    name = plain(title) or _names([motif])[0].removesuffix(" 1")
    array, shares, c = _array(motif, name, weights=kind == "weights"), _background(background), colours()
    heights = _heights(array, kind, shares)
    if ax is None:
        from matplotlib.figure import Figure

        # Not pyplot's, which would keep each figure, and show each that is made in a cell.
        figure = Figure(figsize=(max(2.0, 0.34 * len(array) + 0.9), 1.9), layout="constrained", facecolor=c.paper)
        ax = figure.add_subplot(axes_class=_shown())
        ax.set_facecolor(c.paper)
    options = {"color_scheme": {base: c.bases[base] for base in BASES}, "show_spines": False, "font_name": "DejaVu Sans", **options}
    logomaker.Logo(pd.DataFrame(heights, columns=list(BASES)), ax=ax, **options)
    ax.spines[["left", "bottom"]].set(visible=True, color=c.muted)
    ax.tick_params(colors=c.ink)
    ticks = _ticks(len(array))
    ax.set_xticks(np.array(ticks) - 1, list(map(str, ticks)))
    ax.set_xlabel("position", color=c.ink)
    ax.set_ylabel(plain(unit) if kind == "weights" else kind, color=c.ink, parse_math=False)
    ax.set_title(plain(title, most=120), loc="left", color=c.ink, parse_math=False)
    ax.set_label(_described(name, array, heights, kind, shares) + ".")
    return ax


@cache
def _shown() -> type[Axes]:
    """Axes that a notebook shows at the end of a cell, with what they show in words."""
    from matplotlib.axes import Axes

    class Logo(Axes):
        def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
            with BytesIO() as png:
                self.get_figure().savefig(png, format="png", dpi=192)
                data = base64.b64encode(png.getvalue()).decode()
            words = str(self.get_label())
            return {"image/png": data, "text/plain": words}, {"image/png": {"alt": words, "width": round(96 * self.get_figure().get_figwidth())}}

    return Logo


@dataclass(frozen=True, slots=True)
class Beside:
    """A known motif to draw beneath another one, column under column.

    Parameters
    ----------
    motif
        Base probabilities [position, 4], or an object that has them as `probabilities`, as its file gives them.
    offset
        Position of the upper motif's first column in this one, from 0, once this is turned as `strand` says; negative
        where the upper one begins before it. As `motifs.name` gives it.
    strand
        - to draw the reverse complement.
    name
        Written above it; its own name when empty.
    note
        Written after the name, such as "q = 0.003".
    """

    motif: Any
    offset: int = 0
    strand: str = "+"
    name: str = ""
    note: str = ""


def motif_logos(
    motifs: Iterable[Any],
    *,
    title: str,
    kind: str = "bits",
    names: Sequence[str] | None = None,
    notes: Sequence[str] | None = None,
    beside: Sequence[Beside | None] | None = None,
    background: Sequence[float] | np.ndarray = EVEN,
    unit: str = "",
    columns: int = 3,
) -> go.Figure:
    """A figure of motifs as logos in a grid, all on one scale: up to hundreds, which logomaker would take minutes for.

    Parameters
    ----------
    motifs, kind, background, unit
        As `logo` takes them: for contributions, pass probabilities times contributions with kind="weights".
    title
        Says what the figure shows.
    names
        Written above each; by default the `name` and `id` of an object, else its number.
    notes
        Written after each name, such as its number of sites.
    beside
        For each motif the one to draw beneath it, in bits; None draws "no match".
    columns
        Motifs side by side.

    Raises
    ------
    ValueError
        If there is no motif, the kind is unknown, shapes or numbers disagree, rows are no probabilities, or values are not
        finite.

    Examples
    --------
    >>> sure, even = np.eye(4), np.full((2, 4), 0.25)
    >>> match = Beside(sure[:3], offset=-1, strand="-", name="known", note="q = 0.01")
    >>> motif_logos([sure, even], names=["found", "flat"], beside=[match, None], title="Two motifs").layout.meta["alt"]
    'Two motifs. 2 motifs, in bits. found: ACGT, 4 positions, 8 bits; beneath it the reverse complement of known from its position 2 on, q = 0.01. flat: nn, 2 positions, 0 bits; no match.'
    """
    motifs, shares = list(motifs), _background(background)
    if not motifs:
        raise ValueError("There must be a motif to draw; received none. Say so in words where a search found nothing.")
    if kind not in KINDS:
        raise _unknown(kind)
    for name, values in {"names": names, "notes": notes, "beside": beside}.items():
        if values is not None and len(values) != len(motifs):
            raise ValueError(f"{name} must have one entry for each of the {len(motifs):,} motifs; received {len(values):,}. Pass as many.")
    labels = [plain(name) for name in (names if names is not None else _names(motifs))]
    arrays = [_array(motif, label, weights=kind == "weights") for motif, label in zip(motifs, labels, strict=True)]
    heights = [_heights(array, kind, shares) for array in arrays]
    asides = [""] * len(motifs) if notes is None else [plain(note) for note in notes]
    pairs = [None] * len(motifs) if beside is None else [None if pair is None else _target(pair, shares) for pair in beside]
    sure = [0.0, float(np.log2(1 / shares.min()))]
    limits = {"bits": sure, "probability": [0.0, 1.0]}.get(kind) or span_of(np.concatenate([part(one, 0).sum(1) for one in heights for part in (np.fmax, np.fmin)]))

    c, fig = colours(), go.Figure()
    across, floors = min(columns, len(motifs)), 1 if beside is None else 2
    rows = -(-len(motifs) // across) * floors
    total = rows * (_ROW + _GAP) - _GAP
    first = [min(0, pair[2]) if pair else 0 for pair in pairs]
    ends = [max(len(one), pair[2] + len(pair[0])) if pair else len(one) for one, pair in zip(heights, pairs, strict=True)]
    # One width of a position for all motifs, and no letter much wider than high.
    longest = max(WIDTH / across / _WIDEST, *(end - start for start, end in zip(first, ends, strict=True)))
    said = []
    for i, (label, array, high, pair) in enumerate(zip(labels, arrays, heights, pairs, strict=True)):
        said.append(_described(label, array, high, kind, shares) + (f", {asides[i]}" if asides[i] else "") + _beneath(pair, paired=beside is not None) + ".")
        stacks = [(high, 0, ", ".join(filter(None, (label, asides[i]))), limits, plain(unit) if kind == "weights" else kind)]
        if beside is not None:
            stacks.append((np.zeros((0, 4)), 0, "no match", sure, "") if pair is None else (pair[0], pair[2], ", ".join(filter(None, (pair[1], pair[3]))), sure, "bits"))
        left = i % across / across
        for floor, (letters, shift, words, reach, of) in enumerate(stacks):
            k = "" if i + floor == 0 else str(i * floors + floor + 1)
            top = 1 - (i // across * floors + floor) * (_ROW + _GAP) / total
            x, axes = np.arange(len(letters)) + shift + 1.0, {"xaxis": f"x{k}", "yaxis": f"y{k}", "showlegend": False}
            fig.add_traces([trace.update(axes) for trace in letter_traces(letters, x)])
            fig.add_scatter(x=x, y=np.fmax(letters, 0).sum(axis=1), mode="markers", marker={"opacity": 0, "size": 14}, name=escaped(words), text=[BASES[best] for best in letters.argmax(axis=1)],
                            customdata=np.arange(len(letters)) + 1, hovertemplate=f"position %{{customdata}}: %{{text}}, %{{y:.3g}} {literal(of)}<extra>%{{fullData.name}}</extra>", **axes)  # fmt: skip
            fig.layout[f"xaxis{k}"] = {"domain": [left, left + (1 - 0.045 * (across - 1)) / across], "anchor": f"y{k}", "range": [first[i] + 0.4, first[i] + longest + 0.6], "ticks": "",
                                       "tickvals": _ticks(len(high), longest), "tickfont": {"size": 9}, "showticklabels": floor == 0, "matches": f"x{i * floors + 1}" if floor else None}  # fmt: skip
            fig.layout[f"yaxis{k}"] = {"domain": [max(0.0, top - _ROW / total), top], "anchor": f"x{k}", "range": reach, "nticks": 3, "tickfont": {"size": 9}, "zeroline": reach[0] < 0,
                                       "fixedrange": True, "title": {"text": "" if i % across else escaped(of), "font": {"size": 11}}}  # fmt: skip
            name = escaped(words, most=int(WIDTH / across / 6.4))
            fig.add_annotation(x=left, xref="paper", xanchor="left", y=top, yref="paper", yanchor="bottom", yshift=2, text=name if floor else f"<b>{name}</b>", showarrow=False,
                               font={"size": 11, "color": c.muted if floor else c.ink})  # fmt: skip
    title = plain(title, most=200)
    more = [f"And {len(said) - MOST_TOLD:,} more."] if len(said) > MOST_TOLD else []
    alt = " ".join([sentence(title), f"{len(motifs):,} motif{'s' * (len(motifs) > 1)}, {KINDS[kind]}.", *said[:MOST_TOLD], *more])
    return framed(fig, title=title, alt=alt, height=total, above=16, below=34, hovermode="x")


def _ticks(n: int, longest: float = 0) -> list[int]:
    """Positions of a motif that have numbers: all of up to 16, else the first and each fifth, or more."""
    step = 1 if max(n, longest) <= 16 else 5 * -(-int(max(n, longest)) // 100)
    return sorted({1, *range(step, n + 1, step)})


def _heights(array: np.ndarray, kind: str, background: np.ndarray) -> np.ndarray:
    return array * information(array, background)[:, None] if kind == "bits" else array


def _described(name: str, array: np.ndarray, heights: np.ndarray, kind: str, background: np.ndarray) -> str:
    """One motif in words, without a full stop."""
    consensus = _consensus(array, None if kind == "weights" else background)
    bits = f", {number(float(heights.sum()))} bits" if kind == "bits" else ""
    return f"{name}: {plain(consensus, most=40)}, {len(array):,} position{'s' * (len(array) > 1)}{bits}"


def _beneath(pair: tuple[np.ndarray, str, int, str] | None, *, paired: bool) -> str:
    if pair is None:
        return "; no match" * paired
    _, name, shift, note = pair
    turned = "the reverse complement of " * name.endswith(TURNED)
    begins = f"from its position {shift + 1:,} on" if shift >= 0 else f"from {-shift:,} position{'s' * (shift < -1)} before it on"
    return f"; beneath it {turned}{name.removesuffix(TURNED)} {begins}" + (f", {note}" if note else "")


def _target(beside: Beside, background: np.ndarray) -> tuple[np.ndarray, str, int, str]:
    """Heights in bits, name, shift to the right in columns of the upper motif, and note."""
    if beside.strand not in ("+", "-"):
        raise ValueError(f"The strand of a motif beside another must be + or -; received {beside.strand!r}. Use - for its reverse complement.")
    name = plain(beside.name or _names([beside.motif])[0])
    array = _array(beside.motif, name, weights=False)
    if beside.strand == "-":
        array, name = array[::-1, ::-1], name + TURNED
    return _heights(array, "bits", background), name, -int(beside.offset), plain(beside.note)


def _unknown(kind: object) -> ValueError:
    return ValueError(f"The kind of logos must be one of {', '.join(KINDS)}; received {kind!r}. Use 'bits' to see where a motif is sure of a base.")


def _names(motifs: Sequence[Any]) -> list[str]:
    """The name of each motif and its identifier, where it has them, else its number from 1."""
    named = []
    for index, motif in enumerate(motifs):
        known = (part for key in ("name", "id") if isinstance(part := getattr(motif, key, ""), str))
        named.append(" ".join(dict.fromkeys(filter(None, known))) or f"motif {index + 1}")
    return named


def _array(motif: Any, label: str, *, weights: bool) -> np.ndarray:
    motif = getattr(motif, "probabilities", motif)
    array = np.asarray(motif.reindex(columns=list(BASES)) if hasattr(motif, "reindex") else motif, dtype=float)
    if array.ndim != 2 or array.shape[1] != 4 or not len(array):
        raise ValueError(f"{label!r} must be [position, 4] in the order A, C, G, T, with a position; received {list(array.shape)}. Put positions first.")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{label!r} must be finite; received {int((~np.isfinite(array)).sum()):,} values that are not, the first at position "
            f"{int(np.flatnonzero(~np.isfinite(array).all(1))[0]) + 1}. Fill or cut these positions."
        )
    odd = (array < -1e-6).any(axis=1) | (np.abs(array.sum(axis=1) - 1) > 0.02)
    if not weights and odd.any():
        wrong = int(np.flatnonzero(odd)[0])
        raise ValueError(
            f"Each position of {label!r} must hold probabilities (at least 0, sum 1); received {np.array2string(array[wrong], precision=4)} at position "
            f"{wrong + 1}. Divide counts by their sum, or pass kind='weights' for values that are no probabilities."
        )
    return array


def _background(background: Sequence[float] | np.ndarray) -> np.ndarray:
    values = np.asarray(background, dtype=float)
    if values.shape != (4,) or not (values > 0).all() or not np.isclose(values.sum(), 1, atol=0.01):
        raise ValueError(
            f"A background must be four positive probabilities in the order A, C, G, T that sum to one; received {values.tolist()}. Leave it out for 0.25 each."
        )
    return values / values.sum()


def _consensus(array: np.ndarray, background: np.ndarray | None) -> str:
    """The likeliest base of each position; of probabilities, lower case below half a bit and n below a tenth."""
    best = [BASES[base] for base in array.argmax(axis=1)]
    bits = np.full(len(array), 2.0) if background is None else information(array, background)
    return "".join(base if bit >= 0.5 else base.lower() if bit >= 0.1 else "n" for base, bit in zip(best, bits, strict=True))


def aligned_logo(
    shares: np.ndarray,
    background: np.ndarray,
    *,
    chance: np.ndarray,
    token: tuple[int, int],
    sites: int,
    title: str,
    control: np.ndarray | None = None,
) -> go.Figure:
    """A figure of aligned sites as a logo: how far each position differs from random sites, in bits.

    Parameters
    ----------
    shares
        [position, 4] shares of A, C, G, T over the sites.
    background
        [position, 4] shares over random sites.
    chance
        [position] bits that random sites reach in 95 % of draws: dotted over the logo.
    token
        Positions of the attended token, half-open; shaded.
    sites
        Number of sites.
    title
        Says what the figure shows.
    control
        [position, 4] shares over one random set of as many sites: a grey line on the same scale.

    Raises
    ------
    ValueError
        If the shapes disagree.

    Examples
    --------
    >>> even = np.full((3, 4), 0.25)
    >>> sure = np.array([[0.97, 0.01, 0.01, 0.01], *even[1:]])
    >>> figure = aligned_logo(sure, even, chance=np.full(3, 0.1), token=(0, 1), sites=40, title="A head")
    >>> figure.layout.meta["alt"]
    'A head. 40 sites, 3 positions. Most likely bases of the attended token: A; 1.76 bits over it, of which random sites reach 0.1. 1 of 3 positions exceed chance.'
    """
    for name, array, shape in (
        ("background", background, shares.shape),
        ("chance", chance, shares.shape[:1]),
        ("control", shares if control is None else control, shares.shape),
    ):
        if array.shape != shape or shares.ndim != 2 or shares.shape[1] != 4:
            raise ValueError(
                f"shares must be [position, 4], and {name} must fit them; received {list(shares.shape)} and {list(array.shape)}. Pass arrays of the same sites."
            )
    c, fig, n = colours(), go.Figure(), len(shares)
    bits, at = information(shares, background), np.arange(n) - float(token[0])
    fig.add_traces(letter_traces(shares * bits[:, None], at))
    fig.add_scatter(x=at, y=bits, mode="markers", marker={"opacity": 0, "size": 14}, name="attended sites", text=[BASES[i] for i in shares.argmax(axis=1)], hovertemplate="%{text}, %{y:.3g} bits")
    fig.add_scatter(x=at, y=chance, mode="lines", line={"color": c.ink, "dash": "dot", "width": 1.2, "shape": "hvh"}, name="random sites, 95 % of draws", hovertemplate="%{y:.3g} bits")
    if control is not None:
        fig.add_scatter(x=at, y=information(control, background), mode="lines", line={"color": c.control, "width": 1.2, "shape": "hvh"}, name="control: one random set of as many sites", hovertemplate="%{y:.3g} bits")
    for trace in fig.data[:5]:
        trace.showlegend = False
    fig.add_shape(type="rect", x0=-0.5, x1=token[1] - token[0] - 0.5, y0=0, y1=1, yref="paper", fillcolor=c.faint, opacity=0.4, line={"width": 0}, layer="below")
    fig.update_xaxes(range=[at[0] - 0.6, at[-1] + 0.6], dtick=1 if n <= 24 else 3, title_text="position within the site, bp from the start of the attended token")
    fig.update_yaxes(title_text="bits over random sites", rangemode="tozero")
    inside = slice(*token)
    best = "".join(BASES[base] for base in shares[inside].argmax(1))
    alt = (
        f"{sentence(plain(title, most=200))} {sites:,} sites, {n} positions. Most likely bases of the attended token: {best}; "
        f"{number(float(bits[inside].sum()))} bits over it, of which random sites reach {number(float(chance[inside].sum()))}. "
        f"{int((bits > chance).sum())} of {n} positions exceed chance."
    )
    return framed(fig, title=plain(title, most=200), alt=alt, height=220, above=20, hovermode="x unified", subtitle="shaded: the attended token",
                  legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 1, "xanchor": "right"})  # fmt: skip
