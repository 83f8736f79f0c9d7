"""Saturation: every single-base change of a locus, from one masked reading a token and strand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.genome import Interval
from ntviz.genome import sequence as dna
from ntviz.models.protocol import DNAModel
from ntviz.reference import Reference
from ntviz.variants.alleles import Allele
from ntviz.variants.options import Options
from ntviz.variants.scorer import Scorer

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
        """One row a substitution: chrom, pos (1-based), ref, alt, llr, llr_fwd, llr_rev, base_llr, expected."""
        import pandas as pd

        codes = dna.codes(self.sequence)
        rows, columns = np.nonzero((codes[:, None] != np.arange(4)) & (codes[:, None] < 4))
        letters = np.array(list(BASES))
        place = {"chrom": self.interval.chrom, "pos": self.interval.start + rows + 1}
        alleles = {"ref": letters[codes[rows]], "alt": letters[columns]}
        scores = {
            name: getattr(self, name)[rows, columns] for name in ("llr", "llr_fwd", "llr_rev", "base_llr")
        }
        return pd.DataFrame(place | alleles | scores | {"expected": self.probabilities[rows, columns]})


def saturation(
    model: DNAModel,
    reference: Reference,
    interval: Interval | str,
    *,
    frames: int = 1,
    both_strands: bool = True,
    window: int | None = None,
    batch_tokens: int = 16_384,
    what: str | None = "saturation",
) -> Saturation:
    """Log-likelihood ratios of all substitutions of a locus of any length.

    Each token is masked once a strand, in the middle of a window of its own, and answers for all changes of its bases:
    a locus of n bp costs n / 3 readings with 6-mers. The numbers are those of `variants.score`.

    Parameters
    ----------
    model, reference
        Any `models.DNAModel` with a mask; bases.
    interval
        An Interval, or text such as chr20:43,030,000-43,030,600 (1-based, both ends included).
    frames, both_strands, window
        As in `Options`; 6 frames of a 6-mer model cost 6 times as many readings.
    batch_tokens
        Tokens of a forward pass at most.
    what
        Name of the progress bar; None for none.

    Raises
    ------
    ValueError
        The interval is not on the reference, or the options do not fit the model.
    """
    place = Interval.from_str(interval) if isinstance(interval, str) else interval
    place = Interval(place.chrom, max(place.start, 0), min(place.end, len(reference.whole(place.chrom))))
    sequence = reference.fetch(place).sequence
    options = Options(("llr", "base_llr"), frames=frames, window=window, both_strands=both_strands)
    scorer = Scorer(model, reference, options, batch_tokens=batch_tokens)
    cells = [
        (at, column)
        for at, base in enumerate(sequence)
        for column, other in enumerate(BASES)
        if base != "N" and other != base
    ]
    alleles = [Allele(place.chrom, place.start + at + 1, sequence[at], BASES[column]) for at, column in cells]
    scored = scorer.score(alleles, what=what)
    rows, columns = np.array(cells, int).reshape(-1, 2).T

    def grid(name: str) -> np.ndarray:
        values = np.full((len(sequence), 4), np.nan)
        if name in scored.columns:
            values[rows, columns] = scored.values[:, scored.columns.index(name)]
            known = np.flatnonzero(np.isfinite(values).any(axis=1))
            values[known, dna.codes(sequence)[known]] = 0
        return values

    forward = "llr_fwd" if both_strands else "llr"
    grids = [grid(name) for name in ("llr", forward, "llr_rev", "base_llr")]
    return Saturation(place, sequence, *grids, scorer.reader.sequences, model.name, scorer.about)
