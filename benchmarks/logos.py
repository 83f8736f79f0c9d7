"""38 logos of 500 bp, drawn and saved as PNG: ours beside logomaker's, in one run.

    python benchmarks/logos.py [--logos 38] [--theirs 3] [--bp 500]

Both draw the same information in bits, each letter in the same font, 4 CSS pixels a base and 2 image pixels a CSS pixel:
ours as one figure of `plot.motif_logos`, logomaker's as one axes after the other in a figure of the same size. logomaker
draws `--theirs` of them, and the ratio is of seconds a logo. The same for signed contributions, one letter a base.

Seconds are those of the processor, of which both use one core.

Predicted before: 3 s for our 38 and 5 s for each of logomaker's, so 60 times; contributions 2 s, and 30 times. Measured:
4.0 s, 6.0 s and 56 times; contributions 3.4 s, and 26 times.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from io import BytesIO

import numpy as np
from ntviz.plot.logo import information

from ntviz import plot
from ntviz.genome import Interval


def seconds(action: Callable[[], object]) -> float:
    """Processor seconds of one call: both sides use one core, and what else the machine does is no part of them."""
    began = time.process_time()
    action()
    return time.process_time() - began


def theirs(tables: list[np.ndarray], width: float) -> None:
    """Draw tables [position, 4] by logomaker and save them as PNG."""
    import logomaker
    import pandas as pd
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(width, 1.1 * len(tables)), dpi=96)
    FigureCanvasAgg(drawing)
    for table, ax in zip(tables, np.atleast_1d(drawing.subplots(len(tables))), strict=True):
        logomaker.Logo(
            pd.DataFrame(table, columns=list("ACGT")), ax=ax, font_name="DejaVu Sans", vpad=0.0, width=0.94
        )
    drawing.savefig(BytesIO(), dpi=192)


def main() -> None:
    """Prints a row for each kind of logo: seconds of ours, seconds a logo of both, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--logos", type=int, default=38)
    parser.add_argument("--theirs", type=int, default=3)
    parser.add_argument("--bp", type=int, default=500)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    motifs = [rng.dirichlet([0.4] * 4, options.bp) for _ in range(options.logos)]
    bits = [motif * information(motif)[:, None] for motif in motifs]
    sequence = "".join(rng.choice(list("ACGT"), options.bp))
    bases = np.eye(4)[["ACGT".index(base) for base in sequence]]
    values = rng.normal(size=(options.logos, options.bp))
    signed = [bases * row[:, None] for row in values]
    width = options.bp * 4 / 96 + 1.2
    interval = Interval("chr20", 30_000_000, 30_000_000 + options.bp)

    def locus() -> object:
        tracks = [
            plot.contribution_track(row, sequence, label=f"target {i}", unit="nats")
            for i, row in enumerate(values)
        ]
        return plot.locus(interval, tracks, title="Contributions", width=width).png()

    # Fonts are looked up once in a process, before either is timed.
    plot.motif_logos(motifs[:1], title="Logos").png()
    theirs(bits[:1], width)
    print(f"{'':<22} {'ours, s':>8} {'logos':>6} {'s a logo':>9} {'logomaker, s a logo':>20} {'ratio':>6}")
    for name, ours, tables in (
        ("information, bits", lambda: plot.motif_logos(motifs, title="Logos").png(), bits),
        ("signed contributions", locus, signed),
    ):
        taken = seconds(ours)
        each = taken / options.logos
        other = seconds(lambda tables=tables: theirs(tables[: options.theirs], width)) / options.theirs
        print(f"{name:<22} {taken:>8.1f} {options.logos:>6} {each:>9.3f} {other:>20.2f} {other / each:>6.0f}")


if __name__ == "__main__":
    main()
