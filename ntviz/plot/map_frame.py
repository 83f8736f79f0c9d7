"""The frame of a map figure: where maps, their tracks, strips, axes and the colour bar stand, and their drawing.

Lengths are inches from the top left corner of the figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure as Drawing

from ntviz.plot import palette
from ntviz.plot.cells import CellLane, CellPane, Cells, Places
from ntviz.plot.figure import Figure
from ntviz.plot.indexed import IndexedFigure, palette_of
from ntviz.plot.map_axes import (
    EDGE,
    TICK,
    colour_bar,
    control_paper,
    heading,
    outline,
    position_axes,
    special_strip,
)
from ntviz.plot.mapping import Cut, Side, cut, nice_ticks, pooled, tick_text
from ntviz.plot.margins import Margin
from ntviz.plot.view import View
from ntviz.plot.words import number, sentence, text_width, wrapped

NAME, AXIS = 0.26, 0.54
"""Width of the name of the rows' axis; height of the columns' axis."""

STRIP, STRIP_GAP, BETWEEN, HEADING, BAR = 0.42, 0.16, 0.3, 0.26, 0.98
"""Width of the strip of special tokens and its gap, gap between panels, height of a heading, room for the colour bar."""

MOST = 1_440_000
"""Characters of HTML of the image and the weights of a million pairs; with texts and script, 1.5 MB."""

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One map of the figure.

    Parameters
    ----------
    row_view, column_view
        Make the window of each side from its length in inches.
    rows, columns
        Tokens in the window; `tokens` are indices into the rows and columns of `weights`.
    weights
        [query, key] of the whole figure, in picture order.
    to_special
        [query] share on special tokens, or None.
    heading, note
        Above the map, bold and plain.
    control
        Whether it is a control: on grey paper, its rows' axis shared with the map at its left.
    zoomed
        Whether it is an enlarged part.
    """

    row_view: Callable[[float], View]
    column_view: Callable[[float], View]
    rows: Side
    columns: Side
    weights: np.ndarray
    to_special: np.ndarray | None
    heading: str
    note: str
    control: bool
    zoomed: bool


@dataclass(slots=True, eq=False)
class _Place:
    """A panel with the box of its map, the depth of its row's tracks, its own tracks, and how it is cut."""

    panel: Panel
    left: float
    top: float
    deep: float
    rows: View
    columns: View
    row_margin: Margin | None
    column_margin: Margin
    row_cut: Cut
    column_cut: Cut


