"""What a masked DNA language model predicts over a genome: base by base, up to a chromosome, and by genomic element.

`reconstruct` hides the bases of an interval from a model and keeps the probability of each reference base; `by_element`
compares elements with all bases, with the same elements shifted at random, and with controls without order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.landscape.by_element import by_element
    from ntviz.landscape.reconstruct import reconstruct, reconstruct_file
    from ntviz.landscape.result import Landscape

__getattr__, __all__ = lazily(__name__)
