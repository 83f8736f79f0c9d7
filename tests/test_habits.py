"""Heads made to a rule are named by it and by nothing else; scores equal whole maps by brute force."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from attention_toy import (
    first_token,
    fixed_offset,
    gc_rich,
    palindrome,
    period,
    previous_token,
    random_keys,
    same_kmer,
    toy,
    uniform,
)
from transformers import BertConfig, BertForMaskedLM

from ntviz import attention, models
from ntviz.attention.habits import CONTENT, OFFSETS
from ntviz.genome.sequence import reverse_complement

RNG = np.random.default_rng(0)
RULES = [
    [previous_token, fixed_offset(5), first_token, palindrome],
    [same_kmer, gc_rich, uniform, random_keys(3)],
]
NAMES = [
    ["offset -1", "offset +5", "first token", "reverse complement"],
    ["same k-mer", "GC", "diffuse", "other"],
]


def bases(n: int) -> str:
    return "".join(RNG.choice(list("ACGT"), n))


def repeated(n: int) -> str:
    """Half a sequence, then a part of it again, then the reverse complement of another part."""
    half = bases(n)
    return half + half[: n // 2] + reverse_complement(half[n // 2 :])


@pytest.mark.parametrize("k", [6, 3])
def test_heads_made_to_a_rule_are_named_by_it_and_by_nothing_else(k):
    found = attention.detect(toy(RULES, k=k), [repeated(600 * k) if k == 6 else bases(900) for _ in range(4)])
    assert attention.atlas(found).labels == NAMES


def test_periods_are_found_where_tokens_resolve_them():
    rules = [[period(3), period(10.5), uniform, previous_token]]
    found = attention.detect(toy(rules, k=1), [bases(300) for _ in range(4)])
    assert found.heads["label"].tolist() == ["codon period", "helix period", "diffuse", "offset -1"]
    rows = found.table[found.table["template"].str.endswith("period")].set_index(["head", "template"])
    assert (rows["status"] == "ok").all()
    assert rows.loc[(0, "codon period"), "score"] > 0.9
    assert rows.loc[(2, "codon period"), "score"] < 0.2
    coarse = attention.detect(toy(rules, k=6), [bases(1200)])
    silent = coarse.table[coarse.table["template"].str.endswith("period")]
    assert (silent["status"] == "not resolvable").all()
    assert silent["score"].isna().all()


def by_hand(maps: np.ndarray, tokens) -> dict[str, np.ndarray]:
    """Sums of Habits from a whole map, pair by pair."""
    base = np.flatnonzero(~tokens.is_special)
    n = len(base)
    words = [tokens.sequence[start:end] for start, end in tokens.spans]
    sums = {"by_offset": np.zeros((*maps.shape[:2], 2 * n - 1)), "content": np.zeros((*maps.shape[:2], 3))}
    sums["content_by_offset"] = np.zeros((3, 2 * n - 1))
    for i, query in enumerate(base):
        for j, key in enumerate(base):
            gc = sum(letter in "GC" for letter in words[key]) / len(words[key])
            known = "N" not in words[query] and i != j
            match = (
                (words[query] == words[key]) * known,
                (reverse_complement(words[query]) == words[key]) * known,
                gc,
            )
            sums["by_offset"][..., j - i + n - 1] += maps[..., query, key]
            for kind, value in enumerate(match):
                sums["content"][..., kind] += maps[..., query, key] * value
                sums["content_by_offset"][kind, j - i + n - 1] += value
    sums["first"] = maps[..., base, 0].sum(-1)
    sums["special"] = maps[..., base, :][..., tokens.is_special].sum((-1, -2))
    return sums


@pytest.mark.parametrize("block", [None, 900], ids=["one block", "many blocks"])
def test_sums_equal_those_of_a_whole_map(block):
    model = models.load("ntviz-mini", device="cpu")
    tokens = model.tokenize("ACGTAC" * 3 + bases(100) + "NNN" + "GTACGT" * 2 + bases(90) + "CCTTAA" * 4)
    maps = model.forward(tokens, outputs=("attentions",)).attentions[0].astype(float)
    seen = attention.observe(model, tokens, block=block, habits=attention.Habits()).habits
    for name, expected in by_hand(maps, tokens).items():
        np.testing.assert_allclose(getattr(seen, name), expected, atol=1e-4, err_msg=name)
    assert seen.content_by_offset[0].sum() > 0
    assert seen.content_by_offset[1].sum() > 0


def test_chance_is_that_of_the_same_distances():
    """A head that looks at its neighbour meets the same k-mer as often as neighbours are the same: ratio 1."""
    text = "".join(word * 2 for word in (bases(6) for _ in range(60)))
    found = attention.detect(toy([[previous_token, same_kmer]]), [text]).table.set_index(["head", "template"])
    row = found.loc[(0, "same k-mer")]
    assert row["score"] > 0.3
    assert row["ratio"] == pytest.approx(1, abs=0.02)
    assert found.loc[(1, "same k-mer"), "ratio"] > 1.5


def test_ids_alone_say_nothing_about_bases():
    config = BertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    batch = {"input_ids": torch.arange(5, 17)[None]}
    seen = attention.observe(BertForMaskedLM(config).eval(), batch, habits=attention.Habits())[0].habits
    assert seen.content.shape == (1, 2, len(CONTENT))
    assert np.isnan(seen.content).all()
    np.testing.assert_allclose(seen.by_offset.sum(-1) + seen.special, seen.n, rtol=1e-5)


def test_one_sequence_gives_no_interval_and_short_ones_are_refused():
    model = toy(RULES)
    one = attention.detect(model, [repeated(1800)])
    assert one.sequences == 1
    assert one.table["low"].isna().all()
    with pytest.raises(ValueError, match="received 0 sequences, the shortest of 0 tokens"):
        attention.detect(model, [])
    with pytest.raises(ValueError, match="received 2 sequences, the shortest of 5 tokens"):
        attention.detect(model, [bases(24), bases(900)])


def test_an_atlas_has_one_row_a_head_and_comes_back_from_its_file(tmp_path):
    detection = attention.detect(toy(RULES), [repeated(1800) for _ in range(2)])

    class Enriched:
        table = pd.DataFrame(
            {
                "layer": np.repeat([0, 1], 8), "head": np.tile(np.repeat(range(4), 2), 2),
                "element": ["exon", "cpg_island"] * 8, "ratio": np.linspace(0.5, 2.9, 16),
                "significant": [True] * 8 + [False, True] * 4,
            }
        )  # fmt: skip

    made = attention.atlas(detection, Enriched)
    assert made.label(0, 0) == "offset -1"
    assert made.label(1, 3) == "CpG island 2.9x"
    assert made.grid("entropy").shape == (2, 4)
    assert made.grid("element_ratio")[1, 3] == pytest.approx(2.9)
    assert np.isnan(made.grid("element_ratio")[0, 0])
    assert "8 heads: 2 offset" in repr(made)
    again = attention.Atlas.load(made.save(tmp_path / "atlas.parquet"))
    pd.testing.assert_frame_equal(again.table, made.table, check_dtype=False)
    with pytest.raises(ValueError, match="A score must be one of entropy, .*received 'entropi'"):
        made.grid("entropi")
    other = type("Other", (), {"table": Enriched.table[Enriched.table["head"] < 2]})
    with pytest.raises(ValueError, match="received 8 and 4 heads, 4 of them in both"):
        attention.atlas(detection, other)
    assert OFFSETS >= 5
