"""`Tokens`: a tokenized sequence, and the exact map between its tokens and its bases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, Self

import numpy as np

from ntviz.genome import Interval
from ntviz.tokens.vocabulary import Vocabulary, frozen


class Batch(NamedTuple):
    """Padded inputs of a model, both int64 [sequence, token]; the mask is 1 on tokens and 0 on padding, on the right."""

    input_ids: np.ndarray
    attention_mask: np.ndarray


@dataclass(frozen=True, eq=False)
class Tokens:
    """A tokenized sequence, with the exact map between its tokens and its bases. Made by a `Tokenizer`.

    `ids` are int64 [token] of the `vocabulary`, `is_special` bool [token], true for `<cls>` and the like. `spans` are int64 [token, 2],
    bp within the clean `sequence`, 0-based half-open: special tokens have the empty span (0, 0), the others tile the sequence.
    """

    vocabulary: Vocabulary
    sequence: str
    ids: np.ndarray
    spans: np.ndarray
    is_special: np.ndarray

    @classmethod
    def within(
        cls, max_tokens: int | None, vocabulary: Vocabulary, sequence: str, ids: np.ndarray, spans: np.ndarray,
        is_special: np.ndarray,
    ) -> Self:  # fmt: skip
        """Tokens whose arrays are read-only; a ValueError where there are more than `max_tokens`."""
        if max_tokens is not None and len(ids) > max_tokens:
            raise ValueError(
                f"A sequence must fit into {max_tokens:,} tokens ({vocabulary.max_bases(max_tokens):,} bp at "
                f"{vocabulary.k} bp a token); received {len(ids):,} tokens ({len(sequence):,} bp). Narrow the interval."
            )
        return cls(vocabulary, sequence, frozen(ids), frozen(spans), frozen(is_special))

    def __repr__(self) -> str:
        return f"Tokens({len(self.ids):,} tokens of {self.vocabulary.name} over {len(self.sequence):,} bp)"

    def __len__(self) -> int:
        """Number of tokens, the special ones included."""
        return len(self.ids)

    @property
    def strings(self) -> list[str]:
        """The text of each token."""
        return [self.vocabulary.tokens[index] for index in self.ids.tolist()]

    @cached_property
    def _n(self) -> np.ndarray:
        """How many bases of a token are N, int64 [token]."""
        letters = np.frombuffer(self.sequence.encode("ascii"), dtype=np.uint8)
        return self.from_bases(letters == ord("N"), reduce="sum")

    @cached_property
    def is_kmer(self) -> np.ndarray:
        """Where a token covers k bases, none of them N, bool [token]."""
        return frozen((np.diff(self.spans)[:, 0] == self.vocabulary.k) & (self._n == 0))

    @cached_property
    def is_n(self) -> np.ndarray:
        """Where a token covers N alone, whatever id it has been given, bool [token]."""
        return frozen((np.diff(self.spans)[:, 0] == self._n) & ~self.is_special)

    @cached_property
    def _token_of_base(self) -> np.ndarray:
        return frozen(np.repeat(np.arange(len(self.ids)), np.diff(self.spans)[:, 0]))

    def token_at(self, base: int | np.ndarray) -> int | np.ndarray:
        """The index of the token that covers a base, 0-based in the sequence; int64 of the same shape for an array of bases.

        >>> from ntviz.tokens import Tokenizer
        >>> Tokenizer("nt-v1")("ATTCCGNA").token_at(6)
        2
        """
        bases = np.asarray(base)
        if not np.issubdtype(bases.dtype, np.integer):
            raise TypeError(f"A base must be a 0-based integer; received {bases.dtype}.")
        outside = (bases < 0) | (bases >= len(self.sequence))
        if outside.any():
            raise ValueError(
                f"A base must lie in the sequence, 0 to {len(self.sequence) - 1:,}; received {int(bases[outside][0]):,}."
            )
        tokens = self._token_of_base[bases]
        return int(tokens) if bases.ndim == 0 else tokens

    def bases_of(self, token: int) -> tuple[int, int]:
        """The bases that a token covers, 0-based half-open within the sequence; (0, 0) for a special token."""
        if not 0 <= token < len(self.ids):
            raise ValueError(f"A token index must be in 0 to {len(self.ids) - 1:,}; received {token}.")
        start, end = self.spans[token].tolist()
        return start, end

    def to_bases(self, values: np.ndarray) -> np.ndarray:
        """Values of tokens [token, ...] given to each base they cover, [base, ...]; special tokens drop out.

        >>> from ntviz.tokens import Tokenizer
        >>> Tokenizer("nt-3mer")("ATTCA").to_bases([9, 1, 2, 3]).tolist()
        [1, 1, 1, 2, 3]
        """
        values = np.asarray(values)
        if values.ndim == 0 or len(values) != len(self.ids):
            raise ValueError(
                f"Values must have one row for each of the {len(self.ids):,} tokens, special ones included; "
                f"received shape {list(values.shape)}. Leave padding out."
            )
        return values[self._token_of_base]

    def from_bases(self, values: np.ndarray, *, reduce: Literal["any", "mean", "sum", "max"] = "mean") -> np.ndarray:
        """Values of bases [base, ...] reduced over each token, [token, ...].

        `any` gives bool, `sum` keeps integers, `mean` and `max` give floats. Special tokens get False, 0, nan and nan.

        >>> from ntviz.tokens import Tokenizer
        >>> Tokenizer("nt-3mer")("ATTCA").from_bases([0, 0, 1, 0, 1], reduce="any").tolist()
        [False, True, False, True]
        """
        values = np.asarray(values)
        if values.ndim == 0 or len(values) != len(self.sequence):
            raise ValueError(
                f"Values must have one row for each of the {len(self.sequence):,} bases; received shape {list(values.shape)}."
            )
        if reduce not in ("any", "mean", "sum", "max"):
            raise ValueError(f"reduce must be 'any', 'mean', 'sum' or 'max'; received {reduce!r}.")
        covering = ~self.is_special
        spans = self.spans[covering]
        if reduce == "any":
            ufunc, nothing, values = np.logical_or, False, values.astype(bool)
        elif reduce == "sum":
            # Added up as they are, booleans would stay booleans.
            ufunc, nothing, values = np.add, 0, values.astype(np.int64) if values.dtype == bool else values
        else:
            ufunc, nothing = np.maximum if reduce == "max" else np.add, np.nan
            values = values.astype(np.result_type(values.dtype, np.float32))
        reduced = ufunc.reduceat(values, spans[:, 0], axis=0)
        if reduce == "mean":
            reduced /= np.diff(spans).reshape(-1, *(1,) * (values.ndim - 1))
        result = np.full((len(self.ids), *values.shape[1:]), nothing, dtype=reduced.dtype)
        result[covering] = reduced
        return result

    def on(self, interval: Interval) -> np.ndarray:
        """The span of each token on the genome, int64 [token, 2], 0-based half-open on the interval's contig.

        On strand `-` the spans run from right to left. Special tokens get an empty span at the end where reading starts.

        >>> from ntviz.tokens import Tokenizer
        >>> Tokenizer("nt-3mer")("ATTCA").on(Interval("chr20", 100, 105, "-")).tolist()
        [[105, 105], [102, 105], [101, 102], [100, 101]]
        """
        if len(interval) != len(self.sequence):
            raise ValueError(
                f"The interval must be as long as the sequence; received {interval.label()} with "
                f"{len(interval):,} bp for {len(self.sequence):,} bases."
            )
        if interval.strand == "-":
            return interval.end - self.spans[:, ::-1]
        return interval.start + self.spans


def padded(sequences: Sequence[Tokens], vocabulary: Vocabulary) -> Batch:
    """The ids of sequences of a vocabulary, padded on the right to the longest, and their mask."""
    if not sequences:
        raise ValueError("A batch must hold at least one sequence; received none.")
    for index, tokens in enumerate(sequences):
        if tokens.vocabulary.name != vocabulary.name:
            raise ValueError(
                f"All sequences of a batch must be tokenized by {vocabulary.name}; received {tokens.vocabulary.name} at index {index}."
            )
    lengths = np.array([len(tokens) for tokens in sequences])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, vocabulary.pad_id, dtype=np.int64)
    ids[mask] = np.concatenate([tokens.ids for tokens in sequences])
    return Batch(ids, mask.astype(np.int64))
