"""The explorer's waits: the first map of a 6-kb locus, another head, and a zoom, as shares of what people tolerate.

Run it from the repository: `python benchmarks/explorer.py`. Times are the kernel's; drawing in the browser comes on top.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ntviz import annotation, data, explore, models
from ntviz.reference import Reference

LIMITS = {"first map of 6 kb": 3.0, "another head": 0.5, "zoom": 0.5, "a word's row and column": 0.5}
LOCUS = "chr20:43,029,000-43,034,999"


def seconds(step: Callable[[], object], rounds: int = 5) -> float:
    """Best of several."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - began)
    return best


def main() -> None:
    """Prints each wait beside its limit."""
    model = models.load("ntviz-mini")
    reference, genes = Reference(data.bundle("chr20")), annotation.read(data.bundle("genes"))
    explorer = explore.attention(model, reference, genes, at="HNF4A")

    def first() -> None:
        explorer.go(LOCUS)
        look = explorer.look
        look.genes()
        assert look.scores
        look.cells(2, 7, explorer.query, explorer.key, most=(280, 280))

    waits = {
        "first map of 6 kb": seconds(first, rounds=1),
        "another head": seconds(
            lambda: explorer.look.cells(3, 2, explorer.query, explorer.key, most=(280, 280))
        ),
        "zoom": seconds(lambda: explorer.look.cells(3, 2, (400, 460), (380, 470), most=(280, 280))),
        "a word's row and column": seconds(lambda: explorer.look.profile(3, 2, 500)),
    }
    for name, wait in waits.items():
        print(f"{name:24} {wait:6.3f} s = {wait / LIMITS[name]:5.1%} of {LIMITS[name]:g} s")


if __name__ == "__main__":
    main()
