"""Enformer against another implementation, against its equations in loops, and against bad files; its bins against the bases."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peer_files import located, random_sequence, retensor, rewrite
from safetensors.torch import load_file

from ntviz import embeddings, models
from ntviz.models.peers import enformer
from ntviz.models.peers.enformer_layers import Attention, EnformerNetwork, relative_features, tower_widths
from ntviz.tokens import Tokenizer

TINY = Path(__file__).parent / "fixtures" / "enformer_tiny"
OTHER = TINY.parent / "nt_v2_tiny"
PUBLISHED = {
    "dim": 1536,
    "depth": 11,
    "heads": 8,
    "attn_dim_key": 64,
    "num_downsamples": 7,
    "dim_divisible_by": 128,
    "output_heads": {"human": 5313, "mouse": 1643},
}


def load(directory: Path = TINY, **kwargs):
    options = {"device": "cpu", "dtype": "float32"}
    return enformer.load(located(directory), **options | kwargs)


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


def long_sequence() -> str:
    """196,608 bp by the rule in the fixture's README.md."""
    low = np.uint64(0xFFFFFFFF)
    x = np.arange(196_608, dtype=np.uint64) * np.uint64(2654435761) & low
    x = (x ^ (x >> np.uint64(15))) * np.uint64(2246822519) & low
    return np.frombuffer(b"ACGT", dtype="S1")[(x >> np.uint64(20)) & np.uint64(3)].tobytes().decode()


# Parity


def test_outputs_equal_another_implementation(tiny, expected):
    for index, sequence in enumerate(expected["sequences"].tolist()):
        tokens = tiny.tokenize(sequence)
        found = tiny.forward(tokens, outputs=("hidden_states", "attentions"))
        assert found.hidden_states[0].shape == (3, len(tokens), 24)
        for name in ("hidden_states", "attentions"):
            np.testing.assert_allclose(
                getattr(found, name)[0], expected[f"{name}_{index}"], rtol=0, atol=5e-5
            )
        for head in ("human", "mouse"):
            tracks = tiny.tracks(sequence, head)
            np.testing.assert_allclose(tracks[0], expected[f"{head}_{index}"], rtol=0, atol=5e-5)


def test_outputs_equal_the_other_implementation_in_one_batch(tiny, expected):
    batch = [tiny.tokenize(sequence) for sequence in expected["sequences"].tolist()]
    found = tiny.forward(batch, outputs=("hidden_states",))
    for index, tokens in enumerate(batch):
        hidden = found.hidden_states[index]
        np.testing.assert_allclose(hidden[:, : len(tokens)], expected[f"hidden_states_{index}"], atol=5e-5)
        assert not hidden[:, len(tokens) :].any()


def test_the_published_length_and_crop_equal_the_other_implementation(tiny, expected):
    sequence = long_sequence()
    tokens = tiny.tokenize(sequence)
    assert len(tokens) == tiny.max_tokens == 1536
    found = tiny.forward(tokens, outputs=("hidden_states", "attentions"))
    np.testing.assert_allclose(found.hidden_states[0, :, ::64], expected["long_hidden_states"], atol=5e-5)
    np.testing.assert_allclose(found.attentions[0, :, :, ::512, ::16], expected["long_attention"], atol=1e-6)
    for head in ("human", "mouse"):
        tracks = tiny.tracks(sequence, head, crop=896)
        assert tracks.shape[:2] == (1, 896)
        np.testing.assert_allclose(tracks[0, ::64], expected[f"long_{head}"], rtol=0, atol=5e-5)


@pytest.fixture(scope="module")
def block(expected):
    """One attention of width 6 with the published 192 features, and its input."""
    attention = Attention(6, heads=2, key=4, value=3, features=192)
    weights = {name.removeprefix("block."): value for name, value in expected.items() if "block." in name}
    attention.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    i, c = np.arange(1536)[:, None], np.arange(6)
    return attention.eval(), torch.from_numpy(np.sin(0.1 * i * (c + 1) + c).astype(np.float32))[None]


