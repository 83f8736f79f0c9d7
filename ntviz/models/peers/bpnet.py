"""BPNet: dilated convolutions over single bases, trained to predict the profile and the count of an experiment. No remote code.

References
----------
Avsec et al. (2021) Nature Genetics 53:354. The layout is that of bpnet-lite and of ChromBPNet's PyTorch models (iconv, rconvs, fconv,
linear); ours is written from the paper and that layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import nn

from ntviz.models import checkpoints
from ntviz.models.model import States, float32
from ntviz.models.peers.peer import Network, Peer, limit, one_hot, read_config, refused
from ntviz.tokens import Tokenizer

MAX_TOKENS = 2114
"""Bases that are taken unless more are asked for: the input of the published models."""


class Prediction(NamedTuple):
    """What BPNet predicts, from the position `start` of a sequence on, in bp.

    `profile` holds logits, float32 [sequence, strand, position]: their softmax over all positions of a strand (or of both strands,
    as the model was trained) is where reads start. `log_counts` is ln(1 + their number), float32 [sequence].
    """

    profile: np.ndarray
    log_counts: np.ndarray
    start: int


@dataclass(frozen=True, repr=False)
class BPNet(Peer):
    """A loaded BPNet; implements `models.Embedder`, with bases for tokens, and `predict`.

    Hidden states are those after the first convolution (0) and after each dilated one.
    """

    module: BPNetNetwork

    without_logits: ClassVar[str] = "predicts a profile: call `predict`"
    without_mask: ClassVar[str] = "it predicts a profile. Put N where a base is to be hidden."

    def predict(self, sequences: str | Sequence[str], *, controls: np.ndarray | None = None) -> Prediction:
        """Profile and counts of sequences of one length, longer than twice what is left out at each end.

        `controls` are reads of the control experiment, [sequence, track, position], for a model that was trained with them.
        """
        batch = [self.tokenize(text) for text in ([sequences] if isinstance(sequences, str) else sequences)]
        ids, mask = self._padded(batch)
        trimming, n = self.module.trimming, ids.shape[1]
        if not mask.all():
            raise ValueError(f"Sequences must have one length; received {min(map(len, batch)):,} to {n:,} bp.")
        if n <= 2 * trimming:
            raise ValueError(
                f"A sequence must have more than {2 * trimming:,} bp, since {trimming:,} at each end are left out; received {n:,} bp."
            )
        shape = (len(batch), self.module.controls, n)
        given = np.zeros(shape) if controls is None else np.asarray(controls)
        if given.shape != shape:
            raise ValueError(
                f"controls must be [sequence, track, position] of shape {shape} for {self.name}; got {given.shape}."
            )
        one = next(self.module.parameters())
        with torch.inference_mode():
            ((_, states),) = self._passes(batch, ids, mask, (), None)
            profile, counts = self.module.predict(states.hidden[-1], torch.from_numpy(given).to(one))
        return Prediction(float32(profile), float32(counts), trimming)


class BPNetNetwork(Network):
    """The network; its parts are named as bpnet-lite names them. `trimming` positions at each end have no prediction."""

    def __init__(self, shape: dict[str, Any]) -> None:
        super().__init__(shape)
        width, stem, head, controls = (shape[key] for key in ("width", "stem", "head", "controls"))
        self.width, self.layers, self.controls, self.trimming = (width, shape["layers"], controls, shape["trimming"])
        self.margin, biases = head // 2, shape["biases"]
        self.iconv = nn.Conv1d(4, width, stem, padding=stem // 2)
        self.rconvs = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=2**index, dilation=2**index) for index in range(1, self.layers + 1)
        )
        self.fconv = nn.Conv1d(width + controls, shape["strands"], head, padding=head // 2, bias=biases[0])
        self.linear = nn.Linear(width + (controls > 0), 1, bias=biases[1])

    def states(self, ids: torch.Tensor, mask: torch.Tensor, *, attentions: bool = False) -> States:
        """Hidden states [sequence, base, width]; padding is zero before each convolution, as what lies beyond a sequence is."""
        real = mask[:, None].to(self.iconv.weight.dtype)
        x = torch.relu(self.iconv(one_hot(ids, real.dtype).transpose(1, 2))) * real  # [sequence, width, base]
        hidden = [x]
        for layer in self.rconvs:
            x = x + torch.relu(layer(x)) * real
            hidden.append(x)
        return States([x.transpose(1, 2) for x in hidden])

    def predict(self, last: torch.Tensor, controls: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the profile [sequence, strand, position] and log counts [sequence] from the last hidden states."""
        x = last.transpose(1, 2)
        start, end = self.trimming, x.shape[2] - self.trimming
        profile = self.fconv(torch.cat((x, controls), dim=1))[..., start:end]
        seen = slice(max(0, start - self.margin), end + self.margin)
        mean = x[..., seen].mean(-1)
        if self.controls:
            mean = torch.cat((mean, torch.log1p(controls[..., seen].sum((1, 2)))[:, None]), dim=1)
        return profile, self.linear(mean)[:, 0]


def load(located: checkpoints.Located, max_tokens: int | None) -> BPNet:
    """BPNet from a directory with a state dict of bpnet-lite and a config.json of `{"model_type": "bpnet-lite"}`.

    bpnet-lite saves whole Python objects (.torch), which are not read, because loading them can run code. Where you trust one:
    `torch.save(torch.load("bpnet.torch", weights_only=False).state_dict(), "pytorch_model.bin")`. The shape is read from the tensors;
    `"trimming"` of config.json is what is left out at each end, by default 47 plus the dilations, as in bpnet-lite.
    """
    taken = limit(max_tokens, MAX_TOKENS)
    config, tensors = read_config(located), checkpoints.read_tensors(located.directory)
    for key, dimensions in (("iconv.weight", 3), ("fconv.weight", 3), ("linear.weight", 2)):
        if key not in tensors or tensors[key].ndim != dimensions:
            held = f"of shape {tuple(tensors[key].shape)}" if key in tensors else "missing"
            raise ValueError(
                f"{located.directory} must hold {key} with {dimensions} dimensions, as bpnet-lite's state dict does; it is {held}."
            )
    width, _, stem = tensors["iconv.weight"].shape
    strands, channels, head = tensors["fconv.weight"].shape
    if not stem % 2 or not head % 2 or channels < width:
        raise ValueError(
            f"The convolutions of {located.directory} must have odd lengths, and fconv at least {width} channels; got {stem} "
            f"and {head} bp and {channels} channels."
        )
    layers = len([key for key in tensors if key.startswith("rconvs.") and key.endswith(".weight")])
    trimming = config.get("trimming", 47 + sum(2**index for index in range(1, layers + 1)))
    if not isinstance(trimming, int) or trimming < 0:
        raise refused(located, config, "trimming", "a number of bases, 0 or more")
    shape = {
        "width": width, "layers": layers, "stem": stem, "head": head, "strands": strands, "controls": channels - width,
        "trimming": trimming, "biases": ("fconv.bias" in tensors, "linear.bias" in tensors),
    }  # fmt: skip
    return BPNet.filled(located, BPNetNetwork, shape, tensors, Tokenizer("single-base"), taken)
