"""Enformer: convolutions and attention over bins of 128 bp, trained to predict tracks of experiments. No remote code.

References
----------
Avsec et al. (2021) Nature Methods 18:1196-1203. The weights are DeepMind's as EleutherAI/enformer-official-rough publishes
them, in the layout of enformer-pytorch; ours is written from the paper and that layout.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from torch import nn
from transformers.activations import QuickGELUActivation

from ntviz.genome.sequence import one_hot
from ntviz.models import checkpoints
from ntviz.models.model import States, float32
from ntviz.models.peers import peer
from ntviz.models.peers.peer import Network, Peer, once, refused
from ntviz.tokens import Tokens
from ntviz.tokens.tokenizer import BinTokenizer

MAX_BINS = 1536
"""Bins of the input in training: 196,608 bp as published."""

_NUMBERS = ("dim", "depth", "heads", "attn_dim_key", "num_downsamples", "dim_divisible_by")
# The published file may hold each tensor of the trunk twice: by its part's name, and by the part's place in the trunk.
_TRUNK = {"1": "stem", "2": "conv_tower", "4": "transformer", "6": "final_pointwise"}


@dataclass(frozen=True, repr=False)
class Enformer(Peer):
    """A loaded Enformer; implements `models.Embedder`, with bins for tokens, and `tracks`.

    Each sequence is filled up with N on its right end to whole bins; beyond its ends the convolutions see zeros, as in training.
    Hidden states are those after the tower of convolutions (0) and after each block (1 to `layers`), zero at padding; no LayerNorm
    follows the last. Distances are scaled to the length of the input, and the model was trained at 196,608 bp: for its predictions
    pass the whole length, N where the genome ends.
    """

    module: EnformerNetwork

    without_logits: ClassVar[str] = "predicts tracks: call `tracks`"
    without_mask: ClassVar[str] = "it reads bases in bins. Put N where a base is to be hidden."

    def tracks(self, sequences: str | Sequence[str], head: str = "human", *, crop: int | None = None) -> np.ndarray:
        """What is predicted of each experiment, float32 [sequence, bin, track], zero or more: reads or CAGE tags in a bin.

        Parameters
        ----------
        head
            "human" or "mouse", as the checkpoint names them.
        crop
            Bins to keep in the middle, None for all, of sequences of one length. Training compared the middle 896 of 1,536 bins
            only: the outer 320 on each side have too little context to be trusted.
        """
        known = self.module.tracks
        if head not in known:
            raise ValueError(f"head must be one of {', '.join(known)} for {self.name}; got {head!r}.")
        batch = [self.tokenize(text) for text in ([sequences] if isinstance(sequences, str) else sequences)]
        ids, mask = self._padded(batch)
        fewest, most = min(map(len, batch)), max(map(len, batch))
        if crop is None and fewest != most:
            raise ValueError(
                f"Sequences must have the same number of bins, or be cropped; received {fewest:,} to {most:,}."
            )
        kept = most if crop is None else crop
        if not 1 <= kept <= fewest:
            raise ValueError(f"crop must be 1 to {fewest:,} bins; got {kept:,}.")
        tracks = np.zeros((len(batch), kept, known[head]), dtype=np.float32)
        with torch.inference_mode():
            for rows, states in self._passes(batch, ids, mask, (), None):
                last = states.hidden[-1]
                start = (last.shape[1] - kept) // 2
                tracks[rows] = float32(self.module.predict(last[:, start : start + kept], head))
        return tracks

    def _passes(
        self, batch: Any, ids: np.ndarray, mask: np.ndarray, outputs: Sequence[str], at: np.ndarray | None
    ) -> Iterator[tuple[Any, States]]:
        """The sequences of one length in bins after those of another: a bin's id does not say its bases."""
        if isinstance(batch, np.ndarray):
            raise ValueError(f"{self.name} takes Tokens; got an array.")
        sequences = [tokens.sequence for tokens in ([batch] if isinstance(batch, Tokens) else batch)]
        width, one = self.module.bin, next(self.module.parameters())
        lengths = mask.sum(axis=1)
        for bins in np.unique(lengths).tolist():
            rows = np.flatnonzero(lengths == bins).tolist()
            bases = np.stack([one_hot(sequences[row].ljust(bins * width, "N")) for row in rows])
            yield rows, self.module.read(torch.from_numpy(bases).to(one), attentions="attentions" in outputs)


