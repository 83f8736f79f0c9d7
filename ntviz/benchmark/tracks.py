"""Tasks with several answers a sequence, from their published files: DeepSTARR's activities, DeepSEA's tracks, SpliceAI's sites.

References
----------
de Almeida et al. (2022) Nature Genetics 54:613, for DeepSTARR: 249 bp, activities with a developmental and a housekeeping
promoter, log2; training, validation and test files.

Zhou & Troyanskaya (2015) Nature Methods 12:931, for DeepSEA: train.mat (4.4 million sequences), valid.mat (8,000) and test.mat
(455,024), each of 1,000 bp on both strands, one-hot in the order A, G, C, T; the first half of a file are the forward strands.

Jaganathan et al. (2019) Cell 176:535, for SpliceAI: canonical_dataset.txt, one transcript a gene of GENCODE v24lift37 (GRCh37): name,
paralog (0 or 1), chromosome, strand, start and end of the transcript, and the ends and starts of exons at its junctions, 1-based
inclusive. Chromosomes 1, 3, 5, 7 and 9 are for testing, without genes that have paralogs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import environment, storage
from ntviz.benchmark import reading, registry
from ntviz.benchmark.task import Examples, Task
from ntviz.genome import Interval, canonical_contig
from ntviz.genome.sequence import clean, reverse_complement

if TYPE_CHECKING:
    from ntviz.reference import Reference

ACTIVITIES = ["Dev_log2_enrichment", "Hk_log2_enrichment"]
TEST = ("chr1", "chr3", "chr5", "chr7", "chr9")
"""SpliceAI's contigs to test on."""
_LETTERS = np.frombuffer(b"AGCTN", dtype=np.uint8)
_ACCEPTOR, _DONOR = 1, 2


def _task(
    name: str, parts: Mapping[str, Examples], notes: list[str], files: Iterable[Path], classes: tuple[str, ...] = ()
) -> Task:
    spec = registry.find(name, "other")
    return Task(
        name, spec.kind, classes or spec.classes, parts["train"], parts.get("test"), category=spec.category, source=spec.source,
        split=spec.split, notes=tuple(notes), facts={"files": {file.name: storage.sha256(file) for file in files}},
    )  # fmt: skip


# DeepSTARR ------------------------------------------------------------------------------------------------------------


def read_deepstarr(folder: str | os.PathLike[str]) -> Task:
    """The two activities of DeepSTARR, from a folder with Sequences_Train.fa, Sequences_activity_Train.txt and so on.

    The validation files are learned from here, where choosing is done inside. Row i of a table belongs to sequence i of its FASTA, as
    published. FileNotFoundError for a missing file; ValueError for a table without the activities or of another length.
    """
    folder = Path(folder)
    files: list[Path] = []
    notes: list[str] = []
    parts = {}
    for part, names in (("train", ("Train", "Val")), ("test", ("Test",))):
        rows: list[reading.Row] = []
        values: list[np.ndarray] = []
        for name in names:
            fasta, table = folder / f"Sequences_{name}.fa", folder / f"Sequences_activity_{name}.txt"
            for file in (fasta, table):
                if not file.is_file():
                    raise FileNotFoundError(
                        f"DeepSTARR must have {file.name}; there is none in {folder}. Get all six files."
                    )
            files += [fasta, table]
            records, numbers = list(reading.fasta_rows(fasta)), _activities(table)
            if len(records) != len(numbers):
                raise ValueError(
                    f"{fasta.name} and {table.name} must have a row each; received {len(records):,} and {len(numbers):,}."
                )
            good = np.isfinite(numbers).all(axis=1)
            if not good.all():
                notes.append(
                    f"{int((~good).sum()):,} rows of {table.name} without numbers were left out, the first in line {int(good.argmin()) + 2}."
                )
            rows += [records[index] for index in np.flatnonzero(good)]
            values.append(numbers[good])
        parts[part] = Examples(
            # Both strands of a fragment share its name: they are kept apart by a number, and together by their place.
            np.array([f"{row.identity}#{index}" for index, row in enumerate(rows)]),
            [clean(row.sequence, typed=False).sequence for row in rows],
            np.concatenate(values),
            [reading.group_of(row.identity) for row in rows],
        )
    return _task("deepstarr", parts, notes, files)


def _activities(table: Path) -> np.ndarray:
    """float32 [row, activity]; nan where a cell is no number."""
    import pandas as pd

    activity = pd.read_csv(environment.opened(table), sep="\t")
    missing = [column for column in ACTIVITIES if column not in activity.columns]
    if missing:
        raise ValueError(
            f"{table.name} must have the columns {', '.join(ACTIVITIES)}; it lacks {', '.join(missing)} and has "
            f"{', '.join(map(str, activity.columns[:6]))}."
        )
    return activity[ACTIVITIES].apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)


