"""All heads by all elements as colours: one grid with a row an element, or a grid of layers by heads for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator

from ntviz.plot import palette
from ntviz.plot.cells import CellLane, CellPane, Cells, Places
from ntviz.plot.enriched import CONTROLS, FEWEST, PASSED, PUBLISHED, Element
from ntviz.plot.figure import Figure
from ntviz.plot.grids import Grid, draw_grid, number_axes, score_colours
from ntviz.plot.indexed import IndexedFigure, palette_of
from ntviz.plot.map_axes import EDGE, colour_bar, control_paper, heading
from ntviz.plot.margins import element_name
from ntviz.plot.words import number, plain, sentence, text_width, wrapped

BAR, HEADING, GAP = 1.2, 0.26, 0.2
MOST_COLUMNS = 48
"""Heads in one row at most; a larger model has a grid of layers by heads for each element."""

FOLD = 3.0
"""log2 of the ratio at which colours end at the latest: 8 times more or less."""


def _log2(ratio: np.ndarray) -> np.ndarray:
    """log2, where a ratio of nothing is as low as the colours go."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log2(ratio), -99.0)


def _fold(value: float) -> str:
    times = {-3.0: "⅛", -2.0: "¼", -1.0: "½"}.get(value, f"{2**value:.2g}")
    return f"{value:+g} ({times}×)".replace("-", "−") if value else "0 (1×)"


