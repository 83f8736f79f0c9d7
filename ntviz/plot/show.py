"""One plotly renderer for JupyterLab, executed notebooks, plain nbconvert pages and offline reports; files and tables of figures.

JupyterLab draws the plotly MIME type, also in a notebook that nobody trusted yet. Pages take the HTML: the alt sentence, the
figure, and in the first figure of a kernel plotly.js itself (2 MB). No network, no template, nothing beside the page.
"""

from __future__ import annotations

import base64
import functools
import gzip
import html
import json
import os
import re
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
from plotly.io.base_renderers import MimetypeRenderer
from plotly.offline import get_plotlyjs

from ntviz.environment import need
from ntviz.plot.theme import colours
from ntviz.storage import atomic_write

Figure = go.Figure | dict[str, Any]
FORMATS = (".html", ".json", ".tsv", ".svg", ".png", ".pdf")

_ELEMENT = """<div class="ntviz-figure" id="{id}" role="img" aria-label="{alt}" style="min-height:{height}px">
<noscript>{alt}</noscript></div>{plotlyjs}<script>{loader}("{id}", "{figure}")</script>"""

LOADER = Path(__file__).with_name("loader.js").read_text("utf-8").partition("\n")[2].strip()

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title></head>
<body style="margin:16px auto;max-width:1000px;padding:0 12px;background:{paper};color:{ink};font-family:Helvetica,Arial,sans-serif">
<main>{body}</main></body></html>
"""


@functools.cache
def plotlyjs() -> bytes:
    """The plotly.js of the installed plotly, gzipped."""
    return gzip.compress(get_plotlyjs().encode(), 9)


def carrier(*, full: bool = True) -> str:
    """The part of a page that carries plotly.js, or that leaves it to another."""
    code = base64.b64encode(plotlyjs()).decode() if full else ""
    return f'<script type="application/gzip" class="ntviz-plotlyjs">{code}</script>'


class Renderer(MimetypeRenderer):
    """Shows a figure on every surface. plotly copies a renderer for each figure, so what is remembered is the class's."""

    # The cell whose first figure carries plotly.js, and the run of it that did so last: run again, it carries it again.
    carrier: Any = None
    carried: Any = None

    def to_mimebundle(self, fig_dict: dict[str, Any]) -> dict[str, Any]:
        return bundle(fig_dict, with_plotlyjs=self.first())

    @staticmethod
    def first() -> bool:
        """Whether the next output is to carry plotly.js; asked once for it."""
        from IPython.core.getipython import get_ipython

        shell: Any = get_ipython()
        run = getattr(shell, "execution_count", 0)
        cell = getattr(shell, "get_parent", dict)().get("metadata", {}).get("cellId") or run
        Renderer.carrier = Renderer.carrier or cell
        if cell != Renderer.carrier or run == Renderer.carried:
            return False
        Renderer.carried = run
        return True


def install() -> None:
    """Make the renderer plotly's default in a Jupyter kernel, unless PLOTLY_RENDERER or the user chose another."""
    pio.renderers["ntviz"] = Renderer()
    # plotly's own choice in a kernel of JupyterLab, of papermill and of nbconvert.
    if pio.renderers.default == "plotly_mimetype" and "PLOTLY_RENDERER" not in os.environ:
        pio.renderers.default = "ntviz"


def alt(figure: Figure) -> str:
    """What a figure shows in words: its alt sentence, or its title where it has none."""
    layout = figure.get("layout", {}) if isinstance(figure, dict) else figure.layout.to_plotly_json()
    return str(layout.get("meta", {}).get("alt") or layout.get("title", {}).get("text") or "Figure")


