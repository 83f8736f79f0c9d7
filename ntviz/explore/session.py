"""What an explorer looks at: a place, its sequence and alleles, scores of all heads, tracks, and any part of any map."""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from ntviz import attention, sequence
from ntviz.annotation import Annotation
from ntviz.explore.places import Place, locate
from ntviz.explore.scan import Cells, Scan, reduced
from ntviz.genome import Interval
from ntviz.reference import Reference
from ntviz.tokens import Tokens

LONGEST = 12_282
"""bp at most, where a model without learned positions is read beyond what it was trained on."""
KINDS = (
    "promoter", "exon", "CDS", "enhancer", "CTCF_binding_site", "open_chromatin", "TF_binding_site", "cpg_island",
)  # fmt: skip
"""Elements of an annotation that become tracks, where it has them."""
ALLELES = ("reference", "alternative", "difference")
SHUFFLES = 4
"""Dinucleotide-shuffled sequences that heads are compared with."""
CONTRAST = "difference from shuffled sequence"


def trained_on(model: Any) -> int:
    """The length of the windows that a model was made for, in bp, whatever length it is allowed now."""
    config = getattr(getattr(model, "module", None), "config", None)
    positions = getattr(config, "max_position_embeddings", None)
    if not positions or not is_dataclass(model):
        return model.max_bp
    return min(model.max_bp, (positions - 3) * model.tokenizer.vocabulary.k)  # type: ignore[attr-defined]


