"""What a card says of one variant, or of a locus where one can be picked, computed when it is asked for.

Numbers first; then both alleles in the same place: the bases that a model expects around them, and attention from and to them.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import rel_entr, softmax

from ntviz import variants
from ntviz.annotation import Annotation
from ntviz.explore.places import locate
from ntviz.genome import Interval, Variant, browser_contig
from ntviz.masking import Reading
from ntviz.reference import Reference
from ntviz.tokens import Tokens
from ntviz.variants.alleles import SCORED, Change
from ntviz.variants.saturation import Saturation
from ntviz.variants.scorer import Scorer
from ntviz.variants.windows import Contig

DEPENDING = 31
"""bp of the map of dependencies, which costs three forward passes a base."""


@dataclass(frozen=True)
class Bench:
    """What stays while one goes from variant to variant, as `explore.variant` takes it; `scorer` has all scores."""

    model: Any
    reference: Reference
    annotation: Annotation
    scorer: variants.Scorer
    window: int | None
    around: int
    beds: dict[str, Annotation]
    background: variants.Background | None = None
    splicing: variants.SpliceScorer | None = None

    def at(self, what: Any) -> Card:
        """The card of a variant, whatever is wrong with it, of a gene or of a region; ValueError where the text is none of these."""
        if isinstance(what, str):
            # Not a variant, or one whose error `locate` tells again.
            with contextlib.suppress(ValueError):
                what = Variant.from_str(what)
        if not isinstance(what, Variant):
            window = self.scorer.window_bp
            place = locate(what, self.reference, self.annotation, window=window, longest=window)
            middle = place.focus.start if len(place.focus) == 1 else place.interval.midpoint
            return Card(self, None, place.name, Interval(place.interval.chrom, middle, middle + 1))
        variant = replace(what, chrom=browser_contig(what.chrom))
        name = f"{variant.chrom}:{variant.pos:,} {variant.ref}>{variant.alt}"
        with contextlib.suppress(ValueError):
            if self.reference.whole(variant.chrom).contains(variant.interval):
                return Card(self, variant, name, variant.interval)
        return Card(self, variant, name, None)


class Card:
    """One variant, or one place without a variant, under the eyes of one model.

    Attributes
    ----------
    variant, name, where
        None where a gene or a region was asked for; as people write it (1-based); the bases of the variant, or the base in the middle
        of a locus, None where the reference has no such place.
    here, stretch, plan, status, scored
        The reference's bases at the place; the locus whose substitutions are scored; what the model reads for the variant; a key of
        `variants.STATUSES`, empty without a variant; whether there are scores.
    """

    def __init__(self, bench: Bench, variant: Variant | None, name: str, where: Interval | None) -> None:
        self.bench, self.variant, self.name, self.where = bench, variant, name, where
        self.here = "" if where is None else bench.reference.fetch(where).sequence
        self.stretch = self.clipped(where.expand(bench.around)) if where else None
        self.plan = bench.scorer.plan([variants.Allele.of(variant)])[0] if variant else None
        self.status = self.plan.status if self.plan else ""
        self.scored = self.status in SCORED
        self.chosen: tuple[int, int] | None = None

    @cached_property
    def spliced(self) -> tuple[str, list[Any]]:
        """The status of the variant for the splice network, and what it does to the sites of each gene; empty without either."""
        if self.bench.splicing is None or self.variant is None:
            return "", []
        return self.bench.splicing.effects(variants.Allele.of(self.variant))

    def clipped(self, span: Interval) -> Interval:
        """The part of a span around the place that the contig has."""
        contig = self.bench.reference.whole(span.chrom)
        return Interval(span.chrom, max(span.start, 0), min(span.end, contig.end))

    @property
    def read(self) -> Interval | None:
        """The window in which the model reads both alleles of a substitution; None for other changes, or unread ones."""
        plan, place = self.plan, self.where
        if not place or not plan or not plan.change or not plan.pairs or not any(plan.pairs[0].changed):
            return None
        start = plan.change.start - plan.pairs[0].changed[0]
        return Interval(place.chrom, start, start + len(plan.pairs[0].reference), "+")

    @property
    def elements(self) -> list[str]:
        """Elements of the annotation and of the user's files that hold a base of the place, by name."""
        place, annotation = self.where, self.bench.annotation
        if place is None:
            return []
        names = [kind for kind in annotation.kinds if annotation.indicator(place, kind).any()]
        for name, bed in self.bench.beds.items():
            kinds = [kind for kind in bed.kinds if kind != "intergenic"]
            names += [name] if kinds and bed.indicator(place, kinds).any() else []
        return names

    @cached_property
    def consequence(self) -> dict[str, str]:
        """The gravest consequence over all transcripts, as a row of `consequence`; empty where it cannot be said."""
        place, annotation = self.where, self.bench.annotation
        agrees = self.plan is not None and self.plan.ref_agrees
        if not place or not self.variant or not agrees or "exon" not in annotation.kinds:
            return {}
        # An insertion touches the bases beside it. Of an annotation of a whole genome, what is here is enough.
        rows = annotation.genes(Interval(place.chrom, max(place.start - 1, 0), place.end + 1))
        if rows.empty:
            return {"consequence": "intergenic"}
        start, end = min(place.start, *rows["start"]), max(place.end, *rows["end"])
        near = annotation.within(Interval(place.chrom, start, end))
        if "exon" not in set(near.table["element"]):
            return {}
        row = variants.consequence([self.variant], near, self.bench.reference).iloc[0]
        return {name: str(row[name]) for name in ("consequence", "gene", "transcript", "protein", "codons")}

    @cached_property
    def values(self) -> dict[str, float]:
        """All numbers, such as "llr", "llr_fwd" and, where the background has it, "llr_percentile"; NaN where there is none."""
        scorer, background = self.bench.scorer, self.bench.background
        if not self.variant or not self.plan:
            return dict.fromkeys(scorer.columns, np.nan)
        row = scorer.score([variants.Allele.of(self.variant)]).values
        values = dict(zip(scorer.columns, row[0].tolist(), strict=True))
        if background is not None:
            options = replace(scorer.options, scores=background.scores)
            row = np.array([[values[column] for column in options.columns]])
            percentiles = background.percentiles([self.plan], row, options)[0].tolist()
            values |= zip([f"{name}_percentile" for name in background.scores], percentiles, strict=True)
        return values

    def table(self) -> pd.DataFrame:
        """One row a score: value, forward, reverse, gap, unit, direction, description; percentile with a background."""
        endings = {"value": "", "forward": "_fwd", "reverse": "_rev", "gap": "_gap"}
        endings |= {} if self.bench.background is None else {"percentile": "_percentile"}
        table = pd.DataFrame({"score": self.bench.scorer.options.scores})
        for column, ending in endings.items():
            table[column] = [self.values.get(name + ending, np.nan) for name in table["score"]]
        for part in ("unit", "direction", "description"):
            table[part] = [getattr(variants.SCORES[name], part) for name in table["score"]]
        return table

    @cached_property
    def saturation(self) -> variants.Saturation | None:
        """Every substitution around the place."""
        bench, stretch = self.bench, self.stretch
        return variants.saturation(bench.model, bench.reference, stretch, window=bench.window, what=None) if stretch else None  # fmt: skip

    @cached_property
    def dependency(self) -> variants.Dependency | None:
        """Which bases next to the place depend on each other; None where no window without N holds them."""
        bench, place = self.bench, self.where
        near = self.clipped(Interval.around(place.chrom, place.midpoint, DEPENDING)) if place else None
        with contextlib.suppress(ValueError):
            return variants.dependency(bench.model, bench.reference, near, what=None) if near else None
        return None

    @property
    def lacking(self) -> list[str]:
        """Of the properties `contexts` and `attention` those that have not been computed yet."""
        return [name for name in ("contexts", "attention") if self.scored and name not in self.__dict__]

    @cached_property
    def contexts(self) -> Contexts | None:
        """Expected bases around the variant, with either allele; None without scores."""
        if not self.scored or not self.saturation or not self.plan or not self.plan.change:
            return None
        return in_both(self.bench.scorer, self.saturation, self.plan.change)

    @cached_property
    def attention(self) -> Shift | str:
        """Attention from and to the variant's token with either allele, or in words why there is none."""
        if not self.scored or not self.plan or self.read is None:
            return "There must be two scored alleles of one length: an insertion or deletion moves every later token."
        pair, special = self.plan.pairs[0], self.bench.scorer.reader.vocabulary.n_special
        try:
            return shift(self.bench.model, pair.reference, pair.alternative, pair.tokens[0] + special)
        except TypeError as error:
            return str(error)

    @property
    def head(self) -> tuple[int, int]:
        """Layer and head that are shown, from 0: those that change most unless others are `chosen`; -1 without attention."""
        return (self.chosen or self.attention.order[0]) if isinstance(self.attention, Shift) else (-1, -1)


