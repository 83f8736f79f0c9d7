"""Windows without motifs, and two attributions of a network on one-hot bases, written from their definitions."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch import nn

from ntviz import data
from ntviz.genome import Interval
from ntviz.genome.sequence import codes, one_hot, shuffle
from ntviz.reference import Reference

NULL_SETS = int(os.environ.get("NTVIZ_NULL_SETS", "5"))
"""Sets of windows without sites, of which 1 in 20 may have something found in it."""


def windows(count: int, length: int, seed: int) -> list[str]:
    """Windows of chromosome 20 without N, at random, with their dinucleotides in random order."""
    reference, rng = Reference(data.bundle("chr20")), np.random.default_rng(seed)
    found: list[str] = []
    while len(found) < count:
        start = int(rng.integers(100_000, 62_000_000))
        text = reference.fetch(Interval("20", start, start + length)).sequence
        if "N" not in text:
            found.append(shuffle(text, seed=seed * 10_000 + len(found)))
    return found


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
            scores = network(torch.from_numpy(np.stack(copies)), torch.ones(len(copies), len(text), dtype=torch.bool))
        values = scores[:, output].numpy().astype(np.float64)
        found.append(values[0] - values[1:].reshape(len(text), 3).mean(1))
    return found
