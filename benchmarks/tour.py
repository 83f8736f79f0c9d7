"""How long the tour takes: `ntviz run notebooks/00_start.ipynb`, as `make tour` runs it after the installation.

    python benchmarks/tour.py [--repeats 3] [--profile workshop]

Prints the fastest wall time, its ratio to the promised 60 s, and what of it is the notebook's own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ntviz.runs import manifest

PROMISED = 60.0  # s, on 2 CPU cores
NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "00_start.ipynb"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", default="workshop")
    options = parser.parse_args()
    walls, notebooks, facts = [], [], None
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                "-m",
                "ntviz",
                "run",
                str(NOTEBOOK),
                "--profile",
                options.profile,
                "--out",
                folder,
            ]
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
            walls.append(time.perf_counter() - started)
            facts = manifest.read(folder)
            notebooks.append(facts.seconds or 0.0)
    wall, inside = min(walls), min(notebooks)
    machine = facts.machine if facts else {}
    print(f"machine            {machine.get('processor')}, {machine.get('cores')} cores")
    print(f"tour, wall         {wall:8.1f} s   {wall / PROMISED:5.2f} of the promised {PROMISED:.0f} s")
    print(f"the notebook       {inside:8.1f} s   {inside / wall:5.2f} of the tour")
    if facts and facts.peak_memory_bytes:
        print(f"peak memory        {facts.peak_memory_bytes / 1e6:8.0f} MB")


if __name__ == "__main__":
    main()
