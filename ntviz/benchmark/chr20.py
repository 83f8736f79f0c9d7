"""Tasks that need no download: built from chromosome 20 of GRCh37 and its genes, which come with ntviz; described in chr20.toml.

They are named as what they are. Lengths follow the revised tasks of Dalla-Torre et al. (2025), the sequences are others: none
of their numbers can be compared with published ones. Enhancers and histone marks are not among them, because the bundle
has no annotation of these; nor are promoters with and without a TATA box: 6 of the 544 first bases have one where it
belongs, as many as random places do, since first bases of canonical transcripts are no measured starts of transcription.
"""

from __future__ import annotations

import itertools
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ntviz import annotation, data
from ntviz.annotation.transcripts import SHORTEST_INTRON
from ntviz.benchmark import homology
from ntviz.benchmark.task import Examples, Task
from ntviz.genome import Interval
from ntviz.genome.sequence import reverse_complement
from ntviz.reference import Reference

_ABOUT = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
TASKS: dict[str, dict[str, Any]] = _ABOUT["tasks"]
"""What each task is, by name: kind, classes, length in bp, examples of train and test, category, note."""
NAMES = tuple(TASKS)
CHROM = "chr20"
BLOCK = 250_000
"""bp of a block: windows of a block stay on one side of any split, and are drawn together by the bootstrap."""
HELD_OUT = (40_000_000, 48_000_000)
"""0-based half-open; the part that the default model's pretraining left out, too."""
NEAR = 20
"""bp around a decoy that hold no annotated site."""
LARGEST = 8_000
"""Training examples of a task at most; drawn evenly by class."""


def build(name: str, *, seed: int = 0) -> Task:
    """The task of that name, one of `NAMES`; `seed` is that of drawing windows that are no sites."""
    if name not in TASKS:
        raise ValueError(f"A task of chromosome 20 must be one of {', '.join(NAMES)}; received {name!r}.")
    return _built(name, seed)


@lru_cache(maxsize=16)
def _built(name: str, seed: int) -> Task:
    return _BUILDERS[name](name, np.random.default_rng([seed, NAMES.index(name)]))


# Windows ------------------------------------------------------------------------------------------------------------


class Window(NamedTuple):
    """A stretch of chromosome 20, 0-based half-open, on a strand, with the class that it stands for; sorted by place."""

    start: int
    strand: str
    label: int
    end: int

    @property
    def block(self) -> int:
        """Number of the block in which it begins."""
        return self.start // BLOCK

    @property
    def group(self) -> str:
        """Name of the block, such as "chr20:40.25Mb"."""
        return f"{CHROM}:{self.block * BLOCK / 1e6:.2f}Mb"

    @property
    def held_out(self) -> bool:
        """Whether it lies in the held-out part."""
        return HELD_OUT[0] <= self.start and self.end <= HELD_OUT[1]

    @property
    def sequence(self) -> str:
        """Its bases along its strand."""
        text = bases()[self.start : self.end]
        return reverse_complement(text) if self.strand == "-" else text

    @property
    def usable(self) -> bool:
        """Whether it lies on the chromosome and within one block, and holds no N."""
        inside = self.start >= 0 and self.end <= len(bases()) and self.block == (self.end - 1) // BLOCK
        return inside and "N" not in bases()[self.start : self.end]


def around(position: int, strand: str, length: int, index: int, label: int = 0) -> Window:
    """The window whose base `index`, counted along the strand, is `position`, 0-based.

    Examples
    --------
    >>> around(100, "+", 10, 3).start, around(100, "-", 10, 3).end
    (97, 104)
    """
    start = position - index if strand == "+" else position + index + 1 - length
    return Window(start, strand, label, start + length)


def _distinct(windows: Iterable[Window]) -> list[Window]:
    """Windows that can be used, each place and strand once, by place."""
    return sorted({window[:2]: window for window in [*windows][::-1] if window.usable}.values())


def _by_block(windows: Iterable[Window]) -> Counter[int]:
    return Counter(window.block for window in windows)


