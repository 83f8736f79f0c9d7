"""Enformer: the published length, features and tracks against another implementation, its bins against the bases, its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from peer_files import FIXTURES, copied, random_sequence, rewrite
from safetensors.torch import load_file

from ntviz import models
from ntviz.models.peers.enformer import Attention, relative_features, tower_widths

TINY = FIXTURES / "enformer_tiny"


def load(directory: Path = TINY, **options):
    return models.load(directory, device="cpu", **options)


@pytest.fixture(scope="module")
def tiny():
    return load()


@pytest.fixture(scope="module")
def expected():
    with np.load(TINY / "expected.npz") as stored:
        return dict(stored)


def long_sequence() -> str:
    """196,608 bp by the rule in the fixture's README.md."""
    low = np.uint64(0xFFFFFFFF)
    x = np.arange(196_608, dtype=np.uint64) * np.uint64(2654435761) & low
    x = (x ^ (x >> np.uint64(15))) * np.uint64(2246822519) & low
    return np.frombuffer(b"ACGT", dtype="S1")[(x >> np.uint64(20)) & np.uint64(3)].tobytes().decode()


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
def test_attention_with_the_published_features_equals_the_other_implementation(block, expected, gamma_over, apart):
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


def test_a_bin_is_filled_up_with_n(tiny):
    sequence = random_sequence(700)
    batch = [tiny.tokenize(text) for text in (sequence, sequence + "N" * 68, sequence + "A" * 68)]
    short, filled, other = tiny.forward(batch, outputs=("hidden_states",)).hidden_states
    np.testing.assert_allclose(short, filled, rtol=0, atol=1e-6)
    assert np.abs(other - filled).max() > 0.01
    states = tiny.forward([batch[0], tiny.tokenize("ACGT")], outputs=("hidden_states",)).hidden_states
    assert states[0, :, 5].any()
    assert not states[1, :, 1:].any()  # padding


def test_tracks_are_of_each_head_and_never_negative(tiny, expected):
    for index, sequence in enumerate(expected["sequences"].tolist()):
        for head in ("human", "mouse"):
            right = expected[f"{head}_{index}"]
            np.testing.assert_allclose(tiny.tracks(sequence, head)[0], right, rtol=0, atol=5e-5)
    texts = [random_sequence(1280, seed) for seed in (0, 1)]
    human, mouse = tiny.tracks(texts), tiny.tracks(texts, "mouse")
    assert (human.shape, mouse.shape, human.dtype) == ((2, 10, 5), (2, 10, 3), np.float32)
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
    with pytest.raises(ValueError, match="head must be one of human, mouse for .*tiny; got 'rat'"):
        tiny.tracks(texts, "rat")
    with pytest.raises(ValueError, match="the same number of bins, or .*; received 6 to 10"):
        tiny.tracks(texts)
    for crop in (7, 0, -1):
        with pytest.raises(ValueError, match=f"crop must be 1 to 6 bins; got {crop}"):
            tiny.tracks(texts, crop=crop)
    with pytest.raises(ValueError, match="A batch must hold at least one sequence; received none"):
        tiny.tracks([])


@pytest.mark.parametrize("length", [1, 127, 128, 129, 1000])
def test_bins_tile_the_sequence(tiny, length):
    sequence = random_sequence(length, length, "ACGTN")
    tokens = tiny.tokenize(sequence)
    assert "".join(tokens.strings) == sequence
    assert len(tokens) == -(-length // 128)
    assert (tokens.spans[0, 0], tokens.spans[-1, 1]) == (0, length)
    assert (tokens.spans[1:, 0] == tokens.spans[:-1, 1]).all()
    assert (np.diff(tokens.spans[:-1]) == 128).all()
    assert not (tokens.is_special.any() or tokens.ids.any())
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
    assert tower_widths(24, 7, 4) == [12, 12, 16, 20, 20, 24]


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


def test_a_pickled_checkpoint_with_the_trunk_is_the_same(tmp_path, tiny):
    """As the published file may be: parts by their own name, by their place in the trunk, or by both."""
    copy = copied("enformer", tmp_path)
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


def test_without_its_key_densities_are_the_originals(tmp_path, tiny):
    copy = copied("enformer", tmp_path)
    text = random_sequence(1280)
    original = load(rewrite(copy, use_tf_gamma=None))
    assert original.module.gamma_over == "positions"
    assert tiny.module.gamma_over == "features"
    assert np.abs(original.tracks(text) - tiny.tracks(text)).max() > 1e-3
    stated = load(rewrite(copy, use_tf_gamma=True))
    np.testing.assert_array_equal(stated.tracks(text), original.tracks(text))
