"""PNG with a palette: a map of noise in a few hundred kilobytes, and an image whose colour numbers are its data.

Colours that are asked for stay exactly as they are and come first in the palette, in their order; the rest (letters,
lines and their soft edges) share what is left of the 256.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO

import numpy as np
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure as Drawing

from ntviz.plot.cells import Cells
from ntviz.plot.figure import Figure
from ntviz.plot.readout import Cursor


class IndexedFigure(Figure):
    """A figure whose PNG has a palette.

    Parameters
    ----------
    drawing, title, alt, caption, readout
        As of a `Figure`.
    keep
        [colour, 3] uint8 that come first in the palette, exactly.
    most
        Characters of HTML that the image and the values of the cursor may take together; None for no limit. What the
        image leaves, the values get.
    """

    def __init__(
        self,
        drawing: Drawing,
        *,
        title: str,
        alt: str,
        caption: str = "",
        readout: Cursor | None = None,
        keep: np.ndarray,
        most: int | None = None,
    ) -> None:
        super().__init__(drawing, title=title, alt=alt, caption=caption, readout=readout)
        self.keep = keep
        self.most = most

    def html(self) -> str:
        """The figure as one self-contained HTML element, as `Figure.html`."""
        if self.most is not None and isinstance(self.readout, Cells):
            left = self.most - len(self.png()) * 4 // 3
            self.readout = replace(self.readout, most=max(left, 100_000))
        return super().html()

    def _render(
        self, buffer: BytesIO, kind: str, *, dpi: float, metadata: dict[str, str | None] | None
    ) -> None:
        if kind != "png":
            super()._render(buffer, kind, dpi=dpi, metadata=metadata)
            return
        raw = BytesIO()
        super()._render(raw, "rgba", dpi=dpi, metadata=None)
        width = int(float(self.drawing.get_figwidth()) * dpi)
        pixels = np.frombuffer(raw.getbuffer(), dtype=np.uint8).reshape(-1, width, 4)[:, :, :3]
        texts = {name: text for name, text in (metadata or {}).items() if text is not None}
        buffer.write(indexed_png(pixels, keep=self.keep, texts=texts))


def stepped(colours: Colormap, n: int) -> ListedColormap:
    """A colour map in `n` steps, whose colours a PNG can hold exactly."""
    # A quarter above a whole number is that number, whether a renderer rounds or cuts.
    levels = np.rint(np.asarray(colours(np.linspace(0, 1, n)))[:, :3] * 255)
    return ListedColormap(np.minimum((levels + 0.25) / 255, 1.0), name=f"{colours.name}_{n}")


def palette_of(colours: Colormap) -> np.ndarray:
    """[colour, 3] uint8 of a stepped colour map, as Agg draws them."""
    return np.rint(np.asarray(colours(np.arange(colours.N)))[:, :3] * 255).astype(np.uint8)


def indexed_png(pixels: np.ndarray, *, keep: np.ndarray, texts: Mapping[str, str] | None = None) -> bytes:
    r"""A PNG of pixels [y, x, 3] uint8 in at most 256 colours, of which `keep` [colour, 3] stay exact and come first.

    Examples
    --------
    >>> white = np.full((2, 3, 3), 255, np.uint8)
    >>> indexed_png(white, keep=np.zeros((1, 3), np.uint8))[:4]
    b'\x89PNG'
    """
    palette, numbers = reduced(pixels, keep)
    height, width = numbers.shape
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))]
    for name, text in (texts or {}).items():
        keyword = name.encode("latin-1", "replace")[:79]
        chunks.append((b"iTXt", keyword + b"\0\0\0\0\0" + text.encode("utf-8")))
    chunks.append((b"PLTE", palette.tobytes()))
    chunks.append((b"IDAT", zlib.compress(filtered(numbers), 9)))
    chunks.append((b"IEND", b""))
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in chunks:
        parts += [struct.pack(">I", len(body)), kind, body, struct.pack(">I", zlib.crc32(kind + body))]
    return b"".join(parts)


def filtered(numbers: np.ndarray) -> bytes:
    """Rows as PNG wants them, each after its filter: a row like the one above becomes zeros, others stay."""
    height, width = numbers.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)
    rows[:, 1:] = numbers
    same = np.zeros(height, dtype=bool)
    same[1:] = (numbers[1:] == numbers[:-1]).all(axis=1)
    rows[same, 0] = 2
    rows[same, 1:] = 0
    return rows.tobytes()


def reduced(pixels: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Palette [colour, 3] of at most 256, and the number of each pixel's colour in it [y, x].

    The most frequent colours stay exact; those beyond the palette are merged with their neighbours.
    """
    weights = np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    codes = np.asarray(pixels, dtype=np.uint32) @ weights
    kept = np.asarray(keep, dtype=np.uint32) @ weights
    seen = np.zeros(1 << 24, dtype=bool)
    seen[codes.ravel()] = True
    seen[kept] = False
    others = np.flatnonzero(seen)
    numbers = np.zeros(1 << 24, dtype=np.int32)
    numbers[others] = np.arange(1, len(others) + 1)
    counts = np.bincount(numbers[codes.ravel()], minlength=len(others) + 1)[1:]
    # Frequent colours (paper, ink, flat areas) stay; the soft edges of letters share the rest.
    room = 256 - len(keep)
    order = np.argsort(-counts, kind="stable")
    exact = order if len(others) <= room else order[: room // 2]
    chosen, group = others[exact], np.zeros(len(others), dtype=np.int64)
    group[exact] = np.arange(len(exact))
    rest = np.sort(order[len(exact) :])
    for bits in range(1, 9):
        rounded = (others[rest][:, None] >> np.array([16, 8, 0]) & 255) >> bits
        _, cell = np.unique(rounded @ weights, return_inverse=True)
        if len(exact) + int(cell.max(initial=-1)) < room:
            break
    if rest.size:
        # The most frequent colour of each group stands for it.
        rare = rest[np.argsort(counts[rest], kind="stable")]
        stands = np.zeros(int(cell.max()) + 1, dtype=others.dtype)
        stands[cell[np.searchsorted(rest, rare)]] = others[rare]
        group[rest] = len(exact) + cell
        chosen = np.concatenate([chosen, stands])
    table = np.zeros(1 << 24, dtype=np.uint8)
    table[others] = len(keep) + group
    # Of equal colours that are kept, the first number counts.
    table[kept[::-1]] = np.arange(len(keep), dtype=np.uint8)[::-1]
    extra = np.stack([chosen >> 16 & 255, chosen >> 8 & 255, chosen & 255], axis=1)
    palette = np.concatenate([np.asarray(keep, np.uint8), extra.astype(np.uint8)])
    return palette, table[codes]
