"""Individual genomes on the fly: a phased VCF over a reference, each window with one haplotype's variants put in.

No genome is ever written out: what a window needs is fetched through the two indexes, so memory does not grow with the
number of samples. Such a corpus is masked without random k-mers (`Recipe.random_replacement`), which would look like variants.

An allele of A, C, G, T, N is put in. Missing and symbolic alleles, breakends, "*", and unphased heterozygous genotypes (unless
asked for as written) stay the reference. Of records that overlap the first one counts, as in `bcftools consensus`; an insertion
or deletion anchored on the last base of a record does not overlap it. A haploid genotype is both haplotypes of its sample.

References
----------
Dalla-Torre et al., Nature Methods 2025, Methods: 3,202 genomes of 27 populations, mutations put in on the fly.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ntviz import environment, storage
from ntviz.genome import Interval, resolve_contig
from ntviz.pretraining import corpus
from ntviz.pretraining.bases import N, decode, encode, fingerprint, token_ids
from ntviz.pretraining.corpus import Corpus, Sampler
from ntviz.pretraining.recipe import Recipe
from ntviz.reference import Reference
from ntviz.storage import AnyPath

UNPHASED = ("reference", "written")
"""What an unphased heterozygous genotype becomes: the reference on both haplotypes, or its alleles in their order."""
_COUNTED = ("applied", "overlapping", "unphased", "missing", "other")
_Change = tuple[int, str, str]  # start (0-based), REF and allele of a record


@dataclass(frozen=True)
class Haplotype:
    """One haplotype of one sample over a stretch of the reference.

    Attributes
    ----------
    interval, codes, positions
        The stretch of the reference; the haplotype's bases, uint8 [base], A C G T N as 0 to 4; where each stands on the reference,
        int64 [base], 0-based and ascending but for inserted ones, which have -1.
    counts
        Genotypes that are not the reference: applied, overlapping, unphased, missing, other (symbolic, "*").
    """

    interval: Interval
    codes: np.ndarray
    positions: np.ndarray
    counts: Mapping[str, int]

    @property
    def sequence(self) -> str:
        """The bases as upper-case text."""
        return decode(self.codes)


@dataclass(frozen=True)
class Haplotypes:
    """A source for `training.train`: chunks of a reference, each read on a haplotype drawn anew.

    `reference` is the corpus of the reference itself; `samples` are by population, in the order of the sheet.
    """

    reference: Corpus
    samples: Mapping[str, tuple[str, ...]]
    vcf: Path
    fasta: Path
    unphased: str = "reference"
    _open: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def judged_on(self) -> Corpus:
        """The corpus whose held-out chunks judge the run: the reference."""
        return self.reference

    @property
    def facts(self) -> dict[str, list[list[str]]]:
        """What decides which bases are read how often: also the VCF as it lies there, and who is drawn from it."""
        mark, drawn = storage.sha256(self.vcf)[:16], []
        for name, samples in self.samples.items():
            words = f"{name} ({len(samples):,} samples, {', '.join(samples[:2])} ...)"
            drawn.append([fingerprint("\t".join(samples).encode()), words])
        own = {"VCF": [[mark, f"{self.vcf.name} (sha256 {mark})"]], "population": drawn}
        return self.reference.facts | own | {"unphased": [[self.unphased, repr(self.unphased)]]}

    def sampler(self, recipe: Recipe) -> HaplotypeSampler:
        """Training sequences as token ids."""
        return HaplotypeSampler(self, recipe)

    def fetch(self, sample: str, haplotype: int, interval: Interval) -> Haplotype:
        """A haplotype, 0 left of the bar or 1, over a stretch of the reference's forward strand, within its contig.

        Neighbouring stretches join to what one fetch over both gives: an insertion belongs to the base before it. A ValueError says
        that sample, haplotype or interval is not there, or that a REF is not the reference's.
        """
        vcf, reference, contigs = self._files()
        if sample not in vcf.header.samples:
            known = f"{len(vcf.header.samples):,} of {self.vcf.name}"
            raise ValueError(f"A sample must be one of the {known}; got {sample!r}. Check its spelling.")
        if haplotype not in (0, 1):
            raise ValueError(f"haplotype must be 0 (left of the bar) or 1; got {haplotype!r}.")
        length, place = len(reference.whole(interval.chrom)), interval.label()
        if interval.strand == "-":
            raise ValueError(f"A haplotype is read on the forward strand; got {place}. Turn what comes back.")
        if not 0 <= interval.start < interval.end <= length:
            contig = f"{interval.chrom} of {length:,} bp"
            raise ValueError(f"A stretch must lie on its contig, {contig}; got {place}. Narrow it.")
        chrom = contigs.get(resolve_contig(interval.chrom, reference.contigs))
        left, changes, counts = interval.start, [], Counter()
        # What reaches in from the left may itself have been overlapped by what stands further left, and so on.
        while chrom is not None:
            changes, counts = self._changes(vcf, chrom, left, interval.end, sample, haplotype)
            first = min((start for start, *_ in changes), default=left)
            if first >= left:
                break
            left = first
        end = min(max([interval.end, *(start + len(ref) for start, ref, _ in changes)]), length)
        codes = encode(reference.fetch(Interval(interval.chrom, left, end)).sequence)
        return _put_in(interval, left, codes, changes, counts, self.vcf.name)

    def _changes(self, vcf: Any, chrom: str, left: int, end: int, sample: str, haplotype: int) -> tuple[list[_Change], Counter[str]]:  # fmt: skip
        """The records that change a haplotype, and counts of what else there is."""
        changes, counts = list[_Change](), Counter[str]()
        for record in vcf.fetch(chrom, left, end):
            call = record.samples[sample]
            alleles = call.allele_indices or (None,)
            number = alleles[min(haplotype, len(alleles) - 1)]
            if number is None:
                counts["missing"] += 1
            elif len(set(alleles)) > 1 and not call.phased and self.unphased == "reference":
                counts["unphased"] += 1
            elif number:
                allele = record.alleles[number].upper()
                if set(allele) <= set("ACGTN"):
                    changes.append((record.start, record.ref.upper(), allele))
                else:
                    counts["other"] += 1
        return changes, counts

    def _files(self) -> tuple[Any, Reference, dict[str, str]]:
        """The open VCF and reference, and the VCF's name of each contig of the reference that it has."""
        if self._open.get("process") != os.getpid():
            # A forked process shares the parent's place in a file.
            vcf, reference = _opened(self.vcf), Reference(self.fasta)
            self._open.update(process=os.getpid(), files=(vcf, reference, _shared_contigs(vcf, reference)))
        return self._open["files"]


