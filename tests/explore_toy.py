"""What tests of the explorers share: a small annotation, and the default model, loaded once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ntviz import annotation, models
from ntviz.genome import Variant
from ntviz.reference import Reference


@cache
def mini():
    return models.load("ntviz-mini", device="cpu")


def annotated(folder: Path, chrom: str, *genes: tuple) -> annotation.Annotation:
    """Genes of (name, strand, and the first and last base of each exon), one transcript each."""
    lines = []
    for name, strand, *exons in genes:
        about = f'gene_id "{name[:3]}"; gene_name "{name}"; transcript_id "{name[:3]}.1";'
        ends = exons[0][0], exons[-1][1]
        for kind, first, last in [
            ("gene", *ends),
            ("transcript", *ends),
            *(("exon", *exon) for exon in exons),
        ]:
            lines.append(f"{chrom}\ttoy\t{kind}\t{first}\t{last}\t.\t{strand}\t.\t{about}\n")
    (folder / "toy.gtf").write_text("".join(lines))
    return annotation.read(folder / "toy.gtf")


def snv(reference: Reference, pos: int = 2101, contig: str = "20") -> Variant:
    """A substitution of what the reference has."""
    base = reference.fetch(f"{contig}:{pos}").sequence
    return Variant(contig, pos, base, "ACGT"[("ACGT".find(base) + 1) % 4])
