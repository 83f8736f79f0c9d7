"""Motifs out of contributions: alignment beside loops, planted words found whole, nulls, and a network that is built."""

from __future__ import annotations

import numpy as np
import pytest
from planted import NULL_SETS

from ntviz import motifs
from ntviz.genome.sequence import reverse_complement
from ntviz.motifs import Motif
from ntviz.motifs.clusters import Cluster, average, clusters, fits, shuffled, turned
from ntviz.motifs.discover import Windows

WORDS = ("GATTACAGC", "CCGGAAGTA", "TTTCGCACT")


def letters(seed: int, count: int, length: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), length)) for _ in range(count)]


def with_words(
    seed: int, count: int, words: tuple[str, ...] = WORDS, height: float = 1.0, length: int = 60
) -> tuple[list[str], np.ndarray, list[tuple[int, str]]]:
    """Sequences with a word each at a random place and strand, what is contributed there, and (start, strand) of each."""
    rng = np.random.default_rng(seed)
    texts, values, places = letters(seed, count, length), rng.normal(0, 0.1, (count, length)), []
    for row, text in enumerate(texts):
        word, strand = words[row % len(words)], "+-"[int(rng.integers(2))]
        start = int(rng.integers(length - len(word) + 1))
        texts[row] = (
            text[:start] + (word if strand == "+" else reverse_complement(word)) + text[start + len(word) :]
        )
        values[row, start : start + len(word)] += height
        places.append((start, strand))
    return texts, values, places


def best_bases(motif: Motif) -> str:
    return "".join("ACGT"[row.argmax()] for row in motif.probabilities)


# Alignment ------------------------------------------------------------------------------------------------------------


def test_fits_as_loops_find_them() -> None:
    rng = np.random.default_rng(0)
    queries, targets, reach = rng.normal(size=(6, 7, 4)), rng.normal(size=(5, 7, 4)), 4
    found = fits(queries, targets, reach=reach)
    for q, query in enumerate(queries):
        for t, target in enumerate(targets):
            tried = []
            for flipped in (False, True):
                values = query[::-1, ::-1] if flipped else query
                for shift in range(-reach, reach + 1):
                    product = sum(values[k] @ target[k + shift] for k in range(7) if 0 <= k + shift < 7)
                    tried.append((product / np.linalg.norm(query) / np.linalg.norm(target), shift, flipped))
            similarity, shift, flipped = max(tried)
            assert found.similarity[q, t] == pytest.approx(similarity, abs=2e-5)
            assert (found.shift[q, t], found.flipped[q, t]) == (shift, flipped)


def test_fits_in_parts_are_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(size=(9, 12, 4))
    whole = fits(values, values, reach=3)
    monkeypatch.setattr("ntviz.motifs.clusters._AT_A_TIME", 1)
    parts = fits(values, values, reach=3)
    assert np.array_equal(whole.shift, parts.shift)
    assert np.array_equal(whole.flipped, parts.flipped)
    assert np.diag(whole.similarity) == pytest.approx(np.ones(9), abs=2e-5)


def test_nothing_fits_nothing() -> None:
    nothing = fits(np.zeros((2, 5, 4)), np.ones((3, 5, 4)), reach=2)
    assert nothing.similarity.tolist() == np.zeros((2, 3)).tolist()
    # The first of equals: forward, the lowest shift.
    assert (nothing.shift[0, 0], nothing.flipped[0, 0]) == (-2, False)
    assert fits(np.ones((2, 5, 4)), np.zeros((0, 5, 4)), reach=2).similarity.shape == (2, 0)


def test_windows_and_averages_lie_on_one_axis() -> None:
    """Of a window turned and moved, bases, contributions and positions are what the sequence says there."""
    import pandas as pd

    texts, values, _ = with_words(2, 6, length=24)
    table = pd.DataFrame(
        {"sequence": range(6), "start": [0, 3, 8, 10, 15, 18], "end": [6, 9, 14, 16, 21, 24]}
    )
    windows = Windows.around(table, texts, list(values), 4)
    members = np.array([5, 0, 3])
    shift, flipped = np.array([2, -3, 0]), np.array([True, False, True])
    placed = windows.aligned(Cluster(members, shift, flipped))
    for row, (number, turn) in enumerate(zip(members, flipped, strict=True)):
        for column, position in enumerate(placed.position[row]):
            if position < 0:
                assert (placed.codes[row, column], placed.values[row, column]) == (4, 0)
                continue
            base = texts[number][position]
            base = reverse_complement(base) if turn else base
            assert "ACGT"[placed.codes[row, column]] == base
            assert placed.values[row, column] == values[number, position]
            assert placed.covered[row, column] == (table["start"][number] <= position < table["end"][number])
    # The average of one member is that member, laid there.
    alone = average(windows.weighted(1), Cluster(members[:1], shift[:1], flipped[:1]))
    weighted = (placed.values[0] * placed.covered[0])[:, None] * (placed.codes[0][:, None] == np.arange(4))
    there = weighted.any(1)
    assert alone[there] / np.linalg.norm(alone[there]) == pytest.approx(
        weighted[there] / np.linalg.norm(weighted[there]), abs=1e-6
    )
    assert turned(turned(alone)).tolist() == alone.tolist()


