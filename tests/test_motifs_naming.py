"""Names of motifs: TOMTOM's p-values and alignments by brute force, known answers, families, and how often chance gets a name."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ntviz import data, motifs
from ntviz.motifs import Family, Motif, Motifs
from ntviz.motifs.names import WIDEST, compare
from ntviz.motifs.scans import adjusted

TABLE = "motif\tname\tclass\tfamily\nMA1.2\tFos::Jun\tbZIP\tFos-related::Jun-related\nMA2.1\tAlone\t\t\n"

pytestmark = pytest.mark.usefixtures("tomtom")


@pytest.fixture(scope="module")
def jaspar() -> Motifs:
    return motifs.read(data.bundle("motifs"))


def padded(motif: Motif, left: int, right: int, name: str) -> Motif:
    return Motif(name, np.pad(motif.probabilities, ((left, right), (0, 0)), constant_values=0.25))


def random_motifs(count: int, seed: int, *, alpha: float = 0.3, width: int = 10) -> list[Motif]:
    rng = np.random.default_rng(seed)
    return [Motif(f"R{index}", rng.dirichlet([alpha] * 4, size=width)) for index in range(count)]


def shuffled(motif: Motif, rng: np.random.Generator) -> Motif:
    return Motif(f"{motif.id}-shuffled", rng.permutation(motif.probabilities))


def resampled(motif: Motif, rng: np.random.Generator) -> Motif:
    return Motif.from_counts(f"{motif.id}-again", [rng.multinomial(20, row) for row in motif.probabilities])


class Brute:
    """TOMTOM's complete scores as they are defined, without bins: minus Euclidean distance, less its median."""

    def __init__(self, query: np.ndarray, targets: Motifs) -> None:
        columns = np.vstack([motif.probabilities for motif in targets])
        self.query, self.columns = query, np.vstack([columns, columns[:, ::-1]])
        self.medians = np.median(self.similarity(self.columns), axis=1)

    def similarity(self, columns: np.ndarray) -> np.ndarray:
        return -np.sqrt(((self.query[:, None] - columns[None]) ** 2).sum(axis=2))

    def scores(self, columns: np.ndarray) -> dict[int, float]:
        """Sum of the overlapping columns by the offset of the query in the target."""
        centred = self.similarity(columns) - self.medians[:, None]
        return {offset: float(np.trace(centred, offset)) for offset in range(1 - len(self.query), len(columns))}

    def chances(self, width: int, draws: int, rng: np.random.Generator) -> np.ndarray:
        """Best scores of targets of so many columns drawn at random."""
        centred, n = self.similarity(self.columns) - self.medians[:, None], len(self.query)
        drawn = centred[:, rng.integers(centred.shape[1], size=(draws, width))]
        overlaps = [[i for i in range(n) if 0 <= i + offset < width] for offset in range(1 - n, width)]
        return np.max([sum(drawn[i, :, i + at - n + 1] for i in rows) for at, rows in enumerate(overlaps)], axis=0)


def test_alignments_are_the_best_of_all(jaspar: Motifs) -> None:
    queries = [jaspar[name].probabilities for name in ("MA0139.2", "MA0065.3", "MA0114.5")]
    queries[1] = queries[1][4:12]
    like = compare(queries, list(jaspar))
    for number, query in enumerate(queries):
        brute = Brute(query, jaspar)
        for index in np.argsort(like.p[number])[:12]:
            target = list(jaspar)[index]
            ways = [brute.scores(way.probabilities) for way in (target, target.reverse_complement())]
            turned, offset = int(like.turned[number, index]), int(like.offset[number, index])
            # Scores in 100 bins tell no difference of a hundredth of their range.
            best = max(max(way.values()) for way in ways)
            assert ways[turned][offset] == pytest.approx(best, abs=0.02 * len(query))
            assert like.overlap[number, index] == min(offset + len(query), len(target)) - max(offset, 0)


