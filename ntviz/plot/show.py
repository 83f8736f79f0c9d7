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
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import plotly.io as pio
from plotly.io.base_renderers import MimetypeRenderer
from plotly.offline import get_plotlyjs

from ntviz.environment import atomic_write

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

_ELEMENT = """<div class="ntviz-figure" id="{id}" role="img" aria-label="{alt}" style="min-height:{height}px;background:{paper};color:{ink}">
<noscript>{alt}</noscript></div>
<script type="application/gzip" class="ntviz-plotlyjs">{plotlyjs}</script>
<script>{loader}("{id}", "{figure}")</script>"""

# Unpacks a figure and, once a page, plotly.js; where either fails, the alt sentence stands in the figure's place.
_LOADER = """(async (id, packed) => {
const text = (zipped) => new Response(new Blob([Uint8Array.from(atob(zipped), (c) => c.charCodeAt(0))]).stream()
  .pipeThrough(new DecompressionStream("gzip"))).text();
const place = document.getElementById(id);
window.ntvizPlotly ??= (async () => {
  if (window.Plotly) return;
  const script = document.createElement("script");
  script.textContent = await text([...document.querySelectorAll(".ntviz-plotlyjs")].find((s) => s.textContent).textContent);
  document.head.append(script);
})();
try {
  await window.ntvizPlotly;
  const { data, layout, config } = JSON.parse(await text(packed));
  const png = { name: "png", title: "Download as PNG", icon: Plotly.Icons.disk, click: (gd) =>
    Plotly.downloadImage(gd, { ...config.toImageButtonOptions, format: "png", scale: 2 }) };
  await Plotly.newPlot(place, data, layout, { ...config, modeBarButtonsToAdd: [png] });
} catch (error) { window.ntvizPlotly = undefined; place.textContent = place.ariaLabel; console.error("ntviz", error); }
})"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title></head>
<body style="margin:16px auto;max-width:1000px;padding:0 12px;background:{paper};color:{ink};font-family:Helvetica,Arial,sans-serif">
<main>{body}</main></body></html>
"""


@functools.cache
def plotlyjs() -> bytes:
    """The plotly.js of the installed plotly, gzipped."""
    return gzip.compress(get_plotlyjs().encode(), 9)


class Renderer(MimetypeRenderer):
    """Shows a figure on every surface. plotly copies a renderer for each figure, so what is remembered is the class's."""

    carrier: Any = None
    """The cell whose output carries plotly.js, in its first figure; run again, it carries it again."""
    carried: Any = None
    """The run of that cell in which it was carried last."""

    def to_mimebundle(self, fig_dict: dict[str, Any]) -> dict[str, Any]:
        """The figure as plotly's JSON for JupyterLab, as HTML for pages, and in words."""
        figure = {**fig_dict, "config": config(fig_dict)}
        return {
            "application/vnd.plotly.v1+json": json.loads(pio.to_json(figure, validate=False, remove_uids=False)),
            "text/html": element(fig_dict, with_plotlyjs=self._first()),
            "text/plain": alt(fig_dict),
        }

    @staticmethod
    def _first() -> bool:
        from IPython.core.getipython import get_ipython

        shell: Any = get_ipython()
        parent: Any = shell.get_parent() if hasattr(shell, "get_parent") else {}
        count = getattr(shell, "execution_count", 0)
        cell, run = parent.get("metadata", {}).get("cellId") or count, parent.get("header", {}).get("msg_id") or count
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


def alt(figure: go.Figure | dict[str, Any]) -> str:
    """What a figure shows in words: its alt sentence, or its title where it has none."""
    layout = _layout(figure)
    title = layout.get("title") or {}
    return str((layout.get("meta") or {}).get("alt") or (title.get("text") if isinstance(title, dict) else title) or "Figure")


def config(figure: go.Figure | dict[str, Any]) -> dict[str, Any]:
    """The plotly.js's options for a figure: the wheel zooms, the camera saves SVG named after what is shown."""
    name = str((_layout(figure).get("meta") or {}).get("name") or alt(figure))
    return {
        "responsive": True,
        "displaylogo": False,
        "scrollZoom": True,
        # Nothing leaves the machine: no button that uploads a figure.
        "showSendToCloud": False,
        "plotlyServerURL": "",
        "modeBarButtonsToRemove": ["sendChartToCloud"],
        "toImageButtonOptions": {"format": "svg", "filename": re.sub(r"[^\w.-]+", "_", name).strip("_")[:80]},
    }


def element(figure: go.Figure | dict[str, Any], *, with_plotlyjs: bool) -> str:
    """A figure as HTML that needs nothing from outside its page."""
    as_dict = figure if isinstance(figure, dict) else figure.to_dict()
    layout = _layout(as_dict)
    ground = layout.get("template", {}).get("layout", {})
    text = pio.to_json({**as_dict, "config": config(as_dict)}, validate=False, remove_uids=False)
    return _ELEMENT.format(
        id=f"ntviz-{uuid4().hex[:12]}",
        alt=html.escape(alt(as_dict), quote=True),
        height=layout.get("height") or 450,
        paper=html.escape(str(layout.get("paper_bgcolor") or ground.get("paper_bgcolor") or "#fff"), quote=True),
        ink=html.escape(str(ground.get("font", {}).get("color") or "#1f2328"), quote=True),
        plotlyjs=base64.b64encode(plotlyjs()).decode() if with_plotlyjs else "",
        loader=_LOADER,
        figure=base64.b64encode(gzip.compress(text.encode(), 6)).decode(),
    )


