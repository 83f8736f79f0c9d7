"""Models trained on a task, whole or by adapters, and networks that learn it from nothing. The base model stays as it was."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntviz.finetuning.adapters import METHODS, adapter_parameters
    from ntviz.finetuning.networks import NETWORKS, network
    from ntviz.finetuning.recipe import RECIPES, Recipe
    from ntviz.finetuning.tuned import Tuned, load, train_network, tune

_HOMES = {
    "adapters": ("METHODS", "adapter_parameters"),
    "networks": ("NETWORKS", "network"),
    "recipe": ("RECIPES", "Recipe"),
    "tuned": ("Tuned", "load", "train_network", "tune"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

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


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'ntviz.finetuning' has no attribute {name!r}")
    return getattr(import_module(f"ntviz.finetuning.{_HOME_OF[name]}"), name)
