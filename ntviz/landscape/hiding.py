"""Readings of a stretch with tokens hidden: one at a time, or many at even distances; run in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ntviz.landscape.tiling import Stretch
from ntviz.models.protocol import DNAModel
from ntviz.sequence import reverse_complement
from ntviz.tokens import Tokens, kmer_base_probs


class Reading(NamedTuple):
    """One sequence of a forward pass.

    Attributes
    ----------
    tokens
        As the model reads them, some hidden.
    asked
        [n] positions of the hidden tokens that are answered for.
    starts
        [n] contig position of the first forward base of each.
    wanted
        Bases that are answered for.
    reverse
        Whether it is the reverse complement.
    shuffled
        Whether the bases were shuffled.
    """

    tokens: Tokens
    asked: np.ndarray
    starts: np.ndarray
    wanted: Stretch
    reverse: bool
    shuffled: bool


def readings(
    model: DNAModel,
    text: str,
    place: Stretch,
    wanted: Stretch,
    *,
    apart: int | None,
    both_strands: bool,
    shuffled: bool,
) -> Iterator[Reading]:
    """Readings that hide every token of a stretch that holds a wanted base, each exactly once a strand.

    Parameters
    ----------
    text
        Bases of whole tokens without N, on the forward strand.
    place
        Where they stand.
    wanted
        Bases that are answered for.
    apart
        Every so many tokens one is hidden at once; None to hide one at a time.
    """
    for reverse in (False, True) if both_strands else (False,):
        tokens = model.tokenize(reverse_complement(text) if reverse else text)
        k = tokens.vocabulary.k
        positions = np.flatnonzero(tokens.is_kmer)
        starts = place.start + k * np.arange(len(positions))
        if reverse:
            positions = positions[::-1]
        answered = (starts < wanted.end) & (starts + k > wanted.start)
        # Numbers of tokens from the start of the contig: the same tokens are hidden together in every window.
        group = np.arange(len(positions)) if apart is None else starts // k % apart
        for number in np.unique(group[answered]):
            hidden = group == number
            ids = tokens.ids.copy()
            ids[positions[hidden]] = model.mask_id
            asked = hidden & answered
            yield Reading(
                replace(tokens, ids=ids), positions[asked], starts[asked], wanted, reverse, shuffled
            )


def answers(
    model: DNAModel, work: Iterable[Reading], batch_tokens: int
) -> Iterator[tuple[Reading, np.ndarray]]:
    """Each reading with the probabilities [n, k, 4] of the bases of its tokens, on the forward strand."""
    batch: list[Reading] = []
    longest = 0
    for reading in work:
        longest = max(longest, len(reading.tokens))
        if batch and longest * (len(batch) + 1) > batch_tokens:
            yield from _answered(model, batch)
            batch, longest = [], len(reading.tokens)
        batch.append(reading)
    if batch:
        yield from _answered(model, batch)


def _answered(model: DNAModel, batch: list[Reading]) -> Iterator[tuple[Reading, np.ndarray]]:
    at = np.zeros((len(batch), max(len(reading.asked) for reading in batch)), np.int64)
    for row, reading in zip(at, batch, strict=True):
        row[: len(reading.asked)] = reading.asked
    found = model.forward([reading.tokens for reading in batch], outputs=("logits",), at=at).logits
    for reading, logits in zip(batch, np.asarray(found), strict=True):
        vocabulary = reading.tokens.vocabulary
        rows = kmer_base_probs(logits[: len(reading.asked), vocabulary.kmer_ids], vocabulary.k)
        yield reading, rows[:, ::-1, ::-1] if reading.reverse else rows
