"""Groups of seqlets that are alike at some shift on either strand, each aligned to its own average."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ntviz import environment

_AT_A_TIME = 1 << 23  # fits
_ROUNDING = np.float32(1e-5)
_RARE = 0.001  # share of pairs of shuffled seqlets that may be as similar as members must be ...
_BY_CHANCE = 0.5  # ... and how many a seqlet may have beside it, however many there are
_SAME = 0.85  # similarity of averages that are one pattern
_LEVELS = 4  # from clear clusters to the similarity that is enough
_ROUNDS = 20


class Cluster(NamedTuple):
    """Members by number, and how each lies on the common axis: turned if `flipped`, then moved by `shift`."""

    members: np.ndarray
    shift: np.ndarray
    flipped: np.ndarray

    def columns(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Own column of each member at each column of the axis [member, column], and whether there is one."""
        at = np.arange(width) - self.shift[:, None]
        at = np.where(self.flipped[:, None], width - 1 - at, at)
        return at.clip(0, width - 1), (at >= 0) & (at < width)


class Clusters(NamedTuple):
    """What was found, the similarity that it took, and how many clusters shuffled seqlets make."""

    found: list[Cluster]
    similarity: float
    of_shuffled: int


def clusters(values: np.ndarray, *, fewest: int, similarity: float | None, rng: np.random.Generator) -> Clusters:
    """Clusters of weighted bases [seqlet, position, base], and of the same with positions in random order."""
    reach = values.shape[1] // 4
    mixed = shuffled(values, rng)
    null = fits(mixed, mixed, reach=reach).similarity
    if similarity is None:
        pairs = null[~np.eye(len(null), dtype=bool)]
        rare = min(_RARE, _BY_CHANCE / len(null))
        similarity = float(np.quantile(pairs, 1 - rare)) if len(pairs) else 1.0
    of_shuffled = _grouped(mixed, null, similarity, fewest, reach)
    del null
    pairs = fits(values, values, reach=reach).similarity
    return Clusters(_grouped(values, pairs, similarity, fewest, reach), similarity, len(of_shuffled))


