"""`locus`: tracks over one interval, stacked on one genome axis that zooms from kilobases to letters."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ntviz.genome import Interval
from ntviz.plot.theme import WIDTH, colours, framed
from ntviz.plot.tracks import SPELLED, Panel, Track, View, literal, packed
from ntviz.plot.words import escaped, plain, sentence, text_width

LONGEST = 2_000_000  # bp of an interval: beyond it, arrays of one value a base are the wrong form
STRETCH = 200  # bases with letters of a longer interval, before anybody zooms
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
        """Draw letters in a 0-based span and half as much to each side, if they have room there; whether anything changed."""
        wide = high - low
        if self._remake is None or wide > SPELLED or (self._part[0] <= low and high <= self._part[1]):
            return False
        self._part = max(self._within[0], low - wide // 2), min(self._within[1], high + wide // 2)
        fresh = self._remake(self._part).select_traces({"meta": "letters"})
        with self.batch_update():
            # Those of an enlarged part come last, and stay.
            for old, new in zip(self.select_traces({"meta": "letters"}), fresh, strict=False):
                old.update(x=new.x, y=new.y)
        return True


def locus(
    interval: Interval, tracks: Sequence[Track], *, title: str, assembly: str | None = None, zoom: Interval | None = None,
    marks: Mapping[str, Interval] | None = None,
) -> LocusFigure:  # fmt: skip
    """A figure of tracks over one interval, on genome coordinates; on the - strand these fall, so that a sequence reads 5′ to 3′.

    Parameters
    ----------
    interval
        The bases drawn, up to 2 Mb. Arrays of the tracks cover it unless they carry an interval of their own.
    tracks, marks
        From top to bottom, of `genes_track`, `regions_track`, `logo_track`, ...; names and intervals shaded through them all.
    title, assembly
        What the figure shows; name of the genome assembly, written on the axis: a coordinate without one means little.
    zoom
        A part whose letters are drawn, and once more below, enlarged, unless they have room above. Without it, letters stand in up
        to 400 bp, else around the largest contribution, or information in a logo, or the middle; in JupyterLab they follow the zoom.
    """
    marks, spelled = marks or {}, any(track.letters for track in tracks)
    n, place, labels = len(interval), interval.label(), [track.label for track in tracks]
    if not tracks:
        raise ValueError("A locus must have at least one track; received none. Pass for example genes_track(annotation).")  # fmt: skip
    if n > LONGEST:
        raise ValueError(f"A locus must be at most {LONGEST:,} bp; received {n:,} bp ({place}). Choose a smaller region.")  # fmt: skip
    if len(set(labels)) < len(labels):
        label, times = Counter(labels).most_common(1)[0]
        raise ValueError(f"Each track must have a label of its own; received {label!r} {times} times. Pass label=.")
    for name, part in [*marks.items(), ("zoom", zoom or interval)]:
        if not (interval.contains(part) if part is zoom else interval.overlaps(part)):
            raise ValueError(f"{plain(name)!r} must lie in {place}; received {part.label()}. Choose a part of the region.")  # fmt: skip
    if zoom is not None and not spelled:
        raise ValueError(f"A zoom must have a track of letters to enlarge; received none among {', '.join(map(repr, labels))}")  # fmt: skip
    title, place, part = plain(title, most=200), _short(interval), (interval.start, interval.end)
    if zoom is not None:
        part = zoom.start, zoom.end
    elif n > SPELLED:
        # What a logo shows comes after contributions.
        view, ranked = View(interval, interval, part), sorted(tracks, key=lambda track: track.unit == "bits")
        peaks = (track.strongest(view) - 1 for track in ranked if track.letters and track.strongest)
        start = int(next(filter(np.isfinite, peaks), interval.midpoint)) - STRETCH // 2
        start = min(max(start, interval.start), interval.end - STRETCH)
        part = start, start + STRETCH
    # A letter of eight pixels is read without being enlarged.
    enlarged = zoom if zoom is not None and n > max(WIDTH / 8, len(zoom)) else None
    make = partial(_drawn, interval, tracks, marks, assembly)
    fig, said, height = make(part, enlarged)
    fig._part, fig._within = part, (interval.start, interval.end)
    fig._remake = (lambda part: make(part, None)[0]) if spelled else None
    if marks:
        said.append(f"Marked: {'; '.join(f'{plain(name)} at {_short(at)}' for name, at in marks.items())}.")
    if spelled and zoom is None and n > SPELLED:
        said.append(f"Letters: zoom in at {_short(Interval(interval.chrom, *part))}.")
    region = extent(interval, assembly)
    framed(fig, title=title, subtitle=region, alt=" ".join([sentence(title), sentence(region), *said]), height=height, bargap=0,
           name=place.replace(",", ""), hovermode="x unified", hoversubplots="axis", dragmode="pan")  # fmt: skip
    return fig


def _drawn(
    interval: Interval, tracks: Sequence[Track], marks: Mapping[str, Interval], assembly: str | None, part: tuple[int, int],
    enlarged: Interval | None,
) -> tuple[LocusFigure, list[str], int]:  # fmt: skip
    """The figure without its frame, what its tracks say, and its height in pixels."""
    fig, c, said, view = LocusFigure(), colours(), list[str](), View(interval, interval, part)
    blocks = [(view, list(tracks))]
    if enlarged is not None:
        near = Interval(enlarged.chrom, enlarged.start, enlarged.end, interval.strand)
        blocks.append((View(near, interval, (near.start, near.end)), [track for track in tracks if track.letters]))
    pixels = [[track.height if isinstance(track.height, int) else track.height(at) for track in shown] for at, shown in blocks]  # fmt: skip
    # Names of marks stand above the tracks, on so many lines that no two meet.
    middle = view.across([(at.start, at.end) for at in marks.values()]).mean(axis=1)
    half = np.array([text_width(plain(name), 11) / 2 + 4 for name in marks])
    lanes = packed(middle - half, middle + half, gap=0).tolist()
    at, row = _MARK * (1 + max(lanes, default=-1)), 0
    total = at + _LINK * (len(blocks) - 1) + sum(_GAP + height for heights in pixels for height in heights)

    def up(pixels: float) -> float:
        return max(1 - pixels / total, 0.0)

    def write(text: str, pixels: float, size: float = 12, colour: str = c.ink, **options: Any) -> None:
        fig.add_annotation({"text": text, "x": 0, "xref": "paper", "xanchor": "left", "y": up(pixels), "yref": "paper", "yanchor": "bottom",
                            "yshift": 2, "showarrow": False, "font": {"size": size, "color": colour}, **options})  # fmt: skip

    for name, x, lane in zip(marks, view.at(middle), lanes, strict=True):
        write(escaped(name, most=60), _MARK * lane, 11, x=x, xref="x", xanchor="center", yanchor="top", yshift=0)
    for block, ((view, shown), heights) in enumerate(zip(blocks, pixels, strict=True), 1):
        axis, last, top = f"x{block}", block == len(blocks), at + _GAP - 4
        if block > 1:
            write(f"<b>Enlarged: {escaped(_short(view.interval))}</b>", at, colour=c.muted, yshift=0)
            said.append(f"Enlarged below: {_short(view.interval)}.")
        for track, height in zip(shown, heights, strict=True):
            row, at = row + 1, at + _GAP + height
            fig.layout[f"yaxis{row}"] = {"domain": [up(at), up(at - height)], "anchor": axis, "fixedrange": True,
                                         "title": {"text": escaped(track.unit)}, "showticklabels": bool(track.unit)}  # fmt: skip
            words = track.draw(Panel(fig, row, view, block))
            if block == 1 and words:
                said.append(sentence(f"{track.label}: {words}"))
            note = f"  <span style='font-size:11px;color:{c.muted}'>{escaped(track.note)}</span>" * bool(track.note)
            write(f"<b>{escaped(track.label)}</b>{note}", at - height)
        low, high = view.interval.start + 0.5, view.interval.end + 0.5
        strand = {"-": f", {_FALLING}", "+": ", + strand"}.get(interval.strand, "")
        place = f"position, 1-based, on {escaped(view.interval.chrom)}{f' ({escaped(assembly)})' if assembly else ''}{strand}"
        fig.layout[f"xaxis{block}"] = {
            "anchor": f"y{row}", "range": [high, low] if view.reverse else [low, high], "minallowed": low, "maxallowed": high,
            "tickformat": ",d", "hoverformat": ",d", "unifiedhovertitle": {"text": f"{literal(view.interval.chrom)}:%{{x:,d}}"},
            "showspikes": True, "spikemode": "across", "spikethickness": 1, "spikecolor": c.control, "spikedash": "solid",
            "spikesnap": "cursor", "nticks": 8, "dtick": 1 if len(view.interval) < 8 else None, "title": {"text": place if last else ""},
        }  # fmt: skip
        tops = [top if block > 1 else _MARK * (1 + lane) for lane in lanes]
        bands = list(zip(marks.values(), [c.mark] * len(marks), tops, strict=True))
        if enlarged is not None and not last:
            bands.append((enlarged, c.faint, top))
        for mark, colour, start in bands:
            low, high = view.clip(mark.start, mark.end)
            if low < high:
                fig.add_shape(type="rect", layer="below", x0=low + 0.5, x1=high + 0.5, xref=axis, y0=up(at), y1=up(start), yref="paper",
                              fillcolor=colour, opacity=0.35, line={"width": 0.5, "color": c.muted})  # fmt: skip
        at += _LINK
    # The line beneath them answers for boxes: plotly reads all rows at the middle of a box.
    fig.update_traces({"hoverinfo": "skip", "hovertemplate": None}, selector={"meta": "boxes"})
    return fig, said, total


def extent(at: Interval, assembly: str | None) -> str:
    """Place, length, assembly and strand of a figure, for its subtitle."""
    falling = _FALLING * (at.strand == "-")
    return " · ".join(filter(None, [_short(at), f"{len(at):,} bp", plain(assembly or ""), falling]))


def _short(at: Interval) -> str:
    return plain(f"{at.chrom}:{at.start + 1:,}" + f"-{at.end:,}" * (len(at) > 1))
