"""Motifs in many sequences: the matches of one scan each, q by brute force over every test, and what counts as a test."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest

from ntviz import motifs
from ntviz.motifs import Motif
from ntviz.motifs.many import adjusted
from ntviz.motifs.scoring import STEP, Scoring
from ntviz.sequence import reverse_complement

UNEVEN = (0.3, 0.2, 0.2, 0.3)


def random_motif(seed: int, width: int, name: str) -> Motif:
    return Motif(name, np.random.default_rng(seed).dirichlet([0.3] * 4, size=width), nsites=50)


def random_bases(seed: int, length: int, letters: str = "ACGT") -> str:
    return "".join(random.Random(seed).choices(letters, k=length))


def every_test(
    sequences: list[str], chosen: list[Motif], both: bool
) -> list[tuple[int, int, str, str, float]]:
    """Sequence, start, strand, motif and p of each test, one by one."""
    tests = []
    for motif in chosen:
        scoring = Scoring.of(motif, np.array(UNEVEN), 0.1)
        for number, sequence in enumerate(sequences):
            for start in range(len(sequence) - len(motif) + 1):
                site = sequence[start : start + len(motif)]
                if "N" in site:
                    continue
                for strand, read in (("+", site), ("-", reverse_complement(site)))[: 1 + both]:
                    score = sum(int(scoring.steps[i, "ACGT".index(base)]) for i, base in enumerate(read))
                    tests.append((number, start, strand, motif.id, float(scoring.tail[score])))
    return tests


def step_up(p: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's adjusted p-values, from their definition: the best level among all larger p-values."""
    ranks = np.array([(p <= one).sum() for one in p])
    return np.array([min(1, (p * len(p) / ranks)[p >= one].min()) for one in p])


@pytest.mark.parametrize("both", [True, False])
def test_q_equals_that_of_every_test_one_by_one(both: bool) -> None:
    chosen = [random_motif(1, 7, "B"), random_motif(2, 9, "A")]
    site = "".join("ACGT"[base] for base in chosen[0].probabilities.argmax(axis=1))
    sequences = [random_bases(seed, 60 + 10 * seed, "ACGT" * 20 + "N") for seed in range(6)]
    sequences = [text[:20] + site + text[20:] for text in sequences] + ["ACG", "NNNNNNNNNNNN"]
    found = motifs.scan_many(sequences, chosen, p=0.01, background=UNEVEN, both_strands=both)
    tests = every_test(sequences, chosen, both)
    assert found.attrs["n_tests"] == len(tests)
    every = np.array([p for *_, p in tests])
    q = step_up(every)
    # What is not listed lowers a q to this level at most, and no q that is below it.
    unlisted = q[every > 0.01].min()
    expected = {test[:4]: (test[4], one) for test, one in zip(tests, q, strict=True) if test[4] <= 0.01}
    assert len(found) == len(expected) > 10
    assert (found["q"] < unlisted).sum() >= 6
    for row in found.itertuples():
        p, one = expected[row.sequence, row.start, row.strand, row.motif]
        assert row.p == p
        assert min(row.q, unlisted) == pytest.approx(one, rel=1e-12)


def test_tests_that_are_not_listed_only_ever_lower_a_q() -> None:
    # Every p just above the limit makes 0.02 the level of all; of those listed alone it is 0.1.
    p = np.r_[0.001, np.full(99, 0.02)]
    assert step_up(p)[0] == pytest.approx(0.02)
    assert adjusted(p[:1], 100).tolist() == [0.1]
    rng = np.random.default_rng(0)
    for _ in range(20):
        p = np.sort(rng.uniform(size=200) ** rng.uniform(0.5, 4))
        listed = p[p <= 0.05]
        assert (adjusted(listed, 200) >= step_up(p)[: len(listed)] - 1e-12).all()
        assert adjusted(p, 200) == pytest.approx(step_up(p), rel=1e-12)


