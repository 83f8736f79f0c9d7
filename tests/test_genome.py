"""Intervals, variants and contig names: text forms, arithmetic, and what is refused."""

from __future__ import annotations

import itertools
import random
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from ntviz.genome import Interval, Variant, accession_assembly, canonical_contig, resolve_contig


@pytest.mark.parametrize(("text", "expected"), [
    *((text, Interval("chr20", 1000, 2000)) for text in (
        "chr20:1,001-2,000", "chr20:1001-2000", "chr20:1001..2000", " chr20 : 1,001 - 2,000\n", "chr20:1,001-2,000(.)",
        "chr20:1,001–2,000",  # en dash
        "chr20:1,001−2,000",  # minus sign
        "chr20:1\u202f001-2\u202f000",  # narrow no-break spaces between thousands
    )),
    ("chr20:1,000", Interval("chr20", 999, 1000)),
    ("20:1-1", Interval("20", 0, 1)),
    ("20:0-1", Interval("20", -1, 1)),
    ("chr20:-4--2", Interval("chr20", -5, -2)),
    ("chr20:5-9(+)", Interval("chr20", 4, 9, "+")),
    ("chr20:5-9(-)", Interval("chr20", 4, 9, "-")),
    ("chr20:5-9(−)", Interval("chr20", 4, 9, "-")),
    ("chr20:5(-)", Interval("chr20", 4, 5, "-")),
    ("20:5-9:1", Interval("20", 4, 9, "+")),
    ("20:5..9:-1", Interval("20", 4, 9, "-")),
    ("NC_000020.10:5-9", Interval("NC_000020.10", 4, 9)),
    ("HLA-DRB1*15:01:01:01:5-9", Interval("HLA-DRB1*15:01:01:01", 4, 9)),
    ("chrUn-a–b:5-9", Interval("chrUn-a–b", 4, 9)),
])  # fmt: skip
def test_region_text_is_1_based_and_closed(text, expected):
    assert Interval.from_str(text) == expected


@pytest.mark.parametrize("text", [
    "chr20:1024:A>C", "chr20:1024A>C", "chr20:1,024:a>c", "chr20:g.1024A>C", "chr20:m.1,024A>C", "chr20:1024_A/C",
    "chr20:1024-A>C", "chr20:1024-A-C", "chr20-1024-A-C", "chr20:1024:A:C", "chr20_1024_A_C", "chr20_1024_A_C_b37",
    "chr20_1024_A_C_b38", "chr20\t1024\tA\tC", "chr20 1024 A C", "chr20\t1024\trs1\tA\tC",
    "chr20\t1024\t.\tA\tC\t.\tPASS\tAF=0.5\n", "chr20 1024 1024 A/C +", "chr20\t1024\t1024\tA/C\t1\tmine",
    "chr20 1024 1024 A/C", "chr20 1024 1024 T/G -", "chr20 1024 1024 T/G -1",
])  # fmt: skip
def test_variant_dialects(text):
    assert Variant.from_str(text) == Variant("chr20", 1024, "A", "C")


def test_variant_dialects_beyond_one_base_and_texts_that_round_trip():
    for chrom in ("20", "chr6_GL000256v2_alt", "NC_000020.10", "HLA-DRB1*15:01:01:01"):
        for form in ("{}:7:A>CT", "{}-7-A-CT", "{}_7_A_CT", "{}\t7\tA\tCT"):
            assert Variant.from_str(form.format(chrom)) == Variant(chrom, 7, "A", "CT")
    # VEP's manual: 5 140532 140532 T/C +; alleles of strand - are those of the reverse strand.
    assert Variant.from_str("5 140532 140532 T/C +") == Variant("5", 140532, "T", "C")
    assert Variant.from_str("2 265023 265024 CC/TA -") == Variant("2", 265023, "GG", "TA")
    assert Variant.from_str("NC_012920.1:m.3243A>G") == Variant("NC_012920.1", 3243, "A", "G")
    assert Variant.from_str("m.3243A>G") == Variant("MT", 3243, "A", "G")
    rng = random.Random(1)
    contigs = ["20", "chr20", "NC_000020.10", "MT", "HLA-DRB1*15:01:01:01", "chr6_GL000256v2_alt", "a:b-c_d"]
    for _ in range(2000):
        start = rng.randint(-50, 300_000_000)
        interval = Interval(rng.choice(contigs), start, start + rng.randint(1, 100_000), rng.choice("+-."))
        assert Interval.from_str(str(interval)) == Interval.from_str(interval.label()) == interval
        ref, alt = ("".join(rng.choices("ACGTN", k=rng.randint(1, 6))) for _ in range(2))
        if ref != alt:
            variant = Variant(rng.choice(contigs), rng.randint(1, 10**9), ref, alt)
            assert Variant.from_str(str(variant)) == variant
    assert Interval("chr20", 42_984_000, 42_985_000, "-").label() == "chr20:42,984,001-42,985,000(-)"


