"""The training run: one code path for a CPU, a GPU and several, resumable to the bit.

Several GPUs: `torchrun` starts one process each; rows of a step are shared out between them, and each holds a copy of
the model or, where the recipe says so, a share.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import save_file
from torch.utils.checkpoint import checkpoint
from transformers import EsmForMaskedLM

from ntviz import environment
from ntviz.models import encoder
from ntviz.pretraining import checkpoints, evaluation, masking, sharding, speed, stopping
from ntviz.pretraining.corpus import held_out_table
from ntviz.pretraining.history import Log, read_history
from ntviz.pretraining.recipe import Recipe
from ntviz.pretraining.sampling import Sampler, Source
from ntviz.tokens import VOCABULARIES, Tokenizer


@dataclass(frozen=True)
class Run:
    """What a training run left.

    Attributes
    ----------
    directory
        Holds checkpoint/ (the last), checkpoint.before/, best/ (the lowest held-out loss, a model directory) and
        history.jsonl.
    history
        One row a step: step (1 = after the first), tokens (seen so far), loss (nats per masked token), learning_rate,
        seconds (since the run began, pauses left out), tokens_per_second (of this step, all processes together),
        utilisation (of the step: its FLOPs as a share of what the devices reach in a matrix product, measured at the
        start), held_out_loss and held_out_accuracy where evaluated.
    recipe
        What was run.
    stopped
        The signal that ended it before its last step; empty otherwise. The same call goes on.
    """

    directory: Path
    history: pd.DataFrame
    recipe: Recipe
    stopped: str = ""

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
    corpus: Source,
    directory: str | os.PathLike[str],
    *,
    steps: int,
    device: str = "auto",
    evaluate_every: int = 200,
    evaluate_sequences: int = 256,
    checkpoint_every: int = 200,
    max_seconds: float | None = None,
    heed_signals: bool = False,
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
        Chunks to train on and held-out chunks: a `Corpus`, or `Haplotypes`.
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
    heed_signals
        SIGTERM, SIGUSR1 and SIGUSR2, in any of the processes, end the run after the step that is going on, with a
        checkpoint.
    on_step
        Called with each row of the history, for live curves.

    Raises
    ------
    ValueError
        The directory holds a run of another recipe, or no whole checkpoint among damaged ones; or a corpus that does
        not fit the recipe.
    OSError
        The disk is full; the last checkpoint stays, and the same call goes on from it.
    """
    directory = Path(directory)
    with stopping.noted(heed_signals) as asked:
        began = time.monotonic()
        accelerator = _accelerator(recipe, device)
        torch.manual_seed(recipe.seed)
        tokenizer = Tokenizer(recipe.vocabulary)
        sampler = corpus.sampler(
            tokenizer, max_tokens=recipe.max_tokens, sequences=recipe.sequences, seed=recipe.seed,
            both_strands=recipe.both_strands,
        )  # fmt: skip
        module = encoder.build(recipe.config())
        objective, optimisers, prepared = _prepared(accelerator, module, recipe)
        done, seconds, best = checkpoints.resume(directory, recipe, module, optimisers)
        history = Log(directory, keep=done, write=accelerator.is_main_process)
        judged = corpus.judged_on
        held_out = None if judged.held_out.empty else held_out_table(judged, limit=evaluate_sequences)
        peak = accelerator.num_processes * speed.peak(
            accelerator.device.type, "bfloat16" if accelerator.mixed_precision == "bf16" else "float32"
        )
        before, told = time.monotonic(), False
        with ThreadPoolExecutor(1) as reader:
            upcoming = reader.submit(_micro_batches, sampler, recipe, done, accelerator)
            for step in range(done, steps):
                batches = upcoming.result()
                if step + 1 < steps:
                    upcoming = reader.submit(_micro_batches, sampler, recipe, step + 1, accelerator)
                rate = recipe.learning_rate_at(step, steps)
                loss = _step(accelerator, objective, prepared, batches, rate, recipe.clip)
                now = time.monotonic()
                tokens = recipe.sequences * recipe.max_tokens
                row: dict[str, Any] = {
                    "step": step + 1,
                    "tokens": (step + 1) * tokens,
                    "loss": loss,
                    "learning_rate": rate,
                    "seconds": seconds + now - began,
                    "tokens_per_second": tokens / (now - before),
                    "utilisation": tokens / (now - before) * recipe.flops_per_token() / peak,
                }
                # One message for both questions: every process must leave the loop at the same step.
                out_of_time = max_seconds is not None and now - began > max_seconds
                told, out_of_time = _anywhere(accelerator, bool(asked), out_of_time)
                last = told or out_of_time or step + 1 == steps
                scheduled = (step + 1) % evaluate_every == 0
                if held_out is not None and (scheduled or (last and not told)):
                    result = evaluation.evaluate(
                        module, judged, held_out, tokenizer, batch_tokens=recipe.micro_tokens
                    )
                    row |= {"held_out_loss": result.loss, "held_out_accuracy": result.accuracy}
                    (better,) = _anywhere(accelerator, accelerator.is_main_process and result.loss < best)
                    if better:
                        best = result.loss
                        save(module, recipe, directory / "best", extra=row, main=accelerator.is_main_process)
                history.append(row)
                if on_step is not None:
                    on_step(row)
                if last or (step + 1) % checkpoint_every == 0:
                    state = {"step": step + 1, "seconds": row["seconds"], "best": best}
                    checkpoints.write(
                        directory, recipe, module, optimisers, state, main=accelerator.is_main_process
                    )
                if last:
                    break
                before = time.monotonic()
        accelerator.wait_for_everyone()
        return Run(directory, read_history(directory), recipe, (asked.signal or "told") if told else "")


