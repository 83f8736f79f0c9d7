"""What a model predicts at each base of a sequence: probabilities of A, C, G, T with the base hidden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ntviz.genome import sequence as dna
from ntviz.masking import BATCH_TOKENS, Reader, Reading
from ntviz.models.protocol import DNAModel


@dataclass(frozen=True)
class Expectation:
    """Base probabilities of a sequence, each base hidden from the model together with the rest of its token."""

    sequence: str
    probabilities: (
        np.ndarray
    )  # [base, 4] in order ACGT: mean over frames and strands; NaN where no k-mer token covers the base
    readings: np.ndarray  # [base], how many frames and strands were averaged
    spread: np.ndarray  # [base], standard deviation over them of the probability of the reference base

    @property
    def reference(self) -> np.ndarray:
        """[base] probability of the reference base; NaN at N."""
        codes = dna.codes(self.sequence)
        picked = self.probabilities[np.arange(len(codes)), np.minimum(codes, 3)]
        return np.where(codes < 4, picked, np.nan)

    @property
    def information(self) -> np.ndarray:
        """[base] bits: 2 minus the entropy of the four probabilities; 0 says nothing, 2 leaves no doubt."""
        from scipy.special import entr

        return 2 - entr(self.probabilities).sum(axis=1) / np.log(2)

    @property
    def loss(self) -> float:
        """Mean negative log probability of the reference bases, in nats per base; log 4 = 1.386 by guessing."""
        return float(-np.nanmean(np.log(self.reference)))

    @property
    def accuracy(self) -> float:
        """Share of the bases that are the most probable one; 0.25 by guessing among equally common bases."""
        known = np.isfinite(self.reference)
        return float((self.probabilities[known].max(axis=1) == self.reference[known]).mean())


def masked(
    model: DNAModel, sequence: str, *, frames: int | None = None, both_strands: bool = True,
    batch_tokens: int = BATCH_TOKENS, what: str | None = "masking",
) -> Expectation:  # fmt: skip
    """Base probabilities from one forward pass for each hidden token, averaged over frames and both strands.

    A model over 6-mers cannot hide one base: its token goes, all six bases at once. Shifting the frame puts each base
    at every place of its token, and the mean no longer depends on where the sequence happened to begin.

    Parameters
    ----------
    sequence
        Upper-case A, C, G, T, N, within the model's limit in every frame.
    frames
        Frames averaged, 1 to k; default all k. There are frames x tokens (x 2 strands) passes.
    both_strands
        Also reads the reverse complement, and averages.
    what
        Name of the progress bar; None for none.

    References
    ----------
    Masked marginals: Meier et al. 2021. Frame averaging is ours; zero-shot tools for k-mer models use one frame.
    """
    reader = Reader(model, batch_tokens=batch_tokens)
    count = reader.k if frames is None else frames
    if not 1 <= count <= reader.k:
        raise ValueError(
            f"frames must lie in 1 to {reader.k}, the bases of a token; received {frames}. Leave it out for all of them."
        )
    strands = range(1 + both_strands)
    plain = [Reading(sequence, bool(reverse), phase=phase) for reverse in strands for phase in range(count)]
    starts = list(map(reader.starts, plain))
    where = [(way, token, start) for way, of in enumerate(starts) for token, start in enumerate(of)]
    work = [plain[way]._replace(masked=(token,)) for way, token, _ in where]
    found = np.full((len(plain), len(sequence), 4), np.nan)
    for (way, _, start), (reading, logits) in zip(where, reader.masked(work, what), strict=True):
        found[way, start : start + reader.k] = np.exp(reader.base_log_probs(reading, logits)[0])
    known = np.isfinite(found[..., :1])
    readings = known.sum(axis=(0, 2))
    with np.errstate(invalid="ignore"):
        mean = np.where(known, found, 0).sum(axis=0) / readings[:, None]
        own = (slice(None), np.arange(len(sequence)), np.minimum(dna.codes(sequence), 3))
        square = np.where(known[..., 0], (found[own] - mean[own[1:]]) ** 2, 0).sum(axis=0)
        spread = np.sqrt(square / readings)
    return Expectation(sequence, mean, readings, spread)
