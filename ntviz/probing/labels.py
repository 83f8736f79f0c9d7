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
BY_CLASS = ("binary", "multiclass")
"""Kinds with one class a sequence."""
_NUMBER = "Number them from 0, as np.unique(labels, return_inverse=True)[1] does."


def known(kind: str) -> None:
    """Raises where there is no such kind of task."""
    if kind not in SHAPES:
        raise ValueError(f"The kind of a task must be one of {', '.join(SHAPES)}; received {kind!r}.")


def checked(kind: str, labels: Any, outputs: int, *, n: int | None = None, what: str = "Labels") -> np.ndarray:
    """Labels in the one form of their kind of task, whatever they came as: booleans, whole floats, a list, a pandas Series.

    Classes int64 [example]; bool [example, track]; float32 or float64 [example, target]; classes of bases int8 [example, base], -1
    where none is asked. One column may be one-dimensional. ValueError for text, a missing or infinite value, a class that is not
    there, or another shape or number.

    `outputs`: number of classes, tracks or targets; `n`: of examples, where it is known; `what`: how they are called in messages.

    Examples
    --------
    >>> checked("binary", [True, False], 2).tolist(), checked("regression", [0.5, 2], 1).tolist()
    ([1, 0], [[0.5], [2.0]])
    """
    known(kind)
    if kind == "binary" and outputs != 2:
        raise ValueError(f"A binary task must have two classes; received {outputs}.")
    values, by_column = array(labels, what), kind in ("multilabel", "regression")
    if by_column and values.ndim == 1:
        values = values[:, None]
    elif kind in BY_CLASS and values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != SHAPES[kind].count(",") + 1 or (by_column and values.shape[1] != outputs):
        columns = f", with {outputs} of the last" if by_column else ""
        raise ValueError(
            f"{what} of a {kind} task must be {SHAPES[kind]}{columns}; received shape {list(values.shape)}."
        )
    if n is not None and len(values) != n:
        raise ValueError(f"{what} must be one for each of {n:,} sequences; received {len(values):,}.")
    low, high = -1 if kind == "per_base" else 0, 1 if by_column else outputs - 1
    if values.dtype.kind not in "biuf":
        some = ", ".join(map(repr, np.unique(values)[:3].tolist()))
        numbers, advice = f"numbers from 0 to {high}", _NUMBER
        if kind == "regression":
            numbers, advice = "numbers", "Convert them."
        raise ValueError(
            f"{what} of a {kind} task must be {numbers}; received {_dtype(values)} such as {some}. {advice}"
        )
    finite(values, what, " are missing (nan) or infinite", " Leave these examples out.")
    if kind == "regression":
        return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)
    wrong = (values < low) | (values > high) | (values % 1 != 0 if values.dtype.kind == "f" else False)
    if wrong.any():
        some = ", ".join(f"{value:g}" for value in np.unique(values[wrong])[:5].tolist())
        from_one = values.min() == 1 and values.max() == outputs and not by_column
        raise ValueError(
            f"{what} of a {kind} task must be numbers from {low} to {high}; received {some}. "
            + ("Pass labels - 1." if from_one else _NUMBER)
        )
    if by_column:
        return values.astype(bool)
    return values.astype(np.int8 if kind == "per_base" and outputs <= 128 else np.int64)


def finite(values: np.ndarray, what: str, why: str = " are not", advice: str = "") -> None:
    """Raises where an example has a number that is not finite."""
    wrong = ~np.isfinite(values)
    if wrong.any():
        rows = _rows(wrong)
        raise ValueError(
            f"{what} must be finite; those of {len(rows):,} of {len(values):,} examples{why}, the first at index {rows[0]}.{advice}"
        )


def learnable(kind: str, labels: np.ndarray) -> None:
    """Raises where labels in their form leave nothing to learn: no label, or one class only."""
    if not len(labels):
        raise ValueError("There must be examples to learn from; received none.")
    if kind in (*BY_CLASS, "per_base"):
        classes = np.unique(labels[labels >= 0])
        if len(classes) < 2:
            of = "bases" if kind == "per_base" else "training examples"
            all_one = f"all {labels.size:,} {of} are of class {classes[0]}" if len(classes) else ""
            raise ValueError(
                f"There must be two classes to learn from; {all_one or 'none has a label'}. Check the labels, or split another way."
            )


def grouped(groups: Any, n: int) -> np.ndarray:
    """The group of each of n examples, [example]; None: each is its own."""
    if groups is None:
        return np.arange(n)
    values = array(groups, "Groups")
    if values.shape != (n,):
        raise ValueError(f"There must be a group for each of {n:,} examples; received {_received(values)}.")
    if values.dtype.kind == "f":
        _complete("Groups", ~np.isfinite(values))
    return values


def learned(train: Any, n: int) -> np.ndarray:
    """Which of n examples are learned from, bool [example]: of a mask, or of indices as scikit-learn gives them.

    Examples
    --------
    >>> learned([0, 2], 3).tolist(), learned([True, False, True], 3).tolist()
    ([True, False, True], [True, False, True])
    """
    values = array(train, "train")
    if values.dtype == bool and values.shape == (n,):
        return values
    if values.dtype.kind in "iu" and values.ndim == 1:
        inside = np.isin(np.arange(n), values)
        if inside.sum() == len(values):
            return inside
    raise ValueError(
        f"train must be a mask of {n:,} booleans, or indices from 0 to {n - 1:,}, each once; received {_received(values)}. "
        "Of a column of words or numbers pass a comparison, such as split == 'train'."
    )


def digest(*columns: Any) -> str:
    """SHA-256 of columns of text or numbers, in order, each with its type and shape: what tells two sets of examples apart."""
    made = hashlib.sha256()
    for column in columns:
        values = np.asarray(column)
        numbers = values.dtype.kind in "biuf"
        raw = np.ascontiguousarray(values).tobytes() if numbers else json.dumps(list(map(str, values))).encode()
        made.update(f"{values.dtype.str if numbers else 'text'} {values.shape} {len(raw)}\n".encode())
        made.update(raw)
    return made.hexdigest()


def array(values: Any, what: str) -> np.ndarray:
    """Values as one array of booleans, numbers or text; ValueError where one is missing."""
    made = _array(values)
    if made.dtype == object and made.ndim:
        import pandas as pd

        _complete(what, pd.isna(made))
        made = _array(made.tolist())
    elif np.ma.is_masked(values):
        _complete(what, np.ma.getmaskarray(values))
    if not made.ndim or made.dtype == object:
        raise ValueError(f"{what} must be an array or a list of one shape; received {type(values).__name__}.")
    return made


def _array(values: Any) -> np.ndarray:
    """As numpy takes it; an array without a shape of what it does not take."""
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError):
        return np.array(None)


def _complete(what: str, missing: np.ndarray) -> None:
    if missing.any():
        rows = _rows(missing)
        raise ValueError(
            f"{what} must be there for every example; {len(rows):,} of {len(missing):,} are missing, the first at index {rows[0]}. "
            "Leave these examples out."
        )


def _rows(where: np.ndarray) -> np.ndarray:
    return np.unique(np.nonzero(where)[0])


def _dtype(values: np.ndarray) -> str:
    return "text" if values.dtype.kind in "US" else str(values.dtype)


def _received(values: np.ndarray) -> str:
    some = ", ".join(map(str, values.ravel()[:4].tolist()))
    return f"{_dtype(values)} of shape {list(values.shape)}: {some}{', …' if values.size > 4 else ''}"
