"""The bases that one head attends to most, aligned: what a motif logo of a head is made of, beside what chance gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ntviz.attention.blocks import tokens_of
from ntviz.attention.observation import observe
from ntviz.attention.observers import Received
from ntviz.environment import progress
from ntviz.genome import Interval
from ntviz.genome.sequence import one_hot
from ntviz.motifs import Motif
from ntviz.reference import Reference

DRAWS = 500
"""Random sets of tokens that the chance level of information comes from."""


@dataclass(frozen=True)
class AttendedSites:
    """Aligned sites around the tokens that a head attends to most; made by `attended_sites`.

    Attributes
    ----------
    table
        One row a site: [chrom, start, end, strand, received, sequence]; 0-based half-open, `received` is the attention
        the token got from all queries of its window, in queries.
    control
        [position, 4] numbers over as many random tokens of the same windows, summed over `DRAWS` draws.
    chance
        [position] bits: the 95 % quantile, over those draws, of the information that random tokens show.
    token
        (first, last): the positions that the attended token covers, half-open; the rest are its flanks.
    """

    table: pd.DataFrame
    counts: np.ndarray  # [position, 4] numbers of A, C, G, T over the sites
    control: np.ndarray
    random: np.ndarray  # [position, 4] shares in one of the draws, to draw beneath the sites
    chance: np.ndarray
    token: tuple[int, int]
    layer: int
    head: int
    windows: int  # how many were read

    @cached_property
    def probabilities(self) -> np.ndarray:
        """[position, 4] shares of A, C, G, T, with one pseudocount in each."""
        return _shares(self.counts)

    @cached_property
    def background(self) -> np.ndarray:
        """[position, 4] shares over the random tokens."""
        return _shares(self.control)

    @cached_property
    def information(self) -> np.ndarray:
        """[position] bits by which the attended sites differ from the random tokens (relative entropy)."""
        return _bits(self.probabilities, self.background)

    @property
    def beyond_chance(self) -> np.ndarray:
        """[position] bool: more information than 95 % of the random sets show."""
        return self.information > self.chance

    @property
    def motif(self) -> Motif:
        """The sites as a motif, flanks included, to be named by `motifs.name`."""
        return Motif(self._head, self.probabilities, nsites=len(self.table))

    @property
    def random_motif(self) -> Motif:
        """One random set of as many sites as a motif: what `motif` has to be held against, under the same names."""
        return Motif(f"random sites for {self._head}", self.random, nsites=len(self.table))

    @property
    def _head(self) -> str:
        return f"layer {self.layer}, head {self.head}"

    def __repr__(self) -> str:
        inside = slice(*self.token)
        return (
            f"{self._head.capitalize()}: {len(self.table):,} sites of {self.windows:,} windows; "
            f"{self.information[inside].sum():.2f} bits over the attended token where chance gives up to "
            f"{self.chance[inside].sum():.2f}; {int(self.beyond_chance.sum())} of {len(self.chance)} positions beyond chance"
        )


def attended_sites(
    model: Any, intervals: Iterable[Interval], reference: Reference, *, layer: int, head: int, top: int = 500,
    per_window: int = 5, flank: int = 9, seed: int = 0,
) -> AttendedSites:  # fmt: skip
    """The tokens that a head attends to most over many windows, cut out with their flanks and aligned.

    Only tokens of k bases whose flanks hold no N are considered, here and in the control. All sites keep the frame of
    their token: a 6-mer model cannot point at a place between two tokens, so a motif that falls in several frames
    shows as several faint ones. Random tokens come from the same windows, at most `4 * per_window` of each, so composition
    and repeats of the windows are in the control as well.

    Parameters
    ----------
    intervals
        Windows, none longer than the model takes; read 5′ to 3′ on their strand.
    layer, head
        Zero-based.
    top
        Sites kept in all.
    per_window
        Most sites of one window, so that one repeat does not make the logo.
    flank
        bp kept on each side of the token.
    """
    rng = np.random.default_rng(seed)
    rows, random, windows = [], [], 0
    for interval in progress(list(intervals), what="windows for the logo"):
        sequence = reference.fetch(interval).sequence
        tokens = tokens_of(model, sequence)
        windows += 1
        whole = np.flatnonzero(_usable(tokens, flank))
        if not len(whole):
            continue
        one = observe(model, tokens, received=Received(layers=[layer], heads=[head]))
        received = one.received.by_token[0, 0]
        starts = tokens.spans[whole, 0] - flank
        width = int(tokens.spans[whole[0], 1] - tokens.spans[whole[0], 0]) + 2 * flank
        for place in np.argsort(-received[whole], kind="stable")[:per_window]:
            start = int(starts[place])
            first = interval.end - start - width if interval.strand == "-" else interval.start + start
            site = (interval.chrom, first, first + width, interval.strand)
            rows.append((*site, received[whole[place]], sequence[start : start + width]))
        some = rng.permutation(len(whole))[: 4 * per_window]
        random.append([sequence[start : start + width] for start in starts[some]])
    if not rows:
        raise ValueError(
            f"Windows must hold whole tokens with {flank} bp on both sides, without N; none of {windows} does. "
            "Take longer windows, or a smaller flank."
        )
    table = pd.DataFrame(rows, columns=["chrom", "start", "end", "strand", "received", "sequence"])
    table = table.sort_values("received", ascending=False, kind="stable").head(top).reset_index(drop=True)
    counts = np.sum([one_hot(site) for site in table["sequence"]], axis=0)
    pool = np.stack([one_hot(site) for site in np.concatenate(random)])
    draws = np.stack([pool[rng.choice(len(pool), len(table))].sum(0) for _ in range(DRAWS)])
    control = draws.sum(0)
    chance = np.quantile(_bits(_shares(draws), _shares(control)), 0.95, axis=0)
    token = (flank, counts.shape[0] - flank)
    return AttendedSites(table, counts, control, _shares(draws[0]), chance, token, layer, head, windows)


def _usable(tokens: Any, flank: int) -> np.ndarray:
    """Which tokens cover k bases and have flanks without N inside the sequence."""
    unknown = np.r_[0, np.cumsum(np.frombuffer(tokens.sequence.encode(), dtype=np.uint8) == ord("N"))]
    start, end = tokens.spans[:, 0] - flank, tokens.spans[:, 1] + flank
    inside = tokens.is_kmer & (start >= 0) & (end <= len(tokens.sequence))
    start, end = np.clip(start, 0, None), np.clip(end, None, len(tokens.sequence))
    return inside & (unknown[end] == unknown[start])


def _shares(counts: np.ndarray) -> np.ndarray:
    """Shares over the last axis, with one pseudocount in each."""
    return (counts + 1) / (counts + 1).sum(-1, keepdims=True)


def _bits(shares: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Relative entropy over the last axis, in bits."""
    return (shares * np.log2(shares / background)).sum(-1)
