"""What the machine can do: its measured rate of matrix multiplication, the yardstick of model FLOPs utilisation."""

from __future__ import annotations

import time
from functools import lru_cache

import torch

from ntviz import environment

_DTYPES = ("float32", "bfloat16", "float16")


def matmul_flops(
    device: str = "auto", *, dtype: str = "float32", size: int = 2048, repeats: int = 5
) -> float:
    """Floating-point operations a second of a square matrix product, the best of some repeats.

    Measured rather than looked up: a shared or throttled machine does not reach its data sheet.

    Parameters
    ----------
    dtype
        "float32", "bfloat16" or "float16".
    size
        Rows and columns of the matrices.
    repeats
        Products timed after a first one, in which caches fill and a kernel is chosen.

    Raises
    ------
    ValueError
        Another type, no rows or no repeats, or a device that is not here.
    """
    if dtype not in _DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}; got {dtype!r}.")
    if size < 1 or repeats < 1:
        raise ValueError(f"size and repeats must be at least 1; got size={size}, repeats={repeats}.")
    chosen = environment.device(device)
    a, b = (torch.randn(size, size, device=chosen).to(getattr(torch, dtype)) for _ in range(2))
    best = float("inf")
    for _ in range(repeats + 1):
        began = time.perf_counter()
        product = a @ b
        # Reading one number waits for the device.
        float(product[0, 0])
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


@lru_cache(maxsize=8)
def peak(device: str, dtype: str) -> float:
    """`matmul_flops` of a device, measured once in a process, with matrices large enough for its kind.

    On a CPU over a second or so: what else runs on it comes and goes, and the best counts.
    """
    size, repeats = (1024, 20) if device == "cpu" else (8192, 5)
    return matmul_flops(device, dtype=dtype, size=size, repeats=repeats)
