"""Sequences with sites of known motifs at known places: what a method that finds motifs should find."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ntviz.genome.sequence import require, reverse_complement
from ntviz.motifs.matrix import Motif, listed

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Planted:
    """Sequences, and what is in them.

    Attributes
    ----------
    sequences
        The backgrounds, each with a site.
    sites
        One row a sequence: sequence (number from 0), motif (identifier), start and end (0-based half-open) and strand.
    labels
        int64 [sequence, motif]: 1 for the motif that was planted, in the order of the motifs.
    """

    sequences: list[str]
    sites: pd.DataFrame
    labels: np.ndarray

    def __repr__(self) -> str:
        return f"Planted({len(self.sequences):,} sequences with sites of {self.labels.shape[1]:,} motifs)"

    @property
    def motif(self) -> np.ndarray:
        """Number of the motif of each sequence, from 0: [sequence]."""
        return self.labels.argmax(axis=1)


def plant(backgrounds: Sequence[str], motifs: Motif | Iterable[Motif], *, seed: int) -> Planted:
    """Sequences with one site each, of each motif in turn, at random places and on random strands.

    Parameters
    ----------
    backgrounds
        Upper-case A, C, G, T, N. Shuffled ones hold no other sites but those of chance; real ones do.
    motifs
        A motif, or several. Sites are drawn base by base, so weak ones are among them; see `Motif.drawn`.
    seed
        Of sites, places and strands.

    Raises
    ------
    ValueError
        If there is no background or no motif, or a background is shorter than its motif.

    Examples
    --------
    >>> planted = plant(["CCCCCCCCCC"] * 2, Motif.from_sites("toy", ["GATTACA"]), seed=0)
    >>> [planted.sequences[row][start:end] for row, start, end in planted.sites[["sequence", "start", "end"]].values]
    ['TGTAATC', 'GATTACA']
    >>> planted.sites["strand"].tolist()
    ['-', '+']
    """
    import pandas as pd

    chosen = listed(motifs)
    if not chosen or not len(backgrounds):
        raise ValueError(
            f"There must be a motif and a background; received {len(chosen)} motifs and {len(backgrounds)} backgrounds."
        )
    rng = np.random.default_rng(seed)
    sequences, rows = [], []
    for number, background in enumerate(backgrounds):
        motif = chosen[number % len(chosen)]
        room = len(require(background)) - len(motif)
        if room < 0:
            raise ValueError(
                f"A background must be as long as the site in it; received {len(background):,} bp for the {len(motif):,} bp "
                f"of {motif.id}. Take longer ones."
            )
        (site,) = motif.drawn(1, seed=int(rng.integers(1 << 31)))
        strand = "+-"[int(rng.integers(2))]
        start = int(rng.integers(room + 1))
        end = start + len(motif)
        site = site if strand == "+" else reverse_complement(site)
        sequences.append(background[:start] + site + background[end:])
        rows.append((number, motif.id, start, end, strand))
    labels = np.eye(len(chosen), dtype=np.int64)[np.arange(len(sequences)) % len(chosen)]
    columns = ["sequence", "motif", "start", "end", "strand"]
    return Planted(sequences, pd.DataFrame(rows, columns=columns), labels)
