"""`explore.variant`: type a variant and see where it lies, every score, and what it changes; the same without controls elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import ipywidgets
import pandas as pd
import plotly.graph_objects as go

from ntviz.annotation import Annotation, Beds, named
from ntviz.explore import variant_figures as figures
from ntviz.explore import variant_words as words
from ntviz.explore.places import first_gene
from ntviz.explore.toolbar import Explorer, add_elements, checked_head
from ntviz.explore.variant_card import Bench, Card, Shift
from ntviz.genome import Variant
from ntviz.plot import show
from ntviz.plot.theme import framed
from ntviz.reference import Reference
from ntviz.storage import atomic_write
from ntviz.variants import Background, Options, Scorer, SpliceScorer

PARTS = {"around": "Around the variant", "splicing": "Splice sites", "genes": "Genes", "dependencies": "Dependencies"}


def variant(
    model: Any, reference: Reference, annotation: Annotation, *, at: Any = None, window: int | None = None, around: int = 60,
    background: Background | None = None, beds: Beds = (), splicing: Any = None,
) -> VariantExplorer:  # fmt: skip
    """A card of one variant: live in JupyterLab, a page that says as much elsewhere.

    It shows where the variant lies, whether REF is the reference's, every score, every substitution around, expected bases and
    attention with either allele, and which bases next to it depend on each other.

    Parameters
    ----------
    model, reference, annotation
        A `models.DNAModel` with a mask; bases; genes and other elements.
    at
        A `Variant`, or text that `Variant.from_str` knows ("chr20:43042364 C>T", 1-based); one that cannot be scored has a card
        that says why. A gene or a region shows the substitutions of its middle, to pick one. The annotation's first gene when None.
    window, around
        bp read around a token, what the model reads when None, at most 6,000; bp to each side whose substitutions are
        scored, 10 to 500.
    background
        From `variants.background` with the same window; its scores then have percentiles.
    beds
        More elements, as `annotation.named` takes them: a path, several, or paths or Annotations by name.
    splicing
        A splice network, such as `models.load("ci-spliceai")`: then the card says what the variant does to splice sites.

    Raises
    ------
    ValueError
        The place cannot be found, `around` is outside its limits, or the background was scored in another way.
    """
    if not 10 <= around <= 500:
        raise ValueError(f"around must be 10 to 500 bp to each side; received {around}. Use variants.saturation.")
    if background is not None:
        background.check(Scorer(model, reference, Options(background.scores, window=window)))
    scorer = Scorer(model, reference, Options(("all",), window=window))
    sites = None if splicing is None else SpliceScorer(splicing, reference, annotation)
    bench = Bench(model, reference, annotation, scorer, window, around, named(beds), background, sites)
    return VariantExplorer(bench, first_gene(reference, annotation) if at is None else at)


class VariantExplorer(Explorer):
    """A card that can be turned to another variant: by hand in JupyterLab, by `go`, `change` and `choose` in code.

    Attributes
    ----------
    card
        What is shown: `card.status`, `card.table()`, `card.saturation`, `card.contexts`, `card.attention`.
    where, part
        The variant, gene or region as a person types it; which of "around", "splicing", "genes" and "dependencies" the live figure shows.
    """

    def __init__(self, bench: Bench, at: Any) -> None:
        self.bench, self.part = bench, "around"
        self._outputs: list[Any] = []
        self._go(at)

    def __repr__(self) -> str:
        said = [f"{self.where} by {self.bench.model.name}.", words.reference_said(self.card)]
        return " ".join([*said, *words.seen(self.card)])

    def _go(self, what: Any) -> None:
        self.card = what if isinstance(what, Card) else self.bench.at(what)
        self.where = self.card.name

    def _state(self) -> Card:
        return self.card

    def change(self, position: int, base: str) -> None:
        """Turn to another base at a **1-based** position of the card's stretch; ValueError where it is not shown."""
        stretch = self.card.stretch
        if stretch is None or not stretch.contains(position - 1):
            shown = stretch.label() if stretch else "nothing"
            raise ValueError(f"A base must be among those shown; received position {position:,}, and {shown} is.")
        ref = self.bench.reference.fetch(f"{stretch.chrom}:{position}").sequence
        self.go(Variant(stretch.chrom, position, ref, base))

    def choose(self, layer: int, head: int) -> None:
        """Show another head, both numbers from 0; ValueError where there is none."""
        self.card.chosen, before, self.part = checked_head(self.bench.model, layer, head), self.part, "around"
        self.update(whole=before != "around")

    def table(self) -> pd.DataFrame:
        """One row a score; see `Card.table`."""
        return self.card.table()

    def tsv(self) -> str:
        """The table as text, with what it is in the first lines."""
        said = [repr(self), f"status: {self.card.status or 'no variant'}", words.limits(self.bench)]
        return "".join(f"# {line}\n" for line in said) + self.table().to_csv(sep="\t", index=False)

    def code(self) -> str:
        """Python that scores the variant, and the substitutions of the place, once more."""
        model, path, window = self.bench.model.name, str(self.bench.reference.path), self.bench.window
        text = "from ntviz import models, variants\nfrom ntviz.reference import Reference\n\n"
        text += f"model = models.load({model!r})\nreference = Reference({path!r})\n"
        if (variant := self.card.variant) is not None:
            text += f"scores = variants.score(model, reference, {str(variant)!r}, scores='all', window={window})\n"
        if (stretch := self.card.stretch) is not None:
            text += f"around = variants.saturation(model, reference, {str(stretch)!r}, window={window})\n"
        return text

    def add_file(self, name: str, text: str) -> str:
        """Add elements from the text of a BED or GFF file; what was read, in words."""
        return add_elements(name, text, self.bench.annotation.kinds, self.bench.beds, lambda _: "; see Genes")

    def figure(self, part: str = "around") -> go.Figure:
        """The part "around" (all on one genome axis), "splicing", "genes" or "dependencies"; ValueError where the card has none."""
        if part not in PARTS:
            raise ValueError(f"A part must be one of {', '.join(PARTS)}; received {part!r}.")
        figure = self._drawn(part, complete=True)
        if figure is None:
            raise ValueError(f"{self.where} has no figure {PARTS[part]!r}. {words.reference_said(self.card)}")
        return figure

    def _drawn(self, part: str, *, complete: bool = False) -> go.Figure | None:
        """A figure of what has been computed, or of all; None where the card has none."""
        if part != "around":
            return getattr(figures, part)(self.card)
        for name in self.card.lacking if complete else ():
            getattr(self.card, name)
        return figures.around(self.card)

    def drawn(self) -> go.Figure:
        """The figure for the page, of what has been computed; a sentence where there is none."""
        blank = go.Figure(layout={"xaxis": {"visible": False}, "yaxis": {"visible": False}})
        return self._drawn(self.part) or framed(blank, title=self.where, alt=repr(self), height=40, below=10)

    def clicked(self, event: dict[str, Any]) -> None:
        """A click on a cell of the map of substitutions turns to that substitution."""
        if self.part == "around" and event.get("y") in tuple("ACGT") and event.get("z") is not None:
            self.say("Scoring …")
            self.change(round(float(event["x"])), str(event["y"]))

    def controls(self) -> Sequence[ipywidgets.Widget]:
        """The part that is shown, and the head."""
        names = [(text, name) for name, text in PARTS.items() if name != "splicing" or self.bench.splicing]
        self._parts = ipywidgets.ToggleButtons(options=names, style={"button_width": "150px"})
        self._heads = ipywidgets.Dropdown(options=[("", (-1, -1))], description="Head", layout={"width": "330px"})
        self._parts.observe(lambda _: self.toolbar.syncing or self._doing(self._picked), "value")
        self._heads.observe(lambda _: self.toolbar.syncing or self._doing(lambda: self.choose(*self._heads.value)), "value")  # fmt: skip
        return self._parts, self._heads

    def _picked(self) -> None:
        self.say(f"{PARTS[self._parts.value]} …")
        try:
            if self._parts.value != "around":
                self.figure(self._parts.value)
            self.part = self._parts.value
            self.say("")
            self.update(whole=True)
        finally:
            self.toolbar.sync()

    def sync(self) -> None:
        """Bring part and heads up to the variant."""
        self._parts.value = self.part
        options, head = [("…" if self.card.lacking else "no attention to compare", (-1, -1))], (-1, -1)
        if not self.card.lacking and isinstance(shift := self.card.attention, Shift):
            labels = [f"layer {i}, head {j}: {shift.moved[i, j]:.1%} moves" for i, j in shift.order]
            options, head = list(zip(labels, shift.order, strict=True)), self.card.head
        if list(self._heads.options) != options:
            self._heads.options = options
        self._heads.value = head

    def html(self) -> str:
        """Words and table of the scores, in the colours of the page around them; text is escaped."""
        return words.as_html(self.card)

    @cached_property
    def widget(self) -> ipywidgets.VBox:
        """Card, toolbar and live figure, for JupyterLab."""
        self._words = ipywidgets.HTML(self.html())
        return ipywidgets.VBox([self._words, self._box])

    @cached_property
    def _box(self) -> ipywidgets.VBox:
        """Toolbar and live figure: substitutions at once, the rest as it is computed."""
        self.toolbar.sync()
        box = ipywidgets.VBox([self.toolbar.box, self.toolbar.message, self.live])
        self._fill()
        return box

    def update(self, *, whole: bool = False) -> None:
        """Draw the state anew where it is live, and compute what it lacks; the zoom stays unless `whole`."""
        super().update(whole=whole)
        if "_words" in self.__dict__:
            self._words.value = self.html()
        for output in self._outputs:
            output.update(self._bundle(), raw=True)

    def _step(self) -> bool:
        """Compute and draw what the alternative changes, one after the other; whether there is more to do."""
        lacking = self.card.lacking if self.part == "around" else []
        if lacking:
            self.say("Computing what the alternative changes …")
            getattr(self.card, lacking[0])
            self.live.show(self.drawn())
            self.toolbar.sync()
            self.say("")
        return bool(lacking)

    def save(self, path: Any) -> Path:
        """The path that the card was written to: .html is the whole card, a page that opens offline; else as `Explorer.save`."""
        if Path(path).suffix.lower() != ".html":
            return super().save(path)
        title, parts = f"{self.where} by {self.bench.model.name}", [self._drawn(part, complete=True) for part in PARTS]
        with atomic_write(path, "w") as handle:
            handle.write(show.page(*filter(None, parts), title=title, before=self.html()))
        return Path(path)

    def _bundle(self, *, scores: bool = True) -> dict[str, str]:
        return {"text/html": words.as_html(self.card, scores=scores), "text/plain": repr(self) if scores else self.where}  # fmt: skip

    def _ipython_display_(self) -> None:
        from IPython.display import display

        from ntviz.plot.live import attended, present

        if not attended():
            display(self._bundle(), raw=True)
            if self.card.stretch is not None:
                self.figure().show()
            return
        # Where it lies takes no model and is there at once. The words stay in the notebook for readers without a kernel.
        self._outputs.append(display(self._bundle(scores=False), raw=True, display_id=True))
        self._outputs[-1].update(self._bundle(), raw=True)
        present(self._box, self.live)
