"""Vocabularies, tokenization against a plain loop and transformers, the token-base map, and base marginals."""

from __future__ import annotations

import hashlib
import itertools
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ntviz.genome import Interval
from ntviz.genome.sequence import clean, reverse_complement
from ntviz.tokens import (
    VOCABULARIES,
    Tokenizer,
    Tokens,
    Vocabulary,
    base_log_probs,
    kmer_base_log_probs,
    kmer_base_probs,
)
from ntviz.tokens.vocabulary import HYENADNA

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = list(VOCABULARIES)


def _random(rng: random.Random, longest: int, n_share: float) -> str:
    weights = [1 - n_share] * 4 + [4 * n_share]
    return "".join(rng.choices("ACGTN", weights, k=rng.randint(1, longest)))


def _plain(sequence: str, k: int, phase: int = 0) -> list[str]:
    """The published rule, base by base: the reference that the fast path must equal."""
    tokens = list(sequence[:phase])
    at = phase
    while at < len(sequence):
        word = sequence[at : at + k]
        # A k-mer needs k bases before the next N; what is left of a run goes letter by letter.
        tokens.append(word if len(word) == k and "N" not in word else sequence[at])
        at += len(tokens[-1])
    return tokens


# --- vocabularies ------------------------------------------------------------------------------------------------


def test_published_vocabularies_byte_for_byte():
    digests = {name: hashlib.sha256(VOCABULARIES[name].to_text().encode()).hexdigest() for name in NAMES}
    assert digests["nt-v1"] == "f1b544e27897936b50bbd925850fa8a08b421c33bb9c26e3711c140c061d0d4c"
    assert digests["nt-v2"] == "c00e0ad166d6ab3f7540ebc92270392e581bb3106763412f29034b49323e1052"
    assert len(VOCABULARIES["nt-v2"].to_text()) == 28_718
    for name, folder in (("nt-v1", "nt_v1_tiny"), ("nt-v2", "nt_v2_tiny")):
        path = FIXTURES / folder / "vocab.txt"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digests[name]
        assert Vocabulary.from_file(path) is VOCABULARIES[name]


@pytest.mark.parametrize(
    ("name", "n_ids", "n_logits", "known"),
    [
        ("nt-v1", 4107, 4105, "<unk> 0 <pad> 1 <mask> 2 <cls> 3 AAAAAA 4 AAAAAT 5 GGGGGG 4099 A 4100 T 4101 C 4102 G 4103 N 4104 <eos> 4105"),
        ("nt-v2", 4107, 4107, "<cls> 3 <eos> 4 <bos> 5 AAAAAA 6 GGGGGG 4101 A 4102 T 4103 C 4104 G 4105 N 4106"),
        ("nt-3mer", 75, 75, "<bos> 5 AAA 6 AAT 7 GGG 69 A 70 T 71 C 72 G 73 N 74"),
        ("single-base", 11, 11, "<unk> 0 <pad> 1 <mask> 2 <cls> 3 <eos> 4 <bos> 5 A 6 T 7 C 8 G 9 N 10"),
    ],
)  # fmt: skip
def test_ids_sizes_and_slices(name: str, n_ids: int, n_logits: int, known: str, tmp_path: Path):
    vocabulary = VOCABULARIES[name]
    for token, index in zip(known.split()[::2], known.split()[1::2], strict=True):
        assert vocabulary.id_of(token) == int(index)
        assert vocabulary.token_of(int(index)) == token
    assert (vocabulary.n_ids, len(vocabulary), vocabulary.n_logits) == (n_ids, n_ids, n_logits)
    assert (vocabulary.unk_id, vocabulary.pad_id, vocabulary.mask_id) == (0, 1, 2)
    assert vocabulary.cls_id == (None if name == "single-base" else 3)
    assert len(set(vocabulary.tokens)) == n_ids
    kmers = vocabulary.tokens[vocabulary.kmer_ids]
    assert kmers == tuple("".join(p) for p in itertools.product("ATCG", repeat=vocabulary.k))
    # Base codes count A, C, G, T, whatever the order of the ids.
    assert ["".join("ACGT"[c] for c in row) for row in vocabulary.kmer_base_codes] == list(kmers)
    assert [vocabulary.tokens[i] for i in vocabulary.single_ids] == list("ACGT")
    assert vocabulary.tokens[vocabulary.n_id] == "N"
    assert repr(vocabulary) == f"Vocabulary({name!r}, k={vocabulary.k}, {n_ids:,} tokens)"
    text = vocabulary.to_text()
    for written in (text, text.replace("\n", "\r\n") + "\r\n"):
        (tmp_path / "vocab.txt").write_bytes(written.encode())
        assert Vocabulary.from_file(tmp_path / "vocab.txt") is vocabulary


