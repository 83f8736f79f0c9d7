"""Whether reading keeps up with training, and what makes training faster, by the shape of v2-50m.

    python benchmarks/pretraining.py [--device cuda] [--steps 3] [--compile]

One run prints tokens a second of the loader (a step's rows read, masked and batched, from a FASTA, its index, token
shards) and of training, their ratios, and training's speed with one thing changed at a time: fused optimiser, bfloat16,
recomputed activations, compiled encoder. Exit code 1 when the loader from shards is not 5 times as fast as the
fastest training. About four minutes on two cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from unittest import mock

import torch

from ntviz import data, environment
from ntviz.models import encoder
from ntviz.pretraining import corpus, speed, training
from ntviz.pretraining.recipe import Recipe, named
from ntviz.tokens import Tokenizer

GOAL = 5.0


def loading(recipe: Recipe, store: str, folder: str, steps: int) -> float:
    """Tokens a second that the loader gives, median over steps."""
    bases = 6 * (recipe.max_tokens - 1)
    read = corpus.read(
        [data.bundle("chr20")], chunk_bp=bases + 106, tokens_bp=bases, store=store,
        folder=folder if store == "shards" else None,
    )  # fmt: skip
    sampler = read.sampler(
        Tokenizer(recipe.vocabulary), max_tokens=recipe.max_tokens, sequences=recipe.sequences, seed=0
    )
    accelerator = training._accelerator(recipe, "cpu")
    seconds = []
    for step in range(steps + 1):
        began = time.perf_counter()
        training._micro_batches(sampler, recipe, step, accelerator)
        seconds.append(time.perf_counter() - began)
    return recipe.sequences * recipe.max_tokens / statistics.median(seconds[1:])


def training_speed(recipe: Recipe, device: str, folder: str, steps: int) -> tuple[float, float]:
    """Tokens a second of a step and its share of the measured matrix rate, medians; the first step warms up."""
    bases = 6 * (recipe.max_tokens - 1)
    read = corpus.read(
        [data.bundle("chr20")], chunk_bp=bases + 106, tokens_bp=bases, store="shards", folder=folder
    )
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


def main() -> int:
    """Prints a line for each case; 0 when the loader from shards reaches the goal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument(
        "--tokens", type=int, default=0, help="a step; default: 1,000 on a CPU, 262,144 elsewhere"
    )
    parser.add_argument("--compile", action="store_true", help="compile the encoder, too (minutes on a CPU)")
    arguments = parser.parse_args()
    device = environment.device(arguments.device)
    cpu = device == "cpu"
    length = 1000 if cpu else 2048
    tokens = arguments.tokens or (length if cpu else 128 * length)
    base = named(
        "v2-50m",
        max_tokens=length,
        step_tokens=tokens,
        micro_tokens=min(tokens, 32 * length),
        precision="float32",
    )
    parameters = sum(p.numel() for p in encoder.build(base.config()).parameters())
    print(
        f"v2-50m ({parameters:,} parameters), {length:,} tokens a sequence, {tokens:,} a step, {device}, torch "
        f"{torch.__version__}, matrix rate {speed.peak(device, 'float32') / 1e9:,.0f} GFLOP/s in float32"
    )
    with tempfile.TemporaryDirectory() as folder:
        wide = dataclasses.replace(base, step_tokens=256 * length, micro_tokens=32 * length)
        rates = {store: loading(wide, store, folder, 3) for store in corpus.STORES}
        for store, rate in rates.items():
            print(f"loader from {store:<8} {rate:>12,.0f} tokens/s   {rate / rates['memory']:5.2f} x memory")
        cases: dict[str, Recipe] = {"float32, fused Adam": base}
        cases["float32, unfused Adam"] = base
        cases["bfloat16"] = dataclasses.replace(base, precision="bfloat16")
        half = cases["bfloat16"] if training.has_bfloat16(device) else base
        cases["recomputed"] = dataclasses.replace(half, recompute=True)
        if arguments.compile:
            cases["compiled"] = dataclasses.replace(half, compiled=True)
        fastest, first = 0.0, None
        for name, recipe in cases.items():
            with plain_optimiser() if "unfused" in name else nullcontext():
                rate, share = training_speed(recipe, device, folder, arguments.steps)
            first = first or rate
            fastest = max(fastest, rate)
            print(
                f"training, {name:<22} {rate:>10,.0f} tokens/s   {rate / first:5.2f} x the first   utilisation "
                f"{share:6.1%} of {recipe.precision}",
                flush=True,
            )
    ratio = rates["shards"] / fastest
    print(f"loader from shards over the fastest training: {ratio:,.1f} (goal: at least {GOAL:g})")
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
