"""What a card says, in sentences and as HTML that takes the colours of the page around it."""

from __future__ import annotations

import numpy as np
from jinja2 import Environment

from ntviz.annotation import PROMOTER
from ntviz.explore.variant_card import Bench, Card
from ntviz.plot.words import element_name, listing, number, plain
from ntviz.variants import STATUSES

SPLICED = "acceptor gain", "acceptor loss", "donor gain", "donor loss"
_HTML = Environment(autoescape=True, trim_blocks=True).from_string("""\
{% macro look(css) %}{% if styled %} style="{{ css }}"{% endif %}{% endmacro %}
{% macro side(name) %}{% if styled %}{{ look("padding:3px 14px 3px 0;font-variant-numeric:tabular-nums;text-align:" ~ name) }}
{% elif name == "right" %} class="n"{% endif %}{% endmacro %}
<section aria-label="Variant {{ name }}" data-ntviz="variant"{{ look("max-width:960px;font-family:Helvetica,Arial,'Liberation Sans',sans-serif;font-size:13px;line-height:1.5;text-align:left") }}>
<h3{{ look("margin:4px 0;font-size:16px;font-weight:700") }} data-ntviz="title">{{ name }} by {{ model }}</h3>
<p{% if wrong and not styled %} class="wrong"{% endif %}{{ look("margin:4px 0" ~ (";font-weight:600;border-left:4px solid #b34a00;padding-left:8px" if wrong else "")) }}>{{ said }}</p>
{% for text in texts %}
<p{{ look("margin:4px 0" ~ (";font-style:italic" if rows and loop.last else "")) }}>{{ text }}</p>
{% endfor %}
{% if rows %}
<div{{ look("overflow-x:auto") }}{% if not styled %} class="scroll"{% endif %}><table{{ look("border-collapse:collapse;font-size:12px;white-space:nowrap;color:inherit") }} data-ntviz="scores">
<thead><tr{{ look("background-color:transparent") }}>{% for name in ["score"] + columns + ["unit", "meaning"] %}
<th scope="col"{{ side("right" if name in columns else "left") }}>{{ name }}</th>{% endfor %}</tr></thead><tbody>
{% for row in rows %}
<tr{{ look("background-color:transparent") }}><th scope="row"{{ side("left") }} title="{{ row.description }}">{{ row.score }}</th>
{% for name in columns %}<td{{ side("right") }}>{{ number(row[name]) }}</td>{% endfor %}
<td{{ side("left") }}>{{ row.unit }}</td><td{{ side("left") }}>{{ row.direction }}</td></tr>
{% endfor %}</tbody></table></div>
<p{{ look("margin:4px 0;font-size:12px") }}>Forward and reverse: the strand; gap: their difference. Far apart, the model is unsure.</p>
{% endif %}</section>""")


def reference_said(card: Card) -> str:
    """Whether REF is what the reference has, or what else the status says."""
    here, file, variant = plain(card.here, most=30), plain(card.bench.reference.path.name), card.variant
    if variant is None:
        return (
            f"The reference has {here} in the middle of this place. Pick a substitution in the map, or type a variant."
        )
    said = f"Not scored: {STATUSES[card.status]}." + (f" The reference has {here} here." if here else "")
    if card.scored:
        said = f"The reference has {here} here: REF agrees."
    elif card.status == "ref_mismatch":
        said = (
            f"REF must be what the reference has; received {plain(variant.ref, most=30)}, and the reference {file} has "
            f"{here} at {variant.chrom}:{variant.pos:,}. Check the assembly of both. Nothing was scored."
        )
    elif card.status == "contig_missing":
        said = f"The contig must be in the reference; received {plain(variant.chrom)}, which {file} does not have."
    note = plain(card.plan.note, most=200) if card.plan else ""
    return said + (f" {note[:1].upper()}{note[1:]}." if note else "")


def _located(card: Card) -> list[str]:
    """Sentences on the place, the consequence for a gene, and the elements that hold the place."""
    where, about = card.where, {name: plain(text) for name, text in card.consequence.items() if text}
    if where is None:
        return []
    last, kind = f"-{where.end:,}" * (len(where) > 1), card.plan.kind if card.plan else "no variant yet"
    place = [f"{where.chrom}:{where.start + 1:,}{last} (counted from 1)", card.bench.reference.assembly, kind]
    said = [", ".join(plain(part) for part in place if part)]
    if about:
        texts = {"protein": ", {}", "codons": " (codon {})", "gene": " in {}", "transcript": ", transcript {}"}
        parts = "".join(text.format(about[name]) for name, text in texts.items() if name in about)
        said.append(f"Gravest consequence, by the annotation alone: {element_name(about['consequence'])}{parts}.")
    names = [element_name(name) for name in card.elements if name not in ("gene", "transcript", "intergenic")]
    held = f"It lies in: {listing(names, most=8)}." if names else "No element of the annotation holds it."
    if beyond := _beyond_transcripts(card):
        return [*said, f"{beyond} {held}" if names else beyond]
    return [*said, held]


