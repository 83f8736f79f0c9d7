"""`Live`: a plotly figure in JupyterLab that tells Python of clicks and zooms, and is drawn also on a busy machine.

The whole figure is in the widget's first state, so that drawing needs no message: anywidget's browser code drops those to a model
that took over two seconds to start. plotly.js comes once a kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import anywidget
import ipywidgets
import plotly.graph_objects as go
import traitlets

from ntviz.plot import show
from ntviz.plot.theme import darkened

IDLE = 3.0  # seconds without another drawing after which the still figure follows


class _Widget(anywidget.AnyWidget):
    # The server's anywidget may be another than the kernel's.
    _model_module_version = traitlets.Unicode("*").tag(sync=True)
    _view_module_version = traitlets.Unicode("*").tag(sync=True)


class Library(_Widget):
    """plotly.js, gzipped, for a page that has none."""

    _esm = "export default {}"
    code = traitlets.Bytes().tag(sync=True)


library = functools.cache(lambda: Library(code=show.plotlyjs()))  # one for the kernel


class Live(_Widget):
    """A figure in the page of a person; the last line of a cell, or a child of an ipywidgets box. `still` is what it shows."""

    _esm = (Path(__file__).parent / "live.js").read_text("utf-8")
    # The still figure stays in the notebook for readers without a kernel, out of sight while this one is there.
    _css = """.jp-OutputArea-child:has(.js-plotly-plot, .jp-RenderedPlotly, .ntviz-figure):has(+ .jp-OutputArea-child .ntviz-drawn)
              { display: none }"""
    figure = traitlets.Dict().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    dark = traitlets.Dict().tag(sync=True)
    address = traitlets.Unicode().tag(sync=True)
    library = traitlets.Instance(Library).tag(sync=True, **ipywidgets.widget_serialization)

    def __init__(self, figure: go.Figure) -> None:
        self.revision, self.whole = 0, 1
        self.still, self.kept, self._keeping = figure, None, None
        self._calls: dict[str, list[Callable[[dict[str, Any]], None]]] = {}
        name = uuid4().hex
        super().__init__(model_id=name, address=name, library=library(), dark=darkened(), **self._state(figure))
        self.on_msg(self._heard)

    def _state(self, figure: go.Figure) -> dict[str, Any]:
        self.revision += 1
        content = {**show.as_json(figure), "revision": self.revision}
        # What a person zoomed to stays until uirevision changes; 0 would mean none to plotly.
        content["layout"].setdefault("uirevision", self.whole)
        return {"figure": content, "alt": show.alt(figure)}

    def show(self, figure: go.Figure, *, whole: bool = False) -> None:
        """Draw another figure in place; the zoom stays unless `whole`. The still figure follows when nobody draws."""
        self.whole += whole
        self.still = figure
        with self.hold_sync():
            for name, value in self._state(figure).items():
                setattr(self, name, value)
        if self._keeping is not None:
            self._keeping.cancel()
        with contextlib.suppress(RuntimeError):  # outside a kernel there is no loop
            self._keeping = asyncio.get_running_loop().call_later(IDLE, self.keep)

    def keep(self) -> None:
        """Bring the still figure in the notebook up to date."""
        if self.kept is not None:
            self.kept.update(show.bundle(self.still), raw=True)

    def on(self, kind: str, call: Callable[[dict[str, Any]], None]) -> None:
        """Call `call(event)` at each "click" (trace, x, y, z, index), "ranges" (by axis, after a zoom), "drawn" or "alive"."""
        self._calls.setdefault(kind, []).append(call)

    def _heard(self, _: Any, event: dict[str, Any], __: Any) -> None:
        kind = event.get("kind", "")
        if kind == "drawn" and event["revision"] != self.revision:
            self.send_state(["figure", "alt"])  # what was sent got lost
        try:
            for call in self._calls.get(kind, ()):
                call(event)
        finally:
            if kind in ("click", "ranges"):
                self.send({"done": True})

    def _ipython_display_(self) -> None:
        present(self, self)


def attended() -> bool:
    """Whether a person has the kernel's page before them: elsewhere (papermill, scripts) a widget is 2 MB for nobody."""
    return "JPY_SESSION_NAME" in os.environ


def present(box: ipywidgets.DOMWidget, live: Live) -> None:
    """Show the still figure at once, and in its place `box` (around `live`) when the page says that it has widgets.

    Two outputs: a notebook that is opened without its kernel, or by a server without anywidget, keeps the still figure.
    """
    from IPython.display import display

    if show.Renderer.first():
        # An output of its own: the still figure comes again, and would bring 2 MB each time.
        display({"text/html": show.carrier(), "text/plain": ""}, raw=True)
    live.kept = display(show.bundle(live.still), raw=True, display_id=True)
    place = display({"text/plain": ""}, raw=True, display_id=True)
    view = {"model_id": box.model_id, "version_major": 2, "version_minor": 0}
    shown = {"application/vnd.jupyter.widget-view+json": view, "text/plain": ""}
    live.on("alive", lambda _: place.update(shown, raw=True))
