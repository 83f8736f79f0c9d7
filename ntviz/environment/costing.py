"""What work with a model will take before it is begun: operations over a measured rate, and bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

REACH = 0.8
"""Share of the rate of one large matrix product that a forward pass reaches: 76 to 84 % for v2-50m's shape on CPUs.

Small matrices reach less: runs with ntviz-mini, whole, take 1.2 to 1.5 times what is forecast with this. On a GPU in
bfloat16 passes reach 4 to 67 %: docs/scaling.md."""
PROCESS = 800 << 20
"""Bytes of Python with torch and transformers, before any weights."""


@dataclass(frozen=True)
class Shape:
    """An encoder by its numbers.

    Attributes
    ----------
    layers, heads, hidden
        Of the encoder; heads only count where attention is looked at.
    ffn
        Width of the feed-forward, after the gate where there is one.
    gated
        Whether there is.
    words
        Logits of a token.
    parameters
        All of them, for memory.

    Examples
    --------
    >>> tiny = Shape(layers=1, heads=1, hidden=2, ffn=4, gated=False, words=10, parameters=100)
    >>> tiny.flops(3)  # 3 tokens x 2 x (4 x 2² + 2 x 2 x 4), and two products of 3 x 3 x 2
    264
    >>> tiny.flops(3, answered=1) - tiny.flops(3)  # 2 x (2² + 2 x 10)
    48
    """

    layers: int
    heads: int
    hidden: int
    ffn: int
    gated: bool
    words: int
    parameters: int

    def flops(self, tokens: int, answered: int = 0) -> int:
        """Operations of a forward pass over one sequence, with logits at some of its tokens."""
        linear = 4 * self.hidden**2 + (3 if self.gated else 2) * self.hidden * self.ffn
        head = self.hidden**2 + self.hidden * self.words
        return 2 * (self.layers * (tokens * linear + 2 * tokens**2 * self.hidden) + answered * head)

    def memory(self, tokens: int, *, answered: int = 0, kept: int = 0, itemsize: int = 4) -> int:
        """Bytes of a process that runs so many tokens at once: weights twice, as while they load, and activations.

        Parameters
        ----------
        tokens
            Of one pass, over all its sequences.
        answered
            Tokens of the pass whose logits are computed.
        kept
            Layers whose hidden states are kept.
        itemsize
            Bytes of a number of the model.
        """
        wide = 10 * self.hidden + (4 if self.gated else 2) * self.ffn
        working = itemsize * tokens * (wide + kept * self.hidden)
        return PROCESS + 2 * itemsize * self.parameters + working + 3 * 4 * answered * self.words


class Passes(NamedTuple):
    """Sequences of one length that a model reads.

    Attributes
    ----------
    sequences, tokens
        How many, and of how many tokens each.
    answered
        Tokens of each whose logits are computed.
    beside
        Operations for each sequence beside the forward pass.
    """

    sequences: int
    tokens: int
    answered: int = 0
    beside: float = 0.0


@dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Attributes
    ----------
    units
        Tokens that the model reads.
    seconds
        On one device, alone; expect it to be right within a factor of two.
    memory_bytes
        Of one process, its weights included; on a GPU most of it is the GPU's.
    pieces
        What can be shared among jobs: more shards than that find nothing to do.
    unit
        Of `units`.
    """

    units: int
    seconds: float
    memory_bytes: int
    pieces: int
    unit: str = "tokens"

    @property
    def plain(self) -> dict[str, Any]:
        """The same as plain data, for JSON; seconds to three digits, more would be a lie."""
        return {**asdict(self), "seconds": float(f"{self.seconds:.3g}")}


def forecast(
    shape: Shape,
    work: Iterable[Passes],
    *,
    rate: float,
    memory_bytes: int,
    pieces: int,
    reach: float = REACH,
) -> Forecast:
    """What a run will take, from the operations it needs.

    Parameters
    ----------
    shape
        Of the model.
    work
        All that the model reads.
    rate
        Operations a second of one large matrix product on the device, measured: see
        `pretraining.speed.matmul_flops`.
    memory_bytes
        Of one process; see `Shape.memory`.
    pieces
        Number of pieces.
    reach
        Share of the rate that a forward pass reaches.

    Raises
    ------
    ValueError
        The rate or the reach is not above 0.

    Examples
    --------
    >>> tiny = Shape(layers=1, heads=1, hidden=2, ffn=4, gated=False, words=10, parameters=100)
    >>> forecast(tiny, [Passes(10, 3)], rate=2640, memory_bytes=1, pieces=2, reach=0.5).seconds
    2.0
    """
    if not (rate > 0 and reach > 0):
        raise ValueError(
            f"A forecast must have a rate and a reach above 0; received {rate} and {reach}. Measure the rate on the "
            "device that will do the work."
        )
    units, flops = 0, 0.0
    for one in work:
        units += one.sequences * one.tokens
        flops += one.sequences * (shape.flops(one.tokens, one.answered) + one.beside)
    return Forecast(units, flops / (rate * reach), memory_bytes, pieces)
