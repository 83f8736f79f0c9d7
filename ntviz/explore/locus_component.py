"""What a locus figure is made of: components, each of which computes a table over pieces of the genome and draws it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import plotly.graph_objects as go

from ntviz.genome import Interval
from ntviz.plot.theme import colours
from ntviz.plot.tracks import Panel, Track
from ntviz.plot.words import escaped, plain

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
        """Tracks for `plot.locus` of the rows that overlap a view, whose arrays cover it; labels must be the component's alone."""
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


def picked(standard: Sequence[Component], wanted: Sequence[str | Component]) -> list[Component]:
    """Standard components by name and the user's own, in the order wanted."""
    known = {one.name: one for one in standard}
    found: list[Component] = []
    for one in wanted:
        if isinstance(one, str):
            if one not in known:
                raise ValueError(
                    f"A component must be one of {', '.join(known)}; received {one!r}. Attribution needs target=, motifs "
                    "need motifs=, and all that is the model's needs a model."
                )
            found.append(known[one])
        elif isinstance(one, Component):
            found.append(one)
        else:
            raise TypeError(
                f"A component must have name, longest, pieces, compute and tracks; received {type(one).__name__}. See "
                "explore.Component."
            )
    return found


def covering(track: Track, part: Interval) -> Track:
    """A track whose arrays without an interval of their own cover a part of the figure; what goes wrong stands in its place."""

    def draw(panel: Panel) -> str:
        try:
            return track.draw(replace(panel, view=replace(panel.view, whole=part)))
        except (ValueError, TypeError, KeyError) as error:
            return words_track(track.label, str(error)).draw(panel)

    return replace(track, draw=draw)


def words_track(label: str, text: str) -> Track:
    """Words in place of a track: what is being computed, how far to zoom in, or why there is nothing."""
    text = plain(text, most=400)
    lines = textwrap.wrap(text, 128)

    def draw(panel: Panel) -> str:
        left = panel.view.positions[0]
        panel.add(
            go.Scatter(
                x=[left] * len(lines), y=[-i for i in range(len(lines))], mode="text", textposition="middle right", hoverinfo="skip",
                text=[escaped(line) for line in lines], textfont={"size": 12, "color": colours().muted}, cliponaxis=False,
            )
        )  # fmt: skip
        panel.yaxis(range=[0.5 - len(lines), 0.5], visible=False)
        return text

    return Track(plain(label), 18 * len(lines), draw)
