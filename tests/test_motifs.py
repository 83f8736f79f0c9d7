"""Motifs: files in MEME format, scores, exact p-values against all sequences, and matches against a plain scan."""

from __future__ import annotations

import gzip
import itertools
import random
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntviz import annotation, data, motifs
from ntviz.genome import Interval
from ntviz.genome.sequence import reverse_complement
from ntviz.motifs import Motif, Motifs
from ntviz.motifs.scans import STEP, Scoring, adjusted
from ntviz.reference import Reference

# The core of CTCF's sites in the literature, CCASYAGRKGGC; a random site of 15 bp holds its right half in 2 of 100 cases.
CTCF = re.compile("AG[AG].GG")
UNEVEN = (0.3, 0.2, 0.2, 0.3)
GATTACA, SHORT = Motif.from_sites("toy", ["GATTACA"]), Motif.from_sites("S", ["ACG"])
COLUMNS = ["start", "end", "strand", "score", "p", "motif", "name"]


def random_motif(seed: int, width: int, name: str = "toy") -> Motif:
    return Motif(name, np.random.default_rng(seed).dirichlet([0.4] * 4, size=width), nsites=50)


def random_bases(seed: int, length: int, letters: str = "ACGT") -> str:
    return "".join(random.Random(seed).choices(letters, k=length))


def test_a_motif_of_sites_or_counts_and_its_reverse_complement() -> None:
    motif = Motif.from_sites("M1", ["ACGT", "ACGN", "AGGA", "ACTT"], name="toy")
    assert motif.counts[:3].tolist() == [[4, 0, 0, 0], [0, 3, 1, 0], [0, 0, 3, 1]]
    # The N counts for no base: of three known bases two are T.
    assert motif.probabilities[3] == pytest.approx([1 / 3, 0, 0, 2 / 3])
    assert (motif.id, motif.name, motif.nsites, len(motif), repr(motif)) == ("M1", "toy", 4, 4, "Motif(M1 toy, 4 bp)")
    assert repr(Motif.from_sites("M1", ["A"])) == "Motif(M1, 1 bp)"
    counted = Motif.from_counts("M", [[3, 1, 0, 0], [0, 0, 0, 2]], name="toy")
    assert counted.probabilities.tolist() == [[0.75, 0.25, 0, 0], [0, 0, 0, 1]]
    assert (counted.name, counted.nsites, len(counted)) == ("toy", 4, 2)
    assert Motif.from_counts("few", [[0.2, 0.1, 0, 0]]).nsites == 1
    turned, by_site = motif.reverse_complement(), Motif.from_sites("a", ["AACGT"])
    assert (turned.id, turned.nsites) == (motif.id, motif.nsites)
    assert turned.reverse_complement().probabilities == pytest.approx(motif.probabilities, rel=1e-12)
    assert (
        by_site.reverse_complement().probabilities.tolist() == Motif.from_sites("a", ["ACGTT"]).probabilities.tolist()
    )


