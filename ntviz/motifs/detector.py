"""`Detector`: a network that is built, not trained, to recognise given motifs, so that what it sees is known."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from ntviz.motifs.matrix import Motif
from ntviz.motifs.scans import scorings


class Detector(nn.Module):
    """One-hot bases [sequence, 4, bp] and mask [sequence, bp] to scores [sequence, motif], in bits above threshold.

    The score is the sum over places of `softplus(log odds - threshold)`, on the better of both strands: a site adds what
    it has above the threshold, other places next to nothing. It is called as the networks of `finetuning` are, and here
    the right answer is known: in a site, the gradient times the input is close to the log odds of its bases, elsewhere 0.

    `p` is the chance of a random place on one strand to reach the threshold; a motif that is too short to have a match that is
    so improbable is a ValueError. `names`, `widths` (bp) and `thresholds` (bits) are those of the motifs, in order.

    Examples
    --------
    A site and its reverse complement score the same; half of a site scores nothing.

    >>> from ntviz.genome.sequence import one_hot
    >>> detector = Detector(Motif.from_sites("toy", ["GATTACA"]), p=1e-3)
    >>> bases = torch.from_numpy(np.stack([one_hot(text).T for text in ("CCGATTACAC", "GTGTAATCGG", "CCGATTCCCC")]))
    >>> scores = detector(bases, torch.ones(3, 10, dtype=torch.bool))[:, 0]
    >>> bool(scores[0] == scores[1]), bool(scores[0] > 50 * scores[2])
    (True, True)
    """

    covers: torch.Tensor
    bits: torch.Tensor

    def __init__(self, motifs: Motif | Iterable[Motif], *, p: float = 1e-4) -> None:
        super().__init__()
        scored = scorings(motifs, p, None, True)
        self.names = tuple(scoring.motif.id for scoring in scored)
        self.widths = tuple(len(scoring.motif) for scoring in scored)
        widest = max(self.widths)
        # Both strands of a motif, one behind the other. Behind the end of a motif, bases count nothing.
        filters = np.zeros((len(scored), 2, 4, widest), dtype=np.float32)
        covers = np.zeros((len(scored), 1, widest), dtype=np.float32)
        for row, scoring in enumerate(scored):
            motif = scoring.motif
            if scoring.least < 0:
                raise ValueError(
                    f"Each motif must be able to match with p of at most {p:g}; the best match of {motif.id} has "
                    f"{scoring.tail[-1]:.2g}. Raise p, or take a longer motif."
                )
            filters[row, 0, :, : len(motif)] = scoring.odds.T
            filters[row, 1, :, : len(motif)] = scoring.odds[::-1, ::-1].T
            covers[row, 0, : len(motif)] = 1
        self.thresholds = tuple(float(scoring.bits(scoring.least)) for scoring in scored)
        # Parameters, so that the network is found on its device as trained ones are; nothing trains them.
        self.filters = nn.Parameter(torch.from_numpy(filters.reshape(-1, 4, widest)), requires_grad=False)
        self.register_buffer("covers", torch.from_numpy(covers))
        self.register_buffer("bits", torch.tensor(self.thresholds, dtype=torch.float32))

    def forward(self, bases: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        widest = self.filters.shape[2]
        room = (0, widest - 1)
        # An N counts nothing in log odds; a place of which a part is beyond the mask is no place.
        strands = nn.functional.conv1d(nn.functional.pad(bases, room), self.filters.to(bases.dtype))
        odds = strands.reshape(len(bases), -1, 2, strands.shape[2]).amax(2)
        real = nn.functional.pad(mask[:, None].to(bases.dtype), room)
        covered = nn.functional.conv1d(real, self.covers.to(bases.dtype))
        whole = covered > self.covers.sum(2)[None].to(bases.dtype) - 0.5
        found = nn.functional.softplus(odds - self.bits[:, None].to(bases.dtype))
        return (found * whole).sum(2)
