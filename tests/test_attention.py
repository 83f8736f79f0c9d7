"""Observed attention: equal to whole maps by brute force, the model's output unchanged, and nothing left behind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from attention_toy import ToyModel, first_token, motif, previous_token, random_keys, same_kmer, toy, uniform
from transformers import (
    BertConfig,
    BertForMaskedLM,
    EsmConfig,
    EsmForMaskedLM,
    ModernBertConfig,
    ModernBertModel,
)

from ntviz import attention, models
from ntviz.attention import observation
from ntviz.attention.blocks import Block
from ntviz.attention.observation import Watch

FIXTURES = Path(__file__).parent / "fixtures"
BASES = "".join(np.random.default_rng(3).choice(list("ACGT"), 900))
# With N and a length that is no multiple of six: tokens of several sizes.
BROKEN = BASES[:200] + "N" * 7 + BASES[200:437]


@pytest.fixture(scope="module")
def mini():
    return models.load("ntviz-mini", device="cpu")


@pytest.fixture
def known() -> ToyModel:
    rules = [[previous_token, motif(BASES[60:68])], [random_keys(1), same_kmer], [first_token, uniform]]
    return toy(rules)


def whole(model, tokens) -> np.ndarray:
    """[layer, head, query, key] float64, by the eager kernel or by the toy's own rules."""
    return model.forward(tokens, outputs=("attentions",)).attentions[0].astype(float)


EVERY = {
    "above": attention.Above(0.05),
    "entropy": attention.Entropy(),
    "distance": attention.Distance(),
    "received": attention.Received(),
    "mass": None,
    "top": attention.TopPairs(12),
    "window": attention.Window((5, 31), (2, 40), at=[(2, 1), (0, 0), (2, 0)]),
    "thumbnails": attention.Thumbnails(17),
}


def observers(tokens) -> dict[str, attention.Observer]:
    indicator = np.zeros((3, len(tokens)), dtype=bool)
    indicator[0, 4:20] = indicator[1, 30:31] = indicator[1, 10:12] = indicator[0, 0] = True
    return {**EVERY, "mass": attention.MassByElement(indicator)}


