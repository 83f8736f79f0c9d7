"""What the tests of pretraining share: small genomes, a tiny recipe, and commands over several processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pysam

from ntviz import cli
from ntviz.pretraining import training
from ntviz.pretraining.recipe import Recipe

TINY = Recipe(
    layers=2, heads=2, hidden=16, ffn=24, max_tokens=31, step_tokens=31 * 8, micro_tokens=31 * 8, optimiser="adam",
    learning_rate=1e-2, first_learning_rate=1e-3, warmup_steps=3, schedule="constant", precision="float32", seed=5,
)  # fmt: skip
CUT = {"chunk_bp": 206, "overlap_bp": 50, "tokens_bp": 180}


def variant(**changes) -> Recipe:
    """The tiny recipe with some of its numbers changed."""
    return Recipe(**(TINY.as_dict() | changes))


def train(source, folder: Path, steps: int, recipe: Recipe = TINY, **options) -> training.Run:
    """Some steps of a run on the processor, judged and kept every few."""
    defaults = {"device": "cpu", "evaluate_every": 4, "evaluate_sequences": 8, "checkpoint_every": 3}
    return training.train(recipe, source, folder, steps=steps, **(defaults | options))


def random_dna(length: int, seed: int = 0) -> str:
    """Random bases."""
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def write_fasta(path: Path, **contigs: str) -> Path:
    """A FASTA with lines of 70 letters."""
    path.write_text("".join(f">{name}\n" + re.sub("(.{1,70})", r"\1\n", text) for name, text in contigs.items()))
    return path


HEADER = (
    "##fileformat=VCFv4.2\n##contig=<ID={contig},length={length}>\n"
    '##ALT=<ID=DEL,Description="Deletion">\n##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{samples}\n"
)


def write_vcf(path: Path, rows, samples=("S1", "S2"), contig="chr1", length=300) -> Path:
    """A bgzipped, indexed VCF of (pos, ref, alt, genotypes...), sorted by pos; the plain one stays beside it."""
    text = HEADER.format(contig=contig, length=length, samples="\t".join(samples))
    for pos, ref, alt, *genotypes in sorted(rows, key=lambda row: row[0]):
        text += "\t".join([contig, str(pos), ".", ref, alt, ".", "PASS", ".", "GT", *genotypes]) + "\n"
    path.write_text(text)
    packed = path.with_suffix(".vcf.gz")
    pysam.tabix_compress(str(path), str(packed), force=True)
    pysam.tabix_index(str(packed), preset="vcf", force=True)
    return packed


def over_processes(*arguments: str) -> subprocess.Popen[str]:
    """A command of this Python in two processes under torchrun, as the batch script starts it."""
    return subprocess.Popen(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            "--signals-to-handle", "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1", "--shutdown-timeout", "120", *arguments,
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "NTVIZ_DEVICE": "cpu"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def ranked(rank: int, port: int, arguments: list[str]) -> None:
    """One of two processes that run the command `ntviz`, as torchrun would have told it."""
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in places.items()} | {
        "MASTER_ADDR": "127.0.0.1",
        "NTVIZ_DEVICE": "cpu",
    }
    sys.exit(cli.app(arguments, standalone_mode=False))


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
