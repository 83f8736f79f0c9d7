"""DNABERT-2: an encoder over words of a byte-pair encoding, whose attention weakens with distance. No remote code.

References
----------
Zhou et al. (2024) ICLR, DNABERT-2. The network is that of MosaicBERT (Portes et al. 2023, NeurIPS): attention with linear biases
(Press et al. 2022, ICLR), here on both sides, gated linear units (Shazeer 2020, arXiv:2002.05202), LayerNorm behind each residual.
The original drops padding between the layers; here it stays, and no token sees it.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import gelu, linear, scaled_dot_product_attention

from ntviz.models import checkpoints
from ntviz.models.peers.peer import Network, Peer, States, unfilled
from ntviz.tokens.bpe import BPETokenizer

MAX_TOKENS = 512
"""Tokens that are taken unless more are asked for: as config.json has it. Biases by distance set no limit of their own."""

_WORDS = "bert.embeddings.word_embeddings.weight"
_TIED = "cls.predictions.decoder.weight"
_PUBLISHED = {
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",  # so it is published, though there are no positions in the network
    "type_vocab_size": 2,
    "is_decoder": False,
    "tie_word_embeddings": True,
}


def fits(config: dict[str, Any]) -> bool:
    """Whether a config.json is of this family: it alone gives "alibi_starting_size".

    >>> fits({"model_type": "bert", "alibi_starting_size": 512}), fits({"model_type": "bert"})
    (True, False)
    """
    return "alibi_starting_size" in config


def slopes(heads: int) -> list[float]:
    """How much each head's score falls a token of distance.

    Powers of two in geometric steps; where the number of heads n is none, those of the power of two m below it, and then every other one
    of 2 m.

    References
    ----------
    Press et al. (2022) ICLR, and their code for the numbers of heads between.

    >>> slopes(4)
    [0.25, 0.0625, 0.015625, 0.00390625]
    >>> slopes(3) == [2**-4, 2**-8, 2**-2]
    True
    """
    below = 2 ** math.floor(math.log2(heads))

    def powers(n: int) -> list[float]:
        return [2 ** (-8 * (head + 1) / n) for head in range(n)]

    return powers(below) + powers(2 * below)[::2][: heads - below]


class Block(nn.Module):
    """Attention and a gated feed-forward part, each with its LayerNorm behind the residual. Parts are named as published."""

    def __init__(self, width: int, heads: int, inner: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention = nn.ModuleDict(
            {
                "self": nn.ModuleDict({"Wqkv": nn.Linear(width, 3 * width)}),
                "output": nn.ModuleDict(
                    {"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=eps)}
                ),
            }
        )
        self.mlp = nn.ModuleDict(
            {
                "gated_layers": nn.Linear(width, 2 * inner, bias=False),
                "wo": nn.Linear(inner, width),
                "layernorm": nn.LayerNorm(width, eps=eps),
            }
        )

    def forward(
        self, x: torch.Tensor, bias: torch.Tensor, maps: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The next hidden states of x [sequence, token, width], and attention [sequence, head, query, key] where asked for."""
        size = (*x.shape[:2], 3, self.heads, x.shape[2] // self.heads)
        part = self.get_submodule
        q, k, v = part("attention.self.Wqkv")(x).view(size).permute(2, 0, 3, 1, 4)
        attention = None
        if maps:
            scores = q @ k.transpose(-1, -2) / math.sqrt(size[-1]) + bias
            attention = scores.softmax(-1, dtype=torch.float32)
            mixed = attention.to(v.dtype) @ v
        else:
            mixed = scaled_dot_product_attention(q, k, v, attn_mask=bias)
        mixed = part("attention.output.dense")(mixed.transpose(1, 2).reshape(x.shape))
        x = part("attention.output.LayerNorm")(x + mixed)
        gate, value = part("mlp.gated_layers")(x).chunk(2, dim=-1)
        x = part("mlp.layernorm")(x + part("mlp.wo")(gelu(gate) * value))
        return x, attention


class DNABERT2(Network):
    """The network with its masked-language head, which shares the embedding of the words. Parts are named as published."""

    def __init__(
        self, *, vocabulary: int, width: int, layers: int, heads: int, inner: int, eps: float
    ) -> None:
        super().__init__()
        self.width, self.layers, self.heads = width, layers, heads
        self.bert = nn.ModuleDict(
            {
                "embeddings": nn.ModuleDict(
                    {
                        "word_embeddings": nn.Embedding(vocabulary, width),
                        "token_type_embeddings": nn.Embedding(2, width),
                        "LayerNorm": nn.LayerNorm(width, eps=eps),
                    }
                ),
                "encoder": nn.ModuleDict(
                    {"layer": nn.ModuleList(Block(width, heads, inner, eps) for _ in range(layers))}
                ),
            }
        )
        self.cls = nn.ModuleDict(
            {
                "predictions": nn.ModuleDict(
                    {
                        "transform": nn.ModuleDict(
                            {"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=eps)}
                        ),
                        "decoder": nn.ParameterDict({"bias": torch.zeros(vocabulary)}),
                    }
                )
            }
        )

    def states(self, ids: torch.Tensor, mask: torch.Tensor, *, attentions: bool = False) -> States:
        """Hidden states of ids [sequence, token], where the mask is True on tokens and False on padding."""
        part = self.get_submodule
        types = part("bert.embeddings.token_type_embeddings")(torch.zeros_like(ids))
        x = part("bert.embeddings.LayerNorm")(part("bert.embeddings.word_embeddings")(ids) + types)
        bias = self._bias(mask, x.dtype)
        hidden, maps = [x], []
        for index in range(self.layers):
            x, attention = part(f"bert.encoder.layer.{index}")(x, bias, attentions)
            hidden.append(x)
            maps.append(attention)
        return States(hidden, maps if attentions else None)

    def logits(self, last: torch.Tensor) -> torch.Tensor:
        """Scores [..., vocab] of the words from the last hidden states [..., width]."""
        part = self.get_submodule
        x = gelu(part("cls.predictions.transform.dense")(last))
        x = part("cls.predictions.transform.LayerNorm")(x)
        return linear(x, self.get_parameter(_WORDS), self.get_parameter("cls.predictions.decoder.bias"))

    def _bias(self, mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """What is added to scores [sequence or 1, head, query, key]: minus slope times distance, -inf at padding."""
        place = torch.arange(mask.shape[1], device=mask.device)
        distance = (place[:, None] - place).abs()
        slope = torch.tensor(slopes(self.heads), device=mask.device)
        bias = (-slope[:, None, None] * distance).to(dtype)[None]
        # Without padding one bias serves all sequences.
        return bias if bool(mask.all()) else bias.masked_fill(~mask[:, None, None], -torch.inf)


def network(config: dict[str, Any]) -> DNABERT2:
    """A network of the shape of a config.json, its weights as torch makes them."""
    return DNABERT2(
        vocabulary=config["vocab_size"],
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        inner=config["intermediate_size"],
        eps=config.get("layer_norm_eps", 1e-12),
    )


def build(config: dict[str, Any]) -> DNABERT2:
    """A network of the shape of a config.json with fresh random weights.

    As in BERT: linear weights and embeddings normal with `initializer_range` (0.02), biases zero, LayerNorm one and zero.
    """
    made = unfilled(partial(network, config))
    for module in made.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=config.get("initializer_range", 0.02))
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
    for name, parameter in made.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    return made


def load(
    located: checkpoints.Located,
    *,
    device: str = "auto",
    dtype: str = "float32",
    max_tokens: int | None = None,
) -> Peer:
    """DNABERT-2 from a directory as published: config.json, tokenizer.json and the weights.

    `max_tokens` of None is 512; a larger number is taken too, since nothing in the network ends there, but how well the
    model does beyond is not known here. `max_bp` is what
    fits for certain, a base a token, as through N; a token of real DNA covers about five bases, so some five times as much
    mostly fits, and `tokenize` counts.

    Raises
    ------
    ValueError
        The configuration, the tokenizer or a tensor is not this architecture's, or dtype or max_tokens are not possible.
    FileNotFoundError
        A file is missing.
    """
    directory = located.directory
    limit = MAX_TOKENS if max_tokens is None else max_tokens
    if limit < 3:
        raise ValueError(
            f"max_tokens must be at least 3: [CLS], [SEP] and one word between; got {limit}. The default is {MAX_TOKENS}."
        )
    config = checkpoints.read_config(directory)
    _check(config, directory)
    tokenizer = BPETokenizer.from_file(directory / "tokenizer.json")
    if len(tokenizer.vocabulary) != config["vocab_size"]:
        raise ValueError(
            f"vocab_size in {directory / 'config.json'} must be the {len(tokenizer.vocabulary):,} words of tokenizer.json; "
            f"got {config['vocab_size']:,}. The files belong to different checkpoints."
        )
    tensors = checkpoints.read_tensors(directory)
    tied = tensors.pop(_TIED, None)
    if tied is not None and _WORDS in tensors and not torch.equal(tied, tensors[_WORDS]):
        raise ValueError(
            f"{_TIED} of {directory} must equal {_WORDS}, since they are one tensor; they differ. "
            "Use a checkpoint that was saved with tied embeddings."
        )
    return Peer.filled(
        located, unfilled(partial(network, config)), tensors, tokenizer, partial(build, config),
        max_tokens=limit, max_bp=limit - 2, device=device, dtype=dtype, unused=("bert.pooler.",),
    )  # fmt: skip


def _check(config: dict[str, Any], directory: Path) -> None:
    """Raises where a config.json is another architecture's."""
    path = directory / "config.json"
    if not fits(config):
        raise ValueError(
            f"{path} must give alibi_starting_size, as DNABERT-2's does; it is missing (model_type "
            f"{config.get('model_type')!r}). Load this checkpoint as the model it is."
        )
    for key, wanted in _PUBLISHED.items():
        if config.get(key, wanted) != wanted:
            raise ValueError(
                f"{key} in {path} must be {wanted!r}, as published; got {config[key]!r}. "
                "Use a checkpoint of the published architecture."
            )
    width, heads = config["hidden_size"], config["num_attention_heads"]
    if width % heads:
        raise ValueError(
            f"hidden_size in {path} must be a multiple of num_attention_heads; got {width} and {heads}. "
            "Download the file again."
        )
