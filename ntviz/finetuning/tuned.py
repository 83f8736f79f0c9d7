"""`tune` a model on a task, `train_network` from nothing; `Tuned` predicts, is saved, and loads back equal."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ntviz import environment, storage
from ntviz.finetuning import fit, learners
from ntviz.finetuning.fit import RECIPES, Recipe
from ntviz.finetuning.learners import Learner, ModelLearner, NetworkLearner
from ntviz.probing import labels as door
from ntviz.probing import metrics

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

HEAD, ENCODER, ABOUT = "head.safetensors", "encoder.safetensors", "tuned.json"
ADAPTERS = ("ia3", "lora")
_Data = tuple[Sequence[str], Any]


@dataclass(frozen=True, eq=False)
class Tuned:
    """A model or network trained on a task, in its best state."""

    learner: Learner  # what was trained
    kind: str  # of the task, see `benchmark.Task`
    outputs: int  # classes, tracks or targets
    method: str  # "ia3", "lora", "full", "head" or "network"
    recipe: Recipe
    trainable: int  # parameters that were trained, the head's included
    best_step: int  # of the state that was kept
    stopped: str  # whether training ended by "steps" or "patience"
    rows: list[dict[str, float]]  # see `history`
    # Name, weight hash, dtype, vocabulary and a digest of its tokens, of the model that was tuned; empty for a network.
    base: dict[str, Any]
    # What else decided it: seed, share set aside, and a digest of sequences, labels, groups and validation.
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

    def predict(self, sequences: Sequence[Any]) -> np.ndarray:
        """Probabilities [sequence, class] or [sequence, track], or values [sequence, target], float32.

        By base: [sequence, base, class] for sequences, which must have one length then.
        """
        texts = learners.examples(sequences)
        if not texts:
            raise ValueError("There must be at least one sequence; received none.")
        lengths = {len(text) for text in texts}
        if self.kind == "per_base" and len(lengths) > 1:
            raise ValueError(
                f"Sequences of a task by base must have one length; received {min(lengths):,} to {max(lengths):,} bp. "
                "Predict each length by itself."
            )
        items = self.learner.prepare(texts)
        return np.stack(fit.predict(self.learner, items, kind=self.kind, precision=self.recipe.precision))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Keeps the adapter as peft keeps it, the head, and how they were made; all of it or nothing.

        A network is refused: torch itself keeps those, since there is no base to return to.
        """
        from safetensors.torch import save_file

        if not isinstance(self.learner, ModelLearner):
            raise ValueError("A tuned model can be saved; this is a network. Keep its learner.network.state_dict().")
        names = ("kind", "outputs", "method", "base", "trainable", "best_step", "stopped", "made")
        about = {name: getattr(self, name) for name in names} | {"recipe": asdict(self.recipe)}
        # JSON has no nan: what is not defined is null.
        about["rows"] = [
            {name: value if np.isfinite(value) else None for name, value in row.items()} for row in self.rows
        ]
        with storage.atomic_directory(folder) as made:
            parts = {HEAD: self.learner.head}
            if self.method in ADAPTERS:
                self.learner.encoder.save_pretrained(str(made))
                (made / "README.md").unlink(missing_ok=True)
            elif self.method == "full":
                parts[ENCODER] = self.learner.encoder
            for file, part in parts.items():
                save_file({name: value.contiguous() for name, value in part.state_dict().items()}, made / file)
            (made / ABOUT).write_text(json.dumps(about, indent=1, allow_nan=False), encoding="utf-8")
        return Path(folder)


