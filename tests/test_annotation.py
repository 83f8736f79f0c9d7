"""Annotations: each format to the same elements, brute force beside the arrays, and every broken line counted."""

from __future__ import annotations

import gzip
import itertools
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntviz import annotation, data
from ntviz.annotation import Annotation
from ntviz.annotation.elements import COLUMNS
from ntviz.genome import Interval

# One gene of two exons on each strand; 1-based closed. A: 101-200 and 301-400, CDS 151-200 and 301-350.
TOY_GTF = """\
#!genome-build toy
chr1\tt\tgene\t101\t400\t.\t+\t.\tgene_id "G1.2"; gene_name "A";
chr1\tt\ttranscript\t101\t400\t.\t+\t.\tgene_id "G1.2"; gene_name "A"; transcript_id "T1";
chr1\tt\texon\t101\t200\t.\t+\t.\tgene_id "G1.2"; gene_name "A"; transcript_id "T1";
chr1\tt\texon\t301\t400\t.\t+\t.\tgene_id "G1.2"; gene_name "A"; transcript_id "T1";
chr1\tt\tCDS\t151\t200\t.\t+\t0\tgene_id "G1.2"; gene_name "A"; transcript_id "T1"; origin "longest ATG ORF";
chr1\tt\tCDS\t301\t350\t.\t+\t1\tgene_id "G1.2"; gene_name "A"; transcript_id "T1";
chr1\tt\tUTR\t101\t150\t.\t+\t.\tgene_id "G1.2"; gene_name "A"; transcript_id "T1";
chr1\tt\tUTR\t351\t400\t.\t+\t.\tgene_id "G1.2"; gene_name "A"; transcript_id "T1";
chr1\tt\tgene\t601\t900\t.\t-\t.\tgene_id "G2"; gene_name "B";
chr1\tt\ttranscript\t601\t900\t.\t-\t.\tgene_id "G2"; gene_name "B"; transcript_id "T2";
chr1\tt\texon\t801\t900\t.\t-\t.\tgene_id "G2"; gene_name "B"; transcript_id "T2";
chr1\tt\texon\t601\t700\t.\t-\t.\tgene_id "G2"; gene_name "B"; transcript_id "T2";
chr1\tt\tCDS\t801\t850\t.\t-\t0\tgene_id "G2"; gene_name "B"; transcript_id "T2";
chr1\tt\tUTR\t851\t900\t.\t-\t.\tgene_id "G2"; gene_name "B"; transcript_id "T2";
chr1\tt\tUTR\t601\t700\t.\t-\t.\tgene_id "G2"; gene_name "B"; transcript_id "T2";
"""

TOY_GFF3 = """\
##gff-version 3
chr1\tt\tgene\t101\t400\t.\t+\t.\tID=gene:G1;Name=A;gene_id=G1.2
chr1\tt\tmRNA\t101\t400\t.\t+\t.\tID=transcript:T1;Parent=gene:G1;transcript_id=T1
chr1\tt\texon\t101\t200\t.\t+\t.\tID=e1;Parent=transcript:T1
chr1\tt\texon\t301\t400\t.\t+\t.\tID=e2;Parent=transcript:T1
chr1\tt\tCDS\t151\t200\t.\t+\t0\tID=c1;Parent=transcript:T1;origin=longest%20ATG%20ORF
chr1\tt\tCDS\t301\t350\t.\t+\t1\tID=c1;Parent=transcript:T1
chr1\tt\tfive_prime_UTR\t101\t150\t.\t+\t.\tParent=transcript:T1
chr1\tt\tthree_prime_UTR\t351\t400\t.\t+\t.\tParent=transcript:T1
chr1\tt\tgene\t601\t900\t.\t-\t.\tID=gene:G2;Name=B
chr1\tt\tlnc_RNA\t601\t900\t.\t-\t.\tID=transcript:T2;Parent=gene:G2
chr1\tt\texon\t801\t900\t.\t-\t.\tParent=transcript:T2
chr1\tt\texon\t601\t700\t.\t-\t.\tParent=transcript:T2
##FASTA
>chr1
ACGT
"""

