"""Attributions: complete, equal to what they are by definition, by base, of two alleles, and other than random weights give."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from ntviz import attribution, data, environment, finetuning, models
from ntviz.attribution import BaseProbability, Direction, Output
from ntviz.attribution import gradient_times_input as point
from ntviz.attribution import integrated_gradients as integrated
from ntviz.attribution.contrast import aligned
from ntviz.attribution.reader import reader, within_memory
from ntviz.attribution.result import by_gradient
from ntviz.genome import Interval
from ntviz.genome.sequence import reverse_complement, shuffle
from ntviz.reference import Reference
from ntviz.tokens import base_log_probs

FIXTURES = Path(__file__).parent / "fixtures"
SEQUENCE = "".join(np.random.default_rng(7).choice(list("ACGT"), 64))
GAPPED = "".join(np.random.default_rng(9).choice(list("ACGT"), 40)) + "N" + "ACGTTGCATT"


@pytest.fixture(scope="module", params=["nt_v1_tiny", "nt_v2_tiny"])
def tiny(request):
    return models.load(FIXTURES / request.param, device="cpu")


def target_of(model) -> Direction:
    return Direction(np.random.default_rng(1).normal(size=model.hidden_size), layer=1)


def test_targets_are_what_the_model_says(tiny):
    tokens, direction = tiny.tokenize(SEQUENCE), target_of(tiny)
    for position in (0, 27, len(SEQUENCE) - 1):
        ids = tokens.ids.copy()
        ids[tokens.token_at(position)] = tiny.mask_id
        expected = base_log_probs(tokens, tiny.forward(ids[None]).logits[0])[position]
        found = [point(tiny, SEQUENCE, BaseProbability(position, base)).value for base in "ACGT"]
        assert found == pytest.approx(expected, abs=1e-5)
        contrast = point(tiny, SEQUENCE, BaseProbability(position, "A", "G"))
        assert contrast.value == pytest.approx(expected[0] - expected[2], abs=1e-5)
    mean = tiny.embed([tokens], layers=(1,))[0, 0, 0]
    assert point(tiny, SEQUENCE, direction).value == pytest.approx(mean @ direction.vector, abs=1e-4)


@pytest.mark.parametrize("baseline", ["mask", "n", "shuffle", "composition"])
def test_integrated_gradients_add_up(tiny, baseline):
    for target in (BaseProbability(27, "C"), target_of(tiny)):
        found = integrated(tiny, SEQUENCE, target, baseline=baseline)
        assert found.complete, found
        assert found.per_token.sum() == pytest.approx(found.value - found.baseline_value, rel=0.011)
        # What is the same in sequence and baseline contributes nothing; v1 scales <cls> by how much is masked.
        if baseline != "mask" or not tiny.module.config.token_dropout:
            assert found.per_token[found.tokens.is_special] == pytest.approx(0)
        assert (found.per_token[target.masked(found.tokens)] == 0).all()


def test_the_integral_is_the_sum_of_gradients_along_the_way(tiny):
    """The same integral by a plain loop over 100 midpoints, a gradient each."""
    target, tokens, embeddings = target_of(tiny), tiny.tokenize(SEQUENCE), tiny.module.esm.embeddings
    ids = torch.from_numpy(tokens.ids.copy())[None]
    other = torch.where(torch.from_numpy(tokens.is_special.copy()), ids, tiny.mask_id)
    with torch.no_grad():
        end, start = (embeddings.word_embeddings(each) for each in (ids, other))
        if tiny.module.config.token_dropout:
            start[:, 1:] = 0
            # One of n tokens, <cls>, is left; as transformers trains: 0.15 masked, 0.8 of these dropped.
            end, start = end * 0.88, start * 0.88 * len(tokens)
    total, n = torch.zeros_like(end), 100
    for step in range(n):
        vectors = (start + (step + 0.5) / n * (end - start)).requires_grad_()
        read = embeddings(inputs_embeds=vectors)
        handle = embeddings.register_forward_hook(lambda *_, read=read: read)
        states = tiny.module.esm(input_ids=ids, output_hidden_states=True).hidden_states
        handle.remove()
        total += torch.autograd.grad(target.score(tiny, states, tokens).sum(), vectors)[0] / n
    expected = ((end - start) * total)[0].sum(-1).double().numpy()
    found = integrated(tiny, SEQUENCE, target, steps=64)
    np.testing.assert_allclose(found.per_token, expected, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize(("name", "baseline"), [
    *itertools.product(("nt_v1_tiny", "nt_v2_tiny", "mini"), ("mask", "n", "shuffle")),
    *itertools.product(("dnabert2_tiny",), ("mask", "n")), *itertools.product(("hyenadna_tiny",), ("n", "shuffle")),
])  # fmt: skip
def test_the_value_at_a_baseline_is_the_models_own(name, baseline, mini):
    """The plain forward pass of transformers, or of the peer, over the ids of the baseline."""
    model = mini if name == "mini" else models.load(FIXTURES / name, device="cpu")
    text, target = "ACGTGA" * 9, target_of(model)
    tokens = model.tokenize(text)
    if baseline == "shuffle":
        ids = model.tokenize(shuffle(text, k=2, seed=3)).ids
    else:
        words = model.tokenizer.vocabulary
        hidden = model.mask_id if baseline == "mask" else getattr(words, "n_id", None) or words.unk_id
        ids = np.where(tokens.is_special, tokens.ids, hidden)
    row = torch.from_numpy(ids.copy())[None]
    with torch.no_grad():
        if hasattr(model.module, "esm"):
            states = model.module(input_ids=row, output_hidden_states=True).hidden_states
        else:
            states = model.module.states(row, torch.ones_like(row, dtype=torch.bool)).hidden
    mean = states[1][0, ~tokens.is_special].mean(0).double().numpy()
    found = integrated(model, text, target, baseline=baseline, shuffles=1, seed=3, steps=1, most_steps=1)
    assert found.baseline_value == pytest.approx(float(mean @ target.vector), abs=1e-4)


def state_of(learner):
    held = [(m._forward_hooks.copy(), m._forward_pre_hooks.copy(), m.training) for m in learner.modules()]
    return held, [(p.requires_grad, id(p.grad)) for p in learner.parameters()]


@pytest.mark.parametrize(("name", "method"), [("nt_v1_tiny", "ia3"), *(("nt_v2_tiny", method) for method in ("head", "ia3", "lora", "full"))])  # fmt: skip
def test_tuned_models_give_what_they_predict_at_both_ends_and_stay_as_they_were(name, method):
    model = models.load(FIXTURES / name, device="cpu")
    options = {"kind": "binary", "outputs": 2, "method": method, "recipe": finetuning.Recipe(steps=2)}
    tuned = finetuning.tune(model, [SEQUENCE[: 30 + row] for row in range(12)], [0, 1] * 6, **options)
    p = tuned.predict([SEQUENCE])[0].astype(float)
    tuned.learner.head.train()
    tuned.learner.head.linear.requires_grad_(True)
    before, weights = state_of(tuned.learner), [weight.detach().clone() for weight in tuned.learner.parameters()]
    found = integrated(tuned, SEQUENCE, Output(1), baseline="mask", steps=1, most_steps=1)
    with pytest.raises(ValueError, match="Outputs must be 0 to 1; received 5"):
        integrated(tuned, SEQUENCE, Output(5))
    assert state_of(tuned.learner) == before and all(map(torch.equal, tuned.learner.parameters(), weights))
    assert found.value == pytest.approx(np.log(p[1] / p[0]), abs=1e-4)
    tuned.learner.eval()
    (item,) = tuned.learner.prepare([SEQUENCE])
    ids = np.where(item.item.is_special, item.item.ids, model.mask_id)
    with torch.no_grad():
        masked = tuned.learner([item._replace(item=dataclasses.replace(item.item, ids=ids))])
    assert found.baseline_value == pytest.approx(float(Output(1).score(tuned, masked, item.item)), abs=1e-5)


def test_steps_are_added_until_it_is_complete_or_said(mini):
    target = BaseProbability(30, SEQUENCE[30])
    few, more = (integrated(mini, SEQUENCE, target, steps=1, **most) for most in ({"most_steps": 1}, {}))
    assert few.steps == 1 < more.steps and more.complete and more.error < few.error
    assert "%" in repr(few) and "1 steps" in repr(few)


def hooks_of(model) -> list[int]:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    return [len(getattr(module, kind)) for module in model.module.modules() for kind in kinds]


def test_nothing_is_left_behind(tiny):
    before = {name: value.clone() for name, value in tiny.module.state_dict().items()}
    tiny.embed([tiny.tokenize(SEQUENCE)], layers=(0,))  # transformers installs hooks of its own, once
    hooks = hooks_of(tiny)
    tiny.module.train()
    try:
        integrated(tiny, SEQUENCE, target_of(tiny))
        attribution.mutagenesis(tiny, SEQUENCE, target_of(tiny), region=(0, 3))
        assert tiny.module.training
    finally:
        tiny.module.eval()
    with pytest.raises(ValueError, match="layer of a target must lie in 0"):
        integrated(tiny, SEQUENCE, Direction(np.zeros(tiny.hidden_size), layer=99))
    assert not tiny.module.training and hooks_of(tiny) == hooks
    assert all(p.requires_grad for p in tiny.module.esm.encoder.parameters())
    assert all(torch.equal(value, before[name]) for name, value in tiny.module.state_dict().items())
    assert all(p.grad is None for p in tiny.module.parameters())


def test_mutagenesis_is_a_pass_for_each_change(tiny):
    target = BaseProbability(27, "T")
    found, whole = attribution.mutagenesis(tiny, SEQUENCE, target, region=(20, 34)), point(tiny, SEQUENCE, target).value
    assert found.shape == (14, 4)
    for position in (20, 33):
        changed = [SEQUENCE[:position] + base + SEQUENCE[position + 1 :] for base in "ACGT"]
        expected = [point(tiny, text, target).value - whole for text in changed]
        assert found[position - 20] == pytest.approx(expected, abs=1e-5)
    # What the target hides cannot matter: bases 24 to 29 are one token.
    np.testing.assert_allclose(found[4:10], 0, atol=1e-6)
    gap = SEQUENCE[:5] + "N" + SEQUENCE[6:]
    assert np.isnan(attribution.mutagenesis(tiny, gap, target_of(tiny), region=(5, 7))[0]).all()


def test_both_strands_are_the_mean_of_each(tiny):
    target, mirrored = BaseProbability(27, "C", "T"), BaseProbability(len(SEQUENCE) - 28, "G", "A")
    both, one = (integrated(tiny, SEQUENCE, target, both_strands=strands) for strands in (True, False))
    other = integrated(tiny, reverse_complement(SEQUENCE), mirrored)
    np.testing.assert_allclose(both.per_base(), (one.per_base() + other.per_base()[::-1]) / 2)
    assert both.value == pytest.approx((one.value + other.value) / 2)
    with pytest.raises(ValueError, match="Strands and frames have tokens of their own"):
        both.per_base("none")


def test_a_table_stands_on_the_genome(tiny):
    found = point(tiny, SEQUENCE, target_of(tiny))
    plus, minus = (found.table(Interval("chr20", 100, 164, strand)) for strand in "+-")
    assert list(plus.columns) == ["chrom", "start", "end", "base", "attribution"]
    assert (plus["start"].iloc[0], plus["end"].iloc[-1]) == (100, 164)
    assert (minus["start"].iloc[0], minus["start"].iloc[-1], "".join(minus["base"])) == (163, 100, SEQUENCE)
    assert found.table()["position"].tolist() == list(range(64))
    with pytest.raises(ValueError, match="as long as the sequence, 64 bp; received 10 bp"):
        found.table(Interval("chr20", 0, 10))
    sizes = found.tokens.spans[1:, 1] - found.tokens.spans[1:, 0]
    np.testing.assert_allclose(found.per_base("none"), np.repeat(found.per_token[1:], sizes))
    effects = np.repeat(-found.per_base()[:, None] * 0.75, 4, axis=1)
    assert attribution.agreement(found, effects) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"\[base, 4\] over all 64 bp; received shape \(3, 4\)"):
        attribution.agreement(found, effects[:3])


def test_a_trained_model_is_told_from_random_weights(mini):
    """On real sequence: deletion falls faster than chance, and randomly initialised models say something else."""
    with Reference(data.bundle("chr20")) as reference:
        sequence = reference.fetch("chr20:45,000,001-45,000,300").sequence
    target = BaseProbability(150, sequence[150])
    found = integrated(mini, sequence, target, baseline="mask")
    curve = attribution.deletion(mini, sequence, target, found, shares=(0, 0.3, 1), draws=10)
    values = curve["value"].to_numpy()
    assert found.complete and values[0] == pytest.approx(found.value, abs=1e-5)
    assert values[2] == pytest.approx(curve["random"].iloc[2], abs=1e-5)
    assert values[1] < curve["random_low"].iloc[1]
    checked = attribution.sanity(mini, found, lambda model: integrated(model, sequence, target), twins=2)
    assert checked.correlations.shape == (2,) and np.abs(checked.correlations).max() < 0.5 and checked.ratio < 1


def test_several_sequences_are_as_each_alone(tiny):
    rng = np.random.default_rng(3)
    texts = ["".join(rng.choice(list("ACGT"), n)) for n in (60, 60, 66)] + ["ACGTN" * 6]
    targets = [BaseProbability(22, base) for base in "ACCG"]
    together, points = integrated(tiny, texts, targets), point(tiny, texts, targets)
    for text, target, found, slope in zip(texts, targets, together, points, strict=True):
        alone = integrated(tiny, text, target)
        assert (found.tokens.sequence, found.steps) == (text, alone.steps)
        np.testing.assert_allclose(found.per_token, alone.per_token, atol=1e-5)
        np.testing.assert_allclose(slope.per_token, point(tiny, text, target).per_token, atol=1e-5)


def test_several_baselines_each_weigh_the_same(tiny):
    target, names = target_of(tiny), ("mask", "shuffle")
    both, *each = (integrated(tiny, SEQUENCE, target, baseline=kinds, shuffles=3) for kinds in (names, *names))
    assert both.baseline == "mask + shuffle"
    assert [(one.name, one.draws) for one in both.compared] == [("mask", 1), ("shuffle", 3)]
    mean = np.mean([one.per_token for one in each], axis=0)
    np.testing.assert_allclose(both.per_token, mean, atol=2e-3 * np.abs(both.per_token).max())
    assert both.baseline_value == pytest.approx(np.mean([one.baseline_value for one in each]), abs=1e-5)
    for compared, one in zip(both.compared, each, strict=True):
        assert compared.value == pytest.approx(one.baseline_value, abs=1e-5)
        change = both.value - compared.value
        assert compared.error == pytest.approx(abs(compared.per_token.sum() - change) / abs(change))


def test_shares_by_gradient_are_first_order_effects_of_each_change(tiny):
    """Each base of each k-mer changed in the text, the new vector looked up, and the gradient's product with the difference."""
    of, target, tokens = reader(tiny), target_of(tiny), tiny.tokenize(GAPPED)
    ids, table = tokens.ids.copy(), of.table.detach()
    _, slopes = of.gradients(ids[None], target, tokens)
    found = by_gradient(tokens, ids, slopes[0], table)
    for index, (start, end) in enumerate(tokens.spans.tolist()):
        effects = []
        for base in range(start, end):
            words = [GAPPED[start:base] + letter + GAPPED[base + 1 : end] for letter in set("ACGT") - {GAPPED[base]}]
            moves = [table[tokens.vocabulary.id_of(word)] - table[ids[index]] for word in words]
            effects.append(np.mean([abs(float(slopes[0, index] @ move)) for move in moves]))
        if end - start == 1:
            assert found[start] == 1
        elif end > start:
            np.testing.assert_allclose(found[start:end], np.array(effects) / sum(effects), atol=1e-4)
    flat = by_gradient(tokens, tokens.ids, torch.zeros(len(tokens), table.shape[1]), table)
    sizes = tokens.spans[:, 1] - tokens.spans[:, 0]
    np.testing.assert_array_equal(flat, tokens.to_bases(1 / sizes.clip(min=1)))


