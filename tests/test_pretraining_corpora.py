"""What is read and in which order: sheets of genomes and token shards beside the plain way, haplotypes beside bcftools."""

from __future__ import annotations

import hashlib
import itertools
import random
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pysam
import pysam.bcftools
import pytest
from pretraining_toy import CUT, random_dna, variant, write_fasta, write_vcf

from ntviz.genome import Interval
from ntviz.pretraining import bases, corpus, haplotypes, training
from ntviz.pretraining.corpus import Order
from ntviz.tokens import Tokenizer


def with_n(length: int, seed: int) -> str:
    """Random bases with unknown ones: alone, at the start, at the end, and in a block."""
    letters = list(random_dna(length, seed))
    for place in (0, 1, 700, 1_303, length - 1):
        letters[place] = "N"
    letters[900:935] = "N" * 35
    return "".join(letters)


@pytest.fixture
def sheet(tmp_path):
    write_fasta(tmp_path / "a.fa", chr1=with_n(6_000, 1), short=random_dna(70, 2), tiny="AC")
    write_fasta(tmp_path / "b.fa", chr1=random_dna(3_000, 3))
    (tmp_path / "more").mkdir()
    # The same file name in another folder: names tell them apart.
    write_fasta(tmp_path / "more" / "a.fa", chr1=random_dna(12_000, 4))
    path = tmp_path / "genomes.tsv"
    path.write_text(
        "name\tfasta\tweight\theld_out\nhuman\ta.fa\t2\tchr1:3,001-4,000\n"
        "mouse\tb.fa\t1\t\t\t\n"  # columns that a spreadsheet had in use once
        "# a comment\nyeast\tmore/a.fa\t5\tchr1:1-400; chr1:7,001-8,000\n"
    )
    return path


def test_each_group_has_its_share_and_reads_every_chunk_once_an_epoch():
    sizes, shares = [7, 40, 3], [2.0, 1.0, 5.0]
    order = Order(sizes, shares, seed=4)
    cycle = [order.chunk(position) for position in range(20_000)]
    for low, size, visits in ((0, 7, 5_000), (7, 40, 2_500), (47, 3, 12_500)):
        own = [chunk for chunk in cycle if low <= chunk < low + size]
        assert len(own) == visits
        for epoch in range(3):
            assert sorted(own[epoch * size : (epoch + 1) * size]) == list(range(low, low + size))
    # Shares hold in short stretches, too.
    assert 380 < sum(chunk >= 47 for chunk in cycle[1_000:1_700]) < 500
    # A position needs none before it, whatever the cycle.
    straight = [order.chunk(position) for position in range(19_990, 20_040)]
    for position in (20_039, 19_991, 20_005):
        assert Order(sizes, shares, seed=4).chunk(position) == straight[position - 19_990]
    assert [Order(sizes, shares, seed=5).chunk(p) for p in range(19_990, 20_040)] != straight
    # A genome of a thousandth of a percent is read.
    order = Order([5, 1_000], [1e-5, 1.0], seed=0)
    assert order.slots.tolist() == [1, 20_000]
    assert sum(order.chunk(position) < 5 for position in range(20_001)) == 1


@pytest.mark.parametrize("store", corpus.STORES)
def test_a_sheet_is_read_alike_from_every_store(sheet, tmp_path, store):
    found = corpus.read_sheet(sheet, store=store, folder=tmp_path / "kept", **CUT)
    assert found.weights == {"human": 2.0, "mouse": 1.0, "yeast": 5.0}
    assert found.held_out.groupby("source").size().to_dict() == {"human": 5, "yeast": 7}
    yeast = found.chunks[found.chunks["source"] == "yeast"]
    assert (yeast["end"].le(7_000) | yeast["start"].ge(8_000)).all() and (yeast["start"] >= 400).all()
    assert found.report["n"].tolist() == [40, 0, 0, 0, 0]
    plain = corpus.read_sheet(sheet, store="memory", **CUT)
    assert found.chunks.equals(plain.chunks) and found.held_out.equals(plain.held_out)
    recipe = variant(step_tokens=31 * 64, seed=1)
    for step in (0, 7, 400):
        rows = found.sampler(recipe).rows(step, range(64))
        assert np.array_equal(rows, plain.sampler(recipe).rows(step, range(64)))


