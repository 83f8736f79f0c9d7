"""The still picture of an explorer: the atlas of heads and the map of one, for reports and notebooks that nobody runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ntviz import environment, plot
from ntviz.genome import Interval


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
    first = explorer._whole()[0]
    compared = explorer.allele != "reference"
    shown = "alternative" if compared else "reference"
    at, special = (explorer.layer, explorer.head), (0, max(first, 1))
    maps = {name: look.weights(*at, explorer.query, explorer.key, name) for name in (shown, "reference")}
    to = {name: look.weights(*at, explorer.query, special, name).sum(1) for name in maps}
    across, down = (_hull(places[part], look.interval) for part in (key, query))
    ends = [look.tokens.spans[part] for part in (key, query)]
    bases = [look.bases(shown)[part[0, 0] : part[-1, 1]] for part in ends]
    label = f"Layer {at[0]}, head {at[1]}"
    drawn = plot.attention_map(
        maps[shown],
        places[key],
        across,
        query_spans=places[query],
        query_interval=down,
        to_special=to[shown] if first else None,
        control=maps["reference"] if compared else None,
        control_to_special=to["reference"] if compared and first else None,
        control_label="reference allele",
        title=f"{sources.model.name} at {look.place.name}: layer {at[0]}, head {at[1]}",
        label=f"{label}, alternative allele" if compared else label,
        genes=sources.annotation,
        elements={name: _on_genome(look, name) for name in list(look.elements)[:6]},
        assembly=sources.reference.assembly,
        sequence=bases[0],
        query_sequence=bases[1],
        caption=f"{len(look.tokens):,} tokens. {look.note}",
    )
    return Still(heads, drawn)


def _on_genome(look: Any, name: str) -> np.ndarray:
    """[stretch, 2] of an element, 0-based half-open on the genome."""
    stretches = np.asarray(look.stretches(name), dtype=np.int64).reshape(-1, 2)
    if look.interval.strand == "-":
        return look.interval.end - stretches[::-1, ::-1]
    return look.interval.start + stretches


def _hull(places: np.ndarray, interval: Interval) -> Interval:
    """The stretch of the genome that tokens cover, in the direction of the interval."""
    return Interval(interval.chrom, int(places[:, 0].min()), int(places[:, 1].max()), interval.strand)
