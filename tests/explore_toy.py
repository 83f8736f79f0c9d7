"""What tests of the explorers share: a small annotation, and a substitution."""

from __future__ import annotations

from pathlib import Path

from ntviz import annotation
from ntviz.genome import Variant
from ntviz.reference import Reference


def annotated(folder: Path, chrom: str, *genes: tuple) -> annotation.Annotation:
    """Genes of (name, strand, and the first and last base of each exon), one transcript each."""
    lines = []
    for name, strand, *exons in genes:
        about = f'gene_id "{name[:3]}"; gene_name "{name}"; transcript_id "{name[:3]}.1";'
        ends = exons[0][0], exons[-1][1]
        parts = [("gene", *ends), ("transcript", *ends), *(("exon", *exon) for exon in exons)]
        lines += [f"{chrom}\ttoy\t{kind}\t{a}\t{b}\t.\t{strand}\t.\t{about}\n" for kind, a, b in parts]
    (folder / "toy.gtf").write_text("".join(lines))
    return annotation.read(folder / "toy.gtf")


def snv(reference: Reference, pos: int = 2101, contig: str = "20") -> Variant:
    """A substitution of what the reference has."""
    base = reference.fetch(f"{contig}:{pos}").sequence
    return Variant(contig, pos, base, "ACGT"[("ACGT".find(base) + 1) % 4])
