"""Intervals, variants and contig names: text forms, arithmetic, and what is refused."""

from __future__ import annotations

import itertools
import random
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from ntviz.genome import Interval, Variant, accession_assembly, canonical_contig, resolve_contig

# --- Interval: text ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "chr20:1,001-2,000",
        "chr20:1001-2000",
        "chr20:1001..2000",
        "chr20:1,001–2,000",  # en dash
        "chr20:1,001−2,000",  # minus sign
        " chr20 : 1,001 - 2,000\n",
        "chr20:1\u202f001-2\u202f000",  # narrow no-break spaces between thousands
        "chr20:1,001-2,000(.)",
    ],
)
def test_region_text_is_1_based_and_closed(text: str) -> None:
    assert Interval.from_str(text) == Interval("chr20", 1000, 2000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
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
    ],
)
def test_region_text_forms(text: str, expected: Interval) -> None:
    assert Interval.from_str(text) == expected


def test_interval_text_round_trips() -> None:
    rng = random.Random(1)
    contigs = ["20", "chr20", "NC_000020.10", "MT", "HLA-DRB1*15:01:01:01", "chr6_GL000256v2_alt", "a:1-2"]
    for _ in range(2000):
        start = rng.randint(-50, 300_000_000)
        interval = Interval(rng.choice(contigs), start, start + rng.randint(1, 100_000), rng.choice("+-."))
        assert Interval.from_str(str(interval)) == interval
        assert Interval.from_str(interval.label()) == interval


def test_label_has_thousands_separators() -> None:
    assert Interval("chr20", 999, 2000).label() == "chr20:1,000-2,000"
    assert Interval("chr20", 42_984_000, 42_985_000, "-").label() == "chr20:42,984,001-42,985,000(-)"


@pytest.mark.parametrize(
    "text",
    [
        "chr20",
        "",
        ":1-2",
        "chr20:",
        "chr20:a-b",
        "chr20:1,00-2,000",
        "chr20 100 200",
        "chr20:1-2-3",
        "chr20:1.5-2",
    ],
)
def test_text_that_is_no_region_is_refused(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"A region must name a contig and positions.*Write a region as chr20:1,000-2,000"
    ):
        Interval.from_str(text)


def test_region_text_that_is_empty_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"end at or after its start; received 'chr20:2,000-1,000', which is empty"
    ):
        Interval.from_str("chr20:2,000-1,000")


def test_region_must_be_text() -> None:
    with pytest.raises(TypeError, match="A region must be text; received int 20"):
        Interval.from_str(20)  # ty: ignore[invalid-argument-type]


# --- Interval: construction and arithmetic -----------------------------------------------------------------------


@pytest.mark.parametrize(("start", "end"), [(5, 5), (5, 4), (-1, -1)])
def test_empty_interval_is_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="at least one base"):
        Interval("chr20", start, end)


def test_interval_refuses_bad_parts() -> None:
    with pytest.raises(ValueError, match=r"A strand must be '\+', '-' or '\.'; received '1'"):
        Interval("chr20", 0, 1, "1")
    with pytest.raises(ValueError, match="no whitespace; received 'chr 20'"):
        Interval("chr 20", 0, 1)
    with pytest.raises(ValueError, match="no whitespace; received ''"):
        Interval("", 0, 1)
    with pytest.raises(TypeError, match="A contig name must be text; received int 20"):
        Interval(20, 0, 1)  # ty: ignore[invalid-argument-type]
    with pytest.raises(TypeError, match=r"start must be an integer.*received float 1\.5"):
        Interval("chr20", 1.5, 2)  # ty: ignore[invalid-argument-type]


def test_interval_is_frozen_hashable_and_holds_plain_integers() -> None:
    interval = Interval("chr20", np.int64(3), np.int64(9))  # ty: ignore[invalid-argument-type]
    assert type(interval.start) is int
    assert type(interval.end) is int
    assert {interval: 1}[Interval("chr20", 3, 9)] == 1
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'start'"):
        interval.start = 4  # ty: ignore[invalid-assignment]


