"""Mutagenesis, and whether an attribution says what a model does: against it, by deletion, and against random weights.

References
----------
Zhou & Troyanskaya (2015) Nature Methods 12:931, in-silico mutagenesis. Zeiler & Fergus (2014) ECCV, occlusion.
Adebayo et al. (2018) NeurIPS, the check against random weights: what does not change with the weights explains the
sequence, not the model. Samek et al. (2017) IEEE TNNLS, deletion curves.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntviz.attribution.reader import reader
from ntviz.attribution.result import Attribution
from ntviz.attribution.target import Target
from ntviz.genome.sequence import BASES, codes
from ntviz.statistics import middle, spearman

if TYPE_CHECKING:
    import pandas as pd


def ask(model: Any, sequences: Sequence[str], target: Target) -> np.ndarray:
    """The target of each sequence, float64 [sequence], in its unit; a ValueError of no sequence.

    It is what `motifs.insertion` asks: `insertion(lambda texts: ask(model, texts, target), motif, backgrounds)`.
    """
    if isinstance(sequences, str) or not len(sequences):
        received = "one text" if isinstance(sequences, str) else "none"
        raise ValueError(f"There must be a list with at least one sequence; received {received}.")
    return reader(model).values(list(sequences), target)


def mutagenesis(model: Any, sequence: str, target: Target, *, region: tuple[int, int] | None = None) -> np.ndarray:
    """The target with each base in place of another less the target as it is, float64 [base, 4] in order ACGT.

    0 at the base that stands there, and within what the target masks; nan at N. `region` holds the positions to change,
    0-based half-open within the sequence; default: all, three passes a base.
    """
    of = reader(model)
    start, end = _region(sequence, region)
    own = codes(sequence[start:end])
    effects = np.where((own == 4)[:, None], np.nan, np.zeros((end - start, 4)))
    rows, bases = np.nonzero((own[:, None] != np.arange(4)) & (own < 4)[:, None])
    at = [start + int(row) for row in rows]
    changed = [sequence[:i] + BASES[base] + sequence[i + 1 :] for i, base in zip(at, bases, strict=True)]
    values = of.values([sequence, *changed], target)
    effects[rows, bases] = values[1:] - values[0]
    return effects


def occlusion(
    model: Any, sequence: str, target: Target, *, width: int = 6, region: tuple[int, int] | None = None
) -> np.ndarray:
    """The target less the target with a window of N around each base, float64 [base]: what hiding it takes away.

    A base gets the mean of the windows of `width` bp that cover it. N of a 6-mer model are tokens of their own and shift
    the frame of what follows, which is part of what is measured. Windows that hide the target's own base are left out; a
    base that only such windows cover is nan. `region` as of `mutagenesis`.
    """
    of = reader(model)
    start, end = _region(sequence, region)
    if not 1 <= width <= end - start:
        raise ValueError(f"width must be 1 to {end - start:,} bp, the length of the region; received {width:,}.")
    hidden, lefts = [sequence], []
    for left in range(start, end - width + 1):
        text = sequence[:left] + "N" * width + sequence[left + width :]
        with suppress(ValueError):  # a base that is hidden cannot be expected
            of.masked_ids(of.tokenize(text), target)
            hidden.append(text)
            lefts.append(left - start)
    values = of.values(hidden, target)
    covered = np.zeros((len(lefts), end - start))
    for row, left in enumerate(lefts):
        covered[row, left : left + width] = 1
    total, count = (values[0] - values[1:]) @ covered, covered.sum(axis=0)
    return np.divide(total, count, out=np.full(end - start, np.nan), where=count > 0)


def _region(sequence: str, region: tuple[int, int] | None) -> tuple[int, int]:
    start, end = region if region is not None else (0, len(sequence))
    if not 0 <= start < end <= len(sequence):
        raise ValueError(
            f"The region must lie in the sequence, 0 to {len(sequence):,}, 0-based half-open; received {start:,} to {end:,}."
        )
    return start, end


class Sanity(NamedTuple):
    """Rank `correlations` of an attribution with those of randomly initialised models, near 0 where it is faithful.

    `ratio` is the mean absolute contribution in these models over that in the model.
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
    model: Any, sequence: str, target: Target, attribution: Attribution, *,
    shares: Sequence[float] = (0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1), draws: int = 20, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """The target as tokens are masked (one-hot bases: made N), those of the largest contributions first.

    Columns [share, masked, value, random, random_low, random_high], the last three the mean and the middle 95 % of `draws`
    random orders: a faithful attribution falls faster than chance.
    """
    import pandas as pd

    of = reader(model)
    tokens = of.tokenize(sequence)
    if attribution.tokens.sequence != sequence or len(attribution.tokens) != len(tokens):
        raise ValueError("The attribution must be of this sequence and model; it is of another.")
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


def sanity(model: Any, attribution: Attribution, attribute: Callable[[Any], Attribution], *, twins: int = 3) -> Sanity:
    """The same attribution of randomly initialised models; of a tuned model or a network, copies whose layers draw new weights.

    `attribute` is such as `lambda m: integrated_gradients(m, sequence, target)`.
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
    if hasattr(model, "random_twin"):
        return model.random_twin(seed)
    import torch

    learner = getattr(model, "learner", None)
    twin = copy.deepcopy(model if learner is None else learner)
    drawn = [part for part in twin.modules() if hasattr(part, "reset_parameters")]
    if not any(list(part.parameters()) for part in drawn):
        raise ValueError(
            f"A twin needs layers that draw their weights; {type(model).__name__} has none. Compare with other sequences instead."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part in drawn:
            part.reset_parameters()
    return twin if learner is None else replace(model, learner=twin)
