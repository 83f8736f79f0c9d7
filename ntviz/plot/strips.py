"""`token_strip`: a short sequence, base by base, and the tokens that a vocabulary cuts it into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import FancyBboxPatch, Rectangle

from ntviz.genome import Interval
from ntviz.plot import palette
from ntviz.plot.figure import Figure
from ntviz.plot.readout import Lane, Readout
from ntviz.plot.words import number, plain, sentence, text_width, wrapped
from ntviz.tokens import Tokens

MOST_BASES = 240
"""bp of a sequence at most: a strip is for reading every letter."""

_BASE, _TOKEN, _GAP, _LINE = 0.27, 0.34, 0.09, 0.3
_LEFT = 0.2


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the strip: bases `start` to `end`, its top in inches."""

    start: int
    end: int
    top: float


def token_strip(
    tokens: Tokens | Mapping[str, Tokens],
    *,
    title: str,
    interval: Interval | None = None,
    caption: str = "",
    bases_per_line: int = 36,
) -> Figure:
    """A figure of a short sequence above its tokens, each with its text and its id.

    Parameters
    ----------
    tokens
        A tokenized sequence of at most 240 bp; or several tokenizations of the same sequence, by name, drawn beneath
        each other (other vocabularies, or the same one in another phase).
    title
        Says what the figure shows.
    interval
        Where the sequence lies on the genome; bases are then numbered by their 1-based position, else from 1.
    caption
        Text under the figure; the title when empty.
    bases_per_line
        At which the strip wraps. A token is never split: what crosses the end of a line is drawn in two parts that
        say so.

    Raises
    ------
    ValueError
        If the sequence is too long, the tokenizations are not of one sequence, or the interval has another length.

    Examples
    --------
    >>> from ntviz.tokens import Tokenizer
    >>> print(token_strip(Tokenizer("nt-v1")("ATTCCGNA"), title="A toy sequence"))
    A toy sequence. 8 bases. nt-v1: 4 tokens, <cls> first, of 6 and 2 × 1 bp; 1 N.
    """
    named = dict(tokens) if isinstance(tokens, Mapping) else {tokens.vocabulary.name: tokens}
    _check(named, interval, bases_per_line)
    sequence = next(iter(named.values())).sequence
    title = plain(title, most=200)
    column = 0.24
    # Lines of equal length, in whole 6-mers where they fit.
    even = -(-len(sequence) // -(-len(sequence) // bases_per_line))
    per_line = min(max(-(-even // 6) * 6, 16), bases_per_line)
    special = max(
        (text_width(text, 8) + 0.16 for entry in named.values() for text in _specials(entry)), default=0.0
    )
    names = [plain(name, most=28) for name in named]
    margin = (
        _LEFT
        + (max(text_width(name, 8.5, weight="bold") for name in names) + 0.12)
        + (special + 0.06 if special else 0)
    )
    width = max(margin + per_line * column + 0.25, 4.6)
    lines_title = wrapped(title, width - 0.3, 13.0, weight="bold")
    top = 0.14 + 0.24 * len(lines_title) + 0.42
    each = _BASE + len(named) * (_TOKEN + _GAP) + _LINE
    lines = [
        _Line(start, min(start + per_line, len(sequence)), top + index * each)
        for index, start in enumerate(range(0, len(sequence), per_line))
    ]
    legend = _legend(named)
    height = top + len(lines) * each - _LINE + (0.42 if legend else 0.16)
    with palette.style():
        drawing = Drawing(figsize=(width, height))
        ax = drawing.add_axes((0, 0, 1, 1), label="strip")
        ax.set_axis_off()
        ax.set_xlim(0, width)
        ax.set_ylim(height, 0)
        for index, line in enumerate(lines_title):
            ax.text(0.14, 0.14 + 0.24 * index + 0.17, line, fontsize=13, fontweight="bold", gid="title")
        for line in lines:
            _bases(ax, sequence, line, margin, column, interval)
            for row, (name, entry) in enumerate(zip(names, named.values(), strict=True)):
                y = line.top + _BASE + _GAP / 2 + row * (_TOKEN + _GAP)
                ax.text(
                    _LEFT - 0.06,
                    y + _TOKEN / 2,
                    name,
                    va="center",
                    fontsize=8.5,
                    fontweight="bold",
                    gid="row",
                )
                _tokens(ax, entry, line, margin, column, y, special if line.start == 0 else 0.0)
        if legend:
            ax.text(
                _LEFT - 0.06,
                height - 0.14,
                legend,
                va="center",
                fontsize=8,
                color=palette.MUTED,
                gid="legend",
            )
    boxes = [
        (
            (margin + (base - line.start) * column) / width,
            (line.top - 0.02) / height,
            (margin + (base - line.start + 1) * column) / width,
            (line.top + each - _LINE) / height,
        )
        for line in lines
        for base in range(line.start, line.end)
    ]
    return Figure(
        drawing,
        title=title,
        alt=_said(title, named, interval),
        caption=caption,
        readout=_readout(named, sequence, interval, boxes),
    )


def _check(named: Mapping[str, Tokens], interval: Interval | None, bases_per_line: int) -> None:
    if not named:
        raise ValueError(
            "A token strip must have at least one tokenization; received none. Pass Tokenizer(...)(sequence)."
        )
    sequences = {entry.sequence for entry in named.values()}
    if len(sequences) > 1:
        lengths = ", ".join(f"{plain(name)}: {len(entry.sequence):,} bp" for name, entry in named.items())
        raise ValueError(
            f"The tokenizations of one strip must be of one sequence; received {len(sequences)} ({lengths}). "
            f"Draw each in a strip of its own."
        )
    n = len(next(iter(sequences)))
    if not 1 <= n <= MOST_BASES:
        raise ValueError(
            f"The sequence of a token strip must be 1 to {MOST_BASES} bp; received {n:,} bp. Pass a shorter piece: "
            f"a strip is for reading every letter."
        )
    if interval is not None and len(interval) != n:
        raise ValueError(
            f"The interval must be as long as the sequence, {n:,} bp; received {interval.label()} with "
            f"{len(interval):,} bp. Pass the interval that the sequence was fetched for."
        )
    if not 8 <= bases_per_line <= 80:
        raise ValueError(f"A line must hold 8 to 80 bases; received {bases_per_line}. 36 fit a page.")


def _legend(named: Mapping[str, Tokens]) -> str:
    said = ["Number in a box: token id"]
    singles = any(bool((~t.is_special & ~t.is_kmer & ~t.is_n).any()) for t in named.values())
    if singles:
        said.append("dashed: a single base outside the k-mer frame")
    if any(bool(entry.is_n.any()) for entry in named.values()):
        said.append("orange: N")
    return "   ·   ".join(said)


def _specials(entry: Tokens) -> list[str]:
    return [text for text, special in zip(entry.strings, entry.is_special.tolist(), strict=True) if special]


def _position(base: int, interval: Interval | None) -> int:
    """1-based position of a base of the sequence."""
    if interval is None:
        return base + 1
    return interval.end - base if interval.strand == "-" else interval.start + base + 1


def _bases(
    ax: Axes, sequence: str, line: _Line, margin: float, column: float, interval: Interval | None
) -> None:
    for base in range(line.start, line.end):
        x = margin + (base - line.start) * column
        letter = sequence[base]
        colour = palette.BASE_COLOURS[letter]
        tile = Rectangle(
            (x + 0.01, line.top), column - 0.02, _BASE - 0.05, facecolor=colour, alpha=0.16, linewidth=0
        )
        foot = Rectangle(
            (x + 0.01, line.top + _BASE - 0.06), column - 0.02, 0.03, facecolor=colour, linewidth=0
        )
        ax.add_patch(tile)
        ax.add_patch(foot)
        ax.text(
            x + column / 2,
            line.top + (_BASE - 0.055) / 2,
            letter,
            ha="center",
            va="center",
            fontsize=10,
            fontweight="bold",
            color=palette.INK,
            gid="base",
        )
    for base in range(line.start, line.end):
        text = f"{_position(base, interval):,}"
        # The first base of a line is numbered, and every tenth position that its label leaves room for.
        away = (base - line.start) * column
        if base == line.start or (_position(base, interval) % 10 == 0 and away > text_width(text, 7.5) + 0.1):
            x = margin + (base - line.start + 0.5) * column
            ax.text(
                x,
                line.top - 0.05,
                text,
                ha="center",
                va="bottom",
                fontsize=7.5,
                color=palette.MUTED,
                gid="position",
            )


def _tokens(
    ax: Axes, entry: Tokens, line: _Line, margin: float, column: float, y: float, special: float
) -> None:
    def box(left: float, right: float, *, tint: str, edge: str, dashed: bool = False) -> None:
        ax.add_patch(
            FancyBboxPatch(
                (left + 0.02, y + 0.02),
                right - left - 0.04,
                _TOKEN - 0.04,
                boxstyle="round,pad=0,rounding_size=0.045",
                facecolor=tint,
                edgecolor=edge,
                linewidth=0.9,
                linestyle=(0, (2, 1.4)) if dashed else "-",
                gid="token",
            )
        )

    spans, ids = entry.spans.tolist(), entry.ids.tolist()
    placed = 0
    for (start, end), text, token, is_special in zip(
        spans, entry.strings, ids, entry.is_special.tolist(), strict=True
    ):
        if is_special:
            if special and not placed:
                box(margin - special - 0.04, margin - 0.04, tint=palette.CONTROL_PAPER, edge=palette.CONTROL)
                middle = margin - special / 2 - 0.04
                ax.text(middle, y + 0.13, text, ha="center", va="center", fontsize=8, gid="token text")
                _id(ax, middle, y, token)
                placed = 1
            continue
        first, last = max(start, line.start), min(end, line.end)
        if first >= last:
            continue
        left, right = margin + (first - line.start) * column, margin + (last - line.start) * column
        single = end - start == 1 and entry.vocabulary.k > 1
        unknown = set(entry.sequence[start:end]) - set("ACGT")
        tint = "#FFF3DC" if unknown else ("#EEF1F4" if single else "#E3EDF7")
        edge = palette.BASE_COLOURS["G"] if unknown else (palette.CONTROL if single else palette.ACCENT)
        box(left, right, tint=tint, edge=edge, dashed=single)
        split = first > start or last < end
        shown = f"{'…' if first > start else ''}{entry.sequence[first:last] if split else text}{'…' if last < end else ''}"
        if first == start or last - first >= end - last:
            ax.text(
                (left + right) / 2,
                y + 0.13,
                shown,
                ha="center",
                va="center",
                fontsize=8 if text_width(shown, 8) < right - left - 0.02 else 6.5,
                gid="token text",
            )
            _id(ax, (left + right) / 2, y, token, narrow=right - left < 0.3)
        else:
            ax.text(
                (left + right) / 2, y + 0.13, shown, ha="center", va="center", fontsize=8, gid="token text"
            )


def _id(ax: Axes, x: float, y: float, token: int, *, narrow: bool = False) -> None:
    size = 5.4 if narrow and token > 999 else 6.5
    ax.text(
        x, y + 0.255, str(token), ha="center", va="center", fontsize=size, color=palette.MUTED, gid="token id"
    )


def _said(title: str, named: Mapping[str, Tokens], interval: Interval | None) -> str:
    n = len(next(iter(named.values())).sequence)
    where = f" of {plain(interval.label())}" if interval is not None else ""
    said = [sentence(title), f"{number(n)} base{'s' if n != 1 else ''}{where}."]
    for name, entry in named.items():
        sizes = [
            end - start
            for (start, end), s in zip(entry.spans.tolist(), entry.is_special.tolist(), strict=True)
            if not s
        ]
        specials = _specials(entry)
        lead = f", {specials[0]} first" if specials else ""
        unknown = entry.sequence.count("N")
        tail = f"; {unknown:,} N" if unknown else ""
        said.append(f"{plain(name)}: {len(entry)} tokens{lead}, of {_runs(sizes)} bp{tail}.")
    return " ".join(said)


def _runs(sizes: list[int]) -> str:
    """Sizes of tokens in order, with repeats counted."""
    runs = [(size, len(list(same))) for size, same in groupby(sizes)]
    parts = [f"{size}" if count == 1 else f"{count} × {size}" for size, count in runs]
    if len(parts) > 8:
        parts = [*parts[:8], f"{len(parts) - 8} further runs"]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _readout(
    named: Mapping[str, Tokens],
    sequence: str,
    interval: Interval | None,
    boxes: list[tuple[float, float, float, float]],
) -> Readout:
    place = "base" if interval is None else plain(interval.chrom) + ":"
    heads = [
        f"{place}{' ' if interval is None else ''}{_position(base, interval):,} {letter}"
        for base, letter in enumerate(sequence)
    ]
    lanes = []
    for name, entry in named.items():
        runs = []
        for index, ((start, end), text) in enumerate(zip(entry.spans.tolist(), entry.strings, strict=True)):
            if start < end:
                runs.append((start, end, f"token {index}, {text}, id {int(entry.ids[index])}"))
        lanes.append(Lane(plain(name), runs=runs))
    return Readout(len(sequence), lanes, heads=heads, boxes=boxes, start=0)