@dataclass(frozen=True)
class Contexts:
    """Expected bases of a locus, each token hidden in turn, on the forward strand: [base, 4] probabilities in order ACGT.

    `reference` and `alternative` are what stands around the hidden token; of both strands the geometric mean. NaN where no window
    holds the token, and where an insertion or deletion cuts it.
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

    A token is read in the window in which the saturation read it. Hidden tokens show what the neighbours say: a model that sees
    a base mostly repeats it. A token that holds the whole substitution is not read again: what is left to see is the same.
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
    """Attention [allele, layer, head, token] from `token` (`looks`) and to it (`seen`); allele 0 and `tokens` are the reference's.

    The token is the first one that holds the variant, special tokens counted.
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
        return [divmod(head, moved.shape[1]) for head in np.argsort(-moved, axis=None, kind="stable").tolist()]


def shift(model: Any, reference: str, alternative: str, token: int) -> Shift:
    """A token's attention in two sequences of whole tokens, one observed pass each; TypeError where it cannot be observed."""
    from ntviz import attention

    at, run = list(np.ndindex(attention.blocks.layers_of(model), model.heads)), (token, token + 1)
    observers: Any = {"looks": attention.Window(query=run, at=at), "seen": attention.Window(key=run, at=at)}
    alleles = [attention.blocks.tokens_of(model, sequence) for sequence in (reference, alternative)]
    found = [attention.observe(model, tokens, **observers) for tokens in alleles]
    shape = (2, attention.blocks.layers_of(model), model.heads, len(alleles[0]))
    looks, seen = (np.stack([one[name].weights for one in found]).reshape(shape) for name in observers)
    return Shift(alleles[0], token, looks, seen)