def test_shares_add_up_to_their_tokens(tiny):
    for target in (target_of(tiny), BaseProbability(20, "C")):
        found = integrated(tiny, GAPPED, target)
        covering = ~found.tokens.is_special
        for share in ("even", "gradient"):
            back = found.tokens.from_bases(found.per_base(share), reduce="sum")
            np.testing.assert_allclose(back[covering], found.per_token[covering], atol=1e-9)
        assert np.abs(found.per_base("gradient") - found.per_base("even")).max() > 1e-4
    # The hidden token has no k-mer whose neighbours could be looked up.
    hidden = slice(*found.tokens.bases_of(int(found.tokens.token_at(20))))
    np.testing.assert_allclose(found.shares[hidden], 1 / 6)


def test_frames_are_the_mean_over_tokens_that_begin_elsewhere(tiny):
    """Frame by frame: a model that cuts the first bases singly, and nothing else about it."""

    class Shifted:
        def __init__(self, phase):
            self.phase, self.module, self.mask_id, self.name = phase, tiny.module, tiny.mask_id, "shifted"

        def tokenize(self, sequence):
            return tiny.tokenize(sequence, phase=self.phase)

    target = target_of(tiny)
    found = integrated(tiny, GAPPED, target, frames=3)
    each = [integrated(Shifted(phase), GAPPED, target) for phase in range(3)]
    for share in ("even", "gradient"):
        mean = np.mean([one.per_base(share) for one in each], axis=0)
        np.testing.assert_allclose(found.per_base(share), mean, atol=1e-5)
    assert found.value == pytest.approx(np.mean([one.value for one in each]), abs=1e-5)
    assert found.method == "integrated gradients, 3 frames"
    assert found.error == max(view.attribution.error for view in found.views)
    both = point(tiny, GAPPED, target, frames=2, both_strands=True)
    assert both.method == "gradient times input, both strands, 2 frames"
    assert [view.flipped for view in both.views] == [False, False, True, True]
    np.testing.assert_allclose(both.by_token()[~both.tokens.is_special].sum(), both.per_base().sum(), atol=1e-8)
    curve = attribution.deletion(tiny, GAPPED, target, found, shares=(0, 1), draws=2)
    assert curve["masked"].tolist() == [0, len(found.tokens) - 1]


