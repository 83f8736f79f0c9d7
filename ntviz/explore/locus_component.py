"""What a locus figure is made of: components, each of which computes a table over pieces of the genome and draws it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ntviz.genome import Interval
from ntviz.plot.theme import colours
from ntviz.plot.tracks import Panel, Track
from ntviz.plot.words import escaped, plain


@runtime_checkable
class Component(Protocol):
    """One thing that `explore.locus` shows, of its own or of yours; figure, files and `LocusExplorer.tables` come from its table.

    Attributes
    ----------
    name
        Beside its checkbox, and of its table; no two components have the same.
    longest
        bp of a view at most. In a longer one nothing is computed, and the figure says from where on there is something.

    Examples
    --------
    >>> from ntviz import plot
    >>> class Every10:
    ...     name, longest = "every tenth base", 1_000
    ...     def pieces(self, view):
    ...         return tiles(view, 100)
    ...     def compute(self, piece):
    ...         return base_table(piece, {"tenth": np.arange(piece.start, piece.end) % 10 == 0})
    ...     def tracks(self, table, view):
    ...         return [plot.signal_track(per_base(table, "tenth", view), label=self.name, unit="0 or 1")]
    >>> per_base(Every10().compute(Interval("chr20", 100, 200)), "tenth", Interval("chr20", 198, 201)).tolist()
    [0.0, 0.0, nan]
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


def tiles(view: Interval, size: int, end: int | None = None) -> list[Interval]:
    """Pieces of `size` bp that cover a view, cut at multiples of it, whichever the view, and at `end`; ValueError below 1 bp."""
    if size < 1:
        raise ValueError(f"A piece must have at least 1 bp; received {size}. Use some hundred.")
    starts = range(max(view.start, 0) // size * size, view.end, size)
    return [Interval(view.chrom, start, min(start + size, end or start + size)) for start in starts]


def base_table(piece: Interval, columns: Mapping[str, Any]) -> pd.DataFrame:
    """A table with one row a base: chrom, start, end and the columns given, [base] on the forward strand."""
    start = np.arange(piece.start, piece.end)
    return pd.DataFrame({"chrom": piece.chrom, "start": start, "end": start + 1, **columns})


def per_base(table: pd.DataFrame, columns: str | Sequence[str], view: Interval) -> np.ndarray:
    """Numbers of a table, whose rows hold for all their bases, by base of a view: float64 [base] or [base, column], NaN for none.

    They are in the reading direction: on the strand "-" the first base is the view's last in the genome.
    """
    names = [columns] if isinstance(columns, str) else list(columns)
    starts, ends = np.clip(table[["start", "end"]].to_numpy(np.int64).T - view.start, 0, len(view))
    widths = ends - starts
    at = np.arange(widths.sum()) + np.repeat(starts - np.cumsum(widths) + widths, widths)
    found = np.full((len(view), len(names)), np.nan)
    found[at] = np.repeat(table[names].to_numpy(np.float64), widths, axis=0)
    turned = found[::-1] if view.strand == "-" else found
    return turned[:, 0] if isinstance(columns, str) else turned


def text_of(table: pd.DataFrame, column: str, view: Interval) -> str:
    """Letters of a table by base of a view, in its reading direction; N where the table has none."""
    codes = per_base(table.assign(code=table[column].map("ACGTN".index)), "code", view)
    letters = "TGCAN" if view.strand == "-" else "ACGTN"
    return "".join(letters[int(code)] for code in np.nan_to_num(codes, nan=4))


def named_one(name: str, components: Mapping[str, Component]) -> Component:
    """The component of that name; a ValueError that says which there are."""
    if name not in components:
        need = "Attribution needs target=, motifs need motifs=, and all that is the model's needs a model."
        raise ValueError(f"A component must be one of {', '.join(components)}; received {name!r}. {need}")
    return components[name]


def words_track(label: str, text: str) -> Track:
    """Words in place of a track: what is being computed, how far to zoom in, or why there is nothing."""
    label, text = plain(label), plain(text, most=400)
    lines = textwrap.wrap(text, 128)

    def draw(panel: Panel) -> str:
        panel.add(go.Scatter(x=[panel.view.positions[0]] * len(lines), y=[-i for i in range(len(lines))], mode="text",
                             text=list(map(escaped, lines)), textposition="middle right", hoverinfo="skip", cliponaxis=False,
                             textfont={"size": 12, "color": colours().muted}))  # fmt: skip
        panel.yaxis(range=[0.5 - len(lines), 0.5], visible=False)
        return text

    return Track(label[:1].upper() + label[1:], 18 * len(lines), draw)
