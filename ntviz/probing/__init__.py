"""Probes on fixed vectors, with what they must be held against: intervals over groups, permuted labels, control tasks.

scikit-learn does the fitting; what is ours is what may be seen when: scaling, layer and strength are chosen inside the
training part only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntviz.probing.comparing import Comparison, compare, false_discovery
    from ntviz.probing.controlling import Controls, control_labels, controls
    from ntviz.probing.intervals import Interval95, bootstrap, redrawn
    from ntviz.probing.metrics import metric_names, scores
    from ntviz.probing.probes import METHODS, Probed, probe
    from ntviz.probing.splits import folds

_HOMES = {
    "comparing": ("Comparison", "compare", "false_discovery"),
    "controlling": ("Controls", "control_labels", "controls"),
    "intervals": ("Interval95", "bootstrap", "redrawn"),
    "metrics": ("metric_names", "scores"),
    "probes": ("METHODS", "Probed", "probe"),
    "splits": ("folds",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "METHODS",
    "Comparison",
    "Controls",
    "Interval95",
    "Probed",
    "bootstrap",
    "compare",
    "control_labels",
    "controls",
    "false_discovery",
    "folds",
    "metric_names",
    "probe",
    "redrawn",
    "scores",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'ntviz.probing' has no attribute {name!r}")
    return getattr(import_module(f"ntviz.probing.{_HOME_OF[name]}"), name)
