"""Masked reconstruction of an interval of any length, window by window."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from ntviz import environment
from ntviz import sequence as dna
from ntviz.genome import Interval, canonical_contig
from ntviz.landscape.asking import PIECE, Question, Way, ask
from ntviz.landscape.hiding import Reading, answers, readings
from ntviz.landscape.pieces import Folder
from ntviz.landscape.result import Landscape
from ntviz.landscape.tiling import Stretch, Tiling, runs, whole_tokens
from ntviz.models.protocol import DNAModel
from ntviz.reference import Reference


def reconstruct(
    model: DNAModel,
    reference: Reference,
    interval: Interval | str,
    *,
    out: str | os.PathLike[str] | None = None,
    share: float | None = 0.15,
    frames: int = 1,
    both_strands: bool = False,
    window: int | None = None,
    flank: int | None = None,
    control: str | Sequence[str] = ("composition",),
    seed: int = 0,
    batch_tokens: int = 16_384,
    piece: int = PIECE,
    what: str | None = "reconstructing",
) -> Landscape:
    """What a model expects at each base of an interval, when that base is hidden from it with its token.

    The interval is read in windows that overlap, and each base is answered for by the one window where it stands at
    least `flank` bp from an edge, N and the ends of the contig excepted. Windows and frames are anchored at the start
    of the contig, so a base has the same numbers whatever interval it is asked for in. No window reaches over N.

    Parameters
    ----------
    model
        Any `models.DNAModel` over k-mers with a mask.
    reference
        Where the bases come from.
    interval
        0-based half-open, or text such as "chr20:1-60,000"; its strand does not matter. `reference.whole(chrom)`
        is a whole chromosome.
    out
        Folder for finished pieces. A run that was killed goes on from there, and a piece that is lost or damaged is
        made again alone. The arrays of the result are then files mapped into memory, so that memory stays flat.
    share
        Share of the tokens hidden at once, up to 0.5, at even distances: every (1 / share)th token, rounded, in as many
        passes, so that every token is hidden exactly once. None hides one token at a time.
        **The two are not the same question**: with a share the model sees less around each token, as it did in
        training, and probabilities differ base by base. One by one takes a pass a token, ten to twenty times as long
        with the default window.
    frames
        Ways of cutting the contig into tokens that are averaged, 1 to k. With 1, tokens begin at multiples of k.
    both_strands
        Whether the reverse complement is read as well, and averaged. The same tokens are hidden.
    window
        bp that the model reads at a time, rounded down to whole tokens; the most it can up to 1,536 when not given.
    flank
        bp at either end of a window that are read and not answered for, rounded down to whole tokens; a quarter of
        the window when not given, so that each base is read in two windows and answered for by one.
    control
        Any of "composition" (free) and "shuffled" (doubles the work); see `Landscape.controls`. () for none.
    seed
        Of the shuffles.
    batch_tokens
        Tokens of a forward pass at most, unless a window has more.
    piece
        bp that are finished, and written, at a time.
    what
        Name of the progress bar; None for none.

    Raises
    ------
    ValueError
        The contig is unknown; the interval is not on it or holds only N; a number is out of range; the model has
        no mask, or tokens of many lengths; the folder was made with other settings.
    OSError
        A piece cannot be written; those before it are kept.

    References
    ----------
    Reconstruction of masked tokens by genomic element: Dalla-Torre et al., Nature Methods 2025, who mask tokens of
    windows at random and report the probability of the token. Ours is by base, a marginal over the k-mers, and over
    all bases of an interval.
    """
    question = ask(
        model,
        reference,
        interval,
        share=share,
        frames=frames,
        both_strands=both_strands,
        window=window,
        flank=flank,
        control=control,
        seed=seed,
        batch_tokens=batch_tokens,
        piece=piece,
    )
    folder = None if out is None else Folder(out, question.settings)
    made = answer(model, reference, question, folder, what=what)
    if folder is not None:
        return assembled(question, folder)
    return _landscape(
        question, {name: np.concatenate([one[name] for one in made]) for name in question.names}
    )


def answer(
    model: DNAModel,
    reference: Reference,
    question: Question,
    folder: Folder | None,
    *,
    shard: tuple[int, int] = (1, 1),
    what: str | None = None,
) -> list[dict[str, np.ndarray]]:
    """The pieces of a shard, arrays by name, in order; with a folder they are kept there, and none is returned."""
    mine = [question.pieces[number] for number in environment.share(len(question.pieces), shard)]
    total = sum(place.end - place.start for place in mine)
    made: list[dict[str, np.ndarray]] = []
    with (
        environment.progress(total=total, what=what, unit="bp") if what is not None else nullcontext() as bar
    ):
        for place in mine:
            bases = _Bases.around(reference, question.interval.chrom, place, question.way.tiling)
            if folder is None or folder.read(place, bases.text, question.names) is None:
                arrays = _reconstruct_piece(
                    model, bases, place, question.way, canonical_contig(question.interval.chrom)
                )
                if folder is not None:
                    folder.write(place, bases.text, arrays)
                else:
                    made.append(arrays)
            if bar is not None:
                bar.update(place.end - place.start)
    return made


def assembled(question: Question, folder: Folder) -> Landscape:
    """The landscape from a folder in which every piece is there."""
    return _landscape(question, folder.assemble(question.pieces, question.names))


def _landscape(question: Question, found: dict[str, np.ndarray]) -> Landscape:
    main = [found.pop(name) for name in ("probability", "correct", "entropy")]
    length = question.way.tiling.length
    return Landscape(question.interval, *main, question.model, length, found, question.settings)


@dataclass(frozen=True)
class _Bases:
    """Bases around a piece, as far as its windows reach."""

    start: int
    text: str

    @classmethod
    def around(cls, reference: Reference, chrom: str, place: Stretch, tiling: Tiling) -> _Bases:
        cores = list(tiling.cores(place.start, place.end))
        start, end = tiling.window_of(cores[0]).start, tiling.window_of(cores[-1]).end
        return cls(start, reference.fetch(Interval(chrom, start, end)).sequence)

    def of(self, stretch: Stretch) -> str:
        return self.text[stretch.start - self.start : stretch.end - self.start]


class _Sums:
    """Probabilities of the bases of a piece, added up over frames and strands."""

    def __init__(self, place: Stretch) -> None:
        self.place = place
        n = place.end - place.start
        self.total = np.zeros((n, 4))
        self.count = np.zeros(n)
        self.codes = np.full(n, 4, np.uint8)

    def add(self, starts: np.ndarray, rows: np.ndarray, wanted: Stretch) -> None:
        """Rows [token, k, 4] of the tokens whose first bases are at `starts`; what is not wanted is dropped."""
        places = (starts[:, None] + np.arange(rows.shape[1])).ravel()
        inside = (places >= wanted.start) & (places < wanted.end)
        at = places[inside] - self.place.start
        # Within one reading, no base is covered twice.
        self.total[at] += rows.reshape(-1, 4)[inside]
        self.count[at] += 1

    def summary(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Probability of the base that stands there, whether it is the most probable, and entropy in bits."""
        known = (self.count > 0) & (self.codes < 4)
        rows = self.total[known] / self.count[known, None]
        own = rows[np.arange(len(rows)), self.codes[known]]
        bits = -np.where(rows > 0, rows * np.log2(np.maximum(rows, 1e-300)), 0).sum(axis=1)
        found = []
        for values in (own, rows.max(axis=1) == own, bits):
            whole = np.full(len(self.count), np.nan, np.float32)
            whole[known] = values
            found.append(whole)
        return found[0], found[1], found[2]


