"""`explore.variant`: type a variant and see where it lies, every score, and what it changes; the same as a still elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ntviz import plot
from ntviz.annotation import Annotation
from ntviz.annotation import read as read_annotation
from ntviz.explore import variant_figures as figures
from ntviz.explore import variant_words as words
from ntviz.explore.places import first_gene
from ntviz.explore.surfaces import bundle
from ntviz.explore.variant_attention import Shift
from ntviz.explore.variant_card import Bench, Card
from ntviz.explore.variant_still import VariantStill
from ntviz.genome import Variant
from ntviz.reference import Reference
from ntviz.variants.backgrounds import Background
from ntviz.variants.options import Options
from ntviz.variants.scoring import Scorer

LEAST, MOST = 10, 500
PARTS = {
    "head": "reading both alleles",
    "genes": "drawing the genes around",
    "scores": "writing the scores",
    "substitutions": "scoring every substitution around",
    "expected": "reading the neighbours with both alleles",
    "attention": "observing attention with both alleles",
    "dependencies": "asking which bases around depend on each other",
}
"""Parts of a card in the order in which they are made, and what is being done then."""
SHOWN = ("head", "genes", "scores", "expected", "attention", "substitutions", "dependencies")
"""The same from top to bottom."""


def variant(
    model: Any,
    reference: Reference,
    annotation: Annotation,
    *,
    at: Any = None,
    window: int | None = None,
    around: int = 60,
    background: Background | None = None,
    beds: Mapping[str, Annotation] | Sequence[str] = (),
) -> VariantExplorer:
    """A card of one variant: live in JupyterLab, a still that says as much elsewhere.

    It shows where the variant lies, whether REF is the reference's, every score of `variants.SCORES`, the expected bases
    with either allele around them, attention before and after, every substitution around, and which bases next to it
    depend on each other.

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
        bp read around a word; None takes what the model reads, at most 6,000.
    around
        bp to each side whose substitutions are scored, 10 to 500.
    background
        From `variants.background` with the same window; its scores then have percentiles.
    beds
        More elements: annotations by name, or paths of BED and GFF files.

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
    if not isinstance(beds, Mapping):
        read = [read_annotation(path) for path in beds]
        beds = {one.source: one for one in read}
    scorer = Scorer(model, reference, Options(("all",), window=window))
    bench = Bench(model, reference, annotation, scorer, window, around, dict(beds), background)
    return VariantExplorer(bench, first_gene(reference, annotation) if at is None else at)


class VariantExplorer:
    """A card that can be turned to another variant: by hand in JupyterLab, by `go`, `change` and `choose` in code.

    Attributes
    ----------
    card
        What is shown: `card.status`, `card.table()`, `card.saturation`, `card.contexts`, `card.attention`.
    layer, head
        Zero-based, of the attention shown; the head that changes most until another is chosen.
    """

    def __init__(self, bench: Bench, at: Any) -> None:
        self.bench = bench
        self.go(at)

    def __repr__(self) -> str:
        return repr(VariantStill(self.card, {}, {}))

    # Moving -----------------------------------------------------------------------------------------------------------

    def go(self, what: Any) -> None:
        """Turns to a variant, a gene or a region. Errors are those of `explore.variant`; the card then stays."""
        self.card: Card = self.bench.at(what)
        self._chosen: tuple[int, int] | None = None
        self._figures: dict[str, plot.Figure | None] = {}

    def change(self, position: int, base: str) -> None:
        """Turns to the substitution of one base of the card's stretch.

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
        if not isinstance(shift, Shift):
            return -1, -1
        return self._chosen or shift.order[0]

    def choose(self, layer: int, head: int) -> None:
        """Shows another head.

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
        self._figures.pop("attention", None)

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

    # Showing ----------------------------------------------------------------------------------------------------------

    def figure(self, name: str) -> plot.Figure | None:
        """The picture of a part: "genes", "expected", "attention", "substitutions" or "dependencies"; None if there is none."""
        drawn: dict[str, Callable[[], plot.Figure | None]] = {
            "genes": lambda: figures.genes(self.card),
            "expected": lambda: figures.expected(self.card),
            "attention": lambda: figures.attention(self.card, self._head),
            "substitutions": lambda: figures.substitutions(self.card),
            "dependencies": lambda: figures.dependencies(self.card),
        }
        if name not in self._figures:
            self._figures[name] = drawn[name]()
        return self._figures[name]

    def part(self, name: str) -> str:
        """HTML of one of `PARTS`; empty where there is nothing to show."""
        if name == "head":
            return words.head_html(self.card)
        if name == "scores":
            return words.table_html(self.card)
        figure = self.figure(name)
        said = words.around_html(self.card, name, figure is not None)
        return said + (figure.html() if figure is not None else "")

    def still(self) -> VariantStill:
        """The card as a still, which saves itself and shows itself in every surface."""
        parts = {name: self.part(name) for name in PARTS}
        drawn = {name: self._figures.get(name) for name in SHOWN}
        return VariantStill(
            self.card,
            {name: parts[name] for name in SHOWN},
            {name: figure for name, figure in drawn.items() if figure is not None},
        )

    def save(self, path: Any) -> Path:
        """Writes the card: .html (a page that opens offline), .png or .svg."""
        return self.still().save(path)

    @cached_property
    def widget(self) -> Any:
        """The live card, for JupyterLab.

        Raises
        ------
        ImportError
            anywidget is not installed.
        """
        from ntviz.explore.variant_live import LiveVariant

        return LiveVariant(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return bundle(self, self.still())