def widened(model: Any) -> tuple[Any, int]:
    """The model as it can be read, and bp of the longest locus: beyond its training where its positions allow that."""
    config = getattr(getattr(model, "module", None), "config", None)
    if is_dataclass(model) and getattr(config, "position_embedding_type", "") == "rotary":
        k = model.tokenizer.vocabulary.k  # type: ignore[attr-defined]
        longest = max(LONGEST, model.max_bp)
        # Single letters around N need a token each.
        return replace(model, max_tokens=max(model.max_tokens, longest // k + 1 + 8 * k)), longest  # type: ignore[type-var]
    return model, model.max_bp


@dataclass(frozen=True)
class Sources:
    """What stays while one goes from place to place.

    Attributes
    ----------
    model
        Widened, as `widened` gives it.
    trained
        bp that the model was made for.
    longest
        bp of a locus at most.
    window
        bp around a gene's start, a variant or a short region.
    reference, annotation
        Bases and genes.
    beds
        More elements, by name, each the one of its Annotation.
    atlas
        More scores of heads; None for none.
    """

    model: Any
    trained: int
    longest: int
    window: int
    reference: Reference
    annotation: Annotation
    beds: dict[str, Annotation]
    atlas: Any = None

    def at(self, what: Any) -> Look:
        """A look at the place that a text, an interval or a variant names.

        Raises
        ------
        ValueError
            As `places.locate` says, or the bases do not agree with a variant.
        """
        place = locate(what, self.reference, self.annotation, window=self.window, longest=self.longest)
        bases = self.reference.fetch(place.interval)
        note = bases.note
        scans = {"reference": Scan(self.model, self.model.tokenize(bases.sequence))}
        if place.variant is not None:
            changed = self.model.tokenize(sequence.apply_variant(bases.sequence, place.interval, place.variant))
            if np.array_equal(changed.spans, scans["reference"].tokens.spans):
                scans["alternative"] = Scan(self.model, changed)
            else:
                note = f"{note} The alternative moves every later token, so only the reference is shown.".strip()
        return Look(self, place, bases.sequence, note, scans)


class Look:
    """One place under the eyes of one model."""

    def __init__(self, sources: Sources, place: Place, sequence: str, note: str, scans: dict[str, Scan]) -> None:
        self.sources, self.place, self.sequence, self.scans = sources, place, sequence, scans
        self._note = note

    @property
    def tokens(self) -> Tokens:
        """Of the reference sequence."""
        return self.scans["reference"].tokens

    @property
    def interval(self) -> Interval:
        """What the model reads."""
        return self.place.interval

    @property
    def alleles(self) -> list[str]:
        """What can be shown: the alternative, and the difference, where its tokens lie where the reference's do."""
        return list(ALLELES) if "alternative" in self.scans else ["reference"]

    def bases(self, allele: str) -> str:
        """The sequence of an allele; of a difference, that of the alternative."""
        return self.scans["reference" if allele == "reference" else "alternative"].tokens.sequence

    @property
    def note(self) -> str:
        """What a reader must know of this look, in words."""
        said = [self.place.how]
        trained = self.sources.trained
        if len(self.sequence) > trained:
            said.append(
                f"attention over {len(self.sequence):,} bp is extrapolation: {self.sources.model.name} was trained on up to "
                f"{trained:,} bp"
            )
        if self._note:
            said.append(self._note)
        return ". ".join(part[:1].upper() + part[1:].rstrip(".") for part in said) + "."

    # Tracks -----------------------------------------------------------------------------------------------------------

    @cached_property
    def elements(self) -> dict[str, np.ndarray]:
        """Bool [base] in reading direction, by the name of the element; only those that are here."""
        annotation, beds = self.sources.annotation, self.sources.beds
        found = {kind: annotation.indicator(self.interval, kind) for kind in KINDS if kind in annotation.kinds}
        found |= {name: bed.indicator(self.interval, name) for name, bed in beds.items()}
        return {name: inside for name, inside in found.items() if inside.any() or name in beds}

    def stretches(self, name: str) -> np.ndarray:
        """[stretch, 2] of an element on the genome, 0-based half-open, ascending."""
        inside = self.elements[name][:: -1 if self.interval.strand == "-" else 1]
        edges = np.diff(np.concatenate([[0], inside.astype(np.int8), [0]]))
        return self.interval.start + np.flatnonzero(edges).reshape(-1, 2)

    # Heads ------------------------------------------------------------------------------------------------------------

    @cached_property
    def _seen(self) -> Any:
        inside = np.zeros((len(self.elements), len(self.tokens)), dtype=bool)
        for row, flags in zip(inside, self.elements.values(), strict=True):
            count = np.concatenate([[0], np.cumsum(flags)])
            row[:] = count[self.tokens.spans[:, 1]] > count[self.tokens.spans[:, 0]]
        model = self.sources.model
        return self.scans["reference"].observe(
            entropy=attention.Entropy(), distance=attention.Distance(), top=attention.TopPairs(1),
            mass=attention.MassByElement(inside), small=attention.Thumbnails(max(8, min(32, 256 // max(model.layers, model.heads)))),
        )  # fmt: skip

    @property
    def small(self) -> np.ndarray:
        """[layer, head, query bin, key bin] largest weights: the map of each head, small."""
        return self._seen.small.maps

    @cached_property
    def scores(self) -> dict[str, tuple[np.ndarray, str]]:
        """[layer, head] and unit of each score, by name."""
        seen, share = self._seen, "share of attention"
        found = {
            CONTRAST: (self.contrast[0] - self.contrast[1], "distance less that between shuffles"),
            "entropy": (seen.entropy.mean, "nats"),
            "distance": (seen.distance.mean, "bp"),
            "largest weight": (seen.top.weight[..., 0], share),
            "attention to special tokens": (seen.mass.special, share),
        }
        for place, name in enumerate(self.elements):
            found[f"attention to {name.replace('_', ' ')}"] = (seen.mass.to[..., place], share)
        if self.sources.atlas is not None:
            found |= {f"atlas: {name}": (self.sources.atlas.grid(name), "") for name in self.sources.atlas.scores}
        return found

    @cached_property
    def contrast(self) -> tuple[np.ndarray, np.ndarray]:
        """[layer, head] how far the entropies of a head's queries here are from those in shuffled sequences, and these apart.

        Distances are Kolmogorov's and Smirnov's between the two sets of entropies, 0 to 1, averaged over the shuffles, and for
        the second over the pairs of shuffles.
        """
        model = self.sources.model
        shuffled = [model.tokenize(sequence.shuffle(self.sequence, k=2, seed=seed)) for seed in range(SHUFFLES)]
        seen = [attention.observe(model, tokens, entropy=attention.Entropy()) for tokens in shuffled]
        here, *there = (one.entropy.by_query[..., ~tokens.is_special]
                        for one, tokens in zip([self._seen, *seen], [self.tokens, *shuffled], strict=True))  # fmt: skip
        apart = [apart_by(one, other) for one, other in combinations(there, 2)]
        return np.mean([apart_by(here, one) for one in there], axis=0), np.mean(apart, axis=0)

    @cached_property
    def telling(self) -> tuple[int, int]:
        """The head whose attention differs most from that in shuffled sequence: where a look begins."""
        layer, head = np.unravel_index(int(np.argmax(self.scores[CONTRAST][0])), self.small.shape[:2])
        return int(layer), int(head)

    # Maps -------------------------------------------------------------------------------------------------------------

    def weights(
        self, layer: int, head: int, query: tuple[int, int], key: tuple[int, int], allele: str = "reference"
    ) -> np.ndarray:
        """Exact weights [query, key] of a window of tokens; of "difference", alternative minus reference."""
        if allele == "difference":
            return self.weights(layer, head, query, key, "alternative") - self.weights(layer, head, query, key)
        return self.scans[allele].weights(layer, head, query, key)

    def cells(
        self, layer: int, head: int, query: tuple[int, int], key: tuple[int, int], *, most: tuple[int, int], allele: str = "reference"
    ) -> Cells:
        """The same in at most `most` cells, each with the value farthest from zero."""
        if allele != "difference":
            return self.scans[allele].cells(layer, head, query, key, most=most)
        step = max(1, (1 << 20) // len(self.tokens))
        return reduced(lambda rows: self.weights(layer, head, rows, key, allele), query, key, most, step)


def apart_by(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[...] largest difference of the cumulative distributions of values [..., n] and [..., m] (Kolmogorov, Smirnov).

    Examples
    --------
    >>> float(apart_by(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.5, 4.5])))
    0.75
    """
    n, m = one.shape[-1], other.shape[-1]
    both = np.concatenate([one, other], -1)
    order = np.argsort(both, -1, kind="stable")
    steps = np.where(order < n, 1 / n, -1 / m)
    ordered = np.take_along_axis(both, order, -1)
    # Equal values are one step.
    last = np.concatenate([ordered[..., 1:] != ordered[..., :-1], np.ones_like(ordered[..., :1], bool)], -1)
    return np.where(last, np.abs(np.cumsum(steps, -1)), 0).max(-1)