NO_REGION, NO_VARIANT = r"must name a contig.*Write a region as chr20:1,0", "must name contig, position, REF and ALT"
NO_REF, NO_ALT = (
    rf"{what} must hold at least one base.*base before them.*GA>G deletes the A at 1024" for what in ("REF", "ALT")
)


@pytest.mark.parametrize(("read", "texts", "message"), [
    (Interval.from_str, ["chr20", "", ":1-2", "chr20:", "chr20:a-b", "chr20:1,00-2,000", "chr20 1 2", "c:1-2-3", "c:1.5-2"], NO_REGION),
    (Interval.from_str, ["chr20:2,000-1,000"], "received 'chr20:2,000-1,000', which is empty"),
    (Variant.from_str, ["", "chr20", "chr20:1024", "chr20:A>C", "chr20:-5:A>C", "20-1024:A-C"], NO_VARIANT),
    (Variant.from_str, ["20-1024--C", "20:1024::C", "20:1024:->C", "20:1024:-:C", "20 1024 - C", "20 1025 1024 -/A +"], NO_REF),
    (Variant.from_str, ["20-1024-C-", "20:1024:C:", "20:1024:C>", "20:1024:C>-", "20 1024 . C .", "20 1024 1024 A/- +"], NO_ALT),
    (Variant.from_str, ["rs123"], "An rsID needs a database"),
    (Variant.from_str, ["VCV000012345.3"], "needs its database"),
    (Variant.from_str, ["chr20:g.1024delA", "NC_000020.11:g.1024_1026dup", "m.3243_3244insT", "g.1024A>C"],
     "It is HGVS, of which substitutions with a contig are understood"),
    (Variant.from_str, ["NM_000457.6:c.199+1G>T", "HNF4A:p.Arg85Trp", "NR_001566.1:n.10A>G"], "along a transcript or protein"),
    (Variant.from_str, ["NC_000020.10:1023:A:C"], r"SPDI and counts from 0\..*NC_000020\.10:1024:A>C"),
    (Variant.from_str, ["20 1024 1026 A/C +"], "first and last base of REF.*whose REF has 1 bp"),
    (Variant.from_str, ["chr20:1024:A>C,G"], r"received 'C,G' with ',' at letter 2\. Split records"),
    (Variant.from_str, ["20 1024 1024 A/C/G +"], r"received 'C/G' with '/' at letter 2\. Split records"),
    (Variant.from_str, ["chr20:1024:A><DEL>"], "ALT must be made of A, C, G, T, N.*with '<' at letter 1"),
    (Variant.from_str, ["chr20:1024:A>*"], r"with '\*' at letter 1. Symbolic"),
    (Variant.from_str, ["chr20:1024:A>AR"], "with 'R' at letter 2"),
    (Variant.from_str, ["chr20:1024:A>U"], "with 'U' at letter 1"),
])  # fmt: skip
def test_texts_that_cannot_be_read_are_refused_by_what_they_are(read, texts, message):
    for text in texts:
        with pytest.raises(ValueError, match=message):
            read(text)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: Interval.from_str(20), TypeError, "A region must be text; received int 20"),
    (lambda: Interval("chr20", 5, 5), ValueError, "at least one base"),
    (lambda: Interval("chr20", 5, 4), ValueError, "at least one base"),
    (lambda: Interval("chr20", 10, 20).expand(-5), ValueError, "at least one base"),
    (lambda: Interval("chr20", 0, 1, "1"), ValueError, r"A strand must be '\+', '-' or '\.'; received '1'"),
    (lambda: Interval("chr 20", 0, 1), ValueError, "no whitespace; received 'chr 20'"),
    (lambda: Interval("", 0, 1), ValueError, "no whitespace; received ''"),
    (lambda: Interval(20, 0, 1), TypeError, "A contig name must be text; received int 20"),
    (lambda: Interval("chr20", 1.5, 2), TypeError, r"start must be an integer.*received float 1\.5"),
    (lambda: Interval.around("chr20", 100, 0), ValueError, "A width must be at least 1 bp; received 0"),
    (lambda: setattr(Interval("1", 1, 2), "start", 4), FrozenInstanceError, "cannot assign to field 'start'"),
    (lambda: Variant("20", 0, "A", "C"), ValueError, "must be at least 1; received 0"),
    (lambda: Variant("20", 7, "A", "a"), ValueError, "must differ; received A for both at 20:7"),
    (lambda: Variant("20", "7", "A", "C"), TypeError, "pos must be an integer"),
    (lambda: Variant("20", 7, "A", None), TypeError, "ALT must be text; received NoneType"),
    (lambda: Variant.from_str(("20", 7, "A", "C")), TypeError, "A variant must be text; received tuple"),
    (lambda: resolve_contig("chr30", ["chr19", "chr20"]), ValueError, r"'chr30'\. Nearest: .*chr20.*Present: chr19, chr20\."),
    (lambda: resolve_contig("chrQ", [f"c{i}" for i in range(1200)]), ValueError, r"Present: c0, c1, .*, c9, and 1,190 more\."),
    (lambda: resolve_contig("chr20", []), ValueError, r"Present: none\."),
    (lambda: resolve_contig("20", ["chr20", "Chr20"]), ValueError, "must match one name; .*'20', which matches 'chr20' and 'Chr20'"),
    # Another version is another sequence.
    (lambda: resolve_contig("NC_000020.11", ["NC_000020.10"]), ValueError, r"received 'NC_000020\.11'"),
])  # fmt: skip
def test_bad_parts_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_intervals_are_plain_and_hashable_and_variants_1_based_outside():
    interval = Interval("chr20", np.int64(3), np.int64(9))  # ty: ignore[invalid-argument-type]
    assert type(interval.start) is type(interval.end) is int and {interval: 1}[Interval("chr20", 3, 9)] == 1
    variant = Variant("chr20", 1024, "GA", "G")
    assert (variant.start, variant.end, str(variant)) == (1023, 1025, "chr20:1024:GA>G")
    assert variant.interval == Interval.from_str("chr20:1024-1025")


