"""Enformer against another implementation, against its equations in loops, and against bad files; its bins against the bases."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from peer_files import fixtures, random_sequence, retensor, rewrite
from safetensors.torch import load_file

from ntviz.models.peers import enformer
from ntviz.models.peers.enformer import Attention, EnformerNetwork, relative_features, tower_widths

TINY = Path(__file__).parent / "fixtures" / "enformer_tiny"
PUBLISHED = {
    "dim": 1536,
    "depth": 11,
    "heads": 8,
    "attn_dim_key": 64,
    "num_downsamples": 7,
    "dim_divisible_by": 128,
    "output_heads": {"human": 5313, "mouse": 1643},
}
load, copy, tiny, expected = fixtures(enformer, TINY)


def long_sequence() -> str:
    """196,608 bp by the rule in the fixture's README.md."""
    low = np.uint64(0xFFFFFFFF)
    x = np.arange(196_608, dtype=np.uint64) * np.uint64(2654435761) & low
    x = (x ^ (x >> np.uint64(15))) * np.uint64(2246822519) & low
    return np.frombuffer(b"ACGT", dtype="S1")[(x >> np.uint64(20)) & np.uint64(3)].tobytes().decode()


# Parity


def test_outputs_equal_another_implementation(tiny, expected):
    batch = [tiny.tokenize(sequence) for sequence in expected["sequences"].tolist()]
    together = tiny.forward(batch, outputs=("hidden_states",)).hidden_states
    for index, (sequence, tokens) in enumerate(zip(expected["sequences"].tolist(), batch, strict=True)):
        n = len(tokens)
        np.testing.assert_allclose(together[index, :, :n], expected[f"hidden_states_{index}"], atol=5e-5)
        assert not together[index, :, n:].any()
        found = tiny.forward(tokens, outputs=("hidden_states", "attentions"))
        assert found.hidden_states[0].shape == (3, len(tokens), 24)
        for name in ("hidden_states", "attentions"):
            np.testing.assert_allclose(
                getattr(found, name)[0], expected[f"{name}_{index}"], rtol=0, atol=5e-5
            )
        for head in ("human", "mouse"):
            tracks = tiny.tracks(sequence, head)
            np.testing.assert_allclose(tracks[0], expected[f"{head}_{index}"], rtol=0, atol=5e-5)


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


def test_a_bin_is_filled_up_with_n(tiny):
    sequence = random_sequence(700)
    batch = [tiny.tokenize(text) for text in (sequence, sequence + "N" * 68, sequence + "A" * 68)]
    short, filled, other = tiny.forward(batch, outputs=("hidden_states",)).hidden_states
    np.testing.assert_allclose(short, filled, rtol=0, atol=1e-6)
    assert np.abs(other - filled).max() > 0.01


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


# What the model is


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
    long = load(max_tokens=1600)
    tokens = long.tokenize("A" * 200_000)
    assert len(tokens) == 1563
    assert np.isfinite(long.embed([tokens], layers=(2,))).all()
    with pytest.raises(ValueError, match=r"up to 1,536 tokens .196,608 bp without N.; got 1,563"):
        load().embed([tokens], layers=(2,))


# Random twins


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
    ("changes", "match"),
    [
        ({"num_downsamples": 2}, "num_downsamples in .* must be at least 3; got 2"),
        ({"dim": None}, "dim in .* must be a positive integer; got None"),
        ({"depth": 0}, "depth in .* must be a positive integer; got 0"),
        ({"dim": 28}, r"dim in .* must be a multiple of 6 x heads \(12\) and of 2 x dim_divisible_by \(8\); got 28"),
        ({"dim_divisible_by": 5}, r"2 x dim_divisible_by \(10\); got 24"),
        ({"heads": 5}, r"6 x heads \(30\)"),
        ({"output_heads": ["human"]}, r"output_heads in .* a dict from names to numbers of tracks; got \['human'\]"),
        ({"output_heads": {"human": 0}}, "output_heads in .*got {'human': 0}"),
        ({"output_heads": {"a.b": 5}}, "output_heads in .*got {'a.b': 5}"),
        ({"use_convnext": True}, "use_convnext in .* must be False, as published; got True"),
        ({"use_convnext": False, "use_tf_gamma": None}, "use_tf_gamma in .* must be given .*got None"),
        ({"output_heads": {"human": 5}}, "2 unknown"),
        ({"depth": 3}, "missing"),
    ],
)  # fmt: skip
def test_configurations_that_do_not_fit(copy, changes, match):
    with pytest.raises(ValueError, match=match):
        load(rewrite(copy, **changes))
