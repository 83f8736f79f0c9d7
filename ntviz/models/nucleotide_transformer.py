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

from ntviz import tokens
from ntviz.models import checkpoints, encoder, registry
from ntviz.models.model import Model, States

NEEDED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")


@dataclass(frozen=True, repr=False)
class NucleotideTransformer(Model):
    """A loaded Nucleotide Transformer; its module is an `EsmForMaskedLM`."""

    module: EsmForMaskedLM
    tokenizer: tokens.Tokenizer

    def _fresh(self) -> torch.nn.Module:
        return encoder.build(self.module.config.to_dict())

    def _ready(self, module: Any, device: torch.device, dtype: torch.dtype) -> Any:
        return encoder.placed(module, device, dtype)

    def _logits(self, last: torch.Tensor) -> torch.Tensor:
        return self.module.lm_head(last)

    def _passes(
        self, batch: Any, ids: np.ndarray, mask: np.ndarray, outputs: Sequence[str], at: np.ndarray | None
    ) -> Iterator[tuple[Any, States]]:
        device, kernel = self.module.device, self.module.config._attn_implementation
        # Without padding no mask: fused attention takes its fastest kernel.
        real = None if mask.all() else torch.from_numpy(mask).to(device)
        with ExitStack() as stack:
            narrowed = at is not None and set(outputs) == {"logits"} and not self._watched()
            if "attentions" in outputs:
                # Fused attention returns no maps, without an error.
                stack.callback(self.module.set_attn_implementation, kernel)
                self.module.set_attn_implementation("eager")
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
                    f"transformers must return {expected} layers; it returned {received}. Install the version in requirements.lock."
                )
        hidden = result.hidden_states if "hidden_states" in outputs else (result.last_hidden_state,)
        yield slice(None), States(hidden, result.attentions, narrowed)

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


def vocabulary_of(directory: Path, size: int, spec: registry.ModelSpec | None) -> tokens.Vocabulary:
    """The vocabulary of a checkpoint: its vocab.txt, else the named model's, else by the number of logits."""
    path = directory / "vocab.txt"
    by_size = {known.n_logits: known for known in tokens.VOCABULARIES.values()}
    if path.is_file():
        vocabulary = tokens.Vocabulary.from_file(path)
    else:
        vocabulary = tokens.VOCABULARIES[spec.vocabulary] if spec is not None else by_size.get(size)
    if vocabulary is None:
        raise ValueError(
            f"{directory} has no vocab.txt, and no known vocabulary has {size} logits. Put the checkpoint's vocab.txt there."
        )
    if vocabulary.n_logits != size:
        raise ValueError(
            f"vocab_size in config.json must be {vocabulary.n_logits} for the vocabulary {vocabulary.name}; got {size}."
        )
    return vocabulary


def load(located: checkpoints.Located, max_tokens: int | None) -> NucleotideTransformer:
    """Loads a located checkpoint; `models.load` is the front door."""
    directory, spec = located.directory, located.spec
    if isinstance(spec, registry.PeerSpec):
        raise ValueError(
            f"{directory} must hold a checkpoint of {spec.name}, as it is called so, or have another name."
        )
    config = checkpoints.read_config(directory, NEEDED)
    vocabulary = vocabulary_of(directory, config["vocab_size"], spec)
    tensors = encoder.named(checkpoints.read_tensors(directory))
    config = encoder.completed(config, tensors)
    with torch.device("meta"):
        module = encoder.build(config)
    encoder.assign(module, tensors, origin=str(directory))
    # glibc hands large blocks back after each pass, and the system zeroes them anew, until it has seen one of this size.
    torch.empty(31 << 20, dtype=torch.uint8)
    positions = config.get("max_position_embeddings", 1026) - 2
    limit = max_tokens or positions
    if limit > positions and config.get("position_embedding_type") != "rotary":
        raise ValueError(
            f"{directory.name} has learned positions for {positions:,} tokens; max_tokens={limit:,} is beyond them."
        )
    info = {"language_model_head": module.config.lm_head}
    return NucleotideTransformer(module, tokens.Tokenizer(vocabulary), located.name, limit, info)
