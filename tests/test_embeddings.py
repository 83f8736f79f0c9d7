"""Vectors of sequences: pooled as said, in any batch, and kept by what they were made from."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from ntviz import embeddings
from ntviz.genome.sequence import reverse_complement


@pytest.fixture(scope="module")
def sequences():
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(list("ACGT"), n)) for n in (7, 61, 300, 300, 12, 299, 6)]
    return [*texts, "ACGTNNACGTTTN", texts[2]]


@pytest.fixture(scope="module")
def states(mini, sequences):
    """Tokens and hidden states [layer, token, hidden] of each sequence, read alone."""
    every = list(map(mini.tokenize, sequences))
    read = [mini.forward(tokens, outputs=("hidden_states",)).hidden_states[0] for tokens in every]
    return list(zip(every, read, strict=True))


def by_hand(tokens, states, how):
    """Brute force: one sequence, all its hidden states, reduced in numpy."""
    covering = states.astype(np.float64)[:, ~tokens.is_special]
    return {"mean": covering.mean(axis=1), "max": covering.max(axis=1), "cls": states[:, 0]}[how]


@pytest.mark.parametrize(("how", "tokens"), [("mean", 60), ("mean", 100_000), ("max", 128), ("cls", 128)])
def test_vectors_are_pooled_over_tokens_that_cover_bases_in_any_batch(mini, sequences, states, how, tokens):
    vectors = embeddings.embed(mini, sequences, pooling=how, batch_tokens=tokens)
    assert vectors.values.shape == (9, 5, 256) and vectors.values.dtype == np.float32
    expected = np.stack([by_hand(tokens, layers, how) for tokens, layers in states])
    np.testing.assert_allclose(vectors.values, expected, atol=2e-5, rtol=1e-4)
    some = embeddings.embed(mini, sequences[:2], layers=(4, 2), pooling=how)
    assert some.layers == (4, 2)
    np.testing.assert_allclose(some.layer(2), expected[:2, 2], atol=2e-5, rtol=1e-4)


def test_vectors_of_both_strands_are_averaged_and_those_that_cannot_be_are_refused(mini, sequences, tmp_path):
    strands = sequences, list(map(reverse_complement, sequences))
    both, turned = (embeddings.embed(mini, s, layers=[3], both_strands=True).values for s in strands)
    forward, backward = (embeddings.embed(mini, s, layers=[3]).values for s in strands)
    np.testing.assert_allclose(both, (forward + backward) / 2, atol=1e-4)
    np.testing.assert_allclose(both, turned, atol=1e-4)

    class Nameless:
        name, info, layers, hidden_size = "nameless", {}, 1, 2

    class Broken(Counting):
        def embed(self, batch, **how):
            return super().embed(batch, **how) * np.float32(np.nan)

    with pytest.raises(ValueError, match="must have a `module` or info"):
        embeddings.embed(Nameless(), ["ACGT"], store=embeddings.Store(tmp_path))
    with pytest.raises(FloatingPointError, match="must be finite; ntviz-mini gave others for ACGT"):
        embeddings.embed(Broken(mini), ["ACGT"])
    with pytest.raises(ValueError, match="must be one of 1, 2; received 3"):
        embeddings.embed(mini, ["ACGT"], layers=(1, 2)).layer(3)


class Counting:
    """A model that counts what it is asked to read."""

    def __init__(self, model, *, dtype=None):
        self.model, self.module, self.read = model, model.module, 0
        self.info = model.info if dtype is None else {**model.info, "dtype": dtype}

    def __getattr__(self, name):
        return getattr(self.model, name)

    def embed(self, batch, **how):
        self.read += len(batch)
        return self.model.embed(batch, **how)


def test_nothing_is_computed_twice(mini, sequences, tmp_path):
    model, store = Counting(mini), embeddings.Store(tmp_path)

    def read(texts, layers, computed, reused, total):
        found = embeddings.embed(model, texts, layers=layers, store=store)
        assert (found.computed, found.reused, model.read) == (computed, reused, total)
        return found

    first = read(sequences, (1, 3), 8, 0, 8)  # one of nine stands twice
    again = read(sequences, (3, 1), 0, 8, 8)
    np.testing.assert_array_equal(again.values[:, ::-1], first.values)
    read([*sequences, "ACGTACGT"], (1,), 1, 8, 9)
    more = read(sequences, (1, 2), 8, 0, 17)
    np.testing.assert_array_equal(more.layer(1), first.layer(1))


def test_vectors_are_never_those_of_another_making(mini, sequences, tmp_path):
    store = embeddings.Store(tmp_path)

    def read(model, **how):
        return embeddings.embed(model, sequences, layers=[2], store=store, **how)

    first, twin = read(mini), mini.random_twin(0)
    assert read(twin).computed == read(mini.random_twin(1)).computed == 8
    assert read(mini, pooling="max").computed == read(Counting(mini, dtype="bfloat16")).computed == 8
    # A copy under another name is the same model; one trained on in place is not.
    named = replace(mini, name="other", info={**mini.info, "name": "other", "revision": "x"})
    assert read(named).computed == 0
    bias = twin.module.esm.encoder.layer[0].attention.self.query.bias
    before = embeddings.fingerprint(twin)
    bias.data[0] += 1
    assert embeddings.fingerprint(twin) != before and read(twin).computed == 8
    bias.data[0] -= 1
    again = read(mini)
    assert again.computed == 0
    np.testing.assert_array_equal(again.values, first.values)


@pytest.mark.parametrize("harm", [
    lambda whole: whole[:-100], lambda whole: whole[:-5] + bytes([whole[-5] ^ 8]) + whole[-4:], lambda whole: b"not a file" * 50,
    lambda whole: b"",
], ids=["truncated", "bit", "foreign", "empty"])  # fmt: skip
def test_a_damaged_segment_is_read_anew_and_said(mini, sequences, tmp_path, harm):
    first, store = embeddings.embed(mini, sequences[:3], layers=[2]), embeddings.Store(tmp_path)
    embeddings.embed(mini, sequences[:3], layers=[2], store=store)
    (path,), (about,) = tmp_path.rglob("*.npz"), tmp_path.rglob("pieces.json")
    made_from = {"weights": embeddings.fingerprint(mini), "layer": 2, "pooling": "mean", "dtype": "float32"}
    assert json.loads(about.read_text()) == {"format": 2, **made_from}
    assert [file.name for file in tmp_path.rglob(".*")] == []
    path.write_bytes(harm(path.read_bytes()))
    again = embeddings.embed(mini, sequences[:3], layers=[2], store=store)
    assert again.computed == 3 and [name for name, _ in again.ignored] == [str(path)]
    assert "1 files of the store ignored" in repr(again)
    np.testing.assert_array_equal(again.values, first.values)


def test_what_was_finished_before_an_interruption_is_kept(mini, tmp_path, monkeypatch):
    monkeypatch.setattr("ntviz.embeddings.vectors._FLUSH", 4)
    rng = np.random.default_rng(3)
    texts = ["".join(rng.choice(list("ACGT"), 30)) for _ in range(12)]

    class Stopped(Counting):
        def embed(self, batch, **how):
            if self.read >= 8:
                raise KeyboardInterrupt
            return super().embed(batch, **how)

    how, rest = {"layers": [4], "store": embeddings.Store(tmp_path)}, Counting(mini)
    with pytest.raises(KeyboardInterrupt):
        embeddings.embed(Stopped(mini), texts, batch_tokens=12, **how)
    assert embeddings.embed(rest, texts, **how).reused == 8 and rest.read == 4


@pytest.mark.parametrize(("given", "message"), [
    ({"sequences": []}, "at least one sequence; received none"),
    ({"pooling": "sum"}, "pooling must be one of mean, cls, max; received 'sum'"),
    ({"layers": [5]}, r"from 0 \(the embedding\) to 4 for ntviz-mini; received \[5\]"),
    ({"layers": [1, 1]}, r"distinct numbers .* received \[1, 1\]"),
    ({"layers": []}, r"received \[\]"),
    ({"sequences": ["ACGT", "acgt"]}, "Sequence 1 of 2 distinct ones: .*'a'"),
    ({"sequences": ["A" * 2000]}, "Sequence 0 of 1 distinct ones: A sequence must fit into 256 tokens"),
])  # fmt: skip
def test_bad_input_is_refused(mini, given, message):
    with pytest.raises(ValueError, match=message):
        embeddings.embed(mini, **{"sequences": ["ACGT"], **given})


@pytest.mark.parametrize("k", [1, 3, 5])
def test_kmers_are_counted(k):
    rng = np.random.default_rng(k)
    texts = ["".join(rng.choice(list("ACGTN"), n, p=[0.24] * 4 + [0.04])) for n in (3, 40, 200)]
    texts += ["N", "NNNNNNN"]
    names = list(map("".join, itertools.product("ACGT", repeat=k)))
    for row, text in zip(embeddings.kmer_frequencies(texts, k), texts, strict=True):
        kmers = [text[i : i + k] for i in range(len(text) - k + 1) if "N" not in text[i : i + k]]
        np.testing.assert_allclose(row, [kmers.count(name) / max(len(kmers), 1) for name in names], rtol=1e-6)
    with pytest.raises(ValueError, match="k must be from 1 to 8; received 12"):
        embeddings.kmer_frequencies(["ACGT"], 12)
