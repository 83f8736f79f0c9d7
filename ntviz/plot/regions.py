"""`regions_track`: named stretches of the genome, such as a user's BED file, motif hits or regulatory elements.

Boxes with names where there is room, boxes alone where there is less, and the number of regions over each base where
boxes would cover each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from ntviz.annotation import from_table
from ntviz.genome import canonical_contig
from ntviz.plot import palette
from ntviz.plot.packing import lines_needed, packed
from ntviz.plot.readout import Lane
from ntviz.plot.signals import binning_note, draw_signal
from ntviz.plot.ticks import numbers
from ntviz.plot.view import Drawn, Row, View, nothing_here, without_scale
from ntviz.plot.words import listing, number, plain, span, text_width

if TYPE_CHECKING:
    import pandas as pd

NAMED, BARE, DENSITY = 0.34, 0.15, 0.5
"""Height of a line of named boxes, of a line of boxes alone, and of the number of regions, in inches."""

MOST_RUNS = 2_000
"""Regions that the cursor names at most; of more it gives their number at each base."""

_NAME = 8.0
_TIP, _LEAST, _GAP = 0.06, 1.5 / 96, 0.04


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """Regions as arrays [region]; positions are 0-based half-open, `score` is NaN where there is none."""

    names: np.ndarray
    strands: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def cut(self, view: View, contigs: np.ndarray) -> Regions:
        """Those that overlap a view, whole, from its left to its right."""
        interval = view.interval
        here = contigs == canonical_contig(interval.chrom)
        rows = np.flatnonzero(here & (self.starts < interval.end) & (self.ends > interval.start))
        rows = rows[np.argsort(-self.ends[rows] if view.reverse else self.starts[rows], kind="stable")]
        return Regions(
            *(part[rows] for part in (self.names, self.strands, self.starts, self.ends, self.scores))
        )

    def inches(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """Left and right edges [region] of the boxes in a view, wide enough to be seen."""
        first = np.clip(self.starts, view.interval.start, view.interval.end)
        last = np.clip(self.ends, view.interval.start, view.interval.end)
        near, far = view.interval.end - last, view.interval.end - first
        if not view.reverse:
            near, far = first - view.interval.start, last - view.interval.start
        left, right = view.inches(1.0) * near, view.inches(1.0) * far
        more = np.maximum(0.0, _LEAST - (right - left)) / 2
        return left - more, right + more

    def depth(self, view: View) -> np.ndarray:
        """Number [base] of regions over each base of a view, in its reading direction."""
        interval = view.interval
        steps = np.zeros(len(interval) + 1)
        np.add.at(steps, np.clip(self.starts, interval.start, interval.end) - interval.start, 1)
        np.add.at(steps, np.clip(self.ends, interval.start, interval.end) - interval.start, -1)
        depth = np.cumsum(steps)[:-1]
        return depth[::-1] if view.reverse else depth

    def told(self, index: int) -> str:
        """Name and strand of a region, or its place where it has no name."""
        strand = {"+": " (+)", "-": " (−)"}.get(self.strands[index], "")
        return (self.names[index] or span(int(self.starts[index]), int(self.ends[index]))) + strand


@dataclass(frozen=True, slots=True, eq=False)
class RegionsTrack:
    """Regions of the genome, as `regions_track` makes it."""

    regions: Regions
    contigs: np.ndarray
    label: str
    score_label: str
    most_lines: int
    zoomable: bool = True

    def drawn(self, view: View) -> Drawn:
        """The row, lane and sentence of this track over a view."""
        here = self.regions.cut(view, self.contigs)
        row = self._boxes(view, here)
        if row is None:
            row = self._density(view, here)
        return Drawn((row,), (self._lane(view, here),), f"{self.label}: {self._said(here)}")

    @property
    def scored(self) -> bool:
        """Whether any region has a score."""
        return bool(np.isfinite(self.regions.scores).any())

    def _boxes(self, view: View, here: Regions) -> Row | None:
        """A row of boxes, named if the names fit; None where not even the boxes do."""
        left, right = here.inches(view)
        if lines_needed(left, right, gap=_GAP) > self.most_lines:
            return None
        note = self._shades()
        named = here.names != ""
        # Left ends of the names; more than would fit if each were two letters are not measured.
        starts = np.full(len(here), np.nan)
        if named.any() and len(here) * 0.15 <= self.most_lines * view.width:
            widths = np.array([text_width(name, _NAME) if name else np.nan for name in here.names])
            # From the left end of the box, or up to its right end where the row ends before the name does.
            starts = np.where(left + widths <= view.width, left, np.minimum(right, view.width) - widths)
            begins, ends = np.fmin(left, starts), np.fmax(right, starts + widths)
            if lines_needed(begins, ends, gap=2 * _GAP) <= self.most_lines:
                return self._row(view, here, packed(begins, ends, gap=2 * _GAP), starts, note)
            starts[:] = np.nan
        if named.any():
            note = "; ".join(part for part in (note, "names do not fit: zoom in, or point at a box") if part)
        return self._row(view, here, packed(left, right, gap=_GAP), starts, note)

    def _row(self, view: View, here: Regions, lines: np.ndarray, starts: np.ndarray, note: str) -> Row:
        n, tall = int(lines.max(initial=0)) + 1, bool(np.isfinite(starts).any())
        # With names above it, a box takes the lower part of its line.
        middle, half = (0.24, 0.17) if tall else (0.0, 0.34)

        def draw(ax: Axes) -> None:
            ax.set_ylim(n - 0.5, -0.5)
            without_scale(ax)
            boxes = PolyCollection(
                list(_polygons(view, here, lines + middle, half)),
                facecolors=self._colours(here.scores),
                edgecolors=palette.GENE,
                linewidths=0.4,
                gid="regions",
            )
            ax.add_collection(boxes, autolim=False)
            left = view.limits[0]
            along = -1.0 if view.reverse else 1.0
            for index in np.flatnonzero(np.isfinite(starts)):
                ax.text(
                    left + along * starts[index] / view.inches(1.0),
                    lines[index] - 0.2,
                    here.names[index],
                    fontsize=_NAME,
                    va="center",
                    ha="left",
                    gid="region name",
                )
            if not len(here):
                nothing_here(ax)

        height = 0.2 if not len(here) else n * (NAMED if tall else BARE)
        return Row(self.label, self.label, note, height, draw)

    def _density(self, view: View, here: Regions) -> Row:
        depth = here.depth(view)

        def draw(ax: Axes) -> None:
            draw_signal(ax, view, depth, colour=palette.GENE)
            ax.set_ylim(0, max(1.0, 1.06 * float(depth.max())))
            numbers(ax.yaxis, most=3, whole=True)
            ax.set_ylabel("regions")

        note = f"how many of {len(here):,} lie over each base: too many to draw"
        note = "; ".join(part for part in (note, binning_note(view)) if part)
        return Row(self.label, self.label, note, DENSITY, draw)

    def _shades(self) -> str:
        if not self.scored:
            return ""
        low, high = float(np.nanmin(self.regions.scores)), float(np.nanmax(self.regions.scores))
        if low < 0:
            edge = number(max(-low, high))
            return f"blue below zero, orange above: {self.score_label}, −{edge} to {edge}"
        return f"the darker, the larger: {self.score_label}, 0 to {number(high)}"

    def _colours(self, scores: np.ndarray) -> np.ndarray:
        """Colours [region, RGBA] by score, on one scale for the whole table; white without one."""
        from matplotlib.colors import to_rgba

        if not self.scored:
            return np.tile(to_rgba(palette.GENE), (len(scores), 1))
        signed = np.nanmin(self.regions.scores) < 0
        norm = (palette.sign_norm if signed else palette.magnitude_norm)(self.regions.scores)
        colours = (palette.diverging() if signed else palette.sequential())(norm(scores))
        return np.where(np.isfinite(scores)[:, None], colours, to_rgba(palette.PAPER))

    def _lane(self, view: View, here: Regions) -> Lane:
        if len(here) > MOST_RUNS:
            return Lane(self.label, "regions", here.depth(view))
        runs = []
        for index in range(len(here)):
            start, end = view.clip(int(here.starts[index]), int(here.ends[index]))
            first, last = view.stops(start, end)
            score = here.scores[index]
            scored = f", {self.score_label} {number(float(score))}" if np.isfinite(score) else ""
            runs.append((first, last, here.told(index) + scored))
        return Lane(self.label, runs=runs)

    def _said(self, here: Regions) -> str:
        if not len(here):
            return "none here"
        known = [
            f"{here.told(i)} at {self._place(here, i)}" for i in range(min(len(here), 4)) if here.names[i]
        ]
        names = known + [""] * (len(here) - len(known)) if known else []
        said = f"{len(here):,} region{'s' if len(here) > 1 else ''}"
        said += f": {listing(names, most=len(known))}" if names else ""
        if np.isfinite(here.scores).any():
            best = int(np.where(np.isfinite(here.scores), np.abs(here.scores), -1.0).argmax())
            word = "farthest from zero" if np.nanmin(self.regions.scores) < 0 else "largest"
            said += f"; {word} {self.score_label} {number(float(here.scores[best]))}"
            said += f" ({here.told(best)} at {self._place(here, best)})"
        return said

    @staticmethod
    def _place(here: Regions, index: int) -> str:
        return span(int(here.starts[index]), int(here.ends[index]))


def regions_track(
    table: pd.DataFrame, *, label: str, score_label: str = "score", most_lines: int = 6
) -> RegionsTrack:
    """A track of regions: boxes with their names, or how many lie over each base where there are too many to draw.

    A box points along its strand where it is wide enough. Its shade is its score, on one scale for the whole table.

    Parameters
    ----------
    table
        Columns [chrom, start, end], 0-based half-open as in BED, and of name, strand (+, - or .) and score those that
        are known: the lines of a BED file, `motifs.hits(...)`, `annotation.read(path).table`. Contig aliases match.
        Rows elsewhere do no harm.
    label
        Name of the track.
    score_label
        What the score is, with its unit.
    most_lines
        Lines of boxes at most; where they do not suffice, names go first, then boxes.

    Raises
    ------
    ValueError
        If a column is missing, a coordinate is not an integer, a row has no base, a strand is unknown, a score is
        infinite or no number, or `most_lines` is below 1.

    Examples
    --------
    >>> import pandas as pd
    >>> from ntviz.genome import Interval
    >>> peaks = pd.DataFrame({"chrom": ["20"], "start": [120], "end": [150], "name": ["peak"], "score": [7.5]})
    >>> track = regions_track(peaks, label="Peaks")
    >>> view = View(Interval("chr20", 100, 200), Interval("chr20", 100, 200), width=9.0)
    >>> track.drawn(view).sentence
    'Peaks: 1 region: peak at 121–150; largest score 7.5 (peak at 121–150)'
    """
    if most_lines < 1:
        raise ValueError(
            f"A track of regions must have at least one line; received most_lines={most_lines}. Pass 1 or more."
        )
    # Whoever makes the table learns of its faults as for any annotation.
    checked = from_table(table, element="region", source=plain(label)).table
    # A dot is BED's way to say that there is none.
    shown = {name: "" if name == "." else plain(name, most=28) for name in checked["name"].unique()}
    names = checked["name"].map(shown).to_numpy(dtype=object)
    regions = Regions(
        names,
        checked["strand"].to_numpy(dtype=object),
        checked["start"].to_numpy(dtype=np.int64),
        checked["end"].to_numpy(dtype=np.int64),
        _scores(table, label),
    )
    alias = {chrom: canonical_contig(str(chrom)) for chrom in checked["chrom"].unique()}
    contigs = checked["chrom"].map(alias).to_numpy(dtype=object)
    return RegionsTrack(regions, contigs, plain(label, most=90), plain(score_label), most_lines)


def _scores(table: pd.DataFrame, label: str) -> np.ndarray:
    if "score" not in table.columns:
        return np.full(len(table), np.nan)
    try:
        scores = table["score"].replace(".", np.nan).to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The scores of {label!r} must be numbers, or NaN where there is none; received {error}. "
            f"Convert the column with pandas.to_numeric."
        ) from error
    if np.isinf(scores).any():
        row = int(np.flatnonzero(np.isinf(scores))[0])
        raise ValueError(
            f"The scores of {label!r} must be finite, or NaN where there is none; received {scores[row]} in row "
            f"{row}. Clip them first."
        )
    return scores


def _polygons(view: View, here: Regions, middle: np.ndarray, half: float) -> np.ndarray:
    """Outlines [region, 5, 2] of boxes in data coordinates, with a tip at the 3′ end of those that have a strand."""
    left, right = here.inches(view)
    bp = 1.0 / view.inches(1.0)
    # From here on in genome coordinates, start below end whatever the direction of the picture.
    low, high = (view.interval.end - bp * right, view.interval.end - bp * left) if view.reverse else (
        view.interval.start + bp * left, view.interval.start + bp * right
    )  # fmt: skip
    wide = right - left
    forward = here.strands == "+"
    inside = np.where(forward, here.ends <= view.interval.end, here.starts >= view.interval.start)
    tipped = (here.strands != ".") & inside & (wide >= 5 / 96)
    tip = np.where(tipped, bp * np.minimum(_TIP, wide / 2), 0.0)
    base = np.where(forward, low, high)
    point = np.where(forward, high, low)
    neck = point - np.where(forward, tip, -tip)
    x = np.stack([base, neck, point, neck, base], axis=1)
    y = np.stack([middle - half, middle - half, middle, middle + half, middle + half], axis=1)
    return np.stack([x, y], axis=2)
