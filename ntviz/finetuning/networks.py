"""Networks that learn a task from nothing, on one-hot bases: BPNet in two sizes and a small convolutional network.

References
----------
Avsec et al. (2021) Nature Genetics 53:354, for BPNet. Dalla-Torre et al. (2025) train it in two sizes, 121 thousand and 28
million parameters; the widths here follow from these numbers: 64 and 1,024 channels, a convolution of 25 bp, and nine
dilated ones of 3 bp.
"""

from __future__ import annotations

import torch
from torch import nn

WIDTHS = {"bpnet": 64, "bpnet-large": 1024}
NETWORKS = (*WIDTHS, "cnn")
DILATED = 9
STEM = 25


class BPNet(nn.Module):
    """One-hot bases [sequence, 4, bp] to [sequence, outputs], or [sequence, bp, outputs] by base.

    A convolution of 25 bp, nine residual convolutions of 3 bp whose dilation doubles from 2, then a linear layer: on the mean
    over real positions, as BPNet's count head, or on each position. All keep the length; positions beyond the mask are zero
    before each convolution, so that padding changes nothing.

    Parameters
    ----------
    width
        Channels.
    outputs
        Classes, tracks or targets.
    per_base
        One answer a base.
    """

    def __init__(self, width: int, outputs: int, *, per_base: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4, width, STEM, padding="same")
        self.dilated = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding="same", dilation=2**layer) for layer in range(1, DILATED + 1)
        )
        self.head = nn.Linear(width, outputs)
        self.per_base = per_base

    def forward(self, bases: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        real = mask[:, None].to(bases.dtype)
        found = torch.relu(self.stem(bases)) * real
        for layer in self.dilated:
            found = found + torch.relu(layer(found)) * real
        if self.per_base:
            return self.head(found.transpose(1, 2))
        return self.head(found.sum(2) / real.sum(2).clamp(min=1))


class ConvolutionalNetwork(nn.Module):
    """One-hot bases [sequence, 4, bp] to [sequence, outputs], or [sequence, bp, outputs] by base.

    Three convolutions (19, 11 and 7 bp; 64 channels), then the largest value over real positions and a linear layer, or a
    linear layer on each position.
    """

    def __init__(self, outputs: int, *, per_base: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            (
                nn.Conv1d(4, 64, 19, padding="same"),
                nn.Conv1d(64, 64, 11, padding="same"),
                nn.Conv1d(64, 64, 7, padding="same"),
            )
        )
        self.head = nn.Linear(64, outputs)
        self.per_base = per_base

    def forward(self, bases: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        real = mask[:, None].to(bases.dtype)
        found = bases
        for layer in self.layers:
            found = torch.relu(layer(found)) * real
        if self.per_base:
            return self.head(found.transpose(1, 2))
        # Behind a rectifier nothing is below zero: what is masked cannot be the largest.
        return self.head(found.amax(2))


def network(name: str, *, outputs: int, per_base: bool = False) -> nn.Module:
    """A network with fresh random weights.

    Parameters
    ----------
    name
        "bpnet" (121 thousand parameters), "bpnet-large" (28 million) or "cnn" (79 thousand).
    outputs
        Classes, tracks or targets.
    per_base
        One answer a base.

    Raises
    ------
    ValueError
        Another name.
    """
    if name in WIDTHS:
        return BPNet(WIDTHS[name], outputs, per_base=per_base)
    if name == "cnn":
        return ConvolutionalNetwork(outputs, per_base=per_base)
    raise ValueError(f"A network must be one of {', '.join(NETWORKS)}; received {name!r}.")
