"""Bases whose short words are indexed once, so that a motif looks only where a word lets it match."""

from __future__ import annotations

import numpy as np

from ntviz.sequence import codes

# Long words leave fewer places to look at, and a table of 4 ** 8 scores pays off in many bases only.
_LONG, _WORD, _SHORT_WORD = 1 << 16, 8, 5


class Words:
    """Bases whose words of k have been numbered and indexed once for each k, for all motifs.

    Parameters
    ----------
    sequence
        Upper-case A, C, G, T, N.
    """

    def __init__(self, sequence: str) -> None:
        self.codes = codes(sequence)
        self._unknown = np.r_[0, np.cumsum(self.codes == 4, dtype=np.int64)]
        self._numbers: dict[int, np.ndarray] = {}
        self._places: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def known(self, width: int) -> np.ndarray:
        """Whether the stretch of `width` bp that begins at each base, where one does, holds no N; bool [start]."""
        return self._unknown[width:] == self._unknown[: len(self._unknown) - width]

    def matches(self, steps: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
        """Starts of the stretches without N that score `least` steps or more, in order, and their scores.

        Parameters
        ----------
        steps
            int64 [position, base], 0 or more: the score of each base.
        least
            Above 0, or every stretch would match.
        """
        width = len(steps)
        last = len(self.codes) - width
        if last < 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        k = min(_WORD if len(self.codes) >= _LONG else _SHORT_WORD, width)
        blocks = []
        for first in range(0, width, k):
            # The last word ends where the motif does; bases that the word before it has counted count nothing.
            begin = min(first, width - k)
            counted = np.arange(begin, begin + k) < first
            blocks.append((begin, np.where(counted[:, None], 0, steps[begin : begin + k])))
        # The word that says most comes first, and the others are looked up only where it leaves a chance.
        blocks.sort(key=lambda block: -int(block[1].max(axis=1).sum()))
        rest = sum(int(block.max(axis=1).sum()) for _, block in blocks)
        starts = scores = np.zeros(0, dtype=np.int64)
        for index, (begin, block) in enumerate(blocks):
            rest -= int(block.max(axis=1).sum())
            table = _table(block)
            if index == 0:
                words = np.flatnonzero(table >= least - rest)
                starts, sizes = self._where(k, words)
                starts -= begin
                scores = np.repeat(table[words], sizes)
                kept = (starts >= 0) & (starts <= last)
            else:
                number = self._number(k)[starts + begin]
                scores = scores + table[np.maximum(number, 0)]
                kept = (scores >= least - rest) & (number >= 0)
            starts, scores = starts[kept], scores[kept]
        order = np.argsort(starts)
        return starts[order], scores[order].astype(np.int64)

    def _number(self, k: int) -> np.ndarray:
        """Number of the word that begins at each base, in base four; -1 where it holds an N."""
        if k not in self._numbers:
            count = len(self.codes) - k + 1
            number = np.zeros(count, dtype=np.int32)
            for offset in range(k):
                number <<= 2
                number += self.codes[offset : offset + count] & 3
            number[~self.known(k)] = -1
            self._numbers[k] = number
        return self._numbers[k]

    def _where(self, k: int, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Starts of these words, one word after the other, and how many each has."""
        if k not in self._places:
            number = self._number(k)
            known = np.flatnonzero(number >= 0)
            number = number[known].astype(np.uint16)  # as wide as 4 ** 8 words need; sorted by radix
            ends = np.cumsum(np.bincount(number, minlength=4**k))
            self._places[k] = known[np.argsort(number, kind="stable")], np.r_[0, ends]
        places, ends = self._places[k]
        sizes = ends[words + 1] - ends[words]
        skipped = ends[words] - (np.cumsum(sizes) - sizes)
        return places[np.repeat(skipped, sizes) + np.arange(sizes.sum())], sizes


def _table(block: np.ndarray) -> np.ndarray:
    """Score of each word of bases [position, base]."""
    scores = np.zeros(1, dtype=np.int32)  # half the memory of int64, which is where the time goes
    for row in block.astype(np.int32):
        scores = (scores[:, None] + row).ravel()
    return scores
