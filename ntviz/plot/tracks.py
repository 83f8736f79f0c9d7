"""Tracks of a locus figure: what a track is, and those of genes, signals and regions.

Positions are 0-based half-open; on the axis base p, counted from 0, is drawn from p + 0.5 to p + 1.5, around its 1-based number.
Arrays are in the reading direction of their interval: on the - strand coordinates fall from left to right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ntviz.annotation import Annotation, from_table
from ntviz.genome import Interval, canonical_contig
from ntviz.plot.theme import LETTERS, WIDTH, colours
from ntviz.plot.words import escaped, listing, number, plain, span, text_width

MOST_POINTS = 20_000  # bases that are drawn one by one; of a longer window, bins are
MARKED = 0.1  # probability from which a splice site has a mark that is seen from afar
SPELLED = 400  # bases that have letters at most: in more, a letter is narrower than two pixels


@dataclass(frozen=True, slots=True)
class View:
    """The `interval` that a row shows, read along its strand, of the `whole` of a figure; letters stand in `part`, 0-based half-open."""

    interval: Interval
    whole: Interval
    part: tuple[int, int]

    @property
    def reverse(self) -> bool:
        return self.interval.strand == "-"

    @property
    def positions(self) -> np.ndarray:
        """[base] 1-based, in reading direction."""
        up = np.arange(self.interval.start + 1, self.interval.end + 1, dtype=np.float64)
        return up[::-1] if self.reverse else up

    @property
    def in_part(self) -> np.ndarray:
        return (self.positions > self.part[0]) & (self.positions <= self.part[1])

    def clip(self, start: int, end: int) -> tuple[int, int]:
        return max(start, self.interval.start), min(end, self.interval.end)

    def stops(self, start: Any, end: Any) -> tuple[Any, Any]:
        """Spans inside the view as element numbers of its arrays."""
        at = self.interval
        return (at.end - end, at.end - start) if self.reverse else (start - at.start, end - at.start)

    def across(self, spans: Any) -> np.ndarray:
        """[span, 2] left and right edges of spans, cut to the view, in pixels of a page of the usual width."""
        inside = np.clip(np.reshape(spans, (-1, 2)).astype(float), self.interval.start, self.interval.end)
        return np.stack(self.stops(*inside.T), axis=1) * WIDTH / len(self.interval)

    def at(self, pixels: Any) -> np.ndarray:
        """Place on the horizontal axis of pixels from the left edge."""
        bases = np.asarray(pixels) * len(self.interval) / WIDTH
        return self.interval.end + 0.5 - bases if self.reverse else self.interval.start + 0.5 + bases

    def crop(self, values: np.ndarray, over: Interval | None, what: str) -> np.ndarray:
        """What the view shows of an array [base, ...] over an interval, the figure's when None; NaN beyond it."""
        over, at = over or self.whole, self.interval
        if len(values) != len(over):
            raise ValueError(f"{what!r} must have one value for each of the {len(over):,} bases of {over.label()}; "
                             f"received {len(values):,}. Pass the interval that the values cover as over=.")  # fmt: skip
        if canonical_contig(over.chrom) != canonical_contig(at.chrom) or (over.strand == "-") != self.reverse:
            raise ValueError(f"{what!r} must lie on the contig and strand of the figure, {at.label()}; received values over "
                             f"{over.label()}. Draw them in a figure of their own.")  # fmt: skip
        index = np.arange(len(at)) + (over.end - at.end if self.reverse else at.start - over.start)
        inside, cut = (index >= 0) & (index < len(over)), np.full((len(at), *values.shape[1:]), np.nan)
        cut[inside] = values[index[inside]]
        return cut


@dataclass(frozen=True, slots=True)
class Panel:
    """One row of a locus figure while it is drawn: what a track's `draw` gets."""

    figure: go.Figure
    row: int
    view: View
    block: int = 1

    def add(self, *traces: Any) -> None:
        """Add traces; `plot.table` leaves out those without a name, and `view.part` may change only those whose `meta` is "letters"."""
        for trace in traces:
            trace.update(xaxis=f"x{self.block}", yaxis=f"y{self.row}", showlegend=False)
        self.figure.add_traces(traces)

    def yaxis(self, **options: Any) -> None:
        self.figure.layout[f"yaxis{self.row}"].update(options)


