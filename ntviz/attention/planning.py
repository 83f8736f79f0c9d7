"""What a look at attention will cost: memory, time and size of the answer, before anything is run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from ntviz import environment

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.attention.blocks import Context

_FLOAT = 4
_TABLE = 32  # bytes of one row of a statistics table


@dataclass(frozen=True)
class Plan:
    """A forecast for one sequence; made by `plan`.

    Attributes
    ----------
    n_tokens
        Of the sequence, `<cls>` included.
    n_layers, n_heads
        Of the model.
    forward_seconds
        The forward pass alone.
    free
        Bytes of memory free on the device.
    requests
        One row a request: [request, memory, output, seconds, fits]; memory is what is needed beside the weights,
        output the size of the answer, both in bytes. What fits needs at most 90 % of what is free.
    """

    n_tokens: int
    n_layers: int
    n_heads: int
    forward_seconds: float
    free: int
    requests: pd.DataFrame

    def __repr__(self) -> str:
        lines = [
            f"{self.n_tokens:,} tokens, {self.n_layers} layers x {self.n_heads} heads; {size(self.free)} free, "
            f"forward pass alone about {self.forward_seconds:.1f} s"
        ]
        for row in self.requests.itertuples():
            lines.append(
                f"  {row.request}: {size(row.memory)} of memory, {size(row.output)} of answer, about "
                f"{row.seconds:.1f} s: {'fits' if row.fits else 'does not fit'}"
            )
        return "\n".join(lines)


def plan(model: Any, length: int, *, tokens: int | None = None, free: int | None = None) -> Plan:
    """Forecasts what each way of looking at the attention of one sequence takes.

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

    Notes
    -----
    Seconds come from the operations needed and from rates measured for a quarter of a second on this machine, idle
    otherwise. Expect them to be right within a factor of two.

    Examples
    --------
    >>> from ntviz import models
    >>> forecast = plan(models.load("ntviz-mini"), 1530)
    >>> forecast.n_tokens, bool(forecast.requests["fits"].all())
    (256, True)
    """
    if length < 1:
        raise ValueError(f"length must be at least 1 bp; received {length}. Give the length of the sequence.")
    module = getattr(model, "module", model)
    config = module.config
    vocabulary = getattr(getattr(model, "tokenizer", None), "vocabulary", None)
    n = tokens or (1 + length // vocabulary.k + length % vocabulary.k if vocabulary is not None else length)
    return _plan(module, config.num_hidden_layers, config.num_attention_heads, config.hidden_size, n, free)


def _plan(module: Any, layers: int, heads: int, width: int, n: int, free: int | None) -> Plan:
    import pandas as pd

    device = module.device
    free = _free(device) if free is None else free
    products, elements = _rates(str(device))
    weights = sum(parameter.numel() for parameter in module.parameters() if parameter.dim() == 2)
    forward = (2 * weights * n + 4 * layers * width * n * n) / products + layers * heads * n * n / elements
    again = layers * 2 * width * n * n / products
    block = 2 * _FLOAT * (1 << (20 if device.type == "cpu" else 26))
    # Residual stream, query, key, value and the widest layer of the feed-forward, a few copies of each.
    activations = _FLOAT * n * (10 * width + 2 * getattr(module.config, "intermediate_size", 4 * width))
    every = layers * heads * n * n
    base = max(n - 1, 1)  # without <cls>
    cells = -(-base // -(-base // 64))
    rows = [
        ("counts above a threshold, all heads", 4 * 8 * layers * heads * n, 0.3),
        ("entropy, distance and received attention, all heads", 3 * 8 * layers * heads * n, 3.0),
        ("thumbnails of 64 x 64, all heads", _FLOAT * layers * heads * cells**2, 1.0),
        ("the exact map of one head", _FLOAT * n * n, 1.0 / (layers * heads)),
    ]
    table = [
        (request, activations + block + output, output, forward + again + passes * every / elements)
        for request, output, passes in rows
    ]
    # The eager kernel holds scores and weights of a layer beside all that it returns.
    eager = _FLOAT * (every + 3 * heads * n * n)
    table.append(
        (
            "all maps at once (outputs=('attentions',))",
            activations + eager,
            _FLOAT * every,
            forward + again + 6 * every / elements,
        )
    )
    requests = pd.DataFrame(table, columns=["request", "memory", "output", "seconds"])
    requests["fits"] = requests["memory"] <= 0.9 * free
    return Plan(n, layers, heads, forward, free, requests)


def smaller(model: Any, contexts: Sequence[Context]) -> str:
    """What to say when memory ran out: what was asked for, and what would fit."""
    longest = max(context.n_tokens for context in contexts)
    module = getattr(model, "module", model)
    config = module.config
    forecast = _plan(
        module, config.num_hidden_layers, config.num_attention_heads, config.hidden_size, longest, None
    )
    fitting = forecast.requests[forecast.requests["fits"]].sort_values("memory")
    advice = (
        "; ".join(f"{row.request} ({size(row.memory)})" for row in fitting.itertuples())
        or f"no request at {longest:,} tokens: take a shorter interval"
    )
    together = " one at a time" if len(contexts) > 1 else ""
    return (
        f"Observing {len(contexts)} sequence(s) of up to {longest:,} tokens must fit in memory; {size(forecast.free)} are free "
        f"and were not enough. What fits{together}: {advice}. A smaller block= helps as well."
    )


def size(n_bytes: float) -> str:
    """Bytes in words: 1,536 is "1.5 kB" ... of 1,000s."""
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if n_bytes >= 10 or unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return environment.free_memory()


@cache
def _rates(device: str) -> tuple[float, float]:
    """Operations of matrix products a second, and elements of exp a second."""
    a, out = torch.randn(512, 512, device=device), torch.empty(512, 512, device=device)
    values = torch.randn(1 << 20, device=device)

    def rate(work: float, step: Any) -> float:
        step()
        best, start = float("inf"), time.perf_counter()
        while time.perf_counter() - start < 0.12:
            before = time.perf_counter()
            step()
            if device != "cpu":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - before)
        return work / best

    with torch.inference_mode():
        products = rate(2 * 512**3, lambda: torch.mm(a, a, out=out))
        elements = rate(1 << 20, lambda: torch.exp(values, out=values.clamp_(-1, 0)))
    return products, elements
