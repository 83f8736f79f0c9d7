"""`Landscape`: what a model reconstructs at each base of an interval, on disk and as tracks."""

# ruff: noqa: A002  bins are called bin
from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ntviz import environment, storage
from ntviz.genome import Interval
from ntviz.statistics import ratio
from ntviz.storage import AnyPath

TRACKS = ("probability", "entropy", "correct", "perplexity")
FLOOR = 1e-6
"""Probabilities below are taken as this in perplexities: single precision does not tell them from 0."""
_CHUNK = 1 << 20
_FORMAT = 1
_ARRAYS = ("probability", "correct", "entropy")


@dataclass(frozen=True, eq=False)
class Landscape:
    """What a masked model predicts at each base of an interval; made by `reconstruct`.

    Attributes
    ----------
    interval
        Of the genome; arrays are on its forward strand.
    probability
        [base] float32, of the reference base, hidden from the model with the rest of its token. NaN at N, and where no
        whole token fits beside N or an end of the contig; the others likewise.
    correct
        [base] float32, 1 where the reference base was the most probable, 0 where not.
    entropy
        [base] float32, bits, of the four probabilities: 0 leaves no doubt, 2 says nothing.
    controls
        [base] float32 by name: the probability of the base by what knows no order. "composition": share of this base among
        the others of the window. "shuffled": the same model on the window shuffled with its dinucleotides kept, asked for
        the base that the shuffle put there.
    settings
        What it was made with; plain data.
    """

    interval: Interval
    probability: np.ndarray
    correct: np.ndarray
    entropy: np.ndarray
    model: str
    contig_length: int  # bp, which tracks need
    controls: dict[str, np.ndarray] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, values in {**{name: getattr(self, name) for name in _ARRAYS}, **self.controls}.items():
            if np.shape(values) != (len(self.interval),):
                raise ValueError(
                    f"Each array of a Landscape must have a value for each of the {len(self.interval):,} bp of "
                    f"{self.interval.label()}; {name} has shape {list(np.shape(values))}. Pass those of this interval."
                )

    def __len__(self) -> int:
        return len(self.interval)

    def __repr__(self) -> str:
        known, means = int(np.isfinite(self.probability).sum()), "no base known"
        if known:
            means = f"mean probability {np.nanmean(self.probability):.3f}, accuracy {np.nanmean(self.correct):.3f}"
        seams = f". {self.settings['seams']['note']}" if "seams" in self.settings else ""
        return f"Landscape({self.interval.label()} by {self.model}: {known:,} bases, {means}{seams})"

    @property
    def perplexity(self) -> np.ndarray:
        """[base] float32, 1 / probability: among how many equal choices the base would be as surprising; 4 by guessing.

        The perplexity of several bases is the geometric mean of theirs.
        """
        return (1 / np.maximum(self.probability, np.float32(FLOOR))).astype(np.float32)

    def within(self, interval: Interval) -> Landscape:
        """The part over another interval; a ValueError where it does not lie inside."""
        if not self.interval.contains(interval):
            raise ValueError(f"A part must lie inside {self.interval.label()}; received {interval.label()}. Narrow it.")
        place = slice(interval.start - self.interval.start, interval.end - self.interval.start)
        return replace(
            self,
            interval=Interval(self.interval.chrom, interval.start, interval.end),
            **{name: getattr(self, name)[place] for name in _ARRAYS},
            controls={name: values[place] for name, values in self.controls.items()},
        )

    # Files ------------------------------------------------------------------------------------------------------------

    def save(self, path: AnyPath) -> Path:
        """The path of one .npz with all arrays, and the rest as JSON in it; it appears whole or not at all."""
        place = self.interval
        about = {
            **{"format": _FORMAT, "interval": [place.chrom, place.start, place.end]},
            **{name: getattr(self, name) for name in ("model", "contig_length", "settings")},
            "controls": list(self.controls),
        }
        arrays = {f"control_{name}": values for name, values in self.controls.items()}
        return storage.save(path, about, {name: getattr(self, name) for name in _ARRAYS} | arrays)

    @classmethod
    def load(cls, path: AnyPath) -> Landscape:
        """A landscape as `save` wrote it; a ValueError where the file is damaged, of another version, or no landscape."""
        about, arrays = storage.load(path, _ARRAYS, version=_FORMAT)
        controls = {name: arrays[f"control_{name}"] for name in about["controls"]}
        values = [arrays[name] for name in _ARRAYS]
        length, settings = about["contig_length"], about["settings"]
        return cls(Interval(*about["interval"]), *values, about["model"], length, controls, settings)

    # Tracks -----------------------------------------------------------------------------------------------------------

    def _rows(self, what: str, size: int) -> Iterator[tuple[int, int, float]]:
        check_track(what, size)
        return track_rows(getattr(self, what), self.interval.start, size)

    def bedgraph(self, path: AnyPath, what: str = "probability", *, bin: int = 1, chrom: str | None = None) -> Path:
        """The path of a bedGraph: 0-based half-open, sorted, without overlaps, whole or not at all.

        Stretches of one value are one line, and N have none. Values have six significant digits.

        Parameters
        ----------
        what
            "probability", "entropy" (bits), "correct" or "perplexity".
        bin
            bp of a line at most where values differ; lines are means (of perplexity too) over known bases, cut at
            multiples of this number.
        chrom
            Name of the contig in the file, such as "chr20" for a browser; as in the interval when not given.
        """
        name, rows = chrom or self.interval.chrom, self._rows(what, bin)
        with storage.atomic_write(path, "w") as handle:
            handle.writelines(f"{name}\t{start}\t{end}\t{value:.6g}\n" for start, end, value in rows)
        return Path(path)

    def chrom_sizes(self, path: AnyPath, *, chrom: str | None = None) -> Path:
        """The path of the file of names and lengths that bedGraphToBigWig asks for: one line, of this contig."""
        with storage.atomic_write(path, "w") as handle:
            handle.write(f"{chrom or self.interval.chrom}\t{self.contig_length}\n")
        return Path(path)

    def bigwig(self, path: AnyPath, what: str = "probability", *, bin: int = 1, chrom: str | None = None) -> Path:
        """The path of a bigWig with the rows of `bedgraph`; an ImportError without the extra `bigwig`."""
        rows, name = self._rows(what, bin), chrom or self.interval.chrom
        instead = "write bedgraph() and chrom_sizes() and run bedGraphToBigWig"
        pybigtools = environment.need("pybigtools", "bigwig", instead)
        with storage.beside(path, ".bw") as part:
            pybigtools.open(str(part), "w").write({name: self.contig_length}, ((name, *row) for row in rows))
            os.replace(part, path)
        return Path(path)


