"""Motif: base probabilities by position, and the scores that come of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ntviz.genome.sequence import BASES, one_hot

UNIFORM = (0.25, 0.25, 0.25, 0.25)
NSITES = 20  # sites of a motif that does not say, as in MEME's own programs
PSEUDOCOUNT = 0.1  # sites, FIMO's default
_TWO = dict(zip(map(frozenset, ("AG", "CT", "CG", "AT", "GT", "AC")), "RYSWKM", strict=True))


@dataclass(frozen=True, eq=False)
class Motif:
    """A motif: how probable each base is at each of its positions.

    `id` is such as ``MA0139.2``; `probabilities` [position, base] are in the order ACGT, and each row sums to one; `name` is
    that of the protein, or the identifier; `nsites` is the number of aligned sites, where it is known.

    Examples
    --------
    >>> tata = Motif.from_sites("toy", ["TATA", "TATA", "TAAA", "TATA"])
    >>> tata.probabilities[2].tolist(), tata.nsites
    ([0.25, 0.0, 0.0, 0.75], 4)
    >>> tata.information.round(2).tolist()
    [2.0, 2.0, 1.19, 2.0]
    """

    id: str
    probabilities: np.ndarray
    name: str = ""
    nsites: int | None = None

    def __post_init__(self) -> None:
        values = _by_position(self.probabilities, "probabilities", self.id)
        sums = values.sum(axis=1)
        _refuse(
            ~np.isclose(sums, 1, atol=0.01) | ~(values >= 0).all(axis=1), values, self.id,
            "base probabilities at each position of a motif must sum to one and not be negative", "Divide counts by their sum",
        )  # fmt: skip
        if self.nsites is not None and self.nsites < 1:
            raise ValueError(f"A motif must be of one site or more; received nsites={self.nsites} for {self.id}.")
        values /= sums[:, None]
        values.flags.writeable = False
        object.__setattr__(self, "probabilities", values)
        object.__setattr__(self, "name", self.name or self.id)

    def __repr__(self) -> str:
        named = "" if self.name == self.id else f" {self.name}"
        return f"Motif({self.id}{named}, {len(self)} bp)"

    def __len__(self) -> int:
        """Number of positions."""
        return len(self.probabilities)

    @classmethod
    def from_sites(cls, id: str, sites: Sequence[str], *, name: str = "") -> Motif:  # noqa: A002
        """The motif of aligned sites of one length; an N counts for no base, and a position of N alone is a ValueError."""
        widths = {len(site) for site in sites}
        if len(widths) != 1:
            raise ValueError(
                f"A motif must be made of aligned sites of one length; received {len(sites)} sites of "
                f"{', '.join(map(str, sorted(widths))) or 'no'} bp for {id}. Cut them to the same window."
            )
        counts = np.sum([one_hot(site) for site in sites], axis=0, dtype=np.float64)
        known = counts.sum(axis=1)
        if not known.all():
            raise ValueError(
                f"Each position of a motif must be known in one site at least; position {int(known.argmin()) + 1} of "
                f"{id} is N in all {len(sites):,}. Leave this position out."
            )
        return cls(id, counts / known[:, None], name=name, nsites=len(sites))

    @classmethod
    def from_counts(cls, id: str, counts: Sequence[Sequence[float]] | np.ndarray, *, name: str = "") -> Motif:  # noqa: A002
        """The motif of counted bases [position, base] in the order ACGT; its sites are those of the fullest position."""
        values = _by_position(counts, "counts", id)
        sums = values.sum(axis=1)
        _refuse(
            ~np.isfinite(sums) | ~(sums > 0) | ~(values >= 0).all(axis=1), values, id,
            "counts at each position of a motif must be finite, not negative, and some", "Leave this position out",
        )  # fmt: skip
        return cls(id, values / sums[:, None], name=name, nsites=max(round(sums.max()), 1))

    @property
    def best_site(self) -> str:
        """The most probable base at each position; of equals the first in the order ACGT."""
        return "".join(BASES[base] for base in self.probabilities.argmax(axis=1))

    @property
    def consensus(self) -> str:
        """One IUPAC letter a position: a base of 50 % that is twice the next, else two of 75 % together, else N (Cavener 1987)."""
        letters = []
        for row in self.probabilities:
            first, second, *_ = np.argsort(-row, kind="stable").tolist()
            one = row[first] >= 0.5 and row[first] >= 2 * row[second]
            two = row[first] + row[second] >= 0.75
            pair = frozenset((BASES[first], BASES[second]))
            letters.append(BASES[first] if one else _TWO[pair] if two else "N")
        return "".join(letters)

    def trimmed(self, min_information: float = 0.25) -> Motif:
        """The motif without the positions at both ends of less information, in bits."""
        start, end = self.core(min_information)
        if start == end:
            raise ValueError(f"A motif must say {min_information:g} bits at a position to be trimmed to it; {self.id} does not.")  # fmt: skip
        return replace(self, probabilities=self.probabilities[start:end])

    def core(self, min_information: float = 0.25) -> tuple[int, int]:
        """First position of so much information, in bits, and the one after the last (0-based); 0 and 0 without any."""
        informative = np.flatnonzero(self.information >= min_information)
        return (int(informative[0]), int(informative[-1]) + 1) if len(informative) else (0, 0)

    def drawn(self, count: int, *, seed: int) -> list[str]:
        """So many sites, 1 or more, whose bases are drawn position by position from the probabilities."""
        if count < 1:
            raise ValueError(f"There must be a site to draw; received count={count}. Ask for 1 or more.")
        cumulative = np.cumsum(self.probabilities, axis=1)
        cumulative /= cumulative[:, -1:]
        bases = (np.random.default_rng(seed).random((count, len(self), 1)) >= cumulative).sum(axis=2)
        return ["".join(BASES[base] for base in site) for site in bases.tolist()]

    @property
    def counts(self) -> np.ndarray:
        """Sites [position, base] with each base: probabilities times `nsites`, or times 20 where that is not known."""
        return self.probabilities * (self.nsites or NSITES)

    @property
    def information(self) -> np.ndarray:
        """Information content [position] in bits: 2 minus the entropy; no correction for few sites."""
        p = self.probabilities
        return 2 + (p * np.log2(p, where=p > 0, out=np.zeros_like(p))).sum(axis=1)

    def log_odds(self, background: Sequence[float] | np.ndarray = UNIFORM, pseudocount: float = PSEUDOCOUNT) -> np.ndarray:  # fmt: skip
        """Log of probability over background [position, base] in bits; always finite.

        The probabilities are those after `pseudocount` more sites, above 0, whose bases are those of the background.
        """
        if not pseudocount > 0:
            raise ValueError(
                f"pseudocount must be positive, so that no base is impossible; received {pseudocount}. FIMO's is {PSEUDOCOUNT}."
            )
        base = as_background(background)
        smoothed = (self.counts + pseudocount * base) / ((self.nsites or NSITES) + pseudocount)
        return np.log2(smoothed / base)

    def reverse_complement(self) -> Motif:
        """The same motif on the other strand, under the same names."""
        return replace(self, probabilities=self.probabilities[::-1, ::-1])


def listed(motifs: Motif | Iterable[Motif]) -> list[Motif]:
    """One motif or several as a list."""
    return [motifs] if isinstance(motifs, Motif) else list(motifs)


def as_background(background: Sequence[float] | np.ndarray) -> np.ndarray:
    """The background as an array of four probabilities, in the order ACGT."""
    values = np.asarray(background, dtype=np.float64)
    if values.shape != (4,) or not (values > 0).all() or not np.isclose(values.sum(), 1, atol=0.01):
        raise ValueError(
            f"A background must be four positive probabilities in the order {BASES} that sum to one; received "
            f"{values.tolist()}. Leave it out for 0.25 each."
        )
    return values / values.sum()


def _by_position(values: Sequence[Sequence[float]] | np.ndarray, what: str, id: str) -> np.ndarray:  # noqa: A002
    array = np.array(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 4 or not len(array):
        raise ValueError(f"The {what} of a motif must be [position, 4], in the order ACGT; received {list(array.shape)} for {id}.")  # fmt: skip
    return array


def _refuse(wrong: np.ndarray, values: np.ndarray, id: str, rule: str, advice: str) -> None:  # noqa: A002
    """A ValueError for the first position that is wrong."""
    if wrong.any():
        at = int(wrong.argmax())
        raise ValueError(f"The {rule}; received {values[at].tolist()} at position {at + 1} of {id}. {advice}.")
