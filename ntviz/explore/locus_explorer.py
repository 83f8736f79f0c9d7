"""`explore.locus`: genes, what a model says, and the user's tracks on one genome axis; live in JupyterLab, static elsewhere."""

from __future__ import annotations

import asyncio
import tempfile
from collections import OrderedDict
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz import plot
from ntviz.annotation import Annotation, Beds
from ntviz.environment import progress
from ntviz.explore.locus_annotated import Bases, Elements, Genes, Matches, Signals, file_components
from ntviz.explore.locus_attributed import Attributed
from ntviz.explore.locus_component import Component, checked, covering, overlapping, picked, words_track
from ntviz.explore.locus_files import code, write
from ntviz.explore.locus_modelled import Expected, Hiding, Probability, Received, Saturated
from ntviz.explore.places import Place, first_gene, locate
from ntviz.explore.toolbar import Explorer
from ntviz.genome import Interval, Variant, browser_contig, canonical_contig
from ntviz.motifs import Motif
from ntviz.motifs import read as read_motifs
from ntviz.plot.locus import SPELLED, LocusFigure
from ntviz.plot.tracks import Track
from ntviz.plot.words import listing, plain
from ntviz.reference import Reference

if TYPE_CHECKING:
    import ipywidgets
    import pandas as pd

SHORTEST, LONGEST = 20, 200_000
"""bp of a view."""
ENLARGED = 120
"""bp of the enlarged part of a static figure."""
KEPT = 512
"""Pieces of a component that are kept at least, those used last."""
RESERVED = ("genes", "elements", "bases", "expected bases", "probability", "attention", "saturation", "attribution", "motifs")
"""Names that a user's file does not take."""
_ERRORS = (ValueError, TypeError, RuntimeError, MemoryError, ImportError, OSError)


