"""Both alleles in the same place: the bases that a model expects around them, and attention from and to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import rel_entr, softmax

from ntviz.masking import Reading
from ntviz.tokens import Tokens
from ntviz.variants.alleles import Change
from ntviz.variants.saturation import Saturation
from ntviz.variants.scorer import Scorer
from ntviz.variants.windows import Contig


@dataclass(frozen=True)
class Contexts:
    """Expected bases of a locus, each token hidden in turn, on the forward strand.

    Attributes
    ----------
    reference, alternative
        [base, 4] probabilities in order ACGT, with the reference and with the alternative around the hidden token: the
        strands' geometric mean. NaN where no window holds the token; of the alternative also where an insertion or deletion
        cuts the token.
    """

    reference: np.ndarray
    alternative: np.ndarray

    @property
    def divergence(self) -> np.ndarray:
        """[base] Jensen-Shannon divergence of the two in nats: 0 where they agree, log 2 = 0.693 at most."""
        middle = (self.reference + self.alternative) / 2
        total = rel_entr(self.reference, middle) + rel_entr(self.alternative, middle)
        return np.maximum(total.sum(axis=1) / 2, 0)


def in_both(scorer: Scorer, around: Saturation, change: Change) -> Contexts:
    """Expected bases of a saturation's locus with the reference, as read there, and with a change on the same contig.

    A token is read in the window in which the saturation read it. One forward pass would do with nothing hidden, but a model
    that sees a base mostly repeats it; hidden tokens show what the neighbours say. A token that holds the whole substitution
    is not read again: what is left to see is the same.
    """
    place, k = around.interval, scorer.reader.k
    contig = Contig(scorer.reference, place.chrom)
    # First base of the token of each base; the last token of a contig may begin earlier than the grid says.
    tokens = np.minimum(np.arange(place.start, place.end) // k * k, contig.length - k)
    alternative = around.probabilities.copy()
    wanted: list[tuple[int, Reading]] = []
    for token in np.unique(tokens[tokens >= 0]).tolist():
        window = contig.window(token, k, scorer.window_bp // k)
        if window is None:
            continue
        bases, at = window.bases[window.margin :][: window.length], token - window.start
        changed = _with(contig, change, window.start, len(bases), token, k)
        if changed is None:
            alternative[tokens == token] = np.nan
        elif (changed[:at], changed[at + k :]) != (bases[:at], bases[at + k :]):
            strands = (False, True) if scorer.options.both_strands else (False,)
            wanted += [(token, Reading(changed, reverse, (at // k,))) for reverse in strands]
    log_probs: dict[int, list[np.ndarray]] = {}
    answers = scorer.reader.masked([reading for _, reading in wanted])
    for (token, _), (reading, logits) in zip(wanted, answers, strict=True):
        log_probs.setdefault(token, []).append(scorer.reader.base_log_probs(reading, logits)[0])
    for token, read in log_probs.items():
        rows = np.flatnonzero(tokens == token)
        alternative[rows] = softmax(np.mean(read, axis=0)[rows + place.start - token], axis=1)
    return Contexts(around.probabilities, alternative)


def _with(contig: Contig, change: Change, start: int, length: int, token: int, k: int) -> str | None:
    """Bases of a window after a change, its token on the same bases of the genome; None where that cannot be."""
    grown = len(change.alt) - len(change.ref)
    # Tokens behind an insertion or deletion keep their bases, and move with them.
    start += grown if token >= change.end else 0
    if start < 0 or (grown and change.start < token + k and change.end > token):
        return None
    low, high = min(start, change.start), max(start + length - grown, change.end)
    text = contig.bases(low, change.start) + change.alt + contig.bases(change.end, high)
    bases = text[start - low :][:length]
    return bases if len(bases) == length and "N" not in bases else None


@dataclass(frozen=True)
class Shift:
    """Attention from and to one token, with either allele.

    Attributes
    ----------
    tokens, token
        Of the reference; the first one that holds the variant, special tokens counted.
    looks, seen
        [allele, layer, head, token] weights from the token to each token, and from each token to it. Allele 0 is the reference.
    """

    tokens: Tokens
    token: int
    looks: np.ndarray
    seen: np.ndarray

    @property
    def moved(self) -> np.ndarray:
        """[layer, head] share of the token's attention that goes elsewhere, 0 to 1: half the sum of all differences."""
        return np.abs(self.looks[1] - self.looks[0]).sum(axis=-1) / 2

    @property
    def order(self) -> list[tuple[int, int]]:
        """(layer, head) of all heads, the one that changes most first."""
        moved = self.moved
        return [
            divmod(head, moved.shape[1]) for head in np.argsort(-moved, axis=None, kind="stable").tolist()
        ]


def shift(model: Any, reference: str, alternative: str, token: int) -> Shift:
    """A token's attention in two sequences of whole tokens, one observed pass each; TypeError where it cannot be observed."""
    from ntviz import attention

    at, run = list(np.ndindex(model.layers, model.heads)), (token, token + 1)
    observers: Any = {"looks": attention.Window(query=run, at=at), "seen": attention.Window(key=run, at=at)}
    alleles = [model.tokenize(sequence) for sequence in (reference, alternative)]
    found = [attention.observe(model, tokens, **observers) for tokens in alleles]
    shape = (2, model.layers, model.heads, len(alleles[0]))
    looks, seen = (np.stack([one[name].weights for one in found]).reshape(shape) for name in observers)
    return Shift(alleles[0], token, looks, seen)
