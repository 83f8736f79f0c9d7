"""Motifs put into sequences, counted by hand and against random answers; sites at known places; a network built to know them."""

from __future__ import annotations

import itertools
import random
import re
import zlib

import numpy as np
import pytest
import torch
from planted import encoded, gradient_times_input, mutagenesis

from ntviz import attribution, motifs
from ntviz.genome.sequence import one_hot, reverse_complement
from ntviz.motifs import Detector, Motif
from ntviz.motifs.insertion import _orders, sign_flip

GATTACA = Motif.from_sites("toy", ["GATTACA"] * 9)


def random_bases(seed: int, length: int, letters: str = "ACGT") -> str:
    return "".join(random.Random(seed).choices(letters, k=length))


def counts(word: str, *, both: bool = False):
    words = {word, reverse_complement(word)} if both else {word}
    return lambda some: np.array([sum(one.count(each) for each in words) for one in some])


def noise(some: list[str]) -> np.ndarray:
    """A model whose answer depends on every base, and on no motif: a normal number drawn for each sequence."""
    return np.array([random.Random(zlib.crc32(one.encode())).gauss() for one in some])


def test_a_counter_of_the_word_answers_one_and_composition_alone_nothing() -> None:
    # No word of the two begins on the left or ends on the right, so no shuffle makes one with what is beside it.
    sides = [[random_bases(seed, 30 + seed, pair) for pair in ("AC", "GT")] for seed in range(20)]
    backgrounds = [("N" * 7).join(pair) for pair in sides]
    found = motifs.insertion(counts("GATTACA"), GATTACA, backgrounds, both_strands=False)
    assert (found.effect, found.low, found.high, found.with_site, found.with_shuffles) == (1, 1, 1, 1, 0)
    assert found.p == pytest.approx(1 / 10_001)
    assert found.table["effect"].tolist() == [1] * 20 and found.table["minus"].isna().all()
    # Read on one strand, half of it is there; read on both, all.
    half = motifs.insertion(counts("GATTACA"), GATTACA, backgrounds)
    assert half.effect == 0.5 and (half.table["plus"] == 1).all() and (half.table["minus"] == 0).all()
    assert motifs.insertion(counts("GATTACA", both=True), GATTACA, backgrounds).effect == 1
    assert repr(found).startswith("Insertion(effect 1 [1, 1], p 0.0001, 20 backgrounds)")
    alone = motifs.insertion(counts("GATTACA"), GATTACA, ["C" * 7], both_strands=False)
    assert (alone.effect, alone.p, np.isnan(alone.low), np.isnan(alone.high)) == (1, 1, True, True)
    # A model that counts G and C answers to the site, and as much to its shuffles.
    rich, backgrounds = Motif.from_sites("rich", ["GGCGCGGA"]), [random_bases(seed, 50, "AT") for seed in range(12)]
    found = motifs.insertion(lambda some: np.array([len(re.findall("[GC]", one)) for one in some]), rich, backgrounds)
    assert (found.with_site, found.with_shuffles, found.effect, found.p) == (7, 7, 0, 1)


def test_sequences_asked_are_those_of_the_design() -> None:
    asked: list[str] = []

    def ask(some: list[str]) -> np.ndarray:
        asked.extend(some)
        assert len(some) <= 5
        return np.arange(len(some)) + 0.0

    backgrounds = ["C" * 20, "T" * 31]
    motifs.insertion(ask, GATTACA, backgrounds, shuffles=3, batch=5)
    assert len(asked) == 2 * 2 * 4
    for number, (background, start) in enumerate(zip(backgrounds, (6, 12), strict=True)):
        mine = asked[8 * number : 8 * number + 8]
        sites = [text[start : start + 7] for text in mine]
        assert mine == [background[:start] + site + background[start + 7 :] for site in sites]
        assert sites[0] == "GATTACA" and sites[4:] == [reverse_complement(site) for site in sites[:4]]
        for site in sites[1:4]:
            assert sorted(site) == sorted("GATTACA") and site not in ("GATTACA", reverse_complement("GATTACA"))


