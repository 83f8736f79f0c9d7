"""Genes, exons and other elements over an Interval, from GTF, GFF3 and BED.

`read` makes an `Annotation`, whose table is 0-based half-open and whose elements have the same names whatever the file calls them:
gene, transcript, exon, CDS, five_prime_utr, three_prime_utr, start_codon, stop_codon. Introns, splice sites, promoters and
intergenic are derived from these, and so are UTRs and codons where the file has none. `cpg_islands` and `tandem_repeats` are found
in the bases, `polya_signals` at the ends of transcripts; `from_table` takes a table, `combine` makes one of several, and `named`
reads a person's own files, as `beds=` takes them. `read_signal` makes a `Signal`, one number a base, of bedGraph or bigWig.
"""

from __future__ import annotations

from ntviz.annotation.combine import REGULATORY, Beds, combine, from_table, named
from ntviz.annotation.elements import Annotation
from ntviz.annotation.from_bases import cpg_islands, polya_signals, tandem_repeats
from ntviz.annotation.read import read
from ntviz.annotation.signal import Signal, read_signal
from ntviz.annotation.transcripts import PROMOTER

__all__ = [
    "PROMOTER",
    "REGULATORY",
    "Annotation",
    "Beds",
    "Signal",
    "combine",
    "cpg_islands",
    "from_table",
    "named",
    "polya_signals",
    "read",
    "read_signal",
    "tandem_repeats",
]
