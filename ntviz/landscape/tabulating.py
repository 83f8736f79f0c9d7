"""Reconstruction by genomic element, beside all bases, elements at other places, and controls without order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ntviz.annotation import Annotation, from_table
from ntviz.genome import canonical_contig
from ntviz.landscape.resampling import Circle, interval_of, measures_of, ratio, values_of
from ntviz.landscape.result import Landscape

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
"""The row of all known bases."""
COLUMNS = (
    *("element", "measure", "n", "blocks", "value", "low", "high"),
    *("difference", "difference_low", "difference_high"),
    *("null_mean", "null_low", "null_high"),
)


def by_element(
    landscapes: Landscape | Sequence[Landscape],
    elements: Annotation | pd.DataFrame | Mapping[str, np.ndarray],
    kinds: Sequence[str] | None = None,
    *,
    block: int = 50_000,
    draws: int = 1000,
    shifts: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Means of what a model reconstructs, one row an element and measure; the element "all" is every known base.

    Columns [element, measure, n, blocks, value, low, high, difference, difference_low, difference_high, null_mean,
    null_low, null_high]. Measures are "probability" of the base that stands there, "accuracy" (share of bases that are
    the most probable), "entropy" (bits), "perplexity" (geometric mean of 1 / probability), and of each control its
    probability, such as "composition", and how far the model's is above it, "over_composition".

    - `n` is the number of known bases, `blocks` in how many blocks of the contig they lie. An element without a base
      has rows with n = 0 and NaN.
    - `low` and `high` hold 95 % of the values when whole blocks are drawn anew: neighbours are not independent. NaN
      with fewer than two blocks, and rough with fewer than twenty.
    - `difference` is the value less that of all bases, its interval by the same draws.
    - The null is the element itself, shifted by a random distance around the known bases of each interval: its
      stretches keep their lengths and distances and lose their places. A value outside null_low to null_high, which hold 95 % of
      the shifts, is more than a matter of size and clustering. Composition is told apart by "over_composition".

    Parameters
    ----------
    landscapes
        One, or several over intervals that do not overlap, by one model.
    elements
        An Annotation, read whole: one read `within` the interval lacks introns that reach out of it; a table
        [chrom, start, end, element], 0-based half-open, such as motif sites or repeats of your own; or bool [base] over one landscape, by name. `annotation.combine` makes one of several.
    kinds
        Elements to report, in this order; all when not given. A base counts in each that it is in.
    block
        bp of a block.
    draws, shifts
        Of the bootstrap and of the null.
    seed
        Of both.

    Raises
    ------
    ValueError
        There is no landscape, they overlap, are by several models or have other controls; an element is unknown; an
        array has another length; a number is too small.

    References
    ----------
    Token probabilities by element: Dalla-Torre et al., Nature Methods 2025. Intervals over blocks, circular shifts
    and controls are ours.

    Examples
    --------
    >>> from ntviz.genome import Interval
    >>> half = np.array([0.5, 0.5, 1.0, 1.0], np.float32)
    >>> toy = Landscape(Interval("1", 0, 4), half, half, half, "toy", 4)
    >>> found = by_element(toy, {"end": np.array([0, 0, 1, 1], bool), "none": np.zeros(4, bool)})
    >>> found[found.measure == "probability"][["element", "n", "value", "difference"]].values.tolist()
    [['all', 4, 0.75, 0.0], ['end', 2, 1.0, 0.25], ['none', 0, nan, nan]]
    """
    import pandas as pd

    parts = _checked(landscapes)
    for name, number, least in (("block", block, 1), ("draws", draws, 1), ("shifts", shifts, 1)):
        if number < least:
            raise ValueError(f"{name} must be at least {least}; received {number}. Leave it out.")
    inside = _indicators(parts, elements, kinds)
    circles = [Circle(part, block) for part in parts]
    rng = np.random.default_rng(seed)
    n_blocks = sum(max(0, len(circle.edges) - 1) for circle in circles)
    weights = rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), draws) if n_blocks else None
    turns = rng.random((len(parts), shifts))

    stretches = {
        name: [circle.stretches(flags) for circle, flags in zip(circles, arrays, strict=True)]
        for name, arrays in inside.items()
    }
    del inside
    counted = [np.arange(circle.n + 1) for circle in circles]
    counts = {name: _blocks(circles, counted, found) for name, found in stretches.items()}
    del counted
    rows: dict[tuple[str, str], tuple] = {}
    for measure in measures_of(parts[0]):
        sums = [circle.summed(values_of(part, measure)) for circle, part in zip(circles, parts, strict=True)]
        background, background_draws = np.nan, np.full(draws, np.nan)
        for name, found in stretches.items():
            by_block, n = _blocks(circles, sums, found), counts[name]
            value = _shown(ratio(by_block.sum(), n.sum()), measure)
            blocks = int((n > 0).sum())
            drawn = np.full(draws, np.nan)
            if weights is not None:
                drawn = _shown(ratio(weights @ by_block, weights @ n), measure)
            if name == ALL:
                background, background_draws = value, drawn
            null = _shown(
                ratio(
                    np.sum(
                        [
                            circle.shifted(one, *ends, turn)
                            for circle, one, ends, turn in zip(circles, sums, found, turns, strict=True)
                        ],
                        axis=0,
                    ),
                    np.full(shifts, n.sum()),
                ),
                measure,
            )
            enough = blocks > 1
            rows[name, measure] = (
                *(name, measure, round(n.sum()), blocks, float(value)),
                *(interval_of(drawn) if enough else (np.nan, np.nan)),
                float(value - background),
                *(interval_of(drawn - background_draws) if enough else (np.nan, np.nan)),
                *(float(null.mean()), *interval_of(null)),
            )
    names = list(dict.fromkeys(measure for _, measure in rows))
    return pd.DataFrame([rows[name, measure] for name in stretches for measure in names], columns=COLUMNS)


