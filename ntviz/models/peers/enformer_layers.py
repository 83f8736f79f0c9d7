"""The parts of Enformer: a tower of convolutions that halves the sequence, and attention that sees distances.

References
----------
Avsec et al. (2021) Nature Methods 18:1196-1203, Methods and Supplementary Fig. 9. Parts are named as in the state dict
that enformer-pytorch gave the published weights.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from ntviz.models.peers.peer import Network, States


def relative_features(n: int, width: int, *, gamma_over: str) -> torch.Tensor:
    """What attention is told of each distance, float32 [distance, width]; distances are key minus query, 1 - n to n - 1, in bins.

    Three families of width / 6 functions of the absolute distance, then the same times the sign of the distance:
    exponential decay with half-lives from 8 to n; whether the distance is below 2^i - 1, for i from 1; gamma densities
    with means from 6 n / width to n and one standard deviation. All but the second depend on n, the length of the input.

    Parameters
    ----------
    n
        Length in bins.
    width
        Number of features, a multiple of 6.
    gamma_over
        What the largest value of the densities is taken over, to divide by it: "positions", as in the original, so that each
        function reaches one, or "features", so that some function is one at each distance.

    References
    ----------
    Avsec et al. (2021), Supplementary Methods. The original computes the densities in single precision, which moves them by
    up to 0.0025 at 1,536 bins; here they are exact.

    Examples
    --------
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


class QuickGELU(nn.Module):
    """x times the logistic function of 1.702 x, which is near GELU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(1.702 * x)


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

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.fn = part

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.fn(x)


def convolution(width: int, out: int, kernel: int) -> nn.Sequential:
    """Normalisation, activation and a convolution that keeps the length."""
    return nn.Sequential(nn.BatchNorm1d(width), QuickGELU(), nn.Conv1d(width, out, kernel, padding="same"))


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

    def forward(
        self, x: torch.Tensor, features: torch.Tensor, maps: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What is added to x [sequence, bin, width], and attention [sequence, head, query, key] where asked for.

        `features` are those of `relative_features`, [distance, feature].
        """
        n = x.shape[1]
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.to_q, self.to_k, self.to_v)
        )
        q = q / math.sqrt(q.shape[-1])
        r = self.to_rel_k(features).unflatten(-1, (self.heads, -1)).transpose(0, 1)
        by_distance = (q + self.rel_pos_bias) @ r.transpose(-1, -2)  # [sequence, head, query, distance]
        place = torch.arange(n, device=x.device)
        # Distance 1 - n comes first, so that n - 1 is the place of distance 0.
        index = place - place[:, None] + n - 1
        bias = by_distance.gather(-1, index.expand(*by_distance.shape[:2], n, n))
        q = q + self.rel_content_bias
        attention = None
        if maps:
            attention = (q @ k.transpose(-1, -2) + bias).softmax(-1)
            mixed = attention @ v
        else:
            mixed = scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        return self.to_out(mixed.transpose(1, 2).flatten(2)), attention


class Block(nn.ModuleList):
    """Attention and a feed-forward part, each behind its LayerNorm and added to what came."""

    def __init__(self, width: int, *, heads: int, key: int) -> None:
        attention = Attention(width, heads=heads, key=key, value=width // heads, features=width // heads)
        # Identities stand where dropout stood in training: parts are named by their place.
        feed_forward = (
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.Identity(),
            nn.ReLU(),
            nn.Linear(2 * width, width),
        )
        super().__init__(
            (
                Residual(nn.Sequential(nn.LayerNorm(width), attention)),
                Residual(nn.Sequential(*feed_forward)),
            )
        )

    def forward(
        self, x: torch.Tensor, features: torch.Tensor, maps: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        part = self.get_submodule
        mixed, attention = part("0.fn.1")(part("0.fn.0")(x), features, maps)
        return self[1](x + mixed), attention


class EnformerNetwork(Network):
    """The network with its heads. It reads one-hot bases, so `read` takes the place of `states`.

    Attributes
    ----------
    bin
        Bases that a position of the hidden states covers.
    tracks
        Number of tracks of each head.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
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
                nn.Sequential(
                    convolution(before, after, 5),
                    Residual(convolution(after, after, 1)),
                    AttentionPool(after),
                )
                for before, after in zip([stem, *widths], widths, strict=False)
            )
        )
        self.transformer = nn.ModuleList(
            Block(width, heads=self.heads, key=config["attn_dim_key"]) for _ in range(self.layers)
        )
        self.final_pointwise = nn.Sequential(nn.Identity(), convolution(width, 2 * width, 1), QuickGELU())
        self._heads = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(2 * width, count), nn.Softplus())
                for name, count in self.tracks.items()
            }
        )

    def read(self, bases: torch.Tensor, *, attentions: bool = False) -> States:
        """Hidden states of one-hot bases [sequence, base, 4], a whole number of bins: after the tower and after each block."""
        x = self.conv_tower(self.stem(bases.transpose(1, 2))).transpose(1, 2)
        features = relative_features(x.shape[1], self.width // self.heads, gamma_over=self.gamma_over).to(x)
        hidden, maps = [x], []
        for block in self.transformer:
            x, attention = block(x, features, attentions)
            hidden.append(x)
            maps.append(attention)
        return States(hidden, maps if attentions else None)

    def predict(self, last: torch.Tensor, head: str) -> torch.Tensor:
        """Tracks [sequence, bin, track] of a head from the last hidden states [sequence, bin, width]."""
        return self._heads[head](self.final_pointwise(last.transpose(1, 2)).transpose(1, 2))

    def states(self, ids: torch.Tensor, mask: torch.Tensor, *, attentions: bool = False) -> States:
        """Refuses ids: one stands for a bin, whose bases it does not say."""
        raise ValueError(
            f"Enformer's network reads one-hot bases [sequence, base, 4]; got ids of shape {tuple(ids.shape)}, which do not "
            "say them. Use `read`, or `Enformer.embed` and a head on its vectors."
        )


def tower_widths(width: int, halvings: int, divisor: int) -> list[int]:
    """Channels after each block of the tower, from half the width to the width in equal ratios, rounded to the divisor.

    >>> tower_widths(1536, 7, 128)
    [768, 896, 1024, 1152, 1280, 1536]
    """
    blocks = halvings - 1
    steps = (width // 2 * 2 ** (place / (blocks - 1)) for place in range(blocks))
    return [round(step / divisor) * divisor for step in steps]
