"""The probe: choose among layers and settings inside the training part, fit there, judge on what was held out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.probing import labels as door
from ntviz.probing import metrics
from ntviz.probing.estimators import METHODS, STRENGTHS, Fitted, Setting, candidates
from ntviz.probing.splitting import folds, splits

if TYPE_CHECKING:
    import pandas as pd

INNER = 3
"""Folds inside the training part, by which a setting is chosen."""


@dataclass(frozen=True, eq=False)
class Probed:
    """What a probe predicted for examples that it did not learn from.

    Attributes
    ----------
    kind
        Of the task.
    judged
        Indices of the examples that were judged, int64 [judged], ascending.
    predicted
        Probabilities or values for those, float64 [judged, class]; see `probing.scores`.
    fold
        By which fold each was judged, int64 [judged]; 0 where the split was given.
    chosen
        The setting that won inside the training part, one a fold.
    inner
        Columns [fold, features, strength, hidden, score, loss, chosen]: the mean first metric and loss over inner folds of each
        setting that was tried. From it comes the curve over layers; it never saw what was judged. The metric chooses; nan, not
        defined in a fold, comes behind every number, and among such the loss does.
    """

    kind: str
    judged: np.ndarray
    predicted: np.ndarray
    fold: np.ndarray
    chosen: tuple[Setting, ...]
    inner: pd.DataFrame

    @property
    def chosen_by(self) -> str:
        """What chose the settings: the first metric, "the loss" where it is not defined, or nothing: there was no choice."""
        won = self.inner[self.inner["chosen"]]
        by = {self.metric: won["score"].notna().any(), "the loss": won["score"].isna().any()}
        return " and ".join(name for name, some in by.items() if some)

    @property
    def metric(self) -> str:
        """The first metric of the kind of task."""
        return metrics.metric_names(self.kind)[0]

    def scores(self, labels: Any) -> dict[str, float]:
        """Every metric over all that was judged; `labels` of all examples."""
        return metrics.scores(self.kind, door.array(labels, "Labels")[self.judged], self.predicted)


def probe(
    features: Mapping[Hashable, np.ndarray],
    labels: Any,
    groups: Any,
    *,
    kind: str,
    classes: int,
    method: str = "logistic",
    train: Any = None,
    n_folds: int = 10,
    seed: int = 0,
) -> Probed:
    """Predictions for held-out examples, with everything chosen where they are not.

    Parameters
    ----------
    features
        Sets of vectors to choose from by name, such as layers: each [example, feature], widths may differ.
    labels
        By kind of task, as in `benchmark.Examples`, or as `labels.checked` takes them.
    groups
        [example]; what must stay together, in outer and inner folds; None: each example is its own.
    kind
        binary, multiclass, multilabel or regression.
    classes
        Number of classes, tracks or targets.
    method
        "logistic" (ridge for regression) or "mlp" (one or two hidden layers).
    train
        The given split: bool [example], learned from where true, or indices. Default: `n_folds` by group, each judged once.
    seed
        Of folds and networks.

    Raises
    ------
    ValueError
        Vectors that are not finite or not one an example, labels that are none of the kind, one class to learn from, or too few
        groups for the folds.

    Notes
    -----
    Layers are compared at one strength first, and the strength is chosen for the best one: both by `INNER` folds by group
    inside the training part. Then the setting is fitted to all of it.

    References
    ----------
    Dalla-Torre et al. (2025): logistic regression and networks of up to two hidden layers on mean embeddings of several
    layers, in ten splits; theirs are random splits with hyperparameters from 100 trials of a search, ours are by region
    with a grid.
    """
    _check_asked(kind, method)
    labels = door.checked(kind, labels, classes)
    groups = door.grouped(groups, len(labels))
    features = _vectors(features, len(labels))
    outer = splits(kind, labels, groups, train=train, n_folds=n_folds, seed=seed)
    judged, predicted, of_fold, chosen, tried = [], [], [], [], []
    for fold, (learned, held) in enumerate(outer):
        if not len(learned) or not len(held):
            raise ValueError(
                f"There must be examples to learn from and to judge by; received {len(learned):,} and {len(held):,}."
            )
        door.learnable(kind, labels[learned])
        setting, rows = choose(
            features, labels, groups, learned, kind=kind, classes=classes, method=method, seed=seed
        )
        fitted = fit(features, labels, learned, setting, kind=kind, classes=classes, seed=seed)
        judged.append(held)
        predicted.append(fitted.predict(features[setting.features][held]))
        of_fold.append(np.full(len(held), fold))
        chosen.append(setting)
        tried += [{"fold": fold, **row} for row in rows]
    order = np.argsort(np.concatenate(judged), kind="stable")
    import pandas as pd

    return Probed(
        kind,
        np.concatenate(judged)[order],
        np.concatenate(predicted)[order],
        np.concatenate(of_fold)[order],
        tuple(chosen),
        pd.DataFrame(tried, columns=["fold", "features", "strength", "hidden", "score", "loss", "chosen"]),
    )


def fit(
    features: Mapping[Hashable, np.ndarray],
    labels: Any,
    learned: Any,
    setting: Setting,
    *,
    kind: str,
    classes: int,
    seed: int,
) -> Fitted:
    """The setting fitted to the examples `learned`, a mask or an index array."""
    labels = door.checked(kind, labels, classes, n=len(features[setting.features]))
    rows = np.flatnonzero(door.learned(learned, len(labels)))
    return Fitted(kind, classes, setting, seed).fit(features[setting.features][rows], labels[rows])


def choose(
    features: Mapping[Hashable, np.ndarray],
    labels: np.ndarray,
    groups: np.ndarray,
    learned: np.ndarray,
    *,
    kind: str,
    classes: int,
    method: str,
    seed: int,
) -> tuple[Setting, list[dict]]:
    """The best setting by inner folds over the examples `learned`, and a row for each that was tried.

    With fewer than two groups a class nothing can be compared: then the first setting, and no rows.
    """
    settings = candidates(method, list(features))
    n = min(INNER, len(np.unique(groups[learned])))
    try:
        inner = folds(kind, labels[learned], groups[learned], n, seed=seed)
    except ValueError:
        if len(settings) > 1:
            raise
        return settings[0], []
    rows: list[dict] = []

    def best(tried: list[Setting]) -> Setting:
        ranks = []
        for setting in tried:
            scores, losses = [], []
            for fold in range(n):
                inside, outside = learned[inner != fold], learned[inner == fold]
                fitted = fit(features, labels, inside, setting, kind=kind, classes=classes, seed=seed)
                predicted = fitted.predict(features[setting.features][outside])
                scores.append(metrics.measured(kind, labels[outside], predicted)[metrics.NAMES[kind][0]])
                losses.append(metrics.loss(kind, labels[outside], predicted))
            score, loss = float(np.mean(scores)), float(np.mean(losses))
            ranks.append(metrics.preference(score, loss))
            rows.append(
                {
                    "features": setting.features,
                    "strength": setting.strength if method == "logistic" else np.nan,
                    "hidden": " x ".join(map(str, setting.hidden)) if method == "mlp" else "",
                    "score": score,
                    "loss": loss,
                    "chosen": False,
                    "setting": setting,
                    "rank": ranks[-1],
                }
            )
        # The first of equals: a lower layer, a stronger penalty, a smaller network.
        return tried[ranks.index(max(ranks))]

    winner = best(settings)
    if method == "logistic":
        others = [replace(winner, strength=s) for s in STRENGTHS if s != winner.strength]
        best(others)
        of_layer = [row for row in rows if row["features"] == winner.features]
        winner = max(sorted(of_layer, key=lambda row: row["strength"]), key=lambda row: row["rank"])[
            "setting"
        ]
    for row in rows:
        del row["rank"]
        row["chosen"] = row.pop("setting") == winner
    return winner, rows


def _check_asked(kind: str, method: str) -> None:
    if kind == "per_base":
        raise ValueError(
            "A probe needs one label a sequence; a per-base task has one a base. Fine-tune with method='head': "
            "it is the linear probe of tokens."
        )
    if method not in METHODS:
        raise ValueError(f"The method of a probe must be one of {', '.join(METHODS)}; received {method!r}.")


def _vectors(features: Mapping[Hashable, Any], n: int) -> dict[Hashable, np.ndarray]:
    """Sets of vectors as arrays, once they are known to be finite and one an example."""
    if not features:
        raise ValueError("There must be at least one set of vectors; received none.")
    result = {name: door.array(vectors, f"Vectors of {name}") for name, vectors in features.items()}
    for name, vectors in result.items():
        if vectors.dtype.kind not in "biuf":
            raise ValueError(f"Vectors must be numbers; {name} holds {vectors.dtype}. Convert them.")
        if vectors.ndim != 2 or len(vectors) != n:
            raise ValueError(
                f"Vectors must be [example, feature] with {n:,} rows; {name} is {list(vectors.shape)}."
            )
        if not np.isfinite(vectors).all():
            rows = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
            raise ValueError(
                f"Vectors must be finite; {len(rows):,} of {name} are not, the first at {rows[0]}. "
                "Leave these examples out, or read them with float32."
            )
    return result
