"""What is asked of a landscape: the interval, how tokens are hidden, and the pieces it is made in; all checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ntviz.genome import Interval, canonical_contig
from ntviz.landscape.tiling import Stretch, Tiling
from ntviz.reference import Reference
from ntviz.tokens import Vocabulary

CONTROLS = ("composition", "shuffled")
LAPTOP_BP = 1_536
"""Longest window by default: the cost of a pass grows with it, and faster than it."""
PIECE = 250_000
"""bp that are finished, and written, at a time."""
_FORMAT = 1


class Way(NamedTuple):
    """How tokens are hidden."""

    tiling: Tiling
    k: int
    apart: int | None
    frames: int
    both_strands: bool
    controls: tuple[str, ...]
    seed: int
    batch_tokens: int


class Question(NamedTuple):
    """All that the numbers of a landscape follow from, but for bases and weights.

    Attributes
    ----------
    model
        Its name.
    interval
        Without strand.
    way
        How tokens are hidden.
    pieces
        Stretches that are finished, and written, one at a time.
    names
        Of the arrays.
    settings
        The same as plain data, and which weights.
    """

    model: str
    interval: Interval
    way: Way
    pieces: list[Stretch]
    names: tuple[str, ...]
    settings: dict[str, Any]


def ask(
    model: Any,
    reference: Reference,
    interval: Interval | str,
    *,
    share: float | None = 0.15,
    frames: int = 1,
    both_strands: bool = False,
    window: int | None = None,
    flank: int | None = None,
    control: str | Sequence[str] = ("composition",),
    seed: int = 0,
    batch_tokens: int = 16_384,
    piece: int = PIECE,
) -> Question:
    """The question, with every number in its range; parameters as of `reconstruct`.

    The model is not run: `models.outline(name)` will do.

    Raises
    ------
    ValueError
        As `reconstruct`.
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
        raise ValueError(f"piece must be at least 1 bp; received {piece}. Leave it out for {PIECE:,}.")
    _check_bases(reference, interval)
    names = ("probability", "correct", "entropy", *way.controls)
    pieces = way.tiling.pieces(interval.start, interval.end, piece)
    return Question(model.name, interval, way, pieces, names, _settings(model, interval, way, piece))


def _way(
    model: Any,
    length: int,
    share: float | None,
    frames: int,
    both_strands: bool,
    window: int | None,
    flank: int | None,
    control: str | Sequence[str],
    seed: int,
    batch_tokens: int,
) -> Way:
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
    return Way(Tiling(chosen, sides, length), k, apart, frames, both_strands, ordered, seed, batch_tokens)


def _settings(model: Any, interval: Interval, way: Way, piece: int) -> dict[str, Any]:
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
