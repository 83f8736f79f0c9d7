"""Parts of attention maps: an exact window of some heads, the strongest pairs, and small pictures of every head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ntviz.attention.blocks import Block, Context, Observer, Sums


@dataclass(frozen=True)
class Window(Observer):
    """The exact weights of a range of queries on a range of keys, for a few heads. Result: `Window.Result`.

    Parameters
    ----------
    query, key
        First token and the one after the last; all tokens when None. The first token is `<cls>` in our models.
    at
        (layer, head) pairs, zero-based; at least one.
    """

    query: tuple[int, int] | None = None
    key: tuple[int, int] | None = None
    at: Sequence[tuple[int, int]] = field(default=(), kw_only=True)

    @dataclass(frozen=True)
    class Result:
        """`weights` [head, query, key] float32, in the order of `at`; `query` and `key` are the ranges, in tokens."""

        weights: np.ndarray
        query: tuple[int, int]
        key: tuple[int, int]

    def needs(self, context: Context) -> dict[int, tuple[int, ...]]:
        if not self.at:
            raise ValueError("at must name at least one (layer, head); received none. Pass e.g. at=[(2, 5)].")
        needed: dict[int, tuple[int, ...]] = {}
        for layer in dict.fromkeys(layer for layer, _ in self.at):
            heads = dict.fromkeys(head for where, head in self.at if where == layer)
            needed[layer] = context.grid([layer], list(heads)).heads
        return needed

    def queries(self, context: Context) -> tuple[int, int]:
        return token_range(self.query, context.n_tokens, "query")

    class _Sums:
        def __init__(self, observer: Any, context: Context) -> None:
            self.at = [(int(layer), int(head)) for layer, head in observer.at]
            self.query, self.key = (observer.queries(context), token_range(observer.key, context.n_tokens, "key"))
            shape = (len(self.at), self.query[1] - self.query[0], self.key[1] - self.key[0])
            self.weights = torch.zeros(shape, device=context.device)

        def see(self, block: Block) -> None:
            first, last = max(block.queries[0], self.query[0]), min(block.queries[1], self.query[1])
            rows = slice(first - block.queries[0], last - block.queries[0])
            for place, (layer, head) in enumerate(self.at):
                if layer == block.layer and head in block.heads:
                    index = block.heads.index(head)
                    weights = block.log_weights[index, rows, slice(*self.key)].exp()
                    self.weights[place, first - self.query[0] : last - self.query[0]] = weights

        def finish(self) -> Window.Result:
            return Window.Result(self.weights.cpu().numpy(), self.query, self.key)


@dataclass(frozen=True)
class TopPairs(Observer):
    """The strongest (query, key) pairs of each head. Result: `TopPairs.Result`.

    Parameters
    ----------
    k
        How many of each head. Among pairs that tie for the last place, any may be kept.
    special
        Whether pairs with a special token count.
    """

    k: int = 20
    special: bool = False

    @dataclass(frozen=True)
    class Result:
        """[layer, head, k], the strongest first: token indices and weights; -1 and 0 where a sequence has fewer pairs."""

        query: np.ndarray
        key: np.ndarray
        weight: np.ndarray

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k must be at least 1 pair a head; received {self.k}. Give the number wanted.")

    class _Sums(Sums):
        def __init__(self, observer: Any, context: Context) -> None:
            super().__init__(observer, context)
            self.k = observer.k
            self.banned = torch.zeros_like(context.special) if observer.special else context.special
            self.log_weight = self.zeros(self.k, dtype=torch.float32) - torch.inf
            self.pair = self.zeros(self.k, dtype=torch.int64) - 1

        def see(self, block: Block) -> None:
            layer, heads = self.grid.place(block)
            first, last = block.queries
            n = self.context.n_tokens
            for row, head in enumerate(np.arange(len(self.grid.heads))[heads]):
                kept = self.log_weight[layer, head]
                # Rows whose largest weight is below the weakest kept have nothing to add.
                best = block.log_weights[row].amax(-1).masked_fill(self.banned[first:last], -torch.inf)
                queries = (best > kept[-1]).nonzero()[:, 0]
                if not len(queries):
                    continue
                weights = block.log_weights[row, queries].masked_fill(self.banned, -torch.inf)
                top, place = weights.flatten().topk(min(self.k, weights.numel()))
                pairs = (queries[place // n] + first) * n + place % n
                both, pairs = torch.cat([kept, top]), torch.cat([self.pair[layer, head], pairs])
                self.log_weight[layer, head], order = both.topk(self.k)
                self.pair[layer, head] = pairs[order]

        def finish(self) -> TopPairs.Result:
            weight = self.log_weight.exp().cpu().numpy()
            query, key = np.divmod(self.pair.cpu().numpy(), self.context.n_tokens)
            return TopPairs.Result(np.where(weight > 0, query, -1), np.where(weight > 0, key, -1), weight)


@dataclass(frozen=True)
class Thumbnails(Observer):
    """A small picture of each head's map: the largest weight in each cell. Result: `Thumbnails.Result`.

    Parameters
    ----------
    size
        Cells along each side, at most: a cell is the smallest whole number of base tokens for which that many are
        enough; the last may hold fewer.
    """

    size: int = 64

    @dataclass(frozen=True)
    class Result:
        """`maps` [layer, head, query cell, key cell]; cell i holds base tokens `edges[i]` to `edges[i + 1]`, half-open."""

        maps: np.ndarray
        edges: np.ndarray

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be at least 1 cell; received {self.size}. Give the number of cells.")

    class _Sums(Sums):
        def __init__(self, observer: Any, context: Context) -> None:
            super().__init__(observer, context)
            n = len(context.base)
            self.width = max(1, -(-n // observer.size))
            self.size = -(-n // self.width)
            self.edges = np.minimum(np.arange(self.size + 1) * self.width, n)
            self.maps = self.zeros(self.size, self.size, dtype=torch.float32)
            whole = n == context.n_tokens - int(context.is_special[0]) and not context.is_special[1:].any()
            self.keys = slice(int(context.is_special[0]), None) if whole else context.base

        def see(self, block: Block) -> None:
            queries = self.context.base_queries(*block.queries)
            if not len(queries):
                return
            layer, heads = self.grid.place(block)
            # exp is monotonous: pooled before, it is computed for the cells only.
            pooled = torch.nn.functional.max_pool1d(block.log_weights[..., self.keys], self.width, ceil_mode=True)
            weights = pooled[:, queries - block.queries[0]].exp_()
            cells = self.context.rank[queries] // self.width
            for cell in range(int(cells[0]), int(cells[-1]) + 1):
                largest = weights[:, cells == cell].amax(1)
                self.maps[layer, heads, cell] = torch.maximum(self.maps[layer, heads, cell], largest)

        def finish(self) -> Thumbnails.Result:
            return Thumbnails.Result(self.maps.cpu().numpy(), self.edges)


def token_range(wanted: tuple[int, int] | None, n: int, what: str) -> tuple[int, int]:
    """First token and the one after the last, all when None."""
    first, last = (0, n) if wanted is None else map(int, wanted)
    if not 0 <= first < last <= n:
        raise ValueError(
            f"{what} must be a range of tokens within 0 to {n}, first before last; received ({first}, {last}). "
            "tokens.token_at(base) gives the token of a base."
        )
    return first, last
