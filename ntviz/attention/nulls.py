"""What attention is compared with: elements shifted around their window, and shuffled bases. All drawn from names.

Seeds come from the seed of the analysis and the text of a region, so a draw is the same whatever else is analysed,
in which order and on which machine.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from ntviz import sequence as dna
from ntviz.genome import Interval

_SINGLE, _EVEN = 16, 64
BINS = 2 * (_SINGLE + _EVEN)
"""Bins of position: single tokens near the ends of a window, even ones inside."""


def seed_of(*parts: object) -> int:
    """A seed from anything that has a text."""
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def shuffled(sequence: str, interval: Interval, seed: int) -> str:
    """The bases of a window in an order with the same dinucleotides; N stay where they are."""
    return dna.shuffle(sequence, k=2, seed=seed_of("shuffle", seed, interval))


def turns(block: str, shifts: int, seed: int) -> np.ndarray:
    """How far elements are turned around their window in each shift, as shares of a full turn, float64 [shift].

    The same for all windows of a block, named by its text: where windows overlap, what they share moves together.
    """
    return np.random.default_rng(seed_of("shift", seed, block)).random(shifts)


def offsets(turns: np.ndarray, n: int, strand: str) -> np.ndarray:
    """Turns in whole bases [shift] of a window with n of them, in its direction of reading; 0 to n - 1, all alike."""
    steps = np.floor(turns * n).astype(np.int64)
    return -steps % n if strand == "-" else steps


def element_copies(
    inside: np.ndarray, spans: np.ndarray, known: np.ndarray, offsets: np.ndarray, device: torch.device | str
) -> torch.Tensor:
    """Which tokens hold a base of an element, as it is and after each shift, bool [1 + shift, element, token].

    Parameters
    ----------
    inside
        bool [element, base].
    spans
        [token, 2], bp, 0-based half-open; special tokens have an empty one and hold nothing.
    known
        bool [base], false at N. Elements turn around the known bases only, as there are none on N.
    offsets
        [shift], in known bases.
    device
        Where to compute.
    """
    spans_, known_ = torch.as_tensor(spans, device=device), torch.as_tensor(known, device=device)
    inside_, moves = torch.as_tensor(inside, device=device), torch.as_tensor(offsets, device=device)
    moves = torch.cat([moves.new_zeros(1), moves])
    circle = inside_[:, known_]
    n = circle.shape[1]
    fixed = _summed(inside_ & ~known_)
    stays = fixed[:, spans_[:, 1]] > fixed[:, spans_[:, 0]]
    if not n:
        return stays.expand(len(moves), *stays.shape)
    twice = _summed(torch.cat([circle, circle], dim=1))
    before = _summed(known_[None])[0]
    start, size = before[spans_[:, 0]], before[spans_[:, 1]] - before[spans_[:, 0]]
    # Base p holds what stood at p - offset.
    first = (start[None] - moves[:, None]) % n
    held = twice[:, first + size] > twice[:, first]
    return (held | stays[:, None]).transpose(0, 1)


def position_bins(n: int) -> np.ndarray:
    """Bin of each of n positions of a window by its distance from the nearer end, int64 [position]."""
    place = np.arange(n)
    away = np.minimum(place, n - 1 - place)
    inner = max(n / 2 - _SINGLE, _EVEN)
    even = _SINGLE + np.floor((away - _SINGLE) * (_EVEN / inner)).astype(np.int64)
    nearest = np.where(away < _SINGLE, away, even)
    return np.where(2 * place < n, nearest, BINS - 1 - nearest)


def _summed(rows: torch.Tensor) -> torch.Tensor:
    """How many are true before each place, int32 [row, place + 1]."""
    counts = torch.zeros(len(rows), rows.shape[1] + 1, dtype=torch.int32, device=rows.device)
    torch.cumsum(rows, dim=1, dtype=torch.int32, out=counts[:, 1:])
    return counts
