"""`motif_logos`: many motifs as logos in a grid, each beside the known motif that it is likest to.

References
----------
Schneider TD, Stephens RM (1990) Nucleic Acids Res 18:6097 (sequence logos). Gupta S et al. (2007) Genome Biol 8:R24
(TOMTOM, whose pictures set a motif above its match).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.figure import Figure as Drawing

from ntviz.plot import palette
from ntviz.plot.figure import Figure
from ntviz.plot.logo import information
from ntviz.plot.motif_cells import Cell, Grid, Stack, draw_cell, page_width
from ntviz.plot.readout import Lane, Readout
from ntviz.plot.signals import signal_limits
from ntviz.plot.words import number, plain, sentence, wrapped

Kind = Literal["bits", "probability", "weights"]
KINDS: tuple[Kind, ...] = ("bits", "probability", "weights")

TURNED = " (−)"
"""Marks the name of a motif that is drawn as its reverse complement."""

MOST_TOLD = 12
"""Motifs that the alt sentence describes one by one."""


@dataclass(frozen=True, slots=True, eq=False)
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
    kind: Kind = "bits",
    names: Sequence[str] | None = None,
    notes: Sequence[str] | None = None,
    contributions: Sequence[np.ndarray] | None = None,
    beside: Sequence[Beside | None] | None = None,
    background: Sequence[float] | np.ndarray = (0.25, 0.25, 0.25, 0.25),
    unit: str = "",
    caption: str = "",
    width: float | None = None,
) -> Figure:
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
    caption
        Text under the figure; made from what is drawn when empty.
    width
        In inches of 96 CSS pixels; by default 10 or less, or as wide as the longest motif needs, up to 30.

    Raises
    ------
    ValueError
        If there is no motif, shapes or numbers disagree, rows are no probabilities, values are not finite, or the
        logos do not fit a figure.

    Examples
    --------
    >>> sure, even = np.eye(4), np.full((2, 4), 0.25)
    >>> match = Beside(sure[:3], offset=-1, strand="-", name="known", note="q = 0.01")
    >>> print(motif_logos([sure, even], names=["found", "flat"], beside=[match, None], title="Two motifs"))
    Two motifs. 2 motifs, in bits. found: ACGT, 4 positions, 8 bits; beneath it the reverse complement of known from its position 2 on, q = 0.01. flat: nn, 2 positions, 0 bits; no match.
    """
    motifs, background = list(motifs), _background(background)
    _check(motifs, kind, contributions, width, names=names, notes=notes, beside=beside)
    labels = [plain(name) for name in (names if names is not None else _names(motifs))]
    weighted = kind == "weights"
    arrays = [_array(motif, label, weighted) for motif, label in zip(motifs, labels, strict=True)]
    scales = [None] * len(arrays) if contributions is None else contributions
    heights = [
        _heights(array, kind, background, scale, label)
        for array, scale, label in zip(arrays, scales, labels, strict=True)
    ]
    signed = weighted or contributions is not None
    written = plain(unit) if signed else {"bits": "bits", "probability": "probability"}[kind]
    top = 1.0 if kind == "probability" else float(np.log2(1 / background.min()))
    limits = (0.0, top)
    if signed:
        ends = [
            part(part_heights, 0.0).sum(1) for part_heights in heights for part in (np.maximum, np.minimum)
        ]
        limits = signal_limits(np.concatenate(ends), diverging=False)
    asides = [""] * len(arrays) if notes is None else [plain(note) for note in notes]
    pairs = [None] * len(arrays) if beside is None else list(beside)
    cells = [
        Cell(
            Stack(high, limits, written, label, aside),
            _target(at, background),
            0 if at is None else -at.offset,
        )
        for high, label, aside, at in zip(heights, labels, asides, pairs, strict=True)
    ]

    title = plain(title, most=200)
    page = page_width(cells, width)
    lines = wrapped(title, page - 0.3, 13.0, weight="bold")
    grid = Grid.of(cells, top=0.22 + 0.24 * len(lines), page=page, pairs=beside is not None)
    with palette.style():
        drawing = Drawing(figsize=(grid.width, grid.height))
        for index, line in enumerate(lines):
            y = 1 - (0.14 + 0.24 * index + 0.17) / grid.height
            drawing.text(0.14 / grid.width, y, line, fontsize=13, fontweight="bold", gid="title")
        for index in range(len(cells)):
            draw_cell(drawing, grid, index)
    what = {"bits": "in bits", "probability": "as probabilities", "weights": "as weights"}[kind]
    what = "by contribution" if contributions is not None else what
    told = [
        _told(cell, _consensus(array, None if weighted else background), paired=beside is not None)
        for cell, array in zip(cells, arrays, strict=True)
    ]
    spoken = [sentence(title), f"{len(cells):,} motif{'s' if len(cells) > 1 else ''}, {what}."]
    spoken += told[:MOST_TOLD]
    if len(told) > MOST_TOLD:
        spoken.append(f"And {len(told) - MOST_TOLD:,} more.")
    return Figure(
        drawing,
        title=title,
        alt=" ".join(spoken),
        caption=caption or _caption(kind, contributions is not None, beside is not None, background),
        readout=_readout(grid, arrays, "value" if weighted else "probability"),
    )