# Both references compute the densities in single precision: features up to 0.003 apart leave so much in values that spread by 4.
@pytest.mark.parametrize(("gamma_over", "apart"), [("features", 1e-3), ("positions", 2e-3)])
def test_attention_with_the_published_features_equals_the_other_implementation(
    block, expected, gamma_over, apart
):
    attention, x = block
    with torch.inference_mode():
        out, maps = attention(x, relative_features(1536, 192, gamma_over=gamma_over), True)
    np.testing.assert_allclose(out[0, ::32].numpy(), expected[f"block_out_{gamma_over}"], rtol=0, atol=apart)
    seen = expected[f"block_attention_{gamma_over}"]
    np.testing.assert_allclose(maps[0, :, ::512, ::8].numpy(), seen, rtol=0, atol=2e-4)
    assert expected[f"block_out_{gamma_over}"].std() > 3


def test_densities_are_those_of_the_original_at_its_length(expected):
    rows = 1535 - expected["gamma_distances"]
    over_positions = relative_features(1536, 192, gamma_over="positions")[rows, 64:96].numpy()
    np.testing.assert_allclose(over_positions, expected["gamma_table"], rtol=0, atol=2.5e-3)
    # Scaled the other way they are of another kind altogether.
    over_features = relative_features(1536, 192, gamma_over="features")[rows, 64:96].numpy()
    assert np.abs(over_features - expected["gamma_table"]).max() > 0.9


# Equations


def features_by_hand(n: int, width: int, over_positions: bool) -> np.ndarray:
    """A distance and a function at a time, with the standard library's logarithms."""
    count = width // 6
    table = np.zeros((2 * n - 1, 3 * count))
    for row in range(2 * n - 1):
        far = abs(row - (n - 1))
        for i in range(count):
            step = i / (count - 1) if count > 1 else 0
            table[row, i] = math.exp(-math.log(2) * far / 2 ** (3 + (math.log2(n) - 3) * step))
            table[row, count + i] = far < 2 ** (i + 1) - 1
            mean = n / count + (n - n / count) * step
            shape, rate = (mean * 2 * count / n) ** 2, mean * (2 * count / n) ** 2
            if far:
                log = (shape - 1) * math.log(far) - rate * far - math.lgamma(shape) + shape * math.log(rate)
                table[row, 2 * count + i] = math.exp(log)
    density = table[:, 2 * count :] + 1e-8
    table[:, 2 * count :] = density / density.max(axis=0 if over_positions else 1, keepdims=True)
    sign = np.sign(np.arange(1 - n, n))[:, None]
    return np.concatenate([table, table * sign], axis=1)


@pytest.mark.parametrize("gamma_over", ["positions", "features"])
@pytest.mark.parametrize(("n", "width"), [(1, 6), (2, 12), (7, 12), (40, 24), (33, 192)])
def test_features_of_distances_equal_the_equations(n, width, gamma_over):
    found = relative_features(n, width, gamma_over=gamma_over)
    assert found.shape == (2 * n - 1, width)
    by_hand = features_by_hand(n, width, gamma_over == "positions")
    np.testing.assert_allclose(found.numpy(), by_hand, rtol=0, atol=1e-6)


def test_attention_equals_the_equations():
    n, width, heads, key, value = 9, 10, 2, 4, 3
    generator = torch.Generator().manual_seed(3)
    attention = Attention(width, heads=heads, key=key, value=value, features=12).double()
    for parameter in attention.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    x = torch.randn(1, n, width, generator=generator, dtype=torch.float64)
    features = relative_features(n, 12, gamma_over="positions").double()
    t = {name: p.numpy() for name, p in attention.state_dict().items()}
    q, k, v = (x[0].numpy() @ t[f"to_{part}.weight"].T for part in "qkv")
    r = features.numpy() @ t["to_rel_k.weight"].T
    maps, mixed = np.zeros((heads, n, n)), np.zeros((n, heads * value))
    for head in range(heads):
        own = slice(head * key, (head + 1) * key)
        content, place = (t[f"rel_{kind}_bias"][0, head, 0] for kind in ("content", "pos"))
        for i in range(n):
            query = q[i, own] / math.sqrt(key)
            scores = [
                (query + content) @ k[j, own] + (query + place) @ r[j - i + n - 1, own] for j in range(n)
            ]
            weights = np.exp(np.array(scores) - max(scores))
            maps[head, i] = weights / weights.sum()
            mixed[i, head * value : (head + 1) * value] = (
                maps[head, i] @ v[:, head * value : (head + 1) * value]
            )
    out = mixed @ t["to_out.weight"].T + t["to_out.bias"]
    with torch.inference_mode():
        plain, seen = attention(x, features, True)
        fused, none = attention(x, features, False)
    assert none is None
    np.testing.assert_allclose(seen[0].numpy(), maps, rtol=0, atol=1e-10)
    np.testing.assert_allclose(plain[0].numpy(), out, rtol=0, atol=1e-10)
    np.testing.assert_allclose(fused[0].numpy(), out, rtol=0, atol=1e-10)


