"""The explorers' waits as shares of what people tolerate, and how much sooner a locus is there than by its plain ways.

Run it from the repository: `python benchmarks/explorer.py`. Times are the kernel's; drawing in the browser comes on top.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ntviz import annotation, data, expectation, explore, models, sequence
from ntviz.explore.locus_modelled import Expected
from ntviz.genome import Interval
from ntviz.reference import Reference

LIMITS = {"first figure of 6 kb": 3.0, "another head": 0.5, "zoom": 0.5}
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
        explorer.figure()

    def another() -> None:
        explorer.choose(explorer.layer, (explorer.head + 1) % model.heads)
        explorer.figure()

    def zoom() -> None:
        last = explorer.key[1]
        explorer.zoom((400, 460), (380, 470 if last != 470 else 471))
        explorer.figure()

    waits = {
        "first figure of 6 kb": seconds(first, rounds=1),
        "another head": seconds(another),
        "zoom": seconds(zoom),
    }
    for name, wait in waits.items():
        print(f"{name:24} {wait:6.3f} s = {wait / LIMITS[name]:5.1%} of {LIMITS[name]:g} s")
    locus(model, reference, genes)


def locus(model: object, reference: Reference, genes: annotation.Annotation) -> None:
    """Prints how many times as fast the locus is as its plain ways."""
    component = Expected(model, reference)
    piece = component.pieces(Interval("chr20", 43_030_000, 43_030_001))[0]
    flank = component.windows.flank
    text = reference.fetch(Interval(piece.chrom, piece.start - flank, piece.end + flank)).sequence
    both = (text, sequence.shuffle(text, k=2, seed=piece.start - flank))

    def plain() -> None:
        for letters in both:
            expectation.masked(model, letters, frames=1, what=None)

    whole, own = seconds(plain, rounds=3), seconds(lambda: component.compute(piece), rounds=3)
    print(f"expected bases of a piece: {own:.3f} s, {whole / own:.2f} times as fast as masking whole windows")

    explorer = explore.locus(model, reference, genes, at="HNF4A", width=300)
    first = seconds(lambda: explorer.figure(enlarged=False), rounds=1)
    explorer.scale(0.5)
    again = seconds(lambda: explorer.figure(enlarged=False), rounds=3)
    print(
        f"a zoom into 300 bp that were seen: {again:.3f} s, {first / again:.0f} times as fast as their first figure"
    )


if __name__ == "__main__":
    main()
