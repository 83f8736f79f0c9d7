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

# transformers 5 writes an asterisk for the layer.
_INV_FREQ = re.compile(r"esm\.encoder\.layer\.(\d+|\*)\.attention\.self\.rotary_embeddings\.inv_freq")
_UNUSED = re.compile(
    r"esm\.contact_head\..*|esm\.embeddings\.position_ids|esm\.pooler\..*|lm_head\.decoder\.bias"
)
_PARTS = ("embeddings.", "encoder.", "pooler.", "contact_head.", "rotary_embeddings.")
_EMBEDDING, _DECODER = "esm.embeddings.word_embeddings.weight", "lm_head.decoder.weight"
_UP = "esm.encoder.layer.0.intermediate.dense."
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
    """What transformers' `EsmAttention` gives for the tokens `rows` of its states; `real` [sequence, token] are no padding."""
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
            "hidden_states, attentions or embed, or load a checkpoint saved as a masked language model (EsmForMaskedLM)."
        )


def named(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors by the names of `EsmForMaskedLM`; an encoder saved alone has no `esm.` in front of them."""
    if any(name.startswith("esm.") for name in tensors):
        return tensors
    return {f"esm.{name}" if name.startswith(_PARTS) else name: value for name, value in tensors.items()}


def completed(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    """A config.json with what the tensors tell: a gated FFN where it says nothing, an output layer that is tied, no head.

    As in transformers, `tie_word_embeddings` is true unless it is said, and does not count where both tensors are there
    and differ.
    """
    up, fused = tensors.get(f"{_UP}weight"), 2 * config["intermediate_size"]
    gated = up is not None and f"{_UP}bias" not in tensors and up.shape[:1] == (fused,)
    head = any(name.startswith("lm_head.") for name in tensors)
    tied = head and bool(config.get("tie_word_embeddings", True))
    if tied and _EMBEDDING in tensors and _DECODER in tensors:
        one, other = tensors[_EMBEDDING], tensors[_DECODER]
        tied = one.shape == other.shape and bool((one == other).all())
    return {"add_bias_fnn": not gated, **config, "tie_word_embeddings": tied, "lm_head": head}


def is_gated(config: dict[str, Any]) -> bool:
    """Whether a config.json describes the gated FFN (v2): it says `add_bias_fnn: false`."""
    return not config.get("add_bias_fnn", True)


def build(config: dict[str, Any]) -> EsmForMaskedLM:
    """The encoder with its masked-language-model head, randomly initialised, as config.json describes it.

    The config of the module keeps all that it was built from: `build(module.config.to_dict())` has the same shape.

    Raises
    ------
    ValueError
        The hidden size is no multiple of the heads, or the position type is not absolute or rotary.
    """
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    if hidden % heads:
        raise ValueError(
            f"hidden_size must be a multiple of num_attention_heads; got {hidden} and {heads}. Check config.json."
        )
    if config.get("position_embedding_type", "absolute") not in ("absolute", "rotary"):
        raise ValueError(
            "position_embedding_type must be 'absolute' or 'rotary'; got "
            f"{config['position_embedding_type']!r}. This is not a Nucleotide Transformer encoder."
        )
    known = {key: config[key] for key in _CONFIG_KEYS if config.get(key) is not None}
    known |= {key: float(config[key]) for key in _FRACTIONS if config.get(key) is not None}
    known.setdefault("pad_token_id", 1)
    known.setdefault("mask_token_id", 2)
    known.setdefault("hidden_dropout_prob", 0.0)
    known.setdefault("attention_probs_dropout_prob", 0.0)
    known.setdefault("tie_word_embeddings", False)
    known.setdefault("lm_head", True)
    # Ids of ESM's own protein vocabulary would otherwise be assumed for the end of a sequence.
    module = EsmForMaskedLM(EsmConfig(**known, eos_token_id=None))
    if not known["lm_head"]:
        module.lm_head = NoHead()
    if is_gated(config):
        for layer in module.esm.encoder.layer:
            gated = GatedIntermediate(hidden, config["intermediate_size"])
            down = nn.Linear(config["intermediate_size"], hidden, bias=False)
            for linear in (gated.dense, down):
                nn.init.normal_(linear.weight, std=config.get("initializer_range", 0.02))
            layer.intermediate, layer.output.dense = gated, down
    # The contact head reads protein contacts off attention maps; nothing uses it for DNA.
    module.esm.contact_head.requires_grad_(False)
    return module


def assign(
    module: EsmForMaskedLM, tensors: dict[str, torch.Tensor], *, origin: str = "the checkpoint"
) -> None:
    """Copies a checkpoint's tensors, as `named`, into the module: every one, or an error that says which does not fit.

    Raises
    ------
    ValueError
        A tensor is missing, unknown, of another shape, or not finite.
    """
    own = module.state_dict()
    rotary = sorted(name for name in tensors if _INV_FREQ.fullmatch(name))
    given = {name: value for name, value in tensors.items() if name not in rotary}
    table = "esm.rotary_embeddings.inv_freq"
    if module.config.position_embedding_type == "rotary":
        given.pop("esm.embeddings.position_embeddings.weight", None)
        if rotary:
            given.setdefault(table, tensors[rotary[0]])
    tied = module.config.tie_word_embeddings
    for name, other in ((_EMBEDDING, _DECODER), (_DECODER, _EMBEDDING)) if tied else ():
        if other in given:
            given.setdefault(name, given[other])
    shaped = {name: tuple(value.shape) for name, value in given.items()}
    wrong = [name for name in own if name in shaped and shaped[name] != tuple(own[name].shape)]
    optional = {name for name in own if name.startswith("esm.contact_head.")} | {table}
    missing = [name for name in own if name not in given and name not in optional]
    # Without a language-model head, that of another task is none of the encoder's tensors.
    unused = ("classifier.",) if not module.config.lm_head else ()
    extra = [
        name
        for name in given
        if name not in own and not _UNUSED.fullmatch(name) and not name.startswith(unused)
    ]
    if wrong:
        name = wrong[0]
        gated_hint = (
            " A first dimension twice or half as large means a gated (v2) checkpoint with a v1 config, or the reverse:"
            " v2's config.json says \"add_bias_fnn\": false." if ".intermediate." in name else ""
        )  # fmt: skip
        raise ValueError(
            f"{len(wrong)} tensors of {origin} do not have the shape that its config.json implies, first {name}: "
            f"expected {tuple(own[name].shape)}, got {shaped[name]}.{gated_hint} Nothing was loaded."
        )
    quantised = [name for name in own if name in given and not given[name].is_floating_point()]
    if missing or extra or quantised:
        parts = [
            f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for what, names in (("missing", missing), ("unknown", extra), ("quantised", quantised))
            if names
        ]
        hint = (
            " `classifier.` and `base_model.` names come from a fine-tuned or PEFT checkpoint: pass the base model, or the "
            "encoder saved alone (`model.esm.save_pretrained`)."
            if any(name.startswith(("classifier.", "base_model.")) for name in extra)
            else ""
        )
        raise ValueError(
            f"{origin} must hold each tensor of its config's encoder and no other; it has {' and '.join(parts)}. "
            f"Nothing was loaded.{hint}"
        )
    infinite = [name for name in own if name in given and not bool(given[name].isfinite().all())]
    if infinite:
        raise ValueError(
            f"Weights must be finite; {len(infinite)} tensors of {origin} hold nan or infinity, first {infinite[0]}: training diverged, "
            "or numbers were too large for float16. Take an earlier checkpoint, or save it in float32."
        )
    expected = own.get(table)
    if (
        table in given
        and expected is not None
        and not torch.allclose(given[table].float(), expected, rtol=2e-2)
    ):
        raise ValueError(
            f"{origin}'s rotary frequencies must be {module.config.rope_theta:g}^(-2i/d); the first differ: expected "
            f"{expected[:3].tolist()}, got {given[table][:3].tolist()}. It uses a rescaled context: not supported."
        )
    fitting = {name: value for name, value in given.items() if name in own}
    module.load_state_dict(fitting, strict=False, assign=True)
    if tied:
        module.tie_weights()


def inverse_frequencies(module: EsmForMaskedLM) -> torch.Tensor:
    """The rotary table [head size / 2] in float32: rope_theta^(-2i/d), 10000 in all published models."""
    return module.esm.rotary_embeddings.compute_default_rope_parameters(module.config)[0]


def fill_buffers(module: EsmForMaskedLM) -> None:
    """Gives a module that was built without memory its computed buffers; a checkpoint holds weights only."""
    embeddings = module.esm.embeddings
    embeddings.position_ids = torch.arange(embeddings.position_ids.shape[-1]).expand((1, -1))
    if module.esm.rotary_embeddings is not None:
        module.esm.rotary_embeddings.inv_freq = inverse_frequencies(module)
    module.esm.contact_head.to_empty(device="cpu")
    for parameter in module.esm.contact_head.parameters():
        nn.init.zeros_(parameter)