def _check(
    motifs: Sequence[object],
    kind: str,
    contributions: Sequence[np.ndarray] | None,
    width: float | None,
    **others: Sequence[object] | None,
) -> None:
    if not len(motifs):
        raise ValueError(
            "There must be a motif to draw; received none. Say so in words where a search found nothing."
        )
    if kind not in KINDS:
        raise ValueError(
            f"The kind of logos must be one of {', '.join(KINDS)}; received {kind!r}. Use 'bits' to see where a motif "
            f"is sure of a base."
        )
    if contributions is not None and kind != "bits":
        raise ValueError(
            f"Contributions take the place of information; received kind={kind!r} with them. Leave kind out, or pass "
            f"values [position, 4] as motifs with kind='weights'."
        )
    for name, values in {**others, "contributions": contributions}.items():
        if values is not None and len(values) != len(motifs):
            raise ValueError(
                f"{name} must have one entry for each of the {len(motifs):,} motifs; received {len(values):,}. "
                f"Pass as many."
            )
    if width is not None and not 4 <= width <= 30:
        raise ValueError(f"Logos must be 4 to 30 inches wide; received {width}. Use 10 for a page.")


def _names(motifs: Sequence[object]) -> list[str]:
    """The name of each motif and its identifier, where it has them, else its number from 1."""
    found = []
    for index, motif in enumerate(motifs):
        known = [str(getattr(motif, part, None) or "") for part in ("name", "id")]
        found.append(" ".join(dict.fromkeys(part for part in known if part)) or f"motif {index + 1}")
    return found


def _array(motif: object, label: str, weights: bool) -> np.ndarray:
    """Values [position, 4] of a motif, checked."""
    array = np.asarray(getattr(motif, "probabilities", motif), dtype=float)
    if array.ndim != 2 or array.shape[1] != 4 or not len(array):
        raise ValueError(
            f"{label!r} must be [position, 4] in the order A, C, G, T, with a position; received {list(array.shape)}. "
            f"Put positions first."
        )
    if not np.isfinite(array).all():
        raise ValueError(
            f"{label!r} must be finite; received {int((~np.isfinite(array)).sum()):,} values that are not, the first at "
            f"position {int(np.flatnonzero(~np.isfinite(array).all(1))[0]) + 1}. Fill or cut these positions."
        )
    if not weights and ((array < -1e-6).any() or (np.abs(array.sum(1) - 1) > 1e-3).any()):
        wrong = int(np.flatnonzero((array < -1e-6).any(1) | (np.abs(array.sum(1) - 1) > 1e-3))[0])
        raise ValueError(
            f"Each position of {label!r} must hold probabilities (at least 0, sum 1); received "
            f"{np.array2string(array[wrong], precision=4)} at position {wrong + 1}. Divide counts by their sum, or pass "
            f"kind='weights' for values that are no probabilities."
        )
    return array


def _background(background: Sequence[float] | np.ndarray) -> np.ndarray:
    values = np.asarray(background, dtype=float)
    if values.shape != (4,) or not (values > 0).all() or not np.isclose(values.sum(), 1, atol=0.01):
        raise ValueError(
            f"A background must be four positive probabilities in the order A, C, G, T that sum to one; received "
            f"{values.tolist()}. Leave it out for 0.25 each."
        )
    return values / values.sum()


def _heights(
    array: np.ndarray, kind: str, background: np.ndarray, scale: np.ndarray | None, label: str
) -> np.ndarray:
    """Height [position, 4] of each letter."""
    if scale is not None:
        scale = np.asarray(scale, dtype=float)
        if scale.shape != array.shape[:1] or not np.isfinite(scale).all():
            raise ValueError(
                f"The contributions of {label!r} must be one finite number for each of its {len(array):,} positions; "
                f"received the shape {list(scale.shape)}{'' if np.isfinite(scale).all() else ' with values that are not finite'}. "
                f"Average them over its sites."
            )
        return array * scale[:, None]
    return array * information(array, background)[:, None] if kind == "bits" else array


