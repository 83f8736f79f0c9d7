"""`separation`: how far windows of one element lie from those of others, against labels dealt out at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ntviz.statistics import FEWEST, draw_weights, middles, ratio

MEASURES = ("silhouette", "purity")
NEIGHBOURS = 15
MOST = 5_000
"""Windows at most: all distances between them are held at once."""
HELD = 20_000_000
"""Numbers of random labels that are worked on at once."""


@dataclass(frozen=True, eq=False)
class Distances:
    """Distances that labels are dealt out over, again and again."""

    distance: np.ndarray  # [window, window], 0 within a group, which is not compared
    group: np.ndarray  # [window] number
    nearest: np.ndarray  # [window, neighbour] of other groups

    def others(self, labels: np.ndarray, classes: int) -> np.ndarray:
        """Windows of other groups by class, int64 [window, class]."""
        cell = self.group * classes + labels
        count = np.bincount(cell, minlength=(int(self.group.max()) + 1) * classes).reshape(-1, classes)
        return count.sum(axis=0) - count[self.group]

    def silhouettes(self, dealt: np.ndarray, classes: int) -> np.ndarray:
        """(b - a) / max(a, b) of each window for each dealing of labels [deal, window], float64 [deal, window].

        a is the mean distance to its own class, b to the nearest other one, outside its group; NaN where one is not there.
        """
        deals, n = dealt.shape
        # All dealings in one product: the table of distances is read once.
        sums = self.distance @ np.eye(classes)[dealt].transpose(1, 0, 2).reshape(n, deals * classes)
        sums = sums.reshape(n, deals, classes)
        rows, found = np.arange(n), np.empty((deals, n))
        for deal, labels in enumerate(dealt):
            mean = ratio(sums[:, deal], self.others(labels, classes))
            within = mean[rows, labels]
            mean[rows, labels] = np.nan
            beyond = np.where(np.isnan(mean), np.inf, mean).min(axis=1)
            beyond[np.isinf(beyond)] = np.nan
            widest = np.maximum(within, beyond)
            found[deal] = np.where(widest > 0, ratio(beyond - within, widest), 0 * widest)
        return found

    def of(self, measure: str, dealt: np.ndarray, classes: int) -> np.ndarray:
        """One of `MEASURES` for each dealing of labels [deal, window], float64 [deal, window]."""
        if measure == "purity":
            return np.array([(labels[self.nearest] == labels[:, None]).mean(axis=1) for labels in dealt])
        deals = max(1, HELD // (len(self.group) * classes))
        parts = [dealt[first : first + deals] for first in range(0, len(dealt), deals)]
        return np.concatenate([self.silhouettes(part, classes) for part in parts])

    def chance(self, labels: np.ndarray, classes: int) -> np.ndarray:
        """Purity of random neighbours, float64 [window]: share of the windows of other groups that are of its class."""
        count = self.others(labels, classes)
        return count[np.arange(len(labels)), labels] / count.sum(axis=1)


def distances(points: np.ndarray, groups: np.ndarray | None, neighbours: int = NEIGHBOURS) -> Distances:
    """Distances between points [window, dimension], and the nearest of other groups."""
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or not len(points) or not points.shape[1] or not np.isfinite(points).all():
        raise ValueError(
            f"Points must be finite numbers [window, dimension]; received the shape {list(points.shape)}"
            f"{' with others among them' if points.size else ''}. Pass vectors of a layer, or what project gave."
        )
    n = len(points)
    if n > MOST:
        raise ValueError(
            f"There must be at most {MOST:,} windows, whose distances are all held at once; received {n:,}. Take a sample."
        )
    names = np.arange(n) if groups is None else _named(groups, "groups", n)
    squares = (points**2).sum(axis=1)
    distance = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * points @ points.T, 0.0))
    group = np.unique(names, return_inverse=True)[1]
    fewest = n - int(np.bincount(group).max())
    if not 1 <= neighbours <= fewest:
        raise ValueError(
            f"neighbours must be from 1 to the windows of other groups, {fewest:,} here at the least; received {neighbours}. "
            "Ask for fewer, or draw more windows."
        )
    same = group[:, None] == group[None]
    reachable = np.where(same, np.inf, distance)
    nearest = np.argpartition(reachable, neighbours - 1, axis=1)[:, :neighbours]
    distance[same] = 0.0
    return Distances(distance, group, nearest)


def coded(labels: np.ndarray, windows: int) -> tuple[np.ndarray, np.ndarray]:
    """Names of the classes in the order in which they come, and the number of each window's, int64 [window]."""
    texts = _named(labels, "labels", windows).astype(str).tolist()
    number = {name: index for index, name in enumerate(dict.fromkeys(texts))}
    if len(number) < 2:
        raise ValueError(
            f"There must be two elements or more to tell apart; received {', '.join(number)} alone. Draw windows of others."
        )
    return np.array(list(number)), np.array([number[text] for text in texts])


def _named(values: np.ndarray, what: str, windows: int) -> np.ndarray:
    """Names of windows as an array, none of them missing: nan is no class, and no block that windows share."""
    names = np.asarray(values)
    if names.shape != (windows,):
        raise ValueError(
            f"{what} must be one for each of the {windows:,} windows; received the shape {list(names.shape)}. Pass "
            f"Windows.{what}."
        )
    if len(missing := np.flatnonzero(pd.isna(names))):
        raise ValueError(
            f"{what} must be there for every window; {len(missing):,} are missing, the first at {missing[0]}. Leave these "
            "windows out."
        )
    return names


