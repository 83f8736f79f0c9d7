"""Genes, exons and other elements over an Interval, from GTF, GFF3 and BED.

`read` makes an `Annotation`, whose table is 0-based half-open and whose elements have the same names whatever the file calls them;
introns, splice sites, promoters, intergenic and, where the file has none, UTRs and codons are derived. `cpg_islands`,
`tandem_repeats` and `polya_signals` are found in the bases; `from_table` takes a table, `combine` makes one of several, `named` reads
a person's own files, as `beds=` takes them; `read_signal` makes a `Signal`, one number a base, of bedGraph or bigWig.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.annotation.combine import REGULATORY, Beds, combine, from_table, named
    from ntviz.annotation.elements import Annotation
    from ntviz.annotation.from_bases import cpg_islands, polya_signals, tandem_repeats
    from ntviz.annotation.read import read
    from ntviz.annotation.signal import Signal, read_signal
    from ntviz.annotation.transcripts import PROMOTER

__getattr__, __all__ = lazily(__name__)
