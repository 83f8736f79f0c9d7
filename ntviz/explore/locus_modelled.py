"""Components of a locus that a model computes, each with its control: a base has the same numbers in every view."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ntviz import attention, attribution, landscape, plot
from ntviz.attention.blocks import tokens_of
from ntviz.explore.locus_component import base_table, per_base, text_of, tiles
from ntviz.genome import Interval, Variant, browser_contig
from ntviz.genome import sequence as dna
from ntviz.masking import Reader, Reading
from ntviz.models.protocol import SPLICE_CLASSES
from ntviz.plot.tracks import Track
from ntviz.plot.words import number, plain
from ntviz.reference import Reference
from ntviz.tiling import runs, whole_tokens
from ntviz.tokens import Vocabulary
from ntviz.variants.windows import Contig

SHUFFLED = "shuffled sequence, dinucleotides kept"
COMPOSITION = "shares of the bases of the window"
METHODS = ("integrated_gradients", "gradient_times_input")


def _batch_tokens(model: Any) -> int:
    # On a CPU more leave its cache: 20 % slower.
    return 2_048 if str(model.info.get("device", "cpu")) == "cpu" else 16_384


class Run(NamedTuple):
    """Bases without N that a model reads at once: where they begin, and which of a piece and of themselves they answer for."""

    letters: str
    start: int
    of_piece: slice
    own: slice

    def shuffled(self) -> str:
        return dna.shuffle(self.letters, k=2, seed=self.start)


class Windows:
    """How a model reads a contig: windows of so many bp that overlap, of which each answers for its middle, the core."""

    usual = 1_536
    cores: float = 1  # of a piece, or which part of one it is

    def __init__(self, model: Any, reference: Reference, window: int | None = None) -> None:
        self.model, self.reference, self.asked = model, reference, window or self.usual

    @cached_property
    def k(self) -> int:
        """Bases of a token; 1 where tokens have many lengths."""
        return int(getattr(self.model.tokenize("A").vocabulary, "k", 1))

    @cached_property
    def window(self) -> int:
        """Length in bp of what is read at a time, in whole tokens; ValueError if these are fewer than four."""
        chosen = min(self.asked, self.model.max_bp) // self.k * self.k
        if chosen < 4 * self.k:
            got = f"{self.asked} bp, and {self.model.name} reads {self.model.max_bp:,} at most. Pass a longer window"
            raise ValueError(f"A window must have 4 tokens, {4 * self.k} bp, or more; received {got}.")
        return chosen

    @cached_property
    def flank(self) -> int:
        """Length in bp of what is read at either end of a window and not answered for."""
        return self.window // 4 // self.k * self.k

    def pieces(self, view: Interval) -> list[Interval]:
        size = max(int((self.window - 2 * self.flank) * self.cores) // self.k, 1) * self.k
        return tiles(view, size, self.reference.whole(view.chrom).end)

    def runs(self, piece: Interval) -> Iterator[Run]:
        """What is read for a piece of one core: its window without N, in whole tokens."""
        start, end = max(piece.start - self.flank, 0), piece.end + self.flank
        end = min(end, self.reference.whole(piece.chrom).end)
        text = self.reference.fetch(Interval(piece.chrom, start, end)).sequence
        for run in runs(text, start):
            first, last = whole_tokens(run, self.k, 0)
            low, high = max(first, piece.start), min(last, piece.end)
            if low < high:
                own, of_piece = (slice(low - at, high - at) for at in (first, piece.start))
                yield Run(text[first - start : last - start], first, of_piece, own)


def _controlled(table: pd.DataFrame, view: Interval, names: tuple[str, str], **options: Any) -> Track:
    """A track of a column, and of another as its control."""
    real, control = (per_base(table, name, view) for name in names)
    return plot.signal_track(real, control=control, height=64, **options)


class _Shuffled(Contig):
    """The bases around a piece in another order with the same dinucleotides, run by run between N; N elsewhere."""

    def __init__(self, reference: Reference, piece: Interval, reach: int) -> None:
        super().__init__(reference, piece.chrom)
        self._from = max(piece.start - reach, 0)
        self._text = dna.shuffle(super().bases(self._from, piece.end + reach), k=2, seed=self._from)

    def bases(self, start: int, end: int) -> str:
        start, end = max(start, 0), min(end, self.length)
        inside = self._text[max(start - self._from, 0) : max(end - self._from, 0)]
        return ("N" * (self._from - start) + inside)[: end - start].ljust(end - start, "N")


class Hiding(Windows):
    """Tokens hidden one at a time, each in the middle of a window of its own, on both strands; read once for two components.

    The numbers are those of `variants.saturation`, and of `landscape.expectation.masked` for the middle token of each window.
    """

    # What is read beyond the view is little.
    usual, cores = 600, 0.5

    def __init__(self, model: Any, reference: Reference, window: int | None = None) -> None:
        super().__init__(model, reference, window)
        self.read = lru_cache(256)(self._read)

    def _read(self, piece: Interval, shuffled: bool) -> np.ndarray:
        """Of a piece, or of its bases shuffled, [3, base, 4] of A, C, G, T, NaN at and beside N.

        Probabilities and log-likelihood ratios (nats) against the base read, means of both strands; shares of bases in the window, plus one.
        """
        model, k = self.model, self.k
        vocabulary = model.tokenize("A").vocabulary
        if not isinstance(vocabulary, Vocabulary):
            raise ValueError(f"This is for models over k-mers; {model.name} has tokens of many lengths.")
        contig = _Shuffled(self.reference, piece, self.window) if shuffled else Contig(self.reference, piece.chrom)
        reader = Reader(model, 0, _batch_tokens(model))
        probabilities, ratios, shares = found = np.full((3, len(piece), 4), np.nan)
        work: list[tuple[Reading, slice, slice]] = []
        for first in range(piece.start // k * k, piece.end, k):
            # Bases left over at the end of a contig are read in a token that ends there; as many tokens on either side.
            at = min(first, contig.length - k)
            window = contig.window(at, k, (self.window // k - 1) // 2 * 2 + 1)
            if window is not None:
                low, high = max(first, piece.start), min(first + k, piece.end)
                inside, own = slice(low - piece.start, high - piece.start), slice(low - at, high - at)
                counts = np.bincount(dna.codes(window.bases), minlength=4) + 1
                found[:2, inside], shares[inside] = 0, counts / counts.sum()
                token = (at - window.start) // k
                work += [(Reading(window.bases, reverse, (token,)), inside, own) for reverse in (False, True)]
        answers = reader.masked([reading for reading, *_ in work])
        for (reading, logits), (_, inside, own) in zip(answers, work, strict=True):
            probabilities[inside] += reader.base_probs(reading, logits)[0, own] / 2
            ratios[inside] += _ratios(reader, reading, logits[0])[own] / 2
        return found


def _ratios(reader: Reader, reading: Reading, logits: np.ndarray) -> np.ndarray:
    """[base, 4] log p of the hidden token with a base exchanged less that of the token as it is, in nats."""
    k, (token,) = reader.k, reading.masked
    text = reading.sequence[token * k : token * k + k]
    kmers = [text[:at] + base + text[at + 1 :] for at in range(k) for base in "ACGT"]
    scores = logits[[reader.kmer(kmer, reading.reverse) for kmer in [*kmers, text]]].astype(np.float64)
    return (scores[:-1] - scores[-1]).reshape(k, 4)


class _OfHiding:
    longest = 3_000

    def __init__(self, hiding: Hiding) -> None:
        self.hiding, self.pieces = hiding, hiding.pieces


class Expected(_OfHiding):
    """Bases that the model expects, each hidden with its token, as a logo; the model on shuffled bases as control."""

    name = "expected bases"

    def compute(self, piece: Interval) -> pd.DataFrame:
        both = {"": self.hiding.read(piece, False), "shuffled_": self.hiding.read(piece, True)}
        return base_table(piece, {name + base: made[0, :, i] for name, made in both.items() for i, base in enumerate("ACGT")})  # fmt: skip

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        # On the strand "-" the complement counts.
        order = "TGCA" if view.strand == "-" else "ACGT"
        real, control = (per_base(table, [name + base for base in order], view) for name in ("", "shuffled_"))
        return [plot.logo_track(real, label="Expected bases", control=control, control_label=SHUFFLED)]


class Saturated(_OfHiding):
    """Mean and lowest log-likelihood ratio (nats) of the substitutions of each base; what shares of bases alone say as control."""

    name = "saturation"

    def compute(self, piece: Interval) -> pd.DataFrame:
        _, ratios, shares = self.hiding.read(piece, False)
        own = dna.codes(self.hiding.reference.fetch(piece).sequence)[:, None] == np.arange(4)
        alone = np.log(shares) - np.where(own, np.log(shares), 0).sum(axis=1, keepdims=True)
        columns: dict[str, np.ndarray] = {}
        for name, effects in (("", ratios), ("composition_", alone)):
            # The effect of the base itself is 0.
            columns[name.rstrip("_") or "mean"] = effects.sum(axis=1) / 3
            columns[f"{name}lowest"] = np.where(own, np.inf, effects).min(axis=1)
        return base_table(piece, columns)

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        note = "of three a base; below 0: less likely than the reference's"
        return [
            _controlled(table, view, names, label=f"Effect of substitutions, {names[0]}", unit="nats", control_label=COMPOSITION,
                        diverging=True, note=note)
            for names in (("mean", "composition"), ("lowest", "composition_lowest"))
        ]  # fmt: skip


class Probability(Windows):
    """Probability of the reference's base, some tokens hidden at once; that of its share in the window as control."""

    name, longest, share = "probability", 100_000, 0.15

    def compute(self, piece: Interval) -> pd.DataFrame:
        if not self.reference.fetch(piece).sequence.strip("N"):
            return base_table(piece, dict.fromkeys(("probability", "entropy", "composition"), np.nan))
        made = landscape.reconstruct(
            self.model, self.reference, piece, share=self.share, window=self.window, flank=self.flank,
            batch_tokens=_batch_tokens(self.model), what=None,
        )  # fmt: skip
        return base_table(piece, {"probability": made.probability, "entropy": made.entropy, **made.controls})

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        return [_controlled(table, view, ("probability", "composition"), label="Probability of the reference base", unit="probability",
                            control_label=COMPOSITION, note=f"{self.share:.0%} of tokens hidden at once")]  # fmt: skip