TOY_BED = (
    "track name=toy\n"
    "chr1\t100\t400\tA\t0\t+\t150\t350\t0\t2\t100,100,\t0,200,\n"
    "chr1\t600\t900\tB\t0\t-\t800\t850\t0\t2\t100,100\t0,200\n"
)


def write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture
def toy(tmp_path):
    return annotation.read(write(tmp_path / "toy.gtf", TOY_GTF))


def stretches(found: Annotation, element: str) -> list[tuple[int, int]]:
    table = found.elements(element)
    return list(zip(table["start"], table["end"], strict=True))


def table_of(*rows: tuple[str, int, int, str, str, str, str]) -> pd.DataFrame:
    """Rows (chrom, start, end, strand, element, gene, transcript)."""
    return pd.DataFrame([(*row[:6], row[5], row[6], "", "") for row in rows], columns=list(COLUMNS))


@pytest.mark.parametrize("name", ["toy.gtf", "toy.gtf.gz", "toy.gff3", "toy.gff", "toy.bed", "toy.bed.gz"])
def test_each_format_gives_the_same_elements(tmp_path, name):
    text = TOY_GTF if ".gtf" in name else TOY_BED if ".bed" in name else TOY_GFF3
    found = annotation.read(write(tmp_path / name, text))
    assert len(found.broken) == 0 and found.note == ""
    assert stretches(found, "exon") == [(100, 200), (300, 400), (600, 700), (800, 900)]
    assert stretches(found, "intron") == [(200, 300), (700, 800)]
    assert stretches(found, "CDS")[:2] == [(150, 200), (300, 350)]
    assert stretches(found, "five_prime_utr")[0] == (100, 150)
    assert stretches(found, "three_prime_utr")[0] == (350, 400)
    assert found.gene("A") == Interval("chr1", 100, 400, "+") and found.tss("B") == ("chr1", 899, "-")
    if ".gff" not in name:
        assert stretches(found, "CDS")[2:] == [(800, 850)]
        assert stretches(found, "five_prime_utr")[1:] == [(850, 900)]
        assert stretches(found, "three_prime_utr")[1:] == [(600, 700)]


def test_tables_of_gtf_and_gff3(tmp_path, toy):
    assert tuple(toy.table.columns) == (*COLUMNS, "phase", "incomplete")
    expected = ["chr1", 150, 200, "+", "CDS", "A", "G1.2", "T1", "", "longest ATG ORF", 0, ""]
    assert toy.table[toy.table["element"] == "CDS"].iloc[0].tolist() == expected
    table = annotation.read(write(tmp_path / "toy.gff3", TOY_GFF3)).table
    assert table[table["element"] == "CDS"].iloc[0].tolist() == expected
    # The names come from the parents.
    exons = table[table["element"] == "exon"][["gene", "gene_id", "transcript"]].values.tolist()
    assert exons == [["A", "G1.2", "T1"]] * 2 + [["B", "gene:G2", "transcript:T2"]] * 2


@pytest.mark.parametrize(("name", "lines", "rows"), [
    # Children before their parents, and one exon of two transcripts.
    ("a.gff3", ["exon Parent=t1,t2", "mRNA ID=t1;Parent=g", "mRNA ID=t2;Parent=g", "gene ID=g;Name=a%2Cb"],
     [["exon", "a,b", "g", "t1"], ["exon", "a,b", "g", "t2"], ["transcript", "a,b", "g", "t1"], ["transcript", "a,b", "g", "t2"],
      ["gene", "a,b", "g", ""]]),
    # Parents in a circle.
    ("a.gff3", ["mRNA ID=a;Parent=b", "mRNA ID=b;Parent=a"], [["transcript", "a", "a", "a"], ["transcript", "b", "b", "b"]]),
    ("a.gtf", ['exon ref_gene_id "X"; gene_id 7157; transcript_id "a;b";'], [["exon", "7157", "7157", "a;b"]]),
    # Without CDS, UTR stays UTR.
    ("a.gtf", ['UTR gene_id "X"; transcript_id "T";'], [["UTR", "X", "X", "T"]]),
])  # fmt: skip
def test_small_files(tmp_path, name, lines, rows):
    parts = (line.partition(" ") for line in lines)
    text = "".join(f"1\tt\t{kind}\t1\t10\t.\t+\t.\t{attributes}\n" for kind, _, attributes in parts)
    table = annotation.read(write(tmp_path / name, text)).table
    assert table[["element", "gene", "gene_id", "transcript"]].values.tolist() == rows


