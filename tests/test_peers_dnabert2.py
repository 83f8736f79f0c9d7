"""DNABERT-2 against another implementation, against its equations in loops, and against bad files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from peer_files import fixtures, random_sequence, retensor, rewrite
from safetensors.torch import load_file

from ntviz import models
from ntviz.models.peers import dnabert2

TINY = Path(__file__).parent / "fixtures" / "dnabert2_tiny"
WORDS = "bert.embeddings.word_embeddings.weight"
load, copy, tiny, expected = fixtures(dnabert2, TINY)


# Parity


def test_outputs_equal_another_implementation(tiny, expected):
    batch = [tiny.tokenize(sequence) for sequence in expected["sequences"].tolist()]
    together = tiny.forward(batch, outputs=("logits", "hidden_states"))
    for index, tokens in enumerate(batch):
        np.testing.assert_array_equal(tokens.ids, expected[f"ids_{index}"])
        alone = tiny.forward(tokens, outputs=models.OUTPUTS)
        n = len(tokens)
        for name in models.OUTPUTS:
            if f"{name}_{index}" in expected:
                wanted = expected[f"{name}_{index}"]
                np.testing.assert_allclose(getattr(alone, name)[0], wanted, rtol=0, atol=5e-5)
        np.testing.assert_allclose(together.logits[index, :n], expected[f"logits_{index}"], atol=5e-5)
        np.testing.assert_allclose(
            together.hidden_states[index, :, :n], expected[f"hidden_states_{index}"], atol=5e-5
        )


def by_hand(ids: np.ndarray, config: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hidden states, attention and logits of one sequence, a head and a query at a time, in float64."""
    t = {name: value.double().numpy() for name, value in load_file(TINY / "model.safetensors").items()}
    heads, inner = config["num_attention_heads"], config["intermediate_size"]
    size = config["hidden_size"] // heads
    # Written out: eight heads fall by halves, four more lie between the first of them.
    slopes = [2.0**-i for i in range(1, 9)] + [2.0**-i for i in (0.5, 1.5, 2.5, 3.5)]

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + config["layer_norm_eps"])
        return scaled * t[f"{name}.weight"] + t[f"{name}.bias"]

    def gelu(x):
        return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))

    def dense(x, name):
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    x = norm(
        t[WORDS][ids] + t["bert.embeddings.token_type_embeddings.weight"][0], "bert.embeddings.LayerNorm"
    )
    hidden, maps = [x], []
    for layer in range(config["num_hidden_layers"]):
        at = f"bert.encoder.layer.{layer}."
        q, k, v = np.split(dense(x, at + "attention.self.Wqkv"), 3, axis=1)
        mixed, attention = np.zeros_like(x), np.zeros((heads, len(ids), len(ids)))
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            for i in range(len(ids)):
                scores = np.array(
                    [
                        q[i, own] @ k[j, own] / math.sqrt(size) - slopes[head] * abs(i - j)
                        for j in range(len(ids))
                    ]
                )
                weights = np.exp(scores - scores.max())
                attention[head, i] = weights / weights.sum()
                mixed[i, own] = attention[head, i] @ v[:, own]
        x = norm(x + dense(mixed, at + "attention.output.dense"), at + "attention.output.LayerNorm")
        both = x @ t[at + "mlp.gated_layers.weight"].T
        x = norm(x + dense(gelu(both[:, :inner]) * both[:, inner:], at + "mlp.wo"), at + "mlp.layernorm")
        hidden.append(x)
        maps.append(attention)
    head = "cls.predictions."
    y = norm(gelu(dense(x, head + "transform.dense")), head + "transform.LayerNorm")
    return np.stack(hidden), np.stack(maps), y @ t[WORDS].T + t[head + "decoder.bias"]


def test_outputs_equal_the_equations(tiny):
    tokens = tiny.tokenize(random_sequence(70, 1) + "N" + random_sequence(30, 2))
    hidden, maps, logits = by_hand(tokens.ids, json.loads((TINY / "config.json").read_text()))
    found = tiny.forward(tokens, outputs=("logits", "hidden_states", "attentions"))
    np.testing.assert_allclose(found.hidden_states[0], hidden, rtol=0, atol=2e-5)
    np.testing.assert_allclose(found.attentions[0], maps, rtol=0, atol=2e-6)
    np.testing.assert_allclose(found.logits[0], logits, rtol=0, atol=1e-4)


def test_slopes_of_twelve_heads():
    found = dnabert2.slopes(12)
    assert found[:8] == [0.5**i for i in range(1, 9)]
    np.testing.assert_allclose(found[8:], [0.5**0.5, 0.5**1.5, 0.5**2.5, 0.5**3.5])


# One pass


