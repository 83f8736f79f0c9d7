"""Logos of motifs: one by logomaker on matplotlib axes, many in a plotly figure with known motifs beside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from ntviz.plot.letters import information, letter_traces
from ntviz.plot.theme import BASES, colours, framed
from ntviz.plot.tracks import span_of
from ntviz.plot.words import escaped, number, plain, sentence

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

KINDS = ("bits", "probability", "weights")
TURNED = " (−)"
"""Behind the name of a motif that is drawn as its reverse complement."""
MOST_TOLD = 12
_ROW, _GAP, _COLUMN = 86, 54, 30


def logo(matrix: pd.DataFrame | np.ndarray, *, ax: Axes | None = None, unit: str = "", title: str = "", **options: Any) -> Axes:
    """The axes with a motif drawn by logomaker, in the base colours of all figures.

    Parameters
    ----------
    matrix
        What logomaker takes: a DataFrame of letter heights with one column a letter, or an array [position, 4] in the order
        A, C, G, T. `logomaker.transform_matrix` turns counts and probabilities into bits.
    ax
        Where to draw; new axes when None, which a notebook shows at the end of the cell.
    unit
        Of the heights, on the vertical axis.
    title
        Above the logo.
    **options
        More of `logomaker.Logo`.

    Raises
    ------
    ValueError
        If an array is not [position, 4] or holds what is not finite.
    """
    import logomaker
    import pandas as pd

    if not isinstance(matrix, pd.DataFrame):
        matrix = pd.DataFrame(_array(matrix, "matrix", weights=True), columns=list(BASES))
    c = colours()
    if ax is None:
        size = (max(2.0, 0.34 * len(matrix) + 0.9), 1.9)
        from IPython.core.getipython import get_ipython

        if get_ipython() is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=size, layout="constrained", facecolor=c.paper).subplots()
        else:
            import matplotlib.pyplot as plt

            ax = plt.subplots(figsize=size, layout="constrained", facecolor=c.paper)[1]
        ax.set_facecolor(c.paper)
    options = {"color_scheme": {base: c.bases[base] for base in BASES}, "show_spines": False, "font_name": "DejaVu Sans"} | options
    logomaker.Logo(matrix, ax=ax, **options)
    ax.spines[["left", "bottom"]].set_visible(True)
    ax.spines[["left", "bottom"]].set_color(c.muted)
    ax.tick_params(colors=c.ink)
    ax.set_xticks(matrix.index, [str(i + 1) for i in range(len(matrix))])
    ax.set_xlabel("position", color=c.ink)
    ax.set_ylabel(plain(unit), color=c.ink)
    if title:
        ax.set_title(plain(title, most=120), loc="left", color=c.ink, parse_math=False)
    return ax


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

    motif: object
    offset: int = 0
    strand: str = "+"
    name: str = ""
    note: str = ""


def motif_logos(
    motifs: Iterable[object],
    *,
    title: str,
    kind: str = "bits",
    names: Sequence[str] | None = None,
    notes: Sequence[str] | None = None,
    contributions: Sequence[np.ndarray] | None = None,
    beside: Sequence[Beside | None] | None = None,
    background: Sequence[float] | np.ndarray = (0.25, 0.25, 0.25, 0.25),
    unit: str = "",
    columns: int = 3,
) -> go.Figure:
    """A figure of motifs as logos, all on one scale.

    Parameters
    ----------
    motifs
        [position, 4] each in the order A, C, G, T, or objects that have this as `probabilities`, such as those of
        `motifs.read`.
    title
        Says what the figure shows.
    kind
        `bits`: a column is as high as its information over the background. `probability`: each column is 1 high.
        `weights`: the values themselves, such as log-odds or mean contributions; below zero upside down.
    names
        Written above each; by default the `name` and `id` of an object, else its number.
    notes
        Written after each name, such as its number of sites.
    contributions
        [position] of each motif, drawn in place of its information: a column is as high as its contribution, and its
        letters share it as they share the probability.
    beside
        For each motif the one to draw beneath it, in bits; None draws "no match".
    background
        Probabilities of A, C, G and T that have no information.
    unit
        Of weights and contributions.
    columns
        Motifs side by side.

    Raises
    ------
    ValueError
        If there is no motif, shapes or numbers disagree, rows are no probabilities, or values are not finite.

    Examples
    --------
    >>> sure, even = np.eye(4), np.full((2, 4), 0.25)
    >>> match = Beside(sure[:3], offset=-1, strand="-", name="known", note="q = 0.01")
    >>> motif_logos([sure, even], names=["found", "flat"], beside=[match, None], title="Two motifs").layout.meta["alt"]
    'Two motifs. 2 motifs, in bits. found: ACGT, 4 positions, 8 bits; beneath it the reverse complement of known from its position 2 on, q = 0.01. flat: nn, 2 positions, 0 bits; no match.'
    """
    motifs, shares = list(motifs), _background(background)
    _check(motifs, kind, contributions, names=names, notes=notes, beside=beside)
    labels = [plain(name) for name in (names if names is not None else _names(motifs))]
    arrays = [_array(motif, label, weights=kind == "weights") for motif, label in zip(motifs, labels, strict=True)]
    heights = []
    for index, (array, label) in enumerate(zip(arrays, labels, strict=True)):
        if contributions is not None:
            heights.append(array * _scale(contributions[index], array, label)[:, None])
        else:
            heights.append(array * information(array, shares)[:, None] if kind == "bits" else array)
    signed = kind == "weights" or contributions is not None
    most = 1.0 if kind == "probability" else float(np.log2(1 / shares.min()))
    limits = span_of(np.concatenate([part(one, 0.0).sum(1) for one in heights for part in (np.maximum, np.minimum)])) if signed else [0.0, most]
    written = plain(unit) if signed else kind
    pairs = [None] * len(motifs) if beside is None else [_target(one, shares) for one in beside]

    c, fig = colours(), go.Figure()
    across = min(columns, len(motifs))
    floors = 1 if beside is None else 2
    down = -(-len(motifs) // across)
    total = down * floors * (_ROW + _GAP) - _GAP
    longest = max(max(len(one) + max(0, (-pair[2] if pair else 0)), (pair[2] + len(pair[0]) if pair else 0)) for one, pair in zip(heights, pairs, strict=True)) if pairs else 1
    told = []
    for index, (high, label) in enumerate(zip(heights, labels, strict=True)):
        note = plain(notes[index]) if notes is not None else ""
        pair, consensus = pairs[index], _consensus(arrays[index], None if kind == "weights" else shares)
        told.append(_told(label, consensus, len(high), float(high.sum()) if kind == "bits" and not signed else None, note, pair, paired=beside is not None))
        rows = [(high, 0, f"{label}{f', {note}' if note else ''}", limits, written)]
        if beside is not None:
            rows.append((np.zeros((0, 4)), 0, "no match", [0, most], "") if pair is None else (pair[0], pair[2], pair[1] + (f", {pair[3]}" if pair[3] else ""), [0, float(np.log2(1 / shares.min()))], "bits"))
        first = min(0, pair[2]) if pair else 0
        for floor, (letters, shift, words, reach, of) in enumerate(rows):
            number_of = index * floors + floor + 1
            ax = "" if number_of == 1 else str(number_of)
            top = 1 - ((index // across) * floors + floor) * (_ROW + _GAP) / total
            left = (index % across) / across
            x = np.arange(len(letters)) + shift + 1.0
            for trace in letter_traces(letters, x):
                trace.update(xaxis=f"x{ax}", yaxis=f"y{ax}", showlegend=False)
                fig.add_trace(trace)
            best = [BASES[i] for i in letters.argmax(axis=1)] if len(letters) else []
            fig.add_scatter(x=x, y=np.maximum(letters, 0).sum(axis=1), mode="markers", marker={"opacity": 0, "size": 14}, name=escaped(words), showlegend=False, text=best,
                            customdata=np.arange(len(letters)) + 1, hovertemplate=f"position %{{customdata}}: %{{text}}, %{{y:.3g}} {escaped(of)}<extra>%{{fullData.name}}</extra>", xaxis=f"x{ax}", yaxis=f"y{ax}")  # fmt: skip
            fig.layout[f"xaxis{ax}"] = {"domain": [left, left + (1 - (across - 1) * 0.045) / across if across > 1 else 1], "anchor": f"y{ax}", "range": [first + 0.4, first + longest + 0.6],
                                        "dtick": 1 if longest <= 16 else 5, "tickfont": {"size": 9}, "showticklabels": floor == 0, "ticks": ""}  # fmt: skip
            fig.layout[f"yaxis{ax}"] = {"domain": [max(0.0, top - _ROW / total), top], "anchor": f"x{ax}", "range": reach, "nticks": 3, "tickfont": {"size": 9}, "zeroline": signed,
                                        "title": {"text": escaped(of) if index % across == 0 else "", "font": {"size": 11}}}  # fmt: skip
            fig.add_annotation(x=left, xref="paper", xanchor="left", y=top, yref="paper", yanchor="bottom", yshift=2, text=f"<b>{escaped(words, most=44)}</b>" if floor == 0 else escaped(words, most=44),
                               showarrow=False, font={"size": 11, "color": c.ink if floor == 0 else c.muted})  # fmt: skip
    what = "by contribution" if contributions is not None else {"bits": "in bits", "probability": "as probabilities", "weights": "as weights"}[kind]
    said = [sentence(plain(title, most=200)), f"{len(motifs):,} motif{'s' * (len(motifs) > 1)}, {what}.", *told[:MOST_TOLD]]
    said += [f"And {len(told) - MOST_TOLD:,} more."] if len(told) > MOST_TOLD else []
    return framed(fig, title=plain(title, most=200), alt=" ".join(said), height=total, above=16, below=34)


def _told(name: str, consensus: str, n: int, bits: float | None, note: str, pair: tuple | None, *, paired: bool) -> str:
    """One motif in words."""
    said = f"{name}: {plain(consensus, most=40)}, {n:,} position{'s' if n > 1 else ''}" + (f", {number(bits)} bits" if bits is not None else "")
    said += f", {note}" if note else ""
    if pair is not None:
        _, other, shift, aside = pair
        turned = "the reverse complement of " if other.endswith(TURNED) else ""
        begins = f"from its position {shift + 1:,} on" if shift >= 0 else f"from {-shift:,} position{'s' if shift < -1 else ''} before it on"
        said += f"; beneath it {turned}{other.removesuffix(TURNED)} {begins}" + (f", {aside}" if aside else "")
    elif paired:
        said += "; no match"
    return sentence(said)


def _check(motifs: Sequence[object], kind: str, contributions: Any, **given: Sequence[object] | None) -> None:
    if not motifs:
        raise ValueError("There must be a motif to draw; received none. Check what made the list.")
    if kind not in KINDS:
        raise ValueError(f"The kind of logos must be one of {', '.join(KINDS)}; received {kind!r}. Use 'bits' to see where a motif is sure of a base.")
    if contributions is not None and kind != "bits":
        raise ValueError(
            f"Contributions take the place of information; received kind={kind!r} with them. Leave kind out, or pass values [position, 4] as motifs with kind='weights'."
        )
    for name, values in (given | {"contributions": contributions}).items():
        if values is not None and len(values) != len(motifs):
            raise ValueError(f"{name} must have one entry for each of the {len(motifs):,} motifs; received {len(values):,}. Pass as many.")


def _names(motifs: Sequence[object]) -> list[str]:
    named = []
    for index, motif in enumerate(motifs):
        known = (str(getattr(motif, key, "") or "") for key in ("name", "id"))
        named.append(" ".join(dict.fromkeys(part for part in known if part)) or f"motif {index + 1}")
    return named


def _array(motif: object, label: str, *, weights: bool) -> np.ndarray:
    array = np.asarray(getattr(motif, "probabilities", motif), dtype=float)
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


def _scale(given: np.ndarray, array: np.ndarray, label: str) -> np.ndarray:
    scale = np.asarray(given, dtype=float)
    if scale.shape != array.shape[:1] or not np.isfinite(scale).all():
        raise ValueError(
            f"The contributions of {label!r} must be one finite number for each of its {len(array):,} positions; received the shape "
            f"{list(scale.shape)}{'' if np.isfinite(scale).all() else ' with values that are not finite'}. Average them over its sites."
        )
    return scale


def _target(beside: Beside | None, background: np.ndarray) -> tuple[np.ndarray, str, int, str] | None:
    """Heights in bits, name, shift to the right in columns of the upper motif, and note."""
    if beside is None:
        return None
    if beside.strand not in ("+", "-"):
        raise ValueError(f"The strand of a motif beside another must be + or -; received {beside.strand!r}. Use - for its reverse complement.")
    name = plain(beside.name or _names([beside.motif])[0])
    array = _array(beside.motif, name, weights=False)
    if beside.strand == "-":
        array, name = array[::-1, ::-1], name + TURNED
    return array * information(array, background)[:, None], name, -beside.offset, plain(beside.note)


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