class MapFigure:
    """Panels on a grid, drawn."""

    def __init__(
        self,
        panels: Sequence[Panel],
        *,
        columns: int,
        title: str,
        region: str,
        assembly: str | None,
        margins: Callable[[View], Margin],
        norm: Normalize,
        colours: ListedColormap,
        unit: str,
        special: str,
        highest: float,
        width: float,
    ) -> None:
        self.panels, self.columns, self.title, self.width = panels, columns, title, width
        self.assembly, self.margins, self.norm, self.colours = assembly, margins, norm, colours
        self.unit, self.special, self.highest = unit, special, highest
        self.strip = any(panel.to_special is not None for panel in panels)
        shares = [panel.to_special.max(initial=0.0) for panel in panels if panel.to_special is not None]
        self.share = next(
            (share for share in SHARES if share >= max(shares, default=0.0) * 0.999), max(shares, default=1.0)
        )
        lines = wrapped(title, width - 2 * EDGE, 13.0, weight="bold")
        self.places, self.height = self._layout(0.14 + 0.24 * len(lines) + 0.3)
        with palette.style():
            self.drawing = Drawing(figsize=(width, self.height))
            heading(self.drawing, lines, region)
            for place in self.places:
                self._draw(place)
            last = self.places[self.columns - 1]
            left = last.left + last.columns.width + (STRIP_GAP + STRIP if self.strip else 0.0) + 0.24
            length = min(last.rows.width, 2.4)
            ticks = nice_ticks(norm, apart=0.24 / length)
            colour_bar(
                self._axes(left, last.top, 0.13, length, "colour bar"),
                colours,
                norm,
                ticks=ticks,
                texts=["≥" * (i == 0 and highest > ticks[0]) + tick_text(t) for i, t in enumerate(ticks)],
                label=unit,
                length=length,
            )

    # Layout -----------------------------------------------------------------------------------------------------------

    def _own_axis(self, panel: Panel) -> bool:
        return not panel.control

    def _layout(self, top: float) -> tuple[list[_Place], float]:
        after = STRIP_GAP + STRIP if self.strip else 0.0
        wide = tall = 4.0
        lefts: list[float] = []
        # The depth of tracks depends on the size of the maps, and the other way round.
        for _ in range(3):
            before = [
                max(
                    (
                        NAME + TICK + self.margins(panel.row_view(tall)).depth
                        for panel in self.panels[column :: self.columns]
                        if self._own_axis(panel)
                    ),
                    default=0.0,
                )
                for column in range(self.columns)
            ]
            free = self.width - EDGE - BAR - sum(before) - self.columns * after - (self.columns - 1) * BETWEEN
            wide = max(1.2, free / self.columns)
            tall = self._tall(self.panels[0], wide)
            lefts = []
            x = EDGE
            for space in before:
                lefts.append(x + space)
                x += space + wide + after + BETWEEN
        places = []
        for start in range(0, len(self.panels), self.columns):
            row = self.panels[start : start + self.columns]
            tall = max(self._tall(panel, wide) for panel in row)
            column_margins = [self.margins(panel.column_view(wide)) for panel in row]
            row_margins = [
                self.margins(panel.row_view(tall)) if self._own_axis(panel) else None for panel in row
            ]
            names = [name for tracks in row_margins if tracks is not None for name in tracks.elements]
            deep = max(tracks.depth for tracks in column_margins)
            # Names of the rows' elements stand upright in the corner.
            corner = max((text_width(name, 7.5) + 0.1 for name in names), default=0.0)
            top += max(HEADING + deep, corner)
            for panel, left, column_margin, row_margin in zip(
                row, lefts, column_margins, row_margins, strict=False
            ):
                rows, columns = panel.row_view(tall), panel.column_view(wide)
                places.append(
                    _Place(
                        panel,
                        left,
                        top,
                        deep,
                        rows,
                        columns,
                        row_margin,
                        column_margin,
                        cut(panel.rows.spans, rows),
                        cut(panel.columns.spans, columns),
                    )
                )
            top += tall + AXIS
        return places, top + 0.04

    @staticmethod
    def _tall(panel: Panel, wide: float) -> float:
        ratio = len(panel.row_view(1.0).interval) / len(panel.column_view(1.0).interval)
        return wide * min(max(ratio, 0.35), 1.15)

    def _axes(self, left: float, top: float, wide: float, tall: float, label: str) -> Axes:
        box = (left / self.width, 1 - (top + tall) / self.height, wide / self.width, tall / self.height)
        return self.drawing.add_axes(box, label=label)

    def _text(self, x: float, y: float, text: str, **options: object) -> None:
        self.drawing.text(x / self.width, 1 - y / self.height, text, **options)  # ty: ignore[invalid-argument-type]

    # Drawing ----------------------------------------------------------------------------------------------------------

    def _draw(self, place: _Place) -> None:
        panel = place.panel
        wide, tall = place.columns.width, place.rows.width
        name = ("zoom" if panel.zoomed else "map") + (": control" if panel.control else "")
        if panel.control:
            self._paper(place)
        ax = self._axes(place.left, place.top, wide, tall, name)
        shown = pooled(
            panel.weights[np.ix_(panel.rows.tokens, panel.columns.tokens)], place.row_cut, place.column_cut
        )
        ax.set_facecolor(palette.FAINT)
        ax.pcolormesh(
            place.column_cut.edges,
            place.row_cut.edges,
            np.ma.masked_invalid(shown),
            norm=self.norm,
            cmap=self.colours,
            antialiased=False,
            linewidth=0,
            rasterized=True,
            gid="cells",
        )
        ax.set_xlim(*place.columns.limits)
        ax.set_ylim(*place.rows.limits[::-1])
        for spine in ax.spines.values():
            spine.set_visible(True)
            spine.set_linewidth(0.6)
        deep = None if place.row_margin is None else place.row_margin.depth
        position_axes(ax, place.columns, place.rows, deep=deep, assembly=self.assembly)
        if place.column_margin.depth:
            deep = place.column_margin.depth
            above = self._axes(place.left, place.top - deep, wide, deep, f"{name}: columns' tracks")
            place.column_margin.draw(above, upright=False)
        if place.row_margin is not None and place.row_margin.depth:
            deep = place.row_margin.depth
            beside = self._axes(place.left - deep, place.top, deep, tall, f"{name}: rows' tracks")
            place.row_margin.draw(beside, upright=True)
            for element, middle in place.row_margin.places().items():
                x = (place.left - middle) / self.width
                self.drawing.text(
                    x,
                    1 - (place.top - 0.05) / self.height,
                    element,
                    rotation=90,
                    ha="center",
                    va="bottom",
                    fontsize=7.5,
                    color=palette.MUTED,
                    gid="element name",
                )
        if place is self._last_of_row(place):
            for element, middle in place.column_margin.places().items():
                self._text(
                    place.left + wide + 0.06,
                    place.top - middle,
                    element,
                    va="center",
                    fontsize=7.5,
                    color=palette.MUTED,
                    gid="element name",
                )
        self._heading(place)
        if panel.to_special is not None:
            beside = self._axes(
                place.left + wide + STRIP_GAP, place.top, STRIP, tall, f"{name}: {self.special}"
            )
            special_strip(
                beside,
                panel.to_special[panel.rows.tokens],
                place.row_cut,
                place.rows,
                limit=self.share,
                name=self.special,
                control=panel.control,
            )
        near = next((other for other in self.panels if other.zoomed and other.control == panel.control), None)
        if near is not None and not panel.zoomed:
            outline(ax, near.row_view(1.0).interval, near.column_view(1.0).interval)

    def _last_of_row(self, place: _Place) -> _Place:
        return [other for other in self.places if other.top == place.top][-1]

    def _paper(self, place: _Place) -> None:
        """Grey paper behind a control, its tracks and its axis."""
        left, right = place.left - 0.12, place.left + place.columns.width + 0.08
        right += STRIP_GAP + STRIP if self.strip else 0.0
        top, bottom = (
            place.top - place.deep - HEADING,
            place.top + place.rows.width + AXIS - 0.04,
        )
        control_paper(self.drawing, left, top, right - left, bottom - top)

    def _heading(self, place: _Place) -> None:
        panel = place.panel
        y = place.top - place.deep - 0.08
        colour = palette.MUTED if panel.control else palette.INK
        self._text(
            place.left, y, panel.heading, fontsize=9.5, fontweight="bold", color=colour, gid="panel label"
        )
        x = place.left + text_width(panel.heading, 9.5, weight="bold") + 0.09
        room = place.left + place.columns.width + (STRIP_GAP + STRIP if self.strip else 0) - x
        if text_width(panel.note, 8.5) <= room:
            self._text(x, y, panel.note, fontsize=8.5, color=palette.MUTED, gid="panel note")

    # Results ----------------------------------------------------------------------------------------------------------

    def notes(self) -> list[str]:
        """Sentences that say how to read the figure."""
        top, low = float(self.norm.vmax or 1.0), float(self.norm.vmin or 0.0)
        said = [
            f"Each row is a token that looks (query), each column one that is looked at (key); colour: {self.unit}."
        ]
        if self.highest > top * (1 + 1e-9):
            said.append(
                f"Weights above {number(top)} have the darkest colour; the largest is {number(self.highest)}."
            )
        if low > 0:
            said.append(f"Weights below {number(low)} have the palest colour.")
        thin = [place for place in self.places if place.row_cut.pooled or place.column_cut.pooled]
        if thin:
            where = "" if len(thin) == len(self.places) else " in the overview"
            said.append(
                f"Tokens are thinner than a pixel{where}: each pixel shows the largest weight beneath it."
            )
        hidden = max(place.column_margin.hidden for place in self.places)
        if hidden:
            said.append(f"{hidden:,} more genes are not drawn.")
        return [sentence(text) for text in said]

    def figure(
        self,
        *,
        rows: Places,
        cells: Places,
        lanes: Sequence[CellLane],
        start: tuple[int, int, int],
        alt: str,
        caption: str,
    ) -> Figure:
        """The figure with its cursor."""
        panes = []
        for place in self.places:
            left, top = place.left, place.top
            right, bottom = left + place.columns.width, top + place.rows.width
            before = 0.0 if place.row_margin is None else place.row_margin.depth
            after = STRIP_GAP + STRIP if place.panel.to_special is not None else 0.0
            panes.append(
                CellPane(
                    left / self.width,
                    right / self.width,
                    top / self.height,
                    bottom / self.height,
                    place.columns.limits,
                    place.rows.limits,
                    (
                        (left - before) / self.width,
                        (right + after) / self.width,
                        (top - place.column_margin.depth) / self.height,
                        bottom / self.height,
                    ),
                )
            )
        return IndexedFigure(
            self.drawing,
            title=self.title,
            alt=alt,
            caption=caption,
            readout=Cells(rows, cells, lanes, panes, start=start),
            keep=palette_of(self.colours),
            most=round(MOST * max(1.0, self.panels[0].weights.size / 1e6) ** 0.5),
        )
