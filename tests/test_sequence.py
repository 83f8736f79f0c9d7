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
    return Counter(text[i : i + k] for i in range(len(text) - k + 1))


@pytest.mark.parametrize(("text", "typed", "cleaned", "note"), [
    ("ACGT", None, ("ACGT", 0, 0, 0), ""),
    ("  acGTn\n", None, ("ACGTN", 3, 0, 1), "3 lower-case letters were upper-cased; 1 of 5 bases is N."),
    ("ACRYSWKMBDHVrGTN", False, ("ACNNNNNNNNNNNGTN", 1, 11, 12),
     "1 lower-case letter was upper-cased; 11 IUPAC letters or gaps became N; 12 of 16 bases are N."),
    ("AC-T*gxR", False, ("ACNTNGNN", 2, 4, 4),
     "2 lower-case letters were upper-cased; 4 IUPAC letters or gaps became N; 4 of 8 bases are N."),
    ("\nACGT ACGT\r\nacgt\n", True, ("ACGTACGTACGT", 4, 0, 0, 3),
     "3 spaces or line breaks were removed; 4 lower-case letters were upper-cased."),
    ("A C", True, ("AC", 0, 0, 0, 1), "1 space or line break was removed."),
])  # fmt: skip
def test_what_clean_changes_is_counted_and_said(text, typed, cleaned, note):
    for way in (True, False) if typed is None else (typed,):
        found = sequence.clean(text, typed=way)
        assert (found, found.note) == (sequence.Cleaned(*cleaned), note)


@pytest.mark.parametrize(("texts", "typed", "message"), [
    ([f"ac\ng{letter}t" for letter in sequence.IUPAC + sequence.IUPAC.lower()], True,
     r"received '[a-zA-Z]' at position 4\. Choose one of the bases"),
    ([f"AC{letter}T" for letter in sequence.GAPS], True, r"received '[-*X]' at position 3. .*write N where"),
    (["ACGU", "acgu"], None, "received '[Uu]' at position 4. Is it RNA"),
    ([">chr20"], None, "received '>' at position 1. Leave out the header line"),
    # Greek capital alpha looks like A.
    (["AC9T", "ACéT", "AC\u0391", "AC?E*"], None, r"received '[9é\u0391?]' at position 3. .*write N where the base is not known"),
    (["AC\nGT"], False, r"received '\\n' at position 3\. Join the lines"),
    ([" \n"], None, r"at least one base; received ' \\n'"),
])  # fmt: skip
def test_other_letters_are_refused_with_letter_and_position(texts, typed, message):
    for text, way in itertools.product(texts, (True, False) if typed is None else (typed,)):
        with pytest.raises(ValueError, match=message):
            sequence.clean(text, typed=way)


def test_clean_is_idempotent_and_equals_brute_force():
    rng = random.Random(3)
    for _ in range(300):
        text = _random(rng, rng.randint(1, 60), "ACGTNacgtnRYkm")
        cleaned = sequence.clean(text, typed=False)
        assert cleaned.sequence == "".join(c if c in "ACGTN" else "N" for c in text.upper())
        assert cleaned.lowered == sum(c.islower() for c in text)
        assert cleaned.ambiguous == sum(c in "RYKM" for c in text.upper())
        assert cleaned.n == cleaned.sequence.count("N")
        assert sequence.clean(cleaned.sequence, typed=True).sequence == cleaned.sequence


@pytest.mark.parametrize(("text", "error", "message"), [
    ("ArC", ValueError, "received 'r' at position 2. Pass the text through sequence.clean"),
    ("Aé", ValueError, "received 'é' at position 2"),
    ("", ValueError, "at least one base; received an empty one"),
    (None, TypeError, "must be text; received NoneType"),
])  # fmt: skip
@pytest.mark.parametrize("function", [
    sequence.require, sequence.reverse_complement, sequence.gc, sequence.one_hot, lambda text: sequence.shuffle(text, seed=0),
    lambda text: sequence.apply_variant(text, Interval("20", 0, 3), Variant("20", 1, "A", "C")),
])  # fmt: skip
def test_every_function_refuses_what_is_not_clean(function, text, error, message):
    with pytest.raises(error, match=message):
        function(text)
    with pytest.raises(TypeError, match="must be text; received bytes"):
        sequence.clean(b"ACGT", typed=False)  # ty: ignore[invalid-argument-type]


def test_reverse_complement_and_one_hot():
    assert sequence.reverse_complement("AACGTN") == "NACGTT"
    assert (sequence.gc("GGCA"), sequence.gc("GNNA")) == (0.75, 0.5) and np.isnan(sequence.gc("NN"))
    rng = random.Random(4)
    for _ in range(100):
        text = _random(rng, rng.randint(1, 50), "ACGTN")
        assert sequence.reverse_complement(sequence.reverse_complement(text)) == text
        pairs = dict(zip("ACGTN", "TGCAN", strict=True))
        assert sequence.reverse_complement(text) == "".join(pairs[c] for c in reversed(text))
        assert sequence.gc(sequence.reverse_complement(text)) == pytest.approx(sequence.gc(text), nan_ok=True)
    encoded = sequence.one_hot("ACGTN")
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, np.vstack([np.eye(4), np.zeros(4)]))
    # The reverse complement turns both axes around.
    turned = sequence.one_hot(sequence.reverse_complement("AACG"))
    np.testing.assert_array_equal(turned, sequence.one_hot("AACG")[::-1, ::-1])


