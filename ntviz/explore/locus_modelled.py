"""Components of a locus that a model computes, each with its control beneath.

Pieces are anchored at the start of the contig, and each is read with the same flanks whichever view asks for it: a base
has the same numbers in every view.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntviz import landscape, plot
from ntviz import sequence as dna
from ntviz.explore.locus_component import base_table, per_base, tiles
from ntviz.genome import Interval
from ntviz.landscape.hiding import Reading, answers, readings
from ntviz.landscape.tiling import Stretch, Tiling, runs, whole_tokens
from ntviz.plot.locus import Track
from ntviz.reference import Reference
from ntviz.tokens import Vocabulary
from ntviz.variants.saturating import saturation

if TYPE_CHECKING:
    import pandas as pd

SHUFFLED = "shuffled sequence, dinucleotides kept"
COMPOSITION = "shares of the bases of the window"


class Run(NamedTuple):
    """Bases without N that a model reads at once: what they answer for, and their letters."""

    answers: Interval
    start: int
    letters: str

    def into(self, whole: np.ndarray, values: np.ndarray, piece: Interval) -> None:
        """Puts values [base, ...] of the letters to the bases that they answer for, in an array of a piece."""
        first, last = self.answers.start, self.answers.end
        whole[first - piece.start : last - piece.start] = values[first - self.start : last - self.start]


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

    def tiling(self, chrom: str) -> Tiling:
        """The windows of a contig."""
        return Tiling(self.window, self.flank, len(self.reference.whole(chrom)))

    def pieces(self, view: Interval, cores: int = 1) -> list[Interval]:
        """Cores of windows that cover a view, cut to the contig; several to a piece."""
        end = len(self.reference.whole(view.chrom))
        size = (self.window - 2 * self.flank) * cores
        return [Interval(one.chrom, one.start, min(one.end, end)) for one in tiles(view, size)]

    def runs(self, piece: Interval, frame: int = 0) -> Iterator[Run]:
        """What is read for a piece: its windows without their N, in whole tokens that begin at `frame` modulo k."""
        tiling = self.tiling(piece.chrom)
        for core in tiling.cores(piece.start, piece.end):
            seen = tiling.window_of(core)
            text = self.reference.fetch(Interval(piece.chrom, seen.start, seen.end)).sequence
            for run in runs(text, seen.start):
                part = whole_tokens(run, self.k, frame)
                low = max(part.start, core.start, piece.start)
                high = min(part.end, core.end, piece.end)
                if low < high:
                    yield Run(Interval(piece.chrom, low, high), part.start, _cut(text, seen, part))


def _cut(text: str, seen: Stretch, part: Stretch) -> str:
    return text[part.start - seen.start : part.end - seen.start]


def _shuffled(run: Run) -> str:
    return dna.shuffle(run.letters, k=2, seed=run.start)


class Expected:
    """Bases that the model expects, each hidden with its token, as a logo; the model on shuffled bases beneath.

    The numbers of `expectation.masked` over each window, of which the tokens of flanks need not be hidden.

    Parameters
    ----------
    model, reference
        A k-mer model with a mask, and the bases.
    window
        bp read around.
    frames
        Ways of cutting into tokens that are averaged; both strands always are. k frames cost k times as much.
    """

    name = "expected bases"

    def __init__(
        self, model: Any, reference: Reference, *, window: int = 600, frames: int = 1, longest: int = 1_500
    ) -> None:
        self.windows, self.frames, self.longest = Windows(model, reference, window), frames, longest

    def pieces(self, view: Interval) -> list[Interval]:
        return self.windows.pieces(view)

    def compute(self, piece: Interval) -> pd.DataFrame:
        model = self.windows.model
        if not isinstance(model.tokenize("A").vocabulary, Vocabulary):
            raise ValueError(
                f"Bases are expected by models over k-mers; {model.name} has tokens of many lengths."
            )
        total, count = np.zeros((2, len(piece), 4)), np.zeros((2, len(piece)))
        for reading, rows in answers(model, self._work(piece), 16_384):
            places = (reading.starts[:, None] + np.arange(rows.shape[1])).ravel()
            inside = (places >= reading.wanted.start) & (places < reading.wanted.end)
            at = places[inside] - piece.start
            total[int(reading.shuffled), at] += rows.reshape(-1, 4)[inside]
            count[int(reading.shuffled), at] += 1
        with np.errstate(invalid="ignore"):
            mean = total / count[..., None]
        columns = {
            name + base: mean[row, :, column]
            for row, name in enumerate(("", "shuffled_"))
            for column, base in enumerate("ACGT")
        }
        return base_table(piece, columns)

    def _work(self, piece: Interval) -> Iterator[Reading]:
        # Only tokens of the piece are hidden, and not those of the flanks, which are read around them.
        for frame in range(self.frames):
            for run in self.windows.runs(piece, frame):
                place = Stretch(run.start, run.start + len(run.letters))
                wanted = Stretch(run.answers.start, run.answers.end)
                for shuffled, letters in enumerate((run.letters, _shuffled(run))):
                    yield from readings(
                        self.windows.model, letters, place, wanted, apart=None, both_strands=True, shuffled=bool(shuffled)
                    )  # fmt: skip

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        real, control = (_letters(table, name, view) for name in ("", "shuffled_"))
        return [
            plot.logo_track(real, label="Expected bases", control=control, control_label=SHUFFLED, over=view)
        ]


def _letters(table: pd.DataFrame, name: str, view: Interval) -> np.ndarray:
    """[base, 4] in the reading direction, whose complement counts on the strand "-"."""
    bases = "TGCA" if view.strand == "-" else "ACGT"
    return per_base(table, [name + base for base in bases], view)


class Probability:
    """Probability of the base that stands there, some tokens hidden at once; that of its share in the window beneath.

    Over views that are too long for hiding one token at a time; see `landscape.reconstruct`, whose `share` it takes.
    """

    name = "probability"

    def __init__(
        self,
        model: Any,
        reference: Reference,
        *,
        window: int = 1_536,
        share: float = 0.15,
        longest: int = 100_000,
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
            windows.model,
            windows.reference,
            piece,
            share=self.share,
            window=windows.window,
            flank=windows.flank,
            control="composition",
            what=None,
        )
        arrays = (made.probability, made.entropy, made.controls["composition"])
        return base_table(piece, dict(zip(names, arrays, strict=True)))

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        real, control = (per_base(table, name, view) for name in ("probability", "composition"))
        return [
            plot.signal_track(
                real, label="Probability of the base there", unit="probability", control=control,
                control_label=COMPOSITION, over=view, note=f"{self.share:.0%} of tokens hidden at once", height=0.55,
            )
        ]  # fmt: skip


class Received:
    """Attention that each base receives from all others, against an even share; in shuffled bases beneath.

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
        self,
        model: Any,
        reference: Reference,
        *,
        head: tuple[int, int] | None = None,
        window: int = 1_536,
        longest: int = 5_000,
    ) -> None:
        self.windows, self.head, self.longest = Windows(model, reference, window), head, longest

    def pieces(self, view: Interval) -> list[Interval]:
        return self.windows.pieces(view)

    def compute(self, piece: Interval) -> pd.DataFrame:
        found = {name: np.full(len(piece), np.nan) for name in ("received", "shuffled")}
        for run in self.windows.runs(piece):
            for name, letters in zip(found, (run.letters, _shuffled(run)), strict=True):
                run.into(found[name], self._received(letters), piece)
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
                note=f"{which}; 1 is an even share", height=0.55,
            )
        ]  # fmt: skip


