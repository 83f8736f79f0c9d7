"""Where to look: the text that a person types, a gene, a region or a variant, as the interval that the model reads."""

from __future__ import annotations

import difflib
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

    Attributes
    ----------
    kind, name, how
        "gene", "region" or "variant"; as people write it, 1-based; how the interval follows from what was asked for.
    interval, focus, variant
        What the model reads, its strand the reading direction; the place itself, 0-based half-open; where one was asked for.
    at
        0-based position to look at first: where a gene's annotated transcription starts, else the middle of the place.
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
        raise ValueError(
            f"A region must begin with its chromosome; received {text!r}. Type {first} if {first.partition(':')[0]} is meant."
        )
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
    raise ValueError("A view must begin at a gene; the annotation has no gene on a contig of the reference. Pass at=.")  # fmt: skip


def _is_gene(text: str, annotation: Any) -> bool:
    try:
        return annotation is not None and bool(annotation.gene(text))
    except ValueError:
        return False


def _gene(text: str, reference: Reference, annotation: Any, window: int) -> Place:
    if annotation is None:
        raise ValueError(f"A gene must be looked up; received {text!r} and no annotation. Type a region, or pass annotation=.")  # fmt: skip
    names = {name.upper(): name for name in map(str, annotation.table["gene"].unique()) if name}
    body, name, start = _found(text, annotation, names)
    focus, middle = _stranded(body), body.midpoint
    how = f"the whole gene {name} and what is around it"
    if len(body) > window:
        middle, how = start, f"around the start of {name}, whose {len(body):,} bp are more than are read"
    return Place("gene", name, _inside(focus, middle, window, reference), focus, None, how, start)


def _found(text: str, annotation: Any, names: dict[str, str]) -> tuple[Interval, str, int]:
    """The gene of a name or identifier, or the transcript of an identifier, whatever its version; its name; where it starts."""
    table, unversioned = annotation.table, text.upper().partition(".")[0]
    try:
        body = annotation.gene(text)
        # The extent of all isoforms may begin where no annotated transcript does.
        start = body.start if body.strand == "." else annotation.tss(text)[1]
        symbols = table["gene"][table["gene_id"].astype(str).str.partition(".")[0].str.upper() == unversioned]
        return body, names.get(text.upper()) or str(next(iter(symbols), text)), start
    except ValueError as error:
        if "must be one of" not in str(error):
            raise
    why = "A gene of another chromosome needs its reference and annotation."
    if near := difflib.get_close_matches(text.upper(), names, n=3, cutoff=0.72):
        why = f"Nearest: {', '.join(names[name] for name in near)}."
    lacking = [
        name for name in table["gene"][~table["gene_id"].astype(str).str.match(_ENSEMBL)].unique() if name
    ]
    if _ENSEMBL.fullmatch(text) and lacking:
        how_many = f"{len(lacking):,} of its" if len(lacking) < len(names) else "Its"
        why = f"{how_many} genes have names and no Ensembl identifiers: type the gene's name, such as {lacking[0]}."
    contigs = [browser_contig(str(chrom)) for chrom in table["chrom"].unique()]
    where = f"all on {contigs[0]}" if len(contigs) == 1 else f"on {len(contigs)} contigs"
    raise ValueError(
        f"A gene must be one of the {len(names):,} of {annotation.source}, {where}; received {text!r}. {why} {_EXAMPLES}"
    )


def _region(region: Interval, reference: Reference, window: int, longest: int) -> Place:
    focus = _stranded(region)
    if len(region) > longest:
        raise ValueError(
            f"A region must be at most {longest:,} bp for this model; received {focus.label()}, which has {len(region):,} bp. "
            f"Type a part of it, such as {Interval.around(focus.chrom, focus.midpoint, longest, focus.strand).label()}."
        )
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
    return Place(
        "variant", name, interval, focus, variant, f"{len(interval):,} bp around the variant", focus.midpoint
    )


def _stranded(interval: Interval) -> Interval:
    """As browsers name the contig, and read along the + strand unless the other is asked for."""
    strand = "-" if interval.strand == "-" else "+"
    return Interval(browser_contig(interval.chrom), interval.start, interval.end, strand)


def _inside(focus: Interval, position: int, width: int, reference: Reference) -> Interval:
    """`width` bp around a position, moved onto the contig; the whole contig where that is shorter."""
    whole = reference.whole(focus.chrom)
    if not whole.overlaps(focus):
        raise ValueError(
            f"A place must lie on its contig; received {focus.label()}, and {focus.chrom} has {len(whole):,} bp. Check the assembly."
        )
    start = max(0, min(position - width // 2, len(whole) - width))
    return Interval(focus.chrom, start, start + min(width, len(whole)), focus.strand)