class Received(Windows):
    """Attention that each base receives in a head, or in all, against an even share; in shuffled bases as control."""

    name, longest = "attention", 5_000

    def __init__(self, model: Any, reference: Reference, window: int | None = None, head: Any = None) -> None:
        super().__init__(model, reference, window)
        self.head = head

    def compute(self, piece: Interval) -> pd.DataFrame:
        found = {name: np.full(len(piece), np.nan) for name in ("received", "shuffled")}
        for run in self.runs(piece):
            for values, letters in zip(found.values(), (run.letters, run.shuffled()), strict=True):
                values[run.of_piece] = self._received(letters)[run.own]
        return base_table(piece, found)

    def _received(self, letters: str) -> np.ndarray:
        """[base] attention received, 1 where all is shared evenly among the bases."""
        tokens = tokens_of(self.model, letters)
        by_base = attention.observe(self.model, tokens, all=attention.Received()).all.by_base(tokens)
        one = by_base.mean(axis=(0, 1)) if self.head is None else by_base[self.head]
        return one * len(letters) / int((~np.asarray(tokens.is_special)).sum())

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        which = "mean of all heads" if self.head is None else f"layer {self.head[0]}, head {self.head[1]}"
        return [_controlled(table, view, ("received", "shuffled"), label="Attention received", unit="× even", control_label=SHUFFLED,
                            note=f"{which}; 1 is an even share")]  # fmt: skip


