"""What counting alone predicts: unigram over 6-mers and Markov chains over bases, in nats per 6-mer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ntviz.pretraining.bases import N, reverse
from ntviz.pretraining.corpus import Corpus
from ntviz.tokens import Vocabulary


def baselines(
    corpus: Corpus,
    *,
    k: int = 6,
    orders: Sequence[int] = (0, 1, 2, 3, 5, 8, 10, 11),
    pseudocount: float = 1.0,
) -> pd.DataFrame:
    """Loss of each counting model on the held-out chunks: model, order, nats (per k-mer), trained_on (bases).

    Counts come from the training chunks' contigs outside the held-out chunks. Both models see what a masked model
    does not (the left context in full) or see nothing (the unigram); neither reads the right context.

    Parameters
    ----------
    k
        Letters of a token.
    orders
        Orders of the Markov chains: bases of left context.
    pseudocount
        Added to every count (additive smoothing).

    Raises
    ------
    ValueError
        Nothing was held out, or an order is negative or above 12 (its table would not fit).
    """
    if corpus.held_out.empty:
        raise ValueError(
            "Baselines need held-out chunks; the corpus has none. Pass held_out=[...] to corpus.read."
        )
    if min(orders, default=0) < 0 or max(orders, default=0) > 12:
        raise ValueError(f"Markov orders must lie in 0 to 12; got {list(orders)}.")
    train = list(corpus.runs())
    test = [corpus.codes[row.contig][row.start : row.end] for row in corpus.held_out.itertuples(index=False)]
    seen = sum(len(run) for run in train)
    rows = [("unigram", k, unigram(train, test, k=k, pseudocount=pseudocount), seen)]
    rows += [
        ("Markov", order, k * markov(train, test, order=order, pseudocount=pseudocount), seen)
        for order in orders
    ]
    return pd.DataFrame(rows, columns=["model", "order", "nats", "trained_on"])


def unigram(
    train: Iterable[np.ndarray], test: Iterable[np.ndarray], *, k: int = 6, pseudocount: float = 1.0
) -> float:
    """Mean negative log-likelihood, in nats per k-mer, of the test runs cut in k-mers.

    Counts every k-mer of the training runs in all frames and on both strands.
    """
    loss = _unigram_losses(train, k=k, pseudocount=pseudocount)
    losses = [loss[_windows(run, k, step=k)] for run in test]
    return float(np.concatenate(losses).mean())


def unigram_losses(corpus: Corpus, vocabulary: Vocabulary, *, pseudocount: float = 1.0) -> np.ndarray:
    """Negative log-likelihood [id], in nats, of each k-mer token under the unigram of the training chunks.

    NaN for ids that are not k-mers. Beside a model's loss on the same tokens it says how much of the difference
    between elements is composition alone.
    """
    k = vocabulary.k
    loss = _unigram_losses(corpus.runs(), k=k, pseudocount=pseudocount)
    out = np.full(vocabulary.n_ids, np.nan)
    out[vocabulary.kmer_ids] = loss[vocabulary.kmer_base_codes @ (4 ** np.arange(k - 1, -1, -1))]
    return out


def _unigram_losses(train: Iterable[np.ndarray], *, k: int, pseudocount: float) -> np.ndarray:
    counts = np.full(4**k, float(pseudocount))
    for run in train:
        for strand in (run, reverse(run)):
            counts += np.bincount(_windows(strand, k), minlength=4**k)
    return -np.log(counts / counts.sum())


def markov(
    train: Iterable[np.ndarray], test: Iterable[np.ndarray], *, order: int, pseudocount: float = 1.0
) -> float:
    """Mean negative log-likelihood, in nats per base, of each base given the `order` bases to its left."""
    counts = np.full(4 ** (order + 1), float(pseudocount), dtype=np.float32)
    for run in train:
        for strand in (run, reverse(run)):
            counts += np.bincount(_windows(strand, order + 1), minlength=len(counts)).astype(np.float32)
    table = counts.reshape(-1, 4)
    loss = -np.log(table / table.sum(axis=1, keepdims=True)).ravel()
    losses = [loss[_windows(run, order + 1)] for run in test]
    return float(np.concatenate(losses).mean(dtype=np.float64))


def _windows(run: np.ndarray, k: int, *, step: int = 1) -> np.ndarray:
    """Base-4 number of every window of k bases, `step` apart; windows with N are left out."""
    starts = np.arange(0, len(run) - k + 1, step)
    if not len(starts):
        return np.zeros(0, np.int64)
    number = np.zeros(len(starts), np.int64)
    clean = np.ones(len(starts), bool)
    for offset in range(k):
        letter = run[offset : offset + len(run) - k + 1 : step].astype(np.int64)
        number = number * 4 + letter
        clean &= letter < N
    return number[clean]
