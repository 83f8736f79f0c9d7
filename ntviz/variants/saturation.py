"""Maps of a locus: every single-base change (saturation), and what each does to the prediction at every other base (dependency)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.genome import Interval
from ntviz.genome import sequence as dna
from ntviz.masking import BATCH_TOKENS, Reader, Reading
from ntviz.models.protocol import DNAModel
from ntviz.reference import Reference
from ntviz.variants.alleles import Allele
from ntviz.variants.options import Options
from ntviz.variants.scorer import Scorer
from ntviz.variants.windows import Contig

if TYPE_CHECKING:
    import pandas as pd

BASES = "ACGT"


@dataclass(frozen=True)
class Saturation:
    """Every substitution of a locus, on the forward strand.

    `llr` [base, 4] are log-likelihood ratios in nats of each base, in order ACGT, against the reference: the mean of both
    strands, 0 at the reference base, NaN where nothing could be read (at and beside N).
    """

    interval: Interval
    sequence: str
    llr: np.ndarray
    llr_fwd: np.ndarray  # the same of each strand
    llr_rev: np.ndarray
    base_llr: np.ndarray  # the same of the single base, summed over the other bases of its token
    forwards: int  # sequences that the model read
    model: str
    options: dict[str, Any]  # how it was made, as plain data
    llr_calibrated: np.ndarray | None = (
        None  # [base, 4] `llr` minus that of neutral substitutions, where a calibration was given
    )

    @property
    def probabilities(self) -> np.ndarray:
        """[base, 4] what the model expects, from `base_llr`: the strands' geometric mean, summing to one."""
        from scipy.special import softmax

        return softmax(self.base_llr, axis=1)

    @property
    def entropy(self) -> np.ndarray:
        """[base] entropy of `probabilities` in nats, 0 to log 4 = 1.386."""
        from scipy.special import entr

        return entr(self.probabilities).sum(axis=1)

    def table(self) -> pd.DataFrame:
        """One row a substitution: chrom, pos (1-based), ref, alt, llr, llr_fwd, llr_rev, base_llr, expected; llr_calibrated if there."""
        import pandas as pd

        rows, columns = np.nonzero(_others(self.sequence))
        codes = dna.codes(self.sequence)
        letters = np.array(list(BASES))
        place = {"chrom": self.interval.chrom, "pos": self.interval.start + rows + 1}
        alleles = {"ref": letters[codes[rows]], "alt": letters[columns]}
        grids = {name: getattr(self, name) for name in ("llr", "llr_fwd", "llr_rev", "base_llr")}
        grids |= {"expected": self.probabilities, "llr_calibrated": self.llr_calibrated}
        scores = {name: grid[rows, columns] for name, grid in grids.items() if grid is not None}
        return pd.DataFrame(place | alleles | scores)


def saturation(
    model: DNAModel, reference: Reference, interval: Interval | str, *, frames: int = 1, both_strands: bool = True,
    window: int | None = None, calibration: Any = None, batch_tokens: int = BATCH_TOKENS, what: str | None = "saturation",
) -> Saturation:  # fmt: skip
    """Log-likelihood ratios of all substitutions of a locus of any length.

    Each token is masked once a strand, in the middle of a window of its own, and answers for all changes of its bases:
    a locus of n bp costs n / 3 readings with 6-mers, and one longer than the model reads has no seams. The numbers are those of `variants.score`.

    `interval` may be text such as chr20:43,030,000-43,030,600 (1-based, both ends included); `frames`, `both_strands` and `window`
    are as in `Options`; `calibration` is from `variants.calibration`, with the same options. A ValueError says that the interval is not
    on the reference, or that the options do not fit the model or the calibration.
    """
    place = Interval.from_str(interval) if isinstance(interval, str) else interval
    place = Interval(place.chrom, max(place.start, 0), min(place.end, len(reference.whole(place.chrom))))
    sequence = reference.fetch(place).sequence
    options = Options(("llr", "base_llr"), frames=frames, window=window, both_strands=both_strands)
    scorer = Scorer(model, reference, options, calibration=calibration, batch_tokens=batch_tokens)
    rows, columns = np.nonzero(_others(sequence))
    alleles = [
        Allele(place.chrom, place.start + int(at) + 1, sequence[at], BASES[column])
        for at, column in zip(rows, columns, strict=True)
    ]
    scored = scorer.score(alleles, what=what)

    def grid(name: str) -> np.ndarray:
        values = np.full((len(sequence), 4), np.nan)
        if name in scored.columns:
            values[rows, columns] = scored.values[:, scored.columns.index(name)]
            known = np.flatnonzero(np.isfinite(values).any(axis=1))
            values[known, dna.codes(sequence)[known]] = 0
        return values

    forward = "llr_fwd" if both_strands else "llr"
    grids = [grid(name) for name in ("llr", forward, "llr_rev", "base_llr")]
    calibrated = None if calibration is None else grid("llr_calibrated")
    return Saturation(place, sequence, *grids, scorer.reader.sequences, model.name, scorer.about, calibrated)


