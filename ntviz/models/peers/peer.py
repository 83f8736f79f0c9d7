"""What peers have in common: a network that gives its hidden states, behind the questions that analyses ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import numpy as np
import torch
from torch import nn

from ntviz import environment
from ntviz.models import checkpoints, pooling
from ntviz.models.corpus import corpus
from ntviz.models.protocol import Forward
from ntviz.models.requests import check_layers, check_outputs, float32, places, torch_dtype
from ntviz.tokens import Tokenizer, Tokens

Made = TypeVar("Made", bound=nn.Module)


class States(NamedTuple):
    """What a network computes: hidden states [sequence, token, hidden], one a layer and the embedding first.

    `attentions` are [sequence, head, query, key], one a layer, or None where they were not asked for.
    """

    hidden: list[torch.Tensor]
    attentions: list[torch.Tensor] | None = None


class Network(nn.Module):
    """A peer's network. Subclasses say their shape and compute `states`."""

    layers: int
    heads: int
    width: int

    def states(self, ids: torch.Tensor, mask: torch.Tensor, *, attentions: bool = False) -> States:
        """Hidden states of ids [sequence, token], where the mask is True on tokens and False on padding."""
        raise NotImplementedError

    def logits(self, last: torch.Tensor) -> torch.Tensor:
        """Scores [..., vocab] of the words of the vocabulary from the last hidden states [..., hidden]."""
        raise NotImplementedError


