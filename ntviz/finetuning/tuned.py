"""`tune` a model on a task, `train_network` from nothing; `Tuned` predicts, is saved, and loads back equal."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ntviz import environment
from ntviz.finetuning import adapters, fitting
from ntviz.finetuning.learners import Learner, ModelLearner, NetworkLearner
from ntviz.finetuning.recipe import RECIPES, Recipe
from ntviz.probing import labels as door
from ntviz.probing import metrics
from ntviz.sequence import listed

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

HEAD, ENCODER, ABOUT = "head.safetensors", "encoder.safetensors", "tuned.json"
_Data = tuple[Sequence[str], Any]


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
        Name, weight hash, dtype, vocabulary and a digest of its tokens, of the model that was tuned; empty for a network.
    made
        What else decided it: seed, share set aside, and a digest of sequences, labels, groups and validation.
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
    made: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        name = self.base.get("name") or type(getattr(self.learner, "network", self.learner)).__name__
        return (
            f"Tuned({name} by {self.method} on a {self.kind} task: {self.trainable:,} parameters trained, best at "
            f"step {self.best_step:,} by {self.chosen_by}, ended by {self.stopped})"
        )

    @property
    def chosen_by(self) -> str:
        """What chose the best state: the first metric, or the loss where that is not defined on the validation part."""
        metric = metrics.metric_names(self.kind)[0]
        values = [row["validation"] for row in self.rows if row["step"] == self.best_step]
        return metric if np.isfinite(values).all() else f"the loss ({metric} is not defined there)"

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
        texts = listed(sequences)
        if not texts:
            raise ValueError("There must be at least one sequence; received none.")
        lengths = {len(text) for text in texts}
        if self.kind == "per_base" and len(lengths) > 1:
            raise ValueError(
                f"Sequences of a task by base must have one length; received {min(lengths):,} to {max(lengths):,} bp. "
                "Predict each length by itself."
            )
        items = self.learner.prepare(texts)
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
            # JSON has no nan: what is not defined is null.
            "rows": [
                {name: value if np.isfinite(value) else None for name, value in row.items()}
                for row in self.rows
            ],
            "made": self.made,
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
            (made / ABOUT).write_text(json.dumps(about, indent=1, allow_nan=False), encoding="utf-8")
        return folder


def tune(
    model: Any,
    sequences: Sequence[str],
    labels: Any,
    *,
    kind: str,
    outputs: int,
    method: str = "ia3",
    groups: Any = None,
    validation: _Data | None = None,
    validation_share: float = 0.1,
    recipe: Recipe | None = None,
    seed: int = 0,
) -> Tuned:
    """A copy of the model trained on a task; the model itself stays as it was.

    Parameters
    ----------
    model
        `models.NucleotideTransformer`, or a peer for "full" and "head"; of any dtype: the head, the loss and all that is trained are
        float32.
    sequences
        Upper-case A, C, G, T, N.
    labels
        By kind of task, as in `benchmark.Examples`, or as `probing.labels.checked` takes them.
    outputs
        Number of classes, tracks or targets.
    method
        "ia3" or "lora" (adapters), "full" (all weights) or "head" (the encoder as it is); each with a head of its own.
    groups
        [sequence]; what must not be on both sides of learning and validation.
    validation
        Sequences and labels by which the best state is chosen. Default: `validation_share` of the groups, drawn so that every
        class is in it and in the rest, where that can be.
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
    asked = _asked(kind, outputs, sequences, labels, groups, validation, validation_share, seed)
    learner = _learner(model, kind, outputs, method, recipe, seed)
    return _trained(learner, asked, method, recipe, seed, _base(model))


def train_network(
    network: nn.Module,
    sequences: Sequence[str],
    labels: Any,
    *,
    kind: str,
    outputs: int,
    groups: Any = None,
    validation: _Data | None = None,
    validation_share: float = 0.1,
    recipe: Recipe | None = None,
    seed: int = 0,
) -> Tuned:
    """A network, see `finetuning.network`, trained on a task; it is changed in place. Parameters as in `tune`."""
    recipe = recipe or RECIPES["network"]
    asked = _asked(kind, outputs, sequences, labels, groups, validation, validation_share, seed)
    return _trained(NetworkLearner(network), asked, "network", recipe, seed, {})


