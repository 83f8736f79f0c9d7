"""The methods of the matrix, the settings equal for all its cells, and vectors without a model."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.genome.sequence import codes, listed

if TYPE_CHECKING:
    from ntviz import finetuning

KS = (3, 4, 5, 6)
"""Lengths of k-mers that the k-mer baseline chooses from."""
LOCAL = 31
"""bp around the middle that the local baseline sees: a splice site's consensus and no more."""
_SEQUENCES = ("binary", "multiclass", "multilabel", "regression")
_ALL = (*_SEQUENCES, "per_base")
TRAINED = ("tuned", "network")
"""Families of methods with a recipe."""


@dataclass(frozen=True)
class Method:
    """One way to solve a task."""

    name: str  # as it is typed
    label: str  # as it is shown
    family: str  # "probe" (fitted to vectors), "tuned" (a model trained on), "network" (from nothing) or "chance"
    needs_model: bool  # asked of each model, or once for a task
    kinds: tuple[str, ...]  # of tasks that it can do


METHODS = {
    method.name: method
    for method in (
        Method("logistic", "logistic probe", "probe", True, _SEQUENCES),
        Method("mlp", "network probe", "probe", True, _SEQUENCES),
        Method("ia3", "IA3", "tuned", True, _ALL),
        Method("lora", "LoRA", "tuned", True, _ALL),
        Method("full", "full fine-tuning", "tuned", True, _ALL),
        Method("head", "head on frozen tokens", "tuned", True, _ALL),
        Method("majority", "majority class", "chance", False, _ALL),
        Method("gc", "GC and length", "probe", False, _SEQUENCES),
        Method("kmer", "k-mers (3 to 6)", "probe", False, _SEQUENCES),
        *(Method(f"kmer{k}", f"{k}-mers", "probe", False, _SEQUENCES) for k in KS),
        Method("local31", "31 bp around the middle", "probe", False, _SEQUENCES),
        Method("cnn", "one-hot CNN", "network", False, _ALL),
        Method("bpnet", "BPNet (121 K)", "network", False, _ALL),
        Method("bpnet-large", "BPNet (28 M)", "network", False, _ALL),
    )
}


def method(name: str) -> Method:
    """The method of that name; ValueError with the nearest names where there is none."""
    if name not in METHODS:
        raise ValueError(f"A method must be one of {', '.join(METHODS)}; received {name!r}.{suggestion(name, METHODS)}")
    return METHODS[name]


def suggestion(name: str, known: Iterable[str]) -> str:
    """A sentence with the known names nearest to a name, upper or lower case; empty if none is near."""
    names = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.4)
    return f" Did you mean {' or '.join(names[one] for one in near)}?" if near else ""


@dataclass(frozen=True)
class Settings:
    """What is equal for all cells of a matrix."""

    layers: tuple[int, ...] | None = None  # that probes choose from; None for all, the embedding included
    pooling: str = "mean"  # "mean", "max" or "cls"
    both_strands: bool = False  # mean of the vectors of both strands; wrong for tasks that are stranded
    n_folds: int = 10  # by group, where a task has no split of its own, or `refold`
    refold: bool = False  # pool the training and test parts and judge by folds, as the paper does
    permutations: int = 20  # of labels, a control; 0 leaves it out
    draws: int = 10  # for a point of the learning curve; 0 leaves it out
    bootstrap: int = 1_000  # draws of groups for intervals
    steps: int | None = None  # of fine-tuning and networks, at most; None for each method's own number
    train_cap: int | None = None  # examples to learn from at most, drawn evenly by class; None for all

    def relevant(self, method: Method) -> dict[str, Any]:
        """Those that a method's result depends on: others may change without a cell being done again."""
        without = set() if method.family == "probe" else {"permutations", "draws"}
        if method.family not in TRAINED:
            without.add("steps")
        if method.family != "probe" or not method.needs_model:
            without |= {"layers", "pooling", "both_strands"}
        return {name: value for name, value in sorted(asdict(self).items()) if name not in without}


def composition(sequences: Sequence[str]) -> np.ndarray:
    """GC share of known bases, share of N and log10 length, float32 [sequence, 3].

    Examples
    --------
    >>> composition(["GCANNNNNNN"]).astype(float).round(2).tolist()
    [[0.67, 0.7, 1.0]]
    """
    rows = []
    for text in listed(sequences):
        known = len(text) - text.count("N")
        gc = (text.count("G") + text.count("C")) / known if known else 0.5
        rows.append((gc, 1 - known / len(text) if text else 0.0, np.log10(max(1, len(text)))))
    return np.array(rows, dtype=np.float32).reshape(-1, 3)


def local_bases(sequences: Sequence[str], width: int = LOCAL) -> np.ndarray:
    """One-hot bases around the middle, float32 [sequence, width * 4] in order ACGT; zeros at N and beyond the ends.

    The middle of an even length is its right half's first base: base 300 of 600, counted from 0.

    Examples
    --------
    >>> local_bases(["AACAA"], width=1).tolist()
    [[0.0, 1.0, 0.0, 0.0]]
    """
    texts = listed(sequences)
    result = np.zeros((len(texts), width, 5), dtype=np.float32)
    for row, text in enumerate(texts):
        numbers = codes(text)
        start = len(numbers) // 2 - width // 2
        left, right = max(0, start), min(len(numbers), start + width)
        result[row, np.arange(left - start, right - start), numbers[left:right]] = 1
    return result[:, :, :4].reshape(len(texts), -1)


def recipe(method: Method, settings: Settings) -> finetuning.Recipe:
    """How a fine-tuned model or a network is trained under these settings."""
    from ntviz import finetuning

    made = finetuning.RECIPES[method.name if method.family == "tuned" else "network"]
    return made if settings.steps is None else replace(made, steps=settings.steps)
