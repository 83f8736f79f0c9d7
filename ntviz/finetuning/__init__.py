"""Models trained on a task, whole or by adapters, and networks that learn it from nothing. The base model stays as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.finetuning.adapters import METHODS, adapter_parameters
    from ntviz.finetuning.fitting import RECIPES, Recipe
    from ntviz.finetuning.learners import NETWORKS, network
    from ntviz.finetuning.tuned import Tuned, load, train_network, tune

_HOMES = {
    "adapters": ("METHODS", "adapter_parameters"),
    "fitting": ("RECIPES", "Recipe"),
    "learners": ("NETWORKS", "network"),
    "tuned": ("Tuned", "load", "train_network", "tune"),
}

__all__ = [
    "METHODS",
    "NETWORKS",
    "RECIPES",
    "Recipe",
    "Tuned",
    "adapter_parameters",
    "load",
    "network",
    "train_network",
    "tune",
]

__getattr__ = lazily(__name__, _HOMES)