def save(
    module: EsmForMaskedLM,
    recipe: Recipe,
    directory: str | os.PathLike[str],
    *,
    dtype: torch.dtype = torch.float32,
    extra: dict[str, Any] | None = None,
    main: bool = True,
) -> None:
    """Writes a model directory in the published layout, whole or not at all; `models.load` reads it.

    Parameters
    ----------
    dtype
        Of the weights: `torch.float16` halves the file.
    extra
        Plain data to keep beside the recipe in training.json.
    main
        Whether this process writes. Where parameters are sharded every process must call.
    """
    whole = sharding.gathered(dict(module.state_dict()), keep=main)
    if not main:
        return
    with environment.atomic_directory(directory) as folder:
        tensors = {
            name: value.detach().to("cpu", dtype).contiguous()
            for name, value in whole.items()
            if not name.startswith("esm.contact_head.") and not name.endswith("inv_freq")
        }
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "vocab.txt").write_text(VOCABULARIES[recipe.vocabulary].to_text(), encoding="utf-8")
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


def _prepared(
    accelerator: Accelerator, module: EsmForMaskedLM, recipe: Recipe
) -> tuple[torch.nn.Module, list[torch.optim.Optimizer], list[Any]]:
    """The objective to call, the optimisers to keep and those to step, over one process or several."""
    if recipe.recompute:
        for layer in module.esm.encoder.layer:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    if recipe.compiled:
        # Layer by layer: all are alike, so one is compiled, and not as many as there are.
        for layer in module.esm.encoder.layer:
            layer.compile()
    if recipe.sharded and accelerator.num_processes > 1:
        sharding.shard(module, accelerator.device, accelerator.num_processes)
        optimisers = _optimisers(module, recipe)
        return _Objective(module), optimisers, optimisers
    optimisers = _optimisers(module, recipe)
    objective, *prepared = accelerator.prepare(_Objective(module), *optimisers)
    return objective, optimisers, prepared


def _optimisers(module: EsmForMaskedLM, recipe: Recipe) -> list[torch.optim.Optimizer]:
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimiser == "adam":
        return [torch.optim.Adam([p for _, p in named], lr=rate, betas=(0.9, 0.999), eps=1e-8, fused=True)]
    if recipe.optimiser == "adamw":
        return [
            torch.optim.AdamW(
                [p for _, p in named], lr=rate, betas=(0.9, 0.98), weight_decay=decay, fused=True
            )
        ]
    # Muon orthogonalises the updates of matrices inside the blocks; embedding and output rows stay with AdamW.
    matrices = [p for name, p in named if p.ndim == 2 and ".encoder.layer." in name]
    rest = [p for name, p in named if not (p.ndim == 2 and ".encoder.layer." in name)]
    return [
        torch.optim.Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=decay, fused=True),
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
        last = index + 1 == len(batches)
        sharding.synchronise(objective, last)
        with nullcontext() if last else accelerator.no_sync(objective):
            with accelerator.autocast():
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


def _anywhere(accelerator: Accelerator, *here: bool) -> list[bool]:
    """Whether each holds in any process: all must do the same."""
    flags = torch.tensor([float(flag) for flag in here], device=accelerator.device)
    return (accelerator.reduce(flags, reduction="sum") > 0).tolist()
