"""The settings of training and its loop: batches in an order that a seed decides, looks at the validation part, the best state kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ntviz import environment
from ntviz.finetuning import learners
from ntviz.finetuning.learners import Learner, Prepared
from ntviz.probing import metrics


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run.

    Attributes
    ----------
    learning_rate, weight_decay
        Of AdamW; without decay it is Adam.
    batch_size
        Sequences a step.
    steps, warmup
        Steps at most; steps over which the rate rises.
    evaluate_every
        Steps between looks at the validation part.
    patience
        Looks without gain after which training stops; None: never.
    precision
        "float32", or "bfloat16" for autocast.
    positive_weight
        How much more a positive counts than a negative in multilabel tasks.
    rank, alpha, dropout
        Of LoRA.
    """

    learning_rate: float = 3e-3
    batch_size: int = 8
    steps: int = 10_000
    warmup: int = 0
    weight_decay: float = 0.0
    evaluate_every: int = 200
    patience: int | None = None
    precision: str = "float32"
    positive_weight: float = 1.0
    rank: int = 1
    alpha: int = 32
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name in ("learning_rate", "batch_size", "steps", "evaluate_every", "rank", "positive_weight"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} of a recipe must be above 0; received {getattr(self, name)}.")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be 'float32' or 'bfloat16'; received {self.precision!r}.")


RECIPES = {
    # Dalla-Torre et al. (2025): Adam, 3e-3, batches of 8, 10,000 steps, the best checkpoint of the validation part.
    "ia3": Recipe(),
    # Notebooks that accompany the published checkpoints: rank 1, alpha 32, dropout 0.1, 5e-4, on query and value.
    "lora": Recipe(learning_rate=5e-4),
    "full": Recipe(learning_rate=3e-5, warmup=200),
    "head": Recipe(learning_rate=3e-3),
    "network": Recipe(learning_rate=1e-3, batch_size=32, steps=6_000, evaluate_every=100, patience=8),
}
"""By method; "network" for those that learn from nothing."""


@dataclass(frozen=True)
class Fit:
    """How training went: rows [step, loss, validation_loss, validation], the best step, and why it ended."""

    history: list[dict[str, float]]
    best_step: int
    stopped: str


def fit(
    learner: Learner,
    train: tuple[Sequence[Prepared], np.ndarray],
    validation: tuple[Sequence[Prepared], np.ndarray],
    *,
    kind: str,
    recipe: Recipe,
    seed: int,
    what: str,
) -> Fit:
    """Trains what is trainable of a learner and leaves it in its best state, in eval mode.

    The best is by the task's first metric on the validation part. A look at which that is not defined (one class, or a constant
    guess) comes behind every other, and among such the loss decides: see `probing.metrics.preference`. FloatingPointError names the
    step where the loss, its gradient or the loss of the validation part is not finite.
    """
    items, labels = train
    trainable = [p for p in learner.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trainable, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    batches = _batches(len(items), recipe.batch_size, np.random.default_rng(seed))
    history: list[dict[str, float]] = []
    best, best_step, since, running = (False, -np.inf), 0, 0, []
    kept = _state(learner)
    stopped = "steps"
    with (
        torch.random.fork_rng(devices=[]),
        environment.progress(total=recipe.steps, what=what, unit="steps") as bar,
    ):
        torch.manual_seed(seed)
        try:
            for step, rows in zip(range(1, recipe.steps + 1), batches, strict=False):
                learner.train()
                for group in optimiser.param_groups:
                    group["lr"] = recipe.learning_rate * min(1.0, step / max(1, recipe.warmup))
                value = _loss(learner, items, labels, rows, kind, recipe)
                optimiser.zero_grad(set_to_none=True)
                value.backward()
                # Nothing is clipped: this is the length of the gradient.
                slope = torch.nn.utils.clip_grad_norm_(trainable, float("inf"))
                if not torch.isfinite(value) or not torch.isfinite(slope):
                    raise FloatingPointError(
                        f"The loss and its gradient must be finite; at step {step} they are {float(value.detach())} and "
                        f"{float(slope)}. Lower the learning rate ({recipe.learning_rate:g}), or load the model with "
                        "dtype='float32' and train with precision='float32'."
                    )
                optimiser.step()
                running.append(float(value.detach()))
                bar.update(1)
                if step % recipe.evaluate_every and step != recipe.steps:
                    continue
                judged = _judged(learner, validation, kind, recipe)
                if not np.isfinite(judged["validation_loss"]):
                    raise FloatingPointError(
                        f"The loss must be finite; at step {step} that of the validation part is {judged['validation_loss']}. "
                        f"Lower the learning rate ({recipe.learning_rate:g}), or scale the targets."
                    )
                history.append({"step": step, "loss": float(np.mean(running)), **judged})
                running.clear()
                rank = metrics.preference(judged["validation"], judged["validation_loss"])
                if rank > best:
                    best, best_step, since, kept = rank, step, 0, _state(learner)
                else:
                    since += 1
                    if recipe.patience is not None and since >= recipe.patience:
                        stopped = "patience"
                        break
        finally:
            learner.load_state_dict(kept, strict=False)
            learner.eval()
    return Fit(history, best_step, stopped)


def predict(
    learner: Learner,
    items: Sequence[Prepared],
    *,
    kind: str,
    precision: str = "float32",
    batch_size: int = 32,
) -> list[np.ndarray]:
    """Answers for each item, in order: [output], or [base, output] by base; see `learners.answers`."""
    learner.eval()
    order = np.argsort([-item.length for item in items], kind="stable")
    found: dict[int, np.ndarray] = {}
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size].tolist()
            with _autocast(learner, precision):
                scores = learner([items[row] for row in rows])
            for row, answer in zip(rows, learners.answers(kind, scores), strict=True):
                found[row] = answer[: items[row].length] if kind == "per_base" else answer
    return [found[row] for row in range(len(items))]


def _batches(n: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Rows of each batch, every example once before any comes again, for ever."""
    while True:
        order = rng.permutation(n)
        for start in range(0, n, size):
            yield order[start : start + size]


def _loss(
    learner: Learner,
    items: Sequence[Prepared],
    labels: np.ndarray,
    rows: np.ndarray,
    kind: str,
    recipe: Recipe,
) -> torch.Tensor:
    with _autocast(learner, recipe.precision):
        scores = learner([items[row] for row in rows])
    given = torch.from_numpy(np.ascontiguousarray(labels[rows])).to(scores.device)
    return learners.loss(kind, scores, given, recipe.positive_weight)


def _judged(
    learner: Learner, validation: tuple[Sequence[Prepared], np.ndarray], kind: str, recipe: Recipe
) -> dict[str, float]:
    items, labels = validation
    learner.eval()
    with torch.inference_mode():
        parts = np.array_split(np.arange(len(items)), -(-len(items) // 32))
        losses = [float(_loss(learner, items, labels, rows, kind, recipe)) * len(rows) for rows in parts]
    predicted = np.stack(predict(learner, items, kind=kind, precision=recipe.precision))
    score = metrics.scores(kind, labels, predicted)[metrics.metric_names(kind)[0]]
    return {"validation_loss": sum(losses) / len(items), "validation": score}


def _autocast(learner: Learner, precision: str) -> Any:
    device = next(learner.parameters()).device.type
    return torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def _state(learner: Learner) -> dict[str, torch.Tensor]:
    """Copies of what is trained."""
    return {name: p.detach().clone() for name, p in learner.named_parameters() if p.requires_grad}
