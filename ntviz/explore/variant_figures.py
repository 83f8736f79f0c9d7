"""The figures of a variant card: all that is around it on one genome axis, the genes, the dependencies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from ntviz import plot
from ntviz.explore.locus_component import words_track
from ntviz.explore.variant_card import Card, Shift
from ntviz.genome import Interval
from ntviz.plot.words import plain

NEAR, WHOLE = 20_000, 150_000
"""bp drawn around a variant outside of genes, and of a gene that is drawn whole, at most."""


def around(card: Card) -> go.Figure | None:
    """Genes, every substitution, expected bases and attention with either allele, of these what has been computed."""
    variant, tracks = card.variant if card.scored else None, []
    if card.saturation is None:
        return None
    ref, alt = (plain(allele, most=12) for allele in ((variant.ref, variant.alt) if variant else ("", "")))
    if variant and "contexts" not in card.lacking and (both := card.contexts):
        tracks += [
            plot.logo_track(both.alternative, label=f"Bases the model expects with {alt}", control=both.reference,
                            control_label=f"with {ref}, as above"),
            plot.signal_track(both.divergence, label="Difference of the two", unit="nats", height=56,
                              note="Jensen–Shannon divergence, 0 to 0.693; 0 in the token of a substitution, which is hidden"),
        ]  # fmt: skip
    if variant and "attention" not in card.lacking:
        tracks += _attention(card, ref, alt)
    return plot.saturation(card.saturation, annotation=card.bench.annotation, tracks=tracks, variant=variant,
                           title=f"Every substitution around {plain(card.name)}", assembly=card.bench.reference.assembly)  # fmt: skip


def _attention(card: Card, ref: str, alt: str) -> list[plot.Track]:
    """Where the token at the variant looks and what looks at it, in one head, or in words why there is nothing."""
    shift, read = card.attention, card.read
    if not isinstance(shift, Shift) or read is None:
        return [words_track("Attention", str(shift))]
    layer, number = card.head
    spans, place = shift.tokens.on(read), shift.order.index(card.head) + 1
    token = Interval(read.chrom, *spans[shift.token].tolist())
    looks, seen = (
        plot.attention_track(weights[1, layer, number], spans, label=f"{label} with {alt}: layer {layer}, head {number}", unit="weight",
                             query_span=query, control=weights[0, layer, number], control_label=f"with {ref}")
        for weights, label, query in (
            (shift.looks, "Where the token at the variant looks", token), (shift.seen, "What looks at that token", None),
        )
    )  # fmt: skip
    rank = f"{f'number {place}' if place > 1 else 'most'} of {shift.moved.size} heads (median {np.median(shift.moved):.1%})"
    note = f"{shift.moved[card.head]:.1%} of its attention goes elsewhere: {rank}; grey, below zero: with {ref}"
    return [replace(looks, note=note), seen]


def splicing(card: Card) -> go.Figure | None:
    """Splice sites around the variant with either allele, for the gene that changes most."""
    _, effects = card.spliced
    variant = card.variant
    if variant is None or card.where is None or not effects:
        return None
    effect, distance = max(effects, key=lambda effect: effect.scores.max()), card.bench.splicing.distance
    near = Interval(card.where.chrom, variant.start - distance, variant.start + distance + 1, effect.gene.strand)
    along = slice(None, None, -1) if near.strand == "-" else slice(None)
    ref, alt = plain(variant.ref, most=12), plain(variant.alt, most=12)
    bases = card.bench.reference.fetch(near).sequence
    tracks = [
        plot.genes_track(card.bench.annotation),
        plot.splice_track(effect.after[along], label=f"Splice sites with {alt}", control=effect.before[along], control_label=f"with {ref}"),
        plot.sequence_track(bases),
    ]  # fmt: skip
    return plot.locus(near, tracks, title=f"Splice sites of {plain(effect.gene.name)} around {plain(card.name)}",
                      assembly=card.bench.reference.assembly, marks={plain(card.name): card.where})  # fmt: skip


def genes(card: Card) -> go.Figure | None:
    """The genes and the elements of the user's files around; what the model reads is shaded."""
    place, bench = card.where, card.bench
    if place is None:
        return None
    near, rows = Interval.around(place.chrom, place.midpoint, NEAR), bench.annotation.genes(place)
    rows = rows[rows["end"] - rows["start"] <= WHOLE]
    start, end = min([near.start, *rows["start"] - 500]), max([near.end, *rows["end"] + 500])
    region = card.clipped(Interval(place.chrom, start, end))
    read = card.read or Interval.around(place.chrom, place.midpoint, bench.scorer.window_bp)
    beds = [plot.regions_track(bed.within(region).table, label=name) for name, bed in bench.beds.items()]
    return plot.locus(region, [plot.genes_track(bench.annotation), *beds], title=f"Genes around {plain(card.name)}",
                      assembly=bench.reference.assembly, marks={plain(card.name): place, "read by the model": read})  # fmt: skip


def dependencies(card: Card) -> go.Figure | None:
    """Which bases next to the place depend on each other, the reference's allele in place."""
    title = f"Which bases around {plain(card.name)} depend on each other"
    return plot.dependency(card.dependency, title=title, assembly=card.bench.reference.assembly) if card.dependency else None  # fmt: skip
