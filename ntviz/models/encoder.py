"""The encoder's module: transformers' ESM, with the gated FFN where config.json asks for it, and its weights.

References
----------
Dalla-Torre et al., Nucleotide Transformer, Nature Methods 2025. The gated FFN is one fused bias-free linear of width
2f; its first half goes through SiLU and multiplies the second (Shazeer 2020, arXiv:2002.05202).
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

import torch
from torch import nn
from transformers import EsmConfig, EsmForMaskedLM

from ntviz.models import checkpoints

# transformers 5 writes an asterisk for the layer.
_INV_FREQ = re.compile(r"esm\.encoder\.layer\.(\d+|\*)\.attention\.self\.rotary_embeddings\.inv_freq")
_UNUSED = r"esm\.contact_head\..*|esm\.embeddings\.position_ids|esm\.pooler\..*|lm_head\.decoder\.bias|classifier\..*"
_PARTS = ("embeddings.", "encoder.", "pooler.", "contact_head.", "rotary_embeddings.")
_EMBEDDING, _DECODER = "esm.embeddings.word_embeddings.weight", "lm_head.decoder.weight"
_UP, _TABLE = "esm.encoder.layer.0.intermediate.dense.", "esm.rotary_embeddings.inv_freq"
_CONFIG_KEYS = (
    "vocab_size", "mask_token_id", "pad_token_id", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "intermediate_size", "max_position_embeddings", "position_embedding_type", "emb_layer_norm_before", "token_dropout",
    "add_bias_fnn", "tie_word_embeddings", "lm_head",
)  # fmt: skip
_FRACTIONS = (
    "hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range", "layer_norm_eps", "rope_theta",
)  # fmt: skip


class GatedIntermediate(nn.Module):
    """[.., hidden] to [.., ffn]: SiLU of the first half of one linear, times its second half."""

    def __init__(self, hidden: int, ffn: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, 2 * ffn, bias=False)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        gate, value = self.dense(hidden_states).chunk(2, dim=-1)
        return nn.functional.silu(gate) * value


def attended(
    attention: Any, rows: tuple[Any, Any], real: torch.Tensor | None, states: torch.Tensor, *,
    position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None, **_: Any,
) -> torch.Tensor:  # fmt: skip
    """As transformers' `EsmAttention`, for the tokens `rows` of its states; `real` [sequence, token] are no padding."""
    own, normed = attention.self, attention.LayerNorm(states)
    query, key, value = (
        part(tokens).unflatten(-1, (-1, own.attention_head_size))
        for part, tokens in ((own.query, normed[rows]), (own.key, normed), (own.value, normed))
    )
    if position_embeddings is not None:
        tables = [table.float().expand(len(states), -1, -1)[:, :, None] for table in position_embeddings]
        query, key = _rotated(query, *(table[rows] for table in tables)), _rotated(key, *tables)
    query, key, value = (part.transpose(1, 2) for part in (query, key, value))
    seen = None if real is None else real[:, None, None]
    found = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
    return attention.output(found.transpose(1, 2).flatten(2), states[rows])


