"""DNABERT-2: an encoder over tokens of a byte-pair encoding, whose attention weakens with distance. No remote code.

References
----------
Zhou et al. (2024) ICLR, DNABERT-2. The network is that of MosaicBERT (Portes et al. 2023, NeurIPS): attention with linear biases
(Press et al. 2022, ICLR), here on both sides, gated linear units (Shazeer 2020, arXiv:2002.05202), LayerNorm behind each residual.
The original drops padding between the layers; here it stays, and no token sees it.
"""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from torch import nn
from torch.nn.functional import gelu, linear

from ntviz.models import checkpoints
from ntviz.models.model import States
from ntviz.models.peers import peer
from ntviz.models.peers.peer import Network, Peer, parts
from ntviz.tokens.bpe import BPETokenizer

MAX_TOKENS = 512
"""Tokens that are taken unless more are asked for; biases by distance set no limit of their own."""

_NUMBERS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
# "absolute" is published, though there are no positions in the network.
_PUBLISHED = {
    "hidden_act": "gelu", "position_embedding_type": "absolute", "type_vocab_size": 2, "is_decoder": False,
    "tie_word_embeddings": True,
}  # fmt: skip


def slopes(heads: int) -> list[float]:
    """How much each head's score falls a token of distance (Press et al. 2022, and their code for numbers that are no power of two).

    >>> slopes(4)
    [0.25, 0.0625, 0.015625, 0.00390625]
    >>> slopes(3) == [2**-4, 2**-8, 2**-2]
    True
    """
    below = 2 ** math.floor(math.log2(heads))
    powers = {n: [2 ** (-8 * (head + 1) / n) for head in range(n)] for n in (below, 2 * below)}
    return powers[below] + powers[2 * below][::2][: heads - below]


class Block(nn.Module):
    """Attention and a gated feed-forward part, each with its LayerNorm behind the residual. Parts are named as published."""

    def __init__(self, width: int, heads: int, inner: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention = parts(
            self=parts(Wqkv=nn.Linear(width, 3 * width)),
            output=parts(dense=nn.Linear(width, width), LayerNorm=nn.LayerNorm(width, eps=eps)),
        )
        self.mlp = parts(
            gated_layers=nn.Linear(width, 2 * inner, bias=False),
            wo=nn.Linear(inner, width),
            layernorm=nn.LayerNorm(width, eps=eps),
        )

    def forward(self, x: torch.Tensor, bias: torch.Tensor, maps: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        size = (*x.shape[:2], 3, self.heads, x.shape[2] // self.heads)
        q, k, v = self.attention.self.Wqkv(x).view(size).permute(2, 0, 3, 1, 4)
        mixed, attention = peer.attend(q, k, v, bias, size[-1] ** -0.5, maps)
        mixed = self.attention.output.dense(mixed.transpose(1, 2).reshape(x.shape))
        x = self.attention.output.LayerNorm(x + mixed)
        gate, value = self.mlp.gated_layers(x).chunk(2, dim=-1)
        return self.mlp.layernorm(x + self.mlp.wo(gelu(gate) * value)), attention


class DNABERT2(Network):
    """The network with its masked-language head, which shares the embedding of the tokens. Parts are named as published."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        width, eps = config["hidden_size"], config.get("layer_norm_eps", 1e-12)
        heads, inner = config["num_attention_heads"], config["intermediate_size"]
        self.width, self.layers, self.heads = width, config["num_hidden_layers"], heads
        self.bert = parts(
            embeddings=parts(
                word_embeddings=nn.Embedding(config["vocab_size"], width),
                token_type_embeddings=nn.Embedding(2, width),
                LayerNorm=nn.LayerNorm(width, eps=eps),
            ),
            encoder=parts(layer=nn.ModuleList(Block(width, heads, inner, eps) for _ in range(self.layers))),
        )
        self.cls = parts(
            predictions=parts(
                transform=parts(dense=nn.Linear(width, width), LayerNorm=nn.LayerNorm(width, eps=eps)),
                decoder=nn.ParameterDict({"bias": torch.zeros(config["vocab_size"])}),
            )
        )

    @classmethod
    def fresh(cls, shape: dict[str, Any]) -> Self:
        """As in BERT: linear weights and embeddings normal with `initializer_range`, biases zero, LayerNorm one and zero."""
        with torch.device("meta"):
            made = cls(shape)
        made = made.to_empty(device="cpu")
        for module in made.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=shape.get("initializer_range", 0.02))
            elif isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
        for name, parameter in made.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
        return made

    def states(self, ids: torch.Tensor, mask: torch.Tensor, *, attentions: bool = False) -> States:
        """Hidden states of ids [sequence, token], where the mask is True on tokens and False on padding."""
        embeddings = self.bert.embeddings
        types = embeddings.token_type_embeddings(torch.zeros_like(ids))
        x = embeddings.LayerNorm(embeddings.word_embeddings(ids) + types)
        return peer.stacked(x, self.bert.encoder.layer, self._bias(mask, x.dtype), maps=attentions)

    def logits(self, last: torch.Tensor) -> torch.Tensor:
        """Scores [..., vocab] from the last hidden states [..., width]."""
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


def load(located: checkpoints.Located, max_tokens: int | None) -> Peer:
    """DNABERT-2 from a directory as published. `max_bp` counts a base a token, as through N; a token of real DNA covers about five."""
    taken = peer.limit(max_tokens, MAX_TOKENS, least=3)  # [CLS], [SEP] and a token between
    config = peer.read_config(located, _NUMBERS, _PUBLISHED)
    heads, width = config["num_attention_heads"], config["hidden_size"]
    if width % heads:
        raise peer.refused(located, config, "hidden_size", f"a multiple of the {heads} heads")
    tokenizer = BPETokenizer.from_file(located.directory / "tokenizer.json")
    n = len(tokenizer.vocabulary)
    if n != config["vocab_size"]:
        raise peer.refused(located, config, "vocab_size", f"the {n:,} words of tokenizer.json")
    tensors = checkpoints.read_tensors(located.directory)
    peer.once(tensors, "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight", located)
    return Peer.filled(located, DNABERT2, config, tensors, tokenizer, taken, unused=r"bert\.pooler\..*")
