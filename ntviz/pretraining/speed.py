"""What the machine can do: its measured rate of matrix multiplication, the yardstick of model FLOPs utilisation."""

from __future__ import annotations

import time

import torch

from ntviz import environment


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
    """
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