def _others(sequence: str) -> np.ndarray:
    """[base, 4] whether each letter is another one than the base; none is at N."""
    codes = dna.codes(sequence)[:, None]
    return (codes != np.arange(4)) & (codes < 4)


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
    model: DNAModel, reference: Reference, interval: Interval | str, *, both_strands: bool = False,
    batch_tokens: int = BATCH_TOKENS, what: str | None = "dependency map",
) -> Dependency:  # fmt: skip
    """The nucleotide dependency map of a locus of W bp, from 3 W + 1 readings (twice as many on both strands).

    One window holds the locus in its middle. It is read as it is and with each substitution, nothing masked.

    `interval` may be text such as chr20:43,030,000-43,030,200 (1-based, both ends included); `both_strands` averages the maps of both.
    A ValueError says that it does not fit into the model's window, or that no window without N holds it.

    References
    ----------
    Tomaz da Silva et al. (2025) Nature Genetics: the largest absolute log2 odds ratio. Theirs is over single-base tokens; here
    the bases of a token are told apart by summing over the others, and what shares a token is left out.
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
    reader, bases = Reader(model, layer, batch_tokens), window.inside
    low, high = place.start - window.start, place.end - window.start
    asked = tuple(range(low // k, (high - 1) // k + 1))
    changes = [(at, other) for at in range(low, high) for other in BASES if other != bases[at]]
    sequences = [bases, *(bases[:at] + other + bases[at + 1 :] for at, other in changes)]
    maps = []
    for reverse in (False, True) if both_strands else (False,):
        readings = [Reading(sequence, reverse, asked=asked) for sequence in sequences]
        answers = reader.whole(readings, own=False, bases=False, hidden=False, what=what)
        rows = (reader.base_log_probs(reading, answer.logits).reshape(-1, 4) for reading, answer in answers)
        odds = (_log_odds(row[low - asked[0] * k : high - asked[0] * k]) for row in rows)
        plain = next(odds)
        effects = np.array([np.abs(changed - plain).max(axis=1) for changed in odds]) / np.log(2)
        maps.append(effects.reshape(high - low, 3, high - low).max(axis=1))
    token = np.arange(low, high) // k
    same = token[:, None] == token
    values = np.where(same, np.nan, np.mean(maps, axis=0))
    about = {"window_bp": window.length, "both_strands": both_strands, "vocabulary": vocabulary.name}
    return Dependency(place, bases[low:high], values, same, reader.sequences, model.name, about)


def _log_odds(log_probs: np.ndarray) -> np.ndarray:
    """Natural log odds of each base against the other three, [base, 4]; summed from its parts, as 1 - p would round away."""
    from scipy.special import logsumexp

    others = np.stack([np.delete(log_probs, base, axis=1) for base in range(4)], axis=1)
    return log_probs - logsumexp(others, axis=2)
