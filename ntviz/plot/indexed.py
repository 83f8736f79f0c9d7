"""PNG with a palette: a map of noise in a few hundred kilobytes, and an image whose colour numbers are its data.

Colours that are asked for stay exactly as they are and come first in the palette, in their order; the rest (letters,
lines and their soft edges) share what is left of the 256.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from io import BytesIO

import numpy as np
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure as Drawing

from ntviz.plot.figure import Figure
from ntviz.plot.readout import Cursor


class IndexedFigure(Figure):
    """A figure whose PNG has a palette; `keep` [colour, 3] uint8 come first in it."""

    def __init__(
        self,
        drawing: Drawing,
        *,
        title: str,
        alt: str,
        caption: str = "",
        readout: Cursor | None = None,
        keep: np.ndarray,
    ) -> None:
        super().__init__(drawing, title=title, alt=alt, caption=caption, readout=readout)
        self.keep = keep

    def _render(self, buffer: BytesIO, kind: str, *, dpi: float, metadata: dict[str, str | None]) -> None:
        if kind != "png":
            super()._render(buffer, kind, dpi=dpi, metadata=metadata)
            return
        raw = BytesIO()
        super()._render(raw, "rgba", dpi=dpi, metadata={})
        width = int(float(self.drawing.get_figwidth()) * dpi)
        pixels = np.frombuffer(raw.getbuffer(), dtype=np.uint8).reshape(-1, width, 4)[:, :, :3]
        texts = {name: text for name, text in metadata.items() if text is not None}
        buffer.write(indexed_png(pixels, keep=self.keep, texts=texts))


def stepped(colours: Colormap, n: int) -> ListedColormap:
    """A colour map in `n` steps, whose colours a PNG can hold exactly."""
    return ListedColormap(colours(np.linspace(0, 1, n)), name=f"{colours.name}_{n}")


def palette_of(colours: Colormap) -> np.ndarray:
    """[colour, 3] uint8 of a stepped colour map, as Agg draws them."""
    return np.asarray(colours(np.arange(colours.N), bytes=True))[:, :3]


def indexed_png(pixels: np.ndarray, *, keep: np.ndarray, texts: Mapping[str, str] | None = None) -> bytes:
    """A PNG of pixels [y, x, 3] uint8 in at most 256 colours, of which `keep` [colour, 3] stay exact and come first.

    Examples
    --------
    >>> white = np.full((2, 3, 3), 255, np.uint8)
    >>> indexed_png(white, keep=np.zeros((1, 3), np.uint8))[:4]
    b'\\x89PNG'
    """
    palette, numbers = reduced(pixels, keep)
    height, width = numbers.shape
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))]
    for name, text in (texts or {}).items():
        keyword = name.encode("latin-1", "replace")[:79]
        chunks.append((b"iTXt", keyword + b"\0\0\0\0\0" + text.encode("utf-8")))
    chunks.append((b"PLTE", palette.tobytes()))
    chunks.append((b"IDAT", zlib.compress(_filtered(numbers), 9)))
    chunks.append((b"IEND", b""))
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in chunks:
        parts += [struct.pack(">I", len(body)), kind, body, struct.pack(">I", zlib.crc32(kind + body))]
    return b"".join(parts)


def _filtered(numbers: np.ndarray) -> bytes:
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

    Colours beyond the palette are merged with their neighbours; of each group the most frequent one stays, so that
    paper, ink and flat colours keep theirs.
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
    room = 256 - len(keep)
    chosen, group = others, np.arange(len(others))
    for bits in range(1, 9):
        if len(chosen) <= room:
            break
        rounded = (others[:, None] >> np.array([16, 8, 0]) & 255) >> bits
        _, group = np.unique(rounded @ weights, return_inverse=True)
        # The most frequent colour of each group stands for it.
        order = np.argsort(counts, kind="stable")
        chosen = np.zeros(int(group.max(initial=-1)) + 1, dtype=others.dtype)
        chosen[group[order]] = others[order]
    table = np.zeros(1 << 24, dtype=np.uint8)
    table[others] = len(keep) + group
    # Of equal colours that are kept, the first number counts.
    table[kept[::-1]] = np.arange(len(keep), dtype=np.uint8)[::-1]
    extra = np.stack([chosen >> 16 & 255, chosen >> 8 & 255, chosen & 255], axis=1)
    palette = np.concatenate([np.asarray(keep, np.uint8), extra.astype(np.uint8)])
    return palette, table[codes]
