"""How a model is trained on a task: the settings of each method, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run.

    Attributes
    ----------
    learning_rate, weight_decay
        Of AdamW; without decay it is Adam.
    batch_size
        Sequences a step.
    steps
        At most.
    warmup
        Steps over which the rate rises.
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
