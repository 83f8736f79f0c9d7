"""Does a head matter: what a model loses without it, and which heads carry an allele's effect; beside random heads and models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import comb, prod
from typing import Any

import numpy as np
import pandas as pd
import torch

from ntviz.annotation import Annotation
from ntviz.attention.editing import SHARE, Edit, Heads, Measure, head_sets, module_of, shape_of
from ntviz.masking import BATCH_TOKENS
from ntviz.reference import Reference
from ntviz.statistics import FEWEST, draw_weights, joint, middles

ALL = "all"
"""The row of all hidden bases."""
_KEYS = ["heads", "layer", "head", "element"]
_NUMBERS = ["effect", "low", "high", "random", "random_p", "control", "control_low", "control_high", "p", "q"]


@dataclass(frozen=True)
class Ablation:
    """What changes without heads; made by `ablate`.

    Attributes
    ----------
    table
        One row a head, or set of heads, and element: [heads, layer, head, element, n, effect, low, high, random, random_p, control,
        control_low, control_high, p, q]. `heads` is "layer.head", those of a set joined by " + ", which has no layer and head.
        `effect` is ablated minus intact, the mean over the `n` sequences that say something, in `unit`; `low` and `high` hold 95 % of
        it when sequences are drawn anew (NaN with fewer than 5). `random` is the mean effect of random heads of the same layer
        (of a set: of sets with as many heads in each layer), `control` the effect of the same heads in the control model.
    sequences
        One row a sequence: [sequence, status, bases, intact]. `status` is "ok", or why it was left out; `bases` were hidden in it;
        `intact` is what the whole model gives.
    effects
        [heads, sequence that is ok, element], float64: what `table` has the means of; NaN without a base of the element.
    shape
        Layers and heads of the model.
    passes, rows
        Forward passes, and sequences in them: one for each sequence and set of heads, random ones and no heads among them.
    """

    table: pd.DataFrame
    sequences: pd.DataFrame
    effects: np.ndarray
    shape: tuple[int, int]
    model: str
    how: str
    unit: str
    passes: int
    rows: int

    def grid(self, column: str = "effect", element: str = ALL) -> np.ndarray:
        """[layer, head] values of a column of numbers; NaN for heads that were not ablated alone."""
        alone = self.table[self.table["head"].notna() & (self.table["element"] == element)]
        if column not in _NUMBERS or alone.empty:
            raise ValueError(
                f"A grid must be of one of {', '.join(_NUMBERS)}, of an element among {', '.join(self.table['element'].unique())}, of "
                f"heads that were ablated alone; received {column!r} and {element!r}."
            )
        values = np.full(self.shape, np.nan)
        values[alone["layer"].astype(int), alone["head"].astype(int)] = alone[column]
        return values

    def __repr__(self) -> str:
        rows, ok = self.table[self.table["element"] == ALL], int((self.sequences["status"] == "ok").sum())
        top = rows.loc[rows["effect"].abs().idxmax()]
        beside = [f"95 % {top['low']:.2g} to {top['high']:.2g}"] * bool(np.isfinite(top["low"]))
        beside += [f"{name} {top[name]:.2g}" for name in ("random", "control") if np.isfinite(top[name])]
        left = f", {len(self.sequences) - ok:,} left out" * (ok < len(self.sequences))
        return (
            f"{len(rows):,} heads or sets of {self.model} ablated ({self.how}) over {ok:,} sequences{left}: most without {top['heads']}, "
            f"{top['effect']:.2g} {self.unit} ({', '.join(beside) or 'no interval'}); {int((rows['q'] <= 0.05).sum()):,} with an effect "
            f"at a false discovery rate of 5 %; {self.passes:,} forward passes of {self.rows:,} sequences"
        )


def ablate(
    model: Any, sequences: Any, heads: Any = None, *, how: str = "mean", of: Callable[[Any, Any], float] | None = None,
    reference: Reference | None = None, elements: Annotation | None = None, kinds: Sequence[str] | None = None, control: Any = "twin",
    random: int = 20, draws: int = 1000, share: float = SHARE, batch_tokens: int = BATCH_TOKENS, unit: str = "", seed: int = 0,
) -> Ablation:  # fmt: skip
    """What a model loses without a head, for each head or set of heads, beside random heads and the randomly initialised model.

    Parameters
    ----------
    model
        A `models.DNAModel`; with `of` also an encoder of transformers, or what `finetuning.tune` gave. Its attention must run through
        transformers' attention interface.
    sequences
        Sequences; with a `reference` intervals, or texts such as "chr20:1,001-2,500" (1-based, both ends included); or tuples
        (reference, alternative) of sequences, whose score is then looked at. One that can't be used gets a status.
    heads
        (layer, head), both from 0, or several; a set or list of pairs among them is ablated together. None: each head by itself. All
        heads of a layer may be in one set, which has no random one beside it: a token then hears nothing of the others in that layer.
    how
        What takes the place of a head's output, at every token. "mean": its mean over the real tokens (special ones too, no padding)
        of that sequence in that pass. "uniform": the mean of its values over all real keys (in a layer of local attention, those of
        its window), attention without a choice. "zero": nothing, which the rest of the model may never have met.
    of
        What the effect is on. None: the log-probability of reference bases that are hidden with their tokens, in nats per base;
        of a pair, the log-likelihood ratio of the alternative against the reference, their tokens hidden. Or a function of the
        model and a sequence (a pair, what is given) that returns a number. A target of `attribution`, such as `Probe` or `Output`,
        is one.
    elements, kinds
        More rows, for the hidden bases in each of these elements; for intervals and without `of`.
    control
        Model whose same heads stand beside; "twin": the randomly initialised one, `model.random_twin(seed)`, but none with `of`, as
        what reads one model need not read another; None for none.
    random
        Random heads, or sets, beside each, at most. Those that are asked for anyhow cost nothing.
    draws
        Resamples behind the intervals, and of signs behind p.
    share, seed
        Share of the tokens that is hidden, chosen by the seed and the bases: the same in each run. The seed is that of draws, too.
    batch_tokens
        Tokens of a forward pass at most. Several heads share a pass, each with a copy of the sequence, where it has room; this
        changes time and memory only.
    unit
        Of what `of` gives.

    Notes
    -----
    `p` (two-sided) draws the signs of the sequences' effects anew, the same for all heads: where a head does nothing but noise, more and
    less are as likely, so p is at most 0.05 in at most 5 % of cases, however few the sequences (with n of them it is at least 2^(1 -
    n)). It takes sequences for independent draws: give none that overlap. `q` is the false discovery rate over all rows, of the
    same draws; see `statistics.joint`. A small effect may be sure. `random_p` asks for more: the share of random heads, the head itself
    among them, whose effect is as far from 0.

    Raises
    ------
    ValueError, TypeError
        Heads that do not exist, no sequence that can be used, elements without intervals; a model without the attention interface.

    Examples
    --------
    >>> from ntviz import models
    >>> model = models.load("ntviz-mini")
    >>> found = ablate(model, ["GATTACAT" * 30], [(3, 2), {(3, 0), (3, 1)}], control=None, random=2)
    >>> found.table["heads"].tolist(), found.rows
    (['3.2', '3.0 + 3.1'], 7)
    """
    shape = shape_of(module_of(model))
    asked, edit = head_sets(heads, shape), partial(Edit, how=how)
    if min(draws, batch_tokens, random + 1) < 1 or not 0 < share <= 1:
        raise ValueError(
            f"draws and batch_tokens must be at least 1, random at least 0, share above 0 and up to 1; received {draws}, "
            f"{batch_tokens}, {random} and {share}. Leave them out."
        )
    if elements is not None and (of is not None or reference is None):
        raise ValueError("elements must come with reference= and intervals, and without of=: hidden bases lie in them.")
    names = () if elements is None else tuple(elements.kinds if kinds is None else kinds)
    asking = partial(Measure, sequences=sequences, batch_tokens=batch_tokens, of=of, reference=reference, elements=elements,
                     kinds=names, share=share, seed=seed)  # fmt: skip
    rng, control = np.random.default_rng(seed), _control_of(control, model, of, seed)
    nulls = [_random_sets(one, shape, random, rng) for one in asked]
    sets = list(dict.fromkeys([*asked, *(other for several in nulls for other in several)]))
    measure, beside = asking(model), np.full((3, len(asked), 1 + len(names)), np.nan)
    values, passes, rows = measure.values([frozenset(), *sets], edit), measure.passes, measure.rows
    effects = values[1 : 1 + len(asked)] - values[0]
    if control is not None:
        other = asking(control)
        there = other.values([frozenset(), *asked], edit, "ablating heads of the control")
        beside, passes, rows = _summed(there[1:] - there[0], draws, rng), passes + other.passes, rows + other.rows
    means = dict(zip(sets, _weighted(values[1:] - values[0], np.ones((1, values.shape[1])))[0], strict=True))
    placed = {one: next(iter(one)) if len(one) == 1 else (pd.NA, pd.NA) for one in asked}
    labels = {one: " + ".join(f"{layer}.{head}" for layer, head in sorted(one)) for one in asked}
    table = pd.DataFrame([(labels[one], *placed[one], name) for one in asked for name in (ALL, *names)], columns=_KEYS)
    chance = np.stack([_beside(means, one, null) for one, null in zip(asked, nulls, strict=True)], 1)
    numbers = [*_summed(effects, draws, rng), *chance, *beside, *_tests(effects, draws, rng)[1:]]
    table["n"] = np.isfinite(effects).sum(1).ravel()
    table[_NUMBERS] = np.stack([np.ravel(number) for number in numbers], 1)
    table = table.astype({"layer": "Int64", "head": "Int64"})
    about = measure.table.assign(intact=np.nan)
    about.loc[about["status"] == "ok", "intact"] = values[0, :, 0]
    unit = unit or _unit_of(of, model) or ("nats per base" if about["bases"].any() else "nats")
    return Ablation(table, about, effects, shape, _name_of(model), how, unit, passes, rows)


def changes(
    model: Any, sequence: str, heads: Any, *, how: str = "mean", share: float = SHARE, batch_tokens: int = BATCH_TOKENS, seed: int = 0
) -> np.ndarray:  # fmt: skip
    """How the log-probability of each reference base changes without heads: float32 [row of `heads`, base], in nats.

    Every token is hidden once, a `share` of them at a time, as many passes for the intact model; NaN where no whole token lies.
    Parameters and errors as of `ablate`.
    """
    measure = Measure(model, [sequence], batch_tokens, share=share, seed=seed, whole=True)
    sets = [frozenset(), *head_sets(heads, shape_of(measure.module))]
    found = np.full((len(sets), len(sequence)), np.nan, np.float32)

    def put(row: int, _: int, at: np.ndarray, logs: np.ndarray) -> None:
        found[row, at] = logs

    measure.answers(sets, partial(Edit, how=how), put)
    return found[1:] - found[0]


@dataclass(frozen=True)
class Patching:
    """Which heads carry an allele's effect; made by `patch`.

    Attributes
    ----------
    heads, layers
        [layer, head, effect, share, control_share], one row a head; the same without `head`, of all heads of a layer together. `effect`
        is the target with these outputs from the other allele's run, less the target without, in `unit`; `share` is that of `whole`.
    whole
        The target of the allele that outputs are taken from, less that of the allele into whose run they are put.
    remainder, control_remainder
        1 less the sum of the shares of all heads: what goes by the tokens themselves, and what heads do only together, or twice.
    passes
        Forward passes, the control's included.
    """

    heads: pd.DataFrame
    layers: pd.DataFrame
    whole: float
    remainder: float
    control_remainder: float
    model: str
    into: str
    unit: str
    passes: int

    def grid(self, column: str = "share") -> np.ndarray:
        """[layer, head] values of a column of `heads`."""
        return self.heads.pivot(index="layer", columns="head", values=column).to_numpy()

    def __repr__(self) -> str:
        top = self.heads.loc[self.heads["share"].abs().idxmax()]
        return (
            f"Effect of the allele on {self.model}: {self.whole:.3g} {self.unit}. Most of it by layer {top['layer']:.0f}, head "
            f"{top['head']:.0f}: {top['share']:.1%} (control {top['control_share']:.1%}); beside the sum of all heads "
            f"{self.remainder:.1%} remain (control {self.control_remainder:.1%}); {self.passes:,} forward passes"
        ).replace(" (control nan%)", "")


def patch(
    model: Any, reference: Any, alternative: Any, *, of: Callable[[Any, Any], float] | None = None, into: str = "reference",
    control: Any = "twin", batch_tokens: int = BATCH_TOKENS, unit: str = "", seed: int = 0,
) -> Patching:  # fmt: skip
    """Which layers and heads carry the effect of an allele, as shares of the whole effect, with what remains.

    Parameters
    ----------
    model, of, control, batch_tokens, unit, seed
        As of `ablate`; the target of None is the logarithm of the ratio of the probabilities of the alternative's tokens and the
        reference's where they differ, in nats, with nothing hidden.
    reference, alternative
        Sequences with as many tokens, at the same places; what `of` takes.
    into
        The allele whose run is changed: "reference", which says what the alternative's outputs are enough for, or "alternative", which
        says what is lost without them.

    Raises
    ------
    ValueError
        Alleles that have not as many tokens, do not differ, or have the same target.
    """
    if into not in ("reference", "alternative"):
        raise ValueError(f"into must be 'reference' or 'alternative'; received {into!r}.")
    shape = shape_of(module_of(model))
    sets = [*head_sets(None, shape), *(frozenset(product([layer], range(shape[1]))) for layer in range(shape[0]))]
    control = _control_of(control, model, of, seed)
    alleles = (reference, alternative) if into == "reference" else (alternative, reference)
    effect, whole, passes = _patched(model, alleles, of, sets, batch_tokens, into)
    table = pd.DataFrame({"effect": effect, "share": effect / whole, "control_share": np.nan})
    if control is not None:
        effect, other, more = _patched(control, alleles, of, sets, batch_tokens, into)
        table["control_share"], passes = effect / other, passes + more
    n = shape[0] * shape[1]
    heads = pd.DataFrame(list(np.ndindex(*shape)), columns=["layer", "head"]).join(table[:n])
    layers = table[n:].reset_index(drop=True).rename_axis("layer").reset_index()
    rest = (float(1 - heads[column].sum(skipna=False)) for column in ("share", "control_share"))
    return Patching(heads, layers, whole, *rest, _name_of(model), into, unit or _unit_of(of, model) or "nats", passes)


def _patched(
    model: Any, alleles: tuple[Any, Any], of: Any, sets: list[Heads], batch_tokens: int, into: str
) -> tuple[np.ndarray, float, int]:  # fmt: skip
    """Effect [set] on the first allele's target of the second's outputs, the difference of their targets, and forward passes."""
    pair = alleles if into == "reference" else alleles[::-1]
    measure = Measure(model, [pair], batch_tokens, of=of, hidden=False)
    (both,), kept = measure.items, []

    def targets(allele: int, sets: list[Heads], how: Any) -> np.ndarray:
        readings = [one for one in both.readings if one.sequence == alleles[allele]]
        measure.items = [both._replace(given=alleles[allele], readings=readings)]
        keep: list[torch.Tensor] | None = kept if how == "zero" else None
        return measure.values(sets, lambda heads: Edit(heads, how, keep), "patching heads")[:, 0, 0]

    (source,) = targets(1, [frozenset()], "zero")
    plain, *patched = targets(0, [frozenset(), *sets], kept)
    if source == plain:
        raise ValueError(f"The alleles must differ in the target; both have {source:.6g}: there is no effect to carry.")
    return np.array(patched) - plain, float(source - plain), measure.passes


def _control_of(control: Any, model: Any, of: Any, seed: int) -> Any:
    """The control model that is asked for; "twin" is none where a function reads the model."""
    if not isinstance(control, str) or of is not None:
        return None if isinstance(control, str) else control
    if control != "twin" or not hasattr(model, "random_twin"):
        raise ValueError(
            f"A control must be 'twin', of a model that has random_twin, a model, or None; received {control!r} for "
            f"{type(model).__name__}. Pass control=None."
        )
    return model.random_twin(seed)


def _unit_of(of: Any, model: Any) -> str:
    return "" if of is None else getattr(of, "unit", lambda _: "")(model) or "of the target"


def _name_of(model: Any) -> str:
    return getattr(model, "name", type(model).__name__)


def _random_sets(one: Heads, shape: tuple[int, int], most: int, rng: np.random.Generator) -> list[Heads]:
    """Other sets with as many heads in each layer, drawn at random: `most`, or as many as there are."""
    sizes = sorted(Counter(layer for layer, _ in one).items())
    most, found = min(most, prod(comb(shape[1], n) for _, n in sizes) - 1), dict[Heads, None]()
    while len(found) < most:
        other = frozenset((layer, int(head)) for layer, n in sizes for head in rng.permutation(shape[1])[:n])
        found |= {other: None} if other != one else {}
    return list(found)


def _beside(means: dict[Heads, np.ndarray], one: Heads, null: list[Heads]) -> np.ndarray:
    """[2, element] mean effect of random sets, and the share, the set itself among them, as far from 0; NaN without any."""
    if not null:
        return np.full((2, len(means[one])), np.nan)
    others = np.stack([means[other] for other in null])
    far = np.abs(others) >= np.abs(means[one]) * (1 - 1e-9)  # ties that arithmetic broke
    return np.stack([others.mean(0), np.where(np.isfinite(means[one]), (1 + far.sum(0)) / (1 + len(null)), np.nan)])


def _weighted(effects: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Means over sequences of effects [set, sequence, element] by weights [draw, sequence] and their signs, [draw, set, element]."""
    known = np.isfinite(effects)
    above, below = np.where(known, effects, 0), np.tensordot(np.abs(weights), known, (1, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.tensordot(weights, above, (1, 1)) / below


def _summed(effects: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """[3, set, element] mean over sequences, and the ends of 95 % of it when sequences are drawn anew; NaN with fewer than 5."""
    n, shape = effects.shape[1], effects.shape[::2]
    ends = middles(_weighted(effects, draw_weights(n, draws, rng)).reshape(draws, -1)).reshape(2, *shape)
    ends[:, np.isfinite(effects).sum(1) < FEWEST] = np.nan
    return np.concatenate([_weighted(effects, np.ones((1, n))), ends])


def _tests(effects: np.ndarray, draws: int, rng: np.random.Generator) -> Any:
    """P and q of the means against those with signs of whole sequences drawn anew, each draw and its opposite."""
    signs = rng.choice([-1.0, 1.0], size=(draws, effects.shape[1]))
    signs[0] = 1
    both = np.stack([signs, -signs], axis=1).reshape(2 * draws, -1)
    return joint(np.nan_to_num(_weighted(effects, both)).reshape(2 * draws, -1))
