"""Heads made to a rule are named by it and by nothing else; the sites that a head attends to, beside chance."""

from __future__ import annotations

from types import SimpleNamespace

import attention_toy as rule
import numpy as np
import pandas as pd
import pytest
import torch
from attention_toy import motif, previous_token, random_keys, same_kmer, toy, uniform
from transformers import BertConfig, BertForMaskedLM

from ntviz import attention, models
from ntviz.attention.habits import CONTENT
from ntviz.genome import Interval
from ntviz.genome.sequence import reverse_complement
from ntviz.reference import Reference

RNG = np.random.default_rng(0)
RULES = [
    [previous_token, rule.fixed_offset(5), rule.first_token, rule.palindrome],
    [same_kmer, rule.gc_rich, uniform, random_keys(3)],
]
NAMES = [
    ["offset -1", "offset +5", "first token", "reverse complement"],
    ["same k-mer", "GC", "diffuse", "other"],
]
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
    assert rows.loc[(0, "codon period"), "score"] > 0.9
    assert rows.loc[(2, "codon period"), "score"] < 0.2
    coarse = attention.detect(toy(rules, k=6), [bases(1200)])
    silent = coarse.table[coarse.table["template"].str.endswith("period")]
    assert (silent["status"] == "not resolvable").all()
    assert silent["score"].isna().all()


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
def test_sums_equal_those_of_a_whole_map(block):
    model = models.load("ntviz-mini", device="cpu")
    tokens = model.tokenize("ACGTAC" * 3 + bases(100) + "NNN" + "GTACGT" * 2 + bases(90) + "CCTTAA" * 4)
    maps = model.forward(tokens, outputs=("attentions",)).attentions[0].astype(float)
    seen = attention.observe(model, tokens, block=block, habits=attention.Habits()).habits
    for name, expected in by_hand(maps, tokens).items():
        np.testing.assert_allclose(getattr(seen, name), expected, atol=1e-4, err_msg=name)
    assert (seen.content_by_offset[:2].sum(1) > 0).all()


def test_chance_is_that_of_the_same_distances():
    """A head that looks at its neighbour meets the same k-mer as often as neighbours are the same: ratio 1."""
    text = "".join(word * 2 for word in (bases(6) for _ in range(60)))
    found = attention.detect(toy([[previous_token, same_kmer]]), [text]).table.set_index(["head", "template"])
    row = found.loc[(0, "same k-mer")]
    assert row["score"] > 0.3
    assert row["ratio"] == pytest.approx(1, abs=0.02)
    assert found.loc[(1, "same k-mer"), "ratio"] > 1.5


def test_ids_alone_say_nothing_about_bases():
    shape = {"num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=20, hidden_size=16, intermediate_size=16, **shape)
    batch = {"input_ids": torch.arange(5, 17)[None]}
    asked = {"habits": attention.Habits(), "received": attention.Received()}
    seen = attention.observe(BertForMaskedLM(config).eval(), batch, **asked)[0]
    assert seen.habits.content.shape == (1, 2, len(CONTENT))
    assert np.isnan(seen.habits.content).all()
    np.testing.assert_allclose(seen.habits.by_offset.sum(-1) / seen.habits.n + seen.received.special, 1, rtol=1e-5)


def test_one_sequence_gives_no_interval_and_short_ones_are_refused():
    model = toy(RULES)
    one = attention.detect(model, [repeated(1800)])
    assert one.sequences == 1
    assert one.table["low"].isna().all()
    with pytest.raises(ValueError, match="received 0 sequences, the shortest of 0 tokens"):
        attention.detect(model, [])
    with pytest.raises(ValueError, match="received 2 sequences, the shortest of 5 tokens"):
        attention.detect(model, [bases(24), bases(900)])


def test_an_atlas_has_one_row_a_head():
    detection = attention.detect(toy(RULES), [repeated(1800) for _ in range(2)])
    heads = pd.DataFrame(
        [(layer, head) for layer in (0, 1) for head in range(4) for _ in range(2)], columns=["layer", "head"]
    )
    table = heads.assign(element=["exon", "cpg_island"] * 8, ratio=np.linspace(0.5, 2.9, 16))
    table["significant"] = [True] * 8 + [False, True] * 4
    made = attention.atlas(detection, SimpleNamespace(table=table))
    assert made.labels[0][0] == "offset -1" and made.labels[1][3] == "CpG island 2.9x"
    assert made.grid("entropy").shape == (2, 4)
    assert made.grid("element_ratio")[1, 3] == pytest.approx(2.9)
    assert np.isnan(made.grid("element_ratio")[0, 0])
    assert "8 heads: 2 offset" in repr(made)
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
    assert found.beyond_chance[token].all()
    assert found.information[token].sum() > 5
    assert np.array_equal(found.motif.probabilities, found.probabilities)
    assert (found.motif.id, found.motif.nsites) == ("layer 0, head 0", 60)
    # What the head is held against is flat: no position of random sites says as much as the least of the token's.
    assert found.random_motif.information.max() < found.motif.information[token].min()
    anywhere = sites(reference, 1, top=60, per_window=2)
    # 5 % of positions are expected beyond their 95 % quantile; 5 of 24 would be rare (2 in 1,000).
    assert anywhere.beyond_chance.sum() < 5
    assert f"{len(anywhere.table)} sites of 60 windows" in repr(anywhere)


@pytest.mark.parametrize("strand", ["+", "-"])
def test_sites_have_their_place_in_the_genome(reference, strand):
    found, again = (sites(reference, 1, 5, strand, top=9) for _ in range(2))
    assert (np.diff(found.table["received"]) <= 0).all()
    for row in found.table.itertuples():
        forward = reference.fetch(Interval(row.chrom, row.start, row.end)).sequence
        assert row.sequence == (forward if strand == "+" else reverse_complement(forward))
        assert "N" not in row.sequence
    assert found.counts.sum(1).tolist() == [9] * 24
    assert np.array_equal(found.chance, again.chance)


def test_windows_too_short_for_a_site_are_an_error(reference):
    with pytest.raises(ValueError, match="whole tokens with 9 bp on both sides, without N; none of 1 does"):
        attention.attended_sites(toy([[random_keys(1)]]), [Interval("chrT", 0, 20)], reference, layer=0, head=0)
