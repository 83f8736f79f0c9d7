"""Components of a locus that a model computes, each with its control.

Pieces are anchored at the start of the contig, and each is read with the same flanks whichever view asks for it: a base
has the same numbers in every view.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntviz import landscape, plot
from ntviz import sequence as dna
from ntviz.explore.locus_component import base_table, per_base, tiles
from ntviz.genome import Interval
from ntviz.landscape.tiling import Tiling, runs, whole_tokens
from ntviz.plot.tracks import Track
from ntviz.reference import Reference
from ntviz.tokens import Vocabulary, kmer_base_probs
from ntviz.variants.reading import Reader, Reading
from ntviz.variants.windows import Contig

if TYPE_CHECKING:
    import pandas as pd

SHUFFLED = "shuffled sequence, dinucleotides kept"
COMPOSITION = "shares of the bases of the window"
BATCH_TOKENS = 2_048, 16_384
"""Tokens of a forward pass on a CPU, where more leave its cache (measured: 20 % slower), and elsewhere."""
KEPT = 256
"""Pieces whose hidden tokens are kept, for the components that share them."""


class Run(NamedTuple):
    """Bases without N that a model reads at once: where they begin, and which of a piece and of themselves they answer for."""

    letters: str
    start: int
    of_piece: slice
    own: slice


class Windows:
    """How a model reads a contig: windows that overlap, of which each answers for its middle.

    Parameters
    ----------
    model, reference
        What reads, and the bases.
    window
        bp read at a time at most; rounded down to whole tokens, and to what the model takes.
    """

    def __init__(self, model: Any, reference: Reference, window: int) -> None:
        self.model, self.reference = model, reference
        self.asked = window

    @cached_property
    def k(self) -> int:
        """Bases of a token; 1 where tokens have many lengths."""
        return int(getattr(self.model.tokenize("A").vocabulary, "k", 1))

    @cached_property
    def window(self) -> int:
        """Length in bp of what is read at a time.

        Raises
        ------
        ValueError
            That is fewer than four tokens.
        """
        chosen = min(self.asked, self.model.max_bp) // self.k * self.k
        if chosen < 4 * self.k:
            raise ValueError(
                f"A window must have 4 tokens, {4 * self.k} bp, or more; received {self.asked} bp, and "
                f"{self.model.name} reads {self.model.max_bp:,} at most. Pass a longer window."
            )
        return chosen

    @cached_property
    def flank(self) -> int:
        """Length in bp of what is read at either end of a window and not answered for."""
        return self.window // 4 // self.k * self.k

    def pieces(self, view: Interval, cores: float = 1) -> list[Interval]:
        """Cores of windows that cover a view, cut to the contig; several to a piece, or a part of one in whole tokens."""
        size = max(int((self.window - 2 * self.flank) * cores) // self.k, 1) * self.k
        whole = self.reference.whole(view.chrom)
        return [Interval(one.chrom, one.start, min(one.end, len(whole))) for one in tiles(view, size)]

    def runs(self, piece: Interval) -> Iterator[Run]:
        """What is read for a piece: its windows without their N, in whole tokens."""
        tiling = Tiling(self.window, self.flank, len(self.reference.whole(piece.chrom)))
        for core in tiling.cores(piece.start, piece.end):
            seen = tiling.window_of(core)
            text = self.reference.fetch(Interval(piece.chrom, seen.start, seen.end)).sequence
            for run in runs(text, seen.start):
                start, end = whole_tokens(run, self.k, 0)
                low, high = max(start, core.start, piece.start), min(end, core.end, piece.end)
                if low < high:
                    letters = text[start - seen.start : end - seen.start]
                    yield Run(letters, start, slice(low - piece.start, high - piece.start), slice(low - start, high - start))


# Tokens hidden one at a time ------------------------------------------------------------------------------------------


class Hidden(NamedTuple):
    """What a model says of the bases of a piece, each hidden with its token; NaN where nothing can be read (N, and beside).

    Attributes
    ----------
    probabilities
        [base, 4] of A, C, G, T: the mean of both strands.
    llr
        [base, 4] log-likelihood ratio in nats of each base against the one that is read: the mean of both strands.
    shares
        [base, 4] shares of the bases in the window that was read, one added to each count.
    """

    probabilities: np.ndarray
    llr: np.ndarray
    shares: np.ndarray


class _Shuffled:
    """The bases around a piece in another order with the same dinucleotides, run by run between N; N elsewhere."""

    def __init__(self, reference: Reference, piece: Interval, reach: int) -> None:
        self._whole = reference.whole(piece.chrom)
        self._start = max(piece.start - reach, 0)
        around = Interval(piece.chrom, self._start, min(piece.end + reach, len(self._whole)))
        self._text = dna.shuffle(reference.fetch(around).sequence, k=2, seed=self._start)

    def whole(self, chrom: str) -> Interval:
        return self._whole

    def fetch(self, interval: Interval) -> _Shuffled:
        first, last = (min(max(at - self._start, 0), len(self._text)) for at in (interval.start, interval.end))
        left = min(max(self._start - interval.start, 0), len(interval))
        self.sequence = ("N" * left + self._text[first:last]).ljust(len(interval), "N")
        return self


class Hiding:
    """Tokens hidden one at a time, each in the middle of a window of its own, on both strands.

    Expected bases and effects of substitutions follow from the same forward passes, which are therefore run once. The
    numbers are those of `variants.saturation`, and of `expectation.masked` for the middle token of each window.

    Parameters
    ----------
    model, reference
        A k-mer model with a mask, and the bases.
    window
        bp read around each token.
    """

    def __init__(self, model: Any, reference: Reference, window: int = 600) -> None:
        self.windows = Windows(model, reference, window)
        self._kept: OrderedDict[tuple[str, int, int, bool], Hidden] = OrderedDict()

    def pieces(self, view: Interval) -> list[Interval]:
        """Pieces that cover a view, of a quarter of a window each: what is read beyond the view is little."""
        return self.windows.pieces(view, 0.5)

    def read(self, piece: Interval, *, shuffled: bool = False) -> Hidden:
        """What the model says of a piece, or of its bases shuffled.

        Raises
        ------
        ValueError
            The model has no k-mers.
        """
        key = piece.chrom, piece.start, piece.end, shuffled
        if key not in self._kept:
            self._kept[key] = self._read(piece, shuffled)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _read(self, piece: Interval, shuffled: bool) -> Hidden:
        windows = self.windows
        model, k = windows.model, windows.k
        vocabulary = model.tokenize("A").vocabulary
        if not isinstance(vocabulary, Vocabulary):
            raise ValueError(f"Bases are expected by models over k-mers; {model.name} has tokens of many lengths.")
        source: Any = _Shuffled(windows.reference, piece, windows.window) if shuffled else windows.reference
        contig = Contig(source, piece.chrom)
        reader = Reader(model, 0, BATCH_TOKENS[str(model.info.get("device", "cpu")) != "cpu"])
        # As many tokens on either side.
        count = (windows.window // k - 1) // 2 * 2 + 1
        work: list[tuple[Reading, slice, slice, np.ndarray]] = []
        for at, first, last in _tokens(piece, contig.length, k):
            window = contig.window(at, k, count)
            if window is None:
                continue
            text = window.bases[window.margin : window.margin + window.length]
            counts = np.bincount(dna.codes(text), minlength=4)[:4] + 1
            for reverse in (False, True):
                reading = Reading(text, reverse, ((at - window.start) // k,))
                work.append(
                    (reading, slice(first - piece.start, last - piece.start), slice(first - at, last - at), counts / counts.sum())
                )
        found = Hidden(*(np.full((len(piece), 4), np.nan) for _ in Hidden._fields))
        sums = np.zeros((2, len(piece), 4))
        answers = reader.masked([reading for reading, *_ in work])
        for (reading, answer), (_, inside, own, shares) in zip(answers, work, strict=True):
            logits = answer.logits[0]
            rows = kmer_base_probs(logits[None, vocabulary.kmer_ids], k)[0]
            sums[0, inside] += (rows[::-1, ::-1] if reading.reverse else rows)[own]
            sums[1, inside] += _ratios(reader, reading, logits)[own]
            if reading.reverse:
                found.probabilities[inside], found.llr[inside] = sums[:, inside] / 2
                found.shares[inside] = shares
        return found


def _tokens(piece: Interval, length: int, k: int) -> Iterator[tuple[int, int, int]]:
    """Tokens that hold a base of a piece: where each begins, and which bases of the piece, from first to last, it answers for."""
    grid = length // k * k
    for at in range(piece.start // k * k, min(piece.end, grid), k):
        yield at, max(at, piece.start), min(at + k, piece.end)
    # Bases left over at the end of a contig are read in a token that ends there.
    if max(piece.start, grid) < min(piece.end, length) and length >= k:
        yield length - k, max(piece.start, grid), min(piece.end, length)


def _ratios(reader: Reader, reading: Reading, logits: np.ndarray) -> np.ndarray:
    """[base, 4] log p of the hidden token with a base exchanged less that of the token as it is, in nats."""
    k, (token,) = reader.k, reading.masked
    text = reading.sequence[token * k : token * k + k]
    words = [text[:at] + base + text[at + 1 :] for at in range(k) for base in "ACGT"]
    ids = [reader.word(word, reading.reverse) for word in words]
    scores = logits[ids].astype(np.float64) - float(logits[reader.word(text, reading.reverse)])
    return scores.reshape(k, 4)


class _OfHiding:
    def __init__(self, hiding: Hiding, *, longest: int = 3_000) -> None:
        self.hiding, self.longest = hiding, longest

    def pieces(self, view: Interval) -> list[Interval]:
        return self.hiding.pieces(view)


class Expected(_OfHiding):
    """Bases that the model expects, each hidden with its token, as a logo; the model on shuffled bases as control."""

    name = "expected bases"

    def compute(self, piece: Interval) -> pd.DataFrame:
        columns = {}
        for name, shuffled in (("", False), ("shuffled_", True)):
            probabilities = self.hiding.read(piece, shuffled=shuffled).probabilities
            columns |= {name + base: probabilities[:, column] for column, base in enumerate("ACGT")}
        return base_table(piece, columns)

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        # On the strand "-" the complement counts.
        order = "TGCA" if view.strand == "-" else "ACGT"
        real, control = (per_base(table, [name + base for base in order], view) for name in ("", "shuffled_"))
        return [plot.logo_track(real, label="Expected bases", control=control, control_label=SHUFFLED, over=view)]


class Saturated(_OfHiding):
    """Mean and lowest effect of the three substitutions of each base; what shares of bases alone would say as control.

    Effects are log-likelihood ratios in nats of alternative against reference, as `variants.saturation` gives them.
    """

    name = "saturation"

    def compute(self, piece: Interval) -> pd.DataFrame:
        found = self.hiding.read(piece)
        codes = dna.codes(self.hiding.windows.reference.fetch(piece).sequence)
        own = np.minimum(codes, 3)[:, None].astype(np.int64)
        shares = np.log(found.shares)
        flat = shares - np.take_along_axis(shares, own, axis=1)
        columns = {}
        for name, effects in (("", found.llr), ("composition", flat)):
            mean, lowest = _summary(effects, codes)
            columns |= {name or "mean": mean, f"{name}_lowest".lstrip("_"): lowest}
        return base_table(piece, columns)

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        return [
            plot.signal_track(
                per_base(table, name, view), label=f"Effect of substitutions, {name}", unit="nats", control=per_base(table, control, view),
                control_label=COMPOSITION, diverging=True, over=view, height=64,
                note="of three a base; below 0: less likely than the reference's",
            )
            for name, control in (("mean", "composition"), ("lowest", "composition_lowest"))
        ]  # fmt: skip


def _summary(effects: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and lowest [base] over the bases other than the reference's; NaN at N and where nothing was read."""
    others = (np.arange(4) != codes[:, None]) & (codes[:, None] < 4)
    known = np.isfinite(effects).all(axis=1) & (codes < 4)
    mean, lowest = np.full(len(codes), np.nan), np.full(len(codes), np.nan)
    mean[known] = np.where(others, effects, 0.0)[known].sum(axis=1) / 3
    lowest[known] = np.where(others, effects, np.inf)[known].min(axis=1)
    return mean, lowest


