"""`locus`: tracks over one interval, stacked on one genome axis that zooms from kilobases to letters."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ntviz.genome import Interval
from ntviz.plot.packing import packed
from ntviz.plot.theme import colours, framed
from ntviz.plot.tracks import Panel, Track, View
from ntviz.plot.words import escaped, plain, sentence, text_width

LONGEST = 2_000_000
"""bp of an interval at most: beyond it, arrays of one value a base are the wrong form."""
SPELLED = 400
"""Bases that have letters at most: in more, a letter is narrower than two pixels."""
STRETCH = 200
"""Bases with letters in a longer interval, around its strongest place, before anybody zooms."""
_GAP, _LINK, _MARK = 26, 70, 16


class LocusFigure(go.Figure):
    """A plotly figure of a locus; shown in a live JupyterLab, its letters follow the zoom."""

    def _ipython_display_(self) -> None:
        remake = getattr(self, "_remake", None)
        if remake is None or importlib.util.find_spec("anywidget") is None:
            return super()._ipython_display_()
        from ntviz.plot.live import attended, present

        return present(*[self.live()] * 2) if attended() else super()._ipython_display_()

    def live(self) -> Any:
        """The figure as a widget whose letters follow the zoom: `plot.Live`."""
        from ntviz.plot.live import Live

        shown = Live(self)

        def zoomed(event: dict[str, Any]) -> None:
            low, high = sorted(event["ranges"]["xaxis"])
            if self.spell(int(np.floor(low)), int(np.ceil(high))):
                shown.show(self)

        shown.on("ranges", zoomed)
        return shown

    def spell(self, low: int, high: int) -> bool:
        """Draw letters between two positions and half as much to each side; whether anything changed.

        Nothing does where letters are there already, or would be too narrow. What the figure's owner changed stays.
        """
        first, last = self._part
        if high - low > SPELLED or (first <= low and high <= last):
            return False
        wide = high - low
        self._part = max(self._within[0], low - wide // 2), min(self._within[1], high + wide // 2)
        fresh = self._remake(self._part)
        with self.batch_update():
            for mine, new in zip(self.data, fresh.data, strict=False):
                if mine.meta == "letters":
                    mine.update(x=new.x, y=new.y)
        return True


def locus(
    interval: Interval,
    tracks: Sequence[Track],
    *,
    title: str,
    assembly: str | None = None,
    sequence: str | None = None,
    zoom: Interval | None = None,
    marks: Mapping[str, Interval] | None = None,
) -> LocusFigure:
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
        A part of the interval whose letters are drawn, and once more below, enlarged. Without it, letters stand everywhere in
        an interval of up to 400 bp, and around the strongest place of the first track of letters in a longer one. In a live
        JupyterLab they follow the zoom.
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
    title = plain(title, most=200)

    def make(part: tuple[int, int], enlarged: Interval | None) -> tuple[go.Figure, str, int]:
        return _drawn(interval, tracks, part, enlarged, sequence, marks or {}, assembly)

    part = (interval.start, interval.end)
    if zoom is not None:
        part = (zoom.start, zoom.end)
    elif len(interval) > SPELLED:
        part = _strongest(interval, tracks, sequence)
    drawn, said, height = make(part, zoom if len(interval) > SPELLED else None)
    fig = LocusFigure(drawn)
    region = _region(interval, assembly)
    named = [f"Marked: {'; '.join(f'{plain(name)} at {_short(at)}' for name, at in marks.items())}."] if marks else []
    fig._part, fig._within = part, (interval.start, interval.end)
    fig._remake = lambda part: make(part, None)[0] if any(track.letters for track in tracks) else None
    framed(
        fig, title=title, subtitle=region, alt=" ".join([sentence(title), sentence(region), said, *named]), height=height,
        name=_short(interval).replace(",", ""), hovermode="x unified", hoversubplots="axis", dragmode="pan", bargap=0,
    )  # fmt: skip
    return fig


def _drawn(
    interval: Interval,
    tracks: Sequence[Track],
    part: tuple[int, int],
    enlarged: Interval | None,
    sequence: str | None,
    marks: Mapping[str, Interval],
    assembly: str | None,
) -> tuple[go.Figure, str, int]:
    """The figure without its frame, what its tracks say, and its height in pixels."""
    fig, c = go.Figure(), colours()
    views = [(View(interval, interval, part, sequence), list(tracks))]
    if enlarged is not None:
        near = Interval(enlarged.chrom, enlarged.start, enlarged.end, interval.strand)
        first, last = views[0][0].stops(near.start, near.end)
        bases = None if sequence is None else sequence[first:last]
        views.append((View(near, interval, (near.start, near.end), bases), [track for track in tracks if track.letters]))
    names = _marked(marks, views[0][0])
    rows: list[tuple[int, View, Track, int, int]] = []
    at = _MARK * (1 + max((lane for *_, lane in names), default=-1))
    tops = []
    for block, (view, shown) in enumerate(views, 1):
        at += _LINK * (block > 1)
        tops.append(at + _GAP)
        for track in shown:
            height = track.height(view) if callable(track.height) else track.height
            rows.append((block, view, track, at + _GAP, at + _GAP + height))
            at += _GAP + height
    total = at

    def up(pixels: float) -> float:
        return 1 - pixels / total

    said = []
    for row, (block, view, track, top, bottom) in enumerate(rows, 1):
        fig.layout[f"yaxis{'' if row == 1 else row}"] = {
            "domain": [max(up(bottom), 0.0), up(top)], "anchor": f"x{'' if block == 1 else block}", "fixedrange": True,
            "title": {"text": escaped(track.unit)}, "showgrid": False, "showticklabels": bool(track.unit),
        }  # fmt: skip
        words = track.draw(Panel(fig, row, view, block))
        if block == 1 and words:
            said.append(sentence(f"{track.label}: {words}"))
        note = f"<span style='font-size:11px;color:{c.muted}'>  {escaped(track.note, most=160)}</span>" if track.note else ""
        fig.add_annotation(x=0, xref="paper", xanchor="left", y=up(top), yref="paper", yanchor="bottom", yshift=2, showarrow=False,
                           text=f"<b>{escaped(track.label)}</b>{note}", font={"size": 12})  # fmt: skip
    for block, (view, _) in enumerate(views, 1):
        of_block = [row for row, one in enumerate(rows, 1) if one[0] == block]
        fig.layout[f"xaxis{'' if block == 1 else block}"] = _axis(view, of_block[-1], "" if block < len(views) else assembly)
    if enlarged is not None:
        said.append(f"Enlarged below: {_short(enlarged)}.")
        words = f"<b>Enlarged: {escaped(_short(enlarged))}</b>"
        fig.add_annotation(x=0, xref="paper", xanchor="left", y=up(tops[1] - _GAP), yref="paper", yanchor="bottom", text=words, showarrow=False, font={"size": 12, "color": c.muted})  # fmt: skip
    ends = [next(bottom for one, _, _, _, bottom in reversed(rows) if one == block) for block in range(1, len(views) + 1)]
    bands = [("", enlarged, 1)] if enlarged is not None else []
    bands += [(name, where, block) for name, where in marks.items() for block in range(1, len(views) + 1) if views[block - 1][0].interval.overlaps(where)]
    for name, where, block in bands:
        low, high = views[block - 1][0].clip(where.start, where.end)
        fig.add_shape(type="rect", layer="below", x0=low + 0.5, x1=high + 0.5, xref=f"x{'' if block == 1 else block}", y0=max(up(ends[block - 1]), 0.0),
                      y1=up(tops[block - 1] - 4), yref="paper", fillcolor=c.mark if name else c.faint, opacity=0.35, line={"width": 0.5, "color": c.muted})  # fmt: skip
    for name, middle, lane in names:
        fig.add_annotation(x=middle, xref="x", y=up(_MARK * lane), yref="paper", yanchor="top", text=escaped(name), showarrow=False, font={"size": 11})
    return fig, " ".join(said), total


def _axis(view: View, row: int, assembly: str | None) -> dict[str, Any]:
    """The horizontal axis of a block, under its last row; `assembly` "" for a block with another one below."""
    low, high = view.interval.start + 0.5, view.interval.end + 0.5
    strand = {"-": ", − strand, 5′ to 3′ from left to right", "+": ", + strand"}.get(view.interval.strand, "")
    place = escaped(view.interval.chrom) + (f" ({escaped(assembly)})" if assembly else "") + strand
    return {
        "anchor": f"y{'' if row == 1 else row}", "range": [high, low] if view.reverse else [low, high], "minallowed": low, "maxallowed": high,
        "tickformat": ",d", "hoverformat": ",d", "unifiedhovertitle": {"text": f"{escaped(view.interval.chrom)}:%{{x:,d}}"},
        "showspikes": True, "spikemode": "across", "spikethickness": 1, "spikecolor": colours().control, "spikedash": "solid",
        "spikesnap": "cursor", "nticks": 8, "title": {"text": "" if assembly == "" else f"position, 1-based, on {place}"},
    }  # fmt: skip


def _marked(marks: Mapping[str, Interval], view: View) -> list[tuple[str, float, int]]:
    """Name, middle and line of each mark above the tracks, so that no two names meet."""
    spans = [view.clip(at.start, at.end) for at in marks.values()]
    middle = np.array([(low + high) / 2 + 0.5 for low, high in spans])
    half = np.array([text_width(name, 11) / 2 + 4 for name in marks]) / view.base_width
    lanes = packed(middle - half, middle + half, gap=0)
    return [(plain(name), float(at), int(lane)) for name, at, lane in zip(marks, middle, lanes, strict=True)]


def _strongest(interval: Interval, tracks: Sequence[Track], sequence: str | None) -> tuple[int, int]:
    """`STRETCH` bases around the largest value of the first track of letters that has values; nowhere without one."""
    for track in tracks:
        if not track.letters:
            continue
        probe = go.Figure()
        track.draw(Panel(probe, 1, View(interval, interval, (interval.start, interval.start), sequence)))
        lines = [trace for trace in probe.data if trace.type == "scatter" and trace.name]
        if lines:
            values = np.abs(np.asarray(lines[0].y, dtype=float))
            if np.isfinite(values).any():
                share = (int(np.nanargmax(values)) + 0.5) / len(values)
                middle = round(interval.end - share * len(interval) if interval.strand == "-" else interval.start + share * len(interval))
                low = min(max(middle - STRETCH // 2, interval.start), interval.end - STRETCH)
                return low, low + STRETCH
        elif len(tracks) == 1:
            return interval.midpoint - STRETCH // 2, interval.midpoint + STRETCH // 2
    return interval.start, interval.start


def _short(interval: Interval) -> str:
    return plain(Interval(interval.chrom, interval.start, interval.end).label())


def _region(interval: Interval, assembly: str | None) -> str:
    parts = [_short(interval), f"{len(interval):,} bp", *([plain(assembly)] if assembly else [])]
    if interval.strand == "-":
        parts.append("− strand, 5′ to 3′ from left to right")
    return " · ".join(parts)


def _check(
    interval: Interval,
    tracks: Sequence[Track],
    sequence: str | None,
    zoom: Interval | None,
    marks: Mapping[str, Interval] | None,
) -> None:
    if not tracks:
        raise ValueError(
            "A locus must have at least one track; received none. Pass for example genes_track(annotation)."
        )
    if len(interval) > LONGEST:
        raise ValueError(
            f"A locus must be at most {LONGEST:,} bp; received {len(interval):,} bp ({interval.label()}). "
            f"Choose a smaller region, or summarise the values first."
        )
    labels = [track.label for track in tracks]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ValueError(
            f"Each track must have a label of its own; received {twice[0]!r} {labels.count(twice[0])} times. "
            f"Pass label= to tell them apart."
        )
    if sequence is not None and len(sequence) != len(interval):
        raise ValueError(
            f"The sequence must have one letter for each of the {len(interval):,} bases of {interval.label()}; "
            f"received {len(sequence):,}. Pass the sequence of the same interval."
        )
    for name, part in [("zoom", zoom), *((marks or {}).items())]:
        if part is not None and not (interval.contains(part) if name == "zoom" else interval.overlaps(part)):
            raise ValueError(
                f"{plain(name)!r} must lie in {interval.label()}; received {part.label()}. Choose a part of the region."
            )
    if zoom is not None and not any(track.letters for track in tracks):
        raise ValueError(
            "A zoom must have a track of letters to enlarge; received none among "
            f"{', '.join(repr(label) for label in labels)}. Add logo_track or sequence_track, or leave zoom out."
        )
