"""Heads ablated and patched: brute force by plain hooks, planted heads that copy, the null rate, and words for bad input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from attention_toy import SHARP, ToyModel, random_keys, toy, uniform
from test_attention import encoders
from torch import nn

from ntviz import annotation, attention, attribution, data, finetuning, models
from ntviz.attention import editing
from ntviz.attention.ablation import _random_sets
from ntviz.genome import Interval
from ntviz.genome.sequence import codes, shuffle
from ntviz.models import Forward
from ntviz.probing.estimators import Fitted, Setting
from ntviz.reference import Reference

FIXTURES = Path(__file__).parent / "fixtures"
BASES = "".join(np.random.default_rng(3).choice(list("ACGT"), 260))
QUIET = {"control": None, "random": 0}


def letters(n: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), n))


@dataclass
class Copier(ToyModel):
    """A toy over single bases whose logits are the mean of what its heads bring: copies of the bases that they look at."""

    gain: float = 8.0

    def forward(self, batch: Any, *, outputs: Any = ("logits",), at: Any = None) -> Forward:
        found = super().forward(batch, outputs=outputs)
        logits = self.gain * found.logits
        return replace(found, logits=logits if at is None else np.take_along_axis(logits, at[..., None], 1))

    def random_twin(self, seed: int = 0) -> Copier:
        return copier([[random_keys(100 * seed + 10 * i + j) for j in range(self.heads)] for i in range(self.layers)])


def copier(rules: Any, gain: float = 8.0) -> Copier:
    made = toy(rules, k=1)
    made.module.embedding = nn.Embedding.from_pretrained(torch.eye(16))
    rules = [[by_bases(rule) for rule in row] for row in rules]
    return Copier(rules, made.tokenizer, made.module, "copier", 4096, made.info, gain)


def by_bases(rule: Any) -> Any:
    """A rule follows from the bases, whatever is hidden: each sequence is ruled once."""
    kept: dict[str, np.ndarray] = {}

    def cached(tokens: Any) -> np.ndarray:
        if tokens.sequence not in kept:
            kept[tokens.sequence] = rule(tokens)
        return kept[tokens.sequence]

    return cached


def repeat(tokens: Any) -> np.ndarray:
    """The base that follows the same six bases elsewhere; all alike where there is none."""
    text, n = tokens.sequence, len(tokens)
    first = n - len(text)
    scores = np.zeros((n, n))
    for i in range(6, len(text)):
        for j in range(6, len(text)):
            if i != j and text[i - 6 : i] == text[j - 6 : j]:
                scores[first + i, first + j] = SHARP
    return scores


MOTIF = "TGACTCAGCA"


def motif_copy(tokens: Any) -> np.ndarray:
    """The same place of another occurrence of a motif."""
    text, n = tokens.sequence, len(tokens)
    at = [i for i in range(len(text)) if text.startswith(MOTIF, i)]
    scores = np.zeros((n, n))
    for one in at:
        for other in set(at) - {one}:
            for place in range(len(MOTIF)):
                scores[n - len(text) + one + place, n - len(text) + other + place] = SHARP
    return scores


def with_repeat(seed: int) -> str:
    part = letters(30, seed)
    return letters(12, seed + 1) + part + letters(18, seed + 2) + part


def with_motif(seed: int) -> str:
    return "".join(letters(8, 5 * seed + i) + MOTIF for i in range(5))


@pytest.mark.parametrize(("rule", "make"), [(repeat, with_repeat), (motif_copy, with_motif)])
def test_a_planted_head_that_copies_is_found_in_ten_of_ten_seeds(rule, make):
    for seed in range(10):
        rules = [[random_keys(40 * seed + 8 * i + j) for j in range(4)] for i in range(2)]
        planted = (seed % 2, seed % 4)
        rules[planted[0]][planted[1]] = rule
        sequences = [make(1000 * seed + 10 * i) for i in range(12)]
        found = attention.ablate(copier(rules), sequences, seed=seed, draws=400)
        best = found.table.loc[found.table["effect"].idxmin()]
        assert (best["layer"], best["head"]) == planted
        assert best["q"] <= 0.05 and best["high"] < 0 and best["random_p"] == 1 / 4
        assert best["effect"] < 3 * min(best["random"], best["control"], -0.01)
        shuffled = attention.ablate(
            copier(rules), [shuffle(one, k=2, seed=i) for i, one in enumerate(sequences)], seed=seed, **QUIET
        )
        assert abs(shuffled.table.set_index("heads").loc[best["heads"], "effect"]) < -best["effect"] / 2


def test_without_an_effect_discoveries_are_as_rare_as_is_said():
    heads = [[random_keys(j) for j in range(4)]]
    model, ps, discoveries = copier(heads, gain=0.05), [], 0
    for draw in range(200):
        sequences = [letters(24, 9000 + 10 * draw + i) for i in range(7)]
        table = attention.ablate(model, sequences, seed=draw, draws=100, share=0.5, **QUIET).table
        ps.extend(table["p"])
        discoveries += bool((table["q"] <= 0.05).any())
    # 99 % of binomial draws with the rate that is said.
    assert discoveries <= 18 and 0.02 <= np.mean(np.array(ps) <= 0.05) <= 0.075
    assert 0.4 < np.mean(ps) < 0.6


def projections(module: nn.Module) -> list[nn.Module]:
    """What takes the heads' output of each layer."""
    names = (".attention.output.dense", ".attn.Wo", ".mha_output")
    return [part for name, part in module.named_modules() if name.endswith(names)]