def check_everything(seen, maps, tokens, threshold=0.05, ties=0):
    """Every shipped observer against plain numpy on whole maps."""
    n = len(tokens)
    base = ~tokens.is_special
    above = maps > threshold
    assert np.abs(seen.above.counts - above[:, :, base].sum(2)).sum() <= ties
    assert np.abs(seen.above.from_special - above[:, :, ~base].sum(2)).sum() <= ties
    paired, mirrored = np.zeros((2, *maps.shape[:2], n), dtype=int)
    for layer, head, query, key in zip(*above.nonzero(), strict=True):
        other = 2 * query - key
        if 0 <= other < n and base[query] and base[key] and base[other]:
            paired[layer, head, key] += 1
            mirrored[layer, head, other] += 1
    assert np.abs(seen.above.paired - paired).sum() <= ties
    assert np.abs(seen.above.mirrored - mirrored).sum() <= ties
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(maps > 0, maps * np.log(maps), 0).sum(-1)
    np.testing.assert_allclose(seen.entropy.by_query, entropy, atol=1e-4)
    np.testing.assert_allclose(seen.entropy.mean, entropy[..., base].mean(-1), atol=1e-4)
    middle = tokens.spans.mean(axis=1)
    apart = np.abs(middle[:, None] - middle[None])[:, base]
    distance = (maps[..., base] * apart).sum(-1) / maps[..., base].sum(-1)
    np.testing.assert_allclose(seen.distance.by_query[..., base], distance[..., base], rtol=1e-4)
    assert np.isnan(seen.distance.by_query[..., ~base]).all()
    np.testing.assert_allclose(seen.distance.mean, distance[..., base].mean(-1), rtol=1e-4)
    received = maps[:, :, base].sum(2)
    np.testing.assert_allclose(seen.received.by_token, received, atol=1e-4)
    np.testing.assert_allclose(seen.received.by_token.sum(-1), base.sum(), rtol=1e-5)
    np.testing.assert_allclose(seen.received.special, received[..., ~base].sum(-1) / base.sum(), atol=1e-5)
    by_base = seen.received.by_base(tokens)
    assert by_base.shape[-1] == len(tokens.sequence)
    np.testing.assert_allclose(by_base.sum(-1), received[..., base].sum(-1), rtol=1e-5)
    inside = observers(tokens)["mass"].indicator & base
    to = np.einsum("lhqk,ek->lhqe", maps, inside)
    np.testing.assert_allclose(seen.mass.to, to[:, :, base].mean(2), atol=1e-5)
    np.testing.assert_allclose(seen.mass.special, seen.received.special, atol=1e-5)
    for row in (0, 1):
        np.testing.assert_allclose(seen.mass.between[:, :, row], to[:, :, inside[row]].mean(2), atol=1e-5)
    assert np.isnan(seen.mass.between[:, :, 2]).all()
    placed = maps[:, :, base][..., base].reshape(*maps.shape[:2], -1)
    np.testing.assert_allclose(seen.top.weight, -np.sort(-placed, axis=-1)[..., :12], atol=1e-5)
    rows = np.arange(maps.shape[0])[:, None, None], np.arange(maps.shape[1])[None, :, None]
    np.testing.assert_allclose(maps[*rows, seen.top.query, seen.top.key], seen.top.weight, atol=1e-5)
    exact = np.stack([maps[layer, head, 5:31, 2:40] for layer, head in EVERY["window"].at])
    np.testing.assert_allclose(seen.window.weights, exact, atol=1e-5)
    small, edges = maps[:, :, base][..., base], seen.thumbnails.edges
    width = -(-base.sum() // 17)
    assert edges.tolist() == [*range(0, base.sum(), width), base.sum()]
    assert seen.thumbnails.maps.shape[-1] == len(edges) - 1 <= 17
    for i, (a, b) in enumerate(pairwise(edges)):
        for j, (c, d) in enumerate(pairwise(edges)):
            cell = small[:, :, a:b, c:d].max((2, 3))
            np.testing.assert_allclose(seen.thumbnails.maps[:, :, i, j], cell, atol=1e-5)


@pytest.mark.parametrize("bases", [BASES, BROKEN], ids=["plain", "with N"])
@pytest.mark.parametrize("block", [None, 700], ids=["one block", "many blocks"])
def test_observers_of_known_heads_equal_whole_maps(known, bases, block):
    tokens = known.tokenize(bases)
    seen = attention.observe(known, tokens, block=block, **observers(tokens))
    check_everything(seen, known.weights(tokens), tokens)


@pytest.mark.parametrize("block", [None, 4000], ids=["one block", "many blocks"])
def test_observers_of_the_default_model_equal_whole_maps(mini, block):
    tokens = mini.tokenize(BROKEN)
    seen = attention.observe(mini, tokens, block=block, **observers(tokens))
    check_everything(seen, whole(mini, tokens), tokens, ties=1)


def test_known_heads_are_seen_for_what_they_are(known):
    tokens = known.tokenize(BASES)
    seen = attention.observe(
        known, tokens, above=attention.Above(), received=attention.Received(), distance=attention.Distance()
    )
    n = len(tokens)
    # Each base token looks at the one before it; the first of them at <cls>, the last is looked at by nobody.
    assert seen.above.counts[0, 0].tolist() == [1] * (n - 1) + [0]
    where = np.flatnonzero(seen.above.counts[0, 1])
    assert where.tolist() == np.unique(tokens.token_at(np.arange(60, 68))).tolist()
    assert seen.received.special[2, 0] > 0.99
    assert seen.received.special[2, 1] == pytest.approx(1 / n)
    assert seen.above.counts[2, 1].sum() == 0
    np.testing.assert_allclose(seen.distance.by_query[0, 0, 2:], 6, rtol=0.1)


def test_a_batch_equals_its_sequences_one_by_one(mini):
    several = [mini.tokenize(part) for part in (BASES, BROKEN, BASES[100:333])]
    chosen = {
        "entropy": attention.Entropy(),
        "top": attention.TopPairs(4),
        "near": attention.Window((1, 9), at=[(1, 1)]),
    }
    together = attention.observe(mini, several, **chosen)
    for one, seen in zip(several, together, strict=True):
        alone = attention.observe(mini, one, **chosen)
        assert seen.context.n_tokens == len(one)
        np.testing.assert_allclose(seen.entropy.by_query, alone.entropy.by_query, atol=1e-4)
        np.testing.assert_allclose(seen.top.weight, alone.top.weight, atol=1e-5)
        np.testing.assert_allclose(seen.near.weights, alone.near.weights, atol=1e-5)


@pytest.mark.parametrize("several", [False, True], ids=["one", "padded batch"])
def test_the_output_is_that_of_fused_attention(mini, several):
    batch = [mini.tokenize(part) for part in ((BASES, BROKEN) if several else (BASES,))]
    plain = mini.forward(batch, outputs=("logits", "hidden_states"))
    seen = attention.observe(mini, batch, outputs=("logits", "hidden_states"), above=attention.Above())[
        0
    ].output
    np.testing.assert_allclose(
        seen.logits[plain.attention_mask], plain.logits[plain.attention_mask], atol=1e-5
    )
    np.testing.assert_allclose(seen.hidden_states, plain.hidden_states, atol=1e-5)


@pytest.mark.parametrize("fixture", ["nt_v1_tiny", "nt_v2_tiny"])
def test_windows_equal_the_reference_implementation(fixture):
    model = models.load(FIXTURES / fixture, device="cpu")
    with np.load(FIXTURES / fixture / "expected.npz") as expected:
        ids, maps = expected["input_ids"], expected["attentions"]
    mask = torch.from_numpy((ids != 1).astype(np.int64))
    at = [(layer, head) for layer in range(model.layers) for head in range(model.heads)]
    batch = {"input_ids": torch.from_numpy(ids.astype(np.int64)), "attention_mask": mask}
    for row, seen in enumerate(attention.observe(model.module, batch, window=attention.Window(at=at))):
        n = int(mask[row].sum())
        exact = maps[row].reshape(-1, *maps.shape[-2:])[:, :n, :n]
        np.testing.assert_allclose(seen.window.weights, exact, atol=1e-5)


def encoders() -> dict[str, torch.nn.Module]:
    torch.manual_seed(5)
    small = {
        "vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
    }  # fmt: skip
    own = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    esm = EsmConfig(**small, **own, mask_token_id=3, position_embedding_type="rotary")
    ends = {"cls_token_id": 1, "sep_token_id": 2, "local_attention": 8, "global_attn_every_n_layers": 2}
    return {
        "BERT": BertForMaskedLM(BertConfig(**small, **own)),
        "ESM-2": EsmForMaskedLM(esm),
        "ModernBERT": ModernBertModel(ModernBertConfig(**small, **own, **ends)),
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
    if side == "right":
        ids[1, 15:], mask[1, 15:] = 0, 0
    else:
        ids[1, :9], mask[1, :9] = 0, 0
    batch = {"input_ids": ids, "attention_mask": mask}
    with torch.inference_mode():
        plain = module(**batch)[0]
        module.set_attn_implementation("eager")
        maps = np.stack([layer.numpy() for layer in module(**batch, output_attentions=True).attentions], 1)
        module.set_attn_implementation("sdpa")
    at = [(layer, head) for layer in range(3) for head in range(4)]
    many = attention.observe(
        module, batch, outputs=("logits",), block=100,
        window=attention.Window(at=at), entropy=attention.Entropy(), received=attention.Received(),
    )  # fmt: skip
    for row, seen in enumerate(many):
        real = mask[row].bool().numpy()
        own = maps[row].reshape(12, 24, 24)[:, real][:, :, real]
        np.testing.assert_allclose(seen.window.weights, own, atol=1e-5)
        positive = np.where(own > 0, own, 1)
        entropy = -(own * np.log(positive)).sum(-1).reshape(3, 4, -1)
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
    context = observation.Context(0, 9, np.zeros(9, dtype=bool), None, None, 1, 4, torch.device("cpu"))
    window = attention.Window(at=[(0, head) for head in range(4)])
    cut = window.start(context)
    watch = Watch([context], [0], [[(window, cut, window.needs(context), (0, 9))]], None, 40)
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
    tokens = mini.tokenize(BASES)
    fast = attention.observe(mini, tokens, entropy=attention.Entropy(), above=attention.Above(0.2))
    monkeypatch.setattr(observation, "_fused_with_lse", None)
    general = attention.observe(mini, tokens, entropy=attention.Entropy(), above=attention.Above(0.2))
    np.testing.assert_allclose(fast.entropy.by_query, general.entropy.by_query, atol=1e-4)
    assert np.abs(fast.above.counts - general.above.counts).sum() <= 1


def test_only_what_is_asked_for_is_computed(mini):
    """The pass ends after the last layer needed, and blocks hold only heads and queries that somebody wants."""
    blocks: list[Block] = []

    @dataclass(frozen=True)
    class Spy(attention.Observer):
        def queries(self, context):
            return 10, 14

        def start(self, context):
            return self

        def see(self, block):
            blocks.append(block)

        def finish(self):
            return None

    tokens = mini.tokenize(BASES)
    passed: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda *_, number=number: passed.append(number))
        for number, layer in enumerate(mini.module.esm.encoder.layer)
    ]
    try:
        attention.observe(mini, tokens, spy=Spy(layers=[1], heads=[2, 5]))
        assert passed == [0]
        assert [(block.layer, block.heads, block.queries) for block in blocks] == [(1, (2, 5), (10, 14))]
        assert blocks[0].log_weights.shape == (2, 4, len(tokens))
        passed.clear()
        attention.observe(mini, tokens, outputs=("logits",), spy=Spy(layers=[1]))
        assert passed == [0, 1, 2, 3]
    finally:
        for hook in hooks:
            hook.remove()


