"""Windows around elements, uniform in place and the same for each seed; and the list of elements to ask about."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest

from ntviz import annotation, attention, data, motifs
from ntviz.genome import Interval
from ntviz.reference import Reference


def elements(*places, kind="site"):
    return annotation.from_table(pd.DataFrame(places, columns=["chrom", "start", "end"]), element=kind)


def genome(folder, **contigs):
    path = folder / "toy.fa"
    path.write_text("".join(f">{name}\n{bases}\n" for name, bases in contigs.items()))
    return Reference(path)


def bases(seed, length):
    return "".join(random.Random(seed).choices("ACGT", k=length))


def around(drawn):
    """Pairs of each window and the element that it was drawn around."""
    return list(zip(drawn, drawn.of, strict=True))


def chi_square(values, low, high):
    """Pearson's statistic of counts of whole numbers from low to high, both included, against even counts."""
    counts = np.bincount(np.array(values) - low, minlength=high - low + 1)
    assert len(counts) == high - low + 1, "a value lies outside"
    expected = len(values) / len(counts)
    return float(((counts - expected) ** 2 / expected).sum())


def test_place_of_the_element_is_uniform(tmp_path):
    sites = elements(("1", 500, 510), ("1", 1300, 1310), ("1", 2000, 2010))
    drawn = attention.windows(sites, "site", length=60, n=6000, reference=genome(tmp_path, **{"1": bases(0, 3000)}))
    assert (len(drawn), drawn.note) == (6000, "")
    assert all(window.contains(site) for window, site in around(drawn))
    # 51 places; the statistic exceeds 86.7 in one of a thousand uniform draws with 50 degrees of freedom.
    assert chi_square([site.start - window.start for window, site in around(drawn)], 0, 50) < 86.7
    for element in set(drawn.of):
        offsets = [element.start - window.start for window, of in around(drawn) if of == element]
        assert len(offsets) == 2000 and chi_square(offsets, 0, 50) < 86.7


def test_each_base_of_a_long_element_is_as_likely(tmp_path):
    reference = genome(tmp_path, **{"1": bases(1, 400)})
    drawn = attention.windows(elements(("1", 100, 140)), "site", length=15, n=5400, reference=reference)
    # Every window that shares a base: 54 starts, of which 93.2 is exceeded in one of a thousand uniform draws.
    assert chi_square([window.start for window in drawn], 86, 139) < 93.2
    covered = np.zeros(400, dtype=int)
    for window in drawn:
        covered[window.start : window.end] += 1
    assert covered[100:140] == pytest.approx(5400 * 15 / 54, rel=0.1)
    as_long = attention.windows(elements(("1", 100, 140)), "site", length=40, n=3)
    assert [window.start for window in as_long] == [100, 100, 100]


def test_windows_stay_on_their_contig(tmp_path):
    reference = genome(tmp_path, chr1=bases(0, 100))
    sites = elements(("1", 0, 2), ("1", 98, 100), ("1", 40, 70), ("chr1", 85, 100))
    drawn = attention.windows(sites, "site", length=10, n=800, reference=reference)
    starts = {of: {window.start for window, site in around(drawn) if site == of} for of in drawn.of}
    assert {(of.start, of.end): (min(found), max(found)) for of, found in starts.items()} == {
        (0, 2): (0, 0),
        (40, 70): (31, 69),
        # What touches was merged: 85 to 100, longer than the window.
        (85, 100): (76, 90),
    }
    # Without a reference there is no right end, but still a left one.
    free = attention.windows(sites, "site", length=10, n=800)
    assert min(window.start for window in free) == 0 and max(window.end for window in free) == 109