def relative_features(n: int, width: int, *, gamma_over: str) -> torch.Tensor:
    """Functions of each distance, float32 [distance, width]; distances are key minus query, 1 - n to n - 1, in bins.

    Three families of width / 6 functions of the absolute distance, then the same times the sign of the distance:
    exponential decay with half-lives from 8 to n; whether the distance is below 2^i - 1, for i from 1; gamma densities
    with means from 6 n / width to n and one standard deviation. Densities are divided by their largest over "positions", as in the
    original, or over "features" (`gamma_over`). See Avsec et al. (2021), Supplementary Methods; the original computes them in single
    precision, which moves them by up to 0.0025 at 1,536 bins.

    >>> relative_features(3, 6, gamma_over="positions")[:, 1].tolist()
    [0.0, 0.0, 1.0, 0.0, 0.0]
    >>> relative_features(3, 6, gamma_over="positions")[:, 3].double().round(decimals=3).tolist()
    [-0.841, -0.917, 0.0, 0.917, 0.841]
    """
    count = width // 6
    # The logarithms are differences of numbers in the ten thousands, which single precision rounds by a thousandth.
    distance = torch.arange(1 - n, n, dtype=torch.float64)[:, None]
    far = distance.abs()
    half_lives = 2.0 ** torch.linspace(3, math.log2(n), count, dtype=torch.float64)
    exponential = 2.0 ** (-far / half_lives)
    central = (2.0 ** torch.arange(1, count + 1) - 1 > far).to(torch.float64)
    mean = torch.linspace(n / count, n, count, dtype=torch.float64)
    deviation = n / (2 * count)
    shape, rate = (mean / deviation) ** 2, mean / deviation**2
    log_density = torch.xlogy(shape - 1, far) - rate * far + torch.xlogy(shape, rate) - torch.lgamma(shape)
    density = log_density.exp() + 1e-8
    gamma = density / density.amax(0 if gamma_over == "positions" else 1, keepdim=True)
    features = torch.cat((exponential, central, gamma), dim=1)
    return torch.cat((features, features * distance.sign()), dim=1).to(torch.float32)


class AttentionPool(nn.Module):
    """Halves a sequence: of two neighbours each channel takes a mean with learned weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_attn_logits = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pairs = x.unflatten(-1, (-1, 2))  # [sequence, channel, pair, 2]
        return (pairs * self.to_attn_logits(pairs).softmax(-1)).sum(-1)


class Residual(nn.Module):
    """What a part makes of x, added to x."""

    def __init__(self, part: nn.Sequential) -> None:
        super().__init__()
        self.fn = part

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.fn(x)


def convolution(width: int, out: int, kernel: int) -> nn.Sequential:
    """Normalisation, activation and a convolution that keeps the length."""
    return nn.Sequential(peer.BatchNorm(width), QuickGELUActivation(), nn.Conv1d(width, out, kernel, padding="same"))


class Attention(nn.Module):
    """Attention whose scores are a product of query and key plus one of query and distance, each with its bias."""

    def __init__(self, width: int, *, heads: int, key: int, value: int, features: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, heads * key, bias=False)
        self.to_k = nn.Linear(width, heads * key, bias=False)
        self.to_v = nn.Linear(width, heads * value, bias=False)
        self.to_out = nn.Linear(heads * value, width)
        self.to_rel_k = nn.Linear(features, heads * key, bias=False)
        self.rel_content_bias = nn.Parameter(torch.empty(1, heads, 1, key))
        self.rel_pos_bias = nn.Parameter(torch.empty(1, heads, 1, key))

    def forward(self, x: torch.Tensor, features: torch.Tensor, maps: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What is added to x [sequence, bin, width], and attention [sequence, head, query, key] where asked for."""
        n = x.shape[1]
        projections = self.to_q, self.to_k, self.to_v
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in projections)
        q = q / math.sqrt(q.shape[-1])
        r = self.to_rel_k(features).unflatten(-1, (self.heads, -1)).transpose(0, 1)
        by_distance = (q + self.rel_pos_bias) @ r.transpose(-1, -2)  # [sequence, head, query, distance]
        place = torch.arange(n, device=x.device)
        # Distance 1 - n comes first, so that n - 1 is the place of distance 0.
        index = place - place[:, None] + n - 1
        bias = by_distance.gather(-1, index.expand(*by_distance.shape[:2], n, n))
        mixed, attention = peer.attend(q + self.rel_content_bias, k, v, bias, 1.0, maps)
        return self.to_out(mixed.transpose(1, 2).flatten(2)), attention