def load(folder: str | os.PathLike[str], model: Any) -> Tuned:
    """What `Tuned.save` kept, on the model that it was tuned from.

    Raises
    ------
    FileNotFoundError
        The folder holds no tuned model.
    ValueError
        The model has other weights, tokens or another dtype than the one that was tuned, or a file is damaged.
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
        was, comes = about["base"], _base(model)
        # Folders of older versions know the weights alone.
        other = [name for name in was if name != "name" and was[name] != comes[name]]
        if other:
            words = {name: name.removesuffix("_sha256") for name in other}
            told = [
                f"{base['name']} with " + ", ".join(f"{words[name]} {str(base[name])[:12]}" for name in other)
                for base in (was, comes)
            ]
            raise ValueError(
                f"{folder} was tuned from {told[0]}; received {told[1]}. Load that model, as it was."
            )
        rows = [
            {name: np.nan if value is None else value for name, value in row.items()} for row in about["rows"]
        ]
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
        learner, about["kind"], about["outputs"], method, recipe, about["trainable"], about["best_step"], about["stopped"], rows,
        was, about.get("made", {}),
    )  # fmt: skip


def _learner(model: Any, kind: str, outputs: int, method: str, recipe: Recipe, seed: int) -> ModelLearner:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learner = ModelLearner(model, outputs, per_base=kind == "per_base")
        learner.encoder = adapters.adapted(learner.encoder, method, recipe, name=model.name)
    return learner


def _base(model: Any) -> dict[str, Any]:
    """What tells the model that is tuned from others."""
    known = {name: model.info.get(name) for name in ("weights_sha256", "dtype", "vocabulary")}
    return {"name": model.name, **known, "tokens_sha256": door.digest(model.tokenizer.vocabulary.tokens)}


@dataclass(frozen=True)
class _Asked:
    """A task as it came in, checked: examples to learn from and to choose by, and what decided them."""

    kind: str
    outputs: int
    train: tuple[list[str], np.ndarray]
    validation: tuple[list[str], np.ndarray]
    made: dict[str, Any]


def _asked(
    kind: str,
    outputs: int,
    sequences: Sequence[str],
    labels: Any,
    groups: Any,
    validation: _Data | None,
    share: float,
    seed: int,
) -> _Asked:
    texts = listed(sequences)
    labels = door.checked(kind, labels, outputs, n=len(texts))
    names = door.grouped(groups, len(texts))
    door.learnable(kind, labels)
    about = {"seed": seed, "validation_share": share if validation is None else None}
    if validation is None:
        aside = _aside(kind, labels, names, outputs, share, seed)
        held = [texts[row] for row in np.flatnonzero(aside)], labels[aside]
        train = [texts[row] for row in np.flatnonzero(~aside)], labels[~aside]
        door.learnable(kind, train[1])
    else:
        others = listed(validation[0])
        what = "Labels of the validation part"
        held = others, door.checked(kind, validation[1], outputs, n=len(others), what=what)
        if not others:
            raise ValueError(
                "The validation part must have a sequence; received none. Leave it out to set a share aside."
            )
        train = texts, labels
    about["examples_sha256"] = door.digest(texts, labels, names, *held)
    if kind == "per_base":
        train, held = _asked_of(*train), _asked_of(*held)
        if not held[0]:
            raise ValueError(
                "The validation part must have a base with a label; all are -1. Pass other examples, or other groups."
            )
    return _Asked(kind, outputs, train, held, about)


def _asked_of(texts: list[str], labels: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The sequences with a base that is asked: of others there is no loss."""
    wrong = [row for row, text in enumerate(texts) if len(text) != labels.shape[1]]
    if wrong:
        raise ValueError(
            f"Labels of a per_base task must be one a base; sequence {wrong[0]} has {len(texts[wrong[0]]):,} bp and {labels.shape[1]:,} "
            "labels. Cut sequences to one length, with -1 where no label is."
        )
    rows = np.flatnonzero((labels >= 0).any(axis=1))
    return [texts[row] for row in rows], labels[rows]


def _trained(
    learner: Learner, asked: _Asked, method: str, recipe: Recipe, seed: int, base: dict[str, Any]
) -> Tuned:
    train, held = ((learner.prepare(texts), labels) for texts, labels in (asked.train, asked.validation))
    trainable = sum(p.numel() for p in learner.parameters() if p.requires_grad)
    recipe = replace(recipe, evaluate_every=min(recipe.evaluate_every, recipe.steps))
    found = fitting.fit(
        learner, train, held, kind=asked.kind, recipe=recipe, seed=seed, what=f"training by {method}"
    )
    return Tuned(
        learner, asked.kind, asked.outputs, method, recipe, trainable, found.best_step, found.stopped, found.history, base, asked.made
    )  # fmt: skip


def _aside(
    kind: str, labels: np.ndarray, groups: np.ndarray, outputs: int, share: float, seed: int
) -> np.ndarray:
    """Which examples are set aside for validation: whole groups, until their share is reached; bool [example].

    First one group with each class, the class in the fewest groups first, up to half of the examples; none that holds the last of a
    class.
    """
    if not 0 < share < 1:
        raise ValueError(f"The share set aside for validation must be between 0 and 1; received {share}.")
    names, which = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    if len(order) < 2:
        raise ValueError(
            f"There must be two groups to set one aside; received {len(order)}. Pass validation, or other groups."
        )
    sizes, n = np.bincount(which), len(labels)
    # Which group holds which class.
    holds = np.zeros((len(names), 0 if kind == "regression" else outputs), dtype=bool)
    for c in range(holds.shape[1]):
        has = labels[:, c] if kind == "multilabel" else (labels == c).reshape(n, -1).any(axis=1)
        holds[which[has], c] = True
    left, aside = holds.sum(axis=0), np.zeros(len(names), dtype=bool)

    def take(groups: np.ndarray) -> None:
        """The first of these groups that leaves something of every class to learn from."""
        nonlocal left
        free = groups[~(holds[groups] & (left < 2)).any(axis=1) & ~aside[groups]]
        if len(free) and aside.sum() < len(names) - 1:
            aside[free[0]] = True
            left = left - holds[free[0]]

    for c in np.argsort(left, kind="stable"):
        if not holds[aside, c].any() and sizes[aside].sum() < n / 2:
            take(order[holds[order, c]])
    for group in order:
        if sizes[aside].sum() < share * n:
            take(order[order == group])
    if not aside.any():
        aside[order[0]] = True
    return aside[which]
