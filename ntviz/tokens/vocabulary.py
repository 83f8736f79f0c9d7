"""The vocabularies of the Nucleotide Transformer family: which id stands for which bases."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ntviz.environment import opened
from ntviz.genome.sequence import BASES

# The published k-mers are in the order of these letters, not of the alphabet.
LETTERS = "ATCG"
_SPECIALS, _ENDS, _SINGLES = ("<unk>", "<pad>", "<mask>", "<cls>"), ("<eos>", "<bos>"), (*LETTERS, "N")


def frozen(array: np.ndarray) -> np.ndarray:
    """The same array, made read-only: results that are cached or shared must not change under a caller."""
    array.setflags(write=False)
    return array


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a model family, in the order of their ids: one of `VOCABULARIES`, or `from_file` of a checkpoint's vocab.txt.

    Parameters
    ----------
    k
        Bases in a full token.
    cls_id, sep_id
        Ids of the tokens that every input starts and ends with; None when the model takes none.
    n_logits
        Number of ids the model predicts, the first ones. nt-v1 has 4,107 tokens and 4,105 logits: `<eos>` and
        `<bos>`, its last two, have neither an embedding nor a logit.
    """

    name: str
    k: int
    tokens: tuple[str, ...]
    cls_id: int | None
    n_logits: int
    sep_id: int | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, k={self.k}, {len(self.tokens):,} tokens)"

    @classmethod
    def from_file(cls, path: str | Path) -> Vocabulary:
        """The known vocabulary that a vocab.txt holds, one token a line; a ValueError shows where another file differs."""
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"A vocabulary must be a vocab.txt with one token a line; there is no file {str(path)!r}. "
                "Copy vocab.txt from the model's repository into its directory."
            )
        lines = tuple(opened(path).read_text(encoding="utf-8", errors="replace").split())

        def agreeing(known: Vocabulary) -> int:
            """How many tokens are the same, counted from the first until one differs."""
            return [*(a == b for a, b in zip(known.tokens, lines, strict=False)), False].index(False)

        nearest = max(VOCABULARIES.values(), key=agreeing)
        if nearest.tokens == lines:
            return nearest
        index = agreeing(nearest)
        here, there = (
            repr(tokens[index][:20]) if index < len(tokens) else "no more tokens" for tokens in (lines, nearest.tokens)
        )
        raise ValueError(
            f"A vocabulary must be one of {', '.join(VOCABULARIES)}; received {str(path)!r} with "
            f"{len(lines):,} tokens. The nearest is {nearest.name} with {len(nearest):,}: at id {index:,} it "
            f"has {there}, the file {here}. Use the vocab.txt of the published model."
        )

    def to_text(self) -> str:
        """The vocab.txt of this vocabulary, byte for byte as published (no line break at the end)."""
        return "\n".join(self.tokens)

    def __len__(self) -> int:
        """Number of tokens, as `n_ids`."""
        return len(self.tokens)

    @property
    def n_ids(self) -> int:
        """Number of tokens; the ids are 0 to `n_ids - 1`."""
        return len(self.tokens)

    @cached_property
    def _id_of(self) -> dict[str, int]:
        return {token: index for index, token in enumerate(self.tokens)}

    def _special(self, name: str) -> int:
        return self._id_of[f"<{name}>"]

    def id_of(self, token: str) -> int:
        """The id of a token, such as `ATTCCG`, `N` or `<mask>`.

        >>> VOCABULARIES["nt-v2"].id_of("ATTCCG")
        369
        """
        if token not in self._id_of:
            raise ValueError(
                f"A token of {self.name} must be a {self.k}-mer or single letter of A, C, G, T, or one of N, "
                f"{', '.join(t for t in self.tokens if t.startswith('<'))}; received {token!r}."
            )
        return self._id_of[token]

    def token_of(self, token_id: int) -> str:
        """The text of the token with this id.

        >>> VOCABULARIES["nt-v1"].token_of(4104)
        'N'
        """
        if not 0 <= token_id < len(self.tokens):
            raise ValueError(f"An id of {self.name} must be in 0 to {len(self.tokens) - 1:,}; received {token_id}.")
        return self.tokens[token_id]

    @property
    def unk_id(self) -> int:
        """Id of `<unk>`."""
        return self._special("unk")

    @property
    def pad_id(self) -> int:
        """Id of `<pad>`."""
        return self._special("pad")

    @property
    def mask_id(self) -> int:
        """Id of `<mask>`."""
        return self._special("mask")

    @property
    def n_special(self) -> int:
        """Number of special tokens in front of a sequence: 1 where `<cls>` comes first, else 0."""
        return 0 if self.cls_id is None else 1

    @cached_property
    def kmer_ids(self) -> slice:
        """The ids of the `4 ** k` full tokens, as a slice over ids or logits."""
        first = self._id_of["A" * self.k]
        return slice(first, first + 4**self.k)

    @cached_property
    def single_ids(self) -> np.ndarray:
        """The ids of the single letters A, C, G, T, in this order, int64 [base]."""
        return frozen(np.array([self._id_of[base] for base in BASES], dtype=np.int64))

    @property
    def n_id(self) -> int:
        """Id of the token `N`, or of the unknown token that stands for it."""
        return self._id_of.get("N", self.unk_id)

    @cached_property
    def kmer_base_codes(self) -> np.ndarray:
        """The bases of each full token, int64 [4 ** k, k] in order ACGT; row 0 is id `kmer_ids.start`.

        >>> VOCABULARIES["nt-3mer"].kmer_base_codes[:3].tolist()
        [[0, 0, 0], [0, 0, 3], [0, 0, 1]]
        """
        codes = [BASES.index(letter) for token in self.tokens[self.kmer_ids] for letter in token]
        return frozen(np.array(codes, dtype=np.int64).reshape(-1, self.k))

    def max_bases(self, max_tokens: int) -> int:
        """The longest sequence, in bp, that fits into `max_tokens` tokens: whole k-mers without N, each of which takes a token.

        >>> VOCABULARIES["nt-v1"].max_bases(1000), VOCABULARIES["nt-v2"].max_bases(2048)
        (5994, 12282)
        """
        return max(0, max_tokens - self.n_special - (self.sep_id is not None)) * self.k


def _kmers(k: int) -> tuple[str, ...]:
    return tuple(map("".join, itertools.product(LETTERS, repeat=k)))


VOCABULARIES = {
    vocabulary.name: vocabulary
    for vocabulary in (
        Vocabulary("nt-v1", 6, (*_SPECIALS, *_kmers(6), *_SINGLES, *_ENDS), cls_id=3, n_logits=4105),
        Vocabulary("nt-v2", 6, (*_SPECIALS, *_ENDS, *_kmers(6), *_SINGLES), cls_id=3, n_logits=4107),
        Vocabulary("nt-3mer", 3, (*_SPECIALS, *_ENDS, *_kmers(3), *_SINGLES), cls_id=3, n_logits=75),
        # `<cls>` has an id in this one too, but no input starts with it.
        Vocabulary("single-base", 1, (*_SPECIALS, *_ENDS, *_SINGLES), cls_id=None, n_logits=11),
    )
}

HYENADNA = Vocabulary(
    "hyenadna", 1, ("<cls>", "<sep>", "<bos>", "<mask>", "<pad>", "<reserved>", "<unk>", *BASES, "N"),
    cls_id=None, n_logits=12, sep_id=1,
)  # fmt: skip
"""Ids as HyenaDNA's published tokenizer gives them: a token a base, A 7, C 8, G 9, T 10, N 11, and `<sep>` behind the last."""