def _beyond_transcripts(card: Card) -> str:
    """The gene that holds the place, or that begins at most a promoter's length behind it, where no transcript holds it."""
    where, genes, inside, before = card.where, card.bench.annotation, [], []
    if where is None or not {"gene", "transcript"} <= set(genes.kinds) or "transcript" in card.elements:
        return ""
    near = genes.within(card.clipped(where.expand(PROMOTER[0]))).table
    for row in near[near["element"] == "gene"].itertuples():
        bp = where.start - row.end + 1 if row.strand == "-" else row.start - where.end + 1
        if row.start < where.end and where.start < row.end:
            inside.append(plain(row.gene))
        elif bp > 0 and row.strand != ".":
            before.append(f"{bp:,} bp before the first base of the gene {plain(row.gene)}")
    if inside:
        return f"It lies in the gene {listing(inside)}, outside of its annotated transcripts."
    return f"It lies {listing(before)}." if before else ""


def seen(card: Card) -> list[str]:
    """Sentences that say what the scores are, and what they are among."""
    variant, model, background = card.variant, plain(card.bench.model.name), card.bench.background
    if variant is None or not card.scored:
        return []
    llr, forward, reverse = (card.values[name] for name in ("llr", "llr_fwd", "llr_rev"))
    ref, alt = plain(variant.ref, most=20), plain(variant.alt, most=20)
    order, likely = ("less", ref) if llr < 0 else ("more", alt)
    how = f"{likely} is {number(float(np.exp(abs(llr))))} times as likely, the rest of the token as it is"
    if card.plan and card.plan.method != "masked":
        how = "summed over tokens"
    agree, end = ("agree", ".") if forward * reverse >= 0 else ("disagree", ": take this as no answer.")
    said = [
        f"{model} finds {alt} {order} likely than {ref}: LLR {number(llr)} nats, {how}.",
        f"The strands {agree} in sign ({number(forward)} forward, {number(reverse)} reverse){end}",
    ]
    if background and np.isfinite(percentile := card.values.get("llr_percentile", np.nan)):
        said.append(f"Its LLR is at percentile {percentile:.0f} ({background.statement}).")
    if variant.is_snv and card.saturation:
        row = card.saturation.probabilities[variant.start - card.saturation.interval.start]
        bases = ", ".join(f"{'ACGT'[i]} {row[i]:.0%}" for i in np.argsort(-row, kind="stable"))
        said.append(f"With the token hidden, and summed over the rest of it, {model} expects {bases} here.")
    return said


def splicing_said(card: Card) -> list[str]:
    """What the variant does to splice sites, gene by gene."""
    status, effects = card.spliced
    if not status:
        return []
    model, distance = plain(card.bench.splicing.model.name), card.bench.splicing.distance
    if not effects:
        return [f"{model} was not asked about splice sites: {STATUSES[status]}."]
    said = []
    for effect in effects:
        parts = [
            f"{name} {score:z.2f} ({at:+d} bp)"
            for name, score, at in zip(SPLICED, effect.scores, effect.places, strict=True)
        ]
        what = f"changes of splice sites of {plain(effect.gene.name)} within {distance} bp"
        said.append(f"{model}, {what}: {', '.join(parts)}. From 0.5 on a change is taken as likely.")
    return said


def limits(bench: Bench) -> str:
    """What no score of this kind tells."""
    return (f"A score is no verdict: {plain(bench.model.name)} reads {bench.scorer.window_bp:,} bp of sequence and knows no cells, "
            "proteins, inheritance or people; a small model mostly knows the composition, repeats and common k-mers of a genome. A low score "
            "is no proof of harm, and a score near 0 none of its absence.")  # fmt: skip


def as_html(card: Card, *, scores: bool = True, styled: bool = True) -> str:
    """Words and table of the scores, escaped; without `scores` nothing is computed, and without `styled` a page of many cards has the styles and the limits."""
    rows = card.table().to_dict("records") if scores and card.scored else []
    columns = [*rows[0]][1:-3] if rows else []
    said = [] if scores else ["Scoring …"]
    if rows:
        said = [" ".join(seen(card)), *splicing_said(card), *([limits(card.bench)] if styled else [])]
    return _HTML.render(name=plain(card.name), model=plain(card.bench.model.name), wrong=card.variant and not card.scored, rows=rows,
                        said=reference_said(card), texts=[*_located(card), *said], columns=columns, number=number, styled=styled)  # fmt: skip
