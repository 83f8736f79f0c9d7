"""What follows from the exons and the CDS of transcripts: introns, splice sites, codons and UTRs.

A transcript is what shares contig, strand, gene_id and transcript; features that name neither gene nor transcript
belong to none. Every function returns contigs, starts and ends of stretches, 0-based half-open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SPLICE_SITE = 2  # bp of an intron at each of its ends
SHORTEST_INTRON = 2 * SPLICE_SITE  # bp; shorter gaps have no room for both sites
CODON = 3

Stretches = tuple[np.ndarray, np.ndarray, np.ndarray]


class _Pieces(NamedTuple):
    """Features sorted by transcript and, within it, along the genome."""

    transcript: np.ndarray
    """Number of the transcript; the features of one call are numbered together."""
    element: np.ndarray
    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    forward: np.ndarray
    phase: np.ndarray
    incomplete: np.ndarray

    def of(self, element: str) -> _Pieces:
        chosen = self.element == element
        return _Pieces(*(field[chosen] for field in self))


def _pieces(features: pd.DataFrame) -> _Pieces:
    features = features[(features["transcript"] != "") | (features["gene_id"] != "")]
    keys = ["chrom", "strand", "gene_id", "transcript"]
    number = features.groupby(keys, sort=False).ngroup().to_numpy(np.int64)
    starts, ends = (features[column].to_numpy(np.int64) for column in ("start", "end"))
    order = np.lexsort((ends, starts, number))
    return _Pieces(
        number[order],
        features["element"].to_numpy(object)[order],
        features["chrom"].to_numpy(object)[order],
        starts[order],
        ends[order],
        (features["strand"] == "+").to_numpy()[order],
        features["phase"].to_numpy(np.int64)[order],
        features["incomplete"].to_numpy(object)[order],
    )


def introns(exons: pd.DataFrame) -> Stretches:
    """The gaps between the exons of each transcript."""
    pieces = _pieces(exons)
    gap = _before_gap(pieces)
    return pieces.chrom[:-1][gap], pieces.end[:-1][gap], pieces.start[1:][gap]


def _before_gap(pieces: _Pieces) -> np.ndarray:
    same = pieces.transcript[1:] == pieces.transcript[:-1]
    return same & (pieces.start[1:] > pieces.end[:-1])


def splice_sites(exons: pd.DataFrame, *, donor: bool) -> Stretches:
    """The first two bases of each intron (donors, mostly GT) or its last two (acceptors, mostly AG), on its strand."""
    pieces = _pieces(exons[exons["strand"] != "."])
    gap = np.flatnonzero(_before_gap(pieces))
    gap = gap[pieces.start[gap + 1] - pieces.end[gap] >= SHORTEST_INTRON]
    left, right = pieces.end[gap], pieces.start[gap + 1]
    starts = np.where(pieces.forward[gap] == donor, left, right - SPLICE_SITE)
    return pieces.chrom[gap], starts, starts + SPLICE_SITE


def start_codons(features: pd.DataFrame) -> Stretches:
    """The first three bases of each CDS that begins with a codon; an exon may end within them."""
    coding = _pieces(features[(features["element"] == "CDS") & (features["strand"] != ".")])
    frames = _frames(coding, _count(coding))
    codon = np.where((frames.first == 0) & ~frames.lacks("5") & (frames.length >= CODON), CODON, 0)
    return _cut(coding, np.zeros_like(codon), codon)


def stop_codons(features: pd.DataFrame, *, stop_in_cds: bool) -> Stretches:
    """The last three bases of each CDS that ends with a codon or, where it ends before them, the three after it."""
    pieces = _pieces(features[features["element"].isin(["exon", "CDS"]) & (features["strand"] != ".")])
    coding, exons = pieces.of("CDS"), pieces.of("exon")
    frames = _frames(coding, _count(pieces))
    whole = frames.whole & ~frames.lacks("3")
    if stop_in_cds:
        return _cut(coding, np.where(whole, frames.length - CODON, 0), np.where(whole, frames.length, 0))
    _, last = _coding_ends(pieces)
    whole &= _lengths(exons, _count(pieces)) >= last + CODON
    return _cut(exons, np.where(whole, last, 0), np.where(whole, last + CODON, 0))


def utrs(features: pd.DataFrame, *, five_prime: bool, stop_in_cds: bool) -> Stretches:
    """The exons before the CDS of each transcript (5') or after it and its stop codon (3')."""
    kinds = ["exon", "CDS", "stop_codon"]
    pieces = _pieces(features[features["element"].isin(kinds) & (features["strand"] != ".")])
    first, last = _coding_ends(pieces)
    exons = pieces.of("exon")
    if five_prime:
        return _cut(exons, np.zeros_like(first), first)
    if not stop_in_cds and not (pieces.element == "stop_codon").any():
        frames = _frames(pieces.of("CDS"), _count(pieces))
        last = np.where(frames.whole & ~frames.lacks("3"), last + CODON, last)
    total = _lengths(exons, _count(pieces))
    return _cut(exons, np.where(last > 0, last, total), total)


def _count(pieces: _Pieces) -> int:
    return int(pieces.transcript.max()) + 1 if len(pieces.transcript) else 0


def _lengths(pieces: _Pieces, count: int) -> np.ndarray:
    """Number of bases in the pieces of each transcript."""
    lengths = np.zeros(count, dtype=np.int64)
    np.add.at(lengths, pieces.transcript, pieces.end - pieces.start)
    return lengths


class _Frames(NamedTuple):
    """Where the codons of the CDS of each transcript begin."""

    length: np.ndarray
    """Bases of the CDS; 0 without one."""
    first: np.ndarray
    """Bases before the first codon; -1 where that is not known."""
    whole: np.ndarray
    """Whether the CDS ends with a codon."""
    incomplete: np.ndarray
    """Ends that it lacks, as the file says."""

    def lacks(self, end: str) -> np.ndarray:
        return np.array([end in ends for ends in self.incomplete], dtype=bool)


def _frames(coding: _Pieces, count: int) -> _Frames:
    """Frames by column 8, the phase; where that is missing or against itself a CDS of whole codons begins with one."""
    length = _lengths(coding, count)
    first, incomplete = np.full(count, -1), np.full(count, "", dtype=object)
    before = np.where(coding.forward, *_left_and_right(coding))
    heads = before == 0
    first[coding.transcript[heads]] = coding.phase[heads]
    for transcript, ends in zip(coding.transcript, coding.incomplete, strict=True):
        incomplete[transcript] += ends
    at = first[coding.transcript]
    against = np.zeros(count, dtype=bool)
    against[coding.transcript[(coding.phase >= 0) & ((at - before - coding.phase) % CODON != 0)]] = True
    whole = (length > 0) & ((length - np.maximum(first, 0)) % CODON == 0)
    first = np.where(whole, np.maximum(first, 0), np.where(against, -1, first))
    return _Frames(length, first, whole, incomplete)


def _coding_ends(pieces: _Pieces) -> tuple[np.ndarray, np.ndarray]:
    """Spliced bases of each transcript before its CDS, and up to the end of it and of a stop codon; 0 without CDS."""
    count = _count(pieces)
    exons, coding = pieces.of("exon"), pieces.of("CDS")
    forward = np.zeros(count, dtype=bool)
    forward[exons.transcript] = exons.forward
    has = np.zeros(count, dtype=bool)
    has[coding.transcript] = True
    # Genome coordinates of the hull: of the CDS at its first base, with the stop codon at its last.
    largest = np.iinfo(np.int64).max
    ends = []
    for part in (coding, _Pieces(*(field[pieces.element != "exon"] for field in pieces))):
        left, right = np.full(count, largest), np.zeros(count, dtype=np.int64)
        np.minimum.at(left, part.transcript, part.start)
        np.maximum.at(right, part.transcript, part.end)
        ends.append((left, right))
    # Offsets count from the transcript's first base, which on the strand "-" is its last in the genome.
    first_at = np.where(forward, ends[0][0], ends[0][1])
    last_at = np.where(forward, ends[1][1], ends[1][0])
    spliced = []
    for position in (first_at, last_at):
        at = position[exons.transcript]
        before = np.where(
            exons.forward, np.minimum(exons.end, at) - exons.start, exons.end - np.maximum(exons.start, at)
        )
        bases = np.zeros(count, dtype=np.int64)
        np.add.at(bases, exons.transcript, np.maximum(before, 0))
        spliced.append(np.where(has, bases, 0))
    return spliced[0], spliced[1]


def _cut(pieces: _Pieces, first: np.ndarray, last: np.ndarray) -> Stretches:
    """Bases `first` to `last` [transcript], half-open and counted along the transcript, of the pieces of each."""
    if not len(pieces.start):
        return pieces.chrom, pieces.start, pieces.end
    lengths = pieces.end - pieces.start
    before = np.where(pieces.forward, *_left_and_right(pieces))
    low = np.maximum(first[pieces.transcript] - before, 0)
    high = np.minimum(last[pieces.transcript] - before, lengths)
    found = low < high
    starts = np.where(pieces.forward, pieces.start + low, pieces.end - high)
    ends = np.where(pieces.forward, pieces.start + high, pieces.end - low)
    return pieces.chrom[found], starts[found], ends[found]


def _left_and_right(pieces: _Pieces) -> tuple[np.ndarray, np.ndarray]:
    """Bases of the same transcript in the pieces on the left of each piece, and on its right."""
    lengths = pieces.end - pieces.start
    left = np.cumsum(lengths) - lengths
    heads = np.flatnonzero(np.r_[True, pieces.transcript[1:] != pieces.transcript[:-1]])[: len(lengths)]
    left -= np.repeat(left[heads], np.diff(np.r_[heads, len(lengths)]))
    return left, _lengths(pieces, _count(pieces))[pieces.transcript] - left - lengths
