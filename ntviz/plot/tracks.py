"""Tracks of a locus figure: what a track is, and those of genes, signals and regions.

Positions inside are 0-based half-open. On the axis a base stands around its 1-based number: base p, counted from 0, is drawn
from p + 0.5 to p + 1.5, so that ticks and hover texts are 1-based without more. Arrays come and stay in the reading direction
of their interval: on the - strand coordinates fall from left to right and the sequence reads 5′ to 3′ as the model read it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from ntviz.annotation import from_table
from ntviz.genome import Interval, canonical_contig
from ntviz.plot.packing import lines_needed, packed
from ntviz.plot.theme import WIDTH, colours
from ntviz.plot.transcripts import Annotated, Region, Transcript, collect, introns
from ntviz.plot.words import escaped, listing, number, plain, span, text_width

if TYPE_CHECKING:
    import pandas as pd

MOST_POINTS = 20_000
"""Bases that are drawn one by one; of a longer window, bins are."""


@dataclass(frozen=True, slots=True)
class View:
    """The part of the genome that a row of a locus figure shows.

    Parameters
    ----------
    interval
        The bases drawn; its strand gives the reading direction.
    whole
        The interval of the figure, which arrays without an interval of their own cover.
    part
        Where letters are drawn, 0-based half-open; start = end for nowhere.
    bases
        [base] letters of `interval` as read from left to right, when the caller gave them.
    """

    interval: Interval
    whole: Interval
    part: tuple[int, int]
    bases: str | None = None

    @property
    def reverse(self) -> bool:
        """Whether coordinates fall from left to right."""
        return self.interval.strand == "-"

    @property
    def positions(self) -> np.ndarray:
        """[base] 1-based positions as drawn, in reading direction; float64, which is exact for every genome."""
        up = np.arange(self.interval.start + 1, self.interval.end + 1, dtype=np.float64)
        return up[::-1] if self.reverse else up

    @property
    def in_part(self) -> np.ndarray:
        """[base] whether letters are drawn there, in reading direction."""
        return (self.positions > self.part[0]) & (self.positions <= self.part[1])

    @property
    def base_width(self) -> float:
        """Pixels of one base on a page of the usual width, before any zoom."""
        return WIDTH / len(self.interval)

    def clip(self, start: int, end: int) -> tuple[int, int]:
        """A 0-based span cut to the view; start >= end when nothing of it is inside."""
        return max(start, self.interval.start), min(end, self.interval.end)

    def stops(self, start: int, end: int) -> tuple[int, int]:
        """A span inside the view as element numbers of its arrays."""
        if self.reverse:
            return self.interval.end - end, self.interval.end - start
        return start - self.interval.start, end - self.interval.start

    def crop(self, values: np.ndarray, over: Interval | None, what: str) -> np.ndarray:
        """The part of an array [base, ...] that this view shows, in its reading direction; NaN where it does not reach.

        Parameters
        ----------
        values
            [base, ...] in the reading direction of `over`.
        over
            Interval that the array covers; that of the figure when None.
        what
            Name of the track, for the message.

        Raises
        ------
        ValueError
            If the array is not one element a base, or lies on another contig or strand.
        """
        over = self.whole if over is None else over
        if len(values) != len(over):
            raise ValueError(
                f"{what!r} must have one value for each of the {len(over):,} bases of {over.label()}; received "
                f"{len(values):,}. Pass the interval that the values cover as over=."
            )
        same_contig = canonical_contig(over.chrom) == canonical_contig(self.interval.chrom)
        if not same_contig or (over.strand == "-") != self.reverse:
            raise ValueError(
                f"{what!r} must lie on the contig and strand of the figure, {self.interval.label()}; received values "
                f"over {over.label()}. Draw them in a figure of their own, or reverse them first."
            )
        cut = np.full((len(self.interval), *np.shape(values)[1:]), np.nan)
        start, end = self.clip(over.start, over.end)
        if start < end:
            first, last = self.stops(start, end)
            shift = over.end - end if self.reverse else start - over.start
            cut[first:last] = values[shift : shift + end - start]
        return cut


@dataclass(frozen=True, slots=True)
class Panel:
    """One row of a locus figure while it is drawn: what a track's `draw` gets."""

    figure: go.Figure
    row: int
    view: View
    block: int = 1

    def add(self, *traces: Any) -> None:
        """Add traces to the row. A trace without a name is no data: `plot.table` leaves it out.

        A trace whose `meta` is "letters" depends on `view.part`; the same draw gives the same traces in the same order for
        each part, empty ones too, so that letters can follow a zoom.
        """
        x, y = ("" if number == 1 else str(number) for number in (self.block, self.row))
        for trace in traces:
            trace.update(xaxis=f"x{x}", yaxis=f"y{y}")
            if trace.type != "heatmap":
                trace.showlegend = False
        self.figure.add_traces(traces)

    def yaxis(self, **options: Any) -> None:
        """Set options of the row's vertical axis."""
        self.figure.layout[f"yaxis{'' if self.row == 1 else self.row}"].update(options)