def test_some_layers_and_heads_give_the_same_numbers(mini):
    tokens = mini.tokenize(BASES)
    full = attention.observe(
        mini, tokens, e=attention.Entropy(), a=attention.Above(0.1), t=attention.Thumbnails(9)
    )
    part = attention.observe(
        mini, tokens, e=attention.Entropy(layers=[3, 1], heads=[6, 0]), a=attention.Above(0.1, heads=[7]),
        t=attention.Thumbnails(9, layers=[2]),
    )  # fmt: skip
    np.testing.assert_allclose(part.e.by_query, full.e.by_query[[3, 1]][:, [6, 0]], atol=1e-5)
    assert (part.a.counts == full.a.counts[:, [7]]).all()
    np.testing.assert_allclose(part.t.maps, full.t.maps[[2]], atol=1e-6)


class Broken(attention.Observer):
    def start(self, context):
        return self

    def see(self, block):
        raise ZeroDivisionError("an observer that fails")


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_as_it_was(mini, fails):
    module = mini.module
    tokens = mini.tokenize(BASES)
    module.train()
    module.esm.encoder.layer[1].eval()
    modes = [part.training for part in module.modules()]
    before = (module.config._attn_implementation, module.device, len(module._forward_hooks))
    try:
        if fails:
            with pytest.raises(ZeroDivisionError, match="an observer that fails"):
                attention.observe(mini, tokens, broken=Broken())
        else:
            attention.observe(mini, tokens, entropy=attention.Entropy())
        assert [part.training for part in module.modules()] == modes
        assert (module.config._attn_implementation, module.device, len(module._forward_hooks)) == before
        assert observation._watching.get() is None
    finally:
        module.eval()
    # Afterwards the model still answers as before.
    assert whole(mini, tokens).shape[0] == mini.layers


