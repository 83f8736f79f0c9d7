"""The Nucleotide Transformer encoder: v1 is transformers' ESM, v2 the same with a gated FFN. No remote code.

References
----------
Dalla-Torre et al., Nucleotide Transformer, Nature Methods 2025. The gated FFN is one fused bias-free linear of width
2f; its first half goes through SiLU and multiplies the second (Shazeer 2020, arXiv:2002.05202).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import EsmConfig, EsmForMaskedLM

from ntviz import environment, tokens
from ntviz.models import checkpoints, registry
from ntviz.models.protocol import OUTPUTS, Forward

_INV_FREQ = re.compile(r"esm\.encoder\.layer\.\d+\.attention\.self\.rotary_embeddings\.inv_freq")
_UNUSED = re.compile(r"esm\.contact_head\..*|esm\.embeddings\.position_ids|esm\.pooler\..*|lm_head\.decoder\.bias")
_CONFIG_KEYS = (
    "vocab_size", "mask_token_id", "pad_token_id", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "intermediate_size", "hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings",
    "initializer_range", "layer_norm_eps", "position_embedding_type", "emb_layer_norm_before", "token_dropout",
)  # fmt: skip
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
            layer.intermediate = GatedIntermediate(hidden, config["intermediate_size"])
            layer.output.dense = nn.Linear(config["intermediate_size"], hidden, bias=False)
            for linear in (layer.intermediate.dense, layer.output.dense):
                nn.init.normal_(linear.weight, std=config.get("initializer_range", 0.02))
    # The contact head reads protein contacts off attention maps; nothing uses it for DNA.
    module.esm.contact_head.requires_grad_(False)
    return module


def assign(module: EsmForMaskedLM, tensors: dict[str, torch.Tensor], *, origin: str = "the checkpoint") -> None:
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
    if table in given and expected is not None and not torch.allclose(given[table].float(), expected, rtol=2e-2):
        raise ValueError(
            f"{origin}'s rotary frequencies must be 10000^(-2i/d); the first differ: expected "
            f"{expected[:3].tolist()}, got {given[table][:3].tolist()}. It uses a rescaled context: not supported."
        )
    fitting = {name: value for name, value in given.items() if name in own}
    module.load_state_dict(fitting, strict=False, assign=True)


@dataclass(frozen=True)
class NucleotideTransformer:
    """A loaded Nucleotide Transformer; implements `models.DNAModel`.

    Attributes
    ----------
    module
        The `EsmForMaskedLM`, in eval mode; public, for hooks and training.
    tokenizer
        Turns bases into ids; see `ntviz.tokens`.
    """

    module: EsmForMaskedLM
    tokenizer: tokens.Tokenizer
    name: str
    max_tokens: int
    info: dict[str, Any]

    @property
    def max_bp(self) -> int:
        """Longest N-free sequence in bp that fits with `<cls>`."""
        return (self.max_tokens - 1) * self.tokenizer.vocabulary.k

    @property
    def mask_id(self) -> int:
        """Id of `<mask>`."""
        return self.tokenizer.vocabulary.mask_id

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return self.module.config.num_hidden_layers

    @property
    def heads(self) -> int:
        """Attention heads per block."""
        return self.module.config.num_attention_heads

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return self.module.config.hidden_size

    def __repr__(self) -> str:
        size = sum(p.numel() for p in self.module.parameters()) / 1e6
        return (
            f"{self.name}: {self.layers} layers x {self.heads} heads, width {self.hidden_size}, {size:.1f} M parameters,"
            f" {self.tokenizer.vocabulary.name} tokens, up to {self.max_tokens:,} tokens ({self.max_bp:,} bp)"
        )

    def tokenize(self, sequence: str, *, phase: int = 0) -> tokens.Tokens:
        """Tokens of an upper-case sequence, `<cls>` first; see `tokens.Tokenizer`.

        Raises
        ------
        ValueError
            Letters other than A, C, G, T, N, or more tokens than the model takes.
        """
        return self.tokenizer(sequence, max_tokens=self.max_tokens, phase=phase)

    def forward(
        self, batch: tokens.Tokens | Sequence[tokens.Tokens] | np.ndarray, *, outputs: Sequence[str] = ("logits",)
    ) -> Forward:
        """The outputs asked for, as float32 arrays; see `models.Forward` for their axes.

        Parameters
        ----------
        batch
            One tokenised sequence, several (padded here), or ids [sequence, token] that end in padding ids.
        outputs
            Of "logits", "hidden_states", "attentions". Attentions switch the model to the eager kernel for this call
            and hold layers x heads x tokens x tokens numbers a sequence: ask for windows of long sequences only.

        Raises
        ------
        ValueError
            An unknown output, an id outside the vocabulary, padding before a token, or more tokens than fit.
        RuntimeError
            transformers returned another number of layers than the model has.
        """
        unknown = [name for name in outputs if name not in OUTPUTS]
        if unknown:
            raise ValueError(f"outputs must be among {', '.join(OUTPUTS)}; got {unknown[0]!r}.")
        input_ids, mask = self._padded(batch)
        device = self.module.device
        with torch.inference_mode(), self._kernel("eager" if "attentions" in outputs else "sdpa"):
            result = self.module(
                input_ids=torch.from_numpy(input_ids).to(device),
                attention_mask=torch.from_numpy(mask.astype(np.int64)).to(device),
                output_hidden_states="hidden_states" in outputs,
                output_attentions="attentions" in outputs,
            )
        return Forward(
            input_ids,
            mask,
            logits=_float32(result.logits) if "logits" in outputs else None,
            hidden_states=self._stacked(result.hidden_states, self.layers + 1) if "hidden_states" in outputs else None,
            attentions=self._stacked(result.attentions, self.layers) if "attentions" in outputs else None,
        )

    def _padded(self, batch: Any) -> tuple[np.ndarray, np.ndarray]:
        vocabulary = self.tokenizer.vocabulary
        if isinstance(batch, np.ndarray):
            ids = np.ascontiguousarray(batch if batch.ndim == 2 else batch[None], dtype=np.int64)
            mask = ids != vocabulary.pad_id
            if (mask[:, 1:] & ~mask[:, :-1]).any():
                raise ValueError(
                    f"Padding (id {vocabulary.pad_id}) must come after the last token; a row has tokens behind padding. "
                    "Pass Tokens, which are padded here."
                )
        else:
            ids, mask = self.tokenizer.batch([batch] if isinstance(batch, tokens.Tokens) else list(batch))
            mask = mask.astype(bool)
        if ids.shape[1] > self.max_tokens:
            raise ValueError(
                f"{self.name} takes up to {self.max_tokens:,} tokens ({self.max_bp:,} bp without N); got "
                f"{ids.shape[1]:,} tokens. Take a shorter interval or tile it."
            )
        size = self.module.config.vocab_size
        if ids.size and (ids.min() < 0 or ids.max() >= size):
            raise ValueError(
                f"Token ids must lie in 0 to {size - 1} for {self.name}; got {int(ids.min())} to {int(ids.max())}. "
                "Were they made with another model's vocabulary?"
            )
        return ids, mask

    @contextmanager
    def _kernel(self, name: str) -> Iterator[None]:
        # Fused attention returns no maps, without an error; only the eager kernel has them.
        before = self.module.config._attn_implementation
        if before == name or name == "sdpa":
            yield
            return
        self.module.set_attn_implementation(name)
        try:
            yield
        finally:
            self.module.set_attn_implementation(before)

    def _stacked(self, layers: Sequence[torch.Tensor] | None, expected: int) -> np.ndarray:
        got = len(layers or ())
        if got != expected or layers is None:
            raise RuntimeError(
                f"transformers must return {expected} layers; it returned {got}. This version of transformers "
                "captures outputs differently: install the one in requirements.lock."
            )
        return np.stack([_float32(layer) for layer in layers], axis=1)


def _float32(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().to("cpu", torch.float32).numpy()


def read_vocabulary(directory: Path, config: dict[str, Any], spec: registry.ModelSpec | None) -> tokens.Vocabulary:
    """The vocabulary of a checkpoint: its vocab.txt, else the named model's, else by the number of logits.

    Raises
    ------
    ValueError
        vocab.txt is none of the known vocabularies, or does not fit config.json's vocab_size.
    """
    path = directory / "vocab.txt"
    if path.is_file():
        vocabulary = tokens.Vocabulary.from_file(path)
    elif spec is not None:
        vocabulary = tokens.VOCABULARIES[spec.vocabulary]
    else:
        by_size = {v.n_logits: v for v in tokens.VOCABULARIES.values()}
        if config["vocab_size"] not in by_size:
            raise ValueError(
                f"{directory} has no vocab.txt, and no known vocabulary has {config['vocab_size']} logits "
                f"(known: {', '.join(map(str, sorted(by_size)))}). Put the checkpoint's vocab.txt there."
            )
        vocabulary = by_size[config["vocab_size"]]
    if vocabulary.n_logits != config["vocab_size"]:
        raise ValueError(
            f"vocab_size in config.json must be {vocabulary.n_logits} for the vocabulary {vocabulary.name}; "
            f"got {config['vocab_size']}. The files belong to different checkpoints."
        )
    return vocabulary


def load(
    located: checkpoints.Located, *, device: str = "auto", dtype: str = "float32", max_tokens: int | None = None
) -> NucleotideTransformer:
    """Loads a located checkpoint; `models.load` is the front door."""
    if dtype not in _DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}; got {dtype!r}.")
    directory, spec = located.directory, located.spec
    config = checkpoints.read_config(directory)
    vocabulary = read_vocabulary(directory, config, spec)
    with torch.device("meta"):
        module = build(config)
    _fill_buffers(module)
    assign(module, checkpoints.read_tensors(directory), origin=str(directory))
    module = module.to(environment.device(device), _DTYPES[dtype]).eval()
    if module.esm.rotary_embeddings is not None:
        # Half precision would round the angles: the table stays in float32.
        module.esm.rotary_embeddings.inv_freq = _inverse_frequencies(module).to(module.device)
    rotary = config.get("position_embedding_type") == "rotary"
    positions = config.get("max_position_embeddings", 1026) - 2
    limit = max_tokens or positions
    if limit > positions and not rotary:
        raise ValueError(
            f"{directory.name} has learned positions for {positions:,} tokens; max_tokens={limit:,} is beyond them."
        )
    name = spec.name if spec is not None else directory.name
    licence = spec.licence if spec is not None else "not stated"
    if licence == registry.CC_BY_NC_SA:
        warnings.warn(
            f"The weights of {name} are licensed {licence}: not for commercial use, and what is derived from them "
            "(embeddings, adapters, fine-tuned models) carries the same terms.",
            LicenceNotice,
            stacklevel=3,
        )
    info = {
        "name": name,
        "revision": located.revision,
        "weights_sha256": checkpoints.weight_hash(directory),
        "licence": licence,
        "parameters": sum(p.numel() for p in module.parameters()),
        "layers": module.config.num_hidden_layers,
        "heads": module.config.num_attention_heads,
        "hidden_size": module.config.hidden_size,
        "max_tokens": limit,
        "vocabulary": vocabulary.name,
        "dtype": dtype,
        "device": str(module.device),
    }
    return NucleotideTransformer(module, tokens.Tokenizer(vocabulary), name, limit, info)


class LicenceNotice(UserWarning):
    """Says that the weights just loaded are not free for commercial use."""


def _inverse_frequencies(module: EsmForMaskedLM) -> torch.Tensor:
    return module.esm.rotary_embeddings.compute_default_rope_parameters(module.config)[0]


def _fill_buffers(module: EsmForMaskedLM) -> None:
    # A module built without memory has no buffers either; a checkpoint holds weights only.
    embeddings = module.esm.embeddings
    embeddings.position_ids = torch.arange(embeddings.position_ids.shape[-1]).expand((1, -1))
    if module.esm.rotary_embeddings is not None:
        module.esm.rotary_embeddings.inv_freq = _inverse_frequencies(module)
    module.esm.contact_head.to_empty(device="cpu")
    for parameter in module.esm.contact_head.parameters():
        nn.init.zeros_(parameter)
