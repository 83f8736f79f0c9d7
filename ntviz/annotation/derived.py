"""Elements that a table of features does not state, taken from those that it does."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ntviz.annotation.stretches import promoters
from ntviz.annotation.transcripts import Stretches, introns, splice_sites, start_codons, stop_codons, utrs

if TYPE_CHECKING:
    import pandas as pd


def derivable(stated: Collection[str]) -> list[str]:
    """Elements that follow from the stated ones and are not among them; intergenic has no stretches of its own."""
    found = []
    if "exon" in stated:
        found += ["intron", "splice_donor", "splice_acceptor"]
    if "exon" in stated and "CDS" in stated:
        found += ["five_prime_utr", "three_prime_utr", "start_codon", "stop_codon"]
    if "gene" in stated or "transcript" in stated:
        found += ["promoter", "intergenic"]
    return [kind for kind in found if kind not in stated]


def derived_stretches(
    kind: str, table: pd.DataFrame, *, starting: str, promoter: tuple[int, int], stop_in_cds: bool
) -> Stretches:
    """Contigs, starts and ends of a kind of element that `derivable` names; promoters are of the element `starting`."""
    exons = table["element"] == "exon"
    if kind == "intron":
        return introns(table[exons])
    if kind in ("splice_donor", "splice_acceptor"):
        return splice_sites(table[exons], donor=kind == "splice_donor")
    if kind == "start_codon":
        return start_codons(table)
    if kind == "stop_codon":
        return stop_codons(table, stop_in_cds=stop_in_cds)
    if kind in ("five_prime_utr", "three_prime_utr"):
        return utrs(table, five_prime=kind == "five_prime_utr", stop_in_cds=stop_in_cds)
    return promoters(table[table["element"] == starting], *promoter)
