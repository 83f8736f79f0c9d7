"""Bins of equal width as tokens, for models that read bases and answer by bin."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ntviz.sequence import require
from ntviz.tokens.tokens import Tokens
from ntviz.tokens.vocabulary import Vocabulary, frozen


class Bins(Tokens):
    """A sequence in bins: tokens of one width, the last one shorter where the sequence ends within it.

    All ids are 0, as a bin is no word: a model reads the bases of `sequence`.
    """

    @property
    def strings(self) -> list[str]:
        """The bases of each bin."""
        return [self.sequence[start:end] for start, end in self.spans.tolist()]

    @cached_property
    def is_n(self) -> np.ndarray:
        """Where all bases of a bin are N, bool [token]."""
        return frozen(self.from_bases(self._is_n_base, reduce="sum") == self.spans[:, 1] - self.spans[:, 0])

    @cached_property
    def is_kmer(self) -> np.ndarray:
        """Where a bin is whole and has no N, bool [token]."""
        whole = self.spans[:, 1] - self.spans[:, 0] == self.vocabulary.k
        return frozen(whole & ~self.from_bases(self._is_n_base, reduce="any"))

    @property
    def _is_n_base(self) -> np.ndarray:
        return np.frombuffer(self.sequence.encode("ascii"), dtype=np.uint8) == ord("N")


class BinTokenizer:
    """Cuts sequences into bins.

    >>> BinTokenizer(4)("ACGTACGTAN").spans.tolist()
    [[0, 4], [4, 8], [8, 10]]
    """

    def __init__(self, width: int) -> None:
        self.vocabulary = Vocabulary(
            f"enformer-{width}bp", width, ("<bin>", "<pad>"), cls_id=None, n_logits=0
        )

    def __repr__(self) -> str:
        return f"BinTokenizer({self.vocabulary.k})"

    def __call__(self, sequence: str, *, max_tokens: int | None = None) -> Bins:
        """The bins of a clean sequence, upper-case A, C, G, T, N.

        Raises
        ------
        ValueError
            If the sequence is empty or holds other letters, or has more than `max_tokens` bins.
        """
        width = self.vocabulary.k
        starts = np.arange(0, len(require(sequence)), width, dtype=np.int64)
        if max_tokens is not None and len(starts) > max_tokens:
            raise ValueError(
                f"A sequence must fit into {max_tokens:,} bins of {width} bp ({max_tokens * width:,} bp); received "
                f"{len(sequence):,} bp. Narrow the interval, or cut it into windows."
            )
        spans = np.stack((starts, np.minimum(starts + width, len(sequence))), axis=1)
        ids = np.zeros(len(starts), dtype=np.int64)
        return Bins(self.vocabulary, sequence, frozen(ids), frozen(spans), frozen(ids.astype(bool)))
