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
from typing import Any

import torch
from torch import nn
from torch.nn.functional import gelu, linear, scaled_dot_product_attention

from ntviz.models import checkpoints
from ntviz.models.model import States
from ntviz.models.peers.peer import Network, Peer, limit, once, parts, read_config, refused
from ntviz.tokens.bpe import BPETokenizer

MAX_TOKENS = 512
"""Tokens that are taken unless more are asked for: as config.json has it. Biases by distance set no limit of their own."""

_NUMBERS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
_PUBLISHED = {
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",  # so it is published, though there are no positions in the network
    "type_vocab_size": 2,
    "is_decoder": False,
    "tie_word_embeddings": True,
}


def slopes(heads: int) -> list[float]:
    """How much each head's score falls a token of distance (Press et al. 2022, and their code for the numbers of heads between).

    Powers of two in geometric steps; where the number of heads n is none, those of the power of two m below it, and then every other one
    of 2 m.

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
        self.attention: Any = parts(
            self=parts(Wqkv=nn.Linear(width, 3 * width)),
            output=parts(dense=nn.Linear(width, width), LayerNorm=nn.LayerNorm(width, eps=eps)),
        )
        self.mlp: Any = parts(
            gated_layers=nn.Linear(width, 2 * inner, bias=False),
            wo=nn.Linear(inner, width),
            layernorm=nn.LayerNorm(width, eps=eps),
        )

    def forward(
        self, x: torch.Tensor, bias: torch.Tensor, maps: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The next hidden states of x [sequence, token, width], and attention [sequence, head, query, key] where asked for."""
        size = (*x.shape[:2], 3, self.heads, x.shape[2] // self.heads)
        q, k, v = self.attention.self.Wqkv(x).view(size).permute(2, 0, 3, 1, 4)
        attention = None
        if maps:
            scores = q @ k.transpose(-1, -2) / math.sqrt(size[-1]) + bias
            attention = scores.softmax(-1, dtype=torch.float32)
            mixed = attention.to(v.dtype) @ v
        else:
            mixed = scaled_dot_product_attention(q, k, v, attn_mask=bias)
        mixed = self.attention.output.dense(mixed.transpose(1, 2).reshape(x.shape))
        x = self.attention.output.LayerNorm(x + mixed)
        gate, value = self.mlp.gated_layers(x).chunk(2, dim=-1)
        return self.mlp.layernorm(x + self.mlp.wo(gelu(gate) * value)), attention


class DNABERT2(Network):
    """The network with its masked-language head, which shares the embedding of the words. Parts are named as published."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config.get("layer_norm_eps", 1e-12)
        heads, inner = config["num_attention_heads"], config["intermediate_size"]
        self.width, self.layers, self.heads = width, config["num_hidden_layers"], heads
        self.bert: Any = parts(
            embeddings=parts(
                word_embeddings=nn.Embedding(config["vocab_size"], width),
                token_type_embeddings=nn.Embedding(2, width),
                LayerNorm=nn.LayerNorm(width, eps=eps),
            ),
            encoder=parts(
                layer=nn.ModuleList(Block(width, heads, inner, eps) for _ in range(self.layers)),
            ),
        )
        self.cls: Any = parts(
            predictions=parts(
                transform=parts(dense=nn.Linear(width, width), LayerNorm=nn.LayerNorm(width, eps=eps)),
                decoder=nn.ParameterDict({"bias": torch.zeros(config["vocab_size"])}),
            )
        )

    def states(self, ids: torch.Tensor, mask: torch.Tensor, *, attentions: bool = False) -> States:
        """Hidden states of ids [sequence, token], where the mask is True on tokens and False on padding."""
        embeddings = self.bert.embeddings
        types = embeddings.token_type_embeddings(torch.zeros_like(ids))
        x = embeddings.LayerNorm(embeddings.word_embeddings(ids) + types)
        bias = self._bias(mask, x.dtype)
        hidden, maps = [x], []
        for block in self.bert.encoder.layer:
            x, attention = block(x, bias, attentions)
            hidden.append(x)
            maps.append(attention)
        return States(hidden, maps if attentions else None)

    def logits(self, last: torch.Tensor) -> torch.Tensor:
        """Scores [..., vocab] of the words from the last hidden states [..., width]."""
        head = self.cls.predictions
        x = head.transform.LayerNorm(gelu(head.transform.dense(last)))
        return linear(x, self.bert.embeddings.word_embeddings.weight, head.decoder.bias)

    def _bias(self, mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """What is added to scores [sequence or 1, head, query, key]: minus slope times distance, -inf at padding."""
        place = torch.arange(mask.shape[1], device=mask.device)
        distance = (place[:, None] - place).abs()
        slope = torch.tensor(slopes(self.heads), device=mask.device)
        bias = (-slope[:, None, None] * distance).to(dtype)[None]
        # Without padding one bias serves all sequences.
        return bias if bool(mask.all()) else bias.masked_fill(~mask[:, None, None], -torch.inf)


def build(config: dict[str, Any]) -> DNABERT2:
    """A network of the shape of a config.json with fresh random weights.

    As in BERT: linear weights and embeddings normal with `initializer_range` (0.02), biases zero, LayerNorm one and zero.
    """
    with torch.device("meta"):
        made = DNABERT2(config)
    made = made.to_empty(device="cpu")
    for module in made.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=config.get("initializer_range", 0.02))
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
    for name, parameter in made.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    return made


def load(located: checkpoints.Located, *, device: str, dtype: str, max_tokens: int | None) -> Peer:
    """DNABERT-2 from a directory as published: config.json, tokenizer.json and the weights.

    `max_tokens` of None is 512; a larger number is taken too, since nothing in the network ends there, but how well the
    model does beyond is not known here. `max_bp` is what fits for certain, a base a token, as through N; a token of real DNA
    covers about five bases, so some five times as much mostly fits, and `tokenize` counts.
    """
    taken = limit(max_tokens, MAX_TOKENS, least=3)  # [CLS], [SEP] and a word between
    config = read_config(located, _NUMBERS, _PUBLISHED)
    if config["hidden_size"] % config["num_attention_heads"]:
        raise refused(
            located, config, "hidden_size", f"a multiple of the {config['num_attention_heads']} heads"
        )
    tokenizer = BPETokenizer.from_file(located.directory / "tokenizer.json")
    if len(tokenizer.vocabulary) != config["vocab_size"]:
        words = f"the {len(tokenizer.vocabulary):,} words of tokenizer.json"
        raise refused(located, config, "vocab_size", words)
    tensors = checkpoints.read_tensors(located.directory)
    once(tensors, "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight", located)
    return Peer.filled(
        located, tensors, tokenizer, partial(DNABERT2, config), partial(build, config), max_tokens=taken, device=device,
        dtype=dtype, unused=r"bert\.pooler\..*",
    )  # fmt: skip
