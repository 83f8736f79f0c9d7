"""What peers have in common: how a published checkpoint becomes a network, and what a network says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from ntviz import environment
from ntviz.models import checkpoints
from ntviz.models.model import Model, States, torch_dtype
from ntviz.tokens import VOCABULARIES


class Network(nn.Module):
    """A peer's network. Subclasses say their shape and compute `states`."""

    layers: int
    heads: int
    width: int

    def states(self, ids: torch.Tensor, mask: torch.Tensor, *, attentions: bool = False) -> States:
        """Hidden states of ids [sequence, token], where the mask is True on tokens and False on padding."""
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class Peer(Model):
    """A loaded peer; `build` makes a network of the same shape with fresh random weights."""

    module: Network
    build: Callable[[], Network]

    def _fresh(self, device: torch.device, dtype: torch.dtype) -> Network:
        return self.build().to(device, dtype)

    def _passes(
        self, batch: Any, ids: np.ndarray, mask: np.ndarray, outputs: Sequence[str], at: np.ndarray | None
    ) -> Iterator[tuple[Any, States]]:
        device = next(self.module.parameters()).device
        given = torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
        yield slice(None), self.module.states(*given, attentions="attentions" in outputs)

    @classmethod
    def filled(
        cls, located: checkpoints.Located, tensors: dict[str, torch.Tensor], tokenizer: Any, network: Callable[[], Network],
        build: Callable[[], Network] | None = None, *, max_tokens: int, device: str, dtype: str, unused: str = "", **about: Any,
    ) -> Self:  # fmt: skip
        """A network with a checkpoint's tensors in it, where it shall run; `unused` as in `checkpoints.assign`."""
        precision = torch_dtype(dtype)
        with torch.device("meta"):
            module = network()
        module = module.to_empty(device="cpu")
        checkpoints.assign(module, tensors, origin=str(located.directory), unused=unused)
        module = module.to(environment.device(device), precision).eval()
        model = cls(module, tokenizer, located.name, max_tokens, {}, build or network)
        return model.described(located, dtype, **about)


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
    return ValueError(
        f"{key} in {located.directory / 'config.json'} must be {wanted}; got {config.get(key)!r}. "
        "Use a checkpoint of the published architecture."
    )


def limit(max_tokens: int | None, usual: int, *, least: int = 1, most: int | None = None) -> int:
    """The tokens that a model takes: the usual number unless another one is asked for."""
    chosen = usual if max_tokens is None else max_tokens
    if chosen < least or (most is not None and chosen > most):
        end = f" and at most {most:,}" if most is not None else ""
        raise ValueError(
            f"max_tokens must be at least {least}{end}; got {chosen:,}. Leave it out for {usual:,}."
        )
    return chosen


def once(tensors: dict[str, torch.Tensor], name: str, own: str, located: checkpoints.Located) -> None:
    """Takes out a tensor that a file may hold under a second name, or raises a ValueError where the two differ."""
    value = tensors.pop(name, None)
    if value is not None and not torch.equal(value, tensors.setdefault(own, value)):
        raise ValueError(
            f"{name} of {located.directory} must equal {own}, since they are one tensor; they differ. "
            "Download the checkpoint again."
        )


def one_hot(ids: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Bases [..., 4] in order ACGT of the ids of single bases; zeros of N and of padding."""
    bases = torch.tensor(VOCABULARIES["single-base"].single_ids, device=ids.device)
    return (ids[..., None] == bases).to(dtype)


def parts(**named: nn.Module) -> nn.ModuleDict:
    """Parts of a network by the names of a published checkpoint, as attributes."""
    return nn.ModuleDict(named)
