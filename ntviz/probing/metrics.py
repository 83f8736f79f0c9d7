"""What predictions are worth: Matthews' correlation first, and the metrics of each kind of task.

References
----------
Chicco & Jurman (2020) BMC Genomics 21:6, for Matthews' correlation (MCC). Jaganathan et al. (2019) Cell 176:535, for top-k
accuracy. Dalla-Torre et al. (2025) report MCC, AUROC (DeepSEA), top-k and PR-AUC (SpliceAI) and Pearson's r (DeepSTARR).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ntviz.probing import labels as door
from ntviz.statistics import auprc, auroc, mcc, pearson, ratio, spearman

NAMES = {
    "binary": ("mcc", "accuracy", "f1", "auroc", "auprc"),
    "multiclass": ("mcc", "accuracy", "f1", "auroc", "auprc"),
    "multilabel": ("auroc", "auprc"),
    "regression": ("pearson", "spearman", "mse"),
    "per_base": ("top_k", "auprc"),
}


def metric_names(kind: str) -> tuple[str, ...]:
    """Metrics of a kind of task, the one that decides first."""
    door.known(kind)
    return NAMES[kind]


def scores(kind: str, labels: Any, predicted: Any) -> dict[str, float]:
    """Every metric of a kind of task, by name; nan where it is not defined, such as the MCC of one class: see `undefined`.

    F1, AUROC and AUPRC of several classes are means over classes, each against the rest (macro); F1 of two classes too. Top-k of a
    class: of the k bases with its highest probabilities, as many as bear it, the share that do. Class 0 of a per-base task is
    "none" and has no part in the means.

    `predicted`: probabilities [example, class], [example, track] or [example, base, class]; values [example, target]. ValueError for labels
    that are none of the kind, see `labels.checked`, or predictions of another shape or not finite.

    Examples
    --------
    >>> two = scores("binary", np.array([1, 1, 0, 0]), np.array([[0.1, 0.9], [0.6, 0.4], [0.7, 0.3], [0.8, 0.2]]))
    >>> round(two["mcc"], 3), two["accuracy"], two["auroc"]
    (0.577, 0.75, 1.0)
    """
    return measured(kind, *paired(kind, labels, predicted))


def paired(kind: str, labels: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels in the form of their kind and predictions float64, once they are known to fit each other."""
    door.known(kind)
    predicted, shape = door.array(predicted, "Predictions"), door.SHAPES[kind]
    if kind not in ("multilabel", "regression"):
        shape = shape.replace("]", ", class]")
    elif predicted.ndim == 1:
        predicted = predicted[:, None]
    if predicted.dtype.kind not in "biuf" or predicted.ndim != shape.count(",") + 1:
        raise ValueError(
            f"Predictions of a {kind} task must be numbers {shape}; received {predicted.dtype} of shape {list(predicted.shape)}."
        )
    labels, predicted = door.checked(kind, labels, predicted.shape[-1]), predicted.astype(np.float64)
    if labels.shape != predicted.shape[: labels.ndim]:
        raise ValueError(
            f"There must be one prediction an example; received {len(predicted)} for {len(labels)}, of shapes {list(predicted.shape)} "
            f"and {list(labels.shape)}."
        )
    door.finite(predicted, "Predictions")
    return labels, predicted


