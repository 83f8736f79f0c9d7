"""The live explorer: an anywidget whose front end asks for views, and gets exactly what it shows."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import traitlets

from ntviz.explore.answering import STATIC, Answering, script
from ntviz.genome import browser_contig
from ntviz.plot import palette
from ntviz.plot.mapping import weight_colours


@functools.cache
def _colours() -> dict[str, list[list[int]]]:
    """256 colours [r, g, b] of each map."""
    steps = np.linspace(0, 1, 256)
    maps = {"magnitude": weight_colours(256), "sign": palette.diverging()}
    return {
        name: (np.asarray(one(steps))[:, :3] * 255).round().astype(int).tolist() for name, one in maps.items()
    }


class Live(Answering):
    """The front end of an `Explorer`. All state is the explorer's; messages carry what is shown."""

    _esm = script("explorer.js")
    _css = STATIC / "explorer.css"
    colours = traitlets.Dict().tag(sync=True)
    model = traitlets.Unicode().tag(sync=True)

    def __init__(self, explorer: Any) -> None:
        super().__init__(explorer, colours=_colours(), model=explorer.sources.model.name)

    def answer(self, message: dict[str, Any]) -> None:
        answers = {"start": self._place, "go": self._go, "view": self._view, "token": self._token, "bed": self._bed, "export": self._export}  # fmt: skip
        reply, parts = answers[str(message.get("kind"))](message)
        self._say(message, buffers=parts, **reply)

    def _place(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        explorer = self._explorer
        look = explorer.look
        interval = look.interval
        reply = {
            "kind": "place",
            "name": look.place.name,
            "label": interval.label(),
            "chrom": browser_contig(interval.chrom),
            "start": interval.start,
            "end": interval.end,
            "reverse": interval.strand == "-",
            "note": look.note,
            "assembly": explorer.sources.reference.assembly or "",
            "sequence": look.sequence,
            "changed": look.bases(look.alleles[-1]),
            "spans": look.tokens.spans.tolist(),
            "first": explorer._whole()[0],
            "alleles": look.alleles,
            "genes": look.genes(),
            "elements": {name: look.stretches(name) for name in look.elements},
            "scores": {
                name: {"unit": unit, "grid": _plain(grid)} for name, (grid, unit) in look.scores.items()
            },
            "head": [explorer.layer, explorer.head],
        }
        return reply, []

    def _go(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        self._explorer.go(str(message["text"]))
        return self._place(message)

    def _view(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        explorer = self._explorer
        explorer.choose(*message["head"])
        explorer.zoom(tuple(message["query"]), tuple(message["key"]))
        allele = str(message.get("allele", "reference"))
        if allele not in explorer.look.alleles:
            allele = "reference"
        explorer.allele = allele
        most = tuple(max(8, min(512, int(limit))) for limit in message["most"])
        cells = explorer.look.cells(
            explorer.layer, explorer.head, explorer.query, explorer.key, most=most, allele=allele
        )
        reply = {
            "kind": "view", "query": cells.query, "key": cells.key, "pool": cells.pool, "shape": list(cells.values.shape),
            "head": [explorer.layer, explorer.head], "allele": allele,
            "uniform": explorer.look.scans["reference"].uniform,
        }  # fmt: skip
        return reply, [cells.values.astype("<f4").tobytes(), cells.which.astype("<i4").tobytes()]

    def _token(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        explorer = self._explorer
        token = int(message["token"])
        row, column = explorer.look.profile(explorer.layer, explorer.head, token, explorer.allele)
        reply = {
            "kind": "token",
            "token": token,
            "special": float(row[explorer.look.tokens.is_special].sum()),
        }
        return reply, [row.astype("<f4").tobytes(), column.astype("<f4").tobytes()]

    def _bed(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        said = self._explorer.add_bed(str(message["name"]), str(message["text"]))
        reply, parts = self._place(message)
        return {**reply, "said": said}, parts

    def _export(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        explorer = self._explorer
        made = {
            "table": lambda: explorer.tsv(),
            "code": lambda: explorer.code(),
            "figure": lambda: explorer.still().page(),
        }[message["what"]]()
        return {"kind": "export", "what": message["what"], "text": made}, []


def _plain(grid: np.ndarray) -> list[list[float | None]]:
    """A grid as JSON: what is missing is null."""
    return [[None if not np.isfinite(value) else float(value) for value in row] for row in grid]
