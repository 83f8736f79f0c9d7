"""What all loaded models do alike: check what is asked, pass batches through the network, pool vectors, randomise weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch

from ntviz.models import checkpoints
from ntviz.models.protocol import OUTPUTS, Forward
from ntviz.models.registry import corpus
from ntviz.tokens import Tokenizer, Tokens
from ntviz.tokens.tokens import padded

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
POOLINGS = ("mean", "cls", "max")


class States(NamedTuple):
    """Hidden states [sequence, token, hidden], the embedding first, and attentions [sequence, head, query, key], one a layer.

    `narrowed` says that the last hidden states are those of the tokens `at` alone.
    """

    hidden: Sequence[torch.Tensor]
    attentions: Sequence[torch.Tensor] | None = None
    narrowed: bool = False


@dataclass(frozen=True)
class Model:
    """A loaded model; implements `models.DNAModel` and `models.Embedder`.

    `module` is the network, in eval mode; public, for hooks and training. `tokenizer`, called with a sequence, gives `Tokens`.
    """

    module: Any
    tokenizer: Any
    name: str
    max_tokens: int
    info: dict[str, Any]

    without_mask: ClassVar[str] = ""
    """Why there is no mask token to ask for; empty where there is one."""
    without_logits: ClassVar[str] = ""
    """What is predicted in the place of tokens; empty for a language model."""

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return self.module.layers

    @property
    def attention_layers(self) -> int:
        """Number of blocks that attend: all of them but in NTv3, whose other blocks are convolutions."""
        return self.layers

    @property
    def heads(self) -> int:
        """Attention heads per block; 0 for a model without attention."""
        return self.module.heads

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        return self.module.width

    @property
    def max_bp(self) -> int:
        """Longest N-free sequence in bp that fits for certain."""
        return self.tokenizer.vocabulary.max_bases(self.max_tokens)

    @property
    def mask_id(self) -> int:
        """Id of the mask token; a ValueError where the model was not trained with one."""
        if self.without_mask:
            raise ValueError(f"{self.name} has no mask token: {self.without_mask}")
        return self.tokenizer.vocabulary.mask_id

    def __repr__(self) -> str:
        size = sum(p.numel() for p in self.module.parameters()) / 1e6
        attention = f"layers x {self.heads} heads" if self.heads else "layers, no attention"
        head = "" if self.info.get("language_model_head", True) else " no language-model head,"
        return (
            f"{self.name}: {self.layers} {attention}, width {self.hidden_size}, {size:.1f} M parameters,{head} "
            f"{self.tokenizer.vocabulary.name} tokens, up to {self.max_tokens:,} tokens ({self.max_bp:,} bp)"
        )

    def tokenize(self, sequence: str, *, phase: int = 0) -> Tokens:
        """Tokens of an upper-case sequence, with their spans in bp; no more than the model takes."""
        if phase and not isinstance(self.tokenizer, Tokenizer):
            raise ValueError(f"{self.name} has no frame of k-mers: phase must be 0; got {phase}.")
        options = {"phase": phase} if phase else {}
        return self.tokenizer(sequence, max_tokens=self.max_tokens, **options)

    def forward(
        self, batch: Tokens | Sequence[Tokens] | np.ndarray, *, outputs: Sequence[str] = ("logits",),
        at: np.ndarray | None = None, layers: Sequence[int] | None = None,
    ) -> Forward:  # fmt: skip
        """The outputs asked for, as float32 arrays; see `models.Forward` for their axes.

        `batch` is one tokenised sequence, several (padded here), or ids [sequence, token] that end in padding ids. Attentions are
        layers x heads x tokens x tokens numbers a sequence, by a slower kernel: ask for windows of long sequences only. Logits are
        computed at the tokens `at` [sequence, n] only; of the hidden states, 0 (the embedding) to `layers`, those of `layers` return.
        """
        unknown = [name for name in outputs if name not in OUTPUTS]
        if unknown:
            raise ValueError(f"outputs must be among {', '.join(OUTPUTS)}; got {unknown[0]!r}.")
        if self.without_logits and ("logits" in outputs or at is not None):
            raise ValueError(
                f"Logits need a vocabulary; {self.name} has none, it {self.without_logits}, or ask for hidden_states."
            )
        if "attentions" in outputs and not self.heads:
            raise ValueError(f"{self.name} has no attention. Ask for hidden_states, or look at its dependency map.")
        chosen = self._chosen(range(self.layers + 1) if layers is None else layers)
        batch = batch if isinstance(batch, Tokens | np.ndarray) else list(batch)
        ids, mask = self._padded(batch)
        n = ids.shape[1]
        if at is not None:
            at = np.asarray(at, dtype=np.int64)
            if at.ndim != 2 or len(at) != len(ids) or (at.size and (at.min() < 0 or at.max() >= n)):
                raise ValueError(
                    f"at must be [sequence, n] with {len(ids)} rows of token positions in 0 to {n - 1}; got shape "
                    f"{at.shape}" + (f" with values {at.min()} to {at.max()}." if at.size else ".")
                )
        hidden = maps = logits = None
        if "hidden_states" in outputs:
            hidden = np.zeros((len(ids), len(chosen), n, self.hidden_size), dtype=np.float32)
        if "attentions" in outputs:
            wide = self.attended(n)
            maps = np.zeros((len(ids), self.attention_layers, self.heads, wide, wide), dtype=np.float32)
        with torch.inference_mode():
            for rows, states in self._passes(batch, ids, mask, outputs, at):
                length = states.hidden[0].shape[1]
                for column, layer in enumerate(chosen if hidden is not None else ()):
                    hidden[rows, column, :length] = float32(states.hidden[layer])
                for layer, attention in enumerate(states.attentions or ()):
                    wide = attention.shape[-1]
                    maps[rows, layer, :, :wide, :wide] = float32(attention)
                if "logits" in outputs:
                    last = states.hidden[-1]
                    if at is not None and not states.narrowed:
                        last = last[torch.arange(len(last))[:, None], torch.from_numpy(at[rows]).to(last.device)]
                    values = float32(self._logits(last))
                    if len(values) == len(ids):
                        logits = values
                    else:  # the rows of one length
                        logits = (
                            np.zeros((len(ids), at.shape[1] if at is not None else n, values.shape[2]), np.float32)
                            if logits is None
                            else logits
                        )
                        logits[rows, : values.shape[1]] = values
        return Forward(ids, mask, logits=logits, hidden_states=hidden, attentions=maps)

    def embed(
        self, batch: Sequence[Tokens], *, layers: Sequence[int], poolings: Sequence[str] = ("mean",)
    ) -> np.ndarray:
        """One vector a sequence, layer and pooling, float32 [sequence, layer, pooling, hidden]; no logits are computed.

        `layers` count from 0, the embedding. `poolings` are "mean" and "max" over the tokens that cover bases (padding and special
        tokens are out), and "cls", the first token where it is a special one.
        """
        chosen = self._chosen(layers)
        unknown = [how for how in poolings if how not in POOLINGS]
        if unknown:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}; got {unknown[0]!r}.")
        batch = list(batch)
        ids, mask = self._padded(batch)
        if "cls" in poolings and not batch[0].is_special[0]:
            raise ValueError(
                f"pooling 'cls' needs a special first token; {self.name} has none. Pool by 'mean' or 'max'."
            )
        covering = mask.copy()
        for row, tokens in enumerate(batch):
            covering[row, : len(tokens)] = ~tokens.is_special
        vectors = np.zeros((len(batch), len(chosen), len(poolings), self.hidden_size), dtype=np.float32)
        with torch.inference_mode():
            for rows, states in self._passes(batch, ids, mask, ("hidden_states",), None):
                first = states.hidden[0]
                where = torch.from_numpy(covering[rows, : first.shape[1]]).to(first.device)
                for column, layer in enumerate(chosen):
                    for place, how in enumerate(poolings):
                        vectors[rows, column, place] = float32(_pooled(states.hidden[layer], where, how))
        return vectors

    def reproduced(self, expected: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of `input_ids`, as far as `expected` has them, under its names; see `models.verify`."""
        names = [name for name in OUTPUTS if name in expected]
        if not names:
            return {}
        found = self.forward(expected["input_ids"].astype(np.int64), outputs=names)
        ours = {name: getattr(found, name) for name in names}
        # The embedding is not among those of the original implementation.
        return ours | ({"hidden_states": ours["hidden_states"][:, 1:]} if "hidden_states" in ours else {})

    def random_twin(self, seed: int = 0) -> Self:
        """The same architecture and tokenizer, randomly initialised: what a result owes to the shape alone."""
        one = next(self.module.parameters())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = self._ready(self._fresh(), one.device, one.dtype)
        name = f"random twin of {self.name}"
        info = {**self.info, "name": name, "revision": None, "weights_sha256": f"random weights, seed {seed}"}
        return replace(self, module=module, name=name, info=info)

    def placed(self, located: checkpoints.Located, device: str, dtype: torch.dtype) -> Self:
        """The model where it shall run, with `info` filled in."""
        module = self._ready(self.module, torch.device(device), dtype)
        repository = located.spec.repository if located.spec is not None else ""
        info = {
            "name": self.name, "revision": located.revision, "origin": located.origin, "licence": located.licence,
            "weights_sha256": self.info.get("weights_sha256") or checkpoints.weight_hash(located.directory),
            "training": corpus(located.directory, repository),
            "parameters": sum(p.numel() for p in module.parameters()), "layers": self.layers, "heads": self.heads,
            "hidden_size": self.hidden_size, "max_tokens": self.max_tokens, "vocabulary": self.tokenizer.vocabulary.name,
            "dtype": str(dtype).removeprefix("torch."), "device": str(next(module.parameters()).device),
        }  # fmt: skip
        return replace(self, module=module, info=self.info | info)

    def _fresh(self) -> torch.nn.Module:
        """A network of the same shape with random weights."""
        raise NotImplementedError

    def _ready(self, module: Any, device: torch.device, dtype: torch.dtype) -> Any:
        return module.to(device, dtype).eval()

    def _passes(
        self, batch: Any, ids: np.ndarray, mask: np.ndarray, outputs: Sequence[str], at: np.ndarray | None
    ) -> Iterator[tuple[Any, States]]:
        """Rows of the batch that are read together, and their states."""
        raise NotImplementedError

    def attended(self, n: int) -> int:
        """Queries and keys of n tokens."""
        return n

    def _logits(self, last: torch.Tensor) -> torch.Tensor:
        """Scores [..., vocab] from the last hidden states [..., hidden]."""
        return self.module.logits(last)

    def _chosen(self, layers: Sequence[int]) -> Sequence[int]:
        missing = [layer for layer in layers if not 0 <= layer <= self.layers]
        if missing:
            raise ValueError(
                f"layers must lie in 0 (the embedding) to {self.layers} for {self.name}; got {missing[0]}."
            )
        return layers

    def _padded(self, batch: Tokens | Sequence[Tokens] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids [sequence, token] padded on the right, and True where a token is real."""
        vocabulary = self.tokenizer.vocabulary
        if isinstance(batch, np.ndarray):
            if batch.ndim not in (1, 2) or not batch.size or not np.issubdtype(batch.dtype, np.integer):
                raise ValueError(
                    f"Ids must be integers [sequence, token], at least one; got {batch.dtype} of shape {batch.shape}."
                )
            ids = np.array(np.atleast_2d(batch), dtype=np.int64)
            mask = ids != vocabulary.pad_id
            if not mask[:, 0].all() or (mask[:, 1:] & ~mask[:, :-1]).any():
                raise ValueError(
                    f"Padding (id {vocabulary.pad_id}) must come after the last token; a row begins with padding or has tokens behind it."
                )
        else:
            ids, mask = padded([batch] if isinstance(batch, Tokens) else batch, vocabulary)
        if ids.shape[1] > self.max_tokens:
            raise ValueError(
                f"{self.name} takes up to {self.max_tokens:,} tokens ({self.max_bp:,} bp without N); got {ids.shape[1]:,} tokens."
            )
        size = vocabulary.n_logits or vocabulary.n_ids
        if ids.min() < 0 or ids.max() >= size:
            raise ValueError(
                f"Token ids must lie in 0 to {size - 1} for {self.name}; got {int(ids.min())} to {int(ids.max())}."
            )
        return ids, mask.astype(bool)


def float32(tensor: torch.Tensor) -> np.ndarray:
    """The values on the CPU, float32 in the shape of the tensor."""
    return tensor.detach().to("cpu", torch.float32).numpy()


def _pooled(states: torch.Tensor, covering: torch.Tensor, how: str) -> torch.Tensor:
    """Vectors [sequence, hidden] of states [sequence, token, hidden], over the tokens that cover bases."""
    if how == "cls":
        return states[:, 0]
    if how == "max":
        return states.masked_fill(~covering[..., None], -torch.inf).amax(1)
    # The products would be rounded in half precision, and sums of a thousand tokens overflow in it.
    weights = covering.to(torch.float32)
    total = torch.einsum("sth,st->sh", states.to(torch.float32), weights)
    return total / weights.sum(1, keepdim=True).clamp(min=1)