class Attributed(Windows):
    """Contributions of bases to a target, mean of both strands; the same of shuffled bases beneath.

    The target is a base of the genome as text (chr20:43,042,364, 1-based) or Interval: the log probability of the reference's
    base there. Or a variant, as text or `Variant`: that of the alternative less that of the reference. Or anything else that
    `attribution` takes and that has no place of its own, such as `attribution.Direction`: each window is then explained by itself.
    """

    name, longest, usual = "attribution", 3_000, 600

    def __init__(self, model: Any, reference: Reference, window: int | None, target: Any, method: str = METHODS[0]) -> None:  # fmt: skip
        super().__init__(model, reference, window)
        if isinstance(target, str):
            try:
                target = Variant.from_str(target)
            except ValueError:
                target = Interval.from_str(target)
        if method not in METHODS:
            raise ValueError(f"attribution must be one of {', '.join(METHODS)}; received {method!r}.")
        self.target, self.method, self.said = target, method, f"{type(target).__name__} of each window"
        self.place: Interval | None = None
        known, what = not isinstance(target, attribution.BaseProbability), plain(target)
        if isinstance(target, Variant | Interval):
            self.place = Interval(browser_contig(target.chrom), target.start, target.end)
            there = reference.fetch(self.place).sequence
            wanted, against = (target.alt, target.ref) if isinstance(target, Variant) else (there, None)
            self._bases = wanted, against
            self.said = f"log P({wanted} at {target.end:,})" + (f" − log P({against})" if against else "")
            known = {there, wanted} <= set("ACGT") and against in (None, there)
            what += f", and {self.place.label()} has {plain(there)}"
        if not known:
            raise ValueError("A target must be one base of the reference, A, C, G or T (chr20:43,042,364), or its substitution "
                             f"(chr20:43,042,364 C>T); received {what}. Check the position, and the assembly.")  # fmt: skip

    def pieces(self, view: Interval) -> list[Interval]:
        if self.place is None:
            return super().pieces(view)
        # One window, around the place and on whole tokens.
        end = self.reference.whole(self.place.chrom).end
        start = min(self.place.start - self.window // 2, end - self.window) // self.k * self.k
        piece = Interval(self.place.chrom, max(start, 0), min(max(start, 0) + self.window, end))
        return [piece] if piece.overlaps(view) else []

    def compute(self, piece: Interval) -> pd.DataFrame:
        text = self.reference.fetch(piece).sequence
        real, null, error = np.full(len(text), np.nan), np.full(len(text), np.nan), np.nan
        shuffled = np.full(len(text), "N")
        whole = Run(text, piece.start, slice(None), slice(None))
        for run in self.runs(piece) if self.place is None else [whole]:
            control = run.shuffled()
            made = self._attribute(run.letters, run.start)
            real[run.of_piece], error = made.per_base()[run.own], np.fmax(error, made.error)
            null[run.of_piece] = self._attribute(control, run.start).per_base()[run.own]
            shuffled[run.of_piece] = list(control)[run.own]
        columns = {"base": list(text), "shuffled_base": shuffled, "attribution": real, "shuffled": null}
        return base_table(piece, {**columns, "error": error})

    def _attribute(self, letters: str, start: int) -> attribution.Attribution:
        target = self.target
        if self.place is not None:
            target = attribution.BaseProbability(self.place.start - start, *self._bases)
        return getattr(attribution, self.method)(self.model, letters, target, both_strands=True)

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        real, control = (per_base(table, name, view) for name in ("attribution", "shuffled"))
        letters, shuffled = (text_of(table, name, view) for name in ("base", "shuffled_base"))
        error, kind = float(table["error"].max()), self.method.replace("_", " ").replace(" times ", " × ")
        note = f"{self.said}; {kind}" + (f", error {number(100 * error)} %" if np.isfinite(error) else "")
        return [plot.contribution_track(real, letters, label="Attribution", unit="nats" if self.place else "projection", control=control,
                                        control_sequence=shuffled, control_label=SHUFFLED, note=note, height=72)]  # fmt: skip


class Splicing:
    """Probability of splice sites, on both strands; in shuffled bases as control."""

    name, longest = "splice sites", 20_000

    def __init__(self, model: Any, reference: Reference) -> None:
        self.model, self.reference = model, reference

    def pieces(self, view: Interval) -> list[Interval]:
        return tiles(view, 3_000, self.reference.whole(view.chrom).end)

    def compute(self, piece: Interval) -> pd.DataFrame:
        columns: dict[str, np.ndarray] = {}
        start, end = piece.start - self.model.context, piece.end + self.model.context
        contigs = Contig(self.reference, piece.chrom), _Shuffled(self.reference, piece, self.model.context)
        for name, contig in zip(("", "shuffled_"), contigs, strict=True):
            # What lies beyond the contig is N.
            text = ("N" * max(-start, 0) + contig.bases(start, end)).ljust(end - start, "N")
            bases = dna.one_hot(text).T[None]
            both = self.model.probabilities(bases)[0], self.model.probabilities(bases[:, ::-1, ::-1])[0, ::-1]
            for strand, values in zip("+-", both, strict=True):
                columns |= {f"{name}{kind}{strand}": values[:, i] for i, kind in enumerate(SPLICE_CLASSES)}
        return base_table(piece, columns)

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        own, other = "-+" if view.strand == "-" else "+-"
        real, reverse, control = (
            per_base(table, [f"{name}{kind}{strand}" for kind in SPLICE_CLASSES], view)
            for name, strand in (("", own), ("", other), ("shuffled_", own))
        )
        return [plot.splice_track(real, reverse=reverse, control=control, control_label=SHUFFLED, note=self.model.name)]