def test_answers_equal_those_one_by_one_and_follow_the_seed() -> None:
    motif = Motif("M", np.random.default_rng(0).dirichlet([0.5] * 4, size=6))
    backgrounds = [random_bases(seed, 40) for seed in range(7)]
    kept: list[str] = []

    def ask(some: list[str]) -> np.ndarray:
        kept.extend(some)
        return noise(some)

    options = {"site": "drawn", "shuffles": 4, "both_strands": False}
    found = motifs.insertion(ask, motif, backgrounds, **options, seed=3)
    asked = noise(kept).tolist()
    plain = [asked[5 * at] - sum(asked[5 * at + 1 : 5 * at + 5]) / 4 for at in range(7)]
    assert found.table["effect"].tolist() == pytest.approx(plain)
    assert found.effect == pytest.approx(sum(plain) / 7)
    assert found.table["site"].tolist() == [text[17:23] for text in kept[::5]]
    assert found.table["site"].nunique() > 1
    patterns = np.array(list(itertools.product((-1, 1), repeat=7)))
    assert found.p == (np.abs(patterns @ plain) >= abs(sum(plain)) - 1e-9).mean()
    again, other = (motifs.insertion(noise, motif, backgrounds, **options, seed=seed) for seed in (3, 4))
    assert found.table.equals(again.table) and (found.low, found.p) == (again.low, again.p)
    assert found.effect != other.effect


def test_drawn_sites_are_as_probable_as_the_motif_says_and_those_of_one_base_drawn_again() -> None:
    motif = Motif("M", [[0.7, 0.1, 0.2, 0.0], [0.0, 0.0, 0.5, 0.5], [0.25] * 4])
    sites = motif.drawn(10_000, seed=1)
    assert Motif.from_sites("again", sites).probabilities == pytest.approx(motif.probabilities, abs=0.017)
    assert not any(site[0] == "T" or site[1] in "AC" for site in sites)
    assert sites == motif.drawn(10_000, seed=1) != motif.drawn(10_000, seed=2)
    motif = Motif("A", [[0.9, 0.1, 0, 0]] * 4)
    assert sum(site == "AAAA" for site in motif.drawn(50, seed=0)) > 20
    found = motifs.insertion(noise, motif, ["C" * 20] * 50, site="drawn", shuffles=1, bootstrap=10)
    assert all(len(set(site)) == 2 for site in found.table["site"])


@pytest.mark.parametrize("site", ["AT", "AC", "AAC", "ATA", "ACGT"])
def test_every_other_order_may_come_and_no_other(site: str) -> None:
    for both in (False, True):
        own = {site, reverse_complement(site)} if both else {site}
        others = {"".join(order) for order in itertools.permutations(site)} - own
        assert set(_orders(site, 300, both, np.random.default_rng(0))) == others


def test_intervals_of_no_effect_hold_zero_in_95_of_100() -> None:
    options = {"shuffles": 3, "both_strands": False, "bootstrap": 300}
    backgrounds = [[random_bases(1000 * seed + at, 30) for at in range(30)] for seed in range(100)]
    runs = [motifs.insertion(noise, GATTACA, some, **options, seed=seed) for seed, some in enumerate(backgrounds)]
    covered = np.mean([run.low <= 0 <= run.high for run in runs])
    assert 0.90 <= covered <= 0.985
    assert np.mean([run.p <= 0.05 for run in runs]) == pytest.approx(0.05, abs=0.04)
    # The spread is that of the design: a normal number less the mean of three.
    effects = np.concatenate([run.table["effect"] for run in runs])
    assert effects.std() == pytest.approx(np.sqrt(1 + 1 / 3), rel=0.05)


