"""Encoders whose heads attend by construction, on transformers' own attention interface: known answers for tests.

Queries are one-hot positions and keys the columns of a rule's scores, so the logits of a head are exactly the scores
that its rule gives, whatever the attention function does with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ntviz.genome.sequence import reverse_complement
from ntviz.models import Forward
from ntviz.tokens import VOCABULARIES, Tokenizer, Tokens

Rule = Callable[[Tokens], np.ndarray]
SHARP = 12.0


def uniform(tokens: Tokens) -> np.ndarray:
    """Every key alike."""
    return np.zeros((len(tokens), len(tokens)))


def fixed_offset(offset: int) -> Rule:
    """The token `offset` further on; all alike where there is none."""
    return lambda tokens: SHARP * np.eye(len(tokens), k=offset)


previous_token = fixed_offset(-1)


def first_token(tokens: Tokens) -> np.ndarray:
    """The first token, `<cls>`."""
    return SHARP * np.tile(np.arange(len(tokens)) == 0, (len(tokens), 1))


def on_tokens(which: Callable[[Tokens], np.ndarray], sharp: float = SHARP) -> Rule:
    """The tokens that a function picks as bool [token]: one of them for each query, in turn."""

    def rule(tokens: Tokens) -> np.ndarray:
        n = len(tokens)
        scores = np.zeros((n, n))
        found = np.flatnonzero(which(tokens))
        if len(found):
            scores[np.arange(n), found[np.arange(n) % len(found)]] = sharp
        return scores

    return rule


def motif(text: str) -> Rule:
    """Tokens that hold a base of an occurrence of `text` on the forward strand."""

    def which(tokens: Tokens) -> np.ndarray:
        inside = np.zeros(len(tokens.sequence), dtype=bool)
        for at in range(len(inside)):
            if tokens.sequence.startswith(text, at):
                inside[at : at + len(text)] = True
        return np.array([inside[start:end].any() for start, end in tokens.spans])

    return on_tokens(which)


def random_keys(seed: int) -> Rule:
    """A key drawn at random for each query; the same for the same sequence."""

    def rule(tokens: Tokens) -> np.ndarray:
        rng = np.random.default_rng([seed, *np.frombuffer(tokens.sequence.encode()[:64], dtype=np.uint8)])
        n = len(tokens)
        return SHARP * np.eye(n)[rng.integers(1, n, size=n)]

    return rule


def _kmers(tokens: Tokens) -> list[str]:
    return [tokens.sequence[start:end] for start, end in tokens.spans]


def same_kmer(tokens: Tokens) -> np.ndarray:
    """Other tokens of the same id."""
    same = (tokens.ids[:, None] == tokens.ids[None]) & ~np.eye(len(tokens), dtype=bool)
    same[tokens.is_special] = same[:, tokens.is_special] = False
    return SHARP * same


def palindrome(tokens: Tokens) -> np.ndarray:
    """Tokens whose bases are the reverse complement of the query's."""
    kmers = _kmers(tokens)
    return SHARP * np.array([[bool(one) and reverse_complement(one) == other for other in kmers] for one in kmers])


def period(bp: float) -> Rule:
    """Keys at whole multiples of a period from the query, in bp."""

    def rule(tokens: Tokens) -> np.ndarray:
        middle = tokens.spans.mean(axis=1)
        return 4.0 * np.cos(2 * np.pi * (middle[:, None] - middle[None]) / bp)

    return rule


def gc_rich(tokens: Tokens) -> np.ndarray:
    """Keys in proportion to their GC content."""
    share = [sum(base in "GC" for base in kmer) / max(len(kmer), 1) for kmer in _kmers(tokens)]
    return np.tile(4.0 * np.array(share), (len(tokens), 1))


class _Config(PretrainedConfig):
    model_type = "attention_toy"

    def __init__(self, n_layers: int = 1, n_heads: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.num_hidden_layers, self.num_attention_heads = n_layers, n_heads
        self.hidden_size, self.intermediate_size = 8, 8
        self.pad_token_id = 1


class _Attention(nn.Module):
    """Heads of one layer, by their rules."""

    is_causal = False

    def __init__(self, config: _Config) -> None:
        super().__init__()
        self.config = config
        self.tables: torch.Tensor = torch.zeros(0)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        n, heads = hidden.shape[1], self.tables.shape[1]
        query = torch.eye(n).expand(len(hidden), heads, n, n)
        key = self.tables.transpose(-1, -2)[:, :, :n, :n]
        value = hidden[:, None].expand(len(hidden), heads, *hidden.shape[1:])
        kernel = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, nn.Identity)
        mixed, _ = kernel(self, query, key, value, mask, dropout=0.0, scaling=1.0)
        return mixed.mean(2)


