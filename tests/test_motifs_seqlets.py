"""Seqlets: maximal stretches beside a search of all of them, p and q against nulls, and how often noise passes."""

from __future__ import annotations

import numpy as np
import pytest

from ntviz import motifs
from ntviz.genome.sequence import shuffle
from ntviz.motifs.seqlets import maximal, rates_of_false

COLUMNS = ["sequence", "start", "end", "sign", "sum", "score", "p", "q"]


def by_search(values: np.ndarray, first: int = 0) -> list[tuple[int, int, float]]:
    """The stretch of the largest positive sum, the shortest of equals, with what lies left and right of it, by definition."""
    found = [
        (float(values[start:end].sum()), start, end)
        for start in range(len(values))
        for end in range(start + 1, len(values) + 1)
        if np.isfinite(values[start:end]).all()
    ]
    score, start, end = max(found, key=lambda one: (round(one[0], 9), one[1] - one[2]), default=(0.0, 0, 0))
    if score < 1e-9:
        return []
    here = (first + start, first + end, score)
    return [*by_search(values[:start], first), here, *by_search(values[end:], first + end)]


def noise(seed: int, count: int, length: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, length))


def bases(seed: int, count: int, length: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), length)) for _ in range(count)]


# Stretches ------------------------------------------------------------------------------------------------------------


def test_all_maximal_stretches_as_a_search_finds_them() -> None:
    rng = np.random.default_rng(1)
    rows = [rng.normal(-0.4, 1, size=int(rng.integers(0, 50))) for _ in range(60)]
    for row in rows[::2]:
        row[rng.random(len(row)) < 0.1] = -np.inf
    found = maximal(rows)
    assert len(found) > 100
    for number, row in enumerate(rows):
        mine = found[found["row"] == number]
        wanted = by_search(row)
        assert mine[["start", "end"]].tolist() == [(start, end) for start, end, _ in wanted]
        assert mine["score"] == pytest.approx([score for *_, score in wanted])


def test_stretches_of_rows_together_are_those_of_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [noise(seed, 1, 10 + 7 * seed)[0] - 0.3 for seed in range(12)]
    together = maximal(rows, shortest=2, longest=6)
    monkeypatch.setitem(maximal.__globals__, "_PADDED", 40)
    in_parts = maximal(rows, shortest=2, longest=6)
    alone = [maximal([row], shortest=2, longest=6) for row in rows]
    for name in ("row", "start", "end"):
        assert in_parts[name].tolist() == together[name].tolist()
        if name != "row":
            assert together[name].tolist() == [x for one in alone for x in one[name].tolist()]
    assert in_parts["score"] == pytest.approx(together["score"])


def test_a_long_stretch_is_parted_at_its_own_mean() -> None:
    # Two sites of 3 with 2 between: one stretch of 8, whose mean is 2.5. Above it are the sites alone.
    row = np.array([-9, 3, 3, 3, 1, 1, 3, 3, 3, -9], dtype=float)
    whole = maximal([row])
    assert whole.tolist() == [(0, 1, 9, 20.0)]
    parted = maximal([row], longest=7)
    assert parted.tolist() == [(0, 1, 4, 9.0), (0, 6, 9, 9.0)]
    # What is flat has no part above its mean.
    assert len(maximal([np.ones(9)], longest=8)) == 0


def test_no_stretch_in_nothing() -> None:
    for rows in ([], [np.zeros(0)], [np.zeros(5)], [np.full(5, -np.inf)], [-np.ones(4), np.zeros(0)]):
        assert len(maximal(rows)) == 0


# Tables ---------------------------------------------------------------------------------------------------------------


def test_p_and_q_by_hand() -> None:
    # The null has mean 0 and standard deviation 1: with drift 1, what is beyond 1 counts.
    null = [np.array([1.0, -1, 1, -1, 1, -1, 1, -1])]
    values = np.array([0, 3, 3, 0, 0, -2, 0, 0.0])
    found = motifs.seqlets(["ACGTACGT"], [values], null=null, drift=1, widths=(1, 9), q=1)
    # No base of the null is beyond its drift: it has no stretch, so that the smallest p is 1.
    assert found[COLUMNS[:6]].values.tolist() == [[0, 1, 3, 1, 6, 4], [0, 5, 6, -1, -2, 1]]
    assert (found["p"].tolist(), found["q"].tolist()) == ([1.0, 1.0], [1.0, 1.0])
    # With drift 0.5 each +1 of the null is a stretch of 0.5, and so is each -1 downwards.
    found = motifs.seqlets(["ACGTACGT"], [values], null=null, drift=0.5, widths=(1, 9), q=1)
    assert found["score"].tolist() == [5, 1.5]
    assert found["p"].tolist() == pytest.approx([1 / 5, 1 / 5])
    assert (found.attrs["n_tests"], found.attrs["n_null"], found.attrs["expected"]) == (2, 8, 0)
    values = np.array([0, 1, 0, 0, 3, 3, 0, 0])
    weak = motifs.seqlets(["ACGTACGT"], [values], null=null, drift=0.5, widths=(1, 9), q=1)
    assert weak["p"].tolist() == pytest.approx([5 / 5, 1 / 5])
    # As many stretches of the null are as high as the weaker: four in 8 bases.
    assert weak.attrs["expected"] == 4


