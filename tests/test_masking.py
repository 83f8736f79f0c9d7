"""Masked tokens: readings against brute force on both strands, and base probabilities on models with known answers."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from variant_toy import ToyModel

from ntviz import models, tokens
from ntviz.genome.sequence import reverse_complement
from ntviz.landscape import expectation
from ntviz.masking import Reader, Reading

FIXTURES = Path(__file__).parent / "fixtures"
SEQUENCE = "".join(np.random.default_rng(3).choice(list("ACGT"), 60))
KMERS = ["".join(kmer) for kmer in product("ATCG", repeat=6)]


@pytest.fixture(scope="module")
def tiny():
    return models.load(FIXTURES / "nt_v2_tiny", device="cpu")


def distribution(model, sequence, place, hidden, phase=0):
    """One pass of one sequence, k-mers summed one by one: base probabilities [k, 4] of the token at a place in it."""
    tokenized = model.tokenize(sequence, phase=phase)
    ids = tokenized.ids.copy()
    ids[hidden] = model.mask_id
    logits = model.forward(replace(tokenized, ids=ids)).logits[0, place].astype(float)
    known = {kmer: logits[tokenized.vocabulary.id_of(kmer)] for kmer in KMERS}
    top = max(known.values())
    rows = np.zeros((6, 4))
    for kmer, logit in known.items():
        rows[range(6), ["ACGT".index(base) for base in kmer]] += np.exp(logit - top)
    return rows / rows.sum(axis=1, keepdims=True)


READINGS = [
    Reading(SEQUENCE, False, (2, 5)),
    Reading(SEQUENCE, True, (0,)),
    Reading(SEQUENCE[:30], True, (1, 3), (3,)),
    Reading(SEQUENCE[:31], False, (4,), phase=1),
    Reading(SEQUENCE[:20] + "N" + SEQUENCE[21:], True, (5, 6), (6, 5), phase=2),
]


@pytest.mark.parametrize("batch_tokens", [1, 25, 1_000])
def test_readings_equal_a_pass_of_each_by_hand(tiny, batch_tokens):
    reader = Reader(tiny, batch_tokens=batch_tokens)
    found = list(reader.masked(READINGS))
    assert [reading for reading, _ in found] == READINGS
    assert (reader.sequences, reader.forwards) == (5, {1: 5, 25: 3, 1_000: 1}[batch_tokens])
    for reading, logits in found:
        text = reverse_complement(reading.sequence) if reading.reverse else reading.sequence
        tokenized = tiny.tokenize(text, phase=reading.phase)
        places = [at for at, kmer in enumerate(tokenized.strings) if kmer in KMERS]
        places = places[::-1] if reading.reverse else places
        hidden = [places[token] for token in reading.masked]
        for row, token in enumerate(reading.answered):
            expected = distribution(tiny, text, places[token], hidden, reading.phase)
            expected = expected[::-1, ::-1] if reading.reverse else expected
            for rows in (np.exp(reader.base_log_probs(reading, logits)), reader.base_probs(reading, logits)):
                np.testing.assert_allclose(rows[row], expected, atol=1e-5)
            start, end = tokenized.spans[places[token]]
            start = len(text) - end if reading.reverse else start
            assert reader.starts(reading)[token] == start


@pytest.mark.parametrize("reverse", [False, True])
def test_whole_readings_are_in_the_order_of_the_forward_strand(reverse):
    toy = ToyModel()
    reader = Reader(toy, layer=1, batch_tokens=1)
    readings = [Reading(SEQUENCE, reverse, asked=(7, 2)), Reading(SEQUENCE[:30], reverse)]
    (_, answer), (_, short) = reader.whole(readings, own=True, bases=True, hidden=True)
    text = reverse_complement(SEQUENCE) if reverse else SEQUENCE
    tokenized = toy.tokenize(text)
    passed = toy.forward(tokenized, outputs=("logits", "hidden_states"), layers=(1,))
    order = np.arange(1, 11)[:: -1 if reverse else 1]
    logits = passed.logits[0].astype(float)
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(answer.own, log_probs[order, tokenized.ids[order]], atol=1e-5)
    np.testing.assert_allclose(answer.logits, logits[order[[7, 2]]], rtol=1e-6)
    np.testing.assert_array_equal(answer.hidden, passed.hidden_states[0, 0, order])
    marginals = np.exp(tokens.base_log_probs(tokenized, passed.logits[0]))
    np.testing.assert_allclose(answer.bases, marginals[::-1, ::-1] if reverse else marginals, atol=1e-5)
    assert short.logits.shape == (0, 4105) and short.own.shape == (5,) and short.bases.shape == (30, 4)
    (_, bare), _ = reader.whole([readings[1], readings[1]], own=False, bases=False, hidden=True)
    assert bare.hidden.shape == (5, 12) and bare.logits.size == bare.own.size == bare.bases.size == 0


def test_nothing_to_read_is_nothing(tiny):
    reader = Reader(tiny)
    assert list(reader.masked([], "nothing")) == [] and reader.forwards == 0


def test_expectations_equal_brute_force(tiny):
    text = SEQUENCE[:26]
    found = expectation.masked(tiny, text, both_strands=False, batch_tokens=12)
    rows = [[] for _ in text]
    for phase in range(6):
        tokenized = tiny.tokenize(text, phase=phase)
        for place, kmer in enumerate(tokenized.strings):
            if kmer in KMERS:
                start = tokenized.spans[place, 0]
                for offset, row in enumerate(distribution(tiny, text, place, place, phase)):
                    rows[start + offset].append(row)
    assert found.readings.tolist() == [len(row) for row in rows]
    for base, given in enumerate(rows):
        np.testing.assert_allclose(found.probabilities[base], np.mean(given, axis=0), atol=1e-5)
        own = [row["ACGT".index(text[base])] for row in given]
        assert found.spread[base] == pytest.approx(np.std(own), abs=1e-5)
        assert found.reference[base] == pytest.approx(np.mean(own), abs=1e-5)


def test_the_reverse_complement_is_expected_in_reverse(tiny):
    forward = expectation.masked(tiny, SEQUENCE)
    backward = expectation.masked(tiny, reverse_complement(SEQUENCE))
    np.testing.assert_allclose(forward.probabilities, backward.probabilities[::-1, ::-1], atol=1e-5)
    assert forward.readings.max() == 12


def test_n_is_told_apart_from_bases(tiny):
    found = expectation.masked(tiny, SEQUENCE[:20] + "NN" + SEQUENCE[20:])
    assert np.isnan(found.probabilities[20:22]).all() and np.isnan(found.reference[20:22]).all()
    assert found.readings[20:22].tolist() == [0, 0]
    assert np.isfinite(found.reference[:20]).all()
    assert np.isfinite(found.loss) and 0 <= found.accuracy <= 1
    with pytest.raises(ValueError, match="frames must lie in 1 to 6, the bases of a token; received 7"):
        expectation.masked(tiny, SEQUENCE, frames=7)
