"""Attention observed while a model runs: query and key of one layer at a time, reduced in blocks, never stored.

The forward pass keeps its fused attention. A function registered on transformers' attention interface calls it, and
then shows each observer the same queries and keys as blocks of scores, so memory grows with length and not with its
square times layers times heads. Every encoder that goes through that interface can be observed.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ntviz.attention.blocks import Context, Observer
from ntviz.attention.watch import Bias, EnoughSeen, Watch
from ntviz.models.protocol import DNAModel, Forward
from ntviz.tokens import Tokens

NAME = "ntviz_observed"
_BLOCK = {"cpu": 1 << 20, "cuda": 1 << 26}
_fused_with_lse = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
_watching: ContextVar[Watch | None] = ContextVar("_watching", default=None)


@dataclass(frozen=True)
class Observation:
    """What observers saw in one sequence; each result under its observer's name, as attribute and as item.

    Attributes
    ----------
    context
        The sequence, and the model's shape.
    results
        By the name of the observer.
    output
        The model's outputs for the whole batch, if any were asked for.
    """

    context: Context
    results: dict[str, Any]
    output: Forward | Any | None = None

    def __getitem__(self, name: str) -> Any:
        return self.results[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "results" or name not in self.results:
            raise AttributeError(
                f"No observer was called {name!r}; there are {', '.join(self.__dict__.get('results', {}))}."
            )
        return self.results[name]


def _observed(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: torch.Tensor | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Fused attention, shown to whoever is watching."""
    watch = _watching.get()
    if (
        query.shape[2] != key.shape[2]
        or options.get("s_aux") is not None
        or options.get("softcap") is not None
    ):
        raise TypeError(
            "Attention can be observed where a sequence attends to itself by a plain softmax; "
            f"{type(module).__name__} uses cross-attention, attention sinks or soft caps. Observe an encoder."
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    causal = bool(getattr(module, "is_causal", False) if is_causal is None else is_causal)
    groups = query.shape[1] // key.shape[1]
    lse = None
    plain = (
        attention_mask is None
        and position_bias is None
        and not causal
        and query.shape == key.shape == value.shape
    )
    if plain and _fused_with_lse is not None and query.device.type == "cpu" and query.dtype == torch.float32:
        # The kernel that fused attention takes here anyway; it also returns the log-sum-exp of each row.
        output, lse = _fused_with_lse(query, key, value, 0.0, False, scale=scale)
        output = output.transpose(1, 2).contiguous()
    else:
        output, _ = ALL_ATTENTION_FUNCTIONS["sdpa"](
            module, query, key, value, attention_mask,
            scaling=scaling, is_causal=is_causal, position_bias=position_bias, **options,
        )  # fmt: skip
    if watch is not None:
        keys = key if groups == 1 else key.repeat_interleave(groups, dim=1)
        bias = Bias.made(attention_mask, position_bias, causal, query.shape[2])
        watch.layer(query if scale == 1 else query * scale, keys, lse, bias)
    return output, None


@contextmanager
def _watched(module: PreTrainedModel, watch: Watch) -> Generator[None]:
    """The module with observed attention in eval mode; as it was afterwards, whatever happens."""
    ALL_ATTENTION_FUNCTIONS.register(NAME, _observed)
    # Without a mask function of its own, a custom attention would be given no mask, and padding would be attended.
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    configs = {id(part.config): part.config for part in module.modules() if isinstance(part, PreTrainedModel)}
    before = {key: config._attn_implementation for key, config in configs.items()}
    training = [part for part in module.modules() if part.training]
    token = _watching.set(watch)
    try:
        module.set_attn_implementation(NAME)
        if module.config._attn_implementation != NAME:
            raise TypeError(_NO_INTERFACE.format(type(module).__name__))
        module.eval()
        yield
    finally:
        _watching.reset(token)
        for key, config in configs.items():
            config._attn_implementation_internal = before[key]
        for part in training:
            part.training = True


_NO_INTERFACE = (
    "A model to observe must run its attention through transformers' attention interface; {} does not. Use a "
    "model of `ntviz models`, or an encoder of transformers 5 such as BERT, ESM or ModernBERT."
)


@overload
def observe(
    model: DNAModel,
    batch: Tokens,
    *,
    outputs: Sequence[str] = (),
    block: int | None = None,
    **observers: Observer,
) -> Observation: ...
@overload
def observe(
    model: DNAModel | PreTrainedModel,
    batch: Sequence[Tokens] | Mapping[str, torch.Tensor],
    *,
    outputs: Sequence[str] = (),
    block: int | None = None,
    **observers: Observer,
) -> list[Observation]: ...
def observe(
    model: Any,
    batch: Any,
    *,
    outputs: Sequence[str] = (),
    block: int | None = None,
    **observers: Observer,
) -> Observation | list[Observation]:
    """What each observer sees of attention in one forward pass; one Observation a sequence.

    Parameters
    ----------
    model
        A `models.DNAModel`, or an encoder of transformers.
    batch
        Tokens of one sequence, or of several; for an encoder of transformers, a mapping with `input_ids`
        [sequence, token] and, where there is padding, `attention_mask`.
    outputs
        Outputs of the model to return as well, as `model.forward` names them; for an encoder of transformers any
        name, to keep its output. Without, the pass ends after the last layer that an observer needs.
    block
        Scores held at a time, as numbers; chosen by the device when None. It changes no result but for rounding.
    observers
        By the name that their result shall have.

    Raises
    ------
    TypeError
        The model does not use transformers' attention interface, or an observer is none.
    ValueError
        No observer was given, or one asks for what the model or the batch does not have.
    MemoryError
        There was not enough memory; the message says what would fit.

    Notes
    -----
    The model's output is that of fused attention. Padding reaches no observer. Special tokens such as `<cls>` do:
    each observer says how it reports them. The model is left as it was, also after an exception.

    Examples
    --------
    >>> from ntviz import attention, models
    >>> model = models.load("ntviz-mini")
    >>> seen = observe(model, model.tokenize("GATTACAT" * 30), entropy=attention.Entropy())
    >>> seen.entropy.mean.shape
    (4, 8)
    """
    if not observers:
        raise ValueError(
            "observe() must be given at least one observer by name; received none. Pass e.g. entropy=attention.Entropy()."
        )
    for name, observer in observers.items():
        if not isinstance(observer, Observer):
            raise TypeError(
                f"An observer must be one of attention.Observer; {name!r} is {type(observer).__name__}. "
                "Pass e.g. entropy=attention.Entropy()."
            )
    module = model if isinstance(model, PreTrainedModel) else getattr(model, "module", None)
    if not isinstance(module, PreTrainedModel):
        raise TypeError(_NO_INTERFACE.format(type(model).__name__))
    contexts, offsets = _contexts(model, module, batch)
    seats = [
        [(one, one.start(context), one.needs(context), one.queries(context)) for one in observers.values()]
        for context in contexts
    ]
    deepest = max(layer for row in seats for _, _, needs, _ in row for layer in needs)
    size = block or _BLOCK.get(module.device.type, _BLOCK["cpu"])
    watch = Watch(contexts, offsets, seats, None if outputs else deepest, size)
    output = None
    try:
        with _watched(module, watch), torch.inference_mode():
            output = _run(model, module, batch, outputs)
    except EnoughSeen:
        pass
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
            raise
        from ntviz.attention.planning import smaller

        raise MemoryError(smaller(model, contexts)) from error
    if watch.seen <= deepest:
        raise TypeError(
            f"{deepest + 1} layers must reach the attention interface; {watch.seen} did. "
            + _NO_INTERFACE.format(type(module).__name__)
        )
    results = [
        Observation(
            context,
            {name: seat[1].finish() for name, seat in zip(observers, row, strict=True)},
            output,
        )
        for context, row in zip(contexts, seats, strict=True)
    ]
    return results[0] if isinstance(batch, Tokens) else results


def _contexts(model: Any, module: PreTrainedModel, batch: Any) -> tuple[list[Context], list[int]]:
    """A context for each sequence, and how many tokens of padding come before it."""
    config = module.config
    shape = (config.num_hidden_layers, config.num_attention_heads, module.device)
    if not isinstance(batch, Mapping):
        if isinstance(model, PreTrainedModel):
            raise TypeError(
                f"A batch for {type(module).__name__} must be a mapping with input_ids [sequence, token]; received "
                f"{type(batch).__name__}. Pass what its tokenizer returns with return_tensors='pt'."
            )
        several = [batch] if isinstance(batch, Tokens) else list(batch)
        if not several or not all(isinstance(one, Tokens) for one in several):
            raise TypeError(
                f"A batch for {model.name} must be Tokens, or a list of them, at least one; received "
                f"{type(batch).__name__}. Pass model.tokenize(sequence)."
            )
        return [
            Context(index, len(one), np.asarray(one.is_special), np.asarray(one.spans), one, *shape)
            for index, one in enumerate(several)
        ], [0] * len(several)
    if not isinstance(model, PreTrainedModel):
        raise TypeError(
            f"A batch for {model.name} must be Tokens, or a list of them; received {type(batch).__name__}. "
            "Pass model.tokenize(sequence)."
        )
    ids = batch["input_ids"]
    mask = batch.get("attention_mask")
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
    named = ("cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id", "pad_token_id")
    special = [getattr(config, name) for name in named if isinstance(getattr(config, name, None), int)]
    contexts, offsets = [], []
    for index, row in enumerate(real):
        places = row.nonzero()[:, 0].tolist()
        if not places or places[-1] - places[0] + 1 != len(places):
            raise ValueError(
                f"The attention_mask of each sequence must be one run of real tokens; that of sequence {index} has "
                f"{len(places)} of {len(row)}, with gaps or none. Pad at one end."
            )
        own = ids[index, places[0] : places[-1] + 1].cpu().numpy()
        contexts.append(Context(index, len(own), np.isin(own, special), None, None, *shape))
        offsets.append(places[0])
    return contexts, offsets


def _run(model: Any, module: PreTrainedModel, batch: Any, outputs: Sequence[str]) -> Any:
    if isinstance(model, PreTrainedModel):
        return module(**batch)
    if "attentions" in outputs:
        raise ValueError(
            "outputs of an observed pass must be among logits and hidden_states; received 'attentions', which fused "
            "attention does not have. Use attention.Window for exact weights."
        )
    return model.forward(batch, outputs=outputs)
