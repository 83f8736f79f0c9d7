"""Integrated gradients, by captum, and gradient times input, over embeddings of tokens or one-hot bases.

References
----------
Sundararajan et al. (2017) ICML, integrated gradients: contributions add up to the difference between a sequence and its
baseline, but for the error of the integral, which is always told here. Gradient times input is the integral's integrand at
its end: fast, and not complete.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, NamedTuple, overload

import numpy as np
import torch

from ntviz.attribution.reader import Reader, reader, within_memory
from ntviz.attribution.result import ENOUGH, Attribution, Compared, View, averaged, by_gradient
from ntviz.attribution.target import Target
from ntviz.genome.sequence import reverse_complement, shuffle
from ntviz.tokens import Tokens

BASELINES = ("mask", "n", "shuffle", "composition")
_LEAST = 1e-4


@overload
def integrated_gradients(
    model: Any, sequences: str, target: Target, *, baseline: str | Sequence[str] | None = ..., shuffles: int = ..., steps: int = ...,
    most_steps: int = ..., both_strands: bool = ..., frames: int = ..., seed: int = ...,
) -> Attribution: ...  # fmt: skip
@overload
def integrated_gradients(
    model: Any, sequences: list[str], target: Target | Sequence[Target], *, baseline: str | Sequence[str] | None = ...,
    shuffles: int = ..., steps: int = ..., most_steps: int = ..., both_strands: bool = ..., frames: int = ..., seed: int = ...,
) -> list[Attribution]: ...  # fmt: skip
def integrated_gradients(
    model: Any,
    sequences: str | list[str],
    target: Target | Sequence[Target],
    *,
    baseline: str | Sequence[str] | None = None,
    shuffles: int = 8,
    steps: int = 32,
    most_steps: int = 512,
    both_strands: bool = False,
    frames: int = 1,
    seed: int = 0,
) -> Attribution | list[Attribution]:
    """Contributions of tokens or bases along the straight way from a baseline to a sequence.

    Parameters
    ----------
    model
        As `models.load` or `finetuning.tune` give it, or a network of one-hot bases [sequence, 4, base] and a mask.
    sequences
        Upper-case A, C, G, T, N. A list gives a list; those that are cut alike and have equal targets share passes.
    target
        Such as `BaseProbability(120, "G")`, `Direction(vector, layer=3)`, `Probe(fitted)` or `Output(1)`; one, or one each.
    baseline
        "mask": each token the mask token, as the model reads it: v1, which drops tokens out, reads zeros, and then scales
        what is left, so that its `<cls>` contributes too. "n": each token the token of N, one-hot bases zero. "shuffle": the
        mean over shuffles that keep dinucleotides; N stay in place. "composition": the mean of the sequence's own vectors.
        Several: their mean, and each by itself in `compared`. Default: "mask", and "shuffle" where bases are read.
    shuffles, seed
        How many, and with which seed.
    steps, most_steps
        Points of the integral; doubled until the error of completeness is below 1 %, or `most_steps` is reached.
    both_strands
        The mean over both strands, by base.
    frames
        The mean over so many frames of k-mers, 1 to k, by base: in frame f the first f bases stand as single letters.

    Raises
    ------
    ValueError
        An unknown baseline, a target or frame that is not there, no sequence, a model without anything to differentiate,
        or gradients that are not finite.

    Examples
    --------
    A network that counts G:

    >>> from ntviz.attribution import Output
    >>> class Count(torch.nn.Module):
    ...     def forward(self, bases, mask):
    ...         return bases[:, 2].sum(1, keepdim=True)
    >>> integrated_gradients(Count(), "AGGC", Output(0), baseline="n").per_base().round(3).tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    of = reader(model)
    named = _names(of, baseline)
    if not 1 <= steps <= most_steps:
        raise ValueError(f"steps must be 1 to most_steps ({most_steps:,}); received {steps:,}.")
    if shuffles < 1:
        raise ValueError(f"There must be at least one shuffle; received {shuffles:,}.")

    def attribute(rows: list[_Row]) -> list[Attribution]:
        ids = np.stack([of.masked_ids(row.tokens, row.target) for row in rows])
        starts = [
            [each for name in named for each in _baselines(of, row, name, shuffles, seed)] for row in rows
        ]
        target, tokens = rows[0].target, rows[0].tokens
        if tokens.vocabulary.k == 1:
            values, shares = of.ask(ids, target, tokens), [None] * len(rows)
        else:
            values, slopes = of.gradients(ids, target, tokens)
            shares = _shares(of, rows, ids, slopes)
        parts, known, used = _integrals(of, rows, ids, starts, values, steps, most_steps)
        found = []
        for index, (row, value, share) in enumerate(zip(rows, values.tolist(), shares, strict=True)):
            kinds = [each.name for each in starts[index]]
            compared = []
            for name in named:
                own = [place for place, other in enumerate(kinds) if other == name]
                part, at = parts[index][own].mean(axis=0), float(known[index][own].mean())
                compared.append(Compared(name, len(own), at, part, _error(part, value, at)))
            weights = _weights(kinds)
            part, at = weights @ parts[index], float(weights @ known[index])
            found.append(
                Attribution(
                    row.tokens, part, "integrated gradients", " + ".join(named), value, at, _error(part, value, at), used[index],
                    unit=row.target.unit(model), shares=share, compared=tuple(compared),
                )
            )  # fmt: skip
        return found

    return _over(of, sequences, target, both_strands, frames, attribute)


