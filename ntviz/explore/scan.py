"""One sequence under observation: exact parts of any head's map on demand, from queries and keys kept for a while.

A map is never kept. What is kept are the queries and keys of the layers looked at, two numbers for each token and
hidden unit, within a budget; any window, row or column of any of their heads follows from these in milliseconds. For
an encoder that adds masks or position biases to its scores, queries and keys are not enough, and each look runs the
model again up to the layer in question.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ntviz import attention
from ntviz.attention.blocks import Block, Context, Observer
from ntviz.tokens import Tokens

BUDGET = 64 << 20
"""Bytes of queries and keys kept for one sequence."""

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """A window of one head's map, as cells of one or several tokens.

    Attributes
    ----------
    values
        [query cell, key cell] float32, the largest weight of each cell (of a difference: the one farthest from zero).
    which
        [query cell, key cell] int32, which of the cell's pairs it is: query within the cell times `pool[1]`, plus key
        within the cell.
    query, key
        First token and the one after the last.
    pool
        Tokens of a cell along queries and keys; the last cell may hold fewer.
    """

    values: np.ndarray
    which: np.ndarray
    query: tuple[int, int]
    key: tuple[int, int]
    pool: tuple[int, int]

    def pair(self, row: int, column: int) -> tuple[int, int]:
        """Tokens (query, key) of the pair whose weight a cell shows."""
        within = int(self.which[row, column])
        return (
            self.query[0] + row * self.pool[0] + within // self.pool[1],
            self.key[0] + column * self.pool[1] + within % self.pool[1],
        )


@dataclass(frozen=True)
class _QueriesAndKeys(Observer):
    """Queries and keys of whole layers, where scores are nothing but their products."""

    into: dict[int, tuple[torch.Tensor, torch.Tensor]] | None = None

    def start(self, context: Context) -> _Keeper:
        return _Keeper({} if self.into is None else self.into)


class _Keeper:
    def __init__(self, into: dict[int, tuple[torch.Tensor, torch.Tensor]]) -> None:
        self.into = into

    def see_layer(self, layer: int, heads: tuple[int, ...], query: torch.Tensor, key: torch.Tensor) -> bool:
        self.into[layer] = (query.float().clone(), key.float().clone())
        return True

    def see(self, block: Block) -> None:
        """Blocks come where scores carry more than products: nothing is kept then."""

    def finish(self) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
        return self.into


class Scan:
    """A sequence, its tokens, and exact looks at the attention of a model on it.

    Parameters
    ----------
    model
        A `models.DNAModel` that takes this many tokens.
    tokens
        Of the sequence.
    budget
        Bytes of queries and keys kept.
    """

    def __init__(self, model: Any, tokens: Tokens, *, budget: int = BUDGET) -> None:
        self.model, self.tokens, self.budget = model, tokens, budget
        self._kept: OrderedDict[int, tuple[torch.Tensor, torch.Tensor]] = OrderedDict()
        self._products = True

    def __repr__(self) -> str:
        return f"Scan({self.tokens!r} by {self.model.name})"

    @property
    def n(self) -> int:
        """Number of tokens, `<cls>` included."""
        return len(self.tokens)

    @cached_property
    def base(self) -> np.ndarray:
        """Indices of tokens that lie on bases."""
        return np.flatnonzero(~self.tokens.is_special)

    @property
    def first(self) -> int:
        """The first token that lies on bases; those before it are special."""
        return int(self.base[0])

    @property
    def uniform(self) -> float:
        """Weight of each key if all were alike."""
        return 1 / self.n

    # Observing --------------------------------------------------------------------------------------------------------

    def observe(self, **observers: Any) -> Any:
        """What observers see; queries and keys are kept on the way when all layers fit into the budget."""
        extra: dict[str, Any] = {}
        kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        if self._products and self.model.layers * self._size() <= self.budget:
            extra = {"_kept": _QueriesAndKeys(kept)}
        seen = attention.observe(self.model, self.tokens, **observers, **extra)
        if extra and not kept:
            self._products = False
        self._kept.update(kept)
        return seen

    def _size(self) -> int:
        return 2 * 4 * self.n * self.model.hidden_size

    def _layer(self, layer: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Queries and keys [head, token, unit] of a layer, or None where they do not say everything."""
        if layer not in self._kept and self._products:
            kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
            attention.observe(self.model, self.tokens, kept=_QueriesAndKeys(kept, layers=[layer]))
            if not kept:
                self._products = False
            self._kept.update(kept)
            while len(self._kept) > 1 and len(self._kept) * self._size() > self.budget:
                self._kept.popitem(last=False)
        if layer not in self._kept:
            return None
        self._kept.move_to_end(layer)
        return self._kept[layer]

    # Looking ----------------------------------------------------------------------------------------------------------

    def weights(
        self, layer: int, head: int, query: tuple[int, int] | None = None, key: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Exact weights [query, key] float32 of a window of tokens of one head; all tokens where None."""
        query, key = self._range(query), self._range(key)
        kept = self._layer(layer)
        if kept is None:
            window = attention.Window(query=query, key=key, at=[(layer, head)])
            return attention.observe(self.model, self.tokens, window=window).window.weights[0]
        with torch.inference_mode():
            scores = kept[0][head, slice(*query)] @ kept[1][head].T
            lse = torch.logsumexp(scores, -1, keepdim=True)
            return (scores[:, slice(*key)] - lse).exp_().cpu().numpy()

    def cells(
        self, layer: int, head: int, query: tuple[int, int], key: tuple[int, int], *, most: tuple[int, int]
    ) -> Cells:
        """A window of one head's map in at most `most` cells along queries and keys, each with its largest weight."""
        return reduced(lambda rows: self.weights(layer, head, rows, key), query, key, most, self._rows(layer))

    def _rows(self, layer: int) -> int:
        """Queries looked at in one go: a few where that is cheap, all where each look runs the model."""
        return self.n if self._layer(layer) is None else max(1, _CHUNK // self.n)

    def _range(self, wanted: tuple[int, int] | None) -> tuple[int, int]:
        first, last = (0, self.n) if wanted is None else wanted
        if not 0 <= first < last <= self.n:
            raise ValueError(
                f"A range of tokens must lie within 0 to {self.n:,}, first before last; received ({first}, {last}). "
                "tokens.token_at(base) gives the token of a base."
            )
        return first, last


def reduced(
    rows_of: Any, query: tuple[int, int], key: tuple[int, int], most: tuple[int, int], step: int
) -> Cells:
    """Cells of a window whose rows [query, key] come from `rows_of(range of queries)`, `step` queries at a time.

    Of each cell the value farthest from zero is kept, NaN left out; a cell of nothing but NaN is NaN.
    """
    pool = tuple(
        max(1, -(-(last - first) // limit)) for (first, last), limit in zip((query, key), most, strict=True)
    )
    step = max(pool[0], step // pool[0] * pool[0])
    parts = [
        _pooled(rows_of((top, min(top + step, query[1]))), pool) for top in range(query[0], query[1], step)
    ]
    values, which = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Cells(values, which, query, key, (pool[0], pool[1]))


def _pooled(weights: np.ndarray, pool: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    if pool == (1, 1):
        return weights, np.zeros(weights.shape, dtype=np.int32)
    rows, columns = (-(-size // by) for size, by in zip(weights.shape, pool, strict=True))
    padded = np.full((rows * pool[0], columns * pool[1]), np.nan, dtype=np.float32)
    padded[: weights.shape[0], : weights.shape[1]] = weights
    cells = padded.reshape(rows, pool[0], columns, pool[1]).swapaxes(1, 2).reshape(rows, columns, -1)
    strength = np.where(np.isnan(cells), -1.0, np.abs(cells))
    which = strength.argmax(-1)
    return np.take_along_axis(cells, which[..., None], -1)[..., 0], which.astype(np.int32)