def _drawn(
    places: np.ndarray, plus: np.ndarray | None, wanted: Mapping[int, int], make: Callable[[int, str], Window],
    rng: np.random.Generator, *, fits: Callable[[Window], bool] = lambda window: True, taken: Sequence[Window] = (),
) -> list[Window]:  # fmt: skip
    """Windows at random of the sorted `places`, as many in each block as are wanted and are there, none of those taken.

    `plus`: whether each place is read on the strand +; None: a coin.
    """
    known = {window[:2] for window in taken}
    result: list[Window] = []
    for block, number in sorted(wanted.items()):
        low, high = np.searchsorted(places, [block * BLOCK, (block + 1) * BLOCK])
        enough = len(result) + number
        for index in low + rng.permutation(high - low)[: 60 * number]:
            if len(result) == enough:
                break
            forward = bool(plus[index]) if plus is not None else rng.random() < 0.5
            window = make(int(places[index]), "+" if forward else "-")
            if window.block == block and window[:2] not in known and window.usable and fits(window):
                known.add(window[:2])
                result.append(window)
    return result


# What the bundle knows ------------------------------------------------------------------------------------------------


@cache
def bases() -> str:
    """Chromosome 20 of GRCh37, upper-case, from the bundle."""
    with Reference(data.bundle("chr20")) as reference:
        return reference.fetch(reference.whole(CHROM)).sequence


def _raw() -> np.ndarray:
    return np.frombuffer(bases().encode("ascii"), dtype=np.uint8)


@cache
def _genes() -> annotation.Annotation:
    """The genes of the bundle: one transcript each."""
    return annotation.read(data.bundle("genes"))


@cache
def _exons() -> list[tuple[str, list[tuple[int, int]]]]:
    """Strand and exons, 0-based half-open and sorted, of each transcript with a strand."""
    table = _genes().table
    table = table[(table["element"] == "exon") & table["strand"].isin(["+", "-"])]
    return [
        (str(part["strand"].iloc[0]), sorted(zip(part["start"].tolist(), part["end"].tolist(), strict=True)))
        for _, part in table.groupby("transcript", sort=False)
    ]


@cache
def splice_sites() -> list[tuple[int, str, str]]:
    """Position, strand and kind of every site of an intron of 4 bp and more, along the strand of its gene.

    A donor's position is the first base of the intron, an acceptor's the first base of the exon after it: base 300, counted
    from 0, of their windows of 600.
    """
    sites = set()
    for strand, parts in _exons():
        for (_, left), (right, _) in itertools.pairwise(parts):
            if right - left >= SHORTEST_INTRON:
                donor, acceptor = (left, right) if strand == "+" else (right - 1, left - 1)
                sites |= {(donor, strand, "donor"), (acceptor, strand, "acceptor")}
    return sorted(sites)


def _marked(stretches: Iterable[tuple[int, int]]) -> np.ndarray:
    """Bases of the chromosome in any of the stretches, bool [base]."""
    inside = np.zeros(len(bases()), dtype=bool)
    for start, end in stretches:
        inside[max(0, start) : end] = True
    return inside


@cache
def _quiet(strand: str) -> np.ndarray:
    """Bases in a gene of a strand with no annotated site of that strand within `NEAR` bp, bool [base]."""
    genes = _marked((parts[0][0], parts[-1][1]) for own, parts in _exons() if own == strand)
    near = _marked((at - NEAR, at + NEAR + 1) for at, own, _ in splice_sites() if own == strand)
    return genes & ~near


