"""Windows of a genome: where they may begin, what is drawn, and what is said of it."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from projection_toy import made

from ntviz import embeddings
from ntviz.annotation import Annotation
from ntviz.annotation import windows as places
from ntviz.annotation.elements import COLUMNS
from ntviz.genome import Interval
from ntviz.genome.sequence import gc, reverse_complement
from ntviz.reference import Reference


def annotated(*features):
    rows = [(*one, one[-1], f"{one[-1]}.1" if one[4] != "gene" else "", "", "") for one in features]
    return Annotation(pd.DataFrame(rows, columns=list(COLUMNS)), source="toy")


def gene(chrom, strand, name, exons, cds):
    whole = (exons[0][0], exons[-1][1])
    kinds = {"gene": [whole], "transcript": [whole], "exon": exons, "CDS": cds}
    return [(chrom, *part, strand, kind, name) for kind, parts in kinds.items() for part in parts]


FORWARD = gene("1", "+", "A", [(200, 300), (500, 640), (700, 800)], [(260, 300), (500, 640), (700, 720)])
BACKWARD = gene("1", "-", "B", [(600, 660), (1000, 1200)], [(1040, 1150)])


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    rng = np.random.default_rng(0)
    bases = "".join(rng.choice(list("ACGT"), 2_000))
    bases = bases[:1_400] + "N" * 30 + bases[1_430:]
    path = tmp_path_factory.mktemp("toy") / "toy.fa"
    path.write_text(f">chr1\n{bases}\n>chr2\n{'ACGT' * 50}\n")
    return Reference(path)


def by_hand(annotation, reference, elements, length, share):
    """Brute force: each start, each base."""
    whole = reference.whole("1")
    bases = reference.fetch(whole).sequence
    inside = {kind: annotation.indicator(whole, kind) for kind in [*elements, "exon"]}

    def alone(kind, base):
        others = any(inside[other][base] for other in elements if other != kind)
        return inside[kind][base] and not others and not (kind == "intron" and inside["exon"][base])

    starts = [start for start in range(len(bases) - length + 1) if "N" not in bases[start : start + length]]
    of_kind = {kind: [alone(kind, base) for base in range(len(bases))] for kind in elements}
    least = round(share * length, 9)
    return {kind: [at for at in starts if sum(of_kind[kind][at : at + length]) >= least] for kind in elements}


@pytest.mark.parametrize("share", [1.0, 0.7])
@pytest.mark.parametrize("chunk", [places.CHUNK, 137])
def test_windows_may_begin_where_their_bases_are_of_one_element(reference, monkeypatch, share, chunk):
    monkeypatch.setattr(places, "CHUNK", chunk)
    toy = annotated(*FORWARD, *BACKWARD)
    how = {"length": 30, "share": share}
    found = places.starts_by_element(toy, reference, reference.whole("1"), embeddings.ELEMENTS, **how)
    expected = by_hand(toy, reference, embeddings.ELEMENTS, 30, share)
    starts = {kind: [at for run in runs.tolist() for at in range(*run)] for kind, runs in found.items()}
    assert starts == expected and all(expected.values())


def test_windows_do_not_overlap_and_are_read_on_the_strand_of_their_gene(reference):
    toy, how = annotated(*FORWARD, *BACKWARD), {"length": 30, "per_element": 4, "region": "1:1-2,000"}
    found, again = (embeddings.windows(toy, reference, **how) for _ in range(2))
    table = found.table
    assert list(table.columns) == ["chrom", "start", "end", "strand", "element", "gene", "gc"]
    spans = sorted(zip(table["start"], table["end"], strict=True))
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    allowed = by_hand(toy, reference, embeddings.ELEMENTS, 30, 1.0)
    for row, text in zip(table.to_dict("records"), found.sequences, strict=True):
        assert row["start"] in allowed[row["element"]]
        forward = reference.fetch(Interval("1", row["start"], row["end"])).sequence
        assert text == (reverse_complement(forward) if row["strand"] == "-" else forward)
        assert row["gc"] == gc(text) and "N" not in text
        if row["element"] == "CDS":
            assert (row["gene"], row["strand"]) == (("A", "+") if row["start"] < 900 else ("B", "-"))
        if row["element"] == "intergenic":
            assert row["gene"] == ""
    # Exons end at 660 and begin at 500, 600 and 700: an intron of A or B that neither covers with an exon.
    assert set(table.loc[table["element"] == "intron", "gene"]) <= {"A", "B", "A, B"}
    pd.testing.assert_frame_equal(again.table, table)
    assert again.sequences == found.sequences
    other = embeddings.windows(toy, reference, seed=1, **how)
    assert other.table["start"].tolist() != table["start"].tolist()


def test_windows_are_drawn_evenly_until_none_is_left():
    # 100 starts, windows of 10: whatever is drawn, at least 5 and at most 10 fit, and no gap of 10 free starts is left.
    runs = [np.array([[0, 60], [200, 240]]), np.array([[995, 1_011]])]
    for seed in range(20):
        taken = [[], [1_000]]
        found = places.apart(runs, 100, 10, taken, np.random.default_rng(seed))
        assert (1, 1_010) in found  # the only start on the second contig that the taken window leaves
        assert taken[1] == [1_000, 1_010]
        first = sorted(start for contig, start in found if contig == 0)
        assert first == taken[0] and all(b - a >= 10 for a, b in itertools.pairwise(first))
        for start in [*range(60), *range(200, 240)]:
            assert any(abs(start - held) < 10 for held in first)
    runs, draws = [np.array([[0, 2], [50, 58]])], map(np.random.default_rng, range(600))
    starts = [places.apart(runs, 1, 5, [[]], rng)[0][1] for rng in draws]
    assert abs(np.mean(np.array(starts) < 2) - 0.2) < 0.06  # 3.7 standard errors
    assert set(starts) == {0, 1, *range(50, 58)}


def test_what_could_not_be_found_is_said_and_every_annotated_contig_looked_at(reference):
    toy, names = annotated(*FORWARD), ["CDS", "three_prime_utr", "intron"]
    found = embeddings.windows(toy, reference, elements=names, length=60, per_element=3, region="1:1-2000")
    counts = found.counts.set_index("element")
    assert list(counts.index) == names and (counts["asked"] == 3).all()
    assert counts.loc["three_prime_utr", "found"] == 1  # 80 bp hold one window of 60
    assert "Fewer windows than the 3 asked for of an element: " in found.note
    means = found.table.groupby("element")["gc"].mean()
    assert f"Share of G and C: CDS {means['CDS']:.2f}" in found.note
    assert "three_prime_utr 1" in found.note and "three_prime_utr 1" in repr(found)
    # An element that the others cover whole has none, and is counted.
    how = {"length": 20, "per_element": 2, "region": "1:1-2000"}
    covered = embeddings.windows(toy, reference, elements=("exon", "CDS", "intron"), **how)
    assert covered.counts.set_index("element").loc["CDS", "found"] == 0 and "CDS 0" in covered.note
    more = [("chr2", "C", (20, 180)), ("7", "D", (5, 9))]
    toy = annotated(*FORWARD, *(one for chrom, name, at in more for one in gene(chrom, "+", name, [at], [at])))
    found = embeddings.windows(toy, reference, elements=("CDS",), length=40, per_element=50)
    assert set(found.table["chrom"]) == {"1", "chr2"} and "Contigs without bases in toy.fa: 7." in found.note
    with pytest.raises(ValueError, match=r"and in the reference; toy has 9, toy.fa has chr1, chr2"):
        embeddings.windows(annotated(*gene("9", "+", "D", [(5, 90)], [(5, 90)])), reference)
    exons = [(0, 10), (900, 910)]
    both = annotated(*(one for strand, name in ("+A", "-B") for one in gene("1", strand, name, exons, [(0, 10)])))
    how = {"elements": ("intron",), "length": 20, "per_element": 20, "region": "1:1-950"}
    found = embeddings.windows(both, reference, **how)
    assert set(found.table["strand"]) == {"+", "-"} and set(found.table["gene"]) == {"A, B"}


@pytest.mark.parametrize(("given", "message"), [
    ({"elements": ()}, r"one or more, each once; received \[\]"),
    ({"elements": ("CDS", "CDS")}, r"each once; received \['CDS', 'CDS'\]"),
    ({"elements": ("enhancer",)}, "must be one of those in toy: .*received 'enhancer'"),
    ({"length": 0}, "at least 1, .*received length=0"),
    ({"per_element": 0}, "per_element=0"),
    ({"share": 0.5}, "share above 0.5 and at most 1, .*share=0.5"),
    ({"share": 1.1}, "share=1.1"),
    ({"length": 1_500}, "room for a window of 1,500 bp"),
    ({"region": "1:1,401-1,430", "length": 20}, "room for a window of 20 bp in .*:1,401-1,430 with share=1"),
    ({"region": "1:5-9"}, "so short a region with share=1"),
    ({"region": "1:3,000-4,000"}, "on its contig; received 1:3,000-4,000, and the contig ends at 2,000"),
])  # fmt: skip
def test_windows_that_cannot_be_are_refused(reference, given, message):
    with pytest.raises(ValueError, match=message):
        embeddings.windows(annotated(*FORWARD), reference, **{"length": 30, **given})


def test_windows_are_matched_by_gc_and_grouped_by_place():
    found = made(["GGAA", "GGAA", "GGAA", "GGGA", "CCTT", "TTTT", "CCCT"], ["CDS"] * 4 + ["intron"] * 3)
    matched = found.gc_matched(width=0.1)
    assert matched.table.groupby("element")["gc"].apply(sorted).tolist() == [[0.5, 0.75]] * 2
    assert [gc(text) for text in matched.sequences] == matched.table["gc"].tolist()
    shares = "Share of G and C: CDS 0.62, intron 0.62."
    assert matched.note == f"Matched by G and C in bins of 0.1: 2 of each. {shares}"
    assert matched.settings["gc_matched"] == {"width": 0.1, "seed": 0}
    with pytest.raises(ValueError, match=r"every element; with a width of 0.05 none .*CDS 1.00, intron 0.00"):
        made(["GGGG", "AAAA"], ["CDS", "intron"]).gc_matched()
    with pytest.raises(ValueError, match="above 0 and at most 1; received 0"):
        found.gc_matched(width=0)
    found = made(["ACGT"] * 3, ["CDS"] * 3, starts=[10, 249_999, 250_000])
    assert found.groups.tolist() == ["1:0", "1:0", "1:1"]
    with pytest.raises(ValueError, match="for each of one row or more; received 3 rows .* 2 sequences"):
        embeddings.Windows(found.table, found.sequences[:2], 3)
