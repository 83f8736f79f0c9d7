"""Models trained on a task, whole or by adapters, and networks that learn it from nothing. The base model stays as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.finetuning.fit import RECIPES, Recipe
    from ntviz.finetuning.learners import METHODS, NETWORKS, network
    from ntviz.finetuning.tuned import Tuned, load, train_network, tune

__getattr__, __all__ = lazily(__name__)
