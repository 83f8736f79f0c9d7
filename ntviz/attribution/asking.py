"""Asks a reader for a target, with and without gradients, in batches that fit; nothing of it is left behind."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import nn

from ntviz import environment
from ntviz.attribution.targets import Target
from ntviz.tokens import Tokens

if TYPE_CHECKING:
    from ntviz.attribution.reading import Reader

PIECES = {"cpu": 8_192, "cuda": 65_536}
"""Pieces in a pass at first by kind of device, as far as memory is free; halved where it ends."""

Found = TypeVar("Found")


def masked_ids(reader: Reader, tokens: Tokens, target: Target) -> np.ndarray:
    """Ids of a sequence with the target's tokens masked, int64 [piece].

    Raises
    ------
    ValueError
        The target is not there, or is none that this model can be asked.
    """
    of = getattr(target, "of", "states")
    if of != reader.gives:
        advice = {"states": "BaseProbability, Direction or Probe", "sites": "SpliceSite"}.get(
            reader.gives, "Output"
        )
        raise ValueError(
            f"{type(target).__name__} is a target over {of}; {reader.name} gives {reader.gives}. Ask for {advice}."
        )
    ids = tokens.ids.copy()
    places = target.masked(reader.asked(tokens))
    if places and reader.pieces_are_bases:
        raise ValueError(
            f"{type(target).__name__} needs a mask token; {reader.name} reads bases and has none: ask for another target."
        )
    if places:
        ids[places] = reader.hidden_id
    return ids


def ask(
    reader: Reader, ids: np.ndarray, target: Target, tokens: Tokens, vectors: torch.Tensor | None = None
) -> np.ndarray:
    """The target of each row of ids [sequence, piece] of equal tokens, float64 [sequence], without gradients.

    `vectors` [sequence, piece, channel] stand in for those of the ids.
    """
    device = reader.table.device

    def asked(size: int) -> torch.Tensor:
        parts = []
        for start in range(0, len(ids), size):
            some = torch.from_numpy(ids[start : start + size]).to(device)
            given = reader.vectors(some) if vectors is None else vectors[start : start + size]
            parts.append(reader.answer(given, some, tokens, target))
        return torch.cat(parts)

    with torch.inference_mode(), steady(reader):
        found, _ = within_memory(asked, at_once(reader, ids.shape[1]))
    return found.double().cpu().numpy()


def gradients(
    reader: Reader, ids: np.ndarray, target: Target, tokens: Tokens
) -> tuple[np.ndarray, torch.Tensor]:
    """The target of each row [sequence], and its gradient at each vector [sequence, piece, channel]."""
    device = reader.table.device

    def asked(size: int) -> tuple[torch.Tensor, torch.Tensor]:
        told, slopes = [], []
        for start in range(0, len(ids), size):
            some = torch.from_numpy(ids[start : start + size]).to(device)
            given = reader.vectors(some).detach().requires_grad_()
            value = reader.answer(given, some, tokens, target)
            slopes.append(torch.autograd.grad(value.sum(), given)[0])
            told.append(value.detach())
        return torch.cat(told), torch.cat(slopes)

    with steady(reader), torch.enable_grad():
        (told, slopes), _ = within_memory(asked, at_once(reader, ids.shape[1]))
    return told.double().cpu().numpy(), finite(slopes, reader)


def finite(slopes: torch.Tensor, reader: Reader) -> torch.Tensor:
    """The gradients, once they are known to be finite.

    Raises
    ------
    ValueError
        Some are not.
    """
    wrong = ~torch.isfinite(slopes)
    if wrong.any():
        raise ValueError(
            f"Gradients must be finite; {int(wrong.flatten(2).any(-1).sum()):,} of {slopes.shape[0] * slopes.shape[1]:,} tokens of "
            f"{reader.name} have others. Load the model with dtype='float32', and check its weights."
        )
    return slopes


def at_once(reader: Reader, pieces: int) -> int:
    """Sequences of so many pieces in a pass at first: as many as memory should hold, by what the layers put out."""
    device = reader.table.device
    widths = sum(
        getattr(part, "out_features", 0) or getattr(part, "out_channels", 0)
        for part in reader.module.modules()
        if isinstance(part, (nn.Linear, nn.Conv1d))
    )
    # Each output is kept for the way back, and once more behind what follows it.
    each = 2 * max(widths, 1) * reader.table.element_size()
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else environment.free_memory()
    return max(1, min(PIECES.get(device.type, PIECES["cpu"]), free // 2 // each) // pieces)


def within_memory(make: Callable[[int], Found], size: int) -> tuple[Found, int]:
    """What `make` gives with the largest batch that fits, and that size."""
    while True:
        try:
            return make(size), size
        except RuntimeError as error:
            # A GPU has an error of its own for it; the CPU says it in words.
            ended = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
            if not ended or size == 1:
                raise
            size = max(1, size // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@contextmanager
def steady(reader: Any) -> Generator[None]:
    """The module in eval mode and its weights without gradients, each put back as it was found."""
    modes = [(part, part.training) for part in reader.module.modules()]
    asked = [weight for weight in reader.module.parameters() if weight.requires_grad]
    try:
        reader.module.eval()
        for weight in asked:
            weight.requires_grad_(False)
        yield
    finally:
        for part, training in modes:
            part.training = training
        for weight in asked:
            weight.requires_grad_(True)
