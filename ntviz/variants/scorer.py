"""`Scorer`: alleles in, statuses and scores out, from as few readings as there are different windows and masks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ntviz.genome import sequence as dna
from ntviz.masking import BATCH_TOKENS, Answer, Reader, Reading
from ntviz.models.protocol import DNAModel
from ntviz.reference import Reference
from ntviz.tokens.marginals import log_sum_exp
from ntviz.variants.alleles import SCORED, STATUSES, Allele
from ntviz.variants.options import MASKED, SCORES, Options
from ntviz.variants.plan import Pair, Plan, Planner
from ntviz.variants.vcf import info_line

METHOD_VERSION = 1
"""Raised when the same options would give other numbers."""
_ENDINGS = {
    "_fwd": ("_FWD", "the forward strand alone"),
    "_rev": ("_REV", "the reverse strand alone"),
    "_gap": ("_GAP", "forward minus reverse strand: as large as the score itself, it is mostly noise"),
    "_spread": ("_SPREAD", "standard deviation over the frames"),
}
_METHODS = (
    "masked: substitutions, all touched tokens masked together; pll: insertions and deletions, pseudo-log-likelihood, "
    "each token masked by itself"
)
_EMBEDDING: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "l1": lambda ref, alt: float(np.abs(alt - ref).sum()),
    "l2": lambda ref, alt: float(np.sqrt(((alt - ref) ** 2).sum())),
    "cosine": lambda ref, alt: float(ref @ alt / np.sqrt((ref @ ref) * (alt @ alt))),
    "dot": lambda ref, alt: float(ref @ alt),
}
"""The paper's four comparisons of two embeddings [hidden]."""


@dataclass(frozen=True)
class Scored:
    """What became of each allele, in the order given: statuses, kinds, methods and notes as of `Plan`, and values.

    `columns` names the values, float64 [allele, column], NaN where there is no score. `entries` [allele, key] are texts for
    a VCF, of scores that are no single numbers.
    """

    statuses: list[str]
    kinds: list[str]
    methods: list[str]
    notes: list[str]
    ref_agrees: list[bool | None]
    columns: tuple[str, ...]
    values: np.ndarray
    entries: Sequence[Sequence[str]] = ()


class AlleleScorer:
    """What scorers by language models and by splice networks share: plans, made once, and the identity of scores."""

    about: dict[str, Any]
    columns: tuple[str, ...]
    _nameless: tuple[str, ...] = ("model", "revision")  # of `about`, what no number follows from
    _planned: tuple[tuple[Allele, ...], list[Any]] = ((), [])

    def _plan(self, allele: Allele) -> Any:
        raise NotImplementedError

    def _content(self, allele: Allele, plan: Any) -> str:
        raise NotImplementedError

    def plan(self, alleles: Sequence[Allele]) -> list[Any]:
        """What is to be read for each allele; raises `Mismatch` where `on_mismatch` is "fail"."""
        key = tuple(alleles)
        if self._planned[0] != key:
            # Identity and scores of the same alleles follow each other.
            self._planned = key, [self._plan(allele) for allele in key]
        return self._planned[1]

    def identity(self, alleles: Sequence[Allele]) -> str:
        """SHA-256 of everything the scores of these alleles follow from: weights, options, alleles, bases read.

        Names of files, models and contigs are not in it, so that neither keeps a result that is no longer true.
        """
        if not self.about["weights_sha256"]:
            raise ValueError(
                f"A model must say which weights it has for its scores to be kept; info of {self.about['model']} has no "
                "weights_sha256. Add it, or use variants.score, which keeps nothing."
            )
        content = {name: value for name, value in self.about.items() if name not in self._nameless}
        found = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        for allele, plan in zip(alleles, self.plan(alleles), strict=True):
            found.update(self._content(allele, plan).encode("utf-8", "surrogateescape"))
        return found.hexdigest()

    def _scored(
        self, plans: Sequence[Plan], values: np.ndarray, entries: Sequence[Sequence[str]] = ()
    ) -> Scored:
        names = ("status", "kind", "method", "note", "ref_agrees")
        fields = ([getattr(plan, name) for plan in plans] for name in names)
        return Scored(*fields, self.columns, values, entries)


