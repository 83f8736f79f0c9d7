"""The probe: choose among layers and settings inside the training part, fit there, judge on what was held out; and folds by group."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.probing import labels as door
from ntviz.probing import metrics
from ntviz.probing.estimators import METHODS, NETWORKS, STRENGTHS, Fitted, Setting

if TYPE_CHECKING:
    import pandas as pd

INNER = 3
"""Folds inside the training part, by which a setting is chosen."""


def folds(kind: str, labels: Any, groups: Any, n: int, *, seed: int) -> np.ndarray:
    """The fold in which each example is judged, int64 [example], 0 to n - 1; groups stay whole, classes about balanced.

    ValueError where groups are fewer than folds, or a fold would be left with one class to learn from or to judge by.
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
    by_class = kind in door.BY_CLASS
    classes, counts = np.unique(labels, return_counts=True)
    if by_class and (len(classes) < 2 or counts.min() < n):
        found = ", ".join(f"{c}: {k}" for c, k in zip(classes.tolist(), counts.tolist(), strict=True))
        raise ValueError(
            f"Each of {n} folds must hold every class; received examples of class {found}. "
            "Ask for fewer folds, or leave out the rare class."
        )
    splitter = (StratifiedGroupKFold if by_class else GroupKFold)(n, shuffle=True, random_state=seed)
    result = np.empty(len(groups), dtype=np.int64)
    blank = np.zeros((len(groups), 1), dtype=np.int8)
    for fold, parts in enumerate(splitter.split(blank, labels if by_class else None, groups)):
        result[parts[1]] = fold
        for part, use in zip(parts, ("learn from", "judge by"), strict=True):
            missing = np.setdiff1d(classes, labels[part]) if by_class else ()
            if len(missing):
                raise ValueError(
                    f"Each of {n} folds must hold every class; fold {fold} has no example of class {missing[0]} to {use}: it lies in "
                    f"too few groups ({len(np.unique(groups[labels == missing[0]]))}). Ask for fewer folds."
                )
    return result


