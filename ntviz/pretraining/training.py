"""The training run: one code path for a CPU, a GPU and several, resumable to the bit.

Several GPUs: `accelerate launch` or `torchrun` starts one process each; rows of a step are shared out between them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import save_file
from transformers import EsmForMaskedLM

from ntviz import environment
from ntviz.models import encoder
from ntviz.pretraining import checkpoints, evaluation, masking
from ntviz.pretraining.corpus import Corpus, Sampler, held_out_table
from ntviz.pretraining.history import Log, read_history
from ntviz.pretraining.recipe import Recipe
from ntviz.tokens import VOCABULARIES, Tokenizer

VOCABULARY = "nt-v2"


@dataclass(frozen=True)
class Run:
    """What a training run left.

    Attributes
    ----------
    directory
        Holds checkpoint/ (the last), best/ (the lowest held-out loss, a model directory) and history.jsonl.
    history
        One row a step: step (1 = after the first), tokens (seen so far), loss (nats per masked token), learning_rate,
        seconds (since the run began, pauses left out), held_out_loss and held_out_accuracy where evaluated.
    recipe
        What was run.
    """

    directory: Path
    history: pd.DataFrame
    recipe: Recipe

    @property
    def tokens_per_second(self) -> float:
        """Tokens trained on a second, over the whole run, evaluation included."""
        last = self.history.iloc[-1]
        return float(last["tokens"] / last["seconds"])

    def utilisation(self, peak_flops: float) -> float:
        """Model FLOPs utilisation: the recipe's FLOPs a second as a share of the device's measured peak."""
        return self.tokens_per_second * self.recipe.flops_per_token() / peak_flops


def train(
    recipe: Recipe,
    corpus: Corpus,
    directory: str | os.PathLike[str],
    *,
    steps: int,
    device: str = "auto",
    evaluate_every: int = 200,
    evaluate_sequences: int = 256,
    checkpoint_every: int = 200,
    max_seconds: float | None = None,
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> Run:
    """Trains, or goes on training, a model in a directory, up to `steps` steps.

    When the directory holds a checkpoint of the same recipe, the run continues from it: its losses are those of a run
    that was never interrupted (exactly on one CPU or GPU with deterministic kernels).

    Parameters
    ----------
    recipe
        Shape, batch and optimiser.
    corpus
        Chunks to train on and held-out chunks.
    directory
        Made when missing. See `Run`.
    steps
        Optimiser steps in all, those of an earlier part included.
    device
        "auto", "cpu", "cuda", or "mps".
    evaluate_every, evaluate_sequences
        Held-out loss after so many steps, on so many evenly spaced sequences.
    checkpoint_every
        Steps between checkpoints; one is also written at the end. An interruption loses what came after the last.
    max_seconds
        Evaluates, writes a checkpoint and stops when this much time has gone in this call.
    on_step
        Called with each row of the history, for live curves.

    Raises
    ------
    ValueError
        The directory holds a run of another recipe, or a damaged checkpoint.
    OSError
        The disk is full; the last checkpoint stays, and the same call goes on from it.
    """
    directory = Path(directory)
    began = time.monotonic()
    accelerator = _accelerator(recipe, device)
    torch.manual_seed(recipe.seed)
    tokenizer = Tokenizer(VOCABULARIES[VOCABULARY])
    module = encoder.build(recipe.config())
    optimisers = _optimisers(module, recipe)
    done, seconds, best = checkpoints.resume(directory, recipe, module, optimisers)
    objective, *prepared = accelerator.prepare(_Objective(module), *optimisers)
    history = Log(directory, keep=done, write=accelerator.is_main_process)
    sampler = Sampler(
        corpus, tokenizer, max_tokens=recipe.max_tokens, sequences=recipe.sequences, seed=recipe.seed,
        both_strands=recipe.both_strands,
    )  # fmt: skip
    held_out = None if corpus.held_out.empty else held_out_table(corpus, limit=evaluate_sequences)

    with ThreadPoolExecutor(1) as reader:
        upcoming = reader.submit(_micro_batches, sampler, recipe, done, accelerator)
        for step in range(done, steps):
            batches = upcoming.result()
            if step + 1 < steps:
                upcoming = reader.submit(_micro_batches, sampler, recipe, step + 1, accelerator)
            rate = recipe.learning_rate_at(step, steps)
            loss = _step(accelerator, objective, prepared, batches, rate, recipe.clip)
            row: dict[str, Any] = {
                "step": step + 1,
                "tokens": (step + 1) * recipe.sequences * recipe.max_tokens,
                "loss": loss,
                "learning_rate": rate,
                "seconds": seconds + time.monotonic() - began,
            }
            out_of_time = max_seconds is not None and _anywhere(
                accelerator, time.monotonic() - began > max_seconds
            )
            last = out_of_time or step + 1 == steps
            if held_out is not None and (last or (step + 1) % evaluate_every == 0):
                result = evaluation.evaluate(
                    module, corpus, held_out, tokenizer, batch_tokens=recipe.micro_tokens
                )
                row |= {"held_out_loss": result.loss, "held_out_accuracy": result.accuracy}
                if result.loss < best and accelerator.is_main_process:
                    best = result.loss
                    save(module, recipe, directory / "best", extra=row)
            history.append(row)
            if on_step is not None:
                on_step(row)
            if accelerator.is_main_process and (last or (step + 1) % checkpoint_every == 0):
                state = {"step": step + 1, "seconds": row["seconds"], "best": best}
                checkpoints.write(directory, recipe, module, optimisers, state)
            if out_of_time:
                break
    accelerator.wait_for_everyone()
    return Run(directory, read_history(directory), recipe)


def save(
    module: EsmForMaskedLM,
    recipe: Recipe,
    directory: str | os.PathLike[str],
    *,
    dtype: torch.dtype = torch.float32,
    extra: dict[str, Any] | None = None,
) -> None:
    """Writes a model directory in the published v2 layout, whole or not at all; `models.load` reads it.

    Parameters
    ----------
    dtype
        Of the weights: `torch.float16` halves the file.
    extra
        Plain data to keep beside the recipe in training.json.
    """
    with environment.atomic_directory(directory) as folder:
        tensors = {
            name: value.detach().to("cpu", dtype).contiguous()
            for name, value in module.state_dict().items()
            if not name.startswith("esm.contact_head.") and not name.endswith("inv_freq")
        }
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "vocab.txt").write_text(VOCABULARIES[VOCABULARY].to_text(), encoding="utf-8")
        _write_json(folder / "config.json", recipe.config())
        _write_json(
            folder / "tokenizer_config.json",
            {"eos_token": None, "model_max_length": recipe.max_tokens, "tokenizer_class": "EsmTokenizer"},
        )
        _write_json(folder / "training.json", {"recipe": recipe.as_dict(), **(extra or {})})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def has_bfloat16(device: str) -> bool:
    """Whether a device multiplies bfloat16 in hardware: recent GPUs, and CPUs with AVX512-BF16 or AMX."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return device == "cpu" and any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def _accelerator(recipe: Recipe, device: str) -> Accelerator:
    chosen = environment.device(device)
    half = recipe.precision == "bfloat16" or (recipe.precision == "auto" and has_bfloat16(chosen))
    # accelerate keeps the first precision for the whole process; a notebook may train twice.
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    return Accelerator(cpu=chosen == "cpu", mixed_precision="bf16" if half else "no")


