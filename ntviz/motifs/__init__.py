"""Motifs of DNA-binding proteins: matrices of base probabilities, and where they match a sequence.

`read` takes a file in MEME format, such as JASPAR's; `scan` finds matches with exact p-values, and `hits` lists them
in genome coordinates.
"""

from __future__ import annotations

from ntviz.motifs.matrix import Motif
from ntviz.motifs.meme import Motifs, read
from ntviz.motifs.scanning import composition, hits, scan

__all__ = ["Motif", "Motifs", "composition", "hits", "read", "scan"]
