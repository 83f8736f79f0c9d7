"""`explore.variant`: type a variant and see where it lies, every score, and what it changes; the same without controls elsewhere."""

from __future__ import annotations

import asyncio
import html
import io
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz.annotation import Annotation, Beds, named
from ntviz.environment import atomic_write
from ntviz.explore import variant_figures as figures
from ntviz.explore import variant_words as words
from ntviz.explore.places import first_gene
from ntviz.explore.toolbar import Explorer, elements_of
from ntviz.explore.variant_attention import Shift
from ntviz.explore.variant_card import Bench, Card
from ntviz.genome import Variant
from ntviz.plot import show
from ntviz.reference import Reference
from ntviz.variants.backgrounds import Background
from ntviz.variants.options import Options
from ntviz.variants.scoring import Scorer

if TYPE_CHECKING:
    import ipywidgets
    import pandas as pd
    import plotly.graph_objects as go

LEAST, MOST = 10, 500
PARTS = {"around": "Around the variant", "genes": "Genes", "dependencies": "Dependencies"}
"""Figures of a card, in the order of a page."""
STEPS = {"contexts": "expected bases with either allele", "attention": "attention with either allele"}


def variant(
    model: Any,
    reference: Reference,
    annotation: Annotation,
    *,
    at: Any = None,
    window: int | None = None,
    around: int = 60,
    background: Background | None = None,
    beds: Beds = (),
) -> VariantExplorer:
    """A card of one variant: live in JupyterLab, a page that says as much elsewhere.

    It shows where the variant lies, whether REF is the reference's, every score of `variants.SCORES`, every substitution
    around, the expected bases with either allele and attention before and after, and which bases next to it depend on each
    other.

    Parameters
    ----------
    model
        A `models.DNAModel` with a mask.
    reference
        Bases.
    annotation
        Genes and other elements.
    at
        A variant in any dialect that `Variant.from_str` knows ("chr20:43042364 C>T", 1-based), or a `Variant`; a gene or
        a region shows the substitutions of its middle, to pick one. The annotation's first gene when None. A variant that
        cannot be scored has a card that says why.
    window
        bp read around a token; None takes what the model reads, at most 6,000.
    around
        bp to each side whose substitutions are scored, 10 to 500.
    background
        From `variants.background` with the same window; its scores then have percentiles.
    beds
        More elements, as `annotation.named` takes them: a path, several, or paths or Annotations by name.

    Raises
    ------
    ValueError
        The place cannot be found, `around` is outside its limits, or the background was scored in another way.
    """
    if not LEAST <= around <= MOST:
        raise ValueError(
            f"around must be {LEAST} to {MOST} bp to each side; received {around}. variants.saturation scores longer loci."
        )
    if background is not None:
        background.check(Scorer(model, reference, Options(background.scores, window=window)))
    scorer = Scorer(model, reference, Options(("all",), window=window))
    bench = Bench(model, reference, annotation, scorer, window, around, named(beds), background)
    return VariantExplorer(bench, first_gene(reference, annotation) if at is None else at)


