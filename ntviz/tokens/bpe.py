"""`BPETokenizer`: sequence to tokens of a learned vocabulary of words of many lengths, with the bases of each.

Byte-pair encoding (BPE) cuts a sequence into words that were frequent where it was trained. A base more or less can move the borders
of the words that follow, so tokens of two alleles need not correspond.

References
----------
Sennrich et al. (2016) ACL, 1715-1725. Zhou et al. (2024) ICLR, DNABERT-2: BPE over DNA without a split into words first.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from ntviz.sequence import BASES, require
from ntviz.tokens.tokens import Tokens
from ntviz.tokens.vocabulary import Vocabulary, frozen

SPECIALS = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")


@dataclass(frozen=True)
class BPEVocabulary:
    """The words of a byte-pair encoding, in the order of their ids.

    Parameters
    ----------
    name
        Made of the number of words and of a hash over words and merges: two that cut alike have one name.
    tokens
        Text of each word; its place is its id. Those in square brackets are special.
    """

    name: str
    tokens: tuple[str, ...]

    k = 1
    """Bases of the shortest word, which is all that can be said of the length of any."""

    def __repr__(self) -> str:
        return f"BPEVocabulary({self.name!r}, {len(self.tokens):,} tokens)"

    def __len__(self) -> int:
        """Number of words."""
        return len(self.tokens)

    @property
    def n_ids(self) -> int:
        """Number of words; the ids are 0 to `n_ids - 1`."""
        return len(self.tokens)

    @property
    def n_logits(self) -> int:
        """Number of ids that a model predicts: all."""
        return len(self.tokens)

    @cached_property
    def _id_of(self) -> dict[str, int]:
        return {token: index for index, token in enumerate(self.tokens)}

    def id_of(self, token: str) -> int:
        """The id of a word, such as `TATA` or `[MASK]`.

        Raises
        ------
        ValueError
            If the vocabulary has no such word.
        """
        if token not in self._id_of:
            raise ValueError(
                f"A token of {self.name} must be one of its {len(self.tokens):,} words or {', '.join(SPECIALS)}; "
                f"received {token!r}. Tokenize it with BPETokenizer."
            )
        return self._id_of[token]

    @property
    def unk_id(self) -> int:
        """Id of `[UNK]`, which stands for what no word has, such as N."""
        return self._id_of["[UNK]"]

    @property
    def cls_id(self) -> int:
        """Id of `[CLS]`, the first token."""
        return self._id_of["[CLS]"]

    @property
    def sep_id(self) -> int:
        """Id of `[SEP]`, the last token."""
        return self._id_of["[SEP]"]

    @property
    def pad_id(self) -> int:
        """Id of `[PAD]`."""
        return self._id_of["[PAD]"]

    @property
    def mask_id(self) -> int:
        """Id of `[MASK]`."""
        return self._id_of["[MASK]"]

    @property
    def kmer_ids(self) -> slice:
        """Never any: words of many lengths are no k-mers.

        Raises
        ------
        ValueError
            Always: what sums over all k-mers would give wrong probabilities of bases here.
        """
        raise ValueError(
            "Probabilities of bases must come from a vocabulary of k-mers; received the words of a byte-pair "
            f"encoding ({self.name}), of many lengths. Use a model with k-mers or single bases."
        )


class BPETokenizer:
    """Cuts sequences into the words of a tokenizer.json, as the library `tokenizers` reads it.

    Parameters
    ----------
    text
        What a tokenizer.json holds: byte-pair encoding of the raw text, an unknown word, `[CLS]` first and `[SEP]` last.
    origin
        Where it comes from, for messages.

    Raises
    ------
    ValueError
        If it is not JSON, or a tokenizer of another kind.

    Examples
    --------
    >>> from tokenizers import Tokenizer, models, processors
    >>> words = [*SPECIALS, "A", "C", "G", "T", "TA", "TATA"]
    >>> merges = [("T", "A"), ("TA", "TA")]
    >>> made = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, merges, unk_token="[UNK]"))
    >>> made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    >>> tokens = BPETokenizer(made.to_str())("CTATANTA")
    >>> tokens.strings
    ['[CLS]', 'C', 'TATA', '[UNK]', 'TA', '[SEP]']
    >>> tokens.spans.tolist()
    [[0, 0], [0, 1], [1, 5], [5, 6], [6, 8], [0, 0]]
    """

    def __init__(self, text: str, *, origin: str = "tokenizer.json") -> None:
        from tokenizers import Tokenizer

        try:
            content = json.loads(text)
            self._tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # the library raises plain Exception
            raise ValueError(
                f"{origin} must be a tokenizer.json of the library tokenizers; reading it failed: {error}. "
                "Download the file again."
            ) from error
        _check(content, origin)
        # A file saved after use may cut or pad; bases would go missing.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.vocabulary = _vocabulary(content["model"], origin)
        ends = self._tokenizer.encode(BASES[0]).ids
        if ends[:1] != [self.vocabulary.cls_id] or ends[-1:] != [self.vocabulary.sep_id] or len(ends) != 3:
            held = " ".join(self.vocabulary.tokens[index] for index in ends)
            raise ValueError(
                f"{origin} must put [CLS] before and [SEP] behind a sequence; {BASES[0]} becomes {held}. "
                "Use the tokenizer.json of the published model."
            )

    @classmethod
    def from_file(cls, path: str | Path) -> BPETokenizer:
        """The tokenizer that a tokenizer.json holds.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is not JSON, or a tokenizer of another kind.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"A byte-pair encoding must be read from a tokenizer.json; there is no file {str(path)!r}. "
                "Copy tokenizer.json from the model's repository into its directory."
            )
        return cls(path.read_text(encoding="utf-8", errors="replace"), origin=str(path))

    def __repr__(self) -> str:
        return f"BPETokenizer({self.vocabulary.name!r})"

    def __call__(self, sequence: str, *, max_tokens: int | None = None) -> Tokens:
        """The tokens of a clean sequence, `[CLS]` first and `[SEP]` last.

        Where no word has an N, each N is one `[UNK]`, or each run of N where the file fuses unknowns.

        Parameters
        ----------
        sequence
            Upper-case A, C, G, T, N.
        max_tokens
            Limit of the model, `[CLS]` and `[SEP]` included; None for no limit.

        Raises
        ------
        ValueError
            If the sequence is empty or holds other letters, or the limit is exceeded.
        """
        found = self._tokenizer.encode(require(sequence))
        ids = np.array(found.ids, dtype=np.int64)
        if max_tokens is not None and len(ids) > max_tokens:
            raise ValueError(
                f"A sequence must fit into {max_tokens:,} tokens, [CLS] and [SEP] included; received {len(ids):,} "
                f"tokens ({len(sequence):,} bp). Narrow the interval, or cut it into windows."
            )
        spans = np.array(found.offsets, dtype=np.int64)
        is_special = np.array(found.special_tokens_mask, dtype=bool)
        spans[is_special] = 0
        # Tokens asks a vocabulary for its words, k and name alone.
        vocabulary = cast("Vocabulary", self.vocabulary)
        return Tokens(vocabulary, sequence, frozen(ids), frozen(spans), frozen(is_special))


