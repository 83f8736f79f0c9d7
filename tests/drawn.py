"""What tests of figures share: traces by name, text that must stay text, contrast of colours, annotations."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntviz import plot
from ntviz.annotation import Annotation

HOSTILE = "<b>bold</b> %{z}%{x}\n</script><img src=x>"
COLUMNS = ["chrom", "start", "end", "strand", "element", "gene", "gene_id", "transcript", "name", "origin"]


def named(figure, name: str):
    """The first trace of this name."""
    return next(trace for trace in figure.data if trace.name == name)


def notes(figure) -> str:
    return " | ".join(note.text for note in figure.layout.annotations)


def annotation(*rows: list[tuple]) -> Annotation:
    return Annotation(pd.DataFrame([row for part in rows for row in part], columns=COLUMNS))


def assert_text(figure) -> None:
    """HOSTILE, of which a figure is made, is markup nowhere, and as it came in the alt sentence."""
    assert "<b>bold</b>" in plot.alt(figure) and "\n" not in plot.alt(figure)
    shown = figure.to_plotly_json()
    del shown["layout"]["meta"]
    assert "<b>bold" not in str(shown) and "<img" not in str(shown) and "&lt;b&gt;bold" in str(shown)
    assert not any("%{z}%{x}" in (trace.hovertemplate or "") for trace in figure.data)


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


def linear(colour) -> np.ndarray:
    c = np.asarray(colour) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(*colours) -> float:
    """Ratio of the luminances of two colours, 1 to 21 (WCAG)."""
    low, high = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in colours)
    return (high + 0.05) / (low + 0.05)
