"""Where motifs match sequences, with exact p-values."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ntviz import environment
from ntviz.genome import Interval
from ntviz.genome.sequence import codes, require
from ntviz.motifs.matrix import PSEUDOCOUNT, UNIFORM, Motif, as_background, listed

if TYPE_CHECKING:
    import pandas as pd

STEP = 0.01  # bits between two scores
_PIECE = 1 << 21  # bases looked at at a time
# Long k-mers leave fewer places to look at, and a table of 4 ** 8 scores pays off in many bases only.
_LONG, _K, _SHORT_K = 1 << 16, 8, 5
_MATCH = np.dtype([("start", "i8"), ("end", "i8"), ("strand", "i1"), ("score", "f8"), ("p", "f8"), ("motif", "i4")])  # fmt: skip


class _Bases(Protocol):
    @property
    def sequence(self) -> str: ...


class Genome(Protocol):
    """What `hits` asks of a genome; a `Reference` is one."""

    def fetch(self, interval: Interval, /) -> _Bases: ...


def composition(sequence: str) -> tuple[float, float, float, float]:
    """Base probabilities ACGT of both strands of a sequence, N left out: a background of its own GC content.

    Raises
    ------
    ValueError
        If the sequence is not clean, or lacks A and T or C and G.

    Examples
    --------
    >>> composition("AACGN")
    (0.25, 0.25, 0.25, 0.25)
    """
    text = require(sequence)
    weak, strong = (sum(map(text.count, pair)) for pair in ("AT", "CG"))
    if not weak or not strong:
        raise ValueError(
            f"A background must hold A or T, and C or G; received a sequence with {weak:,} and {strong:,} of them. Take a "
            f"longer sequence, or 0.25 each."
        )
    at, cg = weak / (weak + strong) / 2, strong / (weak + strong) / 2
    return at, cg, cg, at


def scan(
    sequence: str,
    motifs: Motif | Iterable[Motif],
    *,
    p: float = 1e-4,
    background: Sequence[float] | None = None,
    both_strands: bool = True,
    pseudocount: float = PSEUDOCOUNT,
) -> pd.DataFrame:
    """Matches of one or more motifs in a sequence, with exact p-values.

    Parameters
    ----------
    sequence
        Upper-case A, C, G, T, N. A stretch with N never matches.
    motifs
        A motif, or several.
    p
        Largest p-value of a match: the probability that a random site of the background scores as much or more, at one
        place on one strand; of L bp, scanned on both, expect 2 p L matches by chance.
    background
        Base probabilities ACGT, averaged with their complement for both strands; 0.25 each when not given, so that matches
        in a part of a sequence are those in the whole. `composition` gives a sequence's own.
    both_strands
        Whether to look on the strand "-" too. A palindrome matches on both.
    pseudocount
        Sites to add to each motif, with the bases of the background.

    Returns
    -------
    One row a match, sorted by place: start and end (0-based half-open, in the sequence), strand, score (log odds in
    bits, each base's rounded to 0.01), p, motif (its identifier) and name. `attrs["too_short"]` names the motifs of
    several whose best match is more probable than `p`.

    Raises
    ------
    ValueError
        If `p` is not between 0 and 1, the sequence or the background cannot be used, there is no motif, or no motif can
        have a match that is so improbable.

    References
    ----------
    FIMO (Grant, Bailey & Noble, Bioinformatics 2011), which also computes p-values by dynamic programming over log odds
    in whole steps: exact for the rounded scores, which are within 0.005 bits a position of the unrounded.

    Examples
    --------
    >>> found = scan("TTGATTACANN", Motif.from_sites("toy", ["GATTACA"]), p=0.001)
    >>> found[["start", "end", "strand"]].values.tolist(), float(found["p"].iloc[0] * 4**7)
    ([[2, 9, '+']], 1.0)
    """
    search = Search(motifs, p, background, both_strands, pseudocount)
    found = search.matches(Kmers(require(sequence)))
    table = search.table(found[np.lexsort((found["strand"], found["motif"], found["end"], found["start"]))])
    table.attrs["too_short"] = search.too_short
    return table


def hits(
    reference: Genome,
    interval: Interval | str,
    motifs: Motif | Iterable[Motif],
    *,
    p: float = 1e-4,
    background: Sequence[float] | None = None,
    pseudocount: float = PSEUDOCOUNT,
) -> pd.DataFrame:
    """Matches of motifs on both strands of a region of a genome, as a table of elements.

    Parameters
    ----------
    reference
        A `Reference`, or whatever fetches the bases of an Interval.
    interval
        An Interval, or text such as `chr20:1,000-2,000` (1-based closed). Its strand says nothing here.
    motifs, p, background, pseudocount
        As in `scan`, errors too.

    Returns
    -------
    Columns [chrom, start, end, strand, element, name, score, p, motif], in genome coordinates, 0-based half-open. The
    element of the motif CTCF is ``CTCF motif``. `annotation.from_table` takes the table as it is.
    """
    import pandas as pd

    if isinstance(interval, str):
        interval = Interval.from_str(interval)
    chosen = listed(motifs)
    overlap = max((len(motif) for motif in chosen), default=1) - 1
    scanned = partial(scan, motifs=chosen, p=p, background=background, pseudocount=pseudocount)
    found = []
    for start in range(interval.start, interval.end, _PIECE):
        end = min(start + _PIECE + overlap, interval.end)
        piece = scanned(reference.fetch(Interval(interval.chrom, start, end)).sequence)
        piece[["start", "end"]] += start
        # What begins in the overlap belongs to the next piece.
        found.append(piece[piece["start"] < start + _PIECE])
    table = pd.concat(found, ignore_index=True).assign(chrom=interval.chrom)
    table["element"] = table["name"] + " motif"
    table.attrs["too_short"] = found[0].attrs["too_short"]
    return table[["chrom", "start", "end", "strand", "element", "name", "score", "p", "motif"]]


def scan_many(
    sequences: Mapping[str, str] | Sequence[str],
    motifs: Motif | Iterable[Motif],
    *,
    p: float = 1e-4,
    background: Sequence[float] | None = None,
    both_strands: bool = True,
    pseudocount: float = PSEUDOCOUNT,
) -> pd.DataFrame:
    """Matches of motifs in many sequences, with exact p-values and one correction for all that was looked at.

    Parameters
    ----------
    sequences
        Upper-case A, C, G, T, N, by name or in order. One that is shorter than a motif, or all N, has no match of it.
    motifs, p, background, both_strands, pseudocount
        As in `scan`, errors too; the background is one for all sequences.

    Returns
    -------
    One row a match, by sequence (in the order given) and place: `sequence` (its name, or its number from 0) and the
    columns of `scan`, with q after p: the smallest false discovery rate at which Benjamini and Hochberg's rule calls
    this match, over all tests of the call; a test is one place on one strand for one motif. `attrs` holds

    - ``n_tests``: a place with N is no test, nor is one that reaches out of its sequence. A motif that is too short for
      `p` was not looked for.
    - ``expected``: how many matches random bases of the background give; compare it with the number of rows.
    - ``too_short``: as in `scan`.

    Notes
    -----
    Tests that are not listed could lower a q, never raise it: down to about ``expected`` over the number of rows. So no
    q is too small, and those well below that ratio are exact. p and q are those of random bases. Genomes are not random:
    repeats and CpG islands are full of matches. Other sequences of the same kind, or shuffled ones, are the better
    control.

    References
    ----------
    Benjamini & Hochberg, J R Stat Soc B 1995. FIMO's q-values estimate the share of true nulls on top; these do not.

    Examples
    --------
    >>> motif = Motif.from_sites("toy", ["GATTACA"])
    >>> found = scan_many({"a": "TTGATTACANN", "b": "CCCCCCCC", "c": "ACG"}, motif, p=0.001)
    >>> found[["sequence", "start", "strand"]].values.tolist(), found.attrs["n_tests"]
    ([['a', 2, '+']], 10)
    >>> bool(found["q"][0] == found["p"][0] * 10)
    True
    """
    import pandas as pd

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
    texts = list(by_name.values())
    search = Search(motifs, p, background, both_strands, pseudocount)
    begins = np.cumsum([0, *(len(text) + 1 for text in texts)])
    tables, tests = [], np.zeros(len(search.scorings), dtype=np.int64)
    with environment.progress(total=len(texts), what="motifs", unit="sequences") as bar:
        for _, piece in itertools.groupby(range(len(texts)), key=lambda row: begins[row] // _PIECE):
            rows = list(piece)
            # Joined by an N, which nothing matches across.
            kmers, within = Kmers("N".join(texts[row] for row in rows)), begins[rows] - begins[rows[0]]
            found = search.matches(kmers)
            tests += search.tests(kmers)
            which = np.searchsorted(within, found["start"], side="right") - 1
            found["start"] -= within[which]
            found["end"] -= within[which]
            order = np.lexsort((found["strand"], found["motif"], found["end"], found["start"], which))
            table = search.table(found[order])
            table.insert(0, "sequence", which[order] + rows[0])
            tables.append(table)
            bar.update(len(rows))
    table = pd.concat(tables, ignore_index=True)
    if isinstance(sequences, Mapping):
        table["sequence"] = _taken(list(sequences), table["sequence"].to_numpy())
    n_tests = int(tests.sum())
    table.insert(table.columns.get_loc("p") + 1, "q", adjusted(table["p"].to_numpy(), n_tests))
    expected = float(tests @ [scoring.tail[scoring.least] for scoring in search.scorings])
    table.attrs = {"n_tests": n_tests, "expected": expected, "too_short": search.too_short}
    return table


def adjusted(p: np.ndarray, n_tests: int) -> np.ndarray:
    """Benjamini and Hochberg's adjusted p-values of the smallest p-values of so many tests.

    Examples
    --------
    >>> adjusted(np.array([0.02, 0.001, 0.03]), 10).round(4).tolist()
    [0.1, 0.01, 0.1]
    """
    order = np.argsort(p)
    raw = p[order] * n_tests / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    # From the largest p down: a larger rank may have the smaller value, which holds for all before it.
    q[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1)
    return q


@dataclass(frozen=True, eq=False)
class Scoring:
    """A motif's log odds, the same in whole steps of `STEP` bits, and the chance of each score.

    `steps` int64 [position, base] are above the smallest of the position, so 0 or more; `lowest` is the smallest score.
    `tail` [score] is the probability that a random site scores so many steps above `lowest` or more. `least` is the
    smallest score whose probability is at most p; -1 where even the best is more probable.
    """

    motif: Motif
    odds: np.ndarray
    steps: np.ndarray
    lowest: int
    tail: np.ndarray
    least: int

    @classmethod
    def of(cls, motif: Motif, background: np.ndarray, pseudocount: float, p: float = 1) -> Scoring:
        """The scoring of one motif on the forward strand."""
        odds = motif.log_odds(background, pseudocount)
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
    motifs: Motif | Iterable[Motif],
    p: float,
    background: Sequence[float] | None,
    both_strands: bool,
    pseudocount: float,
) -> list[Scoring]:
    """The scoring of each motif at p; a background for both strands is averaged with its complement."""
    chosen = listed(motifs)
    if not 0 < p < 1:
        raise ValueError(f"p must be a probability between 0 and 1; received {p}. FIMO's is 1e-4.")
    if not chosen:
        raise ValueError("There must be a motif to look for; received none. Pass a Motif or several.")
    base = as_background(UNIFORM if background is None else background)
    base = (base + base[::-1]) / 2 if both_strands else base
    return [Scoring.of(motif, base, pseudocount, p) for motif in chosen]


class Search:
    """Motifs to look for, by identifier, and the identifiers of those that are too short to match; arguments of `scan`."""

    def __init__(
        self,
        motifs: Motif | Iterable[Motif],
        p: float,
        background: Sequence[float] | None,
        both_strands: bool,
        pseudocount: float,
    ) -> None:
        scored = scorings(motifs, p, background, both_strands, pseudocount)
        self.scorings = sorted((one for one in scored if one.least >= 0), key=lambda one: one.motif.id)
        self.too_short = tuple(dict.fromkeys(one.motif.id for one in scored if one.least < 0))
        self.strands = 1 + both_strands
        if not self.scorings:
            best = min(scored, key=lambda one: one.tail[-1])
            others = "" if len(scored) == 1 else f", and that of the {len(scored) - 1:,} others is no better"
            raise ValueError(
                f"A motif must be able to match with p of at most {p:g}; the best match of {best.motif.id} has "
                f"{best.tail[-1]:.2g}{others}. Raise p, or take a longer motif."
            )

    def matches(self, kmers: Kmers) -> np.ndarray:
        """Matches [match] of dtype `_MATCH`, motif by motif: strand is 0 or 1, motif a place in `scorings`."""
        found = []
        for index, scoring in enumerate(self.scorings):
            for strand, steps in enumerate((scoring.steps, scoring.steps[::-1, ::-1])[: self.strands]):
                starts, scores = kmers.matches(steps, scoring.least)
                some: np.ndarray[Any, Any] = np.empty(len(starts), dtype=_MATCH)
                some["start"], some["end"], some["strand"] = starts, starts + len(steps), strand
                some["score"], some["p"], some["motif"] = scoring.bits(scores), scoring.tail[scores], index
                found.append(some)
        return np.concatenate(found)

    def tests(self, kmers: Kmers) -> np.ndarray:
        """How many stretches without N, on its strands, each motif was compared with; int64 [motif]."""
        widths = [len(scoring.motif) for scoring in self.scorings]
        known = {width: int(kmers.known(width).sum()) for width in set(widths)}
        return np.array([known[width] for width in widths]) * self.strands

    def table(self, found: np.ndarray) -> pd.DataFrame:
        """Matches as a table [start, end, strand, score, p, motif, name]."""
        import pandas as pd

        motifs = [scoring.motif for scoring in self.scorings]
        columns: dict[str, Any] = {name: np.ascontiguousarray(found[name]) for name in _MATCH.names or ()}
        columns["strand"] = _taken(["+", "-"], found["strand"])
        columns["motif"] = _taken([motif.id for motif in motifs], found["motif"])
        columns["name"] = _taken([motif.name for motif in motifs], found["motif"])
        return pd.DataFrame(columns)


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
            table = np.zeros(
                1, dtype=np.int32
            )  # score of each k-mer; half the memory of int64, where the time goes
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