def check_track(track: str, size: int) -> None:
    """Refuses a track that there is not, and bins of no base."""
    if track not in TRACKS or size < 1:
        raise ValueError(f"A track must be one of {', '.join(TRACKS)}, in bins of at least 1 bp; received {track!r} in {size}.")  # fmt: skip


def cuts(start: int, end: int, step: int) -> list[tuple[int, int]]:
    """Start to end, cut at every multiple of a step.

    >>> cuts(3, 9, 4)
    [(3, 4), (4, 8), (8, 9)]
    """
    return list(pairwise([start, *range((start // step + 1) * step, end, step), end]))


def track_rows(values: np.ndarray, start: int, size: int = 1) -> Iterator[tuple[int, int, float]]:
    """Rows (start, end, value) of a track, 0-based half-open, sorted; equal neighbours are one row and NaN have none.

    `values` [base] begin at `start`. A row is of bins of `size` bp, cut at multiples of it; its value is the mean of the
    bases that are known, and it reaches over all bases of the bin, unless all are NaN.

    >>> list(track_rows(np.array([0.5, 0.5, np.nan, 1.0, 0.5]), 9, 2))
    [(9, 12, 0.5), (12, 14, 0.75)]
    """
    pieces = cuts(start, start + len(values), max(1, _CHUNK // size) * size)
    bins = (one for low, high in pieces for one in _bins(values[low - start : high - start], low, size))
    held = nothing = (start, start, math.nan)
    for row in chain(bins, [nothing]):
        if row[2] == held[2]:
            held = (held[0], *row[1:])
            continue
        if not math.isnan(held[2]):
            yield held
        held = row


def _bins(values: np.ndarray, start: int, size: int) -> Iterator[tuple[int, int, float]]:
    firsts = np.flatnonzero(np.diff((start + np.arange(len(values))) // size, prepend=-1))
    known = np.isfinite(values)
    sums = np.add.reduceat(np.where(known, values, 0).astype(np.float64), firsts)
    means = ratio(sums, np.add.reduceat(known.astype(np.int64), firsts)).round(9)
    edges = start + np.append(firsts, len(values))
    return zip(edges[:-1].tolist(), edges[1:].tolist(), means.tolist(), strict=True)
