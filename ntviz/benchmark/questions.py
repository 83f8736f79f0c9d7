"""Questions with known answers: sequences by stated rules, of which a model of DNA should find one more likely than the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ntviz.benchmark.reading import fasta_rows
from ntviz.genome import Interval
from ntviz.genome.sequence import codes, one_hot, reverse_complement, shuffle
from ntviz.motifs import Motif
from ntviz.reference import Reference
from ntviz.statistics import seed_of
from ntviz.variants.consequences import Transcript, transcripts

WINDOW, NEAR = (
    120,
    48,
)  # bp of a stretch and on each side of a place, and of a change over which likelihoods are compared
COPIED = 60  # bp that occur twice
AT_BACKGROUND = 0.55  # share of A and T in made backgrounds
_TRIES = 200  # places looked at for each that is used, at most


class Term(NamedTuple):
    """Log-likelihood of the bases [start, end) of a sequence, added or taken away."""

    sign: int
    sequence: str
    start: int
    end: int


class Item(NamedTuple):
    """One example: sums of terms whose product is above 0 where the answer is right; `pwm` is what a matrix says, if one applies."""

    factors: tuple[tuple[Term, ...], ...]
    pwm: float = float("nan")


@dataclass(frozen=True)
class Question:
    """A question in one of its cases.

    `kind` is "known" (one answer is right), "agreement" (how often two ways to read it, or what composition alone leaves of a sequence, give one
    answer), or "neutral" (neither answer is right: 0.5 says that the model has no preference).
    """

    name: str
    case: str
    kind: str
    make: Callable[[Source, np.random.Generator], Iterator[Item]]
    needs: str = ""  # "genes" or "motifs"


@dataclass(frozen=True)
class Source:
    """Where sequences come from: a reference, and where there are some genes and motifs."""

    reference: Reference
    annotation: Any = None
    motifs: Sequence[Motif] = ()

    @cached_property
    def coding(self) -> list[Transcript]:
        """One transcript a gene, the one with most coding bases, whose contig is in the reference."""
        best: dict[str, Transcript] = {}
        for one in transcripts(self.annotation):
            known = best.get(one.gene)
            longer = known is None or len(one.coding) > len(known.coding)
            if one.cds and one.first == 0 and not one.incomplete and longer and self._here(one.chrom):
                best[one.gene] = one
        if not best:
            raise ValueError(
                f"Questions about genes need coding transcripts, whole and in frame, on {', '.join(self.reference.contigs)}; received "
                f"{self.annotation!r}, which has none there. Read the GTF of this assembly, or leave questions about genes out."
            )
        return list(best.values())

    def _here(self, chrom: str) -> bool:
        try:
            return bool(self.reference.whole(chrom))
        except ValueError:
            return False

    def bases(self, chrom: str, start: int, end: int, strand: str = "+") -> str:
        return self.reference.fetch(Interval(chrom, start, end, strand)).sequence

    def around(self, chrom: str, position: int, strand: str, size: int) -> str:
        """`size` bases in the reading direction, that of the position at `size // 2`; N beyond the contig's ends."""
        start = position - size // 2 + (strand == "-")
        return self.bases(chrom, start, start + size, strand)

    def random(self, rng: np.random.Generator, size: int) -> str:
        """Bases without N from a random place of the reference; a ValueError where there is none."""
        names, lengths = zip(*self.reference.contigs.items(), strict=True)
        room = np.maximum(np.array(lengths) - size, 0)
        for _ in range(_TRIES if room.any() else 0):
            which = rng.choice(len(names), p=room / room.sum())
            start = int(rng.integers(room[which]))
            if "N" not in (found := self.bases(names[which], start, start + size)):
                return found
        raise ValueError(f"There must be {size:,} bp without N in the reference; none was found at {_TRIES} places.")


def _terms(right: str, wrong: str, start: int = 0, end: int | None = None) -> tuple[Term, ...]:
    end = len(right) if end is None else end
    return Term(1, right, start, end), Term(-1, wrong, start, end)


