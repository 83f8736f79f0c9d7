"""Motifs of DNA-binding proteins: matrices of base probabilities, and where they match a sequence.

`read` takes a file in MEME format, such as JASPAR's; `scan` finds matches with exact p-values, `scan_many` in many
sequences at once, and `hits` lists them in genome coordinates. `name` says which known motif an unknown one is like, and
`insertion` whether a model answers to it. `seqlets` and `discover` find motifs in what bases contribute to a model's answer;
`Detector` is a network of which it is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.motifs.detector import Detector
    from ntviz.motifs.discover import Discovery, Pattern, discover
    from ntviz.motifs.insertion import Insertion, Planted, insertion, plant
    from ntviz.motifs.matrix import Motif
    from ntviz.motifs.meme import Motifs, read
    from ntviz.motifs.names import Family, Names, families, name
    from ntviz.motifs.scans import composition, hits, scan, scan_many
    from ntviz.motifs.seqlets import seqlets

__getattr__, __all__ = lazily(__name__)
