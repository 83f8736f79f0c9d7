"""`locus`: tracks over one interval, stacked on one genome axis, with an enlarged part below when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from matplotlib.figure import Figure as Drawing

from ntviz.genome import Interval
from ntviz.plot import palette
from ntviz.plot.figure import Figure
from ntviz.plot.frame import (
    LEFT,
    LINK,
    RIGHT,
    Block,
    draw_block,
    header,
    link,
    mark_names,
    plain_label,
    region_text,
)
from ntviz.plot.readout import GenomeStops, Lane, Pane, Readout
from ntviz.plot.view import Drawn, View
from ntviz.plot.words import plain, sentence, wrapped

LONGEST = 2_000_000
"""bp of an interval at most: beyond it, arrays of one value a base are the wrong form."""


class Track(Protocol):
    """What `locus` needs of a track. The constructors `genes_track`, `logo_track` and so on make them."""

    @property
    def label(self) -> str:
        """Name of the track."""
        ...

    @property
    def zoomable(self) -> bool:
        """Whether the enlarged part repeats the track."""
        ...

    def drawn(self, view: View) -> Drawn:
        """Rows, lanes and sentence over a view."""
        ...


def locus(
    interval: Interval,
    tracks: Sequence[Track],
    *,
    title: str,
    assembly: str | None = None,
    sequence: str | None = None,
    zoom: Interval | None = None,
    marks: Mapping[str, Interval] | None = None,
    caption: str = "",
    width: float = 10.0,
) -> Figure:
    """A figure of tracks over one interval, on genome coordinates.

    The picture reads from left to right in the direction of the interval's strand: on the - strand coordinates fall,
    so that a sequence stands 5′ to 3′ as the model read it. Without a strand it is drawn as the + strand.

    Parameters
    ----------
    interval
        The bases drawn, from about 20 bp up to 2 Mb. Arrays of the tracks cover it unless they carry an interval of
        their own.
    tracks
        From top to bottom, made by `genes_track`, `regions_track`, `sequence_track`, `logo_track`,
        `contribution_track`, `signal_track`, `attention_track`.
    title
        Says what the figure shows.
    assembly
        Name of the genome assembly, written on the axis: a coordinate without one means little.
    sequence
        The bases of the interval in its reading direction; the cursor then reads the base at each position.
    zoom
        A part of the interval drawn once more below, enlarged, with the tracks of letters.
    marks
        Names and intervals shaded through every track.
    caption
        Text under the figure; the title when empty.
    width
        Of the figure, in inches of 96 CSS pixels.

    Returns
    -------
    Figure
        Its alt sentence names the region and, for each track, where the largest value lies.

    Raises
    ------
    ValueError
        If there is no track, two tracks have one label, an array does not fit the interval, or the zoom lies outside.
    """
    _check(interval, tracks, sequence, zoom, marks, width)
    title = plain(title, most=200)
    inner = width - LEFT - RIGHT
    view = View(interval, interval, inner, bases=sequence)
    drawn = [track.drawn(view) for track in tracks]
    blocks = [Block(view, [row for part in drawn for row in part.rows])]
    if zoom is not None:
        part = Interval(zoom.chrom, zoom.start, zoom.end, interval.strand)
        first, last = view.stops(part.start, part.end)
        near = View(
            part, interval, inner, zoomed=True, bases=None if sequence is None else sequence[first:last]
        )
        blocks.append(
            Block(near, [row for track in tracks if track.zoomable for row in track.drawn(near).rows])
        )

    lines = wrapped(title, inner + LEFT - 0.1, 13.0, weight="bold")
    top = 0.14 + 0.24 * len(lines) + 0.27 + (0.2 if marks else 0.04)
    starts = [top]
    end = blocks[0].stack(top)
    for block in blocks[1:]:
        starts.append(end + LINK)
        end = block.stack(end + LINK)
    height = end + 0.08

    with palette.style():
        drawing = Drawing(figsize=(width, height))
        for block in blocks:
            draw_block(drawing, block, assembly=assembly, marks=marks or {})
        header(drawing, lines, view, assembly=assembly)
        if marks:
            mark_names(blocks[0], marks)
        if len(blocks) > 1:
            link(drawing, blocks[0], blocks[1])
    region = region_text(interval, assembly)
    spoken = [sentence(title), sentence(region)]
    spoken += [sentence(part.sentence) for part in drawn if part.sentence]
    if zoom is not None:
        spoken.append(f"Enlarged below: {plain_label(zoom)}.")
    if marks:
        spoken.append(
            "Marked: " + "; ".join(f"{plain(name)} at {plain_label(at)}" for name, at in marks.items()) + "."
        )
    lanes = [lane for part in drawn for lane in part.lanes]
    if marks:
        lanes.append(_mark_lane(view, marks))
    return Figure(
        drawing,
        title=title,
        alt=" ".join(spoken),
        caption=caption,
        readout=_readout(view, blocks, lanes, height, starts),
    )


def _check(
    interval: Interval,
    tracks: Sequence[Track],
    sequence: str | None,
    zoom: Interval | None,
    marks: Mapping[str, Interval] | None,
    width: float,
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
    if not 4 <= width <= 30:
        raise ValueError(
            f"A locus must be 4 to 30 inches wide; received {width}. Use 10 for a page, 16 for a slide."
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
    if zoom is not None and not any(track.zoomable for track in tracks):
        raise ValueError(
            "A zoom must have a track of letters to enlarge; received none among "
            f"{', '.join(repr(label) for label in labels)}. Add logo_track or sequence_track, or leave zoom out."
        )


def _mark_lane(view: View, marks: Mapping[str, Interval]) -> Lane:
    runs = []
    for name, at in marks.items():
        first, last = view.stops(*view.clip(at.start, at.end))
        runs.append((first, last, plain(name)))
    return Lane("marked", runs=runs)


def _readout(
    view: View, blocks: list[Block], lanes: list[Lane], height: float, starts: list[float]
) -> Readout:
    interval = view.interval
    width = view.width + LEFT + RIGHT
    panes = []
    for block, top in zip(blocks, starts, strict=True):
        first, last = view.stops(block.view.interval.start, block.view.interval.end)
        x0, x1 = LEFT / width, (LEFT + view.width) / width
        panes.append(Pane(x0, x1, top / height, block.bottom / height, first, last))
    ends = (interval.start + 1, interval.end)
    left, right = ends[::-1] if view.reverse else ends
    genome = GenomeStops(plain(interval.chrom), left, right, view.bases)
    return Readout(len(interval), lanes, genome=genome, panes=panes)