def tune(
    model: Any, sequences: Sequence[Any], labels: Any, *, kind: str, outputs: int, method: str = "ia3",
    groups: Any = None, validation: _Data | None = None, validation_share: float = 0.1, recipe: Recipe | None = None,
    seed: int = 0,
) -> Tuned:  # fmt: skip
    """A copy of the model trained on a task; the model itself stays as it was.

    Parameters
    ----------
    model
        `models.NucleotideTransformer`, or a peer for "full" and "head"; of any dtype: the head, the loss and all that is trained are
        float32.
    sequences, labels
        Upper-case A, C, G, T, N, or changes, each a tuple of `Alleles`; by kind of task, as `probing.labels.checked` takes them.
    outputs
        Number of classes, tracks or targets.
    method
        "ia3" or "lora" (adapters), "full" (all weights) or "head" (the encoder as it is); each with a head of its own.
    groups
        [sequence]; what must not be on both sides of learning and validation.
    validation
        Sequences and labels by which the best state is chosen. Default: `validation_share` of the groups, drawn so that every
        class is in it and in the rest, where that can be.
    recipe, seed
        Default: `RECIPES[method]`; `seed` is that of the validation part, the head, the order of batches and dropout.

    Raises
    ------
    ValueError, FloatingPointError
        Labels that do not fit, one class only, or a method that the model has no place for; the loss is not finite.
    """
    recipe = recipe or RECIPES.get(method, Recipe())
    sequences = learners.examples(sequences)
    given = sequences, labels, groups, validation, validation_share, seed
    paired = bool(sequences) and isinstance(sequences[0], tuple)
    if paired and kind == "per_base":
        raise ValueError("Changes have one label each; received kind 'per_base'. Pass sequences, or another kind.")
    make = partial(_learner, model, kind, outputs, method, recipe, seed, paired)
    return _trained(make, kind, outputs, method, recipe, base_of(model), *given)


def train_network(
    network: nn.Module, sequences: Sequence[str], labels: Any, *, kind: str, outputs: int, groups: Any = None,
    validation: _Data | None = None, validation_share: float = 0.1, recipe: Recipe | None = None, seed: int = 0,
) -> Tuned:  # fmt: skip
    """A network, see `finetuning.network`, trained on a task; it is changed in place. Parameters as in `tune`."""
    given = sequences, labels, groups, validation, validation_share, seed
    make = partial(NetworkLearner, network)
    return _trained(make, kind, outputs, "network", recipe or RECIPES["network"], {}, *given)


