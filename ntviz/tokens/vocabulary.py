"""The vocabularies of the Nucleotide Transformer family: which id stands for which bases."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ntviz.sequence import BASES

# The published k-mers are in the order of these letters, not of the alphabet.
LETTERS = "ATCG"
_ACGT_OF_LETTER = np.array([BASES.index(letter) for letter in LETTERS])


def frozen(array: np.ndarray) -> np.ndarray:
    """The same array, made read-only: results that are cached or shared must not change under a caller."""
    array.setflags(write=False)
    return array


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a model family, in the order of their ids.

    Use one of `VOCABULARIES`, or `Vocabulary.from_file` on the vocab.txt of a checkpoint.

    Parameters
    ----------
    name
        `nt-v1` (AgroNT too), `nt-v2`, `nt-3mer` or `single-base`.
    k
        Bases in a full token.
    tokens
        Text of each token; its place is its id.
    cls_id
        Id of the token that every input starts with; None when the model takes none.
    n_logits
        Number of ids the model predicts, the first ones. nt-v1 has 4,107 tokens and 4,105 logits: `<eos>` and
        `<bos>`, its last two, have neither an embedding nor a logit.
    """

    name: str
    k: int
    tokens: tuple[str, ...]
    cls_id: int | None
    n_logits: int

    def __repr__(self) -> str:
        return f"Vocabulary({self.name!r}, k={self.k}, {len(self.tokens):,} tokens)"

    @classmethod
    def from_file(cls, path: str | Path) -> Vocabulary:
        """The known vocabulary that a vocab.txt holds, one token a line.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the tokens are not those of a known vocabulary; the message shows where the nearest one
            differs.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"A vocabulary must be a vocab.txt with one token a line; there is no file {str(path)!r}. "
                f"Copy vocab.txt from the model's repository into its directory."
            )
        lines = tuple(path.read_text(encoding="utf-8", errors="replace").split())
        for known in VOCABULARIES.values():
            if known.tokens == lines:
                return known
        nearest = max(VOCABULARIES.values(), key=lambda known: _agreeing(known.tokens, lines))
        index = _agreeing(nearest.tokens, lines)
        here = repr(lines[index][:20]) if index < len(lines) else "no more tokens"
        there = repr(nearest.tokens[index]) if index < len(nearest) else "no more tokens"
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

    def id_of(self, token: str) -> int:
        """The id of a token, such as `ATTCCG`, `N` or `<mask>`.

        Raises
        ------
        ValueError
            If the vocabulary has no such token.

        Examples
        --------
        >>> VOCABULARIES["nt-v2"].id_of("ATTCCG")
        369
        """
        if token not in self._id_of:
            raise ValueError(
                f"A token of {self.name} must be a {self.k}-mer or single letter of A, C, G, T, or one of N, "
                f"{', '.join(t for t in self.tokens if t.startswith('<'))}; received {token!r}. "
                f"Tokenize longer text with Tokenizer."
            )
        return self._id_of[token]

    def token_of(self, token_id: int) -> str:
        """The text of the token with this id.

        Raises
        ------
        ValueError
            If the id is not in the vocabulary.

        Examples
        --------
        >>> VOCABULARIES["nt-v1"].token_of(4104)
        'N'
        """
        if not 0 <= token_id < len(self.tokens):
            raise ValueError(
                f"An id of {self.name} must be in 0 to {len(self.tokens) - 1:,}; received {token_id}. "
                f"Check that the ids come from the same vocabulary."
            )
        return self.tokens[token_id]

    @property
    def unk_id(self) -> int:
        """Id of `<unk>`; no tokenized sequence holds it, since letters it would stand for are refused."""
        return self._id_of["<unk>"]

    @property
    def pad_id(self) -> int:
        """Id of `<pad>`."""
        return self._id_of["<pad>"]

    @property
    def mask_id(self) -> int:
        """Id of `<mask>`."""
        return self._id_of["<mask>"]

    @property
    def n_special(self) -> int:
        """Number of special tokens that a tokenized sequence gets: 1 where `<cls>` comes first, else 0."""
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
        """Id of the token `N`."""
        return self._id_of["N"]

    @cached_property
    def kmer_base_codes(self) -> np.ndarray:
        """The bases of each full token, int64 [4 ** k, k] in order ACGT; row 0 is id `kmer_ids.start`.

        Examples
        --------
        >>> VOCABULARIES["nt-3mer"].kmer_base_codes[:3].tolist()
        [[0, 0, 0], [0, 0, 3], [0, 0, 1]]
        """
        digits = np.indices((4,) * self.k).reshape(self.k, -1).T
        return frozen(_ACGT_OF_LETTER[digits].astype(np.int64))

    def max_bases(self, max_tokens: int) -> int:
        """The longest sequence, in bp, that fits into `max_tokens` tokens: whole k-mers without N.

        Each N, and each base left over beside the k-mers, takes a token of its own, so shorter ones may not
        fit.

        Examples
        --------
        >>> VOCABULARIES["nt-v1"].max_bases(1000), VOCABULARIES["nt-v2"].max_bases(2048)
        (5994, 12282)
        """
        return max(0, max_tokens - self.n_special) * self.k


def _agreeing(tokens: tuple[str, ...], others: tuple[str, ...]) -> int:
    """How many tokens are the same in both, counted from the first until one differs."""
    pairs = enumerate(zip(tokens, others, strict=False))
    return next((index for index, (one, other) in pairs if one != other), min(len(tokens), len(others)))


def _known_vocabularies() -> dict[str, Vocabulary]:
    specials, ends = ("<unk>", "<pad>", "<mask>", "<cls>"), ("<eos>", "<bos>")
    singles = (*LETTERS, "N")

    def kmers(k: int) -> tuple[str, ...]:
        return tuple(map("".join, itertools.product(LETTERS, repeat=k)))

    known = (
        Vocabulary("nt-v1", 6, (*specials, *kmers(6), *singles, *ends), cls_id=3, n_logits=4105),
        Vocabulary("nt-v2", 6, (*specials, *ends, *kmers(6), *singles), cls_id=3, n_logits=4107),
        Vocabulary("nt-3mer", 3, (*specials, *ends, *kmers(3), *singles), cls_id=3, n_logits=75),
        # `<cls>` has an id in this one too, but no input starts with it.
        Vocabulary("single-base", 1, (*specials, *ends, *singles), cls_id=None, n_logits=11),
    )
    return {vocabulary.name: vocabulary for vocabulary in known}


VOCABULARIES = _known_vocabularies()
