"""The live locus: an anywidget that shows the figure, first with what there is, and asks for other views."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import traitlets

from ntviz.explore.answering import STATIC, Answering, script
from ntviz.genome import Interval


class LiveLocus(Answering):
    """The front end of a `LocusExplorer`. All state is the explorer's; messages carry HTML that Python has escaped."""

    _esm = script("locus.js")
    _css = STATIC / "locus.css"
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, explorer: Any) -> None:
        super().__init__(explorer, names=[one.name for one in explorer.components])

    def answer(self, message: dict[str, Any]) -> None:
        answers = {"start": self._start, "go": self._go, "pan": self._pan, "scale": self._scale, "select": self._select, "show": self._show, "export": self._export}  # fmt: skip
        answers[str(message.get("kind"))](message)

    def _start(self, message: dict[str, Any]) -> None:
        self._view(message)

    def _go(self, message: dict[str, Any]) -> None:
        self._explorer.go(str(message["text"]))
        self._view(message)

    def _pan(self, message: dict[str, Any]) -> None:
        self._explorer.pan(float(message["share"]))
        self._view(message)

    def _scale(self, message: dict[str, Any]) -> None:
        at = message.get("at")
        self._explorer.scale(float(message["factor"]), None if at is None else int(at))
        self._view(message)

    def _select(self, message: dict[str, Any]) -> None:
        view = self._explorer.view
        self._explorer.look(Interval(view.chrom, int(message["start"]), int(message["end"]), view.strand))
        self._view(message)

    def _show(self, message: dict[str, Any]) -> None:
        change = self._explorer.show if message["on"] else self._explorer.hide
        change(str(message["name"]))
        self._view(message)

    def _view(self, message: dict[str, Any]) -> None:
        """The figure with what there is at once, then what is being computed, then all."""
        explorer = self._explorer
        waiting = explorer.waiting()
        if waiting:
            self._figure(message, ready=False)
        for number, one in enumerate(waiting, 1):
            self._say(message, "doing", text=f"computing {one.name} ({number} of {len(waiting)})")
            explorer.table(one, explorer.view)
        self._figure(message, ready=True)

    def _figure(self, message: dict[str, Any], *, ready: bool) -> None:
        explorer = self._explorer
        view = explorer.view
        figure = explorer.figure(enlarged=False, only_ready=not ready)
        left, step = (view.end, -1) if view.strand == "-" else (view.start, 1)
        self._say(
            message,
            "figure",
            html=figure.html(),
            ready=ready,
            name=explorer.place.name,
            label=view.label(),
            start=view.start,
            end=view.end,
            shown=list(explorer.shown),
            panes=[
                {
                    **{edge: getattr(pane, edge) for edge in ("x0", "x1", "y0", "y1")},
                    "left": left + step * pane.first,
                    "right": left + step * pane.last,
                }
                for pane in figure.readout.panes
            ],
        )

    def _export(self, message: dict[str, Any]) -> None:
        if message["what"] == "figure":
            content = self._explorer.figure().page().encode()
        else:
            with tempfile.TemporaryDirectory() as folder:
                made = self._explorer.save_data(Path(folder) / "locus")
                out = io.BytesIO()
                with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
                    for file in sorted(made.iterdir()):
                        archive.write(file, f"locus/{file.name}")
                content = out.getvalue()
        self._say(message, "export", [content], what=message["what"])
