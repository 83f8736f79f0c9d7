"""The numbers of a training run: shape, length, batch, optimiser, schedule. Defaults are the paper's. And what a machine can do."""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ntviz import environment
from ntviz.models import registry
from ntviz.tokens import VOCABULARIES

_CHOICES = {
    "optimiser": ("adam", "adamw", "muon"), "schedule": ("inverse-sqrt", "constant"),
    "precision": ("auto", "float32", "bfloat16"), "vocabulary": ("nt-v1", "nt-v2"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A pretraining run in numbers.

    Attributes
    ----------
    layers, heads, hidden, ffn, vocabulary
        Shape of the encoder, v2-50m's by default; "nt-v2" for rotary positions and the gated FFN, "nt-v1" for learned positions,
        GELU and token dropout.
    max_tokens, step_tokens, micro_tokens
        Tokens a sequence, `<cls>` included; an optimiser step, over all processes (the effective batch); and a forward pass on
        one device, which memory limits: gradients are accumulated.
    mask_rate, random_replacement, both_strands
        See `masking.mask`; chunks are read from either strand.
    optimiser, weight_decay, clip
        "adam" (the paper's), "adamw", or "muon" (matrices by Muon, the rest by AdamW); decay of the last two; largest norm of the
        gradient, 0 for none (the paper's).
    learning_rate, first_learning_rate, warmup_steps, schedule, cooldown_steps
        Linear warm-up from the first to the peak; then "inverse-sqrt" decay (the paper's) or "constant"; and linear decay to zero
        over the last so many of `steps`.
    precision, recompute, compiled, sharded
        "auto" (bfloat16 where the hardware has it), "float32" or "bfloat16"; compute each layer again on the way back, which saves
        memory; compile the layers; each of several processes holds a share of parameters, gradients and optimiser state.
    seed
        Of initial weights, chunk order, strands and masks.

    References
    ----------
    Model cards of the Nucleotide Transformer: Adam (0.9, 0.999, 1e-8), 5e-5 to 1e-4 over 16k steps, then inverse
    square root; 1M tokens a step; 15 % masked. Muon: Jordan et al. 2024.
    """

    layers: int = 12
    heads: int = 16
    hidden: int = 512
    ffn: int = 2048
    vocabulary: str = "nt-v2"
    max_tokens: int = 1000
    step_tokens: int = 1_000_000
    micro_tokens: int = 32_000
    mask_rate: float = 0.15
    random_replacement: bool = True
    both_strands: bool = True
    optimiser: str = "adam"
    learning_rate: float = 1e-4
    first_learning_rate: float = 5e-5
    warmup_steps: int = 16_000
    schedule: str = "inverse-sqrt"
    cooldown_steps: int = 0
    weight_decay: float = 0.0
    clip: float = 0.0
    precision: str = "auto"
    recompute: bool = False
    compiled: bool = False
    sharded: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}.")
        if not 2 <= self.max_tokens <= min(self.step_tokens, self.micro_tokens):
            got = f"step_tokens={self.step_tokens}, micro_tokens={self.micro_tokens}, max_tokens={self.max_tokens}"
            raise ValueError(f"step_tokens and micro_tokens must hold at least one sequence of max_tokens (2 or more); got {got}.")  # fmt: skip

    @property
    def sequences(self) -> int:
        """Sequences an optimiser step."""
        return self.step_tokens // self.max_tokens

    @property
    def rotary(self) -> bool:
        """Whether positions are rotary and the FFN gated."""
        return self.vocabulary == "nt-v2"

    @property
    def n_ids(self) -> int:
        """Token ids that the model reads and predicts."""
        return VOCABULARIES[self.vocabulary].n_logits

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Learning rate of a step (0-based) in a run of `steps`.

        >>> [Recipe().learning_rate_at(s, 10**6) for s in (0, 16_000, 64_000)]
        [5e-05, 0.0001, 5e-05]
        """
        rate, warm = self.learning_rate, self.warmup_steps
        if step < warm:
            rate = self.first_learning_rate + step / warm * (rate - self.first_learning_rate)
        elif self.schedule == "inverse-sqrt":
            rate *= math.sqrt(max(1, warm) / max(1, step))
        return rate * min(1.0, (steps - step) / self.cooldown_steps) if self.cooldown_steps else rate

    def config(self) -> dict[str, Any]:
        """The config.json of the model, in the published layout of its generation."""
        return {
            "architectures": ["EsmForMaskedLM"], "model_type": "esm",
            **({"add_bias_fnn": False} if self.rotary else {}),
            "attention_probs_dropout_prob": 0.0, "emb_layer_norm_before": False, "hidden_dropout_prob": 0.0,
            "hidden_size": self.hidden, "initializer_range": 0.02, "intermediate_size": self.ffn,
            "layer_norm_eps": 1e-12, "mask_token_id": 2, "max_position_embeddings": self.max_tokens + 2,
            "num_attention_heads": self.heads, "num_hidden_layers": self.layers, "pad_token_id": 1,
            "position_embedding_type": "rotary" if self.rotary else "absolute", "tie_word_embeddings": False,
            "token_dropout": not self.rotary, "vocab_size": self.n_ids,
        }  # fmt: skip

    def flops_per_token(self) -> float:
        """Floating-point operations to train on one token: three times those forward, as Kaplan et al. 2020 count."""
        linears = 4 * self.hidden**2 + (3 if self.rotary else 2) * self.hidden * self.ffn
        attention = 2 * self.max_tokens * self.hidden
        head = self.mask_rate * (self.hidden**2 + self.hidden * self.n_ids)
        return 3 * 2 * (self.layers * (linears + attention) + head)

    def as_dict(self) -> dict[str, Any]:
        """The recipe as plain data, for manifests and model cards."""
        return dataclasses.asdict(self)


def _published(spec: registry.ModelSpec) -> Recipe:
    # From here on a copy, its gradients and Adam's two moments crowd a device: shards and recomputing instead.
    big, v2 = (spec.parameters or 0) > 400_000_000, spec.vocabulary == "nt-v2"
    return Recipe(
        layers=spec.layers, heads=spec.heads, hidden=spec.hidden, ffn=spec.ffn, vocabulary=spec.vocabulary,
        max_tokens=spec.max_tokens, step_tokens=512 * 2048 if v2 else 1_000_000,
        micro_tokens=16 * spec.max_tokens, random_replacement="1000g" not in spec.name, recompute=big, sharded=big,
    )  # fmt: skip


_SMALL = Recipe(
    layers=4, heads=8, hidden=256, ffn=512, max_tokens=256, step_tokens=8192, micro_tokens=8192,
    optimiser="muon", learning_rate=2e-3, first_learning_rate=1e-4, warmup_steps=100, schedule="constant",
)  # fmt: skip
RECIPES: dict[str, Recipe] = {
    "paper": Recipe(),
    "small": _SMALL,
    "mini": dataclasses.replace(_SMALL, step_tokens=32_768, micro_tokens=32_768, warmup_steps=300, compiled=True),
    **{
        name: _published(spec)
        for name, spec in registry.SPECS.items()
        if spec.repository.startswith("InstaDeepAI/nucleotide-transformer") and spec.vocabulary in _CHOICES["vocabulary"]
    },
}  # fmt: skip
"""By name: the published one, of v2-50m's shape; ntviz-mini's for small budgets, and as it was trained on a GPU; eight published models."""


def named(name: str, **changes: Any) -> Recipe:
    """The recipe called `name`, with some of its numbers changed.

    >>> named("small", seed=3).optimiser
    'muon'
    """
    if name not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}; got {name!r}.")
    return dataclasses.replace(RECIPES[name], **changes)


def matmul_flops(device: str = "auto", *, dtype: str = "float32", size: int = 2048, repeats: int = 5) -> float:
    """Floating-point operations a second of a product of `size` by `size` matrices, the best of some after one that warms up.

    Measured, as a shared machine does not reach its data sheet. `dtype` is "float32", "bfloat16" or "float16".
    """
    import torch

    if dtype not in (known := ("float32", "bfloat16", "float16")):
        raise ValueError(f"dtype must be one of {', '.join(known)}; got {dtype!r}.")
    if size < 1 or repeats < 1:
        raise ValueError(f"size and repeats must be at least 1; got size={size}, repeats={repeats}.")
    chosen = environment.device(device)
    a, b = (torch.randn(size, size, device=chosen).to(getattr(torch, dtype)) for _ in range(2))
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        # Reading one number waits for the device.
        float((a @ b)[0, 0])
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


@lru_cache(maxsize=8)
def peak_flops(device: str, dtype: str) -> float:
    """`matmul_flops` of a device, measured once in a process, with matrices large enough for its kind."""
    # On a CPU over a second or so: what else runs on it comes and goes, and the best counts.
    size, repeats = (1024, 20) if device == "cpu" else (8192, 5)
    return matmul_flops(device, dtype=dtype, size=size, repeats=repeats)
