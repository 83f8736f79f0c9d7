"""Integrated gradients, by captum, and gradient times input, over embeddings of tokens or one-hot bases.

References
----------
Sundararajan et al. (2017) ICML, integrated gradients: contributions add up to the difference between a sequence and its
baseline, but for the error of the integral. Gradient times input is the integrand at its end: fast, and not complete.
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
    model: Any, sequences: str | list[str], target: Target | Sequence[Target], *, baseline: str | Sequence[str] | None = None,
    shuffles: int = 8, steps: int = 32, most_steps: int = 512, both_strands: bool = False, frames: int = 1, seed: int = 0,
) -> Attribution | list[Attribution]:  # fmt: skip
    """Contributions of tokens or bases along the straight line from a baseline to a sequence.

    Parameters
    ----------
    model
        As `models.load` or `finetuning.tune` give it, or a network of one-hot bases [sequence, 4, base] and a mask.
    sequences
        Upper-case A, C, G, T, N. A list gives a list; those that are cut alike and have equal targets share passes.
    target
        Such as `BaseProbability(120, "G")`, `Direction(vector, layer=3)`, `Probe(fitted)` or `Output(1)`; one, or one each.
    baseline
        "mask": each token the mask token as the model reads it; v1 scales what is left, so that its `<cls>` contributes too.
        "n": each token that of N, one-hot bases zero. "shuffle": the mean over `shuffles` that keep dinucleotides and N in
        place. "composition": the mean of the sequence's own vectors. Several: their mean, and each in `compared`.
        Default: "mask", and "shuffle" where bases are read.
    steps, most_steps
        Points of the integral; doubled until the error of completeness is below 1 %, or `most_steps` is reached.
    both_strands
        The mean over both strands, by base.
    frames
        The mean over so many frames of k-mers, 1 to k, by base: in frame f the first f bases stand as single letters.

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
    names = _names(of, baseline)
    if not 1 <= steps <= most_steps:
        raise ValueError(f"steps must be 1 to most_steps ({most_steps:,}); received {steps:,}.")
    if shuffles < 1:
        raise ValueError(f"There must be at least one shuffle; received {shuffles:,}.")

    def attribute(rows: list[_Row]) -> list[Attribution]:
        target, tokens = rows[0].target, rows[0].tokens
        ids = np.stack([of.masked_ids(row.tokens, row.target) for row in rows])
        if tokens.vocabulary.k == 1:
            values, shares = of.ask(ids, target, tokens), [None] * len(rows)
        else:
            values, slopes = of.gradients(ids, target, tokens)
            shares = _shares(of, rows, ids, slopes)
        # All integrals, of each row those of each name, and of a name each draw.
        starts = [[_baselines(of, row, name, shuffles, seed) for name in names] for row in rows]
        owner = np.repeat(np.arange(len(rows)), [sum(map(len, draws)) for draws in starts])
        begins = torch.stack([vectors for draws in starts for some in draws for vectors in some])
        known = of.ask(ids[owner], target, tokens, begins)
        results: dict[int, Attribution] = {}
        points = steps
        while unfinished := [row for row in range(len(rows)) if row not in results]:
            places = np.flatnonzero(np.isin(owner, unfinished))
            parts = _integrals(of, ids[owner[places]], begins[places], target, tokens, points)
            for row in unfinished:
                value, compared = float(values[row]), []
                ends = np.cumsum([len(draws) for draws in starts[row]])[:-1]
                own = np.split(parts[owner[places] == row], ends), np.split(known[owner == row], ends)
                for name, some, at in zip(names, *own, strict=True):
                    part, there = some.mean(axis=0), float(at.mean())
                    compared.append(Compared(name, len(at), there, part, _error(part, value, there)))
                part = np.mean([each.per_token for each in compared], axis=0)
                there = float(np.mean([each.value for each in compared]))
                error = _error(part, value, there)
                if error <= ENOUGH or points * 2 > most_steps:
                    results[row] = Attribution(
                        rows[row].tokens, part, "integrated gradients", " + ".join(names), value, there, error, points,
                        rows[row].target.unit(model), shares[row], tuple(compared),
                    )  # fmt: skip
            points *= 2
        return [results[row] for row in range(len(rows))]

    return _over(of, sequences, target, both_strands, frames, attribute)


@overload
def gradient_times_input(
    model: Any, sequences: str, target: Target, *, both_strands: bool = ..., frames: int = ...
) -> Attribution: ...
@overload
def gradient_times_input(
    model: Any, sequences: list[str], target: Target | Sequence[Target], *, both_strands: bool = ..., frames: int = ...
) -> list[Attribution]: ...
def gradient_times_input(
    model: Any, sequences: str | list[str], target: Target | Sequence[Target], *, both_strands: bool = False, frames: int = 1
) -> Attribution | list[Attribution]:  # fmt: skip
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
    """A strand and frame of a sequence, and its target."""

    tokens: Tokens
    target: Target
    phase: int