# One pass


def test_maps_are_distributions_and_come_with_the_same_hidden_states(tiny):
    batch = [tiny.tokenize(random_sequence(n, n)) for n in (1500, 3000, 90)]
    plain = tiny.forward(batch, outputs=("hidden_states",))
    assert plain.attentions is None
    assert plain.logits is None
    seen = tiny.forward(batch, outputs=("hidden_states", "attentions"))
    assert tiny.forward(batch, outputs=("attentions",)).hidden_states is None
    np.testing.assert_allclose(seen.hidden_states, plain.hidden_states, rtol=0, atol=2e-5)
    for row, tokens in enumerate(batch):
        n, maps = len(tokens), seen.attentions[row]
        assert maps.shape == (2, 2, 24, 24)
        np.testing.assert_allclose(maps[:, :, :n, :n].sum(-1), 1, atol=1e-5)
        assert not maps[..., n:].any()
        assert not maps[:, :, n:].any()
        assert seen.attention_mask[row].sum() == n


def test_a_sequence_is_alone_in_its_batch(tiny):
    batch = [tiny.tokenize(random_sequence(n, n, "ACGTN")) for n in (700, 1, 2560, 701, 640, 2500)]
    together = tiny.forward(batch, outputs=("hidden_states", "attentions"))
    vectors = tiny.embed(batch, layers=(0, 2), poolings=("mean", "max"))
    for row, tokens in enumerate(batch):
        alone = tiny.forward(tokens, outputs=("hidden_states", "attentions"))
        n = len(tokens)
        np.testing.assert_allclose(together.hidden_states[row, :, :n], alone.hidden_states[0], atol=2e-5)
        np.testing.assert_allclose(together.attentions[row, :, :, :n, :n], alone.attentions[0], atol=1e-5)
        single = tiny.embed([tokens], layers=(0, 2), poolings=("mean", "max"))
        np.testing.assert_allclose(vectors[row], single[0], atol=2e-5)


def test_a_bin_is_filled_up_with_n(tiny):
    sequence = random_sequence(700)
    batch = [tiny.tokenize(text) for text in (sequence, sequence + "N" * 68, sequence + "A" * 68)]
    short, filled, other = tiny.forward(batch, outputs=("hidden_states",)).hidden_states
    np.testing.assert_allclose(short, filled, rtol=0, atol=1e-6)
    assert np.abs(other - filled).max() > 0.01


def test_vectors_are_hidden_states_pooled_over_bins(tiny):
    batch = [tiny.tokenize(random_sequence(n, n)) for n in (1300, 400, 1290)]
    states = tiny.forward(batch, outputs=("hidden_states",)).hidden_states
    found = tiny.embed(batch, layers=(2, 0), poolings=("mean", "max"))
    assert found.shape == (3, 2, 2, 24)
    assert found.dtype == np.float32
    for row, tokens in enumerate(batch):
        for column, layer in enumerate((2, 0)):
            bins = states[row, layer, : len(tokens)]
            np.testing.assert_allclose(found[row, column, 0], bins.mean(0), atol=2e-5)
            np.testing.assert_allclose(found[row, column, 1], bins.max(0), atol=2e-5)
    with pytest.raises(ValueError, match="pooling 'cls' needs a special first token; tiny has none"):
        tiny.embed(batch, layers=(2,), poolings=("cls",))
    with pytest.raises(ValueError, match=r"layers must lie in 0 \(the embedding\) to 2 for tiny; got 3"):
        tiny.embed(batch, layers=(3,))


