"""`Attribution`: what each base of a sequence contributes to a target, and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ntviz.genome import Interval
from ntviz.tokens import Tokens

if TYPE_CHECKING:
    import pandas as pd

SHARES = ("even", "none")
ENOUGH = 0.01
"""Relative error of completeness below which an attribution is called complete."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """Contributions of the bases of a sequence to one number.

    Attributes
    ----------
    tokens
        Of the sequence.
    per_token
        float64 [token], in the unit of the target; its sum is `value` less `baseline_value`, up to `error`.
    method, baseline
        How it was computed, and what the sequence was compared with.
    value, baseline_value
        The target of the sequence, and the mean target of its baselines; nan for a method without baseline.
    error
        Completeness: |sum of contributions - (value - baseline_value)| / |value - baseline_value|; nan without baseline.
    steps
        Of the integral; 0 where there is none.
    per_base_of_strands
        float64 [base] where both strands were averaged, in place of what `per_token` gives; else None.
    """

    tokens: Tokens
    per_token: np.ndarray
    method: str
    baseline: str
    value: float
    baseline_value: float
    error: float
    steps: int
    per_base_of_strands: np.ndarray | None = None

    def __repr__(self) -> str:
        told = "no baseline" if np.isnan(self.error) else f"error {self.error:.2%}, {self.steps:,} steps"
        return f"Attribution({self.method} over {len(self.tokens.sequence):,} bp against {self.baseline or 'nothing'}: {told})"

    @property
    def complete(self) -> bool:
        """Whether contributions add up to what they explain, within 1 %."""
        return bool(self.error <= ENOUGH)

    def per_base(self, share: str = "even") -> np.ndarray:
        """Contributions by base, float64 [base].

        Parameters
        ----------
        share
            "even": each base of a token gets an equal part, so that they add up to the token's. "none": each base shows the whole of its
            token, for looking at only: they do not add up.

        Raises
        ------
        ValueError
            Another share, or "none" of both strands, whose tokens differ.
        """
        if share not in SHARES:
            raise ValueError(f"share must be one of {', '.join(SHARES)}; received {share!r}.")
        if self.per_base_of_strands is not None:
            if share == "none":
                raise ValueError(
                    "Both strands have other tokens; their mean has shares only. Ask for share='even'."
                )
            return self.per_base_of_strands
        sizes = (self.tokens.spans[:, 1] - self.tokens.spans[:, 0]).clip(min=1)
        return self.tokens.to_bases(self.per_token / sizes if share == "even" else self.per_token)

    def table(self, interval: Interval | None = None, *, share: str = "even") -> pd.DataFrame:
        """One row a base: [position, base, attribution], or [chrom, start, end, base, attribution] on the genome.

        Positions are 0-based; `start` and `end` are those of BED. An interval on the strand - counts downwards.
        """
        import pandas as pd

        values, sequence = self.per_base(share), self.tokens.sequence
        place = np.arange(len(sequence))
        if interval is None:
            return pd.DataFrame({"position": place, "base": list(sequence), "attribution": values})
        if len(interval) != len(sequence):
            raise ValueError(
                f"The interval must be as long as the sequence, {len(sequence):,} bp; received {len(interval):,} bp."
            )
        start = interval.end - 1 - place if interval.strand == "-" else interval.start + place
        return pd.DataFrame(
            {
                "chrom": interval.chrom,
                "start": start,
                "end": start + 1,
                "base": list(sequence),
                "attribution": values,
            }
        )