def _over(
    of: Reader, sequences: str | list[str], target: Target | Sequence[Target], both_strands: bool, frames: int,
    attribute: Callable[[list[_Row]], list[Attribution]],
) -> Any:  # fmt: skip
    """The attribution of each sequence over its strands and frames; rows that are cut alike with one target go together."""
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
            raise ValueError(f"frames must be 1 to {k} for {of.name}; received {frames}.")
        strands = [(text, asked)]
        if both_strands:
            strands.append((reverse_complement(text), asked.mirrored(len(text))))
        rows += [_Row(of.tokenize(strand, phase), own, phase) for strand, own in strands for phase in range(frames)]
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
    return [by_gradient(row.tokens, own, slope, table) for row, own, slope in zip(rows, ids, slopes, strict=True)]


def _integrals(of: Reader, ids: np.ndarray, begins: torch.Tensor, target: Target, tokens: Tokens, steps: int) -> np.ndarray:  # fmt: skip
    """Contributions [row, token] of ids [row, token] against vectors [row, token, channel], by captum."""
    from captum.attr import IntegratedGradients  # it loads matplotlib

    method = IntegratedGradients(lambda vectors, own: of.answer(vectors, own, tokens, target))

    def integrated(done: int, size: int) -> torch.Tensor:
        own = torch.from_numpy(ids[done : done + size]).to(of.table.device)
        return method.attribute(
            of.vectors(own).detach(), baselines=begins[done : done + size], additional_forward_args=(own,),
            n_steps=steps, internal_batch_size=size, method="gausslegendre",
        )  # fmt: skip

    parts, size = [], of.at_once(ids.shape[1])
    with of.steady():
        while len(parts) < len(ids):
            # Captum cannot split a point: no more integrals at once than sequences fit in a pass.
            made, size = within_memory(partial(integrated, len(parts)), size)
            parts += list(of.finite(made).double().sum(-1).detach().cpu().numpy())
    return np.stack(parts)


def _error(contributions: np.ndarray, value: float, known: float) -> float:
    """Of completeness, relative to the change, at least a ten-thousandth of the value: single precision has no less."""
    change = value - known
    least = max(_LEAST * max(abs(value), abs(known)), 1e-12)
    return float(abs(contributions.sum() - change) / max(abs(change), least))


def _names(of: Reader, baseline: str | Sequence[str] | None) -> tuple[str, ...]:
    """The baselines that were asked for, or the default."""
    known = BASELINES[1:] if of.pieces_are_bases else BASELINES
    if baseline is None:
        return ("shuffle",) if of.pieces_are_bases else ("mask",)
    asked = (baseline,) if isinstance(baseline, str) else tuple(baseline)
    wrong = [name for name in asked if name not in known]
    if wrong or not asked or len(set(asked)) < len(asked):
        raise ValueError(
            f"Baselines must be of {', '.join(known)} for {of.name}, each once; received {wrong[0] if wrong else list(asked)!r}."
        )
    return asked


def _baselines(of: Reader, row: _Row, name: str, shuffles: int, seed: int) -> list[torch.Tensor]:
    """Vectors [piece, channel] of each draw; special tokens stay, and what the target masks is masked."""
    tokens, ids = row.tokens, of.masked_ids(row.tokens, row.target)

    def vectors(ids: np.ndarray) -> torch.Tensor:
        return of.vectors(torch.from_numpy(ids).to(of.table.device)).detach()

    if name == "shuffle":
        drawn = []
        for draw in range(shuffles):
            other = of.tokenize(shuffle(tokens.sequence, k=2, seed=seed + draw), row.phase)
            if not np.array_equal(other.spans, tokens.spans):
                raise ValueError(
                    f"A shuffle must be cut where the sequence is; {of.name} cuts by what stands there. "
                    "Take baseline='mask', 'n' or 'composition'."
                )
            drawn.append(vectors(of.masked_ids(other, row.target)))
        return drawn
    free = ~tokens.is_special & (ids == tokens.ids)
    if name == "composition":
        start, mixed = vectors(ids), torch.from_numpy(free & ~tokens.is_n).to(of.table.device)  # N stay
        if bool(mixed.any()):
            start[mixed] = start[mixed].mean(0)
        return [start]
    return [vectors(np.where(free, of.hidden_id if name == "mask" else of.n_id(tokens), ids))]
