"""One forward pass under observation: each layer's queries and keys cut into blocks, and shown to those who asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ntviz.attention.blocks import Accumulator, Block, Context, Observer

Seat = tuple[Observer, Accumulator, dict[int, tuple[int, ...]], tuple[int, int]]
"""An observer, what it keeps for a sequence, the heads it needs of each layer, and the run of queries."""


class EnoughSeen(Exception):
    """Ends a forward pass after the last layer that anybody needs."""


@dataclass
class Watch:
    """One forward pass under observation."""

    contexts: list[Context]
    offsets: list[int]
    seats: list[list[Seat]]
    stop_after: int | None
    block: int
    seen: int = 0
    buffers: dict[str, torch.Tensor] = field(default_factory=dict)

    def layer(self, query: torch.Tensor, key: torch.Tensor, lse: torch.Tensor | None, bias: Bias) -> None:
        layer, self.seen = self.seen, self.seen + 1
        for context, offset, seats in zip(self.contexts, self.offsets, self.seats, strict=True):
            wanting = [seat for seat in seats if layer in seat[2]]
            if wanting:
                real = slice(offset, offset + context.n_tokens)
                self._sequence(
                    layer,
                    wanting,
                    query[context.index, :, real],
                    key[context.index, :, real],
                    None if lse is None else lse[context.index, :, real],
                    bias.of(context.index, real),
                )
        if self.stop_after is not None and layer >= self.stop_after:
            raise EnoughSeen

    def _sequence(
        self,
        layer: int,
        seats: list[Seat],
        query: torch.Tensor,
        key: torch.Tensor,
        lse: torch.Tensor | None,
        bias: Bias,
    ) -> None:
        left = []
        for seat in seats:
            whole = getattr(seat[1], "see_layer", None)
            # A kernel that never writes a block, where there is one for this device and nothing is masked.
            if whole is None or bias.terms or not whole(layer, seat[2][layer], query, key):
                left.append(seat)
        if not left:
            return
        needed = {head for _, _, needs, _ in left for head in needs[layer]}
        heads = sorted(needed)
        first, last = min(queries[0] for *_, queries in left), max(queries[1] for *_, queries in left)
        n = key.shape[1]
        per_block = max(1, min(len(heads), self.block // (128 * n)))
        rows = max(1, min(last - first, self.block // (per_block * n)))
        if lse is not None:
            # One more column makes the matrix product subtract the log-sum-exp: query . key - lse . 1.
            query = torch.cat([query, -lse[..., None]], dim=-1)
            key = torch.cat([key, key.new_ones(*key.shape[:2], 1)], dim=-1)
        for start in range(0, len(heads), per_block):
            chunk = heads[start : start + per_block]
            queries, keys = query[chunk].float(), key[chunk].float().transpose(-1, -2).contiguous()
            for top in range(first, last, rows):
                bottom = min(top + rows, last)
                shape = (len(chunk), bottom - top, n)
                log_weights = torch.bmm(
                    queries[:, top:bottom], keys, out=self._buffer("log", shape, key.device)
                )
                if lse is None:
                    bias.add(log_weights, chunk, (top, bottom))
                    log_weights.sub_(torch.logsumexp(log_weights, -1, keepdim=True))
                shared = {"buffer": self._buffer("weights", shape, key.device)}
                block = Block(layer, tuple(chunk), (top, bottom), log_weights, shared)
                for _, accumulator, needs, wanted in left:
                    own = [head for head in chunk if head in needs[layer]]
                    if own and wanted[0] < bottom and top < wanted[1]:
                        accumulator.see(block.of(own))

    def _buffer(self, name: str, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        size = int(np.prod(shape))
        held = self.buffers.get(name)
        if held is None or held.numel() < size or held.device != device:
            self.buffers[name] = held = torch.empty(size, dtype=torch.float32, device=device)
        return held[:size].view(shape)


@dataclass(frozen=True)
class Bias:
    """What is added to scores before softmax: masks and position biases, [sequence or 1, head or 1, query or 1, key]."""

    terms: tuple[torch.Tensor, ...] = ()

    @classmethod
    def made(cls, mask: torch.Tensor | None, position: torch.Tensor | None, causal: bool, n: int) -> Bias:
        terms = [term for term in (mask, position) if term is not None]
        if causal and mask is None and n > 1:
            device = None if position is None else position.device
            terms.append(torch.ones(n, n, dtype=torch.bool, device=device).tril()[None, None])
        return cls(tuple(terms))

    def of(self, index: int, real: slice) -> Bias:
        """For one sequence, without padding; masks that hide nothing there are gone."""
        cut = []
        for term in self.terms:
            own = term[index if term.shape[0] > 1 else 0]
            own = own[:, real if own.shape[1] > 1 else slice(None), real]
            if not (bool(own.all()) if own.dtype == torch.bool else not bool(own.any())):
                cut.append(own)
        return Bias(tuple(cut))

    def add(self, scores: torch.Tensor, heads: Sequence[int], queries: tuple[int, int]) -> None:
        for term in self.terms:
            rows = term[:, slice(*queries) if term.shape[1] > 1 else slice(None)]
            rows = (rows[list(heads)] if rows.shape[0] > 1 else rows).to(scores.device)
            if rows.dtype == torch.bool:
                scores.masked_fill_(~rows, -torch.inf)
            else:
                scores.add_(rows)
