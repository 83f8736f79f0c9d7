"""Attributions over one-hot bases and of peers: networks whose contributions are known by hand, planted sites, and other embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ntviz import attribution, finetuning, models
from ntviz.attribution import BaseProbability, Direction, Output
from ntviz.attribution.reader import reader
from ntviz.finetuning import Recipe
from ntviz.genome.sequence import one_hot, reverse_complement, shuffle
from ntviz.models.peers import bpnet
from ntviz.motifs import Detector, Motif

FIXTURES = Path(__file__).parent / "fixtures"
TEXT = "".join(np.random.default_rng(5).choice(list("ACGT"), 30))


class Linear(nn.Module):
    """Two outputs: a weight a base and place, and the square of that sum. Everything about it is known by hand."""

    def __init__(self, n: int = 30) -> None:
        super().__init__()
        weight = np.random.default_rng(2).normal(size=(4, n)).astype(np.float32)
        self.weight = nn.Parameter(torch.from_numpy(weight))

    def forward(self, bases: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        total = (bases * self.weight[:, : bases.shape[2]] * mask[:, None]).sum((1, 2))
        return torch.stack((total, total**2), dim=1)

    def of(self, text: str) -> np.ndarray:
        """What each base adds, float64 [base]; N adds nothing."""
        return (one_hot(text) * self.weight.detach().numpy().T[: len(text)]).sum(1).astype(float)


@pytest.fixture(scope="module")
def linear():
    return Linear()


def test_a_sum_is_told_exactly(linear):
    """Of a sum each base contributes its weight, less the mean weight where the mean composition is compared with."""
    zero = attribution.integrated_gradients(linear, TEXT, Output(0), baseline="n")
    np.testing.assert_allclose(zero.per_base(), linear.of(TEXT), atol=1e-5)
    assert (zero.baseline_value, zero.unit) == (0, "score")
    point = attribution.gradient_times_input(linear, TEXT, Output(0))
    np.testing.assert_allclose(point.per_base(), linear.of(TEXT), atol=1e-5)
    shares = np.array([TEXT.count(base) for base in "ACGT"]) / 30
    mean = attribution.integrated_gradients(linear, TEXT, Output(0), baseline="composition")
    average = shares @ linear.weight.detach().numpy()
    np.testing.assert_allclose(mean.per_base(), linear.of(TEXT) - average, atol=1e-5)
    for share in ("even", "gradient", "none"):
        np.testing.assert_array_equal(mean.per_base(share), mean.per_token)


def test_a_square_is_integrated_as_by_hand(linear):
    """Of (w·x)² from 0, a base contributes w x (w·x): the integral of 2 a (w·x) w over a. Gradient times input gives twice that."""
    found = attribution.integrated_gradients(linear, TEXT, Output(1), baseline="n")
    own = linear.of(TEXT)
    np.testing.assert_allclose(found.per_base(), own * own.sum(), atol=1e-4)
    assert found.error < 1e-4
    point = attribution.gradient_times_input(linear, TEXT, Output(1))
    np.testing.assert_allclose(point.per_base(), 2 * own * own.sum(), atol=1e-4)
    other = "ACGT" * 7 + "AC"
    both = attribution.integrated_gradients(linear, [TEXT, other], Output(1), baseline="n")
    np.testing.assert_allclose(both[1].per_base(), linear.of(other) * linear.of(other).sum(), atol=1e-4)
    np.testing.assert_allclose(both[0].per_base(), found.per_base(), atol=1e-6)


def test_mutagenesis_and_occlusion_of_a_sum(linear):
    weight = linear.weight.detach().numpy().T
    effects = attribution.mutagenesis(linear, TEXT, Output(0), region=(4, 9))
    np.testing.assert_allclose(effects, weight[4:9] - linear.of(TEXT)[4:9, None], atol=1e-5)
    hidden = attribution.occlusion(linear, TEXT, Output(0), width=1)
    np.testing.assert_allclose(hidden, linear.of(TEXT), atol=1e-5)
    found = attribution.integrated_gradients(linear, TEXT, Output(0), baseline="composition")
    centred = attribution.mutagenesis(linear, TEXT, Output(0))
    assert 0.5 < attribution.agreement(found, centred) <= 1
    curve = attribution.deletion(linear, TEXT, Output(0), found, shares=(0, 0.5, 1), draws=30)
    order = np.argsort(-found.per_token, kind="stable")
    assert curve["value"].iloc[1] == pytest.approx(linear.of(TEXT)[order[15:]].sum(), abs=1e-4)
    assert curve["value"].iloc[2] == pytest.approx(0, abs=1e-5)


def test_controls_need_something_to_compare_with(linear):
    found = attribution.integrated_gradients(linear, TEXT, Output(0), baseline="n")
    with pytest.raises(ValueError, match="a random order to compare with; received draws=0"):
        attribution.deletion(linear, TEXT, Output(0), found, draws=0)
    with pytest.raises(ValueError, match="a twin to compare with; received twins=0"):
        attribution.sanity(linear, found, lambda model: found, twins=0)
    # Where no base is known, there is no correlation, and nothing to warn of.
    assert np.isnan(attribution.agreement(found, np.full((len(TEXT), 4), np.nan)))


def test_n_contribute_nothing_and_windows_of_n_are_zero(linear):
    gap = TEXT[:10] + "NNN" + TEXT[13:]
    for baseline in ("n", "shuffle", "composition"):
        found = attribution.integrated_gradients(linear, gap, Output(0), baseline=baseline)
        assert found.complete
        np.testing.assert_array_equal(found.per_base()[10:13], 0)
        empty = attribution.integrated_gradients(linear, "N" * 30, Output(0), baseline=baseline)
        assert empty.complete
        np.testing.assert_array_equal(empty.per_base(), 0)


def test_shuffles_are_averaged_by_number(linear):
    """The mean over given shuffles, each by hand: of a sum, own weight less that of the base which stands there instead."""
    found = attribution.integrated_gradients(linear, TEXT, Output(0), shuffles=3, seed=8)
    assert found.baseline == "shuffle"
    expected = [linear.of(TEXT) - linear.of(shuffle(TEXT, k=2, seed=8 + draw)) for draw in range(3)]
    np.testing.assert_allclose(found.per_base(), np.mean(expected, axis=0), atol=1e-5)
    assert found.compared[0].draws == 3


def test_networks_and_what_training_makes_of_them():
    rng = np.random.default_rng(4)
    texts = ["".join(rng.choice(list("ACGT"), 40)) for _ in range(48)]
    labels = np.arange(48) % 2
    network = finetuning.network("cnn", outputs=2)
    tuned = finetuning.train_network(
        network, texts, labels, kind="binary", outputs=2, recipe=Recipe(steps=4, learning_rate=1e-3)
    )
    said = tuned.predict(texts[:1])[0].astype(float)
    asked = [weight.requires_grad for weight in network.parameters()]
    network.train()
    found = attribution.integrated_gradients(tuned, texts[0], Output(1), shuffles=4)
    assert network.training
    assert [weight.requires_grad for weight in network.parameters()] == asked
    assert found.value == pytest.approx(np.log(said[1] / said[0]), abs=1e-4)
    assert found.unit == "log-odds (nats)"
    bare = attribution.integrated_gradients(network, texts[0], Output(1, against=0), shuffles=4)
    np.testing.assert_allclose(bare.per_base(), found.per_base(), atol=1e-5)
    shuffled = shuffle(texts[0], k=2, seed=3)
    started = attribution.integrated_gradients(
        tuned, texts[0], Output(1), baseline="shuffle", shuffles=1, seed=3, steps=1, most_steps=1
    )
    there = tuned.predict([shuffled])[0].astype(float)
    assert started.baseline_value == pytest.approx(np.log(there[1] / there[0]), abs=1e-4)
    effects = attribution.mutagenesis(tuned, texts[0], Output(1), region=(3, 5))
    changed = texts[0][:4] + "A" + texts[0][5:]
    other = tuned.predict([changed])[0].astype(float)
    assert effects[1, 0] == pytest.approx(np.log(other[1] / other[0]) - found.value, abs=1e-4)
    checked = attribution.sanity(
        network, bare, lambda m: attribution.integrated_gradients(m, texts[0], Output(1, against=0)), twins=1
    )
    assert abs(checked.correlations[0]) < 0.9
    with pytest.raises(ValueError, match="layers that draw their weights; Linear has none"):
        attribution.sanity(Linear(), bare, lambda m: bare)


def test_a_planted_site_stands_out():
    """A network that is built to know one motif: what it says is owed to the site, on either strand, and to nothing of a shuffle."""
    detector = Detector(Motif.from_sites("toy", ["GATTACATG"] * 20), p=1e-4)
    rng = np.random.default_rng(6)
    background = "".join(rng.choice(list("CGT"), 80))
    for site in ("GATTACATG", reverse_complement("GATTACATG")):
        planted = background[:30] + site + background[39:]
        for found in (
            attribution.integrated_gradients(detector, planted, Output(0), shuffles=4),
            attribution.gradient_times_input(detector, planted, Output(0)),
        ):
            values = found.per_base()
            assert values[30:39].sum() > 0.8 * np.abs(values).sum()
        effects = attribution.mutagenesis(detector, planted, Output(0))
        assert effects[30:39].sum() < 10 * effects[:30].sum()
        without = attribution.gradient_times_input(detector, background, Output(0)).per_base()
        assert np.abs(without).sum() < 0.2 * found.per_base()[30:39].sum()


@pytest.mark.parametrize("name", ["dnabert2_tiny", "hyenadna_tiny", "enformer_tiny"])
def test_peers_are_differentiated(name):
    """A direction in the mean of a layer, as embeddings have it, of words, single bases, and bins."""
    peer = models.load(FIXTURES / name, device="cpu")
    target = Direction(np.random.default_rng(1).normal(size=peer.hidden_size), layer=1)
    mean = peer.embed([peer.tokenize(TEXT)], layers=(1,))[0, 0, 0]
    baseline = {"dnabert2_tiny": "mask", "hyenadna_tiny": "shuffle"}.get(name, "n")
    before = [weight.requires_grad for weight in peer.module.parameters()]
    found = attribution.integrated_gradients(peer, TEXT, target, baseline=baseline, shuffles=3)
    assert found.value == pytest.approx(mean @ target.vector, abs=1e-4)
    assert found.complete
    assert found.per_base().sum() == pytest.approx(found.value - found.baseline_value, rel=0.011, abs=1e-4)
    assert [weight.requires_grad for weight in peer.module.parameters()] == before
    assert reader(peer).values([TEXT], target)[0] == pytest.approx(found.value, abs=1e-5)
    assert len(found.per_base()) == 30


@pytest.mark.parametrize(("baseline", "text"), [("n", "N" * 30), ("shuffle", shuffle(TEXT, k=2, seed=3))])
def test_the_value_at_a_baseline_is_that_of_bins(baseline, text):
    """What Enformer's own embedding of the baseline's bases gives."""
    peer = models.load(FIXTURES / "enformer_tiny", device="cpu")
    target = Direction(np.random.default_rng(1).normal(size=peer.hidden_size), layer=1)
    found = attribution.integrated_gradients(
        peer, TEXT, target, baseline=baseline, shuffles=1, seed=3, steps=1, most_steps=1
    )
    right = peer.embed([peer.tokenize(text)], layers=(1,))[0, 0, 0] @ target.vector
    assert found.baseline_value == pytest.approx(right, abs=1e-5)


def test_peers_say_what_cannot_be_asked_of_them():
    base = BaseProbability(3, "A")
    dnabert2, hyena, enformer = (
        models.load(FIXTURES / f"{name}_tiny", device="cpu") for name in ("dnabert2", "hyenadna", "enformer")
    )
    direction = Direction(np.ones(dnabert2.hidden_size), layer=0)
    cases = (
        (dnabert2, base, {}, "must come from a vocabulary of k-mers"),
        (dnabert2, direction, {"baseline": "shuffle"}, "cuts by what stands there. Take baseline='mask'"),
        (hyena, base, {"baseline": "n"}, "masked base needs a model that reads both sides"),
        (hyena, Direction(np.ones(hyena.hidden_size)), {}, "masked base needs a model that reads both sides"),
        (enformer, base, {}, "needs a mask token; enformer_tiny reads bases"),
        (enformer, Direction(np.ones(enformer.hidden_size)), {"baseline": "mask"}, "n, shuffle, composition for"),
        (enformer, Output(0), {}, "over scores; enformer_tiny gives states"),
        (dnabert2, direction, {"frames": 2}, "frames must be 1 to 1"),
    )  # fmt: skip
    for peer, target, options, message in cases:
        with pytest.raises(ValueError, match=message):
            attribution.integrated_gradients(peer, TEXT, target, **options)


def test_bpnet_is_differentiated_at_its_bases():
    """Both ends of the integral, and a changed base, are what the network says of those sequences."""
    module = bpnet.BPNetNetwork(
        width=5, layers=2, stem=3, head=3, strands=1, controls=0, trimming=0, biases=(True, True)
    )
    peer = bpnet.BPNet(module.eval(), bpnet.Tokenizer("single-base"), "toy", 100, {}, lambda: module)
    target = Direction(np.arange(5.0), layer=-1)
    found = attribution.integrated_gradients(peer, TEXT, target, baseline="n", most_steps=2048)
    assert found.value == pytest.approx(
        peer.embed([peer.tokenize(TEXT)], layers=(2,))[0, 0, 0] @ target.vector, abs=1e-5
    )
    gone = peer.embed([peer.tokenize("N" * 30)], layers=(2,))[0, 0, 0] @ target.vector
    assert found.baseline_value == pytest.approx(gone, abs=1e-5)
    assert found.complete
    changed = TEXT[:8] + "A" + TEXT[9:]
    other = peer.embed([peer.tokenize(changed)], layers=(2,))[0, 0, 0] @ target.vector
    effects = attribution.mutagenesis(peer, TEXT, target, region=(8, 9))
    assert effects[0, 0] == pytest.approx(other - found.value, abs=1e-5)
    assert not module.iconv._forward_pre_hooks


def test_scores_of_other_shapes_are_refused():
    class Four(nn.Module):
        def forward(self, bases, mask):
            return bases[..., None]

    class One(nn.Module):
        def forward(self, bases, mask):
            return bases[:, 0].sum(1)

    with pytest.raises(ValueError, match=r"\[sequence, base, output\]; received shape \[1, 4, 30, 1\]"):
        attribution.gradient_times_input(Four(), TEXT, Output(0))
    found = attribution.gradient_times_input(One(), TEXT, Output(0))
    np.testing.assert_array_equal(found.per_base(), one_hot(TEXT)[:, 0])
    with pytest.raises(ValueError, match="classes or tracks; received a bare network"):
        attribution.gradient_times_input(One(), TEXT, Output(0, scale="log-odds"))
    with pytest.raises(ValueError, match="over states; One gives scores. Ask for Output"):
        attribution.gradient_times_input(One(), TEXT, Direction(np.ones(3)))


def test_hooks_and_modes_return_after_an_error():
    class Broken(Linear):
        def forward(self, bases, mask):
            return super().forward(bases, mask) * torch.where(bases.sum() > 0, torch.nan, 1.0)

    network = Broken().train()
    with pytest.raises(ValueError, match="Gradients must be finite; 30 of 30 tokens of Broken"):
        attribution.gradient_times_input(network, TEXT, Output(0))
    with pytest.raises(ValueError, match="Gradients must be finite"):
        attribution.integrated_gradients(network, TEXT, Output(0), baseline="n")
    assert network.training
    assert network.weight.requires_grad
    assert network.weight.grad is None