class Scorer(AlleleScorer):
    """Scores alleles against a reference with a model.

    Readings that several alleles need are run once: all alternatives within one token share a masked reading, all
    alternatives in one window the reading of the reference.

    Parameters
    ----------
    model
        Any `models.DNAModel` with a mask.
    reference, options
        Bases; what is scored, and how.
    background
        Scores of random substitutions, from `variants.background`; adds a column `<score>_percentile` to each score.
    batch_tokens
        Tokens of a forward pass at most.

    Raises
    ------
    ValueError
        The options do not fit the model, or the background was made in another way.
    """

    unit = "natural logarithms"

    def __init__(
        self,
        model: DNAModel,
        reference: Reference,
        options: Options | None = None,
        *,
        background: Any = None,
        batch_tokens: int = BATCH_TOKENS,
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
        self.columns = self.options.columns
        if background is not None:
            background.check(self)
            self.columns += tuple(f"{name}_percentile" for name in self.options.scores)
            self.about["background"] = background.digest
        self._places = {name: place for place, name in enumerate(self.options.scores)}
        self._strands = (False, True) if self.options.both_strands else (False,)

    @property
    def sequences(self) -> int:
        """Sequences that the model read so far."""
        return self.reader.sequences

    def _plan(self, allele: Allele) -> Plan:
        return self.planner.plan(allele)

    def _content(self, allele: Allele, plan: Plan) -> str:
        parts = [
            f"\n{plan.status} {plan.ref_agrees} {plan.method} {plan.note} {plan.kind} {allele.ref} {allele.alt}"
        ]
        for pair in plan.pairs:
            parts.append(f"\n{pair.frame} {pair.alignment} {pair.tokens} {pair.reference} {pair.alternative}")
        if self.background is not None and plan.change is not None:
            parts.append(self.background.kind_of(plan))
        return "".join(parts)

    def score(self, alleles: Sequence[Allele], *, what: str | None = None) -> Scored:
        """Statuses and scores of alleles, `what` naming a progress bar; whatever is wrong with one costs only that one.

        Raises
        ------
        Mismatch
            A REF is not the reference's, and `on_mismatch` is "fail".
        """
        plans = self.plan(alleles)
        # [allele, score, frame, alignment, strand]; NaN where there is no reading.
        shape = (len(plans), len(self._places), self.options.frames, 2, len(self._strands))
        found = np.full(shape, np.nan)
        if not self._places.keys().isdisjoint(MASKED):
            self._masked(plans, found, what)
        if self._places.keys() - set(MASKED):
            self._compared(plans, found, what)
        values = self._summary(found)
        if self.background is not None:
            values = np.hstack([values, self.background.percentiles(plans, values, self.options)])
        return self._scored(plans, values)

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

    # With tokens masked -----------------------------------------------------------------------------------------------

    def _masked(self, plans: Sequence[Plan], found: np.ndarray, what: str | None) -> None:
        wanted: dict[Reading, list[tuple[int, Pair, bool]]] = {}
        for index, plan in enumerate(plans):
            for pair in plan.pairs:
                for reverse in self._strands:
                    for reading, is_alternative in _masked_readings(pair, reverse, "llr" in self._places):
                        wanted.setdefault(reading, []).append((index, pair, is_alternative))
        by_base = not self._places.keys().isdisjoint(("base_llr", "entropy"))
        for reading, logits in self.reader.masked(list(wanted), what):
            rows = logits.astype(np.float64)
            log_probs = rows - log_sum_exp(rows, axis=1)[:, None]
            bases = None
            for index, pair, is_alternative in wanted[reading]:
                if pair.changed == (0, 0):
                    own = self._of_tokens(reading.sequence, reading, log_probs)
                    scores = {"llr": own if is_alternative else -own}
                else:
                    alt, ref = (
                        self._of_tokens(text, reading, log_probs)
                        for text in (pair.alternative, pair.reference)
                    )
                    scores = {"llr": alt - ref}
                    if by_base:
                        if bases is None:
                            bases = self.reader.base_log_probs(reading, logits).reshape(-1, 4)
                        at = np.arange(*pair.changed) - pair.tokens[0] * self.reader.k
                        scores |= _of_bases(pair, bases[at])
                for name in scores.keys() & self._places.keys():
                    cell = (index, self._places[name], pair.frame, pair.alignment, int(reading.reverse))
                    found[cell] = scores[name] + (0 if np.isnan(found[cell]) else found[cell])

    def _of_tokens(self, text: str, reading: Reading, log_probs: np.ndarray) -> float:
        """Log probability of the tokens of a text at the places that a reading hides, in nats."""
        k = self.reader.k
        kmers = [
            self.reader.kmer(text[token * k : token * k + k], reading.reverse) for token in reading.masked
        ]
        return float(log_probs[np.arange(len(kmers)), kmers].sum())

    # Whole readings of both alleles -----------------------------------------------------------------------------------

    def _compared(self, plans: Sequence[Plan], found: np.ndarray, what: str | None) -> None:
        """Reads both alleles of each pair, each different window once, and compares them as soon as both are there."""
        jobs: list[tuple[int, Pair, Reading, Reading]] = []
        waiting: dict[Reading, list[int]] = {}
        asked: dict[Reading, set[int]] = {}
        for index, plan in enumerate(plans):
            for pair in plan.pairs:
                for reverse in self._strands:
                    both = Reading(pair.reference, reverse), Reading(pair.alternative, reverse)
                    for reading in both:
                        waiting.setdefault(reading, []).append(len(jobs))
                        asked.setdefault(reading, set())
                    if "wt_llr" in self._places:
                        asked[both[0]] |= set(range(*pair.tokens))
                    jobs.append((index, pair, *both))
        answers: dict[Reading, Answer] = {}
        open_jobs = {reading: len(numbers) for reading, numbers in waiting.items()}
        done: set[int] = set()
        read = self.reader.whole(
            [reading._replace(asked=tuple(sorted(asked[reading]))) for reading in waiting],
            own=not self._places.keys().isdisjoint(("alt_loss", "loss_diff", "wt_llr")),
            bases="jsd" in self._places,
            hidden=not self._places.keys().isdisjoint(_EMBEDDING),
            what=None if what is None else f"{what}, both alleles",
        )
        for reading, (as_asked, answer) in zip(waiting, read, strict=True):
            answers[reading] = answer
            for number in waiting[reading]:
                index, pair, *both = jobs[number]
                if number in done or not all(one in answers for one in both):
                    continue
                done.add(number)
                ref, alt = (answers[one] for one in both)
                rows = both[0]._replace(asked=tuple(sorted(asked[both[0]])))
                for name, value in self._of_pair(pair, rows, ref, alt):
                    found[index, self._places[name], pair.frame, pair.alignment, int(as_asked.reverse)] = (
                        value
                    )
                # A window is kept only as long as an allele still needs it.
                for one in set(both):
                    open_jobs[one] -= 1
                    if not open_jobs[one]:
                        del answers[one]

    def _of_pair(self, pair: Pair, reading: Reading, ref: Answer, alt: Answer) -> Iterator[tuple[str, float]]:
        """Scores of two whole readings; `reading` is that of the reference, with what was asked of it."""
        region = self.options.region
        more = 0 if isinstance(region, str) else region
        tokens = slice(max(pair.tokens[0] - more, 0), pair.tokens[1] + more)
        tokens = slice(None) if region == "window" else tokens
        if named := _EMBEDDING.keys() & self._places.keys():
            means = [hidden[tokens].astype(np.float64).mean(axis=0) for hidden in (ref.hidden, alt.hidden)]
            yield from ((name, _EMBEDDING[name](*means)) for name in named)
        if "alt_loss" in self._places:
            yield "alt_loss", -alt.own[tokens].mean()
        if "loss_diff" in self._places:
            yield "loss_diff", -alt.own[tokens].mean() - -ref.own[tokens].mean()
        if "jsd" in self._places:
            yield "jsd", divergence(ref.bases, alt.bases, pair.shared)
        if "wt_llr" in self._places:
            yield "wt_llr", self._wild_type(pair, reading, ref, alt)

    def _wild_type(self, pair: Pair, reading: Reading, ref: Answer, alt: Answer) -> float:
        if pair.changed == (0, 0):
            return float(alt.own[slice(*pair.tokens)].sum() - ref.own[slice(*pair.tokens)].sum())
        k, total = self.reader.k, 0.0
        for token in range(*pair.tokens):
            logits = ref.logits[reading.answered.index(token)].astype(np.float64)
            kmers = (text[token * k : token * k + k] for text in (pair.alternative, pair.reference))
            alt_id, ref_id = (self.reader.kmer(kmer, reading.reverse) for kmer in kmers)
            total += float(logits[alt_id] - logits[ref_id])
        return total

    # A VCF's lines ----------------------------------------------------------------------------------------------------

    @cached_property
    def keys(self) -> dict[str, str]:
        """INFO key of each column that goes into a VCF: all of the first score, and value, spread and percentile of others."""
        found = {}
        for place, name in enumerate(self.options.scores):
            key = SCORES[name].key
            found[name] = key
            for ending, (suffix, _) in _ENDINGS.items():
                if name + ending in self.columns and (place == 0 or ending == "_spread"):
                    found[name + ending] = key + suffix
            if self.background is not None:
                found[f"{name}_percentile"] = f"{key}_PCT"
        return found

    def info_lines(self) -> list[str]:
        """The `##INFO` lines of what `info` gives."""
        lines = []
        strands = "Mean of both strands" if self.options.both_strands else "Forward strand"
        for column, key in self.keys.items():
            if score := SCORES.get(column):
                how = f"{score.description}. Insertions and deletions: {score.indels}"
                said = f"{score.unit}; {score.direction}. Substitutions: {how}. {strands}"
            elif column.endswith("_percentile"):
                said = f"{key.removesuffix('_PCT')}: {self.background.statement}"
            else:
                suffix, meaning = next(_ENDINGS[ending] for ending in _ENDINGS if column.endswith(ending))
                said = f"{key.removesuffix(suffix)}: {meaning}"
            lines.append(info_line(key, "Float", said))
        return [*lines, info_line("NTV_METHOD", "String", _METHODS), status_line()]

    def info(self, scored: Scored, where: slice, statuses: Sequence[str]) -> Mapping[str, str]:
        """INFO values of a record, whose alleles are those at `where`: one for each, "." where there is none."""
        found: dict[str, str] = {}
        values = scored.values[where]
        if any(status in SCORED for status in statuses) or np.isfinite(values).any():
            for column, key in self.keys.items():
                texts = [f"{value:.6g}" for value in values[:, self.columns.index(column)].tolist()]
                if any(text != "nan" for text in texts):
                    found[key] = ",".join("." if text == "nan" else text for text in texts)
            found["NTV_METHOD"] = ",".join(method or "." for method in scored.methods[where])
        return found | {"NTV_STATUS": ",".join(statuses) or "missing"}


def status_line() -> str:
    """The `##INFO` line of the statuses."""
    statuses = "; ".join(f"{name}: {meaning}" for name, meaning in STATUSES.items())
    return info_line("NTV_STATUS", "String", f"what became of the allele. {statuses}")


def _masked_readings(pair: Pair, reverse: bool, indels: bool) -> Iterator[tuple[Reading, bool]]:
    """The reading of a substitution; each token of both alleles of another change, one at a time."""
    if pair.changed != (0, 0):
        yield Reading(pair.reference, reverse, tuple(range(*pair.tokens))), False
    elif indels:
        for is_alternative, sequence in enumerate((pair.reference, pair.alternative)):
            for token in range(*pair.tokens):
                yield Reading(sequence, reverse, (token,)), bool(is_alternative)


def _of_bases(pair: Pair, log_probs: np.ndarray) -> dict[str, float]:
    """Scores of a substitution from the log probabilities [base, 4] of the bases that it changes."""
    alt, ref = (dna.codes(text[slice(*pair.changed)]) for text in (pair.alternative, pair.reference))
    at = np.arange(len(log_probs))
    return {
        "base_llr": float((log_probs[at, alt] - log_probs[at, ref]).sum()),
        "entropy": float(-(np.exp(log_probs) * log_probs).sum(axis=1).mean()),
    }


def divergence(ref: np.ndarray, alt: np.ndarray, shared: Sequence[tuple[int, int, int]]) -> float:
    """Mean Jensen-Shannon divergence of base probabilities [base, 4] over stretches that both share, in nats.

    A stretch is (first base of `ref`, first base of `alt`, bases).

    Examples
    --------
    >>> sure = np.array([[1.0, 0, 0, 0]])
    >>> round(divergence(sure, sure[:, ::-1], [(0, 0, 1)]), 3)
    0.693
    """
    from scipy.special import rel_entr

    stretches = [(ref[a : a + size], alt[b : b + size]) for a, b, size in shared if size > 0]
    if not stretches:
        return float("nan")
    p, q = (np.concatenate(parts).astype(np.float64) for parts in zip(*stretches, strict=True))
    terms = rel_entr(p, (p + q) / 2) + rel_entr(q, (p + q) / 2)
    return float(terms.sum(axis=1).mean() / 2)


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of what is given; NaN of nothing."""
    given = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(given, values, 0).sum(axis=axis) / given.sum(axis=axis)