def _pair(right: str, wrong: str, start: int = 0, end: int | None = None, pwm: float = float("nan")) -> Item:
    return Item((_terms(right, wrong, start, end),), pwm)


def _letters(rng: np.random.Generator, size: int, at: float = AT_BACKGROUND) -> str:
    return "".join(rng.choice(list("ACGT"), size, p=[at / 2, (1 - at) / 2, (1 - at) / 2, at / 2]))


def _put(text: str, at: int, letters: str) -> str:
    return text[:at] + letters + text[at + len(letters) :]


# Copying ----------------------------------------------------------------------------------------------------------------


def _copying(apart: int, *, mutated: float = 0, reverse: bool = False) -> Callable[..., Iterator[Item]]:
    """A stretch of the genome, `apart` bp between, the stretch again: likelier than behind the first one shuffled."""

    def make(source: Source, rng: np.random.Generator) -> Iterator[Item]:
        while True:
            between, after, copy = source.random(rng, apart), source.random(rng, NEAR), source.random(rng, COPIED)
            first = reverse_complement(copy) if reverse else copy
            for at in np.flatnonzero(rng.random(COPIED) < mutated):
                first = _put(first, int(at), str(rng.choice([base for base in "ACGT" if base != first[at]])))
            other = shuffle(first, k=2, seed=int(rng.integers(1 << 31)))
            begin = COPIED + apart
            yield _pair(first + between + copy + after, other + between + copy + after, begin, begin + COPIED)

    return make


# Agreement --------------------------------------------------------------------------------------------------------------


def _both_strands(source: Source, rng: np.random.Generator) -> Iterator[Item]:
    """Of two stretches of the genome the same one is likelier on either strand."""
    while True:
        one, other = source.random(rng, WINDOW), source.random(rng, WINDOW)
        yield Item((_terms(one, other), _terms(reverse_complement(one), reverse_complement(other))))


def _frames(source: Source, rng: np.random.Generator) -> Iterator[Item]:
    """Of two stretches the same one is likelier when both begin 1 to 5 bases later, so that all tokens of six are others."""
    while True:
        later = int(rng.integers(1, 6))
        one, other = source.random(rng, WINDOW), source.random(rng, WINDOW)
        shifted = _terms(one[later:], other[later:], 6 - later, WINDOW - 6 - later)
        yield Item((_terms(one, other, 6, WINDOW - 6), shifted))


# Composition ------------------------------------------------------------------------------------------------------------


def _order(k: int) -> Callable[..., Iterator[Item]]:
    """A stretch of the genome is likelier than its bases in another order with the same k-mers."""

    def make(source: Source, rng: np.random.Generator) -> Iterator[Item]:
        while True:
            real = source.random(rng, WINDOW)
            yield _pair(real, shuffle(real, k=k, seed=int(rng.integers(1 << 31))))

    return make


def _composition(k: int, *, alike: bool = False) -> Callable[..., Iterator[Item]]:
    """Of two stretches of the genome the same one is likelier when the k-mers of both stand in another order.

    As far as this holds, composition is what likelihoods say. Where they are `alike`, both have as many A and T.
    """

    def make(source: Source, rng: np.random.Generator) -> Iterator[Item]:
        while True:
            one = source.random(rng, WINDOW)
            other = _as_many_at(source, rng, one) if alike else source.random(rng, WINDOW)
            mixed = [shuffle(text, k=k, seed=int(rng.integers(1 << 31))) for text in (one, other)]
            yield Item((_terms(one, other), _terms(mixed[0], mixed[1])))

    return make


