"""`Landscape`: what a model reconstructs at each base of an interval, on disk and as tracks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ntviz import storage
from ntviz.genome import Interval

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
        Of the genome; its first base is the first of every array, as arrays are on the forward strand.
    probability
        [base] float32, of the reference base, hidden from the model with the rest of its token. NaN at N, and where no
        whole token fits beside N or an end of the contig.
    correct
        [base] float32, 1 where the reference base was the most probable, 0 where not, NaN as above.
    entropy
        [base] float32, bits, of the four probabilities: 0 leaves no doubt, 2 says nothing. NaN as above.
    model
        Name of the model.
    contig_length
        bp of the contig, which tracks need.
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
    contig_length: int
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
        """Number of bases."""
        return len(self.interval)

    def __repr__(self) -> str:
        known, means = int(np.isfinite(self.probability).sum()), "no base known"
        if known:
            means = f"mean probability {np.nanmean(self.probability):.3f}, accuracy {np.nanmean(self.correct):.3f}"
        return f"Landscape({self.interval.label()} by {self.model}: {known:,} bases, {means})"

    @property
    def perplexity(self) -> np.ndarray:
        """[base] float32, 1 / probability: among how many equal choices the base would be as surprising; 4 by guessing.

        The perplexity of several bases is the geometric mean of theirs.
        """
        return (1 / np.maximum(self.probability, np.float32(FLOOR))).astype(np.float32)

    def within(self, interval: Interval) -> Landscape:
        """The part over another interval; a ValueError where it does not lie inside."""
        if not self.interval.contains(interval):
            raise ValueError(
                f"A part must lie inside {self.interval.label()}; received {interval.label()}. Narrow it."
            )
        place = slice(interval.start - self.interval.start, interval.end - self.interval.start)
        return replace(
            self,
            interval=Interval(self.interval.chrom, interval.start, interval.end),
            **{name: getattr(self, name)[place] for name in _ARRAYS},
            controls={name: values[place] for name, values in self.controls.items()},
        )

    # Files ------------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> Path:
        """The path of one .npz with all arrays, and the rest as JSON in it; it appears whole or not at all."""
        about = {
            "format": _FORMAT,
            "interval": [self.interval.chrom, self.interval.start, self.interval.end],
            "model": self.model,
            "contig_length": self.contig_length,
            "controls": list(self.controls),
            "settings": self.settings,
        }
        arrays = {f"control_{name}": values for name, values in self.controls.items()}
        return storage.save(path, about, {name: getattr(self, name) for name in _ARRAYS} | arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Landscape:
        """A landscape as `save` wrote it.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            It is damaged, of another version, or no landscape.
        """
        about, arrays = storage.load(path, _ARRAYS, version=_FORMAT)
        controls = {name: arrays[f"control_{name}"] for name in about["controls"]}
        values = [arrays[name] for name in _ARRAYS]
        length, settings = about["contig_length"], about["settings"]
        return cls(Interval(*about["interval"]), *values, about["model"], length, controls, settings)

    # Tracks -----------------------------------------------------------------------------------------------------------

    def _rows(self, what: str, size: int) -> Iterator[tuple[int, int, float]]:
        check_track(what, size)
        return track_rows(getattr(self, what), self.interval.start, size)

    def bedgraph(
        self,
        path: str | os.PathLike[str],
        what: str = "probability",
        *,
        bin: int = 1,  # noqa: A002
        chrom: str | None = None,
    ) -> Path:
        """The path of a bedGraph: 0-based half-open, sorted, without overlaps, ready for bedGraphToBigWig.

        Stretches of one value are one line, and N have none. Values have six significant digits.

        Parameters
        ----------
        path
            File to write, whole or not at all.
        what
            "probability", "entropy" (bits), "correct" or "perplexity".
        bin
            bp of a line at most where values differ; lines are means (of perplexity too) over known bases, cut at
            multiples of this number.
        chrom
            Name of the contig in the file, such as "chr20" for a browser; as in the interval when not given.

        Raises
        ------
        ValueError
            There is no such track, or the bin is below 1.
        """
        name = chrom or self.interval.chrom
        rows = self._rows(what, bin)
        with storage.atomic_write(path, "w") as handle:
            for start, end, value in rows:
                handle.write(f"{name}\t{start}\t{end}\t{value:.6g}\n")
        return Path(path)

    def chrom_sizes(self, path: str | os.PathLike[str], *, chrom: str | None = None) -> Path:
        """The path of the file of names and lengths that bedGraphToBigWig asks for: one line, of this contig."""
        with storage.atomic_write(path, "w") as handle:
            handle.write(f"{chrom or self.interval.chrom}\t{self.contig_length}\n")
        return Path(path)

    def bigwig(
        self,
        path: str | os.PathLike[str],
        what: str = "probability",
        *,
        bin: int = 1,  # noqa: A002
        chrom: str | None = None,
    ) -> Path:
        """The path of a bigWig with the rows of `bedgraph`; an ImportError without the package pyBigWig."""
        rows, name = self._rows(what, bin), chrom or self.interval.chrom
        try:
            opener = import_module("pyBigWig").open
        except ImportError as error:
            raise ImportError(
                "A bigWig needs the package pyBigWig, which is not installed. Install it (pip install pyBigWig), or "
                "write bedgraph() and chrom_sizes() and run bedGraphToBigWig."
            ) from error
        with storage.beside(path) as part:
            track = opener(str(part), "w")
            track.addHeader([(name, self.contig_length)])
            while batch := list(islice(rows, 100_000)):
                starts, ends, values = map(list, zip(*batch, strict=True))
                track.addEntries([name] * len(batch), starts, ends=ends, values=values)
            track.close()
            os.replace(part, path)
        return Path(path)


def check_track(track: str, size: int) -> None:
    """Refuses a track that there is not, and bins of no base."""
    if track not in TRACKS or size < 1:
        raise ValueError(
            f"A track must be one of {', '.join(TRACKS)}, in bins of at least 1 bp; received {track!r} in {size}. Choose "
            "one of these."
        )


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

    Examples
    --------
    >>> list(track_rows(np.array([0.5, 0.5, np.nan, 1.0, 0.0]), 9))
    [(9, 11, 0.5), (12, 13, 1.0), (13, 14, 0.0)]
    >>> list(track_rows(np.array([0.5, 0.5, np.nan, 1.0, 0.5]), 9, 2))
    [(9, 12, 0.5), (12, 14, 0.75)]
    """
    held: tuple[int, int, float] | None = None
    for low, high in cuts(start, start + len(values), max(1, _CHUNK // size) * size):
        for row in _rows(np.asarray(values[low - start : high - start]), low, size):
            if held is not None and held[1:] == (row[0], row[2]):
                held = (held[0], *row[1:])
                continue
            if held is not None:
                yield held
            held = row
    if held is not None:
        yield held


def _rows(values: np.ndarray, start: int, size: int) -> Iterator[tuple[int, int, float]]:
    """Rows of one chunk."""
    numbers = (start + np.arange(len(values))) // size
    firsts = np.flatnonzero(np.diff(numbers, prepend=-1))
    known = np.isfinite(values)
    counts = np.add.reduceat(known.astype(np.int64), firsts)
    sums = np.add.reduceat(np.where(known, values, 0).astype(np.float64), firsts)
    means = (sums / np.maximum(counts, 1)).round(9)
    new = np.r_[True, (means[1:] != means[:-1]) | ((counts[1:] > 0) != (counts[:-1] > 0))]
    heads, edges = np.flatnonzero(new), np.r_[firsts, len(values)]
    for head, tail in pairwise([*heads.tolist(), len(firsts)]):
        if counts[head]:
            yield start + int(edges[head]), start + int(edges[tail]), float(means[head])