def test_signs_are_flipped_one_by_one_or_at_random() -> None:
    rng = np.random.default_rng(0)
    assert [sign_flip(effects, rng) for effects in (np.ones(5), np.zeros(5), np.zeros(20))] == [2 / 2**5, 1, 1]
    effects = rng.normal(0.35, 1, size=14)
    exact, patterns = sign_flip(effects, rng), rng.choice((-1, 1), size=(10_000, 14)) @ effects
    assert exact == pytest.approx((np.abs(patterns) >= abs(effects.sum())).mean(), abs=0.02)
    # One more background, which says nothing, takes the way at random.
    assert sign_flip(np.r_[effects, 0], rng) == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize(("backgrounds", "motif", "options", "message"), [
    ([], GATTACA, {}, r"one or more sequences; received none"),
    ("ACGTACGT", GATTACA, {}, r"one or more sequences; received one text"),
    (["C" * 20, "ACGT"], GATTACA, {}, r"number 1 has 4 bp, and toy 7"),
    (["acgtacgt"], GATTACA, {}, r"Background 0: .*received 'a'"),
    (["C" * 20], GATTACA, {"site": "consensus"}, r"must be 'best' or 'drawn'; received 'consensus'"),
    (["C" * 20], GATTACA, {"shuffles": 0}, r"must be at least 1; received 0, 2000 and 64"),
    (["C" * 20], Motif.from_sites("A", ["AAAA"]), {}, r"another order of its bases to compare with; AAAA has none\. Take"),
    (["C" * 20], Motif.from_sites("C", ["CCC"]), {"site": "drawn"}, r"to compare with; CCC has none\. Take"),
    (["C" * 20], GATTACA, {"model": lambda some: np.zeros(2)}, r"one finite number for each sequence; received shape \[2\] for 22"),
    (["C" * 20], GATTACA, {"model": lambda some: np.full(22, np.nan)}, "not finite for 22"),
])  # fmt: skip
def test_bad_questions_are_refused(backgrounds, motif: Motif, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        motifs.insertion(options.pop("model", counts("GATTACA")), motif, backgrounds, **options)


def test_sites_are_where_the_table_says() -> None:
    words = {"a": "GATTACA", "b": "CCGGAAGTA"}
    pair = [Motif.from_sites(name, [word]) for name, word in words.items()]
    backgrounds = [random_bases(seed, 30) for seed in range(41)]
    planted = motifs.plant(backgrounds, pair, seed=1)
    assert planted.labels.tolist() == [[1, 0], [0, 1]] * 20 + [[1, 0]]
    assert planted.motif.tolist() == [0, 1] * 20 + [0] and set(planted.sites["strand"]) == {"+", "-"}
    assert repr(planted) == "Planted(41 sequences with sites of 2 motifs)"
    for row, name, start, end, strand in planted.sites.itertuples(index=False):
        text, site = planted.sequences[row], planted.sequences[row][start:end]
        assert (site if strand == "+" else reverse_complement(site)) == words[name]
        assert text[:start] + text[end:] == backgrounds[row][:start] + backgrounds[row][end:]
    # All places are used, the first and the last too; another seed gives others.
    assert set(motifs.plant(["C" * 9] * 300, pair[0], seed=2).sites["start"]) == {0, 1, 2}
    assert motifs.plant(backgrounds, pair, seed=1).sequences == planted.sequences
    assert motifs.plant(backgrounds, pair, seed=2).sequences != planted.sequences


@pytest.mark.parametrize(("make", "message"), [
    (lambda: motifs.plant([], [GATTACA], seed=0), "received 1 and 0"),
    (lambda: motifs.plant(["ACGT"], [], seed=0), "received 0 and 1"),
    (lambda: motifs.plant(["ACGT"], [GATTACA], seed=0), "received 4 bp for the 7 bp of toy"),
    (lambda: motifs.plant(["acgt"], [GATTACA], seed=0), "received 'a' at position 1"),
    (lambda: Detector([]), "There must be a motif to look for; received none"),
    (lambda: Detector([GATTACA], p=0), "p must be a probability between 0 and 1; received 0"),
    (lambda: Detector([Motif.from_sites("m", ["GAT"])]), "the best match of m has 0.016"),
])  # fmt: skip
def test_plants_and_detectors_refuse(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_detector_by_hand() -> None:
    """Log odds of the better strand at each place, softplus of what is beyond the threshold, summed."""
    pair = [Motif.from_sites("a", ["GATTACA", "GATTACC"]), Motif.from_sites("b", ["CCGGAAGT"] * 3)]
    detector = Detector(pair, p=1e-3)
    text = "TTGATTACAGGNACTTCCGGAT"
    scores = detector(encoded([text]), torch.ones(1, len(text), dtype=torch.bool))
    for column, motif in enumerate(pair):
        total, odds = 0.0, motif.log_odds()
        for start in range(len(text) - len(motif) + 1):
            site = text[start : start + len(motif)]
            ways = [zip(odds, way, strict=True) for way in (site, reverse_complement(site))]
            best = max(sum(float(row["ACGT".index(base)]) for row, base in way if base != "N") for way in ways)
            total += np.log1p(np.exp(best - detector.thresholds[column]))
        assert float(scores[0, column]) == pytest.approx(total, rel=1e-4)
    assert (detector.names, detector.widths) == (("a", "b"), (7, 8))


def test_detector_threshold_is_that_of_the_scan() -> None:
    motif = Motif("m", np.random.default_rng(0).dirichlet([0.3] * 4, size=10), nsites=50)
    detector, more = Detector(motif, p=1e-3), motifs.scan(random_bases(0, 4000), motif, p=2e-3)
    assert more.loc[more["p"] <= 1e-3, "score"].min() >= detector.thresholds[0] - 0.01
    # The next higher chance: what scan leaves out at p is below the threshold.
    left_out = more.loc[more["p"] > 1e-3, "score"]
    assert len(left_out) > 3 and left_out.max() < detector.thresholds[0]


def test_detector_sees_no_padding_and_both_strands() -> None:
    detector, text = Detector(Motif.from_sites("m", ["GATTACA"]), p=1e-3), "CCGATTACACCATG"

    def score(text: str) -> float:
        return float(detector(encoded([text]), torch.ones(1, len(text), dtype=torch.bool)))

    padded, mask = np.zeros((1, 4, 30), dtype=np.float32), torch.zeros(1, 30, dtype=torch.bool)
    padded[0, :, :14], mask[:, :14] = one_hot(text).T, True
    padded[0, :, 14:21] = one_hot("GATTACA").T  # a site where nothing is
    assert float(detector(torch.from_numpy(padded), mask)) == pytest.approx(score(text), rel=1e-5)
    assert score(reverse_complement(text)) == pytest.approx(score(text), rel=1e-5)
    assert score("GATT") == 0 and not any(p.requires_grad for p in detector.parameters())


def test_attributions_of_the_detector_are_log_odds_in_the_site() -> None:
    motif, text = Motif.from_sites("m", ["GATTACAT", "GATTACAA", "GATTACAT"]), "C" * 20 + "GATTACAT" + "C" * 20
    detector = Detector(motif, p=1e-4)
    (by_gradient,) = gradient_times_input(detector, [text], np.array([0]))
    odds = motif.log_odds()[np.arange(8), ["ACGT".index(base) for base in "GATTACAT"]]
    slope = 1 / (1 + np.exp(detector.thresholds[0] - odds.sum()))
    assert by_gradient[20:28] == pytest.approx(slope * odds, rel=1e-3) and abs(by_gradient[:20]).max() < 0.02
    owed = attribution.integrated_gradients(detector, text, attribution.Output(0), shuffles=4).per_base()
    assert owed[20:28].sum() > 0.8 * np.abs(owed).sum()
    (by_exchange,) = mutagenesis(detector, [text], np.array([0]))
    assert by_exchange[20:28].min() > 0.5 and abs(by_exchange[:13]).max() < 0.02