def page(*figures: go.Figure, title: str = "", before: str = "", after: str = "") -> str:
    """A whole HTML page of figures that opens offline, zoomable; `before` and `after` are HTML around them."""
    parts = [element(figure, with_plotlyjs=i == 0) for i, figure in enumerate(figures)]
    ground = (_layout(figures[0]).get("template") or {}).get("layout", {}) if figures else {}
    return _PAGE.format(
        title=html.escape(title or (alt(figures[0])[:120] if figures else "ntviz")),
        paper=ground.get("paper_bgcolor", "#ffffff"),
        ink=(ground.get("font") or {}).get("color", "#1f2328"),
        body="\n".join([before, *parts, after]),
    )


FORMATS = (".html", ".json", ".tsv", ".svg", ".png", ".pdf")


def save(figure: go.Figure, path: str | os.PathLike[str]) -> Path:
    """The path that a figure was written to, whole or not at all, in the format that the ending names.

    Parameters
    ----------
    figure
        Any plotly figure.
    path
        Ends in .html (a page that opens offline and zooms), .json (`plotly.io.read_json` reads it), .tsv (its `table`), or .svg,
        .png or .pdf (by kaleido and a Chromium). Missing folders are made.

    Raises
    ------
    ValueError
        The ending is none of these, or a picture is asked for where kaleido or a Chromium is missing.
    OSError
        The file cannot be written; what was there before stays.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise ValueError(
            f"A figure must be saved as one of {', '.join(FORMATS)}; received {path.name!r}. Change the ending of the file name."
        )
    if kind == ".html":
        content = page(figure).encode()
    elif kind == ".json":
        content = str(pio.to_json(figure)).encode()
    elif kind == ".tsv":
        content = table(figure).to_csv(sep="\t", index=False).encode()
    else:
        content = picture(figure, kind.removeprefix("."))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as handle:
        handle.write(content)
    return path


class NoPicture(ValueError):
    """kaleido or a Chromium is missing, or failed."""


@functools.cache
def _browser() -> str:
    """Start kaleido's Chromium once a process; what went wrong, in words, or nothing."""
    try:
        import kaleido

        kaleido.start_sync_server(silence_warnings=True)
    except Exception as error:  # noqa: BLE001 - whatever a browser does at its start, there is no picture
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    return ""


def picture(figure: go.Figure, kind: str) -> bytes:
    """A figure as SVG, PNG or PDF, drawn by kaleido in a Chromium, which starts once a process.

    Raises
    ------
    NoPicture
        Either is missing.
    """
    wrong = _browser()
    if not wrong:
        try:
            import kaleido

            size = {"width": figure.layout.width or 960, "height": figure.layout.height or 500}
            as_json = json.loads(pio.to_json(figure, validate=False))
            return kaleido.calc_fig_sync(as_json, opts={"format": kind, "scale": 2 if kind == "png" else 1, **size})
        except (ValueError, RuntimeError) as error:
            wrong = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    raise NoPicture(
        f"A .{kind} must be drawn by kaleido in a Chromium; received {wrong}. Run pip install 'ntviz[export]' and install "
        "Chromium or Chrome; or save as .html, or use the figure's camera."
    )


def table(figure: go.Figure) -> pd.DataFrame:
    """The data of a figure, one row a value: trace, x, y, and z, text or other values where a trace has them.

    Positions are as on the axes: 1-based. What is drawn without being data (frames, letters, arrows) has no name and is left
    out; the columns are plotly's names of the arrays.
    """
    import pandas as pd

    parts = []
    for trace in figure.data:
        if not trace.name or trace.meta == "letters":
            continue
        columns = _columns(trace)
        if columns:
            parts.append(pd.DataFrame({"trace": trace.name, **columns}))
    if not parts:
        return pd.DataFrame({"trace": [], "x": [], "y": []})
    return pd.concat(parts, ignore_index=True)


def _columns(trace: Any) -> dict[str, np.ndarray]:
    """Arrays of a trace, all of one length; a matrix is unrolled row by row."""
    given = {key: np.asarray(getattr(trace, key)) for key in ("x", "y", "z", "text") if getattr(trace, key, None) is not None}
    if "z" in given:
        n, m = given["z"].shape[:2]
        x = given.get("x", _counted(trace.x0, trace.dx, m))
        y = given.get("y", _counted(trace.y0, trace.dy, n))
        # Of cells that are given by their edges, the first base.
        x, y = (np.ceil(np.minimum(at[:-1], at[1:])) if len(at) > size else at for at, size in ((x, m), (y, n)))
        values = {"x": np.tile(x, n), "y": np.repeat(y, m), "z": given["z"].reshape(-1)}
        keep = np.array([value is not None and value == value for value in values["z"]])
        return {key: value[keep] for key, value in values.items()}
    size = max((len(value) for value in given.values() if value.ndim), default=0)
    for key, first, step in (("x", "x0", "dx"), ("y", "y0", "dy")):
        if key not in given:
            given[key] = _counted(getattr(trace, first, None), getattr(trace, step, None), size)
    sized = {key: value if value.ndim else np.full(size, value) for key, value in given.items()}
    return {key: sized[key] for key in ("x", "y", "text") if key in sized and len(sized[key]) == size}


def _counted(first: Any, step: Any, size: int) -> np.ndarray:
    return (0 if first is None else first) + (1 if step is None else step) * np.arange(size)


def _layout(figure: go.Figure | dict[str, Any]) -> dict[str, Any]:
    return figure.get("layout", {}) if isinstance(figure, dict) else figure.layout.to_plotly_json()
