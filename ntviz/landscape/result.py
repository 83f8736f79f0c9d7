"""`Landscape`: what a model reconstructs at each base of an interval, on disk and as tracks."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ntviz import environment
from ntviz.genome import Interval
from ntviz.landscape.tracks import track_rows

TRACKS = ("probability", "entropy", "correct", "perplexity")
FLOOR = 1e-6
"""Probabilities below are taken as this in perplexities: single precision does not tell them from 0."""
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Landscape:
    """What a masked model says of each base of an interval; made by `reconstruct`.

    Attributes
    ----------
    interval
        Of the genome; its first base is the first of every array, as arrays are on the forward strand.
    probability
        [base] float32, of the base that stands there, hidden from the model with the rest of its token. NaN at N, and
        where no whole token fits beside N or an end of the contig.
    correct
        [base] float32, 1 where that base was the most probable, 0 where not, NaN as above.
    entropy
        [base] float32, bits, of the four probabilities: 0 leaves no doubt, 2 says nothing. NaN as above.
    model
        Name of the model.
    contig_length
        bp of the contig, which tracks need.
    controls
        [base] float32 by name: the probability of the base that stands there by what knows no order. "composition":
        share of this base among the others of the window. "shuffled": the same model on the window with its bases in
        an order with the same dinucleotides, asked for the base that came to stand there.
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
        arrays = {"probability": self.probability, "correct": self.correct, "entropy": self.entropy}
        for name, values in {**arrays, **self.controls}.items():
            if np.shape(values) != (len(self.interval),):
                raise ValueError(
                    f"Each array of a Landscape must have a value for each of the {len(self.interval):,} bp of "
                    f"{self.interval.label()}; {name} has shape {list(np.shape(values))}. Pass those of this interval."
                )

    def __len__(self) -> int:
        """Number of bases."""
        return len(self.interval)

    def __repr__(self) -> str:
        known = int(np.isfinite(self.probability).sum())
        told = (
            f"mean probability {np.nanmean(self.probability):.3f}, accuracy {np.nanmean(self.correct):.3f}"
            if known
            else "no base known"
        )
        return f"Landscape({self.interval.label()} by {self.model}: {known:,} bases, {told})"

    @property
    def perplexity(self) -> np.ndarray:
        """[base] float32, 1 / probability: among how many equal choices the base would be as surprising; 4 by guessing.

        The perplexity of several bases is the geometric mean of theirs.
        """
        return (1 / np.maximum(self.probability, np.float32(FLOOR))).astype(np.float32)

    def within(self, interval: Interval) -> Landscape:
        """The part over another interval.

        Raises
        ------
        ValueError
            It does not lie inside.
        """
        if not self.interval.contains(interval):
            raise ValueError(
                f"A part must lie inside {self.interval.label()}; received {interval.label()}. Narrow it."
            )
        place = slice(interval.start - self.interval.start, interval.end - self.interval.start)
        return Landscape(
            Interval(self.interval.chrom, interval.start, interval.end),
            self.probability[place],
            self.correct[place],
            self.entropy[place],
            self.model,
            self.contig_length,
            {name: values[place] for name, values in self.controls.items()},
            self.settings,
        )

    # Files ------------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> Path:
        """The path of one .npz with all arrays, and the rest as JSON in it; it appears whole or not at all.

        Raises
        ------
        OSError
            It cannot be written.
        """
        about = {
            "format": _FORMAT,
            "interval": [self.interval.chrom, self.interval.start, self.interval.end],
            "model": self.model,
            "contig_length": self.contig_length,
            "controls": list(self.controls),
            "settings": self.settings,
        }
        arrays = {f"control_{name}": values for name, values in self.controls.items()}
        with environment.atomic_write(path) as handle:
            np.savez_compressed(
                handle,
                allow_pickle=False,
                about=np.array(json.dumps(about)),
                probability=self.probability,
                correct=self.correct,
                entropy=self.entropy,
                **arrays,
            )
        return Path(path)

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
        content = Path(path).read_bytes()
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                about = json.loads(str(arrays["about"]))
                if about["format"] != _FORMAT:
                    raise ValueError(f"format {about['format']}")
                controls = {name: arrays[f"control_{name}"] for name in about["controls"]}
                values = [arrays[name] for name in ("probability", "correct", "entropy")]
        except environment.DAMAGED as error:
            raise ValueError(
                f"A landscape must be a file of format {_FORMAT} that Landscape.save wrote; {path} is not, or is "
                f"damaged ({error}). Make it again."
            ) from error
        return cls(
            Interval(*about["interval"]),
            *values,
            about["model"],
            about["contig_length"],
            controls,
            about["settings"],
        )

    # Tracks -----------------------------------------------------------------------------------------------------------

    def _rows(self, what: str, size: int) -> Iterator[tuple[int, int, float]]:
        if what not in TRACKS:
            raise ValueError(
                f"A track must be one of {', '.join(TRACKS)}; received {what!r}. Choose one of these."
            )
        if size < 1:
            raise ValueError(f"bin must be at least 1 bp; received {size}. Use 1 for a value a base.")
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
        with environment.atomic_write(path, "w") as handle:
            for start, end, value in rows:
                handle.write(f"{name}\t{start}\t{end}\t{value:.6g}\n")
        return Path(path)

    def chrom_sizes(self, path: str | os.PathLike[str], *, chrom: str | None = None) -> Path:
        """The path of the file of names and lengths that bedGraphToBigWig asks for: one line, of this contig."""
        with environment.atomic_write(path, "w") as handle:
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
        """The path of a bigWig with the rows of `bedgraph`; needs the package pyBigWig.

        Raises
        ------
        ImportError
            pyBigWig is not installed.
        ValueError
            As `bedgraph`.
        """
        rows = self._rows(what, bin)
        try:
            opener = import_module("pyBigWig").open
        except ImportError as error:
            raise ImportError(
                "A bigWig needs the package pyBigWig, which is not installed. Install it (pip install pyBigWig), or "
                "write bedgraph() and chrom_sizes() and run bedGraphToBigWig."
            ) from error
        name = chrom or self.interval.chrom
        temporary = Path(f"{os.fspath(path)}.part")
        try:
            track = opener(str(temporary), "w")
            track.addHeader([(name, self.contig_length)])
            for starts, ends, values in _portions(rows):
                track.addEntries([name] * len(starts), starts, ends=ends, values=values)
            track.close()
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        return Path(path)


def _portions(
    rows: Iterator[tuple[int, int, float]], size: int = 100_000
) -> Iterator[tuple[list[int], list[int], list[float]]]:
    """Columns of `size` rows at a time."""
    while part := list(islice(rows, size)):
        starts, ends, values = zip(*part, strict=True)
        yield list(starts), list(ends), list(values)
