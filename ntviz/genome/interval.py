"""`Interval`: a stretch of one contig, its text form and its arithmetic."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import SupportsIndex

from ntviz.genome.contigs import canonical_contig, check_contig_name

STRANDS = ("+", "-", ".")

# Browsers, PDFs and word processors turn the hyphen of a pasted region into one of these dashes.
_DASH = "[-\u2010\u2011\u2012\u2013\u2014\u2212]"
NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
_REGION = re.compile(
    rf"(?P<chrom>.+):(?P<start>-?{NUMBER})(?:(?:{_DASH}|\.\.)(?P<end>-?{NUMBER}))?"
    rf"(?:\((?P<strand>\+|\.|{_DASH})\))?"
)
# Ensembl writes the strand as a third field: 20:1000-2000:-1 or 20:1000..2000:1.
_REGION_ENSEMBL = re.compile(rf"(?P<chrom>[^:]+):(?P<start>-?{NUMBER})(?:{_DASH}|\.\.)(?P<end>-?{NUMBER}):(?P<strand>[+-]1?|1)")  # fmt: skip
_ADVICE = "Write a region as chr20:1,000-2,000 (1-based, both ends included), with (+) or (-) after it for a strand."


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of one contig: 0-based, half-open, at least one base long.

    Parameters
    ----------
    chrom
        Contig name, without whitespace, kept as it is spelt. `overlaps`, `intersect` and `contains` take `20` and `chr20` for
        one contig; `==` compares the spelling too.
    start
        0-based position of the first base. It may be negative: the reference pads a window over the end of a contig with N.
    end
        0-based position after the last base.
    strand
        `+`, `-`, or `.` for none.

    Examples
    --------
    >>> interval = Interval.from_str("chr20:1,001-1,010")
    >>> interval.start, interval.end, len(interval), str(interval)
    (1000, 1010, 10, 'chr20:1001-1010')
    """

    chrom: str
    start: int
    end: int
    strand: str = "."

    def __post_init__(self) -> None:
        check_contig_name(self.chrom)
        # Coordinates often come from numpy or pandas; plain integers print and serialise alike everywhere.
        object.__setattr__(self, "start", as_position(self.start, "start"))
        object.__setattr__(self, "end", as_position(self.end, "end"))
        if self.strand not in STRANDS:
            raise ValueError(f"A strand must be '+', '-' or '.'; received {self.strand!r}.")
        if self.end <= self.start:
            raise ValueError(
                f"An interval must hold at least one base (start < end, 0-based half-open); received start "
                f"{self.start:,} and end {self.end:,} on {self.chrom}, which is empty. Swap the two, or widen the region."
            )

    @classmethod
    def from_str(cls, text: str) -> Interval:
        """The interval of a region written for people: 1-based, both ends included.

        `chr20:1,000-2,000`, `20:1000..2000`, one position `chr20:1,000`; `(+)` or `(-)` may follow, or Ensembl's `:1` and
        `:-1`. Spaces, and dashes as browsers paste them, are accepted. A bare contig is not: its length is known to the
        reference only.

        >>> Interval.from_str("chr20:1,000-2,000(-)")
        Interval(chrom='chr20', start=999, end=2000, strand='-')
        """
        if not isinstance(text, str):
            raise TypeError(f"A region must be text; received {type(text).__name__} {text!r}. {_ADVICE}")
        compact = "".join(text.split())
        match = _REGION_ENSEMBL.fullmatch(compact) or _REGION.fullmatch(compact)
        if match is None:
            raise ValueError(f"A region must name a contig and positions; received {text!r}. {_ADVICE}")
        first = int(match["start"].replace(",", ""))
        last = int((match["end"] or match["start"]).replace(",", ""))
        if last < first:
            raise ValueError(
                f"A region must end at or after its start; received {text!r}, which is empty. Write the smaller position first."
            )
        strand = match["strand"] or "."
        return cls(match["chrom"], first - 1, last, {"1": "+", "+1": "+", "+": "+", ".": "."}.get(strand, "-"))

    @classmethod
    def around(cls, chrom: str, position0: int, width: int, strand: str = ".") -> Interval:
        """The interval of `width` bp whose midpoint is the 0-based `position0`; of an even width, the right one of two.

        >>> Interval.around("chr20", 100, 10)
        Interval(chrom='chr20', start=95, end=105, strand='.')
        """
        width = as_position(width, "width")
        if width < 1:
            raise ValueError(f"A width must be at least 1 bp; received {width}.")
        start = as_position(position0, "position0") - width // 2
        return cls(chrom, start, start + width, strand)

    def __str__(self) -> str:
        """The region in 1-based closed form, `chr20:1000-2000`, with the strand when there is one."""
        return f"{self.chrom}:{self.start + 1}-{self.end}{self._suffix}"

    def __len__(self) -> int:
        """Number of bases."""
        return self.end - self.start

    def label(self) -> str:
        """The region as people read it: 1-based closed, with thousands separators.

        >>> Interval("chr20", 999, 2000).label()
        'chr20:1,000-2,000'
        """
        return f"{self.chrom}:{self.start + 1:,}-{self.end:,}{self._suffix}"

    @property
    def _suffix(self) -> str:
        return "" if self.strand == "." else f"({self.strand})"

    @property
    def midpoint(self) -> int:
        """0-based position of the base in the middle (the right one of two)."""
        return (self.start + self.end) // 2

    def expand(self, left: int, right: int | None = None) -> Interval:
        """This interval with `left` bp more before it and `right` (else `left`) after it in the genome; negative ones trim."""
        left = as_position(left, "left")
        right = left if right is None else as_position(right, "right")
        return Interval(self.chrom, self.start - left, self.end + right, self.strand)

    def shift(self, n: int) -> Interval:
        """This interval moved by `n` bp, to the right of the genome when `n` is positive."""
        n = as_position(n, "n")
        return Interval(self.chrom, self.start + n, self.end + n, self.strand)

    def overlaps(self, other: Interval) -> bool:
        """Whether the two share at least one base; strands are ignored, aliases of a contig are the same contig."""
        same = canonical_contig(self.chrom) == canonical_contig(other.chrom)
        return same and self.start < other.end and other.start < self.end

    def intersect(self, other: Interval) -> Interval | None:
        """The bases in both, with this interval's contig spelling and strand; None when there are none."""
        if not self.overlaps(other):
            return None
        return Interval(self.chrom, max(self.start, other.start), min(self.end, other.end), self.strand)

    def contains(self, item: int | Interval) -> bool:
        """Whether a 0-based position, or every base of another interval, lies inside."""
        if isinstance(item, Interval):
            same = canonical_contig(self.chrom) == canonical_contig(item.chrom)
            return same and self.start <= item.start and item.end <= self.end
        return self.start <= as_position(item, "item") < self.end


def as_position(value: SupportsIndex, what: str) -> int:
    """Return the value as a plain int; floats are refused, since a rounded position is another place."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"{what} must be an integer number of bases; received {type(value).__name__} {value!r}. Round it to an int."
        ) from None
