"""Where a token looks and what looks at it, in every head, before and after a change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ntviz.genome import Interval
from ntviz.tokens import Tokens


@dataclass(frozen=True)
class Shift:
    """Attention from and to one token, with either allele.

    Attributes
    ----------
    interval
        What was read, 0-based half-open, forward strand.
    tokens
        Of the reference.
    token
        The token that holds the variant; the first of several.
    looks, seen
        [allele, layer, head, token]: weights from the token to each token, and from each token to the token. Allele 0 is
        the reference, 1 the alternative.
    """

    interval: Interval
    tokens: Tokens
    token: int
    looks: np.ndarray
    seen: np.ndarray

    @property
    def moved(self) -> np.ndarray:
        """[layer, head] share of the token's attention that goes elsewhere, 0 to 1: half the sum of all differences."""
        return np.abs(self.looks[1] - self.looks[0]).sum(axis=-1) / 2

    @property
    def order(self) -> list[tuple[int, int]]:
        """(layer, head) of all heads, the one that changes most first."""
        flat = np.argsort(-self.moved, axis=None, kind="stable")
        return [(int(i) // self.moved.shape[1], int(i) % self.moved.shape[1]) for i in flat]


def shift(model: Any, interval: Interval, reference: str, alternative: str, token: int) -> Shift:
    """Attention of one token in two sequences of the same length: one observed pass each, no map kept.

    Parameters
    ----------
    model
        A `models.DNAModel` on transformers' attention interface.
    interval
        Of the sequences.
    reference, alternative
        Bases of whole tokens.
    token
        Number of the token, special tokens included.

    Raises
    ------
    TypeError
        The model's attention cannot be observed.
    """
    from ntviz import attention

    every = [(layer, head) for layer in range(model.layers) for head in range(model.heads)]
    looks, seen = [], []
    tokens = model.tokenize(reference)
    for one in (tokens, model.tokenize(alternative)):
        found = attention.observe(
            model,
            one,
            looks=attention.Window(query=(token, token + 1), at=every),
            seen=attention.Window(key=(token, token + 1), at=every),
        )
        shape = (model.layers, model.heads, len(one))
        looks.append(found.looks.weights.reshape(shape))
        seen.append(found.seen.weights.reshape(shape))
    return Shift(interval, tokens, token, np.stack(looks), np.stack(seen))