def splits(
    kind: str, labels: Any, groups: Any, *, train: Any, n_folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of indices to learn from and to judge by: the given split, or one pair a fold.

    `train`: bool [example], or indices of the examples to learn from; None for `n_folds` folds by group, see `folds`.
    """
    if train is not None:
        given = door.learned(train, len(labels))
        return [(np.flatnonzero(given), np.flatnonzero(~given))]
    fold_of = folds(kind, labels, groups, n_folds, seed=seed)
    return [(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(n_folds)]


@dataclass(frozen=True, eq=False)
class Probed:
    """What a probe predicted for examples that it did not learn from."""

    kind: str  # of the task
    judged: np.ndarray  # indices of the examples that were judged, int64 [judged], ascending
    predicted: np.ndarray  # probabilities or values for those, float64 [judged, class]; see `probing.scores`
    fold: np.ndarray  # by which fold each was judged, int64 [judged]; 0 where the split was given
    chosen: tuple[Setting, ...]  # the setting that won inside the training part, one a fold
    # [fold, features, strength, hidden, score, loss, chosen]: the mean first metric and loss over inner folds of each setting that was
    # tried; it never saw what was judged. The metric chooses; nan comes behind every number, and among such the loss does.
    inner: pd.DataFrame

    @property
    def chosen_by(self) -> str:
        """What chose the settings: the first metric, "the loss" where it is not defined, or nothing: there was no choice."""
        won = self.inner.loc[self.inner["chosen"], "score"]
        by = {metrics.metric_names(self.kind)[0]: won.notna().any(), "the loss": won.isna().any()}
        return " and ".join(name for name, some in by.items() if some)

    def scores(self, labels: Any) -> dict[str, float]:
        """Every metric over all that was judged; `labels` of all examples."""
        return metrics.scores(self.kind, door.array(labels, "Labels")[self.judged], self.predicted)


def probe(
    features: Mapping[Hashable, Any], labels: Any, groups: Any, *, kind: str, classes: int, method: str = "logistic",
    train: Any = None, n_folds: int = 10, seed: int = 0,
) -> Probed:  # fmt: skip
    """Predictions for held-out examples, with everything chosen where they are not.

    Layers are compared at one strength first, and the strength is chosen for the best one: both by `INNER` folds by group inside the
    training part. Then the setting is fitted to all of it.

    Parameters
    ----------
    features, labels
        Sets of vectors to choose from by name, such as layers: each [example, feature]; see `labels.checked`.
    groups
        [example]; what must stay together, in outer and inner folds; None: each example is its own.
    kind, classes
        binary, multiclass, multilabel or regression; number of classes, tracks or targets.
    method
        "logistic" (ridge for regression) or "mlp" (one or two hidden layers).
    train
        The given split: bool [example], learned from where true, or indices. Default: `n_folds` by group, each judged once.

    Raises
    ------
    ValueError
        Vectors that are not finite or not one an example, labels that are none of the kind, one class to learn from, or too few
        groups for the folds.

    References
    ----------
    Dalla-Torre et al. (2025): logistic regression and networks of up to two hidden layers on mean embeddings of several
    layers, in ten random splits with hyperparameters from 100 trials of a search; ours are splits by region with a grid.
    """
    import pandas as pd

    if kind == "per_base":
        raise ValueError(
            "A probe needs one label a sequence; a per-base task has one a base. Fine-tune with method='head': "
            "it is the linear probe of tokens."
        )
    if method not in METHODS:
        raise ValueError(f"The method of a probe must be one of {', '.join(METHODS)}; received {method!r}.")
    labels = door.checked(kind, labels, classes)
    groups = door.grouped(groups, len(labels))
    features = _vectors(features, len(labels))
    fitted = partial(fit, features, labels, kind=kind, classes=classes, seed=seed)
    judged, predicted, of_fold, chosen, tried = [], [], [], [], []
    outer = splits(kind, labels, groups, train=train, n_folds=n_folds, seed=seed)
    for fold, (learned, held) in enumerate(outer):
        if not len(learned) or not len(held):
            raise ValueError(
                f"There must be examples to learn from and to judge by; received {len(learned):,} and {len(held):,}."
            )
        door.learnable(kind, labels[learned])
        setting, rows = _choose(fitted, features, labels, groups, learned, kind, method, seed)
        judged.append(held)
        predicted.append(fitted(learned, setting).predict(features[setting.features][held]))
        of_fold.append(np.full(len(held), fold))
        chosen.append(setting)
        tried += [{"fold": fold, **row} for row in rows]
    order = np.argsort(np.concatenate(judged), kind="stable")
    arrays = (np.concatenate(part)[order] for part in (judged, predicted, of_fold))
    columns = ["fold", "features", "strength", "hidden", "score", "loss", "chosen"]
    return Probed(kind, *arrays, tuple(chosen), pd.DataFrame(tried, columns=columns))


def fit(
    features: Mapping[Hashable, np.ndarray], labels: Any, learned: Any, setting: Setting, *, kind: str, classes: int,
    seed: int,
) -> Fitted:  # fmt: skip
    """The setting fitted to the examples `learned`, a mask or an index array."""
    labels = door.checked(kind, labels, classes, n=len(features[setting.features]))
    rows = np.flatnonzero(door.learned(learned, len(labels)))
    return Fitted(kind, classes, setting, seed).fit(features[setting.features][rows], labels[rows])


def _choose(
    fitted: Callable[[np.ndarray, Setting], Fitted], features: Mapping[Hashable, np.ndarray], labels: np.ndarray,
    groups: np.ndarray, learned: np.ndarray, kind: str, method: str, seed: int,
) -> tuple[Setting, list[dict]]:  # fmt: skip
    """The best setting by inner folds over the examples `learned`, and a row for each that was tried.

    With fewer than two groups a class nothing can be compared: then the first setting, and no rows.
    """
    sizes = NETWORKS if method == "mlp" else NETWORKS[:1]
    settings = [Setting(method, name, hidden=hidden) for name in features for hidden in sizes]
    n = min(INNER, len(np.unique(groups[learned])))
    try:
        inner = folds(kind, labels[learned], groups[learned], n, seed=seed)
    except ValueError:
        if len(settings) > 1:
            raise
        return settings[0], []
    tried: dict[Setting, tuple[float, float]] = {}

    def best(settings: list[Setting]) -> Setting:
        """The first of equals: a lower layer, a stronger penalty, a smaller network."""
        for setting in settings:
            if setting not in tried:
                worth = []
                for fold in range(n):
                    outside = learned[inner == fold]
                    predicted = fitted(learned[inner != fold], setting).predict(features[setting.features][outside])
                    measures = metrics.first, metrics.loss
                    worth.append([measure(kind, labels[outside], predicted) for measure in measures])
                score, loss = np.mean(worth, axis=0).tolist()
                tried[setting] = score, loss
        return max(settings, key=lambda setting: metrics.preference(*tried[setting]))

    winner = best(settings)
    if method == "logistic":
        winner = best([replace(winner, strength=strength) for strength in STRENGTHS])
    rows = [
        {"features": setting.features, "strength": setting.strength if method == "logistic" else np.nan,
         "hidden": " x ".join(map(str, setting.hidden)) if method == "mlp" else "", "score": score, "loss": loss,
         "chosen": setting == winner}
        for setting, (score, loss) in tried.items()
    ]  # fmt: skip
    return winner, rows


def _vectors(features: Mapping[Hashable, Any], n: int) -> dict[Hashable, np.ndarray]:
    """Sets of vectors as arrays, once they are known to be finite and one an example."""
    if not features:
        raise ValueError("There must be at least one set of vectors; received none.")
    result = {name: door.array(vectors, f"Vectors of {name}") for name, vectors in features.items()}
    for name, vectors in result.items():
        if vectors.dtype.kind not in "biuf":
            raise ValueError(f"Vectors must be numbers; {name} holds {vectors.dtype}. Convert them.")
        if vectors.ndim != 2 or len(vectors) != n:
            raise ValueError(f"Vectors must be [example, feature] with {n:,} rows; {name} is {list(vectors.shape)}.")
        door.finite(vectors, f"Vectors of {name}", advice=" Leave these examples out, or read them with float32.")
    return result
