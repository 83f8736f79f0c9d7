"""The explorers' waits as shares of what people tolerate, and how much sooner a locus is there than by its plain ways.

Run it from the repository: `python benchmarks/explorer.py`. Times are the kernel's; drawing in the browser comes on top.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ntviz import annotation, data, explore, models, variants
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
    """Print the processor time of the tracks of 3 kb, in one thread, and the longest wait of the live view."""
    import torch

    # Threads that wait for a busy core count as processor time.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    explorer = explore.locus(model, reference, genes, at="HNF4A", width=3_000)
    view, began = explorer.view, time.process_time()
    explorer.figure()
    spent = time.process_time() - began
    print(f"locus, all tracks of 3 kb {spent:6.1f} s of processor time = {spent / 12:5.1%} of 12 s")

    def apart() -> None:
        piece = Interval(view.chrom, view.start, view.start + 300)
        for _ in range(3):
            variants.saturation(model, reference, piece, window=600, what=None)

    began = time.process_time()
    apart()
    plain = (time.process_time() - began) * len(view) / 300
    print(
        f"expected bases, their control and saturation one by one: {plain / spent:.2f} times as long as the whole figure"
    )
    torch.set_num_threads(threads)
    explorer.widget  # noqa: B018 - makes the live figure
    middle = view.midpoint
    steps = [
        (middle - 90, middle + 90),
        (middle + 200, middle + 380),
        (middle - 700, middle - 500),
        (middle, middle + 900),
    ]
    wait = max(
        seconds(lambda step=step: explorer.zoomed({"xaxis": [edge + 0.5 for edge in step]}), rounds=1) for step in steps
    )
    print(f"locus, zoom or pan inside {wait:6.3f} s = {wait / 0.5:5.1%} of 0.5 s")


if __name__ == "__main__":
    main()