def test_shuffled_seqlets_keep_their_bases() -> None:
    values = np.zeros((2, 8, 4))
    values[0, 2:7] = np.eye(4)[[0, 1, 2, 3, 0]] * np.arange(1, 6)[:, None]
    mixed = shuffled(values, np.random.default_rng(0))
    assert sorted(map(tuple, mixed[0, 2:7])) == sorted(map(tuple, values[0, 2:7]))
    assert mixed[0, 2:7].tolist() != values[0, 2:7].tolist()
    assert not mixed[0, :2].any()
    assert not mixed[1].any()


# Discovery ------------------------------------------------------------------------------------------------------------


def test_planted_words_are_found_whole_and_placed_exactly() -> None:
    texts, values, places = with_words(0, 90)
    result = motifs.discover(texts, values)
    assert len(result.patterns) == 3
    assert result.null_patterns == 0
    for pattern in result.patterns:
        word = best_bases(pattern.motif)
        known = next(one for one in WORDS if one in (word, reverse_complement(word)))
        assert (pattern.motif.nsites, pattern.n, pattern.sign) == (len(pattern.sites), len(pattern.sites), 1)
        assert pattern.n >= 28
        assert pattern.contributions == pytest.approx(np.ones(9), abs=0.15)
        as_planted = 0
        for row, start, end, strand in pattern.sites.itertuples(index=False):
            site = texts[row][start:end]
            assert (site if strand == "+" else reverse_complement(site)) == word
            turned_word = "+-"[(places[row][1] == "+") ^ (known == word)]
            as_planted += (start, strand) == (places[row][0], turned_word) and WORDS[row % 3] == known
        assert as_planted == pattern.n
        own = result.seqlets[result.seqlets["pattern"] == pattern.motif.id]
        assert len(own) == pattern.n
    assert [pattern.motif.id for pattern in result.patterns] == ["P1", "P2", "P3"]
    assert len(result.motifs) == 3
    assert result.motifs["P1"] is result.patterns[0].motif


def test_what_contributes_against_has_patterns_of_its_own() -> None:
    texts, values, _ = with_words(1, 60, WORDS[:1])
    _, against, _ = with_words(2, 60, WORDS[1:2])
    texts += with_words(2, 60, WORDS[1:2])[0]
    result = motifs.discover(texts, np.concatenate([values, -against]))
    assert [(pattern.motif.id, pattern.sign) for pattern in result.patterns] == [("P1", 1), ("N1", -1)]
    assert best_bases(result.patterns[1].motif) in (WORDS[1], reverse_complement(WORDS[1]))
    assert (result.patterns[1].contributions < -0.8).all()


def test_variants_of_one_motif_are_one_pattern_and_relatives_stay_two() -> None:
    """Sites drawn from a soft motif end in one pattern near it; TGACTCA and TGACGTCA, one base apart, stay two."""
    rng = np.random.default_rng(5)
    soft = Motif("soft", (0.05 + 0.8 * np.eye(4))[[0, 0, 0, 1, 1, 1, 1, 3, 3, 3]])
    sites = soft.drawn(80, seed=5)
    texts, values = letters(6, 80, 50), rng.normal(0, 0.05, (80, 50))
    for row, site in enumerate(sites):
        texts[row] = texts[row][:20] + site + texts[row][30:]
        values[row, 20:30] += 1
    result = motifs.discover(texts, values)
    assert len(result.patterns) == 1
    found = result.patterns[0].motif.probabilities
    if best_bases(result.patterns[0].motif)[0] != "A":
        found = found[::-1, ::-1]
    assert len(found) == 10
    assert found == pytest.approx(soft.probabilities, abs=0.15)
    texts, values, _ = with_words(7, 80, ("TGACTCA", "TGACGTCA"))
    pair = motifs.discover(texts, values)
    assert sorted(len(pattern.motif) for pattern in pair.patterns) == [7, 8]
    assert all(pattern.n >= 38 for pattern in pair.patterns)


def test_many_unrelated_seqlets_make_no_cluster_because_they_are_many() -> None:
    """What is needed rises with the number of seqlets: 1,500 of random bases, each with a dozen others by chance at 1 %."""
    rng = np.random.default_rng(0)
    values = np.zeros((1500, 20, 4))
    for row in values:
        row[np.arange(5, 15), rng.integers(0, 4, 10)] = rng.uniform(0.5, 1.5, 10)
    many = clusters(values, fewest=10, similarity=None, rng=rng)
    few = clusters(values[:100], fewest=10, similarity=None, rng=rng)
    assert len(many.found) <= 2
    assert len(few.found) == 0
    assert many.similarity > few.similarity


