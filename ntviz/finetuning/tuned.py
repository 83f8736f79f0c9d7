"""`tune` a model on a task, `train_network` from nothing; `Tuned` predicts, is saved, and loads back equal."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ntviz import environment
from ntviz.finetuning import adapters, fitting, heads
from ntviz.finetuning.learners import Learner, ModelLearner, NetworkLearner
from ntviz.finetuning.recipe import RECIPES, Recipe

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

HEAD, ENCODER, ABOUT = "head.safetensors", "encoder.safetensors", "tuned.json"
_Data = tuple[Sequence[str], np.ndarray]


@dataclass(frozen=True, eq=False)
class Tuned:
    """A model or network trained on a task.

    Attributes
    ----------
    learner
        What was trained, in its best state.
    kind, outputs
        Of the task: see `benchmark.Task`; number of classes, tracks or targets.
    method
        "ia3", "lora", "full", "head" or "network".
    recipe
        The settings.
    trainable
        Parameters that were trained, the head's included.
    best_step, stopped
        Step of the state that was kept, and whether training ended by "steps" or "patience".
    rows
        See `history`.
    base
        Name and weight hash of the model that was tuned; empty for a network.
    """

    learner: Learner
    kind: str
    outputs: int
    method: str
    recipe: Recipe
    trainable: int
    best_step: int
    stopped: str
    rows: list[dict[str, float]]
    base: dict[str, Any]

    def __repr__(self) -> str:
        name = self.base.get("name") or type(getattr(self.learner, "network", self.learner)).__name__
        return (
            f"Tuned({name} by {self.method} on a {self.kind} task: {self.trainable:,} parameters trained, best at "
            f"step {self.best_step:,}, ended by {self.stopped})"
        )

    @property
    def history(self) -> pd.DataFrame:
        """Columns [step, loss, validation_loss, validation]: the loss since the row before, and the first metric."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=["step", "loss", "validation_loss", "validation"])

    def predict(self, sequences: Sequence[str]) -> np.ndarray:
        """Answers, float32.

        Probabilities [sequence, class] or [sequence, track], values [sequence, target], or probabilities
        [sequence, base, class] for sequences of one length.

        Raises
        ------
        ValueError
            No sequences, or sequences of several lengths for a task by base.
        """
        if not len(sequences):
            raise ValueError("There must be at least one sequence; received none.")
        lengths = {len(text) for text in sequences}
        if self.kind == "per_base" and len(lengths) > 1:
            raise ValueError(
                f"Sequences of a task by base must have one length; received {min(lengths):,} to {max(lengths):,} bp. "
                "Predict each length by itself."
            )
        items = self.learner.prepare(list(sequences))
        return np.stack(fitting.predict(self.learner, items, kind=self.kind, precision=self.recipe.precision))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Keeps the adapter as peft keeps it, the head, and how they were made; all of it or nothing.

        Raises
        ------
        ValueError
            It is a network: those are kept by torch itself, since there is no base to return to.
        """
        from safetensors.torch import save_file

        if not isinstance(self.learner, ModelLearner):
            raise ValueError(
                "A tuned model can be saved; this is a network. Keep its learner.network.state_dict()."
            )
        folder = Path(folder)
        about = {
            "kind": self.kind,
            "outputs": self.outputs,
            "method": self.method,
            "recipe": asdict(self.recipe),
            "base": self.base,
            "trainable": self.trainable,
            "best_step": self.best_step,
            "stopped": self.stopped,
            "rows": self.rows,
        }
        with environment.atomic_directory(folder) as made:
            if self.method in ("ia3", "lora"):
                self.learner.encoder.save_pretrained(str(made))
                (made / "README.md").unlink(missing_ok=True)
            elif self.method == "full":
                state = {
                    name: value.contiguous() for name, value in self.learner.encoder.state_dict().items()
                }
                save_file(state, made / ENCODER)
            save_file(
                {name: value.contiguous() for name, value in self.learner.head.state_dict().items()},
                made / HEAD,
            )
            (made / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")
        return folder


def tune(
    model: Any,
    sequences: Sequence[str],
    labels: np.ndarray,
    *,
    kind: str,
    outputs: int,
    method: str = "ia3",
    groups: np.ndarray | None = None,
    validation: _Data | None = None,
    validation_share: float = 0.1,
    recipe: Recipe | None = None,
    seed: int = 0,
) -> Tuned:
    """A copy of the model trained on a task; the model itself stays as it was.

    Parameters
    ----------
    model
        `models.NucleotideTransformer`, or a peer for "full" and "head".
    sequences
        Upper-case A, C, G, T, N.
    labels
        By kind of task, as in `benchmark.Examples`.
    outputs
        Number of classes, tracks or targets.
    method
        "ia3" or "lora" (adapters), "full" (all weights) or "head" (the encoder as it is); each with a head of its own.
    groups
        [sequence]; what must not be on both sides of learning and validation.
    validation
        Sequences and labels by which the best state is chosen. Default: `validation_share` of the groups.
    recipe
        Default: `RECIPES[method]`.
    seed
        Of the validation part, the head, the order of batches and dropout.

    Raises
    ------
    ValueError
        Labels that do not fit, one class only, or a method that the model has no place for.
    FloatingPointError
        The loss is not finite.
    """
    if method not in adapters.METHODS:
        raise ValueError(f"The method must be one of {', '.join(adapters.METHODS)}; received {method!r}.")
    recipe = recipe or RECIPES[method]
    labels = np.asarray(labels)
    heads.check(kind, labels, outputs)
    learner = _learner(model, kind, outputs, method, recipe, seed)
    base = {"name": model.name, "weights_sha256": model.info.get("weights_sha256")}
    return _trained(
        learner,
        sequences,
        labels,
        kind,
        outputs,
        method,
        groups,
        validation,
        validation_share,
        recipe,
        seed,
        base,
    )


def train_network(
    network: nn.Module,
    sequences: Sequence[str],
    labels: np.ndarray,
    *,
    kind: str,
    outputs: int,
    groups: np.ndarray | None = None,
    validation: _Data | None = None,
    validation_share: float = 0.1,
    recipe: Recipe | None = None,
    seed: int = 0,
) -> Tuned:
    """A network, see `finetuning.network`, trained on a task; it is changed in place. Parameters as in `tune`."""
    recipe = recipe or RECIPES["network"]
    labels = np.asarray(labels)
    heads.check(kind, labels, outputs)
    learner = NetworkLearner(network)
    return _trained(
        learner,
        sequences,
        labels,
        kind,
        outputs,
        "network",
        groups,
        validation,
        validation_share,
        recipe,
        seed,
        {},
    )


def load(folder: str | os.PathLike[str], model: Any) -> Tuned:
    """What `Tuned.save` kept, on the model that it was tuned from.

    Raises
    ------
    FileNotFoundError
        The folder holds no tuned model.
    ValueError
        The model has other weights than the one that was tuned, or a file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    if not (folder / ABOUT).is_file():
        raise FileNotFoundError(
            f"A tuned model must hold {ABOUT}; {folder} does not. Pass the folder that save() made."
        )
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        recipe = Recipe(**about["recipe"])
        weights = about["base"]["weights_sha256"]
        if weights != model.info.get("weights_sha256"):
            raise ValueError(
                f"{folder} was tuned from {about['base']['name']} with weights {str(weights)[:12]}…; received {model.name} with "
                f"{str(model.info.get('weights_sha256'))[:12]}…. Load that model."
            )
        method = about["method"]
        learner = _learner(
            model, about["kind"], about["outputs"], "head" if method in ("ia3", "lora") else method, recipe, 0
        )
        if method in ("ia3", "lora"):
            import peft

            with adapters.quiet():
                learner.encoder = peft.PeftModel.from_pretrained(learner.encoder, str(folder))
        elif method == "full":
            learner.encoder.load_state_dict(load_file(folder / ENCODER))
        learner.head.load_state_dict(load_file(folder / HEAD))
    except (SafetensorError, KeyError, json.JSONDecodeError, RuntimeError, TypeError) as error:
        raise ValueError(
            f"{folder} must hold a whole tuned model; reading it failed: {error}. Save it again."
        ) from error
    learner.eval().requires_grad_(False)
    return Tuned(
        learner, about["kind"], about["outputs"], method, recipe, about["trainable"], about["best_step"], about["stopped"], about["rows"],
        about["base"],
    )  # fmt: skip


