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
    text
        As it was typed.
    kind
        "gene", "region" or "variant".
    name
        Of the gene; region or variant as people write it (1-based).
    interval
        What the model reads, 0-based half-open; its strand is the reading direction.
    focus
        The gene, region or variant itself, 0-based half-open.
    variant
        Where one was asked for.
    how
        How the interval follows from what was asked for, in words.
    """

    text: str
    kind: str
    name: str
    interval: Interval
    focus: Interval
    variant: Variant | None
    how: str


def locate(
    what: str | Interval | Variant,
    reference: Reference,
    annotation: Any,
    *,
    window: int,
    longest: int,
) -> Place:
    r"""The place that a text, an interval or a variant names.

    Parameters
    ----------
    what
        A gene of the annotation by name or identifier, or one of its transcripts by identifier; a region in 1-based closed
        form, or an Interval; a variant in any dialect that `Variant.from_str` knows. A strand after a region, as in
        `chr20:1,000-2,000(-)`, is the reading direction.
    reference
        Where the contig must be.
    annotation
        An `Annotation`, or None where no gene is asked for.
    window
        bp read around a gene's start, a variant, or a region of fewer than 100 bp. A gene that is not longer is read
        around its middle, whole.
    longest
        bp of a region at most.

    Raises
    ------
    ValueError
        If the text is none of these, a gene is unknown (the message says where the annotation's genes lie, and names those
        that are spelled nearly so), the contig is not in the reference, or the region is too long.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> fasta = pathlib.Path(tempfile.mkdtemp()) / "toy.fa"
    >>> _ = fasta.write_text(">chr1\n" + "ACGT" * 100 + "\n")
    >>> place = locate("chr1:200-201", Reference(fasta), None, window=120, longest=400)
    >>> place.interval.label(), place.kind
    ('chr1:141-260(+)', 'region')
    """
    if isinstance(what, Variant):
        return _variant(str(what), what, reference, window)
    if isinstance(what, Interval):
        return _region(what.label(), what, reference, window, longest)
    text = what.strip()
    if not text:
        raise ValueError(f"There must be a place to go to; received nothing. {_EXAMPLES}")
    if _VARIANT_LIKE.search(text) or len(text.split()) >= 4:
        return _variant(text, Variant.from_str(text), reference, window)
    if _NO_CONTIG.fullmatch(text):
        contig = browser_contig(next(iter(reference.contigs)))
        raise ValueError(
            f"A region must begin with its chromosome; received {text!r}. Type {contig}:{''.join(text.split())} if {contig} is meant."
        )
    if ":" in text and not _is_gene(text, annotation):
        return _region(text, Interval.from_str(text), reference, window, longest)
    return _gene(text, reference, annotation, window)


def first_gene(reference: Reference, annotation: Any) -> str:
    """Name of the first gene of an annotation that lies on a contig of the reference: where to begin.

    Raises
    ------
    ValueError
        There is none.
    """
    table = annotation.table
    for chrom, gene in zip(table["chrom"], table["gene"], strict=True):
        try:
            reference.whole(str(chrom))
        except ValueError:
            continue
        if gene:
            return str(gene)
    raise ValueError(
        "There must be a place to begin; the annotation has no gene on a contig of the reference. Pass at=."
    )


def _is_gene(text: str, annotation: Any) -> bool:
    try:
        annotation.gene(text)
    except (ValueError, AttributeError):
        return False
    return True


def _gene(text: str, reference: Reference, annotation: Any, window: int) -> Place:
    if annotation is None:
        raise ValueError(
            f"A gene must be looked up in an annotation; received {text!r} and no annotation. Type a region, or pass "
            "annotation=annotation.read(...)."
        )
    body = _found(text, annotation)
    strand = "-" if body.strand == "-" else "+"
    focus = Interval(browser_contig(body.chrom), body.start, body.end, strand)
    name = _known_name(text, annotation)
    if len(body) <= window:
        interval = _around(focus, focus.midpoint, window)
        how = f"the whole gene {name} and what is around it"
    else:
        start = body.end - 1 if strand == "-" else body.start
        interval = _around(focus, start, window)
        how = f"around the start of {name}, whose {len(body):,} bp are more than are read"
    return Place(text, "gene", name, _inside(interval, focus, reference), focus, None, how)


def _found(text: str, annotation: Any) -> Interval:
    """The gene of a name or identifier, or the transcript of an identifier."""
    # The version of an identifier is that of a release: another one is the same gene.
    for name in dict.fromkeys([text, text.partition(".")[0] if _ENSEMBL.fullmatch(text) else text]):
        try:
            return annotation.gene(name)
        except ValueError as error:
            if "must be one of" not in str(error):
                raise
    table = annotation.table
    transcripts = table["transcript"].astype(str)
    rows = table[transcripts.str.partition(".")[0].str.upper() == text.upper().partition(".")[0]]
    if len(rows):
        return Interval(str(rows["chrom"].iloc[0]), int(rows["start"].min()), int(rows["end"].max()), str(rows["strand"].iloc[0]))
    names = [str(name) for name in table["gene"].unique() if name]
    contigs = [browser_contig(str(chrom)) for chrom in table["chrom"].unique()]
    upper = {name.upper(): name for name in names}
    near = [upper[name] for name in difflib.get_close_matches(text.upper(), upper, n=3, cutoff=0.72)]
    if _ENSEMBL.fullmatch(text) and not any(_ENSEMBL.match(str(one)) for one in table["gene_id"].unique()):
        why = f"Its genes have names and no Ensembl identifiers: type the gene's name, such as {names[0] if names else 'HNF4A'}."
    elif near:
        why = f"Nearest: {', '.join(near)}."
    else:
        why = "A gene of another chromosome needs the reference and the annotation of that chromosome."
    where = f"all on {contigs[0]}" if len(contigs) == 1 else f"on {len(contigs)} contigs"
    raise ValueError(
        f"A gene must be one of the {len(names):,} of {annotation.source}, {where}; received {text!r}. {why} {_EXAMPLES}"
    )


def _known_name(text: str, annotation: Any) -> str:
    """The name as the annotation spells it, where the text is a name."""
    names = {str(name).upper(): str(name) for name in annotation.table["gene"].unique()}
    return names.get(text.upper(), text)


def _region(text: str, region: Interval, reference: Reference, window: int, longest: int) -> Place:
    strand = "-" if region.strand == "-" else "+"
    focus = Interval(browser_contig(region.chrom), region.start, region.end, strand)
    if len(region) > longest:
        raise ValueError(
            f"A region must be at most {longest:,} bp for this model; received {focus.label()}, which has "
            f"{len(region):,} bp. Type a part of it, such as {_around(focus, focus.midpoint, longest).label()}."
        )
    if len(region) < SHORTEST:
        interval = _inside(_around(focus, focus.midpoint, max(window, SHORTEST)), focus, reference)
        how = f"{len(interval):,} bp around the region of {len(region):,} bp"
    else:
        _inside(focus, focus, reference)
        interval, how = focus, "the region as typed"
    return Place(text, "region", focus.label().removesuffix("(+)"), interval, focus, None, how)


def _variant(text: str, variant: Variant, reference: Reference, window: int) -> Place:
    focus = Interval(browser_contig(variant.chrom), variant.start, variant.end, "+")
    # Both alleles must fit into what the model reads.
    room = max(window - max(len(variant.alt) - len(variant.ref), 0), len(variant.ref))
    interval = _inside(_around(focus, focus.midpoint, room), focus, reference)
    name = f"{focus.chrom}:{variant.pos:,} {variant.ref}>{variant.alt}"
    how = f"{len(interval):,} bp around the variant"
    return Place(text, "variant", name, interval, focus, variant, how)


def _around(place: Interval, position: int, width: int) -> Interval:
    return Interval.around(place.chrom, position, width, place.strand)


def _inside(interval: Interval, focus: Interval, reference: Reference) -> Interval:
    """The interval moved onto its contig; the whole contig where that is shorter."""
    whole = reference.whole(interval.chrom)
    if not whole.overlaps(focus):
        raise ValueError(
            f"A place must lie on its contig; received {focus.label()}, and {focus.chrom} has {len(whole):,} bp. "
            "Check the position, and the assembly."
        )
    if len(interval) >= len(whole):
        return Interval(interval.chrom, 0, len(whole), interval.strand)
    return interval.shift(max(0, -interval.start) - max(0, interval.end - len(whole)))
