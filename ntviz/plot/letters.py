"""Letters as shapes: outlines, stacks of them, and a track's worth of letters in a few patches.

A logo of 300 bases takes logomaker two seconds, because it builds each letter's outline anew and adds it as a patch
of its own. Here the outline of a letter is built once, and all its copies are one compound path: the same outlines
(a test holds them to logomaker's) in milliseconds.

References
----------
Tareen A, Kinney JB (2020) Bioinformatics 36:2272 (logomaker), whose order of stacks this is: the largest on top, the
most negative at the bottom, and what is below zero upside down.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from ntviz.plot import palette

LETTER_PIXELS = 4.0
"""CSS pixels a base needs for its letter; in a longer window the letters become a line."""


@cache
def outline(letter: str, font: str = "DejaVu Sans") -> tuple[np.ndarray, np.ndarray]:
    """Vertices [vertex, 2] of a letter stretched to the unit square, and their path codes.

    DejaVu Sans comes with matplotlib: a logo looks the same on every machine.
    """
    path = TextPath((0, 0), letter, size=1, prop=FontProperties(family=font, weight="bold"))
    box = path.get_extents()
    vertices = (np.asarray(path.vertices) - [box.x0, box.y0]) / [box.width, box.height]
    return vertices, np.asarray(path.codes)


def letter_path(
    letter: str,
    left: np.ndarray,
    bottom: np.ndarray,
    width: np.ndarray,
    height: np.ndarray,
    *,
    font: str = "DejaVu Sans",
) -> Path:
    """One compound path of many copies of a letter.

    Parameters
    ----------
    letter
        The letter.
    left, bottom
        [copy] corner of each copy, in data coordinates. On axes that run backwards, `left` is the larger coordinate.
    width, height
        [copy] size of each copy; a negative width keeps the letter upright on axes that run backwards, a negative
        height turns it upside down, hanging from `bottom`.
    """
    vertices, codes = outline(letter, font)
    size = np.stack([width, height], axis=1)[:, None, :]
    corner = np.stack([left, bottom], axis=1)[:, None, :]
    return Path((vertices[None] * size + corner).reshape(-1, 2), np.tile(codes, len(left)))


def add_path(ax: Axes, path: Path, colour: str, gid: str) -> None:
    """Add a compound path without measuring it: limits are set by hand, and measuring costs more than drawing."""
    patch = PathPatch(path, facecolor=colour, edgecolor="none", linewidth=0, gid=gid)
    ax.add_artist(patch)
    patch.set_clip_path(ax.patch)


def stacked(heights: np.ndarray) -> np.ndarray:
    """The lower edge of each letter in its stack: negative ones hang from zero, positive ones stand on it.

    Parameters
    ----------
    heights
        [position, letter] signed and finite. The largest is on top; the most negative is at the bottom.

    Examples
    --------
    >>> stacked(np.array([[1.0, -2.0, 3.0, -0.5]])).tolist()
    [[0.0, -2.5, 1.0, -0.5]]
    """
    order = np.argsort(heights, axis=1, kind="stable")
    sizes = np.abs(np.take_along_axis(heights, order, axis=1))
    floors = np.empty_like(heights)
    np.put_along_axis(floors, order, np.cumsum(sizes, axis=1) - sizes, axis=1)
    return floors + np.minimum(heights, 0.0).sum(axis=1, keepdims=True)


def draw_letters(
    ax: Axes, heights: np.ndarray, left: np.ndarray, *, width: float = 1.0, letters: str = palette.BASES
) -> None:
    """Draw a stack of letters at each position, one patch a letter; those below zero are upside down.

    Parameters
    ----------
    ax
        Its limits are left alone.
    heights
        [position, letter] signed, in the unit of the vertical axis; NaN draws nothing.
    left
        [position] where each stack begins, in data coordinates.
    width
        Of a letter; negative on axes that run backwards, where `left` is the larger coordinate.
    letters
        What the columns of `heights` are.
    """
    heights = np.where(np.isfinite(heights), heights, 0.0)
    floors = stacked(heights)
    # Letters thinner than a fifth of a device pixel would be drawn and not seen.
    least = np.abs(heights).sum(axis=1).max(initial=0.0) * 2e-3
    for column, letter in enumerate(letters):
        tall = np.flatnonzero(np.abs(heights[:, column]) > least)
        if tall.size:
            size = heights[tall, column]
            hung = floors[tall, column] - np.minimum(size, 0.0)
            path = letter_path(letter, left[tall], hung, np.full(tall.size, width), size)
            add_path(ax, path, palette.BASE_COLOURS[letter], f"logo {letter}")


def check_bases(sequence: str, what: str) -> str:
    """The sequence, if it holds nothing but A, C, G, T and N; else a ValueError that names `what` it is for."""
    wrong = sorted(set(sequence) - set("ACGTN"))
    if wrong:
        at = min(sequence.index(letter) for letter in wrong)
        raise ValueError(
            f"{what} must hold A, C, G, T and N only; received {sequence[at]!r} at base {at + 1:,}. "
            f"Pass it through sequence.clean first."
        )
    return sequence
