"""What an explorer of attention looks at: a place, its alleles, scores of all heads, tracks, and any part of any map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from ntviz import attention
from ntviz.annotation import Annotation
from ntviz.attention.scan import Scan
from ntviz.explore.places import Place, locate
from ntviz.genome import sequence
from ntviz.reference import Reference
from ntviz.tokens import Tokens

KINDS = ("promoter", "exon", "CDS", "enhancer", "CTCF_binding_site", "open_chromatin", "TF_binding_site", "cpg_island")  # fmt: skip
"""Elements of an annotation that become tracks, where it has them."""
SHUFFLES = 4
"""Dinucleotide-shuffled sequences that heads are compared with."""
CONTRAST = "difference from shuffled sequence"


@dataclass(frozen=True)
class Sources:
    """What stays from place to place: model, `trained` and `longest` of `scan.widened`; the rest as `explore.attention` takes it."""

    model: Any
    trained: int
    longest: int
    window: int
    reference: Reference
    annotation: Annotation
    beds: dict[str, Annotation]
    atlas: Any = None

    def at(self, what: Any) -> Look:
        """A look at a place; ValueError as `places.locate`, or where a variant's REF is not the reference's."""
        place = locate(what, self.reference, self.annotation, window=self.window, longest=self.longest)
        bases = self.reference.fetch(place.interval)
        scans, note = {"reference": Scan(self.model, self.model.tokenize(bases.sequence))}, bases.note
        if place.variant is not None:
            new = self.model.tokenize(sequence.apply_variant(bases.sequence, place.interval, place.variant))
            if np.array_equal(new.spans, scans["reference"].tokens.spans):
                scans["alternative"] = Scan(self.model, new)
            else:
                note += " The alternative moves every later token, so only the reference is shown."
        return Look(self, place, scans, note)


class Look:
    """One place under the eyes of one model, with a `Scan` of each allele."""

    def __init__(self, sources: Sources, place: Place, scans: dict[str, Scan], note: str) -> None:
        self.sources, self.place, self.interval, self.scans = sources, place, place.interval, scans
        self.tokens: Tokens = scans["reference"].tokens
        self.places = self.tokens.on(self.interval)
        """[token, 2] on the genome, 0-based half-open."""
        self.alleles = [*scans, *(["difference"] if len(scans) > 1 else [])]
        self.note = f"{place.how[:1].upper()}{place.how[1:]}. "
        if len(self.interval) > sources.trained:
            self.note += (
                f"Attention over {len(self.interval):,} bp is extrapolation: {sources.model.name} was trained on up to "
                f"{sources.trained:,} bp. "
            )
        self.note = (self.note + note.strip()).strip()

    def letters(self, allele: str) -> list[str]:
        """[token] bases of each token; of a difference, those of the alternative."""
        bases = self.scans["reference" if allele == "reference" else "alternative"].tokens.sequence
        return [bases[start:end] for start, end in self.tokens.spans.tolist()]

    @cached_property
    def elements(self) -> dict[str, np.ndarray]:
        """Bool [base] in reading direction, by the name of the element; only those that are here, and those of a person's files."""
        annotation, beds = self.sources.annotation, self.sources.beds
        here = {kind: annotation.indicator(self.interval, kind) for kind in KINDS if kind in annotation.kinds}
        here |= {name: bed.indicator(self.interval, name) for name, bed in beds.items()}
        return {name: inside for name, inside in here.items() if inside.any() or name in beds}

    def stretches(self, name: str) -> np.ndarray:
        """[stretch, 2] of an element on the genome, 0-based half-open, ascending."""
        inside = self.elements[name][:: -1 if self.interval.strand == "-" else 1].astype(np.int8)
        return self.interval.start + np.flatnonzero(np.diff(inside, prepend=0, append=0)).reshape(-1, 2)

    @cached_property
    def seen(self) -> Any:
        """What the observers of all heads see, by name."""
        model, (starts, ends) = self.sources.model, self.tokens.spans.T
        counts = (np.append(0, np.cumsum(flags)) for flags in self.elements.values())
        inside = np.array([count[ends] > count[starts] for count in counts], bool).reshape(
            -1, len(self.tokens)
        )
        return self.scans["reference"].observe(
            entropy=attention.Entropy(), distance=attention.Distance(), top=attention.TopPairs(1),
            mass=attention.MassByElement(inside), small=attention.Thumbnails(max(8, min(32, 256 // max(model.layers, model.heads)))),
        )  # fmt: skip

    @cached_property
    def scores(self) -> dict[str, tuple[np.ndarray, str]]:
        """[layer, head] and unit of each score, by name."""
        seen, share = self.seen, "share of attention"
        scores = {
            CONTRAST: (self.contrast[0] - self.contrast[1], "distance less that between shuffles"),
            "entropy": (seen.entropy.mean, "nats"),
            "distance": (seen.distance.mean, "bp"),
            "largest weight": (seen.top.weight[..., 0], share),
            "attention to special tokens": (seen.mass.special, share),
        }
        for i, name in enumerate(self.elements):
            scores[f"attention to {name.replace('_', ' ')}"] = (seen.mass.to[..., i], share)
        if (atlas := self.sources.atlas) is not None:
            scores |= {f"atlas: {name}": (atlas.grid(name), "") for name in atlas.scores}
        return scores

    @cached_property
    def contrast(self) -> tuple[np.ndarray, np.ndarray]:
        """[layer, head] how far the entropies of a head's queries here are from those in shuffled sequences, and these apart.

        Distances are Kolmogorov's and Smirnov's between two sets of entropies, 0 to 1, averaged over the shuffles, or their pairs.
        """
        model, bases = self.sources.model, self.tokens.sequence
        shuffled = [model.tokenize(sequence.shuffle(bases, k=2, seed=seed)) for seed in range(SHUFFLES)]
        seen = [attention.observe(model, tokens, entropy=attention.Entropy()) for tokens in shuffled]
        here, *there = (one.entropy.by_query[..., ~tokens.is_special]
                        for one, tokens in zip([self.seen, *seen], [self.tokens, *shuffled], strict=True))  # fmt: skip
        apart = [_distance(one, other) for one, other in combinations(there, 2)]
        return np.mean([_distance(here, one) for one in there], axis=0), np.mean(apart, axis=0)

    @property
    def telling(self) -> tuple[int, int]:
        """The head whose attention differs most from that in shuffled sequence: where a look begins."""
        layer, head = divmod(int(np.argmax(self.scores[CONTRAST][0])), self.sources.model.heads)
        return layer, head

    def weights(
        self, layer: int, head: int, query: tuple[int, int], key: tuple[int, int], allele: str = "reference"
    ) -> np.ndarray:
        """Exact weights [query, key] of a window of tokens; of "difference", alternative minus reference."""
        if allele == "difference":
            before, after = (self.weights(layer, head, query, key, one) for one in self.scans)
            return after - before
        return self.scans[allele].weights(layer, head, query, key)


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[...] largest difference of the cumulative distributions of values [..., n] and [..., m] (Kolmogorov, Smirnov)."""
    n, m = one.shape[-1], other.shape[-1]
    both = np.concatenate([one, other], -1)
    order = np.argsort(both, -1, kind="stable")
    ordered, steps = np.take_along_axis(both, order, -1), np.where(order < n, 1 / n, -1 / m)
    # Equal values are one step.
    last = np.diff(ordered, append=np.inf) != 0
    return np.where(last, np.abs(np.cumsum(steps, -1)), 0).max(-1)
