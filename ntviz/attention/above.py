"""Pairs of tokens whose attention exceeds a threshold, counted by key: what the enrichment of elements is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ntviz.attention import triton_counts
from ntviz.attention.blocks import Block, Context, Observer, Sums


@dataclass(frozen=True)
class Above(Observer):
    """How many queries give each key more than a threshold of their attention. Result: `Above.Result`.

    Parameters
    ----------
    threshold
        Share of attention, strictly between 0 and 1. 0.3 is the paper's.

    Raises
    ------
    ValueError
        The threshold is not between 0 and 1.

    References
    ----------
    Dalla-Torre et al., Nature Methods 2025, after Vig et al. 2021 (arXiv:2006.15222). On a GPU with Triton one
    kernel counts a layer without writing any block; counts then differ from these for pairs at the threshold only.
    """

    threshold: float = 0.3

    @dataclass(frozen=True)
    class Result:
        """Numbers of (query, key) pairs above the threshold, int64, by key.

        Attributes
        ----------
        counts
            [layer, head, key], over queries that lie on bases.
        from_special
            [layer, head, key], over the queries that are special tokens.
        paired
            [layer, head, key]: those of `counts` whose key lies on a base and whose mirror image, the token as far
            from the query on its other side, is a base token too.
        mirrored
            [layer, head, token]: where those mirror images lie. Each pair of `paired` has one here, at the same
            distance from the same query.
        """

        counts: np.ndarray
        from_special: np.ndarray
        paired: np.ndarray
        mirrored: np.ndarray

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
            shape = (4, *self.grid.shape, context.n_tokens)
            self.sums = torch.zeros(shape, dtype=torch.int64, device=context.device)
            self.found: list[torch.Tensor] = []
            self.length = torch.tensor([context.n_tokens], device=context.device)

        def see(self, block: Block) -> None:
            layer, heads = self.grid.place(block)
            row, query, key = _exceeding(block.log_weights, math.log(self.threshold))
            if len(row):
                head = torch.tensor(heads, device=row.device)[row] + layer * len(self.grid.heads)
                self.found.append(torch.stack([head, query + block.queries[0], key]))
            if sum(pairs.shape[1] for pairs in self.found) > 1 << 20:
                self._count()

        def _count(self) -> None:
            if not self.found:
                return
            head, query, key = torch.cat(self.found, dim=1)
            self.found = []
            n, special = self.context.n_tokens, self.context.special
            from_base = ~special[query]
            mirror = 2 * query - key
            inside = from_base & ~special[key] & (mirror >= 0) & (mirror < n)
            inside[inside.clone()] = ~special[mirror[inside]]
            kinds = ((from_base, key), (~from_base, key), (inside, key), (inside, mirror))
            for kind, (which, token) in enumerate(kinds):
                sums = self.sums[kind]
                sums += torch.bincount((head * n + token)[which], minlength=sums.numel()).view(sums.shape)

        def see_layer(
            self, layer: int, heads: tuple[int, ...], query: torch.Tensor, key: torch.Tensor
        ) -> bool:
            """Counts a whole layer in one kernel where there is one; False where there is none."""
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
    found, key = (pieces > limit).nonzero(as_tuple=True)
    rows = rows[row[found]]
    return rows // values.shape[1], rows % values.shape[1], part[found] * piece + key
