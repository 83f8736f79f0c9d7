"""What any model may be asked for, checked in one place: dtype, outputs, layers, and places of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ntviz.models.protocol import OUTPUTS

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def torch_dtype(name: str) -> torch.dtype:
    """The dtype of that name.

    Raises
    ------
    ValueError
        It is none of float32, bfloat16, float16.
    """
    if name not in _DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}; got {name!r}. Choose one of these.")
    return _DTYPES[name]


def check_outputs(outputs: Sequence[str]) -> None:
    """Raises a ValueError where an output is none of `OUTPUTS`."""
    unknown = [name for name in outputs if name not in OUTPUTS]
    if unknown:
        raise ValueError(f"outputs must be among {', '.join(OUTPUTS)}; got {unknown[0]!r}.")


def check_layers(layers: Sequence[int], last: int, name: str) -> None:
    """Raises a ValueError where a layer is none of 0 to `last` of the model called `name`."""
    missing = [layer for layer in layers if not 0 <= layer <= last]
    if missing:
        raise ValueError(
            f"layers must lie in 0 (the embedding) to {last} for {name}; got {missing[0]}. "
            "Ask for some of these."
        )


def places(at: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Token positions int64 [sequence, n] for a batch of a shape [sequence, token].

    Raises
    ------
    ValueError
        Another number of rows, or positions outside.
    """
    at = np.asarray(at, dtype=np.int64)
    if at.ndim != 2 or len(at) != shape[0] or (at.size and (at.min() < 0 or at.max() >= shape[1])):
        raise ValueError(
            f"at must be [sequence, n] with {shape[0]} rows of token positions in 0 to {shape[1] - 1}; got shape "
            f"{at.shape}" + (f" with values {at.min()} to {at.max()}." if at.size else ".")
        )
    return at


def float32(tensor: torch.Tensor) -> np.ndarray:
    """The values on the CPU, float32 in the shape of the tensor."""
    return tensor.detach().to("cpu", torch.float32).numpy()
