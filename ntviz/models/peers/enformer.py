"""Enformer: convolutions and attention over bins of 128 bp, trained to predict tracks of experiments. No remote code.

References
----------
Avsec et al. (2021) Nature Methods 18:1196-1203. The weights are DeepMind's as EleutherAI/enformer-official-rough publishes
them, in the layout of enformer-pytorch; ours is written from the paper and that layout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from ntviz.models import checkpoints, pooling
from ntviz.models.peers.enformer_layers import Attention, AttentionPool, EnformerNetwork
from ntviz.models.peers.peer import Peer, States, config_of, unfilled
from ntviz.models.protocol import Forward
from ntviz.models.requests import check_layers, check_outputs, float32
from ntviz.sequence import one_hot
from ntviz.tokens import Tokens
from ntviz.tokens.bins import BinTokenizer

MAX_BINS = 1536
"""Bins of the input in training: 196,608 bp as published."""

_NUMBERS = ("dim", "depth", "heads", "attn_dim_key", "num_downsamples", "dim_divisible_by")
# The published file may hold each tensor of the trunk twice: by its part's name, and by the part's place in the trunk.
_TRUNK = {"1": "stem", "2": "conv_tower", "4": "transformer", "6": "final_pointwise"}


@dataclass(frozen=True, repr=False)
class Enformer(Peer):
    """A loaded Enformer; implements `models.Embedder`, with bins for tokens, and `tracks`.

    A sequence is filled up with N on its right end to whole bins, each to its own length, so that nothing depends on its
    neighbours in a batch; beyond its ends the convolutions see zeros, as in training. Hidden states are those after
    the tower of convolutions (0) and after each block (1 to `layers`); no LayerNorm follows the last.

    The model was trained at 196,608 bp. It takes less, but what it is told of distances is scaled to the length of the input, so
    that short inputs are far from what it knows: for its predictions pass the whole length, N where the genome ends.

    There is no vocabulary of bases or words: `mask_id` and logits are refused.
    """

    module: EnformerNetwork

    without_mask: ClassVar[str] = (
        "A masked token needs a vocabulary; {name} reads bases in bins and has no mask token. "
        "Put N where a base is to be hidden."
    )

    def __repr__(self) -> str:
        size = sum(p.numel() for p in self.module.parameters()) / 1e6
        return (
            f"{self.name}: {self.layers} layers, {self.heads} heads, width {self.hidden_size}, {size:.1f} M parameters, "
            f"up to {self.max_bp:,} bp in bins of {self.module.bin} bp"
        )

    def forward(
        self,
        batch: Tokens | Sequence[Tokens],
        *,
        outputs: Sequence[str] = ("logits",),
        at: np.ndarray | None = None,
        layers: Sequence[int] | None = None,
    ) -> Forward:
        """Hidden states or attentions of the bins, as float32 arrays, zero at padding; see `models.Forward` for their axes.

        Raises
        ------
        ValueError
            An unknown output, logits or `at`, which only they need, or a layer that is not there.
        """
        check_outputs(outputs)
        if "logits" in outputs or at is not None:
            raise ValueError(
                f"Logits need a vocabulary; {self.name} has none, it predicts tracks. "
                "Ask for hidden_states or attentions, or call `tracks`."
            )
        chosen = range(self.layers + 1) if layers is None else layers
        check_layers(chosen, self.layers, self.name)
        ids, mask = self._padded(batch)
        n = ids.shape[1]
        hidden = maps = None
        if "hidden_states" in outputs:
            hidden = np.zeros((len(ids), len(chosen), n, self.hidden_size), dtype=np.float32)
        if "attentions" in outputs:
            maps = np.zeros((len(ids), self.layers, self.heads, n, n), dtype=np.float32)
        with torch.inference_mode():
            for rows, states in self._read(batch, attentions=maps is not None):
                bins = states.hidden[0].shape[1]
                for column, layer in enumerate(chosen if hidden is not None else ()):
                    hidden[rows, column, :bins] = float32(states.hidden[layer])
                for layer, attention in enumerate(states.attentions or ()):
                    maps[rows, layer, :, :bins, :bins] = float32(attention)
        return Forward(ids, mask, hidden_states=hidden, attentions=maps)

    def embed(
        self, batch: Sequence[Tokens], *, layers: Sequence[int], poolings: Sequence[str] = ("mean",)
    ) -> np.ndarray:
        """One vector a sequence, layer and pooling, float32 [sequence, layer, pooling, hidden].

        "mean" and "max" go over bins; the last one counts whole where the sequence ends within it. There is no "cls".

        Raises
        ------
        ValueError
            A layer or pooling that the model does not have.
        """
        check_layers(layers, self.layers, self.name)
        batch = list(batch)
        self._padded(batch)
        found = np.zeros((len(batch), len(layers), len(poolings), self.hidden_size), dtype=np.float32)
        with torch.inference_mode():
            for rows, states in self._read(batch):
                covering = torch.ones(
                    states.hidden[0].shape[:2], dtype=torch.bool, device=states.hidden[0].device
                )
                for column, layer in enumerate(layers):
                    found[rows, column] = pooling.pool(
                        states.hidden[layer], covering, poolings, cls=False, name=self.name
                    )
        return found

    def tracks(
        self, sequences: str | Sequence[str], head: str = "human", *, crop: int | None = None
    ) -> np.ndarray:
        """What is predicted of each experiment, float32 [sequence, bin, track], zero or more: reads or CAGE tags in a bin.

        Parameters
        ----------
        sequences
            Upper-case A, C, G, T, N; of the same number of bins, unless they are cropped.
        head
            "human" or "mouse", as the checkpoint names them.
        crop
            Bins to keep in the middle, None for all. Training compared the middle 896 of 1,536 bins only: the outer
            320 on each side have too little context to be trusted.

        Raises
        ------
        ValueError
            An unknown head, more bins to keep than there are, or sequences of unlike length without a crop.
        """
        known = self.module.tracks
        if head not in known:
            raise ValueError(f"head must be one of {', '.join(known)} for {self.name}; got {head!r}.")
        batch = [self.tokenize(text) for text in ([sequences] if isinstance(sequences, str) else sequences)]
        self._padded(batch)
        fewest, most = min(map(len, batch)), max(map(len, batch))
        if crop is None and fewest != most:
            raise ValueError(
                f"Sequences must have the same number of bins; received {fewest:,} to {most:,}. "
                "Pass them one by one, or crop."
            )
        kept = most if crop is None else crop
        if not 1 <= kept <= fewest:
            raise ValueError(f"crop must be 1 to {fewest:,} bins; got {kept:,}. Pass None to keep all.")
        found = np.zeros((len(batch), kept, known[head]), dtype=np.float32)
        with torch.inference_mode():
            for rows, states in self._read(batch):
                last = states.hidden[-1]
                start = (last.shape[1] - kept) // 2
                found[rows] = float32(self.module.predict(last[:, start : start + kept], head))
        return found

    def _read(
        self, batch: Tokens | Sequence[Tokens], *, attentions: bool = False
    ) -> Iterator[tuple[list[int], States]]:
        """Places in the batch of the sequences of one length in bins, and their states; one length after the other."""
        sequences = [tokens.sequence for tokens in ([batch] if isinstance(batch, Tokens) else batch)]
        width, one = self.module.bin, next(self.module.parameters())
        lengths = np.array([-(-len(sequence) // width) for sequence in sequences])
        for bins in np.unique(lengths).tolist():
            rows = np.flatnonzero(lengths == bins).tolist()
            bases = np.stack([one_hot(sequences[row].ljust(bins * width, "N")) for row in rows])
            yield rows, self.module.read(torch.from_numpy(bases).to(one), attentions=attentions)


def fits(config: dict[str, Any]) -> bool:
    """Whether a config.json is of this family, as enformer-pytorch writes it.

    >>> fits({"model_type": "enformer", "num_downsamples": 7}), fits({"model_type": "esm"})
    (True, False)
    """
    return config.get("model_type") == "enformer" and "num_downsamples" in config


def build(config: dict[str, Any]) -> EnformerNetwork:
    """A network of the shape of a config.json with fresh random weights.

    As in enformer-pytorch: attention adds nothing at first, as its last linear map is zero; pooling weighs neighbours by twice
    their values; biases of scores are standard normal; the rest as torch makes it.
    """
    made = EnformerNetwork(config)
    for module in made.modules():
        if isinstance(module, Attention):
            nn.init.zeros_(module.to_out.weight)
            nn.init.zeros_(module.to_out.bias)
            nn.init.normal_(module.rel_content_bias)
            nn.init.normal_(module.rel_pos_bias)
        elif isinstance(module, AttentionPool):
            nn.init.dirac_(module.to_attn_logits.weight)
            module.to_attn_logits.weight.data *= 2
    return made


def load(
    located: checkpoints.Located,
    *,
    device: str = "auto",
    dtype: str = "float32",
    max_tokens: int | None = None,
) -> Enformer:
    """Enformer from a directory as published: config.json and the weights.

    `max_tokens` counts bins; None is 1,536, which are 196,608 bp. Longer inputs are taken where it is raised.

    A config.json without `use_tf_gamma`, as that of enformer-official-rough, means DeepMind's weights; checkpoints trained by
    enformer-pytorch itself need it to be false (see `enformer_layers.relative_features`).

    Raises
    ------
    ValueError
        The configuration or a tensor is not this architecture's, or dtype or max_tokens are not possible.
    FileNotFoundError
        A file is missing.
    """
    directory = located.directory
    limit = MAX_BINS if max_tokens is None else max_tokens
    if limit < 1:
        raise ValueError(f"max_tokens must be at least one bin; got {limit}. The default is {MAX_BINS:,}.")
    config = _read_config(directory)
    module = unfilled(partial(EnformerNetwork, config))
    tensors = _renamed(checkpoints.read_tensors(directory), module, directory)
    model = Enformer.filled(
        located, module, tensors, BinTokenizer(module.bin), partial(build, config),
        max_tokens=limit, max_bp=limit * module.bin, device=device, dtype=dtype,
    )  # fmt: skip
    model.info["tracks"] = dict(module.tracks)
    return model


def _read_config(directory: Path) -> dict[str, Any]:
    """The config.json of a checkpoint, once it is known to be of this architecture."""
    path = directory / "config.json"
    config = config_of(directory, fits, "model_type 'enformer' and num_downsamples")

    def refuse(key: str, wanted: str) -> None:
        raise ValueError(
            f"{key} in {path} must be {wanted}; got {config.get(key)!r}. "
            "Use a checkpoint of the published architecture."
        )

    for key in _NUMBERS:
        if not isinstance(config.get(key), int) or config[key] < 1:
            refuse(key, "a positive integer")
    heads = config.get("output_heads")
    if not isinstance(heads, dict) or not all(
        head.isidentifier() and isinstance(count, int) and count > 0 for head, count in heads.items()
    ):
        refuse("output_heads", "a dict from names to numbers of tracks")
    if config["num_downsamples"] < 3:
        refuse("num_downsamples", "at least 3")
    if config["dim"] % (6 * config["heads"]) or config["dim"] % (2 * config["dim_divisible_by"]):
        refuse(
            "dim",
            f"a multiple of 6 x heads ({6 * config['heads']}) and of 2 x dim_divisible_by "
            f"({2 * config['dim_divisible_by']})",
        )
    if config.get("use_convnext", False):
        refuse("use_convnext", "false")
    if "use_convnext" in config and "use_tf_gamma" not in config:
        # The others of the hub's Enformers have the one key and not the other, and were not DeepMind's.
        refuse("use_tf_gamma", "given beside use_convnext: false, unless the weights are DeepMind's")
    return config


def _renamed(
    tensors: dict[str, torch.Tensor], module: EnformerNetwork, directory: Path
) -> dict[str, torch.Tensor]:
    """The tensors by the names of the module, each once."""
    found = {name: value for name, value in tensors.items() if not name.startswith("_trunk.")}
    for name in tensors.keys() - found.keys():
        place, _, rest = name.removeprefix("_trunk.").partition(".")
        own = f"{_TRUNK.get(place, '_trunk.' + place)}.{rest}"
        if own in found and not torch.equal(found[own], tensors[name]):
            raise ValueError(
                f"{name} of {directory} must equal {own}, since they are one tensor; they differ. "
                "Download the checkpoint again."
            )
        found[own] = tensors[name]
    # Counters of training steps, which nothing reads: older files lack them.
    for name, value in module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            found.setdefault(name, torch.zeros_like(value))
    return found