def test_without_weights_genomes_count_by_their_chunks(sheet):
    lines = [line.split("\t") for line in sheet.read_text().splitlines() if not line.startswith("#")]
    sheet.write_text("\n".join("\t".join(line[:2]) for line in lines))
    found = corpus.read_sheet(sheet, store="index", **CUT)
    assert found.weights == found.chunks["source"].value_counts().astype(float).to_dict()
    sources = found.chunks["source"].to_numpy()
    order = found.sampler(variant(step_tokens=31, seed=0)).order
    seen = Counter(sources[order.chunk(position)] for position in range(20_000))
    for name, chunks in found.weights.items():
        assert seen[name] == pytest.approx(20_000 * chunks / len(sources), abs=1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x\tabsent.fa\t1\t", "line 2 names .*absent.fa"),
        ("x\ta.fa\t-1\t", "Line 2 of .*genomes.tsv: A weight must be a number above 0; got '-1'"),
        ("x\ta.fa\tmuch\t", "Line 2 of .*'much'"),
        ("x\ta.fa\tinf\t", "number above 0; got 'inf'"),
        ("x\ta.fa\t1\tchr1:9-1", "Line 2 of .*genomes.tsv"),
        ("x\ta.fa\t1\tchr1:1-400\tmore", "genomes.tsv: row 2: the cell 'more' must stand in a column with a name"),
        ("\ta.fa\t1\t", "must have a name; line 2 has none"),
        ("x\ta.fa\t1\t\nx\tb.fa\t1\t", "'x' is on lines 2 and 3"),
        ("x\ta.fa\t1\t\ny\tb.fa\t\t", "on all rows or on none; line 3 has none"),
        ("# nothing", "must have a row below its column names"),
        ("name\tfile\nx\ta.fa", "lacks 'fasta'"),
        ("name\tfasta\tcolour\nx\ta.fa\tred", "has 'colour', unknown or twice"),
        ("name\tfasta\nx\ta.fa\nempty\tn.fa", "'empty' gives none"),
    ],
)
def test_what_is_wrong_in_a_sheet_is_said_with_its_line(sheet, line, message):
    write_fasta(sheet.parent / "n.fa", chr1="N" * 900)
    header = "" if line.startswith("name") else "name\tfasta\tweight\theld_out\n"
    sheet.write_text(f"{header}{line}\n")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        corpus.read_sheet(sheet, store="memory", **CUT)
    with pytest.raises(ValueError, match="store must be one of memory, index, shards; got 'disk'"):
        corpus.read([sheet], store="disk", **CUT)


@pytest.mark.parametrize("vocabulary", ["nt-v1", "nt-v2", "nt-3mer"])
def test_shards_give_the_tokens_of_the_tokenizer_in_every_frame_on_both_strands(tmp_path, vocabulary):
    tokenizer = Tokenizer(vocabulary)
    text = with_n(2_000, 5)
    fasta = write_fasta(tmp_path / "g.fa", first=random_dna(50, 6), second=text)
    track = bases.shards(fasta, tmp_path / "kept", k=tokenizer.vocabulary.k)["second"]
    assert bases.decode(track[:]) == text and len(track) == 2_000
    rng = np.random.default_rng(0)
    places = [(0, 13), (2, 2_000), (1_990, 1_999), (5, 6), (300, 660), (695, 720), (880, 940)]
    places += [(int(start), int(start + rng.integers(1, 200))) for start in rng.integers(0, 1_800, 200)]
    for start, end in places:
        part = text[start:end]
        assert np.array_equal(track.tokens(start, end, False, tokenizer), tokenizer(part).ids)
        other = bases.decode(bases.reverse(bases.encode(part)))
        assert np.array_equal(track.tokens(start, end, True, tokenizer), tokenizer(other).ids)


def test_shards_are_made_once_known_by_content_and_named_where_damaged(tmp_path):
    fasta = write_fasta(tmp_path / "g.fa", chr1=random_dna(500))

    def folder(path, k=6):
        return bases.shards(path, tmp_path / "kept", k=k)["chr1"].folder

    first = folder(fasta)
    made = (first / "track.npy").stat().st_mtime_ns
    copy = tmp_path / "copy.fa"
    copy.write_bytes(fasta.read_bytes())
    assert folder(copy) == first and (first / "track.npy").stat().st_mtime_ns == made
    assert folder(fasta, k=3) != first and folder(write_fasta(fasta, chr1=random_dna(500, 1))) != first
    with pytest.raises(ValueError, match="k must be 1 to 7, .* got 8"):
        folder(fasta, k=8)
    contigs = b'{"k": 6, "contigs": {"chr1": 9}}'
    for name, content in (("contigs.json", b"{"), ("contigs.json", contigs), ("track.npy", b"x")):
        whole = (first / name).read_bytes()
        (first / name).write_bytes(content)
        bases._mapped.cache_clear()
        with pytest.raises(ValueError, match="tokenised by ntviz; .*Delete the folder"):
            folder(copy)
        (first / name).write_bytes(whole)


