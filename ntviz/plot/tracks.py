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
from ntviz.plot.transcripts import Annotated, Region, Transcript, collect, parts_of
from ntviz.plot.words import escaped, listing, number, plain, span, text_width

if TYPE_CHECKING:
    import pandas as pd

MOST_POINTS = 20_000
"""Bases that are drawn one by one; of a longer window, bins are."""
SPELLED = 400
"""Bases that have letters at most: in more, a letter is narrower than two pixels."""


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

    def across(self, spans: Any) -> np.ndarray:
        """[span, 2] left and right edges of 0-based spans, cut to the view, in pixels of a page of the usual width."""
        at = np.clip(np.asarray(spans, dtype=float).reshape(-1, 2), self.interval.start, self.interval.end)
        return ((self.interval.end - at[:, ::-1]) if self.reverse else (at - self.interval.start)) * self.base_width

    def at(self, pixels: Any) -> np.ndarray:
        """Place on the horizontal axis of pixels from the left edge."""
        bases = np.asarray(pixels) / self.base_width
        return self.interval.end + 0.5 - bases if self.reverse else self.interval.start + 0.5 + bases

    def stops(self, start: int, end: int) -> tuple[int, int]:
        """A span inside the view as element numbers of its arrays."""
        at = self.interval
        return (at.end - end, at.end - start) if self.reverse else (start - at.start, end - at.start)

    def crop(self, values: np.ndarray, over: Interval | None, what: str) -> np.ndarray:
        """The part of an array [base, ...] that this view shows, in its reading direction; NaN where it does not reach.

        The array is in the reading direction of `over`, the figure's interval when None. A ValueError names the track, `what`,
        whose array is not one element a base, or lies on another contig or strand.
        """
        over = self.whole if over is None else over
        if len(values) != len(over):
            raise ValueError(
                f"{what!r} must have one value for each of the {len(over):,} bases of {over.label()}; received "
                f"{len(values):,}. Pass the interval that the values cover as over=."
            )
        if canonical_contig(over.chrom) != canonical_contig(self.interval.chrom) or (over.strand == "-") != self.reverse:
            raise ValueError(
                f"{what!r} must lie on the contig and strand of the figure, {self.interval.label()}; received values "
                f"over {over.label()}. Draw them in a figure of their own, or reverse them first."
            )
        cut = np.full((len(self.interval), *np.shape(values)[1:]), np.nan)
        start, end = self.clip(over.start, over.end)
        if start < end:
            cut[slice(*self.stops(start, end))] = values[slice(*View(over, over, (0, 0)).stops(start, end))]
        return cut