def test_information_and_log_odds_by_hand() -> None:
    motif = Motif("toy", np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4]))
    assert motif.information.tolist() == [2, 1, 0]
    # 3 of 4 sites, one pseudosite: (3 + 0.25) / 5 against 0.25 is log2(2.6).
    motif = Motif.from_sites("toy", ["A", "A", "A", "C"])
    assert motif.log_odds(pseudocount=1)[0, [0, 2]] == pytest.approx(np.log2([2.6, 0.2]))
    assert motif.log_odds(UNEVEN, pseudocount=1)[0, 1] == pytest.approx(np.log2((1 + 0.2) / 5 / 0.2))
    assert np.isfinite(motif.log_odds()).all()
    # A motif that says nothing of its sites counts as twenty, as in MEME.
    expected = np.log2(np.array([21.25, 1.25, 1.25, 1.25]) / 6.25)
    assert Motif("toy", np.array([[1, 0, 0, 0]])).log_odds(pseudocount=5)[0] == pytest.approx(expected)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Motif("toy", np.zeros((0, 4))), r"must be \[position, 4\].*received \[0, 4\] for toy"),
    (lambda: Motif("toy", np.full((3, 5), 0.2)), r"received \[3, 5\] for toy"),
    (lambda: Motif("toy", [[0.25] * 4, [1, 1, 0, 0]]), r"received \[1\.0, 1\.0, 0\.0, 0\.0\] at position 2 of toy"),
    (lambda: Motif("toy", [[1.5, -0.5, 0, 0]]), r"not be negative; received \[1\.5, -0\.5"),
    (lambda: Motif("toy", [[np.nan] * 4]), r"received \[nan, nan, nan, nan\] at position 1"),
    (lambda: Motif("toy", [[np.inf, 1, 0, 0]]), r"sum to one and not be negative; received .* at position 1 of toy"),
    (lambda: Motif("toy", np.full((1, 4), 0.25), nsites=0), r"one site or more; received nsites=0 for toy"),
    (lambda: Motif.from_sites("toy", ["AC", "ACG"]), r"aligned sites of one length; received 2 sites of 2, 3 bp for toy"),
    (lambda: Motif.from_sites("toy", []), r"received 0 sites of no bp"),
    (lambda: Motif.from_sites("toy", ["AN", "CN"]), r"position 2 of toy is N in all 2\. Leave"),
    (lambda: Motif.from_counts("M", np.ones((4, 2))), r"counts of a motif must be \[position, 4\].*received \[4, 2\] for M"),
    (lambda: Motif.from_counts("M", [[1, 0, 0, 0], [0, 0, 0, 0]]), r"finite, not negative, and some; .* at position 2 of M"),
    (lambda: Motif.from_counts("M", [[1, 0, 0, 0], [1, -1, 3, 0]]), r"finite, not negative, and some; .* at position 2 of M"),
    (lambda: Motif.from_counts("M", [[1, 0, 0, 0], [1, np.nan, 0, 0]]), r"finite, not negative, and some; .* at position 2 of M"),
    (lambda: Motif.from_counts("M", [[1, 0, 0, 0], [1, np.inf, 0, 0]]), r"finite, not negative, and some; .* at position 2 of M"),
    (lambda: random_motif(0, 3).log_odds(pseudocount=0), r"pseudocount must be positive.*received 0"),
    (lambda: random_motif(0, 3).drawn(0, seed=0), r"must be a site to draw; received count=0"),
])  # fmt: skip
def test_what_is_no_motif_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_best_site_consensus_and_core() -> None:
    rows = [
        ([1, 0, 0, 0], "AA"), ([0.5, 0.25, 0.25, 0], "AA"),  # half, and twice the next
        ([0.5, 0.26, 0.24, 0], "AM"), ([0, 0.4, 0, 0.6], "TY"), ([0, 0.5, 0.5, 0], "CS"), ([0.4, 0, 0.2, 0.4], "AW"),
        ([0, 0.1, 0.4, 0.5], "TK"), ([0.35, 0.1, 0.45, 0.1], "GR"), ([0.25, 0.25, 0.25, 0.25], "AN"),
    ]  # fmt: skip
    for row, letters in rows:
        motif = Motif("M", [row])
        assert motif.best_site + motif.consensus == letters
    flat = [0.25] * 4
    motif = Motif("M", [flat, flat, [1, 0, 0, 0], flat, [0, 0.5, 0.5, 0], [0.3, 0.3, 0.2, 0.2]], nsites=7)
    assert (motif.core(), motif.core(1.5), motif.core(0)) == ((2, 5), (2, 3), (0, 6))
    cut = motif.trimmed()
    assert cut.probabilities.tolist() == [[1, 0, 0, 0], flat, [0, 0.5, 0.5, 0]]
    assert (cut.id, cut.nsites, Motif("F", [flat]).core()) == ("M", 7, (0, 0))
    with pytest.raises(ValueError, match=r"must say 0\.25 bits at a position to be trimmed"):
        Motif("F", [flat]).trimmed()


