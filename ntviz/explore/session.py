"""What an explorer looks at: a place, its sequence and alleles, scores of all heads, tracks, and any part of any map."""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ntviz import attention
from ntviz.annotation import Annotation
from ntviz.explore.places import Place, locate
from ntviz.explore.scan import Cells, Scan, reduced
from ntviz.genome import Interval
from ntviz.reference import Reference
from ntviz.sequence import apply_variant
from ntviz.tokens import Tokens

LONGEST = 12_282
"""bp at most, where a model without learned positions is read beyond what it was trained on."""
KINDS = (
    "promoter", "exon", "CDS", "enhancer", "CTCF_binding_site", "open_chromatin", "TF_binding_site", "cpg_island",
)  # fmt: skip
"""Elements of an annotation that become tracks, where it has them."""
ALLELES = ("reference", "alternative", "difference")


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
        More elements, by name.
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
            changed = self.model.tokenize(apply_variant(bases.sequence, place.interval, place.variant))
            if np.array_equal(changed.spans, scans["reference"].tokens.spans):
                scans["alternative"] = Scan(self.model, changed)
            else:
                note = (
                    f"{note} The alternative moves every later word, so only the reference is shown.".strip()
                )
        return Look(self, place, bases.sequence, note, scans)


class Look:
    """One place under the eyes of one model."""

    def __init__(
        self, sources: Sources, place: Place, sequence: str, note: str, scans: dict[str, Scan]
    ) -> None:
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
        annotation = self.sources.annotation
        found = {
            kind: annotation.indicator(self.interval, kind) for kind in KINDS if kind in annotation.kinds
        }
        for name, bed in self.sources.beds.items():
            inside = np.zeros(len(self.sequence), dtype=bool)
            for kind in bed.table["element"].unique():
                inside |= bed.indicator(self.interval, str(kind))
            found[name] = inside
        return {name: inside for name, inside in found.items() if inside.any() or name in self.sources.beds}

    def stretches(self, name: str) -> list[list[int]]:
        """[start, end] of an element in bp within the sequence, in reading direction."""
        inside = np.concatenate([[0], self.elements[name].astype(np.int8), [0]])
        return np.flatnonzero(np.diff(inside)).reshape(-1, 2).tolist()

    def genes(self) -> list[dict[str, Any]]:
        """Transcripts in reading direction: name, start, end, exons in bp within the sequence, and whether forward."""
        rows = []
        for row in self.sources.annotation.genes(self.interval).itertuples():
            body, *exons = (self._within(*part) for part in ((row.start, row.end), *row.exons))
            if body is not None:
                forward = (row.strand != "-") == (self.interval.strand != "-")
                rows.append(
                    {
                        "name": str(row.gene),
                        "body": body,
                        "exons": [e for e in exons if e],
                        "forward": forward,
                    }
                )
        return rows

    def _within(self, start: int, end: int) -> list[int] | None:
        start, end = max(start, self.interval.start), min(end, self.interval.end)
        if start >= end:
            return None
        if self.interval.strand == "-":
            return [self.interval.end - end, self.interval.end - start]
        return [start - self.interval.start, end - self.interval.start]

    # Heads ------------------------------------------------------------------------------------------------------------

    @cached_property
    def scores(self) -> dict[str, tuple[np.ndarray, str]]:
        """[layer, head] and unit of each score, by name."""
        spans, special = self.tokens.spans, self.tokens.is_special
        inside = np.stack([_any(flags, spans) for flags in self.elements.values()]) if self.elements else np.zeros((0, len(special)), bool)  # fmt: skip
        seen = self.scans["reference"].observe(
            entropy=attention.Entropy(), distance=attention.Distance(), top=attention.TopPairs(1), mass=attention.MassByElement(inside)
        )  # fmt: skip
        found = {
            "entropy": (seen.entropy.mean, "nats"),
            "distance": (seen.distance.mean, "bp"),
            "largest weight": (seen.top.weight[..., 0], "share of attention"),
            "attention to <cls>": (seen.mass.special, "share of attention"),
        }
        for place, name in enumerate(self.elements):
            found[f"attention to {name.replace('_', ' ')}"] = (seen.mass.to[..., place], "share of attention")
        if self.sources.atlas is not None:
            for name in self.sources.atlas.scores:
                found.setdefault(f"atlas: {name}", (self.sources.atlas.grid(name), ""))
        return found

    @cached_property
    def evenest(self) -> tuple[int, int]:
        """The head whose attention is least even here, where a look begins."""
        entropy = self.scores["entropy"][0]
        layer, head = np.unravel_index(int(np.argmin(entropy)), entropy.shape)
        return int(layer), int(head)

    # Maps -------------------------------------------------------------------------------------------------------------

    def weights(
        self, layer: int, head: int, query: tuple[int, int], key: tuple[int, int], allele: str = "reference"
    ) -> np.ndarray:
        """Exact weights [query, key] of a window of tokens; of "difference", alternative minus reference."""
        if allele == "difference":
            return self.weights(layer, head, query, key, "alternative") - self.weights(
                layer, head, query, key
            )
        return self.scans[allele].weights(layer, head, query, key)

    def cells(
        self,
        layer: int,
        head: int,
        query: tuple[int, int],
        key: tuple[int, int],
        *,
        most: tuple[int, int],
        allele: str = "reference",
    ) -> Cells:
        """The same in at most `most` cells, each with the value farthest from zero."""
        if allele != "difference":
            return self.scans[allele].cells(layer, head, query, key, most=most)
        step = max(1, (1 << 20) // len(self.tokens))
        return reduced(lambda rows: self.weights(layer, head, rows, key, allele), query, key, most, step)

    def profile(
        self, layer: int, head: int, token: int, allele: str = "reference"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where a token looks and what looks at it, [token] each."""
        if allele != "difference":
            return self.scans[allele].profile(layer, head, token)
        here, there = (self.scans[name].profile(layer, head, token) for name in ALLELES[:2])
        return there[0] - here[0], there[1] - here[1]


def _any(inside: np.ndarray, spans: np.ndarray) -> np.ndarray:
    count = np.concatenate([[0], np.cumsum(inside)])
    return count[spans[:, 1]] > count[spans[:, 0]]