def edited(module: nn.Module, heads: Any, size: int, make: Any) -> list[Any]:
    """Hooks that replace heads' slices by what `make` gives of them."""
    hooks = []
    for layer, part in enumerate(projections(module)):
        own = [head for at, head in heads if at == layer]

        def hook(_: Any, given: Any, own: Any = own, layer: int = layer) -> Any:
            x = given[0].clone()
            for head in own:
                cut = slice(head * size, (head + 1) * size)
                x[..., cut] = make(x[..., cut], layer, cut)
            return (x,)

        hooks.append(part.register_forward_pre_hook(hook))
    return hooks


@pytest.mark.parametrize("name", ["BERT", "ESM-2", "ModernBERT"])
@pytest.mark.parametrize("how", ["zero", "mean", "uniform"])
def test_any_encoder_is_edited_as_by_plain_hooks(name, how):
    module, heads = encoders()[name].train(), [(0, 1), (2, 0), (2, 3)]
    for parameter in module.parameters():
        parameter.data.mul_(3)
    ids = torch.from_numpy(np.random.default_rng(0).integers(4, 40, (2, 24)))
    mask = torch.ones_like(ids)
    ids[1, 15:], mask[1, 15:] = 0, 0
    batch, real = {"input_ids": ids, "attention_mask": mask}, mask[..., None].float()
    before = module.config._attn_implementation
    with torch.no_grad(), attention.ablated(module, [heads], how=how) as edit:
        found = module(**batch)[0]
    assert (edit.passes, edit.rows) == (1, 2)
    assert module.config._attn_implementation == before and all(part.training for part in module.modules())
    module.eval()
    kept: dict[int, torch.Tensor] = {}
    if how == "uniform" and name == "ModernBERT":
        # Layer 1 of three is local: its queries see 4 tokens to either side.
        near = (torch.arange(24)[:, None] - torch.arange(24)).abs() <= 4
        allowed = [
            mask[:, None].bool().expand(2, 24, 24) & (near if i % 2 else torch.ones_like(near)) for i in range(3)
        ]
        hooks = [
            layer.attn.Wqkv.register_forward_hook(lambda _, __, y, i=i: kept.__setitem__(i, y[..., 64:]))
            for i, layer in enumerate(module.layers)
        ]
    else:
        allowed = [mask[:, None].bool().expand(2, 24, 24)] * 3
        values = [part for at, part in module.named_modules() if at.endswith("self.value")]
        hooks = [part.register_forward_hook(lambda _, __, y, i=i: kept.__setitem__(i, y)) for i, part in enumerate(values)]  # fmt: skip

    def make(own: torch.Tensor, layer: int, cut: slice) -> torch.Tensor:
        if how == "zero":
            return torch.zeros_like(own)
        if how == "mean":
            return ((own * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)).expand_as(own)
        weights = allowed[layer].float()
        return weights / weights.sum(-1, keepdim=True) @ kept[layer][..., cut]

    hooks += edited(module, heads, 8, make)
    with torch.no_grad():
        expected = module(**batch)[0]
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        plain = module(**batch)[0]
    shown = mask.bool()
    np.testing.assert_allclose(found[shown], expected[shown], atol=2e-4, rtol=1e-4)
    assert (found[shown] - plain[shown]).abs().max() > 1e-2


