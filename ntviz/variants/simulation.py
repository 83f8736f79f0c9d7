"""Controls of substitutions: random ones of known consequence with partners outside of genes, and the same change in an intron."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.annotation import Annotation
from ntviz.genome import Interval, Variant
from ntviz.reference import Reference
from ntviz.variants.backgrounds import folded
from ntviz.variants.consequences import SEVERITY, Index, Transcript, listed
from ntviz.variants.windows import Contig

if TYPE_CHECKING:
    import pandas as pd

_NEVER = ("frameshift", "inframe_indel", "coding_unknown", "non_coding_exon", "intragenic")
CLASSES = tuple(name for name in SEVERITY if name not in _NEVER)
"""Consequences that a single base can have, the gravest first, where the annotation has all transcripts of its genes."""
_COLUMNS = ("chrom", "pos", "ref", "alt", "consequence", "rank", "gene", "protein", "context", "pair", "role")
_ROUNDS = 60
_NEAREST = 40  # places that are asked for their consequence in each gene; nearly all are in introns


def simulate(
    annotation: Annotation, reference: Reference, *, per_class: int, interval: Interval | None = None, seed: int = 0
) -> pd.DataFrame:
    """Random substitutions, as many of each consequence, each with a control: intergenic, with the same three bases.

    Scores follow the bases of a change (a C before G above all), and consequences differ in their bases. So each substitution
    has a partner outside of genes whose trinucleotide and substitution are the same, strands folded. No position is there twice.

    Columns [chrom, pos (1-based), ref, alt, consequence, rank, gene, protein, context, pair, role]: `role` is "case" or
    "control", which share a number in `pair`. `attrs["short"]` says which consequences have fewer than asked for, and
    how many.

    The annotation has genes with exons and CDS; `per_class` are substitutions of each of `CLASSES`; `interval` is the whole contig
    that has the most exons if None.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    index = Index(annotation, reference)
    exons = Counter(one.chrom for one in index.transcripts for _ in one.exons)
    place = interval or reference.whole(exons.most_common(1)[0][0])
    inside = [t for t in index.transcripts if place.contains(Interval(t.chrom, t.exons[0][0], t.exons[-1][1]))]
    if not inside:
        raise ValueError(
            f"There must be transcripts to draw from; {place.label()} holds none of {annotation.source} whole. Widen it."
        )
    draw = _Draw(rng, Contig(reference, place.chrom), place, index)
    strata = _strata(inside)
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for _ in range(_ROUNDS):
        lacking = [name for name in CLASSES if len(found[name]) < per_class]
        if not lacking:
            break
        for one in draw.known(draw.random(strata, 4 * per_class)):
            name = one["consequence"]
            if name in lacking and len(found[name]) < per_class and draw.is_new(one):
                found[name].append(one)
    rows = _with_controls(found, draw)
    result = pd.DataFrame(rows, columns=list(_COLUMNS))
    counts = Counter(result.loc[result["role"] == "case", "consequence"])
    result.attrs["short"] = {name: counts[name] for name in CLASSES if counts[name] < per_class}
    return result


def intron_controls(
    changes: Iterable[Variant] | pd.DataFrame, annotation: Annotation, reference: Reference, *, apart: int = 50
) -> pd.DataFrame:
    """For each substitution a control: the same change of the same three bases, in an intron of the same gene.

    Columns [chrom, pos (1-based), ref, alt, apart (bp from the change), status], in the order given. It is the nearest place that is
    an intron by every transcript, outside of splice regions. Without one `pos` is missing, and `status` says why: "no_gene" (no
    transcript holds the change), "no_intron" (or none with these bases), "ref_mismatch" (REF is not the reference's single base).

    `changes` are `Variant`s, or a table with chrom, pos, ref and alt. `apart` is the least distance from the change in bp: splice
    scores look 50 bp to each side.
    """
    import pandas as pd

    changes, index = listed(changes), Index(annotation, reference)
    places: list[tuple[int, Variant]] = []
    status = []
    for row, change in enumerate(changes):
        inside = index.places.touched(change.chrom, change.start, change.start + 1)
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
        gaps = [gap for t in inside for gap in t.introns]
        fits = fits[[any(a <= at < b for a, b in gaps) for at in fits] & (np.abs(fits - change.start) >= apart)]
        nearest = fits[np.argsort(np.abs(fits - change.start), kind="stable")[:_NEAREST]]
        places += [(row, Variant(change.chrom, int(at) + 1, change.ref, change.alt)) for at in nearest]
    introns = index.consequences(place for _, place in places)["consequence"] == "intron"
    chosen: dict[int, Variant] = {}
    for (row, place), fits_all in zip(places, introns, strict=True):
        if fits_all:
            chosen.setdefault(row, place)
    pos = [chosen[row].pos if row in chosen else None for row in range(len(changes))]
    result = pd.DataFrame({
        "chrom": [change.chrom for change in changes], "pos": pd.array(pos, dtype="Int64"),
        "ref": [change.ref for change in changes], "alt": [change.alt for change in changes],
        "status": ["ok" if row in chosen else why for row, why in enumerate(status)],
    })  # fmt: skip
    result.insert(4, "apart", (result["pos"] - pd.Series([change.pos for change in changes])).abs())
    return result


