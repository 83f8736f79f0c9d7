"""Haplotypes on the fly, beside bcftools: coordinates, overlaps, missing and unphased genotypes, populations."""

from __future__ import annotations

import itertools
import random
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pysam
import pysam.bcftools
import pytest
from pretraining_toy import CUT, random_dna, variant, write_fasta

from ntviz.genome import Interval
from ntviz.pretraining import haplotypes, training

HEADER = (
    "##fileformat=VCFv4.2\n##contig=<ID={contig},length={length}>\n"
    '##ALT=<ID=DEL,Description="Deletion">\n##INFO=<ID=END,Number=1,Type=Integer,Description="End">\n'
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{samples}\n"
)


def write_vcf(path: Path, rows, samples=("S1", "S2"), contig="chr1", length=300) -> Path:
    """A bgzipped, indexed VCF of (pos, ref, alt, genotypes...), sorted by pos."""
    text = HEADER.format(contig=contig, length=length, samples="\t".join(samples))
    for pos, ref, alt, *genotypes in sorted(rows, key=lambda row: row[0]):
        text += "\t".join([contig, str(pos), ".", ref, alt, ".", "PASS", ".", "GT", *genotypes]) + "\n"
    path.write_text(text)
    packed = path.with_suffix(".vcf.gz")
    pysam.tabix_compress(str(path), str(packed), force=True)
    pysam.tabix_index(str(packed), preset="vcf", force=True)
    return packed


def consensus(vcf: Path, fasta: Path, sample: str, haplotype: int) -> str:
    answer = pysam.bcftools.consensus("-f", str(fasta), "-H", str(haplotype + 1), "-s", sample, str(vcf))
    return "".join(line for line in answer.splitlines() if not line.startswith(">"))


REFERENCE = "ACGTACGTAAGGCCTTACGATCGATCGGATTACAGATTACACCCGGGTTTAAACCCGGGTTTA"
#            123456789 123456789 123456789 123456789 123456789 123456789 12


@pytest.fixture
def by_hand(tmp_path):
    fasta = write_fasta(tmp_path / "hand.fa", chr1=REFERENCE)
    rows = [
        (3, "G", "A", "1|0"),  # SNV
        (9, "AA", "CT", "0|1"),  # MNV
        (13, "C", "CTTT", "1|1"),  # insertion
        (17, "ACGA", "A", "1|0"),  # deletion
        (19, "G", "C", "1|0"),  # inside of it on the same haplotype
        (24, "A", "T", ".|1"),  # missing on one haplotype
        (28, "G", "A", "0/1"),  # unphased
        (29, "A", "G", "1/1"),  # unphased, and alike on both
        (33, "C", "<DEL>", "1|1"),  # symbolic
        (36, "A", "G,*", "2|1"),  # another record's deletion
    ]
    return fasta, write_vcf(tmp_path / "hand.vcf", [(*row, "0|0") for row in rows], length=len(REFERENCE))


def read(vcf, fasta, **options):
    return haplotypes.read(vcf, fasta, chunk_bp=60, tokens_bp=60, overlap_bp=0, **options)


def test_each_kind_of_record_by_hand_and_coordinates_map_back(by_hand):
    fasta, vcf = by_hand
    source = read(vcf, fasta)
    whole = Interval("chr1", 0, len(REFERENCE))
    first, second = (source.fetch("S1", haplotype, whole) for haplotype in (0, 1))
    letters = list(REFERENCE)
    left, right = letters.copy(), letters.copy()
    left[2], right[8:10] = "A", ["C", "T"]
    left[12] = right[12] = "CTTT"
    left[17:20] = ["", "", ""]
    right[23] = "T"
    left[28] = right[28] = "G"
    right[35] = "G"
    assert first.sequence == "".join(left) and second.sequence == "".join(right)
    assert first.counts == {"applied": 4, "overlapping": 1, "unphased": 1, "missing": 1, "other": 2}
    assert second.counts == {"applied": 5, "overlapping": 0, "unphased": 1, "missing": 0, "other": 1}
    written = read(vcf, fasta, unphased="written").fetch("S1", 1, whole)
    right[27] = "A"
    assert written.sequence == "".join(right)
    untouched = source.fetch("S2", 0, whole)
    assert untouched.sequence == REFERENCE and not any(untouched.counts.values())
    fasta, vcf = by_hand
    found = read(vcf, fasta).fetch("S1", 0, Interval("chr1", 0, len(REFERENCE)))
    assert len(found.positions) == len(found.codes) == len(REFERENCE) + 3 - 3
    changed = {2, 28}
    for base, position in zip(found.sequence, found.positions, strict=True):
        assert position == -1 or (base == REFERENCE[position]) != (position in changed)
    assert (found.positions == -1).sum() == 3
    places = {position: index for index, position in enumerate(found.positions)}
    assert (places[12], places[13], places[20]) == (12, 16, 20) and 18 not in places
    assert (np.diff(found.positions[found.positions >= 0]) > 0).all()