def test_p_values_are_the_chances_of_random_columns(jaspar: Motifs) -> None:
    rng = np.random.default_rng(0)
    queries = [jaspar["MA0139.2"].probabilities, jaspar["MA0036.4"].probabilities]
    like, ten = compare(queries, list(jaspar)), np.array([len(target) == 10 for target in jaspar])
    for query, ps in zip(queries, like.p, strict=True):
        brute = Brute(query, jaspar)
        chosen = np.flatnonzero(ten & (ps > 0.005) & (ps < 0.2))[:5]
        assert len(chosen) == 5
        for index in chosen:
            target = list(jaspar)[index]
            best = max(max(brute.scores(way.probabilities).values()) for way in (target, target.reverse_complement()))
            one_way = (brute.chances(10, 20_000, rng) >= best).mean()
            assert ps[index] == pytest.approx(one_way * (2 - one_way), rel=0.25)


def test_two_directions_become_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # What memelite would answer to two queries and 25 targets in both directions: p, score, offset, overlap, strand.
    answer, asked = np.zeros((5, 2, 50)), []
    answer[0], answer[2], answer[3] = 0.5, np.arange(50), np.arange(50) + 100
    answer[0, 0, [3, 28, 4, 30]] = 0.2, 0.1, np.nan, np.nan

    def tomtom(queries, targets, *, reverse_complement):
        assert not reverse_complement and (targets[25 + 3] == targets[3][::-1, ::-1]).all()
        asked.append(len(queries))
        return answer[:, : len(queries)]

    monkeypatch.setitem(sys.modules, "memelite", SimpleNamespace(tomtom=tomtom))
    monkeypatch.setattr("ntviz.motifs.names._BATCH", 1)
    like = compare([motif.probabilities for motif in random_motifs(2, 0)], random_motifs(25, 1))
    assert asked == [1, 1]
    assert (like.turned[0, 3], like.offset[0, 3], like.overlap[0, 3]) == (True, 28, 128)
    assert like.p[0, 3] == pytest.approx(1 - 0.9**2)
    # Of equals the target as it was given; what is not known in one direction is the other's, and nothing in both.
    assert (like.turned[0, 0], like.offset[0, 0], like.p[0, 0]) == (False, 0, 0.75)
    assert like.turned[0, [4, 5]].tolist() == [True, False]
    answer[0, 0, 29] = np.nan
    assert compare([np.full((4, 4), 0.25)], random_motifs(25, 1)).p[0, 4] == 1


