"""`Tokens`: a tokenized sequence, and the exact map between its tokens and its bases."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from ntviz.genome import Interval
from ntviz.tokens.vocabulary import Vocabulary, frozen


@dataclass(frozen=True, eq=False)
class Tokens:
    """A tokenized sequence, with the exact map between its tokens and its bases. Made by a `Tokenizer`.

    Parameters
    ----------
    vocabulary
        Where the ids come from.
    sequence
        The clean sequence, upper-case A, C, G, T, N.
    ids
        int64 [token].
    spans
        int64 [token, 2], bp within the sequence, 0-based half-open. Special tokens have the empty span (0,
        0); the spans of the others tile the sequence from left to right.
    is_special
        bool [token], true for `<cls>`.
    """

    vocabulary: Vocabulary
    sequence: str
    ids: np.ndarray
    spans: np.ndarray
    is_special: np.ndarray

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
    def is_kmer(self) -> np.ndarray:
        """Where a token covers k bases, none of them N, bool [token]."""
        full = (self.spans[:, 1] - self.spans[:, 0]) == self.vocabulary.k
        return frozen(full & ~self.is_n) if self.vocabulary.k == 1 else frozen(full)

    @cached_property
    def is_n(self) -> np.ndarray:
        """Where a token is an N of the sequence, whatever id it has been given, bool [token]."""
        letters = np.frombuffer(self.sequence.encode("ascii"), dtype=np.uint8)
        return frozen((letters[self.spans[:, 0]] == ord("N")) & ~self.is_special)

    @cached_property
    def _token_of_base(self) -> np.ndarray:
        return frozen(np.repeat(np.arange(len(self.ids)), self.spans[:, 1] - self.spans[:, 0]))

    def token_at(self, base: int | np.ndarray) -> int | np.ndarray:
        """The index of the token that covers a base, or int64 of the same shape for an array of bases.

        Parameters
        ----------
        base
            0-based, in bp within the sequence.

        Raises
        ------
        ValueError
            If a base lies outside the sequence.

        Examples
        --------
        >>> from ntviz.tokens import Tokenizer
        >>> Tokenizer("nt-v1")("ATTCCGNA").token_at(6)
        2
        """
        bases = np.asarray(base)
        if not np.issubdtype(bases.dtype, np.integer):
            raise TypeError(f"A base must be a 0-based integer; received {bases.dtype}. Round it to an int.")
        outside = (bases < 0) | (bases >= len(self.sequence))
        if outside.any():
            raise ValueError(
                f"A base must lie in the sequence, 0 to {len(self.sequence) - 1:,}; received "
                f"{int(bases[outside][0]):,}. Subtract the interval's start from a genome position."
            )
        found = self._token_of_base[bases]
        return int(found) if bases.ndim == 0 else found

    def bases_of(self, token: int) -> tuple[int, int]:
        """The bases that a token covers, 0-based half-open within the sequence; (0, 0) for a special token.

        Raises
        ------
        ValueError
            If there is no such token.
        """
        if not 0 <= token < len(self.ids):
            raise ValueError(
                f"A token index must be in 0 to {len(self.ids) - 1:,}; received {token}. Count tokens from "
                "0, <cls> included."
            )
        start, end = self.spans[token].tolist()
        return start, end

    def to_bases(self, values: np.ndarray) -> np.ndarray:
        """Values of tokens [token, ...] given to each base they cover, [base, ...]; special tokens drop out.

        Raises
        ------
        ValueError
            If there is not one value for each token.

        Examples
        --------
        >>> from ntviz.tokens import Tokenizer
        >>> Tokenizer("nt-3mer")("ATTCA").to_bases([9, 1, 2, 3]).tolist()
        [1, 1, 1, 2, 3]
        """
        values = np.asarray(values)
        if values.ndim == 0 or len(values) != len(self.ids):
            raise ValueError(
                f"Values must have one row for each of the {len(self.ids):,} tokens, special ones included; "
                f"received shape {list(values.shape)}. Pass the model's output of this sequence, without "
                "padding."
            )
        return values[self._token_of_base]

    def from_bases(
        self, values: np.ndarray, *, reduce: Literal["any", "mean", "sum", "max"] = "mean"
    ) -> np.ndarray:
        """Values of bases [base, ...] reduced over each token, [token, ...].

        Parameters
        ----------
        values
            [base, ...], one row for each base of the sequence.
        reduce
            `any` gives bool, `sum` keeps integers, `mean` and `max` give floats. Special tokens, which
            cover no base, get False, 0, nan and nan.

        Raises
        ------
        ValueError
            If there is not one value for each base, or the reduction is unknown.

        Examples
        --------
        >>> from ntviz.tokens import Tokenizer
        >>> Tokenizer("nt-3mer")("ATTCA").from_bases([0, 0, 1, 0, 1], reduce="any").tolist()
        [False, True, False, True]
        """
        values = np.asarray(values)
        if values.ndim == 0 or len(values) != len(self.sequence):
            raise ValueError(
                f"Values must have one row for each of the {len(self.sequence):,} bases; received shape "
                f"{list(values.shape)}. Use to_bases for values of tokens."
            )
        covering = np.flatnonzero(~self.is_special)
        starts = self.spans[covering, 0]
        shape = (len(self.ids), *values.shape[1:])
        if reduce == "any":
            result = np.zeros(shape, dtype=bool)
            result[covering] = np.logical_or.reduceat(values.astype(bool), starts, axis=0)
        elif reduce == "sum":
            # Added up as they are, booleans would stay booleans.
            numbers = values.astype(np.int64) if values.dtype == bool else values
            sums = np.add.reduceat(numbers, starts, axis=0)
            result = np.zeros(shape, dtype=sums.dtype)
            result[covering] = sums
        elif reduce in ("mean", "max"):
            floats = values.astype(np.result_type(values.dtype, np.float32))
            result = np.full(shape, np.nan, dtype=floats.dtype)
            if reduce == "max":
                result[covering] = np.maximum.reduceat(floats, starts, axis=0)
            else:
                sizes = (self.spans[covering, 1] - starts).reshape(-1, *(1,) * (values.ndim - 1))
                result[covering] = np.add.reduceat(floats, starts, axis=0) / sizes
        else:
            raise ValueError(
                f"reduce must be 'any', 'mean', 'sum' or 'max'; received {reduce!r}. Use one of these."
            )
        return result

    def on(self, interval: Interval) -> np.ndarray:
        """The span of each token on the genome, int64 [token, 2], 0-based half-open on the interval's contig.

        On strand `-` the sequence is read from the right end of the interval, so spans run from right to
        left. Special tokens get an empty span at the end where reading starts.

        Raises
        ------
        ValueError
            If the interval is not as long as the sequence.

        Examples
        --------
        >>> from ntviz.tokens import Tokenizer
        >>> Tokenizer("nt-3mer")("ATTCA").on(Interval("chr20", 100, 105, "-")).tolist()
        [[105, 105], [102, 105], [101, 102], [100, 101]]
        """
        if len(interval) != len(self.sequence):
            raise ValueError(
                f"The interval must be as long as the sequence; received {interval.label()} with "
                f"{len(interval):,} bp for {len(self.sequence):,} bases. Pass the interval that the sequence "
                "was fetched from."
            )
        if interval.strand == "-":
            return interval.end - self.spans[:, ::-1]
        return interval.start + self.spans
