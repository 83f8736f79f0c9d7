"""Where motifs match a sequence, with exact p-values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ntviz.genome import Interval
from ntviz.motifs.matrix import PSEUDOCOUNT, UNIFORM, Motif, as_background
from ntviz.motifs.scoring import Scoring
from ntviz.sequence import codes, require

if TYPE_CHECKING:
    import pandas as pd

# Bases looked up at a time: a table of 4 ** 8 scores stays in the cache of a processor, and pays off in long sequences.
_LONG, _WORD, _SHORT_WORD = 1 << 16, 8, 5
_PIECE = 1 << 21  # bases of a genome at a time
_NEVER = -(1 << 28)  # score of a word with N; a few of them still fit an int32


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
    count = {base: require(sequence).count(base) for base in "ACGT"}
    weak, strong = count["A"] + count["T"], count["C"] + count["G"]
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
        Largest p-value of a match: the probability that a random site of the background scores as much or more. It is
        that of one place on one strand; of a sequence of L bp, scanned on both, expect 2 p L matches by chance.
    background
        Base probabilities ACGT; 0.25 each when not given, so that matches in a part of a sequence are those in the
        whole. `composition` gives a sequence's own. For both strands it is averaged with its complement.
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
    FIMO (Grant, Bailey & Noble, Bioinformatics 2011), whose p-values are computed in the same way: by dynamic
    programming over log odds rounded to whole steps. So they are exact for the rounded scores, which differ from the
    unrounded by at most 0.005 bits a position.

    Examples
    --------
    >>> found = scan("TTGATTACANN", Motif.from_sites("toy", ["GATTACA"]), p=0.001)
    >>> found[["start", "end", "strand"]].values.tolist(), float(found["p"].iloc[0] * 4**7)
    ([[2, 9, '+']], 1.0)
    """
    import pandas as pd

    chosen = [motifs] if isinstance(motifs, Motif) else list(motifs)
    if not 0 < p < 1:
        raise ValueError(f"p must be a probability between 0 and 1; received {p}. FIMO's is 1e-4.")
    if not chosen:
        raise ValueError("There must be a motif to look for; received none. Pass a Motif or several.")
    base = as_background(UNIFORM if background is None else background)
    if both_strands:
        base = (base + base[::-1]) / 2
    words = _Words(require(sequence))
    found, too_short = [], {}
    for motif in chosen:
        scoring = Scoring.of(motif, base, pseudocount)
        least = scoring.threshold(p)
        if least is None:
            too_short[motif.id] = scoring.best_p
            continue
        for strand, steps in (("+", scoring.steps), ("-", scoring.steps[::-1, ::-1]))[: 1 + both_strands]:
            starts, scores = words.matches(steps, least)
            found.append((motif, strand, starts, scoring.bits(scores), scoring.tail[scores]))
    if not found:
        name, best = min(too_short.items(), key=lambda item: item[1])
        raise ValueError(
            f"A motif must be able to match with p of at most {p:g}; the best match of {name} has {best:.2g}"
            f"{'' if len(chosen) == 1 else f', and that of the {len(chosen) - 1:,} others is no better'}. Raise p, or take "
            f"a longer motif."
        )
    sizes = [len(starts) for _, _, starts, _, _ in found]
    start = np.concatenate([starts for _, _, starts, _, _ in found])
    hits = pd.DataFrame(
        {
            "start": start,
            "end": start + np.repeat([len(motif) for motif, *_ in found], sizes),
            "strand": np.repeat(np.array([strand for _, strand, *_ in found], dtype=object), sizes),
            "score": np.concatenate([bits for *_, bits, _ in found]),
            "p": np.concatenate([chance for *_, chance in found]),
            "motif": np.repeat(np.array([motif.id for motif, *_ in found], dtype=object), sizes),
            "name": np.repeat(np.array([motif.name for motif, *_ in found], dtype=object), sizes),
        }
    ).astype({"strand": str, "motif": str, "name": str})
    hits = hits.sort_values(["start", "end", "motif", "strand"], ignore_index=True)
    hits.attrs["too_short"] = tuple(too_short)
    return hits


