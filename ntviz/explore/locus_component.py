"""What a locus figure is made of: components, each of which computes a table over pieces of the genome and draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from ntviz.genome import Interval
from ntviz.plot import palette
from ntviz.plot.locus import Track
from ntviz.plot.view import Drawn, Row, View, without_scale
from ntviz.plot.words import wrapped

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("chrom", "start", "end")


@runtime_checkable
class Component(Protocol):
    """One thing that `explore.locus` shows, of its own or of yours.

    What it computes is a table, and the figure, the files and `LocusExplorer.tables` are all made of that one table. How
    high it stands follows from the tracks that it returns.

    Attributes
    ----------
    name
        Beside its checkbox, and of its table; no two components have the same.
    longest
        bp of a view at most. In a longer one nothing is computed, and the figure says from where on there is something.

    Examples
    --------
    A component of your own is a class with these members:

    >>> from ntviz import plot
    >>> class Every10:
    ...     name, longest = "every tenth base", 1_000
    ...     def pieces(self, view):
    ...         return tiles(view, 100)
    ...     def compute(self, piece):
    ...         return base_table(piece, {"tenth": np.arange(piece.start, piece.end) % 10 == 0})
    ...     def tracks(self, table, view):
    ...         return [plot.signal_track(per_base(table, "tenth", view), label=self.name, unit="0 or 1")]
    >>> view = Interval("chr20", 195, 205)
    >>> one = Every10()
    >>> isinstance(one, Component), [piece.label() for piece in one.pieces(view)]
    (True, ['chr20:101-200', 'chr20:201-300'])
    >>> per_base(one.compute(one.pieces(view)[1]), "tenth", view).tolist()
    [nan, nan, nan, nan, nan, 1.0, 0.0, 0.0, 0.0, 0.0]
    """

    @property
    def name(self) -> str: ...
    @property
    def longest(self) -> int: ...

    def pieces(self, view: Interval) -> Sequence[Interval]:
        """What is computed for a view: each piece once, and kept. `tiles` gives some that do not depend on the view."""
        ...

    def compute(self, piece: Interval) -> pd.DataFrame:
        """A table of [chrom, start, end, ...], 0-based half-open. ValueError says why there is none."""
        ...

    def tracks(self, table: pd.DataFrame, view: Interval) -> Sequence[Track]:
        """Tracks for `plot.locus` of the rows that overlap a view; labels must be the component's alone."""
        ...


