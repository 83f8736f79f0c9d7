"""Loading and running a random checkpoint of v2-50m's shape: peak memory, tokens per second, share of the matrix rate.

Run it from the repository: `python benchmarks/models.py`. Everything is measured in one run: the loader beside
transformers' own, the forward pass beside the machine's rate of matrix multiplication, so the ratios hold on other
machines. Linux only: memory is read from /proc.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from ntviz import models, tokens
from ntviz.models import encoder, registry
from ntviz.pretraining import recipe

SPEC = registry.SPECS["v2-50m"]


def write_checkpoint(folder: Path) -> None:
    """A checkpoint of v2-50m's shape with random weights, in the published layout."""
    config = {
        "hidden_size": SPEC.hidden, "num_hidden_layers": SPEC.layers, "num_attention_heads": SPEC.heads,
        "intermediate_size": SPEC.ffn, "max_position_embeddings": SPEC.max_tokens + 2, "vocab_size": 4107,
        "position_embedding_type": "rotary", "add_bias_fnn": False, "layer_norm_eps": 1e-12, "token_dropout": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text(tokens.VOCABULARIES["nt-v2"].to_text())
    torch.manual_seed(0)
    save_file(encoder.build(config).state_dict(), folder / "model.safetensors")


def memory(field: str) -> int:
    """Bytes of this process from the kernel's own account: VmRSS now, VmHWM the most since the last reset."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{field}:")))


def flops_per_token(length: int) -> float:
    """Arithmetic of one forward pass, for each token of a sequence of `length` tokens."""
    linears = 4 * SPEC.hidden**2 + 3 * SPEC.hidden * SPEC.ffn
    head = SPEC.hidden**2 + SPEC.hidden * 4107
    return 2 * (SPEC.layers * (linears + 2 * length * SPEC.hidden) + head)


def measure(folder: str, length: int, batch: int) -> None:
    """Prints one line of JSON: seconds to load, peak memory, tokens per second; in a process of its own."""
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    began = time.perf_counter()
    model = models.load(folder, device="cpu")
    loaded = time.perf_counter() - began
    load_bytes = memory("VmHWM") - before
    ids = np.random.default_rng(0).integers(6, 4102, (batch, length))
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        model.forward(ids)
        seconds.append(time.perf_counter() - began)
    rate = batch * length / min(seconds)
    result = {"load_s": loaded, "load_bytes": load_bytes, "tokens_per_s": rate}
    result["peak_bytes"] = memory("VmHWM") - before
    # In the same process and minute, so that a busy machine slows both.
    result["matrix"] = max(recipe.matmul_flops("cpu", repeats=10) for _ in range(2))
    print(json.dumps(result))


def main() -> None:
    """Prints the table of the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--batch", type=int, default=4)
    chosen = parser.parse_args()
    if chosen.folder:
        measure(chosen.folder, chosen.length, chosen.batch)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder))
        size = (Path(folder) / "model.safetensors").stat().st_size
        print(f"v2-50m's shape, {size / 1e6:.0f} MB of random weights, float32, on the CPU")
        print(f"{'tokens':>7} {'batch':>6} {'load':>7} {'peak memory':>14} {'tokens/s':>9} {'of matrix rate':>15}")
        for length, batch in ((chosen.length, chosen.batch), (2048, 1)):
            command = [
                sys.executable,
                __file__,
                "--folder",
                folder,
                "--length",
                str(length),
                "--batch",
                str(batch),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            result = json.loads(done.stdout.splitlines()[-1])
            share = result["tokens_per_s"] * flops_per_token(length) / result["matrix"]
            print(
                f"{length:>7,} {batch:>6} {result['load_s']:>6.2f}s {result['peak_bytes'] / size:>8.2f} x file "
                f"{result['tokens_per_s']:>9,.0f} {share:>14.0%} of {result['matrix'] / 1e9:.0f} GFLOP/s"
            )


if __name__ == "__main__":
    main()
