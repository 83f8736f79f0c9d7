"""The training run: one code path for a CPU, a GPU and several, resumable to the bit.

Several GPUs: `torchrun` starts one process each; rows of a step are shared out between them, and each holds a copy of
the model or, where the recipe says so, a share.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.utils.checkpoint import checkpoint
from transformers import EsmForMaskedLM

from ntviz import environment, storage
from ntviz.models import encoder
from ntviz.pretraining import checkpoints, evaluation, masking
from ntviz.pretraining import recipe as recipes
from ntviz.pretraining.checkpoints import Optimisers
from ntviz.pretraining.corpus import Sampler, held_out_table
from ntviz.pretraining.haplotypes import Source
from ntviz.pretraining.recipe import Recipe
from ntviz.storage import AnyPath
from ntviz.tokens import VOCABULARIES

if TYPE_CHECKING:
    from accelerate import Accelerator

# Exit code of a run that was asked to stop and can go on: "temporary failure" in the list of sysexits.
REQUEUE = 75
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name))
"""What batch systems send before they kill."""
_HISTORY = "history.jsonl"
_COLUMNS = ["step", "tokens", "loss", "learning_rate", "seconds", "tokens_per_second", "utilisation", "held_out_loss", "held_out_accuracy"]  # fmt: skip
_Batch = tuple[np.ndarray, masking.Masked]


@dataclass(frozen=True)
class Run:
    """What a training run left.

    Attributes
    ----------
    directory, stopped
        Holds checkpoint/, checkpoint.before/, history.jsonl and best/ (the lowest held-out loss, a model directory); the signal that
        ended the run before its last step, else empty.
    history
        One row a step: step (1 = after the first), tokens (so far), loss (nats per masked token), learning_rate, seconds (without
        pauses), tokens_per_second (of all processes), utilisation (FLOPs as a share of what the devices reach in a matrix product),
        held_out_loss and held_out_accuracy where evaluated.
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
    recipe: Recipe, corpus: Source, directory: AnyPath, *, steps: int, device: str = "auto", evaluate_every: int = 200,
    evaluate_sequences: int = 256, checkpoint_every: int = 200, max_seconds: float | None = None, heed_signals: bool = False,
    accept_changes: bool = False, on_step: Callable[[dict[str, Any]], None] | None = None,
) -> Run:  # fmt: skip
    """Trains, or goes on training, a model in a directory, up to `steps` steps.

    Where the directory holds a checkpoint the run goes on from it, with the losses of one that was never interrupted (exactly on one
    CPU or GPU with deterministic kernels). Recipe, tokenizer, bases, sampling and held-out sequences must be the same.

    Parameters
    ----------
    corpus, directory
        A `Corpus`, or `Haplotypes`; made when missing, see `Run`.
    steps, device
        Optimiser steps in all, those of an earlier part included; "auto", "cpu", "cuda", or "mps".
    evaluate_every, evaluate_sequences, checkpoint_every
        Steps between held-out losses, on so many evenly spaced sequences, and between checkpoints, of which one is written at
        the end, too. An interruption loses what came after the last.
    max_seconds, heed_signals
        End the run after the step that is going on, with a checkpoint: after so much time in this call; at SIGTERM, SIGUSR1
        or SIGUSR2 in any process.
    accept_changes
        Goes on with another recipe, corpus or held-out region all the same, with a warning, and keeps what changed. Never
        with weights of another shape, nor with a region held out that was trained on.
    on_step
        Called with each row of the history, for live curves.

    Raises
    ------
    checkpoints.Changed, ValueError
        The directory holds a run of another recipe or corpus; or no whole checkpoint among damaged ones.
    FloatingPointError, OSError
        The loss or the gradient is not finite; the disk is full. The last checkpoint stays, and the same call goes on from it.
    """
    directory = Path(directory)
    with noted(heed_signals) as asked:
        began = time.monotonic()
        accelerator = _accelerator(recipe, device)
        main = accelerator.is_main_process
        torch.manual_seed(recipe.seed)
        sampler = corpus.sampler(recipe)
        module = encoder.build(recipe.config())
        objective, optimisers, prepared = _prepared(accelerator, module, recipe)
        judged, held_out = corpus.judged_on, corpus.judged_on.held_out
        if len(held_out):
            held_out = held_out_table(judged, limit=evaluate_sequences)
        decided = checkpoints.decided(corpus, recipe, held_out)
        resumed = checkpoints.resume(directory, decided, module, optimisers, accept=accept_changes)
        done, seconds, best, kept = resumed
        if main:
            with storage.atomic_write(directory / _HISTORY, "w") as handle:
                rows = _rows(directory / _HISTORY)
                handle.writelines(json.dumps(row) + "\n" for row in rows if row["step"] <= done)
        precision = "bfloat16" if accelerator.mixed_precision == "bf16" else "float32"
        peak = accelerator.num_processes * recipes.peak_flops(accelerator.device.type, precision)
        tokens = recipe.sequences * recipe.max_tokens
        before, asked_to, saved = time.monotonic(), False, done
        with ThreadPoolExecutor(1) as reader:
            upcoming = reader.submit(_micro_batches, sampler, done, accelerator)
            for step in range(done, steps):
                batches = upcoming.result()
                if step + 1 < steps:
                    upcoming = reader.submit(_micro_batches, sampler, step + 1, accelerator)
                rate = recipe.learning_rate_at(step, steps)
                broken = partial(_not_finite, directory, saved, step, rate, sampler)
                loss, norm = _step(accelerator, objective, prepared, batches, rate, recipe.clip)
                if not math.isfinite(loss + norm + rate):
                    raise broken(f"the loss is {loss:g}, the norm of its gradient {norm:g}")
                now = time.monotonic()
                row: dict[str, Any] = {
                    "step": step + 1, "tokens": (step + 1) * tokens, "loss": loss, "learning_rate": rate,
                    "seconds": seconds + now - began, "tokens_per_second": tokens / (now - before),
                    "utilisation": tokens / (now - before) * recipe.flops_per_token() / peak,
                }  # fmt: skip
                # One message for both questions: every process must leave the loop at the same step.
                late = max_seconds is not None and now - began > max_seconds
                asked_to, out_of_time = _anywhere(accelerator, bool(asked), late)
                last = asked_to or out_of_time or step + 1 == steps
                keeping = last or (step + 1) % checkpoint_every == 0
                scheduled = (step + 1) % evaluate_every == 0
                judging = len(held_out) > 0 and (scheduled or (last and not asked_to))
                # A step can leave weights with which nothing can be read any more: they are not kept.
                if (keeping or judging) and not _readable(accelerator, objective, batches):
                    raise broken("the loss on the same sequences is not finite after it")
                if judging:
                    size = {"batch_tokens": recipe.micro_tokens}
                    result = evaluation.evaluate(module, judged, held_out, sampler.tokenizer, **size)
                    if not math.isfinite(result.loss):
                        raise broken(f"the held-out loss is {result.loss:g} after it")
                    row |= {"held_out_loss": result.loss, "held_out_accuracy": result.accuracy}
                    (better,) = _anywhere(accelerator, main and result.loss < best)
                    if better:
                        best = result.loss
                        changes = {"changes": kept["changes"]} if kept["changes"] else {}
                        save(module, recipe, directory / "best", extra=row | changes, main=main)
                if main:
                    storage.append_line(directory / _HISTORY, json.dumps(row, allow_nan=False))
                if on_step is not None:
                    on_step(row)
                if keeping:
                    saved, lowest = step + 1, best if best < math.inf else None
                    state = {"step": saved, "seconds": row["seconds"], "best": lowest, **kept}
                    checkpoints.write(directory, module, optimisers, state, main=main)
                if last:
                    break
                before = time.monotonic()
        accelerator.wait_for_everyone()
        stopped = (asked[-1] if asked else "told") if asked_to else ""
        return Run(directory, read_history(directory), recipe, stopped)


