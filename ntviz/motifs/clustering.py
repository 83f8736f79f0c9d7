"""Groups of seqlets that are alike, each aligned to its own average."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ntviz.motifs.aligning import Fits, fits, turned, unit

_RARE = 0.001  # share of pairs of shuffled seqlets that may be as similar as members must be ...
_BY_CHANCE = 0.5  # ... and how many a seqlet may have beside it, however many there are
_SAME = 0.85  # similarity of averages that are one pattern
_LEVELS = 4  # from clear clusters to the similarity that is enough
_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class Cluster:
    """Members by number, and how each lies on the common axis: turned if `flipped`, then moved by `shift`."""

    members: np.ndarray
    shift: np.ndarray
    flipped: np.ndarray


@dataclass(frozen=True, eq=False)
class Clusters:
    """What was found, the similarity that it took, and how many clusters shuffled seqlets make."""

    found: list[Cluster]
    similarity: float
    of_shuffled: int


def clusters(
    values: np.ndarray, *, fewest: int, similarity: float | None, rng: np.random.Generator
) -> Clusters:
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


def _grouped(
    values: np.ndarray, pairs: np.ndarray, similarity: float, fewest: int, reach: int
) -> list[Cluster]:
    """Clusters of the fewest members or more; the clearest come first, so that they draw what is like them."""
    averages = np.zeros((0, *values.shape[1:]))
    for level in np.linspace(1, similarity, _LEVELS + 1)[1:]:
        owner, _ = _owners(values, averages, level, reach)
        free = owner < 0
        near = pairs >= level
        neighbours = near[free].sum(0)
        while True:
            # Who has most like it among what is free leads a cluster, from which what is not like their average goes.
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


def _owners(
    values: np.ndarray, averages: np.ndarray, similarity: float, reach: int
) -> tuple[np.ndarray, Fits]:
    """Number of the average that each seqlet resembles most, -1 where none enough, and all fits [seqlet, average]."""
    fit = fits(values, averages, reach=reach)
    if not len(averages):
        return np.full(len(values), -1), fit
    owner = fit.similarity.argmax(axis=1)
    return np.where(fit.similarity.max(axis=1) >= similarity, owner, -1), fit


def _members(owner: np.ndarray, fit: Fits) -> list[Cluster]:
    """The cluster of each average."""
    found = []
    for number in range(fit.similarity.shape[1]):
        rows = np.flatnonzero(owner == number)
        found.append(Cluster(rows, fit.shift[rows, number].astype(np.int64), fit.flipped[rows, number]))
    return found


def _distributed(
    values: np.ndarray, averages: np.ndarray, similarity: float, reach: int, fewest: int
) -> list[Cluster]:
    """Clusters after each seqlet has gone to what it is most like, until none moves; too small ones are given up."""
    rounds, last = 0, np.zeros(0, dtype=np.int64)
    while True:
        owner, fit = _owners(values, averages, similarity, reach)
        found = _members(owner, fit)
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


def _settled(
    values: np.ndarray, axis: np.ndarray, candidates: np.ndarray, similarity: float, reach: int
) -> Cluster:
    """Those of the candidates that resemble their own average, started from an axis [position, base]."""
    last = np.zeros(0, dtype=np.int64)
    for _ in range(_ROUNDS):
        fit = fits(values[candidates], axis[None], reach=reach)
        kept = np.flatnonzero(fit.similarity[:, 0] >= similarity)
        group = Cluster(candidates[kept], fit.shift[kept, 0].astype(np.int64), fit.flipped[kept, 0])
        if not len(kept) or np.array_equal(kept, last):
            break
        axis, last = average(values, group), kept
    return group


def average(values: np.ndarray, cluster: Cluster) -> np.ndarray:
    """Mean [position, base] of members on their axis, each with the same weight in all."""
    members = unit(values[cluster.members])
    members = np.where(cluster.flipped[:, None, None], turned(members), members)
    width = values.shape[1]
    at = np.arange(width) - cluster.shift[:, None]
    there = (at >= 0) & (at < width)
    moved = np.take_along_axis(members, at.clip(0, width - 1)[:, :, None], axis=1)
    return (moved * there[:, :, None]).mean(0)


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
