"""Bases per second of masked reconstruction: one token hidden at a time against a share of them at once.

Run it from the repository: `python benchmarks/landscape.py`. Both ways read the same bases in one process, after a
short warm-up. They ask different questions, so their difference is printed too. `--model` takes any name or directory.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from ntviz import data, landscape, models
from ntviz.genome import Interval
from ntviz.reference import Reference

START = 43_028_400  # HNF4A


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ntviz-mini")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--bases", type=int, default=6_000)
    parser.add_argument("--share", type=float, default=0.15)
    arguments = parser.parse_args()
    model = models.load(arguments.model, device=arguments.device)
    reference = Reference(data.bundle("chr20"))
    place = Interval("20", START, START + arguments.bases)
    found, rates = {}, {}
    for share in (arguments.share, None):
        landscape.reconstruct(model, reference, place.expand(0, 600 - len(place)), share=share, what=None)
        begin = time.perf_counter()
        found[share] = landscape.reconstruct(model, reference, place, share=share, what=None)
        rates[share] = len(place) / (time.perf_counter() - begin)
    many, one = found[arguments.share], found[None]
    difference = np.nanmean(abs(many.probability - one.probability))
    agreement = np.corrcoef(many.probability[np.isfinite(one.probability)], _known(one))[0, 1]
    print(
        f"{arguments.model}, {len(place):,} bp: share {arguments.share} {rates[arguments.share]:,.0f} bp/s, one by one "
        f"{rates[None]:,.0f} bp/s: {rates[arguments.share] / rates[None]:.1f} times as fast"
    )
    print(
        f"mean probability {np.nanmean(many.probability):.4f} and {np.nanmean(one.probability):.4f}, accuracy "
        f"{np.nanmean(many.correct):.4f} and {np.nanmean(one.correct):.4f}; mean absolute difference of the "
        f"probabilities {difference:.4f}, correlation {agreement:.3f}"
    )


def _known(result: landscape.Landscape) -> np.ndarray:
    return result.probability[np.isfinite(result.probability)]


if __name__ == "__main__":
    main()
