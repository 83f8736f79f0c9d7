"""Elements that a table of features does not state: introns, splice sites, codons, UTRs and promoters.

A transcript is what shares contig, strand, gene_id and transcript; features that name neither gene nor transcript belong to
none. Stretches are tables [chrom, start, end], 0-based half-open.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SPLICE_SITE = 2  # bp of an intron at each of its ends
SHORTEST_INTRON = 2 * SPLICE_SITE  # bp; shorter gaps have no room for both sites
CODON = 3
PROMOTER = (1000, 100)  # bp before and after the first base of a transcript
KEY = ["chrom", "strand", "gene_id", "transcript"]


def derivable(stated: Collection[str]) -> list[str]:
    """Elements that follow from the stated ones and are not among them; intergenic has no stretches of its own."""
    found = []
    if "exon" in stated:
        found += ["intron", "splice_donor", "splice_acceptor"]
    if "exon" in stated and "CDS" in stated:
        found += ["five_prime_utr", "three_prime_utr", "start_codon", "stop_codon"]
    if "gene" in stated or "transcript" in stated:
        found += ["promoter", "intergenic"]
    return [kind for kind in found if kind not in stated]


def derived(
    kind: str, features: pd.DataFrame, *, starting: str, promoter: tuple[int, int], stop_in_cds: bool
) -> pd.DataFrame:
    """Stretches of a kind of element that `derivable` names; promoters are of the element `starting`."""
    if kind == "promoter":
        return _promoters(features[features["element"] == starting], *promoter)
    if kind == "intron":
        return _gaps(features)[["chrom", "start", "end"]]
    if kind in ("splice_donor", "splice_acceptor"):
        return _splice_sites(features, donor=kind == "splice_donor")
    if kind == "start_codon":
        coding = _pieces(features, ["CDS"])
        frames = _frames(coding)
        return _cut(coding, frames["length"] * 0, frames["begins"] * CODON)
    if kind == "stop_codon":
        return _stop_codons(features, stop_in_cds=stop_in_cds)
    return _utrs(features, five_prime=kind == "five_prime_utr", stop_in_cds=stop_in_cds)


def merge(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Union of stretches, sorted; those that touch become one."""
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], ends[order]
    if not len(starts):
        return starts, ends
    reached = np.maximum.accumulate(ends)
    first = np.concatenate([[True], starts[1:] > reached[:-1]])
    return starts[first], reached[np.concatenate([np.flatnonzero(first)[1:] - 1, [len(ends) - 1]])]


