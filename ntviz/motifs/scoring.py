"""Scores of a motif in whole steps, and their exact p-values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ntviz.motifs.matrix import Motif

STEP = 0.01  # bits between two scores


@dataclass(frozen=True, eq=False)
class Scoring:
    """A motif's log odds, rounded to whole steps, with the chance of each score.

    Attributes
    ----------
    steps
        int64 [position, base]: log odds in steps of `STEP` bits above the smallest of the position, so 0 or more.
    lowest
        Steps that the smallest score has.
    tail
        Probability [score] that a random site scores this many steps above `lowest` or more, with bases drawn one by
        one from the background. It falls from 1.
    """

    steps: np.ndarray
    lowest: int
    tail: np.ndarray

    @classmethod
    def of(cls, motif: Motif, background: np.ndarray, pseudocount: float) -> Scoring:
        """The scoring of one motif on the forward strand."""
        rounded = np.rint(motif.log_odds(background, pseudocount) / STEP).astype(np.int64)
        smallest = rounded.min(axis=1)
        steps = rounded - smallest[:, None]
        # Position by position: the distribution of a sum is that of the sum so far, moved by each base's score.
        chance = np.ones(1)
        for row in steps:
            longer = np.zeros(len(chance) + int(row.max()))
            for step, probability in zip(row.tolist(), background, strict=True):
                longer[step : step + len(chance)] += probability * chance
            chance = longer
        # Summed from the rare end, so that small probabilities keep their digits.
        return cls(steps, int(smallest.sum()), np.minimum(np.cumsum(chance[::-1])[::-1], 1))

    def bits(self, score: np.ndarray) -> np.ndarray:
        """Scores in steps above the lowest, as log odds in bits."""
        return (score + self.lowest) * STEP

    def threshold(self, p: float) -> int | None:
        """The smallest score whose probability is at most p; None when even the best is more probable."""
        # A sum of many small probabilities that should be p may be a rounding error above it.
        reached = int(np.searchsorted(-self.tail, -p * (1 + 1e-9), side="left"))
        return reached if reached < len(self.tail) else None

    @property
    def best_p(self) -> float:
        """Probability of the best score."""
        return float(self.tail[-1])