def test_planted_stretches_are_found_where_they_are() -> None:
    texts, values = bases(0, 20, 120), noise(0, 20, 120) * 0.3
    values[:10, 30:40] += 1.5
    values[5:15, 80:92] -= 1.5
    found = motifs.seqlets(texts, values)
    wanted = {(row, 30, 1) for row in range(10)} | {(row, 80, -1) for row in range(5, 15)}
    assert len(found) >= 20
    for row, start, sign in wanted:
        end = start + (10 if sign > 0 else 12)
        near = found[(found["sequence"] == row) & (found["sign"] == sign)]
        shared = (near["end"].clip(upper=end) - near["start"].clip(lower=start)).max()
        assert shared >= 8, (row, start)
    assert (found["q"] <= 0.05).all()
    places = found[["sequence", "start", "end"]].values.tolist()
    assert found["sum"].tolist() == pytest.approx(
        [values[row, start:end].sum() for row, start, end in places]
    )
    # The same numbers as a list of arrays, and turned upside down.
    turned = motifs.seqlets(texts, [-each for each in values])
    assert turned[["sequence", "start", "end"]].values.tolist() == places
    assert turned["sign"].tolist() == (-found["sign"]).tolist()


def test_noise_passes_as_seldom_as_q_says() -> None:
    """At most 5 in 100 sets of noise may have a seqlet; more than 10 have 1 chance in 100 at that rate."""
    passed = 0
    for seed in range(100):
        found = motifs.seqlets(["A" * 60] * 5, noise(seed, 5, 60), seed=seed)
        passed += len(found) > 0
    assert passed <= 10
    # The same sets are not blind: a site in each of them is found in nearly all.
    seen = 0
    for seed in range(20):
        values = noise(seed, 5, 60)
        values[0, 20:30] += 4
        seen += len(motifs.seqlets(["A" * 60] * 5, values, seed=seed)) > 0
    assert seen >= 18


def test_p_of_noise_is_uniform() -> None:
    found = motifs.seqlets(["A" * 400] * 60, noise(7, 60, 400), q=1, permutations=20)
    # Stretches of both signs that overlap leave one, which favours small p by a little.
    assert found["p"].mean() == pytest.approx(0.5, abs=0.04)
    assert (found["p"] <= 0.1).mean() == pytest.approx(0.1, abs=0.03)


def test_contributions_shared_by_tokens_need_their_tokens_permuted_together() -> None:
    shared = np.repeat(noise(3, 40, 50), 6, axis=1)
    texts = ["A" * 300] * 40
    assert len(motifs.seqlets(texts, shared)) > 100
    assert len(motifs.seqlets(texts, shared, together=6)) <= 1


def test_each_output_has_its_scale() -> None:
    """Sites of 1 beside sites of 100: on one scale the large ones hide the small ones, by output both are found."""
    texts, values = bases(3, 20, 100), noise(6, 20, 100) * 0.2
    values[:, 40:50] += 1
    values[:10] *= 100
    outputs = np.arange(20) // 10
    own = motifs.seqlets(texts, values, outputs=outputs)
    assert set(own["sequence"]) == set(range(20))
    # Against a null of two copies, each output is measured by what the null has of it.
    null = noise(9, 40, 100) * 0.2
    null[:10] *= 100
    null[20:30] *= 100
    beside = motifs.seqlets(texts, values, outputs=outputs, null=null)
    assert set(beside["sequence"]) == set(range(20))
    spread = np.repeat([null[np.r_[0:10, 20:30]].std(), null[np.r_[10:20, 30:40]].std()], 10)[:, None]
    plain = motifs.seqlets(texts, values / spread, null=null / np.tile(spread, (2, 1)))
    columns = ["sequence", "start", "end", "p", "q"]
    assert plain[columns].equals(beside[columns])
    one = motifs.seqlets(texts, values)
    assert set(range(10)) <= set(one["sequence"])
    assert not (one["sequence"] >= 10).any()
    # The sum is in the unit of what was given.
    first = own.iloc[0]
    assert first["sum"] == pytest.approx(values[0, int(first["start"]) : int(first["end"])].sum())
    # Contributions that are all the same have no scale, and no seqlet.
    assert len(motifs.seqlets(["ACGT"], [np.ones(4)])) == 0


