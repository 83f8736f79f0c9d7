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
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import nn

from ntviz.models import checkpoints
from ntviz.models.peers.peer import Network, Peer, States, base_vectors, config_of
from ntviz.models.requests import float32
from ntviz.tokens import Tokenizer

MAX_TOKENS = 2114
"""Bases that are taken unless more are asked for: the input of the published models. Nothing in the network ends there."""

MODEL_TYPE = "bpnet-lite"
_DIMENSIONS = {"iconv.weight": 3, "fconv.weight": 3, "linear.weight": 2}


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

    without_mask: ClassVar[str] = (
        "A masked base needs a language model; {name} reads one-hot bases and predicts a profile. "
        "Put N where a base is to be hidden."
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

        Raises
        ------
        ValueError
            Sequences of unlike length or too short ones, or controls of another shape.
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
            last = self.module.states(
                torch.from_numpy(ids).to(one.device), torch.from_numpy(mask).to(one.device)
            ).hidden[-1]
            profile, counts = self.module.predict(last, torch.from_numpy(given).to(one))
        return Prediction(float32(profile), float32(counts), trimming)


class BPNetNetwork(Network):
    """The network. Parts are named as bpnet-lite names them.

    Parameters
    ----------
    width
        Channels.
    layers
        Dilated convolutions; the dilation doubles from 2.
    stem, head
        Lengths of the first and the last convolution in bp.
    strands
        Profiles that are predicted.
    controls
        Control tracks that are read, 0 for none.
    trimming
        Positions left out at each end of a prediction.
    biases
        Whether the head of the profile and that of the counts have a bias.
    """

    heads = 0

    def __init__(
        self,
        *,
        width: int,
        layers: int,
        stem: int,
        head: int,
        strands: int,
        controls: int,
        trimming: int,
        biases: tuple[bool, bool],
    ) -> None:
        super().__init__()
        self.width, self.layers, self.controls, self.trimming = width, layers, controls, trimming
        self.margin = head // 2
        self.iconv = nn.Conv1d(4, width, stem, padding=stem // 2)
        self.rconvs = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=2**index, dilation=2**index) for index in range(1, layers + 1)
        )
        self.fconv = nn.Conv1d(width + controls, strands, head, padding=head // 2, bias=biases[0])
        self.linear = nn.Linear(width + (controls > 0), 1, bias=biases[1])
        self.register_buffer("bases", base_vectors(), persistent=False)

    def states(self, ids: torch.Tensor, mask: torch.Tensor, *, attentions: bool = False) -> States:
        """Hidden states [sequence, base, width]; padding is zero before each convolution, as what lies beyond a sequence is."""
        real = mask[:, None].to(self.iconv.weight.dtype)
        bases = self.get_buffer("bases").to(real.dtype)[ids].transpose(1, 2)
        x = torch.relu(self.iconv(bases * real)) * real
        hidden = [x]
        for layer in self.rconvs:
            x = x + torch.relu(layer(x)) * real
            hidden.append(x)
        return States([x.transpose(1, 2) for x in hidden])

    def logits(self, last: torch.Tensor) -> torch.Tensor:
        """Raises a ValueError: there is no vocabulary."""
        raise ValueError(
            "Logits need a vocabulary; BPNet has none, it predicts a profile. Ask for hidden_states, or call `predict`."
        )

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


def fits(config: dict[str, Any]) -> bool:
    """Whether a config.json is of this family; bpnet-lite writes none, so it is written beside the weights by hand.

    >>> fits({"model_type": "bpnet-lite"}), fits({"model_type": "bpnet"})
    (True, False)
    """
    return config.get("model_type") == MODEL_TYPE


def load(
    located: checkpoints.Located,
    *,
    device: str = "auto",
    dtype: str = "float32",
    max_tokens: int | None = None,
) -> BPNet:
    """BPNet from a directory with a state dict of bpnet-lite and a config.json of `{"model_type": "bpnet-lite"}`.

    bpnet-lite saves whole Python objects (.torch), which are not read, because loading them can run code. Where you trust one:
    `torch.save(torch.load("bpnet.torch", weights_only=False).state_dict(), "pytorch_model.bin")`. The shape is read from the tensors;
    `"trimming"` of config.json is what is left out at each end, by default 47 plus the dilations, as in bpnet-lite.

    `max_tokens` of None is 2,114 bp; more is taken where it is raised.

    Raises
    ------
    ValueError
        A tensor is not this architecture's, or dtype or max_tokens are not possible.
    FileNotFoundError
        A file is missing.
    """
    directory = located.directory
    limit = MAX_TOKENS if max_tokens is None else max_tokens
    if limit < 1:
        raise ValueError(f"max_tokens must be at least one base; got {limit}. The default is {MAX_TOKENS:,}.")
    config = config_of(directory, fits, f"model_type {MODEL_TYPE!r}")
    tensors = checkpoints.read_tensors(directory)
    build = partial(BPNetNetwork, **_shape(tensors, config, directory))
    return BPNet.filled(
        located, build(), tensors, Tokenizer("single-base"), build, max_tokens=limit, max_bp=limit, device=device, dtype=dtype
    )  # fmt: skip


def _shape(tensors: dict[str, torch.Tensor], config: dict[str, Any], directory: Path) -> dict[str, Any]:
    """What a network is built of, as the tensors have it."""
    for key, dimensions in _DIMENSIONS.items():
        if key not in tensors or tensors[key].ndim != dimensions:
            held = f"of shape {tuple(tensors[key].shape)}" if key in tensors else "missing"
            raise ValueError(
                f"{directory} must hold {key} with {dimensions} dimensions, as bpnet-lite's state dict does; it is {held}. "
                "Save the state dict of the network itself, not of one that wraps it."
            )
    width, stem = tensors["iconv.weight"].shape[0], tensors["iconv.weight"].shape[2]
    strands, channels, head = tensors["fconv.weight"].shape
    layers = len([key for key in tensors if key.startswith("rconvs.") and key.endswith(".weight")])
    trimming = config.get("trimming", 47 + sum(2**index for index in range(1, layers + 1)))
    if not isinstance(trimming, int) or trimming < 0:
        raise ValueError(
            f"trimming in {directory / 'config.json'} must be a number of bases, 0 or more; got {trimming!r}."
        )
    if not stem % 2 or not head % 2 or channels < width:
        raise ValueError(
            f"The convolutions of {directory} must have odd lengths, and fconv at least {width} channels; got {stem} and "
            f"{head} bp and {channels} channels. Use a state dict of bpnet-lite."
        )
    return {
        "width": width,
        "layers": layers,
        "stem": stem,
        "head": head,
        "strands": strands,
        "controls": channels - width,
        "trimming": trimming,
        "biases": ("fconv.bias" in tensors, "linear.bias" in tensors),
    }
