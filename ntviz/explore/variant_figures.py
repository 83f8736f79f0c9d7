"""The pictures of a card: genes, expected bases with both alleles, attention before and after, all substitutions around."""

from __future__ import annotations

import numpy as np

from ntviz import plot
from ntviz.explore.variant_attention import Shift
from ntviz.explore.variant_card import Card
from ntviz.genome import Interval
from ntviz.plot.words import plain

WIDTH = 8.6
"""Inches of 96 CSS pixels: a card is 900 px wide."""


def genes(card: Card) -> plot.Figure | None:
    """The genes around; what the model reads is shaded."""
    if card.region is None or card.where is None:
        return None
    name = plain(card.name)
    read = card.read or Interval.around(card.where.chrom, card.where.midpoint, card.bench.scorer.window_bp)
    marks = {} if not read.overlaps(card.region) else {"read by the model": read}
    return plot.locus(
        card.region,
        [plot.genes_track(card.bench.annotation)],
        title=f"Genes around {name}",
        assembly=card.bench.reference.assembly,
        marks=marks,
        caption="Shaded: the bases that the model reads around it.",
        width=WIDTH,
    )


def expected(card: Card) -> plot.Figure | None:
    """Two logos and how far they differ."""
    both = card.contexts
    if both is None or card.variant is None or card.where is None:
        return None
    ref, alt = (plain(one, most=12) for one in (card.variant.ref, card.variant.alt))
    divergence = both.divergence
    title = f"What the neighbours of {plain(card.name)} are expected to be"
    return plot.locus(
        both.interval,
        [
            plot.sequence_track(both.sequence, label="Reference"),
            plot.logo_track(
                both.alternative,
                label=f"Expected with {alt}",
                control=both.reference,
                control_label=f"expected with {ref}, as in the reference",
            ),
            plot.signal_track(
                divergence,
                label="Difference",
                unit="nats",
                note="Jensen–Shannon divergence of the two, 0 to 0.693",
                height=0.6,
            ),
        ],
        title=title,
        assembly=card.bench.reference.assembly,
        marks={plain(card.name): card.where},
        caption="Each word hidden in turn, both strands averaged, with either allele around it. At the word that holds a "
        "substitution the two are one: it is hidden itself. A word that an insertion or deletion cuts has none.",
        width=WIDTH,
    )


def attention(card: Card, head: tuple[int, int]) -> plot.Figure | None:
    """Where the variant's word looks and what looks at it, in one head, with both alleles."""
    shift = card.attention
    if not isinstance(shift, Shift) or card.variant is None:
        return None
    layer, number = head
    spans = shift.tokens.on(shift.interval)
    start, end = (int(edge) for edge in spans[shift.token])
    word = Interval(shift.interval.chrom, start, end)
    looks, seen = shift.looks[:, layer, number], shift.seen[:, layer, number]
    alternative = f"with {plain(card.variant.alt, most=12)}"
    control = f"with {plain(card.variant.ref, most=12)}, as in the reference"
    return plot.locus(
        shift.interval,
        [
            plot.attention_track(
                looks[1],
                spans,
                label=f"Where it looks {alternative}",
                query_span=word,
                control=looks[0],
                control_label=control,
            ),
            plot.attention_track(
                seen[1],
                spans,
                label=f"What looks at it {alternative}",
                unit="weight",
                control=seen[0],
                control_label=control,
            ),
        ],
        title=f"Attention of the word at {plain(card.name)}: layer {layer}, head {number}",
        assembly=card.bench.reference.assembly,
        marks={plain(card.name): word},
        caption=f"{moved_said(shift, head)} Shaded: the word of {len(word)} bp that holds the variant.",
        width=WIDTH,
    )


def moved_said(shift: Shift, head: tuple[int, int]) -> str:
    """How much of the word's attention goes elsewhere in a head, and its place among all heads."""
    place = shift.order.index(head) + 1
    every = shift.moved.size
    rank = "most" if place == 1 else f"number {place}"
    return (
        f"{shift.moved[head]:.1%} of its attention goes elsewhere with the alternative: {rank} of {every} heads "
        f"(median {np.median(shift.moved):.1%})."
    )


def substitutions(card: Card) -> plot.Figure | None:
    """Every substitution around, the variant marked."""
    around = card.saturation
    if around is None:
        return None
    marked = None
    if card.scored and card.variant is not None and around.interval.contains(card.variant.interval):
        marked = card.variant
    return plot.saturation(
        around,
        variant=marked,
        title=f"Every substitution around {plain(card.name)}",
        assembly=card.bench.reference.assembly,
        width=WIDTH,
    )


def dependencies(card: Card) -> plot.Figure | None:
    """Which bases next to the place depend on each other, the reference's allele in place."""
    if card.dependency is None:
        return None
    return plot.dependency(
        card.dependency,
        title=f"Which bases around {plain(card.name)} depend on each other",
        assembly=card.bench.reference.assembly,
        width=WIDTH,
    )
