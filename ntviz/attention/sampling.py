"""Windows of a genome around elements, in which the place of the element is drawn uniformly."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ntviz.environment import tell
from ntviz.genome import Interval, canonical_contig

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.reference import Reference

PATIENCE = 1000
"""Windows dropped one after the other until the drawing ends."""


class Elements(Protocol):
    """What is asked of elements; `annotation.Annotation` has it."""

    def elements(self, kinds: str, /) -> pd.DataFrame: ...


@dataclass(frozen=True)
class Windows:
    """Windows of one length, in the order in which they were drawn; made by `windows`.

    Attributes
    ----------
    intervals
        The windows, 0-based half-open, without strand.
    of
        The element each was drawn for; None for those drawn from the whole contig.
    kind
        Kind of these elements; None for those drawn from the whole contig.
    asked
        Number of windows asked for.
    dropped
        What was left out, by reason: elements that cannot be used, and windows with too much N.
    """

    intervals: list[Interval]
    of: list[Interval | None]
    kind: str | None
    asked: int
    dropped: dict[str, int]

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.intervals)

    def __iter__(self) -> Iterator[Interval]:
        return iter(self.intervals)

    @property
    def note(self) -> str:
        """What was left out, in words; empty when nothing was."""
        said = [f"{count:,} {reason}" for reason, count in self.dropped.items() if count]
        text = f"Left out: {'; '.join(said)}." if said else ""
        if len(self) < self.asked:
            text += f" {len(self):,} of {self.asked:,} windows were found before {PATIENCE:,} in a row had to be left out."
        return text.strip()


def windows(
    elements: Elements | None,
    kind: str | None,
    *,
    length: int,
    n: int,
    reference: Reference | None = None,
    chrom: str | None = None,
    max_n: float = 0.0,
    seed: int = 0,
) -> Windows:
    """Windows around elements of one kind, such that the place of the element in the window is uniform.

    Elements are taken in random order, each once before any is taken again. Of the windows that hold the whole element
    and lie on its contig one is drawn, all with the same chance. Of an element longer than the window, one is drawn of
    those that share a base with it; so each of its bases has the same chance to be in the window.

    The first windows are the same whatever `n` is, and depend on the seed, the kind and the elements alone.

    Parameters
    ----------
    elements
        Where the elements are, such as an Annotation: stretches of all transcripts and both strands, merged.
    kind
        Kind of element; None for windows anywhere on the contigs, all with the same chance, as a background.
    length
        bp of each window; `model.max_bp` is the longest that a model takes whole.
    n
        Number of windows. There are fewer only when 1,000 in a row have to be left out; `Windows.note` says so.
    reference
        Where contigs end, and where N are. Without it windows end anywhere, and N are not looked for.
    chrom
        Only elements on this contig; all when not given.
    max_n
        Largest share of N in a window, 0 to 1; what has more is left out, counted, and another is drawn.
    seed
        Seed of the draw.

    Raises
    ------
    ValueError
        If there is no element of the kind (on the contig), no contig is as long as a window, nothing but N is found, or
        a number makes no sense.

    References
    ----------
    Dalla-Torre et al., Nature Methods 2025, take 90,000 windows of 6 kb with the element at a uniform place.

    Examples
    --------
    >>> import pandas as pd
    >>> from ntviz import annotation
    >>> site = annotation.from_table(pd.DataFrame({"chrom": ["1"], "start": [50], "end": [52]}), element="site")
    >>> drawn = windows(site, "site", length=3, n=100)
    >>> sorted({window.start for window in drawn})
    [49, 50]
    """
    length, n, seed = _checked(length, n, seed, max_n)
    dropped: dict[str, int] = {}
    if kind is None:
        places = _contigs(reference, chrom, length)
    else:
        if elements is None:
            raise ValueError(
                f"elements must hold the kind {kind!r}; received None. Pass an Annotation, or kind=None for any window."
            )
        places = _around(elements, kind, length, reference, chrom, dropped)
    found: list[Interval] = []
    of: list[Interval | None] = []
    too_much = f"windows with more than {max_n:g} of N"
    in_a_row = 0
    for place, start in _draws(places, kind, seed):
        window = Interval(places.chrom[place], start, start + length)
        if reference is not None and reference.fetch(window).sequence.count("N") > max_n * length:
            dropped[too_much] = dropped.get(too_much, 0) + 1
            in_a_row += 1
            if in_a_row == PATIENCE:
                break
            continue
        in_a_row = 0
        found.append(window)
        begin, end = places.element[place].tolist()
        of.append(None if kind is None else Interval(window.chrom, begin, end))
        if len(found) == n:
            break
    if not found:
        raise ValueError(
            f"A window must have at most {max_n:g} of N; none of {PATIENCE:,} of {length:,} bp around {kind or 'any place'} has. "
            f"Raise max_n, or shorten the window."
        )
    drawn = Windows(found, of, kind, n, dropped)
    if drawn.note:
        tell(f"Windows around {kind or 'any place'}: {drawn.note}")
    return drawn


def _checked(length: Any, n: Any, seed: Any, max_n: float) -> tuple[int, int, int]:
    numbers = []
    for name, value, least in (("length", length, 1), ("n", n, 1), ("seed", seed, 0)):
        try:
            number = operator.index(value)
        except TypeError:
            raise TypeError(
                f"{name} must be a whole number; received {value!r}. Round it to an int."
            ) from None
        if number < least:
            raise ValueError(
                f"{name} must be at least {least}; received {number}. Give the number that is wanted."
            )
        numbers.append(number)
    if not 0 <= max_n <= 1:
        raise ValueError(f"max_n must be a share between 0 and 1; received {max_n}. 0 allows no N.")
    return numbers[0], numbers[1], numbers[2]


class _Places(NamedTuple):
    """What windows are drawn from: elements, or whole contigs."""

    chrom: list[str]
    element: np.ndarray  # [place, 2], bp
    low: np.ndarray  # [place]: first and last start that a window may have
    high: np.ndarray


def _draws(places: _Places, kind: str | None, seed: int) -> Iterator[tuple[int, int]]:
    """Endless places and starts of windows; the draw of one does not depend on how many are taken."""
    named = [] if kind is None else [1, *kind.encode("utf-8")]
    order, position = (np.random.default_rng([seed, stream, *named]) for stream in (0, 1))
    # Elements take turns; contigs are drawn by the number of windows on them.
    sizes = places.high - places.low + 1
    while True:
        if kind is None:
            turn = order.choice(len(sizes), size=PATIENCE, p=sizes / sizes.sum())
        else:
            turn = order.permutation(len(sizes))
        for place in turn.tolist():
            yield place, int(position.integers(places.low[place], places.high[place], endpoint=True))


def _contigs(reference: Reference | None, chrom: str | None, length: int) -> _Places:
    if reference is None:
        raise ValueError(
            "Windows of no kind are drawn from contigs, whose lengths a reference knows; received none. Pass reference=."
        )
    whole = [reference.whole(name) for name in ([chrom] if chrom is not None else reference.contigs)]
    fitting = [contig for contig in whole if len(contig) >= length]
    if not fitting:
        raise _too_long(length, max(whole, key=len))
    ends = np.array([len(contig) for contig in fitting])
    element = np.stack([np.zeros_like(ends), ends], axis=1)
    return _Places([contig.chrom for contig in fitting], element, np.zeros_like(ends), ends - length)


def _too_long(length: int, longest: Interval) -> ValueError:
    return ValueError(
        f"A window must fit on a contig; received length={length:,} bp, and the longest, {longest.chrom}, has "
        f"{len(longest):,}. Shorten the window."
    )


def _around(
    elements: Elements,
    kind: str,
    length: int,
    reference: Reference | None,
    chrom: str | None,
    dropped: dict[str, int],
) -> _Places:
    table = elements.elements(kind)
    if chrom is not None:
        present = list(dict.fromkeys(table["chrom"]))
        table = table[[canonical_contig(name) == canonical_contig(chrom) for name in table["chrom"]]]
        if not len(table) and present:
            raise ValueError(
                f"chrom must be a contig with {kind} on it: {', '.join(map(str, present[:10]))}; received {chrom!r}. Use one of "
                f"these."
            )
    if not len(table):
        raise ValueError(
            f"There must be an element of the kind {kind!r} to draw windows around; there is none. Take another kind, or an "
            f"annotation of more of the genome."
        )
    contigs = table["chrom"].to_numpy(object)
    starts, ends = (table[column].to_numpy(np.int64) for column in ("start", "end"))
    known = np.ones(len(table), dtype=bool)
    last = np.full(len(table), np.iinfo(np.int64).max - length)
    if reference is not None:
        known, lengths = _lengths(reference, contigs)
        _require_contigs(known, lengths, contigs, kind, length, reference)
        last = lengths - length
        for reason, wrong in (
            ("elements on contigs that the reference lacks", ~known),
            ("elements on contigs shorter than a window", known & (last < 0)),
            ("elements that end beyond their contig", known & (last >= 0) & (ends > lengths)),
        ):
            if wrong.any():
                dropped[reason] = int(wrong.sum())
                known &= ~wrong
        if not known.any():
            raise ValueError(
                f"An element must lie on its contig; all {len(table):,} of {kind} end beyond theirs. Check that elements and "
                f"reference are of one assembly ({reference.assembly or 'unknown'})."
            )
    fits = ends - starts <= length
    low = np.maximum(np.where(fits, ends - length, starts - length + 1), 0)
    high = np.minimum(np.where(fits, starts, ends - 1), last)
    element = np.stack([starts, ends], axis=1)
    return _Places(contigs[known].tolist(), element[known], low[known], high[known])


def _lengths(reference: Reference, contigs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether the reference has the contig of each element, and its length."""
    length_of: dict[str, int] = {}
    for name in dict.fromkeys(contigs):
        try:
            length_of[name] = len(reference.whole(name))
        except ValueError:
            length_of[name] = -1
    lengths = np.array([length_of[name] for name in contigs], dtype=np.int64)
    return lengths >= 0, lengths


def _require_contigs(
    known: np.ndarray, lengths: np.ndarray, contigs: np.ndarray, kind: str, length: int, reference: Reference
) -> None:
    if not known.any():
        raise ValueError(
            f"{kind} must lie on a contig of the reference; received those of {', '.join(dict.fromkeys(contigs[:10]))}, and "
            f"{reference.path.name} has {', '.join(list(reference.contigs)[:10])}. Use a reference and elements of one genome."
        )
    if (lengths < length).all():
        longest = int(lengths.argmax())
        raise _too_long(length, Interval(str(contigs[longest]), 0, int(lengths[longest])))
