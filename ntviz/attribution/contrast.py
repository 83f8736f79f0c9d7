"""Two alleles side by side: the attribution of each, and their difference base by base around an insertion or deletion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.attribution.gradients import integrated_gradients
from ntviz.attribution.result import Attribution
from ntviz.attribution.target import Target

if TYPE_CHECKING:
    import pandas as pd

ALONE = -1  # stands for the base that an allele lacks


@dataclass(frozen=True, eq=False)
class Contrast:
    """The attributions of a reference and an alternative sequence, aligned by the one stretch in which they differ.

    `columns` int64 [column, 2] are positions in the reference and in the alternative, 0-based; -1 where one lacks the base.
    Bases of a substitution stand side by side; of an insertion or deletion, the bases that are more stand alone behind.
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
        reference, alternative = np.nan_to_num(self._placed(share))
        return alternative - reference

    def table(self, *, share: str = "even") -> pd.DataFrame:
        """One row a column: [position, alternative_position, base, alternative_base, reference, alternative, difference].

        Positions are 0-based in each sequence and <NA> where a base is lacking; there the base is "-" and the contribution nan.
        """
        import pandas as pd

        places, bases = pd.DataFrame(self.columns, dtype="Int64").replace(ALONE, pd.NA), []
        for each, column in zip((self.reference, self.alternative), self.columns.T, strict=True):
            bases.append(["-" if at == ALONE else each.tokens.sequence[at] for at in column])
        reference, alternative = self._placed(share)
        values = {"reference": reference, "alternative": alternative, "difference": self.difference(share)}
        positions = {"position": places[0], "alternative_position": places[1]}
        return pd.DataFrame({**positions, "base": bases[0], "alternative_base": bases[1], **values})

    def _placed(self, share: str) -> list[np.ndarray]:
        """Contributions [column] in the reference and in the alternative, nan where the base is lacking."""
        pairs = zip((self.reference, self.alternative), self.columns.T, strict=True)
        return [np.where(at == ALONE, np.nan, each.per_base(share)[at]) for each, at in pairs]


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
    Behind an insertion or deletion a k-mer model reads other tokens than in the reference, which is part of the difference,
    and less with `frames`.
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
