"""`explore.locus`: genes, what a model says, and the user's tracks on one genome axis; live in JupyterLab, a still elsewhere."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz import plot
from ntviz.annotation import Annotation, Signal
from ntviz.environment import progress
from ntviz.explore.locus_component import Component, checked, overlapping
from ntviz.explore.locus_figure import draw
from ntviz.explore.locus_files import write
from ntviz.explore.locus_standard import chosen_components
from ntviz.explore.places import Place, first_gene, locate
from ntviz.explore.surfaces import bundle
from ntviz.genome import Interval, Variant, canonical_contig
from ntviz.motifs import Motif
from ntviz.reference import Reference

if TYPE_CHECKING:
    import pandas as pd

SHORTEST, LONGEST = 20, 200_000
"""bp of a view."""
ENLARGED = 120
"""bp of the enlarged part of a still."""
KEPT = 256
"""Pieces of a component that are kept at least, those used last."""


def locus(
    model: Any,
    reference: Reference,
    annotation: Annotation,
    *,
    at: Any = None,
    width: int = 3_000,
    components: Sequence[str | Component] | None = None,
    beds: Mapping[str, Annotation | str | Path] | None = None,
    bedgraphs: Mapping[str, Signal | str | Path] | None = None,
    motifs: str | Path | Iterable[Motif] | None = None,
    target: Any = None,
    attribution: str = "integrated_gradients",
    head: tuple[int, int] | None = None,
    window: int | None = None,
) -> LocusExplorer:
    """One figure of a locus with all tracks on one genome axis, each number of the model above its control.

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
        Annotations, or paths of BED or GFF files, by name.
    bedgraphs
        Signals, or paths of bedGraph files, by name.
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
    found = chosen_components(
        model, reference, annotation, components,
        beds=beds or {}, bedgraphs=bedgraphs or {}, motifs=motifs, target=target, method=attribution, head=head, window=window,
    )  # fmt: skip
    return LocusExplorer(model, reference, annotation, found, at=at, width=width)