@overload
def gradient_times_input(
    model: Any, sequences: str, target: Target, *, both_strands: bool = ..., frames: int = ...
) -> Attribution: ...
@overload
def gradient_times_input(
    model: Any, sequences: list[str], target: Target | Sequence[Target], *, both_strands: bool = ..., frames: int = ...
) -> list[Attribution]: ...  # fmt: skip
def gradient_times_input(
    model: Any,
    sequences: str | list[str],
    target: Target | Sequence[Target],
    *,
    both_strands: bool = False,
    frames: int = 1,
) -> Attribution | list[Attribution]:
    """The gradient of the target at each vector times that vector: one pass, no baseline, not complete.

    Parameters and errors as those of `integrated_gradients`.
    """
    of = reader(model)

    def attribute(rows: list[_Row]) -> list[Attribution]:
        ids = np.stack([of.masked_ids(row.tokens, row.target) for row in rows])
        values, slopes = of.gradients(ids, rows[0].target, rows[0].tokens)
        vectors = of.vectors(torch.from_numpy(ids).to(slopes.device)).detach()
        parts = (slopes.double() * vectors).sum(-1).cpu().numpy()
        nan = float("nan")
        return [
            Attribution(row.tokens, part, "gradient times input", "", value, nan, nan, 0, row.target.unit(model), share)
            for row, part, value, share in zip(rows, parts, values.tolist(), _shares(of, rows, ids, slopes), strict=True)
        ]  # fmt: skip

    return _over(of, sequences, target, both_strands, frames, attribute)


class _Row(NamedTuple):
    """A strand and frame of a sequence, and what is asked of it."""

    tokens: Tokens
    target: Target
    phase: int


def _over(
    of: Reader,
    sequences: str | list[str],
    target: Target | Sequence[Target],
    both_strands: bool,
    frames: int,
    attribute: Callable[[list[_Row]], list[Attribution]],
) -> Any:
    """The attribution of each sequence over its strands and frames; what is cut alike and asked the same goes together."""
    texts = [sequences] if isinstance(sequences, str) else list(sequences)
    targets = list(target) if isinstance(target, Sequence) else [target] * len(texts)
    if not texts:
        raise ValueError("There must be at least one sequence; received none.")
    if len(targets) != len(texts):
        raise ValueError(
            f"There must be one target for all, or one for each of {len(texts):,} sequences; received {len(targets):,}."
        )
    rows: list[_Row] = []
    for text, asked in zip(texts, targets, strict=True):
        k = of.tokenize(text).vocabulary.k
        if not 1 <= frames <= k:
            raise ValueError(
                f"frames must be 1 to {k} for {of.name}, the bases of a token; received {frames}."
            )
        strands = [(text, asked)]
        if both_strands:
            strands.append((reverse_complement(text), asked.mirrored(len(text))))
        rows += [
            _Row(of.tokenize(strand, phase), own, phase) for strand, own in strands for phase in range(frames)
        ]
    groups: dict[Any, list[int]] = {}
    for place, row in enumerate(rows):
        same = row.target if isinstance(row.target, Hashable) else id(row.target)
        groups.setdefault((row.tokens.spans.tobytes(), same), []).append(place)
    found: dict[int, Attribution] = {}
    for places in groups.values():
        size = of.at_once(len(rows[places[0]].tokens))
        for start in range(0, len(places), size):
            some = places[start : start + size]
            found.update(zip(some, attribute([rows[place] for place in some]), strict=True))
    each = len(rows) // len(texts)
    results = [
        averaged([View(found[start + view], view >= frames) for view in range(each)])
        for start in range(0, len(rows), each)
    ]
    return results[0] if isinstance(sequences, str) else results


def _shares(of: Reader, rows: list[_Row], ids: np.ndarray, slopes: torch.Tensor) -> list[np.ndarray]:
    """Parts of the tokens of each row by gradient."""
    table = of.table.detach()
    return [
        by_gradient(row.tokens, own, slope, table) for row, own, slope in zip(rows, ids, slopes, strict=True)
    ]