def _as_many_at(source: Source, rng: np.random.Generator, like: str) -> str:
    """A stretch of the genome with exactly as many A and T as another."""
    wanted, size = like.count("A") + like.count("T"), min(20 * WINDOW, max(source.reference.contigs.values()) - 1)
    for _ in range(_TRIES):
        long = source.random(rng, size)
        before = np.concatenate([[0], np.cumsum(np.isin(codes(long), (0, 3)))])
        places = np.flatnonzero(before[WINDOW:] - before[:-WINDOW] == wanted)
        if len(places) and (found := long[(at := int(rng.choice(places))) : at + WINDOW]) != like:
            return found
    raise ValueError(
        f"There must be another stretch with {wanted} A and T of {WINDOW} bp; none was found in {_TRIES} x {size:,} bp."
    )


def _titration(low: float, high: float) -> Callable[..., Iterator[Item]]:
    """Random bases with more A and T against random bases with less."""

    def make(source: Source, rng: np.random.Generator) -> Iterator[Item]:
        while True:
            yield _pair(_letters(rng, WINDOW, high), _letters(rng, WINDOW, low))

    return make


# Genes ------------------------------------------------------------------------------------------------------------------


def _shuffled(things: Iterable[Any], rng: np.random.Generator) -> Iterator[Any]:
    several = list(things)
    yield from (several[at] for at in rng.permutation(len(several)))


def _change(text: str, at: int, letters: str, sign: int) -> tuple[Term, ...]:
    """What a change costs, over the bases near it: intact less changed."""
    start, end = max(at - NEAR, 0), min(at + NEAR, len(text))
    return Term(sign, text, start, end), Term(-sign, _put(text, at, letters), start, end)


def _scores(sequence: str, odds: np.ndarray) -> np.ndarray:
    """[place] bits of a matrix [position, base] at each place where it fits."""
    windows = np.lib.stride_tricks.sliding_window_view(one_hot(sequence), len(odds), axis=0)  # [place, base, position]
    return np.einsum("nbp,pb->n", windows, odds)


def _costs_more(source: Source, rng: np.random.Generator, places: Iterable[Any], motif: str, broken: str, reach: tuple[int, int]) -> Iterator[Item]:  # fmt: skip
    """A change costs more at a place (chrom, position of the first base in the reading direction, strand) than at the same letters near.

    The matrix is of all other places, from `reach` bp before each to so many from it on; its score of a sequence is its best.
    """
    size, at = 2 * WINDOW, WINDOW
    texts = [
        text for place in places if "N" not in (text := source.around(*place, size)) and text.startswith(motif, at)
    ]
    sites = np.array([one_hot(text[at - reach[0] : at + reach[1]]) for text in texts])
    for number, text in enumerate(texts):
        others = [
            other for other in range(NEAR, size - NEAR - len(motif))
            if text.startswith(motif, other) and not at - reach[0] - len(motif) < other < at + reach[1]
        ]  # fmt: skip
        if others:
            other = int(rng.choice(others))
            odds = np.log2((sites.sum(axis=0) - sites[number] + 0.5) / (len(texts) + 1) / 0.25)
            kept, lost = (float(_scores(_put(text, place, broken), odds).max()) for place in (other, at))
            yield Item((_change(text, at, broken, 1) + _change(text, other, broken, -1),), kept - lost)


def _starts(source: Source, rng: np.random.Generator) -> Iterator[Item]:
    """ATG to ACG costs more at the start codon than at another ATG near it."""
    places = ((one.chrom, int(one.coding[0]), one.strand) for one in _shuffled(source.coding, rng))
    yield from _costs_more(source, rng, places, "ATG", "ACG", (9, 6))


def _splice_sites(donor: bool) -> Callable[..., Iterator[Item]]:
    """GT to AT (donor), or AG to AA (acceptor), costs more at an intron's end than at the same two letters near it."""

    def places(source: Source, rng: np.random.Generator) -> Iterator[tuple[str, int, str]]:
        for one in _shuffled(source.coding, rng):
            # One intron a gene, so that genes are drawn, not exons.
            for start, end in list(_shuffled(one.introns, rng))[:1]:
                ends = (start, end - 2) if one.strand == "+" else (end - 1, start + 1)
                yield one.chrom, ends[0 if donor else 1], one.strand

    def make(source: Source, rng: np.random.Generator) -> Iterator[Item]:
        yield from _costs_more(
            source, rng, places(source, rng), *(("GT", "AT", (3, 6)) if donor else ("AG", "AA", (18, 5)))
        )

    return make


