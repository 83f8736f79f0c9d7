"""`Figure`: one result that a notebook, an untrusted copy of it, a report and a page without a network all show.

The HTML of a figure is self-contained. An image with alt text comes first, on a light card of its own so that it
reads in a dark theme; a script adds a cursor that reads the values out. Where scripts are removed, the image, its
alt text and its caption stay.
"""

from __future__ import annotations

import html
import os
import warnings
from base64 import b64encode
from collections.abc import Collection
from functools import cache
from importlib import resources
from io import BytesIO
from pathlib import Path
from uuid import uuid4

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing

from ntviz.plot.palette import CSS_DPI, style
from ntviz.plot.readout import Cursor

FORMATS = (".png", ".html", ".svg")

_CARD = (
    "margin:12px 0;padding:14px 16px 12px;max-width:{width}px;box-sizing:border-box;background-color:#ffffff;"
    "color:#1f2328;border:1px solid #d1d9e0;border-radius:8px;"
    "font-family:Helvetica,Arial,'Liberation Sans',sans-serif;font-size:13px;line-height:1.5;text-align:left"
)
_CAPTION = "margin:8px 0 0;padding:0;color:#424a53;font-style:normal;font-size:13px;text-align:left"
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 24px auto; padding: 0 16px; max-width: {width}px; }}
</style>
</head>
<body>
<main>
{figures}
</main>
</body>
</html>
"""


class Figure:
    """A drawn figure with the sentence that says what it shows.

    Functions of `ntviz.plot` make it; a notebook shows it by ending a cell with it.

    Parameters
    ----------
    drawing
        The matplotlib figure, sized in inches of 96 CSS pixels, belonging to no pyplot state.
    title
        Heading of the figure and name of its group for assistive technology.
    alt
        What the figure shows, in words and numbers from the data.
    caption
        Text under the image; the title when empty.
    readout
        What the cursor reads; None for a figure without one.
    """

    def __init__(
        self, drawing: Drawing, *, title: str, alt: str, caption: str = "", readout: Cursor | None = None
    ) -> None:
        self.drawing = drawing
        self.title = title
        self.alt = alt
        self.caption = caption or title
        self.readout = readout
        self._png: dict[float, bytes] = {}
        FigureCanvasAgg(drawing)

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        # No image/png beside the HTML: a front end shows one of them, and only the HTML carries the alt text.
        return {"text/html": self.html(), "text/plain": self.alt}

    @property
    def width(self) -> int:
        """Width of the image on a page, in CSS pixels."""
        return round(float(self.drawing.get_figwidth()) * CSS_DPI)

    def png(self, *, scale: float = 2.0) -> bytes:
        """The image as PNG, with `scale` image pixels for each CSS pixel.

        Raises
        ------
        ValueError
            If the scale is not between 0.5 and 8.
        """
        if not 0.5 <= scale <= 8:
            raise ValueError(
                f"The scale of a PNG must be between 0.5 and 8 pixels per CSS pixel; received {scale}. "
                f"Use 2 for screens and 4 for print."
            )
        if scale not in self._png:
            buffer = BytesIO()
            metadata = {"Software": None, "Title": self.title, "Description": self.alt}
            self._render(buffer, "png", dpi=CSS_DPI * scale, metadata=metadata)
            self._png[scale] = buffer.getvalue()
        return self._png[scale]

    def svg(self) -> str:
        """The drawing as SVG text, with its letters as editable text."""
        buffer = BytesIO()
        self._render(
            buffer, "svg", dpi=CSS_DPI, metadata={"Date": None, "Creator": None, "Title": self.title}
        )
        return buffer.getvalue().decode("utf-8")

    def _render(
        self, buffer: BytesIO, kind: str, *, dpi: float, metadata: dict[str, str | None] | None
    ) -> None:
        with style(), warnings.catch_warnings():
            # A name from a file may hold any character; one that no font here draws becomes a box, not a warning.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            self.drawing.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)

    def html(self) -> str:
        """The figure as one self-contained HTML element: image, caption, and the cursor when it has a readout."""
        image = b64encode(self.png()).decode("ascii")
        parts = [
            f'<figure role="group" aria-label="{html.escape(self.title)}" data-ntviz="figure"'
            f' style="{_CARD.format(width=self.width + 34)}">',
            f'<img src="data:image/png;base64,{image}" alt="{html.escape(self.alt)}" width="{self.width}"'
            f' style="max-width:100%;height:auto;margin:0;background-color:#ffffff">',
            f'<figcaption style="{_CAPTION}">{html.escape(self.caption)}</figcaption>',
        ]
        if self.readout is not None:
            parts.append(f'<script type="{self.readout.kind}">{self.readout.json(self.title)}</script>')
            parts.append(f"<script>{cursor_script(self.readout.script)}</script>")
        parts.append("</figure>")
        return "\n".join(parts)

    def page(self) -> str:
        """A whole HTML document with this figure alone."""
        return _PAGE.format(title=html.escape(self.title), width=self.width + 34, figures=self.html())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the figure to a file whose ending chooses the format, and return its path.

        Parameters
        ----------
        path
            Ends in .png (2 pixels per CSS pixel), .html (a page that opens offline) or .svg. Missing folders are
            made. The file appears whole or not at all.

        Raises
        ------
        ValueError
            If the ending is none of the three.
        OSError
            If the file cannot be written; what was there before stays.
        """
        path = Path(path)
        kind = path.suffix.lower()
        if kind not in FORMATS:
            raise ValueError(
                f"A figure must be saved as one of {', '.join(FORMATS)}; received {path.name!r}. "
                f"Change the ending of the file name."
            )
        content = self.png() if kind == ".png" else (self.page() if kind == ".html" else self.svg()).encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{uuid4().hex}.part")
        try:
            part.write_bytes(content)
            part.replace(path)
        except OSError as error:
            raise OSError(
                error.errno,
                f"A figure must be written whole; writing {path.name} ended with '{error.strerror}', and nothing of it "
                f"is left. Free some space, or save it elsewhere",
                str(path),
            ) from error
        finally:
            # After a good end the name is gone already.
            part.unlink(missing_ok=True)
        return path


@cache
def cursor_script(name: str = "readout.js") -> str:
    """The script of a cursor, without its comments and indentation."""
    source = resources.files("ntviz.plot").joinpath(name).read_text(encoding="utf-8")
    lines = (line.strip() for line in source.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))
