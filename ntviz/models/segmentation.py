"""What a model says of each base of a place: probabilities of elements, read in overlapping windows whose seams are measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import tiling
from ntviz.environment import progress
from ntviz.genome import Interval

if TYPE_CHECKING:
    import pandas as pd

ANNOTATED = {"5UTR": "five_prime_utr", "3UTR": "three_prime_utr", "protein_coding_gene": "gene"}
"""Elements that an `Annotation` calls otherwise; of genes it knows no biotype."""
_DRAWS = 200


@dataclass(frozen=True)
class Segmentation:
    """Probability of each element at each base, float32 [base, element]; elements overlap, so they do not sum to 1.

    Rows run along the sequence that was read, on the strand of the `interval` where there is one (0-based half-open). NaN is a base
    that the model does not read, such as an N for SegmentNT; `unread` counts them. `seams` has a row for each place where one window
    gives way to the next: [base, difference], 0-based in the rows, and the largest difference of both windows' probabilities there.
    """

    probabilities: np.ndarray
    elements: tuple[str, ...]
    interval: Interval | None
    model: str
    seams: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))

    def __repr__(self) -> str:
        where = "a sequence" if self.interval is None else self.interval.label()
        worst = f"; seams differ by up to {self.seams[:, 1].max():.3f}" if len(self.seams) else ""
        unread = f", {self.unread:,} not read" if self.unread else ""
        return (f"Segmentation({len(self.elements)} elements over {len(self.probabilities):,} bp of {where}{unread}{worst})")  # fmt: skip

    @property
    def unread(self) -> int:
        """Number of bases without a prediction."""
        return int(np.isnan(self.probabilities[:, 0]).sum()) if self.elements else 0

    def of(self, element: str) -> np.ndarray:
        """Probabilities of one element, float32 [base]."""
        return self.probabilities[:, self.column(element)]

    def column(self, element: str) -> int:
        """Place of an element among the columns; a ValueError names those that there are."""
        if element not in self.elements:
            raise ValueError(f"An element must be one of {', '.join(self.elements)}; received {element!r}.")
        return self.elements.index(element)

    def _kinds(self, names: dict[str, str] | None) -> list[str]:
        return [(ANNOTATED | (names or {})).get(name, name) for name in self.elements]

    def annotated(self, annotation: Any, names: dict[str, str] | None = None) -> np.ndarray:
        """Where an annotation has each element, bool [base, element], along the rows; nowhere for those that it does not know.

        `names` maps elements to the annotation's kinds, over what `ANNOTATED` says.
        """
        if self.interval is None:
            raise ValueError("An annotation needs coordinates: segment an Interval of a reference.")
        # Without a strand: the model's elements have none.
        place = Interval(self.interval.chrom, self.interval.start, self.interval.end)
        truth = np.zeros((len(place), len(self.elements)), dtype=bool)
        for column, kind in enumerate(self._kinds(names)):
            if kind in annotation.kinds:
                truth[:, column] = annotation.indicator(place, kind)
        return truth[::-1] if self.interval.strand == "-" else truth

    def against(
        self, annotation: Any, *, cut: float = 0.5, draws: int = _DRAWS, seed: int = 0, names: dict[str, str] | None = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Matthews correlation of each element with an annotation of the place, beside turned copies of the annotation.

        One row an element that the annotation has: [element, annotated, bases, predicted, mcc, chance, p]: bases that are annotated and
        predicted (probability of `cut` and more), the 95 % point of `draws` copies turned around in the window, and the share of
        copies that reach it. `names` maps elements to the annotation's kinds, over what `ANNOTATED` says.
        """
        import pandas as pd

        from ntviz.statistics import mcc

        known, read = self.annotated(annotation, names), ~np.isnan(self.probabilities[:, 0])
        rng, rows, n = np.random.default_rng(seed), [], int(read.sum())
        turns = rng.integers(1, max(n, 2), draws)
        for element, kind, truth in zip(self.elements, self._kinds(names), known[read].T, strict=True):
            if kind not in annotation.kinds:
                continue
            called = self.of(element)[read] >= cut
            copies = np.stack([truth, *(np.roll(truth, turn) for turn in turns)])
            both = (copies & called).sum(1)
            parts = (n - called.sum() - truth.sum() + both, called.sum() - both, truth.sum() - both, both)
            tables = np.stack(parts, axis=1).reshape(-1, 2, 2)
            value, *null = mcc(tables)
            # Without a base that is annotated, or predicted, nothing can be said.
            p = np.nan if np.isnan(value) else (1 + int((np.array(null) >= value).sum())) / (1 + draws)
            rows.append((element, kind, int(truth.sum()), int(called.sum()), value, float(np.quantile(null, 0.95)), p))
        return pd.DataFrame(rows, columns=["element", "annotated", "bases", "predicted", "mcc", "chance", "p"])