def test_beds_of_regions(tmp_path):
    path = write(tmp_path / "a.bed", "browser hide all\n#x\nchr1 0 10\nchr1\t5\t20\tpeak\t7.5\t-\n")
    found = annotation.read(path)
    assert found.table["element"].tolist() == ["region", "region"]
    assert found.table["name"].tolist() == ["", "peak"] and found.kinds == ("region",)
    assert annotation.read(path, element="peak").kinds == ("peak",)
    assert len(annotation.read(path.rename(tmp_path / "peaks.txt"), format="bed")) == 2
    assert found.genes(Interval("chr1", 0, 100)).empty


def test_only_within_an_interval(tmp_path, toy):
    path = write(tmp_path / "toy.gtf", TOY_GTF)
    region = Interval("1", 700, 850)
    found = annotation.read(path, within=region)
    pd.testing.assert_frame_equal(found.table, toy.within(region).table)
    nothing = annotation.read(path, within=Interval("chr2", 0, 10))
    assert len(nothing) == 0 and set(nothing.kinds) == set(toy.kinds)
    assert not nothing.indicator(Interval("chr2", 0, 10), "exon").any()


GOOD = '1\tt\texon\t1\t10\t.\t+\t.\tgene_id "X";\n'


@pytest.mark.parametrize(("name", "line", "reason"), [
    ("a.gtf", "1\tt\texon\t1\t10", "it must have 9 columns separated by tabs and has 5"),
    ("a.gtf", '1\tt\texon\tone\t10\t.\t+\t.\tgene_id "X";', "the start must be an integer and is 'one'"),
    ("a.gtf", '1\tt\texon\t1\t1.5e0\t.\t+\t.\tgene_id "X";', "the end must be an integer and is '1.5e0'"),
    ("a.gtf", '1\tt\texon\t11\t10\t.\t+\t.\tgene_id "X";', "not after the end, and they are 11 and 10"),
    ("a.gtf", '1\tt\texon\t0\t10\t.\t+\t.\tgene_id "X";', "the start must be at least 1"),
    ("a.gtf", '1\tt\texon\t1\t10\t.\t*\t.\tgene_id "X";', r"the strand must be \+, - or \. and is '\*'"),
    ("a.gtf", '1\tt\texon\t1\t10\t.\t+\t.\texon_id "X";', "the attributes must name a gene_id or transcript_id and do not"),
    ("a.gtf", '\tt\texon\t1\t10\t.\t+\t.\tgene_id "X";', "the contig must have a name"),
    ("a.gff3", '1\tt\texon\t1\t10\t.\t+\t.\tgene_id "X"', "the attributes must be key=value"),
    ("a.bed", "chr1\t10", "it must have at least 3 columns and has 2"),
    ("a.bed", "chr1\t10\t10", "before the end, and they are 10 and 10"),
    ("a.bed", "chr1\t-1\t10", "the start must be at least 0"),
    ("a.bed", "chr1\t1\t10\tx\t0\tplus", r"the strand must be \+, - or \. and is 'plus'"),
    ("a.bed", "chr1\t1\t10\tx\t0\t+\t1\t1\t0\t2\t5\t0", "it must have 2 block sizes and starts and has 1 and 1"),
    ("a.bed", "chr1\t1\t10\tx\t0\t+\t1\t1\t0\t1\t5\t0", "blocks must begin at 1 and end at 10, and they go from 1 to 6"),
    ("a.bed", "chr1\t1\t10\tx\t0\t+\t1\t1\t0\t1\tfive\t0", "the block must be an integer"),
])  # fmt: skip
def test_broken_line_is_counted_with_its_number(tmp_path, name, line, reason):
    good = {"a.gtf": GOOD, "a.gff3": "1\tt\texon\t1\t10\t.\t+\t.\tID=e\n", "a.bed": "chr1\t1\t10\n"}[name]
    path = write(tmp_path / name, f"# a comment\n{good}{line}\n{good}")
    found = annotation.read(path)
    assert len(found) == 2 and found.broken["line"].tolist() == [3] and found.broken["text"].tolist() == [line]
    assert found.lines == 3
    assert found.note.startswith(f"1 of 3 lines of {name} could not be read; the first, line 3: ")
    with pytest.raises(ValueError, match=rf"Line 3 of {name} must be a feature, but .*{reason}"):
        annotation.read(path, on_error="raise")


