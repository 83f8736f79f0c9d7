"""Genes, exons and other elements over an Interval, from GTF, GFF3 and BED.

`read` makes an `Annotation`, whose table is 0-based half-open whatever the file is. Elements have the same names
whatever the file calls them: gene, transcript, exon, CDS, five_prime_utr, three_prime_utr, start_codon, stop_codon;
intron, promoter and intergenic are derived from these.
"""

from __future__ import annotations

from ntviz.annotation.elements import Annotation
from ntviz.annotation.reading import read
from ntviz.annotation.stretches import PROMOTER

__all__ = ["PROMOTER", "Annotation", "read"]
