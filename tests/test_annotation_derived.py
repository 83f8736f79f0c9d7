"""Splice sites, codons and UTRs that no file states: from exons and CDS, base by base, and on real genes."""

from __future__ import annotations

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
from ntviz.genome.sequence import reverse_complement
from ntviz.reference import Reference

Row = tuple[str, int, int, str, str, str]


def table_of(*rows: Row) -> pd.DataFrame:
    """Rows (chrom, start, end, strand, element, transcript)."""
    return pd.DataFrame([(*row[:5], row[5], row[5], row[5], "", "") for row in rows], columns=list(COLUMNS))


def stretches(found: Annotation, kind: str) -> list[tuple[int, int]]:
    table = found.elements(kind)
    return list(zip(table["start"].tolist(), table["end"].tolist(), strict=True))


# By hand --------------------------------------------------------------------------------------------------------------

FORWARD = [
    ("1", 100, 120, "+", "exon", "A"),
    ("1", 130, 150, "+", "exon", "A"),
    ("1", 160, 180, "+", "exon", "A"),
    ("1", 118, 120, "+", "CDS", "A"),
    ("1", 130, 150, "+", "CDS", "A"),
    ("1", 160, 162, "+", "CDS", "A"),
]
BACKWARD = [("1", 1000 - row[2], 1000 - row[1], "-", row[4], "B") for row in FORWARD]


def test_splice_sites_of_one_gene_on_each_strand() -> None:
    forward, backward = Annotation(table_of(*FORWARD)), Annotation(table_of(*BACKWARD))
    assert stretches(forward, "splice_donor") == [(120, 122), (150, 152)]
    assert stretches(forward, "splice_acceptor") == [(128, 130), (158, 160)]
    assert stretches(backward, "splice_donor") == [(848, 850), (878, 880)]
    assert stretches(backward, "splice_acceptor") == [(840, 842), (870, 872)]


def test_codons_and_utrs_of_one_gene_on_each_strand() -> None:
    # CDS 118-120, 130-150, 160-162: 24 bases, 8 codons; the first codon lies on two exons.
    forward, backward = Annotation(table_of(*FORWARD)), Annotation(table_of(*BACKWARD))
    assert stretches(forward, "start_codon") == [(118, 120), (130, 131)]
    assert stretches(forward, "stop_codon") == [(162, 165)]
    assert stretches(forward, "five_prime_utr") == [(100, 118)]
    assert stretches(forward, "three_prime_utr") == [(165, 180)]
    assert stretches(backward, "start_codon") == [(869, 870), (880, 882)]
    assert stretches(backward, "stop_codon") == [(835, 838)]
    assert stretches(backward, "five_prime_utr") == [(882, 900)]
    assert stretches(backward, "three_prime_utr") == [(820, 835)]


def test_stop_within_the_cds_as_in_gff3() -> None:
    found = Annotation(table_of(*FORWARD), stop_in_cds=True)
    assert stretches(found, "stop_codon") == [(149, 150), (160, 162)]
    assert stretches(found, "three_prime_utr") == [(162, 180)]
    assert stretches(found.within(Interval("1", 0, 500)), "stop_codon") == [(149, 150), (160, 162)]


def test_files_know_where_their_stop_codon_is(tmp_path: Path) -> None:
    gtf, gff = tmp_path / "a.gtf", tmp_path / "a.gff3"
    gtf.write_text(
        "".join(
            f'1\tt\t{kind}\t{start + 1}\t{end}\t.\t+\t.\tgene_id "A"; transcript_id "A";\n'
            for _, start, end, _, kind, _ in FORWARD
        )
    )
    gff.write_text(
        "1\tt\tmRNA\t101\t180\t.\t+\t.\tID=A\n"
        + "".join(
            f"1\tt\t{kind}\t{start + 1}\t{end}\t.\t+\t.\tParent=A\n" for _, start, end, _, kind, _ in FORWARD
        )
    )
    assert stretches(annotation.read(gtf), "stop_codon") == [(162, 165)]
    assert stretches(annotation.read(gff), "stop_codon") == [(149, 150), (160, 162)]


