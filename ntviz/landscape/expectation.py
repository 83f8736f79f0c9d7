"""What a model predicts at each base of a sequence: probabilities of A, C, G, T with the base hidden."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ntviz.genome import sequence as dna
from ntviz.masking import BATCH_TOKENS, Reader, Reading
from ntviz.models.protocol import DNAModel
from ntviz.tiling import Stretch, centred, runs, whole_tokens

_AT_ONCE = 4_096
_Hidden = tuple[int, slice, int, int]
"""First base of a token, the window in which it is hidden, its number there, and the phase of the window."""


@dataclass(frozen=True)
class Expectation:
    """Base probabilities of a sequence, each base hidden from the model together with the rest of its token."""

    sequence: str
    probabilities: (
        np.ndarray
    )  # [base, 4] in order ACGT: mean over frames and strands; NaN where no k-mer covers the base
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

    A sequence that is longer than the model reads has no seams either: each token is hidden in the middle of a window of its
    own, of `model.max_bp`, as near as the ends of the sequence and N allow; no window reaches over N.

    Parameters
    ----------
    sequence
        Upper-case A, C, G, T, N.
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
    ways = [(bool(reverse), phase) for reverse in strands for phase in range(count)]
    # What fits is read whole, N included; else each run between them by itself.
    fits = len(sequence) <= getattr(model, "max_bp", len(sequence))
    parts = [(0, len(sequence))] if fits else runs(sequence)
    work = [
        (way, *one) for way, (reverse, phase) in enumerate(ways) for part in parts
        for one in _tokens(reader, sequence, Stretch(*part), reverse, phase, whole=fits)
    ]  # fmt: skip
    found = np.full((len(ways), len(sequence), 4), np.nan)
    for part in (work[at : at + _AT_ONCE] for at in range(0, len(work), _AT_ONCE)):
        jobs = [Reading(sequence[window], ways[way][0], (token,), phase=phase) for way, _, window, token, phase in part]
        for (way, start, *_), (reading, logits) in zip(part, reader.masked(jobs, what), strict=True):
            found[way, start : start + reader.k] = np.exp(reader.base_log_probs(reading, logits)[0])
    known = np.isfinite(found[..., :1])
    readings = known.sum(axis=(0, 2))
    with np.errstate(invalid="ignore"):
        mean = np.where(known, found, 0).sum(axis=0) / readings[:, None]
        own = (slice(None), np.arange(len(sequence)), np.minimum(dna.codes(sequence), 3))
        square = np.where(known[..., 0], (found[own] - mean[own[1:]]) ** 2, 0).sum(axis=0)
        spread = np.sqrt(square / readings)
    return Expectation(sequence, mean, readings, spread)


def _tokens(reader: Reader, sequence: str, run: Stretch, reverse: bool, phase: int, *, whole: bool) -> Iterator[_Hidden]:  # fmt: skip
    """Each token of a run: hidden in all of it, or if that is too long in the middle of a window of whole tokens of its frame."""
    k, text = reader.k, sequence[slice(*run)]
    if whole or len(text) <= reader.model.max_bp - 2 * (k - 1) ** 2:  # each single letter at the ends is a token
        for token, start in enumerate(reader.starts(Reading(text, reverse, phase=phase)).tolist()):
            yield run.start + start, slice(*run), token, phase
        return
    part = whole_tokens(run, k, run.end - phase if reverse else run.start + phase)
    for start in range(part.start, part.end, k):
        window = centred(start, reader.model.max_bp // k * k, part, k)
        yield start, slice(*window), (start - window.start) // k, 0
