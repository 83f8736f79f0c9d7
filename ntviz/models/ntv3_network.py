"""NTv3's network: a tower of convolutions down to 2^D bp, attention, and back up; parts are named as published, below ``core.``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import nn
from torch.nn.functional import conv1d, gelu, silu, softplus
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ntviz.models.model import States
from ntviz.models.peers.peer import parts
from ntviz.tokens import VOCABULARIES

_N = VOCABULARIES["single-base"].n_id


class Spread(Sequence[torch.Tensor]):
    """Hidden states [sequence, token, width] of the `native` ones, which stand for one token or several."""

    def __init__(self, native: list[torch.Tensor], n: int) -> None:
        self.native, self.n = native, n

    def __len__(self) -> int:
        return len(self.native)

    def __getitem__(self, index: Any) -> Any:
        state = self.native[index]
        return state.repeat_interleave(self.native[0].shape[1] // state.shape[1], dim=1)[:, : self.n]


def activated(x: torch.Tensor) -> torch.Tensor:
    """GELU by its tanh approximation, as everywhere in the network."""
    return gelu(x, approximate="tanh")


def _modulation(shape: dict[str, Any], width: int) -> nn.ModuleList:
    """How the species changes a layer; nothing in the pre-trained kind."""
    return nn.ModuleList([nn.Linear(shape["token_embed_dim"], width)] if shape.get("species_to_token_id") else [])


class Norm(nn.LayerNorm):
    """LayerNorm over channels [sequence, position, width], shifted and scaled by the species."""

    def __init__(self, shape: dict[str, Any], width: int) -> None:
        super().__init__(width, eps=shape.get("layer_norm_eps", 1e-5))
        self.modulation_layers = _modulation(shape, 2 * width)

    def forward(self, x: torch.Tensor, species: torch.Tensor | None = None) -> torch.Tensor:  # ty: ignore[lost-keyword-for-regular-parameter]
        x = super().forward(x)
        for layer in self.modulation_layers:
            shift, scale = layer(species).chunk(2, dim=-1)
            x = x * (1 + scale) + shift
        return x


def _gated(module: Any, x: torch.Tensor, species: torch.Tensor | None) -> torch.Tensor:
    for layer in module.modulation_layers:
        x = x * (1 + layer(species))
    return x


class Convolution(nn.Module):
    """LayerNorm, then a convolution [sequence, position, width]."""

    def __init__(
        self, shape: dict[str, Any], before: int, after: int, taps: int, kind: type[nn.Module] = nn.Conv1d
    ) -> None:
        super().__init__()
        self.conv: Any = kind(before, after, taps, padding=taps // 2)
        self.layer_norm: Any = Norm(shape, before)

    def forward(self, x: torch.Tensor, species: torch.Tensor | None) -> torch.Tensor:
        return self.conv(self.layer_norm(x, species).transpose(1, 2)).transpose(1, 2)


class Residual(nn.Module):
    """The states plus what a convolution of one tap makes of them, gated by the species."""

    def __init__(self, shape: dict[str, Any], width: int, kind: type[nn.Module]) -> None:
        super().__init__()
        self.conv_block = Convolution(shape, width, width, 1, kind)
        self.modulation_layers = _modulation(shape, width)

    def forward(self, x: torch.Tensor, species: torch.Tensor | None) -> torch.Tensor:
        return x + _gated(self, activated(self.conv_block(x, species)), species)


class Down(nn.Module):
    """Half as many positions."""

    def __init__(self, shape: dict[str, Any], before: int, after: int) -> None:
        super().__init__()
        self.conv, self.res_conv = Convolution(shape, before, after, 5), Residual(shape, after, nn.Conv1d)

    def forward(self, x: torch.Tensor, species: torch.Tensor | None) -> torch.Tensor:
        x = self.res_conv(activated(self.conv(x, species)), species)
        return x.unflatten(1, (-1, 2)).mean(dim=2)


class Up(nn.Module):
    """Twice as many positions: each repeated, or zeros between them ("conv_transpose")."""

    def __init__(self, shape: dict[str, Any], before: int, after: int) -> None:
        super().__init__()
        self.zeros = shape.get("deconv_upsample_type", "repeat+conv") == "conv_transpose"
        self.conv = Convolution(shape, before, after, 5, nn.ConvTranspose1d if self.zeros else nn.Conv1d)
        self.res_conv = Residual(shape, after, nn.ConvTranspose1d)

    def forward(self, x: torch.Tensor, species: torch.Tensor | None) -> torch.Tensor:
        y, weight = self.conv.layer_norm(x, species), self.conv.conv.weight
        if self.zeros:  # of [in, out, tap], whose taps are not turned as a transposed convolution would
            y, weight = torch.stack((torch.zeros_like(y), y), dim=2).flatten(1, 2), weight.transpose(0, 1)
        else:
            y = y.repeat_interleave(2, dim=1)
        y = conv1d(y.transpose(1, 2), weight, self.conv.conv.bias, padding=2).transpose(1, 2)
        return self.res_conv(activated(y), species)


def _eager(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, scaling: float, **__: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention [sequence, query, head, size] with its weights [sequence, head, query, key]."""
    weights = (query @ key.transpose(-1, -2) * scaling).softmax(dim=-1)
    return (weights @ value).transpose(1, 2), weights