MEME = (
    "MEME version 5.5.1\n\nALPHABET= ACGT\n\nstrands: + -\n\nBackground letter frequencies (from somewhere):\n"
    "A 0.30 C 0.20 G 0.20\nT 0.30\n\nMOTIF MA1.2 Ab::c <b>\nletter-probability matrix: alength= 4 w= 2 nsites= 8 E= 1e-5\n"
    " 0.5 0.5 0 0\n\t0 0 1.000 0\n\nURL http://example.org\n-----\nMOTIF MA2.1\nletter-probability matrix:\n1 0 0 0\n"
)


def test_read_a_file(tmp_path: Path) -> None:
    (tmp_path / "toy.meme").write_text(MEME)
    found = motifs.read(tmp_path / "toy.meme")
    heads = [(motif.id, motif.name, motif.nsites, len(motif)) for motif in found]
    assert heads == [("MA1.2", "Ab::c <b>", 8, 2), ("MA2.1", "MA2.1", None, 1)]
    assert found["MA1.2"].probabilities.tolist() == [[0.5, 0.5, 0, 0], [0, 0, 1, 0]]
    assert (found.background, repr(found)) == ((0.3, 0.2, 0.2, 0.3), "Motifs(toy.meme: 2 motifs)")


def test_motifs_by_identifier_and_name() -> None:
    named = {"MA1.1": "One", "MA2.1": "Two", "MA3.3": "two"}
    found = Motifs(Motif(text, [[1, 0, 0, 0]], name=name) for text, name in named.items())
    assert found["MA1.1"] is found["MA1"] is found["one"]
    assert ([motif.id for motif in found.named("TWO")], found.named("three")) == (["MA2.1", "MA3.3"], [])
    with pytest.raises(ValueError, match=r"'two' is MA2\.1, MA3\.3 in the collection\. .*named\('two'\)"):
        found["two"]
    with pytest.raises(ValueError, match=r"one of the 3 of the .*; received 'MA1\.2'\. Nearest: MA1\.1"):
        found["MA1.2"]
    with pytest.raises(ValueError, match=r"the collection has 'a' twice"):
        Motifs([random_motif(0, 3, "a"), random_motif(1, 3, "a")])