def test_some_layers(tiny):
    tokens = tiny.tokenize(random_sequence(900))
    whole = tiny.forward(tokens, outputs=("hidden_states",)).hidden_states
    some = tiny.forward(tokens, outputs=("hidden_states",), layers=(2, 0)).hidden_states
    np.testing.assert_array_equal(some, whole[:, [2, 0]])


def test_sequences_are_embedded_like_those_of_any_model(tiny):
    assert isinstance(tiny, models.Embedder)
    texts = [random_sequence(n, n) for n in (300, 900, 300)]
    vectors = embeddings.embed(tiny, texts)
    for row, text in enumerate(texts):
        states = tiny.forward(tiny.tokenize(text), outputs=("hidden_states",)).hidden_states
        np.testing.assert_allclose(vectors.values[row], states[0].mean(1), atol=2e-5)


# Tracks


def test_tracks_are_of_each_head_and_never_negative(tiny):
    texts = [random_sequence(1280, seed) for seed in (0, 1)]
    human, mouse = tiny.tracks(texts), tiny.tracks(texts, "mouse")
    assert human.shape == (2, 10, 5)
    assert mouse.shape == (2, 10, 3)
    assert human.dtype == np.float32
    assert human.min() >= 0
    np.testing.assert_allclose(tiny.tracks(texts[1])[0], human[1], atol=1e-5)


def test_a_crop_keeps_the_middle(tiny):
    texts = [random_sequence(n, n) for n in (1280, 700, 1281)]
    whole = [tiny.tracks(text)[0] for text in texts]
    found = tiny.tracks(texts, crop=4)
    for row, start in enumerate((3, 1, 3)):  # of 10, 6 and 11 bins
        np.testing.assert_allclose(found[row], whole[row][start : start + 4], atol=1e-5)
    np.testing.assert_allclose(tiny.tracks(texts[0], crop=10)[0], whole[0], atol=1e-6)


def test_tracks_refuse_what_they_cannot_give(tiny):
    texts = [random_sequence(n, n) for n in (1280, 700)]
    with pytest.raises(ValueError, match="head must be one of human, mouse for tiny; got 'rat'"):
        tiny.tracks(texts, "rat")
    with pytest.raises(ValueError, match="the same number of bins; received 6 to 10"):
        tiny.tracks(texts)
    for crop in (7, 0, -1):
        with pytest.raises(ValueError, match=f"crop must be 1 to 6 bins; got {crop}"):
            tiny.tracks(texts, crop=crop)
    with pytest.raises(ValueError, match="A batch must hold at least one sequence; received none"):
        tiny.tracks([])


# Bins