def by_class(values: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Mean over all classes, in which each counts the same, then that of each class, float64 [1 + class]; NaN left out."""
    return _class_means(values, labels, classes, np.zeros(len(labels), int), np.ones((1, 1)))[0]


def redrawn(values: np.ndarray, labels: np.ndarray, classes: int, groups: np.ndarray, *, draws: int, seed: int) -> np.ndarray:  # fmt: skip
    """`by_class` when whole groups are drawn again and each window keeps what it has, float64 [draw, 1 + class]."""
    names, group = np.unique(groups, return_inverse=True)
    weights = draw_weights(len(names), draws, np.random.default_rng(seed))
    return _class_means(values, labels, classes, group, weights)


def _class_means(values: np.ndarray, labels: Any, classes: int, group: Any, weights: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    cell, cells = group[known] * classes + labels[known], weights.shape[1] * classes
    count = np.bincount(cell, minlength=cells).reshape(-1, classes)
    total = np.bincount(cell, values[known], minlength=cells).reshape(-1, classes)
    means = ratio(weights @ total, weights @ count)
    return np.column_stack([ratio(np.nansum(means, axis=1), np.isfinite(means).sum(axis=1)), means])


def interval(drawn: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Ends of the middle 95 % of draws [draw, column], float64 [2, column]; NaN where there are fewer than 5 groups."""
    return middles(drawn) if len(np.unique(groups)) >= FEWEST else np.full((2, drawn.shape[1]), np.nan)


def separation(
    points: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None, *, neighbours: int = NEIGHBOURS,
    permutations: int = 200, draws: int = 1_000, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """How well points of an element keep together: two measures, each beside what random labels reach.

    Purity asks who the neighbours are. A silhouette asks about whole elements, and takes the nearest other one: two
    elements that lie in one place, or one that is spread over others, pull it below what random labels reach.

    Parameters
    ----------
    points
        [window, dimension]: scaled vectors of a layer, or the coordinates of a map, which can flatter and can hide: ask
        for both.
    labels
        [window] element; two or more.
    groups
        [window] name of the block that it is of. Windows of one group are never compared with each other, and come and
        go together in the intervals. None: each is its own.
    neighbours
        Of purity.
    permutations
        How often labels are dealt out at random.
    draws
        Of the interval, which draws groups again and leaves what each window has as it is.

    Returns
    -------
    One row a measure and element, "all" first, in which each element counts the same however many windows it has:
    measure ("silhouette", from -1 to 1; "purity", the share of the nearest neighbours of the same element, from 0 to 1),
    element, windows, value, low, high (95 % interval; NaN for fewer than 5 groups), chance (purity of random neighbours;
    NaN for silhouette), null and null_high (mean and 95 % quantile under random labels), effect (value minus null), p
    ((1 + random labels that reach it) / (1 + permutations)).

    References
    ----------
    Rousseeuw (1987) J. Comput. Appl. Math. 20:53, for silhouettes; ours leave out windows of the same group.

    Examples
    --------
    >>> far = np.array([[0.0], [1.0], [10.0], [11.0]])
    >>> found = separation(far, np.array(["a", "a", "b", "b"]), neighbours=1, permutations=10)
    >>> found.loc[found["element"] == "all", ["measure", "value"]].round(2).to_numpy().tolist()
    [['silhouette', 0.9], ['purity', 1.0]]
    """
    options = {"neighbours": neighbours, "permutations": permutations, "draws": draws, "seed": seed}
    return measured(points, labels, groups, **options)[0]


def measured(
    points: Any, labels: Any, groups: Any, *, neighbours: int, permutations: int, draws: int, seed: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """`separation`, and what it averages, float64 [measure, window]."""
    if permutations < 1 or draws < 1:
        raise ValueError(
            f"permutations and draws must be at least 1; received {permutations} and {draws}. Defaults are 200 and 1,000."
        )
    near = distances(points, groups, neighbours)
    names, classes = coded(labels, len(near.group))
    n, rng = len(names), np.random.default_rng((seed, 1))
    dealt = np.array([classes, *(rng.permutation(classes) for _ in range(permutations))])
    parts, values = [], []
    for measure in MEASURES:
        each = near.of(measure, dealt, n)
        value, *null = (by_class(one, given, n) for one, given in zip(each, dealt, strict=True))
        null = np.array(null)
        low, high = interval(redrawn(each[0], classes, n, near.group, draws=draws, seed=seed), near.group)
        by_chance = near.chance(classes, n) if measure == "purity" else np.full(len(classes), np.nan)
        mean = ratio(np.nansum(null, axis=0), np.isfinite(null).sum(axis=0))
        top, known = np.full(n + 1, np.nan), np.isfinite(mean)
        top[known] = np.nanquantile(null[:, known], 0.95, axis=0)
        reached = (null >= value - 1e-12).sum(axis=0)
        columns = {
            "measure": measure, "element": ["all", *names.tolist()],
            "windows": [len(classes), *np.bincount(classes, minlength=n).tolist()],
            "value": value, "low": low, "high": high, "chance": by_class(by_chance, classes, n),
            "null": mean, "null_high": top, "effect": value - mean,
            "p": np.where(np.isfinite(value), (1 + reached) / (1 + permutations), np.nan),
        }  # fmt: skip
        parts.append(pd.DataFrame(columns))
        values.append(each[0])
    return pd.concat(parts, ignore_index=True), np.array(values)
