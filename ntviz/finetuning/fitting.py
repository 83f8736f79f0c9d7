"""The training loop: batches in an order that a seed decides, looks at the validation part, the best state kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ntviz import environment
from ntviz.finetuning import heads
from ntviz.finetuning.learners import Learner, Prepared
from ntviz.finetuning.recipe import Recipe
from ntviz.probing import metrics


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
    guess) comes behind every other, and among such the loss decides: see `probing.metrics.preference`.

    Raises
    ------
    FloatingPointError
        The loss, its gradient or the loss of the validation part is not finite; the step is named.
    """
    items, labels = train
    trainable = [p for p in learner.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trainable, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    rng = np.random.default_rng(seed)
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
            for step, rows in zip(
                range(1, recipe.steps + 1), _batches(len(items), recipe.batch_size, rng), strict=False
            ):
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
                row = {
                    "step": step,
                    "loss": float(np.mean(running)),
                    **_judged(learner, validation, kind, recipe),
                }
                if not np.isfinite(row["validation_loss"]):
                    raise FloatingPointError(
                        f"The loss must be finite; at step {step} that of the validation part is {row['validation_loss']}. "
                        f"Lower the learning rate ({recipe.learning_rate:g}), or scale the targets."
                    )
                running.clear()
                history.append(row)
                rank = metrics.preference(row["validation"], row["validation_loss"])
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
    """Answers for each item, in order: [output], or [base, output] by base; see `heads.answers`."""
    learner.eval()
    order = np.argsort([-item.length for item in items], kind="stable")
    found: dict[int, np.ndarray] = {}
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            with _autocast(learner, precision):
                scores = learner([items[row] for row in rows])
            for row, one in zip(rows.tolist(), heads.answers(kind, scores), strict=True):
                found[row] = one[: items[row].length] if kind == "per_base" else one
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
    return heads.loss(kind, scores, given, recipe.positive_weight)


def _judged(
    learner: Learner, validation: tuple[Sequence[Prepared], np.ndarray], kind: str, recipe: Recipe
) -> dict[str, float]:
    items, labels = validation
    learner.eval()
    with torch.inference_mode():
        parts = np.array_split(np.arange(len(items)), -(-len(items) // 32))
        losses = [float(_loss(learner, items, labels, rows, kind, recipe)) * len(rows) for rows in parts]
    predicted = np.stack(predict(learner, items, kind=kind, precision=recipe.precision))
    metric = metrics.metric_names(kind)[0]
    return {
        "validation_loss": sum(losses) / len(items),
        "validation": metrics.scores(kind, labels, predicted)[metric],
    }


def _autocast(learner: Learner, precision: str) -> Any:
    device = next(learner.parameters()).device.type
    return torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def _state(learner: Learner) -> dict[str, torch.Tensor]:
    """Copies of what is trained."""
    return {name: p.detach().clone() for name, p in learner.named_parameters() if p.requires_grad}