@pytest.mark.parametrize("length", [1, 127, 128, 129, 1000])
def test_bins_tile_the_sequence(tiny, length):
    sequence = random_sequence(length, length, "ACGTN")
    tokens = tiny.tokenize(sequence)
    assert "".join(tokens.strings) == sequence
    assert len(tokens) == -(-length // 128)
    assert tokens.spans[0, 0] == 0
    assert tokens.spans[-1, 1] == length
    assert (tokens.spans[1:, 0] == tokens.spans[:-1, 1]).all()
    assert (np.diff(tokens.spans[:-1]) == 128).all()
    assert not tokens.is_special.any()
    assert not tokens.ids.any()
    for base in range(length):
        token = tokens.token_at(base)
        start, end = tokens.bases_of(token)
        assert start <= base < end
        assert token == base // 128
    values = np.arange(len(tokens))
    np.testing.assert_array_equal(tokens.from_bases(tokens.to_bases(values), reduce="max"), values)


def test_bins_know_their_n(tiny):
    tokens = tiny.tokenize("A" * 128 + "N" * 128 + "C" * 127 + "N" + "G" * 5 + "N" * 5)
    assert tokens.is_n.tolist() == [False, True, False, False]
    assert tokens.is_kmer.tolist() == [True, False, False, False]
    assert tiny.tokenize("ACGT" * 32 + "NNN").is_n.tolist() == [False, True]


def test_what_cannot_be_tokenized(tiny):
    for text in ("acgt", "ACGU", "AC GT"):
        with pytest.raises(ValueError, match="upper-case A, C, G, T, N"):
            tiny.tokenize(text)
    with pytest.raises(ValueError, match="at least one base"):
        tiny.tokenize("")
    with pytest.raises(ValueError, match="no frame of k-mers to shift; got phase=1"):
        tiny.tokenize("ACGT", phase=1)
    with pytest.raises(ValueError, match=r"1,536 bins of 128 bp \(196,608 bp\); received 196,609 bp. Narrow"):
        tiny.tokenize("A" * 196_609)


# What the model is


def test_answers_what_is_asked_of_a_model(tiny):
    assert (tiny.layers, tiny.heads, tiny.hidden_size) == (2, 2, 24)
    assert (tiny.max_tokens, tiny.max_bp) == (1536, 196_608)
    assert not tiny.module.training
    assert repr(tiny) == (
        "tiny: 2 layers, 2 heads, width 24, 0.0 M parameters, up to 196,608 bp in bins of 128 bp"
    )
    counted = {
        name: value.numel()
        for name, value in load_file(TINY / "model.safetensors").items()
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    }
    assert tiny.info == {
        "name": "tiny",
        "revision": "local",
        "weights_sha256": tiny.info["weights_sha256"],
        "licence": "none",
        "training": {},
        "parameters": sum(counted.values()),
        "layers": 2,
        "heads": 2,
        "hidden_size": 24,
        "max_tokens": 1536,
        "vocabulary": "enformer-128bp",
        "dtype": "float32",
        "device": "cpu",
        "tracks": {"human": 5, "mouse": 3},
    }
    assert len(tiny.info["weights_sha256"]) == 64
    json.dumps(tiny.info)


def test_refuses_what_it_has_not(tiny):
    tokens = tiny.tokenize("ACGT")
    with pytest.raises(ValueError, match="Logits need a vocabulary; tiny has none.*call `tracks`"):
        tiny.forward(tokens)
    with pytest.raises(ValueError, match="Logits need a vocabulary"):
        tiny.forward(tokens, outputs=("hidden_states",), at=np.array([[0]]))
    with pytest.raises(ValueError, match="tiny reads bases in bins and has no mask token. Put N"):
        _ = tiny.mask_id
    with pytest.raises(
        ValueError, match="outputs must be among logits, hidden_states, attentions; got 'loss'"
    ):
        tiny.forward(tokens, outputs=("loss",))
    with pytest.raises(ValueError, match="layers must lie in 0.*got -1"):
        tiny.forward(tokens, outputs=("hidden_states",), layers=(-1,))
    with pytest.raises(ValueError, match="tiny takes Tokens; got an array"):
        tiny.forward(tokens.ids, outputs=("hidden_states",))
    with pytest.raises(ValueError, match="must be tokenized by enformer-128bp; received nt-v2 at index 1"):
        tiny.embed([tokens, Tokenizer("nt-v2")("ACGT")], layers=(1,))
    with pytest.raises(ValueError, match=r"one-hot bases \[sequence, base, 4\]; got ids of shape \(1, 1\)"):
        tiny.module.states(torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, 1, dtype=torch.bool))


def test_the_published_shape_has_251_million_parameters():
    with torch.device("meta"):
        network = EnformerNetwork(PUBLISHED)
    mouse = sum(p.numel() for name, p in network.named_parameters() if "mouse" in name)
    # Without the mouse head the 246.2 million that others count of the same weights.
    assert sum(p.numel() for p in network.parameters()) - mouse == 246_172_353
    assert mouse == (3072 + 1) * 1643
    assert network.bin == 128
    # Its config.json has no key for it: the weights are those of the original.
    assert network.gamma_over == "positions"
    assert tower_widths(24, 7, 4) == [12, 12, 16, 20, 20, 24]


