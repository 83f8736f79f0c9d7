"""Files as programs write them (tests/cases/annotation, made by hand): the values follow from how each was made."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ntviz import annotation
from ntviz.annotation import Annotation
from ntviz.annotation.formats import element_of
from ntviz.genome import Interval, Variant
from ntviz.reference import Reference
from ntviz.variants.consequences import consequence

CASES = Path(__file__).parent / "cases" / "annotation"


def stretches(found: Annotation, kind: str) -> list[list[int]]:
    return found.elements(kind)[["start", "end"]].values.tolist()


def made(path: Path, *rows: tuple, chrom: str = "c", source: str = "x", head: str = "") -> Annotation:
    """What is read of a file of rows (element, start, end, phase, attributes), 1-based closed, on the strand +."""
    line = f"{chrom}\t{source}\t%s\t%s\t%s\t.\t+\t%s\t%s\n"
    path.write_text(head + "".join(line % row for row in rows))
    return annotation.read(path)


@pytest.mark.parametrize(("element", "names"), [
    *((name, name) for name in ("intron", "enhancer", "region", "match_part", "TF_binding_site", "reUTRn")),
    ("gene", "gene protein_coding_gene tRNA_gene transposable_element_gene processed_pseudogene cryptogene TR_V_Gene"),
    ("transcript", "mRNA unconfirmed_transcript rRNA_16S ribozyme J_gene_segment pseudogenic_tRNA mRNA_with_frameshift"),
    ("exon", "exon noncoding_exon pseudogenic_exon five_prime_coding_exon"),
    ("CDS", "CDS transposable_element_CDS"),
    # Later than the release that is shipped.
    ("gene", "cytosolic_rRNA_18S_gene"),
    ("transcript", "sncRNA"),
    *((f"{end}_prime_utr", f"{n}UTR {end}_prime_UTR {n}'UTR {n}'-UTR UTR{n} utr_{n}_prime {end}_prime_untranslated_region")
      for n, end in ((5, "five"), (3, "three"))),
    ("UTR", "UTR untranslated_region"),
])  # fmt: skip
def test_names_of_the_sequence_ontology(element, names):
    ways = (str,) if element == names else (str, str.upper)  # other names are kept as they are
    assert {element_of(way(name)) for name in names.split() for way in ways} == {element}


def test_a_pseudogene_and_what_has_exons_are_transcripts():
    found = annotation.read(CASES / "flybase.gff3")
    assert stretches(found, "intron") == [[200, 800]]
    assert stretches(found, "splice_donor") == [[200, 202], [400, 402]]
    assert set(found.table["transcript"]) == {"", "p1", "p2"} and (found.table["element"] == "gene").sum() == 1
    found = annotation.read(CASES / "custom.gff3")
    assert found.table["element"].tolist() == ["gene", "transcript", "exon", "exon"]
    assert found.kinds == annotation.read(CASES / "custom.gff3", within=Interval("other", 0, 9)).kinds
    assert found.gene("loc") == found.gene("L1") == Interval("c", 100, 900, "+")


def test_what_is_inferred_of_exons_and_of_whole_genes():
    found = annotation.read(CASES / "orphans.gff3")
    assert found.gene("T1") == Interval("c", 100, 400, "+") and stretches(found, "intron") == [[200, 300]]
    assert stretches(found, "promoter") == [[0, 200]]
    inferred = found.inferred[["element", "origin"]].values.tolist()
    assert inferred == [["transcript", "from exons"], ["gene", "from transcripts"]]
    near = annotation.read(CASES / "orphans.gff3", within=Interval("c", 310, 320))
    assert near.table[["element", "start"]].values.tolist() == [["exon", 300]]
    assert near.inferred[["start", "end"]].values.tolist() == [[100, 400]] * 2
    whole = annotation.read(CASES / "orphans.gff3").within(Interval("c", 310, 320))
    pd.testing.assert_frame_equal(near.features, whole.features)
    both = annotation.combine(whole, annotation.read(CASES / "flybase.gff3"))
    assert len(both.inferred) == 2 and both.gene("PS").end == 900


def test_cds_of_a_gene_itself():
    found = annotation.read(CASES / "ncbi.gff3")
    # Two lines of one identifier are a CDS of two pieces, another identifier is another CDS.
    exons = found.table[found.table["element"] == "exon"]
    assert exons[["transcript", "start", "end"]].values.tolist() == [
        ["gene-P", 1000, 1100], ["gene-P", 1150, 1200], ["gene-A", 100, 400], ["cds-2", 600, 700], ["cds-2", 719, 900],
        ["cds-3", 639, 900],
    ]  # fmt: skip
    assert exons["origin"].tolist() == [""] * 2 + ["from CDS and UTR"] * 4
    assert found.gene("LT_1") == found.gene("gene-A") == found.gene("a") == Interval("c", 100, 400, "-")
    assert stretches(found, "start_codon") == [[397, 400], [600, 603], [639, 642]]


def test_attributes_that_are_bare_odd_escaped_or_given_twice():
    found = annotation.read(CASES / "augustus.gff")
    assert found.broken.empty and set(found.table["gene_id"]) == {"g1"}
    assert stretches(found, "promoter") == [[0, 200]]
    assert found.note == "1 of 1 stop codons of augustus.gff lie in the CDS, so it is taken to end with them."
    assert stretches(found, "exon") == [[100, 200], [300, 400]]
    found = annotation.read(CASES / "odd_attributes.gtf")
    assert found.table[["gene", "gene_id", "transcript"]].values.tolist() == [["A", "A", "T1"], ["GN", "HLA/B", "T2"]]
    for name in ("GN", "SYM", "HLA/B", "T2"):
        assert found.gene(name) == Interval("c", 300, 400, "+")
    with pytest.raises(ValueError, match="received 'second'"):
        found.gene("second")
    found = annotation.read(CASES / "percent.gff3")
    assert found.table["gene"].unique().tolist() == ["A/B"]
    assert found.table["transcript"].tolist() == ["", "t/1", "t/1"] and found.gene("g/1") == found.gene("A/B")


def test_lines_with_a_semicolon_too_many_are_kept_and_counted(tmp_path):
    names = "ID=a;Note=x;y", "ID=b", "ID=d;Name=D;1;"
    rows = [("gene", 20 * n + 1, 20 * n + 9, ".", name) for n, name in enumerate(names)]
    found = made(tmp_path / "a.gff3", *rows)
    assert [found.gene(name).start for name in ("a", "b", "D;1")] == [0, 20, 40]
    text = "2 lines of a.gff3 have semicolons that are neither escaped nor between attributes, the first of them line 1"
    assert found.note.startswith(text)


def test_one_identifier_at_two_places(tmp_path):
    found = annotation.read(CASES / "two_strands.gtf")
    with pytest.raises(ValueError, match=r"'D' is 2: D at c:101-200, D at c:1,101-1,200"):
        found.gene("D")
    with pytest.raises(ValueError, match="must be one place"):
        found.tss("D")
    assert found.gene("b") == Interval("c", 1100, 1200, "-")
    assert stretches(found, "gene") == [[100, 200], [1100, 1200]]
    # A line of the gene makes one place of transcripts apart.
    exons = [("exon", at, at + 99, ".", f'gene_id "D"; transcript_id "{at}";') for at in (101, 1101)]
    found = made(tmp_path / "a.gtf", ("gene", 101, 1200, ".", 'gene_id "D";'), *exons)
    assert found.gene("D") == Interval("c", 100, 1200, "+") and found.tss("D") == ("c", 100, "+")


@pytest.mark.parametrize(("name", "strand"), [
    ("idr.bed", "+"), ("idr_no_strand.bed", "."), ("rmsk.bed", "-"), ("hmmratac.bed", "."),
    ("peaks.gappedPeak", "+"), ("bedtools_wo3.bed", "."), ("bedtools_wo6.bed", "+"),
])  # fmt: skip
def test_other_columns_than_bed12_are_intervals(name, strand):
    found = annotation.read(CASES / name, element="peak")
    assert found.kinds == ("peak",)
    assert found.table[["start", "end", "strand"]].values.tolist() == [[100, 500, strand]]


def test_bed_methyl_quotes_of_r_and_numbers_of_pandas():
    methyl, of_r = (annotation.read(CASES / name).table for name in ("bedmethyl.bed", "r.bed"))
    assert methyl[["start", "end", "element"]].values.tolist() == [[100, 101, "region"]]
    assert of_r[["chrom", "start", "name"]].values.tolist() == [["c", 100_000, "a"]]
    starts, ends = ["1e+05", "4.31e+07"], [100_005.0, 43_100_009.0]
    table = annotation.from_table(pd.DataFrame({"chrom": [20.0, 2.0], "start": starts, "end": ends}), element="x").table
    rows = table[["chrom", "start", "end"]].values.tolist()
    assert rows == [["20", 100_000, 100_005], ["2", 43_100_000, 43_100_009]]
    with pytest.raises(ValueError, match="must name its contig; received  3 5"):
        annotation.from_table(pd.DataFrame({"chrom": [float("nan")], "start": [3], "end": [5]}), element="x")


NAMES = 'gene_id "G"; transcript_id "T";'


@pytest.mark.parametrize(("cds", "exon", "more", "head", "inside", "utr", "note"), [
    (30, 90, ("stop_codon", 31, 33), "", False, [[33, 90]], ""),
    (30, 90, ("stop_codon", 28, 30), "", True, [[30, 90]], "1 of 1 stop codons"),
    (30, 90, ("three_prime_utr", 34, 90), "", False, [[33, 90]], ""),
    (30, 90, ("3UTR", 31, 90), "", True, [[30, 90]], "3' UTR begins right behind it"),
    (30, 90, (), "# ORFanage\n", True, [[30, 90]], "as orfanage writes it"),
    (30, 90, (), "# gffread v0.12.7\n", True, [[30, 90]], "as gffread writes it"),
    (30, 30, (), "", True, [], "most transcripts end with their CDS"),
    (30, 90, (), "", False, [[33, 90]], "does not say whether its CDS holds the stop codon"),
    # The UTR of GENCODE holds the stop codon: it says nothing.
    (30, 90, ("UTR", 31, 90), "", False, [[30, 90]], "does not say"),
    (31, 90, (), "", False, [[31, 90]], ""),
])  # fmt: skip
def test_a_gtf_says_where_its_cds_ends(tmp_path, cds, exon, more, head, inside, utr, note):
    rows = [("exon", 1, exon, ".", NAMES), ("CDS", 1, cds, "0", NAMES), *([(*more, ".", NAMES)] if more else [])]
    found = made(tmp_path / "a.gtf", *rows, head=head)
    assert found.stop_in_cds == inside
    assert note in found.note if note else not found.note
    assert stretches(found, "three_prime_utr") == utr
    # Column 2 may name its program.
    if not more:
        assert "as orfanage writes it" in made(tmp_path / "a.gtf", *rows, source="ORFanage").note


@pytest.mark.parametrize(("ends", "codons"), [
    ("", ([[0, 3]], [[27, 30]])),
    ("partial=00;", ([[0, 3]], [[27, 30]])),
    ("partial=10;", ([], [[27, 30]])),
    ("partial=01;", ([[0, 3]], [])),
    ("partial=true;start_range=.,1;", ([], [[27, 30]])),
    ("partial=true;end_range=30,.;", ([[0, 3]], [])),
    ("tag=basic,cds_start_NF,cds_end_NF;", ([], [])),
])  # fmt: skip
def test_an_incomplete_cds_lacks_codons(tmp_path, ends, codons):
    found = made(tmp_path / "a.gff3", ("CDS", 1, 30, 0, f"ID=1_1;{ends}"))
    assert (stretches(found, "start_codon"), stretches(found, "stop_codon")) == codons


@pytest.mark.parametrize(("rows", "bases", "changes", "consequences", "codons"), [
    # Phases against each other are no frame.
    ([("CDS", 11, 20, 1, "ID=CDS;Parent=t"), ("CDS", 31, 40, 1, "ID=CDS;Parent=t"), ("exon", 11, 50, ".", "Parent=t")],
     "ACGTTGCAGG" * 8, "c:15:T>A", "coding_unknown", ""),
    # A ribosomal frameshift: ATG GCA AAT, then one base back, T again: TTT ACC TAA. The T at 9 is in two codons.
    ([("exon", 1, 30, ".", "Parent=g"), ("CDS", 1, 9, 0, "ID=CDS;Parent=g"), ("CDS", 9, 17, 0, "ID=CDS;Parent=g"),
      ("gene", 1, 30, ".", "ID=g;exception=ribosomal_slippage")],
     "ATGGCAAATTTACCTAA" + "G" * 40, "c:12:A>G c:9:T>C c:15:T>C", "missense missense stop_lost", "ACC>GCC AATTTT>AACCTT TAA>CAA"),
    # Half a codon is not guessed, and a CDS that begins within one has no start codon.
    ([("exon", 1, 13, ".", "Parent=t"), ("CDS", 1, 13, 2, "Parent=t")],
     "GGATGAAACCCGG", "c:2:G>A c:3:A>C c:12:G>A", "coding_unknown missense coding_unknown", ""),
])  # fmt: skip
def test_consequences_follow_the_phases(tmp_path, rows, bases, changes, consequences, codons):
    (tmp_path / "c.fa").write_text(f">c\n{bases}\n")
    found = made(tmp_path / "a.gff3", *rows)
    table = consequence(list(map(Variant.from_str, changes.split())), found, Reference(tmp_path / "c.fa"))
    assert table["consequence"].tolist() == consequences.split()
    assert not codons or table["codons"].tolist() == codons.split()
    assert bool(stretches(found, "start_codon")) == bool(codons)


def test_a_table_of_variants_with_chromosomes_of_pandas(tmp_path):
    (tmp_path / "20.fa").write_text(">20\nATGGCAAATTAA\n")
    genes = made(tmp_path / "a.gff3", ("CDS", 1, 12, 0, "ID=x"), chrom="20")
    table = pd.DataFrame({"chrom": [20.0], "pos": [4], "ref": ["G"], "alt": ["C"]})
    assert consequence(table, genes, Reference(tmp_path / "20.fa"))["protein"].tolist() == ["A2P"]


@pytest.mark.parametrize(("name", "names"), [
    ("NM_1", ["NM_1", "NM_1_dup1"]), (".", ["c1:101-900", "c1:2001-2800"]),
])  # fmt: skip
def test_each_line_of_bed12_is_a_transcript(tmp_path, name, names):
    # Exons of 200 and 300 bp with a gap of 300 bp; CDS of 50 + 100 bp.
    line = "c1\t%s\t%s\t%s\t0\t+\t%s\t%s\t0\t2\t200,300,\t0,500,\n"
    rows = [line % (start, start + 800, name, start + 150, start + 600) for start in (100, 2000)]
    (tmp_path / "genes.bed").write_text("".join(rows))
    found = annotation.read(tmp_path / "genes.bed")
    assert stretches(found, "intron") == [[300, 600], [2200, 2500]]
    assert stretches(found, "start_codon") == [[250, 253], [2150, 2153]]
    assert stretches(found, "stop_codon") == [[697, 700], [2597, 2600]]
    assert stretches(found, "gene") == [[100, 900], [2000, 2800]]
    assert list(dict.fromkeys(found.table["transcript"])) == names


@pytest.mark.parametrize("ending", ["gtf", "gff3"])
def test_transcripts_of_one_identifier_at_two_places(tmp_path, ending):
    """As StringTie's, Liftoff's and converted GenBank have them: no intron of 700 bp lies between the copies."""
    rows = []
    for start in (100, 1100):
        for kind, left, right in (("transcript", 1, 300), ("exon", 1, 100), ("exon", 201, 300)):
            names = 'gene_id "g"; transcript_id "t";'
            if ending == "gff3":
                names = "ID=t;Parent=g" if kind == "transcript" else "Parent=t"
            rows.append((kind, start + left, start + right, ".", names))
    found = made(tmp_path / f"genes.{ending}", *rows)
    assert stretches(found, "intron") == [[200, 300], [1200, 1300]]
    assert stretches(found, "gene") == [[100, 400], [1100, 1400]]
    assert list(dict.fromkeys(found.table["transcript"])) == ["t", "t_dup1"]


@pytest.mark.parametrize("parents", ["AT1.1,AT1.1-Protein", "AT1.1-Protein"])
def test_a_protein_is_no_transcript(tmp_path, parents):
    """TAIR names the protein beside the transcript, or alone, as the parent of a CDS."""
    found = made(
        tmp_path / "tair.gff3",
        ("gene", 101, 900, ".", "ID=AT1"),
        ("mRNA", 101, 900, ".", "ID=AT1.1;Parent=AT1"),
        ("protein", 151, 800, ".", "ID=AT1.1-Protein;Derives_from=AT1.1"),
        *(("exon", *ends, ".", "Parent=AT1.1") for ends in ((101, 300), (601, 900))),
        *(("CDS", *ends, 0, f"Parent={parents}") for ends in ((151, 300), (601, 801))),
    )
    rows = found.features[found.features["element"] != "protein"]
    assert set(rows["gene"]) == {"AT1"}
    assert rows["element"].value_counts().to_dict() == {"exon": 2, "CDS": 2, "gene": 1, "transcript": 1}
    assert stretches(found, "stop_codon") == [[798, 801]]


def test_exons_name_their_transcript_otherwise_or_it_is_said(tmp_path):
    whole = ("mRNA", 101, 400, ".", "ID=t1;gene_id=g1")
    named, silent = (
        made(tmp_path / "a.gff3", whole, *(("exon", at, at + 99, ".", f"ID={at};{more}") for at in (101, 301)))
        for more in ("transcript_id=t1;gene_id=g1", "parent=t1")
    )
    assert (stretches(named, "intron"), named.note) == ([[200, 300]], "") and stretches(silent, "intron") == []
    assert "2 exons and CDS of a.gff3 name no transcript" in silent.note
    # Repeats need no gene.
    found = made(tmp_path / "repeats.gff", ("similarity", 101, 200, ".", 'Target "Motif:L1" 1 100'))
    assert stretches(found, "similarity") == [[100, 200]] and set(found.table["gene"]) == {""}
