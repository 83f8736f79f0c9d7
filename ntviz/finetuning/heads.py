"""The head of a task on a model's last hidden states, its loss, and its answers; by kind of task."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


class Head(nn.Module):
    """Hidden states [sequence, token, hidden] to scores, in float32 whatever the states are.

    For tasks with one answer a sequence: a linear layer on the mean over tokens that cover bases, [sequence, outputs]. By
    base: a linear layer gives each token the scores of up to `widest` bases, in order, [sequence, base, outputs]; as
    the paper's six nucleotides by three classes for SpliceAI's task.
    """

    def __init__(self, hidden: int, outputs: int, *, widest: int = 0) -> None:
        super().__init__()
        self.outputs, self.widest = outputs, widest
        self.linear = nn.Linear(hidden, outputs * max(1, widest))

    def forward(
        self, states: torch.Tensor, covering: torch.Tensor, places: torch.Tensor | None
    ) -> torch.Tensor:
        """Scores.

        Parameters
        ----------
        states
            [sequence, token, hidden].
        covering
            bool [sequence, token]: tokens that cover bases.
        places
            By base: int64 [sequence, base], the token of each base times `widest` plus its place in the token.
        """
        states = states.float()
        if places is None:
            weights = covering.to(states.dtype)[..., None]
            return self.linear((states * weights).sum(1) / weights.sum(1).clamp(min=1))
        scores = self.linear(states).reshape(len(states), -1, self.outputs)
        return scores.gather(1, places[..., None].expand(-1, -1, self.outputs))


def loss(kind: str, scores: torch.Tensor, labels: torch.Tensor, positive_weight: float = 1.0) -> torch.Tensor:
    """The mean loss of a batch: cross-entropy, binary cross-entropy by track, squared error, or cross-entropy by base."""
    scores = scores.float()
    if kind in ("binary", "multiclass"):
        return nn.functional.cross_entropy(scores, labels)
    if kind == "multilabel":
        weight = torch.full((scores.shape[-1],), positive_weight, device=scores.device)
        return nn.functional.binary_cross_entropy_with_logits(scores, labels.float(), pos_weight=weight)
    if kind == "regression":
        return nn.functional.mse_loss(scores, labels.float())
    return nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten().long(), ignore_index=-1)


def answers(kind: str, scores: torch.Tensor) -> np.ndarray:
    """Probabilities, or values of a regression, float32, in the shape of the scores."""
    scores = scores.float()
    if kind == "multilabel":
        scores = scores.sigmoid()
    elif kind != "regression":
        scores = scores.softmax(-1)
    return scores.cpu().numpy()
