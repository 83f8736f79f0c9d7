"""Asks a model for a target, with and without gradients; nothing of it is left behind."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ntviz.attribution.targets import Target
from ntviz.tokens import Tokens

TOKENS = 8_192
"""Tokens in a pass at first; halved where memory ends."""


def embedding_layer(model: Any) -> torch.nn.Embedding:
    """The layer that turns ids into vectors.

    Raises
    ------
    ValueError
        The model has none that can be differentiated.
    """
    module = getattr(model, "module", None)
    found = module.get_input_embeddings() if hasattr(module, "get_input_embeddings") else None
    if not isinstance(found, torch.nn.Embedding) or not hasattr(module, "esm"):
        raise ValueError(
            "Attribution needs a model with an embedding of tokens to differentiate, as the Nucleotide Transformer's; "
            f"{getattr(model, 'name', type(model).__name__)} has none. Load a Nucleotide Transformer."
        )
    return found


def masked_ids(model: Any, tokens: Tokens, target: Target) -> np.ndarray:
    """Ids of a sequence with the target's tokens masked, int64 [token]."""
    ids = tokens.ids.copy()
    ids[target.masked(tokens)] = model.mask_id
    return ids


def ask(model: Any, ids: torch.Tensor, target: Target, tokens: Tokens) -> torch.Tensor:
    """The target of each row of ids [sequence, token] of equal tokens as a tensor [sequence]."""
    states = model.module.esm(input_ids=ids, output_hidden_states=True)
    return target.score(model, states.hidden_states, tokens)


def values(model: Any, sequences: Sequence[str], target: Target) -> np.ndarray:
    """The target of sequences of one length, float64 [sequence], without gradients.

    Sequences are tokenised one by one and passed together where their spans are alike.
    """
    found = np.empty(len(sequences))
    rows: dict[bytes, list[int]] = {}
    tokenised = [model.tokenize(sequence) for sequence in sequences]
    for row, tokens in enumerate(tokenised):
        rows.setdefault(tokens.spans.tobytes(), []).append(row)
    for together in rows.values():
        ids = np.stack([masked_ids(model, tokenised[row], target) for row in together])
        found[together] = ask_rows(model, ids, target, tokenised[together[0]])
    return found


def ask_rows(model: Any, ids: np.ndarray, target: Target, tokens: Tokens) -> np.ndarray:
    """The target of each row of ids [sequence, token] of equal tokens, float64 [sequence], without gradients."""
    device = embedding_layer(model).weight.device
    size = max(1, TOKENS // ids.shape[1])
    with torch.inference_mode(), steady(model):
        parts = [
            ask(model, torch.from_numpy(ids[start : start + size]).to(device), target, tokens)
            for start in range(0, len(ids), size)
        ]
    return torch.cat(parts).double().cpu().numpy()


@contextmanager
def steady(model: Any) -> Generator[None]:
    """The model in eval mode, put back as it was found."""
    training = model.module.training
    model.module.eval()
    try:
        yield
    finally:
        model.module.train(training)