def numbered(axis: int) -> str:
    """The number of an axis as plotly writes it: the first has none."""
    return "" if axis == 1 else str(axis)


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
        for trace in traces:
            trace.update(xaxis=f"x{numbered(self.block)}", yaxis=f"y{numbered(self.row)}")
            if trace.type != "heatmap":
                trace.showlegend = False
        self.figure.add_traces(traces)

    def yaxis(self, **options: Any) -> None:
        """Set options of the row's vertical axis."""
        self.figure.layout[f"yaxis{numbered(self.row)}"].update(options)


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
    values: np.ndarray, *, label: str, unit: str, control: np.ndarray | None = None, control_label: str = "shuffled sequence",
    diverging: bool = False, over: Interval | None = None, note: str = "", colour: str = "", height: int = 72,
) -> Track:  # fmt: skip
    """A track of one number a base, drawn as a filled line from zero; its control is a grey line on the same scale.

    Parameters
    ----------
    values
        [base] in the reading direction of the interval; NaN where there is none. In a window of more than 20,000 bases the
        line is the mean of each bin, in a band from its smallest to its largest value.
    label, unit
        Name of the track, and the unit on its axis.
    control, control_label
        [base] the same number for a control, and what that is.
    diverging
        Whether the sign carries meaning: the axis is then centred on zero, and the two signs have two colours.
    over
        Interval that the values cover, when it is not the figure's.
    note, colour, height
        Plain text after the label; of the line, as plotly takes it, that of the theme when empty; pixels.

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
    null = None if control is None else vector(control, f"{label}: control")

    def draw(panel: Panel) -> str:
        shown = panel.view.crop(values, over, label)
        draw_line(panel, shown, name=label, unit=unit, colour=colour or colours().accent, signed=diverging, filled=True)
        said = peak(shown, panel.view, unit)
        if null is not None:
            grey = panel.view.crop(null, over, f"{label}: control")
            draw_line(panel, grey, name=f"{label}: control ({control_label})", unit=unit, colour=colours().control)
            said += f"; in the control ({plain(control_label)}) {peak(grey, panel.view, unit)}"
        panel.yaxis(range=span_of(values if null is None else np.append(values, null), centred=diverging), nticks=4)
        return said

    return Track(plain(label, most=90), height, draw, plain(unit), note=noted(note, null, control_label))


def noted(note: str, control: Any, control_label: str) -> str:
    """What stands beside a label: a note, and what is grey where there is a control."""
    grey = "" if control is None else f"grey: {plain(control_label)}"
    return "; ".join(filter(None, (plain(note, most=120), grey)))


def draw_line(
    panel: Panel, values: np.ndarray, *, name: str, unit: str, colour: str, signed: bool = False, filled: bool = False,
    letters: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """Draw [base] values of a view as a step line: filled from zero, in two colours by sign, with a letter in the hover."""
    c, step, width = colours(), -(-len(values) // (MOST_POINTS // 5)) if len(values) > MOST_POINTS else 1, 1.1
    first, along = float(panel.view.positions[0]), -1 if panel.view.reverse else 1
    at = {"x0": first + along * (step - 1) / 2, "dx": along * step, "mode": "lines"}
    pale = c.accent_pale if colour == c.accent else c.faint

    def fill(values: np.ndarray, colour: str, to: str = "tozeroy") -> None:
        # plotly fills across a gap; from zero to zero nothing is seen there.
        panel.add(go.Scatter(y=np.nan_to_num(values).astype(np.float32), fill=to, fillcolor=colour, hoverinfo="skip",
                             line={"width": 0, "color": colour, "shape": "hvh" if step == 1 else "linear"}, **at))  # fmt: skip

    if step > 1:
        lowest, values, highest = binned(values, step)
        fill(highest, pale, "none")
        fill(lowest, pale, "tonexty")
    if signed:
        fill(np.fmax(values, 0), c.positive)
        fill(np.fmin(values, 0), c.negative)
        # Over many bases an outline would cover what it goes round.
        colour, width = c.muted, 0.8 if len(values) <= 1_000 else 0.2
    elif filled and step == 1:
        fill(values, pale)
    template = ("%{text} " if letters else "") + "%{y:.3g} " + literal(unit) + (f", mean of {step:,} bp" if step > 1 else "")
    # Bars of half a base draw what a step line leaves out: both ends, and a value between two gaps.
    ends = {"error_x": {"type": "constant", "value": 0.5, "width": 0, "thickness": width, "color": colour}} if len(values) <= SPELLED else {}
    panel.add(go.Scatter(y=np.asarray(values, np.float32), name=escaped(name, most=110), text=list(letters) if letters and step == 1 else None,
                         opacity=0.6 if colour == c.control else 1,
                         hovertemplate=template + "<extra>%{fullData.name}</extra>",
                         line={"color": colour, "width": width, "shape": "hvh" if step == 1 else "linear"}, **at, **ends))  # fmt: skip


def literal(text: str) -> str:
    """Text inside a template of plotly, where %{ begins a directive."""
    return escaped(text).replace("%{", "% {")


def vector(values: np.ndarray, label: str) -> np.ndarray:
    """Values as floats [base], or a ValueError that names the track."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 1:
        raise ValueError(
            f"{label!r} must be one number a base; received an array of shape {list(array.shape)}. Reduce it to [base] first."
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


def binned(values: np.ndarray, step: int) -> tuple[np.ndarray, ...]:
    """Smallest, mean and largest finite value of each `step` elements of an array; NaN for a part without one.

    Examples
    --------
    >>> [part.tolist() for part in binned(np.array([1.0, 3.0, 5.0]), 2)]
    [[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]
    """
    starts, known = np.arange(0, len(values), step), np.isfinite(values)
    counts = np.add.reduceat(known.astype(float), starts)
    low, total, high = (
        reduce.reduceat(np.where(known, values, other), starts)
        for reduce, other in ((np.minimum, np.inf), (np.add, 0.0), (np.maximum, -np.inf))
    )
    return tuple(np.where(counts == 0, np.nan, part).astype(np.float32) for part in (low, total / np.maximum(counts, 1), high))


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
    return go.Bar(
        x=at.mean(axis=1) + 0.5, width=at[:, 1] - at[:, 0], base=np.broadcast_to(middle, len(at)) - half, y=np.full(len(at), 2 * half),
        text=list(map(escaped, texts)), textposition="none", hovertemplate="%{text}<extra></extra>", name=name, meta="boxes",
        marker={"color": colour, "line": {"width": 0.5, "color": colours().gene}},
    )  # fmt: skip


def _answer(panel: Panel, label: str, spans: Sequence[tuple[int, int]], texts: Sequence[str]) -> None:
    """An unseen line that tells, base by base, what lies there: of bars plotly would take a near one, and read all rows at its middle."""
    at, step = panel.view.interval, -(-len(panel.view.interval) // 6_000)
    over: list[list[str]] = [[] for _ in range(at.start, at.end, step)]
    for (start, end), text in zip(spans, texts, strict=True):
        for here in over[-(-(start - at.start) // step) : -(-(end - at.start) // step)]:
            here.append(escaped(text))
    told = [f"{escaped(label)}: {'<br>'.join(here[:5] + [f'and {len(here) - 5:,} more'] * (len(here) > 5)) or 'none'}" for here in over]
    panel.add(go.Scatter(x0=at.start + 1, dx=step, y=np.zeros(len(over), np.int8), text=told, mode="lines", line={"width": 0},
                         hovertemplate="%{text}<extra></extra>"))  # fmt: skip


def _names(x: Any, y: Any, texts: Sequence[str]) -> go.Scatter:
    # Clipped to the row: with a trace that is not, plotly hides each box whose middle a zoom puts out of sight.
    return go.Scatter(x=x, y=y, text=texts, mode="text", textposition="middle right", hoverinfo="skip", textfont={"size": 11, "color": colours().ink})


def _at_least_one(lines: int, name: str, what: str) -> None:
    if lines < 1:
        raise ValueError(f"{what} must have at least one line; received {name}={lines}. Pass 1 or more.")


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
        Lines of transcripts at most; how many are left out is said in the alt sentence.
    lane
        Pixels of a line.

    Raises
    ------
    ValueError
        If `most_lanes` is below 1.
    """
    _at_least_one(most_lanes, "most_lanes", "A gene track")

    def laid(view: View) -> tuple[list[Transcript | Region], list[str], np.ndarray, np.ndarray, str]:
        """What there is, its names, where they begin (pixels) and on which line; a note on coding parts."""
        transcripts, lone, note = collect(annotation, view.interval)
        genes = Counter(item.gene for item in transcripts)
        names = [f"{item.gene} {item.transcript}" if genes[item.gene] > 1 else item.gene for item in transcripts]
        names += [region.name for region in lone]
        items: list[Transcript | Region] = [*transcripts, *lone]
        left, right = view.across([(item.start, item.end) for item in items]).T
        wide = np.array([text_width(name, 11) for name in names])
        along = np.array([_along(item.strand, view) for item in items])
        # A name stands over the left end of its body, beyond the arrow of a transcription start.
        begin = np.select([along > 0, (along < 0) & (right - left < wide + 12)], [left + 14, right + 12], left)
        begin = np.clip(begin, 0, np.maximum(WIDTH - wide, 0))
        return items, names, begin, packed(np.minimum(left, begin), np.maximum(right, begin + wide), gap=8), note

    def draw(panel: Panel) -> str:
        view, c = panel.view, colours()
        items, names, begin, lanes, note = laid(view)
        kept = [i for i in range(len(items)) if lanes[i] < most_lanes]
        drawn: dict[str, list[tuple[tuple[int, int], int, str]]] = {"intron": [], "untranslated": [], "coding": []}
        arrows: list[tuple[float, float, int]] = []
        starts: list[tuple[float, float, int]] = []
        for i in kept:
            item, y = items[i], -int(lanes[i])
            if isinstance(item, Region):
                drawn["coding"].append((view.clip(item.start, item.end), y, f"{item.name}, {span(item.start, item.end)}"))
                continue
            along = _along(item.strand, view)
            for a, b, kind, what in parts_of(item):
                a, b = view.clip(a, b)
                if a < b:
                    start = f", transcription start at {item.tss + 1:,}" if kind != "intron" and a <= item.tss < b else ""
                    drawn[kind].append(((a, b), y, f"{item.gene} {what}, {span(a, b)}{start}"))
                    if kind == "intron" and along:
                        arrows += [(x, y, along) for x in np.linspace(a, b, int((b - a) * view.base_width / 26) + 2)[1:-1] + 0.5]
            if along and view.interval.contains(item.tss):
                starts.append((item.tss + 1.0, y + 0.31, along))
        for kind, half, colour in (("intron", 0.025, c.gene), ("untranslated", 0.1, c.gene_pale), ("coding", 0.2, c.gene)):
            spans, y, texts = zip(*drawn[kind], strict=True) if drawn[kind] else ((), (), ())
            panel.add(boxes(spans, texts, middle=np.array(y), half=half, colour=colour, name=escaped(label)))
        everything = [part for parts in drawn.values() for part in parts]
        _answer(panel, label, [part[0] for part in everything], [part[2] for part in everything])
        for shape, size, colour, marks in (("triangle", 6, c.gene, arrows), ("arrow", 10, c.ink, starts)):
            symbols = [f"{shape}-{'right' if mark[2] > 0 else 'left'}" for mark in marks]
            panel.add(go.Scatter(x=[mark[0] for mark in marks], y=[mark[1] for mark in marks], mode="markers", hoverinfo="skip",
                                 marker={"symbol": symbols, "size": size, "color": colour}))  # fmt: skip
        styled = [f"<i>{escaped(names[i])}</i>" if isinstance(items[i], Transcript) else escaped(names[i]) for i in kept]
        panel.add(_names(view.at(begin[kept]), 0.36 - lanes[kept], styled) if items else _names(view.at([2.0]), [0.0], ["none here"]))
        panel.yaxis(range=[-max((int(lanes[i]) for i in kept), default=0) - 0.5, 0.6], visible=False)
        panel.figure.update_layout(barmode="overlay")
        hidden = len(items) - len(kept)
        more = [f"{hidden:,} more not drawn: choose a shorter region"] if hidden else []
        return "; ".join([_genes_said(items, view), *more, *([note] if note else [])])

    def pixels(view: View) -> int:
        return lane * max(1, min(most_lanes, int(laid(view)[3].max(initial=0)) + 1))

    return Track(plain(label, most=90), pixels, draw)


def _along(strand: str, view: View) -> int:
    """1 for a strand that runs from left to right in a view, -1 for one from right to left, 0 for none."""
    return 0 if strand not in ("+", "-") else 1 if (strand == "-") == view.reverse else -1


def _genes_said(items: Sequence[Transcript | Region], view: View) -> str:
    said = []
    transcripts = [item for item in items if isinstance(item, Transcript)]
    for gene in dict.fromkeys(item.gene for item in transcripts):
        own = [item for item in transcripts if item.gene == gene]
        starts = sorted({item.tss for item in own if view.interval.contains(item.tss)})
        strand = {"+": "+ strand", "-": "− strand"}.get(own[0].strand, "no strand")
        places = f", transcription start at {listing([f'{tss + 1:,}' for tss in starts])}" if starts else ""
        said.append(f"{gene} ({strand}{places})")
    said += [item.name for item in items if isinstance(item, Region)]
    return listing(said) if said else "none here"


def regions_track(
    table: pd.DataFrame, *, label: str, score_label: str = "score", most_lines: int = 6, colour: str = "", line: int = 22,
) -> Track:  # fmt: skip
    """A track of regions: boxes with their names, or how many lie over each base where there are too many to draw.

    Its shade is its score, on one scale for the whole table.

    Parameters
    ----------
    table
        Columns [chrom, start, end], 0-based half-open as in BED, and of name, strand (+, - or .) and score those that
        are known: the lines of a BED file, `motifs.hits(...)`, `annotation.read(path).table`. Contig aliases match.
        Rows elsewhere do no harm.
    label, score_label
        Name of the track; what the score is, with its unit.
    most_lines
        Lines of boxes at most; where they do not suffice, the number of regions over each base is drawn.
    colour, line
        Of boxes without scores, as plotly takes it, that of genes when empty; pixels of a line.

    Raises
    ------
    ValueError
        If a column is missing, a coordinate is not an integer, a row has no base, a strand is unknown, a score is
        infinite or no number, or `most_lines` is below 1.
    """
    _at_least_one(most_lines, "most_lines", "A track of regions")
    # Whoever makes the table learns of its faults as for any annotation.
    checked = from_table(table, element="region", source=plain(label)).table.reset_index(drop=True)
    checked["score"] = _scores(table, label)
    # A dot is BED's way to say that there is none.
    checked["name"] = ["" if name == "." else plain(name, most=28) for name in checked["name"]]
    contigs = checked["chrom"].astype(str).map({str(chrom): canonical_contig(str(chrom)) for chrom in checked["chrom"].unique()})
    top = float(checked["score"].abs().max())
    signed = bool((checked["score"] < 0).any())

    def laid(view: View) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray | None, bool]:
        """Rows of a view, their boxes and the begins of names in pixels, their lines (None for too many), and whether names fit."""
        here = checked[contigs == canonical_contig(view.interval.chrom)]
        here = here[(here["start"] < view.interval.end) & (here["end"] > view.interval.start)].sort_values("start", kind="stable")
        at = view.across(here[["start", "end"]])
        left, right = at.T
        wide = np.array([text_width(name, 11) + 3 if name else 0 for name in here["name"]])
        # A name stands beyond its box, or before it at the right edge of the page.
        begin = np.where(right + wide <= WIDTH, right + 3, left - wide)
        for low, high, named in ((np.minimum(left, begin), np.maximum(right, begin + wide), True), (left, right, False)):
            if lines_needed(low, high, gap=4) <= most_lines:
                return here, at, begin, packed(low, high, gap=4), named
        return here, at, begin, None, False

    def draw(panel: Panel) -> str:
        view, c = panel.view, colours()
        here, at, begin, lanes, named = laid(view)
        texts = [_region_said(row, score_label) for row in here.itertuples()]
        said = _regions_said(here, texts, score_label, signed)
        if lanes is None:
            change = np.zeros(len(view.interval) + 1)
            np.add.at(change, np.rint(at / view.base_width).astype(int), [1, -1])
            depth = np.cumsum(change)[:-1]
            draw_line(panel, depth, name=label, unit="regions", colour=colour or c.gene, filled=True)
            panel.yaxis(range=span_of(depth), title_text="regions", showticklabels=True, nticks=3)
            return f"{said}, drawn as their number over each base"
        spans = [view.clip(row.start, row.end) for row in here.itertuples()]
        bar = boxes(spans, texts, middle=-lanes.astype(float), half=0.32, colour=colour or c.gene_pale, name=escaped(label))
        if np.isfinite(top):
            scale = c.diverging() if signed else c.sequential()
            bar.marker.update(color=here["score"].to_numpy(), colorscale=scale, cmin=-(top or 1.0) if signed else 0, cmax=top or 1.0)
        panel.add(bar, *([_names(view.at(begin), -lanes.astype(float), list(map(escaped, here["name"])))] if named else []))
        _answer(panel, label, spans, texts)
        panel.yaxis(range=[-int(lanes.max(initial=0)) - 0.5, 0.5], visible=False)
        panel.figure.update_layout(barmode="overlay")
        return said

    def pixels(view: View) -> int:
        lanes = laid(view)[3]
        return 54 if lanes is None else line * (int(lanes.max(initial=0)) + 1)

    return Track(plain(label, most=90), pixels, draw, note=f"shade: {plain(score_label)}" if np.isfinite(top) else "")


def _scores(table: pd.DataFrame, label: str) -> np.ndarray:
    if "score" not in table.columns:
        return np.full(len(table), np.nan)
    rule = f"The scores of {label!r} must be"
    try:
        scores = table["score"].replace(".", np.nan).to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{rule} numbers, or NaN where there is none; received {error}. Convert them with pandas.to_numeric.") from error
    if np.isinf(scores).any():
        row = int(np.flatnonzero(np.isinf(scores))[0])
        raise ValueError(f"{rule} finite, or NaN where there is none; received {scores[row]} in row {row}. Clip them first.")
    return scores


def _region_said(row: Any, score_label: str) -> str:
    strand = {"+": " (+)", "-": " (−)"}.get(row.strand, "")
    scored = f", {score_label} {number(float(row.score))}" if np.isfinite(row.score) else ""
    return f"{row.name or 'region'}{strand} at {span(int(row.start), int(row.end))}{scored}"


def _regions_said(here: pd.DataFrame, texts: Sequence[str], score_label: str, signed: bool) -> str:
    if here.empty:
        return "none here"
    said = f"{len(here):,} region{'s' if len(here) > 1 else ''}"
    if (here["name"] != "").any():
        said += f": {listing(texts, most=4)}"
    if here["score"].notna().any():
        best = texts[int(here["score"].abs().fillna(-1).to_numpy().argmax())]
        said += f"; {'farthest from zero' if signed else 'largest'}: {best}"
    return said