# Whole windows --------------------------------------------------------------------------------------------------------


class Probability:
    """Probability of the reference's base, some tokens hidden at once; that of its share in the window as control.

    Over views that are too long for hiding one token at a time; see `landscape.reconstruct`, whose `share` it takes.
    """

    name = "probability"

    def __init__(
        self, model: Any, reference: Reference, *, window: int = 1_536, share: float = 0.15, longest: int = 100_000
    ) -> None:
        self.windows, self.share, self.longest = Windows(model, reference, window), share, longest

    def pieces(self, view: Interval) -> list[Interval]:
        return self.windows.pieces(view, cores=4)

    def compute(self, piece: Interval) -> pd.DataFrame:
        windows = self.windows
        names = ("probability", "entropy", "composition")
        if not windows.reference.fetch(piece).sequence.strip("N"):
            return base_table(piece, {name: np.full(len(piece), np.nan) for name in names})
        made = landscape.reconstruct(
            windows.model, windows.reference, piece, share=self.share, window=windows.window, flank=windows.flank,
            control="composition", what=None,
        )  # fmt: skip
        arrays = (made.probability, made.entropy, made.controls["composition"])
        return base_table(piece, dict(zip(names, arrays, strict=True)))

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        real, control = (per_base(table, name, view) for name in ("probability", "composition"))
        return [
            plot.signal_track(
                real, label="Probability of the reference base", unit="probability", control=control,
                control_label=COMPOSITION, over=view, note=f"{self.share:.0%} of tokens hidden at once", height=64,
            )
        ]  # fmt: skip


