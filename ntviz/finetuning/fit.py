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

_BATCH = 32
"""Sequences that are predicted at a time."""


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run.

    `learning_rate` and `weight_decay` are AdamW's, which is Adam without decay; the rate rises over `warmup` steps. `batch_size` sequences
    are a step, of at most `steps`. Every `evaluate_every` steps the validation part is looked at, and training stops after `patience`
    looks without gain; None: never. `precision` is "float32", or "bfloat16" for autocast. `positive_weight`: how much more a
    positive counts than a negative in multilabel tasks. `rank`, `alpha` and `dropout` are LoRA's.
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


Part = tuple[Sequence[Prepared], np.ndarray]
"""Prepared sequences with their labels."""
Fit = tuple[list[dict[str, float]], int, str]
"""How training went: rows [step, loss, validation_loss, validation], the best step, and why it ended."""


def fit(learner: Learner, train: Part, validation: Part, *, kind: str, recipe: Recipe, seed: int, what: str) -> Fit:
    """Trains what is trainable of a learner and leaves it in its best state, in eval mode.

    The best is by the task's first metric on the validation part; where that is not defined, by the loss, behind every other: see
    `probing.metrics.preference`. FloatingPointError names the step where a loss or its gradient is not finite.
    """
    trainable = [p for p in learner.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trainable, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    batches = _batches(len(train[0]), recipe.batch_size, np.random.default_rng(seed))
    history: list[dict[str, float]] = []
    best, best_step, since, running = (False, -np.inf), 0, 0, []
    kept, stopped = _state(learner), "steps"
    lower = f"Lower the learning rate ({recipe.learning_rate:g})"
    with torch.random.fork_rng(devices=[]), environment.progress(total=recipe.steps, what=what, unit="steps") as bar:
        torch.manual_seed(seed)
        try:
            for step, rows in zip(range(1, recipe.steps + 1), batches, strict=False):
                learner.train()
                for group in optimiser.param_groups:
                    group["lr"] = recipe.learning_rate * min(1.0, step / max(1, recipe.warmup))
                loss = _loss(learner, train, rows, kind, recipe)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                # Nothing is clipped: this is the length of the gradient.
                slope = torch.nn.utils.clip_grad_norm_(trainable, float("inf"))
                if not torch.isfinite(loss) or not torch.isfinite(slope):
                    raise FloatingPointError(
                        f"The loss and its gradient must be finite; at step {step} they are {float(loss.detach())} and "
                        f"{float(slope)}. {lower}, or load the model with dtype='float32' and train with precision='float32'."
                    )
                optimiser.step()
                running.append(float(loss.detach()))
                bar.update(1)
                if step % recipe.evaluate_every and step != recipe.steps:
                    continue
                judged = _judged(learner, validation, kind, recipe)
                if not np.isfinite(judged["validation_loss"]):
                    raise FloatingPointError(
                        f"The loss must be finite; at step {step} that of the validation part is {judged['validation_loss']}. "
                        f"{lower}, or scale the targets."
                    )
                history.append({"step": step, "loss": float(np.mean(running)), **judged})
                running.clear()
                since += 1
                rank = metrics.preference(judged["validation"], judged["validation_loss"])
                if rank > best:
                    best, best_step, since, kept = rank, step, 0, _state(learner)
                elif recipe.patience is not None and since >= recipe.patience:
                    stopped = "patience"
                    break
        finally:
            learner.load_state_dict(kept, strict=False)
            learner.eval()
    return history, best_step, stopped


def predict(learner: Learner, items: Sequence[Prepared], *, kind: str, precision: str) -> list[np.ndarray]:
    """Answers for each item, in order: [output], or [base, output] by base; see `learners.answers`."""
    learner.eval()
    order = np.argsort([-item.length for item in items], kind="stable").tolist()
    found: dict[int, np.ndarray] = {}
    with torch.inference_mode():
        for rows in (order[start : start + _BATCH] for start in range(0, len(order), _BATCH)):
            scores = _scores(learner, items, rows, precision)
            for row, answer in zip(rows, learners.answers(kind, scores), strict=True):
                found[row] = answer[: items[row].length] if kind == "per_base" else answer
    return [found[row] for row in range(len(items))]


def _batches(n: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Rows of each batch, every example once before any comes again, for ever."""
    while True:
        order = rng.permutation(n)
        yield from (order[start : start + size] for start in range(0, n, size))


def _scores(learner: Learner, items: Sequence[Prepared], rows: Any, precision: str) -> torch.Tensor:
    device = next(learner.parameters()).device.type
    with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        return learner([items[row] for row in rows])


def _loss(learner: Learner, part: Part, rows: np.ndarray, kind: str, recipe: Recipe) -> torch.Tensor:
    scores = _scores(learner, part[0], rows, recipe.precision)
    labels = torch.from_numpy(np.ascontiguousarray(part[1][rows])).to(scores.device)
    return learners.loss(kind, scores, labels, recipe.positive_weight)


def _judged(learner: Learner, validation: Part, kind: str, recipe: Recipe) -> dict[str, float]:
    items, labels = validation
    learner.eval()
    with torch.inference_mode():
        parts = np.array_split(np.arange(len(items)), -(-len(items) // _BATCH))
        losses = [float(_loss(learner, validation, rows, kind, recipe)) * len(rows) for rows in parts]
    predicted = np.stack(predict(learner, items, kind=kind, precision=recipe.precision))
    score = metrics.scores(kind, labels, predicted)[metrics.metric_names(kind)[0]]
    return {"validation_loss": sum(losses) / len(items), "validation": score}


def _state(learner: Learner) -> dict[str, torch.Tensor]:
    """Copies of what is trained."""
    return {name: p.detach().clone() for name, p in learner.named_parameters() if p.requires_grad}