def test_what_a_file_states_is_not_derived() -> None:
    stated = ("1", 500, 502, "+", "splice_donor", "A")
    stop = ("1", 162, 165, "+", "stop_codon", "A")
    found = Annotation(table_of(*FORWARD, stated, stop))
    assert stretches(found, "splice_donor") == [(500, 502)]
    assert stretches(found, "stop_codon") == [(162, 165)]
    # The stated stop codon is no UTR; of a stop codon nobody states nothing is taken away.
    assert stretches(found, "three_prime_utr") == [(165, 180)]
    other = Annotation(table_of(*FORWARD, ("1", 900, 903, "+", "stop_codon", "B")))
    assert stretches(other, "three_prime_utr") == [(162, 180)]


def test_a_broken_frame_gives_no_codons() -> None:
    found = Annotation(table_of(*FORWARD[:-1], ("1", 160, 163, "+", "CDS", "A")))
    assert "start_codon" in found.kinds
    assert stretches(found, "start_codon") == []
    assert stretches(found, "stop_codon") == []
    assert stretches(found, "three_prime_utr") == [(163, 180)]


def test_a_frame_that_ends_with_its_exons_has_no_stop_codon() -> None:
    rows = [("1", 100, 130, "+", "exon", "A"), ("1", 100, 130, "+", "CDS", "A")]
    found = Annotation(table_of(*rows))
    assert stretches(found, "start_codon") == [(100, 103)]
    assert stretches(found, "stop_codon") == []
    assert stretches(found, "five_prime_utr") == []


def test_without_cds_there_is_no_utr() -> None:
    found = Annotation(
        table_of(*FORWARD, ("1", 300, 400, "+", "exon", "lnc"), ("1", 450, 500, "+", "exon", "lnc"))
    )
    assert stretches(found, "five_prime_utr") == [(100, 118)]
    assert stretches(found, "three_prime_utr") == [(165, 180)]
    assert "five_prime_utr" not in Annotation(table_of(("1", 300, 400, "+", "exon", "lnc"))).kinds


def test_exons_without_strand_or_gene() -> None:
    rows = [
        ("1", start, start + 5, strand, "exon", name)
        for start in (10, 30)
        for strand, name in ((".", "A"), ("+", ""))
    ]
    found = Annotation(table_of(*rows))
    # An exon that names no gene and no transcript has no neighbour.
    assert stretches(found, "intron") == [(15, 30)]
    assert stretches(found, "splice_donor") == []


def test_short_gaps_have_no_splice_sites() -> None:
    rows = [("1", 0, 10, "+", "exon", "A"), ("1", 13, 20, "+", "exon", "A"), ("1", 24, 30, "+", "exon", "A")]
    found = Annotation(table_of(*rows))
    assert stretches(found, "intron") == [(10, 13), (20, 24)]
    assert stretches(found, "splice_donor") == [(20, 22)]
    assert stretches(found, "splice_acceptor") == [(22, 24)]


@pytest.mark.parametrize(
    "name",
    ["5UTR", "five_prime_UTR", "5'UTR", "5'-UTR", "UTR5", "utr_5_prime", "five_prime_untranslated_region"],
)
def test_names_of_utrs(tmp_path: Path, name: str) -> None:
    other = name.replace("5", "3").replace("five", "three")
    lines = [
        f'1\tt\t{kind}\t1\t10\t.\t+\t.\tgene_id "A"; transcript_id "A";\n'
        for kind in (name, other, "reUTRn", "UTR")
    ]
    (tmp_path / "a.gtf").write_text("".join(lines))
    table = annotation.read(tmp_path / "a.gtf").table
    assert table["element"].tolist() == ["five_prime_utr", "three_prime_utr", "reUTRn", "UTR"]


# Brute force ----------------------------------------------------------------------------------------------------------


def random_genes(seed: int) -> list[list[Row]]:
    """Transcripts with exons, most with a CDS from one spliced base to another."""
    generator = random.Random(seed)
    genes = []
    for number in range(40):
        position = generator.randrange(0, 3000)
        strand = generator.choice("+-")
        exons = []
        for _ in range(generator.randrange(1, 6)):
            end = position + generator.randrange(1, 25)
            exons.append((position, end))
            position = end + generator.randrange(1, 12)
        rows: list[Row] = [("1", start, end, strand, "exon", f"t{number}") for start, end in exons]
        bases = [base for start, end in exons for base in range(start, end)]
        if len(bases) > 4 and generator.random() < 0.8:
            first, last = sorted(generator.sample(range(len(bases)), 2))
            coding = set(bases[first : last + 1])
            for start, end in exons:
                inside = [base for base in range(start, end) if base in coding]
                if inside:
                    rows.append(("1", inside[0], inside[-1] + 1, strand, "CDS", f"t{number}"))
        genes.append(rows)
    return genes


