"""Colours and type of every figure: one place, so that a reader learns them once.

Bases take the hues that genome browsers use (A green, C blue, G orange, T red) in the colour-blind safe shades of
Okabe and Ito, and always come with their letter. Magnitudes use one sequential map whose dark end is the strong end
on a white page. Signed values use one diverging map whose white middle is zero.

References
----------
Okabe M, Ito K (2008) Color Universal Design. Nuñez JR, Anderton CR, Renslow RS (2018) PLOS ONE 13(7): e0199239
(cividis).
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize, TwoSlopeNorm

BASES = "ACGT"
BASE_COLOURS = {"A": "#009E73", "C": "#0072B2", "G": "#E69F00", "T": "#D55E00", "N": "#8C959F"}

INK = "#1F2328"
MUTED = "#59636E"
FAINT = "#D1D9E0"
PAPER = "#FFFFFF"
CONTROL = "#7B858F"
CONTROL_PAPER = "#F6F8FA"
GENE = "#243B6B"
GENE_PALE = "#8393B8"
ACCENT = "#0072B2"
POSITIVE = "#B34A00"
NEGATIVE = "#0060A0"
MARK = "#F0E442"

# In order of use. Each comes with a dash pattern and a marker: no line is told from another by colour alone.
LINES = ("#0072B2", "#D55E00", "#009E73", "#A04D7F", "#1F2328", "#B37A00")
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-",
    (0, (5.0, 1.6)),
    (0, (1.4, 1.4)),
    (0, (6.0, 1.5, 1.2, 1.5)),
    (0, (3.0, 1.2, 1.2, 1.2, 1.2, 1.2)),
    (0, (8.0, 2.5)),
)
MARKERS = ("o", "s", "^", "D", "v", "P")

CSS_DPI = 96
"""Figures are sized in CSS inches: 10 in are 960 px on a page, and type in points is the type the reader sees."""

_FAMILIES = ("Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "Nimbus Sans", "DejaVu Sans")


@cache
def families() -> tuple[str, ...]:
    """Sans-serif families of this machine, best first; the last is the one that ships with matplotlib."""
    known = set(font_manager.fontManager.get_font_names())
    found = [family for family in _FAMILIES if family in known]
    # One text face is enough; DejaVu Sans stays behind it for the glyphs that the first lacks (arrows, primes).
    return tuple(dict.fromkeys([*found[:1], "DejaVu Sans"]))


@contextmanager
def style() -> Generator[None]:
    """The matplotlib settings under which every figure is built and saved; the caller's come back afterwards."""
    rc: dict[Any, Any] = {
        "font.family": "sans-serif",
        "font.sans-serif": list(families()),
        "font.size": 9.0,
        "figure.dpi": CSS_DPI,
        "figure.facecolor": PAPER,
        "savefig.facecolor": PAPER,
        "savefig.bbox": None,
        "axes.facecolor": PAPER,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.labelsize": 9.0,
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.unicode_minus": True,
        "axes.grid": False,
        "text.color": INK,
        # Gene and contig names come from files: a dollar sign in one is a dollar sign, not the start of a formula.
        "text.parse_math": False,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "xtick.direction": "out",
        "ytick.direction": "out",
        "xtick.major.size": 3.0,
        "ytick.major.size": 3.0,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "xtick.major.pad": 2.5,
        "ytick.major.pad": 2.5,
        "lines.solid_capstyle": "butt",
        "hatch.linewidth": 0.7,
        "svg.fonttype": "none",
        "svg.hashsalt": "ntviz",
    }
    with mpl.rc_context(rc):
        yield


def sequential() -> Colormap:
    """Colour map for magnitudes, 0 to 1: pale for nothing, dark for strong, even in grey and to colour-blind eyes.

    It is cividis turned round, without its palest fifth, which would vanish on white paper.
    """
    colours = mpl.colormaps["cividis"](np.linspace(0.82, 0.0, 256))
    return LinearSegmentedColormap.from_list("ntviz_sequential", colours)


def diverging() -> Colormap:
    """Colour map for signed values: blue below zero, white at zero, orange above."""
    return LinearSegmentedColormap.from_list(
        "ntviz_diverging", [NEGATIVE, "#8FBBD9", "#FFFFFF", "#F0B183", POSITIVE]
    )


def magnitude_norm(values: np.ndarray) -> Normalize:
    """Scale from 0 to the largest finite value; an all-zero array is all pale.

    Examples
    --------
    >>> norm = magnitude_norm(np.array([0.0, 2.0, np.nan]))
    >>> norm.vmin, norm.vmax
    (0.0, 2.0)
    """
    finite = np.asarray(values, dtype=float)[np.isfinite(values)]
    top = float(finite.max()) if finite.size else 0.0
    return Normalize(0.0, top if top > 0 else 1.0)


def sign_norm(values: np.ndarray) -> TwoSlopeNorm:
    """Scale whose middle is zero and whose two ends are equally far from it.

    Examples
    --------
    >>> norm = sign_norm(np.array([-1.0, 3.0]))
    >>> norm.vmin, norm.vcenter, norm.vmax
    (-3.0, 0, 3.0)
    """
    finite = np.abs(np.asarray(values, dtype=float)[np.isfinite(values)])
    top = float(finite.max()) if finite.size else 0.0
    top = top if top > 0 else 1.0
    return TwoSlopeNorm(0, vmin=-top, vmax=top)
