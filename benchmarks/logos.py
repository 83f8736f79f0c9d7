"""Logos drawn as plotly outlines beside logomaker's, as pictures and as pages: motifs in a grid, contributions of a locus.

    python benchmarks/logos.py [--motifs 38] [--bp 400] [--theirs 4]

Both draw the same heights, with letters of the same font. A picture is a PNG: ours by kaleido in a Chromium that has started,
logomaker's by matplotlib. A page is ours alone: the figure as HTML, without plotly.js. logomaker draws `--theirs` motifs, or a
part of the locus of `--theirs` times 10 bp, and its seconds are scaled up: it takes the same time for each column.

Seconds are of the clock. Predicted before: motifs 2 s for our picture and 5 s for logomaker's, so 2 to 3 times; the locus 1.5 s
and 4 s. Measured on two cores at a load of 2: motifs 1.7 s and 4.2 s, 2.5 times; the locus 0.4 s and 2.1 s, 5 times; as a page
0.4 s and 0.1 s.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np

from ntviz import data, motifs, plot
from ntviz.genome import Interval
from ntviz.plot.letters import information
from ntviz.plot.show import element


def seconds(action: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def theirs(tables: list[np.ndarray]) -> None:
    """Draw tables [position, 4] by logomaker, one axes after the other, and save them as PNG."""
    import logomaker
    import pandas as pd
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(9, 1.1 * len(tables)))
    for table, ax in zip(tables, np.atleast_1d(drawing.subplots(len(tables))), strict=True):
        logomaker.Logo(pd.DataFrame(table, columns=list("ACGT")), ax=ax, font_name="DejaVu Sans")
    drawing.savefig(BytesIO(), dpi=192)


def main() -> None:
    """Prints a row for each kind of logo: seconds of ours as a page and as a picture, of logomaker's, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--motifs", type=int, default=38)
    parser.add_argument("--bp", type=int, default=400)
    parser.add_argument("--theirs", type=int, default=4)
    options = parser.parse_args()
    chosen = list(motifs.read(data.bundle("motifs")))[: options.motifs]
    bits = [motif.probabilities * information(motif.probabilities)[:, None] for motif in chosen]
    rng = np.random.default_rng(0)
    sequence, values = "".join(rng.choice(list("ACGT"), options.bp)), rng.normal(size=options.bp)
    heights = np.eye(4)[["ACGT".index(base) for base in sequence]] * values[:, None]
    interval = Interval("chr20", 30_000_000, 30_000_000 + options.bp)

    def grid() -> object:
        return plot.motif_logos(chosen, title="Motifs")

    def locus() -> object:
        return plot.locus(
            interval,
            [plot.contribution_track(values, sequence, label="contribution", unit="nats")],
            title="Contributions",
        )

    columns, part = sum(map(len, bits)), bits[: options.theirs]
    stretch = min(options.theirs * 10, options.bp)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "logos.png"
        # Fonts are looked up, and the browser is started, before either is timed.
        plot.save(grid(), picture)
        theirs(part[:1])
        print(f"{'':<28} {'columns':>7} {'page, s':>8} {'PNG, s':>7} {'logomaker, s':>13} {'ratio':>6}")
        for name, made, n, tables, share in (
            (f"{len(chosen)} motifs", grid, columns, part, columns / sum(map(len, part))),
            (
                f"contributions of {options.bp} bp",
                locus,
                options.bp,
                [heights[:stretch]],
                options.bp / stretch,
            ),
        ):
            page = seconds(lambda made=made: element(made(), with_plotlyjs=False))
            ours = seconds(lambda made=made: plot.save(made(), picture))
            other = seconds(lambda tables=tables: theirs(tables)) * share
            print(f"{name:<28} {n:>7} {page:>8.2f} {ours:>7.2f} {other:>13.2f} {other / ours:>6.1f}")


if __name__ == "__main__":
    main()