@dataclass(frozen=True, slots=True)
class Track:
    """A row of a locus figure.

    Parameters
    ----------
    label
        Name of the track, plain text: above the row, and in the alt sentence.
    height
        Pixels of the row, or a function that says how many a `View` takes.
    draw
        Adds traces to a `Panel`, and returns the track's part of the alt sentence, without its label and full stop.
    unit
        Title of the vertical axis; "" where heights mean nothing, and the axis is then hidden.
    letters
        Whether the track has letters, and stands in the enlarged part too.
    note
        Small text beside the label, plain.
    """

    label: str
    height: int | Callable[[View], int]
    draw: Callable[[Panel], str]
    unit: str = ""
    letters: bool = False
    note: str = ""


# Signals --------------------------------------------------------------------------------------------------------------


def signal_track(
    values: np.ndarray,
    *,
    label: str,
    unit: str,
    control: np.ndarray | None = None,
    control_label: str = "shuffled sequence",
    diverging: bool = False,
    over: Interval | None = None,
    note: str = "",
    colour: str = "",
    height: int = 72,
) -> Track:
    """A track of one number a base, drawn as a filled line from zero; its control is a grey line on the same scale.

    Parameters
    ----------
    values
        [base] in the reading direction of the interval; NaN where there is none. In a window of more than 20,000 bases the
        line is the mean of each bin, in a band from its smallest to its largest value.
    label, unit
        Name of the track, and the unit on its axis.
    control
        [base] the same number for a control.
    control_label
        What the control is.
    diverging
        Whether the sign carries meaning: the axis is then centred on zero, and the two signs have two colours.
    over
        Interval that the values cover, when it is not the figure's.
    note
        Plain text after the label.
    colour
        Of the line, as plotly takes it; that of the theme when empty.
    height
        Pixels.

    Raises
    ------
    ValueError
        If the values are not one-dimensional, or are infinite.

    Examples
    --------
    >>> signal_track(np.zeros(3), label="log probability", unit="nats").unit
    'nats'
    """
    values = vector(values, label)
    limits = [values]
    if control is not None:
        control = vector(control, f"{label}: control")
        limits.append(control)

    def draw(panel: Panel) -> str:
        shown = panel.view.crop(values, over, label)
        draw_line(panel, shown, name=label, unit=unit, colour=colour or colours().accent, signed=diverging, filled=True)
        said = peak(shown, panel.view, unit)
        if control is not None:
            null = panel.view.crop(control, over, f"{label}: control")
            draw_line(panel, null, name=f"{label}: control ({control_label})", unit=unit, colour=colours().control)
            said += f"; in the control ({plain(control_label)}) {peak(null, panel.view, unit)}"
        panel.yaxis(range=span_of(np.concatenate(limits), centred=diverging), nticks=4)
        return said

    grey = f"grey: {plain(control_label)}" if control is not None else ""
    return Track(plain(label, most=90), height, draw, plain(unit), note="; ".join(part for part in (plain(note, most=120), grey) if part))


