"""Probes on fixed vectors, with what they must be held against: intervals over groups, permuted labels, control tasks.

scikit-learn does the fitting; what is ours is what may be seen when: scaling, layer and strength are chosen inside the
training part only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.probing.comparison import Comparison, Interval95, bootstrap, compare, redrawn
    from ntviz.probing.control import Controls, control_labels, controls
    from ntviz.probing.estimators import METHODS, Fitted, Setting
    from ntviz.probing.metrics import metric_names, scores
    from ntviz.probing.probes import Probed, fit, folds, probe, splits

__getattr__, __all__ = lazily(__name__)
