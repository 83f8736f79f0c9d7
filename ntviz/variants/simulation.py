"""Controls of substitutions: random ones of known consequence with partners outside of genes, and the same change in an intron."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from ntviz.annotation import Annotation
from ntviz.genome import Interval, Variant, canonical_contig
from ntviz.reference import Reference
from ntviz.sequence import reverse_complement
from ntviz.variants.consequences import SEVERITY, Transcript, consequence, transcripts
from ntviz.variants.windows import Contig

if TYPE_CHECKING:
    import pandas as pd

CLASSES = tuple(
    name
    for name in SEVERITY
    if name not in ("frameshift", "inframe_indel", "coding_unknown", "non_coding_exon", "intragenic")
)
"""Consequences that a single base can have, the gravest first, where the annotation has all transcripts of its genes."""
_ROUNDS = 60
_NEAREST = 40  # places that are asked for their consequence in each gene; nearly all are in introns


def simulate(
    annotation: Annotation,
    reference: Reference,
    *,
    per_class: int,
    interval: Interval | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Random substitutions, as many of each consequence, each with a control: intergenic, with the same three bases.

    Scores follow the bases of a change (a C before G above all), and consequences differ in their bases: stop codons
    and splice sites are made of few words. So each substitution has a partner outside of genes whose trinucleotide and
    substitution are the same, strands folded. No position is there twice.

    Columns [chrom, pos (1-based), ref, alt, consequence, rank, gene, protein, context, pair, role]: `role` is "case" or
    "control", which share a number in `pair`. `attrs["short"]` says which consequences have fewer than asked for, and
    how many.

    Parameters
    ----------
    annotation
        Genes, with exons and CDS.
    reference
        Bases.
    per_class
        Substitutions of each of `CLASSES`.
    interval
        Where; the whole contig that has the most exons if None.
    seed
        Of the draw.

    Raises
    ------
    ValueError
        The annotation has no exons there.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    known = transcripts(annotation)
    place = interval or _busiest(known, reference)
    inside = [
        one
        for one in known
        if canonical_contig(one.chrom) == canonical_contig(place.chrom)
        and one.exons[0][0] >= place.start
        and one.exons[-1][1] <= place.end
    ]
    if not inside:
        raise ValueError(
            f"There must be transcripts to draw from; {place.label()} holds none of {annotation.source} whole. Widen it."
        )
    contig = Contig(reference, place.chrom)
    strata = _strata(inside)
    found: dict[str, list[dict[str, object]]] = defaultdict(list)
    seen: set[int] = set()
    for _ in range(_ROUNDS):
        lacking = [name for name in CLASSES if len(found[name]) < per_class]
        if not lacking:
            break
        drawn = _shuffled(rng, _drawn(rng, contig, strata, place, seen, 4 * per_class))
        table = consequence(
            [Variant(place.chrom, at + 1, ref, alt) for at, ref, alt, _ in drawn], annotation, reference
        )
        for (at, ref, alt, context), row in zip(drawn, table.to_dict("records"), strict=True):
            name = row["consequence"]
            if name in lacking and len(found[name]) < per_class and at not in seen:
                seen.add(at)
                found[name].append({"pos": at + 1, "ref": ref, "alt": alt, "context": context, **row})
    rows = _with_controls(found, rng, contig, place, seen, annotation, reference)
    result = pd.DataFrame(rows, columns=["chrom", "pos", "ref", "alt", "consequence", "rank", "gene", "protein", "context", "pair", "role"])  # fmt: skip
    counts = result[result["role"] == "case"]["consequence"].value_counts()
    result.attrs["short"] = {
        name: int(counts.get(name, 0)) for name in CLASSES if counts.get(name, 0) < per_class
    }
    return result


def intron_controls(
    changes: Iterable[Variant] | pd.DataFrame,
    annotation: Annotation,
    reference: Reference,
    *,
    apart: int = 50,
) -> pd.DataFrame:
    """For each substitution a control: the same change of the same three bases, in an intron of the same gene.

    Columns [chrom, pos (1-based), ref, alt, apart (bp from the change), status], in the order given. It is the nearest place that is
    an intron by every transcript, outside of splice regions. Without one `pos` is missing, and `status` says why: "no_gene" (no
    transcript holds the change), "no_intron" (or none with these bases), "ref_mismatch" (REF is not the reference's single base).

    Parameters
    ----------
    changes
        `Variant`s, or a table with chrom, pos, ref and alt.
    annotation, reference
        With exons by transcript; of the same assembly.
    apart
        bp from the change, at least: splice scores look 50 bp to each side.
    """
    import pandas as pd

    if isinstance(changes, pd.DataFrame):
        columns = (changes[name] for name in ("chrom", "pos", "ref", "alt"))
        changes = [Variant(str(c), int(p), r, a) for c, p, r, a in zip(*columns, strict=True)]
    listed, known = list(changes), transcripts(annotation)
    places: list[tuple[int, Variant]] = []
    status = []
    for row, change in enumerate(listed):
        chrom = canonical_contig(change.chrom)
        inside = [t for t in known if canonical_contig(t.chrom) == chrom and t.exons[0][0] <= change.start < t.exons[-1][1]]  # fmt: skip
        status.append("no_intron" if inside else "no_gene")
        if not inside:
            continue
        low, high = min(t.exons[0][0] for t in inside), max(t.exons[-1][1] for t in inside)
        bases = reference.fetch(Interval(change.chrom, low - 1, high + 1)).sequence
        three = bases[change.start - low : change.start - low + 3]
        if three[1:2] != change.ref.upper() or len(change.alt) != 1:
            status[-1] = "ref_mismatch"
            continue
        fits = np.array([low + match.start() for match in re.finditer(f"(?={three})", bases)])
        gaps = [(a[1], b[0]) for t in inside for a, b in zip(t.exons, t.exons[1:], strict=False)]
        fits = fits[[any(a <= at < b for a, b in gaps) for at in fits] & (np.abs(fits - change.start) >= apart)]  # fmt: skip
        nearest = fits[np.argsort(np.abs(fits - change.start), kind="stable")[:_NEAREST]]
        places += [(row, Variant(change.chrom, int(at) + 1, change.ref, change.alt)) for at in nearest]
    introns = consequence([place for _, place in places], annotation, reference)["consequence"] == "intron"
    chosen: dict[int, Variant] = {}
    for (row, place), fits_all in zip(places, introns, strict=True):
        if fits_all:
            chosen.setdefault(row, place)
    pos = [chosen[row].pos if row in chosen else None for row in range(len(listed))]
    result = pd.DataFrame(
        {
            "chrom": [change.chrom for change in listed],
            "pos": pd.array(pos, dtype="Int64"),
            "ref": [change.ref for change in listed],
            "alt": [change.alt for change in listed],
            "status": ["ok" if row in chosen else why for row, why in enumerate(status)],
        }
    )
    result.insert(4, "apart", (result["pos"] - pd.Series([change.pos for change in listed])).abs())
    return result


def _busiest(known: list[Transcript], reference: Reference) -> Interval:
    count: dict[str, int] = defaultdict(int)
    for one in known:
        count[one.chrom] += len(one.exons)
    return reference.whole(max(count, key=count.__getitem__))


def _strata(inside: list[Transcript]) -> list[np.ndarray]:
    """Positions to draw from, so that rare consequences are met: coding, start, exons, splice sites; then anywhere."""
    coding = [one.coding for one in inside if len(one.coding)]
    exons = [np.arange(*exon) for one in inside for exon in one.exons]
    sites = [
        np.concatenate([np.arange(left[1] - 3, left[1] + 8), np.arange(right[0] - 8, right[0] + 3)])
        for one in inside
        for left, right in zip(one.exons, one.exons[1:], strict=False)
    ]
    cores = [
        np.array([left[1], left[1] + 1, right[0] - 2, right[0] - 1])
        for one in inside
        for left, right in zip(one.exons, one.exons[1:], strict=False)
    ]
    ends = [np.concatenate([places[:3], places[-3:]]) for places in coding]
    return [np.unique(np.concatenate(part)) for part in (coding, exons, sites, cores, ends) if part]


def _drawn(
    rng: np.random.Generator,
    contig: Contig,
    strata: list[np.ndarray],
    place: Interval,
    seen: set[int],
    each: int,
) -> Iterator[tuple[int, str, str, str]]:
    """(0-based position, reference, alternative, context) of random substitutions, in the order of the genome."""
    chosen = [rng.choice(part, min(each, len(part)), replace=False) for part in strata]
    chosen.append(rng.integers(place.start, place.end, each))
    for at in np.unique(np.concatenate(chosen)).tolist():
        around = contig.bases(at - 1, at + 2)
        alt = "ACGT"[int(rng.integers(4))]
        if at in seen or at == 0 or len(around) < 3 or "N" in around or alt == around[1]:
            continue
        yield at, around[1], alt, context_of(around, alt)


def _shuffled(
    rng: np.random.Generator, drawn: Iterable[tuple[int, str, str, str]]
) -> list[tuple[int, str, str, str]]:
    """In any order: what is taken first must not be what lies first on the contig."""
    listed = list(drawn)
    return [listed[at] for at in rng.permutation(len(listed))]


def context_of(around: str, alt: str) -> str:
    """Trinucleotide and substitution on the strand where the middle base is A or C, such as ``TCG>T``.

    Examples
    --------
    >>> context_of("CGA", "A"), context_of("TCG", "T")
    ('TCG>T', 'TCG>T')
    """
    if around[1] in "GT":
        return f"{reverse_complement(around)}>{reverse_complement(alt)}"
    return f"{around}>{alt}"


def _with_controls(
    found: dict[str, list[dict[str, object]]],
    rng: np.random.Generator,
    contig: Contig,
    place: Interval,
    seen: set[int],
    annotation: Annotation,
    reference: Reference,
) -> list[dict[str, object]]:
    """Cases with a control each; a case for which none was found is left out."""
    wanted: dict[str, list[dict[str, object]]] = defaultdict(list)
    for name in CLASSES:
        for case in found[name]:
            wanted[str(case["context"])].append(case)
    pairs: list[tuple[dict[str, object], dict[str, object]]] = []
    for _ in range(_ROUNDS):
        if not any(wanted.values()):
            break
        drawn = list(_drawn(rng, contig, [], place, seen, 5_000))
        # A partner may be any of the three changes that its bases allow.
        useful = []
        for at, ref, _, _ in drawn:
            around = contig.bases(at - 1, at + 2)
            fits = [alt for alt in "ACGT" if alt != ref and wanted.get(context_of(around, alt))]
            if fits:
                alt = fits[int(rng.integers(len(fits)))]
                useful.append((at, ref, alt, context_of(around, alt)))
        useful = _shuffled(rng, useful)
        table = consequence(
            [Variant(place.chrom, at + 1, ref, alt) for at, ref, alt, _ in useful], annotation, reference
        )
        for (at, ref, alt, context), row in zip(useful, table.to_dict("records"), strict=True):
            if row["consequence"] == "intergenic" and wanted[context] and at not in seen:
                seen.add(at)
                control = {"pos": at + 1, "ref": ref, "alt": alt, "context": context, **row}
                pairs.append((wanted[context].pop(), control))
    pairs.sort(key=lambda pair: (pair[0]["rank"], pair[0]["pos"]))
    return [
        {**one, "chrom": place.chrom, "pair": number, "role": role}
        for number, both in enumerate(pairs)
        for role, one in zip(("case", "control"), both, strict=True)
    ]
