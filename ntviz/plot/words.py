"""Numbers and names as people read them: in axis labels, alt sentences and the text inside a figure."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

_SPOKEN = {"five_prime_utr": "5′ UTR", "three_prime_utr": "3′ UTR", "cpg_island": "CpG island", "tss": "TSS"}


def number(value: float) -> str:
    """A number with three significant digits, thousands separators and a real minus sign."""
    if not math.isfinite(value):
        return "no value"
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-3:
        mantissa, exponent = f"{size:.2e}".split("e")
        text = f"{float(mantissa):g}e{int(exponent)}"
    else:
        text = f"{size:,.0f}" if size >= 100 else f"{size:.3g}"
    return f"{'-' if value < 0 else ''}{text}".replace("-", "−")


def span(start: int, end: int) -> str:
    """A 0-based half-open span as people write it, 1-based with both ends: 1,000–2,000, or 1,000 for one base."""
    return f"{start + 1:,}" if end - start == 1 else f"{start + 1:,}–{end:,}"


def listing(names: Sequence[str], *, most: int = 4) -> str:
    """Names joined for a sentence, with the number of those left out: A, B, C and 3 more."""
    shown = [*names[:most], f"{len(names) - most:,} more"] if len(names) > most else list(names)
    *before, last = shown or ["none"]
    return f"{', '.join(before)} and {last}" if before else last


def plain(text: object, *, most: int = 60) -> str:
    """Text from data on one line, without control characters, cut to at most `most` characters with an ellipsis."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def escaped(text: object, *, most: int = 200) -> str:
    """Text from data as plotly shows it literally: on one line, markup as characters."""
    return html.escape(plain(text, most=most), quote=False)


def text_width(text: str, size: float) -> float:
    """About the width of one line of sans-serif text in pixels, at a type size in pixels."""
    return 0.58 * size * len(text)


def sentence(text: str) -> str:
    """Text that ends as a sentence does."""
    text = text.strip()
    return text if text.endswith((".", "?", "!")) else f"{text}."


def element_name(name: object) -> str:
    """The name of an element as people read it, such as 5′ UTR for five_prime_utr."""
    text = plain(name, most=28)
    return _SPOKEN.get(text.lower(), text.replace("_", " "))