def test_alleles_are_aligned_around_what_differs():
    cases = (
        ("ACGT", "AGGT", [[0, 0], [1, 1], [2, 2], [3, 3]], (1, 2)),
        ("ACGT", "ACGTT", [[0, 0], [1, 1], [2, 2], [3, 3], [-1, 4]], (4, 4)),
        ("AAAC", "AAC", [[0, 0], [1, 1], [2, -1], [3, 2]], (2, 3)),
        ("ACCCT", "AGT", [[0, 0], [1, 1], [2, -1], [3, -1], [4, 2]], (1, 4)),
    )
    for reference, alternative, columns, stretch in cases:
        found, changed = aligned(reference, alternative)
        assert (found.tolist(), changed) == (columns, stretch)
        back, _ = aligned(alternative, reference)
        assert back[:, ::-1].tolist() == columns
    with pytest.raises(ValueError, match="must differ; received the same 4 bp twice"):
        aligned("ACGT", "ACGT")


class Sum(nn.Module):
    """What A, C, G, T add: 1, 10, 100, 1000, wherever they stand."""

    def forward(self, bases, mask):
        return (bases * torch.tensor([1.0, 10, 100, 1000])[None, :, None]).sum((1, 2))[:, None]


def test_an_insertion_owes_its_bases_alone():
    found = attribution.contrast(Sum(), "ACGT", "ACTTGT", Output(0), baseline="n")
    assert found.change == pytest.approx(2000)
    np.testing.assert_allclose(found.difference(), [0, 0, 1000, 1000, 0, 0], atol=1e-2)
    table = found.table()
    assert ("".join(table["base"]), "".join(table["alternative_base"])) == ("AC--GT", "ACTTGT")
    for column in ("position", "reference"):
        assert table[column].isna().tolist() == [False, False, True, True, False, False]
    assert table["alternative_position"].tolist() == [0, 1, 2, 3, 4, 5]
    snv = attribution.contrast(Sum(), "ACGT", "AGGT", Output(0), baseline="n")
    np.testing.assert_allclose(snv.difference(), [0, 90, 0, 0], atol=1e-2)