def test_pairs_that_do_not_exist_are_not_made_up(known):
    tokens = known.tokenize("ACGTAC" * 2)
    top = attention.observe(known, tokens, top=attention.TopPairs(9)).top
    assert (top.weight[..., :4] > 0).all()
    assert (top.weight[..., 4:] == 0).all()
    assert (top.query[..., 4:] == -1).all()
    assert (top.key[..., 4:] == -1).all()
    thumbnails = attention.observe(known, tokens, small=attention.Thumbnails(64)).small
    assert thumbnails.maps.shape[-2:] == (2, 2)


REFUSED = [
    ({}, "at least one observer by name"),
    (
        {"entropy": attention.Entropy(layers=[4])},
        r"layers must be different numbers from 0 to 3 .*received \[4\]",
    ),
    ({"window": attention.Window(at=[(0, 8)])}, "heads must be different numbers from 0 to 7"),
    ({"window": attention.Window((3, 152), at=[(0, 0)])}, r"tokens within 0 to 151.*received \(3, 152\)"),
    ({"window": attention.Window()}, "must name at least one"),
    ({"mass": attention.MassByElement(np.zeros((2, 9), dtype=bool))}, "sequence's 151 tokens; received"),
    ({"outputs": ("attentions",), "entropy": attention.Entropy()}, "received 'attentions'"),
]


@pytest.mark.parametrize(("observers", "match"), REFUSED)
def test_bad_requests_say_what_was_expected(mini, observers, match):
    with pytest.raises(ValueError, match=match):
        attention.observe(mini, mini.tokenize(BASES), **observers)


@pytest.mark.parametrize(
    ("made", "value", "match"),
    [
        (attention.Above, 1.0, "strictly between 0 and 1; received 1.0"),
        (attention.Above, 0, "strictly between 0 and 1; received 0"),
        (attention.TopPairs, 0, "at least 1 pair"),
        (attention.Thumbnails, 0, "at least 1 cell"),
    ],
)
def test_numbers_out_of_range_are_refused(made, value, match):
    with pytest.raises(ValueError, match=match):
        made(value)


