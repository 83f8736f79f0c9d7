"""Folds that keep groups whole: a region of the genome is either learned from or judged on, never both."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntviz.probing import labels as door


def folds(kind: str, labels: Any, groups: Any, n: int, *, seed: int) -> np.ndarray:
    """The fold in which each example is judged, int64 [example], 0 to n - 1; groups stay whole, classes about balanced.

    Raises
    ------
    ValueError
        Fewer groups than folds, or a fold that would be left with one class to learn from or to judge by.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    labels = door.array(labels, "Labels")
    groups = door.grouped(groups, len(labels))
    names = np.unique(groups)
    if n < 2 or len(names) < n:
        raise ValueError(
            f"There must be 2 folds or more and a group for each; received {n} folds and {len(names)} groups "
            f"({', '.join(map(str, names[:3]))}{', …' if len(names) > 3 else ''}). Ask for fewer folds."
        )
    result = np.empty(len(groups), dtype=np.int64)
    blank = np.zeros((len(groups), 1), dtype=np.int8)
    by_class = kind in ("binary", "multiclass")
    if by_class:
        classes, counts = np.unique(labels, return_counts=True)
        if len(classes) < 2 or counts.min() < n:
            found = ", ".join(f"{c}: {k}" for c, k in zip(classes.tolist(), counts.tolist(), strict=True))
            raise ValueError(
                f"Each of {n} folds must hold every class; received examples of class {found}. "
                "Ask for fewer folds, or leave out the rare class."
            )
        splitter = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
    else:
        splitter = GroupKFold(n, shuffle=True, random_state=seed)
    for fold, (_, judged) in enumerate(splitter.split(blank, labels if by_class else None, groups)):
        result[judged] = fold
    if by_class:
        for fold in range(n):
            for part, where in (("learn from", result != fold), ("judge by", result == fold)):
                missing = np.setdiff1d(classes, labels[where])
                if len(missing):
                    raise ValueError(
                        f"Each of {n} folds must hold every class; fold {fold} has no example of class {missing[0]} to "
                        f"{part}: it lies in too few groups ({len(np.unique(groups[labels == missing[0]]))}). "
                        "Ask for fewer folds."
                    )
    return result


def splits(
    kind: str, labels: Any, groups: Any, *, train: Any, n_folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of indices to learn from and to judge by: the given split, or one pair a fold.

    Parameters
    ----------
    train
        bool [example], or indices of the examples to learn from; None for `n_folds` folds by group, see `folds`.
    """
    if train is not None:
        given = door.learned(train, len(labels))
        return [(np.flatnonzero(given), np.flatnonzero(~given))]
    fold_of = folds(kind, labels, groups, n_folds, seed=seed)
    return [(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(n_folds)]
