"""Masked language modelling: which tokens are hidden, and by what they are replaced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ntviz.tokens import Vocabulary


@dataclass(frozen=True)
class Masked:
    """Inputs [sequence, token] with hidden tokens, which of them are to be predicted, and targets [selected], their original ids."""

    input_ids: np.ndarray
    selected: np.ndarray
    targets: np.ndarray


def mask(
    input_ids: np.ndarray, vocabulary: Vocabulary, *, rng: np.random.Generator, rate: float = 0.15, random_replacement: bool = True
) -> Masked:  # fmt: skip
    """Selects tokens at random: 80 % become `<mask>`, 10 % another k-mer, 10 % stay.

    `rate` is the share of tokens with letters A, C, G, T that is selected, between 0 and 1; `<cls>`, padding and N never are. Without
    `random_replacement` the random tenth becomes `<mask>`: among individual genomes a wrong k-mer would look like a variant.

    References
    ----------
    Devlin et al. 2019, BERT; Dalla-Torre et al., Nature Methods 2025. A replacement k-mer differs from the original.
    """
    if not 0 < rate < 1:
        raise ValueError(f"rate must lie between 0 and 1; got {rate}. The paper uses 0.15.")
    selected = predictable(vocabulary)[input_ids] & (rng.random(input_ids.shape) < rate)
    targets = input_ids[selected]
    draw = rng.random(len(targets))
    kmers = range(vocabulary.n_ids)[vocabulary.kmer_ids]
    # A draw from all but one, shifted past the original, is uniform over the others.
    other = kmers[0] + rng.integers(0, len(kmers) - 1, len(targets))
    other += (other >= targets) & (targets <= kmers[-1])
    hidden = 0.8 if random_replacement else 0.9
    masked = input_ids.copy()
    masked[selected] = np.where(draw < hidden, vocabulary.mask_id, np.where(draw < 0.9, other, targets))
    return Masked(masked, selected, targets)


def predictable(vocabulary: Vocabulary) -> np.ndarray:
    """Whether each id [id] may be hidden: k-mers and the single letters A, C, G, T."""
    allowed = np.zeros(vocabulary.n_ids, bool)
    allowed[vocabulary.kmer_ids] = allowed[vocabulary.single_ids] = True
    return allowed
