"""What is fitted: logistic regression, ridge and small networks of scikit-learn, behind a scaler fitted with them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths of the penalty (scikit-learn's C) that logistic regression and ridge choose from."""
FIRST_STRENGTH = 1e-2
"""With which layers are compared, before the strength is chosen for the best."""
NETWORKS = ((64,), (128, 64))
"""Hidden layers that the network chooses from; two at most, as in the paper's probes."""
METHODS = ("logistic", "mlp")


@dataclass(frozen=True)
class Setting:
    """One candidate: the set of vectors (a layer, say), and how much is fitted to them."""

    method: str
    features: Any
    strength: float = FIRST_STRENGTH
    hidden: tuple[int, ...] = NETWORKS[0]

    def __str__(self) -> str:
        if self.method == "mlp":
            return f"{self.features}, {' x '.join(map(str, self.hidden))} hidden"
        return f"{self.features}, C = {self.strength:g}"


class Layers(NamedTuple):
    """A fitted probe as linear layers with rectifiers between them, of vectors as they are: the scaler is inside the first.

    `weights` float64 [in, out] and `biases` [out], one a layer. `outputs` int64 [column]: which class, track or target each last number
    scores. Scores are logits, whose softmax over classes or sigmoid by track is the probability, or the values of a regression.
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    outputs: np.ndarray


class Fitted:
    """A scaler and an estimator, fitted to vectors float32 [example, feature] and labels by kind of task."""

    def __init__(self, kind: str, classes: int, setting: Setting, seed: int) -> None:
        self.kind, self.classes, self.setting, self.seed = kind, classes, setting, seed

    def fit(self, vectors: np.ndarray, labels: np.ndarray) -> Fitted:
        """The same, fitted; features that do not vary are left at zero."""
        from sklearn.exceptions import ConvergenceWarning

        vectors = np.asarray(vectors, dtype=np.float32)
        self._mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        spread = vectors.std(axis=0, dtype=np.float64).astype(np.float32)
        self._spread = np.where(spread > 1e-8, spread, np.float32(1))
        self._outputs = np.arange(self.classes)
        if self.kind == "multilabel":
            # A track of one value is not fitted: its share is the answer.
            self._shares = labels.mean(axis=0)
            self._outputs = np.flatnonzero((self._shares > 0) & (self._shares < 1))
            labels = labels[:, self._outputs].astype(np.int64)
            if not len(self._outputs):
                return self
        if self.kind == "regression":
            # The penalty must mean the same whatever the unit of the target.
            self._offset, scale = labels.mean(axis=0), labels.std(axis=0)
            self._scale = np.where(scale > 0, scale, 1)
            labels = (labels - self._offset) / self._scale
        if self.setting.method == "mlp" and labels.ndim == 2 and labels.shape[1] == 1:
            # One track is two classes, one target one number.
            labels = labels[:, 0]
        self._estimator = self._made(len(vectors))
        with warnings.catch_warnings():
            # Both stop after a number of steps by design; the held-out score judges what came.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._estimator.fit(self._scaled(vectors), labels)
        if self.kind in ("binary", "multiclass"):
            self._outputs = np.asarray(self._estimator.classes_, dtype=np.int64)
        return self

    def predict(self, vectors: np.ndarray) -> np.ndarray:
        """Probabilities [example, class] or [example, track], or values [example, target]; float64."""
        scaled = self._scaled(np.asarray(vectors, dtype=np.float32))
        if self.kind == "regression":
            return self._estimator.predict(scaled).reshape(len(scaled), -1) * self._scale + self._offset
        result = np.zeros((len(scaled), self.classes))
        if self.kind != "multilabel":
            result[:, self._outputs] = self._estimator.predict_proba(scaled)
            return result
        result[:] = self._shares
        if len(self._outputs):
            found = self._estimator.predict_proba(scaled)
            if self.setting.method == "logistic":
                found = np.stack([track[:, 1] for track in found], axis=1)
            # A network takes one track for two classes.
            result[:, self._outputs] = found[:, -len(self._outputs) :]
        return result

    def layers(self) -> Layers:
        """What was fitted, as weights: the same scores without scikit-learn, to be differentiated."""
        if not len(self._outputs):
            raise ValueError(
                f"A probe must have a track that varies; all {self.classes} have one value in training. Fit it to other examples."
            )
        if self.setting.method == "mlp":
            weights, biases = list(self._estimator.coefs_), list(self._estimator.intercepts_)
        else:
            parts = self._estimator.estimators_ if self.kind == "multilabel" else [self._estimator]
            weights = [np.concatenate([np.atleast_2d(one.coef_) for one in parts]).T]
            biases = [np.concatenate([np.atleast_1d(one.intercept_) for one in parts])]
        if self.kind == "regression":
            weights[-1], biases[-1] = weights[-1] * self._scale, biases[-1] * self._scale + self._offset
        elif self.kind != "multilabel" and weights[-1].shape[1] == 1:
            # Of two classes scikit-learn keeps the second one's score, against none of the first.
            weights[-1], biases[-1] = np.pad(weights[-1], ((0, 0), (1, 0))), np.pad(biases[-1], (1, 0))
        weights, biases = ([np.asarray(part, dtype=np.float64) for part in parts] for parts in (weights, biases))
        first = weights[0] / self._spread[:, None]
        return Layers((first, *weights[1:]), (biases[0] - self._mean @ first, *biases[1:]), self._outputs)

    def _scaled(self, vectors: np.ndarray) -> np.ndarray:
        return (vectors - self._mean) / self._spread

    def _made(self, n: int) -> Any:
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.multioutput import MultiOutputClassifier
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        setting = self.setting
        if setting.method == "logistic":
            if self.kind == "regression":
                # The same penalty as logistic regression's: it weighs the sum of errors by C.
                return Ridge(alpha=1 / setting.strength)
            one = LogisticRegression(C=setting.strength, max_iter=300, tol=1e-3)
            return MultiOutputClassifier(one) if self.kind == "multilabel" else one
        made = MLPRegressor if self.kind == "regression" else MLPClassifier
        # Too few examples to set a tenth aside: then a fixed number of rounds.
        return made(
            hidden_layer_sizes=setting.hidden, alpha=1e-3, batch_size=min(128, n), learning_rate_init=1e-3, max_iter=60, early_stopping=n >= 200,
            n_iter_no_change=6, random_state=self.seed,
        )  # fmt: skip
