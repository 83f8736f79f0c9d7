"""`SpliceScorer`: what alleles do to splice sites, by a splice network: gains and losses of acceptors and donors, gene by gene.

References
----------
Jaganathan et al. (2019) Cell 176:535: delta scores. Strauch et al. (2022) PLOS ONE 17:e0269159: the mask by position.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ntviz import environment
from ntviz.annotation import Annotation
from ntviz.genome import canonical_contig
from ntviz.genome.sequence import one_hot
from ntviz.models.protocol import SplicePredictor
from ntviz.reference import Reference
from ntviz.variants.alleles import Allele, smallest
from ntviz.variants.options import check
from ntviz.variants.plan import Contigs, Plan
from ntviz.variants.scorer import AlleleScorer, Scored, listed, status_line
from ntviz.variants.vcf import info_line

MASKS = {
    "none": "every gain and loss counts",
    "nearest": "gains at the nearest annotated exon end, and losses anywhere else, are 0 (SpliceAI -M 1)",
    "position": "gains at annotated sites of their kind, and losses at positions that are none, are 0 before the largest is taken",
}
"""Rules that leave out what is no change of an annotated transcript."""
EVENTS = ("AG", "AL", "DG", "DL")
"""Acceptor gain and loss, donor gain and loss."""
_METHOD = 1
_KEPT = 32  # predictions: alternatives and genes of one site have those of the reference in common


class Gene(NamedTuple):
    """A gene as splicing knows it; positions are 0-based, spans half-open."""

    name: str
    strand: str
    start: int
    end: int
    acceptors: np.ndarray  # first bases of exons behind introns
    donors: np.ndarray  # last bases of exons before introns
    ends: np.ndarray  # both ends of every exon, of transcripts too, or of the gene where it has no exons


class Effect(NamedTuple):
    """What one allele does to one gene: differences of probability, alternative less reference, and where.

    `scores` and `masked` are [event] in the order of `EVENTS`, at least about 0; `places` and `masked_places` are bp from POS to the base
    of the largest change, along the genome. `before` and `after` are [position, class] probabilities with either allele, from `distance`
    bp before POS to as many behind it, at the positions of the reference.
    """

    gene: Gene
    scores: np.ndarray
    places: np.ndarray
    masked: np.ndarray
    masked_places: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def text(self, alt: str, *, masked: bool = False) -> str:
        """`ALT|GENE|AG|AL|DG|DL|places of these`, as SpliceAI writes it."""
        scores, places = (self.masked, self.masked_places) if masked else (self.scores, self.places)
        name = "".join("_" if letter in "|,;= \t" else letter for letter in self.gene.name)
        return "|".join([alt, name, *(f"{value:z.2f}" for value in scores), *map(str, places)])


@dataclass(frozen=True)
class _Plan(Plan):
    genes: tuple[Gene, ...] = ()
    bases: str = ""


class SpliceScorer(AlleleScorer):
    """Scores alleles with a splice network: the largest gain and loss of acceptors and donors within a distance, for each gene.

    Bases outside the gene are hidden (N), of both alleles, and the strand is the gene's; see `genes_of` for where it ends. SpliceAI's tool
    hides what lies outside of one transcript: for its numbers give exons alone, `annotation.from_table(table[table["element"] == "exon"])`.

    Parameters
    ----------
    model
        Of `models.load("ci-spliceai")` or `models.load("spliceai-10k")`.
    distance
        Positions that are looked at on each side of POS, in bp: 1 to 5,000.
    mask
        One of `MASKS`, for the second score; the first is always without.
    on_mismatch
        A REF that is not the reference's: "skip" or "fail".
    """

    background = None
    _nameless = ("model", "revision", "annotation")
    unit = "differences of probability, alternative less reference"

    def __init__(
        self, model: SplicePredictor, reference: Reference, annotation: Annotation, *, distance: int = 50, mask: str = "position",
        on_mismatch: str = "skip", annotation_name: str = "",
    ) -> None:  # fmt: skip
        rules = ("skip", "fail")
        check(
            (mask in MASKS, f"mask must be one of {', '.join(MASKS)}", mask, "Choose one of these."),
            (on_mismatch in rules, "on_mismatch must be skip or fail", on_mismatch, "Choose one of these."),
            (1 <= distance <= model.context, f"distance must be 1 to {model.context:,} bp", distance, "SpliceAI's is 50, CI-SpliceAI's 1,000."),
        )  # fmt: skip
        self.model, self.distance, self.mask = model, distance, mask
        self.sequences = 0
        self._contigs = Contigs(reference, on_mismatch)
        self._read = lru_cache(_KEPT)(self._predict)
        self._genes = genes_of(annotation)
        self.columns = (
            "splice", "splice_masked", *(f"splice_{event}" for event in EVENTS), *(f"splice_{event}_at" for event in EVENTS),
            *(f"splice_masked_{event}" for event in EVENTS), *(f"splice_masked_{event}_at" for event in EVENTS),
        )  # fmt: skip
        sites = [
            (chrom, gene.name, gene.strand, gene.start, gene.end, gene.ends.tolist(), gene.donors.tolist())
            for chrom, genes in sorted(self._genes.items())
            for gene in genes
        ]
        digest = hashlib.sha256(repr(sites).encode()).hexdigest()[:16]
        super().__init__(
            model, reference, _METHOD, licence=model.info.get("licence"), vocabulary="single-base", distance=distance, mask=mask,
            window_bp=2 * (model.context + distance) + 1, annotation=annotation_name, genes=digest,
        )  # fmt: skip

    def score(self, alleles: Sequence[Allele], *, what: str | None = None) -> Scored:
        """Statuses and scores of alleles; whatever is wrong with one costs only that one.

        The columns are those of the gene with the largest change; what is said of each gene is in `Scored.entries`.
        """
        plans = self.plan(alleles)
        values = np.full((len(alleles), len(self.columns)), np.nan)
        entries = []
        for row in environment.progress(range(len(alleles)), what=what) if what else range(len(alleles)):
            effects, alt = self._effects(alleles[row], plans[row]), alleles[row].alt
            entries.append([",".join(one.text(alt, masked=mask) for one in effects) for mask in (False, True)])
            if effects:
                top = max(effects, key=lambda effect: effect.scores.max())
                values[row] = [
                    top.scores.max(), max(effect.masked.max() for effect in effects),
                    *top.scores, *top.places, *top.masked, *top.masked_places,
                ]  # fmt: skip
        return self._scored(plans, values, entries)

    def effects(self, allele: Allele) -> tuple[str, list[Effect]]:
        """The status of an allele, and what it does to each gene that holds it."""
        (plan,) = self.plan([allele])
        return plan.status, self._effects(allele, plan)

    def _content(self, allele: Allele, plan: _Plan) -> str:
        names = [gene.name for gene in plan.genes]
        return f"\n{plan.status} {plan.ref_agrees} {allele.pos} {allele.ref} {allele.alt} {names} {plan.bases}"

    def _plan(self, allele: Allele) -> _Plan:
        contig, status, agrees = self._contigs.check(allele)
        if contig is None:
            return _Plan(status, agrees)
        start, reach = allele.pos - 1, self.model.context + self.distance
        if len(allele.ref) > 2 * self.distance or len(allele.alt) > max(self.distance, len(allele.ref)):
            note = f"longer than what is looked at: raise distance above {self.distance} bp"
            return _Plan("too_long", agrees, note=note)
        if start < reach or start + reach >= contig.length:
            note = f"the {reach:,} bp on each side that the network reads end at the contig's"
            return _Plan("out_of_bounds", agrees, note=note)
        genes = self._genes.get(canonical_contig(allele.chrom), [])
        near = tuple(gene for gene in genes if gene.start <= start < gene.end)
        if not near:
            return _Plan("no_gene", agrees)
        change, bases = smallest(start, *allele.bases), contig.bases(start - reach, start + reach + 1)
        return _Plan("ok", agrees, change, method="splice", genes=near, bases=bases)

    def _effects(self, allele: Allele, plan: _Plan) -> list[Effect]:
        start, (ref, alt) = allele.pos - 1, allele.bases
        reach, found = self.model.context + self.distance, []
        for gene in plan.genes:
            left, right = max(0, gene.start - (start - reach)), max(0, start + reach + 1 - gene.end)
            bases = "N" * left + plan.bases[left : len(plan.bases) - right] + "N" * right
            before = self._read(bases, gene.strand)
            after = self._read(bases[:reach] + alt + bases[reach + len(ref) :], gene.strand)
            after = aligned(after, self.distance, len(ref), len(alt))
            found.append(_effect(gene, start, self.distance, before, after, self.mask))
        return found

    def _predict(self, bases: str, strand: str) -> np.ndarray:
        """[position, 3] along the genome, which no one may change: `_read` gives it again."""
        self.sequences += 1
        way = slice(None, None, -1 if strand == "-" else 1)
        found = self.model.probabilities(one_hot(bases).T[None, way, way])[0, way]
        found.setflags(write=False)
        return found

    def info_lines(self) -> list[str]:
        """The `##INFO` lines of what `info` gives."""
        about = self.about
        rule = f"mask {self.mask}: {MASKS[self.mask]}"
        how = f"{about['model']} ({about['licence']}), within {self.distance} bp of POS, genes of {about['annotation'] or 'the annotation'}"
        form = "ALT|GENE|AG|AL|DG|DL|bp from POS to AG|AL|DG|DL; acceptor and donor gain and loss, one entry for each alternative and gene"
        largest = "largest of the four changes over all genes"
        return [
            info_line("NTV_SPLICE", "String", f"{form}; {how}", number="."),
            info_line("NTV_SPLICE_MASKED", "String", f"{form}; {how}; {rule}", number="."),
            info_line("NTV_SPLICE_MAX", "Float", f"{largest}; {how}"),
            info_line("NTV_SPLICE_MASKED_MAX", "Float", f"{largest}; {how}; {rule}"),
            status_line(),
        ]

    def info(self, scored: Scored, where: slice) -> Mapping[str, str]:
        """INFO values of a record."""
        found = {}
        for column, key in enumerate(("NTV_SPLICE", "NTV_SPLICE_MASKED")):
            if texts := [entry[column] for entry in scored.entries[where] if entry[column]]:
                found[key] = ",".join(texts)
                found[f"{key}_MAX"] = listed(scored.values[where, column], ".4g")
        return found | {"NTV_STATUS": ",".join(scored.statuses[where]) or "missing"}


def genes_of(annotation: Annotation) -> dict[str, list[Gene]]:
    """Genes by contig (canonical name), in the order of their starts.

    A gene reaches as far as its row and its exons do: in the bundle its row is as long as all isoforms are, though exons are those of one.
    Its sites are those of exons, so that a site of an isoform without exons in the annotation is none to a mask.
    """
    names = ["chrom", "gene", "gene_id", "strand", "element", "transcript", "start", "end"]
    rows = annotation.table.loc[annotation.table["element"].isin(("gene", "exon")), names]
    genes: dict[tuple[str, ...], dict[tuple[str, str], set[tuple[int, int]]]] = {}
    for *gene, element, transcript, start, end in rows.itertuples(index=False, name=None):
        parts = genes.setdefault(tuple(map(str, gene)), {})
        parts.setdefault((element, transcript), set()).add((int(start), int(end)))
    found: dict[str, list[Gene]] = {}
    for (chrom, name, _, strand), parts in genes.items():
        spans = [span for part in parts.values() for span in part]
        start, end = min(a for a, _ in spans), max(b for _, b in spans)
        exons = [sorted(part) for (element, _), part in parts.items() if element == "exon"]
        left = {b - 1 for part in exons for _, b in part[:-1]}
        right = {a for part in exons for a, _ in part[1:]}
        ends = {place for part in exons for a, b in part for place in (a, b - 1)} or {start, end - 1}
        sites = (left, right, ends) if strand == "-" else (right, left, ends)
        gene = Gene(name, strand, start, end, *(np.array(sorted(part), dtype=np.int64) for part in sites))
        found.setdefault(canonical_contig(chrom), []).append(gene)
    for group in found.values():
        group.sort(key=lambda gene: (gene.start, gene.end, gene.name))
    return found


def aligned(alternative: np.ndarray, before: int, ref: int, alt: int) -> np.ndarray:
    """Probabilities of the alternative at the positions of the reference [position, 3].

    Position by position from the first base of the alleles, `before` positions in. Reference bases that the alternative lacks have
    probability 0; the bases that it has more share the last place of the reference, by their maximum.

    Examples
    --------
    >>> y = np.arange(4.0)[:, None]
    >>> aligned(y, 1, 2, 1)[:, 0].tolist(), aligned(y, 1, 1, 2)[:, 0].tolist()
    ([0.0, 1.0, 0.0, 2.0, 3.0], [0.0, 2.0, 3.0])
    """
    if ref > alt:
        lacking = np.zeros((ref - alt, alternative.shape[1]))
        return np.concatenate([alternative[: before + alt], lacking, alternative[before + alt :]])
    if ref < alt:
        last = alternative[before + ref - 1 : before + alt].max(axis=0, keepdims=True)
        return np.concatenate([alternative[: before + ref - 1], last, alternative[before + alt :]])
    return alternative


def _effect(gene: Gene, start: int, distance: int, before: np.ndarray, after: np.ndarray, mask: str) -> Effect:
    change = (after - before)[:, 1:]
    signed = np.stack([change[:, 0], -change[:, 0], change[:, 1], -change[:, 1]])
    places = signed.argmax(axis=1)
    scores = signed.max(axis=1)
    masked, masked_places = scores.copy(), places
    at = np.arange(start - distance, start + distance + 1)
    if mask == "nearest":
        nearest = gene.ends[np.abs(gene.ends - start).argmin()]
        gain = np.array([True, False, True, False])
        masked[(at[places] == nearest) == gain] = 0
    elif mask == "position":
        known = [np.isin(at, gene.acceptors), np.isin(at, gene.donors)]
        kept = np.where(np.stack([known[0], ~known[0], known[1], ~known[1]]), 0, signed)
        masked = kept.max(axis=1)
        masked_places = np.where(masked > 0, kept.argmax(axis=1), places)
    return Effect(gene, scores, places - distance, masked, masked_places - distance, before, after)
