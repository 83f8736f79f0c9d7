"""Numbers and names as people read them: in axis labels, alt sentences and the text inside a figure."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence


def number(value: float) -> str:
    """A number with three significant digits, thousands separators and a real minus sign.

    Examples
    --------
    >>> number(0.0123456), number(102e6), number(-0.5), number(0.00001)
    ('0.0123', '102,000,000', '−0.5', '1e−5')
    """
    if not math.isfinite(value):
        return "no value"
    size = abs(value)
    if size == 0:
        text = "0"
    elif size >= 1e15 or size < 1e-3:
        mantissa, exponent = f"{size:.2e}".split("e")
        text = f"{float(mantissa):g}e{int(exponent)}"
    elif size >= 100:
        text = f"{size:,.0f}"
    else:
        text = f"{size:.3g}"
    return (("−" if value < 0 else "") + text).replace("-", "−")


def length(bp: int) -> str:
    """A length in bp, kb or Mb.

    Examples
    --------
    >>> length(1), length(1500), length(20_000), length(3_000_000)
    ('1 bp', '1,500 bp', '20 kb', '3 Mb')
    """
    for unit, size in (("Mb", 1_000_000), ("kb", 1_000)):
        if bp >= size and bp % (size // 10) == 0 and (bp >= 10 * size or bp % size == 0):
            return f"{bp / size:g} {unit}"
    return f"{bp:,} bp"


def span(start: int, end: int) -> str:
    """A 0-based half-open span as people write it: 1-based, both ends included, with thousands separators.

    Examples
    --------
    >>> span(999, 2000), span(999, 1000)
    ('1,000–2,000', '1,000')
    """
    return f"{start + 1:,}" if end - start == 1 else f"{start + 1:,}–{end:,}"


def listing(names: Sequence[str], *, most: int = 4) -> str:
    """Names joined for a sentence, with the number of those left out.

    Examples
    --------
    >>> listing(["A", "B"]), listing(list("ABCDEF"), most=3)
    ('A and B', 'A, B, C and 3 more')
    """
    names = list(names)
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"


def plain(text: object, *, most: int = 60) -> str:
    """Text from data on one line, without control characters, cut to at most `most` characters with an ellipsis.

    Examples
    --------
    >>> plain("HNF4A" + chr(10) + "variant", most=9)
    'HNF4A va…'
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def escaped(text: object, *, most: int = 200) -> str:
    """Text from data as plotly shows it literally: on one line, markup as characters.

    Examples
    --------
    >>> escaped("<b>5′</b> & 3′")
    '&lt;b&gt;5′&lt;/b&gt; &amp; 3′'
    """
    return html.escape(plain(text, most=most), quote=False)


def text_width(text: str, size: float) -> float:
    """About the width of one line of text in pixels, at a type size in pixels: sans-serif letters on average.

    Examples
    --------
    >>> text_width("HNF4A", 10)
    29.0
    """
    return 0.58 * size * len(text)


def sentence(text: str) -> str:
    """Text that ends as a sentence does."""
    text = text.strip()
    return text if text.endswith((".", "?", "!")) else f"{text}."


_SPOKEN = {"five_prime_utr": "5′ UTR", "three_prime_utr": "3′ UTR", "cpg_island": "CpG island", "tss": "TSS"}


def element_name(name: object) -> str:
    """The name of an element as people read it.

    Examples
    --------
    >>> element_name("five_prime_utr"), element_name("splice_donor"), element_name("CTCF")
    ('5′ UTR', 'splice donor', 'CTCF')
    """
    text = plain(name, most=28)
    return _SPOKEN.get(text.lower(), text.replace("_", " "))
