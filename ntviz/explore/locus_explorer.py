"""`explore.locus`: genes, what a model says, and the user's tracks on one genome axis; live in JupyterLab, static elsewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets
import pandas as pd

from ntviz import plot
from ntviz.annotation import Annotation, Beds
from ntviz.environment import progress
from ntviz.explore.locus_component import (
    Bases,
    Component,
    Elements,
    Features,
    Matches,
    Signals,
    file_components,
    named_one,
    words_track,
)
from ntviz.explore.locus_modelled import Attributed, Expected, Hiding, Probability, Received, Saturated, Splicing
from ntviz.explore.places import first_gene, locate
from ntviz.explore.toolbar import ERRORS, Explorer, as_file, checked_head
from ntviz.genome import Interval, Variant, browser_contig
from ntviz.models.protocol import SplicePredictor
from ntviz.motifs import Motif
from ntviz.motifs import read as read_motifs
from ntviz.plot.locus import SPELLED, LocusFigure
from ntviz.plot.tracks import Panel, Track
from ntviz.plot.words import listing, plain
from ntviz.reference import Reference

SHORTEST, LONGEST, ENLARGED = 20, 200_000, 120
"""bp of a view, and of the enlarged part of a static figure."""
NAMES = ("genes", "elements", "bases", "splice sites", "expected bases", "probability", "attention", "saturation", "attribution", "motifs")  # fmt: skip


def locus(
    model: Any, reference: Reference, annotation: Annotation, *, at: Any = None, width: int = 3_000,
    components: Sequence[str | Component] | None = None, beds: Beds = (), bedgraphs: Signals = (),
    motifs: str | Path | Iterable[Motif] | None = None, target: Any = None, attribution: str = "integrated_gradients",
    head: tuple[int, int] | None = None, window: int | None = None, splicing: Any = None,
) -> LocusExplorer:  # fmt: skip
    """One figure of a locus with all tracks on one genome axis, each number of the model with its control.

    What takes long is computed where it is shown, and once: a base has the same numbers in every view.

    Parameters
    ----------
    model, reference, annotation
        A `models.DNAModel`, None for genes and files alone; bases; genes and other elements.
    at, width
        A gene, a region (text is 1-based, both ends included, "(-)" behind it reads the - strand; or an Interval) or a variant, the
        annotation's first gene when None; bp shown around a variant, a short region, or the start of a gene that is longer.
    components
        Names (genes, elements, bases, splice sites, expected bases, probability, attention, saturation, attribution, motifs, your files), and
        components of your own (see `Component`), from top to bottom; all that can be had when None.
    beds, bedgraphs
        Your own elements, as `annotation.named` takes them, and numbers a base: a path, several, or paths (Annotations, Signals) by name.
    motifs
        Motifs to look for, or the path of a file in MEME format, such as `data.bundle("motifs")`.
    target, attribution
        A base or a variant of the genome, or an `attribution.Direction`, that is attributed to bases, nothing when None; and how:
        "integrated_gradients" or "gradient_times_input".
    head, window
        (layer, head) whose attention is shown, zero-based, the mean of all when None; bp that the model reads at a time, by default
        600 where single tokens are hidden, else 1,536, or what it takes.
    splicing
        A splice network, such as `models.load("ci-spliceai")`, whose splice sites are shown; it may be the `model`, too.

    Raises
    ------
    ValueError
        The place cannot be found, a component is unknown or twice there, the target or the head is none, a file cannot be read.
    """
    regions, numbers = file_components(beds, bedgraphs, taken=NAMES)
    genes, elements = Features("genes", annotation, "Genes"), Elements("elements", annotation)
    found: list[Any] = [genes, *regions, elements, Bases("bases", reference)]
    if isinstance(model, SplicePredictor):
        model, splicing = None, model
    if splicing is not None:
        found.append(Splicing(splicing, reference))
    if model is not None:
        head = None if head is None else checked_head(model, *head)
        hiding, whole = Hiding(model, reference, window), Probability(model, reference, window)
        found += [Expected(hiding), whole, Received(model, reference, window, head), Saturated(hiding)]
        if target is not None:
            found.append(Attributed(model, reference, window, target, attribution))
    if motifs is not None:
        found.append(Matches(reference, read_motifs(motifs) if isinstance(motifs, str | Path) else motifs))
    found += numbers
    if components is not None:
        known = {one.name: one for one in found}
        found = [named_one(one, known) if isinstance(one, str) else one for one in components]
    made = LocusExplorer(model, reference, annotation, found, at=at, width=width)
    made.options = {
        "beds": beds, "bedgraphs": bedgraphs, "motifs": motifs, "target": target, "attribution": None if target is None else attribution,
        "head": head, "window": window, "splicing": splicing,
    }  # fmt: skip
    return made


class LocusExplorer(Explorer):
    """A view of a locus that can be moved: by hand in JupyterLab, by `go`, `look`, `show` and `hide` in code.

    Attributes
    ----------
    components, shown
        All there are, from top to bottom; names of those that are shown.
    view, place, problems
        What is seen, 0-based half-open; what was asked for last; why components have nothing, by name, in the pieces computed last.
    """

    def __init__(
        self, model: Any, reference: Reference, annotation: Annotation, components: Sequence[Component], *,
        at: Any = None, width: int = 3_000,
    ) -> None:  # fmt: skip
        if not SHORTEST <= width <= LONGEST:
            raise ValueError(f"width must be {SHORTEST} to {LONGEST:,} bp; received {width:,}. Use 3,000.")
        for one in components:
            if not isinstance(one, Component):
                rule = "A component must have name, longest, pieces, compute and tracks"
                raise TypeError(f"{rule}; received {type(one).__name__}. See explore.Component.")
        names = [one.name for one in components]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"A component must have its own name; received {name!r} twice. Rename one.")
        self.model, self.reference, self.annotation, self.width = model, reference, annotation, width
        self.components, self.shown = tuple(components), tuple(names)
        self.options: dict[str, Any] = {}
        self.problems: dict[str, str] = {}
        self._kept: dict[tuple[str, Interval], pd.DataFrame | Exception] = {}
        self._go(first_gene(reference, annotation) if at is None else at)

    def __repr__(self) -> str:
        by = f" by {self.model.name}" if self.model is not None else ""
        return f"Locus {self.place.name}{by}, {self.view.label()}: {', '.join(self.shown) or 'nothing shown'}"

    def _go(self, what: str | Interval | Variant) -> None:
        self.place = locate(what, self.reference, self.annotation, window=self.width, longest=LONGEST)
        self._whole()

    @property
    def _home(self) -> Interval:
        """What was asked for; as in a genome browser, it reads along the + strand unless a region says otherwise."""
        at = self.place.interval
        return self._fitted(replace(at, strand=at.strand if self.place.kind == "region" else "+"), len(at))

    def _whole(self) -> None:
        self._set(self._home)

    def _set(self, view: Interval) -> None:
        self.view = self._drawn = self._fitted(view, len(view))

    def _fitted(self, view: Interval, size: int, most: int = LONGEST) -> Interval:
        """`size` bp around the middle of an interval, as many as can be shown, moved onto the contig."""
        whole = self.reference.whole(view.chrom)
        size = min(max(size, SHORTEST), most, len(whole))
        start = min(max(view.start + (len(view) - size) // 2, 0), len(whole) - size)
        return Interval(browser_contig(view.chrom), start, start + size, "-" if view.strand == "-" else "+")

    @property
    def where(self) -> str:
        """The place that is shown, as a person types it."""
        return self.place.name if self.view == self._home else self.view.label().removesuffix("(+)")

    def _state(self) -> Any:
        return self.place, self.view

    def _restore(self, state: Any) -> None:
        self.place, view = state
        self._set(view)

    def look(self, view: Interval) -> None:
        """See an interval, moved onto the contig, and widened or narrowed to what can be shown."""
        self._set(view)
        self.update(whole=True)

    def show(self, *names: str) -> None:
        """Show components beside those that are shown; ValueError if there is no such component."""
        self._choose(names, True)

    def hide(self, *names: str) -> None:
        """Hide components; what they computed is kept. Errors are those of `show`."""
        self._choose(names, False)

    def _choose(self, names: Sequence[str], on: bool) -> None:
        known = {one.name: one for one in self.components}
        chosen = {named_one(name, known).name for name in names}
        self.shown = tuple(name for name in known if (on if name in chosen else name in self.shown))
        self.update()

    def zoomed(self, ranges: dict[str, list[float]]) -> None:
        """Follow the page: letters where there is room; what is missing is computed, and some more to either side."""
        start, end = (max(round(edge - 0.5), 0) for edge in sorted(ranges["xaxis"]))
        asked = replace(self.view, start=start, end=max(end, start + 1))
        seen, before = self._fitted(asked, len(asked)), self._over()
        if seen == self.view:
            return
        self.view = seen
        if not self._drawn.contains(seen):
            self._drawn = self._fitted(seen, len(seen) * 3 // 2)
        if self._over() != before:
            self.update(whole=not SHORTEST <= len(asked) <= LONGEST)
        else:
            if self.live.still.spell(seen.start, seen.end):
                self.live.show(self.live.still)
            self.toolbar.sync()

    def visible(self) -> list[Component]:
        """Components that are shown."""
        return [one for one in self.components if one.name in self.shown]

    def waiting(self) -> list[Component]:
        """Components that are shown and have something to compute for the view."""
        return list(dict.fromkeys(one for one, _ in self._work()))

    def _work(self) -> list[tuple[Component, Interval]]:
        """What has yet to be computed, component after component; of one that failed, nothing."""
        work = []
        for one in self.visible():
            part = None if getattr(one, "quick", False) else self._extent(one)
            try:
                pieces = [] if part is None else one.pieces(part)
            except ERRORS:
                # `_rows` tells it.
                continue
            found = {piece: self._kept.get((one.name, piece)) for piece in pieces}
            if not any(isinstance(made, Exception) for made in found.values()):
                work += [(one, piece) for piece, made in found.items() if made is None]
        return work

    def _extent(self, component: Component) -> Interval | None:
        """Over what a component is computed: all that is drawn, or around what is seen; None where that is too long."""
        if len(self._drawn) <= component.longest:
            return self._drawn
        if len(self.view) <= component.longest:
            near = self._fitted(self.view, len(self.view) * 3 // 2, component.longest)
            return near.intersect(self._drawn) or self.view
        return None

    def _over(self) -> list[Interval | None]:
        return [self._drawn, *map(self._extent, self.visible())]

    def _piece(self, component: Component, piece: Interval) -> pd.DataFrame | Exception:
        """What a component computes over a piece, or why it cannot, which will be no other a moment later."""
        made = self._kept.get((component.name, piece))
        if made is None:
            try:
                made = component.compute(piece)
                columns = list(getattr(made, "columns", ()))
                if not {"chrom", "start", "end"} <= {*columns}:
                    rule, kind = "must return a DataFrame with chrom, start, end", type(made).__name__
                    raise TypeError(f"compute() of {component.name!r} {rule}; received {kind} {columns}.")
            except ERRORS as error:
                made = error
            if not getattr(component, "quick", False):
                self._kept[component.name, piece] = made
        return made

    def _rows(self, component: Component, view: Interval) -> pd.DataFrame | None:
        """Rows of a component that overlap a view, computed where they are not yet; None where that went wrong: `problems` says why."""
        self.problems.pop(component.name, None)
        parts = []
        try:
            for piece in component.pieces(view):
                made = self._piece(component, piece)
                if isinstance(made, Exception):
                    raise made
                parts.append(made[(made["start"] < view.end) & (made["end"] > view.start)])
            if not parts:
                raise ValueError("There is nothing of it here.")
        except ERRORS as error:
            # One track that cannot be had must not take the others along.
            self.problems[component.name] = str(error)
            return None
        return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)

    def _alone(self) -> LocusExplorer:
        """The same view, which is all that is drawn, with everything of it computed: for a static figure."""
        still = copy(self)
        still._drawn, work = still.view, still._work()
        with progress(total=len(work), what="locus") as bar:
            while work:
                still._piece(*work[0])
                bar.update(1)
                work = still._work()
        return still

    def tables(self) -> dict[str, pd.DataFrame]:
        """Numbers of the view, by component that is shown and can be had: chrom, start, end (0-based half-open) and its own columns."""
        still = self._alone()
        rows = {one.name: still._rows(one, self.view) for one in self.visible() if still._extent(one)}
        return {name: table for name, table in rows.items() if table is not None}

    def table(self) -> pd.DataFrame:
        """`tables` as one, the name of the component in its first column."""
        tables = [table.assign(component=name) for name, table in self.tables().items()]
        table = pd.concat(tables or [pd.DataFrame({"component": []})], ignore_index=True)
        return table[["component", *table.columns.drop("component")]]

    def code(self) -> str:
        """Python that shows the view once more; what was passed as objects stands there by its name."""
        given = {name: value for name, value in self.options.items() if value is not None and value != ()}
        given = {"at": self.view.label(), **given}
        options = ", ".join(f"{name}={_written(value, name)}" for name, value in given.items())
        names = [
            repr(one.name) if type(one).__module__.startswith("ntviz.") else re.sub(r"\W+", "_", one.name).strip("_")
            for one in self.visible()
        ]
        model = "None" if self.model is None else f"models.load({self.model.name!r})"
        source = f"Reference({str(self.reference.path)!r})"
        return ("from ntviz import annotation, explore, models\nfrom ntviz.reference import Reference\n\n"
                f"locus = explore.locus(\n    {model}, {source}, annotation.read({str(self.annotation.source)!r}),\n    {options},\n"
                f"    components=[{', '.join(names)}],\n)\nlocus\n")  # fmt: skip

    def figure(self, *, enlarged: bool = True) -> LocusFigure:
        """The view as a static figure; `enlarged` repeats its middle beneath, where there is room for letters."""
        view, at, zoom = self.view, self.place.at, None
        if enlarged and len(view) > SPELLED:
            zoom = Interval.around(view.chrom, at if view.contains(at) else view.midpoint, ENLARGED)
            zoom = zoom.shift(max(0, view.start - zoom.start) - max(0, zoom.end - view.end))
        return self._alone()._figure(zoom)

    def drawn(self) -> LocusFigure:
        """What is there so far, for the page: around the view, with what is being computed named."""
        figure = self._figure(None)
        figure.spell(self.view.start, self.view.end)
        # The page may leave what is drawn: then it is drawn anew.
        figure.update_xaxes(minallowed=0.5, maxallowed=len(self.reference.whole(self.view.chrom)) + 0.5)
        return figure

    def _figure(self, zoom: Interval | None) -> LocusFigure:
        view, place, waiting = self._drawn, self.place, self.waiting()
        tracks: list[Track] = []
        farther: list[str] = []
        for one in self.visible():
            part = self._extent(one)
            if part is None:
                farther.append(f"{plain(one.name)} (up to {one.longest:,} bp)")
            elif one in waiting:
                tracks.append(words_track(one.name, "being computed …"))
            else:
                tracks += self._tracks(one, part)
        if farther:
            tracks.append(words_track("Zoom in to see", listing(farther, most=20)))
        seen = place.focus.overlaps(view)
        # A region that was typed is another one after the first step; a gene stays what it is.
        name = plain(place.name) if seen and place.kind != "region" else replace(view, strand=".").label()
        marked = seen and len(place.focus) <= len(view) / 4 and place.kind != "gene"
        return plot.locus(
            view, tracks or [words_track("Nothing is shown", "Choose a component.")], assembly=self.reference.assembly,
            title=name + (f" by {self.model.name}" if self.model is not None else ""),
            zoom=zoom if any(track.letters for track in tracks) else None, marks={plain(place.name): place.focus} if marked else {},
        )  # fmt: skip

    def _tracks(self, component: Component, part: Interval) -> list[Track]:
        """Tracks of a component over a part of what is drawn; words where there is nothing."""
        table = self._rows(component, part)
        try:
            if table is not None:
                tracks = component.tracks(table, part)
                return [replace(one, draw=partial(_draw, one, part), strongest=None) for one in tracks]
        except ERRORS as error:
            self.problems[component.name] = str(error)
        return [words_track(component.name, self.problems[component.name])]

    def update(self, *, whole: bool = False) -> None:
        """Draw the state anew where it is live, with what there is at once, and compute the rest; the zoom stays unless `whole`."""
        # What went wrong for want of memory or a file may go well now; what is too much is forgotten.
        kept = self._kept.items() if len(self._kept) < 20_000 else ()
        self._kept = {key: made for key, made in kept if isinstance(made, pd.DataFrame | ValueError)}
        super().update(whole=whole)

    def _step(self) -> bool:
        """Compute one piece, and draw its component when it was the last; whether there is more to do."""
        work = self._work()
        if not work:
            return False
        one, piece = work[0]
        names = dict.fromkeys(component.name for component, _ in work)
        self.say(f"Computing {listing(list(names))}; pieces left: {len(work):,}.")
        self._piece(one, piece)
        left = self.waiting()
        if one not in left:
            self._doing(lambda: self.live.show(self.drawn()))
        if not left:
            self.say("")
        return bool(left)

    def add_file(self, name: str, text: str) -> str:
        """Add the elements or numbers of a file of the user's by its name and text; what was read, in words."""
        signal = ".bedgraph" in name.lower() or name.lower().endswith((".bg", ".bdg"))
        with as_file(name, text) as file:
            beds, bedgraphs = ((), [file]) if signal else ([file], ())
            regions, numbers = file_components(beds, bedgraphs, taken=[one.name for one in self.components])
        self.components = (*self.components[:1], *regions, *self.components[1:], *numbers)
        new = [one.name for one in (*regions, *numbers)]
        self.shown = tuple(one.name for one in self.components if one.name in {*self.shown, *new})
        return f"Added {listing(list(map(plain, new)))}."

    def controls(self) -> Sequence[ipywidgets.Widget]:
        """A checkbox for each component."""
        self._boxes = ipywidgets.HBox(layout={"flex_flow": "row wrap"})
        self.sync()
        return [self._boxes]

    def sync(self) -> None:
        """Check what is shown."""
        boxes = {box.description: box for box in self._boxes.children}
        for one in self.components:
            if one.name not in boxes:
                layout = {"width": "auto", "margin": "0 14px 0 0"}
                box = ipywidgets.Checkbox(description=one.name, indent=False, layout=layout)
                box.observe(self._checked, "value")
                boxes[one.name] = box
            boxes[one.name].value = one.name in self.shown
        self._boxes.children = [boxes[one.name] for one in self.components]

    def _checked(self, change: dict[str, Any]) -> None:
        name, on = change["owner"].description, change["new"]
        if on != (name in self.shown):
            self._doing(lambda: self._choose([name], on))


def _draw(track: Track, part: Interval, panel: Panel) -> str:
    """Draw a track whose arrays cover a part of what is drawn; words where that goes wrong."""
    try:
        return track.draw(replace(panel, view=replace(panel.view, whole=part)))
    except (ValueError, TypeError, KeyError) as error:
        return words_track(track.label, str(error)).draw(panel)


def _written(value: Any, name: str) -> str:
    """Python for a value that is plain; else a name for it."""
    text = repr(str(value) if isinstance(value, Path) else value)
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return name
    return text
