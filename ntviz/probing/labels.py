"""What is checked at the door, for probes, fine-tuning and the benchmark alike: labels, groups, and what is learned from."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

SHAPES = {
    "binary": "[example]",
    "multiclass": "[example]",
    "multilabel": "[example, track]",
    "regression": "[example, target]",
    "per_base": "[example, base]",
}
_NUMBER = "Number them from 0, as np.unique(labels, return_inverse=True)[1] does."


def known(kind: str) -> None:
    """Raises where there is no such kind of task."""
    if kind not in SHAPES:
        raise ValueError(f"The kind of a task must be one of {', '.join(SHAPES)}; received {kind!r}.")


def checked(
    kind: str, labels: Any, outputs: int, *, n: int | None = None, what: str = "Labels"
) -> np.ndarray:
    """Labels in the one form of their kind of task, whatever they came as: booleans, whole floats, a list, a pandas Series.

    Classes int64 [example]; bool [example, track]; float32 or float64 [example, target]; classes of bases int8 [example, base], -1
    where none is asked. One column may be one-dimensional. ValueError for text, a missing or infinite value, a class that is not
    there, or another shape or number.

    Parameters
    ----------
    outputs
        Number of classes, tracks or targets.
    n
        Number of examples, where it is known.
    what
        How they are called in messages.

    Examples
    --------
    >>> checked("binary", [True, False], 2).tolist(), checked("regression", [0.5, 2], 1).tolist()
    ([1, 0], [[0.5], [2.0]])
    """
    known(kind)
    if kind == "binary" and outputs != 2:
        raise ValueError(f"A binary task must have two classes; received {outputs}.")
    found = array(labels, what)
    by_column = kind in ("multilabel", "regression")
    if by_column and found.ndim == 1:
        found = found[:, None]
    elif kind in ("binary", "multiclass") and found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != SHAPES[kind].count(",") + 1 or (by_column and found.shape[1] != outputs):
        columns = f", with {outputs} of the last" if by_column else ""
        raise ValueError(
            f"{what} of a {kind} task must be {SHAPES[kind]}{columns}; received shape {list(found.shape)}."
        )
    if n is not None and len(found) != n:
        raise ValueError(f"{what} must be one for each of {n:,} sequences; received {len(found):,}.")
    if found.dtype.kind not in "biuf":
        some = ", ".join(repr(value) for value in np.unique(found)[:3].tolist())
        numbers = (
            "numbers" if kind == "regression" else f"numbers from 0 to {1 if by_column else outputs - 1}"
        )
        raise ValueError(
            f"{what} of a {kind} task must be {numbers}; received {_dtype(found)} such as {some}. "
            + ("Convert them." if kind == "regression" else _NUMBER)
        )
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        rows = np.unique(np.nonzero(~np.isfinite(found))[0])
        raise ValueError(
            f"{what} must be finite; those of {len(rows):,} of {len(found):,} examples are missing (nan) or infinite, the first at "
            f"index {rows[0]}. Leave these examples out."
        )
    if kind == "regression":
        return found if found.dtype in (np.float32, np.float64) else found.astype(np.float64)
    low, high = -1 if kind == "per_base" else 0, 1 if by_column else outputs - 1
    wrong = (found < low) | (found > high)
    if found.dtype.kind == "f":
        wrong |= found % 1 != 0
    if wrong.any():
        some = ", ".join(f"{value:g}" for value in np.unique(found[wrong])[:5].tolist())
        from_one = found.min() == 1 and found.max() == outputs and not by_column
        raise ValueError(
            f"{what} of a {kind} task must be numbers from {low} to {high}; received {some}. "
            + ("Pass labels - 1." if from_one else _NUMBER)
        )
    if by_column:
        return found.astype(bool)
    return found.astype(np.int8 if kind == "per_base" and outputs <= 128 else np.int64)


def learnable(kind: str, labels: np.ndarray) -> None:
    """Raises where labels in their form leave nothing to learn: no label, or one class only."""
    if not len(labels):
        raise ValueError("There must be examples to learn from; received none.")
    if kind in ("binary", "multiclass", "per_base"):
        known = np.unique(labels[labels >= 0])
        if len(known) < 2:
            of = "bases" if kind == "per_base" else "training examples"
            which = f"all {labels.size:,} {of} are of class {known[0]}" if len(known) else "none has a label"
            raise ValueError(
                f"There must be two classes to learn from; {which}. Check the labels, or split another way."
            )


def grouped(groups: Any, n: int) -> np.ndarray:
    """The group of each of n examples, [example]; None: each is its own."""
    if groups is None:
        return np.arange(n)
    found = array(groups, "Groups")
    if found.shape != (n,):
        raise ValueError(f"There must be a group for each of {n:,} examples; received {_told(found)}.")
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        first = int(np.flatnonzero(~np.isfinite(found))[0])
        raise ValueError(
            f"Groups must be there for every example; the one at index {first} is missing. Name one."
        )
    return found


def learned(train: Any, n: int) -> np.ndarray:
    """Which of n examples are learned from, bool [example]: of a mask, or of indices as scikit-learn gives them.

    Examples
    --------
    >>> learned([0, 2], 3).tolist(), learned([True, False, True], 3).tolist()
    ([True, False, True], [True, False, True])
    """
    found = array(train, "train")
    if found.dtype == bool and found.shape == (n,):
        return found
    if found.dtype.kind in "iu" and found.ndim == 1:
        inside = found[(found >= 0) & (found < n)]
        if len(np.unique(inside)) == len(found):
            return np.isin(np.arange(n), inside)
    raise ValueError(
        f"train must be a mask of {n:,} booleans, or indices from 0 to {n - 1:,}, each once; received {_told(found)}. "
        "Of a column of words or numbers pass a comparison, such as split == 'train'."
    )


def digest(*columns: Any) -> str:
    """SHA-256 of columns of text or numbers, in order, each with its type and shape: what tells two sets of examples apart."""
    made = hashlib.sha256()
    for column in columns:
        values = np.asarray(column)
        numbers = values.dtype.kind in "biuf"
        raw = (
            np.ascontiguousarray(values).tobytes() if numbers else json.dumps(list(map(str, values))).encode()
        )
        made.update(f"{values.dtype.str if numbers else 'text'} {values.shape} {len(raw)}\n".encode())
        made.update(raw)
    return made.hexdigest()


def array(values: Any, what: str) -> np.ndarray:
    """Values as one array of booleans, numbers or text; ValueError where one is missing."""
    found = _array(values)
    if found.dtype == object and found.ndim:
        import pandas as pd

        missing = pd.isna(found)
        found = found if missing.any() else _array(found.tolist())
    else:
        missing = np.ma.getmaskarray(values) if np.ma.is_masked(values) else np.zeros(found.shape, dtype=bool)
    if missing.any():
        rows = np.unique(np.nonzero(missing)[0])
        raise ValueError(
            f"{what} must be there for every example; {len(rows):,} of {len(found):,} are missing, the first at index "
            f"{rows[0]}. Leave these examples out."
        )
    if not found.ndim or found.dtype == object:
        raise ValueError(f"{what} must be an array or a list of one shape; received {type(values).__name__}.")
    return found


def _array(values: Any) -> np.ndarray:
    """As numpy takes it; an array without a shape of what it does not take."""
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError):
        return np.array(None)


def _dtype(found: np.ndarray) -> str:
    return "text" if found.dtype.kind in "US" else str(found.dtype)


def _told(found: np.ndarray) -> str:
    some = ", ".join(map(str, found.ravel()[:4].tolist()))
    return f"{_dtype(found)} of shape {list(found.shape)}: {some}{', …' if found.size > 4 else ''}"