def test_matches_are_those_of_a_scan_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [random_motif(seed, width, f"M{seed}") for seed, width in enumerate((12, 8, 15))]
    sequences = {f"s{9 - seed}": random_bases(seed, 500 + 300 * seed, "ACGT" * 30 + "N") for seed in range(9)}
    found = motifs.scan_many(sequences, chosen, p=1e-3)
    one_by_one = pd.concat(
        [motifs.scan(text, chosen, p=1e-3).assign(sequence=name) for name, text in sequences.items()],
        ignore_index=True,
    )
    assert len(found) > 50
    assert found.columns.tolist() == [
        "sequence",
        "start",
        "end",
        "strand",
        "score",
        "p",
        "q",
        "motif",
        "name",
    ]
    pd.testing.assert_frame_equal(
        found.drop(columns="q"), one_by_one[[column for column in found if column != "q"]]
    )
    # Sequences looked at in pieces of several, and one that is a piece by itself.
    monkeypatch.setattr("ntviz.motifs.many._PIECE", 1500)
    pd.testing.assert_frame_equal(motifs.scan_many(sequences, chosen, p=1e-3), found)
    numbered = motifs.scan_many(list(sequences.values()), chosen, p=1e-3)
    assert [list(sequences)[number] for number in numbered["sequence"]] == found["sequence"].tolist()
    pd.testing.assert_frame_equal(numbered.drop(columns="sequence"), found.drop(columns="sequence"))


def test_nothing_matches_across_two_sequences() -> None:
    motif = Motif.from_sites("toy", ["GATTACA"])
    assert motifs.scan_many(["CCGATT", "ACACC"], motif, p=1e-3).empty
    found = motifs.scan_many(["GATTACA", "GATTACA"], motif, p=1e-3)
    assert found[["sequence", "start", "end"]].values.tolist() == [[0, 0, 7], [1, 0, 7]]
    assert found.attrs["n_tests"] == 4


def test_random_bases_have_the_matches_expected_and_seldom_a_small_q() -> None:
    # Known truth: nothing is there. Benjamini and Hochberg's rule at 0.05 then finds something in 1 of 20 runs.
    chosen = [random_motif(seed, 10, f"M{seed}") for seed in range(4)]
    runs = [
        motifs.scan_many([random_bases(97 * run + seed, 2000) for seed in range(5)], chosen, p=1e-3)
        for run in range(60)
    ]
    assert sum(len(run) for run in runs) == pytest.approx(
        sum(run.attrs["expected"] for run in runs), rel=0.08
    )
    assert (
        sum(bool((run["q"] <= 0.05).any()) for run in runs) <= 9
    )  # of 60; 10 or more has a chance below 0.001


def test_no_test_is_an_empty_table() -> None:
    motif = Motif.from_sites("toy", ["GATTACA"])
    found = motifs.scan_many({"a": "N" * 30, "b": "ACGT"}, [motif, Motif.from_sites("S", ["ACG"])], p=1e-3)
    assert found.empty
    assert found.columns.tolist() == [
        "sequence",
        "start",
        "end",
        "strand",
        "score",
        "p",
        "q",
        "motif",
        "name",
    ]
    assert found.attrs == {"n_tests": 0, "expected": 0.0, "too_short": ("S",)}


def test_bad_sequences_are_refused() -> None:
    motif = Motif.from_sites("toy", ["GATTACA"])
    with pytest.raises(TypeError, match=r"must be several; received one text"):
        motifs.scan_many("GATTACA", motif)
    with pytest.raises(ValueError, match=r"There must be a sequence to look in; received none"):
        motifs.scan_many({}, motif)
    with pytest.raises(ValueError, match=r"Sequence 'b': .*upper-case A, C, G, T, N; received 'g'"):
        motifs.scan_many({"a": "ACGT", "b": "gattaca"}, motif)
    with pytest.raises(ValueError, match=r"Sequence 1: .*at least one base; received an empty one"):
        motifs.scan_many(["ACGT", ""], motif)
    with pytest.raises(TypeError, match=r"Sequence 0: .*received int"):
        motifs.scan_many([7], motif)  # ty: ignore[invalid-argument-type]
    with pytest.raises(ValueError, match=r"best match of toy has 6\.1e-05\. Raise p"):
        motifs.scan_many(["ACGT"], motif, p=1e-6)


def test_score_is_that_of_the_motif() -> None:
    motif = Motif.from_sites("toy", ["GATTACA"] * 9)
    found = motifs.scan_many(["TTGATTACATT"], motif, p=1e-4)
    assert found["score"].tolist() == pytest.approx(
        [np.rint(motif.log_odds().max(axis=1) / STEP).sum() * STEP]
    )