def load(folder: str | os.PathLike[str], model: Any) -> Tuned:
    """What `Tuned.save` kept, on the model that it was tuned from.

    FileNotFoundError where the folder holds no tuned model; ValueError for a model with other weights, tokens or dtype than the one that
    was tuned, and for a damaged file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    if not (folder / ABOUT).is_file():
        raise FileNotFoundError(
            f"A tuned model must hold {ABOUT}; {folder} does not. Pass the folder that save() made."
        )
    for file in filter(Path.is_file, sorted(folder.iterdir())):
        environment.opened(file)
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        recipe, method = Recipe(**about.pop("recipe")), about["method"]
        check_base(folder, about["base"], base_of(model))
        about["rows"] = [
            {name: np.nan if value is None else value for name, value in row.items()} for row in about["rows"]
        ]
        plain = "head" if method in ADAPTERS else method
        learner = _learner(model, about["kind"], about["outputs"], plain, recipe, 0, about["made"].get("paired", False))
        if method in ADAPTERS:
            peft = environment.need("peft", "benchmark")
            with learners.quiet():
                learner.encoder = peft.PeftModel.from_pretrained(learner.encoder, str(folder))
        elif method == "full":
            learner.encoder.load_state_dict(load_file(folder / ENCODER))
        learner.head.load_state_dict(load_file(folder / HEAD))
        learner.eval().requires_grad_(False)
        return Tuned(learner, recipe=recipe, **about)
    except (SafetensorError, KeyError, json.JSONDecodeError, RuntimeError, TypeError) as error:
        raise ValueError(
            f"{folder} must hold a whole tuned model; reading it failed: {error}. Save it again."
        ) from error


def check_base(folder: Path, was: dict[str, Any], comes: dict[str, Any]) -> None:
    """Refuses another model than the one that was tuned; folders of older versions know the weights alone."""
    other = [name for name in was if name != "name" and was[name] != comes[name]]
    if other:
        kept, received = (
            f"{base['name']} with "
            + ", ".join(f"{name.removesuffix('_sha256')} {str(base[name])[:12]}" for name in other)
            for base in (was, comes)
        )
        raise ValueError(f"{folder} was tuned from {kept}; received {received}. Load that model, as it was.")


def base_of(model: Any) -> dict[str, Any]:
    """What tells the model that is tuned from others."""
    known = {name: model.info.get(name) for name in ("weights_sha256", "dtype", "vocabulary")}
    return {"name": model.name, **known, "tokens_sha256": door.digest(model.tokenizer.vocabulary.tokens)}


def _learner(
    model: Any, kind: str, outputs: int, method: str, recipe: Recipe, seed: int, paired: bool
) -> ModelLearner:  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learner = ModelLearner(model, outputs, per_base=kind == "per_base", paired=paired)
        learner.encoder = learners.adapted(learner.encoder, method, recipe, name=model.name)
    return learner


def _trained(
    make: Callable[[], Learner], kind: str, outputs: int, method: str, recipe: Recipe, base: dict[str, Any],
    sequences: Sequence[Any], labels: Any, groups: Any, validation: _Data | None, share: float, seed: int,
) -> Tuned:  # fmt: skip
    """A learner trained on a task as it came in: what is learned from and chosen by is checked first."""
    texts = learners.examples(sequences)
    labels = door.checked(kind, labels, outputs, n=len(texts))
    names = door.grouped(groups, len(texts))
    door.learnable(kind, labels)
    if validation is None:
        aside = _aside(kind, labels, names, outputs, share, seed)
        train, held = (([texts[row] for row in np.flatnonzero(part)], labels[part]) for part in (~aside, aside))
        door.learnable(kind, train[1])
    else:
        others, what = learners.examples(validation[0]), "Labels of the validation part"
        train = texts, labels
        held = others, door.checked(kind, validation[1], outputs, n=len(others), what=what)
        if not others:
            raise ValueError(
                "The validation part must have a sequence; received none. Leave it out to set a share aside."
            )
    made = {"seed": seed, "validation_share": share if validation is None else None}
    if texts and isinstance(texts[0], tuple):
        made["paired"] = True
    made["examples_sha256"] = door.digest(list(map(str, texts)), labels, names, list(map(str, held[0])), held[1])
    if kind == "per_base":
        train, held = _labelled(*train), _labelled(*held)
        if not held[0]:
            raise ValueError(
                "The validation part must have a base with a label; all are -1. Pass other examples, or other groups."
            )
    learner = make()
    trainable = learners.trainable(learner)
    recipe = replace(recipe, evaluate_every=min(recipe.evaluate_every, recipe.steps))
    parts = ((learner.prepare(texts), labels) for texts, labels in (train, held))
    rows, best_step, stopped = fit.fit(
        learner, *parts, kind=kind, recipe=recipe, seed=seed, what=f"training by {method}"
    )
    return Tuned(learner, kind, outputs, method, recipe, trainable, best_step, stopped, rows, base, made)


def _labelled(texts: list[str], labels: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The sequences with a base that is asked: of others there is no loss."""
    for row, text in enumerate(texts):
        if len(text) != labels.shape[1]:
            raise ValueError(
                f"Labels of a per_base task must be one a base; sequence {row} has {len(text):,} bp and {labels.shape[1]:,} labels. "
                "Cut sequences to one length, with -1 where no label is."
            )
    rows = np.flatnonzero((labels >= 0).any(axis=1))
    return [texts[row] for row in rows], labels[rows]


def _aside(kind: str, labels: np.ndarray, groups: np.ndarray, outputs: int, share: float, seed: int) -> np.ndarray:
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
    aside = np.zeros(len(names), dtype=bool)

    def take(groups: np.ndarray) -> None:
        """The first of these groups that leaves something of every class to learn from."""
        last = holds[~aside].sum(axis=0) < 2
        free = groups[~(holds[groups] & last).any(axis=1) & ~aside[groups]]
        if len(free) and aside.sum() < len(names) - 1:
            aside[free[0]] = True

    for c in np.argsort(holds.sum(axis=0), kind="stable"):
        if not holds[aside, c].any() and sizes[aside].sum() < n / 2:
            take(order[holds[order, c]])
    for group in order:
        if sizes[aside].sum() < share * n:
            take(np.array([group]))
    if not aside.any():
        aside[order[0]] = True
    return aside[which]
