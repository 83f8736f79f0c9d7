"""Models too big for one device: parameters, gradients and optimiser state in shards over all processes (FSDP2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import EsmForMaskedLM


def shard(module: EsmForMaskedLM, device: torch.device, processes: int) -> None:
    """Shares out the parameters of each layer, of the rest of the encoder and of the output layer, in place."""
    mesh = init_device_mesh(device.type, (processes,))
    module.to(device)
    for layer in module.esm.encoder.layer:
        fully_shard(layer, mesh=mesh)
    # Encoder and output layer are called one by one, so each gathers its own.
    fully_shard(module.esm, mesh=mesh)
    fully_shard(module.lm_head, mesh=mesh)


def synchronise(module: torch.nn.Module, now: bool) -> None:
    """Whether the next backward pass adds up gradients over processes: only the last of a step does."""
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.set_requires_gradient_sync(now, recurse=False)


def gathered(state: Any, *, keep: bool = True) -> Any:
    """Plain data with every sharded tensor whole and on the CPU; all processes must ask, those that keep get it."""
    if isinstance(state, DTensor):
        whole = state.full_tensor()
        return whole.cpu() if keep else None
    if isinstance(state, Mapping):
        return {key: gathered(value, keep=keep) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(gathered(value, keep=keep) for value in state)
    return state


def shared_out(whole: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A whole tensor in the shards of another one; itself where the other one is whole."""
    if not isinstance(like, DTensor) or whole.shape != like.shape:
        return whole
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements)


def shared_out_state(kept: dict[str, Any], parameters: Iterable[torch.nn.Parameter]) -> dict[str, Any]:
    """An optimiser's state_dict with its tensors in the shards of the parameters they belong to."""
    state = {
        index: {
            name: shared_out(value, parameter) if isinstance(value, torch.Tensor) else value
            for name, value in kept["state"][index].items()
        }
        for index, parameter in enumerate(parameters)
        if index in kept["state"]
    }
    return {**kept, "state": state}
