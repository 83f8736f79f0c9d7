"""Motifs of DNA-binding proteins: matrices of base probabilities, and where they match a sequence.

`read` takes a file in MEME format, such as JASPAR's; `scan` finds matches with exact p-values, and `hits` lists them
in genome coordinates.
"""

from __future__ import annotations

from ntviz.motifs.families import Family, families
from ntviz.motifs.many import scan_many
from ntviz.motifs.matrix import Motif
from ntviz.motifs.meme import Motifs, read
from ntviz.motifs.scanning import composition, hits, scan

__all__ = ["Family", "Motif", "Motifs", "composition", "families", "hits", "read", "scan", "scan_many"]
