"""Scores that compare whole readings of the two alleles: embedding distances, losses, divergence, wild-type marginal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ntviz.variants.options import MASKED, Options
from ntviz.variants.planning import Pair, Plan
from ntviz.variants.reading import Answer, Reader, Reading, log_softmax

if TYPE_CHECKING:
    from collections.abc import Callable

EMBEDDING: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "l1": lambda ref, alt: float(np.abs(alt - ref).sum()),
    "l2": lambda ref, alt: float(np.sqrt(((alt - ref) ** 2).sum())),
    "cosine": lambda ref, alt: float(ref @ alt / np.sqrt((ref @ ref) * (alt @ alt))),
    "dot": lambda ref, alt: float(ref @ alt),
}
"""The paper's four comparisons of two embeddings [hidden]."""


class PairScores:
    """Runs both alleles of each pair, each different window once, and compares them as soon as both are there.

    Parameters
    ----------
    reader
        Runs the model.
    options
        Scores, region, strands.
    """

    def __init__(self, reader: Reader, options: Options) -> None:
        self.reader, self.options = reader, options
        self.places = {name: place for place, name in enumerate(options.scores) if name not in MASKED}

    def into(self, plans: Sequence[Plan], found: np.ndarray, what: str | None = None) -> None:
        """Puts the scores into [allele, score, frame, alignment, strand]."""
        jobs: list[tuple[int, Pair, Reading, Reading]] = []
        waiting: dict[Reading, list[int]] = {}
        asked: dict[Reading, set[int]] = {}
        for index, plan in enumerate(plans):
            for pair in plan.pairs:
                for reverse in (False, True) if self.options.both_strands else (False,):
                    both = Reading(pair.reference, reverse), Reading(pair.alternative, reverse)
                    for reading in both:
                        waiting.setdefault(reading, []).append(len(jobs))
                        asked.setdefault(reading, set())
                    if "wt_llr" in self.places:
                        asked[both[0]] |= set(range(*pair.tokens))
                    jobs.append((index, pair, *both))
        order = list(waiting)
        tokens = [tuple(sorted(asked[reading])) for reading in order]
        answers: dict[Reading, Answer] = {}
        open_jobs = {reading: len(numbers) for reading, numbers in waiting.items()}
        done: set[int] = set()
        for reading, answer in self.reader.whole(
            order,
            tokens,
            own=not {"alt_loss", "loss_diff", "wt_llr"}.isdisjoint(self.places),
            bases="jsd" in self.places,
            hidden=not EMBEDDING.keys().isdisjoint(self.places),
            what=None if what is None else f"{what}, both alleles",
        ):
            answers[reading] = answer
            for number in waiting[reading]:
                index, pair, reference, alternative = jobs[number]
                if number in done or reference not in answers or alternative not in answers:
                    continue
                done.add(number)
                cell = (index, pair.frame, pair.alignment, int(reference.reverse))
                rows = tuple(sorted(asked[reference]))
                self._compare(pair, reference, answers[reference], answers[alternative], rows, found, cell)
                # A window is kept only as long as an allele still needs it.
                for one in {reference, alternative}:
                    open_jobs[one] -= 1
                    if not open_jobs[one]:
                        del answers[one]

    def _compare(
        self,
        pair: Pair,
        reading: Reading,
        ref: Answer,
        alt: Answer,
        rows: tuple[int, ...],
        found: np.ndarray,
        cell: tuple[int, int, int, int],
    ) -> None:
        index, *rest = cell

        def put(name: str, value: float) -> None:
            found[(index, self.places[name], *rest)] = value

        region = self._region(pair)
        names = [name for name in EMBEDDING if name in self.places]
        if names:
            ref_mean, alt_mean = (
                hidden[region].astype(np.float64).mean(axis=0) for hidden in (ref.hidden, alt.hidden)
            )
            for name in names:
                put(name, EMBEDDING[name](ref_mean, alt_mean))
        if "alt_loss" in self.places or "loss_diff" in self.places:
            ref_loss, alt_loss = -ref.own[region].mean(), -alt.own[region].mean()
            if "alt_loss" in self.places:
                put("alt_loss", alt_loss)
            if "loss_diff" in self.places:
                put("loss_diff", alt_loss - ref_loss)
        if "jsd" in self.places:
            put("jsd", divergence(ref.bases, alt.bases, pair.shared))
        if "wt_llr" in self.places:
            put("wt_llr", self._wild_type(pair, reading, ref, alt, rows))

    def _wild_type(
        self, pair: Pair, reading: Reading, ref: Answer, alt: Answer, rows: tuple[int, ...]
    ) -> float:
        tokens = range(*pair.tokens)
        if pair.changed == (0, 0):
            return float(alt.own[slice(*pair.tokens)].sum() - ref.own[slice(*pair.tokens)].sum())
        k, total = self.reader.k, 0.0
        for token in tokens:
            logits = log_softmax(ref.logits[rows.index(token)])
            words = [text[token * k : token * k + k] for text in (pair.alternative, pair.reference)]
            alt_id, ref_id = (self.reader.word(word, reading.reverse) for word in words)
            total += float(logits[alt_id] - logits[ref_id])
        return total

    def _region(self, pair: Pair) -> slice:
        region = self.options.region
        if region == "window":
            return slice(None)
        more = 0 if region == "token" else int(region)
        return slice(max(pair.tokens[0] - more, 0), pair.tokens[1] + more)


def divergence(ref: np.ndarray, alt: np.ndarray, shared: Sequence[tuple[int, int, int]]) -> float:
    """Mean Jensen-Shannon divergence of base probabilities [base, 4] over stretches that both share, in nats.

    Parameters
    ----------
    shared
        (first base of `ref`, first base of `alt`, bases) of each stretch.

    Examples
    --------
    >>> sure = np.array([[1.0, 0, 0, 0]])
    >>> round(divergence(sure, sure[:, ::-1], [(0, 0, 1)]), 3)
    0.693
    """
    p = np.concatenate([ref[start : start + size] for start, _, size in shared if size > 0] or [ref[:0]])
    q = np.concatenate([alt[start : start + size] for _, start, size in shared if size > 0] or [alt[:0]])
    if not len(p):
        return float("nan")
    p, q = p.astype(np.float64), q.astype(np.float64)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p / middle), 0) + np.where(q > 0, q * np.log(q / middle), 0)
    return float(terms.sum(axis=1).mean() / 2)