def tiles(view: Interval, size: int) -> list[Interval]:
    """Pieces of `size` bp that cover a view, cut at multiples of it, whichever the view; their strand is ".".

    Raises
    ------
    ValueError
        The size is below 1.

    Examples
    --------
    >>> [tile.label() for tile in tiles(Interval("chr20", 95, 210), 100)]
    ['chr20:1-100', 'chr20:101-200', 'chr20:201-300']
    """
    if size < 1:
        raise ValueError(f"A piece must have at least 1 bp; received {size}. Use some hundred.")
    starts = range(max(view.start, 0) // size * size, view.end, size)
    return [Interval(view.chrom, start, start + size) for start in starts]


def base_table(piece: Interval, columns: Mapping[str, Any]) -> pd.DataFrame:
    """A table with one row a base: chrom, start, end and the columns given, [base] on the forward strand."""
    import pandas as pd

    start = np.arange(piece.start, piece.end)
    return pd.DataFrame({"chrom": piece.chrom, "start": start, "end": start + 1, **columns})


def per_base(table: pd.DataFrame, columns: str | Sequence[str], view: Interval) -> np.ndarray:
    """Numbers of a table by base of a view, float64 [base] or [base, column]; NaN where the table has none.

    Parameters
    ----------
    table
        Each row holds for all its bases.
    columns
        One name, or several.
    view
        On the strand "-" the first base is its last in the genome, as tracks have it.
    """
    names = [columns] if isinstance(columns, str) else list(columns)
    found = np.full((len(view), len(names)), np.nan)
    starts, ends = (table[name].to_numpy(np.int64) - view.start for name in ("start", "end"))
    values = table[names].to_numpy(np.float64)
    if bool((ends - starts == 1).all()):
        inside = (starts >= 0) & (starts < len(view))
        found[starts[inside]] = values[inside]
    else:
        for start, end, row in zip(starts, ends, values, strict=True):
            found[max(start, 0) : max(end, 0)] = row
    if view.strand == "-":
        found = found[::-1]
    return found[:, 0] if isinstance(columns, str) else found


def overlapping(table: pd.DataFrame, view: Interval) -> pd.DataFrame:
    """The rows of a table, all on the contig of a view, that overlap it."""
    kept = table[(table["start"] < view.end) & (table["end"] > view.start)]
    return kept.reset_index(drop=True)


def checked(component: Component, table: Any) -> pd.DataFrame:
    """What a component computed, or a TypeError that says what it lacks."""
    import pandas as pd

    missing = [name for name in COLUMNS if not isinstance(table, pd.DataFrame) or name not in table.columns]
    if missing:
        raise TypeError(
            f"compute() of {component.name!r} must return a DataFrame with {', '.join(COLUMNS)}; received "
            f"{type(table).__name__} without {', '.join(missing)}. `explore.base_table` makes one of values by base."
        )
    return table


# Tracks that only this figure needs -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """Words in place of a track: what is to be seen elsewhere, or why there is nothing."""

    label: str
    text: str
    zoomable: bool = False

    def drawn(self, view: View) -> Drawn:
        """A row of words over a view; none in an enlarged part."""
        lines = wrapped(self.text, view.width - 0.1, 8.5)
        height = 0.16 * len(lines)

        def draw(ax: Any) -> None:
            ax.set_ylim(height, 0)
            without_scale(ax)
            for index, line in enumerate(lines):
                ax.text(
                    0, 0.16 * index, line, transform=ax.get_yaxis_transform(), va="top", fontsize=8.5,
                    color=palette.MUTED, gid="said",
                )  # fmt: skip

        if view.zoomed:
            return Drawn()
        return Drawn((Row(self.label, self.label, "", height, draw),), (), f"{self.label}: {self.text}")


@dataclass(frozen=True, slots=True)
class Overview:
    """A track that is drawn in the overview alone."""

    track: Track
    zoomable: bool = False

    @property
    def label(self) -> str:
        """That of the track."""
        return self.track.label

    def drawn(self, view: View) -> Drawn:
        """As the track's."""
        return self.track.drawn(view)


@dataclass(frozen=True, slots=True)
class Enlarged:
    """A track that is drawn in the enlarged part alone; its readout and words come where the overview has none of it."""

    track: Track
    part: Interval
    told: bool
    zoomable: bool = True

    @property
    def label(self) -> str:
        """That of the track, told apart from the overview's."""
        return f"{self.track.label}, enlarged"

    def drawn(self, view: View) -> Drawn:
        """Rows in the enlarged part; lanes and sentence in the overview."""
        # Arrays without an interval of their own cover the part, which is all that they were asked for.
        drawn = self.track.drawn(replace(view, whole=self.part))
        if view.zoomed:
            return drawn
        return Drawn((), drawn.lanes, drawn.sentence) if self.told else Drawn()


@dataclass(frozen=True, slots=True)
class Noted:
    """A track with words behind its label; as the control of the one above, also on grey paper and named so."""

    track: Track
    note: str
    control: bool = False

    @property
    def label(self) -> str:
        """That of the track."""
        return self.track.label

    @property
    def zoomable(self) -> bool:
        """As the track."""
        return self.track.zoomable

    def drawn(self, view: View) -> Drawn:
        """The rows of the track with the words."""
        drawn = self.track.drawn(view)
        rows = tuple(
            replace(
                row,
                label="Control" if self.control else row.label,
                note="; ".join(part for part in (self.note, row.note) if part),
                control=self.control,
            )
            for row in drawn.rows
        )
        return replace(drawn, rows=rows)
