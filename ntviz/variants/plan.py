"""What has to be read to score an allele: pairs of windows, one a frame and alignment, or the status that says why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from ntviz.reference import Reference
from ntviz.variants.alleles import Allele, Change, left_aligned, letters_status, smallest
from ntviz.variants.windows import Contig, Window

_CONTIGS = 32  # kept open at once: each holds some blocks of bases
LONG_INDEL = 50
"""bp above which the score of an insertion or deletion comes with a warning."""


class Mismatch(ValueError):
    """A REF is not the reference's, and the run was to end on the first of these."""


class Pair(NamedTuple):
    """Two windows of the same length on the forward strand, one with each allele."""

    frame: int
    alignment: int  # 0 where the windows begin at the same base, 1 where they end at it (indels only)
    reference: str  # bases of whole tokens
    alternative: str
    tokens: tuple[int, int]  # [first, last) token that the change touches and scores are of
    changed: tuple[int, int]  # [first, last) base of a substitution
    # (first base of the reference, of the alternative, bases): stretches outside of `tokens` that are the same.
    shared: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Plan:
    """What becomes of an allele: its status, and the pairs of windows that are read for it if it has scores."""

    status: str
    ref_agrees: bool | None = None  # None where that could not be asked
    change: Change | None = None
    pairs: tuple[Pair, ...] = ()
    method: str = ""  # "masked", or "pll" (pseudo-log-likelihood)
    note: str = ""  # what a reader of the score should know

    @property
    def kind(self) -> str:
        """SNV, MNV, insertion, deletion, delins, or empty."""
        return "" if self.change is None else self.change.kind


class Contigs:
    """Contigs of a reference, a few of them kept open, and the status of alleles before anything is read by a model."""

    def __init__(self, reference: Reference, on_mismatch: str) -> None:
        self._reference, self._on_mismatch = reference, on_mismatch
        self._contig = lru_cache(_CONTIGS)(self._opened)

    def check(self, allele: Allele) -> tuple[Contig | None, str, bool | None]:
        """The contig of an allele, None where it ends here; its status so far; whether REF agrees, None where unknown."""
        ref, alt, start = allele.ref.upper(), allele.alt.upper(), allele.pos - 1
        contig = self._contig(allele.chrom)
        if contig is None:
            return None, "contig_missing", None
        if start < 0 or start + len(ref) > contig.length:
            return None, "out_of_bounds", None
        bases = contig.bases(start, start + len(ref))
        # A reference that is unknown here neither agrees nor disagrees.
        agrees = bases == ref if ref and set(ref) <= set("ACGT") and "N" not in bases else None
        status = letters_status(ref, alt)
        if status or agrees is None:
            return None, status or "n_in_window", agrees
        if agrees:
            return contig, "ok", agrees
        if self._on_mismatch == "fail":
            raise Mismatch(
                f"REF must be what the reference has; received {allele.chrom}:{allele.pos} {allele.ref}>{allele.alt}, "
                f"where the reference has {bases[:50]}. Check that both are of the same assembly, or choose another "
                "--on-mismatch (on_mismatch=)."
            )
        if self._on_mismatch == "swap" and bases == alt:
            return contig, "swapped", agrees
        return contig if self._on_mismatch == "flag" else None, "ref_mismatch", agrees

    def _opened(self, name: str) -> Contig | None:
        try:
            return Contig(self._reference, name)
        except (ValueError, TypeError):
            return None


