"""Observed attention equals whole maps by brute force and leaves nothing behind; heads made to a rule are named by it; sites."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import attention_toy as rule
import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from attention_toy import ToyModel, first_token, motif, previous_token, random_keys, same_kmer, toy, uniform

from ntviz import attention, models
from ntviz.attention import blocks, observation
from ntviz.attention.habits import CONTENT
from ntviz.attention.memory import sequences_a_pass
from ntviz.genome import Interval
from ntviz.genome.sequence import reverse_complement
from ntviz.reference import Reference

FIXTURES = Path(__file__).parent / "fixtures"
BASES = "".join(np.random.default_rng(3).choice(list("ACGT"), 900))
# With N and a length that is no multiple of six: tokens of several sizes.
BROKEN = BASES[:200] + "N" * 7 + BASES[200:437]


@pytest.fixture(scope="module")
def mini():
    return models.load("ntviz-mini", device="cpu")


@pytest.fixture(scope="module")
def known() -> ToyModel:
    return toy([[previous_token, motif(BASES[60:68])], [random_keys(1), same_kmer], [first_token, uniform]])


def whole(model, tokens) -> np.ndarray:
    """[layer, head, query, key] float64, by the eager kernel or by the toy's own rules."""
    return model.forward(tokens, outputs=("attentions",)).attentions[0].astype(float)


EVERY = {
    "above": attention.Above(0.05),
    "entropy": attention.Entropy(),
    "distance": attention.Distance(),
    "received": attention.Received(),
    "top": attention.TopPairs(12),
    "window": attention.Window((5, 31), (2, 40), at=[(2, 1), (0, 0), (2, 0)]),
    "thumbnails": attention.Thumbnails(17),
}