def tiled(
    read: Callable[[str], np.ndarray], what: Any, reference: Any, *, tile: int, margin: int, overlap: int | None,
    elements: tuple[str, ...], model: str, takes_n: bool, step: int = 1,
    grid: int = 1,
) -> Segmentation:  # fmt: skip
    """A `Segmentation` of a sequence or an interval, window after window.

    `read` gives [base, element] of a window of `tile` bp, but for `margin` bp at each end, which are context. Neighbouring windows
    overlap by `overlap` bp, and the middle of it is where one gives way to the next. A model that takes no N reads the runs
    between them, in windows of a multiple of `step` bp that begin whole tokens of `grid` bp behind the start of a run.
    """
    width = tile - 2 * margin
    overlap = width // 8 if overlap is None else overlap
    if not 0 <= overlap < width:
        raise ValueError(f"overlap must be 0 to {width - 1:,} bp, less than what a window predicts; got {overlap:,}.")
    interval, bases, lead = tiling.bases_of(what, reference, margin + overlap // 2)
    n = len(bases) - 2 * lead
    values, seams, every = np.full((n, len(elements)), np.nan, np.float32), [], []
    for run in [tiling.Stretch(lead, lead + n)] if takes_n else tiling.runs(bases):
        size = width if takes_n else min(width, (run.end - run.start) // step * step)
        if size:
            every.append((run, size, tiling.tiles(run, size, min(overlap, size - max(size // 2, 1)), grid)))
    with progress(total=sum(len(run[2]) for run in every), what=f"segmenting with {model}", unit="windows") as bar:
        for run, size, tiles in every:
            before, earlier = np.zeros((0, len(elements)), np.float32), 0
            for tile in tiles:
                # A last window is moved to be a whole one; then it is off the grid.
                start = max(run.start, min(tile.start, run.end - size))
                whole = start - margin, start + size + margin
                found = read(_padded(bases, *whole) if takes_n else bases[start : start + size])
                if len(before) and lead <= tile.first < lead + n:
                    a, b = (of[tile.first - at - 1 :][:2] for of, at in ((found, start), (before, earlier)))
                    shared = min(len(a), len(b))
                    seams.append((tile.first - lead, float(np.abs(a[:shared] - b[:shared]).max())))
                low, high = max(tile.first, lead), min(tile.last, start + size, lead + n)
                if high > low:
                    values[low - lead : high - lead] = found[low - start : high - start]
                before, earlier = found, start
                bar.update(1)
    if n and np.isnan(values).all():
        raise ValueError(
            f"{model} reads runs of at least {step} bp without N; the {n:,} bp have none. Take a longer or another place."
        )
    return Segmentation(values, elements, interval, model, np.array(seams, float).reshape(-1, 2))


def _padded(bases: str, start: int, end: int) -> str:
    """Bases of a range that may reach beyond both ends, where N stand."""
    inside = bases[max(start, 0) : max(end, 0)]
    return ("N" * max(0, -start) + inside).ljust(end - start, "N")


def splice_sites(networks: Any, interval: Interval, reference: Any) -> Segmentation:
    """What splice networks say of both strands of an interval, as elements of an annotation: first and last two bases of introns.

    A donor's probability, which they give the last base of an exon, stands at the two bases behind it, an acceptor's at the two
    before the first base of an exon.
    """
    place = Interval(interval.chrom, interval.start, interval.end)
    bases = reference.fetch(place.expand(networks.context + 2)).sequence
    values = np.zeros((len(place), 2), np.float32)
    for strand, along in (("+", 1), ("-", -1)):
        # [base, acceptor and donor] of the place and two bases on each side, in the order of the genome.
        sites = networks.predict(bases, strand=strand).probabilities[0, :, 1:]
        for column, which, moves in ((0, 1, (1, 2)), (1, 0, (-1, -2))):
            for move in moves:
                values[:, column] = np.maximum(values[:, column], np.roll(sites[:, which], along * move)[2:-2])
    return Segmentation(values, ("splice_donor", "splice_acceptor"), place, networks.name)


def effect(
    model: Any, variant: Any, reference: Any, *, around: int = 1_000, elements: Sequence[str] = (), **options: Any
) -> pd.DataFrame:
    """How a variant changes the probabilities of elements within `around` bp: the largest gain and loss of each.

    One row an element: [element, gain, gain_at, loss, loss_at]; places are 1-based, on the reference. Both alleles are read in windows
    of the same start, so that a substitution keeps the frame of 6-mers; of an indel the bases behind it move with the allele.
    """
    import pandas as pd

    from ntviz.genome import sequence as dna

    wide = variant.interval.expand(2 * around)
    bases = reference.fetch(wide).sequence
    changed = dna.apply_variant(bases, wide, variant)
    ours, theirs = (model.segment(text, **options) for text in (bases, changed))
    known = list(elements) or list(ours.elements)
    at, moved = variant.start - wide.start, len(variant.alt) - len(variant.ref)
    kept = min(len(variant.ref), len(variant.alt))
    # Rows of both alleles that stand for one base of the reference.
    rows = np.r_[around : at + kept, at + len(variant.ref) : len(bases) - around]
    other = np.where(rows < at + kept, rows, rows + moved)
    columns = [ours.column(name) for name in known]
    difference = theirs.probabilities[other][:, columns] - ours.probabilities[rows][:, columns]
    table = []
    for column, name in enumerate(known):
        high, low = int(np.nanargmax(difference[:, column])), int(np.nanargmin(difference[:, column]))
        places = [wide.start + int(rows[index]) + 1 for index in (high, low)]
        table.append((name, float(difference[high, column]), places[0], float(difference[low, column]), places[1]))
    return pd.DataFrame(table, columns=["element", "gain", "gain_at", "loss", "loss_at"])
