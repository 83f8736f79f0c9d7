"""The methods of the matrix: which need a model, which tasks they can do, and what people call them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

_SEQUENCES = ("binary", "multiclass", "multilabel", "regression")
_CLASSES = ("binary", "multiclass")
_ALL = (*_SEQUENCES, "per_base")


@dataclass(frozen=True)
class Method:
    """One way to solve a task.

    Attributes
    ----------
    name
        As it is typed.
    label
        As it is shown.
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
        *(Method(f"kmer{k}", f"{k}-mers", "probe", False, _SEQUENCES) for k in (3, 4, 5, 6)),
        Method("local31", "31 bp around the middle", "probe", False, _SEQUENCES),
        Method("cnn", "one-hot CNN", "network", False, _ALL),
        Method("bpnet", "BPNet (121 K)", "network", False, _ALL),
        Method("bpnet-large", "BPNet (28 M)", "network", False, _ALL),
    )
}


def method(name: str) -> Method:
    """The method of that name.

    Raises
    ------
    ValueError
        There is none; the nearest names are given.
    """
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=2, cutoff=0.4)
        raise ValueError(
            f"A method must be one of {', '.join(METHODS)}; received {name!r}."
            + (f" Did you mean {' or '.join(near)}?" if near else "")
        )
    return METHODS[name]