def draw_line(
    panel: Panel,
    values: np.ndarray,
    *,
    name: str,
    unit: str,
    colour: str,
    signed: bool = False,
    filled: bool = False,
    letters: Sequence[str] | None = None,
) -> None:
    """Draw [base] values of a view as a step line: filled from zero, in two colours by sign, with a letter in the hover."""
    view, c = panel.view, colours()
    values = np.asarray(values, np.float32)
    step = max(1, -(-len(values) // (MOST_POINTS // 2)) if len(values) > MOST_POINTS else 1)
    at = {"x0": float(view.positions[0]), "dx": -1 if view.reverse else 1}
    what = ""
    if step > 1:
        lowest, values, highest = binned(values, step)
        at = {"x0": at["x0"] + at["dx"] * (step - 1) / 2, "dx": at["dx"] * step}
        line = {"width": 0, "color": colour}
        panel.add(
            go.Scatter(y=highest, line=line, mode="lines", hoverinfo="skip", **at),
            go.Scatter(y=lowest, line=line, mode="lines", fill="tonexty", fillcolor=colour, opacity=0.25, hoverinfo="skip", **at),
        )
        what = f", mean of {step:,} bp"
    shape = "hvh" if step == 1 else "linear"
    if signed:
        for part, tone in ((np.fmax(values, 0), c.positive), (np.fmin(values, 0), c.negative)):
            panel.add(go.Scatter(y=np.where(np.isnan(values), np.nan, part).astype(np.float32), mode="lines", fill="tozeroy", fillcolor=tone,
                                 line={"width": 0, "shape": shape, "color": tone}, hoverinfo="skip", **at))  # fmt: skip
    fill = {"fill": "tozeroy", "fillcolor": c.accent_pale if colour == c.accent else c.faint} if filled and not signed and step == 1 else {}
    letter = {"text": list(letters)} if letters is not None and step == 1 else {}
    panel.add(go.Scatter(y=values, mode="lines", name=escaped(name, most=110), hovertemplate=("%{text} " if letter else "") + "%{y:.3g} "
                         + _literal(unit) + what + "<extra>%{fullData.name}</extra>",
                         line={"color": c.muted if signed else colour, "width": 0.8 if signed else 1.1, "shape": shape}, **fill, **letter, **at))  # fmt: skip


def _literal(text: str) -> str:
    """Text inside a template of plotly, where %{ begins a directive."""
    return escaped(text).replace("%{", "% {")


def vector(values: np.ndarray, label: str) -> np.ndarray:
    """Values as floats [base], or a ValueError that names the track."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 1:
        raise ValueError(
            f"{label!r} must be one number a base; received an array of shape {list(array.shape)}. "
            f"Reduce it to [base] first."
        )
    if np.isinf(array).any():
        raise ValueError(
            f"{label!r} must be finite, with NaN where there is no value; received {int(np.isinf(array).sum()):,} "
            f"infinite ones, the first at base {int(np.flatnonzero(np.isinf(array))[0])}. Clip them first."
        )
    return array


def span_of(values: np.ndarray, *, centred: bool = False) -> list[float]:
    """Axis limits that hold the values and zero; symmetric about zero when the sign carries meaning."""
    finite = values[np.isfinite(values)]
    low, high = (min(0.0, float(finite.min())), max(0.0, float(finite.max()))) if finite.size else (0.0, 1.0)
    if centred:
        low, high = -max(-low, high), max(-low, high)
    high = high if high > low else low + 1.0
    room = 0.06 * (high - low)
    return [low - room if low < 0 else low, high + room if high > 0 else high]


def binned(values: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smallest, mean and largest finite value of each `step` elements of an array; NaN for a part without one.

    Examples
    --------
    >>> [part.tolist() for part in binned(np.array([1.0, 3.0, 5.0]), 2)]
    [[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]
    """
    starts = np.arange(0, len(values), step)
    finite = np.isfinite(values)
    counts = np.add.reduceat(finite.astype(float), starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.add.reduceat(np.where(finite, values, 0.0), starts) / counts
    low = np.minimum.reduceat(np.where(finite, values, np.inf), starts)
    high = np.maximum.reduceat(np.where(finite, values, -np.inf), starts)
    return tuple(np.where(counts == 0, np.nan, part).astype(np.float32) for part in (low, mean, high))


def peak(values: np.ndarray, view: View, unit: str, *, letters: Sequence[str] = "") -> str:
    """The value farthest from zero, where it is and of which letter, and the mean: words for the alt sentence."""
    finite = np.isfinite(values)
    if not finite.any():
        return "no values here"
    best = int(np.where(finite, np.abs(values), -1.0).argmax())
    position = int(view.positions[best])
    word = "largest" if values[finite].min() >= 0 else "farthest from zero"
    place = f"({letters[best]} at {position:,})" if letters else f"at {position:,}"
    value = f"{number(float(values[best]))} {plain(unit)}".rstrip()
    return f"{word} {value} {place}, mean {number(float(values[finite].mean()))}"


# Genes and regions ----------------------------------------------------------------------------------------------------


def boxes(spans: Sequence[tuple[int, int]], texts: Sequence[str], *, middle: Any, half: float, colour: Any, name: str) -> go.Bar:
    """Spans of the genome, 0-based half-open, as bars that answer the hover over their whole length."""
    at = np.asarray(spans, dtype=np.float64).reshape(-1, 2)
    wide = at[:, 1] - at[:, 0]
    return go.Bar(
        x=at[:, 0] + 0.5 + wide / 2, width=wide, base=np.broadcast_to(middle, len(at)) - half, y=np.full(len(at), 2 * half),
        text=list(map(escaped, texts)), textposition="none", hovertemplate="%{text}<extra></extra>", name=name,
        marker={"color": colour, "line": {"width": 0.5, "color": colours().gene}},
    )  # fmt: skip


def _writing(x: Sequence[float], y: Sequence[float], texts: Sequence[str], **options: Any) -> go.Scatter:
    return go.Scatter(x=x, y=y, text=texts, mode="text", hoverinfo="skip", cliponaxis=False,
                      textfont={"size": 11, "color": colours().ink}, **options)  # fmt: skip


def genes_track(annotation: Annotated, *, label: str = "Genes", most_lanes: int = 6, lane: int = 40) -> Track:
    """A track of the genes of an annotation, as genome browsers draw them.

    Coding exons are thick, untranslated ones thin, introns a line whose chevrons point along transcription; an arrow marks a
    transcription start. Exons are numbered along transcription, in the hover.

    Parameters
    ----------
    annotation
        What `annotation.read` returns. Features without a transcript (BED) are drawn as boxes with their name.
    label
        Name of the track.
    most_lanes
        Lines of transcripts at most; how many are left out is said in the row and in the alt sentence.
    lane
        Pixels of a line.

    Raises
    ------
    ValueError
        If `most_lanes` is below 1.
    """
    if most_lanes < 1:
        raise ValueError(
            f"A gene track must have at least one line; received most_lanes={most_lanes}. Pass 1 or more."
        )

    def draw(panel: Panel) -> str:
        view, c = panel.view, colours()
        transcripts, lone, note = collect(annotation, view.interval)
        shared = {gene for gene, count in Counter(t.gene for t in transcripts).items() if count > 1}
        items: list[Transcript | Region] = [*transcripts, *lone]
        names = [f"{t.gene} {t.transcript}" if t.gene in shared else t.gene for t in transcripts] + [r.name for r in lone]
        ends = np.array([view.clip(item.start, item.end) for item in items], dtype=float).reshape(-1, 2)
        # A name stands at the left end of its body, on a page of the usual width before any zoom.
        wide = np.array([text_width(name, 11) for name in names]) / view.base_width
        left, right = (view.interval.end - ends[:, 1], view.interval.end - ends[:, 0]) if view.reverse else (
            ends[:, 0] - view.interval.start, ends[:, 1] - view.interval.start)  # fmt: skip
        starts = np.clip(np.minimum(left, len(view.interval) - wide), 0, None)
        lanes = packed(np.minimum(left, starts), np.maximum(right, starts + wide), gap=8 / view.base_width)
        kept = [i for i in range(len(items)) if lanes[i] < most_lanes]
        thick, thin, line = ([] for _ in range(3))
        arrows: list[tuple[float, int, int]] = []
        tss: list[tuple[float, int, int, str]] = []
        for i in kept:
            item, y = items[i], -int(lanes[i])
            along = 0 if item.strand not in ("+", "-") else 1 if (item.strand == "-") == view.reverse else -1
            if isinstance(item, Region):
                thick.append((*view.clip(item.start, item.end), y, f"{item.name} {span(item.start, item.end)}"))
                continue
            for a, b in introns(item, *view.clip(item.start, item.end)):
                line.append((a, b, y, f"{item.gene} intron, {span(a, b)}"))
                count = int((b - a) * view.base_width / 26)
                arrows += [(float(x), y, along) for x in np.linspace(a, b, count + 2)[1:-1]]
            for a, b, exon in item.exons:
                inside = [(max(a, x), min(b, z)) for x, z in item.coding if max(a, x) < min(b, z)]
                edges = [a, *(edge for pair in inside for edge in pair), b]
                apart = ", untranslated" if item.coding else ""
                parts = [(x, z, thin, apart) for x, z in zip(edges[::2], edges[1::2], strict=True)]
                parts += [(x, z, thick, ", coding") for x, z in inside]
                for x, z, into, what in parts:
                    x, z = view.clip(x, z)
                    if x < z:
                        into.append((x, z, y, f"{item.gene} exon {exon}{what}, {span(x, z)}"))
            if along and view.interval.contains(item.tss):
                tss.append((item.tss + 1, y, along, f"{item.gene} transcription start, {item.tss + 1:,}"))
        for parts, half, colour in ((line, 0.025, c.gene), (thin, 0.1, c.gene_pale), (thick, 0.2, c.gene)):
            spans = [part[:2] for part in parts]
            panel.add(boxes(spans, [part[3] for part in parts], middle=np.array([part[2] for part in parts]), half=half, colour=colour, name=escaped(label)))
        symbols = ["triangle-right" if along > 0 else "triangle-left" for *_, along in arrows]
        panel.add(go.Scatter(x=[x + 0.5 for x, *_ in arrows], y=[y for _, y, _ in arrows], mode="markers", hoverinfo="skip",
                             marker={"symbol": symbols, "size": 6, "color": c.gene}))  # fmt: skip
        panel.add(go.Scatter(x=[x for x, *_ in tss], y=[y + 0.31 for _, y, *_ in tss], mode="markers", hovertemplate="%{text}<extra></extra>",
                             text=[escaped(text) for *_, text in tss],
                             marker={"symbol": ["arrow-right" if along > 0 else "arrow-left" for _, _, along, _ in tss], "size": 10, "color": c.ink}))  # fmt: skip
        edges = view.interval.end - starts + 0.5 if view.reverse else view.interval.start + starts + 0.5
        styled = [f"<i>{escaped(name)}</i>" if isinstance(item, Transcript) else escaped(name) for name, item in zip(names, items, strict=True)]
        # Beyond the arrow of a transcription start that stands at the same end.
        shift = {i: "\u2003 " for i in kept for x, y, along, _ in tss if along > 0 and y == -lanes[i] and abs(edges[i] - x) * view.base_width < 14}
        panel.add(_writing([edges[i] for i in kept], [-float(lanes[i]) + 0.36 for i in kept], [shift.get(i, "") + styled[i] for i in kept], textposition="middle right"))
        n = max((int(lanes[i]) for i in kept), default=0) + 1
        panel.yaxis(range=[-n + 0.5, 0.6], visible=False)
        panel.figure.update_layout(barmode="overlay")
        hidden = len(items) - len(kept)
        more = [f"{hidden:,} more not drawn: choose a shorter region"] if hidden else []
        return "; ".join([_genes_said(transcripts, lone, view), *more, *([note] if note else [])])

    def pixels(view: View) -> int:
        return lane * max(1, min(most_lanes, _lanes_of(annotation, view)))

    return Track(plain(label, most=90), pixels, draw)


def _lanes_of(annotation: Annotated, view: View) -> int:
    """About the lines that an annotation takes in a view: the most bodies over one place."""
    transcripts, lone, _ = collect(annotation, view.interval)
    ends = np.array([view.clip(item.start, item.end) for item in [*transcripts, *lone]], dtype=float).reshape(-1, 2)
    names = [item.name if isinstance(item, Region) else item.gene for item in [*transcripts, *lone]]
    wide = np.array([text_width(name, 11) for name in names]) / view.base_width
    return lines_needed(ends[:, 0], np.maximum(ends[:, 1], ends[:, 0] + wide), gap=8 / view.base_width)


def _genes_said(transcripts: Sequence[Transcript], lone: Sequence[Region], view: View) -> str:
    said = []
    for gene in dict.fromkeys(t.gene for t in transcripts):
        own = [t for t in transcripts if t.gene == gene]
        starts = sorted({t.tss for t in own if view.interval.contains(t.tss)})
        strand = {"+": "+ strand", "-": "− strand"}.get(own[0].strand, "no strand")
        places = f", transcription start at {listing([f'{tss + 1:,}' for tss in starts])}" if starts else ""
        said.append(f"{gene} ({strand}{places})")
    said += [region.name for region in lone]
    return listing(said) if said else "none here"


def regions_track(
    table: pd.DataFrame, *, label: str, score_label: str = "score", most_lines: int = 6, colour: str = "", line: int = 22
) -> Track:
    """A track of regions: boxes with their names, or how many lie over each base where there are too many to draw.

    Its shade is its score, on one scale for the whole table.

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
        Lines of boxes at most; where they do not suffice, the number of regions over each base is drawn.
    colour
        Of boxes without scores, as plotly takes it; that of genes when empty.
    line
        Pixels of a line.

    Raises
    ------
    ValueError
        If a column is missing, a coordinate is not an integer, a row has no base, a strand is unknown, a score is
        infinite or no number, or `most_lines` is below 1.
    """
    if most_lines < 1:
        raise ValueError(
            f"A track of regions must have at least one line; received most_lines={most_lines}. Pass 1 or more."
        )
    # Whoever makes the table learns of its faults as for any annotation.
    checked = from_table(table, element="region", source=plain(label)).table.reset_index(drop=True)
    checked["score"] = _scores(table, label)
    # A dot is BED's way to say that there is none.
    checked["name"] = ["" if name == "." else plain(name, most=28) for name in checked["name"]]
    contigs = checked["chrom"].astype(str).map({str(chrom): canonical_contig(str(chrom)) for chrom in checked["chrom"].unique()})
    scored = bool(checked["score"].notna().any())

    def cut(view: View) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
        """Rows of a view from left to right, and the left and right edges of their boxes and names in bp."""
        at, here = view.interval, checked[contigs == canonical_contig(view.interval.chrom)]
        here = here[(here["start"] < at.end) & (here["end"] > at.start)].sort_values("start", kind="stable")
        first, last = here["start"].clip(at.start).to_numpy(float), here["end"].clip(upper=at.end).to_numpy(float)
        left, right = (at.end - last, at.end - first) if view.reverse else (first - at.start, last - at.start)
        if len(here) * 18 <= most_lines * WIDTH:
            named = left + np.array([text_width(name, 11) + 6 if name else 0 for name in here["name"]]) / view.base_width
            if lines_needed(left, np.maximum(right, named), gap=6 / view.base_width) <= most_lines:
                return here, left, np.maximum(right, named)
        return here.assign(name=""), left, right

    def draw(panel: Panel) -> str:
        view, c = panel.view, colours()
        here, left, right = cut(view)
        said = _regions_said(here, score_label, checked["score"])
        if lines_needed(left, right, gap=3 / view.base_width) > most_lines:
            depth = np.zeros(len(view.interval) + 1)
            np.add.at(depth, left.astype(int), 1)
            np.add.at(depth, right.astype(int), -1)
            draw_line(panel, np.cumsum(depth)[:-1], name=label, unit="regions", colour=colour or c.gene, filled=True)
            panel.yaxis(rangemode="tozero", title_text="regions", nticks=3)
            return f"{said}, drawn as their number over each base"
        lanes = packed(left, right, gap=3 / view.base_width)
        texts = [_region_said(row, score_label) for row in here.itertuples()]
        spans = [view.clip(row.start, row.end) for row in here.itertuples()]
        bar = boxes(spans, texts, middle=-lanes.astype(float), half=0.32, colour=colour or c.gene_pale, name=escaped(label))
        if scored:
            edge = float(checked["score"].abs().max()) or 1.0
            signed = bool((checked["score"] < 0).any())
            bar.marker.update(color=here["score"].to_numpy(), colorscale=c.diverging() if signed else c.sequential(), cmin=-edge if signed else 0, cmax=edge)
        panel.add(bar)
        edges = view.interval.end - left + 0.5 if view.reverse else view.interval.start + left + 0.5
        paper = [name and f"<span style='paint-order:stroke;stroke:{c.paper};stroke-width:3px'>{escaped(name)}</span>" for name in here["name"]]
        panel.add(_writing(edges, -lanes.astype(float), paper, textposition="middle right"))
        panel.yaxis(range=[-max(int(lanes.max(initial=0)) + 1, 1) + 0.5, 0.5], visible=False)
        panel.figure.update_layout(barmode="overlay")
        return said

    def pixels(view: View) -> int:
        _, left, right = cut(view)
        lines = lines_needed(left, right, gap=3 / view.base_width)
        return 54 if lines > most_lines else line * max(lines, 1)

    return Track(plain(label, most=90), pixels, draw, note=f"shade: {plain(score_label)}" if scored else "")


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


def _region_said(row: Any, score_label: str) -> str:
    strand = {"+": " (+)", "-": " (−)"}.get(row.strand, "")
    scored = f", {score_label} {number(float(row.score))}" if np.isfinite(row.score) else ""
    return f"{row.name}{strand} {span(int(row.start), int(row.end))}".strip() + scored


def _regions_said(here: pd.DataFrame, score_label: str, scores: pd.Series) -> str:
    if here.empty:
        return "none here"
    rows = list(here.itertuples())
    named = [_region_said(row, score_label) for row in rows[:4] if row.name]
    said = f"{len(rows):,} region{'s' if len(rows) > 1 else ''}"
    said += f": {listing(named + [''] * (len(rows) - len(named)), most=len(named))}" if named else ""
    if here["score"].notna().any():
        best = rows[int(here["score"].abs().fillna(-1).to_numpy().argmax())]
        word = "farthest from zero" if (scores < 0).any() else "largest"
        said += f"; {word} {score_label} {number(float(best.score))} at {span(int(best.start), int(best.end))}"
    return said
