"""The checkpoint that a training run goes on from: weights, optimisers and counters, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import EsmForMaskedLM

from ntviz import environment
from ntviz.pretraining.recipe import Recipe

_FREE = ("micro_tokens", "precision", "cooldown_steps", "learning_rate", "schedule")
"""What may change when a run goes on: memory, the device's arithmetic, and the end of the schedule."""


def write(
    directory: Path,
    recipe: Recipe,
    module: EsmForMaskedLM,
    optimisers: list[torch.optim.Optimizer],
    state: dict[str, Any],
) -> None:
    """Replaces the directory's checkpoint by the state of now, whole or not at all."""
    with environment.atomic_directory(directory / "checkpoint") as folder:
        save_file(
            {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()},
            folder / "weights.safetensors",
        )
        for index, optimiser in enumerate(optimisers):
            torch.save(optimiser.state_dict(), folder / f"optimiser{index}.pt")
        text = json.dumps({**state, "recipe": recipe.as_dict()}, indent=2)
        (folder / "state.json").write_text(text + "\n", encoding="utf-8")


def resume(
    directory: Path, recipe: Recipe, module: EsmForMaskedLM, optimisers: list[torch.optim.Optimizer]
) -> tuple[int, float, float]:
    """Steps done, seconds used and best held-out loss of the checkpoint; it is loaded into module and optimisers."""
    folder = directory / "checkpoint"
    if not (folder / "state.json").is_file():
        return 0, 0.0, float("inf")
    with _whole(folder):
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        theirs, found = state["recipe"], (state["step"], state["seconds"], state["best"])
    ours = recipe.as_dict()
    changed = sorted(key for key in ours if ours[key] != theirs.get(key) and key not in _FREE)
    if changed:
        key = changed[0]
        raise ValueError(
            f"{directory} must hold a run of the same recipe to go on; {key} was {theirs.get(key)!r} and is now "
            f"{ours[key]!r}. Train in another directory, or delete this one."
        )
    with _whole(folder):
        module.load_state_dict(load_file(folder / "weights.safetensors"))
        for index, optimiser in enumerate(optimisers):
            # A GPU's checkpoint goes on elsewhere, too: each optimiser moves its state to where its parameters are.
            kept = torch.load(folder / f"optimiser{index}.pt", weights_only=True, map_location="cpu")
            optimiser.load_state_dict(kept)
    return found


@contextmanager
def _whole(folder: Path) -> Generator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, EOFError, SafetensorError, UnpicklingError) as error:
        raise ValueError(
            f"{folder} must be a whole checkpoint to go on from; reading it failed: {type(error).__name__}: {error}. "
            "It was damaged after it was written: delete it to begin anew, or train in another directory."
        ) from error
