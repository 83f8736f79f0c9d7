"""Statistics of attention over a whole sequence: each sees blocks and keeps sums.

Rows are queries (the token that looks), columns are keys (the token looked at). Means over queries leave out special
tokens such as `<cls>`, which lie on no base; what base tokens give to special ones is reported as a number of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ntviz.attention import triton_counts
from ntviz.attention.blocks import Block, Context, Observer, Sums
from ntviz.tokens import Tokens


@dataclass(frozen=True)
class PerQuery:
    """`mean` [layer, head] over base queries, and `by_query` [layer, head, query]."""

    mean: np.ndarray
    by_query: np.ndarray


class _PerQuery(Sums):
    def __init__(self, observer: Any, context: Context) -> None:
        super().__init__(observer, context)
        self.by_query = self.zeros(context.n_tokens, dtype=torch.float32)

    def keep(self, block: Block, values: torch.Tensor) -> None:
        layer, heads = self.grid.place(block)
        self.by_query[layer, heads, slice(*block.queries)] = values

    def finish(self) -> PerQuery:
        mean = self.by_query[..., self.context.base].double().mean(-1)
        return PerQuery(mean.cpu().numpy(), self.by_query.cpu().numpy())


@dataclass(frozen=True)
class Entropy(Observer):
    """How spread out each query's attention is, in nats: 0 is one key, log(tokens) is all alike. Result: `PerQuery`.

    Special tokens count as keys.
    """

    class _Sums(_PerQuery):
        def see(self, block: Block) -> None:
            expected = torch.linalg.vecdot(block.probabilities, block.log_weights)
            if not bool(expected.isfinite().all()):
                # A masked key has weight 0 and minus infinity for its logarithm.
                expected = torch.linalg.vecdot(block.probabilities, block.log_weights.clamp(min=-1e30))
            self.keep(block, -expected)


@dataclass(frozen=True)
class Distance(Observer):
    """How far each query looks, in bp between token midpoints, weighted by attention. Result: `PerQuery`.

    Over base keys only, their weights made to sum to one; NaN at special queries.
    """

    class _Sums(_PerQuery):
        def __init__(self, observer: Any, context: Context) -> None:
            super().__init__(observer, context)
            if context.tokens is None:
                raise ValueError(
                    "Distance needs to know which bases a token covers; this batch is ids only. Pass ntviz Tokens "
                    "(model.tokenize) instead of a dictionary of tensors."
                )
            middle = context.tokens.spans.mean(axis=1).astype(np.float32)
            self.middle = torch.from_numpy(middle).to(context.device)
            self.apart: tuple[tuple[int, int], torch.Tensor] = (0, 0), self.middle

        def see(self, block: Block) -> None:
            if self.apart[0] != block.queries:
                apart = (self.middle[slice(*block.queries), None] - self.middle[None]).abs_()
                self.apart = block.queries, apart.mul_(self.context.is_base)
            weights = block.probabilities
            total = torch.matmul(weights, self.context.is_base)
            self.keep(block, torch.einsum("hqk,qk->hq", weights, self.apart[1]) / total)

        def finish(self) -> PerQuery:
            found = super().finish()
            found.by_query[..., self.context.is_special] = np.nan
            return found


@dataclass(frozen=True)
class Received(Observer):
    """How much attention each key receives from all base queries together. Result: `Received.Result`."""

    @dataclass(frozen=True)
    class Result:
        """`by_token` [layer, head, key]: sum of weights over base queries; `special` [layer, head]: share on special tokens."""

        by_token: np.ndarray
        special: np.ndarray

        def on(self, inside: np.ndarray) -> np.ndarray:
            """[layer, head, ...]: mean over base queries of the weight on the tokens of an element, bool [..., token]."""
            return (self.by_token / self.by_token.sum(-1, keepdims=True)) @ inside.T

        def by_base(self, tokens: Tokens) -> np.ndarray:
            """[layer, head, base]: each token's sum in equal parts on its bases; what special tokens got is left out."""
            sizes = tokens.spans[:, 1] - tokens.spans[:, 0]
            return np.repeat(self.by_token / np.maximum(sizes, 1), sizes, axis=-1)

    class _Sums(Sums):
        def __init__(self, observer: Any, context: Context) -> None:
            super().__init__(observer, context)
            self.sums = self.zeros(context.n_tokens)

        def see(self, block: Block) -> None:
            layer, heads = self.grid.place(block)
            queries = self.context.is_base[slice(*block.queries)]
            self.sums[layer, heads] += torch.matmul(queries, block.probabilities)

        def finish(self) -> Received.Result:
            by_token = self.sums.cpu().numpy()
            special = by_token[..., self.context.is_special].sum(-1) / max(len(self.context.base), 1)
            return Received.Result(by_token, special)


