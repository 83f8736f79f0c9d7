"""`Live`: a plotly figure in JupyterLab that tells Python of clicks and zooms, and is drawn also on a busy machine.

The whole figure is in the widget's first state and arrays travel as bytes, so that drawing needs no message: anywidget's browser
code drops every message to a model that took over two seconds to start. plotly.js comes once a kernel, and is loaded once a page.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import anywidget
import ipywidgets
import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import traitlets

from ntviz.plot import show
from ntviz.plot.theme import darkened

_ANY_VERSION = {
    # The server's anywidget may be another than the kernel's.
    "_model_module_version": traitlets.Unicode("*").tag(sync=True),
    "_view_module_version": traitlets.Unicode("*").tag(sync=True),
}


class Library(anywidget.AnyWidget):
    """plotly.js, gzipped, for a page that has none."""

    _esm = "export default {}"
    _model_module_version, _view_module_version = _ANY_VERSION.values()
    code = traitlets.Bytes().tag(sync=True)


@functools.cache
def library() -> Library:
    """One for the kernel."""
    return Library(code=show.plotlyjs())


def packed(value: Any) -> Any:
    """A figure's JSON whose arrays are plotly's {dtype, shape, bdata}; ipywidgets sends the bytes as they are."""
    if isinstance(value, dict):
        return {name: packed(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [packed(part) for part in value]
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind in "iu" and value.dtype.itemsize == 8:
        # plotly.js has no integers of 8 bytes; positions of genomes fit into 4.
        value = value.astype(np.int32 if not value.size or np.abs(value).max() < 2**31 else np.float64)
    if value.dtype.kind not in "iuf" or value.dtype == np.float16:
        return packed(value.tolist())
    kind = value.dtype.kind + str(value.dtype.itemsize)
    return {"dtype": kind, "shape": ",".join(map(str, value.shape)), "bdata": value.tobytes()}


class Live(anywidget.AnyWidget):
    """A figure in the page of a person; the last line of a cell, or a child of an ipywidgets box.

    Parameters
    ----------
    figure
        What is drawn first.

    Attributes
    ----------
    still
        The figure that is drawn now, as it was passed.
    """

    _esm = (Path(__file__).parent / "live.js").read_text("utf-8")
    _model_module_version, _view_module_version = _ANY_VERSION.values()
    figure = traitlets.Dict().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    dark = traitlets.Dict().tag(sync=True)
    address = traitlets.Unicode().tag(sync=True)
    library = traitlets.Instance(Library).tag(sync=True, **ipywidgets.widget_serialization)

    def __init__(self, figure: go.Figure) -> None:
        self.revision, self.drawn, self.whole = 0, 0, 1
        self.still = figure
        self._calls: dict[str, list[Callable[[dict[str, Any]], None]]] = {}
        name = uuid4().hex
        super().__init__(model_id=name, address=name, library=library(), dark=darkened(), **self._state(figure))
        self.on_msg(self._heard)

    def _state(self, figure: go.Figure) -> dict[str, Any]:
        made = packed(figure.to_plotly_json())
        self.revision += 1
        # What a person zoomed to stays until uirevision changes; 0 would mean none to plotly.
        layout = {"uirevision": self.whole, **made["layout"]}
        content = {"data": made["data"], "layout": layout, "config": show.config(figure), "revision": self.revision}
        return {"figure": content, "alt": show.alt(figure)}

    def show(self, figure: go.Figure, *, whole: bool = False) -> None:
        """Draw another figure in place; the zoom stays unless `whole`."""
        self.whole += whole
        self.still = figure
        with self.hold_sync():
            for name, value in self._state(figure).items():
                setattr(self, name, value)

    def on(self, kind: str, call: Callable[[dict[str, Any]], None]) -> None:
        """Call `call(event)` at each event of a kind.

        Parameters
        ----------
        kind
            "click" (trace, x, y, z, index), "ranges" (ranges by axis, a moment after a zoom), "drawn" (revision), or
            "alive" (the page has the widget).
        """
        self._calls.setdefault(kind, []).append(call)

    def _heard(self, _: Any, event: dict[str, Any], __: Any) -> None:
        kind = event.get("kind", "")
        if kind == "drawn":
            self.drawn = event["revision"]
            if self.drawn != self.revision:
                # What was sent got lost.
                self.send_state(["figure", "alt"])
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
    from IPython.display import display, update_display

    pio.show(live.still, renderer="ntviz")
    place = display({"text/plain": ""}, raw=True, display_id=True)
    view = {"model_id": box.model_id, "version_major": 2, "version_minor": 0}
    shown = {"application/vnd.jupyter.widget-view+json": view, "text/plain": ""}
    live.on("alive", lambda _: update_display(shown, raw=True, display_id=place.display_id))
