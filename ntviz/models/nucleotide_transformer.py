"""The Nucleotide Transformer, v1 and v2, as an object that analyses can ask: tokens in, arrays out. No remote code."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import EsmForMaskedLM

from ntviz import environment, tokens
from ntviz.models import checkpoints, encoder, pooling, registry
from ntviz.models.corpus import corpus
from ntviz.models.protocol import Forward
from ntviz.models.requests import check_layers, check_outputs, float32, places, torch_dtype


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
        head = " no language-model head," if isinstance(self.module.lm_head, encoder.NoHead) else ""
        return (
            f"{self.name}: {self.layers} layers x {self.heads} heads, width {self.hidden_size}, {size:.1f} M parameters,"
            f"{head} {self.tokenizer.vocabulary.name} tokens, up to {self.max_tokens:,} tokens ({self.max_bp:,} bp)"
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
        self,
        batch: tokens.Tokens | Sequence[tokens.Tokens] | np.ndarray,
        *,
        outputs: Sequence[str] = ("logits",),
        at: np.ndarray | None = None,
        layers: Sequence[int] | None = None,
    ) -> Forward:
        """The outputs asked for, as float32 arrays; see `models.Forward` for their axes.

        Parameters
        ----------
        batch
            One tokenised sequence, several (padded here), or ids [sequence, token] that end in padding ids.
        outputs
            Of "logits", "hidden_states", "attentions". Attentions switch the model to the eager kernel for this call
            and hold layers x heads x tokens x tokens numbers a sequence: ask for windows of long sequences only.
        at
            [sequence, n] token positions: logits are computed there only.
        layers
            Which hidden states to return, 0 (the embedding) to `layers`; None for all.

        Raises
        ------
        ValueError
            An unknown output, an id outside the vocabulary, padding before a token, more tokens than fit, or `at` of
            another shape or outside the sequence, or a layer or a language-model head that the model does not have.
        RuntimeError
            transformers returned another number of layers than the model has.
        """
        check_outputs(outputs)
        check_layers(layers or (), self.layers, self.name)
        input_ids, mask = self._padded(batch)
        device = self.module.device
        at = None if at is None else places(at, input_ids.shape)
        asked = at if set(outputs) == {"logits"} and not self._watched() else None
        with (
            torch.inference_mode(),
            self._kernel("eager" if "attentions" in outputs else "sdpa"),
            self._narrowed(asked, mask),
        ):
            result = self.module.esm(
                input_ids=torch.from_numpy(input_ids).to(device),
                # Without padding no mask: fused attention takes its fastest kernel.
                attention_mask=None if mask.all() else torch.from_numpy(mask.astype(np.int64)).to(device),
                output_hidden_states="hidden_states" in outputs,
                output_attentions="attentions" in outputs,
            )
            last = result.last_hidden_state
            if at is not None and asked is None:
                last = last[torch.arange(len(last))[:, None], torch.from_numpy(at).to(device)]
            logits = float32(self.module.lm_head(last)) if "logits" in outputs else None
        return Forward(
            input_ids,
            mask,
            logits=logits,
            hidden_states=self._stacked(result.hidden_states, self.layers + 1, layers)
            if "hidden_states" in outputs
            else None,
            attentions=self._stacked(result.attentions, self.layers) if "attentions" in outputs else None,
        )

    def embed(
        self, batch: Sequence[tokens.Tokens], *, layers: Sequence[int], poolings: Sequence[str] = ("mean",)
    ) -> np.ndarray:
        """One vector a sequence, layer and pooling, float32 [sequence, layer, pooling, hidden]; no logits are computed.

        Parameters
        ----------
        batch
            Tokenised sequences; padded here.
        layers
            0 (the embedding) to `layers`; the last is after the final LayerNorm, as in `Forward.hidden_states`.
        poolings
            Of "mean" and "max" over the tokens that cover bases (padding and `<cls>` are out), and "cls".

        Raises
        ------
        ValueError
            A layer or pooling that the model does not have, or sequences that do not fit.
        """
        check_layers(layers, self.layers, self.name)
        input_ids, mask = self._padded(batch)
        device = self.module.device
        covering = mask.copy()
        covering[:, : self.tokenizer.vocabulary.n_special] = False
        with torch.inference_mode():
            states = self.module.esm(
                input_ids=torch.from_numpy(input_ids).to(device),
                attention_mask=None if mask.all() else torch.from_numpy(mask.astype(np.int64)).to(device),
                output_hidden_states=True,
            ).hidden_states
            if len(states) != self.layers + 1:
                raise RuntimeError(_layers_missing(len(states), self.layers + 1))
            where = torch.from_numpy(covering).to(device)
            cls = self.tokenizer.vocabulary.n_special > 0
            found = [
                pooling.pool(states[layer], where, poolings, cls=cls, name=self.name) for layer in layers
            ]
        return np.stack(found, axis=1)

    def random_twin(self, seed: int = 0) -> NucleotideTransformer:
        """The same architecture and tokenizer with fresh random weights: what a result owes to the shape alone.

        Its `info` says so: weights_sha256 is "random weights, seed N".
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = encoder.build(self.module.config.to_dict())
        module = module.to(self.module.device, self.module.dtype).eval()
        if module.esm.rotary_embeddings is not None:
            module.esm.rotary_embeddings.inv_freq = encoder.inverse_frequencies(module).to(module.device)
        name = f"random twin of {self.name}"
        info = {**self.info, "name": name, "revision": None, "weights_sha256": f"random weights, seed {seed}"}
        return replace(self, module=module, name=name, info=info)

    def _padded(self, batch: Any) -> tuple[np.ndarray, np.ndarray]:
        vocabulary = self.tokenizer.vocabulary
        if isinstance(batch, np.ndarray):
            if batch.ndim not in (1, 2) or not batch.size or not np.issubdtype(batch.dtype, np.integer):
                raise ValueError(
                    f"Ids must be integers [sequence, token], at least one; got {batch.dtype} of shape {batch.shape}. "
                    "Pass Tokens, or the input_ids of Tokenizer.batch."
                )
            ids = np.ascontiguousarray(batch if batch.ndim == 2 else batch[None], dtype=np.int64)
            mask = ids != vocabulary.pad_id
            if not mask[:, 0].all() or (mask[:, 1:] & ~mask[:, :-1]).any():
                raise ValueError(
                    f"Padding (id {vocabulary.pad_id}) must come after the last token; a row begins with padding "
                    "or has tokens behind it. "
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
        size = vocabulary.n_logits
        if ids.size and (ids.min() < 0 or ids.max() >= size):
            raise ValueError(
                f"Token ids must lie in 0 to {size - 1} for {self.name}; got {int(ids.min())} to {int(ids.max())}. "
                "Were they made with another model's vocabulary?"
            )
        return ids, mask

    @contextmanager
    def _kernel(self, name: str) -> Generator[None]:
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

    def _watched(self) -> bool:
        """Whether somebody observes or changes attention: by a function of their own in its place, or by hooks."""
        parts = [layer.attention.self for layer in self.module.esm.encoder.layer]
        hooked = any(part._forward_hooks or part._forward_pre_hooks for part in parts)
        return hooked or self.module.config._attn_implementation != "sdpa"

    @contextmanager
    def _narrowed(self, at: np.ndarray | None, mask: np.ndarray) -> Generator[None]:
        """Attention in fewer passes over memory, in the last layer for the tokens `at` [sequence, n] alone; as it is when None."""
        parts = [] if at is None else [layer.attention for layer in self.module.esm.encoder.layer]
        real = None if mask.all() else torch.from_numpy(mask).to(self.module.device)
        for part in parts:
            rows: tuple[Any, Any] = slice(None), slice(None)
            if part is parts[-1]:
                rows = torch.arange(len(mask))[:, None], torch.from_numpy(at).to(self.module.device)
            part.forward = partial(encoder.attended, part, rows, real)
        try:
            yield
        finally:
            for part in parts:
                del part.forward

    def _stacked(
        self, layers: Sequence[torch.Tensor] | None, expected: int, wanted: Sequence[int] | None = None
    ) -> np.ndarray:
        got = len(layers or ())
        if got != expected or layers is None:
            raise RuntimeError(_layers_missing(got, expected))
        chosen = layers if wanted is None else [layers[index] for index in wanted]
        return np.stack([float32(layer) for layer in chosen], axis=1)


def _layers_missing(got: int, expected: int) -> str:
    return (
        f"transformers must return {expected} layers; it returned {got}. This version of transformers "
        "captures outputs differently: install the one in requirements.lock."
    )


def read_vocabulary(
    directory: Path, config: dict[str, Any], spec: registry.ModelSpec | None
) -> tokens.Vocabulary:
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
    located: checkpoints.Located,
    *,
    device: str = "auto",
    dtype: str = "float32",
    max_tokens: int | None = None,
) -> NucleotideTransformer:
    """Loads a located checkpoint; `models.load` is the front door."""
    precision = torch_dtype(dtype)
    directory, spec = located.directory, located.spec
    if isinstance(spec, registry.PeerSpec):
        raise ValueError(
            f"{directory} must hold a checkpoint of {spec.name}, as it is called so; its config.json is of no family of "
            "peers. Download it again, or give the folder another name."
        )
    config = checkpoints.read_config(directory)
    vocabulary = read_vocabulary(directory, config, spec)
    tensors = encoder.named(checkpoints.read_tensors(directory))
    config = encoder.completed(config, tensors)
    with torch.device("meta"):
        module = encoder.build(config)
    encoder.fill_buffers(module)
    encoder.assign(module, tensors, origin=str(directory))
    # glibc hands large blocks back after each pass, and the system zeroes them anew, until it has seen one of this size.
    torch.empty(31 << 20, dtype=torch.uint8)
    module = module.to(environment.device(device), precision).eval()
    if module.esm.rotary_embeddings is not None:
        # Half precision would round the angles: the table stays in float32.
        module.esm.rotary_embeddings.inv_freq = encoder.inverse_frequencies(module).to(module.device)
    rotary = config.get("position_embedding_type") == "rotary"
    positions = config.get("max_position_embeddings", 1026) - 2
    limit = max_tokens or positions
    if limit > positions and not rotary:
        raise ValueError(
            f"{directory.name} has learned positions for {positions:,} tokens; max_tokens={limit:,} is beyond them."
        )
    name, licence = located.name, located.licence
    if licence == registry.CC_BY_NC_SA:
        warnings.warn(
            f"The weights of {name} are licensed {licence}: not for commercial use, and what is derived from them "
            "(embeddings, adapters, fine-tuned models) carries the same terms.",
            registry.LicenceNotice,
            stacklevel=3,
        )
    info = {
        "name": name,
        "revision": located.revision,
        "weights_sha256": checkpoints.weight_hash(directory),
        "licence": licence,
        "training": corpus(directory, spec.repository if spec is not None else ""),
        "parameters": sum(p.numel() for p in module.parameters()),
        "layers": module.config.num_hidden_layers,
        "heads": module.config.num_attention_heads,
        "hidden_size": module.config.hidden_size,
        "language_model_head": module.config.lm_head,
        "max_tokens": limit,
        "vocabulary": vocabulary.name,
        "dtype": dtype,
        "device": str(module.device),
    }
    return NucleotideTransformer(module, tokens.Tokenizer(vocabulary), name, limit, info)