def test_around_expand_and_shift():
    for position, width in itertools.product((-3, 0, 7, 100), (1, 2, 5, 6)):
        interval = Interval.around("chr20", position, width, "-")
        assert (len(interval), interval.midpoint, interval.strand) == (width, position, "-")
    assert Interval.around("chr20", 100, 4) == Interval("chr20", 98, 102)
    interval = Interval("chr20", 10, 20, "-")
    assert interval.expand(3) == Interval("chr20", 7, 23, "-")
    assert interval.expand(3, 0) == Interval("chr20", 7, 20, "-")
    assert interval.expand(-2, 5) == Interval("chr20", 12, 25, "-") and interval.expand(20).start == -10
    assert interval.shift(-15) == Interval("chr20", -5, 5, "-") and interval.shift(4).shift(-4) == interval


def test_overlap_equals_brute_force_and_knows_contig_aliases():
    places = [Interval("chr20", start, end) for start in range(6) for end in range(start + 1, 7)]
    for one, other in itertools.product(places, places):
        shared = sorted(set(range(one.start, one.end)) & set(range(other.start, other.end)))
        assert one.overlaps(other) == bool(shared)
        assert one.intersect(other) == (Interval("chr20", shared[0], shared[-1] + 1) if shared else None)
        assert one.contains(other) == (len(shared) == len(other))
        assert one.contains(other.start) == (other.start in range(one.start, one.end))
    one, other = Interval("chr20", 0, 10, "-"), Interval("NC_000020.10", 5, 15, "+")
    assert one.overlaps(other) and one.intersect(other) == Interval("chr20", 5, 10, "-")
    assert one.contains(Interval("20", 1, 2)) and not one.overlaps(Interval("chr2", 0, 10))
    assert one.intersect(Interval("chr21", 0, 10)) is None and not one.contains(Interval("chr21", 1, 2))
    assert one != Interval("20", 0, 10, "-")


def test_variant_kinds():
    # An anchor may lie behind, as at the first base of a contig.
    for kind, texts in {
        "SNV": "A>C", "MNV": "AC>GT", "insertion": "A>AT A>TA", "deletion": "AT>A TA>A", "delins": "AT>G G>AT",
    }.items():  # fmt: skip
        for variant in (Variant("20", 5, *text.split(">")) for text in texts.split()):
            assert (variant.kind, variant.is_snv) == (kind, kind == "SNV"), variant


def test_contigs_are_known_by_their_aliases():
    for number in range(1, 23):
        for name in (str(number), f"chr{number}", f"Chr{number}", f"NC_{number:06d}.10"):
            assert canonical_contig(name) == str(number)
    for names, bare in (("X chrX x NC_000023.11", "X"), ("NC_000024.9", "Y"), ("M MT chrM chrMT NC_012920.1", "MT")):
        assert {canonical_contig(name) for name in names.split()} == {bare}
    for name in ("chrUn_gl000220", "2L", "chrI", "NC_000932.1", "NC_001807.4", "HLA-A", ""):
        assert canonical_contig(name) == name
    for listed in ("19 20 MT", "chr19 chr20 chrM", "NC_000019.9 NC_000020.10 NC_012920.1"):
        available = listed.split()
        assert {resolve_contig(name, available) for name in ("20", "chr20", "NC_000020.10")} == {available[1]}
        assert {resolve_contig(name, available) for name in ("MT", "chrM", "NC_012920.1")} == {available[2]}
    # The same spelling wins, and chr is no part of a name of other species.
    assert resolve_contig("20", ["chr20", "20"]) == "20" and resolve_contig("2L", ["chr2L", "chr2R"]) == "chr2L"
    assert resolve_contig("chrII", iter(["I", "II"])) == "II"
    for names, assembly in (
        ("NC_000020.10 NC_000001.10 NC_000024.9", "GRCh37"), ("NC_000020.11 NC_000002.12", "GRCh38"),
        ("chr20 20 NC_000020.9 NC_012920.1", None),
    ):  # fmt: skip
        assert {accession_assembly(name) for name in names.split()} == {assembly}
