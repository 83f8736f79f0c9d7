"""What a saturation picture is drawn from: arrays of one locus, checked, and the variant marked in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ntviz.genome import Interval, Variant, canonical_contig
from ntviz.plot import palette
from ntviz.plot.words import number, plain

LONGEST = 20_000
"""bp at most: beyond it the file would cost more than the picture shows."""

KINDS = {
    "llr": "LLR",
    "llr_fwd": "LLR, forward strand",
    "llr_rev": "LLR, reverse strand",
    "base_llr": "LLR of the base alone",
}
"""What can be drawn, by the name of the array, with its label."""

UNIT = "nats"

_COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


class Saturated(Protocol):
    """What the picture needs of a saturation; `llr_fwd`, `llr_rev`, `base_llr` and the name `model` are told if there."""

    @property
    def interval(self) -> Interval:
        """The bases substituted."""
        ...

    @property
    def sequence(self) -> str:
        """One letter a base, in the reading direction of the interval."""
        ...

    @property
    def llr(self) -> np.ndarray:
        """[base, 4] log-likelihood ratio in nats of A, C, G, T against the base there."""
        ...

    @property
    def probabilities(self) -> np.ndarray:
        """[base, 4] probabilities of A, C, G, T that the model expects."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Locus:
    """A checked saturation.

    Parameters
    ----------
    interval, sequence
        The bases substituted.
    arrays
        [base, 4] by name: that of `kind`, and of the others those that have values.
    kind
        Which of them is drawn.
    values
        [base, 4] of that kind, NaN also at the base that is there: nothing is substituted.
    codes
        [base] column of the base that is there, -1 at N.
    variant
        Marked, or None.
    """

    interval: Interval
    sequence: str
    arrays: dict[str, np.ndarray]
    kind: str
    values: np.ndarray
    codes: np.ndarray
    variant: Variant | None

    @property
    def label(self) -> str:
        """What is drawn."""
        return KINDS[self.kind]

    @property
    def both(self) -> bool:
        """Whether the values are a mean of two reading directions."""
        return self.kind in ("llr", "base_llr") and {"llr_fwd", "llr_rev"} <= set(self.arrays)

    @property
    def cell(self) -> tuple[int, int] | None:
        """Base and column of the variant when it is a substitution by one base."""
        if self.variant is None or len(self.variant.ref) != 1 or len(self.variant.alt) != 1:
            return None
        reverse = self.interval.strand == "-"
        first = self.variant.start
        base = self.interval.end - 1 - first if reverse else first - self.interval.start
        column = palette.BASES.find(self.variant.alt.translate(_COMPLEMENT) if reverse else self.variant.alt)
        return None if column < 0 else (base, column)

    def mean(self) -> np.ndarray:
        """[base] mean over the substitutions that have a score; NaN without any."""
        finite = np.isfinite(self.values)
        count = finite.sum(axis=1)
        total = np.where(finite, self.values, 0.0).sum(axis=1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def strongest(self) -> tuple[int, int]:
        """Base and column of the value farthest from zero; the first cell when there is none."""
        sizes = np.where(np.isnan(self.values), -1.0, np.abs(self.values))
        base, column = np.unravel_index(int(sizes.argmax()), sizes.shape)
        return int(base), int(column)

    def said(self) -> str:
        """Words for the alt sentence: how many, lowest, highest, and the marked one among them."""
        flat = self.values[np.isfinite(self.values)]
        if not flat.size:
            return "no scores here"
        n = flat.size
        text = (
            f"{n:,} substitution{'s' if n != 1 else ''}, lowest {self._told(int(np.nanargmin(self.values)))}, highest "
            f"{self._told(int(np.nanargmax(self.values)))}, {(flat < 0).mean():.0%} below 0"
        )
        missing = int((np.isnan(self.values).sum(axis=1) - (self.codes >= 0)).sum())
        if missing:
            text += f", {missing:,} without a score"
        if self.variant is not None and self.cell is not None:
            own = float(self.values[self.cell])
            rank = f"{number(own)} {UNIT}, lower than {(flat > own).mean():.0%} of all"
            text += f"; {variant_name(self.variant)}: {rank if np.isfinite(own) else 'no score'}"
        return text

    def _told(self, index: int) -> str:
        base, column = divmod(index, 4)
        reverse = self.interval.strand == "-"
        position = self.interval.end - base if reverse else self.interval.start + base + 1
        change = f"{(palette.BASES + 'N')[self.codes[base]]}>{palette.BASES[column]}"
        return f"{number(float(self.values[base, column]))} {UNIT} ({change} at {position:,})"


def variant_name(variant: Variant) -> str:
    """A variant in a figure whose contig is known; long alleles cut."""
    return f"{plain(variant.ref, most=12)}>{plain(variant.alt, most=12)} at {variant.pos:,}"


def variant_place(variant: Variant) -> Interval:
    """The reference bases of a variant."""
    return Interval(variant.chrom, variant.start, variant.start + len(variant.ref))


def checked(result: Saturated, kind: str, variant: Variant | str | None) -> Locus:
    """A result as the picture uses it.

    Raises
    ------
    TypeError
        If the result lacks an array.
    ValueError
        If shapes disagree, values are infinite or not 0 at the base there, the kind is unknown, the variant lies
        elsewhere or has another reference base, or the interval is too long.
    """
    if kind not in KINDS:
        raise ValueError(
            f"The kind must be one of {', '.join(KINDS)}; received {kind!r}. "
            f"Use 'llr' for the mean over what was read."
        )
    lacking = [name for name in ("interval", "sequence", "llr", "probabilities") if not hasattr(result, name)]
    if lacking:
        raise TypeError(
            f"A saturation must have interval, sequence, llr and probabilities; received "
            f"{type(result).__name__} without {', '.join(lacking)}. Pass what variants.saturation returns."
        )
    interval, sequence, n = result.interval, result.sequence, len(result.interval)
    if n > LONGEST:
        raise ValueError(
            f"A saturation must be at most {LONGEST:,} bp to be drawn; received {n:,} bp ({interval.label()}). "
            f"Draw a part of it."
        )
    if len(sequence) != n:
        raise ValueError(
            f"The sequence must have one letter for each of the {n:,} bases of {interval.label()}; received "
            f"{len(sequence):,}. Pass the sequence of the same interval."
        )
    arrays = {}
    for name in (*KINDS, "probabilities"):
        given = getattr(result, name, None)
        if given is None and name != kind:
            continue
        values = _array(given, name, interval)
        if name == kind or np.isfinite(values).any():
            arrays[name] = values
    codes = np.array([palette.BASES.find(base) for base in sequence])
    known = np.flatnonzero(codes >= 0)
    values = arrays[kind].copy()
    there = values[known, codes[known]]
    wrong = np.flatnonzero(np.abs(np.nan_to_num(there)) > 1e-4)
    if wrong.size:
        base = int(known[wrong[0]])
        raise ValueError(
            f"{kind} must be 0 at the base that is there; received {there[wrong[0]]:.4g} for {sequence[base]} at base "
            f"{base} ({wrong.size:,} such). Check that sequence and values have the same strand and order."
        )
    values[known, codes[known]] = np.nan
    marked = None if variant is None else _variant(variant, interval, sequence)
    return Locus(interval, sequence, arrays, kind, values, codes, marked)


def _array(given: np.ndarray | None, name: str, interval: Interval) -> np.ndarray:
    values = np.asarray([] if given is None else given, dtype=float)
    shape = (len(interval), 4)
    if values.shape != shape:
        raise ValueError(
            f"{name} must have the shape [base, 4] of {interval.label()}, {list(shape)}, in the order A, C, G, T; "
            f"received {list(values.shape)}. Pass one row for each base of the interval."
        )
    if np.isinf(values).any():
        base, column = (int(i) for i in np.argwhere(np.isinf(values))[0])
        raise ValueError(
            f"{name} must be finite, with NaN where there is no score; received {values[base, column]} at base {base}, "
            f"{palette.BASES[column]} ({int(np.isinf(values).sum()):,} such). Clip them first."
        )
    return values


def _variant(given: Variant | str, interval: Interval, sequence: str) -> Variant:
    variant = Variant.from_str(given) if isinstance(given, str) else given
    place = variant_place(variant)
    same = canonical_contig(variant.chrom) == canonical_contig(interval.chrom)
    if not same or place.start < interval.start or place.end > interval.end:
        raise ValueError(
            f"The variant to mark must lie in {interval.label()}; received {variant}. "
            f"Mark one of the window, or draw the window around it."
        )
    reverse = interval.strand == "-"
    first = interval.end - place.end if reverse else place.start - interval.start
    there = sequence[first : first + len(place)]
    there = there.translate(_COMPLEMENT)[::-1] if reverse else there
    if there != variant.ref:
        raise ValueError(
            f"The variant to mark must have the reference bases of the window; received {variant}, where {there} is. "
            f"Check its assembly and its strand."
        )
    return variant