@pytest.mark.parametrize("how", ["zero", "mean", "uniform"])
def test_later_keys_that_are_hidden_do_not_count_and_half_precision_is_close(how):
    model = copier([[uniform, uniform]])
    model.module.blocks[0].is_causal = True
    tokens = model.tokenize(letters(40, 3))
    plain = model.forward(tokens).logits
    with attention.ablated(model, [(0, 0), (0, 1)], how=how):
        edited = model.forward(tokens).logits
    # Heads without a choice stay as they are, over the keys before each query.
    assert (np.abs(plain - edited).max() < 1e-5) == (how == "uniform")
    exact, half = (models.load(FIXTURES / "nt_v2_tiny", device="cpu", dtype=dtype) for dtype in ("float32", "bfloat16"))
    several, found = [exact.tokenize(text) for text in (BASES[:60], BASES[:96])], []
    for model in (exact, half):
        with attention.ablated(model, [(0, 0), (1, 1)], how=how):
            found.append(model.forward(several).logits)
    np.testing.assert_allclose(*found, atol=0.05 * np.abs(found[0]).max())


@pytest.mark.parametrize("name", ["nt_v2_tiny", "nt_v1_tiny", "ntv3_tiny"])
def test_no_head_is_that_of_a_plain_hook_and_the_model_stays(name):
    model = models.load(FIXTURES / name, device="cpu")
    size = projections(model.module)[0].in_features // model.heads
    texts = [BASES[:96], BASES[96:192]]
    tokens = [model.tokenize(text) for text in texts]
    before = model.forward(tokens).logits
    with attention.ablated(model, (1, 1), how="zero"):
        found = model.forward(tokens).logits
    hooks = edited(model.module, [(1, 1)], size, lambda own, *_: torch.zeros_like(own))
    np.testing.assert_allclose(found, model.forward(tokens).logits, atol=1e-5)
    for hook in hooks:
        hook.remove()
    assert np.abs(found - before).max() > 1e-6
    other = model.random_twin()
    seen, alone = (
        attention.observe(one, tokens[0], entropy=attention.Entropy()).entropy.mean for one in (model, other)
    )
    with attention.ablated(model, [[(0, i) for i in range(model.heads)]], how="zero"):
        inside, apart = (
            attention.observe(one, tokens[0], entropy=attention.Entropy()).entropy.mean for one in (model, other)
        )
    np.testing.assert_array_equal(apart, alone)
    np.testing.assert_array_equal(inside[0], seen[0])
    assert (inside[1] != seen[1]).any()
    with pytest.raises(KeyError, match="gone"), attention.ablated(model, [(0, 0)]):
        raise KeyError("gone")
    np.testing.assert_array_equal(model.forward(tokens).logits, before)
    assert editing.module_of(model).config._attn_implementation == "sdpa"
    ablation = attention.ablate(model, texts, how="zero", seed=1)
    assert ablation.passes == 2 and ablation.rows == 2 * 2 * (1 + len(ablation.table))
    assert np.isfinite(ablation.table[["effect", "control", "p", "q"]]).all(axis=None)


