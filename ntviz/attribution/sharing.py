"""How much of a token's contribution belongs to each of its bases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntviz.tokens import Tokens

if TYPE_CHECKING:
    import torch


def even(tokens: Tokens) -> np.ndarray:
    """Equal parts, float64 [base]: one over the size of the token."""
    return tokens.to_bases(1 / (tokens.spans[:, 1] - tokens.spans[:, 0]).clip(min=1))


def by_gradient(tokens: Tokens, ids: np.ndarray, gradient: torch.Tensor, table: torch.Tensor) -> np.ndarray:
    """Parts by how much changing a base would matter, float64 [base]; those of a token add up to one.

    A base weighs as the mean of |gradient · (vector of the k-mer with another base there - vector of the k-mer)| over the three other
    bases: the effect of each change to first order. Even parts where no change matters, in tokens that are hidden (their ids are not
    those of the tokens), and in words that are no k-mers, whose neighbours may be no words.

    Parameters
    ----------
    ids
        int64 [token].
    gradient
        Of the target at each token's vector, [token, channel].
    table
        Vectors of the ids, [id, channel].
    """
    import torch

    found, k = even(tokens), tokens.vocabulary.k
    kmers = np.flatnonzero(tokens.is_kmer & (ids == tokens.ids))
    if k == 1 or not len(kmers):
        return found
    words = tokens.vocabulary.kmer_ids
    numbers = ids[kmers] - words.start
    # A k-mer's id is a number in base 4: another base moves it by its place.
    places = 4 ** np.arange(k)[::-1]
    digits = numbers[:, None] // places % 4
    others = (numbers[:, None] - digits * places)[..., None] + np.arange(4) * places[:, None]
    slopes = (
        (gradient[torch.from_numpy(kmers).to(gradient.device)].float() @ table[words].float().T).cpu().numpy()
    )
    rows = np.arange(len(kmers))
    change = slopes[rows[:, None, None], others] - slopes[rows, numbers][:, None, None]
    weights = np.abs(change.astype(np.float64)).sum(-1) / 3
    total = weights.sum(1, keepdims=True)
    shares = np.divide(weights, total, out=np.full(weights.shape, 1 / k), where=total > 0)
    found[tokens.spans[kmers, :1] + np.arange(k)] = shares
    return found
