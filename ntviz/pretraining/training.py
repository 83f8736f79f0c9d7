"""The training run: one code path for a CPU, a GPU and several, resumable to the bit.

Several GPUs: `torchrun` starts one process each; rows of a step are shared out between them, and each holds a copy of
the model or, where the recipe says so, a share.
"""

from __future__ import annotations

import json
import math
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
from ntviz.pretraining import checkpoints, evaluation, identity, masking, sharding, speed, stopping
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
    accept_changes: bool = False,
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> Run:
    """Trains, or goes on training, a model in a directory, up to `steps` steps.

    When the directory holds a checkpoint, the run continues from it: its losses are those of a run that was never
    interrupted (exactly on one CPU or GPU with deterministic kernels). Recipe, tokenizer, bases, sampling and held-out
    sequences must be those that it was made with; more steps alone go on, and so does the same FASTA elsewhere.

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
    accept_changes
        Goes on with another recipe, corpus or held-out region all the same, with a warning; what changed is kept in
        state.json and best/training.json. Never with weights of another shape, nor with a region held out that was
        trained on.
    on_step
        Called with each row of the history, for live curves.

    Raises
    ------
    identity.Changed
        The directory holds a run of another recipe or corpus.
    ValueError
        The directory holds no whole checkpoint among damaged ones; or a corpus that does not fit the recipe.
    FloatingPointError
        The loss or the gradient is not finite. Nothing is written then: the last checkpoint is one from which the model
        reads its batch with a finite loss.
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
        judged = corpus.judged_on
        held_out = judged.held_out
        if len(held_out):
            held_out = held_out_table(judged, limit=evaluate_sequences)
        done, seconds, best, kept = checkpoints.resume(
            directory, identity.of(corpus, recipe, held_out), module, optimisers, accept=accept_changes
        )
        changes = {"changes": kept["changes"]} if kept["changes"] else {}
        history = Log(directory, keep=done, write=accelerator.is_main_process)
        peak = accelerator.num_processes * speed.peak(
            accelerator.device.type, "bfloat16" if accelerator.mixed_precision == "bf16" else "float32"
        )
        before, told, saved = time.monotonic(), False, done
        with ThreadPoolExecutor(1) as reader:
            upcoming = reader.submit(_micro_batches, sampler, recipe, done, accelerator)
            for step in range(done, steps):
                batches = upcoming.result()
                if step + 1 < steps:
                    upcoming = reader.submit(_micro_batches, sampler, recipe, step + 1, accelerator)
                rate = recipe.learning_rate_at(step, steps)
                loss, norm = _step(accelerator, objective, prepared, batches, rate, recipe.clip)
                if not math.isfinite(loss + norm + rate):
                    what = f"the loss is {loss:g}, the norm of its gradient {norm:g}"
                    raise _not_finite(what, directory, saved, step, rate, sampler)
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
                keeping = last or (step + 1) % checkpoint_every == 0
                scheduled = (step + 1) % evaluate_every == 0
                judging = len(held_out) > 0 and (scheduled or (last and not told))
                # A step can leave weights with which nothing can be read any more: they are not kept.
                if (keeping or judging) and not _readable(accelerator, objective, batches):
                    what = "the loss on the same sequences is not finite after it"
                    raise _not_finite(what, directory, saved, step, rate, sampler)
                if judging:
                    result = evaluation.evaluate(
                        module, judged, held_out, tokenizer, batch_tokens=recipe.micro_tokens
                    )
                    if not math.isfinite(result.loss):
                        what = f"the held-out loss is {result.loss:g} after it"
                        raise _not_finite(what, directory, saved, step, rate, sampler)
                    row |= {"held_out_loss": result.loss, "held_out_accuracy": result.accuracy}
                    (better,) = _anywhere(accelerator, accelerator.is_main_process and result.loss < best)
                    if better:
                        best = result.loss
                        save(
                            module, recipe, directory / "best", extra=row | changes,
                            main=accelerator.is_main_process,
                        )  # fmt: skip
                history.append(row)
                if on_step is not None:
                    on_step(row)
                if keeping:
                    state = {
                        "step": step + 1, "seconds": row["seconds"], "best": best if best < math.inf else None, **kept,
                    }  # fmt: skip
                    checkpoints.write(directory, module, optimisers, state, main=accelerator.is_main_process)
                    saved = step + 1
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
) -> tuple[float, float]:
    """Mean loss over the masked tokens of all processes, in nats, and norm of the gradient, of one optimiser step.

    Where they or the rate are not finite no weight is changed.
    """
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
    total_norm = accelerator.clip_grad_norm_(objective.parameters(), clip or math.inf)
    norm = float(sharding.gathered(total_norm))
    loss = float(accelerator.reduce(losses, reduction="sum") / total)
    if not math.isfinite(loss + norm + rate):
        return loss, norm
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return loss, norm


def _readable(
    accelerator: Accelerator, objective: torch.nn.Module, batches: list[tuple[np.ndarray, masking.Masked]]
) -> bool:
    """Whether the loss of the first micro-batch is finite in all processes."""
    objective.eval()
    with torch.no_grad(), accelerator.autocast():
        finite = bool(torch.isfinite(objective(*batches[0])))
    return not _anywhere(accelerator, not finite)[0]


def _not_finite(
    what: str, directory: Path, saved: int, step: int, rate: float, sampler: Sampler
) -> FloatingPointError:
    stays = (
        f"The checkpoint of step {saved:,} in {directory} stays" if saved else "There is no checkpoint yet"
    )
    return FloatingPointError(
        f"Loss and gradient must be finite; at step {step + 1:,}, with learning rate {rate:g}, {what}. The batch: "
        f"{sampler.batch(step)}. {stays}. Lower learning_rate, raise warmup_steps or set clip: in another directory "
        "(--out), or going on from a checkpoint with accept_changes=True (--accept-changes)."
    )


def _anywhere(accelerator: Accelerator, *here: bool) -> list[bool]:
    """Whether each holds in any process: all must do the same."""
    flags = torch.tensor([float(flag) for flag in here], device=accelerator.device)
    return (accelerator.reduce(flags, reduction="sum") > 0).tolist()