def test_vocabulary_refuses_unknown_tokens_and_ids():
    vocabulary = VOCABULARIES["nt-v1"]
    for token in ("AAA", "AAAAAN", "acgtac", "<sep>", ""):
        with pytest.raises(ValueError, match=rf"A token of nt-v1 must be a 6-mer.*received '{token}'"):
            vocabulary.id_of(token)
    for index in (-1, 4107):
        with pytest.raises(ValueError, match=rf"must be in 0 to 4,106; received {index}"):
            vocabulary.token_of(index)


V1, V2 = (list(VOCABULARIES[name].tokens) for name in ("nt-v1", "nt-v2"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*V1[:100], V1[101], V1[100], *V1[102:]], r"with 4,107 tokens\. The nearest is nt-v1 .*: at id 100 it has 'AATCAA', the file 'AATCAT'"),
        (V2[:-1], "nearest is nt-v2 with 4,107: at id 4,106 it has 'N', the file no more tokens"),
        ([*V1, "<extra>"], "nt-v1 with 4,107: at id 4,107 it has no more tokens, the file '<extra>'"),
        ([], "with 0 tokens"),
        ([bytes(range(128, 256)).decode("latin-1")], "with 1 tokens"),
    ],
)  # fmt: skip
def test_unknown_vocabulary_files_are_refused(words, message, tmp_path: Path):
    path = tmp_path / "vocab.txt"
    with pytest.raises(FileNotFoundError, match=r"there is no file .*vocab\.txt'\. Copy vocab\.txt"):
        Vocabulary.from_file(path)
    path.write_bytes("\n".join(words).encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        Vocabulary.from_file(path)


# --- tokenizing --------------------------------------------------------------------------------------------------


def test_examples_of_the_published_tokenizers():
    assert Tokenizer("nt-v1")("ATTCCGATTCCGATTCCG").ids.tolist() == [3, 367, 367, 367]
    assert Tokenizer("nt-v2")("ATTCCGATTCCGATTCCG").ids.tolist() == [3, 369, 369, 369]
    assert len(Tokenizer("nt-v1")("A" * 251)) == 1 + 41 + 5
    assert Tokenizer("single-base")("ATCGN").ids.tolist() == [6, 7, 8, 9, 10]
    tokens = Tokenizer("nt-v2")("ATTCCGANNATTCCGC")
    assert tokens.strings == ["<cls>", "ATTCCG", "A", "N", "N", "ATTCCG", "C"]
    assert tokens.spans.tolist() == [[0, 0], [0, 6], [6, 7], [7, 8], [8, 9], [9, 15], [15, 16]]
    assert tokens.is_special.tolist() == [True] + [False] * 6
    assert tokens.is_kmer.tolist() == [False, True, False, False, False, True, False]
    assert tokens.is_n.tolist() == [False, False, False, True, True, False, False]
    assert (tokens.ids.dtype, tokens.spans.dtype) == (np.int64, np.int64)
    assert repr(tokens) == "Tokens(7 tokens of nt-v2 over 16 bp)"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_share", [0.0, 0.01, 0.1, 0.5])
def test_fast_path_equals_plain_loop_in_every_phase(name: str, n_share: float):
    tokenizer = Tokenizer(name)
    vocabulary = tokenizer.vocabulary
    rng = random.Random(2)
    for _ in range(150):
        sequence = _random(rng, 90, n_share)
        for phase in range(vocabulary.k):
            tokens = tokenizer(sequence, phase=phase)
            expected = _plain(sequence, vocabulary.k, phase)
            specials = [] if vocabulary.cls_id is None else ["<cls>"]
            assert tokens.strings == specials + expected
            assert "".join(tokens.strings[len(specials) :]) == sequence
            assert tokens.is_special.tolist() == [True] * len(specials) + [False] * len(expected)
            assert tokens.is_kmer.tolist() == [
                not t.startswith("<") and "N" not in t and len(t) == vocabulary.k for t in tokens.strings
            ]
            assert tokens.is_n.tolist() == [t == "N" for t in tokens.strings]


@pytest.mark.parametrize("name", NAMES)
def test_every_sequence_of_up_to_seven_letters(name: str):
    """No corner of runs, remainders and N is left to chance."""
    tokenizer = Tokenizer(name)
    for length in range(1, 8):
        for letters in itertools.product("AN" if length > 4 else "ACGTN", repeat=length):
            sequence = "".join(letters)
            tokens = tokenizer(sequence)
            assert tokens.strings[tokens.vocabulary.n_special :] == _plain(sequence, tokens.vocabulary.k)


@pytest.fixture(scope="module")
def esm_tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Transformers' tokenizer over vocab.txt as we write it, with the settings of the published repositories."""
    from transformers import EsmTokenizer

    made = {}
    for name in ("nt-v1", "nt-v2", "nt-3mer"):
        folder = tmp_path_factory.mktemp(name)
        (folder / "vocab.txt").write_bytes(VOCABULARIES[name].to_text().encode())
        for settings in ("tokenizer_config.json", "special_tokens_map.json"):
            (folder / settings).write_bytes((FIXTURES / "nt_v2_tiny" / settings).read_bytes())
        made[name] = EsmTokenizer.from_pretrained(folder)
        made[name].model_max_length = 100_000
    return made


@pytest.mark.parametrize("name", ["nt-v1", "nt-v2", "nt-3mer"])
def test_ids_equal_those_of_transformers(name: str, esm_tokenizers: dict):
    reference, tokenizer = esm_tokenizers[name], Tokenizer(name)
    rng = random.Random(3)
    sequences = [_random(rng, 100, n_share) for n_share in (0.0, 0.02, 0.1, 0.4) for _ in range(300)]
    sequences += [_random(rng, 2000, 0.01) for _ in range(20)]
    sequences += ["A", "N", "NN", "ACGTAC", "ACGTACN", "NACGTAC", "N" * 50]
    for sequence, expected in zip(sequences, reference(sequences)["input_ids"], strict=True):
        assert tokenizer(sequence).ids.tolist() == expected


def test_padded_batches_equal_those_of_transformers(esm_tokenizers: dict):
    rng = random.Random(4)
    for name, reference in esm_tokenizers.items():
        tokenizer = Tokenizer(name)
        sequences = [_random(rng, 60, 0.05) for _ in range(9)]
        expected = reference(sequences, padding=True, return_tensors="np")
        batch = tokenizer.batch([tokenizer(sequence) for sequence in sequences])
        np.testing.assert_array_equal(batch.input_ids, expected["input_ids"])
        np.testing.assert_array_equal(batch.attention_mask, expected["attention_mask"])
        assert batch.input_ids.dtype == batch.attention_mask.dtype == np.int64


def test_soft_masked_text_keeps_its_tokens_after_cleaning_where_transformers_loses_them(esm_tokenizers):
    text, tokenizer = "ACGTACacgtacgtACGTAC", Tokenizer("nt-v2")
    assert 0 in esm_tokenizers["nt-v2"](text)["input_ids"]
    cleaned = tokenizer(clean(text, typed=False).sequence)
    assert cleaned.ids.tolist() == tokenizer(text.upper()).ids.tolist()


@pytest.mark.parametrize(
    ("text", "letter", "position"),
    [("ACGa", "a", 4), ("RACG", "R", 1), ("AC GT", " ", 3), ("AC<mask>", "<", 3), ("ÀC", "À", 1)],
)
def test_tokenizer_refuses_what_is_not_clean(text: str, letter: str, position: int):
    tokenizer, message = (Tokenizer("nt-v1"), rf"received '{letter}' at position {position}\. .*sequence\.clean")
    with pytest.raises(ValueError, match=message):
        tokenizer(text)
    with pytest.raises(ValueError, match="at least one base; received an empty one"):
        tokenizer("")
    with pytest.raises(TypeError, match="must be text; received bytes"):
        tokenizer(b"ACGT")  # ty: ignore[invalid-argument-type]


@pytest.mark.parametrize(
    ("name", "phase", "message"),
    [
        ("nt-v3", 0, "one of nt-v1, nt-v2, nt-3mer, single-base; received 'nt-v3'"),
        ("nt-v2", -1, "The phase of nt-v2 must be in 0 to 5; received -1"),
        ("nt-v2", 6, "The phase of nt-v2 must be in 0 to 5; received 6"),
        ("single-base", 1, "The phase of single-base must be in 0 to 0; received 1"),
    ],
)
def test_tokenizer_refuses_unknown_vocabularies_and_phases(name, phase, message):
    with pytest.raises(ValueError, match=message):
        Tokenizer(name)("ACGT", phase=phase)


def test_token_limit_is_exact_and_named_in_tokens_and_bp():
    assert VOCABULARIES["nt-v1"].max_bases(1000) == 5994
    assert VOCABULARIES["nt-v2"].max_bases(2048) == 12_282
    assert VOCABULARIES["single-base"].max_bases(128) == 128
    tokenizer = Tokenizer("nt-v1")
    assert len(tokenizer("A" * 5994, max_tokens=1000)) == 1000
    message = r"fit into 1,000 tokens \(5,994 bp at 6 bp a token\); received 1,001 tokens \(5,995 bp\)"
    with pytest.raises(ValueError, match=message):
        tokenizer("A" * 5995, max_tokens=1000)
    with pytest.raises(ValueError, match=r"received 1,004 tokens \(5,993 bp\)"):
        tokenizer("A" * 5993, max_tokens=1000)  # the five bases left over are five tokens


# --- tokens and bases --------------------------------------------------------------------------------------------


def _cases(name: str) -> list[Tokens]:
    rng, tokenizer = random.Random(5), Tokenizer(name)
    k = tokenizer.vocabulary.k
    return [tokenizer(_random(rng, 80, share), phase=rng.randrange(k)) for share in [0.0, 0.02, 0.2, 0.9] * 15]


@pytest.mark.parametrize("name", NAMES)
def test_spans_tile_the_sequence_and_map_back(name: str):
    for tokens in _cases(name):
        covered = []
        for index in range(len(tokens)):
            start, end = tokens.bases_of(index)
            assert (start, end) == tuple(tokens.spans[index])
            if tokens.is_special[index]:
                assert (start, end) == (0, 0)
                continue
            assert tokens.sequence[start:end] == tokens.strings[index]
            covered += range(start, end)
            for base in range(start, end):
                assert tokens.token_at(base) == index  # token to base to token
        assert covered == list(range(len(tokens.sequence)))
        every = np.arange(len(tokens.sequence))
        np.testing.assert_array_equal(tokens.token_at(every), [tokens.token_at(int(base)) for base in every])
        np.testing.assert_array_equal(tokens.to_bases(np.arange(len(tokens))), tokens.token_at(every))


@pytest.mark.parametrize("name", NAMES)
def test_values_survive_token_to_base_to_token_and_reductions_equal_brute_force(name: str):
    rng = np.random.default_rng(7)
    functions = {"any": (np.any, False), "sum": (np.sum, 0), "mean": (np.mean, np.nan), "max": (np.max, np.nan)}
    for tokens in _cases(name):
        n, special = len(tokens.sequence), tokens.is_special
        for values in (rng.normal(size=len(tokens)), rng.normal(size=(len(tokens), 3)).astype(np.float32)):
            bases = tokens.to_bases(values)
            assert bases.shape == (n, *values.shape[1:])
            for reduce in ("mean", "max"):
                back = tokens.from_bases(bases, reduce=reduce)
                assert back.dtype == values.dtype
                np.testing.assert_allclose(back[~special], values[~special], rtol=1e-6)
                assert np.isnan(back[special]).all()
        flags = rng.random(len(tokens)) < 0.5
        np.testing.assert_array_equal(tokens.from_bases(tokens.to_bases(flags), reduce="any"), flags & ~special)
        for values in (rng.integers(-3, 4, n), rng.normal(size=(n, 2)), rng.random(n) < 0.3):
            for reduce, (function, nothing) in functions.items():
                expected = [
                    np.full(values.shape[1:], nothing) if left_out else function(values[start:end], axis=0)
                    for (start, end), left_out in zip(tokens.spans, special, strict=True)
                ]
                reduced = tokens.from_bases(values, reduce=reduce)
                np.testing.assert_allclose(reduced, np.array(expected))
                kinds = {"any": "b", "sum": "f" if values.dtype.kind == "f" else "i"}
                assert reduced.dtype.kind == kinds.get(reduce, "f")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda tokens: tokens.token_at(-1), r"A base must lie in the sequence, 0 to 7; received -1\."),
        (lambda tokens: tokens.token_at(np.array([0, 8])), r"A base must lie in the sequence, 0 to 7; received 8\."),
        (lambda tokens: tokens.token_at(1.0), "must be a 0-based integer; received float64"),
        (lambda tokens: tokens.bases_of(-1), "A token index must be in 0 to 3; received -1"),
        (lambda tokens: tokens.bases_of(4), "A token index must be in 0 to 3; received 4"),
        (lambda tokens: tokens.to_bases(np.zeros(8)), r"each of the 4 tokens, special ones .*; received shape \[8\]"),
        (lambda tokens: tokens.from_bases(np.zeros(4)), r"each of the 8 bases; received shape \[4\]"),
        (lambda tokens: tokens.from_bases(np.zeros(8), reduce="median"), "received 'median'"),
        (lambda tokens: tokens.on(Interval("20", 100, 107)), "received 20:101-107 with 7 bp for 8 bases"),
    ],
)
def test_map_refuses(ask, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ask(Tokenizer("nt-v1")("ACGTACGT"))


def test_tokens_on_the_genome():
    tokens = Tokenizer("nt-v1")("ACGTACGN")
    assert tokens.on(Interval("20", 100, 108)).tolist() == [[100, 100], [100, 106], [106, 107], [107, 108]]
    minus = [[108, 108], [102, 108], [101, 102], [100, 101]]
    assert tokens.on(Interval("20", 100, 108, "-")).tolist() == minus
    assert tokens.on(Interval("20", -2, 6)).tolist()[1] == [-2, 4]


@pytest.mark.parametrize("name", NAMES)
def test_genome_spans_hold_the_bases_of_the_tokens(name: str):
    rng = random.Random(8)
    chromosome = "".join(rng.choices("ACGTN", [5, 5, 5, 5, 1], k=300))
    for strand in "+-.":
        interval = Interval("20", 50, 200, strand)
        forward = chromosome[50:200]
        tokens = Tokenizer(name)(reverse_complement(forward) if strand == "-" else forward)
        for string, (start, end), special in zip(tokens.strings, tokens.on(interval), tokens.is_special, strict=True):
            bases = chromosome[start:end]
            if special:
                assert bases == ""
            else:
                assert (reverse_complement(bases) if strand == "-" else bases) == string


def test_arrays_are_read_only():
    tokens = Tokenizer("nt-v1")("ACGTACG")
    arrays = tokens.ids, tokens.spans, tokens.is_special, tokens.is_kmer, tokens.is_n
    for array in (*arrays, tokens.vocabulary.single_ids, tokens.vocabulary.kmer_base_codes):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


# --- base marginals ----------------------------------------------------------------------------------------------


def _plain_marginals(tokens: Tokens, scores: np.ndarray) -> np.ndarray:
    """Sums over the k-mers of the vocabulary, one by one."""
    vocabulary = tokens.vocabulary
    result = np.full((len(tokens.sequence), 4), np.nan)
    for (start, end), row in zip(tokens.spans, scores.astype(np.float64), strict=True):
        if start == end or tokens.sequence[start] == "N":
            continue
        # Ids of as many letters as the token covers, and nothing else.
        words = enumerate(vocabulary.tokens)
        candidates = [i for i, word in words if len(word) == end - start and set(word) <= set("ACGT")]
        total = np.logaddexp.reduce(row[candidates])
        for place in range(end - start):
            for column, base in enumerate("ACGT"):
                matching = [i for i in candidates if vocabulary.tokens[i][place] == base]
                result[start + place, column] = np.logaddexp.reduce(row[matching]) - total
    return result


@pytest.mark.parametrize("name", NAMES)
def test_base_log_probs_equal_brute_force(name: str):
    rng = np.random.default_rng(9)
    tokens = Tokenizer(name)("ACGTACGTACGTANNCGTACGA")
    scores = rng.normal(scale=5, size=(len(tokens), tokens.vocabulary.n_logits))
    marginals = base_log_probs(tokens, scores)
    np.testing.assert_allclose(marginals, _plain_marginals(tokens, scores), atol=1e-10)
    is_n = np.array(list(tokens.sequence)) == "N"
    assert np.isnan(marginals[is_n]).all()
    np.testing.assert_allclose(np.exp(marginals[~is_n]).sum(axis=1), 1)
    # Logits and log probabilities say the same.
    shifted = scores + rng.normal(size=(len(tokens), 1))
    np.testing.assert_allclose(base_log_probs(tokens, shifted), marginals, atol=1e-10)
    single = base_log_probs(tokens, scores.astype(np.float32))
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, marginals, atol=1e-4)