def shuffled(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Weighted bases [seqlet, position, base] with the positions of each that weigh something in random order."""
    mixed = values.copy()
    for row in range(len(values)):
        places = np.flatnonzero(values[row].any(axis=1))
        mixed[row, places] = values[row, rng.permutation(places)]
    return mixed


def _grouped(values: np.ndarray, pairs: np.ndarray, similarity: float, fewest: int, reach: int) -> list[Cluster]:
    """Clusters of the fewest members or more; the clearest come first, so that they draw what is like them."""
    averages = np.zeros((0, *values.shape[1:]))
    for level in np.linspace(1, similarity, _LEVELS + 1)[1:]:
        free = _owners(values, averages, level, reach)[0] < 0
        near = pairs >= level
        neighbours = near[free].sum(0)
        while True:
            # What has most like it among what is free leads a cluster, from which what is not like their average goes.
            leader = int(np.where(free, neighbours, 0).argmax())
            if not free[leader] or neighbours[leader] < fewest:
                break
            group = _settled(values, values[leader], np.flatnonzero(free), level, reach)
            gone = np.array([leader])
            if len(group.members) >= fewest:
                averages = np.concatenate([averages, average(values, group)[None]])
                gone = np.union1d(gone, group.members)
            free[gone] = False
            neighbours = neighbours - near[gone].sum(0)
        averages = _distinct(averages, values, level, reach)
    return _distributed(values, averages, similarity, reach, fewest)


def _owners(values: np.ndarray, averages: np.ndarray, similarity: float, reach: int) -> tuple[np.ndarray, Fits]:
    """Number of the average that each seqlet resembles most, -1 where none enough, and all fits [seqlet, average]."""
    fit = fits(values, averages, reach=reach)
    if not len(averages):
        return np.full(len(values), -1), fit
    return np.where(fit.similarity.max(axis=1) >= similarity, fit.similarity.argmax(axis=1), -1), fit


def _distributed(values: np.ndarray, averages: np.ndarray, similarity: float, reach: int, fewest: int) -> list[Cluster]:
    """Clusters after each seqlet has gone to what it is most like, until none moves; too small ones are given up."""
    rounds, last = 0, np.zeros(0, dtype=np.int64)
    while True:
        owner, fit = _owners(values, averages, similarity, reach)
        members = [np.flatnonzero(owner == number) for number in range(len(averages))]
        found = [Cluster(rows, fit.shift[rows, at], fit.flipped[rows, at]) for at, rows in enumerate(members)]
        sizes = np.array([len(group.members) for group in found])
        if len(found) and sizes.min() < fewest:
            # The smallest alone, so that what it had can make another large enough.
            averages = np.delete(averages, int(sizes.argmin()), axis=0)
            rounds = 0
        elif not len(found) or rounds == _ROUNDS or np.array_equal(owner, last):
            return found
        else:
            averages = np.stack([average(values, group) for group in found])
            rounds, last = rounds + 1, owner


def _settled(values: np.ndarray, axis: np.ndarray, candidates: np.ndarray, similarity: float, reach: int) -> Cluster:
    """Those of the candidates that resemble their own average, started from an axis [position, base]."""
    last = np.zeros(0, dtype=np.int64)
    for _ in range(_ROUNDS):
        fit = fits(values[candidates], axis[None], reach=reach)
        kept = np.flatnonzero(fit.similarity[:, 0] >= similarity)
        group = Cluster(candidates[kept], fit.shift[kept, 0], fit.flipped[kept, 0])
        if not len(kept) or np.array_equal(kept, last):
            break
        axis, last = average(values, group), kept
    return group


def average(values: np.ndarray, cluster: Cluster) -> np.ndarray:
    """Mean [position, base] of members on their axis, each with the same weight in all."""
    at, inside = cluster.columns(values.shape[1])
    members = np.take_along_axis(unit(values[cluster.members]), at[:, :, None], axis=1)
    members = np.where(cluster.flipped[:, None, None], members[..., ::-1], members)
    return (members * inside[:, :, None]).mean(0)


def _distinct(averages: np.ndarray, values: np.ndarray, similarity: float, reach: int) -> np.ndarray:
    """Averages after the smaller of those that are the same has joined the larger, the most similar first."""
    while len(averages) > 1:
        fit = fits(averages, averages, reach=reach)
        np.fill_diagonal(fit.similarity, -1)
        one, other = np.unravel_index(int(fit.similarity.argmax()), fit.similarity.shape)
        if fit.similarity[one, other] < _SAME:
            break
        owner, _ = _owners(values, averages, similarity, reach)
        fewer = min((int(one), int(other)), key=lambda number: (int((owner == number).sum()), -number))
        averages = np.delete(averages, fewer, axis=0)
    return averages


class Fits(NamedTuple):
    """The best fit of each query to each target, arrays [query, target].

    `similarity` is the cosine of their numbers, with nothing beyond their ends; `shift` the place of the query's first
    position in the target; `flipped` says whether the query is turned to the other strand first.
    """

    similarity: np.ndarray
    shift: np.ndarray
    flipped: np.ndarray


def fits(queries: np.ndarray, targets: np.ndarray, *, reach: int) -> Fits:
    """The best fit, with a shift of at most `reach` bp, of queries to targets, both [item, position, base] of one width.

    Of fits that are as good the first counts: the forward strand, then the shift that is lowest.

    Examples
    --------
    >>> a = np.eye(4)[[0, 0, 2, 1]][None]
    >>> found = fits(turned(a), np.roll(a, 1, axis=1) * [[[0], [1], [1], [1]]], reach=2)
    >>> round(float(found.similarity[0, 0]), 3), int(found.shift[0, 0]), bool(found.flipped[0, 0])
    (0.866, 1, True)
    """
    n, m, width = len(queries), len(targets), queries.shape[1]
    first = unit(queries).reshape(n, 4 * width)
    moved = range(-reach, reach + 1)
    best = np.full((n, m), -np.inf, dtype=np.float32)
    which = np.zeros((n, m), dtype=np.int16)
    some = max(1, _AT_A_TIME // max(1, n * 2 * len(moved)))
    with environment.progress(total=m, what="seqlets beside each other", unit="seqlets") as bar:
        for start in range(0, m, some):
            part = slice(start, start + some)
            # To move a query, or turn and then move it, is to move the target back, and then turn it.
            back = np.stack([_moved(unit(targets[part]), -shift) for shift in moved], axis=1)
            both = np.concatenate([back, turned(back)], axis=1)
            found = (first @ both.reshape(-1, 4 * width).T).reshape(n, len(both), -1)
            # Rounded, so that of two that are the same the first is taken on every machine.
            np.rint(found / _ROUNDING, out=found)
            which[:, part] = found.argmax(axis=2)
            best[:, part] = found.max(axis=2) * _ROUNDING
            bar.update(min(some, m - start))
    return Fits(best, which % len(moved) - np.int16(reach), which >= len(moved))


def turned(values: np.ndarray) -> np.ndarray:
    """Numbers [..., position, base] on the other strand."""
    return values[..., ::-1, ::-1]


def _moved(values: np.ndarray, shift: int) -> np.ndarray:
    """Numbers [item, position, base] moved along; zeros come in."""
    found = np.zeros_like(values)
    width = values.shape[1]
    if abs(shift) < width:
        found[:, max(0, shift) : width + min(0, shift)] = values[:, max(0, -shift) : width - max(0, shift)]
    return found


def unit(values: np.ndarray) -> np.ndarray:
    """Numbers [item, position, base] as float32 of length one each; nothing stays nothing."""
    length = np.sqrt(np.square(values).sum(axis=(1, 2), keepdims=True))
    return np.divide(values, length, out=np.zeros(values.shape), where=length > 0).astype(np.float32)
