"""Tokens of a byte-pair encoding: against the bases, against the definition, and against bad files."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from peer_files import random_sequence

from ntviz.tokens import base_log_probs
from ntviz.tokens.bpe import SPECIALS, BPETokenizer, BPEVocabulary

TINY = Path(__file__).parent / "fixtures" / "dnabert2_tiny"


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.from_file(TINY / "tokenizer.json")


@pytest.fixture
def copy(tmp_path):
    target = tmp_path / "checkpoint"
    shutil.copytree(TINY, target)
    return target


def retoken(directory: Path, change) -> Path:
    content = json.loads((directory / "tokenizer.json").read_text())
    change(content)
    (directory / "tokenizer.json").write_text(json.dumps(content))
    return directory


def test_tokens_of_random_sequences_tile_them(tokenizer):
    rng = np.random.default_rng(7)
    for seed in range(1000):
        letters = "ACGTN" if seed % 2 else "ACGT"
        sequence = random_sequence(int(rng.integers(1, 120)), seed, letters)
        tokens = tokenizer(sequence)
        covering = tokens.spans[~tokens.is_special]
        assert covering[0, 0] == 0
        assert covering[-1, 1] == len(sequence)
        assert (covering[1:, 0] == covering[:-1, 1]).all()
        assert "".join(sequence[start:end] for start, end in tokens.spans) == sequence
        for text, (start, end) in zip(tokens.strings[1:-1], covering.tolist(), strict=True):
            assert sequence[start:end] == ("N" if text == "[UNK]" else text)


def test_bases_to_tokens_and_back(tokenizer):
    sequence = random_sequence(300, 3, "ACGTN")
    tokens = tokenizer(sequence)
    for base in range(len(sequence)):
        start, end = tokens.bases_of(tokens.token_at(base))
        assert start <= base < end
    np.testing.assert_array_equal(tokens.to_bases(np.arange(len(tokens))), tokens.token_at(np.arange(300)))
    np.testing.assert_array_equal(
        tokens.from_bases(np.ones(300, int), reduce="sum"), np.diff(tokens.spans)[:, 0]
    )


def test_special_tokens_cover_nothing(tokenizer):
    tokens = tokenizer("ACGTNNT")
    assert tokens.is_special.tolist() == [True] + [False] * (len(tokens) - 2) + [True]
    assert tokens.strings[0] == "[CLS]"
    assert tokens.strings[-1] == "[SEP]"
    assert tokens.spans[[0, -1]].tolist() == [[0, 0], [0, 0]]
    assert tokens.strings[-4:-1] == ["[UNK]", "[UNK]", "T"]
    assert tokens.is_n.sum() == 2


def test_words_are_merged_in_the_order_of_the_file(tokenizer):
    """The library against the definition: the earliest merge that fits somewhere is applied, until none does."""
    merges = [tuple(m.split()) for m in json.loads((TINY / "tokenizer.json").read_text())["model"]["merges"]]
    for seed in range(20):
        sequence = random_sequence(80, seed)
        words = list(sequence)
        while True:
            pairs = list(itertools.pairwise(words))
            rank = min((merges.index(pair) for pair in pairs if pair in merges), default=None)
            if rank is None:
                break
            at = pairs.index(merges[rank])
            words[at : at + 2] = ["".join(merges[rank])]
        assert tokenizer(sequence).strings[1:-1] == words


def test_runs_of_n_may_be_one_token(copy):
    retoken(copy, lambda content: content["model"].update(fuse_unk=True))
    tokenizer = BPETokenizer.from_file(copy / "tokenizer.json")
    tokens = tokenizer("ANNNC")
    assert tokens.spans.tolist() == [[0, 0], [0, 1], [1, 4], [4, 5], [0, 0]]
    assert tokens.is_n.tolist() == [False, False, True, False, False]
    assert tokenizer.vocabulary.name != BPETokenizer.from_file(TINY / "tokenizer.json").vocabulary.name


def test_the_vocabulary(tokenizer):
    vocabulary = tokenizer.vocabulary
    assert isinstance(vocabulary, BPEVocabulary)
    assert vocabulary.tokens[:9] == (*SPECIALS, "A", "C", "G", "T")
    assert len(vocabulary) == vocabulary.n_ids == vocabulary.n_logits == 200
    special = [getattr(vocabulary, f"{name}_id") for name in ("unk", "cls", "sep", "pad", "mask")]
    assert special == [0, 1, 2, 3, 4]
    assert vocabulary.tokens[vocabulary.id_of("TT")] == "TT"
    assert vocabulary.name.startswith("bpe-200-")
    assert repr(tokenizer) == f"BPETokenizer({vocabulary.name!r})"
    assert repr(vocabulary) == f"BPEVocabulary({vocabulary.name!r}, k=1, 200 tokens)"
    with pytest.raises(ValueError, match="must be one of its 200 words .*received 'TTTTTTTTTTTTTTT'"):
        vocabulary.id_of("T" * 15)


def test_probabilities_of_bases_are_refused(tokenizer):
    tokens = tokenizer("ACGTACGT")
    with pytest.raises(ValueError, match="must come from a vocabulary of k-mers; received the words"):
        base_log_probs(tokens, np.zeros((len(tokens), 200)))


def test_merges_may_be_written_as_pairs(copy):
    """A version of the library writes "A B", another ["A", "B"]: one vocabulary, one name."""

    def pair(content):
        content["model"]["merges"] = [merge.split() for merge in content["model"]["merges"]]

    retoken(copy, pair)
    one, other = (BPETokenizer.from_file(path / "tokenizer.json") for path in (copy, TINY))
    assert one.vocabulary == other.vocabulary
    assert one(random_sequence(50)).ids.tolist() == other(random_sequence(50)).ids.tolist()


def test_a_file_saved_with_a_limit_loses_no_base(copy):
    def limit(content):
        content["truncation"] = {
            "direction": "Right",
            "max_length": 8,
            "strategy": "LongestFirst",
            "stride": 0,
        }

    retoken(copy, limit)
    sequence = random_sequence(200)
    tokens = BPETokenizer.from_file(copy / "tokenizer.json")(sequence)
    assert "".join(sequence[start:end] for start, end in tokens.spans) == sequence


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["model"].update(unk_token=None), r"model.unk_token must be \[UNK\]; received None"),
        (lambda c: c["model"].update(dropout=0.1), "model.dropout must be None; received 0.1"),
        (lambda c: c["model"].update(byte_fallback=True), "model.byte_fallback must be False; received True"),
        (
            lambda c: c["model"].update(end_of_word_suffix="</w>"),
            "model.end_of_word_suffix must be None; received '</w>'",
        ),
        (lambda c: c.update(normalizer={"type": "Lowercase"}), "normalizer must be None; received"),
        (
            lambda c: c.update(pre_tokenizer={"type": "Split", "pattern": {"String": "A"}, "behavior": "Removed", "invert": False}),
            "pre_tokenizer.type must be Whitespace or None; received 'Split'",
        ),
        (lambda c: c.update(post_processor=None), r"must put \[CLS\] before and \[SEP\] behind .*A becomes A"),
        (lambda c: c.update(model={"type": "WordLevel", "vocab": {"A": 0}, "unk_token": "A"}), "model.type must be BPE"),
    ],
)  # fmt: skip
def test_other_tokenizers_are_refused(copy, change, message):
    retoken(copy, change)
    with pytest.raises(ValueError, match=message):
        BPETokenizer.from_file(copy / "tokenizer.json")


def test_words_without_number_are_refused(copy):
    def gap(content):
        content["model"]["vocab"]["T" * 15] = 900

    retoken(copy, gap)
    with pytest.raises(
        ValueError, match=r"number its words from 0 without gaps.*received 201 words, ids with gaps"
    ):
        BPETokenizer.from_file(copy / "tokenizer.json")


def test_a_missing_or_broken_tokenizer_is_refused(copy):
    (copy / "tokenizer.json").write_text("{")
    with pytest.raises(
        ValueError, match="must be a tokenizer.json of the library tokenizers; reading it failed"
    ):
        BPETokenizer.from_file(copy / "tokenizer.json")
    (copy / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match="there is no file .*tokenizer.json"):
        BPETokenizer.from_file(copy / "tokenizer.json")
