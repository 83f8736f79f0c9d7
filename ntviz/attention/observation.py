"""Attention observed while a model runs: query and key of one layer at a time, reduced in blocks, never stored.

The forward pass keeps its fused attention. A function registered on transformers' attention interface calls it, and
then shows each observer the same queries and keys as blocks of scores, so memory grows with length, not with its square.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ntviz.attention.blocks import Block, Context, Observer, tokens_of
from ntviz.attention.memory import BLOCK, plan
from ntviz.models.protocol import DNAModel, Forward
from ntviz.tokens import Tokens

NAME = "ntviz_observed"
_fused_with_lse = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
_watching: ContextVar[Watch | None] = ContextVar("_watching", default=None)
_editing: ContextVar[tuple[Any, Any] | None] = ContextVar("_editing", default=None)  # module, edit
NO_INTERFACE = (
    "A model to observe must run its attention through transformers' attention interface; {} does not. Use a "
    "model of `ntviz models`, or an encoder of transformers 5 such as BERT, ESM or ModernBERT."
)
Seat = tuple[Any, dict[int, tuple[int, ...]], tuple[int, int]]
"""What an observer keeps for a sequence, the heads it needs of each layer, and the run of queries."""
Terms = list[torch.Tensor]
"""What is added to scores before softmax, masks and position biases: [sequence or 1, head or 1, query or 1, key]."""


@dataclass(frozen=True)
class Observation:
    """What observers saw in one sequence; each result under its observer's name, as attribute and as item."""

    context: Context
    results: dict[str, Any]
    output: Forward | Any | None = None  # of the model, for the whole batch

    def __getitem__(self, name: str) -> Any:
        return self.results[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "results" or name not in self.results:
            raise AttributeError(
                f"No observer was called {name!r}; there are {', '.join(self.__dict__.get('results', {}))}."
            )
        return self.results[name]


class EnoughSeen(Exception):
    """Ends a forward pass after the last layer that anybody needs."""


@dataclass
class Watch:
    """One forward pass under observation: each layer cut into blocks, and shown to those who asked."""

    contexts: list[Context]
    offsets: list[int]
    seats: list[list[Seat]]
    stop_after: int | None
    block: int
    seen: int = 0
    buffers: dict[str, torch.Tensor] = field(default_factory=dict)

    def layer(self, query: torch.Tensor, key: torch.Tensor, lse: torch.Tensor | None, terms: Terms) -> None:
        layer, self.seen = self.seen, self.seen + 1
        taken = set() if terms else self._together(layer, query, key)
        for context, offset, seats in zip(self.contexts, self.offsets, self.seats, strict=True):
            asking = [
                (kept, needs[layer], queries)
                for column, (kept, needs, queries) in enumerate(seats)
                if layer in needs and column not in taken
            ]
            real = slice(offset, offset + context.n_tokens)
            own = context.index, slice(None), real
            masked = _cut(terms, context.index, real) if asking else []
            # A kernel that never writes a block, where there is one for this device and nothing is masked.
            left = [
                seat
                for seat in asking
                if masked
                or not hasattr(seat[0], "see_layer")
                or not seat[0].see_layer(layer, seat[1], query[own], key[own])
            ]
            if left:
                self._blocks(layer, left, query[own], key[own], None if lse is None else lse[own], masked)
        if self.stop_after is not None and layer >= self.stop_after:
            raise EnoughSeen

    def _together(self, layer: int, query: torch.Tensor, key: torch.Tensor) -> set[int]:
        """Which observers took the layer of all sequences at once; for those that can, where nothing is padded."""
        if len(self.contexts) == 1 or any(context.n_tokens != query.shape[2] for context in self.contexts):
            return set()
        return {
            column
            for column, (first, needs, _) in enumerate(self.seats[0])
            if layer in needs and hasattr(first, "see_layers")
            and first.see_layers([row[column][0] for row in self.seats], layer, needs[layer], query, key)
        }  # fmt: skip

    def _blocks(
        self, layer: int, seats: list[Any], query: torch.Tensor, key: torch.Tensor, lse: Any, terms: Terms
    ) -> None:
        heads = sorted({head for _, heads, _ in seats for head in heads})
        first, last = min(queries[0] for *_, queries in seats), max(queries[1] for *_, queries in seats)
        n = key.shape[1]
        per_block = max(1, min(len(heads), self.block // (128 * n)))
        rows = max(1, min(last - first, self.block // (per_block * n)))
        if lse is not None:
            # One more column makes the matrix product subtract the log-sum-exp: query . key - lse . 1.
            query = torch.cat([query, -lse[..., None]], dim=-1)
            key = torch.cat([key, key.new_ones(*key.shape[:2], 1)], dim=-1)
        for start in range(0, len(heads), per_block):
            chunk = heads[start : start + per_block]
            queries, keys = query[chunk].float(), key[chunk].float().transpose(-1, -2).contiguous()
            for top in range(first, last, rows):
                bottom = min(top + rows, last)
                shape = (len(chunk), bottom - top, n)
                log_weights = self._buffer("log", shape, key.device)
                torch.bmm(queries[:, top:bottom], keys, out=log_weights)
                if lse is None:
                    _add(terms, log_weights, chunk, slice(top, bottom))
                    log_weights.sub_(torch.logsumexp(log_weights, -1, keepdim=True))
                shared = {"buffer": self._buffer("weights", shape, key.device)}
                block = Block(layer, tuple(chunk), (top, bottom), log_weights, shared)
                for kept, needed, wanted in seats:
                    own = [head for head in chunk if head in needed]
                    if own and wanted[0] < bottom and top < wanted[1]:
                        kept.see(block.of(own))

    def _buffer(self, name: str, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        size = int(np.prod(shape))
        held = self.buffers.get(name)
        if held is None or held.numel() < size or held.device != device:
            self.buffers[name] = held = torch.empty(size, dtype=torch.float32, device=device)
        return held[:size].view(shape)


def _cut(terms: Terms, index: int, real: slice) -> Terms:
    """The terms of one sequence, without padding; masks that hide nothing there are gone."""
    cut = []
    for term in terms:
        own = term[index if term.shape[0] > 1 else 0]
        own = own[:, real if own.shape[1] > 1 else slice(None), real]
        if not (bool(own.all()) if own.dtype == torch.bool else not bool(own.any())):
            cut.append(own)
    return cut


def _add(terms: Terms, scores: torch.Tensor, heads: list[int], queries: slice) -> None:
    for term in terms:
        rows = term[:, queries if term.shape[1] > 1 else slice(None)]
        rows = (rows[heads] if rows.shape[0] > 1 else rows).to(scores.device)
        if rows.dtype == torch.bool:
            scores.masked_fill_(~rows, -torch.inf)
        else:
            scores.add_(rows)


def _observed(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    attention_mask: torch.Tensor | None, scaling: float | None = None, is_causal: bool | None = None,
    position_bias: torch.Tensor | None = None, **options: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """Fused attention, shown to whoever is watching."""
    watch = _watching.get()
    more = options.get("s_aux") is not None or options.get("softcap") is not None
    if query.shape[2] != key.shape[2] or more:
        raise TypeError(
            "Attention can be observed where a sequence attends to itself by a plain softmax; "
            f"{type(module).__name__} uses cross-attention, attention sinks or soft caps. Observe an encoder."
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    causal = bool(getattr(module, "is_causal", False) if is_causal is None else is_causal)
    groups = query.shape[1] // key.shape[1]
    lse = None
    plain = attention_mask is None and position_bias is None and not causal
    plain = plain and query.shape == key.shape == value.shape
    if plain and _fused_with_lse is not None and query.device.type == "cpu" and query.dtype == torch.float32:
        # The kernel that fused attention takes here anyway; it also returns the log-sum-exp of each row.
        output, lse = _fused_with_lse(query, key, value, 0.0, False, scale=scale)
        output = output.transpose(1, 2).contiguous()
    else:
        output, _ = ALL_ATTENTION_FUNCTIONS["sdpa"](
            module, query, key, value, attention_mask,
            scaling=scaling, is_causal=is_causal, position_bias=position_bias, **options,
        )  # fmt: skip
    if (held := _editing.get()) is not None:
        output = held[1].layer(module, value, attention_mask, causal, output)
    if watch is not None:
        keys = key if groups == 1 else key.repeat_interleave(groups, dim=1)
        terms = [term for term in (attention_mask, position_bias) if term is not None]
        n = query.shape[2]
        if causal and attention_mask is None and n > 1:
            terms.append(torch.ones(n, n, dtype=torch.bool, device=query.device).tril()[None, None])
        watch.layer(query if scale == 1 else query * scale, keys, lse, terms)
    return output, None


@contextmanager
def watched(module: PreTrainedModel, watch: Watch | None = None, edit: Any = None) -> Generator[None]:
    """The module in eval mode with attention that is observed or edited; as it was afterwards, whatever happens.

    An edit, which stays in a look inside, is shown each layer: `layer(module, value, mask, causal, output)` gives the output [sequence, query, head, size]
    that goes on, of values [sequence, head, key, size].
    """
    ALL_ATTENTION_FUNCTIONS.register(NAME, _observed)
    # Without a mask function of its own, a custom attention would be given no mask, and padding would be attended.
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    configs = {id(part.config): part.config for part in module.modules() if isinstance(part, PreTrainedModel)}
    before = {key: config._attn_implementation for key, config in configs.items()}
    training = [part for part in module.modules() if part.training]
    held = _editing.get()
    held = (module, edit) if edit is not None else held if held is not None and held[0] is module else None
    token, edited = _watching.set(watch), _editing.set(held)
    try:
        module.set_attn_implementation(NAME)
        if module.config._attn_implementation != NAME:
            raise TypeError(NO_INTERFACE.format(type(module).__name__))
        module.eval()
        yield
    finally:
        _watching.reset(token)
        _editing.reset(edited)
        for key, config in configs.items():
            config._attn_implementation_internal = before[key]
        for part in training:
            part.training = True


@overload
def observe(model: DNAModel, batch: Tokens, **options: Any) -> Observation: ...
@overload
def observe(
    model: DNAModel | PreTrainedModel, batch: Sequence[Tokens] | Mapping[str, torch.Tensor], **options: Any
) -> list[Observation]: ...
def observe(
    model: Any, batch: Any, *, outputs: Sequence[str] = (), block: int | None = None, **observers: Observer
) -> Observation | list[Observation]:
    """What each observer sees of attention in one forward pass; one Observation a sequence.

    The model's output is that of fused attention, and the model is left as it was, also after an exception. Padding
    reaches no observer; special tokens such as `<cls>` do, and each observer says how it reports them.

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
        raise TypeError(NO_INTERFACE.format(type(model).__name__))
    if "attentions" in outputs and model is not module:
        raise ValueError(
            "outputs of an observed pass must be among logits and hidden_states; received 'attentions', which fused "
            "attention does not have. Use attention.Window for exact weights."
        )
    contexts, offsets = _contexts(model, module, batch)
    seats = [
        [(one.start(context), one.needs(context), one.queries(context)) for one in observers.values()]
        for context in contexts
    ]
    deepest = max(layer for row in seats for _, needs, _ in row for layer in needs)
    size = block or BLOCK.get(module.device.type, BLOCK["cpu"])
    watch = Watch(contexts, offsets, seats, None if outputs else deepest, size)
    output = None
    try:
        with watched(module, watch), torch.inference_mode():
            output = module(**batch) if model is module else model.forward(batch, outputs=outputs)
    except EnoughSeen:
        pass
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
            raise
        longest = max(context.n_tokens for context in contexts)
        memory = plan(model, longest, tokens=longest)
        raise MemoryError(
            f"Observing {len(contexts)} sequence(s) of up to {longest:,} tokens must fit in memory; "
            f"{memory.free / 1e9:.1f} GB are free and were not enough. What fits one at a time: "
            f"{memory.advice or 'nothing, take a shorter interval'}. A smaller block= helps as well."
        ) from error
    if watch.seen <= deepest:
        raise TypeError(
            f"{deepest + 1} layers must reach the attention interface; {watch.seen} did. "
            + NO_INTERFACE.format(type(module).__name__)
        )
    results = []
    for context, row in zip(contexts, seats, strict=True):
        seen = {name: seat[0].finish() for name, seat in zip(observers, row, strict=True)}
        results.append(Observation(context, seen, output))
    return results[0] if isinstance(batch, Tokens) else results


def _contexts(model: Any, module: PreTrainedModel, batch: Any) -> tuple[list[Context], list[int]]:
    """A context for each sequence, and how many tokens of padding come before it."""
    config = module.config
    shape = (config.num_hidden_layers, config.num_attention_heads, module.device)
    if model is not module:
        several = [batch] if isinstance(batch, Tokens) else list(batch)
        if not several or not all(isinstance(one, Tokens) for one in several):
            raise TypeError(
                f"A batch for {type(model).__name__} must be Tokens, or a list of them, at least one; received "
                f"{type(batch).__name__}. Pass model.tokenize(sequence)."
            )
        several = [tokens_of(model, one) for one in several]
        found = [Context(index, np.asarray(one.is_special), one, *shape) for index, one in enumerate(several)]
        return found, [0] * len(several)
    if not isinstance(batch, Mapping):
        raise TypeError(
            f"A batch for {type(model).__name__} must be a mapping with input_ids [sequence, token]; received "
            f"{type(batch).__name__}. Pass what its tokenizer returns with return_tensors='pt'."
        )
    ids, mask = batch["input_ids"], batch.get("attention_mask")
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
        contexts.append(Context(index, np.isin(own, special), None, *shape))
        offsets.append(places[0])
    return contexts, offsets
