"""The methods of the matrix, the settings equal for all its cells, vectors without a model, and training."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.genome.sequence import codes, listed

if TYPE_CHECKING:
    from ntviz import finetuning
    from ntviz.benchmark.task import Examples, Task

KS = (3, 4, 5, 6)
"""Lengths of k-mers that the k-mer baseline chooses from."""
LOCAL = 31
"""bp around the middle that the local baseline sees: a splice site's consensus and no more."""
_SEQUENCES = ("binary", "multiclass", "multilabel", "regression")
_ALL = (*_SEQUENCES, "per_base")


@dataclass(frozen=True)
class Method:
    """One way to solve a task.

    Attributes
    ----------
    name, label
        As it is typed, and as it is shown.
    family
        "probe" (fitted to vectors), "tuned" (a model trained on), "network" (trained from nothing) or "chance".
    needs_model
        Whether it is asked of each model, or once for a task.
    kinds
        Kinds of tasks that it can do.
    """

    name: str
    label: str
    family: str
    needs_model: bool
    kinds: tuple[str, ...]


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
        raise ValueError(
            f"A method must be one of {', '.join(METHODS)}; received {name!r}.{suggestion(name, METHODS)}"
        )
    return METHODS[name]


def suggestion(name: str, known: Iterable[str]) -> str:
    """A sentence with the known names nearest to a name, upper or lower case; empty if none is near."""
    names = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.4)
    return f" Did you mean {' or '.join(names[one] for one in near)}?" if near else ""


@dataclass(frozen=True)
class Settings:
    """What is equal for all cells of a matrix.

    Attributes
    ----------
    layers
        Layers that probes choose from; None for all, the embedding included.
    pooling
        "mean", "max" or "cls".
    both_strands
        Mean of the vectors of both strands; wrong for tasks that are stranded.
    n_folds
        Folds by group where a task has no split of its own, or `refold`.
    refold
        Pool the training and test parts and judge by folds, as the paper does.
    permutations, draws
        Of the controls: permuted labels, and draws a point of the learning curve; 0 leaves them out.
    bootstrap
        Draws of groups for intervals.
    steps
        Of fine-tuning and networks, at most; None for each method's own number.
    train_cap
        Examples to learn from at most, drawn evenly by class; None for all.
    """

    layers: tuple[int, ...] | None = None
    pooling: str = "mean"
    both_strands: bool = False
    n_folds: int = 10
    refold: bool = False
    permutations: int = 20
    draws: int = 10
    bootstrap: int = 1_000
    steps: int | None = None
    train_cap: int | None = None

    def relevant(self, method: Method) -> dict[str, Any]:
        """Those that a method's result depends on: others may change without a cell being done again."""
        keep = {"n_folds", "refold", "bootstrap", "train_cap"}
        if method.family == "probe":
            keep |= {"permutations", "draws"}
            if method.needs_model:
                keep |= {"layers", "pooling", "both_strands"}
        if method.family in ("tuned", "network"):
            keep |= {"steps"}
        values = asdict(self)
        return {name: values[name] for name in sorted(keep)}


# Vectors without a model: what a model must beat, as k-mers are ------------------------------------------------------


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


# Training: fine-tuned models, and networks from nothing ----------------------------------------------------------------


def recipe(method: Method, settings: Settings) -> finetuning.Recipe:
    """How a method is trained under these settings."""
    from ntviz import finetuning

    made = finetuning.RECIPES[method.name if method.family == "tuned" else "network"]
    return made if settings.steps is None else replace(made, steps=settings.steps)


def train(
    task: Task,
    method: Method,
    model: Any,
    settings: Settings,
    pooled: Examples,
    learned: np.ndarray,
    held: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Predictions for the examples `held` after learning from `learned`, and cells of the row.

    A tenth of the groups of what is learned from is set aside to choose the best state.
    """
    from ntviz import finetuning

    part = pooled.take(learned)
    data = part.sequences.tolist(), part.labels
    outputs = len(task.classes)
    about: dict[str, Any] = {"kind": task.kind, "outputs": outputs, "groups": part.groups, "seed": seed}
    about["recipe"] = recipe(method, settings)
    if method.family == "tuned":
        tuned = finetuning.tune(model, *data, method=method.name, **about)
    else:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = finetuning.network(method.name, outputs=outputs, per_base=task.kind == "per_base")
        tuned = finetuning.train_network(network, *data, **about)
    steps = f"step {tuned.best_step:,} of {tuned.recipe.steps:,}"
    row = {
        "trainable": tuned.trainable,
        "chosen": f"{steps} by {tuned.chosen_by}, ended by {tuned.stopped}",
    }
    return tuned.predict(pooled.sequences[held].tolist()), row
