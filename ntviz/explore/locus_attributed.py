"""What each base contributes to a number that the model gives, as a component of a locus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import attribution, plot
from ntviz import sequence as dna
from ntviz.explore.locus_component import base_table, per_base
from ntviz.explore.locus_modelled import SHUFFLED, Run, Windows
from ntviz.genome import Interval, Variant, browser_contig
from ntviz.plot.tracks import Track
from ntviz.plot.words import number
from ntviz.reference import Reference

if TYPE_CHECKING:
    import pandas as pd

METHODS = ("integrated_gradients", "gradient_times_input")


class Attributed:
    """Contributions of bases to a target, mean of both strands; the same of shuffled bases beneath.

    Parameters
    ----------
    model, reference
        A model that can be differentiated, and the bases.
    target
        A base of the genome as text (chr20:43,042,364, 1-based) or Interval: the log probability of the reference's base
        there. A variant, as text or `Variant`: that of the alternative less that of the reference. Anything else that
        `attribution` takes and that has no place of its own, such as `attribution.Direction`: each window is then explained
        by itself.
    method
        One of `METHODS`.
    window
        bp read at a time; for a target with a place, the bp around it.

    Raises
    ------
    ValueError
        The target is no such thing, its REF is not the reference's, or there is no such method.
    """

    name = "attribution"

    def __init__(
        self,
        model: Any,
        reference: Reference,
        target: Any,
        *,
        method: str = "integrated_gradients",
        window: int = 600,
        longest: int = 3_000,
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"attribution must be one of {', '.join(METHODS)}; received {method!r}. Choose one.")
        self.windows, self.method, self.longest = Windows(model, reference, window), method, longest
        self.place: Interval | None = None
        if isinstance(target, str):
            target = _parsed(target)
        if isinstance(target, attribution.BaseProbability):
            raise ValueError(
                "The target of a locus must be a place of the genome; received BaseProbability, whose position is one of a "
                "sequence. Pass the base (chr20:43,042,364) or the variant (chr20:43,042,364 C>T)."
            )
        if isinstance(target, Variant) and not target.is_snv:
            raise ValueError(f"A target must be a substitution of one base; received {target}. Take another.")
        if isinstance(target, Interval) and len(target) != 1:
            raise ValueError(f"A target must be one base; received {target.label()}, {len(target):,} bp. Take one of them.")
        self.target, self.said = target, f"{type(target).__name__} of each window"
        if isinstance(target, Variant | Interval):
            self.place = Interval(browser_contig(target.chrom), target.start, target.end)
            there = reference.fetch(self.place).sequence
            wanted, against = (target.alt, target.ref) if isinstance(target, Variant) else (there, None)
            if there not in tuple("ACGT") or against not in (None, there):
                raise ValueError(
                    f"The target's REF must be the reference's base, one of A, C, G, T; received {against or 'a place'}, and "
                    f"{self.place.label()} has {there}. Check the position, and the assembly."
                )
            self._bases = wanted, against
            said = f"{wanted} at {self.place.start + 1:,}"
            self.said = f"log P({said})" + (f" − log P({against})" if against else "")

    def pieces(self, view: Interval) -> list[Interval]:
        if self.place is None:
            return self.windows.pieces(view)
        # One window, around the place and on whole tokens.
        windows, whole = self.windows, self.windows.reference.whole(self.place.chrom)
        start = (self.place.start - windows.window // 2) // windows.k * windows.k
        start = max(0, min(start, (len(whole) - windows.window) // windows.k * windows.k))
        piece = Interval(self.place.chrom, start, min(start + windows.window, len(whole)))
        return [piece] if piece.overlaps(view) else []

    def compute(self, piece: Interval) -> pd.DataFrame:
        text = self.windows.reference.fetch(piece).sequence
        bases = {"base": list(text), "shuffled_base": ["N"] * len(text)}
        if self.place is None:
            parts = list(self.windows.runs(piece))
        else:
            parts = [Run(text, piece.start, slice(None), slice(None))]
        values = {name: np.full(len(piece), np.nan) for name in ("attribution", "shuffled")}
        errors = []
        for run in parts:
            shuffled = dna.shuffle(run.letters, k=2, seed=run.start)
            bases["shuffled_base"][run.of_piece] = list(shuffled[run.own])
            for name, sequence in zip(values, (run.letters, shuffled), strict=True):
                made = self._attribute(sequence, run.start)
                values[name][run.of_piece] = made.per_base()[run.own]
                errors += [made.error] if name == "attribution" else []
        return base_table(piece, {**bases, **values, "error": max(errors, default=float("nan"))})

    def _attribute(self, sequence: str, start: int) -> Any:
        target = self.target
        if self.place is not None:
            target = attribution.BaseProbability(self.place.start - start, *self._bases)
        return getattr(attribution, self.method)(self.windows.model, sequence, target, both_strands=True)

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        real, control = (per_base(table, name, view) for name in ("attribution", "shuffled"))
        error = float(table["error"].max()) if len(table) else float("nan")
        kind = self.method.replace("_", " ").replace(" times ", " × ")
        said = f"{self.said}; {kind}" + (f", error {number(100 * error)} %" if np.isfinite(error) else "")
        return [
            plot.contribution_track(
                real, _text(table, "base", view), label="Attribution", unit="nats" if self.place else "projection",
                control=control, control_sequence=_text(table, "shuffled_base", view), control_label=SHUFFLED, over=view,
                note=said, height=72,
            )
        ]  # fmt: skip


def _text(table: pd.DataFrame, column: str, view: Interval) -> str:
    """Letters of a view in its reading direction, N where the table has none."""
    letters = np.full(len(view), "N")
    at = table["start"].to_numpy() - view.start
    inside = (at >= 0) & (at < len(view))
    letters[at[inside]] = table[column].to_numpy(str)[inside]
    text = "".join(letters)
    return dna.reverse_complement(text) if view.strand == "-" else text


def _parsed(text: str) -> Interval | Variant:
    """A variant, or one base."""
    try:
        return Variant.from_str(text)
    except ValueError:
        return Interval.from_str(text)