def test_base_log_probs_known_answers():
    tokenizer = Tokenizer("nt-v1")
    vocabulary = tokenizer.vocabulary
    tokens = tokenizer("ACGTACG")
    scores = np.full((3, 4105), -np.inf)
    scores[1, vocabulary.id_of("ACGTAC")] = np.log(0.75)
    scores[1, vocabulary.id_of("ACGTAT")] = np.log(0.25)
    scores[2, vocabulary.single_ids] = np.log([0.1, 0.2, 0.3, 0.4])
    probabilities = np.exp(base_log_probs(tokens, scores))
    expected = np.eye(4)[[0, 1, 2, 3, 0, 0]]
    expected[5] = [0, 0.75, 0, 0.25]
    np.testing.assert_allclose(probabilities, np.vstack([expected, [0.1, 0.2, 0.3, 0.4]]), atol=1e-12)
    # Flat scores are flat bases, and far apart ones do not underflow.
    np.testing.assert_allclose(base_log_probs(tokens, np.zeros((3, 4105))), np.log(0.25))
    scores = np.full((3, 4105), -5000.0)
    scores[1, vocabulary.id_of("AAAAAA")] = 0
    marginals = base_log_probs(tokens, scores)
    np.testing.assert_allclose(marginals[0], [0, *[np.log(4**5) - 5000] * 3], atol=1e-9)