def test_windows_anywhere_are_uniform(tmp_path):
    reference = genome(tmp_path, a=bases(0, 59), b=bases(1, 29), c=bases(2, 5))
    drawn = attention.windows(None, None, length=10, n=7000, reference=reference)
    # 50 windows on a and 20 on b; none fits on c.
    number = [window.start + (50 if window.chrom == "b" else 0) for window in drawn]
    assert {window.chrom for window in drawn} == {"a", "b"} and chi_square(number, 0, 69) < 111.1
    assert drawn.of == [None] * 7000
    only = attention.windows(None, None, length=10, n=50, reference=reference, chrom="b")
    assert {window.chrom for window in only} == {"b"}


def test_the_first_windows_follow_neither_their_number_nor_other_kinds(tmp_path):
    reference = genome(tmp_path, **{"1": bases(0, 500) + "N" * 100 + bases(1, 500)})
    sites = elements(*(("1", start, start + 3) for start in range(20, 1080, 50)))
    for kind in ("site", None):
        many = attention.windows(sites, kind, length=40, n=1500, reference=reference, seed=7)
        few = attention.windows(sites, kind, length=40, n=100, reference=reference, seed=7)
        assert many.intervals[:100] == few.intervals and many.of[:100] == few.of
        other = attention.windows(sites, kind, length=40, n=100, reference=reference, seed=8)
        assert other.intervals != few.intervals
    places = [("1", start, start + 3) for start in range(100, 1100, 50)]
    drawn = attention.windows(elements(*places), "site", length=40, n=60)
    for turn in range(3):
        assert len(set(drawn.of[20 * turn : 20 * turn + 20])) == 20
    assert drawn.of[:20] != drawn.of[20:40]
    both = annotation.combine(elements(*places, kind="a"), elements(*places, kind="b"))
    one, other = (attention.windows(both, kind, length=40, n=20) for kind in ("a", "b"))
    assert one.intervals != other.intervals
    alone = attention.windows(elements(*places, kind="a"), "a", length=40, n=20)
    assert alone.intervals == one.intervals


def test_windows_of_n_are_counted_and_patience_ends(tmp_path):
    reference = genome(tmp_path, **{"1": bases(0, 100) + "N" * 20 + bases(1, 100)})
    sites = elements(("1", 95, 100), ("1", 150, 155), ("1", 105, 107))
    drawn = attention.windows(sites, "site", length=20, n=100, reference=reference)
    assert all("N" not in reference.fetch(window).sequence for window in drawn)
    # The element among N is never in a window; of the one beside them only the windows to its left are.
    assert {of.start for of in drawn.of if of} == {95, 150}
    assert {window.start for window, of in around(drawn) if of.start == 95} == {80}
    left_out = drawn.dropped["windows with more than 0 of N"]
    assert left_out >= 50 and drawn.note == f"Left out: {left_out:,} windows with more than 0 of N."
    some = attention.windows(sites, "site", length=20, n=200, reference=reference, max_n=0.5)
    assert max(reference.fetch(window).sequence.count("N") for window in some) == 10
    every = attention.windows(sites, "site", length=20, n=100, reference=reference, max_n=1)
    assert every.dropped == {}
    # Patience ends.
    (tmp_path / "more").mkdir()
    reference = genome(tmp_path / "more", **{"1": bases(0, 20) + "N" * 6000})
    drawn = attention.windows(None, None, length=20, n=50, reference=reference, max_n=0.5, seed=4)
    assert 0 < len(drawn) < 50
    assert drawn.note.endswith(f"{len(drawn)} of 50 windows were found before 1,000 in a row had to be left out.")
    with pytest.raises(ValueError, match=r"at most 0 of N; none of 1,000 of 40 bp around site has\. Raise max_n"):
        attention.windows(elements(("1", 500, 510)), "site", length=40, n=5, reference=reference)


def test_elements_that_cannot_be_used_are_counted(tmp_path):
    reference = genome(tmp_path, **{"1": bases(0, 100), "2": bases(1, 10)})
    sites = elements(("chr1", 10, 20), ("un", 10, 20), ("un", 30, 40), ("2", 2, 4), ("1", 95, 105))
    drawn = attention.windows(sites, "site", length=30, n=10, reference=reference)
    assert list(drawn.dropped.values()) == [2, 1, 1]
    assert drawn.note == (
        "Left out: 2 elements on contigs that the reference lacks; 1 elements on contigs shorter than a window; "
        "1 elements that end beyond their contig."
    )
    assert set(drawn.of) == {Interval("chr1", 10, 20)}


