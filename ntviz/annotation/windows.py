"""Windows sampled from a genome: `around` elements, at a uniform place of each, or `inside` of one element each."""

from __future__ import annotations

import operator
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntviz.annotation.from_bases import in_windows
from ntviz.environment import tell
from ntviz.genome import Interval, canonical_contig
from ntviz.genome.sequence import codes

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.annotation import Annotation
    from ntviz.reference import Reference

PATIENCE = 1000
"""Windows dropped one after the other until the drawing ends."""
CHUNK = 8_000_000
"""bp looked at together: memory stays that of so many bases, however long the contig."""


@dataclass(frozen=True)
class Windows:
    """Windows of one length, in the order in which they were drawn; made by `around`.

    `of` are the elements that they were drawn for, `kind` is theirs; None for windows of the whole contig. `dropped` counts what was left
    out, by reason: elements that cannot be used, and windows with too much N.
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
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in self.dropped.items() if count)
        text = f"Left out: {reasons}." if reasons else ""
        if len(self) < self.asked:
            text += (f" {len(self):,} of {self.asked:,} windows were found before {PATIENCE:,} in a row had to be left out.")  # fmt: skip
        return text.strip()


class _Places(NamedTuple):
    """What windows are drawn around: elements, or whole contigs."""

    chrom: list[str]
    element: np.ndarray  # [place, 2], bp
    low: np.ndarray  # [place]: first and last start that a window may have
    high: np.ndarray


def around(
    elements: Annotation | None, kind: str | None, *, length: int, n: int, reference: Reference | None = None,
    chrom: str | None = None, max_n: float = 0.0, seed: int = 0,
) -> Windows:  # fmt: skip
    """Windows around elements of one kind, such that the place of the element in the window is uniform.

    Elements are taken in random order, each once before any is taken again. Of the windows that hold the whole element
    and lie on its contig one is drawn, all with the same chance. Of an element longer than the window, one is drawn of
    those that share a base with it; so each of its bases has the same chance to be in the window.

    The first windows are the same whatever `n` is, and depend on the seed, the kind and the elements alone.

    Parameters
    ----------
    kind
        Kind of element; None for windows anywhere on the contigs, all with the same chance, as a background.
    length
        bp of each window; `model.max_bp` is the longest that a model takes whole.
    n
        Number of windows. There are fewer only when 1,000 in a row have to be left out; `Windows.note` says so.
    reference
        Where contigs end, and where N are. Without it windows end anywhere, and N are not looked for.
    max_n
        Largest share of N in a window, 0 to 1; what has more is left out, counted, and another is drawn.

    References
    ----------
    Dalla-Torre et al., Nature Methods 2025, take 90,000 windows of 6 kb with the element at a uniform place.

    Examples
    --------
    >>> import pandas as pd
    >>> from ntviz import annotation
    >>> site = annotation.from_table(pd.DataFrame({"chrom": ["1"], "start": [50], "end": [52]}), element="site")
    >>> sorted({window.start for window in around(site, "site", length=3, n=100)})
    [49, 50]
    """
    length, n, seed = _whole("length", length, 1), _whole("n", n, 1), _whole("seed", seed, 0)
    if not 0 <= max_n <= 1:
        raise ValueError(f"max_n must be a share between 0 and 1; received {max_n}. 0 allows no N.")
    dropped: dict[str, int] = {}
    if kind is None:
        places = _contigs(reference, chrom, length)
    elif elements is None:
        raise ValueError(f"elements must hold the kind {kind!r}; received None. Pass an Annotation, or kind=None for any window.")  # fmt: skip
    else:
        places = _elements(elements, kind, length, reference, chrom, dropped)
    drawn = Windows([], [], kind, n, dropped)
    too_much, in_a_row = f"windows with more than {max_n:g} of N", 0
    for place, start in _draws(places, kind, seed):
        window = Interval(places.chrom[place], start, start + length)
        if reference is not None and reference.fetch(window).sequence.count("N") > max_n * length:
            dropped[too_much] = dropped.get(too_much, 0) + 1
            in_a_row += 1
        else:
            in_a_row = 0
            drawn.intervals.append(window)
            drawn.of.append(None if kind is None else Interval(window.chrom, *places.element[place].tolist()))
        if len(drawn) == n or in_a_row == PATIENCE:
            break
    where = kind or "any place"
    if not len(drawn):
        raise ValueError(
            f"A window must have at most {max_n:g} of N; none of {PATIENCE:,} of {length:,} bp around {where} has. "
            "Raise max_n, or shorten the window."
        )
    if drawn.note:
        tell(f"Windows around {where}: {drawn.note}")
    return drawn


def _whole(name: str, value: Any, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number; received {value!r}. Round it to an int.") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}; received {number}. Give a larger number.")
    return number


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
    _check_fits(length, max(whole, key=len))
    fitting = [contig for contig in whole if len(contig) >= length]
    ends = np.array([len(contig) for contig in fitting])
    zeros = np.zeros_like(ends)
    return _Places([contig.chrom for contig in fitting], np.stack([zeros, ends], 1), zeros, ends - length)


def _check_fits(length: int, longest: Interval) -> None:
    if len(longest) < length:
        raise ValueError(
            f"A window must fit on a contig; received length={length:,} bp, and the longest, {longest.chrom}, has "
            f"{len(longest):,}. Shorten the window."
        )


def _elements(
    elements: Annotation, kind: str, length: int, reference: Reference | None, chrom: str | None,
    dropped: dict[str, int],
) -> _Places:  # fmt: skip
    table = elements.elements(kind)
    if chrom is not None and len(table):
        present = list(dict.fromkeys(table["chrom"]))
        table = table[[canonical_contig(name) == canonical_contig(chrom) for name in table["chrom"]]]
        if not len(table):
            raise ValueError(
                f"chrom must be a contig with {kind} on it: {', '.join(map(str, present[:10]))}; received {chrom!r}. "
                "Use one of these."
            )
    if not len(table):
        raise ValueError(
            f"There must be an element of the kind {kind!r} to draw windows around; there is none. Take another kind, or "
            "an annotation of more of the genome."
        )
    contigs = table["chrom"].to_numpy(object)
    starts, ends = (table[column].to_numpy(np.int64) for column in ("start", "end"))
    known, last = np.ones(len(table), dtype=bool), np.iinfo(np.int64).max
    if reference is not None:
        lengths = _lengths(reference, contigs, kind, length)
        last = lengths - length
        reasons = (
            "elements on contigs that the reference lacks",
            "elements on contigs shorter than a window",
            "elements that end beyond their contig",
        )
        wrong = np.select([lengths < 0, last < 0, ends > lengths], (1, 2, 3), 0)
        counts = zip(reasons, np.bincount(wrong, minlength=4)[1:].tolist(), strict=True)
        dropped |= {reason: count for reason, count in counts if count}
        known = wrong == 0
        if not known.any():
            raise ValueError(
                f"An element must lie on its contig; all {len(table):,} of {kind} end beyond theirs. Check that elements "
                f"and reference are of one assembly ({reference.assembly or 'unknown'})."
            )
    fits = ends - starts <= length
    low = np.maximum(np.where(fits, ends - length, starts - length + 1), 0)
    high = np.minimum(np.where(fits, starts, ends - 1), last)
    return _Places(contigs[known].tolist(), np.stack([starts, ends], 1)[known], low[known], high[known])


def _lengths(reference: Reference, contigs: np.ndarray, kind: str, length: int) -> np.ndarray:
    """Length of the contig of each element, -1 where the reference lacks it."""
    length_of: dict[str, int] = {}
    for name in dict.fromkeys(contigs):
        try:
            length_of[name] = len(reference.whole(name))
        except ValueError:
            length_of[name] = -1
    longest = max(length_of, key=lambda name: length_of[name])
    if length_of[longest] < 0:
        raise ValueError(
            f"{kind} must lie on a contig of the reference; received those of {', '.join(list(length_of)[:10])}, and "
            f"{reference.path.name} has {', '.join(list(reference.contigs)[:10])}. Use a reference and elements of one genome."
        )
    _check_fits(length, Interval(str(longest), 0, length_of[longest]))
    return np.array([length_of[name] for name in contigs], dtype=np.int64)


def inside(
    annotation: Annotation, reference: Reference, elements: Sequence[str], *, length: int, n: int, share: float = 1.0,
    region: Interval | str | None = None, seed: int = 0,
) -> tuple[pd.DataFrame, list[Interval], str]:  # fmt: skip
    """Windows drawn at random, each in one element, without N and without overlap.

    A base counts for an element when it is in no other of those asked for; in an intron, when it is in no exon of any
    transcript either; at least `share` of a window's bases count. Each place to begin is as likely as another. Scarce
    elements are drawn first. A window lies on the strand of its gene; where there is none, or genes of both, on either
    with equal chance. `region` is an Interval, text (1-based closed), or None for every contig that is annotated.

    What comes back is a table [chrom, start, end, strand, element, gene], at most `n` rows an element; the regions looked
    at; and what is to be said of them. ValueError where there is no window at all.
    """
    import pandas as pd

    names = list(elements)
    every, note = _regions(annotation, reference, region)
    regions = [part for part in every if len(part) >= length]
    runs = [starts_by_element(annotation, reference, part, names, length=length, share=share) for part in regions]
    amounts = {name: sum(int(np.diff(part[name]).sum()) for part in runs) for name in names}
    if not any(amounts.values()):
        raise ValueError(
            f"There must be room for a window of {length:,} bp in one of {', '.join(names)}; there is none in "
            f"{', '.join(part.label() for part in regions[:3]) or 'so short a region'} with share={share:g}. Ask for shorter "
            "windows, a smaller share, or a larger region."
        )
    taken: list[list[int]] = [[] for _ in regions]
    rows = []
    for number, name in enumerate(sorted(names, key=lambda name: (amounts[name], names.index(name)))):
        rng = np.random.default_rng((seed, number))
        for contig, start in apart([part[name] for part in runs], n, length, taken, rng):
            rows.append(_row(annotation, name, Interval(regions[contig].chrom, start, start + length), rng))
    rows.sort(key=lambda row: (names.index(row[4]), row[0], row[1]))
    return pd.DataFrame(rows, columns=["chrom", "start", "end", "strand", "element", "gene"]), regions, note


def _regions(annotation: Annotation, reference: Reference, region: Interval | str | None) -> tuple[list[Interval], str]:
    """Where to look, and what is to be said of it."""
    if region is not None:
        asked = Interval.from_str(region) if isinstance(region, str) else region
        within = asked.intersect(reference.whole(asked.chrom))
        if within is None:
            raise ValueError(
                f"The region must have a base on its contig; received {asked.label()}, and the contig ends at "
                f"{len(reference.whole(asked.chrom)):,} bp. Check the coordinates."
            )
        return [Interval(within.chrom, within.start, within.end)], ""
    known = {canonical_contig(name) for name in reference.contigs}
    annotated = {canonical_contig(str(name)): str(name) for name in dict.fromkeys(annotation.table["chrom"])}
    missing = [name for key, name in annotated.items() if key not in known]
    regions = [reference.whole(name) for key, name in annotated.items() if key in known]
    if not regions:
        raise ValueError(
            f"A contig must be in the annotation and in the reference; {annotation.source} has "
            f"{', '.join(list(annotated.values())[:5]) or 'none'}, {reference.path.name} has "
            f"{', '.join(list(reference.contigs)[:5])}. Read files of one assembly."
        )
    shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
    return regions, f"Contigs without bases in {reference.path.name}: {shown}." if missing else ""


def _row(annotation: Annotation, element: str, place: Interval, rng: np.random.Generator) -> tuple[Any, ...]:
    """A row of the table: the window on the strand of the genes that it is of."""
    near = annotation.within(place).table
    rows = near[near["element"] == element]
    if rows.empty:
        # What is derived has no feature of its own: its transcripts, or genes, tell.
        rows = near[near["element"].isin(["gene", "transcript"])]
    strands = sorted(set(rows["strand"]) & {"+", "-"})
    strand = strands[0] if len(strands) == 1 else "+-"[int(rng.integers(2))]
    gene = ", ".join(dict.fromkeys(str(name) for name in rows["gene"] if name))
    return place.chrom, place.start, place.end, strand, element, gene


def starts_by_element(
    annotation: Annotation, reference: Reference, region: Interval, elements: Sequence[str], *, length: int,
    share: float,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Runs of positions where a window of an element may begin, int64 [run, 2], by element: none of its bases is N."""
    found: dict[str, list[np.ndarray]] = {element: [] for element in elements}
    for first in range(region.start, region.end - length + 1, CHUNK):
        part = Interval(region.chrom, first, min(first + CHUNK + length - 1, region.end))
        clean = in_windows(codes(reference.fetch(part).sequence) < 4, length) == length
        covers = {element: annotation.indicator(part, element) for element in elements}
        times = np.sum(list(covers.values()), axis=0, dtype=np.uint8)
        for element, cover in covers.items():
            alone = cover & (times == 1)
            if element == "intron" and "exon" in annotation.kinds:
                alone &= ~annotation.indicator(part, "exon")
            # Of 7 of 10 bases, 7 / 10 may come out a little above the share that was asked for.
            enough = in_windows(alone, length) >= share * length - 1e-9
            edges = np.flatnonzero(np.diff(np.r_[0, clean & enough, 0].astype(np.int8)))
            found[element].append(edges.reshape(-1, 2).astype(np.int64) + first)
    return {element: np.concatenate(parts) for element, parts in found.items()}


