"""Two alleles side by side: the attribution of each, and their difference base by base around an insertion or deletion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os.path import commonprefix
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
    """

    reference: Attribution
    alternative: Attribution
    columns: np.ndarray

    @property
    def change(self) -> float:
        """The target of the alternative less that of the reference."""
        return self.alternative.value - self.reference.value

    def difference(self, share: str = "even") -> np.ndarray:
        """Contributions in the alternative less those in the reference, float64 [column]; a base alone counts whole."""
        reference, alternative = np.nan_to_num(self._placed(share))
        return alternative - reference

    def table(self, *, share: str = "even") -> pd.DataFrame:
        """One row a column: [position, alternative_position, base, alternative_base, reference, alternative, difference].

        Positions are 0-based in each sequence and <NA> where a base is lacking; there the base is "-" and the contribution nan.
        """
        import pandas as pd

        places = pd.DataFrame(self.columns, columns=["position", "alternative_position"], dtype="Int64")
        bases = [
            ["-" if at == ALONE else each.tokens.sequence[at] for at in column]
            for each, column in zip((self.reference, self.alternative), self.columns.T, strict=True)
        ]
        reference, alternative = self._placed(share)
        return places.replace(ALONE, pd.NA).assign(
            base=bases[0], alternative_base=bases[1],
            reference=reference, alternative=alternative, difference=self.difference(share),
        )  # fmt: skip

    def _placed(self, share: str) -> list[np.ndarray]:
        """Contributions [column] in the reference and in the alternative, nan where the base is lacking."""
        pairs = zip((self.reference, self.alternative), self.columns.T, strict=True)
        return [np.where(at == ALONE, np.nan, each.per_base(share)[at]) for each, at in pairs]


def contrast(
    model: Any, reference: str, alternative: str, target: Target, *, alternative_target: Target | None = None,
    attribute: Callable[..., Attribution] = integrated_gradients, **options: Any,
) -> Contrast:  # fmt: skip
    """What two alleles owe to which bases.

    The sequences begin at the same place. The target is of the reference; that of the alternative is by default the same, its
    position moved by what was inserted or deleted before it. `attribute` is `integrated_gradients` or `gradient_times_input`
    and gets the `options`. Sequences that do not differ, or a position within the insertion or deletion, are a ValueError.

    Behind an insertion or deletion a k-mer model reads other tokens than in the reference, which is part of the difference,
    and less with `frames`.
    """
    columns, (start, end) = aligned(reference, alternative)
    by = len(alternative) - len(reference)
    other = target.edited(start, end, by) if alternative_target is None else alternative_target
    first = attribute(model, reference, target, **options)
    return Contrast(first, attribute(model, alternative, other, **options), columns)


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
        raise ValueError(f"Two alleles must differ; received the same {len(reference):,} bp twice. Put the other allele into one.")  # fmt: skip
    start = len(commonprefix([reference, alternative]))  # noqa: RUF071 - letters, not paths
    behind = len(commonprefix([reference[start:][::-1], alternative[start:][::-1]]))  # noqa: RUF071
    ends = len(reference) - behind, len(alternative) - behind
    together = min(ends)
    columns = [(at, at) for at in range(together)]
    columns += [(at, ALONE) for at in range(together, ends[0])]
    columns += [(ALONE, at) for at in range(together, ends[1])]
    columns += [(ends[0] + at, ends[1] + at) for at in range(behind)]
    return np.array(columns, dtype=np.int64), (start, ends[0])
