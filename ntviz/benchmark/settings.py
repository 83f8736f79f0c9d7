"""How cells are computed: what is equal for all of a matrix."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ntviz.benchmark.methods import Method


@dataclass(frozen=True)
class Settings:
    """What is equal for all cells of a matrix.

    Attributes
    ----------
    layers
        Layers that probes choose from; None for all, the embedding included.
    pooling
        "mean", "max" or "cls".
    both_strands
        Mean of the vectors of both strands; wrong for tasks that are stranded.
    n_folds
        Folds by group where a task has no split of its own, or `refold`.
    refold
        Pool the training and test parts and judge by folds, as the paper does.
    permutations, draws
        Of the controls: permuted labels, and draws a point of the learning curve; 0 leaves them out.
    bootstrap
        Draws of groups for intervals.
    steps
        Of fine-tuning and networks, at most; None for each method's own number.
    train_cap
        Examples to learn from at most, drawn evenly by class; None for all.
    """

    layers: tuple[int, ...] | None = None
    pooling: str = "mean"
    both_strands: bool = False
    n_folds: int = 10
    refold: bool = False
    permutations: int = 20
    draws: int = 10
    bootstrap: int = 1_000
    steps: int | None = None
    train_cap: int | None = None

    def relevant(self, method: Method) -> dict[str, Any]:
        """Those that a method's result depends on: others may change without a cell being done again."""
        told = asdict(self)
        keep = {"n_folds", "refold", "bootstrap", "train_cap"}
        if method.family == "probe":
            keep |= {"permutations", "draws"}
            if method.needs_model:
                keep |= {"layers", "pooling", "both_strands"}
        if method.family in ("tuned", "network"):
            keep |= {"steps"}
        return {name: told[name] for name in sorted(keep)}
