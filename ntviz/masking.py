"""Masked tokens: sequences that a model reads on either strand with tokens hidden, in batches, answered on the forward strand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ntviz.environment import progress
from ntviz.genome.sequence import reverse_complement
from ntviz.models.protocol import DNAModel, Forward
from ntviz.tokens import Tokens, kmer_base_log_probs, kmer_base_probs

BATCH_TOKENS = 16_384
_NOTHING = np.zeros((0, 0), np.float32)


class Reading(NamedTuple):
    """One sequence of a forward pass; k-mer tokens are numbered along the forward strand."""

    sequence: str  # bases on the forward strand
    reverse: bool = False  # whether the model reads the reverse complement
    masked: tuple[int, ...] = ()  # tokens that it does not see
    asked: tuple[int, ...] | None = None  # tokens whose logits are wanted; None for those that are masked
    phase: int = 0  # bases before the first k-mer of the strand that is read

    @property
    def answered(self) -> tuple[int, ...]:
        """k-mer tokens whose logits are wanted."""
        return self.masked if self.asked is None else self.asked


class Answer(NamedTuple):
    """What a whole reading gave, tokens and bases in the order of the forward strand; empty where it was not asked for."""

    # [asked token, vocab] float32; on the reverse strand their k-mers are reverse complements
    logits: np.ndarray = _NOTHING
    own: np.ndarray = _NOTHING  # [token] log probability of the token that stands there, in nats
    bases: np.ndarray = _NOTHING  # [base, 4] predicted probabilities in order ACGT
    hidden: np.ndarray = _NOTHING  # [token, hidden] float32 of the layer


class _Input(NamedTuple):
    """A reading as the model takes it, with the place in it of each k-mer token, and of those asked for."""

    reading: Reading
    tokens: Tokens
    places: np.ndarray
    at: np.ndarray


@dataclass
class Reader:
    """Runs readings through a model, any `models.DNAModel` over k-mers, and counts them."""

    model: DNAModel
    layer: int | tuple[int, ...] = 0  # hidden states that are kept; of several, side by side
    batch_tokens: int = BATCH_TOKENS  # of a forward pass at most, unless a sequence has more
    sequences: int = 0  # readings so far
    forwards: int = 0  # forward passes so far

    def __post_init__(self) -> None:
        self.vocabulary = self.model.tokenize("A").vocabulary
        self.k = self.vocabulary.k
        self.kmer = lru_cache(maxsize=1 << 16)(self._kmer)
        # The same sequence is mostly read many times in a row, with other tokens hidden.
        self._tokenized = lru_cache(maxsize=8)(self._tokenize)

    def _kmer(self, bases: str, reverse: bool) -> int:
        """Id of the token of these forward bases, read on either strand."""
        return self.vocabulary.id_of(reverse_complement(bases) if reverse else bases)

    def starts(self, reading: Reading) -> np.ndarray:
        """First forward base of each k-mer token of a reading, int64 [token]."""
        tokens, places = self._tokenized(reading.sequence, reading.reverse, reading.phase)
        spans = tokens.spans[places]
        return len(reading.sequence) - spans[:, 1] if reading.reverse else spans[:, 0]

    def masked(self, readings: Sequence[Reading], what: str | None = None) -> Iterator[tuple[Reading, np.ndarray]]:
        """Each reading, in order, with the logits [asked token, vocab] of its tokens; `what` names a progress bar."""
        for batch, found in self._run(readings, ("logits",), what, only_asked=True):
            for one, rows in zip(batch, np.asarray(found.logits), strict=True):
                yield one.reading, rows[: len(one.at)]

    def whole(
        self, readings: Sequence[Reading], *, own: bool, bases: bool, hidden: bool, what: str | None = None
    ) -> Iterator[tuple[Reading, Answer]]:
        """Each reading, in order, with what is said of the whole sequence and the logits of the tokens asked for."""
        scored = own or bases or any(reading.answered for reading in readings)
        outputs = (*(("hidden_states",) if hidden else ()), *(("logits",) if scored else ()))
        for batch, found in self._run(readings, outputs, what):
            for row, one in enumerate(batch):
                n = len(one.tokens)
                states = None if found.hidden_states is None else np.hstack([*found.hidden_states[row, :, :n]])
                logits = None if found.logits is None else found.logits[row, :n]
                yield one.reading, self._answer(one, logits, states, own, bases)

    def base_log_probs(self, reading: Reading, logits: np.ndarray) -> np.ndarray:
        """Log probabilities of the bases of tokens [token, vocab], float64 [token, k, 4] on the forward strand, in nats."""
        rows = kmer_base_log_probs(logits[:, self.vocabulary.kmer_ids].astype(np.float64), self.k)
        return rows[:, ::-1, ::-1] if reading.reverse else rows

    def base_probs(self, reading: Reading, logits: np.ndarray) -> np.ndarray:
        """Probabilities of the bases of tokens, float32 [token, k, 4] on the forward strand; see `tokens.kmer_base_probs`."""
        rows = kmer_base_probs(logits[:, self.vocabulary.kmer_ids], self.k)
        return rows[:, ::-1, ::-1] if reading.reverse else rows

    def _answer(
        self, one: _Input, logits: np.ndarray | None, states: np.ndarray | None, own: bool, bases: bool
    ) -> Answer:
        hidden = _NOTHING if states is None else states[one.places]
        if logits is None:
            return Answer(hidden=hidden)
        kmers = logits[one.places]
        return Answer(
            logits[one.at],
            log_probs_of(kmers, one.tokens.ids[one.places]) if own else _NOTHING,
            self.base_probs(one.reading, kmers).reshape(-1, 4) if bases else _NOTHING,
            hidden,
        )

    def _tokenize(self, sequence: str, reverse: bool, phase: int) -> tuple[Tokens, np.ndarray]:
        tokens = self.model.tokenize(reverse_complement(sequence) if reverse else sequence, phase=phase)
        places = np.flatnonzero(tokens.is_kmer)
        return tokens, places[::-1] if reverse else places

    def _input(self, reading: Reading) -> _Input:
        tokens, places = self._tokenized(reading.sequence, reading.reverse, reading.phase)
        if reading.masked:
            ids = tokens.ids.copy()
            ids[places[list(reading.masked)]] = self.model.mask_id
            tokens = replace(tokens, ids=ids)
        return _Input(reading, tokens, places, places[list(reading.answered)])

    def _run(
        self, readings: Sequence[Reading], outputs: Sequence[str], what: str | None, *, only_asked: bool = False
    ) -> Iterator[tuple[list[_Input], Forward]]:
        bars = nullcontext() if what is None or not readings else progress(total=len(readings), what=what)
        with bars as bar:
            for batch in self._batches(readings):
                layers = self.layer if isinstance(self.layer, tuple) else (self.layer,)
                options: dict[str, Any] = {"layers": layers} if "hidden_states" in outputs else {}
                if only_asked:
                    at = options["at"] = np.zeros((len(batch), max(len(one.at) for one in batch)), np.int64)
                    for row, one in zip(at, batch, strict=True):
                        row[: len(one.at)] = one.at
                self.sequences += len(batch)
                self.forwards += 1
                yield batch, self.model.forward([one.tokens for one in batch], outputs=outputs, **options)
                if bar is not None:
                    bar.update(len(batch))

    def _batches(self, readings: Sequence[Reading]) -> Iterator[list[_Input]]:
        """Readings in order, as many at a time as fit, padding included."""
        batch: list[_Input] = []
        longest = 0
        for one in map(self._input, readings):
            longest = max(longest, len(one.tokens))
            if batch and longest * (len(batch) + 1) > self.batch_tokens:
                yield batch
                batch, longest = [], len(one.tokens)
            batch.append(one)
        if batch:
            yield batch


def log_probs_of(logits: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Log probability of one id of each row, [row], in nats."""
    top = logits.max(axis=-1)
    total = np.exp(logits - top[:, None]).sum(axis=-1, dtype=np.float64)
    return logits[np.arange(len(ids)), ids].astype(np.float64) - top - np.log(total)