def save(
    module: EsmForMaskedLM, recipe: Recipe, directory: AnyPath, *, extra: dict[str, Any] | None = None, main: bool = True
) -> None:  # fmt: skip
    """Writes a model directory in the published layout, whole or not at all; `models.load` reads it.

    `extra` is plain data beside the recipe in training.json. Where parameters are sharded every process must call; the main one writes.
    """
    whole = checkpoints.gathered(dict(module.state_dict()), keep=main)
    if not main:
        return
    with storage.atomic_directory(directory) as folder:
        tensors = {
            name: value.detach().to("cpu", torch.float32).contiguous()
            for name, value in whole.items()
            if not name.startswith("esm.contact_head.") and not name.endswith("inv_freq")
        }
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "vocab.txt").write_text(VOCABULARIES[recipe.vocabulary].to_text(), encoding="utf-8")
        contents = {
            "config": recipe.config(), "training": {"recipe": recipe.as_dict(), **(extra or {})},
            "tokenizer_config": {"eos_token": None, "model_max_length": recipe.max_tokens, "tokenizer_class": "EsmTokenizer"},
        }  # fmt: skip
        for name, content in contents.items():
            (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_history(directory: AnyPath) -> pd.DataFrame:
    """The history of a run directory, one row a step; see `Run`."""
    return pd.DataFrame(_rows(Path(directory) / _HISTORY), columns=_COLUMNS)


def _rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a history, none without the file; a last line that a killed process cut off is left out."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                what = f"Each line of {path} must be a JSON row; line {number} is not ({error})"
                raise ValueError(f"{what}. Remove that line, or train in another directory.") from error
    return rows


@contextmanager
def noted(enabled: bool = True) -> Generator[list[str]]:
    """Names of the signals that asked to stop, which do not end the process; nothing outside the main thread, or if not enabled."""
    asked: list[str] = []
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, _frame: object) -> None:
        asked.append(signal.Signals(number).name)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
    accelerate = environment.need("accelerate", "pretraining")
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    return accelerate.Accelerator(cpu=chosen == "cpu", mixed_precision="bf16" if half else "no")


