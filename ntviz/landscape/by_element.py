"""Reconstruction by genomic element, beside all bases, elements at other places, and controls without order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from ntviz.annotation import Annotation, from_table
from ntviz.genome import canonical_contig
from ntviz.landscape.result import FLOOR, Landscape, cuts
from ntviz.statistics import draw_weights, middle, ratio

ALL = "all"
"""The row of all known bases."""
COLUMNS = (
    *("element", "measure", "n", "blocks", "value", "low", "high"),
    *("difference", "difference_low", "difference_high"),
    *("null_mean", "null_low", "null_high"),
)


def by_element(
    landscapes: Landscape | Sequence[Landscape], elements: Annotation | pd.DataFrame | Mapping[str, np.ndarray],
    kinds: Sequence[str] | None = None, *, block: int = 50_000, draws: int = 1000, shifts: int = 200, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Means of what a model reconstructs, one row an element and measure; the element "all" is every known base.

    Measures are "probability" of the reference base, "accuracy" (share of bases that are the most probable), "entropy"
    (bits), "perplexity" (geometric mean of 1 / probability), and of each control its probability, such as "composition",
    and how far the model's is above it, "over_composition".

    - `n` is the number of known bases, `blocks` in how many blocks of the contig they lie. An element without a base
      has rows with n = 0 and NaN.
    - `low` and `high` hold 95 % of the values when whole blocks are drawn anew: neighbours are not independent. NaN
      with fewer than two blocks, and rough with fewer than twenty.
    - `difference`, with `difference_low` and `difference_high`, is the value less that of all bases, by the same draws.
    - The null is the element itself, shifted by a random distance around the known bases of each interval: its
      stretches keep their lengths and distances and lose their places. A value outside `null_low` to `null_high`, which
      hold 95 % of the shifts, is more than a matter of size and clustering. "over_composition" rules out composition.

    Parameters
    ----------
    landscapes
        One, or several over intervals that do not overlap, by one model and with the same controls.
    elements
        An Annotation, read whole: one read `within` the interval lacks introns that reach out of it; a table
        [chrom, start, end, element], 0-based half-open, such as motif sites or repeats of your own; or bool [base] over
        one landscape, by name. `annotation.combine` makes one of several.
    kinds
        Elements to report, in this order; all when not given. A base counts in each that it is in.
    block
        bp of a block.
    draws, shifts
        Of the bootstrap, and of the null.

    References
    ----------
    Token probabilities by element: Dalla-Torre et al., Nature Methods 2025. Intervals over blocks, circular shifts
    and controls are ours.

    Examples
    --------
    >>> from ntviz.genome import Interval
    >>> half = np.array([0.5, 0.5, 1.0, 1.0], np.float32)
    >>> toy = Landscape(Interval("1", 0, 4), half, half, half, "toy", 4)
    >>> found = by_element(toy, {"end": np.array([0, 0, 1, 1], bool)})
    >>> found[found.measure == "probability"][["element", "n", "value", "difference"]].values.tolist()
    [['all', 4, 0.75, 0.0], ['end', 2, 1.0, 0.25]]
    """
    parts = _checked(landscapes)
    for name, number in (("block", block), ("draws", draws), ("shifts", shifts)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1; received {number}. Leave it out.")
    circles = [Circle(part, block) for part in parts]
    stretches = {
        name: [circle.stretches(flags) for circle, flags in zip(circles, arrays, strict=True)]
        for name, arrays in _indicators(parts, elements, kinds).items()
    }
    rng = np.random.default_rng(seed)
    weights = draw_weights(sum(max(0, len(circle.edges) - 1) for circle in circles), draws, rng)
    turns = rng.random((len(parts), shifts))

    def by_block(sums: list[np.ndarray], name: str) -> np.ndarray:
        """Sums over the stretches by block, of all landscapes one after another."""
        each = zip(circles, sums, stretches[name], strict=True)
        return np.concatenate([circle.by_block(values, *ends) for circle, values, ends in each])

    ones = [np.arange(circle.n + 1) for circle in circles]
    counts = {name: by_block(ones, name) for name in stretches}
    controls = [name for control in parts[0].controls for name in (control, f"over_{control}")]
    measures, rows = ["probability", "accuracy", "entropy", "perplexity", *controls], {}
    for measure in measures:
        # Of a loss the perplexity is reported.
        shown = np.exp if measure == "perplexity" else np.asarray
        sums = [circle.summed(values_of(part, measure)) for circle, part in zip(circles, parts, strict=True)]
        background, background_draws = np.nan, np.full(draws, np.nan)
        for name, found in stretches.items():
            totals, n = by_block(sums, name), counts[name]
            value, drawn = shown(ratio(totals.sum(), n.sum())), shown(ratio(weights @ totals, weights @ n))
            if name == ALL:
                background, background_draws = value, drawn
            each = zip(circles, sums, found, turns, strict=True)
            moved = [circle.shifted(values, *ends, turn) for circle, values, ends, turn in each]
            null = shown(ratio(np.sum(moved, axis=0), np.full(shifts, n.sum())))
            blocks = int((n > 0).sum())
            rows[name, measure] = (
                *(name, measure, round(n.sum()), blocks, float(value)),
                *(middle(drawn) if blocks > 1 else (np.nan, np.nan)),
                float(value - background),
                *(middle(drawn - background_draws) if blocks > 1 else (np.nan, np.nan)),
                *(float(null.mean()), *middle(null)),
            )
    return pd.DataFrame([rows[name, measure] for name in stretches for measure in measures], columns=COLUMNS)


def values_of(landscape: Landscape, measure: str) -> np.ndarray:
    """Values of each base [base] whose mean is reported; for the perplexity the loss in nats."""
    own = landscape.probability
    if measure == "perplexity":
        return -np.log(np.maximum(own, np.float32(FLOOR)))
    plain = {"probability": own, "accuracy": landscape.correct, "entropy": landscape.entropy, **landscape.controls}
    return plain[measure] if measure in plain else own - landscape.controls[measure.removeprefix("over_")]


class Circle:
    """The known bases of a landscape, joined at their ends; stretches are [start, end) in known bases, blocks of `block` bp."""

    def __init__(self, landscape: Landscape, block: int) -> None:
        # A base is counted in all measures or in none.
        every = [landscape.probability, *landscape.controls.values()]
        self.known = np.logical_and.reduce([np.isfinite(values) for values in every])
        self.before = _summed(self.known, np.int64)
        self.n = int(self.before[-1])
        start, end = landscape.interval.start, landscape.interval.end
        # Blocks without a known base say nothing.
        self.edges = np.unique(self.before[np.array([0, *(cut - start for _, cut in cuts(start, end, block))])])

    def stretches(self, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Starts and ends of the stretches of a bool [base], without those of unknown bases only."""
        change = np.diff(np.asarray(inside, np.int8), prepend=0, append=0)
        starts, ends = self.before[np.flatnonzero(change == 1)], self.before[np.flatnonzero(change == -1)]
        kept = ends > starts
        return starts[kept], ends[kept]

    def summed(self, values: np.ndarray) -> np.ndarray:
        """Sums [known + 1] of values [base] before each known base."""
        return _summed(values[self.known], np.float64)

    def by_block(self, sums: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Sums over the stretches, cut at the edges of the blocks, [block]."""
        if not len(starts):
            return np.zeros(max(0, len(self.edges) - 1))
        whole = np.concatenate([[0.0], np.cumsum(sums[ends] - sums[starts])])
        count = np.searchsorted(ends, self.edges, side="right")
        last = np.minimum(count, len(starts) - 1)
        begun = (count < len(starts)) & (starts[last] < self.edges)
        partial = np.where(begun, sums[self.edges] - sums[starts[last]], 0.0)
        return np.diff(whole[count] + partial)

    def shifted(self, sums: np.ndarray, starts: np.ndarray, ends: np.ndarray, turns: np.ndarray) -> np.ndarray:
        """Sums over the stretches after each shift, [shift]; turns are shares of the circle."""

        def before(places: np.ndarray) -> np.ndarray:
            beyond = places > self.n
            return sums[np.where(beyond, places - self.n, places)] + np.where(beyond, sums[-1], 0.0)

        moves = np.floor(turns * self.n).astype(np.int64)
        return np.array([(before(ends + move) - before(starts + move)).sum() for move in moves])


def _summed(values: np.ndarray, dtype: type) -> np.ndarray:
    sums = np.zeros(len(values) + 1, dtype)
    np.cumsum(values, dtype=dtype, out=sums[1:])
    return sums


def _checked(landscapes: Landscape | Sequence[Landscape]) -> list[Landscape]:
    parts = [landscapes] if isinstance(landscapes, Landscape) else list(landscapes)
    if not parts:
        raise ValueError("There must be a landscape; received none. Pass what reconstruct gave.")
    made = {f"{part.model} with controls {sorted(part.controls)}" for part in parts}
    if len(made) > 1:
        raise ValueError(
            f"Landscapes in one table must be by one model and have the same controls; received {' and '.join(sorted(made))}."
        )
    ordered = sorted(parts, key=lambda part: (canonical_contig(part.interval.chrom), part.interval.start))
    for one, other in pairwise(ordered):
        if one.interval.overlaps(other.interval):
            raise ValueError(
                f"Landscapes in one table must not overlap, or bases would count twice; received "
                f"{one.interval.label()} and {other.interval.label()}. Cut one with within()."
            )
    return parts


def _indicators(
    parts: list[Landscape], elements: Annotation | pd.DataFrame | Mapping[str, np.ndarray], kinds: Any
) -> dict[str, list[np.ndarray]]:
    """Which bases of each landscape are in each element, "all" first."""
    every = {ALL: [np.ones(len(part), bool) for part in parts]}
    if not isinstance(elements, Mapping):
        known = elements if isinstance(elements, Annotation) else from_table(elements)
        names = known.kinds if kinds is None else kinds
        return every | {name: [known.indicator(part.interval, name) for part in parts] for name in names}
    for name in elements if kinds is None else kinds:
        if name not in elements:
            raise ValueError(f"An element must be one of {', '.join(elements)}; received {name!r}. Pass its array too.")
        if len(parts) > 1 or np.shape(elements[name]) != (len(parts[0]),):
            raise ValueError(
                f"An array of an element must cover one landscape, [{len(parts[0]):,}] bases; {name!r} has shape "
                f"{list(np.shape(elements[name]))} for {len(parts)}. Pass an Annotation or a table instead."
            )
        every[name] = [np.asarray(elements[name], bool)]
    return every
