"""How long imports take, each in a fresh interpreter: ntviz's modules beside numpy, torch and transformers.

    python benchmarks/imports.py [--repeats 5]

Prints the fastest of several in seconds, and its ratio to starting Python alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

STATEMENTS = (
    "import ntviz",
    "from ntviz import environment",
    "from ntviz import runs",
    "from ntviz import cli",
    "from ntviz.genome import sequence; from ntviz import tokens",
    "from ntviz import reference, annotation, data",
    "from ntviz import models",
    "from ntviz import plot",
    "import numpy",
    "import pandas",
    "import torch",
    "import transformers",
)


def seconds(statement: str, repeats: int) -> float:
    """Fastest wall time of an interpreter that runs `statement`."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    alone = seconds("pass", repeats)
    print(f"{'statement':<48} {'seconds':>8} {'of Python alone':>16}")
    print(f"{'(Python alone)':<48} {alone:8.3f} {1:15.1f}x")
    for statement in STATEMENTS:
        taken = seconds(statement, repeats)
        print(f"{statement:<48} {taken:8.3f} {taken / alone:15.1f}x")


if __name__ == "__main__":
    main()