def test_effects_equal_one_head_at_a_time_whatever_the_batch(mini):
    texts = [BASES[:240], BASES[:246], BASES[20:260]]
    heads = [(0, 1), (3, 2), {(1, 1), (3, 2)}]
    found = attention.ablate(mini, texts, heads, seed=4, **QUIET)
    other = attention.ablate(mini, texts, heads, seed=4, batch_tokens=1, **QUIET)
    np.testing.assert_allclose(found.effects, other.effects, atol=1e-5)
    assert (found.passes, found.rows, other.passes, other.rows) == (2, 12, 12, 12)
    measure = editing.Measure(mini, texts, 1000, seed=4)
    for column, text in enumerate(texts):
        masked = measure.items[column].readings[0].masked
        tokens = mini.tokenize(text)
        places = np.flatnonzero(tokens.is_kmer)[list(masked)]
        assert len(places) == round(0.15 * tokens.is_kmer.sum())
        ids = tokens.ids.copy()
        ids[places] = mini.mask_id

        def mean(ids: np.ndarray = ids, places: Any = places, tokens: Any = tokens) -> float:
            logits = (
                mini.forward(replace(tokens, ids=ids)).logits[0, places][:, tokens.vocabulary.kmer_ids].astype(float)
            )
            p = np.exp(logits - logits.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            own, logs = tokens.vocabulary.kmer_base_codes, []
            for row, place in enumerate(places):
                start, end = tokens.spans[place]
                for k, base in enumerate(codes(tokens.sequence[start:end])):
                    logs.append(np.log(p[row, own[:, k] == base].sum()))
            return float(np.mean(logs))

        intact = mean()
        assert found.sequences["intact"][column] == pytest.approx(intact, abs=1e-4)
        for row, one in enumerate(heads):
            with attention.ablated(mini, [one] if isinstance(one, tuple) else one):
                assert found.effects[row, column, 0] == pytest.approx(mean() - intact, abs=1e-4)
    whole = attention.changes(mini, texts[1] + "NAC", heads[:2], seed=4)
    assert whole.shape == (2, 249) and np.isfinite(whole).all(0).tolist() == [True] * 246 + [False] * 3


def test_rows_by_element_are_means_over_their_bases(tmp_path, mini):
    (tmp_path / "toy.fa").write_text(f">chrT\n{letters(3000, 8)}\n")
    (tmp_path / "toy.bed").write_text("chrT\t300\t700\tleft\nchrT\t2900\t2990\tright\n")
    reference, elements = Reference(tmp_path / "toy.fa"), annotation.read(tmp_path / "toy.bed")
    windows = [Interval("chrT", 0, 600), "chrT:1,001-1,600", Interval("chrT", 2400, 3000, "-"), "chrT:5,001-5,100"]
    options = {"reference": reference, "elements": elements, "share": 0.4, **QUIET}
    found = attention.ablate(mini, windows, [(3, 2)], **options)
    assert (
        found.sequences["status"].tolist()[:3] == ["ok"] * 3 and "and chrT has 3,000 bp" in found.sequences["status"][3]
    )
    assert "1 left out" in repr(found)
    table = found.table.set_index("element")
    assert table["n"].to_dict() == {"all": 3} | {kind: table.loc[kind, "n"] for kind in elements.kinds}
    measure = editing.Measure(mini, windows, 4000, **{key: options[key] for key in ("reference", "elements", "share")},
                              kinds=elements.kinds)  # fmt: skip
    texts = [
        reference.fetch(one if isinstance(one, Interval) else Interval.from_str(one)).sequence for one in windows[:3]
    ]
    for column, text in enumerate(texts):
        change = attention.changes(mini, text, (3, 2), share=0.4)[0]
        at = measure.bases(measure.items[column].readings[0])
        assert found.effects[0, column, 0] == pytest.approx(change[at].mean(), abs=1e-4)
        interval = measure.items[column]
        for row in range(1, 1 + len(elements.kinds)):
            inside = interval.flags[row][at]
            assert inside.sum() == interval.weight[row]
            if inside.any():
                assert found.effects[0, column, row] == pytest.approx(change[at][inside].mean(), abs=1e-4)
            else:
                assert np.isnan(found.effects[0, column, row])


def test_random_sets_have_the_same_sizes_by_layer_and_controls_stand_beside(mini):
    one = frozenset([(0, 1), (0, 2), (3, 5)])
    rng = np.random.default_rng(0)
    several = _random_sets(one, (4, 8), 15, rng)
    assert len(set(several)) == 15 and one not in several
    assert all(sorted(layer for layer, _ in other) == [0, 0, 3] for other in several)
    assert len(_random_sets(frozenset([(2, 2)]), (4, 8), 20, rng)) == 7
    texts = [letters(120, i) for i in range(6)]
    found = attention.ablate(mini, texts, [one, (3, 5)], random=3, seed=2)
    again = attention.ablate(mini, texts, [one, (3, 5)], random=3, seed=2)
    np.testing.assert_array_equal(found.effects, again.effects)
    assert found.table["heads"].tolist() == ["0.1 + 0.2 + 3.5", "3.5"]
    assert found.table["layer"].isna().tolist() == [True, False]
    assert found.rows == 6 * (1 + 2 + 6) + 6 * (1 + 2)
    twin = attention.ablate(mini.random_twin(2), texts, [one, (3, 5)], seed=2, **QUIET)
    np.testing.assert_allclose(found.table["control"], twin.table["effect"], atol=1e-7)
    other = attention.ablate(mini, texts, [*(pair for pair in np.ndindex(4, 8) if pair[0] == 3)], control=None).table
    rest = other[other["head"] != 5]["effect"]
    row = other[other["head"] == 5].iloc[0]
    assert (
        row["random"] == pytest.approx(rest.mean())
        and row["random_p"] == (1 + (rest.abs() >= abs(row["effect"])).sum()) / 8
    )
    assert (found.table["low"] <= found.table["effect"]).all() and (found.table["effect"] <= found.table["high"]).all()
    assert attention.ablate(mini, texts[:4], (3, 5), **QUIET).table["low"].isna().all()
    with pytest.raises(ValueError, match="one of effect.*ablated alone; received 'label' and 'all'"):
        found.grid("label")


def test_a_variants_score_and_any_function_are_targets(mini):
    alternative = BASES[:100] + ("A" if BASES[100] != "A" else "C") + BASES[101:]
    found = attention.ablate(mini, [(BASES, alternative)], [(3, 2)], **QUIET)
    tokens, other = mini.tokenize(BASES), mini.tokenize(alternative)
    (place,) = np.flatnonzero(tokens.ids != other.ids)
    ids = tokens.ids.copy()
    ids[place] = mini.mask_id

    def ratio(model: Any, pair: Any = None) -> float:
        logits = model.forward(replace(tokens, ids=ids)).logits[0, place].astype(float)
        return float(logits[other.ids[place]] - logits[tokens.ids[place]])

    assert found.sequences["intact"][0] == pytest.approx(ratio(mini), abs=1e-4) and found.unit == "nats"
    same = attention.ablate(mini, [(BASES, alternative)], [(3, 2)], of=ratio, random=0)
    np.testing.assert_allclose(found.effects, same.effects, atol=1e-4)
    assert (same.unit, same.rows, same.table["control"].isna().all()) == ("of the target", 2, True)
    target = attribution.BaseProbability(100, BASES[100])
    by_target = attention.ablate(mini, BASES, [(3, 2)], of=target, random=1)
    with attention.ablated(mini, (3, 2)):
        ablated = target(mini, BASES)
    assert by_target.table["effect"][0] == pytest.approx(ablated - target(mini, BASES), abs=1e-5)
    assert by_target.unit == "log probability (nats)" and by_target.rows == 3
    direction = attribution.Direction(np.random.default_rng(0).normal(size=mini.hidden_size), layer=2)
    along = attention.ablate(mini, BASES, [(0, 3), (1, 3), (2, 3), (3, 3)], of=direction, unit="projection", random=0)
    assert (along.table["effect"].abs() > 1e-6).tolist() == [True, True, False, False] and along.unit == "projection"
    texts = [letters(120, i) for i in range(8)]
    vectors = mini.embed(list(map(mini.tokenize, texts)), layers=(2,))[:, 0, 0]
    fitted = Fitted("binary", 2, Setting("logistic", 2, strength=0.1), 0).fit(vectors, np.array([0, 1] * 4))
    probed = attention.ablate(mini, texts, [(1, 6), (2, 7)], of=attribution.Probe(fitted, 1), random=0)
    with attention.ablated(mini, (1, 6)):
        without = fitted.predict(mini.embed(list(map(mini.tokenize, texts)), layers=(2,))[:, 0, 0])
    odds = [np.log(p[:, 1] / p[:, 0]) for p in (fitted.predict(vectors), without)]
    np.testing.assert_allclose(probed.effects[0, :, 0], odds[1] - odds[0], atol=1e-3)
    assert not probed.effects[1].any() and probed.unit == "log-odds (nats)"
    recipe = finetuning.Recipe(learning_rate=1e-2, steps=2, evaluate_every=1)
    tuned = finetuning.tune(mini, texts, [0, 1] * 4, kind="binary", outputs=2, method="ia3", recipe=recipe)
    before = tuned.predict(texts[:2])
    by_head = attention.ablate(tuned, texts[:2], [(3, 2)], of=lambda model, text: model.predict([text])[0, 1], random=0)
    np.testing.assert_allclose(by_head.sequences["intact"], before[:, 1], atol=1e-5)
    by_output = attention.ablate(tuned, texts[:2], [(3, 2)], of=attribution.Output(1, scale="score"), random=0)
    assert np.abs(by_head.effects).max() > 0 and np.abs(by_output.effects).max() > 0
    np.testing.assert_array_equal(tuned.predict(texts[:2]), before)
    module = encoders()["BERT"].eval()
    batch = {"input_ids": torch.arange(4, 20)[None]}
    of = lambda model, given: model(**given)[0][0, 3, 5].item()  # noqa: E731
    bare = attention.ablate(module, [batch], [(0, 0)], how="zero", of=of)
    assert bare.effects.shape == (1, 1, 1) and bare.effects[0, 0, 0] != 0


def test_patching_equals_plain_hooks_and_finds_the_head_that_carries(mini):
    alternative = BASES[:100] + ("A" if BASES[100] != "A" else "C") + BASES[101:]

    def of(model: Any, text: str) -> float:
        return float(model.forward(model.tokenize(text)).logits[0, 30].max())

    found = attention.patch(mini, BASES, alternative, of=of)
    kept: dict[int, torch.Tensor] = {}
    size = projections(mini.module)[0].in_features // mini.heads
    hooks = [part.register_forward_pre_hook(lambda _, given, i=i: kept.__setitem__(i, given[0].clone())) for i, part in enumerate(projections(mini.module))]  # fmt: skip
    source = of(mini, alternative)
    for hook in hooks:
        hook.remove()
    assert found.whole == pytest.approx(source - of(mini, BASES), abs=1e-4)
    for heads, row in [([(2, 5)], found.heads.query("layer == 2 and head == 5")), ([(1, i) for i in range(8)], found.layers.query("layer == 1"))]:  # fmt: skip
        hooks = edited(mini.module, heads, size, lambda own, layer, cut: kept[layer][..., cut])
        patched = of(mini, BASES)
        for hook in hooks:
            hook.remove()
        assert row["effect"].item() == pytest.approx(patched - of(mini, BASES), abs=1e-4)
    assert found.remainder == pytest.approx(1 - found.heads["share"].sum())
    assert found.grid().shape == (4, 8) and found.passes == 1 + 1 + 32 + 4

    own = attention.patch(mini, BASES, alternative)
    back = attention.patch(mini, BASES, alternative, into="alternative", control=None)
    tokens, other = mini.tokenize(BASES), mini.tokenize(alternative)
    (place,) = np.flatnonzero(tokens.ids != other.ids)
    ratios = [
        one[other.ids[place]] - one[tokens.ids[place]]
        for one in (mini.forward(t).logits[0, place] for t in (tokens, other))
    ]
    assert own.whole == pytest.approx(ratios[1] - ratios[0], abs=1e-3) and back.whole == pytest.approx(
        -own.whole, abs=1e-3
    )
    assert own.heads["control_share"].notna().all() and back.heads["control_share"].isna().all()
    assert "remain (control" in repr(own) and "remain;" in repr(back)

    # One layer that adds up: the head that looks at the variant carries all that reaches another base, others nothing.
    def on_five(tokens: Any) -> np.ndarray:
        scores = np.zeros((len(tokens), len(tokens)))
        scores[:, len(tokens) - len(tokens.sequence) + 5] = 40.0
        return scores

    def next_one(tokens: Any) -> np.ndarray:
        return 40.0 * np.eye(len(tokens), k=1)

    model = copier([[next_one, on_five, next_one]])
    text = letters(20, 1)
    changed = text[:5] + ("A" if text[5] != "A" else "G") + text[6:]
    letter = model.tokenize("ACGT").vocabulary.single_ids["ACGT".index(text[5])]
    told = attention.patch(
        model, text, changed, of=lambda model, text: float(model.forward(model.tokenize(text)).logits[0, -2, letter])
    )
    np.testing.assert_allclose(told.heads["share"], [0, 1, 0], atol=1e-6)
    assert told.remainder == pytest.approx(0, abs=1e-6) and told.layers["share"].item() == pytest.approx(1)


def test_what_the_heads_of_the_bundled_model_do_is_told_as_it_is(mini):
    """In the genome two of them help, and all together bring most of what is known; in shuffled sequence and random repeats none does."""
    reference, rng = Reference(data.bundle("chr20")), np.random.default_rng(1)
    genome: list[str] = []
    while len(genome) < 16:
        start = int(rng.integers(1_000_000, 62_000_000))
        text = reference.fetch(Interval("20", start, start + 1200)).sequence
        genome += [text] * ("N" not in text)
    order = [shuffle(text, k=2, seed=row) for row, text in enumerate(genome)]
    parts = [letters(480, 50 + i) for i in range(16)]
    repeats = [letters(60, 80 + i) + part + letters(120, 170 + i) + part for i, part in enumerate(parts)]
    every = frozenset(np.ndindex(4, 8))
    here, shuffled, copied = (
        attention.ablate(mini, texts, [(1, 6), (2, 7), every], **QUIET) for texts in (genome, order, repeats)
    )
    assert (here.table["high"] < 0).all() and (here.table["q"] <= 0.05).all()
    known = here.sequences["intact"].mean() - np.log(0.25)
    assert here.table["effect"][2] < -0.6 * known and here.table["effect"].max() < -0.005
    for null in (shuffled, copied):
        assert (null.table["effect"] > 0.15 * here.table["effect"]).all()  # to do without costs little, or even gains


@pytest.mark.parametrize(("change", "error", "match"), [
    ({"heads": [(4, 0)]}, ValueError, r"0 to 3 and 0 to 7, or sets.*received \(4, 0\)"),
    ({"heads": (1, -1)}, ValueError, r"received \(1, -1\)"),
    ({"heads": [(1, 1), (1, 1)]}, ValueError, "each once"),
    ({"heads": []}, ValueError, "Leave heads out for all"),
    ({"heads": [()]}, ValueError, "pairs"),
    ({"heads": [[(1, 1), "a"]]}, ValueError, "received 'a'"),
    ({"how": "none"}, ValueError, "one of mean, zero, uniform; received 'none'"),
    ({"draws": 0}, ValueError, "draws and batch_tokens must be at least 1"),
    ({"elements": annotation}, ValueError, "elements must come with reference"),
    ({"sequences": []}, ValueError, "sequence that can be used; received none"),
    ({"sequences": ["", "ACG"]}, ValueError, "of 2 the first:"),
    ({"sequences": BASES * 9}, ValueError, "sequence that can be used; of 1 the first: .*tokens"),
    ({"sequences": ["chr1:1-100"]}, ValueError, "must come with reference="),
    ({"sequences": [(BASES, BASES)]}, ValueError, "they have the same ones"),
    ({"sequences": [(BASES, BASES[1:])]}, ValueError, "Both alleles must have as many tokens"),
])  # fmt: skip
def test_bad_input_is_named(mini, change, error, match):
    options = {"sequences": [BASES], "heads": [(0, 0)], **QUIET, **change}
    with pytest.raises(error, match=match):
        attention.ablate(mini, options.pop("sequences"), options.pop("heads"), **options)


def test_models_and_alleles_that_cannot_be_edited_are_named(mini):
    with pytest.raises(TypeError, match="attention interface"):
        attention.ablate(models.load(FIXTURES / "hyenadna_tiny", device="cpu"), [BASES])
    with pytest.raises(ValueError, match="takes sequences; BertForMaskedLM is none. Pass of="):
        attention.ablate(encoders()["BERT"], [BASES], control=None)

    class Silent(Copier):
        def forward(self, batch: Any, **options: Any) -> Forward:
            return Forward(np.zeros((1, 1)), np.ones((1, 1)), logits=np.zeros((len(batch), 4, 16), np.float32))

    silent = Silent(**vars(copier([[uniform]])))
    with pytest.raises(TypeError, match=r"Layer 0 must reach.*; 0 layer\(s\) do"):
        attention.ablate(silent, [letters(30, 1)], **QUIET)
    shape = {
        "vocab_size": 40,
        "hidden_size": 32,
        "embedding_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
    }
    shared = transformers.AlbertModel(transformers.AlbertConfig(**shape, intermediate_size=48))
    with pytest.raises(TypeError, match=r"by a module of its own; 1 layer\(s\) do"), attention.ablated(shared, (0, 1)):
        shared(input_ids=torch.arange(4, 20)[None])
    with pytest.raises(
        ValueError, match="'twin', of a model that has random_twin.*received 'twins' for NucleotideT.*Pass control=None"
    ):
        attention.ablate(mini, [BASES], [(0, 0)], control="twins")

    def full(model: Any, text: str) -> float:
        raise RuntimeError("not enough memory.")

    def wrong(model: Any, text: str) -> float:
        raise RuntimeError("a shape is wrong")

    with pytest.raises(MemoryError, match="not enough memory. A pass must fit: take a smaller batch_tokens"):
        attention.ablate(mini, [BASES], [(0, 0)], of=full)
    with pytest.raises(RuntimeError, match="a shape is wrong"):
        attention.ablate(mini, [BASES], [(0, 0)], of=wrong)
    with pytest.raises(ValueError, match="'reference' or 'alternative'; received 'both'"):
        attention.patch(mini, BASES, BASES, into="both")
    with pytest.raises(ValueError, match="same target|same ones"):
        attention.patch(mini, BASES, BASES)
    with pytest.raises(ValueError, match="Both alleles must have as many tokens.*received 44 and 43"):
        attention.patch(mini, BASES[:258], BASES[:252])
    with pytest.raises(ValueError, match="both have 1: there is no effect to carry"):
        attention.patch(
            mini, BASES, BASES[1:] + "A", of=lambda model, text: model.forward(model.tokenize(text)) and 1.0
        )