def _check(content: Any, origin: str) -> None:
    """Raises where a setting is such that words would not tile the sequence, or would not be those of one encoding."""
    model = content.get("model") or {}
    before = (content.get("pre_tokenizer") or {}).get("type")
    faults = [
        (model.get("type") != "BPE", "model.type", "BPE", model.get("type")),
        (model.get("unk_token") != "[UNK]", "model.unk_token", "[UNK]", model.get("unk_token")),
        (bool(model.get("dropout")), "model.dropout", None, model.get("dropout")),
        (bool(model.get("byte_fallback")), "model.byte_fallback", False, model.get("byte_fallback")),
        *(
            (bool(model.get(key)), f"model.{key}", None, model.get(key))
            for key in ("continuing_subword_prefix", "end_of_word_suffix")
        ),
        (content.get("normalizer") is not None, "normalizer", None, content.get("normalizer")),
        (before not in (None, "Whitespace"), "pre_tokenizer.type", "Whitespace or none", before),
    ]
    wrong = [(key, wanted, got) for fault, key, wanted, got in faults if fault]
    if wrong:
        key, wanted, got = wrong[0]
        raise ValueError(
            f"{origin} must be a byte-pair encoding of the raw sequence: {key} must be {wanted}; received {got!r}. "
            "Use the tokenizer.json of the published model."
        )


def _vocabulary(model: dict[str, Any], origin: str) -> BPEVocabulary:
    """The words of a tokenizer.json's model in the order of their ids."""
    words = sorted(model["vocab"], key=model["vocab"].__getitem__)
    missing = [word for word in (*SPECIALS, *BASES) if word not in model["vocab"]]
    if missing or [model["vocab"][word] for word in words] != list(range(len(words))):
        what = f"{', '.join(missing)} missing" if missing else "ids with gaps"
        raise ValueError(
            f"{origin} must number its words from 0 without gaps, with {', '.join((*SPECIALS, *BASES))} among them; "
            f"received {len(words):,} words, {what}. Use the tokenizer.json of the published model."
        )
    # Files write a merge as "A B" or as ["A", "B"], by the version of the library.
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    cut = json.dumps([words, merges, bool(model.get("fuse_unk"))])
    return BPEVocabulary(f"bpe-{len(words)}-{hashlib.sha256(cut.encode()).hexdigest()[:8]}", tuple(words))