Source = Corpus | Haplotypes
"""What a run can train on."""


def read(
    vcf: AnyPath, fasta: AnyPath, *, sheet: AnyPath | None = None, held_out: Sequence[Interval] = (), unphased: str = "reference",
    **options: Any,
) -> Haplotypes:  # fmt: skip
    """The haplotypes of a VCF's samples over a reference, as a source for `training.train`.

    Parameters
    ----------
    vcf, fasta
        VCF (bgzip) or, faster, BCF with an index and genotypes, and the reference that it was called on.
    sheet
        Tab-separated sample and population: these alone are read, each population equally often. None: all, as one.
    held_out, options
        Regions of the reference for evaluation; chunk_bp, overlap_bp, tokens_bp, max_n of `corpus.read`.
    unphased
        An unphased heterozygous genotype: "reference" on both haplotypes, or "written", as if phased.

    Raises
    ------
    ValueError, FileNotFoundError
        No index, samples or contig of the reference; a sample that is not there; an option not as above; a file is not there.
    """
    vcf, fasta = Path(vcf), Path(fasta)
    if unphased not in UNPHASED:
        raise ValueError(f"unphased must be one of {', '.join(UNPHASED)}; got {unphased!r}.")
    with _opened(vcf) as opened, Reference(fasta) as reference:
        named = list(opened.header.samples)
        contigs = _shared_contigs(opened, reference)
    if not named:
        raise ValueError(f"{vcf} must have genotypes of samples; it has none. Choose a VCF with samples.")
    known, populations = set(named), {} if sheet else {"all": named}
    for number, row in corpus.sheet_rows(sheet, ("sample", "population")) if sheet else ():
        if row["sample"] not in known:
            what = f"line {number} names {row['sample']!r}. Remove that line."
            raise ValueError(f"Each sample of {sheet} must be in {vcf.name}; {what}")
        populations.setdefault(row["population"], []).append(row["sample"])
    whole = corpus.read([fasta], held_out=held_out, store="index", **options)
    chunks = whole.chunks[whole.chunks["chrom"].isin(list(contigs))].reset_index(drop=True)
    if chunks.empty:
        raise ValueError(f"{vcf.name} must have records on a contig of {fasta.name} with chunks; it has none. Check the assembly.")  # fmt: skip
    samples = {name: tuple(members) for name, members in populations.items()}
    return Haplotypes(dataclasses.replace(whole, chunks=chunks), samples, vcf, fasta, unphased)