def test_what_is_no_batch_or_no_observer_is_refused(mini):
    tokens, entropy = mini.tokenize(BASES), {"entropy": attention.Entropy()}
    with pytest.raises(TypeError, match="'entropy' is type"):
        attention.observe(mini, tokens, entropy=attention.Entropy)
    with pytest.raises(TypeError, match="must be Tokens, or a list of them"):
        attention.observe(mini, "ACGT", **entropy)
    with pytest.raises(TypeError, match=r"must be a mapping with input_ids"):
        attention.observe(mini.module, tokens, **entropy)
    ids = torch.full((1, 6), 9)
    with pytest.raises(ValueError, match="Distance needs to know which bases"):
        attention.observe(mini.module, {"input_ids": ids}, distance=attention.Distance())
    gaps = torch.tensor([[1, 1, 0, 0, 1, 1]])
    with pytest.raises(ValueError, match="one run of real tokens; that of sequence 0 has 4 of 6"):
        attention.observe(mini.module, {"input_ids": ids, "attention_mask": gaps}, **entropy)
    with pytest.raises(AttributeError, match="No observer was called 'entropi'; there are entropy"):
        attention.observe(mini, tokens, **entropy).entropi  # noqa: B018
    with pytest.raises(ValueError, match="takes up to 256 tokens"):
        attention.observe(mini, replace(mini, max_tokens=2048).tokenize(BASES * 2), **entropy)


def test_a_model_without_the_interface_is_refused():
    class Fake:
        name = "fake"
        module = torch.nn.Linear(2, 2)

    with pytest.raises(
        TypeError, match="must run its attention through transformers' attention interface; Fake does not"
    ):
        attention.observe(Fake(), {"input_ids": torch.ones(1, 3)}, entropy=attention.Entropy())

    class Deaf(BertForMaskedLM):
        """Announces the interface and computes something else."""

        def forward(self, input_ids, **_):
            return self.cls(self.bert.embeddings(input_ids))

    deaf = Deaf(encoders()["BERT"].config)
    with pytest.raises(TypeError, match="3 layers must reach the attention interface; 0 did"):
        attention.observe(
            deaf, {"input_ids": torch.ones(1, 3, dtype=torch.int64)}, entropy=attention.Entropy()
        )
    assert deaf.config._attn_implementation == "sdpa"


def test_out_of_memory_names_what_would_fit(mini):
    class Greedy(attention.Observer):
        def start(self, context):
            return self

        def see(self, block):
            torch.empty(1 << 60)

    with pytest.raises(MemoryError, match=r"up to 151 tokens must fit in memory.*thumbnails of 64 x 64"):
        attention.observe(mini, mini.tokenize(BASES), greedy=Greedy())
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
    assert "all maps at once (outputs=('attentions',))" in repr(tight)
    assert "does not fit" in repr(tight)
    with pytest.raises(ValueError, match="length must be at least 1 bp; received 0"):
        attention.plan(long, 0)


def test_a_planned_answer_has_the_size_of_the_answer(mini):
    tokens = mini.tokenize(BASES)
    planned = attention.plan(mini, len(BASES)).requests["output"].tolist()
    seen = attention.observe(
        mini, tokens, a=attention.Above(), t=attention.Thumbnails(64), w=attention.Window(at=[(0, 0)])
    )
    above = sum(part.nbytes for part in (seen.a.counts, seen.a.from_special, seen.a.paired, seen.a.mirrored))
    assert [above, seen.t.maps.nbytes, seen.w.weights.nbytes] == [planned[0], planned[2], planned[3]]


def test_a_random_twin_has_the_shape_and_none_of_the_weights(mini):
    twin, again, other = mini.random_twin(1), mini.random_twin(1), mini.random_twin(2)
    tokens = mini.tokenize(BASES)
    assert (twin.layers, twin.heads, twin.max_tokens) == (mini.layers, mini.heads, mini.max_tokens)
    logits = [one.forward(tokens).logits for one in (twin, again, other, mini)]
    assert np.array_equal(logits[0], logits[1])
    assert not np.allclose(logits[0], logits[2])
    assert not np.allclose(logits[0], logits[3])
    assert twin.info["weights_sha256"] == "random weights, seed 1"
    assert twin.name == "random twin of ntviz-mini"
    state = torch.random.get_rng_state()
    mini.random_twin(3)
    assert torch.equal(torch.random.get_rng_state(), state)
