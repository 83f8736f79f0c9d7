"""The table of an enrichment as figures read it: checked, one element at a time, with what each head passed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ntviz.plot.words import plain

NEEDED = ("layer", "head", "element", "ratio", "ratio_low", "ratio_high", "significant_published")
CONTROLS = {"shuffle": "shuffled sequence", "twin": "random weights"}
"""Column prefixes of the controls, and what each is."""

FEWEST = 5
"""Pairs that chance must put on an element for a ratio to be worth a colour."""

PASSED, PUBLISHED = "passes the shift null", "passes the published test only"
"""What marks stand for."""


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """One element: a value for each head, in the order of layer and head.

    Parameters
    ----------
    name
        As in the table.
    layers, heads
        [row] numbers, from 0.
    ratio, low, high
        [row] share of attention over share of positions, and the ends of its interval; NaN where there is none.
    expected
        [row] ratio that shifted elements have on average; NaN without that null.
    controls
        [row] ratio in each control, by prefix; only those in the table.
    passed, published
        [row] whether the shift null, and the published test, call it significant.
    q
        [row] false discovery rate under the shift null; NaN without.
    n_above
        [row] pairs above the threshold; -1 when the table does not say.
    few
        [row] whether chance puts fewer than `FEWEST` of them on the element, so that the ratio is mostly noise; never
        where a test stands.
    few_controls
        [row] the same of each control, by prefix.
    status
        [row] why there is no test, "ok" where there is one.
    """

    name: str
    layers: np.ndarray
    heads: np.ndarray
    ratio: np.ndarray
    low: np.ndarray
    high: np.ndarray
    expected: np.ndarray
    controls: dict[str, np.ndarray]
    passed: np.ndarray
    published: np.ndarray
    q: np.ndarray
    n_above: np.ndarray
    few: np.ndarray
    few_controls: dict[str, np.ndarray]
    status: np.ndarray

    def coloured(self, control: str | None = None) -> np.ndarray:
        """[row] ratios, of the model or of a control, that are worth a colour; NaN elsewhere."""
        ratio, few = (
            (self.ratio, self.few)
            if control is None
            else (self.controls[control], self.few_controls[control])
        )
        return np.where(few, np.nan, ratio)

    @property
    def published_only(self) -> np.ndarray:
        """[row] whether the published test alone calls it significant."""
        return self.published & ~self.passed

    def grid(self, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """[layer, head] of values [row]; NaN, or False, where the table has no row."""
        grid = np.full(shape, False if values.dtype == bool else np.nan)
        grid[self.layers, self.heads] = values
        return grid


def read_elements(table: pd.DataFrame, names: Sequence[str] | None) -> list[Element]:
    """The elements of a table that are asked for; all of them, in its order, when None.

    Raises
    ------
    ValueError
        If a column or an element is missing, a head comes twice, or a ratio is negative.
    """
    missing = [column for column in NEEDED if column not in table.columns]
    if missing:
        raise ValueError(
            f"The table of an enrichment must have the columns {', '.join(NEEDED)}; it lacks {', '.join(missing)}. "
            f"Pass the table of attention.enrichment."
        )
    known = list(dict.fromkeys(table["element"].astype(str)))
    wanted = known if names is None else [str(name) for name in names]
    for name in wanted:
        if name not in known:
            listed = ", ".join(plain(each, most=30) for each in known[:12])
            raise ValueError(
                f"An element must be one of those in the table: {listed}; received {plain(name)!r}. Choose one of them."
            )
    if not wanted:
        raise ValueError("The table must have at least one element; received none. Check what made it.")
    return [_element(table[table["element"].astype(str) == name], name) for name in wanted]


def _element(rows: pd.DataFrame, name: str) -> Element:
    twice = rows.duplicated(["layer", "head"])
    if twice.any():
        row = rows[twice].iloc[0]
        raise ValueError(
            f"Each head must have one row an element; received layer {row['layer']} head {row['head']} more than once for "
            f"{plain(name)!r}. Pass the table of one analysis."
        )
    rows = rows.sort_values(["layer", "head"])
    n = len(rows)

    def numbers(column: str) -> np.ndarray:
        return rows[column].to_numpy(float) if column in rows else np.full(n, np.nan)

    def flags(column: str) -> np.ndarray:
        return rows[column].fillna(False).to_numpy(bool) if column in rows else np.zeros(n, dtype=bool)

    ratio = numbers("ratio")
    if (ratio < 0).any() or np.isinf(ratio).any():
        row = int(np.flatnonzero((ratio < 0) | np.isinf(ratio))[0])
        raise ValueError(
            f"A ratio must be finite and at least 0, or NaN where there is none; received {ratio[row]} for {plain(name)!r}. "
            f"Pass ratios, not their logarithms."
        )
    background = numbers("background")
    expected = np.divide(
        numbers("shift_mean"), background, out=np.full(n, np.nan), where=np.nan_to_num(background) > 0
    )
    passed = (
        flags("significant") if "significant" in rows else np.nan_to_num(numbers("q_shift"), nan=1.0) <= 0.05
    )

    def too_few(column: str) -> np.ndarray:
        expected_pairs = numbers(column) * background
        return np.isfinite(expected_pairs) & (expected_pairs < FEWEST)

    controls = {key: numbers(f"{key}_ratio") for key in CONTROLS if f"{key}_ratio" in rows}
    return Element(
        name,
        rows["layer"].to_numpy(np.int64),
        rows["head"].to_numpy(np.int64),
        ratio,
        numbers("ratio_low"),
        numbers("ratio_high"),
        expected,
        controls,
        passed,
        flags("significant_published"),
        numbers("q_shift"),
        np.nan_to_num(numbers("n_above"), nan=-1).astype(np.int64),
        too_few("n_above") & ~passed,
        {key: too_few(f"{key}_n_above") for key in controls},
        rows["status"].astype(str).to_numpy() if "status" in rows else np.full(n, "ok", dtype=object),
    )
