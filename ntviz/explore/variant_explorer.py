"""`explore.variant`: type a variant and see where it lies, every score, and what it changes; the same without controls elsewhere."""

from __future__ import annotations

import asyncio
import dataclasses
import html
import io
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import plot
from ntviz.annotation import Annotation, named
from ntviz.environment import atomic_write
from ntviz.explore import variant_words as words
from ntviz.explore.places import first_gene
from ntviz.explore.toolbar import Explorer
from ntviz.explore.variant_attention import Shift
from ntviz.explore.variant_card import Bench, Card
from ntviz.genome import Interval, Variant
from ntviz.plot import show
from ntviz.plot.theme import colours
from ntviz.plot.words import plain
from ntviz.reference import Reference
from ntviz.variants.backgrounds import Background
from ntviz.variants.options import Options
from ntviz.variants.scoring import Scorer

if TYPE_CHECKING:
    import ipywidgets
    import pandas as pd
    import plotly.graph_objects as go

    from ntviz.annotation.combining import Beds

LEAST, MOST = 10, 500
PARTS = {
    "substitutions": "every substitution around",
    "expected": "expected bases and attention, with either allele",
    "genes": "where it lies",
    "dependencies": "which bases depend on each other",
}
"""Figures of a card, in the order of a page."""


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
    layer, head
        Zero-based, of the attention shown; the head that changes most until another is chosen.
    """

    def __init__(self, bench: Bench, at: Any) -> None:
        self.bench, self.part, self._waiting = bench, "substitutions", False
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
        self._figures: dict[tuple[str, str], go.Figure | None] = {}

    def _state(self) -> Any:
        return self.card, self._chosen, self._figures, self.part

    def _restore(self, state: Any) -> None:
        self.card, self._chosen, self._figures, self.part = state

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
        self.go(str(Variant(stretch.chrom, position, ref, base)))

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
        self._chosen = int(layer), int(head)
        self._figures = {key: made for key, made in self._figures.items() if key[0] != "expected"}
        self.update()

    @property
    def layer(self) -> int:
        """Layer of the head shown; -1 without attention."""
        return self._head[0]

    @property
    def head(self) -> int:
        """Head shown; -1 without attention."""
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
        """Python that scores the variant, or the substitutions of the place, once more."""
        bench, card = self.bench, self.card
        lines = [
            "from ntviz import models, variants",
            "from ntviz.reference import Reference",
            "",
            f"model = models.load({bench.model.name!r})",
            f"reference = Reference({str(bench.reference.path)!r})",
        ]
        if card.variant is not None:
            lines.append(f"scores = variants.score(model, reference, {card.text!r}, window={bench.window})")
        if card.stretch is not None:
            at = card.stretch
            lines.append(f"around = variants.saturation(model, reference, '{at.chrom}:{at.start + 1}-{at.end}', window={bench.window})")
        return "\n".join(lines) + "\n"

    # Showing ----------------------------------------------------------------------------------------------------------

    def figure(self, part: str = "") -> go.Figure:
        """The figure of one of `PARTS`; of the one that is shown when empty.

        Raises
        ------
        ValueError
            There is no such part, or the card has no figure of it: for a place that the reference does not have, or without
            scores.
        """
        part = part or self.part
        if part not in PARTS:
            raise ValueError(f"A part must be one of {', '.join(PARTS)}; received {part!r}. Choose one of them.")
        made = self.figure_of(part)
        if made is None:
            raise ValueError(f"{self.card.name} has no figure of {PARTS[part]}. {words.reference_said(self.card)}")
        return made

    def figure_of(self, part: str) -> go.Figure | None:
        """The figure of a part, made once; None where there is nothing to draw."""
        key = part, colours().paper
        if key not in self._figures:
            make = {"substitutions": _substitutions, "expected": self._expected, "genes": _genes, "dependencies": _dependencies}[part]
            self._figures[key] = make(self.card)
        return self._figures[key]

    def drawn(self) -> go.Figure:
        """The figure for the page; words alone where the card has none."""
        return self.figure_of(self.part) or _words_alone(self)

    def _expected(self, card: Card) -> go.Figure | None:
        """Two logos, how far they differ, and where the token at the variant looks, on one axis."""
        both = card.contexts
        if both is None or card.variant is None or card.where is None:
            return None
        ref, alt = (plain(one, most=12) for one in (card.variant.ref, card.variant.alt))
        tracks = [
            plot.sequence_track(both.sequence),
            plot.logo_track(both.alternative, label=f"Expected bases with {alt}", control=both.reference, control_label=f"with {ref}, as in the reference"),
            plot.signal_track(both.divergence, label="Difference of the two", unit="nats", note="Jensen–Shannon divergence, 0 to 0.693", height=56),
        ]
        shift, marks = card.attention, {plain(card.name): card.where}
        if isinstance(shift, Shift):
            layer, head = self._head
            spans = shift.tokens.on(shift.interval)
            token = Interval(shift.interval.chrom, int(spans[shift.token, 0]), int(spans[shift.token, 1]))
            for values, label, arcs in ((shift.looks, "Where the token at the variant looks", token), (shift.seen, "What looks at that token", None)):
                tracks.append(plot.attention_track(values[1, layer, head], spans, label=f"{label}, with {alt}: layer {layer}, head {head}", unit="weight", query_span=arcs,
                                                   control=values[0, layer, head], control_label=f"with {ref}"))  # fmt: skip
            tracks[-2] = dataclasses.replace(tracks[-2], note=f"{moved_said(shift, (layer, head))}; grey, below zero: with {ref}")
        return plot.locus(both.interval, tracks, title=f"What the bases around {plain(card.name)} are expected to be", assembly=card.bench.reference.assembly, marks=marks, sequence=both.sequence)

    def clicked(self, event: dict[str, Any]) -> None:
        """A click on a cell of the map of substitutions turns to that substitution."""
        if self.part == "substitutions" and event.get("y") in tuple("ACGT") and event.get("z") is not None:
            self.say("scoring …")
            self.change(round(float(event["x"])), str(event["y"]))
            self.say("")

    def controls(self) -> Sequence[ipywidgets.Widget]:
        """The part that is shown, and the head."""
        import ipywidgets as w

        self._parts = w.Dropdown(options=[(text, name) for name, text in PARTS.items()], value=self.part, description="Show", layout=w.Layout(width="420px"))
        self._heads = w.Dropdown(options=self._head_options(), description="Head", layout=w.Layout(width="330px"))
        self._parts.observe(lambda change: self._doing(self._picked), "value")
        self._heads.observe(lambda change: self._doing(self._picked_head), "value")
        return (self._parts, self._heads)

    def _head_options(self) -> list[tuple[str, tuple[int, int]]]:
        shift = "" if self._waiting else self.card.attention
        if not isinstance(shift, Shift):
            return [("…" if self._waiting else "no attention to compare", (-1, -1))]
        return [(f"layer {layer}, head {head}: {shift.moved[layer, head]:.1%} moves", (layer, head)) for layer, head in shift.order]

    def _picked(self) -> None:
        if self.toolbar.syncing or self._parts.value == self.part:
            return
        self.say(f"{PARTS[self._parts.value]} …")
        wanted = self._parts.value
        if self.figure_of(wanted) is None:
            self.toolbar.sync()
        self.figure(wanted)
        self.part = wanted
        self.update(whole=True)
        self.say("")

    def _picked_head(self) -> None:
        if not self.toolbar.syncing and self._heads.value is not None and self._heads.value != self._head and self._heads.value[0] >= 0:
            self.part = "expected"
            self.choose(*self._heads.value)

    def sync(self) -> None:
        """Bring card and lists up to the variant."""
        if "_card_html" in self.__dict__:
            self._card_html.value = self.html()
        self._parts.value = self.part
        self._heads.options = self._head_options()
        self._heads.value = (-1, -1) if self._waiting else self._head

    def html(self) -> str:
        """Head and table of the scores, in the colours of the page around them; text is escaped."""
        label = html.escape(f"Variant {self.card.name}", quote=True)
        style = "max-width:960px;font-family:Helvetica,Arial,'Liberation Sans',sans-serif;font-size:13px;line-height:1.5;text-align:left"
        if self._waiting:
            return words.paragraph(f"{self.card.name} by {self.bench.model.name}: scoring …")
        parts = [words.head_html(self.card), words.table_html(self.card)]
        if self.card.scored and isinstance(self.card.attention, str):
            parts.append(words.paragraph(self.card.attention))
        return "\n".join([f'<section aria-label="{label}" data-ntviz="variant" style="{style}">', *parts, "</section>"])

    @cached_property
    def widget(self) -> ipywidgets.VBox:
        """Toolbar, card and live figure, for JupyterLab."""
        import ipywidgets

        self._card_html = ipywidgets.HTML(self.html())
        self.toolbar.sync()
        return ipywidgets.VBox([self.toolbar.box, self.toolbar.message, self._card_html, self.live])

    def page(self) -> str:
        """The whole card as an HTML page that opens offline."""
        figures = [made for made in map(self.figure_of, PARTS) if made is not None]
        return show.page(*figures, title=f"{self.card.name} by {self.bench.model.name}", before=self.html())

    def save(self, path: Any) -> Path:
        """The path that the card was written to: .html is the whole card, a page that opens offline; else as `Explorer.save`."""
        path = Path(path)
        if path.suffix.lower() != ".html":
            return super().save(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, "w") as handle:
            handle.write(self.page())
        return path

    def _scored(self) -> None:
        """Show scores and substitutions in the live card that began with the genes."""
        self._waiting, self.part = False, "substitutions"
        self.update(whole=True)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        from ntviz.plot.live import attended, present

        if attended():
            if "widget" not in self.__dict__ and self.figure_of("genes") is not None:
                # What takes no model is there at once; scores follow when the cell has ended.
                self.part, self._waiting = "genes", True
                asyncio.get_running_loop().call_later(0.2, self._doing, self._scored)
            return present(self.widget, self.live)
        display({"text/html": self.html(), "text/plain": repr(self)}, raw=True)
        for made in (self.figure_of("substitutions"), self.figure_of("expected")):
            if made is not None:
                made.show()
        return None


def _words_alone(explorer: VariantExplorer) -> go.Figure:
    """An empty figure with what the card says: a variant that cannot be scored is an answer too."""
    import plotly.graph_objects as go

    from ntviz.plot.theme import framed

    made = framed(go.Figure(), title=explorer.card.name, alt=repr(explorer), height=40, below=10)
    return made.update_xaxes(visible=False).update_yaxes(visible=False)


def _substitutions(card: Card) -> go.Figure | None:
    """Every substitution around, the variant marked."""
    around = card.saturation
    if around is None:
        return None
    marked = card.variant if card.scored and card.variant is not None and around.interval.contains(card.variant.interval) else None
    return plot.saturation(around, annotation=card.bench.annotation, variant=marked, title=f"Every substitution around {plain(card.name)}", assembly=card.bench.reference.assembly)


def _genes(card: Card) -> go.Figure | None:
    """The genes around; what the model reads is shaded."""
    if card.region is None or card.where is None:
        return None
    read = card.read or Interval.around(card.where.chrom, card.where.midpoint, card.bench.scorer.window_bp)
    beds = [plot.regions_track(bed.within(card.region).table, label=name) for name, bed in card.bench.beds.items()]
    marks = {plain(card.name): card.where} | ({"read by the model": read} if read.overlaps(card.region) else {})
    return plot.locus(card.region, [plot.genes_track(card.bench.annotation), *beds], title=f"Genes around {plain(card.name)}", assembly=card.bench.reference.assembly, marks=marks)


def _dependencies(card: Card) -> go.Figure | None:
    """Which bases next to the place depend on each other, the reference's allele in place."""
    if card.dependency is None:
        return None
    return plot.dependency(card.dependency, title=f"Which bases around {plain(card.name)} depend on each other", assembly=card.bench.reference.assembly)


def moved_said(shift: Shift, head: tuple[int, int]) -> str:
    """How much of the token's attention goes elsewhere in a head, and its place among all heads."""
    place = shift.order.index(head) + 1
    rank = "most" if place == 1 else f"number {place}"
    return f"{shift.moved[head]:.1%} of its attention goes elsewhere with the alternative: {rank} of {shift.moved.size} heads (median {np.median(shift.moved):.1%})."