class VariantExplorer(Explorer):
    """A card that can be turned to another variant: by hand in JupyterLab, by `go`, `change` and `choose` in code.

    Attributes
    ----------
    card
        What is shown: `card.status`, `card.table()`, `card.saturation`, `card.contexts`, `card.attention`.
    part
        Which of `PARTS` the live figure shows.
    """

    def __init__(self, bench: Bench, at: Any) -> None:
        self.bench, self.part = bench, "around"
        self._outputs: list[Any] = []
        self._go(at)

    def __repr__(self) -> str:
        card = self.card
        return " ".join([f"{card.name} by {card.bench.model.name}.", words.reference_said(card), *words.seen(card)])

    # Moving -----------------------------------------------------------------------------------------------------------

    @property
    def where(self) -> str:
        """The variant, gene or region, as a person types it."""
        return self.card.name

    def _go(self, what: Any) -> None:
        self.card: Card = self.bench.at(what)
        self._chosen: tuple[int, int] | None = None

    def _state(self) -> Any:
        return self.card, self._chosen

    def _restore(self, state: Any) -> None:
        self.card, self._chosen = state

    def change(self, position: int, base: str) -> None:
        """Turn to the substitution of one base of the card's stretch.

        Parameters
        ----------
        position
            **1-based**.
        base
            A, C, G or T, other than the reference's.

        Raises
        ------
        ValueError
            The position is not shown, or the base is the reference's.
        """
        stretch = self.card.stretch
        if stretch is None or not stretch.start < position <= stretch.end:
            shown = "nothing" if stretch is None else stretch.label()
            raise ValueError(
                f"A base must be among those shown; received position {position:,}, and {shown} is shown. Type the variant."
            )
        ref = self.bench.reference.fetch(f"{stretch.chrom}:{position}").sequence
        self.go(Variant(stretch.chrom, position, ref, base))

    def choose(self, layer: int, head: int) -> None:
        """Show another head.

        Raises
        ------
        ValueError
            There is no such head.
        """
        model = self.bench.model
        if not (0 <= layer < model.layers and 0 <= head < model.heads):
            raise ValueError(
                f"A head must be one of {model.layers} layers by {model.heads} heads, numbered from 0; received "
                f"({layer}, {head}). Choose one of these."
            )
        self._chosen, before, self.part = (int(layer), int(head)), self.part, "around"
        self.update(whole=before != "around")

    @property
    def layer(self) -> int:
        """Layer of the head shown, from 0: the one that changes most until another is chosen; -1 without attention."""
        return self._head[0]

    @property
    def head(self) -> int:
        """Head shown, from 0: the one that changes most until another is chosen; -1 without attention."""
        return self._head[1]

    @property
    def _head(self) -> tuple[int, int]:
        shift = self.card.attention
        return (self._chosen or shift.order[0]) if isinstance(shift, Shift) else (-1, -1)

    # Reading ----------------------------------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """One row a score; see `Card.table`."""
        return self.card.table()

    def tsv(self) -> str:
        """The table as text, with what it is in the first lines."""
        out = io.StringIO()
        said = [repr(self), f"status: {self.card.status or 'no variant'}", words.limits(self.card)]
        out.write("".join(f"# {line}\n" for line in said))
        self.table().to_csv(out, sep="\t", index=False)
        return out.getvalue()

    def code(self) -> str:
        """Python that scores the variant, and the substitutions of the place, once more."""
        bench, card = self.bench, self.card
        lines = [
            "from ntviz import models, variants",
            "from ntviz.reference import Reference",
            "",
            f"model = models.load({bench.model.name!r})",
            f"reference = Reference({str(bench.reference.path)!r})",
        ]
        if card.variant is not None:
            lines.append(f"scores = variants.score(model, reference, {str(card.variant)!r}, scores='all', window={bench.window})")
        if (at := card.stretch) is not None:
            lines.append(f"around = variants.saturation(model, reference, '{at.chrom}:{at.start + 1}-{at.end}', window={bench.window})")
        return "\n".join(lines) + "\n"

    def add_file(self, name: str, text: str) -> str:
        """Add elements from the text of a BED or GFF file; what was read, in words.

        Raises
        ------
        ValueError
            Nothing of it can be read.
        """
        new = elements_of(name, text, {*self.bench.annotation.kinds, *self.bench.beds})
        self.bench.beds.update(new)
        self.card.__dict__.pop("elements", None)
        said = [f"{name}: {len(one):,} features; see Genes." for name, one in new.items()]
        return " ".join([*said, *(one.note for one in new.values() if one.note)])

    # Showing ----------------------------------------------------------------------------------------------------------

    def figure(self, part: str = "around") -> go.Figure:
        """One of `PARTS` as a figure: "around" has genes, every substitution, expected bases and attention on one axis.

        Raises
        ------
        ValueError
            There is no such part, or the card has no figure of it: for a place that the reference does not have.
        """
        if part not in PARTS:
            raise ValueError(f"A part must be one of {', '.join(PARTS)}; received {part!r}. Choose one of them.")
        for name in self.card.lacking if part == "around" else ():
            getattr(self.card, name)
        made = self._drawn(part)
        if made is None:
            raise ValueError(f"{self.card.name} has no figure {PARTS[part]!r}. {words.reference_said(self.card)}")
        return made

    def figures(self) -> list[go.Figure]:
        """Figures of all parts that have one."""
        for name in self.card.lacking:
            getattr(self.card, name)
        return [made for made in map(self._drawn, PARTS) if made is not None]

    def _drawn(self, part: str) -> go.Figure | None:
        return figures.around(self.card, self._chosen) if part == "around" else getattr(figures, part)(self.card)

    def drawn(self) -> go.Figure:
        """The figure for the page, of what has been computed; a sentence where there is none."""
        return self._drawn(self.part) or figures.words_alone(self.card, repr(self))

    def clicked(self, event: dict[str, Any]) -> None:
        """A click on a cell of the map of substitutions turns to that substitution."""
        if self.part == "around" and event.get("y") in tuple("ACGT") and event.get("z") is not None:
            self.say("Scoring …")
            self.change(round(float(event["x"])), str(event["y"]))
            self.say("")

    def controls(self) -> Sequence[ipywidgets.Widget]:
        """The part that is shown, and the head."""
        import ipywidgets as w

        self._parts = w.ToggleButtons(options=[(text, name) for name, text in PARTS.items()], style={"button_width": "150px"})
        self._heads = w.Dropdown(options=[("", (-1, -1))], description="Head", layout=w.Layout(width="330px"))
        self._parts.observe(lambda _: self._doing(self._picked), "value")
        self._heads.observe(lambda _: self._doing(self._picked_head), "value")
        return self._parts, self._heads

    def _picked(self) -> None:
        if self.toolbar.syncing:
            return
        self.say(f"{PARTS[self._parts.value]} …")
        try:
            if self._drawn(self._parts.value) is not None or self._parts.value == "around":
                self.part = self._parts.value
                self.update(whole=True)
                self.say("")
            else:
                self.figure(self._parts.value)
        finally:
            self.toolbar.sync()

    def _picked_head(self) -> None:
        if not self.toolbar.syncing and self._heads.value[0] >= 0:
            self.choose(*self._heads.value)

    def sync(self) -> None:
        """Bring card and lists up to the variant."""
        self._parts.value = self.part
        shift = "" if self.card.lacking else self.card.attention
        options, head = [("…" if self.card.lacking else "no attention to compare", (-1, -1))], (-1, -1)
        if isinstance(shift, Shift):
            options = [(f"layer {i}, head {j}: {shift.moved[i, j]:.1%} moves", (i, j)) for i, j in shift.order]
            head = self._head
        if list(self._heads.options) != options:
            self._heads.options = options
        self._heads.value = head

    def html(self, *, scores: bool = True) -> str:
        """Words and table of the scores, in the colours of the page around them; text is escaped. Without `scores` nothing is computed."""
        label = html.escape(f"Variant {self.card.name}", quote=True)
        style = "max-width:960px;font-family:Helvetica,Arial,'Liberation Sans',sans-serif;font-size:13px;line-height:1.5;text-align:left"
        parts = [words.head_html(self.card, scores), words.table_html(self.card) if scores else words.paragraph("Scoring …")]
        return "\n".join([f'<section aria-label="{label}" data-ntviz="variant" style="{style}">', *parts, "</section>"])

    @cached_property
    def widget(self) -> ipywidgets.VBox:
        """Card, toolbar and live figure, for JupyterLab."""
        import ipywidgets

        self._words = ipywidgets.HTML(self.html())
        return ipywidgets.VBox([self._words, self._box])

    @cached_property
    def _box(self) -> ipywidgets.VBox:
        """Toolbar and live figure: substitutions at once, the rest as it is computed."""
        import ipywidgets

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
        if "live" in self.__dict__:
            self._fill()

    def _fill(self) -> None:
        """Compute what the live figure lacks, one after the other; in between the kernel answers the page and runs other cells."""
        card = self.card

        def step() -> None:
            if card is self.card and self.part == "around" and card.lacking:
                self.say(f"Computing {STEPS[card.lacking[0]]} …")
                self._doing(compute)

        def compute() -> None:
            getattr(card, card.lacking[0])
            Explorer.update(self)
            self.say("")
            again()

        def again() -> None:
            try:
                asyncio.get_running_loop().call_later(0.005, step)
            except RuntimeError:
                step()

        again()

    def page(self) -> str:
        """The whole card as an HTML page that opens offline."""
        return show.page(*self.figures(), title=f"{self.card.name} by {self.bench.model.name}", before=self.html())

    def save(self, path: Any) -> Path:
        """The path that the card was written to: .html is the whole card, a page that opens offline; else as `Explorer.save`."""
        path = Path(path)
        if path.suffix.lower() != ".html":
            return super().save(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, "w") as handle:
            handle.write(self.page())
        return path

    def _bundle(self, **options: bool) -> dict[str, str]:
        return {"text/html": self.html(**options), "text/plain": repr(self) if not options else self.card.name}

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
