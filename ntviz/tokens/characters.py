"""Single bases as tokens in the vocabulary of HyenaDNA, with one closing token."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ntviz.sequence import BASES, require
from ntviz.tokens.tokens import Tokens
from ntviz.tokens.vocabulary import Vocabulary, frozen


class CharacterVocabulary(Vocabulary):
    """A vocabulary of single bases in alphabetical order, where the others have them as A, T, C, G."""

    @cached_property
    def kmer_base_codes(self) -> np.ndarray:
        """The base of each full token, int64 [4, 1] in order ACGT; row 0 is id `kmer_ids.start`."""
        return frozen(np.arange(4, dtype=np.int64)[:, None])


HYENADNA = CharacterVocabulary(
    "hyenadna",
    1,
    ("<cls>", "<sep>", "<bos>", "<mask>", "<pad>", "<reserved>", "<unk>", *BASES, "N"),
    cls_id=None,
    n_logits=12,
)
"""Ids as HyenaDNA's published tokenizer gives them: [CLS] 0, [SEP] 1, ... A 7, C 8, G 9, T 10, N 11."""


class CharacterTokenizer:
    """A token a base, and `<sep>` behind the last, as HyenaDNA's published tokenizer does it.

    >>> tokens = CharacterTokenizer()("ACGTN")
    >>> tokens.ids.tolist()
    [7, 8, 9, 10, 11, 1]
    >>> tokens.spans.tolist()
    [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [0, 0]]
    """

    vocabulary = HYENADNA

    def __repr__(self) -> str:
        return "CharacterTokenizer()"

    def __call__(self, sequence: str, *, max_tokens: int | None = None) -> Tokens:
        """The tokens of a clean sequence, upper-case A, C, G, T, N.

        Raises
        ------
        ValueError
            If the sequence is empty or holds other letters, or has more than `max_tokens` tokens.
        """
        n = len(require(sequence))
        if max_tokens is not None and n + 1 > max_tokens:
            raise ValueError(
                f"A sequence must fit into {max_tokens:,} tokens ({max_tokens - 1:,} bp and <sep>); received {n:,} bp. "
                "Narrow the interval, or cut it into windows."
            )
        ids = np.array([self.vocabulary.id_of(letter) for letter in sequence] + [1], dtype=np.int64)
        spans = np.zeros((n + 1, 2), dtype=np.int64)
        spans[:n, 0] = np.arange(n)
        spans[:n, 1] = spans[:n, 0] + 1
        return Tokens(self.vocabulary, sequence, frozen(ids), frozen(spans), frozen(np.arange(n + 1) == n))