class Attention(nn.Module):
    """Rotary attention over bins, on transformers' attention interface."""

    is_causal = False

    def __init__(self, shape: dict[str, Any], config: Any, layer: int) -> None:
        super().__init__()
        self.config, self.layer_idx, self.size = config, layer, shape["key_size"]
        inner = shape["attention_heads"] * self.size
        self.query_head, self.key_head, self.value_head = (
            parts(linear=nn.Linear(shape["embed_dim"], inner)) for _ in range(3)
        )
        self.mha_output = nn.Linear(inner, shape["embed_dim"])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        query, key, value = (
            head.linear(x).unflatten(-1, (-1, self.size)).transpose(1, 2)
            for head in (self.query_head, self.key_head, self.value_head)
        )
        half = self.size // 2
        place = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)[:, None]
        angle = place * 10_000.0 ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
        cos, sin = angle.cos(), angle.sin()

        def turned(states: torch.Tensor) -> torch.Tensor:
            a, b = states.float().split(half, dim=-1)
            return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1).to(states.dtype)

        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, _eager)
        out, weights = attend(self, turned(query), turned(key), value, None, dropout=0.0, scaling=self.size**-0.5)
        return self.mha_output(out.flatten(2)), weights


class Block(nn.Module):
    """Attention, and a gated feed-forward part that the species scales."""

    def __init__(self, shape: dict[str, Any], config: Any, layer: int) -> None:
        super().__init__()
        width, ffn = shape["embed_dim"], shape["ffn_embed_dim"]
        self.self_attention_layer_norm, self.final_layer_norm = Norm(shape, width), Norm(shape, width)
        self.sa_layer = Attention(shape, config, layer)
        self.fc1, self.fc2 = nn.Linear(width, 2 * ffn, bias=False), nn.Linear(ffn, width, bias=False)
        self.modulation_layers = _modulation(shape, width)

    def forward(self, x: torch.Tensor, species: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        attended, weights = self.sa_layer(self.self_attention_layer_norm(x, species))
        x = x + attended
        gate, value = self.fc1(self.final_layer_norm(x, species)).chunk(2, dim=-1)
        return x + _gated(self, self.fc2(silu(gate) * value), species), weights


class LanguageHead(nn.Module):
    """Scores [..., vocab] of states [..., width]."""

    def __init__(self, width: int, vocab: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, vocab)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(activated(x))


class _Config(PreTrainedConfig):
    model_type = "ntviz_ntv3"


class NTv3Network(PreTrainedModel):
    """The network, its parts named as published; `shape` is config.json."""

    config_class = _Config
    _supports_sdpa = True

    def __init__(self, shape: dict[str, Any]) -> None:
        config = _Config()
        config.num_hidden_layers, config.num_attention_heads = shape["num_layers"], shape["attention_heads"]
        config.hidden_size, config.intermediate_size = shape["embed_dim"], shape["ffn_embed_dim"]
        super().__init__(config)
        deep, embedded, wide = shape["num_downsamples"], shape["token_embed_dim"], widths(shape)
        self.shape, self.step, self.width = shape, 2**deep, wide[0]
        self.layers, self.heads = 2 * deep + shape["num_layers"], shape["attention_heads"]
        self.embed_layer = nn.Embedding(shape["alphabet_size"], embedded)
        self.stem = parts(conv=nn.Conv1d(embedded, wide[0], 15, padding=7))
        self.conv_tower_blocks = nn.ModuleList(Down(shape, wide[i], wide[i + 1]) for i in range(deep))
        self.transformer_blocks = nn.ModuleList(Block(shape, config, i) for i in range(shape["num_layers"]))
        self.deconv_tower_blocks = nn.ModuleList(Up(shape, wide[i], wide[i - 1]) for i in range(deep, 0, -1))
        self.lm_head = LanguageHead(wide[0], shape["alphabet_size"])
        if ids := shape.get("species_to_token_id"):
            first = shape.get("num_species_special_tokens", 6)
            tracks = {ids[name] - first: len(own) for name, own in shape["bigwigs_per_species"].items() if own}
            size = shape["conditions_vocab_size"][0]
            self.cond_tables = nn.ModuleList([nn.Embedding(size, embedded)])
            self.conditions_heads = nn.ModuleList([nn.Linear(shape["embed_dim"], size)])
            heads = {str(index): _head(wide[0], tracks[index]) for index in sorted(tracks)}
            self.bigwig_head: Any = parts(species_heads=nn.ModuleDict(heads))
            self.bed_head: Any = _head(wide[0], 2 * len(shape["bed_elements_names"]))

    @classmethod
    def fresh(cls, shape: dict[str, Any]) -> Self:
        """A network with random weights; the species changes nothing yet, as when post-training began."""
        made = cls(shape)
        for name, weight in made.named_parameters():
            if "modulation_layers" in name:
                nn.init.zeros_(weight)
        return made

    def states(
        self, ids: torch.Tensor, mask: Any = None, *, attentions: bool = False, species: torch.Tensor | None = None
    ) -> States:
        """Hidden states of ids [sequence, base] of one length, filled up with N; `species` is its token's id."""
        n = ids.shape[1]
        if species is None and hasattr(self, "cond_tables"):
            raise ValueError("A post-trained NTv3 needs a species: model.on('human').")
        condition = None if species is None else self.cond_tables[0](species)[..., None, :]
        kernel = self.config._attn_implementation
        if attentions:  # fused attention gives no maps
            self.set_attn_implementation("eager")
        try:
            x = self.embed_layer(ids)
            beyond = self.embed_layer.weight[_N].expand(len(x), -n % self.step, -1)
            x = torch.cat((x, beyond), dim=1).transpose(1, 2)
            hidden, skips, maps = [x := activated(self.stem.conv(x)).transpose(1, 2)], [], []
            for block in self.conv_tower_blocks:
                skips.append(x)
                hidden.append(x := block(x, condition))
            for block in self.transformer_blocks:
                x, weights = block(x, condition)
                hidden.append(x)
                maps.append(weights)
        finally:
            if attentions:
                self.set_attn_implementation(kernel)
        for block in self.deconv_tower_blocks:
            x, skip = block(x, condition), skips.pop()
            hidden.append(x := x + skip if self.shape.get("use_skip_connection", True) else x)
        return States(Spread(hidden, n), maps if attentions else None)

    def logits(self, last: torch.Tensor) -> torch.Tensor:
        """Scores [..., vocab] of the last hidden states [..., width]."""
        return self.lm_head(last)

    def tracks(self, last: torch.Tensor, head: int, wanted: Sequence[int]) -> torch.Tensor:
        """Scaled signal [sequence, base, track] of some tracks of one species."""
        own = self.bigwig_head.species_heads[str(head)]
        wide = list(wanted)
        return softplus(nn.functional.linear(own.layer_norm(last), own.head.weight[wide], own.head.bias[wide]))

    def elements(self, last: torch.Tensor) -> torch.Tensor:
        """Probabilities [sequence, base, element]."""
        scores = self.bed_head.head(self.bed_head.layer_norm(last))
        return scores.unflatten(-1, (-1, 2)).softmax(dim=-1)[..., 1]


def widths(shape: dict[str, Any]) -> list[int]:
    """Channels of each level of the towers."""
    return (
        np.linspace(shape["conv_init_embed_dim"], shape["embed_dim"], shape["num_downsamples"] + 1).astype(int).tolist()
    )


def _head(width: int, outputs: int) -> Any:
    return parts(layer_norm=nn.LayerNorm(width, eps=1e-6), head=nn.Linear(width, outputs))
