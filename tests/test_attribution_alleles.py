"""How contributions are told by base: shares of a token, frames, strands, and two alleles side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ntviz import attribution, models
from ntviz.attribution import BaseProbability, Direction, Output
from ntviz.attribution.contrast import aligned
from ntviz.attribution.reader import reader
from ntviz.attribution.result import by_gradient

FIXTURES = Path(__file__).parent / "fixtures"
SEQUENCE = "".join(np.random.default_rng(9).choice(list("ACGT"), 40)) + "N" + "ACGTTGCATT"


@pytest.fixture(scope="module", params=["nt_v1_tiny", "nt_v2_tiny"])
def tiny(request):
    return models.load(FIXTURES / request.param, device="cpu")


def direction(model) -> Direction:
    return Direction(np.random.default_rng(1).normal(size=model.hidden_size), layer=1)


def test_shares_by_gradient_are_first_order_effects_of_each_change(tiny):
    """Each base of each k-mer changed in the text, its word's vector looked up, and the gradient's product with the difference."""
    of, target = reader(tiny), direction(tiny)
    tokens = tiny.tokenize(SEQUENCE)
    ids = tokens.ids.copy()
    _, slopes = of.gradients(ids[None], target, tokens)
    table = of.table.detach()
    found = by_gradient(tokens, ids, slopes[0], table)
    for index, (start, end) in enumerate(tokens.spans.tolist()):
        if end - start == 1:
            assert found[start] == 1
        elif end > start:
            effects = []
            for base in range(start, end):
                changed = []
                for letter in set("ACGT") - {SEQUENCE[base]}:
                    word = SEQUENCE[start:base] + letter + SEQUENCE[base + 1 : end]
                    difference = table[tokens.vocabulary.id_of(word)] - table[ids[index]]
                    changed.append(abs(float(slopes[0, index] @ difference)))
                effects.append(np.mean(changed))
            np.testing.assert_allclose(found[start:end], np.array(effects) / sum(effects), atol=1e-4)


def test_shares_add_up_to_their_tokens(tiny):
    for target in (direction(tiny), BaseProbability(20, "C")):
        found = attribution.integrated_gradients(tiny, SEQUENCE, target)
        covering = ~found.tokens.is_special
        for share in ("even", "gradient"):
            back = found.tokens.from_bases(found.per_base(share), reduce="sum")
            np.testing.assert_allclose(back[covering], found.per_token[covering], atol=1e-9)
        assert np.abs(found.per_base("gradient") - found.per_base("even")).max() > 1e-4
    # The hidden token has no word whose neighbours could be looked up.
    start, end = found.tokens.bases_of(int(found.tokens.token_at(20)))
    np.testing.assert_allclose(found.shares[start:end], 1 / 6)


def test_shares_are_even_where_nothing_matters(tiny):
    tokens = tiny.tokenize(SEQUENCE)
    table = reader(tiny).table.detach()
    flat = by_gradient(tokens, tokens.ids, torch.zeros(len(tokens), table.shape[1]), table)
    sizes = tokens.spans[:, 1] - tokens.spans[:, 0]
    np.testing.assert_array_equal(flat, tokens.to_bases(1 / sizes.clip(min=1)))


def test_frames_are_the_mean_over_tokens_that_begin_elsewhere(tiny):
    """Frame by frame: a model that cuts the first bases singly, and nothing else about it."""

    class Shifted:
        def __init__(self, phase):
            self.phase, self.module, self.mask_id, self.name = phase, tiny.module, tiny.mask_id, "shifted"

        def tokenize(self, sequence):
            return tiny.tokenize(sequence, phase=self.phase)

    target = direction(tiny)
    for share in ("even", "gradient"):
        found = attribution.integrated_gradients(tiny, SEQUENCE, target, frames=3)
        each = [attribution.integrated_gradients(Shifted(phase), SEQUENCE, target) for phase in range(3)]
        np.testing.assert_allclose(
            found.per_base(share), np.mean([one.per_base(share) for one in each], axis=0), atol=1e-5
        )
        assert found.value == pytest.approx(np.mean([one.value for one in each]), abs=1e-5)
    assert found.method == "integrated gradients, 3 frames"
    assert found.error == max(view.attribution.error for view in found.views)
    assert found.per_base().sum() == pytest.approx(np.mean([one.per_base().sum() for one in each]), abs=1e-5)
    both = attribution.gradient_times_input(tiny, SEQUENCE, target, frames=2, both_strands=True)
    assert both.method == "gradient times input, both strands, 2 frames"
    assert [view.flipped for view in both.views] == [False, False, True, True]
    np.testing.assert_allclose(
        both.by_token()[~both.tokens.is_special].sum(), both.per_base().sum(), atol=1e-8
    )
    curve = attribution.deletion(tiny, SEQUENCE, target, found, shares=(0, 1), draws=2)
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
    assert table["base"].tolist() == list("AC--GT")
    assert table["alternative_base"].tolist() == list("ACTTGT")
    assert table["position"].isna().tolist() == [False, False, True, True, False, False]
    assert table["alternative_position"].tolist() == [0, 1, 2, 3, 4, 5]
    assert table["reference"].isna().sum() == 2
    snv = attribution.contrast(Sum(), "ACGT", "AGGT", Output(0), baseline="n")
    np.testing.assert_allclose(snv.difference(), [0, 90, 0, 0], atol=1e-2)


@pytest.mark.parametrize("alternative", ["", "GATTACA"])
def test_swapping_alleles_flips_the_sign(tiny, alternative):
    reference = SEQUENCE[:10] + "GA" + SEQUENCE[12:]
    other = reference[:10] + alternative + reference[12:]
    target = BaseProbability(30, "C")
    moved = BaseProbability(30 + len(other) - len(reference), "C")
    one = attribution.contrast(tiny, reference, other, target)
    back = attribution.contrast(tiny, other, reference, moved)
    assert one.change == pytest.approx(-back.change, abs=1e-6)
    np.testing.assert_allclose(one.difference(), -back.difference(), atol=1e-6)
    by_hand = attribution.integrated_gradients(tiny, other, moved)
    np.testing.assert_allclose(one.alternative.per_token, by_hand.per_token, atol=1e-6)
    total = (by_hand.value - by_hand.baseline_value) - (one.reference.value - one.reference.baseline_value)
    # Under masks v1 scales <cls>, which then contributes beside the bases.
    special = [each.per_token[each.tokens.is_special].sum() for each in (by_hand, one.reference)]
    assert one.difference().sum() + special[0] - special[1] == pytest.approx(
        total, abs=0.02 * abs(by_hand.value)
    )
    point = attribution.contrast(
        tiny, reference, other, direction(tiny), attribute=attribution.gradient_times_input
    )
    assert point.reference.method == "gradient times input"


def test_a_base_within_the_change_must_be_named_in_both(tiny):
    reference = SEQUENCE
    other = reference[:20] + reference[23:]
    with pytest.raises(
        ValueError, match=r"outside of an insertion or deletion, here 2\d to 2\d; received 22"
    ):
        attribution.contrast(tiny, reference, other, BaseProbability(22, "C"))
    found = attribution.contrast(
        tiny, reference, other, BaseProbability(22, "C"), alternative_target=BaseProbability(20, "C")
    )
    assert len(found.difference()) == len(reference)
    snv = reference[:22] + ("A" if reference[22] != "A" else "C") + reference[23:]
    same = attribution.contrast(tiny, reference, snv, BaseProbability(22, "A", "C"))
    assert same.change == pytest.approx(0, abs=1e-6)  # the target hides its own base
    assert Output(1, position=30).edited(20, 23, -3) == Output(1, position=27)
    assert Output(1).edited(20, 23, -3) == Output(1)
    assert len(same.columns) == len(reference)
