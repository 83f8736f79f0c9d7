"""`Scorer`: alleles in, statuses and scores out, from as few readings as there are different windows and masks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ntviz.genome import sequence as dna
from ntviz.masking import BATCH_TOKENS, Answer, Reader, Reading
from ntviz.models.protocol import DNAModel
from ntviz.reference import Reference
from ntviz.variants.alleles import SCORED, STATUSES, Allele
from ntviz.variants.options import MASKED, SCORES, Options
from ntviz.variants.plan import Pair, Plan, Planner
from ntviz.variants.vcf import info_line

METHOD_VERSION = 1
"""Raised when the same options would give other numbers."""
_ENDINGS = {
    "_fwd": "the forward strand alone",
    "_rev": "the reverse strand alone",
    "_gap": "forward minus reverse strand: as large as the score itself, it is mostly noise",
    "_spread": "standard deviation over the frames",
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
    """What became of each allele, in the order given: statuses, kinds, methods and notes as of `Plan`, and values."""

    statuses: list[str]
    kinds: list[str]
    methods: list[str]
    notes: list[str]
    ref_agrees: list[bool | None]
    columns: tuple[str, ...]
    values: np.ndarray  # float64 [allele, column], NaN where there is no score
    entries: Sequence[Sequence[str]] = ()  # [allele, key] texts for a VCF, of what is no single number


class _Job(NamedTuple):
    """A pair of windows of an allele on one strand, and what is read for its scores."""

    index: int  # of the allele
    pair: Pair
    readings: tuple[Reading, ...]


class AlleleScorer:
    """What scorers by language models and by splice networks share: plans, made once, and the identity of scores."""

    columns: tuple[str, ...]
    _nameless: tuple[str, ...] = ("model", "revision")  # of `about`, what no number follows from
    _planned: tuple[tuple[Allele, ...], list[Any]] = ((), [])

    def __init__(self, model: Any, reference: Reference, method: int, **about: Any) -> None:
        info = model.info
        self.reference = reference
        self.about: dict[str, Any] = {
            "method": method, "model": model.name, "revision": info.get("revision"),
            "weights_sha256": info.get("weights_sha256"), "dtype": info.get("dtype", "float32"), **about,
        }  # fmt: skip

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
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        for allele, plan in zip(alleles, self.plan(alleles), strict=True):
            digest.update(self._content(allele, plan).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def _scored(self, plans: Sequence[Plan], values: np.ndarray, entries: Any = ()) -> Scored:
        names = ("status", "kind", "method", "note", "ref_agrees")
        fields = ([getattr(plan, name) for plan in plans] for name in names)
        return Scored(*fields, self.columns, values, entries)


class Scorer(AlleleScorer):
    """Scores alleles against a reference with a model; each different sequence with the same tokens hidden is read once.

    `model` is any `models.DNAModel` with a mask; `background`, from `variants.background`, adds a column `<score>_percentile`
    to each score, `calibration`, from `variants.calibration`, `<score>_calibrated` and its percentile to llr and base_llr;
    `head`, from `variants.learn`, a column "head" with its prediction. A ValueError says that the options do not fit the model, or
    that one of these was made in another way.
    """

    unit = "natural logarithms"

    def __init__(
        self, model: DNAModel, reference: Reference, options: Options | None = None, *, background: Any = None,
        calibration: Any = None, head: Any = None, batch_tokens: int = BATCH_TOKENS,
    ) -> None:  # fmt: skip
        self.options = options = options or Options()
        vocabulary = model.tokenize("A").vocabulary
        tokens, layer = options.fit(vocabulary.k, model.max_bp, model.layers, model.name)
        self.reader = Reader(model, layer, batch_tokens)
        self.window_bp = tokens * vocabulary.k
        self.planner = Planner(reference, vocabulary.k, tokens, options.frames, options.place, options.on_mismatch)
        how = options.about | {"vocabulary": vocabulary.name, "window_bp": self.window_bp, "layer": layer}
        del how["window"]
        super().__init__(model, reference, METHOD_VERSION, **how)
        self.background, self.calibration = background, calibration
        self.columns = self.options.columns
        if background is not None:
            background.check(self)
            self.columns += tuple(f"{name}_percentile" for name in self.options.scores)
            self.about["background"] = background.digest
        if calibration is not None:
            calibration.check(self)
            self.columns += calibration.columns(self.options)
            self.about["calibration"] = calibration.digest
        self.head = None if head is None else head.placed(model, reference, options.on_mismatch, batch_tokens)
        if self.head is not None:
            self.columns += ("head",)
            self.about["head"] = self.head.digest
        self._places = {name: place for place, name in enumerate(self.options.scores)}
        self._strands = (False, True) if self.options.both_strands else (False,)

    @property
    def sequences(self) -> int:
        """Sequences that the model read so far."""
        return self.reader.sequences + (0 if self.head is None else self.head.scorer.reader.sequences)

    def _plan(self, allele: Allele) -> Plan:
        plan = self.planner.plan(allele)
        notes = [plan.note, "" if self.calibration is None else self.calibration.expected_of(plan)[1]]
        if self.head is not None and plan.pairs and not (asked := self.head.scorer.planner.plan(allele)).pairs:
            notes.append(f"no head: {asked.status}")
        return replace(plan, note="; ".join(filter(None, notes))) if any(notes[1:]) else plan

    def _content(self, allele: Allele, plan: Plan) -> str:
        parts = [
            f"\n{plan.status} {plan.ref_agrees} {plan.method} {plan.note} {plan.kind} {allele.ref} {allele.alt}",
            *(f"\n{pair.frame} {pair.alignment} {pair.tokens} {pair.reference} {pair.alternative}" for pair in plan.pairs),
        ]  # fmt: skip
        if self.background is not None and plan.change is not None:
            parts.append(self.background.kind_of(plan))
        if self.head is not None:
            parts.append(self.head.scorer._content(allele, self.head.scorer.planner.plan(allele)))
        return "".join(parts)

    def score(self, alleles: Sequence[Allele], *, what: str | None = None) -> Scored:
        """Statuses and scores of alleles, `what` naming a progress bar; whatever is wrong with one costs only that one.

        A `Mismatch` says that a REF is not the reference's, and `on_mismatch` is "fail".
        """
        plans = self.plan(alleles)
        # [allele, score, frame, alignment, strand]; NaN where nothing was read.
        found = np.full((len(plans), len(self._places), self.options.frames, 2, len(self._strands)), np.nan)
        pairs = [(index, pair) for index, plan in enumerate(plans) for pair in plan.pairs]
        if self._wants(*MASKED):
            jobs = [_Job(*one, self._hidden(one[1], strand)) for one in pairs for strand in self._strands]
            self._fill(found, jobs, self._read_hidden(jobs, what), self._of_hidden)
        if self._places.keys() - set(MASKED):
            jobs = [_Job(*one, _both(one[1], strand)) for one in pairs for strand in self._strands]
            self._fill(found, jobs, self._read_both(jobs, what), self._of_both)
        parts = [values := self._summary(found)]
        if self.background is not None:
            parts.append(self.background.percentiles(plans, values, self.options))
        if self.calibration is not None:
            parts.append(self.calibration.calibrated(plans, values, self.options))
        if self.head is not None:
            parts.append(self.head.predict(alleles, what=None if what is None else f"{what}, head")[:, None])
        return self._scored(plans, np.hstack(parts))

    def vectors(
        self, alleles: Sequence[Allele], layers: Sequence[int] | None = None, *, what: str | None = None
    ) -> np.ndarray:  # fmt: skip
        """Embeddings of the reference and of the alternative, float32 [layer, allele, 2, hidden], NaN where nothing is read.

        Means over the compared tokens, then over frames, alignments and strands. Default: the layer of the options alone.
        """
        plans, asked = self.plan(alleles), tuple(layers or (self.about["layer"],))
        pairs = [(index, pair) for index, plan in enumerate(plans) for pair in plan.pairs]
        jobs = [_Job(*one, _both(one[1], strand)) for one in pairs for strand in self._strands]
        totals = np.zeros((len(plans), 2, len(asked) * self.reader.model.hidden_size))
        counts = np.zeros((len(plans), 1, 1))

        def add(job: _Job, answers: list[Answer]) -> tuple[()]:
            where = self.compared(job.pair)
            totals[job.index] += [answer.hidden[where].mean(axis=0, dtype=np.float64) for answer in answers]
            counts[job.index] += 1
            return ()

        reader = Reader(self.reader.model, asked, self.reader.batch_tokens)
        read = (answer for _, answer in reader.whole(_different(jobs), own=False, bases=False, hidden=True, what=what))
        self._fill(np.zeros(0), jobs, read, add)
        self.reader.sequences += reader.sequences
        with np.errstate(invalid="ignore"):
            means = (totals / counts).astype(np.float32)
        return np.moveaxis(means.reshape(*means.shape[:2], len(asked), -1), 2, 0)

    def compared(self, pair: Pair) -> slice:
        """Tokens of a pair whose embeddings are compared, by the option `region`."""
        if self.options.region == "window":
            return slice(0, len(pair.reference) // self.reader.k)
        more = 0 if isinstance(self.options.region, str) else self.options.region
        return slice(max(pair.tokens[0] - more, 0), min(pair.tokens[1] + more, len(pair.reference) // self.reader.k))

    def _wants(self, *names: str) -> bool:
        return not self._places.keys().isdisjoint(names)

    def _fill(self, found: np.ndarray, jobs: list[_Job], read: Iterator[Any], values: Callable[..., Any]) -> None:
        """Puts in the scores of a job as soon as all its answers are there; `read` are those of `_different(jobs)`."""
        waiting: dict[Reading, set[int]] = {reading: set() for reading in _different(jobs)}
        for number, job in enumerate(jobs):
            for reading in job.readings:
                waiting[reading].add(number)
        answers: dict[Reading, Any] = {}
        for reading, answer in zip(waiting, read, strict=True):
            answers[reading] = answer
            for number in sorted(waiting[reading]):
                index, pair, readings = jobs[number]
                if not all(one in answers for one in readings):
                    continue
                for name, value in values(jobs[number], [answers[one] for one in readings]):
                    if name in self._places:
                        where = self._places[name], pair.frame, pair.alignment, int(reading.reverse)
                        found[index, *where] = value
                # An answer is kept only as long as a job still needs it.
                for one in set(readings):
                    waiting[one].discard(number)
                    if not waiting[one]:
                        del answers[one]

    def _summary(self, readings: np.ndarray) -> np.ndarray:
        """[allele, column]: means over alignments, then over frames, then over strands."""
        frames = _mean(readings, axis=3)
        strands = _mean(frames, axis=2)
        columns = [_mean(strands, axis=2)]
        if self.options.both_strands:
            forward, reverse = strands[..., 0], strands[..., 1]
            columns += [forward, reverse, forward - reverse]
        if self.options.frames > 1:
            by_frame = _mean(frames, axis=3)
            columns.append(np.sqrt(_mean((by_frame - _mean(by_frame, axis=2)[..., None]) ** 2, axis=2)))
        return np.stack(columns, axis=2).reshape(len(readings), len(self.options.columns))

    def _hidden(self, pair: Pair, reverse: bool) -> tuple[Reading, ...]:
        """The reading of a substitution; of another change each token of both alleles, one at a time."""
        tokens = range(*pair.tokens)
        if pair.changed != (0, 0):
            return (Reading(pair.reference, reverse, tuple(tokens)),)
        alleles = (pair.reference, pair.alternative) if self._wants("llr") else ()
        return tuple(Reading(allele, reverse, (token,)) for allele in alleles for token in tokens)

    def _read_hidden(self, jobs: list[_Job], what: str | None) -> Iterator[Any]:
        """Log probabilities of the hidden tokens [token, vocab], and of their bases [base, 4]."""
        from scipy.special import log_softmax

        by_base = self._wants("base_llr", "entropy")
        for reading, logits in self.reader.masked(_different(jobs), what):
            bases = self.reader.base_log_probs(reading, logits).reshape(-1, 4) if by_base else None
            yield log_softmax(logits.astype(np.float64), axis=1), bases

    def _of_hidden(self, job: _Job, answers: list[Any]) -> Iterator[tuple[str, float]]:
        _, pair, readings = job
        if pair.changed == (0, 0):
            logs = [
                self._of_tokens(reading.sequence, reading.masked, reading.reverse, tokens)
                for reading, (tokens, _) in zip(readings, answers, strict=True)
            ]
            half = len(logs) // 2
            yield "llr", sum(logs[half:]) - sum(logs[:half])
            return
        ((tokens, bases),), (reading,) = answers, readings
        yield "llr", self._ratio(pair, reading.reverse, tokens)
        if bases is not None:
            at = np.arange(*pair.changed)
            alt, ref = (dna.codes(text)[at] for text in (pair.alternative, pair.reference))
            rows, each = bases[at - pair.tokens[0] * self.reader.k], np.arange(len(at))
            yield "base_llr", float((rows[each, alt] - rows[each, ref]).sum())
            yield "entropy", float(-(np.exp(rows) * rows).sum(axis=1).mean())

    def _ratio(self, pair: Pair, reverse: bool, logits: np.ndarray) -> float:
        """Log-likelihood ratio of both alleles at the touched tokens [token, vocab], in nats."""
        tokens = range(*pair.tokens)
        alt, ref = (self._of_tokens(text, tokens, reverse, logits) for text in (pair.alternative, pair.reference))
        return alt - ref

    def _of_tokens(self, text: str, tokens: Iterable[int], reverse: bool, logits: np.ndarray) -> float:
        """Sum of the logits [token, vocab] of the tokens that a text has at these places."""
        k = self.reader.k
        kmers = [self.reader.kmer(text[token * k :][:k], reverse) for token in tokens]
        return float(logits[np.arange(len(kmers)), kmers].sum())

    def _read_both(self, jobs: list[_Job], what: str | None) -> Iterator[Any]:
        """Each reading, with the tokens whose logits were asked for, and its answer."""
        asked: dict[Reading, set[int]] = {reading: set() for reading in _different(jobs)}
        for _, pair, (reference, _) in jobs if self._wants("wt_llr") else ():
            asked[reference] |= set(range(*pair.tokens))
        return self.reader.whole(
            [reading._replace(asked=tuple(sorted(tokens))) for reading, tokens in asked.items()],
            own=self._wants("alt_loss", "loss_diff", "wt_llr"),
            bases=self._wants("jsd"),
            hidden=self._wants(*_EMBEDDING),
            what=None if what is None else f"{what}, both alleles",
        )

    def _of_both(self, job: _Job, answers: list[Any]) -> Iterator[tuple[str, float]]:
        (reading, ref), (_, alt) = answers
        pair, tokens = job.pair, self.compared(job.pair)
        if named := _EMBEDDING.keys() & self._places.keys():
            means = [hidden[tokens].astype(np.float64).mean(axis=0) for hidden in (ref.hidden, alt.hidden)]
            yield from ((name, _EMBEDDING[name](*means)) for name in named)
        if len(alt.own):
            yield "alt_loss", -alt.own[tokens].mean()
            yield "loss_diff", ref.own[tokens].mean() - alt.own[tokens].mean()
        if len(alt.bases):
            yield "jsd", divergence(ref.bases, alt.bases, pair.shared)
        if len(ref.logits) and pair.changed == (0, 0):
            yield "wt_llr", float(alt.own[slice(*pair.tokens)].sum() - ref.own[slice(*pair.tokens)].sum())
        elif len(ref.logits):
            rows = [reading.answered.index(token) for token in range(*pair.tokens)]
            yield "wt_llr", self._ratio(pair, reading.reverse, ref.logits[rows].astype(np.float64))

    @cached_property
    def keys(self) -> dict[str, tuple[str, str]]:
        """INFO key and meaning of each column of a VCF: all of the first score; value, spread and percentile of others."""
        found = {}
        strands = "Mean of both strands" if self.options.both_strands else "Forward strand"
        for place, name in enumerate(self.options.scores):
            score, key = SCORES[name], SCORES[name].key
            how = f"{score.description}. Insertions and deletions: {score.indels}"
            found[name] = key, f"{score.unit}; {score.direction}. Substitutions: {how}. {strands}"
            for ending, meaning in _ENDINGS.items():
                if name + ending in self.columns and (place == 0 or ending == "_spread"):
                    found[name + ending] = key + ending.upper(), f"{key}: {meaning}"
            if self.background is not None:
                found[f"{name}_percentile"] = f"{key}_PCT", f"{key}: {self.background.statement}"
            if self.calibration is not None:
                found |= self.calibration.keys(self.options, key, name)
        if self.head is not None:
            found["head"] = "NTV_HEAD", self.head.statement
        return found

    def info_lines(self) -> list[str]:
        """The `##INFO` lines of what `info` gives."""
        lines = [info_line(key, "Float", meaning) for key, meaning in self.keys.values()]
        return [*lines, info_line("NTV_METHOD", "String", _METHODS), status_line()]

    def info(self, scored: Scored, where: slice) -> Mapping[str, str]:
        """INFO values of a record, whose alleles are those at `where`: one for each, "." where there is none."""
        found: dict[str, str] = {}
        values, statuses = scored.values[where], scored.statuses[where]
        if any(status in SCORED for status in statuses) or np.isfinite(values).any():
            for column, (key, _) in self.keys.items():
                if texts := listed(values[:, self.columns.index(column)], ".6g"):
                    found[key] = texts
            found["NTV_METHOD"] = ",".join(method or "." for method in scored.methods[where])
        return found | {"NTV_STATUS": ",".join(statuses) or "missing"}


def listed(values: np.ndarray, form: str) -> str:
    """Numbers of a record's alleles, "." where there is none; empty where there is none at all."""
    if not np.isfinite(values).any():
        return ""
    return ",".join(format(value, form) for value in values).replace("nan", ".")


def status_line() -> str:
    """The `##INFO` line of the statuses."""
    statuses = "; ".join(f"{name}: {meaning}" for name, meaning in STATUSES.items())
    return info_line("NTV_STATUS", "String", f"what became of the allele. {statuses}")


def _both(pair: Pair, reverse: bool) -> tuple[Reading, ...]:
    return Reading(pair.reference, reverse), Reading(pair.alternative, reverse)


def _different(jobs: list[_Job]) -> list[Reading]:
    return list(dict.fromkeys(reading for job in jobs for reading in job.readings))


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
