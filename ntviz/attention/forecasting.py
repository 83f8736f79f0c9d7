"""What an enrichment of attention will take, before a model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ntviz.attention import parts
from ntviz.attention.enriching import NULLS, windows_of
from ntviz.attention.nulls import BINS
from ntviz.environment import costing
from ntviz.genome import Interval

_PAIR = 60.0
"""Operations of a matrix product in whose time one weight of attention is made and counted."""
_MOVED = 400.0
"""The same for one token of one shift of one kind of elements, beside the products of counts and elements."""


def forecast(
    model: Any,
    intervals: Any,
    kinds: Sequence[str],
    *,
    rate: float,
    nulls: Sequence[str] = NULLS,
    shifts: int = 200,
    batch: int = 1,
    itemsize: int = 4,
    reach: float = costing.REACH,
) -> costing.Forecast:
    """Tokens, seconds, bytes and parts of an `enrichment`, for one device.

    Parameters
    ----------
    model
        `models.outline(name)`.
    intervals
        Windows, as of `enrichment`.
    kinds
        Elements that are asked about.
    rate
        Operations a second of a large matrix product; see `pretraining.speed.matmul_flops`.
    nulls, shifts, batch
        As of `enrichment`.
    itemsize
        Bytes of a number of the model.
    reach
        Share of the rate that a forward pass reaches.

    Raises
    ------
    ValueError
        The rate or the reach is not above 0.
    """
    windows: list[Interval] = windows_of(intervals)
    lengths: dict[int, int] = {}
    for window in windows:
        lengths[len(window)] = lengths.get(len(window), 0) + 1
    shape = model.shape
    readings = 1 + ("shuffle" in nulls) + ("twin" in nulls)
    moved = (1 + (shifts if "shift" in nulls else 0)) * len(kinds)
    work = []
    for bp, count in lengths.items():
        tokens = model.tokens(bp)
        pairs = shape.layers * shape.heads * tokens**2
        again = 4 * shape.layers * tokens**2 * shape.hidden
        rows = 2 * shape.layers * shape.heads + BINS
        shifted = moved * tokens * (2 * rows + _MOVED)
        beside = again + _PAIR * pairs + shifted / readings
        work.append(costing.Passes(readings * count, tokens, beside=beside))
    longest = max(map(model.tokens, lengths))
    memory = shape.memory(batch * longest, itemsize=itemsize)
    if "twin" in nulls:
        memory += itemsize * shape.parameters
    # Where each shifted element holds, and the counts that fall there.
    memory += moved * (5 * longest + 16 * (2 * shape.layers * shape.heads + BINS))
    return costing.forecast(
        shape, work, rate=rate, memory_bytes=memory, pieces=parts.layout(windows).chunks, reach=reach
    )
