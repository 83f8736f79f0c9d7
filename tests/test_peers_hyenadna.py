"""HyenaDNA against another implementation, against its equations in loops, and against bad files."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peer_files import fixtures, random_sequence, retensor, rewrite
from safetensors.torch import load_file, save_file

from ntviz import models
from ntviz.models.peers import hyenadna
from ntviz.tokens import Tokenizer
from ntviz.tokens.vocabulary import HYENADNA

TINY = Path(__file__).parent / "fixtures" / "hyenadna_tiny"
OTHER = TINY.parent / "nt_v2_tiny"
BACKBONE = "hyena.backbone."
WORDS = BACKBONE + "embeddings.word_embeddings.weight"
load, copy, tiny, expected = fixtures(hyenadna, TINY)


# Parity


def test_outputs_equal_another_implementation(tiny, expected):
    batch = [tiny.tokenize(sequence) for sequence in expected["sequences"].tolist()]
    together = tiny.forward(batch, outputs=("logits", "hidden_states"))
    for index, tokens in enumerate(batch):
        np.testing.assert_array_equal(tokens.ids, expected[f"ids_{index}"])
        alone = tiny.forward(tokens, outputs=("logits", "hidden_states"))
        n = len(tokens)
        # Padding on the right changes nothing but the length of the Fourier transform.
        for found, row in ((alone, 0), (together, index)):
            np.testing.assert_allclose(found.logits[row, :n], expected[f"logits_{index}"], atol=5e-5)
            np.testing.assert_allclose(
                found.hidden_states[row, :, :n], expected[f"hidden_states_{index}"], atol=2e-5
            )


def by_hand(ids: np.ndarray, config: dict) -> tuple[np.ndarray, np.ndarray]:
    """Hidden states and logits of one sequence in float64; convolutions as sums over what stands before."""
    t = {name: value.double().numpy() for name, value in load_file(TINY / "model.safetensors").items()}
    width, n = config["d_model"], len(ids)

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + config["layer_norm_epsilon"])
        return scaled * t[f"{name}.weight"] + t[f"{name}.bias"]

    def dense(x, name):
        return x @ t[f"{name}.weight"].T + (t.get(f"{name}.bias", 0))

    x = t[WORDS][ids]
    hidden = [x]
    for layer in range(config["n_layer"]):
        at = f"{BACKBONE}layers.{layer}."
        wide = dense(norm(x, at + "norm1"), at + "mixer.in_proj")
        taps, shift = t[at + "mixer.short_filter.weight"][:, 0], t[at + "mixer.short_filter.bias"]
        short = np.array(
            [
                shift + sum(taps[:, 2 - back] * wide[i - back] for back in range(3) if i >= back)
                for i in range(n)
            ]
        )
        first, second, value = short[:, :width], short[:, width : 2 * width], short[:, 2 * width :]
        own = at + "mixer.filter_fn."
        h = t[own + "pos_emb.z"][0, :n]
        for part in ("0", "2", "4"):
            h = np.sin(t[own + "implicit_filter.1.freq"] * dense(h, own + "implicit_filter." + part))
        h = h @ t[own + "implicit_filter.6.weight"].T
        h *= np.exp(-t[own + "pos_emb.t"][0, :n] * np.abs(t[own + "modulation.deltas"][0])) + 0.05
        value = value * second
        mixed = np.array([sum(h[i - j] * value[j] for j in range(i + 1)) for i in range(n)])
        mixed = (mixed + value * t[own + "bias"]) * first
        x = x + dense(mixed, at + "mixer.out_proj")
        y = dense(norm(x, at + "norm2"), at + "mlp.fc1")
        y = 0.5 * y * (1 + np.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
        x = x + dense(y, at + "mlp.fc2")
        hidden.append(x)
    hidden[-1] = norm(x, BACKBONE + "ln_f")
    return np.stack(hidden), hidden[-1] @ t[WORDS][:12].T


def test_outputs_equal_the_equations(tiny):
    tokens = tiny.tokenize(random_sequence(60, 1) + "N" + random_sequence(30, 2))
    hidden, logits = by_hand(tokens.ids, json.loads((TINY / "config.json").read_text()))
    found = tiny.forward(tokens, outputs=("logits", "hidden_states"))
    np.testing.assert_allclose(found.hidden_states[0], hidden, rtol=0, atol=5e-5)
    np.testing.assert_allclose(found.logits[0], logits, rtol=0, atol=1e-4)


def test_the_published_shapes():
    small = {
        **json.loads((TINY / "config.json").read_text()),
        **{"d_model": 128, "d_inner": 512, "n_layer": 2, "max_seq_len": 1026, "emb_dim": 3},
        "filter_order": 64,
    }
    long = {**small, "d_model": 256, "d_inner": 1024, "n_layer": 4, "max_seq_len": 32_770, "emb_dim": 5}
    for config, name in ((small, "hyenadna-1k"), (long, "hyenadna-32k")):
        spec = models.registry.PEERS[name]
        with torch.device("meta"):
            network = hyenadna.HyenaNetwork(config)
        learned = {key: p for key, p in network.named_parameters() if not key.endswith("pos_emb.z")}
        assert sum(p.numel() for p in learned.values()) == spec.parameters
        assert (network.layers, network.heads, network.width) == (spec.layers, spec.heads, spec.hidden)
        assert config["max_seq_len"] == spec.max_tokens == spec.max_bp + 2


# One pass


def test_a_base_knows_nothing_of_what_follows(tiny):
    one, other = "ACGTTGCA" * 8, "ACGTTGCA" * 4 + "G" * 32
    states = tiny.forward(
        [tiny.tokenize(text) for text in (one, other)], outputs=("hidden_states",)
    ).hidden_states
    np.testing.assert_allclose(states[0, :, :32], states[1, :, :32], atol=1e-5)
    assert np.abs(states[0, 1:, 33:] - states[1, 1:, 33:]).max() > 0.1


def test_times_of_positions_stay_exact_in_half_precision(tiny):
    half = load(dtype="bfloat16")
    name = BACKBONE + "layers.0.mixer.filter_fn.pos_emb.t"
    for model in (half, half.random_twin()):
        assert torch.equal(model.module.state_dict()[name], tiny.module.state_dict()[name])


def test_tokens_tile_the_sequence():
    tokens = Tokenizer(HYENADNA)("ACGTN")
    assert tokens.strings == ["A", "C", "G", "T", "N", "<sep>"]
    assert tokens.is_special.tolist() == [False] * 5 + [True]
    assert [tokens.token_at(base) for base in range(5)] == [0, 1, 2, 3, 4]
    assert [tokens.bases_of(token) for token in range(5)] == [(i, i + 1) for i in range(5)]
    assert tokens.is_n.tolist() == [False] * 4 + [True, False]
    np.testing.assert_array_equal(tokens.to_bases(np.arange(6)), np.arange(5))
    # The row of a base's code says which base the id is.
    first = HYENADNA.kmer_ids.start
    for code, base in enumerate("ACGT"):
        assert HYENADNA.kmer_base_codes[HYENADNA.id_of(base) - first, 0] == code


# Files


@pytest.mark.parametrize(
    "name", [BACKBONE + "layers.0.mixer.filter_fn.implicit_filter.3.freq", "lm_head.weight"]
)
def test_a_tensor_under_two_names_must_be_one(copy, name):
    with pytest.raises(ValueError, match=rf"{name} of .* must equal .*they differ"):
        load(retensor(copy, lambda tensors: tensors.update({name: tensors[name] + 1})))


def test_what_can_be_computed_may_be_left_out(copy, tiny):
    def bare(tensors):
        for name in list(tensors):
            if name.endswith(("pos_emb.t", "deltas", "3.freq", "5.freq")) or name == "lm_head.weight":
                del tensors[name]

    tokens = tiny.tokenize(random_sequence(60))
    np.testing.assert_array_equal(
        load(retensor(copy, bare)).forward(tokens).logits, tiny.forward(tokens).logits
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hyena_order": 3}, "hyena_order in .* must be 2, as published; got 3"),
        ({"vocab_size": 16}, "vocab_size in .* must be 12, as published; got 16"),
        ({"emb_dim": 4}, "emb_dim in .* must be odd"),
        ({"n_layer": "two"}, "n_layer in .* must be a positive integer; got 'two'"),
    ],
)
def test_other_options_are_refused(copy, changes, message):
    with pytest.raises(ValueError, match=message):
        load(rewrite(copy, **changes))


def test_a_folder_called_as_the_hub_calls_it_is_that_model_with_its_licence(tmp_path):
    named = tmp_path / "hyenadna-tiny-1k-seqlen-hf"
    shutil.copytree(TINY, named)
    found = models.load(named, device="cpu")
    assert (found.name, found.info["licence"]) == ("hyenadna-1k", "BSD-3-Clause")


def test_a_folder_called_as_a_peer_that_holds_something_else_is_refused(tmp_path):
    named = tmp_path / "dnabert-2"
    shutil.copytree(OTHER, named)
    with pytest.raises(ValueError, match="must hold a checkpoint of dnabert-2, as it is called so"):
        models.load(named, device="cpu")


def test_positions_that_were_learned_are_kept(copy, tiny):
    stored = load_file(copy / "model.safetensors")
    name = BACKBONE + "layers.0.mixer.filter_fn.pos_emb.z"
    tokens = tiny.tokenize(random_sequence(80))
    kept = tiny.forward(tokens).logits
    del stored[name]
    save_file(stored, copy / "model.safetensors")
    assert np.abs(load(copy).forward(tokens).logits - kept).max() > 1e-3
