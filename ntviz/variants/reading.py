"""Readings: windows as a model sees them, on either strand, some tokens masked; run in batches, answered on the forward strand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ntviz.environment import progress
from ntviz.models.protocol import DNAModel, Forward
from ntviz.sequence import reverse_complement
from ntviz.tokens import Tokens, kmer_base_probs

BATCH_TOKENS = 16_384
_NOTHING = np.zeros((0, 0), np.float32)


class Reading(NamedTuple):
    """One sequence of a forward pass.

    Attributes
    ----------
    sequence
        Bases of whole tokens on the **forward** strand, without N.
    reverse
        Whether the model reads the reverse complement.
    masked
        Tokens that it does not see, counted from 0 without `<cls>` on the forward strand.
    """

    sequence: str
    reverse: bool
    masked: tuple[int, ...] = ()


class Answer(NamedTuple):
    """What a reading gave, tokens and bases in the order of the forward strand; empty where it was not asked for.

    Attributes
    ----------
    logits
        [asked token, vocab] float32, of the tokens asked for; on the reverse strand their words are reverse complements.
    own
        [token] log probability of the token that stands there, in nats.
    bases
        [base, 4] predicted probabilities in order ACGT.
    hidden
        [token, hidden] float32 of the layer.
    """

    logits: np.ndarray
    own: np.ndarray = _NOTHING
    bases: np.ndarray = _NOTHING
    hidden: np.ndarray = _NOTHING


@dataclass
class Reader:
    """Runs readings through a model and counts them.

    Parameters
    ----------
    model
        Any `models.DNAModel` with a mask.
    layer
        Hidden states that are kept.
    batch_tokens
        Tokens of a forward pass at most.

    Attributes
    ----------
    sequences, forwards
        Readings and forward passes so far.
    """

    model: DNAModel
    layer: int
    batch_tokens: int = BATCH_TOKENS
    sequences: int = 0
    forwards: int = 0

    def __post_init__(self) -> None:
        vocabulary = self.model.tokenize("A").vocabulary
        self.vocabulary = vocabulary
        self.k = vocabulary.k
        self._word = lru_cache(maxsize=1 << 16)(self._word_id)

    def word(self, bases: str, reverse: bool) -> int:
        """Id of a token of these forward bases, read on either strand."""
        return self._word(bases, reverse)

    def _word_id(self, bases: str, reverse: bool) -> int:
        return self.vocabulary.id_of(reverse_complement(bases) if reverse else bases)

    def masked(
        self, readings: Sequence[Reading], what: str | None = None
    ) -> Iterator[tuple[Reading, Answer]]:
        """Logits of the masked tokens of each reading, in the order given; `what` names a progress bar."""
        for part in self._batches(readings, what):
            tokens = [self._tokens(reading) for reading in part]
            width = max(len(reading.masked) for reading in part)
            at = np.array(
                [
                    self._positions(reading, one, reading.masked, width)
                    for reading, one in zip(part, tokens, strict=True)
                ]
            )
            logits = np.asarray(self._forward(tokens, ("logits",), at).logits)
            for row, reading in enumerate(part):
                yield reading, Answer(logits[row, : len(reading.masked)])

    def whole(
        self,
        readings: Sequence[Reading],
        asked: Sequence[tuple[int, ...]],
        *,
        own: bool,
        bases: bool,
        hidden: bool,
        what: str | None = None,
    ) -> Iterator[tuple[Reading, Answer]]:
        """Answers over whole sequences, and logits of the tokens asked for, [reading] tuples of tokens."""
        outputs = (
            *(("hidden_states",) if hidden else ()),
            *(("logits",) if own or bases or any(asked) else ()),
        )
        place = 0
        for part in self._batches(readings, what):
            tokens = [self._tokens(reading) for reading in part]
            found = self._forward(tokens, outputs, None)
            for row, (reading, one) in enumerate(zip(part, tokens, strict=True)):
                logits = None if found.logits is None else found.logits[row, : len(one)]
                states = None if found.hidden_states is None else found.hidden_states[row, 0, : len(one)]
                yield reading, self._answer(reading, one, asked[place], logits, states, own=own, bases=bases)
                place += 1

    def _answer(
        self,
        reading: Reading,
        tokens: Tokens,
        asked: tuple[int, ...],
        logits: np.ndarray | None,
        states: np.ndarray | None,
        *,
        own: bool,
        bases: bool,
    ) -> Answer:
        first = self.vocabulary.n_special
        turn = slice(None, None, -1) if reading.reverse else slice(None)
        hidden = _NOTHING if states is None else states[first:][turn]
        if logits is None:
            return Answer(_NOTHING, hidden=hidden)
        rows = logits[self._positions(reading, tokens, asked, len(asked))] if asked else logits[:0]
        log_probs = probabilities = _NOTHING
        if own:
            log_probs = log_softmax_at(logits[first:], tokens.ids[first:])[turn]
        if bases:
            words = kmer_base_probs(logits[first:, self.vocabulary.kmer_ids], self.k).reshape(-1, 4)
            probabilities = words[::-1, ::-1] if reading.reverse else words
        return Answer(rows, log_probs, probabilities, hidden)

    def _positions(self, reading: Reading, tokens: Tokens, asked: tuple[int, ...], width: int) -> list[int]:
        """Places of forward tokens in the model's input, the first repeated up to the width."""
        first = self.vocabulary.n_special
        last = len(tokens) - 1
        places = [last - token if reading.reverse else first + token for token in asked]
        return places + places[:1] * (width - len(places))

    def _tokens(self, reading: Reading) -> Tokens:
        text = reverse_complement(reading.sequence) if reading.reverse else reading.sequence
        tokens = self.model.tokenize(text)
        if not reading.masked:
            return tokens
        ids = tokens.ids.copy()
        ids[self._positions(reading, tokens, reading.masked, len(reading.masked))] = self.model.mask_id
        return replace(tokens, ids=ids)

    def _batches(self, readings: Sequence[Reading], what: str | None) -> Iterator[Sequence[Reading]]:
        if not readings:
            return
        size = max(1, self.batch_tokens // (max(len(r.sequence) for r in readings) // self.k + 1))
        with nullcontext() if what is None else progress(total=len(readings), what=what) as bar:
            for begin in range(0, len(readings), size):
                part = readings[begin : begin + size]
                yield part
                if bar is not None:
                    bar.update(len(part))

    def _forward(self, tokens: Sequence[Tokens], outputs: tuple[str, ...], at: np.ndarray | None) -> Forward:
        self.sequences += len(tokens)
        self.forwards += 1
        layers = (self.layer,) if "hidden_states" in outputs else None
        return self.model.forward(tokens, outputs=outputs, at=at, layers=layers)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log probabilities over the last axis, in nats, float64."""
    scores = np.asarray(logits, np.float64)
    top = scores.max(axis=-1, keepdims=True)
    return scores - top - np.log(np.exp(scores - top).sum(axis=-1, keepdims=True))


def log_softmax_at(logits: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Log probability of one id of each row, [row], in nats."""
    top = logits.max(axis=-1)
    total = np.exp(logits - top[:, None]).sum(axis=-1, dtype=np.float64)
    return logits[np.arange(len(ids)), ids].astype(np.float64) - top - np.log(total)
