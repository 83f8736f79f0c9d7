"""Masked reconstruction of an interval of any length, window by window."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ntviz import sequence as dna
from ntviz.environment import progress
from ntviz.genome import Interval, canonical_contig
from ntviz.landscape.hiding import Reading, answers, readings
from ntviz.landscape.pieces import Folder
from ntviz.landscape.result import Landscape
from ntviz.landscape.tiling import Stretch, Tiling, runs, whole_tokens
from ntviz.models.protocol import DNAModel
from ntviz.reference import Reference
from ntviz.tokens import Vocabulary

CONTROLS = ("composition", "shuffled")
LAPTOP_BP = 1_536
"""Longest window by default: the cost of a pass grows with it, and faster than it."""
_FORMAT = 1


class _Way(NamedTuple):
    """How tokens are hidden."""

    tiling: Tiling
    k: int
    apart: int | None
    frames: int
    both_strands: bool
    controls: tuple[str, ...]
    seed: int
    batch_tokens: int


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
    piece: int = 250_000,
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
    if isinstance(interval, str):
        interval = Interval.from_str(interval)
    whole = reference.whole(interval.chrom)
    if interval.start < 0 or interval.end > whole.end:
        raise ValueError(
            f"An interval must lie on its contig; received {interval.label()}, and {interval.chrom} has "
            f"{whole.end:,} bp. Narrow it."
        )
    interval = Interval(interval.chrom, interval.start, interval.end)
    way = _way(model, whole.end, share, frames, both_strands, window, flank, control, seed, batch_tokens)
    if piece < 1:
        raise ValueError(f"piece must be at least 1 bp; received {piece}. Leave it out for 250,000.")
    _check_bases(reference, interval)
    settings = _settings(model, interval, way, piece)
    pieces = way.tiling.pieces(interval.start, interval.end, piece)
    names = ("probability", "correct", "entropy", *way.controls)
    folder = None if out is None else Folder(out, settings)
    made: list[dict[str, np.ndarray]] = []
    with progress(total=len(interval), what=what, unit="bp") if what is not None else nullcontext() as bar:
        for place in pieces:
            bases = _Bases.around(reference, interval.chrom, place, way.tiling)
            arrays = folder.read(place, bases.text, names) if folder is not None else None
            if arrays is None:
                arrays = _reconstruct_piece(model, bases, place, way, canonical_contig(interval.chrom))
                if folder is not None:
                    folder.write(place, bases.text, arrays)
            if folder is None:
                made.append(arrays)
            if bar is not None:
                bar.update(place.end - place.start)
    if folder is not None:
        found = folder.assemble(pieces, names)
    else:
        found = {name: np.concatenate([arrays[name] for arrays in made]) for name in names}
    main = [found.pop(name) for name in ("probability", "correct", "entropy")]
    return Landscape(interval, *main, model.name, whole.end, found, settings)


def _way(
    model: DNAModel,
    length: int,
    share: float | None,
    frames: int,
    both_strands: bool,
    window: int | None,
    flank: int | None,
    control: str | Sequence[str],
    seed: int,
    batch_tokens: int,
) -> _Way:
    """The settings, checked."""
    try:
        vocabulary = model.tokenize("A").vocabulary
        _ = model.mask_id
    except (AttributeError, ValueError) as error:
        raise ValueError(
            f"A landscape needs a model that was trained with a mask; {getattr(model, 'name', model)} has none "
            f"({error}). Take a masked language model."
        ) from error
    if not isinstance(vocabulary, Vocabulary):
        raise ValueError(
            f"A landscape needs tokens of one length, k bases each; {model.name} has {vocabulary.name}. "
            "Take a model over k-mers."
        )
    k = vocabulary.k
    if not 1 <= frames <= k:
        raise ValueError(
            f"frames must lie in 1 to {k}, the bases of a token; received {frames}. Use 1 or {k}."
        )
    if share is not None and not 0 < share <= 0.5:
        raise ValueError(
            f"share must lie above 0 and up to 0.5 of the tokens; received {share}. Use 0.15 as in training, or None "
            "to hide one token at a time."
        )
    chosen = (min(model.max_bp, LAPTOP_BP) if window is None else window) // k * k
    if not 3 * k <= chosen <= model.max_bp:
        raise ValueError(
            f"A window must have 3 tokens, {3 * k} bp, to the {model.max_bp:,} bp that {model.name} reads; received "
            f"{window if window is not None else chosen:,}. Leave it out for {min(model.max_bp, LAPTOP_BP):,}."
        )
    sides = (chosen // 4 if flank is None else flank) // k * k
    if sides < 0 or chosen - 2 * sides < k:
        raise ValueError(
            f"Two flanks must leave a token of the window of {chosen:,} bp; received flanks of {flank} bp. Use at most "
            f"{(chosen - k) // 2 // k * k:,}."
        )
    controls = (control,) if isinstance(control, str) else tuple(control)
    unknown = [name for name in controls if name not in CONTROLS]
    if unknown:
        raise ValueError(
            f"A control must be one of {', '.join(CONTROLS)}; received {unknown[0]!r}. Use () for none."
        )
    if batch_tokens < 1:
        raise ValueError(
            f"batch_tokens must be at least 1; received {batch_tokens}. Leave it out for 16,384."
        )
    apart = None if share is None else round(1 / share)
    ordered = tuple(name for name in CONTROLS if name in controls)
    return _Way(Tiling(chosen, sides, length), k, apart, frames, both_strands, ordered, seed, batch_tokens)


def _settings(model: DNAModel, interval: Interval, way: _Way, piece: int) -> dict[str, Any]:
    """What the numbers follow from; batches change nothing."""
    info = model.info
    return {
        "format": _FORMAT,
        "model": model.name,
        "weights": info.get("weights_sha256"),
        "dtype": info.get("dtype"),
        "contig": canonical_contig(interval.chrom),
        "contig_length": way.tiling.length,
        "start": interval.start,
        "end": interval.end,
        "window": way.tiling.window,
        "flank": way.tiling.flank,
        "tokens_apart": way.apart,
        "frames": way.frames,
        "both_strands": way.both_strands,
        "controls": list(way.controls),
        "seed": way.seed,
        "piece": piece,
    }


def _check_bases(reference: Reference, interval: Interval) -> None:
    """Raises where all is N; reads no further than the first base that is not."""
    for start in range(interval.start, interval.end, 1_000_000):
        part = Interval(interval.chrom, start, min(interval.end, start + 1_000_000))
        if reference.fetch(part).sequence.strip("N"):
            return
    raise ValueError(
        f"An interval must hold a base that is known; {interval.label()} holds only N. Choose another region."
    )


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
    model: DNAModel, bases: _Bases, place: Stretch, way: _Way, contig: str
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