@dataclass(frozen=True, slots=True)
class Track:
    """A row of a locus figure.

    Parameters
    ----------
    label, unit, note
        Plain name of the track; title of its vertical axis, which is hidden without one; small text beside the name.
    height, draw
        Pixels of the row, or a function of the `View`; adds traces to a `Panel` and returns the track's part of the alt sentence.
    letters, strongest
        Whether the track has letters, and stands in the enlarged part too; where they matter most, 1-based, NaN without values.
    """

    label: str
    height: int | Callable[[View], int]
    draw: Callable[[Panel], str]
    unit: str = ""
    letters: bool = False
    note: str = ""
    strongest: Callable[[View], float] | None = None


def checked(
    values: Any, label: str, axes: Sequence[int | str], control: Any = None, *, scores: bool = True
) -> dict[str, np.ndarray]:
    """Values, and those of a control of their shape, by name: scores, finite or NaN, or weights, finite and at least 0.

    An axis has a size, or a name for any size.
    """
    given = {label: values} if control is None else {label: values, f"{label}: control": control}
    arrays = {name: np.asarray(array, dtype=float) for name, array in given.items()}
    for name, array in arrays.items():
        fits = [size == n or (isinstance(n, str) and size > 0) for size, n in zip(array.shape, axes, strict=False)]
        if array.ndim != len(axes) or not all(fits):
            raise ValueError(f"{name!r} must have the shape [{', '.join(map(str, axes))}]; received {list(array.shape)}. "
                             "Pass numbers of the same bases, tokens or heads, and reduce other axes.")  # fmt: skip
        wrong = np.isinf(array) if scores else ~np.isfinite(array) | (array < 0)
        if wrong.any():
            at = np.argwhere(wrong)[0].tolist()
            rule = "finite, with NaN where there is no value" if scores else "finite and at least 0"
            raise ValueError(f"{name!r} must be {rule}; received {array[tuple(at)]} at {at}. Pass such numbers.")
        axes = array.shape
    return arrays