@pytest.mark.parametrize(("options", "message"), [
    ({"kind": "sites"}, r"An element must be one of those in the table: site; received 'sites'\. Did you mean 'site'\?"),
    ({"chrom": "3"}, r"chrom must be a contig with site on it: 1, un; received '3'"),
    ({"chrom": "un"}, r"site must lie on a contig of the reference; received those of un, and toy.fa has 1\. Use"),
    ({"length": 101}, r"fit on a contig; received length=101 bp, and the longest, 1, has 100"),
    ({"length": 0}, r"length must be at least 1; received 0"),
    ({"length": 10.5}, r"length must be a whole number; received 10\.5"),
    ({"n": 0}, r"n must be at least 1; received 0"),
    ({"seed": -1}, r"seed must be at least 0; received -1"),
    ({"max_n": 2}, r"max_n must be a share between 0 and 1; received 2"),
    ({"elements": None}, r"elements must hold the kind 'site'; received None"),
    ({"reference": None, "kind": None}, r"drawn from contigs, whose lengths a reference knows; received none"),
    ({"kind": "nothing"}, r"There must be an element of the kind 'nothing' to draw windows around; there is none"),
    ({"kind": "beyond"}, r"all 1 of beyond end beyond theirs\. Check .*one assembly \(unknown\)"),
])  # fmt: skip
def test_bad_questions_are_refused(tmp_path, options, message):
    places = pd.DataFrame({"chrom": ["1", "un"], "start": 10, "end": 20, "element": "site"})
    both = annotation.combine(annotation.from_table(places, kinds=["nothing"]), elements(("1", 10, 200), kind="beyond"))
    good = {"elements": both, "kind": "site", "length": 30, "n": 10}
    if options.get("kind") == "sites":
        good["elements"] = elements(("1", 10, 20))
    with pytest.raises((ValueError, TypeError), match=message):
        attention.windows(**{**good, "reference": genome(tmp_path, **{"1": bases(0, 100)}), **options})


@pytest.fixture(scope="module")
def reference():
    return Reference(data.bundle("chr20"))


@pytest.fixture(scope="module")
def genes():
    return annotation.read(data.bundle("genes"))


def test_windows_of_real_splice_sites(genes, reference):
    drawn = attention.windows(genes, "splice_donor", length=6000, n=500, reference=reference)
    assert len(drawn) == 500
    share = [(site.start - window.start) / 5998 for window, site in around(drawn)]
    # Kolmogorov and Smirnov: of 500 uniform values the largest gap exceeds 0.087 once in a thousand times.
    assert np.abs(np.sort(share) - (np.arange(500) + 0.5) / 500).max() < 0.087
    assert all(genes.indicator(window, "splice_donor").sum() >= 2 for window in drawn.intervals[:50])


REGION = Interval("chr20", 33_290_000, 33_390_000)
OF_GENES = ("five_prime_utr", "three_prime_utr", "exon", "intron", "promoter")
SITES = ("splice_donor", "splice_acceptor", "start_codon", "stop_codon")


def test_the_list_of_elements(genes, reference):
    ctcf = motifs.read(data.bundle("motifs"))["MA0139"]
    found = attention.paper_elements(genes, reference, motifs=ctcf, within=REGION)
    assert found.kinds == (*OF_GENES, *SITES, "cpg_island", "CTCF motif")
    for kind in (*OF_GENES, *SITES):
        assert (found.indicator(REGION, kind) == genes.indicator(REGION, kind)).all()
        assert found.indicator(REGION, kind).any()
    islands = annotation.cpg_islands(reference.fetch(REGION).sequence, REGION)
    assert (found.indicator(REGION, "cpg_island") == islands.indicator(REGION, "cpg_island")).all()
    assert found.note == (
        "promoter is 1,000 bp before to 100 bp after the first base of each transcript. Of the nine elements of the paper 4 "
        "are absent. enhancer, CTCF_binding_site, open_chromatin, TF_binding_site: no file that was given has them; "
        "ENCODE's cCREs or Ensembl's Regulatory Build would. Elements are those that overlap chr20:33,290,001-33,390,000."
    )
    # It is a list of stretches, from which nothing more is derived.
    assert found.within(REGION).kinds == found.kinds