def test_around_puts_the_position_at_the_midpoint() -> None:
    for position, width in itertools.product((-3, 0, 7, 100), (1, 2, 5, 6)):
        interval = Interval.around("chr20", position, width, "-")
        assert (len(interval), interval.midpoint, interval.strand) == (width, position, "-")
    assert Interval.around("chr20", 100, 4) == Interval("chr20", 98, 102)
    with pytest.raises(ValueError, match="A width must be at least 1 bp; received 0"):
        Interval.around("chr20", 100, 0)


def test_expand_and_shift() -> None:
    interval = Interval("chr20", 10, 20, "-")
    assert interval.expand(3) == Interval("chr20", 7, 23, "-")
    assert interval.expand(3, 0) == Interval("chr20", 7, 20, "-")
    assert interval.expand(-2, 5) == Interval("chr20", 12, 25, "-")
    assert interval.expand(20).start == -10
    assert interval.shift(-15) == Interval("chr20", -5, 5, "-")
    assert interval.shift(4).shift(-4) == interval
    with pytest.raises(ValueError, match="at least one base"):
        interval.expand(-5)


def test_overlap_intersection_and_containment_equal_brute_force() -> None:
    places = [Interval("chr20", start, end) for start in range(6) for end in range(start + 1, 7)]
    for one, other in itertools.product(places, places):
        shared = sorted(set(range(one.start, one.end)) & set(range(other.start, other.end)))
        assert one.overlaps(other) == bool(shared)
        expected = Interval("chr20", shared[0], shared[-1] + 1) if shared else None
        assert one.intersect(other) == expected
        assert one.contains(other) == (len(shared) == len(other))
        assert one.contains(other.start) == (other.start in range(one.start, one.end))


def test_overlap_knows_contig_aliases_and_keeps_own_spelling_and_strand() -> None:
    one, other = Interval("chr20", 0, 10, "-"), Interval("NC_000020.10", 5, 15, "+")
    assert one.overlaps(other)
    assert one.intersect(other) == Interval("chr20", 5, 10, "-")
    assert one.contains(Interval("20", 1, 2))
    assert not one.overlaps(Interval("chr2", 0, 10))
    assert one.intersect(Interval("chr21", 0, 10)) is None
    assert not one.contains(Interval("chr21", 1, 2))
    assert one != Interval("20", 0, 10, "-")


# --- Variant -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "chr20:1024:A>C",
        "chr20:1024A>C",
        "chr20:1,024:a>c",
        "chr20:g.1024A>C",
        "chr20:m.1,024A>C",
        "chr20:1024_A/C",
        "chr20:1024-A>C",
        "chr20:1024-A-C",
        "chr20-1024-A-C",
        "chr20:1024:A:C",
        "chr20_1024_A_C",
        "chr20_1024_A_C_b37",
        "chr20_1024_A_C_b38",
        "chr20\t1024\tA\tC",
        "chr20 1024 A C",
        "chr20\t1024\trs1\tA\tC",
        "chr20\t1024\t.\tA\tC\t.\tPASS\tAF=0.5\n",
        "chr20 1024 1024 A/C +",
        "chr20\t1024\t1024\tA/C\t1\tmine",
        "chr20 1024 1024 A/C",
        "chr20 1024 1024 T/G -",
        "chr20 1024 1024 T/G -1",
    ],
)
def test_variant_dialects(text: str) -> None:
    assert Variant.from_str(text) == Variant("chr20", 1024, "A", "C")


def test_variant_dialects_keep_difficult_contigs() -> None:
    for chrom in ("20", "chr6_GL000256v2_alt", "NC_000020.10", "HLA-DRB1*15:01:01:01"):
        for form in ("{}:7:A>CT", "{}-7-A-CT", "{}_7_A_CT", "{}\t7\tA\tCT"):
            assert Variant.from_str(form.format(chrom)) == Variant(chrom, 7, "A", "CT")