_STOPS = {"TAC": ("A", "T"), "TAT": ("A", "C"), "TGC": ("A", "T"), "TGT": ("A", "C")}
"""Codons with a third base that makes a stop, and one that changes nothing."""


def _stop(source: Source, rng: np.random.Generator) -> Iterator[Item]:
    """A stop instead of a synonymous change costs more in the reading frame than the same two changes out of it, near by."""
    for one in _shuffled(source.coding, rng):
        bases = one.bases(source.reference)
        places: dict[bool, list[int]] = {True: [], False: []}
        for at in range(3, len(bases) - 5):
            contiguous = abs(int(one.coding[at + 2]) - int(one.coding[at])) == 2
            if contiguous and bases[at : at + 3] in _STOPS:
                places[at % 3 == 0].append(at)
        pairs = [(a, b) for a in places[True] for b in places[False] if abs(a - b) < 300 and bases[a : a + 3] == bases[b : b + 3]]  # fmt: skip
        if not pairs:
            continue
        terms: tuple[Term, ...] = ()
        for at, sign in zip(pairs[int(rng.integers(len(pairs)))], (1, -1), strict=True):
            text, third = source.around(one.chrom, int(one.coding[at + 2]), one.strand, 2 * WINDOW), WINDOW
            stop, same = (_put(text, third, base) for base in _STOPS[bases[at : at + 3]])
            right, wrong = (same, stop)[::sign]
            terms += _terms(right, wrong, third - NEAR, third + NEAR)
        if not any("N" in term.sequence for term in terms):
            yield Item((terms,))


def _reading_frame(source: Source, rng: np.random.Generator) -> Iterator[Item]:
    """Coding sequence without three bases is likelier than without two or four, both as long, from the deletion on."""
    size = 2 * WINDOW
    for one in _shuffled(source.coding, rng):
        long = [(start, end) for start, end, _ in one.cds if end - start >= size + 6]
        if not long:
            continue
        start, end = long[int(rng.integers(len(long)))]
        text, at = source.bases(one.chrom, start, end, one.strand), size // 3
        begin = int(rng.integers(len(text) - size - 5))
        text, wrong = text[begin:], int(rng.choice([2, 4]))
        kept, broken = ((text[:at] + text[at + lost :])[:size] for lost in (3, wrong))
        if "N" not in kept + broken:
            yield _pair(kept, broken, at, size)


# Promoter grammar and motifs --------------------------------------------------------------------------------------------

LENGTH, AT_35, SPACER = 100, 30, 17
"""bp of a promoter, where its -35 box begins (0-based), bp between the boxes."""
BOX_35, BOX_10, BROKEN_10, UP, EXTENDED = "TTGACA", "TATAAT", "TGTAAT", "AAAAAA", "TGT"
_AT_UP = -15  # of the UP element, from the first base of the -35 box


def promoter(
    background: str, *, box_10: str = BOX_10, spacer: int = SPACER, compensated: bool = False, swapped: bool = False
) -> str:  # fmt: skip
    """A sigma-70 promoter in 100 bp: -35 box at base 30 (0-based), spacer, -10 box; `compensated` by UP element and extended -10.

    References
    ----------
    Cheng (2026), arXiv 2604.06549, for the classes; the rules are read off its sequences.
    """
    boxes = (BOX_35, box_10) if not swapped else (box_10, BOX_35)
    at_10 = AT_35 + 6 + spacer
    text = _put(_put(background, AT_35, boxes[0]), at_10, boxes[1])
    if compensated:
        text = _put(_put(text, AT_35 + _AT_UP, UP), at_10 - len(EXTENDED), EXTENDED)
    return text