@dataclass(frozen=True)
class Peer:
    """A loaded peer; implements `models.DNAModel` and `models.Embedder`.

    Attributes
    ----------
    module
        The network, in eval mode; public, for hooks and training.
    tokenizer
        Called with a sequence, gives `Tokens`; its `vocabulary` has `pad_id`, `mask_id` and `n_logits`.
    build
        Makes a network of the same shape with fresh random weights.
    """

    module: Network
    tokenizer: Any
    name: str
    max_tokens: int
    max_bp: int
    info: dict[str, Any]
    build: Callable[[], Network]

    without_mask: ClassVar[str] = ""
    """Why there is no mask token to ask for, with {name} for the model's; empty where there is one."""

    @property
    def mask_id(self) -> int:
        """Id of the mask token.

        Raises
        ------
        ValueError
            The model was not trained with one.
        """
        if self.without_mask:
            raise ValueError(self.without_mask.format(name=self.name))
        return self.tokenizer.vocabulary.mask_id

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return self.module.layers

    @property
    def heads(self) -> int:
        """Attention heads per block; 0 for a model without attention."""
        return self.module.heads

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        return self.module.width

    def __repr__(self) -> str:
        size = sum(p.numel() for p in self.module.parameters()) / 1e6
        attention = f"{self.heads} heads" if self.heads else "no attention"
        return (
            f"{self.name}: {self.layers} layers, {attention}, width {self.hidden_size}, {size:.1f} M parameters, "
            f"up to {self.max_tokens:,} tokens"
        )

    def tokenize(self, sequence: str, *, phase: int = 0) -> Tokens:
        """Tokens of an upper-case sequence, with their spans in bp.

        Raises
        ------
        ValueError
            Letters other than A, C, G, T, N, a phase, or more tokens than the model takes.
        """
        if phase:
            raise ValueError(
                f"{self.name} has no frame of k-mers to shift; got phase={phase}. Leave it at 0."
            )
        return self.tokenizer(sequence, max_tokens=self.max_tokens)

    def forward(
        self,
        batch: Tokens | Sequence[Tokens],
        *,
        outputs: Sequence[str] = ("logits",),
        at: np.ndarray | None = None,
        layers: Sequence[int] | None = None,
    ) -> Forward:
        """The outputs asked for, as float32 arrays; see `models.Forward` for their axes.

        Raises
        ------
        ValueError
            An unknown output, attentions of a model that has none, a layer that is not there, or `at` of another shape.
        """
        check_outputs(outputs)
        if "attentions" in outputs and not self.heads:
            raise ValueError(
                f"{self.name} has no attention: its layers mix positions by convolution. "
                "Ask for hidden_states, or look at its dependency map."
            )
        chosen = range(self.layers + 1) if layers is None else layers
        check_layers(chosen, self.layers, self.name)
        ids, mask = self._padded(batch)
        device = next(self.module.parameters()).device
        with torch.inference_mode():
            states = self.module.states(
                torch.from_numpy(ids).to(device),
                torch.from_numpy(mask).to(device),
                attentions="attentions" in outputs,
            )
            last = states.hidden[-1]
            if at is not None:
                last = last[
                    torch.arange(len(last))[:, None], torch.from_numpy(places(at, ids.shape)).to(device)
                ]
            logits = float32(self.module.logits(last)) if "logits" in outputs else None
        return Forward(
            ids,
            mask,
            logits=logits,
            hidden_states=np.stack([float32(states.hidden[layer]) for layer in chosen], axis=1)
            if "hidden_states" in outputs
            else None,
            attentions=np.stack([float32(layer) for layer in states.attentions or ()], axis=1)
            if "attentions" in outputs
            else None,
        )

    def embed(
        self, batch: Sequence[Tokens], *, layers: Sequence[int], poolings: Sequence[str] = ("mean",)
    ) -> np.ndarray:
        """One vector a sequence, layer and pooling, float32 [sequence, layer, pooling, hidden].

        "mean" and "max" go over the tokens that cover bases: padding and special tokens are out.

        Raises
        ------
        ValueError
            A layer or pooling that the model does not have.
        """
        check_layers(layers, self.layers, self.name)
        batch = list(batch)
        ids, mask = self._padded(batch)
        covering = np.zeros_like(mask)
        for row, tokens in enumerate(batch):
            covering[row, : len(tokens)] = ~tokens.is_special
        device = next(self.module.parameters()).device
        cls = bool(batch[0].is_special[0])
        with torch.inference_mode():
            states = self.module.states(
                torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
            ).hidden
            where = torch.from_numpy(covering).to(device)
            found = [
                pooling.pool(states[layer], where, poolings, cls=cls, name=self.name) for layer in layers
            ]
        return np.stack(found, axis=1)

    @classmethod
    def filled(
        cls, located: checkpoints.Located, module: Network, tensors: dict[str, torch.Tensor], tokenizer: Any, build: Callable[[], Network], *,
        max_tokens: int, max_bp: int, device: str, dtype: str, unused: Sequence[str] = (), weights: str = "",
    ) -> Self:  # fmt: skip
        """A network with a checkpoint's tensors in it, where it shall run, and what a manifest says of it.

        `unused` as in `assign`; `weights` is the SHA-256 of the tensors where it is not that of `checkpoints.weight_hash`.

        Raises
        ------
        ValueError
            A tensor that does not fit, or an unknown device or dtype.
        """
        precision = torch_dtype(dtype)
        assign(module, tensors, origin=str(located.directory), unused=unused)
        module = module.to(environment.device(device), precision).eval()
        info = {
            "name": located.name,
            "revision": located.revision,
            "weights_sha256": weights or checkpoints.weight_hash(located.directory),
            "licence": located.licence,
            "training": corpus(located.directory),
            "parameters": sum(p.numel() for p in module.parameters()),
            "layers": module.layers,
            "heads": module.heads,
            "hidden_size": module.width,
            "max_tokens": max_tokens,
            "vocabulary": tokenizer.vocabulary.name,
            "dtype": dtype,
            "device": str(next(module.parameters()).device),
        }
        return cls(module, tokenizer, located.name, max_tokens, max_bp, info, build)

    def random_twin(self, seed: int = 0) -> Self:
        """The same architecture and tokenizer with fresh random weights: what a result owes to the shape alone."""
        one = next(self.module.parameters())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = self.build().to(one.device, one.dtype).eval()
        name = f"random twin of {self.name}"
        info = {**self.info, "name": name, "revision": None, "weights_sha256": f"random weights, seed {seed}"}
        return replace(self, module=module, name=name, info=info)

    def _padded(self, batch: Tokens | Sequence[Tokens]) -> tuple[np.ndarray, np.ndarray]:
        """Ids [sequence, token] padded on the right, and True where a token is real."""
        if isinstance(batch, np.ndarray):
            raise ValueError(f"{self.name} takes Tokens; got an array. Pass what `tokenize` gives.")
        rows = [batch] if isinstance(batch, Tokens) else list(batch)
        if not rows:
            raise ValueError("A batch must hold at least one sequence; received none. Tokenize one first.")
        longest = max(map(len, rows))
        if longest > self.max_tokens:
            raise ValueError(
                f"{self.name} takes up to {self.max_tokens:,} tokens; got {longest:,}. Take a shorter interval."
            )
        ids = np.full((len(rows), longest), self.tokenizer.vocabulary.pad_id, dtype=np.int64)
        mask = np.zeros(ids.shape, dtype=bool)
        for row, tokens in enumerate(rows):
            if tokens.vocabulary.name != self.tokenizer.vocabulary.name:
                raise ValueError(
                    f"All sequences of a batch must be tokenized by {self.tokenizer.vocabulary.name}; received "
                    f"{tokens.vocabulary.name} at index {row}. Tokenize them with this model."
                )
            ids[row, : len(tokens)] = tokens.ids
            mask[row, : len(tokens)] = True
        return ids, mask


