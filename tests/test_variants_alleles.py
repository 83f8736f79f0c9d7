"""Alleles: their shortest and leftmost form is the one of `bcftools norm`."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
from variant_brute import changed

from ntviz.genome import Variant
from ntviz.reference import Reference
from ntviz.variants.alleles import Allele, Change, left_aligned, smallest
from ntviz.variants.plan import Planner


def repetitive(seed: int, length: int = 900) -> str:
    rng = np.random.default_rng(seed)
    units = ["A", "CA", "CAG", "GT", "AAAT", "ACGTTGCA", "T"]
    parts: list[str] = []
    while sum(map(len, parts)) < length:
        parts.append(str(rng.choice(units)) * int(rng.integers(1, 12)))
        parts.append("".join(rng.choice(list("ACGT"), size=int(rng.integers(0, 5)))))
    return "".join(parts)[:length]


def random_alleles(contig: str, seed: int, count: int) -> list[tuple[int, str, str]]:
    """Indels, substitutions and both at once, with bases around that need not be there, somewhere in a contig."""
    rng = np.random.default_rng(seed)
    found: list[tuple[int, str, str]] = []
    while len(found) < count:
        at, cut = int(rng.integers(1, len(contig) - 40)), int(rng.integers(0, 9))
        put = contig[at + 5 : at + 5 + int(rng.integers(0, 9))]
        if rng.random() < 0.3:
            put = "".join(rng.choice(list("ACGT"), size=len(put)))
        before, after = int(rng.integers(1, 4)), int(rng.integers(0, 4))
        begin = max(at - before, 0)
        left, right = contig[begin:at], contig[at + cut : at + cut + after]
        ref, alt = left + contig[at : at + cut] + right, left + put + right
        if ref != alt:
            found.append((begin + 1, ref, alt))
    return found


def test_the_form_is_the_same_edit_shortest_and_leftmost():
    for seed in range(6):
        contig = repetitive(seed, 300)
        for pos, ref, alt in random_alleles(contig, seed, 60):
            short = smallest(pos - 1, ref, alt)
            change = left_aligned(short, lambda at, contig=contig: contig[at : at + 1] if at >= 0 else "")
            assert contig[change.start : change.end] == change.ref
            edited = contig[: pos - 1] + alt + contig[pos - 1 + len(ref) :]
            assert contig[: change.start] + change.alt + contig[change.end :] == edited
            assert (change.start, change.ref, change.alt) == changed(contig, pos, ref, alt)
            assert change.length == max(len(change.ref), len(change.alt)) <= short.length


def test_the_form_is_that_of_bcftools(tmp_path):
    contig = repetitive(9)
    path = tmp_path / "repeats.fa"
    path.write_text(f">20\n{contig}\n")
    reference = Reference(path)
    alleles = [*random_alleles(contig, 9, 400), (1, contig[:3], contig[2]), (1, contig[0], contig[0] * 3)]
    alleles += [(880, contig[879:890], contig[879:889]), (900, contig[899], contig[899] * 2)]
    lines = [
        "##fileformat=VCFv4.2",
        f"##contig=<ID=20,length={len(contig)}>",
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO",
    ]
    order = sorted(range(len(alleles)), key=lambda index: alleles[index][0])
    lines += [f"20\t{alleles[i][0]}\t{i}\t{alleles[i][1]}\t{alleles[i][2]}\t.\t.\t." for i in order]
    (tmp_path / "in.vcf").write_text("\n".join(lines) + "\n")
    bcftools = shutil.which("bcftools")
    assert bcftools, "This test needs bcftools. On Debian and Ubuntu: apt-get install bcftools"
    command = [bcftools, "norm", "-c", "e", "-f", str(reference.path), str(tmp_path / "in.vcf")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    planner, kinds = Planner(reference, 6, 31), set()
    rows = [line.split("\t") for line in output.splitlines() if not line.startswith("#")]
    assert len(rows) == len(alleles)
    for _, pos, name, ref, alt, *_ in rows:
        change = planner.plan(Allele("20", *alleles[int(name)])).change
        start = int(pos) - 1
        if len(ref) != len(alt) and 1 in (len(ref), len(alt)):
            # VCF keeps one base beside an insertion or deletion: the one before, or at the very start the one after.
            if start == 0 and ref[-1] == alt[-1]:
                ref, alt = ref[:-1], alt[:-1]
            elif ref[0] == alt[0]:
                start, ref, alt = start + 1, ref[1:], alt[1:]
        assert change == Change(start, start + len(ref), ref, alt), alleles[int(name)]
        kinds.add(change.kind)
    assert kinds == {"SNV", "MNV", "insertion", "deletion", "delins"}


def test_alleles_of_variants_and_text():
    assert Allele.of("chr20:1,000 C>T") == ("chr20", 1000, "C", "T")
    assert Allele.of(Variant("20", 1000, "C", "CA")) == ("20", 1000, "C", "CA")