class ToyEncoder(PreTrainedModel):
    """Embeddings mixed by attention of known heads; adds each layer's mixture to the stream."""

    config_class = _Config
    config: _Config
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, config: _Config) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(5000, config.hidden_size)
        self.blocks = nn.ModuleList([_Attention(config) for _ in range(config.num_hidden_layers)])
        self.post_init()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        hidden = self.embedding(input_ids)
        mask = create_bidirectional_mask(config=self.config, inputs_embeds=hidden, attention_mask=attention_mask)
        for block in self.blocks:
            hidden = hidden + block(hidden, mask)
        return hidden


@dataclass
class ToyModel:
    """A `models.DNAModel` of known heads."""

    rules: Sequence[Sequence[Rule]]
    tokenizer: Tokenizer
    module: ToyEncoder
    name: str = "toy"
    max_tokens: int = 4096
    info: dict[str, Any] = field(default_factory=dict)

    hidden_size = 8
    layers = property(lambda self: len(self.rules))
    heads = property(lambda self: len(self.rules[0]))
    mask_id = property(lambda self: self.tokenizer.vocabulary.mask_id)
    max_bp = property(lambda self: (self.max_tokens - 1) * self.tokenizer.vocabulary.k)

    def tokenize(self, sequence: str, *, phase: int = 0) -> Tokens:
        return self.tokenizer(sequence, max_tokens=self.max_tokens, phase=phase)

    def random_twin(self, seed: int = 0) -> ToyModel:
        """The same shape with heads that look anywhere: one key at random for each query."""
        places = [[37 * i + j for j in range(self.heads)] for i in range(self.layers)]
        rules = [[random_keys(1000 * seed + place) for place in row] for row in places]
        return toy(rules, k=self.tokenizer.vocabulary.k, name="random twin of toy")

    def weights(self, tokens: Tokens) -> np.ndarray:
        """The maps by brute force, float64 [layer, head, query, key]."""
        scores = np.array([[rule(tokens) for rule in row] for row in self.rules])
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True)

    def forward(self, batch: Any, *, outputs: Sequence[str] = ("logits",), at: Any = None) -> Forward:
        several = [batch] if isinstance(batch, Tokens) else list(batch)
        ids, mask = self.tokenizer.batch(several)
        longest = ids.shape[1]
        for layer, block in enumerate(self.module.blocks):
            tables = np.zeros((len(several), self.heads, longest, longest), dtype=np.float32)
            for row, tokens in enumerate(several):
                for head, rule in enumerate(self.rules[layer]):
                    tables[row, head, : len(tokens), : len(tokens)] = rule(tokens)
            block.tables = torch.from_numpy(tables)
        given = None if mask.all() else torch.from_numpy(mask.astype(np.int64))
        with torch.inference_mode():
            hidden = self.module(torch.from_numpy(ids), given)
        logits = hidden.numpy() if "logits" in outputs else None
        attentions = None
        if "attentions" in outputs:
            attentions = np.zeros((len(several), self.layers, self.heads, longest, longest), dtype=np.float32)
            for row, tokens in enumerate(several):
                attentions[row, ..., : len(tokens), : len(tokens)] = self.weights(tokens)
        return Forward(ids, mask.astype(bool), logits=logits, attentions=attentions)


def toy(rules: Sequence[Sequence[Rule]], *, k: int = 6, name: str = "toy") -> ToyModel:
    """A model with one rule for each [layer][head], over 6-mers (k=6), 3-mers or single bases (k=1)."""
    vocabulary = VOCABULARIES[{6: "nt-v2", 3: "nt-3mer", 1: "single-base"}[k]]
    torch.manual_seed(0)
    config = _Config(len(rules), len(rules[0]), attn_implementation="sdpa")
    module = ToyEncoder(config).eval()
    digest = f"{name}: {[[getattr(rule, '__qualname__', '') for rule in row] for row in rules]}"
    info = {"name": name, "weights_sha256": digest, "vocabulary": vocabulary.name, "max_tokens": 4096}
    return ToyModel(rules, Tokenizer(vocabulary), module, name, 4096, info)