class LocusExplorer:
    """A view of a locus that can be moved: by hand in JupyterLab, by `go`, `pan`, `scale`, `show` and `hide` in code.

    Attributes
    ----------
    components
        All there are, from top to bottom.
    shown
        Names of those that are shown.
    view
        What the figure shows, 0-based half-open.
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
        self._kept: dict[str, OrderedDict[tuple[str, int, int], pd.DataFrame]] = {
            name: OrderedDict() for name in self.shown
        }
        self._failed: dict[tuple[str, str, int, int], str] = {}
        self.go(first_gene(reference, annotation) if at is None else at)

    def __repr__(self) -> str:
        by = f" by {self.model.name}" if self.model is not None else ""
        return f"Locus {self.place.name}{by}, {self.view.label()}: {', '.join(self.shown) or 'nothing shown'}"

    # Moving -----------------------------------------------------------------------------------------------------------

    def go(self, what: str | Interval | Variant) -> None:
        """Goes to a gene, a region or a variant. Errors are those of `explore.locus`; the view then stays."""
        place = locate(what, self.reference, self.annotation, window=self.width, longest=LONGEST)
        # As in a genome browser, the picture reads along the + strand unless a region says otherwise.
        strand = "-" if place.kind == "region" and place.interval.strand == "-" else "+"
        interval = Interval(place.interval.chrom, place.interval.start, place.interval.end, strand)
        self.place: Place = place
        self.look(interval)

    def look(self, view: Interval) -> None:
        """Shows an interval, moved onto the contig, and widened or narrowed to what can be shown."""
        whole = self.reference.whole(view.chrom)
        size = min(max(len(view), SHORTEST), LONGEST, len(whole))
        start = min(max(view.start + (len(view) - size) // 2, 0), len(whole) - size)
        self.view = Interval(view.chrom, start, start + size, "-" if view.strand == "-" else "+")

    def pan(self, share: float) -> None:
        """Moves to the right of the picture by a share of the view; to the left when negative."""
        step = round(share * len(self.view))
        self.look(self.view.shift(-step if self.view.strand == "-" else step))

    def scale(self, factor: float, at: int | None = None) -> None:
        """Shows `factor` times as many bp, around a 0-based position that stays where it is; the middle when None.

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
            raise ValueError(
                f"The position that stays must be in view, {view.label()}; received {at + 1:,}. Take one of these."
            )
        size = min(max(round(len(view) * factor), SHORTEST), LONGEST)
        start = round(at - (at - view.start) * size / len(view))
        self.look(Interval(view.chrom, max(start, 0), max(start, 0) + size, view.strand))

    def show(self, *names: str) -> None:
        """Shows components beside those that are shown.

        Raises
        ------
        ValueError
            There is no such component.
        """
        self._known(names)
        self.shown = tuple(one.name for one in self.components if one.name in {*self.shown, *names})

    def hide(self, *names: str) -> None:
        """Hides components; what they computed is kept. Errors are those of `show`."""
        self._known(names)
        self.shown = tuple(name for name in self.shown if name not in names)

    def _known(self, names: Iterable[str]) -> None:
        every = [one.name for one in self.components]
        for name in names:
            if name not in every:
                raise ValueError(
                    f"A component must be one of {', '.join(every)}; received {name!r}. Choose one."
                )

    # Computing --------------------------------------------------------------------------------------------------------

    def table(self, component: Component, view: Interval) -> pd.DataFrame | None:
        """Rows of a component that overlap a view, computed where they are not yet; None where that went wrong.

        Why is then in `problems`.
        """
        import pandas as pd

        kept, parts = self._kept[component.name], []
        self.problems.pop(component.name, None)
        try:
            pieces = list(component.pieces(view))
            for piece in pieces:
                key = _key(piece)
                if (component.name, *key) in self._failed:
                    raise ValueError(self._failed[component.name, *key])
                if key not in kept:
                    try:
                        kept[key] = checked(component, component.compute(piece))
                    except ValueError as error:
                        # What cannot be had here will not be had a moment later: it is not tried again.
                        self._failed[component.name, *key] = str(error)
                        raise
                kept.move_to_end(key)
                parts.append(overlapping(kept[key], view))
        except (ValueError, TypeError, RuntimeError, MemoryError, ImportError, OSError) as error:
            # One track that cannot be had must not take the others along.
            self.problems[component.name] = str(error)
            return None
        while len(kept) > max(KEPT, len(pieces)):
            kept.popitem(last=False)
        if not parts:
            self.problems[component.name] = "There is nothing of it here."
            return None
        return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)

    def waiting(self) -> list[Component]:
        """Components that are shown and have something to compute for the view."""
        return [one for one in self._visible() if self._missing(one, self.view)]

    def _missing(self, component: Component, part: Interval | None) -> bool:
        """Whether something has to be computed for a part of the genome."""
        if part is None or len(part) > component.longest:
            return False
        kept, keys = self._kept[component.name], [_key(piece) for piece in _pieces(component, part)]
        return any(key not in kept and (component.name, *key) not in self._failed for key in keys)

    def _compute(self, parts: Sequence[Interval | None]) -> None:
        """Computes what is missing for the components that are shown, and says how far it is."""
        jobs = [(one, part) for one in self._visible() for part in parts if self._missing(one, part)]
        if jobs:
            with progress(total=len(jobs), what="locus") as bar:
                for one, part in jobs:
                    if part is not None:
                        self.table(one, part)
                    bar.update(1)

    def _visible(self) -> list[Component]:
        return [one for one in self.components if one.name in self.shown]

    # Reading ----------------------------------------------------------------------------------------------------------

    @property
    def zoom(self) -> Interval | None:
        """What a still enlarges beneath: the middle of what was asked for; None in a view that shows every base."""
        if len(self.view) <= 2 * ENLARGED:
            return None
        focus, at = self.place.focus, self.view.midpoint
        middle = focus.end - 1 if focus.strand == "-" else focus.start
        middle = middle if self.place.kind == "gene" else focus.midpoint
        if canonical_contig(focus.chrom) == canonical_contig(self.view.chrom) and self.view.contains(middle):
            at = middle
        near = Interval.around(self.view.chrom, at, ENLARGED)
        return near.shift(max(0, self.view.start - near.start) - max(0, near.end - self.view.end))

    def tables(self) -> dict[str, pd.DataFrame]:
        """What the still shows, by component: chrom, start, end (0-based half-open) and the component's own columns.

        Over the view; over the enlarged part where the view is too long for a component. What is not shown or cannot be
        had is not in it.
        """
        self._compute([self.view, self.zoom])
        found = {}
        for one in self._visible():
            part = self._extent(one)
            table = self.table(one, part) if part is not None else None
            if table is not None:
                found[one.name] = table
        return found

    def _extent(self, component: Component) -> Interval | None:
        return next(
            (one for one in (self.view, self.zoom) if one is not None and len(one) <= component.longest), None
        )

    # Showing ----------------------------------------------------------------------------------------------------------

    def figure(self, *, enlarged: bool = True, only_ready: bool = False) -> plot.Figure:
        """The picture of the view.

        Parameters
        ----------
        enlarged
            Whether a part is repeated beneath, where single bases can be seen.
        only_ready
            Whether what has yet to be computed is only named.
        """
        if only_ready:
            return draw(self, enlarged=enlarged, pending=self.waiting())
        self._compute([self.view, self.zoom if enlarged else None])
        return draw(self, enlarged=enlarged, pending=[])

    def save(self, path: Any) -> Path:
        """Writes the still: .svg, .png or .html (a page that opens offline). Errors are those of `plot.Figure.save`."""
        return self.figure().save(path)

    def save_data(self, folder: Any, *, format: str = "tsv") -> Path:  # noqa: A002
        """Writes `tables` as one file a component, and `locus.json` with what they are; the folder appears whole.

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

    @cached_property
    def widget(self) -> Any:
        """The live explorer, for JupyterLab.

        Raises
        ------
        ImportError
            anywidget is not installed.
        """
        from ntviz.explore.locus_live import LiveLocus

        return LiveLocus(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return bundle(self, self.figure())


def _key(piece: Interval) -> tuple[str, int, int]:
    return canonical_contig(piece.chrom), piece.start, piece.end


def _pieces(component: Component, view: Interval) -> Sequence[Interval]:
    try:
        return component.pieces(view)
    except ValueError:
        # `table` tells it.
        return ()
