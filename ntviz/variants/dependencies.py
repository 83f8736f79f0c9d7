"""Nucleotide dependency maps: what a substitution at one base does to the prediction at every other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.genome import Interval
from ntviz.masking import BATCH_TOKENS, Reader, Reading
from ntviz.models.protocol import DNAModel
from ntviz.reference import Reference
from ntviz.variants.options import Options
from ntviz.variants.windows import Contig

if TYPE_CHECKING:
    import pandas as pd

BASES = "ACGT"


@dataclass(frozen=True)
class Dependency:
    """How much the prediction at base j depends on base i.

    `values` [i, j] are the largest |log2 odds ratio| of any of the four bases at j under any of the three substitutions at i;
    NaN where i and j share a token, which the model reads as one (`same_token` [i, j]), and at N.
    """

    interval: Interval  # the locus; axes run from its first base on the forward strand
    sequence: str
    values: np.ndarray
    same_token: np.ndarray
    forwards: int  # sequences that the model read
    model: str
    options: dict[str, Any]  # how it was made, as plain data

    def table(self) -> pd.DataFrame:
        """One row a pair of bases in different tokens: chrom, pos_i, pos_j (1-based), log2_odds_ratio."""
        import pandas as pd

        i, j = np.nonzero(np.isfinite(self.values))
        first = self.interval.start + 1
        place = {"chrom": self.interval.chrom, "pos_i": first + i, "pos_j": first + j}
        return pd.DataFrame(place | {"log2_odds_ratio": self.values[i, j]})


def dependency(
    model: DNAModel,
    reference: Reference,
    interval: Interval | str,
    *,
    both_strands: bool = False,
    batch_tokens: int = BATCH_TOKENS,
    what: str | None = "dependency map",
) -> Dependency:
    """The nucleotide dependency map of a locus of W bp, from 3 W + 1 readings (twice as many on both strands).

    One window holds the locus in its middle. It is read as it is and with each substitution, nothing masked.

    Parameters
    ----------
    model, reference
        Any `models.DNAModel`; bases.
    interval
        An Interval, or text such as chr20:43,030,000-43,030,200 (1-based, both ends included), within one window.
    both_strands
        Averages the maps of both strands.
    batch_tokens
        Tokens of a forward pass at most.
    what
        Name of the progress bar; None for none.

    Raises
    ------
    ValueError
        The interval does not fit into the model's window, or no window without N holds it.

    References
    ----------
    Tomaz da Silva et al. (2025) Nature Genetics, nucleotide dependency analysis: the largest absolute log2 odds ratio.
    Theirs is over single-base tokens; here the bases of a token are told apart by summing over the others, and what
    shares a token is left out.
    """
    place = Interval.from_str(interval) if isinstance(interval, str) else interval
    place = Interval(place.chrom, place.start, place.end)
    vocabulary = model.tokenize("A").vocabulary
    k = vocabulary.k
    tokens, layer = Options().fit(k, model.max_bp, model.layers, model.name)
    contig = Contig(reference, place.chrom)
    if place.start < 0 or place.end > contig.length or len(place) > (tokens - 2) * k:
        raise ValueError(
            f"A dependency map must lie on its contig and within {(tokens - 2) * k:,} bp for {model.name}; received "
            f"{place.label()}, {len(place):,} bp of a contig of {contig.length:,}. Choose a shorter interval."
        )
    first = place.midpoint // k * k
    window = contig.window(min(first, (contig.length - k) // k * k), k, tokens)
    if window is None or not window.start <= place.start < place.end <= window.start + window.length:
        raise ValueError(
            f"A dependency map must have a window of {tokens * k:,} bp without N around it; there is none around "
            f"{place.label()}. Choose another interval."
        )
    reader = Reader(model, layer, batch_tokens)
    bases = window.bases[window.margin : window.margin + window.length]
    low, high = place.start - window.start, place.end - window.start
    strands = (False, True) if both_strands else (False,)
    maps = [_one_strand(reader, bases, reverse, (low, high), what) for reverse in strands]
    token = np.arange(low, high) // k
    same = token[:, None] == token
    values = np.where(same, np.nan, np.mean(maps, axis=0))
    about = {"window_bp": window.length, "both_strands": both_strands, "vocabulary": vocabulary.name}
    return Dependency(place, bases[low:high], values, same, reader.sequences, model.name, about)


def _one_strand(
    reader: Reader, bases: str, reverse: bool, locus: tuple[int, int], what: str | None
) -> np.ndarray:
    low, high = locus
    asked = tuple(range(low // reader.k, (high - 1) // reader.k + 1))
    changes = [(at, other) for at in range(low, high) for other in BASES if other != bases[at]]
    sequences = [bases, *(bases[:at] + other + bases[at + 1 :] for at, other in changes)]
    readings = [Reading(sequence, reverse, asked=asked) for sequence in sequences]
    inside = slice(low - asked[0] * reader.k, high - asked[0] * reader.k)
    odds = (
        _log_odds(reader.base_log_probs(reading, answer.logits).reshape(-1, 4)[inside])
        for reading, answer in reader.whole(readings, own=False, bases=False, hidden=False, what=what)
    )
    plain = next(odds)
    effects = np.array([np.abs(changed - plain).max(axis=1) for changed in odds]) / np.log(2)
    return effects.reshape(high - low, 3, high - low).max(axis=1)


def _log_odds(log_probs: np.ndarray) -> np.ndarray:
    """Natural log odds of each base against the other three, [base, 4]."""
    others = np.stack([np.delete(log_probs, base, axis=1) for base in range(4)], axis=1)
    top = others.max(axis=2)
    # The complement summed from its parts keeps what 1 - p would round away.
    return log_probs - top - np.log(np.exp(others - top[..., None]).sum(axis=2))
