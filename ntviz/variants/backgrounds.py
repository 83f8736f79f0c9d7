"""What random substitutions score: the background that a score is given as a percentile of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def substitution_class(before: str, ref: str, alt: str, after: str) -> str:
    """The class of a substitution between two neighbours (empty text where there is none).

    Examples
    --------
    >>> substitution_class("A", "C", "T", "G"), substitution_class("C", "G", "A", "A"), substitution_class("A", "G", "A", "A")
    ('CpG>TpG', 'CpG>TpG', 'C>T')
    """
    if ref in "GT":
        ref, alt = reverse_complement(ref), reverse_complement(alt)
        after = reverse_complement(before) if before else ""
    return f"CpG>{alt}pG" if ref == "C" and after == "G" else f"{ref}>{alt}"


@dataclass(frozen=True)
class Background:
    """Scores of random substitutions of a reference, by class."""

    about: dict[
        str, Any
    ]  # what the scores follow from, as `Scorer.about`, and `random`: how the substitutions were drawn
    scores: tuple[str, ...]
    classes: np.ndarray  # [substitution] index into `CLASSES`
    values: np.ndarray  # [substitution, score]

    @property
    def digest(self) -> str:
        """SHA-256 of its content."""
        content = json.dumps(self.about, sort_keys=True) + " ".join(self.scores)
        return hashlib.sha256(content.encode() + self.classes.tobytes() + self.values.tobytes()).hexdigest()

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
        ignored = {"scores", "on_mismatch", "background", "random", "model", "revision"}
        differ = [
            f"{name} is {self.about.get(name)!r} there and {value!r} here"
            for name, value in scorer.about.items()
            if name not in ignored and self.about.get(name) != value
        ]
        missing = [name for name in scorer.options.scores if name not in self.scores]
        if missing:
            differ.append(f"it has no {', '.join(missing)}")
        if differ:
            raise ValueError(
                f"A background must be scored as the alleles are; received one that was not: {'; '.join(differ)}. Make "
                "one with variants.background and the same options."
            )

    def kind_of(self, plan: Plan) -> str:
        """The class of a planned substitution; empty for other changes."""
        if plan.kind != "SNV" or not plan.pairs or plan.change is None:
            return ""
        pair = plan.pairs[0]
        at = pair.changed[0]
        before, after = pair.reference[max(at - 1, 0) : at], pair.reference[at + 1 : at + 2]
        return substitution_class(before, plan.change.ref, plan.change.alt, after)

    def percentiles(self, plans: Sequence[Plan], values: np.ndarray, options: Options) -> np.ndarray:
        """[allele, score] percentiles of scores, given as the columns of `options`; NaN for other than SNVs.

        The share of the background below, and half of what is equal, in per cent.
        """
        kinds = np.array([self.kind_of(plan) for plan in plans], dtype=str)
        result = np.full((len(plans), len(options.scores)), np.nan)
        for column, name in enumerate(options.scores):
            scored = values[:, options.columns.index(name)]
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
        arrays = {"scores": np.array(self.scores), "classes": self.classes, "values": self.values}
        return storage.save(path, self.about, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Background:
        """What `save` wrote; a ValueError says of a damaged file what to do."""
        about, arrays = storage.load(path, ("scores", "classes", "values"))
        return cls(about, tuple(map(str, arrays["scores"])), arrays["classes"], arrays["values"])


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
    name = f"{scorer.identity(alleles)[:32]}.npz"
    kept = environment.cache_dir() / "backgrounds"
    for folder in (*map(Path, folders), kept):
        if (folder / name).is_file():
            return Background.load(folder / name)
    scored = scorer.score(alleles, what=what)
    places = [scored.columns.index(score) for score in options.scores]
    random = {"reference": reference.path.name, "per_class": per_class, "seed": seed}
    made = Background(scorer.about | {"random": random}, options.scores, classes, scored.values[:, places])
    try:
        made.save(kept / name)
    except OSError as error:
        environment.tell(f"The background could not be kept and is made again next time: {error}")
    return made


def draw(reference: Reference, *, per_class: int, seed: int) -> tuple[list[Allele], np.ndarray]:
    """Random substitutions, as many of each class, and their classes [substitution]; no position twice."""
    rng = np.random.default_rng(seed)
    names = list(reference.contigs)
    lengths = np.array([reference.contigs[name] for name in names])
    contigs = {name: Contig(reference, name) for name in names}
    ends = np.cumsum(lengths)
    wanted = dict.fromkeys(CLASSES, per_class)
    found: dict[int, tuple[str, Allele]] = {}  # by place, all contigs one after the other
    before = -1
    # A round without a find means that the reference has no more of what is wanted.
    while any(wanted.values()) and len(found) > before:
        before = len(found)
        # In the order of the genome, so that each block of it is fetched once a round.
        for place in np.sort(rng.integers(ends[-1], size=_ROUND)).tolist():
            which = int(np.searchsorted(ends, place, side="right"))
            name, at = names[which], place - int(ends[which] - lengths[which])
            around = contigs[name].bases(at - 1, at + 2)
            if at == 0 or len(around) < 3 or "N" in around or place in found:
                continue
            alt = "ACGT".replace(around[1], "")[int(rng.integers(3))]
            kind = substitution_class(around[0], around[1], alt, around[2])
            if wanted[kind]:
                wanted[kind] -= 1
                found[place] = kind, Allele(name, at + 1, around[1], alt)
    if any(wanted.values()):
        short = ", ".join(f"{kind} ({per_class - left})" for kind, left in wanted.items() if left)
        raise TooFew(
            f"A background must have {per_class} substitutions of each class; {reference.path.name} gives fewer of "
            f"{short}. Lower per_class, or use a larger reference."
        )
    drawn = [found[place] for place in sorted(found)]
    return [allele for _, allele in drawn], np.array([CLASSES.index(kind) for kind, _ in drawn])
