"""What a landscape will take, before a model is loaded."""

from __future__ import annotations

from typing import Any

from ntviz.environment import costing
from ntviz.genome import Interval
from ntviz.landscape.asking import ask
from ntviz.reference import Reference

_READ = 1_000_000  # bp at a time


def forecast(
    model: Any,
    reference: Reference,
    interval: Interval | str,
    *,
    rate: float,
    itemsize: int = 4,
    reach: float = costing.REACH,
    **options: Any,
) -> costing.Forecast:
    """Tokens, seconds, bytes and pieces of a `reconstruct`, for one device.

    Parameters
    ----------
    model
        `models.outline(name)`.
    reference, interval
        As of `reconstruct`; N cost nothing, and are counted.
    rate
        Operations a second of a large matrix product; see `pretraining.speed.matmul_flops`.
    itemsize
        Bytes of a number of the model.
    reach
        Share of the rate that a forward pass reaches.
    options
        As of `reconstruct`.

    Raises
    ------
    ValueError
        As `reconstruct`, or the rate or the reach is not above 0.
    """
    question = ask(model, reference, interval, **options)
    way, place = question.way, question.interval
    known = 0
    for start in range(place.start, place.end, _READ):
        part = Interval(place.chrom, start, min(place.end, start + _READ))
        known += len(part) - reference.fetch(part).sequence.count("N")
    tokens = 1 + way.tiling.window // way.k
    inside = -(-way.tiling.core // way.k)  # tokens that are answered for by one window
    readings = inside if way.apart is None else way.apart
    times = way.frames * (1 + way.both_strands) * (1 + ("shuffled" in way.controls))
    windows = -(-known // way.tiling.core)
    answered = max(1, round(inside / readings))
    work = [costing.Passes(windows * readings * times, tokens, answered)]
    together = max(1, way.batch_tokens // tokens)
    memory = model.shape.memory(together * tokens, answered=together * answered, itemsize=itemsize)
    return costing.forecast(
        model.shape, work, rate=rate, memory_bytes=memory, pieces=len(question.pieces), reach=reach
    )