@pytest.mark.parametrize("alternative", ["", "GATTACA"])
def test_swapping_alleles_flips_the_sign(tiny, alternative):
    reference = GAPPED[:10] + "GA" + GAPPED[12:]
    other = reference[:10] + alternative + reference[12:]
    target, moved = BaseProbability(30, "C"), BaseProbability(30 + len(other) - len(reference), "C")
    one, back = (
        attribution.contrast(tiny, reference, other, target),
        attribution.contrast(tiny, other, reference, moved),
    )
    assert one.change == pytest.approx(-back.change, abs=1e-6)
    np.testing.assert_allclose(one.difference(), -back.difference(), atol=1e-6)
    by_hand = integrated(tiny, other, moved)
    np.testing.assert_allclose(one.alternative.per_token, by_hand.per_token, atol=1e-6)
    total = (by_hand.value - by_hand.baseline_value) - (one.reference.value - one.reference.baseline_value)
    # Under masks v1 scales <cls>, which then contributes beside the bases.
    special = [each.per_token[each.tokens.is_special].sum() for each in (by_hand, one.reference)]
    assert one.difference().sum() + special[0] - special[1] == pytest.approx(total, abs=0.02 * abs(by_hand.value))
    slope = attribution.contrast(tiny, reference, other, target_of(tiny), attribute=point)
    assert slope.reference.method == "gradient times input"


