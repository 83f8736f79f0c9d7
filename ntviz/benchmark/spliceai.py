"""SpliceAI's acceptors and donors, base by base, from its published table of transcripts and a genome.

References
----------
Jaganathan et al. (2019) Cell 176:535: canonical_dataset.txt, one transcript a gene of GENCODE v24lift37 (GRCh37): name, paralog (0 or
1), chromosome, strand, start and end of the transcript, and the ends and starts of exons at its junctions, 1-based inclusive.
Chromosomes 1, 3, 5, 7 and 9 are for testing, without genes that have paralogs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ntviz import environment, storage
from ntviz.benchmark import registry
from ntviz.benchmark.task import Examples, Task
from ntviz.genome import Interval, canonical_contig
from ntviz.genome.sequence import reverse_complement

if TYPE_CHECKING:
    from ntviz.reference import Reference

TEST = ("chr1", "chr3", "chr5", "chr7", "chr9")
_ACCEPTOR, _DONOR = 1, 2
_COLUMNS = 8


def read_spliceai(
    table: str | os.PathLike[str],
    reference: Reference,
    *,
    length: int = 5_000,
    test_contigs: tuple[str, ...] = TEST,
) -> Task:
    """Each base of transcripts as none, acceptor (first base of an exon) or donor (last base of one), in windows along them.

    Parameters
    ----------
    table
        canonical_dataset.txt, or one like it; may be compressed by gzip.
    reference
        The genome it belongs to (GRCh37 as published).
    length
        Of windows in bp; a transcript is cut from its first base on, and the last window goes beyond its end, where bases are read but
        no class is asked. Models read no more than a window.
    test_contigs
        Contigs to test on. Their genes with paralogs are left out; those of other contigs are learned from.

    Raises
    ------
    ValueError
        A line is not of eight columns, or no transcript could be used for learning.
    """
    if length < 1:
        raise ValueError(f"length must be at least one base; got {length}. The published windows have 5,000.")
    path = Path(table)
    if not path.is_file():
        raise FileNotFoundError(
            f"The transcripts must be in a file; there is none at {path}. Check the path."
        )
    known = {canonical_contig(name): name for name in reference.contigs}
    held = {canonical_contig(name) for name in test_contigs}
    rows: dict[str, list[tuple]] = {"train": [], "test": []}
    left: dict[str, list[str]] = {}
    for name, paralog, chrom, strand, start, end, junctions in _transcripts(path):
        contig = canonical_contig(chrom)
        part = "test" if contig in held else "train"
        if contig not in known:
            reason = "on contigs that the reference lacks"
        elif end > reference.contigs[known[contig]]:
            reason = "that end beyond their contig: is the reference another assembly?"
        elif part == "test" and paralog:
            reason = "of the test part that have paralogs"
        else:
            place = Interval(known[contig], start, end, strand)
            rows[part] += _windows(reference, place, junctions, length, name)
            continue
        left.setdefault(reason, []).append(name)
    if not rows["train"]:
        raise ValueError(
            f"{path} must hold transcripts to learn from; none could be used"
            + "".join(f"; {len(names):,} {reason}" for reason, names in left.items())
            + ". Check that the reference is its assembly."
        )
    spec = registry.find("spliceai", "other")
    notes = [
        f"{len(names):,} transcripts {reason} were left out, the first is {names[0]}."
        for reason, names in left.items()
    ]
    if not rows["test"]:
        notes.append("There is no test part: folds by gene are used.")
    parts = {}
    for part, found in rows.items():
        if found:
            ids, sequences, labels, genes = zip(*found, strict=True)
            parts[part] = Examples(
                np.array(ids), np.array(sequences, dtype=object), np.stack(labels), np.array(genes)
            )
    return Task(
        "spliceai", spec.kind, spec.classes, parts["train"], parts.get("test"), category=spec.category, source=spec.source,
        split=spec.split, notes=tuple(notes), facts={"files": {path.name: storage.sha256(path)}},
    )  # fmt: skip


def _transcripts(path: Path) -> Iterator[tuple[str, bool, str, str, int, int, tuple[list[int], list[int]]]]:
    """Name, paralog, contig, strand, start (0-based), end, and places of exon ends and starts (0-based) of each line."""
    for number, line in environment.lines_of(path):
        if not line.strip() or line.startswith(("#", "NAME")):
            continue
        cells = line.split("\t")
        try:
            if len(cells) != _COLUMNS or cells[3] not in ("+", "-"):
                raise ValueError
            start, end = int(cells[4]) - 1, int(cells[5])
            ends, starts = ([int(text) - 1 for text in cells[i].split(",") if text] for i in (6, 7))
            outside = [place for place in (*ends, *starts) if not start <= place < end]
            if len(ends) != len(starts) or outside or not 0 <= start < end:
                raise ValueError
            paralog = bool(int(cells[1]))
        except ValueError as error:
            raise ValueError(
                f"Line {number} of {path.name} must be name, paralog, chromosome, strand, start, end, exon ends and exon starts "
                f"at the junctions (1-based, within the transcript), by tabs; received {line[:60].rstrip()!r}."
            ) from error
        yield cells[0], paralog, cells[2], cells[3], start, end, (ends, starts)


def _windows(
    reference: Reference, place: Interval, junctions: tuple[list[int], list[int]], length: int, name: str
) -> Iterator[tuple[str, str, np.ndarray, str]]:
    """Id, bases, classes and gene of each window of a transcript, along its strand."""
    start, end, forward = place.start, place.end, place.strand == "+"
    classes = np.zeros(end - start, dtype=np.int8)
    donors, acceptors = junctions if forward else reversed(junctions)
    classes[np.array(donors, dtype=np.int64) - start] = _DONOR
    classes[np.array(acceptors, dtype=np.int64) - start] = _ACCEPTOR
    if not forward:
        classes = classes[::-1]
    for offset in range(0, end - start, length):
        low = start + offset if forward else end - offset - length
        high = low + length
        inside = Interval(place.chrom, max(0, low), min(high, reference.contigs[place.chrom]))
        bases = "N" * (inside.start - low) + reference.fetch(inside).sequence + "N" * (high - inside.end)
        labels = np.full(length, -1, dtype=np.int8)
        here = classes[offset : offset + length]
        labels[: len(here)] = here
        yield f"{name}:{offset + 1}", bases if forward else reverse_complement(bases), labels, name
