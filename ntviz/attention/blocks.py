"""What an observer of attention is given: one sequence, one layer, some heads, a run of queries, and all keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch

from ntviz.tokens import Tokens


@dataclass(frozen=True)
class Context:
    """The sequence under observation, and the shape of the model.

    Attributes
    ----------
    index
        Place of the sequence in its batch.
    n_tokens
        Real tokens; padding is gone before an observer sees anything.
    is_special
        [token] bool, true for `<cls>` and its like, which lie on no base.
    spans
        [token, 2] bp within the sequence, 0-based half-open; None where the model's tokens are not ours.
    tokens
        The tokens with their bases, where they are ours.
    n_layers, n_heads
        Of the model.
    device
        Where the blocks live.
    """

    index: int
    n_tokens: int
    is_special: np.ndarray
    spans: np.ndarray | None
    tokens: Tokens | None
    n_layers: int
    n_heads: int
    device: torch.device

    @cached_property
    def base(self) -> torch.Tensor:
        """int64 indices of the tokens that lie on bases, on the device."""
        return torch.from_numpy(np.flatnonzero(~self.is_special)).to(self.device)

    @cached_property
    def is_base(self) -> torch.Tensor:
        """[token] float32 on the device: 1 on bases, 0 on special tokens."""
        return torch.from_numpy((~self.is_special).astype(np.float32)).to(self.device)

    @cached_property
    def special(self) -> torch.Tensor:
        """[token] bool on the device: `is_special`."""
        return torch.tensor(self.is_special, device=self.device)

    def grid(self, layers: Sequence[int] | None, heads: Sequence[int] | None) -> Grid:
        """The layers and heads asked for, None meaning all; ValueError if one is not in the model."""
        return Grid(_chosen(layers, self.n_layers, "layer"), _chosen(heads, self.n_heads, "head"))


@dataclass(frozen=True)
class Grid:
    """The layers and heads that a result covers: its first two axes."""

    layers: tuple[int, ...]
    heads: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of layers and heads."""
        return len(self.layers), len(self.heads)

    def place(self, block: Block) -> tuple[int, list[int]]:
        """Where a block belongs: the index of its layer, and those of its heads."""
        return self.layers.index(block.layer), [self.heads.index(head) for head in block.heads]


@dataclass(frozen=True)
class Block:
    """Attention of one sequence in one layer: some heads, a run of queries, every key. Read only, and soon overwritten.

    Attributes
    ----------
    layer, heads
        Zero-based.
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


class Accumulator(Protocol):
    """What an observer keeps for one sequence."""

    def see(self, block: Block) -> None:
        """Takes in a block. Its tensors are overwritten afterwards: keep sums and copies, never views."""
        ...

    def finish(self) -> Any:
        """The result, as numpy arrays with the axes [layer, head, ...]."""
        ...


class Sums:
    """An accumulator with a tensor, or several, for the layers and heads of an observer."""

    def __init__(self, observer: Any, context: Context) -> None:
        self.context, self.grid = context, context.grid(observer.layers, observer.heads)

    def zeros(self, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        """[layer, head, ...] zeros on the device."""
        return torch.zeros(*self.grid.shape, *shape, dtype=dtype, device=self.context.device)


@dataclass(frozen=True)
class Observer:
    """A question about attention: which layers and heads it needs, and how it starts on a sequence.

    Parameters
    ----------
    layers, heads
        Zero-based; all when None.
    """

    layers: Sequence[int] | None = field(default=None, kw_only=True)
    heads: Sequence[int] | None = field(default=None, kw_only=True)

    def needs(self, context: Context) -> dict[int, tuple[int, ...]]:
        """The heads needed of each layer needed."""
        grid = context.grid(self.layers, self.heads)
        return dict.fromkeys(grid.layers, grid.heads)

    def queries(self, context: Context) -> tuple[int, int]:
        """The run of queries needed, first and after the last; blocks may hold others beside them."""
        return 0, context.n_tokens

    def start(self, context: Context) -> Accumulator:
        """An accumulator for one sequence: the class's `_Sums`."""
        return type(self)._Sums(self, context)  # type: ignore[attr-defined]


def _chosen(wanted: Sequence[int] | None, n: int, what: str) -> tuple[int, ...]:
    if wanted is None:
        return tuple(range(n))
    chosen = tuple(int(one) for one in wanted)
    wrong = [one for one in chosen if not 0 <= one < n]
    if wrong or not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(
            f"{what}s must be different numbers from 0 to {n - 1} (zero-based), at least one; received {list(chosen)}. "
            f"Leave {what}s out for all of them."
        )
    return chosen