def _rotated(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """As transformers' `apply_rotary_pos_emb`, with half of its passes over memory."""
    half, exact = states.shape[-1] // 2, states.float()
    turned = exact * cos
    turned[..., :half].addcmul_(exact[..., half:], sin[..., :half], value=-1)
    turned[..., half:].addcmul_(exact[..., :half], sin[..., half:])
    return turned.to(states.dtype)


class NoHead(nn.Module):
    """In the place of a language-model head that the checkpoint does not have: an error that says so."""

    def forward(self, hidden_states: torch.Tensor) -> NoReturn:
        raise ValueError(
            "Logits, scores and expectations need a language-model head; this checkpoint was saved without one. Ask for "
            "hidden_states, attentions or embed, or load an EsmForMaskedLM."
        )


def named(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors by the names of `EsmForMaskedLM`; an encoder saved alone has no `esm.` in front of them."""
    if any(name.startswith("esm.") for name in tensors):
        return tensors
    return {f"esm.{name}" if name.startswith(_PARTS) else name: value for name, value in tensors.items()}


def completed(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    """A config.json with what the tensors tell: a gated FFN where it says nothing, an output layer that is tied, no head.

    As in transformers, `tie_word_embeddings` is true by default, and does not count where both tensors are there and differ.
    """
    up, fused = tensors.get(f"{_UP}weight"), 2 * config["intermediate_size"]
    gated = up is not None and f"{_UP}bias" not in tensors and up.shape[:1] == (fused,)
    head = any(name.startswith("lm_head.") for name in tensors)
    tied = head and bool(config.get("tie_word_embeddings", True))
    if tied and _EMBEDDING in tensors and _DECODER in tensors:
        tied = torch.equal(tensors[_EMBEDDING], tensors[_DECODER])
    return {"add_bias_fnn": not gated, **config, "tie_word_embeddings": tied, "lm_head": head}


def rescaled(factor: float, size: int) -> float:
    """Base of the rotary positions of heads of a size, for inputs longer by a factor than those of pretraining."""
    return 10_000 * factor ** (size / (size - 2))


def build(config: dict[str, Any]) -> EsmForMaskedLM:
    """The encoder with its masked-language-model head, randomly initialised, as config.json, or `module.config.to_dict()`, has it."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    if hidden % heads:
        raise ValueError(f"hidden_size must be a multiple of num_attention_heads; got {hidden} and {heads}.")
    if config.get("position_embedding_type", "absolute") not in ("absolute", "rotary"):
        raise ValueError(
            f"position_embedding_type must be 'absolute' or 'rotary'; got {config['position_embedding_type']!r}."
        )
    known: dict[str, Any] = {
        "pad_token_id": 1, "mask_token_id": 2, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
        "tie_word_embeddings": False, "lm_head": True,
    }  # fmt: skip
    known |= {key: config[key] for key in _CONFIG_KEYS if config.get(key) is not None}
    known |= {key: float(config[key]) for key in _FRACTIONS if config.get(key) is not None}
    if config.get("rescaling_factor"):
        known["rope_theta"] = rescaled(config["rescaling_factor"], hidden // heads)
    # Ids of ESM's own protein vocabulary would otherwise be assumed for the end of a sequence.
    module = EsmForMaskedLM(EsmConfig(**known, eos_token_id=None))
    module.layers, module.heads, module.width = config["num_hidden_layers"], heads, hidden
    if not known["lm_head"]:
        module.lm_head = NoHead()
    # The gated FFN (v2).
    if not config.get("add_bias_fnn", True):
        for layer in module.esm.encoder.layer:
            gated = GatedIntermediate(hidden, config["intermediate_size"])
            down = nn.Linear(config["intermediate_size"], hidden, bias=False)
            for linear in (gated.dense, down):
                nn.init.normal_(linear.weight, std=config.get("initializer_range", 0.02))
            layer.intermediate, layer.output.dense = gated, down
    # The contact head reads protein contacts off attention maps; nothing uses it for DNA.
    module.esm.contact_head.requires_grad_(False)
    return module


def assign(module: EsmForMaskedLM, tensors: dict[str, torch.Tensor], *, origin: str = "the checkpoint") -> None:
    """Puts a checkpoint's tensors, as `named`, into the module: every one, or an error that says which does not fit."""
    own, tied, rope = module.state_dict(), module.config.tie_word_embeddings, module.config.rope_theta
    rotary = sorted(name for name in tensors if _INV_FREQ.fullmatch(name))
    given = {name: value for name, value in tensors.items() if name not in rotary}
    if _TABLE in own:
        given.pop("esm.embeddings.position_embeddings.weight", None)
        if rotary:
            given.setdefault(_TABLE, tensors[rotary[0]])
    for name, other in ((_EMBEDDING, _DECODER), (_DECODER, _EMBEDDING)) if tied else ():
        if other in given:
            given.setdefault(name, given[other])
    up, expected = given.get(f"{_UP}weight"), own[f"{_UP}weight"]
    if up is not None and len(up) in (2 * len(expected), len(expected) / 2):
        raise ValueError(
            f"{origin} holds a gated (v2) checkpoint with a v1 config, or the reverse: {_UP}weight has {len(up):,} rows, "
            f'{len(expected):,} are implied. v2\'s config.json says "add_bias_fnn": false.'
        )
    # Without a language-model head, that of another task is none of the encoder's tensors.
    other_task = ("base_model.", "classifier.") if module.config.lm_head else ("base_model.",)
    foreign = [name for name in given if name.startswith(other_task)]
    if foreign:
        raise ValueError(
            f"{origin} holds {foreign[0]}, as a fine-tuned or PEFT checkpoint does: pass the base model, or the encoder saved "
            "alone (`model.esm.save_pretrained`)."
        )
    contact = [name for name in own if name.startswith("esm.contact_head.")]
    checkpoints.assign(module, given, origin=origin, optional=[*contact, _TABLE], unused=_UNUSED)
    table = _inverse_frequencies(module) if _TABLE in own else None
    if table is not None and not torch.allclose(given.get(_TABLE, table).float(), table, rtol=2e-2):
        raise ValueError(
            f"{origin}'s rotary frequencies must be {rope:g}^(-2i/d); the first differ: expected {table[:3].tolist()}, "
            f"got {given[_TABLE][:3].tolist()}. It uses a rescaled context: not supported."
        )
    if tied:
        module.tie_weights()


def placed(module: EsmForMaskedLM, device: str | torch.device, dtype: torch.dtype) -> EsmForMaskedLM:
    """The module, ready to run, with what a checkpoint does not hold. Half precision would round angles: they stay in float32."""
    embeddings, rotary, contact = module.esm.embeddings, module.esm.rotary_embeddings, module.esm.contact_head
    embeddings.position_ids = torch.arange(embeddings.position_ids.shape[-1]).expand((1, -1))
    if contact.regression.weight.is_meta:
        for parameter in contact.to_empty(device="cpu").parameters():
            nn.init.zeros_(parameter)
    if rotary is not None:
        rotary.inv_freq = _inverse_frequencies(module)
    module = module.to(device, dtype).eval()
    if rotary is not None:
        rotary.inv_freq = _inverse_frequencies(module).to(module.device)
    return module


def _inverse_frequencies(module: EsmForMaskedLM) -> torch.Tensor:
    """The rotary table [head size / 2] in float32: rope_theta^(-2i/d), 10000 in all published models."""
    return module.esm.rotary_embeddings.compute_default_rope_parameters(module.config)[0]
