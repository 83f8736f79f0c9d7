"""Whether reading keeps up with training, what makes training faster, and how much of a device the v2 shapes use.

    python benchmarks/pretraining.py [--device cuda] [--steps 3] [--compile] [--shapes v2-50m v2-100m v2-250m v2-500m]

One run prints tokens a second of the loader (a step's rows read, masked and batched, from a FASTA, its index, token
shards) and of training, their ratios, and training's speed with one thing changed at a time: fused optimiser, bfloat16,
recomputed activations, compiled layers. All of it by the first shape; of the others bfloat16 alone, and compiled.
Utilisation is the share of what the device reaches in a matrix product, measured at the start. Exit code 1 when the
loader from shards is not 5 times as fast as the fastest training. About four minutes on two cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from unittest import mock

import torch

from ntviz import data, environment
from ntviz.models import encoder
from ntviz.pretraining import corpus, training
from ntviz.pretraining.recipe import Recipe, named, peak_flops

GOAL = 5.0


def loading(recipe: Recipe, store: str, folder: str, steps: int) -> float:
    """Tokens a second that the loader gives, median over steps."""
    bases = 6 * (recipe.max_tokens - 1)
    read = corpus.read(
        [data.bundle("chr20")], chunk_bp=bases + 106, tokens_bp=bases, store=store,
        folder=folder if store == "shards" else None,
    )  # fmt: skip
    sampler = read.sampler(recipe)
    accelerator = training._accelerator(recipe, "cpu")
    seconds = []
    for step in range(steps + 1):
        began = time.perf_counter()
        training._micro_batches(sampler, step, accelerator)
        seconds.append(time.perf_counter() - began)
    return recipe.sequences * recipe.max_tokens / statistics.median(seconds[1:])


def training_speed(recipe: Recipe, device: str, folder: str, steps: int) -> tuple[float, float]:
    """Tokens a second of a step and its share of the measured matrix rate, medians; the first step warms up."""
    bases = 6 * (recipe.max_tokens - 1)
    read = corpus.read([data.bundle("chr20")], chunk_bp=bases + 106, tokens_bp=bases, store="shards", folder=folder)
    with tempfile.TemporaryDirectory() as out:
        history = training.train(
            recipe, read, out, steps=steps + 1, device=device, evaluate_every=10**9, checkpoint_every=10**9
        ).history.iloc[1:]
    return float(history["tokens_per_second"].median()), float(history["utilisation"].median())


def plain_optimiser() -> mock._patch:
    """Adam as a loop over tensors, as it is where there is no fused one."""
    return mock.patch.object(torch.optim, "Adam", functools.partial(_unfused, torch.optim.Adam))


def _unfused(kind: type, parameters: object, **options: object) -> torch.optim.Optimizer:
    return kind(parameters, **options | {"fused": False})


def benchmarked(shape: str, length: int, tokens: int) -> Recipe:
    """A published recipe at the benchmark's length, four micro-batches a step, as many rows in each as memory holds."""
    recipe = named(shape, recompute=False, sharded=False, max_tokens=length, precision="float32")
    # 64 rows of 2,048 tokens with the activations of v2-50m would just fit in 80 GB.
    room = 64 * (12 * 512) / (recipe.layers * recipe.hidden)
    micro = length * (1 if tokens else min(32, 2 ** int(math.log2(room))))
    return dataclasses.replace(recipe, step_tokens=tokens or 4 * micro, micro_tokens=micro)


def report(name: str, recipe: Recipe, device: str, folder: str, steps: int, first: float | None) -> float:
    """Trains, prints a line and returns tokens a second."""
    with plain_optimiser() if "unfused" in name else nullcontext():
        rate, share = training_speed(recipe, device, folder, steps)
    print(
        f"training, {name:<24} {rate:>10,.0f} tokens/s   {rate / (first or rate):5.2f} x the first   utilisation "
        f"{share:6.1%} of {recipe.precision}",
        flush=True,
    )
    return rate


def main() -> int:
    """Prints a line for each case; 0 when the loader from shards reaches the goal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--shapes", nargs="+", default=["v2-50m"], help="named recipes; the first in every way")
    parser.add_argument(
        "--tokens", type=int, default=0, help="a step; default: 1,000 on a CPU, four micro-batches elsewhere"
    )
    parser.add_argument("--compile", action="store_true", help="compile the layers, too (a minute on a CPU)")
    arguments = parser.parse_args()
    device = environment.device(arguments.device)
    length = 1000 if device == "cpu" else 2048
    tokens = arguments.tokens or (length if device == "cpu" else 0)
    peaks = {kind: f"{peak_flops(device, kind) / 1e12:,.2f}" for kind in ("float32", "bfloat16")}
    print(f"{device}, torch {torch.__version__}; matrix products, TFLOP/s: {peaks}")
    fastest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for index, shape in enumerate(arguments.shapes):
            base = benchmarked(shape, length, tokens)
            parameters = sum(p.numel() for p in encoder.build(base.config()).parameters())
            print(
                f"{shape} ({parameters:,} parameters), {length:,} tokens a sequence, {base.micro_tokens:,} a micro-batch, "
                f"{base.step_tokens:,} a step"
            )
            half = dataclasses.replace(base, precision="bfloat16")
            quick = half if training.has_bfloat16(device) else base
            cases = {"bfloat16": half}
            if index == 0:
                wide = dataclasses.replace(base, step_tokens=256 * length, micro_tokens=32 * length)
                rates = {store: loading(wide, store, folder, 3) for store in corpus.STORES}
                for store, rate in rates.items():
                    print(f"loader from {store:<8} {rate:>12,.0f} tokens/s   {rate / rates['memory']:5.2f} x memory")
                cases = {"float32, fused Adam": base, "float32, unfused Adam": base, **cases}
                cases["recomputed"] = dataclasses.replace(quick, recompute=True)
            if arguments.compile:
                cases["compiled"] = dataclasses.replace(quick, compiled=True)
            first = None
            for name, recipe in cases.items():
                rate = report(name, recipe, device, folder, arguments.steps, first)
                first = first or rate
                fastest = max(fastest, rate)
    ratio = rates["shards"] / fastest
    print(f"loader from shards over the fastest training: {ratio:,.1f} (goal: at least {GOAL:g})")
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