@dataclass(frozen=True)
class Above(Observer):
    """How many queries give each key more than a threshold of their attention. Result: `Above.Result`.

    Parameters
    ----------
    threshold
        Share of attention, strictly between 0 and 1. 0.3 is the paper's.

    References
    ----------
    Dalla-Torre et al., Nature Methods 2025, after Vig et al. 2021 (arXiv:2006.15222). On a GPU with Triton one
    kernel counts a layer without writing any block; counts then differ from these for pairs at the threshold only.
    """

    threshold: float = 0.3

    @dataclass(frozen=True)
    class Result:
        """Numbers of (query, key) pairs above the threshold, int64 [layer, head, token]."""

        counts: np.ndarray  # by key, over queries that lie on bases
        from_special: np.ndarray  # by key, over queries that are special tokens
        paired: np.ndarray  # those of `counts` whose key and its mirror image, as far from the query, both lie on bases
        mirrored: np.ndarray  # where those mirror images lie, one for each pair

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(
                f"threshold must be a share of attention strictly between 0 and 1; received {self.threshold}. "
                "The paper's is 0.3."
            )

    class _Sums(Sums):
        def __init__(self, observer: Any, context: Context) -> None:
            super().__init__(observer, context)
            self.threshold = observer.threshold
            shape = (4, *map(len, self.grid), context.n_tokens)
            self.sums = torch.zeros(shape, dtype=torch.int64, device=context.device)
            self.pairs: list[torch.Tensor] = []
            self.length = torch.tensor([context.n_tokens], device=context.device)

        def see(self, block: Block) -> None:
            layer, heads = self.grid.place(block)
            row, query, key = _exceeding(block.log_weights, math.log(self.threshold))
            if len(row):
                head = torch.tensor(heads, device=row.device)[row] + layer * len(self.grid.heads)
                self.pairs.append(torch.stack([head, query + block.queries[0], key]))
            if sum(pairs.shape[1] for pairs in self.pairs) > 1 << 20:
                self._count()

        def _count(self) -> None:
            if not self.pairs:
                return
            head, query, key = torch.cat(self.pairs, dim=1)
            self.pairs = []
            n, special = self.context.n_tokens, self.context.special
            from_base = ~special[query]
            mirror = 2 * query - key
            inside = from_base & ~special[key] & (mirror >= 0) & (mirror < n)
            inside[inside.clone()] = ~special[mirror[inside]]
            kinds = ((from_base, key), (~from_base, key), (inside, key), (inside, mirror))
            for sums, (which, token) in zip(self.sums, kinds, strict=True):
                sums += torch.bincount((head * n + token)[which], minlength=sums.numel()).view(sums.shape)

        def see_layer(self, layer: int, heads: tuple[int, ...], query: torch.Tensor, key: torch.Tensor) -> bool:
            if not triton_counts.available(query.device):
                return False
            if heads != tuple(range(len(query))):
                query, key = query[list(heads)], key[list(heads)]
            special, out = self.context.special[None], self.sums[:, self.grid.layers.index(layer)][:, None]
            triton_counts.above(
                query[None], key[None], scaling=1.0, threshold=self.threshold, lengths=self.length, is_special=special, out=out,
            )  # fmt: skip
            return True

        def finish(self) -> Above.Result:
            self._count()
            return Above.Result(*self.sums.cpu().numpy())


def _exceeding(values: torch.Tensor, limit: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Head, query and key, as indices into the block, of the values [head, query, key] above a limit.

    At most 1 / threshold keys of a row are, in most rows none: the largest of each row, then of each piece of the rows
    that are left, is found much faster than every value is compared.
    """
    piece = 32
    rows = (values.amax(-1) > limit).flatten().nonzero()[:, 0]
    few = values.flatten(0, 1).index_select(0, rows)
    few = torch.nn.functional.pad(few, (0, -few.shape[1] % piece), value=-torch.inf).unflatten(1, (-1, piece))
    row, part = (few.amax(-1) > limit).nonzero(as_tuple=True)
    pieces = few.flatten(0, 1).index_select(0, row * few.shape[1] + part)
    hit, key = (pieces > limit).nonzero(as_tuple=True)
    rows = rows[row[hit]]
    return rows // values.shape[1], rows % values.shape[1], part[hit] * piece + key
