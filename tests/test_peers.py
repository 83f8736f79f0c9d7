"""What all peers do alike, each loaded by its config.json at the front door: batches, vectors, twins, limits, bad files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from peer_files import FIXTURES, random_sequence, retensor, write_bpnet, write_spliceai
from safetensors.torch import load_file

from ntviz import embeddings, models
from ntviz.models import peers
from ntviz.models.peers.peer import Peer
from ntviz.tokens import Tokenizer


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
def copy(peer, tmp_path):
    return shutil.copytree(peer[1], tmp_path / "copy")


def test_it_is_found_by_its_config_and_says_what_it_is(peer):
    name, directory, model = peer
    family = peers.family(directory)
    assert family is not None
    assert family.__name__ == f"ntviz.models.peers.{name}"
    assert isinstance(model, Peer)
    assert isinstance(model, models.Embedder)
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


def test_others_are_left_to_their_loaders():
    assert peers.family(FIXTURES / "nt_v2_tiny") is None
    assert peers.family(FIXTURES) is None
    assert models.load(FIXTURES / "nt_v1_tiny", device="cpu").name == "nt_v1_tiny"


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
    np.testing.assert_allclose(
        embeddings.embed(model, texts, layers=[0]).values[:, 0], vectors[:, 1, 0], atol=1e-5
    )
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
    assert not np.allclose(vectors[0], vectors[2])
    assert not np.allclose(vectors[0], vectors[3])


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


def test_tensors_that_do_not_fit_or_are_not_finite_are_refused(peer, copy):
    name = KINDS[peer[0]].tensor
    shape = tuple(load_file(copy / "model.safetensors")[name].shape)
    cases = [
        (rf"it has 1 missing \({name}\)\. Nothing", lambda t: t.pop(name)),
        (
            r"it has 1 unknown \(extra\.weight\)\. Nothing",
            lambda t: t.update({"extra.weight": torch.zeros(2)}),
        ),
        (
            rf"1 tensors of .* first {name}: expected \({shape[0]},\), got \({shape[0] - 1},\)",
            lambda t: t.update({name: t[name][1:].clone()}),
        ),
        (rf"1 quantised \({name}\)", lambda t: t.update({name: t[name].to(torch.int8)})),
        *(
            (
                f"1 tensors of .* hold nan or infinity, first {name}: training diverged",
                lambda t, value=value: t[name].view(-1)[1:2].fill_(value),
            )
            for value in (torch.nan, torch.inf)
        ),
    ]
    whole = (copy / "model.safetensors").read_bytes()
    for message, change in cases:
        (copy / "model.safetensors").write_bytes(whole)
        with pytest.raises(ValueError, match=message):
            models.load(retensor(copy, change))
    (copy / "model.safetensors").write_bytes(whole[:-1000])
    with pytest.raises(
        ValueError, match="must be a whole file of tensors.*truncated or corrupt: download it"
    ):
        models.load(copy)


def test_limits(peer):
    name, directory, model = peer
    least = KINDS[name].least
    with pytest.raises(ValueError, match=rf"max_tokens must be at least {least}\D.*got {least - 1}\. Leave"):
        models.load(directory, device="cpu", max_tokens=least - 1)
    short = models.load(directory, device="cpu", max_tokens=3)
    assert len(short.tokenize("N" * short.max_bp)) <= 3
    too_long = "N" * (3 * model.tokenizer.vocabulary.k + 1)
    with pytest.raises(ValueError, match=r"fit into 3 tokens \(\d+ bp at \d+ bp a token\); received \d tok"):
        short.tokenize(too_long)
    with pytest.raises(ValueError, match="tiny takes up to 3 tokens .* without N.; got"):
        short.embed([model.tokenize(too_long)], layers=(0,))
    with pytest.raises(ValueError, match="phase"):
        model.tokenize("ACGT", phase=1)
    with pytest.raises(ValueError, match="received 'g' at position 3"):
        model.tokenize("ACgT")


def test_what_it_has_not_is_said(peer):
    name, _, model = peer
    tokens = model.tokenize("ACGT")
    if name not in ("dnabert2", "hyenadna"):
        with pytest.raises(
            ValueError, match="Logits need a vocabulary; .*tiny has none, it predicts .*: call `"
        ):
            model.forward(tokens)
        with pytest.raises(ValueError, match="Logits need a vocabulary"):
            model.forward(tokens, outputs=("hidden_states",), at=np.array([[0]]))
    if name == "dnabert2":
        assert model.mask_id == 4
    else:
        with pytest.raises(ValueError, match="tiny has no mask token: "):
            _ = model.mask_id
    if not model.heads:
        with pytest.raises(ValueError, match=r"tiny has no attention: .*Ask for hidden_states"):
            model.forward(tokens, outputs=("attentions",))
    with pytest.raises(ValueError, match=r"layers must lie in 0 .*; got -1"):
        model.forward(tokens, outputs=("hidden_states",), layers=(-1,))
    with pytest.raises(ValueError, match=r"must be tokenized by .*; received nt-v2 at index 1"):
        model.embed([tokens, Tokenizer("nt-v2")("ACGT")], layers=(1,))
    with pytest.raises(ValueError, match="A batch must hold at least one sequence; received none"):
        model.embed([], layers=(1,))


def test_ids_are_read_as_tokens_are_where_they_say_the_bases(peer):
    name, _, model = peer
    tokens = model.tokenize("ACGTTGCA")
    if name == "enformer":
        with pytest.raises(ValueError, match="tiny takes Tokens; got an array"):
            model.forward(tokens.ids, outputs=("hidden_states",))
        return
    one, other = (model.forward(given, outputs=("hidden_states",)) for given in (tokens, tokens.ids))
    np.testing.assert_array_equal(one.hidden_states, other.hidden_states)
