"""Held-out loss of the small recipe after equally many tokens, by optimiser: how ntviz-mini's was chosen.

    python benchmarks/optimisers.py [--tokens 1600000]

Trains on the bundle's chromosome 20 with 40 to 48 Mb held out, each from the same weights on the same batches, and
prints loss and seconds, the seconds also as a ratio to the first. About three minutes each on two cores.
"""

from __future__ import annotations

import argparse
import tempfile

from ntviz import data
from ntviz.genome import Interval
from ntviz.pretraining import corpus, training
from ntviz.pretraining.recipe import named

CASES = {"adamw, 1e-3": ("adamw", 1e-3), "muon, 2e-3": ("muon", 2e-3), "muon, 5e-3": ("muon", 5e-3)}
MAX_TOKENS = 128
STEP_TOKENS = 8192


def main() -> None:
    """Trains each case and prints a row for it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1_600_000)
    steps = max(2, parser.parse_args().tokens // STEP_TOKENS)
    bases = (MAX_TOKENS - 1) * 6
    genome = corpus.read(
        [data.bundle("chr20")],
        held_out=[Interval("chr20", 40_000_000, 48_000_000)],
        chunk_bp=bases + 106,
        overlap_bp=50,
        tokens_bp=bases,
    )
    print(f"{'optimiser':<14} {'tokens':>10} {'held-out loss':>14} {'seconds':>8} {'ratio':>6}")
    first = None
    for name, (optimiser, rate) in CASES.items():
        recipe = named(
            "small", max_tokens=MAX_TOKENS, step_tokens=STEP_TOKENS, micro_tokens=STEP_TOKENS, optimiser=optimiser,
            learning_rate=rate, first_learning_rate=1e-5, warmup_steps=min(30, steps // 2),
            cooldown_steps=min(40, steps // 2),
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            run = training.train(
                recipe, genome, folder, steps=steps, device="cpu", evaluate_every=steps, evaluate_sequences=512,
                checkpoint_every=steps,
            )  # fmt: skip
        last = run.history.iloc[-1]
        first = first or last["seconds"]
        print(
            f"{name:<14} {int(last['tokens']):>10,} {last['held_out_loss']:>14.3f} {last['seconds']:>8.0f} "
            f"{last['seconds'] / first:>6.2f}"
        )


if __name__ == "__main__":
    main()