@dataclass
class Planner:
    """Plans of alleles on one reference, for windows of so many tokens of k bp; the other fields as in `Options`."""

    reference: Reference
    k: int
    tokens: int
    frames: int = 1
    place: int | None = None
    on_mismatch: str = "skip"

    def __post_init__(self) -> None:
        self._contigs = Contigs(self.reference, self.on_mismatch)

    def plan(self, allele: Allele) -> Plan:
        """The plan of one allele; whatever is wrong with it is its status, but for a `Mismatch` where that is to end all."""
        contig, status, agrees = self._contigs.check(allele)
        if contig is None:
            return Plan(status, agrees)
        (ref, alt), start, reach = allele.bases, allele.pos - 1, self.tokens * self.k
        contig = contig.with_bases(start, ref)
        change = left_aligned(smallest(start, ref, alt), lambda at: contig.bases(at, at + 1))
        if max(change.length, len(ref)) > reach // 2:
            return Plan("too_long", agrees, change)
        pairs, moved = self._pairs(contig, change)
        if not pairs:
            near = contig.bases(change.start - reach, change.end + reach)
            return Plan("n_in_window" if "N" in near else "out_of_bounds", agrees, change)
        method = "masked" if len(change.ref) == len(change.alt) else "pll"
        return Plan(status, agrees, change, pairs, method, self._note(change, pairs, moved))

    def _note(self, change: Change, pairs: tuple[Pair, ...], moved: int) -> str:
        frames, indel = len({pair.frame for pair in pairs}), len(change.ref) != len(change.alt)
        place, bp = pairs[0].changed[0] % self.k, len(pairs[0].reference)
        one_side = len({pair.alignment for pair in pairs}) < 2
        notes = {
            f"{frames} of {self.frames} frames fit": frames < self.frames,
            f"place {place} of the token, off an end": not indel and self.place not in (None, place),
            f"window moved {moved:+,} bp, off an end or N": moved,
            f"contig shorter than the window: {bp:,} bp read": bp < self.tokens * self.k,
            "one boundary alignment only": indel and one_side,
            f"{change.length} bp, above {LONG_INDEL} bp: read with caution": indel and change.length > LONG_INDEL,
        }
        return "; ".join(note for note, holds in notes.items() if holds)

    def _pairs(self, contig: Contig, change: Change) -> tuple[tuple[Pair, ...], int]:
        """Pairs of every frame, and how far the first window lies off the middle, in bp."""
        k = self.k
        first = min(change.start, contig.length - 1)
        if not change.ref and first and contig.bases(first, first + 1) == "N":
            # Something put in before N can be read from its left.
            first -= 1
        middle = min(first + max(change.end - first - 1, 0) // 2, contig.length - k)
        pairs: list[Pair] = []
        moved = 0
        for frame, token in enumerate(self._frame_tokens(first, max(change.end, first + 1), contig.length)):
            at = token + (middle - token) // k * k
            keep = (min(at, change.start), max(at + k, change.end))
            window = contig.window(at, k, self.tokens, max(len(change.ref) - len(change.alt), 0), keep)
            if window is not None:
                moved = moved if pairs else window.moved
                pairs += _pairs_in(frame, window, change, k)
        return tuple(pairs), moved

    def _frame_tokens(self, first: int, end: int, length: int) -> list[int]:
        """Where the token begins that holds the first base of a change, in each frame."""
        k = self.k
        if length < k:
            return []
        if self.frames > 1:
            return [first - place for place in range(k) if 0 <= first - place <= length - k]
        if self.place is not None:
            return [max(0, min(first - self.place, length - k))]
        if end > length // k * k:
            # The grid leaves bases over at the end of the contig: there it is counted from that end.
            return [max(0, length - -(-(length - first) // k) * k)]
        return [first // k * k]


def _pairs_in(frame: int, window: Window, change: Change, k: int) -> Iterator[Pair]:
    """The pair of a substitution; of another change windows of one length that begin, and that end, at the same base."""
    margin, length, reference = window.margin, window.length, window.inside
    low, high = change.start - window.start, change.end - window.start
    if low < 0 or high > length:
        return
    changed = window.bases[: margin + low] + change.alt + window.bases[margin + high :]
    first, last = low // k, (high - 1) // k + 1
    grown = len(change.alt) - len(change.ref)
    if not grown:
        shared = ((0, 0, first * k), (last * k, last * k, length - last * k))
        yield Pair(frame, 0, reference, changed[margin:][:length], (first, last), (low, high), shared)
        return
    gained, lost, count = max(grown, 0), max(-grown, 0), -(-change.length // k) + 1
    # A side that lacks bases is left out. Tokens before the change stay, those from it on are scored;
    if len(changed) >= margin + length and first < length // k:
        end = min(first + count, length // k)
        behind = (end * k + lost, end * k + gained, max(0, length - end * k - abs(grown)))
        tokens, shared = (first, end), ((0, 0, first * k), behind)
        yield Pair(frame, 0, reference, changed[margin:][:length], tokens, (0, 0), shared)
    # or tokens after it stay, and those up to it are scored.
    begin = margin + grown
    if begin >= 0 and len(changed) >= begin + length and last > 0:
        first = max(last - count, 0)
        before = (gained, lost, max(0, first * k - abs(grown)))
        shared = (before, (last * k, last * k, length - last * k))
        yield Pair(frame, 1, reference, changed[begin:][:length], (first, last), (0, 0), shared)
