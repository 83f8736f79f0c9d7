"""Attributions over one-hot bases, of peers and of trained outputs: networks known by hand, planted sites, predictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ntviz import attribution, finetuning, models
from ntviz.attribution import BaseProbability, Direction, Output, Probe
from ntviz.attribution import gradient_times_input as point
from ntviz.attribution import integrated_gradients as integrated
from ntviz.attribution.reader import reader
from ntviz.finetuning import Recipe
from ntviz.genome.sequence import one_hot, shuffle
from ntviz.models.peers import bpnet
from ntviz.probing.estimators import Fitted, Setting

FIXTURES = Path(__file__).parent / "fixtures"
TEXT = "".join(np.random.default_rng(5).choice(list("ACGT"), 30))
RNG = np.random.default_rng(11)
TEXTS = ["".join(RNG.choice(list("ACGT"), 36)) for _ in range(24)]
LABELS = {
    "binary": (np.arange(24) % 2, 2),
    "multiclass": (np.arange(24) % 3, 3),
    "multilabel": (RNG.integers(0, 2, (24, 3)), 3),
    "regression": (RNG.normal(4, 2, (24, 2)), 2),
    "per_base": (RNG.integers(0, 3, (24, 36)), 3),
}


class Linear(nn.Module):
    """Two outputs: a weight a base and place, and the square of that sum. Everything about it is known by hand."""

    def __init__(self, n: int = 30) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(np.random.default_rng(2).normal(size=(4, n)).astype(np.float32)))

    def forward(self, bases: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        total = (bases * self.weight[:, : bases.shape[2]] * mask[:, None]).sum((1, 2))
        return torch.stack((total, total**2), dim=1)

    def of(self, text: str) -> np.ndarray:
        """What each base adds, float64 [base]; N adds nothing."""
        return (one_hot(text) * self.weight.detach().numpy().T[: len(text)]).sum(1).astype(float)


@pytest.fixture(scope="module")
def linear():
    return Linear()


def test_a_sum_is_told_exactly_and_a_square_as_by_hand(linear):
    """Of a sum each base contributes its weight, less the mean weight where the mean composition is compared with."""
    own = linear.of(TEXT)
    zero, slope = integrated(linear, TEXT, Output(0), baseline="n"), point(linear, TEXT, Output(0))
    for found in (zero, slope):
        np.testing.assert_allclose(found.per_base(), own, atol=1e-5)
    assert (zero.baseline_value, zero.unit) == (0, "score")
    shares = np.array([TEXT.count(base) for base in "ACGT"]) / 30
    mean = integrated(linear, TEXT, Output(0), baseline="composition")
    np.testing.assert_allclose(mean.per_base(), own - shares @ linear.weight.detach().numpy(), atol=1e-5)
    for share in ("even", "gradient", "none"):
        np.testing.assert_array_equal(mean.per_base(share), mean.per_token)
    # The mean over given shuffles, each by hand: own weight less that of the base which stands there instead.
    found = integrated(linear, TEXT, Output(0), shuffles=3, seed=8)
    assert (found.baseline, found.compared[0].draws) == ("shuffle", 3)
    expected = [own - linear.of(shuffle(TEXT, k=2, seed=8 + draw)) for draw in range(3)]
    np.testing.assert_allclose(found.per_base(), np.mean(expected, axis=0), atol=1e-5)
    # Of (w·x)² from 0, a base contributes w x (w·x): the integral of 2 a (w·x) w over a. Gradient times input gives twice that.
    found = integrated(linear, TEXT, Output(1), baseline="n")
    np.testing.assert_allclose(found.per_base(), own * own.sum(), atol=1e-4)
    assert found.error < 1e-4
    np.testing.assert_allclose(point(linear, TEXT, Output(1)).per_base(), 2 * own * own.sum(), atol=1e-4)


def test_mutagenesis_of_a_sum(linear):
    weight, own = linear.weight.detach().numpy().T, linear.of(TEXT)
    effects = attribution.mutagenesis(linear, TEXT, Output(0))
    np.testing.assert_allclose(effects, weight - own[:, None], atol=1e-5)
    part = attribution.mutagenesis(linear, TEXT, Output(0), region=(4, 9))
    np.testing.assert_allclose(part, effects[4:9], atol=1e-6)
    found = integrated(linear, TEXT, Output(0), baseline="composition")
    assert 0.5 < attribution.agreement(found, effects) <= 1
    curve = attribution.deletion(linear, TEXT, Output(0), found, shares=(0, 0.5, 1), draws=30)
    order = np.argsort(-found.per_token, kind="stable")
    assert curve["value"].tolist()[1:] == pytest.approx([own[order[15:]].sum(), 0], abs=1e-4)
    with pytest.raises(ValueError, match="a random order to compare with; received draws=0"):
        attribution.deletion(linear, TEXT, Output(0), found, draws=0)
    with pytest.raises(ValueError, match="a twin to compare with; received twins=0"):
        attribution.sanity(linear, found, lambda model: found, twins=0)
    # Where no base is known, there is no correlation, and nothing to warn of.
    assert np.isnan(attribution.agreement(found, np.full((len(TEXT), 4), np.nan)))


def test_n_contribute_nothing_and_windows_of_n_are_zero(linear):
    gap = TEXT[:10] + "NNN" + TEXT[13:]
    for baseline in ("n", "shuffle", "composition"):
        found, empty = (integrated(linear, text, Output(0), baseline=baseline) for text in (gap, "N" * 30))
        assert found.complete and (found.per_base()[10:13] == 0).all()
        assert empty.complete and (empty.per_base() == 0).all()


def test_networks_and_what_training_makes_of_them():
    text, network, (labels, outputs) = TEXTS[0], finetuning.network("cnn", outputs=2), LABELS["binary"]
    recipe = Recipe(steps=4, learning_rate=1e-3)
    tuned = finetuning.train_network(network, TEXTS, labels, kind="binary", outputs=outputs, recipe=recipe)

    def predicted(text):
        p = tuned.predict([text])[0].astype(float)
        return pytest.approx(np.log(p[1] / p[0]), abs=1e-4)

    asked = [weight.requires_grad for weight in network.parameters()]
    network.train()
    found = integrated(tuned, text, Output(1), shuffles=4)
    assert network.training and [weight.requires_grad for weight in network.parameters()] == asked
    assert (found.value, found.unit) == (predicted(text), "log-odds (nats)")
    bare = integrated(network, text, Output(1, against=0), shuffles=4)
    np.testing.assert_allclose(bare.per_base(), found.per_base(), atol=1e-5)
    started = integrated(tuned, text, Output(1), shuffles=1, seed=3, steps=1, most_steps=1)
    assert started.baseline_value == predicted(shuffle(text, k=2, seed=3))
    effects = attribution.mutagenesis(tuned, text, Output(1), region=(3, 5))
    assert effects[1, 0] + found.value == predicted(text[:4] + "A" + text[5:])
    checked = attribution.sanity(network, bare, lambda m: integrated(m, text, Output(1, against=0)), twins=1)
    assert abs(checked.correlations[0]) < 0.9
    with pytest.raises(ValueError, match="layers that draw their weights; Linear has none"):
        attribution.sanity(Linear(), bare, lambda m: bare)


@pytest.mark.parametrize("name", ["dnabert2_tiny", "hyenadna_tiny", "enformer_tiny"])
def test_peers_are_differentiated(name):
    """A direction in the mean of a layer, as embeddings have it, of words, single bases, and bins."""
    peer = models.load(FIXTURES / name, device="cpu")
    target = Direction(np.random.default_rng(1).normal(size=peer.hidden_size), layer=1)
    baseline = {"dnabert2_tiny": "mask", "hyenadna_tiny": "shuffle"}.get(name, "n")
    before = [weight.requires_grad for weight in peer.module.parameters()]
    found = integrated(peer, TEXT, target, baseline=baseline, shuffles=3)
    assert found.complete and len(found.per_base()) == 30
    assert [weight.requires_grad for weight in peer.module.parameters()] == before
    mean = peer.embed([peer.tokenize(TEXT)], layers=(1,))[0, 0, 0]
    assert found.value == pytest.approx(mean @ target.vector, abs=1e-4)
    assert found.per_base().sum() == pytest.approx(found.value - found.baseline_value, rel=0.011, abs=1e-4)
    assert reader(peer).values([TEXT], target)[0] == pytest.approx(found.value, abs=1e-5)
    if name == "enformer_tiny":
        # What Enformer's own embedding of the baseline's bases gives.
        for baseline, text in (("n", "N" * 30), ("shuffle", shuffle(TEXT, k=2, seed=3))):
            found = integrated(peer, TEXT, target, baseline=baseline, shuffles=1, seed=3, steps=1, most_steps=1)
            right = peer.embed([peer.tokenize(text)], layers=(1,))[0, 0, 0] @ target.vector
            assert found.baseline_value == pytest.approx(right, abs=1e-5)


def test_peers_say_what_cannot_be_asked_of_them():
    peers = (models.load(FIXTURES / f"{name}_tiny", device="cpu") for name in ("dnabert2", "hyenadna", "enformer"))
    dnabert2, hyena, enformer = peers
    base, direction = BaseProbability(3, "A"), Direction(np.ones(dnabert2.hidden_size), layer=0)
    cases = (
        (dnabert2, base, {}, "must come from a vocabulary of k-mers"),
        (dnabert2, direction, {"baseline": "shuffle"}, "cuts by what stands there. Take baseline='mask'"),
        (hyena, base, {"baseline": "n"}, "has no mask token"),
        (hyena, Direction(np.ones(hyena.hidden_size)), {}, "has no mask token"),
        (enformer, base, {}, "needs a mask token; enformer_tiny reads bases"),
        (enformer, Direction(np.ones(enformer.hidden_size)), {"baseline": "mask"}, "n, shuffle, composition for"),
        (enformer, Output(0), {}, "over scores; enformer_tiny gives states"),
        (dnabert2, direction, {"frames": 2}, "frames must be 1 to 1"),
    )
    for peer, target, options, message in cases:
        with pytest.raises(ValueError, match=message):
            integrated(peer, TEXT, target, **options)


def test_bpnet_is_differentiated_at_its_bases():
    """Both ends of the integral, and a changed base, are what the network says of those sequences."""
    sizes = {"width": 5, "layers": 2, "stem": 3, "head": 3, "strands": 1, "controls": 0, "trimming": 0}
    module = bpnet.BPNetNetwork(sizes | {"biases": (True, True)}).eval()
    peer = bpnet.BPNet(module, bpnet.Tokenizer("single-base"), "toy", 100, {})
    target = Direction(np.arange(5.0), layer=-1)

    def value(text):
        return pytest.approx(peer.embed([peer.tokenize(text)], layers=(2,))[0, 0, 0] @ target.vector, abs=1e-5)

    found = integrated(peer, TEXT, target, baseline="n", most_steps=2048)
    assert (found.value, found.baseline_value) == (value(TEXT), value("N" * 30)) and found.complete
    effects = attribution.mutagenesis(peer, TEXT, target, region=(8, 9))
    assert effects[0, 0] + found.value == value(TEXT[:8] + "A" + TEXT[9:])
    assert not module.iconv._forward_pre_hooks


def test_scores_of_other_shapes_are_refused():
    class Four(nn.Module):
        def forward(self, bases, mask):
            return bases[..., None]

    class One(nn.Module):
        def forward(self, bases, mask):
            return bases[:, 0].sum(1)

    with pytest.raises(ValueError, match=r"\[sequence, base, output\]; received shape \[1, 4, 30, 1\]"):
        point(Four(), TEXT, Output(0))
    np.testing.assert_array_equal(point(One(), TEXT, Output(0)).per_base(), one_hot(TEXT)[:, 0])
    with pytest.raises(ValueError, match="classes or tracks; received a bare network"):
        point(One(), TEXT, Output(0, scale="log-odds"))
    with pytest.raises(ValueError, match="over states; One gives scores. Ask for Output"):
        point(One(), TEXT, Direction(np.ones(3)))


def test_hooks_and_modes_return_after_an_error():
    class Broken(Linear):
        def forward(self, bases, mask):
            return super().forward(bases, mask) * torch.where(bases.sum() > 0, torch.nan, 1.0)

    network = Broken().train()
    for attribute, options in ((point, {}), (integrated, {"baseline": "n"})):
        with pytest.raises(ValueError, match="Gradients must be finite; 30 of 30 tokens of Broken"):
            attribute(network, TEXT, Output(0), **options)
    assert network.training and network.weight.requires_grad and network.weight.grad is None


@pytest.fixture(scope="module")
def tiny():
    return models.load(FIXTURES / "nt_v2_tiny", device="cpu")


@pytest.fixture(scope="module")
def tuned(tiny):
    recipe = Recipe(learning_rate=0.02, steps=3, evaluate_every=3, batch_size=8)
    options = {"method": "head", "recipe": recipe, "validation_share": 0.25}
    tune = finetuning.tune
    return {kind: tune(tiny, TEXTS, labels, kind=kind, outputs=n, **options) for kind, (labels, n) in LABELS.items()}


def log_odds(p):
    return np.log(p / (1 - p))


@pytest.mark.parametrize("kind", LABELS)
def test_outputs_are_what_predictions_come_from(tuned, kind):
    learned, position = tuned[kind], 7 if kind == "per_base" else None
    said = learned.predict([TEXTS[0]])[0].astype(float)[... if position is None else position]
    for index in range(learned.outputs):
        found = point(learned, TEXTS[0], Output(index, position=position))
        expected = said[index] if kind == "regression" else log_odds(said[index])
        assert found.value == pytest.approx(expected, abs=1e-4)
        assert found.unit == ("value" if kind == "regression" else "log-odds (nats)")
    contrast = point(learned, TEXTS[0], Output(0, against=1, position=position)).value
    scale = {"regression": float, "multilabel": log_odds}.get(kind, np.log)
    assert contrast == pytest.approx(scale(said[0]) - scale(said[1]), abs=1e-4)
    whole = integrated(learned, TEXTS[0], Output(1, position=position))
    assert whole.complete and whole.per_token.sum() == pytest.approx(whole.value - whole.baseline_value, rel=0.011)


def test_gradients_of_a_tuned_head_are_those_of_a_change_in_the_embedding(tuned):
    """One number of one vector moved a little by hand, through the whole learner."""
    learned, step = tuned["binary"], 1e-2
    layer = learned.learner.encoder.get_input_embeddings()
    tokens, found = learned.learner.model.tokenize(TEXTS[0]), point(learned, TEXTS[0], Output(1))
    base = layer(torch.from_numpy(tokens.ids.copy()))[None].detach()

    def value(token, factor):
        vectors = base.clone()
        vectors[0, token] *= factor
        handle = layer.register_forward_hook(lambda *_: vectors)
        with torch.no_grad():
            scores = learned.learner(learned.learner.prepare([TEXTS[0]]))[0].double()
        handle.remove()
        return float(scores[1] - scores[0])

    for token in (1, 4):
        slope = (value(token, 1 + step) - value(token, 1 - step)) / (2 * step)
        assert found.per_token[token] == pytest.approx(slope, rel=0.02, abs=1e-5)


def test_targets_are_asked_of_many_sequences(tuned):
    learned = tuned["binary"]
    texts = [*TEXTS[:3], TEXTS[3][:30], TEXTS[4][:10] + "N" + TEXTS[4][11:]]
    said = np.concatenate([learned.predict([text]) for text in texts])[:, 1].astype(float)
    assert attribution.ask(learned, texts, Output(1)) == pytest.approx(log_odds(said), abs=1e-4)
    for wrong, told in ((TEXTS[0], "one text"), ([], "none")):
        with pytest.raises(ValueError, match=f"a list with at least one sequence; received {told}"):
            attribution.ask(learned, wrong, Output(1))


def test_twins_of_a_tuned_model_draw_everything_anew(tuned):
    learned = tuned["binary"]
    found = integrated(learned, TEXTS[0], Output(1))
    checked = attribution.sanity(learned, found, lambda model: integrated(model, TEXTS[0], Output(1)), twins=2)
    assert checked.correlations.shape == (2,) and np.abs(checked.correlations).max() < 0.99
    curve = attribution.deletion(learned, TEXTS[0], Output(1), found, shares=(0, 1), draws=3)
    assert curve["value"].tolist() == pytest.approx([found.value, found.baseline_value], abs=1e-4)


@pytest.fixture(scope="module")
def vectors(tiny):
    return tiny.embed([tiny.tokenize(text) for text in TEXTS], layers=(2,))[:, 0, 0]


def probe_on(vectors, kind, method):
    labels, outputs = LABELS[kind]
    return Fitted(kind, outputs, Setting(method, 2, strength=0.1, hidden=(8, 4)), 0).fit(vectors, labels)


@pytest.mark.parametrize("method", ["logistic", "mlp"])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_probes_are_what_their_predictions_come_from(tiny, vectors, kind, method):
    fitted = probe_on(vectors, kind, method)
    said = fitted.predict(vectors[:1])[0]
    for index in range(fitted.classes):
        expected = said[index] if kind == "regression" else log_odds(said[index])
        assert point(tiny, TEXTS[0], Probe(fitted, index)).value == pytest.approx(expected, abs=1e-3)
    found = integrated(tiny, TEXTS[0], Probe(fitted, 1), most_steps=128)
    # Rectifiers bend the way, and what is added up there may be far more than the change: the error is told, and small beside that.
    missing = abs(found.per_token.sum() - (found.value - found.baseline_value))
    assert missing <= 0.02 * np.abs(found.per_token).sum() and (found.complete or method == "mlp")
    assert found.unit == ("value" if kind == "regression" else "log-odds (nats)")


def test_a_linear_probe_is_a_direction(tiny, vectors):
    """Log-odds of logistic regression are a product with the mean state, its scaler undone by hand."""
    fitted = probe_on(vectors, "binary", "logistic")
    vector = fitted._estimator.coef_[0] / fitted._spread
    offset = float(fitted._estimator.intercept_[0] - fitted._mean @ vector)
    targets = (Direction(vector, layer=2, offset=offset), Probe(fitted, 1), Probe(fitted, 0))
    by_hand, probe, other = (integrated(tiny, TEXTS[3], target).per_token for target in targets)
    np.testing.assert_allclose(probe, by_hand, atol=1e-4)
    np.testing.assert_allclose(other, -probe, atol=1e-4)


def test_probes_know_only_what_varied(tiny, vectors):
    labels = LABELS["multilabel"][0] * [1, 0, 1]
    for method, varied, index in (("logistic", labels, 2), ("mlp", labels * [1, 0, 0], 0)):
        fitted = Fitted("multilabel", 3, Setting(method, 2), 0).fit(vectors, varied)
        value = point(tiny, TEXTS[0], Probe(fitted, index)).value
        assert value == pytest.approx(log_odds(fitted.predict(vectors[:1])[0, index]), abs=1e-3)
        with pytest.raises(ValueError, match=rf"fitted to, of \[0{', 2' * (index == 2)}\]; received 1"):
            point(tiny, TEXTS[0], Probe(fitted, 1))
    with pytest.raises(ValueError, match="a track that varies; all 3 have one value"):
        Fitted("multilabel", 3, Setting("logistic", 2), 0).fit(vectors, labels * 0).layers()


def test_outputs_that_are_not_there_are_refused(tiny, tuned, vectors):
    fitted = probe_on(vectors, "regression", "logistic")
    labels, setting = LABELS["regression"][0], replace(fitted.setting, features="layer 2")
    wide = Fitted("regression", 2, fitted.setting, 0).fit(np.hstack([vectors, vectors]), labels)
    unnamed = Fitted("regression", 2, setting, 0).fit(vectors, labels)
    cases = (
        (lambda: Output(0, 0), "two outputs of a contrast must differ; received 0 twice"),
        (lambda: Output(-1), "counted from 0; received -1"),
        (lambda: Output(0, scale="odds"), "one of log-odds, score; received 'odds'"),
        (lambda: point(tuned["regression"], TEXTS[0], Output(0, scale="log-odds")), "need classes or tracks; received regression"),
        (lambda: point(tuned["per_base"], TEXTS[0], Output(0)), "needs a position, and others have none"),
        (lambda: point(tuned["binary"], TEXTS[0], Output(0, position=3)), r"received position 3 for scores of shape \[1, 2\]"),
        (lambda: point(tuned["per_base"], TEXTS[0], Output(0, position=36)), "0 to 35; received 36"),
        (lambda: point(tuned["binary"], TEXTS[0], BaseProbability(3, "A")), "BaseProbability is a target over states; nt_v2_tiny, tuned gives scores. Ask for Output"),
        (lambda: Probe(tiny), "must be fitted and have kind"),
        (lambda: Probe(unnamed), "its vectors are called 'layer 2'"),
        (lambda: point(tiny, TEXTS[0], Probe(wide)), "48 numbers; this one takes 96"),
        (lambda: point(tiny, TEXTS[0], Probe(fitted, layer=9)), "layer of a target must lie in 0"),
        (lambda: point(tiny, TEXTS[0], Probe(fitted, scale="log-odds")), "received regression"),
    )  # fmt: skip
    for ask, message in cases:
        with pytest.raises(ValueError, match=message):
            ask()
    assert Output(1, position=7).mirrored(36) == Output(1, position=28)
    again = point(tiny, TEXTS[0], Probe(unnamed, layer=2)).value
    assert again == pytest.approx(fitted.predict(vectors[:1])[0, 0], abs=1e-3)
