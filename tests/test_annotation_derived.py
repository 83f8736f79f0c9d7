"""Splice sites, codons and UTRs that no file states: from exons and CDS, base by base, and on real genes."""

from __future__ import annotations

import itertools
import random

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


# CDS 118-120, 130-150, 160-162: 24 bases, 8 codons; the first codon lies on two exons.
PARTS = [
    *((100, 120, "exon"), (130, 150, "exon"), (160, 180, "exon")),
    *((118, 120, "CDS"), (130, 150, "CDS"), (160, 162, "CDS")),
]
FORWARD = [("1", start, end, "+", kind, "A") for start, end, kind in PARTS]
BACKWARD = [("1", 1000 - end, 1000 - start, "-", kind, "B") for start, end, kind in PARTS]
LNC = [("1", 300, 400, "+", "exon", "lnc"), ("1", 450, 500, "+", "exon", "lnc")]


@pytest.mark.parametrize(("rows", "inside", "expected"), [
    (FORWARD, False, {
        "splice_donor": [(120, 122), (150, 152)], "splice_acceptor": [(128, 130), (158, 160)],
        "start_codon": [(118, 120), (130, 131)], "stop_codon": [(162, 165)],
        "five_prime_utr": [(100, 118)], "three_prime_utr": [(165, 180)],
    }),
    (BACKWARD, False, {
        "splice_donor": [(848, 850), (878, 880)], "splice_acceptor": [(840, 842), (870, 872)],
        "start_codon": [(869, 870), (880, 882)], "stop_codon": [(835, 838)],
        "five_prime_utr": [(882, 900)], "three_prime_utr": [(820, 835)],
    }),
    # The stop within the CDS, as in GFF3.
    (FORWARD, True, {"stop_codon": [(149, 150), (160, 162)], "three_prime_utr": [(162, 180)]}),
    # What a file states is not derived. The stated stop codon is no UTR; of one nobody states nothing is taken away.
    ([*FORWARD, ("1", 500, 502, "+", "splice_donor", "A"), ("1", 162, 165, "+", "stop_codon", "A")], False,
     {"splice_donor": [(500, 502)], "stop_codon": [(162, 165)], "three_prime_utr": [(165, 180)]}),
    ([*FORWARD, ("1", 900, 903, "+", "stop_codon", "B")], False, {"three_prime_utr": [(162, 180)]}),
    # A broken frame gives no codons.
    ([*FORWARD[:-1], ("1", 160, 163, "+", "CDS", "A")], False,
     {"start_codon": [], "stop_codon": [], "three_prime_utr": [(163, 180)]}),
    # A frame that ends with its exons has no stop codon.
    ([("1", 100, 130, "+", "exon", "A"), ("1", 100, 130, "+", "CDS", "A")], False,
     {"start_codon": [(100, 103)], "stop_codon": [], "five_prime_utr": []}),
    # Without CDS there is no UTR.
    ([*FORWARD, *LNC], False, {"five_prime_utr": [(100, 118)], "three_prime_utr": [(165, 180)]}),
    # An exon that names no gene and no transcript has no neighbour, and one without strand no splice sites.
    ([("1", start, start + 5, *more) for start in (10, 30) for more in ((".", "exon", "A"), ("+", "exon", ""))], False,
     {"intron": [(15, 30)], "splice_donor": []}),
    # Short gaps have no splice sites.
    ([("1", 0, 10, "+", "exon", "A"), ("1", 13, 20, "+", "exon", "A"), ("1", 24, 30, "+", "exon", "A")], False,
     {"intron": [(10, 13), (20, 24)], "splice_donor": [(20, 22)], "splice_acceptor": [(22, 24)]}),
])  # fmt: skip
def test_derived_elements_by_hand(rows, inside, expected):
    found = Annotation(table_of(*rows), stop_in_cds=inside)
    assert {kind: stretches(found, kind) for kind in expected} == expected
    near = found.within(Interval("1", 0, 1000))
    assert {kind: stretches(near, kind) for kind in expected} == expected
    assert "five_prime_utr" not in Annotation(table_of(*LNC)).kinds


@pytest.mark.parametrize(("name", "head", "attributes", "stop"), [
    ("a.gtf", "", 'gene_id "A"; transcript_id "A";', [(162, 165)]),
    ("a.gff3", "1\tt\tmRNA\t101\t180\t.\t+\t.\tID=A\n", "Parent=A", [(149, 150), (160, 162)]),
])  # fmt: skip
def test_files_know_where_their_stop_codon_is(tmp_path, name, head, attributes, stop):
    lines = (f"1\tt\t{kind}\t{start + 1}\t{end}\t.\t+\t.\t{attributes}\n" for start, end, kind in PARTS)
    (tmp_path / name).write_text(head + "".join(lines))
    assert stretches(annotation.read(tmp_path / name), "stop_codon") == stop


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
            parts = ([base for base in range(start, end) if base in coding] for start, end in exons)
            rows += [("1", part[0], part[-1] + 1, strand, "CDS", f"t{number}") for part in parts if part]
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
@pytest.mark.parametrize("seed", range(3))
def test_derived_elements_equal_brute_force(seed, stop_in_cds):
    genes = random_genes(seed)
    rows = [row for gene in genes for row in gene]
    random.Random(seed).shuffle(rows)
    found = Annotation(table_of(*rows), stop_in_cds=stop_in_cds)
    by_gene = [brute(gene, stop_in_cds=stop_in_cds) for gene in genes]
    for kind in KINDS:
        expected = set().union(*(one[kind] for one in by_gene))
        assert expected, "a test of nothing"
        assert set(np.flatnonzero(found.indicator(Interval("chr1", 0, 4000), kind)).tolist()) == expected


def test_real_introns_begin_with_gt_and_derived_parts_equal_stated_ones():
    genes = annotation.read(data.bundle("genes"))
    exons = genes.table[genes.table["element"] == "exon"]
    strand_of: dict[int, str] = {}
    for edge in ("start", "end"):
        strand_of |= dict(zip(exons[edge].tolist(), exons["strand"], strict=True))
    with Reference(data.bundle("chr20")) as reference:
        chromosome = reference.fetch(reference.whole("20")).sequence
    for kind, bases, share in (("splice_donor", "GT", 0.985), ("splice_acceptor", "AG", 0.99)):
        right, sites = 0, stretches(genes, kind)
        for start, end in sites:
            # A donor on + begins where an exon ends; one on - ends where an exon begins.
            forward = strand_of.get(start if kind == "splice_donor" else end) == "+"
            found = chromosome[start:end]
            right += (found if forward else reverse_complement(found)) == bases
        assert len(sites) > 4000 and right / len(sites) > share
    stated = ("five_prime_utr", "three_prime_utr", "start_codon", "stop_codon")
    bare = Annotation(genes.table[~genes.table["element"].isin(stated)])
    for kind in stated:
        pd.testing.assert_frame_equal(bare.elements(kind), genes.elements(kind))
