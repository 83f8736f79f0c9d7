"""Models that the Nucleotide Transformer is compared with, each read from its published checkpoint by plain PyTorch.

None runs code from the hub. They answer the same questions: `tokenize`, `forward`, `embed`, `random_twin`.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

FAMILIES = ("dnabert2", "enformer", "hyenadna", "bpnet", "spliceai")
"""Modules of this package that load a family each."""


def family(directory: Path) -> ModuleType | None:
    """The module that loads a checkpoint directory, by its config.json; None where it is of no family here."""
    if (directory / "spliceai1.h5").is_file():
        return import_module("ntviz.models.peers.spliceai")
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # The Nucleotide Transformer's loader says what is wrong with it.
        return None
    for name in FAMILIES:
        module = import_module(f"ntviz.models.peers.{name}")
        if isinstance(config, dict) and module.fits(config):
            return module
    return None
