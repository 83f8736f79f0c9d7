"""`dependency`: which bases a model's answer at a base depends on, as a square map on genome coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle

from ntviz.genome import Interval
from ntviz.plot import palette
from ntviz.plot.attention_map import SCALE_WORDS
from ntviz.plot.cells import CellLane, Places
from ntviz.plot.figure import Figure
from ntviz.plot.frame import region_text
from ntviz.plot.indexed import IndexedFigure, palette_of
from ntviz.plot.map_frame import MapFigure, Panel
from ntviz.plot.mapping import COLOURS, SCALES, side, weight_colours, weight_norm
from ntviz.plot.margins import margin
from ntviz.plot.transcripts import Annotated
from ntviz.plot.view import View
from ntviz.plot.words import listing, number, plain, sentence, text_width, wrapped

LONGEST = 1_500
"""bp at most: two million cells, as many as a file of some 2 MB tells."""

MOST = 1_850_000
"""Characters of HTML of the image and the values."""

UNIT = "log2 odds ratio"
HATCH = "////"
ABSENT = "both bases in one token, which the model reads at once"


class Dependent(Protocol):
    """What the picture needs of a dependency map: `variants.dependency` gives it."""

    @property
    def interval(self) -> Interval:
        """The bases substituted and read."""
        ...

    @property
    def sequence(self) -> str:
        """One letter a base, in the reading direction of the interval."""
        ...

    @property
    def values(self) -> np.ndarray:
        """[substituted, read] largest change of a base's odds, at least 0; NaN where both share a token."""
        ...

    @property
    def same_token(self) -> np.ndarray:
        """Whether two bases share a token, bool [substituted, read]."""
        ...


