"""The cells of `motif_logos`: what each shows, where it stands, and how it is drawn.

Lengths are inches from the top left corner of the figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from ntviz.plot import palette
from ntviz.plot.letters import LETTER_PIXELS, draw_letters
from ntviz.plot.ticks import numbers
from ntviz.plot.words import fitted, text_width, wrapped

LEFT, RIGHT, BETWEEN = 0.72, 0.2, 0.3
LOGO, LINE, TICKS, BELOW = 0.6, 0.19, 0.2, 0.16
NAME, NOTE = 9.0, 8.0
WIDEST = 30.0
COMFORT = 14.0
"""CSS pixels of a position that are enough to put one more cell into a row."""
MOST_PIXELS = 26.0

LONGEST = 300.0
"""Inches of a figure at most: a PNG of two pixels per CSS pixel holds 65,536 pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Letters of one motif: heights [position, 4], the limits and unit of their axis, and what is written above."""

    heights: np.ndarray
    limits: tuple[float, float]
    unit: str
    name: str
    note: str

    def __len__(self) -> int:
        return len(self.heights)


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One motif, and the one that is drawn beneath it, whose first column stands under column `shift`."""

    motif: Stack
    beside: Stack | None = None
    shift: int = 0

    @property
    def columns(self) -> tuple[int, int]:
        """First column and the one after the last, counted from the motif's first."""
        if self.beside is None:
            return 0, len(self.motif)
        return min(0, self.shift), max(len(self.motif), self.shift + len(self.beside))

    @property
    def shared(self) -> tuple[int, int]:
        """Columns that both motifs have."""
        if self.beside is None:
            return 0, 0
        return max(0, self.shift), min(len(self.motif), self.shift + len(self.beside))


def longest_of(cells: Sequence[Cell]) -> int:
    """Columns of the longest cell."""
    return max(end - start for start, end in (cell.columns for cell in cells))


def page_width(cells: Sequence[Cell], width: float | None) -> float:
    """Width of a figure of cells in inches: what is asked for, else a page or less, or what the longest motif needs.

    Raises
    ------
    ValueError
        If letters would be too narrow to read.
    """
    longest = longest_of(cells)
    needed = longest * LETTER_PIXELS / 96 + LEFT + RIGHT
    enough = len(cells) * (longest * MOST_PIXELS / 96 + BETWEEN) - BETWEEN + LEFT + RIGHT
    page = min(max(5.0, needed, min(10.0, enough)), WIDEST) if width is None else width
    if needed > page:
        advice = "Cut it, or draw it with contribution_track or logo_track in a locus"
        raise ValueError(
            f"A logo must have {LETTER_PIXELS:g} pixels for each position; received {longest:,} positions for "
            f"{page:g} inches. {advice if needed > WIDEST else f'Pass width={np.ceil(needed):.0f} or more'}."
        )
    return page


