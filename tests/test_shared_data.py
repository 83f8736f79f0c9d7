"""Public data beside the clone (see conftest.py) against the bundled reference: each record of ClinVar and of an MPRA."""

from __future__ import annotations

import csv
import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from ntviz import annotation, benchmark, data, variants
from ntviz.genome import Interval, Variant
from ntviz.genome.sequence import apply_variant, reverse_complement
from ntviz.reference import Reference

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
CLINVAR = SHARED / "clinvar_2016-05_grch37_chr20.vcf.gz"
MPRA = SHARED / "mpra_hnf4a_grch37.tsv"
PROMOTERS = SHARED / "mit650.fasta"
AROUND = 20  # bp on each side of a variant


def there(path: Path) -> Path:
    if not path.is_file():
        pytest.fail(f"{path} must lie beside the clone here, and does not. Copy it there, or unset CI.")
    return path


@pytest.fixture(scope="module")
def reference():
    with Reference(data.bundle("chr20")) as opened:
        yield opened


def check_alleles(reference: Reference, variant: Variant) -> None:
    """REF is what both strands of the reference hold there, and ALT takes its place on both."""
    start, end = variant.start - AROUND, variant.end + AROUND
    forward = reference.fetch(Interval(variant.chrom, start, end, "+")).sequence
    assert forward[AROUND:-AROUND] == variant.ref, variant
    reverse = reference.fetch(Interval(f"chr{variant.chrom}", start, end, "-")).sequence
    assert reverse[AROUND:-AROUND] == reverse_complement(variant.ref), variant
    expected = forward[:AROUND] + variant.alt + forward[-AROUND:]
    assert apply_variant(forward, Interval("chr20", start, end, "+"), variant) == expected
    assert reverse_complement(apply_variant(reverse, Interval("20", start, end, "-"), variant)) == expected


def test_every_clinvar_record_agrees_with_the_bundled_chromosome(reference):
    with gzip.open(there(CLINVAR), "rt", encoding="utf-8") as lines:
        records = [line.rstrip("\n") for line in lines if not line.startswith("#")]
    assert len(records) == 1_699
    for record in records:
        chrom, pos, _, ref, alt, *_ = record.split("\t")
        variant = Variant.from_str(record)
        assert variant == Variant(chrom, int(pos), ref, alt)
        for text in (str(variant), f"{chrom}-{pos}-{ref}-{alt}", f"{chrom}:{pos}:{ref}:{alt}"):
            assert Variant.from_str(text) == variant
        check_alleles(reference, variant)
        assert variant.is_snv == (len(ref) == len(alt) == 1)


def test_every_measured_variant_of_the_promoter_agrees_with_it(reference):
    with there(MPRA).open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    assert len(rows) == 977
    for row in rows:
        # A deletion of one base is written with "-", which has no anchor: VCF adds the base before it.
        ref, alt, pos = row["Ref"], row["Alt"], int(row["Pos"])
        if alt == "-":
            with pytest.raises(ValueError, match="ALT must hold at least one base"):
                Variant(row["Chrom"], pos, ref, alt)
            anchor = reference.fetch(Interval(row["Chrom"], pos - 2, pos - 1)).sequence
            ref, alt, pos = anchor + ref, anchor, pos - 1
        check_alleles(reference, Variant(row["Chrom"], pos, ref, alt))


@pytest.fixture(scope="module")
def verdicts(reference):
    """ClinVar's clear verdicts with consequences and baselines."""
    table = variants.read_clinvar(there(CLINVAR))
    return table.join(variants.baselines(table, reference, annotation.read(data.bundle("genes"))).drop(columns="gene"))


def test_clear_verdicts_and_measured_substitutions_are_read(verdicts):
    counts = {"pathogenic": 718, "benign": 406, "uncertain or other": 569, "conflicting": 6}
    assert variants.read_clinvar(there(CLINVAR)).attrs["counts"] == counts
    assert verdicts["pathogenic"].value_counts().to_dict() == {1: 718, 0: 406}
    table = variants.read_mpra(there(MPRA))
    assert table.attrs["counts"] == {"substitutions": 855, "left out": 122}
    strongest = table.loc[table["effect"].idxmax()]
    # Where notebook 40 looks closely.
    assert strongest[["pos", "ref", "alt"]].tolist() == [42_984_307, "T", "C"]


def test_consequences_agree_with_the_names_of_the_variants(reference):
    """HGVS counts intronic bases from the exon: +1, +2, -1 and -2 are the cores of splice sites, 3 to 8 their region."""
    with gzip.open(there(CLINVAR), "rt", encoding="utf-8") as lines:
        rows = [line.rstrip().split("\t") for line in lines if not line.startswith("#")]
    names = [dict(part.partition("=")[::2] for part in row[7].split(";")) for row in rows]
    genes = annotation.read(data.bundle("genes"))
    found = variants.consequence([Variant(row[0], int(row[1]), row[3], row[4]) for row in rows], genes, reference)
    assert np.mean([one["GENE"] == gene for one, gene in zip(names, found["gene"], strict=True)]) > 0.93
    near, region = [], []
    for one, name in zip(names, found["consequence"], strict=True):
        place = re.search(r"\d([+-]\d+)[ACGT]>", one.get("HGVSC", ""))
        if place and abs(int(place[1])) <= 2:
            near.append(name == ("splice_donor" if place[1][0] == "+" else "splice_acceptor"))
        elif place and abs(int(place[1])) <= 8:
            region.append(name == "splice_region")
    assert (len(near), len(region)) == (35, 44) and all(near) and all(region)


def test_the_class_of_consequence_alone_orders_the_verdicts(verdicts):
    """What any model has to beat here: 0.86 for substitutions, with no model at all."""
    simple = verdicts[(verdicts["ref"].str.len() == 1) & (verdicts["alt"].str.len() == 1)]
    directions = {"severity": 1, "markov_llr": -1}
    found = variants.evaluate(simple, "pathogenic", directions, bootstrap=100).set_index(["score", "statistic"])
    severity = found.loc[("severity", "AUROC")]
    assert severity["value"] == pytest.approx(0.862, abs=0.005) and severity["low"] > 0.8
    assert severity["groups"] == 87 and abs(found.loc[("markov_llr", "AUROC"), "value"] - 0.5) < 0.06


def test_published_promoters_are_answered_by_a_matrix_and_not_by_k_mers(reference):
    """Published of compensated above broken ones: a PWM with relative positions 1.00, k-mers 0.43, other counts than ours."""
    chain = variants.Markov.fit(reference)
    found = benchmark.known_answers(
        chain, reference, questions=["promoter"], n=5, promoters=there(PROMOTERS), markov=chain, draws=200
    )
    row = found.table[found.table["case"].str.startswith("published")].iloc[0]
    assert (row["n"], row["pwm"], row["pwm_low"]) == (100, 1, 1)
    assert row["value"] == row["kmers"] and row["low"] < 0.5 < row["high"] and np.isnan(row["random"])
    published = {name: share for name, share, *_ in benchmark.PUBLISHED_PROMOTERS}
    assert published["PWM with relative positions"] == row["pwm"]
