"""One sequence under observation: exact parts of any head's map on demand, from queries and keys kept for a while.

A map is never kept. Any window of it follows in milliseconds from the queries and keys of its layer, two numbers for each
token and hidden unit. Where a model adds masks or position biases to its scores, each look runs it again, up to the layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any

import numpy as np
import torch

from ntviz.attention.blocks import Block, Context, Observer, layers_of
from ntviz.attention.maps import Window, token_range
from ntviz.attention.observation import observe
from ntviz.tokens import Tokens

BUDGET = 64 << 20
"""Bytes of queries and keys kept for one sequence."""
LONGEST = 12_282
"""bp at most, where a model without learned positions is read beyond what it was trained on."""


def widened(model: Any) -> tuple[Any, int, int]:
    """The model as it can be read, bp that it was made for, and bp at most: more where its positions allow that."""
    config = getattr(getattr(model, "module", None), "config", None)
    positions, trained = getattr(config, "max_position_embeddings", None), model.max_bp
    if not positions or not is_dataclass(model):
        return model, trained, trained
    k = model.tokenizer.vocabulary.k  # type: ignore[attr-defined]
    made_for = min(trained, (positions - 3) * k)
    if getattr(config, "position_embedding_type", "") != "rotary":
        return model, made_for, trained
    longest = max(LONGEST, trained)
    # Single letters around N need a token each.
    tokens = max(model.max_tokens, longest // k + 1 + 8 * k)  # type: ignore[attr-defined]
    return replace(model, max_tokens=tokens), made_for, longest  # type: ignore[type-var]


@dataclass(frozen=True)
class _QueriesAndKeys(Observer):
    """Queries and keys of whole layers; none where scores are more than their products: blocks come then."""

    kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def start(self, context: Context) -> _QueriesAndKeys:
        return self

    def see_layer(self, layer: int, heads: tuple[int, ...], query: torch.Tensor, key: torch.Tensor) -> bool:
        self.kept[layer] = (query.float().clone(), key.float().clone())
        return True

    def see(self, block: Block) -> None: ...

    def finish(self) -> None: ...


class Scan:
    """A sequence's tokens, and exact looks at the attention of a model on them; `budget` bytes of queries and keys are kept."""

    def __init__(self, model: Any, tokens: Tokens, *, budget: int = BUDGET) -> None:
        self.model, self.tokens, self.n = model, tokens, len(tokens)
        self._most = max(1, budget // (2 * 4 * len(tokens) * model.hidden_size))
        self._kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._products = True

    def observe(self, layers: Sequence[int] | None = None, **observers: Any) -> Any:
        """What observers see; queries and keys of `layers` are kept on the way, when None those of all if they fit."""
        if layers is None:
            layers = range(layers_of(self.model)) if layers_of(self.model) <= self._most else ()
        if not (self._products and len(layers)):
            return observe(self.model, self.tokens, **observers)
        new = _QueriesAndKeys(layers=layers)
        seen = observe(self.model, self.tokens, **observers, _kept=new)
        self._products = bool(new.kept)
        self._kept.update(new.kept)
        while len(self._kept) > self._most:
            self._kept.pop(next(iter(self._kept)))
        return seen

    def _layer(self, layer: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Queries and keys [head, token, unit] of a layer, or None where they do not say everything."""
        if layer not in self._kept and self._products:
            self.observe([layer])
        return self._kept.get(layer)

    def weights(self, layer: int, head: int, query: tuple[int, int], key: tuple[int, int]) -> np.ndarray:
        """Exact weights [query, key] float32 of a window of tokens of one head, each range first and after the last."""
        for tokens in (query, key):
            token_range(tokens, self.n, "What is looked at")
        kept = self._layer(layer)
        if kept is None:
            window = Window(query=query, key=key, at=[(layer, head)])
            return observe(self.model, self.tokens, window=window).window.weights[0]
        with torch.inference_mode():
            scores = kept[0][head, slice(*query)] @ kept[1][head].T
            lse = torch.logsumexp(scores, -1, keepdim=True)
            return (scores[:, slice(*key)] - lse).exp_().cpu().numpy()

    def rows(self, layer: int) -> int:
        """Queries to look at in one go: a few where that is cheap, all where each look runs the model."""
        return self.n if self._layer(layer) is None else max(1, (1 << 20) // self.n)


def pooled(
    read: Callable[[tuple[int, int]], np.ndarray], query: tuple[int, int], pool: tuple[int, int], step: int
) -> np.ndarray:
    """[query cell, key cell] float32: of `pool` tokens each, the weight that is farthest from zero, NaN left out.

    `read` gives the weights [query, key] of a range of queries; it is asked for about `step` queries at a time.
    """
    step = max(pool[0], step // pool[0] * pool[0])
    parts = []
    for first in range(query[0], query[1], step):
        weights = read((first, min(first + step, query[1])))
        rows, columns = (np.arange(0, size, by) for size, by in zip(weights.shape, pool, strict=True))
        high, low = (far.reduceat(far.reduceat(weights, rows, 0), columns, 1) for far in (np.fmax, np.fmin))
        parts.append(np.where(high >= -low, high, low))
    return np.concatenate(parts)
