"""What a model expects at each base: probabilities of A, C, G, T with the base hidden, on genome coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from ntviz import sequence as dna
from ntviz.environment import progress
from ntviz.tokens import Tokens, base_log_probs


class Masker(Protocol):
    """What `masked` asks of a model; every `models.DNAModel` has it."""

    @property
    def mask_id(self) -> int: ...
    def tokenize(self, sequence: str, *, phase: int = 0) -> Tokens: ...
    def forward(self, batch: Any, *, outputs: Any = ("logits",), at: Any = None) -> Any: ...


@dataclass(frozen=True)
class Expectation:
    """Base probabilities of a sequence, each base hidden from the model together with the rest of its token.

    Attributes
    ----------
    sequence
        The upper-case sequence.
    probabilities
        [base, 4] in order ACGT: mean over frames and strands. NaN where no k-mer token covers the base (N, and up to
        k - 1 bases beside N or an end, in frames that do not reach them).
    readings
        [base], how many frames and strands were averaged.
    spread
        [base], standard deviation over them of the probability of the base that stands there: how much the answer
        depends on where the token's frame happens to fall.
    """

    sequence: str
    probabilities: np.ndarray
    readings: np.ndarray
    spread: np.ndarray

    @property
    def reference(self) -> np.ndarray:
        """[base] probability of the base that stands there; NaN at N."""
        codes = np.array(["ACGT".find(base) for base in self.sequence])
        picked = self.probabilities[np.arange(len(codes)), codes]
        return np.where(codes >= 0, picked, np.nan)

    @property
    def information(self) -> np.ndarray:
        """[base] bits: 2 minus the entropy of the four probabilities; 0 says nothing, 2 leaves no doubt."""
        p = self.probabilities
        with np.errstate(divide="ignore", invalid="ignore"):
            return 2 + np.where(p > 0, p * np.log2(p), 0 * p).sum(axis=1)

    @property
    def loss(self) -> float:
        """Mean negative log probability of the bases that stand there, in nats per base; log 4 = 1.386 by guessing."""
        return float(-np.nanmean(np.log(self.reference)))

    @property
    def accuracy(self) -> float:
        """Share of the bases that are the most probable one; 0.25 by guessing among equally common bases."""
        known = np.isfinite(self.reference)
        return float((self.probabilities[known].max(axis=1) == self.reference[known]).mean())


def masked(
    model: Masker,
    sequence: str,
    *,
    frames: int | None = None,
    both_strands: bool = True,
    batch_tokens: int = 16_384,
    what: str | None = "masking",
) -> Expectation:
    """Base probabilities from one forward pass for each hidden token, averaged over frames and both strands.

    A model over 6-mers cannot hide one base: its token goes, all six bases at once. Shifting the frame puts each base
    at every place of its token, and the mean no longer depends on where the sequence happened to begin.

    Parameters
    ----------
    model
        Any model with tokens, a mask and logits.
    sequence
        Upper-case A, C, G, T, N, within the model's limit in every frame.
    frames
        Frames averaged, 1 to k; default all k. A pass count of frames x tokens (x 2 strands) follows.
    both_strands
        Also reads the reverse complement, and averages. The result for the reverse complement is then this one reversed.
    batch_tokens
        Tokens a forward pass holds.
    what
        Name of the progress bar; None for none.

    Raises
    ------
    ValueError
        The number of frames is not 1 to k, or the sequence is not one the model takes.

    References
    ----------
    Masked marginals: Meier et al. 2021. Frame averaging is ours; zero-shot tools for k-mer models use one frame.
    """
    k = model.tokenize(sequence[:1]).vocabulary.k
    count = k if frames is None else frames
    if not 1 <= count <= k:
        raise ValueError(
            f"frames must lie in 1 to {k}, the bases of a token; got {frames}. Leave it out for all of them."
        )
    strands = (sequence, dna.reverse_complement(sequence)) if both_strands else (sequence,)
    work = [
        (strand, model.tokenize(text, phase=phase))
        for strand, text in enumerate(strands)
        for phase in range(count)
    ]
    total = sum(int(tokens.is_kmer.sum()) for _, tokens in work)
    readings = np.full((len(work), len(sequence), 4), np.nan)
    with progress(total=total, what=what) if what is not None else nullcontext() as bar:
        for index, (strand, tokens) in enumerate(work):
            # Tokens that were not hidden keep zeros and are dropped again below.
            logits = np.zeros((len(tokens), tokens.vocabulary.n_logits), np.float32)
            for positions, found in _passes(model, tokens, batch_tokens):
                logits[positions] = found
                if bar is not None:
                    bar.update(len(positions))
            rows = np.exp(base_log_probs(tokens, logits))
            rows[~tokens.to_bases(tokens.is_kmer)] = np.nan
            readings[index] = rows[::-1, ::-1] if strand else rows
    return _summary(sequence, readings)


def _passes(model: Masker, tokens: Tokens, batch_tokens: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Token positions [pass] and the logits [pass, vocab] at each, that token alone hidden."""
    positions = np.flatnonzero(tokens.is_kmer)
    size = max(1, batch_tokens // len(tokens))
    for begin in range(0, len(positions), size):
        part = positions[begin : begin + size]
        hidden = []
        for position in part:
            ids = tokens.ids.copy()
            ids[position] = model.mask_id
            hidden.append(replace(tokens, ids=ids))
        yield part, model.forward(hidden, outputs=("logits",), at=part[:, None]).logits[:, 0]


def _summary(sequence: str, readings: np.ndarray) -> Expectation:
    given = np.isfinite(readings[..., 0])
    count = given.sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean = np.where(given[..., None], readings, 0).sum(axis=0) / count[:, None]
        codes = np.array([max(0, "ACGT".find(base)) for base in sequence])
        own = readings[:, np.arange(len(sequence)), codes]
        square = np.where(given, (own - mean[np.arange(len(sequence)), codes]) ** 2, 0).sum(axis=0)
        spread = np.sqrt(square / count)
    return Expectation(sequence, mean, count, spread)