# DeepSEA --------------------------------------------------------------------------------------------------------------


def read_deepsea(folder: str | os.PathLike[str], *, n_train: int | None = None, n_test: int | None = None) -> Task:
    """Whether each of 919 tracks has a peak in the middle 200 bp of 1,000, from a folder with train.mat, valid.mat and test.mat.

    Without train.mat the validation file is learned from, which has 8,000; with both, both are. `n_train` and `n_test` sequences of each
    file are taken at even distances; None for all: those of train.mat are 4.4 GB of text. FileNotFoundError without test.mat or
    what to learn from; ValueError for a file that is not MATLAB's, or lacks one-hot arrays; ImportError where h5py is needed.
    """
    folder = Path(folder)
    names = ("train", "valid", "test")
    paths = {part: path for part in names if (path := folder / f"{part}.mat").is_file()}
    if "test" not in paths or len(paths) < 2:
        raise FileNotFoundError(
            f"DeepSEA must have test.mat, and train.mat or valid.mat; {folder} has "
            f"{', '.join(path.name for path in paths.values()) or 'none of them'}. Unpack the published archive there."
        )
    notes: list[str] = []
    read = {part: _read(path, part, n_test if part == "test" else n_train, notes) for part, path in paths.items()}
    counts = sorted({columns[2].shape[1] for columns in read.values()})
    if len(counts) > 1:
        raise ValueError(f"All files of {folder} must have the same tracks; received {' and '.join(map(str, counts))}.")
    outputs = registry.find("deepsea", "other").outputs
    if counts[0] != outputs:
        notes.append(f"There are {counts[0]} tracks; {outputs} were expected.")
    test = read.pop("test")
    parts = {
        "train": Examples(*map(np.concatenate, zip(*read.values(), strict=True))),
        "test": Examples(*test),
    }
    tracks = tuple(f"track {i + 1}" for i in range(counts[0]))
    return _task("deepsea", parts, notes, paths.values(), tracks)


def _read(path: Path, part: str, n: int | None, notes: list[str]) -> tuple[np.ndarray, ...]:
    """Ids, sequences, labels and groups of the examples of one file."""
    bases, tracks, size = _arrays(path, part, n)
    if bases.ndim != 3 or bases.shape[1] != 4 or tracks.shape != (len(bases), tracks.shape[-1]):
        raise ValueError(
            f"{path.name} must hold {part}xdata [sequence, 4, position] and {part}data [sequence, track]; received shapes "
            f"{bases.shape} and {tracks.shape}. Download it again."
        )
    per_base = bases.sum(axis=1)
    if bases.max(initial=0) > 1 or per_base.max(initial=0) > 1:
        raise ValueError(
            f"{part}xdata of {path.name} must be one-hot, in the order A, G, C, T; a position has {int(per_base.max())}. "
            "Download it again."
        )
    letters = _LETTERS[np.where(per_base == 1, bases.argmax(axis=1), 4)]
    texts = np.array([row.tobytes().decode("ascii") for row in letters], dtype=object)
    rows, half = _rows(size, n), size // 2
    # Both strands of a place must stay together: the second half of a file are the reverse complements of the first.
    text_at = dict(zip(rows.tolist(), texts, strict=True))
    pairs = [(row, row + half) for row in text_at if row < half and row + half in text_at]
    mirrored = sum(reverse_complement(text_at[a]) == text_at[b] for a, b in pairs)
    paired = bool(pairs) and mirrored == len(pairs) and size % 2 == 0
    if len(rows) < size:
        notes.append(f"{len(rows):,} of {size:,} sequences of {path.name} were taken.")
    if not paired:
        notes.append(
            f"{path.name} does not hold each sequence on both strands, a half each ({mirrored:,} of {len(pairs):,} pairs): each stands "
            "for itself."
        )
    ids, groups = (np.array([f"{part}_{row}" for row in of]) for of in (rows, rows % half if paired else rows))
    return ids, texts, np.ascontiguousarray(tracks), groups


def _rows(size: int, n: int | None) -> np.ndarray:
    """Which sequences of a file are taken, int64 [row]: all, or n at even distances, the same ones of both halves."""
    if n is None or n >= size:
        return np.arange(size)
    half, taken = size // 2, max(1, n // 2)
    first = np.arange(taken) * half // taken
    return np.concatenate((first, first + half))