def _target(beside: Beside | None, background: np.ndarray) -> Stack | None:
    if beside is None:
        return None
    if beside.strand not in ("+", "-"):
        raise ValueError(
            f"The strand of a motif beside another must be + or -; received {beside.strand!r}. Use - for its reverse "
            f"complement."
        )
    name = plain(beside.name or _names([beside.motif])[0])
    array = _array(beside.motif, name, weights=False)
    if beside.strand == "-":
        array = array[::-1, ::-1]
        name += TURNED
    heights = _heights(array, "bits", background, None, name)
    return Stack(heights, (0.0, float(np.log2(1 / background.min()))), "bits", name, plain(beside.note))


def _consensus(array: np.ndarray, background: np.ndarray | None) -> str:
    """The likeliest base of each position; of probabilities, lower case below half a bit and n below a tenth."""
    best = [palette.BASES[base] for base in array.argmax(axis=1)]
    bits = np.full(len(array), 2.0) if background is None else information(array, background)
    return "".join(
        base if bit >= 0.5 else base.lower() if bit >= 0.1 else "n"
        for base, bit in zip(best, bits, strict=True)
    )


def _told(cell: Cell, consensus: str, *, paired: bool) -> str:
    """One motif in words."""
    stack = cell.motif
    told = (
        f"{stack.name}: {plain(consensus, most=40)}, {len(stack):,} position{'s' if len(stack) > 1 else ''}"
    )
    if stack.unit == "bits" and stack.limits[0] == 0:
        told += f", {number(float(stack.heights.sum()))} bits"
    told += f", {stack.note}" if stack.note else ""
    if cell.beside is not None:
        name, turned = cell.beside.name.removesuffix(TURNED), cell.beside.name.endswith(TURNED)
        told += f"; beneath it {'the reverse complement of ' if turned else ''}{name} "
        told += _begins(cell.shift)
        told += f", {cell.beside.note}" if cell.beside.note else ""
    elif paired:
        told += "; no match"
    return sentence(told)


def _begins(shift: int) -> str:
    if shift < 0:
        return f"from {-shift:,} position{'s' if shift < -1 else ''} before it on"
    return f"from its position {shift + 1:,} on"


def _caption(kind: str, contributed: bool, paired: bool, background: np.ndarray) -> str:
    if contributed:
        said = "Letter height: the contribution of a position, shared by its letters as its probability is"
    elif kind == "bits":
        even = np.allclose(background, 0.25)
        over = (
            "" if even else f" over a background of {', '.join(number(float(share)) for share in background)}"
        )
        said = (
            f"Letter height: information{over}, at most {number(float(np.log2(1 / background.min())))} bits"
        )
    else:
        said = "Letter height: probability" if kind == "probability" else "Letter height: the value itself"
    if contributed or kind == "weights":
        said += "; below zero upside down"
    said += ". Numbers: position in the motif."
    if paired:
        said += " Beneath each motif the one it is likest to, in bits; (−): its reverse complement. Shaded: columns of both."
    return said


def _readout(grid: Grid, arrays: Sequence[np.ndarray], what: str) -> Readout:
    """One stop a position of each motif, in the order of the cells."""
    heads, boxes, matched = [], [], []
    for index, cell in enumerate(grid.cells):
        for position in range(len(cell.motif)):
            heads.append(f"{cell.motif.name}, position {position + 1:,}")
            boxes.append(grid.box(index, position))
            matched.append(_opposite(cell, position))
    heights = [cell.motif.heights.sum(axis=1) for cell in grid.cells]
    lanes = [Lane("height", grid.cells[0].motif.unit, np.concatenate(heights))]
    lanes += [
        Lane(f"{what} of {base}", "", np.concatenate([array[:, column] for array in arrays]))
        for column, base in enumerate(palette.BASES)
    ]
    if grid.pairs:
        lanes.append(Lane("beneath", texts=matched))
    return Readout(len(heads), lanes, heads=heads, boxes=boxes, start=0)


def _opposite(cell: Cell, position: int) -> str:
    """What lies beneath a position of a motif."""
    if cell.beside is None:
        return "no match"
    column = position - cell.shift
    if not 0 <= column < len(cell.beside):
        return "nothing"
    base = palette.BASES[int(cell.beside.heights[column].argmax())]
    return f"{base} of {cell.beside.name}, {number(float(cell.beside.heights[column].sum()))} bits"
