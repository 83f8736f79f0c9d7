"""Windows around seqlets: their bases and contributions, and how they lie after they are aligned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ntviz.sequence import codes

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Placed:
    """Windows on a common axis; beyond the end of a sequence there is N, no contribution and position -1.

    Attributes
    ----------
    sequence
        [window].
    position
        In the sequence, int64 [window, column]; it falls where the window is turned.
    codes, values, covered
        Base in the direction of the axis, contribution, and whether it is in the seqlet: each [window, column].
    """

    sequence: np.ndarray
    position: np.ndarray
    codes: np.ndarray
    values: np.ndarray
    covered: np.ndarray


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of one width, each with its seqlet in the middle.

    Attributes
    ----------
    sequence, begin
        Number of the sequence, and where in it the window begins, which may be below 0: [window].
    codes, values, covered
        Base (4 for N and what is beyond the ends), contribution, and whether it is in the seqlet: [window, position].
    known
        Whether it is in the sequence: [window, position].
    sign
        The direction of the contributions that are looked at.
    """

    sequence: np.ndarray
    begin: np.ndarray
    codes: np.ndarray
    values: np.ndarray
    covered: np.ndarray
    known: np.ndarray
    sign: int

    @classmethod
    def around(
        cls,
        table: pd.DataFrame,
        sequences: Sequence[str],
        contributions: Sequence[np.ndarray],
        *,
        flank: int,
        sign: int,
    ) -> Windows:
        """Windows around the seqlets of a table, wider than the longest by a flank on either side."""
        sequence, start, end = (table[name].to_numpy(dtype=np.int64) for name in ("sequence", "start", "end"))
        half = -(-int((end - start).max()) // 2) + flank
        begin = (start + end) // 2 - half
        shape = (len(table), 2 * half)
        letters, values = np.full(shape, 4, dtype=np.uint8), np.zeros(shape)
        known = np.zeros(shape, dtype=bool)
        for row, (number, first) in enumerate(zip(sequence.tolist(), begin.tolist(), strict=True)):
            low, high = max(0, first), min(len(sequences[number]), first + 2 * half)
            part = slice(low - first, high - first)
            letters[row, part] = codes(sequences[number][low:high])
            values[row, part] = contributions[number][low:high]
            known[row, part] = True
        place = begin[:, None] + np.arange(2 * half)
        covered = (place >= start[:, None]) & (place < end[:, None])
        return cls(sequence, begin, letters, values, covered, known, sign)

    @property
    def inside(self) -> np.ndarray:
        """Bases of the seqlets, weighted by contributions in the direction of the sign: float64 [window, position, base]."""
        weight = np.where(self.covered, self.sign * self.values, 0)
        return weight[:, :, None] * (self.codes[:, :, None] == np.arange(4))

    def aligned(self, members: np.ndarray, shift: np.ndarray, flipped: np.ndarray) -> Placed:
        """Members on the axis of a pattern: turned if they are to be, then moved by the shift."""
        width = self.codes.shape[1]
        at = np.arange(width) - shift[:, None]
        at = np.where(flipped[:, None], width - 1 - at, at)
        there = (at >= 0) & (at < width)
        at, row = at.clip(0, width - 1), members[:, None]
        there &= self.known[row, at]
        letters = np.where(there, self.codes[row, at], 4)
        letters = np.where(flipped[:, None] & (letters < 4), 3 - letters, letters)
        return Placed(
            self.sequence[members],
            np.where(there, self.begin[row] + at, -1),
            letters,
            np.where(there, self.values[row, at], 0),
            there & self.covered[row, at],
        )