@pytest.mark.parametrize(("old", "new", "message"), [
    ("MEME version", "VERSION", r"must be MEME, JASPAR, HOMER or TRANSFAC; a.motif begins with 'VERSION 5"),
    ("ALPHABET= ACGT", "ALPHABET= ACDE", r"Line 3 of a.motif must be MEME format, but the alphabet must be ACGT: 'ALPHABET= ACDE'"),
    # Its columns would be those of other bases.
    ("ALPHABET= ACGT", "ALPHABET= TGCA", r"Line 3 .*the alphabet must be ACGT"),
    ("ALPHABET= ACGT", 'ALPHABET "RNA"', r"Line 3 .*the alphabet must be ACGT"),
    ("A 0.30 C", "A C", r"Line 8 .*letters with numbers"),
    ("T 0.30", "U 0.30", r"Line 9 .*frequencies must be of ACGT"),
    ("0.5 0.5 0 0", "0.5 0.5 0", r"Line 13 .*a row of a matrix must have 4 numbers: ' 0\.5 0\.5 0'"),
    ("0.5 0.5 0 0", "0.5 x 0 0", r"Line 13 .*'x' must be a number"),
    ("0.5 0.5 0 0", "0.5 nan 0 0", r"Line 13 .*'nan' must be a number"),
    ("0.5 0.5 0 0", "0.5 0.9 0 0", r"Line 14 of a.motif: The base probabilities .*at position 1 of MA1\.2"),
    ("w= 2", "w= 3", r"Line 14 .*MA1\.2 must have w= 3 rows and has 2"),
    ("nsites= 8", "nsites= many", r"'many' must be a number"),
    ("MOTIF MA2.1", "MOTIF", r"Line 18 .*a motif must have an identifier"),
    ("MOTIF MA2.1", "MOTIF MA1.2", r"a.motif has 'MA1\.2' twice"),
    ("MOTIF MA1.2 Ab::c <b>", "", r"Line 12 .*a matrix must follow a line MOTIF"),
    ("letter-probability", "log-odds", r"must hold a motif; a.motif holds none"),
    ("", "", r"a.motif is empty"),
    ("", '<?xml version="1.0"?>', r"must be MEME, JASPAR, HOMER or TRANSFAC; a.motif begins with '<\?xml.*uniprobe2meme"),
    ("", ">a\nA 1 2\nC 1 2\nG 1 2\n", r"Line 1 of a.motif: a matrix must have one row for each of A, C, G, T; a has ACG"),
    ("", ">a\nA 1 2\nC 1\nG 1 2\nT 1 2\n", r"Line 1 of a.motif: a matrix must be rows of numbers, all of one length"),
    ("", "\n>a\n1 2 1\n1 x 1\n1 2 1\n1 2 1\n", r"Line 2 of a.motif: a matrix must be rows of numbers"),
    ("", ">a\n1 2 3 4 5\n1 2 3 4 5\n", r"Line 1 of a.motif: The counts of a motif must be \[position, 4\]"),
    ("", ">b\n>a\nA 1\nC 1\nG 1\nT 1\n", r"Line 1 of a.motif: .*\[position, 4\].*for b"),
    ("", ">a\n0.3 -1.2 0.1 0.5\n", r"a holds scores below 0. Take its counts"),
    ("", ">a\n5 0 0 0\n0 5 0 0\n0 0 5 0\n0 0 0 5\n", r"the four rows of four of a can be read both ways"),
    ("", "ID a\nP0 T G C A\n01 1 0 0 0\n//\n", r"Line 2 of a.motif must name the columns A, C, G, T; received 'P0 T"),
    ("", 'MEME version 5\nALPHABET "RNA" RNA-LIKE\nA ~ U\nC ~ G\nEND ALPHABET\n', r"Line 2 .*alphabet must be ACGT"),
    ("", 'MEME version 5\nALPHABET "5mC"\nA ~ T\nC ~ G\nm ~ 1\nEND ALPHABET\n', r"Line 2 .*alphabet must be ACGT"),
])  # fmt: skip
def test_broken_files_name_the_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "a.motif").write_text(MEME.replace(old, new) if old else new)
    with pytest.raises(ValueError, match=message):
        motifs.read(tmp_path / "a.motif")


def test_missing_and_truncated_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent.meme, and there is none"):
        motifs.read(tmp_path / "absent.meme")
    (tmp_path / "a.meme.gz").write_bytes(gzip.compress(MEME.encode() * 50)[:-20])
    with pytest.raises(ValueError, match=r"a.meme.gz must be a whole gzip file"):
        motifs.read(tmp_path / "a.meme.gz")


# What programs and collections write, in files of our own: one matrix, whose counts are these by construction.
COUNTS = [[4, 16, 0, 0], [19, 0, 1, 0], [0, 20, 0, 0], [5, 5, 5, 5], [1, 1, 1, 17]]
CASES = Path(__file__).parent / "cases" / "motifs"


