"""Expected bases with either allele around them: what a change does to the model's expectation of its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ntviz.genome import Interval
from ntviz.tokens import kmer_base_log_probs
from ntviz.variants.alleles import Change
from ntviz.variants.reading import Reader, Reading
from ntviz.variants.saturating import Saturation
from ntviz.variants.scoring import Scorer
from ntviz.variants.windows import Contig


@dataclass(frozen=True)
class Contexts:
    """Expected bases of a locus, each token hidden in turn, on the forward strand.

    Attributes
    ----------
    interval
        The locus, 0-based half-open.
    sequence
        The reference's bases.
    reference, alternative
        [base, 4] probabilities in order ACGT, with the reference and with the alternative around the hidden token: the
        strands' geometric mean. NaN where no window holds the token; of the alternative also where an insertion or deletion
        cuts the token.
    passes
        Sequences read for the alternative; the reference's are those of the saturation.
    """

    interval: Interval
    sequence: str
    reference: np.ndarray
    alternative: np.ndarray
    passes: int

    @property
    def divergence(self) -> np.ndarray:
        """[base] Jensen-Shannon divergence of the two in nats: 0 where they agree, log 2 = 0.693 at most.

        Examples
        --------
        >>> sure = np.array([[1.0, 0, 0, 0], [0.25] * 4])
        >>> Contexts(Interval("1", 0, 2), "AC", sure, sure[:, ::-1], 0).divergence.round(3).tolist()
        [0.693, 0.0]
        """
        middle = (self.reference + self.alternative) / 2
        total = np.zeros(len(middle))
        with np.errstate(divide="ignore", invalid="ignore"):
            for p in (self.reference, self.alternative):
                total = total + np.where(p == 0, 0.0, p * np.log(p / middle)).sum(axis=1)
        return np.maximum(total / 2, 0.0)


def in_both(scorer: Scorer, around: Saturation, change: Change) -> Contexts:
    """Expected bases of a saturation's locus with the reference, as read there, and with a change.

    A token is read in the window in which the saturation read it. One forward pass would do with nothing hidden, but a model
    that sees a base mostly repeats it; hidden tokens show what the neighbours say. A token that holds the whole substitution
    is not read again: what is left to see is the same.

    Parameters
    ----------
    scorer
        With the window and strands of the saturation.
    around
        The saturation.
    change
        On the same contig.
    """
    place, k = around.interval, scorer.reader.k
    contig = Contig(scorer.reference, place.chrom)
    strands = (False, True) if scorer.options.both_strands else (False,)
    alternative = around.probabilities.copy()
    wanted: dict[Reading, int] = {}
    read = np.zeros(len(place), dtype=bool)
    answers: dict[int, np.ndarray] = {}
    for token in _tokens(place, k, contig.length):
        covered = np.arange(max(token, place.start), min(token + k, place.end)) - place.start
        # The last token of a contig begins earlier than the grid says, and answers for what no token before it holds.
        covered = answers[token] = covered[~read[covered]]
        read[covered] = True
        window = contig.window(token, k, scorer.window_bp // k)
        if window is None:
            continue
        bases = window.bases[window.margin : window.margin + window.length]
        at = token - window.start
        changed = _with(contig, change, window.start, len(bases), token, k)
        if changed is None:
            alternative[covered] = np.nan
        elif (changed[:at], changed[at + k :]) != (bases[:at], bases[at + k :]):
            wanted |= {Reading(changed, reverse, (at // k,)): token for reverse in strands}
    found: dict[int, list[np.ndarray]] = {}
    for reading, answer in scorer.reader.masked(list(wanted)):
        found.setdefault(wanted[reading], []).append(_log_probs(scorer.reader, reading, answer.logits))
    for token, several in found.items():
        covered = answers[token]
        mean = np.mean(several, axis=0)[covered + place.start - token]
        weights = np.exp(mean - mean.max(axis=1, keepdims=True))
        alternative[covered] = weights / weights.sum(axis=1, keepdims=True)
    return Contexts(place, around.sequence, around.probabilities, alternative, len(wanted))


def _tokens(place: Interval, k: int, length: int) -> list[int]:
    """First bases of the tokens that cover a locus, as scores have them."""
    starts = (min(base // k * k, length - k) for base in range(place.start, place.end))
    return [token for token in dict.fromkeys(starts) if token >= 0]


def _with(contig: Contig, change: Change, start: int, length: int, token: int, k: int) -> str | None:
    """Bases of a window after a change, its token on the same bases of the genome; None where that cannot be."""
    grown = len(change.alt) - len(change.ref)
    if grown:
        if change.start < token + k and change.end > token:
            return None
        if change.start == change.end and token < change.start < token + k:
            return None
        # Tokens behind an insertion or deletion keep their bases, and move with them.
        start += grown if token >= change.end else 0
    if start < 0:
        return None
    low, high = min(start, change.start), max(start + length - grown, change.end)
    text = contig.bases(low, change.start) + change.alt + contig.bases(change.end, high)
    bases = text[start - low : start - low + length]
    return bases if len(bases) == length and "N" not in bases else None


def _log_probs(reader: Reader, reading: Reading, logits: np.ndarray) -> np.ndarray:
    """[base of the token, 4] log probabilities on the forward strand."""
    found = kmer_base_log_probs(logits[:, reader.vocabulary.kmer_ids].astype(np.float64), reader.k)
    return (found[:, ::-1, ::-1] if reading.reverse else found)[0]
