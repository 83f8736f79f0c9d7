"""Targets over trained outputs: a fine-tuned head or a network, and a probe on hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ntviz.attribution.targets import mean_state, moved
from ntviz.tokens import Tokens

if TYPE_CHECKING:
    import torch

SCALES = ("log-odds", "score")
_CLASSES = ("binary", "multiclass", "per_base")


@dataclass(frozen=True)
class Output:
    """An output of a fine-tuned model or of a network, before it becomes a probability.

    Attributes
    ----------
    index
        Class, track or target, from 0.
    against
        Another: then the difference of their scores; of classes, the logarithm of the ratio of their probabilities.
    position
        0-based, in bp within the sequence, for outputs by base; else None.
    scale
        "log-odds": log(p / (1 - p)) in nats, of a class or a track; a probability itself stops changing near 0 and 1. "score": the number
        as the network gives it (a class's logit, the value of a regression). Default: log-odds where the task has classes or tracks.

    Notes
    -----
    The kind of task is that of `finetuning.Tuned`; a bare network has none and gives scores.
    """

    index: int = 0
    against: int | None = None
    position: int | None = None
    scale: str | None = None

    of: ClassVar[str] = "scores"

    def __post_init__(self) -> None:
        _check(self.index, self.against, self.scale)

    def masked(self, tokens: Tokens) -> list[int]:
        """None."""
        return []

    def score(self, model: Any, scores: Any, tokens: Tokens) -> torch.Tensor:
        """[sequence], of scores [sequence], [sequence, output] or [sequence, base, output].

        Raises
        ------
        ValueError
            An output or position that is not there, or log-odds of what has no classes.
        """
        if scores.ndim not in (1, 2, 3):
            raise ValueError(
                "A network must give scores [sequence, output] or [sequence, base, output]; received shape "
                f"{list(scores.shape)}. Wrap it in a module that gives these."
            )
        if scores.ndim == 1:
            scores = scores[:, None]
        if (self.position is not None) != (scores.ndim == 3):
            raise ValueError(
                "A target by base needs a position, and others have none; received position "
                f"{self.position} for scores of shape {list(scores.shape)}. Say Output(index, position=...) for a task by base only."
            )
        if self.position is not None:
            if not 0 <= self.position < len(tokens.sequence):
                raise ValueError(
                    f"The position of a target must lie in the sequence, 0 to {len(tokens.sequence) - 1:,}; received "
                    f"{self.position:,}. Subtract the interval's start from a genome position."
                )
            scores = scores[:, self.position]
        return _number(scores.float(), _kind(model), self.index, self.against, self.scale)

    def mirrored(self, n: int) -> Output:
        """The same output, of the same base counted from the other end.

        A class that means a strand, as that of a splice site, means the other one there: both strands are a mean for what has none.
        """
        return self if self.position is None else replace(self, position=n - 1 - self.position)

    def edited(self, start: int, end: int, by: int) -> Output:
        """Itself, moved where it lies behind the bases that changed."""
        return self if self.position is None else replace(self, position=moved(self.position, start, end, by))

    def unit(self, model: Any) -> str:
        """As `scale`."""
        return _unit(_kind(model), self.against, self.scale)


@dataclass(frozen=True, eq=False)
class Probe:
    """An output of a probe on the mean hidden state of a layer, before it becomes a probability.

    Attributes
    ----------
    fitted
        A fitted `probing.estimators.Fitted`: logistic regression, ridge or a network, in the layer's mean over tokens that cover bases. Anything
        with such a `kind` and `layers()` will do.
    index, against, scale
        As those of `Output`.
    layer
        0 (the embedding) to the number of layers, -1 for the last. Default: the number in `fitted.setting.features`, if it is one.
    """

    fitted: Any
    index: int = 0
    against: int | None = None
    scale: str | None = None
    layer: int | None = None

    def __post_init__(self) -> None:
        _check(self.index, self.against, self.scale)
        if not hasattr(self.fitted, "layers") or not hasattr(self.fitted, "kind"):
            raise ValueError(
                f"A probe must be fitted and have kind and layers(); received {type(self.fitted).__name__}. "
                "Pass a fitted probing.estimators.Fitted."
            )
        if self.layer is None and not isinstance(self._features, (int, np.integer)):
            raise ValueError(
                f"The layer of a probe must be a number; its vectors are called {self._features!r}. Give layer=..., as they were read."
            )

    @property
    def _features(self) -> Any:
        return getattr(getattr(self.fitted, "setting", None), "features", None)

    def masked(self, tokens: Tokens) -> list[int]:
        """None."""
        return []

    def score(self, model: Any, states: Sequence[torch.Tensor], tokens: Tokens) -> torch.Tensor:
        """[sequence], as the fitted probe scores the mean of each row.

        Raises
        ------
        ValueError
            A layer that is not there or of another width, or an output that was not fitted.
        """
        import torch

        x = mean_state(model, states, tokens, int(self._features if self.layer is None else self.layer))
        layers = self.fitted.layers()
        if layers.weights[0].shape[0] != x.shape[1]:
            raise ValueError(
                f"A probe must be fitted to vectors of {model.name}, {x.shape[1]:,} numbers; this one takes "
                f"{layers.weights[0].shape[0]:,}. Fit it to this model's layer."
            )
        for index, (weight, bias) in enumerate(zip(layers.weights, layers.biases, strict=True)):
            x = torch.relu(x) if index else x
            x = x @ torch.from_numpy(weight).to(x) + torch.from_numpy(bias).to(x)
        column = {int(output): place for place, output in enumerate(layers.outputs)}
        chosen = [self.index, *([] if self.against is None else [self.against])]
        missing = [output for output in chosen if output not in column]
        if missing:
            raise ValueError(
                f"An output of a probe must be one that it was fitted to, of {sorted(column)}; received {missing[0]}. "
                "What training lacks, or has alone, cannot be told from anything."
            )
        against = None if self.against is None else column[self.against]
        return _number(x, self.fitted.kind, column[self.index], against, self.scale)

    def mirrored(self, n: int) -> Probe:
        """Itself: a mean has no place."""
        return self

    def edited(self, start: int, end: int, by: int) -> Probe:
        """Itself."""
        return self

    def unit(self, model: Any) -> str:
        """As `scale`."""
        return _unit(self.fitted.kind, self.against, self.scale)


def _check(index: int, against: int | None, scale: str | None) -> None:
    if scale is not None and scale not in SCALES:
        raise ValueError(f"The scale of a target must be one of {', '.join(SCALES)}; received {scale!r}.")
    if index < 0 or (against is not None and against < 0):
        raise ValueError(f"Outputs are counted from 0; received {index} and {against}. Name them from there.")
    if index == against:
        raise ValueError(
            f"The two outputs of a contrast must differ; received {index} twice. Give the other one."
        )


def _kind(model: Any) -> str:
    """The kind of task; empty for a bare network, which has none."""
    return getattr(model, "kind", "") if hasattr(model, "learner") else ""


def _odds(kind: str, scale: str | None) -> bool:
    """Whether log-odds are asked for.

    Raises
    ------
    ValueError
        Of what has no classes.
    """
    if scale == "log-odds" and kind not in (*_CLASSES, "multilabel"):
        raise ValueError(
            f"Log-odds need classes or tracks; received {kind or 'a bare network, whose kind of task is not known'}. "
            "Ask for scale='score'."
        )
    return scale == "log-odds" or (scale is None and kind in (*_CLASSES, "multilabel"))


def _number(
    scores: torch.Tensor, kind: str, index: int, against: int | None, scale: str | None
) -> torch.Tensor:
    """One number a row [sequence] of scores [sequence, output]."""
    odds, n = _odds(kind, scale), scores.shape[-1]
    highest = max(index, index if against is None else against)
    if highest >= n:
        raise ValueError(f"Outputs must be 0 to {n - 1}; received {highest}. Name one that is there.")
    if against is not None:
        return scores[:, index] - scores[:, against]
    if not odds or kind == "multilabel":
        # A track's score is its log-odds.
        return scores[:, index]
    others = [place for place in range(n) if place != index]
    return scores[:, index] - scores[:, others].logsumexp(-1)


def _unit(kind: str, against: int | None, scale: str | None) -> str:
    if not _odds(kind, scale):
        return "value" if kind == "regression" else "score"
    if against is not None and kind in _CLASSES:
        return "log ratio of probabilities (nats)"
    return "log-odds (nats)" if against is None else "difference of log-odds (nats)"