def test_a_base_within_the_change_must_be_named_in_both(tiny):
    other, target = GAPPED[:20] + GAPPED[23:], BaseProbability(22, "C")
    with pytest.raises(ValueError, match=r"insertion or deletion, here 2\d to 2\d; received 22"):
        attribution.contrast(tiny, GAPPED, other, target)
    found = attribution.contrast(tiny, GAPPED, other, target, alternative_target=BaseProbability(20, "C"))
    assert len(found.difference()) == len(GAPPED)
    snv = GAPPED[:22] + ("A" if GAPPED[22] != "A" else "C") + GAPPED[23:]
    same = attribution.contrast(tiny, GAPPED, snv, BaseProbability(22, "A", "C"))
    assert same.change == pytest.approx(0, abs=1e-6)  # the target hides its own base
    assert Output(1, position=30).edited(20, 23, -3) == Output(1, position=27)
    assert Output(1).edited(20, 23, -3) == Output(1)


def test_bad_questions_are_refused(tiny):
    direction, rule = target_of(tiny), SimpleNamespace(name="a rule", module=nn.Linear(2, 2))
    cases = (
        (lambda: BaseProbability(3, "U"), "one of A, C, G, T; received 'U'"),
        (lambda: BaseProbability(3, "A", "A"), "must differ; received A twice"),
        (lambda: integrated(tiny, SEQUENCE, BaseProbability(64, "A")), "0 to 63; received 64"),
        (lambda: integrated(tiny, "ACGTNACGT", BaseProbability(4, "A")), "base at 4 is N"),
        (lambda: integrated(tiny, SEQUENCE, direction, baseline="zero"), "received 'zero'"),
        (lambda: integrated(tiny, SEQUENCE, direction, steps=0), "steps must be 1"),
        (lambda: integrated(tiny, SEQUENCE, Direction(np.zeros(3))), r"finite numbers; received shape \(3,\)"),
        (lambda: point(tiny, SEQUENCE, Direction(np.full(tiny.hidden_size, np.nan))), "finite numbers; received shape"),
        (lambda: attribution.mutagenesis(tiny, SEQUENCE, direction, region=(60, 70)), "received 60 to 70"),
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


def test_memory_that_ends_halves_the_batch(tiny, monkeypatch):
    seen = []

    def make(size: int) -> torch.Tensor:
        seen.append(size)
        if size > 3:
            raise (torch.OutOfMemoryError("no") if size > 8 else RuntimeError("can't allocate memory: you tried"))
        if size < 2:
            raise RuntimeError("shapes differ")
        return torch.zeros(1)

    assert (within_memory(make, 16)[1], seen) == (2, [16, 8, 4, 2])
    with pytest.raises(RuntimeError, match="shapes differ"):
        within_memory(make, 1)
    of = reader(tiny)
    assert of.at_once(100) == 8_192 // 100
    monkeypatch.setattr(environment, "free_memory", lambda: 1)
    assert of.at_once(100) == 1


def test_half_precision_is_near_single_and_windows_of_n_alone_are_told(tiny):
    """Sums in half precision are off by their rounding, and that is told."""
    half, target = models.load(FIXTURES / tiny.name, device="cpu", dtype="bfloat16"), target_of(tiny)
    found, single = (integrated(model, SEQUENCE, target, most_steps=32) for model in (half, tiny))
    assert np.corrcoef(found.per_token, single.per_token)[0, 1] > 0.95
    change = found.value - found.baseline_value
    assert found.error == pytest.approx(abs(found.per_token.sum() - change) / abs(change))
    assert all(weight.dtype == torch.bfloat16 for weight in half.module.parameters())
    # Nothing but N: a direction has contributions all the same, and shuffles are the sequence itself.
    assert integrated(tiny, "N" * 12, target).complete
    same = integrated(tiny, "N" * 12, target, baseline="shuffle", shuffles=2)
    assert same.complete and (same.per_token == 0).all()


def test_occlusion_is_the_mean_of_the_windows_over_a_base(tiny):
    target = BaseProbability(40, "T")
    found = attribution.occlusion(tiny, SEQUENCE, target, width=3, region=(30, 44))
    hidden = [SEQUENCE[:left] + "NNN" + SEQUENCE[left + 3 :] for left in (30, 31, 32)]
    drops = point(tiny, SEQUENCE, target).value - np.array([point(tiny, text, target).value for text in hidden])
    assert found[2] == pytest.approx(drops.mean(), abs=1e-5)
    assert found[0] == pytest.approx(drops[0], abs=1e-5)
    assert np.isnan(found[10])  # only windows that hide the target's own base cover it
    assert np.isfinite(found[[9, 11]]).sum() == 2
    with pytest.raises(ValueError, match="width must be 1 to 14 bp"):
        attribution.occlusion(tiny, SEQUENCE, target, width=15, region=(30, 44))