def test_more_bins_than_usual_can_be_asked_for():
    assert load(max_tokens=3).max_bp == 384
    with pytest.raises(ValueError, match=r"3 bins of 128 bp \(384 bp\); received 385 bp"):
        load(max_tokens=3).tokenize("A" * 385)
    long = load(max_tokens=1600)
    tokens = long.tokenize("A" * 200_000)
    assert len(tokens) == 1563
    assert np.isfinite(long.embed([tokens], layers=(2,))).all()
    with pytest.raises(ValueError, match="up to 1,536 tokens; got 1,563"):
        load().embed([tokens], layers=(2,))
    with pytest.raises(ValueError, match="max_tokens must be at least one bin; got 0"):
        load(max_tokens=0)


def test_half_precision_is_near(tiny):
    half = load(dtype="bfloat16")
    assert half.info["dtype"] == "bfloat16"
    assert next(half.module.parameters()).dtype == torch.bfloat16
    batch = [tiny.tokenize(random_sequence(n, n)) for n in (2000, 640)]
    exact, near = (model.embed(batch, layers=(2,))[:, 0, 0] for model in (tiny, half))
    assert np.isfinite(near).all()
    assert all(np.corrcoef(a, b)[0, 1] > 0.99 for a, b in zip(exact, near, strict=True))
    assert np.isfinite(half.forward(batch, outputs=("attentions",)).attentions).all()
    assert np.isfinite(half.tracks(random_sequence(640))).all()
    with pytest.raises(ValueError, match="dtype must be one of float32, bfloat16, float16; got 'int8'"):
        load(dtype="int8")


# Random twins


def test_a_twin_has_the_shape_and_other_numbers(tiny):
    before = torch.random.get_rng_state()
    one, same, other = tiny.random_twin(1), tiny.random_twin(1), tiny.random_twin(2)
    assert torch.equal(before, torch.random.get_rng_state())
    shapes = [{name: value.shape for name, value in m.module.state_dict().items()} for m in (tiny, one)]
    assert shapes[0] == shapes[1]
    sequence = tiny.tokenize(random_sequence(900))
    vectors = [model.embed([sequence], layers=(2,)) for model in (one, same, other, tiny)]
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert not np.allclose(vectors[0], vectors[2])
    assert not np.allclose(vectors[0], vectors[3])
    assert isinstance(one, enformer.Enformer)
    assert not one.module.training
    assert one.info["weights_sha256"] == "random weights, seed 1"
    assert one.tracks(random_sequence(300)).shape == (1, 3, 5)


def test_fresh_weights_are_as_documented(tiny):
    twin = tiny.random_twin(0)
    for name, value in twin.module.named_parameters():
        if "to_out" in name:
            assert not value.any()
        elif "to_attn_logits" in name:
            assert torch.equal(value[..., 0, 0], 2 * torch.eye(len(value)))
        elif "rel_" in name and name.endswith("bias"):
            assert value.std().item() == pytest.approx(1, abs=0.5)
    # The block's attention adds nothing yet, its feed-forward part does.
    tokens = tiny.tokenize(random_sequence(900))
    first, second = twin.forward(tokens, outputs=("hidden_states",)).hidden_states[0, :2]
    assert np.abs(first - second).max() > 1e-3


# Files


def test_family_by_config():
    assert enformer.fits(json.loads((TINY / "config.json").read_text()))
    assert not enformer.fits(json.loads((OTHER / "config.json").read_text()))
    assert not enformer.fits({"model_type": "enformer", "hidden_size": 1536})


def test_a_pickled_checkpoint_with_the_trunk_is_the_same(copy, tiny):
    """As the published file may be: parts by their own name, by their place in the trunk, or by both."""
    tensors = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    places = {"stem": 1, "conv_tower": 2, "transformer": 4, "final_pointwise": 6}
    for name, value in list(tensors.items()):
        part, _, rest = name.partition(".")
        if part in places:
            tensors[f"_trunk.{places[part]}.{rest}"] = value
    text = random_sequence(600)
    for kept in (tensors, {name: value for name, value in tensors.items() if name.startswith("_")}):
        torch.save(kept, copy / "pytorch_model.bin")
        np.testing.assert_array_equal(load(copy).tracks(text), tiny.tracks(text))
    tensors["_trunk.1.0.bias"] = tensors["_trunk.1.0.bias"] + 1
    torch.save(tensors, copy / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"_trunk.1.0.bias of .* must equal stem.0.bias.*they differ"):
        load(copy)


