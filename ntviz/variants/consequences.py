"""What says something about a variant without any model: its consequence from exons and CDS alone, and baselines of composition."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntviz.annotation import Annotation
from ntviz.annotation.transcripts import joined
from ntviz.genome import Interval, Variant, canonical_contig
from ntviz.genome.sequence import codes, kmer_numbers, reverse_complement
from ntviz.reference import Reference
from ntviz.variants.alleles import Change, smallest
from ntviz.variants.windows import Contig

if TYPE_CHECKING:
    import pandas as pd

SEVERITY = (
    "splice_acceptor", "splice_donor", "stop_gained", "frameshift", "stop_lost", "start_lost", "inframe_indel", "missense",
    "splice_region", "synonymous", "coding_unknown", "five_prime_utr", "three_prime_utr", "non_coding_exon", "intron",
    "intragenic", "intergenic",
)  # fmt: skip
"""Consequences, the gravest first, in the order of the Sequence Ontology as Ensembl ranks them.

intragenic (SO:0002011): within a gene and outside of all of its transcripts that the annotation has, as at another promoter.
"""

_CORE, _EXON_SIDE, _INTRON_SIDE = 2, 3, 8  # bp of a splice site's core, and of its region in exon and intron
GC_WINDOW = 101
"""bp around a variant whose G and C are counted."""
_BLOCK = 1 << 22  # bp whose k-mers are counted at once
_AMINO_ACIDS = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
CODE = dict(zip(map("".join, product("TCAG", repeat=3)), _AMINO_ACIDS, strict=True))
"""The standard genetic code; * is a stop."""


@dataclass(frozen=True)
class Transcript:
    """One transcript: exons and CDS in the order of the genome, 0-based half-open."""

    name: str
    gene: str
    chrom: str
    strand: str
    exons: tuple[tuple[int, int], ...]
    cds: tuple[tuple[int, int, int], ...] = ()  # (start, end, phase) of each piece
    stop: tuple[tuple[int, int], ...] = ()  # the stop codon, where the annotation states it
    incomplete: str = ""  # ends of the CDS, 5 and 3, that the annotation says are missing
    stop_in_cds: bool = False  # whether the CDS holds the stop codon, where `stop` does not say

    @property
    def introns(self) -> list[tuple[int, int]]:
        """What lies between the exons."""
        return [(before[1], after[0]) for before, after in pairwise(self.exons)]

    def _translated(self, pieces: Iterable[tuple[int, ...]]) -> np.ndarray:
        """Positions of the bases of pieces in the order of translation; a base of two pieces is translated twice."""
        places = [np.arange(piece[0], piece[1]) for piece in pieces] or [np.zeros(0, np.int64)]
        return np.concatenate(places) if self.strand == "+" else np.concatenate(places)[::-1]

    @cached_property
    def first(self) -> int:
        """Bases of the CDS before its first codon, as its phase says; -1 if the frame is not known."""
        pieces = self.cds if self.strand == "+" else self.cds[::-1]
        first, length, agree = max(pieces[0][2], 0), 0, pieces[0][2] >= 0
        for start, end, phase in pieces:
            agree &= phase < 0 or (first - length - phase) % 3 == 0
            length += end - start
        return first if agree or (length - first) % 3 == 0 else -1

    @cached_property
    def _may_stop_behind(self) -> bool:
        """Whether whole codons of CDS end where a stop codon that the annotation does not state may follow."""
        if not self.cds or self.stop or "3" in self.incomplete or self.first < 0:
            return False
        return (len(self._translated(self.cds)) - self.first) % 3 == 0

    @cached_property
    def coding(self) -> np.ndarray:
        """Positions of the bases of CDS and stop codon, in the order of translation."""
        inside = self._translated(self.cds)
        if self._may_stop_behind and not self.stop_in_cds:
            return np.concatenate([inside, self.behind])
        codon = self._translated(self.stop)
        return np.concatenate([inside, codon[~np.isin(codon, inside)]])

    @cached_property
    def behind(self) -> np.ndarray:
        """Positions of the three bases of exons after the CDS; none if there are fewer."""
        places = self._translated(self.exons)
        last = np.flatnonzero(places == self._translated(self.cds)[-1]) + 1
        codon = places[last[0] : last[0] + 3] if len(last) else places[:0]
        return codon if len(codon) == 3 else places[:0]

    def bases(self, reference: Reference, places: np.ndarray | None = None) -> str:
        """The bases of positions, of the coding ones from start to stop codon if none are given."""
        places = self.coding if places is None else places
        if not len(places):
            return ""
        low, high = int(places.min()), int(places.max()) + 1
        around = reference.fetch(Interval(self.chrom, low, high)).sequence
        letters = "".join(around[at - low] for at in places.tolist())
        return letters if self.strand == "+" else reverse_complement(letters)[::-1]

    def read(self, reference: Reference) -> Transcript:
        """The transcript with its CDS ending where the bases say, if the annotation does not: the file as a whole may be wrong."""
        if not self._may_stop_behind:
            return self
        inside = self._translated(self.cds)
        last, after = (_translate(self.bases(reference, places)) for places in (inside[-3:], self.behind))
        return replace(self, stop_in_cds=last == "*" or after != "*")


class _Found(NamedTuple):
    consequence: str
    gene: str = ""
    transcript: str = ""
    protein: str = ""
    codons: str = ""


def consequence(
    variants: Iterable[Variant] | pd.DataFrame, annotation: Annotation, reference: Reference
) -> pd.DataFrame:
    """The gravest consequence of each variant over all transcripts, in the order given.

    Columns [consequence, rank, gene, transcript, protein, codons]. `rank` is the place in `SEVERITY`, 0 the gravest;
    `protein` says what becomes of which residue (R175H, counted from 1 at the first whole codon, * is a stop), `codons` from
    which triplet to which. Codons begin where the phase of the CDS says; where that is not known and the CDS is not whole codons,
    "coding_unknown" is given, not a guess. Where the annotation states no stop codon, the bases say whether it is the last of the
    CDS or follows it. What lies in a gene and in none of its transcripts is "intragenic", with the gene and no transcript; tools
    that read transcripts alone, such as ``bcftools csq``, call it intergenic. Promoters and enhancers are no consequence here.

    `variants` are `Variant`s, or a table with chrom, pos (1-based), ref and alt; the annotation has exons and CDS by transcript, as
    a GTF has them, and rows of genes tell intragenic from intergenic. Terms and their order: Sequence Ontology as in Ensembl's
    Variant Effect Predictor (McLaren et al. 2016), which knows more: regulatory regions, UTR starts, nonsense-mediated decay.
    """
    return Index(annotation, reference).consequences(listed(variants))


def listed(variants: Iterable[Variant] | pd.DataFrame) -> list[Variant]:
    """Variants, or the rows of a table with chrom, pos, ref and alt."""
    import pandas as pd

    if not isinstance(variants, pd.DataFrame):
        return list(variants)
    columns = (variants[name] for name in ("chrom", "pos", "ref", "alt"))
    # pandas reads chromosome 20 as 20.0 where another row has none.
    return [
        Variant(f"{chrom:g}" if isinstance(chrom, float) else str(chrom), int(pos), ref, alt)
        for chrom, pos, ref, alt in zip(*columns, strict=True)
    ]


def transcripts(annotation: Annotation) -> list[Transcript]:
    """The transcripts of an annotation that have exons; a ValueError says that there are none."""
    parts: dict[tuple[str, ...], dict[str, Any]] = {}
    chosen = annotation.table[annotation.table["element"].isin(("exon", "CDS", "stop_codon"))]
    columns = ("chrom", "strand", "gene_id", "transcript", "gene", "element", "start", "end", "phase", "incomplete")
    for *key, gene, element, start, end, phase, lacking in zip(
        *(chosen[name].tolist() for name in columns), strict=True
    ):
        pieces = parts.setdefault(tuple(key), {"gene": gene, "exon": [], "CDS": [], "stop_codon": []})
        pieces[element].append((start, end, phase, lacking))
    found = []
    for (chrom, strand, _, name), pieces in parts.items():
        exons, stop = (tuple(joined(piece[:2] for piece in pieces[kind])) for kind in ("exon", "stop_codon"))
        # The same line twice is one piece; pieces that overlap otherwise are read one after the other, as ribosomes do.
        cds = tuple(sorted({piece[:3] for piece in pieces["CDS"]}))
        lacking = "".join({piece[3] for piece in pieces["CDS"]})
        if exons:
            place = name, pieces["gene"], chrom, strand
            found.append(Transcript(*place, exons, cds, stop, lacking, annotation.stop_in_cds))
    if not found:
        raise ValueError(
            f"An annotation must have exons to say what a variant does; {annotation.source} has none. Read a GTF or GFF3."
        )
    return found


class _Places:
    """Transcripts, or genes as transcripts of one exon, found by place."""

    def __init__(self, several: Iterable[Transcript]) -> None:
        self._by_contig: dict[str, list[Transcript]] = {}
        for one in sorted(several, key=lambda one: one.exons[0][0]):
            self._by_contig.setdefault(canonical_contig(one.chrom), []).append(one)
        self._ends = {
            chrom: np.array([(one.exons[0][0], one.exons[-1][1]) for one in group]).T
            for chrom, group in self._by_contig.items()
        }

    def touched(self, chrom: str, low: int, high: int) -> list[Transcript]:
        """Those that have a base of [low, high), by their starts."""
        chrom = canonical_contig(chrom)
        if chrom not in self._ends:
            return []
        starts, ends = self._ends[chrom]
        return [self._by_contig[chrom][row] for row in np.flatnonzero((starts < high) & (ends > low))]


class Index:
    """Transcripts and genes by place, for many questions."""

    def __init__(self, annotation: Annotation, reference: Reference) -> None:
        self.reference, self.transcripts = reference, transcripts(annotation)
        self._read: dict[int, tuple[Transcript, str]] = {}
        self.places = _Places(self.transcripts)
        table = annotation.table[annotation.table["element"] == "gene"]
        columns = (table[name].tolist() for name in ("gene", "chrom", "strand", "start", "end"))
        self._genes = _Places(
            Transcript("", gene, chrom, strand, ((start, end),))
            for gene, chrom, strand, start, end in zip(*columns, strict=True)
        )

    def consequences(self, variants: Iterable[Variant]) -> pd.DataFrame:
        """The table of `consequence`."""
        import pandas as pd

        table = pd.DataFrame([self._gravest(one) for one in variants], columns=list(_Found._fields))
        table.insert(1, "rank", [SEVERITY.index(name) for name in table["consequence"]])
        return table

    def _gravest(self, variant: Variant) -> _Found:
        change = smallest(variant.start, variant.ref, variant.alt)
        # An insertion lies between two bases: it touches both.
        low, high = (change.start, change.end) if change.ref else (change.start - 1, change.start + 1)
        if inside := self.places.touched(variant.chrom, low, high):
            return min((self._in(one, change, low, high) for one in inside), key=lambda one: SEVERITY.index(one[0]))
        genes = self._genes.touched(variant.chrom, low, high)
        return _Found("intragenic", genes[0].gene) if genes else _Found("intergenic")

    def _in(self, one: Transcript, change: Change, low: int, high: int) -> _Found:
        names, protein, codons = set(), "", ""
        for donor, acceptor in one.introns:
            names |= _splicing(donor, acceptor, one.strand, low, high, inserted=not change.ref)
        name = "intron"
        if any(start < high and end > low for start, end in one.exons):
            name, protein, codons = self._exonic(one, change, low, high)
        return _Found(min({*names, name}, key=SEVERITY.index), one.gene, one.name, protein, codons)

    def _exonic(self, one: Transcript, change: Change, low: int, high: int) -> tuple[str, str, str]:
        if not one.cds:
            return "non_coding_exon", "", ""
        if id(one) not in self._read:
            settled = one.read(self.reference)
            self._read[id(one)] = settled, settled.bases(self.reference)
        one, bases = self._read[id(one)]
        first, last = int(one.coding.min()), int(one.coding.max())
        touched = np.flatnonzero((one.coding >= low) & (one.coding < high))
        if len(touched) < (1 if change.ref else 2):
            if first <= low and high <= last + 1:
                return "coding_unknown", "", ""
            early = high <= first + (not change.ref) if one.strand == "+" else low >= last - (not change.ref)
            return ("five_prime_utr" if early else "three_prime_utr"), "", ""
        if one.first < 0:
            return "coding_unknown", "", ""
        if len(change.ref) != len(change.alt):
            return ("inframe_indel" if (len(change.alt) - len(change.ref)) % 3 == 0 else "frameshift"), "", ""
        return _translated(one, bases, change, touched)


def _translated(one: Transcript, bases: str, change: Change, touched: np.ndarray) -> tuple[str, str, str]:
    letters = list(bases)
    for at in touched.tolist():
        base = change.alt[int(one.coding[at]) - change.start]
        letters[at] = base if one.strand == "+" else reverse_complement(base)
    begin, end = ((int(at) - one.first) // 3 * 3 + one.first for at in (touched.min(), touched.max()))
    end += 3
    if begin < 0 or end > len(bases):
        return "coding_unknown", "", ""  # part of a codon, the rest of which is not annotated
    old, new = bases[begin:end], "".join(letters[begin:end])
    before, after = (_translate(text) for text in (old, new))
    protein, codons = f"{before}{begin // 3 + 1}{after}", f"{old}>{new}"
    if "X" in before + after:
        return "coding_unknown", "", codons
    whole = one.first == 0 and "5" not in one.incomplete
    name = "missense"
    if whole and begin == 0 and old.startswith("ATG") and not new.startswith("ATG"):
        name = "start_lost"
    elif before == after:
        name = "synonymous"
    elif ("*" in after) != ("*" in before):
        name = "stop_gained" if "*" in after else "stop_lost"
    return name, protein if before != after else "", codons


def _splicing(donor: int, acceptor: int, strand: str, low: int, high: int, *, inserted: bool) -> set[str]:
    """What bases [low, high) touch of the splice sites of an intron [donor, acceptor) of the forward strand."""
    if acceptor - donor < 2 * _CORE or high <= donor - _EXON_SIDE or low >= acceptor + _EXON_SIDE:
        return set()

    def touches(start: int, end: int) -> bool:
        # An insertion has to have a base of the stretch on both sides.
        return low >= start and high <= end if inserted else low < end and high > start

    left, right = ("splice_donor", "splice_acceptor")[:: 1 if strand == "+" else -1]
    near = ((donor - _EXON_SIDE, donor + _INTRON_SIDE), (acceptor - _INTRON_SIDE, acceptor + _EXON_SIDE))
    names = {
        left: touches(donor, donor + _CORE),
        right: touches(acceptor - _CORE, acceptor),
        "splice_region": any(touches(*stretch) for stretch in near),
    }
    return {name for name, holds in names.items() if holds}


def _translate(bases: str) -> str:
    return "".join(CODE.get(bases[at : at + 3], "X") for at in range(0, len(bases), 3))


@dataclass(frozen=True)
class Markov:
    """A Markov chain over bases, both strands counted together."""

    order: int  # bases that the next one depends on
    log_probs: np.ndarray  # [4 ** order, 4] of the next base, in nats

    @classmethod
    def fit(
        cls, reference: Reference, *, order: int = 8, leave_out: Interval | None = None, pseudocount: float = 0.5
    ) -> Markov:
        """Counts all k-mers of `order` + 1 bases of a reference, on both strands, but for a stretch that is left out."""
        if not 1 <= order <= 11:
            raise ValueError(f"order must be 1 to 11 bases; received {order}. Choose one of these.")
        counts = np.zeros(4 ** (order + 1))
        for name, length in reference.contigs.items():
            contig = Contig(reference, name)
            skipped = leave_out is not None and leave_out.overlaps(Interval(name, 0, length))
            for start in range(0, length, _BLOCK):
                bases = codes(contig.bases(start, start + _BLOCK + order))
                if skipped and leave_out is not None:
                    bases[max(leave_out.start - start, 0) : max(leave_out.end - start, 0)] = 4
                kmers, known = kmer_numbers(bases, order + 1)
                counts += np.bincount(kmers[known], minlength=len(counts))
        # The same k-mers read on the other strand.
        counts = counts.reshape((4,) * (order + 1))
        counts += np.flip(counts, axis=tuple(range(order + 1))).transpose(range(order, -1, -1))
        counts = counts.reshape(-1, 4) + pseudocount
        return cls(order, np.log(counts / counts.sum(axis=1, keepdims=True)))

    def log_probs_of(self, sequence: str) -> np.ndarray:
        """Log probability of each base after those before it, in nats, float64 [base]; NaN for the first `order` and near N."""
        found = np.full(len(sequence), np.nan)
        kmers, known = kmer_numbers(codes(sequence), self.order + 1)
        found[self.order :][known] = self.log_probs.reshape(-1)[kmers[known]]
        return found

    def llr(self, before: str, ref: str, alt: str, after: str) -> float:
        """Log p(alternative) - log p(reference) of all k-mers that hold the change, in nats; NaN beside N.

        `before` and `after` are at least `order` bases on either side.
        """
        left, right = before[-self.order :], after[: self.order]
        scores = []
        for allele in (alt, ref):
            kmers, known = kmer_numbers(codes(left + allele + right), self.order + 1)
            if not known.all() or not len(kmers):
                return float("nan")
            scores.append(self.log_probs.reshape(-1)[kmers].sum())
        return float(scores[0] - scores[1])


def baselines(
    table: pd.DataFrame, reference: Reference, annotation: Annotation, *, markov: Markov | None = None
) -> pd.DataFrame:
    """Numbers that need no model, one row a variant of the table, higher where harm or change is more likely.

    Columns: the six of `consequence`; `severity`, minus its rank; `transition` and `cpg_transition`, 0 or 1; `gc`, the
    share of G and C in 101 bp around; and `markov_llr`, with the sign of `llr`, from 9-mers of the reference if `markov` is
    None. `table` has chrom, pos (1-based), ref and alt that agree with the reference.
    """
    import pandas as pd

    chain = markov if markov is not None else Markov.fit(reference)
    result = consequence(table, annotation, reference).set_index(table.index)
    contigs = {name: Contig(reference, str(name)) for name in table["chrom"].unique()}
    rows = []
    for row in table[["chrom", "pos", "ref", "alt"]].itertuples(index=False):
        contig = contigs[row.chrom]
        change = smallest(int(row.pos) - 1, row.ref.upper(), row.alt.upper())
        before = contig.bases(change.start - chain.order, change.start)
        after = contig.bases(change.end, change.end + chain.order)
        around = contig.bases(change.start - GC_WINDOW // 2, change.end + GC_WINDOW // 2)
        known = len(around) - around.count("N")
        transition = {change.ref, change.alt} in ({"A", "G"}, {"C", "T"})
        cpg = (change.ref == "C" and after[:1] == "G") or (change.ref == "G" and before[-1:] == "C")
        rows.append((
            float(transition), float(transition and cpg), (around.count("G") + around.count("C")) / known if known else np.nan,
            chain.llr(before, change.ref, change.alt, after),
        ))  # fmt: skip
    result["severity"] = -result["rank"].astype(float)
    return pd.concat(
        [result, pd.DataFrame(rows, table.index, ["transition", "cpg_transition", "gc", "markov_llr"], dtype=float)],
        axis=1,
    )
