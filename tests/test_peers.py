"""Peers, each loaded by its config.json at the front door: parity, batches, vectors, random weights, limits, bad files."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from peer_files import FIXTURES, copied, random_sequence, refused, retensor, rewrite, write_bpnet, write_spliceai
from safetensors.torch import load_file

from ntviz import embeddings, models
from ntviz.models import peers
from ntviz.models.peers import dnabert2, enformer, hyenadna, spliceai
from ntviz.models.peers.peer import Peer
from ntviz.tokens import Tokenizer
from ntviz.tokens.vocabulary import HYENADNA

WORDS = "bert.embeddings.word_embeddings.weight"
FILTER = "hyena.backbone.layers.0.mixer.filter_fn."


class Kind(NamedTuple):
    shape: tuple[int, int, int, int, int]  # layers, heads, width, most tokens, most bp
    lengths: tuple[int, ...]
    tensor: str  # the name of one of its tensors
    least: int = 1


KINDS = {
    "dnabert2": Kind((2, 12, 36, 512, 510), (50, 300, 1), "bert.encoder.layer.1.mlp.wo.bias", 3),
    "hyenadna": Kind((2, 0, 12, 130, 128), (50, 120, 1), "hyena.backbone.layers.1.mlp.fc1.bias", 3),
    "enformer": Kind((2, 2, 24, 1536, 196_608), (700, 2560, 1, 701), "conv_tower.1.0.0.running_var"),
    "bpnet": Kind((3, 0, 6, 2114, 2114), (90, 30, 1), "rconvs.1.bias"),
    "spliceai": Kind((16, 0, 32, 100_000, 100_000), (40, 7), "networks.0.blocks.3.first.norm.running_mean"),
}


@pytest.fixture(scope="session", params=KINDS)
def peer(request, tmp_path_factory) -> tuple[str, Path, Peer]:
    """A family, a tiny checkpoint of it, and the model."""
    name = request.param
    written = {"bpnet": write_bpnet, "spliceai": write_spliceai}
    made = written[name](tmp_path_factory.mktemp(name) / "tiny") if name in written else None
    directory = made or FIXTURES / f"{name}_tiny"
    return name, directory, models.load(directory, device="cpu")


@pytest.fixture
def tiny(request):
    return models.load(FIXTURES / f"{request.param}_tiny", device="cpu")


def test_it_is_found_by_its_config_and_says_what_it_is(peer):
    name, directory, model = peer
    family = peers.family(directory)
    assert peers.family(FIXTURES / "nt_v2_tiny") is peers.family(FIXTURES) is None
    assert family.__name__ == f"ntviz.models.peers.{name}"
    assert isinstance(model, Peer) and isinstance(model, models.Embedder)
    layers, heads, width, max_tokens, max_bp = KINDS[name].shape
    assert (model.layers, model.heads, model.hidden_size, model.max_tokens, model.max_bp) == KINDS[name].shape
    assert not model.module.training
    stored = load_file(directory / "model.safetensors")
    learned = {key for key, _ in model.module.named_parameters()}
    assert model.info == json.loads(json.dumps(model.info))
    assert model.info == {
        "name": directory.name, "revision": "local", "weights_sha256": model.info["weights_sha256"], "licence": "not stated",
        "training": {}, "parameters": sum(v.numel() for key, v in stored.items() if key in learned), "layers": layers,
        "heads": heads, "hidden_size": width, "max_tokens": max_tokens, "vocabulary": model.tokenizer.vocabulary.name,
        "dtype": "float32", "device": "cpu", "origin": f"folder {directory}",
    } | ({"tracks": {"human": 5, "mouse": 3}} if name == "enformer" else {})  # fmt: skip
    assert len(model.info["weights_sha256"]) == 64
    attention = f"{layers} layers x {heads} heads" if heads else f"{layers} layers, no attention"
    assert f"{attention}, width {width}, " in repr(model)
    assert f"up to {max_tokens:,} tokens ({max_bp:,} bp)" in repr(model)


def test_a_sequence_is_alone_in_its_batch_and_vectors_are_its_pooled_states(peer):
    name, _, model = peer
    texts = [random_sequence(n, n, "ACGTN") for n in KINDS[name].lengths]
    batch = [model.tokenize(text) for text in texts]
    chosen, poolings = (model.layers, 0), ("mean", "max")
    together = model.forward(batch, outputs=("hidden_states",), layers=chosen).hidden_states
    vectors = model.embed(batch, layers=chosen, poolings=poolings)
    assert vectors.dtype == np.float32
    for row, tokens in enumerate(batch):
        alone = model.forward(tokens, outputs=("hidden_states",)).hidden_states[0]
        np.testing.assert_allclose(together[row, :, : len(tokens)], alone[list(chosen)], atol=1e-4)
        covering = alone[list(chosen)][:, ~tokens.is_special]
        np.testing.assert_allclose(vectors[row, :, 0], covering.mean(1), atol=5e-5)
        np.testing.assert_allclose(vectors[row, :, 1], covering.max(1), atol=5e-5)
    embedded = embeddings.embed(model, texts, layers=[0]).values
    np.testing.assert_allclose(embedded[:, 0], vectors[:, 1, 0], atol=1e-5)
    if name == "dnabert2":
        states = model.forward(batch[:1], outputs=("hidden_states",)).hidden_states
        first = model.embed(batch[:1], layers=(2,), poolings=("cls",))
        np.testing.assert_allclose(first[0, 0, 0], states[0, 2, 0], atol=1e-5)
    else:
        with pytest.raises(ValueError, match=f"pooling 'cls' needs a special first token; {model.name} has"):
            model.embed(batch, layers=(0,), poolings=("cls",))


def test_a_twin_has_the_shape_and_other_numbers(peer):
    name, _, model = peer
    before = torch.random.get_rng_state()
    one, same, other = model.random_twin(1), model.random_twin(1), model.random_twin(2)
    assert torch.equal(before, torch.random.get_rng_state())
    shapes = [{key: value.shape for key, value in m.module.state_dict().items()} for m in (model, one)]
    assert shapes[0] == shapes[1]
    assert type(one) is type(model)
    assert not one.module.training
    assert one.info["weights_sha256"] == "random weights, seed 1"
    sequence = model.tokenize(random_sequence(KINDS[name].lengths[0]))
    vectors = [m.embed([sequence], layers=(1,)) for m in (one, same, other, model)]
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert not any(np.allclose(vectors[0], different) for different in vectors[2:])


def test_half_precision_is_near(peer):
    name, directory, model = peer
    half = models.load(directory, device="cpu", dtype="bfloat16")
    assert half.info["dtype"] == "bfloat16"
    assert next(half.module.parameters()).dtype == torch.bfloat16
    batch = [model.tokenize(random_sequence(n, n)) for n in KINDS[name].lengths[:2]]
    exact, near = (m.embed(batch, layers=(1,))[:, 0, 0] for m in (model, half))
    assert all(np.corrcoef(a, b)[0, 1] > 0.99 for a, b in zip(exact, near, strict=True))
    if model.heads:
        assert np.isfinite(half.forward(batch, outputs=("attentions",)).attentions).all()


def test_tensors_that_do_not_fit_or_are_not_finite_are_refused(peer, tmp_path):
    name, copy = KINDS[peer[0]].tensor, shutil.copytree(peer[1], tmp_path / "copy")
    shape = tuple(load_file(copy / "model.safetensors")[name].shape)
    cases = {
        rf"it has 1 missing \({name}\)\. Nothing": lambda t: t.pop(name),
        r"it has 1 unknown \(extra\.weight\)\. Nothing": lambda t: t.update({"extra.weight": torch.zeros(2)}),
        rf"1 tensors of .* first {name}: expected \({shape[0]},\), got \({shape[0] - 1},\)": lambda t: t.update(
            {name: t[name][1:].clone()}
        ),
        rf"1 quantised \({name}\)": lambda t: t.update({name: t[name].to(torch.int8)}),
        rf"nan or infinity, first {name}: training diverged": lambda t: t[name][1:2].fill_(torch.nan),
        rf"hold nan or infinity, first {name}": lambda t: t[name][1:2].fill_(torch.inf),
    }
    whole = (copy / "model.safetensors").read_bytes()
    for message, change in cases.items():
        (copy / "model.safetensors").write_bytes(whole)
        refused(retensor(copy, change), message)
    (copy / "model.safetensors").write_bytes(whole[:-1000])
    refused(copy, "must be a whole file of tensors.*truncated or corrupt: download it")


def test_limits(peer):
    name, directory, model = peer
    least = KINDS[name].least
    refused(directory, rf"must be at least {least}\D.*got {least - 1}\. Leave", max_tokens=least - 1)
    short = models.load(directory, device="cpu", max_tokens=3)
    assert len(short.tokenize("N" * short.max_bp)) <= 3
    too_long = "N" * (3 * model.tokenizer.vocabulary.k + 1)
    with pytest.raises(ValueError, match=r"fit into 3 tokens \(\d+ bp at \d+ bp a token\); received \d tok"):
        short.tokenize(too_long)
    with pytest.raises(ValueError, match="tiny takes up to 3 tokens .* without N.; got"):
        short.embed([model.tokenize(too_long)], layers=(0,))


def test_what_it_has_not_is_said(peer):
    name, _, model = peer
    tokens = model.tokenize("ACGT")
    states = ("hidden_states",)
    asked = {
        r"layers must lie in 0 .*; got -1": lambda: model.forward(tokens, outputs=states, layers=(-1,)),
        r"tokenized by .*; received nt-v2 at index 1": lambda: model.embed([tokens, Tokenizer("nt-v2")("A")], layers=(1,)),
        "A batch must hold at least one sequence; received none": lambda: model.embed([], layers=(1,)),
        "phase": lambda: model.tokenize("ACGT", phase=1),
        "received 'g' at position 3": lambda: model.tokenize("ACgT"),
    }  # fmt: skip
    if name not in ("dnabert2", "hyenadna"):
        asked["Logits need a vocabulary; .* none, it predicts .*: call `"] = lambda: model.forward(tokens)
        asked["Logits need a vocabulary"] = lambda: model.forward(tokens, at=np.array([[0]]), outputs=states)
    if name != "dnabert2":
        asked["tiny has no mask token: "] = lambda: model.mask_id
    if not model.heads:
        asked["tiny has no attention"] = lambda: model.forward(tokens, outputs=("attentions",))
    for message, ask in asked.items():
        with pytest.raises(ValueError, match=message):
            ask()


def test_ids_are_read_as_tokens_are_where_they_say_the_bases(peer):
    name, _, model = peer
    tokens = model.tokenize("ACGTTGCA")
    if name == "enformer":
        with pytest.raises(ValueError, match="tiny takes Tokens; got an array"):
            model.forward(tokens.ids, outputs=("hidden_states",))
        return
    one, other = (model.forward(given, outputs=("hidden_states",)) for given in (tokens, tokens.ids))
    np.testing.assert_array_equal(one.hidden_states, other.hidden_states)


def test_maps_are_distributions_and_come_with_the_same_hidden_states(peer):
    name, _, model = peer
    if not model.heads:
        return
    batch = [model.tokenize(random_sequence(n, n)) for n in KINDS[name].lengths]
    plain = model.forward(batch, outputs=("hidden_states",))
    assert plain.attentions is None
    assert plain.logits is None
    seen = model.forward(batch, outputs=("hidden_states", "attentions"))
    assert model.forward(batch[2], outputs=("attentions",)).hidden_states is None
    for row, tokens in enumerate(batch):
        n, maps = len(tokens), seen.attentions[row]
        assert maps.shape == (2, model.heads, *[max(map(len, batch))] * 2)
        np.testing.assert_allclose(maps[:, :, :n].sum(-1), 1, atol=1e-5)
        assert not maps[..., n:].any()
        assert seen.attention_mask[row].sum() == n
        np.testing.assert_allclose(seen.hidden_states[row, :, :n], plain.hidden_states[row, :, :n], atol=2e-5)


# Parity and published shapes


@pytest.mark.parametrize("tiny", ["dnabert2", "hyenadna", "enformer"], indirect=True)
def test_outputs_equal_another_implementation(tiny):
    with np.load(FIXTURES / tiny.name / "expected.npz") as stored:
        expected = dict(stored)
    batch = [tiny.tokenize(sequence) for sequence in expected["sequences"].tolist()]
    outputs = [name for name in models.OUTPUTS if f"{name}_0" in expected]
    together = tiny.forward(batch, outputs=[name for name in outputs if name != "attentions"])
    for index, tokens in enumerate(batch):
        np.testing.assert_array_equal(tokens.ids, expected.get(f"ids_{index}", tokens.ids))
        alone, n = tiny.forward(tokens, outputs=outputs), len(tokens)
        for name in outputs:
            if f"{name}_{index}" in expected:
                right = expected[f"{name}_{index}"]
                assert getattr(alone, name)[0].shape == right.shape
                np.testing.assert_allclose(getattr(alone, name)[0], right, rtol=0, atol=5e-5)
                if name != "attentions":
                    padded = getattr(together, name)[index]
                    np.testing.assert_allclose(padded[..., :n, :], right, atol=5e-5)


HYENA = {"d_model": 128, "d_inner": 512, "n_layer": 2, "max_seq_len": 1026, "emb_dim": 3, "filter_order": 64}
PUBLISHED = {
    "dnabert-2": (
        dnabert2.DNABERT2, {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "vocab_size": 4096},
    ),
    "hyenadna-1k": (hyenadna.HyenaNetwork, HYENA),
    "hyenadna-32k": (
        hyenadna.HyenaNetwork,
        HYENA | {"d_model": 256, "d_inner": 1024, "n_layer": 4, "max_seq_len": 32_770, "emb_dim": 5},
    ),
    "enformer": (
        enformer.EnformerNetwork,
        {"dim": 1536, "depth": 11, "heads": 8, "attn_dim_key": 64, "dim_divisible_by": 128, "output_heads": {"human": 5313, "mouse": 1643}},
    ),
    "ci-spliceai": (spliceai.SpliceEnsemble, {"networks": 5}),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_shapes_have_the_published_number_of_parameters(name):
    network, changes = PUBLISHED[name]
    family, spec = network.__module__.rpartition(".")[2], models.registry.PEERS[name]
    path = FIXTURES / f"{family}_tiny" / "config.json"
    config = (json.loads(path.read_text()) if path.is_file() else {}) | changes
    with torch.device("meta"):
        made = network(config)
    learned = {key: p.numel() for key, p in made.named_parameters() if not key.endswith("pos_emb.z")}
    assert sum(learned.values()) == spec.parameters
    assert (made.layers, made.heads, made.width) == (spec.layers, spec.heads, spec.hidden)
    if name == "enformer":
        # Others count the same weights without the mouse head.
        assert sum(n for key, n in learned.items() if "mouse" not in key) == 246_172_353
        assert made.bin == 128
    if family == "hyenadna":
        assert config["max_seq_len"] == spec.max_tokens == spec.max_bp + 2


@pytest.mark.parametrize(
    ("tiny", "taken", "text"), [("dnabert2", 600, "N" * 598), ("enformer", 1600, "A" * 200_000)], indirect=["tiny"]
)
def test_more_tokens_than_usual_can_be_asked_for(tiny, taken, text):
    long = models.load(FIXTURES / tiny.name, device="cpu", max_tokens=taken)
    assert long.max_tokens == taken
    tokens = long.tokenize(text)
    assert np.isfinite(long.embed([tokens], layers=(2,))).all()
    with pytest.raises(ValueError, match=r"takes up to .* tokens .* bp without N.; got"):
        tiny.embed([tokens], layers=(2,))


# Files


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("dnabert2", {"hidden_act": "silu"}, "hidden_act in .* must be 'gelu', as published; got 'silu'"),
        ("dnabert2", {"type_vocab_size": 1}, "type_vocab_size in .* must be 2, as published; got 1"),
        ("dnabert2", {"is_decoder": True}, "is_decoder in .* must be False, as published; got True"),
        ("dnabert2", {"num_attention_heads": 7}, "hidden_size in .* must be a multiple of the 7 heads; got 36"),
        ("dnabert2", {"vocab_size": 4096}, "vocab_size in .* must be the 200 words of tokenizer.json; got 4096"),
        ("dnabert2", {"hidden_size": None}, "hidden_size in .* must be a positive integer; got None"),
        ("hyenadna", {"hyena_order": 3}, "hyena_order in .* must be 2, as published; got 3"),
        ("hyenadna", {"vocab_size": 16}, "vocab_size in .* must be 12, as published; got 16"),
        ("hyenadna", {"emb_dim": 4}, "emb_dim in .* must be odd"),
        ("hyenadna", {"n_layer": "two"}, "n_layer in .* must be a positive integer; got 'two'"),
        ("enformer", {"num_downsamples": 2}, "num_downsamples in .* must be at least 3; got 2"),
        ("enformer", {"depth": 0}, "depth in .* must be a positive integer; got 0"),
        ("enformer", {"dim": 28}, r"dim in .* multiple of 6 x heads \(12\) and of 2 x dim_divisible_by \(8\); got 28"),
        ("enformer", {"dim_divisible_by": 5}, r"2 x dim_divisible_by \(10\); got 24"),
        ("enformer", {"heads": 5}, r"6 x heads \(30\)"),
        ("enformer", {"output_heads": ["human"]}, r"output_heads in .* a dict from names .*; got \['human'\]"),
        ("enformer", {"output_heads": {"human": 0}}, "output_heads in .*got {'human': 0}"),
        ("enformer", {"output_heads": {"a.b": 5}}, "output_heads in .*got {'a.b': 5}"),
        ("enformer", {"use_convnext": True}, "use_convnext in .* must be False, as published; got True"),
        ("enformer", {"use_convnext": False, "use_tf_gamma": None}, "use_tf_gamma in .* must be given .*got None"),
        ("enformer", {"output_heads": {"human": 5}}, "2 unknown"),
        ("enformer", {"depth": 3}, "missing"),
    ],
)
def test_other_configurations_are_refused(family, changes, message, tmp_path):
    refused(rewrite(copied(family, tmp_path), **changes), message)


@pytest.mark.parametrize(
    ("family", "name", "own"),
    [
        ("dnabert2", "cls.predictions.decoder.weight", WORDS),
        ("hyenadna", FILTER + "implicit_filter.3.freq", FILTER + "implicit_filter.1.freq"),
        ("hyenadna", "lm_head.weight", "hyena.backbone.embeddings.word_embeddings.weight"),
        ("enformer", "_trunk.1.0.bias", "stem.0.bias"),
    ],
)
def test_a_tensor_under_two_names_must_be_one(family, name, own, tmp_path):
    directory = copied(family, tmp_path)
    model = models.load(FIXTURES / f"{family}_tiny", device="cpu")
    tokens = model.tokenize(random_sequence(60))
    retensor(directory, lambda t: t.update({name: t[own].clone()}))
    vectors = (one.embed([tokens], layers=(2,)) for one in (models.load(directory, device="cpu"), model))
    np.testing.assert_array_equal(*vectors)
    retensor(directory, lambda t: t.update({name: t[own] + 1}))
    refused(directory, rf"{name} of .* must equal {own}.*they differ")


LEFT_OUT = {
    "hyenadna": ("pos_emb.t", "deltas", "3.freq", "5.freq", "lm_head.weight"),
    "enformer": ("num_batches_tracked",),
}


@pytest.mark.parametrize("family", LEFT_OUT)
def test_what_can_be_computed_or_is_not_read_may_be_left_out(family, tmp_path):
    def bare(tensors):
        for name in [name for name in tensors if name.endswith(LEFT_OUT[family])]:
            del tensors[name]

    directories = FIXTURES / f"{family}_tiny", retensor(copied(family, tmp_path), bare)
    one, other = (models.load(directory, device="cpu") for directory in directories)
    tokens = one.tokenize(random_sequence(60))
    np.testing.assert_array_equal(one.embed([tokens], layers=(2,)), other.embed([tokens], layers=(2,)))


def test_a_folder_called_as_a_peer_is_that_model_or_refused(tmp_path):
    named = shutil.copytree(FIXTURES / "hyenadna_tiny", tmp_path / "hyenadna-tiny-1k-seqlen-hf")
    hyena = models.load(named, device="cpu")
    assert (hyena.name, hyena.info["licence"]) == ("hyenadna-1k", "BSD-3-Clause")
    named = shutil.copytree(FIXTURES / "nt_v2_tiny", tmp_path / "dnabert-2")
    refused(named, "must hold a checkpoint of dnabert-2, as it is called so")


# DNABERT-2


@pytest.mark.parametrize("tiny", ["dnabert2"], indirect=True)
def test_a_change_far_away_is_felt_less(tiny):
    """Biases by distance weigh near tokens more: that is all the model knows of positions."""
    slopes = np.array(dnabert2.slopes(12))
    np.testing.assert_allclose(slopes, [0.5**i for i in (*range(1, 9), 0.5, 1.5, 2.5, 3.5)])
    tokens = tiny.tokenize("ACGT" * 60)
    maps = tiny.forward(tokens, outputs=("attentions",)).attentions[0]
    place = np.arange(len(tokens))
    reach = (maps * np.abs(place[:, None] - place)).sum(-1).mean((0, 2))
    # The head that falls fastest looks nearest, the one that falls slowest farthest.
    assert (reach.argmin(), reach.argmax()) == (slopes.argmax(), slopes.argmin())


@pytest.mark.parametrize("tiny", ["dnabert2"], indirect=True)
def test_logits_of_dnabert2_are_given_at_some_tokens_and_from_pickles_too(tiny, tmp_path):
    tokens = tiny.tokenize(random_sequence(80))
    whole = tiny.forward(tokens, outputs=("logits", "hidden_states"))
    some = tiny.forward(tokens, outputs=("logits", "hidden_states"), at=np.array([[3, 1]]), layers=(2,))
    np.testing.assert_allclose(some.logits[0], whole.logits[0, [3, 1]], atol=1e-5)
    np.testing.assert_array_equal(some.hidden_states[:, 0], whole.hidden_states[:, 2])
    copy = copied("dnabert2", tmp_path)
    tensors = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    tensors |= {"cls.predictions.decoder.weight": tensors[WORDS], "bert.pooler.dense.weight": torch.zeros(36, 36)}
    torch.save(tensors, copy / "pytorch_model.bin")
    pickled = models.load(copy, device="cpu").forward(tokens).logits
    np.testing.assert_array_equal(pickled, tiny.forward(tokens).logits)


@pytest.mark.parametrize("tiny", ["dnabert2"], indirect=True)
def test_fresh_weights_of_dnabert2_are_as_documented(tiny):
    for name, value in tiny.random_twin(0).module.named_parameters():
        if name.endswith("bias"):
            assert not value.any()
        elif "norm" in name.lower():
            assert (value == 1).all()
        else:
            assert value.std().item() == pytest.approx(0.02, rel=0.25)
            assert abs(value.mean().item()) < 0.004


# HyenaDNA


@pytest.mark.parametrize("tiny", ["hyenadna"], indirect=True)
def test_a_base_knows_nothing_of_what_follows(tiny):
    batch = [tiny.tokenize(text) for text in ("ACGTTGCA" * 8, "ACGTTGCA" * 4 + "G" * 32)]
    states = tiny.forward(batch, outputs=("hidden_states",)).hidden_states
    np.testing.assert_allclose(states[0, :, :32], states[1, :, :32], atol=1e-5)
    assert np.abs(states[0, 1:, 33:] - states[1, 1:, 33:]).max() > 0.1


@pytest.mark.parametrize("tiny", ["hyenadna"], indirect=True)
def test_times_of_positions_stay_exact_in_half_precision(tiny):
    operator = deepcopy(tiny.module.hyena.backbone.layers[0].mixer).to(torch.bfloat16)
    own = operator.filter_fn
    torch.nn.init.zeros_(own.implicit_filter["4"].weight)  # the filter is constant but for its decay
    with torch.inference_mode():
        values = operator.filter(120).numpy()
    time = np.linspace(0, 1, 130)[:120]
    decay = np.exp(-time * own.modulation.deltas.float().abs().numpy()[0, 0, :, None])
    np.testing.assert_allclose(values / values[:, :1], (decay + 0.05) / 1.05, rtol=1e-5)


@pytest.mark.parametrize("tiny", ["hyenadna"], indirect=True)
def test_positions_that_were_learned_are_kept(tiny, tmp_path):
    tokens = tiny.tokenize(random_sequence(80))
    copy = retensor(copied("hyenadna", tmp_path), lambda tensors: tensors.pop(FILTER + "pos_emb.z"))
    computed = models.load(copy, device="cpu").forward(tokens).logits
    assert np.abs(computed - tiny.forward(tokens).logits).max() > 1e-3


def test_tokens_of_hyenadna_tile_the_sequence():
    tokens = Tokenizer(HYENADNA)("ACGTN")
    assert tokens.strings == ["A", "C", "G", "T", "N", "<sep>"]
    assert tokens.is_special.tolist() == [False] * 5 + [True]
    assert [tokens.token_at(base) for base in range(5)] == [0, 1, 2, 3, 4]
    assert [tokens.bases_of(token) for token in range(5)] == [(i, i + 1) for i in range(5)]
    assert tokens.is_n.tolist() == [False] * 4 + [True, False]
    np.testing.assert_array_equal(tokens.to_bases(np.arange(6)), np.arange(5))
    # The row of a base's code says which base the id is.
    codes = [HYENADNA.kmer_base_codes[HYENADNA.id_of(base) - HYENADNA.kmer_ids.start, 0] for base in "ACGT"]
    assert codes == [0, 1, 2, 3]


# BPNet


def test_bpnet_says_what_it_cannot_predict_and_leaves_out_as_much_as_bpnet_lite(tmp_path):
    model = models.load(write_bpnet(tmp_path / "tiny"), device="cpu")
    with pytest.raises(ValueError, match=r"more than 40 bp, since 20 at each end.*received 40 bp"):
        model.predict(random_sequence(40))
    with pytest.raises(ValueError, match="one length; received 50 to 60 bp"):
        model.predict([random_sequence(50), random_sequence(60)])
    with pytest.raises(ValueError, match=r"of shape \(1, 2, 50\) for tiny; got \(1, 1, 50\)"):
        model.predict(random_sequence(50), controls=np.zeros((1, 1, 50)))
    model = models.load(write_bpnet(tmp_path / "default", trimming=None), device="cpu")
    assert model.module.trimming == 47 + 2 + 4 + 8
    assert model.predict(random_sequence(124)).profile.shape == (1, 2, 2)


def test_bad_files_of_bpnet_are_refused(tmp_path):
    cases = {
        r"iconv.weight with 3 dimensions.*it is missing": lambda tensors: tensors.pop("iconv.weight"),
        r"linear.weight: expected \(1, 7\), got \(1, 8\)": lambda tensors: tensors.update(
            {"linear.weight": torch.zeros(1, 8)}
        ),
        "odd lengths": lambda tensors: tensors.update({"iconv.weight": torch.zeros(6, 4, 20)}),
    }
    for number, (message, change) in enumerate(cases.items()):
        directory = retensor(write_bpnet(tmp_path / str(number)), change)
        refused(directory, message)
    directory = write_bpnet(tmp_path / "trimmed", trimming=-1)
    refused(directory, r"trimming in .* must be a number of bases.*got -1")
    (directory / "model.safetensors").unlink()
    torch.save(torch.nn.Linear(2, 2), directory / "pytorch_model.bin")
    refused(directory, "asks to run code")