def test_counters_of_training_steps_are_not_needed(copy, tiny):
    def forget(tensors):
        for name in [name for name in tensors if name.endswith("num_batches_tracked")]:
            del tensors[name]

    text = random_sequence(600)
    np.testing.assert_array_equal(load(retensor(copy, forget)).tracks(text), tiny.tracks(text))


def test_without_its_key_densities_are_the_originals(copy, tiny):
    text = random_sequence(1280)
    original = load(rewrite(copy, use_tf_gamma=None))
    assert original.module.gamma_over == "positions"
    assert tiny.module.gamma_over == "features"
    assert np.abs(original.tracks(text) - tiny.tracks(text)).max() > 1e-3
    stated = load(rewrite(copy, use_tf_gamma=True))
    np.testing.assert_array_equal(stated.tracks(text), original.tracks(text))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.pop("stem.0.bias"), r"it has 1 missing \(stem.0.bias\)"),
        (lambda t: t.pop("conv_tower.1.0.0.running_var"), "1 missing .*running_var"),
        (lambda t: t.update({"stem.9.bias": torch.zeros(1)}), r"1 unknown \(stem.9.bias\)"),
        (lambda t: t.update({"_trunk.5.bias": torch.zeros(1)}), r"1 unknown \(_trunk.5.bias\)"),
        (
            lambda t: t.update({"_heads.human.0.bias": torch.zeros(6)}),
            r"first _heads.human.0.bias: expected \(5,\), got \(6,\)",
        ),
    ],
)
def test_tensors_that_do_not_fit(copy, change, match):
    with pytest.raises(ValueError, match=match):
        load(retensor(copy, change))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"model_type": "esm"}, "must give model_type 'enformer' and num_downsamples; got 'esm'"),
        ({"num_downsamples": None}, "must give model_type 'enformer' and num_downsamples"),
        ({"num_downsamples": 2}, "num_downsamples in .* must be at least 3; got 2"),
        ({"dim": None}, "dim in .* must be a positive integer; got None"),
        ({"depth": 0}, "depth in .* must be a positive integer; got 0"),
        ({"dim": 28}, r"dim in .* must be a multiple of 6 x heads \(12\) and of 2 x dim_divisible_by \(8\); got 28"),
        ({"dim_divisible_by": 5}, r"2 x dim_divisible_by \(10\); got 24"),
        ({"heads": 5}, r"6 x heads \(30\)"),
        ({"output_heads": ["human"]}, r"output_heads in .* a dict from names to numbers of tracks; got \['human'\]"),
        ({"output_heads": {"human": 0}}, "output_heads in .*got {'human': 0}"),
        ({"output_heads": {"a.b": 5}}, "output_heads in .*got {'a.b': 5}"),
        ({"use_convnext": True}, "use_convnext in .* must be false; got True"),
        ({"use_convnext": False, "use_tf_gamma": None}, "use_tf_gamma in .* must be given .*got None"),
        ({"output_heads": {"human": 5}}, "2 unknown"),
        ({"depth": 3}, "missing"),
    ],
)  # fmt: skip
def test_configurations_that_do_not_fit(copy, changes, match):
    with pytest.raises(ValueError, match=match):
        load(rewrite(copy, **changes))


def test_damaged_files(copy):
    with pytest.raises(ValueError, match="must give model_type 'enformer'"):
        load(OTHER)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="must be a whole safetensors file.*download it again"):
        load(copy)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"must hold model\.safetensors or pytorch_model\.bin"):
        load(copy)
    (copy / "config.json").write_text("{")
    with pytest.raises(ValueError, match="must be JSON, but reading it failed"):
        load(copy)
    (copy / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="must be a JSON object; it is a list"):
        load(copy)
    (copy / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="A model directory must hold config.json"):
        load(copy)
