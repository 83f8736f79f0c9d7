"""`attention_map`: one head over a locus, every query against every key, on genome coordinates along both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ntviz.genome import Interval, canonical_contig
from ntviz.plot.cells import CellLane, Places
from ntviz.plot.figure import Figure
from ntviz.plot.map_frame import MapFigure, Panel
from ntviz.plot.mapping import SCALES, Side, side, weight_colours, weight_norm
from ntviz.plot.margins import Margin, margin
from ntviz.plot.transcripts import Annotated
from ntviz.plot.view import View
from ntviz.plot.words import number, plain, sentence, span

MOST_TOKENS = 4_096
"""Queries and keys at most: beyond it a picture shows less than its file costs."""

SCALE_WORDS = {"linear": "linear scale", "sqrt": "square-root scale", "log": "logarithmic scale"}


def attention_map(
    weights: np.ndarray,
    spans: np.ndarray,
    interval: Interval,
    *,
    title: str,
    label: str = "Attention",
    unit: str = "share of attention",
    query_spans: np.ndarray | None = None,
    query_interval: Interval | None = None,
    to_special: np.ndarray | None = None,
    special: str = "<cls>",
    genes: Annotated | None = None,
    elements: Sequence[str] | Mapping[str, np.ndarray] = (),
    assembly: str | None = None,
    sequence: str | None = None,
    query_sequence: str | None = None,
    scale: str = "sqrt",
    top: float | None = None,
    control: np.ndarray | None = None,
    control_to_special: np.ndarray | None = None,
    control_label: str = "shuffled sequence",
    zoom: Interval | tuple[Interval, Interval] | None = None,
    caption: str = "",
    width: float | None = None,
) -> Figure:
    """A figure of one head's weights: a row for each token that looks (query), a column for each looked at (key).

    Rows run from top to bottom and columns from left to right along the reading direction of the interval's strand.
    Each cell has the exact extent of its two tokens on the genome; where tokens are thinner than a pixel, a pixel has
    the largest weight beneath it, and the caption says so.

    Parameters
    ----------
    weights
        [query, key] of at least 0. Rows and columns of tokens without a place on the genome (special tokens) are not
        part of the map: their columns become the strip at its right, their rows are left out.
    spans
        [key, 2] on the genome, 0-based half-open, as `tokens.on(interval)` gives them; empty for special tokens.
    interval
        Window of the columns, and of the rows unless `query_interval` is given.
    title
        Says what the figure shows.
    label
        Names the head, above its map.
    unit
        Of the weights.
    query_spans
        [query, 2] of the rows, when they are not the same tokens as the columns.
    query_interval
        Window of the rows; the smallest that holds all `query_spans` when only those are given.
    to_special
        [query] share of attention on special tokens, when the columns leave these out (a window of a map).
    special
        Name of the special tokens that are looked at.
    genes
        Annotation whose genes are drawn along both sides, transcripts merged.
    elements
        Names of elements to look up in `genes`, or [stretch, 2] 0-based half-open on the genome by name.
    assembly
        Name of the genome assembly, written on the axes.
    sequence, query_sequence
        Bases of `interval` and of `query_interval` in their reading direction: the cursor then reads the letters of
        each token, and a window narrow enough shows them.
    scale
        From weight to colour: "linear", "sqrt" or "log" (three powers of ten).
    top
        Weight of the darkest colour; the largest in the maps when None. Larger weights are drawn like it, and said.
    control
        [query, key] weights of a control with tokens at the same places, drawn beside on the same scale.
    control_to_special
        [query] like `to_special`, of the control.
    control_label
        What the control is.
    zoom
        Part of the window drawn once more, enlarged: one interval for both sides, or (query, key).
    caption
        Text before the sentences that say how to read the figure.
    width
        Of the figure, in inches of 96 CSS pixels; 10 by default, 12 where two maps stand beside each other.

    Returns
    -------
    Figure
        Its alt sentence names the strongest pair, the share on special tokens, and the same of the control. The cursor
        reads weights to three digits, and to two where a map is so large that its HTML would exceed 1.5 MB.

    Raises
    ------
    ValueError
        If shapes disagree, a weight is negative or not finite, no token lies in a window, the two windows lie on
        different contigs or strands, a zoom lies outside, or the scale is unknown.

    Examples
    --------
    >>> spans = np.array([[0, 0], [100, 106], [106, 112]])
    >>> weights = np.array([[0.2, 0.4, 0.4], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])
    >>> print(attention_map(weights, spans, Interval("chr20", 100, 112), title="A toy", label="head 0"))
    A toy. head 0 over chr20:101-112, 2 queries by 2 keys. Strongest: query 101–106 on key 107–112, 0.7 share of attention. On average 20% on <cls>.
    """
    if query_spans is None:
        query_spans = spans
        query_interval = interval if query_interval is None else query_interval
    width = (10.0 if zoom is None and control is None else 12.0) if width is None else width
    rows_at = _window(query_spans, interval) if query_interval is None else query_interval
    _check_windows(interval, rows_at, zoom, scale, width, sequence, query_sequence)
    shape = (len(query_spans), len(spans))
    maps = [_checked(weights, shape, label)]
    if control is not None:
        maps.append(_checked(control, shape, f"{label}: control"))
    if query_sequence is None and sequence is not None:
        query_sequence = _part(sequence, interval, rows_at)

    whole = _Window(interval, rows_at, sequence, query_sequence)
    columns = side(spans, whole.column_view(1.0), "spans")
    rows = side(query_spans, whole.row_view(1.0), "spans" if query_spans is spans else "query_spans")
    results = [
        _Result(
            part[np.ix_(rows.tokens, columns.tokens)],
            _special_share(part, rows, columns, given, f"{name}to_special"),
        )
        for part, given, name in zip(maps, (to_special, control_to_special), ("", "control_"), strict=False)
    ]
    highest = max(float(result.weights.max(initial=0.0)) for result in results) or 1.0
    smallest = min(float(r.weights.min(initial=highest, where=r.weights > 0)) for r in results)
    norm = weight_norm(scale, highest if top is None else _top(top), smallest)
    special = plain(special, most=24)
    label, control_label = plain(label, most=70), plain(control_label, most=60)

    windows = [whole]
    if zoom is not None:
        at_rows, at_columns = zoom if isinstance(zoom, tuple) else (zoom, zoom)
        windows.append(whole.part(at_rows, at_columns))
    panels = [
        Panel(
            window.row_view,
            # The control may be of other bases at the same places.
            window.bare_view if is_control else window.column_view,
            side(rows.spans, window.row_view(1.0), "query_spans"),
            side(columns.spans, window.column_view(1.0), "spans"),
            result.weights,
            result.to_special,
            heading=(f"Control: {control_label}" if is_control else label) if window is whole else "Enlarged",
            note=_note(result, special) if window is whole else window.label(),
            control=bool(is_control),
            zoomed=window is not whole,
        )
        for window in windows
        for is_control, result in enumerate(results)
    ]
    drawn = MapFigure(
        panels,
        columns=2 if control is not None or zoom is not None else 1,
        title=plain(title, most=200),
        region=_region(interval, rows_at, assembly),
        assembly=assembly,
        margins=lambda view: margin(view, genes, elements, genes),
        norm=norm,
        colours=weight_colours(),
        unit=f"{plain(unit)} ({SCALE_WORDS[scale]})",
        special=special,
        highest=highest,
        width=width,
    )
    column_margin = margin(whole.column_view(5.0), genes, elements, genes)
    row_margin = margin(whole.row_view(5.0), genes, elements, genes)
    lanes = _lanes(results, label, control_label, plain(unit), special)
    best = np.unravel_index(int(results[0].weights.argmax()), results[0].weights.shape)
    return drawn.figure(
        rows=_places("query", rows, whole.rows, query_sequence, row_margin),
        cells=_places("key", columns, whole.columns, sequence, column_margin),
        lanes=lanes,
        start=(0, int(best[0]), int(best[1])),
        alt=_said(title, label, unit, special, control_label, whole, rows, columns, results, column_margin),
        caption=" ".join([*([sentence(plain(caption, most=600))] if caption else []), *drawn.notes()]),
    )


@dataclass(frozen=True, slots=True)
class _Window:
    """The columns' and the rows' part of the genome, and their bases."""

    columns: Interval
    rows: Interval
    column_bases: str | None
    row_bases: str | None

    def column_view(self, width: float) -> View:
        return View(self.columns, self.columns, width, bases=self.column_bases)

    def bare_view(self, width: float) -> View:
        return View(self.columns, self.columns, width)

    def row_view(self, width: float) -> View:
        return View(self.rows, self.rows, width, bases=self.row_bases)

    def part(self, rows: Interval, columns: Interval) -> _Window:
        """A part of it, on its strand."""
        columns = Interval(columns.chrom, columns.start, columns.end, self.columns.strand)
        rows = Interval(rows.chrom, rows.start, rows.end, self.rows.strand)
        return _Window(
            columns,
            rows,
            None if self.column_bases is None else _part(self.column_bases, self.columns, columns),
            None if self.row_bases is None else _part(self.row_bases, self.rows, rows),
        )

    def label(self) -> str:
        rows, columns = (
            plain(Interval(at.chrom, at.start, at.end).label()) for at in (self.rows, self.columns)
        )
        return columns if rows == columns else f"{columns} (keys), {rows} (queries)"


@dataclass(frozen=True, slots=True, eq=False)
class _Result:
    """Weights [query, key] in picture order, and [query] share on special tokens or None."""

    weights: np.ndarray
    to_special: np.ndarray | None


def _window(spans: np.ndarray, interval: Interval) -> Interval:
    """The smallest interval that holds all tokens with a place."""
    spans = np.asarray(spans)
    placed = spans[spans[:, 1] > spans[:, 0]] if spans.ndim == 2 and spans.shape[1:] == (2,) else spans[:0]
    if not len(placed):
        return interval
    return Interval(interval.chrom, int(placed[:, 0].min()), int(placed[:, 1].max()), interval.strand)


def _check_windows(
    columns: Interval,
    rows: Interval,
    zoom: Interval | tuple[Interval, Interval] | None,
    scale: str,
    width: float,
    sequence: str | None,
    query_sequence: str | None,
) -> None:
    same = canonical_contig(columns.chrom) == canonical_contig(rows.chrom)
    if not same or (columns.strand == "-") != (rows.strand == "-"):
        raise ValueError(
            f"Queries and keys must lie on one contig and strand; received keys over {columns.label()} and queries over "
            f"{rows.label()}. Pass both windows of the same sequence."
        )
    if scale not in SCALES:
        raise ValueError(
            f"The scale must be one of {', '.join(SCALES)}; received {scale!r}. Choose one of them."
        )
    if not 5 <= width <= 30:
        raise ValueError(
            f"A map must be 5 to 30 inches wide; received {width}. Use 10 for a page, 16 for a slide."
        )
    for bases, at, name in ((sequence, columns, "sequence"), (query_sequence, rows, "query_sequence")):
        if bases is not None and len(bases) != len(at):
            raise ValueError(
                f"The {name} must have one letter for each of the {len(at):,} bases of {at.label()}; received "
                f"{len(bases):,}. Pass the sequence of the same interval."
            )
    if zoom is not None:
        for part, at in zip(zoom if isinstance(zoom, tuple) else (zoom, zoom), (rows, columns), strict=True):
            if not at.contains(part):
                raise ValueError(
                    f"A zoom must lie in {at.label()}; received {part.label()}. Choose a part of the window."
                )


def _checked(weights: np.ndarray, shape: tuple[int, int], label: str) -> np.ndarray:
    values = np.asarray(weights, dtype=float)
    if values.shape != shape:
        raise ValueError(
            f"{plain(label)!r} must have the shape [query, key] of its spans, {list(shape)}; received "
            f"{list(values.shape)}. Pass one head's map, and query_spans= when the rows are other tokens."
        )
    if max(shape) > MOST_TOKENS:
        raise ValueError(
            f"A map must have at most {MOST_TOKENS:,} queries and keys; received {shape[0]:,} by {shape[1]:,}. "
            f"Draw a window of it, or thumbnails."
        )
    wrong = ~np.isfinite(values) | (values < 0)
    if wrong.any():
        query, key = (int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"Weights of {plain(label)!r} must be finite and at least 0; received {values[query, key]} at query {query}, "
            f"key {key} ({int(wrong.sum()):,} such). Pass probabilities, not scores or differences."
        )
    return values


def _top(top: float) -> float:
    if not (np.isfinite(top) and top > 0):
        raise ValueError(
            f"The weight of the darkest colour must be above 0; received top={top}. Leave it out for the largest."
        )
    return float(top)


def _special_share(
    weights: np.ndarray, rows: Side, columns: Side, given: np.ndarray | None, name: str
) -> np.ndarray | None:
    """[query] share on special tokens in picture order, from their columns or as given."""
    if given is not None:
        share = np.asarray(given, dtype=float)
        if share.shape != weights.shape[:1] or not np.isfinite(share).all() or (share < 0).any():
            raise ValueError(
                f"{name} must be one finite share for each of the {len(weights):,} queries; received the shape "
                f"{list(share.shape)}. Pass the sum of each row's weights on special tokens."
            )
        return share[rows.tokens]
    return weights[np.ix_(rows.tokens, columns.special)].sum(axis=1) if columns.special.size else None


def _part(bases: str, of: Interval, part: Interval) -> str | None:
    """Bases of a part of an interval, in its reading direction; None when it reaches beyond."""
    if part.start < of.start or part.end > of.end:
        return None
    first = of.end - part.end if of.strand == "-" else part.start - of.start
    return bases[first : first + len(part)]


def _region(columns: Interval, rows: Interval, assembly: str | None) -> str:
    plus = [
        plain(Interval(at.chrom, at.start, at.end).label()) + f" · {len(at):,} bp" for at in (columns, rows)
    ]
    parts = [plus[0]] if plus[0] == plus[1] else [f"keys {plus[0]}", f"queries {plus[1]}"]
    parts += [plain(assembly)] if assembly else []
    if columns.strand != ".":
        parts.append("− strand, 5′ to 3′ from left to right" if columns.strand == "-" else "+ strand")
    return " · ".join(parts)


def _percent(share: float) -> str:
    return "under 1%" if 0 < share < 0.005 else f"{share:.0%}"


def _note(result: _Result, special: str) -> str:
    return "" if result.to_special is None else f"{_percent(float(result.to_special.mean()))} on {special}"


def _places(name: str, tokens: Side, at: Interval, bases: str | None, tracks: Margin) -> Places:
    return Places(
        name,
        spans=tokens.spans,
        chrom=plain(at.chrom),
        start=at.start,
        bases=bases or "",
        reverse=at.strand == "-",
        runs=tracks.runs(tokens.spans),
    )


def _lanes(
    results: Sequence[_Result], label: str, control_label: str, unit: str, special: str
) -> list[CellLane]:
    names = [label, f"control ({control_label})"]
    lanes = [
        CellLane(name, unit, result.weights, quantised=True)
        for name, result in zip(names, results, strict=False)
    ]
    for name, result in zip((f"on {special}", f"control on {special}"), results, strict=False):
        if result.to_special is not None:
            lanes.append(CellLane(name, values=result.to_special, of="row"))
    return lanes


def _said(
    title: str,
    label: str,
    unit: str,
    special: str,
    control_label: str,
    window: _Window,
    rows: Side,
    columns: Side,
    results: Sequence[_Result],
    tracks: Margin,
) -> str:
    def strongest(result: _Result) -> str:
        row, column = np.unravel_index(int(result.weights.argmax()), result.weights.shape)
        weight = float(result.weights[row, column])
        pair = f"query {span(*rows.spans[row].tolist())} on key {span(*columns.spans[column].tolist())}"
        return f"{pair}, {number(weight)} {plain(unit)}"

    counts = f"{len(rows.tokens):,} queries by {len(columns.tokens):,} keys"
    said = [sentence(plain(title, most=200)), f"{label} over {window.label()}, {counts}."]
    said.append(f"Strongest: {strongest(results[0])}.")
    if results[0].to_special is not None:
        said.append(f"On average {_percent(float(results[0].to_special.mean()))} on {special}.")
    if len(results) > 1:
        share = results[1].to_special
        tail = "" if share is None else f"; {_percent(float(share.mean()))} on {special}"
        said.append(f"Control ({control_label}): strongest {strongest(results[1])}{tail}.")
    return " ".join([*said, *tracks.said()])