def spliced(rows: list[Row], kind: str) -> list[int]:
    """Bases of a kind in the order in which they are transcribed."""
    bases = sorted(base for row in rows if row[4] == kind for base in range(row[1], row[2]))
    return bases if rows[0][3] == "+" else bases[::-1]


def brute(rows: list[Row], *, stop_in_cds: bool) -> dict[str, set[int]]:
    exon, coding = spliced(rows, "exon"), spliced(rows, "CDS")
    found: dict[str, set[int]] = {kind: set() for kind in KINDS}
    for left, right in itertools.pairwise(exon):
        intron = list(range(left + 1, right)) if left < right else list(range(left - 1, right, -1))
        if len(intron) >= 4:
            found["splice_donor"].update(intron[:2])
            found["splice_acceptor"].update(intron[-2:])
    if coding:
        whole = len(coding) % 3 == 0
        first, after = exon.index(coding[0]), exon.index(coding[-1]) + 1
        if whole:
            found["start_codon"].update(coding[:3])
            stop = coding[-3:] if stop_in_cds else exon[after : after + 3]
            found["stop_codon"].update(stop if len(stop) == 3 else [])
        found["five_prime_utr"].update(exon[:first])
        found["three_prime_utr"].update(exon[after + (3 if whole and not stop_in_cds else 0) :])
    return found


KINDS = ("splice_donor", "splice_acceptor", "start_codon", "stop_codon", "five_prime_utr", "three_prime_utr")


@pytest.mark.parametrize("stop_in_cds", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_derived_elements_equal_brute_force(seed: int, *, stop_in_cds: bool) -> None:
    genes = random_genes(seed)
    rows = [row for gene in genes for row in gene]
    random.Random(seed).shuffle(rows)
    found = Annotation(table_of(*rows), stop_in_cds=stop_in_cds)
    by_gene = [brute(gene, stop_in_cds=stop_in_cds) for gene in genes]
    for kind in KINDS:
        expected = set().union(*(one[kind] for one in by_gene))
        assert expected, "a test of nothing"
        assert set(np.flatnonzero(found.indicator(Interval("chr1", 0, 4000), kind)).tolist()) == expected


# Real genes -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def genes() -> Annotation:
    return annotation.read(data.bundle("genes"))


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(data.bundle("chr20"))


@pytest.mark.parametrize(
    ("kind", "bases", "share"), [("splice_donor", "GT", 0.985), ("splice_acceptor", "AG", 0.99)]
)
def test_real_introns_begin_with_gt_and_end_with_ag(
    genes: Annotation, reference: Reference, kind: str, bases: str, share: float
) -> None:
    exons = genes.table[genes.table["element"] == "exon"]
    strand_of: dict[int, str] = {}
    for edge in ("start", "end"):
        strand_of |= dict(zip(exons[edge].tolist(), exons["strand"], strict=True))
    chromosome = reference.fetch(reference.whole("20")).sequence
    sites = stretches(genes, kind)
    right = 0
    for start, end in sites:
        # A donor on + begins where an exon ends; one on - ends where an exon begins.
        forward = strand_of.get(start) == "+" if kind == "splice_donor" else strand_of.get(end) == "+"
        found = chromosome[start:end]
        right += (found if forward else reverse_complement(found)) == bases
    assert len(sites) > 4000
    assert right / len(sites) > share


def test_derived_parts_equal_those_of_the_file(genes: Annotation) -> None:
    stated = ("five_prime_utr", "three_prime_utr", "start_codon", "stop_codon")
    bare = Annotation(genes.table[~genes.table["element"].isin(stated)])
    for kind in stated:
        pd.testing.assert_frame_equal(bare.elements(kind), genes.elements(kind))
