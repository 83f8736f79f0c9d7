"""What a card says, in sentences and as HTML that takes the colours of the page around it."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

from ntviz.explore.variant_card import Card
from ntviz.plot.words import listing, number, plain
from ntviz.variants.alleles import STATUSES

_HEAD = "text-align:left;padding:3px 10px 3px 0;font-weight:600;vertical-align:bottom;white-space:nowrap"
_ROW = "text-align:left;padding:3px 10px 3px 0;font-weight:600;vertical-align:top;white-space:nowrap"
_CELL = "text-align:left;padding:3px 10px 3px 0;vertical-align:top"
_NUMBER = "text-align:right;padding:3px 14px 3px 0;vertical-align:top;white-space:nowrap;font-variant-numeric:tabular-nums"
_P = "margin:4px 0"


def place(card: Card) -> str:
    """Contig, position, kind and assembly."""
    if card.where is None:
        return plain(card.name)
    where = card.where
    first, last = f"{where.start + 1:,}", f"{where.end:,}"
    said = f"{where.chrom}:{first}" + ("" if first == last else f"-{last}")
    assembly = card.bench.reference.assembly
    kind = card.plan.kind if card.plan is not None else ""
    parts = [
        f"{said} (counted from 1)",
        plain(assembly) if assembly else "",
        kind or ("" if card.variant else "no variant yet"),
    ]
    return ", ".join(part for part in parts if part)


def reference_said(card: Card) -> str:
    """Whether REF is what the reference has, or what else the status says."""
    here = plain(card.here, most=30)
    if card.variant is None:
        return (
            f"The reference has {here} in the middle of this place. Pick a substitution in the map of substitutions below, "
            "or type a variant."
        )
    status, ref = card.status, plain(card.variant.ref, most=30)
    if card.scored:
        said = f"The reference has {here} here: REF agrees."
    elif status == "ref_mismatch":
        said = (
            f"REF must be what the reference has; received {ref}, and the reference "
            f"{plain(card.bench.reference.path.name)} has {here} at {plain(card.name).split()[0]}. Check that both are of "
            "the same assembly and that the position counts from 1. Nothing was scored."
        )
    elif status == "contig_missing":
        said = (
            f"The contig must be in the reference; received {plain(card.variant.chrom)}, which "
            f"{plain(card.bench.reference.path.name)} does not have. Check the name, or load another reference. Nothing was "
            "scored."
        )
    else:
        said = f"Not scored: {STATUSES[status]}." + (f" The reference has {here} here." if here else "")
    note = plain(card.plan.note, most=200) if card.plan is not None and card.plan.note else ""
    return said + (f" {note[:1].upper()}{note[1:]}." if note else "")


def located(card: Card) -> list[str]:
    """Sentences on the consequence for a gene, and on the elements that hold the place."""
    if card.where is None:
        return []
    names = [name for name in card.elements if name not in ("gene", "transcript", "intergenic")]
    names = [plain(name.replace("_", " "), most=40) for name in names]
    held = f"It lies in: {listing(names, most=8)}." if names else "No element of the annotation holds it."
    return [*consequence_said(card), held]


def consequence_said(card: Card) -> list[str]:
    """What the change does to the gravest-hit transcript: its class, amino acids and codons."""
    found = card.consequence
    if not found:
        return []
    said = f"Consequence, by the annotation alone: {found['consequence'].replace('_', ' ')}"
    if found.get("protein"):
        said += f", {plain(found['protein'])}"
    if found.get("codons"):
        said += f" (codon {plain(found['codons'])})"
    if found.get("gene"):
        said += f" in {plain(found['gene'])}"
    if found.get("transcript"):
        said += f", transcript {plain(found['transcript'])}"
    return [said + ("." if found["consequence"] == "intergenic" else ", the gravest over its transcripts.")]


def seen(card: Card) -> list[str]:
    """Sentences that say what the scores are, what they are among, and what they cannot tell."""
    if card.variant is None or not card.scored:
        return []
    model, llr = plain(card.bench.model.name), card.value("llr")
    said = []
    if np.isfinite(llr):
        said.append(_likelihood(card, model, llr))
        forward, reverse = card.value("llr_fwd"), card.value("llr_rev")
        pair = f"{number(forward)} forward, {number(reverse)} reverse"
        if forward * reverse < 0:
            said.append(f"The two strands disagree in sign ({pair}): take this as no answer.")
        else:
            said.append(f"Both strands agree in sign ({pair}).")
    ranked = card.rank()
    if ranked is not None:
        said.append(
            f"Of the {ranked[1]:,} substitutions up to {card.bench.around} bp away, {ranked[0]:.0%} have a lower LLR."
        )
    percentile = card.percentiles.get("llr", float("nan"))
    if np.isfinite(percentile) and card.bench.background is not None:
        said.append(f"Its LLR is at percentile {percentile:.0f} ({card.bench.background.statement}).")
    expected = card.expected()
    if expected and card.variant.is_snv:
        order = sorted(expected, key=lambda base: -expected[base])
        said.append(
            f"With the token hidden, and summed over the rest of it, the bases expected by {model} are "
            f"{', '.join(f'{base} {expected[base]:.0%}' for base in order)} here."
        )
    return said


def limits(card: Card) -> str:
    """What no score of this kind tells."""
    model = plain(card.bench.model.name)
    return (
        f"A score is no verdict: it says how expected bases are to {model}, which reads {card.bench.scorer.window_bp:,} bp of "
        "sequence and nothing else. It does not know cells, proteins, inheritance or people; a small model mostly knows the "
        "composition, repeats and common k-mers of a genome. A low score is no proof of harm, and a score near 0 none of its "
        "absence."
    )


def _likelihood(card: Card, model: str, llr: float) -> str:
    ratio = f"LLR {number(llr)} nats"
    if not card.variant or not card.plan or card.plan.method != "masked":
        word = "less" if llr < 0 else "more"
        return f"{model} finds the tokens of the alternative {word} likely than the reference's ({ratio}, summed over tokens)."
    ref, alt = (plain(one, most=20) for one in (card.variant.ref, card.variant.alt))
    times = number(float(np.exp(abs(llr))))
    if llr < 0:
        return f"{model} finds {alt} less likely than {ref}: {ratio}, {ref} is {times} times as likely, the rest of the token as it is."
    return f"{model} finds {alt} more likely than {ref}: {ratio}, {alt} is {times} times as likely, the rest of the token as it is."


# HTML -----------------------------------------------------------------------------------------------------------------


def paragraph(text: str, style: str = "") -> str:
    """A paragraph of escaped text."""
    return f'<p style="{_P}{";" + style if style else ""}">{html.escape(text)}</p>'


def heading(text: str) -> str:
    """The heading of a part of the card."""
    return f'<h4 style="margin:16px 0 4px;font-size:14px;font-weight:600">{html.escape(text)}</h4>'


def head_html(card: Card) -> str:
    """Name, place, whether REF agrees, elements, and what is seen."""
    title = f"{plain(card.name)} by {plain(card.bench.model.name)}"
    strong = (
        ""
        if card.variant is None or card.scored
        else "font-weight:600;border-left:4px solid #b34a00;padding-left:8px"
    )
    parts = [
        f'<h3 style="margin:4px 0;font-size:16px;font-weight:700" data-ntviz="title">{html.escape(title)}</h3>',
        paragraph(place(card)),
        paragraph(reference_said(card), strong),
        *(paragraph(text) for text in located(card)),
    ]
    sentences = seen(card)
    if sentences:
        parts += [paragraph(" ".join(sentences)), paragraph(limits(card), "font-style:italic")]
    return "\n".join(parts)


def table_html(card: Card) -> str:
    """All scores; empty without any."""
    if not card.scored:
        return ""
    table = card.table()
    ranked = "percentile" in table
    names = [
        "score",
        "value",
        "forward",
        "reverse",
        "forward − reverse",
        *(["percentile"] if ranked else []),
        "unit",
        "meaning",
    ]
    numeric = {"value", "forward", "reverse", "forward − reverse", "percentile"}
    cells = "".join(
        f'<th scope="col" style="{_HEAD}{";text-align:right;padding-right:14px" if name in numeric else ""}">{html.escape(name)}</th>'
        for name in names
    )
    rows = []
    for row in table.to_dict("records"):
        values = [row["value"], row["forward"], row["reverse"], row["gap"]]
        shown = [_number(value) for value in values]
        if ranked:
            value = row["percentile"]
            shown.append("–" if not np.isfinite(value) else f"{value:.1f}")
        rows.append(
            f'<tr style="background-color:transparent"><th scope="row" style="{_ROW}" title="{html.escape(row["description"])}">'
            f"{html.escape(row['score'])}</th>"
            + "".join(f'<td style="{_NUMBER}">{text}</td>' for text in shown)
            + f'<td style="{_CELL};white-space:nowrap">{html.escape(row["unit"])}</td>'
            f'<td style="{_CELL}">{html.escape(row["direction"])}</td></tr>'
        )
    note = "Forward and reverse: the strand; where they are far apart, the model is unsure. – : not defined for this change."
    background = card.bench.background
    if background is not None:
        note += f" {background.statement[:1].upper()}{background.statement[1:]}."
    return (
        heading("All scores")
        + '<div style="overflow-x:auto"><table style="border-collapse:collapse;font-size:12px;margin:0;color:inherit" '
        f'data-ntviz="scores"><thead><tr style="background-color:transparent">{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>" + paragraph(note, "font-size:12px")
    )


def _number(value: Any) -> str:
    return "–" if not np.isfinite(value) else number(float(value))
