"""Attributions: complete, equal to what they are by definition, and told from what random weights give."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ntviz import attribution, environment, finetuning, models
from ntviz.attribution import BaseProbability, Direction, Output
from ntviz.attribution.reader import reader, within_memory
from ntviz.genome import Interval
from ntviz.genome.sequence import reverse_complement, shuffle
from ntviz.tokens import base_log_probs

FIXTURES = Path(__file__).parent / "fixtures"
SEQUENCE = "".join(np.random.default_rng(7).choice(list("ACGT"), 64))


@pytest.fixture(scope="module", params=["nt_v1_tiny", "nt_v2_tiny"])
def tiny(request):
    return models.load(FIXTURES / request.param, device="cpu")


@pytest.fixture(scope="module")
def mini():
    return models.load(device="cpu")


def target_of(model) -> Direction:
    return Direction(np.random.default_rng(1).normal(size=model.hidden_size), layer=1)


def test_targets_are_what_the_model_says(tiny):
    """Each target against the plain forward pass and the tables of marginals."""
    tokens = tiny.tokenize(SEQUENCE)
    for position in (0, 27, len(SEQUENCE) - 1):
        index = tokens.token_at(position)
        ids = tokens.ids.copy()
        ids[index] = tiny.mask_id
        expected = base_log_probs(tokens, tiny.forward(ids[None]).logits[0])[position]
        for code, base in enumerate("ACGT"):
            found = attribution.gradient_times_input(tiny, SEQUENCE, BaseProbability(position, base))
            assert found.value == pytest.approx(expected[code], abs=1e-5)
        contrast = attribution.gradient_times_input(tiny, SEQUENCE, BaseProbability(position, "A", "G"))
        assert contrast.value == pytest.approx(expected[0] - expected[2], abs=1e-5)
    direction = target_of(tiny)
    mean = tiny.embed([tokens], layers=(1,))[0, 0, 0]
    assert attribution.gradient_times_input(tiny, SEQUENCE, direction).value == pytest.approx(
        mean @ direction.vector, abs=1e-4
    )


@pytest.mark.parametrize("baseline", ["mask", "n", "shuffle", "composition"])
def test_integrated_gradients_add_up(tiny, baseline):
    for target in (BaseProbability(27, "C"), target_of(tiny)):
        found = attribution.integrated_gradients(tiny, SEQUENCE, target, baseline=baseline)
        assert found.complete, found
        change = found.value - found.baseline_value
        assert found.per_token.sum() == pytest.approx(change, rel=0.011)
        assert found.per_base().sum() == pytest.approx(
            found.per_token[~found.tokens.is_special].sum(), abs=1e-9
        )
        # What is the same in sequence and baseline contributes nothing; v1 scales <cls> by how much is masked.
        if baseline != "mask" or not tiny.module.config.token_dropout:
            assert found.per_token[found.tokens.is_special] == pytest.approx(0)
        for index in target.masked(found.tokens):
            assert found.per_token[index] == 0


def test_the_integral_is_the_sum_of_gradients_along_the_way(tiny):
    """The same integral by a plain loop over 100 midpoints, a gradient each."""
    target = target_of(tiny)
    tokens = tiny.tokenize(SEQUENCE)
    embeddings = tiny.module.esm.embeddings
    ids = torch.from_numpy(tokens.ids.copy())[None]
    other = torch.where(torch.from_numpy(tokens.is_special.copy()), ids, tiny.mask_id)
    with torch.no_grad():
        end, start = (embeddings.word_embeddings(each) for each in (ids, other))
        if tiny.module.config.token_dropout:
            start[:, 1:] = 0
            # One of n tokens, <cls>, is left; as transformers trains: 0.15 masked, 0.8 of these dropped.
            end, start = end * 0.88, start * 0.88 * len(tokens)
    total = torch.zeros_like(end)
    n = 100
    for step in range(n):
        vectors = (start + (step + 0.5) / n * (end - start)).requires_grad_()
        read = embeddings(inputs_embeds=vectors)
        handle = embeddings.register_forward_hook(lambda *_, read=read: read)
        states = tiny.module.esm(input_ids=ids, output_hidden_states=True).hidden_states
        handle.remove()
        total += torch.autograd.grad(target.score(tiny, states, tokens).sum(), vectors)[0] / n
    expected = ((end - start) * total)[0].sum(-1).double().numpy()
    found = attribution.integrated_gradients(tiny, SEQUENCE, target, steps=64)
    np.testing.assert_allclose(found.per_token, expected, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize("baseline", ["mask", "n", "shuffle"])
@pytest.mark.parametrize("name", ["nt_v1_tiny", "nt_v2_tiny", "dnabert2_tiny", "hyenadna_tiny", "mini"])
def test_the_value_at_a_baseline_is_the_models_own(name, baseline):
    """The plain forward pass of transformers, or of the peer, over the ids of the baseline."""
    model = models.load(device="cpu") if name == "mini" else models.load(FIXTURES / name, device="cpu")
    text = "ACGTGA" * 9  # a shuffle that DNABERT-2 cuts elsewhere is refused
    target, tokens = target_of(model), model.tokenize(text)
    given = {"baseline": baseline, "shuffles": 1, "seed": 3, "steps": 1, "most_steps": 1}
    refused = {
        ("hyenadna_tiny", "mask"): "reads both sides",
        ("dnabert2_tiny", "shuffle"): "cut where the sequence is",
    }
    if (name, baseline) in refused:
        with pytest.raises(ValueError, match=refused[name, baseline]):
            attribution.integrated_gradients(model, text, target, **given)
        return
    found = attribution.integrated_gradients(model, text, target, **given)
    ids = tokens.ids.copy()
    if baseline == "shuffle":
        ids = model.tokenize(shuffle(text, k=2, seed=3)).ids
    else:
        words = model.tokenizer.vocabulary
        hidden = model.mask_id if baseline == "mask" else getattr(words, "n_id", None) or words.unk_id
        ids[~tokens.is_special] = hidden
    row = torch.from_numpy(ids.copy())[None]
    with torch.no_grad():
        if hasattr(model.module, "esm"):
            states = model.module(input_ids=row, output_hidden_states=True).hidden_states
        else:
            states = model.module.states(row, torch.ones_like(row, dtype=torch.bool)).hidden
    mean = states[1][0, ~tokens.is_special].mean(0).double().numpy()
    assert found.baseline_value == pytest.approx(float(mean @ target.vector), abs=1e-4)


@pytest.mark.parametrize("method", ["head", "ia3", "lora", "full"])
@pytest.mark.parametrize("name", ["nt_v1_tiny", "nt_v2_tiny"])
def test_the_value_at_a_baseline_is_that_of_the_tuned_model(name, method):
    model = models.load(FIXTURES / name, device="cpu")
    texts = [SEQUENCE[: 30 + row] for row in range(12)]
    tuned = finetuning.tune(
        model, texts, [0, 1] * 6, kind="binary", outputs=2, method=method, recipe=finetuning.Recipe(steps=2)
    )
    found = attribution.integrated_gradients(
        tuned, SEQUENCE, Output(1), baseline="mask", steps=1, most_steps=1
    )
    (item,) = tuned.learner.prepare([SEQUENCE])
    ids = np.where(item.item.is_special, item.item.ids, model.mask_id)
    with torch.no_grad():
        scores = tuned.learner([item._replace(item=dataclasses.replace(item.item, ids=ids))])[0]
    own = attribution.integrated_gradients(tuned, SEQUENCE, Output(1), baseline="n", steps=1, most_steps=1)
    plain = tuned.learner([item])[0].detach()
    of = Output(1).score(tuned, torch.stack([scores, plain]), item.item).numpy()
    assert (found.baseline_value, own.value) == (
        pytest.approx(of[0], abs=1e-5),
        pytest.approx(of[1], abs=1e-5),
    )


def test_steps_are_added_until_it_is_complete_or_said(mini):
    target = BaseProbability(30, SEQUENCE[30])
    few = attribution.integrated_gradients(mini, SEQUENCE, target, steps=1, most_steps=1)
    more = attribution.integrated_gradients(mini, SEQUENCE, target, steps=1)
    assert few.steps == 1
    assert more.steps > 1
    assert more.complete
    assert more.error < few.error
    assert ("%" in repr(few)) and ("1 steps" in repr(few))


def hooks_of(model) -> list[int]:
    return [
        len(held)
        for module in model.module.modules()
        for held in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    ]


def test_nothing_is_left_behind(tiny):
    before = {name: value.clone() for name, value in tiny.module.state_dict().items()}
    tiny.embed([tiny.tokenize(SEQUENCE)], layers=(0,))  # transformers installs hooks of its own, once
    hooks = hooks_of(tiny)
    tiny.module.train()
    try:
        attribution.integrated_gradients(tiny, SEQUENCE, target_of(tiny))
        assert tiny.module.training
        attribution.mutagenesis(tiny, SEQUENCE, target_of(tiny), region=(0, 3))
        assert tiny.module.training
    finally:
        tiny.module.eval()
    with pytest.raises(ValueError, match="layer of a target must lie in 0"):
        attribution.integrated_gradients(tiny, SEQUENCE, Direction(np.zeros(tiny.hidden_size), layer=99))
    assert not tiny.module.training
    assert all(p.requires_grad for p in tiny.module.esm.encoder.parameters())
    assert hooks_of(tiny) == hooks
    for name, value in tiny.module.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in tiny.module.parameters())


def test_mutagenesis_is_a_pass_for_each_change(tiny):
    target = BaseProbability(27, "T")
    found = attribution.mutagenesis(tiny, SEQUENCE, target, region=(20, 34))
    assert found.shape == (14, 4)
    whole = attribution.gradient_times_input(tiny, SEQUENCE, target).value
    for position in (20, 33):
        for code, base in enumerate("ACGT"):
            changed = SEQUENCE[:position] + base + SEQUENCE[position + 1 :]
            expected = attribution.gradient_times_input(tiny, changed, target).value - whole
            assert found[position - 20, code] == pytest.approx(expected, abs=1e-5)
    # What the target hides cannot matter: bases 24 to 29 are one token.
    np.testing.assert_allclose(found[4:10], 0, atol=1e-6)
    gap = SEQUENCE[:5] + "N" + SEQUENCE[6:]
    assert np.isnan(attribution.mutagenesis(tiny, gap, target_of(tiny), region=(5, 7))[0]).all()


def test_occlusion_is_the_mean_of_the_windows_over_a_base(tiny):
    target = BaseProbability(40, "T")
    found = attribution.occlusion(tiny, SEQUENCE, target, width=3, region=(30, 44))
    whole = attribution.gradient_times_input(tiny, SEQUENCE, target).value
    drops = []
    for left in (30, 31, 32):
        text = SEQUENCE[:left] + "NNN" + SEQUENCE[left + 3 :]
        drops.append(whole - attribution.gradient_times_input(tiny, text, target).value)
    assert found[2] == pytest.approx(np.mean(drops), abs=1e-5)
    assert found[0] == pytest.approx(drops[0], abs=1e-5)
    assert np.isnan(found[10])  # only windows that hide the target's own base cover it
    assert np.isfinite(found[[9, 11]]).sum() == 2


def test_both_strands_are_the_mean_of_each(tiny):
    target = BaseProbability(27, "C", "T")
    both = attribution.integrated_gradients(tiny, SEQUENCE, target, both_strands=True)
    one = attribution.integrated_gradients(tiny, SEQUENCE, target)
    mirrored = BaseProbability(len(SEQUENCE) - 28, "G", "A")
    other = attribution.integrated_gradients(tiny, reverse_complement(SEQUENCE), mirrored)
    np.testing.assert_allclose(both.per_base(), (one.per_base() + other.per_base()[::-1]) / 2)
    assert both.value == pytest.approx((one.value + other.value) / 2)
    with pytest.raises(ValueError, match="Strands and frames have tokens of their own"):
        both.per_base("none")


def test_a_table_stands_on_the_genome(tiny):
    found = attribution.gradient_times_input(tiny, SEQUENCE, target_of(tiny))
    plus = found.table(Interval("chr20", 100, 164))
    assert list(plus.columns) == ["chrom", "start", "end", "base", "attribution"]
    assert (plus["start"].iloc[0], plus["end"].iloc[-1]) == (100, 164)
    minus = found.table(Interval("chr20", 100, 164, "-"))
    assert (minus["start"].iloc[0], minus["start"].iloc[-1]) == (163, 100)
    assert "".join(minus["base"]) == SEQUENCE
    assert found.table()["position"].tolist() == list(range(64))
    with pytest.raises(ValueError, match="as long as the sequence, 64 bp; received 10 bp"):
        found.table(Interval("chr20", 0, 10))
    sizes = found.tokens.spans[1:, 1] - found.tokens.spans[1:, 0]
    np.testing.assert_allclose(found.per_base("none"), np.repeat(found.per_token[1:], sizes))


def test_a_trained_model_is_told_from_random_weights(mini):
    """On real sequence: deletion falls faster than chance, mutagenesis agrees, twins do not."""
    from ntviz import data
    from ntviz.reference import Reference

    with Reference(data.bundle("chr20")) as reference:
        sequence = reference.fetch("chr20:45,000,001-45,000,300").sequence
    target = BaseProbability(150, sequence[150])
    found = attribution.integrated_gradients(mini, sequence, target, baseline="mask")
    assert found.complete
    curve = attribution.deletion(mini, sequence, target, found, shares=(0, 0.3, 1), draws=10)
    assert curve["value"].iloc[0] == pytest.approx(found.value, abs=1e-5)
    assert curve["value"].iloc[2] == pytest.approx(curve["random"].iloc[2], abs=1e-5)
    assert curve["value"].iloc[1] < curve["random_low"].iloc[1]
    effects = attribution.mutagenesis(mini, sequence, target)
    assert -1 <= attribution.agreement(found, effects) <= 1
    checked = attribution.sanity(
        mini, found, lambda model: attribution.integrated_gradients(model, sequence, target), twins=2
    )
    assert checked.correlations.shape == (2,)
    assert np.abs(checked.correlations).max() < 0.5
    assert checked.ratio < 1


def test_agreement_of_a_thing_with_itself_is_one(tiny):
    found = attribution.gradient_times_input(tiny, SEQUENCE, target_of(tiny))
    effects = np.repeat(-found.per_base()[:, None] * 0.75, 4, axis=1)
    assert attribution.agreement(found, effects) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"\[base, 4\] over all 64 bp; received shape \(3, 4\)"):
        attribution.agreement(found, effects[:3])


def test_several_sequences_are_as_each_alone(tiny):
    rng = np.random.default_rng(3)
    texts = ["".join(rng.choice(list("ACGT"), n)) for n in (60, 60, 66, 60)] + ["ACGTN" * 6]
    targets = [BaseProbability(22, base) for base in "ACCGT"]
    together = attribution.integrated_gradients(tiny, texts, targets)
    points = attribution.gradient_times_input(tiny, texts, targets)
    for text, target, found, point in zip(texts, targets, together, points, strict=True):
        alone = attribution.integrated_gradients(tiny, text, target)
        assert found.tokens.sequence == text
        assert found.steps == alone.steps
        np.testing.assert_allclose(found.per_token, alone.per_token, atol=1e-5)
        np.testing.assert_allclose(
            point.per_token, attribution.gradient_times_input(tiny, text, target).per_token, atol=1e-5
        )


def test_several_baselines_each_weigh_the_same(tiny):
    target = target_of(tiny)
    both = attribution.integrated_gradients(tiny, SEQUENCE, target, baseline=("mask", "shuffle"), shuffles=3)
    each = [
        attribution.integrated_gradients(tiny, SEQUENCE, target, baseline=name, shuffles=3)
        for name in ("mask", "shuffle")
    ]
    assert both.baseline == "mask + shuffle"
    assert [(one.name, one.draws) for one in both.compared] == [("mask", 1), ("shuffle", 3)]
    np.testing.assert_allclose(
        both.per_token,
        np.mean([one.per_token for one in each], axis=0),
        atol=2e-3 * np.abs(both.per_token).max(),
    )
    assert both.baseline_value == pytest.approx(np.mean([one.baseline_value for one in each]), abs=1e-5)
    for told, one in zip(both.compared, each, strict=True):
        assert told.value == pytest.approx(one.baseline_value, abs=1e-5)
        assert told.error == pytest.approx(
            abs(told.per_token.sum() - (both.value - told.value)) / abs(both.value - told.value)
        )
    mean = attribution.integrated_gradients(tiny, SEQUENCE, target, baseline="composition")
    assert mean.complete


# Refusals, memory and little to tell ------------------------------------------------------------------------------------


def test_bad_questions_are_refused(tiny):
    direction = target_of(tiny)
    integrated, point = attribution.integrated_gradients, attribution.gradient_times_input
    rule = SimpleNamespace(name="a rule", module=torch.nn.Linear(2, 2))
    cases = (
        (lambda: BaseProbability(3, "U"), "one of A, C, G, T; received 'U'"),
        (lambda: BaseProbability(3, "A", "A"), "must differ; received A twice"),
        (lambda: integrated(tiny, SEQUENCE, BaseProbability(64, "A")), "0 to 63; received 64"),
        (lambda: integrated(tiny, "ACGTNACGT", BaseProbability(4, "A")), "base at 4 is N"),
        (lambda: integrated(tiny, SEQUENCE, direction, baseline="zero"), "received 'zero'"),
        (lambda: integrated(tiny, SEQUENCE, direction, steps=0), "steps must be 1"),
        (lambda: integrated(tiny, SEQUENCE, Direction(np.zeros(3))), r"finite numbers; received shape \(3,\)"),
        (lambda: point(tiny, SEQUENCE, Direction(np.full(tiny.hidden_size, np.nan))), "with others among them"),
        (lambda: attribution.mutagenesis(tiny, SEQUENCE, direction, region=(60, 70)), "received 60 to 70"),
        (lambda: attribution.occlusion(tiny, SEQUENCE, direction, width=65), "1 to 64 bp"),
        (lambda: point(tiny, SEQUENCE, direction).per_base("odd"), "one of even, gradient, none; received 'odd'"),
        (lambda: integrated(rule, SEQUENCE, direction), "a rule has neither. Pass a model of"),
        (lambda: integrated(tiny, "", direction), "at least one base; received an empty"),
        (lambda: integrated(tiny, [], direction), "at least one sequence; received none"),
        (lambda: integrated(tiny, [SEQUENCE], [direction, direction]), "one for each of 1 sequences; received 2"),
        (lambda: integrated(tiny, SEQUENCE, direction, baseline=("mask", "mask")), r"each once; received \['mask', 'mask'\]"),
        (lambda: integrated(tiny, SEQUENCE, direction, baseline=()), r"each once; received \[\]"),
        (lambda: integrated(tiny, SEQUENCE, direction, shuffles=0), "at least one shuffle; received 0"),
        (lambda: integrated(tiny, SEQUENCE, direction, frames=7), "frames must be 1 to 6 for"),
        (lambda: integrated(tiny, SEQUENCE, Output(0)), "Output is a target over scores; nt_v._tiny gives states. Ask for BaseProbability"),
        (lambda: attribution.deletion(tiny, SEQUENCE[:60], direction, point(tiny, SEQUENCE, direction)), "must be of this sequence"),
    )  # fmt: skip
    for ask, message in cases:
        with pytest.raises(ValueError, match=message):
            ask()


def test_gradients_that_are_not_finite_are_refused(tiny):
    weight = tiny.module.esm.encoder.layer[0].attention.self.query.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(float("inf"))
    try:
        with pytest.raises(ValueError, match="Gradients must be finite"):
            attribution.gradient_times_input(tiny, SEQUENCE, target_of(tiny))
    finally:
        with torch.no_grad():
            weight.copy_(kept)


def test_memory_that_ends_halves_the_batch():
    seen = []

    def make(size: int) -> torch.Tensor:
        seen.append(size)
        if size > 3:
            raise (
                torch.OutOfMemoryError("no") if size > 8 else RuntimeError("can't allocate memory: you tried")
            )
        return torch.zeros(1)

    assert within_memory(make, 16)[1] == 2
    assert seen == [16, 8, 4, 2]

    def broken(size: int) -> torch.Tensor:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        within_memory(broken, 16)


def test_a_pass_begins_with_what_memory_holds(tiny, monkeypatch):
    of = reader(tiny)
    plenty = of.at_once(100)
    assert plenty == 8_192 // 100
    monkeypatch.setattr(environment, "free_memory", lambda: 1)
    assert of.at_once(100) == 1


def test_half_precision_is_near_single(tiny):
    """Sums in half precision are off by their rounding, and that is told."""
    half = models.load(FIXTURES / tiny.name, device="cpu", dtype="bfloat16")
    target = target_of(tiny)
    found = attribution.integrated_gradients(half, SEQUENCE, target, most_steps=32)
    single = attribution.integrated_gradients(tiny, SEQUENCE, target, most_steps=32)
    assert np.corrcoef(found.per_token, single.per_token)[0, 1] > 0.95
    change = found.value - found.baseline_value
    assert found.error == pytest.approx(abs(found.per_token.sum() - change) / abs(change))
    assert all(weight.dtype == torch.bfloat16 for weight in half.module.parameters())


def test_windows_of_n_alone_are_told(tiny):
    """Nothing but N: a direction has contributions all the same, a base has no expectation, and shuffles are the sequence itself."""
    found = attribution.integrated_gradients(tiny, "N" * 12, target_of(tiny))
    assert found.complete
    same = attribution.integrated_gradients(tiny, "N" * 12, target_of(tiny), baseline="shuffle", shuffles=2)
    assert same.complete
    np.testing.assert_array_equal(same.per_token, 0)
    with pytest.raises(ValueError, match="base at 3 is N"):
        attribution.integrated_gradients(tiny, "N" * 12, BaseProbability(3, "A"))