@dataclass(frozen=True, slots=True)
class Grid:
    """Where cells stand: `across` in a row, each position `step` inches wide."""

    cells: Sequence[Cell]
    width: float
    across: int
    step: float
    top: float
    pairs: bool
    two_lines: bool

    @classmethod
    def of(cls, cells: Sequence[Cell], *, top: float, page: float, pairs: bool) -> Grid:
        """The grid of most cells in a row whose positions are still wide enough.

        Raises
        ------
        ValueError
            If the figure would be too high for a PNG.
        """
        longest = longest_of(cells)
        room = page - LEFT - RIGHT + BETWEEN
        fits = [n for n in range(1, 7) if (room / n - BETWEEN) * 96 / longest >= COMFORT]
        across = min(max(fits, default=1), len(cells))
        cell = room / across - BETWEEN
        step = min(cell / longest, MOST_PIXELS / 96)
        stacks = [part for cell in cells for part in (cell.motif, cell.beside) if part is not None]
        two = any(
            text_width(part.name, NAME, weight="bold") + 0.08 + text_width(part.note, NOTE) > cell
            for part in stacks
            if part.note
        )
        grid = cls(cells, page, across, step, top, pairs, two)
        if grid.height > LONGEST:
            raise ValueError(
                f"A figure of logos must be at most {LONGEST:g} inches high; received {len(cells):,} logos, "
                f"{grid.height:,.0f} inches. Draw fewer at a time."
            )
        return grid

    @property
    def cell_width(self) -> float:
        """Width that a cell has for its text."""
        return (self.width - LEFT - RIGHT + BETWEEN) / self.across - BETWEEN

    @property
    def label_height(self) -> float:
        """Height of what is written above a logo."""
        return LINE * (2 if self.two_lines else 1)

    @property
    def cell_height(self) -> float:
        """Height of a cell with its labels and tick labels."""
        height = self.label_height + LOGO + TICKS + BELOW
        return height + (self.label_height + LOGO if self.pairs else 0.0)

    @property
    def height(self) -> float:
        """Height of the figure."""
        return self.top + -(-len(self.cells) // self.across) * self.cell_height

    def corner(self, index: int) -> tuple[float, float]:
        """Left and top of a cell."""
        row, column = divmod(index, self.across)
        return LEFT + column * (self.cell_width + BETWEEN), self.top + row * self.cell_height

    def box(self, index: int, position: int) -> tuple[float, float, float, float]:
        """Rectangle (x0, y0, x1, y1) of a position of a cell's motif, as fractions of the figure from its top left."""
        left, top = self.corner(index)
        x = left + (position - self.cells[index].columns[0]) * self.step
        y0, y1 = top + self.label_height, top + self.cell_height - BELOW
        return x / self.width, y0 / self.height, (x + self.step) / self.width, y1 / self.height


def draw_cell(drawing: Drawing, grid: Grid, index: int) -> None:
    """Draw a cell: the motif with its position numbers, and beneath it what stands beside it, column under column."""
    cell = grid.cells[index]
    left, top = grid.corner(index)
    first = index % grid.across == 0
    top += grid.label_height
    ax = _axes(drawing, grid, cell, cell.motif, (left, top), shift=0, first=first)
    _position_ticks(ax, len(cell.motif), grid.step)
    if not grid.pairs:
        return
    top += LOGO + TICKS + grid.label_height
    if cell.beside is not None:
        _axes(drawing, grid, cell, cell.beside, (left, top), shift=cell.shift, first=first)
        return
    drawing.text(
        left / grid.width,
        1 - (top + LOGO / 2) / grid.height,
        "no match",
        fontsize=NAME,
        color=palette.MUTED,
        va="center",
        gid="no match",
    )


def _axes(
    drawing: Drawing,
    grid: Grid,
    cell: Cell,
    stack: Stack,
    corner: tuple[float, float],
    *,
    shift: int,
    first: bool,
) -> Axes:
    left, top = corner
    start, end = cell.columns
    box = (left, grid.height - top - LOGO, (end - start) * grid.step, LOGO)
    across, up = grid.width, grid.height
    ax = drawing.add_axes((box[0] / across, box[1] / up, box[2] / across, box[3] / up), label=stack.name)
    ax.set_xlim(start, end)
    ax.set_ylim(*stack.limits)
    ax.set_xticks([])
    low, high = cell.shared
    if low < high:
        ax.axvspan(low, high, color=palette.INK, alpha=0.05, linewidth=0, gid="shared columns")
    draw_letters(ax, stack.heights, shift + np.arange(len(stack)) + 0.03, width=0.94)
    ax.spines["bottom"].set_visible(False)
    ax.hlines(0.0, shift, shift + len(stack), color=palette.INK, linewidth=0.6, gid="zero")
    numbers(ax.yaxis, most=3)
    if first:
        ax.set_ylabel("\n".join(wrapped(stack.unit, LOGO, 8.5)), fontsize=8.5, linespacing=1.05)
        ax.yaxis.set_label_coords(-0.42 / box[2], 0.5)
    else:
        ax.set_yticklabels([])
    _write(drawing, grid, stack, left, top)
    return ax


def _write(drawing: Drawing, grid: Grid, stack: Stack, left: float, top: float) -> None:
    """Name and note above a logo, on one line or on two."""
    name = fitted(stack.name, grid.cell_width, NAME, weight="bold")
    y = 1 - (top - 0.05 - (LINE if grid.two_lines else 0.0)) / grid.height
    drawing.text(left / grid.width, y, name, fontsize=NAME, fontweight="bold", gid="motif name")
    if not stack.note:
        return
    x, room = left, grid.cell_width
    if grid.two_lines:
        y = 1 - (top - 0.05) / grid.height
    else:
        x += text_width(name, NAME, weight="bold") + 0.08
        room -= x - left
    note = fitted(stack.note, room, NOTE)
    drawing.text(x / grid.width, y, note, fontsize=NOTE, color=palette.MUTED, gid="motif note")


def _position_ticks(ax: Axes, n: int, step: float) -> None:
    """Numbers of positions, from 1, as many as do not touch, and no more than read well: each costs as a letter does not."""
    wide = text_width(f"{n:,}", 7.5) + 0.1
    every = next((e for e in (1, 2, 5, 10, 20, 50, 100) if e * step >= wide and n <= 24 * e), 200)
    places = (
        list(range(1, n + 1, 2)) if every == 2 else [p for p in range(1, n + 1) if p % every == 0 or p == 1]
    )
    if every > 2 and len(places) > 1 and (places[1] - 1) * step < wide:
        places = places[1:]
    ax.set_xticks([place - 0.5 for place in places], [f"{place:,}" for place in places], fontsize=7.5)
    ax.tick_params(axis="x", length=0, pad=2)