@pytest.mark.parametrize("block", [None, 700], ids=["one block", "many blocks"])
@pytest.mark.parametrize(("which", "bases"), [("known", BASES), ("known", BROKEN), ("mini", BROKEN)])
def test_every_observer_equals_plain_numpy_on_whole_maps(request, which, bases, block):
    model, close = request.getfixturevalue(which), np.testing.assert_allclose
    tokens = model.tokenize(bases)
    seen, maps = attention.observe(model, tokens, block=block, **EVERY), whole(model, tokens)
    n, base, ties = len(tokens), ~tokens.is_special, int(which == "mini")
    above = maps > 0.05
    counts = {"counts": above[:, :, base].sum(2), "from_special": above[:, :, ~base].sum(2)}
    counts["paired"], counts["mirrored"] = np.zeros((2, *maps.shape[:2], n), dtype=int)
    for layer, head, query, key in zip(*above.nonzero(), strict=True):
        other = 2 * query - key
        if 0 <= other < n and base[query] and base[key] and base[other]:
            counts["paired"][layer, head, key] += 1
            counts["mirrored"][layer, head, other] += 1
    for name, expected in counts.items():
        assert np.abs(getattr(seen.above, name) - expected).sum() <= ties, name
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(maps > 0, maps * np.log(maps), 0).sum(-1)
    close(seen.entropy.by_query, entropy, atol=1e-4)
    close(seen.entropy.mean, entropy[..., base].mean(-1), atol=1e-4)
    middle = tokens.spans.mean(axis=1)
    apart = np.abs(middle[:, None] - middle[None])[:, base]
    distance = (maps[..., base] * apart).sum(-1) / maps[..., base].sum(-1)
    close(seen.distance.by_query, np.where(base, distance, np.nan), rtol=1e-4)
    close(seen.distance.mean, distance[..., base].mean(-1), rtol=1e-4)
    received = maps[:, :, base].sum(2)
    close(seen.received.by_token, received, atol=1e-4)
    close(seen.received.by_token.sum(-1), base.sum(), rtol=1e-5)
    close(seen.received.special, received[..., ~base].sum(-1) / base.sum(), atol=1e-5)
    by_base = seen.received.by_base(tokens)
    assert by_base.shape[-1] == len(tokens.sequence)
    close(by_base.sum(-1), received[..., base].sum(-1), rtol=1e-5)
    inside = np.zeros((3, n), dtype=bool)
    inside[0, 4:20] = inside[1, 30:31] = inside[1, 10:12] = True
    on = np.einsum("lhqk,ek->lhe", maps[:, :, base], inside) / base.sum()
    close(seen.received.on(inside), on, atol=1e-5)
    close(seen.received.on(inside[1]), on[..., 1], atol=1e-5)
    placed = maps[:, :, base][..., base]
    close(seen.top.weight, -np.sort(-placed.reshape(*maps.shape[:2], -1), axis=-1)[..., :12], atol=1e-5)
    rows = np.arange(maps.shape[0])[:, None, None], np.arange(maps.shape[1])[None, :, None]
    close(maps[*rows, seen.top.query, seen.top.key], seen.top.weight, atol=1e-5)
    exact = np.stack([maps[layer, head, 5:31, 2:40] for layer, head in EVERY["window"].at])
    close(seen.window.weights, exact, atol=1e-5)
    edges, width = seen.thumbnails.edges, -(-base.sum() // 17)
    assert edges.tolist() == [*range(0, base.sum(), width), base.sum()]
    assert seen.thumbnails.maps.shape[-1] == len(edges) - 1 <= 17
    for i, (a, b) in enumerate(pairwise(edges)):
        for j, (c, d) in enumerate(pairwise(edges)):
            close(seen.thumbnails.maps[:, :, i, j], placed[:, :, a:b, c:d].max((2, 3)), atol=1e-5)


def test_a_batch_equals_its_sequences_and_the_output_is_that_of_fused_attention(mini):
    several = [mini.tokenize(part) for part in (BASES, BROKEN, BASES[100:333])]
    chosen = {
        "entropy": attention.Entropy(),
        "top": attention.TopPairs(4),
        "near": attention.Window((1, 9), at=[(1, 1)]),
    }
    outputs = ("logits", "hidden_states")
    together = attention.observe(mini, several, outputs=outputs, **chosen)
    for one, seen in zip(several, together, strict=True):
        alone = attention.observe(mini, one, outputs=outputs, **chosen)
        assert seen.context.n_tokens == len(one)
        np.testing.assert_allclose(seen.entropy.by_query, alone.entropy.by_query, atol=1e-4)
        np.testing.assert_allclose(seen.top.weight, alone.top.weight, atol=1e-5)
        np.testing.assert_allclose(seen.near.weights, alone.near.weights, atol=1e-5)
    for batch, seen in ((several, together[0].output), (several[-1:], alone.output)):
        plain = mini.forward(batch, outputs=outputs)
        real = plain.attention_mask
        np.testing.assert_allclose(seen.logits[real], plain.logits[real], atol=1e-5)
        np.testing.assert_allclose(seen.hidden_states, plain.hidden_states, atol=1e-5)


@pytest.mark.parametrize("few", [True, False], ids=["few threads", "many threads"])
@pytest.mark.parametrize("rows", [7, 64, 500])
def test_blocks_of_rows_sum_to_what_float64_gives_by_hand(mini, monkeypatch, few, rows):
    """Peaked weights and near keys beside a window of 3 kb: where sums of places would cancel, if they were the wrong ones."""
    monkeypatch.setattr("ntviz.attention.observers._few_threads", lambda values: few)
    tokens = replace(mini, max_tokens=8192).tokenize("".join(np.random.default_rng(1).choice(list("ACGT"), 2_993)))
    n, rng = len(tokens), np.random.default_rng(2)
    scores = rng.normal(0, 5, (3, n, n)) - 0.5 * np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    weights = np.exp(scores - np.log(np.exp(scores).sum(-1, keepdims=True)))
    context = blocks.Context(0, np.asarray(tokens.is_special), tokens, 1, 4, torch.device("cpu"))
    asked = {"heads": (0, 1, 3)}
    seats = [
        kind(**asked).start(context)
        for kind in (attention.Entropy, attention.Distance, attention.Received, attention.Above)
    ]
    for first in range(0, n, rows):
        last, log_weights = min(first + rows, n), torch.from_numpy(np.log(weights)).float()
        for kept in seats:
            kept.see(blocks.Block(0, (0, 1, 3), (first, last), log_weights[:, first:last].contiguous()))
    entropy, distance, received, above = (kept.finish() for kept in seats)
    base, middle = ~np.asarray(tokens.is_special), tokens.spans.mean(1)
    np.testing.assert_allclose(entropy.by_query[0], -(weights * np.log(weights)).sum(-1), rtol=1e-4, atol=1e-5)
    to_bases = weights[:, :, base] / weights[:, :, base].sum(-1, keepdims=True)
    expected = (to_bases * np.abs(middle[:, None] - middle[base])).sum(-1)
    np.testing.assert_allclose(distance.by_query[0][:, base], expected[:, base], rtol=1e-4)
    assert np.isnan(distance.by_query[0][:, ~base]).all()
    np.testing.assert_allclose(received.by_token[0], weights[:, base].sum(1), rtol=1e-4, atol=1e-6)
    sure = np.abs(weights - 0.3) > 1e-5
    assert sure.all() and ((weights[:, base] > 0.3).sum(1) == above.counts[0]).all()


@pytest.mark.parametrize("fixture", ["nt_v1_tiny", "nt_v2_tiny"])
def test_windows_equal_the_reference_implementation(fixture):
    model = models.load(FIXTURES / fixture, device="cpu")
    with np.load(FIXTURES / fixture / "expected.npz") as expected:
        ids, maps = expected["input_ids"], expected["attentions"]
    mask = torch.from_numpy((ids != 1).astype(np.int64))
    at = [*np.ndindex(model.layers, model.heads)]
    batch = {"input_ids": torch.from_numpy(ids.astype(np.int64)), "attention_mask": mask}
    for row, seen in enumerate(attention.observe(model.module, batch, window=attention.Window(at=at))):
        n = int(mask[row].sum())
        exact = maps[row].reshape(-1, *maps.shape[-2:])[:, :n, :n]
        np.testing.assert_allclose(seen.window.weights, exact, atol=1e-5)


def encoders() -> dict[str, torch.nn.Module]:
    torch.manual_seed(5)
    small = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
    small |= {"intermediate_size": 48, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    esm = transformers.EsmConfig(**small, mask_token_id=3, position_embedding_type="rotary")
    ends = {"cls_token_id": 1, "sep_token_id": 2, "local_attention": 8, "global_attn_every_n_layers": 2}
    return {
        "BERT": transformers.BertForMaskedLM(transformers.BertConfig(**small)),
        "ESM-2": transformers.EsmForMaskedLM(esm),
        "ModernBERT": transformers.ModernBertModel(transformers.ModernBertConfig(**small, **ends)),
    }


@pytest.mark.parametrize("name", ["BERT", "ESM-2", "ModernBERT"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_any_encoder_on_the_interface_can_be_observed(name, side):
    module = encoders()[name].eval()
    for parameter in module.parameters():
        parameter.data.mul_(3)
    ids = torch.from_numpy(np.random.default_rng(0).integers(4, 40, (2, 24)))
    ids[:, 0], ids[0, -1] = 1, 2
    mask = torch.ones_like(ids)
    padding = (1, slice(15, None) if side == "right" else slice(9))
    ids[padding], mask[padding] = 0, 0
    batch = {"input_ids": ids, "attention_mask": mask}
    with torch.inference_mode():
        plain = module(**batch)[0]
        module.set_attn_implementation("eager")
        maps = np.stack([layer.numpy() for layer in module(**batch, output_attentions=True).attentions], 1)
        module.set_attn_implementation("sdpa")
    asked = {"window": attention.Window(at=[*np.ndindex(3, 4)]), "entropy": attention.Entropy()}
    many = attention.observe(module, batch, outputs=("logits",), block=100, received=attention.Received(), **asked)
    for row, seen in enumerate(many):
        real = mask[row].bool().numpy()
        own = maps[row].reshape(12, 24, 24)[:, real][:, :, real]
        np.testing.assert_allclose(seen.window.weights, own, atol=1e-5)
        entropy = -(own * np.log(np.where(own > 0, own, 1))).sum(-1).reshape(3, 4, -1)
        np.testing.assert_allclose(seen.entropy.by_query, entropy, atol=1e-4)
        special = np.isin(ids[row].numpy()[real], (1, 2))
        assert seen.context.is_special.tolist() == special.tolist()
        went = own[:, ~special][..., special].sum(-1).mean(-1).reshape(3, 4)
        np.testing.assert_allclose(seen.received.special, went, atol=1e-5)
    np.testing.assert_allclose(many[0].output[0][mask.bool()], plain[mask.bool()], atol=1e-5)
    assert module.config._attn_implementation == "sdpa"


def test_causal_masks_and_grouped_heads_are_respected():
    torch.manual_seed(0)
    query, key, value = torch.randn(1, 4, 9, 8), torch.randn(1, 2, 9, 8), torch.randn(1, 2, 9, 8)
    context = observation.Context(0, np.zeros(9, dtype=bool), None, 1, 4, torch.device("cpu"))
    window = attention.Window(at=[(0, head) for head in range(4)])
    cut = window.start(context)
    watch = observation.Watch([context], [0], [[(cut, window.needs(context), (0, 9))]], None, 40)
    module = torch.nn.Module()
    module.num_key_value_groups, module.is_causal = 2, True
    token = observation._watching.set(watch)
    try:
        observation._observed(module, query, key, value, None)
    finally:
        observation._watching.reset(token)
    scores = query @ key.repeat_interleave(2, dim=1).transpose(-1, -2) / 8**0.5
    exact = scores.masked_fill(~torch.ones(9, 9, dtype=torch.bool).tril(), -torch.inf).softmax(-1)[0]
    np.testing.assert_allclose(cut.finish().weights, exact.numpy(), atol=1e-6)


def test_the_fused_kernel_and_the_general_path_agree(mini, monkeypatch):
    tokens, asked = mini.tokenize(BASES), {"entropy": attention.Entropy(), "above": attention.Above(0.2)}
    fast = attention.observe(mini, tokens, **asked)
    monkeypatch.setattr(observation, "_fused_with_lse", None)
    general = attention.observe(mini, tokens, **asked)
    np.testing.assert_allclose(fast.entropy.by_query, general.entropy.by_query, atol=1e-4)
    assert np.abs(fast.above.counts - general.above.counts).sum() <= 1


class Spy(attention.Observer):
    """Does something with each block, for queries 10 to 13."""

    def __init__(self, does, **asked):
        super().__init__(**asked)
        object.__setattr__(self, "see", does)

    def queries(self, context):
        return 10, 14

    def start(self, context):
        return SimpleNamespace(see=self.see, finish=lambda: None)


def test_only_what_is_asked_for_is_computed(mini):
    """The pass ends after the last layer needed, and blocks hold only heads and queries that somebody wants."""
    tokens, blocks, passed = mini.tokenize(BASES), [], []
    layers = enumerate(mini.module.esm.encoder.layer)
    hooks = [layer.register_forward_hook(lambda *_, number=number: passed.append(number)) for number, layer in layers]
    try:
        attention.observe(mini, tokens, spy=Spy(blocks.append, layers=[1], heads=[2, 5]))
        assert passed == [0]
        assert [(block.layer, block.heads, block.queries) for block in blocks] == [(1, (2, 5), (10, 14))]
        assert blocks[0].log_weights.shape == (2, 4, len(tokens))
        passed.clear()
        attention.observe(mini, tokens, outputs=("logits",), spy=Spy(blocks.append, layers=[1]))
        assert passed == [0, 1, 2, 3]
    finally:
        for hook in hooks:
            hook.remove()


def test_some_layers_and_heads_give_the_same_numbers(mini):
    every = {"e": attention.Entropy(), "a": attention.Above(0.1), "t": attention.Thumbnails(9)}
    some = {"e2": attention.Entropy(layers=[3, 1], heads=[6, 0]), "a2": attention.Above(0.1, heads=[7])}
    seen = attention.observe(mini, mini.tokenize(BASES), t2=attention.Thumbnails(9, layers=[2]), **every, **some)
    np.testing.assert_allclose(seen.e2.by_query, seen.e.by_query[[3, 1]][:, [6, 0]], atol=1e-5)
    assert (seen.a2.counts == seen.a.counts[:, [7]]).all()
    np.testing.assert_allclose(seen.t2.maps, seen.t.maps[[2]], atol=1e-6)


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_as_it_was(mini, fails):
    module, tokens = mini.module, mini.tokenize(BASES)
    module.train()
    module.esm.encoder.layer[1].eval()

    def state():
        modes = [part.training for part in module.modules()]
        return modes, module.config._attn_implementation, module.device, len(module._forward_hooks)

    before = state()
    try:
        with pytest.raises(ZeroDivisionError, match="division") if fails else nullcontext():
            attention.observe(mini, tokens, spy=Spy(lambda block: 1 / 0 if fails else None))
        assert state() == before and observation._watching.get() is None
    finally:
        module.eval()


def test_pairs_that_do_not_exist_are_not_made_up(known):
    asked = {"top": attention.TopPairs(9), "small": attention.Thumbnails(64)}
    seen = attention.observe(known, known.tokenize("ACGTAC" * 2), **asked)
    assert (seen.top.weight > 0).all((0, 1)).tolist() == [True] * 4 + [False] * 5
    for values, none in ((seen.top.weight, 0), (seen.top.query, -1), (seen.top.key, -1)):
        assert (values[..., 4:] == none).all()
    assert seen.small.maps.shape[-2:] == (2, 2)


def test_what_is_out_of_range_no_batch_or_no_observer_is_refused(mini):
    tokens, entropy = mini.tokenize(BASES), {"entropy": attention.Entropy()}
    for made, value, match in (
        (attention.Above, 1.0, "strictly between 0 and 1; received 1.0"),
        (attention.TopPairs, 0, "at least 1 pair"),
        (attention.Thumbnails, 0, "at least 1 cell"),
    ):
        with pytest.raises(ValueError, match=match):
            made(value)
    for observers, match in (
        ({}, "at least one observer by name"),
        ({"entropy": attention.Entropy(layers=[4])}, r"layers must be different numbers from 0 to 3 .*received \[4\]"),
        ({"window": attention.Window(at=[(0, 8)])}, "heads must be different numbers from 0 to 7"),
        ({"window": attention.Window((3, 152), at=[(0, 0)])}, r"tokens within 0 to 151.*received \(3, 152\)"),
        ({"window": attention.Window()}, "must name at least one"),
        ({"outputs": ("attentions",), **entropy}, "received 'attentions'"),
    ):
        with pytest.raises(ValueError, match=match):
            attention.observe(mini, tokens, **observers)
    ids, gaps = torch.full((1, 6), 9), torch.tensor([[1, 1, 0, 0, 1, 1]])
    long = replace(mini, max_tokens=2048).tokenize(BASES * 2)
    for kind, match, model, batch, asked in (
        (TypeError, "'entropy' is type", mini, tokens, {"entropy": attention.Entropy}),
        (TypeError, "must be Tokens, or a list of them", mini, "ACGT", entropy),
        (TypeError, "must be a mapping with input_ids", mini.module, tokens, entropy),
        (ValueError, "which bases", mini.module, {"input_ids": ids}, {"distance": attention.Distance()}),
        (ValueError, "sequence 0 has 4 of 6", mini.module, {"input_ids": ids, "attention_mask": gaps}, entropy),
        (ValueError, "takes up to 256 tokens", mini, long, entropy),
    ):
        with pytest.raises(kind, match=match):
            attention.observe(model, batch, **asked)
    with pytest.raises(AttributeError, match="No observer was called 'entropi'; there are entropy"):
        attention.observe(mini, tokens, **entropy).entropi  # noqa: B018


def test_a_model_without_the_interface_is_refused():
    class Fake:
        name, module = "fake", torch.nn.Linear(2, 2)

    class Deaf(transformers.BertForMaskedLM):
        """Announces the interface and computes something else."""

        def forward(self, input_ids, **_):
            return self.cls(self.bert.embeddings(input_ids))

    deaf, batch = Deaf(encoders()["BERT"].config), {"input_ids": torch.ones(1, 3, dtype=torch.int64)}
    for model, match in (
        (Fake(), "must run its attention through transformers' attention interface; Fake does not"),
        (deaf, "3 layers must reach the attention interface; 0 did"),
    ):
        with pytest.raises(TypeError, match=match):
            attention.observe(model, batch, entropy=attention.Entropy())
    assert deaf.config._attn_implementation == "sdpa"


def test_out_of_memory_names_what_would_fit(mini):
    with pytest.raises(MemoryError, match=r"up to 151 tokens must fit in memory.*thumbnails of 64 x 64"):
        attention.observe(mini, mini.tokenize(BASES), greedy=Spy(lambda block: torch.empty(1 << 60)))
    assert mini.module.config._attn_implementation == "sdpa"


def test_plans_follow_length_and_memory(mini):
    long = replace(mini, max_tokens=8192)
    short_plan, long_plan = (attention.plan(long, bp) for bp in (6_000, 12_000))
    assert (short_plan.n_tokens, long_plan.n_tokens) == (1001, 2001)
    small, big = (plan.requests.set_index("request") for plan in (short_plan, long_plan))
    counts, maps = small.index[0], small.index[-1]
    assert big.loc[counts, "memory"] < 2.1 * small.loc[counts, "memory"]
    assert big.loc[maps, "memory"] > 3.5 * small.loc[maps, "memory"]
    assert big.loc[maps, "output"] == 4 * 4 * 8 * 2001**2
    tight = attention.plan(long, 12_000, free=100_000_000)
    assert tight.requests["fits"].tolist() == [True, True, True, True, False]
    assert "all maps at once (outputs=('attentions',))" in repr(tight) and "does not fit" in repr(tight)
    with pytest.raises(ValueError, match="length must be at least 1 bp; received 0"):
        attention.plan(long, 0)
    # A planned answer has the size of the answer.
    asked = {"a": attention.Above(), "t": attention.Thumbnails(64), "w": attention.Window(at=[(0, 0)])}
    seen = attention.observe(mini, mini.tokenize(BASES), **asked)
    answers = [[*vars(seen.a).values()], [seen.t.maps], [seen.w.weights]]
    planned = attention.plan(mini, len(BASES)).requests["output"].tolist()
    assert [sum(part.nbytes for part in answer) for answer in answers] == [planned[0], *planned[2:4]]


def test_passes_hold_what_fills_a_gpu_and_fits(mini):
    assert sequences_a_pass(mini, 1_000) == 1
    gpu = SimpleNamespace(module=SimpleNamespace(config=mini.module.config, device=torch.device("cuda")))
    assert [sequences_a_pass(gpu, n, free=100 << 30) for n in (1_000, 2_048, 90_000)] == [65, 32, 1]
    tight = sequences_a_pass(gpu, 1_000, free=2 << 30)
    memory = attention.plan(gpu, 1, tokens=1_000, free=2 << 30).requests["memory"][0]
    assert 1 < tight < 65 and memory + (tight - 1) * (memory - (8 << 26)) < 1 << 30
    assert sequences_a_pass(gpu, 1_000, free=1 << 20) == 1
    binned = SimpleNamespace(module=gpu.module, attention_tokens=len)
    assert sequences_a_pass(binned, 1_000, free=100 << 30) == 1


# Habits of heads ------------------------------------------------------------------------------------------------------


RNG = np.random.default_rng(0)
RULES = [
    [previous_token, rule.fixed_offset(5), rule.first_token, rule.palindrome],
    [same_kmer, rule.gc_rich, uniform, random_keys(3)],
]
NAMES = [["offset -1", "offset +5", "first token", "reverse complement"], ["same k-mer", "GC", "diffuse", "other"]]
MOTIF = "GATTACATAGGC"  # two tokens, which the windows of `reference` hold in frame


def bases(n: int) -> str:
    return "".join(RNG.choice(list("ACGT"), n))


def repeated(n: int) -> str:
    """Half a sequence, then a part of it again, then the reverse complement of another part."""
    half = bases(n)
    return half + half[: n // 2] + reverse_complement(half[n // 2 :])


@pytest.mark.parametrize("k", [6, 3])
def test_heads_made_to_a_rule_are_named_by_it_and_by_nothing_else(k):
    found = attention.detect(toy(RULES, k=k), [repeated(1800) if k == 6 else bases(900) for _ in range(4)])
    assert attention.atlas(found).labels == NAMES


def test_periods_are_found_where_tokens_resolve_them():
    rules = [[rule.period(3), rule.period(10.5), uniform, previous_token]]
    found = attention.detect(toy(rules, k=1), [bases(300) for _ in range(4)])
    assert found.heads["label"].tolist() == ["codon period", "helix period", "diffuse", "offset -1"]
    rows = found.table[found.table["template"].str.endswith("period")].set_index(["head", "template"])
    assert (rows["status"] == "ok").all()
    assert rows.loc[(0, "codon period"), "score"] > 0.9 and rows.loc[(2, "codon period"), "score"] < 0.2
    coarse = attention.detect(toy(rules, k=6), [bases(1200)])
    silent = coarse.table[coarse.table["template"].str.endswith("period")]
    assert (silent["status"] == "not resolvable").all() and silent["score"].isna().all()


def by_hand(maps: np.ndarray, tokens) -> dict[str, np.ndarray]:
    """Sums of Habits from a whole map, pair by pair."""
    base = np.flatnonzero(~tokens.is_special)
    n, shape = len(base), maps.shape[:2]
    kmers = [tokens.sequence[start:end] for start, end in tokens.spans]
    by_offset, content, pairs = np.zeros((*shape, 2 * n - 1)), np.zeros((*shape, 3)), np.zeros((3, 2 * n - 1))
    for i, query in enumerate(base):
        for j, key in enumerate(base):
            gc = sum(letter in "GC" for letter in kmers[key]) / len(kmers[key])
            known = "N" not in kmers[query] and i != j
            same, turned = kmers[query] == kmers[key], reverse_complement(kmers[query]) == kmers[key]
            match = np.array([same * known, turned * known, gc])
            by_offset[..., j - i + n - 1] += maps[..., query, key]
            content += maps[..., query, key, None] * match
            pairs[:, j - i + n - 1] += match
    return {"by_offset": by_offset, "content": content, "content_by_offset": pairs}


@pytest.mark.parametrize("block", [None, 900], ids=["one block", "many blocks"])
def test_sums_equal_those_of_a_whole_map(mini, block):
    tokens = mini.tokenize("ACGTAC" * 3 + bases(100) + "NNN" + "GTACGT" * 2 + bases(90) + "CCTTAA" * 4)
    seen = attention.observe(mini, tokens, block=block, habits=attention.Habits()).habits
    for name, expected in by_hand(whole(mini, tokens), tokens).items():
        np.testing.assert_allclose(getattr(seen, name), expected, atol=1e-4, err_msg=name)
    assert (seen.content_by_offset[:2].sum(1) > 0).all()


def test_chance_is_that_of_the_same_distances():
    """A head that looks at its neighbour meets the same k-mer as often as neighbours are the same: ratio 1."""
    text = "".join(word * 2 for word in (bases(6) for _ in range(60)))
    found = attention.detect(toy([[previous_token, same_kmer]]), [text]).table.set_index(["head", "template"])
    row = found.loc[(0, "same k-mer")]
    assert row["score"] > 0.3 and row["ratio"] == pytest.approx(1, abs=0.02)
    assert found.loc[(1, "same k-mer"), "ratio"] > 1.5


def test_ids_alone_say_nothing_about_bases():
    shape = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 16}
    module, batch = (
        transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=20, **shape)).eval(),
        {"input_ids": torch.arange(5, 17)[None]},
    )
    seen = attention.observe(module, batch, habits=attention.Habits(), received=attention.Received())[0]
    assert seen.habits.content.shape == (1, 2, len(CONTENT)) and np.isnan(seen.habits.content).all()
    np.testing.assert_allclose(seen.habits.by_offset.sum(-1) / seen.habits.n + seen.received.special, 1, rtol=1e-5)


def test_one_sequence_gives_no_interval_and_short_ones_are_refused():
    model = toy(RULES)
    one = attention.detect(model, [repeated(1800)])
    assert one.sequences == 1 and one.table["low"].isna().all()
    with pytest.raises(ValueError, match="received 0 sequences, the shortest of 0 tokens"):
        attention.detect(model, [])
    with pytest.raises(ValueError, match="received 2 sequences, the shortest of 5 tokens"):
        attention.detect(model, [bases(24), bases(900)])


def test_an_atlas_has_one_row_a_head():
    detection = attention.detect(toy(RULES), [repeated(1800) for _ in range(2)])
    heads = pd.DataFrame(np.repeat([*np.ndindex(2, 4)], 2, axis=0), columns=["layer", "head"])
    table = heads.assign(element=["exon", "cpg_island"] * 8, ratio=np.linspace(0.5, 2.9, 16))
    table["significant"] = [True] * 8 + [False, True] * 4
    made = attention.atlas(detection, SimpleNamespace(table=table))
    assert made.labels[0][0] == "offset -1" and made.labels[1][3] == "CpG island 2.9x"
    ratios = made.grid("element_ratio")
    assert ratios[1, 3] == pytest.approx(2.9) and np.isnan(ratios[0, 0]) and made.grid("entropy").shape == (2, 4)
    assert "8 heads: 2 offset" in repr(made)
    alone = heads[::2].assign(element="all", effect=np.arange(8) / 10, q=0.04)
    alone = pd.concat(
        [alone, alone.assign(element="exon", effect=9.0), pd.DataFrame({"layer": [pd.NA], "effect": [7.0]})]
    )
    both = attention.atlas(detection, SimpleNamespace(table=table), SimpleNamespace(table=alone))
    assert both.grid("effect")[1].tolist() == [0.4, 0.5, 0.6, 0.7] and (both.grid("effect_q") == 0.04).all()
    assert both.labels == made.labels and np.isnan(made.grid("effect")).all()
    with pytest.raises(ValueError, match="Detection and ablation must.*received 8 and 6 heads"):
        attention.atlas(detection, ablation=SimpleNamespace(table=alone[alone["head"].notna() & (alone["head"] < 3)]))
    with pytest.raises(ValueError, match="A score must be one of entropy, .*received 'entropi'"):
        made.grid("entropi")
    with pytest.raises(ValueError, match="received 8 and 4 heads, 4 of them in both"):
        attention.atlas(detection, SimpleNamespace(table=table[table["head"] < 2]))


# Sites ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Reference:
    sequence = np.random.default_rng(8).choice(list("ACGT"), 60 * 600)
    for start in range(0, len(sequence), 600):
        sequence[start + 120 : start + 120 + len(MOTIF)] = list(MOTIF)
        sequence[start + 300 : start + 305] = "N"
    path = tmp_path_factory.mktemp("genome") / "toy.fa"
    path.write_text(f">chrT\n{''.join(sequence)}\n")
    return Reference(path)


def sites(reference, head, n=60, strand="+", **options):
    model = toy([[motif(MOTIF), random_keys(2)]])
    windows = [Interval("chrT", start, start + 600, strand) for start in range(0, n * 600, 600)]
    return attention.attended_sites(model, windows, reference, layer=0, head=head, **options)


def test_a_planted_motif_comes_back_and_a_head_that_looks_anywhere_shows_nothing(reference):
    found = sites(reference, 0, top=60, per_window=2)
    token = slice(*found.token)
    assert (found.windows, len(found.table), found.token) == (60, 60, (9, 15))
    assert "".join("ACGT"[base] for base in found.probabilities[token].argmax(1)) in (MOTIF[:6], MOTIF[6:])
    assert found.beyond_chance[token].all() and found.information[token].sum() > 5
    assert np.array_equal(found.motif.probabilities, found.probabilities)
    assert (found.motif.id, found.motif.nsites) == ("layer 0, head 0", 60)
    # What the head is held against is flat: no position of random sites says as much as the least of the token's.
    assert found.random_motif.information.max() < found.motif.information[token].min()
    anywhere = sites(reference, 1, top=60, per_window=2)
    # 5 % of positions are expected beyond their 95 % quantile; 5 of 24 would be rare (2 in 1,000).
    assert anywhere.beyond_chance.sum() < 5 and f"{len(anywhere.table)} sites of 60 windows" in repr(anywhere)


@pytest.mark.parametrize("strand", ["+", "-"])
def test_sites_have_their_place_in_the_genome(reference, strand):
    found, again = (sites(reference, 1, 5, strand, top=9) for _ in range(2))
    assert (np.diff(found.table["received"]) <= 0).all()
    for row in found.table.itertuples():
        forward = reference.fetch(Interval(row.chrom, row.start, row.end)).sequence
        assert row.sequence == (forward if strand == "+" else reverse_complement(forward)) and "N" not in row.sequence
    assert found.counts.sum(1).tolist() == [9] * 24 and np.array_equal(found.chance, again.chance)
    with pytest.raises(ValueError, match="whole tokens with 9 bp on both sides, without N; none of 1 does"):
        attention.attended_sites(toy([[random_keys(1)]]), [Interval("chrT", 0, 20)], reference, layer=0, head=0)
