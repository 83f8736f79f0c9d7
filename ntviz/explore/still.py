"""The still picture of an explorer: the atlas of heads and the map of one, for reports and notebooks that nobody runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ntviz import environment, plot


@dataclass(frozen=True)
class Still:
    """The pictures of a view, one above the other; each is a `plot.Figure`."""

    heads: plot.Figure
    map: plot.Figure

    def __repr__(self) -> str:
        return f"{self.map.alt} {self.heads.alt}"

    def page(self) -> str:
        """A whole HTML page that opens without a network."""
        body = "\n".join(part._repr_mimebundle_()["text/html"] for part in (self.heads, self.map))
        return (
            '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Attention</title>'
            '<meta name="color-scheme" content="light dark">'
            "<style>:root { color-scheme: light dark; } body { margin: 24px auto; max-width: 1240px; padding: 0 16px; }</style>"
            f"</head>\n<body>\n{body}\n</body>\n</html>\n"
        )

    def save(self, path: Any) -> Path:
        """Writes the page, whole or not at all."""
        with environment.atomic_write(path, "w", encoding="utf-8") as part:
            part.write(self.page())
        return Path(path)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        parts = [part._repr_mimebundle_() for part in (self.heads, self.map)]
        return {"text/html": "\n".join(part["text/html"] for part in parts), "text/plain": repr(self)}


def still(explorer: Any) -> Still:
    """The pictures of an explorer's view."""
    look, sources = explorer.look, explorer.sources
    entropy, unit = look.scores["entropy"]
    heads = plot.head_atlas(
        entropy, label="entropy of attention here", unit=unit, chosen=(explorer.layer, explorer.head),
        title=f"The heads of {sources.model.name} at {look.place.name}",
        caption=f"Pale: the head looks at few words, dark: at all alike. Framed: the head below. {look.note}",
    )  # fmt: skip
    places = look.tokens.on(look.interval)
    query, key = (slice(*part) for part in (explorer.query, explorer.key))
    tokens = len(look.tokens)
    first = explorer._whole()[0]
    special = look.weights(
        explorer.layer, explorer.head, explorer.query, (0, max(first, 1)), "reference"
    ).sum(1)
    weights = np.abs(explorer.weights)
    elements = {name: _on_genome(look, name) for name in list(look.elements)[:6]}
    drawn = plot.attention_map(
        weights, places[key], look.interval, query_spans=places[query], to_special=special if first else None,
        query_interval=look.interval,
        title=f"{sources.model.name} at {look.place.name}: layer {explorer.layer}, head {explorer.head}",
        label=f"Layer {explorer.layer}, head {explorer.head}" + ("" if explorer.allele == "reference" else f", {explorer.allele}"),
        genes=sources.annotation, elements=elements, assembly=sources.reference.assembly, sequence=look.sequence,
        caption=f"{tokens:,} tokens. {look.note}",
    )  # fmt: skip
    return Still(heads, drawn)


def _on_genome(look: Any, name: str) -> np.ndarray:
    """[stretch, 2] of an element, 0-based half-open on the genome."""
    stretches = np.asarray(look.stretches(name), dtype=np.int64).reshape(-1, 2)
    if look.interval.strand == "-":
        return look.interval.end - stretches[::-1, ::-1]
    return look.interval.start + stretches