def _integrals(
    of: Reader,
    rows: list[_Row],
    ids: np.ndarray,
    starts: list[list[Baseline]],
    values: np.ndarray,
    steps: int,
    most_steps: int,
) -> tuple[list[np.ndarray], list[np.ndarray], list[int]]:
    """Of each row: contributions [baseline, token], targets of the baselines [baseline], and points.

    Integrals that are not complete are done again with twice the points.
    """
    from captum.attr import IntegratedGradients

    target, tokens = rows[0].target, rows[0].tokens
    device = of.table.device
    owner = np.repeat(np.arange(len(rows)), [len(of_row) for of_row in starts])
    begins = torch.stack([each.vectors(of) for of_row in starts for each in of_row])
    at_baselines = of.ask(ids[owner], target, tokens, begins)
    known = [at_baselines[owner == row] for row in range(len(rows))]
    weights = [_weights([each.name for each in of_row]) for of_row in starts]
    size = of.at_once(ids.shape[1])
    method = IntegratedGradients(lambda vectors, own: of.answer(vectors, own, tokens, target))

    def integrated(some: np.ndarray, steps: int, size: int) -> torch.Tensor:
        own = torch.from_numpy(ids[owner[some[:size]]]).to(device)
        return method.attribute(
            of.vectors(own).detach(),
            baselines=begins[torch.from_numpy(some[:size]).to(device)],
            additional_forward_args=(own,),
            n_steps=steps,
            internal_batch_size=size,
            method="gausslegendre",
        )

    found, used = {}, [0] * len(rows)
    with of.steady():
        while unfinished := [row for row in range(len(rows)) if not used[row]]:
            places = np.flatnonzero(np.isin(owner, unfinished))
            parts: list[np.ndarray] = []
            while len(parts) < len(places):
                # Captum cannot split a point: no more integrals at once than sequences fit in a pass.
                made, size = within_memory(partial(integrated, places[len(parts) :], steps), size)
                parts += list(of.finite(made).double().sum(-1).detach().cpu().numpy())
            for row in unfinished:
                found[row] = np.stack(parts)[owner[places] == row]
                error = _error(
                    weights[row] @ found[row], float(values[row]), float(weights[row] @ known[row])
                )
                if error <= ENOUGH or steps * 2 > most_steps:
                    used[row] = steps
            steps *= 2
    return [found[row] for row in range(len(rows))], known, used


def _weights(names: list[str]) -> np.ndarray:
    """What each baseline counts: names alike, and the draws of a name alike among them."""
    return np.array([1 / len(set(names)) / names.count(name) for name in names])


def _error(contributions: np.ndarray, value: float, known: float) -> float:
    """Of completeness, relative to the change.

    A change below a ten-thousandth of the value counts as that: single precision cannot tell one per cent of less.
    """
    change = value - known
    least = max(_LEAST * max(abs(value), abs(known)), 1e-12)
    return float(abs(contributions.sum() - change) / max(abs(change), least))


class Baseline(NamedTuple):
    """One beginning of an integral: ids int64 [piece], of which some are the mean of all vectors instead, bool [piece]."""

    name: str
    ids: np.ndarray
    average: np.ndarray

    def vectors(self, of: Reader) -> torch.Tensor:
        """Vectors [piece, channel]."""
        found = of.vectors(torch.from_numpy(self.ids).to(of.table.device)).detach()
        places = torch.from_numpy(self.average).to(found.device)
        if bool(places.any()):
            found[places] = found[places].mean(0)
        return found


def _names(of: Reader, baseline: str | Sequence[str] | None) -> tuple[str, ...]:
    """The baselines that were asked for; of None "mask", and "shuffle" where bases are read."""
    known = BASELINES[1:] if of.pieces_are_bases else BASELINES
    if baseline is None:
        return ("shuffle",) if of.pieces_are_bases else ("mask",)
    asked = (baseline,) if isinstance(baseline, str) else tuple(baseline)
    wrong = [name for name in asked if name not in known]
    if wrong or not asked or len(set(asked)) < len(asked):
        raise ValueError(
            f"Baselines must be one or several of {', '.join(known)} for {of.name}, each once; received "
            f"{wrong[0] if wrong else list(asked)!r}. Name those."
        )
    return asked


def _baselines(of: Reader, row: _Row, name: str, shuffles: int, seed: int) -> list[Baseline]:
    """The baselines of a name; special tokens stay, and what the target masks is masked."""
    tokens, ids = row.tokens, of.masked_ids(row.tokens, row.target)
    nowhere = np.zeros(len(ids), dtype=bool)
    if name == "shuffle":
        found = []
        for draw in range(shuffles):
            other = of.tokenize(shuffle(tokens.sequence, k=2, seed=seed + draw), row.phase)
            if not np.array_equal(other.spans, tokens.spans):
                raise ValueError(
                    f"A shuffle must be cut where the sequence is; {of.name} cuts by what stands there. "
                    "Take baseline='mask', 'n' or 'composition'."
                )
            found.append(Baseline(name, of.masked_ids(other, row.target), nowhere))
        return found
    free = ~tokens.is_special & (ids == tokens.ids)
    if name == "composition":
        # N stay, as in shuffles: they are no base to be mixed.
        return [Baseline(name, ids, free & ~tokens.is_n)]
    filled = of.hidden_id if name == "mask" else of.n_id(tokens)
    return [Baseline(name, np.where(free, filled, ids), nowhere)]