def test_base_log_probs_follow_the_sequence_when_ids_are_masked():
    tokens = Tokenizer("nt-3mer")("ACGTN")
    masked = replace(tokens, ids=np.full(len(tokens), tokens.vocabulary.mask_id))
    scores = np.random.default_rng(10).normal(size=(len(tokens), 75))
    np.testing.assert_array_equal(base_log_probs(masked, scores), base_log_probs(tokens, scores))


def test_base_log_probs_of_many_tokens_equal_those_of_few():
    """Long sequences go through in blocks."""
    rng = np.random.default_rng(11)
    tokens = Tokenizer("nt-3mer")("".join(rng.choice(list("ACGT"), 3000)))
    scores = rng.normal(size=(len(tokens), 75)).astype(np.float32)
    marginals = base_log_probs(tokens, scores)
    for first in (0, 256, 999):
        part = slice(3 * first, 3 * first + 3)
        few = base_log_probs(Tokenizer("nt-3mer")(tokens.sequence[part]), scores[[0, first + 1]])
        np.testing.assert_allclose(marginals[part], few)


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_quick_base_probabilities_equal_the_exact_ones(k: int):
    scores = np.random.default_rng(k).normal(size=(5, 4**k)) * 6
    quick = kmer_base_probs(scores, k)
    assert quick.shape == (5, k, 4)
    np.testing.assert_allclose(quick, np.exp(kmer_base_log_probs(scores, k)), atol=2e-6)


def test_base_log_probs_refuse_other_shapes():
    tokens = Tokenizer("nt-v1")("ACGTAC")
    for shape in ((2, 4107), (1, 4105), (3, 4105), (4105,)):
        with pytest.raises(ValueError, match=r"\[token, logit\] = \[2, 4,105\] for nt-v1; received \["):
            base_log_probs(tokens, np.zeros(shape))


def test_tokens_of_one_base_give_their_own_base_whatever_the_order_of_ids():
    for vocabulary in (HYENADNA, VOCABULARIES["single-base"]):
        tokens = Tokenizer(vocabulary)("ACGTN")
        scores = np.full((len(tokens), vocabulary.n_logits), -50.0)
        scores[np.arange(len(tokens)), np.minimum(tokens.ids, vocabulary.n_logits - 1)] = 0
        np.testing.assert_allclose(np.exp(base_log_probs(tokens, scores))[:4], np.eye(4), atol=1e-6)
        assert np.isnan(base_log_probs(tokens, scores)[4]).all()
