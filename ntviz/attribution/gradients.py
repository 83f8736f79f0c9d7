"""Integrated gradients and gradient times input over the embedding of tokens, by captum.

References
----------
Sundararajan et al. (2017) ICML, integrated gradients: contributions add up to the difference between a sequence and its baseline, but
for the error of the integral, which is always told here. Gradient times input is the integral's integrand at its end: fast, and not
complete.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ntviz.attribution.asking import TOKENS, ask, embedding_layer, masked_ids, steady
from ntviz.attribution.result import ENOUGH, Attribution
from ntviz.attribution.targets import Target
from ntviz.sequence import reverse_complement, shuffle
from ntviz.tokens import Tokens

BASELINES = ("mask", "shuffle", "n")
_SHUFFLES = 8


def integrated_gradients(
    model: Any,
    sequence: str,
    target: Target,
    *,
    baseline: str = "mask",
    steps: int = 32,
    most_steps: int = 512,
    both_strands: bool = False,
    seed: int = 0,
) -> Attribution:
    """Contributions of tokens along the straight way from a baseline to the sequence.

    Parameters
    ----------
    model
        As `models.load` gives a Nucleotide Transformer.
    sequence
        Upper-case A, C, G, T, N.
    target
        Such as `BaseProbability(120, "G")` or `Direction(vector, layer=3)`.
    baseline
        "mask": each token the mask token. "n": each token the token of N. "shuffle": the mean over eight shuffles that keep dinucleotides,
        which a model has seen the like of; sequences with N are cut into tokens alike, as N stay in place.
    steps, most_steps
        Points of the integral; doubled until the error of completeness is below 1 %, or `most_steps` is reached, which the result says.
    both_strands
        The mean over both strands, by base.
    seed
        Of the shuffles.

    Raises
    ------
    ValueError
        An unknown baseline, a target that is not there, a model without an embedding, or gradients that are not finite.
    """
    from captum.attr import LayerIntegratedGradients

    if baseline not in BASELINES:
        raise ValueError(f"baseline must be one of {', '.join(BASELINES)}; received {baseline!r}.")
    if not 1 <= steps <= most_steps:
        raise ValueError(f"steps must be 1 to most_steps ({most_steps:,}); received {steps:,}.")
    if both_strands:
        return _both(integrated_gradients, model, sequence, target, baseline=baseline, steps=steps, most_steps=most_steps, seed=seed)  # fmt: skip
    layer, tokens = embedding_layer(model), model.tokenize(sequence)
    ids = torch.from_numpy(masked_ids(model, tokens, target)).to(layer.weight.device)[None]
    rows = [
        torch.from_numpy(row).to(ids.device)[None]
        for row in _baselines(model, tokens, target, baseline, seed)
    ]

    def asked(row: torch.Tensor) -> torch.Tensor:
        return ask(model, row, target, tokens)

    with steady(model):
        with torch.inference_mode():
            value = float(asked(ids).double())
            known = [_replaced(asked, layer, ids, row) for row in rows]
        method = LayerIntegratedGradients(asked, layer)
        size = max(1, TOKENS // len(tokens))
        while True:
            parts = []
            for row in rows:
                found, size = _within_memory(
                    lambda size, row=row, steps=steps: method.attribute(
                        ids, baselines=row, n_steps=steps, internal_batch_size=size, method="gausslegendre"
                    ),
                    size,
                )
                parts.append(found[0].double().sum(-1).detach().cpu().numpy())
            per_token = _finite(np.mean(parts, axis=0), model)
            change = value - float(np.mean(known))
            error = abs(per_token.sum() - change) / max(abs(change), 1e-12)
            if error <= ENOUGH or steps * 2 > most_steps:
                break
            steps *= 2
    return Attribution(
        tokens, per_token, "integrated gradients", baseline, value, float(np.mean(known)), float(error), steps
    )


def gradient_times_input(
    model: Any, sequence: str, target: Target, *, both_strands: bool = False
) -> Attribution:
    """The gradient of the target at each token's embedding times that embedding: one pass, no baseline, not complete.

    Raises
    ------
    ValueError
        As `integrated_gradients`.
    """
    from captum.attr import LayerGradientXActivation

    if both_strands:
        return _both(gradient_times_input, model, sequence, target)
    layer, tokens = embedding_layer(model), model.tokenize(sequence)
    ids = torch.from_numpy(masked_ids(model, tokens, target)).to(layer.weight.device)[None]

    def asked(row: torch.Tensor) -> torch.Tensor:
        return ask(model, row, target, tokens)

    with steady(model):
        with torch.inference_mode():
            value = float(asked(ids).double())
        found = LayerGradientXActivation(asked, layer).attribute(ids)
    per_token = _finite(found[0].double().sum(-1).detach().cpu().numpy(), model)
    return Attribution(tokens, per_token, "gradient times input", "", value, float("nan"), float("nan"), 0)


def _baselines(model: Any, tokens: Tokens, target: Target, baseline: str, seed: int) -> list[np.ndarray]:
    """Ids [token] of what the sequence is compared with; special tokens stay, and what the target masks is masked."""
    if baseline == "shuffle":
        made = (model.tokenize(shuffle(tokens.sequence, k=2, seed=seed + draw)) for draw in range(_SHUFFLES))
        return [masked_ids(model, one, target) for one in made]
    ids = masked_ids(model, tokens, target)
    filled = model.mask_id if baseline == "mask" else tokens.vocabulary.n_id
    keep = tokens.is_special | (ids == model.mask_id)
    return [np.where(keep, ids, filled)]


def _replaced(asked: Any, layer: torch.nn.Module, ids: torch.Tensor, row: torch.Tensor) -> float:
    """The target with a baseline's vectors in place of the sequence's, as the integral begins.

    Not the target of the baseline's ids where a model looks at ids elsewhere: v1 scales its embedding by how many tokens are masked.
    """
    vectors = layer(row)
    handle = layer.register_forward_hook(lambda *_: vectors)
    try:
        return float(asked(ids).double())
    finally:
        handle.remove()


def _within_memory(make: Any, size: int) -> tuple[torch.Tensor, int]:
    """What `make` gives with the largest batch that fits, and that size."""
    while True:
        try:
            return make(size), size
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size //= 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def _finite(values: np.ndarray, model: Any) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError(
            f"Gradients must be finite; {int((~np.isfinite(values)).sum()):,} of {len(values):,} tokens of {model.name} have others. "
            "Load the model with dtype='float32'."
        )
    return values


def _both(attribute: Any, model: Any, sequence: str, target: Target, **options: Any) -> Attribution:
    """The mean over both strands by base; the tokens and the sum are those of the strand given."""
    one = attribute(model, sequence, target, **options)
    n = len(sequence)
    other = attribute(model, reverse_complement(sequence), target.mirrored(n), **options)
    mean = (one.per_base() + other.per_base()[::-1]) / 2
    return replace(
        one,
        method=f"{one.method}, both strands",
        value=(one.value + other.value) / 2,
        baseline_value=(one.baseline_value + other.baseline_value) / 2,
        error=float(np.fmax(one.error, other.error)),
        steps=max(one.steps, other.steps),
        per_base_of_strands=mean,
    )