@pytest.mark.parametrize(("name", "heads"), [
    ("meme.txt", [("MACNT", "MEME-1", 20, 5)]),
    ("dreme.txt", [("MACNT", "DREME-1", 20, 5)]),
    ("letters.jaspar", [("X0001.1", "Toy", 20, 5), ("X0002.1", "Toy::other", 20, 5)]),
    ("plain.pfm", [("X0001.1", "Toy", 20, 5)]),
    ("X0001.1.pfm", [("X0001.1", "X0001.1", 20, 5)]),
    ("homer.motif", [("MACNT", "Toy(none)/made-up/Homer", None, 5), ("2-MACNT", "2-MACNT", None, 4)]),
    ("toy.transfac", [("X0001.1", "Toy", 20, 5), ("X0002.1", "other", 20, 2)]),
])  # fmt: skip
@pytest.mark.parametrize("saved", ["as it is", "BOM and CR LF", "gzip"])
def test_files_of_other_programs(tmp_path: Path, name: str, heads: list[tuple], saved: str) -> None:
    text, path = (CASES / name).read_bytes(), tmp_path / (f"{name}.gz" if saved == "gzip" else name)
    changed = {"gzip": gzip.compress(text), "BOM and CR LF": b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n")}
    path.write_bytes(changed.get(saved, text))
    found = motifs.read(path)
    assert [(motif.id, motif.name, motif.nsites, len(motif)) for motif in found] == heads
    for motif in found:
        assert motif.probabilities == pytest.approx(np.array(COUNTS[: len(motif)]) / 20, abs=1e-9)
    stated = (0.31, 0.19, 0.19, 0.31) if name in ("meme.txt", "dreme.txt") else (0.25,) * 4
    assert found.background == pytest.approx(stated)


def test_letters_in_lower_case_and_four_positions_as_their_sums_say(tmp_path: Path) -> None:
    (tmp_path / "low.jaspar").write_text(">MA1 X\na [ 9 1 ]\nt [ 0 2 ]\ng [ 1 3 ]\nc [ 0 4 ]\n")
    (motif,) = motifs.read(tmp_path / "low.jaspar")
    assert motif.probabilities == pytest.approx(np.array([[9, 0, 1, 0], [1, 4, 3, 2]]) / 10)
    rows = np.array([[8, 2, 0, 0], [0, 9, 1, 0], [1, 1, 8, 0], [0, 0, 0, 10]])
    for numbers, name in ((rows, "positions"), (rows.T, "bases")):
        text = "\n".join(" ".join(map(str, row)) for row in numbers.tolist())
        (tmp_path / "a.pfm").write_text(f">{name}\n{text}\n")
        assert motifs.read(tmp_path / "a.pfm")[name].counts == pytest.approx(rows)


@pytest.mark.parametrize("background", [(0.25,) * 4, (0.1, 0.2, 0.3, 0.4)])
@pytest.mark.parametrize("width", [1, 3, 6])
def test_p_values_equal_those_of_all_sequences(width: int, background: tuple[float, ...]) -> None:
    motif = random_motif(width, width)
    scoring = Scoring.of(motif, np.array(background))
    rounded = np.rint(motif.log_odds(background) / STEP).astype(int)
    sites = np.array(list(itertools.product(range(4), repeat=width)))
    scores, chances = rounded[np.arange(width), sites].sum(axis=1), np.array(background)[sites].prod(axis=1)
    above = {score: chances[scores >= score].sum() for score in np.unique(scores)}
    for score, chance in above.items():
        assert scoring.tail[score - scoring.lowest] == pytest.approx(chance, rel=1e-12)
    assert scoring.tail[0] == pytest.approx(1)
    for p in (0.5, 0.1, 0.01, 1e-3, 1e-9):
        least = Scoring.of(motif, np.array(background), p).least
        expected = [score for score, chance in above.items() if chance <= p * (1 + 1e-9)]
        assert least == -1 if not expected else scores[scores >= least + scoring.lowest].min() == expected[0]


def test_rounding_is_small() -> None:
    motif, at = random_motif(3, 20), np.arange(20)
    scoring, base = Scoring.of(motif, np.full(4, 0.25)), np.random.default_rng(0).integers(0, 4, size=(500, 20))
    exact = motif.log_odds()[at, base].sum(axis=1)
    assert np.abs(scoring.bits(scoring.steps[at, base].sum(axis=1)) - exact).max() <= 20 * STEP / 2


def test_share_of_matches_in_random_bases_is_p() -> None:
    # Known truth: of a random sequence, a share p of the places matches on each strand.
    sequence = random_bases(0, 2_000_000)
    found = motifs.scan(sequence, random_motif(5, 12), p=1e-2)
    for p in (1e-2, 1e-3):
        shares = found.loc[found["p"] <= p, "strand"].value_counts() / len(sequence)
        assert shares[["+", "-"]].tolist() == pytest.approx([p, p], rel=0.1)


def every_test(sequences: list[str], chosen: list[Motif], both: bool = True) -> list[tuple]:
    """Sequence, start, strand, motif, score in steps and p of each test, place by place."""
    tests = []
    for motif, (number, sequence) in itertools.product(chosen, enumerate(sequences)):
        scoring = Scoring.of(motif, np.array(UNEVEN))
        for start in range(len(sequence) - len(motif) + 1):
            site = sequence[start : start + len(motif)]
            for strand, read in (("+", site), ("-", reverse_complement(site)))[: (1 + both) * ("N" not in site)]:
                score = sum(int(scoring.steps[i, "ACGT".index(base)]) for i, base in enumerate(read))
                tests.append((number, start, strand, motif.id, score + scoring.lowest, float(scoring.tail[score])))
    return tests


@pytest.mark.parametrize("width", [1, 4, 5, 7, 8, 9, 16, 19])
def test_matches_equal_a_plain_scan(width: int) -> None:
    motif, p = random_motif(width, width), 0.26 if width < 3 else 0.02
    sequence = random_bases(width, 2000, "ACGT" * 20 + "N")
    found = motifs.scan(sequence, motif, p=p, background=UNEVEN)
    tests = every_test([sequence], [motif])
    expected = [(start, strand, score) for _, start, strand, _, score, chance in tests if chance <= p]
    scores = np.rint(found["score"] / STEP).astype(int)
    assert list(zip(found["start"], found["strand"], scores, strict=True)) == expected != []
    assert (found["end"] - found["start"] == width).all() and (found["p"] <= p).all()
    one_strand = motifs.scan(sequence, motif, p=p, background=UNEVEN, both_strands=False)
    pd.testing.assert_frame_equal(one_strand, found[found["strand"] == "+"].reset_index(drop=True))


def test_long_sequences_have_the_same_matches() -> None:
    sequence, cut = random_bases(1, 1 << 17, "ACGT" * 30 + "N"), 40_000
    chosen = [random_motif(seed, width, f"M{width}") for seed, width in enumerate((6, 11, 21))]
    found, part = (motifs.scan(text, chosen, p=1e-3) for text in (sequence, sequence[:cut]))
    assert len(part) > 100
    pd.testing.assert_frame_equal(part, found[found["end"] <= cut].reset_index(drop=True))


def test_palindromes_nothing_and_motifs_too_short_for_p() -> None:
    both = motifs.scan("TTGAATTCTT", Motif.from_sites("EcoRI", ["GAATTC"] * 9), p=1e-3)
    assert both[["start", "strand"]].values.tolist() == [[2, "+"], [2, "-"]]
    for text in ("N" * 50, "AAA", "A" * 50):
        empty = motifs.scan(text, Motif.from_sites("toy", ["GATTACA"] * 9), p=1e-3)
        assert (len(empty), empty.columns.tolist()) == (0, COLUMNS)
    found = motifs.scan(random_bases(0, 100), [SHORT, Motif.from_sites("L", ["ACGTTGCATT"])], p=1e-4)
    assert found.attrs["too_short"] == ("S",)


@pytest.mark.parametrize(("ask", "error", "message"), [
    (lambda: motifs.scan("ACGT", random_motif(0, 8), p=0), ValueError, r"p must be a probability between 0 and 1; received 0\. "),
    (lambda: motifs.scan("ACGT", GATTACA, background=(0.5, 0.5)), ValueError, "four positive probabilities in the order ACGT"),
    (lambda: motifs.scan("ACGT", GATTACA, background=(0, 0.5, 0.25, 0.25)), ValueError, "four positive probabilities"),
    (lambda: motifs.scan("ACGT", GATTACA, background=(1, 1, 1, 1)), ValueError, "four positive probabilities"),
    (lambda: motifs.scan("ACGT", SHORT), ValueError, r"of at most 0\.0001; the best match of S has 0\.016\. Raise p"),
    (lambda: motifs.scan("ACGT", [SHORT, Motif.from_sites("S2", ["AC"])]), ValueError, r"has 0\.016, and that of the 1 others is no better"),
    (lambda: motifs.scan("ACGT", []), ValueError, r"There must be a motif to look for; received none"),
    (lambda: motifs.scan("aCGT", GATTACA), ValueError, r"upper-case A, C, G, T, N; received 'a'"),
    (lambda: motifs.composition("AATN"), ValueError, r"hold A or T, and C or G; received a sequence with 3 and 0"),
    (lambda: motifs.scan_many("GATTACA", GATTACA), TypeError, r"must be several; received one text"),
    (lambda: motifs.scan_many({}, GATTACA), ValueError, r"There must be a sequence to look in; received none"),
    (lambda: motifs.scan_many({"a": "ACGT", "b": "gattaca"}, GATTACA), ValueError, r"Sequence 'b': .*received 'g'"),
    (lambda: motifs.scan_many(["ACGT", ""], GATTACA), ValueError, r"Sequence 1: .*at least one base; received an empty one"),
    (lambda: motifs.scan_many([7], GATTACA), TypeError, r"Sequence 0: .*received int"),
    (lambda: motifs.scan_many(["ACGT"], GATTACA, p=1e-6), ValueError, r"best match of toy has 6\.1e-05\. Raise p"),
])  # fmt: skip
def test_bad_questions_are_refused(ask, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ask()


def test_background_is_the_same_for_both_strands() -> None:
    sequence, motif = random_bases(4, 2000), random_motif(4, 8)
    skewed = motifs.scan(sequence, motif, p=0.01, background=(0.4, 0.1, 0.3, 0.2))
    pd.testing.assert_frame_equal(skewed, motifs.scan(sequence, motif, p=0.01, background=UNEVEN))
    assert motifs.composition("AAACG") == (0.3, 0.2, 0.2, 0.3)


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
    every = np.array([p for *_, p in tests])
    q = step_up(every)
    # What is not listed lowers a q to this level at most, and no q that is below it.
    unlisted = q[every > 0.01].min()
    expected = {test[:4]: (test[5], one) for test, one in zip(tests, q, strict=True) if test[5] <= 0.01}
    assert found.attrs["n_tests"] == len(tests) and len(found) == len(expected) > 10
    assert (found["q"] < unlisted).sum() >= 6
    for row in found.itertuples():
        p, one = expected[row.sequence, row.start, row.strand, row.motif]
        assert (row.p, min(row.q, unlisted)) == (p, pytest.approx(one, rel=1e-12))


def test_tests_that_are_not_listed_only_ever_lower_a_q() -> None:
    # Every p just above the limit makes 0.02 the level of all; of those listed alone it is 0.1.
    p = np.r_[0.001, np.full(99, 0.02)]
    assert step_up(p)[0] == pytest.approx(0.02) and adjusted(p[:1], 100).tolist() == [0.1]
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
    alone = pd.concat([motifs.scan(text, chosen, p=1e-3).assign(sequence=name) for name, text in sequences.items()])
    assert len(found) > 50 and found.columns.tolist() == ["sequence", *COLUMNS[:5], "q", *COLUMNS[5:]]
    columns = ["sequence", *COLUMNS]
    pd.testing.assert_frame_equal(found[columns], alone[columns].reset_index(drop=True))
    # Sequences looked at in pieces of several, and one that is a piece by itself.
    monkeypatch.setattr("ntviz.motifs.scans._PIECE", 1500)
    pd.testing.assert_frame_equal(motifs.scan_many(sequences, chosen, p=1e-3), found)
    numbered = motifs.scan_many(list(sequences.values()), chosen, p=1e-3)
    pd.testing.assert_frame_equal(
        numbered.assign(sequence=numbered["sequence"].map(list(sequences).__getitem__)), found
    )


def test_nothing_matches_across_two_sequences_nor_where_nothing_is() -> None:
    assert motifs.scan_many(["CCGATT", "ACACC"], GATTACA, p=1e-3).empty
    found = motifs.scan_many(["GATTACA", "GATTACA"], GATTACA, p=1e-3)
    assert found[["sequence", "start", "end"]].values.tolist() == [[0, 0, 7], [1, 0, 7]]
    assert found.attrs["n_tests"] == 4
    empty = motifs.scan_many({"a": "N" * 30, "b": "ACGT"}, [GATTACA, SHORT], p=1e-3)
    assert (len(empty), empty.columns.tolist()) == (0, found.columns.tolist())
    assert empty.attrs == {"n_tests": 0, "expected": 0.0, "too_short": ("S",)}


def test_random_bases_have_the_matches_expected_and_seldom_a_small_q() -> None:
    # Known truth: nothing is there. Benjamini and Hochberg's rule at 0.05 then finds something in 1 of 20 runs.
    chosen = [random_motif(seed, 10, f"M{seed}") for seed in range(4)]
    sets = [[random_bases(97 * run + seed, 2000) for seed in range(5)] for run in range(60)]
    runs = [motifs.scan_many(texts, chosen, p=1e-3) for texts in sets]
    assert sum(map(len, runs)) == pytest.approx(sum(run.attrs["expected"] for run in runs), rel=0.08)
    # Of 60; 10 or more has a chance below 0.001.
    assert sum(bool((run["q"] <= 0.05).any()) for run in runs) <= 9


@pytest.fixture(scope="module")
def jaspar() -> Motifs:
    return motifs.read(data.bundle("motifs"))


@pytest.fixture(scope="module")
def genome() -> Reference:
    return Reference(data.bundle("chr20"))


def test_the_bundle(jaspar: Motifs) -> None:
    ctcf = jaspar["MA0139"]
    assert (len(jaspar), ctcf.id, ctcf.name, ctcf.nsites) == (1019, "MA0139.2", "CTCF", 913)
    assert {motif.id for motif in jaspar.named("CTCF")} == {"MA0139.2", "MA1929.2", "MA1930.2"}
    assert CTCF.search(ctcf.best_site)


def test_matches_of_ctcf_are_as_dense_as_expected(jaspar: Motifs, genome: Reference) -> None:
    region = Interval("chr20", 30_000_000, 33_000_000)
    found, by_chance = motifs.hits(genome, region, jaspar["MA0139"]), 2 * 1e-4 * len(region)
    # The genome holds its sites beside those that chance makes.
    assert by_chance < len(found) < 3 * by_chance
    best = found.nsmallest(50, "p")[["start", "end", "strand"]].itertuples(index=False)
    sites = [genome.fetch(Interval("chr20", *place)).sequence for place in best]
    assert sum(CTCF.search(site) is not None for site in sites) > 40


def test_hits_are_those_of_a_scan_and_elements(jaspar: Motifs, genome: Reference, monkeypatch) -> None:
    chosen, region = [jaspar["MA0139"], jaspar["MA0002"]], Interval("20", 30_000_000, 30_030_000)
    expected = motifs.scan(genome.fetch(region).sequence, chosen, p=1e-3)
    monkeypatch.setattr("ntviz.motifs.scans._PIECE", 997)
    found = motifs.hits(genome, Interval("20", 30_000_000, 30_030_000, "-"), chosen, p=1e-3)
    assert (found["start"] - region.start).tolist() == expected["start"].tolist()
    columns = ["strand", "score", "p", "motif"]
    pd.testing.assert_frame_equal(found[columns], expected[columns])
    assert set(found["element"]) == {"CTCF motif", "Runx1 motif"}
    monkeypatch.undo()
    pd.testing.assert_frame_equal(motifs.hits(genome, "20:30,000,001-30,030,000", chosen, p=1e-3), found)
    table = motifs.hits(genome, Interval("20", 30_000_000, 30_100_000), [jaspar["MA0139"], jaspar["MA0006"]])
    elements, (start, end) = annotation.from_table(table), table.loc[0, ["start", "end"]]
    assert (table.attrs["too_short"], elements.kinds) == (("MA0006.2",), ("CTCF motif",))
    inside = elements.indicator(Interval("chr20", start - 1, end), "CTCF motif")
    assert inside.tolist() == [False] + [True] * (end - start)
