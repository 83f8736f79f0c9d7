"""What is explained: one number that a model gives for a sequence, as a function that can be differentiated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ntviz.genome.sequence import BASES, reverse_complement
from ntviz.models.protocol import SPLICE_CLASSES
from ntviz.tokens import Tokens

if TYPE_CHECKING:
    import torch

SCALES = ("log-odds", "score")
_CLASSES = ("binary", "multiclass", "per_base")


class Target:
    """One number a sequence; `of` says what it is read from: hidden "states", "scores" of outputs, or splice "sites"."""

    of: ClassVar[str] = "states"

    def masked(self, tokens: Tokens) -> list[int]:
        """Indices of the tokens that the mask token replaces while the model is asked."""
        return []

    def score(self, model: Any, given: Any, tokens: Tokens, /) -> torch.Tensor:
        """The number for each row [sequence] of scores, or of hidden states [sequence, token, hidden], the embedding first."""
        raise NotImplementedError

    def mirrored(self, n: int) -> Target:
        """The same question about the other strand of a sequence of n bp."""
        return self

    def edited(self, start: int, end: int, by: int) -> Target:
        """The same question once the bases start to end, 0-based half-open, became longer by so many."""
        position = getattr(self, "position", None)
        if position is None or not by or position < start:
            return self
        if position < end:
            raise ValueError(
                f"A target must lie outside of an insertion or deletion, here {start:,} to {end:,}; received {position:,}. "
                "Give alternative_target."
            )
        return replace(self, position=position + by)  # ty: ignore[invalid-argument-type]

    def unit(self, model: Any) -> str:
        """Of the number, in words; empty where it has none."""
        return ""

    def __call__(self, model: Any, sequence: str) -> float:
        """The number for one sequence: a target is a function of a model and a sequence, as `attention.ablate` takes one."""
        from ntviz.attribution.reader import reader  # which reads targets

        return float(reader(model).values([sequence], self)[0])


def _within(position: int, tokens: Tokens) -> int:
    if not 0 <= position < len(tokens.sequence):
        raise ValueError(
            f"The position of a target must lie in the sequence, 0 to {len(tokens.sequence) - 1:,}; received {position:,}. "
            "Subtract the interval's start from a genome position."
        )
    return position


@dataclass(frozen=True)
class SpliceSite(Target):
    """Log-odds, in nats, of a splice site at a position, by the mean probability of a splice model's networks.

    `kind` is "acceptor" (the first base of an exon) or "donor" (the last base of one); `position` is 0-based, in bp within the
    sequence. The bases that lie up to 5,000 bp from it are read; N lies beyond the ends.
    """

    kind: str
    position: int

    of: ClassVar[str] = "sites"

    def __post_init__(self) -> None:
        if self.kind not in ("acceptor", "donor"):
            raise ValueError(f"A splice site must be an acceptor or a donor; received {self.kind!r}.")

    def masked(self, tokens: Tokens) -> list[int]:
        _within(self.position, tokens)
        return []

    def score(self, model: Any, logits: torch.Tensor, tokens: Tokens) -> torch.Tensor:
        """[sequence], of logits [network, sequence, class]."""
        logs = logits.float().log_softmax(2)
        index = SPLICE_CLASSES.index(self.kind)
        others = [other for other in range(len(SPLICE_CLASSES)) if other != index]
        return logs[:, :, index].logsumexp(0) - logs[:, :, others].logsumexp((0, 2))

    def mirrored(self, n: int) -> SpliceSite:
        raise ValueError(
            "A splice site lies on one strand. Leave both_strands out, and take the interval on the strand of the gene."
        )

    def unit(self, model: Any) -> str:
        return "log-odds (nats)"


@dataclass(frozen=True)
class BaseProbability(Target):
    """Log probability, in nats, of a base where its token is masked: what the model expects there from the rest.

    It is the marginal over the k-mers of the token, as in `tokens.base_log_probs`; none of the bases of the token can have an
    attribution. `position` is 0-based, in bp within the sequence. With `against`, another base, the target is the difference
    of the two log probabilities.
    """

    position: int
    base: str
    against: str | None = None

    def __post_init__(self) -> None:
        for base in (self.base, *([self.against] if self.against is not None else [])):
            if base not in BASES or len(base) != 1:
                raise ValueError(f"A base must be one of A, C, G, T; received {base!r}.")
        if self.base == self.against:
            raise ValueError(f"The two bases of a contrast must differ; received {self.base} twice.")

    def masked(self, tokens: Tokens) -> list[int]:
        index = int(tokens.token_at(_within(self.position, tokens)))
        if tokens.is_n[index]:
            raise ValueError(f"The base at {self.position:,} is N, which no model expects.")
        return [index]

    def score(self, model: Any, states: Sequence[torch.Tensor], tokens: Tokens) -> torch.Tensor:
        """[sequence], in nats."""
        import torch

        (index,) = self.masked(tokens)
        vocabulary = tokens.vocabulary
        kmers = vocabulary.kmer_ids  # a byte-pair encoding has none, and says so
        logits = model.module.lm_head(states[-1][:, index]).float()
        if tokens.is_kmer[index]:
            logits = logits[:, kmers]
            place = self.position - tokens.bases_of(index)[0]
            codes = torch.from_numpy(vocabulary.kmer_base_codes[:, place].copy()).to(logits.device)
        else:
            logits = logits[:, torch.from_numpy(vocabulary.single_ids.copy()).to(logits.device)]
            codes = torch.arange(4, device=logits.device)

        def log_probability(base: str) -> torch.Tensor:
            return logits[:, codes == BASES.index(base)].logsumexp(1) - logits.logsumexp(1)

        value = log_probability(self.base)
        return value if self.against is None else value - log_probability(self.against)

    def mirrored(self, n: int) -> BaseProbability:
        other = None if self.against is None else reverse_complement(self.against)
        return BaseProbability(n - 1 - self.position, reverse_complement(self.base), other)

    def unit(self, model: Any) -> str:
        return "log probability (nats)" if self.against is None else "log ratio of probabilities (nats)"


@dataclass(frozen=True, eq=False)
class Direction(Target):
    """The product of a mean hidden state with a vector [hidden], plus `offset`: how far a sequence lies along a direction.

    The mean is over the tokens that cover bases, as probes see it. `layer` is 0 (the embedding) to the number of layers, -1
    for the last.
    """

    vector: np.ndarray
    layer: int = -1
    offset: float = 0.0

    def score(self, model: Any, states: Sequence[torch.Tensor], tokens: Tokens) -> torch.Tensor:
        """[sequence], without unit."""
        import torch

        mean = _mean_state(model, states, tokens, self.layer)
        vector = np.asarray(self.vector, dtype=np.float32)
        if vector.shape != (mean.shape[-1],) or not np.isfinite(vector).all():
            raise ValueError(
                f"A direction in {model.name} must have {mean.shape[-1]} finite numbers; received shape {vector.shape}."
            )
        return mean @ torch.from_numpy(vector).to(mean.device) + self.offset


class _OfOutputs(Target):
    """A target among several scores of a task; `kind` is that of the task, empty where none is known."""

    def __post_init__(self: Any) -> None:
        if self.scale is not None and self.scale not in SCALES:
            raise ValueError(f"A scale must be one of {', '.join(SCALES)}; received {self.scale!r}.")
        if self.index < 0 or (self.against is not None and self.against < 0):
            raise ValueError(f"Outputs are counted from 0; received {self.index} and {self.against}.")
        if self.index == self.against:
            raise ValueError(f"The two outputs of a contrast must differ; received {self.index} twice.")

    def kind(self, model: Any) -> str:
        raise NotImplementedError

    def _odds(self: Any, model: Any) -> bool:
        """Whether log-odds are asked for, of what has classes or tracks."""
        kind = self.kind(model)
        can = kind in (*_CLASSES, "multilabel")
        if self.scale == "log-odds" and not can:
            raise ValueError(
                f"Log-odds need classes or tracks; received {kind or 'a bare network, whose kind of task is not known'}. "
                "Ask for scale='score'."
            )
        return can and self.scale != "score"

    def number(self: Any, model: Any, scores: torch.Tensor, index: int, against: int | None) -> torch.Tensor:
        """One number a row [sequence] of scores [sequence, output]."""
        odds, n = self._odds(model), scores.shape[-1]
        highest = max(index, index if against is None else against)
        if highest >= n:
            raise ValueError(f"Outputs must be 0 to {n - 1}; received {highest}. Name one that is there.")
        if against is not None:
            return scores[:, index] - scores[:, against]
        if not odds or self.kind(model) == "multilabel":  # a track's score is its log-odds
            return scores[:, index]
        others = [place for place in range(n) if place != index]
        return scores[:, index] - scores[:, others].logsumexp(-1)

    def unit(self: Any, model: Any) -> str:
        if not self._odds(model):
            return "value" if self.kind(model) == "regression" else "score"
        if self.against is not None and self.kind(model) in _CLASSES:
            return "log ratio of probabilities (nats)"
        return "log-odds (nats)" if self.against is None else "difference of log-odds (nats)"


@dataclass(frozen=True, eq=False)
class Probe(_OfOutputs):
    """An output of a probe, a fitted `probing.estimators.Fitted`, on the mean hidden state of a layer.

    `index`, `against` and `scale` are as those of `Output`; `layer` is 0 (the embedding) to the number of layers, -1 for the
    last, by default that of `fitted.setting.features`.
    """

    fitted: Any
    index: int = 0
    against: int | None = None
    scale: str | None = None
    layer: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not hasattr(self.fitted, "layers") or not hasattr(self.fitted, "kind"):
            raise ValueError(f"A probe must be fitted and have kind and layers(); received {type(self.fitted).__name__}.")  # fmt: skip
        features: Any = getattr(getattr(self.fitted, "setting", None), "features", None)
        if self.layer is None and not isinstance(features, (int, np.integer)):
            raise ValueError(
                f"The layer of a probe must be a number; its vectors are called {features!r}. Give layer=..., as they were read."
            )
        if self.layer is None:
            object.__setattr__(self, "layer", int(features))

    def kind(self, model: Any) -> str:
        return self.fitted.kind

    def score(self, model: Any, states: Sequence[torch.Tensor], tokens: Tokens) -> torch.Tensor:
        """[sequence], as the fitted probe scores the mean of each row."""
        import torch

        x = _mean_state(model, states, tokens, self.layer)  # ty: ignore[invalid-argument-type]
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
        missing = [output for output in (self.index, self.against) if output not in (*column, None)]
        if missing:
            raise ValueError(f"An output of a probe must be one that it was fitted to, of {sorted(column)}; received {missing[0]}.")  # fmt: skip
        against = None if self.against is None else column[self.against]
        return self.number(model, x, column[self.index], against)


@dataclass(frozen=True)
class Output(_OfOutputs):
    """An output of a fine-tuned model or of a network (class, track or target `index`, from 0), before it is a probability.

    With `against`, another, it is the difference of their scores; of classes, the logarithm of the ratio of their
    probabilities. `position` is 0-based, in bp within the sequence, for outputs by base. `scale` is "log-odds": log(p / (1 - p))
    in nats, of a class or a track, the default where the task has these; or "score": the number as the network gives it.
    """

    index: int = 0
    against: int | None = None
    position: int | None = None
    scale: str | None = None

    of: ClassVar[str] = "scores"

    def kind(self, model: Any) -> str:
        return getattr(model, "kind", "") if hasattr(model, "learner") else ""

    def score(self, model: Any, scores: Any, tokens: Tokens) -> torch.Tensor:
        """[sequence], of scores [sequence], [sequence, output] or [sequence, base, output]."""
        if scores.ndim not in (1, 2, 3):
            raise ValueError(f"Scores must be [sequence, output] or [sequence, base, output]; received shape {list(scores.shape)}.")  # fmt: skip
        scores = scores[:, None] if scores.ndim == 1 else scores
        if (self.position is not None) != (scores.ndim == 3):
            raise ValueError(
                f"A target by base needs a position, and others have none; received position {self.position} for scores of shape "
                f"{list(scores.shape)}."
            )
        if self.position is not None:
            scores = scores[:, _within(self.position, tokens)]
        return self.number(model, scores.float(), self.index, self.against)

    def mirrored(self, n: int) -> Output:
        """The same output, of the same base from the other end; a class that means a strand means the other one there."""
        return self if self.position is None else replace(self, position=n - 1 - self.position)


def _mean_state(model: Any, states: Sequence[torch.Tensor], tokens: Tokens, layer: int) -> torch.Tensor:
    """The mean over the tokens that cover bases of a layer's hidden states, float32 [sequence, hidden]."""
    import torch

    if not -1 <= layer < len(states):
        raise ValueError(f"The layer of a target must lie in 0 to {len(states) - 1} for {model.name}, or be -1; received {layer}.")  # fmt: skip
    covering = torch.from_numpy(~np.asarray(tokens.is_special)).to(states[layer].device)
    return states[layer][:, covering].float().mean(1)
