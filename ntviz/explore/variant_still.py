"""A card that nobody has to run: HTML with its pictures inside, and the same as PNG or SVG."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntviz import environment, plot
from ntviz.explore import variant_words as words
from ntviz.explore.variant_card import Card
from ntviz.explore.variant_sheet import png, sheet, svg

ENDINGS = (".html", ".png", ".svg")


@dataclass(frozen=True)
class VariantStill:
    """The parts of a card, from top to bottom.

    Attributes
    ----------
    card
        What they are of.
    parts
        HTML of each part by name.
    figures
        Pictures by name of the part, those that there are.
    """

    card: Card
    parts: dict[str, str]
    figures: dict[str, plot.Figure]

    def __repr__(self) -> str:
        card = self.card
        said = [f"{card.name} by {card.bench.model.name}.", words.reference_said(card), *words.seen(card)]
        return " ".join(said)

    def html(self) -> str:
        """The card as one element, in the colours of the page around it."""
        label = html.escape(f"Variant {self.card.name}", quote=True)
        return (
            f'<section aria-label="{label}" data-ntviz="variant" style="max-width:900px;font-family:Helvetica,Arial,'
            "'Liberation Sans',sans-serif;font-size:13px;line-height:1.5;text-align:left\">\n"
            + "\n".join(part for part in self.parts.values() if part)
            + "\n</section>"
        )

    def page(self) -> str:
        """A whole HTML page that opens without a network."""
        return (
            '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
            f"<title>{html.escape(self.card.name)}</title><style>:root {{ color-scheme: light dark; }} "
            "body { margin: 24px auto; max-width: 900px; padding: 0 16px; }</style>"
            f"</head>\n<body>\n<main>\n{self.html()}\n</main>\n</body>\n</html>\n"
        )

    def save(self, path: Any) -> Path:
        """Writes the card, whole or not at all, in the format that the ending chooses.

        Raises
        ------
        ValueError
            The ending is none of .html, .png and .svg.
        """
        path = Path(path)
        kind = path.suffix.lower()
        if kind not in ENDINGS:
            raise ValueError(
                f"A card must be saved as one of {', '.join(ENDINGS)}; received {path.name!r}. Change the ending of the "
                "file name."
            )
        if kind == ".html":
            content = self.page().encode()
        else:
            drawn = [sheet(self.card), *self.figures.values()]
            content = png(drawn) if kind == ".png" else svg(drawn).encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        with environment.atomic_write(path) as part:
            part.write(content)
        return path

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/html": self.html(), "text/plain": repr(self)}