@pytest.mark.parametrize("k", [1, 2, 3, 4, 6])
def test_shuffle_keeps_n_in_place_and_k_mer_counts_within_each_run(k):
    rng = random.Random(6)
    for seed in range(60):
        text = _random(rng, rng.randint(1, 400), ("AC", "ACGT", "ACGT" * 5 + "N")[seed % 3])
        shuffled = sequence.shuffle(text, k=k, seed=seed)
        assert [c == "N" for c in shuffled] == [c == "N" for c in text]
        runs = zip(text.split("N"), shuffled.split("N"), strict=True)
        for (before, after), length in itertools.product(runs, range(1, k + 1)):
            assert _words(after, length) == _words(before, length)


def test_shuffle_changes_the_sequence_and_follows_its_seed():
    text = _random(random.Random(8), 1000)
    for k in (1, 2, 3):
        assert sequence.shuffle(text, k=k, seed=1) == sequence.shuffle(text, k=k, seed=1)
        assert sequence.shuffle(text, k=k, seed=1) != sequence.shuffle(text, k=k, seed=2)
        shuffled = sequence.shuffle(text, k=k, seed=1)
        assert sum(a == b for a, b in zip(text, shuffled, strict=True)) < 400  # chance is 250 of 1,000
    assert sequence.shuffle(text, seed=1) == sequence.shuffle(text, k=2, seed=1)
    for text in ("A", "AC", "NNN", "ANC", "AAAA"):
        assert sequence.shuffle(text, k=2, seed=0) == text
    with pytest.raises(ValueError, match="k must be at least 1 base; received 0"):
        sequence.shuffle(text, k=0, seed=0)


@pytest.mark.parametrize(("text", "k"), [("AACAGACA", 2), ("AAACAAGAA", 3), ("ACACGCA", 2), ("AACCA", 1)])
def test_shuffle_draws_all_arrangements_equally_often(text, k):
    everything = {"".join(p) for p in itertools.permutations(text)}
    arrangements = {other for other in everything if _words(other, k) == _words(text, k)}
    draws = 200 * len(arrangements)
    counts = Counter(sequence.shuffle(text, k=k, seed=seed) for seed in range(draws))
    assert set(counts) == arrangements
    # Chi-square of a uniform draw: mean and variance by its degrees of freedom, bound at five standard deviations.
    chi_square = sum((count - 200) ** 2 / 200 for count in counts.values())
    freedom = len(arrangements) - 1
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)


def test_apply_variant_by_hand_and_by_editing_the_chromosome():
    # Forward AACG at 20:11-14; the sequence handed in is its reverse complement.
    interval = Interval("20", 10, 14, "-")
    assert sequence.apply_variant("CGTT", interval, Variant("20", 11, "A", "G")) == "CGTC"
    assert sequence.apply_variant("CGTT", interval, Variant("20", 13, "CG", "C")) == "GTT"
    interval = Interval("20", 0, 4)
    assert sequence.apply_variant("ACGT", interval, Variant("20", 1, "A", "C")) == "CCGT"
    assert sequence.apply_variant("ACGT", interval, Variant("20", 4, "T", "TA")) == "ACGTA"
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
        grown = Interval("20", interval.start, interval.end + len(alt) - len(ref), interval.strand)
        before, after = chromosome[interval.start : interval.end], edited[grown.start : grown.end]
        if interval.strand == "-":
            before, after = sequence.reverse_complement(before), sequence.reverse_complement(after)
        assert sequence.apply_variant(before, interval, variant) == after
        # Swapping the alleles takes it back.
        assert sequence.apply_variant(after, grown, Variant("20", pos, alt, ref)) == before


@pytest.mark.parametrize(("text", "variant", "message"), [
    ("ACGT", "20:1001:T>C", r"received 20:1001:T>C, where the sequence holds A\. Check that both"),
    ("ACGT", "20:1001:C>G", r"The REF fits at 1002: the position may count from 0"),
    ("NCGT", "20:1001:A>G", "where the sequence holds N"),
    ("ACGT", "20:1000:A>C", r"wholly inside the interval; .* outside\. Widen or move"),
    ("ACGT", "20:1005:A>C", r"wholly inside the interval; .* outside"),
    ("ACGT", "20:1004:TA>T", r"wholly inside the interval; .* outside"),
    ("ACGT", "21:1001:A>C", r"wholly inside the interval; .* another contig"),
    ("ACG", "20:1001:A>C", "received 3 bases for chr20:1,001-1,004, which has 4"),
])  # fmt: skip
def test_apply_variant_checks_ref_place_and_length(text, variant, message):
    with pytest.raises(ValueError, match=message):
        sequence.apply_variant(text, Interval("chr20", 1000, 1004), Variant.from_str(variant))
