"""`Attribution`: what each base of a sequence contributes to a target, and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntviz.genome import Interval
from ntviz.tokens import Tokens

if TYPE_CHECKING:
    import pandas as pd
    import torch

SHARES = ("even", "gradient", "none")
ENOUGH = 0.01
"""Relative error of completeness below which an attribution is called complete."""


class Compared(NamedTuple):
    """One baseline: means over its `draws` of the target and of contributions [token], and its own error of completeness."""

    name: str
    draws: int
    value: float
    per_token: np.ndarray
    error: float


class View(NamedTuple):
    """One strand and frame that a mean was taken over; `flipped` where it is of the other strand."""

    attribution: Attribution
    flipped: bool


@dataclass(frozen=True, eq=False)
class Attribution:
    """Contributions of the bases of a sequence to one number.

    `per_token` float64 [token] is in the `unit` of the target; its sum is `value` less `baseline_value`, the mean target of the
    baselines, up to `error`, the completeness: |sum of contributions - change| / |change|, the change at least a
    ten-thousandth of the value. `baseline_value` and `error` are nan for a method without baseline. `shares` float64 [base]
    are parts of the token by gradient; None: even ones. `compared` has each baseline by itself; `per_token` is their mean.
    `views` are strands and frames, where they were averaged by base: `error` is the worst, `per_token` that of the first.
    """

    tokens: Tokens
    per_token: np.ndarray
    method: str
    baseline: str
    value: float
    baseline_value: float
    error: float
    steps: int
    unit: str = ""
    shares: np.ndarray | None = None
    compared: tuple[Compared, ...] = ()
    views: tuple[View, ...] = ()

    def __repr__(self) -> str:
        error = "no baseline" if np.isnan(self.error) else f"error {self.error:.2%}, {self.steps:,} steps"
        return f"Attribution({self.method} over {len(self.tokens.sequence):,} bp against {self.baseline or 'nothing'}: {error})"

    @property
    def complete(self) -> bool:
        """Whether contributions add up to what they explain, within 1 %."""
        return bool(self.error <= ENOUGH)

    def per_base(self, share: str = "even") -> np.ndarray:
        """Contributions by base, float64 [base].

        Parameters
        ----------
        share
            "even": each base of a token gets an equal part. "gradient": by how much changing it would matter, to first order.
            "none": each base shows the whole of its token, to look at only; a ValueError of several strands or frames.
        """
        if share not in SHARES:
            raise ValueError(f"share must be one of {', '.join(SHARES)}; received {share!r}.")
        if self.views:
            if share == "none":
                raise ValueError("Strands and frames have tokens of their own; their mean has shares only. Ask for share='even'.")  # fmt: skip
            each = [view.attribution.per_base(share)[:: -1 if view.flipped else 1] for view in self.views]
            return np.mean(each, axis=0)
        whole = self.tokens.to_bases(self.per_token)
        if share == "none":
            return whole
        by_gradient = share == "gradient" and self.shares is not None
        return whole * (self.shares if by_gradient else even(self.tokens))

    def by_token(self) -> np.ndarray:
        """Contributions by token of the first strand and frame, float64 [token]: of means, the sums of their bases."""
        return self.per_token if not self.views else self.tokens.from_bases(self.per_base(), reduce="sum")

    def table(self, interval: Interval | None = None, *, share: str = "even") -> pd.DataFrame:
        """One row a base: [position, base, attribution], or [chrom, start, end, base, attribution] on the genome.

        Positions are 0-based; `start` and `end` are those of BED. An interval on the strand - counts downwards; one of
        another length is a ValueError.
        """
        import pandas as pd

        values, sequence = self.per_base(share), self.tokens.sequence
        place = np.arange(len(sequence))
        if interval is None:
            return pd.DataFrame({"position": place, "base": list(sequence), "attribution": values})
        if len(interval) != len(sequence):
            raise ValueError(f"The interval must be as long as the sequence, {len(sequence):,} bp; received {len(interval):,} bp.")  # fmt: skip
        start = interval.end - 1 - place if interval.strand == "-" else interval.start + place
        places = {"chrom": interval.chrom, "start": start, "end": start + 1}
        return pd.DataFrame({**places, "base": list(sequence), "attribution": values})


def averaged(views: list[View]) -> Attribution:
    """The mean over strands and frames by base; one view is given as it is."""
    every = [view.attribution for view in views]
    first = every[0]
    if len(views) == 1:
        return first
    strands, frames = len({view.flipped for view in views}), len(views)
    method = first.method + (", both strands" if strands == 2 else "")
    if frames > strands:
        method += f", {frames // strands} frames"
    value, baseline = (float(np.mean([getattr(view, name) for view in every])) for name in ("value", "baseline_value"))
    error, steps = float(np.max([view.error for view in every])), max(view.steps for view in every)
    return replace(
        first, method=method, value=value, baseline_value=baseline, error=error, steps=steps, shares=None, compared=(),
        views=tuple(views),
    )  # fmt: skip


def even(tokens: Tokens) -> np.ndarray:
    """Equal parts of a token, float64 [base]: one over its size."""
    return tokens.to_bases(1 / (tokens.spans[:, 1] - tokens.spans[:, 0]).clip(min=1))


def by_gradient(tokens: Tokens, ids: np.ndarray, gradient: torch.Tensor, table: torch.Tensor) -> np.ndarray:
    """Parts of a token, which add up to one, by how much changing a base would matter, float64 [base].

    A base weighs as the mean of |gradient · (vector of the k-mer with another base there - vector of the k-mer)| over the
    three other bases: the effect of each change to first order. `gradient` is [token, channel], `table` [id, channel]. Parts
    are even where no change matters, in tokens that are hidden, and in tokens that are no k-mers.
    """
    import torch

    parts, k = even(tokens), tokens.vocabulary.k
    rows = np.flatnonzero(tokens.is_kmer & (ids == tokens.ids))
    if k == 1 or not len(rows):
        return parts
    kmers = tokens.vocabulary.kmer_ids
    numbers = ids[rows] - kmers.start
    # A k-mer's id is a number in base 4: another base moves it by its place.
    places = 4 ** np.arange(k)[::-1]
    digits = numbers[:, None] // places % 4
    others = (numbers[:, None] - digits * places)[..., None] + np.arange(4) * places[:, None]
    own = gradient[torch.from_numpy(rows).to(gradient.device)].float()
    slopes = (own @ table[kmers].float().T).cpu().numpy()
    at = np.arange(len(rows))
    change = slopes[at[:, None, None], others] - slopes[at, numbers][:, None, None]
    weights = np.abs(change.astype(np.float64)).sum(-1) / 3
    total = weights.sum(1, keepdims=True)
    shares = np.divide(weights, total, out=np.full(weights.shape, 1 / k), where=total > 0)
    parts[tokens.spans[rows, :1] + np.arange(k)] = shares
    return parts
