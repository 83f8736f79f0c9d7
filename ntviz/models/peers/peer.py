"""What peers have in common: how a published checkpoint becomes a network, and how a network answers.

A family is one file: a `Network` whose parts are named as published, and `load(located, max_tokens)`, which reads config.json by
`read_config` and ends in `Peer.filled`. `peers.FAMILIES` says which config.json is its.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from ntviz.models import checkpoints
from ntviz.models.model import Model, States
from ntviz.tokens import VOCABULARIES


class Network(nn.Module):
    """A peer's network, built from its `shape`, mostly a config.json. Subclasses say their size and compute `states`."""

    layers: int
    heads: int = 0
    width: int

    def __init__(self, shape: dict[str, Any]) -> None:
        super().__init__()
        self.shape = shape

    @classmethod
    def fresh(cls, shape: dict[str, Any]) -> Self:
        """A network with random weights, as training began."""
        return cls(shape)

    def states(self, ids: torch.Tensor, mask: torch.Tensor, *, attentions: bool = False) -> States:
        """Hidden states of ids [sequence, token], where the mask is True on tokens and False on padding."""
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class Peer(Model):
    """A loaded peer."""

    module: Network

    def _fresh(self) -> Network:
        return self.module.fresh(self.module.shape)

    def _passes(
        self, batch: Any, ids: np.ndarray, mask: np.ndarray, outputs: Sequence[str], at: np.ndarray | None
    ) -> Iterator[tuple[Any, States]]:
        device = next(self.module.parameters()).device
        given = torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
        yield slice(None), self.module.states(*given, attentions="attentions" in outputs)

    @classmethod
    def filled(
        cls, located: checkpoints.Located, network: type[Network], shape: dict[str, Any], tensors: dict[str, torch.Tensor],
        tokenizer: Any, max_tokens: int, *, unused: str = "", **info: Any,
    ) -> Self:  # fmt: skip
        """A network with a checkpoint's tensors in it; `unused` as in `checkpoints.assign`."""
        with torch.device("meta"):
            module = network(shape)
        checkpoints.assign(module, tensors, origin=str(located.directory), unused=unused)
        return cls(module, tokenizer, located.name, max_tokens, info)


def read_config(
    located: checkpoints.Located, numbers: Collection[str] = (), published: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The config.json of a checkpoint, whose `numbers` are positive and whose other settings, where given, are the published ones."""
    config = checkpoints.read_config(located.directory)
    for key in numbers:
        if not isinstance(config.get(key), int) or config[key] < 1:
            raise refused(located, config, key, "a positive integer")
    for key, value in (published or {}).items():
        if config.get(key, value) != value:
            raise refused(located, config, key, f"{value!r}, as published")
    return config


def refused(located: checkpoints.Located, config: dict[str, Any], key: str, wanted: str) -> ValueError:
    """The error of a setting that is not the architecture's."""
    path = located.directory / "config.json"
    return ValueError(f"{key} in {path} must be {wanted}; got {config.get(key)!r}.")


def limit(max_tokens: int | None, usual: int, *, least: int = 1, most: float = float("inf")) -> int:
    """The tokens that a model takes: the usual number unless another one is asked for."""
    chosen = usual if max_tokens is None else max_tokens
    if not least <= chosen <= most:
        end = f" and at most {most:,}" if chosen > most else ""
        raise ValueError(f"max_tokens must be at least {least}{end}; got {chosen:,}. Leave it out for {usual:,}.")
    return chosen


def once(tensors: dict[str, torch.Tensor], name: str, own: str, located: checkpoints.Located) -> None:
    """Takes out a tensor that a file may hold under a second name, or raises a ValueError where the two differ."""
    value = tensors.pop(name, None)
    if value is not None and not torch.equal(value, tensors.setdefault(own, value)):
        raise ValueError(f"{name} of {located.directory} must equal {own}, as they are one tensor; they differ.")


def one_hot(ids: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Bases [..., 4] in order ACGT of the ids of single bases; zeros of N and of padding."""
    bases = torch.tensor(VOCABULARIES["single-base"].single_ids, device=ids.device)
    return (ids[..., None] == bases).to(dtype)


def parts(**named: nn.Module) -> Any:
    """Parts of a network by the names of a published checkpoint, as attributes."""
    return nn.ModuleDict(named)


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation without the counter of training steps, which nothing reads and older files lack."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__(width, eps=eps)
        self.num_batches_tracked = None


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor, scale: float, maps: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Mixed values [sequence, head, query, size], and attention [sequence, head, query, key] where maps are asked for."""
    if not maps:
        return scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale), None
    scores = query @ key.transpose(-1, -2) * scale + bias
    attention = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32))
    return attention.to(value.dtype) @ value, attention


def stacked(x: torch.Tensor, blocks: Iterable[Any], *given: torch.Tensor, maps: bool) -> States:
    """States before the first block and after each one, of blocks that give the next states, and attention or None."""
    hidden, seen = [x], []
    for block in blocks:
        x, attention = block(x, *given, maps)
        hidden.append(x)
        seen.append(attention)
    return States(hidden, seen if maps else None)
