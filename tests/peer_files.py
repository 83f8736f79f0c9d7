"""Checkpoint directories of peers: altered for tests, and written where no fixture holds one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ntviz import models
from ntviz.models.peers.spliceai import SpliceEnsemble

FIXTURES = Path(__file__).parent / "fixtures"


def rewrite(directory: Path, **changes) -> Path:
    """The directory with other values in its config.json; None takes a key out."""
    config = json.loads((directory / "config.json").read_text()) | changes
    kept = {key: value for key, value in config.items() if value is not None}
    (directory / "config.json").write_text(json.dumps(kept))
    return directory


def copied(family: str, folder: Path) -> Path:
    """A copy of a family's small checkpoint, to be altered."""
    return shutil.copytree(FIXTURES / f"{family}_tiny", folder / "copy")


def retensor(directory: Path, change) -> Path:
    tensors = load_file(directory / "model.safetensors")
    change(tensors)
    save_file(tensors, directory / "model.safetensors")
    return directory


def refused(given, message: str, error=ValueError, **options) -> None:
    """Loading a directory or a name ends in an error that says why."""
    with pytest.raises(error, match=message):
        models.load(given, device="cpu", **options)


def random_sequence(length: int, seed: int = 0, letters: str = "ACGT") -> str:
    return "".join(np.random.default_rng(seed).choice(list(letters), length))


def some_networks(model, *numbers: int):
    """An ensemble of some of the networks of another."""
    module = model.module.fresh({"networks": len(numbers)})
    for place, number in enumerate(numbers):
        module.networks[place] = model.module.networks[number]
    return replace(model, module=module.eval())


def write_bpnet(directory: Path, *, controls: int = 2, trimming: int | None = 20) -> Path:
    """A checkpoint as bpnet-lite names its tensors: 6 channels, 3 layers, convolutions of 21, 3 and 75 bp."""
    rng, width = torch.Generator().manual_seed(controls), 6

    def normal(*shape: int) -> torch.Tensor:
        return 0.3 * torch.randn(shape, generator=rng)

    tensors = {"iconv.weight": normal(width, 4, 21), "iconv.bias": normal(width)}
    for index in range(3):
        tensors[f"rconvs.{index}.weight"] = normal(width, width, 3)
        tensors[f"rconvs.{index}.bias"] = normal(width)
    tensors |= {"fconv.weight": normal(2, width + controls, 75), "fconv.bias": normal(2)}
    tensors |= {"linear.weight": normal(1, width + (controls > 0)), "linear.bias": normal(1)}
    directory.mkdir()
    save_file(tensors, directory / "model.safetensors")
    config = {"model_type": "bpnet-lite"} | ({} if trimming is None else {"trimming": trimming})
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def write_spliceai(directory: Path) -> Path:
    """An ensemble of one network with random weights."""
    directory.mkdir()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(SpliceEnsemble({"networks": 1}).state_dict(), directory / "model.safetensors")
    (directory / "config.json").write_text('{"model_type": "spliceai-10k", "networks": 1}')
    return directory
