"""Planted motifs recovered from a network that was trained, not built: how many of ten families get their name back.

Run it from the repository: `python benchmarks/planted.py`. A convolutional network learns which of ten JASPAR motifs is
planted in dinucleotide-shuffled windows of chromosome 20. Held-out windows are attributed by the gradient of their own
output (less its mean over the bases), then seqlets (against the same of their shuffles), patterns, and names. Controls: the network that is built to know,
the same network before training, and after training on labels in random order. TOMTOM is compiled first, which takes a minute or two.

Predicted before: built 10 of 10 families; trained on 2,000 windows 7 to 9; on 500 windows 2 to 5; on 2,000 with softened
sites (half way to 0.25 each) 1 to 4; untrained and on random labels 0; at most one wrong name in all. Measured: see the
README.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from ntviz import data, finetuning, motifs
from ntviz.genome import Interval
from ntviz.genome.sequence import one_hot, shuffle
from ntviz.motifs import Detector, Motif, Planted
from ntviz.reference import Reference

CHOSEN = ("MA0139", "MA0046", "MA0080", "MA0106", "MA0052", "MA0099", "MA0035", "MA0114", "MA0506", "MA0148")
LENGTH, HELD_OUT = 100, 300


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--network", default="cnn", choices=finetuning.NETWORKS)
    arguments = parser.parse_args()
    known = motifs.read(data.bundle("motifs"))
    chosen = [known[name] for name in CHOSEN]
    soft = [Motif(one.id, (one.probabilities + 0.25) / 2, one.name) for one in chosen]
    nothing = [Motif("none", np.full((12, 4), 0.25))] * len(chosen)
    conditions: list[tuple[str, list[Motif], Callable[[], torch.nn.Module]]] = [
        ("built, no training", chosen, lambda: Detector(chosen)),
        ("trained, 2,000 windows", chosen, lambda: _trained(arguments, chosen, 2_000)),
        ("built, nothing planted", nothing, lambda: Detector(chosen)),
        ("untrained", chosen, lambda: _network(arguments.network)),
        ("trained, labels at random", chosen, lambda: _trained(arguments, chosen, 2_000, at_random=True)),
        ("trained, 500 windows", chosen, lambda: _trained(arguments, chosen, 500)),
        ("trained, 2,000, soft sites", soft, lambda: _trained(arguments, soft, 2_000)),
    ]
    kinds = motifs.families()
    wanted = [set(kinds[one.id].families) for one in chosen]
    print(
        f"{'condition':<28}{'right':>7}{'seqlets':>9}{'of null':>9}{'patterns':>9}{'recovered':>10}{'other names':>12}{'s':>6}"
    )
    for name, sites, make in conditions:
        network, planted = make(), motifs.plant(_windows(HELD_OUT, 1), sites, seed=1)
        began = time.perf_counter()
        right, contributions = _attributed(network, planted)
        shuffled = [shuffle(text, seed=row) for row, text in enumerate(planted.sequences)]
        _, null = _attributed(network, replace(planted, sequences=shuffled))
        result = motifs.discover(planted.sequences, contributions, null=null, outputs=planted.motif)
        seconds = time.perf_counter() - began
        families: list[set[str]] = []
        if result.patterns:
            table = motifs.name(result.motifs, known, families=kinds, shuffles=0).table
            named = table.loc[table["status"] == "named", "target"]
            families = [set(kinds[target].families) for target in named]
        others = sum(not any(family & one for one in wanted) for family in families)
        back = sum(any(family & one for family in families) for one in wanted)
        print(
            f"{name:<28}{right:>7.1%}{len(result.seqlets):>9,}{result.seqlets.attrs['expected']:>9.1f}"
            f"{len(result.patterns):>9}{back:>7}/10{others:>12}{seconds:>6.1f}",
            flush=True,
        )


def _windows(count: int, seed: int) -> list[str]:
    """Windows without N, their dinucleotides in random order."""
    reference, rng = Reference(data.bundle("chr20")), np.random.default_rng(seed)
    found: list[str] = []
    while len(found) < count:
        start = int(rng.integers(100_000, 62_000_000))
        text = reference.fetch(Interval("20", start, start + LENGTH)).sequence
        if "N" not in text:
            found.append(shuffle(text, seed=len(found)))
    return found


def _network(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return finetuning.network(name, outputs=len(CHOSEN)).eval()


def _trained(
    arguments: argparse.Namespace, chosen: list[Motif], count: int, *, at_random: bool = False
) -> torch.nn.Module:
    planted = motifs.plant(_windows(count, 2), chosen, seed=2)
    labels = planted.labels
    if at_random:
        labels = labels[np.random.default_rng(0).permutation(count)]
    network = _network(arguments.network)
    recipe = finetuning.Recipe(
        learning_rate=1e-3,
        batch_size=32,
        steps=arguments.steps,
        evaluate_every=200,
        patience=4,
        positive_weight=4,
    )
    finetuning.train_network(network, planted.sequences, labels, kind="multilabel", outputs=len(CHOSEN), recipe=recipe)
    return network


def _attributed(network: torch.nn.Module, planted: Planted) -> tuple[float, list[np.ndarray]]:
    """Share of windows whose own output is the highest, and contributions to it, [base] each."""
    network.eval()
    bases = torch.from_numpy(np.stack([one_hot(text).T for text in planted.sequences])).requires_grad_(True)
    scores = network(bases, torch.ones(len(bases), bases.shape[2], dtype=torch.bool))
    own = torch.from_numpy(planted.motif)
    (gradient,) = torch.autograd.grad(scores[torch.arange(len(bases)), own].sum(), bases)
    contributions = ((gradient - gradient.mean(1, keepdim=True)) * bases).sum(1).detach().numpy()
    return float((scores.argmax(1) == own).float().mean()), list(contributions.astype(np.float64))


if __name__ == "__main__":
    main()