class HeatMap:
    """All heads by all elements: one grid with a row an element, or a grid of layers by heads for each."""

    def __init__(
        self,
        found: Sequence[Element],
        shape: tuple[int, int],
        control: str | None,
        title: str,
        caption: str,
        width: float,
    ) -> None:
        self.found, self.shape, self.control = found, shape, control
        self.title, self.caption, self.width = title, caption, width
        shown = [each.coloured() for each in found]
        shown += [each.coloured(control) for each in found] if control else []
        logs = np.abs(_log2(np.concatenate(shown)))
        largest = float(np.nanmax(logs, initial=0.0))
        self.limit = min(FOLD, max(0.5, np.ceil(largest * 2) / 2))
        self.beyond = int((logs > self.limit).sum())
        self.norm = Normalize(-self.limit, self.limit, clip=True)
        self.colours = score_colours(diverging=True)
        self.panes: list[CellPane] = []
        self.lines = wrapped(title, width - 2 * EDGE, 13.0, weight="bold")
        self.top = 0.14 + 0.24 * len(self.lines) + 0.3 + 0.3

    def figure(self) -> Figure:
        wide = self.shape[0] * self.shape[1] <= MOST_COLUMNS
        with palette.style():
            drawing = self._rows() if wide else self._grids()
            text = "share of attention above the threshold on the element, over its share of positions"
            heading(drawing, self.lines, text)
            self._key(drawing)
        return IndexedFigure(
            drawing,
            title=self.title,
            alt=self._said(),
            caption=" ".join(
                [*([sentence(plain(self.caption, most=600))] if self.caption else []), *self._notes()]
            ),
            readout=self._readout(sheets=not wide),
            keep=palette_of(self.colours),
        )

    def _marks(self, each: Element) -> dict[str, np.ndarray]:
        return {
            PASSED: each.grid(each.passed, self.shape),
            PUBLISHED: each.grid(each.published_only, self.shape),
        }

    def _axes(self, drawing: Drawing, left: float, top: float, size: tuple[float, float], label: str) -> Axes:
        width, height = drawing.get_size_inches()
        box = (left / width, 1 - (top + size[1]) / height, size[0] / width, size[1] / height)
        return drawing.add_axes(box, label=label)

    def _rows(self) -> Drawing:
        """Elements by heads."""
        names = [element_name(each.name) for each in self.found]
        left = EDGE + max(text_width(name, 9.0) for name in names) + 0.14
        n_heads = self.shape[0] * self.shape[1]
        cell = (min(0.34, (self.width - left - BAR) / n_heads), 0.27)
        deep, across = cell[1] * len(names), cell[0] * n_heads
        layers = 2 if self.control else 1
        foot = 0.56
        block = deep + foot + (HEADING if self.control else 0.0)
        height = self.top + max(layers * block, 1.7) + 0.06
        drawing = Drawing(figsize=(self.width, height))
        top = self.top
        for index in range(layers):
            top += HEADING if self.control else 0.0
            if index:
                control_paper(drawing, left - 0.1, top - HEADING, across + 0.2, block - 0.06)
            ratios = [each.coloured(self.control if index else None) for each in self.found]
            values = np.stack(
                [each.grid(_log2(r), self.shape).ravel() for each, r in zip(self.found, ratios, strict=True)]
            )
            marks = {} if index else {
                name: np.stack([self._marks(each)[name].ravel() for each in self.found])
                for name in (PASSED, PUBLISHED)
            }  # fmt: skip
            ax = self._axes(drawing, left, top, (across, deep), "control" if index else "ratios")
            draw_grid(
                ax,
                Grid(np.clip(values, -self.limit, self.limit), marks=marks, hollow=(PUBLISHED,)),
                colours=self.colours,
                norm=self.norm,
                cell=cell,
            )
            self._head_axis(ax, names, cell)
            if self.control:
                self._panel_label(drawing, left, top, index)
            self._pane(drawing, left, top, (across, deep), len(names), n_heads, 0)
            top += deep + foot
        self._bar(drawing, left + across + 0.25, self.top + (HEADING if self.control else 0.0))
        return drawing

    def _head_axis(self, ax: Axes, names: Sequence[str], cell: tuple[float, float]) -> None:
        ax.yaxis.set_major_locator(FixedLocator([i + 0.5 for i in range(len(names))]))
        ax.yaxis.set_major_formatter(FixedFormatter(list(names)))
        n_layers, n_heads = self.shape
        ax.xaxis.set_major_locator(FixedLocator([i + 0.5 for i in range(n_layers * n_heads)]))
        texts = [f"{i // n_heads}.{i % n_heads}" for i in range(n_layers * n_heads)]
        upright = max(text_width(text, 7.0) for text in texts) > cell[0] - 0.03
        ax.xaxis.set_major_formatter(FixedFormatter(texts))
        ax.tick_params(length=0, pad=3)
        ax.tick_params(axis="x", labelsize=7, rotation=90 if upright else 0)
        ax.tick_params(axis="y", labelsize=9)
        for layer in range(1, n_layers):
            ax.axvline(layer * n_heads, color=palette.PAPER, linewidth=3.0, gid="layer")
        ax.set_xlabel("head, as layer.head, both numbered from 0", labelpad=3)

    def _grids(self) -> Drawing:
        """A grid of layers by heads for each element, with its control at its right."""
        n_layers, n_heads = self.shape
        each = 2 if self.control else 1
        free = self.width - EDGE - BAR - 0.3
        per_row = max(each, int(free / (max(0.074 * n_heads, 1.0) + GAP)) // each * each)
        per_row = min(per_row, each * len(self.found))
        side = min(0.2, (free / per_row - GAP) / n_heads)
        deep, across = side * n_layers, side * n_heads
        rows = -(-len(self.found) * each // per_row)
        block = HEADING + deep + 0.34
        height = self.top + max(rows * block, 2.6) + 0.22
        drawing = Drawing(figsize=(self.width, height))
        for index, item in enumerate(self.found):
            for is_control in range(each):
                place = index * each + is_control
                left = EDGE + 0.3 + place % per_row * (across + GAP)
                top = self.top + place // per_row * block + HEADING
                if is_control:
                    control_paper(
                        drawing, left - GAP / 2 - 0.05, top - HEADING + 0.03, across + GAP, block - 0.04
                    )
                values = item.coloured(self.control if is_control else None)
                grid = Grid(
                    np.clip(item.grid(_log2(values), self.shape), -self.limit, self.limit),
                    marks={} if is_control else self._marks(item),
                    hollow=(PUBLISHED,),
                )
                label = f"control: {item.name}" if is_control else item.name
                ax = self._axes(drawing, left, top, (across, deep), label)
                draw_grid(ax, grid, colours=self.colours, norm=self.norm, cell=(side, side), numbers=False)
                number_axes(ax, self.shape, (side, side), names=False)
                name = CONTROLS[self.control or ""] if is_control else element_name(item.name)
                drawing.text(
                    left / self.width,
                    1 - (top - 0.07) / height,
                    name,
                    fontsize=8.5 if is_control else 9.5,
                    fontweight="normal" if is_control else "bold",
                    color=palette.MUTED if is_control else palette.INK,
                    gid="panel label",
                )
                self._pane(drawing, left, top, (across, deep), n_layers, n_heads, index)
        drawing.text(
            (EDGE + 0.3) / self.width,
            0.1 / height,
            "Each grid: layers downwards, heads to the right, both numbered from 0",
            fontsize=8.5,
            color=palette.MUTED,
            gid="axes note",
        )
        self._bar(drawing, EDGE + 0.3 + per_row * (across + GAP) + 0.15, self.top + HEADING)
        return drawing

    # Parts ------------------------------------------------------------------------------------------------------------

    def _key(self, drawing: Drawing) -> None:
        width, height = drawing.get_size_inches()
        x, y = EDGE + 0.06, self.top - 0.16
        for name, face in ((PASSED, palette.INK), (PUBLISHED, palette.PAPER)):
            drawing.add_artist(
                Line2D(
                    [x / width],
                    [1 - y / height],
                    marker="o",
                    markersize=5.5,
                    markerfacecolor=face,
                    markeredgecolor=palette.INK,
                    linestyle="none",
                    gid="key shape",
                )
            )
            drawing.text((x + 0.1) / width, 1 - y / height, name, va="center", fontsize=8.5, gid="key")
            x += 0.1 + text_width(name, 8.5) + 0.28

    def _panel_label(self, drawing: Drawing, left: float, top: float, is_control: int) -> None:
        width, height = drawing.get_size_inches()
        name = f"Control: {CONTROLS[self.control or '']}" if is_control else "Model"
        colour = palette.MUTED if is_control else palette.INK
        drawing.text(
            left / width,
            1 - (top - 0.08) / height,
            name,
            fontsize=9.5,
            fontweight="bold",
            color=colour,
            gid="panel label",
        )

    def _pane(
        self,
        drawing: Drawing,
        left: float,
        top: float,
        size: tuple[float, float],
        rows: int,
        columns: int,
        sheet: int,
    ) -> None:
        width, height = drawing.get_size_inches()
        self.panes.append(
            CellPane(
                left / width,
                (left + size[0]) / width,
                top / height,
                (top + size[1]) / height,
                (0, columns),
                (0, rows),
                sheet=sheet,
            )
        )

    def _bar(self, drawing: Drawing, left: float, top: float) -> None:
        length = min(2.4, drawing.get_size_inches()[1] - top - 0.3)
        ax = self._axes(drawing, left, top, (0.13, length), "colour bar")
        step = 1.0 if self.limit > 1.5 else 0.5
        ticks = np.arange(-np.floor(self.limit / step) * step, self.limit + 0.01, step).tolist()
        colour_bar(
            ax,
            self.colours,
            self.norm,
            ticks=ticks,
            texts=[_fold(tick) for tick in ticks],
            label="log2 of the ratio",
            length=length,
        )

    # Words ------------------------------------------------------------------------------------------------------------

    def _notes(self) -> list[str]:
        said = [
            "Orange: the head looks at the element more than its share of positions; blue: less; hatched: no test is "
            f"possible, or chance puts fewer than {FEWEST} pairs there."
        ]
        if not any(each.passed.any() or np.isfinite(each.q).any() for each in self.found):
            said.append("The table has no shift null, so nothing can be marked as passing it.")
        if self.beyond:
            said.append(
                f"{self.beyond:,} ratios lie beyond the ends of the colours and are drawn like these."
            )
        return said

    def _said(self) -> str:
        heads = len({(a, b) for each in self.found for a, b in zip(each.layers, each.heads, strict=True)})
        plural = "s" if heads != 1 else ""
        said = [f"{sentence(self.title)} Attention on {len(self.found)} elements over their share of positions, {heads:,} head{plural} as layer.head."]  # fmt: skip
        for each in self.found:
            text = f"{element_name(each.name)}: {int(each.passed.sum()):,} pass the shift null, {int(each.published_only.sum()):,} more the published test only"
            worth = each.coloured()
            known = np.where(np.isfinite(worth), worth, -1.0)
            best = int(known.argmax())
            if known[best] >= 0:
                text += (
                    f"; largest ratio {number(float(known[best]))} at {each.layers[best]}.{each.heads[best]}"
                )
            said.append(f"{text}.")
        return " ".join(said)

    def _readout(self, *, sheets: bool) -> Cells:
        def stacked(pick: str, control: str = "") -> np.ndarray:
            parts = [each.controls[control] if control else getattr(each, pick) for each in self.found]
            return np.stack(
                [each.grid(part, self.shape) for each, part in zip(self.found, parts, strict=True)]
            )

        low, high = stacked("low").ravel(), stacked("high").ravel()
        intervals = [
            f"{number(a)} to {number(b)}" if np.isfinite([a, b]).all() else ""
            for a, b in zip(low.tolist(), high.tolist(), strict=True)
        ]
        lanes = [CellLane("ratio", values=stacked("ratio")), CellLane("95% interval", texts=intervals)]
        if any(np.isfinite(each.expected).any() for each in self.found):
            lanes.append(CellLane("shifted elements", values=stacked("expected")))
        for key, words in CONTROLS.items():
            if all(key in each.controls for each in self.found):
                lanes.append(CellLane(words, values=stacked("", key)))
        passed, only = stacked("passed").ravel(), stacked("published_only").ravel()
        texts = [PASSED if a else PUBLISHED if b else "" for a, b in zip(passed, only, strict=True)]
        lanes.append(CellLane("", texts=texts))
        names = [element_name(each.name) for each in self.found]
        n_layers, n_heads = self.shape
        if sheets:
            rows, columns = (Places(name, [str(i) for i in range(n)]) for name, n in (("layer", n_layers), ("head", n_heads)))  # fmt: skip
            return Cells(rows, columns, lanes, self.panes, sheets=names)
        heads = [f"{i // n_heads}.{i % n_heads}" for i in range(n_layers * n_heads)]
        return Cells(Places("", names), Places("head", heads), lanes, self.panes)