def test_random_places_give_no_pattern() -> None:
    """Strong contributions of bases that have nothing in common: seqlets in all, patterns in at most 1 of 20 sets."""
    with_patterns = 0
    for seed in range(NULL_SETS):
        _, values, _ = with_words(seed, 60)
        result = motifs.discover(letters(100 + seed, 60, 60), values)
        assert len(result.seqlets) >= 55
        with_patterns += len(result.patterns) > 0
    assert with_patterns <= NULL_SETS // 20


def test_one_order_of_sequences_is_as_good_as_another() -> None:
    texts, values, _ = with_words(3, 60)
    order = np.random.default_rng(0).permutation(60)
    one = motifs.discover(texts, values)
    again = motifs.discover(texts, values)
    other = motifs.discover([texts[row] for row in order], values[order])
    assert [pattern.motif.probabilities.tolist() for pattern in one.patterns] == [
        pattern.motif.probabilities.tolist() for pattern in again.patterns
    ]
    for word in WORDS:
        sizes = []
        for result in (one, other):
            mine = [p for p in result.patterns if best_bases(p.motif) in (word, reverse_complement(word))]
            sizes.append([pattern.n for pattern in mine])
        assert sizes[0] == sizes[1]


def test_sites_that_run_over_the_end_are_no_sites() -> None:
    """Of a word that begins before its sequence, what is there makes a seqlet, and no site."""
    texts, values, _ = with_words(4, 40, WORDS[:1])
    cut, cut_values = [], []
    for row in range(5):
        cut.append(WORDS[0][3:] + letters(row, 1, 30)[0])
        cut_values.append(np.r_[np.ones(6), np.zeros(30)] + np.random.default_rng(row).normal(0, 0.05, 36))
    result = motifs.discover(texts + cut, [*values, *cut_values])
    assert (result.patterns[0].sites["sequence"] < 40).all()
    of_cut = result.seqlets[result.seqlets["sequence"] >= 40]
    assert len(of_cut) == 5
    assert (of_cut["pattern"] == "").all()
    assert ((result.patterns[0].sites["start"] >= 0) & (result.patterns[0].sites["end"] <= 60)).all()


def test_nothing_to_cluster_is_said() -> None:
    texts = letters(0, 10, 50)
    result = motifs.discover(texts, np.random.default_rng(0).normal(size=(10, 50)))
    assert (result.patterns, len(result.seqlets), len(result.motifs)) == ((), 0, 0)
    assert result.note.startswith("No seqlet passes q <= 0.05 (the smallest of ")
    assert "nothing to cluster" in repr(result)
    empty = motifs.discover([], [])
    assert empty.note == "No seqlet passes q <= 0.05 (there is no stretch): nothing to cluster."
    # Against a null that is as high, what would be three patterns is nothing.
    texts, values, _ = with_words(0, 90)
    assert motifs.discover(texts, values, null=values[:, ::-1]).patterns == ()
    few, values, _ = with_words(0, 6, WORDS[:1])
    result = motifs.discover(few, values)
    assert (len(result.patterns), len(result.seqlets) >= 6) == (0, True)
    assert "0 patterns of 0 of" in result.note


def test_seqlets_of_ones_own_are_taken() -> None:
    texts, values, _ = with_words(8, 60)
    found = motifs.seqlets(texts, values)
    first = found[found["sequence"] < 30]
    result = motifs.discover(texts, values, found=first, fewest=8)
    assert set(result.seqlets["sequence"]) <= set(range(30))
    assert sum(pattern.n for pattern in result.patterns) >= 28
    without = found.copy()
    without.attrs = {}
    with pytest.raises(ValueError, match=r"without attrs\. Pass it as it came"):
        motifs.discover(texts, values, found=without)
    with pytest.raises(ValueError, match="without sign"):
        motifs.discover(texts, values, found=found.drop(columns="sign"))
    with pytest.raises(ValueError, match="must lie in the 10 sequences"):
        motifs.discover(texts[:10], values[:10], found=found)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fewest": 1}, "2 sites or more; received fewest=1"),
        ({"similarity": 0}, "similarity must be a cosine"),
        ({"similarity": 1.5}, "received 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        motifs.discover(["ACGT"], [np.ones(4)], **settings)


def test_a_cosine_that_none_has_gives_no_cluster() -> None:
    texts, values, _ = with_words(9, 30)
    assert motifs.discover(texts, values, similarity=1.0).patterns == ()
    assert clusters(np.zeros((12, 8, 4)), fewest=2, similarity=0.5, rng=np.random.default_rng(0)).found == []
