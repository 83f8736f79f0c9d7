"""Places and changes on a genome: `Interval`, `Variant`, and the names of contigs.

Inside ntviz a position is 0-based and an interval is half-open, as in BED and in Python slices. Text that
people type or paste (`chr20:1,000-2,000`, `chr20:1024:A>C`) is 1-based and closed, as in genome browsers and
VCF. Only the text forms, and `Variant.pos`, are 1-based; each docstring says so.
"""

from __future__ import annotations

from ntviz.genome.contigs import accession_assembly, browser_contig, canonical_contig, resolve_contig
from ntviz.genome.interval import STRANDS, Interval
from ntviz.genome.variant import Variant

__all__ = [
    "STRANDS", "Interval", "Variant", "accession_assembly", "browser_contig", "canonical_contig", "resolve_contig",
]  # fmt: skip
