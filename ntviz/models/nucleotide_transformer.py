"""The Nucleotide Transformer, v1 and v2, as an object that analyses can ask: tokens in, arrays out. No remote code."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import EsmForMaskedLM

from ntviz import environment, tokens
from ntviz.models import checkpoints, encoder, registry
from ntviz.models.model import Model, States, torch_dtype

_NEEDED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")


@dataclass(frozen=True, repr=False)
class NucleotideTransformer(Model):
    """A loaded Nucleotide Transformer; its module is an `EsmForMaskedLM`."""

    module: EsmForMaskedLM
    tokenizer: tokens.Tokenizer

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

    def _fresh(self, device: torch.device, dtype: torch.dtype) -> torch.nn.Module:
        return encoder.placed(encoder.build(self.module.config.to_dict()), device, dtype)

    def _logits(self, last: torch.Tensor) -> torch.Tensor:
        return self.module.lm_head(last)

    def _passes(
        self, batch: Any, ids: np.ndarray, mask: np.ndarray, outputs: Sequence[str], at: np.ndarray | None
    ) -> Iterator[tuple[Any, States]]:
        device = self.module.device
        # Without padding no mask: fused attention takes its fastest kernel.
        real = None if mask.all() else torch.from_numpy(mask).to(device)
        with ExitStack() as stack:
            narrowed = at is not None and set(outputs) == {"logits"} and not self._watched()
            if "attentions" in outputs:
                stack.enter_context(self._eager())
            if narrowed:
                stack.enter_context(self._narrowed(at, real))
            result = self.module.esm(
                input_ids=torch.from_numpy(ids).to(device),
                attention_mask=None if real is None else real.long(),
                output_hidden_states="hidden_states" in outputs,
                output_attentions="attentions" in outputs,
            )
            for name, expected in (("hidden_states", self.layers + 1), ("attentions", self.layers)):
                received = len(getattr(result, name, None) or ())
                if name in outputs and received != expected:
                    raise RuntimeError(
                        f"transformers must return {expected} layers; it returned {received}. This version of transformers "
                        "captures outputs differently: install the one in requirements.lock."
                    )
        hidden = result.hidden_states if "hidden_states" in outputs else (result.last_hidden_state,)
        yield slice(None), States(hidden, result.attentions, narrowed)

    @contextmanager
    def _eager(self) -> Generator[None]:
        """Fused attention returns no maps, without an error; only the eager kernel has them."""
        before = self.module.config._attn_implementation
        if before == "eager":
            yield
            return
        self.module.set_attn_implementation("eager")
        try:
            yield
        finally:
            self.module.set_attn_implementation(before)

    def _watched(self) -> bool:
        """Whether somebody observes or changes attention: by a function of their own in its place, or by hooks."""
        parts = [layer.attention.self for layer in self.module.esm.encoder.layer]
        hooked = any(part._forward_hooks or part._forward_pre_hooks for part in parts)
        return hooked or self.module.config._attn_implementation != "sdpa"

    @contextmanager
    def _narrowed(self, at: np.ndarray, real: torch.Tensor | None) -> Generator[None]:
        """Attention in fewer passes over memory, in the last layer for the tokens `at` [sequence, n] alone."""
        parts = [layer.attention for layer in self.module.esm.encoder.layer]
        every = slice(None), slice(None)
        some = torch.arange(len(at))[:, None], torch.from_numpy(at).to(self.module.device)
        for part in parts:
            part.forward = partial(encoder.attended, part, some if part is parts[-1] else every, real)
        try:
            yield
        finally:
            for part in parts:
                del part.forward


def _vocabulary(directory: Path, size: int, spec: registry.ModelSpec | None) -> tokens.Vocabulary:
    """The vocabulary of a checkpoint: its vocab.txt, else the named model's, else by the number of logits."""
    path = directory / "vocab.txt"
    by_size = {known.n_logits: known for known in tokens.VOCABULARIES.values()}
    if path.is_file():
        vocabulary = tokens.Vocabulary.from_file(path)
    elif spec is not None:
        vocabulary = tokens.VOCABULARIES[spec.vocabulary]
    elif size in by_size:
        vocabulary = by_size[size]
    else:
        raise ValueError(
            f"{directory} has no vocab.txt, and no known vocabulary has {size} logits "
            f"(known: {', '.join(map(str, sorted(by_size)))}). Put the checkpoint's vocab.txt there."
        )
    if vocabulary.n_logits != size:
        raise ValueError(
            f"vocab_size in config.json must be {vocabulary.n_logits} for the vocabulary {vocabulary.name}; "
            f"got {size}. The files belong to different checkpoints."
        )
    return vocabulary


def load(
    located: checkpoints.Located, *, device: str = "auto", dtype: str = "float32", max_tokens: int | None = None
) -> NucleotideTransformer:  # fmt: skip
    """Loads a located checkpoint; `models.load` is the front door."""
    precision = torch_dtype(dtype)
    directory, spec = located.directory, located.spec
    if isinstance(spec, registry.PeerSpec):
        raise ValueError(
            f"{directory} must hold a checkpoint of {spec.name}, as it is called so; its config.json is of no family of "
            "peers. Download it again, or give the folder another name."
        )
    config = checkpoints.read_config(directory, _NEEDED)
    vocabulary = _vocabulary(directory, config["vocab_size"], spec)
    tensors = encoder.named(checkpoints.read_tensors(directory))
    config = encoder.completed(config, tensors)
    with torch.device("meta"):
        module = encoder.build(config)
    encoder.fill_buffers(module)
    encoder.assign(module, tensors, origin=str(directory))
    # glibc hands large blocks back after each pass, and the system zeroes them anew, until it has seen one of this size.
    torch.empty(31 << 20, dtype=torch.uint8)
    module = encoder.placed(module, environment.device(device), precision)
    positions = config.get("max_position_embeddings", 1026) - 2
    limit = max_tokens or positions
    if limit > positions and config.get("position_embedding_type") != "rotary":
        raise ValueError(
            f"{directory.name} has learned positions for {positions:,} tokens; max_tokens={limit:,} is beyond them."
        )
    model = NucleotideTransformer(module, tokens.Tokenizer(vocabulary), located.name, limit, {})
    return model.described(located, dtype, language_model_head=module.config.lm_head)
