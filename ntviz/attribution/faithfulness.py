"""Whether an attribution says what a model does: against mutagenesis, by deletion, and against random weights.

References
----------
Adebayo et al. (2018) NeurIPS, the check against random weights: what does not change with the weights explains the
sequence, not the model. Samek et al. (2017) IEEE TNNLS, deletion curves.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntviz.attribution.reader import reader
from ntviz.attribution.result import Attribution
from ntviz.attribution.target import Target
from ntviz.statistics import middle, spearman

if TYPE_CHECKING:
    import pandas as pd


class Sanity(NamedTuple):
    """Rank correlation by token of an attribution with those of random twins, and how large the latter are beside it.

    `correlations` [twin]; near 0 is well. `ratio` is the mean absolute contribution in twins over that in the model.
    """

    correlations: np.ndarray
    ratio: float


def agreement(attribution: Attribution, effects: np.ndarray) -> float:
    """Rank correlation (Spearman) between contributions and what changing each base takes away.

    `effects` are those of `mutagenesis` over the whole sequence, [base, 4]; a base's is minus the mean over its changes.
    """
    n = len(attribution.tokens.sequence)
    if np.shape(effects) != (n, 4):
        raise ValueError(f"Effects must be [base, 4] over all {n:,} bp; received shape {np.shape(effects)}.")
    lost = -np.asarray(effects).sum(axis=1) / 3
    known = np.isfinite(lost)
    return spearman(attribution.per_base()[known], lost[known])


def deletion(
    model: Any,
    sequence: str,
    target: Target,
    attribution: Attribution,
    *,
    shares: Sequence[float] = (0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1),
    draws: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """The target as tokens are masked (one-hot bases: made N): those of the largest contributions first, beside a random order.

    Columns [share, masked, value, random, random_low, random_high]: a faithful attribution falls faster than chance. The random
    columns are the mean and the middle 95 % of `draws` orders.
    """
    import pandas as pd

    of = reader(model)
    tokens = of.tokenize(sequence)
    if attribution.tokens.sequence != sequence or len(attribution.tokens) != len(tokens):
        raise ValueError(
            "The attribution must be of this sequence and model; it is of another. Compute it again."
        )
    if not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"shares must lie in 0 to 1; received {list(shares)}.")
    if draws < 1:
        raise ValueError(f"There must be a random order to compare with; received draws={draws}. Take 20.")
    ids = of.masked_ids(tokens, target)
    free = np.flatnonzero(~tokens.is_special & (ids != of.hidden_id))
    order = free[np.argsort(-attribution.by_token()[free], kind="stable")]
    rng = np.random.default_rng(seed)
    orders = [order, *(rng.permutation(free) for _ in range(draws))]
    rows = []
    for share in shares:
        n = round(share * len(free))
        hidden = np.tile(ids, (len(orders), 1))
        for row, each in enumerate(orders):
            hidden[row, each[:n]] = of.hidden_id
        value, *chance = of.ask(hidden, target, tokens)
        rows.append((share, n, value, np.mean(chance), *middle(np.array(chance))))
    return pd.DataFrame(rows, columns=["share", "masked", "value", "random", "random_low", "random_high"])


def sanity(
    model: Any, attribution: Attribution, attribute: Callable[[Any], Attribution], *, twins: int = 3
) -> Sanity:
    """The same attribution of random twins of a model.

    Parameters
    ----------
    model
        As `integrated_gradients` takes it. A twin of a tuned model or a network is a copy whose layers draw new weights.
    attribute
        Computes the attribution of a model, such as `lambda m: integrated_gradients(m, sequence, target)`.
    """
    if twins < 1:
        raise ValueError(f"There must be a twin to compare with; received twins={twins}. Take 3.")
    correlations, sizes = [], []
    for seed in range(twins):
        other = attribute(_random_twin(model, seed))
        correlations.append(spearman(attribution.per_base(), other.per_base()))
        sizes.append(np.abs(other.by_token()).mean())
    own = np.abs(attribution.by_token()).mean()
    return Sanity(np.array(correlations), float(np.mean(sizes) / own) if own else float("nan"))


def _random_twin(model: Any, seed: int) -> Any:
    """The same architecture with fresh random weights."""
    import torch

    if hasattr(model, "random_twin"):
        return model.random_twin(seed)
    learner = getattr(model, "learner", None)
    twin = copy.deepcopy(model if learner is None else learner)
    drawn = [part for part in twin.modules() if hasattr(part, "reset_parameters")]
    if not any(True for part in drawn for _ in part.parameters()):
        raise ValueError(
            f"A twin needs layers that draw their weights; {type(model).__name__} has none. Compare with other sequences instead."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part in drawn:
            part.reset_parameters()
    return twin if learner is None else replace(model, learner=twin)
