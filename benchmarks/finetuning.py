"""A step of IA3 against a step of full fine-tuning: same model, same batches, in turns, in one run.

Run it from the repository: `python benchmarks/finetuning.py`.

Predicted before: IA3 still carries gradients through every layer and only spares those of the weights, a third of the
arithmetic, and the optimiser's work; so 0.6 to 0.7 of the time. Measured: see the README.
"""

from __future__ import annotations

import time

import numpy as np

from ntviz import finetuning, models

STEPS, ROUNDS = 20, 3


def main() -> None:
    """Prints milliseconds a step and the ratio."""
    rng = np.random.default_rng(0)
    model = models.load()
    sequences = ["".join(rng.choice(list("ACGT"), 600)) for _ in range(80)]
    labels = np.arange(80) % 2
    seconds: dict[str, list[float]] = {"full": [], "ia3": []}
    for _ in range(ROUNDS):
        for method, each in seconds.items():
            recipe = finetuning.Recipe(learning_rate=1e-4, steps=STEPS, evaluate_every=STEPS)
            held = (sequences[:2], labels[:2])
            began = time.perf_counter()
            finetuning.tune(
                model,
                sequences,
                labels,
                kind="binary",
                outputs=2,
                method=method,
                validation=held,
                recipe=recipe,
            )
            each.append((time.perf_counter() - began) / STEPS)
    for name, each in seconds.items():
        print(f"{name:<5} {1_000 * min(each):7.1f} ms a step of 8 x 600 bp")
    print(f"ratio {min(seconds['ia3']) / min(seconds['full']):7.2f}")


if __name__ == "__main__":
    main()
