"""Two variants in one sequence: the score of the haplotype, of each alone, and what is left over, their interaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntviz import environment
from ntviz.genome import Variant, canonical_contig
from ntviz.masking import BATCH_TOKENS, Reader, Reading
from ntviz.models.protocol import DNAModel
from ntviz.reference import Reference
from ntviz.variants.alleles import Allele, Change, smallest
from ntviz.variants.options import Options
from ntviz.variants.plan import Contigs
from ntviz.variants.windows import Contig

if TYPE_CHECKING:
    import pandas as pd

PAIRED = {
    "ok": "scored",
    "first": "the first cannot be scored; the note has its status",
    "second": "the second cannot be scored; the note has its status",
    "other_contig": "the two are on different contigs",
    "overlap": "both replace the same bases, or put bases in at the same place: no sequence has both",
    "too_far": "no window of the model holds both",
    "too_close": "one changes the length, and the tokens of both cannot be told apart: score both as one allele",
    "n_in_window": "no window of full length without N holds both",
    "out_of_bounds": "what has to be read around both lies beyond the contig's end",
}
"""What became of a pair, and its meaning."""
_SEARCHED = 60  # bp around the mirrored place in which a control's bases are looked for
_AT_ONCE = 200  # pairs whose windows are held at once
_HAPLOTYPES = ((), (0,), (1,), (0, 1))  # which of the two each carries


Windows = tuple[tuple[Sequence[str], Sequence[int]], ...]
"""Windows of each of `_HAPLOTYPES`, and their tokens that count."""


class _Plan(NamedTuple):
    """What is read for a pair: the windows of each haplotype that begin, or end, at the same base, and their tokens."""

    status: str
    note: str = ""
    distance: int | None = None  # bp between the two
    windows: Windows = ()


def pairs(
    model: DNAModel, reference: Reference, pairs: Iterable[tuple[Variant | str, Variant | str]], *, window: int | None = None,
    both_strands: bool = True, control: bool = True, batch_tokens: int = BATCH_TOKENS, what: str | None = "pairs of variants",
) -> pd.DataFrame:  # fmt: skip
    """One row a pair: scores of the sequence with both variants, of each alone, and the interaction, both - first - second, in nats.

    The score of a sequence is a pseudo-log-likelihood: the sum of log p(token), each token masked by itself, over the tokens that
    either variant touches, the same for all four sequences, minus that of the reference. So `first` counts too what the first
    changes at the place of the second, and a dependence between two tokens counts at both: twice the log odds ratio that one of
    them alone would show. 0 means that each has its effect whatever the other is; positive, that both together are less
    unexpected than the sum says. Scores are means of both strands.

    All four are read in the same window, on a grid of tokens that starts at the contig's first base. Where a variant changes the
    length, windows begin at the same base for the tokens of the left one, and end at the same base for those of the right one; of
    insertions and deletions ceil(L/k)+1 tokens count, L bp being the longer allele. Alleles are trimmed, and stay where they are
    written: moved to the left, one could pass the other.

    The **control** is the interaction of the first with a change like the second, the same bases if it replaces some, as far away on
    its other side (the nearest such place within 60 bp). Another is `model.random_twin()`, and the strands agree where it is no noise.

    Parameters
    ----------
    pairs
        (first, second), each a `Variant` or text such as "chr20:43042364 C>T" (1-based); `Haplotypes.pairs` are those of a sample.
    window, both_strands
        As in `Options`.
    control
        Whether to read controls, which doubles the readings: eight for two substitutions in different tokens.

    Returns
    -------
    DataFrame
        first, second (as contig:position:REF>ALT, 1-based), distance (bp between them), status (of `PAIRED`), note, score_both,
        score_first, score_second, interaction, interaction_fwd, interaction_rev (of each strand), control (the partner, text) and
        control_interaction. `attrs` have `statuses`, how many of each, and `sequences`, how many were read.
    """
    import pandas as pd

    options = Options(("llr",), window=window, both_strands=both_strands)
    reader = Reader(model, 0, batch_tokens)
    tokens, _ = options.fit(reader.k, model.max_bp, model.layers, model.name)
    planner = _Planner(reference, reader.k, tokens)
    asked = [_two(pair) for pair in pairs]
    rows: list[dict[str, Any]] = []
    with nullcontext() if what is None or not asked else environment.progress(total=len(asked), what=what) as bar:
        for begin in range(0, len(asked), _AT_ONCE):
            part = asked[begin : begin + _AT_ONCE]
            plans = [planner.plan(*pair) for pair in part]
            partners = [
                planner.partner(*pair) if control and plan.windows else None
                for pair, plan in zip(part, plans, strict=True)
            ]
            mirrored = [planner.plan(first, partner or "") for (first, _), partner in zip(part, partners, strict=True)]
            scores = _read(reader, [*plans, *mirrored], (False, True) if both_strands else (False,))
            rows += map(_row, part, plans, partners, scores, scores[len(part) :])
            if bar is not None:
                bar.update(len(part))
    table = pd.DataFrame(rows, columns=_COLUMNS.split())
    about = {"window_bp": tokens * reader.k, "both_strands": both_strands, "method": "pll", "model": model.name}
    table.attrs.update(statuses=table["status"].value_counts().to_dict(), sequences=reader.sequences, scoring=about)
    return table


_COLUMNS = (
    "first second distance status note score_both score_first score_second interaction interaction_fwd interaction_rev control "
    "control_interaction"
)


def _two(pair: Any) -> tuple[Allele | str, Allele | str]:
    """Alleles of a pair; what is no variant stays text."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise ValueError(
            f"A pair must be two variants, such as ('chr20:100:A>C', 'chr20:120:G>T'); received {pair!r}. Pass a list of pairs."
        )
    found: list[Allele | str] = []
    for one in pair:
        found.append(str(one))
        with suppress(ValueError):
            found[-1] = Allele.of(one)
    return found[0], found[1]


