"""Base probabilities by masking, against brute force and a fake model with known answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ntviz import expectation, models, tokens
from ntviz.sequence import reverse_complement

FIXTURES = Path(__file__).parent / "fixtures"
SEQUENCE = "".join(np.random.default_rng(3).choice(list("ACGT"), 50))


@pytest.fixture(scope="module")
def tiny():
    return models.load(FIXTURES / "nt_v2_tiny", device="cpu")


class OneKmer:
    """Expects the same 6-mer everywhere, whatever stands there; refuses to see the token it is asked about."""

    tokenizer = tokens.Tokenizer("nt-v2")
    mask_id = tokenizer.vocabulary.mask_id

    def __init__(self, kmer: str) -> None:
        self.expected = self.tokenizer.vocabulary.id_of(kmer)

    def tokenize(self, sequence, *, phase=0):
        return self.tokenizer(sequence, phase=phase)

    def forward(self, batch, *, outputs=("logits",), at=None):
        assert outputs == ("logits",)
        ids = np.stack([b.ids for b in batch])
        assert ((ids == self.mask_id).sum(axis=1) == 1).all()
        assert (np.take_along_axis(ids, at, axis=1) == self.mask_id).all()
        logits = np.full((*at.shape, self.tokenizer.vocabulary.n_logits), -50.0)
        logits[..., self.expected] = 0
        return SimpleNamespace(logits=logits)


def test_a_model_that_expects_one_kmer():
    found = expectation.masked(OneKmer("AACGTC"), "ACGTACGTACGT", frames=1, both_strands=False)
    letters = "".join("ACGT"[i] for i in found.probabilities.argmax(axis=1))
    assert letters == "AACGTC" * 2
    np.testing.assert_allclose(found.probabilities.max(axis=1), 1)
    np.testing.assert_allclose(found.information, 2, atol=1e-6)
    assert found.readings.tolist() == [1] * 12
    agree = [a == b for a, b in zip("ACGTACGTACGT", "AACGTCAACGTC", strict=True)]
    assert found.accuracy == pytest.approx(np.mean(agree))


def test_a_uniform_model_says_nothing():
    class Uniform(OneKmer):
        def forward(self, batch, *, outputs=("logits",), at=None):
            return SimpleNamespace(
                logits=np.zeros_like(super().forward(batch, outputs=outputs, at=at).logits)
            )

    found = expectation.masked(Uniform("AAAAAA"), SEQUENCE)
    np.testing.assert_allclose(found.probabilities, 0.25)
    np.testing.assert_allclose(found.information, 0, atol=1e-9)
    np.testing.assert_allclose(found.spread, 0, atol=1e-9)
    assert found.loss == pytest.approx(np.log(4))


def brute(model, sequence, phases):
    """One token hidden at a time, one pass a time, k-mers summed one by one."""
    vocabulary = model.tokenizer.vocabulary
    readings = [[] for _ in sequence]
    for phase in phases:
        tokenized = model.tokenize(sequence, phase=phase)
        for position, text in enumerate(tokenized.strings):
            if len(text) != 6 or set(text) - set("ACGT"):
                continue
            ids = tokenized.ids.copy()
            ids[position] = vocabulary.mask_id
            logits = model.forward(replace(tokenized, ids=ids)).logits[0, position].astype(float)
            kmers = vocabulary.tokens[6 : 6 + 4096]
            p = np.exp(logits[6 : 6 + 4096] - logits[6 : 6 + 4096].max())
            p /= p.sum()
            for offset in range(6):
                row = np.zeros(4)
                for kmer, share in zip(kmers, p, strict=True):
                    row["ACGT".index(kmer[offset])] += share
                readings[tokenized.spans[position, 0] + offset].append(row)
    return readings


def test_masking_equals_brute_force(tiny):
    found = expectation.masked(tiny, SEQUENCE[:26], both_strands=False, batch_tokens=12)
    rows = brute(tiny, SEQUENCE[:26], range(6))
    assert found.readings.tolist() == [len(r) for r in rows]
    for base, given in enumerate(rows):
        np.testing.assert_allclose(found.probabilities[base], np.mean(given, axis=0), atol=1e-5)
        own = [r["ACGT".index(SEQUENCE[base])] for r in given]
        assert found.spread[base] == pytest.approx(np.std(own), abs=1e-5)
        assert found.reference[base] == pytest.approx(np.mean(own), abs=1e-5)


def test_the_reverse_complement_is_expected_in_reverse(tiny):
    forward = expectation.masked(tiny, SEQUENCE)
    backward = expectation.masked(tiny, reverse_complement(SEQUENCE))
    np.testing.assert_allclose(forward.probabilities, backward.probabilities[::-1, ::-1], atol=1e-5)
    assert forward.readings.max() == 12


def test_n_is_told_apart_from_bases(tiny):
    text = SEQUENCE[:20] + "NN" + SEQUENCE[20:]
    found = expectation.masked(tiny, text)
    assert np.isnan(found.probabilities[20:22]).all() and np.isnan(found.reference[20:22]).all()
    assert found.readings[20:22].tolist() == [0, 0]
    assert np.isfinite(found.reference[:20]).all()
    assert np.isfinite(found.loss) and 0 <= found.accuracy <= 1


def test_frames_are_checked(tiny):
    with pytest.raises(ValueError, match="frames must lie in 1 to 6, the bases of a token; got 7"):
        expectation.masked(tiny, SEQUENCE, frames=7)
