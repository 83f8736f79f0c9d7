"""What a card says of one variant, or of a locus where one can be picked: numbers first, computed when they are asked for."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ntviz.annotation import Annotation
from ntviz.explore.places import locate
from ntviz.explore.variant_attention import Shift, shift
from ntviz.explore.variant_contexts import Contexts, in_both
from ntviz.genome import Interval, Variant, browser_contig
from ntviz.reference import Reference
from ntviz.variants.alleles import SCORED, Allele
from ntviz.variants.backgrounds import Background
from ntviz.variants.consequences import consequence
from ntviz.variants.dependencies import Dependency, dependency
from ntviz.variants.options import SCORES
from ntviz.variants.planning import Plan
from ntviz.variants.saturating import Saturation, saturation
from ntviz.variants.scoring import Scorer

DEPENDING = 31
"""bp of the map of dependencies, which costs three forward passes a base."""
NEAR = 20_000
"""bp drawn around a variant outside of genes."""
WHOLE = 150_000
"""bp of a gene that is drawn whole, at most."""


@dataclass(frozen=True)
class Bench:
    """What stays while one goes from variant to variant, as `explore.variant` takes it; `scorer` has all scores."""

    model: Any
    reference: Reference
    annotation: Annotation
    scorer: Scorer
    window: int | None
    around: int
    beds: dict[str, Annotation]
    background: Background | None = None

    def at(self, what: Any) -> Card:
        """The card of a variant, a gene or a region.

        A variant always has one: what is wrong with it is its status.

        Raises
        ------
        ValueError
            The text names nothing that could be looked at.
        """
        variant = what
        if isinstance(what, str):
            # Not a variant, or one whose error `locate` tells again.
            with contextlib.suppress(ValueError):
                variant = Variant.from_str(what)
        if isinstance(variant, Variant):
            variant = replace(variant, chrom=browser_contig(variant.chrom))
            return Card(self, variant, f"{variant.chrom}:{variant.pos:,} {variant.ref}>{variant.alt}", self._place(variant))
        place = locate(what, self.reference, self.annotation, window=self.scorer.window_bp, longest=self.scorer.window_bp)
        middle = place.focus.start if len(place.focus) == 1 else place.interval.midpoint
        return Card(self, None, place.name, Interval(place.interval.chrom, middle, middle + 1))

    def _place(self, variant: Variant) -> Interval | None:
        try:
            whole = self.reference.whole(variant.chrom)
        except ValueError:
            return None
        return variant.interval if variant.end <= whole.end else None


class Card:
    """One variant, or one place without a variant, under the eyes of one model.

    Attributes
    ----------
    variant
        None where a gene or a region was asked for.
    name
        Of the variant, gene or region as people write it (1-based).
    where
        The bases of the variant, or the base in the middle of a locus; None where the reference has no such place.
    """

    def __init__(self, bench: Bench, variant: Variant | None, name: str, where: Interval | None) -> None:
        self.bench, self.variant, self.name, self.where = bench, variant, name, where

    # Where it lies ----------------------------------------------------------------------------------------------------

    @cached_property
    def plan(self) -> Plan | None:
        """What the model reads for the variant."""
        return None if self.variant is None else self.bench.scorer.plan([Allele.of(self.variant)])[0]

    @property
    def status(self) -> str:
        """A key of `variants.STATUSES`; empty without a variant."""
        return "" if self.plan is None else self.plan.status

    @property
    def scored(self) -> bool:
        """Whether there are scores."""
        return self.status in SCORED

    @cached_property
    def here(self) -> str:
        """The reference's bases at the place; empty where it has none."""
        return "" if self.where is None else self.bench.reference.fetch(self.where).sequence

    @cached_property
    def stretch(self) -> Interval | None:
        """The locus whose substitutions are scored, clipped to the contig."""
        if self.where is None:
            return None
        return self._on(self.where.start - self.bench.around, self.where.end + self.bench.around)

    def _on(self, start: int, end: int) -> Interval:
        """A span beside the place, clipped to the contig."""
        assert self.where is not None
        return Interval(self.where.chrom, max(start, 0), min(end, self.bench.reference.whole(self.where.chrom).end))

    @cached_property
    def read(self) -> Interval | None:
        """The window in which the model reads both alleles of a substitution; None for other changes, or unread ones."""
        if self.plan is None or not self.plan.pairs or self.where is None or self.plan.change is None:
            return None
        pair, change = self.plan.pairs[0], self.plan.change
        if pair.changed == (0, 0):
            return None
        start = change.start - pair.changed[0]
        return Interval(self.where.chrom, start, start + len(pair.reference), "+")

    @cached_property
    def region(self) -> Interval | None:
        """What the picture of the genes shows: the genes that hold the place, or what is around it."""
        if self.where is None:
            return None
        near = Interval.around(self.where.chrom, self.where.midpoint, NEAR)
        start, end = near.start, near.end
        for row in self.bench.annotation.genes(self.where).itertuples():
            if int(row.end) - int(row.start) <= WHOLE:
                start, end = min(start, int(row.start) - 500), max(end, int(row.end) + 500)
        return self._on(start, end)

    @cached_property
    def elements(self) -> list[str]:
        """Elements of the annotation and of the user's files that hold a base of the place, by name."""
        if self.where is None:
            return []
        annotation = self.bench.annotation
        found = [kind for kind in annotation.kinds if annotation.indicator(self.where, kind).any()]
        for name, bed in self.bench.beds.items():
            if any(bed.indicator(self.where, kind).any() for kind in bed.kinds if kind != "intergenic"):
                found.append(name)
        return found

    @cached_property
    def consequence(self) -> dict[str, str]:
        """The gravest consequence over all transcripts, as a row of `consequence`; empty where it cannot be said."""
        if self.variant is None or self.where is None or not self.plan or not self.plan.ref_agrees:
            return {}
        annotation, (start, end) = self.bench.annotation, (self.where.start, self.where.end)
        if "exon" not in annotation.kinds:
            return {}
        # An insertion touches the bases beside it. Of an annotation of a whole genome, what is here is enough.
        rows = annotation.genes(Interval(self.where.chrom, max(start - 1, 0), end + 1))
        if rows.empty:
            return {"consequence": "intergenic"}
        near = annotation.within(Interval(self.where.chrom, min(start, *rows["start"]), max(end, *rows["end"])))
        if "exon" not in set(near.table["element"]):
            return {}
        row = consequence([self.variant], near, self.bench.reference).iloc[0]
        return {name: str(row[name]) for name in ("consequence", "gene", "transcript", "protein", "codons")}

    # What the model says ----------------------------------------------------------------------------------------------

    @cached_property
    def _values(self) -> dict[str, float]:
        scorer = self.bench.scorer
        if self.variant is None:
            return dict.fromkeys(scorer.columns, float("nan"))
        scored = scorer.score([Allele.of(self.variant)])
        return dict(zip(scorer.columns, scored.values[0].tolist(), strict=True))

    @cached_property
    def percentiles(self) -> dict[str, float]:
        """Percentile of each score that the background has; empty without a background."""
        background = self.bench.background
        if background is None:
            return {}
        if self.plan is None:
            return dict.fromkeys(background.scores, float("nan"))
        options = replace(self.bench.scorer.options, scores=background.scores)
        values = np.array([[self._values[column] for column in options.columns]])
        found = background.percentiles([self.plan], values, options)[0]
        return dict(zip(background.scores, found.tolist(), strict=True))

    def table(self) -> pd.DataFrame:
        """One row a score: value, forward, reverse, gap, unit, direction, description; percentile with a background."""
        values, rows = self._values, []
        for name in self.bench.scorer.options.scores:
            score = SCORES[name]
            row: dict[str, Any] = {"score": name, "value": values[name]}
            for column, ending in (("forward", "_fwd"), ("reverse", "_rev"), ("gap", "_gap")):
                row[column] = values[name + ending]
            if self.bench.background is not None:
                row["percentile"] = self.percentiles.get(name, float("nan"))
            rows.append(row | {"unit": score.unit, "direction": score.direction, "description": score.description})
        return pd.DataFrame(rows)

    def value(self, column: str) -> float:
        """One number of the scorer's columns, such as "llr" or "llr_fwd"; NaN where there is none."""
        return self._values.get(column, float("nan"))

    @cached_property
    def saturation(self) -> Saturation | None:
        """Every substitution around the place."""
        if self.stretch is None:
            return None
        bench = self.bench
        return saturation(bench.model, bench.reference, self.stretch, window=bench.window, what=None)

    @cached_property
    def dependency(self) -> Dependency | None:
        """Which bases next to the place depend on each other; None where no window holds them."""
        if self.where is None:
            return None
        near = Interval.around(self.where.chrom, self.where.midpoint, DEPENDING)
        try:
            return dependency(self.bench.model, self.bench.reference, self._on(near.start, near.end), what=None)
        except ValueError:
            # N around it, or a window too short.
            return None

    @property
    def lacking(self) -> list[str]:
        """Of the properties `contexts` and `attention` those that have not been computed yet."""
        return [name for name in ("contexts", "attention") if self.scored and name not in self.__dict__]

    @cached_property
    def contexts(self) -> Contexts | None:
        """Expected bases around the variant, with either allele; None without scores."""
        if not self.scored or self.saturation is None or self.plan is None or self.plan.change is None:
            return None
        return in_both(self.bench.scorer, self.saturation, self.plan.change)

    @cached_property
    def attention(self) -> Shift | str:
        """Attention from and to the variant's token with either allele, or in words why there is none."""
        if not self.scored or self.plan is None:
            return "Without scores there are no two alleles to compare."
        if self.read is None:
            return "An insertion or deletion moves every later token: attention is not compared token by token."
        pair = self.plan.pairs[0]
        special = self.bench.scorer.reader.vocabulary.n_special
        try:
            return shift(self.bench.model, self.read, pair.reference, pair.alternative, pair.tokens[0] + special)
        except TypeError as error:
            return str(error)

    def rank(self) -> tuple[float, int] | None:
        """Share of the substitutions around with a lower LLR, and how many there are; None for other than an SNV."""
        if not self.scored or self.variant is None or not self.variant.is_snv or self.saturation is None:
            return None
        around = self.saturation
        codes = np.array(["ACGT".find(base) for base in around.sequence])
        others = around.llr[(codes[:, None] != np.arange(4)) & np.isfinite(around.llr)]
        own = self.value("llr")
        return (float((others < own).mean()), int(others.size)) if np.isfinite(own) and others.size else None

    def expected(self) -> dict[str, float]:
        """Probability of each base at a substituted base, its token hidden; empty for other changes."""
        if self.saturation is None or self.where is None or len(self.where) != 1:
            return {}
        row = self.saturation.probabilities[self.where.start - self.saturation.interval.start]
        return dict(zip("ACGT", row.tolist(), strict=True)) if np.isfinite(row).all() else {}
