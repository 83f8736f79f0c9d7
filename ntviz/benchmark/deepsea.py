"""DeepSEA's 919 tracks as a task, from its published MATLAB files.

References
----------
Zhou & Troyanskaya (2015) Nature Methods 12:931: train.mat (4.4 million sequences), valid.mat (8,000) and test.mat (455,024), each of
1,000 bp on both strands, one-hot in the order A, G, C, T; the first half of a file are the forward strands.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ntviz import environment
from ntviz.benchmark import registry
from ntviz.benchmark.task import Examples, Task
from ntviz.sequence import reverse_complement

_LETTERS = np.frombuffer(b"AGCTN", dtype=np.uint8)
_FILES = {"train": "train.mat", "valid": "valid.mat", "test": "test.mat"}


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
    paths = {part: folder / name for part, name in _FILES.items() if (folder / name).is_file()}
    if "test" not in paths or len(paths) < 2:
        raise FileNotFoundError(
            f"DeepSEA must have test.mat, and train.mat or valid.mat; {folder} has "
            f"{', '.join(path.name for path in paths.values()) or 'none of them'}. Unpack the published archive there."
        )
    notes: list[str] = []
    found: dict[str, list[Examples]] = {"train": [], "test": []}
    for part, path in paths.items():
        examples, note = _read(path, part, n_test if part == "test" else n_train)
        found["test" if part == "test" else "train"].append(examples)
        notes += note
    spec = registry.find("deepsea", "other")
    n_tracks = found["test"][0].labels.shape[1]
    for examples in (*found["train"], *found["test"]):
        if examples.labels.shape[1] != n_tracks:
            raise ValueError(
                f"All files of {folder} must have the same tracks; received {examples.labels.shape[1]} and {n_tracks}."
            )
    if n_tracks != spec.outputs:
        notes.append(f"There are {n_tracks} tracks; {spec.outputs} were expected.")
    parts = {
        part: Examples(*(np.concatenate([getattr(one, name) for one in many]) for name in _COLUMNS))
        for part, many in found.items()
    }
    return Task(
        "deepsea", spec.kind, tuple(f"track {i + 1}" for i in range(n_tracks)), parts["train"], parts["test"],
        category=spec.category, source=spec.source, split=spec.split, notes=tuple(notes),
        facts={"files": {path.name: environment.sha256(path) for path in paths.values()}},
    )  # fmt: skip


_COLUMNS = ("ids", "sequences", "labels", "groups")


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