def promoter_score(sequence: str) -> float:
    """Best sum over places of log-odds (bits) of both boxes, extended -10 and UP element, at their places to each other.

    A position of a box is its consensus base with probability 0.7, else one of the others; spacers of 16 to 18 bp. One strand.
    """

    def matched(letters: str) -> np.ndarray:
        """[place] bits of the letters that begin there; minus infinity where they do not fit."""
        bits = _scores(sequence, np.where(one_hot(letters) > 0, np.log2(0.7 / 0.25), np.log2(0.1 / 0.25)))
        return np.append(bits, np.full(len(letters) - 1, -np.inf))

    first, second, up, extended = map(matched, (BOX_35, BOX_10, UP, EXTENDED[:2]))
    best = -np.inf
    for spacer in (16, 17, 18):
        at = np.arange(-_AT_UP, len(sequence) - 6 - spacer)
        behind = at + 6 + spacer
        best = max(
            best, (first[at] + second[behind] + up[at + _AT_UP] + extended[behind - len(EXTENDED)]).max(initial=-np.inf)
        )
    return float(best)


def _promoters(right: Callable[..., str], wrong: Callable[..., str]) -> Callable[..., Iterator[Item]]:
    def make(source: Source, rng: np.random.Generator) -> Iterator[Item]:
        while True:
            background = _letters(rng, LENGTH)
            pair = right(background, rng), wrong(background, rng)
            yield _pair(*pair, pwm=promoter_score(pair[0]) - promoter_score(pair[1]))

    return make


def _scrambled(background: str, rng: np.random.Generator) -> str:
    """The elements of a compensated promoter, each somewhere else, not overlapping."""
    pieces = [UP, BOX_35, EXTENDED + BROKEN_10]
    order = rng.permutation(3)
    gaps = rng.multinomial(LENGTH - sum(map(len, pieces)), np.full(4, 0.25))
    text, at = background, 0
    for which, gap in zip(order, gaps, strict=False):
        text = _put(text, at + int(gap), pieces[which])
        at += int(gap) + len(pieces[which])
    return text


def _turned(background: str, _: Any) -> str:
    """An intact promoter whose boxes are on the other strand, in the same background."""
    inside = slice(AT_35, AT_35 + 12 + SPACER)
    return _put(background, AT_35, reverse_complement(promoter(background)[inside]))


def _plain(**options: Any) -> Callable[..., str]:
    return lambda background, _: promoter(background, **options)


def published(path: Any) -> Iterator[Item]:
    """Pairs of the published promoters: each of class E (compensated) above the one of class D (broken) of its number.

    `path` is the FASTA with names such as E_000; a ValueError says that a class is missing or a number alone.
    """
    classes: dict[str, dict[str, str]] = {"D": {}, "E": {}}
    for row in fasta_rows(Path(path)):
        kind, _, number = row.identity.partition("|")[0].partition("_")
        if kind in classes:
            classes[kind][number] = row.sequence.upper()
    if not classes["E"] or classes["E"].keys() != classes["D"].keys():
        raise ValueError(
            f"The FASTA must have sequences E_000 and D_000 and so on, as many of each; {path} has {len(classes['E'])} and "
            f"{len(classes['D'])}. Pass the file of arXiv 2604.06549."
        )
    for number, right in classes["E"].items():
        wrong = classes["D"][number]
        yield _pair(right, wrong, pwm=promoter_score(right) - promoter_score(wrong))


