"""Probes on fixed vectors, with what they must be held against: intervals over groups, permuted labels, control tasks.

scikit-learn does the fitting; what is ours is what may be seen when: scaling, layer and strength are chosen inside the
training part only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.probing.comparing import Comparison, compare, false_discovery
    from ntviz.probing.controlling import Controls, control_labels, controls
    from ntviz.probing.estimators import Fitted, Setting
    from ntviz.probing.intervals import Interval95, bootstrap, middle, redrawn
    from ntviz.probing.metrics import metric_names, scores
    from ntviz.probing.probes import METHODS, Probed, fit, probe
    from ntviz.probing.splitting import folds, splits

_HOMES = {
    "comparing": ("Comparison", "compare", "false_discovery"),
    "controlling": ("Controls", "control_labels", "controls"),
    "estimators": ("Fitted", "Setting"),
    "intervals": ("Interval95", "bootstrap", "middle", "redrawn"),
    "metrics": ("metric_names", "scores"),
    "probes": ("METHODS", "Probed", "fit", "probe"),
    "splitting": ("folds", "splits"),
}

__all__ = [
    "METHODS",
    "Comparison",
    "Controls",
    "Fitted",
    "Interval95",
    "Probed",
    "Setting",
    "bootstrap",
    "compare",
    "control_labels",
    "controls",
    "false_discovery",
    "fit",
    "folds",
    "metric_names",
    "middle",
    "probe",
    "redrawn",
    "scores",
    "splits",
]

__getattr__ = lazily(__name__, _HOMES)