def _prepared(accelerator: Accelerator, module: EsmForMaskedLM, recipe: Recipe) -> tuple[torch.nn.Module, Optimisers, list[Any]]:  # fmt: skip
    """The objective to call, the optimisers to keep and those to step, over one process or several."""
    # Layer by layer: all are alike, so one is compiled, and not as many as there are.
    for layer in module.esm.encoder.layer:
        if recipe.recompute:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
        if recipe.compiled:
            layer.compile()
    if recipe.sharded and accelerator.num_processes > 1:
        mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
        module.to(accelerator.device)
        # Encoder and output layer are called one by one, so each gathers its own.
        for part in (*module.esm.encoder.layer, module.esm, module.lm_head):
            fully_shard(part, mesh=mesh)
        return _Objective(module), (optimisers := _optimisers(module, recipe)), optimisers
    optimisers = _optimisers(module, recipe)
    objective, *prepared = accelerator.prepare(_Objective(module), *optimisers)
    return objective, optimisers, prepared


def _optimisers(module: EsmForMaskedLM, recipe: Recipe) -> Optimisers:
    # Muon orthogonalises the updates of matrices inside the blocks; embedding and output rows stay with AdamW.
    named = {name: p for name, p in module.named_parameters() if p.requires_grad}
    inside = [name for name, p in named.items() if p.ndim == 2 and ".encoder.layer." in name]
    matrices = [named.pop(name) for name in inside] if recipe.optimiser == "muon" else []
    rest, rate, decay = list(named.values()), recipe.learning_rate, recipe.weight_decay
    if recipe.optimiser == "adam":
        return [torch.optim.Adam(rest, lr=rate, betas=(0.9, 0.999), eps=1e-8, fused=True)]
    adamw = torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=decay, fused=True)
    if recipe.optimiser == "adamw":
        return [adamw]
    return [torch.optim.Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"), adamw]


def _micro_batches(sampler: Sampler, step: int, accelerator: Accelerator) -> list[_Batch]:
    """This process's rows of a step as masked micro-batches. Masks follow from seed, step and row alone."""
    recipe, vocabulary = sampler.recipe, sampler.tokenizer.vocabulary
    how = {"rate": recipe.mask_rate, "random_replacement": recipe.random_replacement}
    rows = range(accelerator.process_index, recipe.sequences, accelerator.num_processes)
    size = max(1, recipe.micro_tokens // recipe.max_tokens)
    batches = []
    for part in (rows[begin : begin + size] for begin in range(0, len(rows), size)):
        ids, masked = sampler.rows(step, part), []
        for sequence, row in zip(ids[:, None], part, strict=True):
            rng = np.random.default_rng((recipe.seed, 2, step, row))
            made = masking.mask(sequence, vocabulary, rng=rng, **how)
            masked.append((made.input_ids, made.selected, made.targets))
        joined = masking.Masked(*map(np.concatenate, zip(*masked, strict=True)))
        batches.append((ids != vocabulary.pad_id, joined))
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
    accelerator: Accelerator, objective: torch.nn.Module, optimisers: list[Any], batches: list[_Batch], rate: float, clip: float
) -> tuple[float, float]:  # fmt: skip
    """Mean loss (nats) and gradient norm of one optimiser step; where they or the rate are not finite no weight changes."""
    count = sum(len(masked.targets) for _, masked in batches)
    total = accelerator.reduce(torch.tensor(float(count), device=accelerator.device), reduction="sum")
    losses = torch.zeros((), device=accelerator.device)
    shards = [part for part in objective.modules() if isinstance(part, FSDPModule)]
    objective.train()
    for index, batch in enumerate(batches):
        last = index + 1 == len(batches)
        # Gradients add up over processes in the last backward pass of a step alone.
        for part in shards:
            part.set_requires_gradient_sync(last, recurse=False)
        with nullcontext() if last else accelerator.no_sync(objective):
            with accelerator.autocast():
                loss = objective(*batch)
            # Gradients are averaged over processes: this scale makes them the mean over all masked tokens.
            accelerator.backward(loss * accelerator.num_processes / total)
            losses += loss.detach()
    norm = float(checkpoints.gathered(accelerator.clip_grad_norm_(objective.parameters(), clip or math.inf)))
    loss = float(accelerator.reduce(losses, reduction="sum") / total)
    if not math.isfinite(loss + norm + rate):
        return loss, norm
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return loss, norm


def _readable(accelerator: Accelerator, objective: torch.nn.Module, batches: list[_Batch]) -> bool:
    """Whether the loss of the first micro-batch is finite in all processes."""
    objective.eval()
    with torch.no_grad(), accelerator.autocast():
        finite = bool(torch.isfinite(objective(*batches[0])))
    return not _anywhere(accelerator, not finite)[0]


def _not_finite(directory: Path, saved: int, step: int, rate: float, sampler: Sampler, what: str) -> FloatingPointError:
    stays = f"The checkpoint of step {saved:,} in {directory} stays" if saved else "No checkpoint yet"
    return FloatingPointError(
        f"Loss and gradient must be finite; at step {step + 1:,}, with learning rate {rate:g}, {what}. The batch: {sampler.batch(step)}. "
        f"{stays}. Lower learning_rate, raise warmup_steps or set clip: in another directory (--out), or going on from a checkpoint "
        "with accept_changes=True (--accept-changes)."
    )


def _anywhere(accelerator: Accelerator, *here: bool) -> list[bool]:
    """Whether each holds in any process: all must do the same."""
    flags = torch.tensor([float(flag) for flag in here], device=accelerator.device)
    return (accelerator.reduce(flags, reduction="sum") > 0).tolist()