def _motif(source: Source, rng: np.random.Generator) -> Iterator[Item]:
    """The best site of a motif is likelier than its bases in another order at the same place of the genome."""
    chosen = [
        one
        for one in source.motifs
        if 8 <= len(one) <= 20 and one.information.mean() >= 1 and len(set(one.best_site)) > 1
    ]
    if not chosen:
        raise ValueError(
            f"Motifs must have 8 to 20 bp and 1 bit a position on average; received {len(source.motifs):,} motifs, none such. Leave "
            "motifs out for the other questions."
        )
    while True:
        motif = chosen[int(rng.integers(len(chosen)))]
        site, around, at = motif.best_site, source.random(rng, 150), 72
        order = rng.permutation(len(site))
        other = "".join(site[number] for number in order)
        odds = motif.log_odds()
        bits = [odds[np.arange(len(site)), codes(text)].sum() for text in (site, other)]
        if other != site:
            yield _pair(
                _put(around, at, site), _put(around, at, other), at - 24, at + NEAR, pwm=float(bits[0] - bits[1])
            )


QUESTIONS: tuple[Question, ...] = (
    Question("copying", "a copy 60 bp on", "known", _copying(60)),
    Question("copying", "a copy 600 bp on", "known", _copying(600)),
    Question("copying", "a copy 63 bp on: other tokens of six", "known", _copying(63)),
    Question("copying", "10 % of the bases changed", "known", _copying(60, mutated=0.1)),
    Question("copying", "30 % of the bases changed", "known", _copying(60, mutated=0.3)),
    Question("copying", "the reverse complement", "known", _copying(60, reverse=True)),
    Question("agreement", "both strands", "agreement", _both_strands),
    Question("agreement", "frame of the tokens", "agreement", _frames),
    Question("order of bases", "genome or its bases shuffled", "known", _order(1)),
    Question("order of bases", "genome or its dinucleotides shuffled", "known", _order(2)),
    Question("composition", "two stretches, or their bases shuffled", "agreement", _composition(1)),
    Question("composition", "the same with equal A and T", "agreement", _composition(1, alike=True)),
    Question("composition", "the same with dinucleotides shuffled", "agreement", _composition(2, alike=True)),
    Question("composition", "50 % or 40 % A and T", "neutral", _titration(0.4, 0.5)),
    Question("composition", "60 % or 50 % A and T", "neutral", _titration(0.5, 0.6)),
    Question("composition", "70 % or 60 % A and T", "neutral", _titration(0.6, 0.7)),
    Question("reading frame", "3 bases lost, or 2 or 4", "known", _reading_frame, "genes"),
    Question("reading frame", "stop codon in frame, or out of it", "known", _stop, "genes"),
    Question("start codon", "ATG of the start, or another", "known", _starts, "genes"),
    Question("splice site", "GT of a donor, or another", "known", _splice_sites(donor=True), "genes"),
    Question("splice site", "AG of an acceptor, or another", "known", _splice_sites(donor=False), "genes"),
    Question("promoter", "-10 box intact or broken", "known", _promoters(_plain(), _plain(box_10=BROKEN_10))),
    Question("promoter", "broken -10 box compensated or not", "known",
             _promoters(_plain(box_10=BROKEN_10, compensated=True), _plain(box_10=BROKEN_10))),
    Question("promoter", "17 bp between the boxes, or 12", "known", _promoters(_plain(), _plain(spacer=12))),
    Question("promoter", "17 bp between the boxes, or 22", "known", _promoters(_plain(), _plain(spacer=22))),
    Question("promoter", "order of the boxes", "known", _promoters(_plain(), _plain(swapped=True))),
    Question("promoter", "strand of the boxes", "known", _promoters(_plain(), _turned)),
    Question("promoter", "elements in place or scrambled", "known",
             _promoters(_plain(box_10=BROKEN_10, compensated=True), _scrambled)),
    Question("motif", "a JASPAR site or its bases in another order", "known", _motif, "motifs"),
)  # fmt: skip


def items(question: Question, source: Source, n: int, seed: int) -> list[Item]:
    """`n` examples of a question, fewer where there are no more; the same for a seed, whatever else is asked."""
    rng = np.random.default_rng(seed_of("known answers", question.name, question.case, seed))
    return list(islice(question.make(source, rng), n))
