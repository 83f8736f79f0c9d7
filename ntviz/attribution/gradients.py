"""Integrated gradients, by captum, and gradient times input, over embeddings of tokens or one-hot bases.

References
----------
Sundararajan et al. (2017) ICML, integrated gradients: contributions add up to the difference between a sequence and its baseline, but
for the error of the integral, which is always told here. Gradient times input is the integral's integrand at its end: fast, and not
complete.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, overload

import numpy as np
import torch

from ntviz.attribution import asking, baselines, sharing
from ntviz.attribution.baselines import Baseline
from ntviz.attribution.reading import Reader, reader
from ntviz.attribution.result import ENOUGH, Attribution, Compared, View, averaged
from ntviz.attribution.targets import Target
from ntviz.sequence import reverse_complement
from ntviz.tokens import Tokens

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
        As `models.load` or `finetuning.tune` give it, or a network called with one-hot bases [sequence, 4, base] and a mask [sequence,
        base].
    sequences
        Upper-case A, C, G, T, N. A list gives a list; those that are cut alike and have equal targets share passes.
    target
        Such as `BaseProbability(120, "G")`, `Direction(vector, layer=3)`, `Probe(fitted)` or, of trained outputs, `Output(1)`; one for
        all sequences, or one each.
    baseline
        "mask": each token the mask token, as the model reads it: v1, which drops tokens out, reads zeros, and then
        scales what is left, so that its `<cls>` contributes too. "n": each token the token of N, one-hot bases zero. "shuffle": the mean over shuffles that keep
        dinucleotides, which a model has seen the like of; sequences with N are cut into tokens alike, as N stay in place. "composition":
        the mean of the sequence's own vectors, of one-hot bases the shares of A, C, G, T. Several: their mean, each weighing the same, and
        each by itself in `compared`. Default: "mask", and "shuffle" where there is no mask because bases are read.
    shuffles
        How many.
    steps, most_steps
        Points of the integral; doubled until the error of completeness is below 1 %, or `most_steps` is reached, which the result says.
    both_strands
        The mean over both strands, by base.
    frames
        The mean over so many frames of k-mers, 1 to k: in frame f the first f bases stand as single letters, so that tokens begin
        elsewhere and nothing need be cut off. By base.
    seed
        Of the shuffles.

    Raises
    ------
    ValueError
        An unknown baseline, a target or frame that is not there, no sequence, a model without anything to differentiate, or gradients that
        are not finite.

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
    named = baselines.names(of, baseline)
    if not 1 <= steps <= most_steps:
        raise ValueError(f"steps must be 1 to most_steps ({most_steps:,}); received {steps:,}.")
    if shuffles < 1:
        raise ValueError(f"There must be at least one shuffle; received {shuffles:,}.")

    def attribute(rows: list[_Row]) -> list[Attribution]:
        ids = np.stack([asking.masked_ids(of, row.tokens, row.target) for row in rows])
        starts = [
            [
                each
                for name in named
                for each in baselines.made(of, row.tokens, row.target, name, shuffles, seed, row.phase)
            ]
            for row in rows
        ]
        told, shares = _ends(of, rows, ids)
        integrals = _integrals(of, rows, ids, starts, told, steps=steps, most_steps=most_steps)
        return [
            _attribution(of, row, starts[index], integrals[index], told[index], shares[index])
            for index, row in enumerate(rows)
        ]

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

    Raises
    ------
    ValueError
        As `integrated_gradients`.
    """
    of = reader(model)

    def attribute(rows: list[_Row]) -> list[Attribution]:
        ids = np.stack([asking.masked_ids(of, row.tokens, row.target) for row in rows])
        told, slopes = asking.gradients(of, ids, rows[0].target, rows[0].tokens)
        found = []
        for row, own, value, slope in zip(rows, ids, told, slopes, strict=True):
            vectors = of.vectors(torch.from_numpy(own).to(slope.device)).detach()
            per_token = (slope.double() * vectors).sum(-1).cpu().numpy()
            shares = sharing.by_gradient(row.tokens, own, slope, of.table.detach())
            found.append(
                Attribution(
                    row.tokens,
                    per_token,
                    "gradient times input",
                    "",
                    float(value),
                    float("nan"),
                    float("nan"),
                    0,
                    unit=row.target.unit(model),
                    shares=shares,
                )
            )
        return found

    return _over(of, sequences, target, both_strands, frames, attribute)


