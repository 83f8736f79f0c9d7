"""A card as one image: its words and scores drawn, and the pictures below, as PNG or SVG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Drawing
from matplotlib.image import imread, imsave

from ntviz import plot
from ntviz.explore import variant_words as words
from ntviz.explore.variant_card import Card
from ntviz.explore.variant_figures import WIDTH
from ntviz.plot import palette
from ntviz.plot.words import number, plain, wrapped

_LINE, _SIDE = 0.19, 0.16
_COLUMNS = {"score": 0.0, "value": 1.55, "forward": 2.4, "reverse": 3.25, "gap": 4.1}
_NAMED = {"gap": "fwd − rev"}


def sheet(card: Card) -> plot.Figure:
    """The words and the scores of a card as a figure."""
    title = f"{plain(card.name)} by {plain(card.bench.model.name)}"
    said = [words.place(card), words.reference_said(card), *words.located(card)]
    if card.scored:
        said += [" ".join(words.seen(card)), words.limits(card)]
    lines = [line for text in said for line in [*wrapped(text, WIDTH - 2 * _SIDE, 9.0), ""]]
    rows = card.table().to_dict("records") if card.scored else []
    height = 0.5 + _LINE * (len(lines) + (len(rows) + 2 if rows else 0))
    with palette.style():
        drawing = Drawing(figsize=(WIDTH, height))

        def write(x: float, y: float, text: str, **style: Any) -> None:
            drawing.text((_SIDE + x) / WIDTH, 1 - y / height, text, va="top", **style)

        write(0, 0.12, title, fontsize=13, fontweight="bold")
        y = 0.42
        for line in lines:
            write(0, y, line, fontsize=9)
            y += _LINE if line else _LINE / 2
        if rows:
            end = _COLUMNS["gap"] + 0.15
            for name, x in _COLUMNS.items():
                write(
                    x,
                    y,
                    _NAMED.get(name, name),
                    fontsize=9,
                    fontweight="bold",
                    ha="left" if not x else "right",
                )
            write(end, y, "unit, reading", fontsize=9, fontweight="bold")
            for row in rows:
                y += _LINE
                for name, x in _COLUMNS.items():
                    value = row[name]
                    text = value if isinstance(value, str) else number(value) if np.isfinite(value) else "–"
                    write(x, y, text, fontsize=9, ha="left" if not x else "right")
                write(
                    end,
                    y,
                    plain(f"{row['unit']}; {row['direction']}", most=64),
                    fontsize=8,
                    color=palette.MUTED,
                )
    return plot.Figure(drawing, title=title, alt=" ".join([f"{title}.", *said]))


def png(figures: Sequence[plot.Figure], *, scale: float = 2.0) -> bytes:
    """Figures, one above the other."""
    images = [imread(BytesIO(figure.png(scale=scale)))[..., :3] for figure in figures]
    width = max(image.shape[1] for image in images)
    padded = [
        np.pad(image, ((0, 0), (0, width - image.shape[1]), (0, 0)), constant_values=1.0) for image in images
    ]
    out = BytesIO()
    imsave(out, (np.concatenate(padded) * 255).round().astype(np.uint8), format="png")
    return out.getvalue()


def svg(figures: Sequence[plot.Figure]) -> str:
    """The same as one SVG whose letters are text."""
    parts, top = [], 0.0
    for index, figure in enumerate(figures):
        width, tall = (float(side) * palette.CSS_DPI for side in figure.drawing.get_size_inches())
        text = figure.svg()
        body = text[text.index("<svg") :]
        # Names of clips and outlines must be one figure's own.
        body = re.sub(r'\bid="', f'id="p{index}-', body)
        body = re.sub(r"url\(#", f"url(#p{index}-", body)
        body = re.sub(r'href="#', f'href="#p{index}-', body)
        body = re.sub(
            r'<svg[^>]*?viewBox="([^"]*)"[^>]*>',
            rf'<svg x="0" y="{top:g}" width="{width:g}" height="{tall:g}" viewBox="\1">',
            body,
            count=1,
        )
        parts.append(body)
        top += tall
    wide = max(float(figure.drawing.get_figwidth()) * palette.CSS_DPI for figure in figures)
    return (
        '<?xml version="1.0" encoding="utf-8" standalone="no"?>\n<svg xmlns="http://www.w3.org/2000/svg" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink" width="{wide:g}" height="{top:g}" viewBox="0 0 {wide:g} {top:g}">\n'
        f'<rect width="100%" height="100%" fill="{palette.PAPER}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