class Received:
    """Attention that each base receives from all others, against an even share; in shuffled bases as control.

    Parameters
    ----------
    model, reference
        A model whose attention can be observed, and the bases.
    head
        (layer, head), zero-based; the mean over all heads when None.
    window
        bp read at a time.
    """

    name = "attention"

    def __init__(
        self, model: Any, reference: Reference, *, head: tuple[int, int] | None = None, window: int = 1_536, longest: int = 5_000
    ) -> None:
        self.windows, self.head, self.longest = Windows(model, reference, window), head, longest

    def pieces(self, view: Interval) -> list[Interval]:
        return self.windows.pieces(view)

    def compute(self, piece: Interval) -> pd.DataFrame:
        found = {name: np.full(len(piece), np.nan) for name in ("received", "shuffled")}
        for run in self.windows.runs(piece):
            shuffled = dna.shuffle(run.letters, k=2, seed=run.start)
            for values, letters in zip(found.values(), (run.letters, shuffled), strict=True):
                values[run.of_piece] = self._received(letters)[run.own]
        return base_table(piece, found)

    def _received(self, letters: str) -> np.ndarray:
        """[base] attention received, 1 where all is shared evenly among the bases."""
        from ntviz import attention

        tokens = self.windows.model.tokenize(letters)
        by_base = attention.observe(self.windows.model, tokens, all=attention.Received()).all.by_base(tokens)
        one = by_base.mean(axis=(0, 1)) if self.head is None else by_base[self.head]
        queries = int((~np.asarray(tokens.is_special)).sum())
        return one * len(letters) / queries

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        real, control = (per_base(table, name, view) for name in ("received", "shuffled"))
        which = "mean of all heads" if self.head is None else f"layer {self.head[0]}, head {self.head[1]}"
        return [
            plot.signal_track(
                real, label="Attention received", unit="× even", control=control, control_label=SHUFFLED, over=view,
                note=f"{which}; 1 is an even share", height=64,
            )
        ]  # fmt: skip
