"""Windows, points and maps with chosen numbers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd

from ntviz import embeddings
from ntviz.genome.sequence import gc

ELEMENTS = ["CDS", "intron", "five_prime_utr"]


def toy(*, elements=ELEMENTS, gene="GATA1", layers=5):
    """What the figure needs, with chosen numbers."""
    n = 4 * len(elements)
    start = 1_000 * np.arange(1, n + 1)
    windows = pd.DataFrame(
        {
            "chrom": "20", "start": start, "end": start + 600, "strand": ["+", "-"] + ["+"] * (n - 2),
            "element": np.repeat(elements, 4), "gene": [gene] * (n - 1) + [""], "gc": np.linspace(0.3, 0.6, n),
        }
    )  # fmt: skip
    sources = (("model", ""), ("twin", "random twin, "))
    names = [(source, f"{text}layer {layer}", layer) for source, text in sources for layer in range(layers)]
    names += [("counts", "base composition", -1), ("counts", "4-mers", -1)]
    panels = pd.DataFrame(names, columns=["source", "panel", "layer"])
    rows = []
    for index, panel in enumerate(panels["panel"]):
        for space, more in (("vectors", 0), ("map", 0.1)):
            for measure, less in (("purity", 0), ("silhouette", 0.5)):
                value = 0.3 + 0.01 * index + more - less
                high = value + 0.1 if panel == "random twin, layer 4" else value - 0.1
                rows.append((panel, space, measure, "all", value, high, 0.25))
    columns = ["panel", "space", "measure", "element", "value", "null_high", "chance"]
    coordinates = np.random.default_rng(0).normal(size=(len(panels), n, 2)).astype(np.float32) * 30
    return SimpleNamespace(
        windows=windows, panels=panels, coordinates=coordinates, separation=pd.DataFrame(rows, columns=columns),
        model="toy", settings={"method": "tsne", "neighbours": 15},
    )  # fmt: skip


def made(sequences, elements, *, starts=None):
    """Windows of given sequences and elements, 1 Mb apart unless told otherwise."""
    starts = np.arange(len(sequences)) * 10**6 if starts is None else np.array(starts)
    table = pd.DataFrame(
        {
            "chrom": "1", "start": starts, "end": starts + list(map(len, sequences)), "strand": "+",
            "element": list(elements), "gene": "", "gc": list(map(gc, sequences)),
        }
    )  # fmt: skip
    return embeddings.Windows(table, tuple(sequences), len(sequences), {})
