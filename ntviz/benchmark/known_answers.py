"""Tests with known answers: how often a model finds the right one of two sequences likelier, beside k-mers, a matrix and a random model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.benchmark.questions import QUESTIONS, Item, Question, Source, Term, items, published
from ntviz.environment import progress
from ntviz.masking import BATCH_TOKENS, log_probs_of
from ntviz.motifs import Motif
from ntviz.reference import Reference
from ntviz.statistics import FEWEST, draw_weights, middle, seed_of
from ntviz.variants.consequences import Markov

if TYPE_CHECKING:
    import pandas as pd

PUBLISHED_PROMOTERS = (
    ("PWM with relative positions", 1.00, float("nan"), float("nan")), ("HyenaDNA", 0.63, 0.53, 0.72),
    ("NT-500M", 0.54, 0.45, 0.63), ("GROVER", 0.46, float("nan"), float("nan")), ("k-mers", 0.43, float("nan"), float("nan")),
)  # fmt: skip
"""Published shares of class E above class D, with 95 % intervals: Cheng, arXiv 2604.06549."""


@dataclass(frozen=True)
class KnownAnswers:
    """What a model answered; made by `known_answers`.

    Attributes
    ----------
    table
        One row a question and case: [question, case, kind, n, value, low, high, nats, kmers, kmers_low, kmers_high, pwm, random,
        random_low, random_high, over_kmers, over_kmers_low, over_kmers_high, over_random and its ends, verdict]. `value` is the share of `n` examples answered
        rightly (ties count half), 0.5 by chance; `low` and `high` hold 95 % of it when examples are drawn anew (no width
        where all answers are alike). `nats` is the median by which the right sequence is likelier, or, of agreement, by which two ways to read
        differ. `kmers` is a Markov chain of the reference, `pwm` a position weight matrix where one applies, `random` the randomly initialised model, all on the same examples; `over_` are differences.
    how
        What a log-likelihood is here.
    """

    table: pd.DataFrame
    model: str
    how: str

    @property
    def sentence(self) -> str:
        """What was found, in one sentence with numbers and controls."""
        table = self.table
        known = table[(table["kind"] == "known") & (table["n"] >= FEWEST)]
        if known.empty:
            return f"{self.model} was asked nothing with {FEWEST} examples or more."
        words = [
            f"{self.model} answers {int((known['low'] > 0.5).sum())} of {len(known)} questions with a known answer better than chance"
        ]
        beside = [f"{0.025 * len(known):.1f} are expected by chance"] + [
            f"{name} {int((known[f'{column}_low'] > 0.5).sum())}"
            for name, column in (("k-mers", "kmers"), ("the randomly initialised model", "random"))
            if known[f"{column}_low"].notna().any()
        ]
        words.append(f"({', '.join(beside)})")
        better = known[(known["low"] > 0.5) & (known["over_kmers_low"] > 0)]
        if len(better):
            top = better.loc[better["over_kmers"].idxmax()]
            words.append(
                f"and {len(better)} better than k-mers do, most so {top['question']} ({top['case']}): {top['value']:.2f} "
                f"({top['low']:.2f} to {top['high']:.2f}), k-mers {top['kmers']:.2f}"
            )
        else:
            words.append("and none better than k-mers do")
        return " ".join(words) + "."

    @property
    def shares(self) -> pd.DataFrame:
        """For figures, one row a case and who was asked: [question, case, asked, value, low, high, n], without those not asked."""
        import pandas as pd

        asked = (
            ("value", self.model),
            ("kmers", "k-mers"),
            ("random", "randomly initialised model"),
            ("pwm", "position weight matrix"),
        )
        names, parts = ["question", "case", "value", "low", "high", "n"], []
        for column, name in asked:
            ends = ["low", "high"] if column == "value" else [f"{column}_low", f"{column}_high"]
            part = self.table[["question", "case", column, *ends, "n"]].set_axis(names, axis=1).assign(asked=name)
            parts.append(part[part["value"].notna()])
        return pd.concat(parts, ignore_index=True)

    def __repr__(self) -> str:
        return self.sentence


Likelihood = Callable[[Sequence[tuple[str, int, int]]], np.ndarray]
"""Log-likelihoods in nats, float64 [asked], of the bases [start, end) of sequences."""


def likelihood_of(model: Any, *, batch_tokens: int = BATCH_TOKENS) -> tuple[Likelihood, str]:
    """How a model gives log-likelihoods of bases of sequences, and what they are, in words.

    A masked language model: pseudo-log-likelihood, the log-probability of each token that begins in the bases, that token masked, summed.
    A causal one, such as HyenaDNA: log-probability of each base after those before it. A `variants.Markov` chain: the same. A
    ValueError for models that give none.
    """
    if isinstance(model, Markov):
        return lambda asked: np.array([np.nansum(model.log_probs_of(text)[start:end]) for text, start, end in asked]), (
            f"log-probability of each base after the {model.order} before it"
        )
    refused = not hasattr(model, "forward") or not hasattr(model, "tokenize") or getattr(model, "without_logits", "")
    if refused or not getattr(model, "info", {}).get("language_model_head", True):
        raise ValueError(
            f"A model must give likelihoods of bases; {getattr(model, 'name', type(model).__name__)} does not. Use a language model, such "
            "as those of the Nucleotide Transformer, DNABERT-2 or HyenaDNA."
        )
    causal = bool(getattr(model, "without_mask", ""))
    how = (
        "log-probability of each base after those before it" if causal
        else "pseudo-log-likelihood: log-probability of each token, that token masked, summed"
    )  # fmt: skip
    return lambda asked: _read(model, asked, causal, batch_tokens), how


def _read(model: Any, asked: Sequence[tuple[str, int, int]], causal: bool, batch_tokens: int) -> np.ndarray:
    """Log-likelihoods [asked]; each sequence is tokenized once, and passes hold sequences of one length."""
    work: list[tuple[int, Any, int]] = []  # number of what is asked, tokens as read, token that is masked
    ids: list[np.ndarray] = []  # tokens as they stand there
    for number, (text, start, end) in enumerate(asked):
        tokens = model.tokenize(text)
        ids.append(tokens.ids)
        if causal:
            work.append((number, tokens, -1))
            continue
        for place in _inside(tokens, start, end):
            hidden = tokens.ids.copy()
            hidden[place] = model.mask_id
            work.append((number, replace(tokens, ids=hidden), place))
    found, order = np.zeros(len(asked)), sorted(range(len(work)), key=lambda row: len(work[row][1]))
    with progress(total=len(work), what="known answers") as bar:
        while order:
            size = max(1, batch_tokens // len(work[order[-1]][1]))
            rows, order = order[-size:], order[:-size]
            batch = [work[row][1] for row in rows]
            options = {} if causal else {"at": np.array([[work[row][2]] for row in rows])}
            logits = np.asarray(model.forward(batch, outputs=("logits",), **options).logits, np.float64)
            for row, scores in zip(rows, logits, strict=True):
                number, tokens, place = work[row]
                if causal:  # the logits of a token are those of the next one
                    places = _inside(tokens, *asked[number][1:])
                    places = np.array([at for at in places if at], np.int64)
                    found[number] = log_probs_of(scores[places - 1], tokens.ids[places]).sum()
                else:
                    found[number] += log_probs_of(scores, ids[number][[place]])[0]
            bar.update(len(rows))
    return found


def _inside(tokens: Any, start: int, end: int) -> list[int]:
    """Tokens of bases that begin in [start, end)."""
    first, last = tokens.spans[:, 0], tokens.spans[:, 1]
    return np.flatnonzero(~np.asarray(tokens.is_special) & (first >= start) & (first < end) & (last > first)).tolist()


def _answers(likelihood: Likelihood, several: Sequence[Item]) -> np.ndarray:
    """[item, sum] of log-likelihoods, whose product is above 0 where the answer is right; each sequence is read once."""
    asked = list(
        dict.fromkeys((term.sequence, term.start, term.end) for one in several for sums in one.factors for term in sums)
    )
    values = dict(zip(asked, likelihood(asked), strict=True))

    def total(terms: Iterable[Term]) -> float:
        return sum(term.sign * values[term.sequence, term.start, term.end] for term in terms)

    return np.array([[total(sums) for sums in one.factors] for one in several])


def _right(answers: np.ndarray) -> np.ndarray:
    """1 for a right answer [item, sum], 0 for a wrong one, 0.5 where arithmetic sees none; NaN stays."""
    return (np.sign(np.where(np.abs(answers) < 1e-6, 0, answers)).prod(axis=1) + 1) / 2


def known_answers(
    model: Any, reference: Reference, annotation: Any = None, *, motifs: Iterable[Motif] = (), questions: Sequence[str] = (),
    n: int = 100, promoters: Any = None, markov: Markov | None = None, control: Any = "twin", draws: int = 1_000,
    batch_tokens: int = BATCH_TOKENS, seed: int = 0,
) -> KnownAnswers:  # fmt: skip
    """How often a model prefers the right one of two sequences, question by question, beside three controls.

    Parameters
    ----------
    model
        A masked language model of `models.load`, a causal one (HyenaDNA), or a `variants.Markov`.
    reference, annotation, motifs
        Where sequences come from; without an annotation questions about genes are left out, without motifs those about motifs.
    questions
        Names of `QUESTIONS`, such as "copying" and "promoter"; all that can be asked when none are given.
    n
        Examples of each case; fewer where the annotation has no more. Those of a seed are always the same.
    promoters
        FASTA of published promoters, with names such as E_000, asked as one more case; see `questions.published`.
    markov
        The chain that stands beside; None fits one of order 8 on the reference. It has counted the sequences that it is asked about.
    control
        "twin" for the randomly initialised model, a model, or None.
    draws
        Resamples of examples behind the intervals.

    Raises
    ------
    ValueError
        A model that gives no likelihoods, an unknown question, or one that needs genes or motifs and has none.
    """
    import pandas as pd

    if n < 1 or draws < 1:
        raise ValueError(f"n and draws must be at least 1; received {n} and {draws}. Leave them out.")
    given = Source(reference, annotation, tuple(motifs))
    chosen = _chosen(questions, given)
    of_model, how = likelihood_of(model, batch_tokens=batch_tokens)
    readers = {"model": of_model, "kmers": likelihood_of(markov or Markov.fit(reference))[0]}
    if control is not None and not (control == "twin" and not hasattr(model, "random_twin")):
        readers["random"] = likelihood_of(
            model.random_twin(seed) if control == "twin" else control, batch_tokens=batch_tokens
        )[0]
    asked = [(one, items(one, given, n, seed)) for one in chosen]
    if promoters is not None:
        asked.append(
            (
                Question("promoter", "published: compensated or not", "known", lambda *_: iter(())),
                list(published(promoters)),
            )
        )
    rows = []
    for question, several in asked:
        longest = max((len(term.sequence) for one in several for sums in one.factors for term in sums), default=0)
        fits = longest <= getattr(model, "max_bp", longest)
        rows.append(_row(question, several if fits else [], readers, draws, seed) | ({} if fits else {
            "verdict": f"not asked: it needs {longest:,} bp, and the model reads {model.max_bp:,}"}))  # fmt: skip
    return KnownAnswers(pd.DataFrame(rows), getattr(model, "name", type(model).__name__), how)


def _chosen(names: Sequence[str], source: Source) -> list[Question]:
    unknown = [name for name in names if name not in {one.name for one in QUESTIONS}]
    has = {"": True, "genes": source.annotation is not None, "motifs": bool(source.motifs)}
    chosen = [one for one in QUESTIONS if (one.name in names if names else has[one.needs])]
    lacking = [one for one in chosen if not has[one.needs]]
    if unknown or lacking:
        what = f"{unknown[0]!r}" if unknown else f"{lacking[0].name!r} without {lacking[0].needs}"
        raise ValueError(
            f"Questions must be among {', '.join(dict.fromkeys(one.name for one in QUESTIONS))}, those about genes with annotation=, "
            f"about motifs with motifs=; received {what}. Leave questions out for all that can be asked."
        )
    return chosen


def _row(
    question: Question, several: list[Item], readers: dict[str, Likelihood], draws: int, seed: int
) -> dict[str, Any]:
    """One row of the table: shares of right answers of all readers on the same examples, with intervals of the same draws."""
    n = len(several)
    row: dict[str, Any] = {"question": question.name, "case": question.case, "kind": question.kind, "n": n}
    answers = {name: _answers(read, several) for name, read in readers.items()} if n else {}
    answers["pwm"] = np.array([[one.pwm] for one in several] or [[np.nan]])
    right = {
        name: _right(answers.get(name, np.full((max(n, 1), 1), np.nan))) for name in ("model", "kmers", "pwm", "random")
    }
    weights = draw_weights(n, draws, np.random.default_rng(seed_of(question.name, question.case, seed)))
    for name, values in (
        *right.items(),
        *((f"over_{other}", right["model"] - right[other]) for other in ("kmers", "random")),
    ):
        low, high = middle(weights @ values / n) if n >= FEWEST else (np.nan, np.nan)
        ends = ("low", "high") if name == "model" else (f"{name}_low", f"{name}_high")
        row |= {"value" if name == "model" else name: float(values.mean()), ends[0]: low, ends[1]: high}
        if name == "model":
            sums = answers.get("model", np.full((1, 2), np.nan))
            row["nats"] = float(np.median(np.abs(np.diff(sums)) if question.kind == "agreement" else sums))
    return row | {"verdict": _verdict(row)}


def _verdict(row: dict[str, Any]) -> str:
    """What a row says, in words: first whether it is more than chance, then whether it is more than the controls."""
    share = f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
    if row["n"] < FEWEST:
        return f"not judged: {row['n']} examples, and {FEWEST} are needed"
    if not np.isfinite(row["value"]):
        return "not judged: a likelihood is not a finite number"
    if row["kind"] == "agreement":
        return f"agrees in {share} of pairs (1: always, 0.5: chance), by {row['nats']:.1f} nats apart"
    if row["kind"] == "neutral":
        likes = (
            "no preference"
            if row["low"] <= 0.5 <= row["high"]
            else f"prefers {'more' if row['value'] > 0.5 else 'less'} A and T"
        )
        return f"{likes}: {share}"
    if row["low"] <= 0.5:
        return f"{'the wrong way round' if row['high'] < 0.5 else 'no better than chance'}: {share}"
    said = {True: [], False: []}
    for column, name in (("kmers", "k-mers"), ("random", "the randomly initialised model")):
        if np.isfinite(row[column]):
            said[bool(row[f"over_{column}_low"] > 0)].append(f"{name} {row[column]:.2f}")
    words = [
        f"{how} than {' and '.join(names)}"
        for how, names in (("better", said[True]), ("not clearly better", said[False]))
        if names
    ]
    return f"right: {share}, {', '.join(words)}"