def _lighter(value: Any) -> Any:
    """Numbers to four digits, or two behind the point from 10 on, as text, which gzip packs well: what can be seen."""
    if isinstance(value, dict):
        return {name: _lighter(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_lighter(part) for part in value]
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return _lighter(value.tolist())
    if isinstance(value, float):
        return round(value, 2) if abs(value) >= 10 else float(f"{value:.4g}")
    return value


def as_json(figure: Figure, *, light: bool = False) -> dict[str, Any]:
    """A figure as plotly.js takes it, arrays as base64: the wheel zooms, the camera saves SVG, nothing can be uploaded.

    `light`: numbers rounded to what can be seen and letters `folded`, for a page of many figures.
    """
    content = figure if isinstance(figure, dict) else figure.to_dict()
    if light:
        from ntviz.plot.letters import folded

        data = [trace if isinstance(trace, dict) else trace.to_plotly_json() for trace in figure["data"]]
        content = _lighter({**content, "data": folded(data)})
    name = str(content.get("layout", {}).get("meta", {}).get("name") or alt(figure))
    picture = {"format": "svg", "filename": re.sub(r"[^\w.-]+", "_", name).strip("_")[:80]}
    config = {"responsive": True, "displaylogo": False, "scrollZoom": True, "toImageButtonOptions": picture,
              "showSendToCloud": False, "plotlyServerURL": ""}  # fmt: skip
    return json.loads(str(pio.to_json({"layout": {}, **content, "config": config}, validate=False, remove_uids=False)))


def element(figure: Figure, *, with_plotlyjs: bool) -> str:
    """A figure as HTML that needs nothing from outside its page."""
    content = as_json(figure)
    return _ELEMENT.format(
        id=f"ntviz-{uuid4().hex[:12]}", alt=html.escape(alt(figure)), height=content["layout"].get("height", 450), loader=LOADER,
        plotlyjs=carrier(full=with_plotlyjs), figure=base64.b64encode(gzip.compress(json.dumps(content).encode(), 6)).decode(),
    )  # fmt: skip


def bundle(figure: Figure, *, with_plotlyjs: bool = False) -> dict[str, Any]:
    """A figure as plotly's JSON for JupyterLab, as HTML for pages, and in words."""
    part = element(figure, with_plotlyjs=with_plotlyjs)
    return {"application/vnd.plotly.v1+json": as_json(figure), "text/html": part, "text/plain": alt(figure)}


def page(*figures: go.Figure, title: str = "", before: str = "") -> str:
    """A whole HTML page of figures that opens offline, zoomable; `before` is HTML above them."""
    parts = [before, *(element(figure, with_plotlyjs=i == 0) for i, figure in enumerate(figures))]
    title = html.escape(title or alt(figures[0])[:120])
    return _PAGE.format(title=title, body="\n".join(parts), paper=colours().paper, ink=colours().ink)


def save(figure: go.Figure, path: str | os.PathLike[str]) -> Path:
    """The path that any plotly figure was written to, whole or not at all.

    The ending is .html (opens offline, zooms), .json (plotly), .tsv (its `table`), or .svg, .png or .pdf (by kaleido).
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise ValueError(f"A figure must be saved as one of {', '.join(FORMATS)}; received {path.name!r}. Change the ending.")  # fmt: skip
    texts = {".html": page, ".json": pio.to_json, ".tsv": lambda made: table(made).to_csv(sep="\t", index=False)}
    content = str(texts[kind](figure)).encode() if kind in texts else picture(figure, kind[1:])
    with atomic_write(path) as handle:
        handle.write(content)
    return path


PATIENCE = 120.0
"""Seconds that Chromium may take for a picture."""
_silent: list[str] = []


class NoPicture(ValueError):
    """kaleido or a Chromium is missing, or failed."""


@functools.cache
def _browser() -> str:
    """Start kaleido's Chromium once a process; what went wrong, in words, or nothing."""
    try:
        need("kaleido", "export").start_sync_server(silence_warnings=True)
    except Exception as error:  # noqa: BLE001 - whatever a browser does at its start, there is no picture
        return f"{type(error).__name__}: {error}"
    return ""


def _drawn(draw: Callable[[], bytes]) -> bytes:
    """What `draw` gives; kaleido waits for ever for a Chromium that ends at its start, so nothing is drawn after a first silence."""
    if _silent:
        raise RuntimeError(_silent[0])
    given: list[Any] = []

    def run() -> None:
        try:
            given.append(draw())
        except Exception as error:  # noqa: BLE001 - raised below, by who waits
            given.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if not given:
        _silent.append(f"no answer of Chromium within {PATIENCE:g} s")
        raise RuntimeError(_silent[0])
    if isinstance(given[0], Exception):
        raise given[0]
    return given[0]


def picture(figure: go.Figure, kind: str) -> bytes:
    """A figure as "svg", "png" or "pdf", drawn by kaleido in a Chromium; NoPicture where either is missing."""
    try:
        if wrong := _browser():
            raise RuntimeError(wrong)
        size = {"width": figure.layout.width or 960, "height": figure.layout.height or 500}
        asked = {"opts": {"format": kind, "scale": 2 if kind == "png" else 1, **size}}
        return _drawn(partial(need("kaleido", "export").calc_fig_sync, as_json(figure), **asked))
    except (ValueError, RuntimeError) as error:
        raise NoPicture(f"A .{kind} must be drawn by kaleido in a Chromium; received {str(error).strip().splitlines()[0]}. Run pip install "
                        "'ntviz[export]' and install Chromium or Chrome; or save as .html, or use the figure's camera.") from error  # fmt: skip


def table(figure: go.Figure) -> pd.DataFrame:
    """The data of a figure, one row a value: trace, x, y, and z or text where a trace has them.

    Positions are as on the axes: 1-based. What is drawn without being data (frames, letters, arrows) is left out.
    """
    tables = [_rows(trace) for trace in figure.data if trace.name and trace.meta != "letters"]
    return pd.concat(tables or [pd.DataFrame(columns=["trace", "x", "y"])], ignore_index=True)


def _rows(trace: Any) -> pd.DataFrame:
    given = trace.to_plotly_json()
    z, size = given.get("z"), max(np.size(given.get(key, ())) for key in ("x", "y", "text"))
    for key, n in zip("yx", (size, size) if z is None else np.shape(z), strict=True):
        at = np.asarray(given.get(key, given.get(f"{key}0", 0) + given.get(f"d{key}", 1) * np.arange(n)))
        # Of cells that are given by their edges, the first base.
        given[key] = np.ceil(np.minimum(at[:-1], at[1:])) if z is not None and len(at) > n else at
    if z is not None:
        x, y = map(np.ravel, np.meshgrid(given["x"], given["y"]))
        return pd.DataFrame({"trace": trace.name, "x": x, "y": y, "z": np.ravel(z)}).dropna(subset="z")
    fitting = [key for key in ("x", "y", "text") if isinstance(given.get(key), str) or len(given.get(key, ())) == size]
    return pd.DataFrame({"trace": trace.name, **{key: given[key] for key in fitting}})
