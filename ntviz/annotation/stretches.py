"""Stretches of a genome as arrays of starts and ends: merged, taken from starts of features, projected on tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

PROMOTER = (1000, 100)  # bp before and after the first base of a transcript


def promoters(starting: pd.DataFrame, before: int, after: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contigs, starts and ends of `before` bp before and `after` bp after the first base of each feature."""
    if before < 0 or after < 0 or before + after == 0:
        raise ValueError(
            f"A promoter must have bases: bp before and after the start, not negative; received ({before}, {after}). "
            f"The default is {PROMOTER}."
        )
    starting = starting[starting["strand"] != "."]
    forward = (starting["strand"] == "+").to_numpy()
    starts, ends = starting["start"].to_numpy(np.int64), starting["end"].to_numpy(np.int64)
    left = np.where(forward, starts - before, ends - after)
    right = np.where(forward, starts + after, ends + before)
    return starting["chrom"].to_numpy(object), np.maximum(left, 0), right


def merge(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Union of stretches, sorted; those that touch become one."""
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], ends[order]
    if not len(starts):
        return starts, ends
    reached = np.maximum.accumulate(ends)
    first = np.concatenate([[True], starts[1:] > reached[:-1]])
    return starts[first], reached[np.concatenate([np.flatnonzero(first)[1:] - 1, [len(ends) - 1]])]


def any_in_span(inside: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Which spans [token, 2] hold a base that is inside [base]."""
    spans = np.asarray(spans)
    if spans.ndim != 2 or spans.shape[1] != 2 or not np.issubdtype(spans.dtype, np.integer):
        raise ValueError(
            f"spans must be integers [token, 2]; received {spans.dtype} {list(spans.shape)}. Pass Tokens.spans."
        )
    if len(spans) and (spans.min() < 0 or spans.max() > len(inside) or (spans[:, 1] < spans[:, 0]).any()):
        raise ValueError(
            f"spans must lie within the interval's {len(inside):,} bp, start before end; received {spans.min():,} to "
            f"{spans.max():,}. Pass bp within the sequence, not genome coordinates."
        )
    count = np.concatenate([[0], np.cumsum(inside)])
    return count[spans[:, 1]] > count[spans[:, 0]]
