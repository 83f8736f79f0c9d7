"""What random substitutions score: the background that a score is given as a percentile of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ntviz import environment, storage
from ntviz.genome.sequence import reverse_complement
from ntviz.models.protocol import DNAModel
from ntviz.reference import Reference
from ntviz.variants.alleles import Allele
from ntviz.variants.options import SCORES, Options
from ntviz.variants.plan import Plan
from ntviz.variants.scorer import Scorer
from ntviz.variants.windows import Contig

if TYPE_CHECKING:
    import pandas as pd

CLASSES = ("A>C", "A>G", "A>T", "C>A", "C>G", "C>T", "CpG>ApG", "CpG>GpG", "CpG>TpG")
"""Substitutions, both strands folded together; a C before G apart, because it changes ten times as often."""

_ROUND = 20_000  # positions drawn at once


class TooFew(ValueError):
    """A reference has too few bases of a class for a background."""


def folded(context: str, alt: str) -> tuple[str, str]:
    """A context of an odd number of bases and the alternative of its middle, on the strand that has A or C there.

    >>> folded("AACGT", "T"), folded("ACGTT", "A")
    (('AACGT', 'T'), ('AACGT', 'T'))
    """
    if context[len(context) // 2] in "AC":
        return context, alt
    return reverse_complement(context), reverse_complement(alt)


def substitution_class(before: str, ref: str, alt: str, after: str) -> str:
    """The class of a substitution between two neighbours (empty text where there is none).

    Examples
    --------
    >>> substitution_class("A", "C", "T", "G"), substitution_class("C", "G", "A", "A"), substitution_class("A", "G", "A", "A")
    ('CpG>TpG', 'CpG>TpG', 'C>T')
    """
    three, alt = folded(f"{before or 'N'}{ref}{after or 'N'}", alt)
    return f"CpG>{alt}pG" if three[1:] == "CG" else f"{three[1]}>{alt}"


@dataclass(frozen=True)
class Background:
    """Scores of random substitutions of a reference, by class."""

    # What the scores follow from, as `Scorer.about`, and `random`: how the substitutions were drawn.
    about: dict[str, Any]
    scores: tuple[str, ...]
    classes: np.ndarray  # [substitution] index into `CLASSES`
    values: np.ndarray  # [substitution, score]
    _any: ClassVar[frozenset[str]] = frozenset(
        ("scores", "on_mismatch", "background", "calibration", "random", "model", "revision")
    )  # of `about`, what may differ

    @property
    def digest(self) -> str:
        """SHA-256 of its content."""
        content = json.dumps(self.about, sort_keys=True) + " ".join(self.scores)
        arrays = (getattr(self, one.name).tobytes() for one in fields(self)[2:])
        return hashlib.sha256(b"".join((content.encode(), *arrays))).hexdigest()

    @property
    def statement(self) -> str:
        """What a percentile means, in words."""
        counts = np.bincount(self.classes, minlength=len(CLASSES))
        low, high = counts.min(), counts.max()
        number = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        return (
            f"percentile among {number} random substitutions of {self.about['random']['reference']} with the same bases "
            "(strands folded, CpG apart); 50 is the middle; SNVs only"
        )

    def check(self, scorer: Scorer) -> None:
        """Refuses, with a ValueError, a background that was scored in another way than `scorer` scores."""
        differ = [
            f"{name} is {self.about.get(name)!r} there and {value!r} here"
            for name, value in scorer.about.items()
            if name not in self._any and self.about.get(name) != value
        ]
        missing = [name for name in self._asked(scorer.options) if name not in self.scores]
        if missing:
            differ.append(f"it has no {', '.join(missing)}")
        if differ:
            kind = type(self).__name__.lower()
            raise ValueError(
                f"A {kind} must be scored as the alleles are; received one that was not: {'; '.join(differ)}. Make "
                f"one with variants.{kind} and the same options."
            )

    @staticmethod
    def _asked(options: Options) -> tuple[str, ...]:
        """Scores that it is to have."""
        return options.scores

    def kind_of(self, plan: Plan) -> str:
        """The class of a planned substitution; empty for other changes."""
        if plan.kind != "SNV" or not plan.pairs or plan.change is None:
            return ""
        at = plan.pairs[0].changed[0]
        before, ref, after = f"N{plan.pairs[0].reference}N"[at : at + 3]
        return substitution_class(before, ref, plan.change.alt, after)

    def percentiles(self, plans: Sequence[Plan], values: np.ndarray, options: Options) -> np.ndarray:
        """[allele, score] percentiles of scores, given as the columns of `options`; NaN for other than SNVs.

        The share of the background below, and half of what is equal, in per cent.
        """
        places = [options.columns.index(name) for name in options.scores]
        return self._ranks(plans, options.scores, values[:, places])

    def _ranks(self, plans: Sequence[Plan], names: Sequence[str], values: np.ndarray) -> np.ndarray:
        kinds = np.array([self.kind_of(plan) for plan in plans], dtype=str)
        result = np.full((len(plans), len(names)), np.nan)
        for column, (name, scored) in enumerate(zip(names, values.T, strict=True)):
            for number, kind in enumerate(CLASSES):
                rows = np.flatnonzero((kinds == kind) & np.isfinite(scored))
                known = self.values[self.classes == number, self.scores.index(name)]
                known = np.sort(known[np.isfinite(known)])
                if len(rows) and len(known):
                    ends = [np.searchsorted(known, scored[rows], side=side) for side in ("left", "right")]
                    result[rows, column] = 50 * sum(ends) / len(known)
        return result

    def table(self) -> pd.DataFrame:
        """One row a random substitution: its class and scores."""
        import pandas as pd

        frame = pd.DataFrame(self.values, columns=list(self.scores))
        frame.insert(0, "class", [CLASSES[number] for number in self.classes])
        return frame

    def save(self, path: str | Path) -> Path:
        """Path of the .npz that it was written to."""
        return storage.save(path, self.about, {one.name: np.array(getattr(self, one.name)) for one in fields(self)[1:]})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """What `save` wrote; a ValueError says of a damaged file what to do."""
        _, scores, *rest = (one.name for one in fields(cls))
        about, arrays = storage.load(path, (scores, *rest))
        return cls(about, tuple(map(str, arrays[scores])), *(arrays[name] for name in rest))


def background(
    model: DNAModel, reference: Reference, options: Options | None = None, *, per_class: int = 200, seed: int = 0,
    folders: Iterable[str | Path] = (), what: str | None = "random substitutions",
) -> Background:  # fmt: skip
    """Scores of random substitutions of a reference, drawn evenly over its bases, as many of each class.

    All scores are made, once, and kept: a file named by the content that they follow from is looked for in `folders` and
    in ntviz's cache folder, and written to the latter.

    `scores` and `on_mismatch` of the options make no difference; `folders` are where else to look for the file; `per_class` are
    substitutions of each of the nine `CLASSES`.
    """
    # All scores, so that one file serves every choice of them.
    options = replace(options or Options(), scores=tuple(SCORES), on_mismatch="skip")
    scorer = Scorer(model, reference, options)
    alleles, classes = draw(reference, per_class=per_class, seed=seed)

    def make() -> Background:
        scored = scorer.score(alleles, what=what)
        places = [scored.columns.index(score) for score in options.scores]
        random = {"reference": reference.path.name, "per_class": per_class, "seed": seed}
        return Background(scorer.about | {"random": random}, options.scores, classes, scored.values[:, places])

    return kept(Background, scorer.identity(alleles), folders, make)


def folder() -> Path:
    """Where backgrounds and calibrations are kept."""
    return environment.cache_dir() / "backgrounds"


def kept(kind: type[Background], digest: str, folders: Iterable[str | Path], make: Callable[[], Any]) -> Any:
    """What a file named by content in `folders` or the cache folder holds; else made now, and kept there."""
    name = f"{digest[:32]}.npz"
    for place in (*map(Path, folders), folder()):
        if (place / name).is_file():
            return kind.load(place / name)
    made = make()
    try:
        made.save(folder() / name)
    except OSError as error:
        environment.tell(f"The {kind.__name__.lower()} could not be kept and is made again next time: {error}")
    return made


def sites(
    reference: Reference, wanted: dict[str, int], kinds: Callable[[str], Iterable[tuple[int, str, str]]], rng: np.random.Generator, *,
    size: int, reach: int, drawn: int = _ROUND,
) -> list[tuple[int, str, int, str, str]]:  # fmt: skip
    """Sites at random, as many of each kind as are wanted, in the order of the genome: (stretch, contig, 0-based place, kind, which).

    Stretches of `size` bp on a grid over all contigs are drawn, none twice, and taken in the order drawn, so that all sites of a kind
    have the same chance. `kinds` says of the bases of one, `reach` more on each side, which it has: (offset, kind, which). What
    is left in `wanted` is missing: a whole round of stretches had none of it.
    """
    names = list(reference.contigs)
    contigs = {name: Contig(reference, name) for name in names}
    counts = np.array([reference.contigs[name] // size for name in names])
    ends, known, found = np.cumsum(counts), set[int](), []
    before = -1
    while ends[-1] and any(wanted.values()) and len(found) > before:
        before = len(found)
        places = [place for place in dict.fromkeys(rng.integers(ends[-1], size=drawn).tolist()) if place not in known]
        known.update(places)
        stretches = {}
        # Looked up in the order of the genome, so that each block of it is fetched once a round.
        for place in sorted(places):
            which = int(np.searchsorted(ends, place, side="right"))
            start = (place - int(ends[which] - counts[which])) * size
            bases = contigs[names[which]].bases(start - reach, start + size + reach)
            if start >= reach and len(bases) == size + 2 * reach:
                stretches[place] = names[which], start, bases
        for place in filter(stretches.__contains__, places):
            name, start, bases = stretches[place]
            for offset, kind, which_one in kinds(bases):
                if wanted[kind]:
                    wanted[kind] -= 1
                    found.append((place, name, start + offset, kind, which_one))
    return sorted(found)


def draw(reference: Reference, *, per_class: int, seed: int) -> tuple[list[Allele], np.ndarray]:
    """Random substitutions, as many of each class, and their classes [substitution]; no position twice."""
    rng, wanted = np.random.default_rng(seed), dict.fromkeys(CLASSES, per_class)

    def kinds(around: str) -> Iterator[tuple[int, str, str]]:
        if "N" not in around:
            alt = "ACGT".replace(around[1], "")[int(rng.integers(3))]
            yield 0, substitution_class(*around[:2], alt, around[2]), around[1] + alt

    drawn = sites(reference, wanted, kinds, rng, size=1, reach=1)
    if any(wanted.values()):
        short = ", ".join(f"{kind} ({per_class - left})" for kind, left in wanted.items() if left)
        raise TooFew(
            f"A background must have {per_class} substitutions of each class; {reference.path.name} gives fewer of "
            f"{short}. Lower per_class, or use a larger reference."
        )
    alleles = [Allele(name, at + 1, *change) for _, name, at, _, change in drawn]
    return alleles, np.array([CLASSES.index(kind) for *_, kind, _ in drawn])
