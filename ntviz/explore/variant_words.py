"""What a card says, in sentences and as HTML that takes the colours of the page around it."""

from __future__ import annotations

import html

import numpy as np

from ntviz.explore.variant_card import Card
from ntviz.plot.words import element_name, listing, number, plain
from ntviz.variants.alleles import STATUSES

_CELL = "padding:3px 14px 3px 0;vertical-align:top;white-space:nowrap;font-variant-numeric:tabular-nums;text-align:"


def place(card: Card) -> str:
    """Contig, position, kind and assembly."""
    if card.where is None:
        return plain(card.name)
    where, assembly = card.where, card.bench.reference.assembly
    kind = card.plan.kind if card.plan is not None else ""
    last = "" if len(where) == 1 else f"-{where.end:,}"
    parts = [f"{where.chrom}:{where.start + 1:,}{last} (counted from 1)", plain(assembly or ""), kind or ("" if card.variant else "no variant yet")]
    return ", ".join(filter(None, parts))


def reference_said(card: Card) -> str:
    """Whether REF is what the reference has, or what else the status says."""
    here, file = plain(card.here, most=30), plain(card.bench.reference.path.name)
    if card.variant is None:
        return f"The reference has {here} in the middle of this place. Pick a substitution in the map below, or type a variant."
    if card.scored:
        said = f"The reference has {here} here: REF agrees."
    elif card.status == "ref_mismatch":
        said = (
            f"REF must be what the reference has; received {plain(card.variant.ref, most=30)}, and the reference {file} has {here} at "
            f"{plain(card.name).split()[0]}. Check that both are of the same assembly and that the position counts from 1. Nothing was scored."
        )
    elif card.status == "contig_missing":
        said = (
            f"The contig must be in the reference; received {plain(card.variant.chrom)}, which {file} does not have. Check the name, or "
            "load another reference. Nothing was scored."
        )
    else:
        said = f"Not scored: {STATUSES[card.status]}." + (f" The reference has {here} here." if here else "")
    note = plain(card.plan.note, most=200) if card.plan is not None and card.plan.note else ""
    return said + (f" {note[:1].upper()}{note[1:]}." if note else "")


def located(card: Card) -> list[str]:
    """Sentences on the consequence for a gene, and on the elements that hold the place."""
    if card.where is None:
        return []
    names = [element_name(name) for name in card.elements if name not in ("gene", "transcript", "intergenic")]
    held = f"It lies in: {listing(names, most=8)}." if names else "No element of the annotation holds it."
    found = {name: plain(text) for name, text in card.consequence.items()}
    if not found:
        return [held]
    said = f"Consequence, by the annotation alone: {found['consequence'].replace('_', ' ')}"
    for name, text in (("protein", ", {}"), ("codons", " (codon {})"), ("gene", " in {}"), ("transcript", ", transcript {}")):
        said += text.format(found[name]) if found.get(name) else ""
    return [said + ("." if found["consequence"] == "intergenic" else ", the gravest over its transcripts."), held]


def seen(card: Card) -> list[str]:
    """Sentences that say what the scores are, and what they are among."""
    if card.variant is None or not card.scored:
        return []
    model, llr = plain(card.bench.model.name), card.value("llr")
    said = []
    if np.isfinite(llr):
        forward, reverse = card.value("llr_fwd"), card.value("llr_rev")
        pair = f"{number(forward)} forward, {number(reverse)} reverse"
        agree = f"Both strands agree in sign ({pair})." if forward * reverse >= 0 else f"The two strands disagree in sign ({pair}): take this as no answer."
        said += [_likelihood(card, model, llr), agree]
    if (ranked := card.rank()) is not None:
        said.append(f"Of the {ranked[1]:,} substitutions up to {card.bench.around} bp away, {ranked[0]:.0%} have a lower LLR.")
    percentile = card.percentiles.get("llr", float("nan"))
    if np.isfinite(percentile) and card.bench.background is not None:
        said.append(f"Its LLR is at percentile {percentile:.0f} ({card.bench.background.statement}).")
    if (expected := card.expected()) and card.variant.is_snv:
        order = sorted(expected, key=lambda base: -expected[base])
        said.append(
            f"With the token hidden, and summed over the rest of it, the bases expected by {model} are "
            f"{', '.join(f'{base} {expected[base]:.0%}' for base in order)} here."
        )
    return said