def drawn_records(rng: random.Random, reference: str, count: int):
    """Records of all kinds, dense enough to overlap; genotypes of two samples, some missing, some unphased."""
    rows = []
    for _ in range(count):
        start, kind = rng.randrange(0, len(reference) - 12), rng.choice(["snv", "mnv", "ins", "del", "both"])
        ref = reference[start : start + {"snv": 1, "mnv": 3, "ins": 1, "del": rng.randint(2, 8), "both": 3}[kind]]
        bases = lambda n: "".join(rng.choice("ACGT") for _ in range(n))  # noqa: E731
        alts = {
            {"snv": bases(1), "mnv": bases(3), "ins": ref + bases(rng.randint(1, 6)), "del": ref[0],
             "both": bases(rng.randint(1, 5))}[kind]
            for _ in range(2)
        } - {ref}  # fmt: skip
        if alts:
            numbers = [".", *map(str, range(len(alts) + 1)), "1", "1"]
            calls = [rng.choice("||||/").join(rng.choice(numbers) for _ in range(2)) for _ in range(2)]
            rows.append((start + 1, ref, ",".join(sorted(alts)), *calls))
    return rows


@pytest.mark.parametrize("seed", range(6))
def test_haplotypes_equal_bcftools_consensus_and_windows_join(tmp_path, seed):
    rng = random.Random(seed)
    reference = random_dna(300, seed)
    fasta = write_fasta(tmp_path / "r.fa", chr1=reference)
    vcf = write_vcf(tmp_path / "r.vcf", drawn_records(rng, reference, rng.choice([8, 20, 40])))
    source = read(vcf, fasta, unphased="written")
    applied = 0
    for sample, haplotype in itertools.product(("S1", "S2"), (0, 1)):
        whole = source.fetch(sample, haplotype, Interval("chr1", 0, 300))
        assert whole.sequence == consensus(vcf, fasta, sample, haplotype)
        cuts = [0, *sorted(rng.sample(range(1, 300), 6)), 300]
        stretches = [Interval("chr1", *ends) for ends in itertools.pairwise(cuts)]
        parts = [source.fetch(sample, haplotype, stretch) for stretch in stretches]
        assert "".join(part.sequence for part in parts) == whole.sequence
        assert np.array_equal(np.concatenate([part.positions for part in parts]), whole.positions)
        applied += whole.counts["applied"]
        assert sum(part.counts["applied"] for part in parts) == whole.counts["applied"]
    assert applied > 4


def test_a_haploid_genotype_is_both_haplotypes_and_contigs_have_aliases(tmp_path):
    fasta = write_fasta(tmp_path / "x.fa", X=REFERENCE)
    vcf = write_vcf(tmp_path / "x.vcf", [(1, "A", "T", "1", "0")], contig="chrX", length=len(REFERENCE))
    source = read(vcf, fasta)
    for haplotype in (0, 1):
        assert source.fetch("S1", haplotype, Interval("chrX", 0, 4)).sequence == "TCGT"
        assert source.fetch("S2", haplotype, Interval("X", 0, 4)).sequence == "ACGT"