def test_hgvs_and_vep_forms_beyond_one_base() -> None:
    # VEP's manual: 5 140532 140532 T/C +; alleles of strand - are those of the reverse strand.
    assert Variant.from_str("5 140532 140532 T/C +") == Variant("5", 140532, "T", "C")
    assert Variant.from_str("2 265023 265024 CC/TA -") == Variant("2", 265023, "GG", "TA")
    assert Variant.from_str("NC_012920.1:m.3243A>G") == Variant("NC_012920.1", 3243, "A", "G")
    assert Variant.from_str("m.3243A>G") == Variant("MT", 3243, "A", "G")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("chr20:g.1024delA", "It is HGVS, of which substitutions with a contig are understood"),
        ("NC_000020.11:g.1024_1026dup", "It is HGVS, of which substitutions"),
        ("m.3243_3244insT", "It is HGVS, of which substitutions"),
        ("g.1024A>C", "with a contig are understood"),
        ("NM_000457.6:c.199+1G>T", "HGVS along a transcript or protein"),
        ("HNF4A:p.Arg85Trp", "HGVS along a transcript or protein"),
        ("NR_001566.1:n.10A>G", "HGVS along a transcript or protein"),
        ("VCV000012345.3", "needs its database"),
        ("20 1024 1026 A/C +", "first and last base of REF.*whose REF has 1 bp"),
        ("20 1024 1024 A/C/G +", "received 'C/G' with '/' at letter 2. Split records"),
        ("20 1024 1024 A/- +", "ALT must hold at least one base.*with the base before them"),
        ("20 1025 1024 -/A +", "REF must hold at least one base.*with the base before them"),
    ],
)
def test_other_forms_are_refused_by_their_name(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Variant.from_str(text)


def test_variant_text_round_trips() -> None:
    rng = random.Random(2)
    for _ in range(2000):
        ref, alt = ("".join(rng.choices("ACGTN", k=rng.randint(1, 6))) for _ in range(2))
        if ref == alt:
            continue
        variant = Variant(
            rng.choice(["20", "chr20", "NC_000020.10", "a:b-c_d"]), rng.randint(1, 10**9), ref, alt
        )
        assert Variant.from_str(str(variant)) == variant


def test_variant_coordinates_are_1_based_outside_and_0_based_inside() -> None:
    variant = Variant("chr20", 1024, "GA", "G")
    assert (variant.start, variant.end) == (1023, 1025)
    assert variant.interval == Interval.from_str("chr20:1024-1025")
    assert str(variant) == "chr20:1024:GA>G"


@pytest.mark.parametrize(
    ("ref", "alt", "kind"),
    [
        ("A", "C", "SNV"),
        ("AC", "GT", "MNV"),
        ("A", "AT", "insertion"),
        ("A", "TA", "insertion"),  # anchor behind, as at the first base of a contig
        ("AT", "A", "deletion"),
        ("TA", "A", "deletion"),
        ("AT", "G", "delins"),
        ("G", "AT", "delins"),
    ],
)
def test_variant_kinds(ref: str, alt: str, kind: str) -> None:
    variant = Variant("20", 5, ref, alt)
    assert variant.kind == kind
    assert variant.is_snv == (kind == "SNV")


@pytest.mark.parametrize("text", ["20-1024--C", "20:1024::C", "20:1024:->C", "20:1024:-:C", "20 1024 - C"])
def test_empty_ref_is_refused_with_advice_on_anchors(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"REF must hold at least one base.*as VCF does, with the base before them"
    ):
        Variant.from_str(text)


@pytest.mark.parametrize("text", ["20-1024-C-", "20:1024:C:", "20:1024:C>", "20:1024:C>-", "20 1024 . C ."])
def test_empty_alt_is_refused_with_advice_on_anchors(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"ALT must hold at least one base.*chr20:1023:GA>G deletes the A at 1024"
    ):
        Variant.from_str(text)


@pytest.mark.parametrize(
    "text", ["rs123", "", "chr20", "chr20:1024", "chr20:A>C", "chr20:-5:A>C", "20-1024:A-C"]
)
def test_text_that_is_no_variant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"A variant must name contig, position, REF and ALT; received '"):
        Variant.from_str(text)


def test_ambiguous_variant_text_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="An rsID needs a database"):
        Variant.from_str("rs123")
    with pytest.raises(ValueError, match=r"SPDI and counts from 0\..*NC_000020\.10:1024:A>C"):
        Variant.from_str("NC_000020.10:1023:A:C")
    with pytest.raises(ValueError, match=r"received 'C,G' with ',' at letter 2\. Split records"):
        Variant.from_str("chr20:1024:A>C,G")


