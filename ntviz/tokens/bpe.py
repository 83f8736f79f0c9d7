"""`BPETokenizer`: sequence to tokens of many lengths that were frequent in training, with the bases of each.

A base more or less can move the borders of the tokens that follow, so tokens of two alleles need not correspond.

References
----------
Sennrich et al. (2016) ACL, 1715-1725. Zhou et al. (2024) ICLR, DNABERT-2: BPE over DNA without a split into words first.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from ntviz.environment import opened
from ntviz.genome.sequence import BASES, require
from ntviz.tokens.tokens import Tokens
from ntviz.tokens.vocabulary import Vocabulary

SPECIALS = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")


class BPEVocabulary(Vocabulary):
    """The tokens of a byte-pair encoding, in the order of their ids; `k` is the shortest, 1 bp, and special ones stand in brackets.

    `name` holds a hash over tokens and merges: two that cut alike have one name.
    """

    def _special(self, name: str) -> int:
        return self._id_of[f"[{name.upper()}]"]

    def id_of(self, token: str) -> int:
        """The id of a word, such as `TATA` or `[MASK]`."""
        if token not in self._id_of:
            raise ValueError(
                f"A token of {self.name} must be one of its {len(self.tokens):,} words or {', '.join(SPECIALS)}; received {token!r}."
            )
        return self._id_of[token]

    @property
    def kmer_ids(self) -> slice:
        """Refused: what sums over all k-mers would give wrong probabilities of bases here."""
        raise ValueError(
            f"Probabilities of bases must come from a vocabulary of k-mers; received the words of a byte-pair encoding ({self.name})."
        )


class BPETokenizer:
    """Cuts sequences into the tokens of a tokenizer.json, as the library `tokenizers` reads it.

    `text` is its content: byte-pair encoding of the raw text, an unknown token, `[CLS]` first and `[SEP]` last. `origin` is where it
    comes from, for messages.

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
            raise ValueError(f"{origin} must be a tokenizer.json of the library tokenizers; reading it failed: {error}.") from error  # fmt: skip
        # A file saved after use may cut or pad; bases would go missing.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.vocabulary = _vocabulary(content, origin)
        ends = self._tokenizer.encode(BASES[0]).ids
        if ends[:1] != [self.vocabulary.cls_id] or ends[-1:] != [self.vocabulary.sep_id] or len(ends) != 3:
            held = " ".join(self.vocabulary.tokens[index] for index in ends)
            raise ValueError(f"{origin} must put [CLS] before and [SEP] behind a sequence; {BASES[0]} becomes {held}.")

    @classmethod
    def from_file(cls, path: str | Path) -> BPETokenizer:
        """The tokenizer that a tokenizer.json holds."""
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no file {str(path)!r}. Copy tokenizer.json from the model's repository into its directory."
            )
        return cls(opened(path).read_text(encoding="utf-8", errors="replace"), origin=str(path))

    def __repr__(self) -> str:
        return f"BPETokenizer({self.vocabulary.name!r})"

    def __call__(self, sequence: str, *, max_tokens: int | None = None) -> Tokens:
        """The tokens, at most `max_tokens`, of a clean sequence; each N is one `[UNK]`, or each run of N where the file fuses unknowns."""
        cut = self._tokenizer.encode(require(sequence))
        spans = np.array(cut.offsets, dtype=np.int64)
        is_special = np.array(cut.special_tokens_mask, dtype=bool)
        spans[is_special] = 0
        return Tokens.within(max_tokens, self.vocabulary, sequence, np.array(cut.ids, np.int64), spans, is_special)


def _vocabulary(content: dict[str, Any], origin: str) -> BPEVocabulary:
    """The words of a tokenizer.json in the order of their ids, where its words tile a sequence and are those of one encoding."""
    model, before = content.get("model") or {}, content.get("pre_tokenizer") or {}
    for key, received, accepted in (
        ("model.type", model.get("type"), ("BPE",)),
        ("model.unk_token", model.get("unk_token"), ("[UNK]",)),
        ("model.dropout", model.get("dropout") or None, (None,)),
        ("model.byte_fallback", bool(model.get("byte_fallback")), (False,)),
        ("model.continuing_subword_prefix", model.get("continuing_subword_prefix") or None, (None,)),
        ("model.end_of_word_suffix", model.get("end_of_word_suffix") or None, (None,)),
        ("normalizer", content.get("normalizer"), (None,)),
        ("pre_tokenizer.type", before.get("type"), ("Whitespace", None)),
    ):
        if received not in accepted:
            raise ValueError(
                f"{origin} must be a byte-pair encoding of the raw sequence: {key} must be "
                f"{' or '.join(map(str, accepted))}; received {received!r}. "
                "Use the tokenizer.json of the published model."
            )
    words = sorted(model["vocab"], key=model["vocab"].__getitem__)
    missing = [word for word in (*SPECIALS, *BASES) if word not in model["vocab"]]
    if missing or [model["vocab"][word] for word in words] != list(range(len(words))):
        what = f"{', '.join(missing)} missing" if missing else "ids with gaps"
        raise ValueError(
            f"{origin} must number its words from 0 without gaps, with {', '.join((*SPECIALS, *BASES))} among them; "
            f"received {len(words):,} words, {what}."
        )
    # Files write a merge as "A B" or as ["A", "B"], by the version of the library.
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    cut = json.dumps([words, merges, bool(model.get("fuse_unk"))])
    name = f"bpe-{len(words)}-{hashlib.sha256(cut.encode()).hexdigest()[:8]}"
    ends = {f"{end.lower()}_id": model["vocab"][f"[{end}]"] for end in ("CLS", "SEP")}
    return BPEVocabulary(name, 1, tuple(words), n_logits=len(words), **ends)
