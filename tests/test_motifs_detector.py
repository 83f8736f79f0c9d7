"""Sites at known places, and the network that is built to know them: scores and attributions by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planted import encoded, gradient_times_input, mutagenesis

from ntviz import motifs
from ntviz.genome.sequence import one_hot, reverse_complement
from ntviz.motifs import Detector, Motif


def letters(seed: int, count: int, length: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), length)) for _ in range(count)]


# Planting -------------------------------------------------------------------------------------------------------------


def test_sites_are_where_the_table_says() -> None:
    pair = [Motif.from_sites("a", ["GATTACA"]), Motif.from_sites("b", ["CCGGAAGTA"])]
    backgrounds = letters(0, 41, 30)
    planted = motifs.plant(backgrounds, pair, seed=1)
    assert planted.labels.tolist() == [[1, 0], [0, 1]] * 20 + [[1, 0]]
    assert planted.motif.tolist() == [0, 1] * 20 + [0]
    assert repr(planted) == "Planted(41 sequences with sites of 2 motifs)"
    assert set(planted.sites["strand"]) == {"+", "-"}
    for row, name, start, end, strand in planted.sites.itertuples(index=False):
        text, site = planted.sequences[row], planted.sequences[row][start:end]
        assert (site if strand == "+" else reverse_complement(site)) == {"a": "GATTACA", "b": "CCGGAAGTA"}[
            name
        ]
        assert text[:start] + text[end:] == backgrounds[row][:start] + backgrounds[row][end:]
    # All places are used, the first and the last too; another seed gives others.
    ends = motifs.plant(["C" * 9] * 300, pair[0], seed=2).sites
    assert set(ends["start"]) == {0, 1, 2}
    assert motifs.plant(backgrounds, pair, seed=1).sequences == planted.sequences
    assert motifs.plant(backgrounds, pair, seed=2).sequences != planted.sequences


@pytest.mark.parametrize(
    ("backgrounds", "chosen", "message"),
    [
        ([], [Motif.from_sites("a", ["GATTACA"])], "received 1 motifs and 0 backgrounds"),
        (["ACGT"], [], "received 0 motifs and 1 backgrounds"),
        (["ACGT"], [Motif.from_sites("a", ["GATTACA"])], "received 4 bp for the 7 bp of a"),
        (["acgt"], [Motif.from_sites("a", ["GA"])], "received 'a' at position 1"),
    ],
)
def test_planting_refuses(backgrounds: list[str], chosen: list[Motif], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        motifs.plant(backgrounds, chosen, seed=0)


# The network that is built --------------------------------------------------------------------------------------------


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
            best = max(
                sum(float(odds[k]["ACGT".index(base)]) for k, base in enumerate(way) if base != "N")
                for way in (site, reverse_complement(site))
            )
            total += np.log1p(np.exp(best - detector.thresholds[column]))
        assert float(scores[0, column]) == pytest.approx(total, rel=1e-4)
    assert (detector.names, detector.widths) == (("a", "b"), (7, 8))


def test_detector_threshold_is_that_of_the_scan() -> None:
    motif = Motif("m", np.random.default_rng(0).dirichlet([0.3] * 4, size=10), nsites=50)
    detector = Detector(motif, p=1e-3)
    text = letters(0, 1, 4000)[0]
    assert motifs.scan(text, motif, p=1e-3)["score"].min() >= detector.thresholds[0] - 0.01
    # The next higher chance: what scan leaves out at p is below the threshold.
    more = motifs.scan(text, motif, p=2e-3)
    left_out = more[more["p"] > 1e-3]
    assert len(left_out) > 3
    assert left_out["score"].max() < detector.thresholds[0]


def test_detector_sees_no_padding_and_both_strands() -> None:
    motif = Motif.from_sites("m", ["GATTACA"])
    detector = Detector(motif, p=1e-3)
    text = "CCGATTACACCATG"
    alone = detector(encoded([text]), torch.ones(1, 14, dtype=torch.bool))
    padded = np.zeros((1, 4, 30), dtype=np.float32)
    padded[0, :, :14] = one_hot(text).T
    padded[0, :, 14:21] = one_hot("GATTACA").T  # a site where nothing is
    mask = torch.zeros(1, 30, dtype=torch.bool)
    mask[:, :14] = True
    assert float(detector(torch.from_numpy(padded), mask)) == pytest.approx(float(alone), rel=1e-5)
    turned_text = detector(encoded([reverse_complement(text)]), torch.ones(1, 14, dtype=torch.bool))
    assert float(turned_text) == pytest.approx(float(alone), rel=1e-5)
    # Shorter than the motif: no place, no score.
    assert float(detector(encoded(["GATT"]), torch.ones(1, 4, dtype=torch.bool))) == 0
    assert not [name for name, p in detector.named_parameters() if p.requires_grad]


def test_attributions_of_the_detector_are_log_odds_in_the_site() -> None:
    motif = Motif.from_sites("m", ["GATTACAT", "GATTACAA", "GATTACAT"])
    detector = Detector(motif, p=1e-4)
    text = "C" * 20 + "GATTACAT" + "C" * 20
    (by_gradient,) = gradient_times_input(detector, [text], np.array([0]))
    odds = motif.log_odds()[np.arange(8), ["ACGT".index(base) for base in "GATTACAT"]]
    slope = 1 / (1 + np.exp(detector.thresholds[0] - odds.sum()))
    assert by_gradient[20:28] == pytest.approx(slope * odds, rel=1e-3)
    assert abs(by_gradient[:20]).max() < 0.02
    (by_exchange,) = mutagenesis(detector, [text], np.array([0]))
    assert by_exchange[20:28].min() > 0.5
    assert abs(by_exchange[:13]).max() < 0.02


@pytest.mark.parametrize(
    ("chosen", "settings", "message"),
    [
        ([], {}, "There must be a motif to look for; received none"),
        (
            [Motif.from_sites("m", ["GATTACA"])],
            {"p": 0},
            "p must be a probability between 0 and 1; received 0",
        ),
        ([Motif.from_sites("m", ["GAT"])], {}, "the best match of m has 0.016"),
    ],
)
def test_detector_refuses(chosen: list[Motif], settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Detector(chosen, **settings)