def measured(kind: str, labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """`scores` of what `paired` gives."""
    if kind == "regression":
        # A target that does not vary has no part in the mean; a prediction that does not leaves it undefined.
        pairs = [pair for pair in zip(labels.T, predicted.T, strict=True) if len(pair[0]) and np.ptp(pair[0])]
        found = {
            measure.__name__: float(np.mean([measure(*pair) for pair in pairs] or [np.nan]))
            for measure in (pearson, spearman)
        }
        return {**found, "mse": float(np.mean((labels - predicted) ** 2))}
    if kind == "multilabel":
        columns = list(zip(labels.T, predicted.T, strict=True))
        return {"auroc": _mean(auroc, columns), "auprc": _mean(_auprc, columns)}
    if kind == "per_base":
        labels, predicted = labels[labels >= 0], predicted[labels >= 0]
        columns = [(labels == c, predicted[:, c]) for c in range(1, predicted.shape[1])]
        return {"top_k": _mean(top_k, columns), "auprc": _mean(_auprc, columns)}
    classes = predicted.shape[1]
    table = tables(labels, predicted, np.zeros(len(labels), dtype=np.int64), 1)
    hits, both = table[0].diagonal(), table[0].sum(axis=1) + table[0].sum(axis=0)
    f1 = ratio(2 * hits, both)[both > 0]
    columns = [(labels == c, predicted[:, c]) for c in ([1] if classes == 2 else range(classes))]
    return {
        "mcc": float(mcc(table)[0]),
        "accuracy": float(ratio(hits.sum(), len(labels))),
        "f1": float(f1.mean()) if len(f1) else float("nan"),
        "auroc": _mean(auroc, columns),
        "auprc": _mean(_auprc, columns),
    }


def first(kind: str, labels: np.ndarray, predicted: np.ndarray) -> float:
    """The metric that decides, of what `paired` gives."""
    return measured(kind, labels, predicted)[NAMES[kind][0]]


def tables(labels: np.ndarray, predicted: np.ndarray, group: np.ndarray, n: int) -> np.ndarray:
    """Confusion table of each of n groups, float64 [group, truth, guess]."""
    made = np.zeros((n, *2 * predicted.shape[1:]))
    np.add.at(made, (group, labels, predicted.argmax(axis=1)), 1)
    return made


def undefined(kind: str, labels: np.ndarray, predicted: np.ndarray, names: Sequence[str] = ()) -> str:
    """Why the first metric of `scores` is not defined, in words, with the names of the classes; empty where it is.

    Examples
    --------
    >>> undefined("binary", [1, 1], [[0.5, 0.5], [0.1, 0.9]], ["no", "yes"])
    'all 2 judged examples are of class yes'
    """
    labels, predicted = paired(kind, labels, predicted)
    if np.isfinite(first(kind, labels, predicted)):
        return ""
    if not len(labels):
        return "nothing was judged"
    if kind in door.BY_CLASS:
        name, label, guess = dict(enumerate(names)), int(labels[0]), int(predicted[0].argmax())
        if (labels == label).all():
            return f"all {len(labels):,} judged examples are of class {name.get(label, label)}"
        return f"every guess is class {name.get(guess, guess)}"
    if kind == "regression":
        return "the targets do not vary" if not np.ptp(labels, axis=0).any() else "predictions do not vary"
    return "no track has examples of both kinds" if kind == "multilabel" else "no base bears a site"


def loss(kind: str, labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean squared error of values, mean negative log-likelihood (nats) of probabilities, by sequence."""
    if kind == "regression":
        return float(np.mean((labels - predicted) ** 2))
    if kind == "multilabel":
        predicted = np.where(labels, predicted, 1 - predicted)
    else:
        predicted = predicted[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(predicted, 1e-12)).mean())


def preference(score: float, loss: float) -> tuple[bool, float]:
    """What to sort by, best last: a score that is defined, by itself; one that is not comes before, by the loss.

    Examples
    --------
    >>> preference(-0.1, 9.0) > preference(float("nan"), 0.6) > preference(float("nan"), 0.7)
    True
    """
    return (True, score) if np.isfinite(score) else (False, -loss)


def top_k(positive: np.ndarray, values: np.ndarray) -> float:
    """Share of positives among the k highest values, k being the number of positives; ties by their chance; nan without any.

    Examples
    --------
    >>> top_k(np.array([1, 1, 0, 0]), np.array([0.9, 0.2, 0.8, 0.1]))
    0.5
    """
    positive, values = np.asarray(positive, dtype=bool), np.asarray(values, dtype=np.float64)
    k = int(positive.sum())
    if not k:
        return float("nan")
    threshold = np.partition(values, len(values) - k)[len(values) - k]
    above, tied = values > threshold, values == threshold
    left = k - int(above.sum())
    return float((positive[above].sum() + left * positive[tied].mean()) / k)


def _auprc(positive: np.ndarray, values: np.ndarray) -> float:
    return float("nan") if positive.all() else auprc(positive, values)


def _mean(measure: Callable[..., float], columns: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Mean of a measure over the columns for which it is defined; nan if it is for none."""
    values = np.array([measure(*column) for column in columns])
    return float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else float("nan")
