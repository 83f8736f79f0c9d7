"""Bins of equal width as tokens, for models that read bases and answer by bin."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ntviz.genome.sequence import require
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
        return frozen(self._n == np.diff(self.spans)[:, 0])

    @cached_property
    def is_kmer(self) -> np.ndarray:
        """Where a bin is whole and has no N, bool [token]."""
        return frozen((np.diff(self.spans)[:, 0] == self.vocabulary.k) & (self._n == 0))

    @property
    def _n(self) -> np.ndarray:
        letters = np.frombuffer(self.sequence.encode("ascii"), dtype=np.uint8)
        return self.from_bases(letters == ord("N"), reduce="sum")


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
        """The bins, at most `max_tokens`, of a clean sequence, upper-case A, C, G, T, N."""
        edges = np.append(np.arange(0, len(require(sequence)), self.vocabulary.k), len(sequence))
        spans, none = np.stack((edges[:-1], edges[1:]), axis=1), np.zeros(len(edges) - 1, bool)
        return Bins.within(max_tokens, self.vocabulary, sequence, none.astype(np.int64), spans, none)