def _learner(model: Any, kind: str, outputs: int, method: str, recipe: Recipe, seed: int) -> ModelLearner:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learner = ModelLearner(model, outputs, per_base=kind == "per_base")
        learner.encoder = adapters.adapted(learner.encoder, method, recipe, name=model.name)
    return learner


def _trained(
    learner: Learner,
    sequences: Sequence[str],
    labels: np.ndarray,
    kind: str,
    outputs: int,
    method: str,
    groups: np.ndarray | None,
    validation: _Data | None,
    share: float,
    recipe: Recipe,
    seed: int,
    base: dict[str, Any],
) -> Tuned:
    items = learner.prepare(list(sequences))
    if len(items) != len(labels):
        raise ValueError(
            f"There must be a label for each of {len(items):,} sequences; received {len(labels):,}."
        )
    if validation is None:
        aside = _aside(labels, groups, kind, share, seed)
        held = [items[row] for row in np.flatnonzero(aside)], labels[aside]
        items, labels = [items[row] for row in np.flatnonzero(~aside)], labels[~aside]
        heads.check(kind, labels, outputs)
    else:
        held = learner.prepare(list(validation[0])), np.asarray(validation[1])
    trainable = sum(p.numel() for p in learner.parameters() if p.requires_grad)
    recipe = replace(recipe, evaluate_every=min(recipe.evaluate_every, recipe.steps))
    found = fitting.fit(
        learner, (items, labels), held, kind=kind, recipe=recipe, seed=seed, what=f"training by {method}"
    )
    return Tuned(
        learner, kind, outputs, method, recipe, trainable, found.best_step, found.stopped, found.history, base
    )


def _aside(labels: np.ndarray, groups: np.ndarray | None, kind: str, share: float, seed: int) -> np.ndarray:
    """Which examples are set aside for validation: whole groups, until their share is reached; bool [example]."""
    if not 0 < share < 1:
        raise ValueError(f"The share set aside for validation must be between 0 and 1; received {share}.")
    names = np.arange(len(labels)) if groups is None else np.asarray(groups)
    order = np.random.default_rng(seed).permutation(np.unique(names))
    if len(order) < 2:
        raise ValueError(
            f"There must be two groups to set one aside; received {len(order)}. Pass validation, or other groups."
        )
    sizes = np.cumsum([int((names == name).sum()) for name in order])
    n = min(max(1, int(np.searchsorted(sizes, share * len(labels))) + 1), len(order) - 1)
    return np.isin(names, order[:n])
