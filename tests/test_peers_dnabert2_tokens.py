"""Tokens of a byte-pair encoding: against the bases, against the definition, and against bad files."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from peer_files import FIXTURES, random_sequence

from ntviz.tokens import base_log_probs
from ntviz.tokens.bpe import SPECIALS, BPETokenizer, BPEVocabulary

TINY = FIXTURES / "dnabert2_tiny" / "tokenizer.json"


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.from_file(TINY)


def changed(*ways):
    """The tokenizer of a file in which something is changed."""
    content = json.loads(TINY.read_text())
    for way in ways:
        way(content)
    return BPETokenizer(json.dumps(content))


def test_tokens_of_random_sequences_tile_them(tokenizer):
    rng = np.random.default_rng(7)
    for seed in range(500):
        sequence = random_sequence(int(rng.integers(1, 120)), seed, "ACGTN" if seed % 2 else "ACGT")
        tokens = tokenizer(sequence)
        covering = tokens.spans[~tokens.is_special]
        assert (covering[0, 0], covering[-1, 1]) == (0, len(sequence))
        assert (covering[1:, 0] == covering[:-1, 1]).all()
        assert "".join(sequence[start:end] for start, end in tokens.spans) == sequence
        for text, (start, end) in zip(tokens.strings[1:-1], covering.tolist(), strict=True):
            assert sequence[start:end] == ("N" if text == "[UNK]" else text)
    for base in range(len(sequence)):
        start, end = tokens.bases_of(tokens.token_at(base))
        assert start <= base < end
    places = tokens.token_at(np.arange(len(sequence)))
    np.testing.assert_array_equal(tokens.to_bases(np.arange(len(tokens))), places)
    lengths = tokens.from_bases(np.ones(len(sequence), int), reduce="sum")
    np.testing.assert_array_equal(lengths, np.diff(tokens.spans)[:, 0])


def test_special_tokens_cover_nothing(tokenizer):
    tokens = tokenizer("ACGTNNT")
    assert tokens.is_special.tolist() == [True] + [False] * (len(tokens) - 2) + [True]
    assert (tokens.strings[0], tokens.strings[-4:]) == ("[CLS]", ["[UNK]", "[UNK]", "T", "[SEP]"])
    assert tokens.spans[[0, -1]].tolist() == [[0, 0], [0, 0]]
    assert tokens.is_n.sum() == 2


def test_words_are_merged_in_the_order_of_the_file(tokenizer):
    """The library against the definition: the earliest merge that fits somewhere is applied, until none does."""
    merges = [tuple(m.split()) for m in json.loads(TINY.read_text())["model"]["merges"]]
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


def test_runs_of_n_may_be_one_token(tokenizer):
    fused = changed(lambda content: content["model"].update(fuse_unk=True))
    tokens = fused("ANNNC")
    assert tokens.spans.tolist() == [[0, 0], [0, 1], [1, 4], [4, 5], [0, 0]]
    assert tokens.is_n.tolist() == [False, False, True, False, False]
    assert fused.vocabulary.name != tokenizer.vocabulary.name


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


def test_merges_may_be_written_as_pairs_and_a_limit_loses_no_base(tokenizer):
    """A version of the library writes "A B", another ["A", "B"]: one vocabulary, one name."""

    def pair(content):
        content["model"]["merges"] = [merge.split() for merge in content["model"]["merges"]]

    limit = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
    other, sequence = changed(pair, lambda content: content.update(truncation=limit)), random_sequence(200)
    assert other.vocabulary == tokenizer.vocabulary
    assert other(sequence).ids.tolist() == tokenizer(sequence).ids.tolist()
    assert "".join(sequence[start:end] for start, end in other(sequence).spans) == sequence


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["model"].update(unk_token=None), r"model.unk_token must be \[UNK\]; received None"),
        (lambda c: c["model"].update(dropout=0.1), "model.dropout must be None; received 0.1"),
        (lambda c: c["model"].update(byte_fallback=True), "model.byte_fallback must be False; received True"),
        (lambda c: c["model"].update(end_of_word_suffix="</w>"), "model.end_of_word_suffix must be None; received '</w>'"),
        (lambda c: c.update(normalizer={"type": "Lowercase"}), "normalizer must be None; received"),
        (
            lambda c: c.update(pre_tokenizer={"type": "Split", "pattern": {"String": "A"}, "behavior": "Removed", "invert": False}),
            "pre_tokenizer.type must be Whitespace or None; received 'Split'",
        ),
        (lambda c: c.update(post_processor=None), r"must put \[CLS\] before and \[SEP\] behind .*A becomes A"),
        (
            lambda c: c["model"]["vocab"].update({"T" * 15: 900}),
            "number its words from 0 without gaps.*received 201 words, ids with gaps",
        ),
        (lambda c: c.update(model={"type": "WordLevel", "vocab": {"A": 0}, "unk_token": "A"}), "model.type must be BPE"),
    ],
)  # fmt: skip
def test_other_tokenizers_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        changed(change)


def test_a_missing_or_broken_tokenizer_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be a tokenizer.json of the library tokenizers; reading it failed"):
        BPETokenizer("{")
    with pytest.raises(FileNotFoundError, match="there is no file .*tokenizer.json"):
        BPETokenizer.from_file(tmp_path / "tokenizer.json")
