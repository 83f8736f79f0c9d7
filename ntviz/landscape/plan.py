"""What is asked of a landscape, checked: the interval, the windows over the contig, how tokens are hidden, the pieces it is made in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ntviz.genome import Interval, canonical_contig
from ntviz.landscape.result import cuts
from ntviz.reference import Reference
from ntviz.tokens import Vocabulary

CONTROLS = ("composition", "shuffled")
LAPTOP_BP = 1_536
"""Longest window by default: the cost of a pass grows with it, and faster than it."""
PIECE = 250_000
"""bp that are finished, and written, at a time."""
_FORMAT = 1


class Stretch(NamedTuple):
    """Consecutive bases on the forward strand of a contig, 0-based half-open."""

    start: int
    end: int


@dataclass(frozen=True)
class Tiling:
    """Windows that overlap, anchored at the start of the contig, so that no base depends on where an interval begins.

    `window` bp are read at a time; `flank` bp at either end are read and not answered for. The rest, the core, is; cores
    touch. `length` is that of the contig.

    Examples
    --------
    >>> tiling = Tiling(window=12, flank=3, length=20)
    >>> [tuple(core) for core in tiling.cores(5, 13)], tuple(tiling.window_of(Stretch(0, 6)))
    ([(0, 6), (6, 12), (12, 18)], (0, 9))
    """

    window: int
    flank: int
    length: int

    @property
    def core(self) -> int:
        """What each window answers for, bp."""
        return self.window - 2 * self.flank

    def cores(self, start: int, end: int) -> Iterator[Stretch]:
        """The cores that hold a base of start to end."""
        for at in range(start // self.core * self.core, end, self.core):
            yield Stretch(at, at + self.core)

    def window_of(self, core: Stretch) -> Stretch:
        """What is read for a core: it and its flanks, as far as the contig goes."""
        return Stretch(max(0, core.start - self.flank), min(self.length, core.end + self.flank))


def runs(sequence: str, start: int) -> list[Stretch]:
    """The stretches without N of a sequence whose first base is at `start`.

    >>> [tuple(run) for run in runs("NACGNNT", 100)]
    [(101, 104), (106, 107)]
    """
    return [Stretch(start + found.start(), start + found.end()) for found in re.finditer("[^N]+", sequence)]


def whole_tokens(run: Stretch, k: int, frame: int) -> Stretch:
    """The part of a run that whole tokens cover, those that begin at `frame` modulo k; it may be empty.

    >>> tuple(whole_tokens(Stretch(4, 20), 6, 0)), tuple(whole_tokens(Stretch(4, 20), 6, 1))
    ((6, 18), (7, 19))
    """
    start = run.start + (frame - run.start) % k
    return Stretch(start, max(start, run.end - (run.end - frame) % k))


@dataclass(frozen=True, kw_only=True)
class Options:
    """How tokens are hidden, in what windows, and with what controls; as of `reconstruct`, each in its range."""

    share: float | None = 0.15
    frames: int = 1
    both_strands: bool = False
    window: int | None = None
    flank: int | None = None
    control: str | Sequence[str] = ("composition",)
    seed: int = 0
    batch_tokens: int = 16_384
    piece: int = PIECE

    def __post_init__(self) -> None:
        if self.share is not None and not 0 < self.share <= 0.5:
            raise ValueError(
                f"share must lie above 0 and up to 0.5 of the tokens; received {self.share}. Use 0.15 as in training, or "
                "None to hide one token at a time."
            )
        given = (self.control,) if isinstance(self.control, str) else self.control
        if unknown := [name for name in given if name not in CONTROLS]:
            raise ValueError(
                f"A control must be one of {', '.join(CONTROLS)}; received {unknown[0]!r}. Use () for none."
            )
        for name, unit, usual in (("batch_tokens", "", 16_384), ("piece", " bp", PIECE)):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1{unit}; received {getattr(self, name)}. Leave it out for {usual:,}."
                )

    @property
    def controls(self) -> tuple[str, ...]:
        """Names of the controls, always in the same order."""
        return tuple(name for name in CONTROLS if name == self.control or name in tuple(self.control))


class Plan(NamedTuple):
    """All that the numbers of a landscape follow from, but for bases and weights."""

    model: str  # its name
    interval: Interval  # without strand
    options: Options
    tiling: Tiling
    k: int
    apart: int | None  # every which token is hidden at once; None: one at a time
    pieces: list[Stretch]  # finished, and written, one at a time
    names: tuple[str, ...]  # of the arrays
    settings: dict[str, Any]  # the same as plain data, and which weights; batches change nothing


def plan(model: Any, reference: Reference, interval: Interval | str, options: Options) -> Plan:
    """The plan for a model, with every number in its range; a ValueError as of `reconstruct`."""
    place = Interval.from_str(interval) if isinstance(interval, str) else interval
    length, k = check_place(reference, place), _bases_of_a_token(model)
    place = Interval(place.chrom, place.start, place.end)
    if not 1 <= options.frames <= k:
        raise ValueError(
            f"frames must lie in 1 to {k}, the bases of a token; received {options.frames}. Use 1 or {k}."
        )
    usual = min(model.max_bp, LAPTOP_BP)
    window = (usual if options.window is None else options.window) // k * k
    if not 3 * k <= window <= model.max_bp:
        raise ValueError(
            f"A window must have 3 tokens, {3 * k} bp, to the {model.max_bp:,} bp that {model.name} reads; received "
            f"{window if options.window is None else options.window:,}. Leave it out for {usual:,}."
        )
    flank = (window // 4 if options.flank is None else options.flank) // k * k
    if flank < 0 or window - 2 * flank < k:
        raise ValueError(
            f"Two flanks must leave a token of the window of {window:,} bp; received flanks of {options.flank} bp. Use at "
            f"most {(window - k) // 2 // k * k:,}."
        )
    tiling = Tiling(window, flank, length)
    apart = None if options.share is None else round(1 / options.share)
    settings = {
        **{"format": _FORMAT, "model": model.name},
        **{"weights": model.info.get("weights_sha256"), "dtype": model.info.get("dtype")},
        **{"contig": canonical_contig(place.chrom), "contig_length": length},
        **{"start": place.start, "end": place.end, "window": window, "flank": flank, "tokens_apart": apart},
        **{"frames": options.frames, "both_strands": options.both_strands},
        **{"controls": list(options.controls), "seed": options.seed, "piece": options.piece},
    }
    names = ("probability", "correct", "entropy", *options.controls)
    # Cut at every multiple of whole cores.
    size = max(1, options.piece // tiling.core) * tiling.core
    pieces = [Stretch(*piece) for piece in cuts(place.start, place.end, size)]
    return Plan(model.name, place, options, tiling, k, apart, pieces, names, settings)


def check_place(reference: Reference, interval: Interval) -> int:
    """The length of the contig; refuses what is not on it or holds only N, and reads no further than the first base."""
    length = reference.whole(interval.chrom).end
    if interval.start < 0 or interval.end > length:
        raise ValueError(
            f"An interval must lie on its contig; received {interval.label()}, and {interval.chrom} has "
            f"{length:,} bp. Narrow it."
        )
    for start, end in cuts(interval.start, interval.end, 1_000_000):
        if reference.fetch(Interval(interval.chrom, start, end)).sequence.strip("N"):
            return length
    raise ValueError(
        f"An interval must hold a base that is known; {interval.label()} holds only N. Choose another region."
    )


def _bases_of_a_token(model: Any) -> int:
    """The k of a model with a mask over k-mers; others are refused."""
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
    return vocabulary.k
