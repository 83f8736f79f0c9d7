"""Models that the Nucleotide Transformer is compared with, each read from its published checkpoint by plain PyTorch, without remote code."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

FAMILIES: dict[str, Callable[[dict[str, Any]], bool]] = {
    "segment_nt": lambda config: "num_layers_head" in config and "features" in config,
    "ntv3": lambda config: str(config.get("model_type")).startswith("ntv3"),
    "peers.dnabert2": lambda config: "alibi_starting_size" in config,
    "peers.enformer": lambda config: config.get("model_type") == "enformer" and "num_downsamples" in config,
    "peers.hyenadna": lambda config: config.get("model_type") == "hyenadna" and "d_model" in config,
    "peers.bpnet": lambda config: config.get("model_type") == "bpnet-lite",
    "peers.spliceai": lambda config: config.get("model_type") == "spliceai-10k",
}
"""Modules of `ntviz.models` that load a family each, and what tells its config.json."""


def family(directory: Path) -> ModuleType | None:
    """The module that loads a checkpoint directory; None where it is of no family here."""
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {"model_type": "spliceai-10k"} if (directory / "spliceai1.h5").is_file() else None
    for name, fits in FAMILIES.items():
        if isinstance(config, dict) and fits(config):
            return import_module(f"ntviz.models.{name}")
    return None