def _row(
    pair: tuple[Any, Any], plan: _Plan, partner: Allele | None, scores: np.ndarray, null: np.ndarray
) -> dict[str, Any]:
    """A row of the table from pseudo-log-likelihoods [haplotype, strand] of the pair and of its control."""
    reference, first, second, both = scores
    interaction = both - first - second + reference
    of_control = (null[3] - null[1] - null[2] + null[0]).mean()
    strands = dict(zip(("interaction_fwd", "interaction_rev"), interaction, strict=len(interaction) == 2))
    return {
        "first": _text(pair[0]), "second": _text(pair[1]), "distance": plan.distance, "status": plan.status, "note": plan.note,
        "score_both": (both - reference).mean(), "score_first": (first - reference).mean(),
        "score_second": (second - reference).mean(), "interaction": interaction.mean(), **strands,
        "control": _text(partner) if partner and np.isfinite(of_control) else "", "control_interaction": of_control,
    }  # fmt: skip


def _text(allele: Allele | str) -> str:
    return allele if isinstance(allele, str) else f"{allele.chrom}:{allele.pos}:{allele.ref}>{allele.alt}"


class _Planner:
    """Plans of pairs on one reference, for windows of so many tokens of k bp."""

    def __init__(self, reference: Reference, k: int, tokens: int) -> None:
        self.k, self.tokens = k, tokens
        self._contigs = Contigs(reference, "skip")

    def plan(self, first: Allele | str, second: Allele | str) -> _Plan:
        """The plan of a pair; whatever is wrong with it is its status."""
        found: list[tuple[Contig, Allele]] = []
        for which, allele in (("first", first), ("second", second)):
            contig, status = None, "malformed: it is no variant"
            if not isinstance(allele, str):
                contig, status, _ = self._contigs.check(allele)
            if contig is None or isinstance(allele, str):
                return _Plan(which, f"{which}: {status}")
            found.append((contig, allele))
        if len({canonical_contig(allele.chrom) for _, allele in found}) > 1:
            return _Plan("other_contig")
        left, right = sorted(changes := [written(allele) for _, allele in found])
        status = "overlap" if clash(left, right) else ""
        windows = () if status else self._windows(found[0][0], changes, left, right)
        status = status or (windows if isinstance(windows, str) else "ok")
        return _Plan(status, "", max(right.start - left.end, 0), () if isinstance(windows, str) else windows)

    def _windows(self, contig: Contig, changes: list[Change], left: Change, right: Change) -> str | Windows:
        """The windows of two changes, or the status that says why there are none."""
        k, grown = self.k, [len(one.alt) - len(one.ref) for one in (left, right)]
        lost = [max(-more, 0) for more in grown]
        if right.end - left.start + sum(grown) + sum(lost) + 2 * k > self.tokens * k:
            return "too_far"
        middle = min((left.start + max(right.end - 1, left.start)) // 2, contig.length - k) // k * k
        window = contig.window(middle, k, self.tokens, sum(lost), (left.start, right.end))
        if window is None:
            near = contig.bases(left.start - self.tokens * k, right.end + self.tokens * k)
            return "n_in_window" if "N" in near else "out_of_bounds"
        origin, length = window.start, window.length
        texts = [edited(window.bases, origin - window.margin, [changes[at] for at in which]) for which in _HAPLOTYPES]
        tail = len(window.bases) - window.margin - length
        begin = [text[window.margin :][:length] for text in texts]
        end = [text[max(len(text) - tail - length, 0) : len(text) - tail] for text in texts]
        if min(map(len, (*begin, *end))) < length:
            return "out_of_bounds"
        if not any(grown):
            touched = {(at - origin) // k for one in changes for at in range(one.start, one.end)}
            return ((begin, sorted(touched)),)
        first, last = (left.start - origin) // k, max(right.end - 1 - origin, 0) // k + 1
        of_left, of_right = (
            range(first, first + self._count(left, origin)),
            range(last - self._count(right, origin), last),
        )
        if origin + of_left.stop * k + lost[0] > right.start or origin + of_right.start * k - lost[1] < left.end:
            return "too_close"
        return (begin, of_left), (end, of_right)

    def _count(self, change: Change, start: int) -> int:
        """Tokens of a change that count: those it touches, and one more where it changes the length."""
        if len(change.ref) == len(change.alt):
            return (change.end - 1 - start) // self.k - (change.start - start) // self.k + 1
        return -(-change.length // self.k) + 1

    def partner(self, first: Allele | str, second: Allele | str) -> Allele | None:
        """A change like the second as far from the first on its other side, or near there; None where there is none."""
        if isinstance(first, str) or isinstance(second, str) or (contig := self._contigs.check(first)[0]) is None:
            return None
        one, other = written(first), written(second)
        size, before = len(other.ref), other.start >= one.end  # where the control is to lie
        place = one.start - (other.start - one.end) - size if before else one.end + one.start - other.end
        for off in sorted(range(-_SEARCHED, _SEARCHED + 1), key=abs):
            start = place + off
            anchor = contig.bases(start - 1, start + size) if start > 0 else ""
            same = anchor[1:] == other.ref if size == len(other.alt) else "N" not in anchor
            beside = start + size <= one.start if before else start >= one.end
            partner = Allele(first.chrom, start, anchor, anchor[:1] + other.alt)
            change = written(partner)
            lengths = len(anchor) == size + 1 and (len(change.ref), len(change.alt)) == (size, len(other.alt))
            if same and beside and lengths and not clash(*sorted((one, change))):
                return partner
        return None


def written(allele: Allele) -> Change:
    """The change where it is written: what both alleles begin with is left out first, such as VCF's base before an insertion."""
    return smallest(allele.pos - 1, *allele.bases, left_first=True)


def clash(left: Change, right: Change) -> bool:
    """Whether no sequence has both changes, sorted by place: they share a base, or put bases in at the same place."""
    return left.end > right.start or left[:2] == right[:2]


def edited(bases: str, start: int, changes: Iterable[Change]) -> str:
    """Bases of a contig from `start` on, 0-based, with changes that do not clash.

    >>> edited("ACGTACGT", 100, [Change(101, 102, "C", ""), Change(105, 105, "", "TT")])
    'AGTATTCGT'
    """
    for change in sorted(changes, reverse=True):
        bases = bases[: change.start - start] + change.alt + bases[change.end - start :]
    return bases


def _read(reader: Reader, plans: Sequence[_Plan], strands: tuple[bool, ...]) -> np.ndarray:
    """Pseudo-log-likelihoods of plans, [plan, haplotype, strand] in nats; NaN where nothing is read."""
    from scipy.special import logsumexp

    k, found = reader.k, np.full((len(plans), len(_HAPLOTYPES), len(strands)), np.nan)
    wanted: dict[Reading, list[tuple[tuple[int, int, int], int]]] = defaultdict(list)
    for number, plan in enumerate(plans):
        if plan.windows:
            found[number] = 0
        for texts, tokens in plan.windows:
            for (haplotype, text), token, (strand, reverse) in product(enumerate(texts), tokens, enumerate(strands)):
                # What is masked makes no difference: sequences that differ there alone are one reading.
                hidden = f"{text[: token * k]}{'A' * k}{text[(token + 1) * k :]}"
                kmer = reader.kmer(text[token * k :][:k], reverse)
                wanted[Reading(hidden, reverse, (token,))].append(((number, haplotype, strand), kmer))
    for reading, logits in reader.masked(list(wanted)):
        row = logits[0].astype(np.float64)
        total = logsumexp(row)
        for place, kmer in wanted[reading]:
            found[place] += row[kmer] - total
    return found
