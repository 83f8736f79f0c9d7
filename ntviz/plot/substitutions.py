"""Tracks of every substitution: four rows of alternative bases over the genome, and the bases they replace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, TwoSlopeNorm
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator

from ntviz.plot import palette
from ntviz.plot.grids import bar_ticks
from ntviz.plot.indexed import stepped
from ntviz.plot.logo import BLOCK_PIXELS, sequence_track
from ntviz.plot.signals import binned
from ntviz.plot.view import Drawn, Row, View
from ntviz.plot.words import number, text_width

COLOURS = 127
"""Steps of the diverging map: an odd number, so that zero is exactly white."""

DOT_PIXELS = 5.0
"""CSS pixels a base needs for the dot of the reference base; in a longer window it is a dash."""

HATCH = "/////"
"""Of what has no value."""

ROW, STRIP, KEY = 0.235, 0.13, 0.36
"""Height of a row of the map, of the strip of bases and of the key, in inches."""


def farthest(values: np.ndarray, bins: int) -> np.ndarray:
    """The value farthest from zero of each of `bins` equal parts of [base, column]; NaN for a part without one.

    Examples
    --------
    >>> farthest(np.array([[1.0], [-3.0], [np.nan], [0.5]]), 2).ravel().tolist()
    [-3.0, 0.5]
    """
    starts = np.linspace(0, len(values), bins + 1).round().astype(int)[:-1]
    low = np.minimum.reduceat(np.where(np.isnan(values), np.inf, values), starts, axis=0)
    high = np.maximum.reduceat(np.where(np.isnan(values), -np.inf, values), starts, axis=0)
    picked = np.where(-low > high, low, high)
    return np.where(np.isfinite(picked), picked, np.nan)


def _absent(ax: Axes) -> None:
    """Lay hatched grey under a map: it is seen where there is no value."""
    ax.patch.set_visible(True)
    ax.patch.set(facecolor=palette.FAINT, edgecolor=palette.CONTROL, hatch=HATCH, linewidth=0)


def sign_colours() -> ListedColormap:
    """The diverging map in steps that a palette holds exactly; the middle one is white."""
    colours = np.array(stepped(palette.diverging(), COLOURS).colors)
    colours[COLOURS // 2] = 1.0
    return ListedColormap(colours, name="ntviz_substitutions")


@dataclass(frozen=True, slots=True, eq=False)
class BasesTrack:
    """The bases there: letters, blocks, or in a long window the share of G and C.

    Parameters
    ----------
    sequence
        One letter a base, in the reading direction of the figure's interval.
    label
        Name of the track.
    """

    sequence: str
    label: str = "Bases there"
    zoomable: bool = True

    def drawn(self, view: View) -> Drawn:
        """A row of letters or blocks, or a grey strip."""
        if view.base_width >= BLOCK_PIXELS:
            return sequence_track(self.sequence, label=self.label).drawn(view)
        strong = np.array([{"G": 1.0, "C": 1.0, "N": np.nan}.get(base, 0.0) for base in self.sequence])
        shown = view.crop(strong, None, self.label)
        bins = max(1, min(int(view.width * 24), len(shown) // 4))
        share = binned(shown, bins)[1]

        def draw(ax: Axes) -> None:
            _absent(ax)
            greys = LinearSegmentedColormap.from_list("ntviz_gc", ["#FFFFFF", palette.INK])
            ax.pcolormesh(
                view.edges(bins),
                [0, 1],
                np.ma.masked_invalid(share[None, :]),
                vmin=0,
                vmax=1,
                cmap=stepped(greys, 16),
                antialiased=False,
                linewidth=0,
                rasterized=True,
                gid="gc",
            )
            ax.set_ylim(0, 1)
            ax.set_yticks([])

        note = f"share of G and C in {len(shown) / bins:.0f} bp: white 0, black 1"
        return Drawn((Row(self.label, self.label, note, STRIP, draw),))


@dataclass(frozen=True, slots=True, eq=False)
class SubstitutionTrack:
    """A value for each substitution, as a map whose rows are the alternative bases.

    Parameters
    ----------
    values
        [base, 4] of the alternatives A, C, G, T; NaN where there is none.
    reference
        [base] column of the base that is there, -1 at N.
    label, note, unit
        Name of the track, what stands beside it, and the unit of the colours.
    norm
        From value to colour, zero in its middle.
    marked
        [base] and column of alternatives drawn with a frame.
    sentence
        Of the alt text.
    """

    values: np.ndarray
    reference: np.ndarray
    label: str
    note: str
    unit: str
    norm: TwoSlopeNorm
    marked: Sequence[tuple[int, int]]
    sentence: str
    zoomable: bool = True

    def drawn(self, view: View) -> Drawn:
        """The map, and under it, unless it is an enlarged part, its key."""
        values = view.crop(self.values, None, self.label)
        codes = np.nan_to_num(view.crop(self.reference.astype(float), None, self.label), nan=-1).astype(int)
        bins = None if view.base_width >= 1 else int(view.width * 96)
        place = self._place(view)
        marked = [(index - place, column) for index, column in self.marked]
        marked = [(index, column) for index, column in marked if 0 <= index < len(values)]

        def draw(ax: Axes) -> None:
            self._draw(ax, view, values, codes, bins, marked)

        note = self.note
        if bins is not None:
            farthest_note = f"farthest from zero of {len(values) / bins:.0f} bp"
            note = "; ".join(part for part in (farthest_note, note) if part)
        rows = [Row(self.label, self.label, note, 4 * ROW, draw)]
        if not view.zoomed:
            missing = bool(np.isnan(self._filled(values, codes)).any())
            rows.append(
                Row(
                    f"{self.label}: key",
                    "",
                    "",
                    KEY,
                    lambda ax: self._key(ax, view, dots=bins is None, missing=missing),
                )
            )
        return Drawn(tuple(rows), (), self.sentence)

    @staticmethod
    def _place(view: View) -> int:
        """Number of the first base of a view in the arrays of the figure."""
        whole = view.whole
        return whole.end - view.interval.end if view.reverse else view.interval.start - whole.start

    @staticmethod
    def _filled(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Values with zero at the reference base: there a substitution changes nothing."""
        rows = np.flatnonzero((codes >= 0) & np.isfinite(values).any(axis=1))
        filled = values.copy()
        filled[rows, codes[rows]] = 0.0
        return filled

    def _draw(
        self,
        ax: Axes,
        view: View,
        values: np.ndarray,
        codes: np.ndarray,
        bins: int | None,
        marked: Sequence[tuple[int, int]],
    ) -> None:
        shown = self._filled(values, codes)
        if bins is not None:
            shown = farthest(shown, bins)
        _absent(ax)
        ax.pcolormesh(
            view.edges(bins),
            np.arange(5),
            np.ma.masked_invalid(shown.T),
            norm=self.norm,
            cmap=sign_colours(),
            antialiased=False,
            linewidth=0,
            rasterized=True,
            gid="substitutions",
        )
        if bins is None:
            self._references(ax, view, values, codes)
        edges = view.edges()
        for index, column in marked:
            left, right = sorted(edges[index : index + 2].tolist())
            room = max(0.0, 4.0 / view.base_width - 1) / 2
            corner, wide = (left - room, column), right - left + 2 * room
            for colour, thick in ((palette.PAPER, 3.4), (palette.INK, 1.6)):
                ax.add_patch(
                    Rectangle(
                        corner, wide, 1, facecolor="none", edgecolor=colour, linewidth=thick, gid="marked",
                        clip_on=False, zorder=4,
                    )
                )  # fmt: skip
        ax.set_ylim(4, 0)
        ax.set_yticks(np.arange(4) + 0.5, list(palette.BASES))
        ax.tick_params(axis="y", length=0)
        for label in ax.get_yticklabels():
            label.set_fontweight("bold")
            label.set_color(palette.BASE_COLOURS[label.get_text()])
        ax.set_ylabel("alternative")

    @staticmethod
    def _references(ax: Axes, view: View, values: np.ndarray, codes: np.ndarray) -> None:
        """Mark the base that is there: a dot, or a dash where a dot would be wider than its base."""
        rows = np.flatnonzero((codes >= 0) & np.isfinite(values).any(axis=1))
        edges = view.edges()
        middles, ys = (edges[rows] + edges[rows + 1]) / 2, codes[rows] + 0.5
        if view.base_width >= DOT_PIXELS:
            size = min(4.2, view.base_width * 0.36)
            ax.plot(
                middles,
                ys,
                linestyle="none",
                marker="o",
                markersize=size,
                color=palette.MUTED,
                markeredgewidth=0,
                gid="reference",
            )
        else:
            ax.hlines(ys, edges[rows], edges[rows + 1], color=palette.MUTED, linewidth=1.4, gid="reference")

    def _key(self, ax: Axes, view: View, *, dots: bool, missing: bool) -> None:
        """A colour bar with its unit, and what the dots and the hatching are."""
        ax.set_axis_off()
        wide, bar = 2.5, ax.inset_axes((0.0, 0.55, 2.5 / view.width, 0.31))
        colours = sign_colours()
        bar.pcolormesh(
            np.linspace(0, 1, colours.N + 1),
            [0, 1],
            (np.arange(colours.N)[None, :] + 0.5) / colours.N,
            vmin=0,
            vmax=1,
            cmap=colours,
            antialiased=False,
            linewidth=0,
            rasterized=True,
        )
        ticks, texts = bar_ticks(self.norm)
        bar.set_xticks([float(self.norm(tick)) for tick in ticks], texts)
        bar.tick_params(axis="x", labelsize=8, length=2, pad=1.5)
        bar.yaxis.set_major_locator(NullLocator())
        for spine in bar.spines.values():
            spine.set_visible(True)
            spine.set_linewidth(0.6)
        x, y = wide + 0.1, 0.7
        entries = [("", f"{self.unit}; below 0 (blue): less likely than the reference base")]
        entries += [("dot", "reference base")] if dots else []
        entries += [("box", "no score")] if missing else []
        for shape, text in entries:
            if shape == "dot":
                ax.plot(
                    [x / view.width],
                    [y],
                    transform=ax.transAxes,
                    marker="o" if view.base_width >= DOT_PIXELS else "_",
                    markersize=5,
                    linestyle="none",
                    color=palette.MUTED,
                    clip_on=False,
                    gid="key shape",
                )
            elif shape == "box":
                ax.add_patch(
                    Rectangle(
                        ((x - 0.09) / view.width, y - 0.18), 0.18 / view.width, 0.36, transform=ax.transAxes, linewidth=0,
                        facecolor=palette.FAINT, edgecolor=palette.CONTROL, hatch=HATCH, clip_on=False,
                        gid="key shape",
                    )
                )  # fmt: skip
            x += 0.13 if shape else 0.0
            ax.text(
                x / view.width, y, text, transform=ax.transAxes, va="center", fontsize=8.5, color=palette.MUTED,
                gid="key",
            )  # fmt: skip
            x += text_width(text, 8.5) + 0.22


def ends(norm: TwoSlopeNorm, values: np.ndarray) -> str:
    """Where the colours end and how many values lie beyond; empty when none does."""
    top = float(norm.vmax or 1.0)
    beyond = int((np.abs(values[np.isfinite(values)]) > top).sum())
    return f"colours end at ±{number(top)}, {beyond:,} beyond" if beyond else ""
