"""Cells that train: fine-tuned models, and networks from nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ntviz import finetuning
from ntviz.benchmark.methods import Method
from ntviz.benchmark.settings import Settings
from ntviz.benchmark.task import Examples, Task


def recipe(method: Method, settings: Settings) -> finetuning.Recipe:
    """How a method is trained under these settings."""
    made = finetuning.RECIPES[method.name if method.family == "tuned" else "network"]
    return made if settings.steps is None else replace(made, steps=settings.steps)


def train(
    task: Task,
    method: Method,
    model: Any,
    settings: Settings,
    pooled: Examples,
    learned: np.ndarray,
    held: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Predictions for the examples `held` after learning from `learned`, and what is to be told.

    A tenth of the groups of what is learned from is set aside to choose the best state.
    """
    part = pooled.take(learned)
    about: dict[str, Any] = {
        "kind": task.kind,
        "outputs": len(task.classes),
        "groups": part.groups,
        "recipe": recipe(method, settings),
        "seed": seed,
    }
    if method.family == "tuned":
        tuned = finetuning.tune(model, part.sequences.tolist(), part.labels, method=method.name, **about)
    else:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = finetuning.network(
                method.name, outputs=len(task.classes), per_base=task.kind == "per_base"
            )
        tuned = finetuning.train_network(network, part.sequences.tolist(), part.labels, **about)
    told = {
        "trainable": tuned.trainable,
        "chosen": f"step {tuned.best_step:,} of {tuned.recipe.steps:,} by {tuned.chosen_by}, ended by {tuned.stopped}",
    }
    return tuned.predict(pooled.sequences[held].tolist()), told
