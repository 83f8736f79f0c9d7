"""Where the model reads: windows of constant length around a token, moved off the ends of contigs and off N."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from ntviz.genome import Interval
from ntviz.reference import Reference

_BLOCK = 1 << 18  # bp fetched at once
_KEPT = 4  # blocks


class Window(NamedTuple):
    """A window of whole tokens on a contig.

    Attributes
    ----------
    start
        0-based position of its first base.
    bases
        Its bases and those of the margins: `bases[margin : margin + length]` are the window.
    margin
        bp on the left of the window in `bases`; on the right there may be fewer.
    length
        bp of the window.
    moved
        bp that it lies to the right of where the token would be in its middle; negative to the left.
    """

    start: int
    bases: str
    margin: int
    length: int
    moved: int


class Contig:
    """Bases of one contig, fetched in blocks that are kept for the next places.

    Parameters
    ----------
    reference
        Where the bases are.
    name
        The contig, under any alias.

    Raises
    ------
    ValueError
        There is no such contig.
    """

    def __init__(self, reference: Reference, name: str) -> None:
        self._reference = reference
        self._name = name
        self.length = len(reference.whole(name))
        self._blocks: OrderedDict[int, str] = OrderedDict()

    def bases(self, start: int, end: int) -> str:
        """Upper-case bases of [start, end), 0-based half-open, clipped to the contig."""
        start, end = max(start, 0), min(end, self.length)
        if start >= end:
            return ""
        first, last = start // _BLOCK, (end - 1) // _BLOCK
        text = "".join(self._block(number) for number in range(first, last + 1))
        return text[start - first * _BLOCK : end - first * _BLOCK]

    def _block(self, number: int) -> str:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        start = number * _BLOCK
        part = Interval(self._name, start, min(start + _BLOCK, self.length))
        text = self._blocks[number] = self._reference.fetch(part).sequence
        if len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)
        return text

    def window(self, token: int, k: int, tokens: int, margin: int = 0) -> Window | None:
        r"""The window of `tokens` tokens of k bp, one of which starts at `token`: in the middle, or as near as can be.

        A contig that is shorter than the window is read whole, as far as it holds whole tokens. N are walls as the
        ends of the contig are: the window lies between them, and is None where it does not fit.

        Parameters
        ----------
        token
            0-based position of the first base of a token.
        margin
            bp wanted on both sides of the window; fewer, on the side where there are no more, if need be.

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
        if token < 0 or token + k > self.length:
            return None
        # As far as the window can move to either side, and no further.
        low, high = max(0, token - length - margin), min(self.length, token + k + length + margin)
        around = self.bases(low, high)
        at = token - low
        if "N" in around:
            if "N" in around[at : at + k]:
                return None
            left, right = around.rfind("N", 0, at) + 1, around.find("N", at + k)
            right = len(around) if right < 0 else right
            low, around = low + left, around[left:right]
        high = low + len(around)
        room = len(around)
        # The window keeps the token's frame: it moves by whole tokens.
        spare = margin if room >= length + 2 * margin else 0
        start = wanted
        if start < low + spare:
            start += -(-(low + spare - start) // k) * k
        elif start + length > high - spare:
            start -= -(-(start + length - high + spare) // k) * k
        if start < low or start + length > high:
            if low > 0 or high < self.length:
                return None
            # The whole contig is too short, and without N: as many whole tokens as it has in this frame.
            before, after = token // k, (high - token) // k
            start, length = token - before * k, (before + after) * k
        left = max(start - margin, low)
        bases = around[left - low : start + length + margin - low]
        return Window(start, bases, start - left, length, start - wanted)