def test_pieces_join_and_runs_of_n_are_counted_as_one_by_one(tmp_path, monkeypatch):
    fasta = write_fasta(tmp_path / "g.fa", chr1=with_n(2_000, 7))
    whole = bases.shards(fasta, tmp_path / "whole")["chr1"]
    monkeypatch.setattr(bases, "_PIECE", 37)
    pieces = bases.shards(fasta, tmp_path / "pieces")["chr1"]
    assert np.array_equal(pieces._numbers, whole._numbers)
    assert bases.unknown_runs(pieces)[0].tolist() == [[0, 2], [700, 701], [900, 935], [1303, 1304], [1999, 2000]]
    codes = bases.encode("NNACNGTNNN" + "ACGT" * 3 + "N")
    runs, mark = bases.unknown_runs(codes)
    assert mark == hashlib.sha256(bytes(codes)).hexdigest()[:16]
    positions = np.arange(len(codes) + 1)
    counted = [int((codes[:p] == bases.N).sum()) for p in positions]
    assert bases.unknown_before(runs, positions).tolist() == counted
    assert bases.unknown_runs(codes[:0])[0].shape == (0, 2)
    assert bases.unknown_before(np.zeros((0, 2), np.int64), positions).sum() == 0
    fasta = write_fasta(tmp_path / "five.fa", chr1="ACGTN")
    codes = corpus.read([fasta], chunk_bp=5, tokens_bp=5, overlap_bp=0, max_n=0.5, store="index").codes[0]
    parts = codes[1:4], codes[3:3], codes[:]
    assert [part.tolist() for part in parts] == [[1, 2, 3], [], [0, 1, 2, 3, 4]]
    with pytest.raises(ValueError, match="steps of 1; got 2"):
        codes[::2]


# Haplotypes on the fly: coordinates, overlaps, missing and unphased genotypes, populations ----------------------------


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
    assert len(first.positions) == len(first.codes) == len(REFERENCE) + 3 - 3
    for base, position in zip(first.sequence, first.positions, strict=True):
        assert position == -1 or (base == REFERENCE[position]) != (position in (2, 28))
    assert (first.positions == -1).sum() == 3
    places = {position: index for index, position in enumerate(first.positions)}
    assert (places[12], places[13], places[20]) == (12, 16, 20) and 18 not in places
    assert (np.diff(first.positions[first.positions >= 0]) > 0).all()


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
    vcf = write_vcf(tmp_path / "x.vcf", [(1, "A", "T", "1", "0")], contig="chrX", length=len(REFERENCE))
    source = read(vcf, write_fasta(tmp_path / "x.fa", X=REFERENCE))
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
    (tmp_path / "words.vcf").write_text("no variants\n")
    elsewhere = write_fasta(tmp_path / "elsewhere.fa", chr7=REFERENCE)
    sheet = tmp_path / "sheet.tsv"
    sheet.write_text("sample\tpopulation\n# the second is missing\nS1\tA\nS3\tB\n")
    for records, genome, options, message in (
        (vcf, fasta, {"unphased": "random"}, "unphased must be one of reference, written; got 'random'"),
        (tmp_path / "absent.vcf", fasta, {}, r"no file .*absent\.vcf"),
        (tmp_path / "hand.vcf", fasta, {}, "must have an index"),
        (tmp_path / "words.vcf", fasta, {}, "must be a VCF or BCF; opening it failed"),
        (vcf, elsewhere, {}, "records on a contig of elsewhere.fa with chunks; it has none"),
        (vcf, fasta, {"sheet": sheet}, "line 4 names 'S3'"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            read(records, genome, **options)
    other = write_fasta(tmp_path / "other.fa", chr1="C" + REFERENCE[1:2] + "T" + REFERENCE[3:])
    with pytest.raises(ValueError, match="chr1:3 has G there and T in the FASTA"):
        read(vcf, other).fetch("S1", 0, Interval("chr1", 0, 20))


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
    recipe = variant(random_replacement=False, both_strands=True)
    run = training.train(recipe, source, tmp_path / "run", steps=2, device="cpu", evaluate_every=2)
    assert run.history["loss"].between(7.5, 9).all() and run.history["held_out_loss"].notna().iloc[1]
    assert (source.reference.chunks["end"].le(2_000) | source.reference.chunks["start"].ge(2_400)).all()


def test_memory_stays_flat(crowd):
    """Nothing of a genome is kept: neither its bases nor its records."""
    fasta, vcf, _, _ = crowd
    source = haplotypes.read(vcf, fasta, **CUT)
    assert len(source.samples["all"]) == 32
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
