"""HyenaDNA: long convolutions and gates over single bases, trained to say the next base. No attention, no remote code.

References
----------
Nguyen et al. (2023) NeurIPS, HyenaDNA; Poli et al. (2023) ICML, for the operator. The checkpoints are those of LongSafari on the hub
(hyenadna-...-seqlen-hf); ours is written from the papers and that layout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import nn
from torch.nn.functional import gelu, linear

from ntviz.models import checkpoints
from ntviz.models.model import States
from ntviz.models.peers.peer import Network, Peer, limit, once, parts, read_config, refused
from ntviz.tokens import Tokenizer
from ntviz.tokens.vocabulary import HYENADNA

_NUMBERS = ("d_model", "n_layer", "d_inner", "vocab_size", "max_seq_len", "emb_dim", "filter_order")
_PUBLISHED = {
    "hyena_order": 2, "short_filter_order": 3, "num_inner_mlps": 2, "use_bias": True, "pad_vocab_size_multiple": 8,
    "vocab_size": HYENADNA.n_logits,
}  # fmt: skip
# Decay of a filter's channels, from slow to fast: to a hundredth after 1.5 and 0.3 of the longest input.
_TARGET, _SLOW, _FAST, _FLOOR = 1e-2, 1.5, 0.3, 0.05


@dataclass(frozen=True, repr=False)
class HyenaDNA(Peer):
    """A loaded HyenaDNA; implements `models.Embedder`.

    Causal: the state of a base knows what stands before it and nothing behind it, so that logits [sequence, token, vocab] are those of
    the *next* base, and "mean" weighs a sequence's end as its beginning, though only its end knows all of it.
    """

    without_mask: ClassVar[str] = "a masked base needs a model that reads both sides. Ask for logits, of the next base."

    @property
    def max_bp(self) -> int:
        """Longest sequence in bp that fits, as the models are named: two less than the tokens."""
        return self.max_tokens - 2


class Operator(nn.Module):
    """The Hyena operator of order 2: a short filter, a gate, a long filter, a gate. Parts are named as published.

    The long filter is not stored: a small network computes it from positions, and a decay that falls over the input.
    """

    def __init__(self, width: int, longest: int, positions: int, inner: int) -> None:
        super().__init__()
        self.longest = longest
        self.in_proj = nn.Linear(width, 3 * width)
        self.short_filter = nn.Conv1d(3 * width, 3 * width, 3, padding=2, groups=3 * width)
        self.filter_fn: Any = nn.ParameterDict({"bias": torch.zeros(width)})
        self.filter_fn.pos_emb = nn.ParameterDict({"z": torch.zeros(1, longest, positions)})
        # Sines stand between the linear maps; their frequency is one tensor, which files may hold as 3 and 5 too.
        self.filter_fn.implicit_filter = nn.ModuleDict(
            {
                "0": nn.Linear(positions, inner), "1": nn.ParameterDict({"freq": torch.ones(1, inner)}),
                "2": nn.Linear(inner, inner), "4": nn.Linear(inner, inner), "6": nn.Linear(inner, width, bias=False),
            }
        )  # fmt: skip
        self.filter_fn.modulation = nn.Module()
        self.filter_fn.modulation.deltas = nn.Buffer(torch.zeros(1, 1, width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """States x [sequence, token, width] mixed over the tokens before each."""
        n = x.shape[1]
        short = self.short_filter(self.in_proj(x).transpose(1, 2))[..., :n]
        outer, inner, value = short.chunk(3, dim=1)
        value = value * inner
        value = causal_convolution(value, self.filter(n)) + value * self.filter_fn.bias[:, None]
        return self.out_proj((value * outer).transpose(1, 2))

    def filter(self, n: int) -> torch.Tensor:
        """The long filter of the first n positions, float32 [width, n]."""
        own = self.filter_fn
        mlp, freq = own.implicit_filter, own.implicit_filter["1"].freq
        x = own.pos_emb.z[:, :n].to(freq.dtype)  # [1, position, emb_dim]
        for name in ("0", "2", "4"):
            x = torch.sin(freq * mlp[name](x))
        # Times from 0 to 1 over the longest input, in float32, as half precision would round them.
        time = torch.linspace(0, 1, self.longest, device=x.device)[None, :n, None]
        decay = torch.exp(-time * own.modulation.deltas.abs())  # [1, position, width]
        return (mlp["6"](x) * (decay + _FLOOR))[0].T.float()


def causal_convolution(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """X [sequence, channel, position] with a kernel [channel, position] as long, by Fourier transform; nothing wraps around.

    >>> causal_convolution(torch.tensor([[[1.0, 0.0, 2.0]]]), torch.tensor([[1.0, 10.0, 100.0]])).round().tolist()
    [[[1.0, 10.0, 102.0]]]
    """
    n = x.shape[-1]
    spectrum = torch.fft.rfft(x.float(), n=2 * n) * torch.fft.rfft(kernel, n=2 * n)
    return torch.fft.irfft(spectrum, n=2 * n)[..., :n].to(x.dtype)


class Block(nn.Module):
    """The operator and a feed-forward part, each behind its LayerNorm. Parts are named as published."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, eps = config["d_model"], config.get("layer_norm_epsilon", 1e-5)
        self.mixer = Operator(width, config["max_seq_len"], config["emb_dim"], config["filter_order"])
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.mlp = parts(fc1=nn.Linear(width, config["d_inner"]), fc2=nn.Linear(config["d_inner"], width))
        self.norm2 = nn.LayerNorm(width, eps=eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.mixer(self.norm1(x))
        return x + self.mlp.fc2(gelu(self.mlp.fc1(self.norm2(x)), approximate="tanh"))


class HyenaNetwork(Network):
    """The network with its head, which shares the embedding of the tokens. Parts are named as published."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.width, self.layers, self.vocab = config["d_model"], config["n_layer"], config["vocab_size"]
        eps = config.get("layer_norm_epsilon", 1e-5)
        self.hyena = parts(
            backbone=parts(
                embeddings=parts(word_embeddings=nn.Embedding(-(-self.vocab // 8) * 8, self.width)),
                layers=nn.ModuleList(Block(config) for _ in range(self.layers)),
                ln_f=nn.LayerNorm(self.width, eps=eps),
            )
        )

    @classmethod
    def fresh(cls, shape: dict[str, Any]) -> Self:
        """As published: weights normal, divided by the root of twice the layers where they write to the residual, biases zero."""
        made = cls(shape)
        for name, module in made.named_modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                rescale = math.sqrt(2 * made.layers) if name.endswith(("out_proj", "fc2")) else 1
                nn.init.normal_(module.weight, std=shape.get("initializer_range", 0.02) / rescale)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
            if isinstance(module, Operator):
                nn.init.normal_(module.filter_fn.bias)
        made.load_state_dict(_computed(shape), strict=False)
        return made

    def states(self, ids: torch.Tensor, mask: torch.Tensor, *, attentions: bool = False) -> States:
        """The last ones are behind the last LayerNorm. Padding is on the right, where a causal network does not look."""
        backbone = self.hyena.backbone
        x = backbone.embeddings.word_embeddings(ids)
        hidden = [x]
        for block in backbone.layers:
            x = block(x)
            hidden.append(x)
        return States([*hidden[:-1], backbone.ln_f(x)])

    def logits(self, last: torch.Tensor) -> torch.Tensor:
        """Scores [..., vocab] of the next token from the last hidden states [..., width]."""
        return linear(last, self.hyena.backbone.embeddings.word_embeddings.weight[: self.vocab])


def load(located: checkpoints.Located, max_tokens: int | None) -> HyenaDNA:
    """HyenaDNA from a directory as published: config.json, whose `max_seq_len` is the most tokens, and the weights."""
    config = read_config(located, _NUMBERS, _PUBLISHED)
    if config["emb_dim"] < 3 or config["emb_dim"] % 2 == 0:
        raise refused(located, config, "emb_dim", "odd and at least 3: time, cosines and sines")
    longest = config["max_seq_len"]
    taken = limit(max_tokens, longest, least=3, most=longest)
    tensors = checkpoints.read_tensors(located.directory)
    once(tensors, "lm_head.weight", "hyena.backbone.embeddings.word_embeddings.weight", located)
    for index in range(config["n_layer"]):
        own = f"hyena.backbone.layers.{index}.mixer.filter_fn.implicit_filter."
        for repeated in (own + "3.freq", own + "5.freq"):
            once(tensors, repeated, own + "1.freq", located)
    tensors = _computed(config) | tensors
    return HyenaDNA.filled(located, HyenaNetwork, config, tensors, Tokenizer(HYENADNA), taken, unused=r".*\.pos_emb\.t")


def _computed(config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """What a checkpoint may leave out, by name: positions, decays, and the frequency where it was not learned."""
    longest, bands = config["max_seq_len"], (config["emb_dim"] - 1) // 2
    place = torch.arange(longest, dtype=torch.float32)[None, :, None]
    time = torch.linspace(0, 1, longest)[None, :, None]
    angle = 2 * math.pi * place / longest * torch.linspace(1e-4, bands - 1, bands)
    decays = torch.linspace(math.log(_TARGET) / _SLOW, math.log(_TARGET) / _FAST, config["d_model"])
    computed = {
        # Waves are of minus the angle: cosines are the same, sines turn over.
        "pos_emb.z": torch.cat((time, torch.cos(angle), -torch.sin(angle)), dim=-1),
        "modulation.deltas": decays[None, None],
        "implicit_filter.1.freq": torch.full((1, config["filter_order"]), float(config.get("activation_freq", 1))),
    }
    return {
        f"hyena.backbone.layers.{index}.mixer.filter_fn.{name}": value.clone()
        for index in range(config["n_layer"])
        for name, value in computed.items()
    }