@dataclass(frozen=True, eq=False)
class _Row:
    """One reading of a sequence: a strand, a frame, and what is asked of it."""

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
        first = of.tokenize(text)
        if not 1 <= frames <= first.vocabulary.k:
            raise ValueError(
                f"frames must be 1 to {first.vocabulary.k} for {of.name}, the bases of a token; received {frames}."
            )
        for flipped in (False, True)[: 2 if both_strands else 1]:
            strand = reverse_complement(text) if flipped else text
            own = asked.mirrored(len(text)) if flipped else asked
            rows += [_Row(of.tokenize(strand, phase), own, phase) for phase in range(frames)]
    groups: dict[Any, list[int]] = {}
    for place, row in enumerate(rows):
        same = row.target if isinstance(row.target, Hashable) else id(row.target)
        groups.setdefault((row.tokens.spans.tobytes(), same), []).append(place)
    found: dict[int, Attribution] = {}
    for places in groups.values():
        size = asking.at_once(of, len(rows[places[0]].tokens))
        for start in range(0, len(places), size):
            some = places[start : start + size]
            found.update(zip(some, attribute([rows[place] for place in some]), strict=True))
    each = len(rows) // len(texts)
    results = [
        averaged([View(found[start + view], view >= frames) for view in range(each)])
        for start in range(0, len(rows), each)
    ]
    return results[0] if isinstance(sequences, str) else results


def _ends(of: Reader, rows: list[_Row], ids: np.ndarray) -> tuple[np.ndarray, list[np.ndarray | None]]:
    """The target of each row, and the parts of its tokens by base where a token has several."""
    target, tokens = rows[0].target, rows[0].tokens
    if tokens.vocabulary.k == 1:
        return asking.ask(of, ids, target, tokens), [None] * len(rows)
    told, slopes = asking.gradients(of, ids, target, tokens)
    table = of.table.detach()
    return told, [
        sharing.by_gradient(row.tokens, own, slope, table)
        for row, own, slope in zip(rows, ids, slopes, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class _Integral:
    """Of a row: contributions [baseline, token], targets of the baselines [baseline], points, and the error."""

    parts: np.ndarray
    known: np.ndarray
    steps: int
    error: float


def _integrals(
    of: Reader,
    rows: list[_Row],
    ids: np.ndarray,
    starts: list[list[Baseline]],
    told: np.ndarray,
    *,
    steps: int,
    most_steps: int,
) -> list[_Integral]:
    """The integral of each row; those that are not complete are done again with twice the points."""
    from captum.attr import IntegratedGradients

    target, tokens = rows[0].target, rows[0].tokens
    device = of.table.device
    pairs = [(row, each) for row, of_row in enumerate(starts) for each in of_row]
    owner = np.array([row for row, _ in pairs])
    begins = torch.stack([each.vectors(of) for _, each in pairs])
    known = asking.ask(of, ids[owner], target, tokens, begins)
    weights = [_weights([each.name for each in of_row]) for of_row in starts]
    size = asking.at_once(of, ids.shape[1])
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

    found: dict[int, _Integral] = {}
    with asking.steady(of):
        while open_rows := [row for row in range(len(rows)) if row not in found]:
            places = np.flatnonzero(np.isin(owner, open_rows))
            parts: list[np.ndarray] = []
            while len(parts) < len(places):
                # Captum cannot split a point: no more integrals at once than sequences fit in a pass.
                made, size = asking.within_memory(partial(integrated, places[len(parts) :], steps), size)
                parts += list(asking.finite(made, of).double().sum(-1).detach().cpu().numpy())
            enough = steps * 2 > most_steps
            for row in open_rows:
                own = np.stack(
                    [part for part, place in zip(parts, places, strict=True) if owner[place] == row]
                )
                error = _error(
                    weights[row] @ own, float(told[row]), float(weights[row] @ known[owner == row])
                )
                if error <= ENOUGH or enough:
                    found[row] = _Integral(own, known[owner == row], steps, error)
            steps *= 2
    return [found[row] for row in range(len(rows))]


def _weights(names: list[str]) -> np.ndarray:
    """What each baseline counts: names alike, and the draws of a name alike among them."""
    kinds = list(dict.fromkeys(names))
    return np.array([1 / len(kinds) / names.count(name) for name in names])


def _error(contributions: np.ndarray, value: float, known: float) -> float:
    """Of completeness, relative to the change.

    A change below a ten-thousandth of the value counts as that: single precision cannot tell one per cent of less.
    """
    change = value - known
    least = max(_LEAST * max(abs(value), abs(known)), 1e-12)
    return float(abs(contributions.sum() - change) / max(abs(change), least))


def _attribution(
    of: Reader,
    row: _Row,
    starts: list[Baseline],
    integral: _Integral,
    value: float,
    shares: np.ndarray | None,
) -> Attribution:
    names = [each.name for each in starts]
    weights = _weights(names)
    compared = []
    for name in dict.fromkeys(names):
        own = [place for place, other in enumerate(names) if other == name]
        part, known = integral.parts[own].mean(axis=0), float(integral.known[own].mean())
        compared.append(Compared(name, len(own), known, part, _error(part, float(value), known)))
    return Attribution(
        row.tokens,
        weights @ integral.parts,
        "integrated gradients",
        " + ".join(dict.fromkeys(names)),
        float(value),
        float(weights @ integral.known),
        integral.error,
        integral.steps,
        unit=row.target.unit(of.model),
        shares=shares,
        compared=tuple(compared),
    )
