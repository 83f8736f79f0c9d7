"""Probabilities of bases from those of tokens."""

from __future__ import annotations

from functools import cache

import numpy as np

from ntviz.genome.sequence import BASES
from ntviz.tokens.tokens import Tokens
from ntviz.tokens.vocabulary import LETTERS

_LETTER_OF_ACGT = np.array([LETTERS.index(base) for base in BASES])


def base_log_probs(tokens: Tokens, log_probs: np.ndarray) -> np.ndarray:
    """The log probability of each base at each position, in nats, float64 [base, 4] in order ACGT; N is nan.

    `log_probs` are log probabilities or logits [token, n_logits], `<cls>` included, without padding. For a k-mer token they are summed
    over all k-mers with a given base at a given place; a single letter uses the four single-letter ids. Each is normalised over those
    ids alone, so that what the model gives to special tokens or other lengths is left out. For single-letter tokens these are the
    masked marginals of Meier et al. (2021, NeurIPS).

    >>> from ntviz.tokens import VOCABULARIES, Tokenizer
    >>> tokens = Tokenizer("nt-3mer")("ATTC")
    >>> log_probs = np.full((3, 75), -np.inf)
    >>> log_probs[1, VOCABULARIES["nt-3mer"].id_of("ATG")] = 0
    >>> log_probs[2, VOCABULARIES["nt-3mer"].id_of("C")] = 0
    >>> np.exp(base_log_probs(tokens, log_probs)).astype(int).tolist()
    [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]]
    """
    vocabulary = tokens.vocabulary
    scores = np.asarray(log_probs)
    if scores.shape != (len(tokens), vocabulary.n_logits):
        raise ValueError(
            f"Log probabilities must have shape [token, logit] = [{len(tokens):,}, {vocabulary.n_logits:,}] "
            f"for {vocabulary.name}; received {list(scores.shape)}. Leave padding out."
        )
    result = np.full((len(tokens.sequence), 4), np.nan)
    k = vocabulary.k
    # Tokens of one base have an order of ids of their own: they are read as single letters.
    whole = tokens.is_kmer & (k > 1)
    kmers = np.flatnonzero(whole)
    # Blocks keep the float64 copy of a long sequence's logits to some 10 MB.
    for block in np.array_split(kmers, max(1, -(-len(kmers) // 256))):
        marginals = kmer_base_log_probs(scores[block, vocabulary.kmer_ids].astype(np.float64), k)
        result[tokens.spans[block, :1] + np.arange(k)] = marginals
    singles = np.flatnonzero(~(whole | tokens.is_n | tokens.is_special))
    letters = scores[singles[:, None], vocabulary.single_ids].astype(np.float64)
    result[tokens.spans[singles, 0]] = letters - log_sum_exp(letters, axis=1)[:, None]
    return result


def kmer_base_log_probs(scores: np.ndarray, k: int) -> np.ndarray:
    """Log probabilities of bases at each place of k-mers, in nats, [token, place, base] in order ACGT, of scores [token, 4 ** k]."""
    left = k // 2
    halves = scores.reshape(len(scores), 4**left, 4 ** (k - left))
    result = np.empty((len(scores), k, 4))
    # Sum out one half of the k-mer first: two passes over the large array in place of k.
    for axis, first, width in ((2, 0, left), (1, left, k - left)):
        half = log_sum_exp(halves, axis=axis)
        for place in range(width):
            split = half.reshape(len(scores), 4**place, 4, 4 ** (width - 1 - place))
            result[:, first + place] = log_sum_exp(log_sum_exp(split, axis=3), axis=1)[:, _LETTER_OF_ACGT]
    return result - log_sum_exp(result, axis=2)[:, :, None]


def kmer_base_probs(scores: np.ndarray, k: int) -> np.ndarray:
    """Probabilities of bases as from `kmer_base_log_probs`, in single precision and some ten times as fast.

    Small probabilities keep an absolute error of about 1e-6, so take this for means and divergences, not for ratios.
    """
    scores = np.asarray(scores, np.float32)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    sums = (weights @ _placed(k)).reshape(len(scores), k, 4)
    return sums / sums.sum(axis=2, keepdims=True)


@cache
def _placed(k: int) -> np.ndarray:
    """Which base each k-mer has at each place, float32 [4 ** k, k * 4]."""
    digits = np.arange(4**k)[:, None] // 4 ** np.arange(k)[::-1] % 4
    return (digits[:, :, None] == _LETTER_OF_ACGT).reshape(4**k, k * 4).astype(np.float32)


def log_sum_exp(scores: np.ndarray, axis: int) -> np.ndarray:
    """As scipy's logsumexp, which takes ten times as long on so few numbers."""
    top = scores.max(axis=axis, keepdims=True)
    # A group of impossible tokens (-inf) has probability zero, not nan.
    shift = np.where(np.isneginf(top), 0.0, top)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(scores - shift).sum(axis=axis)) + np.squeeze(shift, axis=axis)
