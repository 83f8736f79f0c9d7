"""What each base contributes to a number that a model gives: by gradients, by mutagenesis, and whether it can be believed.

A target says which number: of a language model `BaseProbability`, `Direction` or `Probe`, of a tuned head or a network on one-hot bases
`Output`. `contrast` sets two alleles side by side; `agreement`, `deletion` and `sanity` are the controls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.attribution.contrast import Contrast, contrast
    from ntviz.attribution.faithfulness import Sanity, agreement, ask, deletion, mutagenesis, occlusion, sanity
    from ntviz.attribution.gradients import gradient_times_input, integrated_gradients
    from ntviz.attribution.result import Attribution, Compared
    from ntviz.attribution.target import BaseProbability, Direction, Output, Probe, SpliceSite, Target

__getattr__, __all__ = lazily(__name__)
