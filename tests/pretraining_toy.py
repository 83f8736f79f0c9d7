"""What the tests of pretraining share: small genomes, a tiny recipe, and commands over several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from ntviz.pretraining.recipe import Recipe

TINY = Recipe(
    layers=2, heads=2, hidden=16, ffn=24, max_tokens=31, step_tokens=31 * 8, micro_tokens=31 * 8, optimiser="adam",
    learning_rate=1e-2, first_learning_rate=1e-3, warmup_steps=3, schedule="constant", precision="float32", seed=5,
)  # fmt: skip
CUT = {"chunk_bp": 206, "overlap_bp": 50, "tokens_bp": 180}


def variant(**changes) -> Recipe:
    """The tiny recipe with some of its numbers changed."""
    return Recipe(**(TINY.as_dict() | changes))


def random_dna(length: int, seed: int = 0) -> str:
    """Random bases."""
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def write_fasta(path: Path, **contigs: str) -> Path:
    """A FASTA with lines of 70 letters."""
    with open(path, "w") as handle:
        for name, text in contigs.items():
            lines = [text[start : start + 70] for start in range(0, len(text), 70)]
            handle.write("\n".join([f">{name}", *lines]) + "\n")
    return path


def over_processes(*arguments: str, processes: int = 2) -> subprocess.Popen[str]:
    """A command of this Python under torchrun, as the batch script starts it."""
    return subprocess.Popen(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}",
            "--signals-to-handle", "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1", "--shutdown-timeout", "120", *arguments,
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "NTVIZ_DEVICE": "cpu"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def stop_after(process: subprocess.Popen[str], history: Path, steps: int, number: signal.Signals) -> str:
    """Signals a process once its history has so many rows; what it wrote until it ended."""
    deadline = time.monotonic() + 240
    while not history.is_file() or history.read_text().count("\n") < steps:
        if process.poll() is not None:
            raise AssertionError(f"it ended before step {steps}: {process.communicate()[0]}")
        if time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"it did not reach step {steps}: {process.communicate()[0]}")
        time.sleep(0.02)
    process.send_signal(number)
    return process.communicate(timeout=240)[0]
