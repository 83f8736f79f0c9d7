"""Public data beside the clone against the bundled reference: each record of ClinVar and of a promoter's MPRA.

The files are no part of the repository. Continuous integration has them in ../shared/data, and fails here if it has
not. A machine of somebody's own without them does not collect this file at all (conftest.py), so nothing is skipped.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ntviz import data
from ntviz.genome import Interval, Variant
from ntviz.reference import Reference
from ntviz.sequence import apply_variant, reverse_complement

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
CLINVAR = SHARED / "clinvar_2016-05_grch37_chr20.vcf.gz"
MPRA = SHARED / "mpra_hnf4a_grch37.tsv"
AROUND = 20  # bp on each side of a variant


def there(path: Path) -> Path:
    if not path.is_file():
        pytest.fail(f"{path} must lie beside the clone here, and does not. Copy it there, or unset CI.")
    return path


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
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


def test_every_clinvar_record_agrees_with_the_bundled_chromosome(reference: Reference) -> None:
    with gzip.open(there(CLINVAR), "rt", encoding="utf-8") as lines:
        records = [line.rstrip("\n") for line in lines if not line.startswith("#")]
    assert len(records) == 1_699
    kinds = Counter()
    for record in records:
        chrom, pos, _, ref, alt, *_ = record.split("\t")
        variant = Variant.from_str(record)
        assert variant == Variant(chrom, int(pos), ref, alt)
        for text in (str(variant), f"{chrom}-{pos}-{ref}-{alt}", f"{chrom}:{pos}:{ref}:{alt}"):
            assert Variant.from_str(text) == variant
        check_alleles(reference, variant)
        kinds[variant.kind] += 1
    assert sum(kinds.values()) == 1_699
    assert kinds["SNV"] == sum(len(r.split("\t")[3]) == len(r.split("\t")[4]) == 1 for r in records)


def test_every_measured_variant_of_the_promoter_agrees_with_it(reference: Reference) -> None:
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