def _reconstruct_piece(
    model: DNAModel, bases: _Bases, place: Stretch, way: Way, contig: str
) -> dict[str, np.ndarray]:
    plain, turned = _Sums(place), _Sums(place)
    plain.codes = dna.codes(bases.of(place))
    composition = np.full(place.end - place.start, np.nan, np.float32)

    def work() -> Iterator[Reading]:
        for core in way.tiling.cores(place.start, place.end):
            wanted = Stretch(max(core.start, place.start), min(core.end, place.end))
            seen = way.tiling.window_of(core)
            for run in runs(bases.of(seen), seen.start):
                low, high = max(run.start, wanted.start), min(run.end, wanted.end)
                if low >= high:
                    continue
                answered = Stretch(low, high)
                inside = slice(low - place.start, high - place.start)
                text = bases.of(run)
                composition[inside] = _shares(text, low - run.start, high - run.start)
                texts = [text]
                if "shuffled" in way.controls:
                    texts.append(_shuffle(text, contig, run, way.seed))
                    turned.codes[inside] = dna.codes(texts[1][low - run.start : high - run.start])
                for shuffled, letters in enumerate(texts):
                    for frame in range(way.frames):
                        part = whole_tokens(run, way.k, frame)
                        if part.end <= part.start:
                            continue
                        yield from readings(
                            model,
                            letters[part.start - run.start : part.end - run.start],
                            part,
                            answered,
                            apart=way.apart,
                            both_strands=way.both_strands,
                            shuffled=bool(shuffled),
                        )

    for reading, rows in answers(model, work(), way.batch_tokens):
        (turned if reading.shuffled else plain).add(reading.starts, rows, reading.wanted)
    probability, correct, entropy = plain.summary()
    found = {"probability": probability, "correct": correct, "entropy": entropy}
    if "composition" in way.controls:
        found["composition"] = composition
    if "shuffled" in way.controls:
        found["shuffled"] = turned.summary()[0]
    return found


def _shares(text: str, low: int, high: int) -> np.ndarray:
    """Share of each base from low to high among the other bases of a text; NaN where there is no other."""
    numbers = dna.codes(text)
    counts = np.bincount(numbers, minlength=4)
    if len(text) < 2:
        return np.full(high - low, np.nan, np.float32)
    return ((counts[numbers[low:high]] - 1) / (len(text) - 1)).astype(np.float32)


def _shuffle(text: str, contig: str, run: Stretch, seed: int) -> str:
    name = f"{seed}\n{contig}\n{run.start}\n{run.end}"
    return dna.shuffle(text, k=2, seed=int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