def dependency(
    result: Dependent,
    *,
    annotation: Annotated | None = None,
    null: Dependent | None = None,
    null_label: str = "random weights",
    title: str | None = None,
    assembly: str | None = None,
    scale: str = "linear",
    top: float | None = None,
    caption: str = "",
    width: float | None = None,
) -> Figure:
    """A square map of what a model's answers depend on: a row for each base substituted, a column for each base read.

    Rows run from top to bottom and columns from left to right in the reading direction of the interval's strand. Where
    bases are thinner than a CSS pixel, a pixel has the largest value beneath it, and the caption says so.

    Parameters
    ----------
    result
        Of `variants.dependency`: `interval`, `sequence`, and [substituted, read] `values` in log2 odds ratios, at least
        0, NaN where there is none, and `same_token`.
    annotation
        Whose genes are drawn along both sides.
    null
        The same over the same number of bases for a control (a model with random weights, a shuffled sequence), drawn
        beside on the same colours.
    null_label
        What the control is.
    title
        Says what the figure shows; names the model when None.
    assembly
        Name of the genome assembly, written on the axes.
    scale
        From value to colour: "linear", "sqrt" or "log" (three powers of ten).
    top
        Value of the darkest colour; the 99.9th percentile of all maps when None. Larger values are drawn like it, and
        said.
    caption
        Text before the sentences that say how to read the figure.
    width
        Of the figure, in inches of 96 CSS pixels; 10 by default, 12 with a control.

    Returns
    -------
    Figure
        Its alt sentence names the strongest dependencies and where they are. The cursor reads both bases and the
        value.

    Raises
    ------
    TypeError
        If the result lacks an array.
    ValueError
        If an array is not [base, base], a value is negative or infinite, the control has another length, the interval is longer
         than 1,500 bp, or the scale or `top` is unusable.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> values = np.array([[np.nan, 0.5], [2.0, np.nan]])
    >>> toy = SimpleNamespace(interval=Interval("chr20", 100, 102), sequence="AC", values=values, same_token=np.eye(2))
    >>> dependency(toy).alt.split("2 bases. ")[1].split(" Median")[0]
    'Strongest, as log2 odds ratio: A at 101 on C at 102 (2) and C at 102 on A at 101 (0.5).'
    """
    maps = [_checked(result, "result")]
    if null is not None:
        maps.append(_checked(null, "null"))
        if len(null.interval) != len(result.interval):
            raise ValueError(
                f"The null must have as many bases as the result, {len(result.interval):,}; received "
                f"{len(null.interval):,} ({null.interval.label()}). Compute both over the same interval."
            )
    width = (10.0 if null is None else 12.0) if width is None else width
    if scale not in SCALES or not 5 <= width <= 30:
        raise ValueError(
            f"A dependency map must have a scale of {', '.join(SCALES)} and be 5 to 30 inches wide; received "
            f"scale={scale!r} and width={width}. Use 'linear', and 10 for a page."
        )
    interval = result.interval
    known = np.concatenate([values[np.isfinite(values)] for values in maps])
    highest = float(known.max(initial=0.0)) or 1.0
    smallest = float(known.min(initial=highest, where=known > 0))
    norm = weight_norm(scale, _top(known, top), smallest)
    # Of two million cells, fewer colours spare a fifth of the image.
    colours = weight_colours(COLOURS if len(interval) <= 1_000 else 48)
    model = plain(getattr(result, "model", "") or "")
    title = plain(title or "Which bases depend on which" + (f", {model}" if model else ""), most=200)
    null_label = plain(null_label, most=60)

    forward = np.arange(interval.start, interval.end)
    places = forward[::-1] if interval.strand == "-" else forward
    spans = np.stack([places, places + 1], axis=1)
    letters = [result.sequence, *([] if null is None else [null.sequence])]
    views = [lambda width, bases=bases: View(interval, interval, width, bases=bases) for bases in letters]
    bases = side(spans, views[0](1.0), "bases")
    panels = [
        Panel(
            views[0],
            views[control],
            bases,
            bases,
            values,
            None,
            heading=f"Control: {null_label}" if control else "Dependency",
            note="" if control else "of the base in the column on the base in the row",
            control=bool(control),
            zoomed=False,
        )
        for control, values in enumerate(maps)
    ]
    drawn = _DependencyFigure(
        panels,
        columns=len(panels),
        title=title,
        region=region_text(interval, assembly),
        assembly=assembly,
        margins=lambda view: margin(view, annotation, (), annotation),
        norm=norm,
        colours=colours,
        unit=f"{UNIT} ({SCALE_WORDS[scale]})",
        special="",
        highest=highest,
        width=width,
        absent=_absent([result, *([] if null is None else [null])], maps),
    )
    tracks = margin(views[0](5.0), annotation, (), annotation)
    strongest = np.unravel_index(int(np.nan_to_num(maps[0], nan=-1.0).argmax()), maps[0].shape)
    rows, columns = (
        Places(
            name,
            spans=spans,
            chrom=plain(interval.chrom),
            start=interval.start,
            bases=result.sequence,
            reverse=interval.strand == "-",
            runs=tracks.runs(spans),
        )
        for name in ("substituted", "read")
    )
    figure = drawn.figure(
        rows=rows,
        cells=columns,
        lanes=[
            CellLane(label, "", values, quantised=True)
            for label, values in zip((UNIT, f"control ({null_label})"), maps, strict=False)
        ],
        start=(0, int(strongest[0]), int(strongest[1])),
        alt=" ".join(
            [
                sentence(title),
                sentence(region_text(interval, assembly)),
                *_said(result, maps[0]),
                *([] if null is None else _said_of_null(null, maps[1], null_label)),
                *tracks.said(),
            ]
        ),
        caption=" ".join([*([sentence(plain(caption, most=600))] if caption else []), *drawn.notes()]),
    )
    return IndexedFigure(
        drawn.drawing,
        title=figure.title,
        alt=figure.alt,
        caption=figure.caption,
        readout=figure.readout,
        # Without a colour of its own, grey for no value would turn into the nearest pale one.
        keep=palette_of(ListedColormap([*np.asarray(colours.colors), palette.FAINT])),
        most=MOST,
    )


