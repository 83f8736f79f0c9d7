"""TOMTOM: how alike motifs are, with p-values, asked of memelite in batches that report their progress."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np

from ntviz import environment
from ntviz.motifs.matrix import Motif

TARGETS = 25  # fewer columns than those of so many motifs are no null; memelite warns below it
WIDEST = 64  # bp of a query; memory grows with the third power
_BATCH = 256  # queries at a time


@dataclass(frozen=True, eq=False)
class Likeness:
    """The best alignment of each query with each target, arrays [query, target].

    Attributes
    ----------
    p
        Probability that columns drawn at random from all targets, as many as this target has, align as well somewhere
        on either strand.
    turned
        Whether the target is turned around.
    offset
        Position of the query's first column in the target, turned where it is; negative where the query begins before.
    overlap
        Columns that lie on each other.
    """

    p: np.ndarray
    turned: np.ndarray
    offset: np.ndarray
    overlap: np.ndarray


def compare(queries: Sequence[np.ndarray], targets: Sequence[Motif], what: str = "TOMTOM") -> Likeness:
    """Likeness of queries, each probabilities [position, base], and targets.

    Raises
    ------
    ImportError
        If memelite is not installed.
    ValueError
        If there are fewer than 25 targets.
    """
    if len(targets) < TARGETS:
        raise ValueError(
            f"TOMTOM must have {TARGETS} targets or more, because their columns are its null; received {len(targets):,}. "
            f"Pass a whole collection, such as the bundle's, with your own motifs added."
        )
    try:
        tomtom = importlib.import_module("memelite").tomtom
    except ImportError as error:
        raise ImportError(
            "Naming motifs needs the package memelite, which is not installed. Run `pip install 'ntviz[motifs]'`."
        ) from error
    # Columns last. Both directions of each target are passed as targets, so that a tie is the one as given.
    ways = [np.ascontiguousarray(motif.probabilities.T) for motif in targets]
    ways += [np.ascontiguousarray(way[::-1, ::-1]) for way in ways]
    found = []
    with (
        environment.progress(total=len(queries), what=what, unit="motifs") as bar,
        ThreadPoolExecutor(1) as pool,
    ):
        for first in range(0, len(queries), _BATCH):
            some = [np.ascontiguousarray(query.T) for query in queries[first : first + _BATCH]]
            answer = pool.submit(tomtom, some, ways, reverse_complement=False)
            # Compiled code says nothing while it is made, so it is made beside a bar that does.
            while wait([answer], timeout=0.5).not_done:
                bar.update(0, note="" if first else "compiling where this is the first time, a minute or two")
            bar.note = ""
            found.append(answer.result())
            bar.update(len(some))
    p, _, offset, overlap, _ = np.concatenate(found, axis=1)
    p = np.where(np.isnan(p), 1.0, p)  # what cannot be computed is no likeness
    half = len(targets)
    turned = p[:, half:] < p[:, :half]
    best = np.where(turned, p[:, half:], p[:, :half])
    return Likeness(
        best * (2 - best),  # of two directions, as if independent
        turned,
        *(np.where(turned, each[:, half:], each[:, :half]).astype(np.int64) for each in (offset, overlap)),
    )
