"""Sequences with planted sites, and two attributions of a network on one-hot bases, written from their definitions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ntviz.motifs import Motif
from ntviz.sequence import BASES, codes, one_hot, reverse_complement


@dataclass(frozen=True)
class Planted:
    """Sequences, and rows [sequence, motif, start, end, strand] of what was planted, 0-based half-open."""

    sequences: list[str]
    motif: np.ndarray
    start: np.ndarray
    end: np.ndarray
    strand: list[str]


def sampled(motif: Motif, rng: np.random.Generator) -> str:
    """A site drawn from the motif, base by base."""
    return "".join(BASES[rng.choice(4, p=row)] for row in motif.probabilities)


def plant(backgrounds: list[str], motifs: list[Motif], seed: int) -> Planted:
    """One site a sequence, of each motif in turn, at random places and strands."""
    rng = np.random.default_rng(seed)
    sequences, which, starts, ends, strands = [], [], [], [], []
    for row, background in enumerate(backgrounds):
        motif = motifs[row % len(motifs)]
        site, strand = sampled(motif, rng), "+-"[int(rng.integers(2))]
        if strand == "-":
            site = reverse_complement(site)
        start = int(rng.integers(len(background) - len(site) + 1))
        sequences.append(background[:start] + site + background[start + len(site) :])
        which.append(row % len(motifs))
        starts.append(start)
        ends.append(start + len(site))
        strands.append(strand)
    return Planted(sequences, np.array(which), np.array(starts), np.array(ends), strands)


def encoded(sequences: list[str]) -> torch.Tensor:
    """[sequence, 4, base] of sequences of one length."""
    return torch.from_numpy(np.stack([one_hot(text).T for text in sequences]))


def gradient_times_input(network: nn.Module, sequences: list[str], outputs: np.ndarray) -> list[np.ndarray]:
    """Gradient of one output of each sequence, times its one-hot bases: [base] each."""
    bases = encoded(sequences).requires_grad_(True)
    scores = network(bases, torch.ones(len(sequences), bases.shape[2], dtype=torch.bool))
    chosen = scores[torch.arange(len(sequences)), torch.from_numpy(np.asarray(outputs))]
    (gradient,) = torch.autograd.grad(chosen.sum(), bases)
    return list((gradient * bases).sum(1).detach().numpy().astype(np.float64))


def mutagenesis(network: nn.Module, sequences: list[str], outputs: np.ndarray) -> list[np.ndarray]:
    """What is lost, on the mean of the three other bases, when a base is exchanged: [base] each."""
    found = []
    for text, output in zip(sequences, outputs, strict=True):
        own = one_hot(text).T
        copies = [own]
        for place, base in enumerate(codes(text)):
            for other in set(range(4)) - {int(base)}:
                changed = own.copy()
                changed[:, place] = 0
                changed[other, place] = 1
                copies.append(changed)
        with torch.no_grad():
            scores = network(
                torch.from_numpy(np.stack(copies)), torch.ones(len(copies), len(text), dtype=torch.bool)
            )
        values = scores[:, output].numpy().astype(np.float64)
        found.append(values[0] - values[1:].reshape(len(text), 3).mean(1))
    return found