class _DependencyFigure(MapFigure):
    """A map whose sides are bases substituted and bases read, with hatched grey where there is no value."""

    def __init__(self, panels: Sequence[Panel], *, absent: str, **options: Any) -> None:
        super().__init__(panels, **options)
        self.absent = absent
        with palette.style():
            for ax in self.drawing.axes:
                if ax.get_label() in ("map", "map: control"):
                    self._relabel(ax)
            if self.absent:
                self._key()

    def _relabel(self, ax: Axes) -> None:
        place = self.places[ax.get_label() != "map"]
        chrom = plain(place.columns.interval.chrom)
        # A bare 20 would read as a number.
        chrom = f"chromosome {chrom}" if chrom.isdigit() or chrom in ("X", "Y") else chrom
        build = f" ({plain(self.assembly)})" if self.assembly else ""
        ax.set_xlabel(_fitting("Base read", f"position on {chrom}, bp", build, place.columns.width))
        if place.row_margin is not None:
            ax.set_ylabel(_fitting("Base substituted", f"position on {chrom}, bp", build, place.rows.width))
        ax.patch.set(edgecolor=palette.CONTROL, hatch=HATCH, linewidth=0)

    def _key(self) -> None:
        """Say what the hatching is, under the colour bar."""
        last = self.places[self.columns - 1]
        left = last.left + last.columns.width + 0.24
        top = last.top + min(last.rows.width, 2.4) + 0.28
        self.drawing.add_artist(
            Rectangle(
                (left / self.width, 1 - (top + 0.16) / self.height), 0.24 / self.width, 0.16 / self.height, linewidth=0,
                facecolor=palette.FAINT, edgecolor=palette.CONTROL, hatch=HATCH, gid="key shape",
            )
        )  # fmt: skip
        for index, line in enumerate(wrapped(self.absent, self.width - left - 0.06, 8.0)):
            self._text(left, top + 0.32 + 0.135 * index, line, fontsize=8.0, color=palette.MUTED, gid="key")

    def notes(self) -> list[str]:
        """Sentences that say how to read the figure."""
        top, low = float(self.norm.vmax or 1.0), float(self.norm.vmin or 0.0)
        said = [
            "Each row is a base that is substituted, each column a base whose odds are read; colour: the largest change "
            f"of the log2 odds over the substitutions, {self.unit}"
        ]
        if self.absent:
            said.append(f"Hatched: {self.absent}")
        if self.highest > top * (1 + 1e-9):
            said.append(
                f"Values above {number(top)} have the darkest colour; the largest is {number(self.highest)}"
            )
        if low > 0:
            said.append(f"Values below {number(low)} have the palest colour")
        if any(place.row_cut.pooled for place in self.places):
            said.append("Bases are thinner than a pixel: each pixel shows the largest value beneath it")
        if hidden := max(place.column_margin.hidden for place in self.places):
            said.append(f"{hidden:,} more genes are not drawn")
        return [sentence(text) for text in said]


def _fitting(name: str, place: str, build: str, room: float) -> str:
    """The longest label of an axis that fits; the shortest when none does."""
    texts = [f"{name}: {place}{build}", f"{name}: {place}", f"{name}, bp", name]
    return next((text for text in texts if text_width(text, 9.0) <= room), texts[-1])


# Input ----------------------------------------------------------------------------------------------------------------