@pytest.mark.parametrize(("alt", "letter"), [("<DEL>", "<"), ("*", r"\*"), ("AR", "R"), ("U", "U")])
def test_alleles_that_are_no_bases_are_refused(alt: str, letter: str) -> None:
    with pytest.raises(ValueError, match=rf"ALT must be made of A, C, G, T, N.*with '{letter}' at letter"):
        Variant.from_str(f"chr20:1024:A>{alt}")


def test_variant_refuses_bad_parts() -> None:
    with pytest.raises(ValueError, match="must be at least 1; received 0"):
        Variant("20", 0, "A", "C")
    with pytest.raises(ValueError, match="must differ; received A for both at 20:7"):
        Variant("20", 7, "A", "a")
    with pytest.raises(TypeError, match="pos must be an integer"):
        Variant("20", "7", "A", "C")  # ty: ignore[invalid-argument-type]
    with pytest.raises(TypeError, match="ALT must be text; received NoneType"):
        Variant("20", 7, "A", None)  # ty: ignore[invalid-argument-type]
    with pytest.raises(TypeError, match="A variant must be text; received tuple"):
        Variant.from_str(("20", 7, "A", "C"))  # ty: ignore[invalid-argument-type]


# --- contig names ------------------------------------------------------------------------------------------------


def test_canonical_contig() -> None:
    for number in range(1, 23):
        for name in (str(number), f"chr{number}", f"Chr{number}", f"NC_{number:06d}.10"):
            assert canonical_contig(name) == str(number)
    for name in ("X", "chrX", "x", "NC_000023.11"):
        assert canonical_contig(name) == "X"
    assert canonical_contig("NC_000024.9") == "Y"
    for name in ("M", "MT", "chrM", "chrMT", "NC_012920.1"):
        assert canonical_contig(name) == "MT"
    for name in ("chrUn_gl000220", "2L", "chrI", "NC_000932.1", "NC_001807.4", "HLA-A", ""):
        assert canonical_contig(name) == name


def test_accession_assembly() -> None:
    assert accession_assembly("NC_000020.10") == "GRCh37"
    assert accession_assembly("NC_000020.11") == "GRCh38"
    assert accession_assembly("NC_000001.10") == "GRCh37"
    assert accession_assembly("NC_000002.12") == "GRCh38"
    assert accession_assembly("NC_000024.9") == "GRCh37"
    for name in ("chr20", "20", "NC_000020.9", "NC_012920.1"):
        assert accession_assembly(name) is None


@pytest.mark.parametrize(
    "available",
    [["19", "20", "MT"], ["chr19", "chr20", "chrM"], ["NC_000019.9", "NC_000020.10", "NC_012920.1"]],
)
def test_resolve_contig_finds_aliases(available: list[str]) -> None:
    for name in ("20", "chr20", "NC_000020.10"):
        assert resolve_contig(name, available) == available[1]
    for name in ("MT", "chrM", "NC_012920.1"):
        assert resolve_contig(name, available) == available[2]


def test_resolve_contig_prefers_the_spelling_and_drops_chr_of_other_species() -> None:
    assert resolve_contig("20", ["chr20", "20"]) == "20"
    assert resolve_contig("2L", ["chr2L", "chr2R"]) == "chr2L"
    assert resolve_contig("chrII", iter(["I", "II"])) == "II"


def test_resolve_contig_refuses() -> None:
    with pytest.raises(ValueError, match=r"received 'chr30'\. Nearest: .*chr20.*Present: chr19, chr20\."):
        resolve_contig("chr30", ["chr19", "chr20"])
    with pytest.raises(
        ValueError, match=r"Present: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, and 1,190 more\."
    ):
        resolve_contig("chrQ", [f"c{i}" for i in range(1200)])
    with pytest.raises(ValueError, match=r"Present: none\."):
        resolve_contig("chr20", [])
    with pytest.raises(
        ValueError, match="must match one name; received '20', which matches 'chr20' and 'Chr20'"
    ):
        resolve_contig("20", ["chr20", "Chr20"])
    with pytest.raises(ValueError, match=r"received 'NC_000020\.11'"):  # another version is another sequence
        resolve_contig("NC_000020.11", ["NC_000020.10"])
