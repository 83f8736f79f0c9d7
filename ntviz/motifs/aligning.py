"""How well weighted bases of two places fit each other, at every shift, on both strands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ntviz import environment

_AT_A_TIME = 1 << 23  # fits
_ROUNDING = np.float32(1e-5)


@dataclass(frozen=True, eq=False)
class Fits:
    """The best fit of each query to each target.

    Attributes
    ----------
    similarity
        Float32 [query, target]: cosine of their numbers, with nothing beyond their ends.
    shift
        int16 [query, target]: place of the query's first position in the target.
    flipped
        Bool [query, target]: whether the query is turned to the other strand first.
    """

    similarity: np.ndarray
    shift: np.ndarray
    flipped: np.ndarray


def turned(values: np.ndarray) -> np.ndarray:
    """Numbers [..., position, base] on the other strand."""
    return values[..., ::-1, ::-1]


def fits(queries: np.ndarray, targets: np.ndarray, *, reach: int) -> Fits:
    """The best fit of queries [query, position, base] to targets [target, position, base] of the same width.

    Parameters
    ----------
    reach
        Largest shift in either direction, in bp. Of fits that are as good the first counts: the forward strand, then
        the shift that is lowest.

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