def test_what_cannot_be_is_refused(by_hand, tmp_path):
    fasta, vcf = by_hand
    source = read(vcf, fasta)
    for sample, haplotype, end, message in (
        ("S9", 0, 5, "one of the 2 of hand.vcf.gz; got 'S9'"),
        ("S1", 2, 5, "haplotype must be 0 .* or 1; got 2"),
        ("S1", 0, len(REFERENCE) + 1, f"must lie on its contig, chr1 of {len(REFERENCE)} bp"),
    ):
        with pytest.raises(ValueError, match=message):
            source.fetch(sample, haplotype, Interval("chr1", 0, end))
    with pytest.raises(ValueError, match="unphased must be one of reference, written; got 'random'"):
        read(vcf, fasta, unphased="random")
    with pytest.raises(FileNotFoundError, match=r"no file .*absent\.vcf"):
        read(tmp_path / "absent.vcf", fasta)
    with pytest.raises(ValueError, match="must have an index"):
        read(tmp_path / "hand.vcf", fasta)
    (tmp_path / "words.vcf").write_text("no variants\n")
    with pytest.raises(ValueError, match="must be a VCF or BCF; opening it failed"):
        read(tmp_path / "words.vcf", fasta)
    other = write_fasta(tmp_path / "other.fa", chr1="C" + REFERENCE[1:2] + "T" + REFERENCE[3:])
    with pytest.raises(ValueError, match="chr1:3 has G there and T in the FASTA"):
        read(vcf, other).fetch("S1", 0, Interval("chr1", 0, 20))
    elsewhere = write_fasta(tmp_path / "elsewhere.fa", chr7=REFERENCE)
    with pytest.raises(ValueError, match="records on a contig of elsewhere.fa with chunks; it has none"):
        read(vcf, elsewhere)
    sheet = tmp_path / "sheet.tsv"
    sheet.write_text("sample\tpopulation\n# the second is missing\nS1\tA\nS3\tB\n")
    with pytest.raises(ValueError, match="line 4 names 'S3'"):
        read(vcf, fasta, sheet=sheet)


@pytest.fixture
def crowd(tmp_path):
    """Thirty samples of one population and two of another; each carries a private 12-mer insertion in every chunk."""
    reference = random_dna(4_000, 3)
    names = [f"P{number:02d}" for number in range(32)]
    rng = random.Random(1)
    marks = {name: "".join(rng.choice("ACGT") for _ in range(12)) for name in names}
    rows = []
    for start in range(60, 3_900, 100):
        alts = [reference[start] + marks[name] for name in names]
        rows.append((start + 1, reference[start], ",".join(alts), *(f"{n + 1}|0" for n in range(32))))
    sheet = tmp_path / "samples.tsv"
    lines = [f"{name}\t{'small' if index < 2 else 'large'}\n" for index, name in enumerate(names)]
    sheet.write_text("sample\tpopulation\n" + "".join(lines))
    fasta = write_fasta(tmp_path / "crowd.fa", chr1=reference)
    return fasta, write_vcf(tmp_path / "crowd.vcf", rows, names, length=4_000), sheet, marks


def test_populations_are_equally_likely_and_a_run_is_judged_on_the_reference(crowd, tmp_path):
    fasta, vcf, sheet, marks = crowd
    source = haplotypes.read(vcf, fasta, sheet=sheet, held_out=[Interval("chr1", 2_000, 2_400)], **CUT)
    assert {name: len(samples) for name, samples in source.samples.items()} == {"small": 2, "large": 30}
    recipe = variant(step_tokens=31 * 300, seed=2, both_strands=False)
    sampler = source.sampler(recipe)
    rows = sampler.rows(1, range(300))
    assert np.array_equal(rows[5:9], source.sampler(recipe).rows(1, range(5, 9)))
    texts = ["".join(sampler.tokenizer.vocabulary.token_of(i) for i in ids[1:] if i != 1) for ids in rows]
    found = Counter(name for text in texts for name, mark in marks.items() if mark in text)
    small = found["P00"] + found["P01"]
    # Half of the haplotypes carry a mark; of these half are of the population of two, where shares would give one in 16.
    assert 100 < sum(found.values()) < 200 and 0.35 < small / sum(found.values()) < 0.65
    without = haplotypes.read(vcf, fasta, **CUT)
    assert len(without.samples["all"]) == 32
    fasta, vcf, sheet, _ = crowd
    source = haplotypes.read(vcf, fasta, sheet=sheet, held_out=[Interval("chr1", 2_000, 2_400)], **CUT)
    recipe = variant(random_replacement=False, both_strands=True)
    run = training.train(recipe, source, tmp_path / "run", steps=2, device="cpu", evaluate_every=2)
    assert run.history["loss"].between(7.5, 9).all() and run.history["held_out_loss"].notna().iloc[1]
    assert (source.reference.chunks["end"].le(2_000) | source.reference.chunks["start"].ge(2_400)).all()


def test_memory_stays_flat(crowd):
    """Nothing of a genome is kept: neither its bases nor its records."""
    fasta, vcf, _, _ = crowd
    source = haplotypes.read(vcf, fasta, **CUT)
    assert all(type(codes).__name__ == "Indexed" for codes in source.reference.codes)
    sampler = source.sampler(variant(step_tokens=31 * 50))
    sampler.rows(0, range(50))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for step in range(1, 5):
        sampler.rows(step, range(50))
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 200_000
