"""Where the model reads: windows of constant length around a token, moved off the ends of contigs and off N."""

from __future__ import annotations

from copy import copy
from functools import lru_cache
from typing import NamedTuple

from ntviz.genome import Interval
from ntviz.reference import Reference

_BLOCK = 1 << 18  # bp fetched at once
_KEPT = 4  # blocks


class Window(NamedTuple):
    """A window of whole tokens on a contig: `bases[margin : margin + length]`, the first at `start`, 0-based.

    There are `margin` bp more on the left, and perhaps some on the right. `moved` is how far it lies to the right of where the
    token would be in its middle, in bp, negative to the left.
    """

    start: int
    bases: str
    margin: int
    length: int
    moved: int

    @property
    def inside(self) -> str:
        """Bases of the window alone."""
        return self.bases[self.margin : self.margin + self.length]


class Contig:
    """Bases of one contig, under any alias, fetched in blocks that are kept; a ValueError where there is no such contig."""

    def __init__(self, reference: Reference, name: str) -> None:
        self._reference, self._name = reference, name
        self.length = len(reference.whole(name))
        self._block = lru_cache(_KEPT)(self._fetch)
        self._put = 0, ""

    def bases(self, start: int, end: int) -> str:
        """Upper-case bases of [start, end), 0-based half-open, clipped to the contig."""
        start, end = max(start, 0), min(end, self.length)
        if start >= end:
            return ""
        first, last = start // _BLOCK, (end - 1) // _BLOCK
        text = "".join(self._block(number) for number in range(first, last + 1))
        text = text[start - first * _BLOCK : end - first * _BLOCK]
        at, put = self._put
        low, high = max(at, start), min(at + len(put), end)
        return text if low >= high else text[: low - start] + put[low - at : high - at] + text[high - start :]

    def _fetch(self, block: int) -> str:
        start = block * _BLOCK
        return self._reference.fetch(Interval(self._name, start, min(start + _BLOCK, self.length))).sequence

    def with_bases(self, start: int, bases: str) -> Contig:
        """The same contig with other bases from `start` on."""
        other = copy(self)
        other._put = start, bases
        return other

    def window(
        self, token: int, k: int, tokens: int, margin: int = 0, keep: tuple[int, int] | None = None
    ) -> Window | None:
        r"""The window of `tokens` tokens of k bp, one of which starts at `token`: in the middle, or as near as can be.

        A contig that is shorter than the window is read whole, as far as it holds whole tokens. N are walls as the
        ends of the contig are: the window lies between them, and is None where it does not fit.

        `margin` bp are wanted on both sides of the window, else on its right, its left, or none; bases `keep`, [start, end), must
        be in it, those of the token if None.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> fasta = pathlib.Path(tempfile.mkdtemp()) / "toy.fa"
        >>> _ = fasta.write_text(">1\nNNACGTACGTACGT\n")
        >>> contig = Contig(Reference(fasta), "1")
        >>> contig.window(2, k=3, tokens=3)
        Window(start=2, bases='ACGTACGTA', margin=0, length=9, moved=3)
        """
        if token < 0 or token + k > self.length:
            return None
        length, wanted = tokens * k, token - tokens // 2 * k
        first, last = keep or (token, token + k)
        low, around = self._between_walls(token, k, length + margin)
        high = low + len(around)
        if not low <= token <= high - k:
            return None

        # The window keeps the token's frame: it begins whole tokens away from it.
        def up(place: int) -> int:
            return token - (token - place) // k * k

        def cut(start: int, length: int) -> Window:
            left = max(start - margin, low)
            bases = around[left - low : start + length + margin - low]
            return Window(start, bases, start - left, length, start - wanted)

        for left, right in ((margin, margin), (0, margin), (margin, 0), (0, 0)):
            least = up(max(low + left, last - length))
            most = token + (min(high - right - length, first) - token) // k * k
            if least <= most:
                return cut(min(max(wanted, least), most), length)
        if (low, high) == (0, self.length):
            for left, right in ((0, margin), (margin, 0)):
                start = up(left)
                shorter = (self.length - right - start) // k * k
                if start <= first and last <= start + shorter:
                    return cut(start, shorter)
        return None

    def _between_walls(self, token: int, k: int, reach: int) -> tuple[int, str]:
        """Where the bases begin that have no N between them and the token, and these bases, `reach` bp to each side."""
        low = max(0, token - reach)
        around, at = self.bases(low, token + k + reach), token - low
        if "N" in around[at : at + k]:
            return token, ""
        left, right = around.rfind("N", 0, at) + 1, around.find("N", at + k)
        return low + left, around[left : None if right < 0 else right]
