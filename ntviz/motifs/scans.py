"""Where motifs match sequences, with exact p-values."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import environment
from ntviz.genome import Interval
from ntviz.genome.sequence import codes, require
from ntviz.motifs.matrix import UNIFORM, Motif, as_background, listed
from ntviz.statistics import false_discovery

if TYPE_CHECKING:
    import pandas as pd

STEP = 0.01  # bits between two scores
_PIECE = 1 << 21  # bases looked at at a time
# Long k-mers leave fewer places to look at, and a table of 4 ** 8 scores pays off in many bases only.
_LONG, _K, _SHORT_K = 1 << 16, 8, 5


def composition(sequence: str) -> tuple[float, float, float, float]:
    """Base probabilities ACGT of both strands of a sequence, N left out; a ValueError where A and T or C and G lack.

    Examples
    --------
    >>> composition("AACGN")
    (0.25, 0.25, 0.25, 0.25)
    """
    text = require(sequence)
    weak, strong = (sum(map(text.count, pair)) for pair in ("AT", "CG"))
    if not weak or not strong:
        raise ValueError(f"A background must hold A or T, and C or G; received a sequence with {weak:,} and {strong:,} of them.")  # fmt: skip
    at, cg = weak / (weak + strong) / 2, strong / (weak + strong) / 2
    return at, cg, cg, at


def scan(
    sequence: str, motifs: Motif | Iterable[Motif], *, p: float = 1e-4, background: Sequence[float] | None = None,
    both_strands: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """Matches of one or more motifs in a sequence, with exact p-values.

    Parameters
    ----------
    sequence
        Upper-case A, C, G, T, N. A stretch with N never matches.
    p
        Largest p-value of a match: the probability that a random site of the background scores as much or more, at one
        place on one strand; of L bp, scanned on both, expect 2 p L matches by chance.
    background
        Base probabilities ACGT, averaged with their complement for both strands; 0.25 each when not given. `composition`
        gives a sequence's own.

    Returns
    -------
    One row a match, sorted by place: start and end (0-based half-open, in the sequence), strand, score (log odds in
    bits, each base's rounded to 0.01), p, motif (its identifier) and name. `attrs["too_short"]` names the motifs of
    several whose best match is more probable than `p`.

    References
    ----------
    FIMO (Grant, Bailey & Noble, Bioinformatics 2011), which also computes p by dynamic programming over rounded log odds.

    Examples
    --------
    >>> found = scan("TTGATTACANN", Motif.from_sites("toy", ["GATTACA"]), p=0.001)
    >>> found[["start", "end", "strand"]].values.tolist(), float(found["p"].iloc[0] * 4**7)
    ([[2, 9, '+']], 1.0)
    """
    able, too_short = _able(scorings(motifs, p, background, both_strands), p)
    table, _ = _matches([require(sequence)], able, both_strands)
    table.attrs["too_short"] = too_short
    return table.drop(columns="sequence")


def hits(
    reference: Any, interval: Interval | str, motifs: Motif | Iterable[Motif], *, p: float = 1e-4,
    background: Sequence[float] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Matches of motifs on both strands of a region of a genome, as `annotation.from_table` takes them.

    `reference` fetches the bases of an Interval, as a `Reference` does; `interval` is an Interval, or text such as
    `chr20:1,000-2,000` (1-based closed), whose strand says nothing here; the others are as in `scan`. Columns [chrom, start,
    end, strand, element, name, score, p, motif], 0-based half-open; the element of the motif CTCF is ``CTCF motif``.
    """
    import pandas as pd

    if isinstance(interval, str):
        interval = Interval.from_str(interval)
    chosen = listed(motifs)
    overlap = max((len(motif) for motif in chosen), default=1) - 1
    pieces = []
    for start in range(interval.start, interval.end, _PIECE):
        bases = reference.fetch(Interval(interval.chrom, start, min(start + _PIECE + overlap, interval.end))).sequence
        piece = scan(bases, chosen, p=p, background=background)
        piece[["start", "end"]] += start
        # What begins in the overlap belongs to the next piece.
        pieces.append(piece[piece["start"] < start + _PIECE])
    table = pd.concat(pieces, ignore_index=True).assign(chrom=interval.chrom)
    table["element"] = table["name"] + " motif"
    table.attrs["too_short"] = pieces[0].attrs["too_short"]
    return table[["chrom", "start", "end", "strand", "element", "name", "score", "p", "motif"]]


def scan_many(
    sequences: Mapping[str, str] | Sequence[str], motifs: Motif | Iterable[Motif], *, p: float = 1e-4,
    background: Sequence[float] | None = None, both_strands: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """Matches of motifs in many sequences, with exact p-values and one correction for all places.

    `sequences` are upper-case A, C, G, T, N, by name or in order; the background is one for all. The rest is as in `scan`.

    Returns
    -------
    One row a match, by sequence (in the order given) and place: `sequence` (its name, or its number from 0) and the
    columns of `scan`, with q after p: Benjamini and Hochberg's, over all tests of the call. `attrs` holds `n_tests` (a test
    is one place without N on one strand for one motif that is long enough for `p`), `expected` (how many matches random
    bases of the background give; compare it with the number of rows) and `too_short`, as in `scan`.

    Notes
    -----
    Tests that are not listed could lower a q, never raise it: down to about `expected` over the number of rows. p and q are
    those of random bases. Genomes are not random: repeats and CpG islands are full of matches. Other sequences of the same
    kind, or shuffled ones, are the better control.

    Examples
    --------
    >>> motif = Motif.from_sites("toy", ["GATTACA"])
    >>> found = scan_many({"a": "TTGATTACANN", "b": "CCCCCCCC", "c": "ACG"}, motif, p=0.001)
    >>> found[["sequence", "start", "strand"]].values.tolist(), found.attrs["n_tests"]
    ([['a', 2, '+']], 10)
    >>> bool(found["q"][0] == found["p"][0] * 10)
    True
    """
    if isinstance(sequences, str):
        raise TypeError("Sequences must be several; received one text. Pass [sequence], or use scan.")
    by_name = dict(sequences) if isinstance(sequences, Mapping) else dict(enumerate(sequences))
    if not by_name:
        raise ValueError("There must be a sequence to look in; received none. Pass one or more.")
    for name, text in by_name.items():
        try:
            require(text)
        except (TypeError, ValueError) as error:
            raise type(error)(f"Sequence {name!r}: {error}") from None
    able, too_short = _able(scorings(motifs, p, background, both_strands), p)
    with environment.progress(total=len(by_name), what="motifs", unit="sequences") as bar:
        table, tests = _matches(list(by_name.values()), able, both_strands, bar.update)
    if isinstance(sequences, Mapping):
        table["sequence"] = _taken(list(sequences), table["sequence"].to_numpy())
    n_tests = int(tests.sum())
    table.insert(list(table).index("p") + 1, "q", adjusted(table["p"].to_numpy(), n_tests))
    expected = float(tests @ [scoring.tail[scoring.least] for scoring in able])
    table.attrs = {"n_tests": n_tests, "expected": expected, "too_short": too_short}
    return table


def adjusted(p: np.ndarray, n_tests: int) -> np.ndarray:
    """Benjamini and Hochberg's adjusted p-values of the smallest p-values of so many tests."""
    return np.minimum(false_discovery(p) * (n_tests / max(len(p), 1)), 1)


@dataclass(frozen=True, eq=False)
class Scoring:
    """A motif's log odds, the same in whole steps of `STEP` bits, and the chance of each score.

    `steps` int64 [position, base] are above the smallest of the position; `lowest` is the smallest score. `tail` [score] is
    the probability that a random site scores so many steps above `lowest` or more. `least` is the smallest score whose
    probability is at most p; -1 where even the best is more probable.
    """

    motif: Motif
    odds: np.ndarray
    steps: np.ndarray
    lowest: int
    tail: np.ndarray
    least: int

    @classmethod
    def of(cls, motif: Motif, background: np.ndarray, p: float = 1) -> Scoring:
        """The scoring of one motif on the forward strand."""
        odds = motif.log_odds(background)
        rounded = np.rint(odds / STEP).astype(np.int64)
        smallest = rounded.min(axis=1)
        steps = rounded - smallest[:, None]
        # Position by position: the distribution of a sum is that of the sum so far, moved by each base's score.
        chance = np.ones(1)
        for row in steps:
            longer = np.zeros(len(chance) + int(row.max()))
            for step, probability in zip(row.tolist(), background, strict=True):
                longer[step : step + len(chance)] += probability * chance
            chance = longer
        # Summed from the rare end, so that small probabilities keep their digits.
        tail = np.minimum(np.cumsum(chance[::-1])[::-1], 1)
        # A sum of many small probabilities that should be p may be a rounding error above it.
        least = int(np.searchsorted(-tail, -p * (1 + 1e-9), side="left"))
        return cls(motif, odds, steps, int(smallest.sum()), tail, least if least < len(tail) else -1)

    def bits(self, score: np.ndarray | int) -> np.ndarray:
        """Scores in steps above the lowest, as log odds in bits."""
        return np.asarray(score + self.lowest) * STEP


def scorings(
    motifs: Motif | Iterable[Motif], p: float, background: Sequence[float] | None, both_strands: bool
) -> list[Scoring]:
    """The scoring of each motif at p; a background for both strands is averaged with its complement."""
    chosen = listed(motifs)
    if not 0 < p < 1:
        raise ValueError(f"p must be a probability between 0 and 1; received {p}. FIMO's is 1e-4.")
    if not chosen:
        raise ValueError("There must be a motif to look for; received none. Pass a Motif or several.")
    base = as_background(UNIFORM if background is None else background)
    base = (base + base[::-1]) / 2 if both_strands else base
    return [Scoring.of(motif, base, p) for motif in chosen]


def _able(scored: list[Scoring], p: float) -> tuple[list[Scoring], tuple[str, ...]]:
    """The scorings that can match at p, by identifier, and the identifiers of the others."""
    able = sorted((scoring for scoring in scored if scoring.least >= 0), key=lambda scoring: scoring.motif.id)
    if not able:
        best = min(scored, key=lambda scoring: scoring.tail[-1])
        others = "" if len(scored) == 1 else f", and that of the {len(scored) - 1:,} others is no better"
        raise ValueError(
            f"A motif must be able to match with p of at most {p:g}; the best match of {best.motif.id} has "
            f"{best.tail[-1]:.2g}{others}. Raise p, or take a longer motif."
        )
    return able, tuple(dict.fromkeys(scoring.motif.id for scoring in scored if scoring.least < 0))


def _matches(
    texts: list[str], scored: list[Scoring], both_strands: bool, done: Callable[[int], object] = lambda sequences: None
) -> tuple[pd.DataFrame, np.ndarray]:
    """Matches by sequence (its number) and place, and how many stretches without N each motif was compared with [motif]."""
    import pandas as pd

    widths = np.array([len(scoring.motif) for scoring in scored])
    begins = np.cumsum([0, *(len(text) + 1 for text in texts)])
    tables, tests = [], np.zeros(len(scored), dtype=np.int64)
    for _, piece in itertools.groupby(range(len(texts)), key=lambda row: begins[row] // _PIECE):
        rows = list(piece)
        # Joined by an N, which nothing matches across.
        kmers, within = Kmers("N".join(texts[row] for row in rows)), begins[rows] - begins[rows[0]]
        known = {width: int(kmers.known(width).sum()) for width in set(widths.tolist())}
        tests += [(1 + both_strands) * known[width] for width in widths.tolist()]
        parts = []
        for index, scoring in enumerate(scored):
            for strand, steps in enumerate((scoring.steps, scoring.steps[::-1, ::-1])[: 1 + both_strands]):
                starts, scores = kmers.matches(steps, scoring.least)
                where = np.full((2, len(starts)), [[strand], [index]])
                parts.append((starts, *where, scoring.bits(scores), scoring.tail[scores]))
        start, strand, motif, score, p = map(np.concatenate, zip(*parts, strict=True))
        which = np.searchsorted(within, start, side="right") - 1
        start = start - within[which]
        end = start + widths[motif]
        order = np.lexsort((strand, motif, end, start, which))
        columns = {"sequence": which + rows[0], "start": start, "end": end, "strand": strand, "score": score, "p": p}
        tables.append(pd.DataFrame({**columns, "motif": motif}).take(order))
        done(len(rows))
    table = pd.concat(tables, ignore_index=True)
    motif = table["motif"].to_numpy()
    table["strand"] = _taken(["+", "-"], table["strand"].to_numpy())
    table["motif"] = _taken([scoring.motif.id for scoring in scored], motif)
    table["name"] = _taken([scoring.motif.name for scoring in scored], motif)
    return table, tests


def _taken(texts: Sequence[str], places: np.ndarray) -> pd.Series:
    import pandas as pd

    return pd.Series(texts, dtype=str).take(places).reset_index(drop=True)


class Kmers:
    """Bases whose k-mers are numbered and indexed once, so that a motif looks only where a k-mer lets it match."""

    def __init__(self, sequence: str) -> None:
        self.codes = codes(sequence)
        self._unknown = np.r_[0, np.cumsum(self.codes == 4, dtype=np.int64)]
        self._numbers: dict[int, np.ndarray] = {}
        self._places: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def known(self, width: int) -> np.ndarray:
        """Whether the stretch of `width` bp that begins at each base, where one does, holds no N; bool [start]."""
        return self._unknown[width:] == self._unknown[: len(self._unknown) - width]

    def matches(self, steps: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
        """Starts of the stretches without N that score `least` steps or more, above 0, in order, and their scores.

        `steps` int64 [position, base], 0 or more, is the score of each base.
        """
        width = len(steps)
        last = len(self.codes) - width
        if last < 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        k = min(_K if len(self.codes) >= _LONG else _SHORT_K, width)
        blocks = []
        for first in range(0, width, k):
            # The last k-mer ends where the motif does; bases that the one before it has counted count nothing.
            begin = min(first, width - k)
            counted = np.arange(begin, begin + k) < first
            blocks.append((begin, np.where(counted[:, None], 0, steps[begin : begin + k])))
        # The k-mer that says most comes first, and the others are looked up only where it leaves a chance.
        blocks.sort(key=lambda block: -int(block[1].max(axis=1).sum()))
        rest = sum(int(block.max(axis=1).sum()) for _, block in blocks)
        starts = scores = np.zeros(0, dtype=np.int64)
        for index, (begin, block) in enumerate(blocks):
            rest -= int(block.max(axis=1).sum())
            table = np.zeros(1, dtype=np.int32)  # score of each k-mer; half the memory of int64
            for row in block.astype(np.int32):
                table = (table[:, None] + row).ravel()
            if index == 0:
                kmers = np.flatnonzero(table >= least - rest)
                starts, sizes = self._where(k, kmers)
                starts -= begin
                scores = np.repeat(table[kmers], sizes)
                kept = (starts >= 0) & (starts <= last)
            else:
                number = self._number(k)[starts + begin]
                scores = scores + table[np.maximum(number, 0)]
                kept = (scores >= least - rest) & (number >= 0)
            starts, scores = starts[kept], scores[kept]
        order = np.argsort(starts)
        return starts[order], scores[order].astype(np.int64)

    def _number(self, k: int) -> np.ndarray:
        """Number of the k-mer that begins at each base, in base four; -1 where it holds an N."""
        if k not in self._numbers:
            count = len(self.codes) - k + 1
            number = np.zeros(count, dtype=np.int32)
            for offset in range(k):
                number <<= 2
                number += self.codes[offset : offset + count] & 3
            number[~self.known(k)] = -1
            self._numbers[k] = number
        return self._numbers[k]

    def _where(self, k: int, kmers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Starts of these k-mers, one after the other, and how many each has."""
        if k not in self._places:
            number = self._number(k)
            known = np.flatnonzero(number >= 0)
            number = number[known].astype(np.uint16)  # as wide as 4 ** 8 k-mers need; sorted by radix
            ends = np.cumsum(np.bincount(number, minlength=4**k))
            self._places[k] = known[np.argsort(number, kind="stable")], np.r_[0, ends]
        places, ends = self._places[k]
        sizes = ends[kmers + 1] - ends[kmers]
        skipped = ends[kmers] - (np.cumsum(sizes) - sizes)
        return places[np.repeat(skipped, sizes) + np.arange(sizes.sum())], sizes
