"""The figure of a locus: tracks of all components over the view, and an enlarged part beneath."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ntviz import plot
from ntviz.explore.locus_component import Component, Enlarged, Overview, Said
from ntviz.genome import Interval
from ntviz.plot.locus import Track
from ntviz.plot.words import plain


def draw(explorer: Any, *, enlarged: bool, pending: Sequence[Component]) -> plot.Figure:
    """The figure of a `LocusExplorer`.

    Parameters
    ----------
    explorer
        Its view, components and tables.
    enlarged
        Whether a part is repeated beneath.
    pending
        Components that are named in place of being computed.
    """
    view, reference = explorer.view, explorer.reference
    zoom = explorer.zoom if enlarged else None
    tracks: list[Track] = []
    farther: list[str] = []
    for one in explorer._visible():
        if one in pending:
            tracks.append(Said(_label(one), "being computed …"))
            continue
        over, near = _tracks(explorer, one, view), _tracks(explorer, one, zoom)
        if over is None:
            farther.append(f"{plain(one.name)} (up to {one.longest:,} bp)")
        tracks += [Overview(track) for track in over or ()]
        # Enlarged are letters, and what the whole view is too long for.
        if zoom is not None and near and (over is None or any(track.zoomable for track in near)):
            part = Interval(view.chrom, zoom.start, zoom.end, view.strand)
            tracks += [
                Enlarged(track, part, told=over is None) for track in near if not isinstance(track, Said)
            ]
    if farther:
        where = "Below, or " if any(isinstance(track, Enlarged) for track in tracks) else ""
        tracks.append(Said("Zoom in to see", f"{where}in a shorter view: {', '.join(farther)}"))
    if not tracks:
        tracks.append(Said("Nothing is shown", "Choose a component."))
    if not any(isinstance(track, Enlarged) for track in tracks):
        zoom = None
    place = explorer.place
    seen = place.focus.overlaps(view)
    by = f" by {explorer.model.name}" if explorer.model is not None else ""
    # A region that was typed is another one after the first step; a gene stays what it is.
    name = (
        plain(place.name)
        if seen and place.kind != "region"
        else Interval(view.chrom, view.start, view.end).label()
    )
    title = f"{name}{by}"
    marks = (
        {plain(place.name): place.focus}
        if seen and len(place.focus) <= len(view) / 4 and place.kind != "gene"
        else {}
    )
    return plot.locus(
        view,
        tracks,
        title=title,
        assembly=reference.assembly,
        sequence=reference.fetch(view).sequence,
        zoom=zoom,
        marks=marks,
        caption=_caption(explorer, zoom),
    )


def _tracks(explorer: Any, component: Component, view: Interval | None) -> list[Track] | None:
    """Tracks of a component over a view, words where there is nothing; None where the view is too long, or there is none."""
    if view is None or len(view) > component.longest:
        return None
    view = Interval(view.chrom, view.start, view.end, explorer.view.strand)
    table = explorer.table(component, view)
    if table is None:
        return [Said(_label(component), explorer.problems[component.name])]
    return list(component.tracks(table, view))


def _label(component: Component) -> str:
    name = plain(component.name)
    return name[:1].upper() + name[1:]


def _caption(explorer: Any, zoom: Interval | None) -> str:
    place, view = explorer.place, explorer.view
    asked = place.kind != "region" and (place.interval.start, place.interval.end) == (view.start, view.end)
    said = [f"{plain(place.name)}: {place.how}."] if asked else []
    if explorer.model is not None:
        said.append(
            "What the model says stands above its control, on grey: a finding is what the control lacks. Each base has the "
            "same numbers in every view."
        )
    if zoom is not None:
        said.append(f"Beneath: {Interval(zoom.chrom, zoom.start, zoom.end).label()}, enlarged.")
    return " ".join(said)
