"""What says something about a variant without any model: kind of mutation, composition, counts of words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ntviz.annotation import Annotation
from ntviz.genome import Interval
from ntviz.genome.sequence import codes
from ntviz.reference import Reference
from ntviz.variants.alleles import smallest
from ntviz.variants.consequences import consequence
from ntviz.variants.windows import Contig

if TYPE_CHECKING:
    import pandas as pd

GC_WINDOW = 101
"""bp around a variant whose G and C are counted."""
_BLOCK = 1 << 22  # bp counted at once


@dataclass(frozen=True)
class Markov:
    """A Markov chain over bases, both strands counted together."""

    order: int  # bases that the next one depends on
    log_probs: np.ndarray  # [4 ** order, 4] of the next base, in nats

    @classmethod
    def fit(
        cls,
        reference: Reference,
        *,
        order: int = 8,
        leave_out: Interval | None = None,
        pseudocount: float = 0.5,
    ) -> Markov:
        """Counts all words of `order` + 1 bases of a reference, on both strands, but for a stretch that is left out."""
        if not 1 <= order <= 11:
            raise ValueError(f"order must be 1 to 11 bases; received {order}. Choose one of these.")
        counts = np.zeros(4 ** (order + 1))
        for name, length in reference.contigs.items():
            contig = Contig(reference, name)
            skipped = leave_out is not None and leave_out.overlaps(Interval(name, 0, length))
            for start in range(0, length, _BLOCK):
                bases = codes(contig.bases(start, start + _BLOCK + order)).astype(np.int64)
                if skipped and leave_out is not None:
                    bases[max(leave_out.start - start, 0) : max(leave_out.end - start, 0)] = 4
                words, known = _words(bases, order + 1)
                counts += np.bincount(words[known], minlength=len(counts))
        # The same words read on the other strand.
        counts = counts.reshape((4,) * (order + 1))
        counts += np.flip(counts, axis=tuple(range(order + 1))).transpose(range(order, -1, -1))
        counts = counts.reshape(-1, 4) + pseudocount
        return cls(order, np.log(counts / counts.sum(axis=1, keepdims=True)))

    def llr(self, before: str, ref: str, alt: str, after: str) -> float:
        """Log p(alternative) - log p(reference) of all words that hold the change, in nats; NaN beside N.

        `before` and `after` are at least `order` bases on either side.

        Examples
        --------
        >>> chain = Markov(1, np.log(np.array([[0.7, 0.1, 0.1, 0.1]] + [[0.25] * 4] * 3)))
        >>> round(float(np.exp(chain.llr("A", "A", "C", "G"))), 3) == round(0.1 * 0.25 / (0.7 * 0.1), 3)
        True
        """
        left, right = before[-self.order :], after[: self.order]
        scores = []
        for allele in (alt, ref):
            words, known = _words(codes(left + allele + right).astype(np.int64), self.order + 1)
            if not known.all() or not len(words):
                return float("nan")
            scores.append(self.log_probs.reshape(-1)[words].sum())
        return float(scores[0] - scores[1])


def _words(bases: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Number of each word of `size` bases, and whether it holds no N."""
    count = max(len(bases) - size + 1, 0)
    words, known = np.zeros(count, np.int64), np.ones(count, bool)
    for place in range(size):
        part = bases[place : place + count]
        words = words * 4 + np.minimum(part, 3)
        known &= part < 4
    return words, known


def baselines(
    table: pd.DataFrame, reference: Reference, annotation: Annotation, *, markov: Markov | None = None
) -> pd.DataFrame:
    """Numbers that need no model, one row a variant of the table, higher where harm or change is more likely.

    Columns: the six of `consequence`; `severity`, minus its rank; `transition` and `cpg_transition`, 0 or 1; `gc`, the
    share of G and C in 101 bp around; and `markov_llr`, from counts of words, with the sign of `llr`.

    Parameters
    ----------
    table
        With chrom, pos (1-based), ref and alt that agree with the reference.
    markov
        Counted before; None counts words of 9 bases of the reference.
    """
    import pandas as pd

    chain = markov if markov is not None else Markov.fit(reference)
    result = consequence(table, annotation, reference).set_index(table.index)
    contigs = {name: Contig(reference, str(name)) for name in table["chrom"].unique()}
    rows = []
    for row in table[["chrom", "pos", "ref", "alt"]].itertuples(index=False):
        contig = contigs[row.chrom]
        change = smallest(int(row.pos) - 1, row.ref.upper(), row.alt.upper())
        before = contig.bases(change.start - chain.order, change.start)
        after = contig.bases(change.end, change.end + chain.order)
        around = contig.bases(change.start - GC_WINDOW // 2, change.end + GC_WINDOW // 2)
        known = len(around) - around.count("N")
        pair = frozenset((change.ref, change.alt))
        transition = pair in (frozenset("AG"), frozenset("CT"))
        cpg = (change.ref == "C" and after[:1] == "G") or (change.ref == "G" and before[-1:] == "C")
        rows.append(
            {
                "transition": float(transition),
                "cpg_transition": float(transition and cpg),
                "gc": (around.count("G") + around.count("C")) / known if known else np.nan,
                "markov_llr": chain.llr(before, change.ref, change.alt, after),
            }
        )
    result["severity"] = -result["rank"].astype(float)
    return pd.concat([result, pd.DataFrame(rows, index=table.index)], axis=1)
