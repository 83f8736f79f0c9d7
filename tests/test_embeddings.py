"""Vectors of sequences: pooled as said, in any batch, and kept by what they were made from."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from ntviz import embeddings, models
from ntviz.genome.sequence import reverse_complement


@pytest.fixture(scope="module")
def mini():
    return models.load()


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


@pytest.mark.parametrize("how", ["mean", "max", "cls"])
def test_vectors_are_pooled_over_tokens_that_cover_bases(mini, sequences, states, how):
    vectors = embeddings.embed(mini, sequences, pooling=how, batch_tokens=128)
    assert vectors.values.shape == (9, 5, 256)
    assert vectors.values.dtype == np.float32
    expected = np.stack([by_hand(tokens, layers, how) for tokens, layers in states])
    np.testing.assert_allclose(vectors.values, expected, atol=2e-5, rtol=1e-4)


def test_a_batch_gives_what_one_sequence_gives(mini, sequences):
    one = np.stack([embeddings.embed(mini, [text], layers=(2, 4)).values[0] for text in sequences])
    for tokens in (60, 500, 100_000):
        many = embeddings.embed(mini, sequences, layers=(2, 4), batch_tokens=tokens)
        np.testing.assert_allclose(many.values, one, atol=1e-4)
        assert many.layers == (2, 4)
        np.testing.assert_array_equal(many.layer(4), many.values[:, 1])


def test_both_strands_are_averaged(mini, sequences):
    other = list(map(reverse_complement, sequences))
    both, turned = (
        embeddings.embed(mini, s, layers=[3], both_strands=True).values for s in (sequences, other)
    )
    forward, backward = (embeddings.embed(mini, s, layers=[3]).values for s in (sequences, other))
    np.testing.assert_allclose(both, (forward + backward) / 2, atol=1e-4)
    np.testing.assert_allclose(both, turned, atol=1e-4)


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
    store = embeddings.Store(tmp_path)
    model = Counting(mini)
    first = embeddings.embed(model, sequences, layers=(1, 3), store=store)
    assert (first.computed, first.reused, model.read) == (8, 0, 8)  # one of nine stands twice
    again = embeddings.embed(model, sequences, layers=(3, 1), store=store)
    assert (again.computed, again.reused, model.read) == (0, 8, 8)
    np.testing.assert_array_equal(again.values[:, ::-1], first.values)
    more = embeddings.embed(model, [*sequences, "ACGTACGT"], layers=(1,), store=store)
    assert (more.computed, more.reused, model.read) == (1, 8, 9)
    layer = embeddings.embed(model, sequences, layers=(1, 2), store=store)
    assert (layer.computed, model.read) == (8, 17)
    np.testing.assert_array_equal(layer.layer(1), first.layer(1))


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
    assert embeddings.fingerprint(twin) != before
    assert read(twin).computed == 8
    bias.data[0] -= 1
    again = read(mini)
    assert again.computed == 0
    np.testing.assert_array_equal(again.values, first.values)


@pytest.mark.parametrize("harm", ["truncated", "bit", "foreign", "empty"])
def test_a_damaged_segment_is_read_anew_and_said(mini, sequences, tmp_path, harm):
    store = embeddings.Store(tmp_path)
    first = embeddings.embed(mini, sequences, layers=[2], store=store)
    (path,) = tmp_path.rglob("*.npz")
    content = bytearray(path.read_bytes())
    if harm == "bit":
        content[-5] ^= 8
    path.write_bytes(
        {"truncated": content[:-100], "bit": content, "foreign": b"not a file" * 50, "empty": b""}[harm]
    )
    again = embeddings.embed(mini, sequences, layers=[2], store=store)
    assert again.computed == 8
    assert [name for name, _ in again.ignored] == [str(path)]
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

    store = embeddings.Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        embeddings.embed(Stopped(mini), texts, layers=[4], store=store, batch_tokens=12)
    rest = Counting(mini)
    assert embeddings.embed(rest, texts, layers=[4], store=store).reused == 8
    assert rest.read == 4


def test_a_shelf_says_what_it_holds(mini, sequences, tmp_path):
    embeddings.embed(mini, sequences, layers=[2], store=embeddings.Store(tmp_path))
    (about,) = tmp_path.rglob("pieces.json")
    told = json.loads(about.read_text())
    assert told == {
        "format": 2,
        "weights": embeddings.fingerprint(mini),
        "layer": 2,
        "pooling": "mean",
        "dtype": "float32",
    }
    assert [file.name for file in tmp_path.rglob("*") if file.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sequences": []}, "at least one sequence; received none"),
        ({"pooling": "sum"}, "pooling must be one of mean, cls, max; received 'sum'"),
        ({"layers": [5]}, r"from 0 \(the embedding\) to 4 for ntviz-mini; received \[5\]"),
        ({"layers": [1, 1]}, r"distinct numbers .* received \[1, 1\]"),
        ({"layers": []}, r"received \[\]"),
        ({"sequences": ["ACGT", "acgt"]}, "Sequence 1 of 2 distinct ones: .*'a'"),
        ({"sequences": ["A" * 2000]}, "Sequence 0 of 1 distinct ones: A sequence must fit into 256 tokens"),
    ],
)
def test_bad_input_is_refused(mini, given, message):
    with pytest.raises(ValueError, match=message):
        embeddings.embed(mini, **{"sequences": ["ACGT"], **given})


def test_a_model_without_weights_cannot_be_kept(tmp_path):
    class Nameless:
        name, info, layers, hidden_size = "nameless", {}, 1, 2

    with pytest.raises(ValueError, match="must have a `module` or info"):
        embeddings.embed(Nameless(), ["ACGT"], store=embeddings.Store(tmp_path))


def test_vectors_that_are_not_finite_are_refused(mini):
    class Broken(Counting):
        def embed(self, batch, **how):
            return super().embed(batch, **how) * np.float32(np.nan)

    with pytest.raises(FloatingPointError, match="must be finite; ntviz-mini gave others for ACGT"):
        embeddings.embed(Broken(mini), ["ACGT"])
    with pytest.raises(ValueError, match="must be one of 1, 2; received 3"):
        embeddings.embed(mini, ["ACGT"], layers=(1, 2)).layer(3)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_kmers_are_counted(k):
    rng = np.random.default_rng(k)
    texts = ["".join(rng.choice(list("ACGTN"), n, p=[0.24] * 4 + [0.04])) for n in (3, 40, 200)]
    texts += ["N", "NNNNNNN"]
    words = ["".join(word) for word in itertools.product("ACGT", repeat=k)]
    found = embeddings.kmer_frequencies(texts, k)
    for row, text in enumerate(texts):
        there = [text[i : i + k] for i in range(len(text) - k + 1) if "N" not in text[i : i + k]]
        for word, value in zip(words, found[row], strict=True):
            assert value == pytest.approx(there.count(word) / len(there) if there else 0)
    with pytest.raises(ValueError, match="k must be from 1 to 8; received 12"):
        embeddings.kmer_frequencies(["ACGT"], 12)
