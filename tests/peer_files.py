"""Checkpoint directories of peers, altered for tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file

from ntviz.models import checkpoints, registry


def rewrite(directory: Path, **changes) -> Path:
    """The directory with other values in its config.json; None takes a key out."""
    config = json.loads((directory / "config.json").read_text()) | changes
    kept = {key: value for key, value in config.items() if value is not None}
    (directory / "config.json").write_text(json.dumps(kept))
    return directory


def retensor(directory: Path, change) -> Path:
    tensors = load_file(directory / "model.safetensors")
    change(tensors)
    save_file(tensors, directory / "model.safetensors")
    return directory


def random_sequence(length: int, seed: int = 0, letters: str = "ACGT") -> str:
    return "".join(np.random.default_rng(seed).choice(list(letters), length))


def located(directory: Path, name: str = "tiny") -> checkpoints.Located:
    """A checkpoint as the front door hands it over, under another name and licence."""
    spec = registry.PeerSpec(name, name, 0, 0, 0, 0, 0, 0, "none", "")
    return checkpoints.Located(directory, spec, "local", name)
