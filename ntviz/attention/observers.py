"""Statistics of attention over a whole sequence: mass, entropy, distance, what is received. Each sees blocks, keeps sums.

Rows are queries (the token that looks), columns are keys (the token looked at). Means over queries leave out special
tokens such as `<cls>`, which lie on no base; what base tokens give to special ones is reported as a number of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ntviz.attention.blocks import Block, Context, Observer, Sums
from ntviz.tokens import Tokens


class _PerQuery(Sums):
    """One number for each query of each head."""

    def __init__(self, observer: Any, context: Context) -> None:
        super().__init__(observer, context)
        self.by_query = self.zeros(context.n_tokens, dtype=torch.float32)

    def keep(self, block: Block, values: torch.Tensor) -> None:
        layer, heads = self.grid.place(block)
        self.by_query[layer, heads, slice(*block.queries)] = values

    def mean(self) -> np.ndarray:
        return self.by_query[..., self.context.base].double().mean(-1).cpu().numpy()


@dataclass(frozen=True)
class Entropy(Observer):
    """How spread out each query's attention is, in nats: 0 is one key, log(tokens) is all alike.

    Special tokens count as keys. Result: `Entropy.Result`.
    """

    @dataclass(frozen=True)
    class Result:
        """`mean` [layer, head] over base queries, and `by_query` [layer, head, query], special queries included."""

        mean: np.ndarray
        by_query: np.ndarray

    class _Sums(_PerQuery):
        def see(self, block: Block) -> None:
            expected = torch.linalg.vecdot(block.probabilities, block.log_weights)
            if not bool(expected.isfinite().all()):
                # A masked key has weight 0 and minus infinity for its logarithm.
                expected = torch.linalg.vecdot(block.probabilities, block.log_weights.clamp(min=-1e30))
            self.keep(block, -expected)

        def finish(self) -> Entropy.Result:
            return Entropy.Result(self.mean(), self.by_query.cpu().numpy())


@dataclass(frozen=True)
class Distance(Observer):
    """How far each query looks, in bp between token midpoints, weighted by attention.

    Over base keys only, their weights made to sum to one. Result: `Distance.Result`.
    """

    @dataclass(frozen=True)
    class Result:
        """`mean` [layer, head] over base queries, and `by_query` [layer, head, query]; NaN at special queries; bp."""

        mean: np.ndarray
        by_query: np.ndarray

    class _Sums(_PerQuery):
        def __init__(self, observer: Any, context: Context) -> None:
            super().__init__(observer, context)
            if context.spans is None:
                raise ValueError(
                    "Distance needs to know which bases a token covers; this batch is ids only. Pass ntviz Tokens "
                    "(model.tokenize) instead of a dictionary of tensors."
                )
            middle = context.spans.mean(axis=1)
            self.middle = torch.from_numpy(middle.astype(np.float32)).to(context.device)
            self.apart: tuple[tuple[int, int], torch.Tensor] = (0, 0), self.middle

        def see(self, block: Block) -> None:
            if self.apart[0] != block.queries:
                apart = (self.middle[slice(*block.queries), None] - self.middle[None]).abs_()
                self.apart = block.queries, apart.mul_(self.context.is_base)
            weights = block.probabilities
            total = torch.matmul(weights, self.context.is_base)
            self.keep(block, torch.einsum("hqk,qk->hq", weights, self.apart[1]) / total)

        def finish(self) -> Distance.Result:
            by_query = self.by_query.cpu().numpy()
            by_query[..., self.context.is_special] = np.nan
            return Distance.Result(self.mean(), by_query)


@dataclass(frozen=True)
class Received(Observer):
    """How much attention each key receives from all base queries together. Result: `Received.Result`."""

    @dataclass(frozen=True)
    class Result:
        """What each key received.

        Attributes
        ----------
        by_token
            [layer, head, key]: sum of weights over base queries; over all keys it is the number of those queries.
        special
            [layer, head]: share that went to special tokens.
        """

        by_token: np.ndarray
        special: np.ndarray

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
class MassByElement(Observer):
    """How much of their attention base queries give to each element of the genome. Result: `MassByElement.Result`.

    Parameters
    ----------
    indicator
        [element, token] bool, which tokens are in each element; a list of such, one a sequence, for several.
    """

    indicator: np.ndarray | Sequence[np.ndarray] = ()

    @dataclass(frozen=True)
    class Result:
        """Shares of attention.

        Attributes
        ----------
        to
            [layer, head, element]: mean over base queries of the weight on the element.
        between
            [layer, head, element of query, element of key]: mean over the queries in the first element of their
            weight on the second; NaN where the first holds no token.
        special
            [layer, head]: mean over base queries of the weight on special tokens.
        """

        to: np.ndarray
        between: np.ndarray
        special: np.ndarray

    class _Sums(Sums):
        def __init__(self, observer: Any, context: Context) -> None:
            super().__init__(observer, context)
            several = observer.indicator
            own = np.asarray(several if isinstance(several, np.ndarray) else several[context.index])
            if own.ndim != 2 or own.shape[1] != context.n_tokens:
                raise ValueError(
                    f"indicator must be [element, token] with the sequence's {context.n_tokens} tokens; received "
                    f"{list(own.shape)}. Pass elements.indicator(interval, element, spans=tokens.spans) of each element."
                )
            inside, special = own.astype(bool) & ~context.is_special, context.is_special[None]
            keys, rows = (np.vstack([inside, more]).astype(np.float32) for more in (special, ~special))
            self.keys, self.rows = (torch.from_numpy(one).to(context.device) for one in (keys.T, rows))
            self.sums = self.zeros(len(rows), len(rows))

        def see(self, block: Block) -> None:
            layer, heads = self.grid.place(block)
            on = torch.matmul(block.probabilities, self.keys)
            self.sums[layer, heads] += torch.matmul(self.rows[:, slice(*block.queries)], on)

        def finish(self) -> MassByElement.Result:
            n = self.rows.double().sum(1).cpu().numpy()
            with np.errstate(invalid="ignore"):
                means = self.sums.cpu().numpy() / n[:, None]
            return MassByElement.Result(means[..., -1, :-1], means[..., :-1, :-1], means[..., -1, -1])
