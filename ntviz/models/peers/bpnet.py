"""BPNet: dilated convolutions over single bases, trained to predict the profile and the count of an experiment. No remote code.

References
----------
Avsec et al. (2021) Nature Genetics 53:354. The layout is that of bpnet-lite and of ChromBPNet's PyTorch models (iconv, rconvs, fconv,
linear); ours is written from the paper and that layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import nn

from ntviz.models import checkpoints
from ntviz.models.model import States, float32
from ntviz.models.peers.peer import Network, Peer, limit, one_hot, read_config, refused
from ntviz.tokens import Tokenizer

MAX_TOKENS = 2114
"""Bases that are taken unless more are asked for: the input of the published models. Nothing in the network ends there."""


class Prediction(NamedTuple):
    """What BPNet says of sequences.

    `profile` holds logits, float32 [sequence, strand, position]: their softmax over all positions of a strand (or of both strands,
    as the model was trained) is where reads start. `log_counts` is the natural logarithm of one plus their number, float32
    [sequence]. `start` is the place of the first position in the sequence, in bp: the ends have too little context and are left out.
    """

    profile: np.ndarray
    log_counts: np.ndarray
    start: int


@dataclass(frozen=True, repr=False)
class BPNet(Peer):
    """A loaded BPNet; implements `models.Embedder`, with bases for tokens, and `predict`.

    Hidden states are those after the first convolution (0) and after each dilated one. There is no vocabulary to predict:
    `mask_id` and logits are refused.
    """

    module: BPNetNetwork

    without_logits: ClassVar[str] = "predicts a profile: call `predict`"
    without_mask: ClassVar[str] = (
        "it reads one-hot bases and predicts a profile. Put N where a base is to be hidden."
    )

    def predict(self, sequences: str | Sequence[str], *, controls: np.ndarray | None = None) -> Prediction:
        """Profile and counts of sequences of one length.

        Parameters
        ----------
        sequences
            Upper-case A, C, G, T, N, longer than twice what is left out at each end.
        controls
            Reads of the control experiment, [sequence, track, position], for a model that was trained with them; None means none were
            seen.
        """
        batch = [self.tokenize(text) for text in ([sequences] if isinstance(sequences, str) else sequences)]
        ids, mask = self._padded(batch)
        trimming, n = self.module.trimming, ids.shape[1]
        if not mask.all():
            raise ValueError(
                f"Sequences must have one length; received {min(map(len, batch)):,} to {n:,} bp. Pass them one by one."
            )
        if n <= 2 * trimming:
            raise ValueError(
                f"A sequence must have more than {2 * trimming:,} bp, since {trimming:,} at each end are left out; received "
                f"{n:,} bp. Take a longer interval."
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
    """The network; its parts are named as bpnet-lite names them.

    `stem` and `head` are the lengths of the first and the last convolution in bp, `strands` the profiles that are predicted,
    `controls` the control tracks that are read, `trimming` the positions left out at each end of a prediction, and `biases` say
    whether the head of the profile and that of the counts have one.
    """

    heads = 0

    def __init__(
        self, *, width: int, layers: int, stem: int, head: int, strands: int, controls: int, trimming: int,
        biases: tuple[bool, bool],
    ) -> None:  # fmt: skip
        super().__init__()
        self.width, self.layers, self.controls, self.trimming = width, layers, controls, trimming
        self.margin = head // 2
        self.iconv = nn.Conv1d(4, width, stem, padding=stem // 2)
        self.rconvs = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=2**index, dilation=2**index) for index in range(1, layers + 1)
        )
        self.fconv = nn.Conv1d(width + controls, strands, head, padding=head // 2, bias=biases[0])
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


def load(located: checkpoints.Located, *, device: str, dtype: str, max_tokens: int | None) -> BPNet:
    """BPNet from a directory with a state dict of bpnet-lite and a config.json of `{"model_type": "bpnet-lite"}`.

    bpnet-lite saves whole Python objects (.torch), which are not read, because loading them can run code. Where you trust one:
    `torch.save(torch.load("bpnet.torch", weights_only=False).state_dict(), "pytorch_model.bin")`. The shape is read from the tensors;
    `"trimming"` of config.json is what is left out at each end, by default 47 plus the dilations, as in bpnet-lite.
    """
    taken = limit(max_tokens, MAX_TOKENS)
    tensors = checkpoints.read_tensors(located.directory)
    network = partial(BPNetNetwork, **_shape(tensors, read_config(located), located))
    return BPNet.filled(
        located, tensors, Tokenizer("single-base"), network, max_tokens=taken, device=device, dtype=dtype
    )


def _shape(
    tensors: dict[str, torch.Tensor], config: dict[str, Any], located: checkpoints.Located
) -> dict[str, Any]:
    """What a network is built of, as the tensors have it."""
    for key, dimensions in (("iconv.weight", 3), ("fconv.weight", 3), ("linear.weight", 2)):
        if key not in tensors or tensors[key].ndim != dimensions:
            held = f"of shape {tuple(tensors[key].shape)}" if key in tensors else "missing"
            raise ValueError(
                f"{located.directory} must hold {key} with {dimensions} dimensions, as bpnet-lite's state dict does; it is "
                f"{held}. Save the state dict of the network itself, not of one that wraps it."
            )
    width, _, stem = tensors["iconv.weight"].shape
    strands, channels, head = tensors["fconv.weight"].shape
    if not stem % 2 or not head % 2 or channels < width:
        raise ValueError(
            f"The convolutions of {located.directory} must have odd lengths, and fconv at least {width} channels; got {stem} "
            f"and {head} bp and {channels} channels. Use a state dict of bpnet-lite."
        )
    layers = len([key for key in tensors if key.startswith("rconvs.") and key.endswith(".weight")])
    trimming = config.get("trimming", 47 + sum(2**index for index in range(1, layers + 1)))
    if not isinstance(trimming, int) or trimming < 0:
        raise refused(located, config, "trimming", "a number of bases, 0 or more")
    return {
        "width": width, "layers": layers, "stem": stem, "head": head, "strands": strands, "controls": channels - width,
        "trimming": trimming, "biases": ("fconv.bias" in tensors, "linear.bias" in tensors),
    }  # fmt: skip
