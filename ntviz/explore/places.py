"""Where to look: the text that a person types, a gene, a region or a variant, as the interval that the model reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ntviz.genome import Interval, Variant, browser_contig
from ntviz.reference import Reference

SHORTEST = 100
"""bp of a region that is read as it is; a shorter one is the middle of a window."""

_EXAMPLES = "Type a gene (HNF4A), a region (chr20:43,029,700-43,031,200) or a variant (chr20:43,030,000 A>G)."
_NO_CONTIG = re.compile(r"[\d,]+(\s*(-|\u2013|\.\.)\s*[\d,]+)?([(][+-][)])?")
_ENSEMBL = re.compile(r"ENS[A-Z]*[GT]\d{11}(\.\d+)?", re.IGNORECASE)
_VARIANT_LIKE = re.compile(r"[>/]|^\S+[:_-][\d,]+[:_-][ACGTNacgtn]+[:_-][ACGTNacgtn]+")


@dataclass(frozen=True, slots=True)
class Place:
    """What was asked for, and the interval that the model reads for it.

    `kind` is "gene", "region" or "variant", `name` as people write it (1-based). `interval` is what the model reads, its strand the
    reading direction, and `how` it follows; `focus` the place itself, `at` the 0-based position to look at first: where a gene's
    annotated transcription starts, else the middle.
    """

    kind: str
    name: str
    interval: Interval
    focus: Interval
    variant: Variant | None
    how: str
    at: int


def locate(what: str | Interval | Variant, reference: Reference, annotation: Any, *, window: int, longest: int) -> Place:  # fmt: skip
    """The place that a text, an interval or a variant names; a ValueError says what would be one.

    A text is a gene by name or identifier, or a transcript by identifier; a region in 1-based closed form, whose strand, as in
    `chr20:1,000-2,000(-)`, is the reading direction; or a variant in any dialect of `Variant.from_str`. `window` bp are read around
    a gene's start, a variant, or a region of fewer than 100 bp; a gene that is not longer is read whole. A region has at most
    `longest` bp. Without an annotation (None) no gene is known.
    """
    if isinstance(what, Variant):
        return _variant(what, reference, window)
    if isinstance(what, Interval):
        return _region(what, reference, window, longest)
    text = what.strip()
    if not text:
        raise ValueError(f"There must be a place to go to; received nothing. {_EXAMPLES}")
    if _VARIANT_LIKE.search(text) or len(text.split()) >= 4:
        return _variant(Variant.from_str(text), reference, window)
    if _NO_CONTIG.fullmatch(text):
        first = f"{browser_contig(next(iter(reference.contigs)))}:{''.join(text.split())}"
        what = f"Type {first} if {first.partition(':')[0]} is meant."
        raise ValueError(f"A region must begin with its chromosome; received {text!r}. {what}")
    if ":" in text and not _is_gene(text, annotation):
        return _region(Interval.from_str(text), reference, window, longest)
    return _gene(text, reference, annotation, window)


def first_gene(reference: Reference, annotation: Any) -> str:
    """Name of the first gene of an annotation that lies on a contig of the reference; ValueError where there is none."""
    table = annotation.table[annotation.table["gene"].astype(str) != ""]
    for chrom, gene in table.groupby("chrom", sort=False)["gene"].first().items():
        try:
            reference.whole(str(chrom))
        except ValueError:
            continue
        return str(gene)
    raise ValueError("A view must begin at a gene; the annotation has no gene on a contig of the reference. Pass at=.")


def _is_gene(text: str, annotation: Any) -> bool:
    try:
        return annotation is not None and bool(annotation.gene(text))
    except ValueError:
        return False


def _gene(text: str, reference: Reference, annotation: Any, window: int) -> Place:
    if annotation is None:
        raise ValueError(f"A gene must be looked up; received {text!r} and no annotation. Type a region, or pass annotation=.")  # fmt: skip
    try:
        body = annotation.gene(text)
    except ValueError as error:
        raise ValueError(f"{error} {_elsewhere(text, annotation.table)}{_EXAMPLES}") from error
    # The extent of all isoforms may begin where no annotated transcript does.
    start = body.start if body.strand == "." else annotation.tss(text)[1]
    symbol, *identifiers = annotation.transcripts(text)[["gene", "gene_id", "transcript"]].iloc[0].astype(str)
    # The identifier of a transcript is a place of its own.
    gene, transcript = (one.partition(".")[0].upper() for one in identifiers)
    own = transcript == text.upper().partition(".")[0] not in (gene, symbol.upper())
    name = text if own else symbol or text
    focus, middle, how = _stranded(body), body.midpoint, f"the whole gene {name} and what is around it"
    if len(body) > window:
        middle, how = start, f"around the start of {name}, whose {len(body):,} bp are more than are read"
    return Place("gene", name, _inside(focus, middle, window, reference), focus, None, how, start)


def _elsewhere(text: str, table: Any) -> str:
    """Where the genes of an annotation lie, or that they have no identifiers of Ensembl, when one of these was asked for."""
    unnamed = table["gene"][~table["gene_id"].astype(str).str.match(_ENSEMBL) & (table["gene"] != "")].unique()
    if _ENSEMBL.fullmatch(text) and len(unnamed):
        return (
            f"{len(unnamed):,} of its genes have names and no Ensembl identifiers: type a name, such as {unnamed[0]}. "
        )
    contigs = [browser_contig(str(chrom)) for chrom in table["chrom"].unique()]
    return f"Its genes lie on {contigs[0] if len(contigs) == 1 else f'{len(contigs)} contigs'}. "


def _region(region: Interval, reference: Reference, window: int, longest: int) -> Place:
    focus = _stranded(region)
    if len(region) > longest:
        raise ValueError(f"A region must be at most {longest:,} bp for this model; received {focus.label()}, which has {len(region):,} bp. "
                         f"Type a part of it, such as {Interval.around(focus.chrom, focus.midpoint, longest, focus.strand).label()}.")  # fmt: skip
    interval = _inside(focus, focus.midpoint, max(window, SHORTEST), reference)
    how = f"{len(interval):,} bp around the region of {len(region):,} bp"
    if len(region) >= SHORTEST:
        interval, how = focus, "the region as typed"
    return Place("region", focus.label().removesuffix("(+)"), interval, focus, None, how, focus.midpoint)


def _variant(variant: Variant, reference: Reference, window: int) -> Place:
    focus = _stranded(variant.interval)
    # Both alleles must fit into what the model reads.
    room = max(window - max(len(variant.alt) - len(variant.ref), 0), len(variant.ref))
    interval = _inside(focus, focus.midpoint, room, reference)
    name = f"{focus.chrom}:{variant.pos:,} {variant.ref}>{variant.alt}"
    how = f"{len(interval):,} bp around the variant"
    return Place("variant", name, interval, focus, variant, how, focus.midpoint)


def _stranded(interval: Interval) -> Interval:
    """As browsers name the contig, and read along the + strand unless the other is asked for."""
    strand = "-" if interval.strand == "-" else "+"
    return Interval(browser_contig(interval.chrom), interval.start, interval.end, strand)


def _inside(focus: Interval, position: int, width: int, reference: Reference) -> Interval:
    """`width` bp around a position, moved onto the contig; the whole contig where that is shorter."""
    whole = reference.whole(focus.chrom)
    if not whole.overlaps(focus):
        has = f"and {focus.chrom} has {len(whole):,} bp"
        raise ValueError(f"A place must lie on its contig; received {focus.label()}, {has}. Check the assembly.")
    start = max(0, min(position - width // 2, len(whole) - width))
    return Interval(focus.chrom, start, start + min(width, len(whole)), focus.strand)
