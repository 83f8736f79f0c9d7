"""Tasks with several numbers a sequence, from their published files.

References
----------
de Almeida et al. (2022) Nature Genetics 54:613, for DeepSTARR: 249 bp, activities with a developmental and a housekeeping
promoter, log2; training, validation and test files.

Zhou & Troyanskaya (2015) Nature Methods 12:931, for DeepSEA: train.mat (4.4 million sequences), valid.mat (8,000) and test.mat
(455,024), each of 1,000 bp on both strands, one-hot in the order A, G, C, T; the first half of a file are the forward strands.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ntviz import storage
from ntviz.benchmark import reading, registry
from ntviz.benchmark.task import Examples, Task
from ntviz.genome.sequence import clean, reverse_complement

ACTIVITIES = ("Dev_log2_enrichment", "Hk_log2_enrichment")
_PARTS = {"train": ("Train", "Val"), "test": ("Test",)}
_LETTERS = np.frombuffer(b"AGCTN", dtype=np.uint8)
_MATLAB = {"train": "train.mat", "valid": "valid.mat", "test": "test.mat"}


def read_deepstarr(folder: str | os.PathLike[str]) -> Task:
    """The two activities of DeepSTARR, from a folder with Sequences_Train.fa, Sequences_activity_Train.txt and so on.

    The validation files are learned from here, where choosing is done inside. Row i of a table belongs to sequence i of its
    FASTA, as published.

    Raises
    ------
    FileNotFoundError
        A file is not there.
    ValueError
        A FASTA and its table differ in length, or the table lacks the activities.
    """
    folder, spec = Path(folder), registry.find("deepstarr", "other")
    files: dict[str, str] = {}
    notes: list[str] = []
    parts = {}
    for part, names in _PARTS.items():
        rows: list[reading.Row] = []
        values: list[np.ndarray] = []
        for name in names:
            fasta, table = folder / f"Sequences_{name}.fa", folder / f"Sequences_activity_{name}.txt"
            for file in (fasta, table):
                if not file.is_file():
                    raise FileNotFoundError(
                        f"DeepSTARR must have {file.name}; there is none in {folder}. Get all six files."
                    )
                files[file.name] = storage.sha256(file)
            records, numbers = list(reading.fasta_rows(fasta)), _activities(table)
            if len(records) != len(numbers):
                raise ValueError(
                    f"{fasta.name} and {table.name} must have a row each; received {len(records):,} and {len(numbers):,}."
                )
            good = np.isfinite(numbers).all(axis=1)
            if not good.all():
                first = int(np.flatnonzero(~good)[0]) + 2
                notes.append(
                    f"{int((~good).sum()):,} rows of {table.name} without numbers were left out, the first in line {first}."
                )
            rows += [records[index] for index in np.flatnonzero(good)]
            values.append(numbers[good])
        parts[part] = Examples(
            # Both strands of a fragment share its name: they are kept apart by a number, and together by their place.
            np.array([f"{row.identity}#{index}" for index, row in enumerate(rows)]),
            np.array([clean(row.sequence, typed=False).sequence for row in rows], dtype=object),
            np.concatenate(values),
            np.array([reading.group_of(row.identity) for row in rows]),
        )
    return _task(spec, spec.classes, parts, notes, files)


def _activities(table: Path) -> np.ndarray:
    """float32 [row, activity]; nan where a cell is no number."""
    import pandas as pd

    activity = pd.read_csv(table, sep="\t")
    missing = [column for column in ACTIVITIES if column not in activity.columns]
    if missing:
        raise ValueError(
            f"{table.name} must have the columns {', '.join(ACTIVITIES)}; it lacks {', '.join(missing)} and has "
            f"{', '.join(map(str, activity.columns[:6]))}."
        )
    return activity[list(ACTIVITIES)].apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)


def _task(
    spec: registry.TaskSpec,
    classes: tuple[str, ...],
    parts: dict[str, Examples],
    notes: list[str],
    files: dict,
) -> Task:
    return Task(
        spec.name, spec.kind, classes, parts["train"], parts["test"], category=spec.category, source=spec.source, split=spec.split,
        notes=tuple(notes), facts={"files": files},
    )  # fmt: skip


def read_deepsea(
    folder: str | os.PathLike[str], *, n_train: int | None = None, n_test: int | None = None
) -> Task:
    """Whether each of 919 tracks has a peak in the middle 200 bp of 1,000, from a folder with train.mat, valid.mat and test.mat.

    Without train.mat the validation file is learned from, which has 8,000; with both, both are.

    Parameters
    ----------
    n_train, n_test
        Sequences to take of each file, at even distances along it; None for all. All of train.mat are 4.4 GB of text.

    Raises
    ------
    FileNotFoundError
        There is no test.mat, or nothing to learn from.
    ValueError
        A file is none of MATLAB's, or lacks its arrays, or they are not one-hot.
    ImportError
        train.mat is of MATLAB's version 7.3, which needs h5py.
    """
    folder = Path(folder)
    paths = {part: folder / name for part, name in _MATLAB.items() if (folder / name).is_file()}
    if "test" not in paths or len(paths) < 2:
        raise FileNotFoundError(
            f"DeepSEA must have test.mat, and train.mat or valid.mat; {folder} has "
            f"{', '.join(path.name for path in paths.values()) or 'none of them'}. Unpack the published archive there."
        )
    notes: list[str] = []
    found: dict[str, list[Examples]] = {"train": [], "test": []}
    for part, path in paths.items():
        examples, more = _read(path, part, n_test if part == "test" else n_train)
        found["test" if part == "test" else "train"].append(examples)
        notes += more
    spec = registry.find("deepsea", "other")
    counts = {examples.labels.shape[1] for many in found.values() for examples in many}
    if len(counts) > 1:
        raise ValueError(
            f"All files of {folder} must have the same tracks; received {' and '.join(map(str, sorted(counts)))}."
        )
    n_tracks = counts.pop()
    if n_tracks != spec.outputs:
        notes.append(f"There are {n_tracks} tracks; {spec.outputs} were expected.")
    columns = ("ids", "sequences", "labels", "groups")
    parts = {
        part: Examples(*(np.concatenate([getattr(one, name) for one in many]) for name in columns))
        for part, many in found.items()
    }
    files = {path.name: storage.sha256(path) for path in paths.values()}
    return _task(spec, tuple(f"track {i + 1}" for i in range(n_tracks)), parts, notes, files)


def _read(path: Path, part: str, n: int | None) -> tuple[Examples, list[str]]:
    """The examples of one file, and what is to be said of them."""
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
    rows = _rows(size, n)
    half = size // 2
    # Both strands of a place must stay together: the second half of a file are the reverse complements of the first.
    places = {int(row): text for row, text in zip(rows, texts, strict=True)}
    pairs = [(row, row + half) for row in places if row < half and row + half in places]
    mirrored = sum(reverse_complement(places[a]) == places[b] for a, b in pairs)
    paired = bool(pairs) and mirrored == len(pairs) and size % 2 == 0
    place = rows % half if paired else rows
    notes = (
        [] if n is None or n >= size else [f"{len(rows):,} of {size:,} sequences of {path.name} were taken."]
    )
    if not paired:
        notes.append(
            f"{path.name} does not hold each sequence on both strands, a half each ({mirrored:,} of {len(pairs):,} pairs): each stands "
            "for itself."
        )
    examples = Examples(
        np.array([f"{part}_{row}" for row in rows]),
        texts,
        np.ascontiguousarray(tracks),
        np.array([f"{part}_{i}" for i in place]),
    )
    return examples, notes


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
    with path.open("rb") as handle:
        is_hdf5 = b"MATLAB 7.3" in handle.read(128)
    if is_hdf5:
        try:
            import h5py
        except ImportError as error:
            raise ImportError(
                f"{path.name} is of MATLAB's version 7.3, which h5py reads. Install it: pip install h5py."
            ) from error
        with h5py.File(path, "r") as file:
            bases, tracks = _named({name: file[name] for name in names if name in file}, names, path)
            size = int(bases.shape[-1])
            rows = _rows(size, n)
            # MATLAB's files of this version have their axes turned round.
            return bases[..., rows].transpose(2, 1, 0), tracks[..., rows].T, size
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        bases, tracks = _named(loadmat(path, variable_names=names), names, path)
    except (MatReadError, ValueError, TypeError, OSError, NotImplementedError) as error:
        raise ValueError(f"{path} could not be read as a MATLAB file: {error}. Download it again.") from error
    size = len(bases)
    rows = _rows(size, n)
    return bases[rows], tracks[rows], size


def _named(held: dict[str, Any], names: tuple[str, str], path: Path) -> tuple[Any, Any]:
    missing = [name for name in names if name not in held]
    if missing:
        raise ValueError(
            f"{path.name} must hold {' and '.join(names)}; it lacks {', '.join(missing)}. Is it another part?"
        )
    return held[names[0]], held[names[1]]
