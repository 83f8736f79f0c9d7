"""Two alleles side by side: the attribution of each, and their difference base by base around an insertion or deletion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.attribution.gradients import integrated_gradients
from ntviz.attribution.result import Attribution
from ntviz.attribution.targets import Target

if TYPE_CHECKING:
    import pandas as pd

ALONE = -1
"""Stands for no base: what an allele lacks."""


@dataclass(frozen=True, eq=False)
class Contrast:
    """The attributions of a reference and an alternative sequence, aligned by the one stretch in which they differ.

    Attributes
    ----------
    reference, alternative
        The attribution of each.
    columns
        int64 [column, 2]: positions in the reference and in the alternative, 0-based; -1 where one lacks the base. Bases of a
        substitution stand side by side; of an insertion or deletion, the bases that are more stand alone behind them.
    """

    reference: Attribution
    alternative: Attribution
    columns: np.ndarray

    @property
    def change(self) -> float:
        """The target of the alternative less that of the reference."""
        return self.alternative.value - self.reference.value

    def difference(self, share: str = "even") -> np.ndarray:
        """Contributions in the alternative less those in the reference, float64 [column]; a base alone counts whole.

        Its sum is the difference of what both contrasts with their baselines explain.
        """
        one, other = (self._placed(index, share) for index in (0, 1))
        return np.nan_to_num(other) - np.nan_to_num(one)

    def table(self, *, share: str = "even") -> pd.DataFrame:
        """One row a column: [position, alternative_position, base, alternative_base, reference, alternative, difference].

        Positions are 0-based in each sequence and <NA> where a base is lacking; there the base is "-" and the contribution nan.
        """
        import pandas as pd

        bases = [
            ["-" if at == ALONE else one.tokens.sequence[at] for at in places]
            for one, places in zip((self.reference, self.alternative), self.columns.T, strict=True)
        ]
        first, second = (
            pd.array([None if at == ALONE else int(at) for at in places], dtype="Int64")
            for places in self.columns.T
        )
        return pd.DataFrame(
            {
                "position": first,
                "alternative_position": second,
                "base": bases[0],
                "alternative_base": bases[1],
                "reference": self._placed(0, share),
                "alternative": self._placed(1, share),
                "difference": self.difference(share),
            }
        )

    def _placed(self, index: int, share: str) -> np.ndarray:
        values = (self.reference, self.alternative)[index].per_base(share)
        places = self.columns[:, index]
        return np.where(places == ALONE, np.nan, values[places])


def contrast(
    model: Any,
    reference: str,
    alternative: str,
    target: Target,
    *,
    alternative_target: Target | None = None,
    attribute: Callable[..., Attribution] = integrated_gradients,
    **options: Any,
) -> Contrast:
    """What two alleles owe to which bases.

    Parameters
    ----------
    model, target
        As in `integrated_gradients`; the target is of the reference.
    reference, alternative
        Sequences with each allele, from the same place on; the alternative longer or shorter by an insertion or deletion.
    alternative_target
        Of the alternative. Default: the same, its position moved by what was inserted or deleted before it.
    attribute
        `integrated_gradients` or `gradient_times_input`; `options` are handed to it.

    Raises
    ------
    ValueError
        Sequences that do not differ, a position within the insertion or deletion, or as `integrated_gradients`.

    Notes
    -----
    Behind an insertion or deletion a k-mer model reads other tokens than in the reference: part of what is told, and less with `frames`.
    Swapping the alleles changes the sign of the difference and nothing else.
    """
    columns, (start, end) = aligned(reference, alternative)
    by = len(alternative) - len(reference)
    other = target.edited(start, end, by) if alternative_target is None else alternative_target
    return Contrast(
        attribute(model, reference, target, **options),
        attribute(model, alternative, other, **options),
        columns,
    )


def aligned(reference: str, alternative: str) -> tuple[np.ndarray, tuple[int, int]]:
    """Positions side by side, int64 [column, 2], and the stretch of the reference that changed, 0-based half-open.

    What both begin with stands together, then what both end with; the edit is what is left between.

    Raises
    ------
    ValueError
        Sequences that do not differ.

    Examples
    --------
    >>> columns, stretch = aligned("ACGT", "ACTTGT")
    >>> columns.tolist(), stretch
    ([[0, 0], [1, 1], [-1, 2], [-1, 3], [2, 4], [3, 5]], (2, 2))
    """
    if reference == alternative:
        raise ValueError(
            f"Two alleles must differ; received the same {len(reference):,} bp twice. Put the other allele into one."
        )
    shorter = min(len(reference), len(alternative))
    pairs = zip(reference, alternative, strict=False)
    start = next((at for at, (one, other) in enumerate(pairs) if one != other), shorter)
    behind = 0
    while behind < shorter - start and reference[-1 - behind] == alternative[-1 - behind]:
        behind += 1
    ends = len(reference) - behind, len(alternative) - behind
    together = min(ends)
    columns = [(at, at) for at in range(together)]
    columns += [(at, ALONE) for at in range(together, ends[0])]
    columns += [(ALONE, at) for at in range(together, ends[1])]
    columns += [(ends[0] + at, ends[1] + at) for at in range(behind)]
    return np.array(columns, dtype=np.int64), (start, ends[0])
