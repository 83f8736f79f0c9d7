"""Calibration: a score minus what neutral substitutions of the same five bases and the same change score."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ntviz import storage
from ntviz.environment import progress
from ntviz.models.protocol import DNAModel
from ntviz.reference import Reference
from ntviz.variants.alleles import Allele
from ntviz.variants.backgrounds import CLASSES, Background, folded, folder, kept, sites, substitution_class
from ntviz.variants.options import Options
from ntviz.variants.plan import Plan
from ntviz.variants.scorer import Scorer

if TYPE_CHECKING:
    import pandas as pd

CALIBRATED = ("llr", "base_llr")
"""Scores that can be calibrated."""
CHANGES = tuple((five, alt) for five in map("".join, product("ACGT", repeat=5)) if five[2] in "AC"
    for alt in "ACGT" if alt != five[2])  # fmt: skip
"""The 1,536 substitutions in a context of five bases, strands folded onto those with A or C in the middle: (context, alternative)."""
FEWEST = 10
"""Sites of a context below which its three middle bases are taken."""
THREE, NONE = "calibrated on three bases", "not calibrated"
"""How notes of alleles begin, by which they are counted."""
_QUANTILES = 500  # of a class, kept for percentiles
_DRAWN = 100_000  # tokens of a round
_PIECE = 3_000  # substitutions scored, and kept, at once
_ROW = {change: row for row, change in enumerate(CHANGES)}


@dataclass(frozen=True)
class Calibration(Background):
    """Means of neutral substitutions by context and change, and what calibrated scores are percentiles of.

    `values` are quantiles of the calibrated scores of the sampled substitutions, by class. Neutral means sampled without regard to
    effect: most of a genome bears a substitution without harm, and some of it does not.
    """

    sites: np.ndarray  # [change] sampled substitutions of each of `CHANGES` that have a score
    means: np.ndarray  # [change, score] in nats; NaN without sites
    errors: (
        np.ndarray
    )  # [change, score] standard errors, sites of one token as one draw; NaN with fewer than two tokens
    _any: ClassVar[frozenset[str]] = Background._any | {"layer", "region"}

    @property
    def statement(self) -> str:
        """What the calibrated score is, in words."""
        random = self.about["random"]
        return (
            f"minus the mean of neutral substitutions of the same five bases and change, strands folded: at most {random['per_context']:,} "
            f"of each, {self.sites.sum():,} in all, sampled from {random['reference']} without regard to effect; "
            f"{(self.sites < FEWEST).sum():,} of {len(CHANGES):,} with fewer than {FEWEST} take their three bases; SNVs only"
        )

    @staticmethod
    def _asked(options: Options) -> tuple[str, ...]:
        if names := tuple(name for name in options.scores if name in CALIBRATED):
            return names
        raise ValueError(
            f"Scores that can be calibrated are {' and '.join(CALIBRATED)}; received {', '.join(options.scores)} alone. Add one of "
            "them to scores (--scores), or leave the calibration out."
        )

    @cached_property
    def _three(self) -> dict[tuple[str, str], np.ndarray]:
        """Means [score] of the sampled substitutions of three bases and a change, where they are enough."""
        groups: dict[tuple[str, str], list[int]] = {}
        for row, (five, alt) in enumerate(CHANGES):
            groups.setdefault((five[1:4], alt), []).append(row)
        sums = np.nan_to_num(self.means) * self.sites[:, None]
        enough = {name: rows for name, rows in groups.items() if self.sites[rows].sum() >= FEWEST}
        return {name: sums[rows].sum(axis=0) / self.sites[rows].sum() for name, rows in enough.items()}

    def expected(self, context: str, alt: str) -> tuple[np.ndarray, str]:
        """Mean [score] of neutral substitutions of a context of five bases, in nats, and a note where it is not of all five.

        N stands for a base that is not there. NaN where even the middle three are unknown, or have fewer than `FEWEST` sites.
        """
        change = folded(context, alt)
        row = _ROW.get(change)
        if row is not None and self.sites[row] >= FEWEST:
            return self.means[row], ""
        five, means = f"{change[0]}>{change[1]}", self._three.get((change[0][1:4], change[1]))
        if means is None:
            return np.full(len(self.scores), np.nan), f"{NONE}: too few sites like {five}"
        return means, f"{THREE}: {'an end or N is near' if row is None else f'{five} has {self.sites[row]:,} sites'}"

    def expected_of(self, plan: Plan) -> tuple[np.ndarray, str]:
        """The same of a planned substitution; NaN, without a note, of other changes."""
        if plan.kind != "SNV" or not plan.pairs or plan.change is None:
            return np.full(len(self.scores), np.nan), ""
        at = plan.pairs[0].changed[0]
        return self.expected(f"NN{plan.pairs[0].reference}NN"[at : at + 5], plan.change.alt)

    def calibrated(self, plans: Sequence[Plan], values: np.ndarray, options: Options) -> np.ndarray:
        """[allele, score and its percentile in turn] of scores, given as the columns of `options`; NaN for other than SNVs."""
        names = self._asked(options)
        means = np.array([self.expected_of(plan)[0] for plan in plans]).reshape(-1, len(self.scores))
        scored = values[:, [options.columns.index(name) for name in names]]
        scored = scored - means[:, [self.scores.index(name) for name in names]]
        ranks = self._ranks(plans, names, scored)
        return np.stack([scored, ranks], axis=2).reshape(len(plans), 2 * len(names))

    def keys(self, options: Options, key: str, name: str) -> dict[str, tuple[str, str]]:
        """INFO key and meaning of the columns of a score, whose own key is given."""
        if name not in self._asked(options):
            return {}
        every = f"{key}_CAL: percentile among these, after the same subtraction, of the same bases (CpG apart); 50 is the middle"
        return {f"{name}_calibrated": (f"{key}_CAL", f"{key} {self.statement}"),
                f"{name}_calibrated_percentile": (f"{key}_CAL_PCT", every)}  # fmt: skip

    def columns(self, options: Options) -> tuple[str, ...]:
        """Columns of `calibrated`."""
        return tuple(f"{name}_calibrated{end}" for name in self._asked(options) for end in ("", "_percentile"))

    def table(self) -> pd.DataFrame:
        """One row a context and change: context, alt, class, sites, bases, and of each score mean, error and expected, in nats.

        `expected` is what is subtracted: the mean of so many `bases`, 5 or 3; 0 where there is none.
        """
        import pandas as pd

        expected = [self.expected(*change) for change in CHANGES]
        bases = [5 if not note else 3 if note.startswith(THREE) else 0 for _, note in expected]
        frame = pd.DataFrame(CHANGES, columns=["context", "alt"])
        frame["class"], frame["sites"], frame["bases"] = _CLASS, self.sites, bases
        for place, name in enumerate(self.scores):
            frame[f"{name}_mean"], frame[f"{name}_error"] = self.means[:, place], self.errors[:, place]
            frame[f"{name}_expected"] = [means[place] for means, _ in expected]
        return frame


_CLASS = [substitution_class(five[1], five[2], alt, five[3]) for five, alt in CHANGES]


def calibration(
    model: DNAModel, reference: Reference, options: Options | None = None, *, per_context: int = 100, seed: int = 0,
    folders: Iterable[str | Path] = (), what: str | None = "neutral substitutions",
) -> Calibration:  # fmt: skip
    """Mean log-likelihood ratios of neutral substitutions of each context of five bases and each change, with standard errors.

    Tokens of the reference are drawn at random; of each context the first `per_context` sites in them are taken, with all three
    changes, and a token is read once a strand for all of its sites. On human chromosome 20, 100 sites of each of the 512 contexts
    lie in 14,311 tokens of 6 bp: 28,622 sequences on both strands. Contexts with fewer than 10 sites fall back to their three
    middle bases: `table()` has them, and `Calibration.statement` their number.

    It is kept as `background` is, by content (weights, options, the bytes of the FASTA), and goes on where it was stopped. Which `scores`,
    `layer`, `region` and `on_mismatch` the options have makes no difference; `folders` are where else to look for the file.
    """
    if per_context < 1:
        raise ValueError(f"per_context must be at least 1 site; received {per_context}. 100 are enough.")
    options = options or Options()
    Calibration._asked(options)  # before the work is done
    options = replace(options, scores=CALIBRATED, on_mismatch="skip", layer=None, region="token")
    scorer = Scorer(model, reference, options)
    random = {"per_context": per_context, "seed": seed}
    digest = storage.digest([scorer.identity([]), storage.content(reference.path)["sha256"], random])
    about = scorer.about | {"random": {"reference": reference.path.name, **random}}
    return kept(Calibration, digest, folders, lambda: _made(scorer, about, digest, what))


def _made(scorer: Scorer, about: dict[str, Any], digest: str, what: str | None) -> Calibration:
    random = about["random"]
    alleles, rows, tokens = draw(scorer.reference, scorer.reader.k, random["per_context"], random["seed"])
    pieces = storage.Pieces(folder() / f"{digest[:32]}.parts")
    places = [scorer.columns.index(name) for name in CALIBRATED]
    values = np.full((len(alleles), len(places)), np.nan)
    with progress(total=len(alleles), what=what) if what else nullcontext() as bar:
        for first in range(0, len(alleles), _PIECE):
            part = slice(first, first + _PIECE)
            done = pieces.read(str(first), ["values"])
            if done is None:
                values[part] = scorer.score(alleles[part]).values[:, places]
                with suppress(OSError):  # where nothing can be kept, it cannot go on where it stopped
                    pieces.write(str(first), None, {"values": values[part]})
            else:
                values[part] = done[1]["values"]
            if bar is not None:
                bar.update(len(values[part]))
    made = _summed(about, values, rows, tokens)
    shutil.rmtree(pieces.folder, ignore_errors=True)
    return made


def _summed(about: dict[str, Any], values: np.ndarray, rows: np.ndarray, tokens: np.ndarray) -> Calibration:
    """The calibration of scores [substitution, score] with their rows of `CHANGES` and their tokens [substitution]."""
    import pandas as pd

    every = range(len(CHANGES))
    frame = pd.DataFrame(values, pd.MultiIndex.from_arrays([rows, tokens], names=["row", "token"])).dropna()
    sites = frame.groupby("row").size().reindex(every, fill_value=0)
    means = frame.groupby("row").mean().reindex(every)
    # Neighbours are no independent draws: residuals are summed within a token before they are squared.
    squares = (frame - means.loc[frame.index.get_level_values("row")].to_numpy()).groupby(["row", "token"]).sum() ** 2
    tokens_of = squares.groupby("row").size().reindex(every)
    variances = (
        squares.groupby("row").sum().reindex(every).mul(tokens_of / (tokens_of - 1).where(tokens_of > 1), axis=0)
    )
    errors = np.sqrt(variances).div(sites, axis=0)
    arrays = (sites.to_numpy(np.int64), means.to_numpy(np.float32), errors.to_numpy(np.float32))
    bare = Calibration(about, CALIBRATED, np.zeros(0, np.int8), np.zeros((0, len(CALIBRATED)), np.float32), *arrays)
    expected = np.array([bare.expected(*change)[0] for change in CHANGES])
    rest = (frame - expected[frame.index.get_level_values("row")]).dropna()
    kinds = np.array([CLASSES.index(kind) for kind in _CLASS])[rest.index.get_level_values("row")]
    parts = {kind: part.to_numpy() for kind, part in rest.groupby(kinds)}
    counts = np.array([min(len(part), _QUANTILES) for part in parts.values()], np.int64)
    quantiles = [np.quantile(part, (np.arange(count) + 0.5) / count, axis=0, method="hazen")
        for part, count in zip(parts.values(), counts, strict=True)]  # fmt: skip
    classes = np.repeat(np.array([*parts], np.int8), counts)
    return replace(bare, classes=classes, values=np.concatenate([bare.values, *quantiles]).astype(np.float32))


def draw(reference: Reference, k: int, per_context: int, seed: int) -> tuple[list[Allele], np.ndarray, np.ndarray]:
    """Substitutions at random sites, as many of each context, in the order of the genome; their rows of `CHANGES`; their tokens of k bp.

    What is taken of a context are its first sites in tokens drawn at random: its sites all have the same chance, whatever their
    neighbours are. Contexts of which a whole round of tokens brings none are left as they are.
    """
    context_of = {five: folded(five, "A")[0] for five in map("".join, product("ACGT", repeat=5))}

    def kinds(bases: str) -> Iterator[tuple[int, str, str]]:
        fives = ((at, bases[at : at + 5]) for at in range(k))
        return ((at, context_of[five], five) for at, five in fives if five in context_of)  # none with N

    rng, wanted = np.random.default_rng(seed), dict.fromkeys(context_of.values(), per_context)
    drawn = sites(reference, wanted, kinds, rng, size=k, reach=2, drawn=_DRAWN)
    changes = [(token, name, at, five, alt) for token, name, at, _, five in drawn for alt in "ACGT" if alt != five[2]]
    alleles = [Allele(name, at + 1, five[2], alt) for _, name, at, five, alt in changes]
    rows = [_ROW[folded(five, alt)] for *_, five, alt in changes]
    return alleles, np.array(rows, np.int64), np.array([token for token, *_ in changes], np.int64)
