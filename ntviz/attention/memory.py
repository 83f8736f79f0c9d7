"""Memory that a look at attention will take, and the size of the answer, before anything is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from ntviz import environment

BLOCK = {"cpu": 1 << 20, "cuda": 1 << 26}
"""Scores held at a time, by device; twice, with their weights."""
_FULL = 1 << 16  # tokens that keep a GPU busy


@dataclass(frozen=True)
class Plan:
    """Memory for one sequence; made by `plan`.

    `requests` has one row a request: [request, memory, output, fits], memory beside the weights and size of the answer in
    bytes. What fits needs at most 90 % of what is free.
    """

    n_tokens: int  # `<cls>` included
    n_layers: int
    n_heads: int
    free: int  # bytes
    requests: pd.DataFrame

    def __repr__(self) -> str:
        head = f"{self.n_tokens:,} tokens, {self.n_layers} layers x {self.n_heads} heads; {_size(self.free)} free"
        rows = [
            f"  {row.request}: {_size(row.memory)} of memory, {_size(row.output)} of answer: "
            + ("fits" if row.fits else "does not fit")
            for row in self.requests.itertuples()
        ]
        return "\n".join([head, *rows])

    @property
    def advice(self) -> str:
        """What would fit, the smallest first."""
        fitting = self.requests[self.requests["fits"]].sort_values("memory")
        return "; ".join(f"{row.request} ({_size(row.memory)})" for row in fitting.itertuples())


def plan(model: Any, length: int, *, tokens: int | None = None, free: int | None = None) -> Plan:
    """Memory that each way of looking at the attention of one sequence takes.

    Parameters
    ----------
    model
        A `models.DNAModel`, or an encoder of transformers.
    length
        bp.
    tokens
        Number of tokens, where it is known; otherwise from the length, as if without N.
    free
        Bytes of memory; what the device has free when None.

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
    n = getattr(model, "attended", int)(n)
    module = getattr(model, "module", model)
    config, device = module.config, module.device
    layers, heads, width = config.num_hidden_layers, config.num_attention_heads, config.hidden_size
    if free is None:
        free = _free_on(device) if device.type == "cuda" else environment.free_memory()
    block = 8 * BLOCK.get(device.type, BLOCK["cpu"])
    # Residual stream, query, key, value and the widest layer of the feed-forward, a few copies of each.
    activations = 4 * n * (10 * width + 2 * getattr(config, "intermediate_size", 4 * width))
    base = max(n - 1, 1)  # without <cls>
    cells = -(-base // -(-base // 64))
    answers = [
        ("counts above a threshold, all heads", block, 32 * layers * heads * n),
        ("entropy, distance and received attention, all heads", block, 24 * layers * heads * n),
        ("thumbnails of 64 x 64, all heads", block, 4 * layers * heads * cells**2),
        ("the exact map of one head", block, 4 * n * n),
        # The eager kernel holds scores and weights of a layer beside all that it returns.
        ("all maps at once (outputs=('attentions',))", 12 * heads * n * n, 4 * layers * heads * n * n),
    ]
    table = [(request, activations + work + output, output) for request, work, output in answers]
    requests = pd.DataFrame(table, columns=["request", "memory", "output"])
    return Plan(n, layers, heads, free, requests.assign(fits=requests["memory"] <= 0.9 * free))


def sequences_a_pass(model: Any, tokens: int, *, free: int | None = None) -> int:
    """Sequences of so many tokens to observe in one pass: 1 on a CPU, which one keeps busy; on a GPU, what fills it and fits.

    `free` bytes, what the device has when None, are used by half: fused attention and the allocator need some, too. 1 also
    where tokens are bins of something finer, as in NTv3, whose memory they do not tell.
    """
    if getattr(model, "module", model).device.type != "cuda" or hasattr(model, "attention_tokens"):
        return 1
    memory = plan(model, tokens, tokens=tokens, free=free)
    each = int(memory.requests["memory"].iloc[0]) - 8 * BLOCK["cuda"]
    return max(1, min(_FULL // tokens, (memory.free // 2 - 8 * BLOCK["cuda"]) // each))


def _free_on(device: torch.device) -> int:
    """Bytes of a GPU that are free, those that torch holds without using them included."""
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + held


def _size(n_bytes: float) -> str:
    """Bytes in words: 1,536 is "1.5 kB"."""
    power = min(int(np.log10(max(n_bytes, 1)) // 3), 3)
    value = n_bytes / 1000**power
    return f"{value:.{1 if power == 3 or (power and value < 10) else 0}f} {('B', 'kB', 'MB', 'GB')[power]}"