def joined(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """`merge` of a few intervals (start, end)."""
    starts, ends = merge(*np.array(list(pieces), np.int64).reshape(-1, 2).T)
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def merge_groups(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The first row of each group of a table, once for each stretch of the union of its rows."""
    if table.empty:
        return table
    number = table.groupby(list(keys), sort=False).ngroup().to_numpy()
    room = number * (int(table["end"].max()) + 2)  # groups far apart on one line
    starts, ends = merge(table["start"].to_numpy() + room, table["end"].to_numpy() + room)
    group, start = np.divmod(starts, int(table["end"].max()) + 2)
    return table.drop_duplicates(list(keys)).iloc[group].assign(start=start, end=start + ends - starts)


def _promoters(starting: pd.DataFrame, before: int, after: int) -> pd.DataFrame:
    if before < 0 or after < 0 or before + after == 0:
        raise ValueError(
            f"A promoter must have bases: bp before and after the start, not negative; received ({before}, {after}). "
            f"The default is {PROMOTER}."
        )
    starting = starting[starting["strand"] != "."]
    forward, starts, ends = starting["strand"] == "+", starting["start"], starting["end"]
    left = np.where(forward, starts - before, ends - after)
    return starting[["chrom"]].assign(
        start=np.maximum(left, 0), end=np.where(forward, starts + after, ends + before)
    )


def _pieces(features: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
    """Features of some kinds that lie in a transcript, by its number and along the genome."""
    chosen = features["element"].isin(kinds) & ((features["transcript"] != "") | (features["gene_id"] != ""))
    if kinds != ["exon"]:
        chosen &= features["strand"] != "."
    pieces = features[chosen]
    pieces = pieces.assign(
        number=pieces.groupby(KEY, sort=False).ngroup(),
        forward=pieces["strand"] == "+",
        length=pieces["end"] - pieces["start"],
    )
    return pieces.sort_values(["number", "start", "end"])


def _before(pieces: pd.DataFrame) -> np.ndarray:
    """Bases of the same transcript in the pieces before each, in the direction of transcription."""
    lengths = pieces.groupby("number")["length"]
    left = lengths.cumsum() - pieces["length"]
    return np.where(pieces["forward"], left, lengths.transform("sum") - left - pieces["length"])


def _cut(pieces: pd.DataFrame, first: pd.Series, last: pd.Series) -> pd.DataFrame:
    """Bases `first` to `last` of each transcript, half-open and counted along it, in its pieces; none of one without numbers."""
    before = _before(pieces)
    low, high = (ends.reindex(pieces["number"]).fillna(0).to_numpy(np.int64) - before for ends in (first, last))  # fmt: skip
    low, high = np.maximum(low, 0), np.minimum(high, pieces["length"])
    forward, start, end = pieces["forward"], pieces["start"], pieces["end"]
    cut = pieces[["chrom"]].assign(
        start=np.where(forward, start + low, end - high), end=np.where(forward, start + high, end - low)
    )
    return cut[low < high]


def _gaps(features: pd.DataFrame) -> pd.DataFrame:
    """The gaps between the exons of each transcript."""
    exons = _pieces(features, ["exon"])
    number, start, end = (exons[name].to_numpy() for name in ("number", "start", "end"))
    gap = np.flatnonzero((number[1:] == number[:-1]) & (start[1:] > end[:-1]))
    return exons.iloc[gap][["chrom", "strand"]].assign(start=end[gap], end=start[gap + 1])


def _splice_sites(features: pd.DataFrame, *, donor: bool) -> pd.DataFrame:
    """The first two bases of each intron (donors, mostly GT) or its last two (acceptors, mostly AG), on its strand."""
    gaps = _gaps(features)
    gaps = gaps[(gaps["strand"] != ".") & (gaps["end"] - gaps["start"] >= SHORTEST_INTRON)]
    starts = np.where((gaps["strand"] == "+") == donor, gaps["start"], gaps["end"] - SPLICE_SITE)
    return gaps[["chrom"]].assign(start=starts, end=starts + SPLICE_SITE)


def _stop_codons(features: pd.DataFrame, *, stop_in_cds: bool) -> pd.DataFrame:
    """The last three bases of each CDS that ends with a codon or, where it ends before them, the three after it."""
    pieces = _pieces(features, ["exon", "CDS"])
    coding, exons = (pieces[pieces["element"] == kind] for kind in ("CDS", "exon"))
    frames = _frames(coding)
    if stop_in_cds:
        last = frames["length"] * frames["ends"]
        return _cut(coding, last - CODON, last)
    last = _coding_ends(pieces)["last"]
    room = exons.groupby("number")["length"].sum().reindex(last.index) >= last + CODON
    last = last[frames["ends"] & room]
    return _cut(exons, last, last + CODON)


def _utrs(features: pd.DataFrame, *, five_prime: bool, stop_in_cds: bool) -> pd.DataFrame:
    """The exons before the CDS of each transcript (5') or after it and its stop codon (3')."""
    pieces = _pieces(features, ["exon", "CDS", "stop_codon"])
    exons, ends = pieces[pieces["element"] == "exon"], _coding_ends(pieces)
    if five_prime:
        return _cut(exons, ends["first"] * 0, ends["first"])
    last = ends["last"]
    if not stop_in_cds and not (pieces["element"] == "stop_codon").any():
        last = last + CODON * _frames(pieces[pieces["element"] == "CDS"])["ends"]
    last = last[last > 0]
    return _cut(exons, last, exons.groupby("number")["length"].sum().reindex(last.index))


def _frames(coding: pd.DataFrame) -> pd.DataFrame:
    """CDS of each transcript: its length, whether it begins with a codon, and whether it ends with one.

    Column 8, the phase, tells; where that is missing or against itself a CDS of whole codons begins with one.
    """
    before, number = _before(coding), coding["number"]
    frames = coding.groupby("number").agg(length=("length", "sum"), lacks=("incomplete", "".join))
    first = coding["phase"][before == 0].set_axis(number[before == 0]).reindex(frames.index, fill_value=-1)
    at = first.reindex(number).to_numpy()
    against = (coding["phase"] >= 0) & ((at - before - coding["phase"]) % CODON != 0)
    against = against.groupby(number).any()
    whole = (frames["length"] - first.clip(lower=0)) % CODON == 0
    first = first.clip(lower=0).where(whole, first.mask(against, -1))
    return frames.assign(
        begins=(first == 0) & ~frames["lacks"].str.contains("5") & (frames["length"] >= CODON),
        ends=whole & ~frames["lacks"].str.contains("3"),
    )


def _coding_ends(pieces: pd.DataFrame) -> pd.DataFrame:
    """Spliced bases of each transcript with CDS: `first`, before the CDS, and `last`, up to the end of it and of a stop codon."""
    exons = pieces[pieces["element"] == "exon"]
    coding = pieces[pieces["element"] == "CDS"].groupby("number")
    coding = coding.agg(start=("start", "min"), end=("end", "max"), forward=("forward", "first"))
    others = pieces[pieces["element"] != "exon"].groupby("number")
    others = others.agg(start=("start", "min"), end=("end", "max")).reindex(coding.index)
    # Offsets count from the transcript's first base, which on the strand "-" is its last in the genome.
    edges = {
        "first": coding["start"].where(coding["forward"], coding["end"]),
        "last": others["end"].where(coding["forward"], others["start"]),
    }
    for name, edge in edges.items():
        at = edge.reindex(exons["number"]).to_numpy(float)
        upto = np.where(
            exons["forward"], np.minimum(exons["end"], at) - exons["start"], exons["end"] - np.maximum(exons["start"], at)
        )  # fmt: skip
        spliced = exons[["number"]].assign(bases=np.maximum(upto, 0)).groupby("number")["bases"].sum()
        coding[name] = spliced.reindex(coding.index, fill_value=0).astype(np.int64)
    return coding
