"""The figures of a variant card: all that is around it on one genome axis, the genes, the dependencies."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from ntviz import plot
from ntviz.explore.locus_component import words_track
from ntviz.explore.variant_attention import Shift
from ntviz.explore.variant_card import Card
from ntviz.genome import Interval
from ntviz.plot.words import plain

if TYPE_CHECKING:
    import plotly.graph_objects as go


def around(card: Card, head: tuple[int, int] | None) -> go.Figure | None:
    """Genes, every substitution, expected bases and attention with either allele, of these what has been computed."""
    if card.saturation is None:
        return None
    tracks = []
    if "contexts" not in card.lacking:
        tracks += _expected(card)
    if "attention" not in card.lacking:
        tracks += _attention(card, head)
    marked = card.variant if card.scored and card.variant and card.saturation.interval.contains(card.variant.interval) else None
    title = f"{plain(card.name)} and every substitution around it" if card.variant else f"Every substitution around {plain(card.name)}"
    return plot.saturation(card.saturation, annotation=card.bench.annotation, tracks=tracks, variant=marked, title=title,
                           assembly=card.bench.reference.assembly)  # fmt: skip


def _alleles(card: Card) -> tuple[str, str]:
    return (plain(card.variant.ref, most=12), plain(card.variant.alt, most=12)) if card.variant else ("", "")


def _expected(card: Card) -> list[plot.Track]:
    """What the bases around are expected to be with the alternative, and how far that is from what they are with the reference."""
    both, (ref, alt) = card.contexts, _alleles(card)
    if both is None:
        return []
    logo = plot.logo_track(both.alternative, label=f"Bases the model expects with {alt}", control=both.reference, control_label=f"with {ref}, as above")
    difference = plot.signal_track(both.divergence, label="Difference of the two", unit="nats", height=56,
                                   note="Jensen–Shannon divergence, 0 to 0.693; 0 in the token of a substitution, which is hidden")  # fmt: skip
    return [logo, difference]


def _attention(card: Card, head: tuple[int, int] | None) -> list[plot.Track]:
    """Where the token at the variant looks and what looks at it, in one head, or in words why there is nothing."""
    shift, (ref, alt) = card.attention, _alleles(card)
    if not isinstance(shift, Shift):
        return [words_track("Attention", shift)] if card.scored else []
    layer, number = head or shift.order[0]
    spans, grey = shift.tokens.on(shift.interval), f"with {ref}"
    token = Interval(shift.interval.chrom, int(spans[shift.token, 0]), int(spans[shift.token, 1]))
    looks, seen = (
        plot.attention_track(weights[1, layer, number], spans, label=f"{label} with {alt}: layer {layer}, head {number}", unit="weight",
                             query_span=query, control=weights[0, layer, number], control_label=grey)
        for weights, label, query in (
            (shift.looks, "Where the token at the variant looks", token), (shift.seen, "What looks at that token", None),
        )
    )  # fmt: skip
    return [dataclasses.replace(looks, note=f"{moved_said(shift, (layer, number))}; grey, below zero: {grey}"), seen]


def moved_said(shift: Shift, head: tuple[int, int]) -> str:
    """How much of the token's attention goes elsewhere in a head, and its place among all heads."""
    place = shift.order.index(head) + 1
    rank = "most" if place == 1 else f"number {place}"
    return f"{shift.moved[head]:.1%} of its attention goes elsewhere: {rank} of {shift.moved.size} heads (median {np.median(shift.moved):.1%})"


def genes(card: Card) -> go.Figure | None:
    """The genes and the elements of the user's files around; what the model reads is shaded."""
    if card.region is None or card.where is None:
        return None
    read = card.read or Interval.around(card.where.chrom, card.where.midpoint, card.bench.scorer.window_bp)
    beds = [plot.regions_track(bed.within(card.region).table, label=name) for name, bed in card.bench.beds.items()]
    marks = {plain(card.name): card.where} | ({"read by the model": read} if read.overlaps(card.region) else {})
    return plot.locus(card.region, [plot.genes_track(card.bench.annotation), *beds], title=f"Genes around {plain(card.name)}",
                      assembly=card.bench.reference.assembly, marks=marks)  # fmt: skip


def dependencies(card: Card) -> go.Figure | None:
    """Which bases next to the place depend on each other, the reference's allele in place."""
    if card.dependency is None:
        return None
    title = f"Which bases around {plain(card.name)} depend on each other"
    return plot.dependency(card.dependency, title=title, assembly=card.bench.reference.assembly)


def words_alone(card: Card, said: str) -> go.Figure:
    """An empty figure with what the card says: a variant that cannot be scored is an answer too."""
    import plotly.graph_objects as go

    from ntviz.plot.theme import framed

    made = framed(go.Figure(), title=card.name, alt=said, height=40, below=10)
    return made.update_xaxes(visible=False).update_yaxes(visible=False)