class Saturated:
    """Mean and lowest effect of the three substitutions of each base; what shares of bases alone would say beneath.

    Effects are log-likelihood ratios in nats of alternative against reference, as `variants.saturation` gives them.
    """

    name = "saturation"

    def __init__(self, model: Any, reference: Reference, *, window: int = 600, longest: int = 2_000) -> None:
        self.windows, self.longest = Windows(model, reference, window), longest

    def pieces(self, view: Interval) -> list[Interval]:
        return self.windows.pieces(view)

    def compute(self, piece: Interval) -> pd.DataFrame:
        windows = self.windows
        text = windows.reference.fetch(piece).sequence
        codes = dna.codes(text)
        columns = {
            name: np.full(len(piece), np.nan)
            for name in ("mean", "lowest", "composition", "composition_lowest")
        }
        if text.strip("N"):
            made = saturation(windows.model, windows.reference, piece, window=windows.window, what=None)
            columns["mean"], columns["lowest"] = _summary(made.llr, codes)
        for run in windows.runs(piece):
            counts = np.bincount(dna.codes(run.letters), minlength=4)[:4] + 1
            inside = slice(run.answers.start - piece.start, run.answers.end - piece.start)
            shares = np.log(counts / counts.sum())
            flat = shares[None] - shares[codes[inside]][:, None]
            columns["composition"][inside], columns["composition_lowest"][inside] = _summary(
                flat, codes[inside]
            )
        return base_table(piece, columns)

    def tracks(self, table: pd.DataFrame, view: Interval) -> list[Track]:
        made = []
        for name, control, label in (
            ("mean", "composition", "Effect of substitutions, mean"),
            ("lowest", "composition_lowest", "Effect of substitutions, lowest"),
        ):
            made.append(
                plot.signal_track(
                    per_base(table, name, view), label=label, unit="nats", control=per_base(table, control, view),
                    control_label=COMPOSITION, diverging=True, over=view, height=0.5,
                    note="of three a base; below 0: less likely than the reference's",
                )
            )  # fmt: skip
        return made


def _summary(effects: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and lowest over the bases other than the one there; NaN at N and where nothing was read."""
    others = (np.arange(4) != codes[:, None]) & (codes[:, None] < 4)
    known = np.isfinite(effects).all(axis=1) & (codes < 4)
    mean, lowest = np.full(len(codes), np.nan), np.full(len(codes), np.nan)
    rows = np.where(others, effects, 0.0)[known]
    mean[known] = rows.sum(axis=1) / 3
    lowest[known] = np.where(others, effects, np.inf)[known].min(axis=1)
    return mean, lowest
