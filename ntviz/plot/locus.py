"""`locus`: tracks over one interval, stacked on one genome axis that zooms from kilobases to letters."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ntviz.genome import Interval
from ntviz.plot.packing import packed
from ntviz.plot.theme import WIDTH, colours, framed
from ntviz.plot.tracks import SPELLED, Panel, Track, View, literal, numbered
from ntviz.plot.words import escaped, plain, sentence, text_width

LONGEST = 2_000_000
"""bp of an interval at most: beyond it, arrays of one value a base are the wrong form."""
STRETCH = 200
"""Bases with letters in a longer interval, around its strongest place, before anybody zooms."""
_GAP, _LINK, _MARK = 26, 70, 16
_FALLING = "− strand, 5′ to 3′ from left to right"


class LocusFigure(go.Figure):
    """A plotly figure of a locus; shown in a live JupyterLab, its letters follow the zoom. A copy is a still figure."""

    _remake: Callable[[tuple[int, int]], go.Figure] | None = None
    _part = _within = (0, 0)

    def _ipython_display_(self) -> None:
        if self._remake is not None and importlib.util.find_spec("anywidget") is not None:
            from ntviz.plot.live import attended, present

            if attended():
                live = self.live()
                return present(live, live)
        return super()._ipython_display_()

    def live(self) -> Any:
        """The figure as a widget whose letters follow the zoom: `plot.Live`."""
        from ntviz.plot.live import Live

        shown = Live(self)

        def zoomed(event: dict[str, Any]) -> None:
            low, high = sorted(event["ranges"]["xaxis"])
            if self.spell(int(np.floor(low - 0.5)), int(np.ceil(high - 0.5))):
                shown.show(self)

        shown.on("ranges", zoomed)
        return shown

    def spell(self, low: int, high: int) -> bool:
        """Draw letters in a 0-based span and half as much to each side; whether anything changed.

        Nothing does where letters are there already, or would be too narrow. What the figure's owner changed stays.
        """
        wide = high - low
        if self._remake is None or wide > SPELLED or (self._part[0] <= low and high <= self._part[1]):
            return False
        self._part = max(self._within[0], low - wide // 2), min(self._within[1], high + wide // 2)
        mine, fresh = ([trace for trace in figure.data if trace.meta == "letters"] for figure in (self, self._remake(self._part)))
        with self.batch_update():
            # Those of an enlarged part come last, and stay.
            for one, new in zip(mine, fresh, strict=False):
                one.update(x=new.x, y=new.y)
        return True


def locus(
    interval: Interval, tracks: Sequence[Track], *, title: str, assembly: str | None = None, sequence: str | None = None,
    zoom: Interval | None = None, marks: Mapping[str, Interval] | None = None,
) -> LocusFigure:  # fmt: skip
    """A figure of tracks over one interval, on genome coordinates.

    The picture reads from left to right in the direction of the interval's strand: on the - strand coordinates fall,
    so that a sequence stands 5′ to 3′ as the model read it. Without a strand it is drawn as the + strand.

    Parameters
    ----------
    interval
        The bases drawn, up to 2 Mb. Arrays of the tracks cover it unless they carry an interval of their own.
    tracks
        From top to bottom, made by `genes_track`, `regions_track`, `sequence_track`, `logo_track`,
        `contribution_track`, `signal_track`, `attention_track`.
    title
        Says what the figure shows.
    assembly
        Name of the genome assembly, written on the axis: a coordinate without one means little.
    sequence
        The bases of the interval in its reading direction, for tracks that name them in their hover.
    zoom
        A part of the interval whose letters are drawn, and once more below, enlarged, unless they have room above. Without it,
        letters stand everywhere in an interval of up to 400 bp, and around the strongest place of the first track of letters in
        a longer one. In a live JupyterLab they follow the zoom.
    marks
        Names and intervals shaded through every track.

    Returns
    -------
    LocusFigure
        A plotly figure, whose alt sentence names the region and, for each track, where the largest value lies.

    Raises
    ------
    ValueError
        If there is no track, two tracks have one label, an array does not fit the interval, or the zoom lies outside.
    """
    _check(interval, tracks, sequence, zoom, marks)
    title, region, marks = plain(title, most=200), _region(interval, assembly), marks or {}
    spelled = any(track.letters for track in tracks)
    part = (interval.start, interval.end)
    if zoom is not None:
        part = (zoom.start, zoom.end)
    elif len(interval) > SPELLED:
        part = _strongest(interval, tracks, sequence)
    # A letter of eight pixels is read without being enlarged.
    enlarged = zoom if zoom is not None and len(interval) > max(WIDTH / 8, len(zoom)) else None

    make = partial(_drawn, interval, tracks, sequence=sequence, marks=marks, assembly=assembly)
    drawn, said, height = make(part, enlarged)
    if marks:
        said.append(f"Marked: {'; '.join(f'{plain(name)} at {_short(at)}' for name, at in marks.items())}.")
    if spelled and zoom is None and len(interval) > SPELLED and part[0] < part[1]:
        said.append(f"Letters: zoom in at {_short(Interval(interval.chrom, *part))}.")
    fig = LocusFigure(drawn)
    fig._part, fig._within = part, (interval.start, interval.end)
    fig._remake = (lambda part: make(part)[0]) if spelled else None
    framed(
        fig, title=title, subtitle=region, alt=" ".join([sentence(title), sentence(region), *said]), height=height,
        name=_short(interval).replace(",", ""), hovermode="x unified", hoversubplots="axis", dragmode="pan", bargap=0,
    )  # fmt: skip
    return fig


def _drawn(
    interval: Interval, tracks: Sequence[Track], part: tuple[int, int], enlarged: Interval | None = None, *,
    sequence: str | None, marks: Mapping[str, Interval], assembly: str | None,
) -> tuple[go.Figure, list[str], int]:  # fmt: skip
    """The figure without its frame, what its tracks say, and its height in pixels."""
    fig, c = go.Figure(), colours()
    blocks = [(View(interval, interval, part, sequence), list(tracks))]
    if enlarged is not None:
        near = Interval(enlarged.chrom, enlarged.start, enlarged.end, interval.strand)
        bases = None if sequence is None else sequence[slice(*blocks[0][0].stops(near.start, near.end))]
        blocks.append((View(near, interval, (near.start, near.end), bases), [track for track in tracks if track.letters]))
    names = _marked(marks, blocks[0][0])
    at = _MARK * (1 + max((lane for *_, lane in names), default=-1))
    rows: list[tuple[int, Track, int, int]] = []
    ends = []
    for block, (view, shown) in enumerate(blocks, 1):
        at += _LINK * (block > 1)
        top = at
        for track in shown:
            start, at = at + _GAP, at + _GAP + (track.height if isinstance(track.height, int) else track.height(view))
            rows.append((block, track, start, at))
        ends.append((top, at, len(rows)))
    total = at

    def up(pixels: float) -> float:
        return max(1 - pixels / total, 0.0)

    def write(text: str, pixels: float, **options: Any) -> None:
        fig.add_annotation({"text": text, "x": 0, "xref": "paper", "xanchor": "left", "y": up(pixels), "yref": "paper", "yanchor": "bottom",
                            "showarrow": False, "font": {"size": 12, "color": c.ink}, **options})  # fmt: skip

    said: list[str] = []
    for row, (block, track, top, bottom) in enumerate(rows, 1):
        fig.layout[f"yaxis{numbered(row)}"] = {
            "domain": [up(bottom), up(top)], "anchor": f"x{numbered(block)}", "fixedrange": True,
            "title": {"text": escaped(track.unit)}, "showgrid": False, "showticklabels": bool(track.unit),
        }  # fmt: skip
        words = track.draw(Panel(fig, row, blocks[block - 1][0], block))
        if block == 1 and words:
            said.append(sentence(f"{track.label}: {words}"))
        note = f"<span style='font-size:11px;color:{c.muted}'>  {escaped(track.note, most=160)}</span>" if track.note else ""
        write(f"<b>{escaped(track.label)}</b>{note}", top, yshift=2)
    for block, ((view, _), (top, bottom, row)) in enumerate(zip(blocks, ends, strict=True), 1):
        last = block == len(blocks)
        axis = f"x{numbered(block)}"
        fig.layout[f"xaxis{axis[1:]}"] = _axis(view, row, (_place(view, assembly) if last else ""))
        # Each band runs through the rows of its block, from its name on.
        bands = [(c.mark, at, _MARK * (1 + lane) if block == 1 else top + _GAP - 4) for at, (*_, lane) in zip(marks.values(), names, strict=True)]
        if not last and enlarged is not None:
            bands.append((c.faint, enlarged, top + _GAP - 4))
        for colour, span, start in bands:
            low, high = view.clip(span.start, span.end)
            if low < high:
                fig.add_shape(type="rect", layer="below", x0=low + 0.5, x1=high + 0.5, xref=axis, y0=up(bottom), y1=up(start), yref="paper",
                              fillcolor=colour, opacity=0.35, line={"width": 0.5, "color": c.muted})  # fmt: skip
    # The line beneath them answers for boxes: plotly reads all rows at the middle of a box.
    fig.update_traces({"hoverinfo": "skip", "hovertemplate": None}, selector={"meta": "boxes"})
    if enlarged is not None:
        said.append(f"Enlarged below: {_short(enlarged)}.")
        write(f"<b>Enlarged: {escaped(_short(enlarged))}</b>", ends[1][0], font={"size": 12, "color": c.muted})
    for name, middle, lane in names:
        write(escaped(name), _MARK * lane, x=middle, xref="x", xanchor="center", yanchor="top", font={"size": 11, "color": c.ink})
    return fig, said, total


def _axis(view: View, row: int, title: str) -> dict[str, Any]:
    """The horizontal axis of a block, under its last row."""
    low, high = view.interval.start + 0.5, view.interval.end + 0.5
    return {
        "anchor": f"y{numbered(row)}", "range": [high, low] if view.reverse else [low, high], "minallowed": low, "maxallowed": high,
        "tickformat": ",d", "hoverformat": ",d", "unifiedhovertitle": {"text": f"{literal(view.interval.chrom)}:%{{x:,d}}"},
        "showspikes": True, "spikemode": "across", "spikethickness": 1, "spikecolor": colours().control, "spikedash": "solid",
        "spikesnap": "cursor", "nticks": 8, "dtick": 1 if len(view.interval) < 8 else None, "title": {"text": title},
    }  # fmt: skip


def _place(view: View, assembly: str | None) -> str:
    strand = {"-": f", {_FALLING}", "+": ", + strand"}.get(view.interval.strand, "")
    return f"position, 1-based, on {escaped(view.interval.chrom)}{f' ({escaped(assembly)})' if assembly else ''}{strand}"


def _marked(marks: Mapping[str, Interval], view: View) -> list[tuple[str, float, int]]:
    """Name, middle on the axis and line of each mark above the tracks, so that no two names meet."""
    middle = view.across([(at.start, at.end) for at in marks.values()]).mean(axis=1)
    names = [plain(name) for name in marks]
    half = np.array([text_width(name, 11) / 2 + 4 for name in names])
    lanes = packed(middle - half, middle + half, gap=0)
    return [(name, float(at), int(lane)) for name, at, lane in zip(names, view.at(middle), lanes, strict=True)]


def _strongest(interval: Interval, tracks: Sequence[Track], sequence: str | None) -> tuple[int, int]:
    """`STRETCH` bases around the largest value of the first track of letters that has values; nowhere without one."""
    view = View(interval, interval, (interval.start, interval.start), sequence)
    for track in tracks:
        probe = go.Figure()
        if track.letters:
            track.draw(Panel(probe, 1, view))
        for trace in probe.data:
            if trace.type == "scatter" and trace.name and np.isfinite(values := np.asarray(trace.y, dtype=float)).any():
                middle = round(float(view.at(WIDTH * (np.nanargmax(np.abs(values)) + 0.5) / len(values))))
                low = min(max(middle - STRETCH // 2, interval.start), interval.end - STRETCH)
                return low, low + STRETCH
    return interval.start, interval.start


def _short(interval: Interval) -> str:
    if len(interval) == 1:
        return f"{plain(interval.chrom)}:{interval.end:,}"
    return plain(Interval(interval.chrom, interval.start, interval.end).label())


def _region(interval: Interval, assembly: str | None) -> str:
    strand = _FALLING if interval.strand == "-" else ""
    return " · ".join(filter(None, [_short(interval), f"{len(interval):,} bp", plain(assembly or ""), strand]))


def _check(
    interval: Interval, tracks: Sequence[Track], sequence: str | None, zoom: Interval | None, marks: Mapping[str, Interval] | None
) -> None:  # fmt: skip
    if not tracks:
        raise ValueError("A locus must have at least one track; received none. Pass for example genes_track(annotation).")
    whole, labels = interval.label(), [track.label for track in tracks]
    if len(interval) > LONGEST:
        raise ValueError(
            f"A locus must be at most {LONGEST:,} bp; received {len(interval):,} bp ({whole}). Choose a smaller region, or summarise the values first."
        )
    for label in labels:
        if (times := labels.count(label)) > 1:
            raise ValueError(f"Each track must have a label of its own; received {label!r} {times} times. Pass label= to tell them apart.")
    if sequence is not None and len(sequence) != len(interval):
        raise ValueError(
            f"The sequence must have one letter for each of the {len(interval):,} bases of {whole}; received {len(sequence):,}. "
            f"Pass the sequence of the same interval."
        )
    for name, part in [*(marks or {}).items(), *([] if zoom is None else [("zoom", zoom)])]:
        if not (interval.contains(part) if part is zoom else interval.overlaps(part)):
            raise ValueError(f"{plain(name)!r} must lie in {whole}; received {part.label()}. Choose a part of the region.")
    if zoom is not None and not any(track.letters for track in tracks):
        raise ValueError(
            f"A zoom must have a track of letters to enlarge; received none among {', '.join(map(repr, labels))}. "
            f"Add logo_track or sequence_track, or leave zoom out."
        )