def _strata(inside: list[Transcript]) -> list[np.ndarray]:
    """Positions to draw from, so that rare consequences are met: coding, exons, splice sites, their cores, ends of CDS."""
    coding = [one.coding for one in inside if len(one.coding)]
    exons = [np.arange(*exon) for one in inside for exon in one.exons]
    introns = [intron for one in inside for intron in one.introns]
    sites = [np.r_[left - 3 : left + 8, right - 8 : right + 3] for left, right in introns]
    cores = [np.array([left, left + 1, right - 2, right - 1]) for left, right in introns]
    ends = [np.concatenate([places[:3], places[-3:]]) for places in coding]
    return [np.unique(np.concatenate(part)) for part in (coding, exons, sites, cores, ends) if part]


class _Draw:
    """Random substitutions of a stretch, no position twice, and what they do."""

    def __init__(self, rng: np.random.Generator, contig: Contig, place: Interval, index: Index) -> None:
        self.rng, self.contig, self.place, self.index = rng, contig, place, index
        self.seen = set[int]()  # 1-based

    def random(self, strata: list[np.ndarray], count: int) -> list[tuple[int, str, str]]:
        """(1-based position, three bases, alternative) in the order of the genome."""
        chosen = [self.rng.choice(part, min(count, len(part)), replace=False) for part in strata]
        chosen.append(self.rng.integers(self.place.start, self.place.end, count))
        drawn = []
        for at in np.unique(np.concatenate(chosen)).tolist():
            around = self.contig.bases(at - 1, at + 2)
            alt = "ACGT"[int(self.rng.integers(4))]
            if at and at + 1 not in self.seen and len(around) == 3 and "N" not in around and alt != around[1]:
                drawn.append((at + 1, around, alt))
        return drawn

    def known(self, drawn: list[tuple[int, str, str]]) -> Iterator[dict[str, Any]]:
        """These with their consequences, in any order: what is taken first must not be what lies first on the contig."""
        drawn = [drawn[row] for row in self.rng.permutation(len(drawn))]
        chrom = self.place.chrom
        table = self.index.consequences(Variant(chrom, pos, around[1], alt) for pos, around, alt in drawn)
        for (pos, around, alt), row in zip(drawn, table.to_dict("records"), strict=True):
            place = {"chrom": chrom, "pos": pos, "ref": around[1], "alt": alt}
            yield place | {"context": context_of(around, alt)} | row

    def is_new(self, one: dict[str, Any]) -> bool:
        """Whether its position has not been taken; it is from now on."""
        known = one["pos"] in self.seen
        self.seen.add(one["pos"])
        return not known


def context_of(around: str, alt: str) -> str:
    """Trinucleotide and substitution on the strand where the middle base is A or C, such as ``TCG>T``.

    Examples
    --------
    >>> context_of("CGA", "A"), context_of("TCG", "T")
    ('TCG>T', 'TCG>T')
    """
    return ">".join(folded(around, alt))


def _with_controls(found: dict[str, list[dict[str, Any]]], draw: _Draw) -> list[dict[str, Any]]:
    """Cases with a control each; a case for which none was found is left out."""
    wanted: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for case in (case for name in CLASSES for case in found[name]):
        wanted[case["context"]].append(case)
    pairs = []
    for _ in range(_ROUNDS):
        if not any(wanted.values()):
            break
        useful = []
        for pos, around, _ in draw.random([], 5_000):
            # A partner may be any of the three changes that its bases allow.
            fits = [alt for alt in "ACGT" if alt != around[1] and wanted.get(context_of(around, alt))]
            if fits:
                useful.append((pos, around, fits[int(draw.rng.integers(len(fits)))]))
        for one in draw.known(useful):
            if one["consequence"] == "intergenic" and wanted[one["context"]] and draw.is_new(one):
                pairs.append((wanted[one["context"]].pop(), one))
    pairs.sort(key=lambda pair: (pair[0]["rank"], pair[0]["pos"]))
    return [
        one | {"pair": number, "role": role}
        for number, both in enumerate(pairs)
        for role, one in zip(("case", "control"), both, strict=True)
    ]
