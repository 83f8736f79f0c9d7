"""Seqlets beside a search of all stretches and against nulls; motifs out of them: alignment beside loops, planted words, nulls."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from planted import NULL_SETS

from ntviz import motifs
from ntviz.genome.sequence import reverse_complement
from ntviz.motifs import Motif
from ntviz.motifs.clusters import Cluster, average, clusters, fits, shuffled, turned
from ntviz.motifs.discover import Windows
from ntviz.motifs.seqlets import maximal, rates_of_false

WORDS = ("GATTACAGC", "CCGGAAGTA", "TTTCGCACT")
COLUMNS = ["sequence", "start", "end", "sign", "sum", "score", "p", "q"]


def by_search(values: np.ndarray, first: int = 0) -> list[tuple[int, int, float]]:
    """The stretch of the largest positive sum, the shortest of equals, with what lies left and right of it, by definition."""
    ends = [(start, end) for start in range(len(values)) for end in range(start + 1, len(values) + 1)]
    found = [(float(values[a:b].sum()), a, b) for a, b in ends if np.isfinite(values[a:b]).all()]
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


def test_all_maximal_stretches_as_a_search_finds_them() -> None:
    rng = np.random.default_rng(1)
    rows = [rng.normal(-0.4, 1, size=int(rng.integers(0, 50))) for _ in range(60)]
    for row in rows[::2]:
        row[rng.random(len(row)) < 0.1] = -np.inf
    found = maximal(rows)
    assert len(found) > 100
    for number, row in enumerate(rows):
        mine, wanted = found[found["row"] == number], by_search(row)
        assert mine[["start", "end"]].tolist() == [(start, end) for start, end, _ in wanted]
        assert mine["score"] == pytest.approx([score for *_, score in wanted])


def test_stretches_of_rows_together_are_those_of_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [noise(seed, 1, 10 + 7 * seed)[0] - 0.3 for seed in range(12)]
    together = maximal(rows, shortest=2, longest=6)
    monkeypatch.setitem(maximal.__globals__, "_PADDED", 40)
    in_parts = maximal(rows, shortest=2, longest=6)
    alone = np.concatenate([maximal([row], shortest=2, longest=6) for row in rows])
    assert in_parts[["row", "start", "end"]].tolist() == together[["row", "start", "end"]].tolist()
    assert alone[["start", "end"]].tolist() == together[["start", "end"]].tolist()
    assert in_parts["score"] == pytest.approx(together["score"])


def test_a_long_stretch_is_parted_at_its_own_mean() -> None:
    # Two sites of 3 with 2 between: one stretch of 8, whose mean is 2.5. Above it are the sites alone.
    row = np.array([-9, 3, 3, 3, 1, 1, 3, 3, 3, -9], dtype=float)
    assert maximal([row]).tolist() == [(0, 1, 9, 20.0)]
    assert maximal([row], longest=7).tolist() == [(0, 1, 4, 9.0), (0, 6, 9, 9.0)]
    assert len(maximal([np.ones(9)], longest=8)) == 0
    for rows in ([], [np.zeros(0)], [np.zeros(5)], [np.full(5, -np.inf)], [-np.ones(4), np.zeros(0)]):
        assert len(maximal(rows)) == 0


def test_p_and_q_by_hand() -> None:
    # The null has mean 0 and standard deviation 1: with drift 1, what is beyond 1 counts.
    null, values = [np.array([1.0, -1, 1, -1, 1, -1, 1, -1])], np.array([0, 3, 3, 0, 0, -2, 0, 0.0])

    def ask(values: np.ndarray, drift: float) -> pd.DataFrame:
        return motifs.seqlets(["ACGTACGT"], [values], null=null, drift=drift, widths=(1, 9), q=1)

    found = ask(values, 1)
    # No base of the null is beyond its drift: it has no stretch, so that the smallest p is 1.
    assert found[COLUMNS[:6]].values.tolist() == [[0, 1, 3, 1, 6, 4], [0, 5, 6, -1, -2, 1]]
    assert (found["p"].tolist(), found["q"].tolist()) == ([1.0, 1.0], [1.0, 1.0])
    # With drift 0.5 each +1 of the null is a stretch of 0.5, and so is each -1 downwards.
    found = ask(values, 0.5)
    assert (found["score"].tolist(), found["p"].tolist()) == ([5, 1.5], pytest.approx([1 / 5, 1 / 5]))
    assert (found.attrs["n_tests"], found.attrs["n_null"], found.attrs["expected"]) == (2, 8, 0)
    weak = ask(np.array([0, 1, 0, 0, 3, 3, 0, 0]), 0.5)
    # As many stretches of the null are as high as the weaker: four in 8 bases.
    assert (weak["p"].tolist(), weak.attrs["expected"]) == (pytest.approx([5 / 5, 1 / 5]), 4)


def test_planted_stretches_are_found_where_they_are() -> None:
    texts, values = bases(0, 20, 120), noise(0, 20, 120) * 0.3
    values[:10, 30:40] += 1.5
    values[5:15, 80:92] -= 1.5
    found = motifs.seqlets(texts, values)
    assert len(found) >= 20 and (found["q"] <= 0.05).all()
    for row, start, end, sign in [(row, 30, 40, 1) for row in range(10)] + [(row, 80, 92, -1) for row in range(5, 15)]:
        near = found[(found["sequence"] == row) & (found["sign"] == sign)]
        assert (near["end"].clip(upper=end) - near["start"].clip(lower=start)).max() >= 8, (row, start)
    places = found[["sequence", "start", "end"]].values.tolist()
    assert found["sum"].tolist() == pytest.approx([values[row, start:end].sum() for row, start, end in places])
    # The same numbers as a list of arrays, and turned upside down.
    turned = motifs.seqlets(texts, [-each for each in values])
    assert turned[["sequence", "start", "end"]].values.tolist() == places
    assert turned["sign"].tolist() == (-found["sign"]).tolist()


def test_noise_passes_as_seldom_as_q_says() -> None:
    """At most 5 in 100 sets of noise may have a seqlet; more than 10 have 1 chance in 100 at that rate."""
    texts = ["A" * 60] * 5
    assert sum(len(motifs.seqlets(texts, noise(seed, 5, 60), seed=seed)) > 0 for seed in range(100)) <= 10
    # The same sets are not blind: a site in each of them is found in nearly all.
    site = np.pad(np.full((1, 10), 4.0), ((0, 4), (20, 30)))
    assert sum(len(motifs.seqlets(texts, noise(seed, 5, 60) + site, seed=seed)) > 0 for seed in range(20)) >= 18


def test_p_of_noise_is_uniform() -> None:
    found = motifs.seqlets(["A" * 400] * 60, noise(7, 60, 400), q=1, permutations=20)
    # Stretches of both signs that overlap leave one, which favours small p by a little.
    assert found["p"].mean() == pytest.approx(0.5, abs=0.04)
    assert (found["p"] <= 0.1).mean() == pytest.approx(0.1, abs=0.03)


def test_contributions_shared_by_tokens_need_their_tokens_permuted_together() -> None:
    shared, texts = np.repeat(noise(3, 25, 40), 6, axis=1), ["A" * 240] * 25
    assert len(motifs.seqlets(texts, shared)) > 50 and len(motifs.seqlets(texts, shared, together=6)) <= 1


def test_each_output_has_its_scale() -> None:
    """Sites of 1 beside sites of 100: on one scale the large ones hide the small ones, by output both are found."""
    texts, values, outputs = bases(3, 20, 100), noise(6, 20, 100) * 0.2, np.arange(20) // 10
    values[:, 40:50] += 1
    values[:10] *= 100
    own = motifs.seqlets(texts, values, outputs=outputs)
    # Against a null of two copies, each output is measured by what the null has of it.
    null = noise(9, 40, 100) * 0.2
    null[np.r_[:10, 20:30]] *= 100
    beside = motifs.seqlets(texts, values, outputs=outputs, null=null)
    assert set(own["sequence"]) == set(beside["sequence"]) == set(range(20))
    spread = np.repeat([null[np.r_[0:10, 20:30]].std(), null[np.r_[10:20, 30:40]].std()], 10)[:, None]
    plain = motifs.seqlets(texts, values / spread, null=null / np.tile(spread, (2, 1)))
    columns = ["sequence", "start", "end", "p", "q"]
    assert plain[columns].equals(beside[columns])
    assert set(motifs.seqlets(texts, values)["sequence"]) == set(range(10))
    first = own.iloc[0]
    assert first["sum"] == pytest.approx(values[0, int(first["start"]) : int(first["end"])].sum())
    assert len(motifs.seqlets(["ACGT"], [np.ones(4)])) == 0


def test_rates_of_false_seqlets_are_counted() -> None:
    """q beside a plain count, at every limit that lets a score in."""
    rng = np.random.default_rng(1)
    chance, scores = np.sort(rng.integers(0, 30, 50) / 4), rng.integers(0, 60, 40) / 4
    expected = []
    for score in scores:
        rates = [(1 + sum(chance >= limit)) / 3 / sum(scores >= limit) for limit in scores if limit <= score]
        expected.append(min(1, *rates))
    assert rates_of_false(chance, scores, 1 / 3) == pytest.approx(np.array(expected))
    # Twelve sites that no stretch of three copies of the null reaches: a third of one in twelve.
    texts, values = bases(5, 12, 200), noise(8, 12, 200)
    values[:, 60:70] += 4
    found = motifs.seqlets(texts, values, null=noise(9, 36, 200))
    assert found["q"].tolist() == pytest.approx([1 / 3 / 12] * 12)
    # A null that has such sites itself, as a method that marks them in shuffled sequences too, leaves none.
    assert len(motifs.seqlets(texts, values, null=values[:, ::-1])) == 0


def test_no_seqlet_spans_an_n_and_one_seed_gives_one_table() -> None:
    values, text = np.zeros(60), "ACGT" * 7 + "NN" + "ACGT" * 7 + "AC"
    values[20:40] = 5
    found = motifs.seqlets([text], [values])
    assert found[["start", "end"]].values.tolist() == [[20, 28], [30, 40]]
    values[28:30] = 1e6
    assert motifs.seqlets([text], [values]).equals(found)


@pytest.mark.parametrize(
    ("texts", "values"), [([], []), (["NNNN"], [np.ones(4)]), (["ACGT"] * 2, np.zeros((2, 4))), (["ACG"], [np.ones(3)])]
)
def test_nothing_gives_an_empty_table(texts: list[str], values: list[np.ndarray]) -> None:
    found = motifs.seqlets(texts, values)
    assert (len(found), list(found.columns), found["start"].dtype) == (0, COLUMNS, np.int64)
    assert (found.attrs["n_tests"], found.attrs["expected"], found.attrs["q"]) == (0, 0, 0.05)


@pytest.mark.parametrize(("texts", "values", "settings", "message"), [
    (["ACGT"], [], {}, "received 1 sequences and 0 arrays"),
    (["ACGT"], [np.zeros(3)], {}, "received 3 for the 4 bases of sequence 0"),
    (["ACGT"], [np.zeros((4, 4))], {}, r"must be \[base\]; received \[4, 4\] for sequence 0"),
    (["ACGT"] * 2, np.array([[0, 0, 0, 0], [0, 0, np.nan, 0]]), {}, "received nan at base 3 of sequence 1"),
    (["ACgT"], [np.zeros(4)], {}, "received 'g' at position 3"),
    (["ACGT"], [np.ones(4)], {"outputs": [0, 1]}, "an output for each of"),
    (["ACGT"], [np.ones(4)], {"q": 0}, "q must be a rate above 0"),
    (["ACGT"], [np.ones(4)], {"q": 1.5}, "received 1.5"),
    (["ACGT"], [np.ones(4)], {"drift": 0}, "drift must be above 0"),
    (["ACGT"], [np.ones(4)], {"widths": (5, 4)}, r"1 <= fewest <= most; received \(5, 4\)"),
    (["ACGT"], [np.ones(4)], {"together": 0}, "together must be 1 or more; received 0"),
    (["ACGT"], [np.ones(4)], {"permutations": 0}, "permutations must be 1 or more; received 0"),
    (["ACGT"], [np.ones(4)], {"null": [np.array([np.inf])]}, "Numbers of null must be finite; received inf at base 1 of seq"),
    (["ACGT"], [np.ones(4)], {"null": []}, "null must hold a number"),
])  # fmt: skip
def test_bad_questions_about_seqlets_are_refused(texts, values, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        motifs.seqlets(texts, values, **settings)


def with_words(seed: int, count: int, words: tuple[str, ...] = WORDS, length: int = 60):
    """Sequences with a word each at a random place and strand, what is contributed there, and (start, strand) of each."""
    rng = np.random.default_rng(seed)
    texts, values, places = bases(seed, count, length), rng.normal(0, 0.1, (count, length)), []
    for row, text in enumerate(texts):
        word, strand = words[row % len(words)], "+-"[int(rng.integers(2))]
        start = int(rng.integers(length - len(word) + 1))
        site = word if strand == "+" else reverse_complement(word)
        texts[row] = text[:start] + site + text[start + len(word) :]
        values[row, start : start + len(word)] += 1
        places.append((start, strand))
    return texts, values, places


def test_fits_as_loops_find_them() -> None:
    rng = np.random.default_rng(0)
    queries, targets, reach = rng.normal(size=(6, 7, 4)), rng.normal(size=(5, 7, 4)), 4
    found = fits(queries, targets, reach=reach)
    for (q, query), (t, target) in itertools.product(enumerate(queries), enumerate(targets)):
        tried = []
        for flipped, shift in itertools.product((False, True), range(-reach, reach + 1)):
            values = query[::-1, ::-1] if flipped else query
            product = sum(values[k] @ target[k + shift] for k in range(7) if 0 <= k + shift < 7)
            tried.append((product / np.linalg.norm(query) / np.linalg.norm(target), shift, flipped))
        similarity, *best = max(tried)
        assert found.similarity[q, t] == pytest.approx(similarity, abs=2e-5)
        assert [found.shift[q, t], found.flipped[q, t]] == best


def test_fits_in_parts_are_those_of_all_and_nothing_fits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(size=(9, 12, 4))
    whole = fits(values, values, reach=3)
    nothing = fits(np.zeros((2, 5, 4)), np.ones((3, 5, 4)), reach=2)
    assert nothing.similarity.tolist() == np.zeros((2, 3)).tolist()
    # The first of equals: forward, the lowest shift.
    assert (nothing.shift[0, 0], nothing.flipped[0, 0]) == (-2, False)
    assert fits(np.ones((2, 5, 4)), np.zeros((0, 5, 4)), reach=2).similarity.shape == (2, 0)
    monkeypatch.setattr("ntviz.motifs.clusters._AT_A_TIME", 1)
    parts = fits(values, values, reach=3)
    assert np.array_equal(whole.shift, parts.shift) and np.array_equal(whole.flipped, parts.flipped)
    assert np.diag(whole.similarity) == pytest.approx(np.ones(9), abs=2e-5)


def test_windows_and_averages_lie_on_one_axis() -> None:
    """Of a window turned and moved, bases, contributions and positions are what the sequence says there."""
    texts, values, _ = with_words(2, 6, length=24)
    start = np.array([0, 3, 8, 10, 15, 18])
    table = pd.DataFrame({"sequence": range(6), "start": start, "end": start + 6})
    windows = Windows.around(table, texts, list(values), 4)
    members, shift, flipped = np.array([5, 0, 3]), np.array([2, -3, 0]), np.array([True, False, True])
    placed = windows.aligned(Cluster(members, shift, flipped))
    for (row, column), position in np.ndenumerate(placed.position):
        code, value, covered = (part[row, column] for part in (placed.codes, placed.values, placed.covered))
        if position < 0:
            assert (code, value) == (4, 0)
            continue
        number = members[row]
        base = texts[number][position]
        assert "ACGT"[code] == (reverse_complement(base) if flipped[row] else base)
        assert (value, covered) == (values[number, position], start[number] <= position < start[number] + 6)
    # The average of one member is that member, laid there.
    alone = average(windows.weighted(1), Cluster(members[:1], shift[:1], flipped[:1]))
    weighted = (placed.values[0] * placed.covered[0])[:, None] * (placed.codes[0][:, None] == np.arange(4))
    there = weighted.any(1)
    one, other = (each[there] / np.linalg.norm(each[there]) for each in (alone, weighted))
    assert one == pytest.approx(other, abs=1e-6) and turned(turned(alone)).tolist() == alone.tolist()


def test_shuffled_seqlets_keep_their_bases() -> None:
    values = np.zeros((2, 8, 4))
    values[0, 2:7] = np.eye(4)[[0, 1, 2, 3, 0]] * np.arange(1, 6)[:, None]
    mixed = shuffled(values, np.random.default_rng(0))
    assert sorted(map(tuple, mixed[0, 2:7])) == sorted(map(tuple, values[0, 2:7]))
    assert mixed[0, 2:7].tolist() != values[0, 2:7].tolist() and not mixed[0, :2].any() and not mixed[1].any()


def test_planted_words_are_found_whole_and_placed_exactly() -> None:
    texts, values, places = with_words(0, 90)
    result = motifs.discover(texts, values)
    assert [pattern.motif.id for pattern in result.patterns] == ["P1", "P2", "P3"] and result.null_patterns == 0
    for pattern in result.patterns:
        word = pattern.motif.best_site
        known = next(one for one in WORDS if one in (word, reverse_complement(word)))
        assert pattern.motif.nsites == pattern.n == len(pattern.sites) >= 28 and pattern.sign == 1
        assert pattern.contributions == pytest.approx(np.ones(9), abs=0.15)
        for row, start, end, strand in pattern.sites.itertuples(index=False):
            site = texts[row][start:end]
            assert (site if strand == "+" else reverse_complement(site)) == word
            turned_word = "+-"[(places[row][1] == "+") ^ (known == word)]
            assert (start, strand, WORDS[row % 3]) == (places[row][0], turned_word, known)
        assert (result.seqlets["pattern"] == pattern.motif.id).sum() == pattern.n
    assert len(result.motifs) == 3 and result.motifs["P1"] is result.patterns[0].motif
    # Against a null that is as high, nothing.
    assert motifs.discover(texts, values, null=values[:, ::-1]).patterns == ()


def test_what_contributes_against_has_patterns_of_its_own() -> None:
    (texts, values, _), (others, against, _) = with_words(1, 60, WORDS[:1]), with_words(2, 60, WORDS[1:2])
    result = motifs.discover(texts + others, np.concatenate([values, -against]))
    assert [(pattern.motif.id, pattern.sign) for pattern in result.patterns] == [("P1", 1), ("N1", -1)]
    assert result.patterns[1].motif.best_site in (WORDS[1], reverse_complement(WORDS[1]))
    assert (result.patterns[1].contributions < -0.8).all()


def test_variants_of_one_motif_are_one_pattern_and_relatives_stay_two() -> None:
    """Sites drawn from a soft motif end in one pattern near it; TGACTCA and TGACGTCA, one base apart, stay two."""
    soft = Motif("soft", (0.05 + 0.8 * np.eye(4))[[0, 0, 0, 1, 1, 1, 1, 3, 3, 3]])
    texts, values = bases(6, 80, 50), noise(5, 80, 50) * 0.05
    for row, site in enumerate(soft.drawn(80, seed=5)):
        texts[row] = texts[row][:20] + site + texts[row][30:]
        values[row, 20:30] += 1
    (pattern,) = motifs.discover(texts, values).patterns
    found = pattern.motif if pattern.motif.best_site[0] == "A" else pattern.motif.reverse_complement()
    assert found.probabilities == pytest.approx(soft.probabilities, abs=0.15)
    pair = motifs.discover(*with_words(7, 80, ("TGACTCA", "TGACGTCA"))[:2])
    assert sorted(len(pattern.motif) for pattern in pair.patterns) == [7, 8]
    assert all(pattern.n >= 38 for pattern in pair.patterns)


def test_many_unrelated_seqlets_make_no_cluster_because_they_are_many() -> None:
    """What is needed rises with the number of seqlets: 1,500 of random bases, each with a dozen others by chance at 1 %."""
    rng = np.random.default_rng(0)
    values = np.zeros((1500, 20, 4))
    for row in values:
        row[np.arange(5, 15), rng.integers(0, 4, 10)] = rng.uniform(0.5, 1.5, 10)
    many, few = (clusters(part, fewest=10, similarity=None, rng=rng) for part in (values, values[:100]))
    assert len(many.found) <= 2 and len(few.found) == 0 and many.similarity > few.similarity


def test_random_places_give_no_pattern() -> None:
    """Strong contributions of bases that have nothing in common: seqlets in all, patterns in at most 1 of 20 sets."""
    with_patterns = 0
    for seed in range(NULL_SETS):
        _, values, _ = with_words(seed, 60)
        result = motifs.discover(bases(100 + seed, 60, 60), values)
        assert len(result.seqlets) >= 55
        with_patterns += len(result.patterns) > 0
    assert with_patterns <= NULL_SETS // 20


def test_one_order_of_sequences_is_as_good_as_another() -> None:
    texts, values, _ = with_words(3, 60)
    order = np.random.default_rng(0).permutation(60)
    one, again = (motifs.discover(texts, values) for _ in range(2))
    other = motifs.discover([texts[row] for row in order], values[order])
    first, second = ([p.motif.probabilities.tolist() for p in each.patterns] for each in (one, again))
    assert first == second
    for word in WORDS:
        ways = (word, reverse_complement(word))
        sizes = [[p.n for p in each.patterns if p.motif.best_site in ways] for each in (one, other)]
        assert sizes[0] == sizes[1]


def test_sites_that_run_over_the_end_are_no_sites() -> None:
    """Of a word that begins before its sequence, what is there makes a seqlet, and no site."""
    texts, values, _ = with_words(4, 40, WORDS[:1])
    cut = [WORDS[0][3:] + text for text in bases(0, 5, 30)]
    cut_values = np.r_[np.ones(6), np.zeros(30)] + noise(0, 5, 36) * 0.05
    result = motifs.discover(texts + cut, [*values, *cut_values])
    sites, of_cut = result.patterns[0].sites, result.seqlets[result.seqlets["sequence"] >= 40]
    assert of_cut["pattern"].tolist() == [""] * 5
    assert ((sites["sequence"] < 40) & (sites["start"] >= 0) & (sites["end"] <= 60)).all()


def test_nothing_to_cluster_is_said_and_settings_are_checked() -> None:
    result = motifs.discover(bases(0, 10, 50), noise(0, 10, 50))
    assert (result.patterns, len(result.seqlets), len(result.motifs)) == ((), 0, 0)
    assert result.note.startswith("No seqlet passes q <= 0.05 (the smallest of ")
    assert "nothing to cluster" in repr(result)
    assert motifs.discover([], []).note == "No seqlet passes q <= 0.05 (there is no stretch): nothing to cluster."
    result = motifs.discover(*with_words(0, 6, WORDS[:1])[:2])
    assert (result.patterns, len(result.seqlets) >= 6) == ((), True) and "0 patterns of 0 of" in result.note
    texts, values, _ = with_words(9, 30)
    assert motifs.discover(texts, values, similarity=1.0).patterns == ()
    assert clusters(np.zeros((12, 8, 4)), fewest=2, similarity=0.5, rng=np.random.default_rng(0)).found == []
    for options, message in (
        ({"fewest": 1}, "2 sites or more; received fewest=1"),
        ({"similarity": 0}, "similarity must be a cosine .* received 0"),
        ({"similarity": 1.5}, "similarity must be a cosine .* received 1.5"),
    ):
        with pytest.raises(ValueError, match=message):
            motifs.discover(texts, values, **options)