class Block(nn.ModuleList):
    """Attention and a feed-forward part, each behind its LayerNorm and added to what came."""

    def __init__(self, width: int, *, heads: int, key: int) -> None:
        attention = Attention(width, heads=heads, key=key, value=width // heads, features=width // heads)
        # Identities stand where dropout stood in training: parts are named by their place.
        feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Identity(), nn.ReLU(), nn.Linear(2 * width, width)
        )
        super().__init__((Residual(nn.Sequential(nn.LayerNorm(width), attention)), Residual(feed_forward)))

    def forward(self, x: torch.Tensor, features: torch.Tensor, maps: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        norm, attention = cast(Any, self[0]).fn
        mixed, seen = attention(norm(x), features, maps)
        return self[1](x + mixed), seen


class EnformerNetwork(Network):
    """The network with its heads; it reads one-hot bases, so that `read` takes the place of `states`."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        width, halvings = config["dim"], config["num_downsamples"]
        self.width, self.layers, self.heads = width, config["depth"], config["heads"]
        self.bin, self.tracks = 2**halvings, dict(config["output_heads"])
        # The published configuration has no such key, and its weights were made with densities scaled over positions.
        self.gamma_over = "positions" if config.get("use_tf_gamma", True) else "features"
        stem = width // 2
        self.stem = nn.Sequential(
            nn.Conv1d(4, stem, 15, padding="same"), Residual(convolution(stem, stem, 1)), AttentionPool(stem)
        )
        widths = tower_widths(width, halvings, config["dim_divisible_by"])
        self.conv_tower = nn.Sequential(
            *(
                nn.Sequential(convolution(before, after, 5), Residual(convolution(after, after, 1)), AttentionPool(after))
                for before, after in pairwise([stem, *widths])
            )
        )  # fmt: skip
        self.transformer = nn.ModuleList(
            Block(width, heads=self.heads, key=config["attn_dim_key"]) for _ in range(self.layers)
        )
        self.final_pointwise = nn.Sequential(nn.Identity(), convolution(width, 2 * width, 1), QuickGELUActivation())
        self._heads = nn.ModuleDict(
            {name: nn.Sequential(nn.Linear(2 * width, n), nn.Softplus()) for name, n in self.tracks.items()}
        )

    @classmethod
    def fresh(cls, shape: dict[str, Any]) -> Self:
        """As in enformer-pytorch: attention adds nothing, pooling weighs by twice the values, biases of scores are normal."""
        made = cls(shape)
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

    def read(self, bases: torch.Tensor, *, attentions: bool = False) -> States:
        """Hidden states of one-hot bases [sequence, base, 4], a whole number of bins."""
        x = self.conv_tower(self.stem(bases.transpose(1, 2))).transpose(1, 2)
        features = relative_features(x.shape[1], self.width // self.heads, gamma_over=self.gamma_over).to(x)
        return peer.stacked(x, self.transformer, features, maps=attentions)

    def states(self, ids: torch.Tensor, mask: torch.Tensor, *, attentions: bool = False) -> States:
        """Refuses ids: one stands for a bin, whose bases it does not say."""
        raise ValueError(
            "Enformer's network reads one-hot bases [sequence, base, 4]; got ids. Use `read`, or `Enformer.embed`."
        )

    def predict(self, last: torch.Tensor, head: str) -> torch.Tensor:
        """Tracks [sequence, bin, track] of a head from the last hidden states [sequence, bin, width]."""
        return self._heads[head](self.final_pointwise(last.transpose(1, 2)).transpose(1, 2))


def tower_widths(width: int, halvings: int, divisor: int) -> list[int]:
    """Channels after each block of the tower, from half the width to the width in equal ratios, rounded to the divisor.

    >>> tower_widths(1536, 7, 128)
    [768, 896, 1024, 1152, 1280, 1536]
    """
    blocks = halvings - 1
    steps = (width // 2 * 2 ** (place / (blocks - 1)) for place in range(blocks))
    return [round(step / divisor) * divisor for step in steps]


def load(located: checkpoints.Located, max_tokens: int | None) -> Enformer:
    """Enformer from a directory as published; `max_tokens` counts bins.

    Without `use_tf_gamma`, as in enformer-official-rough, the weights are DeepMind's; those trained by enformer-pytorch itself need false.
    """
    taken = peer.limit(max_tokens, MAX_BINS)
    config = peer.read_config(located, _NUMBERS, {"use_convnext": False})
    _check(config, located)
    tensors = checkpoints.read_tensors(located.directory)
    for name in [name for name in tensors if name.startswith("_trunk.")]:
        place, _, rest = name.removeprefix("_trunk.").partition(".")
        if place in _TRUNK:
            once(tensors, name, f"{_TRUNK[place]}.{rest}", located)
    return Enformer.filled(
        located, EnformerNetwork, config, tensors, BinTokenizer(2 ** config["num_downsamples"]), taken,
        unused=r".*\.num_batches_tracked", tracks=dict(config["output_heads"]),
    )  # fmt: skip


def _check(config: dict[str, Any], located: checkpoints.Located) -> None:
    """Raises where a config.json is not of this architecture."""
    heads, width, divisor = config.get("output_heads"), 6 * config["heads"], 2 * config["dim_divisible_by"]
    if not isinstance(heads, dict) or not all(
        head.isidentifier() and isinstance(count, int) and count > 0 for head, count in heads.items()
    ):
        raise refused(located, config, "output_heads", "a dict from names to numbers of tracks")
    if config["num_downsamples"] < 3:
        raise refused(located, config, "num_downsamples", "at least 3")
    if config["dim"] % width or config["dim"] % divisor:
        wanted = f"a multiple of 6 x heads ({width}) and of 2 x dim_divisible_by ({divisor})"
        raise refused(located, config, "dim", wanted)
    # The others of the hub's Enformers have the one key and not the other, and were not DeepMind's.
    if "use_convnext" in config and "use_tf_gamma" not in config:
        wanted = "given beside use_convnext: false, unless the weights are DeepMind's"
        raise refused(located, config, "use_tf_gamma", wanted)
