"""Elements beyond genes: regulatory regions under the paper's names, tables, CpG islands, and one annotation of several."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ntviz import annotation, data
from ntviz.annotation import REGULATORY, Annotation
from ntviz.genome import Interval
from ntviz.genome.sequence import reverse_complement
from ntviz.reference import Reference


def elements(found: Annotation) -> list[tuple[str, int, int]]:
    return list(found.table[["element", "start", "end"]].itertuples(index=False, name=None))


ORDER = ["promoter", "enhancer", "enhancer", "CTCF_binding_site", "open_chromatin", "open_chromatin"]


@pytest.mark.parametrize(
    "classes", ["CTCF-only,CTCF-bound DNase-H3K4me3 DNase-only", "CA-CTCF CA-H3K4me3 CA"], ids=["V3", "V4"]
)
def test_ccres_under_the_names_of_the_paper(tmp_path, classes):
    path = tmp_path / "cCREs.bed"
    every = enumerate(["PLS,CTCF-bound", "pELS", "dELS,CTCF-bound", *classes.split()])
    path.write_text(
        "".join(f"chr1\t{10 * n}\t{10 * n + 10}\tEH38D000000{n}\tEH38E000000{n}\t{name}\n" for n, name in every)
    )
    assert annotation.read(path, rename=REGULATORY).table["element"].tolist() == ORDER
    plain = annotation.read(path).table[["element", "name"]].values.tolist()
    assert plain[:2] == [["PLS", "EH38E0000000"], ["pELS", "EH38E0000001"]]
    # What is elsewhere is known under its new name too.
    near = annotation.read(path, rename=REGULATORY, within=Interval("1", 12, 15))
    assert near.table["element"].tolist() == ["enhancer"] and set(near.kinds) == set(ORDER)


@pytest.mark.parametrize("extra", ["\tAll-data/Full-classification", "\tdELS\t2.2\tenhD\tE1\tdistal enhancer"])
def test_ccres_in_nine_columns_and_more(tmp_path, extra):
    path = tmp_path / "ENCFF420VPZ.bed"
    path.write_text(f"chr1\t5\t9\tEH38E0000009\t224\t.\t5\t9\t255,205,0\tdELS,CTCF-bound{extra}\n")
    found = annotation.read(path, rename=REGULATORY)
    assert elements(found) == [("enhancer", 5, 9)] and found.table["name"].tolist() == ["EH38E0000009"]


def test_regulatory_build_of_ensembl(tmp_path):
    features = "enhancer promoter CTCF_binding_site open_chromatin_region TF_binding_site promoter_flanking_region"
    path = tmp_path / "build.gff.gz.gff"
    lines = (
        f"20\tRegulatory_Build\t{kind}\t{10 * n + 1}\t{10 * n + 10}\t.\t.\t.\tID={kind}:ENSR{n};feature_type=x\n"
        for n, kind in enumerate(features.split())
    )
    path.write_text("".join(lines))
    found = annotation.read(path, rename=REGULATORY)
    assert found.kinds == tuple(features.replace("_region TF", " TF").split())
    inside = found.indicator(Interval("chr20", 28, 42), "open_chromatin")
    assert inside.tolist() == [False] * 2 + [True] * 10 + [False] * 2


def places(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"chrom": ["1", "chr2"], "start": [0, 5], "end": [3, 9], **columns})


def test_a_table_is_an_annotation():
    found = annotation.from_table(
        places(element=["a", "b"], strand=["-", None], name=["x", np.nan], score=[1, 2]), kinds=["c"], note="By hand."
    )
    assert found.kinds == ("c", "a", "b") and found.table["strand"].tolist() == ["-", "."]
    assert found.table["name"].tolist() == ["x", ""] and found.note == "By hand."
    assert found.within(Interval("2", 0, 9)).note == "By hand."
    assert found.indicator(Interval("2", 4, 7), "b").tolist() == [False, True, True]
    assert not found.indicator(Interval("2", 4, 7), "c").any()

    # Nothing is derived in a table, which may be empty.
    found = annotation.from_table(places(), element="exon")
    assert found.kinds == found.within(Interval("1", 0, 2)).kinds == ("exon",)
    found = annotation.from_table(places().iloc[:0], element="peak")
    assert (len(found), found.kinds, len(found.elements("peak"))) == (0, ("peak",), 0)
    stated = annotation.from_table(places(), element="intergenic")
    assert stated.indicator(Interval("1", 0, 5), "intergenic").tolist() == [True] * 3 + [False] * 2
    assert len(stated.elements()) == 2


@pytest.mark.parametrize(("table", "message"), [
    (places(), r"lacks element\. Name its columns so, or pass element="),
    (pd.DataFrame({"chrom": ["1"], "begin": [1], "end": [2], "element": "a"}), r"it lacks start\. Name"),
    (places(element="a", strand=["+", "x"]), r"must have the strand \+, - or \.; received chr2 5 9 x, 1 of 2 rows"),
    (places(element="a").assign(start=3.5), r"start of an element must be an integer, 0-based; received float64 such as 3\.5"),
    (places(element="a").assign(end=[3, 5]), r"hold a base.*received chr2 5 5 \., 1 of 2 rows"),
    (places(element="a").assign(start=-1), r"start at 0 or later; received 1 -1 3 \., 2 of 2 rows"),
    (places(element="a").assign(chrom=["1", ""]), r"must name its contig; received  5 9"),
])  # fmt: skip
def test_a_table_must_be_in_order(table, message):
    with pytest.raises(ValueError, match=message):
        annotation.from_table(table)


@pytest.fixture
def several(tmp_path):
    for name, strand, rows in (
        ("A", "+", [("transcript", 101, 300), ("exon", 101, 150), ("exon", 201, 300)]),
        ("B", "-", [("exon", 401, 420), ("exon", 441, 460), ("intron", 421, 430)]),
    ):
        names = f'gene_id "{name}"; transcript_id "{name}";'
        text = "".join(f"chr1\tt\t{kind}\t{a}\t{b}\t.\t{strand}\t.\t{names}\n" for kind, a, b in rows)
        (tmp_path / f"{name.lower()}.gtf").write_text(text + "broken\n")
    table = pd.DataFrame({"chrom": ["1", "2"], "start": [10, 0], "end": [20, 5], "element": ["promoter", "exon"]})
    peaks = annotation.from_table(table, note="By hand.")
    return annotation.read(tmp_path / "a.gtf"), annotation.read(tmp_path / "b.gtf"), peaks


def test_the_elements_of_several_are_the_union(several):
    both = annotation.combine(*several)
    assert set(both.kinds) == {kind for part in several for kind in part.kinds}
    assert len(both) == sum(len(part) for part in several)
    region = Interval("chr1", 0, 600, "-")
    for kind in set(both.kinds) - {"intergenic"}:
        union = np.any([part.indicator(region, kind) for part in several if kind in part.kinds], axis=0)
        assert (both.indicator(region, kind) == union).all(), kind
    outside = np.all([part.indicator(region, "intergenic") for part in several[:2]], axis=0)
    assert (both.indicator(region, "intergenic") == outside).all()
    # What one derives another states: the file's intron, not the gap between its exons.
    assert both.elements("intron")[["start", "end"]].values.tolist() == [[150, 200], [420, 430]]
    # A transcript that the second has no line of begins where its last exon ends.
    assert both.elements("promoter")[["start", "end"]].values.tolist() == [[0, 200], [360, 1460]]


def test_parts_broken_lines_and_notes_of_several_are_kept(several):
    both = annotation.combine(annotation.combine(*several[:2]), several[2])
    near = both.within(Interval("1", 390, 600))
    assert near.kinds == both.kinds
    assert near.elements("intron")[["start", "end"]].values.tolist() == [[420, 430]]
    assert both.gene("A").label() == "chr1:101-300(+)"
    assert both.genes(Interval("1", 0, 200))["gene"].tolist() == ["A"]
    both = annotation.combine(*several)
    assert both.broken[["line", "source"]].values.tolist() == [[4, "a.gtf"], [4, "b.gtf"]] and both.lines == 10
    assert both.note == " ".join(part.note for part in several) and both.note.count("could not be read") == 2
    assert both.source == "a.gtf and b.gtf and the table"
    again = annotation.combine(both, several[2])
    assert again.broken["source"].tolist() == ["a.gtf", "b.gtf"] and annotation.combine(several[2]).broken.empty
    with pytest.raises(ValueError, match=r"There must be an annotation to combine; received none"):
        annotation.combine()
    with pytest.raises(TypeError, match=r"combine takes Annotations; received DataFrame\. Read files"):
        annotation.combine(pd.DataFrame())


def passing_bases(sequence: str, length: int, gc: tuple[int, int], ratio: tuple[int, int]) -> list[bool]:
    """The definition, window by window; the limits are fractions."""
    inside = [False] * len(sequence)
    for start in range(len(sequence) - length + 1):
        window = sequence[start : start + length]
        c, g, cpg = window.count("C"), window.count("G"), window.count("CG")
        dense = c * g > 0 and cpg * length * ratio[1] >= ratio[0] * c * g
        if "N" not in window and (c + g) * gc[1] >= gc[0] * length and dense:
            inside[start : start + length] = [True] * length
    return inside


def random_sequence(generator: random.Random, length: int) -> str:
    """Bases whose composition changes along the way, with an N now and then."""
    parts: list[str] = []
    while sum(map(len, parts)) < length:
        weak = generator.choice([1, 2, 4])
        letters = "AT" * weak + "CG" * 2 + ("N" if generator.random() < 0.05 else "")
        parts.append("".join(generator.choices(letters, k=generator.randrange(5, 60))))
        parts.append("CG" * generator.randrange(0, 4))
    return "".join(parts)[:length]


@pytest.mark.parametrize("seed", range(8))
def test_islands_equal_brute_force(seed):
    generator = random.Random(seed)
    sequence = random_sequence(generator, 1500)
    length = generator.choice([2, 7, 20, 60])
    gc = generator.choice([(1, 2), (11, 20), (3, 4)])
    ratio = generator.choice([(0, 1), (3, 5), (13, 20), (1, 1)])
    limits = {"length": length, "gc": gc[0] / gc[1], "ratio": ratio[0] / ratio[1]}
    place = Interval("chr20", 1000, 1000 + len(sequence))
    found = annotation.cpg_islands(sequence, place, **limits)
    assert found.indicator(place, "cpg_island").tolist() == passing_bases(sequence, length, gc, ratio)
    assert (found.table["end"] - found.table["start"] >= length).all()
    # The other strand has the same islands at the same places.
    turned = annotation.cpg_islands(reverse_complement(sequence), replace(place, strand="-"), **limits)
    pd.testing.assert_frame_equal(turned.table, found.table)


def test_islands_at_the_seams_of_pieces_at_exactly_the_limits_and_none(monkeypatch):
    def islands(sequence, **limits):
        found = annotation.cpg_islands(sequence, Interval("1", 0, len(sequence)), **limits)
        assert found.kinds == ("cpg_island",)
        return len(found)

    # 11 of 20 bases are C or G, and 0.55 * 20 is more than 11 in floating point.
    sequence = "CG" * 5 + "C" + "A" * 9
    assert (islands(sequence, length=20, gc=0.55), islands(sequence, length=20, gc=0.56)) == (1, 0)
    assert islands("CG" * 50) == islands("N" * 500) == islands("A" * 500, gc=0, ratio=0) == 0
    sequence = random_sequence(random.Random(5), 3000)
    place = Interval("chr20", 0, len(sequence))
    whole = annotation.cpg_islands(sequence, place, length=30)
    assert len(whole) > 3
    monkeypatch.setattr("ntviz.annotation.from_bases._PIECE", 17)
    pd.testing.assert_frame_equal(annotation.cpg_islands(sequence, place, length=30).table, whole.table)


@pytest.mark.parametrize(("sequence", "options", "message"), [
    ("ACG", {}, r"as long as its interval; received 3 bases for chr1:1-4, which has 4"),
    ("ACgT", {}, r"upper-case A, C, G, T, N; received \['g'\] too"),
    ("ACGé", {}, r"upper-case A, C, G, T, N; received \['é'\] too"),
    ("ACGT", {"length": 1}, r"length of at least 2 bp.*received length=1, gc=0\.5, ratio=0\.6"),
    ("ACGT", {"gc": 50}, r"between 0 and 1.*received length=200, gc=50"),
    ("ACGT", {"ratio": -1}, r"ratio of 0 or more; received .*ratio=-1"),
])  # fmt: skip
def test_islands_need_bases_and_limits(sequence, options, message):
    with pytest.raises(ValueError, match=message):
        annotation.cpg_islands(sequence, Interval("chr1", 0, 4), **options)


def test_real_islands_lie_at_starts_of_genes():
    reference = Reference(data.bundle("chr20"))
    region = Interval("20", 30_000_000, 40_000_000)
    islands = annotation.cpg_islands(reference.fetch(region).sequence, region)
    starts = annotation.read(data.bundle("genes"), within=region).elements("promoter")
    starts = starts[(starts["start"] >= region.start) & (starts["end"] <= region.end)]
    ends = list(starts[["start", "end"]].itertuples(index=False, name=None))

    def share(moved):
        places = [Interval("20", start + moved, end + moved) for start, end in ends]
        return np.mean([islands.indicator(place, "cpg_island").any() for place in places])

    assert len(starts) > 50 and share(0) > 0.6 and share(0) > 2 * max(share(-50_000), share(50_000))
    sizes = islands.table["end"] - islands.table["start"]
    assert 0.02 < sizes.sum() / len(region) < 0.15


@pytest.fixture
def own(tmp_path):
    """A folder of files as people have them."""
    for name, text in {
        "peaks.bed": "1\t9\t20\tpeak1\n1\t40\t60\tpeak2\n",
        "run2/peaks.bed": "1\t9\t20\n",
        "run3/peaks.bed": "1\t9\t20\n",
        "a_peaks.narrowPeak": "1\t100\t500\tp1\t10\t.\t5\t4\t3\t60\nbroken\n",
        "states.bed": "1\t0\t9\topen\n1\t9\t20\tclosed\n1\t20\t30\topen\n1\t30\t40\tclosed\n",
        "build.gff": "1\tx\tenhancer\t1\t10\t.\t.\t.\tID=a\n1\tx\topen_chromatin_region\t21\t30\t.\t.\t.\tID=b\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_own_files_are_elements_by_name_and_names_that_are_given_are_kept(own):
    assert list(annotation.named(own / "peaks.bed")) == ["peaks"]
    assert list(annotation.named(str(own / "build.gff"))) == ["enhancer", "open_chromatin"]
    files = [own / f"{name}.bed" for name in ("peaks", "run2/peaks", "run3/peaks", "states")]
    found = annotation.named(files)
    assert list(found) == ["peaks", "peaks (peaks.bed)", "peaks (run3/peaks.bed)", "open", "closed"]
    rows = found["open"].table[["start", "end", "name"]].to_numpy().tolist()
    assert (rows, found["open"].kinds) == ([[0, 9, "open"], [20, 30, "open"]], ("open",))
    taken = list(annotation.named(own / "build.gff", taken=["enhancer"]))
    assert taken == ["enhancer (build.gff)", "open_chromatin"]
    peaks = annotation.named(own / "a_peaks.narrowPeak")["a_peaks"]
    assert peaks.table[["start", "end", "name"]].to_numpy().tolist() == [[100, 500, "p1"]]
    assert "1 of 2 lines of a_peaks.narrowPeak could not be read" in peaks.note
    whole = annotation.read(own / "build.gff")
    found = annotation.named({"mine": own / "states.bed", "theirs": whole}, taken=["mine"])
    sizes = {name: (len(one), one.kinds) for name, one in found.items()}
    assert sizes == {"mine": (4, ("mine",)), "theirs": (2, ("theirs",))}
    assert annotation.named(()) == annotation.named({}) == {}
    with pytest.raises(TypeError, match="received int. Pass a path, a list of paths or a dict"):
        annotation.named([7])  # type: ignore[list-item]
    with pytest.raises(FileNotFoundError, match=r"nowhere\.bed"):
        annotation.named(own / "nowhere.bed")
