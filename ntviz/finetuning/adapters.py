"""Where adapters go: IA3's vectors and LoRA's factors, put into a copy of the encoder by peft.

References
----------
Liu et al. (2022) NeurIPS, for IA3: vectors on keys, values and the hidden state of the FFN, ones at first. Dalla-Torre et al.
(2025) tune the Nucleotide Transformer with it. In v2's gated FFN the vector acts on the gated product, which is what enters
the last linear layer; the paper does not say, and the number of parameters, layers x (2 x hidden + ffn), is the same. Hu
et al. (2021) arXiv:2106.09685, for LoRA.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Generator
from typing import Any

import torch
from torch import nn

from ntviz.finetuning.fit import Recipe

METHODS = ("ia3", "lora", "full", "head")
_KEY_VALUE = r"(.*\.)?encoder\.layer\.\d+\.attention\.self\.(key|value)"
_QUERY_VALUE = r"(.*\.)?encoder\.layer\.\d+\.attention\.self\.(query|value)"
# Not attention.output.dense: the last linear layer of the FFN alone, whose input is the hidden state.
_FFN = r"(.*\.)?encoder\.layer\.\d+\.output\.dense"


def adapted(encoder: nn.Module, method: str, recipe: Recipe, *, name: str) -> nn.Module:
    """The encoder of a model of that name, with adapters put in, or all ("full") or nothing of it ("head") trainable; changed in place.

    What is trained is float32. The rest stays as it was loaded, but for float16, in which gradients on their way become zero: all
    of that is float32 then.
    """
    if method not in METHODS:
        raise ValueError(f"The method must be one of {', '.join(METHODS)}; received {method!r}.")
    if method == "full" or next(encoder.parameters()).dtype == torch.float16:
        encoder.float()
    encoder.requires_grad_(method == "full")
    for unused in ("contact_head", "pooler"):
        if getattr(encoder, unused, None) is not None:
            getattr(encoder, unused).requires_grad_(False)
    if method in ("full", "head"):
        return encoder
    import peft

    config: Any
    if method == "ia3":
        config = peft.IA3Config(target_modules=f"({_KEY_VALUE})|({_FFN})", feedforward_modules=_FFN)
    else:
        config = peft.LoraConfig(
            r=recipe.rank, lora_alpha=recipe.alpha, lora_dropout=recipe.dropout, target_modules=_QUERY_VALUE
        )
    try:
        with quiet():
            return peft.get_peft_model(encoder, config)
    except ValueError as error:
        raise ValueError(
            f"{method} needs separate key, value and FFN layers; {name} has none by the names of the Nucleotide Transformer. "
            "Use method='full' or 'head'."
        ) from error


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Without what peft triggers in transformers: it asks for a property by its older name, which still works."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning
        )
        yield


def adapter_parameters(encoder: nn.Module, method: str = "ia3") -> int:
    """Number of trainable parameters that a method adds to an encoder, without the head; the encoder is changed, also on the meta device."""
    made = adapted(encoder, method, Recipe(), name="the model")
    return sum(p.numel() for p in made.parameters() if p.requires_grad)
