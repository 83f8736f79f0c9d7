"""A search for motifs: what each must score to be so improbable, its matches among indexed bases, and their table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.motifs.matrix import UNIFORM, Motif, as_background
from ntviz.motifs.scoring import Scoring
from ntviz.motifs.words import Words

if TYPE_CHECKING:
    import pandas as pd

MATCH = np.dtype(
    [("start", "i8"), ("end", "i8"), ("strand", "i1"), ("score", "f8"), ("p", "f8"), ("motif", "i4")]
)
"""A match: strand is 0 for + and 1 for -, motif a place in `Search.motifs`, and the score in bits."""


@dataclass(frozen=True, eq=False)
class Search:
    """Motifs to look for, in the order of their identifiers, each with the score that is improbable enough.

    Attributes
    ----------
    motifs
        Those that can match with such a p.
    scorings, least
        Their scores, and the smallest one [motif] that is a match, in steps.
    too_short
        Identifiers of the others.
    strands
        1 for the strand + alone, 2 for both.
    """

    motifs: list[Motif]
    scorings: list[Scoring]
    least: list[int]
    too_short: tuple[str, ...]
    strands: int

    @classmethod
    def of(
        cls,
        motifs: Motif | Iterable[Motif],
        p: float,
        background: Sequence[float] | None,
        both_strands: bool,
        pseudocount: float,
    ) -> Search:
        """The search for one or more motifs; arguments and errors are those of `scan`."""
        chosen = [motifs] if isinstance(motifs, Motif) else list(motifs)
        if not 0 < p < 1:
            raise ValueError(f"p must be a probability between 0 and 1; received {p}. FIMO's is 1e-4.")
        if not chosen:
            raise ValueError("There must be a motif to look for; received none. Pass a Motif or several.")
        base = as_background(UNIFORM if background is None else background)
        if both_strands:
            base = (base + base[::-1]) / 2
        scored = [(motif, Scoring.of(motif, base, pseudocount)) for motif in chosen]
        least = [scoring.threshold(p) for _, scoring in scored]
        able = sorted(
            (
                (motif, scoring, score)
                for (motif, scoring), score in zip(scored, least, strict=True)
                if score is not None
            ),
            key=lambda one: one[0].id,
        )
        short = {
            motif.id: scoring.best_p
            for (motif, scoring), score in zip(scored, least, strict=True)
            if score is None
        }
        if not able:
            name, best = min(short.items(), key=lambda item: item[1])
            raise ValueError(
                f"A motif must be able to match with p of at most {p:g}; the best match of {name} has {best:.2g}"
                f"{'' if len(chosen) == 1 else f', and that of the {len(chosen) - 1:,} others is no better'}. Raise p, or "
                f"take a longer motif."
            )
        return cls(
            [motif for motif, *_ in able],
            [scoring for _, scoring, _ in able],
            [score for *_, score in able],
            tuple(short),
            1 + both_strands,
        )

    def matches(self, words: Words) -> np.ndarray:
        """Matches [match] of dtype `MATCH`, motif by motif."""
        found = []
        for index, (motif, scoring, least) in enumerate(
            zip(self.motifs, self.scorings, self.least, strict=True)
        ):
            for strand, steps in enumerate((scoring.steps, scoring.steps[::-1, ::-1])[: self.strands]):
                starts, scores = words.matches(steps, least)
                some: np.ndarray[Any, Any] = np.empty(len(starts), dtype=MATCH)
                some["start"], some["end"], some["strand"] = starts, starts + len(motif), strand
                some["score"], some["p"], some["motif"] = scoring.bits(scores), scoring.tail[scores], index
                found.append(some)
        return np.concatenate(found)

    def tests(self, words: Words) -> np.ndarray:
        """How many stretches without N, on its strands, each motif was compared with; int64 [motif]."""
        widths = np.array([len(motif) for motif in self.motifs])
        known = {int(width): int(words.known(int(width)).sum()) for width in np.unique(widths)}
        return np.array([known[int(width)] for width in widths]) * self.strands

    @property
    def chances(self) -> np.ndarray:
        """Probability [motif] that random bases match; at most p, as scores are steps."""
        return np.array(
            [scoring.tail[least] for scoring, least in zip(self.scorings, self.least, strict=True)]
        )

    def table(self, found: np.ndarray) -> pd.DataFrame:
        """Matches of dtype `MATCH` as a table [start, end, strand, score, p, motif, name]."""
        import pandas as pd

        texts = {
            "strand": (np.array(["+", "-"]), found["strand"]),
            "motif": (np.array([motif.id for motif in self.motifs]), found["motif"]),
            "name": (np.array([motif.name for motif in self.motifs]), found["motif"]),
        }
        columns = {name: found[name] for name in ("start", "end", "strand", "score", "p", "motif")} | {
            "name": None
        }
        return pd.DataFrame(
            {
                name: pd.Series(texts[name][0], dtype=str).take(texts[name][1]).reset_index(drop=True)
                if name in texts
                else np.ascontiguousarray(values)
                for name, values in columns.items()
            }
        )
