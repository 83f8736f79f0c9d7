"""The encoder's module: transformers' ESM, with the gated FFN where config.json asks for it, and its weights.

References
----------
Dalla-Torre et al., Nucleotide Transformer, Nature Methods 2025. The gated FFN is one fused bias-free linear of width
2f; its first half goes through SiLU and multiplies the second (Shazeer 2020, arXiv:2002.05202).
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn
from transformers import EsmConfig, EsmForMaskedLM

_INV_FREQ = re.compile(r"esm\.encoder\.layer\.\d+\.attention\.self\.rotary_embeddings\.inv_freq")
_UNUSED = re.compile(
    r"esm\.contact_head\..*|esm\.embeddings\.position_ids|esm\.pooler\..*|lm_head\.decoder\.bias"
)
_CONFIG_KEYS = (
    "vocab_size", "mask_token_id", "pad_token_id", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "intermediate_size", "hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings",
    "initializer_range", "layer_norm_eps", "position_embedding_type", "emb_layer_norm_before", "token_dropout",
)  # fmt: skip


class GatedIntermediate(nn.Module):
    """[.., hidden] to [.., ffn]: SiLU of the first half of one linear, times its second half."""

    def __init__(self, hidden: int, ffn: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, 2 * ffn, bias=False)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        gate, value = self.dense(hidden_states).chunk(2, dim=-1)
        return nn.functional.silu(gate) * value


def is_gated(config: dict[str, Any]) -> bool:
    """Whether a config.json describes the gated FFN (v2): it says `add_bias_fnn: false`."""
    return not config.get("add_bias_fnn", True)


def build(config: dict[str, Any]) -> EsmForMaskedLM:
    """The encoder with its masked-language-model head, randomly initialised, as config.json describes it.

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
    known = {key: config[key] for key in _CONFIG_KEYS if key in config}
    known.setdefault("pad_token_id", 1)
    known.setdefault("mask_token_id", 2)
    known.setdefault("hidden_dropout_prob", 0.0)
    known.setdefault("attention_probs_dropout_prob", 0.0)
    # Ids of ESM's own protein vocabulary would otherwise be assumed for the end of a sequence.
    module = EsmForMaskedLM(EsmConfig(**known, tie_word_embeddings=False, eos_token_id=None))
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
    """Copies a checkpoint's tensors into the module: every one of them, or an error that says which does not fit.

    Raises
    ------
    ValueError
        A tensor is missing, unknown, of another shape, or not finite in the rotary table.
    """
    own = module.state_dict()
    rotary = sorted(name for name in tensors if _INV_FREQ.fullmatch(name))
    given = {name: value for name, value in tensors.items() if name not in rotary}
    table = "esm.rotary_embeddings.inv_freq"
    if module.config.position_embedding_type == "rotary":
        given.pop("esm.embeddings.position_embeddings.weight", None)
        if rotary:
            given.setdefault(table, tensors[rotary[0]])
    shaped = {name: tuple(value.shape) for name, value in given.items()}
    wrong = [name for name in own if name in shaped and shaped[name] != tuple(own[name].shape)]
    optional = {name for name in own if name.startswith("esm.contact_head.")} | {table}
    missing = [name for name in own if name not in given and name not in optional]
    extra = [name for name in given if name not in own and not _UNUSED.fullmatch(name)]
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
    if missing or extra:
        parts = [
            f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for what, names in (("missing", missing), ("unknown", extra))
            if names
        ]
        hint = (
            " `classifier.` and `base_model.` names come from a fine-tuned or PEFT checkpoint: pass the base model."
            if any(name.startswith(("classifier.", "base_model.")) for name in extra)
            else ""
        )
        raise ValueError(
            f"{origin} must hold each tensor of its config's encoder and no other; it has {' and '.join(parts)}. "
            f"Nothing was loaded.{hint}"
        )
    expected = own.get(table)
    if (
        table in given
        and expected is not None
        and not torch.allclose(given[table].float(), expected, rtol=2e-2)
    ):
        raise ValueError(
            f"{origin}'s rotary frequencies must be 10000^(-2i/d); the first differ: expected "
            f"{expected[:3].tolist()}, got {given[table][:3].tolist()}. It uses a rescaled context: not supported."
        )
    fitting = {name: value for name, value in given.items() if name in own}
    module.load_state_dict(fitting, strict=False, assign=True)


def inverse_frequencies(module: EsmForMaskedLM) -> torch.Tensor:
    """The rotary table [head size / 2] in float32: 10000^(-2i/d)."""
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
