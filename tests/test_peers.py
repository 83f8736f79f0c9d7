"""Peers behind the front door: found by their config.json, probed like any other model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ntviz import embeddings, models
from ntviz.models.peers.peer import Peer

FIXTURES = Path(__file__).parent / "fixtures"


def test_a_peer_is_loaded_by_its_config_and_embedded():
    model = models.load(FIXTURES / "dnabert2_tiny", device="cpu")
    assert isinstance(model, Peer)
    assert isinstance(model, models.DNAModel)
    assert isinstance(model, models.Embedder)
    assert model.name == "dnabert2_tiny"
    texts = ["ACGTTGCAACGT", "ACGTNNACGTACGGATTACA", "TTTTACGT"]
    vectors = embeddings.embed(model, texts)
    assert vectors.values.shape == (3, model.layers + 1, model.hidden_size)
    for row, text in enumerate(texts):
        tokens = model.tokenize(text)
        states = model.forward(tokens, outputs=("hidden_states",)).hidden_states[0, :, ~tokens.is_special]
        np.testing.assert_allclose(vectors.values[row], states.mean(axis=0), atol=1e-5)


def test_enformer_is_loaded_by_its_config_too():
    model = models.load(FIXTURES / "enformer_tiny", device="cpu")
    assert model.name == "enformer_tiny"
    assert isinstance(model, models.Embedder)
    assert embeddings.embed(model, ["ACGT" * 100, "ACGT" * 50]).values.shape == (2, 3, 24)


def test_others_are_left_to_their_loaders():
    from ntviz.models import peers

    assert peers.family(FIXTURES / "nt_v2_tiny") is None
    assert peers.family(FIXTURES) is None
    assert models.load(FIXTURES / "nt_v1_tiny", device="cpu").name == "nt_v1_tiny"