@pytest.mark.parametrize(("name", "content", "options", "message"), [
    ("a.gtf", "chr1\t1\t2\nchr1\t3\t4\n", {}, "none of 2 can be read; line 1: it must have 9 columns"),
    ("a.gtf", "#only a comment\n\n", {}, "a.gtf must hold at least one feature"),
    ("a.gtf", GOOD, {"on_error": "ignore"}, "on_error must be 'collect' or 'raise'; received 'ignore'"),
    ("a.gtf", GOOD, {"element": "exon"}, "element is for BED files; a.gtf is GTF"),
    ("peaks.txt", "chr1\t0\t10\n", {}, r"must be GTF, GFF3 or BED; the name peaks.txt says neither\. Rename it, or pass format="),
    ("peaks.txt", "chr1\t0\t10\n", {"format": "vcf"}, "format='vcf' is none of them"),
])  # fmt: skip
def test_what_cannot_be_read(tmp_path, name, content, options, message):
    with pytest.raises(ValueError, match=message):
        annotation.read(write(tmp_path / name, content), **options)


def test_files_that_are_missing_cut_off_or_no_text_and_missing_columns(tmp_path):
    random_lines = "".join(GOOD.replace("X", str(number * 7919 % 10007)) for number in range(2_000))
    content = gzip.compress(random_lines.encode())
    (tmp_path / "a.gtf.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"a.gtf.gz must be a whole gzip file, but reading it ended after"):
        annotation.read(tmp_path / "a.gtf.gz")
    with pytest.raises(FileNotFoundError, match=r"absent.gtf, and there is none"):
        annotation.read(tmp_path / "absent.gtf")
    with pytest.raises(ValueError, match=r"the table lacks gene, gene_id"):
        Annotation(pd.DataFrame(columns=[column for column in COLUMNS if not column.startswith("gene")]))
    (tmp_path / "a.gtf").write_bytes(GOOD.encode() + b"1\tt\texon\t1\t\xff\t.\t+\t.\tgene_id\n")
    assert annotation.read(tmp_path / "a.gtf").broken["line"].tolist() == [2]


def test_a_gene_may_begin_before_its_transcripts(toy):
    for name in ("A", "a", "G1.2", "G1", "g1"):
        assert toy.gene(name) == Interval("chr1", 100, 400, "+") and toy.tss(name) == ("chr1", 100, "+")
    parts = (
        (100, 900, "gene", ""),
        (300, 600, "transcript", "A.1"),
        (500, 600, "exon", "A.1"),
        (300, 400, "exon", "A.1"),
    )
    rows = table_of(*(("1", start, end, "-", kind, "A", name) for start, end, kind, name in parts))
    found = Annotation(rows.assign(gene_id="ENSG00000000001.4"))
    for name in ("A", "ENSG00000000001", "ENSG00000000001.4", "ensg00000000001.12"):
        assert found.gene(name) == Interval("1", 100, 900, "-") and found.tss(name) == ("1", 599, "-")
    whole = Interval("1", 0, 1000)
    assert found.indicator(whole, "intergenic").sum() == 200
    promoter = found.indicator(whole, "promoter", promoter=(3, 1))
    assert np.flatnonzero(promoter).tolist() == [599, 600, 601, 602]
    # Where none of the transcripts is, the gene does not start either.
    assert not found.within(Interval("1", 700, 900)).indicator(Interval("1", 890, 910), "promoter").any()
    # Other identifiers may have dots of their own.
    with pytest.raises(ValueError, match=r"received 'RP11-1\.2'"):
        Annotation(rows.assign(gene_id="RP11-1", gene="RP11-1")).gene("RP11-1.2")


def test_a_transcript_is_a_place_too():
    places = [(300, 600, "transcript", 1.2), (500, 600, "exon", 1.2), (300, 400, "exon", 1.2), (120, 200, "exon", 2.1)]
    transcripts = (("1", start, end, "-", kind, "A", f"ENST0000000000{name}") for start, end, kind, name in places)
    rows = table_of(("1", 100, 900, "-", "gene", "A", ""), *transcripts)
    found = Annotation(rows.assign(gene_id="ENSG00000000001.4"))
    for name in ("ENST00000000001.2", "ENST00000000001", "enst00000000001.7"):
        assert found.gene(name) == Interval("1", 300, 600, "-") and found.tss(name) == ("1", 599, "-")
        assert found.transcripts(name)["exons"].tolist() == [((300, 400), (500, 600))]
    assert found.transcripts("A")["transcript"].tolist() == ["ENST00000000002.1", "ENST00000000001.2"]
    with pytest.raises(ValueError, match=r"received 'ENST00000000003'"):
        found.transcripts("ENST00000000003")


def test_unknown_genes_and_those_of_two_places_and_without_strand():
    genes = annotation.read(data.bundle("genes"))
    with pytest.raises(ValueError, match=r"of the 544 of chr20.*received 'HNF4'\. Nearest: HNF4A"):
        genes.gene("HNF4")
    with pytest.raises(ValueError, match=r"received ''"):
        genes.gene("")
    rows = table_of(("chrX", 0, 10, ".", "gene", "P", ""), ("chrY", 5, 9, "+", "gene", "P", ""))
    found = Annotation(rows.assign(gene_id=["one", "two"]))
    with pytest.raises(ValueError, match=r"'P' is 2: one at chrX:1-10, two at chrY:6-9"):
        found.gene("P")
    assert found.gene("two") == Interval("chrY", 5, 9, "+") and found.gene("one") == Interval("chrX", 0, 10)
    with pytest.raises(ValueError, match=r"must have one strand for a start; one of the table has none"):
        found.tss("one")


def test_genes_for_drawing(toy):
    row = {"gene": "A", "gene_id": "G1.2", "transcript": "T1", "chrom": "chr1", "start": 100, "end": 400, "strand": "+"}
    parts = {"exons": ((100, 200), (300, 400)), "cds": ((150, 200), (300, 350))}
    assert toy.genes(Interval("chr1", 150, 320)).to_dict("records") == [row | parts]
    assert toy.genes(Interval("chr1", 0, 1000))["gene"].tolist() == ["A", "B"]
    assert toy.genes(Interval("chr1", 450, 500)).empty
    bare = Annotation(table_of(("chr1", 0, 10, "+", "gene", "P", ""))).genes(Interval("chr1", 5, 6)).iloc[0]
    assert (bare["gene"], bare["start"], bare["end"], bare["exons"]) == ("P", 0, 10, ())


def test_known_answers_on_one_gene(toy):
    def bases(start, end, element, **more):
        place = Interval("chr1", start, end, more.pop("strand", "."))
        return "".join("01"[int(inside)] for inside in toy.indicator(place, element, **more))

    assert bases(95, 105, "exon") == "0000011111" and bases(95, 105, "exon", strand="-") == "1111100000"
    assert bases(95, 105, "intergenic") == "1111100000"
    assert bases(95, 105, "promoter", promoter=(3, 1)) == "0011110000"
    # Gene B starts at 899 and goes to the left: its promoter is to the right.
    assert bases(895, 905, "promoter", promoter=(3, 1)) == "0000111100"
    assert stretches(toy, "promoter") == [(0, 200), (800, 1900)]
    # Beyond the contig nothing is in an element.
    assert "1" not in bases(-10, 5, "exon") and bases(-2000, 2000, "exon").count("1") == 400


def random_annotation(seed: int) -> tuple[Annotation, list[tuple[str, int, int]]]:
    generator = random.Random(seed)
    rows = []
    for number in range(60):
        start = generator.randrange(0, 900)
        strand = generator.choice("+-")
        for _ in range(generator.randrange(1, 4)):
            end = start + generator.randrange(1, 60)
            chrom = generator.choice(["1", "chr1"])
            rows.append((chrom, start, end, strand, "exon", f"g{number}", f"t{number}"))
            start = end + generator.randrange(0, 30)
    generator.shuffle(rows)
    return Annotation(table_of(*rows)), [(row[4], row[1], row[2]) for row in rows]


@pytest.mark.parametrize("seed", range(4))
def test_arrays_and_introns_equal_brute_force(seed):
    found, rows = random_annotation(seed)
    generator = random.Random(seed + 100)
    for _ in range(30):
        start = generator.randrange(-50, 1000)
        region = Interval("NC_000001.10", start, start + generator.randrange(1, 200))
        expected = [any(left <= base < right for _, left, right in rows) for base in range(region.start, region.end)]
        assert found.indicator(region, "exon").tolist() == expected
        overlapping = [row for row in rows if row[1] < region.end and row[2] > region.start]
        inside = found.within(region).table
        assert list(zip(inside["element"], inside["start"], inside["end"], strict=True)) == overlapping
    bases: set[int] = set()
    for _, part in found.table.groupby(["chrom", "transcript"]):
        spans = sorted(zip(part["start"], part["end"], strict=True))
        for (_, end), (start, _) in itertools.pairwise(spans):
            bases.update(range(end, start))
    indicator = found.indicator(Interval("chr1", 0, 1200), "intron")
    assert bases and set(np.flatnonzero(indicator).tolist()) == bases


def test_tokens_count_when_any_base_does_and_several_elements_are_their_union(toy):
    region = Interval("chr1", 94, 108)
    spans = np.array([(0, 0), (0, 6), (6, 12), (12, 13), (13, 14)])
    assert toy.indicator(region, "exon", spans=spans).tolist() == [False, False, True, True, True]
    by_base = toy.indicator(region, "exon")
    generator = random.Random(3)
    for _ in range(50):
        start = generator.randrange(0, 14)
        end = generator.randrange(start, 15)
        assert toy.indicator(region, "exon", spans=np.array([(start, end)])).tolist() == [by_base[start:end].any()]
    region = Interval("chr1", 0, 1000)
    either = toy.indicator(region, ["CDS", "intron"])
    assert (either == (toy.indicator(region, "CDS") | toy.indicator(region, "intron"))).all()
    assert toy.indicator(region, ["gene", "intergenic"]).all()
    rows = [("chr1", start, start + 10, "+", "exon", "", "") for start in (20, 10, 0, 40)]
    assert stretches(Annotation(table_of(*rows)), "exon") == [(0, 30), (40, 50)]


def test_elements_of_all_kinds_and_those_that_cannot_be(toy):
    table = toy.elements()
    # These CDS are of 100 and 50 bp with phases: they begin with codons and do not end with one.
    assert set(table["element"]) == set(toy.kinds) - {"intergenic", "stop_codon"}
    assert list(table.columns) == ["chrom", "start", "end", "element"] and (table["start"] < table["end"]).all()
    with pytest.raises(ValueError, match=r"intergenic has none without the length of the contig"):
        toy.elements("intergenic")
    with pytest.raises(ValueError, match=r"those in toy.gtf: gene, .*received 'exons'\. Did you mean 'exon'"):
        toy.indicator(Interval("chr1", 0, 10), "exons")
    for promoter in ((-1, 5), (0, 0)):
        with pytest.raises(ValueError, match=r"A promoter must have bases"):
            toy.elements("promoter", promoter=promoter)
    for spans, message in (
        (np.zeros((3, 3), dtype=int), r"received int64 \[3, 3\]"),
        (np.zeros((3, 2)), r"received float64 \[3, 2\]"),
        (np.array([(100, 106)]), r"within the interval's 10 bp.*received 100 to 106"),
        (np.array([(-1, 3)]), r"received -1 to 3"),
        (np.array([(5, 3)]), r"start before end"),
    ):
        with pytest.raises(ValueError, match=message):
            toy.indicator(Interval("chr1", 0, 10), "exon", spans=spans)
    assert toy.indicator(Interval("chr1", 0, 10), "exon", spans=np.zeros((0, 2), dtype=int)).shape == (0,)


def test_planted_markup_stays_text_and_repr_says_what_is_there(tmp_path, toy):
    line = '<script>\tt\tgene\t1\t10\t.\t+\t.\tgene_id "<script>alert(1)</script>";\n'
    found = annotation.read(write(tmp_path / "a.gtf", line))
    assert found.gene("<script>alert(1)</script>").chrom == "<script>"
    assert repr(toy).startswith("Annotation(toy.gtf: 15 features; gene, transcript, exon, CDS, ")
