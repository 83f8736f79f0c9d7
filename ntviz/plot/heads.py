"""`head_atlas`: every head of a model in one grid, layers by heads, coloured by a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from ntviz.plot import palette
from ntviz.plot.cells import CellLane, CellPane, Cells, Places
from ntviz.plot.figure import Figure
from ntviz.plot.grids import (
    SHAPES,
    Grid,
    bar_ticks,
    checked_grid,
    checked_marks,
    decimals_for,
    draw_grid,
    number_axes,
    score_colours,
    score_norm,
)
from ntviz.plot.indexed import IndexedFigure, palette_of
from ntviz.plot.map_axes import EDGE, colour_bar, control_paper, heading
from ntviz.plot.words import listing, number, plain, sentence, text_width, wrapped

LEFT, BAR, GAP, AXIS = 0.62, 1.0, 0.42, 0.46
HEADING = 0.28
WIDEST, TALLEST, SHORTEST = 0.66, 0.34, 0.235
WORDY, LINES = 1.1, 0.42
"""Of a cell, in inches."""


def head_atlas(
    grid: np.ndarray,
    *,
    label: str,
    unit: str,
    title: str,
    labels: Sequence[Sequence[str]] | np.ndarray | None = None,
    diverging: bool = False,
    limits: tuple[float, float] | None = None,
    marks: Mapping[str, np.ndarray | Sequence[tuple[int, int]]] | None = None,
    chosen: tuple[int, int] | None = None,
    control: np.ndarray | None = None,
    control_label: str = "random weights",
    caption: str = "",
    width: float = 10.0,
) -> Figure:
    """A figure of one number for each head: a grid of layers (rows) by heads (columns), both numbered from 0.

    Parameters
    ----------
    grid
        [layer, head] score; NaN where there is none (hatched).
    label, unit
        What the score is, and its unit.
    title
        Says what the figure shows.
    labels
        [layer, head] text for each cell instead of the number, such as what the head looks at most.
    diverging
        Whether the sign carries meaning: the scale is then centred on zero, with two hues.
    limits
        Scores of the two ends of the colours; those of the data, and zero, when None. What lies beyond is drawn like
        the end, and the caption says how many.
    marks
        Up to four kinds of marked heads, by name: (layer, head) pairs or bool [layer, head]. Each has a shape and a
        corner of its own.
    chosen
        (layer, head) drawn with a frame.
    control
        [layer, head] the same score for a control, drawn beside on the same scale.
    control_label
        What the control is.
    caption
        Text under the figure; the title when empty.
    width
        In inches of 96 CSS pixels, at most: few heads take less.

    Raises
    ------
    ValueError
        If shapes disagree, a score is infinite, a marked head does not exist, or limits are no interval.

    Examples
    --------
    >>> print(head_atlas(np.array([[0.1, 0.5], [0.2, 0.0]]), label="entropy", unit="nats", title="Two layers"))
    Two layers. entropy, nats, of 2 layers by 2 heads, numbered from 0. Largest: layer 0 head 1 (0.5), layer 1 head 0 (0.2) and layer 0 head 0 (0.1); median 0.15, smallest 0 at layer 1 head 1.
    """
    grids = [checked_grid(grid, f"The score {plain(label)!r}")]
    shape = grids[0].shape
    n_layers, n_heads = shape
    if control is not None:
        grids.append(checked_grid(control, f"The control of {plain(label)!r}"))
        if grids[1].shape != shape:
            raise ValueError(
                f"The control must have the shape of the grid, {list(shape)}; received {list(grids[1].shape)}. "
                f"Score the control with the same layers and heads."
            )
    texts = _texts(labels, shape)
    marked = checked_marks(marks, shape)
    _check_chosen(chosen, shape)
    norm = score_norm(grids, diverging=diverging, limits=limits)
    colours, decimals = score_colours(diverging=diverging), decimals_for(grids)
    label, unit, control_label = plain(label, most=70), plain(unit), plain(control_label)
    title = plain(title, most=200)

    free = width - EDGE - LEFT - BAR - (len(grids) - 1) * GAP
    wide = min(WIDEST if texts is None else WORDY, free / len(grids) / n_heads)
    tall = min(TALLEST, max(SHORTEST, 0.6 * wide)) if wide > 0.2 else max(0.11, wide)
    if texts is not None and wide > 0.6:
        tall = LINES  # room for three lines of words
    width = min(width, max(EDGE + LEFT + BAR + len(grids) * wide * n_heads + (len(grids) - 1) * GAP, 5.6))
    lines = wrapped(title, width - 2 * EDGE, 13.0, weight="bold")
    top = 0.14 + 0.24 * len(lines) + 0.3 + (0.26 if marked else 0.0) + (HEADING if len(grids) > 1 else 0.06)
    deep = tall * n_layers
    height = top + max(deep, 1.1) + AXIS + 0.08
    panes = []
    with palette.style():
        drawing = Drawing(figsize=(width, height))
        heading(drawing, lines, f"{label}, {unit} · {n_layers} layers by {n_heads} heads, numbered from 0")
        if marked:
            _key(drawing, list(marked), 0.14 + 0.24 * len(lines) + 0.3 + 0.13)
        for index, values in enumerate(grids):
            left = EDGE + LEFT + index * (wide * n_heads + GAP)
            box = (left / width, 1 - (top + deep) / height, wide * n_heads / width, deep / height)
            if index:
                control_paper(
                    drawing,
                    left - GAP + 0.1,
                    top - HEADING,
                    wide * n_heads + GAP,
                    deep + AXIS + HEADING - 0.02,
                )
            ax = drawing.add_axes(box, label="control" if index else "atlas")
            part = Grid(values, None if index else texts, {} if index else marked, decimals=decimals)
            draw_grid(ax, part, colours=colours, norm=norm, cell=(wide, tall))
            number_axes(ax, shape, (wide, tall))
            if index:
                ax.set_ylabel("")
            if chosen is not None:
                _frame(ax, chosen)
            if len(grids) > 1:
                name = f"Control: {control_label}" if index else label
                colour = palette.MUTED if index else palette.INK
                y = 1 - (top - 0.09) / height
                drawing.text(
                    left / width, y, name, fontsize=9.5, fontweight="bold", color=colour, gid="panel label"
                )
            x0, x1 = left / width, (left + wide * n_heads) / width
            panes.append(CellPane(x0, x1, top / height, (top + deep) / height, (0, n_heads), (0, n_layers)))
        length = min(max(deep, 1.0), 2.4)
        bar = (
            (width - BAR + 0.2) / width,
            1 - (top + length) / height,
            0.13 / width,
            length / height,
        )
        ticks, tick_texts = bar_ticks(norm)
        colour_bar(
            drawing.add_axes(bar, label="colour bar"),
            colours,
            norm,
            ticks=ticks,
            texts=tick_texts,
            label=f"{label}, {unit}",
            length=length,
        )
    beyond = sum(int(((g < norm.vmin) | (g > norm.vmax)).sum()) for g in grids)
    notes = [sentence(plain(caption, most=600)) if caption else sentence(title)]
    if beyond:
        notes.append(f"{beyond:,} scores lie beyond the ends of the colours and are drawn like these.")
    return IndexedFigure(
        drawing,
        title=title,
        alt=_said(title, label, unit, control_label, grids, marked),
        caption=" ".join(notes),
        readout=_readout(label, unit, control_label, grids, texts, marked, panes),
        keep=palette_of(colours),
    )


def _texts(
    labels: Sequence[Sequence[str]] | np.ndarray | None, shape: tuple[int, ...]
) -> list[list[str]] | None:
    if labels is None:
        return None
    texts = [[plain(text, most=40) for text in row] for row in labels]
    if len(texts) != shape[0] or any(len(row) != shape[1] for row in texts):
        raise ValueError(
            f"Labels must be one text for each of {shape[0]} layers by {shape[1]} heads; received "
            f"{len(texts)} rows of {sorted({len(row) for row in texts})}. Use empty text where there is none."
        )
    return texts


def _check_chosen(chosen: tuple[int, int] | None, shape: tuple[int, ...]) -> None:
    if chosen is not None and not (0 <= chosen[0] < shape[0] and 0 <= chosen[1] < shape[1]):
        raise ValueError(
            f"The chosen head must be one of {shape[0]} layers by {shape[1]} heads, numbered from 0; received layer "
            f"{chosen[0]} head {chosen[1]}. Pass (layer, head)."
        )


def _key(drawing: Drawing, names: Sequence[str], y: float) -> None:
    width, height = drawing.get_size_inches()
    x = EDGE + LEFT
    for index, name in enumerate(names):
        place = [(x + 0.05) / width], [1 - y / height]
        drawing.add_artist(
            Line2D(
                *place,
                marker=SHAPES[index],
                markersize=5.5,
                color=palette.INK,
                linestyle="none",
                gid="key shape",
            )
        )
        drawing.text((x + 0.14) / width, 1 - y / height, name, va="center", fontsize=8.5, gid="key")
        x += 0.14 + text_width(name, 8.5) + 0.25


def _frame(ax: Axes, chosen: tuple[int, int]) -> None:
    for colour, thick in ((palette.PAPER, 3.6), (palette.INK, 1.8)):
        ax.add_patch(
            Rectangle(
                (chosen[1], chosen[0]), 1, 1, facecolor="none", edgecolor=colour, linewidth=thick, zorder=5, gid="chosen",
                clip_on=False,
            )
        )  # fmt: skip


def _at(index: int, n_heads: int) -> str:
    return f"layer {index // n_heads} head {index % n_heads}"


def _said(
    title: str,
    label: str,
    unit: str,
    control_label: str,
    grids: Sequence[np.ndarray],
    marks: Mapping[str, np.ndarray],
) -> str:
    grid = grids[0]
    n_layers, n_heads = grid.shape
    said = [sentence(title), f"{label}, {unit}, of {n_layers} layers by {n_heads} heads, numbered from 0."]
    flat = grid.ravel()
    known = np.flatnonzero(np.isfinite(flat))
    if known.size:
        order = known[np.argsort(-flat[known], kind="stable")]
        top = [f"{_at(int(i), n_heads)} ({number(float(flat[i]))})" for i in order[:3]]
        last = int(order[-1])
        said.append(
            f"Largest: {listing(top)}; median {number(float(np.median(flat[known])))}, smallest "
            f"{number(float(flat[last]))} at {_at(last, n_heads)}."
        )
    if known.size < flat.size:
        n = flat.size - known.size
        said.append(f"{n:,} head{' has' if n == 1 else 's have'} no value.")
    if len(grids) > 1 and np.isfinite(grids[1]).any():
        other = grids[1].ravel()
        best = int(np.nanargmax(other))
        said.append(
            f"Control ({control_label}): largest {number(float(other[best]))} at {_at(best, n_heads)}, median "
            f"{number(float(np.nanmedian(other)))}."
        )
    for name, where in marks.items():
        heads = [f"{layer}.{head}" for layer, head in np.argwhere(where).tolist()]
        said.append(f"Marked, {name}: {listing(heads, most=8)} (layer.head).")
    return " ".join(said)


def _readout(
    label: str,
    unit: str,
    control_label: str,
    grids: Sequence[np.ndarray],
    texts: list[list[str]] | None,
    marks: Mapping[str, np.ndarray],
    panes: Sequence[CellPane],
) -> Cells:
    n_layers, n_heads = grids[0].shape
    lanes = [CellLane(label, unit, grids[0])]
    if len(grids) > 1:
        lanes.append(CellLane(f"control ({control_label})", unit, grids[1]))
    if texts is not None:
        lanes.append(CellLane("", texts=[text for row in texts for text in row]))
    for name, where in marks.items():
        lanes.append(CellLane("", texts=[name if hit else "" for hit in where.ravel()]))
    known = np.where(np.isfinite(grids[0]), grids[0], -np.inf)
    layer, head = np.unravel_index(int(known.argmax()), known.shape)
    return Cells(
        Places("layer", [str(i) for i in range(n_layers)]),
        Places("head", [str(i) for i in range(n_heads)]),
        lanes,
        panes,
        start=(0, int(layer), int(head)),
    )