def test_known_motifs_get_their_names(jaspar: Motifs) -> None:
    ctcf, nr = jaspar["MA0139.2"], jaspar["MA0065.3"]
    queries = [
        padded(ctcf, 2, 3, "flanked"), padded(ctcf.reverse_complement(), 0, 1, "turned"), Motif("part", nr.probabilities[:9]),
        Motif("noise", np.random.default_rng(0).multinomial(20, [0.25] * 4, size=12) / 20),
        Motif("flat", np.full((8, 4), 0.25)), Motif.from_sites("wide", ["ACGT" * (WIDEST // 4) + "A"]),
    ]  # fmt: skip
    found = motifs.name(queries, jaspar, families=motifs.families(), shuffles=50)
    table = found.table.set_index("query")
    assert table["status"].tolist() == ["named"] * 3 + ["uninformative"] * 2 + ["too wide"]
    assert table["target"].tolist() == ["MA0139.2", "MA0139.2", "MA0065.3", "", "", ""]
    # Offset and overlap of the query as it was given, flanks and all.
    placed = table[["name", "strand", "offset", "overlap"]].values.tolist()[:3]
    assert placed == [["CTCF", "+", -2, 15], ["CTCF", "-", 0, 15], ["Pparg::Rxra", "+", 0, 9]]
    assert table["class"]["part"] == "Nuclear receptors with C4 zinc fingers"
    assert table["consensus"]["flanked"] == "More than 3 adjacent zinc fingers"
    assert (table["p_shuffled"].iloc[:3] == 1 / 51).all()
    assert table[["p", "e", "q", "p_shuffled"]].iloc[3:].isna().all(axis=None)
    assert found.matches["query"].unique().tolist() == ["flanked", "turned", "part"]
    assert found.matches["rank"].tolist() == [1, 2, 3, 4, 5] * 3
    none = motifs.name([], jaspar)
    assert none.table.empty and none.matches.empty
    assert none.table.columns.tolist()[:4] == ["query", "status", "target", "name"]


def test_what_is_like_nothing_has_no_match_and_what_is_alike_in_any_order_is_said(jaspar: Motifs) -> None:
    odd = Motif("odd", random_motifs(1, 4, alpha=0.2, width=12)[0].probabilities)
    found = motifs.name(odd, jaspar, q=0.05)
    row = found.table.iloc[0]
    assert row[["status", "target", "name", "family", "consensus"]].tolist() == ["no match", "", "", "", ""]
    assert (row["e"], row["q"]) == (pytest.approx(1019 * row["p"]), 1)
    assert len(found.matches) == 5 and not found.matches["significant"].any()
    table = motifs.name(Motif("A", [[0.9, 0.05, 0.03, 0.02]] * 9), jaspar).table
    assert table[["status", "p_shuffled"]].values.tolist() == [["named", 1]]


def test_q_is_of_queries_and_matches_follow(jaspar: Motifs) -> None:
    rng = np.random.default_rng(1)
    queries = [resampled(motif, rng) for motif in list(jaspar)[::100]] + random_motifs(5, 0)
    found = motifs.name(queries, jaspar, q=0.1, top=1019, shuffles=0, min_mean_information=0)
    like = compare([motif.probabilities[slice(*motif.core())] for motif in queries], list(jaspar))
    e = like.p.min(axis=1) * 1019
    q = adjusted(np.minimum(e, 1), len(queries))
    np.testing.assert_allclose(found.table[["e", "q"]].to_numpy(float).T, [e, q], rtol=1e-12)
    named = q <= 0.1
    assert 0 < named.sum() < len(queries)
    assert (found.table["status"] == np.where(named, "named", "no match")).all()
    expected = ((like.p * 1019 <= 0.1 * named.mean()) & named[:, None]).sum(axis=1).tolist()
    assert found.matches.groupby("query", sort=False)["significant"].sum().tolist() == expected
    assert found.table["significant"].fillna(0).tolist() == expected


def test_families_of_other_versions_and_of_none(jaspar: Motifs) -> None:
    query, columns = Motif("q", jaspar["MA0139.2"].probabilities), ["class", "family", "consensus", "agreeing"]
    kinds = {"MA0139.1": Family("a", "x::y"), "MA1930.2": Family("a", "y"), "MA1929.2": Family("b", "y::z")}
    # A complex votes for each of its families; CTCFL, whose family is not known, does not vote.
    for options, expected in (({"families": kinds}, ["a", "x::y", "y", 3]), ({}, ["", "", "", 0])):
        table = motifs.name(query, jaspar, **options, shuffles=0).table
        assert table[columns].iloc[0].tolist() == expected


def test_names_of_shuffled_and_of_random_motifs_are_rare(jaspar: Motifs) -> None:
    rng = np.random.default_rng(0)
    for queries, most in (([shuffled(motif, rng) for motif in list(jaspar)[::3]], 0.11), (random_motifs(300, 1), 0.08)):
        table = motifs.name(queries, jaspar, q=1, shuffles=0, top=1).table
        e = table.loc[table["status"] == "named", "e"]
        assert len(e) > 150 and 0.005 < (e <= 0.05).mean() < most


def test_motifs_that_say_little_would_be_named_by_chance(jaspar: Motifs) -> None:
    noise = random_motifs(40, 2, alpha=2.0, width=16)
    assert set(motifs.name(noise, jaspar).table["status"]) == {"uninformative"}
    forced = motifs.name(noise, jaspar, min_mean_information=0, shuffles=10)
    compared = forced.table[forced.table["p"].notna()]
    # Why they are not: nearly all would get a name. The control tells, as their shuffles would too.
    assert (compared["e"] <= 0.05).mean() > 0.8 and compared["p_shuffled"].median() > 0.3


def test_true_queries_do_not_lend_their_names_to_others(jaspar: Motifs) -> None:
    rng = np.random.default_rng(3)
    known = [motif for motif in jaspar if motif.information.mean() > 1]
    wrong = every_pair = right = same = 0
    for _ in range(6):
        picked = rng.choice(len(known), 20, replace=False)
        queries = [(resampled if at < 18 else shuffled)(known[index], rng) for at, index in enumerate(picked)]
        found = motifs.name(queries, jaspar, q=0.1, shuffles=0, top=1019)
        named = (found.table["status"] == "named").to_numpy()
        right, wrong = right + named[:18].sum(), wrong + named[18:].sum()
        targets = found.table["target"].to_numpy()[:18]
        same += (targets == np.array([known[index].id for index in picked[:18]])).sum()
        order = found.matches["query"].map({motif.id: at for at, motif in enumerate(queries)})
        q = adjusted(found.matches["p"].to_numpy(), 20 * 1019)
        every_pair += len(set(order[(q <= 0.1) & (order >= 18)]))
    assert right > 0.97 * 6 * 18 and same > 0.8 * right
    assert wrong / (wrong + right) < 0.03 and every_pair > 3 * wrong


def test_bad_questions_are_refused(jaspar: Motifs, monkeypatch: pytest.MonkeyPatch) -> None:
    query = Motif("q", jaspar["MA0139.2"].probabilities)
    few = Motifs(list(jaspar)[:3])
    for queries, targets, options, message in (
        (query, few, {}, r"25 targets or more.*its null; received 3\. Pass a whole collection"),
        (query, jaspar, {"q": 0}, r"q must be above 0 and at most 1; received 0\. "),
        (query, jaspar, {"top": 0}, r"top must be at least 1 and shuffles at least 0; received 0 and 100"),
        ([query, query], jaspar, {}, r"identifier of its own; the collection has 'q' twice"),
    ):
        with pytest.raises(ValueError, match=message):
            motifs.name(queries, targets, **options)
    monkeypatch.setitem(sys.modules, "memelite", None)
    with pytest.raises(ImportError, match=r"pip install 'ntviz\[motifs\]'"):
        motifs.name(query, jaspar)


def test_a_table_by_hand(tmp_path: Path) -> None:
    (tmp_path / "toy.tsv").write_text(TABLE, encoding="utf-8")
    known = motifs.families(tmp_path / "toy.tsv")
    assert known == {"MA1.2": Family("bZIP", "Fos-related::Jun-related"), "MA2.1": Family("", "")}
    assert [family.families for family in known.values()] == [("Fos-related", "Jun-related"), ()]
    assert motifs.families() == motifs.families(data.bundle("motif-families"))


@pytest.mark.parametrize(("text", "message"), [
    ("", r"begin with the columns motif, name, class, family.*toy\.tsv begins with ''"),
    ("MEME version 4\n", r"begins with 'MEME version 4'"),
    (TABLE + "MA3.1\tThree\n", r"Line 4 of toy\.tsv must hold 4 fields.*'MA3\.1\\tThree'"),
    (TABLE + "\tNone\ta\tb\n", r"Line 4 of toy\.tsv must hold 4 fields, the first"),
    (TABLE + "MA2.1\tTwice\ta\tb\n", r"line 4 of toy\.tsv has 'MA2\.1' again\. Remove one"),
])  # fmt: skip
def test_other_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "toy.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        motifs.families(tmp_path / "toy.tsv")


def test_missing_and_binary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"received .*absent\.tsv, and there is none"):
        motifs.families(tmp_path / "absent.tsv")
    with pytest.raises(ValueError, match=r"must be text in UTF-8; .*meme\.gz is not"):
        motifs.families(data.bundle("motifs"))
    monkeypatch.setenv("NTVIZ_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"`python data/build\.py` makes the bundle's"):
        motifs.families()