def test_regulatory_regions_join_the_list(tmp_path, genes, reference):
    kinds = enumerate(("PLS", "dELS", "CA-CTCF", "CA", "TF"))
    places = ((kind, row, REGION.start + 100 * row) for row, kind in kinds)
    rows = (f"chr20\t{at}\t{at + 50}\tEH38D{row:07d}\tEH38E{row:07d}\t{kind}\n" for kind, row, at in places)
    (tmp_path / "cCREs.bed").write_text("".join(rows) + "broken\n")
    regions = annotation.read(tmp_path / "cCREs.bed", rename=annotation.REGULATORY)
    peaks = elements(("20", REGION.start, REGION.start + 10), kind="my peak")
    found = attention.paper_elements(genes, reference, regions, peaks, within=REGION)
    assert set(attention.PAPER_ELEMENTS) <= set(found.kinds) and found.kinds[-2:] == ("my peak", "cpg_island")
    # Stated promoters replace those derived.
    assert found.elements("promoter")[["start", "end"]].values.tolist() == [[REGION.start, REGION.start + 50]]
    assert found.note.startswith("1 of 6 lines of cCREs.bed could not be read")
    assert "promoter is as cCREs.bed states it." in found.note and "absent" not in found.note


def test_islands_of_a_whole_contig_are_found_piece_by_piece(tmp_path, monkeypatch):
    generator = random.Random(3)
    text = "".join("".join(generator.choices("CG" * share + "AT", k=300)) for share in (1, 3, 0, 2, 1, 4) * 4)
    reference = genome(tmp_path, chr1=text, chr2="A" * 300)
    exons = elements(("1", 10, 20), ("2", 10, 20), ("3", 10, 20), ("3", 30, 40), kind="exon")
    whole = annotation.cpg_islands(text, Interval("1", 0, len(text)))
    monkeypatch.setattr("ntviz.attention.paper._PIECE", 700)
    found = attention.paper_elements(exons, reference)
    one, other = (table.elements("cpg_island")[["start", "end"]] for table in (found, whole))
    pd.testing.assert_frame_equal(one, other)
    assert len(whole) > 2
    assert "2 features lie on contigs that the reference lacks (3); they have no bases." in found.note
    assert "five_prime_utr, three_prime_utr, intron: the genes have none" in found.note
    assert found.kinds == ("exon", "cpg_island")


def test_what_the_list_lacks_is_said(genes, reference):
    found = attention.paper_elements(genes)
    assert found.note.endswith("cpg_island is absent: it is found in the bases, and no reference was given.")
    assert found.kinds == (*OF_GENES, *SITES)
    with pytest.raises(ValueError, match=r"Motifs are looked for in bases; received 1 motifs and no reference"):
        attention.paper_elements(genes, motifs=motifs.Motif.from_sites("a", ["ACGTACGT"]))
    with pytest.raises(ValueError, match=r"asked about; the table has only gene\. Pass genes"):
        attention.paper_elements(elements(("1", 0, 5), kind="gene"))
    chosen = [motifs.Motif.from_sites("S", ["ACG"]), motifs.Motif.from_sites("L", ["ACGTTGCATT"])]
    found = attention.paper_elements(genes, reference, motifs=chosen, within=REGION)
    assert "1 motifs are too short to match with p of at most 0.0001: S." in found.note
    assert "L motif" in found.kinds and "S motif" not in found.kinds
