"""Named checkpoints, loading and the forward pass. `models.load` is the front door; torch is imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily
from ntviz.models import registry

if TYPE_CHECKING:
    from ntviz.models.checkpoints import load
    from ntviz.models.protocol import OUTPUTS, DNAModel, Embedder, Forward
    from ntviz.models.registry import SPECS, ModelSpec, seen
    from ntviz.models.segment_nt import untrained
    from ntviz.models.segmentation import Segmentation, effect, splice_sites
    from ntviz.models.verification import Verification, verify

__getattr__, __all__ = lazily(__name__)
