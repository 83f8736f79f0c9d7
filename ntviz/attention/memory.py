"""Memory that a look at attention will take, and the size of the answer, before anything is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ntviz import environment

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.attention.blocks import Context

_FLOAT = 4


@dataclass(frozen=True)
class Plan:
    """Memory for one sequence; made by `plan`.

    Attributes
    ----------
    n_tokens, n_layers, n_heads
        Of the sequence, `<cls>` included, and of the model.
    free
        Bytes of memory free on the device.
    requests
        One row a request: [request, memory, output, fits]; memory is what is needed beside the weights, output the
        size of the answer, both in bytes. What fits needs at most 90 % of what is free.
    """

    n_tokens: int
    n_layers: int
    n_heads: int
    free: int
    requests: pd.DataFrame

    def __repr__(self) -> str:
        lines = [
            f"{self.n_tokens:,} tokens, {self.n_layers} layers x {self.n_heads} heads; {_size(self.free)} free"
        ]
        lines += [
            f"  {row.request}: {_size(row.memory)} of memory, {_size(row.output)} of answer: "
            + ("fits" if row.fits else "does not fit")
            for row in self.requests.itertuples()
        ]
        return "\n".join(lines)


def plan(model: Any, length: int, *, tokens: int | None = None, free: int | None = None) -> Plan:
    """Memory that each way of looking at the attention of one sequence takes.

    Parameters
    ----------
    model
        A `models.DNAModel`, or an encoder of transformers.
    length
        Of the sequence, bp.
    tokens
        Number of tokens, where it is known; otherwise from the length, as if without N.
    free
        Bytes of memory; what the device has free when None.

    Raises
    ------
    ValueError
        The length is below 1 bp.

    Examples
    --------
    >>> from ntviz import models
    >>> memory = plan(models.load("ntviz-mini"), 1530)
    >>> memory.n_tokens, bool(memory.requests["fits"].all())
    (256, True)
    """
    if length < 1:
        raise ValueError(f"length must be at least 1 bp; received {length}. Give the length of the sequence.")
    vocabulary = getattr(getattr(model, "tokenizer", None), "vocabulary", None)
    n = tokens or (1 + length // vocabulary.k + length % vocabulary.k if vocabulary is not None else length)
    return _plan(model, n, free)


def _plan(model: Any, n: int, free: int | None = None) -> Plan:
    import pandas as pd

    module = getattr(model, "module", model)
    config, device = module.config, module.device
    layers, heads, width = config.num_hidden_layers, config.num_attention_heads, config.hidden_size
    if free is None:
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else environment.free_memory()
    block = 2 * _FLOAT * (1 << (20 if device.type == "cpu" else 26))
    # Residual stream, query, key, value and the widest layer of the feed-forward, a few copies of each.
    activations = _FLOAT * n * (10 * width + 2 * getattr(config, "intermediate_size", 4 * width))
    base = max(n - 1, 1)  # without <cls>
    cells = -(-base // -(-base // 64))
    # The eager kernel holds scores and weights of a layer beside all that it returns.
    every, eager = _FLOAT * layers * heads * n * n, 3 * _FLOAT * heads * n * n
    answers = {
        "counts above a threshold, all heads": (block, 4 * 8 * layers * heads * n),
        "entropy, distance and received attention, all heads": (block, 3 * 8 * layers * heads * n),
        "thumbnails of 64 x 64, all heads": (block, _FLOAT * layers * heads * cells**2),
        "the exact map of one head": (block, _FLOAT * n * n),
        "all maps at once (outputs=('attentions',))": (eager, every),
    }
    table = [(request, activations + work + output, output) for request, (work, output) in answers.items()]
    requests = pd.DataFrame(table, columns=["request", "memory", "output"])
    return Plan(n, layers, heads, free, requests.assign(fits=requests["memory"] <= 0.9 * free))


def smaller(model: Any, contexts: Sequence[Context]) -> str:
    """What to say when memory ran out: what was asked for, and what would fit."""
    longest = max(context.n_tokens for context in contexts)
    memory = _plan(model, longest)
    fitting = memory.requests[memory.requests["fits"]].sort_values("memory")
    advice = "; ".join(f"{row.request} ({_size(row.memory)})" for row in fitting.itertuples())
    advice = advice or f"no request at {longest:,} tokens: take a shorter interval"
    together = " one at a time" if len(contexts) > 1 else ""
    return (
        f"Observing {len(contexts)} sequence(s) of up to {longest:,} tokens must fit in memory; {_size(memory.free)} are "
        f"free and were not enough. What fits{together}: {advice}. A smaller block= helps as well."
    )


def _size(n_bytes: float) -> str:
    """Bytes in words: 1,536 is "1.5 kB"."""
    power = min(int(np.log10(max(n_bytes, 1)) // 3), 3)
    value = n_bytes / 1000**power
    return f"{value:.{1 if power == 3 or (power and value < 10) else 0}f} {('B', 'kB', 'MB', 'GB')[power]}"