def _decoys(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions in genes that read GT (or follow AG) on the strand of the gene and are no site; whether on the strand +."""
    raw = _raw()
    places = {}
    # On the strand - the letters are read from their reverse complement: AC for GT, CT for AG.
    of_strand = {"donor": ((b"GT", 0), (b"AC", 1)), "acceptor": ((b"AG", 2), (b"CT", -1))}[kind]
    for strand, (letters, shift) in zip("+-", of_strand, strict=True):
        at = np.flatnonzero((raw[:-1] == letters[0]) & (raw[1:] == letters[1])) + shift
        at = at[(at >= 0) & (at < len(raw))]
        places[strand] = at[_quiet(strand)[at]]
    return _joined(places)


def _gene_positions() -> tuple[np.ndarray, np.ndarray]:
    """Every position of a gene that is not near a site; and whether it is read on the strand +."""
    return _joined({strand: np.flatnonzero(_quiet(strand)) for strand in "+-"})


def _joined(places: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Places of both strands, sorted, and whether each is on the strand +."""
    both = np.concatenate([places["+"], places["-"]])
    order = np.argsort(both, kind="stable")
    return both[order], order < len(places["+"])


# Builders -----------------------------------------------------------------------------------------------------------


def _splice(name: str, rng: np.random.Generator, *, kinds: tuple[str, ...]) -> Task:
    """Windows of sites of these kinds; without one, half stand at such letters, half anywhere in genes."""
    sites: list[Window] = []
    for label, kind in enumerate(sorted(kinds), 1):
        places = (site[:2] for site in splice_sites() if site[2] == kind)
        sites += _distinct(around(*place, 600, 300, label) for place in places)
    wanted = {block: max(1, n // len(kinds)) for block, n in _by_block(sites).items()}
    make = partial(around, length=600, index=300)
    others: list[Window] = []
    for kind in kinds:
        share = {block: -(-(n - n // 2) // len(kinds)) for block, n in wanted.items()}
        others += _drawn(*_decoys(kind), share, make, rng, taken=[*sites, *others])
    anywhere = {block: n // 2 for block, n in wanted.items() if n // 2}
    others += _drawn(*_gene_positions(), anywhere, make, rng, taken=[*sites, *others])
    return _task(name, [*sites, *others], rng)


def _promoter(name: str, rng: np.random.Generator) -> Task:
    starts = {(parts[0][0] if strand == "+" else parts[-1][1] - 1, strand) for strand, parts in _exons()}
    promoters = _distinct(around(*place, 300, 49, 1) for place in sorted(starts))
    inside = _marked((window.start, window.end) for window in promoters)
    others = _drawn(
        np.arange(len(bases())), None, _by_block(promoters), partial(around, length=300, index=49), rng,
        fits=lambda window: not inside[window.start : window.end].any(),
    )  # fmt: skip
    return _task(name, [*promoters, *others], rng, folded=True)


def _coding(name: str, rng: np.random.Generator) -> Task:
    table = _genes().table
    exonic = _marked(table.loc[table["element"] == "exon", ["start", "end"]].itertuples(index=False))
    cds = table.loc[table["element"] == "CDS", ["start", "end", "strand"]].values.tolist()
    coding = _distinct(around((start + end) // 2, strand, 300, 150, 1) for start, end, strand in cds)
    introns = _drawn(
        *_gene_positions(), _by_block(coding), partial(around, length=300, index=150), rng,
        fits=lambda window: not exonic[window.start : window.end].any(),
    )  # fmt: skip
    return _task(name, [*coding, *introns], rng)


def _cpg(name: str, rng: np.random.Generator) -> Task:
    whole = Interval(CHROM, 0, len(bases()))
    # By the limits of Takai and Jones (2002).
    table = annotation.cpg_islands(bases(), whole, length=500, gc=0.55, ratio=0.65).table
    islands = table[["start", "end"]].values.tolist()
    inside = _marked(islands)
    raw = _raw()
    strong = np.append(np.int32(0), np.cumsum((raw == ord("G")) | (raw == ord("C")), dtype=np.int32))
    places = rng.permutation(len(raw) - 300)[:3_000_000] + 150
    counts = strong[places + 150] - strong[places - 150]
    apart = ~inside[places - 150] & ~inside[places + 149] & ~inside[places] & (counts >= 150)
    by_gc: dict[tuple[int, bool], list[int]] = {}
    for place, count in zip(places[apart].tolist(), counts[apart].tolist(), strict=True):
        by_gc.setdefault((count, HELD_OUT[0] <= place < HELD_OUT[1]), []).append(place)
    pairs: list[Window] = []
    used: set[int] = set()
    middles = (place for start, end in islands for place in range(start + 150, end - 149, 100))
    for window in _distinct(around(place, "+", 300, 150, 1) for place in middles):
        # A partner with as many G and C, on the same side of the split.
        choices = by_gc.get((int(strong[window.end] - strong[window.start]), window.held_out), [])
        while choices:
            other = around(choices.pop(), "+", 300, 150)
            if other.usable and other.held_out == window.held_out and other.start // 300 not in used:
                used.add(other.start // 300)
                pairs += [window, other]
                break
    return _task(name, pairs, rng)


def _per_base(name: str, rng: np.random.Generator) -> Task:
    length = TASKS[name]["length"]
    labels = {strand: np.zeros(len(bases()), dtype=np.int8) for strand in "+-"}
    for position, strand, kind in splice_sites():
        # As SpliceAI has it: both labels stand on the exon, its first base and its last.
        place = position if kind == "acceptor" else position - (1 if strand == "+" else -1)
        labels[strand][place] = 1 if kind == "acceptor" else 2
    windows = _distinct(
        Window(start, strand, 0, start + length)
        for strand, parts in _exons()
        for start in range(parts[0][0] // length * length, parts[-1][1], length)
    )

    def classes(window: Window) -> np.ndarray:
        row = labels[window.strand][window.start : window.end]
        return row if window.strand == "+" else row[::-1]

    return _task(name, [window for window in windows if classes(window).any()], rng, labels=classes)


def _task(
    name: str, windows: list[Window], rng: np.random.Generator, *, labels: Callable[[Window], np.ndarray] | None = None,
    folded: bool = False,
) -> Task:  # fmt: skip
    """The task of windows, without what is homologous across the split, its classes in equal numbers in each part.

    `labels` of the bases of a window: then nothing is balanced. `folded`: without a test part.
    """
    about = TASKS[name]
    classes = len(about["classes"]) if labels is None else 0
    windows.sort()
    test = [] if folded else _balanced([window for window in windows if window.held_out], classes, rng)
    if not folded:
        windows = [window for window in windows if window.end <= HELD_OUT[0] or window.start >= HELD_OUT[1]]
    texts = [window.sequence for window in windows]
    keep = (
        homology.apart_by_group(texts, [window.group for window in windows])
        if folded
        else homology.apart(texts, [window.sequence for window in test])
    )
    kept = list(itertools.compress(windows, keep))
    parts = {"train": _balanced(kept, classes, rng, most=None if folded else LARGEST), "test": test}
    examples = {
        part: Examples(
            np.array([f"{CHROM}:{w.start}-{w.end}:{w.strand}:{w.label}" for w in chosen]),
            [window.sequence for window in chosen],
            np.array([window.label if labels is None else labels(window) for window in chosen]),
            np.array([window.group for window in chosen]),
        )
        for part, chosen in parts.items()
        if chosen
    }
    removed, judged = int((~keep).sum()), len(test or parts["train"])
    notes = [about["note"], f"{removed:,} windows were left out as homologous."]
    if judged < 1_000:
        notes.append(f"Fewer than 1,000 examples to judge by ({judged:,}): the chromosome has no more.")
    facts = {"homologous_left_out": removed, "test_region": None if folded else list(HELD_OUT)}
    return Task(
        name, about["kind"], tuple(about["classes"]), examples["train"], examples.get("test"), about["category"],
        _ABOUT["source"], _ABOUT["folded" if folded else "given"], tuple(notes), facts,
    )  # fmt: skip


def _balanced(
    windows: list[Window], classes: int, rng: np.random.Generator, *, most: int | None = None
) -> list[Window]:
    """As many windows of each class as the rarest has, drawn at random, by place; all of them without classes."""
    if not classes:
        return windows
    by_class = [[window for window in windows if window.label == label] for label in range(classes)]
    n = min(map(len, by_class))
    if most is not None:
        n = min(n, most // classes)
    return sorted(part[i] for part in by_class for i in rng.permutation(len(part))[:n])


_BUILDERS: dict[str, Callable[[str, np.random.Generator], Task]] = {
    "chr20_splice_sites_all": partial(_splice, kinds=("donor", "acceptor")),
    "chr20_splice_sites_donors": partial(_splice, kinds=("donor",)),
    "chr20_splice_sites_acceptors": partial(_splice, kinds=("acceptor",)),
    "chr20_promoter_all": _promoter,
    "chr20_coding": _coding,
    "chr20_cpg": _cpg,
    "chr20_splice_per_base": _per_base,
}