def apart(
    runs: Sequence[np.ndarray], n: int, length: int, taken: Sequence[list[int]], rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Contig (its number) and start of up to n windows that do not overlap, each start as likely as another.

    `runs` are positions to draw from by contig, [run, 2]; `taken` are sorted starts by contig of windows that are there
    already, to which those drawn are added.
    """
    found: list[tuple[int, int]] = []
    while len(found) < n:
        left = [
            np.array(list(_cut(part, held, length)), np.int64).reshape(-1, 2)
            for part, held in zip(runs, taken, strict=True)
        ]
        contig = np.repeat(np.arange(len(left)), [len(part) for part in left])
        every = np.concatenate(left)
        ends = np.cumsum(every[:, 1] - every[:, 0])
        if not len(ends):
            break
        for rank in rng.integers(0, ends[-1], 2 * (n - len(found)) + 8):
            run = int(np.searchsorted(ends, rank, side="right"))
            start = int(every[run, 1] - (ends[run] - rank))
            held = taken[contig[run]]
            place = bisect_left(held, start - length + 1)
            if place < len(held) and held[place] < start + length:
                continue
            insort(held, start)
            found.append((int(contig[run]), start))
            if len(found) == n:
                break
    return found


def _cut(runs: np.ndarray, held: Sequence[int], length: int) -> Iterator[tuple[int, int]]:
    """Runs of starts without those whose window would overlap one that is held."""
    for first, stop in runs.tolist():
        at = bisect_left(held, first - length + 1)
        while at < len(held) and held[at] - length + 1 < stop:
            if first < held[at] - length + 1:
                yield first, held[at] - length + 1
            first = max(first, held[at] + length)
            at += 1
        if first < stop:
            yield first, stop
