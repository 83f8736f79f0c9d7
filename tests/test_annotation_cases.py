"""Files as programs write them (tests/cases/annotation, made by hand): the values follow from how each was made."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ntviz import annotation
from ntviz.annotation import Annotation
from ntviz.annotation.formats import _element
from ntviz.genome import Interval, Variant
from ntviz.reference import Reference
from ntviz.variants import consequences

CASES = Path(__file__).parent / "cases" / "annotation"


def stretches(found: Annotation, kind: str) -> list[list[int]]:
    return found.elements(kind)[["start", "end"]].values.tolist()


def made(path: Path, text: str) -> Annotation:
    path.write_text(text.replace(" ", "\t").replace("_", " "))
    return annotation.read(path)


# Names of types and structure -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("element", "names"),
    [
        ("gene", "gene protein_coding_gene tRNA_gene transposable_element_gene processed_pseudogene cryptogene TR_V_Gene"),
        ("transcript", "mRNA unconfirmed_transcript rRNA_16S ribozyme J_gene_segment pseudogenic_tRNA mRNA_with_frameshift"),
        ("exon", "exon noncoding_exon pseudogenic_exon five_prime_coding_exon"),
        ("CDS", "CDS transposable_element_CDS"),
        # Later than the release that is shipped.
        ("gene", "cytosolic_rRNA_18S_gene"),
        ("transcript", "sncRNA"),
    ],
)  # fmt: skip
def test_names_of_the_sequence_ontology(element: str, names: str) -> None:
    assert {_element(name) for name in names.split()} == {element}
    assert {_element(name.upper()) for name in names.split()} == {element}


@pytest.mark.parametrize(
    "name", ["intron", "enhancer", "region", "repeat_region", "match_part", "TF_binding_site"]
)
def test_other_names_are_kept(name: str) -> None:
    assert _element(name) == name


def test_a_pseudogene_in_a_gene_is_its_transcript() -> None:
    found = annotation.read(CASES / "flybase.gff3")
    assert stretches(found, "intron") == [[200, 800]]
    assert stretches(found, "splice_donor") == [[200, 202], [400, 402]]
    assert set(found.table["transcript"]) == {"", "p1", "p2"}
    assert (found.table["element"] == "gene").sum() == 1


def test_what_has_exons_is_a_transcript_and_what_has_those_is_a_gene() -> None:
    found = annotation.read(CASES / "custom.gff3")
    assert found.table["element"].tolist() == ["gene", "transcript", "exon", "exon"]
    assert found.kinds == annotation.read(CASES / "custom.gff3", within=Interval("other", 0, 9)).kinds
    assert found.gene("loc") == found.gene("L1") == Interval("c", 100, 900, "+")


def test_exons_whose_parents_are_not_in_the_file() -> None:
    found = annotation.read(CASES / "orphans.gff3")
    assert found.gene("T1") == Interval("c", 100, 400, "+")
    assert stretches(found, "intron") == [[200, 300]]
    assert stretches(found, "promoter") == [[0, 200]]
    assert found.inferred[["element", "origin"]].values.tolist() == [
        ["transcript", "from exons"],
        ["gene", "from transcripts"],
    ]


def test_cds_of_a_gene_itself() -> None:
    found = annotation.read(CASES / "ncbi.gff3")
    # Two lines of one identifier are a CDS of two pieces, another identifier is another CDS.
    exons = found.table[found.table["element"] == "exon"]
    assert exons[["transcript", "start", "end", "origin"]].values.tolist() == [
        ["gene-P", 1000, 1100, ""],
        ["gene-P", 1150, 1200, ""],
        ["gene-A", 100, 400, "from CDS and UTR"],
        ["cds-2", 600, 700, "from CDS and UTR"],
        ["cds-2", 719, 900, "from CDS and UTR"],
        ["cds-3", 639, 900, "from CDS and UTR"],
    ]
    assert found.gene("LT_1") == found.gene("gene-A") == found.gene("a") == Interval("c", 100, 400, "-")
    assert stretches(found, "start_codon") == [[397, 400], [600, 603], [639, 642]]


def test_what_is_inferred_is_inferred_of_whole_genes() -> None:
    near = annotation.read(CASES / "orphans.gff3", within=Interval("c", 310, 320))
    assert near.table[["element", "start"]].values.tolist() == [["exon", 300]]
    assert near.inferred[["start", "end"]].values.tolist() == [[100, 400]] * 2
    whole = annotation.read(CASES / "orphans.gff3").within(Interval("c", 310, 320))
    pd.testing.assert_frame_equal(near.features, whole.features)
    both = annotation.combine(whole, annotation.read(CASES / "flybase.gff3"))
    assert len(both.inferred) == 2
    assert both.gene("PS").end == 900


# Attributes -----------------------------------------------------------------------------------------------------------


def test_gtf_under_the_name_gff_and_bare_identifiers() -> None:
    found = annotation.read(CASES / "augustus.gff")
    assert found.broken.empty
    assert set(found.table["gene_id"]) == {"g1"}
    assert stretches(found, "promoter") == [[0, 200]]
    assert found.note == "1 of 1 stop codons of augustus.gff lie in the CDS, so it is taken to end with them."
    assert stretches(found, "exon") == [[100, 200], [300, 400]]


def test_odd_attributes_of_gtf() -> None:
    found = annotation.read(CASES / "odd_attributes.gtf")
    assert found.table[["gene", "gene_id", "transcript"]].values.tolist() == [
        ["A", "A", "T1"],
        ["GN", "HLA/B", "T2"],
    ]
    for name in ("GN", "SYM", "HLA/B", "T2"):
        assert found.gene(name) == Interval("c", 300, 400, "+")
    with pytest.raises(ValueError, match="received 'second'"):
        found.gene("second")


def test_escapes_and_keys_given_twice_in_gff3() -> None:
    found = annotation.read(CASES / "percent.gff3")
    assert found.table["gene"].unique().tolist() == ["A/B"]
    assert found.table["transcript"].tolist() == ["", "t/1", "t/1"]
    assert found.gene("g/1") == found.gene("A/B")


def test_lines_with_a_semicolon_too_many_are_kept_and_counted(tmp_path: Path) -> None:
    text = (
        "c t gene 1 9 . + . ID=a;Note=x;y\nc t gene 21 29 . + . ID=b\nc t gene 31 39 . + . ID=d;Name=D;1;\n"
    )
    found = made(tmp_path / "a.gff3", text)
    assert [found.gene(name).start for name in ("a", "b", "D;1")] == [0, 20, 30]
    assert found.note.startswith("2 lines of a.gff3 have semicolons that are neither escaped nor between attributes, the first of them line 1")  # fmt: skip


def test_one_identifier_at_two_places() -> None:
    found = annotation.read(CASES / "two_strands.gtf")
    with pytest.raises(ValueError, match=r"'D' is 2: D at c:101-200, D at c:1,101-1,200"):
        found.gene("D")
    with pytest.raises(ValueError, match="must be one place"):
        found.tss("D")
    assert found.gene("b") == Interval("c", 1100, 1200, "-")
    assert stretches(found, "gene") == [[100, 200], [1100, 1200]]


def test_a_line_of_a_gene_makes_one_place_of_transcripts_apart(tmp_path: Path) -> None:
    text = "".join(
        f'c u {kind} {start} {end} . + . gene_id_"D";{more}\n'
        for kind, start, end, more in (
            ("gene", 101, 1200, ""),
            ("exon", 101, 200, '_transcript_id_"a";'),
            ("exon", 1101, 1200, '_transcript_id_"b";'),
        )
    )
    (tmp_path / "a.gtf").write_text(text.replace(" ", "\t").replace("_id_", "_id ").replace(";_", "; "))
    found = annotation.read(tmp_path / "a.gtf")
    assert found.gene("D") == Interval("c", 100, 1200, "+")
    assert found.tss("D") == ("c", 100, "+")


# BED ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "strand"),
    [
        ("idr.bed", "+"),
        ("idr_no_strand.bed", "."),
        ("rmsk.bed", "-"),
        ("hmmratac.bed", "."),
        ("peaks.gappedPeak", "+"),
        ("bedtools_wo3.bed", "."),
        ("bedtools_wo6.bed", "+"),
    ],
)
def test_other_columns_than_bed12_are_intervals(name: str, strand: str) -> None:
    found = annotation.read(CASES / name, element="peak")
    assert found.kinds == ("peak",)
    assert found.table[["start", "end", "strand"]].values.tolist() == [[100, 500, strand]]


def test_bed_methyl_and_numbers_and_quotes_of_r() -> None:
    assert annotation.read(CASES / "bedmethyl.bed").table[["start", "end", "element"]].values.tolist() == [
        [100, 101, "region"]
    ]
    assert annotation.read(CASES / "r.bed").table[["chrom", "start", "name"]].values.tolist() == [
        ["c", 100_000, "a"]
    ]


def test_numbers_of_pandas_in_tables() -> None:
    table = pd.DataFrame(
        {"chrom": [20.0, 2.0], "start": ["1e+05", "4.31e+07"], "end": [100_005.0, 43_100_009.0]}
    )
    assert annotation.from_table(table, element="x").table[["chrom", "start", "end"]].values.tolist() == [
        ["20", 100_000, 100_005],
        ["2", 43_100_000, 43_100_009],
    ]
    with pytest.raises(ValueError, match="must name its contig; received  3 5"):
        annotation.from_table(pd.DataFrame({"chrom": [float("nan")], "start": [3], "end": [5]}), element="x")


# Where CDS ends and codons begin --------------------------------------------------------------------------------------


def coding_gtf(cds: int, exon: int, *, source: str = "x", more: str = "") -> str:
    names = 'gene_id "G"; transcript_id "T";'
    rows = [("exon", 1, exon, "."), ("CDS", 1, cds, "0")]
    return "".join(
        f"c\t{source}\t{kind}\t{a}\t{b}\t.\t+\t{phase}\t{names}\n" for kind, a, b, phase in rows
    ) + (f"c\t{source}\t{more}\t.\t+\t.\t{names}\n" if more else "")


@pytest.mark.parametrize(
    ("text", "inside", "utr", "note"),
    [
        (coding_gtf(30, 90, more="stop_codon\t31\t33"), False, [[33, 90]], ""),
        (coding_gtf(30, 90, more="stop_codon\t28\t30"), True, [[30, 90]], "1 of 1 stop codons"),
        (coding_gtf(30, 90, more="three_prime_utr\t34\t90"), False, [[33, 90]], ""),
        (coding_gtf(30, 90, more="3UTR\t31\t90"), True, [[30, 90]], "3' UTR begins right behind it"),
        (coding_gtf(30, 90, source="ORFanage"), True, [[30, 90]], "as orfanage writes it"),
        ("# gffread v0.12.7\n" + coding_gtf(30, 90), True, [[30, 90]], "as gffread writes it"),
        (coding_gtf(30, 30), True, [], "most transcripts end with their CDS"),
        (coding_gtf(30, 90), False, [[33, 90]], "does not say whether its CDS holds the stop codon"),
        # The UTR of GENCODE holds the stop codon: it says nothing.
        (coding_gtf(30, 90, more="UTR\t31\t90"), False, [[30, 90]], "does not say"),
        (coding_gtf(31, 90), False, [[31, 90]], ""),
    ],
)
def test_a_gtf_says_where_its_cds_ends(
    tmp_path: Path, text: str, utr: list, note: str, *, inside: bool
) -> None:
    (tmp_path / "a.gtf").write_text(text)
    found = annotation.read(tmp_path / "a.gtf")
    assert found.stop_in_cds == inside
    assert note in found.note if note else not found.note
    assert stretches(found, "three_prime_utr") == utr


@pytest.mark.parametrize(
    ("ends", "codons"),
    [
        ("", ([[0, 3]], [[27, 30]])),
        ("partial=00;", ([[0, 3]], [[27, 30]])),
        ("partial=10;", ([], [[27, 30]])),
        ("partial=01;", ([[0, 3]], [])),
        ("partial=true;start_range=.,1;", ([], [[27, 30]])),
        ("partial=true;end_range=30,.;", ([[0, 3]], [])),
        ("tag=basic,cds_start_NF,cds_end_NF;", ([], [])),
    ],
)
def test_an_incomplete_cds_lacks_codons(tmp_path: Path, ends: str, codons: tuple[list, list]) -> None:
    (tmp_path / "a.gff3").write_text(f"c\tx\tCDS\t1\t30\t.\t+\t0\tID=1_1;{ends}\n")
    found = annotation.read(tmp_path / "a.gff3")
    assert (stretches(found, "start_codon"), stretches(found, "stop_codon")) == codons


def test_phases_against_each_other_are_no_frame(tmp_path: Path) -> None:
    lines = [("CDS", 11, 20, 1), ("CDS", 31, 40, 1), ("exon", 11, 50, ".")]
    (tmp_path / "a.gff3").write_text(
        "".join(f"c\tx\t{kind}\t{a}\t{b}\t.\t+\t{phase}\tID={kind};Parent=t\n" for kind, a, b, phase in lines)
    )
    (tmp_path / "c.fa").write_text(">c\n" + "ACGTTGCAGG" * 8 + "\n")
    found = annotation.read(tmp_path / "a.gff3")
    assert stretches(found, "start_codon") == []
    told = consequences.consequence([Variant("c", 15, "T", "A")], found, Reference(tmp_path / "c.fa"))
    assert told["consequence"].tolist() == ["coding_unknown"]


def test_a_ribosomal_frameshift_is_read_as_its_pieces_say(tmp_path: Path) -> None:
    # ATG GCA AAT then one base back, T again: TTT ACC TAA. The T at 9 is the last of a codon and the first of the next.
    (tmp_path / "c.fa").write_text(">c\n" + "ATGGCAAATTTACCTAA" + "G" * 40 + "\n")
    (tmp_path / "a.gff3").write_text(
        "".join(
            f"c\tx\t{kind}\t{a}\t{b}\t.\t+\t{phase}\tID={kind};Parent=g\n"
            for kind, a, b, phase in (("exon", 1, 30, "."), ("CDS", 1, 9, 0), ("CDS", 9, 17, 0))
        )
        + "c\tx\tgene\t1\t30\t.\t+\t.\tID=g;exception=ribosomal_slippage\n"
    )
    found = annotation.read(tmp_path / "a.gff3")
    changes = [Variant("c", 12, "A", "G"), Variant("c", 9, "T", "C"), Variant("c", 15, "T", "C")]
    told = consequences.consequence(changes, found, Reference(tmp_path / "c.fa"))
    assert told["consequence"].tolist() == ["missense", "missense", "stop_lost"]
    assert told["codons"].tolist() == ["ACC>GCC", "AATTTT>AACCTT", "TAA>CAA"]


def test_a_base_of_a_codon_that_is_not_whole_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "c.fa").write_text(">c\n" + "GGATGAAACCCGG" + "\n")
    (tmp_path / "a.gff3").write_text(
        "c\tx\texon\t1\t13\t.\t+\t.\tParent=t\nc\tx\tCDS\t1\t13\t.\t+\t2\tParent=t\n"
    )
    found = annotation.read(tmp_path / "a.gff3")
    changes = [Variant("c", 2, "G", "A"), Variant("c", 3, "A", "C"), Variant("c", 12, "G", "A")]
    table = consequences.consequence(changes, found, Reference(tmp_path / "c.fa"))
    # A CDS that begins within a codon has no start codon, whatever its first whole codon is.
    assert table["consequence"].tolist() == ["coding_unknown", "missense", "coding_unknown"]


def test_a_table_of_variants_with_chromosomes_of_pandas(tmp_path: Path) -> None:
    (tmp_path / "20.fa").write_text(">20\n" + "ATGGCAAATTAA" + "\n")
    (tmp_path / "a.gff3").write_text("20\tx\tCDS\t1\t12\t.\t+\t0\tID=x\n")
    table = pd.DataFrame({"chrom": [20.0], "pos": [4], "ref": ["G"], "alt": ["C"]})
    found = consequences.consequence(
        table, annotation.read(tmp_path / "a.gff3"), Reference(tmp_path / "20.fa")
    )
    assert found["protein"].tolist() == ["A2P"]


# Transcripts of one identifier, and what is none -----------------------------------------------------------------------


def bed12(start: int, name: str, strand: str = "+") -> str:
    """Exons of 200 bp and 300 bp with a gap of 300 bp; CDS of 50 + 100 bp."""
    return f"c1\t{start}\t{start + 800}\t{name}\t0\t{strand}\t{start + 150}\t{start + 600}\t0\t2\t200,300,\t0,500,\n"


@pytest.mark.parametrize("name", ["NM_1", "."])
def test_each_line_of_bed12_is_a_transcript(tmp_path: Path, name: str) -> None:
    (tmp_path / "genes.bed").write_text("".join(bed12(start, name) for start in (100, 2000)))
    found = annotation.read(tmp_path / "genes.bed")
    assert stretches(found, "intron") == [[300, 600], [2200, 2500]]
    assert stretches(found, "start_codon") == [[250, 253], [2150, 2153]]
    assert stretches(found, "stop_codon") == [[697, 700], [2597, 2600]]
    assert stretches(found, "gene") == [[100, 900], [2000, 2800]]
    names = list(dict.fromkeys(found.table["transcript"]))
    assert names == (["NM_1", "NM_1_dup1"] if name == "NM_1" else ["c1:101-900", "c1:2001-2800"])


@pytest.mark.parametrize("ending", ["gtf", "gff3"])
def test_transcripts_of_one_identifier_at_two_places(tmp_path: Path, ending: str) -> None:
    """As StringTie's, Liftoff's and converted GenBank have them: no intron of 700 bp lies between the copies."""
    lines = []
    for start in (100, 1100):
        for kind, left, right in (("transcript", 1, 300), ("exon", 1, 100), ("exon", 201, 300)):
            attributes = 'gene_id "g"; transcript_id "t";'
            if ending == "gff3":
                attributes = "ID=t;Parent=g" if kind == "transcript" else "Parent=t"
            lines.append(f"c1\tx\t{kind}\t{start + left}\t{start + right}\t.\t+\t.\t{attributes}\n")
    (tmp_path / f"genes.{ending}").write_text("".join(lines))
    found = annotation.read(tmp_path / f"genes.{ending}")
    assert stretches(found, "intron") == [[200, 300], [1200, 1300]]
    assert stretches(found, "gene") == [[100, 400], [1100, 1400]]
    assert list(dict.fromkeys(found.table["transcript"])) == ["t", "t_dup1"]


@pytest.mark.parametrize("parents", ["AT1.1,AT1.1-Protein", "AT1.1-Protein"])
def test_a_protein_is_no_transcript(tmp_path: Path, parents: str) -> None:
    """TAIR names the protein beside the transcript, or alone, as the parent of a CDS."""
    path = tmp_path / "tair.gff3"
    path.write_text(
        "c1 x gene 101 900 . + . ID=AT1\nc1 x mRNA 101 900 . + . ID=AT1.1;Parent=AT1\n"
        "c1 x protein 151 800 . + . ID=AT1.1-Protein;Derives_from=AT1.1\nc1 x exon 101 300 . + . Parent=AT1.1\n"
        f"c1 x CDS 151 300 . + 0 Parent={parents}\nc1 x exon 601 900 . + . Parent=AT1.1\nc1 x CDS 601 801 . + 0 Parent={parents}\n".replace(
            " ", "\t"
        )
    )
    found = annotation.read(path)
    rows = found.features[found.features["element"] != "protein"]
    assert set(rows["gene"]) == {"AT1"}
    assert rows["element"].value_counts().to_dict() == {"exon": 2, "CDS": 2, "gene": 1, "transcript": 1}
    assert stretches(found, "stop_codon") == [[798, 801]]


def test_exons_name_their_transcript_otherwise_or_it_is_said(tmp_path: Path) -> None:
    found = annotation.read(_written(tmp_path / "a.gff3", "ID={0};transcript_id=t1;gene_id=g1"))
    assert stretches(found, "intron") == [[200, 300]]
    assert not found.note
    silent = annotation.read(_written(tmp_path / "b.gff3", "ID={0};parent=t1"))
    assert stretches(silent, "intron") == []
    assert "2 exons and CDS of b.gff3 name no transcript" in silent.note


def _written(path: Path, attributes: str) -> Path:
    lines = ["c1\tx\tmRNA\t101\t400\t.\t+\t.\tID=t1;gene_id=g1\n"]
    lines += [
        f"c1\tx\texon\t{start}\t{start + 99}\t.\t+\t.\t{attributes.format(start)}\n" for start in (101, 301)
    ]
    path.write_text("".join(lines))
    return path


def test_repeats_in_a_gff_need_no_gene(tmp_path: Path) -> None:
    path = tmp_path / "repeats.gff"
    path.write_text('c1\tRepeatMasker\tsimilarity\t101\t200\t9.1\t+\t.\tTarget "Motif:L1" 1 100\n')
    found = annotation.read(path)
    assert stretches(found, "similarity") == [[100, 200]]
    assert set(found.table["gene"]) == {""}