def line_track(
    given: Mapping[str, np.ndarray], *, label: str, unit: str, control_label: str, over: Interval | None, height: int,
    reach: Sequence[float], note: str = "", diverging: bool = False,
    letters: Callable[[View, np.ndarray], list[go.Scatter]] | None = None,
) -> Track:  # fmt: skip
    """Step lines of arrays [base] by name, or of the sums of heights [base, letter], which `letters(view, heights)` draws above."""

    def read(view: View, name: str) -> tuple[np.ndarray, np.ndarray]:
        shown = view.crop(given[name], over, name)
        return np.ma.masked_invalid(shown.reshape(len(shown), -1)).sum(axis=1).filled(np.nan), shown

    def draw(panel: Panel) -> str:
        said, view, c = [], panel.view, colours()
        n, along = len(view.interval), -1 if view.reverse else 1
        step = -(-n // (MOST_POINTS // 5)) if n > MOST_POINTS else 1
        at = {"x0": float(view.positions[0]) + along * (step - 1) / 2, "dx": along * step, "mode": "lines"}
        for name in given:
            grey, (values, shown), bases, traces = name != label, read(view, name), "", []
            if letters:
                best = np.where(np.isnan(shown), -np.inf, np.abs(shown)).argmax(axis=1)
                bases = [LETTERS[base] for base in np.where(np.isnan(values), 4, best)]
                traces = [] if grey else letters(view, shown)
            said.append(f"in the control ({plain(control_label)}) " * grey + _peak(values, view, unit, bases))
            # Where letters show it all, the line is there for the hover alone.
            colour, width, fills = c.control if grey else c.accent, 0 if traces and view.in_part.all() else 1.1, []
            if step > 1:
                bases, (lowest, values, highest) = "", binned(values, step)
                pale = c.faint if grey else c.accent_pale
                fills = [(highest, pale, "none"), (lowest, pale, "tonexty")]
            if diverging and not grey:
                fills += [(np.fmax(values, 0), c.positive, "tozeroy"), (np.fmin(values, 0), c.negative, "tozeroy")]
                # Over many bases an outline would cover what it goes round.
                colour, width = c.muted, 0.8 if n <= 1_000 else 0.2
            elif step == 1 and not (grey or letters):
                fills = [(values, c.accent_pale, "tozeroy")]
            shape = "hvh" if step == 1 else "linear"
            for y, shade, to in fills:
                # plotly fills across a gap; from zero to zero nothing is seen there.
                panel.add(go.Scatter(y=np.nan_to_num(y).astype(np.float32), fill=to, fillcolor=shade, hoverinfo="skip",
                                     line={"width": 0, "color": shade, "shape": shape}, **at))  # fmt: skip
            hover = "%{text} " * bool(bases) + "%{y:.3g} " + literal(unit) + f", mean of {step:,} bp" * (step > 1)
            # Bars of half a base draw what a step line leaves out: both ends, and a value between two gaps.
            ends = {"type": "constant", "value": 0.5, "width": 0, "thickness": width, "color": colour, "visible": n <= SPELLED}  # fmt: skip
            panel.add(go.Scatter(y=np.asarray(values, np.float32), text=list(bases) or None, opacity=0.6 if grey else 1, error_x=ends,
                                 name=escaped(f"{name} ({control_label})" if grey else name, most=110), **at,
                                 hovertemplate=f"{hover}<extra>%{{fullData.name}}</extra>",
                                 line={"color": colour, "width": width, "shape": shape}), *traces)  # fmt: skip
        panel.yaxis(range=reach, nticks=4, zeroline=bool(letters) and reach[0] < 0)
        return "; ".join(said)

    def strongest(view: View) -> float:
        values, _ = read(view, label)
        return np.nan if np.isnan(values).all() else view.positions[np.nanargmax(np.abs(values))]

    notes = [plain(note, most=120), f"grey: {plain(control_label)}" if len(given) > 1 else ""]
    note = "; ".join(filter(None, notes))
    return Track(plain(label, most=90), height, draw, plain(unit), bool(letters), note, strongest)


def signal_track(
    values: np.ndarray, *, label: str, unit: str, control: np.ndarray | None = None, control_label: str = "shuffled sequence",
    diverging: bool = False, over: Interval | None = None, note: str = "", height: int = 72,
) -> Track:  # fmt: skip
    """A track of one number a base, a filled line from zero; beyond 20,000 bases the mean of each bin, in a band of its range.

    Parameters
    ----------
    values, over
        [base] in reading direction, finite or NaN; the interval that they cover, when it is not the figure's.
    control, control_label, diverging
        [base] the same for a control, a grey line on the same scale; what it is; whether the sign matters: two colours around zero.
    """
    given = checked(values, label, ["base"], control)
    reach = span_of(np.concatenate(list(given.values())), centred=diverging)
    return line_track(given, label=label, unit=unit, control_label=control_label, over=over, height=height, reach=reach, note=note,
                      diverging=diverging)  # fmt: skip


def literal(text: str) -> str:
    """Text inside a template of plotly, where %{ begins a directive."""
    return escaped(text).replace("%{", "% {")


def span_of(values: np.ndarray, *, centred: bool = False) -> list[float]:
    """Axis limits that hold the values and zero; symmetric about zero when the sign carries meaning."""
    low, high = float(np.fmin.reduce(values, initial=0)), float(np.fmax.reduce(values, initial=0))
    low, high = (-max(-low, high), max(-low, high)) if centred else (low, high)
    high = high if high > low else low + 1.0
    room = 0.06 * (high - low)
    return [low - room if low < 0 else low, high + room if high > 0 else high]


def binned(values: np.ndarray, step: int) -> tuple[np.ndarray, ...]:
    """Smallest, mean and largest of each `step` elements of an array that are not NaN; NaN where all are."""
    starts, known = np.arange(0, len(values), step), ~np.isnan(values)
    counts = np.add.reduceat(known, starts, dtype=float)
    means = np.add.reduceat(np.where(known, values, 0.0), starts) / np.where(counts > 0, counts, np.nan)
    low, high = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
    return tuple(part.astype(np.float32) for part in (low, means, high))


def _peak(values: np.ndarray, view: View, unit: str, letters: Sequence[str]) -> str:
    """The value farthest from zero, where it is and of which letter, and the mean: words for the alt sentence."""
    if np.isnan(values).all():
        return "no values here"
    best = int(np.nanargmax(np.abs(values)))
    what = "largest" if np.nanmin(values) >= 0 else "farthest from zero"
    value, place = f"{number(float(values[best]))} {plain(unit)}".rstrip(), f"at {int(view.positions[best]):,}"
    place = f"({letters[best]} {place})" if letters else place
    return f"{what} {value} {place}, mean {number(float(np.nanmean(values)))}"


@dataclass(frozen=True, slots=True)
class Feature:
    """A transcript, or a region, without transcript and strand, 0-based half-open; its parts are what is drawn, later ones on top."""

    gene: str
    strand: str
    start: int
    end: int
    parts: list[tuple[int, int, str, str]]  # start, end, kind, text for the hover
    transcript: str = ""
    score: float = np.nan

    @property
    def tss(self) -> int:
        """0-based position of the first transcribed base."""
        return self.end - 1 if self.strand == "-" else self.start


def collect(annotation: Annotation, interval: Interval) -> tuple[list[Feature], str]:
    """Whole transcripts, then other regions, that overlap an interval, and a note on where the coding parts come from."""
    near, table = annotation.within(interval).table, annotation.table
    of_transcript = near["transcript"].notna() & (near["transcript"] != "")
    # Numbers of exons count from the first one, which may lie outside: take the transcripts whole.
    table = table[table["transcript"].isin(near.loc[of_transcript, "transcript"]) & table["chrom"].isin(near["chrom"])]
    features = [_transcript(str(name), rows) for name, rows in table.groupby("transcript", sort=False, observed=True)]
    features.sort(key=lambda item: (item.start, item.end, item.transcript))
    # A gene is drawn by its transcripts where the file has them.
    drawn = (near["element"] == "gene") & near["gene"].isin(near.loc[of_transcript, "gene"])
    for row in near[~of_transcript & ~drawn].drop_duplicates(["start", "end", "element", "name"]).itertuples():
        name, place = _name(row.name, row.gene, row.element), (row.start, row.end)
        features.append(Feature(name, ".", *place, [(*place, "region", f"{name}, {span(*place)}")]))
    origins = [str(origin) for origin in near.loc[near["element"] == "CDS", "origin"].dropna().unique() if origin]
    return features, f"coding parts: {plain(listing(origins))}" if origins else ""


def _transcript(transcript: str, rows: pd.DataFrame) -> Feature:
    def spans(*elements: str) -> list[tuple[int, int]]:
        chosen = rows[rows["element"].isin(elements)]
        return sorted(set(zip(chosen["start"].tolist(), chosen["end"].tolist(), strict=True)))

    exons, strand, gene = spans("exon"), str(rows["strand"].iloc[0]), _name(rows["gene"].iloc[0], transcript)
    for start, end in [] if exons else spans("CDS", "five_prime_utr", "three_prime_utr"):
        if exons and start <= exons[-1][1]:
            start, end = exons[-1][0], max(end, exons.pop()[1])
        exons.append((start, end))
    parts = [(start, end, "intron", "intron") for (_, start), (end, _) in pairwise(exons) if start < end]
    parts += [(*exon, "exon", f"exon {len(exons) - i if strand == '-' else i + 1}") for i, exon in enumerate(exons)]
    parts += [(*coding, "coding", "coding") for coding in spans("CDS")]
    parts = [(start, end, kind, f"{gene} {text}, {span(start, end)}") for start, end, kind, text in parts]
    return Feature(gene, strand, int(rows["start"].min()), int(rows["end"].max()), parts, plain(transcript, most=28))


def _name(*candidates: object) -> str:
    return plain(next((text for text in candidates if isinstance(text, str) and text), "region"), most=28)


def packed(left: np.ndarray, right: np.ndarray, *, gap: float, most: int = 1_000) -> np.ndarray:
    """[item] line of each item, the first with a `gap` free to its left; `most` where there is none among so many."""
    lines, ends = np.full(len(left), most), [-np.inf] * most
    for index in np.lexsort((right, left)):
        free = next((line for line, end in enumerate(ends) if end + gap <= left[index]), most)
        if free < most:
            lines[index], ends[free] = free, right[index]
    return lines


def boxes(spans: Sequence[tuple[int, int]], texts: Sequence[str], *, middle: Any, half: Any, colour: Any, name: str) -> go.Bar:  # fmt: skip
    """Spans of the genome, 0-based half-open, as bars that answer the hover over their whole length."""
    at = np.asarray(spans, dtype=np.float64).reshape(-1, 2)
    middle, half = np.broadcast_to(middle, len(at)), np.broadcast_to(half, len(at))
    return go.Bar(
        x=at.mean(axis=1) + 0.5, width=at[:, 1] - at[:, 0], base=middle - half, y=2 * half, name=name, meta="boxes",
        text=list(map(escaped, texts)), textposition="none", hovertemplate="%{text}<extra></extra>",
        marker={"color": colour, "line": {"width": 0.5, "color": colours().gene}})  # fmt: skip


def _features_track(
    found: Callable[[Interval], tuple[list[Feature], str]], *, label: str, most: int = 6, top: float = np.nan, signed: bool = False,
    note: str = "",
) -> Track:  # fmt: skip
    """A track of features on lines; `found` gives those over an interval and words. `top` is the score of the strongest shade."""

    def laid(view: View) -> tuple[list[Feature], str, Sequence[str], np.ndarray, np.ndarray, bool]:
        """Features, words, names, where these begin in pixels, lines, and whether there are too many regions for boxes."""
        features, words = found(view.interval)
        genes, regions = Counter(item.gene for item in features), not any(item.transcript for item in features)
        names = [f"{item.gene} {item.transcript}".rstrip() if genes[item.gene] > 1 else item.gene for item in features]
        left, right = view.across([(item.start, item.end) for item in features]).T
        wide = np.array([text_width(name, 11) for name in names])
        begin = np.clip(left, 0, np.maximum(WIDTH - wide, 0))
        lines = packed(np.minimum(left, begin), np.maximum(right, begin + wide), gap=6, most=most)
        if regions and (lines == most).any():
            names, lines = [""] * len(features), packed(left, right, gap=4, most=most)
        return features, words, names, begin, lines, regions and bool((lines == most).any())

    def draw(panel: Panel) -> str:
        view, at, c = panel.view, panel.view.interval, colours()
        looks = {"intron": (0.025, c.gene), "exon": (0.1, c.gene_pale), "coding": (0.2, c.gene), "region": (0.2, c.gene_pale)}  # fmt: skip
        features, words, names, begin, lines, crowded = laid(view)
        if crowded:
            depth = np.zeros(len(at))
            for item in features:
                depth[slice(*view.stops(*view.clip(item.start, item.end)))] += 1
            panel.yaxis(title_text="regions", showticklabels=True)
            shown = signal_track(depth, label=label, unit="regions", over=at).draw(panel)
            return f"{words}; drawn as their number over each base, {shown}"
        step = -(-len(at) // 6_000)
        over: list[list[str]] = [[] for _ in range(at.start, at.end, step)]
        parts, marks, kept = [], [], np.flatnonzero(lines < most)
        for feature, line in ((features[i], -float(lines[i])) for i in kept):
            side = "right" if (feature.strand == "-") == view.reverse else "left"
            if feature.strand != "." and at.contains(feature.tss):
                marks.append((feature.tss + 1, line - 0.3, f"arrow-{side}", 10, c.ink))
            for start, end, kind, text in feature.parts:
                a, b = view.clip(start, end)
                if a >= b:
                    continue
                (half, colour), shown = looks[kind], escaped(text)
                parts.append(((a, b), text, line, half, feature.score if np.isfinite(top) else colour))
                for here in over[-(-(a - at.start) // step) : -(-(b - at.start) // step)]:
                    here.append(shown)
                chevrons = int((b - a) * WIDTH / len(at) / 26) * (kind == "intron" and feature.strand != ".")
                marks += [(x + 0.5, line, f"triangle-{side}", 6, c.gene) for x in np.linspace(a, b, chevrons + 2)[1:-1]]
        spans, texts, middle, half, colour = zip(*parts, strict=True) if parts else ((),) * 5
        name = escaped(label)
        bar = boxes(spans, texts, middle=middle, half=half, colour=colour, name=name)
        if np.isfinite(top):
            bar.marker.update(colorscale=c.signs if signed else c.magnitudes, cmin=-top * signed, cmax=top or 1.0)
        # Of bars plotly would take a near one: an unseen line answers, base by base.
        told = [here[:5] + [f"and {len(here) - 5:,} more"] * (len(here) > 5) for here in over]
        x, y, symbol, size, colour = zip(*marks, strict=True) if marks else ((),) * 5
        # Names are clipped to the row: with a trace that is not, plotly hides each box whose middle a zoom puts out of sight.
        panel.add(
            bar, go.Scatter(x0=at.start + 1, dx=step, y=np.zeros(len(over), np.int8), mode="lines", line={"width": 0},
                            text=[f"{name}: {'<br>'.join(here) or 'none'}" for here in told],
                            hovertemplate="%{text}<extra></extra>"),
            go.Scatter(x=x, y=y, mode="markers", hoverinfo="skip",
                       marker={"symbol": symbol, "size": size, "color": colour, "opacity": 1, "line": {"width": 0}}),
            go.Scatter(x=view.at(begin[kept]), y=0.36 - lines[kept], mode="text", hoverinfo="skip", textposition="middle right",
                       text=[f"<i>{escaped(names[i])}</i>" if features[i].transcript else escaped(names[i]) for i in kept],
                       textfont={"size": 11, "color": c.ink}))  # fmt: skip
        panel.yaxis(range=[-int(lines[kept].max(initial=0)) - 0.5, 0.6], visible=False)
        return words + f"; {len(features) - len(kept):,} more not drawn: choose a shorter region" * (len(kept) < len(features))  # fmt: skip

    def pixels(view: View) -> int:
        *_, lines, crowded = laid(view)
        return 72 if crowded else 40 * min(most, int(lines.max(initial=0)) + 1)

    return Track(plain(label, most=90), pixels, draw, note=note)


def genes_track(annotation: Annotation, *, label: str = "Genes", most_lanes: int = 6) -> Track:
    """A track of genes as browsers draw them: coding parts thick, chevrons along introns, an arrow at each transcription start.

    Features without a transcript (BED) are boxes with their name. The alt sentence says how many do not fit on `most_lanes` lines.
    """
    if most_lanes < 1:
        raise ValueError(f"A gene track must have at least one line; received most_lanes={most_lanes}. Pass 1 or more.")

    def found(at: Interval) -> tuple[list[Feature], str]:
        features, note = collect(annotation, at)
        genes = dict[str, set[int]]()
        for item in features:
            strand = {"+": " (+ strand)", "-": " (− strand)"}.get(item.strand, "")
            genes.setdefault(item.gene + strand, set()).update([item.tss] * bool(strand and at.contains(item.tss)))
        said = [f"{name[:-1]}, transcription start at {listing([f'{tss + 1:,}' for tss in sorted(starts)])})" if starts else name
                for name, starts in genes.items()]  # fmt: skip
        return features, "; ".join(filter(None, [listing(said) if said else "none here", note]))

    return _features_track(found, label=label, most=most_lanes)


def regions_track(table: pd.DataFrame, *, label: str, score_label: str = "score") -> Track:
    """A track of regions: boxes shaded by score, with their names where these fit; beyond six lines, the number over each base.

    The table has [chrom, start, end], 0-based half-open, and of name, strand (+, - or .) and score those that are known: the lines
    of a BED file, `motifs.hits(...)`, `annotation.read(path).table`. Contig aliases match.
    """
    rows = from_table(table, element="region", source=plain(label)).table
    given = table["score"].replace(".", np.nan) if "score" in table else pd.Series(np.nan, table.index)
    rows["score"] = pd.to_numeric(given, errors="coerce").to_numpy(dtype=float)
    if len(wrong := np.flatnonzero(np.isinf(rows["score"]) | (np.isnan(rows["score"]) & given.notna().to_numpy()))):
        raise ValueError(f"The scores of {label!r} must be finite numbers, or NaN; received {given.iloc[wrong[0]]} in row {wrong[0]}.")  # fmt: skip
    contigs = rows["chrom"].map({chrom: canonical_contig(chrom) for chrom in rows["chrom"].unique()})
    top, signed = float(rows["score"].abs().max()), bool((rows["score"] < 0).any())

    def found(at: Interval) -> tuple[list[Feature], str]:
        here = rows[(contigs == canonical_contig(at.chrom)) & (rows["start"] < at.end) & (rows["end"] > at.start)]
        features = list[Feature]()
        for row in here.sort_values("start", kind="stable").itertuples():
            # A dot is BED's way to say that there is none.
            name = "" if row.name == "." else plain(row.name, most=28)
            strand = {"+": " (+)", "-": " (−)"}.get(row.strand, "")
            scored = f", {score_label} {number(row.score)}" if np.isfinite(row.score) else ""
            text = f"{name or 'region'}{strand} at {span(row.start, row.end)}{scored}"
            features.append(Feature(name, ".", row.start, row.end, [(row.start, row.end, "region", text)], score=row.score))  # fmt: skip
        if not features:
            return [], "none here"
        said = f"{len(here):,} region{'s' * (len(here) > 1)}: {listing([feature.parts[0][3] for feature in features])}"
        best = max(features, key=lambda feature: np.nan_to_num(abs(feature.score), nan=-1))
        most = f"; {'farthest from zero' if signed else 'largest'}: {best.parts[0][3]}" * bool(np.isfinite(best.score))
        return features, said + most

    note = f"shade: {plain(score_label)}" if rows["score"].notna().any() else ""
    return _features_track(found, label=label, top=top, signed=signed, note=note)


def splice_track(
    probabilities: np.ndarray, *, label: str = "Splice sites", reverse: np.ndarray | None = None, control: np.ndarray | None = None,
    control_label: str = "shuffled sequence", over: Interval | None = None, note: str = "", height: int = 84,
) -> Track:  # fmt: skip
    """A track of splice sites: a stem as high as its probability for each base, a mark on those of 0.1 or more.

    Parameters
    ----------
    probabilities, reverse, control, control_label
        [base, 3] none, acceptor and donor, as `predict` of a splice network gives them, in the reading direction of the interval;
        the same of the other strand, drawn below zero; of a control, in grey on the same axis; what it is.
    """
    given = checked(probabilities, label, ["base", 3], control)
    below = {} if reverse is None else checked(reverse, f"{label}, other strand", given[label].shape)
    for name, array in (given | below).items():
        if wrong := int(((array < -1e-6) | (array > 1 + 1e-6)).sum()):
            raise ValueError(f"{name!r} must be probabilities of none, acceptor and donor; received {wrong:,} numbers below 0 or above 1. "
                             "Pass one sequence of what `predict` of a splice network gives.")  # fmt: skip

    def draw(panel: Panel) -> str:
        c, said, view = colours(), list[str](), panel.view
        # A control is drawn before what stands over it, and said after it.
        for name, array in reversed((given | below).items()):
            shown, grey, sign = view.crop(array, over, name), name not in (label, *below), -1 if name in below else 1
            looks = ("acceptor", "triangle-right", c.negative), ("donor", "triangle-left", c.positive)
            for (kind, symbol, colour), values in zip(looks, shown.T[1:], strict=True):
                at, colour = np.flatnonzero(values >= (MARKED if grey else 0.01)), c.control if grey else colour
                title = f"{name} ({control_label})" if grey else name
                panel.add(go.Scatter(
                    x=view.positions[at], y=sign * values[at], customdata=values[at], mode="markers", name=escaped(f"{title}, {kind}"),
                    hovertemplate=f"{kind} %{{x:,}}: %{{customdata:.3f}}<extra>%{{fullData.name}}</extra>",
                    marker={"color": colour, "symbol": symbol, "opacity": 1, "line": {"width": 0},
                            "size": np.where(values[at] >= MARKED, 9, 3)},
                    # The stem: an error bar as long as the value.
                    error_y={"type": "percent", "symmetric": False, "value": 100 * (sign < 0), "valueminus": 100 * (sign > 0),
                             "color": colour, "thickness": 1.5, "width": 0}))  # fmt: skip
                sites = [f"{int(view.positions[i]):,} ({values[i]:.2f})" for i in np.flatnonzero(values >= 0.5)]
                none = f"no {kind} of 0.5 or more, the highest is {number(np.fmax.reduce(values, initial=0))}"
                words = f"{kind}{'s' * (len(sites) > 1)} at {listing(sites)}" if sites else none
                said += [f"in the control ({plain(control_label)}) " * grey + words] * (name in given)
        panel.yaxis(range=[-1.1 if below else 0, 1.1], zeroline=True, nticks=4)
        return "; ".join(said[-2:] + said[:-2])

    marks = "▸ acceptor (first base of an exon), ◂ donor (last base)" + "; below 0: the other strand" * bool(below)
    notes = [plain(note, most=90), marks, f"grey: {plain(control_label)}" * (len(given) > 1)]
    return Track(plain(label, most=90), height, draw, "probability", note="; ".join(filter(None, notes)))


def elements_track(
    probabilities: np.ndarray, elements: Sequence[str], *, annotated: np.ndarray | None = None, label: str = "Elements",
    over: Interval | None = None, note: str = "", lane: int = 30,
) -> Track:  # fmt: skip
    """A track with a lane for each element, shaded by its probability, above a line where it is annotated.

    Parameters
    ----------
    probabilities, elements, over
        [base, element] in reading direction, NaN where nothing is predicted; their names; the interval that they cover.
    annotated
        bool [base, element] of an annotation; None, or a column without a True, draws no line.
    lane
        Pixels of a lane.
    """
    given = {label: checked(probabilities, label, ["base", len(elements)])[label]}
    if annotated is not None:
        given["annotated"] = checked(np.asarray(annotated, float), "annotated", given[label].shape)["annotated"]

    def draw(panel: Panel) -> str:
        view, c, said = panel.view, colours(), []
        step = -(-len(view.interval) // MOST_POINTS)
        along = -1 if view.reverse else 1
        across = {"x0": float(view.positions[0]) + along * (step - 1) / 2, "dx": along * step, "showscale": False}
        starts = np.arange(0, len(view.interval), step)
        for name, values in given.items():
            highest = np.fmax.reduceat(view.crop(values, over, name), starts).astype(np.float32)  # [bin, element]
            own = name == label
            lanes = {"y0": 0.2 if own else 0.5, "dy": 1.0}  # the name above, the annotated line below
            if own:
                panel.add(go.Heatmap(
                    z=highest.T, zmin=0, zmax=1, colorscale=c.magnitudes, name=escaped(label), ygap=lane * 0.5,
                    customdata=np.repeat(np.array(list(map(escaped, elements)))[:, None], len(starts), axis=1),
                    hovertemplate="%{customdata}: %{z:.3f}" + f", highest of {step:,} bp" * (step > 1) + "<extra></extra>",
                    **across, **lanes))  # fmt: skip
            else:
                # A line is a heatmap of thin cells: of one number, or none.
                lines = np.where(highest > 0, 1.0, np.nan).T
                panel.add(go.Heatmap(z=lines, colorscale=[c.accent, c.accent], name="annotated", ygap=lane * 0.88, hoverinfo="skip", **across, **lanes))  # fmt: skip
        values = view.crop(given[label], over, label)
        for name, column in zip(elements, values.T, strict=True):
            at = int(np.nanargmax(column)) if not np.isnan(column).all() else None
            said.append(
                f"{plain(name)} {'nothing' if at is None else f'up to {column[at]:.2f} at {int(view.positions[at]):,}'}"
            )
        names = [escaped(name.replace("_", " ")) for name in elements]
        panel.yaxis(range=[len(elements) - 0.4, -0.6], tickvals=[i - 0.05 for i in range(len(names))], ticktext=names, ticks="",
                    showticklabels=True, ticklabelposition="inside top", showgrid=False, fixedrange=True)  # fmt: skip
        return "; ".join(said)

    notes = [plain(note, most=90), "shade: probability, 0 to 1", "line: annotated" * ("annotated" in given)]
    return Track(plain(label, most=90), lane * len(elements) + 12, draw, note="; ".join(filter(None, notes)))
