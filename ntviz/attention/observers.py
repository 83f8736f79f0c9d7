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
            expected = _dot(block.probabilities, block.log_weights)
            if not math.isfinite(float(expected.sum())):
                # A masked key has weight 0 and minus infinity for its logarithm.
                expected = _dot(block.probabilities, block.log_weights.clamp(min=-1e30))
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
            self.terms: tuple[tuple[int, int], tuple[torch.Tensor, ...]] = (0, 0), ()

        def see(self, block: Block) -> None:
            if self.terms[0] != block.queries:
                self.terms = block.queries, self._terms(*block.queries)
            away, within, *columns = self.terms[1]
            weights = block.probabilities
            total, side, reach = (torch.mv(weights.flatten(0, 1), column).view(weights.shape[:2]) for column in columns)
            near = torch.einsum("hqk,qk->hq", weights[..., slice(*block.queries)], within)
            self.keep(block, (near + reach - away * side) / total)

        def _terms(self, first: int, last: int) -> tuple[torch.Tensor, ...]:
            """Tokens lie in order, so beside a run of queries a distance is a difference: sums of weights and places are enough.

            Places count from the middle of the run, which keeps small distances exact.
            """
            away = self.middle - self.middle[(first + last) // 2]
            within = (away[first:last, None] - away[first:last]).abs_() * self.context.is_base[first:last]
            side = self.context.is_base.clone()
            side[:first] *= -1
            side[first:last] = 0
            return away[first:last], within, self.context.is_base, side, side * away

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
            self.number = torch.arange(shape[1] * shape[2], device=context.device).view(shape[1:3])
            self.pairs: list[torch.Tensor] = []
            self.waiting = 0
            self.together: tuple[torch.Tensor, ...] = ()  # sums, lengths and special tokens of all sequences of a pass

        def see(self, block: Block) -> None:
            layer, heads = self.grid.place(block)
            row, query, key = _exceeding(block.log_weights, math.log(self.threshold))
            if len(row):
                head = self.number[layer, heads][row]
                self.pairs.append(torch.stack([head, query + block.queries[0], key]))
                self.waiting += len(row)
            if self.waiting > 1 << 20:
                self._count()

        def _count(self) -> None:
            if not self.pairs:
                return
            head, query, key = torch.cat(self.pairs, dim=1)
            self.pairs, self.waiting = [], 0
            n, special = self.context.n_tokens, self.context.special
            from_base = ~special[query]
            mirror = 2 * query - key
            inside = from_base & ~special[key] & (mirror >= 0) & (mirror < n)
            inside[inside.clone()] = ~special[mirror[inside]]
            kinds = ((from_base, key), (~from_base, key), (inside, key), (inside, mirror))
            for sums, (which, token) in zip(self.sums, kinds, strict=True):
                sums += torch.bincount((head * n + token)[which], minlength=sums.numel()).view(sums.shape)

        def see_layer(self, layer: int, heads: tuple[int, ...], query: torch.Tensor, key: torch.Tensor) -> bool:
            return self.see_layers([self], layer, heads, query[None], key[None])

        def see_layers(self, several: list[Any], layer: int, heads: tuple[int, ...], query: Any, key: Any) -> bool:
            """One launch for all sequences of a pass, [sequence, head, token, unit] of one length; the first of them is asked."""
            if not triton_counts.available(query.device):
                return False
            if not self.together:
                sums = torch.stack([one.sums for one in several], dim=1)
                for one, own in zip(several, sums.unbind(1), strict=True):
                    one.sums = own
                lengths = torch.full([len(several)], self.context.n_tokens, device=query.device)
                self.together = sums, lengths, torch.stack([one.context.special for one in several])
            if heads != tuple(range(query.shape[1])):
                query, key = query[:, list(heads)], key[:, list(heads)]
            sums, lengths, special = self.together
            triton_counts.above(
                query, key, scaling=1.0, threshold=self.threshold, lengths=lengths, is_special=special,
                out=sums[:, :, self.grid.layers.index(layer)],
            )  # fmt: skip
            return True

        def finish(self) -> Above.Result:
            self._count()
            return Above.Result(*self.sums.cpu().numpy())


def _few_threads(values: torch.Tensor) -> bool:
    """Whether NumPy, which takes one thread but writes nothing between, is the faster one."""
    return values.device.type == "cpu" and torch.get_num_threads() <= 2


def _dot(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Sums of products along the last axis."""
    if not _few_threads(one):
        return torch.linalg.vecdot(one, other)
    with np.errstate(invalid="ignore"):  # of masked keys
        return torch.from_numpy(np.vecdot(one.numpy(), other.numpy()))


def _exceeding(values: torch.Tensor, limit: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Head, query and key, as indices into the block, of the values [head, query, key] above a limit."""
    _, queries, keys = values.shape
    rows = None
    if values.device.type == "cpu" and not _few_threads(values):
        rows = (values.amax(-1) > limit).flatten().nonzero()[:, 0]
        values = values.flatten(0, 1).index_select(0, rows)
    if values.device.type == "cpu":
        found = torch.from_numpy(np.flatnonzero(values.numpy() > np.float32(limit)))
    else:
        found = (values > limit).flatten().nonzero()[:, 0]
    row, key = found // keys, found % keys
    row = row if rows is None else rows[row]
    return row // queries, row % queries, key