def _arrays(path: Path, part: str, n: int | None) -> tuple[np.ndarray, np.ndarray, int]:
    """Bases [sequence, 4, position] and tracks [sequence, track] of the rows that are taken, and how many there are in all."""
    names = f"{part}xdata", f"{part}data"

    def named(held: Any) -> list[Any]:
        missing = [name for name in names if name not in held]
        if missing:
            raise ValueError(
                f"{path.name} must hold {' and '.join(names)}; it lacks {', '.join(missing)}. Is it another part?"
            )
        return [held[name] for name in names]

    with environment.opened(path).open("rb") as handle:
        is_hdf5 = b"MATLAB 7.3" in handle.read(128)
    if is_hdf5:
        h5py = environment.need("h5py", "benchmark")  # MATLAB's version 7.3
        with h5py.File(path, "r") as file:
            bases, tracks = named(file)
            size = int(bases.shape[-1])
            rows = _rows(size, n)
            # MATLAB's files of this version have their axes turned round.
            return bases[..., rows].transpose(2, 1, 0), tracks[..., rows].T, size
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        bases, tracks = named(loadmat(path, variable_names=names))
    except (MatReadError, ValueError, TypeError, OSError, NotImplementedError) as error:
        raise ValueError(f"{path} could not be read as a MATLAB file: {error}. Download it again.") from error
    rows = _rows(len(bases), n)
    return bases[rows], tracks[rows], len(bases)


# SpliceAI -------------------------------------------------------------------------------------------------------------


def read_spliceai(
    table: str | os.PathLike[str], reference: Reference, *, length: int = 5_000, test_contigs: tuple[str, ...] = TEST
) -> Task:
    """Each base of transcripts as none, acceptor (first base of an exon) or donor (last base of one), in windows along them.

    Parameters
    ----------
    table, reference
        canonical_dataset.txt, or one like it, plain or gzip; the genome it belongs to (GRCh37 as published).
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
        raise FileNotFoundError(f"The transcripts must be in a file; there is none at {path}. Check the path.")
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
    notes = [
        f"{len(names):,} transcripts {reason} were left out, the first is {names[0]}." for reason, names in left.items()
    ]
    if not rows["test"]:
        notes.append("There is no test part: folds by gene are used.")
    parts = {part: Examples(*map(list, zip(*windows, strict=True))) for part, windows in rows.items() if windows}
    return _task("spliceai", parts, notes, [path])


def _transcripts(path: Path) -> Iterator[tuple[str, bool, str, str, int, int, tuple[list[int], list[int]]]]:
    """Name, paralog, contig, strand, start (0-based), end, and places of exon ends and starts (0-based) of each line."""
    for number, line in environment.lines_of(path):
        if not line.strip() or line.startswith(("#", "NAME")):
            continue
        try:
            name, paralog, chrom, strand, first, last, *junctions = line.split("\t")
            start, end = int(first) - 1, int(last)
            ends, starts = ([int(text) - 1 for text in cell.split(",") if text] for cell in junctions)
            outside = [place for place in (*ends, *starts) if not start <= place < end]
            if strand not in ("+", "-") or len(ends) != len(starts) or outside or not 0 <= start < end:
                raise ValueError
            yield name, bool(int(paralog)), chrom, strand, start, end, (ends, starts)
        except ValueError as error:
            raise ValueError(
                f"Line {number} of {path.name} must be name, paralog, chromosome, strand, start, end, exon ends and exon starts "
                f"at the junctions (1-based, within the transcript), by tabs; received {line[:60].rstrip()!r}."
            ) from error


def _windows(
    reference: Reference, place: Interval, junctions: tuple[list[int], list[int]], length: int, name: str
) -> Iterator[tuple[str, str, np.ndarray, str]]:
    """Id, bases, classes and gene of each window of a transcript, along its strand."""
    start, end, forward = place.start, place.end, place.strand == "+"
    n_windows = -(-(end - start) // length)
    classes = np.full(n_windows * length, -1, dtype=np.int8)
    classes[: end - start] = 0
    for kind, places in zip((_DONOR, _ACCEPTOR), junctions if forward else reversed(junctions), strict=True):
        classes[[at - start if forward else end - 1 - at for at in places]] = kind
    for offset in range(0, end - start, length):
        low = start + offset if forward else end - offset - length
        bases = reference.fetch(Interval(place.chrom, low, low + length)).sequence
        labels = classes[offset : offset + length]
        yield f"{name}:{offset + 1}", bases if forward else reverse_complement(bases), labels, name