def _blocks(
    circles: list[Circle], sums: list[np.ndarray], stretches: list[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Sums over the stretches by block, of all landscapes one after another."""
    return np.concatenate(
        [circle.by_block(one, *ends) for circle, one, ends in zip(circles, sums, stretches, strict=True)]
    )


def _shown(values: np.ndarray, measure: str) -> np.ndarray:
    """What is reported of a mean: of a loss the perplexity."""
    return np.exp(values) if measure == "perplexity" else values


def _checked(landscapes: Landscape | Sequence[Landscape]) -> list[Landscape]:
    parts = [landscapes] if isinstance(landscapes, Landscape) else list(landscapes)
    if not parts:
        raise ValueError("There must be a landscape; received none. Pass what reconstruct gave.")
    for name, values in (
        ("be by one model", {part.model for part in parts}),
        ("have the same controls", {tuple(sorted(part.controls)) for part in parts}),
    ):
        if len(values) > 1:
            raise ValueError(
                f"Landscapes in one table must {name}; received {' and '.join(sorted(map(str, values)))}. "
                "Make a table of each."
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
    parts: list[Landscape],
    elements: Annotation | pd.DataFrame | Mapping[str, np.ndarray],
    kinds: Sequence[str] | None,
) -> dict[str, list[np.ndarray]]:
    """Which bases of each landscape are in each element, "all" first."""
    found = {ALL: [np.ones(len(part), bool) for part in parts]}
    if isinstance(elements, Mapping):
        for name in elements if kinds is None else kinds:
            if name not in elements:
                raise ValueError(
                    f"An element must be one of {', '.join(elements)}; received {name!r}. Pass its array too."
                )
            if len(parts) > 1 or np.shape(elements[name]) != (len(parts[0]),):
                raise ValueError(
                    f"An array of an element must cover one landscape, [{len(parts[0]):,}] bases; {name!r} has shape "
                    f"{list(np.shape(elements[name]))} for {len(parts)}. Pass an Annotation or a table instead."
                )
            found[name] = [np.asarray(elements[name], bool)]
        return found
    known = elements if isinstance(elements, Annotation) else from_table(elements)
    for name in known.kinds if kinds is None else kinds:
        found[name] = [known.indicator(part.interval, name) for part in parts]
    return found