def locus(
    model: Any,
    reference: Reference,
    annotation: Annotation,
    *,
    at: Any = None,
    width: int = 3_000,
    components: Sequence[str | Component] | None = None,
    beds: Beds = (),
    bedgraphs: Signals = (),
    motifs: str | Path | Iterable[Motif] | None = None,
    target: Any = None,
    attribution: str = "integrated_gradients",
    head: tuple[int, int] | None = None,
    window: int | None = None,
) -> LocusExplorer:
    """One figure of a locus with all tracks on one genome axis, each number of the model with its control.

    What takes long is computed where it is shown, and once: going back, or to a part of what was seen, computes nothing.
    A base has the same numbers in every view.

    Parameters
    ----------
    model
        A `models.DNAModel`; None for genes and files alone.
    reference
        Bases.
    annotation
        Genes and other elements.
    at
        A gene, a region (text is 1-based, both ends included, "(-)" behind it reads the - strand; or an Interval), or a
        variant; the annotation's first gene when None.
    width
        bp shown around a variant, a short region, or the start of a gene that is longer.
    components
        Names, and components of your own (see `Component`), from top to bottom; all that can be had when None. Names are
        "genes", "elements", "bases", "expected bases", "probability", "attention", "saturation", "attribution", "motifs",
        and those of your files.
    beds
        Your own elements, as `annotation.named` takes them: a path, several, or paths or Annotations by name.
    bedgraphs
        Your own numbers a base: a path of a bedGraph file, several, or paths or Signals by name.
    motifs
        Motifs to look for, or the path of a file in MEME format, such as `data.bundle("motifs")`.
    target
        What is attributed to bases: a base or a variant of the genome, or an `attribution.Direction`; nothing when None.
    attribution
        "integrated_gradients" or "gradient_times_input".
    head
        (layer, head) whose attention is shown, zero-based; the mean of all when None.
    window
        bp that the model reads at a time; by default 600 where single tokens are hidden, else 1,536, or what it takes.

    Raises
    ------
    ValueError
        The place cannot be found, a component is unknown or twice there, the target or the head is none, a file cannot be
        read.
    FileNotFoundError
        A file is not there.

    References
    ----------
    Components over one interval: as in genome browsers, and in the AlphaGenome client's plots.
    """
    size = {} if window is None else {"window": window}
    regions, numbers = file_components(beds, bedgraphs, taken=RESERVED)
    found: list[Component] = [Genes(annotation), *regions, Elements(annotation), Bases(reference)]
    if model is not None:
        if head is not None and not (0 <= head[0] < model.layers and 0 <= head[1] < model.heads):
            raise ValueError(
                f"A head must be one of {model.layers} layers by {model.heads} heads, numbered from 0; received {head}. Choose one of these."
            )
        hiding = Hiding(model, reference, **size)
        whole = Probability(model, reference, **size), Received(model, reference, head=head, **size)
        found += [Expected(hiding), *whole, Saturated(hiding)]
        if target is not None:
            found.append(Attributed(model, reference, target, method=attribution, **size))
    if motifs is not None:
        found.append(Matches(reference, read_motifs(motifs) if isinstance(motifs, str | Path) else motifs))
    found = found + numbers if components is None else picked(found + numbers, components)
    names = [one.name for one in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(
            f"Each component must have a name of its own; received {twice!r} {names.count(twice)} times. Give your file or component another."
        )
    made = LocusExplorer(model, reference, annotation, found, at=at, width=width)
    made.options = {
        "beds": beds, "bedgraphs": bedgraphs, "motifs": motifs, "target": target, "attribution": attribution, "head": head, "window": window,
    }  # fmt: skip
    return made


class LocusExplorer(Explorer):
    """A view of a locus that can be moved: by hand in JupyterLab, by `go`, `pan`, `scale`, `show` and `hide` in code.

    Attributes
    ----------
    components
        All there are, from top to bottom.
    shown
        Names of those that are shown.
    view
        What is seen, 0-based half-open.
    place
        What was asked for last.
    problems
        Why components have nothing, by name, in the pieces computed last.
    """

    def __init__(
        self,
        model: Any,
        reference: Reference,
        annotation: Annotation,
        components: Sequence[Component],
        *,
        at: Any = None,
        width: int = 3_000,
    ) -> None:
        if not SHORTEST <= width <= LONGEST:
            raise ValueError(f"width must be {SHORTEST} to {LONGEST:,} bp; received {width:,}. Use 3,000.")
        self.model, self.reference, self.annotation, self.width = model, reference, annotation, width
        self.components = tuple(components)
        self.shown: tuple[str, ...] = tuple(one.name for one in self.components)
        self.problems: dict[str, str] = {}
        self.options: dict[str, Any] = {}
        self._kept: dict[str, OrderedDict[tuple[str, int, int], pd.DataFrame]] = {name: OrderedDict() for name in self.shown}
        self._failed: dict[tuple[str, str, int, int], Exception] = {}
        self._turn = 0
        self._go(first_gene(reference, annotation) if at is None else at)

    def __repr__(self) -> str:
        by = f" by {self.model.name}" if self.model is not None else ""
        return f"Locus {self.place.name}{by}, {self.view.label()}: {', '.join(self.shown) or 'nothing shown'}"

    # Moving -----------------------------------------------------------------------------------------------------------

    def _go(self, what: str | Interval | Variant) -> None:
        place = locate(what, self.reference, self.annotation, window=self.width, longest=LONGEST)
        # As in a genome browser, the picture reads along the + strand unless a region says otherwise.
        strand = "-" if place.kind == "region" and place.interval.strand == "-" else "+"
        self._set(Interval(place.interval.chrom, place.interval.start, place.interval.end, strand))
        self.place: Place = place
        self._home = self.view

    def _set(self, view: Interval) -> None:
        """See an interval, and draw it alone."""
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

    def _whole(self) -> None:
        self._set(self._home)

    def _state(self) -> Any:
        return self.place, self._home, self.view

    def _restore(self, state: Any) -> None:
        self.place, self._home, view = state
        self._set(view)

    def look(self, view: Interval) -> None:
        """See an interval, moved onto the contig, and widened or narrowed to what can be shown."""
        self._set(view)
        self.update(whole=True)

    def pan(self, share: float) -> None:
        """Move to the right of the picture by a share of the view; to the left when negative."""
        step = round(share * len(self.view)) * (-1 if self.view.strand == "-" else 1)
        self.look(self.view.shift(step))

    def scale(self, factor: float, at: int | None = None) -> None:
        """See `factor` times as many bp, around a 0-based position that stays where it is; the middle when None.

        Raises
        ------
        ValueError
            The factor is not above 0, or the position is outside the view.
        """
        view = self.view
        at = view.midpoint if at is None else at
        if not factor > 0:
            raise ValueError(f"A factor must be above 0; received {factor}. Below 1 zooms in, above 1 out.")
        if not view.contains(at):
            raise ValueError(f"The position that stays must be in view, {view.label()}; received {at + 1:,}. Take one of these.")
        size = min(max(round(len(view) * factor), SHORTEST), LONGEST)
        start = max(round(at - (at - view.start) * size / len(view)), 0)
        self.look(Interval(view.chrom, start, start + size, view.strand))

    def show(self, *names: str) -> None:
        """Show components beside those that are shown.

        Raises
        ------
        ValueError
            There is no such component.
        """
        self._choose({*self.shown, *self._known(names)})

    def hide(self, *names: str) -> None:
        """Hide components; what they computed is kept. Errors are those of `show`."""
        self._choose({*self.shown} - {*self._known(names)})

    def _choose(self, names: set[str]) -> None:
        self.shown = tuple(one.name for one in self.components if one.name in names)
        self.update()

    def _known(self, names: Iterable[str]) -> Iterable[str]:
        every = [one.name for one in self.components]
        for name in names:
            if name not in every:
                raise ValueError(f"A component must be one of {', '.join(every)}; received {name!r}. Choose one.")
        return names

    def zoomed(self, ranges: dict[str, list[float]]) -> None:
        """Follow the page: letters where there is room; what is missing is computed, and some more to either side."""
        start, end = (round(edge - 0.5) for edge in sorted(ranges["xaxis"]))
        view = Interval(self.view.chrom, max(start, 0), max(end, start, 0) + (end <= max(start, 0)), self.view.strand)
        seen = self._fitted(view, len(view))
        if seen == self.view:
            return
        before, self.view = self._over(), seen
        if not self._drawn.contains(seen):
            self._drawn = self._fitted(seen, len(seen) * 3 // 2)
        if self._over() != before:
            self.update(whole=not SHORTEST <= len(view) <= LONGEST)
        else:
            if self.live.still.spell(seen.start, seen.end):
                self.live.show(self.live.still)
            self.toolbar.sync()

    # Computing --------------------------------------------------------------------------------------------------------

    def rows(self, component: Component, view: Interval) -> pd.DataFrame | None:
        """Rows of a component that overlap a view, computed where they are not yet; None where that went wrong.

        Why is then in `problems`.
        """
        import pandas as pd

        self.problems.pop(component.name, None)
        try:
            pieces = list(component.pieces(view))
            parts = [overlapping(self._piece(component, piece), view) for piece in pieces]
            if not parts:
                raise ValueError("There is nothing of it here.")
        except _ERRORS as error:
            # One track that cannot be had must not take the others along.
            self.problems[component.name] = str(error)
            return None
        kept = self._kept[component.name]
        while len(kept) > max(KEPT, len(pieces)):
            kept.popitem(last=False)
        return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)

    def _piece(self, component: Component, piece: Interval) -> pd.DataFrame:
        kept, key = self._kept[component.name], _key(piece)
        if (component.name, *key) in self._failed:
            raise self._failed[component.name, *key]
        if key not in kept:
            try:
                kept[key] = checked(component, component.compute(piece))
            except _ERRORS as error:
                # What cannot be had here will not be had a moment later.
                self._failed[component.name, *key] = error
                raise
        kept.move_to_end(key)
        return kept[key]

    def waiting(self) -> list[Component]:
        """Components that are shown and have something to compute for the view."""
        return list(dict.fromkeys(one for one, _ in self._work()))

    def _work(self) -> list[tuple[Component, Interval]]:
        """What has yet to be computed, component after component."""
        work = []
        for one in self._visible():
            part = None if getattr(one, "quick", False) else self._extent(one)
            try:
                pieces = [] if part is None else one.pieces(part)
            except _ERRORS:
                # `rows` tells it.
                continue
            if not any((one.name, *_key(piece)) in self._failed for piece in pieces):
                work += [(one, piece) for piece in pieces if _key(piece) not in self._kept[one.name]]
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
        return [self._drawn, *(self._extent(one) for one in self._visible())]

    def _visible(self) -> list[Component]:
        return [one for one in self.components if one.name in self.shown]

    @contextmanager
    def _alone(self) -> Generator[None]:
        """For a static figure the view is all that is drawn, and everything of it is computed."""
        before, self._drawn = self._drawn, self.view
        try:
            if work := self._work():
                with progress(total=len(work), what="locus") as bar:
                    while work:
                        self._try(*work[0])
                        bar.update(1)
                        work = self._work()
            yield
        finally:
            self._drawn = before

    def _try(self, component: Component, piece: Interval) -> None:
        try:
            self._piece(component, piece)
        except _ERRORS as error:
            self.problems[component.name] = str(error)

    # Reading ----------------------------------------------------------------------------------------------------------

    def tables(self) -> dict[str, pd.DataFrame]:
        """The numbers of the view, by component: chrom, start, end (0-based half-open) and the component's own columns.

        What is not shown or cannot be had is not in it.
        """
        with self._alone():
            found = {one.name: self.rows(one, self.view) for one in self._visible() if len(self.view) <= one.longest}
        return {name: table for name, table in found.items() if table is not None}

    def table(self) -> pd.DataFrame:
        """`tables` as one, the name of the component in its first column."""
        import pandas as pd

        found = [table.assign(component=name)[["component", *table.columns]] for name, table in self.tables().items()]
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame({"component": []})

    def code(self) -> str:
        """Python that shows the view once more; what was passed as objects stands there by its name."""
        return code(self, signature(locus).parameters)

    # Showing ----------------------------------------------------------------------------------------------------------

    @property
    def zoom(self) -> Interval | None:
        """What a static figure enlarges: the middle of what was asked for; None in a view that spells every base."""
        if len(self.view) <= SPELLED:
            return None
        focus = self.place.focus
        at = focus.midpoint if self.place.kind != "gene" else focus.end - 1 if focus.strand == "-" else focus.start
        if not self.view.contains(Interval(focus.chrom, at, at + 1)):
            at = self.view.midpoint
        near = Interval.around(self.view.chrom, at, ENLARGED)
        return near.shift(max(0, self.view.start - near.start) - max(0, near.end - self.view.end))

    def figure(self, *, enlarged: bool = True) -> LocusFigure:
        """The view as a static figure; `enlarged` repeats its middle beneath, where there is room for letters."""
        with self._alone():
            return self._figure([], self.zoom if enlarged else None)

    def drawn(self) -> LocusFigure:
        """What is there so far, for the page: around the view, with what is being computed named."""
        figure = self._figure(self.waiting(), None)
        figure.spell(self.view.start, self.view.end)
        # The page may leave what is drawn: then it is drawn anew.
        figure.update_xaxes(minallowed=0.5, maxallowed=len(self.reference.whole(self.view.chrom)) + 0.5)
        return figure

    def _figure(self, pending: Sequence[Component], zoom: Interval | None) -> LocusFigure:
        view, place = self._drawn, self.place
        tracks: list[Track] = []
        farther: list[str] = []
        for one in self._visible():
            part = self._extent(one)
            if part is None:
                farther.append(f"{plain(one.name)} (up to {one.longest:,} bp)")
            elif one in pending:
                tracks.append(words_track(_label(one), "being computed …"))
            else:
                tracks += self._tracks(one, part)
        if farther:
            tracks.append(words_track("Zoom in to see", listing(farther, most=20)))
        if not tracks:
            tracks.append(words_track("Nothing is shown", "Choose a component."))
        seen = place.focus.overlaps(view)
        # A region that was typed is another one after the first step; a gene stays what it is.
        name = plain(place.name) if seen and place.kind != "region" else Interval(view.chrom, view.start, view.end).label()
        marked = seen and len(place.focus) <= len(view) / 4 and place.kind != "gene"
        return plot.locus(
            view, tracks, title=name + (f" by {self.model.name}" if self.model is not None else ""), assembly=self.reference.assembly,
            sequence=self.reference.fetch(view).sequence, zoom=zoom if any(track.letters for track in tracks) else None,
            marks={plain(place.name): place.focus} if marked else {},
        )  # fmt: skip

    def _tracks(self, component: Component, part: Interval) -> list[Track]:
        """Tracks of a component over a part of what is drawn; words where there is nothing."""
        table = self.rows(component, part)
        if table is not None:
            try:
                return [covering(track, part) for track in component.tracks(table, part)]
            except _ERRORS as error:
                self.problems[component.name] = str(error)
        return [words_track(_label(component), self.problems[component.name])]

    def save_data(self, folder: Any, *, format: str = "tsv") -> Path:  # noqa: A002
        """Write `tables` as one file a component, and `locus.json` with what they are; the folder appears whole.

        Parameters
        ----------
        folder
            A new or empty one, or one that was written so before, which is replaced.
        format
            "tsv" or "parquet".

        Raises
        ------
        ValueError
            Another format, or the folder holds something else.
        OSError
            It cannot be written.
        """
        return write(self, Path(folder), format)

    # In JupyterLab ----------------------------------------------------------------------------------------------------

    @cached_property
    def widget(self) -> ipywidgets.VBox:
        """Toolbar and live figure, for JupyterLab; genes at once, the other tracks as they are computed."""
        box = super().widget
        self._fill()
        return box

    def update(self, *, whole: bool = False) -> None:
        """Draw the state anew where it is live, with what there is at once, and compute the rest; the zoom stays unless `whole`."""
        # What went wrong for want of memory or a file may go well now.
        self._failed = {key: error for key, error in self._failed.items() if isinstance(error, ValueError)}
        super().update(whole=whole)
        if "live" in self.__dict__:
            self._fill()

    def _fill(self) -> None:
        """Compute what the live figure lacks, a piece at a time; in between the kernel answers the page and runs other cells."""
        self._turn += 1
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            while self._step(self._turn):
                pass
            return

        def step(turn: int) -> None:
            if self._step(turn):
                loop.call_later(0.005, step, turn)

        loop.call_later(0.005, step, self._turn)

    def _step(self, turn: int) -> bool:
        """Compute one piece, and draw its component when it was the last; whether there is more to do in this turn."""
        work = self._work() if turn == self._turn else []
        if not work:
            return False
        one, piece = work[0]
        after = [other.name for other in dict.fromkeys(other for other, _ in work) if other is not one]
        pieces = sum(other is one for other, _ in work)
        self.say(
            f"Computing {one.name} ({pieces:,} {'pieces' if pieces > 1 else 'piece'} left)"
            + (f"; then {listing(after)}." if after else ".")
        )
        self._try(one, piece)
        left = self._work()
        if all(other is not one for other, _ in left):
            self._doing(lambda: self.live.show(self.drawn()))
        if not left:
            self.say("")
        return bool(left)

    def add_file(self, name: str, text: str) -> str:
        """Add the elements or numbers of a file of the user's by its name and text; what was read, in words.

        Raises
        ------
        ValueError
            Nothing of it can be read.
        """
        taken = [one.name for one in self.components]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / (Path(name).name or "elements.bed")
            file.write_text(text, encoding="utf-8")
            is_signal = ".bedgraph" in name.lower() or name.lower().endswith((".bg", ".bdg"))
            regions, numbers = file_components(*(((), [file]) if is_signal else ([file], ())), taken=taken)
        self.components = (*self.components[:1], *regions, *self.components[1:], *numbers)
        new = [one.name for one in (*regions, *numbers)]
        self._kept |= {one: OrderedDict() for one in new}
        self.shown = tuple(one.name for one in self.components if one.name in {*self.shown, *new})
        return f"Added {listing([plain(one) for one in new])}."

    def controls(self) -> Sequence[ipywidgets.Widget]:
        """A checkbox for each component."""
        import ipywidgets as w

        self._boxes = w.HBox(layout=w.Layout(flex_flow="row wrap"))
        self.sync()
        return [self._boxes]

    def sync(self) -> None:
        """Check what is shown."""
        import ipywidgets as w

        boxes = {box.description: box for box in self._boxes.children}
        for one in self.components:
            if one.name not in boxes:
                boxes[one.name] = w.Checkbox(description=one.name, indent=False, layout=w.Layout(width="auto", margin="0 14px 0 0"))
                boxes[one.name].observe(self._checked, "value")
            boxes[one.name].value = one.name in self.shown
        self._boxes.children = [boxes[one.name] for one in self.components]

    def _checked(self, change: dict[str, Any]) -> None:
        name, on = change["owner"].description, change["new"]
        if on != (name in self.shown):
            self._doing(lambda: (self.show if on else self.hide)(name))


def _key(piece: Interval) -> tuple[str, int, int]:
    return canonical_contig(piece.chrom), piece.start, piece.end


def _label(component: Component) -> str:
    name = plain(component.name)
    return name[:1].upper() + name[1:]