def config_of(directory: Path, fits: Callable[[dict[str, Any]], bool], wanted: str) -> dict[str, Any]:
    """The config.json of a checkpoint, once it is known to be of a family; see `checkpoints.read_json` for errors."""
    config = checkpoints.read_json(directory)
    if not fits(config):
        raise ValueError(
            f"{directory / 'config.json'} must give {wanted}; got {config.get('model_type')!r}. "
            "Load this checkpoint as the model it is."
        )
    return config


def unfilled(make: Callable[[], Made]) -> Made:
    """A network whose memory is not yet written."""
    with torch.device("meta"):
        made = make()
    return made.to_empty(device="cpu")


def base_vectors() -> torch.Tensor:
    """One-hot bases of the ids of single bases [id, 4], in order ACGT; zeros of what is no base."""
    vocabulary = Tokenizer("single-base").vocabulary
    bases = torch.zeros(len(vocabulary), 4)
    bases[vocabulary.single_ids.tolist(), range(4)] = 1
    return bases


def assign(
    module: nn.Module, tensors: dict[str, torch.Tensor], *, origin: str, unused: Sequence[str] = ()
) -> None:
    """Copies a checkpoint's tensors, named as the module names them: every one, or an error that says which does not fit.

    Parameters
    ----------
    unused
        Beginnings of names that may stand in a checkpoint and are not needed.

    Raises
    ------
    ValueError
        A tensor is missing, unknown or of another shape.
    """
    own = module.state_dict()
    given = {
        name: value for name, value in tensors.items() if name in own or not name.startswith(tuple(unused))
    }
    wrong = [name for name in own if name in given and given[name].shape != own[name].shape]
    if wrong:
        name = wrong[0]
        raise ValueError(
            f"{len(wrong)} tensors of {origin} do not have the shape that its config.json implies, first {name}: "
            f"expected {tuple(own[name].shape)}, got {tuple(given[name].shape)}. Nothing was loaded."
        )
    parts = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for what, names in (
            ("missing", [name for name in own if name not in given]),
            ("unknown", [name for name in given if name not in own]),
        )
        if names
    ]
    if parts:
        raise ValueError(
            f"{origin} must hold each tensor of its config's network and no other; it has {' and '.join(parts)}. "
            "Nothing was loaded."
        )
    module.load_state_dict(given)