def _optimisers(module: EsmForMaskedLM, recipe: Recipe) -> list[torch.optim.Optimizer]:
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimiser == "adam":
        return [torch.optim.Adam([p for _, p in named], lr=rate, betas=(0.9, 0.999), eps=1e-8)]
    if recipe.optimiser == "adamw":
        return [torch.optim.AdamW([p for _, p in named], lr=rate, betas=(0.9, 0.98), weight_decay=decay)]
    # Muon orthogonalises the updates of matrices inside the blocks; embedding and output rows stay with AdamW.
    matrices = [p for name, p in named if p.ndim == 2 and ".encoder.layer." in name]
    rest = [p for name, p in named if not (p.ndim == 2 and ".encoder.layer." in name)]
    return [
        torch.optim.Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=decay),
    ]


def _micro_batches(
    sampler: Sampler, recipe: Recipe, step: int, accelerator: Accelerator
) -> list[tuple[np.ndarray, masking.Masked]]:
    """This process's rows of a step as masked micro-batches. Masks follow from seed, step and row alone."""
    rows = range(accelerator.process_index, recipe.sequences, accelerator.num_processes)
    size = max(1, recipe.micro_tokens // recipe.max_tokens)
    batches = []
    for begin in range(0, len(rows), size):
        part = rows[begin : begin + size]
        ids = sampler.rows(step, part)
        masked = [
            masking.mask(
                ids[i : i + 1], sampler.tokenizer.vocabulary, rng=np.random.default_rng((recipe.seed, 2, step, row)),
                rate=recipe.mask_rate, random_replacement=recipe.random_replacement,
            )
            for i, row in enumerate(part)
        ]  # fmt: skip
        batches.append((ids != sampler.tokenizer.vocabulary.pad_id, masking.join(masked)))
    return batches


class _Objective(torch.nn.Module):
    """Summed loss of a masked batch as a module's forward, so that gradients are shared between processes."""

    def __init__(self, module: EsmForMaskedLM) -> None:
        super().__init__()
        self.module = module

    def forward(self, attention_mask: np.ndarray, masked: masking.Masked) -> torch.Tensor:
        logits, targets = evaluation.masked_logits(self.module, attention_mask, masked)
        return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")


def _step(
    accelerator: Accelerator,
    objective: torch.nn.Module,
    optimisers: list[Any],
    batches: list[tuple[np.ndarray, masking.Masked]],
    rate: float,
    clip: float,
) -> float:
    """One optimiser step; returns the mean loss over the masked tokens of all processes, in nats."""
    count = torch.tensor(
        sum(len(m.targets) for _, m in batches), device=accelerator.device, dtype=torch.float32
    )
    total = accelerator.reduce(count, reduction="sum")
    losses = torch.zeros((), device=accelerator.device)
    objective.train()
    for index, batch in enumerate(batches):
        with accelerator.no_sync(objective) if index + 1 < len(batches) else nullcontext():
            loss = objective(*batch)
            # Gradients are averaged over processes: this scale makes them the mean over all masked tokens.
            accelerator.backward(loss * accelerator.num_processes / total)
            losses += loss.detach()
    if clip:
        accelerator.clip_grad_norm_(objective.parameters(), clip)
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return float(accelerator.reduce(losses, reduction="sum") / total)


def _anywhere(accelerator: Accelerator, here: bool) -> bool:
    """Whether it holds in any process: all must leave the loop at the same step."""
    return bool(accelerator.reduce(torch.tensor(float(here), device=accelerator.device), reduction="sum") > 0)
