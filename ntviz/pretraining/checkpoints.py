"""The checkpoints that a training run goes on from: weights, optimisers and counters, whole or not at all.

The last is in checkpoint/, the one before it in checkpoint.before/. Each holds the checksums of its files, so that a
damaged one is known for what it is, and the run goes on from the other.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import EsmForMaskedLM

from ntviz import environment
from ntviz.pretraining import identity, sharding

LAST, BEFORE, _NEXT = "checkpoint", "checkpoint.before", "checkpoint.next"
_SUMS = "checksums.sha256"
_DAMAGED = (OSError, ValueError, KeyError, RuntimeError, EOFError, SafetensorError, UnpicklingError)
State = tuple[int, float, float, dict[str, Any]]


def write(
    directory: Path,
    module: EsmForMaskedLM,
    optimisers: list[torch.optim.Optimizer],
    state: dict[str, Any],
    *,
    main: bool = True,
) -> None:
    """Makes the state of now the directory's checkpoint, whole or not at all; the one before is kept.

    Parameters
    ----------
    main
        Whether this process writes. Where parameters are sharded every process must call.
    """
    weights = sharding.gathered(dict(module.state_dict()), keep=main)
    kept = [sharding.gathered(optimiser.state_dict(), keep=main) for optimiser in optimisers]
    if not main:
        return
    with environment.atomic_directory(directory / _NEXT) as folder:
        save_file(
            {k: v.detach().cpu().contiguous() for k, v in weights.items()}, folder / "weights.safetensors"
        )
        for index, optimiser in enumerate(kept):
            torch.save(optimiser, folder / f"optimiser{index}.pt")
        text = json.dumps(state, allow_nan=False)
        (folder / "state.json").write_text(text + "\n", encoding="utf-8")
        sums = [f"{environment.sha256(file)}  {file.name}\n" for file in sorted(folder.iterdir())]
        (folder / _SUMS).write_text("".join(sums), encoding="utf-8")
    # Killed between any two of these, `resume` finds a whole one under one of the three names.
    if (directory / LAST).exists():
        shutil.rmtree(directory / BEFORE, ignore_errors=True)
        os.replace(directory / LAST, directory / BEFORE)
    os.replace(directory / _NEXT, directory / LAST)


def resume(
    directory: Path,
    now: dict[str, Any],
    module: EsmForMaskedLM,
    optimisers: list[torch.optim.Optimizer],
    *,
    accept: bool = False,
) -> State:
    """Steps done, seconds used, best held-out loss and identity of the last good checkpoint, which is loaded.

    Parameters
    ----------
    now, accept
        What decides the run now, and whether it may differ from the checkpoint's; see `identity.agreed`.

    Raises
    ------
    Changed
        The checkpoint is of something else.
    ValueError
        None of those here is whole. Where one is damaged and the one before is whole, the run goes on from that, with a
        warning.
    """
    folders = [directory / name for name in (_NEXT, LAST, BEFORE) if (directory / name).is_dir()]
    # What a run was killed in the middle of writing was never under these names.
    problem: Exception | None = None
    for folder in folders:
        try:
            found = _load(folder, now, module, optimisers, accept)
        except identity.Changed:
            raise
        except _DAMAGED as error:
            problem = problem or error
            continue
        if problem is not None:
            warnings.warn(
                f"{folders[0]} is damaged ({type(problem).__name__}: {problem}); the run goes on from {folder.name}, "
                f"step {found[0]:,}.",
                stacklevel=2,
            )
        return found
    if problem is None:
        return 0, 0.0, math.inf, now
    raise ValueError(
        f"{folders[0]} must be a whole checkpoint to go on from; reading it failed: {type(problem).__name__}: {problem}. "
        "It was damaged after it was written: delete it to begin anew, or train in another directory."
    ) from problem


def _load(
    folder: Path,
    now: dict[str, Any],
    module: EsmForMaskedLM,
    optimisers: list[torch.optim.Optimizer],
    accept: bool,
) -> State:
    sums = folder / _SUMS
    # Checkpoints from before there were checksums have none.
    for line in sums.read_text(encoding="utf-8").splitlines() if sums.is_file() else ():
        expected, name = line.split("  ")
        if environment.sha256(folder / name) != expected:
            raise ValueError(f"{name} is not what was written: its checksum differs")
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    who, comparable = identity.agreed(state, now, accept=accept, place=str(folder.parent))
    # Both are read before either is loaded: half of a damaged one must not stay in the model.
    weights = load_file(folder / "weights.safetensors")
    kept = [
        # A GPU's checkpoint goes on elsewhere, too: each optimiser moves its state to where its parameters are.
        torch.load(folder / f"optimiser{index}.pt", weights_only=True, map_location="cpu")
        for index in range(len(optimisers))
    ]
    own = module.state_dict()
    module.load_state_dict({name: sharding.shared_out(value, own[name]) for name, value in weights.items()})
    for optimiser, whole in zip(optimisers, kept, strict=True):
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        optimiser.load_state_dict(sharding.shared_out_state(whole, parameters))
    best = state["best"] if comparable and state["best"] is not None else math.inf
    return state["step"], state["seconds"], best, who
