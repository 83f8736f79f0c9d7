"""`aligned_logo`: a logo of aligned sites, against what random sites of the same windows show."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from ntviz.plot import palette
from ntviz.plot.figure import Figure
from ntviz.plot.letters import draw_letters
from ntviz.plot.logo import information
from ntviz.plot.readout import Lane, Readout
from ntviz.plot.ticks import numbers
from ntviz.plot.words import number, plain, sentence, wrapped

_LEFT, _RIGHT, _FOOT, _ROW, _GAP = 0.78, 0.3, 0.56, 1.25, 0.42


def aligned_logo(
    shares: np.ndarray,
    background: np.ndarray,
    *,
    chance: np.ndarray,
    token: tuple[int, int],
    sites: int,
    title: str,
    control: np.ndarray | None = None,
    caption: str = "",
    width: float = 7.0,
) -> Figure:
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
        Number of sites, for the caption.
    title
        Says what the figure shows.
    control
        [position, 4] shares over one random set of as many sites, drawn beneath on the same scale.
    caption
        Text under the figure; made from the data when empty.
    width
        In inches of 96 CSS pixels.

    Raises
    ------
    ValueError
        If the shapes disagree.

    Examples
    --------
    >>> even = np.full((3, 4), 0.25)
    >>> sure = np.array([[0.97, 0.01, 0.01, 0.01], *even[1:]])
    >>> figure = aligned_logo(sure, even, chance=np.full(3, 0.1), token=(0, 1), sites=40, title="A head")
    >>> print(figure)
    A head. 40 sites, 3 positions. Most likely bases of the attended token: A; 1.76 bits over it, of which random sites reach 0.1. 1 of 3 positions exceed chance.
    """
    for name, array, shape in (
        ("background", background, shares.shape),
        ("chance", chance, shares.shape[:1]),
        ("control", shares if control is None else control, shares.shape),
    ):
        if array.shape != shape or shares.ndim != 2 or shares.shape[1] != 4:
            raise ValueError(
                f"shares must be [position, 4], and {name} must fit them; received {list(shares.shape)} and "
                f"{list(array.shape)}. Pass arrays of the same sites."
            )
    bits = information(shares, background)
    rows = [("Attended sites", shares, bits)]
    if control is not None:
        rows.append(("Control: random sites", control, information(control, background)))
    top = 1.08 * max(float(np.max([row[2].max() for row in rows])), float(chance.max()), 0.05)
    title = plain(title, most=200)
    lines = wrapped(title, width - 0.3, 13.0, weight="bold")
    head = 0.14 + 0.24 * len(lines) + 0.34
    height = head + len(rows) * _ROW + (len(rows) - 1) * _GAP + _FOOT
    with palette.style():
        drawing = Drawing(figsize=(width, height))
        for index, line in enumerate(lines):
            y = 1 - (0.14 + 0.24 * index + 0.17) / height
            drawing.text(0.14 / width, y, line, fontsize=13, fontweight="bold", gid="title")
        for index, (label, part, own) in enumerate(rows):
            bottom = height - head - index * (_ROW + _GAP) - _ROW
            box = (_LEFT / width, bottom / height, (width - _LEFT - _RIGHT) / width, _ROW / height)
            ax = drawing.add_axes(box, label=label)
            _draw(ax, part, own, chance, token, top, control=index > 0)
            ax.set_title(label, loc="left", fontsize=9.5, fontweight="bold", pad=4)
            if index == len(rows) - 1:
                ax.set_xlabel("position within the site, bp from the start of the attended token", labelpad=4)
    inside = slice(*token)
    best = "".join(palette.BASES[base] for base in shares[inside].argmax(1))
    beyond = int((bits > chance).sum())
    spoken = (
        f"{sentence(title)} {sites:,} sites, {len(shares)} positions. Most likely bases of the attended token: {best}; "
        f"{number(float(bits[inside].sum()))} bits over it, of which random sites reach "
        f"{number(float(chance[inside].sum()))}. {beyond} of {len(shares)} positions exceed chance."
    )
    shown = caption or (
        f"{sites:,} sites. Letter height: bits by which the sites differ from random tokens of the same windows. "
        f"Dotted: what random sites reach in 95 % of draws. Shaded: the attended token."
    )
    readout = _readout(shares, bits, chance, token, width, (head / height, 1 - _FOOT / height))
    return Figure(drawing, title=title, alt=spoken, caption=shown, readout=readout)


def _draw(
    ax: Axes,
    shares: np.ndarray,
    bits: np.ndarray,
    chance: np.ndarray,
    token: tuple[int, int],
    top: float,
    *,
    control: bool,
) -> None:
    n = len(shares)
    places = np.arange(n) - token[0]
    if control:
        ax.patch.set_facecolor(palette.CONTROL_PAPER)
    ax.axvspan(-0.5, token[1] - token[0] - 0.5, color=palette.INK, alpha=0.06, linewidth=0, gid="token")
    draw_letters(ax, shares * bits[:, None], places - 0.46, width=0.92)
    ax.step(
        np.append(places, places[-1] + 1) - 0.5, np.append(chance, chance[-1]), where="post", color=palette.INK,
        linewidth=1.0, linestyle=(0, (1.5, 1.5)), gid="chance",
    )  # fmt: skip
    ax.set_xlim(places[0] - 0.5, places[-1] + 0.5)
    ax.set_ylim(0, top)
    numbers(ax.yaxis, most=4)
    ax.set_ylabel("bits")
    step = 1 if n <= 15 else 3
    ax.set_xticks([place for place in places if place % step == 0])


def _readout(
    shares: np.ndarray,
    bits: np.ndarray,
    chance: np.ndarray,
    token: tuple[int, int],
    width: float,
    rows: tuple[float, float],
) -> Readout:
    n = len(shares)
    edges = (_LEFT + np.arange(n + 1) / n * (width - _LEFT - _RIGHT)) / width
    boxes = [(float(left), rows[0], float(right), rows[1]) for left, right in pairwise(edges)]
    lanes = [Lane("difference from random sites", "bits", bits), Lane("random sites reach", "bits", chance)]
    lanes += [
        Lane(f"share of {letter}", "", shares[:, column]) for column, letter in enumerate(palette.BASES)
    ]
    heads = [f"{place - token[0]:+d} bp".replace("-", "−").replace("+0", "0") for place in range(n)]
    return Readout(n, lanes, heads=heads, boxes=boxes, start=token[0])
