"""What an observer of attention is given: one sequence, one layer, some heads, a run of queries, and all keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from ntviz.tokens import Tokens


@dataclass(frozen=True)
class Context:
    """The sequence under observation, its padding gone, and the shape of the model.

    Attributes
    ----------
    index
        Place of the sequence in its batch.
    is_special
        [token] bool, true for `<cls>` and its like, which lie on no base.
    tokens
        The tokens with their bases; None where the model's tokens are not ours.
    device
        Where the blocks live.
    """

    index: int
    is_special: np.ndarray
    tokens: Tokens | None
    n_layers: int
    n_heads: int
    device: torch.device

    @property
    def n_tokens(self) -> int:
        return len(self.is_special)

    @cached_property
    def special(self) -> torch.Tensor:
        """[token] bool on the device: `is_special`."""
        return torch.tensor(self.is_special, device=self.device)

    @cached_property
    def is_base(self) -> torch.Tensor:
        """[token] float32 on the device: 1 on bases, 0 on special tokens."""
        return (~self.special).float()

    @cached_property
    def base(self) -> torch.Tensor:
        """int64 indices of the tokens that lie on bases, on the device."""
        return torch.from_numpy(np.flatnonzero(~self.is_special)).to(self.device)

    @cached_property
    def rank(self) -> torch.Tensor:
        """[token] int64 on the device: which base token each is, from 0."""
        return torch.cumsum(self.is_base, 0).long() - 1

    def base_queries(self, first: int, last: int) -> torch.Tensor:
        """int64 indices of the queries of a run that lie on bases."""
        queries = torch.arange(first, last, device=self.device)
        return queries[~self.special[first:last]]

    def grid(self, layers: Sequence[int] | None, heads: Sequence[int] | None) -> Grid:
        """The layers and heads asked for, None meaning all; ValueError if one is not in the model."""
        return Grid(_chosen(layers, self.n_layers, "layer"), _chosen(heads, self.n_heads, "head"))


def tokens_of(model: Any, given: str | Tokens) -> Tokens:
    """What a model's attention over a sequence is over: its tokens, or wider bins as in NTv3."""
    if isinstance(given, Tokens):
        return model.attention_tokens(given.sequence) if hasattr(model, "attention_tokens") else given
    return getattr(model, "attention_tokens", model.tokenize)(given)


def layers_of(model: Any) -> int:
    """Blocks of a model that attend."""
    return getattr(model, "attention_layers", model.layers)


class Grid(NamedTuple):
    """The layers and heads that a result covers: its first two axes."""

    layers: tuple[int, ...]
    heads: tuple[int, ...]

    def place(self, block: Block) -> tuple[int, list[int] | slice]:
        """Where a block belongs: the index of its layer, and those of its heads; a slice where they follow each other."""
        heads = [self.heads.index(head) for head in block.heads]
        run = heads == list(range(heads[0], heads[0] + len(heads)))
        return self.layers.index(block.layer), slice(heads[0], heads[-1] + 1) if run else heads


@dataclass(frozen=True)
class Block:
    """Attention of one sequence in one layer: some heads, a run of queries, every key. Read only, and soon overwritten.

    Attributes
    ----------
    queries
        First query and the one after the last, as token indices.
    log_weights
        [head, query, key] float32: logarithm of the attention weights; minus infinity where a key is masked.
    """

    layer: int
    heads: tuple[int, ...]
    queries: tuple[int, int]
    log_weights: torch.Tensor
    shared: dict[str, torch.Tensor] = field(default_factory=dict, repr=False)

    @property
    def probabilities(self) -> torch.Tensor:
        """[head, query, key] weights; each row sums to one. Computed once for all observers of the block."""
        if "probabilities" not in self.shared:
            self.shared["probabilities"] = torch.exp(self.log_weights, out=self.shared.get("buffer"))
        return self.shared["probabilities"]

    def of(self, heads: Sequence[int]) -> Block:
        """The part of this block with those of its heads."""
        if tuple(heads) == self.heads:
            return self
        rows = [self.heads.index(head) for head in heads]
        shared = {"probabilities": self.probabilities[rows]} if "probabilities" in self.shared else {}
        return Block(self.layer, tuple(heads), self.queries, self.log_weights[rows], shared)


class Sums:
    """What an observer keeps for one sequence: tensors for its layers and heads.

    `see` takes in a block, whose tensors are overwritten afterwards; `finish` gives the result, numpy arrays with the axes
    [layer, head, ...]. One that has `see_layer` may take whole queries and keys instead, and returns whether it did; one with
    `see_layers` those of a whole pass, with all that keep something for its sequences.
    """

    def __init__(self, observer: Any, context: Context) -> None:
        self.context, self.grid = context, context.grid(observer.layers, observer.heads)

    def zeros(self, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        """[layer, head, ...] zeros on the device."""
        return torch.zeros(*map(len, self.grid), *shape, dtype=dtype, device=self.context.device)


@dataclass(frozen=True)
class Observer:
    """A question about attention: which layers and heads it needs (all when None), and how it starts on a sequence."""

    layers: Sequence[int] | None = field(default=None, kw_only=True)
    heads: Sequence[int] | None = field(default=None, kw_only=True)

    def needs(self, context: Context) -> dict[int, tuple[int, ...]]:
        """The heads needed of each layer needed."""
        grid = context.grid(self.layers, self.heads)
        return dict.fromkeys(grid.layers, grid.heads)

    def queries(self, context: Context) -> tuple[int, int]:
        """The run of queries needed, first and after the last; blocks may hold others beside them."""
        return 0, context.n_tokens

    def start(self, context: Context) -> Any:
        """What is kept for one sequence: the class's `_Sums`."""
        return type(self)._Sums(self, context)  # type: ignore[attr-defined]


def _chosen(wanted: Sequence[int] | None, n: int, what: str) -> tuple[int, ...]:
    chosen = tuple(range(n)) if wanted is None else tuple(map(int, wanted))
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(n)):
        raise ValueError(
            f"{what}s must be different numbers from 0 to {n - 1} (zero-based), at least one; received {list(chosen)}. "
            f"Leave {what}s out for all of them."
        )
    return chosen