def _checked(result: Dependent, what: str) -> np.ndarray:
    """[base, base] values of a result, NaN within a token."""
    names = ("interval", "sequence", "values", "same_token")
    if lacking := [name for name in names if not hasattr(result, name)]:
        raise TypeError(
            f"A dependency map must have {', '.join(names)}; received as {what} {type(result).__name__} without "
            f"{', '.join(lacking)}. Pass what variants.dependency returns."
        )
    if (n := len(result.interval)) > LONGEST:
        raise ValueError(
            f"A dependency map must be at most {LONGEST:,} bp to be drawn; received {n:,} bp "
            f"({result.interval.label()}). Draw a part of it."
        )
    values, same = np.asarray(result.values, dtype=float), np.asarray(result.same_token, dtype=bool)
    for name, shape in (
        ("values", values.shape),
        ("same_token", same.shape),
        ("sequence", (len(result.sequence),) * 2),
    ):
        if shape != (n, n):
            raise ValueError(
                f"{name} must fit the {n:,} bases of {result.interval.label()}, {[n, n]} for a map; received "
                f"{list(shape) if name != 'sequence' else shape[0]} in the {what}. Pass arrays of the same interval."
            )
    values = np.where(same, np.nan, values)
    wrong = np.isinf(values) | (values < 0)
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"Dependencies must be finite and at least 0, with NaN where there is none; received {values[row, column]} "
            f"at row {row}, column {column} of the {what} ({int(wrong.sum()):,} such). Pass sizes, not signed changes."
        )
    return values


def _absent(results: Sequence[Dependent], maps: Sequence[np.ndarray]) -> str:
    """What cells without a value are; empty without any."""
    same = [np.asarray(result.same_token, dtype=bool) for result in results]
    others = any((np.isnan(values) & ~within).any() for values, within in zip(maps, same, strict=True))
    return " or ".join(
        [*([ABSENT] if any(within.any() for within in same) else []), *(["no value"] if others else [])]
    )


def _top(known: np.ndarray, top: float | None) -> float:
    if top is None:
        quantile = float(np.percentile(known, 99.9, method="higher")) if known.size else 0.0
        return quantile or float(known.max(initial=0.0)) or 1.0
    if not (np.isfinite(top) and top > 0):
        raise ValueError(
            f"The value of the darkest colour must be above 0; received top={top}. Leave it out for the data's own."
        )
    return float(top)


# Words ----------------------------------------------------------------------------------------------------------------


def _strongest(result: Dependent, values: np.ndarray, most: int) -> str:
    """The strongest dependencies, each as the base read on the base substituted."""
    interval = result.interval

    def at(index: int) -> str:
        position = interval.end - index if interval.strand == "-" else interval.start + index + 1
        return f"{plain(result.sequence[index])} at {position:,}"

    flat = np.nan_to_num(values, nan=-1.0).ravel()
    order = np.argpartition(-flat, min(most, flat.size) - 1)[:most]
    order = order[np.lexsort((order, -flat[order]))]
    texts = []
    for index in order.tolist():
        row, column = divmod(index, len(values))
        if flat[index] >= 0:
            texts.append(f"{at(column)} on {at(row)} ({number(float(flat[index]))})")
    return listing(texts)


def _said(result: Dependent, values: np.ndarray) -> list[str]:
    n, known = len(values), values[np.isfinite(values)]
    said = [f"Dependencies between {n:,} base{'s' if n != 1 else ''}."]
    if not known.size:
        return [*said, "No values here."]
    same = np.asarray(result.same_token, dtype=bool)
    said.append(f"Strongest, as {UNIT}: {_strongest(result, values, 3)}.")
    said.append(f"Median {number(float(np.median(known)))}.")
    if same.any():
        said.append(f"Within one token, where nothing is told: {int(same.sum()):,} pairs.")
    if other := int((np.isnan(values) & ~same).sum()):
        said.append(f"Without a value: {other:,} pairs.")
    return said


def _said_of_null(null: Dependent, values: np.ndarray, label: str) -> list[str]:
    known = values[np.isfinite(values)]
    if not known.size:
        return [f"Control ({label}): no values."]
    median = number(float(np.median(known)))
    return [f"Control ({label}): strongest {_strongest(null, values, 1)}, median {median}."]
