"""Attributions of trained outputs: scores are those that predictions come from, whatever was trained, and nothing of it changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ntviz import attribution, finetuning, models
from ntviz.attribution import BaseProbability, Direction, Output, Probe
from ntviz.finetuning import Recipe
from ntviz.genome.sequence import reverse_complement
from ntviz.probing.estimators import Fitted, Setting

FIXTURES = Path(__file__).parent / "fixtures"
RNG = np.random.default_rng(11)
TEXTS = ["".join(RNG.choice(list("ACGT"), 36)) for _ in range(24)]
QUICK = Recipe(learning_rate=0.02, steps=3, evaluate_every=3, batch_size=8)
LABELS = {
    "binary": (np.arange(24) % 2, 2),
    "multiclass": (np.arange(24) % 3, 3),
    "multilabel": (RNG.integers(0, 2, (24, 3)), 3),
    "regression": (RNG.normal(4, 2, (24, 2)), 2),
    "per_base": (RNG.integers(0, 3, (24, 36)), 3),
}


@pytest.fixture(scope="module")
def tiny():
    return models.load(FIXTURES / "nt_v2_tiny", device="cpu")


def tuned_on(model, kind: str, method: str = "head") -> finetuning.Tuned:
    labels, outputs = LABELS[kind]
    return finetuning.tune(
        model, TEXTS, labels, kind=kind, outputs=outputs, method=method, recipe=QUICK, validation_share=0.25
    )


@pytest.fixture(scope="module")
def tuned(tiny):
    return {kind: tuned_on(tiny, kind) for kind in LABELS}


def log_odds(p):
    return np.log(p / (1 - p))


@pytest.mark.parametrize("kind", LABELS)
def test_outputs_are_what_predictions_come_from(tuned, kind):
    learned = tuned[kind]
    said = learned.predict([TEXTS[0]])[0].astype(float)
    position = 7 if kind == "per_base" else None
    said = said if position is None else said[position]
    for index in range(learned.outputs):
        target = Output(index, position=position)
        found = attribution.gradient_times_input(learned, TEXTS[0], target)
        expected = said[index] if kind == "regression" else log_odds(said[index])
        assert found.value == pytest.approx(expected, abs=1e-4)
        assert found.unit == ("value" if kind == "regression" else "log-odds (nats)")
    contrast = attribution.gradient_times_input(
        learned, TEXTS[0], Output(0, against=1, position=position)
    ).value
    if kind == "regression":
        between = said[0] - said[1]
    elif kind == "multilabel":
        between = log_odds(said[0]) - log_odds(said[1])
    else:
        between = np.log(said[0] / said[1])
    assert contrast == pytest.approx(between, abs=1e-4)
    whole = attribution.integrated_gradients(learned, TEXTS[0], Output(1, position=position))
    assert whole.complete
    assert whole.per_token.sum() == pytest.approx(whole.value - whole.baseline_value, rel=0.011)


def state_of(learner):
    hooks = [
        len(held)
        for module in learner.modules()
        for held in (module._forward_hooks, module._forward_pre_hooks)
    ]
    asked = [p.requires_grad for p in learner.parameters()]
    modes = [m.training for m in learner.modules()]
    weights = [p.detach().clone() for p in learner.parameters()]
    slopes = [id(p.grad) for p in learner.parameters()]
    return hooks, asked, modes, slopes, weights


@pytest.mark.parametrize("method", ["ia3", "lora", "full", "head"])
def test_every_way_of_tuning_can_be_attributed_and_stays_as_it_was(tiny, method):
    learned = tuned_on(tiny, "binary", method)
    learned.predict(TEXTS[:1])
    learned.learner.head.train()
    learned.learner.head.linear.requires_grad_(True)
    before = state_of(learned.learner)
    found = attribution.integrated_gradients(learned, TEXTS[0], Output(1), baseline="shuffle", shuffles=2)
    assert found.complete
    with pytest.raises(ValueError, match="Outputs must be 0 to 1; received 5"):
        attribution.integrated_gradients(learned, TEXTS[0], Output(5))
    after = state_of(learned.learner)
    assert after[:4] == before[:4]
    assert all(torch.equal(one, other) for one, other in zip(after[4], before[4], strict=True))
    assert found.value == pytest.approx(log_odds(learned.predict(TEXTS[:1])[0, 1].astype(float)), abs=1e-4)


def test_gradients_of_a_tuned_head_are_those_of_a_change_in_the_embedding(tuned):
    """One number of one vector moved a little by hand, through the whole learner."""
    learned = tuned["binary"]
    layer = learned.learner.encoder.get_input_embeddings()
    tokens = learned.learner.model.tokenize(TEXTS[0])
    found = attribution.gradient_times_input(learned, TEXTS[0], Output(1))
    base = layer(torch.from_numpy(tokens.ids.copy()))[None].detach()

    def value(vectors):
        handle = layer.register_forward_hook(lambda *_: vectors)
        with torch.no_grad():
            scores = learned.learner(learned.learner.prepare([TEXTS[0]]))[0].double()
        handle.remove()
        return float(scores[1] - scores[0])

    step = 1e-2
    for token in (1, 4):
        ahead, behind = base.clone(), base.clone()
        ahead[0, token] *= 1 + step
        behind[0, token] *= 1 - step
        slope = (value(ahead) - value(behind)) / (2 * step)
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
    found = attribution.integrated_gradients(learned, TEXTS[0], Output(1))
    checked = attribution.sanity(
        learned, found, lambda model: attribution.integrated_gradients(model, TEXTS[0], Output(1)), twins=2
    )
    assert checked.correlations.shape == (2,)
    assert np.abs(checked.correlations).max() < 0.99
    curve = attribution.deletion(learned, TEXTS[0], Output(1), found, shares=(0, 1), draws=3)
    assert curve["value"].iloc[0] == pytest.approx(found.value, abs=1e-5)
    assert curve["value"].iloc[1] == pytest.approx(found.baseline_value, abs=1e-4)
    alone = SimpleNamespace(name="fixed", learner=None)
    alone.modules = lambda: iter(())
    with pytest.raises(ValueError, match="layers that draw their weights; SimpleNamespace has none"):
        attribution.sanity(alone, found, lambda model: found)


def vectors_of(model, layer):
    return model.embed([model.tokenize(text) for text in TEXTS], layers=(layer,))[:, 0, 0]


@pytest.fixture(scope="module")
def vectors(tiny):
    return vectors_of(tiny, 2)


def probe_on(vectors, kind, method):
    labels, outputs = LABELS[kind]
    setting = Setting(method, 2, strength=0.1, hidden=(8, 4))
    return Fitted(kind, outputs, setting, 0).fit(vectors, labels)


@pytest.mark.parametrize("method", ["logistic", "mlp"])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_probes_are_what_their_predictions_come_from(tiny, vectors, kind, method):
    fitted = probe_on(vectors, kind, method)
    said = fitted.predict(vectors[:1])[0]
    for index in range(fitted.classes):
        found = attribution.gradient_times_input(tiny, TEXTS[0], Probe(fitted, index))
        expected = said[index] if kind == "regression" else log_odds(said[index])
        assert found.value == pytest.approx(expected, abs=1e-3)
    found = attribution.integrated_gradients(tiny, TEXTS[0], Probe(fitted, 1), most_steps=128)
    # Rectifiers bend the way, and what is added up there may be far more than the change: the error is told, and small beside that.
    missing = abs(found.per_token.sum() - (found.value - found.baseline_value))
    assert missing <= 0.02 * np.abs(found.per_token).sum()
    assert found.complete or method == "mlp"
    assert found.unit == ("value" if kind == "regression" else "log-odds (nats)")


def test_a_linear_probe_is_a_direction(tiny, vectors):
    """Log-odds of logistic regression are a product with the mean state, its scaler undone by hand."""
    fitted = probe_on(vectors, "binary", "logistic")
    one = fitted._estimator
    vector = one.coef_[0] / fitted._spread
    offset = float(one.intercept_[0] - fitted._mean @ vector)
    direction = Direction(vector, layer=2, offset=offset)
    by_hand = attribution.integrated_gradients(tiny, TEXTS[3], direction)
    found = attribution.integrated_gradients(tiny, TEXTS[3], Probe(fitted, 1))
    np.testing.assert_allclose(found.per_token, by_hand.per_token, atol=1e-4)
    other = attribution.integrated_gradients(tiny, TEXTS[3], Probe(fitted, 0))
    np.testing.assert_allclose(other.per_token, -found.per_token, atol=1e-4)


def test_probes_know_only_what_varied(tiny, vectors):
    labels = LABELS["multilabel"][0].copy()
    labels[:, 1] = 0
    fitted = Fitted("multilabel", 3, Setting("logistic", 2), 0).fit(vectors, labels)
    said = fitted.predict(vectors[:1])[0]
    found = attribution.gradient_times_input(tiny, TEXTS[0], Probe(fitted, 2))
    assert found.value == pytest.approx(log_odds(said[2]), abs=1e-3)
    with pytest.raises(ValueError, match=r"fitted to, of \[0, 2\]; received 1"):
        attribution.gradient_times_input(tiny, TEXTS[0], Probe(fitted, 1))
    flat = Fitted("multilabel", 3, Setting("logistic", 2), 0).fit(vectors, labels * 0)
    with pytest.raises(ValueError, match="a track that varies; all 3 have one value"):
        flat.layers()
    single = Fitted("multilabel", 3, Setting("mlp", 2), 0).fit(vectors, labels * [1, 0, 0])
    said = single.predict(vectors[:1])[0]
    found = attribution.gradient_times_input(tiny, TEXTS[0], Probe(single, 0))
    assert found.value == pytest.approx(log_odds(said[0]), abs=1e-3)


def test_both_strands_of_an_output_by_base(tuned):
    target = Output(1, position=7)
    both = attribution.integrated_gradients(tuned["per_base"], TEXTS[0], target, both_strands=True)
    one = attribution.integrated_gradients(tuned["per_base"], TEXTS[0], target)
    other = attribution.integrated_gradients(
        tuned["per_base"], reverse_complement(TEXTS[0]), Output(1, position=28)
    )
    np.testing.assert_allclose(both.per_base(), (one.per_base() + other.per_base()[::-1]) / 2, atol=1e-6)


def test_outputs_that_are_not_there_are_refused(tiny, tuned, vectors):
    fitted = probe_on(vectors, "regression", "logistic")
    wide = Fitted("regression", 2, Setting("logistic", 2), 0).fit(
        np.hstack([vectors, vectors]), LABELS["regression"][0]
    )
    named = replace(fitted.setting, features="layer 2")
    unnamed = Fitted("regression", 2, named, 0).fit(vectors, LABELS["regression"][0])
    gradient = attribution.gradient_times_input
    cases = (
        (lambda: Output(0, 0), "two outputs of a contrast must differ; received 0 twice"),
        (lambda: Output(-1), "counted from 0; received -1"),
        (lambda: Output(0, scale="odds"), "one of log-odds, score; received 'odds'"),
        (lambda: gradient(tuned["regression"], TEXTS[0], Output(0, scale="log-odds")), "need classes or tracks; received regression"),
        (lambda: gradient(tuned["per_base"], TEXTS[0], Output(0)), "needs a position, and others have none"),
        (lambda: gradient(tuned["binary"], TEXTS[0], Output(0, position=3)), r"received position 3 for scores of shape \[1, 2\]"),
        (lambda: gradient(tuned["per_base"], TEXTS[0], Output(0, position=36)), "0 to 35; received 36"),
        (lambda: gradient(tuned["binary"], TEXTS[0], BaseProbability(3, "A")), "BaseProbability is a target over states; nt_v2_tiny, tuned gives scores. Ask for Output"),
        (lambda: Probe(tiny), "must be fitted and have kind"),
        (lambda: Probe(unnamed), "its vectors are called 'layer 2'"),
        (lambda: gradient(tiny, TEXTS[0], Probe(wide)), "48 numbers; this one takes 96"),
        (lambda: gradient(tiny, TEXTS[0], Probe(fitted, layer=9)), "layer of a target must lie in 0"),
        (lambda: gradient(tiny, TEXTS[0], Probe(fitted, scale="log-odds")), "received regression"),
    )  # fmt: skip
    for ask, message in cases:
        with pytest.raises(ValueError, match=message):
            ask()
    again = gradient(tiny, TEXTS[0], Probe(unnamed, layer=2)).value
    assert again == pytest.approx(fitted.predict(vectors[:1])[0, 0], abs=1e-3)
