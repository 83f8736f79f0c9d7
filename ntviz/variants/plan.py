"""What has to be read to score an allele: pairs of windows, one a frame and alignment, or the status that says why not."""

from __future__ import annotations

from dataclasses import dataclass
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
    """What becomes of an allele: its status, and the pairs of windows that are read for it if it has scores.

    `ref_agrees` is None where that could not be asked; `method` is "masked" or "pll" (pseudo-log-likelihood); `note` is what
    a reader of the score should know, mostly empty.
    """

    status: str
    ref_agrees: bool | None = None
    change: Change | None = None
    pairs: tuple[Pair, ...] = ()
    method: str = ""
    note: str = ""

    @property
    def kind(self) -> str:
        """SNV, MNV, insertion, deletion, delins, or empty."""
        return "" if self.change is None else self.change.kind


class Contigs:
    """Contigs of a reference, a few of them kept open, and what it says of alleles before anything is read for a model."""

    def __init__(self, reference: Reference, on_mismatch: str) -> None:
        self._reference, self._on_mismatch = reference, on_mismatch
        self._open: dict[str, Contig | None] = {}

    def check(self, allele: Allele) -> tuple[Contig | None, str, bool | None]:
        """The contig of an allele, None where it ends here; its status so far; whether REF agrees, None where unknown."""
        ref, alt, start = allele.ref.upper(), allele.alt.upper(), allele.pos - 1
        contig = self._contig(allele.chrom)
        if contig is None:
            return None, "contig_missing", None
        if start < 0 or start + len(ref) > contig.length:
            return None, "out_of_bounds", None
        here = contig.bases(start, start + len(ref))
        # A reference that is unknown here neither agrees nor disagrees.
        agrees = here == ref if ref and set(ref) <= set("ACGT") and "N" not in here else None
        status = letters_status(ref, alt)
        if status or agrees is None:
            return None, status or "n_in_window", agrees
        if agrees:
            return contig, "ok", agrees
        if self._on_mismatch == "fail":
            raise Mismatch(
                f"REF must be what the reference has; received {allele.chrom}:{allele.pos} {allele.ref}>{allele.alt}, "
                f"where the reference has {here[:50]}. Check that both are of the same assembly, or choose another "
                "--on-mismatch (on_mismatch=)."
            )
        if self._on_mismatch == "swap" and here == alt:
            return contig, "swapped", agrees
        return contig if self._on_mismatch == "flag" else None, "ref_mismatch", agrees

    def _contig(self, name: str) -> Contig | None:
        if name not in self._open:
            if len(self._open) >= _CONTIGS:
                self._open.clear()
            try:
                self._open[name] = Contig(self._reference, name)
            except (ValueError, TypeError):
                self._open[name] = None
        return self._open[name]


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
        (ref, alt), start = allele.bases, allele.pos - 1
        patched = _Patched(contig, start, ref)
        change = left_aligned(smallest(start, ref, alt), lambda at: patched.bases(at, at + 1))
        if change.length > self.tokens * self.k // 2 or len(ref) > self.tokens * self.k // 2:
            return Plan("too_long", agrees, change)
        pairs, moved = self._pairs(patched, change)
        if not pairs:
            reach = self.tokens * self.k
            near = contig.bases(change.start - reach, change.end + reach)
            return Plan("n_in_window" if "N" in near else "out_of_bounds", agrees, change)
        method = "masked" if len(change.ref) == len(change.alt) else "pll"
        return Plan(status, agrees, change, pairs, method, self._note(change, pairs, moved))

    def _note(self, change: Change, pairs: tuple[Pair, ...], moved: int) -> str:
        said = []
        read = len({pair.frame for pair in pairs})
        if read < self.frames:
            said.append(f"{read} of {self.frames} frames fit")
        substituted = pairs[0].changed != (0, 0)
        if self.place is not None and substituted and pairs[0].changed[0] % self.k != self.place:
            said.append(f"place {pairs[0].changed[0] % self.k} of the token, off an end")
        if moved:
            said.append(f"window moved {moved:+,} bp, off an end or N")
        if len(pairs[0].reference) < self.tokens * self.k:
            said.append(f"contig shorter than the window: {len(pairs[0].reference):,} bp read")
        if len(change.ref) != len(change.alt):
            if len({pair.alignment for pair in pairs}) < 2:
                said.append("one boundary alignment only")
            if change.length > LONG_INDEL:
                said.append(f"{change.length} bp, above {LONG_INDEL} bp: read with caution")
        return "; ".join(said)

    def _pairs(self, patched: _Patched, change: Change) -> tuple[tuple[Pair, ...], int]:
        """Pairs of every frame, and how far the first window lies off the middle, in bp."""
        k, length = self.k, patched.contig.length
        first = min(change.start, length - 1)
        if not change.ref and first and patched.bases(first, first + 1) == "N":
            # Something put in before N can be read from its left.
            first -= 1
        pairs: list[Pair] = []
        moved = 0
        for frame, token in enumerate(self._frame_tokens(first, max(change.end, first + 1), length)):
            middle = first + max(change.end - first - 1, 0) // 2
            at = min(token + (middle - token) // k * k, token + (length - token) // k * k - k)
            grown = max(len(change.ref) - len(change.alt), 0)
            keep = (min(at, change.start), max(at + k, change.end))
            window = patched.contig.window(at, k, self.tokens, grown, keep)
            if window is None:
                continue
            if not pairs:
                moved = window.moved
            bases = patched.over(window)
            build = _substitution if len(change.ref) == len(change.alt) else _indel
            pairs += build(frame, window, bases, change, k)
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


class _Patched:
    """Bases of a contig with a record's REF in place of its own."""

    def __init__(self, contig: Contig, start: int, ref: str) -> None:
        self.contig, self.start, self.ref = contig, start, ref

    def bases(self, start: int, end: int) -> str:
        return self._put(self.contig.bases(start, end), max(start, 0))

    def over(self, window: Window) -> str:
        return self._put(window.bases, window.start - window.margin)

    def _put(self, bases: str, start: int) -> str:
        low, high = max(self.start, start), min(self.start + len(self.ref), start + len(bases))
        if low >= high:
            return bases
        return bases[: low - start] + self.ref[low - self.start : high - self.start] + bases[high - start :]


def _substitution(frame: int, window: Window, bases: str, change: Change, k: int) -> list[Pair]:
    reference = bases[window.margin : window.margin + window.length]
    low, high = change.start - window.start, change.end - window.start
    if low < 0 or high > len(reference):
        return []
    alternative = reference[:low] + change.alt + reference[high:]
    tokens = (low // k, (high - 1) // k + 1)
    left, right = tokens[0] * k, tokens[1] * k
    shared = ((0, 0, left), (right, right, len(reference) - right))
    return [Pair(frame, 0, reference, alternative, tokens, (low, high), shared)]


def _indel(frame: int, window: Window, bases: str, change: Change, k: int) -> list[Pair]:
    """Windows of the same length that begin, and that end, at the same base; a side that lacks bases is left out."""
    length, total = window.length, window.length // k
    reference = bases[window.margin : window.margin + length]
    low, high = change.start - window.start + window.margin, change.end - window.start + window.margin
    if low < window.margin or high > window.margin + length:
        return []
    other = bases[:low] + change.alt + bases[high:]
    grown = len(change.alt) - len(change.ref)
    count = -(-change.length // k) + 1
    pairs = []
    # Beginning at the same base: tokens before the change stay, those from it on are scored.
    first = (low - window.margin) // k
    if len(other) >= window.margin + length and first < total:
        last = min(first + count, total)
        end = last * k
        shift = max(0, -grown)
        rest = max(0, length - end - max(grown, 0) - shift)
        shared = ((0, 0, first * k), (end + shift, end + shift + grown, rest))
        alternative = other[window.margin : window.margin + length]
        pairs.append(Pair(frame, 0, reference, alternative, (first, last), (0, 0), shared))
    # Ending at the same base: tokens after the change stay, those up to it are scored.
    begin = window.margin + grown
    last = (high - window.margin - 1) // k + 1
    if begin >= 0 and len(other) >= begin + length and last > 0:
        first = max(last - count, 0)
        left = first * k - max(0, -grown)
        skip = max(0, grown)
        shared = ((skip, skip - grown, max(0, left - skip)), (last * k, last * k, length - last * k))
        alternative = other[begin : begin + length]
        pairs.append(Pair(frame, 1, reference, alternative, (first, last), (0, 0), shared))
    return pairs
