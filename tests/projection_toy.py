"""Windows, points and maps with chosen numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ntviz import embeddings
from ntviz.genome.sequence import gc

ELEMENTS = ["CDS", "intron", "five_prime_utr"]
LINK = "https://genome.example.org/view?db=hg19&position={region}"


@dataclass
class Toy:
    """What the figure needs, with chosen numbers."""

    windows: pd.DataFrame
    panels: pd.DataFrame
    coordinates: np.ndarray
    separation: pd.DataFrame
    model: str = "toy"
    settings: dict[str, Any] = field(default_factory=lambda: {"method": "tsne", "neighbours": 15})


def toy(*, elements=None, gene="GATA1", layers=5):
    elements = ELEMENTS if elements is None else elements
    n = 4 * len(elements)
    windows = pd.DataFrame(
        {
            "chrom": "20",
            "start": 1_000 * np.arange(1, n + 1),
            "end": 1_000 * np.arange(1, n + 1) + 600,
            "strand": "+",
            "element": np.repeat(elements, 4),
            "gene": [gene] * (n - 1) + [""],
            "gc": np.linspace(0.3, 0.6, n),
        }
    )
    windows.loc[1, "strand"] = "-"
    names = [
        *(("model", f"layer {layer}", layer) for layer in range(layers)),
        *(("twin", f"random twin, layer {layer}", layer) for layer in range(layers)),
        ("counts", "base composition", -1),
        ("counts", "4-mers", -1),
    ]
    panels = pd.DataFrame(names, columns=["source", "panel", "layer"])
    rows = []
    for index, panel in enumerate(panels["panel"]):
        for space in ("vectors", "map"):
            for measure in ("purity", "silhouette"):
                value = (
                    0.3
                    + 0.01 * index
                    + (0.1 if space == "map" else 0)
                    - (0.5 if measure == "silhouette" else 0)
                )
                high = value + 0.1 if panel == "random twin, layer 4" else value - 0.1
                rows.append((panel, space, measure, "all", value, high, 0.25))
    separation = pd.DataFrame(
        rows, columns=["panel", "space", "measure", "element", "value", "null_high", "chance"]
    )
    coordinates = np.random.default_rng(0).normal(size=(len(panels), n, 2)).astype(np.float32) * 30
    return Toy(windows, panels, coordinates, separation)


def made(sequences, elements, *, starts=None):
    """Windows of given sequences and elements, 1 Mb apart unless told otherwise."""
    starts = range(0, 10**6 * len(sequences), 10**6) if starts is None else starts
    table = pd.DataFrame(
        {
            "chrom": "1",
            "start": list(starts),
            "end": [start + len(text) for start, text in zip(starts, sequences, strict=True)],
            "strand": "+",
            "element": list(elements),
            "gene": "",
            "gc": [gc(text) for text in sequences],
        }
    )
    return embeddings.Windows(table, tuple(sequences), len(sequences), {})


def blobs(n=20, classes=3, width=12, apart=20.0, seed=0):
    """Points of classes that lie apart, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([f"e{index}" for index in range(classes)], n)
    centres = apart * rng.normal(size=(classes, width))
    return rng.normal(size=(n * classes, width)) + np.repeat(centres, n, axis=0), labels


def overall(table, measure):
    """Value of a measure over all elements."""
    return table.loc[(table["measure"] == measure) & (table["element"] == "all"), "value"].item()
