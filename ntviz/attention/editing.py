"""Attention edited while a model runs: outputs of heads replaced where fused attention gives them, and what then changes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel

from ntviz import environment
from ntviz.attention.observation import NO_INTERFACE, watched
from ntviz.genome import Interval
from ntviz.genome.sequence import codes
from ntviz.masking import Reader, Reading
from ntviz.statistics import seed_of
from ntviz.tokens import Tokens

HOW = ("mean", "zero", "uniform")
"""What stands in the place of a head's output: its mean over real tokens, nothing, or the mean of all real values."""
SHARE = 0.15
"""Share of the tokens that are hidden at once, as in training."""
Heads = frozenset[tuple[int, int]]
"""Heads that are edited together, each (layer, head) from 0."""
UNEQUAL = (
    "Both alleles must have as many tokens, at the same places; received {:,} and {:,} tokens. Take a substitution: an insertion or "
    "deletion moves every later token."
)


class Edit:
    """Replaces outputs of heads: the same heads in each row of a pass, or, of a list, its sets in the order in which rows come.

    `how` is one of `HOW`, or the outputs of each layer in another run, which are then put in. With `kept`, a list, the outputs
    of each layer are left there.
    """

    def __init__(self, heads: list[Heads] | Heads, how: Any, kept: list[torch.Tensor] | None = None) -> None:
        if isinstance(how, str) and how not in HOW:
            raise ValueError(f"how must be one of {', '.join(HOW)}; received {how!r}.")
        self.heads, self.how, self.kept = heads, how, kept
        self.passes = self.rows = 0
        self._begin, self._index, self._deepest, self._first = 0, 0, -1, None

    def layer(self, module: Any, value: torch.Tensor, mask: Any, causal: bool, output: torch.Tensor) -> torch.Tensor:
        """The output [sequence, query, head, size] of a layer that goes on; a pass begins with the module that came first."""
        self._index += 1
        if self._first is None or module is self._first:
            self._first, self._index, self.passes = module, 0, self.passes + 1
            self._begin, self.rows = self.rows, self.rows + len(output)
        self._deepest = max(self._deepest, self._index)
        sets = self.heads[self._begin : self.rows] if isinstance(self.heads, list) else [self.heads] * len(output)
        edited = [(row, head) for row, heads in enumerate(sets) for layer, head in heads if layer == self._index]
        if edited:
            rows, heads = torch.tensor(edited, device=output.device).T
            output = output.clone()
            output[rows, :, heads] = self._made(rows, heads, value, _allowed(mask, causal, output), output)
        if self.kept is not None:
            self.kept[self._index :] = [output.clone()]
        return output

    def _made(self, rows: Any, heads: torch.Tensor, value: torch.Tensor, allowed: Any, output: torch.Tensor) -> Any:
        """What takes the place of outputs, [edited, query or 1, size]."""
        if self.how == "zero":
            return output.new_zeros(len(rows), 1, output.shape[3])
        if not isinstance(self.how, str):
            other = self.how[self._index]
            if other.shape[1] != output.shape[1]:
                raise ValueError(UNEQUAL.format(other.shape[1], output.shape[1]))
            return other[0].transpose(0, 1)[heads]
        uniform = self.how == "uniform"
        own = value[rows, heads // (output.shape[2] // value.shape[1])] if uniform else output[rows, :, heads]
        if allowed is None:
            return own.float().mean(1, keepdim=True).to(output.dtype)
        allowed = allowed.expand(len(output), -1, -1)[rows]
        weights = (allowed if uniform else allowed.any(1, keepdim=True)).float()
        return (weights @ own.float() / weights.sum(-1, keepdim=True).clamp(min=1)).to(output.dtype)

    def check(self, model: Any) -> None:
        """A TypeError where a layer was never seen, a RuntimeError where rows were not those that were announced."""
        sets = self.heads if isinstance(self.heads, list) else [self.heads]
        deepest = max((layer for heads in sets for layer, _ in heads), default=0)
        several = shape_of(module_of(model))[0] > 1  # layers that share one module cannot be told apart
        if self._deepest < max(deepest, several):
            raise TypeError(
                f"Layer {deepest} must reach the attention interface by a module of its own; {self._deepest + 1} layer(s) do. "
                + NO_INTERFACE.format(type(model).__name__)
            )
        if isinstance(self.heads, list) and self.rows != len(sets):
            raise RuntimeError(f"{len(sets)} sequences must pass the model, each once; {self.rows} did.")


def _allowed(mask: torch.Tensor | None, causal: bool, output: torch.Tensor) -> torch.Tensor | None:
    """Bool [sequence or 1, query or 1, key], keys that a query may attend to; None where these are all."""
    if mask is None:
        n = output.shape[1]
        return torch.ones(1, n, n, dtype=torch.bool, device=output.device).tril() if causal else None
    return mask[:, 0] if mask.dtype == torch.bool else mask[:, 0] > torch.finfo(mask.dtype).min / 2


@contextmanager
def ablated(model: Any, heads: Any, *, how: str = "mean") -> Generator[Edit]:
    """The model with outputs of heads replaced, all together, in every forward pass inside; as it was afterwards, whatever happens.

    Parameters and errors as of `ablate`.

    Examples
    --------
    >>> from ntviz import models
    >>> model = models.load("ntviz-mini")
    >>> with ablated(model, [(3, 2)]):
    ...     logits = model.forward(model.tokenize("GATTACAT" * 30)).logits
    """
    module = module_of(model)
    edit = Edit(frozenset().union(*head_sets(heads, shape_of(module))), how)
    with watched(module, edit=edit):
        yield edit
        edit.check(model)


def module_of(model: Any) -> PreTrainedModel:
    """The encoder of transformers inside a model, or inside what was tuned from it."""
    outer = getattr(getattr(model, "learner", None), "encoder", None) or getattr(model, "module", model)
    parts = outer.modules() if isinstance(outer, torch.nn.Module) else ()
    found = next((part for part in parts if isinstance(part, PreTrainedModel)), None)
    if found is None:
        raise TypeError(NO_INTERFACE.format(type(model).__name__))
    return found


def shape_of(module: PreTrainedModel) -> tuple[int, int]:
    """Layers that attend, and heads of each."""
    return module.config.num_hidden_layers, module.config.num_attention_heads


def head_sets(heads: Any, shape: tuple[int, int]) -> list[Heads]:
    """The heads, and sets of heads, that are asked for; see `ablate`."""
    if heads is None:
        return [frozenset([pair]) for pair in np.ndindex(*shape)]
    given = [heads] if _is_pair(heads) or isinstance(heads, (set, frozenset)) else list(heads)
    several = [[one] if _is_pair(one) else list(one) for one in given]
    pairs = [pair for one in several for pair in one]
    strange = [one for one in pairs if not _is_pair(one) or not 0 <= one[0] < shape[0] or not 0 <= one[1] < shape[1]]
    sets = [] if strange else [frozenset((int(layer), int(head)) for layer, head in one) for one in several]
    if not sets or not all(sets) or len(set(sets)) < len(sets) or len(pairs) > sum(map(len, sets)):
        raise ValueError(
            f"Heads must be pairs (layer, head), 0 to {shape[0] - 1} and 0 to {shape[1] - 1}, or sets of such pairs, each once; "
            f"received {strange[0] if strange else heads!r}. Leave heads out for all, one by one."
        )
    return sets


def _is_pair(one: Any) -> bool:
    return isinstance(one, (tuple, list, np.ndarray)) and [isinstance(i, (int, np.integer)) for i in one] == [True] * 2


class Item(NamedTuple):
    """A sequence or pair as given, its readings, and what their logits say."""

    given: Any
    readings: list[Reading]
    numbers: Any  # function of a reading and its logits [asked token, vocab]: bases [n], and the number of each
    flags: np.ndarray  # [element, base] whether a base counts
    weight: np.ndarray  # [element] hidden bases; 0 where numbers are no means over bases


class Measure:
    """What is asked of a model about each sequence, whichever heads are edited; see `ablate` for `of` and what a sequence may be.

    A share of the tokens is hidden, with `whole` all, share by share; unless `hidden`, alleles of a pair are read as they are.
    """

    def __init__(
        self, model: Any, sequences: Any, batch_tokens: int, *, of: Any = None, reference: Any = None, elements: Any = None,
        kinds: Sequence[str] = (), share: float = SHARE, seed: int = 0, whole: bool = False, hidden: bool = True,
    ) -> None:  # fmt: skip
        self.model, self.module, self.of, self.reference, self.elements = (
            model,
            module_of(model),
            of,
            reference,
            elements,
        )
        self.kinds, self.share, self.seed, self.whole, self.hidden = kinds, share, seed, whole, hidden
        self.passes, self.rows, self.items, rows = 0, 0, [], []
        if of is None and not hasattr(model, "tokenize"):
            raise ValueError(
                f"Hidden bases need a model of `models.load`, which takes sequences; {type(model).__name__} is none. Pass of=, a "
                "function of the model and of what you give as a sequence."
            )
        self.reader: Any = Reader(model, batch_tokens=batch_tokens) if of is None else None
        several = getattr(sequences, "intervals", sequences)
        alone = isinstance(several, (str, tuple, Interval, Tokens, Mapping))
        for number, one in enumerate([several] if alone else several):
            placed, status = isinstance(one, Interval) or (isinstance(one, str) and ":" in one), "ok"
            try:
                self.items.append(self._item(one, placed))
            except ValueError as error:
                status = str(error)
            bases = int(self.items[-1].weight[0]) if status == "ok" else 0
            rows.append((str(one) if placed else f"sequence {number}", status, bases))
        self.table = pd.DataFrame(rows, columns=["sequence", "status", "bases"])
        if not self.items:
            why = f"of {len(rows):,} the first: {rows[0][1]}" if rows else "received none."
            raise ValueError(f"There must be a sequence that can be used; {why}")

    def _item(self, one: Any, placed: bool) -> Item:
        interval = Interval.from_str(one) if placed and isinstance(one, str) else one
        if placed and self.reference is None:
            raise ValueError(f"An interval must come with reference=, which has its bases; received {one} without.")
        one = self.reference.fetch(interval).sequence if placed else getattr(one, "sequence", one)
        if self.of is not None:
            for text in one if isinstance(one, tuple) else (one,):
                if isinstance(text, str) and hasattr(self.model, "tokenize"):
                    self.model.tokenize(text)  # a sequence that is too long
            return Item(one, [], None, np.ones((1, 1)), np.zeros(1))
        if self.elements is not None and not placed:
            raise ValueError("Elements need intervals; a bare sequence has no place.")
        if isinstance(one, tuple):
            return self._pair(*one)
        flags = np.stack([np.ones(len(one), bool), *(self.elements.indicator(interval, kind) for kind in self.kinds)])
        n = int(self.model.tokenize(one).is_kmer.sum())
        if not n:
            raise ValueError(f"A sequence must have a whole token to hide; its {len(one):,} bp have none.")
        order = np.random.default_rng(seed_of(self.seed, one)).permutation(n)
        parts = np.array_split(order, -(-n // max(1, round(self.share * n))))[: None if self.whole else 1]
        readings = [Reading(one, masked=tuple(sorted(part.tolist()))) for part in parts]
        at = np.concatenate([self.bases(reading) for reading in readings])
        return Item(one, readings, self._logs, flags, flags[:, at].sum(1))

    def bases(self, reading: Reading) -> np.ndarray:
        """Hidden bases within the sequence."""
        return (self.reader.starts(reading)[list(reading.masked), None] + np.arange(self.reader.k)).ravel()

    def _logs(self, reading: Reading, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hidden bases, and the log-probability of each, in nats."""
        at, found = self.bases(reading), self.reader.base_log_probs(reading, logits).reshape(-1, 4)
        return at, found[np.arange(len(at)), codes(reading.sequence)[at]]

    def _pair(self, reference: str, alternative: str) -> Item:
        """The log-likelihood ratio of the tokens that differ."""
        one, other = map(self.model.tokenize, (reference, alternative))
        if not np.array_equal(one.spans, other.spans) or not np.array_equal(one.is_kmer, other.is_kmer):
            raise ValueError(UNEQUAL.format(len(one), len(other)))
        ids, new = (tokens.ids[tokens.is_kmer] for tokens in (one, other))
        differ = np.flatnonzero(ids != new)
        if not len(differ):
            raise ValueError("The alleles must differ in a whole token; they have the same ones.")
        chosen, row = tuple(differ.tolist()), np.arange(len(differ))

        def ratio(_: Reading, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            gains = logits[row, new[differ]].astype(np.float64) - logits[row, ids[differ]]
            return np.zeros(1, int), gains.sum(keepdims=True)

        asked = [Reading(text, asked=chosen) for text in (reference, alternative)]
        readings = [Reading(reference, masked=chosen)] if self.hidden else asked
        return Item((reference, alternative), readings, ratio, np.ones((1, 1)), np.zeros(1))

    def values(self, sets: list[Heads], edit: Callable[[Any], Edit], what: str = "ablating heads") -> np.ndarray:
        """[set, sequence, element] with each set of heads edited: means over hidden bases, or the numbers of `of`."""
        found = np.zeros((len(sets), len(self.items), 1 + len(self.kinds)))
        if self.of is not None:
            for row, heads in enumerate(environment.progress(sets, what=what)):
                with self._editing(edit(heads)):
                    found[row, :, 0] = [float(self.of(self.model, item.given)) for item in self.items]
            return found

        def put(row: int, column: int, at: np.ndarray, numbers: np.ndarray) -> None:
            found[row, column] += self.items[column].flags[:, at] @ numbers

        self.answers(sets, edit, put, what)
        weight = np.stack([item.weight for item in self.items])
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(weight[:, :1] > 0, found / weight, found)

    def answers(self, sets: list[Heads], edit: Callable[[Any], Edit], put: Any, what: str | None = None) -> None:
        """Puts set, sequence, bases and their numbers of each reading; those of one length go together, so nothing is padded."""
        every = [(column, reading) for column, item in enumerate(self.items) for reading in item.readings]
        for length in sorted({len(reading.sequence) for _, reading in every}):
            jobs = [(row, *one) for one in every if len(one[1].sequence) == length for row in range(len(sets))]
            with self._editing(edit([sets[row] for row, *_ in jobs])):
                found = self.reader.masked([reading for *_, reading in jobs], what)
                for (row, column, reading), (_, logits) in zip(jobs, found, strict=True):
                    put(row, column, *self.items[column].numbers(reading, logits))

    @contextmanager
    def _editing(self, edit: Edit) -> Generator[None]:
        try:
            with watched(self.module, edit=edit):
                yield
        except (MemoryError, RuntimeError) as error:
            if "memory" not in str(error).lower():
                raise
            raise MemoryError(f"{error} A pass must fit: take a smaller batch_tokens, or shorter sequences.") from error
        edit.check(self.model)
        self.passes, self.rows = self.passes + edit.passes, self.rows + edit.rows