def _likelihood(card: Card, model: str, llr: float) -> str:
    ratio, order = f"LLR {number(llr)} nats", "less" if llr < 0 else "more"
    if not card.variant or not card.plan or card.plan.method != "masked":
        return f"{model} finds the tokens of the alternative {order} likely than the reference's ({ratio}, summed over tokens)."
    ref, alt = (plain(allele, most=20) for allele in (card.variant.ref, card.variant.alt))
    likely, times = ref if llr < 0 else alt, number(float(np.exp(abs(llr))))
    return f"{model} finds {alt} {order} likely than {ref}: {ratio}, {likely} is {times} times as likely, the rest of the token as it is."


def limits(card: Card) -> str:
    """What no score of this kind tells."""
    return (
        f"A score is no verdict: it says how expected bases are to {plain(card.bench.model.name)}, which reads {card.bench.scorer.window_bp:,} "
        "bp of sequence and nothing else. It does not know cells, proteins, inheritance or people; a small model mostly knows the composition, "
        "repeats and common k-mers of a genome. A low score is no proof of harm, and a score near 0 none of its absence."
    )


# HTML -----------------------------------------------------------------------------------------------------------------


def paragraph(text: str, style: str = "") -> str:
    """A paragraph of escaped text."""
    return f'<p style="margin:4px 0;{style}">{html.escape(text)}</p>'


def head_html(card: Card, scores: bool = True) -> str:
    """Name, place, whether REF agrees, elements, and, unless without `scores`, what is seen."""
    title = html.escape(f"{plain(card.name)} by {plain(card.bench.model.name)}")
    strong = "" if card.variant is None or card.scored else "font-weight:600;border-left:4px solid #b34a00;padding-left:8px"
    parts = [
        f'<h3 style="margin:4px 0;font-size:16px;font-weight:700" data-ntviz="title">{title}</h3>',
        paragraph(place(card)),
        paragraph(reference_said(card), strong),
        *map(paragraph, located(card)),
    ]
    if scores and (sentences := seen(card)):
        parts += [paragraph(" ".join(sentences)), paragraph(limits(card), "font-style:italic")]
    return "\n".join(parts)


def table_html(card: Card) -> str:
    """All scores; empty without any."""
    if not card.scored:
        return ""
    columns = {"value": "value", "forward": "forward", "reverse": "reverse", "gap": "forward − reverse", "percentile": "percentile"}
    table = card.table()
    numbers = [name for name in columns if name in table]

    def cell(text: str, *, right: bool = False, head: str = "", tip: str = "") -> str:
        style = f'style="{_CELL}{"right" if right else "left"}{";font-weight:600" if head else ""}" title="{html.escape(tip)}"'
        return f'<th scope="{head}" {style}>{html.escape(text)}</th>' if head else f"<td {style}>{html.escape(text)}</td>"

    rows = [
        cell("score", head="col") + "".join(cell(columns[name], right=True, head="col") for name in numbers)
        + cell("unit", head="col") + cell("meaning", head="col")
    ]  # fmt: skip
    for row in table.to_dict("records"):
        values = ["–" if not np.isfinite(row[name]) else f"{row[name]:.1f}" if name == "percentile" else number(row[name]) for name in numbers]
        rows.append(cell(row["score"], head="row", tip=row["description"]) + "".join(cell(text, right=True) for text in values) + cell(row["unit"]) + cell(row["direction"]))
    head, *body = (f'<tr style="background-color:transparent">{row}</tr>' for row in rows)
    note = "Forward and reverse: the strand; where they are far apart, the model is unsure. – : not defined for this change."
    if (background := card.bench.background) is not None:
        note += f" {background.statement[:1].upper()}{background.statement[1:]}."
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;font-size:12px;margin:8px 0 0;color:inherit" data-ntviz="scores">'
        f"<thead>{head}</thead><tbody>{''.join(body)}</tbody></table></div>{paragraph(note, 'font-size:12px')}"
    )