class HaplotypeSampler(Sampler):
    """Training sequences of haplotypes: for each a population, one of its samples and one of its haplotypes are drawn.

    Populations are equally likely, whatever their sizes; draws follow from seed, step and row alone, as the chunks do.
    """

    def __init__(self, source: Haplotypes, recipe: Recipe) -> None:
        super().__init__(source.reference, recipe)
        self.source, self._populations = source, list(source.samples.values())
        self._chroms = source.reference.chunks["chrom"].to_numpy()

    def _ids(self, chunk: int, rng: np.random.Generator) -> np.ndarray:
        start, _, backwards = self._place(chunk, rng)
        samples = self._populations[rng.integers(len(self._populations))]
        sample, haplotype = samples[rng.integers(len(samples))], int(rng.integers(2))
        # Deletions are made up for from the rest of the chunk, as far as that goes.
        interval = Interval(str(self._chroms[chunk]), start, int(self._end[chunk]))
        codes = self.source.fetch(sample, haplotype, interval).codes[: self.bases]
        return token_ids(codes if len(codes) else np.full(1, N, np.uint8), backwards, self.tokenizer)


def _opened(path: Path) -> Any:
    import pysam

    if not path.is_file():
        raise FileNotFoundError(f"A VCF must be there to be read; there is no file {path}. Mend the path.")
    try:
        opened = pysam.VariantFile(str(environment.opened(path)))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} must be a VCF or BCF; opening it failed: {error}. Check the file.") from error
    if opened.index is None:
        how = f"Make one with `bcftools index {path.name}`, on a bgzipped file."
        raise ValueError(f"{path} must have an index; it has none. {how}")
    return opened


def _shared_contigs(vcf: Any, reference: Reference) -> dict[str, str]:
    names = {}
    for name in vcf.index:
        # A VCF of all chromosomes may be over a FASTA of one.
        with suppress(ValueError):
            names[resolve_contig(name, reference.contigs)] = name
    return names


def _put_in(
    interval: Interval, left: int, codes: np.ndarray, changes: Sequence[_Change], counts: Counter[str], name: str
) -> Haplotype:
    """The haplotype of an interval from the reference's codes, which begin at `left` and cover all changes."""
    # Bases, where each stands on the reference, and the reference's base that decides whether it lies in the interval.
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def keep(begin: int, end: int) -> None:
        where = np.arange(begin, end)
        parts.append((codes[begin - left : end - left], where, where))

    frozen, inserted = left - 1, False
    for start, ref, allele in changes:
        theirs, ours, new = encode(ref), codes[start - left : start - left + len(ref)], encode(allele)
        if len(theirs) != len(ours) or ((theirs != ours) & (theirs < N) & (ours < N)).any():
            raise ValueError(f"A REF of {name} must be the reference's; {interval.chrom}:{start + 1:,} has {ref[:20]} there and "
                             f"{decode(ours)[:20] or 'no base'} in the FASTA. Use the FASTA that the VCF was called on.")  # fmt: skip
        longer = len(allele) - len(ref)
        behind = start == frozen and longer != 0 and allele[0] == ref[0] and not inserted
        if start <= frozen and not behind:
            counts["overlapping"] += interval.start <= start
            continue
        paired = np.arange(start, start + min(len(ref), len(allele)))
        where, anchor = (np.append(paired, np.full(max(longer, 0), base)) for base in (-1, paired[-1]))
        if not behind:
            keep(frozen + 1, start)
        # The anchor of one behind another record is written already.
        begin = int(behind)
        parts.append((new[begin:], where[begin:], anchor[begin:]))
        counts["applied"] += interval.start <= start
        frozen, inserted = max(frozen, start + len(ref) - 1), longer > 0
    keep(frozen + 1, max(frozen + 1, interval.end))
    whole, where, anchor = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    inside = (anchor >= interval.start) & (anchor < interval.end)
    total = {key: int(counts[key]) for key in _COUNTED}
    return Haplotype(interval, whole[inside].astype(np.uint8), where[inside].astype(np.int64), total)
