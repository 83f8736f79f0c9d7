"""DNA strings: cleaning, strands, one-hot, shuffles that keep k-mers, and variants applied."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import numpy as np
import pytest

from ntviz.genome import Interval, Variant, sequence


def _random(rng: random.Random, length: int, letters: str = "ACGT") -> str:
    return "".join(rng.choices(letters, k=length))


def _words(text: str, k: int) -> Counter[str]:
    """k-mers without N, counted one by one."""
    words = (text[i : i + k] for i in range(len(text) - k + 1))
    return Counter(word for word in words if "N" not in word)


# --- clean -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", [True, False])
def test_clean_leaves_clean_sequences_alone_and_says_nothing(typed: bool) -> None:
    cleaned = sequence.clean("ACGT", typed=typed)
    assert cleaned == sequence.Cleaned("ACGT", lowered=0, ambiguous=0, n=0)
    assert cleaned.note == ""


@pytest.mark.parametrize("typed", [True, False])
def test_lower_case_is_upper_cased_and_reported(typed: bool) -> None:
    cleaned = sequence.clean("  acGTn\n", typed=typed)
    assert cleaned == sequence.Cleaned("ACGTN", lowered=3, ambiguous=0, n=1)
    assert cleaned.note == "3 lower-case letters were upper-cased; 1 of 5 bases is N."


def test_iupac_letters_of_a_file_become_n_and_are_counted() -> None:
    cleaned = sequence.clean("ACRYSWKMBDHVrGTN", typed=False)
    assert cleaned == sequence.Cleaned("ACNNNNNNNNNNNGTN", lowered=1, ambiguous=11, n=12)
    assert (
        cleaned.note
        == "1 lower-case letter was upper-cased; 11 IUPAC letters or gaps became N; 12 of 16 bases are N."
    )


@pytest.mark.parametrize("letter", list(sequence.IUPAC + sequence.IUPAC.lower()))
def test_iupac_letters_that_a_person_typed_are_refused(letter: str) -> None:
    with pytest.raises(ValueError, match=rf"received '{letter}' at position 4\. Choose one of the bases"):
        sequence.clean(f"ac\ng{letter}t", typed=True)


def test_pasted_blocks_are_joined_and_reported() -> None:
    cleaned = sequence.clean("\nACGT ACGT\r\nacgt\n", typed=True)
    assert cleaned.sequence == "ACGTACGTACGT"
    assert cleaned.whitespace == 3
    assert cleaned.note == "3 spaces or line breaks were removed; 4 lower-case letters were upper-cased."
    assert sequence.clean("A C", typed=True).note == "1 space or line break was removed."


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize(
    ("text", "letter", "position", "advice"),
    [
        ("ACGU", "U", 4, "Is it RNA"),
        ("acgu", "u", 4, "Is it RNA"),
        (">chr20", ">", 1, "Leave out the header line"),
        ("ACG9", "9", 4, "write N where"),
        ("ACéT", "é", 3, "write N where"),
        ("A\u0391C", "\u0391", 2, "write N where"),  # Greek capital alpha looks like A
        ("A?C", r"\?", 2, "write N where"),
        ("ACGE*", "E", 4, "write N where the base is not known"),
    ],
)
def test_other_letters_are_refused_with_letter_and_position(
    text: str, letter: str, position: int, advice: str, typed: bool
) -> None:
    with pytest.raises(ValueError, match=f"received '{letter}' at position {position}\\. .*{advice}"):
        sequence.clean(text, typed=typed)


def test_gaps_of_a_file_become_n_and_those_that_a_person_typed_are_refused() -> None:
    cleaned = sequence.clean("AC-T*gxR", typed=False)
    assert (cleaned.sequence, cleaned.ambiguous, cleaned.lowered) == ("ACNTNGNN", 4, 2)
    assert "4 IUPAC letters or gaps became N" in cleaned.note
    for letter in sequence.GAPS:
        with pytest.raises(ValueError, match=f"received '[{letter}]' at position 3. .*write N where"):
            sequence.clean(f"AC{letter}T", typed=True)


def test_whitespace_within_a_file_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match=r"received '\\n' at position 3\. Join the lines"):
        sequence.clean("AC\nGT", typed=False)


def test_clean_refuses_nothing_and_non_text() -> None:
    with pytest.raises(ValueError, match=r"at least one base; received ' \\n'"):
        sequence.clean(" \n", typed=True)
    with pytest.raises(TypeError, match="must be text; received bytes"):
        sequence.clean(b"ACGT", typed=False)  # ty: ignore[invalid-argument-type]


def test_clean_is_idempotent_and_equals_brute_force() -> None:
    rng = random.Random(3)
    for _ in range(300):
        text = _random(rng, rng.randint(1, 60), "ACGTNacgtnRYkm")
        cleaned = sequence.clean(text, typed=False)
        assert cleaned.sequence == "".join(c if c in "ACGTN" else "N" for c in text.upper())
        assert cleaned.lowered == sum(c.islower() for c in text)
        assert cleaned.ambiguous == sum(c in "RYKM" for c in text.upper())
        assert cleaned.n == cleaned.sequence.count("N")
        assert sequence.clean(cleaned.sequence, typed=True).sequence == cleaned.sequence


# --- strands, composition, one-hot -------------------------------------------------------------------------------


def test_require_returns_clean_sequences_and_refuses_others() -> None:
    assert sequence.require("ACGTN") == "ACGTN"
    with pytest.raises(
        ValueError, match=r"received 'a' at position 3\. Pass the text through sequence\.clean"
    ):
        sequence.require("ACa")
    with pytest.raises(ValueError, match="received 'é' at position 2"):
        sequence.require("Aé")
    with pytest.raises(ValueError, match="at least one base; received an empty one"):
        sequence.require("")
    with pytest.raises(TypeError, match="must be text; received NoneType"):
        sequence.require(None)  # ty: ignore[invalid-argument-type]


@pytest.mark.parametrize(
    "function",
    [
        sequence.reverse_complement,
        sequence.gc,
        sequence.one_hot,
        lambda s: sequence.shuffle(s, seed=0),
        lambda s: sequence.apply_variant(s, Interval("20", 0, 3), Variant("20", 1, "A", "C")),
    ],
)
def test_every_function_refuses_what_is_not_clean(function) -> None:
    with pytest.raises(ValueError, match="received 'r' at position 2"):
        function("ArC")


def test_reverse_complement() -> None:
    assert sequence.reverse_complement("AACGTN") == "NACGTT"
    rng = random.Random(4)
    for _ in range(100):
        text = _random(rng, rng.randint(1, 50), "ACGTN")
        assert sequence.reverse_complement(sequence.reverse_complement(text)) == text
        pairs = dict(zip("ACGTN", "TGCAN", strict=True))
        assert sequence.reverse_complement(text) == "".join(pairs[c] for c in reversed(text))
        assert sequence.gc(sequence.reverse_complement(text)) == pytest.approx(sequence.gc(text), nan_ok=True)


def test_gc() -> None:
    assert sequence.gc("GGCA") == 0.75
    assert sequence.gc("GNNA") == 0.5
    assert np.isnan(sequence.gc("NN"))


def test_one_hot_is_in_order_acgt_with_zero_rows_for_n() -> None:
    encoded = sequence.one_hot("ACGTN")
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, np.vstack([np.eye(4), np.zeros(4)]))
    # The reverse complement turns both axes around.
    np.testing.assert_array_equal(
        sequence.one_hot(sequence.reverse_complement("AACG")), sequence.one_hot("AACG")[::-1, ::-1]
    )


# --- shuffle -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3, 4, 6])
def test_shuffle_keeps_k_mer_counts_exactly(k: int) -> None:
    rng = random.Random(6)
    for seed in range(40):
        text = _random(rng, rng.randint(1, 400), "ACGT" if seed % 2 else "AC")
        shuffled = sequence.shuffle(text, k=k, seed=seed)
        for shorter in range(1, k + 1):
            assert _words(shuffled, shorter) == _words(text, shorter)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_shuffle_keeps_n_in_place_and_counts_within_each_run(k: int) -> None:
    rng = random.Random(7)
    for seed in range(40):
        text = _random(rng, 300, "ACGTACGTACGTACGTACGTN")
        shuffled = sequence.shuffle(text, k=k, seed=seed)
        assert [c == "N" for c in shuffled] == [c == "N" for c in text]
        for before, after in zip(text.split("N"), shuffled.split("N"), strict=True):
            assert _words(after, k) == _words(before, k)


def test_shuffle_changes_the_sequence_and_follows_its_seed() -> None:
    text = _random(random.Random(8), 1000)
    for k in (1, 2, 3):
        assert sequence.shuffle(text, k=k, seed=1) == sequence.shuffle(text, k=k, seed=1)
        assert sequence.shuffle(text, k=k, seed=1) != sequence.shuffle(text, k=k, seed=2)
        shuffled = sequence.shuffle(text, k=k, seed=1)
        assert sum(a == b for a, b in zip(text, shuffled, strict=True)) < 400  # chance is 250 of 1,000
    assert sequence.shuffle(text, seed=1) == sequence.shuffle(text, k=2, seed=1)


@pytest.mark.parametrize(("text", "k"), [("AACAGACA", 2), ("AAACAAGAA", 3), ("ACACGCA", 2), ("AACCA", 1)])
def test_shuffle_draws_all_arrangements_equally_often(text: str, k: int) -> None:
    everything = {"".join(p) for p in itertools.permutations(text)}
    arrangements = {other for other in everything if _words(other, k) == _words(text, k)}
    draws = 200 * len(arrangements)
    counts = Counter(sequence.shuffle(text, k=k, seed=seed) for seed in range(draws))
    assert set(counts) == arrangements
    # Chi-square of a uniform draw: mean and variance by its degrees of freedom, bound at five standard deviations.
    chi_square = sum((count - 200) ** 2 / 200 for count in counts.values())
    freedom = len(arrangements) - 1
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("text", ["A", "AC", "NNN", "ANC", "AAAA"])
def test_shuffle_of_what_cannot_move(text: str) -> None:
    assert sequence.shuffle(text, k=2, seed=0) == text


def test_shuffle_refuses_k_below_1() -> None:
    with pytest.raises(ValueError, match="k must be at least 1 base; received 0"):
        sequence.shuffle("ACGT", k=0, seed=0)


# --- apply_variant -----------------------------------------------------------------------------------------------


def test_apply_variant_equals_editing_the_chromosome() -> None:
    rng = random.Random(9)
    chromosome = _random(rng, 200, "ACGTACGTACGTN")
    for _ in range(500):
        start = rng.randint(0, 150)
        interval = Interval("20", start, start + rng.randint(8, 50), rng.choice("+-."))
        pos = rng.randint(interval.start + 1, interval.end - 3)
        ref = chromosome[pos - 1 : pos - 1 + rng.randint(1, 3)]
        alt = _random(rng, rng.randint(1, 4))
        if ref == alt:
            continue
        variant = Variant("chr20", pos, ref, alt)
        edited = chromosome[: variant.start] + alt + chromosome[variant.end :]
        before, after = (
            chromosome[interval.start : interval.end],
            edited[interval.start : interval.end + len(alt) - len(ref)],
        )
        if interval.strand == "-":
            before, after = sequence.reverse_complement(before), sequence.reverse_complement(after)
        assert sequence.apply_variant(before, interval, variant) == after
        # Swapping the alleles takes it back.
        grown = Interval("20", interval.start, interval.end + len(alt) - len(ref), interval.strand)
        assert sequence.apply_variant(after, grown, Variant("20", pos, alt, ref)) == before


def test_apply_variant_on_the_minus_strand_by_hand() -> None:
    # Forward AACG at 20:11-14; the sequence handed in is its reverse complement.
    interval = Interval("20", 10, 14, "-")
    assert sequence.apply_variant("CGTT", interval, Variant("20", 11, "A", "G")) == "CGTC"
    assert sequence.apply_variant("CGTT", interval, Variant("20", 13, "CG", "C")) == "GTT"


def test_apply_variant_reaches_both_ends() -> None:
    interval = Interval("20", 0, 4)
    assert sequence.apply_variant("ACGT", interval, Variant("20", 1, "A", "C")) == "CCGT"
    assert sequence.apply_variant("ACGT", interval, Variant("20", 4, "T", "TA")) == "ACGTA"


def test_apply_variant_checks_ref() -> None:
    interval = Interval("chr20", 1000, 1004)
    with pytest.raises(
        ValueError, match=r"received chr20:1001:T>C, where the sequence holds A\. Check that both"
    ):
        sequence.apply_variant("ACGT", interval, Variant("chr20", 1001, "T", "C"))
    with pytest.raises(ValueError, match=r"The REF fits at 1002: the position may count from 0"):
        sequence.apply_variant("ACGT", interval, Variant("chr20", 1001, "C", "G"))
    with pytest.raises(ValueError, match="where the sequence holds N"):
        sequence.apply_variant("NCGT", interval, Variant("chr20", 1001, "A", "G"))


def test_apply_variant_checks_place_and_length() -> None:
    interval = Interval("chr20", 1000, 1004)
    for variant in (
        Variant("20", 1000, "A", "C"),
        Variant("20", 1005, "A", "C"),
        Variant("20", 1004, "TA", "T"),
    ):
        with pytest.raises(ValueError, match=r"wholly inside the interval; .* outside\. Widen or move"):
            sequence.apply_variant("ACGT", interval, variant)
    with pytest.raises(ValueError, match=r"wholly inside the interval; .* another contig"):
        sequence.apply_variant("ACGT", interval, Variant("21", 1001, "A", "C"))
    with pytest.raises(ValueError, match="received 3 bases for chr20:1,001-1,004, which has 4"):
        sequence.apply_variant("ACG", interval, Variant("20", 1001, "A", "C"))