def test_maps_are_distributions_and_come_with_the_same_hidden_states(tiny):
    batch = [tiny.tokenize(random_sequence(n, n)) for n in (60, 200, 7)]
    plain = tiny.forward(batch, outputs=("logits", "hidden_states"))
    assert plain.attentions is None
    seen = tiny.forward(batch, outputs=("logits", "hidden_states", "attentions"))
    for row, tokens in enumerate(batch):
        n = len(tokens)
        maps = seen.attentions[row]
        assert maps.shape[:2] == (2, 12)
        np.testing.assert_allclose(maps[:, :, :n].sum(-1), 1, atol=1e-5)
        assert not maps[..., n:].any()
        np.testing.assert_allclose(seen.hidden_states[row, :, :n], plain.hidden_states[row, :, :n], atol=1e-5)
        np.testing.assert_allclose(seen.logits[row, :n], plain.logits[row, :n], atol=5e-5)


def test_logits_at_some_tokens_and_some_layers(tiny):
    tokens = tiny.tokenize(random_sequence(80))
    whole = tiny.forward(tokens, outputs=("logits", "hidden_states"))
    some = tiny.forward(tokens, outputs=("logits", "hidden_states"), at=np.array([[3, 1]]), layers=(2,))
    np.testing.assert_allclose(some.logits[0], whole.logits[0, [3, 1]], atol=1e-5)
    np.testing.assert_array_equal(some.hidden_states[:, 0], whole.hidden_states[:, 2])


def test_a_change_far_away_is_felt_less(tiny):
    """Biases by distance weigh near words more: that is all the model knows of positions."""
    tokens = tiny.tokenize("ACGT" * 60)
    maps = tiny.forward(tokens, outputs=("attentions",)).attentions[0]
    place = np.arange(len(tokens))
    reach = (maps * np.abs(place[:, None] - place)).sum(-1).mean((0, 2))
    slopes = np.array(dnabert2.slopes(12))
    # The head that falls fastest looks nearest, the one that falls slowest farthest.
    assert reach.argmin() == slopes.argmax()
    assert reach.argmax() == slopes.argmin()


def test_the_published_shape_has_117_million_parameters():
    config = {
        **json.loads((TINY / "config.json").read_text()),
        **{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "vocab_size": 4096},
    }
    with torch.device("meta"):
        network = dnabert2.DNABERT2(config)
    # The published pytorch_model.bin has 468 MB, 4 bytes each.
    assert sum(p.numel() for p in network.parameters()) == 117_074_176


def test_more_tokens_than_usual_can_be_asked_for():
    long = load(max_tokens=2000)
    assert (long.max_tokens, long.max_bp) == (2000, 1998)
    tokens = long.tokenize("N" * 1998)
    assert len(tokens) == 2000
    assert np.isfinite(long.embed([tokens], layers=(2,))).all()
    with pytest.raises(ValueError, match=r"up to 512 tokens .510 bp without N.; got 2,000"):
        load().embed([tokens], layers=(2,))


# Random twins


def test_fresh_weights_are_as_documented(tiny):
    for name, value in tiny.random_twin(0).module.named_parameters():
        if name.endswith("bias"):
            assert not value.any()
        elif "norm" in name.lower():
            assert (value == 1).all()
        else:
            assert value.std().item() == pytest.approx(0.02, rel=0.25)
            assert abs(value.mean().item()) < 0.004


# Files


def test_a_pickled_checkpoint_with_the_decoder_is_the_same(copy, tiny):
    tensors = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    tensors["cls.predictions.decoder.weight"] = tensors[WORDS]
    tensors["bert.pooler.dense.weight"] = torch.zeros(36, 36)
    torch.save(tensors, copy / "pytorch_model.bin")
    tokens = tiny.tokenize(random_sequence(60))
    np.testing.assert_array_equal(load(copy).forward(tokens).logits, tiny.forward(tokens).logits)


def test_a_decoder_of_its_own_is_refused(copy):
    def untie(tensors):
        tensors["cls.predictions.decoder.weight"] = tensors[WORDS] + 1

    with pytest.raises(ValueError, match=r"cls.predictions.decoder.weight of .* must equal .*they differ"):
        load(retensor(copy, untie))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "silu"}, "hidden_act in .* must be 'gelu', as published; got 'silu'"),
        ({"type_vocab_size": 1}, "type_vocab_size in .* must be 2, as published; got 1"),
        ({"is_decoder": True}, "is_decoder in .* must be False, as published; got True"),
        ({"num_attention_heads": 7}, "hidden_size in .* must be a multiple of the 7 heads; got 36"),
        ({"vocab_size": 4096}, "vocab_size in .* must be the 200 words of tokenizer.json; got 4096"),
        ({"hidden_size": None}, "hidden_size in .* must be a positive integer; got None"),
    ],
)
def test_other_options_are_refused(copy, changes, message):
    with pytest.raises(ValueError, match=message):
        load(rewrite(copy, **changes))
