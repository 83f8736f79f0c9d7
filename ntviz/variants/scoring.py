"""`Scorer`: alleles in, statuses and scores out, from as few readings as there are different windows and masks."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntviz.models.protocol import DNAModel
from ntviz.reference import Reference
from ntviz.tokens import kmer_base_log_probs
from ntviz.variants.alleles import Allele
from ntviz.variants.options import MASKED, Options
from ntviz.variants.pairing import PairScores
from ntviz.variants.planning import Pair, Plan, Planner
from ntviz.variants.reading import Answer, Reader, Reading, log_softmax

METHOD_VERSION = 1
"""Raised when the same options would give other numbers."""

_CODE = {base: place for place, base in enumerate("ACGT")}


@dataclass(frozen=True)
class Scored:
    """What became of each allele, in the order given.

    Attributes
    ----------
    statuses, kinds, methods, notes
        [allele]; see `STATUSES`, `Change.kind` and `Plan`. Empty text where there is nothing to say.
    ref_agrees
        [allele] whether REF is the reference's; None where that could not be asked.
    columns
        Names of the values.
    values
        [allele, column] float64; NaN where there is no score.
    entries
        [allele, key] text for a VCF, of scores that are no single numbers; empty where there are none.
    """

    statuses: list[str]
    kinds: list[str]
    methods: list[str]
    notes: list[str]
    ref_agrees: list[bool | None]
    columns: tuple[str, ...]
    values: np.ndarray
    entries: Sequence[Sequence[str]] = ()


class Scorer:
    """Scores alleles against a reference with a model.

    Readings that several alleles need are run once: all alternatives within one token share a masked reading, all
    alternatives in one window the reading of the reference.

    Parameters
    ----------
    model
        Any `models.DNAModel` with a mask.
    reference
        Bases.
    options
        What is scored, and how.
    background
        Scores of random substitutions, from `variants.background`; adds a column `<score>_percentile` to each score.
    batch_tokens
        Tokens of a forward pass at most.

    Raises
    ------
    ValueError
        The options do not fit the model, or the background was made in another way.
    """

    def __init__(
        self,
        model: DNAModel,
        reference: Reference,
        options: Options | None = None,
        *,
        background: Any = None,
        batch_tokens: int = 16_384,
    ) -> None:
        self.options = options or Options()
        self.reference = reference
        vocabulary = model.tokenize("A").vocabulary
        tokens, layer = self.options.fit(vocabulary.k, model.max_bp, model.layers, model.name)
        self.reader = Reader(model, layer, batch_tokens)
        self.window_bp = tokens * vocabulary.k
        self.planner = Planner(
            reference, vocabulary.k, tokens, self.options.frames, self.options.place, self.options.on_mismatch
        )
        self.about: dict[str, Any] = {
            "method": METHOD_VERSION,
            "model": model.name,
            "revision": model.info.get("revision"),
            "weights_sha256": model.info.get("weights_sha256"),
            "dtype": model.info.get("dtype", "float32"),
            "vocabulary": vocabulary.name,
            "window_bp": self.window_bp,
            "layer": layer,
            **{name: value for name, value in self.options.about.items() if name not in ("window", "layer")},
        }
        self.background = background
        self._planned: tuple[tuple[Allele, ...], list[Plan]] = ((), [])
        self.columns = self.options.columns
        if background is not None:
            background.check(self)
            self.columns += tuple(f"{name}_percentile" for name in self.options.scores)
            self.about["background"] = background.digest

    unit = "natural logarithms"

    @property
    def sequences(self) -> int:
        """Sequences that the model read so far."""
        return self.reader.sequences

    def info_lines(self) -> list[str]:
        """The `##INFO` lines of what `info` gives."""
        from ntviz.variants import keys

        return keys.info_lines(self)

    def info(self, scored: Scored, where: slice, statuses: Sequence[str]) -> Mapping[str, str]:
        """INFO values of a record, whose alleles are those at `where`."""
        from ntviz.variants import keys

        columns = keys.columns(self.options, percentiles=self.background is not None)
        places = {key: self.columns.index(name) for name, key in columns.items()}
        return keys.info_of(statuses, scored.methods[where], scored.values[where], places)

    def identity(self, alleles: Sequence[Allele]) -> str:
        """SHA-256 of everything the scores of these alleles follow from: weights, tokens, options, alleles, bases read.

        Names of files, models and contigs are not in it, so that neither keeps a result that is no longer true.

        Raises
        ------
        ValueError
            The model does not say which weights it has.
        """
        if not self.about["weights_sha256"]:
            raise ValueError(
                f"A model must say which weights it has for its scores to be kept; info of {self.about['model']} has no "
                "weights_sha256. Add it, or use variants.score, which keeps nothing."
            )
        content = {name: value for name, value in self.about.items() if name not in ("model", "revision")}
        found = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        for allele, plan in zip(alleles, self.plan(alleles), strict=True):
            found.update(f"\n{plan.status} {plan.ref_agrees} {plan.method} {plan.note} {plan.kind} ".encode())
            found.update(f"{allele.ref} {allele.alt}".encode("utf-8", "surrogateescape"))
            for pair in plan.pairs:
                text = f"\n{pair.frame} {pair.alignment} {pair.tokens} {pair.reference} {pair.alternative}"
                found.update(text.encode())
            if self.background is not None and plan.change is not None:
                found.update(self.background.kind_of(plan).encode())
        return found.hexdigest()

    def plan(self, alleles: Sequence[Allele]) -> list[Plan]:
        """What is to be read for each allele; see `planning.Plan`.

        Raises
        ------
        planning.Mismatch
            A REF is not the reference's, and `on_mismatch` is "fail".
        """
        key = tuple(alleles)
        if self._planned[0] != key:
            # Identity and scores of the same alleles follow each other.
            self._planned = key, [self.planner.plan(allele) for allele in key]
        return self._planned[1]

    def score(self, alleles: Sequence[Allele], *, what: str | None = None) -> Scored:
        """Statuses and scores of alleles; whatever is wrong with one costs only that one.

        Parameters
        ----------
        alleles
            As a file has them.
        what
            Name of the progress bar over readings; None for none.

        Raises
        ------
        planning.Mismatch
            A REF is not the reference's, and `on_mismatch` is "fail".
        """
        plans = self.plan(alleles)
        readings = self._readings(plans, what)
        values = self._summary(readings)
        if self.background is not None:
            values = np.hstack([values, self.background.percentiles(plans, values, self.options)])
        return Scored(
            [plan.status for plan in plans],
            [plan.kind for plan in plans],
            [plan.method for plan in plans],
            [plan.note for plan in plans],
            [plan.ref_agrees for plan in plans],
            self.columns,
            values,
        )

    # One value a frame, alignment and strand --------------------------------------------------------------------------

    def _readings(self, plans: Sequence[Plan], what: str | None) -> np.ndarray:
        """[allele, score, frame, alignment, strand]; NaN where there is no reading."""
        strands = 2 if self.options.both_strands else 1
        shape = (len(plans), len(self.options.scores), self.options.frames, 2, strands)
        found = np.full(shape, np.nan)
        if any(name in MASKED for name in self.options.scores):
            self._masked(plans, found, what)
        if any(name not in MASKED for name in self.options.scores):
            PairScores(self.reader, self.options).into(plans, found, what)
        return found

    def _masked(self, plans: Sequence[Plan], found: np.ndarray, what: str | None) -> None:
        where = {name: place for place, name in enumerate(self.options.scores)}
        wanted: dict[Reading, list[tuple[int, Pair, bool]]] = {}
        for index, pair, reverse in _pairs(plans, self.options.both_strands):
            for reading, is_alternative in _masked_readings(pair, reverse, "llr" in where):
                wanted.setdefault(reading, []).append((index, pair, is_alternative))
        for reading, answer in self.reader.masked(list(wanted), what):
            log_probs = log_softmax(answer.logits)
            bases = None
            for index, pair, is_alternative in wanted[reading]:
                cell = (index, slice(None), pair.frame, pair.alignment, int(reading.reverse))
                if pair.changed == (0, 0):
                    own = self._own(reading, log_probs)
                    _add(found, cell, where["llr"], own if is_alternative else -own)
                    continue
                if "llr" in where:
                    _add(found, cell, where["llr"], _ratio(pair, reading, log_probs, self.reader))
                if "base_llr" in where or "entropy" in where:
                    bases = self._bases(reading, answer) if bases is None else bases
                    low, high = (place - pair.tokens[0] * self.reader.k for place in pair.changed)
                    at = np.arange(low, high)
                    alt, ref = (
                        [_CODE[base] for base in text[slice(*pair.changed)]]
                        for text in (pair.alternative, pair.reference)
                    )
                    if "base_llr" in where:
                        _add(found, cell, where["base_llr"], float((bases[at, alt] - bases[at, ref]).sum()))
                    if "entropy" in where:
                        entropy = -(np.exp(bases[at]) * bases[at]).sum(axis=1).mean()
                        _add(found, cell, where["entropy"], float(entropy))

    def _own(self, reading: Reading, log_probs: np.ndarray) -> float:
        """Log probability of the tokens that are masked, in nats."""
        k = self.reader.k
        return float(
            sum(
                log_probs[row, self.reader.word(reading.sequence[token * k : token * k + k], reading.reverse)]
                for row, token in enumerate(reading.masked)
            )
        )

    def _bases(self, reading: Reading, answer: Answer) -> np.ndarray:
        """Log probabilities of the bases of the masked tokens, [base, 4], on the forward strand."""
        k = self.reader.k
        scores = answer.logits[:, self.reader.vocabulary.kmer_ids].astype(np.float64)
        words = kmer_base_log_probs(scores, k)
        if reading.reverse:
            words = words[:, ::-1, ::-1]
        return words.reshape(-1, 4)

    # Means ------------------------------------------------------------------------------------------------------------

    def _summary(self, readings: np.ndarray) -> np.ndarray:
        """[allele, column]: means over alignments, then over frames, then over strands."""
        frames = _mean(readings, axis=3)
        strands = _mean(frames, axis=2)
        columns = [_mean(strands, axis=2)]
        if self.options.both_strands:
            columns += [strands[..., 0], strands[..., 1], strands[..., 0] - strands[..., 1]]
        if self.options.frames > 1:
            by_frame = _mean(frames, axis=3)
            square = (by_frame - _mean(by_frame, axis=2)[..., None]) ** 2
            columns.append(np.sqrt(_mean(square, axis=2)))
        return np.stack(columns, axis=2).reshape(len(readings), len(self.options.columns))


def _pairs(plans: Sequence[Plan], both_strands: bool) -> Iterator[tuple[int, Pair, bool]]:
    for index, plan in enumerate(plans):
        for pair in plan.pairs:
            for reverse in (False, True) if both_strands else (False,):
                yield index, pair, reverse


def _masked_readings(pair: Pair, reverse: bool, indels: bool) -> Iterator[tuple[Reading, bool]]:
    """The reading of a substitution; each token of both alleles of another change, one at a time."""
    if pair.changed != (0, 0):
        yield Reading(pair.reference, reverse, tuple(range(*pair.tokens))), False
    elif indels:
        for is_alternative, sequence in enumerate((pair.reference, pair.alternative)):
            for token in range(*pair.tokens):
                yield Reading(sequence, reverse, (token,)), bool(is_alternative)


def _ratio(pair: Pair, reading: Reading, log_probs: np.ndarray, reader: Reader) -> float:
    """Log p(alternative) - log p(reference) of the tokens that a substitution touches, [touched token, vocab]."""
    total = 0.0
    for row, token in enumerate(range(*pair.tokens)):
        at = slice(token * reader.k, (token + 1) * reader.k)
        alt = reader.word(pair.alternative[at], reading.reverse)
        ref = reader.word(pair.reference[at], reading.reverse)
        total += float(log_probs[row, alt]) - float(log_probs[row, ref])
    return total


def _add(found: np.ndarray, cell: tuple[Any, ...], score: int, value: float) -> None:
    place = (cell[0], score, *cell[2:])
    found[place] = value if np.isnan(found[place]) else found[place] + value


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of what is given; NaN of nothing."""
    given = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(given, values, 0).sum(axis=axis) / given.sum(axis=axis)


def status_counts(statuses: Sequence[str]) -> dict[str, int]:
    """How many alleles have each status, the commonest first."""
    return dict(Counter(statuses).most_common())
