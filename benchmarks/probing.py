"""A probe with everything chosen inside: one task of 30,000 x 768 vectors, times 18.

Run it from the repository: `python benchmarks/probing.py`. Vectors are random with a planted direction. The strength is chosen
among five by three inner folds, then fitted to all: 16 fits.

Predicted before: 1 s a fit on two cores, so 20 s a task and 6 minutes for 18. Measured: see the README.
"""

from __future__ import annotations

import time

import numpy as np

from ntviz import probing

N, WIDTH, TASKS = 33_000, 768, 18


def main() -> None:
    """Prints the seconds of one task, the minutes of 18, and the score."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, N)
    vectors = rng.normal(size=(N, WIDTH)).astype(np.float32)
    vectors[:, :40] += 0.1 * labels[:, None]
    groups = np.arange(N) // 100
    began = time.perf_counter()
    found = probing.probe({0: vectors}, labels, groups, kind="binary", classes=2, train=np.arange(N) < 30_000)
    seconds = time.perf_counter() - began
    print(f"one task {seconds:6.1f} s, 18 tasks {TASKS * seconds / 60:5.1f} min, MCC {found.scores(labels)['mcc']:.2f}")


if __name__ == "__main__":
    main()
