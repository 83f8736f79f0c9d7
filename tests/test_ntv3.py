"""NTv3 of both kinds: parity with the original implementation, and every analysis that takes a model, on it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from variant_brute import Brute
from variant_toy import another, toy_reference

from ntviz import attention, attribution, embeddings, models, probing
from ntviz.genome import Interval
from ntviz.landscape import expectation
from ntviz.models import checkpoints, registry
from ntviz.models.ntv3 import UNSEEN
from ntviz.models.ntv3_network import Up
from ntviz.variants.alleles import Allele
from ntviz.variants.options import Options
from ntviz.variants.scorer import Scorer

FIXTURES = Path(__file__).parent / "fixtures"
pytestmark = pytest.mark.filterwarnings("ignore::ntviz.models.registry.LicenceNotice")


def bases(n: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), n))


@pytest.fixture(scope="module")
def pre():
    return models.load(FIXTURES / "ntv3_tiny", device="cpu")


@pytest.fixture(scope="module")
def post():
    return models.load(FIXTURES / "ntv3_post_tiny", device="cpu")


@pytest.fixture
def copy(tmp_path):
    return lambda name="ntv3_tiny": Path(shutil.copytree(FIXTURES / name, tmp_path / name))


def edit(directory: Path, **changes) -> None:
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({k: v for k, v in (config | changes).items() if v is not None}))


# Parity ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "least"), [("ntv3_tiny", 12), ("ntv3_post_tiny", 13)])
def test_all_states_and_outputs_equal_the_original(name, least):
    result = models.verify(FIXTURES / name)
    assert result.ok, result.differences
    assert len(result.differences) >= least
    assert {"embedding", "logits", "attentions", "after_stem", "after_transformer"} <= set(result.differences)


def test_a_changed_weight_is_seen_and_what_was_not_compared_is_named(copy):
    directory = copy()
    tensors = load_file(directory / "model.safetensors")
    tensors["core.deconv_tower_blocks.1.res_conv.conv_block.conv.weight"].transpose_(0, 1)
    save_file({name: value.contiguous() for name, value in tensors.items()}, directory / "model.safetensors")
    result = models.verify(directory)
    assert result.differences["after_transformer"] < 1e-4 < result.differences["deconv_tower_2"]
    assert set(result.others) == {"padded_input_ids", "padded_logits_jax"}


def test_zeros_between_positions_equal_a_loop():
    """Upsampling of the other kind, on explicit sums: position 2 i + 1 holds y[i], five taps, weight [in, out, tap]."""
    shape = {"token_embed_dim": 2, "deconv_upsample_type": "conv_transpose"}
    torch.manual_seed(0)
    block, x = Up(shape, 3, 4), torch.randn(1, 5, 3)
    seen = []
    block.res_conv.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    block(x, None)
    y, weight = block.conv.layer_norm(x)[0], block.conv.conv.weight
    wide = torch.zeros(14, 3)
    wide[3:13:2] = y  # two more on each side
    by_hand = (
        torch.stack([sum(wide[at + tap] @ weight[:, :, tap] for tap in range(5)) for at in range(10)])
        + block.conv.conv.bias
    )
    torch.testing.assert_close(seen[0][0], torch.nn.functional.gelu(by_hand, approximate="tanh"))


def test_bin_files_and_tables_of_angles_load(copy, pre):
    directory = copy()
    tensors = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    tensors["core.transformer_blocks.0.sa_layer.rotary_embedding.inv_freq"] = torch.ones(4)
    torch.save(tensors, directory / "pytorch_model.bin")
    ids = pre.tokenize(bases(24))
    np.testing.assert_array_equal(models.load(directory, device="cpu").forward(ids).logits, pre.forward(ids).logits)


# Tokens, states, attention --------------------------------------------------------------------------------------------


def test_a_base_is_a_token_and_states_of_several_bases_stand_at_each(pre):
    text = bases(21)
    tokens = pre.tokenize(text)
    assert tokens.spans.tolist() == [[at, at + 1] for at in range(21)]
    assert [tokens.vocabulary.tokens[index] for index in tokens.ids] == list(text)
    assert pre.states == (
        "stem",
        "down 1",
        "down 2",
        "down 3",
        "transformer 1",
        "transformer 2",
        "up 1",
        "up 2",
        "embedding",
    )
    hidden = pre.forward(tokens, outputs=("hidden_states",)).hidden_states[0]
    native = pre.read(torch.tensor(tokens.ids[None])).hidden.native
    assert [state.shape[1] for state in native] == [24, 12, 6, 3, 3, 3, 6, 12, 24]
    for state, spread in zip(native, hidden, strict=True):
        step = 24 // state.shape[1]
        for base in range(21):
            np.testing.assert_allclose(spread[base], state[0, base // step].detach().numpy(), atol=1e-6)


def test_lengths_are_filled_with_n_and_it_is_said(pre, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr("ntviz.models.ntv3.tell", said.append)
    text = bases(21)
    short, filled = pre.forward(pre.tokenize(text)), pre.forward(pre.tokenize(text + "NNN"))
    np.testing.assert_array_equal(short.logits[0], filled.logits[0, :21])
    assert said == ["ntv3_tiny: sequences are filled up with N on the right to multiples of 8 bp"]
    # Several lengths at once give what each gives by itself.
    others = [text, bases(8, 1), bases(13, 2)]
    together = pre.forward([pre.tokenize(one) for one in others], outputs=("logits", "hidden_states"))
    for row, one in enumerate(others):
        alone = pre.forward(pre.tokenize(one), outputs=("logits", "hidden_states"))
        np.testing.assert_allclose(together.logits[row, : len(one)], alone.logits[0], atol=1e-5)
        np.testing.assert_allclose(together.hidden_states[row, :, : len(one)], alone.hidden_states[0], atol=1e-5)
    at = np.array([[3, 5], [0, 7], [12, 2]])
    chosen = pre.forward([pre.tokenize(one) for one in others], at=at).logits
    np.testing.assert_allclose(
        chosen, np.stack([together.logits[row, places] for row, places in enumerate(at)]), atol=1e-5
    )


def test_attention_is_observed_over_bins(pre):
    tokens = pre.tokenize(bases(203))
    exact = pre.forward(tokens, outputs=("attentions",)).attentions[0]
    assert exact.shape == (2, 4, 26, 26)
    seen = attention.observe(pre, tokens, at=attention.Window(at=[(1, 2)]), entropy=attention.Entropy())
    np.testing.assert_allclose(seen["at"].weights[0], exact[1, 2], atol=1e-6)
    np.testing.assert_allclose(seen.entropy.mean, -(exact * np.log(exact)).sum(-1).mean(-1), atol=1e-5)
    bins = pre.attention_tokens(tokens.sequence)
    assert seen.context.tokens.spans.tolist() == bins.spans.tolist()
    assert bins.spans[-1].tolist() == [200, 203]
    assert pre.module.config._attn_implementation == "sdpa"
    assert "attention over bins of 8 bp" in repr(pre)
    assert len(attention.detect(pre, [bases(160), pre.tokenize(bases(160, 1))]).heads) == 8


# Analyses -------------------------------------------------------------------------------------------------------------


def test_variants_are_scored_by_masked_single_bases(pre, tmp_path):
    reference = toy_reference(tmp_path, contigs={"20": 400}, n=[("20", 300, 312)])
    contig = reference.fetch(reference.whole("20")).sequence
    options = Options(scores=("llr", "entropy"), window=33)
    scorer = Scorer(pre, reference, options)
    brute = Brute(pre, options, scorer.window_bp)
    alleles = [Allele("20", at + 1, contig[at], another(contig[at], 1 + at % 3)) for at in (3, 120, 200)]
    alleles.append(Allele("20", 131, contig[130:133], contig[130]))
    found = scorer.score(alleles)
    for allele, status, row in zip(alleles, found.statuses, found.values, strict=True):
        assert status == "ok"
        np.testing.assert_allclose(row, brute.row(contig, *allele[1:]), atol=2e-5, rtol=1e-5)


def test_expectation_is_that_of_each_base_hidden(pre):
    text = bases(24)
    found = expectation.masked(pre, text, both_strands=False).probabilities
    ids = pre.tokenize(text).ids
    columns = pre.tokenizer.vocabulary.single_ids
    for at in (0, 11, 23):
        hidden = ids.copy()
        hidden[at] = pre.mask_id
        scores = pre.forward(hidden[None]).logits[0, at, columns].astype(float)
        np.testing.assert_allclose(found[at], np.exp(scores) / np.exp(scores).sum(), atol=1e-5)


def test_embeddings_and_a_probe(pre):
    texts = [bases(21, seed) for seed in range(3)]
    found = embeddings.embed(pre, texts)
    hidden = [pre.forward(pre.tokenize(text), outputs=("hidden_states",)).hidden_states[0] for text in texts]
    np.testing.assert_allclose(found.values, np.stack([one.mean(1) for one in hidden]), atol=1e-5)
    # A probe tells A from T in sequences that are rich in one of them, from some layer.
    labels = np.arange(40) % 2
    rich = [
        "".join(np.random.default_rng(i).choice(list("ACGT"), 40, p=[0.6, 0.1, 0.1, 0.2][:: 1 - 2 * label]))
        for i, label in enumerate(labels)
    ]
    vectors = embeddings.embed(pre, rich)
    features = {pre.states[layer]: vectors.layer(layer) for layer in (0, 4, 8)}
    probed = probing.probe(features, labels, None, kind="multiclass", classes=2, n_folds=4)
    assert (probed.predicted.argmax(1) == labels[probed.judged]).mean() > 0.8


@pytest.mark.parametrize("species", ["", "mouse"])
def test_contributions_add_up(species, pre, post):
    model = post.on(species) if species else pre
    text = bases(29)
    found = attribution.integrated_gradients(model, text, attribution.BaseProbability(11, text[11]), steps=64)
    assert found.error < 0.01
    assert len(found.per_base()) == 29


def test_a_randomly_initialised_one_has_its_shape(post):
    twin = post.on("mouse").random_twin(3)
    assert twin.species == "mouse"
    one, other = (twin.on(name).predict(bases(128)).elements.probabilities for name in ("mouse", "human"))
    np.testing.assert_array_equal(one, other)  # the species says nothing yet
    assert not np.allclose(one, post.predict(bases(128)).elements.probabilities)


# Species, tracks, elements --------------------------------------------------------------------------------------------


def test_tracks_and_elements_of_the_middle(post):
    text, place = bases(125), Interval("chr20", 1000, 1125)
    found = post.on("mouse").predict(text, interval=place)
    assert (found.offset, found.filled, found.species) == (40, 3, "mouse")
    assert found.tracks.shape == (48, 3)
    assert (found.tracks >= 0).all()
    assert found.elements.interval == Interval("chr20", 1040, 1088)
    some = post.on("mouse").predict(text, tracks=["TRK_m2"])
    np.testing.assert_allclose(some.tracks[:, 0], found.tracks[:, 2], atol=1e-6)
    turned = post.predict(text, interval=Interval("chr20", 1000, 1125, "-")).elements.interval
    assert turned == Interval("chr20", 1037, 1085, "-")
    assert post.on("chicken").predict(text).tracks.shape == (48, 0)
    assert not np.allclose(post.predict(text).elements.probabilities, found.elements.probabilities)
    unseen = post.on(UNSEEN)
    assert unseen.info["species"] == "unseen (<mask>)"
    assert unseen.predict(text).tracks.shape == (48, 0)


def test_tiles_give_each_window_its_middle_and_measure_the_seams(post, tmp_path):
    reference = toy_reference(tmp_path, contigs={"20": 900})
    place = Interval("20", 300, 380)
    found = post.segment(place, reference=reference, tile=128, overlap=8)
    # By hand: windows of which bases 40 to 88 are kept, 40 bp apart; neighbours meet in the middle of their overlap.
    flanked = reference.fetch(place.expand(44)).sequence
    windows = [post.predict(flanked[at - 40 : at + 88]).elements.probabilities for at in (44, 76)]
    meet = (76 + 92) // 2
    by_hand = np.concatenate([windows[0][: meet - 44], windows[1][meet - 76 :]])
    np.testing.assert_allclose(found.probabilities, by_hand, atol=1e-5)
    ((base, difference),) = found.seams
    assert base == meet - 44
    ours = [one[meet - start - 1 : meet - start + 1] for one, start in zip(windows, (44, 76), strict=True)]
    assert difference == pytest.approx(float(np.abs(ours[0] - ours[1]).max()), abs=1e-5)


# Refusals -------------------------------------------------------------------------------------------------------------


def test_what_it_cannot_do_is_said(pre, post):
    ids = np.array([[6, 7, 1, 1]])
    for call, message in (
        (lambda: pre.forward(ids), r"not trained on <pad>: pass Tokens, or ids .* N \(id 10\)"),
        (lambda: pre.on("human"), "pre-trained only and takes no species"),
        (lambda: post.on("yeast"), "species must be one of mouse, chicken, human, or 'unseen'"),
        (lambda: pre.predict("ACGT"), "predicts no tracks. Load a model called ..._post"),
        (lambda: pre.segment("ACGT"), "predicts no elements"),
        (lambda: post.predict(bases(128), tracks=["x"]), "among the 5 of human .*got 'x'"),
        (lambda: post.segment(bases(128), tile=100), "tile must be a multiple of 8 bp, at least 64"),
        (lambda: post.segment(Interval("20", 0, 9)), "An interval needs a reference"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    limited = models.load(FIXTURES / "ntv3_tiny", device="cpu", max_tokens=64)
    with pytest.raises(ValueError, match="must fit into 64 tokens"):
        limited.tokenize(bases(65))


def test_other_layouts_are_refused(copy):
    for changes, message in (
        ({"model_type": "ntv3_annotate"}, "revised release of 2026 is not supported"),
        ({"track_metadata": {}}, "revised release of 2026 is not supported"),
        ({"deconv_upsample_type": "bilinear"}, "deconv_upsample_type .* must be 'repeat\\+conv' or"),
        ({"key_size": 7}, "key_size .* must be even"),
        ({"num_hidden_layers_head": 1}, "num_hidden_layers_head .* must be 0, as published"),
        ({"conv_init_embed_dim": 16}, "conv_init_embed_dim .* must be 32"),
        ({"num_layers": 3}, "missing"),
    ):
        directory = copy()
        edit(directory, **changes)
        with pytest.raises(ValueError, match=message):
            models.load(directory)
        shutil.rmtree(directory)
    directory = copy("ntv3_post_tiny")
    edit(directory, bigwigs_per_species={"human": ["a"], "mouse": ["b", "c", "d"]})
    with pytest.raises(ValueError, match=r"do not have the shape .*bigwig_head\.species_heads\.2"):
        models.load(directory)
    for name in ("InstaDeepAI/NTv3_tracks_1mb", "NTv3_pretrained"):
        with pytest.raises(ValueError, match="revised release of 2026"):
            checkpoints.locate(name)


def test_names_of_the_facts_are_known_and_the_licence_covers_outputs(copy, tmp_path):
    for name in (
        "ntv3_8m_pre",
        "NTv3_650M_post",
        "InstaDeepAI/NTv3_5downsample_post_131kb",
        "segment_nt_multi_species",
    ):
        assert registry.find(name) is not None
    assert registry.find("ntv3_100m_pre_8kb").max_bp == 8_192
    directory = copy()
    directory = directory.rename(tmp_path / "NTv3_8M_pre")
    with pytest.warns(registry.LicenceNotice, match="non-commercial, and its terms cover the outputs too"):
        models.load(directory)
