"""From planted sites to names: windows of chromosome 20, a network whose motifs are known, attributions, seqlets, patterns.

Controls without planted sites are 5 sets of windows; `NTVIZ_NULL_SETS=20 pytest tests/test_planted.py` asks 20, of which
1 may get a name.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planted import NULL_SETS, encoded, gradient_times_input, mutagenesis, windows

from ntviz import attribution, data, motifs
from ntviz.genome import sequence
from ntviz.motifs import Detector, Discovery, Motifs, Planted, plant

# Ten families, chosen before anything was run: CTCF, HNF1A, SPI1, TP53, MEF2A, FOS::JUN, GATA1, HNF4A, NRF1, FOXA1.
CHOSEN = ("MA0139", "MA0046", "MA0080", "MA0106", "MA0052", "MA0099", "MA0035", "MA0114", "MA0506", "MA0148")
SEED = 20


@pytest.fixture(scope="module")
def known() -> Motifs:
    return motifs.read(data.bundle("motifs"))


@pytest.fixture(scope="module")
def detector(known: Motifs) -> Detector:
    return Detector([known[name] for name in CHOSEN])


@pytest.fixture(scope="module")
def contributions(detector: Detector, planted: Planted) -> list[np.ndarray]:
    return gradient_times_input(detector, planted.sequences, planted.motif)


@pytest.fixture(scope="module")
def planted(known: Motifs) -> Planted:
    return plant(windows(600, 300, SEED), [known[name] for name in CHOSEN], seed=SEED)


def families_of(known: Motifs) -> list[tuple[str, ...]]:
    """The families of each motif that was chosen; a complex has several, and no family is there twice."""
    kinds = motifs.families()
    found = [kinds[known[name].id].families for name in CHOSEN]
    every = [family for families in found for family in families]
    assert len(found) == 10
    assert len(set(every)) == len(every)
    return found


def named(result: Discovery, known: Motifs) -> list[tuple[str, ...]]:
    """Families of the nearest known motif of each pattern that gets a name."""
    if not result.patterns:
        return []
    kinds = motifs.families()
    names = motifs.name(result.motifs, known, families=kinds, shuffles=0).table
    return [kinds[target].families for target in names.loc[names["status"] == "named", "target"]]


def recovered(result: Discovery, known: Motifs) -> int:
    """Number of the planted motifs of which a pattern has a family."""
    found = {family for families in named(result, known) for family in families}
    return sum(bool(found & set(families)) for families in families_of(known))


def of_shuffles(detector: Detector, texts: list[str], outputs: np.ndarray, copies: int) -> list[np.ndarray]:
    """Contributions in sequences with the same dinucleotides: what the network answers to by chance."""
    found = []
    for copy in range(copies):
        shuffled = [sequence.shuffle(text, k=2, seed=1000 * copy + row) for row, text in enumerate(texts)]
        found += gradient_times_input(detector, shuffled, outputs)
    return found


def test_planted_families_are_recovered_by_gradients(
    known: Motifs, planted: Planted, detector: Detector, contributions: list[np.ndarray]
) -> None:
    null = of_shuffles(detector, planted.sequences, planted.motif, 3)
    result = motifs.discover(planted.sequences, contributions, null=null, outputs=planted.motif)
    assert recovered(result, known) >= 9, (named(result, known), result)
    assert result.null_patterns <= 1
    # Sites of patterns are the planted ones: nearly all overlap one.
    hits = total = 0
    for pattern in result.patterns:
        for row, start, end, _ in pattern.sites.itertuples(index=False):
            total += 1
            there = planted.sites.loc[row]
            hits += start < there["end"] and end > there["start"]
    assert total >= 300
    assert hits / total >= 0.9
    # Permuted contributions are the weaker null, and find them too.
    assert recovered(motifs.discover(planted.sequences, contributions), known) >= 9


def test_planted_families_are_recovered_by_mutagenesis(known: Motifs) -> None:
    """Half as many windows, and shorter: each base exchanged for each other costs 240 answers a window."""
    chosen = [known[name] for name in CHOSEN]
    planted = plant(windows(300, 80, SEED + 1), chosen, seed=SEED + 1)
    contributions: list[np.ndarray] = [np.zeros(0)] * 300
    for number, motif in enumerate(chosen):
        rows = np.flatnonzero(planted.motif == number)
        # A network of one motif gives what the network of ten gives for it.
        found = mutagenesis(Detector(motif), [planted.sequences[row] for row in rows], np.zeros(30, dtype=int))
        for row, values in zip(rows, found, strict=True):
            contributions[row] = values
    result = motifs.discover(planted.sequences, contributions, outputs=planted.motif)
    assert recovered(result, known) >= 9, (named(result, known), result)


def test_nothing_planted_gets_no_name(known: Motifs, contributions: list[np.ndarray]) -> None:
    """Contributions as strong and as long as those of sites, of bases that they are not of: names in 1 of 20 sets at most.

    So seqlets are many in each set; what must not come of them is a pattern that is called something.
    """
    sets_with_names, seqlets = 0, []
    for run in range(NULL_SETS):
        rows = np.random.default_rng(run).permutation(600)[:100]
        others = windows(100, 300, 1000 + run)
        result = motifs.discover(others, [contributions[row] for row in rows], seed=run)
        seqlets.append(len(result.seqlets))
        sets_with_names += bool(named(result, known))
    assert min(seqlets) >= 50
    assert sets_with_names <= NULL_SETS // 20


def test_windows_without_sites_get_a_name_in_one_of_twenty_sets_at_most(
    known: Motifs, planted: Planted, detector: Detector
) -> None:
    """The same network and pipeline where nothing was planted: chance matches are in the shuffles as well."""
    sets_with_names = 0
    for run in range(NULL_SETS):
        empty = windows(300, 300, 5000 + run)
        outputs = planted.motif[:300]
        contributions = gradient_times_input(detector, empty, outputs)
        null = of_shuffles(detector, empty, outputs, 2)
        result = motifs.discover(empty, contributions, null=null, outputs=outputs)
        sets_with_names += bool(named(result, known))
    assert sets_with_names <= NULL_SETS // 20


def test_sequences_on_scales_of_their_own_call_what_chance_gives(
    known: Motifs, planted: Planted, detector: Detector
) -> None:
    """Numbered each by itself, sequences have their weak matches called: what `outputs` warns of."""
    empty = windows(300, 300, SEED + 5)
    contributions = gradient_times_input(detector, empty, planted.motif[:300])
    own = motifs.discover(empty, contributions, outputs=np.arange(300))
    assert len(motifs.seqlets(empty, contributions)) < len(own.seqlets) / 4
    assert named(own, known)


def test_random_contributions_have_no_seqlets(planted: Planted) -> None:
    rng = np.random.default_rng(0)
    values = [rng.standard_t(3, size=300) for _ in range(300)]
    result = motifs.discover(planted.sequences[:300], values)
    assert len(result.seqlets) <= 2
    assert result.patterns == ()


def test_what_is_planted_is_there(planted: Planted, detector: Detector) -> None:
    assert np.bincount(planted.motif).tolist() == [60] * 10
    assert {len(text) for text in planted.sequences} == {300}
    with torch.no_grad():
        scores = detector(encoded(planted.sequences), torch.ones(600, 300, dtype=torch.bool)).numpy()
    own = scores[np.arange(600), planted.motif]
    # The network knows what was planted, where the site that was drawn is not a weak one. By chance it would be 1 in 10.
    assert (scores.argmax(1) == planted.motif).mean() > 0.7
    assert np.median(own) > 2


def test_the_librarys_attributions_of_the_network_are_the_plain_ones(planted: Planted, detector: Detector) -> None:
    for row in (0, 5):
        start = max(0, int(planted.sites["start"][row]) - 10)
        text = planted.sequences[row][start : start + 60]
        output = attribution.Output(int(planted.motif[row]))
        (plain,) = mutagenesis(detector, [text], planted.motif[[row]])
        effects = attribution.mutagenesis(detector, text, output)
        assert -effects.sum(1) / 3 == pytest.approx(plain, abs=1e-4)
        (by_gradient,) = gradient_times_input(detector, [text], planted.motif[[row]])
        found = attribution.gradient_times_input(detector, text, output)
        assert found.per_base() == pytest.approx(by_gradient, abs=1e-4)
