"""Layers by heads: the drawing of one grid of cells, shared by the figures that have one or many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator

from ntviz.plot import palette
from ntviz.plot.indexed import stepped
from ntviz.plot.mapping import weight_colours
from ntviz.plot.words import number, plain, text_width, wrapped

MOST_LAYERS, MOST_HEADS = 200, 200
"""Larger grids are refused: nobody reads them."""

SHAPES = ("o", "s", "^", "D")
CORNERS = ((1, -1), (1, 1), (-1, -1), (-1, 1))
"""Shape and corner of each kind of mark, in order: no mark is told from another by colour."""

NUMBER = 7.0
"""Type size of the number in a cell, in points."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """One grid of layers by heads.

    Parameters
    ----------
    values
        [layer, head] score; NaN where there is none.
    texts
        [layer, head] text of each cell; numbers when None.
    marks
        [layer, head] bool by name; at most four.
    hollow
        Names of marks that are drawn as outlines.
    decimals
        Of the numbers; as many as this grid needs when None.
    """

    values: np.ndarray
    texts: Sequence[Sequence[str]] | None = None
    marks: Mapping[str, np.ndarray] = field(default_factory=dict)
    hollow: Sequence[str] = ()
    decimals: int | None = None


def checked_grid(values: np.ndarray, what: str) -> np.ndarray:
    """[layer, head] floats.

    Raises
    ------
    ValueError
        If there is no layer or head, there are too many, or a value is infinite.
    """
    grid = np.asarray(values, dtype=float)
    if grid.ndim != 2 or 0 in grid.shape or grid.shape[0] > MOST_LAYERS or grid.shape[1] > MOST_HEADS:
        raise ValueError(
            f"{what} must have the shape [layer, head], at most {MOST_LAYERS} by {MOST_HEADS}; received "
            f"{list(grid.shape)}. Pass one number for each head."
        )
    if np.isinf(grid).any():
        layer, head = (int(i) for i in np.argwhere(np.isinf(grid))[0])
        raise ValueError(
            f"{what} must be finite, with NaN where there is no value; received {grid[layer, head]} at layer {layer} "
            f"head {head}. Clip it, and say so."
        )
    return grid


def checked_marks(
    marks: Mapping[str, np.ndarray | Sequence[tuple[int, int]]] | None, shape: tuple[int, int]
) -> dict[str, np.ndarray]:
    """Marks as bool [layer, head] by name.

    Raises
    ------
    ValueError
        If there are more than four, or a head is outside the grid.
    """
    marks = marks or {}
    if len(marks) > len(SHAPES):
        raise ValueError(
            f"At most {len(SHAPES)} kinds of marks can be told apart; received {len(marks)}. Draw two figures."
        )
    found = {}
    for name, where in marks.items():
        grid = np.asarray(where)
        if grid.shape == shape and grid.dtype == bool:
            found[plain(name, most=48)] = grid
            continue
        pairs = np.asarray(list(where), dtype=np.int64).reshape(-1, 2)
        outside = ((pairs < 0) | (pairs >= shape)).any(axis=1)
        if outside.any():
            layer, head = pairs[outside][0].tolist()
            raise ValueError(
                f"Marked heads must lie in the grid of {shape[0]} layers by {shape[1]} heads, numbered from 0; received "
                f"layer {layer} head {head} for {plain(name)!r}. Pass (layer, head) pairs or bool [layer, head]."
            )
        found[plain(name, most=48)] = np.zeros(shape, dtype=bool)
        found[plain(name, most=48)][pairs[:, 0], pairs[:, 1]] = True
    return found


def score_colours(*, diverging: bool) -> ListedColormap:
    """The colour map of a score, in steps."""
    return stepped(palette.diverging(), 129) if diverging else weight_colours()


def score_norm(
    grids: Sequence[np.ndarray], *, diverging: bool, limits: tuple[float, float] | None
) -> Normalize:
    """From score to colour: symmetric about zero when the sign carries meaning, else from zero or the smallest below it."""
    values = np.concatenate([grid[np.isfinite(grid)] for grid in grids])
    if limits is not None:
        low, high = (float(limit) for limit in limits)
        if not (np.isfinite([low, high]).all() and low < high) or (diverging and low != -high):
            raise ValueError(
                f"Limits must be two finite numbers, the smaller first, and symmetric about zero on a diverging scale; "
                f"received {tuple(limits)}. Leave them out to take them from the data."
            )
    elif diverging:
        high = float(np.max(np.abs(values), initial=0.0)) or 1.0
        low = -high
    else:
        low, high = float(np.min(values, initial=0.0)), float(np.max(values, initial=0.0))
        high = high if high > low else low + 1.0
    return Normalize(low, high, clip=True)


def decimals_for(grids: Sequence[np.ndarray]) -> int:
    """Decimals with which the largest number of all grids has two or three digits."""
    top = max((float(np.nanmax(np.abs(grid), initial=0.0)) for grid in grids), default=0.0)
    return 2 if top == 0 else int(np.clip(1 - np.floor(np.log10(top)), 0, 4))


def short_numbers(values: np.ndarray, decimals: int) -> list[list[str]]:
    """Numbers for cells, all with as many decimals.

    Examples
    --------
    >>> short_numbers(np.array([[0.123, -0.5], [np.nan, -0.001]]), 2)
    [['0.12', '−0.50'], ['', '0.00']]
    """
    # Adding zero makes a negative zero positive.
    rounded = np.round(values, decimals) + 0.0
    texts = [[f"{value:.{decimals}f}".replace("-", "−") for value in row] for row in rounded]
    return [["" if text == "nan" else text for text in row] for row in texts]


def contrasting(colours: Colormap, norm: Normalize, values: np.ndarray) -> np.ndarray:
    """[...] bool: whether a cell is so dark that its text must be white."""
    rgb = np.asarray(colours(norm(np.nan_to_num(values))))[..., :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    # Where white and ink have equal contrast.
    return linear @ np.array([0.2126, 0.7152, 0.0722]) < 0.214


def draw_grid(
    ax: Axes,
    grid: Grid,
    *,
    colours: ListedColormap,
    norm: Normalize,
    cell: tuple[float, float],
    numbers: bool = True,
) -> bool:
    """Draw a grid onto axes whose cells are `cell` inches wide and tall; returns whether its texts found room."""
    values = grid.values
    n_layers, n_heads = values.shape
    ax.set_xlim(0, n_heads)
    ax.set_ylim(n_layers, 0)
    ax.set_facecolor(palette.FAINT)
    ax.pcolormesh(
        np.arange(n_heads + 1),
        np.arange(n_layers + 1),
        np.ma.masked_invalid(values),
        norm=norm,
        cmap=colours,
        edgecolor=palette.PAPER,
        linewidth=0.6 if min(cell) > 0.12 else 0.25,
        antialiased=True,
        gid="cells",
    )
    for layer, head in np.argwhere(np.isnan(values)).tolist():
        ax.add_patch(
            Rectangle(
                (head, layer),
                1,
                1,
                facecolor="none",
                edgecolor=palette.CONTROL,
                hatch="////",
                linewidth=0,
                gid="no value",
            )
        )
    if grid.texts is None:
        decimals = decimals_for([values]) if grid.decimals is None else grid.decimals
        texts = short_numbers(values, decimals)
    else:
        texts = [
            ["\n".join(wrapped(plain(text, most=40), cell[0] - 0.06, NUMBER)) for text in row]
            for row in grid.texts
        ]
    flat = [text for row in texts for text in row]
    widest = max((text_width(line, NUMBER) for text in flat for line in text.split("\n")), default=0.0)
    most = max((text.count("\n") + 1 for text in flat), default=1)
    fits = numbers and widest <= cell[0] - 0.04 and cell[1] >= 0.03 + 0.12 * most
    if fits:
        dark = contrasting(colours, norm, values)
        for layer, row in enumerate(texts):
            for head, text in enumerate(row):
                if text:
                    ax.text(
                        head + 0.5,
                        layer + 0.5,
                        text,
                        ha="center",
                        va="center" if "\n" in text else "center_baseline",
                        fontsize=NUMBER,
                        linespacing=1.1,
                        color=palette.PAPER
                        if dark[layer, head] and np.isfinite(values[layer, head])
                        else palette.INK,
                        gid="cell text",
                    )
    _draw_marks(ax, grid, cell, inside=not fits)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return fits


def _draw_marks(ax: Axes, grid: Grid, cell: tuple[float, float], *, inside: bool) -> None:
    """Put each mark into its corner; alone in a cell without a text it stands in the middle."""
    size = min(4.6, 72 * min(cell) * (0.5 if inside else 0.24))
    for index, (name, where) in enumerate(grid.marks.items()):
        layers, heads = np.nonzero(where)
        right, down = CORNERS[index]
        gap = (size / 2 + 1.2) / 72
        dx, dy = (
            (0.0, 0.0)
            if inside and len(grid.marks) <= 2
            else (right * (0.5 - gap / cell[0]), down * (0.5 - gap / cell[1]))
        )
        ax.plot(
            heads + 0.5 + dx,
            layers + 0.5 + dy,
            linestyle="none",
            marker=SHAPES[0 if name in grid.hollow else index],
            # On many small cells, rings would drown the colours and what is filled.
            markersize=size * (0.72 if name in grid.hollow and size < 3.5 else 1.0),
            markerfacecolor=palette.PAPER if name in grid.hollow else palette.INK,
            markeredgecolor=palette.PAPER
            if name not in grid.hollow
            else (palette.CONTROL if size < 3.5 else palette.INK),
            markeredgewidth=0.5 if name not in grid.hollow or size < 3.5 else 0.8,
            gid=f"mark {name}",
            zorder=4,
        )


def number_axes(ax: Axes, shape: tuple[int, int], cell: tuple[float, float], *, names: bool = True) -> None:
    """Number layers and heads from 0, as many as there is room for."""
    for axis, n, room, least in ((ax.yaxis, shape[0], cell[1], 0.13), (ax.xaxis, shape[1], cell[0], 0.2)):
        step = next(step for step in (1, 2, 4, 5, 8, 10, 20, 50, 100, 200) if step * room >= least)
        axis.set_major_locator(FixedLocator([i + 0.5 for i in range(0, n, step)]))
        axis.set_major_formatter(FixedFormatter([str(i) for i in range(0, n, step)]))
    ax.tick_params(length=0, labelsize=7.5 if names else 7.0, pad=2)
    if names:
        longest = [
            "layer (numbered from 0, the first at the top)",
            "layer (numbered from 0)",
            "layer (from 0)",
            "layer",
        ]
        room = shape[0] * cell[1] + 0.1
        ax.set_ylabel(next((text for text in longest if text_width(text, 9.0) <= room), "layer"), labelpad=4)
        ax.set_xlabel("head (numbered from 0)", labelpad=3)


def bar_ticks(norm: Normalize) -> tuple[list[float], list[str]]:
    """Three to seven round ticks of a colour bar on a linear scale, and their texts."""
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 1.0)
    scale = 10.0 ** np.floor(np.log10(high - low))
    step = next(s * scale for s in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0) if (high - low) / (s * scale) <= 8)
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    ticks = [round(i * step, 12) for i in range(first, last + 1)]
    return ticks, [f"{tick:g}".replace("-", "−") if abs(tick) >= 1e-4 else number(tick) for tick in ticks]
