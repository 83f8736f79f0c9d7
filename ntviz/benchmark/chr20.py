"""Tasks that need no download: built from chromosome 20 of GRCh37 and its genes, which come with ntviz.

They are named as what they are. Lengths follow the revised tasks of Dalla-Torre et al. (2025), the sequences are others: none
of their numbers can be compared with published ones. Enhancers and histone marks are not among them, because the bundle
has no annotation of these; nor are promoters with and without a TATA box: 6 of the 544 first bases have one where it
belongs, as many as random places do, since first bases of canonical transcripts are no measured starts of transcription.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from ntviz.benchmark import chr20_sites as sites
from ntviz.benchmark import chr20_windows as windows
from ntviz.benchmark import homology
from ntviz.benchmark.chr20_windows import HELD_OUT, Window, around, marked
from ntviz.benchmark.task import Examples, Task

LARGEST = 8_000
"""Training examples of a task at most; drawn evenly by class."""
_SOURCE = (
    "chromosome 20 of GRCh37, canonical transcripts of GENCODE V24 on GRCh37 with their longest reading frames; see "
    "data/README.md for licences"
)
_GIVEN = (
    f"test: chr20:{HELD_OUT[0] + 1:,}-{HELD_OUT[1]:,} (1-based, closed), which the pretraining of ntviz-mini left out; training: "
    f"the rest of the chromosome, less windows that share {homology.SHARE:.0%} of their {homology.K}-mers with a test window"
)
_FOLDED = (
    "none given, too few windows: folds by blocks of 250 kb; of windows in different blocks that share "
    f"{homology.SHARE:.0%} of their {homology.K}-mers one is left out. ntviz-mini has seen most of the sequence, without "
    "labels"
)


def build(name: str, *, seed: int = 0) -> Task:
    """The task of that name; the same for a seed.

    Parameters
    ----------
    name
        One of `NAMES`.
    seed
        Of drawing windows that are no sites.

    Raises
    ------
    ValueError
        There is no such task.
    """
    if name not in _BUILDERS:
        raise ValueError(f"A task of chromosome 20 must be one of {', '.join(NAMES)}; received {name!r}.")
    return _built(name, seed)


@lru_cache(maxsize=16)
def _built(name: str, seed: int) -> Task:
    return _BUILDERS[name](name, np.random.default_rng([seed, NAMES.index(name)]))


# Splice sites -------------------------------------------------------------------------------------------------------


def _splice(kind: str) -> Callable[[str, np.random.Generator], Task]:
    other = "acceptor" if kind == "donor" else "donor"

    def task(name: str, rng: np.random.Generator) -> Task:
        positive = sites.site_windows(kind, 600, 1)
        negative = _no_sites((kind,), sites.by_block(positive), 600, rng, positive)
        return _given(
            name,
            "binary",
            (f"no {kind}", kind),
            [*positive, *negative],
            rng,
            category="splicing",
            note=f"600 bp, the {kind} at base 300 counted from 0. Of the others, half stand in the same way at a "
            f"{'GT' if kind == 'donor' else 'AG'} of a gene that is no site, half anywhere in genes; none within "
            f"{sites.NEAR} bp of a site. An {other} may lie anywhere.",
        )

    return task


def _splice_all(name: str, rng: np.random.Generator) -> Task:
    acceptors, donors = sites.site_windows("acceptor", 600, 1), sites.site_windows("donor", 600, 2)
    wanted = {block: max(1, n // 2) for block, n in sites.by_block([*acceptors, *donors]).items()}
    none = _no_sites(("donor", "acceptor"), wanted, 600, rng, [*acceptors, *donors])
    return _given(
        name,
        "multiclass",
        ("none", "acceptor", "donor"),
        [*acceptors, *donors, *none],
        rng,
        category="splicing",
        note="600 bp, the site at base 300 counted from 0: the first base of the exon (acceptor) or of the intron "
        "(donor). Of the others, half stand at a GT or behind an AG of a gene that is no site, half anywhere in genes.",
    )


def _no_sites(
    kinds: tuple[str, ...], wanted: dict[int, int], length: int, rng: np.random.Generator, taken: list[Window]
) -> list[Window]:
    """Windows without a site in the middle, half of them at its two letters."""

    def make(position: int, strand: str) -> Window:
        return around(position, strand, length, length // 2, 0)

    alike, anywhere = sites.halves(wanted)
    found: list[Window] = []
    share = {block: -(-n // len(kinds)) for block, n in alike.items()}
    for kind in kinds:
        places, plus = sites.decoys(kind)
        found += sites.drawn(places, plus, share, make, rng, taken=[*taken, *found])
    places, plus = sites.gene_positions()
    return [*found, *sites.drawn(places, plus, anywhere, make, rng, taken=[*taken, *found])]


# Promoters ----------------------------------------------------------------------------------------------------------


def _promoter(name: str, rng: np.random.Generator) -> Task:
    positive = windows.distinct(around(position, strand, 300, 49, 1) for position, strand in sites.starts())
    inside = marked(np.array([w.start for w in positive]), np.array([w.end for w in positive]))
    negative = sites.drawn(
        np.arange(len(windows.bases())),
        None,
        sites.by_block(positive),
        lambda position, strand: around(position, strand, 300, 49, 0),
        rng,
        fits=lambda window: not inside[window.start : window.end].any(),
    )
    return _folded(
        name,
        ("no promoter", "promoter"),
        [*positive, *negative],
        rng,
        category="promoters",
        note="300 bp, 49 before and 250 after the first base of a transcript, which is base 49 counted from 0. The others "
        "are any windows of the same blocks that overlap no promoter window: they differ in composition, as in the revised "
        "tasks.",
    )


# Others -------------------------------------------------------------------------------------------------------------


def _coding(name: str, rng: np.random.Generator) -> Task:
    table = windows.genes().table
    cds, exon = (table[table["element"] == kind] for kind in ("CDS", "exon"))
    exonic = marked(exon["start"].to_numpy(), exon["end"].to_numpy())
    positive = windows.distinct(
        around((start + end) // 2, strand, 300, 150, 1)
        for start, end, strand in zip(cds["start"].tolist(), cds["end"].tolist(), cds["strand"], strict=True)
    )
    places, plus = sites.gene_positions()
    negative = sites.drawn(
        places,
        plus,
        sites.by_block(positive),
        lambda position, strand: around(position, strand, 300, 150, 0),
        rng,
        fits=lambda window: not exonic[window.start : window.end].any(),
    )
    return _given(
        name,
        "binary",
        ("intron", "coding"),
        [*positive, *negative],
        rng,
        category="coding",
        note="300 bp on the strand of the gene: around the middle of the coding part of an exon, which is base 150 counted from 0 "
        "and mostly has introns on both sides, or within an intron.",
    )


def _cpg(name: str, rng: np.random.Generator) -> Task:
    table = windows.islands().table
    inside = marked(table["start"].to_numpy(), table["end"].to_numpy())
    middles = [
        place
        for start, end in zip(table["start"].tolist(), table["end"].tolist(), strict=True)
        for place in range(start + 150, end - 149, 100)
    ]
    positive = windows.distinct(around(place, "+", 300, 150, 1) for place in middles)
    raw = np.frombuffer(windows.bases().encode("ascii"), dtype=np.uint8)
    strong = np.concatenate([[0], np.cumsum((raw == ord("G")) | (raw == ord("C")), dtype=np.int64)])

    def gc(window: Window) -> int:
        return int(strong[window.end] - strong[window.start])

    places = rng.permutation(len(raw) - 300)[:3_000_000] + 150
    counts = strong[places + 150] - strong[places - 150]
    apart = ~inside[places - 150] & ~inside[places + 149] & ~inside[places]
    by_gc: dict[tuple[int, bool], list[int]] = {}
    for place, count in zip(
        places[apart & (counts >= 150)].tolist(), counts[apart & (counts >= 150)].tolist(), strict=True
    ):
        by_gc.setdefault((count, HELD_OUT[0] <= place < HELD_OUT[1]), []).append(place)
    pairs: list[Window] = []
    used: set[int] = set()
    for window in positive:
        # A partner with as many G and C, on the same side of the split.
        choices = by_gc.get((gc(window), window.held_out), [])
        while choices:
            other = around(choices.pop(), "+", 300, 150, 0)
            if windows.usable(other) and other.held_out == window.held_out and other.start // 300 not in used:
                used.add(other.start // 300)
                pairs += [window, other]
                break
    return _given(
        name,
        "binary",
        ("no island", "CpG island"),
        pairs,
        rng,
        category="other",
        note="300 bp within a CpG island, one every 100 bp (500 bp, GC 0.55, observed to expected CpG 0.65), each with a window outside of "
        "islands with exactly as many G and C. Islands are defined by counting CpG: 2-mers solve it, and a model should.",
    )


def _per_base(name: str, rng: np.random.Generator) -> Task:
    del rng
    length = 1_000
    labels: dict[tuple[int, str], int] = {}
    for position, strand, kind in sites.splice_sites():
        # As SpliceAI has it: both labels stand on the exon, its first base and its last.
        place = position if kind == "acceptor" else position - (1 if strand == "+" else -1)
        labels[place, strand] = 1 if kind == "acceptor" else 2
    found = windows.distinct(
        around(start, "+", length, 0, 0) if strand == "+" else around(start + length - 1, "-", length, 0, 0)
        for strand, parts in sites.exons()
        for start in range(parts[0][0] // length * length, parts[-1][1], length)
    )
    rows, kept = [], []
    for window in found:
        row = np.zeros(length, dtype=np.int8)
        for place in range(window.start, window.end):
            label = labels.get((place, window.strand))
            if label is not None:
                row[place - window.start if window.strand == "+" else window.end - 1 - place] = label
        if row.any():
            rows.append(row)
            kept.append(window)
    return _split(
        name,
        "per_base",
        ("none", "acceptor", "donor"),
        kept,
        np.array(rows),
        category="splicing",
        note="Windows of 1,000 bp on the strand of a gene that hold a site. Classes of bases: acceptor, the first base of an "
        "exon; donor, its last base. Windows have no flanks: sites near their ends are seen from one side.",
    )


# Putting together ---------------------------------------------------------------------------------------------------


def _examples(chosen: list[Window], labels: np.ndarray) -> Examples:
    names = [f"{window.name}:{window.label}" for window in chosen]
    return Examples(
        np.array(names),
        np.array([windows.read(window) for window in chosen], dtype=object),
        labels,
        np.array([window.group for window in chosen]),
    )


def _given(
    name: str,
    kind: str,
    classes: tuple[str, ...],
    found: list[Window],
    rng: np.random.Generator,
    **about: Any,
) -> Task:
    """A task with a test part, its classes in equal numbers in both parts."""
    found = sorted(found, key=lambda window: (window.start, window.strand, window.label))
    test = _balanced([window for window in found if window.held_out], len(classes), rng)
    rest = [window for window in found if window.end <= HELD_OUT[0] or window.start >= HELD_OUT[1]]
    keep = homology.apart([windows.read(w) for w in rest], [windows.read(w) for w in test])
    near = int((~keep).sum())
    train = _balanced(
        [w for w, good in zip(rest, keep, strict=True) if good], len(classes), rng, most=LARGEST
    )
    parts = [_examples(part, np.array([w.label for w in part], dtype=np.int64)) for part in (train, test)]
    return _task(name, kind, classes, parts[0], parts[1], near, _GIVEN, **about)


def _folded(
    name: str, classes: tuple[str, ...], found: list[Window], rng: np.random.Generator, **about: Any
) -> Task:
    """A task without a test part."""
    found = sorted(found, key=lambda window: (window.start, window.strand, window.label))
    groups = np.array([window.group for window in found])
    keep = homology.apart_by_group([windows.read(w) for w in found], groups)
    kept = _balanced([w for w, good in zip(found, keep, strict=True) if good], len(classes), rng)
    examples = _examples(kept, np.array([w.label for w in kept], dtype=np.int64))
    return _task(name, "binary", classes, examples, None, int((~keep).sum()), _FOLDED, **about)


def _split(
    name: str, kind: str, classes: tuple[str, ...], found: list[Window], labels: np.ndarray, **about: Any
) -> Task:
    """A task with labels of bases, split as given."""
    held = np.array([w.held_out for w in found])
    rest = np.array([w.end <= HELD_OUT[0] or w.start >= HELD_OUT[1] for w in found])
    texts = np.array([windows.read(w) for w in found], dtype=object)
    keep = homology.apart(texts[rest].tolist(), texts[held].tolist())
    train = np.flatnonzero(rest)[keep]
    parts = [_examples([found[i] for i in rows], labels[rows]) for rows in (train, np.flatnonzero(held))]
    return _task(name, kind, classes, parts[0], parts[1], int((~keep).sum()), _GIVEN, **about)


def _balanced(
    found: list[Window], classes: int, rng: np.random.Generator, *, most: int | None = None
) -> list[Window]:
    """As many windows of each class as the rarest has, drawn at random, by place."""
    by_class = [[w for w in found if w.label == label] for label in range(classes)]
    n = min(map(len, by_class))
    if most is not None:
        n = min(n, most // classes)
    chosen = [part[i] for part in by_class for i in rng.permutation(len(part))[:n]]
    return sorted(chosen, key=lambda window: (window.start, window.strand, window.label))


def _task(
    name: str,
    kind: str,
    classes: tuple[str, ...],
    train: Examples,
    test: Examples | None,
    removed: int,
    split: str,
    *,
    category: str,
    note: str,
) -> Task:
    judged = train if test is None else test
    notes = [note, f"{removed:,} windows were left out as homologous."]
    if len(judged) < 1_000:
        notes.append(f"Fewer than 1,000 examples to judge by ({len(judged):,}): the chromosome has no more.")
    facts = {"homologous_left_out": removed, "test_region": None if test is None else list(HELD_OUT)}
    return Task(name, kind, classes, train, test, category, _SOURCE, split, tuple(notes), facts)


_BUILDERS: dict[str, Callable[[str, np.random.Generator], Task]] = {
    "chr20_splice_sites_all": _splice_all,
    "chr20_splice_sites_donors": _splice("donor"),
    "chr20_splice_sites_acceptors": _splice("acceptor"),
    "chr20_promoter_all": _promoter,
    "chr20_coding": _coding,
    "chr20_cpg": _cpg,
    "chr20_splice_per_base": _per_base,
}
NAMES = tuple(_BUILDERS)
"""Names of all tasks of this module."""
