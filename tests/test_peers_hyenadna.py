"""HyenaDNA against another implementation, against its equations in loops, and against bad files."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peer_files import located, random_sequence, retensor, rewrite
from safetensors.torch import load_file, save_file

from ntviz import embeddings, models
from ntviz.models.peers import hyenadna
from ntviz.tokens.characters import HYENADNA, CharacterTokenizer

TINY = Path(__file__).parent / "fixtures" / "hyenadna_tiny"
OTHER = TINY.parent / "nt_v2_tiny"
BACKBONE = "hyena.backbone."
WORDS = BACKBONE + "embeddings.word_embeddings.weight"


def load(directory: Path = TINY, *, dtype: str = "float32", max_tokens: int | None = None):
    return hyenadna.load(
        located(directory),
        device="cpu",
        dtype=dtype,
        max_tokens=max_tokens,
    )


@pytest.fixture(scope="module")
def tiny():
    return load()


@pytest.fixture(scope="module")
def expected():
    with np.load(TINY / "expected.npz") as stored:
        return dict(stored)


@pytest.fixture
def copy(tmp_path):
    target = tmp_path / "checkpoint"
    shutil.copytree(TINY, target)
    return target


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


def test_vectors_are_hidden_states_pooled_over_bases(tiny):
    batch = [tiny.tokenize(random_sequence(n, n)) for n in (50, 120, 1)]
    states = tiny.forward(batch, outputs=("hidden_states",)).hidden_states
    found = tiny.embed(batch, layers=(2, 0), poolings=("mean", "max"))
    assert found.shape == (3, 2, 2, 12)
    for row, tokens in enumerate(batch):
        single = tiny.embed([tokens], layers=(2, 0), poolings=("mean", "max"))
        np.testing.assert_allclose(found[row], single[0], atol=1e-5)
        for column, layer in enumerate((2, 0)):
            bases = states[row, layer, : len(tokens) - 1]  # neither <sep> nor padding
            np.testing.assert_allclose(found[row, column, 0], bases.mean(0), atol=1e-5)
            np.testing.assert_allclose(found[row, column, 1], bases.max(0), atol=1e-5)
    with pytest.raises(ValueError, match="cls"):
        tiny.embed(batch, layers=(2,), poolings=("cls",))


def test_it_says_that_it_has_no_attention_and_no_mask(tiny):
    assert (tiny.layers, tiny.heads, tiny.hidden_size) == (2, 0, 12)
    assert "no attention" in repr(tiny)
    with pytest.raises(ValueError, match=r"tiny has no attention: .*Ask for hidden_states"):
        tiny.forward(tiny.tokenize("ACGT"), outputs=("attentions",))
    with pytest.raises(ValueError, match=r"reads both sides; tiny says the next base"):
        _ = tiny.mask_id


def test_half_precision_is_near(tiny):
    half = load(dtype="bfloat16")
    name = BACKBONE + "layers.0.mixer.filter_fn.pos_emb.t"
    for model in (half, half.random_twin()):
        assert torch.equal(model.module.state_dict()[name], tiny.module.state_dict()[name])
    batch = [tiny.tokenize(random_sequence(n, n)) for n in (100, 40)]
    exact, near = (model.embed(batch, layers=(1,))[:, 0, 0] for model in (tiny, half))
    assert all(np.corrcoef(a, b)[0, 1] > 0.99 for a, b in zip(exact, near, strict=True))


def test_limits(tiny):
    assert (tiny.max_tokens, tiny.max_bp) == (130, 128)
    assert len(tiny.tokenize("N" * 129)) == 130
    with pytest.raises(ValueError, match=r"fit into 130 tokens \(129 bp and <sep>\); received 130 bp"):
        tiny.tokenize("N" * 130)
    with pytest.raises(ValueError, match="received 'g' at position 3"):
        tiny.tokenize("ACgT")
    assert load(max_tokens=64).max_bp == 62
    with pytest.raises(ValueError, match=r"max_tokens must be 3 to 130.*got 131"):
        load(max_tokens=131)


def test_tokens_tile_the_sequence():
    tokens = CharacterTokenizer()("ACGTN")
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


# Random twins


def test_a_twin_has_the_shape_and_other_numbers(tiny):
    before = torch.random.get_rng_state()
    one, same, other = tiny.random_twin(1), tiny.random_twin(1), tiny.random_twin(2)
    assert torch.equal(before, torch.random.get_rng_state())
    assert isinstance(one, hyenadna.HyenaDNA)
    shapes = [{name: value.shape for name, value in m.module.state_dict().items()} for m in (tiny, one)]
    assert shapes[0] == shapes[1]
    sequence = tiny.tokenize(random_sequence(90))
    vectors = [model.embed([sequence], layers=(2,)) for model in (one, same, other, tiny)]
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert not np.allclose(vectors[0], vectors[2])
    assert not np.allclose(vectors[0], vectors[3])
    # What is computed and not learned is as published: time from 0 to 1.
    assert one.module.state_dict()[BACKBONE + "layers.0.mixer.filter_fn.pos_emb.t"][0, -1, 0] == 1


# Files


def test_what_can_be_computed_may_be_left_out(copy, tiny):
    def bare(tensors):
        for name in list(tensors):
            if name.endswith(("pos_emb.t", "deltas", "3.freq", "5.freq")) or name == "lm_head.weight":
                del tensors[name]

    tokens = tiny.tokenize(random_sequence(60))
    np.testing.assert_array_equal(
        load(retensor(copy, bare)).forward(tokens).logits, tiny.forward(tokens).logits
    )


def test_missing_unknown_misshapen_and_untied_tensors_are_refused(copy, tmp_path):
    name = BACKBONE + "layers.1.mlp.fc1.bias"
    own = BACKBONE + "layers.0.mixer.filter_fn.implicit_filter."
    cases = {
        "1 missing .*layers.1.mlp.fc1.bias": lambda tensors: tensors.pop(name),
        "1 unknown .*extra.weight": lambda tensors: tensors.update({"extra.weight": torch.zeros(2)}),
        r"fc1.bias: expected \(48,\), got \(47,\)": lambda tensors: tensors.update(
            {name: tensors[name][1:].clone()}
        ),
        "3.freq must equal .*they differ": lambda tensors: tensors.update(
            {own + "3.freq": tensors[own + "3.freq"] + 1}
        ),
        "lm_head.weight must equal .*they differ": lambda tensors: tensors.update(
            {"lm_head.weight": tensors[WORDS] + 1}
        ),
    }
    for number, (message, change) in enumerate(cases.items()):
        target = tmp_path / str(number)
        shutil.copytree(copy, target)
        with pytest.raises(ValueError, match=message):
            load(retensor(target, change))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hyena_order": 3}, "hyena_order in .* must be 2, as published; got 3"),
        ({"vocab_size": 16}, "vocab_size in .* must be 12, as published; got 16"),
        ({"emb_dim": 4}, "emb_dim in .* must be odd"),
        ({"n_layer": "two"}, "n_layer in .* must be a positive integer; got 'two'"),
        ({"model_type": "esm"}, "must give model_type 'hyenadna' and d_model; got 'esm'"),
    ],
)
def test_other_options_are_refused(copy, changes, message):
    with pytest.raises(ValueError, match=message):
        load(rewrite(copy, **changes))


def test_truncated_and_foreign_files_are_refused(copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="truncated or corrupt"):
        load(copy)
    with pytest.raises(ValueError, match="must give model_type 'hyenadna'"):
        load(OTHER)
    (copy / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="must be a JSON object; it is a list"):
        load(copy)


def test_it_is_found_by_its_config_and_embedded(tmp_path):
    model = models.load(TINY, device="cpu")
    assert model.name == "hyenadna_tiny"
    assert isinstance(model, models.Embedder)
    assert embeddings.embed(model, ["ACGT" * 10, "ACGTN"]).values.shape == (2, 3, 12)
    # A folder that is called as the hub calls it is that model, with its licence.
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