def test_rates_of_false_seqlets_are_counted() -> None:
    """q beside a plain count, at every limit that lets a score in."""
    rng = np.random.default_rng(1)
    chance, scores = np.sort(rng.integers(0, 30, 50) / 4), rng.integers(0, 60, 40) / 4
    expected = []
    for score in scores:
        limits = [limit for limit in scores if limit <= score]
        rates = [(1 + sum(chance >= limit)) / 3 / sum(scores >= limit) for limit in limits]
        expected.append(min(1, *rates))
    assert rates_of_false(chance, scores, 1 / 3) == pytest.approx(np.array(expected))
    # Twelve sites that no stretch of three copies of the null reaches: a third of one in twelve.
    texts, values = bases(5, 12, 200), noise(8, 12, 200)
    values[:, 60:70] += 4
    found = motifs.seqlets(texts, values, null=noise(9, 36, 200))
    assert len(found) == 12
    assert found["q"].tolist() == pytest.approx([1 / 3 / 12] * 12)


def test_a_null_of_shuffled_sequences_sets_the_limit() -> None:
    texts = bases(2, 30, 100)
    values = noise(4, 30, 100)
    values[:, 50:58] += 4
    # A null that has such sites itself, as a method that marks them in shuffled sequences too, leaves none.
    assert len(motifs.seqlets(texts, values, null=noise(5, 300, 100))) >= 30
    assert len(motifs.seqlets(texts, values, null=values[:, ::-1])) == 0


def test_no_seqlet_spans_an_n() -> None:
    values = np.zeros(60)
    values[20:40] = 5
    text = "ACGT" * 7 + "NN" + "ACGT" * 7 + "AC"
    found = motifs.seqlets([text], [values])
    assert found[["start", "end"]].values.tolist() == [[20, 28], [30, 40]]
    # What stands at an N is not looked at, in the null either.
    values[28:30] = 1e6
    again = motifs.seqlets([text], [values])
    assert again.values.tolist() == found.values.tolist()


@pytest.mark.parametrize(
    ("texts", "values"),
    [([], []), (["NNNN"], [np.ones(4)]), (["ACGT"] * 2, np.zeros((2, 4))), (["ACG"], [np.ones(3)])],
)
def test_nothing_gives_an_empty_table(texts: list[str], values: list[np.ndarray]) -> None:
    found = motifs.seqlets(texts, values)
    assert (len(found), list(found.columns)) == (0, COLUMNS)
    assert found["start"].dtype == np.int64
    assert (found.attrs["n_tests"], found.attrs["expected"], found.attrs["q"]) == (0, 0, 0.05)


def test_one_seed_gives_one_table() -> None:
    texts, values = bases(1, 6, 80), noise(1, 6, 80)
    values[:, 10:18] += 3
    once, again = (motifs.seqlets(texts, values, seed=3, q=1) for _ in range(2))
    assert once.equals(again)
    other = motifs.seqlets(texts, values, seed=4, q=1)
    assert other["p"].tolist() != once["p"].tolist()
    # The stretches are of the values, not of the seed.
    assert set(other["score"].round(6)) & set(once["score"].round(6))


def test_shuffled_sequences_serve_as_a_null_of_a_method() -> None:
    """A method with a known answer: it marks GATTACA, wherever it stands."""

    def marks(text: str) -> np.ndarray:
        values = np.zeros(len(text))
        at = text.find("GATTACA")
        while at >= 0:
            values[at : at + 7] = 1
            at = text.find("GATTACA", at + 1)
        return values + noise(len(text), 1, len(text))[0] * 0.1

    texts = [text[:40] + "GATTACA" + text[47:] for text in bases(9, 25, 90)]
    null = [marks(shuffle(text, seed=copy)) for text in texts for copy in range(4)]
    found = motifs.seqlets(texts, [marks(text) for text in texts], null=null)
    assert len(found) >= 25
    assert found.groupby("sequence")["start"].min().between(38, 41).mean() >= 0.9


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "values", "message"),
    [
        (["ACGT"], [], "received 1 sequences and 0 arrays"),
        (["ACGT"], [np.zeros(3)], "received 3 for the 4 bases of sequence 0"),
        (["ACGT"], [np.zeros((4, 4))], r"must be \[base\]; received \[4, 4\] for sequence 0"),
        (["ACGT"] * 2, np.array([[0, 0, 0, 0], [0, 0, np.nan, 0]]), "received nan at base 3 of sequence 1"),
        (["ACgT"], [np.zeros(4)], "received 'g' at position 3"),
    ],
)
def test_what_does_not_fit_is_refused(texts: list[str], values: list[np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        motifs.seqlets(texts, values)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"outputs": [0, 1]}, "an output for each of"),
        ({"q": 0}, "q must be a rate above 0"),
        ({"q": 1.5}, "received 1.5"),
        ({"drift": 0}, "drift must be above 0"),
        ({"widths": (5, 4)}, r"1 <= fewest <= most; received \(5, 4\)"),
        ({"together": 0}, "together must be 1 or more; received 0"),
        ({"permutations": 0}, "permutations must be 1 or more; received 0"),
        ({"null": [np.array([np.inf])]}, "Numbers of null must be finite; received inf at base 1 of seq"),
        ({"null": []}, "null must hold a number"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        motifs.seqlets(["ACGT"], [np.ones(4)], **settings)