class _Words:
    """A sequence whose words of k bases have been numbered once for each k, for all motifs."""

    def __init__(self, sequence: str) -> None:
        self.codes = codes(sequence)
        self._numbers: dict[int, np.ndarray] = {}

    def numbers(self, k: int) -> np.ndarray:
        """Number of the word that begins at each base, in base four; 4 ** k where it holds an N."""
        if k not in self._numbers:
            count = len(self.codes) - k + 1
            number = np.zeros(count, dtype=np.int32)
            for offset in range(k):
                number <<= 2
                number += self.codes[offset : offset + count] & 3
            upto = np.r_[0, np.cumsum(self.codes == 4, dtype=np.int32)]
            number[upto[k:] > upto[:-k]] = 4**k
            self._numbers[k] = number
        return self._numbers[k]

    def matches(self, steps: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
        """Starts of the stretches that score `least` steps or more, and their scores."""
        width = len(steps)
        places = len(self.codes) - width + 1
        if places <= 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        k = min(_WORD if len(self.codes) >= _LONG else _SHORT_WORD, width)
        numbers = self.numbers(k)
        blocks = []
        for first in range(0, width, k):
            # The last word ends where the motif does; bases that the word before it has counted count nothing.
            begin = min(first, width - k)
            counted = np.arange(begin, begin + k) < first
            blocks.append((begin, np.where(counted[:, None], 0, steps[begin : begin + k])))
        # The word that says most comes first, and the others are looked up only where it leaves a chance.
        blocks.sort(key=lambda block: -int(block[1].max(axis=1).sum()))
        rest = sum(int(block.max(axis=1).sum()) for _, block in blocks)
        starts: np.ndarray | None = None
        scores = np.zeros(0, dtype=np.int32)
        for begin, block in blocks:
            rest -= int(block.max(axis=1).sum())
            table = _table(block)
            if starts is None:
                scores = table[numbers[begin : begin + places]]
                starts = np.flatnonzero(scores >= least - rest)
                scores = scores[starts]
            else:
                scores = scores + table[numbers[starts + begin]]
                kept = scores >= least - rest
                starts, scores = starts[kept], scores[kept]
        assert starts is not None
        return starts, scores.astype(np.int64)


def _table(block: np.ndarray) -> np.ndarray:
    """Score of each word of bases [position, base], with that of a word with N at the end."""
    scores = np.zeros(1, dtype=np.int32)
    for row in block:
        scores = (scores[:, None] + row.astype(np.int32)).ravel()
    return np.append(scores, np.int32(_NEVER))


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
        As in `scan`.

    Returns
    -------
    Columns [chrom, start, end, strand, element, name, score, p, motif], in genome coordinates, 0-based half-open. The
    element of the motif CTCF is ``CTCF motif``. `annotation.from_table` takes the table as it is.

    Raises
    ------
    ValueError
        As in `scan`, and where the reference has no such region.
    """
    import pandas as pd

    if isinstance(interval, str):
        interval = Interval.from_str(interval)
    chosen = [motifs] if isinstance(motifs, Motif) else list(motifs)
    overlap = max((len(motif) for motif in chosen), default=1) - 1
    found = []
    for start in range(interval.start, interval.end, _PIECE):
        end = min(start + _PIECE + overlap, interval.end)
        piece = scan(
            reference.fetch(Interval(interval.chrom, start, end)).sequence,
            chosen,
            p=p,
            background=background,
            pseudocount=pseudocount,
        )
        piece[["start", "end"]] += start
        # What begins in the overlap belongs to the next piece.
        found.append(piece[piece["start"] < start + _PIECE])
    table = pd.concat(found, ignore_index=True)
    table.insert(0, "chrom", interval.chrom)
    table.insert(4, "element", table["name"] + " motif")
    table.attrs["too_short"] = found[0].attrs["too_short"]
    return table[["chrom", "start", "end", "strand", "element", "name", "score", "p", "motif"]]
