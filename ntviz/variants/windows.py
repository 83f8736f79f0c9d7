"""Where the model reads: windows of constant length around a token, moved off the ends of contigs and off N."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ntviz.genome import Interval
from ntviz.reference import Reference

_BLOCK = 1 << 18  # bp fetched at once
_KEPT = 4  # blocks


class Window(NamedTuple):
    """A window of whole tokens on a contig: `bases[margin : margin + length]`, the first at `start`, 0-based.

    On the left there are `margin` bp more, on the right there may be fewer. `moved` bp it lies to the right of where the
    token would be in its middle, negative to the left.
    """

    start: int
    bases: str
    margin: int
    length: int
    moved: int


class Contig:
    """Bases of one contig, under any alias, fetched in blocks that are kept; a ValueError where there is no such contig."""

    def __init__(self, reference: Reference, name: str) -> None:
        self._reference = reference
        self._name = name
        self.length = len(reference.whole(name))
        self._block = lru_cache(_KEPT)(self._fetch)

    def bases(self, start: int, end: int) -> str:
        """Upper-case bases of [start, end), 0-based half-open, clipped to the contig."""
        start, end = max(start, 0), min(end, self.length)
        if start >= end:
            return ""
        first, last = start // _BLOCK, (end - 1) // _BLOCK
        text = "".join(self._block(number) for number in range(first, last + 1))
        return text[start - first * _BLOCK : end - first * _BLOCK]

    def _fetch(self, block: int) -> str:
        start = block * _BLOCK
        return self._reference.fetch(Interval(self._name, start, min(start + _BLOCK, self.length))).sequence

    def window(
        self, token: int, k: int, tokens: int, margin: int = 0, keep: tuple[int, int] | None = None
    ) -> Window | None:
        r"""The window of `tokens` tokens of k bp, one of which starts at `token`: in the middle, or as near as can be.

        A contig that is shorter than the window is read whole, as far as it holds whole tokens. N are walls as the
        ends of the contig are: the window lies between them, and is None where it does not fit.

        Parameters
        ----------
        token, margin
            0-based first base of a token; bp wanted on both sides of the window, else on its right, its left, or none.
        keep
            Bases [start, end) that must be in it; those of the token if None.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> fasta = pathlib.Path(tempfile.mkdtemp()) / "toy.fa"
        >>> _ = fasta.write_text(">1\nNNACGTACGTACGT\n")
        >>> contig = Contig(Reference(fasta), "1")
        >>> contig.window(2, k=3, tokens=3)
        Window(start=2, bases='ACGTACGTA', margin=0, length=9, moved=3)
        """
        length = tokens * k
        wanted = token - tokens // 2 * k
        first, last = (token, token + k) if keep is None else keep
        if token < 0 or token + k > self.length:
            return None
        low, around = self._between_walls(token, k, length + margin)
        high = low + len(around)
        if not low <= token <= high - k:
            return None

        def up(place: int) -> int:
            return token + -((token - place) // k) * k

        def down(place: int) -> int:
            return token + (place - token) // k * k

        # The window keeps the token's frame: it begins whole tokens away from it, between these two.
        least, most = up(max(low, last - length)), down(min(high - length, first))
        if least > most:
            if low > 0 or high < self.length:
                return None
            return self._short(around, first, last, margin, wanted, k, up(0))
        left, right = max(least, up(low + margin)), min(most, down(high - length - margin))
        for begin, end in ((left, right), (least, right), (left, most), (least, most)):
            if begin <= end:
                return _cut(around, low, min(max(wanted, begin), end), length, margin, wanted)
        return None

    def _between_walls(self, token: int, k: int, reach: int) -> tuple[int, str]:
        """Where the bases begin that have no N between them and the token, and these bases, `reach` bp to each side."""
        low = max(0, token - reach)
        around = self.bases(low, token + k + reach)
        at = token - low
        if "N" not in around:
            return low, around
        if "N" in around[at : at + k]:
            return token, ""
        right = around.find("N", at + k)
        around = around[: len(around) if right < 0 else right]
        left = around.rfind("N", 0, at) + 1
        return low + left, around[left:]

    def _short(
        self, around: str, first: int, last: int, margin: int, wanted: int, k: int, begin: int
    ) -> Window | None:
        """A window of a whole contig without N that is too short for a full one, with a margin on one side."""
        for start, end in (
            (begin, self.length - margin),
            (begin + -(-max(margin - begin, 0) // k) * k, self.length),
        ):
            length = (end - start) // k * k
            if start <= first and last <= start + length:
                return _cut(around, 0, start, length, margin, wanted)
        return None


def _cut(around: str, low: int, start: int, length: int, margin: int, wanted: int) -> Window:
    left = max(start - margin, low)
    return Window(
        start, around[left - low : start + length + margin - low], start - left, length, start - wanted
    )
